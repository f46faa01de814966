"""Resampling: driver of csrc/resample.c. See nnrt._ref.resample for what each computes."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_SIZE, ndarray

from nnrt._ext.runtime cimport dtype_code, isa_level, launch, nnrt_kernel, nnrt_work, span
from nnrt._ref import resample as _ref


cdef extern from "resample.h" nogil:
    enum:
        NNRT_RESAMPLE_ROW
        NNRT_RESAMPLE_TASK
        NNRT_RESAMPLE_FEW
        NNRT_RESAMPLE_TAPS
    ctypedef struct nnrt_band:
        const int64_t *first
        const int64_t *offset
        const void *weight
        int64_t n, out
    ctypedef struct nnrt_resample_args:
        nnrt_work work
        void *y
        const void *x
        nnrt_band d, h, w
        int64_t c, blocks, cols, group, units, room, taps, spread
    ctypedef struct nnrt_grid_args:
        nnrt_work work
        void *out
        const void *in_ "in"
        const void *dy
        const void *grid
        int64_t images, places, axes
        int64_t size[3]
        int64_t c
        int32_t mode, padding, aligned
        int64_t block
    ctypedef struct nnrt_resample_table:
        nnrt_kernel resample[2]
        nnrt_kernel grid[2]
        nnrt_kernel grid_dgrid[2]
        nnrt_kernel grid_dx[2]
    const nnrt_resample_table *nnrt_resample(int isa)

cdef const nnrt_resample_table *table = nnrt_resample(isa_level())


cdef int set_band(nnrt_band *out, tuple band, ndarray y, ndarray x, int axis) except -1:
    cdef ndarray first = band[0], offset = band[1], weight = band[2]
    out.first = <const int64_t *>PyArray_DATA(first)
    out.offset = <const int64_t *>PyArray_DATA(offset)
    out.weight = PyArray_DATA(weight)
    out.n = PyArray_DIM(x, axis)
    out.out = PyArray_DIM(y, axis)
    return 0


cdef int64_t widest(const nnrt_band *band, int64_t cols) noexcept:
    """Columns that so many neighbouring rows of a band reach together, at most."""
    cdef int64_t o = 0, most = 0, left, right, i, k
    while o < band.out:
        left, right = band.n, 0
        for i in range(o, min(o + cols, band.out)):
            k = band.offset[i + 1] - band.offset[i]
            if k:
                left = min(left, band.first[i])
                right = max(right, band.first[i] + k)
        most = max(most, right - left)
        o += cols
    return most


cdef int64_t most_taps(const nnrt_band *band) noexcept:
    cdef int64_t o, most = 0
    for o in range(band.out):
        most = max(most, band.offset[o + 1] - band.offset[o])
    return most


def resample(ndarray y, ndarray x, tuple d, tuple h, tuple w):
    cdef nnrt_resample_args args
    cdef int64_t each
    if x.dtype.char not in "fd":
        _ref.resample(y, x, d, h, w)
        return
    if PyArray_SIZE(y) == 0:
        return
    memset(&args, 0, sizeof(args))
    args.y, args.x = PyArray_DATA(y), PyArray_DATA(x)
    set_band(&args.d, d, y, x, 1)
    set_band(&args.h, h, y, x, 2)
    set_band(&args.w, w, y, x, 3)
    args.c = PyArray_DIM(y, 4)
    each = max(args.w.n, args.w.out) * args.c  # elements of a row of x or y
    args.cols = min(args.w.out, max(1, NNRT_RESAMPLE_ROW * args.w.out // each))
    args.blocks = (args.w.out + args.cols - 1) // args.cols
    args.units = PyArray_SIZE(y) // (args.w.out * args.c) * args.blocks
    args.group = max(1, NNRT_RESAMPLE_TASK * args.blocks // each)
    args.room = (widest(&args.w, args.cols) * args.c * PyArray_ITEMSIZE(x) + 63) // 64 * 64
    args.taps = most_taps(&args.w)
    args.spread = args.w.out * args.c
    if args.c > NNRT_RESAMPLE_FEW or args.taps > NNRT_RESAMPLE_TAPS or args.w.n * args.c >= 1 << 31:
        args.taps = 0
    args.work.scratch = args.room + 2 * args.taps * args.spread * PyArray_ITEMSIZE(x)
    args.work.flops = 2.0 * PyArray_SIZE(y) * (
        args.w.offset[args.w.out] / <double>args.w.out
        + args.d.offset[args.d.out] / <double>args.d.out * args.h.offset[args.h.out] / args.h.out
    )
    args.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(y)) * PyArray_ITEMSIZE(x)
    span(&args.work.out[0], y)
    launch(&table.resample[dtype_code(x)], &args, (args.units + args.group - 1) // args.group)


# ---- grids ----

cdef tuple MODES = ("nearest", "bilinear", "bicubic"), PADDING_MODES = ("zeros", "border", "reflection")
cdef int64_t TASK = 4096  # places times channels of a task: 5 us or more


cdef int fill(nnrt_grid_args *p, ndarray image, ndarray out, ndarray given, ndarray grid, mode, padding_mode,
              align_corners) except -1:
    # image: x or dx. Returns the dtype.
    cdef int i
    memset(p, 0, sizeof(p[0]))
    p.out, p.in_, p.grid = PyArray_DATA(out), PyArray_DATA(given), PyArray_DATA(grid)
    p.images, p.c = PyArray_DIM(image, 0), PyArray_DIM(image, 4)
    p.places, p.axes = PyArray_DIM(grid, 1), PyArray_DIM(grid, 2)
    for i in range(3):
        p.size[i] = PyArray_DIM(image, 1 + i)
    p.mode, p.padding = MODES.index(mode), PADDING_MODES.index(padding_mode)
    p.aligned = bool(align_corners)
    p.block = max(1, TASK // max(16, p.c))
    p.work.bytes = 2.0 * PyArray_SIZE(grid) * p.c * PyArray_ITEMSIZE(image)
    span(&p.work.out[0], out)
    return dtype_code(image)


cdef int64_t blocks(nnrt_grid_args *p) noexcept:
    return (p.images * p.places + p.block - 1) // p.block


def grid_sample(ndarray y, ndarray x, ndarray grid, mode, padding_mode, align_corners):
    cdef nnrt_grid_args p
    cdef int dtype = fill(&p, x, y, x, grid, mode, padding_mode, align_corners)
    if p.c:
        launch(&table.grid[dtype], &p, blocks(&p))


def grid_sample_dx(ndarray dx, ndarray dy, ndarray grid, mode, padding_mode, align_corners):
    cdef nnrt_grid_args p
    cdef int dtype = fill(&p, dx, dx, dy, grid, mode, padding_mode, align_corners)
    # An image's places are added in their order; more tasks are made of its channels.
    p.block = max(16, (p.c + 7) // 8) if p.images < 8 else max(1, p.c)
    if p.c:
        launch(&table.grid_dx[dtype], &p, p.images * ((p.c + p.block - 1) // p.block))


def grid_sample_dgrid(ndarray dgrid, ndarray dy, ndarray x, ndarray grid, mode, padding_mode, align_corners):
    cdef nnrt_grid_args p
    cdef int dtype = fill(&p, x, dgrid, x, grid, mode, padding_mode, align_corners)
    p.dy = PyArray_DATA(dy)
    launch(&table.grid_dgrid[dtype], &p, blocks(&p))
