#ifndef NNRT_UNARY_H
#define NNRT_UNARY_H

#include "map.h"

/* Maps: see map.h. */
#define NNRT_UNARY_MAPS(X)                                                                  \
    X(abs) X(abs_backward) X(sign) X(exp) X(exp2) X(exp2_backward) X(expm1) X(expm1_backward) \
    X(log) X(log2) X(log2_backward) X(log10) X(log10_backward) X(log1p)                     \
    X(log1p_backward) X(sqrt) X(sqrt_backward) X(rsqrt) X(rsqrt_backward) X(square)         \
    X(square_backward) X(reciprocal) X(reciprocal_backward) X(sin) X(sin_backward)          \
    X(cos) X(cos_backward) X(tan) X(tan_backward) X(asin) X(asin_backward) X(acos)          \
    X(acos_backward) X(atan) X(atan_backward) X(sinh) X(sinh_backward) X(cosh)              \
    X(cosh_backward) X(asinh) X(asinh_backward) X(acosh) X(acosh_backward) X(atanh)         \
    X(atanh_backward) X(tanh) X(tanh_backward) X(sigmoid) X(sigmoid_backward) X(erf)        \
    X(erf_backward) X(erfc) X(erfc_backward) X(erfinv) X(erfinv_backward) X(lgamma)         \
    X(lgamma_backward) X(digamma) X(digamma_backward) X(floor) X(ceil) X(round) X(trunc)    \
    X(frac) X(logit) X(logit_backward) X(sinc) X(sinc_backward) X(nan_to_num)               \
    X(nan_to_num_backward)

typedef struct {
#define X(name) nnrt_kernel name[2];
    NNRT_UNARY_MAPS(X)
#undef X
} nnrt_unary_table;

NNRT_TABLES_PART(unary)

#endif
