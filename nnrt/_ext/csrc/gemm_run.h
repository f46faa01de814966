/* Tasks over blocks of c: kernel `tiles`, and `finish`, the epilogue as a pass of its own. */

/* Where a task's block of c lies, decoded from its number. */
#ifndef GEMM_TASK
#define GEMM_TASK
typedef struct {
    int64_t batch, split, i0, i1, j0, j1, t0, t1; /* t: tiles of rows */
} gemm_task;

/* `down` blocks lie one under the other: i0 is its number among these. */
static inline gemm_task gemm_block(const nnrt_gemm *g, int64_t t, int64_t down)
{
    int64_t across = CEIL(g->n, g->cols);
    gemm_task w = {.j0 = t % across * g->cols};
    t /= across;
    w.i0 = t % down, t /= down;
    w.split = t % g->splits, w.batch = t / g->splits;
    w.j1 = MIN(w.j0 + g->cols, g->n);
    return w;
}

static inline gemm_task gemm_decode(const nnrt_gemm *g, int64_t t)
{
    gemm_task w = gemm_block(g, t, CEIL(g->m, g->rows));
    w.i0 *= g->rows;
    w.i1 = MIN(w.i0 + g->rows, g->m);
    return w;
}

/* First row of tile t. */
static inline int64_t gemm_line(const nnrt_gemm *g, int64_t t) { return t * g->m / g->tiles; }

/* The same for kernel `tiles`. */
static inline gemm_task gemm_decode_tiles(const nnrt_gemm *g, int64_t t)
{
    gemm_task w = gemm_block(g, t, CEIL(g->tiles, g->high));
    w.t0 = w.i0 * g->high, w.t1 = MIN(w.t0 + g->high, g->tiles);
    w.i0 = gemm_line(g, w.t0), w.i1 = gemm_line(g, w.t1);
    return w;
}
#endif

/* y[n] = activation(y), for those that the tile does not fuse. The formulas are those of activation.c. */
static __attribute__((noinline)) void K(activate)(int activation, REAL *y, int64_t n)
{
#define EACH(...)                                                                                       \
    for (int64_t j = 0; j < n; j++) {                                                                   \
        const REAL x = y[j];                                                                            \
        y[j] = (__VA_ARGS__);                                                                           \
    }                                                                                                   \
    break;
    switch (activation) {
    case NNRT_ACT_RELU: EACH(x < 0 ? 0 : x)
    case NNRT_ACT_GELU: EACH(x * K(normal)(x, 0))
    case NNRT_ACT_GELU_TANH:
        EACH(x * K(sigmoid)(x * ((REAL)1.5957691216057308 + (REAL)0.07135481627260025 * x * x)))
    case NNRT_ACT_TANH: EACH(K(tanh)(x))
    case NNRT_ACT_SIGMOID: EACH(K(sigmoid)(x))
    case NNRT_ACT_SILU: EACH(x * K(sigmoid)(x))
    }
#undef EACH
}

static void K(any_activate)(int activation, void *y, int64_t n) { K(activate)(activation, y, n); }

/* c's block = sum over k0 <= k < k1, in blocks of depth, and the epilogue. a and b: the matrices,
 * or their panels. room: scratch for pack_b panels of b, then for those of a when pack_a. */
