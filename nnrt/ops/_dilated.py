"""Dilated filters as plain ones, over every d-th row and column of an image: its phases are images of their own.

    y[n, d q + r] = Σ_k x[n, d q + r - p + d k] w[k] = Σ_k z[(n, r), q + k] w[k]        z[(n, r), j] = x[n, d j + r - p]

Legend: d dilation, p padding, r phase (0 to d - 1), q output of a phase, k tap; the same down and across. z is 0 outside x.
"""

from itertools import product

from .. import memory, registry

copies = registry.family("shape")


def split(x, size, more, dilation, padding):
    """z [N dh dw, 1, Q + more, Q + more, C] of x [N, 1, H, W, C]: what the phases of `size` outputs meet."""
    n, _, h, w, c = x.shape
    z = memory.zeros((n, *dilation, *[-(-s // d) + more for s, d in zip(size, dilation)], c), x.dtype)
    for phase in product(*map(range, dilation)):
        seen, met = [], []
        for r, d, p, have, want in zip(phase, dilation, padding, (h, w), z.shape[3:5]):
            first = max(0, -((r - p) // d))
            at = d * first + r - p
            seen.append(slice(at, max(at, min(have, d * want + r - p)), d))
            met.append(slice(first, first + len(range(have)[seen[-1]])))
        copies.copy(z[:, phase[0], phase[1], met[0], met[1]], x[:, 0, seen[0], seen[1]])
    return z.reshape(-1, 1, *z.shape[3:])


def join(y, parts, dilation):
    """y [N, 1, OH, OW, O] from its phases [N dh dw, 1, Q, Q, O]."""
    parts = parts.reshape(y.shape[0], *dilation, *parts.shape[2:])
    for i, j in product(*map(range, dilation)):
        part = y[:, 0, i :: dilation[0], j :: dilation[1]]
        copies.copy(part, parts[:, i, j, : part.shape[1], : part.shape[2]])
