cimport cython
from cpython.object cimport PyObject

from nnrt._ext.runtime cimport keep


cdef class Version:
    cdef public long value
    cdef public bint lent
    cdef public dict packed


cdef class Tensor:
    cdef public object array
    cdef public object _grad
    cdef public object node
    cdef public bint _requires_grad
    cdef public Version version
    cdef public dict hooks
    cdef object __weakref__


cdef inline void keep_array(Tensor t) noexcept:
    keep(<PyObject *>t.array)

@cython.locals(t=Tensor)
cpdef Tensor wrap(array)
@cython.locals(t=Tensor)
cpdef Tensor view_of(Tensor base, array)
@cython.locals(i=cython.Py_ssize_t, t=Tensor, version=Version)
cpdef bint unchanged(tuple tensors, tuple arrays, tuple versions)

cdef object _backward, _add, _sub, _mul, _div, _matmul
