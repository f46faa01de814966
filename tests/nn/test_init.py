"""Initial values: their distributions, and fans and gains as torch computes them."""

import math

import numpy as np
import pytest

import nnrt
from nnrt import nn
from nnrt.nn import init


def filled(function, *args, shape=(300, 200), dtype=nnrt.float32, **kwargs):
    nnrt.manual_seed(7)
    t = nnrt.empty(*shape, dtype=dtype)
    assert function(t, *args, **kwargs) is t
    return t.numpy()


def same_distribution(sample, cdf):
    """Kolmogorov-Smirnov: the largest distance of the distribution functions, at the 0.001 level."""
    x = np.sort(sample.ravel().astype(np.float64))
    steps = np.arange(x.size + 1) / x.size
    at = np.array([cdf(v) for v in x])
    distance = max(np.abs(at - steps[1:]).max(), np.abs(at - steps[:-1]).max())
    assert distance < 1.95 / math.sqrt(x.size), distance


def uniform_cdf(a, b):
    return lambda v: min(max((v - a) / (b - a), 0), 1)


def normal_cdf(mean, std):
    return lambda v: 0.5 * math.erfc((mean - v) / std / math.sqrt(2))


def truncated_cdf(mean, std, a, b):
    lo, hi = (0.5 * math.erfc((mean - v) / std / math.sqrt(2)) for v in (a, b))
    return lambda v: min(max((normal_cdf(mean, std)(v) - lo) / (hi - lo), 0), 1)


@pytest.mark.parametrize("dtype", [nnrt.float32, nnrt.float64])
@pytest.mark.parametrize(
    "function, args, cdf",
    [
        (init.uniform_, (-1, 3), uniform_cdf(-1, 3)),
        (init.normal_, (2, 0.5), normal_cdf(2, 0.5)),
        (init.trunc_normal_, (), truncated_cdf(0, 1, -2, 2)),
        (init.trunc_normal_, (1.0, 0.5, 0.0, 5.0), truncated_cdf(1, 0.5, 0, 5)),
        (init.trunc_normal_, (0.0, 1.0, -50.0, 50.0), normal_cdf(0, 1)),
        (init.trunc_normal_, (0.0, 1.0, -3.0, -2.0), truncated_cdf(0, 1, -3, -2)),
        (init.xavier_uniform_, (2.0,), uniform_cdf(-2 * math.sqrt(6 / 500), 2 * math.sqrt(6 / 500))),
        (init.xavier_normal_, (), normal_cdf(0, math.sqrt(2 / 500))),
        (init.kaiming_uniform_, (math.sqrt(5),), uniform_cdf(-1 / math.sqrt(200), 1 / math.sqrt(200))),
        (init.kaiming_normal_, (0, "fan_out", "relu"), normal_cdf(0, math.sqrt(2 / 300))),
    ],
)
def test_distributions(function, args, cdf, dtype):
    same_distribution(filled(function, *args, dtype=dtype), cdf)


def test_trunc_normal_far_in_the_tail():
    """Beyond 8.3 deviations the distribution function is 1 in float64; the values are right all the same."""
    values = filled(init.trunc_normal_, 0.0, 1.0, 10.0, 11.0, dtype=nnrt.float64)
    assert values.min() >= 10 and values.max() <= 11
    # the density there is that of 10 + an exponential variable of rate about 10
    assert abs(values.mean() - 10 - 0.098) < 0.002
    assert (filled(init.trunc_normal_, 0.0, 1.0, 100.0, 101.0) == 100).all()
    for bad in ((0.0, 1.0, 2.0, 1.0), (0.0, 0.0)):
        with pytest.raises(ValueError, match="wants a < b and std > 0"):
            init.trunc_normal_(nnrt.empty(2), *bad)


def test_constants():
    assert (filled(init.constant_, 2.5) == 2.5).all()
    assert (filled(init.ones_) == 1).all() and (filled(init.zeros_) == 0).all()
    np.testing.assert_array_equal(filled(init.eye_, shape=(3, 4)), np.eye(3, 4))
    with pytest.raises(ValueError, match="eye_"):
        init.eye_(nnrt.empty(3))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(4, 3, 5), (6, 2, 3, 4), (2, 2, 1, 2, 3), (4, 7, 3)])
def test_dirac(torch, shape, groups):
    want = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    np.testing.assert_array_equal(filled(init.dirac_, groups, shape=shape), want)


