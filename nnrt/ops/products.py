"""Products of two tensors under torch's special names, and sums with them, by matmul; linear with an activation."""

import numpy as np

from .. import memory, registry
from ..autograd import on_tape, record
from ..tensor import Tensor
from ._axes import axis_of
from .linear import affine, affine_backward, matmul, product, rows_of
from .promotion import as_tensor, broadcast, operands, sum_to

K = registry.family("elementwise")
ACTIVATION = registry.family("activation")


def mm(input, mat2) -> Tensor:
    """[M, K]·[K, N], without broadcasting."""
    return matmul(*_fitting("mm", input, 2, mat2, 2))


def bmm(input, mat2) -> Tensor:
    """[B, M, K]·[B, K, N], without broadcasting."""
    return matmul(*_fitting("bmm", input, 3, mat2, 3))


def mv(input, vec) -> Tensor:
    """[M, K]·[K] -> [M]."""
    return matmul(*_fitting("mv", input, 2, vec, 1))


def dot(input, other) -> Tensor:
    """Σ_k x_k other_k of two vectors."""
    return _dot("dot", input, other)


def vdot(input, other) -> Tensor:
    """:func:`dot`, which conjugates what is complex: nothing here."""
    return _dot("vdot", input, other)


def _dot(op, input, other):
    input, other = _of_dims(op, input, 1, other, 1)
    if input.shape != other.shape:
        raise RuntimeError(f"{op}: vectors must be of one length, got {input.shape[0]} and {other.shape[0]}")
    return matmul(input, other)


def cross(input, other, dim=None) -> Tensor:
    """The vector product along dim, of size 3: perpendicular to both, as long as the area between them.

    dim: by default the first axis of size 3. Shapes have equally many axes and broadcast. RuntimeError otherwise.
    """
    input, other = as_tensor("cross", input), as_tensor("cross", other, "other")
    a, b = input.array.shape, other.array.shape
    if len(a) != len(b):
        raise RuntimeError(f"cross: input and other must have equally many dimensions, got shapes {a} and {b}")
    if dim is None and 3 not in a:
        raise RuntimeError(f"cross: input has no axis of size 3, got shape {a}")
    dim = a.index(3) if dim is None else axis_of("cross", dim, len(a))
    if not a or a[dim] != 3 or b[dim] != 3:
        raise RuntimeError(f"cross: axis {dim} must have size 3 in both, got shapes {a} and {b}")
    input, other = operands("cross", input, other)
    y = memory.empty(broadcast("cross", (a, b)), input.array.dtype)
    _cross(y, input.array, other.array, dim)
    return record(y, cross_backward, (input, other), (input, other, dim))


def cross_backward(node, dy):
    """y = a x b  =>  da = b x dy, db = dy x a"""
    a, b, dim = node.saved
    da = db = None
    if node.needs(0):
        da = sum_to(_cross(memory.empty(dy.shape, dy.dtype), b, dy, dim), a.shape)
    if node.needs(1):
        db = sum_to(_cross(memory.empty(dy.shape, dy.dtype), dy, a, dim), b.shape)
    return da, db


def _cross(y, a, b, dim):
    """y = a x b along dim; returns y."""
    out, u, v = y.swapaxes(0, dim), a.swapaxes(0, dim), b.swapaxes(0, dim)
    for i, j, k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
        np.multiply(u[j], v[k], out=out[i, ...])
        out[i] -= u[k] * v[j]
    return y


def inner(input, other) -> Tensor:
    """Sum over the last axis of both: [..., K], [..., K] -> [..., ...]."""
    input, other = as_tensor("inner", input), as_tensor("inner", other, "other")
    from . import einsum

    if input.ndim == 0 or other.ndim == 0:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: last axes of shapes {input.shape} and {other.shape} differ")
    return einsum.tensordot(input, other, ([-1], [-1]))


def outer(input, vec2) -> Tensor:
    """[M], [N] -> [M, N], of the dtype that their product has."""
    input, vec2 = operands("outer", *_of_dims("outer", input, 1, vec2, 1))
    a, b = input.array, vec2.array
    out = memory.empty((a.size, b.size), a.dtype)
    K.mul(out, a[:, None], b)
    return record(out, outer_backward, (input, vec2), (input, vec2))


def outer_backward(node, dy):
    """y = a bᵀ  =>  da = dy b, db = dyᵀ a"""
    a, b = node.saved
    da = product(dy, b[:, None])[:, 0] if node.needs(0) else None
    db = product(dy.T, a[:, None])[:, 0] if node.needs(1) else None
    return da, db


