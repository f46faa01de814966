"""The caching allocator and the arrays that live in it."""

import gc
import itertools
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import nnrt
from nnrt import config, memory

ROOT = Path(__file__).parent.parent
runtime = pytest.importorskip("nnrt._ext.runtime", reason="the extension is not built")

SHAPES = [(), (1,), (7,), (0,), (3, 0, 5), (2, 3), (1, 1, 1), (4, 1, 3), (2, 3, 4, 5)]


def python(code, **env):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)


# ---- arrays ----


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8", "?", "S3", "c16", [("a", "f4"), ("b", "i8")]], ids=str)
def test_empty_is_an_ordinary_array(shape, dtype):
    a = memory.empty(shape, np.dtype(dtype))
    expected = np.empty(shape, dtype)
    assert type(a) is np.ndarray and a.shape == shape and a.dtype == expected.dtype
    assert a.strides == expected.strides or a.size == 0  # numpy itself is of two minds about those
    assert a.flags.c_contiguous and a.flags.writeable and a.flags.owndata
    assert a.base is None and a.ctypes.data % 64 == 0
    a[...] = np.zeros((), dtype)


def test_zeros_reuses_dirty_memory_clean():
    for n in (1, 100, 70_000):
        a = memory.empty((n,), np.float32)
        a.fill(5)
        del a
        assert not memory.zeros((n,), np.float32).any()


def test_object_arrays_start_as_none():
    assert memory.empty((3,), object).tolist() == [None] * 3


def strides(a):
    """Those that matter: the stride of an axis of one element is never used."""
    return [stride for stride, size in zip(a.strides, a.shape) if size > 1]


@pytest.mark.parametrize("shape", [(5,), (2, 3), (1, 4, 1), (2, 3, 4), (2, 1, 3, 4)], ids=str)
def test_empty_like_keeps_the_order_of_memory(shape):
    whole = np.zeros([2 * s for s in shape], np.float32)
    for axes in itertools.permutations(range(len(shape))):
        dense = np.zeros([shape[i] for i in axes], np.float32).transpose(np.argsort(axes))
        strided = whole.transpose(axes)[tuple(slice(None, None, 2) for _ in shape)]
        flipped = dense[::-1]
        for a in (dense, strided, flipped):
            assert strides(memory.empty_like(a)) == strides(np.empty_like(a))
            assert memory.empty_like(a).flags == np.empty_like(a).flags
    broadcast = np.broadcast_to(np.float32(1), shape)
    assert strides(memory.empty_like(broadcast)) == strides(np.empty_like(broadcast))


def test_bad_shapes_are_named():
    with pytest.raises(ValueError, match="negative: -1"):
        memory.empty((2, -1), np.float32)
    with pytest.raises(ValueError, match="more bytes than can be addressed"):
        memory.empty((2**40, 2**40), np.float32)
    with pytest.raises(ValueError, match="more elements than can be addressed"):
        memory.empty((2**70,), np.float32)
    with pytest.raises(ValueError, match="at most 32 dimensions"):
        memory.empty((1,) * 33, np.float32)
    with pytest.raises(TypeError):
        memory.empty((1.5,), np.float32)
    with pytest.raises(TypeError, match="no fixed item"):
        memory.empty((2,), np.dtype("S0"))


@pytest.mark.filterwarnings("ignore:Setting the shape")
def test_numpy_may_resize_and_retype_our_memory():
    gc.collect()
    before = memory.stats()["allocated"]
    a = memory.empty((100,), np.float64)
    a[...] = np.arange(100)
    a.resize(100_000, refcheck=False)
    assert a[:100].tolist() == list(range(100)) and not a[100:].any()
    a.resize(10, refcheck=False)
    assert a.tolist() == list(range(10))
    a.shape = (2, 5)
    a = a.view(np.float32)
    del a
    gc.collect()
    assert memory.stats()["allocated"] == before


