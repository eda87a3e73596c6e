/* Dense convolutions of any kernel, stride and dilation as products of matrices: the patches of a block of output pixels
   are laid side by side (im2col: Chellapilla, Puri and Simard, 2006) in a core's own cache, never for the whole map.

   Legend: N images, H height, W width, C channels in, K channels out, T = kernel * kernel taps.
   Functions return 0, or 1 without memory. */
#include "products.h"
#include "tiles.h"

typedef struct {
    long images, height, width, in, out, kernel, stride, gap, before; /* `before`: zeros above and left */
    long tall, wide;                                                  /* of the output */
} Conv;

static Conv conv_of(const long s[11]) {
    return (Conv){s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], s[10]};
}

/* to[] = from[] */
INLINE void read_run(const real *from, float *to, long count) {
    if (count % LANES == 0)
        read_values(from, to, count);
    else
        for (long i = 0; i < count; i++) to[i] = read_one(from[i]);
}

/* to[] = from[], as they are or as floats */
INLINE void take_run(const int as_is, const real *from, void *to, long count) {
    if (as_is)
        copy_values(from, to, count);
    else
        read_run(from, to, count);
}

/* to[row][] = from[row][], rows `spaced` */
INLINE void read_rows(const real *from, long rows, long count, float *to) {
    if (spaced(count) == count)
        read_run(from, to, rows * count);
    else
        for (long r = 0; r < rows; r++) read_run(from + r * count, to + r * spaced(count), count);
}

/* to[] += from[] */
INLINE void add_run(const float *from, float *to, long count) {
    for (long i = 0; i < count; i += LANES) STORE(to + i) += LOAD(from + i);
}

/* Where the patch of an output pixel lies in its image, and whether all its columns do. Without a gap the taps of a row
   then lie side by side in memory, and are taken as one run of values. */
typedef struct {
    long image, top, left;
    int whole;
} Patch;

INLINE Patch patch_of(const Conv conv, long pixel) {
    const long top = pixel / conv.wide % conv.tall * conv.stride - conv.before;
    const long left = pixel % conv.wide * conv.stride - conv.before;
    const int whole = conv.gap == 1 && left >= 0 && left + conv.kernel <= conv.width;
    return (Patch){pixel / (conv.tall * conv.wide), top, left, whole};
}

/* Whether patches are the pixels themselves. */
INLINE int is_pointwise(const Conv conv) { return conv.kernel == 1 && conv.stride == 1 && conv.before == 0; }

/* a[pixel][T][C] of x, zeros outside the map; pixels lie `apart` values. With `as_is` they stay what they are in the map,
   otherwise they become floats. */
INLINE void gather_as(const int as_is, const real *x, const Conv conv, long first, long count, void *a, long apart) {
    const long size = as_is ? sizeof(real) : sizeof(float), run = conv.kernel * conv.in;
    char *to = a;
    for (long p = 0; p < count; p++, to = (char *)a + p * apart * size) {
        const Patch patch = patch_of(conv, first + p);
        for (long i = 0; i < conv.kernel; i++, to += run * size) {
            const long row = patch.top + i * conv.gap;
            const real *from = x + ((patch.image * conv.height + row) * conv.width + patch.left) * conv.in;
            if (row < 0 || row >= conv.height)
                memset(to, 0, size * run);
            else if (patch.whole)
                take_run(as_is, from, to, run);
            else
                for (long j = 0; j < conv.kernel; j++) {
                    const long column = patch.left + j * conv.gap;
                    if (column < 0 || column >= conv.width)
                        memset(to + j * conv.in * size, 0, size * conv.in);
                    else
                        take_run(as_is, from + j * conv.gap * conv.in, to + j * conv.in * size, conv.in);
                }
        }
    }
}

static void gather(const real *x, const Conv conv, long first, long count, float *a) {
    if (is_pointwise(conv))
        read_rows(x + first * conv.in, count, conv.in, a);
    else
        gather_as(0, x, conv, first, count, a, spaced(conv.kernel * conv.kernel * conv.in));
}

/* image[H][W][C] += a[pixel][T][C], pixels of it `apart`, where `first` is counted within the image */
static void scatter(const float *a, long apart, const Conv conv, long first, long count, float *whole) {
    const long run = conv.kernel * conv.in, gap = apart - conv.kernel * run;
    for (long p = 0; p < count; p++, a += gap) {
        const Patch patch = patch_of(conv, first + p);
        for (long i = 0; i < conv.kernel; i++, a += run) {
            const long row = patch.top + i * conv.gap;
            float *to = whole + (row * conv.width + patch.left) * conv.in;
            if (row < 0 || row >= conv.height) continue;
            if (patch.whole)
                add_run(a, to, run);
            else
                for (long j = 0; j < conv.kernel; j++) {
                    const long column = patch.left + j * conv.gap;
                    if (column >= 0 && column < conv.width)
                        add_run(a + j * conv.in, to + j * conv.gap * conv.in, conv.in);
                }
        }
    }
}

