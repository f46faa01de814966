"""Parameter: a Tensor that a Module registers when it is assigned as an attribute."""

import numpy as np

from .. import memory
from ..autograd import version_of
from ..ops.create import empty, rebuild
from ..tensor import Tensor, Version, attributes_of, bump, wrap


class Parameter(Tensor):
    """A tensor that is trained: `requires_grad` is on, and modules find it.

    `Parameter(data, requires_grad=True)`: data is a Tensor or numpy array, whose memory is shared.
    Raises RuntimeError when a gradient is wanted for a dtype that has none, TypeError for other data.
    """

    def __init__(self, data=None, requires_grad: bool = True):
        if isinstance(data, Tensor):
            self.array = data.array
            self.version = version_of(data)
        elif data is None or isinstance(data, np.ndarray):
            self.array = np.empty(0, np.float32) if data is None else data
            self.version = Version()
            self.version.lent = data is not None
        else:
            raise TypeError(f"Parameter: data must be a Tensor or a numpy array, not {type(data).__name__}")
        self.grad = None
        self.node = None
        self.hooks = None
        self.requires_grad = False
        self.requires_grad_(requires_grad)

    def __deepcopy__(self, memo):
        """A copy without the gradient, as in torch."""
        if id(self) in memo:
            return memo[id(self)]
        made = rebuild(type(self), self.array.copy(order="K"), self.requires_grad, attributes_of(self))
        memo[id(self)] = made
        return made

    def __repr__(self):
        plain = self.detach()
        plain.requires_grad = self.requires_grad
        return f"Parameter containing:\n{plain!r}"


class UninitializedArray:
    """Stands where a tensor without a shape has its array: it has a dtype, and to ask for more is an error."""

    def __init__(self, dtype):
        self.dtype = dtype

    def __getattr__(self, name):
        raise RuntimeError(
            "this parameter or buffer of a lazy module has no shape and no values yet: call the module with an input first"
        )

    def __array__(self, dtype=None, copy=None):
        return self.shape

    def __getitem__(self, key):
        return self.shape

    def __deepcopy__(self, memo):
        return self

    def __reduce__(self):
        return UninitializedArray, (self.dtype,)

    def copy(self, order="K"):
        return self


# Compiled code says "expected numpy.ndarray, got" and this.
UninitializedArray.__name__ = "an array of a lazy module, without shape and values yet: call the module with an input first"


def _waiting(device, dtype):
    """A tensor without a shape."""
    return wrap(UninitializedArray(empty(0, device=device, dtype=dtype).dtype))


class UninitializedParameter(Parameter):
    """A parameter whose shape is known only when its module first sees an input (lazy modules).

    RuntimeError where its shape or values are read before.
    """

    def __init__(self, requires_grad: bool = True, device=None, dtype=None):
        super().__init__(_waiting(device, dtype), requires_grad)

    def materialize(self, shape, dtype=None):
        """Becomes a Parameter of this shape with values not yet set."""
        self.array = memory.empty(tuple(shape), np.dtype(dtype or self.array.dtype))
        bump(self)
        self.__class__ = Parameter

    def __repr__(self):
        return f"<{type(self).__name__}>"


class Buffer(Tensor):
    """A tensor that a Module registers as a buffer when it is assigned as an attribute.

    `Buffer(data, persistent=True)`: data is a Tensor or numpy array, whose memory is shared; persistent: whether
    state_dict holds it. Raises TypeError for other data.
    """

    persistent = True

    def __init__(self, data=None, *, persistent: bool = True):
        if data is not None and not isinstance(data, (Tensor, np.ndarray)):
            raise TypeError(f"Buffer: data must be a Tensor or a numpy array, not {type(data).__name__}")
        Parameter.__init__(self, data, isinstance(data, Tensor) and data.requires_grad)
        self.persistent = persistent


class UninitializedBuffer(Buffer):
    """A buffer whose shape is known only when its module first sees an input; until then as UninitializedParameter."""

    def __init__(self, device=None, dtype=None):
        super().__init__(_waiting(device, dtype))

    def materialize(self, shape, dtype=None):
        """Becomes a Buffer of this shape with values not yet set."""
        self.array = memory.empty(tuple(shape), np.dtype(dtype or self.array.dtype))
        bump(self)
        self.__class__ = Buffer

    def __repr__(self):
        return "<UninitializedBuffer>"


def is_lazy(parameter) -> bool:
    """Whether the tensor still waits for its shape."""
    return isinstance(parameter, (UninitializedParameter, UninitializedBuffer))


def convert(parameter, fn):
    """Gives a tensor without a shape the dtype that fn gives others; returns it."""
    parameter.array = UninitializedArray(fn(empty(0, dtype=parameter.dtype)).dtype)
    return parameter
