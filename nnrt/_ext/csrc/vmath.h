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

static inline uint64_t bits_f64_(double x)
{
    uint64_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}
static inline double real_f64_(uint64_t u)
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

#undef H
#undef H2
#define H(c) p = p * z + (c);
/* Two steps of Horner's rule: half as long a chain of dependent operations. */
#define H2(a, b) p = p * z2 + ((a) * z + (b));

#undef UINT
#undef INT
#undef MANTISSA
#undef BIAS
#undef MAGIC
#undef INTEGER_HIGH
#undef SIGN_BIT
#undef LN2_HI
#undef LN2_LO
#undef EXP_MAX
#undef EXP_MIN
#undef EXPM1_MIN
#undef NORMAL_MIN
#undef SQRT_HALF_BITS
#undef ONE_BITS
#undef DENORMAL_SCALE
#undef DENORMAL_SHIFT
#undef HALF_BITS
#undef ERFC_MAX
#undef TAIL_MAX
#undef SINH_LARGE
#undef LOG_LARGE
#undef FABS
#undef SQRT
#undef COPYSIGN
#undef FMA
#undef MAGIC_BIAS
#undef REDUCE

#if VMATH_F64
#define UINT uint64_t
#define INT int64_t
#define MANTISSA 52
#define BIAS 1023
#define MAGIC 6755399441055744.0         /* 1.5 * 2^52: adding it rounds to a whole number */
#define INTEGER_HIGH 0x4330000000000000u /* 2^52 */
#define SIGN_BIT 0x8000000000000000u
#define LN2_HI 6.93147180369123816490e-01 /* 32 bits: its multiples by exponents are exact */
#define LN2_LO 1.90821492927058770002e-10
#define EXP_MAX 709.782712893384     /* above, e^x overflows */
#define EXP_MIN -708.3964185322641   /* below, e^x is denormal: taken as 0 */
#define EXPM1_MIN -40.0
#define NORMAL_MIN 2.2250738585072014e-308
#define SQRT_HALF_BITS 0x3fe6a09e667f3bcdu
#define ONE_BITS 0x3ff0000000000000u
#define DENORMAL_SCALE 18014398509481984.0 /* 2^54 */
#define DENORMAL_SHIFT 54
#define HALF_BITS 0xfffffffff8000000u /* keeps 26 bits: squares of what is left are exact */
#define ERFC_MAX 26.63 /* e^(-a^2) is 0 from here on */
#define TAIL_MAX 37.66 /* e^(-a^2/2) is */
#define SINH_LARGE 22.0
#define LOG_LARGE 1e20 /* log1p is log here, and squares do not overflow yet */
#define FABS __builtin_fabs
#define SQRT __builtin_sqrt
#define COPYSIGN __builtin_copysign
#define FMA __builtin_fma
static inline REAL V(exp_poly)(REAL z) { return EXP_POLY_F64(z, (z * z)); }
/* (log((1+s)/(1-s)) - 2s) / s^3 in z = s^2, s <= 0.1717 */
static inline REAL V(log_poly)(REAL z)
{
    REAL p = 0.14617807153417325;
    H(0.15331611722055008) H(0.18182892432536871) H(0.22222211089379496) H(0.28571428626253836)
    H(0.39999999999898889) H(0.66666666666666696)
    return p;
}
/* (atan r - r) / r^3 in z = r^2, r <= tan(pi/8) */
static inline REAL V(atan_poly)(REAL z)
{
    REAL p = -0.019162068915902573;
    H(0.039219552532551293) H(-0.050850304928109408) H(0.058580687568615106)
    H(-0.066645022156714473) H(0.076921825351166484) H(-0.090909045498846111)
    H(0.11111111014561013) H(-0.14285714284657894) H(0.1999999999999548)
    H(-0.33333333333333331)
    return p;
}
/* (asin r - r) / r^3 in z = r^2, r <= 1/2 */
static inline REAL V(asin_poly)(REAL z)
{
    REAL p = 0.02877844261259304;
    H(-0.014881409392818066) H(0.017419357964884856) H(0.0054508781877205502)
    H(0.010324318288744113) H(0.011478952690257387) H(0.013971235301124539)
    H(0.017352391265909227) H(0.022372173002005596) H(0.030381944137085216)
    H(0.04464285714637338) H(0.074999999999984246) H(0.16666666666666669)
    return p;
}
/* erf(r) / r - 1 in z = r^2, r <= 1 */
static inline REAL V(erf_poly)(REAL z)
{
    REAL p = -7.792387776980085e-10;
    H(1.3718218762051456e-08) H(-1.6208065704722215e-07) H(1.6447371314258486e-06)
    H(-1.4924732685547572e-05) H(0.00012055294691019695) H(-0.00085483259684585153)
    H(0.0052239776069768823) H(-0.026866170643221454) H(0.11283791670944909)
    H(-0.37612638903183537) H(0.12837916709551256)
    return p;
}
/* (2 artanh(s) - 2s) / s^3 in z = s^2, s <= 1/3 */
static inline REAL V(artanh_poly)(REAL z)
{
    REAL p = 0.16164045611943531;
    H(0.088007384861446741) H(0.12001072809590713) H(0.13314144209654935)
    H(0.15385570064958623) H(0.18181789436132859) H(0.22222222717427864) H(0.28571428567108759)
    H(0.40000000000014585) H(0.66666666666666663)
    return p;
}
/* e^(a^2) erfc(a) (1 + 2a) in z = (a - 3) / (a + 3), a >= 0.45 */
static inline REAL V(erfcx_poly)(REAL z)
{
    REAL p = -1.3841728347686345e-08;
    H(2.1051720289214853e-08) H(1.0815009241906692e-07) H(-1.1695433947477069e-07)
    H(-6.2646359847527573e-07) H(3.3973338247976838e-07) H(3.4799621353734641e-06)
    H(-7.2403332515562764e-07) H(-2.0103982743537698e-05) H(4.9473672271800691e-06)
    H(0.00012510031082159365) H(-0.00010515941124375099) H(-0.00077983243931715204)
    H(0.0018886903140983662) H(0.0025293918335327547) H(-0.02377051491552214)
    H(0.068308027342977071) H(-0.11927366341542288) H(0.12964515870278692)
    H(-0.047562294353449081) H(-0.13562110612458136) H(1.2530080582697296)
    return p;
}
/* e^(a^2/2) Phi(-a), a >= 0: w times a polynomial in z = w - 0.109375, w = 1 / (a + 5) */
static inline REAL V(tail)(REAL a)
{
    REAL w = 1 / (a + 5), z = w - 0.109375;
    REAL p = -2224938767716.4434;
    H(325006221893.14343) H(208187172712.43704) H(-37457583006.55407) H(-13417562190.372541)
    H(2860449339.9560828) H(895974132.49478579) H(-187671902.57779509) H(-71172599.565593988)
    H(9798767.9514109287) H(6501842.0901276646) H(4759.9106375919973) H(-573743.28477604152)
    H(-127375.07447408655) H(22180.533569899366) H(22524.618346741925) H(8132.6140961099145)
    H(2002.4277258460052) H(381.84110451987226) H(59.278311653641076) H(7.6709079740551482)
    H(0.83619753706079603)
    return w * p;
}
/* (sin r - r) / r^3 in z = r^2, |r| <= pi/4 */
static inline double V(sin_poly)(double z)
{
    double p = -7.5866368828251592e-13;
    H(1.6058530596645953e-10) H(-2.5052106225994401e-08) H(2.7557319219320579e-06)
    H(-0.00019841269841265041) H(0.0083333333333333315) H(-0.16666666666666666)
    return p;
}
/* (cos r - 1 + r^2/2) / r^4 in z = r^2, |r| <= pi/4 */
static inline double V(cos_poly)(double z)
{
    double p = -1.138254464534925e-11;
    H(2.0876145049413178e-09) H(-2.7557317265878082e-07) H(2.48015872987544e-05)
    H(-0.0013888888888887389) H(0.041666666666666664)
    return p;
}

