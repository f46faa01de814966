"""Resampling: driver of csrc/resample.c. See nnrt._ref.resample for what each computes."""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_SIZE, ndarray

from nnrt._ext.runtime cimport dtype_code, isa_level, launch, nnrt_kernel, nnrt_work, span
from nnrt._ref import resample as _ref


cdef extern from "resample.h" nogil:
    enum:
        NNRT_RESAMPLE_ROW
        NNRT_RESAMPLE_TASK
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
        int64_t c, blocks, cols, group, units
    ctypedef struct nnrt_resample_table:
        nnrt_kernel resample[2]
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
    args.work.scratch = widest(&args.w, args.cols) * args.c * PyArray_ITEMSIZE(x)
    args.work.flops = 2.0 * PyArray_SIZE(y) * (
        args.w.offset[args.w.out] / <double>args.w.out
        + args.d.offset[args.d.out] / <double>args.d.out * args.h.offset[args.h.out] / args.h.out
    )
    args.work.bytes = <double>(PyArray_SIZE(x) + PyArray_SIZE(y)) * PyArray_ITEMSIZE(x)
    span(&args.work.out[0], y)
    launch(&table.resample[dtype_code(x)], &args, (args.units + args.group - 1) // args.group)
