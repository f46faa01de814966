"""nnrt.linalg: gradients by differences, values against torch, what is refused."""

import numpy as np
import pytest

import nnrt
from nnrt import linalg
from nnrt.autograd import gradcheck

INF = float("inf")


def symmetric(x):
    return x @ x.mT + 0.5 * nnrt.eye(x.shape[-2], dtype=x.dtype)


# name -> (function of matrices, their shapes); what is not unique is squared
OPS = {
    "inv": (lambda t, a: t.inv(a), (2, 3, 3)),
    "solve": (lambda t, a, b: t.solve(a, b), (2, 3, 3), (2, 3, 2)),
    "solve vector": (lambda t, a, b: t.solve(a, b), (3, 3), (3,)),
    "solve vectors": (lambda t, a, b: t.solve(a, b), (2, 3, 3), (2, 3)),
    "solve broadcast": (lambda t, a, b: t.solve(a, b), (3, 3), (2, 3, 4)),
    "solve right": (lambda t, a, b: t.solve(a, b, left=False), (3, 3), (2, 3)),
    "det": (lambda t, a: t.det(a), (2, 3, 3)),
    **{f"matrix_power {n}": (lambda t, a, n=n: t.matrix_power(a, n), (2, 3, 3)) for n in (-3, -1, 1, 2, 3, 6)},
    "pinv": (lambda t, a: t.pinv(a), (2, 4, 3)),
    "pinv wide": (lambda t, a: t.pinv(a, 1e-3), (2, 3, 4)),
    "pinv of rank 2": (lambda t, a, b: t.pinv(a @ b, rtol=1e-3), (4, 2), (2, 3)),
    "pinv hermitian": (lambda t, a: t.pinv(a @ a.mT, atol=0.01, hermitian=True), (2, 3, 3)),
    "lstsq": (lambda t, a, b: t.lstsq(a, b)[0], (2, 5, 3), (2, 5, 2)),
    "lstsq wide": (lambda t, a, b: t.lstsq(a, b)[0], (2, 3, 5), (2, 3, 2)),
    "lstsq vectors": (lambda t, a, b: t.lstsq(a, b)[0], (2, 5, 3), (2, 5)),
    "lstsq broadcast": (lambda t, a, b: t.lstsq(a, b, driver="gels")[:2], (1, 5, 3), (2, 5, 2)),
    "lstsq vector": (lambda t, a, b: t.lstsq(a, b, driver="gelsd")[:2], (5, 3), (5,)),
    "lstsq of rank 2": (lambda t, a, b, c: t.lstsq(a @ b, c, 1e-3, driver="gelss")[0], (4, 2), (2, 3), (4, 2)),
    "slogdet": (lambda t, a: t.slogdet(a)[1], (2, 3, 3)),
    "qr": (lambda t, a: (t.qr(a)[0] ** 2, t.qr(a)[1].abs()), (2, 4, 3)),
    "svd": (lambda t, a: (t.svd(a, full_matrices=False)[0] ** 2, t.svd(a)[1], t.svd(a, full_matrices=False)[2] ** 2), (2, 4, 3)),
    "svd wide": (lambda t, a: (t.svd(a, full_matrices=False)[0] ** 2, t.svd(a, full_matrices=False)[2] ** 2), (3, 4)),
    "norm": (lambda t, a: (t.norm(a), t.norm(a, dim=1), t.norm(a, 1, (0, 2)), t.norm(a, 3, -1)), (2, 3, 4)),
    **{
        f"matrix_norm {ord}": (lambda t, a, p=ord: (t.matrix_norm(a, p), t.matrix_norm(a, p, (2, 0), True)), (2, 3, 4))
        for ord in ("fro", "nuc", 1, -1, 2, -2, INF, -INF)
    },
}  # fmt: skip


def inputs(rng, shapes):
    return [rng.standard_normal(s) + 2 * np.eye(*s[-2:]) if len(s) > 1 else rng.standard_normal(s) for s in shapes]