def test_dirac_errors():
    with pytest.raises(ValueError, match="3, 4 or 5"):
        init.dirac_(nnrt.empty(2, 2))
    with pytest.raises(ValueError, match="3 output channels.*2 groups"):
        init.dirac_(nnrt.empty(3, 1, 1), 2)


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (4, 2, 3), (2, 3, 2, 2), (1, 1)])
def test_orthogonal(shape):
    values = filled(init.orthogonal_, 2.0, shape=shape, dtype=nnrt.float64).reshape(shape[0], -1)
    rows, columns = values.shape
    product = values @ values.T if rows <= columns else values.T @ values
    np.testing.assert_allclose(product, 4 * np.eye(min(rows, columns)), atol=1e-12)
    with pytest.raises(ValueError, match="orthogonal_"):
        init.orthogonal_(nnrt.empty(3))


def test_orthogonal_is_uniform():
    """The trace of a uniformly drawn 2x2 orthogonal matrix is 0 on average; without the signs it is not."""
    nnrt.manual_seed(3)
    traces = [np.trace(init.orthogonal_(nnrt.empty(2, 2)).numpy()) for _ in range(400)]
    assert abs(np.mean(traces)) < 0.25


def test_sparse():
    values = filled(init.sparse_, 0.25, std=2.0, shape=(40, 300))
    assert ((values == 0).sum(axis=0) == 10).all()
    same_distribution(values[values != 0], normal_cdf(0, 2))
    assert len(np.unique((values == 0).argmax(axis=0))) > 3  # the rows differ from column to column
    assert ((filled(init.sparse_, 0.31, shape=(10, 5)) == 0).sum(axis=0) == 4).all()
    with pytest.raises(ValueError, match="sparse_"):
        init.sparse_(nnrt.empty(3), 0.5)


def test_gains_and_fans(torch):
    for name in ("linear", "conv1d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    assert init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)
    for shape in ((3, 4), (3, 4, 5), (3, 4, 5, 6)):
        want = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        assert init._calculate_fan_in_and_fan_out(nnrt.empty(shape)) == want
    with pytest.raises(ValueError, match="no gain"):
        init.calculate_gain("cubic")
    with pytest.raises(ValueError, match="not a number"):
        init.calculate_gain("leaky_relu", "x")
    with pytest.raises(ValueError, match="at least 2"):
        init.xavier_uniform_(nnrt.empty(3))
    with pytest.raises(ValueError, match="mode"):
        init.kaiming_uniform_(nnrt.empty(3, 3), mode="fan")


@pytest.mark.parametrize(
    "function",
    [
        init.uniform_,
        init.normal_,
        init.trunc_normal_,
        init.zeros_,
        init.eye_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.orthogonal_,
        lambda t, **k: init.sparse_(t, 0.5, **k),
    ],
)
def test_parameters_are_filled_off_the_tape_and_the_tape_notices(function):
    p = nn.Parameter(nnrt.ones(3, 4))
    y = (p * p).sum()
    assert function(p) is p and p.is_leaf and p.requires_grad
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    strided = nnrt.empty(4, 3).t()
    assert not strided.is_contiguous()
    assert np.isfinite(function(strided).numpy()).all()
    function(nnrt.empty(0, 3))


@pytest.mark.parametrize(
    "function",
    [
        init.uniform_,
        init.normal_,
        init.trunc_normal_,
        init.xavier_uniform_,
        init.kaiming_normal_,
        init.orthogonal_,
    ],
)
def test_a_generator_decides(function):
    a, b = (function(nnrt.empty(3, 3), generator=nnrt.Generator().manual_seed(5)).tolist() for _ in range(2))
    assert a == b and function(nnrt.empty(3, 3), generator=nnrt.Generator().manual_seed(6)).tolist() != a


def test_skip_init_draws_nothing():
    nnrt.manual_seed(1)
    before = nnrt.get_rng_state().tolist()
    layer = nn.utils.skip_init(nn.Sequential, nn.Identity())
    layer = nn.utils.skip_init(nn.Bilinear, 2, 3, out_features=4)
    assert nnrt.get_rng_state().tolist() == before and layer.weight.shape == (4, 2, 3)
    nn.Linear(2, 2)
    assert nnrt.get_rng_state().tolist() != before
    with pytest.raises(RuntimeError, match="Module class"):
        nn.utils.skip_init(int)
