"""Matrix products in Numba. See nnrt._ref.linear for what each computes.

c is cut into strips of columns, and these into blocks of rows. A thread packs the part of b under its strip into panels of two
vectors, in memory of its own, and keeps it for all blocks of the strip that it takes: no line of it passes from core to core.
a is read in rows, of a copy where its own would compete for the caches; then tiles of c are summed in registers (native.tile).
How the work is cut depends on the shape alone. Everything but alpha a b is left to ufuncs before and after.
"""

import threading
from functools import lru_cache

import numpy as np
from numba import types

from nnrt._ref.linear import ACTIVATIONS, _check

from . import activation as functions
from . import reduce, threads, unary
from .compiled import array, jit, shared, typed
from .gate import PARTS, mine, reach
from .native import LOW, MR, TURN, VECTOR, address, count, load, move, stack, store, tile, turn

# Bytes of k in one pass, for which c is visited once, and of a block of rows of a, which stays in L2 beside a strip of so many
# panels of b.
DEPTH_BYTES, BLOCK_BYTES = 4096, 256 << 10
STRIP = 4
# Multiply-adds of a block, and those below which a second thread costs more than it brings: 192 square takes as long
# with it.
TASK_MACS, THREAD_MACS = 1 << 18, 1 << 23
# Multiply-adds that take as long as reading or packing an element of b.
READ_MACS = 16
# Blocks of c where there is work enough, so that the last one keeps nobody waiting.
TASKS = 32
# Rows of a so many bytes apart, or a multiple, compete for a set of the caches: tiles of fewer rows do where there are such,
# else a is copied, 6% at 1024, and more where a core is shared.
APART = 4096 if LOW < MR else 1024
# Tiles of a and panels of b copied at a time.
GROUP_A, GROUP_B = 16, 8
# Scratch up to this size is kept by each thread: fresh pages cost a twentieth of a product of 512.
KEPT = 64 << 20


