"""Attention between sequences with what stands around it: projections, heads, masks, and scores of other kinds.

    head_h = softmax(Q_h K_hᵀ / √D + mask) V_h,  Q, K, V = x_q W_qᵀ, x_k W_kᵀ, x_v W_vᵀ;  y = (head_1, ..., head_H) W_oᵀ

The products over positions are nnrt.ops.attention's; weights that are asked for are made here.

Legend: N batch, L queries, S keys, E embedding, H heads, D = E / H. A mask is True where a query must not look, or is
added to the scores. Vaswani et al., 2017; Bahdanau et al., 2014 (additive); Luong et al., 2015 (dot, bilinear).
"""

import math

import numpy as np

from .. import memory, registry
from ..tensor import Tensor, wrap
from .attention import scaled_dot_product_attention
from .create import zeros
from .elementwise import add
from .join import cat
from .linear import linear, matmul
from .promotion import cast, check_tensors
from .random import dropout
from .softmax import softmax
from .transformer import fits, projected_attention
from .unary import tanh

K = registry.family("attention")


def multi_head_attention(
    query, key, value, num_heads, in_weights, in_bias, out_weight, out_bias, bias_k=None, bias_v=None,
    add_zero_attn=False, dropout_p=0.0, key_padding_mask=None, attn_mask=None, is_causal=False, need_weights=False,
    average_attn_weights=True,
):  # fmt: skip
    """(y [N, L, E], weights or None) of query [N, L, E], key [N, S, Ek] and value [N, S, Ev].

    in_weights: one packed [3E, E], or three [E, E], [E, Ek], [E, Ev]; in_bias: [3E] or None. bias_k, bias_v [1, 1, E]:
    a key and a value more; add_zero_attn: another, of zeros. key_padding_mask [N, S], attn_mask [L, S] or [N H, L, S]:
    bool, True where a query must not look, or added. is_causal: query i sees keys up to i. weights: [N, L, S], the
    mean over heads, or [N, H, L, S]. RuntimeError for shapes that do not fit.
    """
    op = "multi_head_attention"
    for name, x in (("query", query), ("key", key), ("value", value)):
        check_tensors(op, **{name: x})
        if x.ndim != 3:
            raise RuntimeError(f"{op}: {name} must be [N, L, E], got shape {tuple(x.shape)}")
    n, length, _ = query.shape
    if key.shape[0] != n or tuple(value.shape[:2]) != tuple(key.shape[:2]):
        raise RuntimeError(
            f"{op}: key {tuple(key.shape)} and value {tuple(value.shape)} must have one length and the batch of "
            f"query {tuple(query.shape)}"
        )
    mask = _mask(op, n, num_heads, length, key.shape[1], key_padding_mask, attn_mask, query.dtype)
    terms = (in_weights, in_bias, out_weight, out_bias)
    if not (need_weights or add_zero_attn) and bias_k is None and key is value and fits(query, key, num_heads, *terms):
        if mask is None or not (is_causal or mask.requires_grad):
            source = None if key is query else key
            return projected_attention(query, source, num_heads, *terms, _looking(mask), dropout_p, is_causal), None
    q, k, v = _heads(query, key, value, num_heads, in_weights, in_bias)
    width = num_heads * q.shape[-1]
    more = 0
    if bias_k is not None:
        k, v = (cat((x, _row(b, num_heads).expand(n, -1, -1, -1)), 2) for x, b in ((k, bias_k), (v, bias_v)))
        more += 1
    if add_zero_attn:
        k, v = (cat((x, zeros(n, num_heads, 1, x.shape[3], dtype=x.dtype)), 2) for x in (k, v))
        more += 1
    if is_causal and (mask is not None or more or need_weights):
        mask = _both(mask, wrap(_ahead(length, key.shape[1])), query.dtype)
        is_causal = False
    if more and mask is not None:
        mask = cat((mask, wrap(np.zeros((*mask.shape[:-1], more), mask.array.dtype))), -1)
    if need_weights:
        scores = matmul(q * (1 / math.sqrt(q.shape[-1])), k.transpose(-2, -1))
        if mask is not None:
            scores = add(scores, mask) if mask.array.dtype.kind == "f" else scores.masked_fill(mask, -math.inf)
        weights = softmax(scores, -1)
        if dropout_p > 0:
            weights = dropout(weights, dropout_p)
        y = matmul(weights, v)
    else:
        weights = None
        y = scaled_dot_product_attention(q, k, v, _looking(mask), dropout_p, is_causal)
    y = linear(y.transpose(1, 2).reshape(n, length, width), out_weight, out_bias)
    if weights is not None and average_attn_weights:
        weights = weights.mean(1)
    return y, weights


