"""Compiled kernels: C for the loops, Cython for the drivers; the default back-end.

One library holds all modules of this package: it is runtime's file.
"""

import sys
from importlib.machinery import ExtensionFileLoader, PathFinder
from importlib.util import spec_from_file_location


class _Loader(ExtensionFileLoader):
    def create_module(self, spec):
        try:
            return super().create_module(spec)
        except ImportError as error:
            if "PyInit_" not in str(error):  # the library itself does not load
                raise
            raise ModuleNotFoundError(f"No module named {spec.name!r}", name=spec.name) from None


class _Library:
    """Finds what Python's own finders do not: the modules without a file of their own."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        library = PathFinder.find_spec(f"{__name__}.runtime", __path__) if name.startswith(f"{__name__}.") else None
        if library is None:
            return None
        return spec_from_file_location(name, library.origin, loader=_Loader(name, library.origin))


sys.meta_path.append(_Library)
