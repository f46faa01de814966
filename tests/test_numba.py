"""The Numba back-end as a library among others: threads, forks, caches. Its kernels are held against _ref in test_kernels."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nnrt import config

pytest.importorskip("numba", reason="the back-end is optional")
from nnrt._numba import activation, linear, maps, reduce  # noqa: E402
from tests.conftest import collect  # noqa: E402
from tests.test_kernels import kernel_of  # noqa: E402

ROOT = Path(__file__).parent.parent


def python(code, **env):
    """Runs code in a fresh interpreter on this back-end; returns what it printed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NNRT_BACKEND": "numba,ref", "NNRT_NUM_THREADS": "3", **env}
    run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    return run.stdout


def results(rng):
    """One of each way to share work: blocks of a product, pieces of a map, and none."""
    a, b = rng.standard_normal((300, 260), np.float32), rng.standard_normal((260, 310), np.float32)
    found = []
    for x in (b, np.asfortranarray(b)):
        for lines in (1, 40, 300):
            found.append(np.full((lines, 310), np.nan, np.float32))
            linear.gemm(found[-1], a[:lines], x, b[0], None, 1.0, 0.0, "gelu")
    batches = rng.standard_normal((2, 9, 40, 50), np.float32)
    found.append(np.full((9, 40, 40), np.nan, np.float32))
    linear.gemm_batched(found[-1], batches[0], batches[1].transpose(0, 2, 1))
    x = rng.standard_normal((3, maps.LARGE), np.float32)
    found += [np.empty_like(x), np.empty(3, np.float32)]
    activation.gelu(found[-2], x)
    reduce.sum(found[-1], x, 3, maps.LARGE, 1, 1.0)
    return found


def test_no_kernel_is_missing():
    kernels = {case.values[0].kernel for case in collect("KERNELS")}
    assert [name for name in sorted(kernels) if kernel_of("numba", name) is None] == []


def test_bit_equal_at_any_thread_count():
    with config.use(num_threads=1):
        alone = results(np.random.default_rng(0))
    for threads in (2, 3, 5):
        with config.use(num_threads=threads):
            for got, want in zip(results(np.random.default_rng(0)), alone, strict=True):
                np.testing.assert_array_equal(got, want)


def test_an_error_in_a_piece_reaches_the_caller():
    def fails(t):
        if t == 5:
            raise ValueError("piece 5")

    from nnrt._numba import threads

    with config.use(num_threads=3), pytest.raises(ValueError, match="piece 5"):
        threads.share(fails, 9)


def test_ten_threads_compile_and_run_at_once_then_fork(tmp_path):
    code = """
import os, threading
import numpy as np
from tests.test_numba import results

found, barrier = {}, threading.Barrier(10)
def work(i):
    barrier.wait()
    found[i] = [results(np.random.default_rng(0)) for _ in range(3)]

threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
[t.start() for t in threads]
[t.join() for t in threads]
assert len(found) == 10
alone = results(np.random.default_rng(0))

def same(other):
    return all(np.array_equal(x, y) for x, y in zip(alone, other, strict=True))

assert all(same(once) for runs in found.values() for once in runs)
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if same(results(np.random.default_rng(0))) else 1)
    assert os.waitpid(child, 0)[1] == 0
print("same")
"""
    assert python(code, NUMBA_CACHE_DIR=str(tmp_path)) == "same\n"
    assert list(tmp_path.rglob("linear.*.nbc")), "nothing was cached"


def test_buffers_live_until_a_kernel_ends():
    # Large ones are unmapped when they are freed: in a fresh process their use is a fault.
    code = """
import numpy as np
import nnrt
from nnrt.nn import functional as F

rng = np.random.default_rng(0)
x, w = (rng.standard_normal(s, np.float32) for s in ((8, 64, 28, 28), (64, 64, 3, 3)))
found = F.conv2d(nnrt.tensor(x), nnrt.tensor(w), padding=1).numpy()
assert nnrt.explain("winograd.conv").startswith("winograd.conv: numba"), nnrt.explain("winograd.conv")
with nnrt.config.use(precision="strict"):
    want = F.conv2d(nnrt.tensor(x), nnrt.tensor(w), padding=1).numpy()
print(np.abs(found - want).max() < 1e-3 * np.abs(want).max())
"""
    assert python(code) == "True\n"


def test_compiles_where_nothing_can_be_cached():
    code = """
import tempfile

def refuse(*args, **options):
    raise PermissionError("read-only")

tempfile.TemporaryFile = refuse  # how Numba tries a folder
import numpy as np
import nnrt

x = nnrt.tensor([[1.0, -2.0]], requires_grad=True)
nnrt.relu(x).sum().backward()
print(x.grad.tolist())
"""
    assert python(code) == "[[1.0, 0.0]]\n"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="names an x86 CPU")
def test_a_cpu_without_avx(tmp_path):
    """The narrowest tile: no fused multiply-add, vectors of 16 bytes."""
    code = f"""
import numpy as np
from nnrt._numba import native
from tests.test_numba import results
np.savez({str(tmp_path / "narrow.npz")!r}, *results(np.random.default_rng(0)))
print(native.VECTOR)
"""
    assert python(code, NUMBA_CPU_NAME="x86-64", NUMBA_CPU_FEATURES="+sse2") == "16\n"
    with np.load(tmp_path / "narrow.npz") as narrow:
        for got, want in zip(narrow.values(), results(np.random.default_rng(0)), strict=True):
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-4)
