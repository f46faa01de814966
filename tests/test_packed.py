"""Filters that weights keep packed for kernels: for how long, and what notices a change."""

import copy
import gc
import pickle
import threading

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import config, nn, registry

X = nnrt.ones(2, 3, 8, 8)


@pytest.fixture
def packs(monkeypatch):
    """How many filters were packed: a list that grows."""
    from nnrt.ops import _conv_products as ops

    made = []
    pack = ops.K.pack_filter

    def counted(*args):
        made.append(args)
        pack(*args)

    monkeypatch.setattr(ops.K, "pack_filter", counted)
    with config.use(conv="direct"):
        yield made


def test_a_weight_is_packed_until_it_is_used_twice_between_changes(packs):
    layer = nn.Conv2d(3, 4, 3)
    with nnrt.no_grad():
        y = layer(X)
        layer(X), F.conv2d(X, layer.weight), F.conv2d(X, layer.weight, stride=2)
        assert len(packs) == 2
        layer.weight.mul_(2)
        z = layer(X)
        assert len(packs) == 3
        layer(X), layer(X)
        assert len(packs) == 4
        b = layer.bias.view(-1, 1, 1)
        np.testing.assert_allclose((z - b).numpy(), 2 * (y - b).numpy(), rtol=1e-4)
        F.conv2d(nnrt.ones(2, 6, 8, 8), nnrt.cat([layer.weight, layer.weight], 1)), F.conv2d(X, layer.weight * 1)
        assert len(packs) == 6
    for made in (7, 8, 8):  # forward kept, backward made
        layer(nnrt.ones(2, 3, 8, 8, requires_grad=True)).sum().backward()
        assert len(packs) == made


def test_a_training_step_keeps_no_packed_filter():
    layer = nn.Conv2d(64, 64, 3, padding=1)
    x = nnrt.ones(1, 64, 9, 9, requires_grad=True)
    with config.use(conv="direct"):
        for _ in range(2):
            layer.weight.grad = x.grad = None
            gc.collect()  # what earlier tests left would go meanwhile
            nnrt.memory.empty_cache()  # and larger blocks that were kept count in full
            before = nnrt.memory.stats().get("allocated", 0)
            y = layer(x)
            y.sum().backward()
            del y
            made = layer.weight.nbytes + layer.bias.nbytes + x.nbytes  # gradients
            assert nnrt.memory.stats().get("allocated", 0) - before < 1.3 * made
            with nnrt.no_grad():
                layer.weight.mul_(1.0)


def test_a_weight_that_lies_channels_last_is_kept(packs):
    layer = nn.Conv2d(3, 4, 3)
    layer.weight.data = layer.weight.data.contiguous(memory_format=nnrt.channels_last)
    with nnrt.no_grad():
        y = layer(X)
        assert not layer.weight.array.flags.c_contiguous
        for _ in range(2):
            np.testing.assert_array_equal(layer(X).numpy(), y.numpy())
        assert len(packs) == 2


def load(layer):
    layer.load_state_dict({"weight": layer.weight + 1})


def step(layer):
    layer.weight.grad = nnrt.ones_like(layer.weight)
    nnrt.optim.SGD([layer.weight], lr=1.0, maximize=True).step()


def sourced(layer):
    source = layer.weight.detach().clone()
    layer.weight.data = source
    layer(nnrt.ones(1, 16, 8, 8)), layer(nnrt.ones(1, 16, 8, 8))
    return source


CHANGES = {
    "in place": lambda layer: layer.weight.add_(1),
    "through a view": lambda layer: layer.weight.view(-1).add_(1),
    "detached": lambda layer: layer.weight.detach().add_(1),
    "data": lambda layer: layer.weight.data.add_(1),
    "set data": lambda layer: setattr(layer.weight, "data", layer.weight.detach() + 1),
    "item by item": lambda layer: layer.weight.detach().__setitem__(..., layer.weight + 1),
    "optimiser": step,
    "state": load,
    "numpy": lambda layer: np.add(layer.weight.detach().numpy(), 1, out=layer.weight.detach().numpy()),
    "dlpack": lambda layer: np.from_dlpack(layer.weight.detach()).__iadd__(1),
    "data's source": lambda layer: sourced(layer).add_(1),
    "copy_": lambda layer: layer.weight.copy_(layer.weight + 1),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("choice", ["auto", "direct"])
def test_every_change_of_a_weight_is_noticed(change, k, choice):
    with nnrt.no_grad(), config.use(conv=choice):
        layer = nn.Conv2d(16, 16, k, bias=False)
        x = nnrt.ones(1, 16, 8, 8)
        before = layer(x)
        layer(x)  # its filter is kept
        CHANGES[change](layer)
        np.testing.assert_allclose((layer(x) - before).numpy(), np.full(before.shape, 16 * k * k), rtol=1e-3)


def test_memory_that_numpy_shares_is_packed_every_time(packs):
    shared = np.ones((4, 3, 3, 3), np.float32)
    lent = nn.Conv2d(3, 4, 3, bias=False)
    view = lent.weight.detach().numpy()
    with nnrt.no_grad():
        given = nn.Parameter(nnrt.ones(1))
        given.data = shared
        lent_too = nn.Parameter(nnrt.ones(1))
        lent_too.data = nnrt.from_numpy(shared.transpose(0, 1, 3, 2))
        weights = (nn.Parameter(shared), nnrt.from_numpy(shared), given, lent_too)
        for weight, memory in (*[(w, shared) for w in weights], (lent.weight, view)):
            before = F.conv2d(X, weight)
            F.conv2d(X, weight)
            memory += 1
            np.testing.assert_allclose((F.conv2d(X, weight) - before).numpy(), np.full(before.shape, 27), rtol=1e-4)


def test_another_backend_packs_anew(rng):
    layer = nn.Conv2d(5, 20, 3)
    x = nnrt.tensor(rng.standard_normal((2, 5, 9, 10)), dtype=nnrt.float32)
    with nnrt.no_grad(), config.use(conv="direct"):
        results = []
        for backend in (*registry.available(), *registry.available()):
            with registry.using(backend, "ref"):
                results += [layer(x).numpy(), layer(x).numpy()]
    for y in results:
        np.testing.assert_allclose(y, results[0], rtol=1e-4, atol=1e-5)


def test_copies_take_no_packed_filters_along():
    layer = nn.Conv2d(3, 4, 3)
    layer(X), layer(X)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        with nnrt.no_grad():
            other.weight.zero_()
            assert not (other(X) - other.bias.view(-1, 1, 1)).any() and (layer(X) != other(X)).any()


def test_threads_share_a_packed_filter():
    layer = nn.Conv2d(16, 32, 3, padding=1)
    x = nnrt.randn(1, 16, 12, 12)
    want = F.conv2d(x, layer.weight.detach().clone(), layer.bias, padding=1).detach().numpy()
    start, wrong = threading.Barrier(8), []

    def work():
        start.wait()
        for _ in range(20):
            with nnrt.no_grad():
                if not np.array_equal(layer(x).numpy(), want):
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong
