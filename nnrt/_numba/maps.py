"""Running element-by-element functions over arrays of any strides, on several threads where they are large.

The functions are ufuncs: numpy's own, or scalar functions that numba.vectorize compiles at
their first use. Ufuncs broadcast and run without the GIL, so plain threads share the work;
pieces are cut along the outermost axis and do not touch each other's results.
"""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from nnrt import config

# Elements from which threads pay: handing out work and waiting costs about 50 us.
LARGE = 1 << 17

_pool = None


def floats(out):
    """Whether an output has a dtype that is compiled for; others go to the specification."""
    return out.dtype == np.float32 or out.dtype == np.float64


def run(ufunc, out, *inputs):
    """out = ufunc(*inputs). Inputs broadcast to out's shape; Python numbers take out's dtype."""
    if out.dtype.kind == "f":
        inputs = [out.dtype.type(v) if isinstance(v, (bool, int, float)) else v for v in inputs]
    threads = config.settings.num_threads
    if out.size < LARGE or threads == 1:
        with np.errstate(all="ignore"):
            ufunc(*inputs, out=out)
        return
    axis = max(range(out.ndim), key=lambda i: (out.shape[i] > 1, abs(out.strides[i])))
    inputs = [np.broadcast_to(v, out.shape) for v in inputs]
    _piece(ufunc, out, inputs, axis, 0, 0)  # compiles, if nothing has yet
    edges = [out.shape[axis] * i // threads for i in range(threads + 1)]
    pieces = [(ufunc, out, inputs, axis, edges[i], edges[i + 1]) for i in range(threads)]
    others = [_workers(threads).submit(_piece, *piece) for piece in pieces[1:]]
    _piece(*pieces[0])
    for other in others:
        other.result()


def _piece(ufunc, out, inputs, axis, start, stop):
    cut = (slice(None),) * axis + (slice(start, stop),)
    with np.errstate(all="ignore"):
        ufunc(*[v[cut] for v in inputs], out=out[cut])


def _workers(threads):
    global _pool
    if _pool is None or _pool._max_workers < threads - 1:
        _pool = ThreadPoolExecutor(threads - 1, "nnrt-maps")
    return _pool


def _forget_workers():
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)  # threads do not survive a fork
