cimport cython

from nnrt._ext.runtime cimport empty_product
from nnrt.autograd cimport record, tracked
from nnrt.tensor cimport Tensor, wrap


@cython.locals(left=Tensor, right=Tensor)
cpdef matmul(x, other)
cpdef affine(x, w, b, activation=*)
cpdef affine_backward(dy, x, w, bint to_x, bint to_weight, bint to_bias)
cpdef weight_gradient(dw, dy, x, double beta=*)
cpdef rows_of(a)
