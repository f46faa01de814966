/* Grids of outputs made of tiles, the planes that they read, copied or in place, and the kernel over them. Included
 * once per dtype after depthwise_tile.h. */

/* The first of the fewest parts of count, each at most `most`, that are as even as can be. */
static int64_t K(even)(int64_t count, int64_t most) { return CEIL(count, CEIL(count, most)); }

/* A grid of outputs that read through the same taps: `across` of them x_step and y_step apart, taken as a tile, in
 * each of `down` lines. Lines are innermost: of what a line reads, the next one finds most in L1. */
typedef struct {
    int64_t across, down, x_down, y_down;
} K(grid);

static void K(run_tiles)(K(shared) *s, int kind, const K(grid) *o, int64_t lanes, const REAL *x, const REAL *w,
                         const REAL *bias, REAL *y)
{
    const int64_t shared = s->x_tap == s->x_step ? s->taps / 3 : 0;
    if (kind == NNRT_EACH) {
        s->end = s->ones = s->threes + shared * s->n;
        for (int64_t r = 0; r < s->n; r++)
            for (int64_t k = 0; k < s->taps; k++) {
                const row_at at = {s->rows[r].x + k * s->x_tap, s->rows[r].w + k * s->w_tap};
                if (k >= 3 * shared)
                    *s->end++ = at;
                else if (k % 3 == 0)
                    s->threes[r * shared + k / 3] = at;
            }
    }
    /* Tile after tile along a row: what is read lies side by side, and the hardware sees that. */
    const int64_t most = shared || s->filter || lanes < 2 * VL ? COUNT : COUNT - 2;
    const int runs = kind == NNRT_EACH && s->runs && !shared && !s->filter && s->end - s->ones <= 9
                     && K(tiles)[K(EACH_RUN)][8];
    const K(tile_fn) *const sizes = K(tiles)[shared || s->filter ? K(EACH_ALL) : K(EACH_PAIR)];
    s->across = o->across;
    for (int64_t i0 = 0, wide; i0 < o->across; i0 += wide) {
        wide = o->across - i0;
        if (kind == NNRT_EACH && wide > most && !runs) {
            const int64_t left = wide; /* a number that has a tile, and leaves one */
            wide = K(even)(left, most);
            while (wide < most && !(sizes[wide] && (left - wide > most || sizes[left - wide])))
                wide++;
        }
        for (int64_t c = 0, width; c < lanes; c += width) {
            const int64_t rest = lanes - c, i1 = MIN(i0 + wide, o->across);
            int which = kind == NNRT_SPREAD ? K(SPREAD) + s->near : rest >= 2 * VL ? K(WIDE_PAIR) : K(WIDE);
            width = MIN(rest, rest >= 2 * VL ? 2 * VL : VL);
            if (kind == NNRT_EACH) {
                which = rest >= VL ? K(EACH_ALL) : K(EACH_ONE);
                width = rest >= VL ? MIN(CHUNK * VL, rest / VL * VL) : rest;
                if (runs && rest >= 4 * VL) {
                    const int64_t n = rest >= 8 * VL ? 8 : 4;
                    width = n < 8 ? n * VL : MIN(RUN_CHUNK * VL, rest / (8 * VL) * 8 * VL);
                    for (int64_t j = 0; j < o->down; j++)
                        K(tiles)[s->past ? K(EACH_BYPASS) : K(EACH_RUN)][n](
                            s, x + j * o->x_down + c, w + c, bias ? bias + c : NULL, y + j * o->y_down + c, width);
                    continue;
                }
                /* Without inputs in common, whole cache lines are better than more outputs. */
                if (s->filter)
                    which += K(FILTER_ONE) - K(EACH_ONE);
                else if (width >= 2 * VL && !shared)
                    which = K(EACH_PAIR), width = width / (2 * VL) * 2 * VL;
            }
            const int64_t each = which == K(EACH_ALL) || which == K(FILTER_ALL) ? COUNT : COUNT - 2;
            for (int64_t i = i0, n; i < i1; i += n) {
                n = K(even)(i1 - i, kind == NNRT_EACH       ? each
                                    : which == K(WIDE)      ? WIDE_COUNT
                                    : which == K(WIDE_PAIR) ? PAIR_COUNT
                                                            : SPREAD_COUNT);
                while (!K(tiles)[which][n])
                    n--;
                for (int64_t j = 0; j < o->down; j++) {
                    if (s->next_x && kind != NNRT_EACH)
                        K(ahead)(s, n * width * REAL_BYTES, 0);
                    int64_t pixels = SPREAD_SLIDES && s->soon_bytes ? n + n / 8 : 0;
                    for (; pixels > 0; pixels--, s->soon += s->soon_step)
                        for (int64_t at = 0; at < s->soon_bytes; at += 64)
                            __builtin_prefetch(s->soon + at, 0, 2);
                    K(tiles)[which][n](s, x + i * s->x_step + j * o->x_down + (kind == NNRT_EACH ? c : 0), w + c,
                                       bias ? bias + c : NULL, y + i * s->y_step + j * o->y_down + c, width);
                }
            }
        }
    }
}

