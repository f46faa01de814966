"""Strided filters as plain ones over blocks of s x s pixels: the phases of the image, and of the filter, are channels.

    y[o] = Σ_k x[s o - p + k] w[k] = Σ_t Σ_r z[o + t, r] v[t, r]        z[q, r] = x[s q + r - p], v[t, r] = w[s t + r]

Legend: s stride, p padding, k tap, r phase (0 to s - 1), q block, t tap over blocks, T of them; the same down and across.
z is 0 outside x, v behind the last tap.
"""

from .. import memory, registry

copies = registry.family("shape")


def _pieces(begin, end, s):
    """What lies from begin to end of blocks of s: (first block, block behind the last, from, to): whole blocks together."""
    while begin < end:
        block, low = divmod(begin, s)
        if low or end - begin < s:
            stop = min(end, begin - low + s)
            yield block, block + 1, low, stop - block * s
        else:
            stop = end - end % s
            yield block, stop // s, 0, s
        begin = stop


def split(x, size, taps, s, padding):
    """z [N, 1, Q, Q, s s C] of x [N, 1, H, W, C]: what T taps of `size` outputs meet."""
    n, _, h, w, c = x.shape
    rows, cols = (q + taps - 1 for q in size)
    z = memory.empty((n, rows, cols, s, s * c), x.dtype)
    inside = [slice(-(-p // s), (p + size) // s) for p, size in zip(padding, (h, w))]
    for border in z[:, : inside[0].start], z[:, inside[0].stop :], z[:, :, : inside[1].start], z[:, :, inside[1].stop :]:
        border[...] = 0
    for r in range(s):
        first = max(0, -((r - padding[0]) // s))
        at = s * first + r - padding[0]
        seen = x[:, 0, at : max(at, min(h, s * rows + r - padding[0])) : s]
        for low, high, begin, end in _pieces(padding[1], min(padding[1] + w, cols * s), s):
            part = seen[:, :, low * s + begin - padding[1] : (high - 1) * s + end - padding[1]]
            copies.copy(
                z[:, first : first + seen.shape[1], low:high, r, begin * c : end * c],
                part.reshape(*part.shape[:2], high - low, (end - begin) * c),
            )
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
