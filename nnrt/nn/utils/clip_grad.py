"""Bounds on gradients: by the norm of all together, or value by value."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ...ops import gradients
from ...tensor import Tensor, bump, wrap


def get_total_norm(
    tensors: Tensor | Iterable[Tensor], norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach=None
) -> Tensor:
    """The norm of all elements of all tensors as one vector, a 0-d Tensor.

    RuntimeError for a norm that is NaN or infinite, with error_if_nonfinite. `foreach` changes nothing.
    """
    return _total_norm("get_total_norm", tensors, norm_type, error_if_nonfinite)


def _total_norm(op, tensors, norm_type, error_if_nonfinite):
    tensors = [tensors] if isinstance(tensors, Tensor) else list(tensors)
    try:
        norm_type = float(norm_type)
    except (TypeError, ValueError):
        raise TypeError(f"{op}: norm_type must be a number or 'inf', got {norm_type!r}") from None
    if not norm_type > 0:
        raise ValueError(f"{op}: norm_type must be greater than 0, got {norm_type}")
    total = gradients.total_norm([_values(t) for t in tensors], norm_type)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            f"{op}: the norm of order {norm_type} of the gradients is {total}; "
            "error_if_nonfinite=False would go on with it"
        )
    return wrap(np.array(total, np.result_type(*[t.dtype for t in tensors]) if tensors else np.float32))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach=None,
) -> Tensor:
    """Scales all gradients by one factor, to a total norm of at most max_norm; returns the norm before.

    parameters: a Tensor or several, of which those without a gradient are passed over; norm_type: p of the p-norm, inf too.
    RuntimeError for a norm that is NaN or infinite, with error_if_nonfinite; nothing is scaled then. `foreach` changes nothing.
    """
    grads = _grads(parameters)
    total = _total_norm("clip_grad_norm_", grads, norm_type, error_if_nonfinite)
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
    grads = _grads(parameters)
    gradients.clamp([_values(g) for g in grads], -clip_value, clip_value)
    _changed(grads)


def _grads(parameters):
    """The gradients there are; one that holds rows only is first brought to one entry per row."""
    grads = []
    for p in [parameters] if isinstance(parameters, Tensor) else list(parameters):
        if p.grad is not None:
            if not isinstance(p.grad, Tensor):
                p.grad = p.grad.coalesce()
            grads.append(p.grad)
    return grads


def _values(grad):
    return grad.array if isinstance(grad, Tensor) else grad.values


def _changed(grads):
    for grad in grads:
        if isinstance(grad, Tensor):
            bump(grad)


def _scale(grads, max_norm, total_norm):
    factor = float(max_norm) / (float(total_norm) + 1e-6)
    if factor < 1 or math.isnan(factor):
        gradients.scale([_values(g) for g in grads], factor)
        _changed(grads)
