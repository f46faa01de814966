"""Memory order (specification)."""

import numpy as np

from . import Out


def copy(out: Out, x):
    """out = x, arrays of one shape and dtype and any strides; they do not overlap."""
    out[...] = x


def cat(out: Out, arrays, axis):
    """out = the arrays (a list) one after the other along axis, any strides; dtypes are converted."""
    np.concatenate(arrays, axis, out)


def stack(out: Out, arrays, axis):
    """out = the arrays (a list), all of one shape, side by side along a new axis."""
    np.stack(arrays, axis, out)
