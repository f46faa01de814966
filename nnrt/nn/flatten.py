"""Layers that change the shape only."""

from __future__ import annotations

from ..ops.shape import flatten, unflatten
from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Axes start_dim (1) to end_dim (-1, the last) become one: [N, C, H, W] gives [N, C H W]. IndexError for what is no axis."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis dim becomes several: Unflatten(1, (2, -1)) takes [N, 6] to [N, 2, 3]. RuntimeError for sizes that do not fit."""

    def __init__(self, dim: int, unflattened_size: tuple) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"Unflatten: dim must be an integer, got {type(dim).__name__}")
        sizes = tuple(unflattened_size) if isinstance(unflattened_size, (tuple, list)) else None
        if sizes is None or not all(hasattr(s, "__index__") for s in sizes):
            raise TypeError(
                f"Unflatten: unflattened_size must be a tuple of integers, got {unflattened_size!r}"
            )
        self.dim = dim
        self.unflattened_size = sizes

    def forward(self, input: Tensor) -> Tensor:
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
