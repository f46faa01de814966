/* The transforms of tiles of M x M outputs under filters of R x R taps, R S with stride S, and the kernels over them:
 * included for each M, R, S and dtype.
 *
 * A transform goes over the columns of a square, then over the rows of what came out. Lanes are channels. */

#define KS (M + R - 1)
#define TAPS (R * S * R * S)

/* OUT(i, j) = line IN(i, j) line^T, from squares of `from` values a side to squares of `to`. half[to][from] is what
 * came of the columns; those outside j0..j1 are there already. Of the rows, `rows` are wanted. */
#define BOTH_WAYS(line, from, to, half, j0, j1, rows, IN, OUT)                  \
    {                                                                           \
        K(vec) d[6], r[6];                                                      \
        for (int64_t j = j0; j < j1; j++) {                                     \
            EACH(from, TAKE, IN)                                                \
            F(line)(r, d);                                                      \
            EACH(to, KEEP, half)                                                \
        }                                                                       \
        for (int64_t i = 0; i < rows; i++) {                                    \
            EACH(from, TAKE_BACK, half)                                         \
            F(line)(r, d);                                                      \
            EACH(to, GIVE, OUT)                                                 \
        }                                                                       \
    }
#ifndef EACH
#define EACH(n, X, y)                                                           \
    X(y, 0)                                                                     \
    X(y, 1)                                                                     \
    if (n > 2)                                                                  \
        X(y, 2)                                                                 \
    if (n > 3)                                                                  \
        X(y, 3)                                                                 \
    if (n > 4)                                                                  \
        X(y, 4)                                                                 \
    if (n > 5)                                                                  \
        X(y, 5)
#define TAKE(IN, i) d[i] = IN(i, j);
#define KEEP(half, i) half[i][j] = r[i];
#define TAKE_BACK(half, j) d[j] = half[i][j];
#define GIVE(OUT, j) OUT(i, j, r[j]);
#endif

/* Where tile t lies: its image, and its first row and column of y. */
#define PLACE(p, t)                                                                                             \
    const int64_t image = (t) / ((p)->down * (p)->across), top = (t) / (p)->across % (p)->down * M;             \
    const int64_t left = (t) % (p)->across * M;

/* v[KS²][tiles, step², channels] from the squares of every step-th element of a[n, h, w, c] that begin pad before the
 * tiles t0..t1; zero outside a. A last vector that is not full is moved back over the one before it; fewer channels than
 * a vector has (not with S = 2) are copied to `room` first, which otherwise holds zeros. */
#define TRANSFORM(name, line, from)                                                                                    \
    HOT static void F(name)(const nnrt_winograd_args *p, const REAL *a, int64_t h, int64_t w, int64_t c, int64_t pad_h,    \
                        int64_t pad_w, int64_t step, int64_t t0, int64_t t1, REAL *v, int64_t v_row, int64_t v_step,   \
                        REAL *room)                                                                                    \
    {                                                                                                                  \
        const int narrow = S == 1 && c < VL;                                                                           \
        const int64_t lanes = narrow ? VL : c, pixel = narrow ? VL : step * c;                                         \
        K(vec) half[6][6];                                                                                             \
        for (int64_t e = 0; e < ROOM(step * c); e++)                                                                   \
            room[e] = 0;                                                                                               \
        for (int64_t t = t0 * step * step; t < t1 * step * step; t++) {                                                \
            const int64_t phase = t % (step * step);                                                                   \
            PLACE(p, t / (step * step))                                                                                \
            const int64_t y0 = top * step + phase / step - pad_h, x0 = left * step + phase % step - pad_w;             \
            int64_t j0 = MIN(MAX(step - 1 - x0, 0) / step, from), j1 = MAX(MIN((w - x0 + step - 1) / step, from), j0); \
            const REAL *rows[from];                                                                                    \
            for (int64_t i = 0; i < from; i++) {                                                                       \
                const int inside = y0 + i * step >= 0 && y0 + i * step < h;                                            \
                rows[i] = inside ? a + ((image * h + y0 + i * step) * w + x0) * c : room;                              \
                if (narrow) {                                                                                          \
                    REAL *copy = room + i * from * VL;                                                                 \
                    for (int64_t j = 0; j < from; j++)                                                                 \
                        for (int64_t e = 0; e < c; e++)                                                                \
                            copy[j * VL + e] = inside && j >= j0 && j < j1 ? rows[i][j * step * c + e] : 0;            \
                    rows[i] = copy;                                                                                    \
                }                                                                                                      \
            }                                                                                                          \
            if (narrow)                                                                                                \
                j0 = 0, j1 = from;                                                                                     \
            if (j0 > 0 || j1 < from)                                                                                   \
                for (int64_t i = 0; i < KS; i++)                                                                       \
                    for (int64_t j = 0; j < from; j++)                                                                 \
                        half[i][j] = (K(vec)){0};                                                                      \
            REAL *to = v + (t / (step * step) - t0) * v_row + phase * c;                                               \
            for (int64_t e = 0; e < lanes; e += VL) {                                                                  \
                const int64_t at = MIN(e, lanes - VL);                                                                 \
                BOTH_WAYS(line, from, KS, half, j0, j1, KS, PIXEL, PUT)                                                \
            }                                                                                                          \
        }                                                                                                              \
    }
