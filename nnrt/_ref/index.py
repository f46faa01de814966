"""Gathering and scattering (specification).

Legend: O outer (axes before the indexed one), R rows along the indexed axis, N indices, D inner
(axes after it). Indices are int64, C-ordered and within 0..R-1 wherever a kernel reads them:
`check` is what makes sure. Arrays are C-ordered unless said otherwise.
"""

import numpy as np

from . import Out


def check(bad: Out, index, size):
    """bad[0] = position in C order of the first index that is not within 0..size-1, or -1. bad: int64 [1]."""
    wrong = np.flatnonzero((index < 0) | (index >= size))
    bad[0] = wrong[0] if wrong.size else -1


def take(out: Out, x, index):
    """out[o, n] = x[o, index[n]], 0 where index[n] is -1; out [O, N, D], x [O, R, D], index [N]."""
    index = index.ravel()
    out[...] = x[:, index]
    out[:, index < 0] = 0


def counting_sort(order: Out, starts: Out, index):
    """Sorts N indices by value, equal ones in their order: index[order[starts[r]:starts[r + 1]]] = r.

    order: int64 [N]; starts: int64 [R + 1]; index [N].
    """
    order[...] = np.argsort(index.ravel(), kind="stable")
    starts[0] = 0
    starts[1:] = np.cumsum(np.bincount(index.ravel(), minlength=starts.size - 1))


def nonzero(out: Out, mask):
    """The places of all True in mask (C-ordered bools), in C order: out int64 [N, ndim]."""
    out[...] = np.argwhere(mask)


def segment_sum(out: Out, base, weights, x, order, starts):
    """out[o, r] = base[o, r] + sum_k weights[k] x[o, order[k]] over k = starts[r]..starts[r + 1] - 1.

    out, base [O, R, D] (base None: 0); x [O, M, D]; order int64 [K]; weights [K] (None: 1); starts int64
    [R + 1]. Sums of floats are accumulated in float64.
    """
    total = np.zeros(out.shape, np.float64 if out.dtype.kind == "f" else out.dtype)
    rows = np.repeat(np.arange(out.shape[1]), np.diff(starts))
    part = x[:, order].astype(total.dtype)
    if weights is not None:
        part *= weights[:, None]
    np.add.at(total, (slice(None), rows), part)
    out[...] = total if base is None else base + total


def gather(out: Out, x, index):
    """out[o, n, d] = x[o, index[o, n, d], d]; out, index [O, N, D]; x [O, R, D] of any strides."""
    out[...] = np.take_along_axis(x, index, axis=1)


def scatter(out: Out, base, x, index):
    """out = base, then out[o, index[o, n, d], d] = x[o, n, d] in the order of n: the last one stays.

    out, base [O, R, D] (base None: 0); x [O, N, D] of any strides; index [O, N, D].
    """
    out[...] = 0 if base is None else base
    np.put_along_axis(out, index, x, axis=1)


def scatter_add(out: Out, base, x, index):
    """out = base, then out[o, index[o, n, d], d] += x[o, n, d] in the order of n.

    out, base [O, R, D]; x [O, N, D] of any strides; index [O, N, D].
    """
    out[...] = 0 if base is None else base
    o, _, d = np.indices(index.shape, sparse=True)
    np.add.at(out, (o, index, d), x)
