/* 3 x 3 convolutions of stride 1 by Winograd's minimal filtering F(4x4, 3x3): 36 products where the direct way takes
   144 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016, with its matrices for F(4,3)).

   y = A^T [ (G w G^T) * (B^T x B) ] A for every 4 x 4 tile of y, its 6 x 6 patch x, and summed over channels; the
   products of one of the 36 points over all tiles and channels are a matrix product. The gradient of the input is the
   same convolution with weights turned by 180 degrees, that of the weights is G^T [ sum (B^T x B) * (A dy A^T) ] G.

   For maps of bfloat16 a processor's tiles do all 144 sooner (map_tiles.h).
   A dilation of d splits the map into d x d maps of every d-th row and column (`gap`), which do not touch.
   Legend: N images, H height, W width, C channels in, K channels out. Functions return 0, or 1 without memory. */
#include "products.h"
#include "tiles.h"

enum { TILE = 4, PATCH = 6, POINTS = 36 };
enum { APART = 16 }; /* floats between two points' matrices: powers of two apart they would share the cache's sets */

typedef struct {
    long height, width; /* of one of the gap x gap maps */
    long gap, across, down, channels;
} Map;

/* Where a tile lies: its first row and column in its own map, and the element of the whole that is there. */
typedef struct {
    long top, left, start;
} Place;

static Map map_of(long height, long width, long gap, long channels) {
    height /= gap;
    width /= gap;
    return (Map){height, width, gap, (width + TILE - 1) / TILE, (height + TILE - 1) / TILE, channels};
}

INLINE Place place_of(const Map map, long tile) {
    const long in_map = tile % (map.across * map.down), which = tile / (map.across * map.down);
    const long image = which / (map.gap * map.gap), phase = which % (map.gap * map.gap);
    const long top = in_map / map.across * TILE, left = in_map % map.across * TILE;
    const long row = (image * map.height + top) * map.gap + phase / map.gap;
    return (Place){top, left, (row * map.width * map.gap + left * map.gap + phase % map.gap) * map.channels};
}

/* ---- the transforms of one row or column ---- */

INLINE void times_bt(const vec d[6], vec o[6]) { /* B^T d */
    const vec p = d[4] - 4 * d[2], q = d[3] - 4 * d[1], r = d[4] - d[2], s = 2 * (d[3] - d[1]);
    o[0] = 4 * d[0] - 5 * d[2] + d[4];
    o[1] = p + q;
    o[2] = p - q;
    o[3] = r + s;
    o[4] = r - s;
    o[5] = 4 * d[1] - 5 * d[3] + d[5];
}

INLINE void times_at(const vec m[6], vec o[4]) { /* A^T m */
    const vec p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
    o[0] = m[0] + p + r;
    o[1] = q + 2 * s;
    o[2] = p + 4 * r;
    o[3] = q + 8 * s + m[5];
}

INLINE void times_a(const vec y[4], vec o[6]) { /* A y */
    const vec p = y[0] + y[2], q = y[1] + y[3], r = y[0] + 4 * y[2], s = 2 * y[1] + 8 * y[3];
    o[0] = y[0];
    o[1] = p + q;
    o[2] = p - q;
    o[3] = r + s;
    o[4] = r - s;
    o[5] = y[3];
}

INLINE void times_g(const vec g[3], vec o[6]) { /* G g */
    const vec p = g[0] + g[2], r = g[0] + 4 * g[2], s = 2 * g[1];
    o[0] = g[0] * 0.25f;
    o[1] = (p + g[1]) * (-1.0f / 6);
    o[2] = (p - g[1]) * (-1.0f / 6);
    o[3] = (r + s) * (1.0f / 24);
    o[4] = (r - s) * (1.0f / 24);
    o[5] = g[2];
}

INLINE void times_gt(const vec s[6], vec o[3]) { /* G^T s */
    const vec p = (s[1] + s[2]) * (-1.0f / 6), q = (s[1] - s[2]) * (-1.0f / 6);
    const vec r = (s[3] + s[4]) * (1.0f / 24), t = (s[3] - s[4]) * (1.0f / 12);
    o[0] = s[0] * 0.25f + p + r;
    o[1] = q + t;
    o[2] = p + 4 * r + s[5];
}

/* ---- the transforms of `count` tiles from tile `first` on ---- */

INLINE long matrix(long count, long channels) { return count * channels + APART; } /* floats from point to point */

