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
#define ORDER(i, p, m)                                                                                                \
    const K(order) o##i = kind == NNRT_SPREAD && count > i ? *(const K(order) *)s->order[i] : (K(order)){0};
#define SWEEP_SPREAD(i, p, m)                                                                           \
    if (count > i) {                                                                                    \
        a##i += K(permute)(v0, o##i, near) * d0;                                                              \
        if (vectors > 1)                                                                                \
            b##i += K(permute)(v1, o##i, near) * d0;                                                          \
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
    const char *next_x, *next_dy; /* what comes next, to be had in L2 by then: so many bytes for each vector */
    int64_t bytes_x, bytes_dy;
} K(rectangle);

#define SWEEP_ARGS K(rectangle) *s, REAL *sums, const REAL *x0, const REAL *dy0, int64_t last
INLINE void K(sweep)(const int kind, const int near, const int count, const int vectors, const int edge, SWEEP_ARGS)
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

#define SWEEP_WIDE_TWO(n) K(sweep)(NNRT_WIDE, 0, n, 2, 0, s, sums, x0, dy0, last);
#define SWEEP_WIDE_ONE(n) K(sweep)(NNRT_WIDE, 0, n, 1, 0, s, sums, x0, dy0, last);
#define SWEEP_SPREAD_TWO(n) K(sweep)(NNRT_SPREAD, 0, n, 2, 1, s, sums, x0, dy0, last);
#define SWEEP_SPREAD_ONE(n) K(sweep)(NNRT_SPREAD, 0, n, 1, 1, s, sums, x0, dy0, last);
#define SWEEP_NEAR_TWO(n) K(sweep)(NNRT_SPREAD, 1, n, 2, 1, s, sums, x0, dy0, last);
#define SWEEP_NEAR_ONE(n) K(sweep)(NNRT_SPREAD, 1, n, 1, 1, s, sums, x0, dy0, last);
#undef DEFINE
#define DEFINE(n, F) static void K(F##_##n)(SWEEP_ARGS) { F(n) }
#if REAL_BYTES == 4 && VBYTES > 16
#define ALL_CHANNELS(X, Y) X(1, Y) X(4, Y) X(8, Y)
#define LANES(X, Y) X(1, Y) X(2, Y) X(4, Y)
#else
#define ALL_CHANNELS CHANNELS
#define LANES(X, Y) X(1, Y) X(4, Y)
#endif
#define CHANNELS(X, Y) X(1, Y) X(4, Y)
ALL_CHANNELS(DEFINE, SWEEP_WIDE_ONE)
CHANNELS(DEFINE, SWEEP_WIDE_TWO)
LANES(DEFINE, SWEEP_SPREAD_TWO)
LANES(DEFINE, SWEEP_SPREAD_ONE)
#if VBYTES == 32
LANES(DEFINE, SWEEP_NEAR_TWO)
LANES(DEFINE, SWEEP_NEAR_ONE)
#endif
enum { K(SWEEP_SPREAD), K(SWEEP_SPREAD_PAIR), K(SWEEP_NEAR), K(SWEEP_NEAR_PAIR), K(SWEEP_WIDE), K(SWEEP_WIDE_PAIR) };
static const K(sweep_fn) K(sweeps)[][SWEPT + 1] = {
    [K(SWEEP_SPREAD)] = {LANES(LIST, SWEEP_SPREAD_ONE)}, [K(SWEEP_SPREAD_PAIR)] = {LANES(LIST, SWEEP_SPREAD_TWO)},
#if VBYTES == 32
    [K(SWEEP_NEAR)] = {LANES(LIST, SWEEP_NEAR_ONE)}, [K(SWEEP_NEAR_PAIR)] = {LANES(LIST, SWEEP_NEAR_TWO)},
#endif
    [K(SWEEP_WIDE)] = {ALL_CHANNELS(LIST, SWEEP_WIDE_ONE)}, [K(SWEEP_WIDE_PAIR)] = {CHANNELS(LIST, SWEEP_WIDE_TWO)},
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
static SMALL void K(sweep_stretches)(const nnrt_depthwise_args *p, K(rectangle) *s, const stretch *stretches,
                                     int64_t count, REAL *sums, const REAL *x, const REAL *dy, int64_t lanes,
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
            const int which = (NEAR(p->in, p->out) ? K(SWEEP_NEAR) : K(SWEEP_SPREAD)) + (int)(taps > 1);
            for (int64_t c = 0, n; c < p->in; c += n) {
                n = K(at_once)(which, p->in - c);
                s->order = orders + c;
                K(sweeps)[which][n](s, to + c * s->sum, from, d, lanes);
            }
        }
    }
}

/* Three taps along a row of stride 1: each element of x is read once for the three outputs that it meets, dy0[0], [1]
 * and [2], of which the first met it through the last tap. */
