"""Optimiser steps: drivers of csrc/optim.c. See nnrt._ref.optim for what each computes.

A driver writes one table of pointers and sizes, on the stack for up to 64 tensors, and
launches once. Reading five arrays' pointers takes about 15 ns, so the table is not kept.
"""

from libc.math cimport pow, sqrt
from libc.stdint cimport int64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memset
from numpy cimport NPY_ARRAY_ALIGNED, NPY_ARRAY_C_CONTIGUOUS, NPY_FLOAT32, NPY_FLOAT64
from numpy cimport (
    PyArray_CHKFLAGS, PyArray_DATA, PyArray_DIM, PyArray_ITEMSIZE, PyArray_NDIM, PyArray_SIZE, PyArray_STRIDE,
    PyArray_TYPE, ndarray,
)

from nnrt._ext.runtime cimport (
    dense, dtype_code, has_nan, isa_level, launch, nnrt_kernel, nnrt_span, nnrt_work, span,
)


cdef extern from "optim.h" nogil:
    ctypedef struct nnrt_optim_tensor:
        int64_t start
        int64_t n
        void *p
        void *s[3]
        const void *g
    ctypedef struct nnrt_optim_args:
        nnrt_work work
        const nnrt_optim_tensor *tensors
        int64_t count
        int64_t elements
        double lr
        double decay
        double shrink
        double a
        double b
        double c
        double d
        double eps
        int sign
        int variant
        double *partials
    ctypedef struct nnrt_optim_rows_args:
        nnrt_work work
        void *p
        void *m
        void *v
        const int64_t *rows
        const void *g
        int64_t count
        int64_t width
        int64_t block
        double lr
        double a
        double b
        double eps
        int sign
    ctypedef struct nnrt_optim_table:
        nnrt_kernel sgd[2]
        nnrt_kernel adam[2]
        nnrt_kernel nadam[2]
        nnrt_kernel radam[2]
        nnrt_kernel adamax[2]
        nnrt_kernel adagrad[2]
        nnrt_kernel adadelta[2]
        nnrt_kernel rmsprop[2]
        nnrt_kernel rprop[2]
        nnrt_kernel asgd[2]
        nnrt_kernel sparse_adam[2]
        nnrt_kernel grad_norm[2]
        nnrt_kernel scale[2]
        nnrt_kernel clamp[2]
    enum:
        NNRT_OPTIM_ALIGN
        NNRT_OPTIM_CHUNK
    const nnrt_optim_table *nnrt_optim(int isa)

cdef const nnrt_optim_table *table = nnrt_optim(isa_level())

CHUNK = NNRT_OPTIM_CHUNK


cdef bint like(ndarray p, ndarray a):
    cdef int i, nd = PyArray_NDIM(p)
    if PyArray_TYPE(a) != PyArray_TYPE(p) or PyArray_NDIM(a) != nd:
        return False
    for i in range(nd):
        if PyArray_DIM(a, i) != PyArray_DIM(p, i):
            return False
    if PyArray_CHKFLAGS(p, NPY_ARRAY_C_CONTIGUOUS) and PyArray_CHKFLAGS(a, NPY_ARRAY_C_CONTIGUOUS):
        return PyArray_CHKFLAGS(a, NPY_ARRAY_ALIGNED)
    for i in range(nd):
        if PyArray_STRIDE(a, i) != PyArray_STRIDE(p, i):
            return False
    return PyArray_CHKFLAGS(a, NPY_ARRAY_ALIGNED)


def matching(list params, *others):
    cdef list arrays
    cdef Py_ssize_t i
    cdef ndarray p, first
    for i in range(len(params)):
        p = params[i]
        first = params[0]
        if PyArray_TYPE(p) != NPY_FLOAT32 and PyArray_TYPE(p) != NPY_FLOAT64:
            return False
        if PyArray_TYPE(p) != PyArray_TYPE(first) or dense(p) is not p:
            return False
        for arrays in others:
            if arrays is not None and not like(p, arrays[i]):
                return False
    return True


cdef void *data(list arrays, Py_ssize_t i) except? NULL:
    return NULL if arrays is None else PyArray_DATA(<ndarray?>arrays[i])


cdef void constants(nnrt_optim_args *q, double lr, double weight_decay, bint decoupled, bint maximize) noexcept:
    memset(q, 0, sizeof(nnrt_optim_args))
    q.lr = lr
    q.decay = 0 if decoupled else weight_decay
    q.shrink = 1 - lr * weight_decay if decoupled else 1
    q.sign = -1 if maximize else 1


