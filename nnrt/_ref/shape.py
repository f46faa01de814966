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


def triangle(out: Out, x, diagonal, upper):
    """out = x [..., R, C] on and below a diagonal of the last two axes (upper: on and above it), 0 elsewhere; C-ordered."""
    out[...] = (np.triu if upper else np.tril)(x, diagonal)


def convert(out: Out, x):
    """out = x in out's dtype, of which one is float16, any strides; what is too large becomes infinite."""
    with np.errstate(invalid="ignore", over="ignore"):
        np.copyto(out, x, casting="unsafe")


def blocks(out: Out, x, top, left):
    """out [N, Q, P, s, s C] = x [N, H, W, C] in blocks of s x s pixels, from (-top, -left) on, where x is 0; C-ordered."""
    n, down, across, s, run = out.shape
    wide = np.zeros((n, down * s, across * s, x.shape[3]), x.dtype)
    part = x[:, : max(down * s - top, 0), : max(across * s - left, 0)]
    wide[:, top : top + part.shape[1], left : left + part.shape[2]] = part
    out[...] = wide.reshape(n, down, s, across, run).swapaxes(2, 3)
