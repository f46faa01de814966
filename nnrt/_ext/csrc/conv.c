/* Direct convolutions by register tiles. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include <string.h>

#include "conv.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* Pixels of dy so short share few places in L1: they are summed where they lie. */
#define IN_PLACE_BYTES 128

/* Panels of the filter that stay in L2 while a task's rows pass: bytes. */
#define BLOCK_BYTES (256 << 10)

/* A part of x, or its copy between zeros. */
typedef struct {
    const void *data;           /* what output 0 of the block meets with tap 0, first channel */
    int64_t plane, row, pixel;  /* elements between steps along d, h and w */
} conv_view;

/* The output that meets row i of x with a tap, -1 where none does. */
static inline int64_t meets(int64_t i, int64_t tap, int64_t step, int64_t stride, int64_t first, int64_t out)
{
    const int64_t at = i - first - tap * step, o = at / stride;
    return at >= 0 && at % stride == 0 && o < out ? o : -1;
}

/* jumps[part]: where taps lie from the first one. Taps along w that lie side by side are one part. */
static int64_t conv_jumps(int64_t *jumps, const int64_t *taps, const int64_t *step, const conv_view *v, int joined)
{
    int64_t parts = 0;
    for (int64_t d = 0; d < taps[0]; d++)
        for (int64_t h = 0; h < taps[1]; h++)
            for (int64_t w = 0; w < (joined ? taps[2] > 0 : taps[2]); w++)
                jumps[parts++] = d * step[0] * v->plane + h * step[1] * v->row + w * step[2] * v->pixel;
    return parts;
}

#define EACH_DTYPE "conv.c"
#include "each_dtype.h"

#define KERNEL(name, type) .name = {"conv/" #name "/" #type "/" NNRT_STR(NNRT_ISA), conv_##name##_##type}
#define OPS(type)                                                                                                  \
    {                                                                                                              \
        KERNEL(tiles, type), KERNEL(patches, type), KERNEL(sums, type), KERNEL(gather, type), KERNEL(pack, type),  \
            KERNEL(fold, type),                                                                                    \
    }

const nnrt_conv_table NNRT_SYM(conv) = {{OPS(f32), OPS(f64)}};

#else

#include "gemm_vec.h"
#define ELEMENT REAL
#define ELEMENT_BYTES REAL_BYTES
#include "transpose.h"

static void K(zero)(REAL *dst, int64_t n) { memset(dst, 0, n * sizeof(REAL)); }

/* Copies a box of x between zeros: `deep` planes from d0 on, `high` rows from h0 on, `wide` columns from w0 on,
 * `channels` channels from c0 on. */
static void K(copy_box)(REAL *dst, const REAL *x, const int64_t *in, int64_t x_channels, int64_t d0, int64_t deep,
                        int64_t h0, int64_t high, int64_t w0, int64_t wide, int64_t c0, int64_t channels)
{
    const int64_t before = MIN(MAX(-w0, 0), wide), end = MIN(MAX(in[2] - w0, before), wide);
    for (int64_t d = d0; d < d0 + deep; d++)
        for (int64_t h = h0; h < h0 + high; h++, dst += wide * channels) {
            if (d < 0 || d >= in[0] || h < 0 || h >= in[1]) {
                K(zero)(dst, wide * channels);
                continue;
            }
            const REAL *src = x + ((d * in[1] + h) * in[2] + w0) * x_channels + c0;
            K(zero)(dst, before * channels);
            if (channels == x_channels)
                memcpy(dst + before * channels, src + before * channels, (end - before) * channels * sizeof(REAL));
            else
                for (int64_t w = before; w < end; w++)
                    for (int64_t c = 0; c < channels; c += VL) {
                        const REAL *from = src + w * x_channels + c;
                        __builtin_prefetch(from + channels); /* the next group's */
                        if (c + VL <= channels)
                            K(store)(dst + w * channels + c, K(load)(from));
                        else
                            memcpy(dst + w * channels + c, from, (channels - c) * sizeof(REAL));
                    }
            K(zero)(dst + end * channels, (wide - end) * channels);
        }
}

/* ---- y from x and the packed filter ---- */

