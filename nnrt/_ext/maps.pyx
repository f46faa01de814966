"""Maps: planning and launching of element-by-element kernels; see csrc/map.h and maps.pxd."""

from cpython.object cimport PyObject
from libc.stdint cimport int64_t

cimport numpy as cnp

from nnrt._ext.runtime cimport launch, nnrt_kernel

cnp.import_array()


cdef extern from "map_plan.h":
    ctypedef struct nnrt_map_args:
        double constant[5]
    int64_t nnrt_map_plan(nnrt_map_args *p, PyObject **objects, int operands, int outs, unsigned bools,
                          double flops, int *dtype) except? -2


cdef int run(const nnrt_kernel *kernels, nnrt_map_args *p, PyObject **objects, int operands, int outs,
             unsigned bools, double flops) except -1:
    cdef int dtype
    cdef int64_t tasks = nnrt_map_plan(p, objects, operands, outs, bools, flops, &dtype)
    if tasks < 0:
        return 0
    if tasks > 0:
        launch(&kernels[dtype], p, tasks)
    return 1


cdef int map1(const nnrt_kernel *kernels, double flops, out, x,
              double c0=0, double c1=0, double c2=0) except -1:
    cdef nnrt_map_args p
    cdef PyObject *objects[2]
    objects[0], objects[1] = <PyObject *>out, <PyObject *>x
    p.constant[0], p.constant[1], p.constant[2] = c0, c1, c2
    return run(kernels, &p, objects, 2, 1, 0, flops)


cdef int map2(const nnrt_kernel *kernels, double flops, out, x1, x2, unsigned bools=0,
              double c0=0, double c1=0, double c2=0) except -1:
    cdef nnrt_map_args p
    cdef PyObject *objects[3]
    objects[0], objects[1], objects[2] = <PyObject *>out, <PyObject *>x1, <PyObject *>x2
    p.constant[0], p.constant[1], p.constant[2] = c0, c1, c2
    return run(kernels, &p, objects, 3, 1, bools, flops)


cdef int sloped(const nnrt_kernel *kernels, double flops, y, slope, x) except -1:
    cdef nnrt_map_args p
    cdef PyObject *objects[3]
    objects[0], objects[1], objects[2] = <PyObject *>y, <PyObject *>slope, <PyObject *>x
    p.constant[0] = p.constant[1] = p.constant[2] = 0
    return run(kernels, &p, objects, 3, 2, 0, flops)


cdef int map3(const nnrt_kernel *kernels, double flops, out, x1, x2, x3, unsigned bools=0,
              double c0=0, double c1=0) except -1:
    cdef nnrt_map_args p
    cdef PyObject *objects[4]
    objects[0], objects[1], objects[2] = <PyObject *>out, <PyObject *>x1, <PyObject *>x2
    objects[3] = <PyObject *>x3
    p.constant[0], p.constant[1], p.constant[2] = c0, c1, 0
    return run(kernels, &p, objects, 4, 1, bools, flops)


cdef int map4(const nnrt_kernel *kernels, double flops, out, x1, x2, x3, x4) except -1:
    cdef nnrt_map_args p
    cdef PyObject *objects[5]
    objects[0], objects[1], objects[2] = <PyObject *>out, <PyObject *>x1, <PyObject *>x2
    objects[3], objects[4] = <PyObject *>x3, <PyObject *>x4
    p.constant[0] = p.constant[1] = p.constant[2] = 0
    return run(kernels, &p, objects, 5, 1, 0, flops)


cdef int gate(const nnrt_kernel *kernels, double flops, out1, out2, x1, x2, x3) except -1:
    cdef nnrt_map_args p
    cdef PyObject *objects[5]
    objects[0], objects[1], objects[2] = <PyObject *>out1, <PyObject *>out2, <PyObject *>x1
    objects[3], objects[4] = <PyObject *>x2, <PyObject *>x3
    p.constant[0] = p.constant[1] = p.constant[2] = 0
    return run(kernels, &p, objects, 5, 2, 0, flops)
