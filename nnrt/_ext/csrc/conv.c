/* Direct convolutions by register tiles. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <string.h>

#include "conv.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* Panels of the filter that stay in L2 while a task's rows pass: bytes. */
#define BLOCK_BYTES (256 << 10)

/* A part of x, or its copy between zeros. */
typedef struct {
    const void *data;           /* what output 0 of the block meets with tap 0, first channel */
    int64_t plane, row, pixel;  /* elements between steps along d (a tap), h and w */
} conv_view;

/* jumps[part]: where taps lie from the first one. Taps along w that lie side by side are one part. */
static int64_t conv_jumps(int64_t *jumps, const int64_t *taps, const int64_t *step, const conv_view *v, int joined)
{
    int64_t parts = 0;
    for (int64_t d = 0; d < taps[0]; d++)
        for (int64_t h = 0; h < taps[1]; h++)
            for (int64_t w = 0; w < (joined ? taps[2] > 0 : taps[2]); w++)
                jumps[parts++] = d * v->plane + h * step[1] * v->row + w * step[2] * v->pixel;
    return parts;
}

/* Whether rows of taps along w are contiguous in x. */
static int conv_joined(int64_t groups, int64_t step_w) { return groups == 1 && step_w == 1; }

#define REAL float
#define K(name) name##_f32
#include "conv.c"
#undef REAL
#undef K
#define REAL double
#define K(name) name##_f64
#include "conv.c"

#define KERNEL(name, type) .name = {"conv/" #name "/" #type "/" NNRT_STR(NNRT_ISA), conv_##name##_##type}
#define OPS(type) {KERNEL(tiles, type), KERNEL(patches, type), KERNEL(sums, type), KERNEL(gather, type), KERNEL(pack, type)}

const nnrt_conv_table NNRT_SYM(conv) = {{OPS(f32), OPS(f64)}};

#else

#include "gemm_vec.h"

static void K(zero)(REAL *dst, int64_t n) { memset(dst, 0, n * sizeof(REAL)); }

/* Copies a box of x between zeros: planes from d0 `step_d` apart, `rows` rows from h0 `step_h` apart, `cols` columns
 * from w0 on, `channels` channels from c0 on. */
static void K(copy_box)(REAL *dst, const REAL *x, const int64_t *in, int64_t x_channels, int64_t d0, int64_t step_d,
                        int64_t planes, int64_t h0, int64_t step_h, int64_t rows, int64_t w0, int64_t cols, int64_t c0,
                        int64_t channels)
{
    const int64_t before = MIN(MAX(-w0, 0), cols), end = MIN(MAX(in[2] - w0, before), cols);
    for (int64_t p = 0; p < planes; p++)
        for (int64_t r = 0; r < rows; r++, dst += cols * channels) {
            const int64_t d = d0 + p * step_d, h = h0 + r * step_h;
            if (d < 0 || d >= in[0] || h < 0 || h >= in[1]) {
                K(zero)(dst, cols * channels);
                continue;
            }
            const REAL *src = x + ((d * in[1] + h) * in[2] + w0) * x_channels + c0;
            K(zero)(dst, before * channels);
            if (channels == x_channels)
                memcpy(dst + before * channels, src + before * channels, (end - before) * channels * sizeof(REAL));
            else
                for (int64_t w = before; w < end; w++)
                    memcpy(dst + w * channels, src + w * x_channels, channels * sizeof(REAL));
            K(zero)(dst + end * channels, (cols - end) * channels);
        }
}

/* ---- y from x and the packed filter ---- */

