"""Convolutions with narrow groups: how they are cut for csrc/depthwise.c. See nnrt._ref.depthwise."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from numpy cimport (
    PyArray_CompareLists, PyArray_DATA, PyArray_DIMS, PyArray_IS_C_CONTIGUOUS, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDE,
    ndarray,
)

from nnrt._ext.linear cimport linear_table
from nnrt._ext.runtime cimport ceil_div, dtype_code, give, isa_level, launch, nnrt_kernel, nnrt_work, span, take

import numpy as np

from nnrt._ext.linear import bias_grad
from nnrt._ref.linear import ACTIVATIONS


cdef extern from "nnrt.h" nogil:
    enum:
        NNRT_AVX2
        NNRT_AVX512


cdef extern from "stream.h" nogil:
    enum:
        NNRT_STREAM_BYTES

cdef extern from "depthwise.h" nogil:
    enum:
        NNRT_EACH
        NNRT_SPREAD
        NNRT_WIDE
    ctypedef struct nnrt_axis:
        int64_t out, taps, stride, padding, dilation, phases, step, k_step, tap
        int64_t size "in"
    ctypedef struct nnrt_depthwise_args:
        nnrt_work work
        void *y
        const void *x
        const void *w
        const void *b
        const void *residual
        nnrt_axis axis[3]
        int64_t batch, kind, groups, out, blocks, together, lanes, repeat, part, strip, chunk, stream
        int64_t read "in"
        int32_t activation, past, transposed
        const nnrt_kernel *finish
        void *packed
        void *db
        int64_t packed_count, splits
    ctypedef struct nnrt_depthwise_table:
        nnrt_kernel pack[2]
        nnrt_kernel conv[2]
        nnrt_kernel filter[2]
        nnrt_kernel gather[2]
        nnrt_kernel square
        nnrt_kernel squares
        int64_t vector
    int64_t nnrt_stretches(const nnrt_axis *axis)
    bint nnrt_slides(const nnrt_axis *axis)
    ctypedef struct nnrt_stretch:
        pass
    const nnrt_depthwise_table *nnrt_depthwise(int isa)

# Vectors of so many floats spread groups once for three taps: csrc/depthwise_tile.h, SPREAD_SLIDES.
cdef int64_t SPREAD_LANES = 16

# AVX-512 brings something to groups of more channels than one and to 3 x 3 taps, in float32.
cdef int level = isa_level()
cdef const nnrt_depthwise_table *deep = nnrt_depthwise(level)
cdef const nnrt_depthwise_table *table = nnrt_depthwise(NNRT_AVX2 if level == NNRT_AVX512 else level)

# Pixels a multiple of so many bytes apart compete for few lines of L1, and are copied side by side, CHUNK bytes of
# each, COPIED bytes in all; worth it (1.6 times at 512 and 1024 channels) where a copied input serves three taps.
# Groups of up to 8 floats: from a quarter of that distance on, a line at a time of so many rows. Tasks are of all
# groups but for at least MIN_TASKS: each clears what surrounds its copies.
cdef int64_t FAR = 2048, CHUNK = 256, LINE = 64, COPIED = 131072, GROUP_ROWS = 14, MIN_TASKS = 8

# Arrays of more than so many bytes are fetched ahead by strips of rows of so many bytes; narrow groups' sums by strips
# of GROUPED. Beside their inputs and what comes next L2 holds no more.
cdef int64_t STREAM = 500000, STRIP = 65536, GROUPED = 131072

# Of narrow groups' sums, so many bytes of x and dy are copied at a time, half as much again with AVX-512.
cdef int64_t NEAR = 24576

# Beyond so many bytes a chunk of groups' channels is asked for while the one before it is multiplied.
cdef int64_t SOON = 4000000

# 3 x 3 taps with AVX-512: channels of a vector and rows of a tile. From so many bytes of both arrays on inputs are
# fetched ahead and outputs written past the caches; below, either costs up to 1.4 times the time (Zen 5). Of several
# images, whose step has seen much else since the forward pass, the filter's gradient asks for x at any size; at stride
# 2 the adjoint, from STREAM on, for the lines that it writes, and the forward pass, from SOON on, for its inputs.
cdef int64_t SQUARE_LANES = 16, SQUARE_ROWS = 4, BEYOND = 12 << 20

# Multiply-adds of a task, 5 to 10 us, and those below which a second thread costs more than it brings: 512
# channels of 4 x 4, 74 thousand, take 12 us.
cdef int64_t TASK_MACS = 150000, SERIAL_MACS = 30000


cdef inline const nnrt_depthwise_table *kernels(const nnrt_depthwise_args *p, int code) noexcept:
    return table if code or p.read == 1 and p.out == 1 else deep


cdef inline int64_t reach(const nnrt_axis *a, int64_t outputs) noexcept:
    """From the first input that so many outputs read to the last."""
    return (outputs - 1) * a.stride + (a.taps - 1) * a.dilation + 1


cdef int64_t plan(nnrt_depthwise_args *p, str op, ndarray y, ndarray x, ndarray w, tuple stride, tuple padding, tuple dilation,
                  int64_t groups, bint transposed, int code, bint turned=False) except -1:
    """Fills in the geometry for what writes y and reads x through w; returns the taps."""
    cdef int64_t lanes, i, a, b
    cdef nnrt_axis *axis
    memset(p, 0, sizeof(p[0]))
    for array in (y, x, w):
        if PyArray_NDIM(array) != 5 or not (turned and array is w or PyArray_IS_C_CONTIGUOUS(array)) or dtype_code(array) != code:
            raise ValueError(f"{op}: wanted contiguous arrays of 5 axes and one dtype, got "
                             f"{np.shape(y)} {np.shape(x)} {np.shape(w)} {y.dtype}")
    p.groups, p.batch, p.transposed = groups, PyArray_DIMS(x)[0], transposed
    p.read, p.out = PyArray_DIMS(x)[4] // groups, PyArray_DIMS(y)[4] // groups
    lanes = kernels(p, code).vector // (8 if code else 4)
    a, b = (p.read, p.out) if transposed else (p.out, p.read)
    if (PyArray_DIMS(y)[0] != p.batch or p.read * groups != PyArray_DIMS(x)[4] or p.out * groups != PyArray_DIMS(y)[4]
            or PyArray_DIMS(w)[0] != a * groups or PyArray_DIMS(w)[1] != b):
        raise ValueError(f"{op}: shapes {np.shape(y)}, {np.shape(x)}, {np.shape(w)} and {groups} "
                         f"groups do not fit")
    for i in range(3):
        axis = &p.axis[i]
        axis.size, axis.out, axis.taps = PyArray_DIMS(x)[i + 1], PyArray_DIMS(y)[i + 1], PyArray_DIMS(w)[i + 2]
        axis.stride, axis.padding, axis.dilation = stride[i], padding[i], dilation[i]
        if axis.stride < 1 or axis.dilation < 1:
            raise ValueError(f"{op}: stride {stride} and dilation {dilation} must be positive")
        axis.phases, axis.step, axis.k_step, axis.tap = 1, axis.stride, 1, axis.dilation
        if transposed:
            a, b = axis.stride, axis.dilation
            while b:
                a, b = b, a % b
            axis.phases, axis.step = axis.stride, 1
            axis.k_step, axis.tap = axis.stride // a, -(axis.dilation // a)
    if p.read == 1 and p.out == 1:
        p.kind, p.blocks, p.together, p.lanes = NNRT_EACH, groups, 1, groups
    elif p.read <= lanes and p.out < lanes:
        p.kind, p.together, p.lanes = NNRT_SPREAD, lanes // max(p.read, p.out), lanes
        p.blocks = ceil_div(groups, p.together)
    else:
        p.kind, p.together, p.lanes = NNRT_WIDE, 1, ceil_div(p.out, lanes) * lanes
        p.blocks = groups
    p.repeat, p.splits, p.part = 1, 1, p.blocks
    return p.axis[0].taps * p.axis[1].taps * p.axis[2].taps


cdef bint taps_first(ndarray w, int64_t groups, int64_t size) noexcept:
    """Whether w, whole vectors of groups of one channel, lies in memory as the kernel reads it."""
    cdef int64_t row = groups * size
    cdef int axis
    if PyArray_NDIM(w) != 5 or PyArray_DIMS(w)[0] != groups or PyArray_DIMS(w)[1] != 1 or row % table.vector:
        return False
    for axis in (4, 3, 2):
        if PyArray_STRIDE(w, axis) != row:
            return False
        row *= PyArray_DIMS(w)[axis]
    return PyArray_STRIDE(w, 0) == size


cdef double work_of(nnrt_depthwise_args *p, ndarray y, ndarray x, ndarray w, int64_t taps, int64_t pixels, int64_t size) noexcept:
    cdef double macs = <double>pixels * taps * p.groups * p.read * p.out
    p.work.flops = 2 * macs
    p.work.bytes = <double>(PyArray_SIZE(y) + PyArray_SIZE(x) + PyArray_SIZE(w)) * size
    return macs


cdef int term(str op, ndarray a, ndarray y, int first, int code) except -1:
    """Refuses what is not contiguous, of y's dtype and of its axes from the first on; None passes."""
    if a is not None and (
            PyArray_NDIM(a) != 5 - first or not PyArray_IS_C_CONTIGUOUS(a) or dtype_code(a) != code
            or not PyArray_CompareLists(PyArray_DIMS(a), PyArray_DIMS(y) + first, 5 - first)):
        raise ValueError(f"{op}: wanted a contiguous term of shape {np.shape(y)[first:]}, got {np.shape(a)} {a.dtype}")
    return 0


