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

/* c[rows][columns] (+)= sum over t of a[i * ai + t * at] * b[t][j] */
INLINE void product_of(long rows, long depth, long columns, const float *a, long ai, long at, const float *b, float *c,
                       const int add) {
    long j = 0;
    for (; j + WIDE <= columns; j += WIDE) strip(2, rows, depth, a, ai, at, b + j, columns, c + j, columns, add);
    if (j < columns) strip(1, rows, depth, a, ai, at, b + j, columns, c + j, columns, add);
}

/* out[rows][columns] = a[rows][depth] * b[depth][columns] */
static void multiply(long rows, long depth, long columns, const float *a, const float *b, float *out) {
    product_of(rows, depth, columns, a, depth, 1, b, out, 0);
}

/* sum[rows][columns] += a[depth][rows]^T * b[depth][columns] */
static void accumulate(long depth, long rows, long columns, const float *a, const float *b, float *sum) {
    product_of(rows, depth, columns, a, 1, rows, b, sum, 1);
}

#endif
