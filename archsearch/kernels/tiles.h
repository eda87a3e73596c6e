/* Products of matrices of bfloat16 by a processor's tiles (Intel AMX), with sums in float: one instruction multiplies 16
   rows of 32 values by 32 rows of 16. The right matrix is laid out in pairs of rows: [row / 2][column][2].

   TILES is defined where the compiler may use them; whether the system lets a process do so is asked when it runs. */
#ifndef ARCHSEARCH_TILES_H
#define ARCHSEARCH_TILES_H
#include "lanes.h"

#if defined(HALF) && defined(__AMX_BF16__) && defined(__AVX512BF16__) && defined(__linux__)
#define TILES
#include <immintrin.h>
#include <sys/syscall.h>
long syscall(long number, ...); /* unistd.h has other functions by the names of ours */

enum { SIDE = 16, DEEP = 32 }; /* a tile's rows and columns of sums, and the values that one product sums */

INLINE long whole(long count, long unit) { return (count + unit - 1) / unit * unit; }
INLINE real *reals(long count) { return (real *)floats((count + 1) / 2); }

/* The instructions on tiles do not tell the compiler what memory they touch. */
INLINE void memory_is_touched(void) { __asm__ volatile("" ::: "memory"); }

static int may_use_tiles(void) {
    static int answer = -1; /* threads that ask at once are answered alike */
    if (answer < 0) answer = syscall(SYS_arch_prctl, 0x1023 /* request a permission */, 18 /* for tiles' data */) == 0;
    return answer;
}

/* Tiles are all of 16 rows of 64 bytes; every thread says so for itself, and ends with _tile_release. */
static void begin_tiles(void) {
    const struct {
        unsigned char palette, start, none[14];
        unsigned short bytes[16];
        unsigned char rows[16];
    } shape __attribute__((aligned(64))) = {1, 0, {0}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
    memory_is_touched();
    _tile_loadconfig(&shape);
}

/* Where the factors of a sum lie: `parts` of `steps` times 32 values each. Row i of a starts at i * ai, part p of it `places`
   [p] further; of b a part is `part` values, two rows of it `pair` apart, and 16 columns after others `beside` them. */
typedef struct {
    long parts, steps;
    const long *places;
    long ai, part, pair, beside;
} Factors;

/* c (+)= a * b for 32 or 16 rows and 32 or 16 columns */
INLINE void product_of_tiles(const int tall, const int wide, const Factors f, const real *a, const real *b, float *c,
                             long ci, const int add) {
    if (add) {
        _tile_loadd(0, c, 4 * ci);
        if (wide) _tile_loadd(1, c + SIDE, 4 * ci);
        if (tall) _tile_loadd(2, c + SIDE * ci, 4 * ci);
        if (tall && wide) _tile_loadd(3, c + SIDE * ci + SIDE, 4 * ci);
    } else {
        _tile_zero(0);
        if (wide) _tile_zero(1);
        if (tall) _tile_zero(2);
        if (tall && wide) _tile_zero(3);
    }
    for (long p = 0; p < f.parts; p++) {
        const real *left = a + f.places[p], *right = b + p * f.part;
        for (long t = 0; t < f.steps; t++, left += DEEP, right += DEEP / 2 * f.pair) {
            _tile_loadd(4, left, 2 * f.ai);
            _tile_loadd(6, right, 2 * f.pair);
            _tile_dpbf16ps(0, 4, 6);
            if (wide) {
                _tile_loadd(7, right + f.beside, 2 * f.pair);
                _tile_dpbf16ps(1, 4, 7);
            }
            if (tall) {
                _tile_loadd(5, left + SIDE * f.ai, 2 * f.ai);
                _tile_dpbf16ps(2, 5, 6);
                if (wide) _tile_dpbf16ps(3, 5, 7);
            }
        }
    }
    _tile_stored(0, c, 4 * ci);
    if (wide) _tile_stored(1, c + SIDE, 4 * ci);
    if (tall) _tile_stored(2, c + SIDE * ci, 4 * ci);
    if (tall && wide) _tile_stored(3, c + SIDE * ci + SIDE, 4 * ci);
}

/* c[rows][columns] (+)= a * b, either number in multiples of 16, rows of c `ci` apart */
static void multiply_tiles(long rows, long columns, const Factors f, const real *a, const real *b, float *c, long ci,
                           const int add) {
    memory_is_touched();
    for (long j = 0; j < columns; j += 2 * SIDE, b += 2 * f.beside) {
        const int wide = j + SIDE < columns;
        for (long i = 0; i < rows; i += 2 * SIDE) {
            const real *left = a + i * f.ai;
            float *sums = c + i * ci + j;
            if (i + SIDE < rows) {
                if (wide) product_of_tiles(1, 1, f, left, b, sums, ci, add);
                else product_of_tiles(1, 0, f, left, b, sums, ci, add);
            } else {
                if (wide) product_of_tiles(0, 1, f, left, b, sums, ci, add);
                else product_of_tiles(0, 0, f, left, b, sums, ci, add);
            }
        }
    }
    memory_is_touched();
}

static const long HERE[1] = {0};

/* Factors of one part, b as pack_tiles leaves it. */
INLINE Factors packed_factors(long deep) { return (Factors){1, deep / DEEP, HERE, deep, 0, DEEP, deep * SIDE}; }

INLINE __mmask16 first_of(long count) { return count >= SIDE ? 0xffff : (__mmask16)((1u << count) - 1); }

/* Pairs of values as one word each, the first in its lower half. */
INLINE __m512i paired(__m512i first, __m512i second) { return _mm512_or_si512(first, _mm512_slli_epi32(second, 16)); }

/* packed[columns / 16][depth / 2][16][2] of b[depth][columns], rounded to bfloat16, with zeros up to whole tiles */
static void pack_tiles(const float *b, long depth, long columns, real *packed) {
    for (long j = 0; j < columns; j += SIDE) {
        const __mmask16 some = first_of(columns - j);
        for (long t = 0; t < whole(depth, DEEP); t += 2, packed += 2 * SIDE) {
            const __mmask16 masks[2] = {t < depth ? some : 0, t + 1 < depth ? some : 0};
            __m512i row[2];
            for (int i = 0; i < 2; i++) {
                const __m512 values = _mm512_maskz_loadu_ps(masks[i], b + (t + i) * columns + j);
                row[i] = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(values));
            }
            _mm512_storeu_si512(packed, paired(row[0], row[1]));
        }
    }
}

