/* Channels of their own under 3 x 3 taps at stride 1 or 2, where a register holds a line of channels and there are 32:
 * a tile of up to 4 x 4 outputs keeps its sums and the filter in registers, and each input, loaded once, meets up to
 * nine of them. The filter's gradient keeps its nine sums there. */

#define TILE 4
#define SWEEP 64 /* most columns of dy that a sweep for the filter's gradient takes */
#define STRETCH 8 /* most columns of outputs of its adjoint at stride 2, even */
#define NEAR_PIXELS 256 /* from so many channels on inputs are asked for a tile ahead, else a row of tiles */
#define UNROLL _Pragma("GCC unroll 16")
/* Keeps gcc from computing the addresses of all columns ahead, for which there are no registers. */
#define HERE(p) __asm__("" : "+r"(p))
/* Line i of a few whose distance, and three, five and seven times of which, are in bytes. */
#define LINE_AT(i)                                                                                      \
    ((i) < 3 || (i) == 4 || (i) == 8 ? (i) * row : (i) == 3 ? row3 : (i) == 5 ? row5 : (i) == 6 ? 2 * row3 : row7)
#define INPUT_LINE(p, i) ((const REAL *)((const char *)(p) + LINE_AT(i)))
#define OUTPUT_LINE(p, i) ((REAL *)((char *)(p) + ((i) == 0 ? 0 : (i) == 1 ? y_row : (i) == 2 ? 2 * y_row : y_row3)))

typedef struct {
    int64_t row, pixel, y_row, w_row; /* y's pixels are as far apart as x's */
    int64_t channels;                 /* at least a vector */
    int64_t ahead;                    /* at stride 1: from an input to one that is asked for, in bytes, or 0 */
    const char *next, *next_y;        /* sweeps, and at stride 2: next rows in the order of memory, or NULL */
    int64_t columns;                  /* where the tile does not say */
    int32_t top, bottom, left, right; /* whether the first and the last line and column of inputs exist */
    int32_t relu, past, second;       /* second: whether the second row of outputs exists */
} K(square);

#define SQUARE_ARGS const K(square) *s, const REAL *x, const REAL *w, const REAL *bias, REAL *y

/* Channels that fill no vector overlap those before them. */
INLINE void K(square_tile)(const int stride, const int high, const int wide, SQUARE_ARGS)
{
    typedef K(vec) V;
    const int lines = (high - 1) * stride + 3, columns = (wide - 1) * stride + 3;
    const int64_t row = s->row * REAL_BYTES, row3 = 3 * row, row5 = 5 * row, row7 = 7 * row;
    const int64_t pixel = s->pixel, w_row = s->w_row;
    const int64_t y_row = s->y_row * REAL_BYTES, y_row3 = 3 * y_row, ahead = stride == 1 ? s->ahead : 0;
    const char *next = stride == 2 ? s->next : NULL;
    const int32_t top = s->top, bottom = s->bottom, left = s->left, right = s->right;
    for (int64_t rest = s->channels;;) {
        V taps[9], sums[TILE][TILE];
        const REAL *u = w, *p = x;
        REAL *to = y;
        UNROLL for (int k = 0; k < 9; k++, u += w_row)
            taps[k] = K(load)(u);
        const V start = bias ? K(load)(bias) : (V){0};
        UNROLL for (int i = 0; i < high; i++)
            UNROLL for (int j = 0; j < wide; j++)
                sums[i][j] = start;
        UNROLL for (int j = 0; j < columns; j++, p += pixel) {
            HERE(p);
            if ((j == 0 && !left) || (j == columns - 1 && !right))
                continue;
            if (j > 1 && ahead) {
                const REAL *q = (const REAL *)((const char *)p + ahead);
                UNROLL for (int i = 2; i < lines; i++)
                    __builtin_prefetch(INPUT_LINE(q, i), 0, 2);
            }
            if (j > 0 && next)
                UNROLL for (int i = 0; i < 4; i++, next += 64)
                    __builtin_prefetch(next, 0, 2);
            UNROLL for (int i = 0; i < lines; i++) {
                if ((i == 0 && !top) || (i == lines - 1 && !bottom))
                    continue;
                const V v = K(load)(INPUT_LINE(p, i));
                UNROLL for (int k = 0; k < 3; k++)
                    UNROLL for (int l = 0; l < 3; l++)
                        if (i >= k && i - k <= (high - 1) * stride && j >= l && j - l <= (wide - 1) * stride
                            && (i - k) % stride == 0 && (j - l) % stride == 0)
                            sums[(i - k) / stride][(j - l) / stride] += v * taps[3 * k + l];
            }
        }
        if (s->relu)
            UNROLL for (int i = 0; i < high; i++)
                UNROLL for (int j = 0; j < wide; j++)
                    sums[i][j] = K(relu_vec)(sums[i][j]);
        UNROLL for (int j = 0; j < wide; j++, to += pixel) {
            HERE(to);
            if (s->past)
                UNROLL for (int i = 0; i < high; i++)
                    K(store_past)(OUTPUT_LINE(to, i), sums[i][j]);
            else
                UNROLL for (int i = 0; i < high; i++)
                    K(store)(OUTPUT_LINE(to, i), sums[i][j]);
        }
        rest -= VL;
        if (rest <= 0)
            break;
        const int64_t step = MIN(rest, VL);
        x += step, w += step, y += step;
        bias = bias ? bias + step : NULL;
    }
}

