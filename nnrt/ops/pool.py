"""Pooling: the largest, the mean or the p-norm of windows of (N, C, *spatial), or of (C, *spatial) unbatched.

Along an axis of I inputs there are O = floor((I + 2 padding - dilation (kernel - 1) - 1) / stride) + 1 outputs; with
ceil_mode it is ceil, less a last window that would start in the padding on the right. Adaptive pooling is given O:
window o is floor(o I / O) <= i < ceil((o + 1) I / O).

    max: dx[i] = Σ dy[o] over the windows o whose maximum i is     average: dx[i] = Σ dy[o] / count[o] over those i is in

The kernels read [N, D, H, W, C]; sizes along the axes are triples there (see nnrt._ref.pool).
"""

import math
from functools import lru_cache

import numpy as np

from .. import memory, registry
from .._ref.pool import taps
from ..autograd import grad_enabled, record
from ..tensor import Tensor, wrap
from . import unary
from ._geometry import check_addressable
from ._layout import as_nchw, channels_last, empty_channels_last, empty_nchw
from .binary import pow
from .elementwise import mul
from .masks import masked_fill
from .promotion import check_tensors, not_tensors

K = registry.family("pool")
I = registry.family("index")
R = registry.family("reduce")

_ONES = (1, 1, 1)
_ZEROS = (0, 0, 0)


# ---- largest ----


