/* The three products of patches.c by tiles: maps are taken as they are, weights are rounded to bfloat16. Part of that file;
   its legend holds. Every matrix is made up to whole tiles with zeros. */

/* Whether rows of so many values are whole tiles where they lie, with no zeros between them. */
INLINE int lie_ready(long count, long values) { return count % DEEP == 0 && values % DEEP == 0; }

static int forward_by_tiles(const real *x, const float *w, real *y, const Conv conv, long block) {
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.images * conv.tall * conv.wide;
    const long deep = whole(depth, DEEP), across = whole(conv.out, SIDE);
    block = whole(block, DEEP);
    real *packed = reals(deep * across);
    if (!packed) return 1;
    pack_tiles(w, depth, conv.out, packed);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        real *a = reals(block * deep);
        float *result = floats(block * across);
        failed = !a || !result;
        if (!failed) memset(a, 0, block * deep * sizeof(real));
        begin_tiles();
#pragma omp for schedule(dynamic)
        for (long b = 0; b < (pixels + block - 1) / block; b++) {
            if (failed) continue;
            const long first = b * block, count = least(pixels - first, block);
            const int ready = is_pointwise(conv) && lie_ready(count, depth);
            const real *rows = ready ? x + first * depth : a;
            if (!ready && is_pointwise(conv))
                widen_rows(x + first * depth, count, depth, a, deep);
            else if (!ready)
                gather_as(1, x, conv, first, count, a, deep);
            multiply_tiles(whole(count, SIDE), across, packed_factors(deep), rows, packed, result, across, 0);
            write_rows(result, count, conv.out, across, y + first * conv.out);
        }
        _tile_release();
        free(a), free(result);
    }
    free(packed);
    return failed;
}

static int images_by_tiles(const real *dy, const float *w, real *dx, const Conv conv, long block) {
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.tall * conv.wide;
    const long image = conv.height * conv.width * conv.in;
    const long deep = whole(conv.out, DEEP), across = whole(depth, SIDE);
    block = whole(block, DEEP);
    real *packed = reals(deep * across);
    if (!packed) return 1;
    pack_tiles(w, conv.out, depth, packed);
    int failed = 0;
#pragma omp parallel reduction(| : failed)
    {
        real *gradient = reals(block * deep);
        float *a = floats(block * across + image), *map = a + block * across;
        failed = !a || !gradient;
        if (!failed) memset(gradient, 0, block * deep * sizeof(real));
        begin_tiles();
#pragma omp for schedule(dynamic)
        for (long n = 0; n < conv.images; n++) {
            if (failed) continue;
            if (!is_pointwise(conv)) memset(map, 0, sizeof(float) * image);
            for (long first = 0; first < pixels; first += block) {
                const long count = least(pixels - first, block);
                const real *rows = dy + (n * pixels + first) * conv.out;
                if (!lie_ready(count, conv.out)) {
                    widen_rows(rows, count, conv.out, gradient, deep);
                    rows = gradient;
                }
                multiply_tiles(whole(count, SIDE), across, packed_factors(deep), rows, packed, a, across, 0);
                if (is_pointwise(conv))
                    write_rows(a, count, depth, across, dx + n * image + first * conv.in);
                else
                    scatter(a, across, conv, first, count, map);
            }
            if (!is_pointwise(conv)) write_values(map, dx + n * image, image);
        }
        _tile_release();
        free(gradient), free(a);
    }
    free(packed);
    return failed;
}

/* Sums are [K][T][C], since of the gradient, the narrower of the two, columns have to become rows. */
static int weights_by_tiles(const real *x, const real *dy, float *dw, const Conv conv, long block) {
    const long depth = conv.kernel * conv.kernel * conv.in, pixels = conv.images * conv.tall * conv.wide;
    const long rows = whole(conv.out, SIDE), across = whole(depth, SIDE), size = rows * across;
    block = whole(block, DEEP);
    const long blocks = (pixels + block - 1) / block;
    float *sums = floats((threads_at_most() + 1) * size);
    if (!sums) return 1;
    int failed = 0, parts = 1;
#pragma omp parallel reduction(| : failed)
    {
        const int me = this_thread(), threads = threads_here();
        real *a = reals(block * (depth + across + 2 * rows));
        real *right = a + block * depth, *pairs = right + block * across, *left = pairs + block * rows;
        float *sum = sums + (me + 1) * size;
        failed = !a;
        memset(sum, 0, sizeof(float) * size);
#pragma omp single
        parts = threads;
        begin_tiles();
        const long end = blocks * (me + 1) / threads;
        for (long b = blocks * me / threads; b < end && a; b++) {
            const long first = b * block, count = least(pixels - first, block), whole_count = whole(count, DEEP);
            const real *patches = is_pointwise(conv) ? x + first * depth : a;
            if (!is_pointwise(conv)) gather_as(1, x, conv, first, count, a, depth);
            pair_rows(patches, count, depth, depth, right, across);
            pair_rows(dy + first * conv.out, count, conv.out, conv.out, pairs, rows);
            turn_pairs(pairs, whole_count, rows, left, block);
            const Factors factors = {1, whole_count / DEEP, HERE, block, 0, 2 * across, DEEP};
            multiply_tiles(rows, across, factors, left, right, sum, across, 1);
        }
        _tile_release();
        free(a);
    }
    add_parts(sums + size, size, parts, sums);
    turn_sums(sums, depth, conv.out, across, dw);
    free(sums);
    return failed;
}
