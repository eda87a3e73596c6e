/* Convolutions of stride 1 by Winograd's minimal filtering: of 3 x 3 taps by F(4x4, 3x3), 36 products where the direct way
   takes 144, of 5 x 5 by F(2x2, 5x5), 36 products for 100 (winograd_rows.h).

   y = A^T [ (G w G^T) * (B^T x B) ] A for every tile of y, its 6 x 6 patch x, and summed over channels; the
   products of one of the 36 points over all tiles and channels are a matrix product. The gradient of the input is the
   same convolution with weights turned by 180 degrees, that of the weights is G^T [ sum (B^T x B) * (A dy A^T) ] G.

   For maps of bfloat16 a processor's tiles do all of the direct way's products sooner (map_tiles.h).
   A dilation of d splits the map into d x d maps of every d-th row and column (`gap`), which do not touch.
   Legend: N images, H height, W width, C channels in, K channels out. Functions return 0, or 1 without memory. */
#include "products.h"
#include "tiles.h"
#include "winograd_rows.h"

enum { POINTS = PATCH * PATCH };
enum { APART = 16 }; /* floats between two points' matrices: powers of two apart they would share the cache's sets */

typedef struct {
    long height, width; /* of one of the gap x gap maps */
    long gap, across, down, channels;
    int tile;
} Map;

/* Where a tile lies: its first row and column in its own map, and the element of the whole that is there. */
typedef struct {
    long top, left, start;
} Place;

static Map map_of(int tile, long height, long width, long gap, long channels) {
    height /= gap;
    width /= gap;
    return (Map){height, width, gap, (width + tile - 1) / tile, (height + tile - 1) / tile, channels, tile};
}

INLINE Place place_of(const Map map, long tile) {
    const long in_map = tile % (map.across * map.down), which = tile / (map.across * map.down);
    const long image = which / (map.gap * map.gap), phase = which % (map.gap * map.gap);
    const long top = in_map / map.across * map.tile, left = in_map % map.across * map.tile;
    const long row = (image * map.height + top) * map.gap + phase / map.gap;
    return (Place){top, left, (row * map.width * map.gap + left * map.gap + phase % map.gap) * map.channels};
}

/* ---- the transforms of `count` tiles from tile `first` on ---- */

INLINE long matrix(long count, long channels) { return count * channels + APART; } /* floats from point to point */

