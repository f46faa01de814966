"""Pooling in Numba. See nnrt._ref.pool for what each computes; it does what is no float32 or float64.

The loops are over the windows that an output has, or that cover an input, the innermost one over the channels.
Images are shared out to the threads.
"""

import numpy as np

from .._ref import pool as _ref
from . import threads
from .compiled import jit

_FLOATS = (np.float32, np.float64)


def max_pool(y, at, x, kernel, stride, padding, dilation):
    if x.dtype not in _FLOATS:
        _ref.max_pool(y, at, x, kernel, stride, padding, dilation)
        return
    if at is None:
        at = np.empty(y.shape, np.int32)
    args = _geometry(x.shape, y.shape, kernel, stride, padding, dilation)
    threads.share(lambda n: _max_pool(y[n], at[n], x[n], *args), len(x))


@jit
def _max_pool(y, at, x, windows_d, windows_h, windows_w, kh, kw, dilation):
    for od in range(y.shape[0]):
        for oh in range(y.shape[1]):
            for ow in range(y.shape[2]):
                d, h, w = windows_d[od], windows_h[oh], windows_w[ow]
                some = d[1] < d[2] and h[1] < h[2] and w[1] < w[2]
                y[od, oh, ow] = -np.inf
                at[od, oh, ow] = (d[1] * kh + h[1]) * kw + w[1] if some else 0
                for i in range(d[1], d[2]):
                    for j in range(h[1], h[2]):
                        for k in range(w[1], w[2]):
                            part = x[d[0] + i * dilation[0], h[0] + j * dilation[1], w[0] + k * dilation[2]]
                            tap = (i * kh + j) * kw + k
                            for c in range(part.size):
                                if part[c] > y[od, oh, ow, c] or part[c] != part[c]:
                                    y[od, oh, ow, c] = part[c]
                                    at[od, oh, ow, c] = tap


def max_pool_backward(dx, dy, at, kernel, stride, padding, dilation):
    if dx.dtype not in _FLOATS:
        _ref.max_pool_backward(dx, dy, at, kernel, stride, padding, dilation)
        return
    args = _geometry(dx.shape, dy.shape, kernel, stride, padding, dilation)
    threads.share(lambda n: _max_pool_backward(dx[n], dy[n], at[n], *args), len(dx))


@jit
def _max_pool_backward(dx, dy, at, windows_d, windows_h, windows_w, kh, kw, dilation):
    dx[:] = 0
    for od in range(dy.shape[0]):
        for oh in range(dy.shape[1]):
            for ow in range(dy.shape[2]):
                d, h, w = windows_d[od], windows_h[oh], windows_w[ow]
                for i in range(d[1], d[2]):
                    for j in range(h[1], h[2]):
                        for k in range(w[1], w[2]):
                            part = dx[d[0] + i * dilation[0], h[0] + j * dilation[1], w[0] + k * dilation[2]]
                            tap = (i * kh + j) * kw + k
                            for c in range(part.size):
                                if at[od, oh, ow, c] == tap:
                                    part[c] += dy[od, oh, ow, c]


def max_index(index, at, x_shape, kernel, stride, padding, dilation):
    args = _geometry(x_shape, at.shape, kernel, stride, padding, dilation)
    threads.share(lambda n: _max_index(index[n], at[n], x_shape[2], x_shape[3], *args), len(at))


@jit
def _max_index(index, at, height, width, windows_d, windows_h, windows_w, kh, kw, dilation):
    for od in range(at.shape[0]):
        for oh in range(at.shape[1]):
            for ow in range(at.shape[2]):
                d, h, w = windows_d[od], windows_h[oh], windows_w[ow]
                some = d[1] < d[2] and h[1] < h[2] and w[1] < w[2]
                for c in range(at.shape[3]):
                    tap = np.int64(at[od, oh, ow, c])
                    i = d[0] + tap // (kh * kw) * dilation[0]
                    j = h[0] + tap // kw % kh * dilation[1]
                    k = w[0] + tap % kw * dilation[2]
                    index[od, oh, ow, c] = (i * height + j) * width + k if some else 0


