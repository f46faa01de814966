"""The files of nnrt.models with another library in nnrt's place: their `from .. import nn` then finds its layers."""

import importlib.util
import sys


def models_of(t):
    """The package nnrt.models, made of the layers of t (nnrt, or torch)."""
    from .. import models

    if t.__name__ == "nnrt":
        return models
    package = f"{t.__name__}_in_place_of_nnrt"
    name = package + ".models"
    if name not in sys.modules:
        sys.modules[package] = t
        sys.modules[package + ".nn"] = t.nn
        sys.modules[package + ".nn.functional"] = t.nn.functional
        spec = importlib.util.spec_from_file_location(name, models.__file__)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
