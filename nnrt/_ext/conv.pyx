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
    NNRT_F32, dtype_code, give, isa_level, launch_nogil, nnrt_kernel, nnrt_work, span, take,
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
    ctypedef struct nnrt_conv_ops:
        nnrt_kernel tiles, patches, sums, gather, pack
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


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


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


# ---- filters ----

def filter_size(shape, int64_t groups, dtype, backward):
    """Elements of the packed filter of a weight of this shape."""
    cdef int code = 0 if np.dtype(dtype).itemsize == 4 else 1
    cdef int64_t o = shape[0] // groups, c = shape[1], taps = shape[2] * shape[3] * shape[4]
    return groups * (packed_count(taps * o, c, code) if backward else packed_count(taps * c, o, code))


cdef int64_t kind_of(int64_t k, int64_t stride, int64_t dilation) noexcept nogil:
    # Taps k of one class k d mod s meet the same outputs of a convolution with stride s.
    return k * dilation % stride


cdef void count_kinds(int64_t *same, int64_t *less, int64_t kind, int64_t size, int64_t stride,
                      int64_t dilation) noexcept nogil:
    # Taps of this class along one axis, and of the classes before it.
    cdef int64_t k
    same[0] = less[0] = 0
    for k in range(size):
        same[0] += kind_of(k, stride, dilation) == kind
        less[0] += kind_of(k, stride, dilation) < kind


cdef int64_t taps_before(const int64_t *kind, const int64_t *size, const int64_t *stride, const int64_t *dilation,
                         int64_t *same) noexcept nogil:
    # Taps of the classes packed before this one (in order of d, h, w), and the taps of this one along each axis.
    cdef int64_t less[3]
    cdef int i
    for i in range(3):
        count_kinds(&same[i], &less[i], kind[i], size[i], stride[i], dilation[i])
    return less[0] * size[1] * size[2] + same[0] * (less[1] * size[2] + same[1] * less[2])


cdef void order(int64_t *base, int64_t *count, int64_t *place, const int64_t *size, const int64_t *stride,
                const int64_t *dilation) noexcept nogil:
    # Of every tap in a backward filter: taps before its class, taps in it, and its place there. The last tap comes
    # first: it meets the first input.
    cdef int64_t tap[3]
    cdef int64_t kind[3]
    cdef int64_t same[3]
    cdef int64_t after[3]
    cdef int64_t t, k
    cdef int i
    for t in range(volume(size)):
        tap[0], tap[1], tap[2] = t // (size[1] * size[2]), t // size[2] % size[1], t % size[2]
        for i in range(3):
            kind[i], after[i] = kind_of(tap[i], stride[i], dilation[i]), 0
            for k in range(tap[i] + 1, size[i]):
                after[i] += kind_of(k, stride[i], dilation[i]) == kind[i]
        base[t] = taps_before(kind, size, stride, dilation, same)
        count[t] = volume(same)
        place[t] = (after[0] * same[1] + after[1]) * same[2] + after[2]


def pack_filter(ndarray p not None, ndarray w not None, stride, dilation, int64_t groups, backward):
    """The weight w[O, C/G, KD, KH, KW] as panels in the order in which the tiles read them.

    Backward, the taps that meet the same outputs of a strided convolution form a class of their own.
    """
    cdef nnrt_conv_pack a
    cdef int dtype = dtype_code(w), rc
    cdef int64_t size[3]
    cdef int64_t s[3]
    cdef int64_t d[3]
    cdef int64_t taps, o, c, i
    cdef ndarray tables
    check("pack_filter", "w", w, dtype, 5)
    check("pack_filter", "p", p, dtype, 1)
    triple(s, "pack_filter", "stride", stride, 1)
    triple(d, "pack_filter", "dilation", dilation, 1)
    if PyArray_SIZE(p) != filter_size(np.shape(w), groups, p.dtype, backward):
        raise ValueError(f"pack_filter: p has {PyArray_SIZE(p)} elements, "
                         f"wanted {filter_size(np.shape(w), groups, p.dtype, backward)}")
    if PyArray_SIZE(w) == 0:
        return
    for i in range(3):
        size[i] = PyArray_DIMS(w)[2 + i]
    taps = volume(size)
    o, c = PyArray_DIMS(w)[0] // groups, PyArray_DIMS(w)[1]
    memset(&a, 0, sizeof(a))
    a.dst, a.w = PyArray_DATA(p), PyArray_DATA(w)
    a.groups, a.taps = groups, taps
    a.group = o * c * taps
    if backward:
        a.inputs, a.outputs, a.input, a.output = o, c, c * taps, taps
    else:
        a.inputs, a.outputs, a.input, a.output = c, o, taps, c * taps
    tables = np.empty((3, taps), np.int64)
    cdef int64_t *base = <int64_t *>PyArray_DATA(tables)
    if not backward:
        s[0] = s[1] = s[2] = 1
    order(base, base + taps, base + 2 * taps, size, s, d)
    for i in range(taps):
        base[i] *= groups * packed_count(a.inputs, a.outputs, dtype)
        if not backward:
            base[2 * taps + i] = i
    a.base, a.count, a.place = base, base + taps, base + 2 * taps
    a.work.bytes = 2.0 * PyArray_SIZE(w) * (4 if dtype == NNRT_F32 else 8)
    with nogil:
        rc = launch_nogil(&table.dtype[dtype].pack, &a, groups * ceil_div(a.outputs, linear_table().dtype[dtype].nr))
    if rc != 0:
        raise MemoryError("pack_filter: out of memory")


