"""Images and volumes looked at where a grid says, and grids of affine maps.

    y[n, c, p] = Σ_taps w(p) x[n, c, tap(p)]

grid[n, p] = (gx, gy[, gz]) names a place: -1 and 1 are the outermost pixels' centres where corners are aligned, their
outer edges otherwise, so t = (g + 1) (size - 1) / 2 or ((g + 1) size - 1) / 2. The taps of a place are the product of those
along each axis: 1 (nearest), 2 (bilinear) or 4 (bicubic, Keys' with a = -0.75). What lies outside is zero, or the place
(bicubic: the tap) is moved to the border, or mirrored there.

y is a weighted sum of x's rows of channels, as in an embedding bag; dx is the same over taps sorted by row, in a fixed
order; dgrid follows from <x[tap], dy[p]> and the slope of the weights. P places, T taps along an axis, A axes.
Source: Jaderberg et al. 2015, arXiv:1506.02025.
"""

from functools import reduce

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor, wrap
from ._layout import as_nchw, channels_last, empty_channels_last
from .create import sizes_of
from .linear import matmul
from .promotion import not_tensors
from .resample import keys
from .shape import reshape, transpose

K = registry.family("index")

MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None):
    """input (N, C, H, W) at the places grid (N, OH, OW, 2), as (N, C, OH, OW); (N, C, D, H, W) takes (N, OD, OH, OW, 3).

    mode: "bilinear" (also in volumes), "nearest", "bicubic" (images). padding_mode: "zeros", "border", "reflection".
    align_corners: default False. RuntimeError for shapes or dtypes that do not fit, ValueError for other modes.
    """
    if not isinstance(input, Tensor) or not isinstance(grid, Tensor):
        raise not_tensors("grid_sample", input=input, grid=grid)
    if mode not in MODES:
        raise ValueError(f"grid_sample: mode must be one of {', '.join(MODES)}, got {mode!r}")
    if padding_mode not in PADDING_MODES:
        raise ValueError(f"grid_sample: padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
    x, g = input.array, grid.array
    _check(x, g, mode)
    options = mode, padding_mode, bool(align_corners)
    rows, inside, weight, _ = _taps_of(g, x.shape, options)
    kept = inside.T  # place by place
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(inside, 0))])
    y = empty_channels_last(x.shape[0], g.shape[1:-1], x.shape[1], x.dtype)
    table = channels_last(x).reshape(1, -1, x.shape[1]) if x.size else x.reshape(1, 0, x.shape[1])
    K.segment_sum(y.reshape(1, kept.shape[0], x.shape[1]), None, weight.T[kept], table, rows.T[kept], starts)
    return record(as_nchw(y, x.ndim), grid_sample_backward, (input, grid), (input, grid, options))