static void K(gemm_block)(const nnrt_gemm *g, const gemm_task *w, const REAL *a, const REAL *b, REAL *c,
                          int64_t c_row, int64_t k0, int64_t k1, REAL *room)
{
    const int partial = g->splits > 1, a_panels = g->pack_a || g->packed_a;
    const int64_t a_row = a_panels ? 1 : g->a_row, a_col = a_panels ? A_STEP : g->a_col;
    const int large = g->m * g->n * (int64_t)sizeof(REAL) > 32 << 10; /* beyond L1 */
    REAL *a_room = room + g->pack_b * (g->depth + 1) * NR;
    for (int64_t p = k0; p < k1; p += g->depth) {
        const int64_t k = MIN(g->depth, k1 - p);
        const int first = p == k0, last = p + k >= k1;
        const REAL *src = NULL, *bias = first && !partial ? g->bias : NULL;
        nnrt_tail tail = {.alpha = partial ? 1 : g->alpha, .beta = 1, .src_row = c_row};
        tail.relu = last && !partial && g->activation == NNRT_ACT_RELU;
        if (!first)
            src = c;
        else if (!partial && g->beta != 0)
            src = c, tail.beta = g->beta;
        else if (!partial && g->residual)
            src = g->residual, tail.src_row = g->residual_row;
        if (g->pack_a)
            K(pack_a)(a_room, k * A_STEP, a + p * g->a_col, k, g->m, w->t0, w->t1, g->a_col, g->a_row);
        /* Panels that are packed together stay in L2 with a block of rows of a. They start an odd number of lines
         * apart: many of them, a power of two apart, would push each other out. */
        const int64_t step = (k | 1) * NR, group = g->pack_b ? g->pack_b * NR : w->j1 - w->j0;
        for (int64_t j0 = w->j0; j0 < w->j1; j0 += group) {
            const int64_t j1 = MIN(j0 + group, w->j1);
            /* Columns whose panels the first tile over each copies; those of others are copied before. */
            const int keeps = VBYTES == 64 && g->b_col == 1 && gemm_line(g, w->t0 + 1) - w->i0 >= NNRT_KEEP_ROWS;
            const int64_t kept = g->pack_b && keeps ? (j1 - j0) / NR * NR : 0;
            if (g->pack_b && j0 + kept < j1)
                K(pack_panels)(room + kept / NR * step, step, b + p * g->b_row + (j0 + kept) * g->b_col, k,
                               j1 - j0 - kept, g->b_row, g->b_col);
            for (int64_t t0 = w->t0; t0 < w->t1; t0 += g->block)
                for (int64_t j = j0; j < j1; j += NR) {
                    const int64_t cols = MIN(NR, j1 - j), width = CEIL(cols, VL) * VL;
                    const int64_t b_row = g->packed_b || g->pack_b ? width : g->b_row;
                    const REAL *bp = g->pack_b     ? room + (j - j0) / NR * step
                                     : g->packed_b ? b + j * g->k + p * width
                                                   : b + p * g->b_row + j * g->b_col;
                    tail.bias = bias ? bias + j : NULL;
                    for (int64_t t = t0, i = gemm_line(g, t); t < MIN(t0 + g->block, w->t1); t++) {
                        const int64_t rows = gemm_line(g, t + 1) - i;
                        const REAL *ap = g->pack_a     ? a_room + (t - w->t0) * k * A_STEP
                                         : g->packed_a ? a + (p * CEIL(g->m, MR) + t * k) * A_STEP
                                                       : a + i * a_row + p * a_col;
                        if (src)
                            tail.src = src + i * tail.src_row + j;
                        /* c's lines would come one by one when they are stored to. As far as L2: rows 4 kB apart share
                         * one set of L1. */
                        for (int64_t r = i; r < i + rows && large; r++)
                            for (int64_t q = 0; q < cols; q += 64 / (int64_t)sizeof(REAL))
                                __builtin_prefetch(c + r * c_row + j + q, 1, 2);
                        /* What comes next: of a packed b the panel; of a, when the first panel meets it, the tile in
                         * the rows below or, transposed, the next line of each row. */
                        tail.ahead = NULL;
                        if (g->packed_b && t == t0)
                            tail.ahead = (const char *)bp + NNRT_AHEAD, tail.line = 2 * VBYTES;
                        else if (j == j0 && a_col == 1 && a_row < 2 * k)
                            tail.ahead = (const char *)(ap + rows * a_row),
                            tail.line = rows * a_row * (int64_t)sizeof(REAL) / k;
                        else if (j == j0 && a_row == 1 && !a_panels)
                            tail.ahead = (const char *)ap + 64, tail.line = a_col * (int64_t)sizeof(REAL);
                        tail.keep = NULL;
                        if (t == w->t0 && j < j0 + kept) {
                            const REAL *src = b + p * g->b_row + j;
                            tail.keep = (REAL *)bp; /* in room */
                            tail.line = g->b_row * (int64_t)sizeof(REAL);
                            tail.ahead = (const char *)src + NNRT_KEEP_AHEAD * tail.line;
                            /* As numpy allocates it; one set of L1 holds every such line of a column. */
                            tail.split = (uintptr_t)src % 64 && tail.line % 4096 == 0 && w->t1 - w->t0 >= NNRT_KEEP_SPLIT;
                            K(tile)(rows, cols, k, ap, a_row, a_col, src, g->b_row, c + i * c_row + j, c_row, &tail);
                        } else
                            K(tile)(rows, cols, k, ap, a_row, a_col, bp, b_row, c + i * c_row + j, c_row, &tail);
                        i += rows;
                    }
                }
            if (last && !partial && g->activation > NNRT_ACT_RELU)
                for (int64_t i = w->i0; i < w->i1; i++)
                    K(activate)(g->activation, c + i * c_row + j0, j1 - j0);
        }
    }
}

