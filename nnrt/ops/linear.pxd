cimport cython

from nnrt._ext.runtime cimport empty_product
from nnrt.autograd cimport Node, record
from nnrt.tensor cimport Tensor


@cython.locals(left=Tensor, right=Tensor)
cpdef matmul(x, other)
