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
    """`value` around the last axis; padding: an int or (left, right)."""

    axes = 1


class ConstantPad2d(_ConstantPad):
    """`value` around the last two axes; padding: an int or (left, right, top, bottom)."""

    axes = 2


class ConstantPad3d(_ConstantPad):
    """`value` around the last three axes; padding: an int or (left, right, top, bottom, front, back)."""

    axes = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | tuple) -> None:
        super().__init__(padding, 0.0)

    extra_repr = _Pad.extra_repr


class ZeroPad1d(_ZeroPad):
    """Zeros around the last axis; padding: an int or (left, right)."""

    axes = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around the last two axes; padding: an int or (left, right, top, bottom)."""

    axes = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around the last three axes; padding: an int or (left, right, top, bottom, front, back)."""

    axes = 3


class ReflectionPad1d(_Pad):
    """The input mirrored at the ends of the last axis; padding: an int or (left, right)."""

    axes, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """The input mirrored at the ends of the last two axes; padding: an int or (left, right, top, bottom)."""

    axes, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """The input mirrored at the ends of the last three axes; padding: an int or (left, right, top, bottom, front, back)."""

    axes, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """The outermost elements repeated around the last axis; padding: an int or (left, right)."""

    axes, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """The outermost elements repeated around the last two axes; padding: an int or (left, right, top, bottom)."""

    axes, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """The outermost elements repeated around the last three axes; padding: an int or (left, right, top, bottom, front, back)."""

    axes, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """The input goes on from the other end of the last axis; padding: an int or (left, right)."""

    axes, mode = 1, "circular"


class CircularPad2d(_Pad):
    """The input goes on from the other end of the last two axes; padding: an int or (left, right, top, bottom)."""

    axes, mode = 2, "circular"


class CircularPad3d(_Pad):
    """The input goes on from the other end of the last three axes; padding: an int or (left, right, top, bottom, front, back)."""

    axes, mode = 3, "circular"