cdef int run(str op, ndarray y, ndarray x, ndarray w, b, residual, tuple stride, tuple padding, tuple dilation,
             int64_t groups, activation, bint transposed) except -1:
    cdef nnrt_depthwise_args p
    cdef int code = dtype_code(y)
    cdef int64_t size = 8 if code else 4, lanes = table.vector // size, a, g
    cdef bint turned = taps_first(w, groups, size)
    if not turned and not PyArray_IS_C_CONTIGUOUS(w):
        w = np.ascontiguousarray(w)
    cdef int64_t taps = plan(&p, op, y, x, w, stride, padding, dilation, groups, transposed, code, turned)
    cdef int64_t planes = p.batch * p.axis[0].out, count
    cdef double macs
    if activation not in ACTIVATIONS:
        raise ValueError(f"{op}: activation {activation!r} is none of {ACTIVATIONS}")
    term(op, b, y, 4, code)
    term(op, residual, y, 0, code)
    if PyArray_SIZE(y) == 0:
        return 0
    macs = work_of(&p, y, x, w, taps, PyArray_SIZE(x) // (groups * p.read) if transposed else PyArray_SIZE(y) // (groups * p.out),
                   size)
    p.y, p.x, p.w = PyArray_DATA(y), PyArray_DATA(x), PyArray_DATA(w)
    p.b = NULL if b is None else PyArray_DATA(b)
    p.residual = NULL if residual is None else PyArray_DATA(residual)
    p.activation = ACTIVATIONS.index(activation)
    p.finish = &linear_table().dtype[code].finish
    span(&p.work.out[0], y)
    cdef bint beyond = (PyArray_SIZE(x) + PyArray_SIZE(y)) * size >= BEYOND
    cdef bint square = is_square(&p, code)
    if p.kind == NNRT_EACH:
        if not square and groups % lanes and groups < 4 * lanes and p.axis[2].phases == 1 and p.axis[2].step == 1:
            a, g = lanes, groups
            while g:
                a, g = g, a % g
            p.repeat = lanes // a
            p.lanes = groups * p.repeat
        count = taps * p.lanes + p.lanes + lanes
    else:
        count = p.blocks * p.read * taps * p.lanes
    p.strip = p.axis[1].out
    if square:
        cut_square(&p, macs, planes)
        p.stream = beyond
        if p.axis[1].stride > 1 and p.batch > 1:
            p.stream = (PyArray_SIZE(x) + PyArray_SIZE(y)) * size >= (STREAM if transposed else SOON)
    else:
        if macs > SERIAL_MACS:
            cut(&p, macs, planes, lanes)
        p.work.scratch = (nnrt_stretches(&p.axis[1]) + nnrt_stretches(&p.axis[2])) * sizeof(nnrt_stretch)
        p.work.scratch += p.axis[0].taps * p.axis[1].taps * (1 + p.axis[2].taps) * 16
        p.work.scratch += copied(&p, y, x, size)
        if p.chunk == 0:
            stream(&p, y, x, count * size, size)
    # A tile writes whole lines; kernel `finish` would read them again.
    if square:
        p.past = beyond
    elif p.chunk == 0:
        p.past = p.kind == NNRT_EACH and p.axis[2].stride > 1 and PyArray_SIZE(y) * size >= NNRT_STREAM_BYTES
    p.past = p.past and groups * size % 64 == 0 and <size_t>p.y % 64 == 0 and residual is None and activation in (None, "relu")
    p.packed = NULL if turned else take(count * size)
    if p.packed == NULL and not turned:
        raise MemoryError(f"{op}: no memory for a filter of {count} elements")
    try:
        if not turned:
            pack(&p, taps, code)
            p.w = p.packed
        if p.repeat > 1 and p.b != NULL:
            p.b = <char *>p.packed + taps * p.lanes * size
        launch(&deep.square if square else &kernels(&p, code).conv[code], &p,
               ceil_div(p.blocks, p.part) * planes * ceil_div(p.axis[1].out, p.strip))
    finally:
        if not turned:
            give(p.packed, count * size)
    return 0


