"""Recurrences over time (specification).

    tanh, relu:  h = f(a + U h')
    gru:         r = σ(a_r + U_r h')   z = σ(a_z + U_z h')   q = U_n h' + b   n = tanh(a_n + r q)
                 h = (1 - z) n + z h'
    lstm:        i, f, o = σ(a + U h')   g = tanh(a_g + U_g h')
                 c = f c' + i g          m = o tanh(c)       h = m, or V m with a projection

h', c' are the state before the step; a = W x + biases is worked out for all steps beforehand.

Legend: T steps, B batch, H units, P size of h (H, or that of the projection), D directions (the second walks
backwards in time), G gates in torch's order (1; r z n; i f g o). Arrays are C-contiguous. Lists hold one array for each
direction. Sequences come longest first: starts[T + 1], int64, from 0 to N: rows starts[t]..starts[t + 1] are step t of the
first sequences. h and c end as those of a sequence's last step, and the second direction starts there.
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


def takes_inputs(batch):
    """Whether recur, of so many sequences of an LSTM, had better be given x than the gates."""
    return False


def _sigmoid(x):
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def _steps(t, d):
    """The steps in the order of direction d."""
    return range(t) if d == 0 else range(t - 1, -1, -1)


def _before(values, first, starts, t, d):
    """Of each sequence that has step t, the row of the step walked before it, or of `first`."""
    t_count, n = len(starts) - 1, starts[t + 1] - starts[t]
    before = t - 1 if d == 0 else t + 1
    held = values[starts[before] : starts[before + 1]][:n] if 0 <= before < t_count else values[:0]
    return np.concatenate([held, first[len(held) : n]])


def recur(
    y: Out, hn: Out, cn: Out, gates: Out, kept: Out, hidden: Out, h0, c0, weights, projections, biases, x, inputs, offsets,
    starts, cell,
):  # fmt: skip
    """y[N, D P], hn[D, B, P] and cn[D, B, H] from gates = a[D, N, G H], or from x[N, I]: a = W x + offset.

    For the backward pass gates become the activations (r z n; i f g o; tanh and relu leave them) and kept[D, N, H]
    holds q or c; without kept gates are left as they are. hidden[D, N, H] holds m where there are projections, a list of
    packed V, else None. h0[D, B, P] and c0[D, B, H] may be None: zeros. weights: packed U. biases: b of gru, or empty.
    x: None where gates hold a; else, for lstm alone, inputs are packed W and offsets what is added to W x, [G H] or None.
    cn, c0: None but for lstm.
    """
    d_count, p = len(gates), hn.shape[2]
    for d in range(d_count):
        u, h = weights[d].reshape(-1, p), hn[d]
        sums = gates[d] if x is None else x @ inputs[d].reshape(-1, x.shape[1]).T + (0 if offsets[d] is None else offsets[d])
        h[...] = 0 if h0 is None else h0[d]
        if cn is not None:
            cn[d] = 0 if c0 is None else c0[d]
        for t in _steps(len(starts) - 1, d):
            at = slice(starts[t], starts[t + 1])
            n = at.stop - at.start
            a, s = sums[at], h[:n] @ u.T
            if cell == "lstm":
                act, c, m = _lstm(a + s, cn[d, :n])
                if kept is not None:
                    gates[d, at], kept[d, at] = act, c
                cn[d, :n] = c
                if projections:
                    hidden[d, at] = m
                    m = m @ projections[d].reshape(p, -1).T
            elif cell == "gru":
                act, q, m = _gru(a, s, h[:n], biases[d] if biases else 0)
                if kept is not None:
                    gates[d, at], kept[d, at] = act, q
            else:
                m = np.tanh(a + s) if cell == "tanh" else np.maximum(a + s, 0)
            h[:n] = y[at, d * p : (d + 1) * p] = m


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
    dgates: Out, dh0: Out, dc0: Out, dproj: Out, dy, dhn, dcn, y, gates, kept, h0, c0, weights, projections, starts, cell
):
    """dgates = da[D, N, G H] and the gradients of the first state; dh0 is 0 where h0 is None, and dc0 that of zeros.

    gru has four columns: dq, dr, dz, dn (that of U h' + b is dr, dz, dq; that of a is dr, dz, dn). With projections,
    dproj[D, N, P] is the gradient of h. dgates may be gates, but for gru. dy, dhn, dcn may be None: zeros.
    """
    d_count, b, p = dh0.shape
    for d in range(d_count):
        u, part = weights[d].reshape(-1, p), slice(d * p, (d + 1) * p)
        first = np.zeros((b, p), y.dtype) if h0 is None else h0[d]
        dh0[d] = 0 if dhn is None else dhn[d]
        if cell == "lstm":
            first_c = np.zeros(dc0.shape[1:], y.dtype) if c0 is None else c0[d]
            dc0[d] = 0 if dcn is None else dcn[d]
        for t in reversed(_steps(len(starts) - 1, d)):
            at = slice(starts[t], starts[t + 1])
            n = at.stop - at.start
            total = dh0[d, :n] if dy is None else dh0[d, :n] + dy[at, part]
            through = 0
            if cell == "lstm":
                if projections:
                    dproj[d, at] = total
                    total = total @ projections[d].reshape(p, -1)
                before = _before(kept[d], first_c, starts, t, d)
                da, dc0[d, :n] = _lstm_backward(total, dc0[d, :n], gates[d, at], kept[d, at], before)
                ds = da
            elif cell == "gru":
                h = _before(y[:, part], first, starts, t, d)
                da, ds, through = _gru_backward(total, gates[d, at], kept[d, at], h)
            else:
                out = y[at, part]
                # h = tanh(s)  =>  ds = dh (1 - h²)
                ds = da = total * (1 - out * out) if cell == "tanh" else np.where(out > 0, total, 0)
            dgates[d, at] = da
            # s = U h'  =>  dh' = Uᵀ ds
            dh0[d, :n] = ds @ u + through
        if h0 is None:
            dh0[d] = 0


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
