"""The transformer of Vaswani et al., 2017: layers, stacks of them, and the whole; names and arguments are torch's."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ..ops import multihead
from ..ops.create import full
from ..tensor import Tensor
from . import functional as F
from . import init
from .attention import KeyValueCache, MultiheadAttention
from .container import ModuleList
from .dropout import Dropout
from .linear import Linear
from .module import Module
from .norm import LayerNorm

_ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu}


class _Layer(Module):
    """What encoder and decoder layers share: self-attention and the feed-forward part."""

    _cross = False  # whether there is attention to an encoder's output, too

    def __init__(
        self, d_model: int, nhead: int, dim_feedforward: int = 2048, dropout: float = 0.1,
        activation: str | Callable[[Tensor], Tensor] = F.relu, layer_norm_eps: float = 1e-5, batch_first: bool = False,
        norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        made = {"device": device, "dtype": dtype}
        attention = {"dropout": dropout, "bias": bias, "batch_first": batch_first, **made}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        if self._cross:
            self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias, **made)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias, **made)
        self.norm_first = norm_first
        numbers = (1, 2, 3) if self._cross else (1, 2)
        for i in numbers:
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias, **made))
        for i in numbers:
            setattr(self, f"dropout{i}", Dropout(dropout))
        if isinstance(activation, str):
            if activation not in _ACTIVATIONS:
                raise RuntimeError(f"{type(self).__name__}: activation must be 'relu', 'gelu' or callable, got {activation!r}")
            activation = _ACTIVATIONS[activation]
        self.activation = activation

    def _through(self, x, parts):
        """x with what each (part, its norm) adds; the norm comes first or last."""
        if not self.norm_first:
            for part, norm in parts:
                x = F.add_layer_norm(x, part(x), norm.normalized_shape, norm.weight, norm.bias, norm.eps)[0]
            return x
        y = parts[0][1](x)
        for (part, _), (_, norm) in zip(parts, parts[1:]):
            y, x = F.add_layer_norm(x, part(y), norm.normalized_shape, norm.weight, norm.bias, norm.eps)
        return x + parts[-1][0](y)

    def _attend(self, attention, drop, memory, mask, padding, is_causal):
        def part(x):
            keys = x if memory is None else memory
            return drop(attention(x, keys, keys, padding, False, mask, is_causal=is_causal)[0])

        return part

    def _feed(self, drop):
        up, down, kind = self.linear1, self.linear2, self.activation
        kind = "relu" if kind is F.relu else "gelu" if kind is F.gelu else None
        plain = all([type(m) is Linear and m._hooks is None for m in (up, down)]) and self.dropout._hooks is None
        if kind and plain and not (self.dropout.training and self.dropout.p):
            return lambda x: drop(F.feed_forward(x, up.weight, up.bias, down.weight, down.bias, kind))
        return lambda x: drop(down(self.dropout(self.activation(up(x)))))


class TransformerEncoderLayer(_Layer):
    """Self-attention, then two linear layers with an activation between, each added to its input and normalised.

    Input and output [T, N, d_model], or [N, T, d_model] with batch_first. nhead: attention heads, which divide d_model;
    dim_feedforward: the size between the linear layers; dropout: a probability, of attention weights and after each layer;
    norm_first: norms before the parts instead of after the sums, with layer_norm_eps; bias: of all layers. activation:
    "relu", "gelu" or a function; RuntimeError for another name.
    """

    def forward(
        self, src: Tensor, src_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool = False
    ) -> Tensor:
        """Masks as those of MultiheadAttention; is_causal: src_mask, if any, is the causal one."""
        attend = self._attend(self.self_attn, self.dropout1, None, src_mask, src_key_padding_mask, is_causal)
        return self._through(src, [(attend, self.norm1), (self._feed(self.dropout2), self.norm2)])


class TransformerDecoderLayer(_Layer):
    """An encoder layer with attention to an encoder's output, `memory`, between its parts.

    forward(tgt [T, N, d_model], memory [S, N, d_model]) -> [T, N, d_model]; [N, T, d_model] ... with batch_first. Masks
    as those of MultiheadAttention, `memory_` those over the memory; the rest as TransformerEncoderLayer.
    """

    _cross = True

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool = False, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        attend = self._attend(self.self_attn, self.dropout1, None, tgt_mask, tgt_key_padding_mask, tgt_is_causal)
        read = self._attend(
            self.multihead_attn, self.dropout2, memory, memory_mask, memory_key_padding_mask, memory_is_causal
        )
        return self._through(tgt, [(attend, self.norm1), (read, self.norm2), (self._feed(self.dropout3), self.norm3)])

    def remember(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [N, nhead, S, D] of memory [N, S, d_model], for `step`."""
        a = self.multihead_attn
        e, bias = a.embed_dim, a.in_proj_bias
        return multihead.heads_of(F.linear(memory, a.in_proj_weight[e:], None if bias is None else bias[e:]), 2, a.num_heads)

    def step(self, tgt: Tensor, cache: KeyValueCache, seen: tuple[Tensor, Tensor], memory_mask: Tensor | None = None) -> Tensor:
        """forward for tokens [N, T, d_model] behind those in the cache, which see these and themselves, not differentiated.

        seen: what `remember` gave; memory_mask: broadcasts to [N, nhead, T, S], True where a query looks. For a layer with
        batch_first in evaluation mode.
        """

        def attend(x):
            a = self.self_attn
            return a.out_proj(cache.attend(F.linear(x, a.in_proj_weight, a.in_proj_bias)))

        def read(x):
            a = self.multihead_attn
            e, bias = a.embed_dim, a.in_proj_bias
            (q,) = multihead.heads_of(F.linear(x, a.in_proj_weight[:e], None if bias is None else bias[:e]), 1, a.num_heads)
            y = F.scaled_dot_product_attention(q, *seen, memory_mask)
            return a.out_proj(y.transpose(1, 2).reshape(*x.shape))

        return self._through(tgt, [(attend, self.norm1), (read, self.norm2), (self._feed(self.dropout3), self.norm3)])


