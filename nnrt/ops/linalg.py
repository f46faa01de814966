"""Matrices' inverses, determinants and decompositions, by numpy.linalg: no kernels of nnrt's own.

A: (*, M, N), float32 or float64; axes in front are batches. Aᵀ swaps the last two axes, dY is the gradient of Y.
Derivatives: Giles, "Collected matrix derivative results for forward and reverse mode algorithmic differentiation", 2008.
Those of singular and eigenvectors are those of distinct values, and infinite where two are equal.
"""

import math
from collections import namedtuple

import numpy as np

from .. import memory
from ..autograd import record, record_many
from ..tensor import Tensor, wrap
from . import create, elementwise, reduce, unary
from ._axes import axis_of
from .convert import to
from .promotion import as_tensor
from .statistics import vector_norm

SLogDet = namedtuple("slogdet", "sign logabsdet")
QR = namedtuple("qr", "Q R")
SVD = namedtuple("svd", "U S Vh")
Eigh = namedtuple("eigh", "eigenvalues eigenvectors")
LstSq = namedtuple("lstsq", "solution residuals rank singular_values")


class LinAlgError(RuntimeError):
    """A matrix is singular, or has no decomposition of the kind wanted."""


def _of_shape(op, x, square, name="A"):
    x = as_tensor(op, x)
    a = x.array
    if a.ndim < 2 or square and a.shape[-1] != a.shape[-2]:
        kind = "square matrices (*, N, N)" if square else "matrices (*, M, N)"
        raise RuntimeError(f"{op}: {name} must be {kind}, got shape {a.shape}")
    return x


def _matrix(op, x, square=False, name="A"):
    x = _of_shape(op, x, square, name)
    a = x.array
    if a.dtype.kind != "f" or a.dtype.itemsize < 4:
        raise RuntimeError(f"{op}: {name} must be float32 or float64, got {a.dtype}")
    return x


def _numpy(op, function, *args, **options):
    try:
        with np.errstate(all="ignore"):
            return function(*args, **options)
    except np.linalg.LinAlgError as error:
        raise LinAlgError(f"{op}: {str(error).lower()}") from None


def _t(a):
    return np.swapaxes(a, -1, -2)


# ---- inverse, solutions, determinants ----


def inv(A) -> Tensor:
    """A⁻¹. LinAlgError for a singular matrix."""
    A = _matrix("inv", A, True)
    y = _numpy("inv", np.linalg.inv, A.array)
    return record(y, inv_backward, (A,), (y,))


def inv_backward(node, dy):
    (y,) = node.saved
    return (-(_t(y) @ dy @ _t(y)),)


def solve(A, B, *, left=True) -> Tensor:
    """X with A X = B, or X A = B without left. B: (*, N, K), or (N,) or A's batch and (N,). LinAlgError for a singular A."""
    A, B = _matrix("solve", A, True), as_tensor("solve", B, "B")
    a, b = A.array, B.array
    if b.dtype != a.dtype:
        raise RuntimeError(f"solve: A and B must have one dtype, got {a.dtype} and {b.dtype}")
    vector = b.ndim == 1 or b.shape == a.shape[:-1]
    if not left:
        if vector:
            raise RuntimeError(f"solve: without left B must be matrices (*, K, N), got shape {b.shape}")
        return solve(A.mT, B.mT).mT
    if (b.shape[-1] if vector else b.shape[-2]) != a.shape[-1]:
        raise RuntimeError(f"solve: B must have {a.shape[-1]} rows as A {a.shape}, got shape {b.shape}")
    columns = b[..., None] if vector else b
    x = _numpy("solve", np.linalg.solve, a, columns)
    return record(x[..., 0] if vector else x, solve_backward, (A, B), (A, x, b.shape, vector))


def solve_backward(node, dy):
    a, x, shape, vector = node.saved
    db = np.linalg.solve(_t(a), dy[..., None] if vector else dy)
    da = elementwise.sum_to(-(db @ _t(x)), a.shape) if node.needs(0) else None
    return da, elementwise.sum_to(db[..., 0] if vector else db, shape)


