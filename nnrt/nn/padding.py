"""Layers that pad the last 1, 2 or 3 axes: padding is an int for all sides, or two amounts for each axis, the last first."""

from __future__ import annotations

from ..tensor import Tensor
from . import functional as F
from .module import Module


class _Pad(Module):
    axes: int
    mode: str

    def __init__(self, padding: int | tuple) -> None:
        super().__init__()
        self.padding = (padding,) * (2 * self.axes) if isinstance(padding, int) else tuple(padding)

    def window(self):
        return ((1,) * self.axes,) * 3

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | tuple, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """value outside the input."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """value outside the input."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """value outside the input."""

    axes = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | tuple) -> None:
        super().__init__(padding, 0.0)

    extra_repr = _Pad.extra_repr


class ZeroPad1d(_ZeroPad):
    """Zeros outside the input."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Zeros outside the input."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Zeros outside the input."""

    axes = 3


class ReflectionPad1d(_Pad):
    """The input mirrored at its outermost rows."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The input mirrored at its outermost rows."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The input mirrored at its outermost rows."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The outermost rows repeated."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The outermost rows repeated."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The outermost rows repeated."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The input goes on from its other end."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The input goes on from its other end."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The input goes on from its other end."""

    axes, mode = 3, "circular"
