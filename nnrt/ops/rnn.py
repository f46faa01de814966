"""Recurrent networks: RNN, GRU and LSTM over whole sequences, and their cells. A layer and its derivative: recurrence.py.

Legend: T steps, B batch, N steps of all sequences (T B, or the sum of their lengths), I inputs, H units, P size of h (H, or
that of an LSTM's projection), L layers, D directions.
"""

from functools import lru_cache

import numpy as np

from .. import memory
from ..autograd import on_tape
from ..tensor import Tensor, wrap
from .index import check_range, indices_of
from .join import cat
from .promotion import check_tensors
from .ragged import checked_lengths, longest_first, pack_rows, pad_rows, reordered
from .random import dropout as _dropout
from .recurrence import checked_sizes, empty_states, inside, layer, terms_of, walk


def recurrent(op, cell, input, hx, layers, dropout=0.0, training=False, batch_first=False, lengths=None, ids=None):
    """y [T, B, D P] and the last states [L D, B, P] (of lstm a pair with [L D, B, H]) of layers of recurrences.

    input: [T, B, I], [B, T, I] with batch_first, or [T, I] unbatched; hx: initial states or None: zeros; of lstm a
    pair. layers: for each layer a list with (W, U, b_ih, b_hh, V) for each direction. dropout: probability with which
    outputs of all layers but the last are zeroed in training. lengths: of the sequences, 1 to T in any order; y is 0
    behind them. ids: integers [T, B] ([B, T] with batch_first); input is then a table [S, I] whose rows they name, and W x of the
    first layer is computed once for each row. Raises RuntimeError for shapes that do not fit and for T = 0, IndexError for ids
    outside the table.
    """
    check_tensors(op, input=input)
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
        lengths = checked_lengths(op, lengths, steps, batch)
    states = None if hx is None else _states(op, cell, hx, layers, batch, batched)
    if lengths is None:
        starts = even_starts(steps, batch)
        if batched and batch_first:
            x, ids = (x.transpose(0, 1), None) if ids is None else (x, memory.contiguous(ids.T))
    else:
        sorted = longest_first(lengths, steps, batch_first)
        order, back, rows, starts = sorted.order, sorted.back, sorted.rows, sorted.starts
        if ids is None:
            x = pack_rows(x, rows, sorted.places)
        else:
            ids = ids.reshape(-1)[rows]
        states = None if states is None else [reordered(s, order, back) for s in states]
    y, end = _layers(op, cell, x, states, layers, dropout, training, starts, ids)
    if lengths is not None:
        y, end = pad_rows(y, rows, *lead, 0.0, sorted.places), [reordered(s, back, order) for s in end]
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
        states = None if states is None else [reordered(s, order, back) for s in states]
    y, end = _layers(op, cell, input, states, layers, dropout, training, starts)
    if order is not None:
        end = [reordered(s, back, order) for s in end]
    return y, (tuple(end) if cell == "lstm" else end[0])


def _layers(op, cell, x, states, layers, dropout, training, starts, ids=None):
    """y and the list of the last states, x and y as layer's."""
    h0, c0 = (None, None) if states is None else states if len(states) == 2 else (states[0], None)
    if len(layers) == 1:
        x, *end = layer(op, cell, x, h0, c0, layers[0], starts, ids=ids)
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
        x, *end = layer(op, cell, x, *own, params, starts, ids=None if i else ids)
        last.append(end)
    return x, [cat(s, 0) for s in zip(*last)]


def _untaped_layers(op, cell, x, h0, c0, layers, starts, ids):
    """_layers where nothing is recorded, or None: each layer reads and writes its part of the states as arrays."""
    if on_tape((x, h0, c0, *[t for params in layers for terms in params for t in terms])):
        return None
    x, count = memory.contiguous(x.array), len(layers[0])
    h0, c0 = None if h0 is None else h0.array, None if c0 is None else c0.array
    hn, cn = empty_states(op, cell, x, h0, c0, layers[0], len(layers) * count, starts)
    for i, params in enumerate(layers):
        if i:
            units, p = checked_sizes(op, cell, params, x.shape[-1], x.dtype, h0, c0)
            if p != hn.shape[2] or cn is not None and units != cn.shape[2]:
                return None
        part = slice(i * count, (i + 1) * count)
        own = [None if s is None else s[part] for s in (h0, c0, hn, cn)]
        ids = None if i else ids
        terms = terms_of(cell, params, inside(cell, starts, ids))
        x = walk(cell, x, own[0], own[1], terms, starts, ids, False, own[2], own[3])[0]
    return wrap(x), [wrap(hn)] if cn is None else [wrap(hn), wrap(cn)]


@lru_cache(256)
def even_starts(steps, batch):
    """`starts` of sequences that have every step."""
    return np.arange(steps + 1) * batch


def _from_flat(op, params, has_biases, num_layers, bidirectional):
    """torch's list of parameters as layers of directions."""
    if not isinstance(params, (tuple, list)) or not all([isinstance(p, Tensor) for p in params]):
        raise TypeError(f"{op}: params must be a list of Tensors, got {type(params).__name__}")
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
    check_tensors(op, **names)
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
        return layer(op, cell, input, h0, c0, params, even_starts(1, shape[0]), True)
    h0, c0 = [None if s is None else s.unsqueeze(0) for s in (h0, c0)]
    return tuple([s.squeeze(0) for s in layer(op, cell, input.unsqueeze(0), h0, c0, params, even_starts(1, 1), True)])


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


# ---- checks ----


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