def max_pool1d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest value of each window of (N, C, L) or (C, L); NaN wins. stride None means kernel_size.

    padding counts as -inf and is at most half the window; dilation: elements from one of a window to its next; ceil_mode: a last
    window may reach over the end. With return_indices also the places of the maxima in their planes (int64), the first of
    equal ones. RuntimeError for sizes that do not fit, TypeError for other types.
    """
    return _max_pool("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool2d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """max_pool1d on (N, C, H, W); kernel_size, stride, padding, dilation: an int or a pair. ceil_mode as there.

    With return_indices also the maxima's places h W + w.
    """
    return _max_pool("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def max_pool3d(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """max_pool1d on (N, C, D, H, W); sizes as there or triples. Indices are (d H + h) W + w."""
    return _max_pool("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


def _max_pool(op, dims, x, kernel_size, stride, padding, dilation, ceil_mode, return_indices):
    a = _batched(op, dims, x)
    kernel, stride, padding = _sizes(op, dims, kernel_size, stride, padding)
    dilation = _tuple(op, "dilation", dilation, dims, least=1)
    size = _output_size(op, a.shape, kernel, stride, padding, dilation, ceil_mode)
    geometry = _triple(kernel, 1), _triple(stride, 1), _triple(padding, 0), _triple(dilation, 1)
    return _largest(op, x, a, size, geometry, return_indices)


def adaptive_max_pool1d(input, output_size, return_indices=False):
    """The largest value of each of output_size windows over (N, C, L); with return_indices also places as max_pool1d's."""
    return _adaptive_max_pool("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool2d(input, output_size, return_indices=False):
    """adaptive_max_pool1d on (N, C, H, W); output_size is an int or a pair, None keeps the input's size."""
    return _adaptive_max_pool("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool3d(input, output_size, return_indices=False):
    """adaptive_max_pool1d on (N, C, D, H, W); output_size as adaptive_max_pool2d's, or a triple."""
    return _adaptive_max_pool("adaptive_max_pool3d", 3, input, output_size, return_indices)


def _adaptive_max_pool(op, dims, x, output_size, return_indices):
    a = _batched(op, dims, x)
    size = _adaptive_size(op, a.shape, output_size)
    return _largest(op, x, a, size, (None, _ONES, _ZEROS, _ONES), return_indices)


def _largest(op, x, a, size, geometry, return_indices):
    b = channels_last(a)
    y = empty_channels_last(a.shape[0], size, a.shape[1], a.dtype)
    at = None
    if return_indices or x.requires_grad and grad_enabled():
        count = math.prod(taps(b.shape, y.shape, geometry[0]))
        if count > 1 << 31:
            raise ValueError(f"{op}: windows of {count} elements are too large")
        at = memory.empty(y.shape, np.uint8 if count <= 256 else np.int32)
    if y.size:  # kernels walk along the axes, of which an empty output may have one of 2**50
        K.max_pool(y, at, b, *geometry)
    dims, batched = len(size), a is x.array
    out = record(_shaped(y, dims, batched), max_pool_backward, (x,), (at, b.shape, dims, geometry))
    if not return_indices:
        return out
    index = memory.empty(y.shape, np.int64)
    if y.size:
        K.max_index(index, at, b.shape, *geometry)
    return out, wrap(_shaped(index, dims, batched))


def max_pool_backward(node, dy):
    at, shape, dims, geometry = node.saved
    n, *size, c = shape
    dx = empty_nchw((n, c, *size[3 - dims :]), dy.dtype)
    if dy.size:
        K.max_pool_backward(channels_last(dx), _last(dy, dims), at, *geometry)
    else:
        dx.fill(0)
    return (dx if dy.ndim == dims + 2 else dx[0],)


def max_unpool1d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """Zeros with input at the places that max_pool1d returned as indices.

    The length is (L - 1) stride - 2 padding + kernel_size, or output_size, which differs from it by less than stride.
    Of repeated places the last value stays. RuntimeError for an index outside the output; nothing is written then.
    """
    return _max_unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """max_unpool1d on (N, C, H, W)."""
    return _max_unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(input, indices, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """max_unpool1d on (N, C, D, H, W)."""
    return _max_unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def _max_unpool(op, dims, x, indices, kernel_size, stride, padding, output_size):
    check_tensors(op, input=x, indices=indices)
    a, at = _batched(op, dims, x), indices.array
    if at.dtype != np.int64 or at.shape != x.array.shape:
        raise RuntimeError(
            f"{op}: indices must be int64 of input's shape {x.array.shape}, got {at.dtype} of shape {at.shape}"
        )
    kernel, stride, padding = _sizes(op, dims, kernel_size, stride, padding, half=False)
    size = [(i - 1) * s - 2 * p + k for i, k, s, p in zip(a.shape[2:], kernel, stride, padding)]
    if output_size is not None:
        if not isinstance(output_size, (tuple, list)):
            raise TypeError(f"{op}: output_size must be a tuple of ints, got {output_size!r}")
        wanted = tuple(output_size)[-dims:]
        if len(output_size) not in (dims, dims + 2) or any([abs(w - i) >= s for w, i, s in zip(wanted, size, stride)]):
            raise ValueError(
                f"{op}: output_size {tuple(output_size)} must differ from the default {tuple(size)} by less than"
                f" the stride {stride}"
            )
        size = wanted
    if min(size) < 1:
        raise RuntimeError(f"{op}: output of size {tuple(size)} is too small")
    check_addressable(op, (*a.shape[:2], *size))
    b, index = channels_last(a), _last(at, dims)
    y = empty_channels_last(a.shape[0], size, a.shape[1], a.dtype)
    bad = memory.empty((1,), np.int64)
    I.check(bad, index, math.prod(size))
    if bad[0] >= 0:
        raise RuntimeError(
            f"{op}: index {index.ravel()[bad[0]]} lies outside the output of size {tuple(size)}"
        )
    K.max_unpool(_pixels(y), _pixels(b), _pixels(index))
    return record(_shaped(y, dims, a is x.array), max_unpool_backward, (x,), (indices, dims))


def max_unpool_backward(node, dy):
    indices, dims = node.saved
    index = _last(indices, dims)
    dx = memory.empty(index.shape, dy.dtype)
    I.gather(_pixels(dx), _pixels(_last(dy, dims)), _pixels(index))
    return (_shaped(dx, dims, dy.ndim == dims + 2),)


# ---- average ----


def avg_pool1d(input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True) -> Tensor:
    """The mean of each window of (N, C, L) or (C, L); without count_include_pad, of what is not padding, else that is zeros.

    stride None means kernel_size; padding is at most half the window; ceil_mode: a last window may reach over the end,
    what is beyond the padding never counts. RuntimeError for sizes that do not fit, TypeError for other types.
    """
    return _avg_pool("avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None)


def avg_pool2d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Tensor:
    """avg_pool1d on (N, C, H, W); kernel_size, stride, padding: an int or a pair. ceil_mode, count_include_pad as there.

    divisor_override divides the sums in place of the count.
    """
    return _avg_pool("avg_pool2d", 2, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def avg_pool3d(
    input, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None
) -> Tensor:
    """avg_pool2d on (N, C, D, H, W), sizes an int or a triple; no window may be larger than the input without its padding."""
    return _avg_pool("avg_pool3d", 3, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def _avg_pool(op, dims, x, kernel_size, stride, padding, ceil_mode, include_pad, divisor):
    if isinstance(x, Tensor) and x.array.dtype == np.int64:  # the one integer that torch averages, towards zero
        x = wrap(x.array.astype(np.float64))
        return wrap(_avg_pool(op, dims, x, kernel_size, stride, padding, ceil_mode, include_pad, divisor).array.astype(np.int64))
    a = _batched(op, dims, x, floating=True)
    kernel, stride, padding = _sizes(op, dims, kernel_size, stride, padding)
    if divisor is not None and not hasattr(divisor, "__index__"):
        raise TypeError(f"{op}: divisor_override must be an int or None, got {divisor!r}")
    if divisor == 0:
        raise RuntimeError(f"{op}: divisor_override must not be zero")
    size = _output_size(op, a.shape, kernel, stride, padding, _ONES, ceil_mode)
    if dims == 3 and any([k > i for k, i in zip(kernel, a.shape[2:])]):  # padding does not help here, in torch
        raise RuntimeError(f"{op}: input of shape {tuple(x.shape)} is smaller than kernel_size {kernel}")
    geometry = _triple(kernel, 1), _triple(stride, 1), _triple(padding, 0), bool(include_pad), divisor
    return _average(x, a, size, geometry)


def adaptive_avg_pool1d(input, output_size) -> Tensor:
    """The mean of each of output_size windows over (N, C, L)."""
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool2d(input, output_size) -> Tensor:
    """adaptive_avg_pool1d on (N, C, H, W); output_size is an int or a pair, None keeps the input's size."""
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool3d(input, output_size) -> Tensor:
    """adaptive_avg_pool1d on (N, C, D, H, W); output_size as adaptive_avg_pool2d's, or a triple."""
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, input, output_size)


def _adaptive_avg_pool(op, dims, x, output_size):
    a = _batched(op, dims, x, floating=True, channels=0)
    size, geometry = _adaptive_size(op, a.shape, output_size), (None, _ONES, _ZEROS, True, None)
    if memory.c_order(a) and a.dtype.char in "fd" and max(size) == min(size) == 1 and (n := math.prod(a.shape[2:])):
        y = memory.empty(a.shape[:2] + size, a.dtype)  # means of rows: channels need not lie together
        R.sum(y, a, a.shape[0] * a.shape[1], n, 1, n)
        return record(y if a is x.array else y[0], avg_pool_backward, (x,), (a.shape, geometry))
    return _average(x, a, size, geometry)


def _average(x, a, size, geometry):
    y = empty_channels_last(a.shape[0], size, a.shape[1], a.dtype)
    if y.size:
        K.avg_pool(y, channels_last(a), *geometry)
    return record(_shaped(y, len(size), a is x.array), avg_pool_backward, (x,), (a.shape, geometry))


def avg_pool_backward(node, dy):
    shape, geometry = node.saved
    dims = len(shape) - 2
    dx = empty_nchw(shape, dy.dtype)
    if dy.size:
        K.avg_pool_backward(channels_last(dx), _last(dy, dims), *geometry)
    else:
        dx.fill(0)
    return (dx if dy.ndim == dims + 2 else dx[0],)


# ---- p-norm ----


def lp_pool1d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """(Σ input^p)^(1/p) over each window of (N, C, L), p = norm_type; kernel_size, stride, ceil_mode as avg_pool1d's.

    norm_type inf: the largest |input| of each window, -inf: the least. ZeroDivisionError for norm_type 0.
    """
    return _lp_pool(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """lp_pool1d on (N, C, H, W)."""
    return _lp_pool(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(input, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
    """lp_pool1d on (N, C, D, H, W); no window may be larger than the input."""
    return _lp_pool(3, input, norm_type, kernel_size, stride, ceil_mode)


def _lp_pool(dims, x, norm_type, kernel_size, stride, ceil_mode):
    op = f"lp_pool{dims}d"
    check_tensors(op, input=x)
    if not isinstance(norm_type, (int, float)):
        raise TypeError(f"{op}: norm_type must be a number, got {norm_type!r}")
    if norm_type == 0:
        raise ZeroDivisionError(f"{op}: norm_type must not be 0")
    if abs(norm_type) == math.inf:
        sign = math.copysign(1, norm_type)
        largest = _max_pool(op, dims, mul(unary.abs(x), sign), kernel_size, stride, 0, 1, ceil_mode, False)
        return mul(largest, sign)
    count = math.prod(_tuple(op, "kernel_size", kernel_size, dims, least=1))
    total = mul(_avg_pool(op, dims, pow(x, norm_type), kernel_size, stride, 0, ceil_mode, True, None), count)
    return pow(masked_fill(total, total == 0, 0), 1 / norm_type)  # where all is 0 the root's slope is infinite: none passes


# ---- arguments ----


def _batched(op, dims, x, floating=False, channels=1):
    """x's array as (N, C, *spatial), with at least so many channels."""
    if not isinstance(x, Tensor):
        raise not_tensors(op, input=x)
    a = x.array
    shape, kind = a.shape, a.dtype.kind
    if len(shape) not in (dims + 1, dims + 2):
        raise RuntimeError(f"{op}: wants {dims + 2} dimensions, or {dims + 1} without a batch, got shape {shape}")
    if 0 in shape[-dims:] or shape[-dims - 1] < channels:
        raise RuntimeError(f"{op}: no dimension but the batch may be empty, got shape {shape}")
    if kind == "b" or floating and kind != "f":
        raise RuntimeError(f"{op}: wants a {'floating' if floating else 'numeric'} tensor, got {a.dtype}")
    return a if len(shape) == dims + 2 else a[None]


def _tuple(op, name, value, dims, least):
    """An int, or a sequence of one or dims ints, as a tuple of dims."""
    if type(value) is int and least <= value < 1 << 31:
        return (value,) * dims
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) not in (1, dims) or not all([hasattr(v, "__index__") for v in values]):
        raise TypeError(f"{op}: {name} must be an int or {dims} of them, got {value!r}")
    values = tuple([v.__index__() for v in values])
    if min(values) < least:
        raise RuntimeError(f"{op}: {name} must be at least {least}, got {value!r}")
    if max(values) >= 1 << 31:
        raise RuntimeError(f"{op}: {name} must be below 2**31, got {value!r}")
    return values * dims if len(values) == 1 else values


def _sizes(op, dims, kernel_size, stride, padding, half=True):
    kernel = _tuple(op, "kernel_size", kernel_size, dims, least=1)
    stride = kernel if stride is None or stride == () or stride == [] else _tuple(op, "stride", stride, dims, least=1)
    return kernel, stride, _tuple(op, "padding", padding, dims, least=0)


@lru_cache(1024)
def _output_size(op, shape, kernel, stride, padding, dilation, ceil_mode):
    size = []
    for i, k, s, p, d in zip(shape[2:], kernel, stride, padding, dilation):
        if p > k // 2:
            raise RuntimeError(f"{op}: padding {padding} is more than half of kernel_size {kernel}")
        o = (i + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        size.append(o - 1 if ceil_mode and (o - 1) * s >= i + p else o)
    if min(size) < 1:
        raise RuntimeError(
            f"{op}: input of shape {shape} is too small for kernel_size {kernel}, dilation {dilation[: len(kernel)]}"
            f" and padding {padding}: the output's size would be {tuple(size)}"
        )
    if math.prod(kernel) >= 1 << 62:
        raise RuntimeError(f"{op}: windows of kernel_size {kernel} are too large")
    return tuple(size)


def _adaptive_size(op, shape, output_size):
    dims = len(shape) - 2
    if type(output_size) is int and 0 <= output_size < 1 << 16:
        return (output_size,) * dims
    sizes = tuple(output_size) if isinstance(output_size, (tuple, list)) else (output_size,)
    if len(sizes) not in (1, dims) or not all([s is None or hasattr(s, "__index__") for s in sizes]):
        raise TypeError(f"{op}: output_size must be an int, None or {dims} of them, got {output_size!r}")
    sizes = sizes * dims if len(sizes) == 1 else sizes
    sizes = tuple([i if s is None else s.__index__() for s, i in zip(sizes, shape[2:])])
    if min(sizes) < 0:
        raise RuntimeError(f"{op}: output_size must not be negative, got {output_size!r}")
    if max(sizes) >= 1 << 16:
        check_addressable(op, (*shape[:2], *sizes))
    return sizes


def _triple(values, missing):
    return (missing,) * (3 - len(values)) + tuple(values)


def _shaped(y, dims, batched):
    """y [N, D, H, W, C] as (N, C, *spatial), or (C, *spatial)."""
    y = as_nchw(y, dims + 2)
    return y if batched else y[0]


def _last(dy, dims):
    """dy, of the op's output, as [N, D, H, W, C]."""
    return channels_last(dy if dy.ndim == dims + 2 else dy[None])


def _pixels(a):
    """[N, D, H, W, C] as [N, pixels, C]."""
    n, d, h, w, c = a.shape
    return a.reshape(n, d * h * w, c)
