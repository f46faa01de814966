"""Layers: modules that hold parameters and call ops. No mathematics lives here."""

from . import functional, init, parameter, utils
from .container import ModuleDict, ModuleList, ParameterDict, ParameterList, Sequential
from .linear import Bilinear, Identity, LazyLinear, Linear
from .module import Module
from .parameter import Parameter, UninitializedParameter
