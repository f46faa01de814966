"""Winograd convolution: 3x3, 4x4 and 5x5 filters with stride 1, 4x4 filters with stride 2; no dilation (specification).

Legend: N batch, C in channels, O out channels, H W image, OH OW output, r = taps (3 to 5), m = tile (2 to 4), k = m + r - 1.

    y = A^T [ Σ_c (B^T d B) ⊙ (G w G^T) ] A        for each m x m tile of y and the k x k patch d of x under it

is F(m x m, r x r) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): k² products instead
of r² m², so of 3x3 taps 2.25 times (m = 2) or 4 times (m = 4) fewer, of 4x4 4 times (m = 3), of 5x5 2.8 times (m = 2), in
k² matrix products over the channels. It is the multiplication of polynomials from their values at k - 1 points and at
infinity. The points of k = 6 are here 0, ±√½, ±√2 instead of the usual 0, ±1, ±2: half the rms error and a quarter of the
largest one in float32.

The gradient of the filter is the same bilinear form differentiated by w:

    dw = G^T [ Σ_tiles (B^T d B) ⊙ (A dy A^T) ] G

A 4x4 filter with stride 2 is four filters of 2x2 taps, each over every second row and column of x, whose results are
summed: F(m x m, 2x2) with the phases as further channels, k = m + 1. Its adjoint is four convolutions of y with 2x2
taps, one for each phase of x. 9 products instead of 16 (m = 2: points 0, 1) or 25 instead of 64 (m = 4: ±1/2, ±5/4).

Activations are [N, 1, H, W, C], filters w[O, C, 1, r, r]. Patches reach beyond x by padding = (0, pad_h, pad_w) at
the near side and as far as y asks for at the other; x is zero there.
"""

import numpy as np

from . import Out, quiet
from .linear import _finished, bias_grad

_S = np.sqrt(0.5)
# k: B^T [k, k], the points but infinity, and what their rows of G are multiplied by
_POINTS = {
    3: ([[1, -1, 0], [0, 1, 0], [0, -1, 1]], [0, 1], [1, 1]),
    4: ([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]], [0, 1, -1], [1, 1 / 2, 1 / 2]),
    5: (
        [
            [-25 / 32, -25 / 16, 1 / 2, 1, 0],
            [25 / 32, -25 / 16, -1 / 2, 1, 0],
            [-5 / 16, -1 / 4, 5 / 4, 1, 0],
            [5 / 16, -1 / 4, -5 / 4, 1, 0],
            [25 / 64, 0, -29 / 16, 0, 1],
        ],
        [1 / 2, -1 / 2, 5 / 4, -5 / 4],
        [-16 / 21, 16 / 21, 32 / 105, -32 / 105],
    ),
    6: (
        [
            [1, 0, -5 / 2, 0, 1, 0],
            [0, -2 * _S, -2, _S, 1, 0],
            [0, 2 * _S, -2, -_S, 1, 0],
            [0, -_S, -1 / 2, 2 * _S, 1, 0],
            [0, _S, -1 / 2, -2 * _S, 1, 0],
            [0, 1, 0, -5 / 2, 0, 1],
        ],
        [0, _S, -_S, 2 * _S, -2 * _S],
        [1, -2 / 3, -2 / 3, 1 / 6, 1 / 6],
    ),
    8: (
        [
            [1, 0, -21 / 4, 0, 21 / 4, 0, -1, 0],
            [0, 1, 1, -17 / 4, -17 / 4, 1, 1, 0],
            [0, -1, 1, 17 / 4, -17 / 4, -1, 1, 0],
            [0, 1 / 2, 1 / 4, -5 / 2, -5 / 4, 2, 1, 0],
            [0, -1 / 2, 1 / 4, 5 / 2, -5 / 4, -2, 1, 0],
            [0, 2, 4, -5 / 2, -5, 1 / 2, 1, 0],
            [0, -2, 4, 5 / 2, -5, -1 / 2, 1, 0],
            [0, -1, 0, 21 / 4, 0, -21 / 4, 0, 1],
        ],
        [0, 1, -1, 2, -2, 1 / 2, -1 / 2],
        [1, -2 / 9, -2 / 9, 1 / 90, 1 / 90, 32 / 45, 32 / 45],
    ),
}


def _powers(points, n):
    """[k, n]: the values of 1, x, ..., x^(n - 1) at the points and at infinity."""
    return np.vstack([np.vander(points, n, increasing=True), np.eye(n)[-1]])


def _transforms(m, r):
    """B^T [k, k], G [k, r], A^T [m, k]."""
    bt, points, factors = _POINTS[m + r - 1]
    return np.array(bt), _powers(points, r) * [[f] for f in (*factors, 1)], _powers(points, m).T


