cimport cython

from nnrt._ext.runtime cimport alike, empty_like
from nnrt.autograd cimport Node, record, tracked
from nnrt.ops.promotion cimport array_of, float_operands, operands, result, shape_of, sum_to, tensor_of
from nnrt.tensor cimport Tensor, wrap

cdef object _add


@cython.locals(left=Tensor, right=Tensor)
cpdef add(x, other, alpha=*)
@cython.locals(left=Tensor, right=Tensor)
cpdef mul(x, other)
cpdef add_backward(Node node, dy)
cpdef sub_backward(Node node, dy)
cpdef mul_backward(Node node, dy)
cpdef div_backward(Node node, dy)
