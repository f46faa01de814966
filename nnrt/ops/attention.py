"""Scaled dot-product attention.

    out = softmax(scale q kᵀ + mask) v

Legend: B batch, H heads of the queries, G heads of keys and values, L queries, S keys, D size of a query and a key,
E size of a value. Kernels see q [B, H, L, D], k [B, G, S, D], v [B, G, S, E] in whatever memory order they have,
and keep of the softmax no more than its normalisers, lse [B, H, L].
"""

import math

import numpy as np

from .. import memory, registry
from ..autograd import on_tape, record, record_many
from ..tensor import Tensor
from . import random
from .arrange import repeat_interleave
from .elementwise import add, mul
from .linear import matmul
from .patterns import Pattern
from .promotion import cast, check_tensors, not_tensors, sum_to
from .shape import transpose

K = registry.family("attention")

OP = "scaled_dot_product_attention"


def scaled_dot_product_attention(
    query, key, value, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None, enable_gqa=False, *,
    pattern=None, relative=None, alibi=None,
) -> Tensor:  # fmt: skip
    """softmax(scale query keyᵀ + attn_mask) value (Vaswani et al., Attention is all you need, 2017).

    query: [..., L, D]; key: [..., S, D]; value: [..., S, E]; result: [..., L, E]. Leading axes broadcast; with
    enable_gqa the axis in front of L may be a multiple of that in front of S, and its consecutive heads share one of
    key and value. attn_mask broadcasts to [..., L, S]: where a boolean one is False nothing is attended to, a
    floating one is added (and may want a gradient). is_causal leaves out the keys after the query's position.
    A query left with no key gives 0. dropout_p: the probability with which weights are zeroed, always applied.
    scale: 1 / sqrt(D) by default.

    pattern: one of nn.attention_patterns, for L = S: only the pairs that it names are computed. relative: a pair of
    [2 R + 1, D] and [2 R + 1, E], the latter may be None: vectors added to key and value by the distance j - i, cut to
    -R .. R (Shaw, Uszkoreit and Vaswani, Self-attention with relative position representations, 2018). alibi: True, or a
    slope for each head: -slope |i - j| is added (Press, Smith and Lewis, Train short, test long, 2021).

    Memory grows with L + S, not with L S. RuntimeError for shapes and dtypes that do not fit, for a mask together
    with is_causal, and for dropout_p outside of [0, 1].
    """
    if not (isinstance(query, Tensor) and isinstance(key, Tensor) and isinstance(value, Tensor)):
        raise not_tensors(OP, query=query, key=key, value=value)
    if not 0 <= dropout_p <= 1:
        raise RuntimeError(f"{OP}: dropout_p must be within 0 and 1, got {dropout_p}")
    q, k, v = query.array, key.array, value.array
    _check(q, k, v, enable_gqa)
    if enable_gqa and k.shape[-3] != v.shape[-3]:
        key, value = (repeat_interleave(t, q.shape[-3] // t.array.shape[-3], -3) for t in (key, value))
        k, v = key.array, value.array
    lead, q, k, v = _four_axes(q, k, v, enable_gqa)
    b, h, length, size = q.shape
    mask = of_mask = slopes = parts = scores = added = None
    if attn_mask is not None:
        if is_causal:
            raise RuntimeError(f"{OP}: attn_mask must be None when is_causal is True")
        attn_mask, of_mask, mask = _mask(attn_mask, lead, (b, h, length, k.shape[2]), q.dtype)
    if scale is None:
        scale = 1 / math.sqrt(size) if size else 1.0
    if alibi is not None and alibi is not False:
        slopes = _slopes(alibi, h, q.dtype)
    if pattern is not None:
        if not isinstance(pattern, Pattern):
            raise TypeError(f"{OP}: pattern must be one of nn.attention_patterns, got {type(pattern).__name__}")
        parts = pattern.parts(length, k.shape[2], bool(is_causal))
        is_causal = False
    bias = None
    if relative is not None:
        keys, added = _relative(relative, size, v.shape[3], q.dtype)
        scores = mul(matmul(query, transpose(keys, 0, 1)), float(scale))
        width = len(keys.array)
        bias = _rows(np.broadcast_to(scores.array, (*lead, length, width))).reshape(b, h, length, width)
    seed = offset = 0
    if dropout_p:
        seed, offset = random._taken(None, b * h * -(-k.shape[2] // 8) * length)
    settings = (mask, slopes, bias, parts, float(scale), bool(is_causal), 0, float(dropout_p), seed, offset)
    out = _like(q, v.shape[3])
    inputs = (query, key, value, attn_mask, scores)
    lse = mass = None
    if on_tape((*inputs, added)):
        lse = memory.empty((b, h, length), q.dtype)
    if added is not None:
        mass = memory.empty((b, h, length, len(added.array)), q.dtype)
    K.attention(out, lse, mass, q, k, v, *settings)
    y = out if lead == (b, h) else out.reshape(lead + out.shape[2:])
    if added is None:
        return record(y, scaled_dot_product_attention_backward, inputs, (y, None, *inputs, of_mask, lse, q, k, v, settings))
    mass = mass.reshape(lead + mass.shape[2:])
    saved = (y, mass, *inputs, of_mask, lse, q, k, v, settings)
    y, mass = record_many((y, mass), scaled_dot_product_attention_backward, inputs, saved)
    return add(y, matmul(mass, added))


def scaled_dot_product_attention_backward(node, dy, dmass=None):
    y, mass, *inputs, of_mask, lse, q, k, v, settings = node.saved
    lead = y.shape[:-2]

    def four(a, size):
        return None if a is None else _rows(a).reshape(q.shape[:3] + (size,))

    out, width = four(y, v.shape[3]), settings[2].shape[3] if settings[2] is not None else 0
    dout = four(np.zeros_like(y) if dy is None else dy, v.shape[3])
    sums = (None, None) if dmass is None else (four(dmass, width), four(mass, width))
    grads = [_like(a, a.shape[3]) if node.needs(i) else None for i, a in enumerate((q, k, v))]
    together = q.base is not None and q.base is k.base is v.base and q.strides == k.strides == v.strides
    if together and node.needs(0) and node.needs(1) and node.needs(2):
        b, h, length, size = q.shape
        if q.shape == v.shape and q.strides[2] == 3 * h * q.strides[1]:  # side by side, as a projection makes them
            grads = list(memory.empty((b, length, 3, h, size), q.dtype).transpose(2, 0, 3, 1, 4))
    drelative = memory.empty(settings[2].shape, q.dtype) if node.needs(4) else None
    if any([g is not None for g in grads]) or drelative is not None:
        K.attention_backward(*grads, drelative, dout, sums[0], out, lse, sums[1], q, k, v, *settings)
    grads = [g if g is None else _restored(g, x, lead) for g, x in zip(grads, inputs)]
    dmask = None
    if node.needs(3):
        dmask = memory.empty(of_mask, q.dtype)
        K.mask_backward(dmask, dout, sums[0], out, lse, sums[1], q, k, v, *settings)
        shape = inputs[3].shape
        dmask = dmask.reshape(shape) if dmask.size == inputs[3].size else sum_to(dmask.reshape(lead + of_mask[2:]), shape)
    return *grads, dmask, drelative if drelative is None else _restored(drelative, inputs[4], lead)


def _slopes(alibi, heads, dtype):
    """alibi as an array [H]. True: 2^(-8 / H), 2^(-16 / H) ..., or of the next power of two every other one behind those of
    the last."""
    if alibi is True:
        power = 2 ** int(math.log2(heads)) if heads else 1
        slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
        slopes += [2 ** (-4 * (i + 1) / power) for i in range(0, 2 * (heads - power), 2)]
        return np.array(slopes[:heads], dtype)
    slopes = np.ascontiguousarray(alibi.array if isinstance(alibi, Tensor) else alibi, dtype)
    if slopes.shape != (heads,):
        raise RuntimeError(f"{OP}: alibi must be True or one slope for each of {heads} heads, got shape {slopes.shape}")
    return slopes


def _relative(relative, size, width, dtype):
    if not isinstance(relative, (tuple, list)) or len(relative) != 2:
        raise TypeError(f"{OP}: relative must be a pair of Tensors (keys, values), got {type(relative).__name__}")
    keys, values = relative
    for name, t, wanted in (("keys", keys, size), ("values", values, width)):
        if t is None and name == "values":
            continue
        check_tensors(OP, **{f"relative {name}": t})
        a = t.array
        if a.ndim != 2 or a.shape[0] % 2 == 0 or a.shape[1] != wanted or len(a) != len(keys.array) or a.dtype != dtype:
            raise RuntimeError(
                f"{OP}: relative {name} must be [2 R + 1, {wanted}] of {dtype}, one R for both, got {a.dtype} of shape {a.shape}"
            )
    return keys, values


def _check(q, k, v, grouped):
    if not q.dtype == k.dtype == v.dtype or q.dtype.kind != "f":
        raise RuntimeError(
            f"{OP}: wants one floating dtype, got query {q.dtype}, key {k.dtype} and value {v.dtype}"
        )
    least = 3 if grouped else 2
    if q.ndim < least or k.ndim < least or v.ndim < least:
        raise RuntimeError(
            f"{OP}: wants at least {least} dimensions{' with enable_gqa' if grouped else ''}, got query {q.shape}, "
            f"key {k.shape} and value {v.shape}"
        )
    if q.shape[-1] != k.shape[-1]:
        raise RuntimeError(f"{OP}: query {q.shape} and key {k.shape} must have one size along the last axis")
    if k.shape[-2] != v.shape[-2]:
        raise RuntimeError(f"{OP}: key {k.shape} and value {v.shape} must have one length along the last axis but one")
    if grouped:
        h, g, e = q.shape[-3], k.shape[-3], v.shape[-3]
        if not g or not e or h % g or h % e:
            raise RuntimeError(f"{OP}: {h} heads of query are no multiple of {g} heads of key or {e} of value")


def _four_axes(q, k, v, grouped):
    """The leading axes of the result, and q, k, v as [B, H, L, D], [B, G, S, D], [B, G, S, E]; views where possible."""
    if q.ndim == k.ndim == v.ndim == 4 and q.shape[0] == k.shape[0] == v.shape[0] and k.shape[1] == v.shape[1] and (
        q.shape[1] == k.shape[1] or grouped or k.shape[1] == 1
    ):
        return q.shape[:2], _rows(q), _rows(k), _rows(v)
    leads = [a.shape[: -3 if grouped else -2] for a in (q, k, v)]
    try:
        lead = np.broadcast_shapes(*leads)
    except ValueError:
        raise RuntimeError(
            f"{OP}: leading axes of query {q.shape}, key {k.shape} and value {v.shape} do not broadcast"
            + ("" if grouped else "; enable_gqa=True lets heads share keys")
        ) from None
    made = []
    for a in (q, k, v):
        full = lead + a.shape[-3:-2] if grouped else lead
        a = _rows(np.broadcast_to(a, full + a.shape[-2:]))
        made.append(a.reshape((math.prod(full[:-1]), full[-1] if full else 1) + a.shape[-2:]))
    return (lead + q.shape[-3:-2] if grouped else lead), *made


def _rows(a):
    """a with a contiguous last axis."""
    if a.strides[-1] == a.itemsize or a.shape[-1] <= 1:
        return a
    return memory.contiguous(a)


def _mask(mask, lead, shape, dtype):
    """The tensor that a gradient goes to, its array with 4 axes, and that broadcast to shape [B, H, L, S]."""
    check_tensors(OP, attn_mask=mask)
    if mask.array.dtype != bool and mask.array.dtype != dtype:
        if mask.array.dtype != np.float32:
            raise RuntimeError(f"{OP}: attn_mask must be bool, float32 or {dtype} as query is, got {mask.array.dtype}")
        mask = cast(mask, dtype)
    a, wanted = mask.array, lead + shape[2:]
    missing = len(wanted) - a.ndim
    if missing < 0 or any([n != m and n != 1 for n, m in zip(a.shape, wanted[missing:])]):
        raise RuntimeError(f"{OP}: attn_mask of shape {a.shape} does not broadcast to {wanted}")
    if len(lead) <= 2:
        four = a.reshape((1,) * (4 - a.ndim) + a.shape)
    else:
        a = a.reshape((1,) * missing + a.shape)
        four = np.broadcast_to(a, lead + a.shape[-2:]).reshape(shape[:2] + a.shape[-2:])
    return mask, four.shape, np.broadcast_to(four, shape)


def _like(q, size):
    """An uninitialised [B, H, L, size] in the memory order of q's axes."""
    b, h, length, _ = q.shape
    if q.strides[1] < q.strides[2]:
        return memory.empty((b, length, h, size), q.dtype).transpose(0, 2, 1, 3)
    return memory.empty((b, h, length, size), q.dtype)


def _restored(g, x, lead):
    """The gradient g [B, G, ...] in the shape of the input x, summed over what was broadcast."""
    if g.shape == x.shape:
        return g
    shape = lead[:-1] + g.shape[1:] if lead else g.shape[2:]
    return sum_to(g if g.shape == shape else g.reshape(shape), x.shape)