def test_dense():
    a = memory.empty((2, 3, 4), np.float32)
    for view in (a, a.T, a.transpose(1, 0, 2), a[:, :, None], a.transpose(2, 0, 1)[:, None]):
        assert memory.dense(view) is view
    wide = np.broadcast_to(a[:1], (5, 3, 4))
    for view in (a[:, ::2], a[:, :, ::2], a[::-1], wide, a[:, 1:].transpose(1, 0, 2)):
        copy = memory.dense(view)
        assert copy.flags.c_contiguous and copy.flags.owndata
        np.testing.assert_array_equal(copy, view)
    raw = np.zeros(9, np.uint8)[1:].view(np.float64)
    assert not raw.flags.aligned and memory.dense(raw).flags.aligned


def test_contiguous():
    a = memory.zeros((2, 3), np.float32)
    assert memory.contiguous(a) is a and memory.contiguous(a[:1]).base is a
    assert memory.contiguous(a.T).flags.c_contiguous and memory.contiguous(a.T).shape == (3, 2)
    zero_d = np.zeros(())
    assert memory.contiguous(zero_d) is zero_d


# ---- the allocator ----


def test_stats_follow_what_is_alive():
    memory.empty_cache()
    memory.reset_peak()
    start = memory.stats()
    assert start["peak_allocated"] == start["allocated"] and start["cached"] == 0
    a = memory.empty((1 << 20,), np.float32)
    used = memory.stats()["allocated"] - start["allocated"]
    assert 4 << 20 <= used <= 5 << 20
    del a
    stats = memory.stats()
    assert stats["allocated"] == start["allocated"] and stats["cached"] == used
    assert stats["peak_allocated"] == start["allocated"] + used
    b = memory.empty((1 << 20,), np.float32)
    assert memory.stats()["hits"] == stats["hits"] + 1 and memory.stats()["cached"] == 0
    del b
    memory.empty_cache()
    assert memory.stats()["cached"] == 0


def test_a_dead_tensor_leaves_its_array_to_the_next_of_its_shape():
    x = nnrt.ones(7, 3)
    memory.empty_cache()
    start = memory.stats()
    y = x + x
    left = id(y.array)
    del y
    assert memory.stats()["allocated"] == start["allocated"] and memory.stats()["cached"] > 0
    other, y = nnrt.ones(3, 7), x + x
    assert id(other.array) != left and id(y.array) == left
    held, watched, viewed, frozen = y.array, weakref.ref((x + x).array), (x + x).numpy(), x + x
    frozen.array.flags.writeable = False
    del y, frozen
    new = [x * 3 for _ in range(9)]
    assert watched() is None and all(t.array is not held and t.array.flags.writeable for t in new)
    assert (held == 2).all() and (viewed == 2).all()
    del new, held, viewed
    with config.use(cache_limit=0):
        del x
        assert memory.stats()["cached"] == 0


def test_the_limit_bounds_the_cache():
    memory.empty_cache()
    with config.use(cache_limit="8M"):
        assert memory.stats()["limit"] == 8 << 20
        alive = [memory.empty((3 << 20,), np.uint8) for _ in range(6)]
        alive += [memory.empty((1000,), np.uint8) for _ in range(20_000)]
        del alive
        assert 0 < memory.stats()["cached"] <= 8 << 20
        memory.set_limit(0)
        assert memory.stats()["cached"] == 0
        memory.empty((10,), np.uint8)
        memory.empty((1 << 20,), np.uint8)
        assert memory.stats()["cached"] == 0
    assert memory.stats()["limit"] == config.settings.cache_limit


def test_freed_memory_is_reused_at_once():
    for n in (10, 5000, 100_000, 3 << 20):
        a = memory.empty((n,), np.uint8)
        at = a.ctypes.data
        del a
        assert memory.empty((n,), np.uint8).ctypes.data == at


