"""Recurrences over time (specification).

    tanh, relu:  h = f(a + U h')
    gru:         r = σ(a_r + U_r h')   z = σ(a_z + U_z h')   q = U_n h' + b   n = tanh(a_n + r q)
                 h = (1 - z) n + z h'
    lstm:        i, f, o = σ(a + U h')   g = tanh(a_g + U_g h')
                 c = f c' + i g          m = o tanh(c)       h = m, or V m with a projection

h', c' are the state before the step; a = W x + biases is worked out for all steps beforehand.

Legend: T steps, B batch, H units, P size of h (H, or that of the projection), D directions (the second walks
backwards in time), G gates in torch's order (1; r z n; i f g o). Arrays are C-contiguous. Lists hold one array for each
direction. lengths[B], int64 in 1..T, or None: a sequence ends after its length. Then h and c are those of its last
step, the second direction starts there, and y is 0 behind it.
"""

import numpy as np

from . import Out

GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}


def packed_size(shape, gates, dtype, backward):
    """Elements of the buffer that pack fills for a weight of this shape; the layout is the back-end's own."""
    return shape[0] * shape[1]


def pack(packed: Out, w, gates, backward):
    """A copy of U[G H, P] (or V[P, H], gates = 1) in the order in which recur, or recur_backward, reads it."""
    packed[...] = w.ravel()


def _sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _steps(t, d):
    """The steps in the order of direction d."""
    return range(t) if d == 0 else range(t - 1, -1, -1)


def _active(step, lengths, b):
    """Which sequences have this step."""
    return np.ones((b, 1), bool) if lengths is None else lengths[:, None] > step


def recur(
    y: Out, hn: Out, cn: Out, gates: Out, kept: Out, hidden: Out, h0, c0, weights, projections, biases, lengths, cell
):
    """y[T, B, D P], hn[D, B, P] and cn[D, B, H] from gates = a[D, T, B, G H].

    For the backward pass gates become the activations (r z n; i f g o; tanh and relu leave them) and kept[D, T, B, H]
    holds q or c; without kept gates are left as they are. hidden[D, T, B, H] holds m where there are projections,
    a list of packed V, else None. All of them are 0 where a sequence does not have the step. h0[D, B, P] and
    c0[D, B, H] may be None: zeros. weights: packed U. biases: b of gru, or empty. cn, c0: None but for lstm.
    """
    d_count, t_count, b, _ = gates.shape
    p = hn.shape[2]
    for d in range(d_count):
        u = weights[d].reshape(-1, p)
        h = np.zeros((b, p), y.dtype) if h0 is None else h0[d]
        c = np.zeros(cn.shape[1:], y.dtype) if c0 is None and cn is not None else c0 if cn is None else c0[d]
        for t in _steps(t_count, d):
            on = _active(t, lengths, b)
            a, s = gates[d, t], h @ u.T
            if cell == "lstm":
                act, new_c, m = _lstm(a + s, c)
                if kept is not None:
                    gates[d, t], kept[d, t] = np.where(on, act, 0), np.where(on, new_c, 0)
                c = np.where(on, new_c, c)
                if projections:
                    hidden[d, t] = np.where(on, m, 0)
                    m = m @ projections[d].reshape(p, -1).T
            elif cell == "gru":
                act, q, m = _gru(a, s, h, biases[d] if biases else 0)
                if kept is not None:
                    gates[d, t], kept[d, t] = np.where(on, act, 0), np.where(on, q, 0)
            else:
                m = np.tanh(a + s) if cell == "tanh" else np.maximum(a + s, 0)
            h = np.where(on, m, h)
            y[t, :, d * p : (d + 1) * p] = np.where(on, m, 0)
        hn[d] = h
        if cn is not None:
            cn[d] = c


def _lstm(a, c):
    i, f, g, o = np.split(a, 4, 1)
    i, f, g, o = _sigmoid(i), _sigmoid(f), np.tanh(g), _sigmoid(o)
    c = f * c + i * g
    return np.concatenate([i, f, g, o], 1), c, o * np.tanh(c)


