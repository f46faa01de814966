"""Every schedule, step by step, against torch; checkpoints; and the closed formulas without torch."""

import math
import pickle
import warnings

import numpy as np
import pytest

import nnrt
from nnrt import optim
from nnrt.optim import lr_scheduler

STEPS = 40


def lambdas(epoch):
    return 0.9**epoch


class Halving:
    """A callable object, whose attributes belong to the state."""

    def __init__(self):
        self.scale = 0.5

    def __call__(self, epoch):
        return 1 / (1 + self.scale * epoch)


TRIANGLE = dict(base_lr=0.01, max_lr=0.3, step_size_up=5)
ONE = dict(max_lr=0.5, total_steps=STEPS + 1)
CASES = [
    ("LambdaLR", dict(lr_lambda=lambdas)),
    ("LambdaLR", dict(lr_lambda=[lambdas, Halving()])),
    ("MultiplicativeLR", dict(lr_lambda=lambda epoch: 0.95 if epoch % 2 else 1.01)),
    ("StepLR", dict(step_size=7)),
    ("StepLR", dict(step_size=1, gamma=0.9)),
    ("MultiStepLR", dict(milestones=[3, 9, 9, 20], gamma=0.3)),
    ("ConstantLR", {}),
    ("ConstantLR", dict(factor=0.7, total_iters=10)),
    ("LinearLR", {}),
    ("LinearLR", dict(start_factor=1.0, end_factor=0.1, total_iters=13)),
    ("ExponentialLR", dict(gamma=0.93)),
    ("PolynomialLR", {}),
    ("PolynomialLR", dict(total_iters=20, power=2.5)),
    ("CosineAnnealingLR", dict(T_max=9)),
    ("CosineAnnealingLR", dict(T_max=30, eta_min=0.02)),
    ("CosineAnnealingWarmRestarts", dict(T_0=7)),
    ("CosineAnnealingWarmRestarts", dict(T_0=3, T_mult=2, eta_min=0.01)),
    ("CyclicLR", TRIANGLE),
    (
        "CyclicLR",
        dict(base_lr=[0.01, 0.02], max_lr=[0.3, 0.4], step_size_down=7, mode="triangular2", step_size_up=4),
    ),
    ("CyclicLR", dict(TRIANGLE, mode="exp_range", gamma=0.97, cycle_momentum=False)),
    ("CyclicLR", dict(TRIANGLE, scale_fn=lambda x: 0.9**x, scale_mode="iterations")),
    ("OneCycleLR", ONE),
    (
        "OneCycleLR",
        dict(max_lr=[0.5, 0.2], epochs=7, steps_per_epoch=6, anneal_strategy="linear", pct_start=0.4),
    ),
    ("OneCycleLR", dict(ONE, three_phase=True, div_factor=10.0, final_div_factor=100.0)),
    ("OneCycleLR", dict(ONE, cycle_momentum=False)),
]
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(CASES)]


def optimizers(torch, name="SGD"):
    """The same optimiser of two groups in both libraries."""
    made = []
    for library, module in ((nnrt, optim), (torch, torch.optim)):
        p, q = (library.from_numpy(np.ones(2, np.float32)) for _ in range(2))
        options = dict(momentum=0.9) if name == "SGD" else {}
        made.append(getattr(module, name)([{"params": [p], "lr": 0.4}, {"params": [q]}], lr=0.1, **options))
    return made


def build(torch, name, options, optimizer="SGD"):
    a, b = optimizers(torch, optimizer)
    return (
        a,
        getattr(lr_scheduler, name)(a, **options),
        b,
        getattr(torch.optim.lr_scheduler, name)(b, **options),
    )


def watched(optimizer):
    """What schedules change."""
    return [(g["lr"], g.get("momentum", g.get("betas", 0))) for g in optimizer.param_groups]


def assert_same(a, s, b, t, what):
    for mine, theirs in zip(watched(a), watched(b)):
        np.testing.assert_allclose(mine[0], theirs[0], rtol=1e-11, atol=1e-14, err_msg=what)
        np.testing.assert_allclose(mine[1], theirs[1], rtol=1e-11, atol=1e-14, err_msg=what)
    np.testing.assert_allclose(s.get_last_lr(), t.get_last_lr(), rtol=1e-11, atol=1e-14)
    assert s.last_epoch == t.last_epoch


