"""Matrix products.

    y = x Wᵀ + b         dx = dy W      dW = dyᵀ x      db = Σ_rows dy
    C = A B              dA = dC Bᵀ     dB = Aᵀ dC

Legend: M rows (all leading axes of x together), K in_features, N out_features, B batch of matrices.
Transposes are strided views: gemm takes any strides.
"""

import numpy as np

from .. import memory, registry
from ..autograd import record, tracked
from ..memory import empty_product
from ..tensor import Tensor, wrap
from .promotion import not_tensors

K = registry.family("linear")
COPIES = registry.family("shape")
# From this many rows on weights' gradients may be made turned (one core: 1024 x 256 over 2048 rows 1.08, 2048 x 128
# over 3200 rows 1.35 times as fast; square and short ones lose).
LONG = 512
# Of so few columns of x, whole panels of AVX-512's, dy is as well read in place: 1.03 to 1.16 times as fast as turned.
NARROW, PANEL = 256, 32


def linear(input, weight, bias=None) -> Tensor:
    """y = x Wᵀ + b.

    input: [..., K]; weight: [N, K]; bias: [N] or None; result: [..., N]. All of one floating
    dtype, or of one integer dtype. Raises RuntimeError for sizes or dtypes that do not fit.
    """
    try:
        x, w = input.array, weight.array
        b = None if bias is None else memory.contiguous(bias.array)
    except AttributeError:
        raise not_tensors("linear", input=input, weight=weight, bias=bias) from None
    if x.ndim == 0 or w.ndim != 2 or x.shape[-1] != w.shape[1] or (b is not None and b.shape != (w.shape[0],)):
        if not (x.ndim and w.ndim == 1 and b is None and x.shape[-1] == w.shape[0]):
            _refuse_linear(x, w, b)
        return matmul(input, weight)
    if x.dtype != w.dtype or (b is not None and b.dtype != x.dtype):
        _refuse_dtypes("linear", input=x, weight=w, bias=b)
    try:
        y = affine(rows_of(x), w, b)
    except TypeError:
        if x.dtype.char in "fd":
            raise
        y = matmul(input, weight.t())  # rare dtypes
        return y if bias is None else y + bias
    if x.ndim != 2:
        y = y.reshape(*x.shape[:-1], len(w))
    return record(y, linear_backward, (input, weight, bias), (input, weight))


def linear_backward(node, dy):
    x, w = node.saved
    dx, dw, db = affine_backward(rows_of(dy), rows_of(x), w, node.needs(0), node.needs(1), node.needs(2))
    return dx if dx is None or x.ndim == 2 else dx.reshape(x.shape), dw, db


def affine(rows, w, b, activation=None):
    """act(rows wᵀ + b): [M, K], [N, K], [N] or None -> [M, N], all arrays. activation: a name that gemm knows."""
    y = memory.empty((len(rows), len(w)), rows.dtype)
    K.gemm(y, rows, w.T, b, None, 1.0, 0.0, activation)
    return y


def affine_backward(dy, x, w, to_x, to_weight, to_bias):
    """y = x wᵀ + b  =>  dx = dy w, dw = dyᵀ x, db = Σ_rows dy; None for what is not wanted."""
    dx = dw = db = None
    if to_x:
        dx = memory.empty(x.shape, x.dtype)
        K.gemm(dx, dy, w, None, None, 1.0, 0.0, None)
    if to_weight:
        dw = memory.empty(w.shape, w.dtype)
        weight_gradient(dw, dy, x)
    if to_bias:
        db = memory.empty(w.shape[:1], w.dtype)
        K.bias_grad(db, dy)
    return dx, dw, db


def weight_gradient(dw, dy, x, beta=0.0):
    """dw = beta dw + dyᵀ x, of rows dy: [M, N] and x: [M, K]."""
    n, k = dy.shape[1], x.shape[1]
    if beta or len(dy) < LONG or k >= n or not (64 < k <= 256 or n > 512 and 4 * k <= n) or _in_place(k, x.dtype):
        K.gemm(dw, dy.T, x, None, None, 1.0, beta, None)
        return
    # dwᵀ = xᵀ dy: the narrower array is the one to turn, dy is packed where it is used.
    turned = memory.empty((k, n), x.dtype)
    K.gemm(turned, x.T, dy, None, None, 1.0, 0.0, None)
    COPIES.copy(dw, turned.T)


def _in_place(k, dtype):
    return k <= NARROW and k % PANEL == 0 and K.gemm_tile(dtype)[1] == PANEL


def rows_of(a):
    """[..., n] as [M, n]; a copy only where strides leave no view."""
    if a.ndim == 2:
        return a
    rows, n = 1, a.shape[-1]
    for size in a.shape[:-1]:
        rows *= size
    return a.reshape(rows, n)


