"""Convolution (specification).

Legend: N batch, C channels in, O channels out, G groups, D H W size in, OD OH OW size out, KD KH KW size
of the filter, s stride, p padding, d dilation. Convolutions over fewer axes have D = 1, or D = H = 1.

    y[n, od, oh, ow, o] = act(Σ_{kd, kh, kw, c} x[n, od s - p + kd d, oh s - p + kh d, ow s - p + kw d, c] w[o, c, kd, kh, kw]
                              + b[o] + residual),                  x = 0 outside

where c runs through the C/G channels of o's group. Arrays of channels are C-contiguous
[N, D, H, W, C]; w is [O, C/G, KD, KH, KW], which is what `shape` says. padding is what lies in front;
what lies behind follows from y's size, so both may differ, and be negative. stride, padding and dilation are 3-tuples.

A filter is packed by pack_filter into filter_size elements, whose order is the back-end's own.
activation: None or a name, as in linear.gemm.
"""

from itertools import product

import numpy as np

from . import Out, quiet
from .linear import _finished


def filter_size(shape, groups, dtype, backward):
    """Elements of a packed filter."""
    return int(np.prod(shape))


def pack_filter(p: Out, w, stride, dilation, groups, backward):
    """Stores w[O, C/G, KD, KH, KW] in p: for conv, or with backward=True for conv_transposed with this stride and dilation."""
    p[...] = w.ravel()


@quiet
def conv(y: Out, x, p, shape, b, residual, stride, padding, dilation, groups, activation):
    """y[N, OD, OH, OW, O] from x[N, D, H, W, C], b[O] or None, residual like y or None."""
    w = p.reshape(shape)
    total = np.zeros_like(y)
    for tap, i, o in _taps(x, y, shape, stride, padding, dilation):
        total[o] += _per_group(x[i], w[tap], groups)
    y[...] = _finished(total, b, residual, activation)


@quiet
def conv_transposed(x: Out, y, p, shape, b, residual, stride, padding, dilation, groups, activation):
    """The adjoint of conv: x[n, i, c] = act(Σ_{o, k: i = o s - p + k d} y[n, o] w[o, c, k] + b[C] + residual)."""
    w = p.reshape(shape)
    total = np.zeros_like(x)
    for tap, i, o in _taps(x, y, shape, stride, padding, dilation):
        total[i] += _per_group(y[o], w[tap], groups, transposed=True)
    x[...] = _finished(total, b, residual, activation)


@quiet
def fold(x: Out, columns, b, stride, padding, dilation):
    """x[n, i, c] = b[c] + Σ_{o, k: i = o s - p + k d} columns[n, o, k, c]: columns[N, OD, OH, OW, KD, KH, KW, C], b[C] or None"""
    x[...] = 0 if b is None else b
    for tap, i, o in _taps(x, columns, (1, 1, *columns.shape[4:7]), stride, padding, dilation):
        x[i] += columns[(*o, *tap[2:])]


@quiet
def filter_backward(dw: Out, db: Out, x, dy, stride, padding, dilation, groups):
    """dw[o, c, k] = Σ_{n, o} x[n, o s - p + k d, c] dy[n, o, o]: what y += x w gives w; db[o] = Σ_{n, o} dy[n, o, o], or None."""
    dw[...] = 0
    if db is not None:
        np.sum(dy, axis=(0, 1, 2, 3), out=db)
    for tap, i, o in _taps(x, dy, dw.shape, stride, padding, dilation):
        if groups == 1:
            dw[tap] = np.tensordot(dy[o], x[i], ((0, 1, 2, 3), (0, 1, 2, 3)))
        else:
            dw[tap] = np.einsum("ndhwgo,ndhwgc->goc", _split(dy[o], groups), _split(x[i], groups)).reshape(dw[tap].shape)


def _taps(x, y, shape, stride, padding, dilation):
    """(index of w, index of x, index of y) of every element k of the filter that meets x."""
    axes = [
        [_meeting(x.shape[a + 1], y.shape[a + 1], k * dilation[a] - padding[a], stride[a]) for k in range(shape[a + 2])]
        for a in range(3)
    ]
    for tap in product(*map(range, shape[2:])):
        (id, od), (ih, oh), (iw, ow) = (axes[a][tap[a]] for a in range(3))
        if id and ih and iw:
            yield (slice(None), slice(None), *tap), (slice(None), id, ih, iw), (slice(None), od, oh, ow)


def _meeting(size_in, size_out, offset, stride):
    """The positions i = o stride + offset inside x and the o they belong to, as slices; None, None where there are none."""
    first = max(0, -(offset // stride))
    last = min(size_out, -((offset - size_in) // stride)) - 1
    if last < first:
        return None, None
    return slice(first * stride + offset, last * stride + offset + 1, stride), slice(first, last + 1)


def _per_group(a, w, groups, transposed=False):
    """a[..., C] wᵀ with w[O, C/G], group by group; transposed: a[..., O] w."""
    if groups == 1:
        return a @ (w if transposed else w.T)
    w = w.reshape(groups, w.shape[0] // groups, w.shape[1])
    product = np.einsum("ndhwgo,goc->ndhwgc" if transposed else "ndhwgc,goc->ndhwgo", _split(a, groups), w)
    return product.reshape(*a.shape[:-1], groups * product.shape[-1])


def _split(a, groups):
    return a.reshape(*a.shape[:-1], groups, a.shape[-1] // groups)
