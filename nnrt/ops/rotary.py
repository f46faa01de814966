"""Rotary position embedding.

    y = (x₁ cos - x₂ sin, x₂ cos + x₁ sin),   angle of pair d at position t: t base^(-2 d / D)

Legend: x [..., T, D], whose first and second half are x₁ and x₂. The gradient is the rotation backwards.
"""

from functools import lru_cache

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor
from .promotion import check_tensors

K = registry.family("elementwise")


def rotary_embedding(x, base=10000.0, start=0) -> Tensor:
    """x [..., T, D] with each pair (d, d + D / 2) turned by its position: start for the first row, then one more for each.

    Pair d is turned by position · base^(-2 d / D). Products of two such rows depend on their distance alone. Su et al.,
    RoFormer, 2021. RuntimeError for an odd D and for what is not floating.
    """
    check_tensors("rotary_embedding", x=x)
    a = x.array
    if a.ndim < 2 or a.shape[-1] % 2 or a.dtype.kind != "f":
        raise RuntimeError(f"rotary_embedding: wants floating [..., T, D] with an even D, got {a.dtype} of shape {a.shape}")
    cos, sin = _table(a.shape[-2], a.shape[-1] // 2, float(base), int(start), a.dtype)
    return record(_turned(a, cos, sin, 1), rotary_embedding_backward, (x,), (cos, sin))


def rotary_embedding_backward(node, dy):
    cos, sin = node.saved
    return (_turned(dy, cos, sin, -1),)  # y = R x, R' = R of the angle backwards


def _turned(x, cos, sin, way):
    y, half = memory.empty_like(x), x.shape[-1] // 2
    for to, same, other, sign in (
        (y[..., :half], x[..., :half], x[..., half:], -way),
        (y[..., half:], x[..., half:], x[..., :half], way),
    ):
        K.mul(to, same, cos)
        K.addcmul(to, to, other, sin, sign)
    return y


@lru_cache(maxsize=64)
def _table(length, half, base, start, dtype):
    angles = np.arange(start, start + length)[:, None] * base ** (-np.arange(half) / max(half, 1))
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)
