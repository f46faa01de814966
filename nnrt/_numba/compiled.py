"""Numba's decorators as the kernels use them: without the GIL, cached on disk where that is possible.

Numba keeps compiled functions in NUMBA_CACHE_DIR if that is set, else beside the source, else in the
user's cache folder. Where none of them can be written, functions are compiled anew in every process.
"""

import hashlib
import os
import pickle

import numba
import numpy as np
from numba.core import caching


def jit(function=None, **options):
    """numba.njit; division follows numpy, since Python's checks would keep loops from being vectorised."""
    if function is None:
        return lambda function: jit(function, **options)
    compiled = numba.njit(nogil=True, error_model="numpy", **options)(function)
    _cached(function, compiled, "_cache")
    template = compiled.get_call_template
    # Else a function is compiled once more for each argument that is 1, or 64, where it is called.
    compiled.get_call_template = lambda args, names: template([numba.types.unliteral(a) for a in args], names)
    return compiled


class ufunc:
    """numba.vectorize for each dtype of the output, made at its first use: there are two hundred functions, and numpy would
    take the loop for float64 for float32 as well, were it there first."""

    def __init__(self, function):
        self.function = function
        self.compiled = {}

    def __call__(self, *inputs, out):
        """out = function(*inputs). Numba's loop writes densely wherever it reads densely: out must be dense along the innermost
        axis, so axes are taken in the order of its strides, and what has gaps is written to by way of a copy."""
        result = out
        if not out.flags.c_contiguous:
            axes = sorted(range(out.ndim), key=lambda i: (out.shape[i] > 1, -abs(out.strides[i])))
            if out.size and out.shape[axes[-1]] > 1 and out.strides[axes[-1]] != out.itemsize:
                dense = np.empty(out.shape, out.dtype)
                self(*inputs, out=dense)
                out[...] = dense
                return out
            inputs = [np.broadcast_to(x, out.shape).transpose(axes) for x in inputs]
            out = out.transpose(axes)
        try:
            self.compiled[out.dtype](*inputs, out=out, order="C")
        except (KeyError, TypeError):  # not made, or not for these inputs
            function = self.compiled.get(out.dtype)
            if function is None:
                function = numba.vectorize(self.function)
                _cached(self.function, function._dispatcher, "cache")
                self.compiled[out.dtype] = function
            function.add(tuple(numba.from_dtype(np.result_type(x)) for x in inputs))
            function(*inputs, out=out, order="C")
        return result


def typed(signature, **options):
    """jit for the types that signature(scalar type) lists, as a dictionary: numpy dtype -> function.

    Arrays in it (see `array`) take arguments of any memory order, so that these share one compilation.
    """
    return lambda function: _Typed(function, signature, options)


def shared(signature, **options):
    """typed, for what threads.together calls. The function's last argument, which is not in the signature, is the address of
    zeros to count in."""
    return lambda function: _Shared(function, signature, options)


class _Typed(dict):
    def __init__(self, function, signature, options):
        self.function, self.signature, self.options = function, signature, options

    def __missing__(self, dtype):
        self[dtype] = self.made(tuple(self.signature(numba.from_dtype(dtype))))
        return self[dtype]

    def made(self, kinds):
        compiled = jit(self.function, **self.options)
        compiled.compile(kinds)
        compiled.disable_compile()
        return compiled


class _Shared(_Typed):
    def made(self, kinds):
        from .gate import entry

        kernel = super().made((*kinds, numba.types.intp))
        (result,) = kernel.overloads.values()
        address = result.library.get_pointer_to_function(result.fndesc.llvm_func_name)
        enter = entry(kinds)
        return lambda *args, kernel=kernel: enter(address, *args)  # the code lives as long as the kernel


def array(scalar, axes):
    """The type of an array of any strides, read-only or not: it takes all, and gives its address and shape."""
    return numba.types.Array(scalar, axes, "A", readonly=True, aligned=False)


def _cached(function, holder, name):
    """Sets the cache of what compiles a function, if there is a folder for it."""
    try:
        setattr(holder, name, _Cache(function))
    except RuntimeError:
        pass


class _Cache(caching.FunctionCache):
    def __init__(self, function):
        super().__init__(function)
        self._cache_file = _Files(self._cache_path, self._impl.filename_base, _STAMP)


class _Files(caching.IndexDataCacheFile):
    """A file for each set of types, without Numba's index.

    Two processes that compile one function for different types at once can leave an index that names the
    wrong file. And a change in one module must end the cache of those that use it.
    """

    def _name_of(self, key):
        number = int.from_bytes(hashlib.sha256(repr((self._version, key)).encode()).digest()[:8], "little")
        return self._data_name(number)

    def save(self, key, data):
        try:
            self._save_data(self._name_of(key), (self._source_stamp, data))
        except OSError:  # a full disk is no reason not to run
            pass

    def load(self, key):
        try:
            stamp, data = self._load_data(self._name_of(key))
        except (OSError, EOFError, ValueError, pickle.UnpicklingError):
            return None
        return data if stamp == self._source_stamp else None


_STAMP = [
    (entry.name, entry.stat().st_mtime, entry.stat().st_size)
    for entry in sorted(os.scandir(os.path.dirname(__file__)), key=lambda entry: entry.name)
    if entry.name.endswith(".py")
]