def det(A) -> Tensor:
    """The determinant, (*). Its derivative holds for singular matrices, too."""
    A = _matrix("det", A, True)
    return record(np.asarray(_numpy("det", np.linalg.det, A.array)), det_backward, (A,), (A,))


def det_backward(node, dy):
    """dA = dy cofactors of A; of A = U S Vh: det U det Vh U diag(Π_j≠i s_j) Vh"""
    (a,) = node.saved
    u, s, vh = np.linalg.svd(a)
    others = np.where(np.eye(a.shape[-1], dtype=bool), 1, s[..., None, :]).prod(-1)
    sign = np.linalg.det(u) * np.linalg.det(vh)
    return (((dy * sign)[..., None, None] * (u * others[..., None, :]) @ vh).astype(a.dtype, copy=False),)


def slogdet(A) -> SLogDet:
    """(sign, logabsdet) of the determinant; 0 and -inf of a singular matrix. sign has no gradient."""
    A = _matrix("slogdet", A, True)
    sign, y = _numpy("slogdet", np.linalg.slogdet, A.array)
    return SLogDet(wrap(np.asarray(sign)), record(np.asarray(y), slogdet_backward, (A,), (A,)))


def slogdet_backward(node, dy):
    (a,) = node.saved
    return (dy[..., None, None] * _t(_numpy("slogdet", np.linalg.inv, a)),)


inverse = inv  # torch's other name


def matrix_power(A, n) -> Tensor:
    """The product of n factors A (*, N, N), of any dtype; I for n = 0, the inverse's power for n < 0."""
    A = _of_shape("matrix_power", A, square=True)
    if isinstance(n, bool) or not hasattr(n, "__index__"):
        raise TypeError(f"matrix_power: n must be an int, got {type(n).__name__}")
    n = n.__index__()
    if n == 0:
        return create.eye(A.array.shape[-1], dtype=A.array.dtype).expand(A.array.shape).clone()
    if n < 0:
        A, n = inv(A), -n
    y = None
    while n:  # A, A², A⁴, ...: those of n's binary digits are multiplied
        if n & 1:
            y = A if y is None else y @ A
        n >>= 1
        A = A @ A if n else A
    return y.clone() if y is A else y


# ---- pseudoinverse and least squares ----


def pinv(A, rcond=None, hermitian=False, *, atol=None, rtol=None) -> Tensor:
    """The pseudoinverse A⁺ (*, N, M) of A (*, M, N), by its singular values.

    Those of at most max(atol, rtol times the largest) count as 0. rtol (or rcond, its other name): max(M, N) times the
    dtype's precision by default, 0 where atol is above 0. Numbers, or tensors of A's batch. hermitian: A is symmetric and its
    lower triangle is read. The gradient is that of a constant rank.
    """
    A = _matrix("pinv", A, hermitian)
    atol, rtol = (v.numpy() if isinstance(v, Tensor) else v for v in (atol, rcond if rtol is None else rtol))
    y = _pseudoinverse("pinv", A.array, atol, rtol, hermitian)[0]
    return record(y, pinv_backward, (A,), (A, y))


def pinverse(input, rcond=1e-15):
    """:func:`pinv` under torch's older name and with its smaller rcond."""
    return pinv(input, rcond)


def pinv_backward(node, dy):
    """dA = -A⁺ᵀ dY A⁺ᵀ + (I - A A⁺) dYᵀ A⁺ A⁺ᵀ + A⁺ᵀ A⁺ dYᵀ (I - A⁺ A). Golub and Pereyra, 1973."""
    a, y = node.saved
    return (_through_pinv(a, y, dy),)


def _through_pinv(a, y, dy):
    left, right = _t(dy) @ y @ _t(y), _t(y) @ y @ _t(dy)
    return left - a @ (y @ left) + right - (right @ y) @ a - _t(y) @ dy @ _t(y)


