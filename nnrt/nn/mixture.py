"""Sparse mixtures of experts."""

from __future__ import annotations

from collections.abc import Callable

from ..ops import mixture
from ..tensor import Tensor
from . import init
from .activation import GELU
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module


class MoE(Module):
    """num_experts networks, of which every row of the input sees the k that a gate ranks first. Shazeer et al., 2017.

    Input and output [..., dim]. expert: makes one expert; by default two linear layers with `hidden` units and a GELU
    between. noisy: in training, trained noise is added to the ranking, which tries other experts. After a call `loss`
    is balance times the unevenness with which experts were used, to be added to what is trained; `counts` says how
    many rows each expert saw. The cost grows with k, not with num_experts.
    """

    loss: Tensor | None
    counts: list[int] | None

    def __init__(
        self, dim: int, num_experts: int, k: int = 2, hidden: int | None = None, noisy: bool = True, balance: float = 1e-2,
        expert: Callable[[], Module] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if not 1 <= k <= num_experts:
            raise ValueError(f"MoE: k must be within 1 and num_experts = {num_experts}, got {k}")
        hidden = 4 * dim if hidden is None else hidden
        self.k = k
        self.balance = balance
        self.gate = Linear(dim, num_experts, bias=False)
        self.noise = Linear(dim, num_experts, bias=False) if noisy else None
        self.experts = ModuleList(
            expert() if expert else Sequential(Linear(dim, hidden), GELU(), Linear(hidden, dim)) for _ in range(num_experts)
        )
        self.loss = self.counts = None
        if noisy:  # at first the noise alone decides, and the experts are used alike
            init.zeros_(self.gate.weight)
            init.zeros_(self.noise.weight)

    def forward(self, input: Tensor) -> Tensor:
        x = input.reshape(-1, input.shape[-1])
        noise = self.noise(x) if self.noise is not None and self.training else None
        gates, chosen, load = mixture.top_k_gates(self.gate(x), self.k, noise)
        self.loss = self.balance * mixture.imbalance(gates, chosen, load)
        self.counts = mixture.counts_of(chosen, len(self.experts))
        return mixture.mixture(x, gates, chosen, self.experts).reshape(input.shape)

    def extra_repr(self) -> str:
        return f"k={self.k}, balance={self.balance}"
