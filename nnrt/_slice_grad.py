"""Gradients of arrays of which slices were taken: zero but where the slices looked."""

import math

from numpy import ndarray

from . import memory, registry

K, COPIES = registry.family("elementwise"), registry.family("shape")


class SliceGrad:
    """The gradient of an array of `shape`, of which basic indices took slices: `rest` (None: zeros) plus each dy at its key.

    It is written out where it is wanted, so that T slices of an array cost T slices, not T arrays of its size, and what else
    flows into the array is not added to zeros. order: the axes as they lie in memory, None for a C-ordered array.
    """

    __slots__ = ("order", "owned", "parts", "rest", "shape", "waiting")

    def __init__(self, shape, order, key, dy):
        self.shape, self.order = shape, order
        self.parts, self.waiting = [(key, dy)], dy.size
        self.rest, self.owned = None, False  # owned: rest may be written to

    def add(self, g, owned):
        """self += g, another SliceGrad or an array of the shape."""
        if not isinstance(g, SliceGrad):
            self._add_rest(g, owned)
            return
        if g.rest is not None:
            self._add_rest(g.rest, g.owned)
        self.parts += g.parts
        self.waiting += g.waiting
        if self.waiting > math.prod(self.shape):  # what waits shall not take more memory than the gradient
            self.dense()

    def _add_rest(self, g, owned):
        if self.rest is None:
            self.rest, self.owned = g, owned
            return
        out = self.rest if self.owned else memory.empty_like(self.rest)
        K.add(out, self.rest, g)
        self.rest, self.owned = out, True

    @property
    def dtype(self):
        return self.parts[0][1].dtype

    def dense(self):
        """All of it as an array, which nobody else refers to."""
        if self.rest is None:
            self.rest, (key, dy) = self._zeros(), self.parts.pop(0)
            at = self.rest[key]
            if isinstance(at, ndarray):
                COPIES.copy(at, dy)
            else:
                self.rest[key] = dy
        elif not self.owned:
            self.rest = memory.copy(self.rest)
        self.owned = True
        self.onto(self.rest)
        self.parts, self.waiting = [], 0
        return self.rest

    def onto(self, array):
        """array += the parts."""
        for key, dy in self.parts:
            at = array[key]
            if isinstance(at, ndarray):
                K.add(at, at, dy)
            else:
                array[key] = at + dy

    def _zeros(self):
        if self.order is None:
            return memory.zeros(self.shape, self.dtype)
        ordered = tuple([self.shape[i] for i in self.order])
        return memory.zeros(ordered, self.dtype).transpose(memory.inverse_order(self.order))