static void K(conv_block)(const nnrt_conv_args *a, const nnrt_conv_pass *p, int64_t t, void *scratch)
{
    const nnrt_gemm_ops *g = a->gemm;
    const int64_t cin = a->x_channels / a->groups, cout = a->y_channels / a->groups, per = CEIL(cout, NR);
    const int64_t taps = p->taps[0] * p->taps[1] * p->taps[2], deep = taps * cin, joined = conv_joined(a->groups, a->step[2]);
    const int64_t strips = CEIL(a->groups * per, p->panels);
    const int64_t across = CEIL(p->out[2], p->cols), down = CEIL(p->out[1], p->rows);
    /* the task */
    const int64_t q0 = t % strips * p->panels, q1 = MIN(q0 + p->panels, a->groups * per);
    t /= strips;
    const int64_t w0 = t % across * p->cols, w1 = MIN(w0 + p->cols, p->out[2]);
    t /= across;
    const int64_t h0 = t % down * p->rows, h1 = MIN(h0 + p->rows, p->out[1]);
    t /= down;
    const int64_t od = t % p->out[0], n = t / p->out[0];
    /* its part of x */
    int64_t *jumps = scratch;
    const int64_t id = p->first[0] + od * a->stride[0], ih = p->first[1] + h0 * a->stride[1];
    const int64_t iw = p->first[2] + w0 * a->stride[2];
    const int64_t c0 = q0 / per * cin, c1 = ((q1 - 1) / per + 1) * cin;
    const REAL *x = (const REAL *)a->x + n * a->in[0] * a->in[1] * a->in[2] * a->x_channels;
    conv_view v;
    if (p->padded && taps) {
        const int64_t high = (h1 - h0 - 1) * a->stride[1] + (p->taps[1] - 1) * a->step[1] + 1;
        const int64_t wide = (w1 - w0 - 1) * a->stride[2] + (p->taps[2] - 1) * a->step[2] + 1;
        REAL *box = (REAL *)((char *)scratch + (taps * sizeof(int64_t) + 63) / 64 * 64);
        K(copy_box)(box, x, a->in, a->x_channels, id, a->step[0], p->taps[0], ih, 1, high, iw, wide, c0, c1 - c0);
        v = (conv_view){box - c0, high * wide * (c1 - c0), wide * (c1 - c0), c1 - c0};
    } else
        v = (conv_view){x + ((id * a->in[1] + ih) * a->in[2] + iw) * a->x_channels,
                        a->step[0] * a->in[1] * a->in[2] * a->x_channels, a->in[2] * a->x_channels, a->x_channels};
    nnrt_tail tail = {.alpha = 1, .beta = 1, .relu = a->activation == NNRT_ACT_RELU, .jumps = jumps};
    tail.parts = taps ? conv_jumps(jumps, p->taps, a->step, &v, joined) : 0;
    const int64_t k = taps ? deep / tail.parts : 0;
    /* its products */
    const int64_t y_row = a->y_step[2], a_row = a->stride[2] * v.pixel, tiles = CEIL(w1 - w0, MR);
    REAL *y = (REAL *)a->y + p->y + n * a->y_image + od * a->y_step[0] + h0 * a->y_step[1] + w0 * a->y_step[2];
    const REAL *residual = a->residual ? (const REAL *)a->residual + (y - (REAL *)a->y) : NULL;
    const int64_t many = MAX(1, BLOCK_BYTES / (MAX(deep, 1) * NR * (int64_t)sizeof(REAL)));
    tail.src_row = y_row;
    for (int64_t q = q0; q < q1;) {
        const int64_t group = q / per, j0 = q % per, j1 = MIN(MIN(j0 + many, per), j0 + q1 - q);
        const int64_t last = CEIL(cout - (per - 1) * NR, VL) * VL;
        const REAL *filter = (const REAL *)a->filter + p->filter + group * deep * ((per - 1) * NR + last);
        for (int64_t h = h0; h < h1; h++)
            for (int64_t i = 0; i < tiles; i++) {
                const int64_t w = i * (w1 - w0) / tiles, rows = (i + 1) * (w1 - w0) / tiles - w;
                const REAL *xp = (const REAL *)v.data + group * cin + (h - h0) * a->stride[1] * v.row + w * a_row;
                for (int64_t j = j0; j < j1; j++) {
                    const int64_t o = group * cout + j * NR, at = (h - h0) * a->y_step[1] + w * y_row + o;
                    tail.bias = a->bias ? (const REAL *)a->bias + o : NULL;
                    tail.src = residual ? residual + at : NULL;
                    g->tile(rows, MIN(NR, cout - j * NR), k, xp, a_row, 1, filter + j * deep * NR,
                            j < per - 1 ? NR : last, y + at, y_row, &tail);
                }
            }
        if (a->activation > NNRT_ACT_RELU)
            for (int64_t h = h0; h < h1; h++)
                for (int64_t w = w0; w < w1; w++)
                    g->activate(a->activation, y + (h - h0) * a->y_step[1] + (w - w0) * y_row + group * cout + j0 * NR,
                                MIN(j1 * NR, cout) - j0 * NR);
        q += j1 - j0;
    }
}