def _gru(a, s, h, b):
    (ar, az, an), (sr, sz, sn) = np.split(a, 3, 1), np.split(s, 3, 1)
    r, z, q = _sigmoid(ar + sr), _sigmoid(az + sz), sn + b
    n = np.tanh(an + r * q)
    return np.concatenate([r, z, n], 1), q, (1 - z) * n + z * h


def recur_backward(
    dgates: Out, dh0: Out, dc0: Out, dproj: Out, dy, dhn, dcn, y, gates, kept, h0, c0, weights, projections, lengths, cell
):
    """dgates = da[D, T, B, G H] and the gradients of the first state.

    gru has four columns: dq, dr, dz, dn (that of U h' + b is dr, dz, dq; that of a is dr, dz, dn). With projections,
    dproj[D, T, B, P] is the gradient of h. dy, dhn, dcn may be None: zeros. Steps that a sequence does not have get
    zeros.
    """
    d_count, t_count, b, _ = dgates.shape
    p, dtype = dh0.shape[2], dgates.dtype
    for d in range(d_count):
        u = weights[d].reshape(-1, p)
        first = np.zeros((b, p), dtype) if h0 is None else h0[d]
        dh = np.zeros((b, p), dtype) if dhn is None else dhn[d]
        if cell == "lstm":
            first_c = np.zeros(dc0.shape[1:], dtype) if c0 is None else c0[d]
            dc = np.zeros(dc0.shape[1:], dtype) if dcn is None else dcn[d]
        for t in reversed(_steps(t_count, d)):
            on = _active(t, lengths, b)
            before = t - 1 if d == 0 else t + 1
            # The step that a sequence starts with follows h0, c0.
            start = before < 0 or before == t_count if lengths is None else (before < 0) | (before == lengths[:, None])
            before = min(max(before, 0), t_count - 1)
            total = dh if dy is None else dh + dy[t, :, d * p : (d + 1) * p]
            da, ds, through = None, None, 0
            if cell == "lstm":
                if projections:
                    dproj[d, t] = np.where(on, total, 0)
                    total = total @ projections[d].reshape(p, -1)
                da, new_dc = _lstm_backward(total, dc, gates[d, t], kept[d, t], np.where(start, first_c, kept[d, before]))
                ds, dc = da, np.where(on, new_dc, dc)
            elif cell == "gru":
                h = np.where(start, first, y[before, :, d * p : (d + 1) * p])
                da, ds, through = _gru_backward(total, gates[d, t], kept[d, t], h)
            else:
                out = y[t, :, d * p : (d + 1) * p]
                # h = tanh(s)  =>  ds = dh (1 - h²)
                ds = da = total * (1 - out * out) if cell == "tanh" else np.where(out > 0, total, 0)
            dgates[d, t] = np.where(on, da, 0)
            # s = U h'  =>  dh' = Uᵀ ds
            dh = np.where(on, ds @ u + through, dh)
        dh0[d] = dh
        if cell == "lstm":
            dc0[d] = dc


def _lstm_backward(dm, dc, gates, c, before):
    i, f, g, o = np.split(gates, 4, 1)
    tc = np.tanh(c)
    # m = o tanh(c)
    do, dc = dm * tc, dc + dm * o * (1 - tc * tc)
    # c = f c' + i g
    di, df, dg = dc * g, dc * before, dc * i
    return np.concatenate([di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o)], 1), dc * f


def _gru_backward(dh, gates, q, h):
    r, z, n = np.split(gates, 3, 1)
    # h = (1 - z) n + z h'
    dz, dn = dh * (h - n), dh * (1 - z)
    # n = tanh(a_n + r q)
    dan = dn * (1 - n * n)
    dr, dq = dan * q, dan * r
    dar, daz = dr * r * (1 - r), dz * z * (1 - z)
    return np.concatenate([dq, dar, daz, dan], 1), np.concatenate([dar, daz, dq], 1), dh * z
