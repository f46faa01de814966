from nnrt._ext.runtime cimport empty_like
from nnrt.autograd cimport record
from nnrt.tensor cimport Tensor, wrap

cpdef tuple operands(op, x, other)
cpdef tuple float_operands(op, x, other)
cpdef Tensor as_float(op, x)
cpdef Tensor as_tensor(op, x, name=*)
cpdef array_of(value)
cpdef tensor_of(value)
cpdef shape_of(value)
cpdef result(op, u, v, dtype=*)
cpdef sum_to(dy, shape)