/* The plane that is read: x itself, or a copy of what some rows of outputs read of some channels. */
typedef struct {
    const REAL *x;
    int64_t pixel, row;
    nnrt_axis h, v;
    const stretch *down, *across, *end; /* of rows, then of columns */
} K(plane);

static void K(cut)(K(plane) *in, stretch *room)
{
    in->down = room;
    in->across = in->down + stretches_of(&in->h, room);
    in->end = in->across + stretches_of(&in->v, room + (in->across - in->down));
}

/* The outputs of one stretch of columns and `rows` rows of one of rows: y counts from the first of them, x lies where
 * their first tap reads. Channels of blocks b0..b1-1; EACH: x is at b0. */
static SMALL void K(run_grid)(const nnrt_depthwise_args *p, K(shared) *s, const K(plane) *in, const stretch *t,
                              int64_t rows, int64_t b0, int64_t b1, const REAL *x, REAL *y)
{
    const nnrt_axis *h = &in->h, *v = &in->v;
    const int64_t y_pixel = p->groups * p->out;
    const REAL *w = (const REAL *)p->w + t->reach.k * p->lanes, *bias = p->b;
    K(grid) o = {t->count, rows, h->step * in->row, h->phases * v->out * y_pixel};
    s->taps = t->reach.n;
    s->x_tap = v->tap * in->pixel, s->w_tap = v->k_step * p->lanes;
    s->x_step = v->step * in->pixel, s->y_step = v->phases * y_pixel;
#define PLACE(c) bias ? bias + (c) : NULL, y + (c)
    if (p->repeat > 1 && v->step == 1 && v->phases == 1) {
        o.across /= p->repeat;
        s->x_step = s->y_step = p->lanes;
        K(run_tiles)(s, NNRT_EACH, &o, p->lanes, x, w, PLACE(0));
        s->x_step = s->y_step = y_pixel;
        x += o.across * p->lanes, y += o.across * p->lanes;
        o.across = t->count - o.across * p->repeat;
    }
    if (o.across < o.down && o.across < COUNT) {
        const K(grid) turned = {o.down, o.across, s->x_step, s->y_step};
        s->x_step = o.x_down, s->y_step = o.y_down;
        o = turned;
    }
    if (s->x_tap == -s->x_step) { /* the taps from the last to the first */
        x += (s->taps - 1) * s->x_tap, w += (s->taps - 1) * s->w_tap;
        s->x_tap = -s->x_tap, s->w_tap = -s->w_tap;
    }
    if (p->kind == NNRT_EACH) {
        K(run_tiles)(s, NNRT_EACH, &o, b1 - b0, x, w + b0, PLACE(b0));
        return;
    }
    const int64_t taps = p->axis[0].taps * h->taps * v->taps;
    s->in = p->in, s->w_in = taps * p->lanes;
    for (int64_t b = b0; b < b1; b++) {
        const int64_t g = b * p->together, n = MIN(p->together, p->groups - g);
        s->window = n * p->in;
        K(run_tiles)(s, (int)p->kind, &o, n * p->out, x + g * p->in, w + b * p->in * s->w_in, PLACE(g * p->out));
    }
#undef PLACE
}

/* Rows first..last-1 of y: a plane of which row 0 lies at y. */
static SMALL void K(run_rows)(const nnrt_depthwise_args *p, K(shared) *s, const K(plane) *in, nnrt_reach deep,
                              row_at *reached, int64_t first, int64_t last, int64_t b0, int64_t b1, REAL *y)
{
    const nnrt_axis *d = &p->axis[0], *h = &in->h, *v = &in->v;
    const int64_t y_pixel = p->groups * p->out;
    for (const stretch *t = in->down; t < in->across; t++) {
        const int64_t i0 = first > t->first ? CEIL(first - t->first, h->phases) : 0;
        const int64_t i1 = last > t->first ? MIN(CEIL(last - t->first, h->phases), t->count) : 0;
        if (i1 <= i0)
            continue;
        s->n = 0;
        for (int64_t i = 0; i < deep.n; i++)
            for (int64_t j = 0; j < t->reach.n; j++) {
                const int64_t k = (deep.k + i * d->k_step) * h->taps + t->reach.k + j * h->k_step;
                reached[s->n++] = (row_at){(i * d->tap * h->in + j * h->tap) * in->row, k * v->taps * p->lanes};
            }
        for (const stretch *u = in->across; u < in->end; u++)
            K(run_grid)(p, s, in, u, i1 - i0, b0, b1,
                        in->x + (t->reach.at + i0 * h->step) * in->row + u->reach.at * in->pixel,
                        y + ((t->first + i0 * h->phases) * v->out + u->first) * y_pixel);
    }
}

