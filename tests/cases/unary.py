"""Functions of one number: their domains, sizes around a vector and a task, special values."""

import numpy as np

from tests.cases import Kernel, Op, Output, around

TASK = 16384
# name -> interval from which inputs are drawn
DOMAIN = {
    "abs": (-3, 3),
    "sign": (-3, 3),
    "exp": (-20, 20),
    "exp2": (-20, 20),
    "expm1": (-4, 4),
    "log": (0.01, 20),
    "log2": (0.01, 20),
    "log10": (0.01, 20),
    "log1p": (-0.9, 20),
    "sqrt": (0, 20),
    "rsqrt": (0.01, 20),
    "square": (-9, 9),
    "reciprocal": (0.1, 9),
    "sin": (-9, 9),
    "cos": (-9, 9),
    "tan": (-1.5, 1.5),
    "asin": (-0.99, 0.99),
    "acos": (-0.99, 0.99),
    "atan": (-9, 9),
    "sinh": (-9, 9),
    "cosh": (-9, 9),
    "asinh": (-9, 9),
    "acosh": (1.01, 9),
    "atanh": (-0.99, 0.99),
    "tanh": (-9, 9),
    "sigmoid": (-20, 20),
    "erf": (-4, 4),
    "erfc": (-4, 9),
    "erfinv": (-0.999, 0.999),
    "lgamma": (-4.9, 30),
    "digamma": (0.1, 30),
    "sinc": (-5, 5),
    "floor": (-9, 9),
    "ceil": (-9, 9),
    "trunc": (-9, 9),
    "round": (-9, 9),
    "frac": (-9, 9),
    "logit": (0.01, 0.99),
}
SAVES_INPUT = [
    "abs",
    "log2",
    "log10",
    "log1p",
    "square",
    "sin",
    "cos",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "erf",
    "erfc",
    "lgamma",
    "digamma",
    "sinc",
    "logit",
    "nan_to_num",
]
SAVES_OUTPUT = ["exp2", "expm1", "sqrt", "rsqrt", "reciprocal", "tan", "tanh", "sigmoid", "erfinv"]
SPECIAL = [
    np.nan,
    np.inf,
    -np.inf,
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    2.0,
    -2.5,
    20.0,
    90.0,
    -90.0,
    720.0,
    -720.0,
    1e10,
    -1e10,
    1e30,
]
TOL = {"float32": (1e-5, 1e-6), "float64": (1e-12, 1e-13)}


def _draw(name, rng, dtype, *shape):
    lo, hi = DOMAIN.get(name, (-3, 3))
    return rng.uniform(lo, hi, shape).astype(dtype)


def _kernels():
    for name in DOMAIN:
        for n in [*around(16), *([TASK + 5, 2 * TASK + 3] if name in ("exp", "tanh", "sin") else [])]:
            yield Kernel(
                f"unary.{name}",
                str(n),
                lambda rng, dtype, k=name, n=n: [Output((n,)), _draw(k, rng, dtype, n)],
                TOL,
            )
        yield Kernel(
            f"unary.{name}",
            "permuted",
            lambda rng, dtype, k=name: [
                Output((2, 3, 5), axes=(0, 2, 1)),
                _draw(k, rng, dtype, 2, 5, 6)[:, :, ::2].swapaxes(1, 2),
            ],
            TOL,
        )
        special = (
            [v for v in SPECIAL if np.abs(v) < 1e10]
            if name in ("tan", "sin", "cos", "sinc", "digamma", "lgamma")
            else SPECIAL
        )
        yield Kernel(
            f"unary.{name}",
            "special",
            lambda rng, dtype, s=special: [Output((len(s),)), np.array(s, dtype)],
            TOL,
        )
    for name in SAVES_INPUT + SAVES_OUTPUT:
        for n in [0, 1, 16, 35, TASK + 5]:
            if n > 100 and name not in ("tanh", "sin", "sqrt"):
                continue
            yield Kernel(
                f"unary.{name}_backward",
                str(n),
                lambda rng, dtype, k=name, n=n: [
                    Output((n,)),
                    rng.standard_normal(n).astype(dtype),
                    _draw(k if k in SAVES_INPUT else "", rng, dtype, n),
                ],
                TOL,
            )
        yield Kernel(
            f"unary.{name}_backward",
            "strided-dy",
            lambda rng, dtype, k=name: [
                Output((4, 6)),
                np.broadcast_to(rng.standard_normal((4, 1)).astype(dtype), (4, 6)),
                _draw(k if k in SAVES_INPUT else "", rng, dtype, 4, 6),
            ],
            TOL,
        )
    yield Kernel(
        "unary.nan_to_num",
        "special",
        lambda rng, dtype: [Output((len(SPECIAL),)), np.array(SPECIAL, dtype), 1.5, 7.0, -8.0],
    )


KERNELS = list(_kernels())

_TORCH = [n for n in DOMAIN if n not in ("round",)]
# integers become float32 whatever the case's dtype
_SINGLE = {"float32": (2e-6, 1e-7), "float64": (2e-6, 1e-7)}


def _tolerance(name):
    # torch stops digamma's and trigamma's recurrences early: 3e-10 from mpmath at 6.9
    return {"float32": (3e-5, 3e-6), "float64": (1e-8, 1e-9) if name == "digamma" else (1e-10, 1e-11)}


OPS = [
    *[
        Op(
            name,
            lambda t, x, name=name: getattr(t, name)(x),
            lambda rng, name=name: [_draw(name, rng, np.float64, 3, 5)],
            tol=_tolerance(name),
        )
        for name in _TORCH
    ],
    *[
        Op(f"{name}-empty", lambda t, x, name=name: getattr(t, name)(x), lambda rng: [np.zeros((2, 0))])
        for name in ("exp", "sin")
    ],
    Op("0-d", lambda t, x: (t.exp(x), t.tanh(x), t.neg(x)), lambda rng: [np.array(0.7)]),
    Op("angles", lambda t, x: (t.deg2rad(x), t.rad2deg(x), t.positive(x)), lambda rng: [rng.standard_normal((3, 4))]),
    Op("neg", lambda t, x: (-x, t.negative(x)), lambda rng: [rng.standard_normal((3, 4))]),
    Op(
        "round",
        lambda t, x: (t.round(x), t.round(x, decimals=1), t.round(x, decimals=-1)),
        lambda rng: [rng.uniform(10.02, 14, 9)],
    ),
    Op("logit-eps", lambda t, x: t.logit(x, eps=0.1), lambda rng: [np.array([0.02, 0.2, 0.5, 0.95])]),
    Op(
        "nan_to_num",
        lambda t, x: t.nan_to_num(x, nan=2.0),
        lambda rng: [np.array([1.0, np.nan, np.inf, -np.inf])],
        grad=(),
    ),
    Op("nan_to_num-finite", lambda t, x: t.nan_to_num(x), lambda rng: [rng.standard_normal(5)]),
    Op(
        "integers",
        lambda t, i: (
            t.exp(i),
            t.sqrt(i),
            t.sin(i),
            t.sigmoid(i),
            t.abs(i),
            t.neg(i),
            t.square(i),
            t.sign(i),
            t.floor(i),
            t.reciprocal(i),
        ),
        lambda rng: [np.array([1, 2, 3])],
        tol=_SINGLE,
    ),
    Op(
        "bools",
        lambda t, b: (t.exp(b), t.square(b), t.sign(b)),
        lambda rng: [np.array([True, False])],
        tol=_SINGLE,
    ),
]
