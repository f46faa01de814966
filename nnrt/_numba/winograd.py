"""Winograd convolution in Numba. See nnrt._ref.winograd for what each computes.

A thread transforms a block of tiles, multiplies it and transforms it back, near it; for the filter's gradient threads share
the transforms, then blocks of sums. `tiles` holds what each thread does; one call of it is a whole convolution.
"""

import numpy as np

from nnrt import memory
from nnrt._ref.winograd import (  # noqa: F401  along rows as specified
    _matrices,
    _parts,
    rows_conv,
    rows_filter_backward,
    rows_size,
    transform_rows,
)

from . import linear, threads, tiles
from .gate import WORDS
from .linear import bias_grad
from .native import MR, VECTOR

# B^T, A^T, A, G and G^T for each (tile, taps): places in tiles' list.
_INPUT, _OUTPUT, _GRADIENT, _FILTER, _FINISH = ({form: at + 5 * i for i, form in enumerate(tiles.FORMS)} for at in range(5))
# Transformed tiles of the filter's gradient that stay in L3, the sums of a block that stay in L2, and blocks from which
# matrices need not be shared out.
BLOCK_BYTES, SUMS_BYTES, BLOCKS = 4 << 20, 208 << 10, 8
# As in _ext: rows of the k² matrices in a block, multiply-adds that a thread is worth, bytes of a filter to be read
# seldom, and groups of columns that the products of one block are cut into at most.
BLOCK, TASK_MACS, LARGE, CUTS = 1728, 4 << 20, 4 << 20, 4
# Tiles of a group from which a small filter's gradient is summed in groups.
APART = 64
# Multiply-adds of a filter's transform from which threads share it.
SHARED = 1 << 18
# The only filter among its taps, at the beginning of u.
_ONE = np.zeros((1, 2), np.int64)


