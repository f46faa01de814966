"""Attention in Numba: blocks of queries against stretches of keys, by the products of linear. See nnrt._ref.attention."""

import numpy as np

from nnrt._ref import attention as ref

from .compiled import jit
from .linear import gemm
from .maps import floats
from .random import _block

ROWS, COLS = 256, 1024  # of a block: scores of 1 MB


def attention(out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset):
    forward = q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset
    if not floats(q):
        return ref.attention(out, lse, mass, *forward)
    given = q, k, mask, slopes, relative, scale, causal, first
    if lse is None:
        lse = np.empty(q.shape[:3], q.dtype)
    for b, h, g in _heads(q, k):
        for again, rows, runs in _blocks(parts, q.shape[2], k.shape[2], causal, first):
            count = len(q[b, h, rows])
            top = lse[b, h, rows].copy() if again else np.full(count, -np.inf, q.dtype)
            total = np.isfinite(top).astype(q.dtype)
            sums = out[b, h, rows].copy() if again else np.zeros((count, v.shape[3]), q.dtype)
            weights = None
            if mass is not None:
                weights = mass[b, h, rows].copy() if again else np.zeros((count, mass.shape[3]), q.dtype)
            for cols, met in runs:
                s, i, j = _scores(b, h, g, rows, cols, met, *given)
                factor = np.empty_like(top)
                _carry_on(s, top, total, factor)
                sums *= factor[:, None]
                if p:
                    _drop(s, i, j, *_stream(q, k, b, h, p, seed, offset))
                if weights is not None:
                    weights *= factor[:, None]
                    _add_by_distance(weights, s, i + first, j)
                gemm(sums, s, v[b, g, cols], beta=1.0)
            share = 1 / np.where(total == 0, 1, total)[:, None]
            out[b, h, rows] = sums * share
            if weights is not None:
                mass[b, h, rows] = weights * share
            with np.errstate(divide="ignore"):
                lse[b, h, rows] = np.where(total == 0, -np.inf, top + np.log(total))


def attention_backward(
    dq, dk, dv, drelative, dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed,
    offset,
):  # fmt: skip
    forward = q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset
    if not floats(q):
        return ref.attention_backward(dq, dk, dv, drelative, dout, dmass, out, lse, mass, *forward)
    for grad in (dq, dk, dv, drelative):
        if grad is not None:
            grad[...] = 0
    for b, h, g, rows, cols, i, j, kept, ds in _gradients(dout, dmass, out, lse, mass, *forward):
        if dq is not None:
            dq[b, h, rows] += _product(ds, k[b, g, cols], scale)
        if dk is not None:
            dk[b, g, cols] += _product(ds.T, q[b, h, rows], scale)
        if dv is not None:
            dv[b, g, cols] += _product(kept.T, dout[b, h, rows], 1.0)
        if drelative is not None:
            sums = np.zeros((len(ds), drelative.shape[3]), ds.dtype)
            _add_by_distance(sums, ds, i + first, j)
            drelative[b, h, rows] += sums


def mask_backward(
    dmask, dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset
):
    forward = q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset
    if not floats(q):
        return ref.mask_backward(dmask, dout, dmass, out, lse, mass, *forward)
    dmask[...] = 0
    for b, h, _, _, _, i, j, _, ds in _gradients(dout, dmass, out, lse, mass, *forward):
        to = dmask[b * (dmask.shape[0] > 1), h * (dmask.shape[1] > 1)]
        if to.shape[0] == 1:
            ds, i = ds.sum(0, keepdims=True), np.zeros(1, np.int64)
        if to.shape[1] == 1:
            ds, j = ds.sum(1, keepdims=True), np.zeros(1, np.int64)
        to[np.ix_(i, j)] += ds


def _gradients(dout, dmass, out, lse, mass, q, k, v, mask, slopes, relative, parts, scale, causal, first, p, seed, offset):
    """For each block: where it is, the weights after dropout, and the gradient of the scores."""
    for b, h, g in _heads(q, k):
        for _, rows, runs in _blocks(parts, q.shape[2], k.shape[2], causal, first):
            dy, top = dout[b, h, rows], lse[b, h, rows]
            top = np.where(top == -np.inf, 0, top)
            sums = (dy * out[b, h, rows]).sum(1)
            if dmass is not None:
                sums += (dmass[b, h, rows] * mass[b, h, rows]).sum(1)
            for cols, met in runs:
                s, i, j = _scores(b, h, g, rows, cols, met, q, k, mask, slopes, relative, scale, causal, first)
                ds = _product(dy, v[b, g, cols].T, 1.0)
                if dmass is not None:
                    ds += _at_distance(dmass[b, h, rows], i + first, j)
                kept = np.ones_like(s)
                if p:
                    _drop(kept, i, j, *_stream(q, k, b, h, p, seed, offset))
                _slope(s, ds, kept, top, sums)
                yield b, h, g, rows, cols, i, j, kept, ds