static void K(conv_tiles)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_args *a = args;
    const nnrt_conv_pass *p = a->pass;
    int64_t before = 0;
    for (int64_t t = begin; t < end; t++) {
        while (t - before >= p->tasks)
            before += p++->tasks;
        K(conv_block)(a, p, t - before, scratch);
    }
}

/* ---- rows of patches, for maps too narrow for tiles along w ---- */

static void K(conv_patches)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_patches *a = args;
    const int64_t pixels = a->out[0] * a->out[1] * a->out[2], deep = a->taps[0] * a->taps[1] * a->taps[2] * a->channels;
    for (int64_t m = begin * a->rows; m < MIN(end * a->rows, a->images * pixels); m++) {
        const int64_t n = m / pixels, o = m % pixels;
        const int64_t d = o / a->out[2] / a->out[1], h = o / a->out[2] % a->out[1], w = o % a->out[2];
        const REAL *x = (const REAL *)a->x + n * a->in[0] * a->in[1] * a->in[2] * a->x_channels;
        REAL *dst = (REAL *)a->patches + m * deep;
        for (int64_t i = 0; i < a->taps[0]; i++)
            for (int64_t j = 0; j < a->taps[1]; j++) {
                const int64_t id = a->first[0] + d * a->stride[0] + i * a->step[0];
                const int64_t ih = a->first[1] + h * a->stride[1] + j * a->step[1];
                const int inside = id >= 0 && id < a->in[0] && ih >= 0 && ih < a->in[1];
                for (int64_t l = 0; l < a->taps[2]; l++, dst += a->channels) {
                    const int64_t iw = a->first[2] + w * a->stride[2] + l * a->step[2];
                    if (inside && iw >= 0 && iw < a->in[2])
                        memcpy(dst, x + ((id * a->in[1] + ih) * a->in[2] + iw) * a->x_channels + a->channel,
                               a->channels * sizeof(REAL));
                    else
                        K(zero)(dst, a->channels);
                }
            }
    }
}

/* ---- dw from x and dy ---- */

static void K(conv_sums_task)(const nnrt_conv_sums *a, int64_t t, void *scratch)
{
    const nnrt_gemm_ops *g = a->gemm;
    const int64_t cin = a->x_channels / a->groups, cout = a->y_channels / a->groups, per = CEIL(cout, NR);
    const int64_t strips = CEIL(a->groups * per, a->panels), lines = a->taps[0] * a->taps[1];
    const int64_t q0 = t % strips * a->panels, q1 = MIN(q0 + a->panels, a->groups * per);
    t /= strips;
    const int64_t td = t % lines / a->taps[1], th = t % lines % a->taps[1], chunk = t / lines;
    const int64_t down = CEIL(a->out[1], a->rows), across = CEIL(a->out[2], a->cols);
    const int64_t joined = conv_joined(a->groups, a->step[2]), m = joined ? a->taps[2] * cin : cin;
    const int64_t c0 = q0 / per * cin, c1 = ((q1 - 1) / per + 1) * cin;
    REAL *sums = (REAL *)a->sums + (chunk * lines + td * a->taps[1] + th) * a->taps[2] * cin * a->y_channels;
    int64_t *jumps = scratch;
    REAL *panels = (REAL *)((char *)scratch + (a->rows * sizeof(int64_t) + 63) / 64 * 64);
    REAL *box = panels + a->panels * a->rows * a->cols * NR;
    nnrt_tail tail = {.alpha = 1, .beta = 1, .src_row = a->y_channels, .jumps = jumps};
    for (int64_t b = chunk * a->chunk; b < MIN((chunk + 1) * a->chunk, a->blocks); b++) {
        const int64_t w0 = b % across * a->cols, w1 = MIN(w0 + a->cols, a->out[2]), wide = w1 - w0;
        const int64_t h0 = b / across % down * a->rows, h1 = MIN(h0 + a->rows, a->out[1]), high = h1 - h0;
        const int64_t od = b / across / down % a->out[0], n = b / across / down / a->out[0];
        const int64_t id = a->first[0] + od * a->stride[0] + td * a->step[0];
        const int64_t ih = a->first[1] + h0 * a->stride[1] + th * a->step[1], iw = a->first[2] + w0 * a->stride[2];
        const REAL *x = (const REAL *)a->x + n * a->in[0] * a->in[1] * a->in[2] * a->x_channels;
        const REAL *dy = (const REAL *)a->dy + (((n * a->out[0] + od) * a->out[1] + h0) * a->out[2] + w0) * a->y_channels;
        conv_view v;
        if (a->padded) {
            const int64_t cols = (wide - 1) * a->stride[2] + (a->taps[2] - 1) * a->step[2] + 1;
            K(copy_box)(box, x, a->in, a->x_channels, id, 1, 1, ih, a->stride[1], high, iw, cols, c0, c1 - c0);
            v = (conv_view){box - c0, 0, cols * (c1 - c0), c1 - c0};
        } else
            v = (conv_view){x + ((id * a->in[1] + ih) * a->in[2] + iw) * a->x_channels, 0,
                            a->stride[1] * a->in[2] * a->x_channels, a->x_channels};
        tail.parts = high;
        for (int64_t h = 0; h < high; h++)
            jumps[h] = h * v.row;
        for (int64_t q = q0; q < q1; q++) {
            const int64_t o = q / per * cout + q % per * NR, width = MIN(NR, cout - q % per * NR);
            REAL *dst = panels + (q - q0) * high * wide * NR;
            for (int64_t h = 0; h < high; h++)
                for (int64_t w = 0; w < wide; w++, dst += NR) {
                    const REAL *src = dy + (h * a->out[2] + w) * a->y_channels + o;
                    if (width == NR) {
                        K(store)(dst, K(load)(src));
                        K(store)(dst + VL, K(load)(src + VL));
                    } else
                        memcpy(dst, src, width * sizeof(REAL));
                }
        }
        for (int64_t l = 0; l < (joined ? 1 : a->taps[2]); l++)
            for (int64_t q = q0, tiles = CEIL(m, MR); q < q1; q++)
                for (int64_t i = 0; i < tiles; i++) {
                    const int64_t c = i * m / tiles, rows = (i + 1) * m / tiles - c, j = q % per * NR;
                    REAL *sum = sums + (l * cin + c) * a->y_channels + q / per * cout + j;
                    tail.src = b > chunk * a->chunk ? sum : NULL;
                    g->tile(rows, MIN(NR, cout - j), wide,
                            (const REAL *)v.data + q / per * cin + l * a->step[2] * v.pixel + c, 1, a->stride[2] * v.pixel,
                            panels + (q - q0) * high * wide * NR, NR, sum, a->y_channels, &tail);
                }
    }
}

