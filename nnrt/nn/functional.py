"""The ops under the names of torch.nn.functional; the first parameter is called x."""

# ruff: noqa: F401
from ..ops.activation import (
    bilinear_gate,
    celu,
    elu,
    geglu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    reglu,
    relu,
    relu6,
    rrelu,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    squared_relu,
    step,
    swiglu,
    swish,
    tanhshrink,
    threshold,
)
from ..ops.shape import *  # tmp
cat = None
from ..ops.einsum import bilinear
from ..ops.linear import linear
from ..ops.softmax import log_softmax, softmax, softmin
from ..ops.unary import sigmoid, tanh
