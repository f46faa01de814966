/* Winograd convolution. This file includes itself once per dtype, and winograd_tile.h once per dtype and tile. */
#ifndef REAL

#include <string.h>

#include "stream.h"
#include "winograd.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* Of the depth of a filter that is copied at a time. */
#define PIECE 16
#define MOST_TAPS 25
/* Whether there are kernels that go along rows alone. */
#ifdef __AVX512F__
#define ROWS 1
#else
#define ROWS 0
#endif

/* Small before fast where little time is spent. */
#define COLD __attribute__((cold))
#define HOT __attribute__((hot))

#define EACH_DTYPE "winograd.c"
#include "each_dtype.h"

#define KERNEL(name, m, type) .name = {"winograd/" #name "/F" #m "/" #type "/" NNRT_STR(NNRT_ISA), name##_##m##_##type}
#define OPS(m, type)                                                                                           \
    {                                                                                                          \
        KERNEL(filter, m, type), KERNEL(input, m, type), KERNEL(output, m, type), KERNEL(conv, m, type),       \
        KERNEL(sum, m, type), KERNEL(finish, m, type),                                                         \
    }

#if ROWS
#define ROWS_OPS                                                                                               \
    {                                                                                                          \
        KERNEL(filter, rows, f32), KERNEL(conv, rows, f32),                                                    \
            .sum = {"winograd/rows_sum/f32/" NNRT_STR(NNRT_ISA), rows_sum_f32},                                \
            .finish = {"winograd/rows_finish/f32/" NNRT_STR(NNRT_ISA), rows_finish_f32},                       \
    }
#else
#define ROWS_OPS {.filter = {NULL, NULL}}
#endif

const nnrt_winograd_table NNRT_SYM(winograd) = {
    {OPS(4, f32), OPS(4, f64)}, OPS(2, f32), {OPS(2s, f32), OPS(4s, f32)}, OPS(5, f32), OPS(3, f32), ROWS_OPS,
};

#else

#include "gemm_vec.h"
#include "winograd_lines.h"
#define ELEMENT REAL
#define ELEMENT_BYTES REAL_BYTES
#include "transpose.h"

/* A line that bypasses the caches. */
INLINE void K(store_past)(REAL *p, K(vec) v)
{
#if VBYTES == 64
    _mm512_stream_si512((void *)p, (__m512i)v);
#endif
}

/* Elements from one matrix of a panel of u to the next, and before the panel of column j. */
INLINE int64_t K(u_step)(int64_t depth, int64_t width)
{
    return nnrt_winograd_step(depth * width * sizeof(REAL)) / sizeof(REAL);
}
INLINE int64_t K(panel)(int64_t depth, int64_t matrices, int64_t j)
{
    return j / NR * matrices * K(u_step)(depth, NR);
}

/* What squares are cut from: every step-th element of a[n, h, w, c], from pad before it on. */
typedef struct {
    const REAL *a;
    int64_t h, w, c, pixel, pad_h, pad_w, step, groups; /* pixel: elements from one to the next */
    int64_t row, panel, set, v_step; /* of what they become: see nnrt_winograd_args */
    REAL *totals; /* [groups, c]: to which dy is added, or NULL */
} K(image);

/* The square under tile t at one of the step² phases: its rows, whose columns inside[0]..inside[1] lie in a;
 * zeros are left of them and right. */
COLD static void K(square)(const nnrt_winograd_args *p, const K(image) *s, int64_t t, int64_t phase, int64_t side,
                      const REAL *zeros, const REAL **rows, int64_t *inside)
{
    const int64_t step = s->step;
    const int64_t image = t / (p->down * p->across);
    const int64_t top = t / p->across % p->down * p->tile, left = t % p->across * p->tile;
    const int64_t y0 = top * step + phase / 2 - s->pad_h, x0 = left * step + phase % 2 - s->pad_w;
    const int64_t j0 = MIN(MAX(step - 1 - x0, 0) >> (step - 1), side);
    const int64_t j1 = MAX(MIN((s->w - x0 + step - 1) >> (step - 1), side), j0);
    for (int64_t i = 0; i < side; i++) {
        const int64_t y = y0 + i * step;
        rows[i] = y >= 0 && y < s->h ? s->a + ((image * s->h + y) * s->w + x0) * s->pixel : zeros;
    }
    inside[0] = j0, inside[1] = j1;
}

