"""Arithmetic: kinds of broadcasting, sizes around a vector and a task, ties and the edges of pow."""

import numpy as np

from tests.cases import Kernel, Op, Output, around

TASK = 16384
PAIRS = [
    "add",
    "sub",
    "mul",
    "div",
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "pow",
    "atan2",
    "hypot",
    "fmod",
    "remainder",
    "floor_divide",
    "trunc_divide",
    "logaddexp",
    "xlogy",
    "heaviside",
    "copysign",
    "nextafter",
]
HOT = ["add", "sub", "mul", "div", "maximum", "pow"]
# output's shape, and the inputs': what a kernel's broadcasting has to tell apart
LAYOUTS = [
    ((3, 5), (3, 5), (5,)),
    ((3, 5), (3, 1), (3, 5)),
    ((3, 5), (3, 1), (1, 5)),
    ((3, 5), (), (3, 5)),
    ((2, 3, 4, 5), (3, 1, 1), (2, 3, 4, 5)),
    ((2, 3, 4, 5), (2, 1, 4, 1), (1, 3, 1, 5)),
    ((0, 3), (0, 3), (3,)),
    ((), (), ()),
    ((70, 3), (70, 3), (3,)),
    ((3, 70), (3, 70), (3, 1)),
    ((200, 301), (200, 301), (301,)),
]
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, -0.5, 1e30, -1e30, 7.5]


def _values(rng, dtype, *shape):
    return np.asarray(rng.standard_normal(shape) * 3, dtype)


def _operands(name, rng, dtype, *shapes):
    made = [_values(rng, dtype, *s) for s in shapes]
    if name == "pow":
        made[0] = np.abs(made[0]) + dtype(0.1)
    if name == "xlogy":
        made[-1] = np.abs(made[-1])
    return made


def _tol(name):
    # pow and its like carry the rounding of their arguments' logarithms
    return {"float32": (2e-5, 1e-6), "float64": (1e-12, 1e-13)}


