"""Direct convolutions: how they are cut into passes and tasks for csrc/conv.c. See nnrt._ref.conv.

    maps as wide as a register tile   tiles: rows of the tile are neighbours along w, taken from x where they lie, or from
                                      a copy between zeros where taps reach over the border
    narrower maps                     patches: the taps of every output side by side, then a matrix product
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIMS, PyArray_IS_C_CONTIGUOUS, PyArray_NDIM, PyArray_SIZE, ndarray

from nnrt._ext.linear cimport NNRT_ACT_NONE, NNRT_ACT_SILU, linear_table, multiply, nnrt_gemm, nnrt_gemm_ops, packed_count
from nnrt._ext.runtime cimport (
    NNRT_F32, dtype_code, give, isa_level, launch_nogil, nnrt_kernel, nnrt_work, span, take,
)

import numpy as np

from nnrt._ref.conv import conv as _ref_conv
from nnrt._ref.linear import ACTIVATIONS


cdef extern from "conv.h" nogil:
    ctypedef struct nnrt_conv_pass:
        int64_t out[3]
        int64_t first[3]
        int64_t taps[3]
        int64_t y, filter
        int32_t padded
        int64_t rows, cols, panels, tasks
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
        int64_t images, groups
        int64_t in_ "in"[3]
        int64_t x_channels
        int64_t out[3]
        int64_t y_channels
        int64_t taps[3]
        int64_t stride[3]
        int64_t step[3]
        int64_t first[3]
        int64_t rows, cols, blocks, chunk, panels
        int32_t padded
    ctypedef struct nnrt_conv_gather:
        nnrt_work work
        const void *sums
        void *dw
        int64_t chunks, taps, inputs, outputs
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
# Outputs that are summed into a filter's gradient at a time: their part of dy and of x's lines stay in L1.
cdef int64_t SUMMED = 192
# Multiply-adds per task, 5 us.
cdef double TASK_MACS = 262144


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


cdef inline int64_t even(int64_t n, int64_t most) noexcept nogil:
    # The length of equal parts of n that are at most `most` long.
    return ceil_div(n, ceil_div(n, max(1, most)))


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


cdef bint narrow(int64_t out_w, const nnrt_gemm_ops *g) noexcept nogil:
    return out_w < LEAST_ROWS * ceil_div(out_w, g.mr)


cdef bint leaves(const int64_t *first, const int64_t *out, const int64_t *stride, const int64_t *taps,
                 const int64_t *step, const int64_t *size) noexcept nogil:
    # Whether some tap of some output lies outside of the input.
    cdef int i
    for i in range(3):
        if first[i] < 0 or first[i] + (out[i] - 1) * stride[i] + (taps[i] - 1) * step[i] >= size[i]:
            return True
    return False


# ---- filters ----

def filter_size(shape, int64_t groups, dtype, backward):
    """Elements of the packed filter of a weight of this shape."""
    cdef int code = 0 if np.dtype(dtype).itemsize == 4 else 1
    cdef int64_t o = shape[0] // groups, c = shape[1], taps = shape[2] * shape[3] * shape[4]
    return groups * (packed_count(taps * o, c, code) if backward else packed_count(taps * c, o, code))


cdef int64_t classes(int64_t *of_tap, int64_t *most, int64_t taps, int64_t stride, int64_t dilation) noexcept nogil:
    # Taps k of one class k d mod s serve the same outputs; of_tap[k]: its class. Returns s; most: unused classes have -1.
    cdef int64_t k
    for k in range(stride):
        most[k] = -1
    for k in range(taps):
        of_tap[k] = k * dilation % stride
        most[of_tap[k]] = k
    return stride


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
    order = _order(size, s, d, backward)
    base = order[0] * (groups * packed_count(a.inputs, a.outputs, dtype))
    cdef ndarray bases = base, counts = order[1], places = order[2]
    a.base = <const int64_t *>PyArray_DATA(bases)
    a.count = <const int64_t *>PyArray_DATA(counts)
    a.place = <const int64_t *>PyArray_DATA(places)
    a.work.bytes = 2.0 * PyArray_SIZE(w) * (4 if dtype == NNRT_F32 else 8)
    with nogil:
        rc = launch_nogil(&table.dtype[dtype].pack, &a, groups * ceil_div(a.outputs, linear_table().dtype[dtype].nr))
    if rc != 0:
        raise MemoryError("pack_filter: out of memory")


cdef tuple _order(int64_t *size, int64_t *s, int64_t *d, backward):
    # Of every tap (d, h, w): taps before its class, taps in its class, its place among them.
    cdef int64_t taps = volume(size)
    if not backward:
        return np.zeros(taps, np.int64), np.full(taps, taps), np.arange(taps)
    grid = np.indices((size[0], size[1], size[2])).reshape(3, taps)
    steps = np.array([[s[0]], [s[1]], [s[2]]])
    kind = grid * np.array([[d[0]], [d[1]], [d[2]]]) % steps
    kind = (kind[0] * s[1] + kind[1]) * s[2] + kind[2]
    sequence = np.lexsort((-np.arange(taps), kind))  # by class; the last tap first: it meets the first input
    _, begin, index, count = np.unique(kind[sequence], return_index=True, return_inverse=True, return_counts=True)
    before, among, place = (np.empty(taps, np.int64) for _ in range(3))
    before[sequence] = begin[index]
    among[sequence] = count[index]
    place[sequence] = np.arange(taps) - begin[index]
    return before, among, place


# ---- y ----

cdef void plan(nnrt_conv_args *a, nnrt_conv_pass *p, const nnrt_gemm_ops *g, int64_t size, double macs) noexcept nogil:
    # rows, cols, panels, tasks. macs: of all passes.
    cdef int64_t each = a.x_channels * size * max(1, p.taps[0]), want, tasks
    cdef int64_t margin_h = (max(1, p.taps[1]) - 1) * a.step[1] + 1, margin_w = (max(1, p.taps[2]) - 1) * a.step[2] + 1
    cdef int64_t strips, all_panels = a.groups * ceil_div(a.y_channels // a.groups, g.nr)
    p.padded = leaves(p.first, p.out, a.stride, p.taps, a.step, a.in_)
    p.cols = p.out[2]
    if each * margin_h * ((p.cols - 1) * a.stride[2] + margin_w) > BOX_BYTES:
        p.cols = even(p.out[2], max(4 * g.mr, (BOX_BYTES // (each * margin_h) - margin_w) // a.stride[2]))
    p.rows = BOX_BYTES // (each * ((p.cols - 1) * a.stride[2] + margin_w))
    p.rows = even(p.out[1], (p.rows - margin_h) // a.stride[1] + 1)
    p.panels = all_panels
    want = <int64_t>min(24.0, macs / TASK_MACS)
    while True:
        strips = ceil_div(all_panels, p.panels)
        tasks = a.images * p.out[0] * ceil_div(p.out[1], p.rows) * ceil_div(p.out[2], p.cols)
        if tasks * strips * a.passes >= want:
            break
        if p.rows * p.cols >= 96 and p.rows > 1:
            p.rows = ceil_div(p.rows, 2)
        elif p.cols >= 96:
            p.cols = ceil_div(p.cols, 2)
        elif p.panels > 1:
            p.panels = ceil_div(p.panels, 2)
        elif p.rows > 1:
            p.rows = ceil_div(p.rows, 2)
        else:
            break
    p.tasks = tasks * ceil_div(all_panels, p.panels)


cdef int tiles(nnrt_conv_args *a, nnrt_conv_pass *p, int dtype) noexcept nogil:
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, i, tasks = 0, box, scratch = 0
    cdef double macs = 0
    for i in range(a.passes):
        macs += <double>a.images * volume(p[i].out) * volume(p[i].taps)
    macs *= <double>a.x_channels * (a.y_channels // a.groups)
    for i in range(a.passes):
        plan(a, &p[i], a.gemm, size, macs)
        tasks += p[i].tasks
        box = 0
        if p[i].padded and volume(p[i].taps):
            box = p[i].taps[0] * ((p[i].rows - 1) * a.stride[1] + (p[i].taps[1] - 1) * a.step[1] + 1)
            box *= ((p[i].cols - 1) * a.stride[2] + (p[i].taps[2] - 1) * a.step[2] + 1) * a.x_channels
        scratch = max(scratch, box * size + (volume(p[i].taps) * 8 + 63) // 64 * 64)
    a.work.flops = 2 * macs
    a.work.scratch = scratch
    a.passed = p
    return launch_nogil(&table.dtype[dtype].tiles, a, tasks)


cdef int patches(nnrt_conv_args *a, nnrt_conv_pass *p, int dtype) noexcept nogil:
    # One pass whose outputs lie side by side in y.
    cdef nnrt_conv_patches q
    cdef nnrt_gemm g
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, pixels = volume(p.out), n, count, i
    cdef int64_t cin = a.x_channels // a.groups, cout = a.y_channels // a.groups, deep = volume(p.taps) * cin
    cdef int64_t least = packed_count(deep, cout, dtype), room
    cdef int rc = 0
    count = min(a.images, max(1, PATCH_BYTES // max(1, pixels * deep * size)))
    room = count * pixels * deep * size
    memset(&q, 0, sizeof(q))
    q.patches = take(room)
    if q.patches == NULL:
        return -1
    q.in_, q.out, q.taps, q.stride, q.step, q.first = a.in_, p.out, p.taps, a.stride, a.step, p.first
    q.x_channels, q.channels = a.x_channels, cin
    q.rows = max(1, 16384 // max(1, deep))
    n = 0
    while n < a.images and rc == 0:
        q.images = min(count, a.images - n)
        q.x = <const char *>a.x + n * volume(a.in_) * a.x_channels * size
        q.work.bytes = 2.0 * q.images * pixels * deep * size
        for i in range(a.groups):
            q.channel = i * cin
            rc = launch_nogil(&table.dtype[dtype].patches, &q, ceil_div(q.images * pixels, q.rows))
            if rc != 0:
                break
            memset(&g, 0, sizeof(g))
            g.batch, g.m, g.n, g.k = 1, q.images * pixels, cout, deep
            g.c, g.c_row = <char *>a.y + (n * a.y_image + i * cout) * size, a.y_channels
            g.a, g.a_row, g.a_col = q.patches, deep, 1
            g.b, g.b_col, g.packed_b = <const char *>a.filter + i * least * size, 1, 1
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
        if narrow(one.out[2], a.gemm):
            rc = patches(&a, &one, dtype)
        else:
            rc = tiles(&a, &one, dtype)
    if rc != 0:
        raise MemoryError(f"conv: no memory for what {np.shape(y)} needs besides")


cdef int64_t phases(int64_t *first, int64_t *taps, int64_t *out, int64_t size, int64_t kernel, int64_t stride,
                    int64_t padding, int64_t dilation, int64_t r) noexcept nogil:
    # Outputs i = q s + r of a transposed convolution along one axis: how many, which taps, what output 0 meets first.
    # Returns the class of the taps.
    cdef int64_t kind = (r + padding) % stride, k, last = -1
    if kind < 0:
        kind += stride
    out[0], taps[0] = ceil_div(size - r, stride), 0
    for k in range(kernel):
        if k * dilation % stride == kind:
            taps[0] += 1
            last = k
    # exact: r + p - k d is a multiple of s
    first[0] = (r + padding - last * dilation) // stride if taps[0] else 0
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
    cdef int64_t r0, r1, r2, at, count, each, taps, before
    check_filter("conv_transposed", &a, p, shape, shape[0], shape[1] * groups, True)
    triple(s, "conv_transposed", "stride", stride, 1)
    triple(d, "conv_transposed", "dilation", dilation, 1)
    triple(pad, "conv_transposed", "padding", padding, -(1 << 62))
    if PyArray_SIZE(x) == 0:
        return
    size = np.shape(x)[1:4]
    count = 1
    for i in range(3):
        kernel[i], natural[i] = shape[2 + i], a.y_step[i]
        a.stride[i] = 1
        a.y_step[i] *= s[i]
        a.step[i] = d[i] // np.gcd(d[i], s[i])
        count *= min(s[i], PyArray_DIMS(x)[1 + i])
    before_class = _before(kernel, s, d)
    each = groups * packed_count(a.x_channels // groups, a.y_channels // groups, dtype)
    list_ = <nnrt_conv_pass *>take(count * sizeof(nnrt_conv_pass))
    if list_ == NULL:
        raise MemoryError(f"conv_transposed: no memory for {count} passes")
    memset(list_, 0, count * sizeof(nnrt_conv_pass))
    at = 0
    for r0 in range(min(s[0], PyArray_DIMS(x)[1])):
        for r1 in range(min(s[1], PyArray_DIMS(x)[2])):
            for r2 in range(min(s[2], PyArray_DIMS(x)[3])):
                one = &list_[at]
                kind[0] = phases(&one.first[0], &one.taps[0], &one.out[0], size[0], kernel[0], s[0], pad[0], d[0], r0)
                kind[1] = phases(&one.first[1], &one.taps[1], &one.out[1], size[1], kernel[1], s[1], pad[1], d[1], r1)
                kind[2] = phases(&one.first[2], &one.taps[2], &one.out[2], size[2], kernel[2], s[2], pad[2], d[2], r2)
                one.y = r0 * natural[0] + r1 * natural[1] + r2 * natural[2]
                one.filter = each * <int64_t>before_class.get((kind[0] * s[1] + kind[1]) * s[2] + kind[2], 0)
                at += 1
    a.passes = count
    with nogil:
        if count == 1 and narrow(list_.out[2], a.gemm) and volume(list_.taps) * a.x_channels > 0:
            rc = patches(&a, list_, dtype)
        else:
            rc = tiles(&a, list_, dtype)
        give(list_, count * sizeof(nnrt_conv_pass))
    if rc != 0:
        raise MemoryError(f"conv_transposed: no memory for what {np.shape(x)} needs besides")


cdef dict _before(int64_t *kernel, int64_t *s, int64_t *d):
    # Class -> taps of the classes that are packed before it.
    before, among, place = _order(kernel, s, d, True)
    grid = np.indices((kernel[0], kernel[1], kernel[2])).reshape(3, -1)
    kind = [grid[i] * d[i] % s[i] for i in range(3)]
    return dict(zip(((kind[0] * s[1] + kind[1]) * s[2] + kind[2]).tolist(), before.tolist()))


# ---- dw ----

cdef int sum_tiles(nnrt_conv_sums *a, nnrt_conv_gather *last, int dtype) noexcept nogil:
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, lines = a.taps[0] * a.taps[1], strips, chunks, room, each, box
    cdef int64_t all_panels = a.groups * ceil_div(a.y_channels // a.groups, a.gemm.nr)
    cdef int rc
    a.padded = leaves(a.first, a.out, a.stride, a.taps, a.step, a.in_)
    a.cols = even(a.out[2], SUMMED + SUMMED // 2)
    a.rows = even(a.out[1], SUMMED // a.cols)
    a.blocks = a.images * a.out[0] * ceil_div(a.out[1], a.rows) * ceil_div(a.out[2], a.cols)
    a.panels = max(1, all_panels // ceil_div(8, lines))
    strips = ceil_div(all_panels, a.panels)
    each = volume(a.taps) * (a.x_channels // a.groups) * a.y_channels * size
    chunks = 1
    if lines * strips < 8 and each <= 1 << 20:
        chunks = min(a.blocks, ceil_div(8, lines * strips))
    a.chunk = ceil_div(a.blocks, chunks)
    chunks = ceil_div(a.blocks, a.chunk)
    room = chunks * each
    a.sums = take(room)
    if a.sums == NULL:
        return -1
    box = 0
    if a.padded:
        box = a.rows * ((a.cols - 1) * a.stride[2] + (a.taps[2] - 1) * a.step[2] + 1) * a.x_channels
    a.work.scratch = (a.rows * 8 + 63) // 64 * 64 + (a.panels * a.rows * a.cols * a.gemm.nr + box) * size
    rc = launch_nogil(&table.dtype[dtype].sums, a, chunks * lines * strips)
    if rc == 0:
        last.sums, last.chunks = a.sums, chunks
        rc = launch_nogil(&table.dtype[dtype].gather, last, ceil_div(last.outputs, 16))
    give(a.sums, room)
    return rc


cdef int sum_patches(nnrt_conv_sums *a, nnrt_conv_gather *last, int dtype) noexcept nogil:
    cdef nnrt_conv_patches q
    cdef nnrt_gemm g
    cdef int64_t size = 4 if dtype == NNRT_F32 else 8, pixels = volume(a.out), n = 0, count, i
    cdef int64_t cin = a.x_channels // a.groups, cout = a.y_channels // a.groups, deep = volume(a.taps) * cin
    cdef int64_t room, each = deep * a.y_channels * size
    cdef int rc = 0
    count = min(a.images, max(1, PATCH_BYTES // max(1, pixels * deep * size)))
    room = count * pixels * deep * size
    memset(&q, 0, sizeof(q))
    q.patches, a.sums = take(room), take(each)
    q.in_, q.out, q.taps, q.stride, q.step, q.first = a.in_, a.out, a.taps, a.stride, a.step, a.first
    q.x_channels, q.channels = a.x_channels, cin
    q.rows = max(1, 16384 // max(1, deep))
    if q.patches == NULL or a.sums == NULL:
        rc = -1
    while n < a.images and rc == 0:
        q.images = min(count, a.images - n)
        q.x = <const char *>a.x + n * volume(a.in_) * a.x_channels * size
        q.work.bytes = 2.0 * q.images * pixels * deep * size
        for i in range(a.groups):
            q.channel = i * cin
            rc = launch_nogil(&table.dtype[dtype].patches, &q, ceil_div(q.images * pixels, q.rows))
            if rc != 0:
                break
            memset(&g, 0, sizeof(g))
            g.batch, g.m, g.n, g.k = 1, deep, cout, q.images * pixels
            g.c, g.c_row = <char *>a.sums + i * cout * size, a.y_channels
            g.a, g.a_row, g.a_col = q.patches, 1, deep
            g.b, g.b_row, g.b_col = <const char *>a.dy + (n * pixels * a.y_channels + i * cout) * size, a.y_channels, 1
            g.alpha, g.beta = 1, 1 if n else 0
            rc = multiply(&g, dtype)
            if rc != 0:
                break
        n += count
    if rc == 0:
        last.sums, last.chunks = a.sums, 1
        rc = launch_nogil(&table.dtype[dtype].gather, last, ceil_div(last.outputs, 16))
    if q.patches != NULL:
        give(q.patches, room)
    if a.sums != NULL:
        give(a.sums, each)
    return rc


def filter_backward(ndarray dw not None, ndarray x not None, ndarray dy not None, stride, padding, dilation,
                    int64_t groups):
    """dw[O, C/G, KD, KH, KW] = the gradient of conv's filter; see nnrt._ref.conv."""
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
    if PyArray_SIZE(dw) == 0:
        return
    if PyArray_SIZE(dy) == 0 or PyArray_SIZE(x) == 0:
        dw[...] = 0
        return
    last.dw, last.taps, last.inputs, last.outputs = PyArray_DATA(dw), volume(a.taps), PyArray_DIMS(dw)[1], a.y_channels
    last.work.bytes = 2.0 * PyArray_SIZE(dw) * (4 if dtype == NNRT_F32 else 8)
    span(&last.work.out[0], dw)
    a.work.flops = 2.0 * a.images * volume(a.out) * PyArray_SIZE(dw)
    a.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(dy)) * (4 if dtype == NNRT_F32 else 8)
    with nogil:
        if a.out[2] < 8:
            rc = sum_patches(&a, &last, dtype)
        else:
            rc = sum_tiles(&a, &last, dtype)
    if rc != 0:
        raise MemoryError(f"filter_backward: no memory for what {np.shape(dw)} needs besides")
