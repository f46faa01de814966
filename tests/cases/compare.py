"""Comparisons, logic and bits."""

import numpy as np

from tests.cases import Kernel, Op, Output

COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor"]
SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0]


def _values(rng, dtype, *shape):
    return rng.integers(-2, 3, shape).astype(dtype)


def _kernels():
    for name in COMPARISONS:
        for out, a, b in [((n,), (n,), (n,)) for n in (0, 1, 15, 16, 17, 35, 16389)] + [
            ((3, 5), (3, 5), (5,)),
            ((3, 5), (3, 1), (1, 5)),
            ((), (), ()),
            ((3, 5), (), (3, 5)),
        ]:
            yield Kernel(
                f"compare.{name}",
                f"{out}-{a}-{b}",
                lambda rng, dtype, o=out, a=a, b=b: [
                    Output(o, bool),
                    _values(rng, dtype, *a),
                    _values(rng, dtype, *b),
                ],
            )
        yield Kernel(
            f"compare.{name}",
            "number",
            lambda rng, dtype: [Output((19,), bool), _values(rng, dtype, 19), 1.0],
        )
        grid = np.array([(a, b) for a in SPECIAL for b in SPECIAL])
        yield Kernel(
            f"compare.{name}",
            "special",
            lambda rng, dtype, g=grid: [
                Output((len(g),), bool),
                g[:, 0].astype(dtype),
                g[:, 1].astype(dtype),
            ],
        )
    for name in ["isnan", "isinf", "isfinite", "logical_not"]:
        yield Kernel(
            f"compare.{name}", "special", lambda rng, dtype: [Output((7,), bool), np.array(SPECIAL, dtype)]
        )
    for equal_nan in (False, True):
        yield Kernel(
            "compare.isclose",
            str(equal_nan),
            lambda rng, dtype, e=equal_nan: [
                Output((7, 7), bool),
                np.array(SPECIAL, dtype)[:, None],
                np.array(SPECIAL, dtype),
                0.1,
                0.01,
                e,
            ],
        )


KERNELS = list(_kernels())


def _two(rng):
    return [rng.integers(-2, 3, (3, 5)).astype(float), rng.integers(-2, 3, 5).astype(float)]


def _ints(rng):
    return [rng.integers(-9, 9, (3, 5)), rng.integers(1, 5, 5)]


OPS = [
    *[Op(name, lambda t, x, y, name=name: getattr(t, name)(x, y), _two, grad=()) for name in COMPARISONS],
    Op("operators", lambda t, x, y: (x == y, x != 1, x < y, x <= 0.5, x > y, 1 >= x), _two, grad=()),
    Op(
        "with-ints",
        lambda t, x, i: (x == i, i < x, i >= 1.5),
        lambda rng: [_two(rng)[0], rng.integers(-2, 3, 5)],
        grad=(),
    ),
    Op(
        "predicates",
        lambda t, x: (t.isnan(x), t.isinf(x), t.isfinite(x), t.isposinf(x), t.isneginf(x), t.signbit(x)),
        lambda rng: [np.array(SPECIAL)],
        grad=(),
    ),
    Op(
        "predicates-ints",
        lambda t, i: (t.isnan(i), t.isinf(i), t.isfinite(i), t.logical_not(i), t.signbit(i)),
        lambda rng: [np.arange(-1, 2)],
    ),
    Op(
        "bits",
        lambda t, a, b: (
            a & b,
            a | b,
            a ^ b,
            ~a,
            a << b,
            a >> b,
            t.bitwise_and(a, 3),
            t.bitwise_left_shift(a, 70),
        ),
        _ints,
    ),
    Op(
        "bits-bool",
        lambda t, a, b: (a & b, a | b, a ^ b, ~a, a & True),
        lambda rng: [rng.random(9) < 0.5, rng.random(9) < 0.5],
    ),
    Op(
        "isclose",
        lambda t, x, y: (t.isclose(x, y, rtol=0.1), t.isclose(x, y, atol=1.0, equal_nan=True)),
        lambda rng: [
            np.array([*SPECIAL, 2.0]),
            np.array([np.nan, np.inf, np.inf, 0.01, 0.0, 1.05, -2.5, 2.0]),
        ],
        grad=(),
    ),
]
