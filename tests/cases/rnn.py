"""Recurrences: units around the vectors and panels, batches around the tiles, one step and many, lengths, projections."""

import numpy as np

from nnrt._ref.rnn import GATES
from tests.cases import Kernel, Op, Output, Packed, around

TOL = {"float32": (2e-5, 2e-5), "float64": (1e-11, 1e-12)}

# cell, T, B, H, P, directions
PLAIN = [
    *((cell, t, b, h, h, d) for cell in GATES for t, b, h, d in ((3, 2, 5, 1), (2, 3, 17, 2), (1, 1, 1, 1), (4, 1, 40, 2))),
    *((cell, 3, b, 20, 20, 1) for cell in ("tanh", "lstm") for b in [*around(6), 33]),
    *((cell, 3, 1, h, h, 1) for cell in GATES for h in [15, 16, 64, 65]), ("gru", 3, 4, 17, 17, 1),
    *((cell, 12, b, 300, 300, d) for cell in GATES for b, d in ((1, 1), (13, 2))),
    *(("lstm", 3, b, h, p, d) for b, h, p, d in ((1, 7, 3, 1), (1, 40, 17, 2), (5, 20, 19, 2), (33, 9, 4, 1), (1, 300, 200, 1))),
    ("gru", 5, 0, 4, 4, 1), ("lstm", 40, 1, 33, 33, 2), ("gru", 40, 2, 33, 33, 1),
]  # fmt: skip
RAGGED = [(cell, 6, b, h, p, d) for cell in GATES for b, h, p, d in ((1, 9, 9, 1), (4, 20, 20, 2), (14, 5, 5, 2), (5, 260, 260, 2))]
RAGGED += [("lstm", 6, b, 20, 7, 2) for b in (1, 9)]

# T, B, H, P, directions, size of x
INSIDE = [(3, 2, 5, 5, 1, 1), (4, 17, 33, 33, 2, 40), (3, 29, 20, 7, 2, 33), (2, 16, 300, 300, 1, 70)]


