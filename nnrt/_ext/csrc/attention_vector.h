/* Vectors of scores, and rows of any length. Included once per dtype. */

#undef FAST
#undef EXP_MANTISSA
#undef EXP_MAGIC
/* Loops that are worth their size: the family is compiled for size. */
#if REAL_BYTES == 4 && !defined(__clang__)
#define FAST __attribute__((optimize("O2")))
#else
#define FAST
#endif
#if REAL_BYTES == 4
#define EXP_MANTISSA 23
#define EXP_MAGIC (12582912.0f + 127)
#else
#define EXP_LEAST -709.08956571282410 /* -1023 log(2): 0 comes out */
#define EXP_MANTISSA 52
#define EXP_MAGIC (6755399441055744.0 + 1023)
#define EXP_HIGH 6.93147180369123816490e-01
#define EXP_LOW 1.90821492927058770002e-10
#endif

/* The larger of two, y where one is NaN. */
INLINE K(vec) K(max_vec)(K(vec) x, K(vec) y)
{
#if defined(__AVX512F__) && REAL_BYTES == 4
    return (K(vec))_mm512_max_ps((__m512)x, (__m512)y);
#elif defined(__AVX512F__)
    return (K(vec))_mm512_max_pd((__m512d)x, (__m512d)y);
#elif defined(__AVX2__) && REAL_BYTES == 4
    return (K(vec))_mm256_max_ps((__m256)x, (__m256)y);
#elif defined(__AVX2__)
    return (K(vec))_mm256_max_pd((__m256d)x, (__m256d)y);
#else
    typedef __typeof__(x > y) bits;
    const bits first = x > y;
    return (K(vec))(((bits)x & first) | ((bits)y & ~first));
#endif
}

/* e^x for x <= 1. */
INLINE K(vec) K(exp_vec)(K(vec) x)
{
    typedef __typeof__(x > x) bits;
#if REAL_BYTES == 4
    /* 2^t: a sixth less to do and four constants fewer than for e^x, so that they stay in registers. (2^r - 1) / r by a
     * minimax polynomial for |r| <= 1/2, relative error of 2^r 9.1e-8. Few results and short chains: a core holds no
     * more than eight or ten of these at a time. */
    const REAL log2e = 1.442695041f;
    x = K(max_vec)(K(splat)(-88.02969193f), x); /* -127 log(2): 0 comes out */
    const K(vec) u = x * log2e + EXP_MAGIC, r = x * log2e - (u - EXP_MAGIC), r2 = r * r;
    const K(vec) high = 0.00132647273f * r + 0.00967151279f, low = 0.0555073374f * r + 0.240222421f;
    const K(vec) e = (high * r2 + low) * r2 + 0.693146978f * r;
#else
    x = K(max_vec)(K(splat)(EXP_LEAST), x);
    const K(vec) u = x * (REAL)1.4426950408889634 + EXP_MAGIC, n = u - EXP_MAGIC;
    const K(vec) r = (x - n * EXP_HIGH) - n * EXP_LOW, r2 = r * r, e = r + r2 * EXP_POLY_F64(r, r2);
#endif
    const K(vec) scale = (K(vec))((bits)u << EXP_MANTISSA);
    return NNRT_FUSED ? e * scale + scale : (1 + e) * scale;
}

/* y[n] = scale x + (again ? y : 0) */
FAST static void K(scale_row)(REAL *y, const REAL *x, int64_t n, REAL scale, int again)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        K(store)(y + i, again ? K(load)(x + i) * scale + K(load)(y + i) : K(load)(x + i) * scale);
    for (; i < n; i++)
        y[i] = again ? x[i] * scale + y[i] : x[i] * scale;
}

/* y[rows][n] = x, whose rows are x_step apart, those of y y_step. */
FAST static void K(copy_rows)(REAL *y, int64_t y_step, const REAL *x, int64_t x_step, int64_t rows, int64_t n)
{
    for (; rows > 0; rows--, y += y_step, x += x_step) {
        int64_t i = 0;
        for (; i + 2 * VL <= n; i += 2 * VL) {
            const K(vec) u = K(load)(x + i), v = K(load)(x + i + VL);
            K(store)(y + i, u), K(store)(y + i + VL, v);
        }
        for (; i < n; i++)
            y[i] = x[i];
    }
}

/* top[NR] + log sum, -inf where the sum is 0. */
FAST static void K(normalisers)(REAL *restrict top, const REAL *restrict sum)
{
    for (int64_t l = 0; l < NR; l++)
        top[l] = sum[l] == 0 ? (REAL)-INFINITY : top[l] + K(log)(sum[l]);
}

static void K(zero_row)(REAL *y, int64_t n)
{
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        K(store)(y + i, (K(vec)){0});
    for (; i < n; i++)
        y[i] = 0;
}

static REAL K(dot_row)(const REAL *x, const REAL *y, int64_t n)
{
    K(vec) sums = {0};
    int64_t i = 0;
    for (; i + VL <= n; i += VL)
        sums += K(load)(x + i) * K(load)(y + i);
    REAL total = K(sum_lanes)(sums);
    for (; i < n; i++)
        total += x[i] * y[i];
    return total;
}
