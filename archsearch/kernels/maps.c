/* Sums and averages of whole maps. Legend: N images, P pixels of an image, C channels. Functions return 0. */
#include "lanes.h"

enum { CHUNK = 4096 }; /* values that a thread takes at a time */

/* to[] = a[] + b[] */
int NAMED(add_maps)(const real *a, const real *b, real *to, long count) {
#pragma omp parallel for schedule(static)
    for (long begin = 0; begin < count; begin += CHUNK) {
        const long end = begin + least(CHUNK, count - begin);
        for (long i = begin; i < end; i += LANES) write(to + i, read(a + i) + read(b + i));
    }
    return 0;
}

/* mean[N][C] of x[N][P][C] */
int NAMED(average_pixels)(const real *x, float *mean, long images, long pixels, long channels) {
    const float share = 1.0f / pixels;
#pragma omp parallel for schedule(static)
    for (long n = 0; n < images; n++)
        for (long c = 0; c < channels; c += LANES) {
            vec sum = {0};
            for (long p = 0; p < pixels; p++) sum += read(x + (n * pixels + p) * channels + c);
            STORE(mean + n * channels + c) = sum * share;
        }
    return 0;
}

/* dx[N][P][C], the gradient of the map behind that of its averages, dmean[N][C] */
int NAMED(spread_average)(real *dx, const float *dmean, long images, long pixels, long channels) {
    const float share = 1.0f / pixels;
#pragma omp parallel for schedule(static)
    for (long n = 0; n < images; n++)
        for (long p = 0; p < pixels; p++)
            for (long c = 0; c < channels; c += LANES)
                write(dx + (n * pixels + p) * channels + c, LOAD(dmean + n * channels + c) * share);
    return 0;
}
