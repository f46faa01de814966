"""Softmax and its relatives: drivers of csrc/softmax.c. See nnrt._ref.softmax for what each computes."""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_ITEMSIZE, PyArray_SIZE, ndarray

from nnrt._ext.runtime cimport dtype_code, isa_level, launch, nnrt_kernel, nnrt_work, span


cdef extern from "softmax.h" nogil:
    ctypedef struct nnrt_softmax_args:
        nnrt_work work
        void *y
        const void *x
        const void *dy
        const void *lse
        int64_t outer, n, inner
        int64_t blocks, cols, group
    ctypedef struct nnrt_softmax_table:
        nnrt_kernel softmax[2]
        nnrt_kernel softmax_backward[2]
        nnrt_kernel log_softmax[2]
        nnrt_kernel log_softmax_backward[2]
        nnrt_kernel logsumexp[2]
        nnrt_kernel logsumexp_backward[2]
    int64_t nnrt_softmax_cut(int64_t outer, int64_t n, int64_t inner, int64_t *blocks, int64_t *cols,
                             int64_t *group)
    const nnrt_softmax_table *nnrt_softmax(int isa)

cdef const nnrt_softmax_table *table = nnrt_softmax(isa_level())


cdef int run(const nnrt_kernel *kernels, ndarray y, ndarray x, ndarray dy, ndarray lse, double flops,
             int64_t outer, int64_t n, int64_t inner) except -1:
    cdef nnrt_softmax_args args
    cdef int64_t tasks
    if outer * inner == 0:
        return 0
    memset(&args.work, 0, sizeof(nnrt_work))
    args.work.flops = flops * PyArray_SIZE(x)
    args.work.bytes = (PyArray_SIZE(x) * (1.0 if dy is None else 2.0) + PyArray_SIZE(y)) * PyArray_ITEMSIZE(x)
    span(&args.work.out[0], y)
    args.y = PyArray_DATA(y)
    args.x = PyArray_DATA(x)
    args.dy = NULL if dy is None else PyArray_DATA(dy)
    args.lse = NULL if lse is None else PyArray_DATA(lse)
    args.outer = outer
    args.n = n
    args.inner = inner
    tasks = nnrt_softmax_cut(outer, n, inner, &args.blocks, &args.cols, &args.group)
    return launch(&kernels[dtype_code(x)], &args, tasks)


def softmax(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner):
    run(table.softmax, y, x, None, None, 15, outer, n, inner)


def softmax_backward(ndarray dx, ndarray dy, ndarray y, int64_t outer, int64_t n, int64_t inner):
    run(table.softmax_backward, dx, y, dy, None, 4, outer, n, inner)


def log_softmax(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner):
    run(table.log_softmax, y, x, None, None, 15, outer, n, inner)


def log_softmax_backward(ndarray dx, ndarray dy, ndarray y, int64_t outer, int64_t n, int64_t inner):
    run(table.log_softmax_backward, dx, y, dy, None, 15, outer, n, inner)


def logsumexp(ndarray y, ndarray x, int64_t outer, int64_t n, int64_t inner):
    run(table.logsumexp, y, x, None, None, 15, outer, n, inner)


def logsumexp_backward(ndarray dx, ndarray dy, ndarray x, ndarray y, int64_t outer, int64_t n, int64_t inner):
    run(table.logsumexp_backward, dx, x, dy, y, 14, outer, n, inner)