def advance(a, s, b, t):
    for optimizer in (a, b):
        optimizer.step()
    s.step()
    t.step()


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_steps(torch, name, options, optimizer):
    a, s, b, t = build(torch, name, options, optimizer)
    assert_same(a, s, b, t, "at first")
    for step in range(STEPS):
        advance(a, s, b, t)
        assert_same(a, s, b, t, f"step {step}")


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_state_goes_from_one_to_another_and_to_torch_and_back(torch, name, options):
    a, s, b, t = build(torch, name, options)
    for _ in range(11):
        advance(a, s, b, t)
    other, fresh, their_other, their_fresh = build(torch, name, options)
    for target, source in ((fresh, s), (fresh, t), (their_fresh, s)):
        target.load_state_dict(source.state_dict())
    for x, y in ((other, a), (their_other, b)):
        x.load_state_dict(y.state_dict())
    for step in range(20):
        advance(a, s, other, fresh)
        assert_same(a, s, other, fresh, f"resumed, step {step}")
        b.step()
        t.step()
        their_other.step()
        their_fresh.step()
        assert_same(b, t, their_other, their_fresh, f"torch resumed from ours, step {step}")


@pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
def test_resumes_by_last_epoch(torch, name, options):
    a, b = optimizers(torch)
    for optimizer in (a, b):
        for group in optimizer.param_groups:
            group.update(
                initial_lr=group["lr"], max_lr=0.5, min_lr=1e-5, max_momentum=0.95, base_momentum=0.85
            )
    s = getattr(lr_scheduler, name)(a, **options, last_epoch=4)
    t = getattr(torch.optim.lr_scheduler, name)(b, **options, last_epoch=4)
    for step in range(10):
        assert_same(a, s, b, t, f"step {step}")
        advance(a, s, b, t)


@pytest.mark.parametrize("name", ["StepLR", "LinearLR", "CosineAnnealingLR", "MultiStepLR", "PolynomialLR"])
@pytest.mark.filterwarnings("ignore")
def test_epoch_given(torch, name):
    options = dict(CASES[[n for n, _ in CASES].index(name)][1])
    a, s, b, t = build(torch, name, options)
    for epoch in (3, 4, 0, 17, 2):
        s.step(epoch)
        t.step(epoch)
        assert_same(a, s, b, t, f"epoch {epoch}")


def test_warm_restarts_take_fractions_of_epochs(torch):
    a, s, b, t = build(torch, "CosineAnnealingWarmRestarts", dict(T_0=3, T_mult=2))
    for epoch in np.arange(0, 25, 0.25):
        s.step(float(epoch))
        t.step(float(epoch))
        if epoch not in (9.0, 21.0):  # torch's logarithm may round a restart away
            assert_same(a, s, b, t, f"epoch {epoch}")
        elif s.T_cur == 0:
            np.testing.assert_allclose(s.get_last_lr(), s.base_lrs)
    with pytest.raises(ValueError, match="epoch"):
        s.step(-1)


def test_sequential(torch):
    def build(module, o):
        parts = [
            module.ConstantLR(o, 0.1, 4),
            module.ExponentialLR(o, 0.9),
            module.CosineAnnealingLR(o, 6),
            module.CosineAnnealingWarmRestarts(o, 3, 2),
            module.CyclicLR(o, 0.01, 0.1, 3, cycle_momentum=False),
        ]
        return module.SequentialLR(o, parts, [5, 9, 17, 25])

    a, b = optimizers(torch)
    s, t = build(lr_scheduler, a), build(torch.optim.lr_scheduler, b)
    assert_same(a, s, b, t, "at first")
    for step in range(STEPS):
        advance(a, s, b, t)
        assert_same(a, s, b, t, f"step {step}")
        if step == 12:
            saved, groups = s.state_dict(), a.state_dict()
            a, _ = optimizers(torch)
            s = build(lr_scheduler, a)
            s.load_state_dict(pickle.loads(pickle.dumps(saved)))
            a.load_state_dict(groups)