/* Outputs h0 <= h < h1, w0 <= w < w1 of one pass; v: what the first of them meets with the first tap. */
static void K(conv_block)(const nnrt_conv_args *a, const nnrt_conv_pass *p, const conv_view *v, int64_t n, int64_t od,
                          int64_t h0, int64_t h1, int64_t w0, int64_t w1, int64_t q0, int64_t q1, int64_t *jumps)
{
    const nnrt_gemm_ops *g = a->gemm;
    const int64_t cin = a->x_channels / a->groups, cout = a->y_channels / a->groups, per = CEIL(cout, NR);
    const int64_t taps = p->taps[0] * p->taps[1] * p->taps[2], deep = taps * cin;
    const int64_t last = CEIL(cout - (per - 1) * NR, VL) * VL, all = (per - 1) * NR + last;
    nnrt_tail tail = {.alpha = 1, .beta = 1, .relu = a->activation == NNRT_ACT_RELU, .jumps = jumps};
    tail.parts = taps ? conv_jumps(jumps, p->taps, a->step, v, v->pixel == cin && a->step[2] == 1) : 0;
    const int64_t k = taps ? deep / tail.parts : 0;
    const int64_t y_row = a->y_step[2], a_row = a->stride[2] * v->pixel, tiles = CEIL(w1 - w0, MR);
    REAL *y = (REAL *)a->y + p->y + n * a->y_image + od * a->y_step[0] + h0 * a->y_step[1] + w0 * a->y_step[2];
    const REAL *residual = a->residual ? (const REAL *)a->residual + (y - (REAL *)a->y) : NULL;
    const int64_t many = a->groups > 1 ? 1 : MAX(1, BLOCK_BYTES / (MAX(deep, 1) * NR * (int64_t)sizeof(REAL)));
    tail.src_row = y_row;
    for (int64_t q = q0, j0, j1; q < q1; q += j1 - j0) {
        const int64_t group = q / per;
        j0 = q % per, j1 = MIN(MIN(j0 + many, per), j0 + q1 - q);
        const REAL *filter = (const REAL *)a->filter + p->filter + group * deep * all;
        for (int64_t h = 0; h < h1 - h0; h++)
            for (int64_t i = 0; i < tiles; i++) {
                const int64_t w = i * (w1 - w0) / tiles, rows = (i + 1) * (w1 - w0) / tiles - w;
                const REAL *x = (const REAL *)v->data + h * a->stride[1] * v->row + w * a_row;
                for (int64_t j = j0; j < j1; j++) {
                    const int64_t o = group * cout + j * NR, at = h * a->y_step[1] + w * y_row + o;
                    tail.bias = a->bias ? (const REAL *)a->bias + o : NULL;
                    tail.src = residual ? residual + at : NULL;
                    g->tile(rows, MIN(NR, cout - j * NR), k, x, a_row, 1, filter + j * deep * NR,
                            j < per - 1 ? NR : last, y + at, y_row, &tail);
                }
            }
        if (a->activation > NNRT_ACT_RELU)
            for (int64_t h = 0; h < h1 - h0; h++)
                for (int64_t w = 0; w < w1 - w0; w++)
                    g->activate(a->activation, y + h * a->y_step[1] + w * y_row + group * cout + j0 * NR,
                                MIN(j1 * NR, cout) - j0 * NR);
    }
}

