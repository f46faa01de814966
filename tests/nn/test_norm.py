"""Normalisation: threads, precision, the fused activation, bad input, lazy layers, old states."""

import copy
import pickle

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import nn
from nnrt.ops.norm import batch_norm_activated


def ones(*shape, dtype=np.float32):
    return nnrt.ones(*shape, dtype=dtype)


def state(module):
    return {name: value.numpy().copy() for name, value in module.state_dict().items()}


# ---- numbers ----


def trained(layer, x):
    """Output, gradients and state of one step."""
    layer, x = copy.deepcopy(layer), nnrt.tensor(x, requires_grad=True)
    y = layer(x)
    (y * y * nnrt.arange(y.numel(), dtype=x.dtype).reshape(*y.shape)).sum().backward()
    return [y.detach().numpy(), x.grad.numpy(), *[p.grad.numpy() for p in layer.parameters()], *state(layer).values()]


LAYERS = {
    "batch": (lambda: nn.BatchNorm2d(24), (6, 24, 40, 41)),
    "batch of few channels": (lambda: nn.BatchNorm1d(3), (70000, 3)),
    "instance": (lambda: nn.InstanceNorm2d(24, affine=True, track_running_stats=True), (6, 24, 40, 41)),
    "group": (lambda: nn.GroupNorm(3, 24), (6, 24, 40, 41)),
    "layer": (lambda: nn.LayerNorm(300), (700, 300)),
    "rms": (lambda: nn.RMSNorm(300), (700, 300)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_bit_equal_at_any_number_of_threads(name, rng):
    make, shape = LAYERS[name]
    layer, x = make(), rng.standard_normal(shape, dtype=np.float32)
    before = nnrt.get_num_threads()
    try:
        results = []
        for threads in (1, 2, 3):
            nnrt.set_num_threads(threads)
            results.append(trained(layer, x))
    finally:
        nnrt.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("norm", ["batch", "instance", "group", "layer"])
def test_far_from_zero_nothing_cancels(norm, rng):
    """Steps of 1/64 around 20000, which float32 holds exactly: single-pass sums of squares would be noise."""
    steps = rng.integers(-200, 200, (4, 6, 30, 17))
    x = nnrt.tensor((20000 + steps / 64).astype(np.float32))
    function, axes = {
        "batch": (lambda v: F.batch_norm(v, None, None, training=True), (0, 2, 3)),
        "instance": (F.instance_norm, (2, 3)),
        "group": (lambda v: F.group_norm(v, 1), (1, 2, 3)),
        "layer": (lambda v: F.layer_norm(v, tuple(v.shape[1:])), (1, 2, 3)),
    }[norm]
    exact = steps / 64
    centred = exact - exact.mean(axis=axes, keepdims=True)
    want = centred / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + 1e-5)
    np.testing.assert_allclose(function(x).numpy(), want, atol=1e-5)


def test_statistics_see_the_first_rows_for_what_they_are(rng):
    """An outlier at the start of a channel, from which sums could be taken, and a constant channel."""
    x = rng.standard_normal((5000, 2)).astype(np.float32)
    x[0, 0] = 3e4
    x[:, 1] = 7.7
    y = F.batch_norm(nnrt.tensor(x), None, None, training=True).numpy()
    exact = x.astype(np.float64)
    want = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-5)
    np.testing.assert_allclose(y, want, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(50, 3), (7, 20, 5, 4), (2, 64, 9)])