def test_threads_share_the_allocator():
    errors = []

    def churn(seed):
        rng = np.random.default_rng(seed)
        alive = []
        for step in range(3000):
            a = memory.empty((int(rng.integers(1, 60_000)),), np.uint8)
            a[0] = a[-1] = seed
            alive.append(a)
            if len(alive) > 20:
                b = alive.pop(int(rng.integers(20)))
                if b[-1] != seed:
                    errors.append((seed, step))

    gc.collect()
    before = memory.stats()["allocated"]
    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not errors and memory.stats()["allocated"] == before


def test_random_sizes_do_not_grow_the_process():
    code = """
import numpy as np
from nnrt import memory
rng = np.random.default_rng(0)
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
for batch in range(10_000):
    rows = int(rng.integers(1, 257))
    alive = [memory.empty((rows, width), np.float32) for width in (3, 64, 200, 1000, 1000, 10)]
    for a in alive:
        a[::max(1, 1024 // a.shape[1])] = 0  # touches every page
    alive.append(memory.empty((int(rng.integers(1, 5000)),), np.float64))
    if batch == 1000:
        first = resident()
print((resident() - first) / 1e6)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 5


def test_what_halves_from_stage_to_stage_comes_from_the_cache_again():
    code = """
import numpy as np
from nnrt import memory
def stages():
    y = None
    for i in range(7):
        x = memory.empty(((1 << 23) >> i,), np.float32)
        y = memory.empty(x.shape, np.float32)
for i in range(3):
    stages()
before = memory.stats()["misses"]
stages()
print(memory.stats()["misses"] - before)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 0


def test_training_with_varied_lengths_does_not_grow_the_process():
    code = """
import nnrt
from nnrt import models, optim
from nnrt.nn import functional as F
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
nnrt.manual_seed(0)
trained = []
for cell in ("lstm", "gru", "qrnn"):
    model = models.CharRNN(7, 8, 1, cell, 4)
    trained.append((model, optim.SGD(model.parameters(), lr=0.1)))
ids = nnrt.randint(0, 7, (3, 65))
for step in range(10_000):
    model, optimizer = trained[step % 3]
    length = 1 + step * 7919 % 64
    optimizer.zero_grad()
    logits, state = model(ids[:, :length])
    F.cross_entropy(logits.reshape(-1, 7), ids[:, 1 : length + 1].reshape(-1)).backward()
    optimizer.step()
    if step == 1000:
        first = resident()
print((resident() - first) / 1e6)
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 5


def test_memory_that_is_not_there_is_an_error_and_the_cache_is_given_up_first():
    code = """
import resource
import numpy as np
from nnrt import memory
a = memory.empty((64 << 20,), np.uint8)
size = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (size + (30 << 20),) * 2)
try:
    memory.empty((40 << 20,), np.uint8)
except MemoryError as error:
    print(error)
del a
assert memory.stats()["cached"] >= 64 << 20
b = memory.empty((70 << 20,), np.uint8)  # fits once the cache is gone, and in no cached block
assert memory.stats()["cached"] == 0
try:
    memory.zeros((1 << 40,), np.uint8)
except MemoryError as error:
    print(error)
b[-1] = 1
print(memory.stats()["allocated"] >> 20)
"""
    done = python(code, NNRT_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    first, second, used = done.stdout.splitlines()
    assert "41943040 bytes" in first and "1099511627776 bytes" in second and 70 <= int(used) <= 81


# ---- without the extension ----


def test_memory_works_without_the_extension():
    code = """
import sys
import numpy as np
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
def sources_only(path):  # as in a build without the extension
    if "nnrt" not in path:
        raise ImportError
    return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))
sys.path_hooks.insert(0, sources_only)
from nnrt import config, memory
a = memory.zeros((2, 3), np.float32)
assert memory.empty_like(a.T).strides == (4, 12)
assert memory.dense(a.T) is not None and memory.dense(a[:, ::2]).flags.c_contiguous
assert memory.contiguous(a.T).flags.c_contiguous and memory.empty((), np.float64).shape == ()
memory.reset_peak(); memory.empty_cache(); memory.set_limit(5); memory.stats()
with config.use(num_threads=1):
    print(config.why_num_threads())
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "1: set by the program\n"
