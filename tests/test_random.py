"""Random numbers: seeds, states, distributions, the same numbers on every back-end and at any thread
count; dropout."""

import copy
import pickle
import threading

import numpy as np
import pytest

import nnrt
from nnrt import config, registry
from nnrt.ops.random import alpha_dropout, dropout, feature_alpha_dropout, feature_dropout

SAMPLES = {
    "rand": lambda g: nnrt.rand(1000, generator=g),
    "rand-float64": lambda g: nnrt.rand(30, 41, generator=g, dtype=nnrt.float64),
    "randn": lambda g: nnrt.randn(70001, generator=g),
    "randint": lambda g: nnrt.randint(-5, 900, (123,), generator=g),
    "randperm": lambda g: nnrt.randperm(500, generator=g),
    "bernoulli": lambda g: nnrt.bernoulli(nnrt.full((1000,), 0.3), generator=g),
    "bernoulli-p": lambda g: nnrt.bernoulli(nnrt.zeros(1000), 0.3, generator=g),
    "multinomial": lambda g: nnrt.multinomial(nnrt.arange(1.0, 50), 20, generator=g),
    "multinomial-replacement": lambda g: nnrt.multinomial(nnrt.arange(1.0, 50), 200, True, generator=g),
    "normal": lambda g: nnrt.normal(2.0, 3.0, (1000,), generator=g),
    "poisson": lambda g: nnrt.poisson(nnrt.full((100,), 4.0), generator=g),
    "dropout": lambda g: dropout(nnrt.ones(40000), 0.4, generator=g),
    "uniform_": lambda g: nnrt.empty(100).uniform_(-1, 1, generator=g),
    "normal_": lambda g: nnrt.empty(100).normal_(0, 2, generator=g),
    "bernoulli_": lambda g: nnrt.empty(100, dtype=nnrt.int64).bernoulli_(0.5, generator=g),
}


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=SAMPLES)
def test_a_seed_fixes_the_numbers_whatever_runs_them(sample):
    def draw():
        g = nnrt.Generator().manual_seed(42)
        return np.concatenate([sample(g).numpy().ravel(), sample(g).numpy().ravel()])

    first = draw()
    assert not np.array_equal(first[: first.size // 2], first[first.size // 2 :])
    for backend in registry.available():
        with registry.using(backend, "ref"):
            for threads in (1, 3):
                with config.use(num_threads=threads):
                    np.testing.assert_allclose(draw(), first, rtol=1e-5, atol=2e-6)  # log and cos round apart
    with config.use(num_threads=1):
        one = draw()
    with config.use(num_threads=4):
        np.testing.assert_array_equal(draw(), one)


def test_manual_seed_and_states():
    assert nnrt.manual_seed(7) is nnrt.default_generator and nnrt.initial_seed() == 7
    state = nnrt.get_rng_state()
    assert state.dtype == nnrt.uint8
    a, b = nnrt.rand(5), nnrt.rand(5)
    nnrt.set_rng_state(state)
    assert nnrt.equal(nnrt.rand(5), a) and nnrt.equal(nnrt.rand(5), b)
    nnrt.manual_seed(7)
    assert nnrt.equal(nnrt.rand(5), a)
    assert nnrt.manual_seed(-1).initial_seed() == 2**64 - 1
    assert nnrt.seed() == nnrt.initial_seed()
    g = nnrt.Generator().manual_seed(3)
    nnrt.rand(3, generator=g)
    for other in (copy.deepcopy(g), pickle.loads(pickle.dumps(g)), nnrt.Generator().set_state(g.get_state())):
        assert nnrt.equal(nnrt.rand(4, generator=other), nnrt.rand(4, generator=copy.deepcopy(g)))
    with pytest.raises(RuntimeError, match="set_state: wants the 16 bytes"):
        g.set_state(nnrt.zeros(16))
    with pytest.raises(RuntimeError, match="device"):
        nnrt.Generator("cuda")


def test_threads_that_share_a_generator_get_different_numbers():
    g = nnrt.Generator()
    drawn = []

    def work():
        for _ in range(50):
            drawn.append(tuple(nnrt.rand(2, generator=g, dtype=nnrt.float64).tolist()))

    threads = [threading.Thread(target=work) for _ in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert len(set(drawn)) == 500


def close(x, mean, std, n):
    """Within five standard errors."""
    x = x.numpy().astype(np.float64)
    assert abs(x.mean() - mean) < 5 * std / n**0.5 and abs(x.std() - std) < 5 * std / n**0.5


@pytest.mark.parametrize("dtype", [nnrt.float32, nnrt.float64, nnrt.float16], ids=str)
def test_moments_and_ranges(dtype):
    nnrt.manual_seed(0)
    n = 100000
    u = nnrt.rand(n, dtype=dtype)
    assert u.dtype == dtype and u.min().item() >= 0 and u.max().item() <= 1
    close(u, 0.5, 12**-0.5, n)
    close(nnrt.randn(n, dtype=dtype), 0, 1, n)
    v = nnrt.empty(n, dtype=dtype).uniform_(-3, 5)
    assert v.min().item() >= -3 and v.max().item() < 5
    close(v, 1, 8 * 12**-0.5, n)
    close(nnrt.empty(n, dtype=dtype).normal_(2, 3), 2, 3, n)


def test_uniform_never_reaches_its_upper_bound():
    x = nnrt.empty(300000)
    high = 1 + 2**-23  # one step above low: rounding would reach it half the time
    assert nnrt.equal(x.uniform_(1, high), nnrt.ones(300000))


def test_integers():
    nnrt.manual_seed(1)
    x = nnrt.randint(3, 13, (100000,)).numpy()
    counts = np.bincount(x, minlength=13)
    assert x.dtype == np.int64 and counts[:3].sum() == 0 and abs(counts[3:] - 10000).max() < 500
    assert nnrt.randint(5, (2, 3)).shape == (2, 3)
    assert nnrt.randint(low=2, high=3, size=(4,)).tolist() == [2] * 4
    assert nnrt.randint(0, 9, (2,), dtype=nnrt.float64).dtype == nnrt.float64
    assert nnrt.randint_like(nnrt.zeros(3), 5).dtype == nnrt.float32
    huge = nnrt.randint(-(2**63), 2**63 - 1, (1000,)).numpy()
    assert huge.min() < -(2**62) and huge.max() > 2**62


def test_randperm_is_a_permutation_and_each_place_equally_likely():
    nnrt.manual_seed(2)
    assert sorted(nnrt.randperm(1000).tolist()) == list(range(1000))
    assert nnrt.randperm(0).tolist() == [] and nnrt.randperm(1).tolist() == [0]
    first = np.bincount([nnrt.randperm(5)[0].item() for _ in range(5000)], minlength=5)
    assert abs(first - 1000).max() < 150
    assert nnrt.randperm(3, dtype=nnrt.int32).dtype == nnrt.int32


def test_bernoulli_and_multinomial_frequencies():
    nnrt.manual_seed(3)
    p = nnrt.tensor([0.0, 0.2, 0.9, 1.0])
    x = nnrt.bernoulli(p.expand(50000, 4))
    np.testing.assert_allclose(x.numpy().mean(0), [0, 0.2, 0.9, 1], atol=0.01)
    weights = nnrt.tensor([[1.0, 0, 3], [5, 5, 0]])
    drawn = nnrt.multinomial(weights, 20000, replacement=True)
    np.testing.assert_allclose(np.bincount(drawn[0].numpy(), minlength=3) / 20000, [0.25, 0, 0.75], atol=0.02)
    np.testing.assert_allclose(np.bincount(drawn[1].numpy(), minlength=3) / 20000, [0.5, 0.5, 0], atol=0.02)
    assert sorted(nnrt.multinomial(weights, 2)[0].tolist()) == [0, 2]
    first = [nnrt.multinomial(weights[0], 2)[0].item() for _ in range(4000)]
    assert abs(np.mean(np.equal(first, 2)) - 0.75) < 0.04
    with pytest.raises(RuntimeError, match="3 samples without replacement from 2"):
        nnrt.multinomial(weights[0], 3)


def test_normal_of_tensors():
    nnrt.manual_seed(4)
    x = nnrt.normal(nnrt.arange(3.0), nnrt.tensor([[0.0], [2.0]]))
    assert x.shape == (2, 3) and x[0].tolist() == [0, 1, 2]
    assert nnrt.normal(nnrt.zeros(4)).shape == (4,) and nnrt.normal(0.0, nnrt.ones(2)).shape == (2,)
    with pytest.raises(TypeError, match="wants size"):
        nnrt.normal(0.0, 1.0)


def test_numbers_do_not_depend_on_memory_order():
    nnrt.manual_seed(5)
    plain = nnrt.empty(2, 3, 4, 5).normal_()
    nnrt.manual_seed(5)
    nhwc = nnrt.empty(2, 3, 4, 5).contiguous(memory_format=nnrt.channels_last).normal_()
    assert nnrt.equal(plain, nhwc)


ERRORS = [
    (lambda: nnrt.randint(3, 3, (2,)), RuntimeError, "randint: low 3 must be below high 3"),
    (lambda: nnrt.randint(2**64, (2,)), RuntimeError, "must fit int64"),
    (lambda: nnrt.randperm(-1), RuntimeError, "randperm: n must not be negative"),
    (lambda: nnrt.rand(2, dtype=nnrt.int32), RuntimeError, "rand: wants a floating dtype, got int32"),
    (lambda: nnrt.rand(-2), RuntimeError, "rand: size must not be negative"),
    (lambda: nnrt.bernoulli(nnrt.tensor([1.5])), RuntimeError, "bernoulli: probabilities must be within 0 and 1"),
    (lambda: nnrt.bernoulli(nnrt.tensor([float("nan")])), RuntimeError, "bernoulli: probabilities"),
    (lambda: nnrt.bernoulli(nnrt.tensor([1])), RuntimeError, "bernoulli: wants a floating tensor"),
    (lambda: nnrt.normal(0.0, -1.0, (2,)), RuntimeError, "std must not be negative"),
    (lambda: nnrt.zeros(2).normal_(0, -1), RuntimeError, "std must not be negative"),
    (lambda: nnrt.zeros(2).uniform_(1, 0), RuntimeError, "low 1 must not be above high 0"),
    (lambda: nnrt.zeros(2, dtype=nnrt.int64).uniform_(), RuntimeError, "uniform: wants a floating tensor"),
    (lambda: nnrt.multinomial(nnrt.zeros(3), 1), RuntimeError, "positive sum"),
    (lambda: nnrt.multinomial(nnrt.tensor([-1.0, 2]), 1), RuntimeError, "not negative"),
    (lambda: nnrt.multinomial(nnrt.ones(3), 0), RuntimeError, "num_samples must be positive"),
    (lambda: nnrt.poisson(nnrt.tensor([-1.0])), RuntimeError, "poisson"),
    (lambda: dropout(nnrt.ones(2), 1.5), ValueError, "dropout: p must be within 0 and 1, got 1.5"),
    (lambda: feature_dropout(nnrt.ones(2), 0.5), RuntimeError, "feature_dropout: wants at least 2 dimensions"),
]


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[e[2][:30] for e in ERRORS])
def test_errors(call, error, text):
    state = nnrt.get_rng_state()
    with pytest.raises(error, match=text):
        call()
    assert nnrt.equal(nnrt.get_rng_state(), state)


DROPOUTS = {
    "dropout": dropout,
    "feature": feature_dropout,
    "alpha": alpha_dropout,
    "feature_alpha": feature_alpha_dropout,
}


@pytest.mark.parametrize("drop", DROPOUTS.values(), ids=DROPOUTS)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_gradients_follow_the_mask_that_was_drawn(drop, p):
    x = nnrt.randn(3, 4, 5, dtype=nnrt.float64).requires_grad_(True)

    def fixed(x):
        return drop(x, p, True, nnrt.Generator().manual_seed(11))

    assert nnrt.autograd.gradcheck(fixed, (x,))
    assert drop(x, p, False) is x


def test_dropout_keeps_mean_scale_and_memory_order():
    nnrt.manual_seed(6)
    y = dropout(nnrt.ones(400, 500), 0.25).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)} and abs(y.mean() - 1) < 0.01
    x = nnrt.ones(2, 3, 4, 4).contiguous(memory_format=nnrt.channels_last).requires_grad_(True)
    y = dropout(x, 0.5)
    assert y.stride() == x.stride()
    y.backward(nnrt.ones(2, 3, 4, 4))
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert not dropout(nnrt.ones(5), 1.0).numpy().any()


def test_feature_dropout_drops_whole_channels():
    nnrt.manual_seed(7)
    y = feature_dropout(nnrt.ones(50, 20, 3, 3), 0.5).numpy().reshape(1000, 9)
    assert (y == y[:, :1]).all() and set(np.unique(y)) == {0, 2} and 350 < (y[:, 0] == 0).sum() < 650


def test_alpha_dropout_keeps_mean_and_variance():
    nnrt.manual_seed(8)
    close(alpha_dropout(nnrt.randn(200000), 0.3), 0, 1, 50000)
    y = feature_alpha_dropout(nnrt.randn(2000, 30, 4), 0.3)
    assert abs(y.numpy().mean()) < 0.05 and abs(y.numpy().var() - 1) < 0.05
