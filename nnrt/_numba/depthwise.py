"""Convolutions with narrow groups in Numba. See nnrt._ref.depthwise for what each computes.

Groups of one channel have loops of their own, over what conv._padded makes of the input; others are conv's.
"""

from functools import partial

import numpy as np
from numba import types

from . import conv as wide
from . import threads
from .compiled import array, jit, typed
from .conv import _forward, _grids, _padded, _reach, _transposed
from .linear import _activate, _give
from .native import address, load, store

# Multiply-adds below which a second thread costs more than it brings.
THREAD_MACS = 1 << 19
# Fused multiply-adds, and sums in the order that vectors like.
_SUMS = {"reassoc", "contract", "nsz"}


def lanes(dtype):
    """Elements of a vector that groups of several channels fill, for the choice of an algorithm."""
    return 32 // np.dtype(dtype).itemsize


def conv(y, x, w, b, residual, stride, padding, dilation, groups, activation):
    """y[N, OD, OH, OW, O] from x[N, D, H, W, C]; b[O] and residual (like y) may be None."""
    if w.shape[1] > 1 or len(w) > groups:
        p = _packed(w, stride, dilation, groups, False)
        wide.conv(y, x, p, w.shape, b, residual, stride, padding, dilation, groups, activation)
        return
    _run(y, x, w, b, residual, _forward(y.shape, w.shape, stride, padding, dilation), activation)


def conv_transposed(x, y, w, b, residual, stride, padding, dilation, groups, activation):
    """x[N, D, H, W, C] from y[N, OD, OH, OW, O]: the adjoint of conv; b[C] and residual (like x) may be None."""
    if w.shape[1] > 1 or len(w) > groups:
        p = _packed(w, stride, dilation, groups, True)
        wide.conv_transposed(x, y, p, w.shape, b, residual, stride, padding, dilation, groups, activation)
        return
    _run(x, y, w, b, residual, _transposed(x.shape, w.shape, stride, padding, dilation), activation)


def _packed(w, stride, dilation, groups, backward):
    p = np.empty(wide.filter_size(w.shape, groups, w.dtype, backward), w.dtype)
    wide.pack_filter(p, w, stride, dilation, groups, backward)
    return p


def _run(y, x, w, b, residual, axes, activation):
    y[...] = 0 if b is None else b
    if residual is not None:
        y += residual
    if y.size and x.size:
        low, shape = _reach(x.shape, axes)
        padded, memory = _padded(x, low, shape)
        filters = np.ascontiguousarray(w.reshape(len(w), -1).T)
        for (first, step, _), steps, taps in _grids(axes, w.shape):
            if not taps:
                continue
            out = y[(slice(None), *(slice(f, None, s) for f, s in zip(first, step)))]
            offsets = np.array([(k, *np.subtract(at, low)) for k, at in taps])
            args = y.dtype.type(0), out, padded, filters, offsets, np.array(steps)
            _share(partial(_add_taps[y.dtype], *args), len(y), y.size * len(taps))
        _give(memory)
    if activation is not None:
        _activate(y, activation)


def _share(function, images, macs):
    if macs < THREAD_MACS or threads.count() == 1:
        for n in range(images):
            function(n)
    else:
        threads.share(function, images)


@typed(
    lambda T: [T, array(T, 5), array(T, 5), array(T, 2), array(types.int64, 2), array(types.int64, 1), types.intp],
    fastmath=_SUMS,
)
def _add_taps(zero, y, x, w, taps, steps, n):
    """y[n, i, c] += Σ_taps x[n, i step + tap, c] w[tap, c]."""
    size, channels = y.itemsize, y.shape[4]
    for d in range(y.shape[1]):
        for h in range(y.shape[2]):
            for j in range(y.shape[3]):
                to = _at(y, n, d, h, j)
                for t in range(taps.shape[0]):
                    k, a, b, c = taps[t]
                    read = _at(x, n, d * steps[0] + a, h * steps[1] + b, j * steps[2] + c)
                    by = address(w) + k * channels * size
                    for i in range(channels):
                        s = load(zero, to, i * size) + load(zero, read, i * size) * load(zero, by, i * size)
                        store(zero, s, to, i * size)


@jit
def _at(a, n, d, h, w):
    return address(a) + n * a.strides[0] + d * a.strides[1] + h * a.strides[2] + w * a.strides[3]


def filter_backward(dw, db, x, dy, stride, padding, dilation, groups):
    """dw[O, C/G, KD, KH, KW] of conv, and db[O] or None."""
    if dw.shape[1] > 1 or len(dw) > groups:
        wide.filter_backward(dw, db, x, dy, stride, padding, dilation, groups)
        return
    if db is not None:
        wide.bias_grad(db, dy.reshape(-1, dy.shape[4]))
    dw[...] = 0
    if not (dw.size and x.size and dy.size):
        return
    axes = _forward(dy.shape, dw.shape, stride, padding, dilation)
    low, shape = _reach(x.shape, axes)
    padded, memory = _padded(x, low, shape)
    ((_, steps, taps),) = _grids(axes, dw.shape)
    offsets = np.array([np.subtract(at, low) for _, at in taps])
    sums = np.zeros((*dy.shape[:2], len(taps), len(dw)), dw.dtype)
    args = dw.dtype.type(0), sums, padded, dy, offsets, np.array(steps)
    _share(partial(_sum_products[dw.dtype], *args), len(dy), dy.size * len(taps))
    _give(memory)
    dw.reshape(len(dw), -1)[...] = sums.sum(axis=(0, 1), dtype=np.float64).T


@typed(
    lambda T: [T, array(T, 4), array(T, 5), array(T, 5), array(types.int64, 2), array(types.int64, 1), types.intp],
    fastmath=_SUMS,
)
def _sum_products(zero, sums, x, dy, taps, steps, n):
    """sums[n, d, tap, c] += Σ_i x[n, i step + tap, c] dy[n, i, c], row by row of i."""
    size, channels = dy.itemsize, dy.shape[4]
    row = np.empty(channels, dy.dtype)
    line = address(row)
    for d in range(dy.shape[1]):
        for h in range(dy.shape[2]):
            for t in range(taps.shape[0]):
                a, b, c = taps[t]
                row[:] = 0
                for j in range(dy.shape[3]):
                    read = _at(x, n, d * steps[0] + a, h * steps[1] + b, j * steps[2] + c)
                    by = _at(dy, n, d, h, j)
                    for i in range(channels):
                        s = load(zero, line, i * size) + load(zero, read, i * size) * load(zero, by, i * size)
                        store(zero, s, line, i * size)
                to = address(sums) + n * sums.strides[0] + d * sums.strides[1] + t * sums.strides[2]
                for i in range(channels):
                    store(zero, load(zero, to, i * size) + load(zero, line, i * size), to, i * size)
