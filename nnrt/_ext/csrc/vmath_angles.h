/* Functions of angles, circular and hyperbolic, and their inverses: a part of vmath.h,
 * which includes it once per dtype. */
/* sin and cos of x, |x| <= NNRT_TRIG_LIMIT: x = n pi/2 + r. In double for float too: the
 * reduction then needs two parts of pi/2, else three. */
INLINE void V(sincos)(REAL x, double *sin, double *cos)
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

INLINE REAL V(sin)(REAL x)
{
    double s, c;
    V(sincos)(x, &s, &c);
    return (REAL)s;
}
INLINE REAL V(cos)(REAL x)
{
    double s, c;
    V(sincos)(x, &s, &c);
    return (REAL)c;
}
INLINE REAL V(tan)(REAL x)
{
    double s, c;
    V(sincos)(x, &s, &c);
    return (REAL)(s / c);
}

INLINE REAL V(atan)(REAL x)
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
INLINE REAL V(asin_half)(REAL a, int big)
{
    REAL z = big ? (1 - a) * (REAL)0.5 : a * a;
    REAL s = big ? SQRT(z) : a;
    return s + s * z * V(asin_poly)(z);
}

INLINE REAL V(asin)(REAL x)
{
    REAL a = FABS(x);
    int big = a > (REAL)0.5;
    REAL p = V(asin_half)(a, big);
    REAL low = (REAL)(VMATH_F64 ? 6.123233995736766e-17 : -4.37113883e-8);
    return COPYSIGN(big ? (REAL)1.5707963267948966 - (2 * p - low) : p, x);
}

INLINE REAL V(acos)(REAL x)
{
    REAL a = FABS(x);
    int big = a > (REAL)0.5;
    REAL p = V(asin_half)(a, big);
    REAL low = (REAL)(VMATH_F64 ? 6.123233995736766e-17 : -4.37113883e-8);
    REAL ends = x > 0 ? 2 * p : (REAL)3.1415926535897931 - (2 * p - 2 * low);
    return big ? ends : (REAL)1.5707963267948966 - (COPYSIGN(p, x) - low);
}

INLINE REAL V(sinh)(REAL x)
{
    REAL a = FABS(x);
    REAL e = V(expm1)(a);
    REAL h = V(exp)(a * (REAL)0.5);
    REAL y = a > SINH_LARGE ? (REAL)0.5 * h * h : (REAL)0.5 * (e + e / (e + 1));
    return COPYSIGN(y, x);
}

INLINE REAL V(cosh)(REAL x)
{
    REAL h = V(exp)(FABS(x) * (REAL)0.5);
    return (REAL)0.5 * h * h + (REAL)0.5 / h / h;
}

INLINE REAL V(asinh)(REAL x)
{
    REAL a = FABS(x);
    int big = a > LOG_LARGE;
    REAL y = V(log1p)(big ? a : a + a * a / (1 + SQRT(1 + a * a)));
    return COPYSIGN(big ? y + (REAL)0.69314718055994531 : y, x);
}

INLINE REAL V(acosh)(REAL x)
{
    REAL t = x - 1;
    int big = x > LOG_LARGE;
    REAL y = V(log1p)(big ? t : t + SQRT(2 * t + t * t));
    y = big ? y + (REAL)0.69314718055994531 : y;
    return x < 1 ? (REAL)NAN : y;
}

INLINE REAL V(atanh)(REAL x)
{
    REAL a = FABS(x);
    return COPYSIGN((REAL)0.5 * V(log1p)(2 * a / (1 - a)), x);
}
