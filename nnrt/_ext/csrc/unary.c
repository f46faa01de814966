/* Functions of one number. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "unary.h"
#include "vmath_wide.h"

#if WIDE_HERE /* what has its own form there; the rest is AVX2's */

#define K(name) name##_f32
#define TANH(i, LOAD, STORE) STORE(out + i, wide_tanh(LOAD(x + i)));
#define SIGMOID(i, LOAD, STORE) STORE(out + i, wide_sigmoid(LOAD(x + i)));
#define WIDE_MAP(name, EACH)                \
    MAP_ROW(map_##name)                     \
    {                                       \
        float *out = (float *)d[0];         \
        const float *x = (const float *)d[1]; \
        WIDE_LOOP(n, !step, EACH)                  \
    }                                       \
    MAP_KERNEL(map_##name, MAP_STREAMS)
WIDE_MAP(tanh, TANH)
WIDE_MAP(sigmoid, SIGMOID)

#define ENTRY(name) .name = {{"unary/" #name "/f32/avx512", map_##name##_f32}}
const nnrt_unary_table NNRT_SYM(unary) = {ENTRY(tanh), ENTRY(sigmoid)};

#else

#include "special.h"
#include "vmath.h"

#define REAL float
#define K(name) name##_f32
#define LIBM(name) name##f
#include "unary.c"
#undef REAL
#undef K
#undef LIBM
#define REAL double
#define K(name) name##_f64
#define LIBM(name) name
#include "unary.c"

#define ENTRY(name)                                                         \
    .name = {{"unary/" #name "/f32/" NNRT_STR(NNRT_ISA), map_##name##_f32}, \
             {"unary/" #name "/f64/" NNRT_STR(NNRT_ISA), map_##name##_f64}},

const nnrt_unary_table NNRT_SYM(unary) = {NNRT_UNARY_MAPS(ENTRY)};

#endif

#else

/* The maps are map_exp_f32 and so on: exp_f32 is the function. */
#define M1(name, ...) MAP1(map_##name, __VA_ARGS__)
#define M2(name, ...) MAP2(map_##name, __VA_ARGS__)

/* The same for functions of angles: a block with one beyond NNRT_TRIG_LIMIT (or NaN, inf) goes
 * through libm, which reduces exactly. The output may be the input, so the look comes first. */
#define TRIG1(name, fast, exact)                                            \
    MAP_ROW(map_##name)                                                     \
    {                                                                       \
        REAL *out = (REAL *)d[0];                                           \
        const REAL *in = (const REAL *)d[1];                                \
        for (int64_t s = 0; s < n; s += 1024) {                             \
            int64_t e = s + 1024 < n ? s + 1024 : n;                        \
            int beyond = 0;                                                 \
            for (int64_t i = s; i < e; i++)                                 \
                beyond |= !(__builtin_fabs(in[i]) <= NNRT_TRIG_LIMIT);      \
            MAP_PRAGMA(GCC ivdep)                                           \
            for (int64_t i = s; i < e && !beyond; i++) {                    \
                const REAL x = in[i];                                       \
                out[i] = (fast);                                            \
            }                                                               \
            for (int64_t i = s; i < e && beyond; i++) {                     \
                const REAL x = in[i];                                       \
                out[i] = (exact);                                           \
            }                                                               \
        }                                                                   \
    }                                                                       \
    MAP_KERNEL(map_##name, 0)

#define TRIG2(name, fast, exact)                                            \
    MAP_ROW(map_##name)                                                     \
    {                                                                       \
        REAL *out = (REAL *)d[0];                                           \
        const REAL *g = (const REAL *)d[1], *in = (const REAL *)d[2];       \
        for (int64_t s = 0; s < n; s += 1024) {                             \
            int64_t e = s + 1024 < n ? s + 1024 : n;                        \
            int beyond = 0;                                                 \
            for (int64_t i = s; i < e; i++)                                 \
                beyond |= !(__builtin_fabs(in[i]) <= NNRT_TRIG_LIMIT);      \
            MAP_PRAGMA(GCC ivdep)                                           \
            for (int64_t i = s; i < e && !beyond; i++) {                    \
                const REAL dy = g[i], x = in[i];                            \
                out[i] = (fast);                                            \
            }                                                               \
            for (int64_t i = s; i < e && beyond; i++) {                     \
                const REAL dy = g[i], x = in[i];                            \
                out[i] = (exact);                                           \
            }                                                               \
        }                                                                   \
    }                                                                       \
    MAP_KERNEL(map_##name, 0)

/* By special.h, a block at a time; the expression is of to[i] and dy. */
#define SPECIAL(name, function, operand, ...)                               \
    MAP_ROW(map_##name)                                                     \
    {                                                                       \
        REAL *out = (REAL *)d[0];                                           \
        const REAL *g = (const REAL *)d[1], *in = (const REAL *)d[operand]; \
        double at[SPECIAL_ROW], to[SPECIAL_ROW];                            \
        for (int64_t s = 0; s < n; s += SPECIAL_ROW) {                      \
            int64_t m = n - s < SPECIAL_ROW ? n - s : SPECIAL_ROW;          \
            for (int64_t i = 0; i < m; i++)                                 \
                at[i] = in[s + i];                                          \
            function##_special(to, at, m);                                  \
            MAP_PRAGMA(GCC ivdep)                                           \
            for (int64_t i = 0; i < m; i++) {                               \
                const REAL dy = g[s + i];                                   \
                (void)dy;                                                   \
                out[s + i] = (REAL)(__VA_ARGS__);                           \
            }                                                               \
        }                                                                   \
    }                                                                       \
    MAP_KERNEL(map_##name, 0)

#define PI (REAL)3.14159265358979323846

M1(abs, x < 0 ? -x : x == 0 ? 0 : x)
M2(abs_backward, x > 0 ? dy : x < 0 ? -dy : 0)
M1(sign, x > 0 ? 1 : x < 0 ? -1 : 0)
M1(exp, K(exp)(x))
M1(exp2, K(exp2)(x))
M2(exp2_backward, dy * (x * (REAL)0.69314718055994531))
M1(expm1, K(expm1)(x))
M2(expm1_backward, dy * (x + 1))
M1(log, K(log)(x))
M1(log2, K(log2)(x))
M2(log2_backward, dy / (x * (REAL)0.69314718055994531))
M1(log10, K(log10)(x))
M2(log10_backward, dy / (x * (REAL)2.302585092994046))
M1(log1p, K(log1p)(x))
M2(log1p_backward, dy / (1 + x))
M1(sqrt, LIBM(__builtin_sqrt)(x))
M2(sqrt_backward, dy / (2 * x))
M1(rsqrt, 1 / LIBM(__builtin_sqrt)(x))
M2(rsqrt_backward, (REAL)-0.5 * dy * (x * x * x))
M1(square, x * x)
M2(square_backward, dy * (2 * x))
M1(reciprocal, 1 / x)
M2(reciprocal_backward, -dy * (x * x))
TRIG1(sin, K(sin)(x), LIBM(sin)(x))
TRIG2(sin_backward, dy * K(cos)(x), dy * LIBM(cos)(x))
TRIG1(cos, K(cos)(x), LIBM(cos)(x))
TRIG2(cos_backward, -dy * K(sin)(x), -dy * LIBM(sin)(x))
TRIG1(tan, K(tan)(x), LIBM(tan)(x))
M2(tan_backward, dy * (1 + x * x))
M1(asin, K(asin)(x))
M2(asin_backward, dy / LIBM(__builtin_sqrt)(1 - x * x))
M1(acos, K(acos)(x))
M2(acos_backward, -dy / LIBM(__builtin_sqrt)(1 - x * x))
M1(atan, K(atan)(x))
M2(atan_backward, dy / (1 + x * x))
M1(sinh, K(sinh)(x))
M2(sinh_backward, dy * K(cosh)(x))
M1(cosh, K(cosh)(x))
M2(cosh_backward, dy * K(sinh)(x))
M1(asinh, K(asinh)(x))
M2(asinh_backward, dy / LIBM(__builtin_sqrt)(x * x + 1))
M1(acosh, K(acosh)(x))
M2(acosh_backward, dy / LIBM(__builtin_sqrt)(x * x - 1))
M1(atanh, K(atanh)(x))
M2(atanh_backward, dy / (1 - x * x))
M1(tanh, K(tanh)(x))
M2(tanh_backward, dy * (1 - x * x))
M1(sigmoid, K(sigmoid)(x))
M2(sigmoid_backward, dy * (x * (1 - x)))
M1(erf, K(erf)(x))
M2(erf_backward, dy * ((REAL)1.1283791670955126 * K(exp_neg)(-x * x)))
M1(erfc, K(erfc)(x))
M2(erfc_backward, -dy * ((REAL)1.1283791670955126 * K(exp_neg)(-x * x)))
SPECIAL(erfinv, erfinv, 1, to[i])
M2(erfinv_backward, dy * ((REAL)0.88622692545275801 * K(exp)(x * x)))
SPECIAL(lgamma, lgamma, 1, to[i])
SPECIAL(lgamma_backward, digamma, 2, dy * to[i])
SPECIAL(digamma, digamma, 1, to[i])
SPECIAL(digamma_backward, trigamma, 2, dy * to[i])
M1(floor, LIBM(__builtin_floor)(x))
M1(ceil, LIBM(__builtin_ceil)(x))
M1(round, LIBM(__builtin_rint)(x))
M1(trunc, LIBM(__builtin_trunc)(x))
M1(frac, x - LIBM(__builtin_trunc)(x))
M1(logit, K(log)(x / (1 - x)))
M2(logit_backward, (x < 0) | (x > 1) ? (REAL)NAN : dy / (x * (1 - x)))
TRIG1(sinc, x == 0 ? 1 : K(sin)(PI * x) / (PI * x), x == 0 ? 1 : LIBM(sin)(PI * x) / (PI * x))
/* (p cos p - sin p) / p²; near 0, where the difference would cancel, -p Σ (-p²)^(k - 1) 2k / (2k + 1)! */
static inline REAL K(sinc_slope)(REAL p, REAL sine, REAL cosine)
{
    const REAL q = p * p, c = 1 / (REAL)3991680 - q * (1 / (REAL)518918400 - q / (REAL)93405312000);
    const REAL series = 1 / (REAL)3 - q * (1 / (REAL)30 - q * (1 / (REAL)840 - q * (1 / (REAL)45360 - q * c)));
    return q < (REAL)0.25 ? -p * series : (cosine * p - sine) / q;
}

TRIG2(sinc_backward, dy * PI * K(sinc_slope)(PI * x, K(sin)(PI * x), K(cos)(PI * x)),
      dy * PI * K(sinc_slope)(PI * x, LIBM(sin)(PI * x), LIBM(cos)(PI * x)))
M1(nan_to_num, x != x ? c0 : x == (REAL)INFINITY ? c1 : x == -(REAL)INFINITY ? c2 : x)
M2(nan_to_num_backward, (x == x) & (x != (REAL)INFINITY) & (x != -(REAL)INFINITY) ? dy : 0)
#undef PI

#endif
