/* Batch normalisation (Ioffe and Szegedy, ICML 2015) and the activation behind it in one pass over the map each way.

   With scale = weight / deviation and offset = bias - mean * scale the two are y = act(x * scale + offset). The gradient
   is dx = scale * (dz - mean(dz) - (x - mean) / deviation * mean(dz * (x - mean) / deviation)), dz = act'(z) dy.
   Maps are [rows][channels], a row being a pixel of an image. Functions return 0, or 1 without memory. Sums are taken
   over runs of rows in float and over the runs in double, always in the same order. */
#include "lanes.h"

enum { NONE, RELU, SILU, HARDSWISH, RELU6 };
enum { RUN = 64, AT_ONCE = 4 }; /* rows; of so many the sums do not wait for each other */

/* a where the mask is set, b elsewhere */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)(((ivec)a & mask) | ((ivec)b & ~mask)); }

/* e^x to about 2 units in the last place: 2^n by the exponent's bits, the rest by the polynomial of Cephes' expf */
INLINE vec exponential(vec x) {
    x = choose(x > 87.0f, (vec){0} + 87.0f, x);
    x = choose(x < -87.0f, (vec){0} - 87.0f, x);
    const float rounder = 12582912.0f; /* 1.5 * 2^23: what is added to it is rounded to a whole number */
    const vec whole = (x * 1.44269504f + rounder) - rounder;
    const vec rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    vec p = rest * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * rest + 8.3334519073e-3f;
    p = p * rest + 4.1665795894e-2f;
    p = p * rest + 1.6666665459e-1f;
    p = p * rest + 5.0000001201e-1f;
    p = p * rest * rest + rest + 1.0f;
    return p * (vec)((__builtin_convertvector(whole, ivec) + 127) << 23);
}

INLINE vec activate(const int kind, vec z) {
    switch (kind) {
        case RELU: return (vec)((ivec)z & (z > 0));
        case SILU: return z / (1.0f + exponential(-z));
        case HARDSWISH: return choose(z > 3, z, (vec)((ivec)(z * (z + 3) * (1.0f / 6)) & (z > -3)));
        case RELU6: return choose(z > 6, (vec){0} + 6.0f, (vec)((ivec)z & (z > 0)));
        default: return z;
    }
}

/* act'(z) * dy */
INLINE vec slope(const int kind, vec z, vec dy) {
    switch (kind) {
        case RELU: return (vec)((ivec)dy & (z > 0));
        case SILU: {
            const vec s = 1.0f / (1.0f + exponential(-z));
            return dy * s * (1.0f + z * (1.0f - s));
        }
        case HARDSWISH: return choose(z > 3, dy, (vec)((ivec)(dy * (2 * z + 3) * (1.0f / 6)) & (z > -3)));
        case RELU6: return (vec)((ivec)dy & (z > 0) & (z < 6));
        default: return dy;
    }
}

/* Calls FUNCTION with its first argument a constant, so that the compiler makes one loop of each kind. */
#define FOR_KIND(kind, FUNCTION, ...)                              \
    switch (kind) {                                                \
        case RELU: FUNCTION(RELU, __VA_ARGS__); break;             \
        case SILU: FUNCTION(SILU, __VA_ARGS__); break;             \
        case HARDSWISH: FUNCTION(HARDSWISH, __VA_ARGS__); break;   \
        case RELU6: FUNCTION(RELU6, __VA_ARGS__); break;           \
        default: FUNCTION(NONE, __VA_ARGS__); break;               \
    }

/* Which rows this thread sums: whole runs. */
static void own_rows(long rows, long *begin, long *end) {
    const long runs = (rows + RUN - 1) / RUN;
    *begin = runs * this_thread() / threads_here() * RUN;
    *end = runs * (this_thread() + 1) / threads_here() * RUN;
    if (*end > rows) *end = rows;
}

