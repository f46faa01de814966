"""Matrix products: checks and arguments; gemm_plan.pxi chooses the kernel of csrc/linear.c. See nnrt._ref.linear."""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDES, PyArray_TYPE, ndarray

from nnrt._ext.runtime cimport (
    NNRT_F32, NNRT_F64, ceil_div, dtype_code, give, has_nan, isa_level, launch_nogil, nnrt_span, span, take,
)

import numpy as np

from nnrt._ref.linear import ACTIVATIONS


cdef extern from "linear.h" nogil:
    const nnrt_linear_table *nnrt_linear(int isa)

cdef const nnrt_linear_table *table = nnrt_linear(isa_level())


cdef const nnrt_linear_table *linear_table() noexcept nogil:
    return table


include "gemm_plan.pxi"


cdef int code_of(activation) except -1:
    cdef int code
    if activation is None:
        return NNRT_ACT_NONE
    if isinstance(activation, int):
        code = activation
    else:
        code = ACTIVATIONS.index(activation) if activation in ACTIVATIONS else -1
    if not 0 <= code <= NNRT_ACT_SILU:
        raise ValueError(f"gemm: activation {activation!r} is none of {ACTIVATIONS}")
    return code


cdef int64_t stride(ndarray x, int axis, int64_t size) except? -1:
    # In elements; axes of length 0 or 1 are never stepped along.
    cdef int64_t step = PyArray_STRIDES(x)[axis]
    if PyArray_DIMS(x)[axis] <= 1:
        return 1
    if step & (size - 1):
        raise ValueError(f"gemm: strides {(<object>x).strides} are no multiples of the item size")
    return step // size


cdef int operands(nnrt_gemm *g, str op, int nd, ndarray c, ndarray a, ndarray b, double alpha,
                  double beta) except -1:
    # Fills in c, a and (unless None: packed) b; returns the dtype.
    cdef int dtype = dtype_code(c), at = nd - 2
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8
    memset(g, 0, sizeof(g[0]))
    if PyArray_TYPE(a) != PyArray_TYPE(c) or (b is not None and PyArray_TYPE(b) != PyArray_TYPE(c)):
        raise TypeError(f"{op}: wanted one dtype, got {[x.dtype.name for x in (c, a, b) if x is not None]}")
    if PyArray_NDIM(c) != nd or PyArray_NDIM(a) != nd or (b is not None and PyArray_NDIM(b) != nd):
        raise ValueError(f"{op}: wanted {nd} axes, got shapes {[np.shape(x) for x in (c, a, b) if x is not None]}")
    g.m, g.n, g.k = PyArray_DIMS(c)[at], PyArray_DIMS(c)[at + 1], PyArray_DIMS(a)[at + 1]
    g.batch = PyArray_DIMS(c)[0] if nd == 3 else 1
    if PyArray_DIMS(a)[at] != g.m or (nd == 3 and PyArray_DIMS(a)[0] != g.batch) or (b is not None and (
            PyArray_DIMS(b)[at] != g.k or PyArray_DIMS(b)[at + 1] != g.n
            or (nd == 3 and PyArray_DIMS(b)[0] != g.batch))):
        raise ValueError(f"{op}: shapes {np.shape(a)} @ {np.shape(b)} do not give {np.shape(c)}")
    g.c, g.c_row = PyArray_DATA(c), stride(c, at, size)
    g.a, g.a_row, g.a_col = PyArray_DATA(a), stride(a, at, size), stride(a, at + 1, size)
    if b is not None:
        g.b, g.b_row, g.b_col = PyArray_DATA(b), stride(b, at, size), stride(b, at + 1, size)
    if nd == 3:
        g.c_batch, g.a_batch = stride(c, 0, size), stride(a, 0, size)
        g.b_batch = stride(b, 0, size)
    g.alpha, g.beta = alpha, beta
    return dtype


