"""Products of two tensors under torch's special names, and sums with them, by matmul; linear with an activation."""

from .. import memory
from ..tensor import wrap
from .linear import affine, matmul, rows_of
from .promotion import as_tensor


def mm(x, mat2):
    """[M, K]·[K, N], without broadcasting."""
    x, mat2 = _of_dims("mm", x, 2, mat2, 2)
    return matmul(x, mat2)


def bmm(x, mat2):
    """[B, M, K]·[B, K, N], without broadcasting."""
    x, mat2 = _of_dims("bmm", x, 3, mat2, 3)
    if x.shape[0] != mat2.shape[0]:
        raise RuntimeError(f"bmm: batches of {x.shape[0]} and {mat2.shape[0]} matrices (shapes {x.shape} and {mat2.shape})")
    return matmul(x, mat2)


def mv(x, vec):
    """[M, K]·[K] -> [M]."""
    x, vec = _of_dims("mv", x, 2, vec, 1)
    return matmul(x, vec)


def dot(x, other):
    """Σ_k x_k other_k of two vectors."""
    x, other = _of_dims("dot", x, 1, other, 1)
    return matmul(x, other)


def inner(x, other):
    """Sum over the last axis of both: [..., K], [..., K] -> [..., ...]."""
    x = as_tensor("inner", x)
    from . import einsum

    if x.ndim == 0 or other.ndim == 0:
        return x * other
    if x.shape[-1] != other.shape[-1]:
        raise RuntimeError(f"inner: last axes of shapes {x.shape} and {other.shape} differ")
    return einsum.tensordot(x, other, ([-1], [-1]))


def outer(x, vec2):
    """[M], [N] -> [M, N]."""
    x, vec2 = _of_dims("outer", x, 1, vec2, 1)
    return matmul(x.reshape(-1, 1), vec2.reshape(1, -1))


ger = outer


def addmm(x, mat1, mat2, beta=1, alpha=1):
    """beta * x + alpha * mat1 @ mat2; x broadcasts to the product's shape."""
    return _plus(x, mm(mat1, mat2), beta, alpha)


def addmv(x, mat, vec, beta=1, alpha=1):
    """beta * x + alpha * mat @ vec."""
    return _plus(x, mv(mat, vec), beta, alpha)


def addbmm(x, batch1, batch2, beta=1, alpha=1):
    """beta * x + alpha * Σ_b batch1[b] @ batch2[b]."""
    return _plus(x, bmm(batch1, batch2).sum(0), beta, alpha)


def baddbmm(x, batch1, batch2, beta=1, alpha=1):
    """beta * x + alpha * batch1 @ batch2, batch by batch."""
    return _plus(x, bmm(batch1, batch2), beta, alpha)


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
