"""Strided filters as plain ones over blocks of s x s pixels: the phases of the image, and of the filter, are channels.

    y[o] = Σ_k x[s o - p + k] w[k] = Σ_t Σ_r z[o + t, r] v[t, r]        z[q, r] = x[s q + r - p], v[t, r] = w[s t + r]

Legend: s stride, p padding, k tap, r phase (0 to s - 1), q block, t tap over blocks, T of them; the same down and across.
z is 0 outside x, v behind the last tap.
"""

from .. import memory, registry

copies = registry.family("shape")


def split(x, size, taps, s, padding):
    """z [N, 1, Q, Q, s s C] of x [N, 1, H, W, C]: what T taps of `size` outputs meet."""
    n, _, h, w, c = x.shape
    rows, cols = (q + taps - 1 for q in size)
    z = memory.empty((n, rows, cols, s, s * c), x.dtype)
    copies.blocks(z, x.reshape(n, h, w, c), *padding)
    return z.reshape(n, 1, rows, cols, s * s * c)


def split_filter(w, taps, s):
    """v [O, s s C, 1, T, T] of w [O, C, 1, K, K]."""
    o, c, _, down, across = w.shape
    wide = memory.zeros((o, c, taps * s, taps * s), w.dtype)
    wide[:, :, :down, :across] = w[:, :, 0]
    phases = wide.reshape(o, c, taps, s, taps, s).transpose(0, 3, 5, 1, 2, 4)
    return memory.contiguous(phases).reshape(o, s * s * c, 1, taps, taps)


def join_filter(w, v, s):
    """w from v."""
    o, c, _, down, across = w.shape
    taps = v.shape[4]
    phases = v.reshape(o, s, s, c, taps, taps).transpose(0, 3, 4, 1, 5, 2)
    w[:, :, 0] = phases.reshape(o, c, taps * s, taps * s)[:, :, :down, :across]
