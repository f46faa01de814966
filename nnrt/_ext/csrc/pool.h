#ifndef NNRT_POOL_H
#define NNRT_POOL_H

#include "nnrt.h"

/* One axis: windows as in nnrt._ref.pool; kernel 0: adaptive. */
typedef struct {
    int64_t in, out, kernel, stride, padding, dilation;
    int64_t taps; /* most of a window: the radix of a tap's number */
} nnrt_pool_axis;

typedef struct {
    nnrt_work work;
    void *to;         /* y forward, dx backward: [n, d, h, w, c] */
    const void *from; /* x forward, dy backward */
    void *at;         /* [n, od, oh, ow, c], or NULL */
    int64_t *index;   /* of max_unpool and max_index */
    nnrt_pool_axis axis[3];
    int64_t n, c;
    int64_t size[3];                /* d, h, w of `to` */
    int64_t cols, blocks;           /* a unit is `cols` pixels of a row of `to`, and */
    int64_t chunk, chunks;          /* `chunk` of their channels; */
    int64_t group, units;           /* `group` units make a task */
    int64_t buffer, lines;          /* bytes of the sums, lines of a unit at most */
    int backward, sums, wide, stream, include_pad; /* at is int32; `to` bypasses the caches */
    int squares; /* forward, means: of whole windows of 2 x 2, side by side, whole vectors of channels */
    int lined; /* the same, with AVX-512 whole lines of channels */
    int ahead; /* forward: rows are asked for, which come from memory */
    int avx512; /* means of whole images: memory is read in three places at once, not in four */
    int threes; /* means of 3 x 3 with stride 1, in whole vectors of AVX-512 */
    double divisor;                 /* 0: the count */
} nnrt_pool_args;

enum {
    NNRT_POOL_TASK = 65536, /* elements read or written that are worth a task, some 20 us */
    NNRT_POOL_CHUNK = 64,   /* channels: 256 bytes of floats */
    NNRT_POOL_FEW = 16,     /* pixels: fewer are cut by channels too */
    NNRT_POOL_TAPS = 9,     /* of a maximum that are looked at in one go */
    NNRT_POOL_SUM = 16384, /* bytes of a sum of lines, where one output needs no more: half of L1 */
};

/* Taps first..last-1 at start + k * dilation; one over what divides their sum along this axis. */
typedef struct {
    int64_t start, first, last;
    double scale;
} nnrt_pool_window;

/* Where a unit reads. Along d and h: a row's first element, the number of its first tap, its scale. Along w,
 * backward: an output that covers the input, the tap that it does so with, its scale. */
typedef struct {
    int64_t from, tap;
    double scale;
} nnrt_pool_line;

/* The most inputs that n outputs in a row look at, and the most outputs that look at n inputs in a row. */
static inline int64_t nnrt_pool_inputs(const nnrt_pool_axis *a, int64_t n)
{
    int64_t most = a->kernel ? (n - 1) * a->stride + (a->kernel - 1) * a->dilation + 1 : n * a->in / a->out + 2;
    return most < a->in ? most : a->in;
}

static inline int64_t nnrt_pool_outputs(const nnrt_pool_axis *a, int64_t n)
{
    int64_t most = a->kernel ? (n - 1 + (a->kernel - 1) * a->dilation) / a->stride + 2 : n * a->out / a->in + 2;
    return most < a->out ? most : a->out;
}

/* Cuts `to` into units and tasks, from the shapes alone; returns the number of tasks. A worker's scratch holds
 * the sum of a unit's lines or what was found in them so far, of so many bytes per element, and its tables. */
static inline int64_t nnrt_pool_cut(nnrt_pool_args *p, int64_t bytes)
{
    const nnrt_pool_axis *a = p->axis;
    int64_t rows = p->n * p->size[0] * p->size[1], pixels = rows * p->size[2], each = 1;
    for (int i = 0; i < 3; i++)
        each *= !p->backward && a[i].in > a[i].out ? a[i].in / a[i].out : 1;
    p->chunk = pixels < NNRT_POOL_FEW && p->c > NNRT_POOL_CHUNK ? NNRT_POOL_CHUNK : p->c;
    p->chunks = (p->c + p->chunk - 1) / p->chunk;
    each *= p->chunk;
    int64_t most = NNRT_POOL_TASK / each;
    int64_t kept = p->chunk * bytes * (p->sums && !p->backward ? nnrt_pool_inputs(a + 2, 1) : 1);
    p->squares = p->sums && !p->backward && a[0].in == a[0].out && p->c * bytes % 32 == 0 && p->chunk == p->c
                 && p->size[2] <= most;
    for (int i = 0; i < 3; i++)
        p->squares &= a[i].kernel == (i ? 2 : 1) && a[i].stride == a[i].kernel && !a[i].padding
            && a[i].out * a[i].stride <= a[i].in;
    const int lines512 = p->avx512 && p->c * bytes % 64 == 0 && (uintptr_t)p->to % 64 == 0;
    p->lined = p->squares && lines512;
    if (!p->squares && most > NNRT_POOL_SUM / kept)
        most = NNRT_POOL_SUM / kept;
    p->threes = p->sums && lines512 && p->chunk == p->c;
    for (int i = 1; i < 3; i++)
        p->threes &= a[i].kernel == 3 && a[i].stride == 1;
    p->cols = most < 1 ? 1 : most < p->size[2] ? most : p->size[2];
    p->blocks = (p->size[2] + p->cols - 1) / p->cols;
    p->units = rows * p->blocks * p->chunks;
    p->group = p->cols * each < NNRT_POOL_TASK ? NNRT_POOL_TASK / (p->cols * each) : 1;
    int64_t width = p->backward ? nnrt_pool_outputs(a + 2, p->cols)
                    : p->sums   ? nnrt_pool_inputs(a + 2, p->cols)
                                : p->cols;
    int64_t lines = 1;
    for (int i = 0; i < 2; i++) /* taps outside are no lines, however many */
        lines *= p->backward ? nnrt_pool_outputs(a + i, 1) : a[i].taps < a[i].in ? a[i].taps : a[i].in;
    p->buffer = p->squares ? 0 : (width * p->chunk * bytes + 63) / 64 * 64;
    p->lines = lines;
    lines += p->backward ? p->cols * nnrt_pool_outputs(a + 2, 1) : 0;
    p->work.scratch = (size_t)p->buffer + (size_t)lines * sizeof(nnrt_pool_line)
                      + (size_t)p->cols * sizeof(nnrt_pool_window);
    return (p->units + p->group - 1) / p->group;
}

typedef struct {
    nnrt_kernel max_pool[2], max_pool_backward[2], max_index[1], max_unpool[2];
    nnrt_kernel avg_pool[2], avg_pool_backward[2], avg_threes[2]; /* threes: forward and backward; NULL below AVX2 */
} nnrt_pool_table;

NNRT_TABLES_AVX2(pool)

#endif
