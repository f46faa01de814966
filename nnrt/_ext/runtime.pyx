"""The native runtime: launches, thread count, arrays in cached memory, CPU level.

The instruction set level is chosen once, when this module is imported, from NNRT_ISA
(through nnrt.config) or the best one the CPU has. It cannot be changed afterwards.
"""

cimport numpy as cnp
from numpy cimport ndarray

from nnrt import config

cnp.import_array()


cdef extern from "nnrt.h" nogil:
    int nnrt_launch(const nnrt_kernel *kernel, const void *args, int64_t tasks)

cdef extern from "pool.h" nogil:
    ctypedef struct nnrt_event:
        const char *name
        int64_t start_ns
        int64_t stop_ns
        int64_t tasks
        double flops
        double bytes
        uint64_t thread
    void nnrt_set_threads(int threads)
    int nnrt_get_threads()
    void nnrt_profile(int on)
    int64_t nnrt_profile_take(nnrt_event *events, int64_t room, int64_t *lost)
    void nnrt_check_nan(int on)
    const char *nnrt_nan_kernel()

cdef extern from "memory.h" nogil:
    ctypedef struct nnrt_memory_stats:
        int64_t allocated
        int64_t peak_allocated
        int64_t cached
        int64_t limit
        int64_t hits
        int64_t misses
    void *nnrt_alloc(size_t bytes)
    void nnrt_free(void *block, size_t bytes)
    void nnrt_memory_get(nnrt_memory_stats *stats)
    void nnrt_memory_reset_peak()
    void nnrt_memory_set_limit(int64_t bytes)
    void nnrt_memory_empty()

cdef extern from "cpu.h" nogil:
    unsigned nnrt_cpu_levels()
    const char *nnrt_cpu_level_name(int level)
    const char *nnrt_cpu_brand()
    long nnrt_cpu_cache(int level)

cdef extern from "array.h":
    int nnrt_np_init() except -1
    ndarray nnrt_np_new(cnp.dtype descr, int nd, const cnp.npy_intp *dims, const cnp.npy_intp *strides, int zero)
    ndarray nnrt_np_like(ndarray a)
    int nnrt_np_dense(ndarray a)
    ndarray nnrt_np_copy(ndarray a)

cdef extern from *:
    """
    static __thread int nnrt_no_grad; /* zero, the default of a new thread, means enabled */
    """
    int nnrt_no_grad

nnrt_np_init()


# ---- launching ----

# Work below this does not pay for giving the GIL away and taking it back: 20 us, at
# 100 GFLOP/s and 20 GB/s of one core.
cdef double GIL_NS = 20e3


cdef int launch(const nnrt_kernel *kernel, const void *args, int64_t tasks) except -1:
    cdef const nnrt_work *work = <const nnrt_work *>args
    cdef int rc
    if tasks > 1 or work.flops * 0.01 + work.bytes * 0.05 > GIL_NS:
        with nogil:
            rc = nnrt_launch(kernel, args, tasks)
    else:
        rc = nnrt_launch(kernel, args, tasks)
    if rc != 0:
        raise MemoryError(f"{kernel.name.decode()}: no memory for {work.scratch} bytes of scratch per thread")
    return 0


cdef int launch_nogil(const nnrt_kernel *kernel, const void *args, int64_t tasks) noexcept nogil:
    return nnrt_launch(kernel, args, tasks)


cdef void *take(size_t bytes) noexcept nogil:
    return nnrt_alloc(bytes)


cdef void give(void *block, size_t bytes) noexcept nogil:
    nnrt_free(block, bytes)


cdef int dtype_code(ndarray a) except -1:
    cdef int num = cnp.PyArray_TYPE(a)
    if num == cnp.NPY_FLOAT32:
        return NNRT_F32
    if num == cnp.NPY_FLOAT64:
        return NNRT_F64
    raise TypeError(f"kernels work on float32 and float64, not {a.dtype}")


cdef void span(nnrt_span *out, ndarray a) noexcept:
    cdef int num = cnp.PyArray_TYPE(a)
    out.data = cnp.PyArray_DATA(a)
    out.count = cnp.PyArray_SIZE(a)
    out.dtype = NNRT_F32 if num == cnp.NPY_FLOAT32 else NNRT_F64 if num == cnp.NPY_FLOAT64 else -1


def set_num_threads(int threads):
    """Threads a launch may use, the caller's own included; ValueError below 1."""
    if threads < 1:
        raise ValueError(f"set_num_threads: wanted at least 1, got {threads}")
    nnrt_set_threads(threads)


