#ifndef NNRT_ACTIVATION_H
#define NNRT_ACTIVATION_H

#include "map.h"

/* Maps: see map.h. */
#define NNRT_ACTIVATION_MAPS(X)                                                             \
    X(relu) X(relu_backward) X(hardtanh) X(hardtanh_backward) X(leaky_relu)                 \
    X(leaky_relu_backward) X(elu) X(elu_backward) X(gelu) X(gelu_backward) X(gelu_sloped)   \
    X(gelu_tanh) X(gelu_tanh_backward) X(silu) X(silu_backward) X(mish) X(mish_backward)    \
    X(softplus) X(softplus_backward) X(softsign) X(softsign_backward) X(hardsigmoid)        \
    X(hardsigmoid_backward) X(hardswish) X(hardswish_backward) X(logsigmoid)                \
    X(logsigmoid_backward) X(tanhshrink) X(tanhshrink_backward) X(softshrink) X(hardshrink) \
    X(threshold) X(threshold_backward) X(squared_relu) X(squared_relu_backward) X(step)     \
    X(shrink_backward) X(prelu) X(prelu_backward) X(glu) X(glu_backward) X(reglu)           \
    X(reglu_backward) X(geglu) X(geglu_backward) X(swiglu) X(swiglu_backward)

typedef struct {
#define X(name) nnrt_kernel name[2];
    NNRT_ACTIVATION_MAPS(X)
#undef X
} nnrt_activation_table;

NNRT_TABLES(activation)

#endif