def test_fused_relu_is_relu_of_batch_norm(shape, training, rng):
    c = shape[1]
    x, dy = rng.standard_normal(shape), rng.standard_normal(shape)
    running = rng.standard_normal(c), rng.random(c) + 0.5
    affine = rng.standard_normal(c) + 1, rng.standard_normal(c)

    def run(function):
        given = [nnrt.tensor(a, requires_grad=True) for a in (x, *affine)]
        moved = [nnrt.tensor(a) for a in running]
        y = function(given[0], *moved, *given[1:], training)
        y.backward(nnrt.tensor(dy))
        return [y.detach().numpy(), *[g.grad.numpy() for g in given], *[m.numpy() for m in moved]]

    got = run(lambda *args: batch_norm_activated(*args, activation="relu"))
    for g, w in zip(got, run(lambda *args: F.relu(F.batch_norm(*args))), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("wanted", [(1, 1, 1, 1), (1, 0, 0, 0), (0, 1, 0, 1), (0, 0, 1, 0), (0, 0, 0, 1)])
@pytest.mark.parametrize("activation", ["relu", None])
@pytest.mark.parametrize("shape", [(50, 3), (6, 20, 5, 4), (0, 3, 4)])
def test_fused_sum_is_the_sum(shape, activation, wanted, training, rng):
    c = shape[1]
    arrays = rng.standard_normal(shape), rng.standard_normal(c) + 1, rng.standard_normal(c), rng.standard_normal(shape)
    running, dy = (rng.standard_normal(c), rng.random(c) + 0.5), rng.standard_normal(shape)

    def run(function):
        x, w, b, r = given = [nnrt.tensor(a, requires_grad=bool(wants)) for a, wants in zip(arrays, wanted)]
        moved = [nnrt.tensor(a) for a in running]
        y = function((x, *moved, w, b, training), r)
        for _ in range(2):
            y.backward(nnrt.tensor(dy), retain_graph=True)
        return [y.detach().numpy(), *[g.grad.numpy() for g in given if g.requires_grad], *[m.numpy() for m in moved]]

    got = run(lambda args, r: batch_norm_activated(*args, activation=activation, residual=r))
    for g, w in zip(got, run(lambda args, r: (F.relu if activation else nnrt.clone)(r + F.batch_norm(*args))), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("norm", [nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d])
def test_training_takes_the_relu_along(norm):
    x = nnrt.randn(2, 3, *[4] * (norm.dims[-1] - 2)).requires_grad_()
    with nnrt.profiler.profile() as p:
        nn.Sequential(norm(3), nn.ReLU())(x).sum().backward()
    names = [row.name for row in p.rows()]
    assert not [name for name in names if "relu" in name] and [name for name in names if "normalize" in name]


def test_what_a_fused_sum_kept_is_watched():
    norm, x, r = nn.BatchNorm2d(3), nnrt.randn(2, 3, 4, 4).requires_grad_(), nnrt.randn(2, 3, 4, 4)
    for spoiled in (lambda y: y, lambda y: x, lambda y: norm.weight):
        y = norm.rectified(x, r)
        with nnrt.no_grad():
            spoiled(y).mul_(2)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.sum().backward()
    y = norm.rectified(x, r)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="a second time"):
        y.sum().backward()


@pytest.mark.parametrize("change", ["none", "hook", "forward", "shape", "dtype", "eval", "frozen", "itself"])
def test_a_rectified_sum_is_what_the_modules_give(change, rng):
    results, calls = [], []
    for fused in (True, False):
        norm = nn.BatchNorm2d(3).double()
        x, r = (nnrt.tensor(a, requires_grad=True) for a in np.random.default_rng(1).standard_normal((2, 4, 3, 5, 4)))
        if change == "hook":
            norm.register_forward_hook(lambda m, args, y: calls.append(y.detach().numpy().copy()))
        elif change == "forward":
            norm.forward = lambda x: x * 2
        elif change == "eval":
            norm.eval()
        elif change == "frozen":
            norm.requires_grad_(False)
        for _ in range(2):
            s = {"shape": r[:1, :, :1], "dtype": r.float(), "itself": x}.get(change, r)
            y = norm.rectified(x, s) if fused else F.relu(s + norm(x))
            (y * y).sum().backward()
        grads = [t.grad.numpy() for t in (x, r, norm.weight, norm.bias) if t.grad is not None]
        results.append([y.detach().numpy(), *grads, *state(norm).values()])
    for got, want in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)
    assert len(calls) == (4 if change == "hook" else 0)


def test_nan_stays_where_it_is(rng):
    x = rng.standard_normal((6, 3, 4)).astype(np.float32)
    x[1, 1, 2] = np.nan
    y = F.batch_norm(nnrt.tensor(x), None, None, training=True).numpy()
    assert np.isnan(y[:, 1]).all() and not np.isnan(y[:, [0, 2]]).any()
    y = F.layer_norm(nnrt.tensor(x), (4,)).numpy()
    assert np.isnan(y[1, 1]).all() and np.isnan(y).sum() == 4


def test_results_lie_channels_last():
    x = nnrt.randn(2, 3, 4, 5).requires_grad_()
    y = nn.BatchNorm2d(3)(x)
    assert y.array.transpose(0, 2, 3, 1).flags.c_contiguous
    y.sum().backward()
    assert x.grad.shape == x.shape


def test_a_change_of_the_input_before_backward_is_noticed():
    x = nnrt.randn(4, 3).requires_grad_()
    z = x * 1
    y = F.layer_norm(z, (3,))
    with nnrt.no_grad():
        z += 1
    with pytest.raises(RuntimeError, match="layer_norm: saved argument 0.*changed in place"):
        y.sum().backward()


# ---- bad input ----

