"""Gathering and scattering: drivers of csrc/index.c. See nnrt._ref.index for what each computes.

What is only moved is moved whatever its dtype; sums of other than float32 and float64 are _ref's.
"""

from libc.stdint cimport INT64_MAX, int64_t, uintptr_t
from libc.string cimport memset
from numpy cimport (
    NPY_FLOAT32, NPY_FLOAT64, PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_NDIM, PyArray_SIZE,
    PyArray_STRIDE, PyArray_TYPE, ndarray,
)

from nnrt._ext.runtime cimport isa_level, launch, nnrt_kernel, nnrt_work, span
from nnrt._ref import index as _ref


cdef extern from "stream.h" nogil:
    enum:
        NNRT_STREAM_BYTES

cdef extern from "index.h" nogil:
    ctypedef struct nnrt_index_args:
        nnrt_work work
        void *out
        const void *base
        const void *weights
        const void *x
        const int64_t *index
        const int64_t *starts
        int64_t *order
        int64_t *ends
        int64_t o
        int64_t r
        int64_t n
        int64_t d
        int64_t m
        int64_t stride[3]
        int64_t each
        int far
        int stream
        int64_t rows
        int64_t columns
    ctypedef struct nnrt_index_table:
        nnrt_kernel take[1]
        nnrt_kernel check[1]
        nnrt_kernel counting_sort[1]
        nnrt_kernel nonzero[1]
        nnrt_kernel pick[2]
        nnrt_kernel gather[2]
        nnrt_kernel scatter[2]
        nnrt_kernel scatter_add[2]
        nnrt_kernel segment_sum[2]
    int64_t NNRT_INDEX_TASK
    int64_t NNRT_INDEX_COLUMNS
    int64_t NNRT_INDEX_CHECKED
    int64_t NNRT_INDEX_FAR
    const nnrt_index_table *nnrt_index(int isa)

cdef const nnrt_index_table *table = nnrt_index(isa_level())


cdef int kind_of(ndarray a) noexcept:
    """0 for float32, 1 for float64, -1 for others."""
    cdef int num = PyArray_TYPE(a)
    return 0 if num == NPY_FLOAT32 else 1 if num == NPY_FLOAT64 else -1


cdef const int64_t *indices(ndarray a) noexcept:
    return <const int64_t *>PyArray_DATA(a)


cdef void fill(nnrt_index_args *args, ndarray out, ndarray x, int64_t o, int64_t r, int64_t n, int64_t d) noexcept:
    memset(args, 0, sizeof(nnrt_index_args))
    args.out = PyArray_DATA(out)
    args.x = PyArray_DATA(x)
    args.o = o
    args.r = r
    args.n = n
    args.d = d
    args.work.bytes = 2.0 * PyArray_SIZE(out) * PyArray_ITEMSIZE(out)
    span(&args.work.out[0], out)


cdef int64_t at_least_one(int64_t n) noexcept:
    return n if n > 0 else 1


