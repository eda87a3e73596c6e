/* Dense convolutions of any kernel, stride and dilation as products of matrices: the patches of a block of output pixels
   are laid side by side (im2col: Chellapilla, Puri and Simard, 2006) in a core's own cache, never for the whole map.

   Legend: N images, H height, W width, C channels in, K channels out, T = kernel * kernel taps.
   Functions return 0, or 1 without memory. */
#include "products.h"

typedef struct {
    long images, height, width, in, out, kernel, stride, gap, before; /* `before`: zeros above and left */
    long tall, wide;                                                  /* of the output */
} Conv;

static Conv conv_of(const long s[11]) {
    return (Conv){s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10]};
}

/* Calls BODY with the element of x that each tap of each of `count` output pixels reads, or -1 outside the map. */
#define FOR_TAPS(conv, first, count, BODY)                                                       \
    for (long p = 0; p < (count); p++) {                                                         \
        const long pixel = (first) + p, image = pixel / ((conv).tall * (conv).wide);             \
        const long top = pixel / (conv).wide % (conv).tall * (conv).stride - (conv).before;      \
        const long left = pixel % (conv).wide * (conv).stride - (conv).before;                   \
        for (long i = 0; i < (conv).kernel; i++)                                                 \
            for (long j = 0; j < (conv).kernel; j++) {                                           \
                const long row = top + i * (conv).gap, column = left + j * (conv).gap;           \
                const int inside = row >= 0 && row < (conv).height && column >= 0 && column < (conv).width; \
                const long tap = (p * (conv).kernel + i) * (conv).kernel + j;                    \
                const long at = inside ? ((image * (conv).height + row) * (conv).width + column) * (conv).in : -1; \
                BODY                                                                             \
            }                                                                                    \
    }

/* a[pixel][T][C] of x */
static void gather(const real *x, const Conv conv, long first, long count, float *a) {
    FOR_TAPS(conv, first, count, {
        if (at < 0)
            memset(a + tap * conv.in, 0, sizeof(float) * conv.in);
        else if (conv.in % LANES == 0)
            read_values(x + at, a + tap * conv.in, conv.in);
        else
            for (long c = 0; c < conv.in; c++) a[tap * conv.in + c] = read_one(x[at + c]);
    })
}

/* image[H][W][C] += a[pixel][T][C], where `first` is counted within the image */
static void scatter(const float *a, const Conv conv, long first, long count, float *whole) {
    FOR_TAPS(conv, first, count, {
        for (long c = 0; at >= 0 && c < conv.in; c += LANES) STORE(whole + at + c) += LOAD(a + tap * conv.in + c);
    })
}

/* y[N][tall][wide][K] of x[N][H][W][C] and w[T][C][K] */
int NAMED(patches_forward)(const real *x, const float *w, real *y, const long *sizes, long block) {
    const Conv conv = conv_of(sizes);
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.images * conv.tall * conv.wide;
    const long blocks = (pixels + block - 1) / block;
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *a = floats(block * (depth + conv.out)), *result = a + block * depth;
        failed = !a;
#pragma omp for schedule(static)
        for (long b = 0; b < blocks; b++) {
            if (failed) continue;
            const long first = b * block, count = least(pixels - first, block);
            gather(x, conv, first, count, a);
            multiply(count, depth, conv.out, a, w, result);
            write_values(result, y + first * conv.out, count * conv.out);
        }
        free(a);
    }
    return failed;
}

/* dx[N][H][W][C] of dy[N][tall][wide][K] and w[K][T][C]; a thread has whole images, in which the patches overlap */
int NAMED(patches_images)(const real *dy, const float *w, real *dx, const long *sizes, long block) {
    const Conv conv = conv_of(sizes);
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.tall * conv.wide;
    const long image = conv.height * conv.width * conv.in;
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *a = floats(block * (depth + conv.out) + image);
        float *gradient = a + block * depth, *whole = gradient + block * conv.out;
        failed = !a;
#pragma omp for schedule(static)
        for (long n = 0; n < conv.images; n++) {
            if (failed) continue;
            memset(whole, 0, sizeof(float) * image);
            for (long first = 0; first < pixels; first += block) {
                const long count = least(pixels - first, block);
                read_values(dy + (n * pixels + first) * conv.out, gradient, count * conv.out);
                multiply(count, conv.out, depth, gradient, w, a);
                scatter(a, conv, first, count, whole);
            }
            write_values(whole, dx + n * image, image);
        }
        free(a);
    }
    return failed;
}

/* dw[T][C][K] of x[N][H][W][C] and dy[N][tall][wide][K]; every thread sums its own pixels, in order */
int NAMED(patches_weights)(const real *x, const real *dy, float *dw, const long *sizes, long block) {
    const Conv conv = conv_of(sizes);
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.images * conv.tall * conv.wide;
    const long blocks = (pixels + block - 1) / block, size = depth * conv.out;
    float *sums = floats(threads_at_most() * size);
    if (!sums) return 1;
    int failed = 0, parts = 1;
#pragma omp parallel reduction(| : failed)
    {
        const int me = this_thread(), threads = threads_here();
        float *a = floats(block * (depth + conv.out)), *gradient = a + block * depth, *sum = sums + me * size;
        failed = !a;
        memset(sum, 0, sizeof(float) * size);
#pragma omp single
        parts = threads;
        const long end = blocks * (me + 1) / threads;
        for (long b = blocks * me / threads; b < end && a; b++) {
            const long first = b * block, count = least(pixels - first, block);
            gather(x, conv, first, count, a);
            read_values(dy + first * conv.out, gradient, count * conv.out);
            accumulate(count, depth, conv.out, a, gradient, sum);
        }
        free(a);
    }
    add_parts(sums, size, parts, dw);
    free(sums);
    return failed;
}