cdef int extras(nnrt_gemm *g, str op, int dtype, bias, residual, activation) except -1:
    cdef ndarray x
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8
    if bias is not None:
        x = bias
        if dtype_code(x) != dtype or PyArray_NDIM(x) != 1 or PyArray_DIMS(x)[0] != g.n or stride(x, 0, size) != 1:
            raise ValueError(f"{op}: wanted a contiguous bias of shape ({g.n},), got {bias.shape} {bias.dtype}")
        g.bias = PyArray_DATA(x)
    if residual is not None:
        x = residual
        if dtype_code(x) != dtype or PyArray_NDIM(x) != 2 or PyArray_DIMS(x)[0] != g.m or PyArray_DIMS(x)[1] != g.n:
            raise ValueError(f"{op}: wanted a residual of shape ({g.m}, {g.n}), got {residual.shape} {residual.dtype}")
        g.residual = PyArray_DATA(x)
        g.residual_row, g.residual_col = stride(x, 0, size), stride(x, 1, size)
    g.activation = code_of(activation)
    return 0


cdef void transpose(nnrt_gemm *g, int64_t c_col) noexcept nogil:
    # c^T = b^T a^T
    g.m, g.n = g.n, g.m
    g.a, g.b = g.b, g.a
    g.a_batch, g.b_batch = g.b_batch, g.a_batch
    g.a_row, g.a_col, g.b_row, g.b_col = g.b_col, g.b_row, g.a_col, g.a_row
    g.residual_row, g.residual_col = g.residual_col, g.residual_row
    g.row_bias, g.bias = g.bias, g.row_bias
    g.c_row = c_col


cdef int run(nnrt_gemm *g, str op, int dtype, ndarray c, bint packed) except -1:
    # c with its unit stride along the rows: the transposed problem.
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8
    cdef int64_t c_col = stride(c, PyArray_NDIM(c) - 1, size)
    cdef int rc
    if g.batch == 0 or g.m == 0 or g.n == 0:
        return 0
    if c_col != 1 and g.n > 1:
        if g.c_row != 1 or packed:
            raise ValueError(f"{op}: wanted c with unit stride in {'its last' if packed else 'one'} axis, "
                             f"got strides {(<object>c).strides}")
        transpose(g, c_col)
    elif g.n == 1 and g.c_row == 1 and g.m > 1 and not packed:
        transpose(g, g.m)
    if 2.0 * g.batch * g.m * g.n * g.k > 1e6:  # 10 us, what giving the GIL away is worth
        with nogil:
            rc = multiply(g, dtype)
    else:
        rc = multiply(g, dtype)
    if rc != 0:
        raise MemoryError(f"{op}: no memory for the packed operands of {(<object>c).shape}")
    return 0


def gemm(ndarray c not None, ndarray a not None, ndarray b not None, bias=None, residual=None, double alpha=1.0,
         double beta=0.0, activation=None):
    """c[M, N] = act(alpha a[M, K] @ b[K, N] + beta c + bias[N] + residual[M, N])."""
    cdef nnrt_gemm g
    cdef int dtype = operands(&g, "gemm", 2, c, a, b, alpha, beta)
    if bias is not None or residual is not None or activation is not None:
        extras(&g, "gemm", dtype, bias, residual, activation)
    run(&g, "gemm", dtype, c, False)


def gemm_batched(ndarray c not None, ndarray a not None, ndarray b not None, double alpha=1.0, double beta=0.0):
    """c[B, M, N] = alpha a[B, M, K] @ b[B, K, N] + beta c; a batch stride of 0 repeats a matrix."""
    cdef nnrt_gemm g
    cdef int dtype = operands(&g, "gemm_batched", 3, c, a, b, alpha, beta)
    run(&g, "gemm_batched", dtype, c, False)


def packed_size(int64_t k, int64_t n, dtype):
    """Elements of the buffer that pack_b fills for a [k, n] matrix; the layout is the back-end's own."""
    return packed_count(k, n, NNRT_F32 if np.dtype(dtype).itemsize == 4 else NNRT_F64)


def gemm_tile(dtype):
    """Rows and columns of c that the chosen instruction set keeps in registers."""
    cdef const nnrt_gemm_ops *ops = &table.dtype[NNRT_F32 if np.dtype(dtype).itemsize == 4 else NNRT_F64]
    return ops.mr, ops.nr


cdef int check_packed(str op, ndarray packed, int64_t k, int64_t n, int dtype) except -1:
    if (dtype_code(packed) != dtype or PyArray_NDIM(packed) != 1 or stride(packed, 0, 4) < 1
            or PyArray_SIZE(packed) != packed_count(k, n, dtype)):
        raise ValueError(f"{op}: wanted a contiguous buffer of {packed_count(k, n, dtype)} elements for "
                         f"({k}, {n}), got {np.shape(packed)} {packed.dtype}")
    return 0


