cimport cython

from nnrt._ext.runtime cimport empty_product
from nnrt.autograd cimport record, tracked
from nnrt.tensor cimport Tensor, wrap


@cython.locals(left=Tensor, right=Tensor)
cpdef matmul(x, other)
