"""Matrix products in Numba. See nnrt._ref.linear for what each computes.

b is packed into panels of two vectors, a is read in rows, of a copy where its own would compete for the caches;
then tiles of c are summed in registers (native.tile). Threads take first pieces to copy, then blocks of tiles, by
number; how the work is cut depends on the shape alone. Everything but alpha a b is left to ufuncs before and after.
"""

import threading

import numpy as np
from numba import types

from nnrt._ref.linear import ACTIVATIONS, _check

from . import activation as functions
from . import reduce, threads, unary
from .compiled import array, jit, shared, typed
from .gate import reach
from .native import MR, TURN, VECTOR, address, count, load, move, stack, store, tile, turn

# A panel of b this deep and HIGH tiles of a stay in L2, which keeps up with the tile: 14 bytes a cycle. A quarter
# of it, for L1, was 2 to 6% slower: c is visited more often.
DEPTH_BYTES, HIGH = 4096, 16
# Multiply-adds of a block, and those below which a second thread costs more than it brings: 192 square takes as long
# with it.
TASK_MACS, THREAD_MACS = 1 << 18, 1 << 23
# Multiply-adds that take as long as reading or packing an element of b.
READ_MACS = 16
# Blocks of c, small enough that the last one keeps nobody waiting: 90 us each at 512. Of 72 each met too many new
# lines.
TASKS = 32
# Rows of a so many bytes apart, or a multiple, compete for a set of the caches: 6% at 1024, and more where a core is
# shared.
APART = 1024
# Tiles of rows from which c is cut into strips of rows first, below into strips of columns.
MANY = 24
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
        array(types.uint8, 1), types.intp, types.intp, types.intp,
    ]
)  # fmt: skip
def _product(alpha, fresh, c, a, b, packed, memory, depth, rows, cols, numbers):
    """c (+)= alpha a b: this thread's share.

    packed: the panels of b, or empty; others are made in memory. rows, cols: how many blocks a matrix c is
    cut into. numbers: the next group to copy, groups copied, the next block.
    """
    batch, m, n = c.shape
    k, size = a.shape[2], a.itemsize
    c_batch, c_row, _ = c.strides
    a_batch, a_row, a_col = a.strides
    b_batch, b_row, b_col = b.strides
    a_count, b_count = batch if a_batch else 1, batch if b_batch else 1
    nr = 2 * VECTOR // size
    down, across = (m + MR - 1) // MR, (n + nr - 1) // nr
    kept = m // MR if a_col == size and a_row % APART else 0  # tiles of a that are read where they lie
    copied_row, panel = _row(k * size), k * nr * size
    copied = (down - kept) * MR * copied_row
    to_a = (address(memory) + 63) // 64 * 64
    to_b = to_a + a_count * copied
    groups_a, groups_b = (down - kept + GROUP_A - 1) // GROUP_A, (across + GROUP_B - 1) // GROUP_B
    if packed.size:
        to_b, groups_b = address(packed), 0
    packs = a_count * groups_a + b_count * groups_b
    while True:
        t = count(numbers, 1)
        if t >= packs:
            break
        if t < a_count * groups_a:
            i, line = t // groups_a, t % groups_a * GROUP_A * MR
            to, source = to_a + i * copied + line * copied_row, address(a) + i * a_batch + (kept * MR + line) * a_row
            _copy(alpha, size, to, copied_row, source, min(GROUP_A * MR, m - kept * MR - line), k, a_row, a_col)
        else:
            t -= a_count * groups_a
            i, u = t // groups_b, t % groups_b * GROUP_B
            to, source = to_b + (i * across + u) * panel, address(b) + i * b_batch + u * nr * b_col
            _panels(alpha, size, to, source, k, min(GROUP_B * nr, n - u * nr), b_row, b_col)
        count(numbers + 64, 1)
    reach(numbers + 64, packs)  # at most another thread's last group
    edge = stack(alpha)
    blocks = batch * rows * cols
    while True:
        t = count(numbers + 128, 1)
        if t >= blocks:
            break
        i, row, col = t // (rows * cols), t // cols % rows, t % cols
        top, left = row * down // rows, col * across // cols
        from_a, from_copy, from_b = address(a) + i * a_batch, to_a + i % a_count * copied, to_b + i % b_count * across * panel
        for p in range(0, k, depth):
            deep, first = min(depth, k - p), fresh and p == 0
            share = deep // TURN * 64
            for v in range(left, (col + 1) * across // cols):
                at_b, width = from_b + v * panel + p * nr * size, min(nr, n - v * nr)
                for u in range(top, (row + 1) * down // rows):
                    at_a, step_a = from_a + u * MR * a_row, a_row
                    if u >= kept:
                        at_a, step_a = from_copy + (u - kept) * MR * copied_row, copied_row
                    at_a += p * size
                    lines = min(MR, m - u * MR)
                    at_c = address(c) + i * c_batch + u * MR * c_row + v * nr * size
                    whole = lines == MR and width == nr
                    to, step = (at_c, c_row) if whole else (edge, nr * size)
                    # of the rows below, when they are new, or of the next panel
                    ahead, ahead_step = at_b + panel + (u - top) * share, 64
                    if v == left:
                        ahead, ahead_step = at_a + MR * step_a, MR * size * TURN
                    elif (u - top) * share >= deep * nr * size:
                        ahead, ahead_step = at_b, 0
                    tile(alpha, MR, to, step, at_a, step_a, at_b, deep, first or not whole, ahead, ahead_step)
                    if whole:
                        continue
                    for y in range(lines):
                        for x in range(width):
                            s = load(alpha, edge, (y * nr + x) * size)
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


def _tiles(c, a, b, packed, alpha, fresh):
    """c (+)= alpha a b for [batch, rows, columns]; b or, unless empty, its panels."""
    size = c.itemsize
    (batch, m, n), k = c.shape, a.shape[2]
    nr = 2 * VECTOR // size
    down, across = -(-m // MR), -(-n // nr)
    macs = batch * m * n * k
    want = max(1, min(macs // TASK_MACS // batch, TASKS))
    if down >= MANY:
        rows = -(-down // (4 * HIGH)) * 4
        cols = min(across, -(-want // rows))
    else:
        cols = min(across, want)
        rows = min(down, -(-want // cols))
    depth = -(-k // -(-k // (DEPTH_BYTES // size)))
    copied = down * MR * (k * size + 128)  # at most
    memory = _take(batch * (copied + across * nr * k * size) + 64)
    shares = batch * rows * cols if macs + batch * k * n * READ_MACS >= THREAD_MACS else 1
    threads.together(_product[c.dtype], shares, alpha, fresh, c, a, b, packed, memory, depth, rows, cols)
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
