"""The files of nnrt.models with torch in nnrt's place: their `from .. import nn` then finds torch's."""

import importlib.util
import sys

from nnrt import models

PACKAGE = "torch_in_place_of_nnrt"


def torch_models(torch):
    """The package nnrt.models, made of torch's layers."""
    name = PACKAGE + ".models"
    if name not in sys.modules:
        sys.modules[PACKAGE] = torch
        sys.modules[PACKAGE + ".nn"] = torch.nn
        sys.modules[PACKAGE + ".nn.functional"] = torch.nn.functional
        spec = importlib.util.spec_from_file_location(name, models.__file__)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]
