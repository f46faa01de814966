"""Winograd convolution in Numba. See nnrt._ref.winograd for what each computes.

x is copied with its zeros around it and its channels filled up to whole vectors, so that a transform is nothing but
lines of vectors; the products are those of linear, k² at a time, over as many tiles as stay near.
"""

import numpy as np
from numba import types

from nnrt import memory
from nnrt._ref.winograd import _MATRICES, _matrices

from . import conv as plain
from . import linear, threads
from .compiled import array, typed
from .native import VECTOR, address, count, line

_line = line(*(np.array(a) for bt, g, at in _MATRICES.values() for a in (bt, at, np.transpose(at), g, np.transpose(g))))
# B^T, A^T, A, G and G^T for tiles of 2 and 4: places in _line's list.
_INPUT, _OUTPUT, _GRADIENT, _FILTER, _FINISH = ({2: at, 4: at + 5} for at in range(5))
# Transformed tiles of a block, so that they stay in L3, and those that a thread takes at a time.
BLOCK_BYTES, SHARE = 2 << 20, 8


@typed(lambda T: [T, types.int64, types.boolean, array(T, 6), array(T, 4), types.intp, array(types.int64, 1)])
def _transform(one, which, back, image, flat, first, numbers):
    """This thread's share of the tiles of image[N, down, across, rows, columns, C] into flat[k, k, tiles, C], or back.

    flat holds the tiles from `first` on. numbers: the next share, shares done.
    """
    _, down, across, side, _, channels = image.shape
    half = np.empty(36 * VECTOR, np.uint8)
    part, depth, tiles = address(half), channels * flat.itemsize, flat.shape[2]
    numbers = address(numbers)
    if back:
        down_source, right_source, k = flat.strides[0], flat.strides[1], flat.shape[0]
        down_to, right_to, rows = image.strides[3], image.strides[4], side
    else:
        down_source, right_source, k = image.strides[3], image.strides[4], side
        down_to, right_to, rows = flat.strides[0], flat.strides[1], flat.shape[0]
    shares = (tiles + SHARE - 1) // SHARE
    while True:
        share = count(numbers, 1)
        if share >= shares:
            break
        for s in range(share * SHARE, min(share * SHARE + SHARE, tiles)):
            t = first + s
            n, i, j = t // (down * across), t // across % down, t % across
            source = address(image) + n * image.strides[0] + i * image.strides[1] + j * image.strides[2]
            to = address(flat) + s * flat.strides[2]
            if back:
                source, to = to, source
            for c in range(0, depth, VECTOR):
                for j in range(k):
                    _line(one, which, part + j * VECTOR, k * VECTOR, source + j * right_source + c, down_source)
                for i in range(rows):
                    _line(one, which, to + i * down_to + c, right_to, part + i * k * VECTOR, VECTOR)
        count(numbers + 64, 1)
    while count(numbers + 64, 0) < shares:  # at most another thread's last share
        pass


