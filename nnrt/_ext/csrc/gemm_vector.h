/* Products without register tiles over n: dots along k, and row times matrix. */

/* Widest block of the two kernels below: their sums wait on the stack. */
enum { K(DOT_COLS) = 64, K(AXPY_COLS) = 4096 / sizeof(REAL) };

/* out[i, j] += sum over k of a[i, k] b[k, j], both contiguous along k. */
INLINE void K(dot_body)(const int rows, const int cols, int64_t k, const REAL *a, int64_t a_row, const REAL *b,
                        int64_t b_col, REAL *out, int64_t out_row)
{
    typedef K(vec) V;
#define EACH(X) X(0, 0) X(0, 1) X(0, 2) X(0, 3) X(1, 0) X(1, 1) X(1, 2) X(1, 3) \
                X(2, 0) X(2, 1) X(2, 2) X(2, 3) X(3, 0) X(3, 1) X(3, 2) X(3, 3)
#define DECLARE_DOT(i, j) V s##i##j = {0};
#define ADD_DOT(i, j) if (rows > i && cols > j) s##i##j += a##i * b##j;
#define PUT_DOT(i, j) if (rows > i && cols > j) out[i * out_row + j] += K(sum_lanes)(s##i##j);
#define BOTH(LOAD)                                                                                      \
    V a0 = LOAD(a), b0 = LOAD(b), a1 = a0, a2 = a0, a3 = a0, b1 = b0, b2 = b0, b3 = b0;                 \
    if (rows > 1) a1 = LOAD(a + a_row);                                                                 \
    if (rows > 2) a2 = LOAD(a + 2 * a_row);                                                             \
    if (rows > 3) a3 = LOAD(third);                                                                     \
    if (cols > 1) b1 = LOAD(b + b_col);                                                                 \
    if (cols > 2) b2 = LOAD(b + 2 * b_col);                                                             \
    if (cols > 3) b3 = LOAD(fourth);                                                                    \
    EACH(ADD_DOT)
    EACH(DECLARE_DOT)
    const REAL *third = a + 3 * a_row, *fourth = b + 3 * b_col;
    for (; k >= VL; k -= VL) {
        BOTH(K(load))
        a += VL, b += VL, third += VL, fourth += VL;
    }
    if (k > 0) {
        const K(mask) mask = K(lanes)(k);
#define PART(p) K(load_lanes)(p, mask)
        BOTH(PART)
#undef PART
    }
    EACH(PUT_DOT)
#undef EACH
#undef DECLARE_DOT
#undef ADD_DOT
#undef PUT_DOT
#undef BOTH
}

#if defined(__AVX512F__) || defined(__aarch64__)
#define DOT_ROWS 4 /* 16 accumulators + 8 of 32 registers */
#else
#define DOT_ROWS 2 /* 8 + 6 of 16 */
#endif
#define DOT(r, c)                                                                                       \
    static void K(dot_##r##c)(int64_t k, const REAL *a, int64_t a_row, const REAL *b, int64_t b_col,    \
                              REAL *out, int64_t out_row)                                               \
    {                                                                                                   \
        K(dot_body)(r, c, k, a, a_row, b, b_col, out, out_row);                                         \
    }
DOT(1, 1) DOT(1, 2) DOT(1, 3) DOT(1, 4) DOT(2, 1) DOT(2, 2) DOT(2, 3) DOT(2, 4)
DOT(3, 1) DOT(3, 2) DOT(3, 3) DOT(3, 4) DOT(4, 1) DOT(4, 2) DOT(4, 3) DOT(4, 4)
#undef DOT

static void K(gemm_dot)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    static void (*const dots[4][4])(int64_t, const REAL *, int64_t, const REAL *, int64_t, REAL *, int64_t) = {
        {K(dot_11), K(dot_12), K(dot_13), K(dot_14)},
        {K(dot_21), K(dot_22), K(dot_23), K(dot_24)},
        {K(dot_31), K(dot_32), K(dot_33), K(dot_34)},
        {K(dot_41), K(dot_42), K(dot_43), K(dot_44)},
    };
    const nnrt_gemm *g = args;
    REAL *sums = scratch; /* [rows, cols] */
    for (int64_t t = begin; t < end; t++) {
        gemm_task w = gemm_decode(g, t);
        const REAL *a = (const REAL *)g->a + w.batch * g->a_batch + w.i0 * g->a_row;
        const REAL *b = (const REAL *)g->b + w.batch * g->b_batch + w.j0 * g->b_col;
        const int64_t rows = w.i1 - w.i0, cols = w.j1 - w.j0;
        for (int64_t e = 0; e < rows * cols; e++)
            sums[e] = 0;
        for (int64_t p = 0; p < g->k; p += g->depth)
            for (int64_t j = 0; j < cols; j += 4)
                for (int64_t i = 0; i < rows; i += DOT_ROWS)
                    dots[MIN(DOT_ROWS, rows - i) - 1][MIN(4, cols - j) - 1](
                        MIN(g->depth, g->k - p), a + i * g->a_row + p, g->a_row, b + j * g->b_col + p, g->b_col,
                        sums + i * cols + j, cols);
        K(finish_block)(g, &w, sums, cols, 0, 1);
    }
}

