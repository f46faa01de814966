"""Images, signals and volumes at other sizes.

Every mode is linear and works axis by axis: y = B_D B_H B_W x with band matrices B [out, n], whose row o holds
the weights of the input's pixels. With s = n / out (or 1 / scale_factor), output pixel o looks at t = s (o + 1/2) - 1/2,
or, where corners are aligned, at t = o (n - 1) / (out - 1):

    nearest        pixel floor(s o);  nearest-exact: pixel floor(s (o + 1/2))
    linear         pixels i = floor(t) and i + 1, weights 1 - (t - i) and t - i; t < 0 counts as 0
    cubic          pixels i - 1 to i + 2, weights k(their distance), k Keys' cubic convolution with a = -0.75
    area           the mean of pixels floor(o n / out) to ceil((o + 1) n / out) - 1
    antialiased    weights ~ k(distance / max(s, 1)): the triangle, or the cubic with a = -0.5 (as in Pillow)

Pixels outside count as the nearest one inside. The gradient is the same kernel with transposed matrices: it
gathers, and no sum depends on the number of threads. Keys: IEEE Trans. ASSP 29 (1981) 1153.
"""

from functools import lru_cache, partial

import numpy as np

from .. import registry
from ..autograd import record
from ..tensor import Tensor
from ._geometry import check_addressable
from ._layout import as_nchw, channels_last, empty_channels_last
from .promotion import check_tensors

K = registry.family("resample")

# mode -> (number of spatial axes, or None for any; what runs along each)
MODES = {
    "nearest": (None, "nearest"),
    "nearest-exact": (None, "nearest-exact"),
    "area": (None, "area"),
    "linear": (1, "linear"),
    "bilinear": (2, "linear"),
    "trilinear": (3, "linear"),
    "bicubic": (2, "cubic"),
}


def interpolate(
    input, size=None, scale_factor=None, mode="nearest", align_corners=None, recompute_scale_factor=None, antialias=False
) -> Tensor:
    """input (N, C, *spatial) with other spatial sizes: `size`, or those of input times scale_factor, rounded down.

    size, scale_factor: one number, or one for each of the 1 to 3 axes. mode: nearest, nearest-exact, area, linear (1 axis),
    bilinear, bicubic (2), trilinear (3). align_corners (the last four): the outermost pixels keep their places.
    recompute_scale_factor: distances follow from the sizes instead of scale_factor. antialias (bilinear, bicubic): weights
    reach over all pixels that an output pixel stands for. ValueError, TypeError, RuntimeError for sizes that do not fit,
    NotImplementedError for a mode that wants another number of axes.
    """
    check_tensors("interpolate", input=input)
    shape = input.array.shape
    kind = _kind(shape, mode, align_corners, antialias)
    size, scales = _sizes(shape, size, scale_factor, recompute_scale_factor, mode == "area")
    if input.array.dtype.kind != "f" and "nearest" not in mode:
        raise RuntimeError(f"interpolate: mode {mode!r} wants a floating tensor, got {input.array.dtype}")
    if kind == "nearest" and len(shape) == 4:  # as in torch, which passes over a factor where sizes match, with two axes only
        scales = [None if out in (n, 2 * n) else s for n, out, s in zip(shape[2:], size, scales)]
    x = channels_last(input.array)
    weights = x.dtype if x.dtype.kind == "f" else np.dtype(np.float64)
    axes = [(kind, n, out, s, bool(align_corners), weights) for n, out, s in zip(shape[2:], size, scales)]
    axes = [("nearest", 1, 1, None, False, weights)] * (3 - len(axes)) + axes
    y = empty_channels_last(shape[0], size, shape[1], x.dtype)
    K.resample(y, x, *[band(*axis) for axis in axes])
    return record(as_nchw(y, len(shape)), interpolate_backward, (input,), (shape, axes))


def interpolate_backward(node, dy):
    """y = B_D B_H B_W x  =>  dx = B_D' B_H' B_W' dy"""
    shape, axes = node.saved
    dx = empty_channels_last(shape[0], shape[2:], shape[1], dy.dtype)
    K.resample(dx, channels_last(dy), *[transposed_band(*axis) for axis in axes])
    return (as_nchw(dx, len(shape)),)