def _walk(which, image, flat, first=0, back=False):
    """_transform on all threads."""
    function, one = _transform[flat.dtype], flat.dtype.type(1)
    args = one, which, back, image, flat, first, np.zeros(16, np.int64)
    helpers = min(threads.count(), -(-flat.shape[2] // SHARE)) - 1
    if helpers > 0 and flat.size > 1 << 16:
        threads.help_with(function, *args, helpers=helpers)
    function(*args)


def _whole(channels, dtype):
    lanes = VECTOR // dtype.itemsize
    return -(-channels // lanes) * lanes


def _wide(x, rows, cols, pad_h, pad_w):
    """x [N, 1, H, W, C] as [N, rows, cols, whole vectors of C] with zeros where nothing of it lies."""
    n, _, h, w, c = x.shape
    shape = n, rows, cols, _whole(c, x.dtype)
    if (rows, cols, pad_h, pad_w, shape[3]) == (h, w, 0, 0, c):
        return x[:, 0]
    wide = memory.empty(shape, x.dtype)
    wide.fill(0)
    (i0, i1), (j0, j1) = (
        (min(max(pad, 0), count), max(min(size + pad, count), 0)) for size, pad, count in ((h, pad_h, rows), (w, pad_w, cols))
    )
    if i0 < i1 and j0 < j1:
        wide[:, i0:i1, j0:j1, :c] = x[:, 0, i0 - pad_h : i1 - pad_h, j0 - pad_w : j1 - pad_w]
    return wide


def _squares(wide, side, tile, down, across):
    """A view [N, down, across, side, side, C]: the squares that begin `tile` apart."""
    n, row, col, one = wide.strides
    shape = len(wide), down, across, side, side, wide.shape[3]
    strides = n, row * tile, col * tile, row, col, one
    return np.lib.stride_tricks.as_strided(wide, shape, strides, writeable=False)


def _blocks(tiles, tile, channels, dtype):
    """(first, count) of blocks of tiles that have so many channels in all."""
    most = max(64, BLOCK_BYTES // ((tile + 2) ** 2 * channels * dtype.itemsize))
    most = -(-tiles // -(-tiles // most))
    return [(first, min(most, tiles - first)) for first in range(0, tiles, most)]


def filter_size(shape, dtype, tile):
    """Elements of a transformed filter of w's shape, forward or backward; the layout is the back-end's own."""
    o, c = shape[:2]
    return (tile + 2) ** 2 * max(linear.packed_size(c, o, dtype), linear.packed_size(o, c, dtype))


def transform_filter(u, w, tile, backward):
    """u = G w G^T, k² packed matrices [C, O]; backward: of w rotated, O and C exchanged, for the input's gradient."""
    _matrices(tile, w.dtype)
    (o, c), k = w.shape[:2], tile + 2
    depth, columns = (o, c) if backward else (c, o)
    # Each tap as panels, then squares of taps to k² matrices of such panels: as they lie in u.
    size, nr = linear.packed_size(depth, columns, w.dtype), linear.gemm_tile(w.dtype)[1]
    taps = memory.empty((9, size), w.dtype)
    for t, of_w in enumerate(w.reshape(o, c, 9).transpose(2, 0, 1)):
        linear.pack_b(taps[8 - t if backward else t], of_w if backward else of_w.T)
    panels = size // max(depth * nr, 1)
    squares = taps.reshape(3, 3, 1, panels, depth, nr).transpose(2, 3, 4, 0, 1, 5)
    _walk(_FILTER[tile], squares, u[: k * k * size].reshape(k, k, panels * depth, nr))


def conv(y, x, u, b, residual, padding, tile, activation):
    """y[N, 1, OH, OW, O] = act(conv(x[N, 1, H, W, C], w) + b[O] + residual); b, residual and activation may be None."""
    (n, _, h, w, o), c, k = y.shape, x.shape[4], tile + 2
    down, across, wide_o = -(-h // tile), -(-w // tile), _whole(o, y.dtype)
    image = _squares(_wide(x, down * tile + 2, across * tile + 2, *padding[1:]), k, tile, down, across)
    whole = (down * tile, across * tile, wide_o) == (h, w, o)
    out = y[:, 0] if whole else memory.empty((n, down * tile, across * tile, wide_o), y.dtype)
    if y.size:
        u = u[: k * k * linear.packed_size(c, o, y.dtype)]
        for first, some in _blocks(n * down * across, tile, image.shape[5] + wide_o, y.dtype):
            v = memory.empty((k, k, some, image.shape[5]), y.dtype)
            products = memory.empty((k, k, some, wide_o), y.dtype)
            _walk(_INPUT[tile], image, v, first)
            a = v.reshape(k * k, some, -1)[:, :, :c]
            linear._gemm(products.reshape(k * k, some, -1)[:, :, :o], a, a, None, None, 1.0, 0.0, None, u)
            _walk(_OUTPUT[tile], _squares(out, tile, tile, down, across), products, first, back=True)
    if not whole:
        y[:, 0] = out[:, :h, :w, :o]
    if b is not None:
        y += b
    if residual is not None:
        y += residual
    if activation is not None:
        linear._activate(y, activation)


def filter_backward(dw, x, dy, padding, tile):
    """dw[O, C, 1, 3, 3] = Σ over y's pixels of dy and the patch of x under it."""
    _matrices(tile, x.dtype)
    (n, _, h, w, o), c, k = dy.shape, x.shape[4], tile + 2
    down, across = -(-h // tile), -(-w // tile)
    if dw.size == 0 or dy.size == 0:
        dw[...] = 0
        return
    image = _squares(_wide(x, down * tile + 2, across * tile + 2, *padding[1:]), k, tile, down, across)
    of_y = _squares(_wide(dy, down * tile, across * tile, 0, 0), tile, tile, down, across)
    total = memory.empty((k, k, c, of_y.shape[5]), x.dtype)
    sums, one = total.reshape(k * k, c, -1)[:, :, :o], x.dtype.type(1)
    for first, some in _blocks(n * down * across, tile, image.shape[5] + of_y.shape[5], x.dtype):
        v = memory.empty((k, k, some, image.shape[5]), x.dtype)
        q = memory.empty((k, k, some, of_y.shape[5]), x.dtype)
        _walk(_INPUT[tile], image, v, first)
        _walk(_GRADIENT[tile], of_y, q, first)
        v, q = (a.reshape(k * k, some, -1) for a in (v, q))
        linear._tiles(sums, v.transpose(0, 2, 1)[:, :c], q[:, :, :o], np.empty(0, x.dtype), one, first == 0)
    taps = memory.empty((1, 1, c, 3, 3, of_y.shape[5]), x.dtype)
    _walk(_FINISH[tile], taps, total, back=True)
    dw[:, :, 0] = taps[0, 0, ..., :o].transpose(3, 0, 1, 2)


# ---- 4x4 filters with stride 2: the plain sums ----

_STRIDE, _DILATION = (1, 2, 2), (1, 1, 1)


def strided_size(shape, dtype, tile):
    """filter_size of a 4x4 filter with stride 2."""
    return max(plain.filter_size(shape, 1, dtype, backward) for backward in (False, True))


def transform_strided(u, w, tile, backward):
    """u from w[O, C, 1, 4, 4]: for strided_conv, or backward for strided_conv_transposed."""
    p = u[: plain.filter_size(w.shape, 1, w.dtype, backward)]
    plain.pack_filter(p, w, _STRIDE, _DILATION, 1, backward)


def strided_conv(y, x, u, b, residual, padding, tile, activation):
    """y[N, 1, OH, OW, O] = act(conv of x[N, 1, H, W, C] with stride 2 + b[O] + residual)."""
    shape = y.shape[4], x.shape[4], 1, 4, 4
    p = u[: plain.filter_size(shape, 1, u.dtype, False)]
    plain.conv(y, x, p, shape, b, residual, _STRIDE, padding, _DILATION, 1, activation)


def strided_conv_transposed(x, y, u, b, padding, tile):
    """x = the adjoint of strided_conv applied to y + b[C]."""
    shape = y.shape[4], x.shape[4], 1, 4, 4
    p = u[: plain.filter_size(shape, 1, u.dtype, True)]
    plain.conv_transposed(x, y, p, shape, b, None, _STRIDE, padding, _DILATION, 1, None)


def strided_filter_backward(dw, x, dy, padding, tile):
    """dw[O, C, 1, 4, 4] = the sum over y's pixels of dy and the patch of x under it."""
    plain.filter_backward(dw, x, dy, _STRIDE, padding, _DILATION, 1)