/* Makes `of` the inputs that outputs first..last-1 of an axis read, also those in the padding; returns the first. */
static int64_t K(cut_out)(nnrt_axis *of, const nnrt_axis *a, int64_t first, int64_t last)
{
    const int64_t reach = (a->taps - 1) * a->dilation;
    int64_t low = first * a->stride - a->padding, high = (last - 1) * a->stride - a->padding + reach + 1;
    *of = *a;
    of->padding = 0;
    if (a->tap < 0) { /* transposed */
        low = ceil_div(first + a->padding - reach, a->stride), high = ceil_div(last + a->padding, a->stride);
        of->padding = first + a->padding - low * a->stride;
    }
    of->in = high > low ? high - low : 0, of->out = last - first;
    return low;
}

/* Channels c..c+n-1 of the plane's pixels from (top, left) on, `pixel` apart and side by
 * side; outside nothing is written. */
static __attribute__((noinline, hot)) void K(copy_out)(REAL *to, const int64_t pixel, const K(plane) *in, int64_t top,
                                                       int64_t high, int64_t left, int64_t wide, int64_t c,
                                                       const int64_t n)
{
    const int64_t step = in->pixel, whole = n / VL * VL, begin = MAX(-left, 0), end = MIN(in->v.in - left, wide);
    const K(mask) mask = K(lanes)(n - whole);
    for (int64_t i = MAX(top, 0); i < MIN(top + high, in->h.in); i++) {
        const REAL *from = in->x + i * in->row + (left + begin) * step + c;
        REAL *p = to + ((i - top) * wide + begin) * pixel;
        for (int64_t j = begin; j < end; j++, p += pixel, from += step) {
            for (int64_t l = 0; l < whole; l += VL)
                K(store)(p + l, K(load)(from + l));
            if (whole < n)
                K(store)(p + whole, K(load_lanes)(from + whole, mask));
        }
    }
}

/* As run_rows, on copies of what the rows read and, EACH, of their taps, `chunk` channels at a time: side
 * by side neither pixels nor taps compete for the same lines of L1, as they do where they are a power of
 * two apart, and there are no borders. */
static void K(run_copied)(const nnrt_depthwise_args *p, K(shared) *s, const K(plane) *in, nnrt_reach deep,
                          row_at *reached, stretch *stretches, int64_t first, int64_t last, int64_t b0, int64_t b1,
                          REAL *y, REAL *room)
{
    const int64_t y_row = in->v.out * p->groups * p->out, channels = p->together * p->in, blocks = p->chunk / channels;
    nnrt_depthwise_args q = *p;
    K(plane) copy = {.pixel = p->chunk};
    const K(plane) taps = {.x = p->w, .pixel = p->lanes, .h.in = 1, .v.in = in->h.taps * in->v.taps};
    const int64_t top = K(cut_out)(&copy.h, &in->h, first, last), left = K(cut_out)(&copy.v, &in->v, 0, in->v.out);
    const int64_t wide = copy.v.in | 1; /* rows, too */
    REAL *const at = room + taps.v.in * p->chunk;
    copy.x = at, copy.row = wide * p->chunk;
    K(cut)(&copy, stretches);
    if (!s->cleared)
        memset(room, 0, (size_t)(taps.v.in + copy.h.in * wide) * p->chunk * sizeof(REAL));
    s->cleared = p->strip >= in->h.out;
    for (int64_t b = b0; b < b1; b += blocks) {
        const int64_t n = MIN(blocks, b1 - b);
        K(copy_out)(at, p->chunk, in, top, copy.h.in, left, wide, b * channels,
                    MIN(n * channels, in->pixel - b * channels));
        if (p->kind == NNRT_EACH && !s->filter) {
            K(copy_out)(room, p->chunk, &taps, 0, 1, 0, taps.v.in, b, n);
            q.w = room - b, q.lanes = p->chunk;
        } else if (p->kind != NNRT_EACH) {
            copy.x = at - b * channels;
            /* the next groups of these rows, or the first ones of the next rows */
            s->soon = (const char *)(in->x + MAX(top, 0) * in->row + (b + blocks) * channels);
            if (b + blocks >= b1)
                s->soon = (const char *)(in->x + (top + copy.h.in - (in->h.taps - 1) * in->h.dilation) * in->row
                                         + b0 * channels);
            s->soon_step = in->pixel * (int64_t)sizeof(REAL);
            s->soon_bytes = p->stream ? p->chunk * (int64_t)sizeof(REAL) : 0;
        }
        K(run_rows)(&q, s, &copy, deep, reached, 0, last - first, b, b + n, y + first * y_row);
    }
}

