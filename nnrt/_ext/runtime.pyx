"""The native runtime: launches, thread count, arrays in cached memory, CPU level.

The instruction set level is chosen once, when this module is imported, from NNRT_ISA
(through nnrt.config) or the best one the CPU has. It cannot be changed afterwards.
"""

cimport numpy as cnp
from cpython.object cimport PyObject, PyTypeObject
from libc.stdlib cimport free, malloc
from numpy cimport ndarray

import numpy as np

from nnrt import config, dtypes

cnp.import_array()


cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    void PyType_Modified(PyTypeObject *type)
    ctypedef struct TypeObject "PyTypeObject":
        PyObject *tp_dict

cdef extern from "nnrt.h" nogil:
    int nnrt_launch(const nnrt_kernel *kernel, const void *args, int64_t tasks)

cdef extern from "threads.h" nogil:
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
    void nnrt_set_spin(int64_t ns)
    void nnrt_profile(int on)
    int64_t nnrt_profile_take(nnrt_event *events, int64_t room, int64_t *lost)
    void nnrt_check_nan(int on)
    const char *nnrt_nan_kernel()

cdef extern from "observe.h" nogil:
    int nnrt_has_nan(const nnrt_span *span)

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
    ndarray nnrt_np_strided(ndarray a, cnp.npy_intp offset, int nd, cnp.npy_intp *dims, cnp.npy_intp *strides,
                            int writeable)
    ndarray nnrt_np_clone(ndarray a)
    void nnrt_np_keep(PyObject *object)
    void nnrt_np_drop_all()
    void nnrt_np_count(nnrt_memory_stats *stats)
    bint nnrt_np_keeps
    int64_t KEPT_PLACES, KEPT_EACH, KEPT_BYTES

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


cdef int pool_threads() noexcept nogil:
    return nnrt_get_threads()


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
    raise TypeError(f"{dtypes.calling_op()}wants float32 or float64, got {a.dtype}")


cdef int has_nan(const nnrt_span *span) noexcept nogil:
    return nnrt_has_nan(span)


cdef void span(nnrt_span *out, ndarray a) noexcept:
    cdef int num = cnp.PyArray_TYPE(a)
    out.data = cnp.PyArray_DATA(a)
    out.count = cnp.PyArray_SIZE(a)
    out.dtype = NNRT_F32 if num == cnp.NPY_FLOAT32 else NNRT_F64 if num == cnp.NPY_FLOAT64 else -1


def set_num_threads(threads):
    """Threads a launch may use, the caller's own included; ValueError below 1. The same as
    nnrt.config.settings.num_threads."""
    config.settings.num_threads = threads


def get_num_threads():
    """Threads a launch may use, the caller's own included."""
    return nnrt_get_threads()


def set_spin(microseconds):
    """How long an idle thread of the pool spins before it sleeps."""
    config.settings.spin_us = microseconds


# ---- profiler and NaN check ----

cdef int64_t _lost = 0


def profile_start():
    """Starts recording launches, in a ring of 65536 events."""
    nnrt_profile(1)


def profile_stop():
    """Stops recording; what is recorded stays until taken."""
    nnrt_profile(0)


def profile_take():
    """Recorded launches since the last call, oldest first: a list of tuples
    (kernel name, start_ns, stop_ns, tasks, flops, bytes, thread). Times are those of
    time.monotonic_ns, the thread is threading.get_ident()."""
    global _lost
    cdef int64_t i, count, room = 1 << 16, lost = 0
    cdef nnrt_event *e = <nnrt_event *>malloc(room * sizeof(nnrt_event))
    if e == NULL:
        raise MemoryError("profile_take: no memory for the events")
    try:
        with nogil:
            count = nnrt_profile_take(e, room, &lost)
        _lost = lost
        return [
            (e[i].name.decode(), e[i].start_ns, e[i].stop_ns, e[i].tasks, e[i].flops, e[i].bytes, e[i].thread)
            for i in range(count)
        ]
    finally:
        free(e)


def profile_lost():
    """How many launches the last profile_take came too late for."""
    return _lost


def check_nan(on):
    """Looks for NaN in what each launch wrote, while on."""
    config.settings.check_nan = bool(on)


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


# What np.dtype makes of a type takes 120 ns, and ten times as long when its code left the caches.
cdef dict _of_types = {t: np.dtype(t) for t in (np.float32, np.float64, np.int32, np.int64, np.uint8, np.bool_, bool)}


