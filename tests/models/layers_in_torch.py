"""Layers that models of text want and torch does not have, made of torch's."""

from nnrt.nn import attention_patterns


def add_layers(torch, namespace):
    """Puts them into the namespace that stands for nnrt.nn."""
    nn, F = torch.nn, torch.nn.functional

    class SquaredReLU(nn.Module):
        def forward(self, x):
            return F.relu(x).square()

    class SpatialGatingUnit(nn.Module):
        def __init__(self, dim, length):
            super().__init__()
            self.norm = nn.LayerNorm(dim // 2)
            self.weight = nn.Parameter(torch.empty(length, length))
            self.bias = nn.Parameter(torch.empty(length))

        def forward(self, x):
            u, v = x.chunk(2, -1)
            return u * (torch.einsum("ts,nsd->ntd", self.weight, self.norm(v)) + self.bias[:, None])

    class PrimerAttention(nn.Module):
        def __init__(self, dim, heads, dropout, bias):
            super().__init__()
            self.heads = heads
            self.qkv = nn.Linear(dim, 3 * dim, bias)
            self.conv = nn.Conv1d(3 * dim, 3 * dim, 3, groups=3 * dim)
            self.proj = nn.Linear(dim, dim, bias)

        def forward(self, x):
            x = self.conv(F.pad(self.qkv(x).transpose(1, 2), (2, 0))).transpose(1, 2)
            q, k, v = (a.unflatten(-1, (self.heads, -1)).transpose(1, 2) for a in x.chunk(3, -1))
            return self.proj(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2))

    class MoE(nn.Module):
        def __init__(self, dim, experts, k, balance, expert):
            super().__init__()
            self.k = k
            self.gate = nn.Linear(dim, experts, bias=False)
            self.noise = nn.Linear(dim, experts, bias=False)
            self.experts = nn.ModuleList(expert() for _ in range(experts))

        def forward(self, x):
            logits = self.gate(x)
            least = logits.topk(self.k, -1).values[..., -1:]
            gates = logits.masked_fill(logits < least, -torch.inf).softmax(-1)
            return sum(gates[..., i : i + 1] * expert(x) for i, expert in enumerate(self.experts))

    class AdditiveAttention(nn.Module):
        def __init__(self, query, key, hidden):
            super().__init__()
            self.query = nn.Linear(query, hidden, bias=False)
            self.key = nn.Linear(key, hidden)
            self.weight = nn.Parameter(torch.empty(hidden))

        def project(self, keys):
            return self.key(keys)

        def forward(self, query, keys, key_padding_mask, projected):
            weights = (torch.tanh(self.query(query)[:, None] + projected) @ self.weight).softmax(-1)
            return (weights[:, None] @ keys)[:, 0], weights

    class LSTM(nn.LSTM):
        def forward(self, x, lengths):
            return super().forward(x)

    def attention(q, k, v, mask=None, dropout_p=0.0, is_causal=False, pattern=None):
        if pattern is not None:
            met = torch.tensor(pattern.mask(q.shape[2]))
            mask = met if mask is None else met & mask
        return F.scaled_dot_product_attention(q, k, v, mask, dropout_p, is_causal)

    namespace.functional.scaled_dot_product_attention = attention
    namespace.attention_patterns = attention_patterns
    for layer in (SquaredReLU, SpatialGatingUnit, PrimerAttention, MoE, AdditiveAttention, LSTM):
        setattr(namespace, layer.__name__, layer)