def _pseudoinverse(op, a, atol, rtol, hermitian=False):
    """(A⁺, the rank, the singular values)"""
    if rtol is None:
        rtol = 0 if atol is not None and np.any(np.asarray(atol) > 0) else max(a.shape[-2:]) * np.finfo(a.dtype).eps
    if a.size == 0:  # numpy refuses these
        batch = a.shape[:-2]
        empty = np.zeros((*batch, min(a.shape[-2:])), a.dtype)
        return np.zeros((*batch, a.shape[-1], a.shape[-2]), a.dtype), np.zeros(batch, np.int64), empty
    u, s, vh = _numpy(op, np.linalg.svd, a, full_matrices=False, hermitian=hermitian)
    kept = s > np.maximum(0 if atol is None else atol, rtol * s[..., 0])[..., None]
    inverse = np.divide(1, s, out=np.zeros_like(s), where=kept)
    return (_t(vh) * inverse[..., None, :]) @ _t(u), kept.sum(-1, dtype=np.int64), s


def lstsq(A, B, rcond=None, *, driver=None) -> LstSq:
    """(solution, residuals, rank, singular_values) of min ‖A X - B‖: X = A⁺ B (*, N, K) of A (*, M, N) and B (*, M, K) or (*, M).

    rcond: singular values of at most rcond times the largest count as 0; max(M, N) times the dtype's precision by default.
    driver says what is returned besides, as torch's do: "gelsy" (default) the rank, "gelsd" and "gelss" rank, singular values
    and residuals, Σ (A X - B)² by column, "gels" residuals alone and a LinAlgError where A has not full rank. The others, and
    residuals where M <= N or A has not full rank, are empty.
    """
    A, B = _matrix("lstsq", A), as_tensor("lstsq", B, "B")
    a, b = A.array, B.array
    if driver not in (None, "gelsy", "gels", "gelsd", "gelss"):
        raise RuntimeError(f"lstsq: driver must be 'gelsy', 'gels', 'gelsd' or 'gelss', got {driver!r}")
    if b.dtype != a.dtype:
        raise RuntimeError(f"lstsq: A and B must have one dtype, got {a.dtype} and {b.dtype}")
    vector = b.ndim == a.ndim - 1
    if vector and b.shape != a.shape[:-1] or not vector and (b.ndim != a.ndim or b.shape[-2] != a.shape[-2]):
        raise RuntimeError(f"lstsq: B must be (*, {a.shape[-2]}, K) or (*, {a.shape[-2]}) for A {a.shape}, got shape {b.shape}")
    y, rank, s = _pseudoinverse("lstsq", a, None, rcond)
    whole = bool((rank == s.shape[-1]).all())
    if driver == "gels" and not whole:
        raise LinAlgError(f"lstsq: driver 'gels' wants matrices of full rank {s.shape[-1]}, got ranks {rank.tolist()}")
    columns = B.unsqueeze(-1) if vector else B
    x = record(y @ columns.array, lstsq_backward, (A, columns), (A, columns, y))
    simple = driver in (None, "gelsy")
    if simple or not whole or a.shape[-2] <= a.shape[-1]:
        residuals = create.empty(0, dtype=a.dtype)
    else:
        residuals = ((A @ x - columns) ** 2).sum(-2)
    rank = create.empty(0, dtype=np.int64) if driver == "gels" else wrap(np.asarray(rank))
    values = wrap(s) if driver in ("gelsd", "gelss") else create.empty(0, dtype=a.dtype)
    return LstSq(x.squeeze(-1) if vector else x, residuals, rank, values)


def lstsq_backward(node, dx):
    """X = A⁺ B  =>  dB = A⁺ᵀ dX, dA⁺ = dX Bᵀ"""
    a, b, y = node.saved
    da = elementwise.sum_to(_through_pinv(a, y, dx @ _t(b)), a.shape) if node.needs(0) else None
    return da, elementwise.sum_to(_t(y) @ dx, b.shape)


# ---- decompositions ----


def cholesky(A, *, upper=False) -> Tensor:
    """L with L Lᵀ = A, lower triangular, or Lᵀ with upper. A is symmetric, positive definite; its lower triangle is read."""
    A = _matrix("cholesky", A, True)
    y = _numpy("cholesky", np.linalg.cholesky, A.array)
    return record(_t(y) if upper else y, cholesky_backward, (A,), (y, upper))


