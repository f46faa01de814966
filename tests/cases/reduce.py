"""Reductions: rows and columns around a vector, a run and a block, axes cut into parts, ties, zeros, NaN."""

import numpy as np

from tests.cases import Kernel, Op, Output, around

# [outer, n, inner]: rows; short rows read together; columns in one block and in several; parts.
CUBES = [
    *[(5, n, 1) for n in [*around(16), 63, 64, 79, 128, 300, 8192 + 5]],
    (70, 1001, 1),
    (1, 2 * 32768 + 17, 1),
    (2, 3 * 32768 + 1, 1),
    *[(2, n, 3) for n in [1, 7, 170, 171, 345, 1200]],
    (5, 9, 17),
    (2, 13, 512),
    (3, 600, 513),
    (1, 2000, 64),
    (1, 30000, 5),
    (4000, 3, 2),
    (0, 3, 2),
    (2, 3, 0),
    (40, 33, 1),
]
TOL = {"float32": (2e-5, 2e-5), "float64": (1e-11, 1e-11)}


def _x(rng, dtype, outer, n, inner):
    """Values with an offset, so that sums do not cancel."""
    return (rng.standard_normal((outer, n, inner)) + 0.5).astype(dtype)


def _reduce(name, *scalars, cubes=CUBES, make=_x):
    return [
        Kernel(
            f"reduce.{name}",
            "x".join(map(str, c)) + "".join(f"-{s}" for s in scalars),
            lambda rng, dtype, c=c: [Output((c[0], c[2])), make(rng, dtype, *c), *c, *scalars],
            tol=TOL,
        )
        for c in cubes
    ]


def _near_one(rng, dtype, *c):
    return (1 + rng.standard_normal(c) / (10 * max(c[1], 1))).astype(dtype)


def _ties(rng, dtype, *c):
    return rng.integers(-3, 4, c).astype(dtype)


def _nans(rng, dtype, *c):
    x = _ties(rng, dtype, *c)
    x[rng.random(c) < 1 / max(c[1], 1)] = np.nan
    return x


SOME = [c for c in CUBES if c[1]]


def _indexed(name, make, shape, label):
    return [
        Kernel(
            f"reduce.{name}",
            f"{'x'.join(map(str, c))}-{label}",
            lambda rng, dtype, c=c: [Output(shape(c)), Output(shape(c), np.int64), make(rng, dtype, *c), *c],
        )
        for c in SOME
    ]


def _ends(c):
    return c[0], c[2]


def _var(c, offset):
    def args(rng, dtype):
        x = _x(rng, dtype, *c) + dtype(offset)
        return [Output(_ends(c)), Output(_ends(c)), x, *c, float(max(c[1] - 1, 0))]

    return Kernel(
        "reduce.var", f"{'x'.join(map(str, c))}-{offset}", args, tol={**TOL, "float64": (1e-9, 1e-9)}
    )


def _backward(name, with_y, scalars=(), make=_x):
    """Kernels dx, dy, x, y, sizes: y of the forward, dy random."""

    def case(c):
        def args(rng, dtype):
            x = make(rng, dtype, *c)
            dy = rng.standard_normal(_ends(c)).astype(dtype)
            return [Output(c), dy, x, *([with_y(x).astype(dtype)] if with_y else []), *c, *scalars]

        return Kernel(
            f"reduce.{name}", "x".join(map(str, c)) + "".join(f"-{s}" for s in scalars), args, tol=TOL
        )

    return [case(c) for c in SOME]


def _select(outer, n, m, inner):
    def args(rng, dtype):
        index = rng.integers(0, n, (outer, m, inner))
        return [
            Output((outer, n, inner)),
            rng.standard_normal((outer, m, inner)).astype(dtype),
            index,
            outer,
            n,
            m,
            inner,
        ]

    return Kernel("reduce.select_backward", f"{outer}x{n}x{m}x{inner}", args)


