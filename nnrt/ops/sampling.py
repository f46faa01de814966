"""Drawing the next token of a sequence from a model's scores."""

from math import isfinite

import numpy as np

from ..tensor import wrap
from .promotion import check_tensors
from .random import _uniforms


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    """Indices drawn from softmax(logits / temperature): int64 of shape [...] for logits [..., V].

    temperature 0 takes the largest logit. top_k: only the k largest can be drawn. top_p: of what is left, only the
    fewest whose probabilities sum to at least p (nucleus sampling; Holtzman et al., 2020). generator: a nnrt.Generator,
    by default the global one, which gives a number for every row. ValueError for settings out of range and for rows
    that are NaN, +inf, or -inf throughout.
    """
    check_tensors("sample", logits=logits)
    a = logits.array
    _check(a, temperature, top_k, top_p)
    rows = a.reshape(-1, a.shape[-1])
    found = np.empty(len(rows), np.int64)
    numbers = _uniforms((len(rows),), generator).tolist()
    for i, row in enumerate(rows):
        found[i] = _drawn(row, numbers[i], temperature, top_k, top_p)
    return wrap(found.reshape(a.shape[:-1]))


def _drawn(row, number, temperature, top_k, top_p):
    best = row.argmax()  # of a NaN, if there is one
    if not isfinite(row[best]):
        raise ValueError("sample: a row of logits is NaN, +inf, or -inf throughout")
    if temperature < 1e-200:
        return best
    order = None
    if top_k is not None and top_k < len(row):
        order = np.argpartition(row, -top_k)[-top_k:]
    p = (row if order is None else row[order]).astype(np.float64)
    p -= p.max()
    p /= temperature
    np.exp(p, out=p)
    if top_p is not None and top_p < 1:
        falling = np.argsort(-p, kind="stable")
        order = falling if order is None else order[falling]
        p = p[falling]
        sums = p.cumsum()
        p = p[: sums.searchsorted(top_p * sums[-1]) + 1]
    sums = p.cumsum()
    # A number that rounding carries to the total belongs to the last index that can be drawn.
    at = min(sums.searchsorted(number * sums[-1], "right"), sums.searchsorted(sums[-1]))
    return at if order is None else order[at]


def _check(a, temperature, top_k, top_p):
    if a.ndim == 0 or a.dtype.kind != "f" or a.shape[-1] == 0:
        raise ValueError(f"sample: logits must be floating and [..., V] with V > 0, got {a.dtype} of shape {a.shape}")
    check_settings("sample", temperature, top_k, top_p)


def check_settings(op, temperature, top_k, top_p):
    """ValueError unless the settings are ones that :func:`sample` takes."""
    if not 0 <= temperature < np.inf:
        raise ValueError(f"{op}: temperature must be finite and not negative, got {temperature}")
    if top_k is not None and (not hasattr(top_k, "__index__") or top_k < 1):
        raise ValueError(f"{op}: top_k must be None or an integer of at least 1, got {top_k!r}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"{op}: top_p must be None or above 0 and at most 1, got {top_p}")
