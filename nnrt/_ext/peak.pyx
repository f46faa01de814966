"""The machine's measured limits: the yardsticks of the benchmark."""

import time

from libc.stdint cimport int64_t
from libc.string cimport memset
from numpy cimport PyArray_DATA, ndarray

from nnrt._ext.runtime cimport dtype_code, empty, isa_level, launch, nnrt_kernel, nnrt_work


cdef extern from "peak.h" nogil:
    ctypedef struct nnrt_peak_args:
        nnrt_work work
        int64_t rounds
        void *y
        const void *x
        int64_t n
    ctypedef struct nnrt_peak_table:
        nnrt_kernel fma[2]
        nnrt_kernel copy
        int64_t flops_per_round[2]
    int64_t NNRT_PEAK_CHUNK
    const nnrt_peak_table *nnrt_peak(int isa)

cdef const nnrt_peak_table *table = nnrt_peak(isa_level())


def fma_rate(dtype, int64_t threads, int64_t rounds=2_000_000):
    """FLOP/s of independent fused multiply-adds on registers, with one task per thread."""
    cdef nnrt_peak_args args
    cdef ndarray y = empty((threads,), dtype)
    cdef int code = dtype_code(y)
    memset(&args, 0, sizeof(args))
    args.work.flops = <double>rounds * threads * table.flops_per_round[code]
    args.y = PyArray_DATA(y)
    args.rounds = rounds
    start = time.perf_counter()
    launch(&table.fma[code], &args, threads)
    return args.work.flops / (time.perf_counter() - start)


def copy_rate(ndarray y, ndarray x):
    """Bytes per second, read and written, of copying x to y; both contiguous and of one size."""
    cdef nnrt_peak_args args
    if x.nbytes != y.nbytes or not (x.flags.c_contiguous and y.flags.c_contiguous):
        raise ValueError("copy_rate: wants two contiguous arrays of one size")
    memset(&args, 0, sizeof(args))
    args.y = PyArray_DATA(y)
    args.x = PyArray_DATA(x)
    args.n = x.nbytes
    args.work.bytes = 2.0 * args.n
    start = time.perf_counter()
    launch(&table.copy, &args, (args.n + NNRT_PEAK_CHUNK - 1) // NNRT_PEAK_CHUNK)
    return args.work.bytes / (time.perf_counter() - start)
