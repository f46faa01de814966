"""Padding: x with rows added before and behind along some of its axes, or cut off where an amount is negative.

    constant   y_j = value outside x
    reflect    ... x_2 x_1 | x_0 x_1 ... x_{n-1} | x_{n-2} x_{n-3} ...
    replicate  ... x_0 x_0 | x_0 x_1 ... x_{n-1} | x_{n-1} x_{n-1} ...
    circular   ... x_{n-2} x_{n-1} | x_0 x_1 ... x_{n-1} | x_0 x_1 ...

y lies in memory as x does. x is copied into it, then axis after axis, innermost first, gets its borders from
what already stands there; the gradient goes the same way back, adding.
"""

import math
from functools import lru_cache

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor
from . import parts
from ._geometry import check_addressable
from .create import in_order_of
from .promotion import check_tensors

K = registry.family("shape")
# Up to these bytes filling all of y takes less time than finding its borders; so it does where these lie in rows of few
# bytes (2 and 1 MB of 32 and 64 channels, half of them new: 0.46 and 0.6 of the time).
FILLED, ROW = 1 << 17, 256

LISTED = 1 << 12  # up to so many elements of y a list of where they come from is kept


def pad(input, pad, mode="constant", value=None) -> Tensor:
    """input with pad[0], pad[1] rows before and behind its last axis, pad[2], pad[3] at the one before, and so on.

    pad: a sequence of ints, negative ones cut off. mode: "constant" (with value, default 0; any axes),
    "reflect", "replicate" or "circular" (the last 1 to 3 axes of a tensor with 1 or 2 more).
    RuntimeError where an amount does not fit, NotImplementedError for other modes or numbers of axes.
    """
    check_tensors("pad", input=input)
    a = input.array
    if not isinstance(pad, (tuple, list)):
        raise _not_ints(pad)
    pad = tuple([p if type(p) is int else _whole(p, pad) for p in pad])
    amounts = _amounts(a.shape, pad)
    cuts = min(pad, default=0) < 0
    if cuts and mode in ("constant", "circular"):
        _check_cut(a, amounts)
    if mode != "constant":
        _check_mode(a, pad, amounts, mode, value)
    value = 0 if value is None else value
    if not isinstance(value, (int, float, np.generic)):
        raise TypeError(f"pad: value must be a number, got {type(value).__name__}")
    if not cuts:
        return _grown(input, amounts, mode, value)
    grown = tuple([(max(p, 0), max(q, 0)) for p, q in amounts])
    if mode in ("constant", "circular"):
        return _grown(_cropped(input, amounts), grown, mode, value)
    return _cropped(_grown(input, grown, mode, value), amounts)  # what is cut off is mirrored all the same


def _cropped(x, amounts):
    key = tuple([slice(max(-p, 0), n - max(-q, 0)) for n, (p, q) in zip(x.array.shape, amounts)])
    return parts.part(x, x.array[key], key)


def _grown(x, amounts, mode, value):
    a = x.array
    size, inner = _frame(a.shape, amounts)
    y = in_order_of(a, size, a.dtype)
    if mode != "constant" and y.size <= LISTED and a.size and a.flags.c_contiguous:
        a.take(_sources(a.shape, amounts, mode), out=y, mode="clip")  # "raise" would buffer
        return record(y, pad_backward, (x,), (inner, amounts, mode))
    small = mode == "constant" and y.nbytes <= FILLED
    windows = () if small else _windows(y, inner)
    if small or mode == "constant" and windows and _short(y, windows[-1][1]):
        _fill(y, ..., value)
        windows = ()
    K.copy(y[inner], a)
    for window, axis in reversed(windows):
        n, (p, q) = a.shape[axis], amounts[axis]
        if mode == "constant":
            rows = window.swapaxes(0, axis)
            _fill(rows, slice(p), value)
            _fill(rows, slice(p + n, None), value)
        else:
            for border, source in _copies(window, axis, mode, p, n, q):
                K.copy(border, np.broadcast_to(source, border.shape))
    return record(y, pad_backward, (x,), (inner, amounts, mode))


@lru_cache(64)
def _sources(shape, amounts, mode):
    """Which element of x, in C order, each element of y is."""
    numbers = np.arange(math.prod(shape)).reshape(shape)
    return np.pad(numbers, amounts, {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode])