static void K(conv_tiles)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_args *a = args;
    const int64_t cin = a->x_channels / a->groups, per = CEIL(a->y_channels / a->groups, NR), panels = a->groups * per;
    const int64_t strips = CEIL(panels, a->panels), across = CEIL(a->most[2], a->cols);
    const int64_t down = CEIL(a->most[1], a->rows);
    const int64_t blocks = a->images * a->most[0] * down * across;
    int64_t *jumps = scratch;
    REAL *box = (REAL *)((char *)scratch + (a->taps * sizeof(int64_t) + 63) / 64 * 64);
    for (int64_t task = begin; task < end; task++) {
        /* the filters of groups stay in L2 while images pass; else an image does while the filter passes */
        const int64_t strip = a->groups > 1 ? task / blocks : task % strips;
        const int64_t q0 = strip * a->panels, q1 = MIN(q0 + a->panels, panels);
        int64_t t = a->groups > 1 ? task % blocks : task / strips;
        const int64_t w0 = t % across * a->cols, w1 = MIN(w0 + a->cols, a->most[2]);
        t /= across;
        const int64_t h0 = t % down * a->rows, h1 = MIN(h0 + a->rows, a->most[1]);
        t /= down;
        const int64_t od = t % a->most[0], n = t / a->most[0];
        /* what its first output meets, at the lowest of the taps */
        const int64_t id = a->low[0] + od * a->stride[0], ih = a->low[1] + h0 * a->stride[1];
        const int64_t iw = a->low[2] + w0 * a->stride[2];
        const REAL *x = (const REAL *)a->x + n * a->in[0] * a->in[1] * a->in[2] * a->x_channels;
        for (int64_t q = q0, to; q < q1; q = to) { /* group by group */
            const int64_t c0 = q / per * cin;
            conv_view v;
            to = a->groups > 1 ? MIN((q / per + 1) * per, q1) : q1;
            if (a->padded) {
                const int64_t deep = a->high[0] - a->low[0] + 1;
                const int64_t high = (h1 - h0 - 1) * a->stride[1] + a->high[1] - a->low[1] + 1;
                const int64_t wide = (w1 - w0 - 1) * a->stride[2] + a->high[2] - a->low[2] + 1;
                K(copy_box)(box, x, a->in, a->x_channels, id, deep, ih, high, iw, wide, c0, cin);
                v = (conv_view){box, high * wide * cin, wide * cin, cin};
            } else
                v = (conv_view){x + ((id * a->in[1] + ih) * a->in[2] + iw) * a->x_channels + c0,
                                a->in[1] * a->in[2] * a->x_channels, a->in[2] * a->x_channels, a->x_channels};
            for (int64_t i = 0; i < a->passes; i++) {
                const nnrt_conv_pass *p = &a->pass[i];
                conv_view of = v;
                of.data = (const REAL *)v.data + (p->first[0] - a->low[0]) * v.plane
                        + (p->first[1] - a->low[1]) * v.row + (p->first[2] - a->low[2]) * v.pixel;
                if (od < p->out[0] && h0 < p->out[1] && w0 < p->out[2])
                    K(conv_block)(a, p, &of, n, od, h0, MIN(h1, p->out[1]), w0, MIN(w1, p->out[2]), q, to, jumps);
            }
        }
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

/* The same box in blocks of channels: dst[block][d][h][w][width]. */
static void K(copy_blocks)(REAL *dst, int64_t width, const REAL *x, const int64_t *in, int64_t x_channels, int64_t d0,
                           int64_t deep, int64_t h0, int64_t high, int64_t w0, int64_t wide,
                           int64_t c0, int64_t channels)
{
    const int64_t before = MIN(MAX(-w0, 0), wide), end = MIN(MAX(in[2] - w0, before), wide);
    const int64_t block = deep * high * wide * width, whole = channels / NNRT_CONV_WIDTH * NNRT_CONV_WIDTH;
    for (int64_t d = d0; d < d0 + deep; d++)
        for (int64_t h = h0; h < h0 + high; h++, dst += wide * width) {
            const int inside = d >= 0 && d < in[0] && h >= 0 && h < in[1];
            const int64_t first = inside ? before : wide, last = inside ? end : wide;
            for (int64_t c = 0; c < channels; c += width) {
                K(zero)(dst + c / width * block, first * width);
                K(zero)(dst + c / width * block + last * width, (wide - last) * width);
            }
            if (!inside)
                continue;
            const REAL *src = x + ((d * in[1] + h) * in[2] + w0) * x_channels + c0;
            if (width == x_channels)
                memcpy(dst + first * width, src + first * width, (last - first) * width * sizeof(REAL));
            else
                for (int64_t w = first; w < last; w++) {
                    REAL *to = dst + w * width;
                    for (int64_t c = 0; c < whole; c += NNRT_CONV_WIDTH, to += block)
                        memcpy(to, src + w * x_channels + c, NNRT_CONV_WIDTH * sizeof(REAL));
                    if (whole < channels)
                        memcpy(to, src + w * x_channels + whole, (channels - whole) * sizeof(REAL));
                }
        }
}

/* to[cols] (+)= the sum of n rows. */
static __attribute__((hot, noinline)) void K(add_rows)(REAL *to, const REAL *src, int64_t step, int64_t n,
                                                       int64_t cols, int fresh)
{
    int64_t j = 0;
    for (; VBYTES == 64 && j + NR <= cols; j += NR) { /* sums enough not to wait for each other's end */
        const K(vec) zero = {0};
        K(vec) a0 = fresh ? zero : K(load)(to + j), a1 = fresh ? zero : K(load)(to + j + VL);
        K(vec) b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
        const REAL *p = src + j;
        int64_t i = n;
        for (; i >= 4; i -= 4, p += 4 * step) {
            a0 += K(load)(p), a1 += K(load)(p + VL);
            b0 += K(load)(p + step), b1 += K(load)(p + step + VL);
            c0 += K(load)(p + 2 * step), c1 += K(load)(p + 2 * step + VL);
            d0 += K(load)(p + 3 * step), d1 += K(load)(p + 3 * step + VL);
        }
        for (; i > 0; i--, p += step)
            a0 += K(load)(p), a1 += K(load)(p + VL);
        K(store)(to + j, (a0 + b0) + (c0 + d0));
        K(store)(to + j + VL, (a1 + b1) + (c1 + d1));
    }
    for (; j + VL <= cols; j += VL) {
        K(vec) a = fresh ? (K(vec)){0} : K(load)(to + j), b = {0};
        for (int64_t i = 0; i + 2 <= n; i += 2)
            a += K(load)(src + i * step + j), b += K(load)(src + (i + 1) * step + j);
        K(store)(to + j, n % 2 ? a + b + K(load)(src + (n - 1) * step + j) : a + b);
    }
    for (; j < cols; j++) {
        REAL a = fresh ? 0 : to[j];
        for (int64_t i = 0; i < n; i++)
            a += src[i * step + j];
        to[j] = a;
    }
}

static void K(conv_sums_task)(const nnrt_conv_sums *a, int64_t t, void *scratch)
{
    const nnrt_gemm_ops *g = a->gemm;
    const int64_t cin = a->x_channels / a->groups, cout = a->y_channels / a->groups, per = CEIL(cout, NR);
    const int64_t strips = CEIL(a->groups * per, a->panels), per_group = CEIL(cin, a->width);
    const int64_t q0 = t % strips * a->panels, q1 = MIN(q0 + a->panels, a->groups * per), chunk = t / strips;
    const int64_t down = CEIL(a->out[1], a->rows), across = CEIL(a->out[2], a->cols);
    const int64_t g0 = q0 / per, g1 = (q1 - 1) / per + 1;
    const int64_t reach[3] = {(a->taps[0] - 1) * a->step[0] + 1, (a->taps[1] - 1) * a->step[1] + 1,
                              (a->taps[2] - 1) * a->step[2] + 1};
    const int64_t all_taps = a->taps[0] * a->taps[1] * a->taps[2];
    REAL *sums = (REAL *)a->sums + chunk * all_taps * cin * a->y_channels;
    int64_t *jumps = scratch;
    REAL *panels = (REAL *)((char *)scratch + (a->rows * sizeof(int64_t) + 63) / 64 * 64);
    REAL *box = panels + a->panels * a->rows * a->cols * NR;
    nnrt_tail tail = {.alpha = 1, .beta = 1, .src_row = cout, .jumps = jumps, .line = 64};
    const int there = a->y_channels * sizeof(REAL) <= IN_PLACE_BYTES;
    for (int64_t b = chunk * a->chunk; b < MIN((chunk + 1) * a->chunk, a->blocks); b++) {
        const int64_t w0 = b % across * a->cols, w1 = MIN(w0 + a->cols, a->out[2]), wide = w1 - w0;
        const int64_t h0 = b / across % down * a->rows, h1 = MIN(h0 + a->rows, a->out[1]), high = h1 - h0;
        const int64_t od = b / across / down % a->out[0], n = b / across / down / a->out[0];
        const REAL *x = (const REAL *)a->x + n * a->in[0] * a->in[1] * a->in[2] * a->x_channels;
        const REAL *dy = (const REAL *)a->dy
                         + (((n * a->out[0] + od) * a->out[1] + h0) * a->out[2] + w0) * a->y_channels;
        const int64_t box_rows = (high - 1) * a->stride[1] + reach[1], box_cols = (wide - 1) * a->stride[2] + reach[2];
        const int64_t row = box_cols * a->width, plane = box_rows * row, block = reach[0] * plane;
        /* groups of whole blocks at once: their pixels are stretches of memory */
        const int64_t many = cin % NNRT_CONV_WIDTH ? 1 : g1 - g0;
        for (int64_t i = g0; i < g1; i += many)
            K(copy_blocks)(box + (i - g0) * per_group * block, a->width, x, a->in, a->x_channels,
                           a->first[0] + od * a->stride[0], reach[0], a->first[1] + h0 * a->stride[1], box_rows,
                           a->first[2] + w0 * a->stride[2], box_cols, i * cin, many * cin);
        tail.parts = high;
        for (int64_t h = 0; h < high; h++)
            jumps[h] = h * a->stride[1] * row;
        for (int64_t h = 0; h < high && !there; h++)
            for (int64_t w = 0; w < wide; w++) {
                const REAL *src = dy + (h * a->out[2] + w) * a->y_channels;
                REAL *dst = panels + (h * wide + w) * NR;
                for (int64_t q = q0, i = g0, j = q0 % per * NR; q < q1; q++, dst += high * wide * NR) {
                    if (j + NR <= cout) {
                        K(store)(dst, K(load)(src + i * cout + j));
                        K(store)(dst + VL, K(load)(src + i * cout + j + VL));
                    } else
                        memcpy(dst, src + i * cout + j, (cout - j) * sizeof(REAL));
                    j += NR;
                    if (j >= cout)
                        i++, j = 0;
                }
            }
        for (int64_t h = 0; h < high && a->totals; h++)
            for (int64_t q = q0; q < q1; q++) {
                const int64_t o = q / per * cout + q % per * NR;
                const REAL *src = there ? dy + h * a->out[2] * a->y_channels + o
                                        : panels + ((q - q0) * high + h) * wide * NR;
                K(add_rows)((REAL *)a->totals + chunk * a->y_channels + o, src, there ? a->y_channels : NR, wide,
                            MIN(NR, cout - q % per * NR), h == 0 && b == chunk * a->chunk);
            }
        /* The next block's dy, which follows in memory, comes while this one is summed; of
         * groups the task's part of each pixel. */
        const int64_t across_w = a->joined ? 1 : a->taps[2], taps = a->taps[0] * a->taps[1] * across_w;
        const int64_t pixel = a->y_channels * sizeof(REAL), step = a->groups > 1 ? pixel : 64;
        const int64_t run = a->groups > 1 ? (g1 - g0) * cout * sizeof(REAL) : 64;
        const int64_t each = CEIL(CEIL(high * wide * pixel, step), taps * (q1 - q0) * per_group) * step;
        const char *ahead = (const char *)(dy + high * wide * a->y_channels + g0 * cout);
        const char *last = ahead + high * wide * pixel;
        const int spread = VBYTES == 64 && there && a->groups == 1 && cout == NR;
        for (int64_t q = q0; q < q1; q++)
            for (int64_t c0 = 0; c0 < cin; c0 += a->width)
                for (int64_t tap = 0; tap < taps; tap++) {
                    const int64_t td = tap / across_w / a->taps[1], th = tap / across_w % a->taps[1];
                    const int64_t tw = tap % across_w;
                    const int64_t m = a->joined ? a->taps[2] * cin : MIN(a->width, cin - c0), tiles = CEIL(m, MR);
                    const int64_t o = q % per * NR;
                    const REAL *xp = box + ((q / per - g0) * per_group + c0 / a->width) * block
                                   + td * a->step[0] * plane + th * a->step[1] * row + tw * a->step[2] * a->width;
                    REAL *sum = sums + (q / per * all_taps * cin + (a->joined ? tap * m : tap * cin + c0)) * cout + o;
                    /* Of dy in place the tiles ask for a line with each of its pixels: all at
                     * once they fill the queue. */
                    tail.ahead = spread && ahead < last ? ahead : NULL;
                    for (const char *stop = ahead + each; ahead < stop && !spread; ahead += step)
                        for (int64_t i = 0; i < run; i += 64)
                            __builtin_prefetch(ahead + i, 0, 2);
                    for (int64_t i = 0; i < tiles; i++, tail.ahead = NULL, ahead += spread * high * wide * 64) {
                        const int64_t c = i * m / tiles, rows = (i + 1) * m / tiles - c;
                        tail.src = b > chunk * a->chunk ? sum + c * cout : NULL;
                        g->tile(rows, MIN(NR, cout - o), wide, xp + c, 1, a->stride[2] * a->width,
                                there ? dy + q / per * cout + o : panels + (q - q0) * high * wide * NR,
                                there ? a->y_channels : NR, sum + c * cout, cout, &tail);
                    }
                }
    }
}

static void K(conv_sums)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    for (int64_t t = begin; t < end; t++)
        K(conv_sums_task)(args, t, scratch);
}

