"""Initial values of parameters; each function overwrites a tensor in place and returns it.

Legend: fan_in = inputs per unit × receptive field, fan_out = units × receptive field, for a weight
[out, in, *kernel]. Xavier: Glorot and Bengio, "Understanding the difficulty of training deep
feedforward neural networks", 2010, eq. 12 and 16. Kaiming: He et al., "Delving deep into
rectifiers", 2015, eq. 14. Orthogonal: Saxe et al., "Exact solutions to the nonlinear dynamics of
learning in deep linear neural networks", 2013. Sparse: Martens, "Deep learning via Hessian-free
optimization", 2010.
"""

from __future__ import annotations

import math
import threading
from contextlib import contextmanager

import numpy as np

from ..autograd import no_grad
from ..ops.create import empty
from ..tensor import Tensor, bump

_state = threading.local()


@contextmanager
def skipped():
    """Within it, this thread's initialisations leave tensors as they are (utils.skip_init)."""
    before = getattr(_state, "skip", False)
    _state.skip = True
    try:
        yield
    finally:
        _state.skip = before


def _skip():
    return getattr(_state, "skip", False)


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator=None) -> Tensor:
    """U(a, b)."""
    if not _skip():
        with no_grad():
            tensor.uniform_(a, b, generator=generator)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator=None) -> Tensor:
    """N(mean, std²)."""
    if not _skip():
        with no_grad():
            tensor.normal_(mean, std, generator=generator)
    return tensor


def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator=None
) -> Tensor:
    """N(mean, std²) restricted to [a, b]; a and b are values, not multiples of std.

    A uniform variable between Φ(a) and Φ(b), the distribution function's values, through the inverse of Φ.
    """
    if not a < b or not std > 0:
        raise ValueError(f"trunc_normal_: wants a < b and std > 0, got a={a}, b={b}, std={std}")
    if _skip():
        return tensor
    lo, hi = (a - mean) / std, (b - mean) / std
    flip = lo > 0  # Φ keeps its digits in the left tail and loses them in the right one
    if flip:
        lo, hi = -hi, -lo
    p = uniform_(empty(tensor.shape, dtype=np.float64), _normal_cdf(lo), _normal_cdf(hi), generator)
    z = _normal_quantile(p.array, lo, hi)
    values = mean + std * (-z if flip else z)
    return _overwrite(tensor, np.clip(values, a, b))


def _normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2))


def _normal_quantile(p, lo, hi):
    """The x in [lo, hi] with Φ(x) = p, interpolated in a table of Φ: 4097 points, x good to 1e-5."""
    lo, hi = max(lo, -38.0), min(hi, 8.3)  # Φ is 0 and 1 in float64 beyond
    if lo >= hi:
        return np.full(p.shape, hi)
    grid = np.linspace(lo, hi, 4097)
    return np.interp(p, [_normal_cdf(x) for x in grid], grid)


def constant_(tensor: Tensor, val: float) -> Tensor:
    """val everywhere."""
    if not _skip():
        with no_grad():
            tensor.fill_(val)
    return tensor


