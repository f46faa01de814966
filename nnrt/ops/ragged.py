"""Batches of sequences of several lengths, of which only the rows that exist are kept, longest sequence first.

Legend: T steps, B batch, N rows that exist (the sum of the lengths); rows of [T, B] are counted from 0 to T B - 1.
"""

import math
from functools import lru_cache

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor

INDEX = registry.family("index")


def checked_lengths(op, lengths, steps, batch):
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


def existing_rows(lengths, steps):
    """The rows of [T, B] that exist, int64 [N], in their order."""
    return np.flatnonzero(np.arange(steps)[:, None] < lengths)


class Arrangement:
    """Sequences of given lengths (int64 [B]), longest first.

    order: which is the longest, the second, ...; back: undoes it; rows: those of [T, B] ([B, T] if batch_first) that exist, in
    that order step by step; places: where each of T B lies among them, -1: nowhere; starts: of the steps, [T + 1] of the longest.
    """

    def __init__(self, lengths, steps, batch_first):
        batch, longest = len(lengths), lengths.max()
        self.order = order = (-lengths).argsort(kind="stable")
        self.back = order.argsort()
        each = np.arange(longest + 1)
        rows = each[:-1, None] + order * steps if batch_first else each[:-1, None] * batch + order
        there = (each[:-1, None] < lengths[order]).ravel().nonzero()[0]
        self.rows = rows.take(there)
        self.places = _places(self.rows, steps * batch)
        self.starts = there.searchsorted(each * batch)


@lru_cache(16)
def _remembered(lengths, steps, batch_first):
    return Arrangement(np.frombuffer(lengths, np.int64), steps, batch_first)


def longest_first(lengths, steps, batch_first):
    """The Arrangement of these lengths, which a net's next layer wants again."""
    if len(lengths) * steps > 1 << 14:
        return Arrangement(lengths, steps, batch_first)
    return _remembered(lengths.tobytes(), steps, batch_first)


def pack_rows(input, rows, places=None):
    """input[T, B, ...] -> [N, ...]: the given rows of T B, each at most once. places: see Arrangement."""
    x = input.array
    places = _places(rows, math.prod(x.shape[:2])) if places is None else places
    return record(rows_of(x, rows, 2, (len(rows),)), pack_rows_backward, (input,), (places, x.shape[:2]))


def pack_rows_backward(node, dy):
    places, lead = node.saved
    return (rows_of(dy, places, 1, lead),)


def pad_rows(input, rows, steps, batch, value=0.0, places=None):
    """[N, ...] -> [T, B, ...]: pack_rows undone, `value` in the rows that were left out."""
    places = _places(rows, steps * batch) if places is None else places
    y = rows_of(input.array, places, 1, (steps, batch))
    if value:
        y[(places < 0).reshape(steps, batch)] = value
    return record(y, pad_rows_backward, (input,), (rows,))


def pad_rows_backward(node, dy):
    (rows,) = node.saved
    return (rows_of(dy, rows, 2, (len(rows),)),)


def _places(rows, count):
    """Where each of `count` rows lies among the packed ones; -1: nowhere."""
    places = np.empty(count, np.int64)
    places.fill(-1)
    places[rows] = np.arange(len(rows))
    return places


def rows_of(a, index, axes, new):
    """a[..., ...] -> [*new, ...]: its rows, counted over the first axes, by index; zeros for -1."""
    rest = a.shape[axes:]
    out = memory.empty((*new, *rest), a.dtype)
    size = math.prod(rest)
    INDEX.take(out.reshape(1, len(index), size), memory.contiguous(a).reshape(1, math.prod(a.shape[:axes]), size), index)
    return out


def taken(a, index):
    """a[:, index], [O, N, D]."""
    out = memory.empty((a.shape[0], len(index), a.shape[2]), a.dtype)
    INDEX.take(out, memory.contiguous(a), index)
    return out


def reordered(x, order, back):
    """x[:, order]; back undoes order."""
    return record(taken(x.array, order), reordered_backward, (x,), (back,))


def reordered_backward(node, dy):
    """y = x[:, order]  =>  dx[:, order] = dy"""
    (back,) = node.saved
    return (taken(dy, back),)