def _kernels():
    for name in PAIRS:
        full = name in HOT
        for n in [*around(16), *([TASK + 5, 2 * TASK + 3] if full else [])]:
            yield Kernel(
                f"elementwise.{name}",
                str(n),
                lambda rng, dtype, k=name, n=n: [Output((n,)), *_operands(k, rng, dtype, (n,), (n,))],
                _tol(name),
            )
        for out, a, b in LAYOUTS if full else LAYOUTS[:5]:
            yield Kernel(
                f"elementwise.{name}",
                f"{out}-{a}-{b}",
                lambda rng, dtype, k=name, o=out, a=a, b=b: [Output(o), *_operands(k, rng, dtype, a, b)],
                _tol(name),
            )
        yield Kernel(
            f"elementwise.{name}",
            "permuted",
            lambda rng, dtype, k=name: [
                Output((2, 5, 3), axes=(0, 2, 1)),
                _operands(k, rng, dtype, (3, 5, 2))[0].T[:, ::-1],
                _operands(k, rng, dtype, (1,), (5, 3))[1],
            ],
            _tol(name),
        )
        grid = np.array([(a, b) for a in SPECIAL for b in SPECIAL])
        yield Kernel(
            f"elementwise.{name}",
            "special",
            lambda rng, dtype, g=grid: [Output((len(g),)), g[:, 0].astype(dtype), g[:, 1].astype(dtype)],
            _tol(name),
        )
        if name in ("add", "sub", "mul", "div", "pow", "maximum"):
            yield Kernel(
                f"elementwise.{name}",
                "number-right",
                lambda rng, dtype, k=name: [Output((3, 7)), *_operands(k, rng, dtype, (3, 7)), 1.7],
                _tol(name),
            )
            yield Kernel(
                f"elementwise.{name}",
                "number-left",
                lambda rng, dtype, k=name: [Output((3, 7)), 1.7, _values(rng, dtype, 3, 7)],
                _tol(name),
            )
    for name in [
        "div_backward",
        "pow_backward",
        "maximum_backward",
        "minimum_backward",
        "atan2_backward",
        "hypot_backward",
        "logaddexp_backward",
        "xlogy_backward",
    ]:
        for shape_a, shape_b in [((3, 5), (3, 5)), ((3, 5), (5,)), ((3, 1), (3, 5)), ((33,), (33,))]:
            yield Kernel(
                f"elementwise.{name}",
                f"{shape_a}-{shape_b}",
                lambda rng, dtype, k=name, a=shape_a, b=shape_b: [
                    Output(np.broadcast_shapes(a, b)),
                    _values(rng, dtype, *np.broadcast_shapes(a, b)),
                    np.abs(_values(rng, dtype, *a)),
                    np.abs(_values(rng, dtype, *b)) + dtype(0.1),
                ],
                _tol(name),
            )
    for n in [*around(16), TASK + 5, 4 * TASK + 3]:
        yield Kernel(
            "elementwise.mul_backward",
            str(n),
            lambda rng, dtype, n=n: [Output((n,)), Output((n,)), *[_values(rng, dtype, n) for _ in range(3)]],
        )
    for out, a, b in LAYOUTS:
        yield Kernel(
            "elementwise.mul_backward",
            f"{out}-{a}-{b}",
            lambda rng, dtype, shapes=(out, a, b): [
                *[Output(shapes[0])] * 2,
                *[_values(rng, dtype, *shape) for shape in shapes],
            ],
        )
    yield Kernel(
        "elementwise.mul_backward",
        "permuted",
        lambda rng, dtype: [
            Output((2, 5, 3), axes=(0, 2, 1)),
            Output((2, 5, 3)),
            _values(rng, dtype, 3, 5, 2).T[:, ::-1],
            _values(rng, dtype, 5, 3),
            _values(rng, dtype, 2, 5, 6)[:, :, ::2],
        ],
    )
    yield Kernel(
        "elementwise.pow_backward_exponent",
        "zeros",
        lambda rng, dtype: [
            Output((4, 6)),
            _values(rng, dtype, 4, 6),
            np.array([[0], [1], [2.5], [0.3]], dtype),
            np.array([0, 1, -1, 2, 0.5, -0.5], dtype),
            np.abs(_values(rng, dtype, 4, 6)),
        ],
    )
    for n in [*around(16), TASK + 5]:
        yield Kernel(
            "elementwise.neg", str(n), lambda rng, dtype, n=n: [Output((n,)), _values(rng, dtype, n)]
        )
        yield Kernel(
            "elementwise.axpy",
            str(n),
            lambda rng, dtype, n=n: [Output((n,)), *_values(rng, dtype, 2, n), 0.3],
        )
        yield Kernel(
            "elementwise.where",
            str(n),
            lambda rng, dtype, n=n: [Output((n,)), rng.random(n) < 0.5, *_values(rng, dtype, 2, n)],
        )
    yield Kernel(
        "elementwise.where",
        "broadcast",
        lambda rng, dtype: [Output((3, 5)), rng.random((3, 1)) < 0.5, _values(rng, dtype, 5), -2.5],
    )
    for w in [(), (5,), (3, 1)]:
        yield Kernel(
            "elementwise.lerp",
            f"w{w}",
            lambda rng, dtype, w=w: [Output((3, 5)), *_values(rng, dtype, 2, 3, 5), _values(rng, dtype, *w)],
        )
    for name in ["addcmul", "addcdiv"]:
        yield Kernel(
            f"elementwise.{name}",
            "broadcast",
            lambda rng, dtype: [
                Output((3, 5)),
                _values(rng, dtype, 3, 5),
                _values(rng, dtype, 5),
                _values(rng, dtype, 3, 1),
                0.4,
            ],
        )
    for lo, hi in [(-1.0, 1.0), (2.0, -2.0), (-np.inf, 0.5)]:
        yield Kernel(
            "elementwise.clamp",
            f"{lo}-{hi}",
            lambda rng, dtype, lo=lo, hi=hi: [
                Output((21,)),
                np.r_[_values(rng, dtype, 16), SPECIAL[:5]].astype(dtype),
                lo,
                hi,
            ],
        )
        for name in ["clamp_backward", "clamp_backward_lo", "clamp_backward_hi"]:
            yield Kernel(
                f"elementwise.{name}",
                f"{lo}-{hi}",
                lambda rng, dtype, lo=lo, hi=hi: [Output((19,)), *_values(rng, dtype, 2, 19), lo, hi],
            )
    yield Kernel(
        "elementwise.clamp",
        "arrays",
        lambda rng, dtype: [
            Output((3, 5)),
            _values(rng, dtype, 3, 5),
            _values(rng, dtype, 5),
            _values(rng, dtype, 3, 1),
        ],
    )
    for shape, to in [
        ((7, 5), (5,)),
        ((7, 5), (7, 1)),
        ((7, 5), ()),
        ((7, 5), (1, 1)),
        ((2, 3, 4, 5), (3, 1, 1)),
        ((2, 3, 4, 5), (2, 1, 4, 1)),
        ((2, 3, 4, 5), (1, 3, 1, 5)),
        ((0, 5), (5,)),
        ((5, 0), (5, 1)),
        ((1000, 130), (130,)),
        ((130, 1000), (130, 1)),
        ((3, 40000), ()),
        ((40000, 3), (3,)),
        ((2, 3, 9000), (3, 1)),
        ((5,), (1,)),
        ((), ()),
        ((1, 1), (1,)),
        ((5, 2100), (2100,)),
    ]:
        yield Kernel(
            "elementwise.sum_to",
            f"{shape}-{to}",
            lambda rng, dtype, s=shape, to=to: [Output(to), _values(rng, dtype, *s)],
            {"float32": (1e-5, 1e-4), "float64": (1e-12, 1e-11)},
        )
    for shape, to in [((7, 5), (5,)), ((7, 5), (7, 1)), ((2, 3, 40), (3, 1)), ((3, 40000), ()), ((2, 3, 4), (1, 3, 1))]:
        yield Kernel(
            "elementwise.mul_sum_to",
            f"{shape}-{to}",
            lambda rng, dtype, s=shape, to=to: [Output(to), _values(rng, dtype, *s), _values(rng, dtype, *s)],
            {"float32": (1e-5, 1e-3), "float64": (1e-12, 1e-10)},
        )
    yield Kernel(
        "elementwise.sum_to",
        "channels-last",
        lambda rng, dtype: [Output((6, 1, 1)), _values(rng, dtype, 2, 7, 5, 6).transpose(0, 3, 1, 2)],
        {"float32": (1e-5, 1e-5), "float64": (1e-12, 1e-12)},
    )
    yield Kernel(
        "elementwise.sum_to",
        "gaps",
        lambda rng, dtype: [Output((4,)), np.broadcast_to(_values(rng, dtype, 6)[::2, None], (3, 4))],
        {"float32": (1e-5, 1e-5), "float64": (1e-12, 1e-12)},
    )


