"""Random numbers by counter (specification).

Philox4x32-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC 2011) turns a
counter of four 32-bit words and a key of two into four random words. The key is the seed, low
word first; the counter is (block low, block high, stream, 0).

Element i of a call has the index e = offset + i (modulo 2^64), and depends on (seed, e) alone:

    stream 0, one word each:    w(e) = word e mod 4 of block e div 4
    stream 1, two words each:   d(e) = words 2r and 2r+1 of block e div 2, r = e mod 2, low word first

Float32 and the masks draw from stream 0; float64 and integers from stream 1. Normals come in
pairs (e even, e + 1), and e belongs to the pair whichever of the two is asked for.

All arrays of one call have one dense memory order; i counts in memory.
"""

import numpy as np

from . import Out

MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85  # golden ratio and sqrt(3) - 1: added to the key each round
LOW, HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter, key):
    """Ten rounds on counters (..., 4) with the key (k0, k1); returns uint32 of the same shape."""
    c0, c1, c2, c3 = np.moveaxis(np.asarray(counter, dtype=np.uint64), -1, 0)
    k0, k1 = (int(k) for k in key)
    for _ in range(10):
        a, b = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (b >> HALF) ^ c1 ^ np.uint64(k0), b & LOW, (a >> HALF) ^ c3 ^ np.uint64(k1), a & LOW
        k0, k1 = (k0 + WEYL[0]) & 0xFFFFFFFF, (k1 + WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def uniform(out: Out, seed, offset):
    """out in [0, 1): float32 has 24 random bits, float64 has 53."""
    if out.dtype == np.float32:
        u = (_words(out.size, seed, offset) >> np.uint32(8)) * np.float32(2**-24)
    else:
        u = (_doubles(out.size, seed, offset) >> np.uint64(11)) * 2.0**-53
    _flat(out)[...] = u


def normal(out: Out, seed, offset):
    """Box-Muller: r = sqrt(-2 log u), u in (0, 1]; the pair is r cos(2 pi v), r sin(2 pi v)."""
    first, n = offset % 2, out.size  # whole pairs, from the even index at or before the offset
    offset, pairs = offset - first, (first + n + 1) // 2
    if out.dtype == np.float32:
        w = _words(2 * pairs, seed, offset).reshape(-1, 2) >> np.uint32(8)
        u, v = ((w[:, 0] + np.uint32(1)) * np.float32(2**-24), w[:, 1] * np.float32(2**-24))
    else:
        d = _doubles(2 * pairs, seed, offset).reshape(-1, 2) >> np.uint64(11)
        u, v = (d[:, 0] + np.uint64(1)) * 2.0**-53, d[:, 1] * 2.0**-53
    real = out.dtype.type
    r, angle = np.sqrt(real(-2) * np.log(u)), real(2 * np.pi) * v
    z = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=-1)
    _flat(out)[...] = z.ravel()[first : first + n]


def integers(out: Out, low, high, seed, offset):
    """int64 in [low, high): low + upper half of d * (high - low); the bias is below (high - low) / 2^64."""
    d, span = _doubles(out.size, seed, offset), (high - low) % 2**64
    s0, s1 = np.uint64(span & 0xFFFFFFFF), np.uint64(span >> 32)
    d0, d1 = d & LOW, d >> HALF
    middle = d1 * s0 + (d0 * s0 >> HALF)
    upper = d1 * s1 + (middle >> HALF) + ((middle & LOW) + d0 * s1 >> HALF)
    _flat(out)[...] = (upper + np.uint64(low % 2**64)).view(np.int64)


def permutation(out: Out, u):
    """0 ... n - 1 (int64) in random order; u [n], float64 in [0, 1). Fisher and Yates, inside out:

    i goes to place floor(u[i] (i + 1)), and what stood there to place i.
    """
    for i, at in enumerate((u * np.arange(1, u.size + 1)).astype(np.int64).tolist()):
        out[i] = out[at]
        out[at] = i


def bernoulli(out: Out, p, seed, offset):
    """1 with probability p (rounded to a multiple of 2^-32), else 0."""
    _flat(out)[...] = _below(out.size, p, seed, offset)


def dropout_forward(y: Out, mask: Out, x, p, seed, offset):
    """mask (uint8) is 0 with probability p, else 1; y = x / (1 - p) where mask, else 0."""
    _flat(mask)[...] = ~_below(mask.size, p, seed, offset)
    y[...] = np.where(mask, x * _scale(p, x.dtype), 0)


def dropout_backward(dx: Out, mask, dy, p):
    """dx = dy / (1 - p) where mask, else 0."""
    dx[...] = np.where(mask, dy * _scale(p, dy.dtype), 0)


def _scale(p, dtype):
    return dtype.type(1 / (1 - p) if p < 1 else 0)


def _below(n, p, seed, offset):
    return _words(n, seed, offset).astype(np.uint64) < np.uint64(p * 2.0**32 + 0.5)


def _flat(a):
    return a.ravel(order="K")


def _words(n, seed, offset):
    """w(offset) ... w(offset + n - 1)."""
    first = offset % 4
    return _blocks(offset // 4, (first + n + 3) // 4, 0, 2**62, seed).reshape(-1)[first : first + n]


def _doubles(n, seed, offset):
    """d(offset) ... d(offset + n - 1), as uint64."""
    first = offset % 2
    words = _blocks(offset // 2, (first + n + 1) // 2, 1, 2**63, seed).reshape(-1, 2)[first : first + n]
    return words[:, 0] | words[:, 1].astype(np.uint64) << HALF


def _blocks(block, count, stream, wrap, seed):
    """Blocks block ... block + count - 1 (modulo wrap), shape (count, 4)."""
    index = (np.arange(count, dtype=np.uint64) + np.uint64(block)) % np.uint64(wrap)
    words = index & LOW, index >> HALF, np.full_like(index, stream), np.zeros_like(index)
    return philox(np.stack(words, axis=-1), (seed & 0xFFFFFFFF, seed >> 32))
