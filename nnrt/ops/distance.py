"""Distances and similarities of vectors, pair by pair or all with all.

Legend: P, R rows, M their length.
"""

import numpy as np

from ..autograd import record
from ..tensor import Tensor, wrap
from . import elementwise as E
from . import ternary
from .elementwise import sum_to
from .linear import product
from .promotion import as_tensor
from .reduce import sum
from .shape import axis_of, broadcast_shapes, expand
from .statistics import vector_norm


def cosine_similarity(x1, x2, dim=1, eps=1e-8) -> Tensor:
    """Σ x1 x2 / (|x1| |x2|) along dim, the norms at least eps. Shapes broadcast."""
    x1, x2 = as_tensor("cosine_similarity", x1, "x1"), as_tensor("cosine_similarity", x2, "x2")
    common = x1.array.shape
    if x2.array.shape != common:
        common = broadcast_shapes(common, x2.array.shape)
    dim = axis_of("cosine_similarity", dim, len(common))
    units = []
    for x in (x1, x2):
        if x.array.shape != common:  # the norms are those of what is repeated along dim
            size = (1,) * (len(common) - x.array.ndim) + x.array.shape
            x = expand(x, size[:dim] + (common[dim],) + size[dim + 1 :])
        units.append(E.div(x, ternary.clamp(vector_norm(x, 2, dim, True), eps)))
    return sum(E.mul(*units), dim)


def pairwise_distance(x1, x2, p=2.0, eps=1e-6, keepdim=False) -> Tensor:
    """|x1 - x2 + eps|_p, the p-norm, along the last axis, which keepdim leaves with size 1. Shapes broadcast."""
    return vector_norm(E.add(E.sub(x1, x2), eps), p, -1, keepdim)


# More rows than this and euclidean distances come from a product, unless compute_mode says otherwise.
_ROWS = {
    "use_mm_for_euclid_dist_if_necessary": 25,
    "use_mm_for_euclid_dist": 0,
    "donot_use_mm_for_euclid_dist": float("inf"),
}
# |a - b|² that is a smaller part of |a|² + |b|² has lost too much of itself in a product.
_NEAR = 0.05
_PAIRS = 1 << 22  # elements of differences that are formed at a time


def cdist(x1, x2, p=2.0, compute_mode="use_mm_for_euclid_dist_if_necessary"):
    """|x1_i - x2_j|_p for all rows i of x1 [..., P, M] and j of x2 [..., R, M]: [..., P, R]. Batches broadcast.

    Euclidean distances among more than 25 rows are made of a product, |a - b|² = |a|² + |b|² - 2 a bᵀ, where that loses
    no digits, and of differences elsewhere. compute_mode: "use_mm_for_euclid_dist" takes the product for few rows too,
    "donot_use_mm_for_euclid_dist" never. ValueError for another one.
    """
    if compute_mode not in _ROWS:
        raise ValueError(f"cdist: compute_mode must be one of {', '.join(_ROWS)}, got {compute_mode!r}")
    x1, x2 = as_tensor("cdist", x1, "x1"), as_tensor("cdist", x2, "x2")
    a, b = x1.array, x2.array
    if p == 2 and a.ndim > 1 and b.ndim > 1 and a.size and b.size and a.dtype == b.dtype and a.dtype.char in "fd":
        if a.shape[-1] == b.shape[-1] and max(a.shape[-2], b.shape[-2]) > _ROWS[compute_mode]:
            y, near = _euclidean(a, b)
            return record(y, euclidean_backward, (x1, x2), (x1, x2, y, near))
    return vector_norm(E.sub(x1.unsqueeze(-2), x2.unsqueeze(-3)), p, -1)


def _euclidean(a, b):
    """(distances, the places of those that differences gave)."""
    with np.errstate(invalid="ignore", over="ignore"):
        left, right = _around_middle(a, b)
        y = product(left, right.swapaxes(-1, -2))
        scale = (left * left).sum(-1)[..., :, None] + (right * right).sum(-1)[..., None, :]
        y *= -2
        y += scale
        scale *= _NEAR
        near = np.nonzero(~(y >= scale))  # NaN too: infinities have no middle
        for some, difference in _differences(a, b, y.shape, near):
            y[some] = (difference * difference).sum(-1)
        np.sqrt(y, out=y)
    return y, near


def _around_middle(a, b):
    """a and b without what they have in common, which would only cancel."""
    middle = a.reshape(-1, a.shape[-1]).mean(0)
    return a - middle, b - middle


def _differences(a, b, shape, places):
    """a_i - b_j at these places of the distances, some at a time: (the places, [number of them, M])."""
    a, b = (np.broadcast_to(x, shape[:-2] + x.shape[-2:]) for x in (a, b))
    step = max(1, _PAIRS // a.shape[-1])
    for first in range(0, len(places[0]), step):
        some = tuple([at[first : first + step] for at in places])
        yield some, a[some[:-1]] - b[some[:-2] + some[-1:]]


def euclidean_backward(node, dy):
    # y = |a - b|  =>  da_i = Σ_j dy_ij (a_i - b_j) / y_ij, db_j = -Σ_i of the same; 0 where y = 0
    a, b, y, near = node.saved
    weight = np.divide(dy, y, out=np.zeros_like(y), where=y > 0)
    close = weight[near]
    weight[near] = 0
    left, right = _around_middle(a, b)
    da = left * weight.sum(-1)[..., None] - product(weight, right)
    db = right * weight.sum(-2)[..., None] - product(weight.swapaxes(-1, -2), left)
    weight[near] = close
    for some, difference in _differences(a, b, y.shape, near):
        difference *= weight[some][:, None]
        np.add.at(da, some[:-1], difference)
        np.subtract.at(db, some[:-2] + some[-1:], difference)
    return tuple([sum_to(d, x.shape) if node.needs(i) else None for i, (d, x) in enumerate(((da, a), (db, b)))])


def pdist(input, p=2.0) -> Tensor:
    """|x_i - x_j|_p for all rows i < j of x [N, M]: [N (N - 1) / 2]."""
    input = as_tensor("pdist", input)
    if input.array.ndim != 2:
        raise RuntimeError(f"pdist: wants a matrix, got shape {input.array.shape}")
    i, j = map(wrap, np.triu_indices(len(input.array), 1))
    return vector_norm(E.sub(input[i], input[j]), p, -1)