/* The last n channels of a square's rows, which are no whole vector, between zeros. */
HOT static void K(last_lanes)(REAL *copy, const REAL **rows, int64_t *inside, int64_t pixel, int64_t at,
                              int64_t n, int64_t side)
{
    const K(mask) mask = K(lanes)(n);
    for (int64_t i = 0; i < side; i++) {
        REAL *to = copy + i * side * VL;
        for (int64_t j = inside[0]; j < inside[1]; j++)
            K(store)(to + j * VL, K(load_lanes)(rows[i] + j * pixel + at, mask));
        rows[i] = to;
    }
}

typedef void (*K(transform_input))(const nnrt_winograd_args *p, const K(image) *s, int64_t t0, int64_t t1, REAL *v,
                                   REAL *zeros);
typedef void (*K(transform_output))(const nnrt_winograd_args *p, int64_t t0, int64_t t1, int64_t o0, int64_t o1,
                                    int64_t down, int64_t right, const REAL *m);

/* Products of the transformed tiles, rows of v, with the columns o0..o1 of a pass's u. */
static void K(multiply)(const nnrt_winograd_args *p, const REAL *v, int64_t tiles, const REAL *filter, int64_t o0,
                        int64_t o1, int64_t squares, REAL *m)
{
    const int64_t count = CEIL(tiles, MR), each = tiles / count, more = tiles % count;
    nnrt_tail tail = {.alpha = 1, .line = 2 * VBYTES};
    for (int64_t e = 0; e < squares; e++, v += p->v_step, m += p->m_step)
        for (int64_t j = o0; j < o1; j += NR) {
            const int64_t cols = MIN(o1 - j, NR), width = CEIL(cols, VL) * VL;
            const REAL *u = filter + K(panel)(p->depth, squares, j) + e * K(u_step)(p->depth, width);
            /* The next matrix of the panel, or what comes next of this one. */
            tail.ahead = (const char *)u + MIN(nnrt_winograd_step(p->depth * width * sizeof(REAL)), NNRT_AHEAD);
            for (int64_t i = 0, rows; i < tiles; i += rows, tail.ahead = NULL) {
                rows = each + (i < more * (each + 1));
                p->gemm->tile(rows, cols, p->depth, v + i * p->v_row, p->v_row, 1, u, width, m + i * p->m_row + j - o0,
                              p->m_row, &tail);
            }
        }
}

/* A block of s: o0..o1 of a group and c0..c1 of each phase. */
typedef struct {
    int64_t group, o0, o1, c0, c1, width; /* of a phase in s */
    const char *soon; /* what will be read from memory, so many lines of it with each matrix */
    int64_t lines;
    const char *to; /* its dw: rows of `run` bytes, so far from one to the next; asked for meanwhile */
    int64_t run, row;
} K(block);

INLINE K(block) K(block_of)(const nnrt_winograd_args *p, int64_t t)
{
    const int64_t wide = p->panels * NR, down = CEIL(p->o, p->rows), across = CEIL(p->c, wide);
    const int64_t o = t / across % down * p->rows, c = t % across * wide, c1 = MIN(c + wide, p->c);
    return (K(block)){t / across / down, o, MIN(o + p->rows, p->o), c, c1, CEIL(c1 - c, NR) * NR, NULL, 0, NULL, 0, 0};
}

