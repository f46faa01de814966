"""Matrix products (specification).

Legend: M rows of c, N its columns, K the length of the sum, B batch.

    gemm:   c[M, N] = act(alpha a[M, K] b[K, N] + beta c + bias[N] + residual[M, N])

a and b have any strides (a transposed operand is a transposed view), c unit stride in one
axis. c must not overlap the inputs. As in BLAS, beta = 0 overwrites c without reading it
and alpha = 0 leaves a and b unread; apart from that NaN and infinity propagate.

activation: None, "relu", "gelu" (with erf), "gelu_tanh", "tanh", "sigmoid", "silu" or the
position of the name in ACTIVATIONS.

Errors: TypeError for dtypes other than float32 or float64 or that differ, ValueError for
shapes that do not fit, an unknown activation, a c without unit stride.
"""

from math import erf, sqrt

import numpy as np

from . import Out, quiet

ACTIVATIONS = (None, "relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu")


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


_FUNCTIONS = {
    None: lambda x: x,
    "relu": lambda x: np.where(x < 0, 0, x),
    "gelu": lambda x: 0.5 * x * (1 + np.vectorize(erf, otypes="d")(x / sqrt(2))),
    "gelu_tanh": lambda x: 0.5 * x * (1 + np.tanh(sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
}


def _activate(y, activation):
    if isinstance(activation, int) and 0 <= activation < len(ACTIVATIONS):
        activation = ACTIVATIONS[activation]
    if activation not in ACTIVATIONS:
        raise ValueError(f"gemm: activation {activation!r} is none of {ACTIVATIONS}")
    with np.errstate(over="ignore", invalid="ignore"):
        return _FUNCTIONS[activation](y)


def _finished(total, b, residual, activation):
    """act(total + b + residual), where b and residual may be None; total is written over."""
    if b is not None:
        total += b
    if residual is not None:
        total += residual
    return _activate(total, activation)


def _check(op, c, a, b):
    if not c.dtype == a.dtype == b.dtype or c.dtype not in ("f4", "f8"):
        raise TypeError(f"{op}: wanted one dtype, float32 or float64, got {c.dtype}, {a.dtype}, {b.dtype}")
    if a.shape[:-2] != c.shape[:-2] or b.shape[:-2] != c.shape[:-2] or (
        (a.shape[-2], b.shape[-1]) != c.shape[-2:] or a.shape[-1] != b.shape[-2]
    ):
        raise ValueError(f"{op}: shapes {a.shape} @ {b.shape} do not give {c.shape}")


@quiet
def gemm(c: Out, a, b, bias=None, residual=None, alpha=1.0, beta=0.0, activation=None):
    """c[M, N] = act(alpha a[M, K] @ b[K, N] + beta c + bias[N] + residual[M, N])."""
    _check("gemm", c, a, b)
    y = alpha * (a @ b) if alpha != 0 and a.shape[1] else np.zeros_like(c)
    if beta != 0:
        y += beta * c
    c[...] = _finished(y, bias, residual, activation)


@quiet
def gemm_batched(c: Out, a, b, alpha=1.0, beta=0.0):
    """c[B, M, N] = alpha a[B, M, K] @ b[B, K, N] + beta c; a batch stride of 0 repeats a matrix."""
    _check("gemm_batched", c, a, b)
    for ci, ai, bi in zip(c, a, b):
        gemm(ci, ai, bi, alpha=alpha, beta=beta)


def packed_size(k, n, dtype):
    """Elements of the buffer that pack_b fills for a [k, n] matrix; the layout is the back-end's own."""
    return k * n


def gemm_tile(dtype):
    """(rows, columns) of c that the back-end sums in registers at a time."""
    return 1, 1


def pack_b(packed: Out, b):
    """Stores b[K, N] in packed[packed_size(K, N)], a copy in the order gemm_packed reads it."""
    packed[...] = b.ravel()


def gemm_packed(c: Out, a, packed, n, bias=None, residual=None, alpha=1.0, beta=0.0, activation=None):
    """gemm with the right-hand side [K, n] packed beforehand: weights that serve many calls. c has rows of unit stride."""
    gemm(c, a, packed.reshape(a.shape[1], n), bias, residual, alpha, beta, activation)


def bias_grad(db: Out, dy):
    """db[N] = column sums of dy[M, N]: the gradient of a bias that was added to every row."""
    np.sum(dy, axis=0, out=db)
