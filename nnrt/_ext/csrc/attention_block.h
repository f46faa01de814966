/* A block of queries of one head, and the scores of a panel of it. Included once per dtype. */

typedef struct {
    const nnrt_attention_args *a;
    int64_t b, h, head;       /* head: of all */
    int64_t count, panels;    /* queries */
    const int64_t *rows;      /* where each of them is, `count` filled up to whole panels with the last */
    const int64_t *cols;      /* where each of the keys is */
    REAL *q, *dout;           /* panels [size][NR] times scale, [width][NR] */
    REAL *top, *sum, *delta;  /* of each query: largest score or lse, sum of exponentials, <dout, out> */
    const REAL *k, *v;        /* of the run: rows k_step and v_step apart */
    const REAL *x, *dy;       /* backward: rows of the queries and of dout, copied */
    int64_t k_step, v_step;
    int64_t copied[3];        /* the head, the first and the number of the keys last copied in their order */
    REAL *room;               /* NR rows of keys, and as many of a panel */
} K(attention_block);

INLINE REAL *K(row_of)(const nnrt_attention_array *x, int64_t b, int64_t h, int64_t row)
{
    return (REAL *)x->data + b * x->step[0] + h * x->step[1] + row * x->step[2];
}

/* Elements from row to row of a copy: a panel's width of rows that lie four cache lines
 * apart would share few places in L1. */
INLINE int64_t K(apart)(int64_t size)
{
    return size % (256 / (int64_t)sizeof(REAL)) ? size : size + 64 / (int64_t)sizeof(REAL);
}

/* dst[size][NR] = the rows, whose elements are contiguous. */
FAST static void K(pack_rows)(REAL *dst, const REAL *const *rows, int64_t size)
{
    int64_t d = 0;
    for (; d + SIDE <= size; d += SIDE)
        for (int64_t j = 0; j < NR; j += SIDE) {
            const REAL *from[SIDE];
            for (int64_t i = 0; i < SIDE; i++)
                from[i] = rows[j + i] + d;
            K(transpose_tile)(dst + d * NR + j, NR, from);
        }
    for (; d < size; d++)
        for (int64_t j = 0; j < NR; j++)
            dst[d * NR + j] = rows[j][d];
}

/* The rows of x that the block's queries name, as panels. */
static void K(pack_block)(const K(attention_block) *c, REAL *dst, const nnrt_attention_array *x, int64_t size)
{
    for (int64_t p = 0; p < c->panels; p++) {
        const REAL *rows[NR];
        for (int64_t l = 0; l < NR; l++)
            rows[l] = K(row_of)(x, c->b, c->h, c->rows[p * NR + l]);
        K(pack_rows)(dst + p * size * NR, rows, size);
    }
}

#ifndef DECLARE_SUM
#define DECLARE_SUM(i, p, s) V x##i = {0}, y##i = {0};
#define ADD_SUM(i, p, s)                                                        \
    if (rows > i) {                                                             \
        const V t = K(broadcast)(p, row, s);                                    \
        x##i = K(add_product)(x##i, t, b0), y##i = K(add_product)(y##i, t, b1); \
    }
#define SCALE_SUM(i, p, s) \
    if (rows > i)          \
        x##i *= alpha, y##i *= alpha;
#define CARRY_SUM(i, p, s)                                              \
    if (rows > i) {                                                     \
        x##i += K(load)(to), y##i += K(load)(to + VL), to += y_row;     \
        KEEP(to)                                                        \
    }