def _scan(name, *scalars, make=_x):
    return [
        Kernel(
            f"reduce.{name}",
            "x".join(map(str, c)) + "".join(f"-{s}" for s in scalars),
            lambda rng, dtype, c=c: [Output(c), make(rng, dtype, *c), *c, *scalars],
            tol={"float32": (2e-5, 1e-4), "float64": (1e-11, 1e-10)},
        )
        for c in CUBES
    ]


def _scan_backward(name, full):
    def case(c):
        def args(rng, dtype):
            x = _near_one(rng, dtype, *c)
            x[rng.random(c) < 2 / max(c[1], 1)] = 0
            return [Output(c), rng.standard_normal(c if full else _ends(c)).astype(dtype), x, *c]

        return Kernel(f"reduce.{name}", "x".join(map(str, c)), args, tol={**TOL, "float32": (1e-4, 1e-4)})

    return [case(c) for c in SOME]


KERNELS = [
    *_reduce("sum", 1.0),
    *_reduce("sum", 7.0),
    *_reduce("prod", make=_near_one),
    *_reduce("amax", cubes=SOME),
    *_reduce("amin", cubes=SOME, make=_nans),
    *_reduce("norm", 1.0),
    *_reduce("norm", 2.0),
    *_reduce("norm", 3.0),
    *_indexed("max_at", _ties, _ends, "ties"),
    *_indexed("max_at", _nans, _ends, "nans"),
    *_indexed("min_at", _ties, _ends, "ties"),
    *_indexed("min_at", _nans, _ends, "nans"),
    *_indexed("cummax", _ties, lambda c: c, "ties"),
    *_indexed("cummax", _nans, lambda c: c, "nans"),
    *_indexed("cummin", _ties, lambda c: c, "ties"),
    *_indexed("cummin", _nans, lambda c: c, "nans"),
    *[_var(c, 0.0) for c in CUBES],
    *[_var(c, 1e4) for c in CUBES if c[1] > 20],
    *_backward("amax_backward", lambda x: x.max(axis=1), make=_ties),
    *_backward("amax_backward", lambda x: x.min(axis=1), make=_nans),
    *_backward("var_backward", lambda x: x.mean(axis=1), (3.0,)),
    *_backward("norm_backward", lambda x: np.abs(x).sum(axis=1), (1.0,), make=_ties),
    *_backward("norm_backward", lambda x: np.sqrt((x * x).sum(axis=1)), (2.0,)),
    _select(3, 5, 1, 1),
    _select(3, 5, 9, 4),
    _select(1, 70000, 3, 1),
    _select(2, 3, 0, 2),
    _select(40000, 3, 1, 2),
    *_scan("cumsum", False),
    *_scan("cumsum", True),
    *_scan("cumprod", make=_near_one),
    *_scan_backward("cumprod_backward", True),
    *_scan_backward("prod_backward", False),
]


def normal(*shape):
    return lambda rng: [rng.standard_normal(shape)]


def apart(*shape):
    """No two values close to each other: order statistics are smooth there."""

    def inputs(rng):
        size = int(np.prod(shape))
        return [(rng.permutation(size).reshape(shape) - size / 2) * 0.37]

    return inputs


def tied(*shape):
    return lambda rng: [rng.integers(0, 3, shape).astype(np.float64)]


def fixed(values):
    return lambda rng: [np.array(values, dtype=np.float64)]


def integers(*shape):
    return lambda rng: [rng.integers(-4, 5, shape)]


def bools(*shape):
    return lambda rng: [rng.random(shape) < 0.7]


nan, inf = np.nan, np.inf
AXES = [None, 0, 1, -1, (0, 2), (1, 2), (0, 1, 2), (-1, 0)]
X = normal(3, 4, 5)
WIDE = {"float32": (1e-4, 1e-5), "float64": (1e-10, 1e-11)}


def every(name, axes, inputs=X, label="", grad=None, **kwargs):
    """One case for each axis and keepdim."""
    return [
        Op(
            f"{name}-{axis}-{keep}{label}",
            lambda t, x, axis=axis, keep=keep: getattr(t, name)(x, dim=axis, keepdim=keep, **kwargs),
            inputs,
            grad=grad,
            tol=WIDE,
        )
        for axis in axes
        for keep in (False, True)
    ]


