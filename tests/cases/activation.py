"""Activations: sizes around a vector and around a task, values at the kinks, halves of a gate."""

import numpy as np

from tests.cases import Kernel, Op, Output, around

TASK = 16384
LOOSE = {"float32": (1e-5, 2e-6), "float64": (1e-12, 1e-13)}

# kernel name -> constants
FORWARD = {
    "relu": (),
    "hardtanh": (-1.0, 0.5),
    "leaky_relu": (0.01,),
    "elu": (0.7, 1.5, 0.8),
    "gelu": (),
    "gelu_tanh": (),
    "silu": (1.3,),
    "mish": (),
    "softplus": (1.5, 3.0),
    "softsign": (),
    "hardsigmoid": (),
    "hardswish": (),
    "logsigmoid": (),
    "tanhshrink": (),
    "softshrink": (0.4,),
    "hardshrink": (0.4,),
    "threshold": (0.2, -7.0),
    "squared_relu": (),
    "step": (),
}
BACKWARD = {**FORWARD, "shrink": (0.4,), "threshold": (0.2,)}
for name in ("softshrink", "hardshrink", "step"):  # both shrinks have one backward pass, a step has none
    del BACKWARD[name]
GATES = ["glu", "reglu", "geglu", "swiglu"]
SPECIAL = [
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    3.0,
    -3.0,
    6.0,
    0.4,
    -0.4,
    0.5,
    30.0,
    -30.0,
    100.0,
    -100.0,
    800.0,
    -800.0,
]


def _values(rng, dtype, *shape):
    """Mostly within the kinks, some far out."""
    x = rng.standard_normal(shape) * rng.choice([0.3, 2.0, 12.0], shape)
    return x.astype(dtype)


def _kernels():
    for n in [*around(16), TASK + 5, 2 * TASK + 3]:
        for name, constants in FORWARD.items():
            if n <= 40 or name in ("relu", "gelu", "softplus"):
                yield Kernel(
                    f"activation.{name}",
                    str(n),
                    lambda rng, dtype, n=n, c=constants: [Output((n,)), _values(rng, dtype, n), *c],
                    LOOSE,
                )
        for name, constants in BACKWARD.items():
            if n <= 40 or name in ("relu", "gelu", "softplus"):
                yield Kernel(
                    f"activation.{name}_backward",
                    str(n),
                    lambda rng, dtype, n=n, c=constants: [
                        Output((n,)),
                        rng.standard_normal(n).astype(dtype),
                        _values(rng, dtype, n),
                        *c,
                    ],
                    LOOSE,
                )
        if n <= 40:
            yield Kernel(
                "activation.gelu_sloped", str(n), lambda rng, dtype, n=n: [*[Output((n,))] * 2, _values(rng, dtype, n)], LOOSE
            )
            for name in GATES:
                yield Kernel(
                    f"activation.{name}",
                    str(n),
                    lambda rng, dtype, n=n: [Output((3, n)), *np.split(_values(rng, dtype, 3, 2 * n), 2, 1)],
                    LOOSE,
                )
                yield Kernel(
                    f"activation.{name}_backward",
                    str(n),
                    lambda rng, dtype, n=n: [
                        Output((3, n)),
                        Output((3, n)),
                        _values(rng, dtype, 3, n),
                        *np.split(_values(rng, dtype, 3, 2 * n), 2, 1),
                    ],
                    LOOSE,
                )
    for name, constants in FORWARD.items():
        yield Kernel(
            f"activation.{name}",
            "special",
            lambda rng, dtype, c=constants: [Output((len(SPECIAL),)), np.array(SPECIAL, dtype), *c],
            LOOSE,
        )
        yield Kernel(
            f"activation.{name}",
            "permuted",
            lambda rng, dtype, c=constants: [
                Output((2, 3, 5), axes=(0, 2, 1)),
                _values(rng, dtype, 2, 5, 6)[:, :, ::2].swapaxes(1, 2),
                *c,
            ],
            LOOSE,
        )
    yield Kernel(
        "activation.gelu_sloped",
        "strided",
        lambda rng, dtype: [Output((4, 3), axes=(1, 0)), Output((4, 3)), _values(rng, dtype, 4, 6)[:, ::2]],
        LOOSE,
    )
    yield Kernel("activation.gelu_sloped", "special", lambda rng, dtype: [*[Output((14,))] * 2, np.array(SPECIAL[3:17], dtype)], LOOSE)
    for name, constants in BACKWARD.items():
        yield Kernel(
            f"activation.{name}_backward",
            "strided-dy",
            lambda rng, dtype, c=constants: [
                Output((4, 6)),
                np.broadcast_to(_values(rng, dtype, 4, 1), (4, 6)),
                _values(rng, dtype, 4, 6),
                *c,
            ],
            LOOSE,
        )
    for wshape in [(), (1,), (5,), (5, 1)]:
        yield Kernel(
            "activation.prelu",
            f"w{wshape}",
            lambda rng, dtype, s=wshape: [
                Output((2, 5, 5)),
                _values(rng, dtype, 2, 5, 5),
                _values(rng, dtype, *s),
            ],
        )
        yield Kernel(
            "activation.prelu_backward",
            f"w{wshape}",
            lambda rng, dtype, s=wshape: [
                Output((2, 5, 5)),
                Output((2, 5, 5)),
                _values(rng, dtype, 2, 5, 5),
                _values(rng, dtype, 2, 5, 5),
                _values(rng, dtype, *s),
            ],
        )


