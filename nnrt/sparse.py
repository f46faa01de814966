"""Gradients that touch few rows: what an embedding's backward returns with sparse=True."""

import numpy as np

from . import memory, registry
from .tensor import Tensor, wrap

K = registry.family("index")


class SparseRows:
    """A tensor of `shape` that is zero but for some rows: row rows[i] has values[i] added to it.

    rows: int64 array [n], repeats allowed until :meth:`coalesce`; values: array [n, *shape[1:]].
    Optimisers read .rows and .values; the tape adds such gradients with :meth:`added`.
    """

    is_sparse = True
    requires_grad = False

    def __init__(self, rows, values, shape, coalesced=False):
        shape = tuple(shape)
        rows, values = np.asarray(rows), np.asarray(values)
        if values.shape != (rows.size,) + shape[1:]:
            raise ValueError(
                f"SparseRows: values of shape {values.shape} do not fit {rows.size} rows of {shape}"
            )
        self.rows = rows
        self.values = values
        self.shape = shape
        self.is_coalesced = coalesced

    @property
    def dtype(self):
        return self.values.dtype

    @property
    def ndim(self):
        return len(self.shape)

    @property
    def nbytes(self):
        return self.rows.nbytes + self.values.nbytes

    def coalesce(self):
        """The same with rows in rising order, each once; repeated ones are summed in their order."""
        if self.is_coalesced:
            return self
        order = np.argsort(self.rows, kind="stable")
        rows, first = np.unique(self.rows[order], return_index=True)
        starts = np.append(first, order.size).astype(np.int64)
        values = memory.empty((rows.size,) + self.shape[1:], self.values.dtype)
        width = 1
        for n in self.shape[1:]:
            width *= n
        source = memory.contiguous(self.values).reshape(1, order.size, width)
        K.segment_sum(values.reshape(1, rows.size, width), None, None, source, order, starts)
        return SparseRows(rows, values, self.shape, True)

    def to_dense(self):
        """The Tensor with the zeros written out."""
        return wrap(self._onto(memory.zeros(self.shape, self.values.dtype)))

    def added(self, other):
        """The sum with a SparseRows (again one), or with an array or Tensor of the shape (an array)."""
        if isinstance(other, SparseRows):
            if other.shape != self.shape:
                raise ValueError(f"SparseRows: cannot add shapes {self.shape} and {other.shape}")
            rows = np.concatenate([self.rows, other.rows])
            return SparseRows(rows, np.concatenate([self.values, other.values]), self.shape).coalesce()
        array = other.array if isinstance(other, Tensor) else other
        if array.shape != self.shape:
            raise ValueError(f"SparseRows: cannot add shapes {self.shape} and {array.shape}")
        total = memory.empty_like(array)
        total[...] = array
        return self._onto(total)

    def _onto(self, array):
        unique = self.coalesce()
        array[unique.rows] += unique.values
        return array

    def detach(self):
        """itself: gradients are not on the tape."""
        return self

    def clone(self):
        """A copy."""
        return SparseRows(self.rows.copy(), self.values.copy(), self.shape, self.is_coalesced)

    def __mul__(self, factor):
        return SparseRows(self.rows, self.values * factor, self.shape, self.is_coalesced)

    __rmul__ = __mul__

    def __repr__(self):
        return f"SparseRows({self.rows.size} of {self.shape[0]} rows, shape={self.shape}, dtype={self.dtype})"
