"""Recurrent layers without a gradient, for calls that repeat: a step of one symbol takes as long as the checks before it."""

from .. import memory
from ..autograd import version_of
from ..tensor import Tensor, unchanged, wrap
from ._packed import cell_of
from .ragged import checked_lengths, longest_first, rows_of, taken
from .recurrence import K, inside, terms_of, walk
from .rnn import even_starts


class Bound:
    """What rnn.recurrent gives of a call whose checks have passed once, or None: then it is asked, and `learn` told of it."""

    # A tuple, which threads replace at once: shape and dtype of the input, cell and batch_first, arrays and versions of
    # the weights, the kernel that their packed copies are for, shapes of the states (c: None but for lstm), starts, and
    # of each layer what `walk` takes, once the same weights have come twice.
    known = None

    def run(self, module, cell, input, hx, given, batch_first, lengths):
        """given: all weights. Returns (y, last states) as recurrent does."""
        if self.known is None or not isinstance(input, Tensor):
            return None
        shape, dtype, how, arrays, marks, recur, h_shape, c_shape, starts, layers = self.known
        a = input.array
        if (
            layers is None or a.shape != shape or a.dtype != dtype or how != (cell, batch_first) or recur is not K.recur
            or not unchanged(given, arrays, marks)
        ):  # fmt: skip
            return None
        h0 = c0 = None
        if hx is not None:
            h0 = hx
            if c_shape is not None:
                if type(hx) is not tuple or len(hx) != 2 or not isinstance(hx[1], Tensor):
                    return None
                h0, c0 = hx[0], hx[1].array
                if c0.shape != c_shape or c0.dtype != dtype:
                    return None
            if not isinstance(h0, Tensor):
                return None
            h0 = h0.array
            if h0.shape != h_shape or h0.dtype != dtype:
                return None
        if lengths is not None:
            lengths = checked_lengths(type(module).__name__, lengths, *(shape[1::-1] if batch_first else shape[:2]))
        if lengths is None:
            y, sorted = memory.contiguous(a.transpose(1, 0, 2) if batch_first else a), None
        else:
            sorted = longest_first(lengths, shape[1] if batch_first else shape[0], batch_first)
            y, starts = rows_of(a, sorted.rows, 2, (len(sorted.rows),)), sorted.starts
            h0, c0 = [None if s is None else taken(s, sorted.order) for s in (h0, c0)]
        hn, cn = memory.empty(h_shape, dtype), None if c_shape is None else memory.empty(c_shape, dtype)
        count = h_shape[0] // len(layers)
        for i, terms in enumerate(layers):
            own = slice(i * count, (i + 1) * count)
            h, c, h_end, c_end = [None if s is None else s[own] for s in (h0, c0, hn, cn)]
            y = walk(cell, y, h, c, terms, starts, None, False, h_end, c_end)[0]
        if sorted is not None:
            y = wrap(rows_of(y, sorted.places, 1, shape[:2]))
            hn, cn = [None if s is None else taken(s, sorted.back) for s in (hn, cn)]
        else:
            y = wrap(y.transpose(1, 0, 2) if batch_first else y)
        return y, (wrap(hn) if cn is None else (wrap(hn), wrap(cn)))

    def learn(self, cell, input, end, given, layers, batch_first):
        """That this call was a right one; end: its last states."""
        if input.array.ndim != 3 or any([cell_of(t) is None for t in given]):
            return
        known, arrays = self.known, tuple([t.array for t in given])
        marks = tuple([version_of(t).value for t in given])
        again = known is not None and unchanged(given, known[3], known[4])
        h, c = end if cell == "lstm" else (end, None)
        starts = even_starts(*input.array.shape[1::-1] if batch_first else input.array.shape[:2])
        terms = [terms_of(cell, params, inside(cell, starts, None)) for params in layers] if again else None
        self.known = (
            input.array.shape, input.array.dtype, (cell, batch_first), arrays, marks, K.recur, h.array.shape,
            None if c is None else c.array.shape, starts, terms,
        )  # fmt: skip
