"""Skip connections around a module."""

from __future__ import annotations

from typing import Any

from ..ops.join import cat
from ..tensor import Tensor
from .module import Module


class Residual(Module):
    """y = x + f(x). The module keeps the shape. He et al., 2015."""

    def __init__(self, module: Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        output = self.module(input, *args, **kwargs)
        if output.shape != input.shape:
            kind, made, wanted = type(self.module).__name__, tuple(output.shape), tuple(input.shape)
            raise RuntimeError(f"Residual: {kind} made shape {made} of {wanted}, which must stay")
        return input + output


class DenseConcat(Module):
    """y = (x, f(x)) joined along dim: each layer sees all features before it. Huang et al., 2016."""

    def __init__(self, module: Module, dim: int = 1) -> None:
        super().__init__()
        self.module = module
        self.dim = dim

    def forward(self, input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return cat((input, self.module(input, *args, **kwargs)), self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"
