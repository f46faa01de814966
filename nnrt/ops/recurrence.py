"""One recurrent layer over sequences, RNN, GRU or LSTM, and its derivative.

    a = W x + biases for all steps (one product, or in the walk), then step by step h = cell(a, U h'): see nnrt._ref.rnn.
    dW = Σ daᵀ x     dU = Σ dsᵀ h'     dx = da W     db = Σ da     sums over all steps and sequences (one product each)

Legend: T steps, B batch, N steps of all sequences (T B, or the sum of their lengths), I inputs, H units, P size of h (H, or
that of an LSTM's projection), D directions. Sequences of several lengths come longest first, so that each step is that of
the first ones; `starts`, [T + 1], are the first rows of the steps among N.
"""

import numpy as np

from .. import memory, registry
from ..autograd import on_tape, record, record_many
from ..tensor import wrap
from ._packed import cell_of, packed
from .embedding import sorted_rows
from .linear import weight_gradient

K = registry.family("rnn")
LINEAR = registry.family("linear")
INDEX = registry.family("index")
GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}
TERMS = 5  # W, U, b_ih, b_hh, V of each direction


def layer(op, cell, input, h0, c0, params, starts, single=False, ids=None):
    """Tensors (y, hn) or (y, hn, cn) of a layer; of a single step (input [B, I], states [B, P]) without y.

    input: Tensor [T, B, I] or [N, I], or a table [S, I] of which ids, int64 [T, B] or [N], name the rows; h0: [D, B, P] or None;
    c0: [D, B, H] or None; params: for each direction (W, U, b_ih, b_hh, V), the last three maybe None.
    """
    inputs = (input, h0, c0, *params[0]) if len(params) == 1 else (input, h0, c0, *params[0], *params[1])
    recorded = on_tape(inputs)
    x, first_h, first_c = memory.contiguous(input.array), None if h0 is None else h0.array, None if c0 is None else c0.array
    hn, cn = empty_states(op, cell, x, first_h, first_c, params, len(params), starts)
    terms = terms_of(cell, params, inside(cell, starts, ids))
    y, gates, kept, hidden = walk(cell, x, first_h, first_c, terms, starts, ids, recorded, hn, cn)
    if single:
        outs = (hn[0],) if cn is None else (hn[0], cn[0])
    else:
        outs = (y, hn) if cn is None else (y, hn, cn)
    if not recorded:
        return tuple([wrap(out) for out in outs])
    saved = (cell, starts, ids, input if x is input.array else x, h0, c0, y, gates, kept, hidden, *inputs[3:])
    if len(outs) == 1:
        return (record(outs[0], single_backward, inputs, saved),)
    return record_many(outs, single_backward if single else layer_backward, inputs, saved)


def walk(cell, x, h0, c0, terms, starts, ids, recorded, hn, cn):
    """layer on arrays, with terms of terms_of: y, and gates, kept and hidden for the backward pass; hn and cn are written."""
    products, weights, projections, biases, inputs, offsets = terms
    dtype, count, units, p = x.dtype, len(weights), (hn if cn is None else cn).shape[2], hn.shape[2]
    rows = GATES[cell] * units
    lead = x.shape[:-1] if ids is None else ids.shape
    n = lead[0] if len(lead) == 1 else lead[0] * lead[1]
    x2 = x.reshape(n, x.shape[-1]) if ids is None and len(lead) > 1 else x
    gates = memory.empty((count, n, rows), dtype)
    for d, (w, bias) in enumerate(products):
        product = gates[d] if ids is None else memory.empty((len(x2), rows), dtype)
        LINEAR.gemm(product, x2, w, bias, None, 1.0, 0.0, None)
        if ids is not None:
            INDEX.take(gates[d : d + 1], product[None], ids)
    y = memory.empty((*lead, count * p), dtype)
    kept = memory.empty((count, n, units), dtype) if recorded and rows > units else None
    hidden = memory.empty((count, n, units), dtype) if projections else None
    h0 = None if h0 is None else memory.contiguous(h0).reshape(hn.shape)
    c0 = None if c0 is None else memory.contiguous(c0).reshape(cn.shape)
    flat = y if len(lead) == 1 else y.reshape(n, count * p)
    K.recur(
        flat, hn, cn, gates, kept, hidden, h0, c0, weights, projections, biases, x2 if inputs else None, inputs, offsets, starts,
        cell,
    )  # fmt: skip
    return y, gates, kept, hidden


def inside(cell, starts, ids):
    """Whether the walk itself works out W x + biases, step by step."""
    return cell == "lstm" and ids is None and K.takes_inputs(starts[1])


