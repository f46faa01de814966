/* Extremes, and extremes with their index. Included once per dtype. */

#define UNROLL _Pragma("GCC unroll 4")

/* The extremes of four rows of LANES elements or more; sums show whether there may be a NaN. */
#define FOUR_BEST(name, START, BEST)                                              \
    static __attribute__((noinline)) void K(name##_four)(                         \
        double *result, const REAL *const *x, int64_t n, const REAL *m)           \
    {                                                                             \
        K(vec) best[4], sum[4];                                                   \
        const int64_t last = n - LANES;                                           \
        (void)m;                                                                  \
        UNROLL for (int k = 0; k < 4; k++)                                        \
            best[k] = (K(vec)){0} + START, sum[k] = (K(vec)){0};                  \
        for (int64_t i = 0;; i = i + LANES < last ? i + LANES : last) {           \
            UNROLL for (int k = 0; k < 4; k++)                                    \
                BEST_AT(BEST, best[k], sum[k], x[k], 0);                          \
            if (i == last)                                                        \
                break;                                                            \
        }                                                                         \
        for (int k = 0; k < 4; k++) {                                             \
            const REAL total = K(total)(sum[k]);                                  \
            result[k] = (double)(total == total ? TREE(K(name##_of), best[k]) : K(name##_row)(x[k], n)); \
        }                                                                         \
    }

ROW_BEST(amax, -(REAL)INFINITY, max, >, LONG(n))
ROW_BEST(amin, (REAL)INFINITY, min, <, LONG(n))
FOUR_BEST(amax, -(REAL)INFINITY, max)
FOUR_BEST(amin, (REAL)INFINITY, min)
FINISH_ROWS(amax, K(amax_four), 0, s)
FINISH_ROWS(amin, K(amin_four), 0, s)
UNIT_FOLD(amax, REAL, -(REAL)INFINITY, K(amax_f), K(amax_row))
UNIT_FOLD(amin, REAL, (REAL)INFINITY, K(amin_f), K(amin_row))
KERNEL(amax, K(amax_unit), 0, K(amax_row)(x, n), WIDE(K(amax_rows)), s)
KERNEL(amin, K(amin_unit), 0, K(amin_row)(x, n), WIDE(K(amin_rows)), s)

#define FIND_BEST(name, BEST, WINS)                                                     \
    static int64_t K(name##_find)(const REAL *x, int64_t n, REAL m)               \
    {                                                                             \
        enum { WIDE = 64 };                                                       \
        int64_t i = 0;                                                            \
        for (; i + WIDE <= n; i += WIDE) {                                        \
            int hits = 0;                                                         \
            for (int j = 0; j < WIDE; j++)                                        \
                hits |= (x[i + j] == m) | ((x[i + j] != x[i + j]) & (m != m));    \
            if (hits)                                                             \
                break;                                                            \
        }                                                                         \
        while (i < n - 1 && !(x[i] == m || (x[i] != x[i] && m != m)))             \
            i++;                                                                  \
        return i;                                                                 \
    }                                                                             \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        REAL best[NNRT_REDUCE_COLS];                                              \
        INDEX where[NNRT_REDUCE_COLS];                                            \
        for (int64_t u = begin * p->group; u < units_end(p, end); u++) {          \
            unit_t t = unit_of(p, u);                                             \
            int64_t at = t.o * p->inner + t.col, w = t.cols;                      \
            const REAL *x = (const REAL *)p->x + t.o * p->n * p->inner + t.col;   \
            REAL *y = (REAL *)p->y + at;                                          \
            if (p->inner == 1) {                                                  \
                *y = BEST(x, p->n);                                               \
                p->index[at] = K(name##_find)(x, p->n, *y);                       \
                continue;                                                         \
            }                                                                     \
            for (int64_t i = 0; i < w; i++) {                                     \
                best[i] = x[i];                                                   \
                where[i] = 0;                                                     \
            }                                                                     \
            for (int64_t r = 1; r < p->n; r++) {                                  \
                const REAL *row = x + r * p->inner;                               \
                for (int64_t i = 0; i < w; i++) {                                 \
                    REAL v = row[i], b = best[i];                                 \
                    int take = (v WINS b) | ((v != v) & (b == b));                \
                    best[i] = take ? v : b;                                       \
                    where[i] = take ? (INDEX)r : where[i];                        \
                }                                                                 \
            }                                                                     \
            for (int64_t i = 0; i < w; i++) {                                     \
                y[i] = best[i];                                                   \
                p->index[at + i] = where[i];                                      \
            }                                                                     \
        }                                                                         \
    }

FIND_BEST(max_at, K(amax_row), >)
FIND_BEST(min_at, K(amin_row), <)

#undef FOUR_BEST
#undef UNROLL
#undef FIND_BEST
