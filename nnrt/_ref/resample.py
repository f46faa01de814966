"""Resampling of channels-last arrays: along their axes, and at places that a grid names (specification).

    resample  y[n, od, oh, ow, c] = Σ_{d, h, w} B_D[od, d] B_H[oh, h] B_W[ow, w] x[n, d, h, w, c]

    grid_sample  y[n, p, c] = Σ_taps w(p) x[n, tap(p), c];  dx[n, i, c] = Σ_{tap(p) = i} w(p) dy[n, p, c]

grid[n, p] = (gx, gy[, gz]) names a place: -1 and 1 are the outermost pixels' centres where corners are aligned, their
outer edges otherwise, so t = (g + 1) (size - 1) / 2 or ((g + 1) size - 1) / 2. The taps of a place are the products of those
along each axis: 1 (nearest), 2 (bilinear) or 4 (bicubic, Keys' with a = -0.75). What lies outside is zero, or the place
(bicubic: the tap) is moved to the border, or mirrored there ("reflection"; what is not finite becomes 0).

Legend: P places, T taps along an axis, A axes; N batch, D H W in, OD OH OW out, C channels. B is a band matrix, given as
(first, offset, weight): row o holds weight[offset[o] : offset[o + 1]] from column first[o] on. The gradient is the same with
transposed bands.
"""

import math
from functools import reduce

import numpy as np

from . import Out


def resample(y: Out, x, d, h, w):
    """y = x with the band matrices d, h, w applied along axes 1, 2, 3."""
    for axis, band in ((1, d), (2, h), (3, w)):
        x = _along(x, axis, *band)
    y[...] = x


def _along(x, axis, first, offset, weight):
    rows = np.moveaxis(x, axis, 0)
    y = np.zeros((len(first), *rows.shape[1:]), np.result_type(x, weight))
    for o, i in enumerate(first):
        for n, b in enumerate(weight[offset[o] : offset[o + 1]]):
            y[o] = y[o] + b * rows[i + n] if n else b * rows[i]  # a single term keeps its sign of zero
    return np.moveaxis(y, 0, axis)


def grid_sample(y: Out, x, grid, mode, padding_mode, align_corners):
    """y [N, OD, OH, OW, C] = x [N, D, H, W, C] at the places grid [N, P, A]; A = 2: D = OD = 1."""
    rows, inside, weight, _ = _taps_of(grid, x.shape, mode, padding_mode, align_corners)
    x, y = _rows(x), _rows(y)
    y[...] = 0
    for r, i, w in zip(rows, inside, weight):
        y[i] += w[i, None] * x[r[i]]


def grid_sample_dx(dx: Out, dy, grid, mode, padding_mode, align_corners):
    """y[p] = Σ w x[tap]  =>  dx[tap] = Σ w dy[p], in the order of the places"""
    rows, inside, weight, _ = _taps_of(grid, dx.shape, mode, padding_mode, align_corners)
    dx[...] = 0
    np.add.at(_rows(dx), rows.T[inside.T], (weight.T[..., None] * _rows(dy)[:, None])[inside.T])


def grid_sample_dgrid(dgrid: Out, dy, x, grid, mode, padding_mode, align_corners):
    """w = Π w_axis  =>  dg_axis = Σ <x[tap], dy[p]> w_axis' Π of the others' weights"""
    rows, inside, _, axes = _taps_of(grid, x.shape, mode, padding_mode, align_corners)
    x, dy = _rows(x), _rows(dy)
    found = np.zeros(rows.shape, dy.dtype)
    for r, i, f in zip(rows, inside, found):
        f[i] = np.einsum("pc,pc->p", x[r[i]], dy[i])
    found = found.reshape(*[len(w) for w, _ in axes], len(dy))
    for i in range(len(axes)):
        factors = [slope if j == i else w for j, (w, slope) in enumerate(axes)]
        dg = (found * _product(factors, np.multiply)).sum(tuple(range(len(axes))))
        dgrid[..., -1 - i] = dg.reshape(dgrid.shape[:2])


def _rows(a):
    """[N, D, H, W, C] as [N D H W, C]."""
    return a.reshape(math.prod(a.shape[:4]), a.shape[4])


def _taps_of(grid, shape, mode, padding_mode, align_corners):
    """(rows, inside, weight [T^A, P] of the taps; the axes' [(weight, slope) [T, P]], the last spatial axis last)."""
    spatial = shape[4 - grid.shape[2] : 4]
    places = grid.reshape(-1, len(spatial)).T[::-1]
    taps = [_taps(g, n, mode, padding_mode, align_corners) for g, n in zip(places, spatial)]
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
        weight, slope = _keys(np.abs(t - at), -0.75), _keys_slope(t - at, -0.75) * rate
        at, _ = _moved(at, n, padding_mode, align_corners)
    return at.astype(np.int64), (at >= 0) & (at < n), weight.astype(t.dtype), slope.astype(t.dtype)


def _keys_slope(d, a):
    s, d = np.sign(d), np.abs(d)
    return s * np.where(d <= 1, (3 * (a + 2) * d - 2 * (a + 3)) * d, a * ((3 * d - 10) * d + 8))


def _moved(t, n, padding_mode, align_corners):
    """(t moved into 0..n-1 as padding_mode wants, the derivative: 1, -1 or 0)."""
    if padding_mode == "zeros":
        return t, 1
    turned = 1
    if padding_mode == "reflection":
        low, span = (0, n - 1) if align_corners else (-0.5, n)
        if span == 0:
            return np.zeros_like(t), 0
        t = np.where(np.isfinite(t), t, t.dtype.type(low))
        rest, far = np.fmod(np.abs(t - t.dtype.type(low)), 2 * span), t < low
        odd = rest >= span
        t = np.where(odd, 2 * span - rest, rest).astype(t.dtype) + t.dtype.type(low)
        turned = np.where(odd == far, 1, -1)
    t = np.nan_to_num(t)
    return np.clip(t, 0, n - 1), turned * ((t > 0) & (t < n - 1))


def _keys(d, a):
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = (((d - 5) * d + 8) * d - 4) * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
