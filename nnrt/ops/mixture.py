"""Mixtures of experts, of which each row sees the best k. Shazeer et al., 2017.

    H(x) = x W_g + ε softplus(x W_n), ε ~ N(0, 1);  gates = softmax of the k largest H(x);  y = Σ_j gate_j expert_j(x)

Experts should be used alike: importance_e = Σ_x gate_e and load_e, the number of rows that e is expected to see (the
probability that it would be chosen if its own noise were drawn again), are to vary little: CV² = variance / mean².

Legend: N rows, E experts, k chosen ones, D features.
"""

import math

import numpy as np

from ..tensor import wrap
from .activation import softplus
from .create import zeros
from .index import gather, index_select
from .join import cat
from .random import randn_like
from .softmax import softmax
from .sort import topk
from .unary import erf


def top_k_gates(logits, k, noise=None):
    """(gates [N, k], chosen [N, k], load [E]) of logits [N, E]; noise: x W_n, or None for none.

    load has a gradient with noise, and is a count without (or where all experts are chosen).
    """
    experts = logits.shape[1]
    if not 1 <= k <= experts:
        raise ValueError(f"top_k_gates: k must be within 1 and {experts}, the number of experts, got {k}")
    if noise is None:
        values, chosen = topk(logits, k, 1)
        return softmax(values, 1), chosen, _counts(chosen, experts, logits.dtype)
    spread = softplus(noise)
    scores = logits + randn_like(logits) * spread
    values, order = topk(scores, min(k + 1, experts), 1)
    chosen = order[:, :k]
    gates = softmax(values[:, :k], 1)
    if k == experts:
        return gates, chosen, _counts(chosen, experts, logits.dtype)
    inside = scores > values[:, k:]
    rival = values[:, k:] * inside.to(logits.dtype) + values[:, k - 1 : k] * (~inside).to(logits.dtype)
    chance = 0.5 * (1 + erf((logits - rival) / (spread * math.sqrt(2))))
    return gates, chosen, chance.sum(0)


def counts_of(chosen, experts):
    """How many rows chose each expert, as a list."""
    return np.bincount(chosen.array.reshape(-1), minlength=experts).tolist()


def _counts(chosen, experts, dtype):
    return wrap(np.array(counts_of(chosen, experts), dtype))


def imbalance(gates, chosen, load):
    """CV²(importance) + CV²(load)."""
    experts = load.shape[0]
    importance = zeros(experts, dtype=gates.dtype).scatter_add(0, chosen.reshape(-1), gates.reshape(-1))
    return _variation(importance) + _variation(load)


def _variation(x):
    return x.var(unbiased=False) / (x.mean() ** 2 + 1e-10)


def mixture(x, gates, chosen, experts):
    """Σ_j gates[:, j] experts[chosen[:, j]](x), [N, D]: each expert runs once, on the rows that chose it."""
    n, k = chosen.shape
    if n == 0:
        return x * 1
    flat = chosen.array.reshape(-1)
    order = np.argsort(flat, kind="stable")
    counts = counts_of(chosen, len(experts))
    parts = index_select(x, 0, wrap(order // k)).split(counts)
    y = cat([expert(part) for expert, part, count in zip(experts, parts, counts) if count])
    y = y * gather(gates.reshape(-1), 0, wrap(order)).unsqueeze(1)
    places = np.empty_like(order)
    places[order] = np.arange(order.size)
    return index_select(y, 0, wrap(places)).reshape(n, k, y.shape[1]).sum(1)
