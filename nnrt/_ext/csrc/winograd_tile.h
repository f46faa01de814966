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

/* v[KS²] of all channels of every group and phase, from the squares of the tiles t0..t1. */
#define TRANSFORM(name, line, from, sums)                                                                              \
    HOT static void F(name)(const nnrt_winograd_args *p, const K(image) *s, int64_t t0, int64_t t1, REAL *v,           \
                            REAL *zeros)                                                                               \
    {                                                                                                                  \
        const int64_t c = s->c, phases = s->step * s->step, v_step = s->v_step;                                        \
        K(vec) half[6][6];                                                                                             \
        REAL copy[from * from * VL];                                                                                   \
        for (int64_t e = 0; e < ROOM(s->step * s->pixel); e++)                                                         \
            zeros[e] = 0;                                                                                              \
        for (int64_t t = t0; t < t1; t++, v += s->row)                                                                 \
            for (int64_t set = 0; set < phases * s->groups; set++) {                                                   \
                const REAL *rows[from];                                                                                \
                int64_t inside[2], pixel = s->step * s->pixel;                                                         \
                const int64_t ahead = s->groups < p->groups ? c : (p->parts ? 3 : 1) * M * pixel;                      \
                K(square)(p, s, t, set % phases, from, zeros, rows, inside);                                           \
                for (int64_t e = 0; e < c; e += VL) {                                                                  \
                    int64_t at = set / phases * c + e;                                                                 \
                    REAL *to = v + set * s->set + e / NR * s->panel + e % NR;                                          \
                    const K(mask) mask = K(lanes)(MIN(c - e, VL));                                                     \
                    (void)mask;                                                                                        \
                    if (VBYTES < 64 && c - e < VL)                                                                     \
                        K(last_lanes)(copy, rows, inside, pixel, at, c - e, from), pixel = VL, at = 0;                 \
                    const int64_t j0 = inside[0], j1 = inside[1];                                                      \
                    K(vec) total = {0};                                                                                \
                    if (e == 0 && (j0 > 0 || j1 < from))                                                               \
                        for (int64_t i = 0; i < KS; i++)                                                               \
                            for (int64_t j = 0; j < from; j++)                                                         \
                                half[i][j] = (K(vec)){0};                                                              \
                    BOTH_WAYS(line, from, KS, half, j0, j1, KS, PIXEL##sums, PUT)                                      \
                    if (sums && s->totals) {                                                                           \
                        REAL *sum = s->totals + set / phases * c + e;                                                  \
                        K(store_some)(sum, MIN(c - e, VL), K(load_some)(sum, MIN(c - e, VL)) + total);                 \
                    }                                                                                                  \
                }                                                                                                      \
            }                                                                                                          \
    }
#define ROOM(c) (KS * (c))
/* Rows of a square, and of y, are too many streams to be foreseen: each asks for the next
 * tile's, of groups the next group's. */
#if VBYTES == 64 /* loads by lanes cost nothing */
#define READ(p) K(load_lanes)(p, mask)
#else
#define READ(p) K(load)(p)
#endif
#define PIXEL0(i, j) (__builtin_prefetch(rows[i] + j * pixel + at + ahead), READ(rows[i] + j * pixel + at))
#define PIXEL1(i, j) (d[i] = PIXEL0(i, j), total += d[i], d[i])
#define PUT(i, j, value) K(store)(to + (i * KS + j) * v_step, value)
#if R < 4
TRANSFORM(transform_x, bt, KS, 0)
#define TRANSFORM_X F(transform_x)
#else /* that of another tile with these points */
#define TRANSFORM_X K(transform_x_4)
#endif
TRANSFORM(transform_dy, a, M, 1)

/* y of the tiles t0..t1, columns o0..o1, from their products; of every spread-th pixel from `down`, `right` on. */
HOT static void F(transform_products)(const nnrt_winograd_args *p, int64_t t0, int64_t t1, int64_t o0, int64_t o1,
                                  int64_t down, int64_t right, const REAL *m)
{
    const int64_t spread = p->spread, high = CEIL(p->oh - down, spread), wide = CEIL(p->ow - right, spread);
    const int64_t pixel = spread * p->y_pixel, line = p->ow * pixel, m_step = p->m_step;
    const int64_t ahead = p->groups > 1 ? p->o : M * pixel;
    const int relu = p->relu, past = p->past;
    K(vec) half[6][6];
    for (int64_t t = t0; t < t1; t++, m += p->m_row) {
        const int64_t image = t / (p->down * p->across), top = t / p->across % p->down * M, left = t % p->across * M;
        const int64_t rows = MIN(high - top, M), cols = MIN(wide - left, M);
        const int64_t first = ((image * p->oh + top * spread + down) * p->ow + left * spread + right) * p->y_pixel;
        for (int64_t e = 0; e < o1 - o0; e += VL) {
            const int64_t n = MIN(o1 - o0 - e, VL), at = first + o0 + e;
            const K(vec) bias = p->bias ? K(load_some)((const REAL *)p->bias + o0 + e, n) : (K(vec)){0};
            REAL *y = (REAL *)p->y + at;
            const REAL *residual = p->residual ? (const REAL *)p->residual + at : NULL;
#define PRODUCT(i, j) K(load)(m + (i * KS + j) * m_step + e)
#define PUT_Y(i, j, value)                                                      \
    if (j < cols) {                                                             \
        const int64_t to = i * line + j * pixel;                                \
        K(vec) z = value + bias;                                                \
        if (residual)                                                           \
            z += K(load_some)(residual + to, n);                                \
        if (relu)                                                               \
            z = K(relu_vec)(z);                                                 \
        if (VBYTES == 64 && __builtin_expect(past, 0))                          \
            K(store_past)(y + to, z);                                           \
        else {                                                                  \
            K(store_some)(y + to, n, z);                                        \
            __builtin_prefetch(y + to + ahead, 1);                              \
        }                                                                       \
    }
            BOTH_WAYS(at, KS, M, half, 0, KS, rows, PRODUCT, PUT_Y)
        }
    }
}

COLD static void F(input)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int64_t t0 = p->first + begin * p->block, t1 = MIN(p->first + end * p->block, p->last);
    const K(image) x = {p->x, p->h, p->w, p->c, p->x_pixel, p->pad_h, p->pad_w, p->step, p->groups,
                        p->v_row, p->v_panel, p->v_set, p->v_step, NULL};
    TRANSFORM_X(p, &x, t0, t1, (REAL *)p->v + (t0 - p->first) * p->v_row, scratch);
}