cdef ndarray _new(tuple shape, dtype, int zero):
    cdef cnp.npy_intp dims[64]
    cdef int i, nd = <int>len(shape)
    if nd > 32:
        raise ValueError(f"empty: at most 32 dimensions, got {nd}")
    try:
        for i in range(nd):
            dims[i] = <Py_ssize_t>shape[i]  # by __index__: 1.5 is a TypeError
    except OverflowError:
        raise ValueError(f"empty: shape {shape} has more elements than can be addressed") from None
    if not isinstance(dtype, cnp.dtype):
        dtype = _of_types[dtype] if isinstance(dtype, type) and dtype in _of_types else cnp.dtype(dtype)
    return nnrt_np_new(dtype, nd, dims, NULL, zero)


cpdef ndarray empty_like(ndarray a):
    """Uninitialised array of a's shape, dtype and memory order (numpy's order K)."""
    return nnrt_np_like(a)


cpdef bint c_order(ndarray a):
    """Whether a's memory is filled in the order of its shape."""
    return cnp.PyArray_IS_C_CONTIGUOUS(a)


cpdef ndarray strided(ndarray a, Py_ssize_t offset, tuple shape, tuple strides, bint writeable=True):
    """A view of a's memory, `offset` bytes after its first element, strides in bytes; nothing is checked.

    It can be changed in place where a can, unless writeable is False.
    """
    cdef cnp.npy_intp dims[64]
    cdef cnp.npy_intp steps[64]
    cdef int i, nd = <int>len(shape)
    if nd > 64:
        raise ValueError(f"strided: at most 64 dimensions, got {nd}")
    for i in range(nd):
        dims[i] = shape[i]
        steps[i] = strides[i]
    return nnrt_np_strided(a, offset, nd, dims, steps, writeable)


cpdef ndarray channels_last(ndarray a):
    """a (N, C, *spatial) as [N, D, H, W, C], missing axes being 1: a view, None where a's memory lies in another order."""
    cdef cnp.npy_intp dims[5]
    cdef cnp.npy_intp steps[5]
    cdef int i, nd = cnp.PyArray_NDIM(a)
    cdef cnp.npy_intp step = cnp.PyArray_ITEMSIZE(a)
    if not 3 <= nd <= 5 or not cnp.PyArray_ISALIGNED(a):
        return None
    dims[0], dims[1], dims[2], dims[4] = cnp.PyArray_DIM(a, 0), 1, 1, cnp.PyArray_DIM(a, 1)
    for i in range(2, nd):
        dims[i + 4 - nd] = cnp.PyArray_DIM(a, i)
    for i in range(4, -1, -1):
        steps[i] = step
        step *= dims[i]
    for i in range(nd):
        if cnp.PyArray_DIM(a, i) != 1 and cnp.PyArray_STRIDE(a, i) != steps[0 if i == 0 else 4 if i == 1 else i + 4 - nd]:
            return None
    return nnrt_np_strided(a, 0, 5, dims, steps, True)


cpdef ndarray as_nchw(ndarray y, int nd):
    """y [N, D, H, W, C] as (N, C, *spatial) of nd dimensions, the leading spatial axes left out: a view."""
    cdef cnp.npy_intp dims[5]
    cdef cnp.npy_intp steps[5]
    cdef int i, j
    if cnp.PyArray_NDIM(y) != 5 or not 3 <= nd <= 5:
        raise ValueError(f"as_nchw: wanted 5 axes and 3 to 5 in the result, got shape {(<object>y).shape} and {nd}")
    for i in range(nd):
        j = 0 if i == 0 else 4 if i == 1 else i + 4 - nd
        dims[i], steps[i] = cnp.PyArray_DIM(y, j), cnp.PyArray_STRIDE(y, j)
    return nnrt_np_strided(y, 0, nd, dims, steps, True)


cdef void keep(PyObject *array) noexcept:
    nnrt_np_keep(array)


cdef object _copy_kernel = None


def set_copy_kernel(kernel):
    """kernel(out, x) does the copies of dense() and contiguous() from 1024 elements on, numpy's loop those below; those of
    copy() from 65536 on."""
    global _copy_kernel
    _copy_kernel = kernel


cdef ndarray _copied(ndarray a):
    cdef ndarray out
    if _copy_kernel is None or cnp.PyArray_SIZE(a) < 1024:
        return nnrt_np_copy(a)
    out = nnrt_np_new(a.dtype, cnp.PyArray_NDIM(a), cnp.PyArray_DIMS(a), NULL, 0)
    _copy_kernel(out, a)
    return out