def _size(depth, columns, matrices, size):
    """Elements of u."""
    return -(-columns * size // tiles.WIDE) * matrices * tiles.odd(depth * tiles.WIDE) // size


def _transformed(u, w, parts, form, depth, taps, groups=1):
    """u from w[groups, columns, rows, taps], whose `parts` (see tiles.transform) lie under one another to so great a depth."""
    r, k, size = form[1], sum(form) - 1, w.itemsize
    step, (down, right) = tiles.odd(depth * tiles.WIDE), taps
    pieces = w.shape[0] * -(-w.shape[1] * size // tiles.WIDE) * -(-w.shape[2] // tiles.PART) if w.size * k * k > SHARED else 1
    args = w.dtype.type(1), _FILTER[form], u, w, parts, step, down, right, k, r, u.nbytes // groups
    threads.dealt(tiles.transform[w.dtype], pieces, *args)


def _products(y, x, u, b, padding, step, form, groups=1):
    """y[N, OH, OW, O] = the products of x[N, H, W, C] and u, + b; groups follow one another along N."""
    (tile, r), k, dtype = form, sum(form) - 1, y.dtype
    (n, h, w, o), c = y.shape, x.shape[3]
    if not (y.size and c):
        y[...] = 0 if b is None else b
        return
    squares, depth = n * -(-h // tile) * -(-w // tile) // groups, c * step * step
    size, macs = _size(depth, o, k * k, y.itemsize), k * k * squares * depth * o
    panels = -(-o * y.itemsize // (2 * VECTOR))
    most = max(1, BLOCK // (k * k))
    least = 8 if size * dtype.itemsize < LARGE else 16 if size * dtype.itemsize < 3 * LARGE else most
    blocks = max(-(-squares // most), min(8 if groups == 1 else 1, macs // TASK_MACS, squares // least))
    blocks += blocks % 2 if blocks > 1 else 0
    block = -(-squares // max(blocks, 1))
    cuts = max(1, min(CUTS, panels, macs // TASK_MACS)) if blocks * groups == 1 else 1
    u, b = u[:size] if groups == 1 else u, np.empty(0, dtype) if b is None else b
    args = dtype.type(1), _INPUT[form], _OUTPUT[form], y, x, u, b, tile, r, *padding, step, block, groups, cuts
    threads.dealt(tiles.convolve[dtype], blocks * groups * cuts, *args)


def _finish(y, residual, activation):
    if residual is not None:
        y += residual
    if activation is not None:
        linear._activate(y, activation)


def _gradient(dw, x, dy, padding, step, form, parts, taps):
    """dw[O, C, taps] from x[N, H, W, C] and dy[N, OH, OW, O]."""
    (tile, r), k, size = form, sum(form) - 1, dw.itemsize
    (o, c, _), (n, h, w, _), phases = dw.shape, dy.shape, step * step
    if not (dw.size and dy.size):
        dw[...] = 0
        return
    squares, (of_c, of_o) = n * -(-h // tile) * -(-w // tile), (-(-d * size // tiles.WIDE) for d in (c, o))
    forms, geometry = (_INPUT[form], _GRADIENT[form], _FINISH[form]), (tile, r, *padding, step, *taps)
    if of_c * of_o < BLOCKS and squares >= APART * tiles.GROUPS:
        most, each = max(APART, BLOCK_BYTES // (2 * k * k * (phases * of_c + of_o) * tiles.WIDE)), -(-squares // tiles.GROUPS)
        most = -(-each // -(-each // most))
        room = linear._take(tiles.GROUPS * of_c * of_o * k * k * tiles.odd(phases * tiles.sums_bytes(size)) + 64)
        args = *forms, dw, x, dy, parts, room, *geometry, most
        threads.dealt(tiles.gradient_apart[dw.dtype], tiles.GROUPS, dw.dtype.type(1), *args)
        linear._give(room)
        return
    most = max(64, BLOCK_BYTES // (k * k * (phases * of_c + of_o) * tiles.WIDE))
    most = -(-squares // -(-squares // most))
    sums = phases * tiles.sums_bytes(size)
    high = max(1, min(SUMS_BYTES // (k * k * sums), of_c * of_o // (2 * BLOCKS)))
    high = -(-of_c // -(-of_c // high))
    blocks = -(-of_c // high) * of_o
    cuts = 1 if blocks >= BLOCKS else 4
    room = k * k * sum(tiles.gradient_bytes(size, most, c, o, phases)) + tiles.WIDE * 2 * MR
    if cuts > 1 or most < squares:
        room += blocks * k * k * tiles.odd(high * sums)
    words = 128 + (2 * -(-squares // most) + 1) * WORDS
    room = linear._take(words + room)
    room[:words] = 0
    shares = blocks * cuts if squares * phases * c * o * k * k > linear.THREAD_MACS else 1
    args = *forms, dw, x, dy, parts, room, *geometry, most, high, cuts
    threads.dealt(tiles.gradient[dw.dtype], shares, dw.dtype.type(1), *args)
    linear._give(room)


def filter_size(shape, dtype, tile):
    """Elements of a transformed filter of w's shape, forward or backward; the layout is the back-end's own."""
    (o, c), matrices, size = shape[:2], (tile + shape[4] - 1) ** 2, np.dtype(dtype).itemsize
    return max(_size(c, o, matrices, size), _size(o, c, matrices, size))


def transform_filter(u, w, tile, backward, groups=1):
    """u = G w G^T, k² packed matrices [C, O]; backward: of w rotated, O and C exchanged, for the input's gradient."""
    (o, c), r = w.shape[:2], w.shape[4]
    _matrices(tile, r, w.dtype)
    w = w.reshape(groups, o // groups, c, r * r)
    if backward:
        _transformed(u, w.swapaxes(1, 2), np.array([[r * r - 1, 0]]), (tile, r), o // groups, (-r, -1), groups)
    else:
        _transformed(u, w, _ONE, (tile, r), c, (r, 1), groups)


def _grouped(a, groups):
    """A view [G, N, 1, H, W, C/G] of a[N, 1, H, W, C]."""
    return np.moveaxis(a.reshape(*a.shape[:4], groups, -1), 4, 0)


def conv(y, x, u, b, residual, padding, taps, tile, activation, groups=1, backward=False):
    """y[N, 1, OH, OW, O] = act(conv(x[N, 1, H, W, C], w) + b[O] + residual); b, residual and activation may be None."""
    form = tile, taps
    if u.ndim > 1:
        w, u = u, memory.empty((groups * filter_size((len(u) // groups, *u.shape[1:]), u.dtype, tile),), u.dtype)
        transform_filter(u, w, tile, backward, groups)
    if groups > 1:
        images, made = memory.contiguous(_grouped(x, groups)), memory.empty(_grouped(y, groups).shape, y.dtype)
        out, images = (a.reshape(-1, *a.shape[3:]) for a in (made, images))
        _products(out, images, u, None, padding[1:], 1, form, groups)
        _grouped(y, groups)[...] = made
        if b is not None:
            y += b
    else:
        _products(y[:, 0], x[:, 0], u, b, padding[1:], 1, form)
    _finish(y, residual, activation)


def filter_backward(dw, db, x, dy, padding, tile, groups=1):
    """dw[O, C/G, 1, r, r] = Σ over y's pixels of dy and the patch of x under it; db[O] = Σ dy, or None."""
    if db is not None:
        bias_grad(db, dy.reshape(-1, dy.shape[4]))
    if groups > 1:
        for part, of in zip(dw.reshape(groups, -1, *dw.shape[1:]), _parts(groups, x, dy)):
            filter_backward(part, None, *map(memory.contiguous, of), padding, tile)
        return
    o, c, _, r, _ = dw.shape
    _matrices(tile, r, x.dtype)
    _gradient(dw.reshape(o, c, r * r), x[:, 0], dy[:, 0], padding[1:], 1, (tile, r), _ONE, (r, 1))


# ---- 4x4 filters with stride 2: four filters of every second tap ----


def strided_size(shape, dtype, tile):
    """filter_size of a 4x4 filter with stride 2."""
    (o, c), matrices, size = shape[:2], (tile + 1) ** 2, np.dtype(dtype).itemsize
    return max(_size(4 * c, o, matrices, size), 4 * _size(o, c, matrices, size))


def transform_strided(u, w, tile, backward):
    """u from w[O, C, 1, 4, 4]: for strided_conv, or backward for strided_conv_transposed."""
    (o, c), form = w.shape[:2], (tile, 2)
    flat = w.reshape(1, o, c, 16)
    if backward:
        size = _size(o, c, (tile + 1) ** 2, w.itemsize) * w.itemsize
        parts = np.array([[at + 10, phase * size] for phase, at in enumerate((0, 1, 4, 5))])
        _transformed(u, flat.swapaxes(1, 2), parts, form, o, (-8, -2))
    else:
        parts = np.array([[at, phase * c * tiles.WIDE] for phase, at in enumerate((0, 1, 4, 5))])
        _transformed(u, flat, parts, form, 4 * c, (8, 2))


def _strided(u, tile, backward):
    """u, or what transform_strided makes of w."""
    if u.ndim == 1:
        return u
    w, u = u, memory.empty((strided_size(u.shape, u.dtype, tile),), u.dtype)
    transform_strided(u, w, tile, backward)
    return u


def strided_conv(y, x, u, b, residual, padding, tile, activation):
    """y[N, 1, OH, OW, O] = act(conv of x[N, 1, H, W, C] with stride 2 + b[O] + residual)."""
    _products(y[:, 0], x[:, 0], _strided(u, tile, False), b, padding[1:], 2, (tile, 2))
    _finish(y, residual, activation)


def strided_conv_transposed(x, y, u, b, padding, tile):
    """x = the adjoint of strided_conv applied to y + b[C]."""
    c, o = x.shape[4], y.shape[4]
    u = _strided(u, tile, True)
    size = _size(o, c, (tile + 1) ** 2, x.itemsize)
    for i in range(2):
        for j in range(2):
            # the taps that these pixels meet, and the first pixel of y that they do
            (top, of_h), (left, of_w) = (divmod(p % 2 + at, 2) for p, at in zip(padding[1:], (i, j)))
            pads = 1 - padding[1] // 2 - top, 1 - padding[2] // 2 - left
            _products(x[:, 0, i::2, j::2], y[:, 0], u[(2 * of_h + of_w) * size :], b, pads, 1, (tile, 2))


def strided_filter_backward(dw, db, x, dy, padding, tile):
    """dw[O, C, 1, 4, 4] = Σ over y's pixels of dy and the patch of x under it; db[O] = Σ dy, or None."""
    if db is not None:
        bias_grad(db, dy.reshape(-1, dy.shape[4]))
    o, c = dw.shape[:2]
    parts = np.array([[at, 0] for at in (0, 1, 4, 5)])
    _gradient(dw.reshape(o, c, 16), x[:, 0], dy[:, 0], padding[1:], 2, (tile, 2), parts, (8, 2))
