"""One token more for a decoder of plain layers, with as few calls as there are kernels: its step is little else.

    x = tokens[id] + positions[at];  for each layer  x += attend(norm(x) W_qkvᵀ) W_oᵀ;  x += gelu(norm(x) W_1ᵀ) W_2ᵀ
    logits = norm(x) Wᵀ

Legend: N sequences, E embedding, H heads, D = E / H, V vocabulary.
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
    first norm, layers of ((W, b) qkv, (W, b) out, (weight, bias, eps) norm, (W, b) up, activation, (W, b) down, (weight, bias,
    eps) of the norm behind it), head (W, b), caches: for each layer a Tensor [2, N, H, room, D] with `start` tokens in it.
    Nothing is checked but ids, and weights are taken as they are now: for calls in a row.
    """

    def __init__(self, tokens, positions, first, layers, head, caches, start):
        self.tokens, self.positions = memory.contiguous(tokens.array), positions.array
        self.start = start
        e, dtype, n = self.tokens.shape[1], self.tokens.dtype, caches[0].array.shape[1]
        self.first, self.head = _norm(first), _affine(head)
        self.rows = [memory.empty((n, e), dtype) for _ in range(5)]
        self.moments = [memory.empty((n,), np.float64) for _ in range(2)]
        self.layers, rooms = [], {}
        for (qkv, out, norm, up, activation, down, after), cache in zip(layers, caches):
            cache = cache.array
            heads, size = cache.shape[2], cache.shape[4]
            wide = [rooms.setdefault(k, memory.empty((n, k), dtype)) for k in (3 * e, up[0].array.shape[0])]
            parts = wide[0].reshape(n, 1, 3, heads, size).transpose(2, 0, 3, 1, 4)
            read = self.rows[3].reshape(n, 1, heads, size).transpose(0, 2, 1, 3)
            self.layers.append(
                (wide, parts[0], parts[1:], cache, cache[0], cache[1], read, size**-0.5)
                + (_affine(qkv), _affine(out), _norm(norm), _affine(up, activation), _affine(down), _norm(after))
            )

    def __call__(self, ids):
        x, y, total, read, more = self.rows
        mean, rstd = self.moments
        gemm, norm, attention = LINEAR.gemm, NORM.layer_norm, ATTENTION.attention
        at, end = self.start, self.start + 1
        index = memory.contiguous(ids.array)
        check_range("embedding", index, len(self.tokens), 0)
        INDEX.take(x[None], self.tokens[None], index)
        ELEMENTWISE.add(x, x, self.positions[at])
        norm(y, None, mean, rstd, x, None, *self.first)
        for (qkv, hidden), q, new, cache, keys, values, heads, scale, to_qkv, to_out, before, up, down, after in self.layers:
            gemm(qkv, y, *to_qkv)
            cache[:, :, :, at:end] = new
            k, v = keys[:, :, :end], values[:, :, :end]
            attention(heads, None, None, q, k, v, None, None, None, None, scale, False, at, 0.0, 0, 0)
            gemm(more, read, *to_out)
            norm(y, total, mean, rstd, x, more, *before)
            gemm(hidden, y, *up)
            gemm(more, hidden, *down)
            norm(y, x, mean, rstd, total, more, *after)
        logits = memory.empty((len(x), self.head[0].shape[1]), x.dtype)
        gemm(logits, y, *self.head)
        self.start = end
        return wrap(logits)


def _affine(terms, activation=None):
    """What follows c and a in a call of gemm."""
    w, b = terms
    return w.array.T, None if b is None else memory.contiguous(b.array), None, 1.0, 0.0, activation


def _norm(terms):
    """What follows x and the sum's other term in a call of layer_norm."""
    *terms, eps = terms
    return *(None if t is None else memory.contiguous(t.array) for t in terms), eps