@jit
def _row(size):
    """Bytes from row to row of a copy: an odd number of lines of cache, so that rows lie in different sets."""
    return ((size + 63) // 64 | 1) * 64


@jit
def _copy(one, size, to, to_row, source, rows, cols, row_step, col_step):
    """to[rows, cols], whose rows are dense, = source."""
    lanes = VECTOR // size
    if col_step == size and cols >= 2 * lanes:  # the last vectors overlap those before
        for r in range(rows):
            for c in range(0, cols, 2 * lanes):
                at = min(c, cols - 2 * lanes) * size
                move(one, to + r * to_row + at, source + r * row_step + at)
    elif row_step == size and min(rows, cols) >= lanes:
        for i in range(0, rows, lanes):
            r = min(i, rows - lanes)
            for j in range(0, cols, lanes):
                c = min(j, cols - lanes)
                turn(one, to + r * to_row + c * size, to_row, source + r * size + c * col_step, col_step)
    else:
        to_col = size
        if abs(row_step) < abs(col_step):  # what is read along its own rows
            rows, cols, row_step, col_step, to_row, to_col = cols, rows, col_step, row_step, to_col, to_row
        for r in range(rows):
            for c in range(cols):
                store(one, load(one, source, r * row_step + c * col_step), to, r * to_row + c * to_col)


@jit
def _panels(one, size, to, source, k, lines, k_step, line_step):
    """to[lines / wide, k, wide] = source[k, lines], zero beyond the last line."""
    wide = 2 * VECTOR // size
    whole = lines // wide if line_step == size else 0
    for p in range(k):  # one panel's piece of a row is too little for the hardware to fetch ahead
        for u in range(whole):
            move(one, to + (u * k + p) * wide * size, source + p * k_step + u * wide * size)
    for line in range(whole * wide, lines, wide):
        panel, width = to + line * k * size, min(wide, lines - line)
        if width < wide:
            for i in range(k * wide):
                store(one, 0, panel, i * size)
        _copy(one, size, panel, wide * size, source + line * line_step, k, width, k_step, line_step)


@shared(
    lambda T: [
        T, types.boolean, array(T, 3), array(T, 3), array(T, 3), array(T, 1),
        array(types.uint8, 1), types.boolean, types.intp, types.intp, types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def _product(alpha, fresh, c, a, b, packed, memory, in_place, high, depth, rows, cols, parts, numbers):
    """c (+)= alpha a b: this thread's share.

    packed: the panels of b, or empty; others are made in memory. in_place: tiles of a are read where they lie, the last one
    beginning early enough to be whole. high: rows of a tile. rows, cols: how many blocks a matrix c is cut into. numbers: the
    next group to copy, threads here, and 64 bytes on groups copied; see gate.mine.
    """
    batch, m, n = c.shape
    k, size = a.shape[2], a.itemsize
    c_batch, c_row, _ = c.strides
    a_batch, a_row, a_col = a.strides
    b_batch, b_row, b_col = b.strides
    nr = 2 * VECTOR // size
    down, across = (m + high - 1) // high, (n + nr - 1) // nr
    a_count = 0 if in_place else batch if a_batch else 1
    copied_row, panel = _row(k * size), k * nr * size
    copied = 0 if in_place else down * high * copied_row
    to_a = (address(memory) + 63) // 64 * 64
    groups = (down + GROUP_A - 1) // GROUP_A
    while True:
        t = count(numbers, 1)
        if t >= a_count * groups:
            break
        i, line = t // groups, t % groups * GROUP_A * high
        to, source = to_a + i * copied + line * copied_row, address(a) + i * a_batch + line * a_row
        _copy(alpha, size, to, copied_row, source, min(GROUP_A * high, m - line), k, a_row, a_col)
        count(numbers + 64, 1)
    reach(numbers + 64, a_count * groups)  # at most another thread's last group
    me, wide, last = count(numbers + 8, 1), (across + cols - 1) // cols, -1
    own, edge = to_a + a_count * copied + me * wide * panel, stack(alpha)
    while True:
        t = mine(numbers, parts, me, batch * rows * cols)
        if t < 0:
            break
        row, i = t % rows, t // rows
        if b_batch or packed.size:
            i, col = i // cols, i % cols
        else:  # all blocks of a strip of the one b, then the next strip
            i, col = i % batch, i // batch
        top, left, bottom, right = row * down // rows, col * across // cols, (row + 1) * down // rows, (col + 1) * across // cols
        strip = (i if b_batch else 0) * cols + col
        from_b = own
        if packed.size:
            from_b = address(packed) + ((i if b_batch else 0) * across + left) * panel
        elif strip != last:
            source = address(b) + i * b_batch + left * nr * b_col
            _panels(alpha, size, own, source, k, min(right * nr, n) - left * nr, b_row, b_col)
            last = strip
        from_a, step_a = address(a) + i * a_batch, a_row
        if not in_place:
            from_a, step_a = to_a + (i * copied if a_batch else 0), copied_row
        for p in range(0, k, depth):
            deep, first = min(depth, k - p), fresh and p == 0
            share = deep // TURN * 64
            for v in range(left, right):
                at_b, width = from_b + (v - left) * panel + p * nr * size, min(nr, n - v * nr)
                for u in range(top, bottom):
                    lines = min(high, m - u * high)
                    skipped = high - lines if in_place else 0  # rows of the tile before
                    at_a = from_a + (u * high - skipped) * step_a + p * size
                    at_c = address(c) + i * c_batch + u * high * c_row + v * nr * size
                    whole = lines == high and width == nr
                    to, step = (at_c, c_row) if whole else (edge, nr * size)
                    # of the rows below, when they are new, or of the next panel
                    ahead, ahead_step = at_b + panel + (u - top) * share, 64
                    if v == left:
                        ahead, ahead_step = at_a + high * step_a, high * size * TURN
                    elif (u - top) * share >= deep * nr * size:
                        ahead, ahead_step = at_b, 0
                    tile(alpha, high, to, step, at_a, step_a, at_b, deep, first or not whole, ahead, ahead_step)
                    if whole:
                        continue
                    for y in range(lines):
                        for x in range(width):
                            s = load(alpha, edge, ((skipped + y) * nr + x) * size)
                            if not first:
                                s += load(alpha, at_c, y * c_row + x * size)
                            store(alpha, s, at_c, y * c_row + x * size)


@typed(
    lambda T: [T, T, types.boolean, array(T, 1), array(T, 2), array(T, 1)],
    fastmath={"reassoc", "contract", "nsz"},
)
def _vector(alpha, zero, fresh, y, a, x):
    """y[m] (+)= alpha a[m, k] x[k], reading a in its memory order."""
    (m, k), (a_row, a_col), size = a.shape, a.strides, a.itemsize
    to, y_step, of_a, of_x, x_step = address(y), y.strides[0], address(a), address(x), x.strides[0]
    if a_col == size and x_step == size:
        for i in range(m):
            s = zero
            for p in range(k):
                s += load(zero, of_a + i * a_row, p * size) * load(zero, of_x, p * size)
            store(zero, alpha * s if fresh else alpha * s + load(zero, to, i * y_step), to, i * y_step)
        return
    if fresh:
        for i in range(m):
            store(zero, 0, to, i * y_step)
    for p in range(k):
        s, column = alpha * load(zero, of_x, p * x_step), of_a + p * a_col
        if a_row == size and y_step == size:
            for i in range(m):
                store(zero, load(zero, to, i * size) + s * load(zero, column, i * size), to, i * size)
        else:
            for i in range(m):
                store(zero, load(zero, to, i * y_step) + s * load(zero, column, i * a_row), to, i * y_step)


_scratch = threading.local()


def _take(size):
    memory, _scratch.spare = getattr(_scratch, "spare", None), None
    return np.empty(size, np.uint8) if memory is None or memory.size < size else memory


def _give(memory):
    spare = getattr(_scratch, "spare", None)
    if memory.size <= KEPT and (spare is None or spare.size < memory.size):
        _scratch.spare = memory


def _activate(c, activation):
    if isinstance(activation, int) and 0 <= activation < len(ACTIVATIONS):
        activation = ACTIVATIONS[activation]
    if activation not in ACTIVATIONS:
        raise ValueError(f"gemm: activation {activation!r} is none of {ACTIVATIONS}")
    if activation == "silu":
        functions.silu(c, c, 1.0)
    elif activation is not None:
        getattr(unary if activation in ("tanh", "sigmoid") else functions, activation)(c, c)


@lru_cache(1024)
def _plan(batch, m, n, k, size, a_row, a_col, packed, count):
    """How `count` threads at most make such a product: bytes of scratch, threads, and what _product wants from in_place on."""
    depth = -(-k // -(-k // (DEPTH_BYTES // size)))
    nr = 2 * VECTOR // size
    in_place = a_col == size and m >= MR and (LOW < MR or a_row % APART != 0)
    high = LOW if in_place and a_row % APART == 0 else MR
    down, across = -(-m // high), -(-n // nr)
    cols = -(-across // STRIP)
    cols += cols > 1 and cols % 2  # two threads share an even number
    rows = min(down, -(-down // max(1, BLOCK_BYTES // (high * depth * size))))
    macs, parts = batch * m * n * k, 1
    if macs + batch * k * n * READ_MACS >= THREAD_MACS:
        rows = min(down, max(rows, round(min(macs // TASK_MACS, TASKS) / (batch * cols))))
        parts = min(count, batch * rows * cols, PARTS)
    copied = 0 if in_place else batch * down * high * (k * size + 128)  # at most
    panels = 0 if packed else parts * -(-across // cols) * nr * k * size
    return copied + panels + 64, parts, in_place, high, depth, rows, cols


def _tiles(c, a, b, packed, alpha, fresh):
    """c (+)= alpha a b for [batch, rows, columns]; b or, unless empty, its panels."""
    k, size = a.shape[2], c.itemsize
    bytes, parts, *plan = _plan(*c.shape, k, size, *a.strides[1:], packed.size > 0, threads.count())
    depth = plan[2]
    if depth < k and not packed.size:  # one after the other, so that a strip's panels stay in L2
        for p in range(0, k, depth):
            _tiles(c, a[:, :, p : p + depth], b[:, p : p + depth], packed, alpha, fresh and p == 0)
        return
    memory = _take(bytes)
    threads.together(_product[c.dtype], parts, alpha, fresh, c, a, b, packed, memory, *plan, parts)
    _give(memory)


def _gemm(c, a, b, bias, residual, alpha, beta, activation, packed=None):
    """gemm for [batch, rows, columns]."""
    unit = [c.shape[axis] <= 1 or c.strides[axis] == c.itemsize for axis in (1, 2)]
    if c.size and not (unit[1] or unit[0] and packed is None):
        axis = "one" if packed is None else "its last"
        raise ValueError(f"gemm: wanted c with unit stride in {axis} axis, got strides {c.strides[1:]}")
    alpha = c.dtype.type(alpha)
    empty = alpha == 0 or a.shape[2] == 0
    fresh = beta == 0 and bias is None and residual is None
    if fresh and empty:
        c[...] = 0
    elif beta == 0 and not fresh:
        c[...] = 0 if bias is None else bias
    elif not fresh:
        c *= c.dtype.type(beta)
        if bias is not None:
            c += bias
    if residual is not None:
        c += residual
    if c.size and not empty:
        if not unit[1]:
            c, a, b = (x.transpose(0, 2, 1) for x in (c, b, a))
        if packed is None and c.shape[0] == 1 and 1 in c.shape[1:]:
            y, x, v = (c[0, 0], b[0].T, a[0, 0]) if c.shape[2] != 1 else (c[0, :, 0], a[0], b[0, :, 0])
            _vector[c.dtype](alpha, c.dtype.type(0), fresh, y, x, v)
        else:
            _tiles(c, a, b, np.empty(0, c.dtype) if packed is None else packed, alpha, fresh)
    if activation is not None:
        _activate(c, activation)


def gemm(c, a, b, bias=None, residual=None, alpha=1.0, beta=0.0, activation=None):
    """c[M, N] = act(alpha a[M, K] @ b[K, N] + beta c + bias[N] + residual[M, N])."""
    _check("gemm", c, a, b)
    _gemm(c[None], a[None], b[None], bias, residual, alpha, beta, activation)


def gemm_batched(c, a, b, alpha=1.0, beta=0.0):
    """c[B, M, N] = alpha a[B, M, K] @ b[B, K, N] + beta c; a batch stride of 0 repeats a matrix."""
    _check("gemm_batched", c, a, b)
    _gemm(c, a, b, None, None, alpha, beta, None)


def packed_size(k, n, dtype):
    """Elements of the buffer that pack_b fills for a [k, n] matrix; the layout is the back-end's own."""
    nr = 2 * VECTOR // np.dtype(dtype).itemsize
    return -(-n // nr) * nr * k


def gemm_tile(dtype):
    """(rows, columns) of c that the back-end sums in registers at a time."""
    return MR, 2 * VECTOR // np.dtype(dtype).itemsize


@typed(lambda T: [T, array(T, 2), array(T, 3)])
def _pack_b(one, packed, b):
    (batch, k, n), size = b.shape, b.itemsize
    lines = GROUP_B * 2 * VECTOR // size
    for i in range(batch):
        for u in range(0, n, lines):
            to, source = address(packed) + i * packed.strides[0] + u * k * size, address(b) + i * b.strides[0] + u * b.strides[2]
            _panels(one, size, to, source, k, min(lines, n - u), b.strides[1], b.strides[2])


def pack_b(packed, b):
    """Stores b[K, N] in packed[packed_size(K, N)], a copy in the order gemm_packed reads it."""
    _pack_b[b.dtype](b.dtype.type(1), packed[None], b[None])


def gemm_packed(c, a, packed, n, bias=None, residual=None, alpha=1.0, beta=0.0, activation=None):
    """gemm with the right-hand side [K, n] packed beforehand: weights that serve many calls."""
    k = a.shape[1]
    if packed.shape != (packed_size(k, n, a.dtype),) or c.shape != (len(a), n):
        raise ValueError(f"gemm_packed: shapes {a.shape} @ packed {packed.shape} do not give {c.shape}")
    _gemm(c[None], a[None], a[None], bias, residual, alpha, beta, activation, packed)  # the panels stand for b


def bias_grad(db, dy):
    """db[N] = column sums of dy[M, N]: the gradient of a bias that was added to every row."""
    if dy.flags.c_contiguous and dy.size:
        reduce.sum(db, dy, 1, *dy.shape, 1.0)
    else:
        np.sum(dy, axis=0, dtype=np.float64, out=db)
