/* Running sums, products and extremes along the axis, one column at a time or a block of them. Included once per dtype. */

/* Runs BODY for r over the rows in one direction, with per-column state in double. */
#define SCAN(name, SETUP, FORWARD, BACKWARD)                                      \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        double s[NNRT_REDUCE_COLS];                                               \
        for (int64_t u = begin * p->group; u < units_end(p, end); u++) {          \
            unit_t t = unit_of(p, u);                                             \
            int64_t from = t.o * p->n * p->inner + t.col, w = t.cols, n = p->n, step = p->inner; \
            const REAL *restrict x = (const REAL *)p->x + from;                   \
            const REAL *restrict dy = (const REAL *)p->dy;                        \
            REAL *restrict y = (REAL *)p->y + from;                               \
            SETUP;                                                                \
            for (int64_t r = 0; r < n; r++)                                       \
                for (int64_t i = 0; i < w; i++) {                                 \
                    int64_t k = r * step + i;                                     \
                    FORWARD;                                                      \
                }                                                                 \
            BACKWARD                                                              \
        }                                                                         \
    }
#define START(value)                                                              \
    for (int64_t i = 0; i < w; i++)                                               \
    s[i] = value
#define REVERSED(...)                                                             \
    for (int64_t r = n - 1; r >= 0; r--)                                          \
        for (int64_t i = 0; i < w; i++) {                                         \
            int64_t k = r * step + i;                                             \
            __VA_ARGS__;                                                          \
        }

SCAN(cumsum, START(0); (void)dy, {
    if (p->reverse)
        k = (n - 1 - r) * step + i;
    s[i] += x[k];
    y[k] = (REAL)s[i];
}, )

SCAN(cumprod, START(1); (void)dy, {
    s[i] *= x[k];
    y[k] = (REAL)s[i];
}, )

/* dx_j = dy (Π_{i<j} x_i) (Π_{i>j} x_i) */
SCAN(prod_backward, START(dy[t.o * p->inner + t.col + i]), {
    y[k] = (REAL)s[i];
    s[i] *= x[k];
}, START(1); REVERSED(y[k] = (REAL)(y[k] * s[i]); s[i] *= x[k]))

/* dx_j = (Π_{i<j} x_i) S_j, S_j = dy_j + x_{j+1} S_{j+1} */
SCAN(cumprod_backward, START(1); dy += from, {
    y[k] = (REAL)s[i];
    s[i] *= x[k];
}, START(0); REVERSED(s[i] = dy[k] + (r < n - 1 ? x[k + step] : 0) * s[i]; y[k] = (REAL)(y[k] * s[i])))

#define CUMULATIVE(name, WINS)                                                    \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        for (int64_t u = begin * p->group; u < units_end(p, end); u++) {          \
            unit_t t = unit_of(p, u);                                             \
            int64_t from = t.o * p->n * p->inner + t.col, step = p->inner;        \
            const REAL *x = (const REAL *)p->x + from;                            \
            REAL *y = (REAL *)p->y + from;                                        \
            int64_t *at = p->index + from;                                        \
            for (int64_t r = 0; r < p->n; r++)                                    \
                for (int64_t i = 0; i < t.cols; i++) {                            \
                    int64_t k = r * step + i;                                     \
                    int take = r == 0 || (x[k] WINS y[k - step]) | (x[k] != x[k]); \
                    y[k] = take ? x[k] : y[k - step];                             \
                    at[k] = take ? r : at[k - step];                              \
                }                                                                 \
        }                                                                         \
    }

CUMULATIVE(cummax, >=)
CUMULATIVE(cummin, <=)

#undef CUMULATIVE
#undef SCAN
#undef START
#undef REVERSED