cdef int cut(nnrt_depthwise_args *p, double macs, int64_t planes, int64_t lanes) noexcept:
    """Tasks: planes of y, if these are too few parts of the channels, and then strips of rows."""
    cdef int64_t want = max(4, min(<int64_t>(macs / TASK_MACS), 64)), least = 1
    if p.kind == NNRT_EACH:
        least = 8 * lanes if p.repeat == 1 else p.blocks
    p.part = ceil_div(ceil_div(p.blocks, ceil_div(want, planes)), least) * least
    planes *= ceil_div(p.blocks, p.part)
    p.strip = ceil_div(p.axis[1].out, ceil_div(want, planes))
    return 0


cdef bint is_square(const nnrt_depthwise_args *p, int code) noexcept:
    """Whether kernel `square`, or for its gradient `squares`, may do it, where there is one."""
    cdef const nnrt_axis *a
    cdef int64_t before, stride = p.axis[1].stride
    cdef int i
    if (deep.square.name == NULL or code or p.kind != NNRT_EACH or p.blocks < SQUARE_LANES or not flat(&p.axis[0])
            or p.axis[0].stride > 1 or stride > 2):
        return False
    for i in range(1, 3):
        a = &p.axis[i]
        if a.taps != 3 or a.stride != stride or a.dilation > 1:
            return False
        if p.transposed and stride == 2:
            if a.padding != 1 or not 2 * a.size - 1 <= a.out <= 2 * a.size:
                return False
            continue
        before = 2 - a.padding if p.transposed else a.padding
        if not 0 <= before <= 1 or (a.out - 1) * stride + 2 - before > a.size or a.out < stride:
            return False
    return True


