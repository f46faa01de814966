"""nnrt: a neural-network runtime for CPUs with torch's API and numpy as its only dependency."""

from ._version import __version__
from .tensor import Tensor
from . import autograd
from .autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .ops.activation import relu
from .ops.create import from_numpy
from .ops.elementwise import add
from .registry import explain
