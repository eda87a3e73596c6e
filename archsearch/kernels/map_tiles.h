/* Convolutions of stride 1 by tiles, directly: every tap's factors are a map with its zeros around it, read from another
   place on. Part of winograd.c, whose arithmetic it replaces for maps of bfloat16 where the processor has tiles.

   A map lies in rows of width + 2 * margin pixels, and so do its results: what is computed between two rows is left out. */

enum { MOST_TAPS = 25, POSITIONS = 256, SUMMED = 512 }; /* results computed before they are written; pixels summed at a time */

typedef struct {
    long height, width, margin, pitch, pixels; /* zeros on a side, a padded row, a padded map */
    int taps;
    long places[MOST_TAPS]; /* of taps, in pixels */
} Padded;

static Padded padded_of(long height, long width, long side, long gap) {
    const long margin = side / 2 * gap, pitch = width + 2 * margin;
    Padded map = {height, width, margin, pitch, (height + 2 * margin) * pitch, (int)(side * side), {0}};
    for (int t = 0; t < map.taps; t++) map.places[t] = (t / side * pitch + t % side) * gap;
    return map;
}

/* Where the inner part of a padded map begins. */
INLINE long inside(const Padded map) { return map.margin * (map.pitch + 1); }

/* The inner part of `to`, rows `pitch` pixels of `deep` values, is the map x[H][W][C]; `skip` pixels lie before it. */
static void fill_padded(const real *x, const Padded map, long channels, real *to, long deep, long skip) {
    for (long y = 0; y < map.height; y++)
        widen_rows(x + y * map.width * channels, map.width, channels, to + (skip + y * map.pitch) * deep, deep);
}

/* With `turned`, taps are turned by 180 degrees. */
static int map_forward_by_tiles(const real *x, const float *w, real *y, long images, const Padded map, int turned,
                                long in, long out) {
    const long deep = whole(in, DEEP), across = whole(out, SIDE), part = deep * across;
    const long some = POSITIONS / map.pitch + 1; /* rows at a time */
    const long positions = whole(some * map.pitch, SIDE), room = (map.pixels + positions) * deep;
    real *packed = reals(map.taps * part);
    if (!packed) return 1;
    long places[MOST_TAPS];
    for (int t = 0; t < map.taps; t++) {
        pack_tiles(w + (turned ? map.taps - 1 - t : t) * in * out, in, out, packed + t * part);
        places[t] = map.places[t] * deep;
    }
    const Factors factors = {map.taps, deep / DEEP, places, deep, part, DEEP, deep * SIDE};
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        real *a = reals(room);
        float *result = floats(positions * across);
        failed = !a || !result;
        if (!failed) memset(a, 0, room * sizeof(real));
        begin_tiles();
#pragma omp for schedule(dynamic)
        for (long n = 0; n < images; n++) {
            if (failed) continue;
            fill_padded(x + n * map.height * map.width * in, map, in, a, deep, inside(map));
            for (long first = 0; first < map.height; first += some) {
                const long rows = least(map.height - first, some), count = (rows - 1) * map.pitch + map.width;
                const real *from = a + first * map.pitch * deep;
                multiply_tiles(whole(count, SIDE), across, factors, from, packed, result, across, 0);
                for (long r = 0; r < rows; r++) {
                    real *to = y + ((n * map.height + first + r) * map.width) * out;
                    write_rows(result + r * map.pitch * across, map.width, out, across, to);
                }
            }
        }
        _tile_release();
        free(a), free(result);
    }
    free(packed);
    return failed;
}

/* Sums are [K][tap][C]. Pairs of pixels begin at even ones for taps at even places, at odd ones for the others. */
static int map_weights_by_tiles(const real *x, const real *dy, float *dw, long images, const Padded map, long in, long out) {
    const long rows = whole(out, SIDE), across = whole(in, SIDE), size = rows * map.taps * across;
    const long group = least(images, SUMMED / map.pixels + 1); /* images one behind the other, a taller map */
    const long count = whole((group - 1) * map.pixels + (map.height - 1) * map.pitch + map.width, DEEP);
    const long pixels = whole(count + map.places[map.taps - 1] + 1, DEEP); /* that the last tap reads, some beyond the map */
    float *sums = floats((threads_at_most() + 1) * size);
    if (!sums) return 1;
    int failed = 0, parts = 1;
#pragma omp parallel reduction(| : failed)
    {
        const int me = this_thread(), threads = threads_here();
        real *padded = reals((pixels + 1) * in), *pairs[2] = {reals(pixels * across), reals(pixels * across)};
        real *flat = reals(count * out), *words = reals(count * rows), *left = reals(count * rows);
        float *sum = sums + (me + 1) * size;
        failed = !padded || !pairs[0] || !pairs[1] || !flat || !words || !left;
        memset(sum, 0, sizeof(float) * size);
#pragma omp single
        parts = threads;
        if (!failed) {
            memset(padded, 0, (pixels + 1) * in * sizeof(real));
            memset(flat, 0, count * out * sizeof(real));
        }
        begin_tiles();
        const long end = images * (me + 1) / threads, area = map.height * map.width;
        for (long n = images * me / threads; n < end && !failed; n += group) {
            if (end - n < group) memset(flat, 0, count * out * sizeof(real));
            for (long i = 0; i < least(group, end - n); i++) {
                fill_padded(x + (n + i) * area * in, map, in, padded, in, i * map.pixels + inside(map));
                fill_padded(dy + (n + i) * area * out, map, out, flat, out, i * map.pixels);
            }
            for (int odd = 0; odd < 2; odd++) pair_rows(padded + odd * in, pixels, in, in, pairs[odd], across);
            pair_rows(flat, count, out, out, words, rows);
            turn_pairs(words, count, rows, left, count);
            const Factors factors = {1, count / DEEP, HERE, count, 0, 2 * across, DEEP};
            for (int t = 0; t < map.taps; t++) {
                const real *right = pairs[map.places[t] % 2] + map.places[t] / 2 * 2 * across;
                multiply_tiles(rows, across, factors, left, right, sum + t * across, map.taps * across, 1);
            }
        }
        _tile_release();
        free(padded), free(pairs[0]), free(pairs[1]), free(flat), free(words), free(left);
    }
    add_parts(sums + size, size, parts, sums);
    for (int t = 0; t < map.taps; t++) turn_sums(sums + t * across, in, out, map.taps * across, dw + t * in * out);
    free(sums);
    return failed;
}