@pytest.mark.parametrize("name", OPS)
def test_gradients(name, rng):
    f, *shapes = OPS[name]
    assert gradcheck(lambda *a: f(linalg, *a), [nnrt.tensor(x, requires_grad=True) for x in inputs(rng, shapes)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", OPS)
def test_agrees_with_torch(name, dtype, rng, torch):
    f, *shapes = OPS[name]
    arrays = [x.astype(dtype) for x in inputs(rng, shapes)]
    ours, theirs = f(linalg, *map(nnrt.tensor, arrays)), f(torch.linalg, *map(torch.tensor, arrays))
    for y, t in zip(*[v if isinstance(v, tuple) else (v,) for v in (ours, theirs)]):
        assert y.dtype == dtype
        np.testing.assert_allclose(y.numpy(), t.numpy(), rtol=1e-4 if dtype == np.float32 else 1e-10, atol=1e-5)


@pytest.mark.parametrize(
    "f",
    [linalg.cholesky, lambda a: linalg.cholesky(a, upper=True), linalg.eigvalsh, lambda a: linalg.eigh(a)[1] ** 2],
    ids=["cholesky", "upper", "eigvalsh", "eigh"],
)
def test_gradients_of_symmetric_matrices(f, rng):
    assert gradcheck(lambda x: f(symmetric(x)), [nnrt.tensor(rng.standard_normal((2, 3, 3)), requires_grad=True)])


def test_parts_multiply_up(rng):
    a = nnrt.tensor(rng.standard_normal((2, 4, 3)))
    u, s, vh = linalg.svd(a)
    assert u.shape == (2, 4, 4) and nnrt.allclose(u[..., :3] * s[:, None] @ vh, a)
    q, r = linalg.qr(a, "complete")
    assert q.shape == (2, 4, 4) and nnrt.allclose(q @ r, a) and linalg.qr(a, "r").Q.numel() == 0
    b = symmetric(a)
    w, v = linalg.eigh(b)
    assert nnrt.allclose(v * w[:, None] @ v.mT, b) and nnrt.allclose(linalg.cholesky(b) @ linalg.cholesky(b, upper=True), b)
    sign, size = nnrt.slogdet(b)
    assert nnrt.allclose(sign * size.exp(), nnrt.det(b)) and nnrt.allclose(nnrt.inverse(b) @ b, nnrt.eye(4, dtype=b.dtype))


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 4), (4, 4)])
@pytest.mark.parametrize("part", [0, 1])
@pytest.mark.parametrize("mode", ["reduced", "complete"])
def test_gradients_of_wide_qr(shape, part, mode, rng):
    a = nnrt.tensor(rng.standard_normal(shape), requires_grad=True)
    assert gradcheck(lambda x: linalg.qr(x, mode)[part], [a])


@pytest.mark.parametrize("shape", [(3, 5), (2, 5, 3)])
def test_gradients_of_full_svd(shape, rng):
    def f(a):
        u, s, vh = linalg.svd(a)
        return u[..., :3] ** 2, vh[..., :3, :] ** 2, s

    a = nnrt.tensor(rng.standard_normal(shape), requires_grad=True)
    assert gradcheck(f, [a])


