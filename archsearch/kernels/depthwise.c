/* Depthwise convolutions, a vector of channels at a time: those of one image are laid out as a plane with the zeros
   around them, in float and in a core's own cache. Legend: N images, H height, W width, C channels, T taps.
   Functions return 0, or 1 without memory. */
#include "lanes.h"

typedef struct {
    long images, height, width, channels, kernel, stride, gap, before; /* `before`: zeros above and left */
    long tall, wide;                                                   /* of the output */
    long down, across;                                                 /* of what the taps reach: the plane */
} Conv;

static Conv conv_of(const long s[10]) {
    const long reach = (s[4] - 1) * s[6] + 1;
    return (Conv){s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7], s[8], s[9],
                  (s[8] - 1) * s[5] + reach, (s[9] - 1) * s[5] + reach};
}

/* Which rows (or columns) of a map lie in the plane. */
INLINE long first_inside(long before) { return before < 0 ? -before : 0; }
INLINE long end_inside(long size, long reached, long before) { return least(size, reached - before); }

/* plane[down][across] = the channels from c on of an image of x; what lies around them stays as it is */
INLINE void lay_out(const real *x, const Conv conv, long c, vec *plane) {
    const long end = end_inside(conv.height, conv.down, conv.before);
    const long last = end_inside(conv.width, conv.across, conv.before);
    vec *to = plane + conv.before * conv.across + conv.before;
    for (long r = first_inside(conv.before); r < end; r++)
        for (long q = first_inside(conv.before); q < last; q++)
            to[r * conv.across + q] = read(x + (r * conv.width + q) * conv.channels + c);
}

/* y[tall][wide][C], the channels from c on, of a plane and w[T][C], turned by 180 degrees where `turned`; the next image,
   x, and what becomes of it are fetched meanwhile */
INLINE void filter(const int kernel, const vec *plane, const float *w, int turned, const Conv conv, long c, real *y,
                   const real *x) {
    vec taps[kernel][kernel];
    for (int i = 0; i < kernel; i++)
        for (int j = 0; j < kernel; j++) {
            const int tap = i * kernel + j;
            taps[i][j] = LOAD(w + (turned ? kernel * kernel - 1 - tap : tap) * conv.channels + c);
        }
    for (long r = 0; r < conv.tall; r++)
        for (long q = 0; q < conv.wide; q++) {
            const vec *from = plane + r * conv.stride * conv.across + q * conv.stride;
            vec sum = {0};
#pragma GCC unroll 7
            for (int i = 0; i < kernel; i++)
#pragma GCC unroll 7
                for (int j = 0; j < kernel; j++) sum += from[i * conv.gap * conv.across + j * conv.gap] * taps[i][j];
            const long at = (r * conv.wide + q) * conv.channels + c;
            write(y + at, sum);
            will_read(x + at);
            will_write(y + conv.tall * conv.wide * conv.channels + at);
        }
}

/* y[N][tall][wide][C] of x[N][H][W][C] and w[T][C], turned where `turned` */
int NAMED(depthwise_forward)(const real *x, const float *w, real *y, const long *sizes, int turned) {
    const Conv conv = conv_of(sizes);
    const long image = conv.height * conv.width * conv.channels, result = conv.tall * conv.wide * conv.channels;
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *values = floats(conv.down * conv.across * LANES);
        vec *plane = (vec *)values;
        failed = !values;
        if (values) memset(values, 0, sizeof(vec) * conv.down * conv.across);
#pragma omp for schedule(static)
        for (long n = 0; n < conv.images; n++) {
            if (failed) continue;
            const real *next = x + (n + 1) * image;
            for (long c = 0; c < conv.channels; c += LANES) {
                lay_out(x + n * image, conv, c, plane);
                switch (conv.kernel) {
                    case 3: filter(3, plane, w, turned, conv, c, y + n * result, next); break;
                    case 5: filter(5, plane, w, turned, conv, c, y + n * result, next); break;
                    default: filter((int)conv.kernel, plane, w, turned, conv, c, y + n * result, next); break;
                }
            }
        }
        free(values);
    }
    return failed;
}

