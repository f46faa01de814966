"""Random numbers in Numba. See nnrt._ref.random for the streams."""

import numpy as np

from .compiled import jit

LOW = np.uint64(0xFFFFFFFF)


def uniform(out, seed, offset):
    (_uniform32 if out.dtype == np.float32 else _uniform64)(_flat(out), np.uint64(seed), np.uint64(offset))


def normal(out, seed, offset):
    (_normal32 if out.dtype == np.float32 else _normal64)(_flat(out), np.uint64(seed), np.uint64(offset))


def integers(out, low, high, seed, offset):
    span = np.uint64((high - low) % 2**64)
    _integers(_flat(out), np.uint64(low % 2**64), span, np.uint64(seed), np.uint64(offset))


def permutation(out, u):
    _permutation(out, u)


def bernoulli(out, p, seed, offset):
    _bernoulli(_flat(out), _below(p), np.uint64(seed), np.uint64(offset))


def dropout_forward(y, mask, x, p, seed, offset):
    mask = _flat(mask)
    _bernoulli(mask, _below(p), np.uint64(seed), np.uint64(offset))
    _flip(mask)
    _masked(_flat(y), mask, _flat(x), _scale(p, x.dtype))


def dropout_backward(dx, mask, dy, p):
    _masked(_flat(dx), _flat(mask), _flat(dy), _scale(p, dy.dtype))


def _flat(a):
    return a.ravel(order="K")


def _below(p):
    return np.uint64(p * 2.0**32 + 0.5)


def _scale(p, dtype):
    return dtype.type(1 / (1 - p) if p < 1 else 0)


@jit
def _block(index, stream, seed):
    """The four words, in the low halves of uint64."""
    c0, c1, c2, c3 = index & LOW, index >> np.uint64(32), stream, np.uint64(0)
    k0, k1 = seed & LOW, seed >> np.uint64(32)
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c0, np.uint64(0xCD9E8D57) * c2
        c0, c1 = (b >> np.uint64(32)) ^ c1 ^ k0, b & LOW
        c2, c3 = (a >> np.uint64(32)) ^ c3 ^ k1, a & LOW
        k0, k1 = (k0 + np.uint64(0x9E3779B9)) & LOW, (k1 + np.uint64(0xBB67AE85)) & LOW
    return c0, c1, c2, c3


@jit
def _words(e, seed):
    """The block that holds w(e)."""
    return _block(e >> np.uint64(2), np.uint64(0), seed)


@jit
def _doubles(e, seed):
    """d of e's pair: of the even index, of the odd one."""
    c0, c1, c2, c3 = _block(e >> np.uint64(1), np.uint64(1), seed)
    return c0 | c1 << np.uint64(32), c2 | c3 << np.uint64(32)


@jit
def _uniform32(out, seed, offset):
    w = _words(offset, seed)
    for i in range(out.size):
        e = offset + np.uint64(i)
        r = np.int64(e & np.uint64(3))
        if r == 0:
            w = _words(e, seed)
        out[i] = np.float32(np.int64(w[r] >> np.uint64(8))) * np.float32(2**-24)


@jit
def _uniform64(out, seed, offset):
    d = _doubles(offset, seed)
    for i in range(out.size):
        e = offset + np.uint64(i)
        r = np.int64(e & np.uint64(1))
        if r == 0:
            d = _doubles(e, seed)
        out[i] = np.float64(np.int64(d[r] >> np.uint64(11))) * 2.0**-53


@jit
def _normal32(out, seed, offset):
    for i in range(out.size):
        e = offset + np.uint64(i)
        if i > 0 and e & np.uint64(1):
            continue  # written with its partner
        w = _words(e, seed)
        r = np.int64(e & np.uint64(2))
        u = np.float32(np.int64(w[r] >> np.uint64(8)) + 1) * np.float32(2**-24)
        v = np.float32(np.int64(w[r + 1] >> np.uint64(8))) * np.float32(2**-24)
        radius, angle = np.sqrt(np.float32(-2) * np.log(u)), np.float32(2 * np.pi) * v
        if e & np.uint64(1):
            out[i] = radius * np.sin(angle)
        else:
            out[i] = radius * np.cos(angle)
            if i + 1 < out.size:
                out[i + 1] = radius * np.sin(angle)


@jit
def _normal64(out, seed, offset):
    for i in range(out.size):
        e = offset + np.uint64(i)
        if i > 0 and e & np.uint64(1):
            continue  # written with its partner
        d0, d1 = _doubles(e, seed)
        u = np.float64(np.int64(d0 >> np.uint64(11)) + 1) * 2.0**-53
        v = np.float64(np.int64(d1 >> np.uint64(11))) * 2.0**-53
        radius, angle = np.sqrt(-2.0 * np.log(u)), 2 * np.pi * v
        if e & np.uint64(1):
            out[i] = radius * np.sin(angle)
        else:
            out[i] = radius * np.cos(angle)
            if i + 1 < out.size:
                out[i + 1] = radius * np.sin(angle)


@jit
def _integers(out, low, span, seed, offset):
    s0, s1 = span & LOW, span >> np.uint64(32)
    for i in range(out.size):
        e = offset + np.uint64(i)
        d = _doubles(e, seed)[np.int64(e & np.uint64(1))]
        d0, d1 = d & LOW, d >> np.uint64(32)
        middle = d1 * s0 + (d0 * s0 >> np.uint64(32))
        carry = (middle & LOW) + d0 * s1 >> np.uint64(32)
        out[i] = np.int64(low + d1 * s1 + (middle >> np.uint64(32)) + carry)


@jit
def _permutation(out, u):
    for i in range(out.size):
        at = np.int64(u[i] * np.float64(i + 1))
        out[i] = out[at]
        out[at] = i


@jit
def _bernoulli(out, below, seed, offset):
    w = _words(offset, seed)
    for i in range(out.size):
        e = offset + np.uint64(i)
        r = np.int64(e & np.uint64(3))
        if r == 0:
            w = _words(e, seed)
        out[i] = 1 if w[r] < below else 0


@jit
def _flip(mask):
    for i in range(mask.size):
        mask[i] ^= 1


@jit
def _masked(y, mask, x, scale):
    for i in range(y.size):
        y[i] = x[i] * scale if mask[i] else 0
