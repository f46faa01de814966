/* Channels of their own under 3 x 3 taps at stride 1, where a register holds a line of channels and there are 32: a
 * tile of up to 4 x 4 outputs keeps its sums and the filter in registers, and each input, loaded once, meets up to nine
 * of them. */

#define TILE 4
#define UNROLL _Pragma("GCC unroll 8")
/* Keeps gcc from computing the addresses of all columns ahead, for which there are no registers. */
#define HERE(p) __asm__("" : "+r"(p))
/* Line i of a few whose distance, and three and five times of which, are in bytes. */
#define LINE_AT(i) ((i) == 0 ? 0 : (i) == 1 ? row : (i) == 2 ? 2 * row : (i) == 3 ? row3 : (i) == 4 ? 4 * row : row5)
#define INPUT_LINE(p, i) ((const REAL *)((const char *)(p) + LINE_AT(i)))
#define OUTPUT_LINE(p, i) ((REAL *)((char *)(p) + ((i) == 0 ? 0 : (i) == 1 ? y_row : (i) == 2 ? 2 * y_row : y_row3)))

typedef struct {
    int64_t row, pixel, y_row, w_row; /* y's pixels are as far apart as x's */
    int64_t channels;                 /* at least a vector */
    int64_t ahead;                    /* from an input to one that is asked for, in bytes, or 0 */
    int32_t top, bottom, left, right; /* whether the first and the last line and column of inputs exist */
    int32_t relu, past;
} K(square);

#define SQUARE_ARGS const K(square) *s, const REAL *x, const REAL *w, const REAL *bias, REAL *y

/* Channels that fill no vector overlap those before them. */
INLINE void K(square_tile)(const int high, const int wide, SQUARE_ARGS)
{
    typedef K(vec) V;
    const int64_t row = s->row * REAL_BYTES, row3 = 3 * row, row5 = 5 * row, pixel = s->pixel, w_row = s->w_row;
    const int64_t y_row = s->y_row * REAL_BYTES, y_row3 = 3 * y_row, ahead = s->ahead;
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
        UNROLL for (int j = 0; j < wide + 2; j++, p += pixel) {
            HERE(p);
            if ((j == 0 && !left) || (j == wide + 1 && !right))
                continue;
            if (j > 1 && ahead) {
                const REAL *q = (const REAL *)((const char *)p + ahead);
                UNROLL for (int i = 2; i < high + 2; i++)
                    __builtin_prefetch(INPUT_LINE(q, i), 0, 2);
            }
            UNROLL for (int i = 0; i < high + 2; i++) {
                if ((i == 0 && !top) || (i == high + 1 && !bottom))
                    continue;
                const V v = K(load)(INPUT_LINE(p, i));
                UNROLL for (int k = 0; k < 3; k++)
                    UNROLL for (int l = 0; l < 3; l++)
                        if (i >= k && i - k < high && j >= l && j - l < wide)
                            sums[i - k][j - l] += v * taps[3 * k + l];
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

typedef void (*K(square_fn))(SQUARE_ARGS);
#define SQUARE(i, j) static void K(square_##i##j)(SQUARE_ARGS) { K(square_tile)(i, j, s, x, w, bias, y); }
#define SQUARES(i) SQUARE(i, 1) SQUARE(i, 2) SQUARE(i, 3) SQUARE(i, 4)
SQUARES(1) SQUARES(2) SQUARES(3) SQUARES(4)
#define NAMES(i) {K(square_##i##1), K(square_##i##2), K(square_##i##3), K(square_##i##4)}
static const K(square_fn) K(squares)[TILE][TILE] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4)};

static SMALL void K(depthwise_square)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_depthwise_args *p = args;
    const nnrt_axis *h = &p->axis[1], *v = &p->axis[2];
    const int64_t strips = CEIL(h->out, p->strip), units = p->batch * p->axis[0].out * strips, pixel = p->groups;
    const int64_t over = p->transposed ? 2 - h->padding : h->padding, before = p->transposed ? 2 - v->padding : v->padding;
    K(square) s = {.row = v->in * pixel, .pixel = pixel, .y_row = v->out * pixel, .w_row = p->transposed ? -p->lanes : p->lanes,
                   .past = p->past, .relu = p->activation == NNRT_ACT_RELU && !p->residual};
    for (int64_t t = begin; t < end; t++) {
        const int64_t b0 = t / units * p->part, plane = t % units / strips;
        const int64_t first = t % strips * p->strip, last = MIN(first + p->strip, h->out);
        const REAL *x = (const REAL *)p->x + plane * h->in * s.row + b0, *bias = p->b;
        REAL *y = (REAL *)p->y + plane * h->out * s.y_row + b0;
        s.channels = MIN(p->part, p->blocks - b0);
        for (int64_t r = first, high; r < last; r += high) {
            high = K(even)(last - r, TILE);
            s.top = r >= over, s.bottom = r - over + high + 1 < h->in;
            for (int64_t c = 0, wide; c < v->out; c += wide) {
                wide = K(even)(v->out - c, TILE);
                s.left = c >= before, s.right = c - before + wide + 1 < v->in;
                s.ahead = p->stream ? wide * pixel * REAL_BYTES : 0;
                K(squares)[high - 1][wide - 1](&s, x + (r - over) * s.row + (c - before) * pixel,
                                               (const REAL *)p->w + b0 + (p->transposed ? 8 * p->lanes : 0),
                                               bias ? bias + b0 : NULL, y + r * s.y_row + c * pixel);
            }
        }
        K(finish_rows)(p, (REAL *)p->y + plane * h->out * s.y_row, first, last, b0, b0 + s.channels);
    }
    if (p->past)
        nnrt_stream_end();
}
