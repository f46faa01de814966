"""Scaled dot-product attention (specification).

Legend: B batch, H heads of the queries, G heads of keys and values (head h attends to head h // (H / G)),
L queries, S keys, D size of a query and a key, E size of a value.

    s[i, j] = scale Σ_d q[i, d] k[j, d] + mask[i, j]
    out[i]  = Σ_j p[i, j] v[j],   p = softmax of s over j;   lse[i] = log Σ_j exp s[i, j]

What a boolean mask leaves out, and with causal every j > i + first, has s = -inf. A row of nothing else gives 0 and
lse = -inf. Query i stands at position i + first, key j at j. Arrays are q [B, H, L, D], k [B, G, S, D], v [B, G, S, E],
out [B, H, L, E] of any strides whose last axis is contiguous; mask is None or broadcast to [B, H, L, S], bool or of q's
dtype, of any strides; lse [B, H, L] is contiguous.

Further terms of s, each None or: slopes [H], -slopes[h] |i + first - j| (ALiBi); relative [B, H, L, 2 R + 1], strided as q
is, its element at the distance j - i - first, cut to -R .. R (Shaw et al.). mass [B, H, L, 2 R + 1], where it is asked for,
holds the sums of a query's weights at each of these distances.

parts: None, or a pattern as a tuple of parts, which no pair of query and key shares. A part is a tuple of arrays (q_index,
k_index, q_at, k_at, first, block, mask, words), int64 but for the last: block t of the queries is q_index[q_at[t] :
q_at[t + 1]], or these positions themselves where q_index is None; the same for keys. Queries t meet the key blocks
block[first[t] : first[t + 1]], each with its mask: -1 means all of it, else bit l of the uint64 words[64 mask + r] says
whether query l of the one block meets key r of the other. Blocks have at most 64 rows, and the first part has all queries.

Dropout with probability p zeroes elements of the softmax and divides the others by 1 - p. The decisions for keys
8a .. 8a+7 of query i of head n = b H + h are the 16-bit halves (low one first) of the four words of Philox block
offset + (n ceil(S / 8) + a) L + i, stream 2 of random.py; a half below p 2^16 (rounded) drops.
"""

import numpy as np

from . import Out
from .random import _blocks


def attention(
    out: Out, lse: Out, mass: Out, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset
):
    """out; lse and mass, which may be None."""
    s = _scores(q, k, mask, slopes, relative, parts, scale, causal, first)
    top = s.max(-1, initial=-np.inf)
    top = np.where(top == -np.inf, 0, top)
    with np.errstate(divide="ignore"):
        total = top + np.log(np.exp(s - top[..., None]).sum(-1))
    if lse is not None:
        lse[...] = total
    w = _softmax(s, total) * _kept(s.shape, p, seed, offset, s.dtype)
    out[...] = w @ _per_head(v, q)
    if mass is not None:
        mass[...] = _by_distance(w, mass.shape[-1], first)


def attention_backward(
    dq: Out, dk: Out, dv: Out, drelative: Out, dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale,
    causal, first, p, seed, offset,
):  # fmt: skip
    """Gradients in the layouts of q, k, v and relative; each may be None. dmass is that of mass, None without one."""
    forward = (q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset)
    w, ds, kept = _backward(dout, dmass, out, lse, mass, *forward)
    if dv is not None:
        dv[...] = _per_group((w * kept).swapaxes(-1, -2) @ dout, v)  # out = (p kept) v
    if dq is not None:
        dq[...] = scale * (ds @ _per_head(k, q))  # s = scale q kᵀ
    if dk is not None:
        dk[...] = scale * _per_group(ds.swapaxes(-1, -2) @ q, k)
    if drelative is not None:
        drelative[...] = _by_distance(ds, drelative.shape[-1], first)  # s[i, j] += relative[i, j - i]


def mask_backward(
    dmask: Out, dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset
):
    """dmask, of mask's shape before it was broadcast, filled up to 4 axes: the sum of ds over what it served."""
    forward = (q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset)
    ds = _backward(dout, dmass, out, lse, mass, *forward)[1]
    axes = tuple(i for i in range(4) if dmask.shape[i] == 1)
    dmask[...] = ds.sum(axes, keepdims=True)


def _backward(dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset):
    """p, ds and what dropout multiplies p with."""
    w = _softmax(_scores(q, k, mask, slopes, relative, parts, scale, causal, first), lse)
    kept = _kept(w.shape, p, seed, offset, w.dtype)
    dw = dout @ _per_head(v, q).swapaxes(-1, -2)  # out = (p kept) v
    sums = (dout * out).sum(-1, keepdims=True)
    if dmass is not None:
        dw += np.take_along_axis(dmass, _distances(w.shape, dmass.shape[-1], first), -1)  # mass[i, j - i] += p kept
        sums += (dmass * mass).sum(-1, keepdims=True)
    return w, w * (dw * kept - sums), kept  # p = softmax(s); Σ_j dp p = <dout, out> + <dmass, mass>


def _scores(q, k, mask, slopes, relative, parts, scale, causal, first):
    s = scale * (q @ _per_head(k, q).swapaxes(-1, -2))
    queries, keys = s.shape[-2:]
    i, j = np.arange(first, first + queries)[:, None], np.arange(keys)
    if relative is not None:
        s += np.take_along_axis(relative, _distances(s.shape, relative.shape[-1], first), -1)
    if slopes is not None:
        s -= slopes[:, None, None] * abs(i - j)
    if mask is not None:
        s += np.where(mask, 0, -np.inf) if mask.dtype == bool else mask  # as in torch, NaN stays NaN behind a mask
    if causal:
        s = np.where(j <= i, s, -np.inf)
    if parts is not None:
        s = np.where(_met(parts, queries, keys), s, -np.inf)
    return s.astype(q.dtype, copy=False)


def _distances(shape, width, first):
    """Where pair i, j is along an axis of distances."""
    i, j, reach = np.arange(first, first + shape[2])[:, None], np.arange(shape[3]), width // 2
    return np.broadcast_to(np.clip(j - i, -reach, reach) + reach, shape)


def _by_distance(x, width, first):
    """Sums of x[..., i, j] over the keys j at each distance from i."""
    at = _distances(x.shape, width, first)
    return np.stack([np.where(at == d, x, 0).sum(-1) for d in range(width)], -1)


def _met(parts, queries, keys):
    """Whether query i meets key j, [L, S]."""
    met = np.zeros((queries, keys), bool)
    for q_index, k_index, q_at, k_at, first, block, mask, words in parts:
        q_index = np.arange(queries) if q_index is None else q_index
        k_index = np.arange(keys) if k_index is None else k_index
        for t in range(len(first) - 1):
            rows = q_index[q_at[t] : q_at[t + 1]]
            for n in range(first[t], first[t + 1]):
                cols = k_index[k_at[block[n]] : k_at[block[n] + 1]]
                bits = np.uint64(2**64 - 1) if mask[n] < 0 else words[64 * mask[n] :][: len(cols)]
                met[np.ix_(rows, cols)] |= bits >> np.arange(len(rows), dtype=np.uint64)[:, None] & np.uint64(1) > 0
    return met


def _softmax(s, lse):
    return np.exp(s - np.where(lse == -np.inf, 0, lse)[..., None])


def _per_head(a, q):
    return np.repeat(a, q.shape[1] // max(a.shape[1], 1), axis=1)


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