#else
#define UINT uint32_t
#define INT int32_t
#define MANTISSA 23
#define BIAS 127
#define MAGIC 12582912.0f
#define INTEGER_HIGH 0x4B000000u /* 2^23 */
#define SIGN_BIT 0x80000000u
#define LN2_HI 0.693359375f
#define LN2_LO -2.12194440e-4f
#define EXP_MAX 88.72283f
#define EXP_MIN -87.33654f
#define EXPM1_MIN -20.0f
#define NORMAL_MIN 1.17549435e-38f
#define SQRT_HALF_BITS 0x3f3504f3u
#define ONE_BITS 0x3f800000u
#define DENORMAL_SCALE 33554432.0f /* 2^25 */
#define DENORMAL_SHIFT 25
#define HALF_BITS 0xfffff000u /* 12 bits */
#define ERFC_MAX 9.38f
#define TAIL_MAX 13.26f
#define SINH_LARGE 10.0f
#define LOG_LARGE 1e10f
#define FABS __builtin_fabsf
#define SQRT __builtin_sqrtf
#define COPYSIGN __builtin_copysignf
#define FMA __builtin_fmaf
static inline REAL V(exp_poly)(REAL z) { return EXP_POLY_F32(z, (z * z)); }
/* (log((1+s)/(1-s)) - 2s) / s^3 in z = s^2, s <= 0.1717 */
static inline REAL V(log_poly)(REAL z)
{
    REAL p = 0.295809859f;
    H(0.399887577f) H(0.666666851f)
    return p;
}
/* (atan r - r) / r^3 in z = r^2, r <= tan(pi/8) */
static inline REAL V(atan_poly)(REAL z)
{
    REAL p = -0.0644983522f;
    H(0.107430997f) H(-0.142638971f) H(0.199995388f) H(-0.333333318f)
    return p;
}
/* (asin r - r) / r^3 in z = r^2, r <= 1/2 */
static inline REAL V(asin_poly)(REAL z)
{
    REAL p = 0.0337007263f;
    H(0.0171437168f) H(0.0311017278f) H(0.0445993192f) H(0.0750009476f) H(0.166666663f)
    return p;
}
/* erf(r) / r - 1 in z = r^2, r <= 1 */
static inline REAL V(erf_poly)(REAL z)
{
    REAL p = 7.87258276e-05f;
    H(-0.000801595619f) H(0.00518899422f) H(-0.0268541683f) H(0.112835938f) H(-0.376126266f)
    H(0.128379166f)
    return p;
}
/* (2 artanh(s) - 2s) / s^3 in z = s^2, s <= 1/3 */
static inline REAL V(artanh_poly)(REAL z)
{
    REAL p = 0.232243292f;
    H(0.217065758f) H(0.28592358f) H(0.399997063f) H(0.666666673f)
    return p;
}
/* e^(a^2) erfc(a) (1 + 2a) in z = (a - 3) / (a + 3), a >= 0.45 */
static inline REAL V(erfcx_poly)(REAL z)
{
    REAL p = -0.000525885442f;
    H(0.00182556621f) H(0.00238272796f) H(-0.0237575531f) H(0.0683416145f) H(-0.119274857f)
    H(0.129642145f) H(-0.0475622368f) H(-0.135621032f) H(1.25300806f)
    return p;
}
/* e^(a^2/2) Phi(-a), 0 <= a <= TAIL_MAX; least squares with Lawson's weights, error 5e-9 */
static inline REAL V(tail)(REAL z)
{
    REAL p = 0.39894795f;
    H(3.96786827f) H(17.9921383f) H(43.2356924f) H(49.6178714f)
    REAL top = p;
    p = z + 9.94670327f;
    H(46.0831997f) H(118.535642f) H(165.650087f) H(99.2357423f)
    return top / p;
}
/* (sin r - r) / r^3 in z = r^2, |r| <= pi/4 */
static inline double V(sin_poly)(double z)
{
    double p = 2.72496201e-06;
    H(-0.000198400844) H(0.00833333187) H(-0.166666667)
    return p;
}
/* (cos r - 1 + r^2/2) / r^4 in z = r^2, |r| <= pi/4 */
static inline double V(cos_poly)(double z)
{
    double p = 2.45476898e-05;
    H(-0.00138883019) H(0.0416666647)
    return p;
}

