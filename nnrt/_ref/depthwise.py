"""Convolutions whose groups are narrow, down to one channel each (specification).

    conv             y[i, o] = act(Σ_kc x[i s - p + k d, g(o) C/G + c] w[o, c, k] + b[o] + residual[i, o])
    conv_transposed  x[j, g C/G + c] = act(Σ_ok y[i, o] w[o, c, k] + b[..] + residual[j, ..]),  j = i s - p + k d
    filter_backward  dw[o, c, k] = Σ_i x[i s - p + k d, g(o) C/G + c] dy[i, o],  db[o] = Σ_i dy[i, o]

Legend: N batch, D H W the input's axes, OD OH OW the output's, KD KH KW the filter's; C input channels, O output
channels, G groups, g(o) the group of o. Activations are x[N, D, H, W, C] and y[N, OD, OH, OW, O], C-contiguous,
filters w[O, C/G, KD, KH, KW]; s stride, p padding and d dilation are triples. x is zero outside, and the far side's
padding is what y's size asks for. activation: as in linear. Filters may lie in any order; of groups of one channel one that
lies [KD, KH, KW, G] is not packed first.
"""

from itertools import product

import numpy as np

from . import Out
from .linear import _finished


def lanes(dtype):
    """Elements of a vector that groups of several channels fill, for the choice of an algorithm."""
    return 32 // np.dtype(dtype).itemsize


def conv(y: Out, x, w, b, residual, stride, padding, dilation, groups, activation):
    """y[N, OD, OH, OW, O] from x[N, D, H, W, C]; b[O] and residual (like y) may be None."""
    total = np.zeros(y.shape, np.float64)
    for k, i, j in _taps(y, x, w, stride, padding, dilation):
        total[i] += _flat(np.einsum("...gc,goc->...go", _split(x[j], groups), _filter(w, k, groups)))
    y[...] = _finished(total, b, residual, activation)


def conv_transposed(x: Out, y, w, b, residual, stride, padding, dilation, groups, activation):
    """x[N, D, H, W, C] from y[N, OD, OH, OW, O]: the adjoint of conv; b[C] and residual (like x) may be None."""
    total = np.zeros(x.shape, np.float64)
    for k, i, j in _taps(y, x, w, stride, padding, dilation):
        total[j] += _flat(np.einsum("...go,goc->...gc", _split(y[i], groups), _filter(w, k, groups)))
    x[...] = _finished(total, b, residual, activation)


def filter_backward(dw: Out, db: Out, x, dy, stride, padding, dilation, groups):
    """dw[O, C/G, KD, KH, KW] of conv, and db[O] or None."""
    dw[...] = 0
    if db is not None:
        np.sum(dy, axis=(0, 1, 2, 3), dtype=np.float64, out=db)
    for k, i, j in _taps(dy, x, dw, stride, padding, dilation):
        parts = np.einsum("ndhwgo,ndhwgc->goc", _split(dy[i], groups), _split(x[j], groups), dtype=np.float64)
        dw[(..., *k)] = parts.reshape(dw.shape[:2])


def _taps(y, x, w, stride, padding, dilation):
    """(k, i, j): the outputs i that read x through tap k, and the inputs j = i s - p + k d that they read."""
    axes = []
    for out, size, taps, s, p, d in zip(y.shape[1:4], x.shape[1:4], w.shape[2:], stride, padding, dilation):
        spans = []
        for k in range(taps):
            offset = k * d - p
            first, last = max(0, -(offset // s)), min(out, (size - 1 - offset) // s + 1)
            if first < last:
                j = first * s + offset
                spans.append((k, slice(first, last), slice(j, j + (last - first - 1) * s + 1, s)))
        axes.append(spans)
    for taps in product(*axes):
        k, i, j = zip(*taps)
        yield k, (slice(None), *i), (slice(None), *j)


def _split(a, groups):
    return a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)


def _flat(a):
    return a.reshape(*a.shape[:-2], a.shape[-2] * a.shape[-1])


def _filter(w, k, groups):
    return w[(..., *k)].reshape(groups, w.shape[0] // groups, w.shape[1])
