#ifndef NNRT_SOFTMAX_H
#define NNRT_SOFTMAX_H

#include "nnrt.h"

/* Dense memory read as [outer, n, inner], worked on along n. A unit is one `outer` and one
 * block of `cols` columns; `group` units make a task. */
typedef struct {
    nnrt_work work;
    void *y;         /* [outer, n, inner]; for logsumexp [outer, inner] */
    const void *x;   /* [outer, n, inner] */
    const void *dy;  /* as y of the forward */
    const void *lse; /* [outer, inner]: y of logsumexp */
    int64_t outer, n, inner;
    int64_t blocks, cols, group;
} nnrt_softmax_args;

enum {
    NNRT_SOFTMAX_COLS = 256,  /* most columns of a block */
    NNRT_SOFTMAX_TILE = 32768, /* elements of a block that stay in L2 between the passes: 128 kB */
    NNRT_SOFTMAX_TASK = 16384 /* elements that are worth a task, about 10 us */
};

/* Fills blocks, cols, group and returns the number of tasks. */
static inline int64_t nnrt_softmax_cut(nnrt_softmax_args *a)
{
    int64_t n = a->n > 0 ? a->n : 1, most = NNRT_SOFTMAX_TILE / n / 16 * 16;
    if (most < 16)
        most = 16;
    if (most > NNRT_SOFTMAX_COLS)
        most = NNRT_SOFTMAX_COLS;
    a->cols = a->inner < most ? a->inner : most;
    if (a->cols < 1)
        a->cols = 1;
    a->blocks = (a->inner + a->cols - 1) / a->cols;
    int64_t each = n * a->cols, units = a->outer * a->blocks;
    a->group = each < NNRT_SOFTMAX_TASK ? NNRT_SOFTMAX_TASK / each : 1;
    return (units + a->group - 1) / a->group;
}

typedef struct {
    nnrt_kernel softmax[2], softmax_backward[2], log_softmax[2], log_softmax_backward[2];
    nnrt_kernel logsumexp[2], logsumexp_backward[2];
} nnrt_softmax_table;

NNRT_TABLES(softmax)

#endif
