/* Maxima and sums of exponentials along n, for softmax and cross entropy. Included once
 * per dtype after rows.h and vmath.h, with EXP_WIDE: is it float, on AVX-512 (vmath_wide.h)? Rows are consecutive;
 * columns are w <= MOST wide, with `step` elements from row to row. INF_SUMS: has a row with +inf a log-sum-exp? */

ROW_BEST(top, -(REAL)INFINITY, max, >, 0)

#if EXP_WIDE
/* Σ exp(x - m), in y the terms unless it is NULL; see below. */
INLINE double K(exp_wide)(float *y, const float *x, int64_t n, float m, const float *ahead)
{
    const wide top = WIDE(m);
    double total = 0;
    for (int64_t from = 0; from < n; from += RUN) {
        int64_t i = from, stop = n - from < RUN ? n : from + RUN;
        wide s = WIDE(0), t = s;
        for (; i + 32 <= stop; i += 32) {
            const wide a = wide_exp_neg(_mm512_sub_ps(_mm512_loadu_ps(x + i), top));
            const wide b = wide_exp_neg(_mm512_sub_ps(_mm512_loadu_ps(x + i + 16), top));
            for (int64_t j = i; j < i + 32; j += 16)
                __builtin_prefetch(x + j + n), __builtin_prefetch(ahead + j, 1);
            if (y)
                _mm512_storeu_ps(y + i, a), _mm512_storeu_ps(y + i + 16, b);
            s = _mm512_add_ps(s, a), t = _mm512_add_ps(t, b);
        }
        for (; i < stop; i += 16) {
            const __mmask16 rest = wide_first(stop - i);
            const wide a = wide_exp_neg(_mm512_sub_ps(WIDE_LOAD_REST(x + i), top));
            if (y)
                WIDE_STORE_REST(y + i, a);
            s = _mm512_mask_add_ps(s, rest, s, a);
        }
        total += _mm512_reduce_add_ps(_mm512_add_ps(s, t));
    }
    return total;
}
static inline double K(exp_keep)(float *y, const float *x, int64_t n, float m, const float *ahead)
{
    return K(exp_wide)(y, x, n, m, ahead);
}
static inline double K(exp_sum)(float *y, const float *x, int64_t n, float m, const float *ahead)
{
    (void)y;
    return K(exp_wide)(NULL, x, n, m, ahead);
}

/* dx = g + by exp(x - shift), g NULL: 0; for x - shift <= 1 */
#define ADD_EXP(i, LOAD, STORE)                                                   \
    {                                                                             \
        const wide e = wide_exp_neg(_mm512_sub_ps(LOAD(x + i), WIDE(shift)));     \
        STORE(dx + i, g ? _mm512_fmadd_ps(WIDE(by), e, LOAD(g + i)) : _mm512_mul_ps(WIDE(by), e)); \
    }
static void K(add_exp)(float *dx, const float *g, const float *x, float by, float shift, int64_t n)
{
    WIDE_LOOP(n, 0, ADD_EXP)
}
#undef ADD_EXP
#else
INLINE void K(add_exp)(REAL *restrict dx, const REAL *restrict g, const REAL *restrict x, REAL by, REAL shift,
                         int64_t n)
{
    for (int64_t i = 0; !g && i < n; i++)
        dx[i] = by * K(exp_neg)(x[i] - shift);
    for (int64_t i = 0; g && i < n; i++)
        dx[i] = g[i] + by * K(exp_neg)(x[i] - shift);
}

/* Σ exp(x - m), in y the terms where KEEP. Asks for the next row meanwhile, and for n elements at `ahead`, which are
 * written next: memory would rest during the exponentials. */
#define EXP_ROW(name, KEEP)                                                       \
    static inline double K(name)(REAL *restrict y, const REAL *restrict x, int64_t n, REAL m, const REAL *ahead) \
    {                                                                             \
        enum { WIDE = LANES };                                                    \
        double total = 0;                                                         \
        for (int64_t from = 0; from < n; from += RUN) {                           \
            int64_t i = from, stop = n - from < RUN ? n : from + RUN;             \
            REAL s[WIDE] = {0};                                                   \
            for (; i + WIDE <= stop; i += WIDE) {                                 \
                __builtin_prefetch(x + i + n);                                    \
                __builtin_prefetch(ahead + i, 1);                                 \
                for (int j = 0; j < WIDE; j++) {                                  \
                    REAL e = K(exp_neg)(x[i + j] - m);                          \
                    KEEP(y[i + j] = e);                                           \
                    s[j] += e;                                                    \
                }                                                                 \
            }                                                                     \
            for (int j = 0; i + j < stop; j++) {                                  \
                REAL e = K(exp_neg)(x[i + j] - m);                              \
                KEEP(y[i + j] = e);                                               \
                s[j] += e;                                                        \
            }                                                                     \
            for (int w = WIDE / 2; w; w /= 2)                                     \
                for (int j = 0; j < w; j++)                                       \
                    s[j] += s[j + w];                                             \
            total += s[0];                                                        \
        }                                                                         \
        return total;                                                             \
    }
