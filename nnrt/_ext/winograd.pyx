"""Winograd convolution: how the tiles are cut into tasks for csrc/winograd.c. See nnrt._ref.winograd."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_SIZE, ndarray

from nnrt._ext.linear cimport (
    NNRT_ACT_NONE, NNRT_ACT_RELU, linear_table, multiply, nnrt_gemm, nnrt_gemm_ops,
)
from nnrt._ext.runtime cimport (
    NNRT_F32, NNRT_F64, dtype_code, give, isa_level, launch_nogil, nnrt_kernel, nnrt_work, span, take,
)

import numpy as np

from nnrt._ref.linear import ACTIVATIONS


cdef extern from "winograd.h" nogil:
    ctypedef struct nnrt_winograd_args:
        nnrt_work work
        const nnrt_gemm_ops *gemm
        int64_t n, h, w, c
        int64_t oh, ow, o
        int64_t pad_h, pad_w
        int64_t down, across
        const void *x
        void *y
        const void *u
        const void *bias
        const void *residual
        void *dw
        int32_t relu
        int64_t first, last, block, group, chunk
        void *v
        void *q
        int64_t v_row, v_step, q_row, q_step, m_row, m_step
        void *s
        int64_t splits, split, rows, cols
    ctypedef struct nnrt_winograd_filter:
        nnrt_work work
        void *u
        const void *w
        int64_t depth, columns, depth_step, column_step, part
        int32_t rotate
    ctypedef struct nnrt_winograd_ops:
        nnrt_kernel filter, input, output, conv, sums, finish
    ctypedef struct nnrt_winograd_table:
        nnrt_winograd_ops dtype[2][2]
    const nnrt_winograd_table *nnrt_winograd(int isa)

cdef const nnrt_winograd_table *table = nnrt_winograd(isa_level())

# Transformed tiles that a task works on at a time, and products that it holds: within L2, beside what passes.
cdef int64_t V_BYTES = 384 << 10, M_BYTES = 128 << 10


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline int64_t whole(int64_t n, int64_t unit) noexcept nogil:
    return ceil_div(n, unit) * unit


cdef inline int64_t apart(int64_t n, int64_t size) noexcept nogil:
    # Matrices an odd number of cache lines apart: stores to the k² of them go to different sets.
    return (n * size // 64 | 1) * 64 // size + 64 // size


cdef int which(tile) except -1:
    if tile not in (2, 4):
        raise ValueError(f"winograd: wanted tile 2 or 4, got {tile!r}")
    return tile // 2 - 1


def filter_size(shape, dtype, tile):
    """Elements of a transformed filter of w's shape, forward or backward; the layout is the back-end's own."""
    cdef const nnrt_gemm_ops *ops = &linear_table().dtype[NNRT_F32 if np.dtype(dtype).itemsize == 4 else NNRT_F64]
    cdef int64_t o = shape[0], c = shape[1]
    return (tile + 2) ** 2 * max(whole(o, ops.vl) * c, whole(c, ops.vl) * o)


def transform_filter(ndarray u not None, ndarray w not None, tile, bint backward):
    """u = G w G^T; backward: of w rotated by half a turn, O and C exchanged, for the input's gradient."""
    cdef int dtype = dtype_code(w), rc
    cdef int64_t o = PyArray_DIMS(w)[0], c = PyArray_DIMS(w)[1], size = 4 if dtype == NNRT_F32 else 8
    cdef const nnrt_winograd_ops *ops = &table.dtype[dtype][which(tile)]
    cdef nnrt_winograd_filter p
    memset(&p, 0, sizeof(p))
    p.u, p.w, p.rotate = PyArray_DATA(u), PyArray_DATA(w), backward
    p.depth, p.columns, p.depth_step, p.column_step = c, o, 9, 9 * c
    if backward:
        p.depth, p.columns, p.depth_step, p.column_step = o, c, 9 * c, 9
    if o * c == 0:
        return
    p.part = p.depth if o * c < 1024 else min(p.depth, 64)
    p.work.bytes = <double>o * c * size * (9 + (tile + 2) ** 2)
    p.work.flops = 144.0 * o * c
    with nogil:
        rc = launch_nogil(&ops.filter, &p,
                          ceil_div(p.columns, linear_table().dtype[dtype].nr) * ceil_div(p.depth, p.part))
    if rc != 0:
        raise MemoryError("winograd.transform_filter: out of memory")


cdef int fill(nnrt_winograd_args *p, ndarray x, ndarray y, padding, int64_t m) except -1:
    # x, y and the tiles; returns the dtype.
    cdef int dtype = dtype_code(x)
    memset(p, 0, sizeof(p[0]))
    p.gemm = &linear_table().dtype[dtype]
    p.n, p.h, p.w, p.c = PyArray_DIMS(x)[0], PyArray_DIMS(x)[2], PyArray_DIMS(x)[3], PyArray_DIMS(x)[4]
    p.oh, p.ow, p.o = PyArray_DIMS(y)[2], PyArray_DIMS(y)[3], PyArray_DIMS(y)[4]
    p.pad_h, p.pad_w = padding[1], padding[2]
    p.down, p.across = ceil_div(p.oh, m), ceil_div(p.ow, m)
    p.x, p.y = PyArray_DATA(x), PyArray_DATA(y)
    p.last = p.n * p.down * p.across
    return dtype


