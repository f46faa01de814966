from nnrt._ext.runtime cimport empty_like, grad_enabled
from nnrt.autograd cimport Node, record
from nnrt.ops.promotion cimport as_float, as_tensor, sum_to
from nnrt.tensor cimport Tensor

cdef _target(Tensor x, inplace)
cdef Tensor _done(Tensor x, y, backward, tuple saved)
cdef Tensor _floating(op, x)
cdef tuple _backward(Node node, dy, kernel)
cdef Tensor _of_input(Tensor x, kernel, backward)
