"""Recurrences over time in Numba: products of linear, one loop over the units for each step. See nnrt._ref.rnn."""

import math

import numpy as np
from numba import types

from nnrt import memory
from nnrt._ref.rnn import GATES, _steps

from . import linear
from .compiled import jit, typed


def packed_size(shape, gates, dtype, backward):
    """Elements of the buffer that pack fills for a weight of this shape; the layout is the back-end's own."""
    rows, p = shape
    return rows * p + (linear.packed_size(rows, p, dtype) if backward else linear.packed_size(p, rows, dtype))


def pack(packed, w, gates, backward):
    """w as it is, for a single sequence, and in panels, for more."""
    w = w.reshape(w.shape[:2])
    packed[: w.size] = w.ravel()
    linear.pack_b(packed[w.size :], w if backward else w.T)


def takes_inputs(batch):
    """Whether recur had better be given x."""
    return False


def _multiply(c, a, packed, backward):
    """c[B, N] = a[B, K] times a packed weight: its transpose, or backward itself."""
    n, k, one = c.shape[1], a.shape[1], c.dtype.type(1)
    if len(c) > 1:
        linear.gemm_packed(c, a, packed[n * k :], n)
        return
    w = packed[: n * k].reshape(k, n).T if backward else packed[: n * k].reshape(n, k)
    linear._vector[c.dtype](one, c.dtype.type(0), True, c[0], w, a[0])


def _start(state, first, d):
    state[d] = 0 if first is None else first[d]
    return state[d]


def recur(y, hn, cn, gates, kept, hidden, h0, c0, weights, projections, biases, x, inputs, offsets, starts, cell):
    """y, hn and cn from gates = a, or from x."""
    count, b, p = hn.shape
    dtype = y.dtype
    if b == 0:
        return
    units = p if cn is None else cn.shape[2]
    s, new, nothing = memory.empty((b, GATES[cell] * units), dtype), memory.empty((b, p), dtype), memory.empty((0, 0), dtype)
    for d in range(count):
        states, c = _start(hn, h0, d), None if cn is None else _start(cn, c0, d)
        bias = biases[d] if biases else memory.zeros((units,), dtype)
        sums = gates[d]
        if x is not None:
            if kept is None:
                sums = memory.empty(sums.shape, dtype)
            _multiply(sums, x, inputs[d], False)
            if offsets[d] is not None:
                sums += offsets[d]
        for t in _steps(len(starts) - 1, d):
            at = slice(starts[t], starts[t + 1])
            n = at.stop - at.start
            h, a, k = states[:n], sums[at], nothing if kept is None else kept[d, at]
            _multiply(s[:n], h, weights[d], False)
            if cell == "lstm":
                _lstm[dtype](s, a, c[:n], k, hidden[d, at] if projections else h)
                if projections:
                    _multiply(new[:n], hidden[d, at], projections[d], False)
                    h[...] = new[:n]
            elif cell == "gru":
                _gru[dtype](s, a, bias, k, h)
            else:
                _rnn[dtype](s, a, cell == "relu", h)
            y[at, d * p : (d + 1) * p] = h


def _of(*kinds):
    """Matrices (2), vectors (1) and flags (0)."""
    makers = {0: lambda T: types.boolean, 1: lambda T: types.Array(T, 1, "A"), 2: lambda T: types.Array(T, 2, "A")}
    return typed(lambda T: [makers[k](T) for k in kinds])


@jit
def _sigmoid(x):
    e = math.exp(-math.fabs(x))
    return (e if x < 0 else 1) / (1 + e)


@_of(2, 2, 2, 2, 2)
def _lstm(s, a, c, kept, h):
    units = c.shape[1]
    for r in range(c.shape[0]):
        for j in range(units):
            i, f = _sigmoid(a[r, j] + s[r, j]), _sigmoid(a[r, units + j] + s[r, units + j])
            g = math.tanh(a[r, 2 * units + j] + s[r, 2 * units + j])
            o = _sigmoid(a[r, 3 * units + j] + s[r, 3 * units + j])
            c[r, j] = f * c[r, j] + i * g
            h[r, j] = o * math.tanh(c[r, j])
            if kept.size:
                a[r, j], a[r, units + j], a[r, 2 * units + j], a[r, 3 * units + j] = i, f, g, o
                kept[r, j] = c[r, j]


@_of(2, 2, 1, 2, 2)
def _gru(s, a, bias, kept, h):
    units = h.shape[1]
    for r in range(h.shape[0]):
        for j in range(units):
            e, z = _sigmoid(a[r, j] + s[r, j]), _sigmoid(a[r, units + j] + s[r, units + j])
            q = s[r, 2 * units + j] + bias[j]
            n = math.tanh(a[r, 2 * units + j] + e * q)
            h[r, j] = n + z * (h[r, j] - n)
            if kept.size:
                a[r, j], a[r, units + j], a[r, 2 * units + j], kept[r, j] = e, z, n, q


