/* What the kernels share: vectors of LANES floats in GCC's vector extension, and OpenMP or one thread.

   Maps are channels last in memory: [image][row][column][channel], LANES divides the number of channels. Every file is
   compiled twice, for maps of float and, with HALF, for maps of bfloat16: READ and WRITE convert, all arithmetic is float.
   Where vectors hold 16 floats it is compiled so once more with NARROW, for numbers of channels that only 8 divides.
   Small maps in training are bound by memory, of which bfloat16 moves half. */
#ifndef ARCHSEARCH_LANES_H
#define ARCHSEARCH_LANES_H
#include <stdlib.h>
#include <string.h>

#if defined(__AVX512F__) && !defined(NARROW)
#define LANES 16
#else
#define LANES 8
#endif

typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef unsigned uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define LOAD(place) (*(const vec *)(place))
#define STORE(place) (*(vec *)(place))

#ifdef HALF
typedef unsigned short real;
typedef unsigned short hvec __attribute__((vector_size(2 * LANES), aligned(2), may_alias));
#define NAMED(name) name##_bf16
#if defined(__AVX2__) && LANES == 8 /* compilers halve the vectors first: six instructions in place of two */
#include <immintrin.h>
INLINE uvec widen(const real *place) { return (uvec)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)place)); }
INLINE void narrow(real *place, uvec values) { /* of 16 bits each */
    const __m256i both = (__m256i)values;
    const __m128i packed = _mm_packus_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
    _mm_storeu_si128((__m128i *)place, packed);
}
#else
INLINE uvec widen(const real *place) { return __builtin_convertvector(*(const hvec *)place, uvec); }
INLINE void narrow(real *place, uvec values) { *(hvec *)place = __builtin_convertvector(values, hvec); }
#endif
INLINE vec read(const real *place) { return (vec)(widen(place) << 16); }
/* To the nearest, ties to even. */
#if defined(__AVX512BF16__) && defined(__AVX512VL__)
#include <immintrin.h>
INLINE void write(real *place, vec value) {
#if LANES == 16
    *(hvec *)place = (hvec)_mm512_cvtneps_pbh((__m512)value);
#else
    *(hvec *)place = (hvec)_mm256_cvtneps_pbh((__m256)value);
#endif
}
#else
INLINE void write(real *place, vec value) {
    const uvec bits = (uvec)value;
    narrow(place, (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#endif
INLINE void copy_values(const real *from, real *to, long count) { /* of a few dozen, for which memcpy takes longer */
    if (count % LANES)
        memcpy(to, from, count * sizeof(real));
    else
        for (long i = 0; i < count; i += LANES) *(hvec *)(to + i) = *(const hvec *)(from + i);
}
INLINE float read_one(real value) {
    const union { unsigned bits; float value; } both = {(unsigned)value << 16};
    return both.value;
}
#else
typedef float real;
#define NAMED(name) name##_fp32
INLINE vec read(const real *place) { return LOAD(place); }
INLINE void write(real *place, vec value) { STORE(place) = value; }
INLINE void copy_values(const real *from, real *to, long count) { memcpy(to, from, count * sizeof(real)); }
INLINE float read_one(real value) { return value; }
#endif

/* Has a core fetch what it will read, or write, soon: by itself it looks ahead to the end of a page of 4 KiB. */
enum { AHEAD = 4096 / sizeof(real) };
INLINE void will_read(const real *place) { __builtin_prefetch(place, 0, 2); }
INLINE void will_write(real *place) { __builtin_prefetch(place, 1, 2); }

INLINE void read_values(const real *from, float *to, long count) {
    for (long i = 0; i < count; i += LANES) STORE(to + i) = read(from + i);
}
INLINE void write_values(const float *from, real *to, long count) {
    for (long i = 0; i < count; i += LANES) {
        will_write(to + i + AHEAD);
        write(to + i, LOAD(from + i));
    }
}

INLINE long least(long a, long b) { return a < b ? a : b; }
INLINE float *floats(long count) { return (float *)aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64); }

/* to = the sum of from[part] */
INLINE void add_parts(const float *from, long size, int parts, float *to) {
#pragma omp parallel for if (size > 1 << 15)
    for (long i = 0; i < size; i += LANES) {
        vec sum = LOAD(from + i);
        for (int part = 1; part < parts; part++) sum += LOAD(from + part * size + i);
        STORE(to + i) = sum;
    }
}

#ifdef _OPENMP
#include <omp.h>
INLINE int threads_at_most(void) { return omp_get_max_threads(); }
INLINE int threads_here(void) { return omp_get_num_threads(); }
INLINE int this_thread(void) { return omp_get_thread_num(); }
#else
INLINE int threads_at_most(void) { return 1; }
INLINE int threads_here(void) { return 1; }
INLINE int this_thread(void) { return 0; }
#endif

#endif