def _refuse_linear(x, w, b):
    if w.ndim != 2:
        raise RuntimeError(f"linear: weight must be [out_features, in_features], got shape {w.shape}")
    if x.ndim == 0 or x.shape[-1] != w.shape[1]:
        raise RuntimeError(
            f"linear: input of shape {x.shape} must end in in_features = {w.shape[1]} (weight has shape {w.shape})"
        )
    raise RuntimeError(f"linear: bias must have shape ({w.shape[0]},) for weight {w.shape}, got {b.shape}")


def _refuse_dtypes(op, **arrays):
    got = ", ".join(f"{name} {a.dtype}" for name, a in arrays.items() if a is not None)
    raise RuntimeError(f"{op}: arguments must have one dtype, got {got}")


def matmul(input, other) -> Tensor:
    """Matrix product as numpy's and torch's: vectors, matrices, or batches that broadcast.

    [K]·[K] -> scalar; [M, K]·[K] -> [M]; [K]·[..., K, N] -> [..., N];
    [..., M, K]·[..., K, N] -> [..., M, N]. Raises RuntimeError for sizes or dtypes that do not fit.
    """
    if isinstance(input, Tensor) and isinstance(other, Tensor):
        left, right = input, other
    else:
        from .create import as_tensor

        left, right = as_tensor(input), as_tensor(other)
    a, b = left.array, right.array
    out = empty_product(a, b)
    if out is not None:
        K.gemm(out, a, b)
        if not tracked(left, right):
            return wrap(out)
        return record(out, matmul_backward, (left, right), (left, right))
    if a.ndim == 0 or b.ndim == 0:
        raise RuntimeError(f"matmul: both arguments must have at least 1 dimension, got shapes {a.shape} and {b.shape}")
    if a.dtype != b.dtype:
        _refuse_dtypes("matmul", x=a, other=b)
    if a.shape[-1] != b.shape[0 if b.ndim == 1 else -2]:
        raise RuntimeError(
            f"matmul: shapes {a.shape} and {b.shape} do not fit: "
            f"{a.shape[-1]} columns meet {b.shape[0 if b.ndim == 1 else -2]} rows"
        )
    out = product(a if a.ndim > 1 else a[None, :], b if b.ndim > 1 else b[:, None])
    shape = out.shape
    if b.ndim == 1:
        shape = shape[:-1]
    if a.ndim == 1:
        shape = shape[:-1] if b.ndim == 1 else shape[:-2] + shape[-1:]
    return record(out if shape == out.shape else out.reshape(shape), matmul_backward, (left, right), (left, right))


def matmul_backward(node, dy):
    a, b = node.saved
    left = a if a.ndim > 1 else a[None, :]
    right = b if b.ndim > 1 else b[:, None]
    if b.ndim == 1:
        dy = dy[..., None]
    if a.ndim == 1:
        dy = dy[..., None, :]
    da = db = None
    if node.needs(0):
        da = _summed(dy, right.swapaxes(-1, -2), left.shape).reshape(a.shape)
    if node.needs(1):
        db = _summed(left.swapaxes(-1, -2), dy, right.shape).reshape(b.shape)
    return da, db


def product(a, b):
    """a @ b for arrays of two or more dimensions, batches broadcast."""
    if a.dtype.kind != "f" or a.dtype.itemsize < 4:
        return np.matmul(a, b)
    m, k = a.shape[-2:]
    n = b.shape[-1]
    if b.ndim == 2:
        out = memory.empty(a.shape[:-1] + (n,), a.dtype)
        K.gemm(rows_of(out), rows_of(a), b, None, None, 1.0, 0.0, None)
        return out
    try:
        batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    except ValueError:
        raise RuntimeError(f"matmul: batch dimensions of shapes {a.shape} and {b.shape} do not broadcast") from None
    out = memory.empty(batch + (m, n), a.dtype)
    K.gemm_batched(_stack(out, batch), _stack(a, batch), _stack(b, batch), 1.0, 0.0)
    return out


def _stack(a, batch):
    """a broadcast to batch + its matrix, as [B, rows, columns]."""
    if a.shape[:-2] != batch:
        a = np.broadcast_to(a, batch + a.shape[-2:])
    count = 1
    for size in batch:
        count *= size
    return a.reshape((count,) + a.shape[-2:])


def _summed(a, b, shape):
    """a @ b, summed over the batch axes along which an operand of this shape was broadcast."""
    if len(shape) == 2 and (a.ndim > 2 or b.ndim > 2):
        return _contracted(a, b)
    out = product(a, b)
    if out.shape == shape:
        return out
    from .elementwise import sum_to

    return sum_to(out, shape)


def _contracted(a, b):
    """Σ over the batch of a @ b, as one product with the batch moved into the inner dimension."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = _stack(a, batch), _stack(b, batch)
    inner = b.shape[0] * b.shape[1]
    a = a.transpose(1, 0, 2).reshape(a.shape[1], inner)
    return product(a, b.reshape(inner, b.shape[2]))
