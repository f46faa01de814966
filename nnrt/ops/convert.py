"""Conversion: to another dtype or device, and numpy's functions on Tensors."""

import builtins

import numpy as np

from .. import memory
from ..autograd import record
from ..dtypes import as_dtype, check_device, device
from ..tensor import Tensor, bump, wrap
from . import binary, compare, elementwise, linear, shape, ternary, trigonometry, unary
from .create import as_tensor, store
from .promotion import empty_as


def to(x, args, dtype, where, copy, memory_format=None):
    """x converted: args as in Tensor.to (a dtype, a device, another tensor, flags).

    Gradients pass through conversions between floating dtypes. x itself when there is nothing to do.
    """
    for arg in args:
        if isinstance(arg, Tensor):
            dtype = arg.array.dtype
        elif isinstance(arg, (device, str)) and not _names_dtype(arg):
            where = arg
        elif isinstance(arg, str) and not hasattr(np, arg):
            raise RuntimeError(f"to: {arg!r} is neither a dtype nor a device")
        elif isinstance(arg, builtins.bool):
            continue  # non_blocking: copies here always block
        elif arg is not None:
            dtype = arg
    check_device("to", where)
    before = x.array
    if dtype is not None:
        dtype = as_dtype("to", dtype)
    if memory_format is not None:
        x = shape.contiguous(x, memory_format) if memory_format != "preserve_format" else x
    a = x.array
    if dtype is None or dtype == a.dtype:
        return shape.clone(x) if copy and a is before else x
    converted = empty_as(a, dtype)
    store(converted, a)
    if dtype.kind != "f" or a.dtype.kind != "f":
        return wrap(converted)
    return record(converted, to_backward, (x,), (a.dtype,))


def to_backward(node, dy):
    (dtype,) = node.saved
    dx = memory.empty(dy.shape, dtype)
    store(dx, dy)
    return (dx,)


def half(x) -> Tensor:
    """To float16."""
    return to(x, (), np.float16, None, False)


def short(x) -> Tensor:
    """To int16."""
    return to(x, (), np.int16, None, False)


def char(x) -> Tensor:
    """To int8."""
    return to(x, (), np.int8, None, False)


def byte(x) -> Tensor:
    """To uint8."""
    return to(x, (), np.uint8, None, False)


def cuda(x, device=None) -> Tensor:
    """RuntimeError: there is the CPU only."""
    return to(x, ("cuda",), None, None, False)


def get_device(x) -> builtins.int:
    """-1: the CPU."""
    return -1


def pin_memory(x, device=None) -> Tensor:
    """x: there is no memory that a GPU could read faster."""
    return x


def det(x) -> Tensor:
    """nnrt.linalg.det."""
    return _linalg().det(x)


def inverse(x) -> Tensor:
    """nnrt.linalg.inv."""
    return _linalg().inv(x)


def matrix_power(x, n) -> Tensor:
    """nnrt.linalg.matrix_power."""
    return _linalg().matrix_power(x, n)


def pinverse(x, rcond=1e-15) -> Tensor:
    """nnrt.linalg.pinv, with torch's older and smaller rcond."""
    return _linalg().pinv(x, rcond)


def slogdet(x):
    """nnrt.linalg.slogdet."""
    return _linalg().slogdet(x)


def _linalg():
    """nnrt.ops.linalg, loaded when first wanted."""
    from . import linalg

    return linalg


def nelement(x) -> builtins.int:
    """x.numel()."""
    return x.array.size


def ndimension(x) -> builtins.int:
    """x.dim()."""
    return x.array.ndim


def is_complex(input) -> builtins.bool:
    """False."""
    return False


def is_signed(input) -> builtins.bool:
    """Whether the dtype has negative numbers."""
    return as_tensor(input).array.dtype.kind in "if"


def is_nonzero(input) -> builtins.bool:
    """bool(input): RuntimeError for more or fewer elements than one."""
    return builtins.bool(input)


def where(x, condition, other):
    """x where condition is true, else other."""
    return ternary.where(condition, x, other)


def _names_dtype(name):
    return isinstance(name, str) and name not in ("cpu", "cuda", "mps", "xpu", "meta") and ":" not in name


# numpy functions called on Tensors: the ones whose name here differs from numpy's.
_UFUNCS = {
    "subtract": "sub", "multiply": "mul", "divide": "div", "true_divide": "div", "negative": "neg",
    "absolute": "abs", "fabs": "abs", "power": "pow", "float_power": "pow", "equal": "eq",
    "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "rint": "round", "invert": "bitwise_not", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh", "arctan2": "atan2",
    "left_shift": "bitwise_left_shift", "right_shift": "bitwise_right_shift",
}  # fmt: skip


def array_ufunc(ufunc, method, inputs, kwargs):
    """Tensor.__array_ufunc__: a numpy function on Tensors runs the op of its meaning, gradients included.

    With an ndarray as `out` the values go there. TypeError for functions and arguments without counterpart.
    """
    op = None
    if method == "__call__":
        name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
        for module in (elementwise, unary, trigonometry, binary, compare, linear):
            op = op or getattr(module, name, None)
    out = kwargs.pop("out", None)
    if op is None or kwargs:
        what = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
        extra = f" with {', '.join(kwargs)}" if kwargs and op is not None else ""
        raise TypeError(
            f"numpy.{what}{extra} has no counterpart for tensors; use x.detach().numpy() for its values"
        )
    result = op(*[as_tensor(i) if isinstance(i, (np.ndarray, list, tuple)) else i for i in inputs])
    if out is None:
        return result
    (target,) = out
    if result.requires_grad:
        raise TypeError(f"numpy.{ufunc.__name__}: out= would lose the gradient; use the tensor operation")
    np.copyto(target.array if isinstance(target, Tensor) else target, result.array, casting="same_kind")
    return bump(target) if isinstance(target, Tensor) else target


def array_function(function, args, kwargs):
    """Tensor.__array_function__: what is no ufunc (np.mean, np.concatenate, ...) gets the tensors' arrays and returns arrays."""
    return function(*_arrays(args), **_arrays(kwargs))


def _arrays(value):
    if isinstance(value, Tensor):
        return value.numpy()
    if isinstance(value, dict):
        return {name: _arrays(v) for name, v in value.items()}
    return type(value)(map(_arrays, value)) if type(value) in (list, tuple) else value