/* What comes after rows first..last-1 of a plane. */
static SMALL void K(look_ahead)(const nnrt_depthwise_args *p, K(shared) *s, nnrt_reach deep, int64_t plane,
                                int64_t first, int64_t last, const REAL *y)
{
    const nnrt_axis *d = &p->axis[0], *h = &p->axis[1], *v = &p->axis[2];
    const int64_t y_row = v->out * p->groups * p->out, x_row = v->in * p->groups * p->in;
    nnrt_axis rows;
    const int64_t top = K(cut_out)(&rows, h, first, last), deepest = deep.at + MAX((deep.n - 1) * d->tap, 0);
    s->next_y = (const char *)(y + last * y_row);
    s->next_x = (const char *)((const REAL *)p->x
                               + ((plane / d->out * d->in + deepest) * h->in + MIN(top + rows.in, h->in)) * x_row);
    s->lines_x = CEIL(d->in * h->in * x_row, d->out * h->out * y_row);
}

/* The residual and the activation that the tile does not fuse, of rows first..last-1 of the plane at y. */
static SMALL void K(finish_rows)(const nnrt_depthwise_args *p, REAL *y, int64_t first, int64_t last, int64_t b0,
                                 int64_t b1)
{
    if (!p->residual && p->activation <= NNRT_ACT_RELU)
        return;
    const int64_t across = p->axis[2].out, y_pixel = p->groups * p->out;
    const int64_t wide = p->kind == NNRT_EACH ? 1 : p->together * p->out;
    const int64_t at = first * across * y_pixel + b0 * wide;
    nnrt_gemm g = {.batch = 1, .m = (last - first) * across, .c_row = y_pixel, .beta = 1, .splits = 1};
    g.n = g.cols = MIN(b1 * wide, y_pixel) - b0 * wide;
    g.rows = g.m, g.activation = p->activation, g.c = y + at;
    if (p->residual)
        g.residual = (const REAL *)p->residual + (y - (REAL *)p->y) + at;
    g.residual_row = y_pixel, g.residual_col = 1;
    p->finish->fn(&g, 0, 1, NULL);
}

/* scratch: stretches of rows and of columns, rows of taps, taps, a copy. */
static SMALL void K(depthwise_conv)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const nnrt_axis *d = &p->axis[0], *h = &p->axis[1], *v = &p->axis[2];
    const int64_t strips = CEIL(h->out, p->strip), units = p->batch * d->out * strips, y_pixel = p->groups * p->out;
    stretch *stretches = scratch;
    row_at *reached = (row_at *)(stretches + nnrt_stretches(h) + nnrt_stretches(v));
    K(shared) s = {.rows = reached, .threes = reached + d->taps * h->taps, .past = p->past,
                   .relu = p->activation == NNRT_ACT_RELU && !p->residual,
                   .runs = v->stride > 1 && y_pixel * sizeof(REAL) % (p->stream ? 128 : 2048) == 0};
    K(plane) in = {.pixel = p->groups * p->in, .row = v->in * p->groups * p->in, .h = *h, .v = *v};
    if (p->kind == NNRT_SPREAD) {
        K(orders)(s.order, p->in, p->out);
        s.near = NEAR(p->in, p->out);
    }
    if (!p->chunk)
        K(cut)(&in, stretches);
    for (int64_t t = begin; t < end; t++) {
        const int64_t b0 = t / units * p->part, b1 = MIN(b0 + p->part, p->blocks), plane = t % units / strips;
        const int64_t first = t % strips * p->strip, last = MIN(first + p->strip, h->out);
        const nnrt_reach deep = reach_of(d, plane % d->out);
        REAL *y = (REAL *)p->y + plane * h->out * v->out * y_pixel;
        if (p->stream && !p->chunk)
            K(look_ahead)(p, &s, deep, plane, first, last, y);
        in.x = (const REAL *)p->x + (plane / d->out * d->in + deep.at) * h->in * in.row;
        if (p->chunk)
            K(run_copied)(p, &s, &in, deep, reached, stretches, first, last, b0, b1, y,
                          LINES(s.threes + d->taps * h->taps * v->taps));
        else {
            in.x += p->kind == NNRT_EACH ? b0 : 0;
            K(run_rows)(p, &s, &in, deep, reached, first, last, b0, b1, y);
        }
        K(finish_rows)(p, y, first, last, b0, b1);
    }
    if (p->past)
        nnrt_stream_end();
}