def get_num_threads():
    """Threads a launch may use, the caller's own included."""
    return nnrt_get_threads()


# ---- profiler and NaN check ----

def profile_start():
    """Starts recording launches."""
    nnrt_profile(1)


def check_nan(bint on):
    """Looks for NaN in what each launch wrote, while on."""
    nnrt_check_nan(on)


def nan_kernel():
    """Name of the first kernel that wrote a NaN on this thread since the last call, or None."""
    cdef const char *name = nnrt_nan_kernel()
    return None if name == NULL else name.decode()


# ---- memory ----

cpdef ndarray empty(tuple shape, dtype):
    """Uninitialised C-ordered array in cached memory. dtype: anything np.dtype takes."""
    return _new(shape, dtype, 0)


cpdef ndarray zeros(tuple shape, dtype):
    """Zero-filled C-ordered array in cached memory."""
    return _new(shape, dtype, 1)


cdef ndarray _new(tuple shape, dtype, int zero):
    cdef cnp.npy_intp dims[64]
    cdef int i, nd = <int>len(shape)
    if nd > 32:
        raise ValueError(f"empty: at most 32 dimensions, got {nd}")
    try:
        for i in range(nd):
            dims[i] = shape[i]
    except OverflowError:
        raise ValueError(f"empty: shape {shape} has more elements than can be addressed") from None
    return nnrt_np_new(dtype if type(dtype) is cnp.dtype else cnp.dtype(dtype), nd, dims, NULL, zero)


cpdef ndarray empty_like(ndarray a):
    """Uninitialised array of a's shape, dtype and memory order (numpy's order K)."""
    return nnrt_np_like(a)


cpdef ndarray dense(ndarray a):
    """a itself when its memory is filled without gaps in some order of the axes, else a C-ordered copy."""
    return a if nnrt_np_dense(a) else nnrt_np_copy(a)


cpdef ndarray contiguous(ndarray a):
    """a itself when C-contiguous (and aligned), else a C-ordered copy."""
    return a if cnp.PyArray_ISCARRAY_RO(a) else nnrt_np_copy(a)


def memory_stats():
    """Counters of the allocator, in bytes and calls."""
    cdef nnrt_memory_stats s
    nnrt_memory_get(&s)
    return s


def empty_cache():
    """Gives all cached blocks back to the system."""
    nnrt_memory_empty()


def reset_peak():
    """Sets peak_allocated to what is in use now."""
    nnrt_memory_reset_peak()


def set_cache_limit(int64_t bytes):
    """Most bytes kept for reuse; evicts down to it."""
    if bytes < 0:
        raise ValueError(f"set_cache_limit: wanted bytes >= 0, got {bytes}")
    nnrt_memory_set_limit(bytes)


# ---- grad mode ----

cpdef bint grad_enabled() noexcept:
    """Does this thread record on the tape?"""
    return not nnrt_no_grad


cpdef bint set_grad_enabled(bint on) noexcept:
    """Sets the grad mode of this thread and returns the previous one."""
    global nnrt_no_grad
    cdef bint before = not nnrt_no_grad
    nnrt_no_grad = not on
    return before


# ---- CPU ----

cdef int _level


def available_isas():
    """Names of the levels this CPU can run, lowest first."""
    cdef unsigned levels = nnrt_cpu_levels()
    return tuple(nnrt_cpu_level_name(i).decode() for i in range(4) if levels >> i & 1)


def _choose(wanted):
    names = available_isas()
    if not names:
        raise ImportError("nnrt: this CPU lacks the x86-64-v2 instructions that the baseline needs")
    if wanted is None:
        wanted = names[-1]
    if wanted not in names:
        raise ImportError(f"NNRT_ISA={wanted}: this CPU offers {', '.join(names)}")
    return ("baseline", "avx2", "avx512", "neon").index(wanted)


cdef int isa_level() noexcept nogil:
    return _level


def isa_name():
    """Name of the level chosen at import."""
    return nnrt_cpu_level_name(_level).decode()


def cpu_info():
    """dict: brand, isas, isa, l1d, l2, l3 (bytes; 0 when unknown)."""
    return {
        "brand": nnrt_cpu_brand().decode(errors="replace").strip("\0 "),
        "isas": available_isas(),
        "isa": isa_name(),
        "l1d": nnrt_cpu_cache(1),
        "l2": nnrt_cpu_cache(2),
        "l3": nnrt_cpu_cache(3),
    }


_level = _choose(config.settings.isa)
set_num_threads(config.settings.num_threads)
