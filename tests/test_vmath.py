"""Elementary functions of the compiled kernels: the largest error in ulp, and special values."""

import math

import numpy as np
import pytest

from nnrt import registry

pytestmark = pytest.mark.skipif("cython" not in registry.available(), reason="the extension is not built")

# name -> (largest error allowed in ulp, lowest and highest finite argument or None for all)
FUNCTIONS = {
    "exp": (2, None),
    "exp2": (2, None),
    "expm1": (2.5, None),
    "log": (2, None),
    "log2": (3, None),
    "log10": (3, None),
    "log1p": (2.5, None),
    "tanh": (4, None),
    "sigmoid": (3, None),
    "softplus": (3, None),
    "sin": (2, (-1e7, 1e7)),
    "cos": (2, (-1e7, 1e7)),
    "tan": (4, (-1e7, 1e7)),
    "asin": (3, (-1, 1)),
    "acos": (3, (-1, 1)),
    "atan": (3, None),
    "sinh": (4, None),
    "cosh": (4, None),
    "asinh": (4, None),
    "acosh": (4, None),
    "atanh": (4, (-1, 1)),
    "erf": (2.5, None),
    "erfc": (4, None),
}
NUMPY = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
}


def exact(name, x):
    """The function in higher precision than x has: float64 for float32, 80 bits for float64."""
    wide = x.astype(np.float64 if x.dtype == np.float32 else np.longdouble)
    with np.errstate(all="ignore"):
        if name == "sigmoid":
            return 1 / (1 + np.exp(-wide))
        if name == "softplus":
            return np.maximum(wide, 0) + np.log1p(np.exp(-np.abs(wide)))
        if name in ("erf", "erfc"):
            return np.array([getattr(math, name)(v) for v in x.tolist()])
        return getattr(np, NUMPY.get(name, name))(wide)


def kernels():
    from nnrt._ext import unary

    return unary


def compute(name, x):
    y = np.empty_like(x)
    if name == "softplus":
        registry.family("activation").softplus(y, x, 1.0, np.inf)
    else:
        getattr(kernels(), name)(y, x)
    return y


