"""Winograd convolution in Numba. See nnrt._ref.winograd for what each computes.

x is copied with its zeros around it and its channels filled up to whole vectors, so that a transform is nothing but
lines of vectors. A block of tiles is transformed, multiplied and transformed back by one thread, near it; for the filter's
gradient threads share the transforms, then the k² products. Operands of products lie where they are.
"""

import numpy as np
from numba import types

from nnrt import memory
from nnrt._ref.winograd import _MATRICES, _matrices, _parts

from . import linear, threads
from .compiled import array, jit, typed
from .native import MR, VECTOR, address, count, line, stack, sums

_FORMS = list(_MATRICES)
_line = line(*(matrix for bt, g, at in _MATRICES.values() for matrix in (bt, at, at.T, g, g.T)))
# B^T, A^T, A, G and G^T for each (tile, taps): places in _line's list.
_INPUT, _OUTPUT, _GRADIENT, _FILTER, _FINISH = ({form: at + 5 * i for i, form in enumerate(_FORMS)} for at in range(5))
# Transformed tiles of the filter's gradient that stay in L3, and those that a thread takes at a time.
BLOCK_BYTES, SHARE = 4 << 20, 8
# Filters whose gradient is turned from taps to filters at a time, a line of floats; elements of a filter from which threads
# share such copies.
TURNED, SHARED = 16, 1 << 17
# As in _ext: rows of the k² matrices in a block, multiply-adds that a thread is worth, bytes of a filter to be read seldom,
# and groups of columns that the products of one block are cut into at most.
BLOCK, TASK_MACS, LARGE, CUTS = 1728, 4 << 20, 4 << 20, 4


@jit
def _both_ways(one, which, half, depth, to, to_down, to_right, source, down, right, k, rows):
    """matrix x matrix^T of squares of `depth` bytes, k values a side, of which `rows` lines are wanted."""
    for c in range(0, depth, VECTOR):
        for j in range(k):
            _line(one, which, half + j * VECTOR, k * VECTOR, source + j * right + c, down)
        for i in range(rows):
            _line(one, which, to + i * to_down + c, to_right, half + i * k * VECTOR, VECTOR)


@jit
def _strip(one, fresh, to, to_row, m, a, a_row, a_step, k, b, b_step, room):
    """to[m, two vectors] = a[m, k] b[k, two vectors], or += where not fresh. room: int64[2 MR + 2], the last two 0."""
    spare = stack(one)
    for i in range(0, m, MR):
        for r in range(MR):
            room[r] = a + min(i + r, m - 1) * a_row
            room[MR + r] = to + (i + r) * to_row if i + r < m else spare
        sums(one, address(room) + 8 * MR, address(room), address(room) + 16 * MR, 1, k, a_step, b, b_step, fresh)


