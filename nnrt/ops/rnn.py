"""Recurrent networks: RNN, GRU and LSTM over whole sequences, and their cells.

    a = W x + biases for all steps (one product), then step by step h = cell(a, U h'): see nnrt._ref.rnn.
    dW = Σ daᵀ x     dU = Σ dsᵀ h'     dx = da W     db = Σ da     sums over all steps and sequences (one product each)

Legend: T steps, B batch, N steps of all sequences (T B, or the sum of their lengths), I inputs, H units, P size of h (H, or
that of an LSTM's projection), L layers, D directions. Sequences of several lengths come longest first, so that each step is
that of the first ones; `starts`, [T + 1], are the first rows of the steps among N.
"""

import math
from functools import lru_cache

import numpy as np

from .. import memory, registry
from ..autograd import on_tape, record, record_many
from ..tensor import Tensor, wrap
from ._packed import cell_of, packed
from .embedding import sorted_rows
from .index import check_range, indices_of
from .join import cat
from .linear import weight_gradient
from .promotion import not_tensors
from .random import dropout as _dropout

K = registry.family("rnn")
LINEAR = registry.family("linear")
INDEX = registry.family("index")
GATES = {"tanh": 1, "relu": 1, "gru": 3, "lstm": 4}
TERMS = 5  # W, U, b_ih, b_hh, V of each direction


# ---- one layer ----


def _layer(op, cell, input, h0, c0, params, starts, single=False, ids=None):
    """Tensors (y, hn) or (y, hn, cn) of a layer; of a single step (input [B, I], states [B, P]) without y.

    input: Tensor [T, B, I] or [N, I], or a table [S, I] of which ids, int64 [T, B] or [N], name the rows; h0: [D, B, P] or None;
    c0: [D, B, H] or None; params: for each direction (W, U, b_ih, b_hh, V), the last three maybe None.
    """
    inputs = (input, h0, c0, *params[0]) if len(params) == 1 else (input, h0, c0, *params[0], *params[1])
    recorded = on_tape(inputs)
    x, first_h, first_c = memory.contiguous(input.array), None if h0 is None else h0.array, None if c0 is None else c0.array
    hn, cn = _empty_states(op, cell, x, first_h, first_c, params, len(params), starts)
    y, gates, kept, hidden = _walk(cell, x, first_h, first_c, params, starts, ids, recorded, hn, cn)
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


def _walk(cell, x, h0, c0, params, starts, ids, recorded, hn, cn):
    """_layer on arrays: y, and gates, kept and hidden for the backward pass; hn and cn [D, B, ..] are written."""
    dtype, count, units, p = x.dtype, len(params), (hn if cn is None else cn).shape[2], hn.shape[2]
    rows = GATES[cell] * units
    lead = x.shape[:-1] if ids is None else ids.shape
    n = lead[0] if len(lead) == 1 else lead[0] * lead[1]
    x2 = x.reshape(n, x.shape[-1]) if ids is None and len(lead) > 1 else x
    gates = memory.empty((count, n, rows), dtype)
    weights, projections, biases = [], [], []
    for d, (w, u, b_ih, b_hh, v) in enumerate(params):
        bias = None if b_ih is None else _joined(cell, units, b_ih.array, b_hh.array, biases)
        product = gates[d] if ids is None else memory.empty((len(x2), rows), dtype)
        LINEAR.gemm(product, x2, w.array.T, bias, None, 1.0, 0.0, None)
        if ids is not None:
            INDEX.take(gates[d : d + 1], product[None], ids)
        weights.append(_packed(u, u.array, GATES[cell], False))
        if v is not None:
            projections.append(_packed(v, v.array, 1, False))
    y = memory.empty((*lead, count * p), dtype)
    kept = memory.empty((count, n, units), dtype) if recorded and rows > units else None
    hidden = memory.empty((count, n, units), dtype) if projections else None
    h0 = None if h0 is None else memory.contiguous(h0).reshape(hn.shape)
    c0 = None if c0 is None else memory.contiguous(c0).reshape(cn.shape)
    flat = y if len(lead) == 1 else y.reshape(n, count * p)
    K.recur(flat, hn, cn, gates, kept, hidden, h0, c0, weights, projections, biases, starts, cell)
    return y, gates, kept, hidden