#define ROOM(c) (KS * MAX((c), KS * VL))
#define PIXEL(i, j) K(load)(rows[i] + j * pixel + at)
#define PUT(i, j, value) K(store)(to + (i * KS + j) * v_step + at, value)
TRANSFORM(transform_x, bt, KS)
TRANSFORM(transform_dy, a, M)

/* y of the tiles t0..t1, columns o0..o1, from their products; of every spread-th pixel from `down`, `right` on. */
HOT static void F(transform_products)(const nnrt_winograd_args *p, int64_t t0, int64_t t1, int64_t o0, int64_t o1,
                                  int64_t down, int64_t right, const REAL *m)
{
    const int64_t spread = p->spread, high = CEIL(p->oh - down, spread), wide = CEIL(p->ow - right, spread);
    K(vec) half[6][6];
    for (int64_t t = t0; t < t1; t++, m += p->m_row) {
        PLACE(p, t)
        const int64_t rows = MIN(high - top, M), cols = MIN(wide - left, M);
        const int64_t first = ((image * p->oh + top * spread + down) * p->ow + left * spread + right) * p->o;
        for (int64_t e = 0; e < o1 - o0; e += VL) {
            const int64_t n = MIN(o1 - o0 - e, VL), at = first + o0 + e;
            const K(vec) bias = p->bias ? K(load_some)((const REAL *)p->bias + o0 + e, n) : (K(vec)){0};
            REAL *y = (REAL *)p->y + at;
            const REAL *residual = p->residual ? (const REAL *)p->residual + at : NULL;
#define PRODUCT(i, j) K(load)(m + (i * KS + j) * p->m_step + e)
#define PUT_Y(i, j, value)                                                      \
    if (j < cols) {                                                             \
        const int64_t to = (i * p->ow + j) * spread * p->o;                     \
        K(vec) z = value + bias;                                                \
        if (residual)                                                           \
            z += K(load_some)(residual + to, n);                                \
        if (p->relu)                                                            \
            z = K(relu_vec)(z);                                                 \
        K(store_some)(y + to, n, z);                                            \
    }
            BOTH_WAYS(at, KS, M, half, 0, KS, rows, PRODUCT, PUT_Y)
        }
    }
}

/* Products of the transformed tiles, rows of v, with the columns o0..o1 of a pass's u. */
COLD static void F(multiply)(const nnrt_winograd_args *p, const REAL *v, int64_t tiles, const REAL *filter, int64_t o0,
                        int64_t o1, REAL *m)
{
    static const nnrt_tail plain = {.alpha = 1};
    for (int64_t e = 0; e < KS * KS; e++, v += p->v_step, m += p->m_step)
        for (int64_t j = o0; j < o1; j += NR) {
            const int64_t cols = MIN(o1 - j, NR), width = CEIL(cols, VL) * VL;
            const REAL *u = filter + K(panel)(p->depth, KS * KS, j) + e * K(u_step)(p->depth, width);
            for (int64_t t = 0, i = 0, next; i < tiles; t++, i = next) {
                next = gemm_row(tiles, t + 1);
                p->gemm->tile(next - i, cols, p->depth, v + i * p->v_row, p->v_row, 1, u, width, m + i * p->m_row + j - o0,
                              p->m_row, &plain);
            }
        }
}

COLD static void F(conv)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int64_t groups = CEIL(p->o, p->group), tasks = CEIL(p->last, p->block) * groups;
    REAL *m = scratch, *room = m + KS * KS * p->m_step, *v = room + ROOM(p->depth);
    for (int64_t t = begin; t < end; t++) {
        const int64_t t0 = t % tasks / groups * p->block, t1 = MIN(t0 + p->block, p->last);
        const int64_t o = t % groups * p->group, last = MIN(o + p->group, p->o);
        const int64_t down = t / tasks / p->spread, right = t / tasks % p->spread;
        int64_t pad_h = p->pad_h, pad_w = p->pad_w;
        const REAL *u = p->u;
        if (p->spread > 1) { /* the taps that these pixels meet, and where */
            u += ((down + pad_h) % 2 * 2 + (right + pad_w) % 2) * p->u_pass;
            pad_h = 1 - (down + pad_h) / 2, pad_w = 1 - (right + pad_w) / 2;
        }
        F(transform_x)(p, p->x, p->h, p->w, p->c, pad_h, pad_w, p->step, t0, t1, v, p->v_row, p->v_step, room);
        for (int64_t o0 = o; o0 < last; o0 += p->chunk) {
            const int64_t o1 = MIN(o0 + p->chunk, last);
            F(multiply)(p, v, t1 - t0, u, o0, o1, m);
            F(transform_products)(p, t0, t1, o0, o1, down, right, m);
        }
    }
}