/* A block of rows of dw at a time: pieces of sums' rows pass through a copy in L1, which is read across. */
static void K(conv_gather)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_gather *a = args;
    const int64_t size = a->taps * a->inputs, each = size * a->outputs, chunk = a->groups * each;
    const int64_t pieces = CEIL(size, a->length), blocks = pieces * CEIL(a->outputs, NNRT_CONV_ROWS);
    REAL *lines = scratch;
    if (begin == 0 && a->db)
        K(add_rows)(a->db, a->totals, a->groups * a->outputs, a->chunks, a->groups * a->outputs, 1);
    for (int64_t t = begin; t < end; t++) {
        const int64_t group = t / blocks * each, o0 = t % blocks / pieces * NNRT_CONV_ROWS;
        const int64_t count = MIN(NNRT_CONV_ROWS, a->outputs - o0);
        const int64_t e0 = t % pieces * a->length, length = MIN(a->length, size - e0);
        for (int64_t e = 0; e < length; e++) {
            const REAL *src = (const REAL *)a->sums + group
                              + ((e0 + e) % a->taps * a->inputs + (e0 + e) / a->taps) * a->outputs + o0;
            REAL *dst = lines + e * NNRT_CONV_ROWS;
            for (int64_t o = 0; o < count; o++)
                dst[o] = src[o];
            for (int64_t i = 1; i < a->chunks; i++)
                for (int64_t o = 0; o < count; o++)
                    dst[o] += src[o + i * chunk];
        }
        for (int64_t o = 0; o < count; o += SIDE) {
            REAL *dst = (REAL *)a->dw + group + (o0 + o) * size + e0;
            int64_t e = 0;
            for (; o + SIDE <= count && e + SIDE <= length; e += SIDE) {
                const REAL *rows[SIDE];
                for (int64_t i = 0; i < SIDE; i++)
                    rows[i] = lines + (e + i) * NNRT_CONV_ROWS + o;
                K(transpose_tile)(dst + e, size, rows);
            }
            for (; e < length; e++)
                for (int64_t i = 0; i < MIN(SIDE, count - o); i++)
                    dst[i * size + e] = lines[e * NNRT_CONV_ROWS + o + i];
        }
    }
}