#define PUT_SUM(i, p, s)                                                \
    if (rows > i) {                                                     \
        K(store)(y, x##i), K(store)(y + VL, y##i), y += y_row;          \
        KEEP(y)                                                         \
    }
/* A pointer that walks: gcc would keep a sum of strides for each place, more than there are registers. */
#define KEEP(p) __asm__("" : "+r"(p));
/* An operand that says so: what is stored there stays before. */
#define READS(p) "m"(*(const char(*)[])(p))
#endif

/* x[s row] in every lane. The address is one that an instruction has: gcc takes a
 * register more for each, and spills. */
INLINE K(vec) K(broadcast)(const REAL *x, int64_t row, const int s)
{
#if VBYTES == 32 && REAL_BYTES == 4
    K(vec) t;
    if (s == 0)
        __asm__("vbroadcastss (%1), %0" : "=x"(t) : "r"(x), READS(x));
    else if (s == 1)
        __asm__("vbroadcastss (%1,%2,4), %0" : "=x"(t) : "r"(x), "r"(row), READS(x));
    else
        __asm__("vbroadcastss (%1,%2,8), %0" : "=x"(t) : "r"(x), "r"(row), READS(x));
    return t;
#else
    return K(splat)(x[s * row]);
#endif
}

/* What stands left in a product, [m, k]: k comes in parts whose starts are `jump` elements apart. */
typedef struct {
    const REAL *at;
    int64_t row, col, k, part, jump;
} K(left);

/* y[rows][NR] = alpha a b + (again ? y : 0) in registers; `rows` is a constant. */
INLINE void K(sums)(const int rows, const K(left) *l, const REAL *a, const REAL *b, int64_t b_row, REAL *y,
                    int64_t y_row, REAL alpha, int again)
{
    typedef K(vec) V;
    EACH_ROW(DECLARE_SUM)
    const int64_t row = l->row, col = l->col;
    for (int64_t k = l->k; k > 0; k -= l->part, a += l->jump) {
        const REAL *a0 = a, *a3 = a + 3 * row, *a6 = a + 6 * row, *a9 = a + 9 * row, *a12 = a + 12 * row;
        int64_t n = MIN(k, l->part);
#if VBYTES == 32 /* four k in a turn, as linear.c's whole tiles */
        for (; n >= 4; n -= 4) {
#pragma GCC unroll 4
            for (int u = 0; u < 4; u++) {
                const V b0 = K(load)(b), b1 = K(load)(b + VL);
                EACH_ROW(ADD_SUM)
                a0 += col, a3 += col, b += b_row;
                KEEP(a0) KEEP(a3) KEEP(b)
            }
        }
#endif
#if VBYTES == 64
        /* Fourteen rows by two pointers and three strides, and nothing left for gcc to count in memory. */
        if (REAL_BYTES == 4) {
            const char *low = (const char *)a, *high = low + 28 * row;
            const int64_t one = 4 * row, three = 12 * row, five = 20 * row, step = 4 * col;
            for (; n > 0; n--) {
                const V b0 = K(load)(b), b1 = K(load)(b + VL);
                V t;
#define WIDE(i, from, index)                                                                                          \
    if (rows > i) {                                                                                                   \
        __asm__("vbroadcastss (%1" index "), %0" : "=v"(t) : "r"(from), "r"(one), "r"(three), "r"(five), READS(from)); \
        x##i = K(add_product)(x##i, t, b0), y##i = K(add_product)(y##i, t, b1);                                       \
    }
                WIDE(0, low, "") WIDE(1, low, ",%2") WIDE(2, low, ",%2,2") WIDE(3, low, ",%3") WIDE(4, low, ",%2,4")
                WIDE(5, low, ",%4") WIDE(6, low, ",%3,2") WIDE(7, high, "") WIDE(8, high, ",%2") WIDE(9, high, ",%2,2")
                WIDE(10, high, ",%3") WIDE(11, high, ",%2,4") WIDE(12, high, ",%4") WIDE(13, high, ",%3,2")
#undef WIDE
                low += step, high += step, b += b_row;
                KEEP(low) KEEP(high) KEEP(b) KEEP(n)
            }
        }
#endif
#pragma GCC unroll 1
        for (; n > 0; n--) {
            const V b0 = K(load)(b), b1 = K(load)(b + VL);
            EACH_ROW(ADD_SUM)
            a0 += col, a3 += col, a6 += col, a9 += col, a12 += col, b += b_row;
        }
    }
    if (alpha != 1) {
        EACH_ROW(SCALE_SUM)
    }
    if (again) {
        const REAL *to = y;
        EACH_ROW(CARRY_SUM)
    }
    EACH_ROW(PUT_SUM)
}

/* y[m][n] = alpha a b + (again ? y : 0), with as many tiles of MR - 1 rows as leave MR to the others. */
static __attribute__((noinline)) void K(product)(const nnrt_gemm_ops *g, REAL *y, int64_t y_row, int64_t m, int64_t n,
                                                 const K(left) *l, const REAL *b, int64_t b_row, REAL alpha, int again)
{
    for (int64_t e = 0; e < n; e += NR) {
        int64_t low = (MR - m % MR) % MR, high;
        const REAL *a = l->at;
        REAL *to = y + e;
        low = n - e < NR || low * (MR - 1) > m ? 0 : low;
        for (int64_t i = 0; i < m; i += high, a += high * l->row, to += high * y_row) {
            high = low-- > 0 ? MR - 1 : MIN(MR, m - i);
            if (REAL_BYTES == 4 && high == MR && n - e >= NR)
                K(sums)(MR, l, a, b + e, b_row, to, y_row, alpha, again);
            else if (REAL_BYTES == 4 && high == MR - 1 && n - e >= NR)
                K(sums)(MR - 1, l, a, b + e, b_row, to, y_row, alpha, again);
            else {
                int64_t k = 0;
                const REAL *part = a;
                do {
                    const nnrt_tail tail = {.alpha = alpha, .beta = 1, .src = again || k ? to : NULL, .src_row = y_row};
                    g->tile(high, MIN(NR, n - e), MIN(l->part, l->k - k), part, l->row, l->col, b + k * b_row + e,
                            b_row, to, y_row, &tail);
                    k += l->part, part += l->jump;
                } while (k < l->k);
            }
        }
    }
}

/* out[n][NR] = x yᵀ: n rows of x, and a panel. */
static void K(panel_product)(const nnrt_gemm_ops *g, REAL *out, const REAL *x, int64_t step, int64_t n,
                             const REAL *panel, int64_t size)
{
    const K(left) l = {x, step, 1, size, size, 0};
    K(product)(g, out, NR, n, NR, &l, panel, NR, 1, 0);
}

/* y[i][:] = Σ_r s[r][i] x[r][:] + (again ? y : 0) for the queries i of a panel s[n][NR]. */
static void K(panel_sums)(const nnrt_gemm_ops *g, REAL *y, const REAL *s, int64_t n, const REAL *x, int64_t x_step,
                          int64_t size, int again)
{
    for (int64_t r = 0; r < n; r += NNRT_ATTENTION_NEAR) {
        const int64_t k = MIN(NNRT_ATTENTION_NEAR, n - r);
        const K(left) l = {s + r * NR, 1, NR, k, k, 0};
        K(product)(g, y, size, NR, size, &l, x + r * x_step, x_step, 1, again || r);
    }
}

/* The place of key j among the distances of query i: j - i, cut to -reach .. reach. */
INLINE int64_t K(distance)(int64_t i, int64_t j, int64_t reach)
{
    const int64_t d = j - i;
    return (d < -reach ? -reach : d > reach ? reach : d) + reach;
}

/* Are all of these keys at least `reach` before (-1) or after (1) all queries of the panel? */
static int K(beyond)(const K(attention_block) *c, const int64_t *rows, int64_t n)
{
    int before = 1, after = 1;
    if (c->a->part)
        return 0;
    before = c->cols[n - 1] - rows[0] - c->a->first <= -c->a->reach;
    after = c->cols[0] - rows[NR - 1] - c->a->first >= c->a->reach;
    return after - before;
}

/* s[r][l] += x[query l, distance of key r]. */
static void K(add_relative)(const K(attention_block) *c, const nnrt_attention_array *x, int64_t p, REAL *s, int64_t n)
{
    const int64_t reach = c->a->reach, *rows = c->rows + p * NR;
    const REAL *from[NR];
    for (int64_t l = 0; l < NR; l++)
        from[l] = K(row_of)(x, c->b, c->h, rows[l]);
    const int side = K(beyond)(c, rows, n);
    if (side) {
        REAL edge[NR];
        for (int64_t l = 0; l < NR; l++)
            edge[l] = from[l][side < 0 ? 0 : 2 * reach];
        for (int64_t r = 0; r < n; r++)
            for (int64_t l = 0; l < NR; l++)
                s[r * NR + l] += edge[l];
        return;
    }
    for (int64_t r = 0; r < n; r++)
        for (int64_t l = 0; l < NR; l++)
            s[r * NR + l] += from[l][K(distance)(rows[l] + c->a->first, c->cols[r], reach)];
}

/* x[query l, distance of key r] += s[r][l], for the panel's queries in x[count][2 reach + 1]. */
static void K(sum_relative)(const K(attention_block) *c, REAL *x, int64_t p, const REAL *s, int64_t n)
{
    const int64_t reach = c->a->reach, width = 2 * reach + 1, lanes = MIN(NR, c->count - p * NR);
    const int64_t *rows = c->rows + p * NR;
    const int side = K(beyond)(c, rows, n);
    x += p * NR * width;
    if (side) {
        REAL edge[NR] = {0};
        for (int64_t r = 0; r < n; r++)
            for (int64_t l = 0; l < NR; l++)
                edge[l] += s[r * NR + l];
        for (int64_t l = 0; l < lanes; l++)
            x[l * width + (side < 0 ? 0 : 2 * reach)] += edge[l];
        return;
    }
    for (int64_t r = 0; r < n; r++)
        for (int64_t l = 0; l < lanes; l++)
            x[l * width + K(distance)(rows[l] + c->a->first, c->cols[r], reach)] += s[r * NR + l];
}

/* The mask's part of the scores. */
static void K(add_mask)(const K(attention_block) *c, int64_t p, REAL *s, int64_t n)
{
    const nnrt_attention_args *a = c->a;
    const int64_t at = c->b * a->mask_step[0] + c->h * a->mask_step[1], *rows = c->rows + p * NR;
    const int64_t down = a->mask_step[2], across = a->mask_step[3];
    const uint8_t *bits = a->mask;
    const REAL *x = a->mask;
    if (down == 0) {
        for (int64_t r = 0; r < n; r++) {
            const int64_t i = at + c->cols[r] * across;
            const REAL add = !a->boolean ? x[i] : bits[i] ? 0 : (REAL)-INFINITY;
            for (int64_t l = 0; l < NR; l++)
                s[r * NR + l] += add;
        }
        return;
    }
    if (across == 1 && c->cols[n - 1] - c->cols[0] == n - 1) {
        REAL *panel = c->room + NR * n;
        const REAL *from[NR];
        for (int64_t l = 0; l < NR; l++) {
            const int64_t i = at + rows[l] * down + c->cols[0];
            from[l] = x + i;
            if (a->boolean) {
                REAL *row = c->room + l * n;
                from[l] = row;
                for (int64_t r = 0; r < n; r++)
                    row[r] = bits[i + r] ? 0 : (REAL)-INFINITY;
            }
        }
        K(pack_rows)(panel, from, n);
        K(scale_row)(s, panel, n * NR, 1, 1);
        return;
    }
    for (int64_t r = 0; r < n; r++)
        for (int64_t l = 0; l < NR; l++) {
            const int64_t i = at + rows[l] * down + c->cols[r] * across;
            s[r * NR + l] += !a->boolean ? x[i] : bits[i] ? 0 : (REAL)-INFINITY;
        }
}

/* s[n][NR]: the scores of panel p with the run's first n keys. */
static void K(scores)(const K(attention_block) *c, const attention_run *run, int64_t p, REAL *s, int64_t n)
{
    const nnrt_attention_args *a = c->a;
    const int64_t *rows = c->rows + p * NR;
    K(panel_product)(a->gemm, s, c->k, c->k_step, n, c->q + p * a->size * NR, a->size);
    if (a->relative.data)
        K(add_relative)(c, &a->relative, p, s, n);
    if (a->slopes) {
        const REAL slope = ((const REAL *)a->slopes)[c->h];
        for (int64_t r = 0; r < n; r++)
            for (int64_t l = 0; l < NR; l++) {
                const int32_t d = (int32_t)(rows[l] + a->first - c->cols[r]);
                s[r * NR + l] -= slope * (REAL)(d < 0 ? -d : d);
            }
    }
    if (a->mask)
        K(add_mask)(c, p, s, n);
    if (run->words)
        for (int64_t r = 0; r < n; r++) {
            const uint64_t word = run->words[r] >> p * NR;
            for (int64_t l = 0; l < NR; l++)
                s[r * NR + l] = word >> l & 1 ? s[r * NR + l] : (REAL)-INFINITY;
        }
    if (a->causal && !a->part) {
        static const REAL lane[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
                                    16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31};
        typedef __typeof__((K(vec)){0} > (K(vec)){0}) bits;
        const int64_t behind = run->at - rows[0] - a->first; /* from query 0 of the panel to key 0 */
        for (int64_t r = MAX(0, 1 - behind); r < n; r++)
            for (int64_t l = 0; l < NR; l += VL) {
                const bits late = K(load)(lane + l) < K(splat)((REAL)(behind + r));
                REAL *x = s + r * NR + l;
                K(store)(x, (K(vec))(((bits)K(load)(x) & ~late) | ((bits)K(splat)((REAL)-INFINITY) & late)));
            }
    }
}

/* How many of the run's keys panel p meets: those behind all of its queries are left out. */
static int64_t K(met)(const K(attention_block) *c, const attention_run *run, int64_t p)
{
    if (!c->a->causal || c->a->part)
        return run->count;
    const int64_t last = c->rows[MIN(p * NR + NR, c->count) - 1] + c->a->first + 1 - run->at;
    return MAX(0, MIN(last, run->count));
}

/* x[r][l] = keep ? x kept : 0, by the decisions of dropout. */
static void K(drop)(const K(attention_block) *c, int64_t p, REAL *x, int64_t n)
{
    const nnrt_attention_args *a = c->a;
    const REAL kept = (REAL)a->kept;
    const uint64_t eights = (uint64_t)CEIL(a->keys, 8);
    uint32_t word[4][CEIL(NR, PHILOX_LANES) * PHILOX_LANES];
    int64_t of = -1;
    for (int64_t r = 0; r < n; r++) {
        const int64_t j = c->cols[r];
        if (j / 8 != of) {
            of = j / 8;
            const uint64_t first = a->offset + ((uint64_t)c->head * eights + (uint64_t)of) * (uint64_t)a->queries;
            for (int64_t at = 0; at < NR; at += PHILOX_LANES) {
                for (int64_t l = at; l < at + PHILOX_LANES; l++) {
                    const uint64_t row = (uint64_t)c->rows[p * NR + (l < NR ? l : 0)];
                    const uint64_t block = (first + row) & ~((uint64_t)1 << 63);
                    word[0][l] = (uint32_t)block, word[1][l] = (uint32_t)(block >> 32);
                    word[2][l] = 2, word[3][l] = 0;
                }
                philox(word[0] + at, word[1] + at, word[2] + at, word[3] + at, a->seed);
            }
        }
        const uint32_t *w = word[j % 8 / 2];
        const int shift = j % 2 * 16;
        for (int64_t l = 0; l < NR; l++)
            x[r * NR + l] *= (w[l] >> shift & 0xFFFF) >= a->below ? kept : 0;
    }
}