def ones_(tensor: Tensor) -> Tensor:
    """1 everywhere."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Tensor:
    """0 everywhere."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Tensor:
    """The identity: as many inputs of a linear layer pass through as fit."""
    if tensor.ndim != 2:
        raise ValueError(f"eye_: wants a tensor of 2 dimensions, got shape {tuple(tensor.shape)}")
    return _overwrite(tensor, np.eye(*tensor.shape))


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """The identity of a convolution [out, in / groups, *kernel] of 1 to 3 spatial axes, group by group."""
    if tensor.ndim not in (3, 4, 5):
        raise ValueError(f"dirac_: wants a tensor of 3, 4 or 5 dimensions, got shape {tuple(tensor.shape)}")
    out, inputs, *kernel = tensor.shape
    if groups < 1 or out % groups:
        raise ValueError(f"dirac_: {out} output channels do not divide into {groups} groups")
    values = np.zeros(tensor.shape)
    centre = tuple(k // 2 for k in kernel)
    per_group = out // groups
    for g in range(groups):
        for d in range(min(per_group, inputs)):
            values[(g * per_group + d, d, *centre)] = 1
    return _overwrite(tensor, values)


def _calculate_fan_in_and_fan_out(tensor: Tensor, name: str = "init") -> tuple[int, int]:
    """(fan_in, fan_out) of a weight [out, in, *kernel]; name: whose errors they are."""
    if tensor.ndim < 2:
        raise ValueError(
            f"{name}: fan in and fan out want a tensor of at least 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    out, inputs, *kernel = tensor.shape
    field = math.prod(kernel)
    return inputs * field, out * field


def _calculate_correct_fan(tensor, mode, name="init"):
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{name}: mode must be 'fan_in' or 'fan_out', got {mode!r}")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor, name)
    return fan_in if mode == "fan_in" else fan_out


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that keeps the variance of activations through a non-linearity.

    linear, convolutions and sigmoid: 1; tanh: 5/3; relu: √2; leaky_relu: √(2 / (1 + param²)) with
    slope param = 0.01; selu: 3/4. ValueError for another name.
    """
    if nonlinearity in ("linear", "sigmoid") or nonlinearity.startswith("conv"):
        return 1
    if nonlinearity == "tanh":
        return 5 / 3
    if nonlinearity == "relu":
        return math.sqrt(2)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"calculate_gain: the slope {param!r} is not a number")
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity == "selu":
        return 3 / 4
    raise ValueError(f"calculate_gain: no gain is known for {nonlinearity!r}")


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """U(-a, a), a = gain √(6 / (fan_in + fan_out))."""
    bound = gain * math.sqrt(6 / max(1, sum(_calculate_fan_in_and_fan_out(tensor, "xavier_uniform_"))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """N(0, std²), std = gain √(2 / (fan_in + fan_out))."""
    std = gain * math.sqrt(2 / max(1, sum(_calculate_fan_in_and_fan_out(tensor, "xavier_normal_"))))
    return normal_(tensor, 0.0, std, generator)


def kaiming_uniform_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None
) -> Tensor:
    """U(-b, b), b = gain √(3 / fan); a is the slope of leaky_relu."""
    fan = _calculate_correct_fan(tensor, mode, "kaiming_uniform_")
    bound = calculate_gain(nonlinearity, a) * math.sqrt(3 / max(1, fan))
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator=None
) -> Tensor:
    """N(0, std²), std = gain / √fan; a is the slope of leaky_relu."""
    fan = _calculate_correct_fan(tensor, mode, "kaiming_normal_")
    return normal_(tensor, 0.0, calculate_gain(nonlinearity, a) / math.sqrt(max(1, fan)), generator)


def orthogonal_(tensor: Tensor, gain: float = 1, generator=None) -> Tensor:
    """gain × a random matrix with orthonormal rows or columns, whichever are fewer; trailing axes are one.

    Uniform over the orthogonal group: Q of a Gaussian matrix, with the signs of R's diagonal.
    """
    if tensor.ndim < 2:
        raise ValueError(
            f"orthogonal_: wants a tensor of at least 2 dimensions, got shape {tuple(tensor.shape)}"
        )
    if _skip() or tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    columns = tensor.numel() // rows
    sample = empty(max(rows, columns), min(rows, columns), dtype=np.float64)
    q, r = np.linalg.qr(normal_(sample, generator=generator).array)
    q *= np.sign(np.diag(r))
    q = q.T if rows < columns else q
    return _overwrite(tensor, gain * q.reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator=None) -> Tensor:
    """N(0, std²) with a fraction `sparsity` of each column set to zero, at random rows."""
    if tensor.ndim != 2:
        raise ValueError(f"sparse_: wants a tensor of 2 dimensions, got shape {tuple(tensor.shape)}")
    if _skip():
        return tensor
    rows, columns = tensor.shape
    zeros = math.ceil(sparsity * rows)
    normal_(tensor, 0.0, std, generator)
    order = uniform_(empty(rows, columns, dtype=np.float64), generator=generator).array
    np.put_along_axis(tensor.array, np.argsort(order, axis=0)[:zeros], 0, axis=0)
    return bump(tensor)


def _overwrite(tensor, values):
    if not _skip():
        tensor.array[...] = values
        bump(tensor)
    return tensor