def cholesky_backward(node, dy):
    """dA = L⁻ᵀ Φ(Lᵀ dL) L⁻¹, symmetric; Φ keeps the lower triangle and half of the diagonal."""
    y, upper = node.saved
    inside = np.tril(_t(y) @ (_t(dy) if upper else dy))
    inside *= 1 - 0.5 * np.eye(y.shape[-1], dtype=y.dtype)
    half = np.linalg.solve(_t(y), _t(np.linalg.solve(_t(y), _t(inside))))
    return ((half + _t(half)) / 2,)


def qr(A, mode="reduced") -> QR:
    """(Q, R) with Q R = A. mode: "reduced", "complete" (square Q), or "r" (Q is empty). The gradient: not of "r",
    nor of "complete" where M > N."""
    A = _matrix("qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise RuntimeError(f"qr: mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    if mode == "r":
        return QR(wrap(memory.empty((0,), A.array.dtype)), wrap(_numpy("qr", np.linalg.qr, A.array, mode)))
    q, r = _numpy("qr", np.linalg.qr, A.array, mode)
    return QR(*record_many((q, r), qr_backward, (A,), (q, r)))


def qr_backward(node, dq, dr):
    """dA = (dQ + Q sym(R dRᵀ - dQᵀ Q)) R⁻ᵀ; sym repeats the lower triangle above the diagonal.

    A wide A is (A1 | A2), R is (R1 | R2): Q R1 = A1 as above, and R2 = Qᵀ A2 => dA2 = Q dR2, and A2 dR2ᵀ is added to dQ.
    """
    q, r = node.saved
    k = q.shape[-1]
    if k > r.shape[-1]:
        raise NotImplementedError(f"qr: the gradient wants mode 'reduced' where M > N, got Q {q.shape} and R {r.shape}")
    dq = np.zeros_like(q) if dq is None else dq
    outside = r[..., k:]  # A2 = Q R2
    r = r[..., :k]
    if dr is None:
        m, rest = 0, np.zeros_like(outside)
    else:
        m, rest = r @ _t(dr[..., :k]), dr[..., k:]
        dq = dq + q @ (outside @ _t(rest))
    m = m - _t(dq) @ q
    m = np.tril(m) + _t(np.tril(m, -1))
    da = _t(np.linalg.solve(r, _t(dq + q @ m)))
    return (np.concatenate([da, q @ rest], axis=-1) if rest.shape[-1] else da,)


def svd(A, full_matrices=True) -> SVD:
    """(U, S, Vh) with U diag(S) Vh = A, S falling. full_matrices: U and Vh are square.

    The gradients of the columns of U and rows of Vh that belong to no singular value are left out, as in torch: they are any
    basis of what is left.
    """
    A = _matrix("svd", A)
    u, s, vh = _numpy("svd", np.linalg.svd, A.array, full_matrices=full_matrices)
    return SVD(*record_many((u, s, vh), svd_backward, (A,), (u, s, vh)))


def svd_backward(node, du, ds, dvh):
    """dA = U (F∘(Uᵀ dU - dUᵀ U) S + S F∘(Vᵀ dV - dVᵀ V) + dS) Vᵀ, F_ij = 1 / (s_j² - s_i²), and what dU and dV have outside"""
    u, s, vh = node.saved
    k = s.shape[-1]
    u, vh = u[..., :k], vh[..., :k, :]
    du = du if du is None else du[..., :k]
    dvh = dvh if dvh is None else dvh[..., :k, :]
    inside = np.zeros((*s.shape, k), s.dtype)
    outside = 0
    with np.errstate(all="ignore"):
        if ds is not None:
            inside[..., range(k), range(k)] = ds
        f = s[..., None, :] ** 2 - s[..., None] ** 2
        f = np.where(np.eye(k, dtype=bool), 0, 1 / f)
        if du is not None:
            m = _t(u) @ du
            inside += f * (m - _t(m)) * s[..., None, :]
            if u.shape[-2] > k:
                outside = outside + ((du - u @ m) / s[..., None, :]) @ vh
        if dvh is not None:
            m = vh @ _t(dvh)
            inside += s[..., None] * (f * (m - _t(m)))
            if vh.shape[-1] > k:
                outside = outside + u @ ((dvh - _t(m) @ vh) / s[..., None])
    return (u @ inside @ vh + outside,)


def svdvals(A) -> Tensor:
    """The singular values, falling."""
    A = _matrix("svdvals", A)
    return svd(A, full_matrices=False).S


def eigh(A, UPLO="L") -> Eigh:
    """(eigenvalues, rising, and eigenvectors, as columns) of a symmetric A, of which one triangle is read: "L" or "U"."""
    A = _matrix("eigh", A, True)
    if UPLO not in ("L", "U"):
        raise RuntimeError(f"eigh: UPLO must be 'L' or 'U', got {UPLO!r}")
    w, v = _numpy("eigh", np.linalg.eigh, A.array, UPLO)
    return Eigh(*record_many((w, v), eigh_backward, (A,), (w, v)))


def eigh_backward(node, dw, dv):
    """dA = V (dλ + F∘(Vᵀ dV)) Vᵀ, F_ij = 1 / (λ_j - λ_i)"""
    w, v = node.saved
    n = w.shape[-1]
    inside = np.zeros(v.shape, v.dtype)
    if dw is not None:
        inside[..., range(n), range(n)] = dw
    if dv is not None:
        with np.errstate(divide="ignore"):
            f = np.where(np.eye(n, dtype=bool), 0, 1 / (w[..., None, :] - w[..., None]))
        inside += f * (_t(v) @ dv)
    return (v @ inside @ _t(v),)


def eigvalsh(A, UPLO="L") -> Tensor:
    """The eigenvalues of :func:`eigh`."""
    return eigh(A, UPLO).eigenvalues


# ---- norms ----


def norm(A, ord=None, dim=None, keepdim=False, *, dtype=None) -> Tensor:
    """vector_norm over dim, or over all elements without ord and dim; matrix_norm where dim names two axes and ord is given.

    With ord and without dim A has one or two axes, and they say which.
    """
    A = as_tensor("norm", A, "A")
    if ord is not None:
        if dim is None and A.array.ndim not in (1, 2):
            raise RuntimeError(f"norm: with ord={ord!r} and no dim A must have 1 or 2 dimensions, got shape {A.array.shape}")
        axes = range(A.array.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
        if len(axes) == 2:
            return matrix_norm(A, ord, tuple(axes), keepdim, dtype=dtype)
    return vector_norm(A, 2 if ord is None else ord, dim, keepdim, dtype)


def matrix_norm(A, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None) -> Tensor:
    """ord: "fro" (all elements' 2-norm), "nuc" (sum of singular values), 2, -2 (largest, smallest of them),
    inf, -inf (of the rows' sums of |A|), 1, -1 (of the columns')."""
    A = as_tensor("matrix_norm", A, "A")
    A = _matrix("matrix_norm", A if dtype is None else to(A, dtype))
    if not isinstance(dim, (tuple, list)) or len(dim) != 2:
        raise RuntimeError(f"matrix_norm: dim must be two axes, got {dim!r}")
    rows, columns = [axis_of("matrix_norm", d, A.array.ndim) for d in dim]
    if rows == columns:
        raise RuntimeError(f"matrix_norm: dim must be two different axes, got {dim!r}")
    if ord == "fro":
        return vector_norm(A, 2, (rows, columns), keepdim)
    if ord in (math.inf, -math.inf, 1, -1):
        summed, kept = (columns, rows) if abs(ord) != 1 else (rows, columns)
        y = reduce.sum(unary.abs(A), summed, True)
        y = _extreme(y, kept, True, ord > 0)
    elif ord in ("nuc", 2, -2):
        s = svdvals(A.movedim((rows, columns), (-2, -1)))
        y = reduce.sum(s, -1) if ord == "nuc" else _extreme(s, -1, False, ord == 2)
        y = y.unsqueeze(-1).unsqueeze(-1).movedim((-2, -1), (rows, columns))
    else:
        raise RuntimeError(f"matrix_norm: ord must be 'fro', 'nuc', inf, -inf, 1, -1, 2 or -2, got {ord!r}")
    return y if keepdim else y.squeeze((rows, columns))


def _extreme(y, dim, keepdim, largest):
    """The largest, or the least, along dim; of none the largest is 0, as all of y are at least 0."""
    if largest and y.array.shape[dim] == 0:
        return reduce.sum(y, dim, keepdim)
    return (reduce.amax if largest else reduce.amin)(y, dim, keepdim)
