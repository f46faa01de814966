"""Sliding blocks of images as columns, and back."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module


class _Blocks(Module):
    def __init__(
        self, kernel_size: int | tuple, dilation: int | tuple = 1, padding: int | tuple = 0, stride: int | tuple = 1
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.dilation = dilation
        self.padding = padding
        self.stride = stride

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, dilation={self.dilation}, padding={self.padding}, stride={self.stride}"
        )


class Unfold(_Blocks):
    """The blocks of [N, C, H, W] as columns [N, C KH KW, L]."""

    def forward(self, input: Tensor) -> Tensor:
        return F.unfold(input, self.kernel_size, self.dilation, self.padding, self.stride)


class Fold(_Blocks):
    """Columns [N, C KH KW, L] added up to images [N, C, *output_size]."""

    def __init__(
        self,
        output_size: int | tuple,
        kernel_size: int | tuple,
        dilation: int | tuple = 1,
        padding: int | tuple = 0,
        stride: int | tuple = 1,
    ) -> None:
        super().__init__(kernel_size, dilation, padding, stride)
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.fold(input, self.output_size, self.kernel_size, self.dilation, self.padding, self.stride)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}, {super().extra_repr()}"
