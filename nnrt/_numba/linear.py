"""Matrix products in Numba. See nnrt._ref.linear for what each computes.

Loops that LLVM vectorises by itself stay at a tenth of the machine's peak, so the register
tile is emitted as LLVM vectors: `_tile` sums MR rows by two vectors over k in registers, from
panels that were packed before. Everything around it is ordinary Numba.
"""

import math
import threading

import numpy as np
from llvmlite import binding, ir
from numba import get_num_threads, njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from nnrt._ref.linear import ACTIVATIONS, _check

_FEATURES = binding.get_host_cpu_features()
# Register tile: MR rows by two vectors of VECTOR bytes, as in _ext/csrc/gemm_vec.h.
if _FEATURES.get("avx512f"):
    VECTOR, MR = 64, 14
elif _FEATURES.get("avx2") and _FEATURES.get("fma"):
    VECTOR, MR = 32, 6
else:
    VECTOR, MR = 16, 6
# A panel of b this deep stays in L1 together with one of a.
DEPTH_BYTES = 1024
# Multiply-adds below which packing, and a second thread, cost more than they bring.
PACK_MACS, THREAD_MACS = 32**3, 1 << 19
# Tiles of rows that share a pass over b.
HIGH = 8


@intrinsic
def _tile(typingctx, alpha, c, c_row, a, b, k):
    """c[MR, 2 vectors] += alpha a b, for panels a[k, MR] and b[k, 2 vectors]; c, a, b are addresses,
    c_row bytes between the rows of c, alpha of the dtype."""

    def codegen(context, builder, signature, args):
        real = context.get_data_type(signature.args[0])
        size = signature.args[0].bitwidth // 8
        vl = VECTOR // size
        vector = ir.VectorType(real, vl)
        name = f"llvm.fma.v{vl}f{8 * size}"
        fma = cgutils.get_or_insert_function(builder.module, ir.FunctionType(vector, [vector] * 3), name)
        alpha, c, c_row, a, b, k = args
        pa, pb = (builder.inttoptr(x, real.as_pointer()) for x in (a, b))
        index = k.type

        def splat(x):
            x = builder.insert_element(ir.Constant(vector, ir.Undefined), x, ir.Constant(ir.IntType(32), 0))
            return builder.shuffle_vector(x, ir.Constant(vector, ir.Undefined), lanes)

        def load(pointer, offset):
            at = builder.bitcast(builder.gep(pointer, [offset]), vector.as_pointer())
            return builder.load(at, align=size)

        lanes = ir.Constant(ir.VectorType(ir.IntType(32), vl), [0] * vl)
        entry = builder.block
        loop, done = builder.append_basic_block("k"), builder.append_basic_block("done")
        builder.branch(loop)
        builder.position_at_end(loop)
        p = builder.phi(index)
        sums = [builder.phi(vector) for _ in range(2 * MR)]
        row = builder.mul(p, ir.Constant(index, 2 * vl))
        b0, b1 = load(pb, row), load(pb, builder.add(row, ir.Constant(index, vl)))
        column = builder.mul(p, ir.Constant(index, MR))
        after = []
        for i in range(MR):
            x = splat(builder.load(builder.gep(pa, [builder.add(column, ir.Constant(index, i))]), align=size))
            after += [builder.call(fma, [x, y, s]) for y, s in zip((b0, b1), sums[2 * i : 2 * i + 2])]
        following = builder.add(p, ir.Constant(index, 1))
        builder.cbranch(builder.icmp_signed("<", following, k), loop, done)
        for phi, first, again in [
            (p, ir.Constant(index, 0), following),
            *zip(sums, [ir.Constant(vector, [0.0] * vl)] * len(sums), after),
        ]:
            phi.add_incoming(first, entry)
            phi.add_incoming(again, loop)
        builder.position_at_end(done)
        scale = splat(alpha)
        for i, s in enumerate(after):
            row = builder.add(c, builder.mul(c_row, ir.Constant(index, i // 2)))
            at = builder.inttoptr(builder.add(row, ir.Constant(index, i % 2 * VECTOR)), vector.as_pointer())
            builder.store(builder.call(fma, [scale, s, builder.load(at, align=size)]), at, align=size)
        return context.get_dummy_value()

    address = types.intp
    return types.void(alpha, address, address, address, address, address), codegen


@njit(cache=True)
def _pack(panels, x, t):
    """Panel t of x^T: panels[t, k, w] = x[t w' + w, k], zero beyond x."""
    depth, width = panels.shape[1:]
    lines = min(width, x.shape[0] - t * width)
    if x.strides[0] <= x.strides[1]:
        for p in range(depth):
            for w in range(lines):
                panels[t, p, w] = x[t * width + w, p]
    else:
        for w in range(lines):
            for p in range(depth):
                panels[t, p, w] = x[t * width + w, p]
    for w in range(lines, width):
        for p in range(depth):
            panels[t, p, w] = 0


@njit(cache=True)
def _prepare(c, bias, row_bias, residual, beta):
    """c = beta c + bias + row_bias + residual, each where it is not empty: all terms but the product."""
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            y = c[i, j] * beta if beta != 0 else beta
            if bias.size:
                y += bias[j]
            if row_bias.size:
                y += row_bias[i]
            if residual.size:
                y += residual[i, j]
            c[i, j] = y


@njit(cache=True)
def _activate(c, activation):
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            x = c[i, j]
            if activation == 1:
                x = 0 * x if x < 0 else x
            elif activation == 2:
                x = x * (1 + math.erf(x * math.sqrt(0.5))) / 2
            elif activation == 3:
                x = x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))) / 2
            elif activation == 4:
                x = math.tanh(x)
            elif activation == 5:
                x = 1 / (1 + math.exp(-x))
            elif activation == 6:
                x = x / (1 + math.exp(-x))
            c[i, j] = x