/* The adjoint at stride 2, of two rows of outputs: two columns of them read two of inputs, the second of which the next
 * two read again. */
static __attribute__((hot)) void K(stretched)(SQUARE_ARGS)
{
    typedef K(vec) V;
    const int64_t pixel = s->pixel, row = s->row, y_row = s->y_row, w_row = s->w_row;
    const int32_t bottom = s->bottom, past = s->past;
    const char *ask = s->next, *ask_y = s->next_y;
    for (int64_t rest = s->channels;;) {
        V taps[9], now[2], next[2] = {{0}, {0}};
        const REAL *u = w, *p = x;
        REAL *to = y;
        UNROLL for (int k = 0; k < 9; k++, u += w_row)
            taps[k] = K(load)(u);
        const V start = bias ? K(load)(bias) : (V){0};
        next[0] = K(load)(p);
        if (bottom)
            next[1] = K(load)(p + row);
        for (int64_t j = s->columns; j > 0; j -= 2) {
            const int more = j > 2 || s->right;
            V sums[4] = {start, start, start, start};
            p += pixel;
            if (ask)
                __builtin_prefetch(ask, 0, 2), ask += 64;
            if (ask_y)
                UNROLL for (int i = 0; i < 4; i++, ask_y += 64)
                    __builtin_prefetch(ask_y, 1, 2);
            now[0] = next[0], now[1] = next[1];
            sums[0] += now[0] * taps[4];
            sums[1] += now[0] * taps[5];
            sums[2] += now[0] * taps[7];
            sums[3] += now[0] * taps[8];
            if (more) {
                next[0] = K(load)(p);
                sums[1] += next[0] * taps[3];
                sums[3] += next[0] * taps[6];
            }
            if (bottom) {
                sums[2] += now[1] * taps[1];
                sums[3] += now[1] * taps[2];
            }
            if (more && bottom) {
                next[1] = K(load)(p + row);
                sums[3] += next[1] * taps[0];
            }
            UNROLL for (int i = 0; i < 2; i++, to += pixel) {
                if (i && j == 1)
                    break;
                V a = sums[i], b = sums[i + 2];
                if (s->relu)
                    a = K(relu_vec)(a), b = K(relu_vec)(b);
                if (past) {
                    K(store_past)(to, a);
                    if (s->second)
                        K(store_past)(to + y_row, b);
                } else {
                    K(store)(to, a);
                    if (s->second)
                        K(store)(to + y_row, b);
                }
            }
        }
        rest -= VL;
        if (rest <= 0)
            break;
        const int64_t step = MIN(rest, VL);
        x += step, w += step, y += step;
        bias = bias ? bias + step : NULL;
    }
}

