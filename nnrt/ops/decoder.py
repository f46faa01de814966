"""Decoders of plain layers over a cache, with as few calls as there are kernels: a step of one token is little else.

    x = tokens[id] + positions[at];  for each layer  x += attend(norm(x) W_qkvᵀ) W_oᵀ;  x += gelu(norm(x) W_1ᵀ) W_2ᵀ
    logits = norm(x) Wᵀ

Legend: N sequences, T tokens of each, M = N T rows, E embedding, H heads, D = E / H, V vocabulary.
"""

import numpy as np

from .. import memory, registry
from ..tensor import wrap
from .index import check_range

ATTENTION, ELEMENTWISE, INDEX, LINEAR, NORM = (
    registry.family(name) for name in ("attention", "elementwise", "index", "linear", "norm")
)


class Decoder:
    """decoder(ids [N] int64) -> logits [N, V] of the token after them, which come behind those in `caches`.

    Tensors and tuples of them, all of one floating dtype: tokens [V, E], positions [.., E], first (weight, bias, eps) of the
    first norm, layers as `bind` takes them, head (W, b), caches: for each layer a Tensor [2, N, H, room, D] with `start` tokens
    in it. Nothing is checked but ids, and weights are taken as they are now: for calls in a row.
    """

    def __init__(self, tokens, positions, first, layers, head, caches, start):
        self.tokens, self.positions = memory.contiguous(tokens.array), positions.array
        self.start = start
        self.first, self.head = _norm(first), _affine(head)
        self.rows = rows(caches[0].array.shape[1], self.tokens.shape[1], self.tokens.dtype)
        rooms = {}
        self.layers = [bind(self.rows, rooms, cache.array, 1, *layer) for layer, cache in zip(layers, caches)]

    def __call__(self, ids):
        x, y, _, _, _, mean, rstd = self.rows
        at = self.start
        index = memory.contiguous(ids.array)
        check_range("embedding", index, len(self.tokens), 0)
        INDEX.take(x[None], self.tokens[None], index)
        ELEMENTWISE.add(x, x, self.positions[at])
        NORM.layer_norm(y, None, mean, rstd, x, None, *self.first)
        run(self.layers, self.rows, at, at + 1)
        logits = memory.empty((len(x), self.head[0].shape[1]), x.dtype)
        LINEAR.gemm(logits, y, *self.head)
        self.start = at + 1
        return wrap(logits)


def rows(m, e, dtype):
    """What layers read and write for M rows: x, its norm y, and three more of their kind; the moments of a norm."""
    return *(memory.empty((m, e), dtype) for _ in range(5)), *(memory.empty((m,), np.float64) for _ in range(2))


def bind(rows, rooms, cache, length, qkv, out, norm, up, activation, down, after):
    """A layer for `run`, of `length` tokens more for each sequence of cache, an array [2, N, H, room, D].

    rooms: a dict, of wider rows that layers share. Tensors: (W, b) qkv, out, up and down, (weight, bias, eps) of the norm
    between its parts and of the one behind.
    """
    _, n, heads, _, size = cache.shape
    wide = [rooms.setdefault(k, memory.empty((n * length, k), cache.dtype)) for k in (3 * heads * size, up[0].array.shape[0])]
    parts = wide[0].reshape(n, length, 3, heads, size).transpose(2, 0, 3, 1, 4)
    read = rows[3].reshape(n, length, heads, size).transpose(0, 2, 1, 3)
    return (wide, parts[0], parts[1:], cache, cache[0], cache[1], read, size**-0.5, length > 1) + (
        _affine(qkv), _affine(out), _norm(norm), _affine(up, activation), _affine(down), _norm(after)
    )  # fmt: skip


def run(layers, rows, at, end):
    """x and y of rows, the tokens from `at` to `end`, through layers that have been bound to them."""
    x, y, total, read, more, mean, rstd = rows
    gemm, norm, attention = LINEAR.gemm, NORM.layer_norm, ATTENTION.attention
    for (qkv, hidden), q, new, cache, keys, values, heads, scale, causal, to_qkv, to_out, before, up, down, after in layers:
        gemm(qkv, y, *to_qkv)
        cache[:, :, :, at:end] = new
        k, v = keys[:, :, :end], values[:, :, :end]
        attention(heads, None, None, q, k, v, None, None, None, None, scale, causal, at, 0.0, 0, 0)
        gemm(more, read, *to_out)
        norm(y, total, mean, rstd, x, more, *before)
        gemm(hidden, y, *up)
        gemm(more, hidden, *down)
        norm(y, x, mean, rstd, total, more, *after)


def _affine(terms, activation=None):
    """What follows c and a in a call of gemm."""
    w, b = terms
    return w.array.T, None if b is None else memory.contiguous(b.array), None, 1.0, 0.0, activation


def _norm(terms):
    """What follows x and the sum's other term in a call of layer_norm."""
    *terms, eps = terms
    return *(None if t is None else memory.contiguous(t.array) for t in terms), eps