cpdef ndarray copy(ndarray a):
    """A copy in the memory order of a."""
    cdef ndarray out
    if _copy_kernel is None or cnp.PyArray_SIZE(a) < 65536:
        return nnrt_np_clone(a)
    out = nnrt_np_like(a)
    _copy_kernel(out, a)
    return out


cpdef ndarray empty_product(ndarray a, ndarray b):
    """Uninitialised [M, N] for the product of a [M, K] and b [K, N], both float32 or both float64; None for anything else."""
    cdef cnp.npy_intp dims[2]
    cdef int num = cnp.PyArray_TYPE(a)
    if (
        num != cnp.PyArray_TYPE(b) or num != cnp.NPY_FLOAT32 and num != cnp.NPY_FLOAT64
        or cnp.PyArray_NDIM(a) != 2 or cnp.PyArray_NDIM(b) != 2 or cnp.PyArray_DIM(a, 1) != cnp.PyArray_DIM(b, 0)
    ):
        return None
    dims[0], dims[1] = cnp.PyArray_DIM(a, 0), cnp.PyArray_DIM(b, 1)
    return nnrt_np_new(a.dtype, 2, dims, NULL, 0)


cpdef bint alike(ndarray a, ndarray b) noexcept:
    """Whether shapes and dtypes are the same."""
    return (
        cnp.PyArray_TYPE(a) == cnp.PyArray_TYPE(b)
        and cnp.PyArray_NDIM(a) == cnp.PyArray_NDIM(b)
        and cnp.PyArray_CompareLists(cnp.PyArray_DIMS(a), cnp.PyArray_DIMS(b), cnp.PyArray_NDIM(a))
    )


cpdef bint lone(a) noexcept:
    """Whether a is an array with memory of its own to which one variable of compiled code refers, and nothing else."""
    return (
        Py_REFCNT(<PyObject *>a) == 1 and type(a) is ndarray and cnp.PyArray_BASE(<ndarray>a) == NULL
        and cnp.PyArray_CHKFLAGS(<ndarray>a, cnp.NPY_ARRAY_OWNDATA | cnp.NPY_ARRAY_WRITEABLE)
    )


cpdef ndarray dense(ndarray a):
    """a itself when its memory is filled without gaps in some order of the axes, else a C-ordered copy."""
    return a if nnrt_np_dense(a) else _copied(a)


cpdef ndarray contiguous(ndarray a):
    """a itself when C-contiguous (and aligned), else a C-ordered copy."""
    return a if cnp.PyArray_ISCARRAY_RO(a) else _copied(a)


def memory_stats():
    """Counters of the allocator as a dict: allocated, peak_allocated, cached, limit (bytes, in
    whole size classes), hits, misses (allocations served from the cache and from the system)."""
    cdef nnrt_memory_stats s
    nnrt_memory_get(&s)
    nnrt_np_count(&s)
    return s


def empty_cache():
    """Gives all cached blocks back to the system."""
    nnrt_np_drop_all()
    with nogil:
        nnrt_memory_empty()


def reset_peak():
    """Sets peak_allocated to what is in use now."""
    nnrt_memory_reset_peak()


def set_cache_limit(bytes):
    """Most bytes kept for reuse; more than that is given back at once. The same as
    nnrt.config.settings.cache_limit."""
    config.settings.cache_limit = bytes


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
        raise ValueError(f"NNRT_ISA={wanted}: this CPU offers {', '.join(names)}")
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


def _set_threads(int threads):
    nnrt_set_threads(threads)


def _set_spin_us(int64_t us):
    nnrt_set_spin(us * 1000)


def _set_limit(int64_t bytes):
    global nnrt_np_keeps
    nnrt_np_drop_all()
    nnrt_np_keeps = bytes >= KEPT_PLACES * KEPT_EACH * KEPT_BYTES
    nnrt_memory_set_limit(bytes)


def _set_check_nan(bint on):
    nnrt_check_nan(on)


_level = _choose(config.settings.isa)
config.on_change("num_threads", _set_threads)
config.on_change("spin_us", _set_spin_us)
config.on_change("cache_limit", _set_limit)
config.on_change("check_nan", _set_check_nan)


def add_method(type cls, str name, function):
    """cls.name = function, for a compiled class, which Python itself may not change."""
    (<dict><object>(<TypeObject *>cls).tp_dict)[name] = function
    PyType_Modified(<PyTypeObject *>cls)
