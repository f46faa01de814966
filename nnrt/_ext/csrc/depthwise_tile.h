/* Sums over the taps for up to COUNT outputs along W in registers, and the kernel around them. Included once per
 * dtype.
 *
 *     y[i, c] = relu?(Σ_taps x[tap + i, ..] w[tap, ..] + b[c] + residual[i, c]) */

#ifndef COUNT
#define COUNT 6
#define CHUNK 8 /* vectors of channels side by side */
/* Output i and where its input lies: three to a pointer, so that every address is [pointer + 0, 1 or 2 steps]. */
#define EACH_OUTPUT(X) X(0, p, 0) X(1, p, 1) X(2, p, 2) X(3, q, 0) X(4, q, 1) X(5, q, 2)
#define EACH_COUNT(X) X(1) X(2) X(3) X(4) X(5) X(6)

#define SUMS(i, p, m) V a##i = {0}, b##i = {0};
#define TIMES(i, p, m)                                                                                  \
    if (count > i) {                                                                                    \
        a##i += (edge ? K(load_lanes)(p + m * step, mask) : K(load)(p + m * step)) * w0;                \
        if (vectors > 1)                                                                                \
            b##i += K(load)(p + m * step + VL) * w1;                                                    \
    }
#define SPLAT_TIMES(i, p, m)                                                                            \
    if (count > i) {                                                                                    \
        V v = K(splat)(p[m * step + c]);                                                                \
        a##i += v * w0;                                                                                 \
        if (vectors > 1)                                                                                \
            b##i += v * w1;                                                                             \
    }
#define WINDOW(i, p, m) V x##i = count > i ? K(load_lanes)(p + m * step, window) : w0;
#define SPREAD_TIMES(i, p, m)                                                                           \
    if (count > i)                                                                                      \
        a##i += K(permute)(x##i, order) * w0;
#define ADD_TERM(i, p, m)                                                                               \
    if (count > i)                                                                                      \
        a##i += w0, b##i += w1;
#define ADD_RESIDUAL(i, p, m)                                                                           \
    if (count > i) {                                                                                    \
        const REAL *r = residual + i * s->y_step;                                                       \
        a##i += edge ? K(load_lanes)(r, mask) : K(load)(r);                                             \
        if (vectors > 1)                                                                                \
            b##i += K(load)(r + VL);                                                                    \
    }
#define NOT_NEGATIVE(i, p, m)                                                                           \
    if (count > i)                                                                                      \
        a##i = K(relu_vec)(a##i), b##i = K(relu_vec)(b##i);