/* s += q^T v over these tiles, matrices e0..e1. */
static __attribute__((noinline)) void K(sum)(const nnrt_winograd_args *p, K(block) w, REAL *s, int64_t e0, int64_t e1)
{
    const int64_t phases = p->step * p->step;
    nnrt_tail tail = {.alpha = 1, .beta = 1, .src_row = p->s_row, .line = NR * sizeof(REAL)};
    const int64_t products = (e1 - e0) * phases * CEIL(w.o1 - w.o0, NR) * (w.width / NR);
    const int64_t lines = CEIL((w.o1 - w.o0) * w.run, 64 * products);
    const char *out = w.to, *end = out + w.run;
    for (int64_t e = e0, left = w.to ? w.o1 - w.o0 : 0; e < e1; e++) {
        for (int64_t i = 0; i < w.lines; i++, w.soon += 64)
            __builtin_prefetch(w.soon, 0, 2);
        const REAL *v = (const REAL *)p->v + e * p->v_step + w.group * phases * p->v_set;
        const REAL *q = (const REAL *)p->q + e * p->q_step + w.group * p->q_set, *first = v + w.c0 / NR * p->v_panel;
        for (int64_t o = w.o0; o < w.o1; o += NR) {
            const int64_t high = MIN(w.o1 - o, NR), count = CEIL(high, MR);
            for (int64_t phase = 0; phase < phases; phase++)
                for (int64_t c = w.c0; c < w.c1; c += NR) {
                    const REAL *b = v + phase * p->v_set + c / NR * p->v_panel;
                    /* Panels are too short for the hardware to foresee: the first tile asks for the next one. */
                    const REAL *next = c + NR < w.c1 ? b + p->v_panel : first + (phase + 1) * p->v_set;
                    if (c + NR >= w.c1 && phase + 1 == phases)
                        next = o + NR < w.o1 ? q + (o / NR + 1) * p->q_panel : first + p->v_step;
                    tail.ahead = (const char *)next;
                    for (int64_t i = 0; i < lines && left > 0; i++) {
                        __builtin_prefetch(out, 1);
                        if ((out += 64) >= end)
                            end += w.row, out = end - w.run, left--;
                    }
                    for (int64_t k = 0, i = 0, rows; k < count; k++, i += rows, tail.ahead = NULL) {
                        REAL *to = s + e * p->s_step + (o - w.o0 + i) * p->s_row + phase * w.width + c - w.c0;
                        rows = high / count + (k < high % count);
                        tail.src = p->first ? to : NULL;
                        p->gemm->tile(rows, MIN(CEIL(w.c1 - c, VL) * VL, NR), p->last - p->first,
                                      q + o / NR * p->q_panel + i, 1, NR, b, NR, to, p->s_row, &tail);
                    }
                }
        }
    }
}

/* Up to where dy has been read before tile t, with the tiles beside it. */
static const char *K(read_to)(const nnrt_winograd_args *p, int64_t t)
{
    const int64_t image = p->down * p->across, all = p->oh * p->ow;
    const int64_t at = (t % image + p->across) * p->tile * p->ow / p->across;
    return (const char *)((const REAL *)p->y + (t / image * all + MIN(at, all)) * p->y_pixel);
}

/* s of one part of the tiles, or of a group, turned: a block of tiles is transformed and summed in
 * L2, the columns a panel at a time. */
COLD static REAL *K(sum_near)(const nnrt_winograd_args *p, int64_t part, REAL *room, int64_t squares,
                              K(transform_input) of_x, K(transform_input) of_dy)
{
    nnrt_winograd_args a = *p;
    const int64_t group = p->groups > 1 ? part : 0, parts = p->parts / p->groups;
    const int64_t begin = (part - group) * p->last / parts, end = (part - group + 1) * p->last / parts;
    const int64_t blocks = CEIL(p->c, NR);
    REAL *v = room + p->v_pass, *q = v + squares * p->q_step;
    REAL *s = p->s ? (REAL *)p->s + part * blocks * p->s_block : q + squares * p->v_step;
    const K(image) x = {(const REAL *)p->x + group * p->o, p->h, p->w, p->o,       p->x_pixel, p->pad_h, p->pad_w,
                        1,    1,    NR,   p->q_panel, 0,          p->q_step, NULL};
    REAL *totals = p->totals ? (REAL *)p->totals + part * p->c : NULL;
    a.v = q, a.q = v;
    if (totals)
        memset(totals, 0, p->c * sizeof(REAL));
    for (int64_t t = begin, next; t < end; t = next) {
        next = MIN(t + p->block, end);
        a.first = t > begin, a.last = a.first + next - t;
        of_x(p, &x, t, next, v, room);
        const char *soon = K(read_to)(p, next), *last = K(read_to)(p, MIN(next + p->block, end));
        const int64_t lines = last > soon && p->groups == 1 ? CEIL(last - soon, 64 * squares * blocks) : 0;
        for (int64_t i = 0; i < blocks; i++) {
            const int64_t n = MIN(NR, p->c - i * NR);
            const K(image) dy = {(const REAL *)p->y + group * p->c + i * NR, p->oh, p->ow, n, p->y_pixel, 0, 0, 1, 1,
                                 NR, 0, 0, p->v_step, totals ? totals + i * NR : NULL};
            of_dy(p, &dy, t, next, q, room);
            K(sum)(&a, (K(block)){0, 0, p->o, 0, n, NR, soon, lines, NULL, 0, 0}, s + i * p->s_block, 0, squares);
            soon += 64 * lines * squares;
        }
    }
    return s;
}

