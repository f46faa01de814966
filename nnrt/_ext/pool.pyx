"""Pooling: drivers of csrc/pool.c. See nnrt._ref.pool for what each computes; it does what is no float32 or float64."""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport NPY_FLOAT32, NPY_FLOAT64, PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_SIZE
from numpy cimport PyArray_TYPE, ndarray

from nnrt._ext.runtime cimport ceil_div, dtype_code, isa_level, launch, nnrt_kernel, nnrt_work, span
from nnrt._ref import pool as _ref


cdef extern from "nnrt.h" nogil:
    enum:
        NNRT_AVX512

cdef extern from "stream.h" nogil:
    enum:
        NNRT_STREAM_BYTES

cdef extern from "pool.h" nogil:
    ctypedef struct nnrt_pool_axis:
        int64_t in_ "in"
        int64_t out, kernel, stride, padding, dilation, taps
    ctypedef struct nnrt_pool_args:
        nnrt_work work
        void *to
        const void *from_ "from"
        void *at
        int64_t *index
        nnrt_pool_axis axis[3]
        int64_t n, c
        int64_t size[3]
        int backward, sums, wide, stream, include_pad, ahead, avx512, threes
        double divisor
    ctypedef struct nnrt_pool_table:
        nnrt_kernel max_pool[2]
        nnrt_kernel max_pool_backward[2]
        nnrt_kernel max_index[1]
        nnrt_kernel max_unpool[2]
        nnrt_kernel avg_pool[2]
        nnrt_kernel avg_pool_backward[2]
        nnrt_kernel avg_threes[2]
    int64_t nnrt_pool_cut(nnrt_pool_args *args, int64_t bytes)
    const nnrt_pool_table *nnrt_pool(int isa)

cdef const nnrt_pool_table *table = nnrt_pool(isa_level())


cdef bint floats(ndarray a) noexcept:
    return PyArray_TYPE(a) == NPY_FLOAT32 or PyArray_TYPE(a) == NPY_FLOAT64


cdef int fill(nnrt_pool_args *args, bint backward, ndarray to, ndarray source, ndarray at, tuple x_shape, tuple y_shape,
              kernel, tuple stride, tuple padding, tuple dilation) except -1:
    cdef int64_t each = PyArray_ITEMSIZE(to)
    cdef int a
    cdef nnrt_pool_axis *axis
    memset(args, 0, sizeof(nnrt_pool_args))
    for a in range(3):
        axis = &args.axis[a]
        axis.in_, axis.out, axis.dilation = x_shape[a + 1], y_shape[a + 1], dilation[a]
        if kernel is None:
            axis.taps = ceil_div(axis.in_, max(axis.out, 1)) + 1  # as _ref.taps
        else:
            axis.taps = axis.kernel = kernel[a]
            axis.stride, axis.padding = stride[a], padding[a]
        args.size[a] = PyArray_DIM(to, a + 1)
    args.n, args.c = x_shape[0], x_shape[4]
    args.backward = backward
    args.avx512 = isa_level() == NNRT_AVX512
    args.to = PyArray_DATA(to)
    if source is not None:
        args.from_ = PyArray_DATA(source)
        args.work.bytes = PyArray_NBYTES(source)
    if at is not None:
        args.at = PyArray_DATA(at)
        args.wide = PyArray_ITEMSIZE(at) == 4
        args.work.bytes += PyArray_NBYTES(at)
    args.work.bytes += PyArray_NBYTES(to)
    args.stream = (
        PyArray_NBYTES(to) >= NNRT_STREAM_BYTES and args.c * each % 32 == 0 and <size_t>args.to % 32 == 0
    )
    # Windows of many lines the hardware foresees; more at a time would fill the queue of misses.
    args.ahead = source is not None and PyArray_NBYTES(source) >= NNRT_STREAM_BYTES
    args.ahead &= args.axis[1].stride * args.axis[2].stride * args.c * each <= 4096
    for a in range(1, 3):
        args.ahead &= 0 < args.axis[a].stride <= min(args.axis[a].taps, 2)
    span(&args.work.out[0], to)
    return 0