KERNELS = list(_kernels())


def _two(a, b):
    return lambda rng: [np.asarray(rng.standard_normal(a)), np.asarray(rng.standard_normal(b))]


def _positive(*shapes):
    return lambda rng: [np.asarray(np.abs(rng.standard_normal(s)) + 0.2) for s in shapes]


_BROADCASTS = [
    ((3, 5), (3, 5)),
    ((3, 5), (5,)),
    ((3, 1), (1, 5)),
    ((2, 3, 4), ()),
    ((0, 3), (3,)),
    ((1,), ()),
    ((4, 1, 2), (3, 1)),
]
# integers become float32 whatever the case's dtype
SINGLE = {"float32": (2e-6, 1e-7), "float64": (2e-6, 1e-7)}
_TIES = np.array([1.0, 2.0, 2.0, -1.0, 0.0, 3.0])
_TIES_2 = np.array([1.0, -2.0, 2.0, -1.0, 1.0, 4.0])

OPS = [
    *[
        Op(f"{name}-{a}-{b}", lambda t, x, y, name=name: getattr(t, name)(x, y), _two(a, b))
        for name in ["add", "sub", "mul", "maximum", "minimum", "fmax", "fmin", "atan2", "hypot", "logaddexp", "logaddexp2"]
        for a, b in (_BROADCASTS if name in ("add", "sub", "mul") else _BROADCASTS[:4])
    ],
    *[
        Op(f"{name}-{a}-{b}", lambda t, x, y, name=name: getattr(t, name)(x, y), _positive(a, b))
        for name in ["div", "pow", "xlogy"]
        for a, b in _BROADCASTS
    ],
    Op("copysign", lambda t, x, y: t.copysign(x, y), _two((3, 1), (3, 5))),
    Op("copysign-zeros", lambda t, x: (t.copysign(x, -1.0), t.copysign(x, x)), lambda rng: [np.array([0.0, -0.0, 2.0])], grad=()),
    Op("ldexp", lambda t, x: t.ldexp(x, t.tensor([1, 0, 3])), lambda rng: [rng.standard_normal((2, 3))]),
    Op("nextafter", lambda t, x, y: t.nextafter(x.detach(), y.detach()), _two((3, 1), (3, 5)), grad=()),
    *[
        Op(name, lambda t, x, y, name=name: getattr(t, name)(x, y), lambda rng: [rng.integers(-9, 9, (4, 1)), rng.integers(-9, 9, 5)])
        for name in ["gcd", "lcm"]
    ],
    Op("logaddexp2-inf", lambda t, x: t.logaddexp2(x, x), lambda rng: [np.array([np.inf, -np.inf, 1.0])], grad=()),
    Op("add-alpha", lambda t, x, y: t.add(x, y, alpha=0.3), _two((3, 5), (5,))),
    Op("sub-alpha", lambda t, x, y: t.sub(x, y, alpha=-2), _two((3, 1), (3, 5))),
    Op("rsub", lambda t, x, y: t.rsub(x, y), _two((3, 1), (3, 5))),
    Op("operators", lambda t, x, y: (2 - x * 3 + 1 / y) / (y + 4) - (-x) * 0.5, _positive((3, 4), (4,))),
    Op("powers", lambda t, x: (x**2, x**0.5, x**-1, x**3, x**-1.5, 2.0**x, x**0, x**1), _positive((3, 4))),
    Op("pow-negative-base", lambda t, x: (x**3, x**2, x**-3), lambda rng: [np.array([-1.5, -0.3, 2.0])]),
    Op(
        "pow-zero",
        lambda t, x, y: t.pow(x, y),
        lambda rng: [np.array([0.0, 0.0, 2.0]), np.array([0.0, 2.0, 0.0])],
        grad=(),
    ),
    Op(
        "pow-ints",
        lambda t, x: (x**2, x**2.5, 2**x, t.pow(x, x)),
        lambda rng: [np.array([1, 2, 3])],
        tol=SINGLE,
    ),
    Op(
        "fmod",
        lambda t, x, y: t.fmod(x, y),
        lambda rng: [rng.uniform(3, 5, (3, 4)), rng.uniform(1.1, 1.4, 4)],
    ),
    Op(
        "remainder",
        lambda t, x, y: t.remainder(x, y),
        lambda rng: [-rng.uniform(3.0, 3.2, (3, 4)), rng.uniform(1.2, 1.4, 4)],
    ),
    Op(
        "fmod-number",
        lambda t, x: (t.fmod(x, 1.5), t.remainder(x, -1.5)),
        lambda rng: [rng.uniform(3.1, 4.3, 5)],
    ),
    Op("floor_divide", lambda t, x, y: t.floor_divide(x, y), _two((3, 4), (4,)), grad=()),
    Op(
        "div-floor",
        lambda t, x, y: t.div(x, y, rounding_mode="floor"),
        lambda rng: [rng.uniform(3.1, 3.9, 5), np.ones(5)],
    ),
    Op(
        "div-trunc",
        lambda t, x, y: t.div(x, y, rounding_mode="trunc"),
        lambda rng: [-rng.uniform(3.1, 3.9, 5), np.ones(5) * 0.999],
    ),
    Op(
        "div-ints",
        lambda t, x, y: (
            x / y,
            x // y,
            x % y,
            t.fmod(x, y),
            t.div(x, y, rounding_mode="trunc"),
            x / 2,
            3 / x,
        ),
        lambda rng: [np.array([7, -7, 7, -7, 6]), np.array([2, 2, -2, -2, 3])],
        tol=SINGLE,
    ),
    Op(
        "heaviside",
        lambda t, x, y: t.heaviside(x, y),
        lambda rng: [np.array([-1.0, 0.0, 2.0, np.nan]), np.array(0.5)],
        grad=(),
    ),
    Op("lerp", lambda t, x, y, w: t.lerp(x, y, w), lambda rng: list(rng.standard_normal((3, 3, 4)))),
    Op("lerp-number", lambda t, x, y: (t.lerp(x, y, 0.3), t.lerp(x, y, 0.8)), _two((3, 4), (4,))),
    Op(
        "addcmul",
        lambda t, x, y, z: t.addcmul(x, y, z, value=0.3),
        lambda rng: [rng.standard_normal((3, 4)), rng.standard_normal(4), rng.standard_normal((3, 1))],
    ),
    Op("addcdiv", lambda t, x, y, z: t.addcdiv(x, y, z, value=-0.3), _positive((3, 4), (4,), (3, 1))),
    Op(
        "where",
        lambda t, c, x, y: t.where(c, x, y),
        lambda rng: [rng.random((3, 4)) < 0.5, rng.standard_normal((3, 1)), rng.standard_normal(4)],
    ),
    Op(
        "where-numbers",
        lambda t, x: (t.where(x > 0, x, 0.0), t.where(x > 0, 1, x)),
        lambda rng: [rng.standard_normal((3, 4))],
    ),
    Op(
        "clamp",
        lambda t, x: (t.clamp(x, -0.5, 0.7), t.clamp(x, min=0.1), t.clip(x, max=0.2)),
        lambda rng: [rng.standard_normal(20)],
    ),
    Op(
        "clamp-tensors",
        lambda t, x, lo, hi: (t.clamp(x, lo, hi), t.clamp(x, lo), t.clamp(x, max=hi)),
        lambda rng: [
            rng.standard_normal((4, 5)),
            rng.standard_normal(5) - 0.5,
            rng.standard_normal((4, 1)) + 0.5,
        ],
    ),
    Op(
        "clamp-ints",
        lambda t, x: (t.clamp(x, 2, 4), t.clamp(x, min=3), t.clamp(x, 1.5)),
        lambda rng: [np.arange(6)],
    ),
    # gradients at ties, held against torch alone: there is no derivative to check
    Op(
        "mixed-dtypes",
        lambda t, x, i: (x + i, i * x, x / i, i - 1.5, i + True, i * 2, i / i),
        lambda rng: [rng.standard_normal(3), np.array([1, 2, 3])],
        tol=SINGLE,
    ),
    Op("scalars-are-weak", lambda t, x, y: (x + y, y * x), lambda rng: [rng.standard_normal(3), np.array(2)]),
]