typedef void (*K(square_fn))(SQUARE_ARGS);
#define SQUARE(i, j)                                                      \
    static __attribute__((hot)) void K(square_##i##j)(SQUARE_ARGS)        \
    {                                                                     \
        K(square_tile)(1, i, j, s, x, w, bias, y);                        \
    }
#define SQUARES(i) SQUARE(i, 1) SQUARE(i, 2) SQUARE(i, 3) SQUARE(i, 4)
SQUARES(1) SQUARES(2) SQUARES(3) SQUARES(4)
#define NAMES(i) {K(square_##i##1), K(square_##i##2), K(square_##i##3), K(square_##i##4)}
static const K(square_fn) K(squares)[TILE][TILE] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};

static __attribute__((hot)) void K(strided_2)(SQUARE_ARGS) { K(square_tile)(2, 2, 2, s, x, w, bias, y); }
static __attribute__((hot)) void K(strided_4)(SQUARE_ARGS) { K(square_tile)(2, 2, 4, s, x, w, bias, y); }

/* How many of the outputs that are left the next tile takes, at most `most`; with strides just these: tiles overlap. */
static SMALL int64_t K(next_tile)(int64_t stride, int64_t *at, int64_t last, int64_t most)
{
    if (stride == 1)
        return K(even)(last - *at, most);
    *at = MIN(*at, last - most);
    return most;
}

/* The sums of a filter's gradient over `high` rows of dy and some columns: each column of inputs meets those of dy that
 * read it, which are kept. Channels that fill no vector overlap those before them, and are added once. */
INLINE void K(square_sweep)(const int stride, const int high, const K(square) *s, const REAL *x, const REAL *dy,
                            REAL *sums)
{
    typedef K(vec) V;
    const int lines = (high - 1) * stride + 3;
    const int64_t row = s->row * REAL_BYTES, row3 = 3 * row, row5 = 5 * row, row7 = 7 * row;
    const int64_t pixel = s->pixel, w_row = s->w_row;
    const int64_t y_row = s->y_row * REAL_BYTES, y_row3 = 3 * y_row, columns = s->columns;
    const char *next = s->next, *next_y = s->next_y;
    K(mask) fresh = K(lanes)(VL);
#define OUTER(l, d)                                                                                     \
    UNROLL for (int i = 0; i < high; i++)                                                               \
        UNROLL for (int k = 0; k < 3; k++) {                                                            \
            const int at = i * stride + k;                                                              \
            if (!((at == 0 && !s->top) || (at == lines - 1 && !s->bottom)))                             \
                a[3 * k + l] += v[at] * d[i];                                                           \
        }
#define COLUMN                                                                                          \
    UNROLL for (int i = 0; i < lines; i++)                                                              \
        if (!((i == 0 && !s->top) || (i == lines - 1 && !s->bottom)))                                   \
            v[i] = K(load)(INPUT_LINE(p, i));
    for (int64_t rest = s->channels;;) {
        V a[9], v[9], d0[TILE], d1[TILE], d2[TILE], total = {0};
        const REAL *p = x, *q = dy;
        UNROLL for (int k = 0; k < 9; k++)
            a[k] = v[k] = (V){0};
        UNROLL for (int i = 0; i < TILE; i++)
            d0[i] = d1[i] = (V){0};
        for (int64_t j = 0; j < columns + 3 - stride; j++, p += pixel, q += pixel) {
            UNROLL for (int i = 0; i < high; i++)
                d2[i] = d1[i], d1[i] = d0[i];
            if (j < columns) {
                if (next) {
                    UNROLL for (int i = 0; i < high * stride * stride; i++)
                        __builtin_prefetch(next + 64 * i, 0, 2);
                    next += 64 * high * stride * stride;
                }
                if (next_y) {
                    UNROLL for (int i = 0; i < high; i++)
                        __builtin_prefetch(next_y + 64 * i, 0, 2);
                    next_y += 64 * high;
                }
                UNROLL for (int i = 0; i < high; i++) {
                    d0[i] = K(load)(OUTPUT_LINE(q, i));
                    total += d0[i];
                }
            }
            if ((j > 0 || s->left) && (j < columns + 2 - stride || s->right)) {
                COLUMN
                if (j < columns)
                    OUTER(0, d0)
                if (stride == 1 && j > 0 && j <= columns)
                    OUTER(1, d1)
                if (stride == 1 && j > 1)
                    OUTER(2, d2)
                if (stride == 2 && j > 0)
                    OUTER(2, d1)
            }
            if (stride == 2 && j < columns) {
                p += pixel;
                COLUMN
                OUTER(1, d0)
            }
        }
        UNROLL for (int k = 0; k < 9; k++)
            K(store)(sums + k * w_row, K(load)(sums + k * w_row) + (V)_mm512_maskz_mov_ps(fresh, (__m512)a[k]));
        K(store)(sums + 9 * w_row, K(load)(sums + 9 * w_row) + (V)_mm512_maskz_mov_ps(fresh, (__m512)total));
        rest -= VL;
        if (rest <= 0)
            break;
        const int64_t step = MIN(rest, VL);
        x += step, dy += step, sums += step;
        fresh = (K(mask))(K(lanes)(VL) << (VL - step));
    }
#undef OUTER
#undef COLUMN
}