cdef int cut_square(nnrt_depthwise_args *p, double macs, int64_t planes) noexcept:
    """Tasks: whole tiles' rows, and if these are too few parts of the channels."""
    cdef int64_t want = max(4, min(<int64_t>(macs / TASK_MACS), 64)) if macs > SERIAL_MACS else 1, tiles, parts
    tiles = ceil_div(p.axis[1].out, SQUARE_ROWS)
    p.strip = ceil_div(tiles, ceil_div(want, planes)) * SQUARE_ROWS
    if p.axis[1].out % p.strip == 1: # strided tiles have two rows at least
        p.strip += SQUARE_ROWS
    parts = ceil_div(want, planes * ceil_div(p.axis[1].out, p.strip))
    p.part = ceil_div(ceil_div(p.blocks, parts), CHUNK // 4) * (CHUNK // 4)
    if p.part >= p.blocks or 0 < p.blocks % p.part < SQUARE_LANES:
        p.part = p.blocks
    return 0


cdef inline bint flat(const nnrt_axis *a) noexcept:
    """Whether each output reads one input, and none lies outside."""
    return a.taps == 1 and a.padding == 0


cdef inline int64_t row_read(nnrt_depthwise_args *p, ndarray x) noexcept:
    """Elements of x to each row of outputs."""
    return PyArray_SIZE(x) // (p.batch * p.axis[0].size * p.axis[1].out)


cdef int stream(nnrt_depthwise_args *p, ndarray y, ndarray x, int64_t filters, int64_t size) noexcept:
    """Arrays beyond L2: strips of rows that it holds beside the filter, and the next ones are fetched meanwhile."""
    cdef int64_t row = max(row_read(p, x), p.groups * p.out * p.axis[2].out) * size
    p.stream = PyArray_SIZE(y) * size > STREAM and filters < 2 * STREAM and PyArray_SIZE(x) > 0
    if p.stream:
        p.strip = min(p.strip, max(1, STRIP // max(row, 1)))
        p.part = p.blocks
    return 0


cdef int64_t copied(nnrt_depthwise_args *p, ndarray y, ndarray x, int64_t size) noexcept:
    """Whether, and how, tasks copy what they read; returns the room for it."""
    cdef int64_t group = p.together * p.read * size, chunk = CHUNK, high, wide, parts, part
    if p.kind != NNRT_EACH:
        chunk = max(1, LINE // max(group, 1)) * group
    cdef bint deep = p.kind != NNRT_EACH and kernels(p, size == 8).vector == SPREAD_LANES * size
    if not deep and (p.kind == NNRT_SPREAD or chunk < 2 * group) or group == 0:
        return 0
    if p.groups * p.read * size % (FAR if p.kind == NNRT_EACH else FAR // 4):
        return 0
    if not flat(&p.axis[0]) or p.axis[2].stride * p.axis[2].dilation > 1:
        return 0
    wide = p.axis[2].out * p.axis[2].step // p.axis[2].phases + p.axis[2].taps * p.axis[2].dilation + 2
    high = (COPIED // (chunk * wide) - p.axis[1].taps * p.axis[1].dilation - 1) * p.axis[1].phases // p.axis[1].step
    if high < 4:
        return 0
    p.chunk = chunk // size
    p.stream = deep and (PyArray_SIZE(x) + PyArray_SIZE(y)) * size > SOON
    if p.kind != NNRT_EACH:
        high = min(high, GROUP_ROWS)
    parts = ceil_div(MIN_TASKS, p.batch * p.axis[0].out * ceil_div(p.axis[1].out, high))
    part = ceil_div(ceil_div(p.blocks, parts), chunk // group) * (chunk // group)
    p.part = part if p.kind != NNRT_EACH else max(p.part, part)
    p.strip = ceil_div(p.axis[1].out, ceil_div(p.axis[1].out, min(p.strip, high) if p.kind != NNRT_EACH else high))
    return COPIED + LINE + chunk * p.axis[0].taps * p.axis[1].taps * p.axis[2].taps


cdef int pack(nnrt_depthwise_args *p, int64_t taps, int code) except -1:
    cdef nnrt_depthwise_args q = p[0]
    cdef int64_t each = taps * p.read * p.out * p.together
    memset(&q.work, 0, sizeof(q.work))
    q.work.bytes = 8.0 * each * p.blocks
    # some 16 thousand elements a task
    q.part = p.blocks if p.kind == NNRT_EACH else max(1, 16384 // each)
    return launch(&kernels(p, code).pack[code], &q, ceil_div(q.blocks, q.part))


def lanes(dtype):
    """Elements of a vector that groups of several channels fill."""
    return deep.vector // 4 if np.dtype(dtype).itemsize == 4 else table.vector // 8


def conv(ndarray y not None, ndarray x not None, ndarray w not None, b, residual, tuple stride, tuple padding,
         tuple dilation, int64_t groups, activation):
    """y[N, OD, OH, OW, O] from x[N, D, H, W, C]."""
    run("conv", y, x, w, b, residual, stride, padding, dilation, groups, activation, False)


def conv_transposed(ndarray x not None, ndarray y not None, ndarray w not None, b, residual, tuple stride, tuple padding,
                    tuple dilation, int64_t groups, activation):
    """x[N, D, H, W, C] from y[N, OD, OH, OW, O]."""
    run("conv_transposed", x, y, w, b, residual, stride, padding, dilation, groups, activation, True)


def filter_backward(ndarray dw not None, ndarray db, ndarray x not None, ndarray dy not None, tuple stride, tuple padding,
                    tuple dilation, int64_t groups):
    """dw[O, C/G, KD, KH, KW]; db[O] or None."""
    cdef nnrt_depthwise_args p
    cdef int code = dtype_code(dw)
    cdef int64_t size = 8 if code else 4, count, units, want, parts, room, wide, least, high
    cdef int64_t taps = plan(&p, "filter_backward", dy, x, dw, stride, padding, dilation, groups, False, code)
    cdef int64_t lanes = kernels(&p, code).vector // size
    cdef bint spread = p.kind == NNRT_SPREAD and not (lanes == SPREAD_LANES and nnrt_slides(&p.axis[2]))
    cdef bint square = False
    cdef double macs
    term("filter_backward", db, dy, 4, code)
    if db is not None:
        if (p.kind == NNRT_EACH or not spread and flat(&p.axis[0])) and (
                PyArray_SIZE(dy) > 0 and PyArray_SIZE(x) > 0 and PyArray_SIZE(dw) > 0):
            p.db = PyArray_DATA(db)
        else:
            bias_grad(db, dy.reshape(-1, groups * p.out))
    if PyArray_SIZE(dw) == 0:
        return
    if PyArray_SIZE(dy) == 0 or PyArray_SIZE(x) == 0:
        memset(PyArray_DATA(dw), 0, PyArray_SIZE(dw) * size)
        return
    macs = work_of(&p, dw, x, dy, taps, PyArray_SIZE(dy) // (groups * p.out), size)
    p.y, p.x = PyArray_DATA(dy), PyArray_DATA(x)
    want = max(1, min(<int64_t>(macs / TASK_MACS), 64)) if macs > SERIAL_MACS else 1
    if p.kind == NNRT_EACH:
        # rows of sums an odd number of cache lines apart: they do not compete for the same ones of L1
        p.lanes = (ceil_div(groups * size, LINE) | 1) * LINE // size
        p.packed_count = (taps + 1) * p.lanes
        # Where pixels compete for L1, x is copied, small x already from 1 kB on; else
        # large arrays are fetched ahead by strips.
        wide = (reach(&p.axis[2], p.axis[2].out) + 1) * CHUNK
        room = (COPIED // wide - reach(&p.axis[1], 1)) // p.axis[1].stride + 1
        p.chunk = CHUNK // size if groups * size % (FAR if PyArray_SIZE(dy) * size > 2 * STREAM else FAR // 2) == 0 else 0
        if room <= 3 or not flat(&p.axis[0]):
            p.chunk = 0
        p.strip = p.axis[1].out
        square = is_square(&p, code)
        if square:
            p.chunk, p.strip = 0, min(4 * SQUARE_ROWS, p.axis[1].out)
            while want & (want - 1): # equal shares of the images for two cores
                want += 1
            p.stream = 2 if (PyArray_SIZE(x) + PyArray_SIZE(dy)) * size >= BEYOND else p.batch > 1
        elif p.chunk:
            p.strip = ceil_div(p.axis[1].out, ceil_div(p.axis[1].out, room))
        else:
            stream(&p, dy, x, 0, size)
        units = p.batch * p.axis[0].out * ceil_div(p.axis[1].out, p.strip)
        least = CHUNK if groups * size >= 4 * CHUNK else LINE
        parts = 1 if units >= min(want, 8) else max(1, min(want, groups * size // least))
        p.part = ceil_div(ceil_div(groups, parts), least // size) * least // size
        if square and 0 < groups % p.part < SQUARE_LANES:
            p.part = groups
        p.work.scratch = p.axis[0].taps * p.axis[1].taps * (1 + p.axis[2].taps) * 16
        if p.chunk:
            p.work.scratch += reach(&p.axis[1], p.strip) * wide + CHUNK * taps
    else:
        p.packed_count, p.strip = p.blocks * (p.read * taps + (not spread)) * p.lanes, p.axis[1].out
        p.chunk = 0 if spread else max(1, LINE // (max(p.read, p.out) * size)) if p.out == p.lanes else 1
        room = max(1, p.chunk)
        p.part = ceil_div(p.blocks, want * room) * room
        # rows of pixels whose channels of a block stay in L1
        high = NEAR * (lanes == SPREAD_LANES) // 2 + NEAR
        if (PyArray_SIZE(x) + PyArray_SIZE(dy)) * size > 16 * STREAM and p.packed_count * size < 2 * STREAM and p.batch > 1:
            # From memory, all groups of a strip in turn: their lines are side by side
            # (1.8 times at 256 channels of 28 x 28).
            p.part, want, p.stream, high = p.blocks, min(want, 8), not spread, NEAR
            p.strip = min(p.strip, max(1, GROUPED // (p.axis[2].out * groups * p.out * size)))
        high = max(1, high // (p.axis[2].out * (p.together * p.read + p.lanes) * room * size))
        p.strip = min(p.strip, high)
        if lanes == SPREAD_LANES:
            p.strip = ceil_div(p.axis[1].out, ceil_div(p.axis[1].out, p.strip))
        units = p.batch * p.axis[0].out * ceil_div(p.axis[1].out, p.strip)
    parts = ceil_div(p.blocks, p.part)
    p.splits = max(1, min(want // parts, units))
    p.work.scratch += (nnrt_stretches(&p.axis[1]) + nnrt_stretches(&p.axis[2])) * sizeof(nnrt_stretch) + 64
    if p.kind != NNRT_EACH and not spread:
        wide = p.axis[2].out + (2 * max(0, 2 - p.axis[2].padding) if nnrt_slides(&p.axis[2]) else 0)
        room = min(reach(&p.axis[1], p.strip), p.axis[1].size) * p.axis[2].size * p.together * p.read + p.strip * wide * p.lanes
        p.work.scratch += (room * p.chunk + lanes) * size
    count = p.splits * p.packed_count * size
    p.packed = take(count)
    if p.packed == NULL:
        raise MemoryError(f"filter_backward: no memory for {count} bytes of sums")
    try:
        launch(&deep.squares if square else &kernels(&p, code).filter[code], &p, parts * p.splits)
        p.y = PyArray_DATA(dw)
        span(&p.work.out[0], dw)
        p.work.flops = p.work.bytes = 0
        launch(&kernels(&p, code).gather[code], &p, parts)
    finally:
        give(p.packed, count)
