"""Softmax: rows around a vector and a run, columns in one block and in several, -inf, NaN, large offsets."""

import numpy as np

from tests.cases import Kernel, Op, Output, around

CUBES = [
    *[(3, n, 1) for n in [*around(16), 31, 32, 33, 1000, 8192 + 7]],
    *[(2, n, 3) for n in [1, 7, 300]],
    (3, 10, 257),
    (2, 700, 40),
    (2, 3000, 20),
    (300, 4, 2),
    (0, 3, 2),
    (2, 3, 0),
]
TOL = {"float32": (2e-5, 1e-6), "float64": (1e-12, 1e-13)}


def _x(rng, dtype, *c):
    return (3 * rng.standard_normal(c) + 50).astype(dtype)


def _special(rng, dtype, *c):
    x = _x(rng, dtype, *c)
    x[rng.random(c) < 0.3] = -np.inf
    if x.size:
        x[0] = -np.inf
        x[-1].flat[0] = np.nan
        x[-1].flat[-1] = np.inf
        x[len(x) // 2].flat[-1] = np.inf
    return x


def _forward(name, make, label, out=lambda c: c):
    return [
        Kernel(
            f"softmax.{name}",
            f"{'x'.join(map(str, c))}{label}",
            lambda rng, dtype, c=c: [Output(out(c)), make(rng, dtype, *c), *c],
            tol=TOL,
        )
        for c in CUBES
    ]


def _backward(name, second):
    def case(c):
        def args(rng, dtype):
            dy = rng.standard_normal(c).astype(dtype)
            return [Output(c), dy, second(rng, c).astype(dtype), *c]

        return Kernel(f"softmax.{name}", "x".join(map(str, c)), args, tol={**TOL, "float32": (1e-4, 1e-5)})

    return [case(c) for c in CUBES]


def _probabilities(rng, c):
    p = rng.random(c) + 0.01
    return p / p.sum(axis=1, keepdims=True)


def _lse_backward(c):
    def args(rng, dtype):
        x = rng.standard_normal(c).astype(dtype)
        y = np.log(np.exp(x).sum(axis=1)) if c[1] else np.zeros((c[0], c[2]), dtype)
        return [Output(c), rng.standard_normal((c[0], c[2])).astype(dtype), x, y.astype(dtype), *c]

    return Kernel("softmax.logsumexp_backward", "x".join(map(str, c)), args, tol=TOL)


KERNELS = [
    *_forward("softmax", _x, ""),
    *_forward("softmax", _special, "-special"),
    *_forward("log_softmax", _x, ""),
    *_forward("log_softmax", _special, "-special"),
    *_forward("logsumexp", _x, "", lambda c: (c[0], c[2])),
    *_forward("logsumexp", _special, "-special", lambda c: (c[0], c[2])),
    *_backward("softmax_backward", _probabilities),
    *_backward("log_softmax_backward", lambda rng, c: np.log(_probabilities(rng, c))),
    *[_lse_backward(c) for c in CUBES],
]


def normal(*shape):
    return lambda rng: [rng.standard_normal(shape)]


inf = np.inf

OPS = [
    *[
        Op(f"{name}-{d}", lambda t, x, name=name, d=d: getattr(t, name)(x, d), normal(3, 4, 5))
        for name in ("softmax", "log_softmax")
        for d in (0, 1, 2, -1, -3)
    ],
    Op(
        "softmax-nhwc",
        lambda t, x: t.softmax(x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), 1),
        normal(2, 3, 4, 5),
    ),
    Op("softmax-0d", lambda t, x: t.softmax(x, 0), lambda rng: [np.array(2.0)]),
    Op("softmax-empty", lambda t, x: (t.softmax(x, 0), t.log_softmax(x, 1)), normal(0, 3)),
    Op("softmax-no-classes", lambda t, x: t.softmax(x, 1), normal(3, 0)),
    Op("softmax-dtype", lambda t, x: t.softmax(x, 1, dtype=t.float64), normal(3, 4)),
    Op("softmax-method", lambda t, x: x.softmax(-1) * 2 + x.log_softmax(0), normal(3, 4)),
    Op(
        "softmax-inf",
        lambda t, x: (t.softmax(x, 1), t.log_softmax(x, 1)),
        lambda rng: [np.array([[-inf, -inf], [inf, 1], [1, -inf], [1e4, 1e4]])],
        grad=(),
    ),
]