OPS = [
    *every("sum", AXES),
    *every("mean", AXES),
    *every("amax", [0, (0, 2), (0, 1, 2)]),
    *every("amin", [1, (1, 2), ()]),
    *every("amax", [0, (0, 2)], tied(3, 4, 5), "-ties", grad=()),
    *every("var", AXES),
    *every("std", [0, (0, 2)], correction=0),
    *every("var_mean", [None, 1, (0, 2)]),
    *every("std_mean", [None, -1]),
    *every("logsumexp", [0, 1, -1, (0, 2)]),
    *every("nansum", [None, 0], fixed([[1, nan, 3], [nan, nan, 2]])),
    *every("nanmean", [None, 0], fixed([[1, nan, 3], [nan, 5, 2]])),
    *every("max", [0, 1, -1], apart(3, 4, 5)),
    *every("min", [0, 1, -1], apart(3, 4, 5)),
    *every("prod", [0, 1, -1]),
    *every("median", [0, 1, -1], apart(3, 4, 5)),
    *every("nanmedian", [1], apart(3, 5, 2)),
    *every("mode", [0, -1], tied(4, 5), grad=()),
    *every("argmax", [None, 0, 1], tied(3, 4, 5)),
    *every("argmin", [None, 0, -1], apart(3, 4, 5)),
    Op("sum-0d", lambda t, x: t.sum(x, 0), fixed(3.0)),
    Op("sum-empty", lambda t, x: (t.sum(x), t.sum(x, 0), t.sum(x, 1)), normal(0, 3)),
    Op("sum-int", lambda t, x: t.sum(x, 1), integers(3, 4)),
    Op("sum-bool", lambda t, x: t.sum(x), bools(3, 4)),
    Op("sum-dtype", lambda t, x: t.sum(x, (0, 2), dtype=t.float64), X),
    Op("sum-method", lambda t, x: x.sum(0, keepdim=True).sum(), X),
    Op("mean-dtype", lambda t, x: t.mean(x, dtype=t.float64), X),
    Op("mean-empty", lambda t, x: t.mean(x, 0), normal(0, 3)),
    Op("mean-int", lambda t, x: t.mean(x, dtype=t.float32), integers(3, 4)),
    Op("max-all", lambda t, x: t.max(x), apart(3, 4)),
    Op("max-all-ties", lambda t, x: t.max(x), fixed([1, 3, 3, 2]), grad=()),
    Op("min-all", lambda t, x: t.min(x), apart(3, 4)),
    Op("max-int", lambda t, x: t.max(x, 1), integers(3, 4), grad=()),
    Op("max-0d", lambda t, x: t.max(x, 0), fixed(2.0)),
    Op("max-nan", lambda t, x: t.max(x, 1).values, fixed([[1, nan, 3], [4, 5, nan]]), grad=()),
    Op("amin-bool", lambda t, x: t.amin(x, 1), bools(3, 4)),
    Op("amax-nan", lambda t, x: t.amax(x, (0, 1)), fixed([[1, nan, 3]]), grad=()),
    Op("aminmax", lambda t, x: t.aminmax(x, dim=1, keepdim=True), apart(3, 4)),
    Op("aminmax-all", lambda t, x: t.aminmax(x), apart(3, 4)),
    Op("argmax-nan", lambda t, x: t.argmax(x, 1), fixed([[1, nan, 3, nan], [4, 5, 5, 0]])),
    Op("prod-all", lambda t, x: t.prod(x), normal(2, 3)),
    Op("prod-int", lambda t, x: t.prod(x, 0), integers(3, 4)),
    Op("prod-one-zero", lambda t, x: t.prod(x, 1), fixed([[1, 0, 3], [2, 4, 5]])),
    Op("prod-two-zeros", lambda t, x: t.prod(x, 1), fixed([[0, 0, 3], [2, 4, 5]])),
    Op("var-unbiased", lambda t, x: (t.var(x, unbiased=False), t.var(x, 1, unbiased=True)), X),
    Op("std-constant", lambda t, x: t.std(x, 0), fixed([[1, 2], [1, 3], [1, 4]]), grad=()),
    Op("all", lambda t, x: (t.all(x), t.all(x, 0), t.all(x, 1, keepdim=True)), bools(3, 4)),
    Op("any", lambda t, x: (t.any(x), t.any(x, 0), t.any(x, (0, 1))), integers(3, 4)),
    Op("any-nan", lambda t, x: (t.any(x, 0), t.all(x, 0)), fixed([[0, nan], [0, 1]])),
    Op("count_nonzero", lambda t, x: (t.count_nonzero(x), t.count_nonzero(x, 0)), integers(3, 4)),
    *[
        Op(
            f"norm-{p}",
            lambda t, x, p=p: (t.norm(x, p), t.norm(x, p, 1), t.norm(x, p, (0, 2), True)),
            X,
            tol=WIDE,
        )
        for p in ["fro", 1, 2, 2.5, 3, 0, inf, -inf, 0.5, -1]
    ],
    Op("norm-zero-row", lambda t, x: t.norm(x, 2, 1), fixed([[0, 0], [3, 4]]), grad=()),
    Op("norm-nuc", lambda t, x: t.norm(x, "nuc"), normal(3, 4), tol=WIDE),
    Op("logsumexp-inf", lambda t, x: t.logsumexp(x, 1), fixed([[-inf, -inf], [inf, 1], [1, -inf]]), grad=()),
    Op("logsumexp-empty", lambda t, x: t.logsumexp(x, 0), normal(0, 3)),
    *[Op(f"cumsum-{d}", lambda t, x, d=d: t.cumsum(x, d), X) for d in (0, 1, -1)],
    *[Op(f"logcumsumexp-{d}", lambda t, x, d=d: t.logcumsumexp(x, d), X, tol=WIDE) for d in (0, 1, -1)],
    Op("logcumsumexp-0d", lambda t, x: t.logcumsumexp(x, 0), fixed(3.0)),
    Op("logcumsumexp-large", lambda t, x: t.logcumsumexp(x, 0), fixed([1000.0, -1000.0, 999.0, 1001.0])),
    *[Op(f"diff-{n}-{d}", lambda t, x, n=n, d=d: t.diff(x, n, d), X) for n, d in ((0, 0), (1, -1), (2, 1), (3, 0), (9, 2))],
    Op(
        "diff-joined",
        lambda t, x, y: t.diff(x, dim=1, prepend=y, append=y),
        lambda rng: [rng.standard_normal((2, 4)), rng.standard_normal((2, 3))],
    ),
    Op("diff-bool", lambda t, x: x.diff(), lambda rng: [rng.random((3, 9)) < 0.5]),
    Op("diff-int", lambda t, x: x.diff(2), integers(5, 4)),
    Op("cumsum-int", lambda t, x: t.cumsum(x, 0), integers(5, 2)),
    Op("cumsum-0d", lambda t, x: t.cumsum(x, 0), fixed(3.0)),
    *[Op(f"cumprod-{d}", lambda t, x, d=d: t.cumprod(x, d), X, tol=WIDE) for d in (0, 1, -1)],
    Op("cumprod-zeros", lambda t, x: t.cumprod(x, 1), fixed([[2, 0, 3, 0, 5], [1, 2, 0, 4, 3]])),
    Op("cummax", lambda t, x: t.cummax(x, 1), apart(3, 4, 2)),
    Op("cummin-ties", lambda t, x: t.cummin(x, 0), tied(6, 3), grad=()),
    Op("cummax-nan", lambda t, x: t.cummax(x, 0), fixed([1, 3, 3, nan, 5, nan]), grad=()),
    Op("sort", lambda t, x: t.sort(x, 1), apart(3, 4, 2)),
    Op("sort-descending", lambda t, x: t.sort(x, 0, descending=True), apart(5, 2)),
    Op("sort-nan", lambda t, x: t.sort(x, descending=True), fixed([1, nan, 0]), grad=()),
    Op("sort-0d", lambda t, x: t.sort(x), fixed(1.0)),
    Op("argsort", lambda t, x: t.argsort(x, 0), apart(5, 2)),
    Op("sort-stable", lambda t, x: t.sort(x, dim=0, stable=True), tied(9, 2), grad=()),
    Op("msort", lambda t, x: t.msort(x), apart(5, 2)),
    Op("topk", lambda t, x: t.topk(x, 2, 1), apart(3, 40)),
    Op("topk-all", lambda t, x: t.topk(x, 4, 1), apart(3, 4)),
    Op("topk-smallest", lambda t, x: t.topk(x, 3, 0, largest=False), apart(20, 2)),
    Op("topk-zero", lambda t, x: t.topk(x, 0), apart(3, 4)),
    Op("topk-nan", lambda t, x: t.topk(x, 2), fixed([1, nan, 0]), grad=()),
    Op("kthvalue", lambda t, x: t.kthvalue(x, 2, 0), apart(5, 3)),
    Op("kthvalue-keepdim", lambda t, x: t.kthvalue(x, 4, 1, True), apart(3, 4)),
    Op("median-all", lambda t, x: t.median(x), apart(3, 4)),
    Op(
        "median-nan",
        lambda t, x: (t.median(x), t.median(x, 1).values, t.nanmedian(x)),
        fixed([[1, nan, 3, nan, 2]]),
        grad=(),
    ),
    Op(
        "nanmedian-nan",
        lambda t, x: t.nanmedian(x, 1),
        fixed([[1, nan, 3, nan, 2], [3, nan, 1, 2, 0]]),
        grad=(),
    ),
    *[
        Op(
            f"quantile-{how}",
            lambda t, x, how=how: (
                t.quantile(x, 0.3, 1, interpolation=how),
                t.quantile(x, 0.75, 0, True, interpolation=how),
                t.quantile(x, 0.4, interpolation=how),
            ),
            apart(4, 5),
        )
        for how in ["linear", "lower", "higher", "midpoint", "nearest"]
    ],
    Op(
        "quantile-several",
        lambda t, x, q: t.quantile(x, q, 1, keepdim=True),
        lambda rng: [*apart(4, 5)(rng), np.array([0, 0.5, 1])],
        grad=(0,),
    ),
    Op("quantile-nan", lambda t, x: t.quantile(x, 0.5, 1), fixed([[1, nan, 3], [1, 2, 4]]), grad=()),
    Op("nanquantile", lambda t, x: t.nanquantile(x, 0.4, 1), fixed([[1, nan, 3, 7], [1, 2, 4, 9]]), grad=()),
    Op("unique", lambda t, x: t.unique(x, return_inverse=True, return_counts=True), integers(4, 5)),
    Op("unique-dim", lambda t, x: t.unique(x, dim=0), lambda rng: [np.array([[2, 1], [1, 3], [2, 1]])]),
    Op(
        "unique_consecutive",
        lambda t, x: t.unique_consecutive(x, return_inverse=True, return_counts=True),
        lambda rng: [np.array([1, 1, 2, 2, 2, 1, 3])],
    ),
    Op("unique_consecutive-empty", lambda t, x: t.unique_consecutive(x, dim=1), lambda rng: [np.zeros((2, 0, 3))], grad=()),
    Op("histc", lambda t, x: (t.histc(x, 4), t.histc(x, 5, -1, 1)), normal(30), grad=()),
    Op(
        "bincount",
        lambda t, x: (t.bincount(x), t.bincount(x, minlength=9)),
        lambda rng: [rng.integers(0, 6, 20)],
    ),
    Op(
        "bincount-weights",
        lambda t, x, w: t.bincount(x, w),
        lambda rng: [rng.integers(0, 6, 20), rng.standard_normal(20)],
        grad=(),
    ),
]