#ifdef TILES
#include "patch_tiles.h"
#endif

/* y[N][tall][wide][K] of x[N][H][W][C] and w[T][C][K] */
int NAMED(patches_forward)(const real *x, const float *w, real *y, const long *sizes, long block) {
    const Conv conv = conv_of(sizes);
#ifdef TILES
    if (may_use_tiles()) return forward_by_tiles(x, w, y, conv, block);
#endif
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.images * conv.tall * conv.wide;
    const long blocks = (pixels + block - 1) / block;
    float *packed = floats(depth * conv.out);
    if (!packed) return 1;
    pack(w, depth, conv.out, packed);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *a = floats(block * (spaced(depth) + conv.out)), *result = a + block * spaced(depth);
        failed = !a;
#pragma omp for schedule(dynamic)
        for (long b = 0; b < blocks; b++) {
            if (failed) continue;
            const long first = b * block, count = least(pixels - first, block);
            gather(x, conv, first, count, a);
            multiply_packed(count, depth, conv.out, a, spaced(depth), packed, result);
            write_values(result, y + first * conv.out, count * conv.out);
        }
        free(a);
    }
    free(packed);
    return failed;
}

/* dx[N][H][W][C] of dy[N][tall][wide][K] and w[K][T][C]; a thread has whole images, in which the patches overlap */
int NAMED(patches_images)(const real *dy, const float *w, real *dx, const long *sizes, long block) {
    const Conv conv = conv_of(sizes);
#ifdef TILES
    if (may_use_tiles()) return images_by_tiles(dy, w, dx, conv, block);
#endif
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.tall * conv.wide;
    const long image = conv.height * conv.width * conv.in;
    float *packed = floats(depth * conv.out);
    if (!packed) return 1;
    pack(w, conv.out, depth, packed);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *a = floats(block * (depth + conv.out) + image);
        float *gradient = a + block * depth, *whole = gradient + block * conv.out;
        failed = !a;
#pragma omp for schedule(dynamic)
        for (long n = 0; n < conv.images; n++) {
            if (failed) continue;
            if (!is_pointwise(conv)) memset(whole, 0, sizeof(float) * image);
            for (long first = 0; first < pixels; first += block) {
                const long count = least(pixels - first, block);
                read_values(dy + (n * pixels + first) * conv.out, gradient, count * conv.out);
                multiply_packed(count, conv.out, depth, gradient, conv.out, packed, a);
                if (is_pointwise(conv))
                    write_values(a, dx + n * image + first * conv.in, count * conv.in);
                else
                    scatter(a, depth, conv, first, count, whole);
            }
            if (!is_pointwise(conv)) write_values(whole, dx + n * image, image);
        }
        free(a);
    }
    free(packed);
    return failed;
}

/* dw[T][C][K] of x[N][H][W][C] and dy[N][tall][wide][K]; every thread sums its own pixels, in order */
int NAMED(patches_weights)(const real *x, const real *dy, float *dw, const long *sizes, long block) {
    const Conv conv = conv_of(sizes);
#ifdef TILES
    if (may_use_tiles()) return weights_by_tiles(x, dy, dw, conv, block);
#endif
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.images * conv.tall * conv.wide;
    const long blocks = (pixels + block - 1) / block, size = depth * conv.out;
    float *sums = floats(threads_at_most() * size);
    if (!sums) return 1;
    int failed = 0, parts = 1;
#pragma omp parallel reduction(| : failed)
    {
        const int me = this_thread(), threads = threads_here();
        float *a = floats(block * (spaced(depth) + spaced(conv.out))), *sum = sums + me * size;
        float *gradient = a + block * spaced(depth);
        failed = !a;
        memset(sum, 0, sizeof(float) * size);
#pragma omp single
        parts = threads;
        const long end = blocks * (me + 1) / threads;
        for (long b = blocks * me / threads; b < end && a; b++) {
            const long first = b * block, count = least(pixels - first, block);
            gather(x, conv, first, count, a);
            read_rows(dy + first * conv.out, count, conv.out, gradient);
            accumulate(count, depth, conv.out, a, spaced(depth), gradient, spaced(conv.out), sum);
        }
        free(a);
    }
    add_parts(sums, size, parts, dw);
    free(sums);
    return failed;
}
