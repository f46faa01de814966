"""Winograd convolution: 3x3 filters, stride 1, no dilation, no groups (specification).

Legend: N batch, C in channels, O out channels, H W image, OH OW output, m = tile (2 or 4), k = m + 2.

    y = A^T [ Σ_c (B^T d B) ⊙ (G w G^T) ] A        for each m x m tile of y and the k x k patch d of x under it

is F(m x m, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): k² products instead
of 9 m², so 2.25 times (m = 2) or 4 times (m = 4) fewer, in k² matrix products over the channels. It is the
multiplication of polynomials from their values at k - 1 points and at infinity. The points of m = 4 are here
0, ±√½, ±√2 instead of the usual 0, ±1, ±2: half the rms error and a quarter of the largest one in float32.

The gradient of the filter is the same bilinear form differentiated by w:

    dw = G^T [ Σ_tiles (B^T d B) ⊙ (A dy A^T) ] G

Activations are [N, 1, H, W, C], filters w[O, C, 1, 3, 3]. Patches reach beyond x by padding = (0, pad_h, pad_w) at
the near side and as far as y asks for at the other; x is zero there.
"""

import numpy as np

from . import Out
from .linear import _activate

_S = np.sqrt(0.5)
# m: B^T [k, k], G [k, 3], A^T [m, k]
_MATRICES = {
    2: (
        [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]],
        [[1, 0, 0], [1 / 2, 1 / 2, 1 / 2], [1 / 2, -1 / 2, 1 / 2], [0, 0, 1]],
        [[1, 1, 1, 0], [0, 1, -1, 1]],
    ),
    4: (
        [
            [1, 0, -5 / 2, 0, 1, 0],
            [0, -2 * _S, -2, _S, 1, 0],
            [0, 2 * _S, -2, -_S, 1, 0],
            [0, -_S, -1 / 2, 2 * _S, 1, 0],
            [0, _S, -1 / 2, -2 * _S, 1, 0],
            [0, 1, 0, -5 / 2, 0, 1],
        ],
        [
            [1, 0, 0],
            [-2 / 3, -2 / 3 * _S, -1 / 3],
            [-2 / 3, 2 / 3 * _S, -1 / 3],
            [1 / 6, 1 / 3 * _S, 1 / 3],
            [1 / 6, -1 / 3 * _S, 1 / 3],
            [0, 0, 1],
        ],
        [
            [1, 1, 1, 1, 1, 0],
            [0, _S, -_S, 2 * _S, -2 * _S, 0],
            [0, 1 / 2, 1 / 2, 2, 2, 0],
            [0, _S / 2, -_S / 2, 4 * _S, -4 * _S, 1],
        ],
    ),
}


def _matrices(tile, dtype):
    if tile not in _MATRICES:
        raise ValueError(f"winograd: wanted tile 2 or 4, got {tile!r}")
    return (np.array(matrix, dtype) for matrix in _MATRICES[tile])


def _patches(x, tile, down, across, pad_h, pad_w):
    """[k, k, N, down, across, C]: element (i, j) of the patch under each tile of y."""
    n, _, h, w, c = x.shape
    rows, cols = down * tile + 2, across * tile + 2
    i, j = np.arange(rows) - pad_h, np.arange(cols) - pad_w
    inside = ((i >= 0) & (i < h))[:, None] & ((j >= 0) & (j < w))
    wide = np.zeros((n, rows, cols, c), x.dtype)
    if h and w:
        wide[:] = np.where(inside[..., None], x[:, 0][:, i.clip(0, h - 1)][:, :, j.clip(0, w - 1)], 0)
    at = np.arange(tile + 2)
    i, j = (at + tile * np.arange(count)[:, None] for count in (down, across))
    return wide[:, i][:, :, :, j].transpose(2, 4, 0, 1, 3, 5)


def _both_ways(matrix, x):
    """matrix x matrix^T over the first two axes."""
    return np.tensordot(matrix, np.tensordot(matrix, x, (1, 1)), (1, 1))


def filter_size(shape, dtype, tile):
    """Elements of a transformed filter of w's shape, forward or backward; the layout is the back-end's own."""
    return (tile + 2) ** 2 * shape[0] * shape[1]


def transform_filter(u: Out, w, tile, backward):
    """u = G w G^T [k, k, C, O]; backward: of w rotated by half a turn, O and C exchanged, for the input's gradient."""
    _, g, _ = _matrices(tile, w.dtype)
    w = w[:, :, 0, ::-1, ::-1].transpose(2, 3, 0, 1) if backward else w[:, :, 0].transpose(2, 3, 1, 0)
    u[...] = _both_ways(g, w).ravel()


def conv(y: Out, x, u, b, residual, padding, tile, activation):
    """y[N, 1, OH, OW, O] = act(conv(x[N, 1, H, W, C], w) + b[O] + residual); b, residual and activation may be None.

    With u transformed for backward: the gradient of x = y from dy = x, padding 2 - p.
    """
    bt, _, at = _matrices(tile, x.dtype)
    n, _, h, w, o = y.shape
    down, across = -(-h // tile), -(-w // tile)
    d = _patches(x, tile, down, across, *padding[1:])
    v = _both_ways(bt, d)
    products = v @ u.reshape(tile + 2, tile + 2, 1, 1, x.shape[-1], o)
    out = _both_ways(at, products).transpose(2, 3, 0, 4, 1, 5).reshape(n, 1, down * tile, across * tile, o)
    out = out[:, :, :h, :w]
    if b is not None:
        out = out + b
    if residual is not None:
        out = out + residual
    y[...] = _activate(out, activation)


def filter_backward(dw: Out, x, dy, padding, tile):
    """dw[O, C, 1, 3, 3] = Σ over y's pixels of dy and the patch of x under it."""
    bt, g, at = _matrices(tile, x.dtype)
    n, _, h, w, o = dy.shape
    down, across = -(-h // tile), -(-w // tile)
    v = _both_ways(bt, _patches(x, tile, down, across, *padding[1:]))
    wide = np.zeros((n, down * tile, across * tile, o), dy.dtype)
    wide[:, :h, :w] = dy[:, 0]
    wide = wide.reshape(n, down, tile, across, tile, o).transpose(2, 4, 0, 1, 3, 5)
    # products = v @ u  =>  du = v^T @ dproducts
    du = np.einsum("ijnrsc,ijnrso->ijoc", v, _both_ways(at.T, wide), optimize=True)
    # u = G w G^T       =>  dw = G^T du G
    dw[...] = _both_ways(g.T, du).transpose(2, 3, 0, 1)[:, :, None]
