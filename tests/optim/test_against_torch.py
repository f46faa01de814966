"""Every optimiser, step by step, against torch: options, groups, missing gradients, checkpoints both ways."""

import numpy as np
import pytest

import nnrt
from nnrt import optim

STEPS = 25
SHAPES = [(4, 3), (5,), (), (2, 3, 2), (0, 3)]

OPTIONS = [
    ("SGD", {}),
    ("SGD", dict(lr=0.1, momentum=0.9)),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.05)),
    ("SGD", dict(lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.05)),
    ("SGD", dict(lr=0.1, weight_decay=0.05, maximize=True)),
    ("Adam", {}),
    ("Adam", dict(lr=0.1, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    ("Adam", dict(lr=0.1, amsgrad=True, maximize=True)),
    ("Adam", dict(lr=0.1, amsgrad=True, weight_decay=0.1, decoupled_weight_decay=True)),
    ("Adam", dict(lr=0.1, betas=(0.3, 0.9))),
    ("Adam", dict(lr=0.1, betas=(0.0, 0.0), eps=1e-2)),
    ("AdamW", {}),
    ("AdamW", dict(lr=0.1, weight_decay=0.3, amsgrad=True)),
    ("AdamW", dict(lr=0.1, weight_decay=0.3, maximize=True)),
    ("NAdam", {}),
    ("NAdam", dict(lr=0.1, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1, momentum_decay=0.02)),
    ("NAdam", dict(lr=0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    ("RAdam", {}),
    ("RAdam", dict(lr=0.1, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    ("RAdam", dict(lr=0.1, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    ("Adamax", {}),
    ("Adamax", dict(lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.1, maximize=True)),
    ("Adagrad", {}),
    ("Adagrad", dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.2, eps=1e-3)),
    ("Adagrad", dict(lr=0.1, maximize=True)),
    ("Adadelta", {}),
    ("Adadelta", dict(lr=0.5, rho=0.7, eps=1e-3, weight_decay=0.1, maximize=True)),
    ("RMSprop", {}),
    ("RMSprop", dict(lr=0.02, alpha=0.8, eps=1e-3, weight_decay=0.1, momentum=0.9)),
    ("RMSprop", dict(lr=0.02, centered=True, eps=1e-2, maximize=True)),
    ("RMSprop", dict(lr=0.02, centered=True, eps=1e-2, momentum=0.5)),
    ("Rprop", {}),
    ("Rprop", dict(lr=0.1, etas=(0.4, 1.5), step_sizes=(1e-2, 0.5), maximize=True)),
    ("ASGD", dict(lr=0.1)),
    ("ASGD", dict(lr=0.1, lambd=0.1, alpha=0.6, t0=5, weight_decay=0.1, maximize=True)),
    ("Adafactor", {}),
    ("Adafactor", dict(lr=0.5, beta2_decay=-0.3, eps=(1e-2, 0.1), d=1.5, weight_decay=0.1, maximize=True)),
    ("Muon", {}),
    ("Muon", dict(lr=0.1, momentum=0.6, nesterov=False, adjust_lr_fn="match_rms_adamw", ns_steps=3, eps=1e-3)),
]
IDS = [f"{name}-{'-'.join(f'{k}={v}' for k, v in options.items())}" for name, options in OPTIONS]
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
TOL = {np.float32: (2e-5, 2e-6), np.float64: (1e-11, 1e-12)}
ROUGH = {np.float32: (2e-5, 1e-5), np.float64: (1e-5, 1e-7)}  # torch keeps mu_product, eta and mu in float32


# torch's Adafactor divides by the elements of an empty parameter.
SHAPES_OF = {"Adafactor": [*SHAPES[:-1], (3, 1)], "Muon": [(4, 3), (3, 5), (2, 2), (1, 4), (6, 1)]}


@pytest.fixture(autouse=True)
def unrounded(request, monkeypatch):
    """torch's Muon orthogonalises in bfloat16; here it keeps its dtype."""
    if "torch" in request.fixturenames:
        torch = request.getfixturevalue("torch")
        monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


def pair(torch, rng, dtype, shapes=SHAPES):
    """The same parameters in both libraries."""
    values = [np.asarray(rng.standard_normal(s), dtype) for s in shapes]
    ours = [nnrt.from_numpy(v.copy()).requires_grad_() for v in values]
    theirs = [torch.nn.Parameter(torch.from_numpy(v.copy())) for v in values]
    return ours, theirs


def set_gradients(torch, rng, ours, theirs, skip=()):
    """The same gradients: a pull to 0 with noise, so that signs change; None for indices in skip."""
    for i, (p, q) in enumerate(zip(ours, theirs)):
        g = np.asarray(0.3 * q.detach().numpy() + rng.standard_normal(p.shape), p.dtype)
        p.grad = None if i in skip else nnrt.from_numpy(g)
        q.grad = None if i in skip else torch.from_numpy(g.copy())


def assert_same(ours, theirs, name, dtype, what):
    rtol, atol = (ROUGH if name in ("NAdam", "ASGD") else TOL)[dtype]
    for i, (p, q) in enumerate(zip(ours, theirs)):
        got, want = p.array, q.detach().numpy()
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=f"{what}: parameter {i}")


@DTYPES
@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
def test_steps(torch, rng, name, options, dtype):
    ours, theirs = pair(torch, rng, dtype, SHAPES_OF.get(name, SHAPES))
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for step in range(STEPS):
        skip = {1} if step in (0, 3) else {0, 2} if step == 5 else set()
        set_gradients(torch, rng, ours, theirs, skip)
        a.step()
        b.step()
        assert_same(ours, theirs, name, dtype, f"step {step}")


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
def test_state_dict_has_torch_keys_shapes_and_values(torch, rng, name, options):
    ours, theirs = pair(torch, rng, np.float32, SHAPES_OF.get(name, SHAPES))
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for steps in (0, 1, 3):
        for _ in range(steps):
            set_gradients(torch, rng, ours, theirs, {1})
            a.step()
            b.step()
        mine, other = a.state_dict(), b.state_dict()
        assert mine["param_groups"] == other["param_groups"]
        assert mine["state"].keys() == other["state"].keys()
        for i in mine["state"]:
            assert mine["state"][i].keys() == other["state"][i].keys()
            for key, value in other["state"][i].items():
                assert isinstance(mine["state"][i][key], nnrt.Tensor)
                got = mine["state"][i][key].array
                np.testing.assert_allclose(got, value.numpy(), rtol=2e-5, atol=1e-6, err_msg=key)


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
def test_resumes_from_torch(torch, rng, name, options):
    ours, theirs = pair(torch, rng, np.float32, SHAPES_OF.get(name, SHAPES))
    b = getattr(torch.optim, name)(theirs, **options)
    for _ in range(4):
        set_gradients(torch, rng, ours, theirs, {3})
        b.step()
    for p, q in zip(ours, theirs):
        p.array[...] = q.detach().numpy()
    a = getattr(optim, name)(ours)
    a.load_state_dict(b.state_dict())
    for step in range(6):
        set_gradients(torch, rng, ours, theirs)
        a.step()
        b.step()
        assert_same(ours, theirs, name, np.float32, f"step {step}")


@pytest.mark.parametrize(("name", "options"), OPTIONS, ids=IDS)
def test_torch_resumes_from_ours(torch, rng, name, options):
    ours, theirs = pair(torch, rng, np.float32, SHAPES_OF.get(name, SHAPES))
    a = getattr(optim, name)(ours, **options)
    for _ in range(4):
        set_gradients(torch, rng, ours, theirs, {3})
        a.step()
    with torch.no_grad():
        for p, q in zip(ours, theirs):
            q.copy_(torch.from_numpy(p.array))
    saved = a.state_dict()
    saved["state"] = {
        i: {k: torch.from_numpy(v.array.copy()) if isinstance(v, nnrt.Tensor) else v for k, v in s.items()}
        for i, s in saved["state"].items()
    }
    b = getattr(torch.optim, name)(theirs)
    b.load_state_dict(saved)
    for step in range(6):
        set_gradients(torch, rng, ours, theirs)
        a.step()
        b.step()
        assert_same(ours, theirs, name, np.float32, f"step {step}")


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_groups_and_changed_options(torch, rng, name):
    ours, theirs = pair(torch, rng, np.float32)

    def build(module, p):
        groups = [{"params": p[:2], "lr": 0.1}, {"params": p[2:4]}]
        made = getattr(module, name)(groups, lr=0.02, weight_decay=0.1)
        made.add_param_group({"params": p[4], "lr": 0.5})
        return made

    a, b = build(optim, ours), build(torch.optim, theirs)
    for step in range(STEPS):
        for o in (a, b):
            o.param_groups[1]["lr"] = 0.1 / (step + 1)
            if step == 10 and name == "SGD":
                o.param_groups[0]["momentum"] = 0.9
        set_gradients(torch, rng, ours, theirs)
        a.step()
        b.step()
        assert_same(ours, theirs, name, np.float32, f"step {step}")


def test_defaults_are_those_of_torch(torch):
    for name in [*dict.fromkeys(name for name, _ in OPTIONS), "LBFGS", "SparseAdam"]:
        shape = (1, 1) if name == "Muon" else (1,)
        a = getattr(optim, name)([nnrt.from_numpy(np.zeros(shape, np.float32))])
        b = getattr(torch.optim, name)([torch.zeros(shape)])
        assert a.defaults == b.defaults, name
        assert repr(a) == repr(b)


BAD = [
    ("SGD", dict(lr=-1.0)),
    ("SGD", dict(momentum=-0.1)),
    ("SGD", dict(weight_decay=-0.1)),
    ("SGD", dict(nesterov=True)),
    ("SGD", dict(nesterov=True, momentum=0.9, dampening=0.1)),
    ("Adam", dict(lr=-1.0)),
    ("Adam", dict(lr=float("nan"))),
    ("Adam", dict(betas=(1.0, 0.9))),
    ("Adam", dict(betas=(0.9, -0.1))),
    ("Adam", dict(eps=-1e-8)),
    ("Adam", dict(weight_decay=-1)),
    ("AdamW", dict(betas=(0.9, 1.0))),
    ("NAdam", dict(momentum_decay=-1.0)),
    ("RAdam", dict(eps=-1.0)),
    ("Adamax", dict(betas=(-0.9, 0.9))),
    ("Adagrad", dict(lr_decay=-1.0)),
    ("Adagrad", dict(initial_accumulator_value=-1.0)),
    ("Adadelta", dict(rho=1.1)),
    ("RMSprop", dict(alpha=-0.1)),
    ("RMSprop", dict(momentum=-0.1)),
    ("Rprop", dict(etas=(1.0, 0.5))),
    ("ASGD", dict(weight_decay=-1.0)),
    ("SparseAdam", dict(lr=-0.1)),
    ("LBFGS", dict(lr=-0.1)),
    ("Adam", dict(foreach=True, fused=True)),
    ("Adafactor", dict(beta2_decay=0.1)),
    ("Adafactor", dict(d=0.5)),
    ("Adafactor", dict(eps=(-1.0, 1e-3))),
    ("Adafactor", dict(eps=(None, -1.0))),
    ("Muon", dict(momentum=-0.1)),
    ("Muon", dict(adjust_lr_fn="other")),
    ("Muon", {}),
]


@pytest.mark.parametrize(("name", "options"), BAD, ids=[f"{n}-{o}" for n, o in BAD])
def test_bad_options_raise_what_torch_raises(torch, name, options):
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        getattr(torch.optim, name)([torch.zeros(1)], **options)
    with pytest.raises(theirs.type, match=name):
        getattr(optim, name)([nnrt.from_numpy(np.zeros(1, np.float32))], **options)
