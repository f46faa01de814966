/* lgamma, its derivatives and the inverse of erf, row by row, in double for float too: float results are then right to
 * half an ulp, zeros of lgamma and digamma included, and both dtypes share the code.
 *
 * Polynomials are Chebyshev fits as in vmath.h. The gamma functions go by recurrence to where Stirling's series
 * holds (z >= 8) or, of lgamma, to around 2; below 0 they are reflected (Abramowitz and Stegun 6.1.15 to 6.1.17,
 * 6.3.5 to 6.3.7, 6.3.18, 6.4.6 to 6.4.12). erfinv is one of two polynomials in w = -log(1 - x^2) and its
 * root, as in Giles, "Approximating the erfinv function", GPU Computing Gems 2, 2011. */
#ifndef NNRT_SPECIAL_H
#define NNRT_SPECIAL_H

#include "vmath.h"

enum { SPECIAL_ROW = 256 };
#define H2(a, b) p = p * z2 + ((a) * z + (b));

/* log gamma(2 + z) / z, |z| <= 1/2 */
INLINE double lgamma_2_poly(double z)
{
    double z2 = z * z;
    double p = -1.3219945666117874e-07; H2(2.78740805211359e-07, -4.3252393445604814e-07)
    H2(9.200527894968101e-07, -2.0439048107029907e-06) H2(4.38470440459836e-06, -9.438715099211532e-06)
    H2(2.0505590755833454e-05, -4.49263133791557e-05) H2(9.945767355819498e-05, -0.00022315475400520507)
    H2(0.0005096695154115458, -0.0011927539118428156) H2(0.002890510331034267, -0.0073855510286719986)
    H2(0.02058080842778038, -0.0673523010531981) H2(0.32246703342411326, 0.42278433509846713)
    return p;
}
/* z <= 1/64: the series in z = 1/x^2 of log gamma(x), of digamma and of trigamma */
INLINE double stirling_poly(double z)
{
    double z2 = z * z;
    double p = 0.005065905360156132; H2(-0.001890382993887715, 0.0008414700852503147)
    H2(-0.0005952365845057049, 0.0007936507897524059) H2(-0.002777777777773988, 0.08333333333333333)
    return p;
}
INLINE double digamma_poly(double z)
{
    double z2 = z * z;
    double p = -0.017711160415846534 * z + 0.007519088230747095; H2(-0.004166217650696842, 0.003968252342841619)
    H2(-0.008333333331168558, 0.08333333333333287)
    return p;
}
INLINE double trigamma_poly(double z)
{
    double z2 = z * z;
    double p = 0.8586880107331692; H2(-0.24699740954161503, 0.07569481310235808)
    H2(-0.03333299706371194, 0.023809522943893217) H2(-0.03333333333249287, 0.16666666666666655)
    return p;
}
/* erfinv(x) / x by z = w - 3.125, w < 6.25, and by z = sqrt(w) - 4.25 beyond */
INLINE double erfinv_near_poly(double z)
{
    double z2 = z * z;
    double p = 3.240704459379902e-21 * z + -1.113483769832702e-21; H2(-3.4996044354754177e-19, 1.150022252066253e-18)
    H2(1.557432024623325e-17, -1.3016928016796445e-16) H2(-4.0282154327661744e-17, 6.596407712420834e-15)
    H2(-4.001237735091896e-14, -8.118399443074353e-14) H2(2.6304834740560442e-12, -1.2976885526532075e-11)
    H2(-5.414287198084716e-11, 1.0512181539804126e-09) H2(-4.11266082002324e-09, -2.9070382262927266e-08)
    H2(4.234788173782339e-07, -1.3654691850603575e-06) H2(-1.3882523394405316e-05, 0.00018673420802464837)
    H2(-0.000740702534154477, -0.00603367087142785) H2(0.2401581824255883, 1.6536545626831027)
    return p;
}
INLINE double erfinv_far_poly(double z)
{
    double z2 = z * z;
    double p = 4.994109867463605e-16 * z + -9.599117576005519e-16; H2(-1.5329894692147394e-14, 5.5357380663372865e-14)
    H2(5.2442413863423347e-14, -5.164813362913278e-13) H2(1.1365910629608298e-12, -2.9516972459334954e-12)
    H2(4.4790884062226995e-12, 2.978626943491487e-11) H2(-1.9210504408416398e-10, 4.728196676100834e-10)
    H2(-1.798063883345826e-10, -3.084983385664055e-09) H2(1.3424821848038925e-08, -3.0120575961569274e-08)
    H2(2.562348190534966e-08, 9.327240859925412e-08) H2(-5.152672352708825e-07, 1.4901851903269014e-06)
    H2(-3.211125941112318e-06, 5.807264696473426e-06) H2(-1.0197665338895134e-05, 2.1980128895453253e-05)
    H2(-6.441975072298072e-05, 0.0002121767132056046) H2(-0.0006078940274627185, 0.0007127499726621096)
    H2(1.0099782771612555, 4.09222342366813)
    return p;
}
#undef H2

