/* Depthwise convolutions, a vector of channels at a time. Legend: N images, H height, W width, C channels, T taps.
   Functions return 0, or 1 without memory. */
#include "lanes.h"

typedef struct {
    long images, height, width, channels, kernel, stride, gap, before; /* `before`: zeros above and left */
    long tall, wide;                                                   /* of the output */
} Conv;

static Conv conv_of(const long s[10]) {
    return (Conv){s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9]};
}

/* Which taps of a row or column of output `place` read inside a map of `size`: from *begin to before *end. */
INLINE void taps_inside(const Conv conv, long place, long size, long *begin, long *end) {
    const long first = place * conv.stride - conv.before;
    *begin = first < 0 ? (-first + conv.gap - 1) / conv.gap : 0;
    *end = first >= size ? 0 : least(conv.kernel, (size - first + conv.gap - 1) / conv.gap);
}

/* One output pixel: the taps from (i0, j0) to before (i1, j1), `from` being where tap (0, 0) reads. */
INLINE void pixel(const Conv conv, const real *from, const float *w, real *to, long i0, long i1, long j0, long j1) {
    const long row = conv.gap * conv.width * conv.channels, step = conv.gap * conv.channels;
    for (long c = 0; c < conv.channels; c += LANES) {
        vec sum = {0};
#pragma GCC unroll 5
        for (long i = i0; i < i1; i++)
#pragma GCC unroll 5
            for (long j = j0; j < j1; j++)
                sum += read(from + i * row + j * step + c) * LOAD(w + (i * conv.kernel + j) * conv.channels + c);
        write(to + c, sum);
    }
}

/* y[N][tall][wide][C] of x[N][H][W][C] and w[T][C] */
int NAMED(depthwise_forward)(const real *x, const float *w, real *y, const long *sizes) {
    const Conv conv = conv_of(sizes);
    const long row = conv.width * conv.channels;
#pragma omp parallel for schedule(static)
    for (long line = 0; line < conv.images * conv.tall; line++) {
        const long image = line / conv.tall, r = line % conv.tall;
        long i0, i1, j0, j1;
        taps_inside(conv, r, conv.height, &i0, &i1);
        for (long q = 0; q < conv.wide; q++) {
            taps_inside(conv, q, conv.width, &j0, &j1);
            const real *from = x + (image * conv.height + r * conv.stride - conv.before) * row +
                                (q * conv.stride - conv.before) * conv.channels;
            real *to = y + (line * conv.wide + q) * conv.channels;
            const int whole = i1 - i0 == conv.kernel && j1 - j0 == conv.kernel;
            if (whole && conv.kernel == 3)
                pixel(conv, from, w, to, 0, 3, 0, 3);
            else if (whole && conv.kernel == 5)
                pixel(conv, from, w, to, 0, 5, 0, 5);
            else
                pixel(conv, from, w, to, i0, i1, j0, j1);
        }
    }
    return 0;
}

/* dx[N][H][W][C] of dy[N][tall][wide][C] and w[T][C]; a thread has whole images */
int NAMED(depthwise_images)(const real *dy, const float *w, real *dx, const long *sizes) {
    const Conv conv = conv_of(sizes);
    const long row = conv.width * conv.channels, image = conv.height * row;
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *whole = floats(image);
        failed = !whole;
#pragma omp for schedule(static)
        for (long n = 0; n < conv.images; n++) {
            if (failed) continue;
            memset(whole, 0, sizeof(float) * image);
            for (long place = 0; place < conv.tall * conv.wide; place++) {
                const long r = place / conv.wide, q = place % conv.wide;
                long i0, i1, j0, j1;
                taps_inside(conv, r, conv.height, &i0, &i1);
                taps_inside(conv, q, conv.width, &j0, &j1);
                float *to = whole + (r * conv.stride - conv.before) * row + (q * conv.stride - conv.before) * conv.channels;
                const real *from = dy + (n * conv.tall * conv.wide + place) * conv.channels;
                for (long c = 0; c < conv.channels; c += LANES) {
                    const vec gradient = read(from + c);
                    for (long i = i0; i < i1; i++)
                        for (long j = j0; j < j1; j++)
                            STORE(to + i * conv.gap * row + j * conv.gap * conv.channels + c) +=
                                gradient * LOAD(w + (i * conv.kernel + j) * conv.channels + c);
                }
            }
            write_values(whole, dx + n * image, image);
        }
        free(whole);
    }
    return failed;
}

enum { WIDEST = 7 }; /* taps in a row */

/* sum[T][C] += the part of one image, a row of taps at a time, so that each has a sum of its own in a register */
INLINE void add_image(const int kernel, const real *x, const real *dy, const Conv conv, float *sum) {
    const long row = conv.width * conv.channels, step = conv.gap * conv.channels;
    for (long i = 0; i < kernel; i++)
        for (long c = 0; c < conv.channels; c += LANES) {
            vec total[WIDEST];
            for (long j = 0; j < kernel; j++) total[j] = (vec){0};
            for (long r = 0; r < conv.tall; r++) {
                const long down = r * conv.stride - conv.before + i * conv.gap;
                if (down < 0 || down >= conv.height) continue;
                for (long q = 0; q < conv.wide; q++) {
                    const long left = q * conv.stride - conv.before;
                    const real *from = x + down * row + left * conv.channels + c;
                    const vec gradient = read(dy + (r * conv.wide + q) * conv.channels + c);
                    if (left >= 0 && left + (kernel - 1) * conv.gap < conv.width) {
#pragma GCC unroll 7
                        for (long j = 0; j < kernel; j++) total[j] += read(from + j * step) * gradient;
                    } else {
                        for (long j = 0; j < kernel; j++)
                            if (left + j * conv.gap >= 0 && left + j * conv.gap < conv.width)
                                total[j] += read(from + j * step) * gradient;
                    }
                }
            }
            for (long j = 0; j < kernel; j++) STORE(sum + (i * kernel + j) * conv.channels + c) += total[j];
        }
}

/* dw[T][C] of x[N][H][W][C] and dy[N][tall][wide][C], WIDEST taps across at most; every thread sums its own images, in
   order */
int NAMED(depthwise_weights)(const real *x, const real *dy, float *dw, const long *sizes) {
    const Conv conv = conv_of(sizes);
    const long size = conv.kernel * conv.kernel * conv.channels;
    const long image = conv.height * conv.width * conv.channels, result = conv.tall * conv.wide * conv.channels;
    float *sums = floats(threads_at_most() * size);
    if (!sums) return 1;
    int parts = 1;
#pragma omp parallel
    {
        const int me = this_thread(), threads = threads_here();
        float *sum = sums + me * size;
        memset(sum, 0, sizeof(float) * size);
#pragma omp single
        parts = threads;
        const long end = conv.images * (me + 1) / threads;
        for (long n = conv.images * me / threads; n < end; n++) switch (conv.kernel) {
                case 3: add_image(3, x + n * image, dy + n * result, conv, sum); break;
                case 5: add_image(5, x + n * image, dy + n * result, conv, sum); break;
                default: add_image(conv.kernel, x + n * image, dy + n * result, conv, sum); break;
            }
    }
    add_parts(sums, size, parts, dw);
    free(sums);
    return 0;
}