def attend_in_order(
    query, key, value, batch_first, num_heads, in_weights, in_bias, out_weight, out_bias, bias_k, bias_v, add_zero_attn,
    dropout_p, key_padding_mask, attn_mask, is_causal, need_weights, average_attn_weights,
):  # fmt: skip
    """multi_head_attention with time first unless batch_first, or without N for a single sequence.

    is_causal: attn_mask, if any, is the causal one.
    """
    single = query.ndim == 2
    if single:
        query, key, value = _together(lambda x: x.unsqueeze(0), query, key, value)
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    elif not batch_first:
        query, key, value = _together(lambda x: x.transpose(0, 1), query, key, value)
    if is_causal and not need_weights and key_padding_mask is None:
        attn_mask = None  # it says the same
    y, weights = multi_head_attention(
        query, key, value, num_heads, in_weights, in_bias, out_weight, out_bias, bias_k, bias_v, add_zero_attn, dropout_p,
        key_padding_mask, attn_mask, is_causal and attn_mask is None, need_weights, average_attn_weights,
    )  # fmt: skip
    if single:
        return y.squeeze(0), None if weights is None else weights.squeeze(0)
    return y if batch_first else y.transpose(0, 1), weights


def multi_head_attention_forward(
    query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn, dropout_p,
    out_proj_weight, out_proj_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
    use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, static_k=None, static_v=None,
    average_attn_weights=True, is_causal=False,
):  # fmt: skip
    """nn.MultiheadAttention as a function: query [L, N, E], key [S, N, Ek], value [S, N, Ev], or without N.

    in_proj_weight [3E, E], or with use_separate_proj_weight q_proj_weight [E, E], k_proj_weight [E, Ek] and v_proj_weight
    [E, Ev]. Other arguments as multi_head_attention's. NotImplementedError for static_k and static_v, RuntimeError for shapes
    that do not fit.
    """
    op = "multi_head_attention_forward"
    if static_k is not None or static_v is not None:
        raise NotImplementedError(f"{op}: static_k and static_v must be None")
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else in_proj_weight
    check_tensors(op, query=query, key=key, value=value)
    if query.ndim not in (2, 3) or not query.ndim == key.ndim == value.ndim or query.shape[-1] != embed_dim_to_check:
        got = ", ".join([str(tuple(x.shape)) for x in (query, key, value)])
        raise RuntimeError(
            f"{op}: query, key and value must be [L, N, E] or [L, E], query with E = {embed_dim_to_check}, got shapes {got}"
        )
    return attend_in_order(
        query, key, value, False, num_heads, weights, in_proj_bias, out_proj_weight, out_proj_bias, bias_k, bias_v, add_zero_attn,
        dropout_p if training else 0.0, key_padding_mask, attn_mask, is_causal, need_weights, average_attn_weights,
    )  # fmt: skip


def _together(function, query, key, value):
    """function of each, calling it once for what is one tensor: the projections look for that."""
    q = function(query)
    k = q if key is query else function(key)
    v = q if value is query else k if value is key else function(value)
    return q, k, v


def _looking(mask):
    """A mask whose bools are True where a query looks."""
    return wrap(~mask.array) if mask is not None and mask.array.dtype.kind == "b" else mask


def _heads(query, key, value, heads, weights, bias):
    """q [N, H, L, D], k and v [N, H, S, D], by as few products as there are different inputs."""
    if isinstance(weights, Tensor):
        if query is key and key is value:
            return heads_of(linear(query, weights, bias), 3, heads)
        e = weights.shape[1]
        first, rest = weights[:e], weights[e:]
        b, c = (None, None) if bias is None else (bias[:e], bias[e:])
        if key is value:
            return *heads_of(linear(query, first, b), 1, heads), *heads_of(linear(key, rest, c), 2, heads)
        weights = (first, *rest.chunk(2))
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return [heads_of(linear(x, w, b), 1, heads)[0] for x, w, b in zip((query, key, value), weights, biases)]