/* log gamma(a), a >= 0: t P(t) at 2 + t and the logarithm of the factors between,
 * which are exact near the zeros 1 and 2 */
INLINE double lgamma_positive(double a)
{
    double n = __builtin_rint(a), t = a - n, q = 1;
    q *= n > 2 ? a - 1 : 1;
    q *= n > 3 ? a - 2 : 1;
    q *= n > 4 ? a - 3 : 1;
    q *= n > 5 ? a - 4 : 1;
    q *= n > 6 ? a - 5 : 1;
    q *= n > 7 ? a - 6 : 1;
    q = n < 2 ? (n < 1 ? a * (a + 1) : a) : q;
    double l = log_f64(a < 8 ? q : a), r = 1 / a;
    double near = t * lgamma_2_poly(t) + (n < 2 ? -l : l);
    double far = (a - 0.5) * (l - 1) + (0.4189385332046727 + r * stirling_poly(r * r));
    return a >= 8 ? far : near;
}

/* Below 8, Sum 1 / (a + k) over k < 8 is the derivative of log(a (a + 1) .. (a + 7)) = log P(s), s = a (a + 7). */
#define GAMMA_SHIFT(a)                                                            \
    double z = a < 8 ? a + 8 : a, r = 1 / z, u = r * r, s = a * (a + 7), s1 = 2 * a + 7;  \
    double first = ((4 * s + 84) * s + 504) * s + 720;                            \
    double by = first / (s * ((s + 28) * s + 252) * s + 720 * s);

INLINE double digamma_positive(double a)
{
    GAMMA_SHIFT(a)
    return log_f64(z) - (0.5 * r + u * digamma_poly(u)) - (a < 8 ? s1 * by : 0);
}

INLINE double trigamma_positive(double a)
{
    GAMMA_SHIFT(a)
    double sum = by * (s1 * s1 * (by - ((12 * s + 168) * s + 504) / first) - 2);
    return r + (0.5 * u + r * u * trigamma_poly(u)) + (a < 8 ? sum : 0);
}

INLINE double erfinv_all(double x)
{
    double w = -log_f64((1 - x) * (1 + x));
    double y = x * (w < 6.25 ? erfinv_near_poly(w - 3.125) : erfinv_far_poly(__builtin_sqrt(w) - 4.25));
    return __builtin_fabs(x) == 1 ? __builtin_copysign(INFINITY, x) : y;
}

/* to[i] = VALUE of a = |x|, x = at[i], and below 0 REFLECTED, of that value y and
 * f, a's distance from a whole number */
#define SPECIAL(name, VALUE, REFLECTED)                                                                             \
    static __attribute__((noinline)) void name##_special(double *restrict to, const double *restrict at, int64_t n) \
    {                                                                                                               \
        int below = 0;                                                                                              \
        for (int64_t i = 0; i < n; i++) {                                                                           \
            const double x = at[i], a = __builtin_fabs(x);                                                          \
            to[i] = (VALUE);                                                                                        \
            below |= x < 0;                                                                                         \
        }                                                                                                           \
        for (int64_t i = 0; i < n && below; i++) {                                                                  \
            const double x = at[i], a = __builtin_fabs(x), f = a - __builtin_rint(a), y = to[i];                    \
            double sin, cos;                                                                                        \
            sincos_f64(PI_ * f, &sin, &cos);                                                                        \
            to[i] = x < 0 ? (REFLECTED) : y;                                                                        \
        }                                                                                                           \
    }
#define PI_ 3.14159265358979323846
/* tiny a: as lgamma(a), both sides being -log a; from 2^52 on all numbers are whole */
SPECIAL(lgamma, lgamma_positive(a),
        a >= 4503599627370496 ? (double)INFINITY : a < 1e-20 ? y : log_f64(PI_ / (a * __builtin_fabs(sin))) - y)
SPECIAL(digamma, a == 0 ? -__builtin_copysign(INFINITY, x) : digamma_positive(a),
        f == 0 ? (double)NAN : y + 1 / a + PI_ * cos / sin)
SPECIAL(trigamma, a == 0 ? (double)INFINITY : trigamma_positive(a), PI_ / sin * (PI_ / sin) - y + 1 / a * (1 / a))
#undef PI_
#undef SPECIAL

static __attribute__((noinline)) void erfinv_special(double *restrict to, const double *restrict at, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        to[i] = erfinv_all(at[i]);
}
#endif