/* ---- the filter as panels ---- */

/* Rows of w whose distance is a multiple of 2 kB compete for the same lines: pieces of them are packed from a copy. */
#define PIECE 128

static void K(conv_pack)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_pack *a = args;
    const int64_t per = CEIL(a->outputs, NR), last = CEIL(a->outputs - (per - 1) * NR, VL) * VL;
    const int64_t all = (per - 1) * NR + last, size = a->inputs * a->taps;
    /* elements of w side by side that belong to one output: inputs and taps, or taps alone */
    const int64_t run = a->input == a->taps ? size : a->taps;
    REAL copy[2 * VBYTES / sizeof(REAL)][PIECE + 4], lines[SIDE][2 * VBYTES / sizeof(REAL)];
    for (int64_t task = begin; task < end; task++) {
        const int64_t group = task / per, panel = task % per, cols = MIN(NR, a->outputs - panel * NR);
        const int64_t width = panel < per - 1 ? NR : last, copied = run == size || cols < NR || run % SIDE > SIDE / 2;
        const REAL *w = (const REAL *)a->w + group * a->group + panel * NR * a->output;
        for (int64_t e0 = 0, c = 0, t = 0, piece; e0 < size; e0 += piece) {
            piece = MIN(PIECE, run - (run == size ? e0 : t));
            const REAL *src = w + (run == size ? e0 : c * a->input + t);
            int64_t apart = a->output;
            if (copied) {
                for (int64_t j = 0; j < cols; j++)
                    memcpy(copy[j], src + j * a->output, piece * sizeof(REAL));
                src = copy[0], apart = PIECE + 4;
            }
            for (int64_t e = 0; e < piece; e += SIDE) {
                const int64_t many = MIN(SIDE, piece - e);
                for (int64_t j = 0; many > SIDE / 2 && j < cols; j += SIDE) {
                    const REAL *rows[SIDE];
                    for (int64_t i = 0; i < SIDE; i++)
                        rows[i] = src + (j + i) * apart + e;
                    K(transpose_tile)(lines[0] + j, NR, rows);
                }
                for (int64_t i = 0; i < many; i++) {
                    const int64_t deep = a->count[t] * a->inputs;
                    REAL *dst = (REAL *)a->dst + a->base[t] + group * deep * all + panel * deep * NR
                              + (a->place[t] * a->inputs + c) * width;
                    if (many > SIDE / 2 && cols == NR) {
                        K(store)(dst, K(load)(lines[i]));
                        K(store)(dst + VL, K(load)(lines[i] + VL));
                    } else
                        for (int64_t j = 0; j < cols; j++)
                            dst[j] = many > SIDE / 2 ? lines[i][j] : src[j * apart + e + i];
                    if (++t == a->taps)
                        t = 0, c++;
                }
            }
        }
    }
}