#endif

static inline UINT V(bits)(REAL x)
{
    UINT u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}
static inline REAL V(real)(UINT u)
{
    REAL x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

/* Is the sign bit set? One instruction less than x < 0: it chooses by itself. */
static inline int V(minus)(REAL x) { return (INT)V(bits)(x) < 0; }

/* The bits of n + MAGIC + BIAS, n whole, hold the exponent field of 2^n at their low end. */
#define MAGIC_BIAS (MAGIC + (REAL)BIAS)
static inline REAL V(exp2i)(REAL n_magic_bias) { return V(real)(V(bits)(n_magic_bias) << MANTISSA); }

/* e^(x + low) - 1 = 2^n (e^r - 1) + ...: the fields of a reduction */
#define REDUCE(x, t, n, r)                                             \
    REAL t = (x) * (REAL)1.4426950408889634 + MAGIC_BIAS;              \
    REAL n = t - MAGIC_BIAS;                                           \
    REAL r = (x) - n * LN2_HI;                                         \
    r = r - n * LN2_LO;

static inline REAL V(exp)(REAL x)
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
static inline REAL V(exp_of)(REAL t, REAL r, REAL by)
{
    REAL scale = V(exp2i)(t) * by, e = r + r * r * V(exp_poly)(r);
#if NNRT_FUSED
    return FMA(e, scale, scale);
#else
    return (1 + e) * scale; /* e * scale may be denormal */
#endif
}

/* by e^(x + low) for -BIAS log(2) <= x <= 0, |low| much smaller than 1 */
static inline REAL V(exp_core)(REAL x, REAL low, REAL by)
{
    REAL t = x * (REAL)1.4426950408889634 + MAGIC_BIAS, n = t - MAGIC_BIAS;
    return V(exp_of)(t, (x - n * LN2_HI) + (low - n * LN2_LO), by);
}

/* e^x for x <= 1, 0 where that is denormal */
static inline REAL V(exp_neg)(REAL x)
{
    x = x < (REAL)-0.6931472 * BIAS ? (REAL)-0.6931472 * BIAS : x;
    REDUCE(x, t, n, r)
    return V(exp_of)(t, r, 1);
}

static inline REAL V(exp2)(REAL x)
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
static inline REAL V(expm1)(REAL x)
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
static inline REAL V(expm1_neg)(REAL x)
{
    x = x < EXPM1_MIN ? EXPM1_MIN : x;
    REDUCE(x, t, n, r)
    REAL scale = V(exp2i)(t);
    return (r + r * r * V(exp_poly)(r)) * scale + (scale - 1);
}

/* x = 2^k (1 + f) with 1 + f within [sqrt(1/2), sqrt(2)]; for x > 0 */
static inline REAL V(split)(REAL x, REAL *k)
{
    int tiny = x < NORMAL_MIN;
    x = tiny ? x * DENORMAL_SCALE : x;
    UINT u = V(bits)(x) + (ONE_BITS - SQRT_HALF_BITS);
    *k = V(real)((u >> MANTISSA) | INTEGER_HIGH) - (V(real)(INTEGER_HIGH) + (REAL)BIAS) - (tiny ? (REAL)DENORMAL_SHIFT : 0);
    return V(real)((u & ((((UINT)1) << MANTISSA) - 1)) + SQRT_HALF_BITS) - 1;
}

/* log(2^k (1 + f)) + low, the small terms first */
static inline REAL V(log_sum)(REAL k, REAL f, REAL low)
{
    REAL s = f / (2 + f);
    REAL half = (REAL)0.5 * f * f;
    REAL z = s * s;
    REAL tail = s * (half + z * V(log_poly)(z));
    return k * LN2_HI - ((half - (tail + (k * LN2_LO + low))) - f);
}

/* What logarithms give at the ends of their domain */
static inline REAL V(log_ends)(REAL x, REAL y)
{
    y = x == (REAL)INFINITY ? x : y;
    return x > 0 ? y : x == 0 ? -(REAL)INFINITY : (REAL)NAN;
}

static inline REAL V(log)(REAL x)
{
    REAL k, f = V(split)(x, &k);
    return V(log_ends)(x, V(log_sum)(k, f, 0));
}

static inline REAL V(log2)(REAL x)
{
    REAL k, f = V(split)(x, &k);
    return V(log_ends)(x, V(log_sum)(0, f, 0) * (REAL)1.4426950408889634 + k);
}

static inline REAL V(log10)(REAL x)
{
    /* log10(2) in two parts, the first with few enough bits for exact multiples */
    const REAL hi = VMATH_F64 ? (REAL)3.01029995663611771306e-01 : (REAL)0.301025390625;
    const REAL lo = VMATH_F64 ? (REAL)3.69423907715893078616e-13 : (REAL)4.6050389811952137e-6;
    REAL k, f = V(split)(x, &k);
    return V(log_ends)(x, k * hi + (k * lo + V(log_sum)(0, f, 0) * (REAL)0.43429448190325183));
}

static inline REAL V(log1p)(REAL x)
{
    REAL u = 1 + x;
    REAL lost = x >= 1 ? 1 - (u - x) : x - (u - 1);
    REAL k, f = V(split)(u, &k);
    REAL y = V(log_ends)(u, V(log_sum)(k, f, lost / u));
    return x == 0 ? x : y;
}

/* tanh(x) = *top / *under, and sigmoid(x) likewise: denominators lie within [1, 2], so that a product of some may divide. */
static inline void V(tanh_parts)(REAL x, REAL *top, REAL *under)
{
    REAL e = V(expm1_neg)(-2 * FABS(x));
    *top = COPYSIGN(e, x);
    *under = 2 + e;
}

/* e^-|x| cannot overflow, and both tails keep their relative accuracy */
static inline void V(sigmoid_parts)(REAL x, REAL *top, REAL *under)
{
    REAL z = V(exp_neg)(-FABS(x));
    *top = V(minus)(x) ? z : 1;
    *under = 1 + z;
}

static inline REAL V(tanh)(REAL x)
{
    REAL top, under;
    V(tanh_parts)(x, &top, &under);
    return top / under;
}

static inline REAL V(sigmoid)(REAL x)
{
    REAL top, under;
    V(sigmoid_parts)(x, &top, &under);
    return top / under;
}

/* s (1 - s) = z / (1 + z)², z = e^-|x|: nothing cancels */
static inline REAL V(sigmoid_slope)(REAL x)
{
    REAL z = V(exp_neg)(-FABS(x));
    return z / ((1 + z) * (1 + z));
}

/* log(1 + e^x) = max(x, 0) + log(1 + z), z = e^-|x|; log(1 + z) = 2 artanh(s), s = z / (2 + z) */
static inline REAL V(softplus)(REAL x)
{
    REAL z = V(exp_neg)(-FABS(x));
    REAL s = z / (2 + z);
    REAL s2 = s * s;
    return (x < 0 ? 0 : x) + (2 * s + s * s2 * V(artanh_poly)(s2));
}

/* sin and cos of x, |x| <= NNRT_TRIG_LIMIT: x = n pi/2 + r. In double for float too: the
 * reduction then needs two parts of pi/2, else three. */
static inline void V(sincos)(REAL x, double *sin, double *cos)
{
    const double magic = 6755399441055744.0;
    double turned = (double)x * 0.63661977236758134308 + magic;
    double n = turned - magic;
    double r = (double)x - n * 1.57079632673412561417e+00;
#if VMATH_F64
    double w = n * 6.07710050630396597660e-11;
    double before = r;
    r = before - w;
    double low = ((before - r) - w) - n * 2.02226624879595063154e-21;
    double z = r * r;
    double s = r + (low + r * z * V(sin_poly)(z));
    double c = 1 - (z * 0.5 - (z * z * V(cos_poly)(z) - r * low));
#else
    r = r - n * 6.07710050650619224932e-11;
    double z = r * r;
    double s = r + r * z * V(sin_poly)(z);
    double c = 1 - (z * 0.5 - z * z * V(cos_poly)(z));
#endif
    uint64_t q = bits_f64_(turned);
    double odd = (q & 1) ? c : s, even = (q & 1) ? s : c;
    *sin = real_f64_(bits_f64_(odd) ^ ((q & 2) << 62));
    *cos = real_f64_(bits_f64_(even) ^ (((q + 1) & 2) << 62));
}

static inline REAL V(sin)(REAL x)
{
    double s, c;
    V(sincos)(x, &s, &c);
    return (REAL)s;
}
static inline REAL V(cos)(REAL x)
{
    double s, c;
    V(sincos)(x, &s, &c);
    return (REAL)c;
}
static inline REAL V(tan)(REAL x)
{
    double s, c;
    V(sincos)(x, &s, &c);
    return (REAL)(s / c);
}

static inline REAL V(atan)(REAL x)
{
    REAL a = FABS(x);
    int big = a > (REAL)2.4142135623730950, mid = a > (REAL)0.41421356237309503;
    REAL top = big ? -1 : mid ? a - 1 : a;
    REAL bottom = big ? a : mid ? a + 1 : 1;
    REAL base = big ? (REAL)1.5707963267948966 : mid ? (REAL)0.78539816339744831 : 0;
    REAL low = (REAL)(VMATH_F64 ? 6.123233995736766e-17 : -4.37113883e-8);
    low = big ? low : mid ? (REAL)0.5 * low : 0;
    REAL r = top / bottom;
    REAL z = r * r;
    return COPYSIGN(base + (r + (r * z * V(atan_poly)(z) + low)), x);
}

/* asin of s = min(|x|, sqrt((1 - |x|) / 2)), for both asin and acos */
static inline REAL V(asin_half)(REAL a, int big)
{
    REAL z = big ? (1 - a) * (REAL)0.5 : a * a;
    REAL s = big ? SQRT(z) : a;
    return s + s * z * V(asin_poly)(z);
}

static inline REAL V(asin)(REAL x)
{
    REAL a = FABS(x);
    int big = a > (REAL)0.5;
    REAL p = V(asin_half)(a, big);
    REAL low = (REAL)(VMATH_F64 ? 6.123233995736766e-17 : -4.37113883e-8);
    return COPYSIGN(big ? (REAL)1.5707963267948966 - (2 * p - low) : p, x);
}

static inline REAL V(acos)(REAL x)
{
    REAL a = FABS(x);
    int big = a > (REAL)0.5;
    REAL p = V(asin_half)(a, big);
    REAL low = (REAL)(VMATH_F64 ? 6.123233995736766e-17 : -4.37113883e-8);
    REAL ends = x > 0 ? 2 * p : (REAL)3.1415926535897931 - (2 * p - 2 * low);
    return big ? ends : (REAL)1.5707963267948966 - (COPYSIGN(p, x) - low);
}

static inline REAL V(sinh)(REAL x)
{
    REAL a = FABS(x);
    REAL e = V(expm1)(a);
    REAL h = V(exp)(a * (REAL)0.5);
    REAL y = a > SINH_LARGE ? (REAL)0.5 * h * h : (REAL)0.5 * (e + e / (e + 1));
    return COPYSIGN(y, x);
}

static inline REAL V(cosh)(REAL x)
{
    REAL h = V(exp)(FABS(x) * (REAL)0.5);
    return (REAL)0.5 * h * h + (REAL)0.5 / h / h;
}

static inline REAL V(asinh)(REAL x)
{
    REAL a = FABS(x);
    int big = a > LOG_LARGE;
    REAL y = V(log1p)(big ? a : a + a * a / (1 + SQRT(1 + a * a)));
    return COPYSIGN(big ? y + (REAL)0.69314718055994531 : y, x);
}

static inline REAL V(acosh)(REAL x)
{
    REAL t = x - 1;
    int big = x > LOG_LARGE;
    REAL y = V(log1p)(big ? t : t + SQRT(2 * t + t * t));
    y = big ? y + (REAL)0.69314718055994531 : y;
    return x < 1 ? (REAL)NAN : y;
}

static inline REAL V(atanh)(REAL x)
{
    REAL a = FABS(x);
    return COPYSIGN((REAL)0.5 * V(log1p)(2 * a / (1 - a)), x);
}

/* by a^2 = square + low exactly; by is a power of two */
static inline REAL V(square)(REAL a, REAL by, REAL *low)
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
static inline REAL V(erfc_tail)(REAL a)
{
    a = a > ERFC_MAX ? ERFC_MAX : a;
    REAL low, square = V(square)(a, -1, &low);
    REAL z = (a - 3) / (a + 3);
    return V(exp_core)(square, low, 1) * (V(erfcx_poly)(z) / (1 + 2 * a));
}

static inline REAL V(erf)(REAL x)
{
    REAL a = FABS(x);
    REAL near = a * (1 + V(erf_poly)(a * a));
    return COPYSIGN(a > 1 ? 1 - V(erfc_tail)(a) : near, x);
}

static inline REAL V(erfc)(REAL x)
{
    REAL a = FABS(x);
    REAL near = 1 - x * (1 + V(erf_poly)(x * x));
    REAL tail = V(erfc_tail)(a);
    return a <= (REAL)0.5 ? near : x > 0 ? tail : 2 - tail;
}

/* min(a, limit) for a >= 0; by bits for float, as numbers would be compared and chosen one by one in
 * all that follows. NaN may become the limit. */
static inline REAL V(least)(REAL a, REAL limit)
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
static inline REAL V(normal)(REAL x, REAL by)
{
    REAL a = V(least)(FABS(x), TAIL_MAX), factor = V(tail)(a);
    if (by != 0)
        factor -= by * FABS(x);
    REAL low, square = V(square)(a, (REAL)-0.5, &low);
    REAL tail = V(exp_core)(square, low, factor);
    return V(minus)(x) ? tail : 1 - tail;
}
#endif