def conv(ndarray y not None, ndarray x not None, ndarray u not None, ndarray b, ndarray residual, padding, tile,
         activation):
    """y[N, 1, OH, OW, O] = act(conv(x[N, 1, H, W, C], w) + b[O] + residual); b, residual and activation may be None."""
    cdef nnrt_winograd_args p
    cdef nnrt_gemm act
    cdef int64_t m = tile, k2 = (m + 2) * (m + 2), size, tiles
    cdef int dtype, code, rc
    cdef const nnrt_winograd_ops *ops
    which(tile)
    dtype = fill(&p, x, y, padding, m)
    ops = &table.dtype[dtype][which(tile)]
    size = 4 if dtype == NNRT_F32 else 8
    code = ACTIVATIONS.index(activation)
    tiles = p.last
    if tiles * p.o == 0:
        return
    p.u = PyArray_DATA(u)
    p.bias = NULL if b is None else PyArray_DATA(b)
    p.residual = NULL if residual is None else PyArray_DATA(residual)
    p.relu = code == NNRT_ACT_RELU
    p.work.flops = 2.0 * k2 * tiles * p.c * p.o
    p.work.bytes = <double>size * (PyArray_SIZE(x) + PyArray_SIZE(y) + PyArray_SIZE(u))
    if code <= NNRT_ACT_RELU:
        span(&p.work.out[0], y)
    plan_conv(&p, k2, size, tiles)
    with nogil:
        rc = launch_nogil(&ops.conv, &p, ceil_div(tiles, p.block) * ceil_div(p.o, p.group))
        if rc == 0 and code > NNRT_ACT_RELU:
            memset(&act, 0, sizeof(act))
            act.batch, act.splits, act.m, act.n, act.c, act.c_row = 1, 1, p.n * p.oh * p.ow, p.o, p.y, p.o
            act.beta, act.activation = 1, code
            act.rows, act.cols = max(1, 16384 // p.o), p.o
            rc = launch_nogil(&p.gemm.finish, &act, ceil_div(act.m, act.rows))
    if rc != 0:
        raise MemoryError("winograd.conv: out of memory")


cdef void plan_conv(nnrt_winograd_args *p, int64_t k2, int64_t size, int64_t tiles) noexcept:
    cdef const nnrt_gemm_ops *g = p.gemm
    p.v_row = max(p.c, g.vl)
    p.block = max(g.mr, V_BYTES // (k2 * p.v_row * size) // g.mr * g.mr)
    p.block = min(p.block, tiles)
    p.group = p.o
    p.chunk = max(g.nr, M_BYTES // (k2 * p.block * size) // g.nr * g.nr)
    p.chunk = min(p.chunk, whole(p.o, g.nr))
    p.v_step = apart(p.block * p.v_row, size)
    p.m_row = p.chunk
    p.m_step = apart(p.block * p.m_row, size)
    p.work.scratch = size * (k2 * (p.v_step + p.m_step) + 6 * max(p.c, 6 * g.vl))


def filter_backward(ndarray dw not None, ndarray x not None, ndarray dy not None, padding, tile):
    """dw[O, C, 1, 3, 3] = the sum over y's pixels of dy and the patch of x under it."""
    cdef nnrt_winograd_args p
    cdef int64_t m = tile, k2 = (m + 2) * (m + 2), size, tiles
    cdef int dtype, rc = -1
    cdef const nnrt_winograd_ops *ops
    cdef const nnrt_gemm_ops *g
    cdef int64_t s_bytes
    which(tile)
    dtype = fill(&p, x, dy, padding, m)
    ops = &table.dtype[dtype][which(tile)]
    size = 4 if dtype == NNRT_F32 else 8
    tiles = p.last
    if p.o * p.c == 0:
        return
    if tiles == 0:
        dw[...] = 0
        return
    g = p.gemm
    p.dw = PyArray_DATA(dw)
    span(&p.work.out[0], dw)
    p.work.out[0].count = 0
    p.v_row, p.q_row = max(p.c, g.vl), max(p.o, g.vl)
    p.block = min(max(16, V_BYTES // (k2 * (p.v_row + p.q_row) * size)), tiles)
    p.splits = min(4, ceil_div(tiles, p.block))
    p.split = whole(ceil_div(tiles, p.splits), p.block)
    p.splits = ceil_div(tiles, p.split)
    p.rows, p.cols = p.o, p.c
    p.v_step, p.q_step = apart(p.block * p.v_row, size), apart(p.block * p.q_row, size)
    p.work.scratch = size * (k2 * (p.v_step + p.q_step) + 6 * max(p.c, p.o, 6 * g.vl))
    p.work.flops = 2.0 * k2 * tiles * p.c * p.o
    p.work.bytes = <double>size * (PyArray_SIZE(x) + PyArray_SIZE(dy))
    s_bytes = p.splits * k2 * p.o * p.c * size
    with nogil:
        p.s = take(s_bytes)
        if p.s != NULL:
            rc = launch_nogil(&ops.sums, &p, p.splits * ceil_div(p.o, p.rows) * ceil_div(p.c, p.cols))
            p.work.scratch = 0
            p.work.out[0].count = 9 * p.o * p.c
            if rc == 0:
                rc = launch_nogil(&ops.finish, &p, p.o)
            give(p.s, s_bytes)
    if rc != 0:
        raise MemoryError("winograd.filter_backward: out of memory")
