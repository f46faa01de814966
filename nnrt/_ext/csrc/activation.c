/* Activations. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "activation.h"

#define REAL float
#define K(name) name##_f32
#include "activation.c"
#undef REAL
#undef K
#define REAL double
#define K(name) name##_f64
#include "activation.c"

#define ENTRY(name)                                                              \
    .name = {{"activation/" #name "/f32/" NNRT_STR(NNRT_ISA), name##_f32},       \
             {"activation/" #name "/f64/" NNRT_STR(NNRT_ISA), name##_f64}}

const nnrt_activation_table NNRT_SYM(activation) = {ENTRY(relu), ENTRY(relu_backward)};

#else

/* for (i over the tasks' elements) y[i] = expression of x[i], dy[i] */
#define MAP(name, ...)                                                            \
    static void K(name)(const void *args, int64_t begin, int64_t end, void *s)    \
    {                                                                             \
        const nnrt_activation_args *p = args;                                     \
        REAL *y = p->y;                                                  \
        const REAL *x = p->x, *dy = p->dy;                                        \
        int64_t stop = end * NNRT_ACTIVATION_CHUNK;                               \
        if (stop > p->n) stop = p->n;                                             \
        _Pragma("GCC ivdep") /* y may be x or dy itself, never a shifted view */  \
        for (int64_t i = begin * NNRT_ACTIVATION_CHUNK; i < stop; i++)            \
            y[i] = (__VA_ARGS__);                                                 \
    }

MAP(relu, x[i] < 0 ? 0 : x[i])
MAP(relu_backward, x[i] > 0 ? dy[i] : 0)
#undef MAP

#endif