def terms_of(cell, params, inside):
    """What a layer's kernels take of its weights: for each direction (Wᵀ, bias), packed U and V, gru's biases inside of n, and,
    instead of (Wᵀ, bias), packed W and the biases where W x is left to the walk."""
    products, weights, projections, biases, inputs, offsets = [], [], [], [], [], []
    for w, u, b_ih, b_hh, v in params:
        bias = None if b_ih is None else _joined(cell, b_ih.array, b_hh.array, biases)
        if inside:
            inputs.append(_packed(w, w.array, GATES[cell], False))
            offsets.append(bias)
        else:
            products.append((w.array.T, bias))
        weights.append(_packed(u, u.array, GATES[cell], False))
        if v is not None:
            projections.append(_packed(v, v.array, 1, False))
    return products, weights, projections, biases, inputs, offsets


def empty_states(op, cell, x, h0, c0, params, count, starts):
    """hn [count, B, P] and cn [count, B, H] (None but for lstm), once everything is checked."""
    units, p = checked_sizes(op, cell, params, x.shape[-1], x.dtype, h0, c0)
    batch = int(starts[1])
    hn = memory.empty((count, batch, p), x.dtype)
    return hn, memory.empty((count, batch, units), x.dtype) if cell == "lstm" else None


def _packed(weight, array, gates, backward):
    cell = None if weight is None else cell_of(weight)
    return packed(
        cell, array, ("recur", backward), K.pack,
        lambda: K.packed_size(array.shape, gates, array.dtype, backward), gates, backward,
    )  # fmt: skip


def _joined(cell, b_ih, b_hh, biases):
    """What is added to W x: both biases, but for gru's inside of n, which goes to `biases`."""
    if cell != "gru":
        return b_ih + b_hh
    bias, units = b_ih.copy(), len(b_ih) // 3
    bias[: 2 * units] += b_hh[: 2 * units]
    biases.append(memory.contiguous(b_hh[2 * units :]))
    return bias


def single_backward(node, dh, dc=None):
    """layer_backward of one step."""
    return layer_backward(node, None, dh, dc)


def layer_backward(node, dy, dhn, dcn=None):
    cell, starts, ids, x, h0, c0, y, gates, kept, hidden, *params = node.saved
    count, n, _ = gates.shape
    batch, y = int(starts[1]), y.reshape(n, y.shape[-1])
    p, units = y.shape[1] // count, params[0].shape[0] // GATES[cell]
    dtype = y.dtype
    params = [params[d * TERMS : (d + 1) * TERMS] for d in range(count)]
    weights = [_packed(None, u, GATES[cell], True) for _, u, *_ in params]
    projections = [_packed(None, v, 1, True) for *_, v in params if v is not None]
    columns = units * (4 if cell == "gru" else GATES[cell])
    # Over the gates, unless they are wanted once more: the walk waits for the caches.
    dgates = gates if columns == gates.shape[2] and node.consumed() else memory.empty((count, n, columns), dtype)
    dh0 = memory.empty((count, batch, p), dtype)
    dc0 = memory.empty((count, batch, units), dtype) if cell == "lstm" else None
    dproj = memory.empty((count, n, p), dtype) if projections else None
    first_h, first_c, dhn, dcn = [
        None if s is None else memory.contiguous(s).reshape(count, batch, k)
        for s, k in ((h0, p), (c0, units), (dhn, p), (dcn, units))
    ]
    dy = None if dy is None else memory.contiguous(dy).reshape(y.shape)
    K.recur_backward(
        dgates, dh0, dc0, dproj, dy, dhn, dcn, y, gates, kept, first_h, first_c, weights, projections, starts, cell
    )
    x2 = memory.contiguous(x).reshape(-1, x.shape[-1])
    dx = memory.empty(x2.shape, dtype) if node.needs(0) else None
    order = None if ids is None else sorted_rows(ids, len(x2))
    grads = []
    for d, (w, _, _, _, v) in enumerate(params):
        needs = [node.needs(3 + d * TERMS + i) for i in range(TERMS)]
        ds = da = dgates[d]
        if order is not None:
            # a[n] = (W X)[ids[n]] + ...  =>  d(W X)[s] = sum of da[n] over ids[n] = s
            da = memory.empty((len(x2), columns), dtype)
            INDEX.segment_sum(da[None], None, None, ds[None], *order)
        total = None
        if needs[2] or needs[3]:
            total = memory.empty((columns,), dtype)
            LINEAR.bias_grad(total, da)
        if cell == "gru":
            da = da[:, units:]
        if dx is not None:
            # a = W x + ...  =>  dx = da W, added up over the directions
            LINEAR.gemm(dx, da, w, None, None, 1.0, float(d), None)
        dw = du = dv = db_ih = db_hh = None
        if needs[0]:
            dw = memory.empty(w.shape, dtype)
            weight_gradient(dw, da, x2)
        if needs[1]:
            du = _recurrent_gradient(cell, d, ds, y[:, d * p : (d + 1) * p], first_h, starts, units)
        if total is not None:
            db_ih = total[units:] if cell == "gru" else total
            db_hh = np.concatenate((total[units : 3 * units], total[:units])) if cell == "gru" else total
        if needs[4]:
            # h = V m  =>  dV = dhᵀ m
            dv = memory.empty(v.shape, dtype)
            weight_gradient(dv, dproj[d], hidden[d])
        grads += [dw, du, db_ih, db_hh, dv]
    if dx is not None:
        dx = dx.reshape(x.shape)
    dh0 = dh0.reshape(h0.shape) if node.needs(1) else None
    dc0 = dc0.reshape(c0.shape) if node.needs(2) else None
    return dx, dh0, dc0, *grads


