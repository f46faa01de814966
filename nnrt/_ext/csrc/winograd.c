/* Winograd convolution. This file includes itself once per dtype, and winograd_tile.h once per dtype and tile. */
#ifndef REAL

#include <string.h>

#include "winograd.h"

#define MAX(a, b) ((a) > (b) ? (a) : (b))
/* Of the depth of a filter that is copied at a time. */
#define PIECE 16

/* Small before fast where little time is spent. */
#define COLD __attribute__((cold))
#define HOT __attribute__((hot))

#define REAL float
#define REAL_BYTES 4
#define K(name) name##_f32
#include "winograd.c"
#undef REAL
#undef REAL_BYTES
#undef K
#define REAL double
#define REAL_BYTES 8
#define K(name) name##_f64
#include "winograd.c"

#define KERNEL(name, m, type) .name = {"winograd/" #name "/F" #m "/" #type "/" NNRT_STR(NNRT_ISA), name##_##m##_##type}
#define OPS(m, type)                                                                                           \
    {                                                                                                          \
        KERNEL(filter, m, type), KERNEL(input, m, type), KERNEL(output, m, type), KERNEL(conv, m, type),       \
            KERNEL(finish, m, type),                                                                           \
    }

const nnrt_winograd_table NNRT_SYM(winograd) = {{{OPS(2, f32), OPS(4, f32)}, {OPS(2, f64), OPS(4, f64)}}, OPS(4s, f32)};

#else

#include "gemm_vec.h"
#include "winograd_lines.h"
#define ELEMENT REAL
#define ELEMENT_BYTES REAL_BYTES
#include "transpose.h"

/* The first n lanes, or all. */
INLINE K(vec) K(load_some)(const REAL *p, int64_t n)
{
    return n < VL ? K(load_lanes)(p, K(lanes)(n)) : K(load)(p);
}
INLINE void K(store_some)(REAL *p, int64_t n, K(vec) v)
{
    if (n < VL)
        K(store_lanes)(p, K(lanes)(n), v);
    else
        K(store)(p, v);
}

/* Elements from one matrix of a panel of u to the next, and before the panel of column j. */
INLINE int64_t K(u_step)(int64_t depth, int64_t width)
{
    return nnrt_winograd_step(depth * width * sizeof(REAL)) / sizeof(REAL);
}
INLINE int64_t K(panel)(int64_t depth, int64_t matrices, int64_t j)
{
    return j / NR * matrices * K(u_step)(depth, NR);
}

#define M 2
#define R 3
#define S 1
#define F(name) K(name##_2)
#include "winograd_tile.h"
#undef M
#undef F
#define M 4
#define F(name) K(name##_4)
#include "winograd_tile.h"
#undef R
#undef S
#undef F
#if REAL_BYTES == 4
#define R 2
#define S 2
#define F(name) K(name##_4s)
#include "winograd_tile.h"
#undef R
#undef S
#undef F
#endif
#undef M
#undef VL
#undef NR
#undef SIDE
#undef ELEMENT
#undef ELEMENT_BYTES

#endif