/* first[channel] and second[channel] of all threads into those of the first one */
static void gather(double *sums, int threads, long channels) {
    for (int t = 1; t < threads; t++)
        for (long c = 0; c < 2 * channels; c++) sums[c] += sums[2 * channels * t + c];
}

INLINE vec total(const vec parts[AT_ONCE]) { return (parts[0] + parts[1]) + (parts[2] + parts[3]); }

INLINE void add_lanes(double *to, vec from) {
    for (int i = 0; i < LANES; i++) to[i] += from[i];
}

INLINE void add_square(const real *x, vec origin, vec *sum, vec *square) {
    will_read(x + AHEAD);
    const vec apart = read(x) - origin;
    *sum += apart;
    *square += apart * apart;
}

/* found[mean, 1 / deviation, scale, offset][C] of x[rows][C]; moves the running mean[C] and variance[C] (unbiased) towards
   those of x, and counts the batch where `batches` is not null. numbers = {epsilon, momentum}. Deviations are taken from
   the first row, so that none is lost in a large mean. Of channels from `known` on, which are zeros and have no weight, all
   that is found is zero. */
int NAMED(norm_statistics)(const real *x, const float *weight, const float *bias, float *running_mean,
                           float *running_variance, long long *batches, const double *numbers, float *found, long rows,
                           long channels, long known) {
    double *sums = calloc((size_t)threads_at_most() * 2 * channels, sizeof(double));
    if (!sums) return 1;
    int threads = 1;
#pragma omp parallel
    {
        double *sum = sums + 2 * channels * this_thread(), *squares = sum + channels;
#pragma omp single
        threads = threads_here();
        long begin, end;
        own_rows(rows, &begin, &end);
        for (long run = begin; run < end; run += RUN) {
            const long stop = run + RUN < end ? run + RUN : end;
            for (long c = 0; c < channels; c += LANES) {
                const vec origin = read(x + c);
                vec s[AT_ONCE] = {{0}}, q[AT_ONCE] = {{0}};
                long r = run;
                for (; r + AT_ONCE <= stop; r += AT_ONCE)
#pragma GCC unroll 4
                    for (int i = 0; i < AT_ONCE; i++) add_square(x + (r + i) * channels + c, origin, s + i, q + i);
                for (; r < stop; r++) add_square(x + r * channels + c, origin, s, q);
                add_lanes(sum + c, total(s));
                add_lanes(squares + c, total(q));
            }
        }
    }
    gather(sums, threads, channels);
    memset(found, 0, sizeof(float) * 4 * channels);
    for (long c = 0; c < known; c++) {
        const double shift = sums[c] / rows, square = sums[channels + c] / rows - shift * shift;
        const double mean = shift + read_one(x[c]), variance = square > 0 || square != square ? square : 0;
        const double inverse = 1 / __builtin_sqrt(variance + numbers[0]), scale = weight[c] * inverse;
        found[c] = (float)mean;
        found[channels + c] = (float)inverse;
        found[2 * channels + c] = (float)scale;
        found[3 * channels + c] = (float)(bias[c] - mean * scale);
        running_mean[c] += (float)(numbers[1] * (mean - running_mean[c]));
        running_variance[c] += (float)(numbers[1] * (variance * rows / (rows - 1) - running_variance[c]));
    }
    if (batches) ++*batches;
    free(sums);
    return 0;
}

INLINE void apply(const int kind, const real *x, const float *scale, const float *offset, real *y, long rows,
                  long channels) {
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++)
        for (long c = 0; c < channels; c += LANES) {
            const long at = r * channels + c;
            will_read(x + at + AHEAD);
            will_write(y + at + AHEAD);
            write(y + at, activate(kind, read(x + at) * LOAD(scale + c) + LOAD(offset + c)));
        }
}

/* y = act(x * scale + offset) */
int NAMED(scale_act)(const real *x, const float *scale, const float *offset, real *y, long rows, long channels,
                     int kind) {
    FOR_KIND(kind, apply, x, scale, offset, y, rows, channels)
    return 0;
}

