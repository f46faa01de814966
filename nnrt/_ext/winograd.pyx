"""Winograd convolution: how the tiles are cut into tasks for csrc/winograd.c. See nnrt._ref.winograd."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from cython cimport floating
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_IS_C_CONTIGUOUS, PyArray_NBYTES, PyArray_SIZE, ndarray

from nnrt._ext.linear cimport (
    NNRT_ACT_RELU, linear_table, nnrt_gemm, nnrt_gemm_ops,
)
from nnrt._ext.runtime cimport (
    NNRT_F32, NNRT_F64, ceil_div, dtype_code, give, isa_level, launch_nogil, nnrt_kernel, nnrt_span, nnrt_work, span,
    take,
)

import numpy as np

import nnrt._ref.winograd as _ref
from nnrt._ext.linear import bias_grad
from nnrt._ref.linear import ACTIVATIONS


cdef extern from "winograd.h" nogil:
    ctypedef struct nnrt_winograd_filter:
        nnrt_work work
        void *u
        const void *w
        int64_t depth, columns, depth_step, column_step, whole, rows, u_pass, part, u_group, w_group
        int32_t rotate
    ctypedef struct nnrt_winograd_args:
        nnrt_work work
        const nnrt_gemm_ops *gemm
        int64_t n, h, w, c, groups, x_pixel, y_pixel, step, depth
        int64_t oh, ow, o, spread
        int64_t pad_h, pad_w
        int64_t tile, down, across
        const void *x
        void *y
        const void *u
        const void *bias
        const void *residual
        const nnrt_winograd_filter *filter
        int64_t u_pass
        void *dw
        void *totals
        int32_t soon
        int32_t relu, past
        int64_t first, last, block, group, chunk
        int32_t by_columns
        void *v
        void *q
        int64_t v_row, v_step, v_panel, v_set, v_pass, q_step, q_panel, q_set, m_row, m_step
        int64_t rows, panels, squares, parts
        void *s
        int64_t s_row, s_step, s_block
        int32_t complete, turned
        int64_t high
    ctypedef struct nnrt_winograd_ops:
        nnrt_kernel filter, input, output, conv, sum, finish
    ctypedef struct nnrt_winograd_table:
        nnrt_winograd_ops dtype[2]
        nnrt_winograd_ops small, wide, even, rows
        nnrt_winograd_ops strided[2]
    int64_t nnrt_winograd_step(int64_t bytes)
    const nnrt_winograd_table *nnrt_winograd(int isa)

cdef extern from "stream.h" nogil:
    enum:
        NNRT_STREAM_BYTES

cdef const nnrt_winograd_table *table = nnrt_winograd(isa_level())
# The filter transformed last, until it is used: threads then go on with the columns that they made. It decides the order of
# tasks alone, not what they compute.
cdef const void *made = NULL

# Rows of the k² matrices that a task works on at a time (48 tiles of 4), and columns of the products it holds.
# From 24 to 64 tiles and from 16 to 64 columns all shapes measured (32 to 256 channels, 14 to 112 pixels) stay
# within a tenth; of 256 channels fewer tiles read u, 9 MB, too often.
cdef int64_t BLOCK = 1728, CHUNK = 64
# Of groups, which make tasks of their own, a task has fewer tiles: what lies beside them, the next group's, stays in
# L2. Twice as many of one vector of columns, whose products are short.
cdef int64_t GROUPS_SHARE = 3
# Multiply-adds that a task is worth, 3 us, and elements of v that are: the layers of one image take 20 to 100 us.
cdef int64_t TASK_MACS = 128 << 10, TASK_TRANSFORMED = 16 << 10
# Bytes of v that tasks share.
cdef int64_t SHARED_BYTES = 1 << 20
# Transformed filters that are read but once if possible: 3x3 of 512 channels on 7x7 maps, 38 MB, took 16.5 ms in four
# blocks of 8 tiles and 10.1 in one.
cdef int64_t LARGE = 4 << 20, SMALL = 256 << 10
# Transformed tiles of filter_backward: this much, or four times the sums that they go to, up to the second.
cdef int64_t TRANSFORMED_BYTES = 2 << 20, MOST_TRANSFORMED = 16 << 20
# Parts of the tiles that tasks sum where x has few channels, and tiles that they transform at a time, which stay in L2.
cdef int64_t PARTS = 8, NEAR = 64
# Channels of a group whose sums a task makes near the core, and bytes of its x and dy: lines that come with them are
# the next group's, which L2 holds until then. Of 1.6 MB it took 1.1 to 2 times as long.
cdef int64_t GROUP = 32, GROUP_BYTES = 512 << 10
# Along rows alone: tiles of a block, those of whose dy what is transformed stays in L1, and bytes of transformed x. Of
# 32 tiles at a time 3 > 64 channels on 224 x 224 took 1.3 times as long.
cdef int64_t ROW_TILES = 16, ROWS_TILES = 28, ROWS_BYTES = 32 << 10
# Columns of a filter in training that a task transforms for itself.
cdef int64_t ONCE_BYTES = 1 << 20
# A block of these sums in L2.
cdef int64_t SUMS_BYTES = 208 << 10
# The same of conv: bytes of v, tiles and rows of sums at a time, multiply-adds of a task, and tasks' most.
cdef int64_t CONV_BYTES = 48 << 10, CONV_TILES = 4, CONV_HIGH = 7, CONV_MACS = 1 << 19, CONV_TASKS = 32
# Bytes of x and y from which on the next group's, or the next rows of y, are asked for; in
# training, where y has left the caches.
cdef int64_t CONV_SOON = 12 << 20, CONV_SOON_ONCE = 4 << 20


cdef inline int64_t whole(int64_t n, int64_t unit) noexcept nogil:
    return ceil_div(n, unit) * unit


cdef inline int64_t apart(int64_t n, int64_t size) noexcept nogil:
    return nnrt_winograd_step(n * size) // size


cdef inline void span_of(nnrt_span *out, const void *data, int64_t count, int dtype) noexcept nogil:
    out.data, out.count, out.dtype = data, count, dtype


cdef const nnrt_winograd_ops *kernels(tile, taps, int64_t c, int64_t o, dtype) except? NULL:
    # Those of 3x3 to 5x5 filters; NULL: float64 but 3x3 in tiles of 4, or 5x5 taps with
    # less than 16 channels, which are _ref's.
    if tile == 4 and taps == 3:
        return &table.dtype[dtype.itemsize // 4 - 1]
    _ref._matrices(tile, taps, dtype)
    if taps < 5:
        return NULL if dtype.itemsize == 8 else &table.small if taps == 3 else &table.even
    return &table.wide if compiled((c, o), dtype) else NULL


def filter_size(shape, dtype, tile):
    """Elements of a transformed filter of w's shape, forward or backward; the layout is the back-end's own."""
    cdef int64_t size = np.dtype(dtype).itemsize, k2 = (tile + shape[4] - 1) ** 2
    if kernels(tile, shape[4], shape[1], shape[0], np.dtype(dtype)) == NULL:
        return _ref.filter_size(shape, dtype, tile)
    return k2 * max(panels(shape[1], shape[0], size), panels(shape[0], shape[1], size))


cdef int64_t panels(int64_t depth, int64_t columns, int64_t size) noexcept:
    cdef const nnrt_gemm_ops *ops = &linear_table().dtype[NNRT_F32 if size == 4 else NNRT_F64]
    return columns // ops.nr * apart(depth * ops.nr, size) + apart(depth * whole(columns % ops.nr, ops.vl), size)


cdef int fill_filter(nnrt_winograd_filter *p, ndarray w, int64_t phases, int64_t k2, bint backward, int64_t groups) except -1:
    # All but u; returns the dtype.
    cdef int dtype = dtype_code(w)
    cdef int64_t o = PyArray_DIMS(w)[0] // groups, c = PyArray_DIMS(w)[1], size = 4 if dtype == NNRT_F32 else 8
    cdef int64_t taps = PyArray_DIMS(w)[3] * PyArray_DIMS(w)[4]
    memset(p, 0, sizeof(p[0]))
    p.w, p.rotate = PyArray_DATA(w), backward
    if backward:
        p.depth, p.columns, p.depth_step, p.column_step = o, c, taps * c, taps
        p.whole, p.u_pass = o, k2 * panels(o, c, size)
    else:
        p.depth, p.columns, p.depth_step, p.column_step = c, o, taps, taps * c
        p.whole, p.rows = phases * c, c
    p.w_group, p.part = o * c * taps, max(1, p.depth)
    p.work.bytes = <double>groups * o * c * size * (taps + phases * k2)
    p.work.flops = 144.0 * groups * o * c
    return dtype


cdef int launch_filter(nnrt_winograd_filter *p, const nnrt_winograd_ops *ops, int64_t groups, int dtype) noexcept nogil:
    if p.depth * p.columns >= 1024:
        p.part = min(p.depth, 64)
    return launch_nogil(&ops.filter, p, groups * ceil_div(p.columns, linear_table().dtype[dtype].nr) * ceil_div(p.depth, p.part))


cdef int transform(ndarray u, ndarray w, const nnrt_winograd_ops *ops, int64_t phases, int64_t k2, bint backward,
                   int64_t groups=1) except -1:
    cdef nnrt_winograd_filter p
    cdef int dtype = fill_filter(&p, w, phases, k2, backward, groups), rc
    global made
    if p.depth * p.columns == 0:
        return 0
    p.u, p.u_group = PyArray_DATA(u), PyArray_SIZE(u) // groups
    made = p.u
    with nogil:
        rc = launch_filter(&p, ops, groups, dtype)
    if rc != 0:
        raise MemoryError("winograd.transform_filter: out of memory")
    return 0


def transform_filter(ndarray u not None, ndarray w not None, tile, bint backward, int64_t groups=1):
    """u = G w G^T; backward: of w rotated by half a turn, O and C exchanged, for the input's gradient."""
    cdef const nnrt_winograd_ops *ops = kernels(tile, w.shape[4], w.shape[0] // groups, w.shape[1], w.dtype)
    if ops == NULL:
        return _ref.transform_filter(u, w, tile, backward, groups)
    transform(u, w, ops, 1, (tile + w.shape[4] - 1) ** 2, backward, groups)


cdef int fill(nnrt_winograd_args *p, ndarray x, ndarray y, padding, int64_t m, int64_t step, int64_t spread,
              int64_t groups=1) except -1:
    # x, y and the tiles; returns the dtype.
    cdef int dtype = dtype_code(x)
    memset(p, 0, sizeof(p[0]))
    p.gemm = &linear_table().dtype[dtype]
    p.n, p.h, p.w, p.x_pixel = PyArray_DIMS(x)[0], PyArray_DIMS(x)[2], PyArray_DIMS(x)[3], PyArray_DIMS(x)[4]
    p.oh, p.ow, p.y_pixel = PyArray_DIMS(y)[2], PyArray_DIMS(y)[3], PyArray_DIMS(y)[4]
    p.groups, p.c, p.o = groups, p.x_pixel // groups, p.y_pixel // groups
    p.step, p.depth, p.spread = step, step * step * p.c, spread
    p.pad_h, p.pad_w = padding[1], padding[2]
    p.tile, p.down, p.across = m, ceil_div(ceil_div(p.oh, spread), m), ceil_div(ceil_div(p.ow, spread), m)
    p.x, p.y = PyArray_DATA(x), PyArray_DATA(y)
    p.last = p.n * p.down * p.across
    p.v_row = p.depth if p.c % p.gemm.vl == 0 else p.depth + p.gemm.vl  # a last vector may reach into what follows
    p.v_panel, p.v_set = p.gemm.nr, p.c
    return dtype


def conv(ndarray y not None, ndarray x not None, ndarray u not None, ndarray b, ndarray residual, padding, taps,
         tile, activation, int64_t groups=1, bint backward=False):
    """y[N, 1, OH, OW, O] = act(conv(x[N, 1, H, W, C], w) + b[O] + residual); b, residual and activation may be None."""
    cdef nnrt_winograd_args p
    cdef const nnrt_winograd_ops *ops = kernels(tile, taps, x.shape[4] // groups, y.shape[4] // groups, x.dtype)
    if ops == NULL:
        return _ref.conv(y, x, u, b, residual, padding, taps, tile, activation, groups, backward)
    run(&p, ops, fill(&p, x, y, padding, tile, 1, 1, groups), (tile + taps - 1) ** 2, y, u, b, residual, activation, backward)


cdef int run(nnrt_winograd_args *p, const nnrt_winograd_ops *ops, int dtype, int64_t k2, ndarray y, ndarray u, ndarray b,
             ndarray residual, activation, bint backward=False) except -1:
    # u: transformed, or the filter itself.
    global made
    cdef bint fresh = PyArray_DATA(u) == made
    cdef nnrt_winograd_filter f
    cdef nnrt_gemm act
    cdef int code = ACTIVATIONS.index(activation), rc
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8
    made = NULL
    if p.last * p.o == 0:
        return 0
    p.u, p.u_pass = PyArray_DATA(u), k2 * panels(p.depth, p.o, size)
    if u.ndim == 5:
        fill_filter(&f, u, max(p.step, p.spread) ** 2, k2, backward, p.groups)
        p.filter = &f
    elif p.groups > 1:
        p.u_pass = PyArray_SIZE(u) // p.groups
    p.bias = NULL if b is None else PyArray_DATA(b)
    p.residual = NULL if residual is None else PyArray_DATA(residual)
    p.relu = code == NNRT_ACT_RELU
    p.past = (PyArray_NBYTES(y) >= NNRT_STREAM_BYTES and code <= NNRT_ACT_RELU and p.o * size % 64 == 0
              and <size_t>p.y % 64 == 0)
    p.work.flops = 2.0 * k2 * p.spread * p.spread * p.last * p.depth * p.y_pixel
    p.work.bytes = <double>size * (p.n * p.h * p.w * p.x_pixel + PyArray_SIZE(y) + PyArray_SIZE(u))
    if code <= NNRT_ACT_RELU:
        span(&p.work.out[0], y)
    with nogil:
        if ops == &table.rows:
            rc = launch_rows(p, &f, ops, size)
        elif p.filter != NULL:
            rc = launch_once(p, &f, ops, k2, size)
        else:
            rc = launch_conv(p, ops, k2, size, fresh)
        if rc == 0 and code > NNRT_ACT_RELU:
            memset(&act, 0, sizeof(act))
            act.batch, act.splits, act.m, act.n, act.c, act.c_row = 1, 1, p.n * p.oh * p.ow, p.y_pixel, p.y, p.y_pixel
            act.beta, act.activation = 1, code
            act.rows, act.cols = max(1, 16384 // p.y_pixel), p.y_pixel
            span_of(&act.work.out[0], p.y, act.m * act.n, dtype)
            rc = launch_nogil(&p.gemm.finish, &act, ceil_div(act.m, act.rows))
    if rc != 0:
        raise MemoryError("winograd.conv: out of memory")
    return 0


cdef int launch_once(nnrt_winograd_args *p, nnrt_winograd_filter *f, const nnrt_winograd_ops *ops, int64_t k2,
                     int64_t size) noexcept nogil:
    # With the filter itself, of which each task transforms its columns, or its group's, or with all of it where that
    # stays in cache or groups have more tiles than one block.
    cdef int64_t passes = p.spread * p.spread, nr = p.gemm.nr, each = passes * k2 * apart(p.depth * nr, size), bytes, i
    cdef nnrt_winograd_args first
    cdef int rc = 0
    p.v_step = apart(p.last * p.v_row, size)
    p.v_pass = k2 * p.v_step
    bytes = passes * p.v_pass * size
    if p.groups > 1 and p.last <= BLOCK // k2 // GROUPS_SHARE:
        plan_conv(p, k2, size)
        p.work.scratch += k2 * apart(p.depth * nr, size) * ceil_div(p.o, nr) * size
        return launch_nogil(&ops.conv, p, p.groups * ceil_div(p.last, p.block))
    if p.groups > 1 or passes * p.u_pass * size < LARGE or bytes > MOST_TRANSFORMED:
        f.u_group = p.u_pass
        bytes = p.groups * passes * p.u_pass * size
        f.u = take(bytes)
        if f.u == NULL:
            return -1
        rc = launch_filter(f, ops, p.groups, NNRT_F32 if size == 4 else NNRT_F64)
        p.u, p.filter = f.u, NULL
        if rc == 0:
            rc = launch_conv(p, ops, k2, size, True)
        give(f.u, bytes)
        return rc
    p.block = p.last
    p.group = min(max(1, ONCE_BYTES // (each * size)), max(1, ceil_div(p.o, nr) // 4)) * nr
    p.chunk = p.m_row = min(CHUNK, p.group)
    p.m_step = apart(p.block * p.m_row, size)
    p.v = take(bytes)
    if p.v == NULL:
        return -1
    first = p[0]
    first.work.flops, first.work.bytes, first.work.out[0].count = 0, p.v_pass * size, 0
    first.block = ceil_div(p.last, max(1, min(8, k2 * p.last * p.depth // TASK_TRANSFORMED)))
    first.work.scratch = size * 6 * max(p.step * p.x_pixel, 6 * p.gemm.vl)
    for i in range(passes):
        if passes > 1:
            first.pad_h, first.pad_w = 1 - (i // 2 + p.pad_h) // 2, 1 - (i % 2 + p.pad_w) // 2
        first.v = <char *>p.v + i * p.v_pass * size
        if rc == 0:
            rc = launch_nogil(&ops.input, &first, ceil_div(p.last, first.block))
    p.work.scratch = size * (k2 * p.m_step + 6 * max(max(p.depth, p.x_pixel), 6 * p.gemm.vl) + p.group // nr * each)
    if rc == 0:
        rc = launch_nogil(&ops.conv, p, ceil_div(p.o, p.group))
    give(p.v, bytes)
    return rc


cdef int launch_conv(nnrt_winograd_args *p, const nnrt_winograd_ops *ops, int64_t k2, int64_t size,
                     bint fresh) noexcept nogil:
    # fresh: u was made just now, by threads that each made some of its columns.
    cdef int64_t tasks, bytes
    cdef nnrt_winograd_args first
    cdef int rc
    plan_conv(p, k2, size)
    tasks = p.groups * p.spread * p.spread * ceil_div(p.last, p.block) * ceil_div(p.o, p.group)
    bytes = k2 * p.v_step * size
    if p.group >= p.o or p.spread > 1:
        return launch_nogil(&ops.conv, p, tasks)
    # v is made before: its columns are shared out. Each thread goes on with what it made of u or v, whichever is larger.
    p.by_columns = fresh and p.u_pass > k2 * p.v_step
    p.v = take(bytes)
    if p.v == NULL:
        return -1
    first = p[0]
    first.work.flops, first.work.bytes, first.work.out[0].count = 0, bytes, 0
    first.block = ceil_div(p.last, max(1, min(8, k2 * p.last * p.depth // TASK_TRANSFORMED)))
    rc = launch_nogil(&ops.input, &first, ceil_div(p.last, first.block))
    if rc == 0:
        rc = launch_nogil(&ops.conv, p, tasks)
    give(p.v, bytes)
    return rc


cdef void plan_conv(nnrt_winograd_args *p, int64_t k2, int64_t size) noexcept nogil:
    # An even number of blocks of tiles; where there are few, the columns are shared out too, by preference if all tasks
    # can read one v. Each block reads u, so that blocks are few where u is large; if only one, columns are shared out
    # whatever v's size: 4x4 taps, 256 to 512 channels on 8x8 maps, took 8.2 ms on two threads as one task, 4.2 as four.
    # A small u is read by each block: then v is made where it is used.
    cdef const nnrt_gemm_ops *g = p.gemm
    cdef int64_t passes = p.spread * p.spread, groups = 1, blocks, shared = 8 if p.groups == 1 else 1
    cdef int64_t tasks = max(1, min(shared, passes * k2 * p.last * p.depth * p.o // TASK_MACS))
    cdef int64_t most = BLOCK // k2 if p.groups == 1 else (1 + (p.o <= g.vl)) * BLOCK // k2 // GROUPS_SHARE
    cdef int64_t least = 8 if p.u_pass * size < LARGE else 16 if p.u_pass * size < 3 * LARGE else most
    blocks = ceil_div(p.last, most)
    if p.last >= 2 * least and p.u_pass * size <= SMALL:
        groups = 1
    elif passes == 1 and p.groups == 1 and (k2 * p.last * p.v_row * size <= SHARED_BYTES or p.last < 2 * least and blocks == 1):
        groups = max(1, min(min(ceil_div(tasks, blocks), p.o // g.nr), 4))
    blocks = max(blocks, min(ceil_div(tasks, passes * groups), p.last // least))
    if blocks > 1:
        blocks = whole(blocks, 2)
    while passes > 1 and groups * blocks * passes < tasks and p.o >= 256 * groups:
        groups *= 2
    p.block = ceil_div(p.last, max(blocks, 1))
    p.group = whole(ceil_div(p.o, groups), g.nr)
    p.chunk = min(CHUNK, p.group)
    p.m_row = p.chunk
    p.v_step = apart((p.block if groups == 1 or passes > 1 else p.last) * p.v_row, size)
    p.m_step = apart(p.block * p.m_row, size)
    p.work.scratch = 6 * max(p.depth, p.x_pixel, 6 * g.vl) + k2 * p.m_step
    if groups == 1 or passes > 1:
        p.work.scratch += k2 * p.v_step
    p.work.scratch *= size


def filter_backward(ndarray dw not None, ndarray db, ndarray x not None, ndarray dy not None, padding, tile, int64_t groups=1):
    """dw[O, C/G, 1, r, r] = the sum over y's pixels of dy and the patch of x under it; db[O] of dy, or None."""
    cdef nnrt_winograd_args p
    cdef int64_t taps = dw.shape[4]
    cdef const nnrt_winograd_ops *ops = kernels(tile, taps, dw.shape[1], dy.shape[4] // groups, x.dtype)
    if ops == NULL:
        return _ref.filter_backward(dw, db, x, dy, padding, tile, groups)
    sum_filter(&p, ops, fill(&p, x, dy, padding, tile, 1, 1, groups), (tile + taps - 1) ** 2, dw, db, dy)


cdef int sum_filter(nnrt_winograd_args *p, const nnrt_winograd_ops *ops, int dtype, int64_t k2, ndarray dw, ndarray db,
                    ndarray dy) except -1:
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, rows = max(PARTS, p.last // 8 + ceil_div(p.last, 64) + 1)
    cdef int64_t bytes = rows * p.y_pixel * size, channels = p.y_pixel
    cdef nnrt_span dw_span
    cdef void *totals = NULL
    cdef int rc
    if p.o * p.c * p.last == 0:
        dw[...] = 0
        if db is not None:
            bias_grad(db, dy.reshape(-1, channels))
        return 0
    if db is not None:
        if PyArray_SIZE(db) != channels or dtype_code(db) != dtype or not PyArray_IS_C_CONTIGUOUS(db):
            raise ValueError(f"winograd.filter_backward: wanted db of shape ({channels},), got {np.shape(db)}")
        p.totals = totals = take(bytes)
        if totals == NULL:
            raise MemoryError("winograd.filter_backward: out of memory")
    p.dw = PyArray_DATA(dw)
    span(&dw_span, dw)
    with nogil:
        rc = sum_rows(p, k2, &rows, dw_span) if ops == &table.rows else sum_blocks(p, ops, k2, size, dw_span, &rows)
        if totals != NULL:
            if dtype == NNRT_F32:
                add_up(<float *>PyArray_DATA(db), <float *>totals, rows, channels)
            else:
                add_up(<double *>PyArray_DATA(db), <double *>totals, rows, channels)
            give(totals, bytes)
    if rc != 0:
        raise MemoryError("winograd.filter_backward: out of memory")
    return 0


cdef int sum_and_finish(nnrt_winograd_args *p, const nnrt_winograd_ops *ops, int64_t bytes, int64_t tasks, int64_t scratch,
                        nnrt_span dw) noexcept nogil:
    # Tasks are parts of the tiles, each with sums of its own in s, of so many bytes in all, which `tasks` take to dw.
    cdef int rc
    p.s = take(bytes)
    if p.s == NULL:
        return -1
    p.work.bytes = bytes
    rc = launch_nogil(&ops.sum, p, p.parts)
    if rc == 0:
        memset(&p.work, 0, sizeof(p.work))
        p.work.scratch = scratch
        p.work.bytes, p.work.out[0] = bytes, dw
        rc = launch_nogil(&ops.finish, p, tasks)
    give(p.s, bytes)
    return rc


cdef void add_up(floating *db, const floating *totals, int64_t rows, int64_t channels) noexcept nogil:
    cdef int64_t c, i
    cdef double total
    for c in range(channels):
        total = 0
        for i in range(rows):
            total += totals[i * channels + c]
        db[c] = <floating>total


cdef int sum_parts(nnrt_winograd_args *p, const nnrt_winograd_ops *ops, int64_t k2, int64_t size, nnrt_span dw) noexcept nogil:
    # Few channels of x: tasks are parts of the tiles, whose sums are added up; or groups, whose tasks go on to dw.
    cdef int64_t nr = p.gemm.nr, blocks = ceil_div(p.o, nr)
    p.turned, p.o, p.c = True, p.c, p.o
    p.parts, p.block, p.complete = PARTS if p.groups == 1 else p.groups, min(NEAR, p.last), p.groups > 1
    p.rows, p.panels, p.squares = p.o, 1, k2
    p.v_panel, p.q_panel = 0, p.block * nr
    p.v_step, p.q_step = apart(p.block * nr, size), apart(ceil_div(p.o, nr) * p.q_panel, size)
    p.s_row = nr
    p.s_step = apart(p.rows * nr, size)
    p.s_block = k2 * p.s_step
    p.v_pass = apart(6 * max(p.x_pixel, p.y_pixel), size)  # the zeros
    p.work.flops = 2.0 * k2 * p.last * p.o * p.c * p.groups
    p.work.scratch = size * (p.v_pass + k2 * (p.v_step + p.q_step))
    if p.groups > 1:
        p.work.scratch += size * blocks * p.s_block
        p.work.out[0] = dw
        return launch_nogil(&ops.sum, p, p.parts)
    return sum_and_finish(p, ops, p.parts * blocks * p.s_block * size, blocks, 0, dw)


cdef int sum_blocks(nnrt_winograd_args *p, const nnrt_winograd_ops *ops, int64_t k2, int64_t size, nnrt_span dw,
                    int64_t *rows) noexcept nogil:
    # rows: how many of p.totals come. Tasks are blocks of s, which one task takes to dw where all tiles fit in at a
    # time; of few blocks matrices are tasks.
    cdef int64_t nr = p.gemm.nr, phases = p.step * p.step, of_c = ceil_div(p.c, nr), of_o = ceil_div(p.o, nr)
    cdef int64_t tiles = p.last, each = k2 * p.groups * (phases * of_c + of_o) * nr * size, blocks, most, bytes, sums
    cdef bint once
    cdef int rc = 0
    if p.c <= nr and phases * p.groups == 1 and tiles >= 2 * PARTS * NEAR:
        rows[0] = PARTS
        return sum_parts(p, ops, k2, size, dw)
    if (p.groups >= PARTS and phases == 1 and max(p.c, p.o) <= GROUP
            and p.n * (p.h * p.w * p.c + p.oh * p.ow * p.o) * size <= GROUP_BYTES):
        rows[0] = 1
        return sum_parts(p, ops, k2, size, dw)
    rows[0] = 0
    p.panels = min(of_c, 2 if phases == 1 else 1)
    p.s_row = phases * p.panels * nr
    p.rows = min(max(SUMS_BYTES // (k2 * p.s_row * size) // nr, 1), of_o) * nr
    p.s_step = apart(p.rows * p.s_row, size)
    p.s_block = k2 * p.s_step
    blocks = p.groups * ceil_div(p.o, p.rows) * ceil_div(of_c, p.panels)
    most = min(max(TRANSFORMED_BYTES, 4 * blocks * p.s_block * size), MOST_TRANSFORMED) // each
    most = ceil_div(tiles, ceil_div(tiles, max(64, most)))
    once = blocks >= 4 and most == tiles
    p.squares = k2 if blocks >= 4 else 6
    p.block = 8
    p.v_row, p.v_panel, p.q_panel = nr, most * nr, most * nr
    p.v_set, p.q_set = of_c * p.v_panel, of_o * p.q_panel
    p.v_step, p.q_step = apart(p.groups * phases * p.v_set, size), apart(p.groups * p.q_set, size)
    bytes, sums = k2 * (p.v_step + p.q_step) * size, 0 if once else blocks * p.s_block * size
    p.v = take(bytes + sums)
    if p.v == NULL:
        return -1
    p.q, p.s = <char *>p.v + k2 * p.v_step * size, NULL
    if not once:
        p.s = <char *>p.v + bytes
    while rc == 0 and p.first < tiles:
        p.last = min(p.first + most, tiles)
        p.work.scratch = size * 6 * max(p.step * p.x_pixel, p.y_pixel)
        p.work.flops, p.work.bytes = 0, <double>size * k2 * p.v_step
        rc = launch_nogil(&ops.input, p, ceil_div(p.last - p.first, p.block))
        p.work.bytes = <double>size * k2 * p.q_step
        if rc == 0:
            rc = launch_nogil(&ops.output, p, ceil_div(p.last - p.first, p.block))
        rows[0] += ceil_div(p.last - p.first, p.block)
        if p.totals != NULL:
            p.totals = <char *>p.totals + ceil_div(p.last - p.first, p.block) * p.y_pixel * size
        p.work.flops, p.work.bytes = 2.0 * k2 * (p.last - p.first) * p.depth * p.y_pixel, bytes
        p.complete = once
        if once:
            p.work.out[0], p.work.scratch = dw, p.s_block * size
        if rc == 0:
            rc = launch_nogil(&ops.sum, p, blocks * ceil_div(k2, p.squares))
        p.first = p.last
    if rc == 0 and not once:
        memset(&p.work, 0, sizeof(p.work))
        p.work.bytes, p.work.out[0] = sums, dw
        rc = launch_nogil(&ops.finish, p, blocks)
    give(p.v, bytes + sums)
    return rc


# ---- along rows alone; float64 and all below AVX-512 are _ref's ----

cdef bint in_rows(dtype) except -1:
    return table.rows.conv.name != NULL and dtype.itemsize == 4


def rows_size(shape, dtype):
    """filter_size of a filter that is transformed along rows alone."""
    if not in_rows(np.dtype(dtype)):
        return _ref.rows_size(shape, dtype)
    return max(rows_panels(shape[1], shape[0]), rows_panels(shape[0], shape[1]))


cdef int64_t rows_panels(int64_t depth, int64_t columns) noexcept nogil:
    return 18 * depth * whole(columns, 16)


def transform_rows(ndarray u not None, ndarray w not None, bint backward, int64_t groups=1):
    """u from w[O, C/G, 1, 3, 3] for rows_conv; backward: for the input's gradient."""
    if not in_rows(w.dtype):
        return _ref.transform_rows(u, w, backward, groups)
    cdef nnrt_winograd_filter p
    fill_filter(&p, w, 1, 18, backward, groups)
    p.u, p.u_group = PyArray_DATA(u), PyArray_SIZE(u) // groups
    if p.depth * p.columns and launch_nogil(&table.rows.filter, &p, groups * ceil_div(p.columns, 16)):
        raise MemoryError("winograd.transform_rows: out of memory")


def rows_conv(ndarray y not None, ndarray x not None, ndarray u not None, ndarray b, ndarray residual, padding, activation,
              int64_t groups=1, bint backward=False):
    """conv of 3x3 filters; u: of transform_rows, or w."""
    cdef nnrt_winograd_args p
    if not in_rows(x.dtype):
        return _ref.rows_conv(y, x, u, b, residual, padding, activation, groups, backward)
    fill(&p, x, y, padding, 4, 1, 1, groups)
    run(&p, &table.rows, NNRT_F32, 18, y, u, b, residual, activation, backward)


cdef int launch_rows(nnrt_winograd_args *p, nnrt_winograd_filter *f, const nnrt_winograd_ops *ops, int64_t size) noexcept nogil:
    # Of one strip of one image each task transforms the filters of its groups.
    cdef int64_t sets = ceil_div(p.c, p.gemm.vl), tiles = max(2, min(p.across, CONV_TILES)), bytes, want, rows, units
    cdef int rc = 0
    bytes = (p.n * p.h * p.w * p.x_pixel + p.n * p.oh * p.ow * p.y_pixel) * size
    p.soon = bytes > (CONV_SOON if p.filter == NULL else CONV_SOON_ONCE) and (p.groups > 1 or p.filter != NULL)
    p.work.flops = 36.0 * p.n * p.oh * p.across * p.c * p.y_pixel
    want = max(1, min(CONV_TASKS, <int64_t>(p.work.flops / 2) // CONV_MACS))
    rows = max(CONV_HIGH, CONV_BYTES // (sets * 6 * tiles * 64) - 2)
    p.down = max(ceil_div(p.oh, rows), min(ceil_div(want, p.n * p.groups), p.oh // 4))
    p.block = ceil_div(p.oh, p.down)
    units = p.n * p.down
    p.group = max(1, p.groups // max(1, want // units))
    p.v_step = apart((max(p.block + 2, CONV_HIGH) + 2) * tiles * p.gemm.vl, size)
    p.m_step = apart(CONV_HIGH * tiles * p.gemm.vl, size)
    p.work.scratch = 6 * size * (sets * p.v_step + 2 * p.m_step)
    if p.filter == NULL or units == 1:
        if p.filter != NULL:
            p.work.scratch += rows_panels(p.c, p.o) * size
        return launch_nogil(&ops.conv, p, units * ceil_div(p.groups, p.group))
    f.u_group = p.u_pass = rows_panels(p.c, p.o)
    bytes = p.groups * p.u_pass * size
    f.u = take(bytes)
    if f.u == NULL:
        return -1
    p.u, p.filter = f.u, NULL
    rc = launch_nogil(&ops.filter, f, p.groups * ceil_div(p.o, p.gemm.vl))
    if rc == 0:
        rc = launch_nogil(&ops.conv, p, units * ceil_div(p.groups, p.group))
    give(f.u, bytes)
    return rc


def rows_filter_backward(ndarray dw not None, ndarray db, ndarray x not None, ndarray dy not None, padding, int64_t groups=1):
    """filter_backward of 3x3 and 5x5 filters."""
    cdef nnrt_winograd_args p
    cdef int64_t taps = dw.shape[4]
    fill(&p, x, dy, padding, 4, 1, 1, groups)
    if not in_rows(x.dtype) or not (taps in (3, 5) and p.c <= 4 if groups == 1 else taps == 3 and p.c == p.o == 16):
        return _ref.rows_filter_backward(dw, db, x, dy, padding, groups)
    sum_filter(&p, &table.rows, NNRT_F32, taps + 3, dw, db, dy)


cdef int sum_rows(nnrt_winograd_args *p, int64_t points, int64_t *rows, nnrt_span dw) noexcept nogil:
    # rows: how many of p.totals come. A task's tiles, of four pixels, are images by bands of rows by blocks of tiles.
    cdef int64_t taps = points - 3, depth = 4 if p.c <= 4 else 16, lanes = 32 if p.c <= 4 else 16
    cdef int64_t panels = ceil_div(p.o, lanes)
    cdef int64_t bands, wide, around = 0 if p.c <= 4 else taps - 1
    p.squares = points
    p.across = ceil_div(p.across, ceil_div(p.across, ROW_TILES if p.groups == 1 else ROW_TILES // 2))
    bands = ceil_div(p.oh, max(1, ROWS_BYTES // (4 * points * p.across * depth)))
    p.high = ceil_div(p.oh, bands)
    p.rows = max(1, ROWS_TILES // p.across) if p.groups == 1 else p.high
    p.v_step = apart((p.high + taps - 1) * p.across * depth + 16, 4)
    p.q_step = apart((min(p.rows, p.high) + 2 * around) * p.across * lanes, 4)
    wide = whole(p.across, 4) * 4 + 8
    p.s_block = points * taps * p.c * panels * lanes
    rows[0] = p.parts = PARTS if p.groups == 1 else 1
    p.work.flops = 2.0 * points * taps * p.n * p.oh * ceil_div(p.ow, 4) * p.c * p.o * p.groups
    p.work.scratch = 4 * (points * (p.v_step + p.q_step) + (wide * p.c + 16) * (p.high + taps - 1) + 16 * wide + panels * lanes)
    if p.groups > 1:
        p.work.scratch += 4 * (p.s_block + 16 * taps * taps * p.c)
        p.work.out[0] = dw
        return launch_nogil(&table.rows.sum, p, p.groups)
    return sum_and_finish(p, &table.rows, p.parts * p.s_block * 4, ceil_div(p.o, 16), 64 * taps * taps * p.c, dw)


# ---- 4x4 filters with stride 2; float64 and less than 16 channels are _ref's ----

cdef bint compiled(shape, dtype) except -1:
    return dtype.itemsize == 4 and min(shape[0], shape[1]) >= 16


cdef int fill_strided(nnrt_winograd_args *p, ndarray x, ndarray y, padding, int64_t tile, int64_t step,
                      int64_t spread) except -1:
    # Whether the work is done here.
    fill(p, x, y, padding, tile, step, spread)
    return compiled((p.o, p.c), x.dtype)


def strided_size(shape, dtype, tile):
    """filter_size of a 4x4 filter with stride 2."""
    if not compiled(shape, dtype):
        return _ref.strided_size(shape, dtype, tile)
    return (tile + 1) ** 2 * max(panels(4 * shape[1], shape[0], 4), 4 * panels(shape[0], shape[1], 4))


def transform_strided(ndarray u not None, ndarray w not None, tile, bint backward):
    """u from w[O, C, 1, 4, 4]: for strided_conv, or backward for strided_conv_transposed."""
    if not compiled(np.shape(w), w.dtype):
        return _ref.transform_strided(u, w, tile, backward)
    transform(u, w, &table.strided[tile // 2 - 1], 4, (tile + 1) ** 2, backward)


def strided_conv(ndarray y not None, ndarray x not None, ndarray u not None, ndarray b, ndarray residual, padding,
                 tile, activation):
    """y[N, 1, OH, OW, O] = act(conv of x[N, 1, H, W, C] with stride 2 + b[O] + residual)."""
    cdef nnrt_winograd_args p
    if not fill_strided(&p, x, y, padding, tile, 2, 1):
        return _ref.strided_conv(y, x, u, b, residual, padding, tile, activation)
    run(&p, &table.strided[tile // 2 - 1], NNRT_F32, (tile + 1) ** 2, y, u, b, residual, activation)


def strided_conv_transposed(ndarray x not None, ndarray y not None, ndarray u not None, ndarray b, padding, tile):
    """x = the adjoint of strided_conv applied to y + b[C]."""
    cdef nnrt_winograd_args p
    if not fill_strided(&p, y, x, padding, tile, 1, 2):
        return _ref.strided_conv_transposed(x, y, u, b, padding, tile)
    run(&p, &table.strided[tile // 2 - 1], NNRT_F32, (tile + 1) ** 2, x, u, b, None, None, True)


def strided_filter_backward(ndarray dw not None, ndarray db, ndarray x not None, ndarray dy not None, padding, tile):
    """dw[O, C, 1, 4, 4] = the sum over y's pixels of dy and the patch of x under it; db[O] of dy, or None."""
    cdef nnrt_winograd_args p
    if not fill_strided(&p, x, dy, padding, tile, 2, 1):
        return _ref.strided_filter_backward(dw, db, x, dy, padding, tile)
    sum_filter(&p, &table.strided[tile // 2 - 1], NNRT_F32, (tile + 1) ** 2, dw, db, dy)
