"""Bad luck: memory that is moved or runs out, forks, threads, no place to write. State stays intact."""

import ctypes
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import nn, optim

ROOT = Path(__file__).parent.parent


def child(code, prepare=None, **environment):
    """Runs code in a Python of its own; what it prints. A crash or an exception is a failure."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, capture_output=True, text=True,
        timeout=120, preexec_fn=prepare, cwd=environment.get("HOME"),
    )  # fmt: skip
    assert done.returncode == 0, (done.returncode, done.stderr[-3000:])
    return done.stdout


# ---- arrays whose size changes ----

sets_shapes = pytest.mark.filterwarnings("ignore:Setting the shape")  # deprecated, and still what programs do


@sets_shapes
@pytest.mark.parametrize("share", [nnrt.from_numpy, nnrt.as_tensor, nnrt.asarray])
def test_an_array_that_is_lent_keeps_its_memory_and_the_tensor_its_shape(share):
    a = np.arange(12, dtype=np.float32)
    w = nnrt.ones(12, requires_grad=True)
    x = share(a)
    loss = (F.relu(w * x) * x).sum()
    for refcheck in (True, False):
        with pytest.raises(ValueError, match="resize"):
            a.resize(10**6, refcheck=refcheck)
    a.shape = (3, 4)
    assert x.shape == (12,) and x.numpy().ctypes.data == a.ctypes.data
    loss.backward()
    np.testing.assert_array_equal(w.grad.numpy(), np.arange(12.0) ** 2)


@sets_shapes
def test_an_operand_that_is_an_array_is_lent():
    a = np.arange(12, dtype=np.float32)
    w = nnrt.ones(12, requires_grad=True)
    loss = (w * a).sum()
    with pytest.raises(ValueError, match="resize"):
        a.resize(10**6, refcheck=False)
    a.shape = (3, 4)
    loss.backward()
    assert w.grad.tolist() == list(range(12))


@sets_shapes
def test_the_array_of_a_tensor_cannot_change_it_but_in_value():
    x = nnrt.arange(12.0)
    w = nnrt.ones(12, requires_grad=True)
    loss = (w * x).sum()
    a = x.numpy()
    for refcheck in (True, False):
        with pytest.raises(ValueError, match="resize"):
            a.resize(10**6, refcheck=refcheck)
    a.shape = (3, 4)
    a[0] = 7
    assert x.shape == (12,) and x.tolist()[:5] == [7, 7, 7, 7, 4]
    loss.backward()
    assert w.grad.shape == (12,)


def test_lending_ends_with_the_array():
    before = len(nnrt.memory._lenders)
    arrays = [np.zeros(3, np.float32) for _ in range(10)]
    tensors = [nnrt.from_numpy(a[1:]) for a in arrays for _ in range(3)]
    assert len(nnrt.memory._lenders) == before + 10
    del arrays, tensors
    assert len(nnrt.memory._lenders) == before


# ---- out of memory ----

OUT_OF_MEMORY = """
import resource
import numpy as np
import nnrt
from nnrt import data, nn, optim

nnrt.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 10))
optimizer = optim.Adam(model.parameters(), 1e-3)
large, small = nnrt.randn(12_000, 64), nnrt.randn(100, 64)
target = nnrt.randint(0, 10, (12_000,))
loader = data.DataLoader(data.TensorDataset(large, target), batch_size=9_000, shuffle=True)
loss = nn.CrossEntropyLoss()
loss(model(small), target[:100]).backward()
weights = [p.detach().numpy().copy() for p in model.parameters()]

def room(size):
    nnrt.memory.empty_cache()
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + size, resource.RLIM_INFINITY) if size else (resource.RLIM_INFINITY,) * 2)

def fails(what):
    before = [p.grad.numpy().copy() for p in model.parameters()]
    failed = 0
    for size in (1 << 18, 1 << 20, 5 << 20, 15 << 20, 30 << 20, 50 << 20):
        room(size)
        try:
            what()
        except MemoryError as error:
            failed += 1
            assert "memory" in str(error).lower() or "allocate" in str(error).lower(), error
        finally:
            room(0)
        for p, w, g in zip(model.parameters(), weights, before):
            assert (p.detach().numpy() == w).all()
    assert failed, "nothing failed: the test has lost its grip"
    print("ok")

fails(lambda: model(large))
out = loss(model(large), target)
model.zero_grad()
loss(model(small), target[:100]).backward()
fails(lambda: loss(model(large), target).backward())
fails(lambda: next(iter(loader)))
fails(lambda: nnrt.ones(1 << 27))

# A step that could not have its state has changed nothing, and can be made again.
wide = nn.Linear(4000, 2000)
wide.weight.grad, wide.bias.grad = nnrt.ones(2000, 4000), nnrt.ones(2000)
before = wide.weight.detach().numpy().copy()
step = optim.Adam(wide.parameters(), 1e-2)
room(20 << 20)
try:
    step.step()
    raise SystemExit("the step had memory")
