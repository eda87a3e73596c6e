/* The steps of Muon (Jordan et al., 2024): momentum, brought near the closest matrix with orthogonal rows.

   The iteration X <- (a I + b S + c S S) X with S = X X^T leaves the space that the rows of X span: all its steps are one
   matrix P, a polynomial of the first S, whose products are of R x R in place of R x C. In exact arithmetic P X is what
   the iteration on X itself gives. S, P and what they are made of are symmetric and commute.

   Legend: R the smaller side of a weight seen as a matrix, C the other one; R is filled up with zeros to whole vectors. */
#include <math.h>

#include "products.h"

enum { ITERATIONS = 5 };
static const float A = 3.4445f, B = -4.7750f, D = 2.0315f;

typedef struct {
    float *weight, *momentum;
    const float *gradient;
    long rows, columns, c, r;
    long down, across; /* from row to row and from column to column of the weight, in x[C][R] */
} Weight;

static Weight weight_of(const long given[5]) {
    const long rows = given[3], columns = given[4], wide = rows <= columns;
    const long r = (least(rows, columns) + LANES - 1) / LANES * LANES;
    return (Weight){(float *)given[0], (float *)given[2], (const float *)given[1], rows, columns,
                    wide ? columns : rows, r, wide ? 1 : r, wide ? r : 1};
}

/* q = a I + b s + c s s */
static void polynomial(const float *s, long r, float *q) {
    multiply(r, r, r, s, s, q);
    for (long i = 0; i < r * r; i += LANES) STORE(q + i) = D * LOAD(q + i) + B * LOAD(s + i);
    for (long i = 0; i < r; i++) q[i * r + i] += A;
}

/* x[C][R] to its orthogonal neighbour in y[C][R]; `work` has room for 4 R x R */
static void orthogonalise(const float *x, long c, long r, float *work, float *y) {
    float *s = work, *q = s + r * r, *p = q + r * r, *other = p + r * r;
    memset(s, 0, sizeof(float) * r * r);
    accumulate(c, r, r, x, r, x, r, s);
    for (int step = 0; step < ITERATIONS; step++) {
        polynomial(s, r, q);
        if (step == 0) {
            memcpy(p, q, sizeof(float) * r * r);
        } else {
            multiply(r, r, r, q, p, other);
            float *const before = p;
            p = other;
            other = before;
        }
        if (step + 1 < ITERATIONS) {
            multiply(r, r, r, q, s, other);
            multiply(r, r, r, other, q, s);
        }
    }
    multiply(c, r, r, x, p, y);
}

/* The Nesterov momentum of one weight as x[C][R], of norm 1 */
static void look_ahead(const Weight one, float momentum, float *x) {
    double squares = 0;
    for (long i = 0; i < one.rows; i++)
        for (long j = 0; j < one.columns; j++) {
            const long place = i * one.columns + j;
            const float gradient = one.gradient[place], kept = one.momentum[place] * momentum + gradient;
            const float ahead = gradient + momentum * kept;
            one.momentum[place] = kept;
            x[i * one.down + j * one.across] = ahead;
            squares += (double)ahead * ahead;
        }
    const float share = 1 / ((float)sqrt(squares) + 1e-7f);
    for (long i = 0; i < one.c * one.r; i += LANES) STORE(x + i) *= share;
}

static void move(const Weight one, const float *y, float rate) {
    for (long i = 0; i < one.rows; i++)
        for (long j = 0; j < one.columns; j++)
            one.weight[i * one.columns + j] -= rate * y[i * one.down + j * one.across];
}

/* One step of `count` weights: addresses of weight, gradient and momentum, and rows and columns of each; rates[0] is the
   momentum, rates[1 + i] the learning rate of weight i. Returns 0, or 1 without memory. */
int NAMED(muon_step)(const float *rates, const long *weights, long count) {
    int failed = 0;
#pragma omp parallel for schedule(dynamic) reduction(| : failed)
    for (long i = 0; i < count; i++) {
        const Weight one = weight_of(weights + 5 * i);
        const long size = one.c * one.r;
        float *const x = floats(2 * size + 4 * one.r * one.r);
        if (!x) {
            failed = 1;
            continue;
        }
        float *const y = x + size;
        memset(x, 0, sizeof(float) * size);
        look_ahead(one, rates[0], x);
        orthogonalise(x, one.c, one.r, y + size, y);
        move(one, y, rates[1 + i]);
        free(x);
    }
    return failed;
}
