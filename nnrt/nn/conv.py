"""Convolution layers and transposed convolution layers over one, two or three axes.

Legend: N batch, C in_channels, O out_channels, G groups, K kernel_size, s stride, p padding, d dilation.
"""

from __future__ import annotations

import math
from typing import Any

from ..autograd import grad_enabled
from ..ops._conv_fused import Fused
from ..ops.create import empty
from ..tensor import Tensor
from . import functional as F
from . import init
from .lazy import LazyModuleMixin
from .linear import _check_sizes, _empty_weight, _init_bias
from .module import Module
from .parameter import Parameter, UninitializedParameter

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What all of them share; a class for each number of axes says `dims` and calls the function of its name."""

    bias: Parameter | None
    dims = 0
    transposed = False

    def __init__(
        self, in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, bias,
        padding_mode, device, dtype,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        _check_sizes(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if groups < 1:
            raise ValueError(f"{name}: groups must be positive, got {groups}")
        for side, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels % groups:
                raise ValueError(f"{name}: {side} = {channels} must be divisible by groups = {groups}")
        if padding_mode not in PADDING_MODES:
            raise ValueError(f"{name}: padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
        if isinstance(padding, str) and padding not in ("same", "valid"):
            raise ValueError(f"{name}: padding must be 'same', 'valid' or numbers, got {padding!r}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = self._tuple("kernel_size", kernel_size)
        self.stride = self._tuple("stride", stride)
        self.padding = padding if isinstance(padding, str) else self._tuple("padding", padding)
        self.dilation = self._tuple("dilation", dilation)
        self.output_padding = self._tuple("output_padding", output_padding)
        self.groups = groups
        self.padding_mode = padding_mode
        if min(self.kernel_size) < 1:
            raise ValueError(f"{name}: kernel_size must be positive, got {kernel_size}")
        if padding == "same" and max(self.stride) > 1:
            raise ValueError(f"{name}: padding='same' wants stride 1, got {stride}")
        self.weight = _empty_weight(name, *self._weight_shape(), dtype=dtype, device=device)
        self.register_parameter("bias", Parameter(empty(out_channels, dtype=dtype, device=device)) if bias else None)
        self.reset_parameters()

    def _tuple(self, what, value):
        values = tuple(value) if isinstance(value, (tuple, list)) else (value,) * self.dims
        if not all(hasattr(v, "__index__") and not isinstance(v, bool) for v in values):
            raise TypeError(f"{type(self).__name__}: {what} must be an integer or a tuple of them, got {value!r}")
        if len(values) != self.dims:
            raise ValueError(f"{type(self).__name__}: {what} must be one integer or {self.dims}, got {value!r}")
        return values

    def _weight_shape(self):
        inner, outer = self.in_channels, self.out_channels
        if self.transposed:
            inner, outer = outer, inner
        return outer, inner // self.groups, *self.kernel_size

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        _init_bias(self.bias, self.weight.shape[1] * math.prod(self.kernel_size))

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        for what, usual in (("padding", 0), ("dilation", 1), ("output_padding", 0)):
            value = getattr(self, what)
            if value != (usual,) * self.dims:
                text += f", {what}={value}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Forward(_Conv):
    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        dilation: Any = 1, groups: int = 1, bias: bool = True, padding_mode: str = "zeros", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, 0, dilation, groups, bias, padding_mode,
            device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode == "zeros" and not grad_enabled() and isinstance(input, Tensor):
            return self.fused().run(input, (self.weight, self.bias), None)
        if self.padding_mode != "zeros":
            input = F.pad(input, self._around(), self.padding_mode)
            padding = 0
        return self._function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def fused(self) -> Fused:
        """What computes this convolution together with what follows it, without a gradient; see ops/_conv_fused.py."""
        made = self.__dict__.get("_fused")
        if made is None:
            made = self.__dict__["_fused"] = Fused(self.stride, self.padding, self.dilation, self.groups)
        return made

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("stride", "padding", "dilation", "groups"):
            self.__dict__.pop("_fused", None)
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_fused", None)
        state.pop("_asked", None)
        return state

    def _around(self):
        """The padding as F.pad takes it: last axis first, front and back of each."""
        ends = []
        for axis in reversed(range(self.dims)):
            if self.padding == "same":
                total = self.dilation[axis] * (self.kernel_size[axis] - 1)
                ends += [total // 2, total - total // 2]
            else:
                ends += [0, 0] if self.padding == "valid" else [self.padding[axis]] * 2
        return ends

    def macs(self, input_shapes, output_shape):
        return math.prod(output_shape) * (self.in_channels // self.groups) * math.prod(self.kernel_size)

    def window(self):
        return self.kernel_size, self.stride, self.dilation


class Conv1d(_Forward):
    """y = x * w + b over [N, C, L] or [C, L]; see F.conv1d.

    `weight`: [O, C/G, K] and `bias`: [O] (None with bias=False), both drawn from U(-1/√n, 1/√n) with n = C/G K.
    in_channels C and out_channels O, both multiples of groups G; kernel_size K, stride, dilation: ints of 1 or more. padding:
    a number, "valid" or "same"; padding_mode: what lies there: zeros, reflect, replicate, circular. ValueError for others.
    """

    dims = 1
    _function = staticmethod(F.conv1d)


class Conv2d(_Forward):
    """y = x * w + b over [N, C, H, W] or [C, H, W]; arguments are Conv1d's, of which sizes may be pairs.

    `weight`: [out_channels, in_channels / groups, KH, KW], `bias`: [out_channels]. OH = floor((H + 2 padding - dilation (KH - 1)
    - 1) / stride) + 1.
    """

    dims = 2
    _function = staticmethod(F.conv2d)


class Conv3d(_Forward):
    """y = x * w + b over [N, C, D, H, W] or [C, D, H, W]; arguments are Conv1d's, of which sizes may be triples."""

    dims = 3
    _function = staticmethod(F.conv3d)