def check(ndarray bad, ndarray index, int64_t size):
    cdef nnrt_index_args args
    memset(&args, 0, sizeof(args))
    args.index = indices(index)
    args.ends = <int64_t *>PyArray_DATA(bad)
    args.n = PyArray_SIZE(index)
    args.r = size
    args.work.bytes = 8.0 * args.n
    args.ends[0] = INT64_MAX
    launch(table.check, &args, (args.n + NNRT_INDEX_CHECKED - 1) // NNRT_INDEX_CHECKED)
    if args.ends[0] == INT64_MAX:
        args.ends[0] = -1


def take(ndarray out, ndarray x, ndarray index):
    cdef nnrt_index_args args
    fill(&args, out, x, PyArray_DIM(x, 0), PyArray_DIM(x, 1), PyArray_SIZE(index), PyArray_DIM(x, 2))
    if PyArray_SIZE(out) == 0:
        return
    args.index = indices(index)
    args.each = args.d * PyArray_ITEMSIZE(x)
    args.rows = at_least_one(NNRT_INDEX_TASK // args.each)
    args.stream = (
        PyArray_NBYTES(out) >= NNRT_STREAM_BYTES and args.each % 64 == 0 and <uintptr_t>args.out % 64 == 0
    )
    args.far = args.stream or PyArray_NBYTES(x) >= NNRT_INDEX_FAR
    cdef const nnrt_kernel *kernel = &table.take[0]
    if args.d == 1 and (args.each == 4 or args.each == 8):
        kernel = &table.pick[args.each // 8]
    launch(kernel, &args, (args.o * args.n + args.rows - 1) // args.rows)


def counting_sort(ndarray order, ndarray starts, ndarray index):
    cdef nnrt_index_args args
    memset(&args, 0, sizeof(args))
    args.index = indices(index)
    args.order = <int64_t *>PyArray_DATA(order)
    args.ends = <int64_t *>PyArray_DATA(starts)
    args.n = PyArray_SIZE(index)
    args.r = PyArray_SIZE(starts) - 1
    args.work.bytes = 32.0 * args.n + 16.0 * args.r
    launch(table.counting_sort, &args, 1)


def nonzero(ndarray out, ndarray mask):
    cdef nnrt_index_args args
    cdef int64_t sizes[64]
    cdef int i
    if PyArray_NDIM(mask) == 0:
        return
    memset(&args, 0, sizeof(args))
    for i in range(PyArray_NDIM(mask)):
        sizes[i] = PyArray_DIM(mask, i)
    args.out = PyArray_DATA(out)
    args.x = PyArray_DATA(mask)
    args.index = sizes
    args.n = PyArray_DIM(out, 0)
    args.d = PyArray_NDIM(mask)
    args.work.bytes = PyArray_SIZE(mask) + 8.0 * PyArray_SIZE(out)
    launch(table.nonzero, &args, 1)


def segment_sum(ndarray out, base, weights, ndarray x, ndarray order, ndarray starts):
    cdef nnrt_index_args args
    cdef int kind = kind_of(out)
    cdef int64_t tasks
    if kind < 0:
        _ref.segment_sum(out, base, weights, x, order, starts)
        return
    fill(&args, out, x, PyArray_DIM(out, 0), PyArray_DIM(out, 1), PyArray_SIZE(order), PyArray_DIM(out, 2))
    if PyArray_SIZE(out) == 0:
        return
    args.base = NULL if base is None else PyArray_DATA(base)
    args.weights = NULL if weights is None else PyArray_DATA(weights)
    args.index = indices(order)
    args.starts = indices(starts)
    args.m = PyArray_DIM(x, 1)
    args.columns = args.d if args.d < NNRT_INDEX_COLUMNS else NNRT_INDEX_COLUMNS
    # Rows of a task by what they write and, on average, read.
    args.rows = at_least_one(
        NNRT_INDEX_TASK // (args.columns * PyArray_ITEMSIZE(out) * (1 + args.n // args.r))
    )
    args.work.flops = 2.0 * args.o * args.n * args.d
    args.work.bytes += PyArray_ITEMSIZE(out) * args.o * args.n * args.d
    tasks = args.o * ((args.r + args.rows - 1) // args.rows) * ((args.d + args.columns - 1) // args.columns)
    launch(&table.segment_sum[kind], &args, tasks)


cdef void strides(nnrt_index_args *args, ndarray x) noexcept:
    cdef int i
    for i in range(3):
        args.stride[i] = PyArray_STRIDE(x, i) // PyArray_ITEMSIZE(x)


cdef bint whole_strides(ndarray x) noexcept:
    """Whether x's strides are whole elements."""
    cdef int i
    for i in range(3):
        if PyArray_STRIDE(x, i) % PyArray_ITEMSIZE(x):
            return False
    return True


def gather(ndarray out, ndarray x, ndarray index):
    cdef nnrt_index_args args
    cdef int64_t each = PyArray_ITEMSIZE(x)
    if (each != 4 and each != 8) or not whole_strides(x):
        _ref.gather(out, x, index)
        return
    fill(&args, out, x, PyArray_DIM(out, 0), PyArray_DIM(x, 1), PyArray_DIM(out, 1), PyArray_DIM(out, 2))
    if PyArray_SIZE(out) == 0:
        return
    args.index = indices(index)
    strides(&args, x)
    args.rows = at_least_one(NNRT_INDEX_TASK // (args.d * each))
    args.work.bytes += 8.0 * PyArray_SIZE(index)
    launch(&table.gather[0 if each == 4 else 1], &args, (args.o * args.n + args.rows - 1) // args.rows)


def scatter(ndarray out, base, ndarray x, ndarray index):
    cdef int64_t each = PyArray_ITEMSIZE(out)
    if (each != 4 and each != 8) or not whole_strides(x):
        _ref.scatter(out, base, x, index)
        return
    write(&table.scatter[each // 8], out, base, x, index)


def scatter_add(ndarray out, base, ndarray x, ndarray index):
    cdef int kind = kind_of(out)
    if kind < 0 or not whole_strides(x):
        _ref.scatter_add(out, base, x, index)
        return
    write(&table.scatter_add[kind], out, base, x, index)


cdef int write(const nnrt_kernel *kernel, ndarray out, base, ndarray x, ndarray index) except -1:
    cdef nnrt_index_args args
    cdef int64_t blocks
    fill(&args, out, x, PyArray_DIM(out, 0), PyArray_DIM(out, 1), PyArray_DIM(index, 1), PyArray_DIM(out, 2))
    if PyArray_SIZE(out) == 0:
        return 0
    args.base = NULL if base is None else PyArray_DATA(base)
    args.index = indices(index)
    strides(&args, x)
    # 64 columns: a cache line or more of every row that is written.
    args.columns = args.d if args.d < 64 else 64
    args.rows = at_least_one(NNRT_INDEX_TASK // (args.columns * (args.r + args.n) * PyArray_ITEMSIZE(out)))
    args.work.flops = PyArray_SIZE(x)
    args.work.bytes += 12.0 * PyArray_SIZE(index)
    blocks = args.o * ((args.d + args.columns - 1) // args.columns)
    return launch(kernel, &args, (blocks + args.rows - 1) // args.rows)
