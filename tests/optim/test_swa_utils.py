"""Averages of weights and their schedule against torch's."""

import numpy as np
import pytest

import nnrt
from nnrt import nn, optim
from nnrt.optim import swa_utils

AVERAGES = {
    "mean": {},
    "mean of each": dict(avg_fn="get_swa_avg_fn"),
    "with buffers": dict(multi_avg_fn="get_ema_multi_avg_fn", use_buffers=True),
    "exponential": dict(avg_fn="get_ema_avg_fn"),
}


def model(library, dtype):
    layers = library.nn
    return layers.Sequential(layers.Linear(3, 2), layers.BatchNorm1d(2)).to(getattr(library, dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", AVERAGES)
def test_averages_are_torchs(torch, rng, name, dtype):
    sides = []
    for library, utils in ((nnrt, swa_utils), (torch, torch.optim.swa_utils)):
        options = {k: getattr(utils, v)() if isinstance(v, str) else v for k, v in AVERAGES[name].items()}
        net = model(library, dtype)
        sides.append((library, net, utils.AveragedModel(net, **options)))
    for _ in range(4):
        values = {k: rng.standard_normal(t.shape).astype(dtype) for k, t in sides[0][1].state_dict().items() if t.ndim}
        for library, net, averaged in sides:
            net.load_state_dict({k: library.tensor(v) for k, v in values.items()}, strict=False)
            averaged.update_parameters(net)
    ours, theirs = (averaged.state_dict() for *_, averaged in sides)
    assert list(ours) == list(theirs) and ours["n_averaged"].item() == 4
    for key in ours:
        np.testing.assert_allclose(ours[key].numpy(), theirs[key].numpy(), rtol=1e-5, atol=1e-6, err_msg=key)
    x = nnrt.ones(2, 3, dtype=getattr(nnrt, dtype))
    assert sides[0][2].eval()(x).shape == (2, 2)


def test_integers_are_averaged_exactly():
    net = nn.BatchNorm1d(1)
    averaged = swa_utils.AveragedModel(net, use_buffers=True)
    net.num_batches_tracked.fill_(2**40 + 1)
    for _ in range(3):
        averaged.update_parameters(net)
    assert averaged.module.num_batches_tracked.item() == 2**40 + 1


@pytest.mark.parametrize("options", [{}, dict(anneal_epochs=4, anneal_strategy="linear"), dict(anneal_epochs=0)])
def test_schedule_is_torchs(torch, options):
    pairs = []
    for library, utils in ((nnrt, swa_utils), (torch, torch.optim.swa_utils)):
        groups = [{"params": [library.ones(1)]}, {"params": [library.ones(2)], "lr": 0.7}]
        rule = library.optim.SGD(groups, lr=0.1)
        pairs.append((rule, utils.SWALR(rule, [0.05, 0.02], **options)))
    for _ in range(14):
        assert pairs[0][1].get_last_lr() == pytest.approx(pairs[1][1].get_last_lr(), rel=1e-12)
        for rule, schedule in pairs:
            rule.step()
            schedule.step()
    assert {*pairs[0][1].state_dict()} - {"_is_initial"} <= {*pairs[1][1].state_dict()}


def test_errors():
    net = nn.Linear(2, 1)
    averaged = swa_utils.AveragedModel(net)
    with pytest.raises(RuntimeError, match=r"update_parameters: wants a model of shapes \[\(1, 2\), \(1,\)\].*got \[\(1, 3\)"):
        averaged.update_parameters(nn.Linear(3, 1))
    assert averaged.n_averaged.item() == 0
    rule = optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="SWALR: anneal_strategy must be"):
        swa_utils.SWALR(rule, 0.1, anneal_strategy="step")
    with pytest.raises(ValueError, match="SWALR: anneal_epochs must be .* got -1"):
        swa_utils.SWALR(rule, 0.1, -1)
    with pytest.raises(ValueError, match="get_ema_avg_fn: decay must be within 0 and 1, got 2"):
        swa_utils.get_ema_avg_fn(2)
