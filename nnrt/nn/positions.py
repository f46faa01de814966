"""Layers that tell a sequence's elements where they stand."""

from __future__ import annotations

from ..ops.create import empty
from ..ops.rotary import rotary_embedding
from ..ops.sinusoids import add_positions, sinusoids
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter


class SinusoidalPositions(Module):
    """x + sines and cosines of the position, x [..., T, dim]. Vaswani et al., 2017. ValueError beyond max_length.

    forward(x, start=0): start is the position of x's first element.
    """

    def __init__(self, dim: int, max_length: int = 5000) -> None:
        super().__init__()
        self.register_buffer("table", sinusoids(max_length, dim), persistent=False)

    def forward(self, input: Tensor, start: int = 0) -> Tensor:
        return add_positions("SinusoidalPositions", input, self.table, start)

    def extra_repr(self) -> str:
        return f"dim={self.table.shape[1]}, max_length={self.table.shape[0]}"


class LearnedPositions(Module):
    """x + a trained vector for each position, x [..., T, dim]; `weight`: [max_length, dim], from N(0, 0.02²).

    forward(x, start=0) as SinusoidalPositions'. ValueError beyond max_length.
    """

    def __init__(self, dim: int, max_length: int) -> None:
        super().__init__()
        self.weight = Parameter(empty(max_length, dim))
        init.normal_(self.weight, std=0.02)

    def forward(self, input: Tensor, start: int = 0) -> Tensor:
        return add_positions("LearnedPositions", input, self.weight, start)

    def extra_repr(self) -> str:
        return f"dim={self.weight.shape[1]}, max_length={self.weight.shape[0]}"


class RotaryEmbedding(Module):
    """Queries or keys [..., T, dim], pairs of elements turned by their position. Su et al., RoFormer, 2021.

    forward(x, start=0): start is the position of x's first row. base: as F.rotary_embedding's. ValueError for an odd dim.
    """

    def __init__(self, dim: int, base: float = 10000.0) -> None:
        super().__init__()
        if dim % 2:
            raise ValueError(f"RotaryEmbedding: dim must be even, got {dim}")
        self.dim, self.base = dim, base

    def forward(self, input: Tensor, start: int = 0) -> Tensor:
        if input.shape[-1] != self.dim:
            raise RuntimeError(f"RotaryEmbedding: wants [..., T, {self.dim}], got shape {tuple(input.shape)}")
        return rotary_embedding(input, self.base, start)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, base={self.base}"
