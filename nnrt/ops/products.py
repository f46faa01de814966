"""Products of two tensors under torch's special names, and sums with them, by matmul; linear with an activation."""

from .. import memory
from ..tensor import wrap
from .linear import affine, matmul, rows_of
from .promotion import as_tensor


def mm(input, mat2):
    """[M, K]·[K, N], without broadcasting."""
    input, mat2 = _of_dims("mm", input, 2, mat2, 2)
    return matmul(input, mat2)


def bmm(input, mat2):
    """[B, M, K]·[B, K, N], without broadcasting."""
    input, mat2 = _of_dims("bmm", input, 3, mat2, 3)
    if input.shape[0] != mat2.shape[0]:
        sizes = f"{input.shape[0]} and {mat2.shape[0]} matrices (shapes {input.shape} and {mat2.shape})"
        raise RuntimeError(f"bmm: batches of {sizes}")
    return matmul(input, mat2)


def mv(input, vec):
    """[M, K]·[K] -> [M]."""
    input, vec = _of_dims("mv", input, 2, vec, 1)
    return matmul(input, vec)


def dot(input, other):
    """Σ_k x_k other_k of two vectors."""
    input, other = _of_dims("dot", input, 1, other, 1)
    return matmul(input, other)


def inner(input, other):
    """Sum over the last axis of both: [..., K], [..., K] -> [..., ...]."""
    input = as_tensor("inner", input)
    from . import einsum

    if input.ndim == 0 or other.ndim == 0:
        return input * other
    if input.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: last axes of shapes {input.shape} and {other.shape} differ")
    return einsum.tensordot(input, other, ([-1], [-1]))


def outer(input, vec2):
    """[M], [N] -> [M, N]."""
    input, vec2 = _of_dims("outer", input, 1, vec2, 1)
    return matmul(input.reshape(-1, 1), vec2.reshape(1, -1))


ger = outer


def addmm(input, mat1, mat2, beta=1, alpha=1):
    """beta * input + alpha * mat1 @ mat2; input broadcasts to the product's shape."""
    return _plus(input, mm(mat1, mat2), beta, alpha)


def addmv(input, mat, vec, beta=1, alpha=1):
    """beta * input + alpha * mat @ vec."""
    return _plus(input, mv(mat, vec), beta, alpha)


def addbmm(input, batch1, batch2, beta=1, alpha=1):
    """beta * input + alpha * Σ_b batch1[b] @ batch2[b]."""
    return _plus(input, bmm(batch1, batch2).sum(0), beta, alpha)


def baddbmm(input, batch1, batch2, beta=1, alpha=1):
    """beta * input + alpha * batch1 @ batch2, batch by batch."""
    return _plus(input, bmm(batch1, batch2), beta, alpha)


def _plus(x, product, beta, alpha):
    if alpha != 1:
        product = product * alpha
    # beta = 0 drops x whatever it holds, NaN included.
    if beta == 0:
        return product
    return (x if beta == 1 else x * beta) + product


def _of_dims(op, x, m, other, n):
    """Both as Tensors, x of m dimensions and the other of n."""
    both = as_tensor(op, x), as_tensor(op, other)
    for t, ndim in zip(both, (m, n)):
        if t.ndim != ndim:
            raise RuntimeError(f"{op}: wants {ndim}-dimensional arguments, got shape {tuple(t.shape)}")
    return both


def linear_activated(input, weight, bias, activation):
    """act(linear(input, weight, bias)) in one pass, without a gradient; None for what linear refuses, vectors and rare dtypes.

    activation: a name that gemm knows.
    """
    x, w = input.array, weight.array
    b = None if bias is None else memory.contiguous(bias.array)
    if x.ndim < 2 or w.ndim != 2 or x.shape[-1] != w.shape[1] or x.dtype != w.dtype or x.dtype.char not in "fd":
        return None
    if b is not None and (b.shape != w.shape[:1] or b.dtype != x.dtype):
        return None
    y = affine(rows_of(x), w, b, activation)
    return wrap(y if x.ndim == 2 else y.reshape(*x.shape[:-1], len(w)))