/* v[point][tile][C] = B^T x B of the 6 x 6 patches; `zeros` are C values that stand for what lies outside the map */
static void transform_patches(const real *x, const Map map, const real *zeros, long first, long count, float *v) {
    const long step = map.gap * map.channels, row = map.gap * map.width * step, point = matrix(count, map.channels);
    const int before = taps_of(map.tile) / 2;
    for (long t = 0; t < count; t++) {
        const Place place = place_of(map, first + t);
        const real *from[PATCH][PATCH];
        for (int i = 0; i < PATCH; i++)
            for (int j = 0; j < PATCH; j++) {
                const long r = place.top - before + i, q = place.left - before + j;
                const int there = r >= 0 && r < map.height && q >= 0 && q < map.width;
                from[i][j] = there ? x + place.start + (i - before) * row + (j - before) * step : zeros;
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
INLINE void products_into(const int tile, const float *m, const Map map, long first, long count, real *y) {
    const long step = map.gap * map.channels, row = map.gap * map.width * step, point = matrix(count, map.channels);
    for (long t = 0; t < count; t++) {
        const Place place = place_of(map, first + t);
        const long tall = least(map.height - place.top, tile), wide = least(map.width - place.left, tile);
        for (long c = 0; c < map.channels; c += LANES) {
            vec half[4][6], d[6], o[4];
            const float *from = m + t * map.channels + c;
            real *corner = y + place.start + c;
#pragma GCC unroll 6
            for (int j = 0; j < 6; j++) {
#pragma GCC unroll 6
                for (int i = 0; i < 6; i++) d[i] = LOAD(from + (6 * i + j) * point);
                times_at(tile, d, o);
#pragma GCC unroll 4
                for (int i = 0; i < tile; i++) half[i][j] = o[i];
            }
            if (tall == tile && wide == tile) {
#pragma GCC unroll 4
                for (int i = 0; i < tile; i++) {
                    times_at(tile, half[i], o);
#pragma GCC unroll 4
                    for (int j = 0; j < tile; j++) write(corner + i * row + j * step, o[j]);
                }
            } else {
                for (int i = 0; i < tall; i++) {
                    times_at(tile, half[i], o);
                    for (int j = 0; j < wide; j++) write(corner + i * row + j * step, o[j]);
                }
            }
        }
    }
}

static void transform_products(const float *m, const Map map, long first, long count, real *y) {
    if (map.tile == 4) products_into(4, m, map, first, count, y);
    else products_into(2, m, map, first, count, y);
}

/* z[point][tile][K] = A dy A^T of the tiles, `zeros` as above */
INLINE void gradients_of(const int tile, const real *dy, const Map map, const real *zeros, long first, long count,
                         float *z) {
    const long step = map.gap * map.channels, row = map.gap * map.width * step, point = matrix(count, map.channels);
    for (long t = 0; t < count; t++) {
        const Place place = place_of(map, first + t);
        const real *from[4][4];
        for (int i = 0; i < tile; i++)
            for (int j = 0; j < tile; j++) {
                const int there = place.top + i < map.height && place.left + j < map.width;
                from[i][j] = there ? dy + place.start + i * row + j * step : zeros;
            }
        for (long c = 0; c < map.channels; c += LANES) {
            vec half[6][4], d[4], o[6];
#pragma GCC unroll 4
            for (int j = 0; j < tile; j++) {
#pragma GCC unroll 4
                for (int i = 0; i < tile; i++) d[i] = read(from[i][j] + c);
                times_a(tile, d, o);
#pragma GCC unroll 6
                for (int i = 0; i < 6; i++) half[i][j] = o[i];
            }
            float *to = z + t * map.channels + c;
#pragma GCC unroll 6
            for (int i = 0; i < 6; i++) {
                times_a(tile, half[i], o);
#pragma GCC unroll 6
                for (int j = 0; j < 6; j++) STORE(to + (6 * i + j) * point) = o[j];
            }
        }
    }
}

static void transform_gradients(const real *dy, const Map map, const real *zeros, long first, long count, float *z) {
    if (map.tile == 4) gradients_of(4, dy, map, zeros, first, count, z);
    else gradients_of(2, dy, map, zeros, first, count, z);
}

/* u[point] = G w G^T of w[taps][taps][C][K], packed as `multiply_packed` takes it; w turned by 180 degrees where `turned` */
static void transform_weights(int tile, const float *w, long in, long out, int turned, float *u) {
    const long size = in * out;
    const int taps = taps_of(tile), last = taps * taps - 1;
#pragma omp parallel for
    for (long c = 0; c < size; c += LANES) {
        float *to = u + packed_place(c / out, c % out, in, out);
        vec half[6][5], g[5], o[6];
        for (int j = 0; j < taps; j++) {
            for (int i = 0; i < taps; i++) g[i] = LOAD(w + (turned ? last - taps * i - j : taps * i + j) * size + c);
            times_g(tile, g, o);
            for (int i = 0; i < 6; i++) half[i][j] = o[i];
        }
        for (int i = 0; i < 6; i++) {
            times_g(tile, half[i], o);
            for (int j = 0; j < 6; j++) STORE(to + (6 * i + j) * size) = o[j];
        }
    }
}

/* dw[taps][taps][size] = G^T s G, s the sum of `parts` of s[part][point][size] */
static void transform_sums(int tile, const float *s, long size, int parts, float *dw) {
    const int taps = taps_of(tile);
#pragma omp parallel for
    for (long c = 0; c < size; c += LANES) {
        vec half[5][6], d[6], o[5];
        for (int j = 0; j < 6; j++) {
            for (int i = 0; i < 6; i++) {
                d[i] = LOAD(s + (6 * i + j) * size + c);
                for (int part = 1; part < parts; part++) d[i] += LOAD(s + (part * POINTS + 6 * i + j) * size + c);
            }
            times_gt(tile, d, o);
            for (int i = 0; i < taps; i++) half[i][j] = o[i];
        }
        for (int i = 0; i < taps; i++) {
            times_gt(tile, half[i], o);
            for (int j = 0; j < taps; j++) STORE(dw + (taps * i + j) * size + c) = o[j];
        }
    }
}

#ifdef TILES
#include "map_tiles.h"
#endif

/* ---- what Python calls; `block` tiles are worked on at a time by a thread ---- */

int NAMED(kernel_lanes)(void) { return LANES; }

int NAMED(kernel_tiles)(void) {
#ifdef TILES
    return may_use_tiles();
#else
    return 0;
#endif
}

/* y[N][H][W][K] of x[N][H][W][C] and w[taps][taps][C][K], 3 taps or 5, with zeros around x so that y is as large */
int NAMED(winograd_forward)(const real *x, const float *w, real *y, long images, long height, long width, long taps,
                            long gap, long in, long out, int turned, long block) {
#ifdef TILES
    if (may_use_tiles())
        return map_forward_by_tiles(x, w, y, images, padded_of(height, width, taps, gap), turned, in, out);
#endif
    const int tile = tile_of(taps);
    const Map from = map_of(tile, height, width, gap, in), to = map_of(tile, height, width, gap, out);
    const long tiles = images * gap * gap * from.across * from.down, blocks = (tiles + block - 1) / block;
    float *u = floats(POINTS * in * out + in);
    if (!u) return 1;
    const real *zeros = memset(u + POINTS * in * out, 0, sizeof(float) * in);
    transform_weights(tile, w, in, out, turned, u);
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

/* dw[taps][taps][C][K] of x[N][H][W][C] and dy[N][H][W][K]; every thread sums its own tiles, so that a number of threads
   always gives the same bits */
int NAMED(winograd_weights)(const real *x, const real *dy, float *dw, long images, long height, long width, long taps,
                            long gap, long in, long out, long block) {
#ifdef TILES
    if (may_use_tiles())
        return map_weights_by_tiles(x, dy, dw, images, padded_of(height, width, taps, gap), in, out);
#endif
    const int tile = tile_of(taps);
    const Map from = map_of(tile, height, width, gap, in), to = map_of(tile, height, width, gap, out);
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
    if (!failed) transform_sums(tile, sums, size, parts, dw);
    free(sums);
    return failed;
}