@typed(
    lambda T: [
        T, types.int64, types.int64, array(T, 8), array(T, 6), array(T, 1), types.intp, types.intp, types.intp, types.intp,
        array(types.int64, 1),
    ]
)  # fmt: skip
def _convolve(one, inward, outward, images, out, u, c, block, groups, cuts, numbers):
    """This thread's share of the tiles of out[N, down, across, m, m, O], from images[2, 2, N, down, across, k, k, C] of four
    phases, or [1, 1, ...].

    c: channels of an image; those of all phases lie side by side under u. groups: of images, each with its own part of u.
    cuts: pieces of a block's columns, each by itself. numbers: the next piece, pieces done.
    """
    down, across, side, whole, size = images.shape[3], images.shape[4], images.shape[5], images.shape[7], images.itemsize
    across_phases, phases = images.shape[1], images.shape[0] * images.shape[1]
    tiles, depth, wide = images.shape[2] * down * across // groups, phases * c, 2 * VECTOR
    panels = (out.shape[5] * size + wide - 1) // wide
    v_row, m_row = (depth - c + whole) * size, panels * wide
    v_step, m_step = block * v_row + 64, block * m_row + 64  # places of one tile in different sets
    memory = np.empty(side * side * (v_step + m_step) + 36 * VECTOR + 64, np.uint8)
    room = np.zeros(2 * MR + 2, np.int64)
    half = (address(memory) + 63) // 64 * 64
    v = half + 36 * VECTOR
    m = v + side * side * v_step
    each, numbers = (tiles + block - 1) // block, address(numbers)
    pieces = groups * each * cuts
    while True:
        piece = count(numbers, 1)
        if piece >= pieces:
            break
        t, cut = piece // cuts, piece % cuts
        left, right = panels * cut // cuts, panels * (cut + 1) // cuts
        columns = min(right * wide, out.shape[5] * size) - left * wide  # bytes of them
        first, some = t // each * tiles + t % each * block, min(block, tiles - t % each * block)
        of_u = address(u) + t // each * (u.size // groups) * size
        for s in range(some):
            n, i, j = (first + s) // (down * across), (first + s) // across % down, (first + s) % across
            source = address(images) + n * images.strides[2] + i * images.strides[3] + j * images.strides[4]
            for p in range(phases):  # the zeros that fill up one's vectors make room for the next
                at = source + p // across_phases * images.strides[0] + p % across_phases * images.strides[1]
                to = v + s * v_row + p * c * size
                _both_ways(
                    one, inward, half, whole * size, to, side * v_step, v_step, at, images.strides[5], images.strides[6],
                    side, side,
                )  # fmt: skip
        for e in range(side * side):
            for q in range(left, right):
                panel = of_u + (e * panels + q) * depth * wide
                _strip(one, True, m + e * m_step + q * wide, m_row, some, v + e * v_step, v_row, size, depth, panel, wide, room)
        for s in range(some):
            n, i, j = (first + s) // (down * across), (first + s) // across % down, (first + s) % across
            to = address(out) + n * out.strides[0] + i * out.strides[1] + j * out.strides[2] + left * wide
            _both_ways(
                one, outward, half, columns, to, out.strides[3], out.strides[4], m + s * m_row + left * wide, side * m_step,
                m_step, side, out.shape[3],
            )  # fmt: skip
        count(numbers + 64, 1)
    while count(numbers + 64, 0) < pieces:  # at most another thread's last piece
        pass
    memory[0] = 0  # Numba frees an array behind its last use


@typed(lambda T: [T, types.boolean, array(T, 3), array(T, 3), array(T, 3), array(types.int64, 1)])
def _accumulate(one, fresh, total, v, q, numbers):
    """total[k², C, O] (+)= v[k², tiles, C]^T q[k², tiles, O], O in whole panels: this thread's share."""
    size, wide, room = total.itemsize, 2 * VECTOR, np.zeros(2 * MR + 2, np.int64)
    panels = total.shape[2] * size // wide
    tasks, numbers = total.shape[0] * panels, address(numbers)
    while True:
        t = count(numbers, 1)
        if t >= tasks:
            break
        e, at = t // panels, t % panels * wide
        to, of_v, of_q = address(total) + e * total.strides[0], address(v) + e * v.strides[0], address(q) + e * q.strides[0]
        _strip(
            one, fresh, to + at, total.strides[1], total.shape[1], of_v, size, v.strides[1], v.shape[1], of_q + at,
            q.strides[1], room,
        )  # fmt: skip
        count(numbers + 64, 1)
    while count(numbers + 64, 0) < tasks:
        pass


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
            _both_ways(one, which, part, depth, to, down_to, right_to, source, down_source, right_source, k, rows)
        count(numbers + 64, 1)
    while count(numbers + 64, 0) < shares:  # at most another thread's last share
        pass
    half[0] = 0  # as memory above


