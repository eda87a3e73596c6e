/* Products of matrices that are a few hundred rows by a few dozen columns: six rows by two vectors in registers. */
#ifndef ARCHSEARCH_PRODUCTS_H
#define ARCHSEARCH_PRODUCTS_H
#include "lanes.h"

enum { ROWS = 6, WIDE = 2 * LANES };

/* c[i][j] (+)= sum over t of a[i * ai + t * at] * b[t * bt + j], for `rows` rows and `vecs` vectors of columns */
INLINE void product(const int rows, const int vecs, long depth, const float *a, long ai, long at, const float *b,
                    long bt, float *c, long ci, const int add) {
    vec sum[ROWS][2];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vecs; j++) sum[i][j] = add ? LOAD(c + i * ci + j * LANES) : (vec){0};
    for (long t = 0; t < depth; t++) {
        vec right[2];
#pragma GCC unroll 2
        for (int j = 0; j < vecs; j++) right[j] = LOAD(b + t * bt + j * LANES);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            const float left = a[i * ai + t * at];
#pragma GCC unroll 2
            for (int j = 0; j < vecs; j++) sum[i][j] += left * right[j];
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int j = 0; j < vecs; j++) STORE(c + i * ci + j * LANES) = sum[i][j];
}

INLINE void strip(const int vecs, long rows, long depth, const float *a, long ai, long at, const float *b, long bt,
                  float *c, long ci, const int add) {
    for (; rows >= ROWS; rows -= ROWS, a += ROWS * ai, c += ROWS * ci)
        product(ROWS, vecs, depth, a, ai, at, b, bt, c, ci, add);
    switch (rows) {
        case 5: product(5, vecs, depth, a, ai, at, b, bt, c, ci, add); break;
        case 4: product(4, vecs, depth, a, ai, at, b, bt, c, ci, add); break;
        case 3: product(3, vecs, depth, a, ai, at, b, bt, c, ci, add); break;
        case 2: product(2, vecs, depth, a, ai, at, b, bt, c, ci, add); break;
        case 1: product(1, vecs, depth, a, ai, at, b, bt, c, ci, add); break;
        default: break;
    }
}

/* c[rows][columns] (+)= sum over t of a[i * ai + t * at] * b[t * bt + j] */
INLINE void product_of(long rows, long depth, long columns, const float *a, long ai, long at, const float *b, long bt,
                       float *c, const int add) {
    long j = 0;
    for (; j + WIDE <= columns; j += WIDE) strip(2, rows, depth, a, ai, at, b + j, bt, c + j, columns, add);
    if (j < columns) strip(1, rows, depth, a, ai, at, b + j, bt, c + j, columns, add);
}

/* How far apart rows of so many values lie in memory: a power of two apart they would share the cache's sets. */
INLINE long spaced(long values) { return values % 128 ? values : values + WIDE; }

/* out[rows][columns] = a[rows][depth] * b[depth][columns] */
INLINE void multiply(long rows, long depth, long columns, const float *a, const float *b, float *out) {
    product_of(rows, depth, columns, a, depth, 1, b, columns, out, 0);
}

/* The same with the rows of a `ai` apart and b packed: strips of two vectors of columns one behind the other, so that what
   is read next lies next in memory. */
INLINE void multiply_packed(long rows, long depth, long columns, const float *a, long ai, const float *b, float *out) {
    long j = 0;
    for (; j + WIDE <= columns; j += WIDE) strip(2, rows, depth, a, ai, 1, b + j * depth, WIDE, out + j, columns, 0);
    if (j < columns) strip(1, rows, depth, a, ai, 1, b + j * depth, LANES, out + j, columns, 0);
}

/* Where b[t][j] of b[depth][columns] lies once it is packed. */
INLINE long packed_place(long t, long j, long depth, long columns) {
    const long start = j / WIDE * WIDE;
    return start * depth + t * least(WIDE, columns - start) + j - start;
}

/* packed = b[depth][columns] */
INLINE void pack(const float *b, long depth, long columns, float *packed) {
    for (long t = 0; t < depth; t++)
        for (long j = 0; j < columns; j += LANES)
            STORE(packed + packed_place(t, j, depth, columns)) = LOAD(b + t * columns + j);
}

/* sum[rows][columns] += a[depth][rows]^T * b[depth][columns], rows of a `at` apart and rows of b `bt` */
INLINE void accumulate(long depth, long rows, long columns, const float *a, long at, const float *b, long bt,
                       float *sum) {
    product_of(rows, depth, columns, a, 1, at, b, bt, sum, 1);
}

#endif