def pad_backward(node, dy):
    inner, amounts, mode = node.saved
    if mode == "constant":
        return (dy[inner],)
    g = memory.copy(dy)
    dx = g[inner]
    for window, axis in _windows(g, inner):
        p, q = amounts[axis]
        for border, source in _copies(window, axis, mode, p, dx.shape[axis], q):  # y[border] = y[source]
            if mode == "replicate":
                source += border.sum(axis, keepdims=True)
            else:
                source += border
    return (dx,)


def _windows(y, inner):
    """(part of y, axis) for the axes with borders, outermost first: x's rows alone along the axes further out."""
    key, found = [slice(None)] * y.ndim, []
    for axis in sorted(range(y.ndim), key=lambda i: -y.strides[i]):
        if inner[axis] != slice(0, y.shape[axis]):
            found.append((y[tuple(key)], axis))
            key[axis] = inner[axis]
    return found


def _short(y, axis):
    return y.strides[axis] == y.itemsize and y.shape[axis] * y.itemsize <= ROW


def _fill(y, key, value):
    try:
        y[key] = value
    except OverflowError:
        raise RuntimeError(f"pad: value {value} does not fit {y.dtype}") from None


def _copies(y, axis, mode, p, n, q):
    """(border, source) along an axis with n of x's rows behind p others and before q: views of y."""
    rows, end = y.swapaxes(0, axis), p + n
    if mode == "reflect":
        pairs = (rows[:p], rows[2 * p : p : -1]), (rows[end : end + q][::-1], rows[end - 1 - q : end - 1])
    elif mode == "replicate":
        pairs = (rows[:p], rows[p : p + 1]), (rows[end:], rows[end - 1 : end])
    else:
        pairs = (rows[:p], rows[n:end]), (rows[end:], rows[p : p + q])
    return [(b.swapaxes(0, axis), s.swapaxes(0, axis)) for b, s in pairs]


@lru_cache(1024)
def _amounts(shape, pad):
    """((before, behind), ...) for each axis."""
    if len(pad) % 2 or len(pad) > 2 * len(shape):
        raise RuntimeError(
            f"pad: pad must hold two amounts for each of up to {len(shape)} axes of a tensor of shape {shape}, got {len(pad)}"
        )
    amounts = [(0, 0)] * len(shape)
    for i in range(0, len(pad), 2):
        amounts[len(shape) - 1 - i // 2] = pad[i], pad[i + 1]
    return tuple(amounts)


def _whole(p, pad):
    if not hasattr(p, "__index__") or isinstance(p, bool):
        raise _not_ints(pad)
    return p.__index__()


def _not_ints(pad):
    return TypeError(f"pad: pad must be a tuple of ints, got {pad!r}")


@lru_cache(1024)
def _frame(shape, amounts):
    """(y's shape, where x stands in it)."""
    size = tuple([n + p + q for n, (p, q) in zip(shape, amounts)])
    check_addressable("pad", size)
    return size, (*[slice(p, p + n) for n, (p, _) in zip(shape, amounts)], ...)


def _check_cut(a, amounts):
    for axis, (p, q) in enumerate(amounts):
        if a.shape[axis] + min(p, 0) + min(q, 0) < 0:
            raise RuntimeError(f"pad: ({p}, {q}) cuts more off dim {axis} than a tensor of shape {a.shape} has there")


def _check_mode(a, pad, amounts, mode, value):
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"pad: mode must be 'constant', 'reflect', 'replicate' or 'circular', got {mode!r}")
    if value is not None and value != 0:
        raise RuntimeError(f"pad: mode {mode!r} takes no value, got {value}")
    axes = len(pad) // 2
    if axes not in (1, 2, 3) or a.ndim - axes not in (1, 2):
        raise NotImplementedError(
            f"pad: mode {mode!r} pads the last 1, 2 or 3 axes of a tensor with 1 or 2 more; "
            f"got {len(pad)} amounts for shape {a.shape}"
        )
    for axis in range(a.ndim - axes, a.ndim):
        n, (p, q) = a.shape[axis], amounts[axis]
        if mode == "circular":
            if max(p, q) > n + min(p, 0) + min(q, 0):
                raise RuntimeError(f"pad: {_place(a, axis, p, q)} would go round more than once")
        elif not n or n + p + q < 1:
            raise RuntimeError(f"pad: {_place(a, axis, p, q)} leaves nothing to pad")
        elif mode == "reflect" and max(p, q) >= n:
            raise RuntimeError(f"pad: 'reflect' wants less than {n} rows, got {_place(a, axis, p, q)}")


def _place(a, axis, p, q):
    return f"({p}, {q}) along dim {axis} of a tensor of shape {a.shape}"