#define WRITE(i, p, m)                                                                                  \
    if (count > i) {                                                                                    \
        if (edge)                                                                                       \
            K(store_lanes)(y + i * s->y_step, mask, a##i);                                              \
        else                                                                                            \
            K(store)(y + i * s->y_step, a##i);                                                          \
        if (vectors > 1)                                                                                \
            K(store)(y + i * s->y_step + VL, b##i);                                                     \
    }
#endif

/* What the tiles of a stretch share. */
typedef struct {
    const row_at *rows;
    int64_t n, taps;              /* rows of taps; taps in a row */
    int64_t x_tap, w_tap, w_in;   /* from tap to tap, and from one channel read to the next in w */
    int64_t x_step, y_step;       /* from output to output */
    int64_t in, window;           /* channels read by a lane; SPREAD: by a vector */
    int32_t relu;
    INT order[VBYTES / REAL_BYTES][VBYTES / REAL_BYTES]; /* SPREAD: which of the window's channels a lane reads */
} K(shared);

typedef INT K(order) __attribute__((vector_size(VBYTES), aligned(sizeof(INT)), may_alias));

INLINE K(vec) K(permute)(K(vec) v, K(order) order) { return __builtin_shuffle(v, (__typeof__(v < v))order); }

/* Lane l of a vector of groups reads channel c of its group: channel orders[c][l] of the window. */
static void K(orders)(INT (*orders)[VBYTES / REAL_BYTES], int64_t in, int64_t out)
{
    for (int64_t c = 0; c < in; c++)
        for (int64_t l = 0; l < VL; l++)
            orders[c][l] = (INT)((l / out * in + c) % VL);
}

#define TILE_ARGS                                                                                       \
    const K(shared) *s, const REAL *x, const REAL *w, const REAL *bias, const REAL *residual, REAL *y, int64_t last
/* last: lanes in use, when edge. */
INLINE void K(tile)(const int kind, const int count, const int vectors, const int edge, TILE_ARGS)
{
    typedef K(vec) V;
    const int64_t step = s->x_step;
    const K(mask) mask = K(lanes)(edge ? last : VL), window = K(lanes)(kind == NNRT_SPREAD ? s->window : VL);
    V w0 = {0}, w1 = {0};
    EACH_OUTPUT(SUMS)
    for (int64_t r = 0; r < s->n; r++) {
        const REAL *p = x + s->rows[r].x, *q = p + 3 * step, *u = w + s->rows[r].w;
        for (int64_t k = s->taps; k > 0; k--) {
            if (kind == NNRT_EACH) {
                w0 = K(load)(u);
                if (vectors > 1)
                    w1 = K(load)(u + VL);
                EACH_OUTPUT(TIMES)
            } else if (kind == NNRT_WIDE) {
                const REAL *v = u;
                for (int64_t c = 0; c < s->in; c++, v += s->w_in) {
                    w0 = K(load)(v);
                    if (vectors > 1)
                        w1 = K(load)(v + VL);
                    EACH_OUTPUT(SPLAT_TIMES)
                }
            } else {
                const REAL *v = u;
                EACH_OUTPUT(WINDOW)
                for (int64_t c = 0; c < s->in; c++, v += s->w_in) {
                    K(order) order = *(const K(order) *)s->order[c];
                    w0 = K(load)(v);
                    EACH_OUTPUT(SPREAD_TIMES)
                }
            }
            p += s->x_tap, q += s->x_tap, u += s->w_tap;
        }
    }
    if (bias) {
        w0 = edge ? K(load_lanes)(bias, mask) : K(load)(bias);
        if (vectors > 1)
            w1 = K(load)(bias + VL);
        EACH_OUTPUT(ADD_TERM)
    }
    if (residual) {
        EACH_OUTPUT(ADD_RESIDUAL)
    }
    if (s->relu) {
        EACH_OUTPUT(NOT_NEGATIVE)
    }
    EACH_OUTPUT(WRITE)
}

typedef void (*K(tile_fn))(TILE_ARGS);

#define TILES(n)                                                                                        \
    static void K(each_two_##n)(TILE_ARGS) { K(tile)(NNRT_EACH, n, 2, 0, s, x, w, bias, residual, y, last); } \
    static void K(each_one_##n)(TILE_ARGS) { K(tile)(NNRT_EACH, n, 1, 1, s, x, w, bias, residual, y, last); } \
    static void K(wide_two_##n)(TILE_ARGS) { K(tile)(NNRT_WIDE, n, 2, 0, s, x, w, bias, residual, y, last); } \
    static void K(wide_one_##n)(TILE_ARGS) { K(tile)(NNRT_WIDE, n, 1, 1, s, x, w, bias, residual, y, last); } \
    static void K(spread_##n)(TILE_ARGS) { K(tile)(NNRT_SPREAD, n, 1, 1, s, x, w, bias, residual, y, last); }
#define ROW_OF(n) {{K(each_one_##n), K(each_two_##n)}, {K(spread_##n), K(spread_##n)}, {K(wide_one_##n), K(wide_two_##n)}},
EACH_COUNT(TILES)
static const K(tile_fn) K(tiles)[COUNT][3][2] = {EACH_COUNT(ROW_OF)};
#undef TILES
#undef ROW_OF

/* A grid of outputs that read through the same taps: `across` of them x_step and y_step apart, taken as a tile, in
 * each of `down` lines. Lines are innermost: of what a line reads, the next one finds most in L1. */
typedef struct {
    int64_t across, down, x_down, y_down;
} K(grid);

static void K(run_tiles)(const K(shared) *s, int kind, const K(grid) *o, int64_t lanes, const REAL *x, const REAL *w,
                         const REAL *bias, const REAL *residual, REAL *y)
{
    const int64_t most = kind == NNRT_EACH ? CHUNK * VL : 2 * VL;
    for (int64_t c0 = 0; c0 < lanes; c0 += most)
        for (int64_t i = 0, n; i < o->across; i += n) {
            n = MIN(COUNT, o->across - i);
            for (int64_t j = 0; j < o->down; j++)
                for (int64_t c = c0, two; c < MIN(c0 + most, lanes); c += two ? 2 * VL : VL) {
                    const int64_t at = i * s->y_step + j * o->y_down + c, last = MIN(VL, lanes - c);
                    const REAL *from = x + i * s->x_step + j * o->x_down + (kind == NNRT_EACH ? c : 0);
                    two = kind != NNRT_SPREAD && lanes - c >= 2 * VL;
                    K(tiles)[n - 1][kind][two](s, from, w + c, bias ? bias + c : NULL, residual ? residual + at : NULL,
                                               y + at, last);
                }
        }
}

/* The outputs of one stretch of columns and `rows` rows of one of rows: at counts from the first of them in y, x
 * lies where their first tap reads. Channels of blocks b0..b1-1. */
static void K(run_grid)(const nnrt_depthwise_args *p, K(shared) *s, const stretch *t, int64_t rows, int64_t b0, int64_t b1,
                        const REAL *x, int64_t at)
{
    const nnrt_axis *h = &p->axis[1], *axis = &p->axis[2];
    const int64_t x_pixel = p->groups * p->in, y_pixel = p->groups * p->out;
    const REAL *w = (const REAL *)p->w + t->reach.k * p->lanes, *bias = p->b, *residual = p->residual;
    REAL *y = p->y;
    K(grid) o = {t->count, rows, h->step * axis->in * x_pixel, h->phases * axis->out * y_pixel};
    s->taps = t->reach.n;
    s->x_tap = axis->tap * x_pixel, s->w_tap = axis->k_step * p->lanes;
    s->x_step = axis->step * x_pixel, s->y_step = axis->phases * y_pixel;
#define PLACE(c) bias ? bias + (c) : NULL, residual ? residual + at + (c) : NULL, y + at + (c)
    if (p->repeat > 1 && axis->step == 1 && axis->phases == 1) {
        o.across /= p->repeat;
        s->x_step = s->y_step = p->lanes;
        K(run_tiles)(s, NNRT_EACH, &o, p->lanes, x, w, PLACE(0));
        s->x_step = s->y_step = x_pixel;
        x += o.across * p->lanes, at += o.across * p->lanes;
        o.across = t->count - o.across * p->repeat;
    }
    if (o.across < o.down && o.across < COUNT) {
        const K(grid) turned = {o.down, o.across, s->x_step, s->y_step};
        s->x_step = o.x_down, s->y_step = o.y_down;
        o = turned;
    }
    if (p->kind == NNRT_EACH) {
        K(run_tiles)(s, NNRT_EACH, &o, b1 - b0, x + b0, w + b0, PLACE(b0));
        return;
    }
    const int64_t taps = p->axis[0].taps * h->taps * axis->taps;
    s->in = p->in, s->w_in = taps * p->lanes;
    for (int64_t b = b0; b < b1; b++) {
        const int64_t g = b * p->together, n = MIN(p->together, p->groups - g);
        s->window = n * p->in;
        K(run_tiles)(s, (int)p->kind, &o, n * p->out, x + g * p->in, w + b * p->in * s->w_in, PLACE(g * p->out));
    }
#undef PLACE
}

/* Channels of blocks b0..b1-1 of rows first..last-1 of a plane of y. */
static void K(run_rows)(const nnrt_depthwise_args *p, K(shared) *s, row_at *reached, const stretch *down, int64_t downs,
                        const stretch *across, int64_t acrosses, int64_t plane, int64_t first, int64_t last, int64_t b0,
                        int64_t b1)
{
    const nnrt_axis *d = &p->axis[0], *h = &p->axis[1], *v = &p->axis[2];
    const int64_t x_pixel = p->groups * p->in, y_pixel = p->groups * p->out, x_row = v->in * x_pixel, y_row = v->out * y_pixel;
    const nnrt_reach deep = reach_of(d, plane % d->out);
    const int64_t from = (plane / d->out * d->in + deep.at) * h->in, to = plane * h->out;
    for (const stretch *t = down; t < down + downs; t++) {
        const int64_t i0 = first > t->first ? CEIL(first - t->first, h->phases) : 0;
        const int64_t i1 = last > t->first ? MIN(CEIL(last - t->first, h->phases), t->count) : 0;
        if (i1 <= i0)
            continue;
        s->n = 0;
        for (int64_t i = 0; i < deep.n; i++)
            for (int64_t j = 0; j < t->reach.n; j++) {
                const int64_t k = (deep.k + i * d->k_step) * h->taps + t->reach.k + j * h->k_step;
                reached[s->n++] = (row_at){(i * d->tap * h->in + j * h->tap) * x_row, k * v->taps * p->lanes};
            }
        for (const stretch *u = across; u < across + acrosses; u++)
            K(run_grid)(p, s, u, i1 - i0, b0, b1,
                        (const REAL *)p->x + (from + t->reach.at + i0 * h->step) * x_row + u->reach.at * x_pixel,
                        (to + t->first + i0 * h->phases) * y_row + u->first * y_pixel);
    }
    if (p->activation > NNRT_ACT_RELU) {
        const int64_t wide = p->kind == NNRT_EACH ? 1 : p->together * p->out;
        nnrt_gemm g = {.batch = 1, .m = (last - first) * v->out, .c_row = y_pixel, .beta = 1, .splits = 1};
        g.n = g.cols = MIN(b1 * wide, y_pixel) - b0 * wide;
        g.rows = g.m, g.activation = p->activation;
        g.c = (REAL *)p->y + (to + first) * y_row + b0 * wide;
        p->finish->fn(&g, 0, 1, NULL);
    }
}

/* scratch: stretches of rows and of columns, then rows of taps. */
static void K(depthwise_conv)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const nnrt_axis *d = &p->axis[0], *h = &p->axis[1], *v = &p->axis[2];
    const int64_t strips = CEIL(h->out, p->strip), units = p->batch * d->out * strips;
    stretch *down = scratch, *across = down + nnrt_stretches(h);
    row_at *reached = (row_at *)(across + nnrt_stretches(v));
    const int64_t downs = stretches_of(h, down), acrosses = stretches_of(v, across);
    K(shared) s = {.rows = reached, .relu = p->activation == NNRT_ACT_RELU};
    if (p->kind == NNRT_SPREAD)
        K(orders)(s.order, p->in, p->out);
    for (int64_t t = begin; t < end; t++) {
        const int64_t b0 = t / units * p->part, first = t % strips * p->strip;
        K(run_rows)(p, &s, reached, down, downs, across, acrosses, t % units / strips, first,
                    MIN(first + p->strip, h->out), b0, MIN(b0 + p->part, p->blocks));
    }
}
