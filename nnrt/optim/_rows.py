"""Row-sparse gradients (nnrt.sparse.SparseRows) as the steps take them."""

import numpy as np

from .. import memory


class Rows:
    """A checked gradient of p with every row once: `index` (R,) int64 and `values` (R, ...) in p's dtype.

    Raises RuntimeError when its shape is not p's.
    """

    def __init__(self, name, p, gradient):
        if tuple(gradient.shape) != p.array.shape:
            raise RuntimeError(
                f"{name}: a parameter of shape {p.array.shape} has a row-sparse gradient of shape "
                f"{tuple(gradient.shape)}"
            )
        gradient = gradient.coalesce()
        self.shape = p.array.shape
        self.index = np.ascontiguousarray(_array(gradient.rows), np.int64)
        self.values = np.ascontiguousarray(_array(gradient.values), p.array.dtype)

    def dense(self):
        """The whole gradient."""
        full = memory.zeros(self.shape, self.values.dtype)
        full[self.index] = self.values
        return full


def _array(x):
    return getattr(x, "array", x)
