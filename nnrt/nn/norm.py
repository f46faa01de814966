"""Normalisation layers: x̂ = (x - mean) / √(var + eps), then x̂ weight + bias.

Parameters are weight (ones at first) and bias (zeros); buffers of the layers that keep running
statistics are running_mean, running_var and num_batches_tracked.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..memory import alike
from ..ops.create import empty, ones, zeros
from ..ops.norm import batch_norm_activated
from ..tensor import Tensor, bump
from . import functional as F
from . import init
from .lazy import LazyModuleMixin
from .linear import _check_sizes
from .module import Module
from .parameter import Parameter, UninitializedBuffer, UninitializedParameter, is_lazy


class _Norm(Module):
    """What batch and instance norms share; `dims`: the numbers of dimensions of the input."""

    dims: tuple[int, ...] = ()
    weight: Parameter | None
    bias: Parameter | None
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
        track_running_stats: bool = True, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        _check_sizes(type(self).__name__, num_features=num_features)
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        _affine(self, affine, affine and bias, (num_features,), dtype, device)
        kept = {"dtype": dtype, "device": device}
        self.register_buffer("running_mean", zeros(num_features, **kept) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, **kept) if track_running_stats else None)
        count = zeros((), dtype=np.int64, device=device) if track_running_stats else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self) -> None:
        """Mean 0, variance 1, no batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Sets everything to its initial values."""
        self.reset_running_stats()
        _reset_affine(self)

    def _channel_axis(self, input):
        return 1

    def _check_input(self, input):
        if input.ndim not in self.dims:
            wanted = " or ".join(f"{d}D" for d in self.dims)
            shape = tuple(input.shape)
            raise ValueError(f"{type(self).__name__}: expected {wanted} input, got {input.ndim}D of shape {shape}")

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        # States from before num_batches_tracked lack it.
        if self.num_batches_tracked is not None:
            state_dict.setdefault(prefix + "num_batches_tracked", self.num_batches_tracked)
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
        )

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, bias={bias}, "
            f"track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Norm):
    def forward(self, input: Tensor) -> Tensor:
        return self._normalized(input, F.batch_norm)

    def rectified(self, input: Tensor, residual: Tensor | None = None) -> Tensor:
        """relu of what the module computes, plus residual, in one pass over memory; hooks see the norm's result."""
        own = getattr(self.forward, "__code__", None) is _BatchNorm.forward.__code__  # nnrt's classes have copies of it
        plain = self._hooks is None and own
        if plain and (residual is None or alike(residual.array, input.array)):
            return self._normalized(input, batch_norm_activated, activation="relu", residual=residual)
        y = self(input)
        return F.relu(y if residual is None else residual + y)

    def _normalized(self, input, function, **options):
        """function is F.batch_norm or what takes its arguments."""
        self._check_input(input)
        tracks = self.training and self.track_running_stats
        momentum = self.momentum
        if momentum is None:  # the mean over all batches
            momentum = 1 / (1 + self.num_batches_tracked.item()) if tracks else 0.0
        mean, var = self.running_mean, self.running_var
        own = self.training or (mean is None and var is None)
        if self.training and not self.track_running_stats:
            mean = var = None
        y = function(input, mean, var, self.weight, self.bias, own, momentum, self.eps, **options)
        if tracks and self.num_batches_tracked is not None:
            count = self.num_batches_tracked.array
            count[()] = count.item() + 1  # += reads three times as much of numpy, from memory after a kernel: 18 instead of 8 us
            bump(self.num_batches_tracked)
        return y


class BatchNorm1d(_BatchNorm):
    """Normalises every channel of [N, C] or [N, C, L] over the batch and L. Ioffe and Szegedy, 2015.

    In training with the batch's statistics, which also move running_mean and running_var by
    `momentum` (None: so that these are means over all batches); in evaluation with the running ones.
    num_features: C; eps is added to the variance. affine: with weight and bias of [C]. track_running_stats=False:
    always the batch's statistics. ValueError for other numbers of axes and, in training, for one value per channel.
    """

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    """BatchNorm1d, whose arguments it takes, for [N, C, H, W]."""

    dims = (4,)


class BatchNorm3d(_BatchNorm):
    """BatchNorm1d, whose arguments it takes, for [N, C, D, H, W]."""

    dims = (5,)


class _InstanceNorm(_Norm):
    def __init__(
        self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
        track_running_stats: bool = False, device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _channel_axis(self, input):
        return input.ndim - self.dims[1] + 1

    def forward(self, input: Tensor) -> Tensor:
        self._check_input(input)
        axis = self._channel_axis(input)
        channels = input.shape[axis]
        if channels != self.num_features:
            found = f"{channels} channels (axis {axis} of {tuple(input.shape)}), not num_features = {self.num_features}"
            if self.affine:
                raise ValueError(f"{type(self).__name__}: the input has {found}")
            warnings.warn(f"{type(self).__name__}: the input has {found}, which only affine=True needs", stacklevel=2)
        if axis == 0:
            return self._normalized(input.unsqueeze(0)).squeeze(0)
        return self._normalized(input)

    def _normalized(self, input):
        own = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.instance_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, own, momentum, self.eps
        )


class InstanceNorm1d(_InstanceNorm):
    """Normalises every channel of every sample of [N, C, L] or [C, L] over L. Ulyanov et al., 2016.

    num_features: C; eps is added to the variance. affine: with weight and bias of [C]. track_running_stats: keeps
    running statistics in training, moved by `momentum`, and normalises with them in evaluation.
    """

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """InstanceNorm1d, whose arguments it takes, for [N, C, H, W] or [C, H, W]."""

    dims = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """InstanceNorm1d, whose arguments it takes, for [N, C, D, H, W] or [C, D, H, W]."""

    dims = (4, 5)


