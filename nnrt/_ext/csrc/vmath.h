/* Elementary functions for float and double, written so that the compiler turns
 * a loop that calls them into vector code: no branches, no tables, no calls.
 * exp_f32, exp_f64 and so on; NaN, infinities and the sign of zero as in C99.
 *
 * Errors in ulp, measured by tests/test_vmath.py: below 2 for exp, expm1, log,
 * log1p, sin, cos and erf, below 4 for the rest, as long as the result is normal
 * (launches flush denormal numbers to zero).
 *
 * The polynomials are Chebyshev fits over the intervals named, in 50 digits
 * (mpmath.chebyfit), of the lowest degree whose error is below a quarter ulp.
 * Reductions follow Cody and Waite, Software Manual for the Elementary
 * Functions, 1980. This file includes itself once per type. */
#ifndef NNRT_VMATH_H
#define NNRT_VMATH_H

#include <math.h>
#include <stdint.h>

#include "nnrt.h"

INLINE uint64_t bits_f64_(double x)
{
    uint64_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}
INLINE double real_f64_(uint64_t u)
{
    double x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define NNRT_FUSED 1
#else
#define NNRT_FUSED 0
#endif

/* (e^r - 1 - r) / r^2 over |r| <= log(2)/2, for a number or a vector r and its square */
#define EXP_POLY_F32(r, r2)                                                                                     \
    ((0.00139261761f * r2 + (0.00836317307f * r + 0.0416665547f)) * r2 + (0.16666577f * r + 0.5f))
#define EXP_POLY_F64(r, r2)                                                                                     \
    (((((2.5100375832561234e-08 * r + 2.7620075879983367e-07) * r2                                              \
       + (2.7557268480310026e-06 * r + 2.4801521322368693e-05)) * r2                                            \
      + (0.00019841269863040545 * r + 0.0013888888917196719)) * r2                                              \
     + (0.0083333333333300644 * r + 0.041666666666624162)) * r2 + (0.16666666666666667 * r + 0.5))

/* Beyond this, sin and cos must come from libm: quadrants no longer fit. */
#define NNRT_TRIG_LIMIT 1e6

#define REAL float
#define V(name) name##_f32
#define VMATH_F64 0
#include "vmath.h"
#undef REAL
#undef V
#undef VMATH_F64

#define REAL double
#define V(name) name##_f64
#define VMATH_F64 1
#include "vmath.h"
#undef REAL
#undef V
#undef VMATH_F64
#undef H
#undef H2

#elif defined(VMATH_F64)

#include "vmath_constants.h"

INLINE UINT V(bits)(REAL x)
{
    UINT u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}
INLINE REAL V(real)(UINT u)
{
    REAL x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

/* Is the sign bit set? One instruction less than x < 0: it chooses by itself. */
INLINE int V(minus)(REAL x) { return (INT)V(bits)(x) < 0; }

/* The bits of n + MAGIC + BIAS, n whole, hold the exponent field of 2^n at their low end. */
#define MAGIC_BIAS (MAGIC + (REAL)BIAS)
INLINE REAL V(exp2i)(REAL n_magic_bias) { return V(real)(V(bits)(n_magic_bias) << MANTISSA); }

/* e^(x + low) - 1 = 2^n (e^r - 1) + ...: the fields of a reduction */
#define REDUCE(x, t, n, r)                                             \
    REAL t = (x) * (REAL)1.4426950408889634 + MAGIC_BIAS;              \
    REAL n = t - MAGIC_BIAS;                                           \
    REAL r = (x) - n * LN2_HI;                                         \
    r = r - n * LN2_LO;

INLINE REAL V(exp)(REAL x)
{
    REDUCE(x, t, n, r)
    REAL p = 1 + (r + r * r * V(exp_poly)(r));
    /* 2^n is beyond the range at either end, its half or double is not: p 2^n = (p / 2^h) 2^(n + h) */
    int upper = n > 0;
    REAL y = (upper ? p + p : p) * V(exp2i)(upper ? t - 1 : t);
    y = x < EXP_MIN ? 0 : y;
    return x <= EXP_MAX ? y : x * (REAL)INFINITY;
}

/* 2^n e^r by, n from the t of a reduction; 0 at n = -BIAS */
INLINE REAL V(exp_of)(REAL t, REAL r, REAL by)
{
    REAL scale = V(exp2i)(t) * by, e = r + r * r * V(exp_poly)(r);
#if NNRT_FUSED
    return FMA(e, scale, scale);
#else
    return (1 + e) * scale; /* e * scale may be denormal */
#endif
}

/* by e^(x + low) for -BIAS log(2) <= x <= 0, |low| much smaller than 1 */
INLINE REAL V(exp_core)(REAL x, REAL low, REAL by)
{
    REAL t = x * (REAL)1.4426950408889634 + MAGIC_BIAS, n = t - MAGIC_BIAS;
    return V(exp_of)(t, (x - n * LN2_HI) + (low - n * LN2_LO), by);
}

/* e^x for x <= 1, 0 where that is denormal */
INLINE REAL V(exp_neg)(REAL x)
{
    x = x < (REAL)-0.6931472 * BIAS ? (REAL)-0.6931472 * BIAS : x;
    REDUCE(x, t, n, r)
    return V(exp_of)(t, r, 1);
}

INLINE REAL V(exp2)(REAL x)
{
    REAL t = x + MAGIC_BIAS;
    REAL n = t - MAGIC_BIAS;
    REAL r = (x - n) * (REAL)0.69314718055994531;
    REAL p = 1 + (r + r * r * V(exp_poly)(r));
    int upper = n > 0;
    REAL y = (upper ? p + p : p) * V(exp2i)(upper ? t - 1 : t);
    y = x < (REAL)(1 - BIAS) ? 0 : y;
    return x < (REAL)(BIAS + 1) ? y : x * (REAL)INFINITY;
}

/* e^x - 1 = 2^n (e^r - 1) + (2^n - 1); halved, so that 2^n cannot overflow */
INLINE REAL V(expm1)(REAL x)
{
    REAL c = x < EXPM1_MIN ? EXPM1_MIN : x;
    REDUCE(c, t, n, r)
    REAL half = V(exp2i)(t - 1);
    REAL e = r + r * r * V(exp_poly)(r);
    REAL y = 2 * (e * half + (half - (REAL)0.5));
    y = n == 0 ? e : y; /* e / 2 may be denormal */
    y = x <= EXP_MAX ? y : x * (REAL)INFINITY;
    return x == 0 ? x : y;
}

/* The same for x <= 0; the sign of zero is lost. */
INLINE REAL V(expm1_neg)(REAL x)
{
    x = x < EXPM1_MIN ? EXPM1_MIN : x;
    REDUCE(x, t, n, r)
    REAL scale = V(exp2i)(t);
    return (r + r * r * V(exp_poly)(r)) * scale + (scale - 1);
}

/* x = 2^k (1 + f) with 1 + f within [sqrt(1/2), sqrt(2)]; for x > 0 */
INLINE REAL V(split)(REAL x, REAL *k)
{
    int tiny = x < NORMAL_MIN;
    x = tiny ? x * DENORMAL_SCALE : x;
    UINT u = V(bits)(x) + (ONE_BITS - SQRT_HALF_BITS);
    *k = V(real)((u >> MANTISSA) | INTEGER_HIGH) - (V(real)(INTEGER_HIGH) + (REAL)BIAS)
         - (tiny ? (REAL)DENORMAL_SHIFT : 0);
    return V(real)((u & ((((UINT)1) << MANTISSA) - 1)) + SQRT_HALF_BITS) - 1;
}

/* log(2^k (1 + f)) + low, the small terms first */
INLINE REAL V(log_sum)(REAL k, REAL f, REAL low)
{
    REAL s = f / (2 + f);
    REAL half = (REAL)0.5 * f * f;
    REAL z = s * s;
    REAL tail = s * (half + z * V(log_poly)(z));
    return k * LN2_HI - ((half - (tail + (k * LN2_LO + low))) - f);
}

/* What logarithms give at the ends of their domain */
INLINE REAL V(log_ends)(REAL x, REAL y)
{
    y = x == (REAL)INFINITY ? x : y;
    return x > 0 ? y : x == 0 ? -(REAL)INFINITY : (REAL)NAN;
}

INLINE REAL V(log)(REAL x)
{
    REAL k, f = V(split)(x, &k);
    return V(log_ends)(x, V(log_sum)(k, f, 0));
}

INLINE REAL V(log2)(REAL x)
{
    REAL k, f = V(split)(x, &k);
    return V(log_ends)(x, V(log_sum)(0, f, 0) * (REAL)1.4426950408889634 + k);
}

INLINE REAL V(log10)(REAL x)
{
    /* log10(2) in two parts, the first with few enough bits for exact multiples */
    const REAL hi = VMATH_F64 ? (REAL)3.01029995663611771306e-01 : (REAL)0.301025390625;
    const REAL lo = VMATH_F64 ? (REAL)3.69423907715893078616e-13 : (REAL)4.6050389811952137e-6;
    REAL k, f = V(split)(x, &k);
    return V(log_ends)(x, k * hi + (k * lo + V(log_sum)(0, f, 0) * (REAL)0.43429448190325183));
}

INLINE REAL V(log1p)(REAL x)
{
    REAL u = 1 + x;
    REAL lost = x >= 1 ? 1 - (u - x) : x - (u - 1);
    REAL k, f = V(split)(u, &k);
    REAL y = V(log_ends)(u, V(log_sum)(k, f, lost / u));
    return x == 0 ? x : y;
}

/* tanh(x) = *top / *under, and sigmoid(x) likewise: denominators lie within [1, 2], so
 * that a product of some may divide. */
INLINE void V(tanh_parts)(REAL x, REAL *top, REAL *under)
{
    REAL e = V(expm1_neg)(-2 * FABS(x));
    *top = COPYSIGN(e, x);
    *under = 2 + e;
}

/* e^-|x| cannot overflow, and both tails keep their relative accuracy */
INLINE void V(sigmoid_parts)(REAL x, REAL *top, REAL *under)
{
    REAL z = V(exp_neg)(-FABS(x));
    *top = V(minus)(x) ? z : 1;
    *under = 1 + z;
}

INLINE REAL V(tanh)(REAL x)
{
    REAL top, under;
    V(tanh_parts)(x, &top, &under);
    return top / under;
}

INLINE REAL V(sigmoid)(REAL x)
{
    REAL top, under;
    V(sigmoid_parts)(x, &top, &under);
    return top / under;
}

/* s (1 - s) = z / (1 + z)², z = e^-|x|: nothing cancels */
INLINE REAL V(sigmoid_slope)(REAL x)
{
    REAL z = V(exp_neg)(-FABS(x));
    return z / ((1 + z) * (1 + z));
}

/* log(1 + e^x) = max(x, 0) + log(1 + z), z = e^-|x|; log(1 + z) = 2 artanh(s), 2 s = z / (1 + z / 2), which is no denormal
 * where z is none */
INLINE REAL V(softplus)(REAL x)
{
    REAL z = V(exp_neg)(-FABS(x));
    REAL s_twice = z / (1 + (REAL)0.5 * z);
    REAL s = (REAL)0.5 * s_twice, s2 = s * s;
    return (x < 0 ? 0 : x) + (s_twice + s * s2 * V(artanh_poly)(s2));
}

#include "vmath_angles.h"

/* by a^2 = square + low exactly; by is a power of two */
INLINE REAL V(square)(REAL a, REAL by, REAL *low)
{
#if NNRT_FUSED
    REAL scaled = by * a, square = scaled * a;
    *low = FMA(scaled, a, -square);
    return square;
#else
    REAL high = V(real)(V(bits)(a) & HALF_BITS);
    *low = by * (a - high) * (a + high);
    return by * high * high;
#endif
}

/* erfc(a), 0.45 <= a */
INLINE REAL V(erfc_tail)(REAL a)
{
    a = a > ERFC_MAX ? ERFC_MAX : a;
    REAL low, square = V(square)(a, -1, &low);
    REAL z = (a - 3) / (a + 3);
    return V(exp_core)(square, low, 1) * (V(erfcx_poly)(z) / (1 + 2 * a));
}

INLINE REAL V(erf)(REAL x)
{
    REAL a = FABS(x);
    REAL near = a * (1 + V(erf_poly)(a * a));
    return COPYSIGN(a > 1 ? 1 - V(erfc_tail)(a) : near, x);
}

INLINE REAL V(erfc)(REAL x)
{
    REAL a = FABS(x);
    REAL near = 1 - x * (1 + V(erf_poly)(x * x));
    REAL tail = V(erfc_tail)(a);
    return a <= (REAL)0.5 ? near : x > 0 ? tail : 2 - tail;
}

/* min(a, limit) for a >= 0; by bits for float, as numbers would be compared and chosen one by one in
 * all that follows. NaN may become the limit. */
INLINE REAL V(least)(REAL a, REAL limit)
{
#if VMATH_F64
    return a > limit ? limit : a;
#else
    UINT u = V(bits)(a), top = V(bits)(limit);
    return V(real)(u < top ? u : top);
#endif
}

/* Phi(x) + by x e^(-x^2/2), Phi the normal distribution function: Phi(-a) = e^(-a^2/2) tail(a).
 * Where by is 0, x must not be NaN. */
INLINE REAL V(normal)(REAL x, REAL by)
{
    REAL a = V(least)(FABS(x), TAIL_MAX), factor = V(tail)(a);
    if (by != 0)
        factor -= by * FABS(x);
    REAL low, square = V(square)(a, (REAL)-0.5, &low);
    REAL tail = V(exp_core)(square, low, factor);
    return V(minus)(x) ? tail : 1 - tail;
}
#endif