/* ---- columns, added up where they came from ---- */

/* An element of x is a sum in a register: of what rows of columns hold for the taps along w that meet it. */
static void K(conv_fold)(const void *args, int64_t begin, int64_t end, void *scratch)
{
    const nnrt_conv_fold *a = args;
    const int64_t c = a->channels, high = a->in[1], wide = a->in[2], along = a->taps[2];
    const int64_t taps = a->taps[0] * a->taps[1] * along, last = MIN(end * a->rows, a->images * a->in[0] * high);
    int64_t *const met = scratch;        /* [wide]: how many */
    int64_t *const offsets = met + wide; /* [wide][along]: where in a row of columns */
    const REAL **const rows = (const REAL **)(offsets + wide * along);
    for (int64_t w = 0; w < wide; w++)
        for (int64_t k = met[w] = 0; k < along; k++) {
            const int64_t o = meets(w, k, a->step[2], a->stride[2], a->first[2], a->out[2]);
            if (o >= 0)
                offsets[w * along + met[w]++] = (o * taps + k) * c;
        }
    for (int64_t row = begin * a->rows; row < last; row++) {
        const int64_t h = row % high, d = row / high % a->in[0], n = row / high / a->in[0];
        int64_t count = 0;
        for (int64_t k = 0; k < taps; k += along) {
            const int64_t od = meets(d, k / along / a->taps[1], a->step[0], a->stride[0], a->first[0], a->out[0]);
            const int64_t oh = meets(h, k / along % a->taps[1], a->step[1], a->stride[1], a->first[1], a->out[1]);
            if (od >= 0 && oh >= 0)
                rows[count++] = (const REAL *)a->columns
                                + (((n * a->out[0] + od) * a->out[1] + oh) * a->out[2] * taps + k) * c;
        }
        REAL *x = (REAL *)a->x + row * wide * c, *const stop = x + wide * c;
        for (int64_t w = 0; w < wide; w++)
            for (int64_t e = 0, lanes; e < c; e += VL, x += lanes) {
                lanes = MIN(VL, c - e);
                K(vec) sum = a->bias ? K(load_some)((const REAL *)a->bias + e, lanes) : (K(vec)){0};
                for (int64_t r = 0; r < count; r++)
                    for (int64_t k = 0; k < met[w]; k++)
                        sum += K(load_some)(rows[r] + offsets[w * along + k] + e, lanes);
                if (x + VL <= stop)
                    K(store)(x, sum); /* lanes behind are written after these */
                else
                    K(store_some)(x, lanes, sum);
            }
    }
}

#undef PIECE
#undef VL
#undef NR
#undef SIDE
#undef ELEMENT
#undef ELEMENT_BYTES

#endif
