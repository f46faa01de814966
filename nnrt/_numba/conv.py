"""Convolutions in Numba. See nnrt._ref.conv for what each computes.

What is read is copied into zeros where the filter reaches beyond it, so that all outputs of a grid read through
the same taps; a transposed convolution has as many grids as its stride has phases. A tile of MR outputs by two
vectors of channels is summed over taps and channels in registers (native.sums), x in place, the filter in panels.
Pieces of work are cut by shape alone, and everything but the sums is left to ufuncs before and after.
"""

import math
from functools import lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
from numba import types

from . import threads
from .compiled import array, jit, shared
from .gate import WORDS, mine, reach
from .linear import THREAD_MACS, _activate, _copy, _give, _take, bias_grad
from .native import MR, VECTOR, address, count, load, stack, store, sums

# Multiply-adds of a task.
TASK_MACS = 1 << 18
# Pixels that the filter's gradient sums in registers before it adds to memory: their channels stay in L1.
PIXELS = 256


def filter_size(shape, groups, dtype, backward):
    """Elements of a packed filter."""
    into, per, taps = _sides(shape, groups, backward)
    return groups * _whole(into, np.dtype(dtype).itemsize) * per * taps


def pack_filter(p, w, stride, dilation, groups, backward):
    """Stores w[O, C/G, KD, KH, KW] in p: panels [tap, channel read, two vectors of channels written]."""
    into, per, taps = _sides(w.shape, groups, backward)
    lanes = _whole(1, p.itemsize)
    panels = p.reshape(groups, _whole(into, p.itemsize) // lanes, taps, per, lanes).transpose(0, 1, 4, 3, 2)
    w = w.reshape(groups, w.shape[0] // groups, w.shape[1], taps)
    w = w.swapaxes(1, 2) if backward else w
    for i in range(panels.shape[1]):
        part = w[:, i * lanes : (i + 1) * lanes]
        panels[:, i, : part.shape[1]] = part
        panels[:, i, part.shape[1] :] = 0


def conv(y, x, p, shape, b, residual, stride, padding, dilation, groups, activation):
    """y[N, OD, OH, OW, O] from x[N, D, H, W, C], b[O] or None, residual like y or None."""
    _run(y, x, p, False, shape, b, residual, stride, padding, dilation, groups, activation)


def conv_transposed(x, y, p, shape, b, residual, stride, padding, dilation, groups, activation):
    """The adjoint of conv: x[n, i, c] = act(Σ_{o, k: i = o s - p + k d} y[n, o] w[o, c, k] + b[C] + residual)."""
    _run(x, y, p, True, shape, b, residual, stride, padding, dilation, groups, activation)


def _run(y, x, p, transposed, shape, b, residual, stride, padding, dilation, groups, activation):
    plan = _plan(
        transposed, y.shape, y.strides, x.shape, x.strides, y.itemsize, tuple(shape), stride, padding, dilation, groups
    )
    fresh = b is None and residual is None
    if not fresh:
        y[...] = 0 if b is None else b
        if residual is not None:
            y += residual
    elif not (x.size and plan.all_read):
        y[...] = 0
    if y.size and x.size:
        padded, memory = _padded(x, plan.low, plan.shape)
        for geometry, table, macs, blocks, parts in plan.grids:
            args = y.dtype.type(1), fresh, y, padded, p, table, geometry, blocks, parts
            threads.dealt(_product[y.dtype], blocks * parts if macs >= THREAD_MACS else 1, *args)
        _give(memory)
    if activation is not None:
        _activate(y, activation)


class _Plan(NamedTuple):
    """What a convolution's shapes decide; numpy would take longer over it than the products of a small one."""

    low: list  # where what is read begins, with zeros around it
    shape: tuple  # and how large it is with them
    all_read: bool  # every output reads something
    grids: list  # (what _product wants of its geometry, table of taps, multiply-adds, blocks, parts)


@lru_cache(256)
def _plan(transposed, out, out_steps, read, read_steps, size, shape, stride, padding, dilation, groups):
    axes = (_transposed if transposed else _forward)(out, shape, stride, padding, dilation)
    into, per, all_taps = _sides(shape, groups, transposed)
    low, padded = _reach(read, axes)
    if padded != read:
        read_steps = _dense(padded, size)
    across, grids = _whole(into, size) // _whole(1, size), []
    for (first, step, counts), steps, taps in _grids(axes, shape):
        pixels = out[0] * math.prod(counts)
        if not (taps and pixels and per):
            continue
        y_steps, x_steps = np.multiply(out_steps[:4], (1, *step)), np.multiply(read_steps[:4], (1, *steps))
        numbers = np.array([*counts, np.dot(first, out_steps[1:4]), *y_steps, *x_steps, groups, into, per, all_taps])
        panel = per * 2 * VECTOR
        table = np.array([(np.dot(np.subtract(at, low), read_steps[1:4]), k * panel) for k, at in taps])
        tiles, units, macs = -(-pixels // MR), groups * across, pixels * len(taps) * per * into * groups
        # all panels for a block of tiles, unless these are few
        want = max(1, macs // TASK_MACS)
        blocks = min(want, max(1, tiles // 16))
        grids.append((numbers, table, macs, blocks, min(units, -(-want // blocks))))
    return _Plan(low, padded, bool(per) and all(phase[4] for axis in axes for phase in axis), grids)


@shared(
    lambda T: [
        T, types.boolean, array(T, 5), array(T, 5), array(T, 1), array(types.int64, 2), array(types.int64, 1),
        types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def _product(one, fresh, y, x, p, table, geometry, blocks, parts, threads, numbers):
    """This thread's share of a grid's outputs: blocks of tiles by parts of the filter's panels, dealt to so many threads at most
    (see gate.mine)."""
    size, wide = y.itemsize, 2 * VECTOR
    depth, high, across, start = geometry[0], geometry[1], geometry[2], geometry[3]
    into, per, taps = geometry[13], geometry[14], geometry[15]
    nr = wide // size
    panels, pixels = (into + nr - 1) // nr, y.shape[0] * depth * high * across
    lines = np.empty(3 * MR, np.int64)
    rows, to = address(lines), address(lines) + 8 * MR
    edge = stack(one)
    tiles, units, me = (pixels + MR - 1) // MR, geometry[12] * panels, count(numbers, 1)
    while True:
        task = mine(numbers, threads, me, blocks * parts)
        if task < 0:
            break
        block, part = task // parts, task % parts
        for t in range(block * tiles // blocks, (block + 1) * tiles // blocks):
            wanted = min(MR, pixels - t * MR)
            for u in range(part * units // parts, (part + 1) * units // parts):
                group, panel = u // panels, u % panels
                width = min(nr, into - panel * nr)
                whole = wanted == MR and width == nr
                for i in range(MR):
                    q = min(t * MR + i, pixels - 1)
                    w, q = q % across, q // across
                    h, q = q % high, q // high
                    d, n = q % depth, q // depth
                    lines[i] = (
                        address(x) + n * geometry[8] + d * geometry[9] + h * geometry[10] + w * geometry[11] + group * per * size
                    )
                    lines[2 * MR + i] = (
                        address(y) + start + n * geometry[4] + d * geometry[5] + h * geometry[6] + w * geometry[7]
                        + (group * into + panel * nr) * size
                    )  # fmt: skip
                    lines[MR + i] = lines[2 * MR + i] if whole else edge + i * wide
                filters = address(p) + u * taps * per * wide
                sums(one, to, rows, address(table), table.shape[0], per, size, filters, wide, fresh or not whole)
                if whole:
                    continue
                for i in range(wanted):
                    line = lines[2 * MR + i]
                    for j in range(width):
                        s = load(one, edge, i * wide + j * size)
                        if not fresh:
                            s += load(one, line, j * size)
                        store(one, s, line, j * size)
    lines[0] = 0  # Numba frees an array behind its last use


# ---- the filter's gradient ----


def fold(x, columns, b, stride, padding, dilation):
    """x[n, i, c] = b[c] + Σ_{o, k: i = o s - p + k d} columns[n, o, k, c]: columns[N, OD, OH, OW, KD, KH, KW, C], b[C] or None"""
    b = np.zeros(x.shape[-1:], x.dtype) if b is None else b
    args = tuple(stride), tuple(padding), tuple(dilation)
    threads.share(lambda n: _fold(x[n], columns[n], b, *args), len(x))


@jit
def _fold(x, columns, b, stride, padding, dilation):
    x[...] = b
    out_d, out_h, out_w, taps_d, taps_h, taps_w, channels = columns.shape
    for od in range(out_d):
        for kd in range(taps_d):
            d = od * stride[0] - padding[0] + kd * dilation[0]
            for oh in range(out_h if 0 <= d < x.shape[0] else 0):
                for kh in range(taps_h):
                    h = oh * stride[1] - padding[1] + kh * dilation[1]
                    for ow in range(out_w if 0 <= h < x.shape[1] else 0):
                        for kw in range(taps_w):
                            w = ow * stride[2] - padding[2] + kw * dilation[2]
                            for c in range(channels if 0 <= w < x.shape[2] else 0):
                                x[d, h, w, c] += columns[od, oh, ow, kd, kh, kw, c]


def filter_backward(dw, db, x, dy, stride, padding, dilation, groups):
    """dw[o, c, k] = Σ_{n, o} x[n, o s - p + k d, c] dy[n, o, o]: what y += x w gives w; db[o] = Σ_{n, o} dy[n, o, o], or None."""
    if db is not None:
        bias_grad(db, dy.reshape(-1, dy.shape[4]))
    if not (dw.size and dy.size and x.size):
        dw[...] = 0
        return
    into, per, taps = _sides(dw.shape, groups, False)
    size = dw.itemsize
    lanes, whole = _whole(1, size), _whole(into, size)
    if whole != into:  # vectors must not reach into the next group, or beyond the last pixel
        wide = np.zeros((*dy.shape[:4], groups, whole), dy.dtype)
        wide[..., :into] = dy.reshape(*dy.shape[:4], groups, into)
        dy = wide.reshape(*dy.shape[:4], -1)
    low, shape, table, offsets, x_step = _walk(
        dy.shape, dy.strides, x.shape, x.strides, size, dw.shape, stride, padding, dilation
    )
    padded, memory = _padded(x, low, shape)
    total = _take(groups * whole * per * taps * size)
    sums = total[: groups * whole * per * taps * size].view(dw.dtype).reshape(groups, whole // lanes, per, taps, lanes)
    args = dw.dtype.type(1), dw.reshape(groups, into, -1), sums, padded, dy, table, offsets
    units = groups * (whole // lanes) * taps if dy.size * per * taps >= THREAD_MACS else 1
    threads.dealt(_sweep[dw.dtype], units, *args, max(1, PIXELS // dy.shape[3]), x_step)
    _give(memory)
    _give(total)


@lru_cache(64)
def _walk(out, out_steps, read, read_steps, size, shape, stride, padding, dilation):
    """Where x begins with the zeros around it and how large it is; bytes to every row of pixels of x and dy, and to each tap;
    from pixel to pixel of x."""
    axes = _forward(out, shape, stride, padding, dilation)
    low, padded = _reach(read, axes)
    if padded != read:
        read_steps = _dense(padded, size)
    ((_, steps, taps),) = _grids(axes, shape)
    x_steps = np.multiply(read_steps[:4], (1, *steps))
    heads = np.indices(out[:3]).reshape(3, -1)
    table = np.stack([x_steps[:3] @ heads, out_steps[:3] @ heads], axis=1)
    return low, padded, table, np.array([np.dot(np.subtract(at, low), read_steps[1:4]) for _, at in taps]), int(x_steps[3])


@shared(
    lambda T: [
        T, array(T, 3), array(T, 5), array(T, 5), array(T, 5), array(types.int64, 2), array(types.int64, 1),
        types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def _sweep(one, dw, total, x, dy, table, offsets, block, x_step, threads, numbers):
    """This thread's share of dw[group, channel written, (channel read, tap)], which is total[group, panel, channel read, tap, :]
    turned: first sums over all pixels for a panel and a tap, then panels. threads: as in _product."""
    size, wide, (groups, across, per, taps, lanes) = x.itemsize, 2 * VECTOR, total.shape
    into = dw.shape[1]
    lines = np.empty(2 * MR, np.int64)
    rows, to = address(lines), address(lines) + 8 * MR
    spare = stack(one)
    panels, me, done = groups * across, count(numbers, 1), 0
    while True:
        piece = mine(numbers, threads, me, panels * taps)
        if piece < 0:
            break
        unit, tap = piece // taps, piece % taps
        first_x = address(x) + offsets[tap] + unit // across * per * size
        first_to = address(total) + (unit * per * taps + tap) * wide
        first_dy = address(dy) + unit * wide
        for r in range(0, table.shape[0], block):
            for c in range(0, per, MR):
                for i in range(MR):
                    lines[i] = first_x + min(c + i, per - 1) * size
                    lines[MR + i] = first_to + (c + i) * taps * wide if c + i < per else spare
                n = min(block, table.shape[0] - r)
                sums(one, to, rows, address(table) + 16 * r, n, dy.shape[3], x_step, first_dy, dy.strides[3], r == 0)
        done += 1
    count(numbers + 64, done)
    reach(numbers + 64, panels * taps)
    while True:
        unit = mine(numbers + WORDS, threads, me, panels)
        if unit < 0:
            break
        first, row = unit % across * lanes, per * taps * size
        to_dw, source = address(dw) + (unit // across * into + first) * row, address(total) + unit * per * taps * wide
        _copy(one, size, to_dw, row, source, min(lanes, into - first), per * taps, size, wide)
    lines[0] = 0  # as above


# ---- geometry ----


def _sides(shape, groups, backward):
    """Channels of a group that are written and read, and taps."""
    sides = shape[0] // groups, shape[1]
    return *(sides[::-1] if backward else sides), int(np.prod(shape[2:]))


def _whole(channels, size):
    """Channels, of so many bytes, rounded up to panels."""
    lanes = 2 * VECTOR // size
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


def _reach(read, axes):
    """Where the taps begin to read (at most 0) along each axis of an image, and the shape of all that they read."""
    low, shape = [], []
    for axis, size in zip(axes, read[1:4]):
        reach = [(at, at + (count - 1) * step) for _, _, count, step, taps in axis for _, at in taps if count]
        low.append(min([0, *(a for a, _ in reach)]))
        shape.append(max([size, *(b + 1 for _, b in reach)]) - low[-1])
    return low, (read[0], *shape, read[4])


def _dense(shape, size):
    """Bytes from element to element along each axis of a dense array."""
    return tuple(size * math.prod(shape[i + 1 :]) for i in range(len(shape)))


def _padded(x, low, shape):
    """x amid zeros that give it this shape, and its memory for _give."""
    if shape == x.shape:
        return x, np.empty(0, np.uint8)
    size = math.prod(shape) * x.itemsize
    memory = _take(size)
    padded = memory[:size].view(x.dtype).reshape(shape)
    padded[...] = 0
    padded[(slice(None), *(slice(-l, n - l) for l, n in zip(low, x.shape[1:4])))] = x
    return padded, memory