static void K(conv_sums)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    for (int64_t t = begin; t < end; t++)
        K(conv_sums_task)(args, t, scratch);
}

static void K(conv_gather)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_gather *a = args;
    const int64_t size = a->taps * a->inputs, chunk = size * a->outputs;
    for (int64_t o0 = begin * 16; o0 < MIN(end * 16, a->outputs); o0 += 16)
        for (int64_t c = 0; c < a->inputs; c++)
            for (int64_t t = 0; t < a->taps; t++) {
                const REAL *src = (const REAL *)a->sums + (t * a->inputs + c) * a->outputs;
                REAL *dst = (REAL *)a->dw + c * a->taps + t;
                for (int64_t o = o0; o < MIN(o0 + 16, a->outputs); o++) {
                    REAL sum = src[o];
                    for (int64_t i = 1; i < a->chunks; i++)
                        sum += src[o + i * chunk];
                    dst[o * size] = sum;
                }
            }
}

/* ---- the filter as panels ---- */

static void K(conv_pack)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_pack *a = args;
    const int64_t per = CEIL(a->outputs, NR), last = CEIL(a->outputs - (per - 1) * NR, VL) * VL;
    const int64_t all = (per - 1) * NR + last;
    for (int64_t task = begin; task < end; task++) {
        const int64_t group = task / per, panel = task % per, cols = MIN(NR, a->outputs - panel * NR);
        const int64_t width = panel < per - 1 ? NR : last;
        const REAL *w = (const REAL *)a->w + group * a->group + panel * NR * a->output;
        for (int64_t c = 0; c < a->inputs; c++, w += a->input)
            for (int64_t t = 0; t < a->taps; t++) {
                const int64_t deep = a->count[t] * a->inputs;
                REAL *dst = (REAL *)a->dst + a->base[t] + group * deep * all + panel * deep * NR
                          + (a->place[t] * a->inputs + c) * width;
                for (int64_t j = 0; j < cols; j++)
                    dst[j] = w[j * a->output + t];
            }
    }
}

#undef VL
#undef NR

#endif