/* s of block t: the sum of its parts, in order. */
static __attribute__((noinline)) REAL *K(all_parts)(const nnrt_winograd_args *p, int64_t t)
{
    const int64_t blocks = CEIL(p->c, NR);
    REAL *s = (REAL *)p->s + t * p->s_block;
    for (int64_t part = 1; part < p->parts; part++)
        for (int64_t e = 0; e < p->s_block; e++)
            s[e] += s[part * blocks * p->s_block + e];
    return s;
}

typedef void (*K(transform_filter))(const REAL *taps, int rotate, REAL *u, int64_t phase, int64_t step, int64_t width);

static void K(filter)(const nnrt_winograd_filter *p, int64_t begin, int64_t end, int64_t count, int64_t squares,
                      K(transform_filter) transform)
{
    const int64_t parts = CEIL(p->depth, p->part), each = parts * CEIL(p->columns, NR), along = p->depth_step == count;
    /* Rows of w along the depth are long and compete for the same lines: pieces of them are copied first. */
    REAL copy[2 * VBYTES / sizeof(REAL)][PIECE * MOST_TAPS + 4], taps[MOST_TAPS * VBYTES / sizeof(REAL)];
    for (int64_t task = begin; task < end; task++) {
        const int64_t k1 = MIN(task % parts * p->part + p->part, p->depth), j0 = task % each / parts * NR;
        const int64_t width = MIN(CEIL(p->columns - j0, VL) * VL, NR), step = K(u_step)(p->whole, width);
        const REAL *of = (const REAL *)p->w + task / each * p->w_group;
        REAL *u = (REAL *)p->u + task / each * p->u_group;
        const REAL *w[2 * VBYTES / sizeof(REAL)]; /* of each column; lanes behind the last one repeat it */
        for (int64_t k = task % parts * p->part, left = 0; k < k1; k++, left--) {
            if (along && left == 0) {
                left = MIN(PIECE, k1 - k);
                for (int64_t l = 0; l < width; l++) {
                    w[l] = copy[l];
                    memcpy(copy[l], of + k * count + MIN(j0 + l, p->columns - 1) * p->column_step,
                           left * count * sizeof(REAL));
                }
            } else
                for (int64_t l = 0; l < width; l++)
                    w[l] = along ? w[l] + count
                                 : of + k * p->depth_step + MIN(j0 + l, p->columns - 1) * p->column_step;
            /* Columns, or rows, are pages apart: the hardware does not foresee what is read next. */
            for (int64_t l = 0; l < width; l++)
                __builtin_prefetch(of + (k + (along ? PIECE : 4)) * p->depth_step + (j0 + l) * p->column_step);
            for (int64_t j = 0; j < width; j += VL) {
                for (int64_t l = 0; l < VL; l += SIDE)
                    for (int64_t t = 0; t < count; t += SIDE) {
                        const int64_t first = MIN(t, count - SIDE);
                        const REAL *rows[SIDE];
                        for (int64_t i = 0; i < SIDE; i++)
                            rows[i] = w[j + l + i] + first;
                        K(transpose_tile)(taps + first * VL + l, VL, rows);
                    }
                transform(taps, p->rotate, u + K(panel)(p->whole, squares, j0) + k * width + j,
                          p->u_pass + p->rows * width, step, width);
            }
        }
    }
}

/* Where a filter in training is used once, a task transforms the columns that it multiplies, or its
 * group's filter: they stay in its caches. */
