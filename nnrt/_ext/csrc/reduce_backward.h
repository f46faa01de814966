/* Gradients: spread over the reduced axis, or of picked elements. Included once per dtype. */

/* y[o, j, i] = f(x[o, j, i], s[o, i], v[o, i]); SCALE is s of g = dy[o, i] and v[i]. */
#define SPREAD(name, SCALE)                                                       \
    static inline void K(name##_line)(REAL *restrict y, const REAL *restrict x, int64_t w, \
                                      const REAL *restrict s, const REAL *restrict v) \
    {                                                                             \
        for (int64_t i = 0; i < w; i++)                                           \
            y[i] = K(name##_f)(x[i], s[i], v[i]);                                 \
    }                                                                             \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *scratch) \
    {                                                                             \
        const args_t *p = args;                                                   \
        REAL s[NNRT_REDUCE_COLS], v[NNRT_REDUCE_COLS];                            \
        for (int64_t u = begin * p->group; u < units_end(p, end); u++) {          \
            unit_t t = unit_of(p, u);                                             \
            int64_t at = t.o * p->inner + t.col, w = t.cols;                      \
            int64_t from = (t.o * p->n + t.row) * p->inner + t.col;               \
            const REAL *x = (const REAL *)p->x + from;                            \
            REAL *y = (REAL *)p->y + from;                                        \
            for (int64_t i = 0; i < w; i++) {                                     \
                REAL g = ((const REAL *)p->dy)[at + i];                           \
                v[i] = ((const REAL *)p->v)[at + i];                              \
                s[i] = SCALE;                                                     \
            }                                                                     \
            if (p->inner == 1) {                                                  \
                REAL a = s[0], b = v[0];                                          \
                for (int64_t j = 0; j < t.rows; j++)                              \
                    y[j] = K(name##_f)(x[j], a, b);                               \
                continue;                                                         \
            }                                                                     \
            int64_t times = times_of(p, t.rows);                                  \
            for (int64_t i = w; i < times * w; i++) {                             \
                s[i] = s[i - w];                                                  \
                v[i] = v[i - w];                                                  \
            }                                                                     \
            int64_t r = 0;                                                        \
            for (; times > 1 && r + times <= t.rows; r += times)                  \
                K(name##_line)(y + r * w, x + r * w, times * w, s, v);            \
            for (; r < t.rows; r++)                                               \
                K(name##_line)(y + r * p->inner, x + r * p->inner, w, s, v);      \
        }                                                                         \
    }

/* second holds the number of ties. */
static inline REAL K(amax_backward_f)(REAL x, REAL s, REAL v)
{
    return ((x == v) | ((x != x) & (v != v))) ? s : 0;
}
SPREAD(amax_backward, g / ((const REAL *)p->second)[at + i])

static inline REAL K(var_backward_f)(REAL x, REAL s, REAL v) { return s * (x - v); }
SPREAD(var_backward, g * (REAL)(2 / p->divisor))

static inline REAL K(norm1_backward_f)(REAL x, REAL s, REAL v)
{
    (void)v;
    return x > 0 ? s : x < 0 ? -s : x != x ? x : 0;
}
SPREAD(norm1_backward, g)

static inline REAL K(norm2_backward_f)(REAL x, REAL s, REAL v) { return v == 0 ? 0 : s * x; }
SPREAD(norm2_backward, g / v[i])
#undef SPREAD

/* ---- gradients of picked elements ---- */

static void K(select_backward)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const args_t *p = args;
    for (int64_t o = begin * p->group; o < end * p->group && o < p->outer; o++) {
        REAL *dx = (REAL *)p->y + o * p->n * p->inner;
        const REAL *dy = (const REAL *)p->dy + o * p->m * p->inner;
        const int64_t *index = p->index + o * p->m * p->inner;
        memset(dx, 0, (size_t)(p->n * p->inner) * sizeof *dx);
        for (int64_t j = 0; j < p->m; j++)
            for (int64_t i = 0; i < p->inner; i++)
                dx[index[j * p->inner + i] * p->inner + i] += dy[j * p->inner + i];
    }
}