def test_chained(torch):
    def build(module, o):
        return module.ChainedScheduler(
            [module.ConstantLR(o, 0.1, 4), module.ExponentialLR(o, 0.9), module.StepLR(o, 6)]
        )

    a, b = optimizers(torch)
    s, t = build(lr_scheduler, a), build(torch.optim.lr_scheduler, b)
    for step in range(STEPS):
        for x in (a, s, b, t):
            x.step()
        np.testing.assert_allclose(a.param_groups[0]["lr"], b.param_groups[0]["lr"], err_msg=f"step {step}")
        if step == 3:
            saved = s.state_dict()
            s = build(lr_scheduler, optimizers(torch)[0])
            s.load_state_dict(saved)
            s.optimizer.load_state_dict(a.state_dict())
            a = s.optimizer


PLATEAU = [
    {},
    dict(mode="max", factor=0.5, patience=1, threshold_mode="abs", threshold=0.2),
    dict(factor=0.5, patience=0, cooldown=3, min_lr=[0.05, 0.01]),
    dict(mode="max", factor=0.3, patience=2, threshold=0.1, min_lr=0.02, eps=0.01),
]


@pytest.mark.parametrize("options", PLATEAU, ids=str)
def test_plateau(torch, rng, options):
    a, s, b, t = build(torch, "ReduceLROnPlateau", options)
    for step in range(60):
        metric = float(rng.standard_normal()) if step != 7 else math.nan
        s.step(metric)
        t.step(metric)
        assert_same(a, s, b, t, f"step {step}")
        for name in ("best", "num_bad_epochs", "cooldown_counter"):
            assert getattr(s, name) == pytest.approx(getattr(t, name))
        if step == 20:
            saved = s.state_dict()
            s = lr_scheduler.ReduceLROnPlateau(a, **options)
            s.load_state_dict(saved)


# Without torch


def sgd(lr=1.0):
    return optim.SGD([nnrt.from_numpy(np.ones(1, np.float32))], lr=lr, momentum=0.5)


