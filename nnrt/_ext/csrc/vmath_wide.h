/* Elementary functions of 16 floats, for AVX-512: fewer operations than vmath.h's, with its limits on errors and the
 * same results for NaN, infinities and zeros.
 *
 * e^x = 2^(n/16) e^r, n whole, |r| <= log(2)/32: a table of 16 powers, which is one permutation of a register, leaves a
 * polynomial of degree 3 where vmath.h's has 5. Zen 5 divides 16 floats in three cycles, so nothing is estimated. */
#ifndef NNRT_VMATH_WIDE_H
#define NNRT_VMATH_WIDE_H
#if !defined(__AVX512F__)
#define WIDE_HERE 0
#else
#define WIDE_HERE 1
#include <immintrin.h>
#include <stdint.h>

#include "nnrt.h"

typedef __m512 wide;

/* The bits of 2^(j/16) less j << 19: those of n/16 are put on top with one shift. */
static const uint32_t wide_powers[16] __attribute__((aligned(64))) = {
    0x3f800000, 0x3f7daac3, 0x3f7b95c2, 0x3f79c3d3, 0x3f7837f0, 0x3f76f532, 0x3f75fed7, 0x3f75583f,
    0x3f7504f3, 0x3f7508a4, 0x3f75672a, 0x3f76248c, 0x3f7744fd, 0x3f78ccdf, 0x3f7ac0c7, 0x3f7d257d,
};
/* What those powers lack, relative to them. */
static const float wide_rests[16] __attribute__((aligned(64))) = {
    0,                4.62854679e-08f,  -1.19921575e-08f, 4.72978208e-08f, 3.19341815e-08f, 3.62105723e-08f,
    -3.09907229e-08f, -7.47521334e-09f, 1.71142709e-08f,  -3.04768335e-08f, 5.23333421e-09f, 6.10759177e-09f,
    -1.4719606e-08f,  -5.25879518e-09f, -6.12825968e-09f, 5.14060927e-09f,
};

#define WIDE(c) _mm512_set1_ps(c)
#define WIDE_BITS(x) _mm512_castps_si512(x)
#define WIDE_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to a whole number */
#define WIDE_RATE 23.083120654223414f /* 16 / log(2) */
#define WIDE_HIGH 0.0433349609375f /* log(2) / 16 in two parts, the first of 9 bits: its multiples by n are exact */
#define WIDE_LOW -1.326215250341961e-05f

/* 2^(n/16) of t = n + MAGIC, -2032 <= n < 2048; 0 at the lower end, denormal (flushed) before the last 16 */
INLINE wide wide_power(wide t)
{
    const __m512i power = _mm512_permutexvar_epi32(WIDE_BITS(t), _mm512_load_si512(wide_powers));
    return _mm512_castsi512_ps(_mm512_add_epi32(power, _mm512_slli_epi32(WIDE_BITS(t), 19)));
}

/* e^r - 1 + (first - r) */
INLINE wide wide_rise(wide r, wide first)
{
    const wide p = _mm512_fmadd_ps(r, WIDE(0.166670397f), WIDE(0.500016212f));
    return _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, first);
}

/* e^x for x <= 1, 0 where that is denormal */
INLINE wide wide_exp_neg(wide x)
{
    x = _mm512_max_ps(WIDE(-88.0296919f), x);
    const wide t = _mm512_fmadd_ps(x, WIDE(WIDE_RATE), WIDE(WIDE_MAGIC)), n = _mm512_sub_ps(t, WIDE(WIDE_MAGIC));
    const wide r = _mm512_fnmadd_ps(n, WIDE(WIDE_LOW), _mm512_fnmadd_ps(n, WIDE(WIDE_HIGH), x)), s = wide_power(t);
    return _mm512_fmadd_ps(wide_rise(r, r), s, s);
}

/* 1 / (1 + e^-x) */
INLINE wide wide_sigmoid(wide x)
{
    x = _mm512_max_ps(WIDE(-88), _mm512_min_ps(WIDE(88), x));
    const wide t = _mm512_fnmadd_ps(x, WIDE(WIDE_RATE), WIDE(WIDE_MAGIC)), n = _mm512_sub_ps(t, WIDE(WIDE_MAGIC));
    const wide r = _mm512_fnmadd_ps(n, WIDE(WIDE_LOW), _mm512_fnmsub_ps(n, WIDE(WIDE_HIGH), x)), s = wide_power(t);
    const wide rest = _mm512_permutexvar_ps(WIDE_BITS(t), _mm512_load_ps(wide_rests));
    const wide e = wide_rise(r, _mm512_add_ps(r, rest));
    return _mm512_div_ps(WIDE(1), _mm512_fmadd_ps(e, s, _mm512_add_ps(s, WIDE(1))));
}