COLD static void F(output)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    K(image) dy = {p->y, p->oh, p->ow, p->o, p->y_pixel, 0, 0, 1, p->groups, NR, p->q_panel, p->q_set, p->q_step, NULL};
    for (int64_t task = begin; task < end; task++) {
        const int64_t t0 = p->first + task * p->block, t1 = MIN(t0 + p->block, p->last);
        if (p->totals) {
            dy.totals = (REAL *)p->totals + task * p->y_pixel;
            memset(dy.totals, 0, p->y_pixel * sizeof(REAL));
        }
        F(transform_dy)(p, &dy, t0, t1, (REAL *)p->q + (t0 - p->first) * NR, scratch);
    }
}

/* dw of a block of s. */
COLD static __attribute__((noinline)) void F(put)(const nnrt_winograd_args *p, K(block) w, const REAL *s)
{
    K(vec) half[6][6];
    REAL taps[TAPS * VL];
    for (int64_t o = w.o0; o < w.o1; o++, s += p->s_row)
        for (int64_t c = w.c0; c < w.c1; c += VL) {
            for (int64_t phase = 0; phase < S * S; phase++) {
                const REAL *from = s + phase * w.width + c - w.c0;
                REAL *tap = taps + (phase / S * R * S + phase % S) * VL;
#define TOTAL(i, j) K(load)(from + (i * KS + j) * p->s_step)
#define PUT_TAP(i, j, value) K(store)(tap + (i * R * S + j) * S * VL, value)
                BOTH_WAYS(gt, KS, R, half, 0, KS, R, TOTAL, PUT_TAP)
            }
            const int64_t at = p->turned ? (w.group * p->c + c) * p->o + o : (w.group * p->o + o) * p->c + c;
            K(put_taps)((REAL *)p->dw + at * TAPS, p->turned ? p->o * TAPS : TAPS, taps, TAPS, MIN(w.c1 - c, VL));
        }
}

COLD static void F(sum)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    const int64_t pieces = CEIL(KS * KS, p->squares);
    for (int64_t t = begin; t < end; t++) {
        if (p->parts) {
            const REAL *s = K(sum_near)(p, t, scratch, KS * KS, TRANSFORM_X, F(transform_dy));
            for (int64_t i = 0, blocks = CEIL(p->c, NR); i < blocks && p->complete; i++)
                F(put)(p, K(block_of)(p, t * blocks + i), s + i * p->s_block);
            continue;
        }
        K(block) w = K(block_of)(p, t / pieces);
        const int64_t e = t % pieces * p->squares;
        REAL *s = p->s ? (REAL *)p->s + t / pieces * p->s_block : (REAL *)scratch;
        if (p->complete) {
            w.to = (const char *)((REAL *)p->dw + ((w.group * p->o + w.o0) * p->c + w.c0) * TAPS);
            w.run = (w.c1 - w.c0) * TAPS * sizeof(REAL), w.row = p->c * TAPS * sizeof(REAL);
        }
        K(sum)(p, w, s, e, MIN(e + p->squares, KS * KS));
        if (p->complete)
            F(put)(p, w, s);
    }
}

COLD static void F(finish)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_winograd_args *p = args;
    for (int64_t t = begin; t < end; t++)
        F(put)(p, K(block_of)(p, t), K(all_parts)(p, t));
}

/* u of one vector of columns from its taps; the phases lie `phase` elements apart. */
static void F(transform_w)(const REAL *taps, int rotate, REAL *u, int64_t phase, int64_t step, int64_t width)
{
    K(vec) half[KS][R];
    for (int64_t f = 0; f < S * S; f++, u += phase) {
        const REAL *tap = taps + (f / S * R * S + f % S) * VL;
#define TAP(i, j) K(load)(tap + (rotate ? (R - 1 - i) * R * S + R - 1 - j : i * R * S + j) * S * VL)
/* Stores to k² places wait for their lines one after the other, unless those were asked for before. */
#define PUT_U(i, j, value)                                                                                     \
    K(store)(u + (i * KS + j) * step, value), __builtin_prefetch(u + (i * KS + j) * step + 8 * width, 1);
        BOTH_WAYS(g, R, KS, half, 0, R, KS, TAP, PUT_U)
    }
}

COLD static void F(conv)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    K(conv)(args, begin, end, scratch, KS, TAPS, TRANSFORM_X, F(transform_products), F(transform_w));
}

static void F(filter)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    K(filter)(args, begin, end, TAPS, KS * KS, F(transform_w));
}

#undef KS
#undef TAPS
#undef PUT
#undef ROOM
#undef TRANSFORM_X