/* v[point][tile][C] = B^T x B of the 6 x 6 patches; `zeros` are C values that stand for what lies outside the map */
static void transform_patches(const real *x, const Map map, const real *zeros, long first, long count, float *v) {
    const long step = map.gap * map.channels, row = map.gap * map.width * step, point = matrix(count, map.channels);
    for (long t = 0; t < count; t++) {
        const Place place = place_of(map, first + t);
        const real *from[PATCH][PATCH];
        for (int i = 0; i < PATCH; i++)
            for (int j = 0; j < PATCH; j++) {
                const long r = place.top - 1 + i, q = place.left - 1 + j;
                const int there = r >= 0 && r < map.height && q >= 0 && q < map.width;
                from[i][j] = there ? x + place.start + (i - 1) * row + (j - 1) * step : zeros;
            }
        for (long c = 0; c < map.channels; c += LANES) {
            vec half[6][6], d[6], o[6];
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++) {
#pragma GCC unroll 6
                for (int i = 0; i < 6; i++) d[i] = read(from[i][j] + c);
                times_bt(d, o);
#pragma GCC unroll 6
                for (int i = 0; i < 6; i++) half[i][j] = o[i];
            }
            float *to = v + t * map.channels + c;
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++) {
                times_bt(half[i], o);
#pragma GCC unroll 6
                for (int j = 0; j < 6; j++) STORE(to + (6 * i + j) * point) = o[j];
            }
        }
    }
}

/* y = A^T m A of m[point][tile][K] */
static void transform_products(const float *m, const Map map, long first, long count, real *y) {
    const long step = map.gap * map.channels, row = map.gap * map.width * step, point = matrix(count, map.channels);
    for (long t = 0; t < count; t++) {
        const Place place = place_of(map, first + t);
        const long tall = least(map.height - place.top, TILE), wide = least(map.width - place.left, TILE);
        for (long c = 0; c < map.channels; c += LANES) {
            vec half[4][6], d[6], o[4];
            const float *from = m + t * map.channels + c;
            real *corner = y + place.start + c;
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++) {
#pragma GCC unroll 6
                for (int i = 0; i < 6; i++) d[i] = LOAD(from + (6 * i + j) * point);
                times_at(d, o);
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) half[i][j] = o[i];
            }
            if (tall == TILE && wide == TILE) {
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) {
                    times_at(half[i], o);
#pragma GCC unroll 4
                    for (int j = 0; j < 4; j++) write(corner + i * row + j * step, o[j]);
                }
            } else {
                for (int i = 0; i < tall; i++) {
                    times_at(half[i], o);
                    for (int j = 0; j < wide; j++) write(corner + i * row + j * step, o[j]);
                }
            }
        }
    }
}

/* z[point][tile][K] = A dy A^T of the 4 x 4 tiles, `zeros` as above */
static void transform_gradients(const real *dy, const Map map, const real *zeros, long first, long count, float *z) {
    const long step = map.gap * map.channels, row = map.gap * map.width * step, point = matrix(count, map.channels);
    for (long t = 0; t < count; t++) {
        const Place place = place_of(map, first + t);
        const real *from[TILE][TILE];
        for (int i = 0; i < TILE; i++)
            for (int j = 0; j < TILE; j++) {
                const int there = place.top + i < map.height && place.left + j < map.width;
                from[i][j] = there ? dy + place.start + i * row + j * step : zeros;
            }
        for (long c = 0; c < map.channels; c += LANES) {
            vec half[6][4], d[4], o[6];
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
#pragma GCC unroll 4
                for (int i = 0; i < 4; i++) d[i] = read(from[i][j] + c);
                times_a(d, o);
#pragma GCC unroll 6
                for (int i = 0; i < 6; i++) half[i][j] = o[i];
            }
            float *to = z + t * map.channels + c;
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++) {
                times_a(half[i], o);
#pragma GCC unroll 6
                for (int j = 0; j < 6; j++) STORE(to + (6 * i + j) * point) = o[j];
            }
        }
    }
}

/* u[point] = G w G^T of w[3][3][C][K], packed as `multiply_packed` takes it; w turned by 180 degrees where `turned` */
static void transform_weights(const float *w, long in, long out, int turned, float *u) {
    const long size = in * out;
#pragma omp parallel for
    for (long c = 0; c < size; c += LANES) {
        float *to = u + packed_place(c / out, c % out, in, out);
        vec half[6][3], g[3], o[6];
        for (int j = 0; j < 3; j++) {
            for (int i = 0; i < 3; i++) g[i] = LOAD(w + (turned ? 8 - 3 * i - j : 3 * i + j) * size + c);
            times_g(g, o);
            for (int i = 0; i < 6; i++) half[i][j] = o[i];
        }
        for (int i = 0; i < 6; i++) {
            times_g(half[i], o);
            for (int j = 0; j < 6; j++) STORE(to + (6 * i + j) * size) = o[j];
        }
    }
}

