# Matrix products for other families: the driver without the GIL, and the register tiles.

from libc.stdint cimport int32_t, int64_t

from nnrt._ext.runtime cimport nnrt_kernel, nnrt_work


cdef extern from "linear.h" nogil:
    enum:
        NNRT_ACT_NONE
        NNRT_ACT_RELU
        NNRT_ACT_GELU
        NNRT_ACT_GELU_TANH
        NNRT_ACT_TANH
        NNRT_ACT_SIGMOID
        NNRT_ACT_SILU
    ctypedef struct nnrt_gemm:
        nnrt_work work
        int64_t batch, m, n, k
        void *c
        int64_t c_batch, c_row
        const void *a
        int64_t a_batch, a_row, a_col
        const void *b
        int64_t b_batch, b_row, b_col
        const void *bias
        const void *row_bias
        const void *residual
        int64_t residual_row, residual_col
        double alpha, beta
        int32_t activation
        int32_t pack_a, packed_a, pack_b, packed_b
        int64_t rows, cols, tiles, high, block, depth, splits, split
        void *partial
    ctypedef struct nnrt_gemm_pack:
        nnrt_work work
        void *dst
        const void *src
        int64_t batch, dst_batch, src_batch
        int64_t k, n, k_stride, n_stride
        int64_t panels, depth, block
        int32_t of_a
    ctypedef struct nnrt_colsum:
        nnrt_work work
        void *sum
        const void *x
        int64_t m, n, x_row, x_col
        int64_t rows, cols, chunks
        void *partial
    ctypedef struct nnrt_tail:
        double alpha, beta
        const void *src
        int64_t src_row
        const void *bias
        int32_t relu
        int64_t parts
        const int64_t *jumps
    ctypedef void (*nnrt_tile_fn)(int64_t rows, int64_t cols, int64_t k, const void *a, int64_t a_row,
                                  int64_t a_col, const void *b, int64_t b_row, void *c, int64_t c_row,
                                  const nnrt_tail *tail) noexcept
    ctypedef void (*nnrt_copy_fn)(void *dst, int64_t dst_row, const void *src, int64_t rows, int64_t cols,
                                  int64_t row_stride, int64_t col_stride) noexcept
    ctypedef void (*nnrt_activate_fn)(int activation, void *y, int64_t n) noexcept
    ctypedef struct nnrt_gemm_ops:
        int64_t mr, nr, vl, a_step, depth, keep
        nnrt_tile_fn tile
        nnrt_activate_fn activate
        nnrt_copy_fn copy
        nnrt_kernel tiles, dot, axpy, finish, pack, colsum
    ctypedef struct nnrt_linear_table:
        nnrt_gemm_ops dtype[2]


# The kernels and register tiles of the level in use; index dtype with NNRT_F32 or NNRT_F64.
cdef const nnrt_linear_table *linear_table() noexcept nogil

# Elements of packed b[k, n], and packing.
cdef int64_t packed_count(int64_t k, int64_t n, int dtype) noexcept nogil
cdef int pack(void *packed, const void *b, int64_t k, int64_t n, int64_t b_row, int64_t b_col,
              int dtype) noexcept nogil
# The general form: fills the plan of g (zero-initialised apart from the operands) and runs it.
cdef int multiply(nnrt_gemm *g, int dtype) noexcept nogil