FORMULAS = [
    ("StepLR", dict(step_size=3, gamma=0.5), lambda t: 0.5 ** (t // 3)),
    ("MultiStepLR", dict(milestones=[2, 5], gamma=0.5), lambda t: 0.5 ** ((t >= 2) + (t >= 5))),
    ("ConstantLR", dict(factor=0.5, total_iters=4), lambda t: 0.5 if t < 4 else 1),
    ("ConstantLR", dict(factor=0, total_iters=4), lambda t: 0 if t < 4 else 1),
    ("LinearLR", dict(start_factor=0.5, total_iters=4), lambda t: min(1, 0.5 + t / 8)),
    ("ExponentialLR", dict(gamma=0.9), lambda t: 0.9**t),
    ("PolynomialLR", dict(total_iters=6, power=2), lambda t: max(0, 1 - t / 6) ** 2),
    ("CosineAnnealingLR", dict(T_max=6), lambda t: (1 + math.cos(math.pi * t / 6)) / 2),
    ("CosineAnnealingWarmRestarts", dict(T_0=4), lambda t: (1 + math.cos(math.pi * (t % 4) / 4)) / 2),
    ("CyclicLR", dict(base_lr=0.0, max_lr=1.0, step_size_up=4), lambda t: 1 - abs(t % 8 - 4) / 4),
    ("LambdaLR", dict(lr_lambda=lambda t: 1 / (t + 1)), lambda t: 1 / (t + 1)),
    ("MultiplicativeLR", dict(lr_lambda=lambda t: t), lambda t: math.factorial(t)),
]


@pytest.mark.parametrize(("name", "options", "formula"), FORMULAS, ids=[n for n, *_ in FORMULAS])
def test_formula(name, options, formula):
    optimizer = sgd()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    for t in range(16):
        np.testing.assert_allclose(
            optimizer.param_groups[0]["lr"], formula(t), rtol=1e-9, atol=1e-12, err_msg=f"t={t}"
        )
        optimizer.step()
        scheduler.step()


BAD = [
    ("ConstantLR", dict(factor=1.1), ValueError, "factor"),
    ("LinearLR", dict(start_factor=0), ValueError, "start_factor"),
    ("LinearLR", dict(end_factor=-0.1), ValueError, "end_factor"),
    ("LambdaLR", dict(lr_lambda=[lambdas] * 3), ValueError, "lr_lambda"),
    ("MultiplicativeLR", dict(lr_lambda=0.5), TypeError, "lr_lambda"),
    ("CosineAnnealingWarmRestarts", dict(T_0=0), ValueError, "T_0"),
    ("CosineAnnealingWarmRestarts", dict(T_0=1, T_mult=0.5), ValueError, "T_mult"),
    ("CosineAnnealingWarmRestarts", dict(T_0=1, eta_min="0"), ValueError, "eta_min"),
    ("CyclicLR", dict(base_lr=0.1, max_lr=1.0, mode="square"), ValueError, "mode"),
    ("CyclicLR", dict(base_lr=[0.1] * 3, max_lr=1.0), ValueError, "base_lr"),
    ("OneCycleLR", dict(max_lr=1.0), ValueError, "total_steps"),
    ("OneCycleLR", dict(max_lr=1.0, total_steps=0), ValueError, "total_steps"),
    ("OneCycleLR", dict(max_lr=1.0, epochs=1.5, steps_per_epoch=2), ValueError, "epochs"),
    ("OneCycleLR", dict(max_lr=1.0, total_steps=5, pct_start=2.0), ValueError, "pct_start"),
    ("OneCycleLR", dict(max_lr=1.0, total_steps=5, anneal_strategy="sin"), ValueError, "anneal_strategy"),
    ("ReduceLROnPlateau", dict(factor=1.0), ValueError, "factor"),
    ("ReduceLROnPlateau", dict(mode="mean"), ValueError, "mode"),
    ("ReduceLROnPlateau", dict(threshold_mode="log"), ValueError, "threshold_mode"),
    ("ReduceLROnPlateau", dict(min_lr=[0.1] * 2), ValueError, "min_lr"),
    ("SequentialLR", dict(schedulers=[], milestones=[]), ValueError, "at least one"),
    ("StepLR", dict(step_size=0), ValueError, "step_size must be above 0"),
    ("CosineAnnealingLR", dict(T_max=0), ValueError, "T_max must be above 0"),
]


@pytest.mark.parametrize(("name", "options", "error", "text"), BAD, ids=[f"{n}-{t}" for n, _, _, t in BAD])
def test_bad_arguments(name, options, error, text):
    with pytest.raises(error, match=f"{name}.*{text}"):
        getattr(lr_scheduler, name)(sgd(), **options)


def test_other_errors():
    with pytest.raises(TypeError, match="StepLR: wants an Optimizer"):
        lr_scheduler.StepLR("sgd", 3)
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(sgd(), 3, last_epoch=5)
    plain = optim.Adagrad([nnrt.from_numpy(np.ones(1, np.float32))])
    with pytest.raises(ValueError, match="momentum"):
        lr_scheduler.CyclicLR(plain, 0.1, 1.0)
    one, other = lr_scheduler.StepLR(sgd(), 3), lr_scheduler.StepLR(sgd(), 3)
    with pytest.raises(ValueError, match="another optimiser"):
        lr_scheduler.ChainedScheduler([one, other])
    with pytest.raises(ValueError, match="milestones"):
        lr_scheduler.SequentialLR(one.optimizer, [one], [3])
    with pytest.raises(ValueError, match="ReduceLROnPlateau"):
        lr_scheduler.ChainedScheduler([lr_scheduler.ReduceLROnPlateau(one.optimizer)])
    with pytest.raises(ValueError, match="at least one"):
        lr_scheduler.ChainedScheduler([])
    cycle = lr_scheduler.OneCycleLR(sgd(), 1.0, total_steps=2)
    cycle.optimizer.step()
    cycle.step()
    cycle.step()
    with pytest.raises(ValueError, match="step 3 of a schedule of 2"):
        cycle.step()
    one.optimizer.add_param_group({"params": nnrt.from_numpy(np.ones(1, np.float32))})
    exponential = lr_scheduler.LambdaLR(sgd(), lambdas)
    exponential.optimizer.add_param_group({"params": nnrt.from_numpy(np.ones(1, np.float32))})
    exponential.optimizer.step()
    with pytest.raises(ValueError, match="2 now"):
        exponential.step()


def test_warns_when_the_optimiser_was_not_stepped():
    scheduler = lr_scheduler.StepLR(sgd(), 3)
    with pytest.warns(UserWarning, match="before optimizer.step"):
        scheduler.step()
    scheduler = lr_scheduler.StepLR(sgd(), 3)
    scheduler.optimizer.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