def _heads(q, k):
    shared = q.shape[1] // max(k.shape[1], 1)
    return [(b, h, h // shared) for b in range(q.shape[0]) for h in range(q.shape[1])]


def _blocks(parts, queries, keys, causal, first):
    """(whether these rows were there before, rows, [(keys, which of them are met or None)]); rows and keys index arrays."""
    if parts is None:
        for start in range(0, queries, ROWS):
            stop = min(start + ROWS, queries)
            limit = min(keys, stop + first) if causal else keys
            runs = [(slice(j, min(j + COLS, limit)), None) for j in range(0, limit, COLS)]
            yield False, slice(start, stop), runs
        return
    for n, (q_index, k_index, q_at, k_at, begin, block, mask, words) in enumerate(parts):
        q_index = np.arange(queries) if q_index is None else q_index
        k_index = np.arange(keys) if k_index is None else k_index
        for t in range(len(begin) - 1):
            rows, runs = q_index[q_at[t] : q_at[t + 1]], []
            for at in range(begin[t], begin[t + 1], COLS // 64):
                these = range(at, min(at + COLS // 64, begin[t + 1]))
                cols = [k_index[k_at[block[i]] : k_at[block[i] + 1]] for i in these]
                bits = [
                    np.full(len(c), 2**64 - 1, np.uint64) if mask[i] < 0 else words[64 * mask[i] :][: len(c)]
                    for i, c in zip(these, cols)
                ]
                lanes = np.arange(len(rows), dtype=np.uint64)[:, None]
                runs.append((np.concatenate(cols), np.concatenate(bits) >> lanes & np.uint64(1) > 0))
            yield n > 0, rows, runs


def _product(a, b, alpha):
    c = np.empty((a.shape[0], b.shape[1]), a.dtype)
    gemm(c, a, b, alpha=alpha)
    return c


def _scores(b, h, g, rows, cols, met, q, k, mask, slopes, relative, scale, causal, first):
    """The scores of a block, and the positions of its queries and keys."""
    s = _product(q[b, h, rows], k[b, g, cols].T, scale)
    i, j = (np.arange(x.start, x.stop) if isinstance(x, slice) else x for x in (rows, cols))
    if relative is not None:
        s += _at_distance(relative[b, h, rows], i + first, j)
    if slopes is not None:
        s -= slopes[h] * abs(i[:, None] + first - j).astype(s.dtype)
    if mask is not None:
        part = mask[b, h, rows][:, cols]
        s += np.where(part, 0, -np.inf) if mask.dtype == bool else part
    if causal:
        s[j > i[:, None] + first] = -np.inf
    if met is not None:
        s[~met] = -np.inf
    return s, i, j


def _at_distance(x, i, j):
    reach = x.shape[1] // 2
    return np.take_along_axis(x, np.clip(j - i[:, None], -reach, reach) + reach, 1)


def _stream(q, k, b, h, p, seed, offset):
    """What _drop wants after the positions."""
    eights = -(-k.shape[2] // 8)
    begin = (offset + (b * q.shape[1] + h) * eights * q.shape[2]) % 2**63
    kept = q.dtype.type(1 / (1 - p) if p < 1 else 0)
    return np.uint64(begin), q.shape[2], np.uint64(seed), np.uint64(int(p * 2**16 + 0.5)), kept


@jit
def _drop(s, i, j, begin, queries, seed, below, kept):
    zero = s.dtype.type(0)
    for r in range(s.shape[0]):
        of, words = -1, _block(begin, np.uint64(2), seed)
        for c in range(s.shape[1]):
            if j[c] // 8 != of:
                of = j[c] // 8
                words = _block((begin + np.uint64(of * queries + i[r])) & np.uint64(2**63 - 1), np.uint64(2), seed)
            half = words[j[c] % 8 // 2] >> np.uint64(j[c] % 2 * 16) & np.uint64(0xFFFF)
            s[r, c] *= kept if half >= below else zero


@jit
def _carry_on(s, top, total, factor):
    for r in range(s.shape[0]):
        most = top[r]
        for c in range(s.shape[1]):
            if s[r, c] > most:
                most = s[r, c]
        base = most if most != -np.inf else s.dtype.type(0)
        factor[r] = np.exp(top[r] - base)
        top[r] = most
        added = 0.0
        for c in range(s.shape[1]):
            e = np.exp(s[r, c] - base)
            s[r, c] = e
            added += e
        total[r] = total[r] * factor[r] + added


@jit
def _slope(s, ds, kept, top, sums):
    """ds = p (kept dp - sums), kept = p kept."""
    for r in range(s.shape[0]):
        for c in range(s.shape[1]):
            p = np.exp(s[r, c] - top[r])
            ds[r, c] = p * (ds[r, c] * kept[r, c] - sums[r])
            kept[r, c] *= p


@jit
def _add_by_distance(x, s, i, j):
    reach = x.shape[1] // 2
    for r in range(s.shape[0]):
        for c in range(s.shape[1]):
            x[r, min(max(j[c] - i[r], -reach), reach) + reach] += s[r, c]
