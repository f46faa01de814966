"""Compiled kernels: C for the loops, Cython for the drivers; the default back-end.

One library holds all modules of this package, and what is compiled elsewhere in nnrt: it is runtime's file.
"""

import functools
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from importlib.util import spec_from_file_location

# Python files that are compiled, too: a step of a small network runs through them, and costs more than its kernels
# where they are interpreted. Without the library they are what Python imports.
COMPILED = (
    "nnrt.autograd",
    "nnrt.ops._conv_fused",
    "nnrt.ops.activation",
    "nnrt.ops.elementwise",
    "nnrt.ops.linear",
    "nnrt.ops.promotion",
    "nnrt.ops.shape",
    "nnrt.optim._gather",
    "nnrt.tensor",
)


class _Loader(ExtensionFileLoader):
    def create_module(self, spec):
        try:
            if spec.name not in COMPILED:
                return super().create_module(spec)
            # Its init function has the whole name: nnrt.ops.linear is not nnrt._ext.linear.
            init = f"{spec.parent}.{spec.name.replace('.', '_')}"
            module = super().create_module(ModuleSpec(init, self, origin=spec.origin))
            module.__name__ = spec.name
            return module
        except ImportError as error:
            if "PyInit_" not in str(error):  # the library itself does not load
                raise
            raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from None


@functools.cache
def _library():
    """Where runtime's file lies; None where nothing was compiled."""
    spec = PathFinder.find_spec(f"{__name__}.runtime", __path__)
    return spec and spec.origin


class _Library:
    """Finds what Python's own finders do not: the modules without a file of their own."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in COMPILED and not name.startswith(f"{__name__}."):
            return None
        origin = _library()
        return origin and spec_from_file_location(name, origin, loader=_Loader(name, origin))


sys.meta_path.insert(0, _Library)  # first: of what is compiled Python would find the source
