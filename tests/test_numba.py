"""The Numba back-end as a library among others: threads, forks, caches. Its kernels are held against _ref in test_kernels."""

import io
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import nnrt
from nnrt import config, registry

pytest.importorskip("numba", reason="the back-end is optional")
from nnrt._numba import activation, elementwise, linear, maps, reduce, winograd  # noqa: E402
from nnrt._ref import winograd as ref_winograd  # noqa: E402
from nnrt.nn import functional as F  # noqa: E402
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


@pytest.mark.parametrize("rows", [13, 14, 15, 200])
@pytest.mark.parametrize("room", [1024, 2048, 2056])
def test_a_product_of_long_rows(rows, room, rng):
    """Of several passes over k, with rows of a in one set of the caches or in many, and one b for a batch."""
    a, b = rng.standard_normal((2, rows, room), np.float32)[:, :, : room - 8], rng.standard_normal((room - 8, 170), np.float32)
    c = np.full((2, rows, 170), np.nan, np.float32)
    linear.gemm_batched(c, a, np.broadcast_to(b, (2, *b.shape)), 0.5)
    np.testing.assert_allclose(c, 0.5 * (a.astype(np.float64) @ b), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("parts", [1, 2, 3, 48])
def test_each_piece_is_taken_once(parts):
    from nnrt._numba import gate

    pieces = 101
    numbers = np.zeros(gate.NUMBERS // 8, np.int64)
    ranges = [range(pieces * part // parts, pieces * (part + 1) // parts) for part in range(parts)]
    found = [[gate.mine(numbers.ctypes.data, parts, part, pieces) for _ in own] for part, own in enumerate(ranges[:-1])]
    assert found == [list(own) for own in ranges[:-1]]
    assert (numbers[:16] == 0).all()  # there kernels count
    last = ranges[-1]  # it is left to the first thread, which takes it from its end on
    taken = [gate.mine(numbers.ctypes.data, parts, 0, pieces) for _ in last]
    assert taken == list(last if parts == 1 else reversed(last))
    assert gate.mine(numbers.ctypes.data, parts, parts - 1, pieces) == -1


HALF = {
    "unary": lambda x, y: nnrt.digamma(x) * nnrt.erf(x),
    "activation": lambda x, y: F.glu(F.gelu(x)),
    "slope": lambda x, y: F.prelu(x, y[0, :1]),
    "elementwise": lambda x, y: nnrt.xlogy(nnrt.logaddexp(x, y), y),
    "attention": lambda x, y: F.scaled_dot_product_attention(x, y, y, y[:, :3]),
}


@pytest.mark.parametrize("function", HALF.values(), ids=HALF)
def test_float16_is_left_to_the_specification(function, rng):
    found = []
    arrays = rng.uniform(0.2, 0.9, (2, 3, 4)).astype(np.float16)
    for backends in (("numba",), ("ref",)):
        with registry.using(*backends):
            inputs = [nnrt.tensor(a, requires_grad=True) for a in arrays]
            y = function(*inputs)
            y.sum().backward()
            found.append([y.detach().numpy(), *(x.grad.numpy() for x in inputs if x.grad is not None)])
    for got, want in zip(*found, strict=True):
        np.testing.assert_array_equal(got, want)


def test_a_result_with_gaps(rng):
    """Numba's own loop fills the gaps where inputs have none."""
    x, y = np.full((3, 5, 2, 4), np.nan), rng.standard_normal((3, 5, 2, 4))
    for of in (lambda a: a[..., 0], lambda a: a[..., 1:2], lambda a: a[:, ::-1], lambda a: a.T[::2], lambda a: a[0, 0, 0, :1]):
        x[...] = np.nan
        a, b = of(y).copy(), np.asfortranarray(of(y)) + 1
        elementwise.axpy(of(x), a, b, 2.0)
        np.testing.assert_allclose(of(x), a + 2 * b)
        assert np.isnan(x).sum() == x.size - a.size


def test_an_error_in_a_piece_reaches_the_caller():
    def fails(t):
        if t == 5:
            raise ValueError("piece 5")

    from nnrt._numba import threads

    with config.use(num_threads=3), pytest.raises(ValueError, match="piece 5"):
        threads.share(fails, 9)


def test_a_helper_that_is_taken_for_awake_does_not_sleep():
    from nnrt._numba import threads

    with config.use(num_threads=2):
        if not threads._spin():
            pytest.skip("wants two cores")
        threads.share(lambda task: None, 2)  # starts a helper
        threads._calls.append(None)  # as a call does before it looks who is asleep
        try:
            threads._queue.put(None)
            time.sleep(0.05)  # spinning ends
            awake = []
            for _ in range(10):
                awake.append(len(threads._asleep) < len(threads._threads))
                time.sleep(0.002)
        finally:
            threads._calls.pop()
    assert any(awake)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="elsewhere the system alone places threads")
@pytest.mark.parametrize("idle", (True, False), ids=("one-idle", "all-busy"))
def test_a_helper_leaves_the_callers_core_where_another_is_idle(idle, monkeypatch):
    from nnrt._numba import gate, threads

    cores = os.sched_getaffinity(0)
    if len(cores) < 2:
        pytest.skip("wants two cores")
    core, moves, asked = min(cores), [], []
    memory = np.zeros(gate.SIZE // 8 + 16, np.int64)
    runnable = len(cores) + (not idle)
    monkeypatch.setattr(threads, "open", lambda path: io.StringIO(f"10.50 9.25 0.00 {runnable}/345 6789\n"), raising=False)

    def helper():
        set_affinity = os.sched_setaffinity
        set_affinity(0, {core})  # so that it is there for certain
        memory[gate.CORE // 8] = core
        asked.append(gate.serve(memory.ctypes.data, 10**10, time.CLOCK_MONOTONIC, 0))
        set_affinity(0, cores)
        with monkeypatch.context() as patch:
            patch.setattr(os, "sched_setaffinity", lambda who, to: (moves.append(to), set_affinity(who, to)))
            threads._keep_apart(core)
        asked.append(os.sched_getaffinity(0) == cores)
        memory[gate.CORE // 8] = -1
        asked.append(gate.serve(memory.ctypes.data, 10**6, time.CLOCK_MONOTONIC, 0))

    thread = threading.Thread(target=helper)  # the affinity is a thread's own
    thread.start()
    thread.join()
    assert asked == [True, True, False]
    assert moves == ([cores - {core}, cores] if idle else [])


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


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_filters_gradient_summed_in_groups_of_tiles(dtype):
    """Of 300 tiles under a filter of few panels, in groups that no thread shares: as specified, at any number of threads."""
    rng = np.random.default_rng(0)
    channels = (20, 40) if dtype == np.float64 else (40, 72)
    x, dy = (rng.standard_normal((3, 1, 38, 38, c)).astype(dtype) for c in channels)
    found = []
    for threads in (1, 2, 3):
        with config.use(num_threads=threads):
            dw = np.full((*channels[::-1], 1, 3, 3), np.nan, dtype)
            winograd.filter_backward(dw, None, x, dy, (0, 1, 1), 4)
            found.append(dw)
    expected = np.empty_like(dw)
    ref_winograd.filter_backward(expected, None, x, dy, (0, 1, 1), 4)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    assert all((dw == found[0]).all() for dw in found)