def upsample(input, size=None, scale_factor=None, mode="nearest", align_corners=None) -> Tensor:
    """interpolate under torch's old name."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input, size=None, scale_factor=None) -> Tensor:
    """interpolate in mode nearest."""
    return interpolate(input, size, scale_factor)


def upsample_bilinear(input, size=None, scale_factor=None) -> Tensor:
    """interpolate in mode bilinear, with corners aligned."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# ---- band matrices as (first column, offset of the weights, weights) of the rows ----


@lru_cache(256)
def band(kind, n, out, scale, align_corners, dtype):
    """The matrix [out, n] of an axis; scale: the scale factor, or None for out / n."""
    if out == n and kind in ("linear", "antialiased linear", "antialiased cubic"):
        scale = None  # as in torch, where sizes match, whatever the factor
    if kind.startswith("nearest"):
        first = _nearest(kind, n, out, scale)
        return first, np.arange(out + 1), np.ones(out, dtype)
    first, weight = ROWS[kind](n, out, _step(n, out, scale, align_corners), align_corners)
    return _trimmed(*_inside(first, weight, n), dtype)


@lru_cache(256)
def transposed_band(*axis):
    """The matrix of an axis, transposed."""
    n, out = axis[1:3]
    first, offset, weight = band(*axis)
    count = np.diff(offset)
    row = np.repeat(np.arange(out), count)
    column = np.arange(len(weight)) + np.repeat(first - offset[:-1], count)
    low, high = np.full(n, out), np.full(n, -1)
    np.minimum.at(low, column, row)
    np.maximum.at(high, column, row)
    reach = np.maximum(high - low + 1, 0)
    starts = np.concatenate([[0], np.cumsum(reach)])
    turned = np.zeros(starts[-1], weight.dtype)
    turned[starts[column] + row - low[column]] = weight
    return np.where(reach > 0, low, 0), starts, turned


def _step(n, out, scale, align_corners):
    if align_corners:
        return (n - 1) / (out - 1) if out > 1 else 0.0
    return 1 / scale if scale else n / max(out, 1)


def _nearest(kind, n, out, scale):
    # In float32, as in torch: elsewhere products just below an integer would name another pixel.
    step = np.float32(1 / scale) if scale else np.float32(n) / np.float32(out)
    at = np.arange(out, dtype=np.float32) + np.float32(0.5 if kind == "nearest-exact" else 0)
    return np.minimum(np.floor(at * step).astype(np.int64), n - 1)


def _positions(out, step, align_corners):
    o = np.arange(out)
    return step * o if align_corners else step * (o + 0.5) - 0.5


def _linear(n, out, step, align_corners):
    t = np.clip(_positions(out, step, align_corners), 0, n - 1)
    first = t.astype(np.int64)
    return first, np.stack([1 - (t - first), t - first], 1)


def _cubic(n, out, step, align_corners):
    t = _positions(out, step, align_corners)
    first = np.floor(t).astype(np.int64) - 1
    return first, _keys(np.abs(t[:, None] - first[:, None] - np.arange(4)), -0.75)


def _area(n, out, step, align_corners):
    o = np.arange(out)
    first, stop = o * n // out, -(-(o + 1) * n // out)
    count = (stop - first)[:, None]
    return first, (np.arange(count.max(initial=1)) < count) / count


def _antialiased(kernel, radius, n, out, step, align_corners):
    wide = max(step, 1.0)
    centre = step * (np.arange(out) + 0.5)
    first = np.maximum((centre - radius * wide + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + radius * wide + 0.5).astype(np.int64), n)
    at = first[:, None] + np.arange((stop - first).max())
    weight = kernel(np.abs(at + 0.5 - centre[:, None]) / wide) * (at < stop[:, None])
    return first, weight / weight.sum(1, keepdims=True)


def _triangle(d):
    return np.maximum(1 - d, 0)


