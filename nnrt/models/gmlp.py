"""gMLP: no attention, positions are mixed by gates. Liu et al., "Pay attention to MLPs", 2021.

    x -> norm -> W_1 -> GELU -> spatial gating -> W_2 -> + x,  layers times
"""

from .. import nn
from ..nn import functional as F


class GMLP(nn.Module):
    """Logits [N, length, vocab] for ids [N, length]: of the tokens there, to be trained as BERT is (see mask_tokens).

    hidden: size between a layer's two products, even, by default 6 dim. ValueError for ids of another length.
    """

    def __init__(self, vocab, length, layers=12, dim=256, hidden=None):
        super().__init__()
        self.length = length
        hidden = 6 * dim if hidden is None else hidden
        self.embedding = nn.Embedding(vocab, dim)
        self.layers = nn.ModuleList(GMLPBlock(dim, hidden, length) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, vocab)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, ids):
        if ids.ndim != 2 or ids.shape[1] != self.length:
            raise ValueError(f"GMLP: ids must be [N, {self.length}], got shape {tuple(ids.shape)}")
        x = self.embedding(ids)
        for layer in self.layers:
            x = layer(x)
        return self.out(self.norm(x))


class GMLPBlock(nn.Module):
    """x + W_2 gating(gelu(W_1 norm(x))), [N, length, dim]."""

    def __init__(self, dim, hidden, length):
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.proj_in = nn.Linear(dim, hidden)
        self.gate = nn.SpatialGatingUnit(hidden, length)
        self.proj_out = nn.Linear(hidden // 2, dim)

    def forward(self, x):
        return x + self.proj_out(self.gate(F.gelu(self.proj_in(self.norm(x)))))
