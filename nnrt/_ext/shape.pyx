"""Copies between memory orders: driver of csrc/shape.c. See nnrt._ref.shape."""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport NPY_FLOAT16, NPY_FLOAT32, PyArray_DATA, PyArray_DESCR, PyArray_DIM, PyArray_IS_C_CONTIGUOUS
from numpy cimport PyArray_ISALIGNED, PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDE
from numpy cimport PyArray_TYPE, ndarray

from nnrt._ext.runtime cimport isa_level, launch, nnrt_kernel, nnrt_work
from nnrt._ref import shape as _ref


cdef extern from "shape.h" nogil:
    enum:
        NNRT_SHAPE_AXES
        NNRT_SHAPE_JOINED
        NNRT_SHAPE_TASK
    ctypedef struct nnrt_shape_args:
        nnrt_work work
        void *out
        const void *x
        int axes
        int64_t size[32]
        int64_t dst[32]
        int64_t src[32]
        int64_t blocks
        int64_t rows
    ctypedef struct nnrt_join_args:
        nnrt_work work
        char *out
        int64_t outer
        int64_t width
        int64_t rows
        int count
        int each
        const char *x[64]
        int64_t widths[64]
    ctypedef struct nnrt_flat_args:
        nnrt_work work
        char *out
        const char *x
        int64_t bytes
        int stream
    enum:
        NNRT_SHAPE_BYTES
    ctypedef struct nnrt_triangle_args:
        nnrt_work work
        char *out
        const char *x
        int64_t total
        int64_t rows
        int64_t columns
        int64_t each
        int64_t diagonal
        int64_t task
        int upper
    ctypedef struct nnrt_blocks_args:
        nnrt_work work
        char *out
        const char *x
        int64_t total, down, across, s, run, rows, wide, top, left, task
    ctypedef struct nnrt_shape_table:
        nnrt_kernel rows[2]
        nnrt_kernel transpose[2]
        nnrt_kernel join[1]
        nnrt_kernel flat[1]
        nnrt_kernel triangle[1]
        nnrt_kernel blocks[1]
        nnrt_kernel half[2]
    const nnrt_shape_table *nnrt_shape(int isa)

cdef extern from "stream.h" nogil:
    enum:
        NNRT_STREAM_BYTES

cdef const nnrt_shape_table *table = nnrt_shape(isa_level())