#define KEEP(...) __VA_ARGS__
#define DROP(...) (void)y
EXP_ROW(exp_keep, KEEP)
EXP_ROW(exp_sum, DROP)
#undef KEEP
#undef DROP
#undef EXP_ROW
#endif

static void K(top_cols)(REAL *restrict m, const REAL *restrict x, int64_t n, int64_t step, int64_t w)
{
    for (int64_t i = 0; i < w; i++)
        m[i] = -(REAL)INFINITY;
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < w; i++)
            m[i] = x[r * step + i] > m[i] ? x[r * step + i] : m[i];
}

/* s[i] = Σ_r exp(x[r, i] - m[i]); the terms in y unless it is NULL. Sums run in REAL over 256 rows. */
static void K(exp_cols)(double *restrict s, REAL *restrict y, const REAL *restrict x, const REAL *restrict m,
                        int64_t n, int64_t step, int64_t w)
{
    REAL part[NNRT_SOFTMAX_COLS];
    for (int64_t i = 0; i < w; i++)
        s[i] = 0;
    for (int64_t from = 0; from < n; from += 256) {
        int64_t stop = n - from < 256 ? n : from + 256;
        for (int64_t i = 0; i < w; i++)
            part[i] = 0;
        for (int64_t r = from; r < stop; r++) {
            const REAL *row = x + r * step;
            if (y) {
                REAL *out = y + r * step;
                for (int64_t i = 0; i < w; i++) {
                    out[i] = K(exp_neg)(row[i] - m[i]);
                    part[i] += out[i];
                }
            } else {
                for (int64_t i = 0; i < w; i++)
                    part[i] += K(exp_neg)(row[i] - m[i]);
            }
        }
        for (int64_t i = 0; i < w; i++)
            s[i] += part[i];
    }
}

/* The shift that keeps exp(x - shift) from overflow; 0 for a top of -inf, whose row sums to 0. */
static inline REAL K(shift_of)(REAL top) { return top - top == 0 ? top : 0; }

/* The log-sum-exp of a column whose top is +inf, which exp_neg does not take: inf, or NaN with a NaN.
 * Without INF_SUMS always NaN: there is no softmax. */
static inline REAL K(lse_of_inf)(const REAL *x, int64_t n, int64_t step)
{
    if (!INF_SUMS)
        return (REAL)NAN;
    for (int64_t r = 0; r < n; r++)
        if (x[r * step] != x[r * step])
            return x[r * step];
    return (REAL)INFINITY;
}

/* lse of w columns, or of the row when step is 1: of a large x a float would have no digits left for log Σ exp */
static void K(lse_of)(double *lse, const REAL *x, int64_t n, int64_t step, int64_t w)
{
    if (step == 1) {
        REAL top = K(top_row)(x, n);
        REAL shift = K(shift_of)(top);
        *lse = top == (REAL)INFINITY ? K(lse_of_inf)(x, n, 1) : shift + log(K(exp_sum)(NULL, x, n, shift, x));
        return;
    }
    REAL top[NNRT_SOFTMAX_COLS], shift[NNRT_SOFTMAX_COLS] = {0};
    double s[NNRT_SOFTMAX_COLS];
    K(top_cols)(top, x, n, step, w);
    for (int64_t i = 0; i < w; i++)
        shift[i] = K(shift_of)(top[i]);
    K(exp_cols)(s, NULL, x, shift, n, step, w);
    for (int64_t i = 0; i < w; i++)
        lse[i] = shift[i] + log_f64(s[i]);
    for (int64_t i = 0; i < w; i++)
        if (top[i] == (REAL)INFINITY)
            lse[i] = K(lse_of_inf)(x + i, n, step);
}
