/* Sigmoids and tangents of vectors, for cells that compute several at once: errors of a few ulp, fewer operations than vmath.h's.
 * NaN stays, the sign of 0 is lost. Included once per dtype after vmath.h and gemm_vec.h. */
#undef GATE_DOUBLE
#undef MOST
#undef PART
#ifndef GATES_FIRST /* float comes first */
#define GATES_FIRST
#define GATE_DOUBLE 0
#else
#define GATE_DOUBLE 1
#endif

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

/* The power of two s and the e of e^(by x) = s (1 + e), within e^-most..e^most */
INLINE void K(power)(K(vec) x, REAL by, REAL most, K(vec) *s, K(vec) *e)
{
    typedef __typeof__(x > x) bits;
    enum { DOUBLE = GATE_DOUBLE };
    const REAL magic = DOUBLE ? (REAL)(6755399441055744.0 + 1023) : (REAL)(12582912.0 + 127);
    x = K(within)(x, K(splat)(most / (by < 0 ? -by : by)));
    const K(vec) t = x * (REAL)(by * 1.4426950408889634) + magic, n = t - magic;
#if NNRT_FUSED
    const K(vec) r = by * x - n * (REAL)0.69314718055994531, r2 = r * r;
#else
    const REAL high = DOUBLE ? (REAL)6.93147180369123816490e-01 : (REAL)0.693359375;
    const K(vec) r = (by * x - n * high) - n * (REAL)(0.69314718055994531 - high), r2 = r * r;
#endif
    *s = (K(vec))((bits)t << (DOUBLE ? 52 : 23));
#if GATE_DOUBLE
    *e = r + r2 * EXP_POLY_F64(r, r2);
#else
    /* one degree less than vmath's: relative error of e^r 1.05e-7 */
    *e = r + r2 * ((0.008312501f * r + 0.04189033f) * r2 + (0.16667116f * r + 0.4999923f));
#endif
}

/* What the inverse of a sigmoid's result may be, e^MOST: results below are 0. PART: where tanh's denominator meets it. */
#define MOST (sizeof(REAL) == 4 ? 88 : 709)
#define PART (sizeof(REAL) == 4 ? 60 : 600)

/* 1 / sigmoid(x) for by = -1, of 1 - sigmoid(x) for 1 */
INLINE K(vec) K(inverse)(K(vec) x, REAL by, REAL most)
{
    K(vec) s, e;
    K(power)(x, by, most, &s, &e);
    return e * s + (1 + s);
}

/* tanh(x) = top / under, under >= 1 */
INLINE void K(tangent)(K(vec) x, K(vec) *top, K(vec) *under)
{
    K(vec) s, e;
    K(power)(x, 2, sizeof(REAL) == 4 ? 20 : 40, &s, &e);
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
    typedef __typeof__(*v > *v) bits;
    enum { DOUBLE = GATE_DOUBLE };
    const REAL magic = DOUBLE ? (REAL)(6755399441055744.0 + 1023) : (REAL)(12582912.0 + 127);
    K(vec) r[8], s[8];
#define ALL _Pragma("GCC unroll 8") for (int i = 0; i < n; i++)
    ALL v[i] = K(within)(v[i], K(splat)(i < sigmoids ? MOST : DOUBLE ? 20 : 10));
    ALL s[i] = v[i] * (REAL)((i < sigmoids ? -1 : 2) * 1.4426950408889634) + magic;
    ALL r[i] = (i < sigmoids ? -v[i] : v[i] + v[i]) - (s[i] - magic) * (REAL)0.69314718055994531;
    ALL s[i] = (K(vec))((bits)s[i] << (DOUBLE ? 52 : 23));
    ALL v[i] = r[i] * r[i];
#if GATE_DOUBLE
    ALL r[i] = r[i] + v[i] * EXP_POLY_F64(r[i], v[i]);
#else
    ALL r[i] = r[i] + v[i] * ((0.008312501f * r[i] + 0.04189033f) * v[i] + (0.16667116f * r[i] + 0.4999923f));
#endif
    ALL v[i] = r[i] * s[i] + (i < sigmoids ? s[i] + 1 : s[i] - 1);
    ALL v[i] = i < sigmoids ? 1 / v[i] : v[i] / (v[i] + 2);
#undef ALL
}
