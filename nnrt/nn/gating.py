"""Layers that gate what passes them."""

from __future__ import annotations

from collections.abc import Callable

from ..ops.create import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .container import ModuleList
from .linear import Linear
from .module import Module
from .norm import LayerNorm
from .parameter import Parameter


class Highway(Module):
    """y = t f(W_h x) + (1 - t) x with t = sigmoid(W_t x), num_layers times. Srivastava et al., 2015.

    Input and output [..., features]. gate_bias: the first bias of t; below 0, layers pass at first what they are given.
    """

    def __init__(
        self, features: int, num_layers: int = 1, activation: Callable[[Tensor], Tensor] = F.relu, gate_bias: float = -1.0
    ) -> None:
        super().__init__()
        self.activation = activation
        self.transforms = ModuleList(Linear(features, features) for _ in range(num_layers))
        self.gates = ModuleList(Linear(features, features) for _ in range(num_layers))
        for gate in self.gates:
            init.constant_(gate.bias, gate_bias)

    def forward(self, input: Tensor) -> Tensor:
        for transform, gate in zip(self.transforms, self.gates):
            input = input.lerp(self.activation(transform(input)), F.sigmoid(gate(input)))
        return input


class SpatialGatingUnit(Module):
    """u (W v + b), u and v the halves of the input's features, v normalised, W over positions. Liu et al., 2021 (gMLP).

    Input [N, length, dim], output [N, length, dim / 2]. `weight`: [length, length], nearly 0, and `bias`: [length], 1 at
    first, so that at first u passes.
    """

    def __init__(self, dim: int, length: int) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"SpatialGatingUnit: dim must be even, got {dim}")
        self.norm = LayerNorm(dim // 2)
        self.weight = Parameter(empty(length, length))
        self.bias = Parameter(empty(length))
        init.uniform_(self.weight, -1e-3 / length, 1e-3 / length)
        init.ones_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        length = self.bias.shape[0]
        if input.ndim != 3 or input.shape[1] != length:
            raise RuntimeError(f"SpatialGatingUnit: wants [N, {length}, D], got shape {tuple(input.shape)}")
        u, v = input.chunk(2, -1)
        return u * (self.weight @ self.norm(v) + self.bias.unsqueeze(1))

    def extra_repr(self) -> str:
        return f"length={self.bias.shape[0]}"
