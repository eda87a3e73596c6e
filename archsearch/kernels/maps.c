/* Sums, averages and dropout of whole maps. Legend: N images, P pixels of an image, C channels. Functions return 0. */
#include "lanes.h"

enum { CHUNK = 4096 }; /* values that a thread takes at a time */

/* to[] = a[] + b[] */
int NAMED(add_maps)(const real *a, const real *b, real *to, long count) {
#pragma omp parallel for schedule(static)
    for (long begin = 0; begin < count; begin += CHUNK) {
        const long end = begin + least(CHUNK, count - begin);
        for (long i = begin; i < end; i += LANES) {
            will_read(a + i + AHEAD);
            will_read(b + i + AHEAD);
            will_write(to + i + AHEAD);
            write(to + i, read(a + i) + read(b + i));
        }
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

/* Every bit of the result depends on every bit of x (Wellons, "Prospecting for Hash Functions", 2018: lowbias32). */
INLINE uvec scattered(uvec x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* y = x / (1 - rate), and 0 where a number drawn for the value is below the rate, `below` 2^-32. What is drawn is a matter
   of `seed` and the value's place alone, so that the gradient goes the same way and threads do not count. */
int NAMED(drop_values)(const real *x, real *y, const long long *seed, long count, long below) {
    const unsigned low = (unsigned)*seed, high = (unsigned)(*seed >> 32), least_kept = (unsigned)below;
    const float scale = (float)(1 / (1 - below * 0x1p-32));
    uvec lanes = {0};
    for (unsigned i = 0; i < LANES; i++) lanes[i] = i;
#pragma omp parallel for schedule(static)
    for (long begin = 0; begin < count; begin += CHUNK) {
        const long end = begin + least(CHUNK, count - begin);
        for (long i = begin; i < end; i += LANES) {
            const uvec drawn = scattered(scattered(((unsigned)i + lanes) ^ low) + high);
            write(y + i, (vec)((ivec)(read(x + i) * scale) & (drawn >= least_kept)));
        }
    }
    return 0;
}
