"""Scans: drivers of csrc/scan.c. See nnrt._ref.scan for what each computes."""

from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset
from numpy cimport (
    PyArray_BYTES, PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_NBYTES, PyArray_SIZE, PyArray_STRIDE, ndarray,
)

from nnrt._ext.runtime cimport (
    data, dtype_code, empty, isa_level, launch, nnrt_kernel, nnrt_span, nnrt_work, span, zeros,
)


cdef extern from "scan.h" nogil:
    enum:
        NNRT_SCAN_BLOCK
        NNRT_SCAN_TASK
        NNRT_SCAN_TASKS
        NNRT_SCAN_FEW
        NNRT_SCAN_LONG
        NNRT_SCAN_CHUNKS
    ctypedef struct nnrt_sequence:
        void *data
        int64_t t, b
    ctypedef struct nnrt_scan_args:
        nnrt_work work
        nnrt_sequence h, c, f, x, a, mask
        nnrt_sequence dh, df, dx, da
        const void *v
        const void *b
        const void *before
        void *carry
        void *product
        double *dv
        int64_t steps, rows, cols, chunks, length, block, blocks, group, units
        double keep, scale
    ctypedef struct nnrt_scan_table:
        nnrt_kernel scan[2]
        nnrt_kernel scan_backward[2]
        nnrt_kernel ends[2]
        nnrt_kernel ends_backward[2]
        nnrt_kernel chain[2]
        nnrt_kernel qrnn[2]
        nnrt_kernel qrnn_backward[2]
        nnrt_kernel sru[2]
        nnrt_kernel sru_backward[2]
    const nnrt_scan_table *nnrt_scan(int isa)

cdef const nnrt_scan_table *table = nnrt_scan(isa_level())


cdef void read(nnrt_sequence *out, ndarray a) noexcept:
    if a is not None:
        out.data = PyArray_DATA(a)
        # of states that are not all kept: each in the place of the one before
        out.t = 0 if PyArray_DIM(a, 0) == 1 else PyArray_STRIDE(a, 0) // PyArray_ITEMSIZE(a)
        out.b = PyArray_STRIDE(a, 1) // PyArray_ITEMSIZE(a)


cdef void write(nnrt_sequence *out, nnrt_span *checked, ndarray a) noexcept:
    """An output, whose memory has no gaps; the check starts where it does."""
    if a is not None:
        read(out, a)
        span(checked, a)
        if out.t < 0 and PyArray_SIZE(a):
            checked.data = PyArray_BYTES(a) + (PyArray_DIM(a, 0) - 1) * PyArray_STRIDE(a, 0)


cdef void begin(ndarray state, ndarray a) noexcept:
    """state = a, or zeros"""
    if a is None:
        memset(PyArray_DATA(state), 0, PyArray_NBYTES(state))
    else:
        memcpy(PyArray_DATA(state), PyArray_DATA(a), PyArray_NBYTES(state))


