"""Bounds on gradients: by the norm of all together, or value by value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ...tensor import Tensor, bump, wrap


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach=None
) -> Tensor:
    """The norm of all elements of all tensors as one vector, a 0-d Tensor.

    Sums run in float64, so that large gradients do not overflow. RuntimeError for a norm that is NaN
    or infinite, with error_if_nonfinite. `foreach` is accepted for torch's sake.
    """
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    norm_type = float(norm_type)
    if not norm_type > 0:
        raise ValueError(f"get_total_norm: norm_type must be greater than 0, got {norm_type}")
    dtype = np.result_type(*[t.dtype for t in tensors]) if tensors else np.dtype(np.float32)
    total = _norm([_norm([t.array], norm_type) for t in tensors], norm_type)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"get_total_norm: the norm of order {norm_type} of the gradients is {total}; "
            "error_if_nonfinite=False would go on with it"
        )
    return wrap(np.array(total, dtype))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach=None,
) -> Tensor:
    """Scales all gradients by one factor so that their total norm is at most max_norm; returns the norm before."""
    grads = _grads(parameters)
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    _scale(grads, max_norm, total)
    return total


def clip_grads_with_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, total_norm: Tensor, foreach=None
) -> None:
    """Scales all gradients by max_norm / total_norm where that is below 1."""
    _scale(_grads(parameters), max_norm, total_norm)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float, foreach=None) -> None:
    """Cuts every element of every gradient to [-clip_value, clip_value]."""
    clip_value = float(clip_value)
    for grad in _grads(parameters):
        np.clip(grad.array, -clip_value, clip_value, out=grad.array)
        bump(grad)


def _norm(arrays, p):
    """The p-norm of all elements together, in float64."""
    if p == math.inf:
        return max([float(np.max(np.abs(a), initial=0.0)) for a in arrays], key=_nan_first, default=0.0)
    if p == 2:
        return math.sqrt(sum(_squares(a) for a in arrays))
    return sum(float(np.sum(np.abs(a, dtype=np.float64) ** p)) for a in arrays) ** (1 / p)


def _nan_first(value):
    return math.inf if math.isnan(value) else value


def _squares(a):
    return float(np.sum(np.square(a, dtype=np.float64)))


def _grads(parameters):
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in parameters if p.grad is not None]


def _scale(grads, max_norm, total_norm):
    factor = float(max_norm) / (float(total_norm) + 1e-6)
    if factor < 1 or math.isnan(factor):
        for grad in grads:
            np.multiply(grad.array, factor, out=grad.array, casting="same_kind")
            bump(grad)