X = ones(4, 3, 5)
BAD = {
    "not a tensor": (lambda: F.batch_norm([1.0], None, None), TypeError, "batch_norm: input must be a Tensor, got list"),
    "weight": (lambda: F.batch_norm(X, None, None, [1.0], training=True), TypeError, "batch_norm: weight must be a Tensor"),
    "1-d": (lambda: F.batch_norm(ones(4), None, None, training=True), RuntimeError, r"2 dimensions.*shape \(4,\)"),
    "ints": (
        lambda: F.batch_norm(X.long(), None, None, training=True),
        RuntimeError, "batch_norm: .*float64 tensor, got int64",
    ),
    "dtypes": (
        lambda: F.batch_norm(X, None, None, ones(3, dtype=np.float64), training=True),
        RuntimeError, "input float32, weight float64",
    ),
    "weight size": (
        lambda: F.batch_norm(X, None, None, ones(4), training=True),
        RuntimeError, r"weight must have shape \(3,\).*got \(4,\)",
    ),
    "bias size": (
        lambda: F.batch_norm(X, None, None, None, ones(2), True),
        RuntimeError, r"bias must have shape \(3,\).*got \(2,\)",
    ),
    "no mean": (lambda: F.batch_norm(X, None, None), RuntimeError, "batch_norm: running_mean must be given"),
    "no var": (lambda: F.batch_norm(X, ones(3), None), RuntimeError, "batch_norm: running_var must be given"),
    "mean alone": (lambda: F.batch_norm(X, ones(3), None, training=True), ValueError, "both be given or both be None"),
    "mean size": (lambda: F.batch_norm(X, ones(4), ones(3)), RuntimeError, r"running_mean must have shape \(3,\), got \(4,\)"),
    "mean dtype": (
        lambda: F.batch_norm(X, ones(3, dtype=np.float64), ones(3)),
        RuntimeError, "input float32, running_mean float64",
    ),
    "mean tape": (
        lambda: F.batch_norm(X, ones(3).requires_grad_(), ones(3), training=True),
        RuntimeError, "must not require a gradient",
    ),
    "one value": (
        lambda: F.batch_norm(ones(1, 3), None, None, training=True),
        ValueError, r"more than 1 value per channel.*\(1, 3\)",
    ),
    "eps": (
        lambda: F.batch_norm(X, None, None, training=True, eps=0.0),
        ValueError, "eps must be positive when training, got 0.0",
    ),
    "activation": (
        lambda: batch_norm_activated(X, None, None, training=True, activation="gelu"),
        ValueError, "activation .* got 'gelu'",
    ),
    "residual": (
        lambda: batch_norm_activated(X, None, None, training=True, residual=ones(3)),
        RuntimeError, r"residual must be a tensor like the input, float32 \(4, 3, 5\), got",
    ),
    "one pixel": (lambda: F.instance_norm(ones(2, 3, 1)), ValueError, r"instance_norm: .*1 spatial element.*\(2, 3, 1\)"),
    "no statistics": (
        lambda: F.instance_norm(X, use_input_stats=False),
        RuntimeError, "instance_norm: running_mean must be given",
    ),
    "groups": (lambda: F.group_norm(X, 2), RuntimeError, r"group_norm: 3 channels .*\(4, 3, 5\).* 2 groups"),
    "no groups": (lambda: F.group_norm(X, 0), RuntimeError, "group_norm: num_groups must be greater than 0, got 0"),
    "one in a group": (
        lambda: F.group_norm(ones(1, 3), 3),
        ValueError, r"group_norm: .*1 value per group.*\(1, 3\) and 3 groups",
    ),
    "rows": (lambda: F.layer_norm(X, (4,)), RuntimeError, r"layer_norm: input of shape \(4, 3, 5\) must end in .* \(4,\)"),
    "more rows": (lambda: F.layer_norm(X, (1, 4, 3, 5)), RuntimeError, "layer_norm: input of shape"),
    "no rows": (lambda: F.layer_norm(X, ()), RuntimeError, "layer_norm: normalized_shape must have at least one size"),
    "row": (lambda: F.layer_norm(X, 5), TypeError, "layer_norm: normalized_shape must be a tuple of sizes, got int"),
    "row weight": (
        lambda: F.layer_norm(X, (5,), ones(3)),
        RuntimeError, r"layer_norm: weight must be .* \(5,\), got shape \(3,\)",
    ),
    "row bias": (
        lambda: F.layer_norm(X, (5,), None, ones(3)),
        RuntimeError, r"layer_norm: bias must be .* \(5,\), got shape \(3,\)",
    ),
    "row dtype": (
        lambda: F.rms_norm(X, (5,), ones(5, dtype=np.float64)),
        RuntimeError, "rms_norm: .*input float32, weight float64",
    ),
    "response": (lambda: F.local_response_norm(ones(3, 5), 2), ValueError, r"local_response_norm: .*3 dimensions.*\(3, 5\)"),
    "response size": (lambda: F.local_response_norm(X, 0), RuntimeError, "local_response_norm: size must be positive, got 0"),
    "BatchNorm1d": (
        lambda: nn.BatchNorm1d(3)(ones(2, 3, 4, 5)),
        ValueError, r"BatchNorm1d: expected 2D or 3D input, got 4D of shape \(2, 3, 4, 5\)",
    ),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(3)(X), ValueError, "BatchNorm2d: expected 4D input, got 3D"),
    "InstanceNorm1d": (
        lambda: nn.InstanceNorm1d(4, affine=True)(X),
        ValueError, r"InstanceNorm1d: the input has 3 channels \(axis 1 of \(4, 3, 5\)\)",
    ),
    "GroupNorm": (lambda: nn.GroupNorm(2, 3), ValueError, r"num_channels \(3\) must be divisible by num_groups \(2\)"),
    "features": (lambda: nn.BatchNorm1d(2.5), TypeError, "BatchNorm1d: num_features must be an integer, got float"),
    "shape": (lambda: nn.LayerNorm((3, -1)), ValueError, "LayerNorm: .* must not be negative, got -1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, error, text = BAD[name]
    with pytest.raises(error, match=text):
        call()


@pytest.mark.parametrize(
    "x", [ones(1, 3), ones(4, 2), ones(4, 3, dtype=np.float64), ones(2, 3, 4, 5)], ids=lambda x: f"{x.dtype}{tuple(x.shape)}"
)
def test_a_refused_batch_leaves_the_statistics_alone(x):
    layer = nn.BatchNorm1d(3)
    layer(nnrt.randn(5, 3))
    before = state(layer)
    with pytest.raises((ValueError, RuntimeError)):
        layer(x)
    for name, value in state(layer).items():
        np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_features_that_need_not_fit_only_warn():
    with pytest.warns(UserWarning, match="InstanceNorm1d: the input has 3 channels"):
        assert nn.InstanceNorm1d(4)(nnrt.randn(2, 3, 5)).shape == (2, 3, 5)


# ---- lazy layers and states ----


@pytest.mark.parametrize(
    "name, shape",
    [(f"{kind}Norm{d}d", (2, 5, *(3, 4, 2)[:d])) for kind in ("Batch", "Instance") for d in (1, 2, 3)],
)
def test_lazy_norms(name, shape):
    lazy = getattr(nn, "Lazy" + name)()
    assert list(lazy.state_dict()) == ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"]
    with nnrt.no_grad():
        assert not list(getattr(nn, "Lazy" + name)(affine=False, track_running_stats=False).state_dict())
    loaded = getattr(nn, "Lazy" + name)()
    for layer in (lazy, pickle.loads(pickle.dumps(lazy)), copy.deepcopy(lazy)):
        weight = layer.weight
        assert layer(nnrt.randn(*shape)).shape == shape
        assert type(layer) is getattr(nn, name) and layer.weight is weight and layer.num_features == 5
        assert layer.running_mean.shape == (5,) and layer.running_var.shape == (5,)
        layer(nnrt.randn(*shape)).sum().backward()
        assert weight.grad.shape == (5,)
    loaded.load_state_dict(layer.state_dict())
    loaded.eval()
    x = nnrt.randn(*shape)
    np.testing.assert_array_equal(loaded(x).detach().numpy(), layer.eval()(x).detach().numpy())
    assert loaded.num_features == 5
    for again in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        np.testing.assert_array_equal(again(x).detach().numpy(), layer(x).detach().numpy())


def test_states_from_before_batches_were_counted():
    layer = nn.BatchNorm1d(3)
    layer(nnrt.randn(4, 3))
    old = {k: v.clone() + 1 for k, v in layer.state_dict().items() if k != "num_batches_tracked"}
    layer.load_state_dict(old)
    assert layer.num_batches_tracked.item() == 1
    np.testing.assert_array_equal(layer.running_mean.numpy(), old["running_mean"].numpy())


def test_reset_and_trainability():
    layer = nn.BatchNorm2d(3)
    layer(nnrt.randn(4, 3, 2, 2)).sum().backward()
    layer.reset_parameters()
    assert [v.tolist() for v in layer.state_dict().values()] == [[1.0] * 3, [0.0] * 3, [0.0] * 3, [1.0] * 3, 0]
    layer.eval().requires_grad_(False)
    x = nnrt.randn(4, 3, 2, 2).requires_grad_()
    layer(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full(x.shape, 1 / np.sqrt(1 + 1e-5)), rtol=1e-6)


def test_response_norm_keeps_what_is_not_finite_among_its_neighbours(rng, torch):
    a = rng.standard_normal((2, 9, 3, 2)).astype(np.float32)
    a[0, 4, 1, 1], a[1, 2, 0, 0] = np.inf, np.nan
    got, want = (t.nn.functional.local_response_norm(t.from_numpy(a), 4) for t in (nnrt, torch))
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-5)