typedef void (*K(sweep_square_fn))(const K(square) *, const REAL *, const REAL *, REAL *);
#define SWEEP_SQUARE(s, i)                                                                              \
    static __attribute__((hot)) void K(sweep_##s##i)(const K(square) *q, const REAL *x, const REAL *dy, REAL *sums) \
    {                                                                                                   \
        K(square_sweep)(s, i, q, x, dy, sums);                                                          \
    }
SWEEP_SQUARE(1, 1) SWEEP_SQUARE(1, 2) SWEEP_SQUARE(1, 4) SWEEP_SQUARE(2, 1) SWEEP_SQUARE(2, 2) SWEEP_SQUARE(2, 4)
static const K(sweep_square_fn) K(square_sweeps)[2][3] = {{K(sweep_11), K(sweep_12), K(sweep_14)},
                                                          {K(sweep_21), K(sweep_22), K(sweep_24)}};

/* filter, of 3 x 3 taps. */
static SMALL void K(depthwise_squares)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const nnrt_axis *h = &p->axis[1], *v = &p->axis[2];
    const int64_t strips = CEIL(h->out, p->strip), units = p->batch * p->axis[0].out * strips, pixel = p->groups;
    const int64_t stride = h->stride;
    K(square) s = {.row = v->in * pixel, .pixel = pixel, .y_row = v->out * pixel, .w_row = p->lanes};
    for (int64_t t = begin; t < end; t++) {
        const int64_t split = t % p->splits, b0 = t / p->splits * p->part;
        REAL *sums = (REAL *)p->packed + split * p->packed_count + b0;
        s.channels = MIN(p->part, p->blocks - b0);
        for (int64_t k = 0; k < 10; k++)
            memset(sums + k * p->lanes, 0, (size_t)s.channels * sizeof(REAL));
        for (int64_t u = units * split / p->splits; u < units * (split + 1) / p->splits; u++) {
            const int64_t plane = u / strips, first = u % strips * p->strip, last = MIN(first + p->strip, h->out);
            const REAL *x = (const REAL *)p->x + plane * h->in * s.row + b0;
            const REAL *dy = (const REAL *)p->y + plane * h->out * s.y_row + b0;
            for (int64_t r = first, high; r < last; r += high) {
                const int size = last - r >= 4 ? 2 : last - r >= 2;
                high = 1 << size;
                const int64_t line = r * stride - h->padding;
                s.top = line >= 0, s.bottom = line + (high - 1) * stride + 2 < h->in;
                for (int64_t c = 0; c < v->out; c += s.columns) {
                    const int64_t at = c * stride - v->padding;
                    s.columns = K(even)(v->out - c, SWEEP);
                    s.left = at >= 0, s.right = at + (s.columns - 1) * stride + 2 < v->in;
                    if (p->stream)
                        s.next = (const char *)(x + (line + high * stride + 3 - stride) * s.row
                                                + c * high * stride * stride * pixel);
                    if (p->stream > 1)
                        s.next_y = (const char *)(dy + (r + high) * s.y_row + c * high * pixel);
                    K(square_sweeps)[stride - 1][size](&s, x + line * s.row + at * pixel, dy + r * s.y_row + c * pixel,
                                                       sums);
                }
            }
        }
    }
}

