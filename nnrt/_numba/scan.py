"""Scans in Numba: strips of columns of the rows, on threads. See nnrt._ref.scan for what each computes."""

import numpy as np

from .compiled import jit
from .threads import share

COLUMNS = 256  # of a task


def _strips(like, function, *args):
    """function(row, first column, end, *args) for strips of like [T, B, C]."""
    _, rows, columns = like.shape
    strips = -(-columns // COLUMNS)
    share(lambda t: function(t // strips, t % strips * COLUMNS, min(columns, (t % strips + 1) * COLUMNS), *args), rows * strips)


def _first(state, like):
    return np.zeros(like.shape[1:], like.dtype) if state is None else state


def scan(h, f, x, h0):
    _strips(h, _scan, h, f, x, _first(h0, h))


@jit
def _scan(row, begin, end, h, f, x, h0):
    state = h0[row, begin:end].copy()
    for t in range(len(x)):
        for i in range(begin, end):
            state[i - begin] = f[t, row, i] * state[i - begin] + x[t, row, i]
            h[t, row, i] = state[i - begin]


def scan_backward(dx, df, dh0, dh, f, h, h0):
    dh0[...] = 0
    _strips(h, _scan_backward, dx, df, dh0, dh, f, h, _first(h0, h))


@jit
def _scan_backward(row, begin, end, dx, df, dh0, dh, f, h, h0):
    for t in range(len(dh) - 1, -1, -1):
        for i in range(begin, end):
            r = dh[t, row, i] + dh0[row, i]
            dx[t, row, i] = r
            df[t, row, i] = r * (h[t - 1, row, i] if t else h0[row, i])
            dh0[row, i] = f[t, row, i] * r


def qrnn(h, c, a, c0, mask, keep):
    _strips(c, _qrnn, c if h is None else h, c, a, _first(c0, c), c if mask is None else mask, mask is not None, keep)


@jit
def _qrnn(row, begin, end, h, c, a, c0, mask, masked, keep):
    n, kept = c.shape[2], len(c)
    for t in range(len(a)):
        for i in range(begin, end):
            before = c[min(t, kept) - 1, row, i] if t else c0[row, i]
            u = keep * _sigmoid(-a[t, row, n + i])
            if masked:
                u *= mask[t, row, i]
            state = before + u * (np.tanh(a[t, row, i]) - before)
            c[min(t, kept - 1), row, i] = state
            if a.shape[2] == 3 * n:
                h[t, row, i] = _sigmoid(a[t, row, 2 * n + i]) * state


def qrnn_backward(da, dc0, dh, dc, a, c, c0, mask, keep):
    dc0[...] = 0 if dc is None else dc
    _strips(c, _qrnn_backward, da, dc0, dh, a, c, _first(c0, c), c if mask is None else mask, mask is not None, keep)


@jit
def _qrnn_backward(row, begin, end, da, dc0, dh, a, c, c0, mask, masked, keep):
    n = c.shape[2]
    for t in range(len(a) - 1, -1, -1):
        for i in range(begin, end):
            before = c[t - 1, row, i] if t else c0[row, i]
            d = dh[t, row, i]
            if a.shape[2] == 3 * n:
                o = _sigmoid(a[t, row, 2 * n + i])
                da[t, row, 2 * n + i] = d * c[t, row, i] * o * (1 - o)
                d *= o
            d += dc0[row, i]
            z, s = np.tanh(a[t, row, i]), _sigmoid(-a[t, row, n + i])
            g = d * keep * s
            if masked:
                g *= mask[t, row, i]
            da[t, row, i] = g * (1 - z * z)
            da[t, row, n + i] = g * (before - z) * (1 - s)
            dc0[row, i] = d - g


def sru(h, c, u, x, v, b, c0, scale):
    _strips(c, _sru, h, c, u, x, v, b, _first(c0, c), scale)


@jit
def _sru(row, begin, end, h, c, u, x, v, b, c0, scale):
    n, kept = c.shape[2], len(c)
    for t in range(len(u)):
        for i in range(begin, end):
            before = c[min(t, kept) - 1, row, i] if t else c0[row, i]
            f = _sigmoid(u[t, row, n + i] + v[i] * before + b[i])
            r = _sigmoid(u[t, row, 2 * n + i] + v[n + i] * before + b[n + i])
            state, y = u[t, row, i] + f * (before - u[t, row, i]), scale * x[t, row, i]
            c[min(t, kept - 1), row, i] = state
            h[t, row, i] = y + r * (state - y)


def sru_backward(du, dx, dv, dc0, dh, dc, u, x, v, b, c, c0, scale):
    dc0[...] = 0 if dc is None else dc
    sums = np.zeros((2, *c.shape[1:]))
    _strips(c, _sru_backward, du, dx, sums, dc0, dh, u, x, v, b, c, _first(c0, c), scale)
    dv[...] = sums.sum(1).ravel()


@jit
def _sru_backward(row, begin, end, du, dx, sums, dc0, dh, u, x, v, b, c, c0, scale):
    n = c.shape[2]
    for t in range(len(u) - 1, -1, -1):
        for i in range(begin, end):
            before = c[t - 1, row, i] if t else c0[row, i]
            value, y, d = u[t, row, i], scale * x[t, row, i], dh[t, row, i]
            f = _sigmoid(u[t, row, n + i] + v[i] * before + b[i])
            r = _sigmoid(u[t, row, 2 * n + i] + v[n + i] * before + b[n + i])
            dx[t, row, i] = scale * (d - d * r)
            dr = d * (c[t, row, i] - y) * r * (1 - r)
            dct = dc0[row, i] + d * r
            df = dct * (before - value) * f * (1 - f)
            du[t, row, i], du[t, row, n + i], du[t, row, 2 * n + i] = dct - dct * f, df, dr
            dc0[row, i] = dct * f + df * v[i] + dr * v[n + i]
            sums[0, row, i] += df * before
            sums[1, row, i] += dr * before


@jit
def _sigmoid(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)
