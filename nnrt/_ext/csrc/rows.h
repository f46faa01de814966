/* Reductions over n consecutive elements, for the kernels that work row by row.
 * Included once per dtype, with REAL and K(name) defined.
 *
 * An accumulator per lane, LANES of them: the compiler keeps them in vectors, and
 * the order of the additions is that of this file on every instruction set. Sums
 * run over RUN elements in REAL and over the runs in double, so that the error
 * grows with RUN / LANES additions and not with n. */

#ifndef NNRT_ROWS_H
#define NNRT_ROWS_H
enum { LANES = 128, NARROW = 16, RUN = 8192 };
#endif

/* What a row starts from, folded over f(row element): EXPR of v and m. */
#define ROW_SUM(name, EXPR)                                                       \
    static inline REAL K(name##_f)(REAL v, REAL m)                                \
    {                                                                             \
        (void)m;                                                                  \
        return EXPR;                                                              \
    }                                                                             \
    static REAL K(name##_run)(const REAL *restrict x, int64_t n, REAL m)          \
    {                                                                             \
        REAL s[NARROW] = {0};                                                     \
        int64_t i = 0;                                                            \
        if (n >= LANES) {                                                         \
            REAL a[LANES] = {0};                                                  \
            for (; i + LANES <= n; i += LANES)                                    \
                for (int j = 0; j < LANES; j++)                                   \
                    a[j] += K(name##_f)(x[i + j], m);                             \
            for (int w = LANES / 2; w >= NARROW; w /= 2)                          \
                for (int j = 0; j < w; j++)                                       \
                    a[j] += a[j + w];                                             \
            for (int j = 0; j < NARROW; j++)                                      \
                s[j] = a[j];                                                      \
        }                                                                         \
        for (; i + NARROW <= n; i += NARROW)                                      \
            for (int j = 0; j < NARROW; j++)                                      \
                s[j] += K(name##_f)(x[i + j], m);                                 \
        for (int j = 0; i + j < n; j++)                                           \
            s[j] += K(name##_f)(x[i + j], m);                                     \
        for (int w = NARROW / 2; w; w /= 2)                                       \
            for (int j = 0; j < w; j++)                                           \
                s[j] += s[j + w];                                                 \
        return s[0];                                                              \
    }                                                                             \
    static inline double K(name##_row)(const REAL *x, int64_t n, REAL m)          \
    {                                                                             \
        double total = 0;                                                         \
        if (n < NARROW) {                                                         \
            for (int64_t i = 0; i < n; i++)                                       \
                total += K(name##_f)(x[i], m);                                    \
            return total;                                                         \
        }                                                                         \
        for (int64_t i = 0; i < n; i += RUN)                                      \
            total += K(name##_run)(x + i, n - i < RUN ? n - i : RUN, m);          \
        return total;                                                             \
    }

/* The element of a row that is BETTER than the others: BETTER of v and best m. */
#define ROW_BEST(name, START, BETTER)                                             \
    static inline REAL K(name##_f)(REAL v, REAL m) { return (BETTER) ? v : m; }   \
    static REAL K(name##_row)(const REAL *restrict x, int64_t n)                  \
    {                                                                             \
        REAL s[NARROW];                                                           \
        int64_t i = 0;                                                            \
        for (int j = 0; j < NARROW; j++)                                          \
            s[j] = START;                                                         \
        if (n >= LANES) {                                                         \
            REAL a[LANES];                                                        \
            for (int j = 0; j < LANES; j++)                                       \
                a[j] = START;                                                     \
            for (; i + LANES <= n; i += LANES)                                    \
                for (int j = 0; j < LANES; j++)                                   \
                    a[j] = K(name##_f)(x[i + j], a[j]);                           \
            for (int w = LANES / 2; w >= NARROW; w /= 2)                          \
                for (int j = 0; j < w; j++)                                       \
                    a[j] = K(name##_f)(a[j + w], a[j]);                           \
            for (int j = 0; j < NARROW; j++)                                      \
                s[j] = a[j];                                                      \
        }                                                                         \
        for (; i + NARROW <= n; i += NARROW)                                      \
            for (int j = 0; j < NARROW; j++)                                      \
                s[j] = K(name##_f)(x[i + j], s[j]);                               \
        for (int j = 0; i + j < n; j++)                                           \
            s[j] = K(name##_f)(x[i + j], s[j]);                                   \
        for (int w = NARROW / 2; w; w /= 2)                                       \
            for (int j = 0; j < w; j++)                                           \
                s[j] = K(name##_f)(s[j + w], s[j]);                               \
        return s[0];                                                              \
    }
