"""Softmax and log-softmax along one axis.

    y = softmax(x):      dx = y (dy - Σ dy y)
    y = log_softmax(x):  dx = dy - exp(y) Σ dy

Legend: the kernels read dense memory as [outer, n, inner] and work along n. An input whose memory
has another order (NHWC) keeps it.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..dtypes import check_whole
from ..tensor import Tensor
from ._axes import axis_of
from .promotion import not_tensors

K = registry.family("softmax")


def softmax(input, dim=None, dtype=None, axis=None) -> Tensor:
    """exp(input) / Σ exp(input) along dim; a row of -inf gives NaN.

    dim None means axis 0 for 0, 1 and 3 dimensions and axis 1 otherwise, as in torch. dtype
    converts before. RuntimeError for integers.
    """
    if axis is not None:
        dim = axis
    return _along("softmax", K.softmax, softmax_backward, input, dim, dtype)


def softmax_backward(node, dy):
    y, outer, n, inner, dtype = node.saved
    dx = memory.empty_like(y)
    K.softmax_backward(dx, memory.as_like(dy, y), y, outer, n, inner)
    return (dx if dx.dtype == dtype else dx.astype(dtype),)


def log_softmax(input, dim=None, dtype=None, axis=None) -> Tensor:
    """input - log Σ exp(input) along dim. Arguments as for :func:`softmax`."""
    if axis is not None:
        dim = axis
    return _along("log_softmax", K.log_softmax, log_softmax_backward, input, dim, dtype)


def log_softmax_backward(node, dy):
    y, outer, n, inner, dtype = node.saved
    dx = memory.empty_like(y)
    K.log_softmax_backward(dx, memory.as_like(dy, y), y, outer, n, inner)
    return (dx if dx.dtype == dtype else dx.astype(dtype),)


def softmin(input, dim=None, dtype=None) -> Tensor:
    """softmax(-input) along dim."""
    from .unary import neg

    return softmax(neg(input), dim, dtype)


def _along(op, kernel, backward, x, dim, dtype):
    if not isinstance(x, Tensor):
        raise not_tensors(op, input=x)
    a = x.array
    before = a.dtype
    if dtype is not None:
        a = a.astype(dtype, copy=False)
    if a.dtype.kind != "f":
        raise RuntimeError(
            f"{op}: wants a floating tensor, got {a.dtype}; pass dtype=nnrt.float32 to convert"
        )
    check_whole(op, a.dtype)
    ndim = a.ndim
    if dim is None:
        dim = 0 if ndim in (0, 1, 3) else 1
    axis = axis_of(op, dim, ndim)
    a = memory.dense(a)
    y = memory.empty_like(a)
    outer, n, inner = around(a, axis)
    kernel(y, a, outer, n, inner)
    return record(y, backward, (x,), (y, outer, n, inner, before))


def around(a, axis):
    """(outer, n, inner): a's dense memory around one axis."""
    shape = a.shape
    outer = n = inner = 1
    if a.flags.c_contiguous:
        i = 0
        for size in shape:
            if i < axis:
                outer *= size
            elif i > axis:
                inner *= size
            else:
                n = size
            i += 1
        return outer, n, inner
    n = shape[axis]
    stride = abs(a.strides[axis])
    for i, size in enumerate(shape):
        if i != axis and abs(a.strides[i]) < stride:
            inner *= size
    outer = a.size // (n * inner) if a.size else 0
    return outer, n, inner


def softmax2d(x) -> Tensor:
    """softmax over the channels of (C, H, W) or (N, C, H, W)."""
    if x.array.ndim not in (3, 4):
        raise RuntimeError(f"softmax2d: wants 3 or 4 dimensions, got shape {np.shape(x.array)}")
    return softmax(x, -3)
