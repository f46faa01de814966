"""Products beyond the cases of tests/cases: packed operands, strides, threads, NaN, errors, levels."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnrt import config, registry
from nnrt._ref import linear as ref
from tests.cases.linear import TOL, matrix
from tests.test_kernels import kernel_of

BACKENDS = [b for b in registry.available() if b in registry.order()]
pytestmark = pytest.mark.parametrize("backend", BACKENDS)
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])


def kernels(backend):
    class Namespace:
        def __getattr__(self, name):
            return kernel_of(backend, f"linear.{name}") or pytest.skip(f"{backend} has no linear.{name}")

    return Namespace()


def close(actual, expected):
    rtol, atol = TOL[actual.dtype.name]
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol)


@DTYPES
@pytest.mark.parametrize("order", ["rows", "columns", "gaps"])
@pytest.mark.parametrize(
    "shape", [(1, 7, 9), (5, 16, 3), (6, 33, 40), (30, 100, 257), (200, 170, 520), (4, 9, 0)], ids=str
)
def test_packed_weights_serve_many_calls(backend, dtype, order, shape, rng):
    m, n, k = shape
    lib = kernels(backend)
    b = matrix(rng, k, n, dtype, order)
    before = b.copy()
    packed = np.full(lib.packed_size(k, n, dtype), np.nan, dtype)
    lib.pack_b(packed, b)
    np.testing.assert_array_equal(b, before)
    kept = packed.copy()
    for act in (None, "relu", "silu"):
        bias, residual = (rng.standard_normal(s).astype(dtype) for s in (n, (m, n)))
        a = matrix(rng, m, k, dtype, "rows" if act is None else "columns")
        c, expected = np.full((2, m, n), np.nan, dtype)
        lib.gemm_packed(c, a, packed, n, bias, residual, 1.0, 0.0, act)
        ref.gemm(expected, a, b, bias, residual, 1.0, 0.0, act)
        close(c, expected)
    np.testing.assert_array_equal(packed, kept)


@settings(max_examples=60)
@given(data=st.data())
def test_any_strides(backend, data):
    lib = kernels(backend)
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    m, n, k = (data.draw(st.integers(1, 40)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))

    def view(rows, cols):
        steps = [data.draw(st.integers(-3, 4)) for _ in range(2)]
        if steps[0] and steps[1]:
            whole = rng.standard_normal((rows * abs(steps[0]), cols * abs(steps[1]))).astype(dtype)
            if data.draw(st.booleans()):
                whole = np.asfortranarray(whole)
            return whole[:: steps[0], :: steps[1]]
        # stride 0: a broadcast row or column
        line = rng.standard_normal(rows if steps[0] else cols).astype(dtype)
        return np.broadcast_to(line[:, None] if steps[0] else line, (rows, cols))

    a, b = view(m, k), view(k, n)
    around = np.full((m, n + 3), 7, dtype)
    c = around[:, 1 : n + 1]
    beta = data.draw(st.sampled_from([0.0, 1.0]))
    expected = c.copy()
    ref.gemm(expected, a, b, beta=beta)
    lib.gemm(c, a, b, beta=beta)
    close(c, expected)
    assert (around[:, 0] == 7).all() and (around[:, n + 1 :] == 7).all(), "wrote beside c"


@DTYPES
@pytest.mark.parametrize("shape", [(64, 64, 64), (300, 200, 500), (37, 500, 1300)], ids=str)
def test_product_applied_to_a_vector(backend, dtype, shape, rng):
    """c t = a (b t): checks gemm without another gemm."""
    m, n, k = shape
    a, b = (rng.standard_normal(s).astype(dtype) for s in ((m, k), (k, n)))
    c = np.full((m, n), np.nan, dtype)
    kernels(backend).gemm(c, a, b)
    t = rng.standard_normal(n)
    want = a.astype("f8") @ (b.astype("f8") @ t)
    error = np.abs(c.astype("f8") @ t - want).max() / np.abs(want).max()
    assert error < np.finfo(dtype).eps * k


@DTYPES
def test_nan_and_infinity_propagate(backend, dtype):
    lib = kernels(backend)
    for m, n, k in ((1, 40, 40), (40, 1, 40), (5, 9, 40), (50, 70, 300)):
        a, b = np.ones((m, k), dtype), np.ones((k, n), dtype)
        a[0], b[k // 2, n // 2] = 0, np.inf  # 0 * inf
        c = np.full((m, n), np.nan, dtype)
        for act in (None, "relu"):
            lib.gemm(c, a, b, None, None, 1.0, 0.0, act)
            assert np.isnan(c[0, n // 2])
            assert np.isinf(c[1:, n // 2]).all()
            assert np.isfinite(np.delete(c, n // 2, 1)).all()
        lib.gemm(c, a, b, alpha=0.0)  # a and b are not read, nor is c
        assert (c == 0).all()


MANY_TASKS = [
    (1, 700, 900), (700, 1, 900), (1, 64, 20000), (100, 110, 120), (30, 300, 700), (300, 310, 320),
    (32, 32, 9000), (2000, 64, 70), (100, 1100, 70),
]  # fmt: skip


@pytest.mark.parametrize("shape", MANY_TASKS, ids=str)
def test_bit_equal_at_any_thread_count(backend, shape, rng):
    m, n, k = shape
    a, b = (rng.standard_normal(s).astype("f4") for s in ((m, k), (k, n)))
    results = []
    for count in (1, 2, 3):
        with config.use(num_threads=count):
            for views in ((a, b), (a, np.asfortranarray(b)), (np.asfortranarray(a), b)):
                c, db = np.full((m, n), np.nan, "f4"), np.full(k, np.nan, "f4")
                kernels(backend).gemm(c, *views, None, None, 1.0, 0.0, "relu")
                kernels(backend).bias_grad(db, views[0])
                results.append((c, db))
    for i in (3, 6):
        for order in (0, 1, 2):
            for x, y in zip(results[order], results[i + order]):
                np.testing.assert_array_equal(x, y)


@DTYPES
@pytest.mark.parametrize("n", [1, 7, 40, 700])
def test_a_row_times_a_matrix_at_any_address(backend, dtype, n, rng):
    k = 521
    a, b = rng.standard_normal((1, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    found = []
    for shift in range(0, 17, 3):
        memory = np.zeros(k * n + shift, dtype)
        memory[shift:] = b.ravel()
        c = np.full((1, n), np.nan, dtype)
        kernels(backend).gemm(c, a, memory[shift:].reshape(k, n))
        found.append(c)
    close(found[0], a @ b)
    if backend == "cython":
        assert all(np.array_equal(found[0], c) for c in found)


def test_errors_name_what_came_and_what_was_wanted(backend):
    lib = kernels(backend)
    c, a, b = np.empty((2, 3), "f4"), np.empty((2, 4), "f4"), np.empty((4, 3), "f4")
    with pytest.raises(ValueError, match=r"gemm.*\(2, 4\).*\(3, 4\)"):
        lib.gemm(c, a, b.T)
    with pytest.raises(TypeError, match="float64"):
        lib.gemm(c, a, b.astype("f8"))
    with pytest.raises(ValueError, match="swish"):
        lib.gemm(c, a, b, activation="swish")
    with pytest.raises(ValueError, match="gemm_batched"):
        lib.gemm_batched(c[None], a[None], b.T[None])
    if backend == "ref":
        return  # numpy takes any strides
    around = np.zeros((4, 6), "f4")
    with pytest.raises(ValueError, match="unit stride in one axis"):
        lib.gemm(around[::2, ::2], a, b)
    packed = np.empty(lib.packed_size(4, 3, "f4"), "f4")
    with pytest.raises(ValueError, match="unit stride in its last axis"):
        lib.gemm_packed(around.T[:2, :3], a, packed, 3)
    assert (around == 0).all()


def test_every_level_passes(backend):
    """The kernel tests once more under each instruction set that is not the one in use."""
    if backend != "cython" or os.environ.get("NNRT_ISA"):
        pytest.skip("levels are the compiled kernels', and one is forced already")
    from nnrt._ext import runtime

    for isa in set(runtime.available_isas()) - {runtime.isa_name()}:
        command = [sys.executable, "-m", "pytest", "-x", "-n", "0", "-k", "cython", "tests/test_linear_kernels.py"]
        run = subprocess.run(command, env={**os.environ, "NNRT_ISA": isa}, capture_output=True, text=True)
        assert run.returncode == 0, f"{isa}: {run.stdout[-3000:]}"