static void K(conv)(const nnrt_winograd_args *p, int64_t begin, int64_t end, REAL *m, int64_t side, int64_t count,
                    K(transform_input) transform, K(transform_output) finish, K(transform_filter) prepare)
{
    const int64_t squares = side * side, groups = CEIL(p->o, p->group), blocks = CEIL(p->last, p->block);
    const int64_t tasks = blocks * groups, all = p->spread * p->spread;
    REAL *room = m + squares * p->m_step, *own = room + side * MAX(MAX(p->depth, p->x_pixel), side * VL);
    for (int64_t t = begin; t < end; t++) {
        /* groups, whose pixels share lines and pages, follow one another */
        const int64_t set = t % p->groups, s = t / p->groups;
        const int64_t block = p->by_columns ? s % blocks : s % tasks / groups;
        const int64_t part = p->by_columns ? s / blocks : s % groups;
        const int64_t t0 = block * p->block, t1 = MIN(t0 + p->block, p->last);
        const int64_t o = part * p->group, last = MIN(o + p->group, p->o);
        const REAL *u = (const REAL *)p->u + set * p->u_pass;
        int64_t u_pass = p->u_pass, from = o, pass = s / tasks, end_pass = pass + 1;
        REAL *near = own;
        if (p->filter) {
            nnrt_winograd_filter f = *p->filter;
            f.u = own, f.w = (const REAL *)f.w + set * f.w_group + o * f.column_step, f.columns = last - o;
            near += K(panel)(p->depth, squares, CEIL(f.columns, NR) * NR);
            f.u_pass = u_pass = f.u_pass ? K(panel)(p->depth, squares, CEIL(f.columns, NR) * NR) : 0;
            K(filter)(&f, 0, CEIL(f.columns, NR), count, squares, prepare);
            u = own, from = 0, pass = 0, end_pass = all;
        }
        for (; pass < end_pass; pass++) {
            const int64_t down = pass / p->spread, right = pass % p->spread;
            int64_t pad_h = p->pad_h, pad_w = p->pad_w, kind = 0;
            if (p->spread > 1) { /* the taps that these pixels meet, and where */
                kind = (down + pad_h) % 2 * 2 + (right + pad_w) % 2;
                pad_h = 1 - (down + pad_h) / 2, pad_w = 1 - (right + pad_w) / 2;
            }
            const K(image) x = {(const REAL *)p->x + set * p->c, p->h, p->w, p->c, p->x_pixel, pad_h, pad_w, p->step, 1,
                                p->v_row, NR, p->c, p->v_step, NULL};
            const REAL *v = p->v ? (const REAL *)p->v + pass * p->v_pass + t0 * p->v_row : near;
            if (!p->v)
                transform(p, &x, t0, t1, near, room);
            for (int64_t o0 = o; o0 < last; o0 += p->chunk) {
                const int64_t o1 = MIN(o0 + p->chunk, last);
                K(multiply)(p, v, t1 - t0, u + kind * u_pass, o0 - o + from, o1 - o + from, squares, m);
                finish(p, t0, t1, set * p->o + o0, set * p->o + o1, down, right, m);
            }
        }
    }
    if (p->past)
        nnrt_stream_end();
}

/* dw[lane][tap] of n lanes, `apart` from each other, from taps[tap][lane]. */
static __attribute__((noinline, noclone)) void K(put_taps)(REAL *dw, int64_t apart, const REAL *taps,
                                                           int64_t count, int64_t n)
{
    int64_t l = 0;
    for (; l + SIDE <= n; l += SIDE)
        for (int64_t t = 0; t < count; t += SIDE) {
            const int64_t first = MIN(t, count - SIDE);
            const REAL *rows[SIDE];
            for (int64_t i = 0; i < SIDE; i++)
                rows[i] = taps + (first + i) * VL + l;
            K(transpose_tile)(dw + l * apart + first, apart, rows);
        }
    for (; l < n; l++)
        for (int64_t t = 0; t < count; t++)
            dw[l * apart + t] = taps[t * VL + l];
}

#if ROWS && REAL_BYTES == 4
#include "winograd_rows.h"
#include "winograd_rows_sums.h"
#endif
#define S 1
#define R 3
#define M 4
#define F(name) K(name##_4)
#include "winograd_tile.h"
#undef M
#undef F
#if REAL_BYTES == 4
#define M 2
#define F(name) K(name##_2)
#include "winograd_tile.h"
#undef R
#undef F
#define R 5
#define F(name) K(name##_5)
#include "winograd_tile.h"
#undef M
#undef R
#undef F
#define M 3
#define R 4
#define F(name) K(name##_3)
#include "winograd_tile.h"
#undef M
#undef S
#undef R
#undef F
#define M 4
#define R 2
#define S 2
#define F(name) K(name##_4s)
#include "winograd_tile.h"
#undef M
#undef F
#define M 2
#define F(name) K(name##_2s)
#include "winograd_tile.h"
#undef M
#undef F
#endif
#undef R
#undef S
#undef VL
#undef NR
#undef SIDE
#undef ELEMENT
#undef ELEMENT_BYTES

#endif
