/* Running sums, products and extremes along the axis, one column at a time or a block
 * of them. Included once per dtype. */

/* __VA_ARGS__ for columns i at k, row r by row from `first` to before `end`. Rows of one column wait for
 * each sum before the next: four lie side by side, their sums in registers. More would meet in the same
 * places of L1, y's lines beside x's. */
#define SIDE_BY_SIDE 4
#define ROW_BY_ROW(unroll, first, end, by, across, wide, ...)                     \
    for (int64_t r = first; r != end; r += by) {                                  \
        unroll                                                                    \
        for (int64_t i = 0; i < wide; i++) {                                      \
            const int64_t k = r * step + i * (across);                            \
            __VA_ARGS__;                                                          \
        }                                                                         \
    }
#define UNROLL _Pragma("GCC unroll 4")
#define APART __asm__("") /* no vectors: they would be put together element by element */
#define ALONG(first, end, by, ...)                                                \
    if (step > 1)                                                                 \
        ROW_BY_ROW(, first, end, by, 1, w, __VA_ARGS__)                           \
    else if (w == SIDE_BY_SIDE)                                                   \
        ROW_BY_ROW(UNROLL, first, end, by, n, SIDE_BY_SIDE, APART; __VA_ARGS__)   \
    else                                                                          \
        ROW_BY_ROW(, first, end, by, n, 1, APART; __VA_ARGS__)
#define DOWN(...) ALONG(0, n, 1, __VA_ARGS__)
#define UP(...) ALONG(n - 1, -1, -1, __VA_ARGS__)
#define START(value)                                                              \
    for (int64_t i = 0; i < w; i++)                                               \
    s[i] = value

/* Columns have a state s in double; dy is that of the first column's only element, or of the first row. */
#define SCAN(name, ...)                                                           \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        double s[NNRT_REDUCE_COLS];                                               \
        const int64_t n = p->n, step = p->inner;                                  \
        for (int64_t u = begin * p->group, last = units_end(p, end), w; u < last; u += step == 1 ? w : 1) { \
            const unit_t t = unit_of(p, u);                                       \
            const int64_t from = t.o * n * step + t.col, left = last - u;         \
            w = step > 1 ? t.cols : left < SIDE_BY_SIDE ? 1 : SIDE_BY_SIDE;       \
            const REAL *restrict x = (const REAL *)p->x + from;                   \
            const REAL *restrict dy = (const REAL *)p->dy;                        \
            REAL *restrict y = (REAL *)p->y + from;                               \
            (void)s, (void)dy;                                                    \
            __VA_ARGS__                                                           \
        }                                                                         \
    }

#define ADD s[i] += x[k], y[k] = (REAL)s[i]
SCAN(cumsum, START(0); if (p->reverse) UP(ADD) else DOWN(ADD))
SCAN(cumprod, START(1); DOWN(s[i] *= x[k]; y[k] = (REAL)s[i]))

/* dx_j = dy (Π_{i<j} x_i) (Π_{i>j} x_i) */
SCAN(prod_backward, START(dy[t.o * step + t.col + i]);
     DOWN(y[k] = (REAL)s[i]; s[i] *= x[k])
     START(1);
     UP(y[k] = (REAL)(y[k] * s[i]); s[i] *= x[k]))

/* dx_j = (Π_{i<j} x_i) S_j, S_j = dy_j + x_{j+1} S_{j+1} */
SCAN(cumprod_backward, dy += from;
     START(1);
     DOWN(y[k] = (REAL)s[i]; s[i] *= x[k])
     START(0);
     UP(s[i] = dy[k] + (r < n - 1 ? x[k + step] : 0) * s[i]; y[k] = (REAL)(y[k] * s[i])))

#define EXTREME(WINS)                                                             \
    const int take = r == 0 || (x[k] WINS y[k - step]) | (x[k] != x[k]);          \
    y[k] = take ? x[k] : y[k - step];                                             \
    at[k] = take ? r : at[k - step]
SCAN(cummax, int64_t *at = p->index + from; DOWN(EXTREME(>=)))
SCAN(cummin, int64_t *at = p->index + from; DOWN(EXTREME(<=)))

#undef SIDE_BY_SIDE
#undef ROW_BY_ROW
#undef UNROLL
#undef APART
#undef ALONG
#undef DOWN
#undef UP
#undef START
#undef SCAN
#undef ADD
#undef EXTREME
