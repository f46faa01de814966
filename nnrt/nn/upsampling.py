"""Layers that give images, signals and volumes another size."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module


class Upsample(Module):
    """(N, C, *spatial) with the spatial sizes `size`, or scale_factor times as large; see F.interpolate."""

    def __init__(
        self,
        size: int | tuple | None = None,
        scale_factor: float | tuple | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
        recompute_scale_factor: bool | None = None,
    ) -> None:
        super().__init__()
        self.size = size
        self.scale_factor = tuple(map(float, scale_factor)) if isinstance(scale_factor, tuple) else scale_factor
        if isinstance(scale_factor, int):
            self.scale_factor = float(scale_factor)
        self.mode = mode
        self.align_corners = align_corners
        self.recompute_scale_factor = recompute_scale_factor

    def forward(self, input: Tensor) -> Tensor:
        return F.interpolate(
            input, self.size, self.scale_factor, self.mode, self.align_corners, self.recompute_scale_factor
        )

    def extra_repr(self) -> str:
        given = f"size={self.size!r}" if self.scale_factor is None else f"scale_factor={self.scale_factor!r}"
        return f"{given}, mode={self.mode!r}"


class UpsamplingNearest2d(Upsample):
    """Upsample in mode nearest."""

    def __init__(self, size: int | tuple | None = None, scale_factor: float | tuple | None = None) -> None:
        super().__init__(size, scale_factor, "nearest")


class UpsamplingBilinear2d(Upsample):
    """Upsample in mode bilinear, with corners aligned."""

    def __init__(self, size: int | tuple | None = None, scale_factor: float | tuple | None = None) -> None:
        super().__init__(size, scale_factor, "bilinear", True)