# ---- y ----

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
    # Outputs i = q s + r of a transposed convolution along one axis: how many, and what output 0 meets with its last tap.
    # Returns the class of the taps.
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


# ---- dw ----

cdef int gather(nnrt_conv_gather *g, const void *sums, int64_t chunks, int dtype) noexcept nogil:
    g.sums, g.chunks, g.length = sums, chunks, 64
    g.work.scratch = g.length * NNRT_CONV_ROWS * (4 if dtype == NNRT_F32 else 8)
    return launch_nogil(&table.dtype[dtype].gather, g,
                        g.groups * ceil_div(g.outputs, NNRT_CONV_ROWS) * ceil_div(g.taps * g.inputs, g.length))


cdef int sum_tiles(nnrt_conv_sums *a, nnrt_conv_gather *last, int dtype) noexcept nogil:
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, strips, chunks, each, room, box, whole, cin = a.x_channels // a.groups
    cdef int64_t per = ceil_div(a.y_channels // a.groups, a.gemm.nr), all_panels = a.groups * per
    cdef int rc
    a.joined = cin < NNRT_CONV_WIDTH + (a.groups > 1) and a.step[2] == 1
    a.width = min(cin, NNRT_CONV_WIDTH)
    a.cols = even(a.out[2], SUMMED + SUMMED // 2)
    a.rows = even(a.out[1], SUMMED // a.cols)
    a.blocks = a.images * a.out[0] * ceil_div(a.out[1], a.rows) * ceil_div(a.out[2], a.cols)
    each = volume(a.taps) * cin * a.y_channels * size
    # Groups read parts of x of their own: they make tasks, without sums to add up.
    whole = per if a.groups > 1 else 1
    strips = max(ceil_div(each, SUMS_BYTES), 8 if a.groups > 1 else 1)
    a.panels = ceil_div(ceil_div(all_panels, strips), whole) * whole
    strips = ceil_div(all_panels, a.panels)
    a.chunk = ceil_div(a.blocks, max(1, 8 // strips))
    chunks = ceil_div(a.blocks, a.chunk)
    room = chunks * (each + a.y_channels * size)
    a.sums = take(room)
    if a.sums == NULL:
        return -1
    if last.db != NULL:
        last.totals = a.totals = <char *>a.sums + chunks * each
    box = ((a.taps[0] - 1) * a.step[0] + 1) * ((a.rows - 1) * a.stride[1] + (a.taps[1] - 1) * a.step[1] + 1)
    box *= ((a.cols - 1) * a.stride[2] + (a.taps[2] - 1) * a.step[2] + 1) * ceil_div(a.panels, per) * ceil_div(cin, a.width) * a.width
    a.work.scratch = (a.rows * 8 + 63) // 64 * 64 + (a.panels * a.rows * a.cols * a.gemm.nr + box) * size
    rc = launch_nogil(&table.dtype[dtype].sums, a, chunks * strips)
    if rc == 0:
        rc = gather(last, a.sums, chunks, dtype)
    give(a.sums, room)
    return rc


cdef int sum_patches(nnrt_conv_sums *a, nnrt_conv_gather *last, int dtype) noexcept nogil:
    cdef nnrt_conv_patches q
    cdef nnrt_gemm g
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, pixels = volume(a.out), n = 0, count, room, i
    cdef int64_t cout = a.y_channels // a.groups, deep = volume(a.taps) * (a.x_channels // a.groups)
    cdef int64_t each = deep * a.y_channels * size
    cdef int rc = 0
    memset(&q, 0, sizeof(q))
    q.in_, q.out, q.taps, q.stride, q.step, q.first = a.in_, a.out, a.taps, a.stride, a.step, a.first
    q.x_channels = a.x_channels
    room = begin_patches(&q, a.images, a.groups, size)
    count = q.images
    a.sums = take(each)
    if q.patches == NULL or a.sums == NULL:
        rc = -1
    while n < a.images and rc == 0:
        q.images = min(count, a.images - n)
        q.x = <const char *>a.x + n * volume(a.in_) * a.x_channels * size
        for i in range(a.groups):
            rc = fill_patches(&q, i, dtype)
            if rc != 0:
                break
            memset(&g, 0, sizeof(g))
            g.batch, g.m, g.n, g.k = 1, deep, cout, q.images * pixels
            g.c, g.c_row = <char *>a.sums + i * deep * cout * size, cout
            g.a, g.a_row, g.a_col = q.patches, 1, deep
            g.b, g.b_row, g.b_col = <const char *>a.dy + (n * pixels * a.y_channels + i * cout) * size, a.y_channels, 1
            g.alpha, g.beta = 1, 1 if n else 0
            rc = multiply(&g, dtype)
            if rc != 0:
                break
        n += count
    if rc == 0:
        rc = gather(last, a.sums, 1, dtype)
    if q.patches != NULL:
        give(q.patches, room)
    if a.sums != NULL:
        give(a.sums, each)
    return rc


def filter_backward(ndarray dw not None, ndarray db, ndarray x not None, ndarray dy not None, stride, padding, dilation,
                    int64_t groups):
    """dw[O, C/G, KD, KH, KW] = the gradient of conv's filter, db[O] or None that of its bias; see nnrt._ref.conv."""
    cdef nnrt_conv_sums a
    cdef nnrt_conv_gather last
    cdef int dtype = dtype_code(dw), i, rc
    check("filter_backward", "dw", dw, dtype, 5)
    check("filter_backward", "x", x, dtype, 5)
    check("filter_backward", "dy", dy, dtype, 5)
    memset(&a, 0, sizeof(a))
    memset(&last, 0, sizeof(last))
    triple(a.stride, "filter_backward", "stride", stride, 1)
    triple(a.step, "filter_backward", "dilation", dilation, 1)
    triple(a.first, "filter_backward", "padding", padding, -(1 << 62))
    a.gemm = &linear_table().dtype[dtype]
    a.x, a.dy, a.images, a.groups = PyArray_DATA(x), PyArray_DATA(dy), PyArray_DIMS(x)[0], groups
    a.x_channels, a.y_channels = PyArray_DIMS(x)[4], PyArray_DIMS(dy)[4]
    for i in range(3):
        a.first[i] = -a.first[i]
        a.in_[i], a.out[i], a.taps[i] = PyArray_DIMS(x)[1 + i], PyArray_DIMS(dy)[1 + i], PyArray_DIMS(dw)[2 + i]
    if (PyArray_DIMS(dy)[0] != a.images or PyArray_DIMS(dw)[0] != a.y_channels or a.y_channels % groups
            or PyArray_DIMS(dw)[1] * groups != a.x_channels):
        raise ValueError(f"filter_backward: x {np.shape(x)} and dy {np.shape(dy)} do not give {np.shape(dw)} "
                         f"in {groups} groups")
    cdef bint tiled = a.out[2] >= (LEAST_COLUMNS if groups == 1 else 4) and PyArray_SIZE(dw) * PyArray_SIZE(x) > 0
    if db is not None:
        check("filter_backward", "db", db, dtype, 1)
        if not tiled or PyArray_SIZE(dy) == 0 or PyArray_SIZE(db) != a.y_channels:
            bias_grad(db, dy.reshape(-1, a.y_channels))
        else:
            last.db = PyArray_DATA(db)
    if PyArray_SIZE(dy) == 0 or PyArray_SIZE(x) == 0 or PyArray_SIZE(dw) == 0:
        dw[...] = 0
        return
    last.dw, last.groups, last.taps = PyArray_DATA(dw), groups, volume(a.taps)
    last.inputs, last.outputs = PyArray_DIMS(dw)[1], a.y_channels // groups
    last.work.bytes = 2.0 * PyArray_SIZE(dw) * (4 if dtype == NNRT_F32 else 8)
    span(&last.work.out[0], dw)
    a.work.flops = 2.0 * a.images * volume(a.out) * PyArray_SIZE(dw)
    a.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(dy)) * (4 if dtype == NNRT_F32 else 8)
    with nogil:
        rc = sum_tiles(&a, &last, dtype) if tiled else sum_patches(&a, &last, dtype)
    if rc != 0:
        raise MemoryError(f"filter_backward: no memory for what {np.shape(dw)} needs besides")