def arguments(dtype, limits):
    """Numbers of every exponent and sign, and where results change most: around 0 and 1."""
    rng = np.random.default_rng(3)
    info = np.finfo(dtype)
    exponents = rng.uniform(info.minexp, info.maxexp, 200_000)
    x = np.concatenate(
        [
            np.exp2(exponents),
            rng.uniform(0, 1, 50_000),
            rng.uniform(0, 20, 100_000),
            rng.uniform(20, 800, 50_000),
        ]
    )
    x = np.concatenate([x, -x]).astype(dtype)
    if limits is not None:
        x = x[(x >= limits[0]) & (x <= limits[1])]
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_error_in_ulp(name, dtype):
    if dtype == np.float64 and np.finfo(np.longdouble).nmant < 63 and name not in ("erf", "erfc"):
        pytest.skip("no wider type to compare with here")
    largest, limits = FUNCTIONS[name]
    x = arguments(dtype, limits)
    if dtype == np.float64 and name in ("erf", "erfc"):
        x = x[::5]
        largest += 1  # libm's own error
    got, want = compute(name, x), exact(name, x)
    tiny = np.finfo(dtype).tiny
    with np.errstate(over="ignore"):
        rounded = want.astype(dtype)
    # Denormal results may be flushed, and a result next to the largest number may round to infinity.
    normal = np.isfinite(rounded) & (np.abs(want) >= tiny)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(rounded))
    infinite = np.isinf(rounded)
    np.testing.assert_array_equal(got[infinite], rounded[infinite])
    assert (np.abs(got[~normal & ~infinite & ~np.isnan(rounded)]) <= tiny).all()
    ulp = np.spacing(np.abs(rounded[normal])).astype(want.dtype)
    error = np.abs(got[normal].astype(want.dtype) - want[normal]) / ulp
    worst = error.argmax()
    assert error[worst] <= largest, f"{error[worst]:.2f} ulp at {x[normal][worst]!r}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_gamma_functions(dtype):
    """lgamma and its derivatives are computed in double; libm and numpy's recurrences know what they should be."""
    from nnrt._ref import unary as ref

    x = arguments(dtype, (-150, 1e30))[::20]
    wide = x.astype(np.float64)
    one = np.ones_like(wide)
    got, want = {}, {}
    for name in ("lgamma", "digamma", "digamma_backward"):
        got[name], want[name] = np.empty_like(x), np.empty_like(wide)
    for y, table, v, dy in ((got, kernels(), x, np.ones_like(x)), (want, ref, wide, one)):
        table.lgamma(y["lgamma"], v)
        table.digamma(y["digamma"], v)
        table.digamma_backward(y["digamma_backward"], dy, v)
    for name, y in got.items():
        finite = np.abs(want[name]) < np.finfo(dtype).max
        np.testing.assert_array_equal(np.isfinite(y), finite)
        # Terms of this size are added up; libm's own lgamma knows no more near its zeros.
        size = np.maximum(np.abs(want[name]), 0.5 if name == "lgamma" else 1)
        size = np.where(x < 0, np.maximum(size, 1 + np.abs(wide) * np.log1p(np.abs(wide))), size)
        error = np.abs(y[finite] - want[name][finite]) / np.spacing(size[finite].astype(dtype))
        largest = 0.51 if dtype == np.float32 else 40
        worst = error.argmax()
        assert error[worst] <= largest, f"{name}: {error[worst]:.2f} ulp at {x[finite][worst]!r}"
    # At its zeros: log gamma(1 + e) = -gamma e + zeta(2) e^2 / 2 - zeta(3) e^3 / 3 + ...
    e = np.ldexp(np.float64(1), -np.arange(9, np.finfo(dtype).nmant - 1))
    e = np.concatenate([e, -e])
    series = (1.017343061984449 / 6, -1.036927755143370 / 5, 1.082323233711138 / 4, -1.202056903159594 / 3)
    value = e * np.polyval((*series, 1.644934066848226 / 2, -0.577215664901533), e)
    for at, exact_value in ((1 + e, value), (2 + e, value + np.log1p(e))):
        np.testing.assert_allclose(compute("lgamma", at.astype(dtype)), exact_value, rtol=8 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_erfinv(dtype):
    """By erf and erfc of what it gives, whichever does not cancel."""
    x = arguments(dtype, (-1, 1))
    ends = 1 - np.ldexp(dtype(1), -np.arange(1, np.finfo(dtype).nmant))
    x = np.concatenate([x[np.abs(x) >= 2 * np.finfo(dtype).tiny][::10], ends])
    y = compute("erfinv", x)
    wide = x.astype(np.float64)
    near = np.array([math.erf(v) - w for v, w in zip(y.tolist(), wide.tolist())])
    far = np.array([(1 - abs(w)) - math.erfc(abs(v)) for v, w in zip(y.tolist(), wide.tolist())])
    slope = 2 / math.sqrt(math.pi) * np.exp(-y.astype(np.float64) ** 2)
    error = np.abs(np.where(np.abs(wide) < 0.5, near, far)) / slope / np.spacing(np.abs(y))
    inside = np.abs(x) < 1
    worst = error[inside].argmax()
    assert error[inside][worst] <= (0.51 if dtype == np.float32 else 4), f"{error[inside][worst]:.2f} ulp at {x[inside][worst]!r}"


SPECIAL = {
    "softplus": [(np.inf, np.inf), (-np.inf, 0)],
    "exp": [(np.inf, np.inf), (-np.inf, 0), (0, 1)],
    "expm1": [(np.inf, np.inf), (-np.inf, -1), (-0.0, -0.0)],
    "log": [(0.0, -np.inf), (-0.0, -np.inf), (-1, np.nan), (np.inf, np.inf), (1, 0), (-np.inf, np.nan)],
    "log1p": [(-1, -np.inf), (-2, np.nan), (np.inf, np.inf), (-0.0, -0.0)],
    "log2": [(8, 3), (0.0, -np.inf), (np.inf, np.inf)],
    "log10": [(0.0, -np.inf), (np.inf, np.inf)],
    "tanh": [(np.inf, 1), (-np.inf, -1), (-0.0, -0.0)],
    "sigmoid": [(np.inf, 1), (-np.inf, 0), (0, 0.5)],
    "sin": [(-0.0, -0.0), (np.inf, np.nan), (-np.inf, np.nan)],
    "cos": [(0, 1), (np.inf, np.nan)],
    "tan": [(-0.0, -0.0)],
    "asin": [(2, np.nan), (-0.0, -0.0)],
    "acos": [(1, 0), (-1.5, np.nan)],
    "atan": [(-0.0, -0.0)],
    "sinh": [(-np.inf, -np.inf), (-0.0, -0.0)],
    "cosh": [(-np.inf, np.inf), (0, 1)],
    "asinh": [(-np.inf, -np.inf), (-0.0, -0.0)],
    "acosh": [(1, 0), (0.5, np.nan), (-3, np.nan), (np.inf, np.inf)],
    "atanh": [(1, np.inf), (-1, -np.inf), (2, np.nan)],
    "erf": [(np.inf, 1), (-np.inf, -1), (-0.0, -0.0)],
    "erfc": [(np.inf, 0), (-np.inf, 2), (0, 1)],
    "erfinv": [(1, np.inf), (-1, -np.inf), (1.5, np.nan), (-0.0, -0.0)],
    "lgamma": [(0.0, np.inf), (-0.0, np.inf), (-3, np.inf), (1, 0), (2, 0), (np.inf, np.inf), (-np.inf, np.inf)],
    "digamma": [(0.0, -np.inf), (-0.0, np.inf), (-3, np.nan), (np.inf, np.inf), (-np.inf, np.nan)],
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", SPECIAL)
def test_special_values(name, dtype):
    pairs = [*SPECIAL[name], (np.nan, np.nan)]
    x, want = np.array(pairs, dtype).T.copy()
    got = compute(name, x)
    np.testing.assert_array_equal(got, want)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_slopes_keep_their_accuracy_where_a_difference_would_cancel(dtype):
    few = 64 * np.finfo(dtype).eps
    x = np.geomspace(1e-2, 0.9, 500).astype(dtype)
    p = np.longdouble("3.14159265358979323846") * x.astype(np.longdouble)
    dx = np.empty_like(x)
    registry.family("unary").sinc_backward(dx, np.ones_like(x), x)
    np.testing.assert_allclose(dx, np.pi * (p * np.cos(p) - np.sin(p)) / p**2, rtol=few)
    x = np.concatenate([-x, x, np.linspace(-80, 80, 500)]).astype(dtype)
    one, da, db = np.ones_like(x), np.empty_like(x), np.empty_like(x)
    registry.family("activation").glu_backward(da, db, one, one, x)
    z = np.exp(-np.abs(x.astype(np.longdouble)))
    np.testing.assert_allclose(db, z / (1 + z) ** 2, rtol=few)