@_of(2, 2, 0, 2)
def _rnn(s, a, relu, h):
    for r in range(h.shape[0]):
        for j in range(h.shape[1]):
            x = a[r, j] + s[r, j]
            h[r, j] = (0 if x < 0 else x) if relu else math.tanh(x)


# ---- backward ----


def recur_backward(
    dgates, dh0, dc0, dproj, dy, dhn, dcn, y, gates, kept, h0, c0, weights, projections, starts, cell
):  # fmt: skip
    """dgates and the gradients of the first state."""
    count, b, p = dh0.shape
    steps, dtype = len(starts) - 1, y.dtype
    if b == 0:
        return
    units = p if dc0 is None else dc0.shape[2]
    new, room = memory.empty((b, p), dtype), memory.empty((b, units), dtype)
    for d in range(count):
        states, dc = _start(dh0, dhn, d), None if dc0 is None else _start(dc0, dcn, d)
        part = slice(d * p, (d + 1) * p)
        first_h = memory.zeros((b, p), dtype) if h0 is None else h0[d]
        first_c = memory.zeros((b, units), dtype) if c0 is None else c0[d]
        for t in reversed(_steps(steps, d)):
            at, before = slice(starts[t], starts[t + 1]), t - 1 if d == 0 else t + 1
            held = slice(starts[before], starts[before + 1]) if 0 <= before < steps else slice(0)
            n = at.stop - at.start
            dh, da, a = states[:n], dgates[d, at], gates[d, at]
            if dy is not None:
                _add[dtype](dh, dy[at, part])
            dm = dh
            if projections:
                dproj[d, at], dm = dh, room[:n]
                _multiply(dm, dh, projections[d], True)
            if cell == "lstm":
                _lstm_backward[dtype](da, dm, dc[:n], a, kept[d, at], first_c, kept[d, held])
                ds = da
            elif cell == "gru":
                _gru_backward[dtype](da, dh, a, kept[d, at], first_h, y[held, part])
                ds = _ordered(da[:, : 3 * units], units)
            else:
                _rnn_backward[dtype](da, dh, y[at, part], cell == "relu")
                ds = da
            if h0 is None and held.stop == 0:
                states[...] = 0
                break
            # s = U h'  =>  dh' = Uᵀ ds
            _multiply(new[:n], ds, weights[d], True)
            if cell == "gru":
                _add[dtype](dh, new[:n])
            else:
                dh[...] = new[:n]


def _ordered(ds, units):
    """r z q, the order of U's rows, from q r z."""
    return np.concatenate((ds[:, units:], ds[:, :units]), 1)


@_of(2, 2)
def _add(x, y):
    for r in range(x.shape[0]):
        for j in range(x.shape[1]):
            x[r, j] += y[r, j]


@_of(2, 2, 2, 2, 2, 2, 2)
def _lstm_backward(da, dm, dc, a, c, first, held):
    units = c.shape[1]
    for r in range(c.shape[0]):
        for j in range(units):
            i, f, g, o = a[r, j], a[r, units + j], a[r, 2 * units + j], a[r, 3 * units + j]
            tc, before = math.tanh(c[r, j]), held[r, j] if r < held.shape[0] else first[r, j]
            # m = o tanh(c), c = f c' + i g
            e = dc[r, j] + dm[r, j] * o * (1 - tc * tc)
            da[r, j], da[r, units + j] = e * g * i * (1 - i), e * before * f * (1 - f)
            da[r, 2 * units + j], da[r, 3 * units + j] = e * i * (1 - g * g), dm[r, j] * tc * o * (1 - o)
            dc[r, j] = e * f


@_of(2, 2, 2, 2, 2, 2)
def _gru_backward(da, dh, a, kept, first, held):
    units = dh.shape[1]
    for r in range(dh.shape[0]):
        for j in range(units):
            e, z, n = a[r, j], a[r, units + j], a[r, 2 * units + j]
            before = held[r, j] if r < held.shape[0] else first[r, j]
            # h = (1 - z) n + z h', n = tanh(a + r q)
            dn = dh[r, j] * (1 - z) * (1 - n * n)
            da[r, j], da[r, units + j] = dn * e, dn * kept[r, j] * e * (1 - e)
            da[r, 2 * units + j], da[r, 3 * units + j] = dh[r, j] * (before - n) * z * (1 - z), dn
            dh[r, j] *= z


@_of(2, 2, 2, 0)
def _rnn_backward(da, dh, y, relu):
    for r in range(dh.shape[0]):
        for j in range(dh.shape[1]):
            da[r, j] = dh[r, j] * ((1 if y[r, j] > 0 else 0) if relu else 1 - y[r, j] * y[r, j])
