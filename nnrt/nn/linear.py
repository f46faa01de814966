"""Linear layers: y = x Wᵀ + b and its relatives."""

from __future__ import annotations

import math
from typing import Any

from ..ops.create import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .lazy import LazyModuleMixin
from .module import Module
from .parameter import Parameter, UninitializedParameter


class Identity(Module):
    """y = x; arguments of any kind are accepted and ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        return input


class Linear(Module):
    """y = x Wᵀ + b, the fully connected (dense) layer.

    Input [..., in_features], output [..., out_features]. `weight`: [out_features, in_features] and
    `bias`: [out_features] (None with bias=False), both drawn from U(-1/√in_features, 1/√in_features).
    """

    bias: Parameter | None

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        _check_sizes("Linear", in_features=in_features, out_features=out_features)
        self.in_features = in_features
        self.out_features = out_features
        self.weight = _empty_weight("Linear", out_features, in_features, dtype=dtype, device=device)
        self.register_parameter(
            "bias", Parameter(empty(out_features, dtype=dtype, device=device)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        _init_bias(self.bias, self.in_features)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def macs(self, input_shapes, output_shape):
        return math.prod(output_shape) * self.in_features

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )


class Bilinear(Module):
    """y_k = x1ᵀ W_k x2 + b_k.

    Inputs [..., in1_features] and [..., in2_features] with equal leading axes, output
    [..., out_features]. `weight`: [out_features, in1_features, in2_features], `bias`: [out_features],
    both drawn from U(-1/√in1_features, 1/√in1_features).
    """

    bias: Parameter | None

    def __init__(
        self, in1_features: int, in2_features: int, out_features: int, bias: bool = True, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        _check_sizes(
            "Bilinear", in1_features=in1_features, in2_features=in2_features, out_features=out_features
        )
        if in1_features == 0:
            raise ValueError("Bilinear: in1_features must be greater than 0")
        self.in1_features = in1_features
        self.in2_features = in2_features
        self.out_features = out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features, dtype=dtype, device=device))
        self.register_parameter(
            "bias", Parameter(empty(out_features, dtype=dtype, device=device)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.in1_features)
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input1: Tensor, input2: Tensor) -> Tensor:
        return F.bilinear(input1, input2, self.weight, self.bias)

    def macs(self, input_shapes, output_shape):
        return math.prod(output_shape) * (self.in1_features + 1) * self.in2_features

    def extra_repr(self) -> str:
        return (
            f"in1_features={self.in1_features}, in2_features={self.in2_features}, "
            f"out_features={self.out_features}, bias={self.bias is not None}"
        )


class LazyLinear(LazyModuleMixin, Linear):
    """A Linear that learns in_features from its first input, and is an ordinary Linear from then on."""

    cls_to_become = Linear

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, 0, False, device, dtype)
        _check_sizes("LazyLinear", out_features=out_features)
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Sets the shapes from the first input."""
        if not self.has_uninitialized_params():
            self.in_features = self.weight.shape[1]
            return
        if input.ndim == 0:
            raise RuntimeError("LazyLinear: the input must have at least 1 dimension")
        self.in_features = input.shape[-1]
        self.weight.materialize((self.out_features, self.in_features))
        if self.bias is not None:
            self.bias.materialize((self.out_features,))
        self.reset_parameters()


def _init_bias(bias, fan_in):
    """U(-1/√fan_in, 1/√fan_in), torch's initial bias."""
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
        init.uniform_(bias, -bound, bound)


def _empty_weight(layer, *shape, dtype, device):
    try:
        return Parameter(empty(*shape, dtype=dtype, device=device))
    except ValueError:
        raise ValueError(f"{layer}: its weight of shape {shape} has more bytes than can be addressed") from None


def _check_sizes(layer, **sizes):
    for name, size in sizes.items():
        if not hasattr(size, "__index__"):
            raise TypeError(f"{layer}: {name} must be an integer, got {type(size).__name__}")
        if size < 0:
            raise ValueError(f"{layer}: {name} must not be negative, got {size}")