def _empty_states(op, cell, x, h0, c0, params, count, starts):
    """hn [count, B, P] and cn [count, B, H] (None but for lstm), once everything is checked."""
    units, p = _sizes(op, cell, params, x.shape[-1], x.dtype, h0, c0)
    batch = int(starts[1])
    hn = memory.empty((count, batch, p), x.dtype)
    return hn, memory.empty((count, batch, units), x.dtype) if cell == "lstm" else None


def _packed(weight, array, gates, backward):
    cell = None if weight is None else cell_of(weight)
    return packed(
        cell, array, ("recur", backward), K.pack,
        lambda: K.packed_size(array.shape, gates, array.dtype, backward), gates, backward,
    )  # fmt: skip


def _joined(cell, units, b_ih, b_hh, biases):
    """What is added to W x: both biases, but for gru's inside of n, which goes to `biases`."""
    if cell != "gru":
        return b_ih + b_hh
    bias = b_ih.copy()
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
    dgates = memory.empty((count, n, columns), dtype)
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


def _sizes(op, cell, params, size, dtype, h0, c0):
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


def _lengths(op, lengths, steps, batch):
    """lengths as int64 [B], or None where all sequences are complete."""
    array = np.asarray(lengths.array if isinstance(lengths, Tensor) else lengths)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{op}: lengths must be integers, got {array.dtype}")
    if array.shape != (batch,):
        raise RuntimeError(f"{op}: lengths must have shape ({batch},), one for each sequence, got {array.shape}")
    least, most = (array.min(), array.max()) if batch else (steps, steps)
    if not 1 <= least <= most <= steps:
        raise RuntimeError(f"{op}: lengths must be between 1 and the {steps} steps of the input, got {array.tolist()}")
    return None if least == steps else np.ascontiguousarray(array, np.int64)


def _check_size(op, shape, layers):
    size = layers[0][0][0].array.shape[-1]
    if shape[-1] != size:
        raise RuntimeError(f"{op}: input of shape {shape} must end in input_size = {size}")