cdef int any_nan(const void *args) noexcept nogil:
    cdef const nnrt_optim_args *q = <const nnrt_optim_args *>args
    cdef nnrt_span part
    cdef int64_t i
    cdef int j
    part.dtype = q.work.out[0].dtype
    for i in range(q.count):
        part.count = q.tensors[i].n
        for j in range(4):
            part.data = q.tensors[i].p if j == 0 else q.tensors[i].s[j - 1]
            if part.data != NULL and has_nan(&part):
                return 1
    return 0


# flops are per element; align is where tensors begin in the numbering.
cdef int run(const nnrt_kernel *kernels, nnrt_optim_args *q, list p, list s0, list s1, list s2, list g,
             double flops, int64_t align=NNRT_OPTIM_ALIGN) except -1:
    cdef nnrt_optim_tensor few[64]
    cdef nnrt_optim_tensor *tensors = few
    cdef list leading = g if p is None else p
    cdef Py_ssize_t i, count = len(leading)
    cdef int64_t start = 0, elements = 0
    cdef int streams = 0
    cdef ndarray a
    if count == 0:
        return 0
    if count > 64:
        tensors = <nnrt_optim_tensor *>malloc(count * sizeof(nnrt_optim_tensor))
        if tensors == NULL:
            raise MemoryError("optim: no memory for the table of tensors")
    try:
        for i in range(count):
            a = leading[i]
            tensors[i].start = start
            tensors[i].n = PyArray_SIZE(a)
            tensors[i].p = data(p, i)
            tensors[i].s[0] = data(s0, i)
            tensors[i].s[1] = data(s1, i)
            tensors[i].s[2] = data(s2, i)
            tensors[i].g = data(g, i)
            elements += tensors[i].n
            start += (tensors[i].n + align - 1) // align * align
        streams = 2 * ((p is not None) + (s0 is not None) + (s1 is not None) + (s2 is not None)) + (g is not None)
        q.work.flops = flops * elements
        q.work.bytes = <double>streams * elements * PyArray_ITEMSIZE(a)
        q.tensors = tensors
        q.count = count
        q.elements = start
        q.work.out[0].dtype = dtype_code(a)
        if p is not None:
            q.work.nan = any_nan
        launch(&kernels[dtype_code(leading[0])], q, (start + NNRT_OPTIM_CHUNK - 1) // NNRT_OPTIM_CHUNK)
    finally:
        if tensors != few:
            free(tensors)
    return 0


def sgd(list params, list buffers, list grads, bint first, double lr, double momentum, double dampening,
        bint nesterov, double weight_decay, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, lr, weight_decay, False, maximize)
    q.a = momentum
    q.b = 1 - dampening
    q.variant = 0 if buffers is None else (4 if first else 2) + nesterov
    run(table.sgd, &q, params, buffers, None, None, grads, 6)


def adam(list params, list exp_avgs, list exp_avg_sqs, list max_exp_avg_sqs, list grads, double step, double lr,
         double beta1, double beta2, double eps, double weight_decay, bint decoupled, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, lr, weight_decay, decoupled, maximize)
    q.lr = lr / (1 - pow(beta1, step))
    q.a = 1 - beta1
    q.b = beta2
    q.c = 1 - beta2
    q.d = 1 / sqrt(1 - pow(beta2, step))
    q.eps = eps
    q.variant = max_exp_avg_sqs is not None
    run(table.adam, &q, params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, grads, 12)


def nadam(list params, list exp_avgs, list exp_avg_sqs, list grads, double step, double mu, double mu_next,
          double mu_product, double lr, double beta1, double beta2, double eps, double weight_decay,
          bint decoupled, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, lr, weight_decay, decoupled, maximize)
    q.lr = lr * mu_next / (1 - mu_product * mu_next)
    q.a = 1 - beta1
    q.b = beta2
    q.c = lr * (1 - mu) / (1 - mu_product)
    q.d = 1 / sqrt(1 - pow(beta2, step))
    q.eps = eps
    run(table.nadam, &q, params, exp_avgs, exp_avg_sqs, None, grads, 14)


def radam(list params, list exp_avgs, list exp_avg_sqs, list grads, double step, double lr, double beta1,
          double beta2, double eps, double weight_decay, bint decoupled, bint maximize):
    cdef nnrt_optim_args q
    cdef double end = 2 / (1 - beta2) - 1
    cdef double correction = 1 - pow(beta2, step)
    cdef double rho = end - 2 * step * pow(beta2, step) / correction
    constants(&q, lr, weight_decay, decoupled, maximize)
    q.lr = lr / (1 - pow(beta1, step))
    q.a = 1 - beta1
    q.b = beta2
    q.c = 1 - beta2
    q.eps = eps
    q.variant = rho > 5
    if rho > 5:
        q.lr *= sqrt((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho)) * sqrt(correction)
    run(table.radam, &q, params, exp_avgs, exp_avg_sqs, None, grads, 11)


def adamax(list params, list exp_avgs, list exp_infs, list grads, double step, double lr, double beta1,
           double beta2, double eps, double weight_decay, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, lr, weight_decay, False, maximize)
    q.lr = lr / (1 - pow(beta1, step))
    q.a = 1 - beta1
    q.b = beta2
    q.eps = eps
    run(table.adamax, &q, params, exp_avgs, exp_infs, None, grads, 9)


def adagrad(list params, list sums, list grads, double step, double lr, double lr_decay, double eps,
            double weight_decay, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, lr, weight_decay, False, maximize)
    q.lr = lr / (1 + (step - 1) * lr_decay)
    q.eps = eps
    run(table.adagrad, &q, params, sums, None, None, grads, 7)


def adadelta(list params, list square_avgs, list acc_deltas, list grads, double lr, double rho, double eps,
             double weight_decay, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, lr, weight_decay, False, maximize)
    q.a = rho
    q.b = 1 - rho
    q.eps = eps
    run(table.adadelta, &q, params, square_avgs, acc_deltas, None, grads, 14)


def rmsprop(list params, list square_avgs, list grad_avgs, list buffers, list grads, double lr, double alpha,
            double eps, double weight_decay, double momentum, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, lr, weight_decay, False, maximize)
    q.a = alpha
    q.b = 1 - alpha
    q.c = momentum
    q.eps = eps
    q.variant = (grad_avgs is not None) + 2 * (buffers is not None)
    run(table.rmsprop, &q, params, square_avgs, grad_avgs, buffers, grads, 14)


def rprop(list params, list prevs, list step_sizes, list grads, double etaminus, double etaplus, double low,
          double high, bint maximize):
    cdef nnrt_optim_args q
    constants(&q, 0, 0, False, maximize)
    q.a = etaminus
    q.b = etaplus
    q.c = low
    q.d = high
    run(table.rprop, &q, params, prevs, step_sizes, None, grads, 12)


def asgd(list params, list averages, list grads, double eta, double mu, double lambd, double weight_decay,
         bint maximize):
    cdef nnrt_optim_args q
    constants(&q, eta, weight_decay, False, maximize)
    q.a = mu
    q.c = 1 - lambd * eta
    q.variant = mu == 1
    run(table.asgd, &q, params, averages, None, None, grads, 8)


def sparse_adam(ndarray param, ndarray exp_avg, ndarray exp_avg_sq, ndarray rows, ndarray values, double step,
                double lr, double beta1, double beta2, double eps, bint maximize):
    cdef nnrt_optim_rows_args q
    memset(&q, 0, sizeof(q))
    q.p = PyArray_DATA(param)
    q.m = PyArray_DATA(exp_avg)
    q.v = PyArray_DATA(exp_avg_sq)
    q.rows = <const int64_t *>PyArray_DATA(rows)
    q.g = PyArray_DATA(values)
    q.count = PyArray_SIZE(rows)
    if q.count == 0:
        return
    q.width = PyArray_SIZE(values) // q.count
    if q.width == 0:
        return
    q.block = max(1, NNRT_OPTIM_CHUNK // q.width)
    q.lr = lr * sqrt(1 - pow(beta2, step)) / (1 - pow(beta1, step))
    q.a = 1 - beta1
    q.b = 1 - beta2
    q.eps = eps
    q.sign = -1 if maximize else 1
    q.work.flops = 12.0 * PyArray_SIZE(values)
    q.work.bytes = 7.0 * PyArray_SIZE(values) * PyArray_ITEMSIZE(values)
    span(&q.work.out[0], param)
    launch(&table.sparse_adam[dtype_code(param)], &q, (q.count + q.block - 1) // q.block)


def grad_norm(ndarray partials, list grads, double order):
    cdef nnrt_optim_args q
    constants(&q, 0, 0, False, False)
    q.a = order
    q.partials = <double *>PyArray_DATA(partials)
    span(&q.work.out[1], partials)
    run(table.grad_norm, &q, None, None, None, None, grads, 2, NNRT_OPTIM_CHUNK)


def scale(list grads, double factor):
    cdef nnrt_optim_args q
    constants(&q, 0, 0, False, False)
    q.a = factor
    run(table.scale, &q, grads, None, None, None, None, 1)


def clamp(list grads, double low, double high):
    cdef nnrt_optim_args q
    constants(&q, 0, 0, False, False)
    q.c = low
    q.d = high
    run(table.clamp, &q, grads, None, None, None, None, 2)
