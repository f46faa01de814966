"""Winograd's loops over tiles and filters in Numba: what one thread does of a transform, a convolution and a gradient.

Each function is called once by every thread, and takes numbered pieces until there are none. `which` is a place in _line's
list of matrices. u, the transformed filter, is [panel of columns, k², depth, two vectors]; its matrices, as those of
transformed tiles, lie an odd number of lines apart, in different sets of the caches.
"""

import numpy as np
from numba import types

from nnrt._ref.winograd import _MATRICES

from .compiled import array, jit, shared
from .gate import WORDS, mine, reach
from .linear import _copy
from .native import MR, PACKED, TURN, VECTOR, address, count, line, load, move, packed_strip, store, strip, turn

FORMS = list(_MATRICES)
# Groups of tiles over which a filter's gradient may be summed apart, and _line's place for adding these sums.
GROUPS, TOGETHER = 4, 5 * len(FORMS)
_line = line(*(matrix for bt, g, at in _MATRICES.values() for matrix in (bt, at, at.T, g, g.T)), [[1] * GROUPS])
WIDE = 2 * VECTOR
# Tiles that a thread transforms at a time, and the depth of a filter.
SHARE, PART = 8, 16


@jit
def odd(size):
    """Bytes rounded up to an odd number of lines."""
    return ((size + 63) // 64 | 1) * 64


@jit
def _both_ways(one, which, half, depth, to, to_down, to_right, to_panel, source, down, right, k, rows):
    """matrix x matrix^T of squares of `depth` bytes, k values a side, of which `rows` lines are wanted."""
    for c in range(0, depth, VECTOR):
        for j in range(k):
            _line(one, which, half + j * VECTOR, k * VECTOR, source + j * right + c, down)
        at = to + c // WIDE * to_panel + c % WIDE
        for i in range(rows):
            _line(one, which, at + i * to_down, to_right, half + i * k * VECTOR, VECTOR)


@jit
def _channels(one, size, to, source, n):
    """Copies n numbers."""
    lanes = WIDE // size
    for e in range(0, n // lanes * lanes, lanes):
        move(one, to + e * size, source + e * size)
    for e in range(n // lanes * lanes, n):
        store(one, load(one, source, e * size), to, e * size)


@jit
def _square(one, room, whole, x, image, top, left, side, step):
    """Where the square of x[image] from there on begins, and its steps down and right: in room, amid zeros, if it reaches beyond
    x or its channels are no whole vectors."""
    _, high, wide, c = x.shape
    (n_step, row, pixel, _), size = x.strides, x.itemsize  # the last step of one channel may be anything
    start = address(x) + image * n_step + top * row + left * pixel
    last = (side - 1) * step
    if whole == c * size and min(top, left) >= 0 and top + last < high and left + last < wide:
        return start, step * row, step * pixel
    for i in range(side):
        for j in range(side):
            to, h, w, filled = room + (i * side + j) * whole, top + i * step, left + j * step, 0
            if 0 <= h < high and 0 <= w < wide:
                filled = c
                _channels(one, size, to, start + i * step * row + j * step * pixel, c)
            for e in range(filled, whole // size):
                store(one, 0, to, e * size)
    return room, side * whole, whole


@jit
def _input(one, which, half, room, x, t, down, across, m, side, top, left, step, k, to, to_phase, to_step, to_panel):
    """The k² values of tile t of x, of each of step² phases."""
    n, i, j = t // (down * across), t // across % down, t % across
    whole = (x.shape[3] * x.itemsize + VECTOR - 1) // VECTOR * VECTOR
    for p in range(step * step):
        from_row, from_col = i * m * step + p // step - top, j * m * step + p % step - left
        at, at_down, at_right = _square(one, room, whole, x, n, from_row, from_col, side, step)
        _both_ways(one, which, half, whole, to + p * to_phase, k * to_step, to_step, to_panel, at, at_down, at_right, side, k)


@shared(
    lambda T: [
        T, types.int64, array(T, 1), array(T, 4), array(types.int64, 2), types.intp, types.intp, types.intp, types.intp,
        types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def transform(one, which, u, w, parts, step, down, right, k, r, each, threads, numbers):
    """This thread's share of u = G w G^T, from w[groups, columns, depth, taps].

    parts: filters of r x r among the taps, each with its first tap and its place in u in bytes; numbers from one tap to that
    below and to the right. step, each: bytes of u from one matrix to the next, and from one group to the next. threads: how many
    there are at most; each has panels of its own (see gate.mine), of the columns that it convolves afterwards.
    """
    size, (groups, columns, depth, taps) = w.itemsize, w.shape
    of_group, of_column, of_row, _ = w.strides
    panels, pieces = (columns * size + WIDE - 1) // WIDE, (depth + PART - 1) // PART
    lanes = VECTOR // size
    memory = np.empty((PART * taps + lanes + 18) * WIDE + 64, np.uint8)
    half = (address(memory) + 63) // 64 * 64
    lines = half + 18 * WIDE
    me = count(numbers, 1)
    while True:
        t = mine(numbers, threads, me, groups * panels * pieces)
        if t < 0:
            break
        group, q, first = t // (panels * pieces), t // pieces % panels, t % pieces * PART
        rows, cols = min(PART, depth - first), min(WIDE // size, columns - q * (WIDE // size))
        source = address(w) + group * of_group + q * (WIDE // size) * of_column + first * of_row
        if cols * size < WIDE:
            for e in range(rows * taps * (WIDE // size)):
                store(one, 0, lines, e * size)
        together = rows if of_row == taps * size else 1  # rows of which all taps follow one another
        # Squares of a vector's side may reach beyond a column's taps: into the next row, except for the last one, and to what
        # the next row's replace.
        squares = together == 1 and of_column == taps * size and of_row >= columns * of_column and cols >= lanes
        for d in range(0, rows, together):
            to, at = lines + d * taps * WIDE, source + d * of_row
            if squares and (taps >= lanes or first + d + 1 < depth):
                for i in range(0, cols, lanes):
                    for j in range(0, taps, lanes):
                        e, tap = min(i, cols - lanes) * size, min(j, max(taps - lanes, 0))
                        turn(one, to + tap * WIDE + e, WIDE, at + e * taps + tap * size, of_column)
            else:
                _copy(one, size, to, WIDE, at, together * taps, cols, size, of_column)
        to = address(u) + group * each + q * k * k * step + first * WIDE
        for d in range(rows):
            for part in range(parts.shape[0]):
                at = lines + (d * taps + parts[part, 0]) * WIDE
                place = to + d * WIDE + parts[part, 1]
                _both_ways(one, which, half, WIDE, place, k * step, step, WIDE, at, down * WIDE, right * WIDE, r, k)
    memory[0] = 0  # Numba frees an array behind its last use


@shared(
    lambda T: [
        T, types.int64, types.int64, array(T, 4), array(T, 4), array(T, 1), array(T, 1), types.intp, types.intp, types.intp,
        types.intp, types.intp, types.intp, types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def convolve(one, inward, outward, y, x, u, bias, m, r, top, left, step, block, groups, cuts, threads, numbers):
    """This thread's share of y[N, OH, OW, O] = the convolution of x[N, H, W, C] + bias, which may be empty.

    top, left: where x begins in the first square; step: from one of its values to the next. The step² phases of x lie side by
    side under u. groups: of images, each with its own part of u. block: tiles of a piece. cuts: pieces of a block's columns.
    threads: as in transform.
    """
    size, k, phases = y.itemsize, m + r - 1, step * step
    n_step, row, pixel, _ = y.strides
    images, high, broad, o = y.shape
    c, down, across = x.shape[3], (high + m - 1) // m, (broad + m - 1) // m
    tiles, depth, panels = images * down * across // groups, phases * c, (o * size + WIDE - 1) // WIDE
    whole, u_step = (c * size + VECTOR - 1) // VECTOR * VECTOR, odd(depth * WIDE)
    v_row, m_row = odd((depth - c) * size + whole), odd(panels * WIDE)
    v_step, m_step = odd((block + MR) * v_row), odd((block + MR) * m_row)  # the last tile may reach beyond a block
    memory = np.empty(k * k * (v_step + m_step + max(whole, m_row)) + 36 * VECTOR + 64, np.uint8)
    half = (address(memory) + 63) // 64 * 64
    v = half + 36 * VECTOR
    products = v + k * k * v_step
    room = products + k * k * m_step
    each = (tiles + block - 1) // block
    me, known = count(numbers, 1), -1
    while True:
        piece = mine(numbers, threads, me, groups * each * cuts)
        if piece < 0:
            break
        t, cut = piece // cuts, piece % cuts
        begin, end = panels * cut // cuts, panels * (cut + 1) // cuts
        columns = min(end * WIDE, o * size) - begin * WIDE  # bytes of them
        first, some = t // each * tiles + t % each * block, min(block, tiles - t % each * block)
        for s in range(0 if t == known else some):
            # the zeros that fill up one phase's vectors make room for the next
            to = v + s * v_row
            _input(one, inward, half, room, x, first + s, down, across, m, k, top, left, step, k, to, c * size, v_step, WIDE)
        known = t
        strips = (some + MR - 1) // MR
        share = (depth + 4 * TURN - 1) // (4 * TURN) * 64  # what a tile asks for of the next panel
        for e in range(k * k):
            for q in range(begin, end):
                panel = address(u) + t // each * (u.size // groups) * size + (q * k * k + e) * u_step
                after = panel + k * k * u_step if q + 1 < end else panel + u_step - (end - 1 - begin) * k * k * u_step
                for s in range(strips):
                    at, rows = s * some // strips, (s + 1) * some // strips - s * some // strips
                    to, of_v = products + e * m_step + at * m_row + q * WIDE, v + e * v_step + at * v_row
                    ahead, ahead_step = after + s * share, 64
                    if s * share >= depth * WIDE:
                        ahead, ahead_step = panel, 0
                    strip(one, rows, to, m_row, of_v, v_row, panel, depth, True, ahead, ahead_step)
        for s in range(some):
            n, i, j = (first + s) // (down * across), (first + s) // across % down, (first + s) % across
            to = address(y) + n * n_step + i * m * row + j * m * pixel + begin * WIDE
            rows, cols = min(m, high - i * m), min(m, broad - j * m)
            source = products + s * m_row + begin * WIDE
            if cols == m and columns % VECTOR == 0:
                _both_ways(one, outward, half, columns, to, row, pixel, WIDE, source, k * m_step, m_step, k, rows)
            else:
                _both_ways(one, outward, half, columns, room, m * m_row, m_row, WIDE, source, k * m_step, m_step, k, rows)
                for h in range(rows):
                    for w in range(cols):
                        _channels(one, size, to + h * row + w * pixel, room + (h * m + w) * m_row, columns // size)
            if bias.size:
                of_bias = address(bias) + begin * WIDE
                for h in range(rows):
                    for w in range(cols):
                        at = to + h * row + w * pixel
                        for e in range(columns // size):
                            store(one, load(one, at, e * size) + load(one, of_bias, e * size), at, e * size)
    memory[0] = 0  # as above


@jit
def gradient_bytes(size, tiles, c, o, phases):
    """Bytes from one transformed matrix of x to the next, and of dy, which hold so many tiles in panels."""
    panels = phases * ((c * size + WIDE - 1) // WIDE), (o * size + WIDE - 1) // WIDE
    return odd(panels[0] * tiles * WIDE), odd(panels[1] * tiles * WIDE)


@jit
def sums_bytes(size):
    """Bytes of a panel's sums with another one's; a tile may reach beyond its rows."""
    return (WIDE // size + PACKED - 1) // PACKED * PACKED * WIDE


@jit
def _sum(one, fresh, size, to, a, b, k):
    """to (+)= a^T b of panels a[k] and b[k]: PACKED rows for each tile, some of which may be to spare."""
    nr, tiles = WIDE // size, sums_bytes(size) // (PACKED * WIDE)
    for t in range(tiles):
        first, ahead = t * nr // tiles, a + k * WIDE + t * (k // TURN) * 64
        rows = (t + 1) * nr // tiles - first
        packed_strip(one, rows, to + t * PACKED * WIDE, WIDE, a + first * size, 0, b, k, fresh, ahead, 64)


@jit
def _taps(one, which, size, half, to, parts, taps, down, right, k, r, n, source, step, phase):
    """The taps of n channels, lines of two vectors at `to`, from their sums."""
    nr, tiles = WIDE // size, sums_bytes(size) // (PACKED * WIDE)
    for t in range(tiles):
        first = t * nr // tiles
        for i in range(first, min((t + 1) * nr // tiles, n)):
            for p in range(parts.shape[0]):
                at, place = source + p * phase + (t * PACKED + i - first) * WIDE, to + (i * taps + parts[p, 0]) * WIDE
                _both_ways(one, which, half, WIDE, place, down * WIDE, right * WIDE, WIDE, at, k * step, step, k, r)


@shared(
    lambda T: [
        T, types.int64, types.int64, types.int64, array(T, 3), array(T, 4), array(T, 4), array(types.int64, 2),
        array(types.uint8, 1), types.intp, types.intp, types.intp, types.intp, types.intp, types.intp, types.intp,
        types.intp, types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def gradient(
    one, inward, of_y, outward, dw, x, dy, parts, memory, m, r, top, left, step, tap_down, tap_right, most, high, cuts, threads,
    numbers,
):  # fmt: skip
    """This thread's share of dw[O, C, taps], from x[N, H, W, C] and dy[N, OH, OW, O]; the rest as in convolve and transform.

    Passes over `most` tiles: their squares are transformed to panels v and q in memory, then blocks of `high` panels of C by
    one of O are summed, in `cuts` pieces of the matrices. Where one piece sums all of a block it takes it to dw, else there is
    a round more. memory begins with zeros, WORDS for each round.
    """
    size, k, phases = dw.itemsize, m + r - 1, step * step
    (o, c, taps), nr = dw.shape, WIDE // size
    down, across = (dy.shape[1] + m - 1) // m, (dy.shape[2] + m - 1) // m
    tiles, of_c, of_o = dy.shape[0] * down * across, (c + nr - 1) // nr, (o + nr - 1) // nr
    panel, block_bytes, (v_step, q_step) = most * WIDE, sums_bytes(size), gradient_bytes(size, most, c, o, phases)
    s_step = odd(phases * high * block_bytes)
    scratch = np.empty(36 * VECTOR + nr * taps * WIDE + k * k * s_step + 36 * (max(c, o) * size + VECTOR) + 64, np.uint8)
    half = (address(scratch) + 63) // 64 * 64
    lines = half + 36 * VECTOR
    own = lines + nr * taps * WIDE
    room = own + k * k * s_step
    across_c, shares, passes = (of_c + high - 1) // high, (most + SHARE - 1) // SHARE, (tiles + most - 1) // most
    blocks, at_once = across_c * of_o, passes == 1 and cuts == 1
    rounds = 2 * passes + (0 if at_once else 1)
    words = (address(memory) + 127) // 128 * 128
    v = words + rounds * WORDS
    q = v + k * k * v_step
    shared = q + k * k * q_step
    me, before = count(numbers, 1), 0
    for at in range(rounds):
        turn, summing, done = at // 2, at % 2 == 1, 0
        pieces = blocks if turn == passes else blocks * cuts if summing else shares
        first, some = turn * most, min(most, tiles - turn * most)
        reach(numbers + 64, before)  # what came before is read, or written over
        while True:
            t = mine(words + at * WORDS - 128, threads, me, pieces)
            if t < 0:
                break
            done += 1
            if turn < passes and not summing:
                for s in range(t * SHARE, min(t * SHARE + SHARE, some)):
                    to = v + s * WIDE
                    _input(
                        one, inward, half, room, x, first + s, down, across, m, k, top, left, step, k, to, of_c * panel, v_step,
                        panel,
                    )  # fmt: skip
                    _input(one, of_y, half, room, dy, first + s, down, across, m, m, 0, 0, 1, k, q + s * WIDE, 0, q_step, panel)
                continue
            block, cut = t % blocks, t // blocks
            panel_o, begin = block // across_c, block % across_c * high
            end = min(begin + high, of_c)
            sums = own if at_once else shared + block * k * k * s_step
            if summing:
                for e in range(cut * k * k // cuts, (cut + 1) * k * k // cuts):
                    for p in range(phases):
                        for a in range(begin, end):
                            to, of_v = sums + e * s_step + (p * high + a - begin) * block_bytes, v + e * v_step
                            of_q = q + e * q_step + panel_o * panel
                            _sum(one, turn == 0, size, to, of_v + (p * of_c + a) * panel, of_q, some)
            if turn == passes or at_once:
                for a in range(begin, end):
                    width = min(nr, c - a * nr)
                    _taps(
                        one, outward, size, half, lines, parts, taps, tap_down, tap_right, k, r, width,
                        sums + (a - begin) * block_bytes, s_step, high * block_bytes,
                    )  # fmt: skip
                    to = address(dw) + panel_o * nr * dw.strides[0] + a * nr * taps * size
                    _copy(one, size, to, dw.strides[0], lines, min(nr, o - panel_o * nr), width * taps, size, WIDE)
        count(numbers + 64, done)
        before += pieces
    scratch[0] = 0  # as above


@shared(
    lambda T: [
        T, types.int64, types.int64, types.int64, array(T, 3), array(T, 4), array(T, 4), array(types.int64, 2),
        array(types.uint8, 1), types.intp, types.intp, types.intp, types.intp, types.intp, types.intp, types.intp,
        types.intp, types.intp,
    ]
)  # fmt: skip
def gradient_apart(
    one, inward, of_y, outward, dw, x, dy, parts, memory, m, r, top, left, step, tap_down, tap_right, most, threads, numbers
):
    """gradient of a small filter: a thread transforms a group of tiles, `most` at a time, and sums them all near it, so that only
    sums pass from thread to thread: those of all groups, in memory, are added up and taken to dw."""
    size, k, phases = dw.itemsize, m + r - 1, step * step
    (o, c, taps), nr = dw.shape, WIDE // size
    down, across = (dy.shape[1] + m - 1) // m, (dy.shape[2] + m - 1) // m
    tiles, of_c, of_o = dy.shape[0] * down * across, (c + nr - 1) // nr, (o + nr - 1) // nr
    panel, block_bytes, (v_step, q_step) = most * WIDE, sums_bytes(size), gradient_bytes(size, most, c, o, phases)
    s_step, blocks = odd(phases * block_bytes), of_c * of_o
    every, room_bytes = k * k * s_step, 36 * ((max(c, o) * size + VECTOR + 63) // 64 * 64)
    scratch = np.empty(36 * VECTOR + nr * taps * WIDE + every + room_bytes + k * k * (v_step + q_step) + 64, np.uint8)
    half = (address(scratch) + 63) // 64 * 64
    lines = half + 36 * VECTOR
    own = lines + nr * taps * WIDE
    room = own + every
    v = room + room_bytes
    q, sums = v + k * k * v_step, (address(memory) + 63) // 64 * 64
    me, done = count(numbers, 1), 0
    while True:
        t = mine(numbers, threads, me, GROUPS)
        if t < 0:
            break
        begin, end = tiles * t // GROUPS, tiles * (t + 1) // GROUPS
        for first in range(begin, end, most):
            some = min(most, end - first)
            for s in range(some):
                at, to, to_q = first + s, v + s * WIDE, q + s * WIDE
                _input(one, inward, half, room, x, at, down, across, m, k, top, left, step, k, to, of_c * panel, v_step, panel)
                _input(one, of_y, half, room, dy, at, down, across, m, m, 0, 0, 1, k, to_q, 0, q_step, panel)
            for e in range(k * k):
                for u in range(blocks):
                    of_v, of_q = v + e * v_step + u % of_c * panel, q + e * q_step + u // of_c * panel
                    for p in range(phases):
                        to = sums + (t * blocks + u) * every + e * s_step + p * block_bytes
                        _sum(one, first == begin, size, to, of_v + p * of_c * panel, of_q, some)
        done += 1
    count(numbers + 64, done)
    reach(numbers + 64, GROUPS)
    while True:
        u = mine(numbers + WORDS, threads, me, blocks)
        if u < 0:
            break
        for at in range(0, every, VECTOR):
            _line(one, TOGETHER, own + at, 0, sums + u * every + at, blocks * every)
        a, panel_o = u % of_c, u // of_c
        width = min(nr, c - a * nr)
        _taps(one, outward, size, half, lines, parts, taps, tap_down, tap_right, k, r, width, own, s_step, block_bytes)
        to = address(dw) + panel_o * nr * dw.strides[0] + a * nr * taps * size
        _copy(one, size, to, dw.strides[0], lines, min(nr, o - panel_o * nr), width * taps, size, WIDE)
    scratch[0] = 0  # as above