/* y[n] += sum over 8, 4 or 1 rows of b of x[p] b[p, :]. */
INLINE void K(axpy_rows)(const int rows, REAL *restrict y, const REAL *x, int64_t x_step, const REAL *b,
                         int64_t b_row, int64_t n)
{
    typedef K(vec) V;
    V x0 = K(splat)(x[0]), x1 = x0, x2 = x0, x3 = x0, x4 = x0, x5 = x0, x6 = x0, x7 = x0;
    const REAL *b3 = b, *b6 = b;
    if (rows > 1)
        x1 = K(splat)(x[x_step]), x2 = K(splat)(x[2 * x_step]), x3 = K(splat)(x[3 * x_step]), b3 = b + 3 * b_row;
    if (rows > 4) {
        x4 = K(splat)(x[4 * x_step]), x5 = K(splat)(x[5 * x_step]), x6 = K(splat)(x[6 * x_step]);
        x7 = K(splat)(x[7 * x_step]), b6 = b + 6 * b_row;
    }
#define SUM(LOAD, STORE, ...)                                                                           \
    {                                                                                                   \
        V s = LOAD(y + j, ##__VA_ARGS__) + x0 * LOAD(b + j, ##__VA_ARGS__);                             \
        if (rows > 1) {                                                                                 \
            V u = x1 * LOAD(b + b_row + j, ##__VA_ARGS__);                                              \
            s += x2 * LOAD(b + 2 * b_row + j, ##__VA_ARGS__);                                           \
            u += x3 * LOAD(b3 + j, ##__VA_ARGS__);                                                      \
            if (rows > 4) {                                                                             \
                s += x4 * LOAD(b3 + b_row + j, ##__VA_ARGS__);                                          \
                u += x5 * LOAD(b3 + 2 * b_row + j, ##__VA_ARGS__);                                      \
                s += x6 * LOAD(b6 + j, ##__VA_ARGS__);                                                  \
                u += x7 * LOAD(b6 + b_row + j, ##__VA_ARGS__);                                          \
            }                                                                                           \
            s += u;                                                                                     \
        }                                                                                               \
        STORE;                                                                                          \
    }
    int64_t j = 0;
#if defined(__AVX2__) /* where a masked sum is rounded as a whole one, so that no address changes a bit */
    const int64_t head = -((intptr_t)b / (int64_t)sizeof(REAL)) & (VL - 1);
    if (0 < head && head < n) { /* loads across cache lines take half as long again */
        const K(mask) mask = K(lanes)(head);
        SUM(K(load_lanes), K(store_lanes)(y + j, mask, s), mask)
        j = head;
    }
#endif
    for (; j + VL <= n; j += VL)
        SUM(K(load), K(store)(y + j, s))
    if (j < n) {
        const K(mask) mask = K(lanes)(n - j);
        SUM(K(load_lanes), K(store_lanes)(y + j, mask, s), mask)
    }
#undef SUM
}

/* m = 1: c's row as a sum of b's rows, which are read in order, eight at a time; four from the cache where eight, pages
 * apart, would fill the places that L1 has for them. */
static void K(gemm_axpy)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_gemm *g = args;
    for (int64_t t = begin; t < end; t++) {
        gemm_task w = gemm_decode(g, t);
        const int64_t n = w.j1 - w.j0, k0 = w.split * g->split, k1 = MIN(k0 + g->split, g->k);
        const REAL *x = (const REAL *)g->a + w.batch * g->a_batch + k0 * g->a_col;
        const REAL *b = (const REAL *)g->b + w.batch * g->b_batch + k0 * g->b_row + w.j0;
        REAL *y = g->splits > 1 ? (REAL *)g->partial + w.split * g->n + w.j0 : scratch;
        for (int64_t j = 0; j < n; j++)
            y[j] = 0;
        const int64_t row = g->b_row * (int64_t)sizeof(REAL);
        const int eight = row % 4096 || g->k * row > 8 << 20 /* bytes */;
        int64_t p = k0;
#define ROWS(r)                                                                                         \
    for (; p + r <= k1; p += r, x += r * g->a_col, b += r * g->b_row)                                   \
        K(axpy_rows)(r, y, x, g->a_col, b, g->b_row, n);
        if (eight)
            ROWS(8)
        ROWS(4)
        ROWS(1)
#undef ROWS
        if (g->splits == 1)
            K(finish_block)(g, &w, y, 0, 0, 1);
    }
}

/* Column sums of a chunk of rows into partial[chunk]. */
static void K(gemm_colsum)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_colsum *g = args;
    const int64_t across = CEIL(g->n, g->cols);
    for (int64_t t = begin; t < end; t++) {
        const int64_t j0 = t % across * g->cols, n = MIN(g->cols, g->n - j0);
        const int64_t i0 = t / across * g->rows, i1 = MIN(i0 + g->rows, g->m);
        REAL *restrict y = (g->chunks > 1 ? (REAL *)g->partial + t / across * g->n : (REAL *)g->sum) + j0;
        for (int64_t j = 0; j < n; j++)
            y[j] = 0;
        const REAL *x = (const REAL *)g->x + i0 * g->x_row + j0 * g->x_col;
        int64_t i = i0;
        if (g->x_col == 1)
            for (; i + 4 <= i1; i += 4, x += 4 * g->x_row) {
                nnrt_touch(x, 4, g->x_row * (int64_t)sizeof(REAL), n * (int64_t)sizeof(REAL));
                for (int64_t j = 0; j < n; j++)
                    y[j] += (x[j] + x[j + g->x_row]) + (x[j + 2 * g->x_row] + x[j + 3 * g->x_row]);
            }
        for (; i < i1; i++, x += g->x_row)
            for (int64_t j = 0; j < n; j++)
                y[j] += x[j * g->x_col];
    }
}
