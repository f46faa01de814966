"""All parameters as one vector, and back."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...autograd import no_grad
from ...ops.join import cat
from ...tensor import Tensor


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """The elements of all parameters, one after the other, in one vector; on the tape."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copies the pieces of a vector into the parameters. ValueError when the sizes do not add up."""
    parameters = list(parameters)
    sizes = [math.prod(p.shape) for p in parameters]
    if not isinstance(vec, Tensor):
        raise TypeError(f"vector_to_parameters: vec must be a Tensor, got {type(vec).__name__}")
    if tuple(vec.shape) != (sum(sizes),):
        raise ValueError(
            f"vector_to_parameters: vec has shape {tuple(vec.shape)}, the parameters take ({sum(sizes)},)"
        )
    start = 0
    with no_grad():
        vec = vec.detach()
        for p, size in zip(parameters, sizes):
            p.copy_(vec[start : start + size].reshape(p.shape))
            start += size
