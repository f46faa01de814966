"""Copies of a weight in the order in which a kernel reads it, kept until the weight changes.

They live in the weight's version cell, which every change in place counts up, one copy for each key. A copy is kept
from its second use on: a training step uses each once, changes the weight, and would hold them all until its end.
Weights that are no leaves, and memory that others may write to unnoticed (numpy's, or what `.numpy()`
lent out), are packed anew at every call. Threads that meet at an empty cell pack twice; both copies are right.
"""

from sys import getrefcount

from numpy import ndarray

from .. import memory
from ..autograd import version_of


def cell_of(weight):
    """Where packed copies of the weight may be kept, or None."""
    base = weight.array.base
    # A base that this array alone refers to is nobody else's: memory in another order than the shape's. Bytes: of a
    # pickle.
    private = base is None or type(base) is bytes or (type(base) is ndarray and base.base is None and getrefcount(base) == 3)
    if weight.node is not None or not private:
        return None
    cell = version_of(weight)
    return None if cell.lent else cell


def packed(cell, w, key, pack, size, *args):
    """pack(p, w, *args) with p of size() elements, from the cell where it holds them for this w.

    w: the weight's array; pack: the kernel, whose change (another back-end) asks for a new copy. A cell with a `filter`
    (see _folded) packs that, and keeps it at once.
    """
    if cell is None:
        return _packed(w, pack, size, args)
    kept = cell.packed
    entry = None if kept is None else kept.get(key)
    version = cell.value
    again = entry is not None and entry[0] is w and entry[1] == version and entry[2] is pack
    if again and entry[3] is not None:
        return entry[3]
    folded = getattr(cell, "filter", None)
    p = _packed(w if folded is None else folded(w, False), pack, size, args)
    fresh = {} if kept is None else {k: e for k, e in kept.items() if e[0] is w and e[1] == version}
    fresh[key] = (w, version, pack, p if again or folded is not None else None)
    cell.packed = fresh
    return p


def _packed(w, pack, size, args):
    p = memory.empty((size(),), w.dtype)
    pack(p, memory.contiguous(w).reshape(w.shape[:2] + (1,) * (5 - w.ndim) + w.shape[2:]), *args)
    return p
