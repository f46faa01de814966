"""Activations: drivers of csrc/activation.c. See nnrt._ref.activation for what each computes."""

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_ITEMSIZE, PyArray_SIZE, ndarray

from nnrt._ext.runtime cimport dtype_code, isa_level, launch, nnrt_kernel, nnrt_work, span


cdef extern from "activation.h" nogil:
    ctypedef struct nnrt_activation_args:
        nnrt_work work
        void *y
        const void *x
        const void *dy
        int64_t n
        double a
        double b
    ctypedef struct nnrt_activation_table:
        nnrt_kernel relu[2]
        nnrt_kernel relu_backward[2]
    int64_t NNRT_ACTIVATION_CHUNK
    const nnrt_activation_table *nnrt_activation(int isa)

cdef const nnrt_activation_table *table = nnrt_activation(isa_level())


cdef int run(const nnrt_kernel *kernels, ndarray y, ndarray x, ndarray dy, double flops,
             double a=0, double b=0) except -1:
    cdef nnrt_activation_args args
    cdef int64_t n = PyArray_SIZE(y)
    memset(&args.work, 0, sizeof(nnrt_work))
    args.work.flops = flops * n
    args.work.bytes = n * PyArray_ITEMSIZE(y) * (2 if dy is None else 3)
    span(&args.work.out[0], y)
    args.y = PyArray_DATA(y)
    args.x = PyArray_DATA(x)
    args.dy = NULL if dy is None else PyArray_DATA(dy)
    args.n = n
    args.a = a
    args.b = b
    return launch(&kernels[dtype_code(y)], &args, (n + NNRT_ACTIVATION_CHUNK - 1) // NNRT_ACTIVATION_CHUNK)


def relu(ndarray y, ndarray x):
    run(table.relu, y, x, None, 1)


def relu_backward(ndarray dx, ndarray dy, ndarray y):
    run(table.relu_backward, dx, y, dy, 1)