class _Transposed(_Conv):
    transposed = True

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: Any, stride: Any = 1, padding: Any = 0,
        output_padding: Any = 0, groups: int = 1, bias: bool = True, dilation: Any = 1, padding_mode: str = "zeros",
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f"{type(self).__name__}: padding_mode can only be 'zeros', got {padding_mode!r}")
        if isinstance(padding, str):
            raise TypeError(f"{type(self).__name__}: padding must be numbers, got {padding!r}")
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, output_padding, dilation, groups, bias,
            padding_mode, device, dtype,
        )  # fmt: skip

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """output_size: the spatial sizes wanted (or the whole shape), where stride > 1 leaves a choice."""
        extra = self.output_padding if output_size is None else self._extra(input, output_size)
        return self._function(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation
        )

    def _extra(self, input, output_size):
        """The output_padding that leads to output_size; ValueError where none does."""
        sizes = tuple(output_size)
        if len(sizes) not in (self.dims, input.ndim):
            raise ValueError(
                f"{type(self).__name__}: output_size must have {self.dims} or {input.ndim} numbers, got {sizes}"
            )
        sizes = sizes[-self.dims :]
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(input.shape[-self.dims :], self.stride, self.padding, self.dilation, self.kernel_size)
        ]
        if not all(low <= size < low + s for low, size, s in zip(least, sizes, self.stride)):
            most = [low + s - 1 for low, s in zip(least, self.stride)]
            raise ValueError(
                f"{type(self).__name__}: output_size {sizes} is not between {least} and {most} "
                f"(input of shape {tuple(input.shape)})"
            )
        return tuple(size - low for low, size in zip(least, sizes))

    def macs(self, input_shapes, output_shape):
        return math.prod(input_shapes[0]) * (self.out_channels // self.groups) * math.prod(self.kernel_size)

    def window(self):
        return (self.kernel_size, self.stride, self.dilation) if max(self.stride) == 1 else None


class ConvTranspose1d(_Transposed):
    """The adjoint of a convolution over [N, C, L] or [C, L]; see F.conv_transpose1d.

    `weight`: [C, O/G, K] and `bias`: [O] (None with bias=False), both drawn from U(-1/√n, 1/√n) with n = O/G K.
    in_channels C, out_channels O, kernel_size K, stride, padding (a number), dilation and groups G are Conv1d's. Where stride
    > 1 leaves a choice of sizes, output_padding makes it, or output_size, which forward takes. padding_mode is "zeros".
    """

    dims = 1
    _function = staticmethod(F.conv_transpose1d)


class ConvTranspose2d(_Transposed):
    """The adjoint of a convolution over [N, C, H, W] or [C, H, W]; ConvTranspose1d's arguments, sizes also pairs."""

    dims = 2
    _function = staticmethod(F.conv_transpose2d)


class ConvTranspose3d(_Transposed):
    """The adjoint of a convolution over [N, C, D, H, W] or [C, D, H, W]; ConvTranspose1d's arguments, sizes also triples."""

    dims = 3
    _function = staticmethod(F.conv_transpose3d)


class _Lazy(LazyModuleMixin):
    """Learns in_channels from the first input, and is an ordinary layer from then on."""

    def __init__(self, out_channels: int, kernel_size: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(0, 0, kernel_size, *args, **kwargs)
        _check_sizes(type(self).__name__, out_channels=out_channels)
        if out_channels % self.groups:
            raise ValueError(
                f"{type(self).__name__}: out_channels = {out_channels} must be divisible by groups = {self.groups}"
            )
        self.out_channels = out_channels
        like = {"device": kwargs.get("device"), "dtype": self.weight.dtype}
        self.weight = UninitializedParameter(**like)
        if self.bias is not None:
            self.bias = UninitializedParameter(**like)

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.in_channels:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor, *args: Any, **kwargs: Any) -> None:
        """Sets the shapes from the first input."""
        if not self.has_uninitialized_params():
            self.in_channels = self.weight.shape[0] if self.transposed else self.weight.shape[1] * self.groups
            return
        name = type(self).__name__
        if input.ndim not in (self.dims + 1, self.dims + 2):
            raise RuntimeError(
                f"{name}: input must have {self.dims + 1} or {self.dims + 2} dimensions, got shape {tuple(input.shape)}"
            )
        channels = input.shape[-self.dims - 1]
        if channels % self.groups:
            raise ValueError(f"{name}: the input's {channels} channels must be divisible by groups = {self.groups}")
        self.in_channels = channels
        self.weight.materialize(self._weight_shape())
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()


class LazyConv1d(_Lazy, Conv1d):
    """A Conv1d that learns in_channels from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_Lazy, Conv2d):
    """A Conv2d that learns in_channels from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_Lazy, Conv3d):
    """A Conv3d that learns in_channels from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_Lazy, ConvTranspose1d):
    """A ConvTranspose1d that learns in_channels from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_Lazy, ConvTranspose2d):
    """A ConvTranspose2d that learns in_channels from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_Lazy, ConvTranspose3d):
    """A ConvTranspose3d that learns in_channels from its first input."""

    cls_to_become = ConvTranspose3d


_ConvNd, _ConvTransposeNd = _Conv, _Transposed  # torch's names of the base classes
