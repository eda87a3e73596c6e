/* Dense convolutions of images, whose few channels fill no vector and which want no gradient. The taps of a row of the
   kernel lie side by side in an image with its zeros around it, and from pixel to pixel as far apart as the stride: rows
   of a matrix that need not be copied.

   Legend: N images, H height, W width, C channels in, K channels out, T taps in a row. Images are float, maps real.
   Functions return 0, or 1 without memory. */
#include "products.h"

typedef struct {
    long images, height, width, in, out, kernel, stride, border;
    long tall, wide;       /* of the map */
    long row, whole, run;  /* values of a row of an image with its border, of all its rows, of the taps in a row */
} Conv;

static Conv conv_of(const long s[10]) {
    const long row = (s[2] + 2 * s[7]) * s[3];
    return (Conv){s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9], row, (s[1] + 2 * s[7]) * row, s[5] * s[3]};
}

/* to[H + 2 border][W + 2 border][C] = x[H][W][C], whose border is zero already */
INLINE void frame(const float *x, const Conv conv, float *to) {
    const long run = conv.width * conv.in;
    for (long r = 0; r < conv.height; r++)
        memcpy(to + (r + conv.border) * conv.row + conv.border * conv.in, x + r * run, sizeof(float) * run);
}

/* y[N][tall][wide][K] of x[N][H][W][C] and w[T][T][C][K] */
int NAMED(images_forward)(real *y, const float *x, const float *w, const long *sizes) {
    const Conv conv = conv_of(sizes);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *framed = floats(conv.whole + conv.wide * conv.out), *line = framed + conv.whole;
        failed = !framed;
        if (framed) memset(framed, 0, sizeof(float) * conv.whole);
#pragma omp for schedule(static)
        for (long n = 0; n < conv.images; n++) {
            if (failed) continue;
            frame(x + n * conv.height * conv.width * conv.in, conv, framed);
            for (long r = 0; r < conv.tall; r++) {
                for (long i = 0; i < conv.kernel; i++)
                    product_of(conv.wide, conv.run, conv.out, framed + (r * conv.stride + i) * conv.row,
                               conv.stride * conv.in, 1, w + i * conv.run * conv.out, conv.out, line, i > 0);
                write_values(line, y + (n * conv.tall + r) * conv.wide * conv.out, conv.wide * conv.out);
            }
        }
        free(framed);
    }
    return failed;
}

/* dw[T][T][C][K] of dy[N][tall][wide][K] and x[N][H][W][C]; every thread sums its own images, in order */
int NAMED(images_weights)(const real *dy, const float *x, float *dw, const long *sizes) {
    const Conv conv = conv_of(sizes);
    const long size = conv.kernel * conv.run * conv.out;
    float *sums = floats(threads_at_most() * size);
    if (!sums) return 1;
    int failed = 0, parts = 1;
#pragma omp parallel reduction(| : failed)
    {
        const int me = this_thread(), threads = threads_here();
        float *framed = floats(conv.whole + conv.wide * conv.out), *line = framed + conv.whole, *sum = sums + me * size;
        failed = !framed;
        if (framed) memset(framed, 0, sizeof(float) * conv.whole);
        memset(sum, 0, sizeof(float) * size);
#pragma omp single
        parts = threads;
        const long end = conv.images * (me + 1) / threads;
        for (long n = conv.images * me / threads; n < end && framed; n++) {
            frame(x + n * conv.height * conv.width * conv.in, conv, framed);
            for (long r = 0; r < conv.tall; r++) {
                read_values(dy + (n * conv.tall + r) * conv.wide * conv.out, line, conv.wide * conv.out);
                for (long i = 0; i < conv.kernel; i++)
                    product_of(conv.run, conv.wide, conv.out, framed + (r * conv.stride + i) * conv.row, 1,
                               conv.stride * conv.in, line, conv.out, sum + i * conv.run * conv.out, 1);
            }
        }
        free(framed);
    }
    if (!failed) add_parts(sums, size, parts, dw);
    free(sums);
    return failed;
}