KERNELS = list(_kernels())


def _normal(*shape):
    return lambda rng: [np.asarray(rng.standard_normal(shape) * 2)]


def _F(t):
    """torch.nn.functional, or here the module that nnrt.nn.functional takes its activations from."""
    if t.__name__ == "torch":
        return t.nn.functional
    from nnrt.ops import activation

    return activation


_CALLS = {
    "relu6": lambda f, x: f.relu6(x),
    "hardtanh": lambda f, x: f.hardtanh(x, -0.7, 1.2),
    "leaky_relu": lambda f, x: f.leaky_relu(x, negative_slope=0.2),
    "rrelu-eval": lambda f, x: f.rrelu(x, 0.1, 0.3),
    "elu": lambda f, x: f.elu(x, alpha=0.5),
    "selu": lambda f, x: f.selu(x),
    "celu": lambda f, x: f.celu(x, alpha=2.0),
    "gelu": lambda f, x: f.gelu(x),
    "gelu-tanh": lambda f, x: f.gelu(x, approximate="tanh"),
    "silu": lambda f, x: f.silu(x),
    "mish": lambda f, x: f.mish(x),
    "softplus": lambda f, x: f.softplus(x, beta=2.0, threshold=2.5),
    "softsign": lambda f, x: f.softsign(x),
    "hardsigmoid": lambda f, x: f.hardsigmoid(x),
    "hardswish": lambda f, x: f.hardswish(x),
    "logsigmoid": lambda f, x: f.logsigmoid(x),
    "tanhshrink": lambda f, x: f.tanhshrink(x),
    "softshrink": lambda f, x: f.softshrink(x, 0.4),
    "hardshrink": lambda f, x: f.hardshrink(x, 0.4),
    "threshold": lambda f, x: f.threshold(x, 0.3, -2.0),
}


def _torch_tol(name):
    # torch's hardsigmoid has 1/6 in float32 in its gradient
    return {"float32": (2e-5, 2e-6), "float64": (1e-7, 1e-8) if name == "hardsigmoid" else (1e-11, 1e-12)}


OPS = [
    Op("relu", lambda t, x: t.relu(x), _normal(3, 5)),
    *[
        Op(name, lambda t, x, call=call: call(_F(t), x), _normal(3, 5), tol=_torch_tol(name))
        for name, call in _CALLS.items()
    ],
    *[
        Op(f"{name}-size-{n}", lambda t, x, call=call: call(_F(t), x), _normal(*n))
        for name, call in _CALLS.items()
        for n in [(), (0,), (2, 0)]
        if name in ("gelu", "elu", "hardswish")
    ],
    Op("glu", lambda t, x: _F(t).glu(x), _normal(3, 6)),
    Op("glu-dim", lambda t, x: _F(t).glu(x, 1), _normal(3, 4, 5)),
    Op(
        "prelu",
        lambda t, x, w: _F(t).prelu(x, w),
        lambda rng: [rng.standard_normal((2, 3, 4)), rng.standard_normal(3)],
    ),
    Op(
        "prelu-one",
        lambda t, x, w: _F(t).prelu(x, w),
        lambda rng: [rng.standard_normal((2, 3)), rng.standard_normal(1)],
    ),
    Op(
        "prelu-1d",
        lambda t, x, w: _F(t).prelu(x, w),
        lambda rng: [rng.standard_normal(6), rng.standard_normal(1)],
    ),
    Op(
        "swish-learnt",
        lambda t, x, b: _F(t).swish(x, b),
        lambda rng: [rng.standard_normal((3, 4)), rng.standard_normal(1)],
        torch=False,
        expected=lambda x, b: [x / (1 + np.exp(-b * x))],
    ),
    Op(
        "swish",
        lambda t, x: _F(t).swish(x, 0.7),
        _normal(3, 4),
        torch=False,
        expected=lambda x: [x / (1 + np.exp(-0.7 * x))],
    ),
    Op(
        "squared_relu",
        lambda t, x: _F(t).squared_relu(x),
        _normal(3, 4),
        torch=False,
        expected=lambda x: [np.maximum(x, 0) ** 2],
    ),
    Op(
        "step",
        lambda t, x: _F(t).step(x),
        _normal(3, 4),
        torch=False,
        expected=lambda x: [(x > 0).astype(x.dtype)],
    ),
    Op(
        "reglu",
        lambda t, x: _F(t).reglu(x),
        _normal(3, 4),
        torch=False,
        expected=lambda x: [x[:, :2] * np.maximum(x[:, 2:], 0)],
    ),
    Op(
        "swiglu",
        lambda t, x: _F(t).swiglu(x, 0),
        _normal(4, 3),
        torch=False,
        expected=lambda x: [x[:2] * x[2:] / (1 + np.exp(-x[2:]))],
    ),
    Op("geglu", lambda t, x: _F(t).geglu(x), _normal(3, 4), torch=False, expected=lambda x: [_geglu(x)]),
    Op(
        "bilinear_gate",
        lambda t, x: _F(t).bilinear_gate(x),
        _normal(3, 4),
        torch=False,
        expected=lambda x: [x[:, :2] * x[:, 2:]],
    ),
]


def _geglu(x):
    import math

    erf = np.vectorize(math.erf)
    return x[:, :2] * x[:, 2:] * (0.5 * (1 + erf(x[:, 2:] / math.sqrt(2))))
