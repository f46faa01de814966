# What the drivers in this package share: the launch seam, the level in use and arrays.

from cpython.object cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint64_t
from numpy cimport PyArray_DATA, ndarray


cdef extern from "nnrt.h" nogil:
    enum:
        NNRT_F32
        NNRT_F64
    ctypedef struct nnrt_kernel:
        const char *name
    ctypedef struct nnrt_span:
        const void *data
        int64_t count
        int32_t dtype
    ctypedef struct nnrt_work:
        double flops
        double bytes
        size_t scratch
        nnrt_span out[2]
        int (*nan)(const void *args) noexcept nogil


# Runs a kernel; releases the GIL when the work is worth it; raises MemoryError.
cdef int launch(const nnrt_kernel *kernel, const void *args, int64_t tasks) except -1
# The same from nogil code; -1 when scratch memory could not be had.
cdef int launch_nogil(const nnrt_kernel *kernel, const void *args, int64_t tasks) noexcept nogil
# Threads of the pool, for drivers whose tasks are ordered by who runs them; results must not depend on it.
cdef int pool_threads() noexcept nogil
# Blocks of the caching allocator, 64-byte aligned; NULL when memory is out.
cdef void *take(size_t bytes) noexcept nogil
cdef void give(void *block, size_t bytes) noexcept nogil
# The level chosen at import (NNRT_ISA or cpuid): the argument of nnrt_<family>(isa).
cdef int isa_level() noexcept nogil
# NNRT_F32 or NNRT_F64; TypeError for other dtypes.
cdef int dtype_code(ndarray a) except -1
# Whether a span holds a NaN.
cdef int has_nan(const nnrt_span *span) noexcept nogil
# Fills a span of the work header.
cdef void span(nnrt_span *out, ndarray a) noexcept


cdef inline void *data(ndarray a) noexcept:
    # The first element; NULL for None.
    return NULL if a is None else PyArray_DATA(a)


cdef inline int64_t ceil_div(int64_t a, int64_t b) noexcept nogil:
    return (a + b - 1) // b


# Uninitialised arrays in the allocator's memory, owned by the array.
cpdef ndarray empty(tuple shape, dtype)
cpdef ndarray empty_like(ndarray a)
cpdef ndarray zeros(tuple shape, dtype)
# Whether nothing but the caller's variable refers to an array and its memory.
cpdef bint lone(a) noexcept
# A copy in the memory order of a.
cpdef ndarray copy(ndarray a)
# [M, N] for the product of two matrices, or None.
cpdef ndarray empty_product(ndarray a, ndarray b)
# Whether shapes and dtypes are the same.
cpdef bint alike(ndarray a, ndarray b) noexcept
# a itself when its memory is filled in some order of the axes, else a C-ordered copy.
cpdef ndarray dense(ndarray a)
# a itself when C-contiguous, else a C-ordered copy.
cpdef ndarray contiguous(ndarray a)

# Channels-last memory as [N, D, H, W, C], or None, and back: views.
cpdef ndarray channels_last(ndarray a)
cpdef ndarray as_nchw(ndarray y, int nd)

# The array of a tensor that dies: kept for the next one of its shape where it is small and nobody else has it.
cdef void keep(PyObject *array) noexcept

# Whether the calling thread records on the tape; set returns the previous mode.
cpdef bint grad_enabled() noexcept
cpdef bint set_grad_enabled(bint on) noexcept
