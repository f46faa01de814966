#ifndef NNRT_ELEMENTWISE_H
#define NNRT_ELEMENTWISE_H

#include "map.h"

/* Maps: see map.h. */
#define NNRT_ELEMENTWISE_MAPS(X)                                                              \
    X(add) X(sub) X(mul) X(mul_backward) X(div) X(div_backward) X(axpy) X(neg) X(floor_divide) X(trunc_divide) \
    X(remainder) X(fmod) X(pow) X(pow_backward) X(pow_backward_number)        \
    X(pow_backward_exponent) X(maximum) X(maximum_backward) X(minimum) X(minimum_backward)    \
    X(fmax) X(fmin) X(atan2) X(atan2_backward) X(hypot) X(hypot_backward) X(logaddexp)        \
    X(logaddexp_backward) X(xlogy) X(xlogy_backward) X(lerp) X(addcmul) X(addcdiv) X(where)   \
    X(clamp) X(clamp_numbers) X(clamp_backward) X(copysign) X(nextafter)

/* Sums along the middle axis of x, a dense array [outer, length, inner], in pieces: out is
 * [outer, pieces, inner]. An item is a piece of a block of columns, a task is `group` items.
 * Partial sums are double. */
typedef struct {
    nnrt_work work;
    void *out;
    const void *x;
    const void *z; /* where not NULL, x z is summed: an array like x */
    int64_t outer, length, inner;
    int64_t pieces, piece; /* the axis is cut into `pieces` of `piece` elements */
    int64_t blocks;        /* of NNRT_SUM_COLUMNS columns each */
    int64_t group;
    int32_t partial;       /* is out double whatever x is? */
} nnrt_sum_args;

enum {
    NNRT_SUM_COLUMNS = 512, /* 4 kB of double accumulators */
    NNRT_SUM_TASK = 32768,  /* elements per task: 128 kB of floats */
};

typedef struct {
#define X(name) nnrt_kernel name[2];
    NNRT_ELEMENTWISE_MAPS(X)
#undef X
    nnrt_kernel sum_axis[2];
    nnrt_kernel sum_partials[2];
} nnrt_elementwise_table;

NNRT_TABLES_AVX2(elementwise)

#endif
