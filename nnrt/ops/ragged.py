"""Batches of sequences of several lengths, of which only the rows that exist are kept, longest sequence first.

Legend: T steps, B batch, N rows that exist (the sum of the lengths); rows of [T, B] are counted from 0 to T B - 1.
"""

import math

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


def longest_first(lengths, steps, batch_first):
    """(order, rows, starts): which sequence is the longest, the second, ...; the rows of [T, B] ([B, T]) that exist, in that
    order step by step; where among them each step starts, [T + 1] of the longest.
    """
    batch, longest = len(lengths), lengths.max()
    order = np.argsort(-lengths, kind="stable")
    there, each = existing_rows(lengths[order], longest), np.arange(longest + 1)
    places = each[:-1, None] + order * steps if batch_first else each[:-1, None] * batch + order
    return order, places.take(there), np.searchsorted(there, each * batch)


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


def _taken(a, index):
    """a[:, index], [O, N, D]."""
    out = memory.empty((a.shape[0], len(index), a.shape[2]), a.dtype)
    INDEX.take(out, memory.contiguous(a), index)
    return out


def reordered(x, order, back):
    """x[:, order]; back undoes order."""
    return record(_taken(x.array, order), reordered_backward, (x,), (back,))


def reordered_backward(node, dy):
    """y = x[:, order]  =>  dx[:, order] = dy"""
    (back,) = node.saved
    return (_taken(dy, back),)
