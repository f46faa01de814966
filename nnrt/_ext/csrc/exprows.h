/* Maxima and sums of exponentials along n, for softmax and cross entropy. Included once
 * per dtype after rows.h and vmath.h. Rows are consecutive; columns are w <= MOST wide, with
 * `step` elements from row to row. */

ROW_BEST(top, -(REAL)INFINITY, max, >, 0)

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

/* The log-sum-exp of a column whose top is +inf, which exp_neg does not take: inf, or NaN with a NaN. */
static inline REAL K(lse_of_inf)(const REAL *x, int64_t n, int64_t step)
{
    for (int64_t r = 0; r < n; r++)
        if (x[r * step] != x[r * step])
            return x[r * step];
    return (REAL)INFINITY;
}

/* lse of w columns, or of the row when step is 1 */
static void K(lse_of)(REAL *lse, const REAL *x, int64_t n, int64_t step, int64_t w)
{
    if (step == 1) {
        REAL top = K(top_row)(x, n);
        REAL shift = K(shift_of)(top);
        *lse = top == (REAL)INFINITY ? K(lse_of_inf)(x, n, 1) : shift + (REAL)log(K(exp_sum)(NULL, x, n, shift, x));
        return;
    }
    REAL top[NNRT_SOFTMAX_COLS], shift[NNRT_SOFTMAX_COLS] = {0};
    double s[NNRT_SOFTMAX_COLS];
    K(top_cols)(top, x, n, step, w);
    for (int64_t i = 0; i < w; i++)
        shift[i] = K(shift_of)(top[i]);
    K(exp_cols)(s, NULL, x, shift, n, step, w);
    for (int64_t i = 0; i < w; i++)
        lse[i] = shift[i] + (REAL)log_f64(s[i]);
    for (int64_t i = 0; i < w; i++)
        if (top[i] == (REAL)INFINITY)
            lse[i] = K(lse_of_inf)(x + i, n, step);
}
