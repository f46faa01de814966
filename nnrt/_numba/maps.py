"""Running element-by-element functions over arrays of any strides, on several threads where they are large.

The functions are ufuncs: numpy's own, or scalar functions that numba.vectorize compiles at
their first use. Ufuncs broadcast and run without the GIL, so plain threads share the work;
pieces are cut along the outermost axis and do not touch each other's results.
"""

import numpy as np

from .threads import share

# Elements from which threads pay, handing out work and waiting costs about 50 us; and elements of a piece.
LARGE, PIECE = 1 << 17, 1 << 16


def floats(out):
    """Whether an output has a dtype that is compiled for; others go to the specification."""
    return out.dtype == np.float32 or out.dtype == np.float64


def floating(ufunc, specified, out, *inputs):
    """run, for the dtypes that are compiled for; for others the kernel as _ref has it."""
    if floats(out):
        run(ufunc, out, *inputs)
    else:
        specified(out, *inputs)


def run(ufunc, out, *inputs):
    """out = ufunc(*inputs). Inputs broadcast to out's shape; Python numbers take out's dtype."""
    if out.dtype.kind == "f":
        inputs = [out.dtype.type(v) if isinstance(v, (bool, int, float)) else v for v in inputs]
    if out.size < LARGE:
        with np.errstate(all="ignore"):
            ufunc(*inputs, out=out)
        return
    axis = max(range(out.ndim), key=lambda i: (out.shape[i] > 1, abs(out.strides[i])))
    inputs = [np.broadcast_to(v, out.shape) for v in inputs]
    pieces = min(out.shape[axis], out.size // PIECE, 64)

    def piece(i, *edges):
        start, stop = edges or (out.shape[axis] * j // pieces for j in (i, i + 1))
        cut = (slice(None),) * axis + (slice(start, stop),)
        with np.errstate(all="ignore"):
            ufunc(*[v[cut] for v in inputs], out=out[cut])

    piece(0, 0, 0)  # compiles, if nothing has yet
    share(piece, pieces)