/* e / (2 + e) with e = e^(-2|x|) - 1, to its last bits near 0: one degree more, and the powers' rests */
INLINE wide wide_tanh(wide x)
{
    const wide a = _mm512_abs_ps(x), b = _mm512_min_ps(WIDE(20), _mm512_add_ps(a, a));
    const wide t = _mm512_fnmadd_ps(b, WIDE(WIDE_RATE), WIDE(WIDE_MAGIC)), n = _mm512_sub_ps(t, WIDE(WIDE_MAGIC));
    const wide r = _mm512_fnmadd_ps(n, WIDE(WIDE_LOW), _mm512_fnmsub_ps(n, WIDE(WIDE_HIGH), b)), s = wide_power(t);
    const wide rest = _mm512_permutexvar_ps(WIDE_BITS(t), _mm512_load_ps(wide_rests));
    const wide p = _mm512_fmadd_ps(r, _mm512_fmadd_ps(r, WIDE(0.0416675918f), WIDE(0.166669905f)), WIDE(0.5f));
    wide e = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, _mm512_add_ps(r, rest));
    e = _mm512_fmadd_ps(e, s, _mm512_sub_ps(s, WIDE(1)));
    const wide y = _mm512_div_ps(e, _mm512_add_ps(e, WIDE(2)));
    /* the sign of x, the rest of y */
    const __m512i magnitude = _mm512_set1_epi32(INT32_MAX);
    return _mm512_castsi512_ps(_mm512_ternarylogic_epi32(WIDE_BITS(y), WIDE_BITS(x), magnitude, 0xe4));
}

/* Phi(-|x|), Phi the normal distribution function, and e^(-x^2/2) in *bell. The exponent is reduced from the exact
 * square; the rational function is vmath.h's tail. x may not be NaN: it becomes 13.26, from where on both are 0. */
INLINE wide wide_normal_tail(wide x, wide *bell)
{
    const __m512i bits = WIDE_BITS(_mm512_abs_ps(x)), most = WIDE_BITS(WIDE(13.26f));
    const wide a = _mm512_castsi512_ps(_mm512_min_epu32(bits, most));
    const wide t = _mm512_fmadd_ps(_mm512_mul_ps(a, WIDE(-0.5f * WIDE_RATE)), a, WIDE(WIDE_MAGIC));
    const wide n = _mm512_sub_ps(t, WIDE(WIDE_MAGIC)), high = _mm512_mul_ps(n, WIDE(2 * WIDE_HIGH)), s = wide_power(t);
    const wide r = _mm512_fnmadd_ps(n, WIDE(2 * WIDE_LOW), _mm512_fnmsub_ps(a, a, high)); /* twice the rest */
    const wide p = _mm512_fmadd_ps(r, WIDE(0.166670397f / 8), WIDE(0.500016212f / 4));
    const wide e = _mm512_mul_ps(r, _mm512_fmadd_ps(r, p, WIDE(0.5f)));
    wide top = WIDE(0.39894795f), under = _mm512_add_ps(a, WIDE(9.94670327f));
#define STEP(p, c) p = _mm512_fmadd_ps(p, a, WIDE(c));
    STEP(top, 3.96786827f) STEP(under, 46.0831997f)
    STEP(top, 17.9921383f) STEP(under, 118.535642f)
    STEP(top, 43.2356924f) STEP(under, 165.650087f)
    STEP(top, 49.6178714f) STEP(under, 99.2357423f)
#undef STEP
    *bell = _mm512_fmadd_ps(e, s, s);
    top = _mm512_mul_ps(top, s);
    return _mm512_div_ps(_mm512_fmadd_ps(e, top, top), under);
}

/* For x < 0 tail, else 1 - tail */
INLINE wide wide_either(wide x, wide tail)
{
    return _mm512_mask_sub_ps(tail, _knot_mask16(_mm512_movepi32_mask(WIDE_BITS(x))), WIDE(1), tail);
}

INLINE wide wide_gelu(wide x)
{
    wide bell;
    return _mm512_mul_ps(x, wide_either(x, wide_normal_tail(x, &bell)));
}

/* Phi(x) + x e^(-x^2/2) / sqrt(2 pi) */
INLINE wide wide_gelu_slope_of(wide x, wide tail, wide bell)
{
    const wide by = _mm512_mul_ps(_mm512_abs_ps(x), WIDE(0.3989422804014327f));
    return wide_either(x, _mm512_fnmadd_ps(by, bell, tail));
}
INLINE wide wide_gelu_slope(wide x)
{
    wide bell, tail = wide_normal_tail(x, &bell);
    return wide_gelu_slope_of(x, tail, bell);
}

/* The mask of n elements, 16 at most */
INLINE __mmask16 wide_first(int64_t n) { return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff); }

/* EACH(i, LOAD, STORE) for i = 0, 16, ... below n. Two a turn: the CPU looks ahead no further than five or so of these
 * chains of 50 cycles. STREAM: stores go past the caches, to whole lines, and what follows 8 kB behind is asked for. */
#define WIDE_LOOP(n, STREAM, EACH)                                                \
    int64_t i = 0;                                                                \
    if (STREAM)                                                                   \
        for (; i + 16 <= (n); i += 16) {                                          \
            EACH(i, WIDE_LOAD_AHEAD, _mm512_stream_ps)                            \
        }                                                                         \
    for (; i + 32 <= (n); i += 32) {                                              \
        EACH(i, _mm512_loadu_ps, _mm512_storeu_ps)                                \
        EACH(i + 16, _mm512_loadu_ps, _mm512_storeu_ps)                           \
    }                                                                             \
    for (; i < (n); i += 16) {                                                    \
        const __mmask16 rest = wide_first((n) - i);                               \
        EACH(i, WIDE_LOAD_REST, WIDE_STORE_REST)                                  \
    }
#define WIDE_LOAD_AHEAD(x) (__builtin_prefetch((x) + 2048), _mm512_loadu_ps(x))
#define WIDE_LOAD_REST(x) _mm512_maskz_loadu_ps(rest, x)
#define WIDE_STORE_REST(y, v) _mm512_mask_storeu_ps(y, rest, v)

#endif
#endif
