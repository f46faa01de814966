#ifndef NNRT_NORM_H
#define NNRT_NORM_H

#include "nnrt.h"

/* Channels-last memory [n, rows, c] whose channels fall into `groups`, with statistics [n, groups];
 * layer norms: [rows, c], statistics [rows].
 *
 * Few channels are read as `wide` = times * c columns: `times` rows at a time. Sums are cut into units:
 * one n, one part of `part` rows, one block of `cols` columns; each leaves two sums for each of its
 * columns in `partial`, which the finishing kernels fold. Passes that write are cut into pieces of
 * `piece` rows. `group` units or pieces make a task. All of it depends on the shape alone. */
typedef struct {
    nnrt_work work;
    void *y;            /* y or dx */
    const void *x, *dy;
    const void *w, *b;  /* [c] or NULL */
    const void *more;   /* what is added: layer norms: to x, in the backward pass to dx; others: to y; or NULL */
    void *total;        /* layer norms: x + more */
    const void *above;  /* sums: where this is above 0, dy counts and is written to `total`; or NULL */
    void *dw, *db;      /* [c] or NULL */
    double *mean;       /* NULL: RMS norm */
    double *rstd;       /* moments: the variance */
    double *partial;    /* [n, parts, 2, wide]; layer norms: [parts, 2, c] */
    double *sums;       /* [n, 2, c]: Σ dy, Σ dy x^ */
    double *slope;      /* [n, groups, 2]: dx = rstd w dy + slope0 (x - m) + slope1 */
    int64_t n, rows, c, groups;
    int64_t times, wide, parts, part, blocks, cols, pieces, piece, batch, group;
    int relu, fixed;
    int avx512; /* norm_wide.h */
    int stream; /* is y written past the caches, `batch` elements at a time? */
    double eps;
} nnrt_norm_args;

enum {
    NNRT_NORM_COLS = 512,   /* columns of a block */
    NNRT_NORM_RUN = 128,    /* rows that are added up in REAL */
    NNRT_NORM_TURNS = 64,   /* turns of four rows that are */
    NNRT_NORM_FIRST = 4,    /* turns whose mean the first sums run around */
    NNRT_NORM_WIDE = 64,    /* fewer columns than this are read several rows at a time */
    NNRT_NORM_BATCH = 1024, /* elements, at least, that are streamed at a time */
    NNRT_NORM_TASK = 32768, /* elements that are worth a task */
    NNRT_NORM_UNITS = 32,   /* with this many units there is no need to cut rows */
    NNRT_NORM_PARTS = 64    /* at most: bounds partial */
};

static inline int64_t nnrt_norm_ceil(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* Few channels: as many rows as make whole vectors, if that is not too wide. */
static inline void nnrt_norm_widen(nnrt_norm_args *a)
{
    a->times = 1;
    if (a->c < NNRT_NORM_WIDE) {
        while (a->times * a->c % 16 && 2 * a->times * a->c <= NNRT_NORM_COLS)
            a->times *= 2;
        a->times *= nnrt_norm_ceil(NNRT_NORM_WIDE, a->times * a->c);
    }
    a->wide = a->times * a->c;
}

/* Parts of `unit` rows or a multiple; returns how many parts of all `units` make a task. */
static inline int64_t nnrt_norm_parts(nnrt_norm_args *a, int64_t units, int64_t each, int64_t unit)
{
    a->parts = 1;
    a->part = a->rows;
    if (units < NNRT_NORM_UNITS && each >= 2 * NNRT_NORM_TASK) {
        int64_t parts = each / NNRT_NORM_TASK;
        if (parts > NNRT_NORM_PARTS)
            parts = NNRT_NORM_PARTS;
        a->part = nnrt_norm_ceil(nnrt_norm_ceil(a->rows, parts), unit) * unit;
        a->parts = nnrt_norm_ceil(a->rows, a->part);
        each = a->part * a->cols;
    }
    a->group = each < NNRT_NORM_TASK ? NNRT_NORM_TASK / (each ? each : 1) : 1;
    return nnrt_norm_ceil(units * a->parts, a->group);
}

/* Tasks of a sum over rows. */
static inline int64_t nnrt_norm_cut_sums(nnrt_norm_args *a)
{
    nnrt_norm_widen(a);
    a->blocks = nnrt_norm_ceil(a->c, NNRT_NORM_COLS);
    a->cols = nnrt_norm_ceil(a->c, a->blocks);
    return nnrt_norm_parts(a, a->n * a->blocks, a->rows * a->cols, a->times);
}

/* Tasks of a pass that writes. */
static inline int64_t nnrt_norm_cut_pass(nnrt_norm_args *a)
{
    nnrt_norm_widen(a);
    a->batch = nnrt_norm_ceil(NNRT_NORM_BATCH, 4 * a->wide) * 4 * a->wide;
    a->piece = nnrt_norm_ceil(2 * NNRT_NORM_TASK, 16 * a->c) * 16; /* of whole cache lines */
    if (a->n == 1 && a->rows > a->piece / 2 && a->rows <= a->piece) /* two: each core has a half in its cache */
        a->piece = nnrt_norm_ceil(a->rows, 32) * 16;
    a->pieces = nnrt_norm_ceil(a->rows, a->piece);
    int64_t each = (a->pieces > 1 ? a->piece : a->rows) * a->c;
    a->group = each < NNRT_NORM_TASK ? NNRT_NORM_TASK / each : 1;
    return nnrt_norm_ceil(a->n * a->pieces, a->group);
}

/* Tasks over `count` small things that cost `each` additions. */
static inline int64_t nnrt_norm_cut_small(nnrt_norm_args *a, int64_t count, int64_t each)
{
    a->group = NNRT_NORM_TASK / 4 / (each ? each : 1) + 1;
    return nnrt_norm_ceil(count, a->group);
}

/* Tasks over the rows of a layer norm. */
static inline int64_t nnrt_norm_cut_rows(nnrt_norm_args *a)
{
    a->group = NNRT_NORM_TASK / 2 / a->c + 1;
    return nnrt_norm_ceil(a->rows, a->group);
}

typedef struct {
    nnrt_kernel moments[2], finish_moments[2], normalize[2];
    nnrt_kernel backward_sums[2], finish_sums[2], finish_weights[2], normalize_backward[2];
    nnrt_kernel layer_norm[2], layer_norm_backward[2], finish_layer[2];
    /* Small things done at once: running statistics, and v = 1 / sqrt(v + eps). */
    void (*move[2])(void *y, const void *x, const double *value, int64_t c, double momentum, double scale);
    void (*rsqrt)(double *v, int64_t c, double eps);
} nnrt_norm_table;

NNRT_TABLES_AVX2(norm)

#endif
