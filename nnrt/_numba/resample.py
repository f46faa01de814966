"""Resampling in Numba: a row of y, or a stretch of places, at a time, on threads. See nnrt._ref.resample."""

import numpy as np

from nnrt._ref import resample as _ref

from .compiled import jit
from .threads import share

ROWS = 1 << 14  # elements that are worth a task


def resample(y, x, d, h, w):
    if x.dtype.char not in "fd":
        _ref.resample(y, x, d, h, w)
        return
    if y.size == 0:
        return
    rows = y.reshape(-1, *y.shape[3:])
    step = max(1, ROWS // (max(y.shape[3], x.shape[3]) * y.shape[4]))
    share(lambda t: _rows(rows, x, t * step, min((t + 1) * step, len(rows)), *d, *h, *w), -(-len(rows) // step))


@jit
def _rows(y, x, begin, end, d, d_offset, d_weight, h, h_offset, h_weight, w, w_offset, w_weight):
    wide, channels = x.shape[3:]
    line = np.empty((wide, channels), x.dtype)
    for row in range(begin, end):
        n, od, oh = row // (len(d) * len(h)), row // len(h) % len(d), row % len(h)
        line[:] = -0.0  # which, added to a term, leaves it as it is
        for i in range(d_offset[od], d_offset[od + 1]):
            for j in range(h_offset[oh], h_offset[oh + 1]):
                source = x[n, d[od] + i - d_offset[od], h[oh] + j - h_offset[oh]]
                b = d_weight[i] * h_weight[j]
                for k in range(wide):
                    for c in range(channels):
                        line[k, c] += b * source[k, c]
        for ow in range(len(w)):
            for c in range(channels):
                y[row, ow, c] = -0.0 if w_offset[ow] < w_offset[ow + 1] else 0.0
            for i in range(w_offset[ow], w_offset[ow + 1]):
                for c in range(channels):
                    y[row, ow, c] += w_weight[i] * line[w[ow] + i - w_offset[ow], c]


def grid_sample(y, x, grid, mode, padding_mode, align_corners):
    if x.dtype.char not in "fd":
        _ref.grid_sample(y, x, grid, mode, padding_mode, align_corners)
        return
    rows, inside, weight, _ = _ref._taps_of(grid, x.shape, mode, padding_mode, align_corners)
    x, y = _ref._rows(x), _ref._rows(y)
    step = max(1, ROWS // max(1, y.shape[1] * len(rows)))
    share(lambda t: _gather(y, x, rows, inside, weight, t * step, min((t + 1) * step, len(y))), -(-len(y) // step))


def grid_sample_dx(dx, dy, grid, mode, padding_mode, align_corners):
    if dx.dtype.char not in "fd":
        _ref.grid_sample_dx(dx, dy, grid, mode, padding_mode, align_corners)
        return
    rows, inside, weight, _ = _ref._taps_of(grid, dx.shape, mode, padding_mode, align_corners)
    images, places = dx.shape[0], grid.shape[1]
    dx, dy = _ref._rows(dx), _ref._rows(dy)
    pixels = len(dx) // max(images, 1)

    def image(n):  # places reach the pixels of their own image only
        dx[n * pixels : (n + 1) * pixels] = 0
        _scatter(dx, dy, rows, inside, weight, n * places, (n + 1) * places)

    share(image, images)


def grid_sample_dgrid(dgrid, dy, x, grid, mode, padding_mode, align_corners):
    if x.dtype.char not in "fd":
        _ref.grid_sample_dgrid(dgrid, dy, x, grid, mode, padding_mode, align_corners)
        return
    rows, inside, _, axes = _ref._taps_of(grid, x.shape, mode, padding_mode, align_corners)
    x, dy = _ref._rows(x), _ref._rows(dy)
    slopes = np.stack([
        _ref._product([slope if j == i else w for j, (w, slope) in enumerate(axes)], np.multiply).reshape(rows.shape)
        for i in range(len(axes))
    ])[::-1]  # fmt: skip
    flat = dgrid.reshape(-1, len(axes))
    step = max(1, ROWS // max(1, x.shape[1] * len(rows)))
    share(lambda t: _slopes(flat, dy, x, rows, inside, slopes, t * step, min((t + 1) * step, len(dy))), -(-len(dy) // step))


@jit
def _gather(y, x, rows, inside, weight, begin, end):
    for p in range(begin, end):
        y[p] = 0
        for t in range(len(rows)):
            if inside[t, p]:
                source, w = x[rows[t, p]], weight[t, p]
                for c in range(y.shape[1]):
                    y[p, c] += w * source[c]


@jit
def _scatter(dx, dy, rows, inside, weight, begin, end):
    for p in range(begin, end):
        for t in range(len(rows)):
            if inside[t, p]:
                to, w = dx[rows[t, p]], weight[t, p]
                for c in range(dy.shape[1]):
                    to[c] += w * dy[p, c]


@jit
def _slopes(dgrid, dy, x, rows, inside, slopes, begin, end):
    for p in range(begin, end):
        dgrid[p] = 0
        for t in range(len(rows)):
            if inside[t, p]:
                source = x[rows[t, p]]
                dot = slopes[0, t, p] * 0
                for c in range(dy.shape[1]):
                    dot += source[c] * dy[p, c]
                for a in range(dgrid.shape[1]):
                    dgrid[p, a] += dot * slopes[a, t, p]
