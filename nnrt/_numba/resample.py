"""Resampling in Numba: a row of y at a time, on threads. See nnrt._ref.resample."""

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