def grid_sample_backward(node, dy):
    x, g, options = node.saved
    rows, inside, weight, axes = _taps_of(g, x.shape, options)
    places, c = rows.shape[1], x.shape[1]
    dy = channels_last(dy).reshape(places, c)
    dx = dg = None
    if node.needs(0):
        # y[p] = Σ w x[row]  =>  dx[row] = Σ w dy[p]
        kept = inside.T
        place = np.broadcast_to(np.arange(places)[:, None], kept.shape)[kept]
        order, starts = memory.empty(place.shape, np.int64), memory.empty((x.size // c + 1,), np.int64)
        K.counting_sort(order, starts, rows.T[kept])
        dx = empty_channels_last(x.shape[0], x.shape[2:], c, dy.dtype)
        K.segment_sum(dx.reshape(1, -1, c), None, weight.T[kept][order], dy[None], place[order], starts)
        dx = as_nchw(dx, x.ndim)
    if node.needs(1):
        # w = Π w_axis  =>  dg_axis = Σ <x[row], dy> w_axis' Π of the others' weights
        table = channels_last(x).reshape(-1, c)
        found = np.stack([np.einsum("pc,pc->p", table[r], dy) for r in rows]) * inside
        found = found.reshape(*[len(w) for w, _ in axes], places)
        dg = memory.empty((places, len(axes)), dy.dtype)
        for i in range(len(axes)):
            factors = [slope if j == i else w for j, (w, slope) in enumerate(axes)]
            dg[:, -1 - i] = (found * _product(factors, np.multiply)).sum(tuple(range(len(axes))))
        dg = dg.reshape(g.shape)
    return dx, dg


def _taps_of(grid, shape, options):
    """(rows, inside, weight [T^A, P] of the taps; the axes' [(weight, slope) [T, P]], the last spatial axis last)."""
    spatial = shape[2:]
    places = grid.reshape(-1, len(spatial)).T[::-1]
    taps = [_taps(g, n, *options) for g, n in zip(places, spatial)]
    index, inside, weight, slope = zip(*taps)
    rows = np.repeat(np.arange(shape[0]), len(places[0]) // max(shape[0], 1))
    rows = reduce(lambda r, a: r * a[1] + a[0], zip(_apart(index), spatial), rows)
    inside = _product(inside, np.logical_and)
    rows = np.where(inside, rows, 0)
    flat = len(index[0]) ** len(index), len(places[0])
    return rows.reshape(flat), inside.reshape(flat), _product(weight, np.multiply).reshape(flat), list(zip(weight, slope))


def _apart(arrays):
    """Arrays [T, P] as [T, 1, P], [1, T, P] and so on."""
    n = len(arrays)
    return [a.reshape((1,) * i + (len(a),) + (1,) * (n - 1 - i) + a.shape[1:]) for i, a in enumerate(arrays)]


def _product(arrays, function):
    return reduce(function, _apart(arrays))


def _taps(g, n, mode, padding_mode, align_corners):
    """(index, whether it is inside, weight, d weight / dg) [T, P] of the taps of places g [P] along an axis of n."""
    t, rate = ((g + 1) * ((n - 1) / 2), (n - 1) / 2) if align_corners else (((g + 1) * n - 1) / 2, n / 2)
    if mode != "bicubic":
        t, turned = _moved(t, n, padding_mode, align_corners)
        rate = rate * turned
    t = np.where(np.abs(t) < 2**30, t, t.dtype.type(-100))  # NaN is outside too
    if mode == "nearest":
        at = np.rint(t)[None]
        weight, slope = np.ones_like(at), np.zeros_like(at)
    elif mode == "bilinear":
        at = np.floor(t) + np.arange(2, dtype=t.dtype)[:, None]
        weight = np.stack([at[1] - t, t - at[0]])
        slope = np.multiply.outer([-1, 1], rate * np.ones_like(t))
    else:
        at = np.floor(t) + np.arange(-1, 3, dtype=t.dtype)[:, None]
        weight, slope = keys(np.abs(t - at), -0.75), _keys_slope(t - at, -0.75) * rate
        at, _ = _moved(at, n, padding_mode, align_corners)
    return at.astype(np.int64), (at >= 0) & (at < n), weight.astype(t.dtype), slope.astype(t.dtype)


def _keys_slope(d, a):
    s, d = np.sign(d), np.abs(d)
    return s * np.where(d <= 1, (3 * (a + 2) * d - 2 * (a + 3)) * d, a * ((3 * d - 10) * d + 8))


def _moved(t, n, padding_mode, align_corners):
    """(t moved into 0..n-1 as padding_mode wants, the derivative: 1, -1 or 0)."""
    if padding_mode == "zeros":
        return t, 1
    t, turned = np.nan_to_num(t), 1
    if padding_mode == "reflection":
        low, span = (0, n - 1) if align_corners else (-0.5, n)
        if span == 0:
            return np.zeros_like(t), 0
        over, far = np.abs(t - low), t < low
        odd = np.floor(over / span) % 2 == 1
        rest = np.fmod(over, span)
        t = np.where(odd, span - rest, rest).astype(t.dtype) + t.dtype.type(low)
        turned = np.where(odd == far, 1, -1)
    return np.clip(t, 0, n - 1), turned * ((t > 0) & (t < n - 1))


def _check(x, g, mode):
    if x.ndim not in (4, 5) or g.ndim != x.ndim or g.shape[0] != x.shape[0] or g.shape[-1] != x.ndim - 2:
        raise RuntimeError(
            "grid_sample: wants input (N, C, H, W) with grid (N, OH, OW, 2), or (N, C, D, H, W) with grid (N, OD, OH, OW, 3), "
            f"got shapes {x.shape} and {g.shape}"
        )
    if x.dtype != g.dtype or x.dtype.kind != "f":
        raise RuntimeError(f"grid_sample: input and grid must be of one floating dtype, got {x.dtype} and {g.dtype}")
    if 0 in x.shape[1:]:
        raise RuntimeError(f"grid_sample: input must have channels and pixels, got shape {x.shape}")
    if mode == "bicubic" and x.ndim == 5:
        raise RuntimeError(f"grid_sample: mode 'bicubic' wants images, got input of shape {x.shape}")


def affine_grid(theta, size, align_corners=None):
    """The grid (N, H, W, 2) that shows, for each output place g of `size` (N, C, H, W), the input place theta (g, 1).

    theta: (N, 2, 3); for size (N, C, D, H, W) (N, 3, 4), the grid (N, D, H, W, 3). align_corners: default False.
    """
    if not isinstance(theta, Tensor):
        raise not_tensors("affine_grid", theta=theta)
    size = sizes_of("affine_grid", (size,))
    axes = len(size) - 2
    if axes not in (2, 3) or theta.array.shape != (size[0], axes, axes + 1) or min(size) < 1:
        raise ValueError(
            "affine_grid: wants theta (N, 2, 3) for size (N, C, H, W), or (N, 3, 4) for (N, C, D, H, W), of at least 1; "
            f"got theta of shape {theta.array.shape} for size {size}"
        )
    if theta.array.dtype.kind != "f":
        raise ValueError(f"affine_grid: theta must be of a floating dtype, got {theta.array.dtype}")
    lines = [np.linspace(-1, 1, n) * (1 if align_corners else (n - 1) / n) if n > 1 else np.zeros(1) for n in size[2:]]
    base = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(size[2:])], -1).astype(theta.array.dtype)
    grid = matmul(wrap(base.reshape(-1, axes + 1)), transpose(theta, 1, 2))
    return reshape(grid, (size[0], *size[2:], axes))
