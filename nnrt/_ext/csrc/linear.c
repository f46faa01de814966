/* Matrix products. This file includes itself once per dtype; REAL is the dtype. */
#ifndef REAL

#include "linear.h"
#include "stream.h"
#include "vmath.h"

#define EACH_DTYPE "linear.c"
#include "each_dtype.h"

#define KERNEL(name, type) .name = {"linear/" #name "/" #type "/" NNRT_STR(NNRT_ISA), gemm_##name##_##type}
#define OPS(type)                                                                                       \
    {                                                                                                   \
        .mr = MR, .nr = 2 * VBYTES / sizeof(type##_), .vl = VBYTES / sizeof(type##_), .a_step = A_STEP, \
        .depth = DEPTH_BYTES / sizeof(type##_), .keep = VBYTES == 64 ? NNRT_KEEP_ROWS : 0,              \
        .tile = any_tile_##type, .activate = any_activate_##type, .copy = gemm_copy_##type,             \
        KERNEL(tiles, type), KERNEL(dot, type), KERNEL(axpy, type), KERNEL(finish, type),               \
        KERNEL(pack, type), KERNEL(colsum, type),                                                       \
    }
typedef float f32_;
typedef double f64_;

const nnrt_linear_table NNRT_SYM(linear) = {{OPS(f32), OPS(f64)}};

#else

#include "gemm_vec.h"
#include "gemm_tile.h"
#include "gemm_pack.h"
#include "gemm_run.h"
#include "gemm_vector.h"
#undef VL
#undef NR
#undef SIDE
#undef ELEMENT
#undef ELEMENT_BYTES
#undef STRETCH

#endif