def max_unpool(y, x, index):
    if x.dtype not in _FLOATS:
        _ref.max_unpool(y, x, index)
        return
    threads.share(lambda n: _max_unpool(y[n], x[n], index[n]), len(x))


@jit
def _max_unpool(y, x, index):
    y[:] = 0
    for p in range(x.shape[0]):
        for c in range(x.shape[1]):
            y[index[p, c], c] = x[p, c]


def avg_pool(y, x, kernel, stride, padding, include_pad, divisor):
    if x.dtype not in _FLOATS:
        _ref.avg_pool(y, x, kernel, stride, padding, include_pad, divisor)
        return
    args = _geometry(x.shape, y.shape, kernel, stride, padding, (1, 1, 1), include_pad)
    threads.share(lambda n: _avg_pool(y[n], x[n], *args[:3], divisor or 0), len(x))


@jit
def _avg_pool(y, x, windows_d, windows_h, windows_w, divisor):
    row = np.empty(x.shape[3], x.dtype)  # sums of rows, then of the rows: the error grows with the window's sides
    for od in range(y.shape[0]):
        for oh in range(y.shape[1]):
            for ow in range(y.shape[2]):
                d, h, w = windows_d[od], windows_h[oh], windows_w[ow]
                y[od, oh, ow] = 0
                for i in range(d[0] + d[1], d[0] + d[2]):
                    for j in range(h[0] + h[1], h[0] + h[2]):
                        row[:] = 0
                        for k in range(w[0] + w[1], w[0] + w[2]):
                            for c in range(row.size):
                                row[c] += x[i, j, k, c]
                        for c in range(row.size):
                            y[od, oh, ow, c] += row[c]
                count = divisor if divisor else d[3] * h[3] * w[3]
                for c in range(row.size):
                    y[od, oh, ow, c] /= count


def avg_pool_backward(dx, dy, kernel, stride, padding, include_pad, divisor):
    if dx.dtype not in _FLOATS:
        _ref.avg_pool_backward(dx, dy, kernel, stride, padding, include_pad, divisor)
        return
    args = _geometry(dx.shape, dy.shape, kernel, stride, padding, (1, 1, 1), include_pad)
    threads.share(lambda n: _avg_pool_backward(dx[n], dy[n], *args[:3], divisor or 0), len(dx))


@jit
def _avg_pool_backward(dx, dy, windows_d, windows_h, windows_w, divisor):
    part = np.empty(dx.shape[3], dx.dtype)
    dx[:] = 0
    for od in range(dy.shape[0]):
        for oh in range(dy.shape[1]):
            for ow in range(dy.shape[2]):
                d, h, w = windows_d[od], windows_h[oh], windows_w[ow]
                count = divisor if divisor else d[3] * h[3] * w[3]
                for c in range(part.size):
                    part[c] = dy[od, oh, ow, c] / count
                for i in range(d[0] + d[1], d[0] + d[2]):
                    for j in range(h[0] + h[1], h[0] + h[2]):
                        for k in range(w[0] + w[1], w[0] + w[2]):
                            for c in range(part.size):
                                dx[i, j, k, c] += part[c]


def _geometry(x_shape, y_shape, kernel, stride, padding, dilation, include_pad=False):
    """The windows (start, first tap, last tap + 1, count) along d, h and w; KH, KW; the dilation."""
    windows = []
    for a in range(3):
        size, o = x_shape[a + 1], np.arange(y_shape[a + 1])
        if kernel is None:
            start, stop = o * size // len(o), -(-(o + 1) * size // len(o))
            windows.append(np.stack([start, 0 * o, stop - start, stop - start], 1))
            continue
        start, step = o * stride[a] - padding[a], dilation[a]
        first, last = np.maximum(0, -(start // step)), np.minimum(kernel[a], -((start - size) // step))
        count = np.minimum(kernel[a], size + padding[a] - start) if include_pad else last - first
        windows.append(np.stack([start, first, last, count], 1))
    return (*windows, *_ref.taps(x_shape, y_shape, kernel)[1:], dilation)