def heads_of(x, parts, heads):
    """[N, L, parts H D] as `parts` views [N, H, L, D]."""
    n, length, width = x.shape
    return x.reshape(n, length, parts, heads, width // (parts * heads)).permute(2, 0, 3, 1, 4).unbind(0)


def _row(b, heads):
    """[1, 1, E] as [1, H, 1, D]."""
    return b.reshape(1, heads, 1, b.shape[-1] // heads)


def _ahead(length, keys):
    """[L, S], True where a key comes after the query."""
    return np.triu(np.ones((length, keys), bool), 1)


def _mask(op, n, heads, length, keys, padding, mask, dtype):
    """Both masks as one that broadcasts to [N, H, L, S], or None."""
    made = None
    if mask is not None:
        mask = _checked(op, "attn_mask", mask, dtype)
        shape = tuple(mask.shape)
        if shape == (n * heads, length, keys):
            made = mask.reshape(n, heads, length, keys)
        elif shape == (length, keys):
            made = mask.reshape(1, 1, length, keys)
        else:
            wanted = f"({length}, {keys}) or ({n * heads}, {length}, {keys})"
            raise RuntimeError(f"{op}: attn_mask has shape {shape}, wanted {wanted}: [L, S] or [N H, L, S]")
    if padding is None:
        return made
    padding = _checked(op, "key_padding_mask", padding, dtype)
    if tuple(padding.shape) != (n, keys):
        raise RuntimeError(f"{op}: key_padding_mask has shape {tuple(padding.shape)}, wanted ({n}, {keys}): [N, S]")
    return _both(made, padding.reshape(n, 1, 1, keys), dtype)


def _checked(op, name, mask, dtype):
    """The mask, a float32 one converted to dtype."""
    check_tensors(op, **{name: mask})
    if mask.array.dtype not in (bool, dtype, np.float32):
        raise RuntimeError(f"{op}: {name} must be bool or {dtype} as query is, got {mask.array.dtype}")
    return mask if mask.array.dtype.kind == "b" else cast(mask, dtype)


def _both(a, b, dtype):
    """Two masks as one: True where either is, or their sum."""
    if a is None:
        return b
    if a.array.dtype.kind == "b" and b.array.dtype.kind == "b":
        return wrap(a.array | b.array)
    return _added(a, dtype) + _added(b, dtype)


def _added(mask, dtype):
    if mask.array.dtype.kind == "f":
        return mask
    return wrap(np.where(mask.array, -np.inf, 0).astype(dtype))


# ---- one query at a time, over a sequence that an encoder made ----


def additive_scores(query, keys, weight):
    """weightᵀ tanh(query + keys): query [N, L, A], keys [N, S, A], weight [A]; result [N, L, S]."""
    return matmul(tanh(query.unsqueeze(2) + keys.unsqueeze(1)), weight)


def attend(scores, values, key_padding_mask=None):
    """(Σ_s w_s values_s [N, L, V], w [N, L, S]), w = softmax(scores) over the keys that are not padding.

    key_padding_mask: [N, S], True where a key is padding.
    """
    n, _, keys = scores.shape
    if tuple(values.shape[:2]) != (n, keys):
        raise RuntimeError(f"attend: values {tuple(values.shape)} must be [{n}, {keys}, V] as the keys of the scores")
    if key_padding_mask is not None:
        check_tensors("attend", key_padding_mask=key_padding_mask)
        if tuple(key_padding_mask.shape) != (n, keys):
            got = tuple(key_padding_mask.shape)
            raise RuntimeError(f"attend: key_padding_mask has shape {got}, wanted ({n}, {keys})")
        if key_padding_mask.array.dtype != bool:
            raise RuntimeError(f"attend: key_padding_mask must be bool, got {key_padding_mask.array.dtype}")
        scores = scores.masked_fill(key_padding_mask.unsqueeze(1), -math.inf)
    weights = softmax(scores, -1)
    return matmul(weights, values), weights


def self_attention(qkv, heads, dropout_p=0.0, is_causal=False, **options):
    """[N, T, E] of queries, keys and values side by side, [N, T, 3E]; options are scaled_dot_product_attention's."""
    n, length, width = qkv.shape
    q, k, v = heads_of(qkv, 3, heads)
    y = scaled_dot_product_attention(q, k, v, dropout_p=dropout_p, is_causal=is_causal, **options)
    return y.transpose(1, 2).reshape(n, length, width // 3)


def cached_attention(qkv, cache, start):
    """self_attention of tokens from position `start` on, which see the earlier ones in cache, and leave theirs there.

    Arrays: qkv [N, T, 3E], cache [2, N, H, room, D] of keys and values, the result [N, T, E].
    """
    n, length, width = qkv.shape
    heads, size = cache.shape[2], cache.shape[4]
    parts = memory.contiguous(qkv).reshape(n, length, 3, heads, size).transpose(2, 0, 3, 1, 4)
    end = start + length
    cache[:, :, :, start:end] = parts[1:]
    k, v = cache[:, :, :, :end]
    out = memory.empty((n, length, width // 3), cache.dtype)
    y = out.reshape(n, length, heads, size).transpose(0, 2, 1, 3)
    K.attention(y, None, None, parts[0], k, v, None, None, None, None, size**-0.5, length > 1, start, 0.0, 0, 0)
    return out