ger = outer


def addmm(input, mat1, mat2, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * mat1 @ mat2; input broadcasts to the product's shape."""
    return _plus("addmm", input, matmul(*_fitting("addmm", mat1, 2, mat2, 2)), beta, alpha)


def addmv(input, mat, vec, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * mat @ vec."""
    return _plus("addmv", input, matmul(*_fitting("addmv", mat, 2, vec, 1)), beta, alpha)


def addr(input, vec1, vec2, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * vec1 vec2ᵀ, vectors [M] and [N]; input broadcasts to [M, N]."""
    vec1, vec2 = _of_dims("addr", vec1, 1, vec2, 1)
    return _plus("addr", input, outer(vec1, vec2), beta, alpha)


def addbmm(input, batch1, batch2, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * Σ_b batch1[b] @ batch2[b]."""
    return _plus("addbmm", input, matmul(*_fitting("addbmm", batch1, 3, batch2, 3)).sum(0), beta, alpha)


def baddbmm(input, batch1, batch2, beta=1, alpha=1) -> Tensor:
    """beta * input + alpha * batch1 @ batch2, batch by batch."""
    return _plus("baddbmm", input, matmul(*_fitting("baddbmm", batch1, 3, batch2, 3)), beta, alpha)


def _plus(op, x, product, beta, alpha):
    if alpha != 1:
        product = product * alpha
    # beta = 0 drops x whatever it holds, NaN included.
    if beta == 0:
        return product
    x, shape = as_tensor(op, x), product.array.shape
    if x.array.shape != shape and broadcast(op, (x.array.shape, shape)) != shape:
        raise RuntimeError(f"{op}: input of shape {x.array.shape} does not broadcast to {shape}, the product's")
    return (x if beta == 1 else x * beta) + product


def _fitting(op, x, m, other, n):
    """_of_dims, with one batch, one inner size and one dtype."""
    x, other = _of_dims(op, x, m, other, n)
    a, b = x.array, other.array
    rows = b.shape[0 if n == 1 else -2]
    if a.shape[-1] != rows or n == 3 and len(a) != len(b):
        sizes = f"{a.shape[-1]} columns meet {rows} rows" if a.shape[-1] != rows else f"batches of {len(a)} and {len(b)} matrices"
        raise RuntimeError(f"{op}: shapes {a.shape} and {b.shape} do not fit: {sizes}")
    if a.dtype != b.dtype:
        raise RuntimeError(f"{op}: both factors must have one dtype, got {a.dtype} and {b.dtype}")
    return x, other


def _of_dims(op, x, m, other, n):
    """Both as Tensors, x of m dimensions and the other of n."""
    both = as_tensor(op, x), as_tensor(op, other, "other")
    for t, ndim in zip(both, (m, n)):
        if t.ndim != ndim:
            raise RuntimeError(f"{op}: wants {ndim}-dimensional arguments, got shape {tuple(t.shape)}")
    return both


def linear_activated(input, weight, bias, activation):
    """act(linear(input, weight, bias)) in one pass; None for what linear refuses, vectors and rare dtypes.

    activation: a name that gemm knows; where a gradient is wanted relu, whose derivative y tells, and None for others.
    """
    inputs = input, weight, bias
    x, w = input.array, weight.array
    b = None if bias is None else memory.contiguous(bias.array)
    if x.ndim < 2 or w.ndim != 2 or x.shape[-1] != w.shape[1] or x.dtype != w.dtype or x.dtype.char not in "fd":
        return None
    if b is not None and (b.shape != w.shape[:1] or b.dtype != x.dtype):
        return None
    if activation != "relu" and on_tape(inputs):
        return None
    y = affine(rows_of(x), w, b, activation)
    if x.ndim != 2:
        y = y.reshape(*x.shape[:-1], len(w))
    return record(y, linear_relu_backward, inputs, (input, weight, y))


def linear_relu_backward(node, dy):
    """y = relu(x Wᵀ + b)  =>  that of linear for dy where y > 0"""
    x, w, y = node.saved
    dz = memory.empty_like(y)
    ACTIVATION.relu_backward(dz, dy, y)
    dx, dw, db = affine_backward(rows_of(dz), rows_of(x), w, node.needs(0), node.needs(1), node.needs(2))
    return dx if dx is None or x.ndim == 2 else dx.reshape(x.shape), dw, db