_MATRICES = {form: _transforms(*form) for form in ((2, 3), (4, 3), (2, 5), (3, 4), (2, 2), (4, 2))}
_ROWS = {taps: _transforms(4, taps) for taps in (3, 5)}  # along rows alone


def _matrices(tile, taps, dtype):
    if (tile, taps) not in _MATRICES:
        raise ValueError(f"winograd: wanted tile 2 or 4 with 3 taps, 3 with 4, 2 with 5, got {tile!r} with {taps!r}")
    return (matrix.astype(dtype) for matrix in _MATRICES[tile, taps])


def _patches(x, tile, down, across, pad_h, pad_w, more):
    """[k, k, N, down, across, C]: element (i, j) of the patch under each tile of y, `more` larger than the tile."""
    wide = _shifted(x[:, 0], down * tile + more, across * tile + more, -pad_h, -pad_w)
    at = np.arange(tile + more)
    i, j = (at + tile * np.arange(count)[:, None] for count in (down, across))
    return wide[:, i][:, :, :, j].transpose(2, 4, 0, 1, 3, 5)


def _both_ways(matrix, x):
    """matrix x matrix^T over the first two axes."""
    return np.tensordot(matrix, np.tensordot(matrix, x, (1, 1)), (1, 1))


def filter_size(shape, dtype, tile):
    """Elements of a transformed filter of w's shape, forward or backward; the layout is the back-end's own."""
    return (tile + shape[4] - 1) ** 2 * shape[0] * shape[1]


def transform_filter(u: Out, w, tile, backward, groups=1):
    """u = G w G^T [k, k, C, O]; backward: of w rotated by half a turn, O and C exchanged, for the input's gradient.

    Groups: of w [O, C/G, 1, r, r], one after the other, each of filter_size((O/G, C/G, 1, r, r)) elements.
    """
    if groups > 1:
        for part, of in zip(u.reshape(groups, -1), w.reshape(groups, -1, *w.shape[1:])):
            transform_filter(part, of, tile, backward)
        return
    _, g, _ = _matrices(tile, w.shape[4], w.dtype)
    w = w[:, :, 0, ::-1, ::-1].transpose(2, 3, 0, 1) if backward else w[:, :, 0].transpose(2, 3, 1, 0)
    u[...] = _both_ways(g, w).ravel()