static void K(gemm_tiles)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_gemm *g = args;
    for (int64_t t = begin; t < end; t++) {
        gemm_task w = gemm_decode_tiles(g, t);
        const REAL *a = (const REAL *)g->a + w.batch * g->a_batch, *b = (const REAL *)g->b + w.batch * g->b_batch;
        int64_t k0 = w.split * g->split, k1 = MIN(k0 + g->split, g->k);
        if (g->splits > 1)
            K(gemm_block)(g, &w, a, b, (REAL *)g->partial + w.split * g->m * g->n, g->n, k0, k1, scratch);
        else
            K(gemm_block)(g, &w, a, b, (REAL *)g->c + w.batch * g->c_batch, g->c_row, k0, k1, scratch);
    }
}

/* c = act(alpha sum_s partial[s] + beta c + bias + row_bias + residual) over a block, the
 * sum in the order of s; partial points to the block's first element. */
static void K(finish_block)(const nnrt_gemm *g, const gemm_task *w, const REAL *partial, int64_t p_row,
                            int64_t p_step, int64_t count)
{
    const REAL alpha = (REAL)g->alpha, beta = (REAL)g->beta, *bias = g->bias, *row_bias = g->row_bias;
    const int64_t n = w->j1 - w->j0;
    for (int64_t i = w->i0; i < w->i1; i++) {
        REAL *restrict c = (REAL *)g->c + w->batch * g->c_batch + i * g->c_row + w->j0;
        if (beta == 0)
            for (int64_t j = 0; j < n; j++)
                c[j] = 0;
        else if (beta != 1)
            for (int64_t j = 0; j < n; j++)
                c[j] *= beta;
        if (count) {
            const REAL *p = partial + (i - w->i0) * p_row;
            int64_t j = 0;
            for (; j + NR <= n; j += NR) { /* of each sum a line: they may all lie in one place of L1 */
                K(vec) lo = K(load)(p + j), hi = K(load)(p + j + VL);
                for (int64_t s = 1; s < count; s++)
                    lo += K(load)(p + j + s * p_step), hi += K(load)(p + j + VL + s * p_step);
                K(store)(c + j, K(load)(c + j) + alpha * lo);
                K(store)(c + j + VL, K(load)(c + j + VL) + alpha * hi);
            }
            for (; j < n; j++) {
                REAL sum = p[j];
                for (int64_t s = 1; s < count; s++)
                    sum += p[j + s * p_step];
                c[j] += alpha * sum;
            }
        }
        if (bias)
            for (int64_t j = 0; j < n; j++)
                c[j] += bias[w->j0 + j];
        if (row_bias)
            for (int64_t j = 0; j < n; j++)
                c[j] += row_bias[i];
        if (g->residual) {
            const REAL *r = (const REAL *)g->residual + i * g->residual_row + w->j0 * g->residual_col;
            for (int64_t j = 0; j < n; j++)
                c[j] += r[j * g->residual_col];
        }
        if (g->activation)
            K(activate)(g->activation, c, n);
    }
}

/* Tasks: batch x ceil(m/rows) x ceil(n/cols); here splits only counts partial. */
static void K(gemm_finish)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_gemm *g = args;
    for (int64_t t = begin; t < end; t++) {
        gemm_task w = gemm_decode(g, t); /* splits > 1 only where batch is 1 */
        K(finish_block)(g, &w, (const REAL *)g->partial + w.i0 * g->n + w.j0, g->n, g->m * g->n,
                        g->partial ? g->splits : 0);
    }
}
