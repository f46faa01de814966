"""torch's constructors by dtype, FloatTensor(2, 3) or LongTensor([1, 2]): what isinstance and .type() take too."""

import numpy as np

from ..tensor import Tensor
from .create import constructed


class _Constructor(type):
    def __call__(cls, *data):
        return constructed(data, cls.dtype)

    def __instancecheck__(cls, x):
        return isinstance(x, Tensor) and x.array.dtype == cls.dtype


def _constructor(name, dtype):
    return _Constructor(name, (), {"dtype": np.dtype(dtype), "__doc__": f"A {np.dtype(dtype)} tensor of sizes or of data."})


FloatTensor = _constructor("FloatTensor", np.float32)
DoubleTensor = _constructor("DoubleTensor", np.float64)
HalfTensor = _constructor("HalfTensor", np.float16)
LongTensor = _constructor("LongTensor", np.int64)
IntTensor = _constructor("IntTensor", np.int32)
ShortTensor = _constructor("ShortTensor", np.int16)
CharTensor = _constructor("CharTensor", np.int8)
ByteTensor = _constructor("ByteTensor", np.uint8)
BoolTensor = _constructor("BoolTensor", np.bool_)