def _states(op, cell, hx, layers, batch, batched):
    """The initial states as a list."""
    both, u = (len(layers) * len(layers[0]), batch), layers[0][0][1].array
    if cell != "lstm":
        return [_state(op, "hx", hx, (*both, u.shape[-1]), batched)]
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise TypeError(f"{op}: hx must be a pair of Tensors (h0, c0), got {type(hx).__name__}")
    sizes = (("h0", u.shape[-1]), ("c0", u.shape[0] // 4))
    return [_state(op, name, s, (*both, size), batched) for s, (name, size) in zip(hx, sizes)]


def _state(op, name, state, shape, batched):
    """An initial state [L D, B, size]; unbatched ones get their axis."""
    if not isinstance(state, Tensor):
        raise TypeError(f"{op}: {name} must be a Tensor, got {type(state).__name__}")
    want = shape if batched else (shape[0], shape[2])
    if state.array.shape != want:
        axes = "[layers * directions, batch, size]" if batched else "[layers * directions, size] for an unbatched input"
        raise RuntimeError(f"{op}: {name} must have shape {want}, {axes}, got {state.array.shape}")
    return state if batched else state.unsqueeze(1)


# ---- whole networks ----


def recurrent(op, cell, input, hx, layers, dropout=0.0, training=False, batch_first=False, lengths=None, ids=None):
    """y [T, B, D P] and the last states [L D, B, P] (of lstm a pair with [L D, B, H]) of layers of recurrences.

    input: [T, B, I], [B, T, I] with batch_first, or [T, I] unbatched; hx: initial states or None: zeros; of lstm a
    pair. layers: for each layer a list with (W, U, b_ih, b_hh, V) for each direction. dropout: probability with which
    outputs of all layers but the last are zeroed in training. lengths: of the sequences, 1 to T in any order; y is 0
    behind them. ids: integers [T, B] ([B, T] with batch_first); input is then a table [S, I] whose rows they name, and W x of the
    first layer is computed once for each row. Raises RuntimeError for shapes that do not fit and for T = 0, IndexError for ids
    outside the table.
    """
    if not isinstance(input, Tensor):
        raise not_tensors(op, input=input)
    shape = input.array.shape if ids is None else (*ids.shape, *input.array.shape[1:])
    if len(shape) not in (2, 3):
        raise RuntimeError(f"{op}: input must have 3 dimensions, or 2 without a batch, got shape {shape}")
    _check_size(op, shape, layers)
    batched = len(shape) == 3
    x = input if batched else input.unsqueeze(1)
    if ids is not None:
        ids = memory.contiguous(indices_of(op, ids))
        check_range(op, ids, len(x.array), 0)
    steps, batch = lead = x.array.shape[:2] if ids is None else ids.shape
    if batched and batch_first:
        steps, batch = batch, steps
    if steps == 0:
        raise RuntimeError(f"{op}: expected a sequence of at least one step, got input of shape {shape}")
    if lengths is not None:
        if not batched:
            raise RuntimeError(f"{op}: lengths wants a batch, got input of shape {shape}")
        lengths = _lengths(op, lengths, steps, batch)
    states = None if hx is None else _states(op, cell, hx, layers, batch, batched)
    if lengths is None:
        starts = _even(steps, batch)
        if batched and batch_first:
            x, ids = (x.transpose(0, 1), None) if ids is None else (x, memory.contiguous(ids.T))
    else:
        # Longest first, and the steps that exist.
        order, each = np.argsort(-lengths, kind="stable"), np.arange(lengths.max() + 1)
        there = np.flatnonzero(each[:-1, None] < lengths[order])
        starts = np.searchsorted(there, each * batch)
        places = (each[:-1, None] + order * steps if batch_first else each[:-1, None] * batch + order).take(there)
        if ids is None:
            x = pack_rows(x, places)
        else:
            ids = ids.reshape(-1)[places]
        back = np.argsort(order)
        states = None if states is None else [_reordered(s, order, back) for s in states]
    y, end = _layers(op, cell, x, states, layers, dropout, training, starts, ids)
    if lengths is not None:
        y, end = pad_rows(y, places, *lead), [_reordered(s, back, order) for s in end]
    elif batched and batch_first:
        y = y.transpose(0, 1)
    elif not batched:
        y, end = y.squeeze(1), [s.squeeze(1) for s in end]
    return y, (tuple(end) if cell == "lstm" else end[0])


def packed_recurrent(op, cell, input, sizes, hx, layers, dropout=0.0, training=False, order=None):
    """recurrent of what a PackedSequence holds: input [N, I], sizes [T]: how many sequences have each step. y: [N, D P].

    order: which sequence of the states given and returned is the longest, the second, ... (None: they are sorted).
    """
    starts = np.concatenate(([0], np.cumsum(sizes)))
    shape = input.array.shape
    if len(shape) != 2 or len(sizes) == 0 or (np.diff(sizes) > 0).any() or sizes[-1] < 1 or starts[-1] != len(input.array):
        raise RuntimeError(f"{op}: a PackedSequence with data of shape {shape} cannot have batch_sizes {sizes.tolist()}")
    _check_size(op, shape, layers)
    states = None if hx is None else _states(op, cell, hx, layers, int(sizes[0]), True)
    if order is not None:
        if not np.array_equal(np.sort(order), np.arange(sizes[0])):
            raise RuntimeError(f"{op}: sorted_indices must name each of {sizes[0]} sequences once, got {order.tolist()}")
        order = memory.contiguous(order.astype(np.int64))
        back = np.argsort(order)
        states = None if states is None else [_reordered(s, order, back) for s in states]
    y, end = _layers(op, cell, input, states, layers, dropout, training, starts)
    if order is not None:
        end = [_reordered(s, back, order) for s in end]
    return y, (tuple(end) if cell == "lstm" else end[0])


def _layers(op, cell, x, states, layers, dropout, training, starts, ids=None):
    """y and the list of the last states, x and y as _layer's."""
    h0, c0 = (None, None) if states is None else states if len(states) == 2 else (states[0], None)
    if len(layers) == 1:
        x, *end = _layer(op, cell, x, h0, c0, layers[0], starts, ids=ids)
        return x, end
    dropout = dropout if training else 0
    made = None if dropout else _untaped_layers(op, cell, x, h0, c0, layers, starts, ids)
    if made is not None:
        return made
    last, count = [], len(layers[0])
    for i, params in enumerate(layers):
        own = [None if s is None else s[i * count : (i + 1) * count] for s in (h0, c0)]
        if i and dropout:
            x = _dropout(x, dropout)
        x, *end = _layer(op, cell, x, *own, params, starts, ids=None if i else ids)
        last.append(end)
    return x, [cat(s, 0) for s in zip(*last)]


def _untaped_layers(op, cell, x, h0, c0, layers, starts, ids):
    """_layers where nothing is recorded, or None: each layer reads and writes its part of the states as arrays."""
    if on_tape((x, h0, c0, *[t for params in layers for terms in params for t in terms])):
        return None
    x, count = memory.contiguous(x.array), len(layers[0])
    h0, c0 = None if h0 is None else h0.array, None if c0 is None else c0.array
    hn, cn = _empty_states(op, cell, x, h0, c0, layers[0], len(layers) * count, starts)
    for i, params in enumerate(layers):
        if i:
            units, p = _sizes(op, cell, params, x.shape[-1], x.dtype, h0, c0)
            if p != hn.shape[2] or cn is not None and units != cn.shape[2]:
                return None
        part = slice(i * count, (i + 1) * count)
        own = [None if s is None else s[part] for s in (h0, c0, hn, cn)]
        x = _walk(cell, x, own[0], own[1], params, starts, None if i else ids, False, own[2], own[3])[0]
    return wrap(x), [wrap(hn)] if cn is None else [wrap(hn), wrap(cn)]


@lru_cache(256)
def _even(steps, batch):
    """`starts` of sequences that have every step."""
    return np.arange(steps + 1) * batch


def _taken(a, index):
    """a[:, index], [O, N, D]."""
    out = memory.empty((a.shape[0], len(index), a.shape[2]), a.dtype)
    INDEX.take(out, memory.contiguous(a), index)
    return out


def _reordered(x, order, back):
    """x[:, order]; back undoes order."""
    return record(_taken(x.array, order), reordered_backward, (x,), (back,))


def reordered_backward(node, dy):
    """y = x[:, order]  =>  dx[:, order] = dy"""
    (back,) = node.saved
    return (_taken(dy, back),)


def _from_flat(op, params, has_biases, num_layers, bidirectional):
    """torch's list of parameters as layers of directions."""
    count = num_layers * (1 + bool(bidirectional))
    each = len(params) // count if count > 0 else 0
    biases = 2 if has_biases else 0
    if each * count != len(params) or each - biases not in ((2, 3) if op == "lstm" else (2,)):
        raise RuntimeError(f"{op}: got {len(params)} parameters for {num_layers} layers, bidirectional={bidirectional}")
    found = []
    for i in range(count):
        w, u, *rest = params[i * each : (i + 1) * each]
        b = rest[:2] if has_biases else (None, None)
        found.append((w, u, *b, rest[biases] if len(rest) > biases else None))
    step = count // num_layers
    return [found[i : i + step] for i in range(0, count, step)]


def lstm(
    input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths=None
):  # fmt: skip
    """(y, hn, cn) of layers of LSTMs, gates in the order i, f, g, o. Arguments are torch.lstm's, and lengths.

    input: [T, B, I], [B, T, I] with batch_first, or [T, I]; y: the same with D P in the place of I. hx: (h0, c0), zeros
    if None. hn, h0: [L D, B, P]; cn, c0: [L D, B, H]. params: of each layer and direction w_ih [4 H, I], w_hh [4 H, P],
    with has_biases b_ih and b_hh [4 H], and with a projection w_hr [P, H]. dropout: the probability with which outputs of
    all layers but the last are zeroed if train. lengths: of the sequences, [B], integers from 1 to T in any order (None:
    all are T long); y is 0 behind them. One dtype, float32 or float64; RuntimeError for what does not fit and for T = 0.

    Hochreiter and Schmidhuber, Long short-term memory, Neural Computation 9 (1997).
    """
    layers = _from_flat("lstm", params, has_biases, num_layers, bidirectional)
    y, (hn, cn) = recurrent("lstm", "lstm", input, hx, layers, dropout, train, batch_first, lengths)
    return y, hn, cn


def gru(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths=None):
    """(y, hn) of layers of GRUs, the linear map before the reset, gates in the order r, z, n.

    Arguments as lstm's, P = H; hx is h0 or None, params have 3 H rows.
    Cho et al., Learning phrase representations using RNN encoder-decoder, EMNLP 2014.
    """
    layers = _from_flat("gru", params, has_biases, num_layers, bidirectional)
    return recurrent("gru", "gru", input, hx, layers, dropout, train, batch_first, lengths)


def rnn_tanh(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths=None):
    """(y, hn) of layers of h = tanh(a + U h'). Elman, Cognitive Science 14 (1990).

    Arguments as lstm's, P = H; hx is h0 or None, params have H rows.
    """
    layers = _from_flat("rnn_tanh", params, has_biases, num_layers, bidirectional)
    return recurrent("rnn_tanh", "tanh", input, hx, layers, dropout, train, batch_first, lengths)


def rnn_relu(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first, lengths=None):
    """(y, hn) of layers of h = relu(a + U h'); arguments as rnn_tanh's."""
    layers = _from_flat("rnn_relu", params, has_biases, num_layers, bidirectional)
    return recurrent("rnn_relu", "relu", input, hx, layers, dropout, train, batch_first, lengths)


# ---- single steps ----


def _step(op, cell, input, states, w_ih, w_hh, b_ih, b_hh):
    """The new states [B, H] (or [H]) as a tuple; states: (h0,) or (h0, c0), each maybe None."""
    names = {"input": input, "w_ih": w_ih, "w_hh": w_hh}
    if not all(isinstance(t, Tensor) for t in names.values()):
        raise not_tensors(op, **names)
    shape = input.array.shape
    if len(shape) not in (1, 2):
        raise RuntimeError(f"{op}: input must be [B, I] or, without a batch, [I], got shape {shape}")
    batched = len(shape) == 2
    if w_ih.array.ndim != 2 or shape[-1] != w_ih.array.shape[1]:
        raise RuntimeError(f"{op}: input of shape {shape} must end in input_size, w_ih has shape {w_ih.array.shape}")
    if w_hh.array.ndim != 2:
        raise RuntimeError(f"{op}: w_hh must have 2 dimensions, got shape {w_hh.array.shape}")
    want = (*shape[:-1], w_hh.array.shape[1])
    for name, s in zip(("h0", "c0") if cell == "lstm" else ("hx",), states):
        if s is not None and not isinstance(s, Tensor):
            raise TypeError(f"{op}: {name} must be a Tensor, got {type(s).__name__}")
        if s is not None and s.array.shape != want:
            raise RuntimeError(f"{op}: {name} must have shape {want} for input {shape}, got {s.array.shape}")
    params = [(w_ih, w_hh, b_ih, b_hh, None)]
    h0, c0 = states if len(states) == 2 else (states[0], None)
    if batched:
        return _layer(op, cell, input, h0, c0, params, _even(1, shape[0]), True)
    h0, c0 = [None if s is None else s.unsqueeze(0) for s in (h0, c0)]
    return tuple([s.squeeze(0) for s in _layer(op, cell, input.unsqueeze(0), h0, c0, params, _even(1, 1), True)])


def lstm_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """(h, c) after one step. input: [B, I] or [I]; hx: (h, c) before it, [B, H] or [H] each, or None: zeros.

    w_ih: [4 H, I]; w_hh: [4 H, H]; b_ih and b_hh: [4 H], both or neither; gates in the order i, f, g, o. One dtype,
    float32 or float64; RuntimeError for what does not fit.
    """
    if hx is None:
        hx = (None, None)
    if not isinstance(hx, (tuple, list)) or len(hx) != 2:
        raise TypeError(f"lstm_cell: hx must be a pair of Tensors (h, c), got {type(hx).__name__}")
    return _step("lstm_cell", "lstm", input, hx, w_ih, w_hh, b_ih, b_hh)


def gru_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """h after one step. input: [B, I] or [I]; hx: h before it, [B, H] or [H], or None: zeros.

    w_ih: [3 H, I]; w_hh: [3 H, H]; b_ih and b_hh: [3 H]; gates in the order r, z, n. The rest as lstm_cell's.
    """
    return _step("gru_cell", "gru", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def rnn_tanh_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """tanh(W x + b_ih + U h + b_hh), [B, H] or [H]. Arguments as gru_cell's, with H rows."""
    return _step("rnn_tanh_cell", "tanh", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


def rnn_relu_cell(input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    """relu(W x + b_ih + U h + b_hh), [B, H] or [H]. Arguments as gru_cell's, with H rows."""
    return _step("rnn_relu_cell", "relu", input, (hx,), w_ih, w_hh, b_ih, b_hh)[0]


# ---- rows of sequences of several lengths, one after the other ----


def pack_rows(input, rows):
    """input[T, B, ...] -> [N, ...]: the given rows of T B, each at most once."""
    x = input.array
    return record(_rows_of(x, rows, x.shape[:2], (len(rows),)), pack_rows_backward, (input,), (rows, x.shape[:2]))


def pack_rows_backward(node, dy):
    rows, lead = node.saved
    return (_rows_of(dy, _places(rows, lead), dy.shape[:1], lead),)


def pad_rows(input, rows, steps, batch, value=0.0):
    """[N, ...] -> [T, B, ...]: pack_rows undone, `value` in the rows that were left out."""
    x = input.array
    places = _places(rows, (steps, batch))
    y = _rows_of(x, places, x.shape[:1], (steps, batch))
    if value:
        y[(places < 0).reshape(steps, batch)] = value
    return record(y, pad_rows_backward, (input,), (rows,))


def pad_rows_backward(node, dy):
    (rows,) = node.saved
    return (_rows_of(dy, rows, dy.shape[:2], (len(rows),)),)


def _places(rows, lead):
    """Where each of T B rows lies among the packed ones; -1: nowhere."""
    places = np.full(math.prod(lead), -1)
    places[rows] = np.arange(len(rows))
    return places


def _rows_of(a, index, lead, new):
    """a[*lead, ...] -> [*new, ...]: its rows by index, zeros for -1."""
    rest = a.shape[len(lead) :]
    out = memory.empty((*new, *rest), a.dtype)
    size = math.prod(rest)
    INDEX.take(out.reshape(1, len(index), size), memory.contiguous(a).reshape(1, math.prod(lead), size), index)
    return out