cdef int mean(nnrt_pool_args *args, const nnrt_kernel *kernel, ndarray like) except -1:
    cdef int64_t tasks = nnrt_pool_cut(args, PyArray_ITEMSIZE(like))
    if args.threes:
        kernel = &table.avg_threes[dtype_code(like)]
    return launch(kernel, args, tasks)


def max_pool(ndarray y, ndarray at, ndarray x, kernel, tuple stride, tuple padding, tuple dilation):
    cdef nnrt_pool_args args
    if not floats(x):
        _ref.max_pool(y, at, x, kernel, stride, padding, dilation)
    elif PyArray_SIZE(y):
        fill(&args, False, y, x, at, (<object>x).shape, (<object>y).shape, kernel, stride, padding, dilation)
        launch(&table.max_pool[dtype_code(x)], &args, nnrt_pool_cut(&args, 2 * PyArray_ITEMSIZE(y)))


def max_pool_backward(ndarray dx, ndarray dy, ndarray at, kernel, tuple stride, tuple padding, tuple dilation):
    cdef nnrt_pool_args args
    if not floats(dx):
        _ref.max_pool_backward(dx, dy, at, kernel, stride, padding, dilation)
    elif PyArray_SIZE(dx):
        fill(&args, True, dx, dy, at, (<object>dx).shape, (<object>dy).shape, kernel, stride, padding, dilation)
        launch(&table.max_pool_backward[dtype_code(dx)], &args, nnrt_pool_cut(&args, 1))


def max_index(ndarray index, ndarray at, tuple x_shape, kernel, tuple stride, tuple padding, tuple dilation):
    cdef nnrt_pool_args args
    if PyArray_SIZE(index):
        fill(&args, False, index, None, at, x_shape, (<object>index).shape, kernel, stride, padding, dilation)
        args.index = <int64_t *>args.to
        launch(table.max_index, &args, nnrt_pool_cut(&args, 1))


def max_unpool(ndarray y, ndarray x, ndarray index):
    cdef nnrt_pool_args args
    if not floats(x):
        _ref.max_unpool(y, x, index)
    elif PyArray_SIZE(y):
        memset(&args, 0, sizeof(args))
        args.to, args.from_, args.index = PyArray_DATA(y), PyArray_DATA(x), <int64_t *>PyArray_DATA(index)
        args.axis[0].in_, args.axis[0].out = PyArray_DIM(x, 1), PyArray_DIM(y, 1)
        args.c = PyArray_DIM(x, 2)
        args.work.bytes = PyArray_NBYTES(y) + PyArray_NBYTES(x) + PyArray_NBYTES(index)
        span(&args.work.out[0], y)
        launch(&table.max_unpool[dtype_code(x)], &args, PyArray_DIM(x, 0))


def avg_pool(ndarray y, ndarray x, kernel, tuple stride, tuple padding, bint include_pad, divisor):
    cdef nnrt_pool_args args
    if not floats(x):
        _ref.avg_pool(y, x, kernel, stride, padding, include_pad, divisor)
    elif PyArray_SIZE(y):
        fill(&args, False, y, x, None, (<object>x).shape, (<object>y).shape, kernel, stride, padding, (1, 1, 1))
        args.include_pad, args.divisor, args.sums = include_pad, divisor or 0, True
        mean(&args, &table.avg_pool[dtype_code(x)], x)


def avg_pool_backward(ndarray dx, ndarray dy, kernel, tuple stride, tuple padding, bint include_pad, divisor):
    cdef nnrt_pool_args args
    if not floats(dx):
        _ref.avg_pool_backward(dx, dy, kernel, stride, padding, include_pad, divisor)
    elif PyArray_SIZE(dx):
        fill(&args, True, dx, dy, None, (<object>dx).shape, (<object>dy).shape, kernel, stride, padding, (1, 1, 1))
        args.include_pad, args.divisor, args.sums = include_pad, divisor or 0, True
        mean(&args, &table.avg_pool_backward[dtype_code(dx)], dx)