except MemoryError:
    pass
finally:
    room(0)
assert (wide.weight.detach().numpy() == before).all()
step.step()
assert np.allclose(wide.weight.detach().numpy(), before - 1e-2, atol=1e-6)

# Everything still works, and learns.
for x, y in loader:
    optimizer.zero_grad()
    loss(model(x), y).backward()
    optimizer.step()
assert all(np.isfinite(p.detach().numpy()).all() for p in model.parameters())
print("done")
"""


def test_out_of_memory_is_a_memory_error_and_changes_nothing():
    assert child(OUT_OF_MEMORY, NNRT_NUM_THREADS="2").split() == ["ok"] * 4 + ["done"]


LOADING = """
import resource
import nnrt
x, kernels = nnrt.ones(9), nnrt.registry.family("unary")
for kilobytes in range(0, 4000, 40):
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 1024 * kilobytes, resource.RLIM_INFINITY))
    try:
        x.exp()
    except MemoryError:
        pass
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
print(kernels.exp.__module__)
"""


@pytest.mark.skipif("cython" not in nnrt.registry.available(), reason="the extension is not built")
def test_kernels_first_used_while_memory_is_out_do_not_give_way_to_slower_ones():
    assert child(LOADING, NNRT_BACKEND="cython,numba,ref").split() == ["nnrt._ext.unary"]


# ---- forks and threads ----


def train(seed, steps=5):
    """Weights of a small training, as bytes."""
    generator = nnrt.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 5))
    for p in model.parameters():
        nn.init.normal_(p, 0, 0.1, generator=generator)
    step = optim.AdamW(model.parameters(), 1e-2)
    x, y = nnrt.randn(64, 20, generator=generator), nnrt.randint(0, 5, (64,), generator=generator)
    for _ in range(steps):
        step.zero_grad()
        F.cross_entropy(model(x), y).backward()
        step.step()
    return b"".join(p.detach().numpy().tobytes() for p in model.parameters())


def test_a_hundred_forks_after_use_train_to_the_same_bits():
    want = train(3)
    for _ in range(100):
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                os.write(write, b"same" if train(3) == want else b"other")
            finally:
                os._exit(0)
        os.close(write)
        with os.fdopen(read, "rb") as pipe:
            assert pipe.read() == b"same"
        assert os.waitpid(pid, 0)[1] == 0
    assert train(3) == want


def test_ten_threads_train_their_own_models_and_read_a_shared_one():
    shared = nn.Sequential(nn.Linear(20, 300), nn.ReLU(), nn.Linear(300, 20))
    x = nnrt.randn(200, 20)
    with nnrt.no_grad():
        expected = shared(x).numpy().copy()
    want = [train(seed) for seed in range(10)]
    wrong = []

    def work(seed):
        for _ in range(3):
            with nnrt.no_grad():
                if not np.array_equal(shared(x).numpy(), expected):
                    wrong.append("shared")
            if train(seed) != want[seed]:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


# ---- nowhere to write ----

NOWHERE = """
import nnrt, os
from nnrt import config
assert not os.access(nnrt.__path__[0], os.W_OK) and not os.access(os.path.expanduser("~"), os.W_OK), "writable"
for backend in {backends!r}:
    with config.use(backend=(backend, "ref")):
        w = nnrt.ones(3, requires_grad=True)
        (w.exp() * 2).backward(nnrt.ones(3))
        assert abs(float(w.grad[0]) - 5.43656) < 1e-4
print("works")
"""


def obey_modes():
    """Root without CAP_DAC_OVERRIDE is refused like anybody; others have nothing to lose."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)  # PR_CAPBSET_DROP


@pytest.mark.skipif(sys.platform != "linux", reason="takes root's right to write away by a call of Linux")
@pytest.mark.parametrize("backends", [("cython",), ("numba",)])
def test_a_home_and_an_installation_that_cannot_be_written(tmp_path, backends):
    if backends == ("numba",):
        pytest.importorskip("numba")
    shutil.copytree(ROOT / "nnrt", tmp_path / "nnrt", ignore=shutil.ignore_patterns("__pycache__", "bench"))
    folders = [tmp_path, *[p for p in tmp_path.rglob("*") if p.is_dir()]]
    for folder in folders:
        folder.chmod(0o555)
    try:
        home = str(tmp_path)
        code = NOWHERE.format(backends=backends)
        assert child(code, obey_modes, HOME=home, XDG_CACHE_HOME=home, TMPDIR=home, PYTHONPATH=home).strip() == "works"
    finally:
        for folder in folders:
            folder.chmod(0o755)
