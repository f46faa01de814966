"""A batch norm in evaluation mode as part of the layer before it.

    (conv(x; W, b) - mean) s + β = conv(x; W s, (b - mean) s + β)     s = γ / √(var + eps), along the outputs
"""

import numpy as np

from .. import memory
from ..tensor import unchanged
from ._packed import cell_of


def scale_and_offset(b, weight, bias, mean, var, eps):
    """s and (b - mean) s + β in float64, of arrays [O]; b, weight (γ) and bias (β) may be None."""
    scale = 1 / np.sqrt(var.astype(np.float64) + eps)
    if weight is not None:
        scale *= weight
    offset = ((0 if b is None else b) - mean.astype(np.float64)) * scale
    return scale, offset if bias is None else offset + bias


class Folded:
    """A convolution's filter and bias with a norm in them, for as long as all tensors and eps are what they were.

    `packed` keeps its copies here, where it takes a weight's version cell otherwise; the folded filter itself is kept
    only where an algorithm reads it as it lies. Vectors that numpy may change unnoticed are compared by content, a
    weight of that kind is folded at every call. `bias` is None where the norm does not fit the convolution.
    """

    value = 0

    def __init__(self, tensors, eps):
        """tensors: the convolution's weight and bias, the norm's weight, bias, running mean and variance."""
        self.marks = tuple([_mark(t) for t in tensors])  # before the values: another thread may change them meanwhile
        self.arrays = w, b, *norm = tuple([None if t is None else t.array for t in tensors])
        self.eps = eps
        self.bias = self.packed = self.whole = None
        fits = [v is None or v.shape == w.shape[:1] and v.dtype == w.dtype for v in (b, *norm)]
        if not all(fits) or norm[2] is None or norm[3] is None:
            return
        with np.errstate(all="ignore"):
            scale, offset = scale_and_offset(b, *norm, eps)
            scale, bias = scale.reshape(-1, *(1,) * (w.ndim - 1)), offset.astype(w.dtype)
            if np.isfinite(scale.astype(w.dtype)).all() and np.isfinite(bias).all():
                self.scale, self.bias = scale, bias

    def holds(self, tensors, eps):
        """Whether it is what __init__ would make of these again."""
        if eps != self.eps or unchanged(tensors, self.arrays, self.marks):
            return eps == self.eps
        same = all([a is (None if t is None else t.array) for t, a in zip(tensors, self.arrays)])
        marks = [_mark(t) for t in tensors]
        return same and type(marks[0]) is int and marks == list(self.marks)

    def filter(self, w, keep=True):
        """w s, in w's order."""
        made = self.whole
        if made is None:
            with np.errstate(all="ignore"):
                made = np.multiply(w, self.scale, out=memory.empty(w.shape, w.dtype), casting="same_kind")
            self.whole = made if keep else None
        return made


def _mark(t):
    """Of a tensor whose changes are counted their number, of another its content."""
    if t is None:
        return None
    cell = cell_of(t)
    return t.array.tobytes() if cell is None else cell.value
