#ifndef NNRT_REDUCE_H
#define NNRT_REDUCE_H

#include "nnrt.h"

/* Dense memory read as [outer, n, inner], reduced along n to [outer, inner].
 *
 * The work is cut into units: one `outer`, one block of `cols` columns of inner, and
 * one part of `rows` rows of n. With more than one part each unit leaves its result
 * in partial, [outer, parts, inner], and finish() folds those. `group` units make a
 * task. All of it depends on the shape alone. */
typedef struct {
    nnrt_work work;
    void *y;         /* [outer, inner]; for gradients [outer, n, inner] */
    void *second;    /* mean; for amax_backward the number of ties */
    int64_t *index;  /* [outer, inner], or for select_backward [outer, m, inner] */
    const void *x;   /* [outer, n, inner] */
    const void *dy;  /* [outer, inner], or [outer, m, inner] */
    const void *v;   /* [outer, inner] */
    double *partial; /* [outer, parts, inner] */
    double *wide;    /* means in double, [outer, inner] */
    int64_t outer, n, inner, m;
    int64_t parts, rows, blocks, cols, group;
    double divisor;
    int reverse;
} nnrt_reduce_args;

enum {
    NNRT_REDUCE_COLS = 512,   /* columns of a block: their double totals are 4 kB of stack */
    NNRT_REDUCE_RUN = 256,    /* rows that are added up in REAL */
    NNRT_REDUCE_SHORT = 64,  /* elements of a row from which on four are summed at once */
    NNRT_REDUCE_TASK = 32768, /* elements that are worth a task: 128 kB, about 5 us */
    NNRT_REDUCE_UNITS = 32,   /* with this many units there is no need to cut n */
    NNRT_REDUCE_PARTS = 64    /* at most: bounds partial */
};

/* Fills parts, rows, blocks, cols, group and returns the number of tasks. cut: may n be cut? */
static inline int64_t nnrt_reduce_cut(nnrt_reduce_args *a, int cut)
{
    int64_t n = a->n > 0 ? a->n : 1, inner = a->inner;
    a->blocks = (inner + NNRT_REDUCE_COLS - 1) / NNRT_REDUCE_COLS;
    if (a->blocks < 1)
        a->blocks = 1;
    a->cols = (inner + a->blocks - 1) / a->blocks;
    a->parts = 1;
    a->rows = n;
    int64_t units = a->outer * a->blocks, each = n * (a->cols ? a->cols : 1);
    if (cut && units < NNRT_REDUCE_UNITS && each >= 2 * NNRT_REDUCE_TASK) {
        int64_t parts = each / NNRT_REDUCE_TASK, whole = inner == 1 ? 8192 : 64;
        if (parts > NNRT_REDUCE_PARTS)
            parts = NNRT_REDUCE_PARTS;
        a->rows = ((n + parts - 1) / parts + whole - 1) / whole * whole;
        a->parts = (n + a->rows - 1) / a->rows;
        units *= a->parts;
        each = a->rows * a->cols;
    }
    a->group = each < NNRT_REDUCE_TASK ? NNRT_REDUCE_TASK / (each ? each : 1) : 1;
    return (units + a->group - 1) / a->group;
}

typedef struct {
    nnrt_kernel sum[2], norm1[2], norm2[2], count[2], squares[2], prod[2], amax[2], amin[2];
    nnrt_kernel finish_sum[2], finish_norm2[2], finish_mean[2], finish_var[2], finish_prod[2],
        finish_amax[2], finish_amin[2];
    nnrt_kernel var[2], max_at[2], min_at[2];
    nnrt_kernel amax_backward[2], var_backward[2], norm1_backward[2], norm2_backward[2];
    nnrt_kernel select_backward[2], prod_backward[2];
    nnrt_kernel cumsum[2], cumprod[2], cumprod_backward[2], cummax[2], cummin[2];
} nnrt_reduce_table;

NNRT_TABLES_PART(reduce)

#endif
