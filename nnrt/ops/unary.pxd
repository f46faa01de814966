from nnrt._ext.runtime cimport empty_like
from nnrt.autograd cimport Node, record
from nnrt.ops.promotion cimport as_float, as_tensor
from nnrt.tensor cimport Tensor, wrap

cdef Tensor _input_saved(op, x, kernel, backward)
cdef Tensor _output_saved(op, x, kernel, backward)
cdef tuple _backward(Node node, dy, kernel)