def copy(ndarray out, ndarray x):
    cdef nnrt_shape_args args
    cdef int64_t each = PyArray_ITEMSIZE(out), total = PyArray_SIZE(out)
    cdef int i, last, q
    if total == 0:
        return
    if (each != 4 and each != 8) or not PyArray_ISALIGNED(x) or not plan(&args, out, x, each):
        _ref.copy(out, x)
        return
    args.out = PyArray_DATA(out)
    args.x = PyArray_DATA(x)
    args.work.bytes = 2.0 * total * each
    if args.axes == 1 and args.src[0] == 1:
        flat(<char *>args.out, <const char *>args.x, total * each)
        return
    if args.axes == 1 and total >= NNRT_SHAPE_TASK:  # rows of a task each, then the rest
        args.axes, args.rows = 2, 1
        args.size[0], args.size[1] = total // NNRT_SHAPE_TASK, NNRT_SHAPE_TASK
        args.dst[0], args.dst[1] = NNRT_SHAPE_TASK, 1
        args.src[0], args.src[1] = args.src[0] * NNRT_SHAPE_TASK, args.src[0]
        args.work.bytes -= 2.0 * (total % NNRT_SHAPE_TASK) * each
        launch(&table.rows[0 if each == 4 else 1], &args, args.size[0])
        args.out = <char *>args.out + args.size[0] * args.dst[0] * each
        args.x = <char *>args.x + args.size[0] * args.src[0] * each
        total %= NNRT_SHAPE_TASK
        if total == 0:
            return
        args.work.bytes = 2.0 * total * each
        args.axes, args.size[0], args.dst[0], args.src[0] = 1, total, 1, args.src[1]
    last = args.axes - 1
    q = -1
    if args.src[last] > 1 or args.src[last] < 0:
        for i in range(last):
            if args.src[i] == 1:
                q = i
    if q < 0:
        args.rows = max(1, NNRT_SHAPE_TASK // args.size[last])
        launch(&table.rows[0 if each == 4 else 1], &args, (total // args.size[last] + args.rows - 1) // args.rows)
        return
    while q < last - 1:
        swap(&args, q, q + 1)
        q += 1
    # Bands of whole vectors (16 elements) of x's innermost axis.
    args.rows = max(1, NNRT_SHAPE_TASK // (16 * args.size[last])) * 16
    args.blocks = (args.size[q] + args.rows - 1) // args.rows
    launch(
        &table.transpose[0 if each == 4 else 1], &args, total // (args.size[q] * args.size[last]) * args.blocks
    )


cdef int flat(char *out, const char *x, int64_t bytes) except -1:
    cdef nnrt_flat_args args
    memset(&args, 0, sizeof(args))
    args.out, args.x, args.bytes = out, x, bytes
    args.stream = bytes >= NNRT_STREAM_BYTES and <size_t>out % 64 == 0
    args.work.bytes = 2.0 * bytes
    return launch(table.flat, &args, (bytes + NNRT_SHAPE_BYTES - 1) // NNRT_SHAPE_BYTES)


cdef void swap(nnrt_shape_args *args, int a, int b) noexcept:
    args.size[a], args.size[b] = args.size[b], args.size[a]
    args.dst[a], args.dst[b] = args.dst[b], args.dst[a]
    args.src[a], args.src[b] = args.src[b], args.src[a]


cdef bint plan(nnrt_shape_args *args, ndarray out, ndarray x, int64_t each) noexcept:
    """Fills in the loops: axes by falling stride of out, merged where both arrays allow. False where out has no axis
    of stride one or strides are not whole elements."""
    cdef int i, j, n = 0
    memset(args, 0, sizeof(nnrt_shape_args))
    if PyArray_NDIM(out) > NNRT_SHAPE_AXES:
        return False
    for i in range(PyArray_NDIM(out)):
        if PyArray_STRIDE(out, i) % each or PyArray_STRIDE(x, i) % each:
            return False
        if PyArray_DIM(out, i) == 1:
            continue
        args.size[n] = PyArray_DIM(out, i)
        args.dst[n] = PyArray_STRIDE(out, i) // each
        args.src[n] = PyArray_STRIDE(x, i) // each
        j = n
        while j > 0 and args.dst[j - 1] < args.dst[j]:
            swap(args, j - 1, j)
            j -= 1
        n += 1
    if n == 0:
        args.size[0] = args.dst[0] = args.src[0] = n = 1
    j = 0
    for i in range(1, n):
        if args.dst[j] == args.dst[i] * args.size[i] and args.src[j] == args.src[i] * args.size[i]:
            args.size[j] *= args.size[i]
        else:
            j += 1
            args.size[j] = args.size[i]
        args.dst[j] = args.dst[i]
        args.src[j] = args.src[i]
    args.axes = j + 1
    return args.dst[j] == 1


def cat(ndarray out, list arrays, int axis):
    if not join(out, arrays, axis):
        _ref.cat(out, arrays, axis)


def stack(ndarray out, list arrays, int axis):
    if not join(out, arrays, axis):
        _ref.stack(out, arrays, axis)


cdef bint join(ndarray out, list arrays, int axis) except -1:
    """Rows one after the other; False for what memcpy cannot do: other memory orders, dtypes that differ."""
    cdef nnrt_join_args args
    cdef ndarray a
    cdef int i, count = <int>len(arrays)
    if count > NNRT_SHAPE_JOINED or not PyArray_IS_C_CONTIGUOUS(out):
        return False
    args.outer = 1
    for i in range(axis):
        args.outer *= PyArray_DIM(out, i)
    if PyArray_SIZE(out) == 0:
        return True
    for i in range(count):
        a = arrays[i]
        if not PyArray_IS_C_CONTIGUOUS(a) or PyArray_DESCR(a) is not PyArray_DESCR(out):
            return False
        args.x[i] = <const char *>PyArray_DATA(a)
        args.widths[i] = PyArray_NBYTES(a) // args.outer
        if i == 0:
            args.each = args.widths[0] if args.widths[0] == PyArray_ITEMSIZE(out) and args.widths[0] in (4, 8) else 0
        elif args.widths[i] != args.each:
            args.each = 0
    memset(&args.work, 0, sizeof(nnrt_work))
    args.work.bytes = 2.0 * PyArray_NBYTES(out)
    args.out = <char *>PyArray_DATA(out)
    args.width = PyArray_NBYTES(out) // args.outer
    args.count = count
    args.rows = max(1, 4 * NNRT_SHAPE_TASK // args.width)
    launch(table.join, &args, (args.outer + args.rows - 1) // args.rows)
    return True


def triangle(ndarray out, ndarray x, int64_t diagonal, bint upper):
    cdef nnrt_triangle_args args
    cdef int last = PyArray_NDIM(x) - 1
    if PyArray_SIZE(x) == 0:
        return
    memset(&args, 0, sizeof(args))
    args.out, args.x = <char *>PyArray_DATA(out), <const char *>PyArray_DATA(x)
    args.rows, args.columns, args.each = PyArray_DIM(x, last - 1), PyArray_DIM(x, last), PyArray_ITEMSIZE(x)
    args.total = PyArray_SIZE(x) // args.columns
    args.diagonal = diagonal + (not upper)
    args.upper = upper
    args.task = max(1, NNRT_SHAPE_BYTES // (args.columns * args.each))
    args.work.bytes = 2.0 * PyArray_NBYTES(out)
    launch(table.triangle, &args, (args.total + args.task - 1) // args.task)


def convert(ndarray out, ndarray x):
    cdef nnrt_flat_args args
    cdef int way = 0 if PyArray_TYPE(out) == NPY_FLOAT16 and PyArray_TYPE(x) == NPY_FLOAT32 else 1
    if (
        table.half[way].name == NULL
        or (way == 1 and (PyArray_TYPE(out) != NPY_FLOAT32 or PyArray_TYPE(x) != NPY_FLOAT16))
        or PyArray_SIZE(out) != PyArray_SIZE(x)
        or not PyArray_IS_C_CONTIGUOUS(out)
        or not PyArray_IS_C_CONTIGUOUS(x)
        or not PyArray_ISALIGNED(x)
    ):
        _ref.convert(out, x)
        return
    memset(&args, 0, sizeof(args))
    args.out, args.x, args.bytes = <char *>PyArray_DATA(out), <const char *>PyArray_DATA(x), PyArray_NBYTES(out)
    args.work.bytes = 6.0 * PyArray_SIZE(out)
    launch(&table.half[way], &args, (PyArray_SIZE(out) + NNRT_SHAPE_TASK - 1) // NNRT_SHAPE_TASK)


def blocks(ndarray out, ndarray x, int64_t top, int64_t left):
    cdef nnrt_blocks_args args
    cdef int64_t pixel = PyArray_DIM(x, 3) * PyArray_ITEMSIZE(x)
    if PyArray_SIZE(out) == 0:
        return
    if not PyArray_IS_C_CONTIGUOUS(out) or not PyArray_IS_C_CONTIGUOUS(x):
        _ref.blocks(out, x, top, left)
        return
    memset(&args, 0, sizeof(args))
    args.out, args.x = <char *>PyArray_DATA(out), <const char *>PyArray_DATA(x)
    args.down, args.across, args.s = PyArray_DIM(out, 1), PyArray_DIM(out, 2), PyArray_DIM(out, 3)
    args.total, args.run = PyArray_DIM(out, 0) * args.down, args.s * pixel
    args.rows, args.wide, args.top, args.left = PyArray_DIM(x, 1), PyArray_DIM(x, 2) * pixel, top, left * pixel
    args.task = max(1, NNRT_SHAPE_BYTES // (args.across * args.s * args.run))
    args.work.bytes = PyArray_NBYTES(out) + PyArray_NBYTES(x)
    launch(table.blocks, &args, (args.total + args.task - 1) // args.task)
