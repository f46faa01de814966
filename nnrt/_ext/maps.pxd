# Running the maps of csrc/map.h over numpy arrays, for the drivers of the elementwise families.

from nnrt._ext.runtime cimport nnrt_kernel

# kernels: [NNRT_F32, NNRT_F64]. flops: operations per element; above 4 tasks are made smaller.
# Every operand is an array, inputs may also be numbers; bools has bit k set where operand k is
# of dtype bool. Returns 1, or 0 where a dtype (or alignment) is not the kernel's: the caller then
# runs the specification.
cdef int map1(const nnrt_kernel *kernels, double flops, out, x,
              double c0=*, double c1=*, double c2=*) except -1
cdef int map2(const nnrt_kernel *kernels, double flops, out, x1, x2, unsigned bools=*,
              double c0=*, double c1=*, double c2=*) except -1
cdef int map3(const nnrt_kernel *kernels, double flops, out, x1, x2, x3, unsigned bools=*,
              double c0=*, double c1=*) except -1
cdef int map4(const nnrt_kernel *kernels, double flops, out, x1, x2, x3, x4) except -1
# Two outputs.
cdef int sloped(const nnrt_kernel *kernels, double flops, y, slope, x) except -1
cdef int gate(const nnrt_kernel *kernels, double flops, out1, out2, x1, x2, x3) except -1