/* to[count / 2][columns][2] of from[count][columns], rows of it `apart` and those of `to` `wide` pairs long; zeros make up
   whole tiles: 32 rows, 16 columns */
static void pair_rows(const real *from, long count, long columns, long apart, real *to, long wide) {
    for (long p = 0; p < whole(count, DEEP); p += 2, to += 2 * wide)
        for (long j = 0; j < columns; j += SIDE) {
            const __mmask16 some = first_of(columns - j);
            will_read(from + p * apart + j + AHEAD);
            will_read(from + (p + 1) * apart + j + AHEAD);
            const __m256i first = _mm256_maskz_loadu_epi16(p < count ? some : 0, from + p * apart + j);
            const __m256i second = _mm256_maskz_loadu_epi16(p + 1 < count ? some : 0, from + (p + 1) * apart + j);
            _mm512_storeu_si512(to + 2 * j, paired(_mm512_cvtepu16_epi32(first), _mm512_cvtepu16_epi32(second)));
        }
}

/* to[column][row] of 16 x 16 words, rows of either so many words apart: first within quarters of vectors, then those */
INLINE void turn_words(const unsigned *from, long apart, unsigned *to, long to_apart) {
    __m512i a[SIDE], b[SIDE];
#pragma GCC unroll 16
    for (int i = 0; i < SIDE; i++) a[i] = _mm512_loadu_si512(from + i * apart);
#pragma GCC unroll 8
    for (int i = 0; i < SIDE; i += 2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < SIDE; i += 4) { /* quarter q of a[i + c]: column 4 q + c of rows i to i + 3 */
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        const __m512i even = _mm512_shuffle_i32x4(a[c], a[4 + c], 0x88), odd = _mm512_shuffle_i32x4(a[c], a[4 + c], 0xdd);
        const __m512i more = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0x88);
        const __m512i most = _mm512_shuffle_i32x4(a[8 + c], a[12 + c], 0xdd);
        _mm512_storeu_si512(to + c * to_apart, _mm512_shuffle_i32x4(even, more, 0x88));
        _mm512_storeu_si512(to + (c + 4) * to_apart, _mm512_shuffle_i32x4(odd, most, 0x88));
        _mm512_storeu_si512(to + (c + 8) * to_apart, _mm512_shuffle_i32x4(even, more, 0xdd));
        _mm512_storeu_si512(to + (c + 12) * to_apart, _mm512_shuffle_i32x4(odd, most, 0xdd));
    }
}

/* to[columns][count] of pairs[count / 2][columns][2], rows of it `apart` */
static void turn_pairs(const real *pairs, long count, long columns, real *to, long apart) {
    for (long p = 0; p < count / 2; p += SIDE)
        for (long j = 0; j < columns; j += SIDE)
            turn_words((const unsigned *)pairs + p * columns + j, columns, (unsigned *)to + j * apart / 2 + p, apart / 2);
}

/* to[rows][columns] of sums[columns][rows], rows of that `wide` */
static void turn_sums(const float *sums, long rows, long columns, long wide, float *to) {
#pragma omp parallel for
    for (long r = 0; r < rows; r += SIDE)
        for (long j = 0; j < columns; j += SIDE) {
            const float *from = sums + j * wide + r;
            float *there = to + r * columns + j;
            if (r + SIDE <= rows && j + SIDE <= columns)
                turn_words((const unsigned *)from, wide, (unsigned *)there, columns);
            else
                for (long i = 0; i < least(SIDE, rows - r); i++)
                    for (long k = 0; k < least(SIDE, columns - j); k++) there[i * columns + k] = from[k * wide + i];
        }
}

/* to[row][] = from[row][], rows of it `wide` values, of which those behind stay as they are */
INLINE void widen_rows(const real *from, long rows, long values, real *to, long wide) {
    if (wide == values)
        memcpy(to, from, rows * values * sizeof(real));
    else
        for (long r = 0; r < rows; r++) copy_values(from + r * values, to + r * wide, values);
}

/* to[row][values] = from[row][], rows of it `wide` */
static void write_rows(const float *from, long rows, long values, long wide, real *to) {
    if (wide == values)
        write_values(from, to, rows * values);
    else
        for (long r = 0; r < rows; r++) write_values(from + r * wide, to + r * values, values);
}
#endif
#endif