INLINE void add_slope(const int kind, const real *x, const real *dy, vec scale, vec offset, vec mean, vec *sum,
                      vec *product) {
    will_read(x + AHEAD);
    will_read(dy + AHEAD);
    const vec one = read(x), dz = slope(kind, one * scale + offset, read(dy));
    *sum += dz;
    *product += dz * (one - mean);
}

/* sum[C] += dz, product[C] += dz * (x - mean) over the rows from `begin` to `end` */
INLINE void add_rows(const int kind, const real *x, const real *dy, const float *scale, const float *offset,
                     const float *mean, double *sum, double *product, long begin, long end, long channels) {
    for (long c = 0; c < channels; c += LANES) {
        const vec a = LOAD(scale + c), b = LOAD(offset + c), middle = LOAD(mean + c);
        vec s[AT_ONCE] = {{0}}, q[AT_ONCE] = {{0}};
        long r = begin;
        for (; r + AT_ONCE <= end; r += AT_ONCE)
#pragma GCC unroll 4
            for (int i = 0; i < AT_ONCE; i++) {
                const long at = (r + i) * channels + c;
                add_slope(kind, x + at, dy + at, a, b, middle, s + i, q + i);
            }
        for (; r < end; r++) add_slope(kind, x + r * channels + c, dy + r * channels + c, a, b, middle, s, q);
        add_lanes(sum + c, total(s));
        add_lanes(product + c, total(q));
    }
}

/* dx = scale * dz + x * slant + shift */
INLINE void differentiate(const int kind, const real *x, const real *dy, const float *scale, const float *offset,
                          const float *slant, const float *shift, real *dx, long rows, long channels) {
#pragma omp parallel for schedule(static)
    for (long r = 0; r < rows; r++)
        for (long c = 0; c < channels; c += LANES) {
            const long at = r * channels + c;
            will_read(x + at + AHEAD);
            will_read(dy + at + AHEAD);
            will_write(dx + at + AHEAD);
            const vec one = read(x + at), a = LOAD(scale + c);
            const vec dz = slope(kind, one * a + LOAD(offset + c), read(dy + at));
            write(dx + at, a * dz + one * LOAD(slant + c) + LOAD(shift + c));
        }
}

/* dx[rows][C], dweight[C] and dbias[C] of y = act(batch norm of x) in training; `found` as norm_statistics left it */
int NAMED(norm_act_backward)(const real *x, const real *dy, const float *found, real *dx, float *dweight, float *dbias,
                             long rows, long channels, int kind) {
    const float *mean = found, *inverse = mean + channels, *scale = inverse + channels, *offset = scale + channels;
    double *sums = calloc((size_t)threads_at_most() * 2 * channels, sizeof(double));
    float *slant = malloc(sizeof(float) * 2 * channels), *shift = slant + channels;
    if (!sums || !slant) {
        free(sums);
        free(slant);
        return 1;
    }
    int threads = 1;
#pragma omp parallel
    {
        double *sum = sums + 2 * channels * this_thread();
#pragma omp single
        threads = threads_here();
        long begin, end;
        own_rows(rows, &begin, &end);
        for (long run = begin; run < end; run += RUN) {
            const long stop = run + RUN < end ? run + RUN : end;
            FOR_KIND(kind, add_rows, x, dy, scale, offset, mean, sum, sum + channels, run, stop, channels)
        }
    }
    gather(sums, threads, channels);
    for (long c = 0; c < channels; c++) {
        const double s = sums[c], q = sums[channels + c] * inverse[c];
        const double a = -(double)scale[c] * inverse[c] * q / rows;
        dbias[c] = (float)s;
        dweight[c] = (float)q;
        slant[c] = (float)a;
        shift[c] = (float)(-(double)scale[c] * s / rows - a * mean[c]);
    }
    FOR_KIND(kind, differentiate, x, dy, scale, offset, slant, shift, dx, rows, channels)
    free(sums);
    free(slant);
    return 0;
}
