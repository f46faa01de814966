/* A register of doubles (wider vectors would live in memory), and as many elements unaligned, widened to it. */
#ifndef NNRT_WIDEN_H
#define NNRT_WIDEN_H

#if defined(__AVX__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
enum { LANES = 8 };
#elif defined(__AVX__)
enum { LANES = 4 };
#else
enum { LANES = 2 };
#endif
typedef double vec __attribute__((vector_size(LANES * 8)));
typedef double load_f64 __attribute__((vector_size(LANES * 8), aligned(8), may_alias));
typedef float load_f32 __attribute__((vector_size(LANES * 4), aligned(4), may_alias));

static inline vec widen_f64(load_f64 v) { return v; }
static inline vec widen_f32(load_f32 v)
{
#if defined(__AVX__) && !defined(__AVX512F__)
    return _mm256_cvtps_pd((__m128)v); /* gcc 12 takes the halves apart */
#else
    return __builtin_convertvector(v, vec);
#endif
}

#endif
