/* Sigmoids and tangents of vectors, for cells that compute several at once: errors of a few ulp, fewer operations than
 * vmath.h's. NaN stays, the sign of 0 is lost. Included once per dtype after vmath.h and gemm_vec.h. */
#define DOUBLE (REAL_BYTES == 8)

/* x within -limit..limit; NaN stays. */
INLINE K(vec) K(within)(K(vec) x, K(vec) limit)
{
#if defined(__AVX512F__)
    return sizeof(REAL) == 4 ? (K(vec))_mm512_max_ps((__m512)-limit, _mm512_min_ps((__m512)limit, (__m512)x))
                             : (K(vec))_mm512_max_pd((__m512d)-limit, _mm512_min_pd((__m512d)limit, (__m512d)x));
#elif defined(__AVX2__)
    return sizeof(REAL) == 4 ? (K(vec))_mm256_max_ps((__m256)-limit, _mm256_min_ps((__m256)limit, (__m256)x))
                             : (K(vec))_mm256_max_pd((__m256d)-limit, _mm256_min_pd((__m256d)limit, (__m256d)x));
#else
    typedef __typeof__(x > x) bits;
    const bits above = x > limit, below = x < -limit;
    return (K(vec))(((bits)x & ~(above | below)) | ((bits)limit & above) | ((bits)-limit & below));
#endif
}

/* e^(by x) = 2^n (1 + e), in four steps: n, rounded by adding SHIFT, so that its lowest bits are 2^n's exponent, */
#define SHIFT (REAL)(DOUBLE ? 6755399441055744.0 + 1023 : 12582912.0 + 127)
INLINE K(vec) K(rounded)(K(vec) x, REAL by) { return x * (REAL)(by * 1.4426950408889634) + SHIFT; }

/* r = x - n ln 2 of what is by x, */
INLINE K(vec) K(rest)(K(vec) x, K(vec) rounded)
{
    const K(vec) n = rounded - SHIFT;
#if NNRT_FUSED
    return x - n * (REAL)0.69314718055994531;
#else
    const REAL high = DOUBLE ? (REAL)6.93147180369123816490e-01 : (REAL)0.693359375;
    return (x - n * high) - n * (REAL)(0.69314718055994531 - high);
#endif
}

/* 2^n */
INLINE K(vec) K(two_to)(K(vec) rounded)
{
    typedef __typeof__(rounded > rounded) bits;
    return (K(vec))((bits)rounded << (DOUBLE ? 52 : 23));
}

/* and e = e^r - 1, from r² too: of floats one degree less than vmath's, with a relative error of e^r of 1.05e-7. */
INLINE K(vec) K(exp_less_one)(K(vec) r, K(vec) r2)
{
#if REAL_BYTES == 8
    return r + r2 * EXP_POLY_F64(r, r2);
#else
    return r + r2 * ((0.008312501f * r + 0.04189033f) * r2 + (0.16667116f * r + 0.4999923f));
#endif
}

/* s = 2^n and e, for e^(by x) within e^-most..e^most */
INLINE void K(power)(K(vec) x, REAL by, REAL most, K(vec) *s, K(vec) *e)
{
    x = K(within)(x, K(splat)(most / (by < 0 ? -by : by)));
    const K(vec) rounded = K(rounded)(x, by), r = K(rest)(by * x, rounded);
    *s = K(two_to)(rounded);
    *e = K(exp_less_one)(r, r * r);
}

/* What the inverse of a sigmoid's result may be, e^MOST: results below are 0. PART:
 * where tanh's denominator meets it. */
#define MOST (DOUBLE ? 709 : 88)
#define PART (DOUBLE ? 600 : 60)

/* 1 / sigmoid(x) for by = -1, of 1 - sigmoid(x) for 1 */
INLINE K(vec) K(inverse)(K(vec) x, REAL by, REAL most)
{
    K(vec) s, e;
    K(power)(x, by, most, &s, &e);
    return e * s + (1 + s);
}

/* tanh(x) = top / under, under >= 1; of |2 x| >= TANH_MOST it is rounded to ±1 */
#define TANH_MOST (DOUBLE ? 40 : 20)
INLINE void K(tangent)(K(vec) x, K(vec) *top, K(vec) *under)
{
    K(vec) s, e;
    K(power)(x, 2, TANH_MOST, &s, &e);
    *top = e * s + (s - 1);
    *under = e * s + (s + 1);
}

INLINE K(vec) K(sigmoid_vec)(K(vec) x) { return 1 / K(inverse)(x, -1, MOST); }

INLINE K(vec) K(tanh_vec)(K(vec) x)
{
    K(vec) top, under;
    K(tangent)(x, &top, &under);
    return top / under;
}

/* v = sigmoid(v) of the first `sigmoids` of n vectors, tanh(v) of the others, in step: what can go on at a time stands
 * side by side, where chains of 60 cycles one after the other fill the processor's window. n is a constant; products
 * must be fused. */
INLINE void K(in_step)(const int n, const int sigmoids, K(vec) *v)
{
    K(vec) r[8], s[8];
#define ALL _Pragma("GCC unroll 8") for (int i = 0; i < n; i++)
    ALL v[i] = K(within)(v[i], K(splat)(i < sigmoids ? MOST : TANH_MOST / 2));
    ALL s[i] = K(rounded)(v[i], i < sigmoids ? -1 : 2);
    ALL r[i] = K(rest)(i < sigmoids ? -v[i] : v[i] + v[i], s[i]);
    ALL s[i] = K(two_to)(s[i]);
    ALL v[i] = r[i] * r[i];
    ALL r[i] = K(exp_less_one)(r[i], v[i]);
    ALL v[i] = r[i] * s[i] + (i < sigmoids ? s[i] + 1 : s[i] - 1);
    ALL v[i] = i < sigmoids ? 1 / v[i] : v[i] / (v[i] + 2);
#undef ALL
}