@njit(cache=True)
def _strip(c, a, b, first, depth, alpha, activation):
    """c += alpha a b and the activation, for HIGH tiles of rows from `first` on; a and b are panels."""
    m, n = c.shape
    length, mr, nr, size = a.shape[1], a.shape[2], b.shape[2], a.itemsize
    beyond = min(first + HIGH, a.shape[0])
    edge = np.empty((mr, nr), a.dtype)
    at_a, at_b, at_edge = np.intp(a.ctypes.data), np.intp(b.ctypes.data), np.intp(edge.ctypes.data)
    at_c, c_row, unit = np.intp(c.ctypes.data), np.intp(c.strides[0]), c.strides[1] == size
    for p in range(0, length, depth):
        k = min(depth, length - p)
        for u in range(b.shape[0]):
            cols = min(nr, n - u * nr)
            for t in range(first, beyond):
                rows = min(mr, m - t * mr)
                to_a = at_a + (t * length + p) * mr * size
                to_b = at_b + (u * length + p) * nr * size
                if rows == mr and cols == nr and unit:
                    _tile(alpha, at_c + t * mr * c_row + u * nr * size, c_row, to_a, to_b, k)
                else:
                    edge[:] = 0
                    _tile(alpha, at_edge, nr * size, to_a, to_b, k)
                    for i in range(rows):
                        for j in range(cols):
                            c[t * mr + i, u * nr + j] += edge[i, j]
    if activation:
        _activate(c[first * mr : beyond * mr], activation)


# Serial and threaded loops over panels and strips. The arrays that may have any strides meet in no
# function: each is compiled once per memory order of one array.


@njit(cache=True)
def _pack_all(panels, x):
    for t in range(panels.shape[0]):
        _pack(panels, x, t)


@njit(cache=True, parallel=True)
def _pack_all_threaded(panels, x):
    for t in prange(panels.shape[0]):
        _pack(panels, x, t)


@njit(cache=True)
def _strips(c, a, b, depth, alpha, activation):
    for t in range(0, a.shape[0], HIGH):
        _strip(c, a, b, t, depth, alpha, activation)


@njit(cache=True, parallel=True)
def _strips_threaded(c, a, b, depth, alpha, activation):
    for t in prange((a.shape[0] + HIGH - 1) // HIGH):
        _strip(c, a, b, t * HIGH, depth, alpha, activation)


@njit(cache=True)
def _small(c, a, b, alpha, activation):
    """c += alpha a b along the rows of b, and the activation: without panels."""
    for i in range(a.shape[0]):
        for p in range(a.shape[1]):
            x = alpha * a[i, p]
            for j in range(b.shape[1]):
                c[i, j] += x * b[p, j]
    if activation:
        _activate(c, activation)


@njit(cache=True)
def _dots(c, a, b, alpha, activation):
    """The same by dots along k, in eight sums that one vector holds."""
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            s = np.zeros(8, a.dtype)
            whole = a.shape[1] // 8 * 8
            for p in range(0, whole, 8):
                for q in range(8):
                    s[q] += a[i, p + q] * b[p + q, j]
            for p in range(whole, a.shape[1]):
                s[0] += a[i, p] * b[p, j]
            c[i, j] += alpha * (((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])))
    if activation:
        _activate(c, activation)


_scratch = threading.local()


