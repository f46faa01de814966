/* Constants and minimax polynomials of vmath.h, which includes this once per dtype. */
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
INLINE REAL V(exp_poly)(REAL z) { return EXP_POLY_F64(z, (z * z)); }
/* (log((1+s)/(1-s)) - 2s) / s^3 in z = s^2, s <= 0.1717 */
INLINE REAL V(log_poly)(REAL z)
{
    REAL p = 0.14617807153417325;
    H(0.15331611722055008) H(0.18182892432536871) H(0.22222211089379496) H(0.28571428626253836)
    H(0.39999999999898889) H(0.66666666666666696)
    return p;
}
/* (atan r - r) / r^3 in z = r^2, r <= tan(pi/8) */
INLINE REAL V(atan_poly)(REAL z)
{
    REAL p = -0.019162068915902573;
    H(0.039219552532551293) H(-0.050850304928109408) H(0.058580687568615106)
    H(-0.066645022156714473) H(0.076921825351166484) H(-0.090909045498846111)
    H(0.11111111014561013) H(-0.14285714284657894) H(0.1999999999999548)
    H(-0.33333333333333331)
    return p;
}
/* (asin r - r) / r^3 in z = r^2, r <= 1/2 */
INLINE REAL V(asin_poly)(REAL z)
{
    REAL p = 0.02877844261259304;
    H(-0.014881409392818066) H(0.017419357964884856) H(0.0054508781877205502)
    H(0.010324318288744113) H(0.011478952690257387) H(0.013971235301124539)
    H(0.017352391265909227) H(0.022372173002005596) H(0.030381944137085216)
    H(0.04464285714637338) H(0.074999999999984246) H(0.16666666666666669)
    return p;
}
/* erf(r) / r - 1 in z = r^2, r <= 1 */
INLINE REAL V(erf_poly)(REAL z)
{
    REAL p = -7.792387776980085e-10;
    H(1.3718218762051456e-08) H(-1.6208065704722215e-07) H(1.6447371314258486e-06)
    H(-1.4924732685547572e-05) H(0.00012055294691019695) H(-0.00085483259684585153)
    H(0.0052239776069768823) H(-0.026866170643221454) H(0.11283791670944909)
    H(-0.37612638903183537) H(0.12837916709551256)
    return p;
}
/* (2 artanh(s) - 2s) / s^3 in z = s^2, s <= 1/3 */
INLINE REAL V(artanh_poly)(REAL z)
{
    REAL p = 0.16164045611943531;
    H(0.088007384861446741) H(0.12001072809590713) H(0.13314144209654935)
    H(0.15385570064958623) H(0.18181789436132859) H(0.22222222717427864) H(0.28571428567108759)
    H(0.40000000000014585) H(0.66666666666666663)
    return p;
}
/* e^(a^2) erfc(a) (1 + 2a) in z = (a - 3) / (a + 3), a >= 0.45 */
INLINE REAL V(erfcx_poly)(REAL z)
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
INLINE REAL V(tail)(REAL a)
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
INLINE double V(sin_poly)(double z)
{
    double p = -7.5866368828251592e-13;
    H(1.6058530596645953e-10) H(-2.5052106225994401e-08) H(2.7557319219320579e-06)
    H(-0.00019841269841265041) H(0.0083333333333333315) H(-0.16666666666666666)
    return p;
}
/* (cos r - 1 + r^2/2) / r^4 in z = r^2, |r| <= pi/4 */
INLINE double V(cos_poly)(double z)
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
INLINE REAL V(exp_poly)(REAL z) { return EXP_POLY_F32(z, (z * z)); }
/* (log((1+s)/(1-s)) - 2s) / s^3 in z = s^2, s <= 0.1717 */
INLINE REAL V(log_poly)(REAL z)
{
    REAL p = 0.295809859f;
    H(0.399887577f) H(0.666666851f)
    return p;
}
/* (atan r - r) / r^3 in z = r^2, r <= tan(pi/8) */
INLINE REAL V(atan_poly)(REAL z)
{
    REAL p = -0.0644983522f;
    H(0.107430997f) H(-0.142638971f) H(0.199995388f) H(-0.333333318f)
    return p;
}
/* (asin r - r) / r^3 in z = r^2, r <= 1/2 */
INLINE REAL V(asin_poly)(REAL z)
{
    REAL p = 0.0337007263f;
    H(0.0171437168f) H(0.0311017278f) H(0.0445993192f) H(0.0750009476f) H(0.166666663f)
    return p;
}
/* erf(r) / r - 1 in z = r^2, r <= 1 */
INLINE REAL V(erf_poly)(REAL z)
{
    REAL p = 7.87258276e-05f;
    H(-0.000801595619f) H(0.00518899422f) H(-0.0268541683f) H(0.112835938f) H(-0.376126266f)
    H(0.128379166f)
    return p;
}
/* (2 artanh(s) - 2s) / s^3 in z = s^2, s <= 1/3 */
INLINE REAL V(artanh_poly)(REAL z)
{
    REAL p = 0.232243292f;
    H(0.217065758f) H(0.28592358f) H(0.399997063f) H(0.666666673f)
    return p;
}
/* e^(a^2) erfc(a) (1 + 2a) in z = (a - 3) / (a + 3), a >= 0.45 */
INLINE REAL V(erfcx_poly)(REAL z)
{
    REAL p = -0.000525885442f;
    H(0.00182556621f) H(0.00238272796f) H(-0.0237575531f) H(0.0683416145f) H(-0.119274857f)
    H(0.129642145f) H(-0.0475622368f) H(-0.135621032f) H(1.25300806f)
    return p;
}
/* e^(a^2/2) Phi(-a), 0 <= a <= TAIL_MAX; least squares with Lawson's weights, error 5e-9 */
INLINE REAL V(tail)(REAL z)
{
    REAL p = 0.39894795f;
    H(3.96786827f) H(17.9921383f) H(43.2356924f) H(49.6178714f)
    REAL top = p;
    p = z + 9.94670327f;
    H(46.0831997f) H(118.535642f) H(165.650087f) H(99.2357423f)
    return top / p;
}
/* (sin r - r) / r^3 in z = r^2, |r| <= pi/4 */
INLINE double V(sin_poly)(double z)
{
    double p = 2.72496201e-06;
    H(-0.000198400844) H(0.00833333187) H(-0.166666667)
    return p;
}
/* (cos r - 1 + r^2/2) / r^4 in z = r^2, |r| <= pi/4 */
INLINE double V(cos_poly)(double z)
{
    double p = 2.45476898e-05;
    H(-0.00138883019) H(0.0416666647)
    return p;
}

#endif
