"""Fractional max pooling: the largest value of windows that lie at random, unevenly spaced places (Graham, arXiv:1412.6071).

Along an axis of I inputs, O outputs and windows of K, window o < O - 1 starts at floor((o + u) a) - floor(u a), where
a = (I - K) / (O - 1), and the last one at I - K; u is uniform in 0..1, one for each sample, channel and axis.

    dx[i] = Σ dy[o] over the windows o whose maximum i is
"""

from itertools import product

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..tensor import wrap
from ._layout import channels_last, empty_channels_last, empty_nchw
from .pool import _batched, _last, _pixels, _shaped, _tuple
from .promotion import check_tensors
from .random import uniform_into

I = registry.family("index")


def fractional_max_pool2d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """The largest value of output_size windows over (N, C, H, W), or of (H, W) times output_ratio; NaN wins.

    kernel_size, output_size: an int or a pair, output_ratio: a float or a pair. With return_indices also the places h W + w of
    the maxima (int64), the first of equal ones. _random_samples (N, C, 2): u along w and h; None draws them.
    ValueError without output_size and output_ratio, RuntimeError for sizes and samples that do not fit.
    """
    return _fractional("fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def fractional_max_pool3d(
    input, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None
):
    """fractional_max_pool2d on (N, C, D, H, W). Indices are (d H + h) W + w, _random_samples (N, C, 3): u along d, h and w."""
    return _fractional("fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, return_indices, _random_samples)


def _fractional(op, dims, input, kernel_size, output_size, output_ratio, return_indices, samples):
    a = _batched(op, dims, input, floating=True)
    n, c, *spatial = a.shape
    kernel = _tuple(op, "kernel_size", kernel_size, dims, least=1)
    size = _size(op, spatial, output_size, output_ratio)
    if any([o + k - 1 > i for o, k, i in zip(size, kernel, spatial)]):
        raise RuntimeError(f"{op}: windows {kernel} are too large for {size} of them in an input of shape {a.shape}")
    u = _samples(op, samples, (n, c, dims), a.dtype)
    x, y = channels_last(a), empty_channels_last(n, size, c, a.dtype)
    index = memory.empty(y.shape, np.int64)
    if dims == 2:
        u = u[..., ::-1]
    starts = [_starts(u[..., j], *sizes) for j, sizes in enumerate(zip(spatial, size, kernel))]
    _largest(_pixels(y), _pixels(index), _pixels(x), starts, spatial, kernel)
    batched = a is input.array
    indices = wrap(_shaped(index, dims, batched))
    out = record(_shaped(y, dims, batched), fractional_max_pool_backward, (input,), (indices, a.shape))
    return (out, indices) if return_indices else out


def fractional_max_pool_backward(node, dy):
    indices, shape = node.saved
    dims = len(shape) - 2
    dx = empty_nchw(shape, dy.dtype)
    I.scatter_add(_pixels(channels_last(dx)), None, _pixels(_last(dy, dims)), _pixels(_last(indices, dims)))
    return (dx if dy.ndim == dims + 2 else dx[0],)


def _largest(y, index, x, starts, spatial, kernel):
    """y [N, P, C] and index, the pixel it is at, from x [N, Q, C]; starts of the windows [N, O, C] for each axis."""
    first = 0
    for axis, (s, i) in enumerate(zip(starts, spatial)):
        first = np.expand_dims(first * i, -2) + np.expand_dims(s, tuple(range(1, 1 + axis))) if axis else s
    first = first.reshape(index.shape)
    strides = [int(np.prod(spatial[j + 1 :])) for j in range(len(spatial))]
    index[...] = first
    y.fill(-np.inf)
    at, value = memory.empty(index.shape, np.int64), memory.empty(y.shape, y.dtype)
    for place in product(*map(range, kernel)):
        np.add(first, sum(i * s for i, s in zip(place, strides)), out=at)
        I.gather(value, x, at)
        better = (value > y) | (value != value)
        np.copyto(y, value, where=better)
        np.copyto(index, at, where=better)


def _starts(u, i, o, k):
    """[N, O, C] for samples u [N, C]."""
    if o < 2:
        return np.full((u.shape[0], o, u.shape[1]), i - k)
    step, u = u.dtype.type(i - k) / u.dtype.type(o - 1), u[:, None]
    starts = ((np.arange(o, dtype=u.dtype)[:, None] + u) * step).astype(np.int64) - (u * step).astype(np.int64)
    starts[:, -1] = i - k
    return starts


def _size(op, spatial, output_size, output_ratio):
    if output_size is not None:
        return _tuple(op, "output_size", output_size, len(spatial), least=1)
    if output_ratio is None:
        raise ValueError(f"{op}: wants an output_size or an output_ratio")
    ratio = tuple(output_ratio) if isinstance(output_ratio, (tuple, list)) else (output_ratio,) * len(spatial)
    size = tuple([int(i * r) for i, r in zip(spatial, ratio)])
    if len(ratio) != len(spatial) or min(size) < 1:
        raise RuntimeError(f"{op}: output_ratio {output_ratio!r} makes no output of an input of size {tuple(spatial)}")
    return size


def _samples(op, samples, shape, dtype):
    if samples is None:
        u = memory.empty(shape, dtype)
        uniform_into(u)
        return u
    check_tensors(op, _random_samples=samples)
    u = samples.array
    if u.dtype != dtype or u.ndim != 3 or u.shape[0] < shape[0] or u.shape[1:] != shape[1:]:
        raise RuntimeError(f"{op}: _random_samples must be {dtype} of shape {shape}, got {u.dtype} of shape {u.shape}")
    u = u[: shape[0]]
    if not ((u >= 0) & (u <= 1)).all():
        raise RuntimeError(f"{op}: _random_samples must be within 0 and 1")
    return u