def _keys(d, a=-0.5):
    """Keys' cubic convolution of distances d."""
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


# kind -> function of (n, out, step, align_corners): the first column of each row, and weights [out, columns]
ROWS = {
    "linear": _linear,
    "cubic": _cubic,
    "area": _area,
    "antialiased linear": partial(_antialiased, _triangle, 1),
    "antialiased cubic": partial(_antialiased, _keys, 2),
}


def _inside(first, weight, n):
    """The weights of what is outside 0..n-1 added to the nearest pixel inside."""
    at = first[:, None] + np.arange(weight.shape[1])
    inside = np.clip(at, 0, n - 1)
    low = inside[:, :1]
    moved = np.zeros_like(weight)
    np.add.at(moved, (np.arange(len(first))[:, None], inside - low), weight)
    return low[:, 0], moved


def _trimmed(first, weight, dtype):
    """The band without zeros at the ends of its rows."""
    used = weight != 0
    start, stop = used.argmax(1), weight.shape[1] - used[:, ::-1].argmax(1)
    at = np.arange(weight.shape[1])
    kept = (at >= start[:, None]) & (at < stop[:, None])
    return first + start, np.concatenate([[0], np.cumsum(stop - start)]), weight[kept].astype(dtype)


# ---- arguments ----


def _kind(shape, mode, align_corners, antialias):
    if mode not in MODES:
        raise NotImplementedError(f"interpolate: mode must be one of {', '.join(MODES)}, got {mode!r}")
    axes, kind = MODES[mode]
    if not 3 <= len(shape) <= 5 or axes not in (None, len(shape) - 2):
        wanted = f"{axes + 2} dimensions" if axes else "3 to 5 dimensions"
        raise NotImplementedError(f"interpolate: mode {mode!r} wants {wanted}, got shape {shape}")
    if axes is None and align_corners is not None:
        raise ValueError(f"interpolate: align_corners has no meaning in mode {mode!r}")
    if not antialias:
        return kind
    if mode not in ("bilinear", "bicubic"):
        raise ValueError(f"interpolate: antialias has a meaning in modes 'bilinear' and 'bicubic', not in {mode!r}")
    return f"antialiased {kind}"


def _sizes(shape, size, scale_factor, recompute, area):
    """(output sizes, scale factors or Nones) of the spatial axes."""
    if (size is None) == (scale_factor is None):
        raise ValueError(f"interpolate: wants either size or scale_factor, got {size} and {scale_factor}")
    if recompute and scale_factor is None:
        raise ValueError("interpolate: recompute_scale_factor has no meaning where size is given")
    spatial = shape[2:]
    scales = [None] * len(spatial)
    if size is None:
        factors = _each("scale_factor", scale_factor, spatial)
        if not all([isinstance(f, (int, float, np.number)) for f in factors]):
            raise TypeError(f"interpolate: scale_factor must be a number or one for each axis, got {scale_factor!r}")
        try:
            size = [int(n * f) for n, f in zip(spatial, factors)]
        except (ValueError, OverflowError):
            raise RuntimeError(f"interpolate: scale_factor must be finite, got {scale_factor}") from None
        scales = scales if recompute or area else [float(f) for f in factors]
    else:
        size = _each("size", size, spatial)
        if not all([hasattr(s, "__index__") for s in size]):
            raise TypeError(f"interpolate: size must be an int or one for each axis, got {tuple(size)}")
        size = [s.__index__() for s in size]
    if min(size) < (0 if area else 1) or 0 in shape[2 if area else 1 :]:
        raise RuntimeError(f"interpolate: sizes must be at least 1, got {tuple(size)} for input of shape {shape}")
    if max(size) >= 1 << 16:
        check_addressable("interpolate", (*shape[:2], *size))
    return size, scales


def _each(name, value, spatial):
    """value, or one value for each spatial axis, as a list."""
    if not isinstance(value, (tuple, list)):
        return [value] * len(spatial)
    if len(value) != len(spatial):
        raise ValueError(f"interpolate: {name} {tuple(value)} must be one number for each of the axes {spatial}")
    return list(value)