static SMALL void K(depthwise_square)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const nnrt_axis *h = &p->axis[1], *v = &p->axis[2];
    const int64_t strips = CEIL(h->out, p->strip), units = p->batch * p->axis[0].out * strips, pixel = p->groups;
    const int64_t stride = h->stride, stretched = p->transposed && stride == 2;
    const int near = pixel >= NEAR_PIXELS;
    const int64_t over = p->transposed ? 2 - h->padding : h->padding;
    const int64_t before = p->transposed ? 2 - v->padding : v->padding;
    K(square) s = {.row = v->in * pixel, .pixel = pixel, .y_row = v->out * pixel,
                   .w_row = p->transposed && !stretched ? -p->lanes : p->lanes, .past = p->past,
                   .relu = p->activation == NNRT_ACT_RELU && !p->residual};
    for (int64_t t = begin; t < end; t++) {
        const int64_t b0 = t / units * p->part, plane = t % units / strips;
        const int64_t first = t % strips * p->strip, last = MIN(first + p->strip, h->out);
        const REAL *x = (const REAL *)p->x + plane * h->in * s.row + b0, *bias = p->b;
        REAL *y = (REAL *)p->y + plane * h->out * s.y_row + b0;
        s.channels = MIN(p->part, p->blocks - b0);
        const REAL *w = (const REAL *)p->w + b0 + (s.w_row < 0 ? 8 * p->lanes : 0);
        bias = bias ? bias + b0 : NULL;
        for (int64_t r = first; r < last && stretched; r += 2)
            for (int64_t c = 0; c < v->out; c += s.columns) {
                s.columns = MIN(v->out - c, STRETCH);
                s.second = r + 1 < h->out, s.bottom = r / 2 + 1 < h->in, s.right = CEIL(c + s.columns, 2) < v->in;
                if (p->past)
                    s.next = (const char *)(x + (r / 2 + 2) * s.row + c / 2 * pixel);
                else if (p->stream)
                    s.next_y = (const char *)(y + (r + 2) * s.y_row + c * 2 * pixel);
                K(stretched)(&s, x + r / 2 * s.row + c / 2 * pixel, w, bias, y + r * s.y_row + c * pixel);
            }
        for (int64_t r = first, high; r < last && !stretched; r += high) {
            high = K(next_tile)(stride, &r, last, stride == 1 ? TILE : 2);
            s.top = r * stride >= over, s.bottom = (r + high - 1) * stride - over + 2 < h->in;
            for (int64_t c = 0, wide; c < v->out; c += wide) {
                wide = K(next_tile)(stride, &c, v->out, stride == 1 || v->out >= TILE ? TILE : 2);
                s.left = c * stride >= before, s.right = (c + wide - 1) * stride - before + 2 < v->in;
                if (p->stream && stride == 1)
                    s.ahead = (near ? wide * pixel : high * s.row) * REAL_BYTES;
                else if (p->stream)
                    s.next = (const char *)(x + ((r + high) * 2 - over + 1) * s.row + c * 8 * pixel);
                (stride == 1 ? K(squares)[high - 1][wide - 1] : wide == 2 ? K(strided_2) : K(strided_4))(
                    &s, x + (r * stride - over) * s.row + (c * stride - before) * pixel, w, bias,
                    y + r * s.y_row + c * pixel);
            }
        }
        K(finish_rows)(p, (REAL *)p->y + plane * h->out * s.y_row, first, last, b0, b0 + s.channels);
    }
    if (p->past)
        nnrt_stream_end();
}
