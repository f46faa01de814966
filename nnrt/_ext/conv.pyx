"""Direct convolutions: how they are cut into passes and tasks for csrc/conv.c. See nnrt._ref.conv.

    maps as wide as a register tile   tiles: rows of the tile are neighbours along w, taken from x where they lie, or from
                                      a copy between zeros where taps reach over the border
    narrower maps                     patches: the taps of every output side by side, then a matrix product
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_IS_C_CONTIGUOUS, PyArray_NDIM, PyArray_SIZE, ndarray

from nnrt._ext.linear cimport linear_table, multiply, nnrt_gemm, nnrt_gemm_ops, packed_count
from nnrt._ext.runtime cimport (
    NNRT_F32, ceil_div, dtype_code, give, isa_level, launch_nogil, nnrt_kernel, nnrt_work, span, take,
)

import numpy as np

from nnrt._ext.linear import bias_grad
from nnrt._ref.conv import conv as _ref_conv
from nnrt._ref.linear import ACTIVATIONS


cdef extern from "conv.h" nogil:
    enum:
        NNRT_CONV_WIDTH
        NNRT_CONV_ROWS
    ctypedef struct nnrt_conv_pass:
        int64_t out[3]
        int64_t first[3]
        int64_t taps[3]
        int64_t y, filter
    ctypedef struct nnrt_conv_args:
        nnrt_work work
        const nnrt_gemm_ops *gemm
        const void *x
        const void *filter
        const void *bias
        const void *residual
        void *y
        int64_t images, groups
        int64_t in_ "in"[3]
        int64_t x_channels, y_channels
        int64_t stride[3]
        int64_t step[3]
        int64_t y_image
        int64_t y_step[3]
        int32_t activation
        int64_t passes
        const nnrt_conv_pass *passed "pass"
        int64_t most[3]
        int64_t low[3]
        int64_t high[3]
        int64_t taps
        int32_t padded
        int64_t rows, cols, panels
    ctypedef struct nnrt_conv_patches:
        nnrt_work work
        const void *x
        void *patches
        int64_t images
        int64_t in_ "in"[3]
        int64_t out[3]
        int64_t taps[3]
        int64_t stride[3]
        int64_t step[3]
        int64_t first[3]
        int64_t x_channels, channel, channels, rows
    ctypedef struct nnrt_conv_sums:
        nnrt_work work
        const nnrt_gemm_ops *gemm
        const void *x
        const void *dy
        void *sums
        void *totals
        int64_t images, groups
        int64_t in_ "in"[3]
        int64_t x_channels
        int64_t out[3]
        int64_t y_channels
        int64_t taps[3]
        int64_t stride[3]
        int64_t step[3]
        int64_t first[3]
        int64_t width
        int32_t joined
        int64_t rows, cols, blocks, chunk, panels
    ctypedef struct nnrt_conv_gather:
        nnrt_work work
        const void *sums
        const void *totals
        void *dw
        void *db
        int64_t chunks, groups, taps, inputs, outputs, length
    ctypedef struct nnrt_conv_pack:
        nnrt_work work
        void *dst
        const void *w
        int64_t groups, inputs, outputs, taps, group, input, output
        const int64_t *base
        const int64_t *count
        const int64_t *place
    ctypedef struct nnrt_conv_fold:
        nnrt_work work
        const void *columns
        const void *bias
        void *x
        int64_t images, channels
        int64_t in_ "in"[3]
        int64_t out[3]
        int64_t taps[3]
        int64_t stride[3]
        int64_t step[3]
        int64_t first[3]
        int64_t rows
    ctypedef struct nnrt_conv_ops:
        nnrt_kernel tiles, patches, sums, gather, pack, fold
    ctypedef struct nnrt_conv_table:
        nnrt_conv_ops dtype[2]
    const nnrt_conv_table *nnrt_conv(int isa)

cdef const nnrt_conv_table *table = nnrt_conv(isa_level())

# A task's part of x, which stays in L2 while the filter passes.
cdef int64_t BOX_BYTES = 192 << 10
# Patches that are made before they are multiplied.
cdef int64_t PATCH_BYTES = 8 << 20
# Tiles that use fewer rows than this on average cannot hide an FMA's latency (two vectors a row, 8 sums in flight).
cdef double LEAST_ROWS = 4.5
# A filter's gradient sums along w; shorter rows than this go through patches.
cdef int64_t LEAST_COLUMNS = 8
# Outputs that are summed into a filter's gradient at a time: their part of dy and of x's lines stay in L1.
cdef int64_t SUMMED = 256
# Sums of one task, which stay in L2.
cdef int64_t SUMS_BYTES = 512 << 10
# Multiply-adds per task, 5 us.
cdef double TASK_MACS = 262144
# Additions of a task that folds columns: 10 us.
cdef int64_t TASK_FOLDED = 32 << 10


cdef inline int64_t even(int64_t n, int64_t most) noexcept nogil:
    # The length of equal parts of n that are at most `most` long.
    return ceil_div(n, ceil_div(n, max(1, most)))


cdef inline int64_t gcd(int64_t a, int64_t b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef inline int64_t volume(const int64_t *size) noexcept nogil:
    return size[0] * size[1] * size[2]


cdef int triple(int64_t *to, str kernel, str name, value, int64_t least) except -1:
    cdef int i
    if len(value) != 3:
        raise ValueError(f"{kernel}: wanted {name} along d, h and w, got {value}")
    for i in range(3):
        to[i] = value[i]
        if to[i] < least:
            raise ValueError(f"{kernel}: wanted {name} of at least {least}, got {value}")
    return 0


cdef int check(str kernel, str name, ndarray a, int dtype, int axes) except -1:
    if PyArray_NDIM(a) != axes or not PyArray_IS_C_CONTIGUOUS(a) or dtype_code(a) != dtype:
        raise ValueError(f"{kernel}: wanted {name} of {axes} axes, contiguous, one dtype, got {np.shape(a)} {a.dtype}")
    return 0


cdef bint narrow(int64_t out_w, int64_t groups, const nnrt_gemm_ops *g) noexcept nogil:
    return out_w < (LEAST_ROWS if groups == 1 else 3) * ceil_div(out_w, g.mr)


include "conv_filter.pxi"


cdef int64_t plan(nnrt_conv_args *a, const nnrt_conv_pass *passes, int64_t size, double macs) noexcept nogil:
    # How the outputs are cut into tasks; returns their number.
    cdef int64_t each, reach_h, reach_w, want, tasks, strips, i, j
    cdef int64_t per = ceil_div(a.y_channels // a.groups, a.gemm.nr), all_panels = a.groups * per
    cdef const nnrt_conv_pass *p
    cdef bint any_taps = False
    for i in range(a.passes):
        p = &passes[i]
        for j in range(3):
            a.most[j] = max(a.most[j], p.out[j])
        if volume(p.taps) == 0:
            continue
        a.taps = max(a.taps, volume(p.taps))
        for j in range(3):
            if not any_taps or p.first[j] < a.low[j]:
                a.low[j] = p.first[j]
            if not any_taps or p.first[j] + (p.taps[j] - 1) * a.step[j] > a.high[j]:
                a.high[j] = p.first[j] + (p.taps[j] - 1) * a.step[j]
        any_taps = True
    for j in range(3):
        if any_taps and (a.low[j] < 0 or (a.most[j] - 1) * a.stride[j] + a.high[j] >= a.in_[j]):
            a.padded = 1
    reach_h, reach_w = a.high[1] - a.low[1] + 1, a.high[2] - a.low[2] + 1
    a.padded |= a.groups > 1
    each = max(1, a.x_channels // a.groups) * size * (a.high[0] - a.low[0] + 1)
    a.cols = a.most[2]
    if each * reach_h * ((a.cols - 1) * a.stride[2] + reach_w) > BOX_BYTES:
        a.cols = even(a.most[2], max(4 * a.gemm.mr, (BOX_BYTES // (each * reach_h) - reach_w) // a.stride[2]))
    a.rows = BOX_BYTES // (each * ((a.cols - 1) * a.stride[2] + reach_w))
    a.rows = even(a.most[1], (a.rows - reach_h) // a.stride[1] + 1)
    a.panels = all_panels
    want = <int64_t>min(24.0, macs / TASK_MACS + 0.5)
    while True:
        strips = ceil_div(all_panels, a.panels)
        tasks = a.images * a.most[0] * ceil_div(a.most[1], a.rows) * ceil_div(a.most[2], a.cols)
        if tasks * strips >= want:
            return tasks * strips
        if a.groups > 1 and a.panels > per:
            a.panels = ceil_div(a.panels // per, 2) * per
        elif a.rows * a.cols >= 96 and a.rows > 1:
            a.rows = ceil_div(a.rows, 2)
        elif a.cols >= 96:
            a.cols = ceil_div(a.cols, 2)
        elif a.panels > 1:
            a.panels = ceil_div(a.panels, 2)
        elif a.rows > 1:
            a.rows = ceil_div(a.rows, 2)
        else:
            return tasks * strips


cdef int tiles(nnrt_conv_args *a, const nnrt_conv_pass *passes, int dtype) noexcept nogil:
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, i, tasks, box = 0
    cdef double macs = 0
    for i in range(a.passes):
        macs += <double>a.images * volume(passes[i].out) * volume(passes[i].taps)
    macs *= <double>a.x_channels * (a.y_channels // a.groups)
    tasks = plan(a, passes, size, macs)
    if a.padded:
        box = (a.high[0] - a.low[0] + 1) * ((a.rows - 1) * a.stride[1] + a.high[1] - a.low[1] + 1)
        box *= ((a.cols - 1) * a.stride[2] + a.high[2] - a.low[2] + 1) * (a.x_channels // a.groups)
    a.work.flops = 2 * macs
    a.work.scratch = box * size + (a.taps * 8 + 63) // 64 * 64
    a.passed = passes
    return launch_nogil(&table.dtype[dtype].tiles, a, tasks)


cdef int64_t begin_patches(nnrt_conv_patches *q, int64_t images, int64_t groups, int64_t size) noexcept nogil:
    # Memory for the patches of as many images as fit, for q with its sizes; returns their bytes. q.patches: NULL
    # when memory is out.
    cdef int64_t each = volume(q.out) * volume(q.taps) * (q.x_channels // groups) * size
    q.channels = q.x_channels // groups
    q.rows = max(1, 16384 // max(1, volume(q.taps) * q.channels))
    q.images = min(images, max(1, PATCH_BYTES // max(1, each)))
    q.patches = take(q.images * each)
    return q.images * each


cdef int fill_patches(nnrt_conv_patches *q, int64_t group, int dtype) noexcept nogil:
    cdef int64_t pixels = q.images * volume(q.out)
    q.channel = group * q.channels
    q.work.bytes = 2.0 * pixels * volume(q.taps) * q.channels * (4 if dtype == NNRT_F32 else 8)
    return launch_nogil(&table.dtype[dtype].patches, q, ceil_div(pixels, q.rows))


cdef int patches(nnrt_conv_args *a, nnrt_conv_pass *p, int dtype) noexcept nogil:
    # One pass whose outputs lie side by side in y.
    cdef nnrt_conv_patches q
    cdef nnrt_gemm g
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, n = 0, count, room, i
    cdef int64_t cout = a.y_channels // a.groups, deep = volume(p.taps) * (a.x_channels // a.groups)
    cdef int64_t filter = packed_count(deep, cout, dtype)
    cdef int rc = 0
    memset(&q, 0, sizeof(q))
    q.in_, q.out, q.taps, q.stride, q.step, q.first = a.in_, p.out, p.taps, a.stride, a.step, p.first
    q.x_channels = a.x_channels
    room = begin_patches(&q, a.images, a.groups, size)
    count = q.images
    if q.patches == NULL:
        return -1
    while n < a.images and rc == 0:
        q.images = min(count, a.images - n)
        q.x = <const char *>a.x + n * volume(a.in_) * a.x_channels * size
        for i in range(a.groups):
            rc = fill_patches(&q, i, dtype)
            if rc != 0:
                break
            memset(&g, 0, sizeof(g))
            g.batch, g.m, g.n, g.k = 1, q.images * volume(p.out), cout, deep
            g.c, g.c_row = <char *>a.y + (n * a.y_image + i * cout) * size, a.y_channels
            g.a, g.a_row, g.a_col = q.patches, deep, 1
            g.b, g.b_col, g.packed_b = <const char *>a.filter + (p.filter + i * filter) * size, 1, 1
            g.alpha, g.activation = 1, a.activation
            if a.bias != NULL:
                g.bias = <const char *>a.bias + i * cout * size
            if a.residual != NULL:
                g.residual = <const char *>a.residual + (n * a.y_image + i * cout) * size
                g.residual_row, g.residual_col = a.y_channels, 1
            rc = multiply(&g, dtype)
            if rc != 0:
                break
        n += count
    give(q.patches, room)
    return rc


cdef int operands(nnrt_conv_args *a, str kernel, ndarray y, ndarray x, ndarray p, b, residual, activation,
                  int64_t groups) except -1:
    # What both directions share; returns the dtype.
    cdef int dtype = dtype_code(y), i
    cdef ndarray extra
    cdef int64_t step
    memset(a, 0, sizeof(a[0]))
    check(kernel, "the output", y, dtype, 5)
    check(kernel, "the input", x, dtype, 5)
    check(kernel, "the filter", p, dtype, 1)
    a.gemm = &linear_table().dtype[dtype]
    a.x, a.y, a.filter, a.groups = PyArray_DATA(x), PyArray_DATA(y), PyArray_DATA(p), groups
    a.images, a.x_channels, a.y_channels = PyArray_DIMS(x)[0], PyArray_DIMS(x)[4], PyArray_DIMS(y)[4]
    step = a.y_channels
    for i in range(2, -1, -1):
        a.in_[i], a.y_step[i] = PyArray_DIMS(x)[1 + i], step
        step *= PyArray_DIMS(y)[1 + i]
    a.y_image = step
    if PyArray_DIMS(y)[0] != a.images:
        raise ValueError(f"{kernel}: an output of shape {np.shape(y)} does not fit an input of shape {np.shape(x)}")
    if b is not None:
        extra = b
        check(kernel, "the bias", extra, dtype, 1)
        if PyArray_SIZE(extra) != a.y_channels:
            raise ValueError(f"{kernel}: wanted a bias of shape ({a.y_channels},), got {b.shape}")
        a.bias = PyArray_DATA(extra)
    if residual is not None:
        extra = residual
        check(kernel, "the residual", extra, dtype, 5)
        if np.shape(residual) != np.shape(y):
            raise ValueError(f"{kernel}: wanted a residual of shape {np.shape(y)}, got {residual.shape}")
        a.residual = PyArray_DATA(extra)
    if activation is not None:
        if activation not in ACTIVATIONS:
            raise ValueError(f"{kernel}: activation {activation!r} is none of {ACTIVATIONS}")
        a.activation = ACTIVATIONS.index(activation)
    span(&a.work.out[0], y)
    a.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(y)) * (4 if dtype == NNRT_F32 else 8)
    return dtype


cdef int check_filter(str kernel, nnrt_conv_args *a, ndarray p, shape, int64_t inputs, int64_t outputs,
                      backward) except -1:
    if (shape[0] % a.groups or inputs != a.x_channels or outputs != a.y_channels
            or PyArray_SIZE(p) != filter_size(shape, a.groups, p.dtype, backward)):
        raise ValueError(f"{kernel}: a filter of shape {shape} in {PyArray_SIZE(p)} elements, {a.groups} groups, "
                         f"does not lead from {a.x_channels} to {a.y_channels} channels")
    return 0


def conv(ndarray y not None, ndarray x not None, ndarray p not None, shape, b, residual, stride, padding, dilation,
         int64_t groups, activation):
    """y = act(x * filter + b + residual); see nnrt._ref.conv."""
    cdef nnrt_conv_args a
    cdef nnrt_conv_pass one
    cdef int dtype = operands(&a, "conv", y, x, p, b, residual, activation, groups), i, rc
    check_filter("conv", &a, p, shape, shape[1] * groups, shape[0], False)
    memset(&one, 0, sizeof(one))
    triple(a.stride, "conv", "stride", stride, 1)
    triple(a.step, "conv", "dilation", dilation, 1)
    triple(one.first, "conv", "padding", padding, -(1 << 62))
    for i in range(3):
        one.first[i] = -one.first[i]
        one.out[i], one.taps[i] = PyArray_DIMS(y)[1 + i], shape[2 + i]
    if PyArray_SIZE(y) == 0:
        return
    if a.x_channels == 0:
        return _ref_conv(y, x, p, shape, b, residual, stride, padding, dilation, groups, activation)
    a.passes = 1
    with nogil:
        if narrow(one.out[2], groups, a.gemm):
            rc = patches(&a, &one, dtype)
        else:
            rc = tiles(&a, &one, dtype)
    if rc != 0:
        raise MemoryError(f"conv: no memory for what {np.shape(y)} needs besides")


cdef int64_t phase(int64_t *first, int64_t *out, int64_t size, int64_t kernel, int64_t stride, int64_t padding,
                   int64_t dilation, int64_t r) noexcept nogil:
    # Outputs i = q s + r of a transposed convolution along one axis: how many, and what output 0 meets with its
    # last tap. Returns the class of the taps.
    cdef int64_t kind = (r + padding) % stride, k
    if kind < 0:
        kind += stride
    out[0], first[0] = ceil_div(size - r, stride), 0
    for k in range(kernel):
        if kind_of(k, stride, dilation) == kind:
            first[0] = (r + padding - k * dilation) // stride  # exact
    return kind


def conv_transposed(ndarray x not None, ndarray y not None, ndarray p not None, shape, b, residual, stride, padding,
                    dilation, int64_t groups, activation):
    """x = act(the adjoint of conv applied to y + b + residual); see nnrt._ref.conv."""
    cdef nnrt_conv_args a
    cdef nnrt_conv_pass *list_
    cdef nnrt_conv_pass *one
    cdef int dtype = operands(&a, "conv_transposed", x, y, p, b, residual, activation, groups), i, rc
    cdef int64_t s[3]
    cdef int64_t pad[3]
    cdef int64_t d[3]
    cdef int64_t kernel[3]
    cdef int64_t natural[3]
    cdef int64_t kind[3]
    cdef int64_t r0, r1, r2, at, count, each
    cdef int64_t size[3]
    check_filter("conv_transposed", &a, p, shape, shape[0], shape[1] * groups, True)
    triple(s, "conv_transposed", "stride", stride, 1)
    triple(d, "conv_transposed", "dilation", dilation, 1)
    triple(pad, "conv_transposed", "padding", padding, -(1 << 62))
    if PyArray_SIZE(x) == 0:
        return
    count = 1
    for i in range(3):
        size[i], kernel[i], natural[i] = PyArray_DIMS(x)[1 + i], shape[2 + i], a.y_step[i]
        a.stride[i] = 1
        a.y_step[i] *= s[i]
        a.step[i] = d[i] // gcd(d[i], s[i])
        count *= min(s[i], size[i])
    each = groups * packed_count(a.x_channels // groups, a.y_channels // groups, dtype)
    list_ = <nnrt_conv_pass *>take(count * sizeof(nnrt_conv_pass))
    if list_ == NULL:
        raise MemoryError(f"conv_transposed: no memory for {count} passes")
    memset(list_, 0, count * sizeof(nnrt_conv_pass))
    at = 0
    for r0 in range(min(s[0], size[0])):
        for r1 in range(min(s[1], size[1])):
            for r2 in range(min(s[2], size[2])):
                one = &list_[at]
                kind[0] = phase(&one.first[0], &one.out[0], size[0], kernel[0], s[0], pad[0], d[0], r0)
                kind[1] = phase(&one.first[1], &one.out[1], size[1], kernel[1], s[1], pad[1], d[1], r1)
                kind[2] = phase(&one.first[2], &one.out[2], size[2], kernel[2], s[2], pad[2], d[2], r2)
                one.filter = each * taps_before(kind, kernel, s, d, one.taps)
                one.y = r0 * natural[0] + r1 * natural[1] + r2 * natural[2]
                at += 1
    a.passes = count
    with nogil:
        if count == 1 and narrow(list_.out[2], groups, a.gemm) and volume(list_.taps) * a.x_channels > 0:
            rc = patches(&a, list_, dtype)
        else:
            rc = tiles(&a, list_, dtype)
        give(list_, count * sizeof(nnrt_conv_pass))
    if rc != 0:
        raise MemoryError(f"conv_transposed: no memory for what {np.shape(x)} needs besides")


def fold(ndarray x not None, ndarray columns not None, b, stride, padding, dilation):
    """x = b + columns added up where they came from; see nnrt._ref.conv."""
    cdef nnrt_conv_fold a
    cdef int dtype = dtype_code(x), i, rc
    check("fold", "x", x, dtype, 5)
    check("fold", "columns", columns, dtype, 8)
    memset(&a, 0, sizeof(a))
    triple(a.stride, "fold", "stride", stride, 1)
    triple(a.step, "fold", "dilation", dilation, 1)
    triple(a.first, "fold", "padding", padding, -(1 << 62))
    a.images, a.channels = PyArray_DIMS(x)[0], PyArray_DIMS(x)[4]
    for i in range(3):
        a.first[i] = -a.first[i]
        a.in_[i], a.out[i], a.taps[i] = PyArray_DIMS(x)[1 + i], PyArray_DIMS(columns)[1 + i], PyArray_DIMS(columns)[4 + i]
    if PyArray_DIMS(columns)[0] != a.images or PyArray_DIMS(columns)[7] != a.channels:
        raise ValueError(f"fold: columns {np.shape(columns)} do not fit x {np.shape(x)}")
    if b is not None:
        check("fold", "b", b, dtype, 1)
        if PyArray_SIZE(b) != a.channels:
            raise ValueError(f"fold: b {np.shape(b)} for the channels of x {np.shape(x)}")
        a.bias = PyArray_DATA(b)
    if PyArray_SIZE(x) == 0:
        return
    a.x, a.columns = PyArray_DATA(x), PyArray_DATA(columns)
    a.rows = max(1, TASK_FOLDED * a.images * a.in_[0] * a.in_[1] // max(PyArray_SIZE(columns), PyArray_SIZE(x)))
    a.work.scratch = 8 * (a.in_[2] * (1 + a.taps[2]) + a.taps[0] * a.taps[1])
    a.work.flops = PyArray_SIZE(columns)
    a.work.bytes = <double>(PyArray_SIZE(columns) + PyArray_SIZE(x)) * (4 if dtype == NNRT_F32 else 8)
    span(&a.work.out[0], x)
    with nogil:
        rc = launch_nogil(&table.dtype[dtype].fold, &a, ceil_div(a.images * a.in_[0] * a.in_[1], a.rows))
    if rc != 0:
        raise MemoryError(f"fold: no memory for {np.shape(x)}")


include "conv_sums.pxi"
