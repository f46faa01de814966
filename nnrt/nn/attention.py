"""Attention layers: many heads (Vaswani et al., 2017), and the scores of earlier sequence models."""

from __future__ import annotations

import math
from typing import Any

from ..autograd import grad_enabled
from ..ops import multihead
from ..ops.create import empty, zeros
from ..ops.linear import linear, matmul
from ..ops.promotion import check_tensors
from ..ops.sinusoids import check_length
from ..tensor import Tensor, wrap
from . import init
from .activation import GELU
from .conv import Conv1d
from .linear import Linear
from .module import Module
from .norm import LayerNorm
from .parameter import Parameter


class MultiheadAttention(Module):
    """Attention in num_heads subspaces of embed_dim; names, arguments and masks are torch's.

    Input query [L, N, E], key [S, N, kdim] and value [S, N, vdim] ([N, L, E] ... with batch_first, without N for a
    single sequence), output of query's shape and the weights [N, L, S] (None with need_weights=False, which is the
    fast way). `in_proj_weight` [3E, E] where kdim = vdim = E, else `q_proj_weight`, `k_proj_weight`, `v_proj_weight`.
    """

    bias_k: Parameter | None
    bias_v: Parameter | None

    def __init__(
        self, embed_dim: int, num_heads: int, dropout: float = 0.0, bias: bool = True, add_bias_kv: bool = False,
        add_zero_attn: bool = False, kdim: int | None = None, vdim: int | None = None, batch_first: bool = False,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: embed_dim must be a positive multiple of num_heads, got {embed_dim} and {num_heads}"
            )
        made = {"device": device, "dtype": dtype}
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        self.add_zero_attn = add_zero_attn
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        packed = {"in_proj_weight": (3 * embed_dim, embed_dim)}
        apart = {f"{name}_proj_weight": (embed_dim, d) for name, d in zip("qkv", (embed_dim, self.kdim, self.vdim))}
        for name, shape in (apart | packed).items():
            wanted = (name in packed) == self._qkv_same_embed_dim
            self.register_parameter(name, Parameter(empty(shape, **made)) if wanted else None)
        self.register_parameter("in_proj_bias", Parameter(empty(3 * embed_dim, **made)) if bias else None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, **made)
        for name in ("bias_k", "bias_v"):
            self.register_parameter(name, Parameter(empty(1, 1, embed_dim, **made)) if add_bias_kv else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        for name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
            if getattr(self, name) is not None:
                init.xavier_uniform_(getattr(self, name))
        self.out_proj.reset_parameters()
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, key_padding_mask: Tensor | None = None, need_weights: bool = True,
        attn_mask: Tensor | None = None, average_attn_weights: bool = True, is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """(output, weights). Masks: True where a query must not look, or added to the scores.

        key_padding_mask [N, S]; attn_mask [L, S] or [N num_heads, L, S]; is_causal: attn_mask (if any) is the causal one.
        """
        self._check(query, key, value)
        return multihead.attend_in_order(
            query, key, value, self.batch_first, self.num_heads, self._in_weights(), self.in_proj_bias, self.out_proj.weight,
            self.out_proj.bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout if self.training else 0.0,
            key_padding_mask, attn_mask, is_causal, need_weights, average_attn_weights,
        )  # fmt: skip

    def _in_weights(self):
        if self._qkv_same_embed_dim:
            return self.in_proj_weight
        return self.q_proj_weight, self.k_proj_weight, self.v_proj_weight

    def _check(self, query, key, value):
        wanted = (("query", query, self.embed_dim), ("key", key, self.kdim), ("value", value, self.vdim))
        for name, x, size in wanted:
            check_tensors("MultiheadAttention", **{name: x})
            if x.ndim != query.ndim or x.ndim not in (2, 3) or x.shape[-1] != size:
                form = "[N, L, E]" if self.batch_first else "[L, N, E]"
                raise RuntimeError(
                    f"MultiheadAttention: {name} must be {form} or [L, E], E = {size}, got shape {tuple(x.shape)}"
                )

    def macs(self, input_shapes, output_shape):
        projected = math.prod(output_shape) * (3 * self.embed_dim + self.embed_dim)
        length = output_shape[-2] if self.batch_first or len(output_shape) == 2 else output_shape[0]
        return projected + 2 * math.prod(output_shape) * length

    def extra_repr(self) -> str:
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}, batch_first={self.batch_first}"


