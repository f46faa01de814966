"""Convolutions in Numba. See nnrt._ref.conv for what each computes.

What is read is copied into zeros where the filter reaches beyond it, so that all outputs of a grid read through
the same taps; a transposed convolution has as many grids as its stride has phases. A tile of MR outputs by two
vectors of channels is summed over taps and channels in registers (native.sums), x in place, the filter in panels.
Pieces of work are cut by shape alone, and everything but the sums is left to ufuncs before and after.
"""

from functools import partial
from itertools import product

import numpy as np
from numba import types

from . import threads
from .compiled import array, typed
from .linear import THREAD_MACS, _activate, _give, _take, bias_grad
from .native import MR, VECTOR, address, load, stack, store, sums

# Multiply-adds of a task: a call from Python costs some 10 us.
TASK_MACS = 1 << 22
# Pixels that the filter's gradient sums in registers before it adds to memory: their channels stay in L1.
PIXELS = 256


def filter_size(shape, groups, dtype, backward):
    """Elements of a packed filter."""
    into, per, taps = _sides(shape, groups, backward)
    return groups * _whole(into, dtype) * per * taps


def pack_filter(p, w, stride, dilation, groups, backward):
    """Stores w[O, C/G, KD, KH, KW] in p: panels [tap, channel read, two vectors of channels written]."""
    into, per, taps = _sides(w.shape, groups, backward)
    lanes = _whole(1, p.dtype)
    panels = p.reshape(groups, _whole(into, p.dtype) // lanes, taps, per, lanes).transpose(0, 1, 4, 3, 2)
    w = w.reshape(groups, w.shape[0] // groups, w.shape[1], taps)
    w = w.swapaxes(1, 2) if backward else w
    for i in range(panels.shape[1]):
        part = w[:, i * lanes : (i + 1) * lanes]
        panels[:, i, : part.shape[1]] = part
        panels[:, i, part.shape[1] :] = 0


def conv(y, x, p, shape, b, residual, stride, padding, dilation, groups, activation):
    """y[N, OD, OH, OW, O] from x[N, D, H, W, C], b[O] or None, residual like y or None."""
    axes = _forward(y.shape, shape, stride, padding, dilation)
    _run(y, x, p, shape, _sides(shape, groups, False), b, residual, axes, groups, activation)


def conv_transposed(x, y, p, shape, b, residual, stride, padding, dilation, groups, activation):
    """The adjoint of conv: x[n, i, c] = act(Σ_{o, k: i = o s - p + k d} y[n, o] w[o, c, k] + b[C] + residual)."""
    axes = _transposed(x.shape, shape, stride, padding, dilation)
    _run(x, y, p, shape, _sides(shape, groups, True), b, residual, axes, groups, activation)


def filter_backward(dw, db, x, dy, stride, padding, dilation, groups):
    """dw[o, c, k] = Σ_{n, o} x[n, o s - p + k d, c] dy[n, o, o]: what y += x w gives w; db[o] = Σ_{n, o} dy[n, o, o], or None."""
    if db is not None:
        bias_grad(db, dy.reshape(-1, dy.shape[4]))
    if not (dw.size and dy.size and x.size):
        dw[...] = 0
        return
    axes = _forward(dy.shape, dw.shape, stride, padding, dilation)
    padded, low, memory = _padded(x, axes)
    ((_, steps, taps),) = _grids(axes, dw.shape)
    into, per, _ = _sides(dw.shape, groups, False)
    lanes, whole = _whole(1, dw.dtype), _whole(into, dw.dtype)
    if whole != into:  # vectors must not reach into the next group, or beyond the last pixel
        wide = np.zeros((*dy.shape[:4], groups, whole), dy.dtype)
        wide[..., :into] = dy.reshape(*dy.shape[:4], groups, into)
        dy = wide.reshape(*dy.shape[:4], -1)
    total = np.empty((groups, len(taps), per, whole), dw.dtype)
    x_steps = np.multiply(padded.strides[:4], (1, *steps))
    heads = np.indices(dy.shape[:3]).reshape(3, -1)  # of every row of pixels
    table = np.stack([x_steps[:3] @ heads, dy.strides[:3] @ heads], axis=1)
    offsets = [int(np.dot(np.subtract(at, low), padded.strides[1:4])) for _, at in taps]
    args = dw.dtype.type(1), total, padded, dy, table, np.array(offsets), max(1, PIXELS // dy.shape[3]), int(x_steps[3])
    _share(partial(_sweep[dw.dtype], *args), range(groups * (whole // lanes) * len(taps)), dy.size * per * len(taps))
    _give(memory)
    dw.reshape(groups, into, per, len(taps))[...] = total[..., :into].transpose(0, 3, 2, 1)


@typed(
    lambda T: [
        T, array(T, 4), array(T, 5), array(T, 5), array(types.int64, 2), array(types.int64, 1),
        types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def _sweep(one, total, x, dy, table, offsets, block, x_step, unit):
    """total[group, tap, :, panel] = the products of x, offset by a tap, and of a panel of dy, summed over all pixels."""
    size, taps, per, whole = x.itemsize, total.shape[1], total.shape[2], total.shape[3]
    wide = 2 * VECTOR
    across = whole * size // wide
    group, panel, tap = unit // taps // across, unit // taps % across, unit % taps
    numbers = np.empty(2 * MR, np.int64)
    rows, to = address(numbers), address(numbers) + 8 * MR
    spare = stack(one)
    first_x = address(x) + offsets[tap] + group * per * size
    first_to = address(total) + (group * taps + tap) * per * whole * size + panel * wide
    first_dy = address(dy) + group * whole * size + panel * wide
    for r in range(0, table.shape[0], block):
        for c in range(0, per, MR):
            for i in range(MR):
                numbers[i] = first_x + min(c + i, per - 1) * size
                numbers[MR + i] = first_to + (c + i) * whole * size if c + i < per else spare
            n = min(block, table.shape[0] - r)
            sums(one, to, rows, address(table) + 16 * r, n, dy.shape[3], x_step, first_dy, dy.strides[3], r == 0)


def _run(y, x, p, shape, sides, b, residual, axes, groups, activation):
    into, per, all_taps = sides
    fresh = b is None and residual is None
    if not fresh:
        y[...] = 0 if b is None else b
        if residual is not None:
            y += residual
    elif not (per and x.size and all(phase[4] for axis in axes for phase in axis)):
        y[...] = 0  # some outputs may read nothing
    if y.size and x.size and per:
        padded, low, memory = _padded(x, axes)
        across = _whole(into, y.dtype) // _whole(1, y.dtype)
        for (first, step, counts), steps, taps in _grids(axes, shape):
            pixels = len(y) * int(np.prod(counts))
            if not (taps and pixels):
                continue
            y_steps, x_steps = np.multiply(y.strides[:4], (1, *step)), np.multiply(padded.strides[:4], (1, *steps))
            numbers = np.array([*counts, np.dot(first, y.strides[1:4]), *y_steps, *x_steps, groups, into, per, all_taps])
            panel = per * 2 * VECTOR
            table = np.array([(np.dot(np.subtract(at, low), padded.strides[1:4]), k * panel) for k, at in taps])
            tiles, units, macs = -(-pixels // MR), groups * across, pixels * len(taps) * per * into * groups
            # all panels for a block of tiles, unless these are few
            want = max(1, macs // TASK_MACS)
            blocks = min(want, max(1, tiles // 16))
            parts = min(units, -(-want // blocks))
            args = y.dtype.type(1), fresh, y, padded, p, table, numbers, blocks, parts
            _share(partial(_product[y.dtype], *args), range(blocks * parts), macs)
        _give(memory)
    if activation is not None:
        _activate(y, activation)


@typed(
    lambda T: [
        T, types.boolean, array(T, 5), array(T, 5), array(T, 1), array(types.int64, 2), array(types.int64, 1),
        types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def _product(one, fresh, y, x, p, table, geometry, blocks, parts, task):
    """A block of the tiles of a grid's outputs by a part of the filter's panels."""
    size, wide = y.itemsize, 2 * VECTOR
    depth, high, across, start = geometry[0], geometry[1], geometry[2], geometry[3]
    into, per, taps = geometry[13], geometry[14], geometry[15]
    nr = wide // size
    panels, pixels = (into + nr - 1) // nr, y.shape[0] * depth * high * across
    numbers = np.empty(3 * MR, np.int64)
    rows, to = address(numbers), address(numbers) + 8 * MR
    edge = stack(one)
    tiles, units, block, part = (pixels + MR - 1) // MR, geometry[12] * panels, task // parts, task % parts
    for t in range(block * tiles // blocks, (block + 1) * tiles // blocks):
        lines = min(MR, pixels - t * MR)
        for u in range(part * units // parts, (part + 1) * units // parts):
            group, panel = u // panels, u % panels
            width = min(nr, into - panel * nr)
            for i in range(MR):
                q = min(t * MR + i, pixels - 1)
                w, q = q % across, q // across
                h, q = q % high, q // high
                d, n = q % depth, q // depth
                numbers[i] = (
                    address(x) + n * geometry[8] + d * geometry[9] + h * geometry[10] + w * geometry[11] + group * per * size
                )
                numbers[2 * MR + i] = (
                    address(y) + start + n * geometry[4] + d * geometry[5] + h * geometry[6] + w * geometry[7]
                    + (group * into + panel * nr) * size
                )  # fmt: skip
                numbers[MR + i] = numbers[2 * MR + i] if lines == MR and width == nr else edge + i * wide
            whole = lines == MR and width == nr
            filters = address(p) + u * taps * per * wide
            sums(one, to, rows, address(table), table.shape[0], per, size, filters, wide, fresh or not whole)
            if whole:
                continue
            for i in range(lines):
                line = numbers[2 * MR + i]
                for j in range(width):
                    s = load(one, edge, i * wide + j * size)
                    if not fresh:
                        s += load(one, line, j * size)
                    store(one, s, line, j * size)


def _sides(shape, groups, backward):
    """Channels of a group that are written and read, and taps."""
    sides = shape[0] // groups, shape[1]
    return *(sides[::-1] if backward else sides), int(np.prod(shape[2:]))


def _whole(channels, dtype):
    """Channels rounded up to panels."""
    lanes = 2 * VECTOR // np.dtype(dtype).itemsize
    return -(-channels // lanes) * lanes


def _forward(out, shape, stride, padding, dilation):
    """Per axis the phases of the outputs: first, step, count, step in what is read, [(tap, where the first one reads)]."""
    return [
        [(0, 1, o, s, [(k, k * d - p) for k in range(taps)])]
        for o, taps, s, p, d in zip(out[1:4], shape[2:], stride, padding, dilation)
    ]


def _transposed(out, shape, stride, padding, dilation):
    return [
        [
            (r, s, -(-(o - r) // s), 1, [(k, (r + p - k * d) // s) for k in range(taps) if (r + p - k * d) % s == 0])
            for r in range(min(s, o))
        ]
        for o, taps, s, p, d in zip(out[1:4], shape[2:], stride, padding, dilation)
    ]


def _grids(axes, shape):
    """((first, step, count), step in what is read, [(tap, where the first one reads)]) for all phases of all axes."""
    for phases in product(*axes):
        first, step, count, steps, _ = zip(*phases)
        taps = [
            ((i * shape[3] + j) * shape[4] + k, (a, b, c))
            for (i, a), (j, b), (k, c) in product(*(phase[4] for phase in phases))
        ]
        yield (first, step, count), steps, taps


def _padded(x, axes):
    """(x amid as many zeros as the taps reach, where it begins (at most 0), its memory for _give)."""
    low, shape = [], []
    for axis, size in zip(axes, x.shape[1:4]):
        reach = [(at, at + (count - 1) * step) for _, _, count, step, taps in axis for _, at in taps if count]
        low.append(min([0, *(a for a, _ in reach)]))
        shape.append(max([size, *(b + 1 for _, b in reach)]) - low[-1])
    shape = (len(x), *shape, x.shape[4])
    if shape == x.shape:
        return x, low, np.empty(0, np.uint8)
    memory = _take(int(np.prod(shape)) * x.itemsize)
    padded = memory[: int(np.prod(shape)) * x.itemsize].view(x.dtype).reshape(shape)
    padded[...] = 0
    padded[(slice(None), *(slice(-l, n - l) for l, n in zip(low, x.shape[1:4])))] = x
    return padded, low, memory


def _share(function, tasks, macs):
    if macs < THREAD_MACS or threads.count() == 1:
        for t in tasks:
            function(t)
    else:
        threads.share(function, len(tasks))