class _Lazy(LazyModuleMixin):
    """A norm that learns num_features from its first input."""

    def __init__(
        self, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track_running_stats: bool = True,
        device: Any = None, dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        if affine:
            self.weight = UninitializedParameter(device=device, dtype=dtype)
            self.bias = UninitializedParameter(device=device, dtype=dtype) if bias else None
        if track_running_stats:
            self.running_mean = UninitializedBuffer(device=device, dtype=dtype)
            self.running_var = UninitializedBuffer(device=device, dtype=dtype)

    def _waiting(self):
        return [t for t in (self.weight, self.bias, self.running_mean, self.running_var) if is_lazy(t)]

    def has_uninitialized_params(self) -> bool:
        return bool(self._waiting())

    def reset_parameters(self) -> None:
        if not self.has_uninitialized_params() and self.num_features:
            super().reset_parameters()

    def initialize_parameters(self, input: Tensor) -> None:
        """Sets the shapes from the first input."""
        self._check_input(input)
        waiting = self._waiting()
        if not waiting:  # loaded from a state, or nothing to learn
            known = [t for t in (self.weight, self.running_mean) if t is not None]
            self.num_features = known[0].shape[0] if known else input.shape[self._channel_axis(input)]
            return
        self.num_features = input.shape[self._channel_axis(input)]
        for t in waiting:
            t.materialize((self.num_features,))
        self.reset_parameters()


class LazyBatchNorm1d(_Lazy, BatchNorm1d):
    """A BatchNorm1d that learns num_features from its first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_Lazy, BatchNorm2d):
    """A BatchNorm2d that learns num_features from its first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_Lazy, BatchNorm3d):
    """A BatchNorm3d that learns num_features from its first input."""

    cls_to_become = BatchNorm3d


class LazyInstanceNorm1d(_Lazy, InstanceNorm1d):
    """An InstanceNorm1d that learns num_features from its first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_Lazy, InstanceNorm2d):
    """An InstanceNorm2d that learns num_features from its first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_Lazy, InstanceNorm3d):
    """An InstanceNorm3d that learns num_features from its first input."""

    cls_to_become = InstanceNorm3d


class GroupNorm(Module):
    """Normalises [N, C, ...] over num_channels / num_groups channels at a time and all pixels. Wu and He, 2018.

    eps is added to the variance. affine: with weight and bias of [num_channels].
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self, num_groups: int, num_channels: int, eps: float = 1e-5, affine: bool = True, device: Any = None,
        dtype: Any = None, *, bias: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        _check_sizes("GroupNorm", num_groups=num_groups, num_channels=num_channels)
        if num_groups == 0 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: num_channels ({num_channels}) must be divisible by num_groups ({num_groups})"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        _affine(self, affine, affine and bias, (num_channels,), dtype, device)

    def reset_parameters(self) -> None:
        """weight 1, bias 0."""
        _reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        bias = self.bias is not None
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, bias={bias}"


class LayerNorm(Module):
    """Normalises over the last axes, those of normalized_shape (a size or several). Ba et al., 2016.

    eps is added to the variance. elementwise_affine: with weight and (unless bias=False) bias of normalized_shape.
    """

    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float = 1e-5, elementwise_affine: bool = True,
        bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _shape("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        _affine(self, elementwise_affine, elementwise_affine and bias, self.normalized_shape, dtype, device)

    def reset_parameters(self) -> None:
        """weight 1, bias 0."""
        _reset_affine(self)

    def forward(self, input: Tensor) -> Tensor:
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        affine, bias = self.elementwise_affine, self.bias is not None
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={affine}, bias={bias}"


class RMSNorm(Module):
    """x / √(mean of x² + eps) over the last axes, those of normalized_shape. Zhang and Sennrich, 2019.

    elementwise_affine: with weight of normalized_shape. eps None: the distance from 1 to the next number of the dtype.
    """

    weight: Parameter | None

    def __init__(
        self, normalized_shape: int | Sequence[int], eps: float | None = None, elementwise_affine: bool = True,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.normalized_shape = _shape("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        made = Parameter(empty(self.normalized_shape, dtype=dtype, device=device)) if elementwise_affine else None
        self.register_parameter("weight", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """x / (k + alpha / size Σ x²)^beta, summed over `size` neighbouring channels of [N, C, ...]. Krizhevsky et al., 2012."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class CrossMapLRN2d(LocalResponseNorm):
    """LocalResponseNorm of [N, C, H, W] alone, under torch's older name."""

    def forward(self, input: Tensor) -> Tensor:
        if isinstance(input, Tensor) and input.ndim != 4:
            raise ValueError(f"CrossMapLRN2d: input must have 4 dimensions (N, C, H, W), got shape {input.shape}")
        return super().forward(input)


def _affine(module, weight, bias, shape, dtype, device):
    """Registers weight and bias of this shape, or None in their place."""
    for name, wanted in (("weight", weight), ("bias", bias)):
        module.register_parameter(name, Parameter(empty(shape, dtype=dtype, device=device)) if wanted else None)
    _reset_affine(module)


def _reset_affine(module):
    if module.weight is not None:
        init.ones_(module.weight)
    if module.bias is not None:
        init.zeros_(module.bias)


def _shape(layer, normalized_shape):
    shape = (normalized_shape,) if hasattr(normalized_shape, "__index__") else tuple(normalized_shape)
    _check_sizes(layer, **{f"normalized_shape[{i}]": size for i, size in enumerate(shape)})
    return shape