#define SLIDE_START(i) V a##i = {0}, b##i = {0}, c##i = {0};
#define SLIDE_ORDER(i) const K(order) o##i = spread && count > i ? *(const K(order) *)s->order[i] : (K(order)){0};
#define SLIDE_SUM(i)                                                                                    \
    if (count > i) {                                                                                    \
        const V v = spread ? K(permute)(window, o##i, 0) : K(splat)(x[i]);                              \
        a##i = K(add_product)(a##i, v, d0);                                                             \
        b##i = K(add_product)(b##i, v, d1);                                                             \
        c##i = K(add_product)(c##i, v, d2);                                                             \
    }
#define SLIDE_ADD(i)                                                                                    \
    if (count > i) {                                                                                    \
        REAL *to = sums + i * s->sum;                                                                   \
        K(store)(to, K(load)(to) + a##i);                                                               \
        K(store)(to + tap, K(load)(to + tap) + b##i);                                                   \
        K(store)(to + 2 * tap, K(load)(to + 2 * tap) + c##i);                                           \
    }
#define EACH_SLIDE(X) X(0) X(1) X(2) X(3)

INLINE void K(slide_body)(const int spread, const int count, const K(rectangle) *s, REAL *sums, const REAL *x0,
                          const REAL *dy0, int64_t tap)
{
    typedef K(vec) V;
    EACH_SLIDE(SLIDE_START)
    EACH_SLIDE(SLIDE_ORDER)
    for (int64_t r = 0; r < s->rows; r++) {
        const REAL *x = x0 + r * s->x_row, *dy = dy0 + r * s->dy_row;
        V d2 = K(load)(dy), d1 = K(load)(dy + s->dy_col), d0;
        dy += 2 * s->dy_col;
        for (int64_t j = s->cols; j > 0; j--, x += s->x_col, dy += s->dy_col) {
            d0 = K(load)(dy);
            const V window = spread ? K(load)(x) : d0;
            EACH_SLIDE(SLIDE_SUM)
            d2 = d1, d1 = d0;
        }
    }
    EACH_SLIDE(SLIDE_ADD)
}

static __attribute__((hot, noinline)) void K(slide)(int64_t count, K(rectangle) *s, REAL *sums, const REAL *x0,
                                                    const REAL *dy0, int64_t tap)
{
    for (; count >= 4; count -= 4, sums += 4 * s->sum, x0 += 4)
        K(slide_body)(0, 4, s, sums, x0, dy0, tap);
    for (; count > 0; count--, sums += s->sum, x0++)
        K(slide_body)(0, 1, s, sums, x0, dy0, tap);
}

static __attribute__((hot, noinline)) void K(slide_spread)(int64_t count, K(rectangle) *s, REAL *sums, const REAL *x0,
                                                           const REAL *dy0, int64_t tap)
{
    for (; count >= 4 && SPREAD_SLIDES; count -= 4, sums += 4 * s->sum, s->order += 4)
        K(slide_body)(1, 4, s, sums, x0, dy0, tap);
    for (; count >= 2 && SPREAD_SLIDES; count -= 2, sums += 2 * s->sum, s->order += 2)
        K(slide_body)(1, 2, s, sums, x0, dy0, tap);
    for (; count > 0 && SPREAD_SLIDES; count--, sums += s->sum, s->order++)
        K(slide_body)(1, 1, s, sums, x0, dy0, tap);
}

/* n elements of each pixel, `to_step` apart; up to a vector more is written behind the last. */
static __attribute__((hot, noinline)) void K(side_by_side)(REAL *to, int64_t to_step, const REAL *from, int64_t step,
                                                           int64_t pixels, int64_t n)
{
    const int64_t whole = n / VL * VL;
    const K(mask) mask = K(lanes)(n - whole);
    for (; pixels > 0; pixels--, to += to_step, from += step) {
        for (int64_t l = 0; l < whole; l += VL)
            K(store)(to + l, K(load)(from + l));
        if (whole < n)
            K(store)(to + whole, K(load_lanes)(from + whole, mask));
    }
}

/* Blocks, of groups that fill vectors as many as share a cache line: their channels are copied side by side, since each
 * is read once for every tap and vector. totals: sums of dy, or NULL. */
static SMALL void K(sweep_groups)(const nnrt_depthwise_args *p, K(rectangle) *s,
                                  const INT (*orders)[VBYTES / REAL_BYTES], REAL *room, REAL *sums, REAL *totals,
                                  const REAL *x, const REAL *dy, int64_t blocks, int64_t groups, int64_t kd,
                                  int64_t first, int64_t last)
{
    const nnrt_axis *h = &p->axis[1], *across = &p->axis[2];
    const int64_t x_pixel = p->groups * p->in, y_pixel = p->groups * p->out, each = s->sum * p->in;
    const int64_t in = p->together * p->in;
    int64_t top = first * h->stride - h->padding;
    int64_t bottom = (last - 1) * h->stride - h->padding + (h->taps - 1) * h->dilation;
    top = top < 0 ? 0 : top, bottom = MIN(bottom, h->in - 1);
    /* Sliding, rows of dy have zeros around them: every pixel of x meets three. */
    const int sliding = nnrt_slides(across);
    const int64_t around = sliding ? MAX(2 - across->padding, 0) : 0, wide = across->out + 2 * around;
    REAL *dys = room, *xs = room + (last - first) * wide * blocks * p->lanes;
    s->x_col = across->stride * blocks * in, s->x_row = h->stride * across->in * blocks * in;
    s->dy_col = blocks * p->lanes, s->dy_row = wide * s->dy_col;
    for (int64_t r = first; r < last; r++) {
        REAL *row = dys + (r - first) * s->dy_row;
        memset(row, 0, (size_t)(around * s->dy_col) * sizeof(REAL));
        K(side_by_side)(row + around * s->dy_col, s->dy_col, dy + r * across->out * y_pixel, y_pixel, across->out,
                        groups * p->out);
        memset(row + (wide - around) * s->dy_col, 0, (size_t)(around * s->dy_col) * sizeof(REAL));
    }
    K(side_by_side)(xs, blocks * in, x + top * across->in * x_pixel, x_pixel, (bottom - top + 1) * across->in,
                    groups * p->in);
    for (int64_t v = 0; v < s->dy_col && totals; v += VL) {
        K(vec) total = K(load)(totals + v);
        for (const REAL *d = dys + v; d < xs; d += s->dy_col)
            total += K(load)(d);
        K(store)(totals + v, total);
    }
    for (int64_t kh = 0; kh < h->taps; kh++) {
        int64_t r0 = first, r1 = last;
        K(seen)(h, kh, &r0, &r1);
        s->rows = r1 - r0, s->cols = across->in;
        if (s->rows <= 0)
            continue;
        const REAL *lines = xs + (r0 * h->stride - h->padding + kh * h->dilation - top) * across->in * blocks * in;
        const REAL *ds = dys + (r0 - first) * s->dy_row;
        REAL *to = sums + (kd * h->taps + kh) * across->taps * p->lanes;
        if (sliding) {
            for (int64_t v = 0; v < s->dy_col; v += VL) {
                FETCH(s->next_x, s->bytes_x, 0);
                FETCH(s->next_dy, s->bytes_dy, 0);
                const REAL *met = ds + (across->padding - 2 + around) * s->dy_col + v;
                s->order = orders;
                (p->kind == NNRT_WIDE ? K(slide) : K(slide_spread))(p->in, s, to + v / p->lanes * each + v % p->lanes,
                                                                    lines + v / p->lanes * in, met, p->lanes);
            }
            continue;
        }
        for (int64_t kw = 0; kw < across->taps; kw++, to += p->lanes) {
            int64_t c0 = 0, c1 = across->out;
            K(seen)(across, kw, &c0, &c1);
            s->cols = c1 - c0;
            if (s->cols <= 0)
                continue;
            const REAL *from = lines + (c0 * across->stride - across->padding + kw * across->dilation) * blocks * in;
            for (int64_t g = 0; g < blocks; g++)
                for (int64_t c = 0, n; c < p->in; c += n) {
                    n = K(at_once)(p->lanes > VL ? K(SWEEP_WIDE_PAIR) : K(SWEEP_WIDE), p->in - c);
                    for (int64_t v = 0; v < p->lanes; v += 2 * VL) {
                        const int which = p->lanes - v > VL ? K(SWEEP_WIDE_PAIR) : K(SWEEP_WIDE);
                        for (int64_t i = 0, m; i < n; i += m) {
                            m = K(at_once)(which, n - i);
                            K(sweeps)[which][m](s, to + g * each + (c + i) * s->sum + v, from + g * p->in + c + i,
                                                ds + c0 * s->dy_col + g * p->lanes + v, VL);
                        }
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
        REAL *totals = p->kind != NNRT_EACH && p->chunk && p->db ? sums + p->blocks * each : NULL;
        if (totals)
            memset(totals + b0 * p->lanes, 0, (size_t)((b1 - b0) * p->lanes) * sizeof(REAL));
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
                K(rectangle) s = {.step = across->tap * x_pixel, .sum = taps * d->taps * p->lanes,
                                  .dy_row = y_row, .dy_col = y_pixel};
                in.x = (const REAL *)p->x + at * h->in * x_row;
                if (p->stream) {
                    const int64_t calls = h->taps * p->blocks * CEIL(p->lanes, VL), rows = last - first;
                    s.next_dy = (const char *)(dy + last * y_row);
                    s.next_x = (const char *)(in.x + MIN((last - 1) * h->stride - h->padding
                                                         + (h->taps - 1) * h->dilation + 1, h->in) * x_row);
                    s.bytes_x = rows * h->stride * x_row * (int64_t)sizeof(REAL) / calls;
                    s.bytes_dy = rows * y_row * (int64_t)sizeof(REAL) / calls;
                }
                for (int64_t b = b0, count; b < b1 && p->chunk; b += count) {
                    const int64_t g = b * p->together;
                    count = MIN(p->chunk, b1 - b);
                    K(sweep_groups)(p, &s, (const INT (*)[VBYTES / REAL_BYTES])orders, room, sums + b * each,
                                    totals ? totals + b * p->lanes : NULL, in.x + g * p->in, dy + g * p->out, count,
                                    MIN(count * p->together, p->groups - g), kd, first, last);
                }
                for (int64_t b = b0; b < b1 && !p->chunk; b++) {
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