class KeyValueCache:
    """Keys and values of the tokens that a causal self-attention has seen, with room for so many of n sequences.

    attend(qkv [N, T, 3 dim]) -> [N, T, dim]: attention of T tokens more to themselves and all before them, which then
    count as seen. layer(...): that with what stands around it in a decoder. `length`: how many have been. Nothing is
    differentiated. ValueError where the room does not suffice and for another n or dim.
    """

    def __init__(self, n: int, num_heads: int, room: int, dim: int, dtype: Any = None) -> None:
        if dim % num_heads:
            raise ValueError(f"KeyValueCache: dim must be a multiple of num_heads, got {dim} and {num_heads}")
        self.num_heads = num_heads
        self.length = 0
        self.seen = zeros(2, n, num_heads, room, dim // num_heads, dtype=dtype)

    def attend(self, qkv: Tensor) -> Tensor:
        """The outputs [N, T, dim] of T tokens more, given their queries, keys and values side by side, [N, T, 3 dim]."""
        start = self._taken(qkv, 3)
        return wrap(multihead.cached_attention(qkv.array, self.seen.array, start))

    def layer(self, x, y, qkv, out, norm, up, activation, down, after):
        """A layer for tokens x [N, T, dim] more with their norm y: x + out(attend(qkv(y))), with x as it is then
        x + down(activation(up(norm(x)))), first normalised by `after`, then as it is. All but x and y are modules; those
        which are Linear, GELU and LayerNorm without hooks are not called, but what they do is done with fewer calls.
        """
        parts = qkv, out, norm, up, activation, down, after
        kinds = Linear, Linear, LayerNorm, Linear, GELU, Linear, LayerNorm
        if grad_enabled() or any([type(m) is not kind or m._hooks is not None for m, kind in zip(parts, kinds)]):
            x = x + out(self.attend(qkv(y)))
            x = x + down(activation(up(norm(x))))
            return after(x), x
        from ..ops import decoder

        kind = "gelu" if activation.approximate == "none" else "gelu_tanh"
        qkv, out, up, down = ((m.weight, m.bias) for m in (qkv, out, up, down))
        norm, after = ((m.weight, m.bias, m.eps) for m in (norm, after))
        start = self._taken(y, 1)
        rows = decoder.rows(x.shape[0] * x.shape[1], x.shape[2], x.array.dtype)
        given = rows[0].reshape(x.shape), rows[1].reshape(x.shape)
        given[0][...], given[1][...] = x.array, y.array
        layer = decoder.bind(rows, {}, self.seen.array, x.shape[1], qkv, out, norm, up, kind, down, after)
        decoder.run([layer], rows, start, self.length)
        return wrap(given[1]), wrap(given[0])

    def _taken(self, x, parts):
        """Where the tokens x [N, T, parts dim] come, which count as seen from now on."""
        _, n, heads, room, size = self.seen.array.shape
        if x.ndim != 3 or x.shape[0] != n or x.shape[2] != parts * heads * size:
            name = "qkv" if parts == 3 else "y"
            raise ValueError(f"KeyValueCache: {name} must be [{n}, T, {parts * heads * size}], got shape {tuple(x.shape)}")
        if x.array.dtype != self.seen.array.dtype:
            raise RuntimeError(f"KeyValueCache: made for {self.seen.array.dtype}, got {x.array.dtype}")
        start = self.length
        check_length("KeyValueCache", start + x.shape[1], room)
        self.length += x.shape[1]
        return start


class AdditiveAttention(Module):
    """Scores vᵀ tanh(W_q q + W_k k). Bahdanau et al., 2014.

    forward(query, keys, values=None, key_padding_mask=None) -> (context, weights): query [N, L, query_dim] or
    [N, query_dim], keys [N, S, key_dim], values [N, S, V] (None: the keys); context [N, L, V], weights [N, L, S], or
    without L. key_padding_mask [N, S]: True where a key is padding. `project` makes keys ready once for many queries.
    """

    def __init__(self, query_dim: int, key_dim: int, hidden: int) -> None:
        super().__init__()
        self.query = Linear(query_dim, hidden, bias=False)
        self.key = Linear(key_dim, hidden)
        self.weight = Parameter(empty(hidden))
        init.uniform_(self.weight, -(hidden**-0.5), hidden**-0.5)

    def project(self, keys: Tensor) -> Tensor:
        """W_k keys, for `projected`."""
        return self.key(keys)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, key_padding_mask: Tensor | None = None,
        projected: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        projected = self.project(keys) if projected is None else projected
        return _read(
            self, query, keys, values, key_padding_mask, (self.query.in_features, self.key.in_features),
            lambda q: multihead.additive_scores(self.query(q), projected, self.weight),
        )  # fmt: skip


class BilinearAttention(Module):
    """Scores qᵀ W k. Luong et al., 2015 ("general"). Shapes as AdditiveAttention's; `weight`: [query_dim, key_dim]."""

    def __init__(self, query_dim: int, key_dim: int) -> None:
        super().__init__()
        self.weight = Parameter(empty(query_dim, key_dim))
        init.xavier_uniform_(self.weight)

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, key_padding_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        return _read(
            self, query, keys, values, key_padding_mask, self.weight.shape,
            lambda q: matmul(matmul(q, self.weight), keys.transpose(1, 2)),
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"query_dim={self.weight.shape[0]}, key_dim={self.weight.shape[1]}"


class DotAttention(Module):
    """Scores q · k, times scale (None: 1 / √dim). Luong et al., 2015 ("dot"). Shapes as AdditiveAttention's."""

    def __init__(self, scale: float | None = None) -> None:
        super().__init__()
        self.scale = scale

    def forward(
        self, query: Tensor, keys: Tensor, values: Tensor | None = None, key_padding_mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        scale = keys.shape[-1] ** -0.5 if self.scale is None else self.scale
        return _read(
            self, query, keys, values, key_padding_mask, (keys.shape[-1],) * 2,
            lambda q: matmul(q * scale, keys.transpose(1, 2)),
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"scale={self.scale}"


def _read(module, query, keys, values, key_padding_mask, sizes, scores):
    """What queries [N, L, D], or one [N, D], read from the values; sizes: D of query and keys."""
    name = type(module).__name__
    check_tensors(name, query=query, keys=keys)
    fits = query.ndim in (2, 3) and keys.ndim == 3 and query.shape[0] == keys.shape[0]
    if not fits or (query.shape[-1], keys.shape[-1]) != tuple(sizes):
        raise RuntimeError(
            f"{name}: wants query [N, L, {sizes[0]}] or [N, {sizes[0]}] and keys [N, S, {sizes[1]}], got shapes "
            f"{tuple(query.shape)} and {tuple(keys.shape)}"
        )
    values = keys if values is None else values
    if query.ndim == 3:
        return multihead.attend(scores(query), values, key_padding_mask)
    context, weights = multihead.attend(scores(query.unsqueeze(1)), values, key_padding_mask)
    return context.squeeze(1), weights.squeeze(1)


class PrimerAttention(Module):
    """Causal self-attention whose queries, keys and values pass a depthwise convolution along time. So et al., 2021.

    Input and output [N, T, dim]. `qkv`: the projections, [3 dim, dim]; `conv`: a filter of `width` steps for each of
    their channels, which sees no later step.
    """

    def __init__(self, dim: int, num_heads: int, width: int = 3, dropout: float = 0.0, bias: bool = False) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"PrimerAttention: dim must be a multiple of num_heads, got {dim} and {num_heads}")
        self.dim = dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.qkv = Linear(dim, 3 * dim, bias)
        self.conv = Conv1d(3 * dim, 3 * dim, width, padding=width - 1, groups=3 * dim)
        self.proj = Linear(dim, dim, bias)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 3 or input.shape[2] != self.dim:
            raise RuntimeError(f"PrimerAttention: wants [N, T, {self.dim}], got shape {tuple(input.shape)}")
        x = self.conv(self.qkv(input).transpose(1, 2))[:, :, : input.shape[1]].transpose(1, 2)
        p = self.dropout if self.training else 0.0
        return linear(multihead.self_attention(x, self.num_heads, p, True), self.proj.weight, self.proj.bias)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, num_heads={self.num_heads}"



