cimport cython

from nnrt._ext.runtime cimport alike, as_nchw, channels_last, empty, grad_enabled
from nnrt.autograd cimport on_tape, version_of
from nnrt.tensor cimport Tensor, unchanged, wrap


cdef class Fused:
    cdef public tuple options
    cdef public tuple known
    cdef public object folded

    @cython.locals(arrays=tuple, marks=tuple)
    cpdef run(self, Tensor x, tuple given, activation, Tensor residual=*, eps=*)
    cdef _first(self, Tensor x, tuple given, activation, Tensor residual, eps)


@cython.locals(given=tuple, arrays=tuple, marks=tuple, products=tuple, shapes=tuple, i=cython.Py_ssize_t)
cpdef again(tuple known, x, mark)

cdef Tensor _applied(product, a, Tensor residual, tuple y_shape, int ndim)
