#ifndef NNRT_LOSS_H
#define NNRT_LOSS_H

#include "nnrt.h"

/* One loss for each of n elements, in flat memory. */
typedef struct {
    nnrt_work work;
    void *y;         /* the losses */
    double *partial; /* for the total: the sum of each task's losses */
    void *dx, *dt;   /* either may be NULL */
    const void *x, *t, *w;
    const void *dy;  /* one value, or with dy_each n */
    int64_t n;
    int dy_each;
    double a, scale;
} nnrt_pointwise_args;

enum { NNRT_LOSS_CHUNK = 16384 }; /* elements per task */

/* Classes along n of [outer, n, inner]; losses, lse (double) and targets are [outer, inner].
 * Units, blocks and groups as in softmax.h. */
typedef struct {
    nnrt_work work;
    void *loss, *lse, *dx, *dq;
    const void *x, *q, *weight, *dy;
    const int64_t *target;
    int64_t outer, n, inner;
    int64_t blocks, cols, group;
    int64_t ignore_index;
    int dy_each;
    double smoothing, scale;
} nnrt_classes_args;

/* Samples n, frames t, classes; alpha is [n, t, width]. See nnrt._ref.loss. */
typedef struct {
    nnrt_work work;
    void *loss, *alpha, *dx;
    const void *x, *dy;
    const int64_t *targets, *starts, *frames, *sizes;
    int64_t n, t, classes, width, blank;
} nnrt_ctc_args;

/* The pointwise kinds, in the order of the tables. */
enum {
    NNRT_MSE,
    NNRT_L1,
    NNRT_SMOOTH_L1,
    NNRT_HUBER,
    NNRT_BCE,
    NNRT_BCE_LOGITS,
    NNRT_BCE_LOGITS_WEIGHTED,
    NNRT_KL,
    NNRT_KL_LOG,
    NNRT_LOSS_KINDS
};

typedef struct {
    nnrt_kernel pointwise[NNRT_LOSS_KINDS][2], total[NNRT_LOSS_KINDS][2], backward[NNRT_LOSS_KINDS][2];
    nnrt_kernel cross_entropy[2], cross_entropy_backward[2];
    nnrt_kernel cross_entropy_soft[2], cross_entropy_soft_backward[2];
    nnrt_kernel nll[2], nll_backward[2];
    nnrt_kernel ctc[2], ctc_backward[2];
} nnrt_loss_table;

NNRT_TABLES_PART(loss)

#endif
