"""Scaled dot-product attention (specification).

Legend: B batch, H heads of the queries, G heads of keys and values (head h attends to head h // (H / G)),
L queries, S keys, D size of a query and a key, E size of a value.

    s[i, j] = scale Σ_d q[i, d] k[j, d] + mask[i, j]
    out[i]  = Σ_j p[i, j] v[j],   p = softmax of s over j;   lse[i] = log Σ_j exp s[i, j]

What a boolean mask leaves out, and with causal every j > i, has s = -inf. A row of nothing else gives 0 and
lse = -inf. Arrays are q [B, H, L, D], k [B, G, S, D], v [B, G, S, E], out [B, H, L, E] of any strides whose last
axis is contiguous; mask is None or broadcast to [B, H, L, S], bool or of q's dtype, of any strides; lse [B, H, L]
is contiguous.

Dropout with probability p zeroes elements of the softmax and divides the others by 1 - p. The decisions for keys
8a .. 8a+7 of query i of head n = b H + h are the 16-bit halves (low one first) of the four words of Philox block
offset + (n ceil(S / 8) + a) L + i, stream 2 of random.py; a half below p 2^16 (rounded) drops.
"""

import numpy as np

from . import Out
from .random import _blocks


def attention(out: Out, lse: Out, q, k, v, mask, scale, causal, p, seed, offset):
    """out and lse (which may be None)."""
    s = _scores(q, k, mask, scale, causal)
    top = s.max(-1, initial=-np.inf)
    sums = np.exp(s - np.where(top == -np.inf, 0, top)[..., None]).sum(-1)
    with np.errstate(divide="ignore"):
        total = np.where(top == -np.inf, 0, top) + np.log(sums)
    if lse is not None:
        lse[...] = total
    out[...] = (_softmax(s, total) * _kept(s.shape, p, seed, offset, s.dtype)) @ _per_head(v, q)


def attention_backward(dq: Out, dk: Out, dv: Out, dout, out, lse, q, k, v, mask, scale, causal, p, seed, offset):
    """Gradients in the layouts of q, k and v; each may be None."""
    w, ds, kept = _backward(dout, out, lse, q, k, v, mask, scale, causal, p, seed, offset)
    if dv is not None:
        dv[...] = _per_group((w * kept).swapaxes(-1, -2) @ dout, v)  # out = (p kept) v
    if dq is not None:
        dq[...] = scale * (ds @ _per_head(k, q))  # s = scale q kᵀ
    if dk is not None:
        dk[...] = scale * _per_group(ds.swapaxes(-1, -2) @ q, k)


def mask_backward(dmask: Out, dout, out, lse, q, k, v, mask, scale, causal, p, seed, offset):
    """dmask, of mask's shape before it was broadcast, filled up to 4 axes: the sum of ds over what it served."""
    ds = _backward(dout, out, lse, q, k, v, mask, scale, causal, p, seed, offset)[1]
    axes = tuple(i for i in range(4) if dmask.shape[i] == 1)
    dmask[...] = ds.sum(axes, keepdims=True)


def _backward(dout, out, lse, q, k, v, mask, scale, causal, p, seed, offset):
    """p, ds and what dropout multiplies p with."""
    w = _softmax(_scores(q, k, mask, scale, causal), lse)
    kept = _kept(w.shape, p, seed, offset, w.dtype)
    dw = dout @ _per_head(v, q).swapaxes(-1, -2) * kept  # out = (p kept) v
    return w, w * (dw - (dout * out).sum(-1, keepdims=True)), kept  # p = softmax(s); Σ_j dw p = <dout, out>


def _scores(q, k, mask, scale, causal):
    s = scale * (q @ _per_head(k, q).swapaxes(-1, -2))
    if causal:
        s = np.where(np.tri(*s.shape[-2:], dtype=bool), s, -np.inf)
    if mask is not None:
        s = np.where(mask, s, -np.inf) if mask.dtype == bool else s + mask
    return s.astype(q.dtype, copy=False)


def _softmax(s, lse):
    return np.exp(s - np.where(lse == -np.inf, 0, lse)[..., None])


def _per_head(a, q):
    return np.repeat(a, q.shape[1] // a.shape[1], axis=1)


def _per_group(a, like):
    """Sums over the heads that share one of like's."""
    b, h, *rest = a.shape
    return a.reshape(b, like.shape[1], h // like.shape[1], *rest).sum(2) if a.size else 0


def _kept(shape, p, seed, offset, dtype):
    """1 / (1 - p) or 0 for every element of the softmax."""
    if p == 0:
        return dtype.type(1)
    b, h, length, keys = shape
    eights = -(-keys // 8)
    words = _blocks(offset, b * h * eights * length, 2, 2**63, seed)
    halves = np.stack([words & np.uint32(0xFFFF), words >> np.uint32(16)], -1)
    halves = halves.reshape(b, h, eights, length, 8).swapaxes(2, 3).reshape(b, h, length, 8 * eights)[..., :keys]
    return np.where(halves < int(p * 2**16 + 0.5), 0, 1 / (1 - p) if p < 1 else 0).astype(dtype)