@pytest.mark.parametrize("order", [1, 2, INF, "nuc", "fro"])
def test_norms_of_matrices_without_rows(order):
    a = nnrt.ones(2, 0, 3, requires_grad=True)
    axes = (1, 0) if order == INF else (0, 1)
    y = linalg.matrix_norm(a, order, axes)
    assert y.tolist() == [0, 0, 0]
    y.sum().backward()
    assert a.grad.shape == a.shape


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize(
    "shapes", [((5, 3), (5, 2)), ((2, 3, 3), (2, 3)), ((0, 3), (0, 2)), ((3, 0), (3, 2)), ((1, 4, 2), (2, 4, 1))]
)
def test_what_lstsq_returns_besides(driver, shapes, rng, torch):
    a, b = inputs(rng, shapes)
    got = linalg.lstsq(nnrt.tensor(a), nnrt.tensor(b), driver=driver)
    want = torch.linalg.lstsq(torch.tensor(a), torch.tensor(b), driver=driver)
    assert got._fields == ("solution", "residuals", "rank", "singular_values")
    for name, y, t in zip(got._fields, got, want):
        if name == "residuals" and 0 in a.shape:
            continue  # torch's are those of gels alone
        assert (y.shape, y.dtype) == (tuple(t.shape), t.numpy().dtype), name
        np.testing.assert_allclose(y.numpy(), t.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shape", [(3, 0), (2, 0, 3), (0, 3, 3)])
def test_powers_and_pseudoinverses_of_little(shape, torch):
    x, t = nnrt.zeros(*shape), torch.zeros(*shape)
    assert linalg.pinv(x).shape == tuple(torch.linalg.pinv(t).shape)
    ones = nnrt.ones(2, 2, dtype=nnrt.int32)
    for n in (0, 1, 2, 5):
        y = linalg.matrix_power(ones, n)
        want = torch.linalg.matrix_power(torch.ones(2, 2, dtype=torch.int32), n)
        assert y.tolist() == want.tolist() and y.dtype == "int32" and y.data_ptr() != ones.data_ptr()
    a = nnrt.tensor([[2.0, 1.0], [1.0, 1.0]])
    assert a.matrix_power(-2).allclose(nnrt.matrix_power(a.inverse(), 2)) and a.pinverse().allclose(nnrt.pinverse(a))
    assert linalg.pinv(a, atol=10.0).abs().sum().item() == 0
    both = linalg.pinv(nnrt.stack([a, a]), rtol=nnrt.tensor([0.0, 0.9]))  # of the second matrix one value is left
    assert both[0].allclose(a.inverse()) and linalg.svdvals(both[1])[1].item() < 1e-6


def test_a_singular_matrix_has_cofactors():
    a = nnrt.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
    linalg.det(a).backward()
    assert nnrt.allclose(a.grad, nnrt.tensor([[4.0, -2.0], [-2.0, 1.0]]), atol=1e-5)


A = nnrt.ones(2, 3, 3)


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: linalg.inv(A), linalg.LinAlgError, "inv: singular matrix"),
        (lambda: linalg.inv(A[:, :2]), RuntimeError, r"inv: A must be square matrices \(\*, N, N\), got shape \(2, 2, 3\)"),
        (lambda: linalg.det(A.half()), RuntimeError, "det: A must be float32 or float64, got float16"),
        (lambda: linalg.solve(A, nnrt.ones(2, 4, 1)), RuntimeError, r"solve: B must have 3 rows as A \(2, 3, 3\), got shape"),
        (lambda: linalg.solve(A, A.double()), RuntimeError, "solve: A and B must have one dtype, got float32 and float64"),
        (lambda: linalg.matrix_power(A[:, :2], 2), RuntimeError, r"matrix_power: A must be square .*, got shape \(2, 2, 3\)"),
        (lambda: linalg.matrix_power(A, 2.0), TypeError, "matrix_power: n must be an int, got float"),
        (lambda: linalg.matrix_power(A, -1), linalg.LinAlgError, "inv: singular matrix"),
        (lambda: linalg.pinv(A.long()), RuntimeError, "pinv: A must be float32 or float64, got int64"),
        (lambda: linalg.lstsq(A, A.double()), RuntimeError, "lstsq: A and B must have one dtype, got float32 and float64"),
        (lambda: linalg.lstsq(A, A, driver="qr"), RuntimeError, "lstsq: driver must be .*, got 'qr'"),
        (lambda: linalg.lstsq(A, A[:, :2]), RuntimeError, r"lstsq: B must be \(\*, 3, K\) or \(\*, 3\) for A .*, got shape"),
        (lambda: linalg.lstsq(A, A, driver="gels"), linalg.LinAlgError, r"full rank 3, got ranks \[1, 1\]"),
        (lambda: linalg.cholesky(-A), linalg.LinAlgError, "cholesky: matrix is not positive definite"),
        (lambda: linalg.qr(A, "full"), RuntimeError, "qr: mode must be .*, got 'full'"),
        (lambda: linalg.norm(A, 2), RuntimeError, r"norm: with ord=2 and no dim A must have 1 or 2 dimensions, got shape"),
        (lambda: linalg.matrix_norm(A, 3), RuntimeError, "matrix_norm: ord must be .*, got 3"),
        (lambda: linalg.matrix_norm(A, dim=(0, 0)), RuntimeError, r"two different axes, got \(0, 0\)"),
        (
            lambda: linalg.qr(nnrt.ones(3, 2, requires_grad=True), "complete")[0].sum().backward(),
            NotImplementedError,
            r"qr: the gradient wants mode 'reduced' where M > N, got Q \(3, 3\)",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(call, error, text):
    with pytest.raises(error, match=text):
        call()