cdef int run(const nnrt_kernel *kernels, nnrt_scan_args *args, ndarray like, int arrays, int flops) except -1:
    """Cuts like [T, B, C] into tasks and launches. arrays, flops: read and written, and done, per element."""
    args.steps, args.rows, args.cols = PyArray_DIM(like, 0), PyArray_DIM(like, 1), PyArray_DIM(like, 2)
    if PyArray_SIZE(like) == 0:
        return 0
    args.chunks = max(1, args.chunks)
    args.length = args.steps // args.chunks
    args.block = min(args.cols, NNRT_SCAN_BLOCK)
    args.blocks = (args.cols + args.block - 1) // args.block
    args.units = args.chunks * args.rows * args.blocks
    cdef int64_t columns = max(NNRT_SCAN_TASK, min(args.rows * args.cols // NNRT_SCAN_TASKS, NNRT_SCAN_TASKS * NNRT_SCAN_TASK))
    args.group = 1 if args.chunks > 1 else max(1, columns // args.block)
    args.work.flops = <double>PyArray_SIZE(like) * flops
    args.work.bytes = <double>PyArray_NBYTES(like) * arrays
    return launch(&kernels[dtype_code(like)], args, (args.units + args.group - 1) // args.group)


cdef ndarray chunked(const nnrt_kernel *ends, nnrt_scan_args *args, ndarray like):
    """Where few columns are to be scanned for long, cuts time into chunks: what each begins with; else None.

    Each chunk is scanned from 0 for what it ends with, and once more after these were chained.
    """
    cdef ndarray carry, product
    cdef int64_t steps = PyArray_DIM(like, 0), columns = PyArray_DIM(like, 1) * PyArray_DIM(like, 2)
    if columns >= NNRT_SCAN_FEW or steps < 2 * NNRT_SCAN_LONG:
        return None
    args.chunks = min(steps // NNRT_SCAN_LONG, NNRT_SCAN_CHUNKS)
    carry, product = zeros((args.chunks, columns), like.dtype), empty((args.chunks, columns), like.dtype)
    product.fill(1)
    args.carry, args.product = PyArray_DATA(carry), PyArray_DATA(product)
    run(ends, args, like, 2, 3)
    if PyArray_SIZE(like):
        launch(&table.chain[dtype_code(like)], args, 1)
    return carry


def scan(ndarray h, ndarray f, ndarray x, ndarray h0):
    cdef nnrt_scan_args args
    cdef ndarray starts
    memset(&args, 0, sizeof(args))
    read(&args.f, f)
    read(&args.x, x)
    args.before = data(h0)
    starts = chunked(table.ends, &args, h)
    if starts is not None:
        args.before = PyArray_DATA(starts)
    write(&args.h, &args.work.out[0], h)
    run(table.scan, &args, h, 3, 2)


def scan_backward(ndarray dx, ndarray df, ndarray dh0, ndarray dh, ndarray f, ndarray h, ndarray h0):
    cdef nnrt_scan_args args
    cdef ndarray starts
    memset(&args, 0, sizeof(args))
    read(&args.dh, dh)
    read(&args.f, f)
    starts = chunked(table.ends_backward, &args, dx)
    begin(dh0, None)
    if starts is None:
        args.carry = PyArray_DATA(dh0)
    args.before = data(h0)
    read(&args.h, h)
    write(&args.dx, &args.work.out[0], dx)
    write(&args.df, &args.work.out[1], df)
    run(table.scan_backward, &args, dx, 5, 3)
    if starts is not None:
        begin(dh0, starts)


def qrnn(ndarray h, ndarray c, ndarray a, ndarray c0, ndarray mask, double keep):
    cdef nnrt_scan_args args
    memset(&args, 0, sizeof(args))
    read(&args.a, a)
    read(&args.mask, mask)
    args.before = data(c0)
    args.keep = keep
    write(&args.c, &args.work.out[0], c)
    write(&args.h, &args.work.out[1], h)
    cdef int kept = PyArray_DIM(c, 0) == PyArray_DIM(a, 0), gated = h is not None
    run(table.qrnn, &args, h if gated else c, 2 + 2 * gated + kept + (mask is not None), 40 + 20 * gated)


def qrnn_backward(ndarray da, ndarray dc0, ndarray dh, ndarray dc, ndarray a, ndarray c, ndarray c0, ndarray mask, double keep):
    cdef nnrt_scan_args args
    cdef int gates = PyArray_DIM(a, 2) // max(1, PyArray_DIM(c, 2))
    memset(&args, 0, sizeof(args))
    read(&args.a, a)
    read(&args.c, c)
    read(&args.dh, dh)
    read(&args.mask, mask)
    if gates == 3:
        read(&args.h, c)
    args.before = data(c0)
    args.keep = keep
    begin(dc0, dc)
    args.carry = PyArray_DATA(dc0)
    write(&args.da, &args.work.out[0], da)
    span(&args.work.out[1], dc0)
    run(table.qrnn_backward, &args, c, 2 * gates + 2 + (mask is not None), 25 * gates)


def sru(ndarray h, ndarray c, ndarray u, ndarray x, ndarray v, ndarray b, ndarray c0, double scale):
    cdef nnrt_scan_args args
    memset(&args, 0, sizeof(args))
    read(&args.a, u)
    read(&args.x, x)
    args.v, args.b, args.before = PyArray_DATA(v), PyArray_DATA(b), data(c0)
    args.scale = scale
    write(&args.h, &args.work.out[0], h)
    write(&args.c, &args.work.out[1], c)
    run(table.sru, &args, h, 5 + (PyArray_DIM(c, 0) == PyArray_DIM(h, 0)), 50)


def sru_backward(ndarray du, ndarray dx, ndarray dv, ndarray dc0, ndarray dh, ndarray dc, ndarray u, ndarray x, ndarray v,
                 ndarray b, ndarray c, ndarray c0, double scale):
    cdef nnrt_scan_args args
    shape = (2, PyArray_DIM(c, 1), PyArray_DIM(c, 2))
    cdef ndarray sums = zeros(shape, "d"), some = zeros(shape, c.dtype)
    memset(&args, 0, sizeof(args))
    read(&args.a, u)
    read(&args.x, x)
    read(&args.c, c)
    read(&args.dh, dh)
    args.v, args.b, args.before = PyArray_DATA(v), PyArray_DATA(b), data(c0)
    args.scale = scale
    args.dv, args.product = <double *>PyArray_DATA(sums), PyArray_DATA(some)
    begin(dc0, dc)
    args.carry = PyArray_DATA(dc0)
    write(&args.da, &args.work.out[0], du)
    write(&args.dx, &args.work.out[1], dx)
    run(table.sru_backward, &args, c, 10, 70)
    dv[:] = sums.sum(1).ravel()
