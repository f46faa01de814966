#ifndef NNRT_OPTIM_H
#define NNRT_OPTIM_H

#include "nnrt.h"

/* One parameter: what is read and written at the same index of each stream. */
typedef struct {
    int64_t start; /* its first element in the numbering that tasks are cut from */
    int64_t n;
    void *p;         /* the parameter, or what a clipping kernel changes */
    void *s[3];      /* state, in the order of the kernel's parameters */
    const void *g;   /* gradient */
} nnrt_optim_tensor;

typedef struct {
    nnrt_work work;
    const nnrt_optim_tensor *tensors;
    int64_t count, elements; /* elements: the end of the numbering */
    double lr, decay;        /* decay: weight_decay where it is added to g, else 0 */
    double shrink;           /* p *= shrink comes first: decoupled decay; 1 for none */
    double a, b, c, d, eps;  /* the rule's constants, named where the rule is */
    int sign;                /* -1: maximize */
    int variant;             /* which form of the rule */
    double *partials;        /* grad_norm */
} nnrt_optim_args;

/* Rows of a matrix (N, D) with gradients of their own. */
typedef struct {
    nnrt_work work;
    void *p, *m, *v;
    const int64_t *rows;
    const void *g;
    int64_t count, width, block; /* rows, D, rows per task */
    double lr, a, b, eps;
    int sign;
} nnrt_optim_rows_args;

/* Tensors begin at multiples of ALIGN elements in the numbering, so that a piece of a task
 * begins where a vector does. CHUNK elements are a task: 7 streams of floats are 458 kB, half
 * of L2, and take about 15 us, ten times what waking the pool costs. It is also the piece of
 * grad_norm's partial sums, as in _ref. */
enum { NNRT_OPTIM_ALIGN = 16, NNRT_OPTIM_CHUNK = 16384 };

typedef struct {
    nnrt_kernel sgd[2], adam[2], nadam[2], radam[2], adamax[2], adagrad[2], adadelta[2], rmsprop[2],
        rprop[2], asgd[2], sparse_adam[2], grad_norm[2], scale[2], clamp[2];
} nnrt_optim_table;

NNRT_TABLES_PART(optim)

#endif