/* dw[3][3][size] = G^T s G, s the sum of `parts` of s[part][point][size] */
static void transform_sums(const float *s, long size, int parts, float *dw) {
#pragma omp parallel for
    for (long c = 0; c < size; c += LANES) {
        vec half[3][6], d[6], o[3];
        for (int j = 0; j < 6; j++) {
            for (int i = 0; i < 6; i++) {
                d[i] = LOAD(s + (6 * i + j) * size + c);
                for (int part = 1; part < parts; part++) d[i] += LOAD(s + (part * POINTS + 6 * i + j) * size + c);
            }
            times_gt(d, o);
            for (int i = 0; i < 3; i++) half[i][j] = o[i];
        }
        for (int i = 0; i < 3; i++) {
            times_gt(half[i], o);
            for (int j = 0; j < 3; j++) STORE(dw + (3 * i + j) * size + c) = o[j];
        }
    }
}

#ifdef TILES
#include "map_tiles.h"
#endif

/* ---- what Python calls; `block` tiles are worked on at a time by a thread ---- */

int NAMED(kernel_lanes)(void) { return LANES; }

/* y[N][H][W][K] of x[N][H][W][C] and w[3][3][C][K], zeros of width `gap` around x */
int NAMED(winograd_forward)(const real *x, const float *w, real *y, long images, long height, long width, long gap,
                            long in, long out, int turned, long block) {
#ifdef TILES
    if (may_use_tiles()) return map_forward_by_tiles(x, w, y, images, padded_of(height, width, gap, turned), in, out);
#endif
    const Map from = map_of(height, width, gap, in), to = map_of(height, width, gap, out);
    const long tiles = images * gap * gap * from.across * from.down, blocks = (tiles + block - 1) / block;
    float *u = floats(POINTS * in * out + in);
    if (!u) return 1;
    const real *zeros = memset(u + POINTS * in * out, 0, sizeof(float) * in);
    transform_weights(w, in, out, turned, u);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        float *v = floats(POINTS * (matrix(block, in) + matrix(block, out)));
        float *m = v + POINTS * matrix(block, in);
        failed = !v;
#pragma omp for schedule(dynamic)
        for (long b = 0; b < blocks; b++) {
            if (failed) continue;
            const long first = b * block, count = least(tiles - first, block);
            transform_patches(x, from, zeros, first, count, v);
            for (int p = 0; p < POINTS; p++)
                multiply_packed(count, in, out, v + p * matrix(count, in), in, u + p * in * out,
                                m + p * matrix(count, out));
            transform_products(m, to, first, count, y);
        }
        free(v);
    }
    free(u);
    return failed;
}

/* dw[3][3][C][K] of x[N][H][W][C] and dy[N][H][W][K]; every thread sums its own tiles, so that a number of threads
   always gives the same bits */
int NAMED(winograd_weights)(const real *x, const real *dy, float *dw, long images, long height, long width, long gap,
                            long in, long out, long block) {
#ifdef TILES
    if (may_use_tiles()) return map_weights_by_tiles(x, dy, dw, images, padded_of(height, width, gap, 0), in, out);
#endif
    const Map from = map_of(height, width, gap, in), to = map_of(height, width, gap, out);
    const long tiles = images * gap * gap * from.across * from.down, blocks = (tiles + block - 1) / block;
    const long size = in * out, all = threads_at_most() * POINTS * size, widest = in > out ? in : out;
    float *sums = floats(all + widest);
    if (!sums) return 1;
    const real *zeros = memset(sums + all, 0, sizeof(float) * widest);
    int failed = 0, parts = 1;
#pragma omp parallel reduction(| : failed)
    {
        const int me = this_thread(), threads = threads_here();
        float *v = floats(POINTS * (matrix(block, in) + matrix(block, out)));
        float *z = v + POINTS * matrix(block, in), *sum = sums + me * POINTS * size;
        failed = !v;
        memset(sum, 0, sizeof(float) * POINTS * size);
#pragma omp single
        parts = threads;
        const long end = blocks * (me + 1) / threads;
        for (long b = blocks * me / threads; b < end && v; b++) {
            const long first = b * block, count = least(tiles - first, block);
            transform_patches(x, from, zeros, first, count, v);
            transform_gradients(dy, to, zeros, first, count, z);
            for (int p = 0; p < POINTS; p++)
                accumulate(count, in, out, v + p * matrix(count, in), in, z + p * matrix(count, out), out,
                           sum + p * size);
        }
        free(v);
    }
    if (!failed) transform_sums(sums, size, parts, dw);
    free(sums);
    return failed;
}