COLD static void F(input)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int64_t t0 = p->first + begin * p->block, t1 = MIN(p->first + end * p->block, p->last);
    F(transform_x)(p, p->x, p->h, p->w, p->c, p->pad_h, p->pad_w, p->step, t0, t1,
                   (REAL *)p->v + (t0 - p->first) * p->v_row, p->v_row, p->v_step, scratch);
}

COLD static void F(output)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int64_t t0 = p->first + begin * p->block, t1 = MIN(p->first + end * p->block, p->last);
    F(transform_dy)(p, p->y, p->oh, p->ow, p->o, 0, 0, 1, t0, t1, (REAL *)p->q + (t0 - p->first) * p->q_row,
                    p->q_row, p->q_step, scratch);
}

COLD static void F(finish)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    K(vec) half[6][6], taps[R * R];
    for (int64_t o = begin; o < end; o++)
        for (int64_t phase = 0; phase < S * S; phase++)
            for (int64_t c = 0; c < p->c; c += VL) {
                const REAL *s = (const REAL *)p->s + (o * S * S + phase) * p->c + c;
                REAL *dw = (REAL *)p->dw + (o * p->c + c) * TAPS + phase / S * R * S + phase % S;
                const int64_t n = MIN(p->c - c, VL);
#define TOTAL(i, j) K(load_some)(s + (i * KS + j) * p->s_step, n)
#define PUT_TAP(i, j, value) taps[i * R + j] = value
                BOTH_WAYS(gt, KS, R, half, 0, KS, R, TOTAL, PUT_TAP)
                for (int64_t l = 0; l < n; l++)
                    for (int64_t i = 0; i < R * R; i++)
                        dw[l * TAPS + (i / R * R * S + i % R) * S] = taps[i][l];
            }
}

static void F(filter)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_filter *p = args;
    const int64_t parts = CEIL(p->depth, p->part), along = p->depth_step == TAPS;
    /* Rows of w along the depth are long and compete for the same lines: pieces of them are copied first. */
    REAL copy[2 * VBYTES / sizeof(REAL)][PIECE * TAPS + 4], taps[TAPS * VBYTES / sizeof(REAL)];
    K(vec) half[KS][R];
    for (int64_t task = begin; task < end; task++) {
        const int64_t k1 = MIN(task % parts * p->part + p->part, p->depth), j0 = task / parts * NR;
        const int64_t width = MIN(CEIL(p->columns - j0, VL) * VL, NR), step = K(u_step)(p->whole, width);
        const REAL *w[2 * VBYTES / sizeof(REAL)]; /* of each column; lanes behind the last one repeat it */
        for (int64_t k = task % parts * p->part, left = 0; k < k1; k++, left--) {
            if (along && left == 0) {
                left = MIN(PIECE, k1 - k);
                for (int64_t l = 0; l < width; l++) {
                    w[l] = copy[l];
                    memcpy(copy[l], (const REAL *)p->w + k * TAPS + MIN(j0 + l, p->columns - 1) * p->column_step,
                           left * TAPS * sizeof(REAL));
                }
            } else
                for (int64_t l = 0; l < width; l++)
                    w[l] = along ? w[l] + TAPS
                                 : (const REAL *)p->w + k * p->depth_step + MIN(j0 + l, p->columns - 1) * p->column_step;
            for (int64_t j = 0; j < width; j += VL) {
                for (int64_t l = 0; l < VL; l += SIDE)
                    for (int64_t t = 0; t < TAPS; t += SIDE) {
                        const int64_t first = MIN(t, TAPS - SIDE);
                        const REAL *rows[SIDE];
                        for (int64_t i = 0; i < SIDE; i++)
                            rows[i] = w[j + l + i] + first;
                        K(transpose_tile)(taps + first * VL + l, VL, rows);
                    }
                for (int64_t phase = 0; phase < S * S; phase++) {
                    const REAL *tap = taps + (phase / S * R * S + phase % S) * VL;
                    REAL *u = (REAL *)p->u + phase * p->u_pass + K(panel)(p->whole, KS * KS, j0)
                            + (phase * p->rows + k) * width + j;
#define TAP(i, j) K(load)(tap + (p->rotate ? (R - 1 - i) * R * S + R - 1 - j : i * R * S + j) * S * VL)
/* Stores to k² places wait for their lines one after the other, unless those were asked for before. */
#define PUT_U(i, j, value)                                                                                     \
    K(store)(u + (i * KS + j) * step, value), __builtin_prefetch(u + (i * KS + j) * step + 8 * width, 1);
                    BOTH_WAYS(g, R, KS, half, 0, R, KS, TAP, PUT_U)
                }
            }
        }
    }
}

#undef KS
#undef TAPS
#undef PUT
#undef ROOM