class TransformerEncoder(Module):
    """num_layers copies of a layer, one after the other, and `norm` at the end.

    enable_nested_tensor and mask_check are torch's and change nothing.
    """

    def __init__(
        self, encoder_layer: Module, num_layers: int, norm: Module | None = None, enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:  # fmt: skip
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(encoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, src: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None, is_causal: bool | None = None
    ) -> Tensor:
        """is_causal None: found out by looking at the mask."""
        is_causal = _is_causal(mask) if is_causal is None else is_causal
        for layer in self.layers:
            src = layer(src, src_mask=mask, src_key_padding_mask=src_key_padding_mask, is_causal=is_causal)
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """num_layers copies of a layer, one after the other, and `norm` at the end."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Module | None = None) -> None:
        super().__init__()
        self.layers = ModuleList(copy.deepcopy(decoder_layer) for _ in range(num_layers))
        self.num_layers = num_layers
        self.norm = norm

    def forward(
        self, tgt: Tensor, memory: Tensor, tgt_mask: Tensor | None = None, memory_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        """tgt_is_causal None: found out by looking at the mask."""
        tgt_is_causal = _is_causal(tgt_mask) if tgt_is_causal is None else tgt_is_causal
        for layer in self.layers:
            tgt = layer(
                tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal,
                memory_is_causal,
            )  # fmt: skip
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder over the source and a decoder over the target that looks at it. Vaswani et al., 2017.

    Neither embeds nor projects: see models.Transformer. num_encoder_layers, num_decoder_layers: how many layers are
    stacked; other arguments, shapes, masks and errors are those of TransformerEncoderLayer and TransformerDecoderLayer.
    custom_encoder and custom_decoder take the place of the stacks that would be made.
    """

    def __init__(
        self, d_model: int = 512, nhead: int = 8, num_encoder_layers: int = 6, num_decoder_layers: int = 6,
        dim_feedforward: int = 2048, dropout: float = 0.1, activation: str | Callable[[Tensor], Tensor] = F.relu,
        custom_encoder: Module | None = None, custom_decoder: Module | None = None, layer_norm_eps: float = 1e-5,
        batch_first: bool = False, norm_first: bool = False, bias: bool = True, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        options = (
            d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype,
        )  # fmt: skip

        def norm():
            return LayerNorm(d_model, layer_norm_eps, bias=bias, device=device, dtype=dtype)

        self.encoder = custom_encoder or TransformerEncoder(TransformerEncoderLayer(*options), num_encoder_layers, norm())
        self.decoder = custom_decoder or TransformerDecoder(TransformerDecoderLayer(*options), num_decoder_layers, norm())
        self._reset_parameters()
        self.d_model = d_model
        self.nhead = nhead
        self.batch_first = batch_first

    def _reset_parameters(self):
        for p in self.parameters():
            if p.ndim > 1:
                init.xavier_uniform_(p)

    def forward(
        self, src: Tensor, tgt: Tensor, src_mask: Tensor | None = None, tgt_mask: Tensor | None = None,
        memory_mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None,
        tgt_key_padding_mask: Tensor | None = None, memory_key_padding_mask: Tensor | None = None,
        src_is_causal: bool | None = None, tgt_is_causal: bool | None = None, memory_is_causal: bool = False,
    ) -> Tensor:  # fmt: skip
        """[T, N, d_model] (or [N, T, d_model]) for src and tgt of such shapes; masks as those of the layers."""
        batch = 0 if self.batch_first else 1
        if src.ndim != tgt.ndim or src.ndim == 3 and src.shape[batch] != tgt.shape[batch]:
            raise RuntimeError(
                f"Transformer: src {tuple(src.shape)} and tgt {tuple(tgt.shape)} must have one batch size, in dim {batch}"
            )
        if src.shape[-1] != self.d_model or tgt.shape[-1] != self.d_model:
            raise RuntimeError(
                f"Transformer: src {tuple(src.shape)} and tgt {tuple(tgt.shape)} must end in d_model = {self.d_model}"
            )
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, tgt_is_causal, memory_is_causal
        )

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Tensor:
        """[sz, sz]: -inf where a key comes after the query, else 0."""
        return full((sz, sz), float("-inf"), dtype=dtype, device=device).triu(1)


def _is_causal(mask):
    """Is this the mask of generate_square_subsequent_mask, or its like in bool?"""
    if mask is None or mask.ndim != 2 or mask.shape[0] != mask.shape[1]:
        return False
    want = Transformer.generate_square_subsequent_mask(mask.shape[0])
    return bool((mask == (want if mask.is_floating_point() else want != 0)).all())