def _panels(name, lines, k, width, dtype):
    """This thread's memory for the panels of `lines` lines of length k, on a 64-byte border.

    It is kept: fresh memory would cost page faults, a twentieth of a product of 512.
    """
    size = -(-lines // width) * width * k * dtype.itemsize
    memory = getattr(_scratch, name, None)
    if memory is None or memory.size < size:
        memory = np.empty(size + 64, np.uint8)
        memory = memory[-memory.ctypes.data % 64 :][:size]
        setattr(_scratch, name, memory)
    return memory[:size].view(dtype).reshape(-(-lines // width), k, width)


def _code(activation):
    if isinstance(activation, int) and 0 <= activation < len(ACTIVATIONS):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(f"gemm: activation {activation!r} is none of {ACTIVATIONS}")
    return ACTIVATIONS.index(activation)


def _gemm(c, a, b, bias, residual, alpha, beta, activation, panels=None):
    """gemm; with panels, b is packed in them."""
    dtype, empty = c.dtype.type, np.empty(0, c.dtype)
    bias = empty if bias is None else bias
    row_bias = empty
    residual = np.empty((0, 0), c.dtype) if residual is None else residual
    if c.strides[1] != c.itemsize and c.shape[1] > 1 and c.strides[0] == c.itemsize and panels is None:
        c, a, b, residual, bias, row_bias = c.T, b.T, a.T, residual.T, row_bias, bias
    code = _code(activation)
    m, k, n = *a.shape, c.shape[1]
    alpha, beta = dtype(alpha), dtype(beta)
    _prepare(c, bias, row_bias, residual, beta)
    if alpha == 0 or k == 0:
        _activate(c, code)
        return
    nr = 2 * VECTOR // c.itemsize
    if panels is None and (min(m, n) == 1 or m * n * k <= PACK_MACS):
        along_k = a.strides[1] == c.itemsize and b.strides[0] == c.itemsize
        (_dots if along_k else _small)(c, a, b, alpha, code)
        return
    threads = m * n * k >= THREAD_MACS and get_num_threads() > 1
    pack = _pack_all_threaded if threads else _pack_all
    rows = _panels("a", m, k, MR, c.dtype)
    pack(rows, a)
    if panels is None:
        panels = _panels("b", n, k, nr, c.dtype)
        pack(panels, b.T)
    depth = -(-k // -(-k // (DEPTH_BYTES // c.itemsize)))
    (_strips_threaded if threads else _strips)(c, rows, panels, depth, alpha, code)


def gemm(c, a, b, bias=None, residual=None, alpha=1.0, beta=0.0, activation=None):
    """c[M, N] = act(alpha a[M, K] @ b[K, N] + beta c + bias[N] + residual[M, N])."""
    _check("gemm", c, a, b)
    _gemm(c, a, b, bias, residual, alpha, beta, activation)


def gemm_batched(c, a, b, alpha=1.0, beta=0.0):
    """c[B, M, N] = alpha a[B, M, K] @ b[B, K, N] + beta c; a batch stride of 0 repeats a matrix."""
    _check("gemm_batched", c, a, b)
    for ci, ai, bi in zip(c, a, b):
        _gemm(ci, ai, bi, None, None, alpha, beta, None)


def packed_size(k, n, dtype):
    """Elements of the buffer that pack_b fills for a [k, n] matrix; the layout is the back-end's own."""
    nr = 2 * VECTOR // np.dtype(dtype).itemsize
    return -(-n // nr) * nr * k


def gemm_tile(dtype):
    """(rows, columns) of c that the back-end sums in registers at a time."""
    return MR, 2 * VECTOR // np.dtype(dtype).itemsize


def pack_b(packed, b):
    """Stores b[K, N] in packed[packed_size(K, N)], a copy in the order gemm_packed reads it."""
    if packed.size:
        _pack_all(packed.reshape(-1, b.shape[0], 2 * VECTOR // b.itemsize), b.T)


def gemm_packed(c, a, packed, n, bias=None, residual=None, alpha=1.0, beta=0.0, activation=None):
    """gemm with the right-hand side [K, n] packed beforehand: weights that serve many calls."""
    k = a.shape[1]
    if packed.shape != (packed_size(k, n, a.dtype),) or c.shape != (len(a), n):
        raise ValueError(f"gemm_packed: shapes {a.shape} @ packed {packed.shape} do not give {c.shape}")
    panels = packed.reshape(-1, k, 2 * VECTOR // a.itemsize) if packed.size else packed.reshape(0, 0, 1)
    _gemm(c, a, None, bias, residual, alpha, beta, activation, panels)


def bias_grad(db, dy):
    """db[N] = column sums of dy[M, N]: the gradient of a bias that was added to every row."""
    _column_sums(db, dy)


@njit(cache=True)
def _column_sums(db, dy):
    db[:] = 0
    part = np.empty_like(db)
    for first in range(0, dy.shape[0], 256):  # in chunks, so that rounding errors grow with their length only
        part[:] = 0
        for i in range(first, min(first + 256, dy.shape[0])):
            for j in range(dy.shape[1]):
                part[j] += dy[i, j]
        for j in range(db.size):
            db[j] += part[j]