def pack_b(ndarray packed not None, ndarray b not None):
    """Stores b[K, N] in packed[packed_size(K, N)], a copy in the order gemm_packed reads it."""
    cdef int dtype = dtype_code(b)
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, k, n, rc, b_row, b_col
    cdef void *to = PyArray_DATA(packed)
    cdef const void *source = PyArray_DATA(b)
    if PyArray_NDIM(b) != 2:
        raise ValueError(f"pack_b: wanted 2 axes, got shape {np.shape(b)}")
    k, n = PyArray_DIMS(b)[0], PyArray_DIMS(b)[1]
    check_packed("pack_b", packed, k, n, dtype)
    b_row, b_col = stride(b, 0, size), stride(b, 1, size)
    with nogil:
        rc = pack(to, source, k, n, b_row, b_col, dtype)
    if rc != 0:
        raise MemoryError("pack_b: out of memory")


def gemm_packed(ndarray c not None, ndarray a not None, ndarray packed not None, int64_t n, bias=None, residual=None,
                double alpha=1.0, double beta=0.0, activation=None):
    """gemm with the right-hand side [K, n] packed beforehand: weights that serve many calls."""
    cdef nnrt_gemm g
    cdef int dtype = operands(&g, "gemm_packed", 2, c, a, None, alpha, beta)
    if g.n != n:
        raise ValueError(f"gemm_packed: wanted c with {n} columns, got shape {np.shape(c)}")
    check_packed("gemm_packed", packed, g.k, n, dtype)
    g.b, g.b_row, g.b_col, g.packed_b = PyArray_DATA(packed), 0, 1, 1
    extras(&g, "gemm_packed", dtype, bias, residual, activation)
    run(&g, "gemm_packed", dtype, c, True)


def bias_grad(ndarray db not None, ndarray dy not None):
    """db[N] = column sums of dy[M, N]: the gradient of a bias that was added to every row."""
    cdef nnrt_colsum s
    cdef int dtype = dtype_code(db), rc = 0
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, tasks
    cdef const nnrt_gemm_ops *ops = &table.dtype[dtype]
    cdef nnrt_colsum total
    memset(&s, 0, sizeof(s))
    if (dtype_code(dy) != dtype or PyArray_NDIM(dy) != 2 or PyArray_NDIM(db) != 1
            or PyArray_DIMS(db)[0] != PyArray_DIMS(dy)[1] or stride(db, 0, size) != 1):
        raise ValueError(f"bias_grad: shapes {np.shape(dy)} {dy.dtype} do not give a contiguous "
                         f"{np.shape(db)} {db.dtype}")
    s.m, s.n = PyArray_DIMS(dy)[0], PyArray_DIMS(dy)[1]
    s.sum, s.x, s.x_row, s.x_col = PyArray_DATA(db), PyArray_DATA(dy), stride(dy, 0, size), stride(dy, 1, size)
    if s.n == 0:
        return
    s.work.bytes = <double>s.m * s.n * size
    span(&s.work.out[0], db)
    # 65536 elements a task, and sums that stay in L1
    s.cols = min(s.n, 1024)
    s.rows = clamp(65536.0 / s.cols, 1, max(1, s.m))
    s.chunks = max(1, ceil_div(s.m, s.rows))
    tasks = s.chunks * ceil_div(s.n, s.cols)
    with nogil:
        if s.chunks > 1:
            s.partial, s.work.out[0].count = take(s.chunks * s.n * size), 0
            rc = -1 if s.partial == NULL else launch_nogil(&ops.colsum, &s, tasks)
            if rc == 0:
                total = s
                total.x, total.x_row, total.x_col, total.m = s.partial, s.n, 1, s.chunks
                total.work.out[0].count = s.n
                total.rows, total.chunks, total.partial = s.chunks, 1, NULL
                rc = launch_nogil(&ops.colsum, &total, ceil_div(s.n, s.cols))
            give(s.partial, s.chunks * s.n * size)
        else:
            rc = launch_nogil(&ops.colsum, &s, tasks)
    if rc != 0:
        raise MemoryError("bias_grad: out of memory")