def _numbers(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def _packed(rng, dtype, count, rows, k, gates, backward):
    """A list of packed weights, of the size that keeps sums of k terms at one."""
    made = [(rng.standard_normal((rows, k)) / np.sqrt(k)).astype(dtype) for _ in range(count)]

    def make(family):
        packed = []
        for w in made:
            p = np.full(family.packed_size(w.shape, gates, w.dtype, backward), np.nan, dtype)
            family.pack(p, w, gates, backward)
            packed.append(p)
        return packed

    return Packed(make)


def _sizes(rng, shape, ragged):
    """n: the steps of all sequences; starts: the first row of each step."""
    cell, t, b, h, p, d = shape
    lengths = np.full(b, t)
    if ragged:
        lengths[1:] = rng.integers(1, t + 1, b - 1)
    starts = np.concatenate(([0], np.cumsum((lengths > np.arange(t)[:, None]).sum(1))))
    return cell, starts[-1], b, h, p, d, GATES[cell], starts, cell == "lstm"


def forward(shape, ragged=False, keep=True, states=True, bias=True, size=None):
    """size: of x, where W x is left to the walk."""

    def args(rng, dtype):
        cell, n, b, h, p, d, gates, starts, lstm = _sizes(rng, shape, ragged)
        a = _numbers(rng, dtype, d, n, gates * h)
        saves = keep and gates > 1
        return [
            Output((n, d * p)), Output((d, b, p)), Output((d, b, h)) if lstm else None, Output(a.shape, keep=a),
            Output((d, n, h)) if saves else None, Output((d, n, h)) if p != h else None,
            _numbers(rng, dtype, d, b, p) if states else None, _numbers(rng, dtype, d, b, h) if lstm and states else None,
            _packed(rng, dtype, d, gates * h, p, gates, False), _packed(rng, dtype, d, p, h, 1, False) if p != h else [],
            [_numbers(rng, dtype, h) for _ in range(d)] if cell == "gru" and bias else [],
            None if size is None else _numbers(rng, dtype, n, size),
            [] if size is None else _packed(rng, dtype, d, gates * h, size, gates, False),
            [] if size is None else [_numbers(rng, dtype, gates * h) if bias else None for _ in range(d)], starts, cell,
        ]  # fmt: skip

    return Kernel("rnn.recur", f"{shape} {ragged} {keep} {states} {bias} {size}", args, TOL)


def backward(shape, ragged=False, states=True, given=(True, True)):
    def args(rng, dtype):
        cell, n, b, h, p, d, gates, starts, lstm = _sizes(rng, shape, ragged)
        y = _numbers(rng, dtype, n, d * p)
        acts = rng.random((d, n, gates * h)).astype(dtype)  # between 0 and 1, as gates are
        return [
            Output((d, n, (4 if gates == 3 else gates) * h)), Output((d, b, p)), Output((d, b, h)) if lstm else None,
            Output((d, n, p)) if p != h else None, _numbers(rng, dtype, *y.shape) if given[0] else None,
            _numbers(rng, dtype, d, b, p) if given[1] else None, _numbers(rng, dtype, d, b, h) if given[1] and lstm else None,
            np.tanh(y), acts, _numbers(rng, dtype, d, n, h) if gates > 1 else None,
            _numbers(rng, dtype, d, b, p) if states else None, _numbers(rng, dtype, d, b, h) if lstm and states else None,
            _packed(rng, dtype, d, gates * h, p, gates, True), _packed(rng, dtype, d, p, h, 1, True) if p != h else [],
            starts, cell,
        ]  # fmt: skip

    tol = {"float32": (1e-4, 1e-4), "float64": (1e-10, 1e-11)}
    return Kernel("rnn.recur_backward", f"{shape} {ragged} {states} {given}", args, tol)


SOME = [(cell, 4, 4, 20, 20, 2) for cell in GATES] + [("lstm", 4, 3, 20, 7, 2)]

KERNELS = [
    *(forward(shape) for shape in PLAIN),
    *(backward(shape) for shape in PLAIN),
    *(forward(("lstm", t, b, h, p, d), ragged, keep, keep, keep, size) for t, b, h, p, d, size in INSIDE
      for ragged in (False, True) for keep in (False, True)),
    *(make(shape, True) for shape in RAGGED for make in (forward, backward)),
    *(forward(shape, ragged, keep, states, bias) for shape in SOME for ragged in (False, True)
      for keep, states, bias in ((False, True, True), (False, False, True), (True, False, False))),
    *(backward(shape, ragged, states, given) for shape in SOME for ragged in (False, True)
      for states, given in ((False, (True, True)), (True, (False, True)), (True, (True, False)))),
]  # fmt: skip


def _inputs(gates, t, b, size, h, count, p=None, bias=True, states=True):
    """x, the initial states, and for each layer and direction the parameters in torch's order."""

    def make(rng):
        out = p or h
        made = [rng.standard_normal((t, b, size))]
        layers, directions = count
        if states:
            made.append(rng.standard_normal((layers * directions, b, out)))
            if gates == 4:
                made.append(rng.standard_normal((layers * directions, b, h)))
        for layer in range(layers):
            for _ in range(directions):
                made.append(rng.standard_normal((gates * h, size if layer == 0 else out * directions)) / 2)
                made.append(rng.standard_normal((gates * h, out)) / 2)
                if bias:
                    made += [rng.standard_normal(gates * h), rng.standard_normal(gates * h)]
                if p:
                    made.append(rng.standard_normal((p, h)))
        return made

    return make


def _network(name, count, batch_first=False, bias=True):
    def fn(t, x, *rest):
        states = 2 if name == "lstm" else 1
        hx, params = rest[:states], rest[states:]
        layers, directions = count
        x = x.transpose(0, 1) if batch_first else x
        return getattr(t, name)(
            x, hx if name == "lstm" else hx[0], list(params), bias, layers, 0.0, True, directions == 2, batch_first
        )

    return fn


def _cell(name, gates, b, size, h, bias=True):
    def inputs(rng):
        lead = () if b is None else (b,)
        made = [rng.standard_normal((*lead, size))] + [rng.standard_normal((*lead, h)) for _ in range(1 + (gates == 4))]
        made += [rng.standard_normal((gates * h, size)), rng.standard_normal((gates * h, h))]
        return made + ([rng.standard_normal(gates * h) for _ in range(2)] if bias else [])

    def fn(t, x, *rest):
        hx = rest[:2] if gates == 4 else rest[0]
        return getattr(t, name)(x, hx, *rest[1 + (gates == 4) :])

    return Op(f"{name}-{b}-{bias}", fn, inputs, tol=WIDE)


WIDE = {"float32": (1e-4, 2e-5), "float64": (1e-10, 1e-11)}
OF = {"lstm": 4, "gru": 3, "rnn_tanh": 1, "rnn_relu": 1}

OPS = [
    *(Op(f"{name}-{t}x{b}x{i}x{h}-{count}-{first}-{bias}", _network(name, count, first, bias),
         _inputs(gates, t, b, i, h, count, bias=bias), tol=WIDE)
      for name, gates in OF.items()
      for t, b, i, h, count, first, bias in (
          (4, 2, 3, 5, (1, 1), False, True), (1, 1, 2, 4, (1, 1), False, True), (3, 2, 3, 4, (2, 2), True, False))),
    Op("lstm-17", _network("lstm", (2, 2)), _inputs(4, 3, 17, 3, 4, (2, 2)), tol=WIDE),
    Op("lstm-projection", _network("lstm", (2, 2)), _inputs(4, 4, 2, 3, 5, (2, 2), 3), tol=WIDE),
    Op("lstm-projection-plain", _network("lstm", (1, 1), bias=False), _inputs(4, 3, 2, 3, 5, (1, 1), 2, False), tol=WIDE),
    *(_cell(f"{name}_cell", gates, b, 3, 4, bias)
      for name, gates in OF.items() for b, bias in ((2, True), (1, False))),
]  # fmt: skip
