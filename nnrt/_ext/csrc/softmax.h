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
    NNRT_SOFTMAX_COLS = 256,   /* most columns of a block */
    NNRT_SOFTMAX_LEAST = 128,  /* fewest: 512 bytes of each row, or the pages cost more than the cache saves */
    NNRT_SOFTMAX_TILE = 65536, /* elements of a block that stay in L2 between the passes: 256 kB */
    NNRT_SOFTMAX_TASK = 16384  /* elements that are worth a task, about 10 us */
};

/* Cuts inner into blocks of cols columns; returns the number of tasks of `group` units. */
static inline int64_t nnrt_softmax_cut(int64_t outer, int64_t n, int64_t inner, int64_t *blocks, int64_t *cols,
                                       int64_t *group)
{
    int64_t rows = n > 0 ? n : 1, most = NNRT_SOFTMAX_TILE / rows / 16 * 16;
    if (most < NNRT_SOFTMAX_LEAST)
        most = NNRT_SOFTMAX_LEAST;
    if (most > NNRT_SOFTMAX_COLS)
        most = NNRT_SOFTMAX_COLS;
    *cols = inner < most ? inner : most;
    if (*cols < 1)
        *cols = 1;
    *blocks = (inner + *cols - 1) / *cols;
    int64_t each = rows * *cols, units = outer * *blocks;
    *group = each < NNRT_SOFTMAX_TASK ? NNRT_SOFTMAX_TASK / each : 1;
    return (units + *group - 1) / *group;
}

typedef struct {
    nnrt_kernel softmax[2], softmax_backward[2], log_softmax[2], log_softmax_backward[2];
    nnrt_kernel logsumexp[2], logsumexp_backward[2];
} nnrt_softmax_table;

NNRT_TABLES(softmax)

#endif