@quiet
def conv(y: Out, x, u, b, residual, padding, taps, tile, activation, groups=1, backward=False):
    """y[N, 1, OH, OW, O] = act(conv(x[N, 1, H, W, C], w) + b[O] + residual); b, residual and activation may be None.

    With u transformed for backward: the gradient of x = y from dy = x, padding r - 1 - p. u: of one group after the other, or w
    itself, to be transformed for backward or not.
    """
    u = _filter(u, tile, backward, groups)
    if groups > 1:
        for part, of in zip(u.reshape(groups, -1), _parts(groups, y, x, b, residual)):
            conv(*of[:2], part, *of[2:], padding, taps, tile, activation)
        return
    bt, _, at = _matrices(tile, taps, x.dtype)
    k = len(bt)
    n, _, h, w, o = y.shape
    down, across = -(-h // tile), -(-w // tile)
    d = _patches(x, tile, down, across, *padding[1:], k - tile)
    v = _both_ways(bt, d)
    products = v @ u.reshape(k, k, 1, 1, x.shape[-1], o)
    out = _both_ways(at, products).transpose(2, 3, 0, 4, 1, 5).reshape(n, 1, down * tile, across * tile, o)
    y[...] = _finished(out[:, :, :h, :w], b, residual, activation)


def _filter(u, tile, backward, groups):
    """u, or what transform_filter makes of w."""
    if u.ndim == 1:
        return u
    w, u = u, np.empty(filter_size(u.shape, u.dtype, tile), u.dtype)
    transform_filter(u, w, tile, backward, groups)
    return u


@quiet
def filter_backward(dw: Out, db: Out, x, dy, padding, tile, groups=1):
    """dw[O, C/G, 1, r, r] = Σ over y's pixels of dy and the patch of x under it; db[O] = Σ dy, or None."""
    if db is not None:
        bias_grad(db, dy.reshape(-1, dy.shape[4]))
    if groups > 1:
        for part, of in zip(dw.reshape(groups, -1, *dw.shape[1:]), _parts(groups, x, dy)):
            filter_backward(part, None, *of, padding, tile)
        return
    bt, g, at = _matrices(tile, dw.shape[4], x.dtype)
    n, _, h, w, o = dy.shape
    down, across = -(-h // tile), -(-w // tile)
    v = _both_ways(bt, _patches(x, tile, down, across, *padding[1:], len(bt) - tile))
    wide = np.zeros((n, down * tile, across * tile, o), dy.dtype)
    wide[:, :h, :w] = dy[:, 0]
    wide = wide.reshape(n, down, tile, across, tile, o).transpose(2, 4, 0, 1, 3, 5)
    # products = v @ u  =>  du = v^T @ dproducts
    du = np.einsum("ijnrsc,ijnrso->ijoc", v, _both_ways(at.T, wide), optimize=True)
    # u = G w G^T       =>  dw = G^T du G
    dw[...] = _both_ways(g.T, du).transpose(2, 3, 0, 1)[:, :, None]


def _parts(groups, *arrays):
    """The channels of each group of arrays that have them last; None stays."""
    return zip(*[[None] * groups if a is None else np.split(a, groups, axis=-1) for a in arrays])


# ---- along rows alone, the taps down one by one: 3x3 filters, and the gradients of 3x3 and 5x5 filters ----


def rows_size(shape, dtype):
    """filter_size of a filter that is transformed along rows alone."""
    return 18 * shape[0] * shape[1]


def transform_rows(u: Out, w, backward, groups=1):
    """u = w G^T [3, 6, C, O], group after group; backward: as in transform_filter."""
    for part, of in zip(u.reshape(groups, -1), w.reshape(groups, -1, *w.shape[1:])):
        of = of[:, :, 0, ::-1, ::-1].transpose(2, 3, 0, 1) if backward else of[:, :, 0].transpose(2, 3, 1, 0)
        part[...] = np.tensordot(of, _ROWS[3][1].astype(w.dtype), (1, 1)).transpose(0, 3, 1, 2).ravel()


@quiet
def rows_conv(y: Out, x, u, b, residual, padding, activation, groups=1, backward=False):
    """conv of 3x3 filters as Σ over their rows of A^T [(B^T d) ⊙ (G w)]; u: of transform_rows, or w itself."""
    if u.ndim > 1:
        w, u = u, np.empty(rows_size(u.shape, u.dtype), u.dtype)
        transform_rows(u, w, backward, groups)
    n, _, h, w, o = y.shape
    v = _row_patches(x, h, w, padding, 3, groups)
    u = u.reshape(groups, 3, 6, -1, o // groups)
    sums = sum(np.einsum("enytgc,geco->enytgo", v[:, :, k : k + h], u[:, k], optimize=True) for k in range(3))
    out = np.einsum("ie,enytgo->nytigo", _ROWS[3][2].astype(x.dtype), sums).reshape(n, 1, h, -(-w // 4) * 4, o)
    y[...] = _finished(out[:, :, :, :w], b, residual, activation)


@quiet
def rows_filter_backward(dw: Out, db: Out, x, dy, padding, groups=1):
    """filter_backward of 3x3 and 5x5 filters: each of their rows is G^T [Σ (B^T d) ⊙ (A dy)] over dy and x's rows under it."""
    if db is not None:
        bias_grad(db, dy.reshape(-1, dy.shape[4]))
    (n, _, h, w, o), taps = dy.shape, dw.shape[4]
    _, g, at = _ROWS[taps]
    v = _row_patches(x, h, w, padding, taps, groups)
    wide = np.zeros((n, h, -(-w // 4) * 4, o), dy.dtype)
    wide[:, :, :w] = dy[:, 0]
    q = np.einsum("ie,nytigo->enytgo", at.astype(x.dtype), wide.reshape(n, h, -(-w // 4), 4, groups, o // groups))
    sums = [np.einsum("enytgc,enytgo->egoc", v[:, :, k : k + h], q, optimize=True) for k in range(taps)]
    dw[...] = np.einsum("ej,kegoc->gockj", g.astype(x.dtype), sums).reshape(dw.shape)


def _row_patches(x, h, w, padding, taps, groups):
    """v = B^T d [k, N, H + taps - 1, tiles, G, C/G] of the k = taps + 3 pixels under each tile of four in rows of w."""
    across, k = -(-w // 4), taps + 3
    wide = _shifted(x[:, 0], h + taps - 1, 4 * across + taps - 1, -padding[1], -padding[2])
    d = wide[:, :, np.arange(k)[:, None] + 4 * np.arange(across)]  # [N, H + taps - 1, k, tiles, C]
    d = d.reshape(*d.shape[:4], groups, x.shape[4] // groups)
    return np.einsum("ej,nyjtgc->enytgc", _ROWS[taps][0].astype(x.dtype), d)


# ---- 4x4 filters with stride 2 ----


def strided_size(shape, dtype, tile):
    """filter_size of a 4x4 filter with stride 2."""
    return 4 * (tile + 1) ** 2 * shape[0] * shape[1]


def transform_strided(u: Out, w, tile, backward):
    """u from w[O, C, 1, 4, 4]: for strided_conv, or backward for strided_conv_transposed."""
    o, c = w.shape[:2]
    taps = w[:, :, 0].reshape(o, c, 2, 2, 2, 2)  # two taps, two phases, down; the same across
    if backward:
        taps = taps[:, :, ::-1, :, ::-1].transpose(2, 4, 3, 5, 0, 1)
    else:
        taps = taps.transpose(2, 4, 3, 5, 1, 0)
    u[...] = _both_ways(_MATRICES[tile, 2][1].astype(w.dtype), taps).ravel()


def _strided(u, tile, backward):
    """u, or what transform_strided makes of w."""
    if u.ndim == 1:
        return u
    w, u = u, np.empty(strided_size(u.shape, u.dtype, tile), u.dtype)
    transform_strided(u, w, tile, backward)
    return u


@quiet
def strided_conv(y: Out, x, u, b, residual, padding, tile, activation):
    """y[N, 1, OH, OW, O] = act(conv of x[N, 1, H, W, C] with stride 2 + b[O] + residual); padding is at least 0.

    u: transformed, or w itself, as of strided_conv_transposed.
    """
    c, o = x.shape[4], y.shape[4]
    u = _strided(u, tile, False).reshape(tile + 1, tile + 1, 4 * c, o)
    x = _phases(x, y.shape[2:4], padding)
    out = _two_taps(x, u, y.shape[2:4], tile)[:, None]
    y[...] = _finished(out, b, residual, activation)


@quiet
def strided_conv_transposed(x: Out, y, u, b, padding, tile):
    """x = the adjoint of strided_conv applied to y + b[C]."""
    u = _strided(u, tile, True).reshape(tile + 1, tile + 1, 2, 2, y.shape[4], x.shape[4])
    for i in range(2):
        for j in range(2):
            (down, kind_h), (right, kind_w) = divmod(i + padding[1], 2), divmod(j + padding[2], 2)
            part = x[:, 0, i::2, j::2]
            rows, cols = part.shape[1:3]
            met = _shifted(y[:, 0], rows + 1, cols + 1, down - 1, right - 1)
            part[...] = _two_taps(met, u[:, :, kind_h, kind_w], (rows, cols), tile)
    if b is not None:
        x += b


@quiet
def strided_filter_backward(dw: Out, db: Out, x, dy, padding, tile):
    """dw[O, C, 1, 4, 4] = Σ over y's pixels of dy and the patch of x under it; db[O] = Σ dy, or None."""
    if db is not None:
        bias_grad(db, dy.reshape(-1, dy.shape[4]))
    (_, _, h, w, o), c = dy.shape, x.shape[4]
    bt, g, at = _matrices(tile, 2, x.dtype)
    down, across = -(-h // tile), -(-w // tile)
    v = _both_ways(bt, _patches(_phases(x, (h, w), padding)[:, None], tile, down, across, 0, 0, 1))
    tiles = _patches(dy, tile, down, across, 0, 0, 0)
    du = np.einsum("ijnrsc,ijnrso->ijoc", v, _both_ways(at.T, tiles), optimize=True)
    taps = _both_ways(g.T, du).reshape(2, 2, o, 2, 2, c)
    dw[:, :, 0] = taps.transpose(2, 5, 0, 3, 1, 4).reshape(o, c, 4, 4)


def _two_taps(x, u, size, tile):
    """The convolution of x[N, H, W, C] with 2x2 taps, transformed: u[k, k, C, O]."""
    bt, _, at = _matrices(tile, 2, x.dtype)
    down, across = (-(-s // tile) for s in size)
    products = _both_ways(bt, _patches(x[:, None], tile, down, across, 0, 0, 1)) @ u[:, :, None, None]
    out = _both_ways(at, products).transpose(2, 3, 0, 4, 1, 5).reshape(len(x), down * tile, across * tile, u.shape[3])
    return out[:, : size[0], : size[1]]


def _phases(x, size, padding):
    """[N, OH + 1, OW + 1, 4 C]: every second row and column of the padded x, the phases side by side."""
    rows, cols = (2 * s + 2 for s in size)
    wide = _shifted(x[:, 0], rows, cols, -padding[1], -padding[2])
    return np.concatenate([wide[:, i::2, j::2] for i in range(2) for j in range(2)], axis=3)


def _shifted(x, rows, cols, top, left):
    """x[N, H, W, C] from row `top` and column `left` on, zero outside x."""
    i, j = np.arange(rows) + top, np.arange(cols) + left
    inside = ((i >= 0) & (i < x.shape[1]))[:, None] & ((j >= 0) & (j < x.shape[2]))
    return np.where(inside[..., None], x[:, i.clip(0, x.shape[1] - 1)][:, :, j.clip(0, x.shape[2] - 1)], 0)
