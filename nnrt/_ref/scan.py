"""Recurrences that are linear in the state, or nearly so (specification).

    scan    h_t = f_t h_{t-1} + x_t
    qrnn    c_t = c_{t-1} + u_t (tanh(a^z_t) - c_{t-1}),  u = keep mask σ(-a^f);  h = σ(a^o) c
    sru     f_t = σ(u^f_t + v^f c_{t-1} + b^f),  c_t = x̃_t + f_t (c_{t-1} - x̃_t)
            r_t = σ(u^r_t + v^r c_{t-1} + b^r),  h_t = α x_t + r_t (c_t - α x_t)

Legend: T time, B rows that run side by side, C channels. Sequences are [T, B, ...] with unit stride in the last axis
and any in the others: a sequence that runs backwards is a view that does. Initial states are [B, C], or None for zeros.
1 - σ(a^f) = σ(-a^f), so that the forget gate of the paper is f = 1 - u.
"""

import numpy as np

from . import Out


def scan(h: Out, f, x, h0):
    """h_t = f_t h_{t-1} + x_t, all [T, B, C]."""
    state = 0 if h0 is None else h0
    for t in range(len(x)):
        state = f[t] * state + x[t]
        h[t] = state


def scan_backward(dx: Out, df: Out, dh0: Out, dh, f, h, h0):
    """Gradients of scan; dh0 [B, C]."""
    dh0[...] = 0
    for t in reversed(range(len(dh))):
        # h_t = f_t h_{t-1} + x_t
        dx[t] = dh[t] + dh0
        df[t] = dx[t] * _before(h, h0, t)
        dh0[...] = f[t] * dx[t]


def qrnn(h: Out, c: Out, a, c0, mask, keep):
    """Pooling of a QRNN. a [T, B, 2 C]: a^z, a^f; or [T, B, 3 C] with a^o, else h is None and stands for c.

    mask [T, B, C] of 0 and 1, or None for ones. c [T, B, C], or [1, B, C] for the last state alone.
    """
    channels, last = c.shape[2], len(c) - 1
    for t in range(len(a)):
        z, u = np.tanh(a[t, :, :channels]), keep * _sigmoid(-a[t, :, channels : 2 * channels])
        u = u if mask is None else u * mask[t]
        before = _before(c, c0, t)
        c[min(t, last)] = before + u * (z - before)
        if h is not None:
            h[t] = _sigmoid(a[t, :, 2 * channels :]) * c[min(t, last)]


def qrnn_backward(da: Out, dc0: Out, dh, dc, a, c, c0, mask, keep):
    """Gradients of qrnn. dh [T, B, C]: of h, or of c where there is no output gate; dc [B, C]: of the last c, or None."""
    channels = c.shape[2]
    dc0[...] = 0 if dc is None else dc
    for t in reversed(range(len(a))):
        z, s = np.tanh(a[t, :, :channels]), _sigmoid(-a[t, :, channels : 2 * channels])
        k = keep if mask is None else keep * mask[t]
        if a.shape[2] == 2 * channels:
            dct = dc0 + dh[t]
        else:
            # h = o c
            o = _sigmoid(a[t, :, 2 * channels :])
            dct = dc0 + dh[t] * o
            da[t, :, 2 * channels :] = dh[t] * c[t] * o * (1 - o)
        # c_t = c_{t-1} + k s (z - c_{t-1}), s = σ(-a^f)
        da[t, :, :channels] = dct * k * s * (1 - z * z)
        da[t, :, channels : 2 * channels] = dct * (_before(c, c0, t) - z) * k * s * (1 - s)
        dc0[...] = dct - dct * k * s


def sru(h: Out, c: Out, u, x, v, b, c0, scale):
    """u [T, B, 3 C]: x̃, u^f, u^r; x [T, B, C]; v, b [2 C]: those of f, then of r; scale: α; c as in qrnn."""
    channels, last = c.shape[2], len(c) - 1
    for t in range(len(u)):
        before = _before(c, c0, t)
        value, f, r = _sru_gates(u[t], v, b, before, channels)
        c[min(t, last)] = value + f * (before - value)
        h[t] = scale * x[t] + r * (c[min(t, last)] - scale * x[t])


def sru_backward(du: Out, dx: Out, dv: Out, dc0: Out, dh, dc, u, x, v, b, c, c0, scale):
    """Gradients of sru; dc [B, C]: of the last c, or None. Those of b are the sums of du over T and B."""
    channels = c.shape[2]
    dc0[...] = 0 if dc is None else dc
    sums = np.zeros((2, channels))
    for t in reversed(range(len(u))):
        before = _before(c, c0, t)
        value, f, r = _sru_gates(u[t], v, b, before, channels)
        # h = α x + r (c - α x)
        dx[t] = scale * (dh[t] - dh[t] * r)
        dr = dh[t] * (c[t] - scale * x[t]) * r * (1 - r)
        dct = dc0 + dh[t] * r
        # c_t = x̃ + f (c_{t-1} - x̃)
        df = dct * (before - value) * f * (1 - f)
        du[t] = np.concatenate([dct - dct * f, df, dr], 1)
        # f = σ(u^f + v^f c_{t-1} + b^f), r likewise
        dc0[...] = dct * f + df * v[:channels] + dr * v[channels:]
        sums += [(df * before).sum(0, dtype=float), (dr * before).sum(0, dtype=float)]
    dv[...] = sums.ravel()


def _sru_gates(u, v, b, before, channels):
    """x̃, f, r of one step."""
    value, gates = u[:, :channels], u[:, channels:] + v * np.tile(before, 2) + b
    return value, _sigmoid(gates[:, :channels]), _sigmoid(gates[:, channels:])


def _before(c, c0, t):
    """c_{t-1}, [B, C]"""
    return c[min(t, len(c)) - 1] if t else np.zeros_like(c[0]) if c0 is None else c0


def _sigmoid(x):
    return 0.5 + 0.5 * np.tanh(0.5 * x)
