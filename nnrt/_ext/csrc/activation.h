#ifndef NNRT_ACTIVATION_H
#define NNRT_ACTIVATION_H

#include "nnrt.h"

/* y = f(x), or dx = dy f'(x), over n elements of flat memory. */
typedef struct {
    nnrt_work work;
    void *y;
    const void *x, *dy;
    int64_t n;
    double a, b; /* the activation's constants */
} nnrt_activation_args;

/* Elements per task: 64 kB of floats, two tasks' streams fit in L2. */
enum { NNRT_ACTIVATION_CHUNK = 16384 };

typedef struct {
    nnrt_kernel relu[2], relu_backward[2];
} nnrt_activation_table;

NNRT_TABLES(activation)

#endif