def _recurrent_gradient(cell, d, ds, y, h0, starts, units):
    """s = U h'  =>  dU = Σ dsᵀ h': h' is the output before, or h0 where a sequence starts. ds: [N, ...]; y: [N, P]."""
    n, batch, steps = len(ds), int(starts[1]), len(starts) - 1
    du = (memory.empty if steps > 1 else memory.zeros)((GATES[cell] * units, y.shape[1]), y.dtype)
    ragged = n != steps * batch
    if steps > 1:
        # Steps that another follows, in its order, and those.
        if ragged:
            sizes = np.diff(starts)
            earlier = np.arange(batch, n) - np.repeat(sizes[:-1], sizes[1:])
        else:
            earlier = slice(0, n - batch)
        if d == 0:
            _add_product(cell, du, ds[batch:], y[earlier], 0.0, units)
        else:
            _add_product(cell, du, ds[earlier], y[batch:], 0.0, units)
    if h0 is not None:
        first = slice(0, batch) if d == 0 else slice(n - batch, n)
        if ragged and d:
            each = np.arange(batch)
            first = starts[np.searchsorted(-np.diff(starts), -each) - 1] + each
        _add_product(cell, du, ds[first], h0[d], 1.0, units)
    return du


def _add_product(cell, du, ds, h, beta, units):
    """du = beta du + dsᵀ h; ds of gru comes as n r z, du is r z n."""
    if cell != "gru":
        weight_gradient(du, ds, h, beta)
        return
    weight_gradient(du[: 2 * units], ds[:, units : 3 * units], h, beta)
    weight_gradient(du[2 * units :], ds[:, :units], h, beta)


# ---- checks ----


def checked_sizes(op, cell, params, size, dtype, h0, c0):
    """H and P; raises RuntimeError for weights that do not fit each other or the input, and for mixed dtypes."""
    w, u, *_, v = params[0]
    units, p = w.array.shape[0] // GATES[cell], u.array.shape[-1]
    rows = GATES[cell] * units
    if v is None and p != units:
        raise RuntimeError(f"{op}: w_hh must have shape ({rows}, {units}) for w_ih {w.array.shape}, got {u.array.shape}")
    want = ((rows, size), (rows, p), (rows,), (rows,), (p, units))
    for terms in params:
        if (terms[2] is None) != (terms[3] is None):
            raise RuntimeError(f"{op}: wants both biases or none")
        for t, shape in zip(terms, want):
            if t is not None and (t.array.shape != shape or t.array.dtype != dtype):
                name = ("w_ih", "w_hh", "b_ih", "b_hh", "w_hr")[[one is t for one in terms].index(True)]
                if t.array.shape != shape:
                    raise RuntimeError(f"{op}: {name} must have shape {shape}, got {t.array.shape}")
                raise RuntimeError(f"{op}: arguments must have one dtype, got input {dtype}, {name} {t.array.dtype}")
    for s in (h0, c0):
        if s is not None and s.dtype != dtype:
            name = ("h0" if s is h0 else "c0") if cell == "lstm" else "hx"
            raise RuntimeError(f"{op}: arguments must have one dtype, got input {dtype}, {name} {s.dtype}")
    if dtype.char not in "fd":
        raise RuntimeError(f"{op}: input must be float32 or float64, got {dtype}")
    return units, p
