/* The filter's gradient: sums over a rectangle of pixels in registers, and the kernel around them. Included once
 * per dtype.
 *
 *     sums[tap, c] += Σ_i x[tap + i, ..] dy[i, c] */

#ifndef SWEPT
#define SWEPT 8 /* most sums of a sweep */
/* Here i counts channels of x; vectors are channels, and in SPREAD two taps. */
#define SWEEP_SPLAT(i, p, m)                                                                            \
    if (count > i) {                                                                                    \
        V v = K(splat)(x[i]);                                                                           \
        a##i += v * d0;                                                                                 \
        if (vectors > 1)                                                                                \
            b##i += v * d1;                                                                             \
    }
#define ORDER(i, p, m) const K(order) o##i = kind == NNRT_SPREAD && count > i ? *(const K(order) *)s->order[i] : (K(order)){0};
#define SWEEP_SPREAD(i, p, m)                                                                           \
    if (count > i) {                                                                                    \
        a##i += K(permute)(v0, o##i) * d0;                                                              \
        if (vectors > 1)                                                                                \
            b##i += K(permute)(v1, o##i) * d0;                                                          \
    }
#define ADD_UP(i, p, m)                                                                                 \
    if (count > i) {                                                                                    \
        K(store)(sums + i * s->sum, K(load)(sums + i * s->sum) + a##i);                                 \
        if (vectors > 1)                                                                                \
            K(store)(sums + i * s->sum + second, K(load)(sums + i * s->sum + second) + b##i);           \
    }
#endif

typedef struct {
    int64_t rows, cols, x_row, x_col, dy_row, dy_col; /* the rectangle, and steps in it */
    int64_t step;           /* from tap to tap in x */
    int64_t sum, second;    /* from i to i and, SPREAD, from tap to tap in sums */
    int64_t window;         /* SPREAD: channels of x that a vector reads */
    const INT (*order)[VBYTES / REAL_BYTES];
} K(rectangle);

#define SWEEP_ARGS K(rectangle) *s, REAL *sums, const REAL *x0, const REAL *dy0, int64_t last
INLINE void K(sweep)(const int kind, const int count, const int vectors, const int edge, SWEEP_ARGS)
{
    typedef K(vec) V;
    const int64_t step = s->step, second = kind == NNRT_SPREAD ? s->second : VL;
    const K(mask) mask = K(lanes)(edge ? last : VL), window = K(lanes)(kind == NNRT_SPREAD ? s->window : VL);
    V d1 = {0}, w0 = d1, w1 = d1;
    EACH_OUTPUT(START)
    EACH_OUTPUT(ORDER)
    for (int64_t r = 0; r < s->rows; r++) {
        const REAL *x = x0 + r * s->x_row, *dy = dy0 + r * s->dy_row;
        for (int64_t j = s->cols; j > 0; j--, x += s->x_col, dy += s->dy_col) {
            const V d0 = edge ? K(load_lanes)(dy, mask) : K(load)(dy);
            if (vectors > 1 && kind != NNRT_SPREAD)
                d1 = K(load)(dy + VL);
            if (kind == NNRT_WIDE) {
                EACH_OUTPUT(SWEEP_SPLAT)
            } else {
                const V v0 = K(load_lanes)(x, window), v1 = vectors > 1 ? K(load_lanes)(x + step, window) : v0;
                EACH_OUTPUT(SWEEP_SPREAD)
            }
        }
    }
    EACH_OUTPUT(ADD_UP)
}

typedef void (*K(sweep_fn))(SWEEP_ARGS);

#define SWEEP_WIDE_TWO(n) K(sweep)(NNRT_WIDE, n, 2, 0, s, sums, x0, dy0, last);
#define SWEEP_WIDE_ONE(n) K(sweep)(NNRT_WIDE, n, 1, 0, s, sums, x0, dy0, last);
#define SWEEP_SPREAD_TWO(n) K(sweep)(NNRT_SPREAD, n, 2, 1, s, sums, x0, dy0, last);
#define SWEEP_SPREAD_ONE(n) K(sweep)(NNRT_SPREAD, n, 1, 1, s, sums, x0, dy0, last);
#undef DEFINE
#define DEFINE(n, F) static void K(F##_##n)(SWEEP_ARGS) { F(n) }
#if REAL_BYTES == 4 && VBYTES > 16
#define CHANNELS(X, Y) X(1, Y) X(2, Y) X(4, Y) X(6, Y)
#define ALL_CHANNELS(X, Y) X(1, Y) X(4, Y) X(8, Y)
#define LANES(X, Y) X(1, Y) X(2, Y) X(4, Y)
#else
#define CHANNELS(X, Y) X(1, Y) X(4, Y)
#define ALL_CHANNELS CHANNELS
#define LANES(X, Y) X(1, Y) X(4, Y)
#endif
ALL_CHANNELS(DEFINE, SWEEP_WIDE_ONE)
CHANNELS(DEFINE, SWEEP_WIDE_TWO)
LANES(DEFINE, SWEEP_SPREAD_TWO)
LANES(DEFINE, SWEEP_SPREAD_ONE)
enum { K(SWEEP_SPREAD), K(SWEEP_SPREAD_PAIR), K(SWEEP_WIDE), K(SWEEP_WIDE_PAIR) };
static const K(sweep_fn) K(sweeps)[][SWEPT + 1] = {
    {LANES(LIST, SWEEP_SPREAD_ONE)}, {LANES(LIST, SWEEP_SPREAD_TWO)}, {ALL_CHANNELS(LIST, SWEEP_WIDE_ONE)},
    {CHANNELS(LIST, SWEEP_WIDE_TWO)},
};
#undef DEFINE
#undef COUNTS
#undef FEW
#undef PAIRS
#undef LEAST
#undef PAST
#undef TEN
#undef CHANNELS
#undef ALL_CHANNELS
#undef LANES

/* The most of count that one sweep takes. */
static SMALL int64_t K(at_once)(int which, int64_t count)
{
    int64_t n = MIN(count, SWEPT);
    while (!K(sweeps)[which][n])
        n--;
    return n;
}

/* Outputs first..last-1 that read through tap k inside the input. */
static SMALL void K(seen)(const nnrt_axis *a, int64_t k, int64_t *first, int64_t *last)
{
    const int64_t offset = k * a->dilation - a->padding, most = a->in - 1 - offset;
    const int64_t low = ceil_div(-offset, a->stride), high = most < 0 ? 0 : most / a->stride + 1;
    *first = low > *first ? low : *first;
    *last = MIN(high, *last);
}

/* The pieces of a row of dy, one for each stretch: the taps of a row of the filter over rows of pixels. */
static SMALL void K(sweep_stretches)(const nnrt_depthwise_args *p, K(rectangle) *s, const stretch *stretches, int64_t count,
                               REAL *sums, const REAL *x, const REAL *dy, int64_t lanes,
                               const INT (*orders)[VBYTES / REAL_BYTES])
{
    const int64_t x_pixel = p->groups * p->in, y_pixel = p->groups * p->out;
    for (const stretch *t = stretches; t < stretches + count; t++) {
        const REAL *d = dy + t->first * y_pixel;
        s->cols = t->count;
        for (int64_t k = 0, taps; k < t->reach.n; k += taps) {
            REAL *to = sums + (t->reach.k + k) * p->lanes;
            const REAL *from = x + t->reach.at * x_pixel + k * s->step;
            taps = MIN(2, t->reach.n - k);
            const int which = taps > 1 ? K(SWEEP_SPREAD_PAIR) : K(SWEEP_SPREAD);
            for (int64_t c = 0, n; c < p->in; c += n) {
                n = K(at_once)(which, p->in - c);
                s->order = orders + c;
                K(sweeps)[which][n](s, to + c * s->sum, from, d, lanes);
            }
        }
    }
}

/* n elements of each pixel, `to_step` apart; up to a vector more is written behind the last. */
static void K(side_by_side)(REAL *to, int64_t to_step, const REAL *from, int64_t step, int64_t pixels, int64_t n)
{
    for (; pixels > 0; pixels--, to += to_step, from += step)
        for (int64_t l = 0; l < n; l += VL)
            K(store)(to + l, K(load_lanes)(from + l, K(lanes)(MIN(n - l, VL))));
}

/* A group that fills vectors: its channels are copied side by side, since each is read once for every tap and vector. */
static SMALL void K(sweep_group)(const nnrt_depthwise_args *p, K(rectangle) *s, REAL *room, REAL *sums, const REAL *x,
                           const REAL *dy, int64_t kd, int64_t first, int64_t last)
{
    const nnrt_axis *h = &p->axis[1], *across = &p->axis[2];
    const int64_t x_pixel = p->groups * p->in, y_pixel = p->groups * p->out;
    int64_t top = first * h->stride - h->padding, bottom = (last - 1) * h->stride - h->padding + (h->taps - 1) * h->dilation;
    top = top < 0 ? 0 : top, bottom = MIN(bottom, h->in - 1);
    REAL *dys = room, *xs = room + (last - first) * across->out * p->lanes;
    K(side_by_side)(dys, p->lanes, dy + first * across->out * y_pixel, y_pixel, (last - first) * across->out, p->out);
    K(side_by_side)(xs, p->in, x + top * across->in * x_pixel, x_pixel, (bottom - top + 1) * across->in, p->in);
    s->x_row = h->stride * across->in * p->in, s->x_col = across->stride * p->in;
    s->dy_row = across->out * p->lanes, s->dy_col = p->lanes;
    for (int64_t kh = 0; kh < h->taps; kh++)
        for (int64_t kw = 0; kw < across->taps; kw++) {
            int64_t r0 = first, r1 = last, c0 = 0, c1 = across->out;
            K(seen)(h, kh, &r0, &r1);
            K(seen)(across, kw, &c0, &c1);
            s->rows = r1 - r0, s->cols = c1 - c0;
            if (s->rows <= 0 || s->cols <= 0)
                continue;
            const int64_t line = r0 * h->stride - h->padding + kh * h->dilation - top;
            const int64_t at = c0 * across->stride - across->padding + kw * across->dilation;
            const REAL *from = xs + (line * across->in + at) * p->in;
            const REAL *d = dys + ((r0 - first) * across->out + c0) * p->lanes;
            REAL *to = sums + ((kd * h->taps + kh) * across->taps + kw) * p->lanes;
            for (int64_t c = 0, n; c < p->in; c += n) {
                n = K(at_once)(p->lanes > VL ? K(SWEEP_WIDE_PAIR) : K(SWEEP_WIDE), p->in - c);
                for (int64_t v = 0; v < p->lanes; v += 2 * VL) {
                    const int which = p->lanes - v > VL ? K(SWEEP_WIDE_PAIR) : K(SWEEP_WIDE);
                    for (int64_t i = 0, m; i < n; i += m) {
                        m = K(at_once)(which, n - i);
                        K(sweeps)[which][m](s, to + (c + i) * s->sum + v, from + c + i, d + v, VL);
                    }
                }
            }
        }
}

/* scratch: stretches of rows and of columns, then copies of a strip of dy and of what it reads. */
static SMALL void K(depthwise_filter)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const nnrt_axis *d = &p->axis[0], *h = &p->axis[1], *across = &p->axis[2];
    const int64_t strips = CEIL(h->out, p->strip), units = p->batch * d->out * strips, taps = h->taps * across->taps;
    const int64_t x_pixel = p->groups * p->in, y_pixel = p->groups * p->out;
    const int64_t x_row = across->in * x_pixel, y_row = across->out * y_pixel, each = p->in * taps * d->taps * p->lanes;
    stretch *stretches = scratch;
    REAL *room = LINES(stretches + nnrt_stretches(h) + nnrt_stretches(across));
    K(plane) in = {.pixel = x_pixel, .row = x_row, .h = *h, .v = *across};
    row_at *reached = (row_at *)(stretches + nnrt_stretches(h) + nnrt_stretches(across));
    K(shared) tile = {.rows = reached, .threes = reached + d->taps * h->taps, .filter = 1};
    nnrt_depthwise_args q = *p; /* EACH: sums in place of the filter and the bias */
    INT orders[VBYTES / REAL_BYTES][VBYTES / REAL_BYTES];
    if (p->kind == NNRT_SPREAD)
        K(orders)(orders, p->in, p->out);
    K(cut)(&in, stretches);
    for (int64_t t = begin; t < end; t++) {
        const int64_t split = t % p->splits, b0 = t / p->splits * p->part, b1 = MIN(b0 + p->part, p->blocks);
        REAL *sums = (REAL *)p->packed + split * p->packed_count;
        if (p->kind == NNRT_EACH)
            for (int64_t k = 0; k <= taps * d->taps; k++)
                memset(sums + k * p->lanes + b0, 0, (size_t)(CEIL(b1, VL) * VL - b0) * sizeof(REAL));
        else
            memset(sums + b0 * each, 0, (size_t)((b1 - b0) * each) * sizeof(REAL));
        for (int64_t u = units * split / p->splits; u < units * (split + 1) / p->splits; u++) {
            const int64_t plane = u / strips, first = u % strips * p->strip, last = MIN(first + p->strip, h->out);
            const REAL *dy = (const REAL *)p->y + plane * h->out * y_row;
            const nnrt_reach of_d = reach_of(d, plane % d->out);
            if (p->kind == NNRT_EACH) {
                q.w = sums, q.b = p->db ? sums + taps * d->taps * p->lanes : NULL;
                if (p->stream)
                    K(look_ahead)(p, &tile, of_d, plane, first, last, dy);
                in.x = (const REAL *)p->x + (plane / d->out * d->in + of_d.at) * h->in * x_row;
                if (p->chunk)
                    K(run_copied)(&q, &tile, &in, of_d, reached, stretches, first, last, b0, b1, (REAL *)dy,
                                  LINES(tile.threes + d->taps * taps));
                else {
                    in.x += b0;
                    K(run_rows)(&q, &tile, &in, of_d, reached, first, last, b0, b1, (REAL *)dy);
                }
                continue;
            }
            for (int64_t i = 0; i < of_d.n; i++) {
                const int64_t kd = of_d.k + i, at = plane / d->out * d->in + of_d.at + i * d->tap;
                K(rectangle) s = {.step = across->tap * x_pixel, .sum = taps * d->taps * p->lanes, .dy_row = y_row, .dy_col = y_pixel};
                in.x = (const REAL *)p->x + at * h->in * x_row;
                for (int64_t b = b0; b < b1; b++) {
                    if (p->kind == NNRT_WIDE) {
                        K(sweep_group)(p, &s, room, sums + b * each, in.x + b * p->in, dy + b * p->out, kd, first, last);
                        continue;
                    }
                    const int64_t g = b * p->together, n = MIN(p->together, p->groups - g);
                    s.x_row = h->stride * x_row, s.x_col = across->stride * x_pixel;
                    s.second = p->lanes, s.window = n * p->in;
                    for (int64_t kh = 0; kh < h->taps; kh++) {
                        int64_t r0 = first, r1 = last;
                        K(seen)(h, kh, &r0, &r1);
                        s.rows = r1 - r0;
                        if (s.rows <= 0)
                            continue;
                        const int64_t line = r0 * h->stride - h->padding + kh * h->dilation;
                        const int64_t k = (kd * h->taps + kh) * across->taps * p->lanes;
                        K(sweep_stretches)(p, &s, in.across, in.end - in.across, sums + k + b * each,
                                           in.x + line * x_row + g * p->in, dy + r0 * y_row + g * p->out, n * p->out,
                                           (const INT (*)[VBYTES / REAL_BYTES])orders);
                    }
                }
            }
        }
    }
}