def _walk(which, image, flat, first=0, back=False):
    """_transform on all threads."""
    shares = -(-flat.shape[2] // SHARE) if flat.size > 1 << 16 else 1
    _together(_transform[flat.dtype], shares, flat.dtype.type(1), which, back, image, flat, first)


def _together(function, shares, *args):
    """function(*args, numbers) on all threads."""
    args = *args, np.zeros(16, np.int64)
    helpers = min(threads.count(), shares) - 1
    if helpers > 0:
        threads.help_with(function, *args, helpers=helpers)
    function(*args)


def _share(function, tasks, elements):
    """function(t) for each t of a range, on all threads where so many elements are worth it."""
    if elements >= SHARED:
        threads.share(lambda t: function(tasks[t]), len(tasks))
    else:
        for t in tasks:
            function(t)


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


def _blocks(tiles, side, channels, dtype):
    """(first, count) of blocks of tiles that have so many channels in all."""
    most = max(64, BLOCK_BYTES // (side**2 * channels * dtype.itemsize))
    most = -(-tiles // -(-tiles // most))
    return [(first, min(most, tiles - first)) for first in range(0, tiles, most)]


def _transformed(u, form, depth, columns, matrices):
    """u = G w G^T, k² packed matrices [depth, columns], from one for each tap: matrices[r², depth, columns]."""
    r, size = form[1], linear.packed_size(depth, columns, u.dtype)
    taps = memory.empty((r * r, size), u.dtype)
    _share(lambda t: linear.pack_b(taps[t], matrices[t]), range(r * r), taps.size)
    nr = linear.gemm_tile(u.dtype)[1]
    _squared(u, form, taps.reshape(r, r, size // max(depth * nr, 1), depth, nr).transpose(2, 3, 0, 1, 4))


def _squared(u, form, taps):
    """u = G w G^T from panels of taps[panels, depth, r, r, lanes]: squares of taps to k² matrices of such panels."""
    k, nr, rows = sum(form) - 1, taps.shape[4], taps.shape[0] * taps.shape[1]
    _walk(_FILTER[form], taps[None], u[: k * k * rows * nr].reshape(k, k, rows, nr))


def _products(out, images, u, form, c, o, groups=1):
    """out[N, rows, cols, whole vectors of O], whole tiles, from the squares of images with c channels each, in groups."""
    k, dtype = sum(form) - 1, out.dtype
    squares, tiles = _squares(out, form[0], form[0], *images.shape[3:5]), int(np.prod(images.shape[2:5])) // groups
    depth = images.shape[0] * images.shape[1] * c
    size = k * k * linear.packed_size(depth, o, dtype)
    if not (size and tiles):
        out[...] = 0
        return
    most = max(1, BLOCK // (k * k))
    macs, panels = k * k * tiles * depth * o, -(-o * out.itemsize // (2 * VECTOR))
    least = 8 if size * dtype.itemsize < LARGE else 16 if size * dtype.itemsize < 3 * LARGE else most
    blocks = max(-(-tiles // most), min(8 if groups == 1 else 1, macs // TASK_MACS, tiles // least))
    blocks += blocks % 2 if blocks > 1 else 0
    one, block = dtype.type(1), -(-tiles // max(blocks, 1))
    u = u[:size] if groups == 1 else u
    cuts = max(1, min(CUTS, panels, macs // TASK_MACS)) if blocks * groups == 1 else 1
    args = one, _INPUT[form], _OUTPUT[form], images, squares, u, c, block, groups, cuts
    _together(_convolve[dtype], blocks * groups * cuts, *args)


def _forward(y, images, u, form, c, groups=1):
    """y[N, 1, H, W, O] from the squares of images with c channels each."""
    (n, _, h, w, o), (down, across) = y.shape, images.shape[3:5]
    shape = n, down * form[0], across * form[0], _whole(o, y.dtype)
    whole = shape[1:] == (h, w, o)
    out = y[:, 0] if whole else memory.empty(shape, y.dtype)
    if y.size:
        _products(out, images, u, form, c, o, groups)
    if not whole:
        y[:, 0] = out[:, :h, :w, :o]


def _finish(y, b, residual, activation):
    if b is not None:
        y += b
    if residual is not None:
        y += residual
    if activation is not None:
        linear._activate(y, activation)


def _sums(images, dy, form, c):
    """[channels, r, r, O]: the gradient of the taps under the squares of images with c channels each."""
    (n, *_, o), (tile, r) = dy.shape, form
    k, (_, _, _, down, across, *_, whole) = tile + r - 1, images.shape
    phases = [image for row in images for image in row]
    of_y = _squares(_wide(dy, down * tile, across * tile, 0, 0), tile, tile, down, across)
    depth, lanes = len(phases) * c, linear.gemm_tile(dy.dtype)[1]
    columns = -(-of_y.shape[5] // lanes) * lanes
    # places of one number in different sets
    total = memory.empty((k, k, depth * columns + lanes), dy.dtype)[..., : depth * columns].reshape(k, k, depth, columns)
    for first, some in _blocks(n * down * across, k, depth + columns, dy.dtype):
        v = memory.empty((k, k, some, depth - c + whole), dy.dtype)
        for i, image in enumerate(phases):  # the zeros that fill up one's vectors make room for the next
            _walk(_INPUT[form], image, v[..., i * c : i * c + whole], first)
        q = memory.empty((k, k, some, columns), dy.dtype)
        _walk(_GRADIENT[form], of_y, q[..., : of_y.shape[5]], first)
        args = (a.reshape(k * k, *a.shape[2:]) for a in (total, v, q))
        shares = k * k if some * depth * columns * k * k > linear.THREAD_MACS else 1
        _together(_accumulate[dy.dtype], shares, dy.dtype.type(1), first == 0, *args)
    taps = memory.empty((1, 1, depth, r, r, of_y.shape[5]), dy.dtype)
    _walk(_FINISH[form], taps, total[..., : of_y.shape[5]], back=True)
    return taps[0, 0, ..., :o]


def filter_size(shape, dtype, tile):
    """Elements of a transformed filter of w's shape, forward or backward; the layout is the back-end's own."""
    o, c = shape[:2]
    return (tile + shape[4] - 1) ** 2 * max(linear.packed_size(c, o, dtype), linear.packed_size(o, c, dtype))


def transform_filter(u, w, tile, backward, groups=1):
    """u = G w G^T, k² packed matrices [C, O]; backward: of w rotated, O and C exchanged, for the input's gradient."""
    if groups > 1:
        for part, of in zip(u.reshape(groups, -1), w.reshape(groups, -1, *w.shape[1:])):
            transform_filter(part, of, tile, backward)
        return
    (o, c), r, nr = w.shape[:2], w.shape[4], linear.gemm_tile(w.dtype)[1]
    _matrices(tile, r, w.dtype)
    # Panels in which a filter's taps follow one another, as they do in w: the turn of a matrix, or of one for each filter.
    one, across = w.dtype.type(1), -(-(c if backward else o) // nr)
    if backward:
        taps, flat = memory.empty((o, across, r, r, nr), w.dtype), w.reshape(o, c, r * r).transpose(0, 2, 1)
        packed, step = taps.reshape(o, across * r * r * nr), TURNED
        pack = linear._pack_b[w.dtype]
        _share(lambda t: pack(one, packed[t : t + step], flat[t : t + step]), range(0, o, step), w.size)
        taps = taps.transpose(1, 0, 2, 3, 4)[:, :, ::-1, ::-1]
    else:
        taps, flat = memory.empty((across, c, r, r, nr), w.dtype), w.reshape(o, c * r * r).T
        packed = taps.reshape(across, c * r * r * nr)
        _share(lambda t: linear.pack_b(packed[t], flat[:, t * nr : t * nr + nr]), range(across), w.size)
    _squared(u, (tile, r), taps)


def _images(x, size, padding, form):
    """The squares of x[N, 1, H, W, C] under the tiles of an output of this size."""
    tile, r = form
    down, across = (-(-s // tile) for s in size)
    wide = _wide(x, down * tile + r - 1, across * tile + r - 1, *padding[1:])
    return _squares(wide, tile + r - 1, tile, down, across)[None, None]


def _grouped(a, groups):
    """A view [G, N, 1, H, W, C/G] of a[N, 1, H, W, C]."""
    return np.moveaxis(a.reshape(*a.shape[:4], groups, -1), 4, 0)


def conv(y, x, u, b, residual, padding, taps, tile, activation, groups=1):
    """y[N, 1, OH, OW, O] = act(conv(x[N, 1, H, W, C], w) + b[O] + residual); b, residual and activation may be None."""
    if groups > 1:
        images, made = memory.contiguous(_grouped(x, groups)), memory.empty(_grouped(y, groups).shape, y.dtype)
        (g, n, *rest), size = images.shape, made.shape[2:]
        images, out = images.reshape(g * n, *rest), made.reshape(g * n, *size)
        _forward(out, _images(images, size[1:3], padding, (tile, taps)), u, (tile, taps), rest[-1], groups)
        _grouped(y, groups)[...] = made
    else:
        _forward(y, _images(x, y.shape[2:4], padding, (tile, taps)), u, (tile, taps), x.shape[4])
    _finish(y, b, residual, activation)


def filter_backward(dw, x, dy, padding, tile, groups=1):
    """dw[O, C/G, 1, r, r] = Σ over y's pixels of dy and the patch of x under it."""
    if groups > 1:
        for part, of in zip(dw.reshape(groups, -1, *dw.shape[1:]), _parts(groups, x, dy)):
            filter_backward(part, *map(memory.contiguous, of), padding, tile)
        return
    form = tile, dw.shape[4]
    _matrices(*form, x.dtype)
    if dw.size == 0 or dy.size == 0:
        dw[...] = 0
        return
    taps = _sums(_images(x, dy.shape[2:4], padding, form), dy, form, x.shape[4])

    rows, flat, turned = len(dw), dw.reshape(len(dw), -1), taps.reshape(-1, taps.shape[-1]).T
    copy, one = linear._copied[dw.dtype], dw.dtype.type(1)
    _share(lambda t: copy(one, flat[t : t + TURNED], turned[t : t + TURNED]), range(0, rows, TURNED), dw.size)


# ---- 4x4 filters with stride 2 ----


def strided_size(shape, dtype, tile):
    """filter_size of a 4x4 filter with stride 2."""
    o, c = shape[:2]
    return (tile + 1) ** 2 * max(linear.packed_size(4 * c, o, dtype), 4 * linear.packed_size(o, c, dtype))


def transform_strided(u, w, tile, backward):
    """u from w[O, C, 1, 4, 4]: for strided_conv, or backward for strided_conv_transposed."""
    (o, c), form = w.shape[:2], (tile, 2)
    taps = w.reshape(o, c, 2, 2, 2, 2)  # two taps, two phases, down; the same across
    if not backward:
        taps = taps.transpose(2, 4, 3, 5, 1, 0).reshape(4, 4 * c, o)
        return _transformed(u, form, 4 * c, o, taps)
    size = (tile + 1) ** 2 * linear.packed_size(o, c, w.dtype)
    taps = taps[:, :, ::-1, :, ::-1].transpose(3, 5, 2, 4, 0, 1).reshape(4, 4, o, c)
    for phase in range(4):
        _transformed(u[phase * size :], form, o, c, taps[phase])


def _phases(x, size, padding, tile):
    """The squares of x's four phases under the tiles of an output of this size."""
    down, across = (-(-s // tile) for s in size)
    wide = _wide(x, 2 * (down * tile + 1), 2 * (across * tile + 1), *padding[1:])
    one = _squares(wide[:, ::2, ::2], tile + 1, tile, down, across)
    return np.lib.stride_tricks.as_strided(one, (2, 2, *one.shape), (*wide.strides[1:3], *one.strides), writeable=False)


def _strided(u, tile, backward):
    """u, or what transform_strided makes of w."""
    if u.ndim == 1:
        return u
    w, u = u, memory.empty((strided_size(u.shape, u.dtype, tile),), u.dtype)
    transform_strided(u, w, tile, backward)
    return u


def strided_conv(y, x, u, b, residual, padding, tile, activation):
    """y[N, 1, OH, OW, O] = act(conv of x[N, 1, H, W, C] with stride 2 + b[O] + residual)."""
    images = _phases(x, y.shape[2:4], padding, tile)
    _forward(y, images, _strided(u, tile, False), (tile, 2), x.shape[4])
    _finish(y, b, residual, activation)


def strided_conv_transposed(x, y, u, b, padding, tile):
    """x = the adjoint of strided_conv applied to y + b[C]."""
    (n, _, h, w, c), o = x.shape, y.shape[4]
    u = _strided(u, tile, True)
    size = (tile + 1) ** 2 * linear.packed_size(o, c, x.dtype)
    down, across = (-(-s // (2 * tile)) for s in (h, w))
    out = memory.empty((n, 2 * down * tile, 2 * across * tile, _whole(c, x.dtype)), x.dtype)
    wide = _wide(y, down * tile + 2, across * tile + 2, *(1 - p // 2 for p in padding[1:]))
    for i in range(2 if x.size else 0):
        for j in range(2):
            # the taps that these pixels meet, and the first pixel of y that they do
            (top, of_h), (left, of_w) = (divmod(p % 2 + at, 2) for p, at in zip(padding[1:], (i, j)))
            image = _squares(wide[:, top:, left:], tile + 1, tile, down, across)
            _products(out[:, i::2, j::2], image[None, None], u[(2 * of_h + of_w) * size :], (tile, 2), o, c)
    x[:, 0] = out[:, :h, :w, :c]
    if b is not None:
        x += b


def strided_filter_backward(dw, x, dy, padding, tile):
    """dw[O, C, 1, 4, 4] = the sum over y's pixels of dy and the patch of x under it."""
    o, c = dw.shape[:2]
    if dw.size == 0 or dy.size == 0:
        dw[...] = 0
        return
    taps = _sums(_phases(x, dy.shape[2:4], padding, tile), dy, (tile, 2), c).reshape(2, 2, c, 2, 2, o)
    dw[...] = taps.transpose(5, 2, 3, 0, 4, 1).reshape(dw.shape)
