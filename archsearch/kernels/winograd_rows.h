/* The transforms of one row or column in Winograd's filtering, of 3 taps by F(4, 3) or of 5 taps by F(2, 5).

   Both take 6 values, at the points 0, 1, -1, 2, -2 and infinity (Lavin and Gray, "Fast Algorithms for Convolutional Neural
   Networks", CVPR 2016, with its matrices for F(4,3)). What they share is B^T, and the scales in G; A^T has a row for
   each of 4 or 2 results, the powers of the points, and G a column for each of 3 or 5 taps. */
#ifndef ARCHSEARCH_WINOGRAD_ROWS_H
#define ARCHSEARCH_WINOGRAD_ROWS_H
#include "lanes.h"

enum { PATCH = 6 }; /* values of a patch in a row */

/* How many results a row has, which are `tile` in the following, and how many taps. */
INLINE int tile_of(long taps) { return taps == 3 ? 4 : 2; }
INLINE int taps_of(int tile) { return PATCH + 1 - tile; }

INLINE void times_bt(const vec d[6], vec o[6]) { /* B^T d */
    const vec p = d[4] - 4 * d[2], q = d[3] - 4 * d[1], r = d[4] - d[2], s = 2 * (d[3] - d[1]);
    o[0] = 4 * d[0] - 5 * d[2] + d[4];
    o[1] = p + q;
    o[2] = p - q;
    o[3] = r + s;
    o[4] = r - s;
    o[5] = 4 * d[1] - 5 * d[3] + d[5];
}

INLINE void times_at(const int tile, const vec m[6], vec o[]) { /* A^T m */
    const vec p = m[1] + m[2], q = m[1] - m[2], r = m[3] + m[4], s = m[3] - m[4];
    o[0] = m[0] + p + r;
    o[1] = q + 2 * s;
    if (tile == 4) {
        o[2] = p + 4 * r;
        o[3] = q + 8 * s + m[5];
    } else
        o[1] += m[5];
}

INLINE void times_a(const int tile, const vec y[], vec o[6]) { /* A y */
    vec p = y[0], q = y[1], r = y[0], s = 2 * y[1];
    if (tile == 4) p += y[2], q += y[3], r += 4 * y[2], s += 8 * y[3];
    o[0] = y[0];
    o[1] = p + q;
    o[2] = p - q;
    o[3] = r + s;
    o[4] = r - s;
    o[5] = y[tile - 1];
}

INLINE void times_g(const int tile, const vec g[], vec o[6]) { /* G g */
    vec p = g[0] + g[2], q = g[1], r = g[0] + 4 * g[2], s = 2 * g[1];
    if (tile == 2) p += g[4], q += g[3], r += 16 * g[4], s += 8 * g[3];
    o[0] = g[0] * 0.25f;
    o[1] = (p + q) * (-1.0f / 6);
    o[2] = (p - q) * (-1.0f / 6);
    o[3] = (r + s) * (1.0f / 24);
    o[4] = (r - s) * (1.0f / 24);
    o[5] = g[taps_of(tile) - 1];
}

INLINE void times_gt(const int tile, const vec s[6], vec o[]) { /* G^T s */
    const vec p = (s[1] + s[2]) * (-1.0f / 6), q = (s[1] - s[2]) * (-1.0f / 6);
    const vec r = (s[3] + s[4]) * (1.0f / 24), t = (s[3] - s[4]) * (1.0f / 12);
    o[0] = s[0] * 0.25f + p + r;
    o[1] = q + t;
    o[2] = p + 4 * r;
    if (tile == 2) {
        o[3] = q + 4 * t;
        o[4] = p + 16 * r + s[5];
    } else
        o[2] += s[5];
}
#endif
