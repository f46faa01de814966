"""Resampling along the axes of channels-last arrays (specification).

    resample  y[n, od, oh, ow, c] = Σ_{d, h, w} B_D[od, d] B_H[oh, h] B_W[ow, w] x[n, d, h, w, c]

Legend: N batch, D H W in, OD OH OW out, C channels. B is a band matrix, given as (first, offset, weight): row o
holds weight[offset[o] : offset[o + 1]] from column first[o] on. The gradient is the same with transposed bands.
"""

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