/* dx[N][H][W][C] of dy[N][tall][wide][C] and w[T][C] */
int NAMED(depthwise_images)(const real *dy, const float *w, real *dx, const long *sizes) {
    const Conv conv = conv_of(sizes);
    const long image = conv.height * conv.width * conv.channels, result = conv.tall * conv.wide * conv.channels;
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *values = floats(conv.down * conv.across * LANES);
        vec *plane = (vec *)values;
        failed = !values;
#pragma omp for schedule(static)
        for (long place = 0; place < conv.images * conv.channels / LANES; place++) {
            if (failed) continue;
            const long n = place * LANES / conv.channels, c = place * LANES % conv.channels;
            memset(values, 0, sizeof(vec) * conv.down * conv.across);
            for (long r = 0; r < conv.tall; r++)
                for (long q = 0; q < conv.wide; q++) {
                    const vec gradient = read(dy + n * result + (r * conv.wide + q) * conv.channels + c);
                    vec *to = plane + r * conv.stride * conv.across + q * conv.stride;
                    for (long i = 0; i < conv.kernel; i++)
                        for (long j = 0; j < conv.kernel; j++)
                            to[i * conv.gap * conv.across + j * conv.gap] +=
                                gradient * LOAD(w + (i * conv.kernel + j) * conv.channels + c);
                }
            for (long r = 0; r < conv.height; r++)
                for (long q = 0; q < conv.width; q++) {
                    const long down = r + conv.before, right = q + conv.before;
                    const int reached = down >= 0 && down < conv.down && right >= 0 && right < conv.across;
                    write(dx + n * image + (r * conv.width + q) * conv.channels + c,
                          reached ? plane[down * conv.across + right] : (vec){0});
                }
        }
        free(values);
    }
    return failed;
}

enum { WIDEST = 7 }; /* taps in a row */

/* sum[T][C] += the part of a plane and dy[tall][wide][C], the channels from c on; so many rows of taps at a time as have
   their sums in registers */
INLINE void add_plane(const int kernel, const int rows, const vec *plane, const real *dy, const Conv conv, long c,
                      float *sum, const real *x) {
    for (int top = 0; top < kernel; top += rows) {
        vec total[WIDEST][WIDEST];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < kernel; j++) total[i][j] = (vec){0};
        for (long r = 0; r < conv.tall; r++)
            for (long q = 0; q < conv.wide; q++) {
                const long at = (r * conv.wide + q) * conv.channels + c;
                const vec gradient = read(dy + at);
                const vec *from = plane + (r * conv.stride + top * conv.gap) * conv.across + q * conv.stride;
                if (top == 0) {
                    will_read(dy + conv.tall * conv.wide * conv.channels + at);
                    will_read(x + at);
                }
#pragma GCC unroll 3
                for (int i = 0; i < rows; i++)
#pragma GCC unroll 7
                    for (int j = 0; j < kernel; j++)
                        total[i][j] += from[i * conv.gap * conv.across + j * conv.gap] * gradient;
            }
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < kernel; j++) STORE(sum + ((top + i) * kernel + j) * conv.channels + c) += total[i][j];
    }
}

/* dw[T][C] of x[N][H][W][C] and dy[N][tall][wide][C], WIDEST taps across at most; every thread sums its own images, in
   order */
int NAMED(depthwise_weights)(const real *x, const real *dy, float *dw, const long *sizes) {
    const Conv conv = conv_of(sizes);
    const long size = conv.kernel * conv.kernel * conv.channels, plane_size = conv.down * conv.across * LANES;
    const long image = conv.height * conv.width * conv.channels, result = conv.tall * conv.wide * conv.channels;
    float *sums = floats(threads_at_most() * (size + plane_size));
    if (!sums) return 1;
    int parts = 1;
#pragma omp parallel
    {
        const int me = this_thread(), threads = threads_here();
        float *sum = sums + me * size, *values = sums + threads_at_most() * size + me * plane_size;
        vec *plane = (vec *)values;
        memset(sum, 0, sizeof(float) * size);
        memset(values, 0, sizeof(float) * plane_size);
#pragma omp single
        parts = threads;
        const long end = conv.images * (me + 1) / threads;
        for (long n = conv.images * me / threads; n < end; n++)
            for (long c = 0; c < conv.channels; c += LANES) {
                lay_out(x + n * image, conv, c, plane);
                const real *next = x + (n + 1) * image;
                switch (conv.kernel) {
                    case 3: add_plane(3, 3, plane, dy + n * result, conv, c, sum, next); break;
                    case 5: add_plane(5, 1, plane, dy + n * result, conv, c, sum, next); break;
                    default: add_plane((int)conv.kernel, 1, plane, dy + n * result, conv, c, sum, next); break;
                }
            }
    }
    add_parts(sums, size, parts, dw);
    free(sums);
    return 0;
}
