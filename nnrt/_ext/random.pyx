"""Random numbers: drivers of csrc/random.c. See nnrt._ref.random for the streams."""

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, PyArray_NBYTES, PyArray_SIZE, ndarray

from nnrt._ext.runtime cimport dtype_code, isa_level, launch, nnrt_kernel, nnrt_work, span


cdef extern from "random.h":
    ctypedef struct nnrt_random_args:
        nnrt_work work
        void *out
        uint8_t *mask
        const void *x
        int64_t n
        uint64_t seed
        uint64_t offset
        uint64_t below
        uint64_t span
        int64_t low
        double scale
    ctypedef struct nnrt_random_table:
        nnrt_kernel uniform[2]
        nnrt_kernel normal[2]
        nnrt_kernel bernoulli[2]
        nnrt_kernel dropout_forward[2]
        nnrt_kernel dropout_backward[2]
        nnrt_kernel integers[1]
        nnrt_kernel permutation[1]
    int64_t NNRT_RANDOM_CHUNK
    const nnrt_random_table *nnrt_random(int isa)

cdef const nnrt_random_table *table = nnrt_random(isa_level())


cdef void fill(nnrt_random_args *args, ndarray out, uint64_t seed, uint64_t offset) noexcept:
    memset(args, 0, sizeof(nnrt_random_args))
    args.out = PyArray_DATA(out)
    args.n = PyArray_SIZE(out)
    args.seed = seed
    args.offset = offset
    args.work.flops = 30 * <double>args.n  # ten rounds for four words; what the GIL's release goes by
    args.work.bytes = PyArray_NBYTES(out)
    span(&args.work.out[0], out)


cdef int run(const nnrt_kernel *kernel, nnrt_random_args *args) except -1:
    return launch(kernel, args, (args.n + NNRT_RANDOM_CHUNK - 1) // NNRT_RANDOM_CHUNK)


cdef uint64_t below(double p) noexcept:
    return <uint64_t>(p * 4294967296.0 + 0.5)


def uniform(ndarray out, uint64_t seed, uint64_t offset):
    cdef nnrt_random_args args
    fill(&args, out, seed, offset)
    run(&table.uniform[dtype_code(out)], &args)


def normal(ndarray out, uint64_t seed, uint64_t offset):
    cdef nnrt_random_args args
    fill(&args, out, seed, offset)
    args.work.flops = 200 * <double>args.n
    run(&table.normal[dtype_code(out)], &args)


def integers(ndarray out, low, high, uint64_t seed, uint64_t offset):
    cdef nnrt_random_args args
    fill(&args, out, seed, offset)
    args.low = low
    args.span = (high - low) & 0xFFFFFFFFFFFFFFFF
    run(&table.integers[0], &args)


def permutation(ndarray out, ndarray u):
    cdef nnrt_random_args args
    fill(&args, out, 0, 0)
    args.x = PyArray_DATA(u)
    launch(&table.permutation[0], &args, 1)


def bernoulli(ndarray out, double p, uint64_t seed, uint64_t offset):
    cdef nnrt_random_args args
    fill(&args, out, seed, offset)
    args.below = below(p)
    run(&table.bernoulli[dtype_code(out)], &args)


def dropout_forward(ndarray y, ndarray mask, ndarray x, double p, uint64_t seed, uint64_t offset):
    cdef nnrt_random_args args
    fill(&args, y, seed, offset)
    args.mask = <uint8_t *>PyArray_DATA(mask)
    args.x = PyArray_DATA(x)
    args.below = below(p)
    args.scale = 1 / (1 - p) if p < 1 else 0
    args.work.bytes = 2 * PyArray_NBYTES(y) + args.n
    run(&table.dropout_forward[dtype_code(y)], &args)


def dropout_backward(ndarray dx, ndarray mask, ndarray dy, double p):
    cdef nnrt_random_args args
    fill(&args, dx, 0, 0)
    args.mask = <uint8_t *>PyArray_DATA(mask)
    args.x = PyArray_DATA(dy)
    args.scale = 1 / (1 - p) if p < 1 else 0
    args.work.flops = <double>args.n
    args.work.bytes = 2 * PyArray_NBYTES(dx) + args.n
    run(&table.dropout_backward[dtype_code(dx)], &args)
