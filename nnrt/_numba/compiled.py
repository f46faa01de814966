"""Numba's decorators as the kernels use them: without the GIL, cached on disk where that is possible.

Numba keeps compiled functions in NUMBA_CACHE_DIR if that is set, else beside the source, else in the
user's cache folder. Where none of them can be written, functions are compiled anew in every process.
"""

import numba


def jit(function=None, *signature, **options):
    """numba.njit; division follows numpy, since Python's checks would keep loops from being vectorised."""
    if function is None:
        return lambda function: jit(function, **options)
    return _cached(numba.njit, function, *signature, nogil=True, error_model="numpy", **options)


def ufunc(function):
    """numba.vectorize, compiled for a dtype at its first use."""
    return _cached(numba.vectorize, function)


def typed(signature, **options):
    """jit for the types that signature(scalar type) lists, as a dictionary: numpy dtype -> function.

    Arrays in it (see `array`) take arguments of any memory order, so that these share one compilation.
    """
    return lambda function: _Typed(function, signature, options)


class _Typed(dict):
    def __init__(self, function, signature, options):
        self.function, self.signature, self.options = function, signature, options

    def __missing__(self, dtype):
        types = tuple(self.signature(numba.from_dtype(dtype)))
        compiled = self[dtype] = jit(self.function, types, **self.options)
        return compiled


def array(scalar, axes):
    """The type of an array of any strides, read-only or not: it takes all, and gives its address and shape."""
    return numba.types.Array(scalar, axes, "A", readonly=True, aligned=False)


def _cached(decorator, function, *signature, **options):
    try:
        return decorator(*signature, cache=True, **options)(function)
    except RuntimeError:  # no folder can be written
        return decorator(*signature, **options)(function)
