"""Softmax over many classes of unequal frequency (Grave et al., "Efficient softmax approximation for GPUs", 2017).

    log p(c) = head_c                                 for a class of the shortlist
    log p(c) = head_{cluster of c} + tail_c           for the others, in their cluster

Legend: N samples, E features; classes are numbered by falling frequency.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

from ..ops.create import zeros
from ..ops.index import gather
from ..ops.join import cat
from ..tensor import Tensor
from . import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

_Result = namedtuple("ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """Of input [N, E] (or [E]) and classes [N]: (log p of the classes, their mean with the sign changed).

    cutoffs: rising class numbers at which the clusters begin; cluster i has E // div_value ** (i + 1) features.
    """

    def __init__(
        self, in_features: int, n_classes: int, cutoffs: Sequence[int], div_value: float = 4.0,
        head_bias: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        cutoffs = list(cutoffs)
        if not cutoffs or cutoffs != sorted({*cutoffs}) or not 0 < cutoffs[0] <= cutoffs[-1] < n_classes:
            raise ValueError(f"cutoffs must rise between 0 and n_classes = {n_classes}, got {cutoffs}")
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = cutoffs + [n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        where = {"device": device, "dtype": dtype}
        self.head = Linear(in_features, self.head_size, bias=head_bias, **where)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            size, features = self.cutoffs[i + 1] - self.cutoffs[i], int(in_features // div_value ** (i + 1))
            first = Linear(in_features, features, bias=False, **where)
            self.tail.append(Sequential(first, Linear(features, size, bias=False, **where)))

    def reset_parameters(self) -> None:
        for layer in [self.head, *[part for tail in self.tail for part in tail]]:
            layer.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> _Result:
        if input.shape[:-1] != target.shape or target.ndim > 1:
            got = f"got {input.shape} and {target.shape}"
            raise RuntimeError(f"AdaptiveLogSoftmaxWithLoss: wants input [N, E] and target [N], or [E] and [], {got}")
        x, t = input.reshape(-1, self.in_features), target.reshape(-1)
        if t.numel() and not 0 <= t.min().item() <= t.max().item() < self.n_classes:
            got = f"got {t.min().item()} to {t.max().item()}"
            raise RuntimeError(f"AdaptiveLogSoftmaxWithLoss: target must be within 0 and {self.n_classes - 1}, {got}")
        head = F.log_softmax(self.head(x), 1)
        output = zeros(len(t), dtype=x.dtype)
        for i, low in enumerate([0, *self.cutoffs[:-1]]):
            rows = ((t >= low) & (t < self.cutoffs[i])).nonzero()[:, 0]
            if i and not len(rows):
                continue
            place = t[rows] - low if i == 0 else 0 * rows + self.shortlist_size + i - 1
            found = gather(head[rows], 1, place.unsqueeze(1))
            if i:
                found = found + gather(F.log_softmax(self.tail[i - 1](x[rows]), 1), 1, (t[rows] - low).unsqueeze(1))
            output = output.index_add(0, rows, found[:, 0])
        return _Result(output.reshape(target.shape), -output.mean())

    def log_prob(self, input: Tensor) -> Tensor:
        """log p of all classes, [N, n_classes]."""
        head = F.log_softmax(self.head(input), 1)
        rest = [
            F.log_softmax(tail(input), 1) + head[:, self.shortlist_size + i].unsqueeze(1)
            for i, tail in enumerate(self.tail)
        ]
        return cat([head[:, : self.shortlist_size], *rest], 1)

    def predict(self, input: Tensor) -> Tensor:
        """The likeliest class of each sample, [N]."""
        return self.log_prob(input).argmax(1)
