"""Pooling: windows of every kind, channels around a vector's width, planes of one pixel, NaN and equal values."""

import numpy as np

from nnrt._ref.pool import taps
from tests.cases import Kernel, Op, Output, around

ONES, ZEROS = (1, 1, 1), (0, 0, 0)

# id, x [N, D, H, W, C], output's size, kernel (None: adaptive), stride, padding
WINDOWS = [
    ("2x2", (2, 3, 9, 11, 80), (3, 4, 5), (1, 2, 2), (1, 2, 2), ZEROS),
    ("3x3-overlap", (2, 1, 9, 7, 40), (1, 5, 4), (1, 3, 3), (1, 2, 2), (0, 1, 1)),
    ("3x3-dense", (1, 1, 5, 6, 33), (1, 5, 6), (1, 3, 3), ONES, (0, 1, 1)),
    ("gaps", (1, 1, 9, 11, 8), (1, 3, 3), (1, 2, 1), (1, 3, 4), ZEROS),
    ("ceil", (1, 1, 8, 8, 12), (1, 4, 4), (1, 3, 3), (1, 2, 2), (0, 0, 1)),
    ("3d", (2, 4, 5, 6, 9), (2, 3, 4), (2, 3, 3), (2, 2, 2), (0, 1, 1)),
    ("whole", (1, 1, 5, 7, 70), ONES, (1, 5, 7), ONES, ZEROS),
    ("1d-long", (1, 1, 1, 3000, 3), (1, 1, 1500), (1, 1, 4), (1, 1, 2), (0, 0, 1)),
    ("1d-wide", (1, 1, 1, 400, 40), (1, 1, 398), (1, 1, 5), ONES, (0, 0, 1)),
    ("many-taps", (1, 1, 20, 20, 17), (1, 2, 2), (1, 17, 17), (1, 2, 2), ZEROS),
    ("adaptive-1", (2, 1, 9, 11, 72), ONES, None, ONES, ZEROS),
    ("adaptive-1-even", (3, 1, 9, 31, 32), ONES, None, ONES, ZEROS),
    ("adaptive-1-one", (17, 2, 9, 11, 1), ONES, None, ONES, ZEROS),
    ("adaptive-1-deep", (17, 2, 3, 4, 70), ONES, None, ONES, ZEROS),
    ("adaptive-uneven", (2, 3, 10, 7, 20), (2, 4, 3), None, ONES, ZEROS),
    ("adaptive-larger", (1, 1, 3, 2, 8), (1, 7, 5), None, ONES, ZEROS),
    ("2x2-lines", (2, 1, 7, 10, 64), (1, 3, 5), (1, 2, 2), (1, 2, 2), ZEROS),
    ("no-batch", (0, 1, 4, 4, 8), (1, 2, 2), (1, 2, 2), (1, 2, 2), ZEROS),
    *[(f"channels-{c}", (1, 1, 6, 5, c), (1, 3, 2), (1, 2, 2), (1, 2, 2), ZEROS) for n in (8, 32) for c in around(n)[1:]],
]
# id, x's shape, output's size, kernel, stride, padding, dilation
DILATED = [
    ("dilated", (2, 1, 9, 11, 33), (1, 4, 8), (1, 3, 2), (1, 2, 1), (0, 2, 0), (1, 3, 3)),
    ("dilated-3d", (1, 6, 7, 8, 8), (2, 2, 3), (2, 2, 3), (2, 2, 2), ONES, (3, 3, 2)),
    ("window-without-taps", (1, 1, 1, 1, 20), ONES, (1, 1, 2), ONES, (0, 0, 1), (1, 1, 2)),
]


def values(rng, shape, dtype, kind="normal"):
    x = rng.standard_normal(shape)
    if kind == "equal":
        x = np.round(x)
    if kind == "special":
        x[rng.random(shape) < 0.2] = np.nan
        x[rng.random(shape) < 0.4] = -np.inf
        x[rng.random(shape) < 0.1] = np.inf
    return x.astype(dtype)


def places(rng, x_shape, y_shape, kernel, dtype=np.uint8):
    return rng.integers(0, np.prod(taps(x_shape, y_shape, kernel)), y_shape).astype(dtype)


def max_cases(id, shape, size, kernel, stride, padding, dilation=ONES):
    out = (shape[0], *size, shape[4])
    named = np.uint8 if np.prod(taps(shape, out, kernel)) <= 256 else np.int32
    rest = (kernel, stride, padding, dilation)
    return [
        Kernel("pool.max_pool", id, lambda rng, dtype: [
            Output(out), Output(out, named), values(rng, shape, dtype), *rest]),
        Kernel("pool.max_pool", f"{id}-no-index", lambda rng, dtype: [Output(out), None, values(rng, shape, dtype), *rest]),
        *[
            Kernel("pool.max_pool", f"{id}-{kind}", lambda rng, dtype, kind=kind: [
                Output(out), Output(out, np.int32), values(rng, shape, dtype, kind), *rest])
            for kind in ("equal", "special")
        ],
        Kernel("pool.max_pool_backward", id, lambda rng, dtype: [
            Output(shape), values(rng, out, dtype), places(rng, shape, out, kernel, named), *rest]),
        Kernel("pool.max_index", id, lambda rng, dtype: [
            Output(out, np.int64), places_within(rng, shape, out, named, rest), shape, *rest], dtypes=(np.float32,)),
    ]  # fmt: skip


def places_within(rng, shape, out, dtype, rest):
    """Taps that lie within x."""
    from nnrt._ref.pool import max_pool

    y, at = np.empty(out), np.empty(out, dtype)
    max_pool(y, at, rng.standard_normal(shape), *rest)
    return at


def avg_cases(id, shape, size, kernel, stride, padding):
    out = (shape[0], *size, shape[4])
    tol = {"float32": (2e-5, 2e-5), "float64": (1e-12, 1e-13)}
    return [
        case
        for count, rest in (("", (True, None)), ("-inside", (False, None)), ("-divisor", (True, 3)))
        for case in (
            Kernel("pool.avg_pool", id + count, lambda rng, dtype, rest=rest: [
                Output(out), values(rng, shape, dtype), kernel, stride, padding, *rest], tol),
            Kernel("pool.avg_pool_backward", id + count, lambda rng, dtype, rest=rest: [
                Output(shape), values(rng, out, dtype), kernel, stride, padding, *rest], tol),
        )
    ]  # fmt: skip


KERNELS = [
    *[case for window in WINDOWS + DILATED for case in max_cases(*window)],
    *[case for window in WINDOWS for case in avg_cases(*window)],
    *[
        Kernel("pool.max_unpool", f"{n}x{p}x{c}", lambda rng, dtype, n=n, p=p, c=c: [
            Output((n, 3 * p, c)), values(rng, (n, p, c), dtype), rng.integers(0, 3 * p, (n, p, c))])
        for n, p, c in ((2, 12, 9), (1, 1, 1), (0, 4, 2), (3, 5, 40))
    ],
]  # fmt: skip


def op(id, fn, *shapes, **more):
    return Op(id, fn, lambda rng: [rng.standard_normal(s) for s in shapes], **more)


def F(t):
    return t.nn.functional


def fractional(id, shape, kernel, **more):
    dims = 3 if len(shape) == 5 else 2
    batch = shape[0] if len(shape) > 3 else 1
    samples = np.random.default_rng(5).random((batch, shape[-dims - 1], dims))

    def fn(t, x):
        function = getattr(F(t), f"fractional_max_pool{dims}d")
        return function(x, kernel, _random_samples=t.as_tensor(samples, dtype=x.dtype), **more)

    return op(f"fractional{dims}d{id}", fn, shape)


X1, X2, X3 = (2, 3, 11), (2, 3, 7, 9), (2, 2, 5, 6, 7)

OPS = [
    op("max1d", lambda t, x: F(t).max_pool1d(x, 3), X1),
    op("max1d-all", lambda t, x: F(t).max_pool1d(x, 3, 2, 1, 2, True), X1),
    op("max1d-unbatched", lambda t, x: F(t).max_pool1d(x, 2), (3, 8)),
    op("max2d", lambda t, x: F(t).max_pool2d(x, 2), X2),
    op("max2d-overlap", lambda t, x: F(t).max_pool2d(x, 3, 2, 1), X2),
    op("max2d-pairs", lambda t, x: F(t).max_pool2d(x, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), X2),
    op("max2d-ceil", lambda t, x: F(t).max_pool2d(x, 2, ceil_mode=True), X2),
    op("max2d-indices", lambda t, x: F(t).max_pool2d(x, 3, 2, 1, return_indices=True), X2),
    op("max2d-unbatched", lambda t, x: F(t).max_pool2d(x, 2), (3, 4, 5)),
    op("max2d-nhwc", lambda t, x: F(t).max_pool2d(x.permute(0, 3, 1, 2), 2), (2, 6, 5, 3)),
    op("max2d-no-batch", lambda t, x: F(t).max_pool2d(x, 2), (0, 3, 4, 4)),
    op("max3d", lambda t, x: F(t).max_pool3d(x, 2), X3),
    op("max3d-indices", lambda t, x: F(t).max_pool3d(x, 3, 2, 1, return_indices=True), X3),
    op("max3d-ceil", lambda t, x: F(t).max_pool3d(x, (2, 3, 2), ceil_mode=True, dilation=(1, 2, 2)), X3),
    op("adaptive-max1d", lambda t, x: F(t).adaptive_max_pool1d(x, 4), X1),
    op("adaptive-max2d", lambda t, x: F(t).adaptive_max_pool2d(x, (3, None), return_indices=True), X2),
    op("adaptive-max2d-one", lambda t, x: F(t).adaptive_max_pool2d(x, 1), X2),
    op("adaptive-max3d", lambda t, x: F(t).adaptive_max_pool3d(x, (2, 4, 3), return_indices=True), X3),
    op("avg1d", lambda t, x: F(t).avg_pool1d(x, 3), X1),
    op("avg1d-all", lambda t, x: F(t).avg_pool1d(x, 4, 2, 2, True, False), X1),
    op("avg2d", lambda t, x: F(t).avg_pool2d(x, 2), X2),
    op("avg2d-dense", lambda t, x: F(t).avg_pool2d(x, 3, 1, 1), X2),
    op("avg2d-ceil", lambda t, x: F(t).avg_pool2d(x, 3, 2, 1, ceil_mode=True), X2),
    op("avg2d-inside", lambda t, x: F(t).avg_pool2d(x, (2, 3), 2, (1, 1), count_include_pad=False), X2),
    op("avg2d-divisor", lambda t, x: F(t).avg_pool2d(x, 2, divisor_override=3), X2),
    op("avg2d-unbatched", lambda t, x: F(t).avg_pool2d(x, 2), (3, 4, 5)),
    op("avg3d", lambda t, x: F(t).avg_pool3d(x, 2), X3),
    op("avg3d-all", lambda t, x: F(t).avg_pool3d(x, 3, 2, 1, True, False, -2), X3),
    op("adaptive-avg1d", lambda t, x: F(t).adaptive_avg_pool1d(x, 4), X1),
    op("adaptive-avg2d", lambda t, x: F(t).adaptive_avg_pool2d(x, (None, 4)), X2),
    op("adaptive-avg2d-one", lambda t, x: F(t).adaptive_avg_pool2d(x, 1), X2),
    op("adaptive-avg1d-one", lambda t, x: F(t).adaptive_avg_pool1d(x, 1), X1),
    op("adaptive-avg2d-one-nhwc", lambda t, x: F(t).adaptive_avg_pool2d(x.permute(0, 3, 1, 2), (1, 1)), X2),
    op("adaptive-avg2d-one-unbatched", lambda t, x: F(t).adaptive_avg_pool2d(x[0], 1), X2),
    op("adaptive-avg3d-one", lambda t, x: F(t).adaptive_avg_pool3d(x, 1), X3),
    op("adaptive-avg2d-larger", lambda t, x: F(t).adaptive_avg_pool2d(x, (9, 11)), X2),
    op("adaptive-avg3d", lambda t, x: F(t).adaptive_avg_pool3d(x, (2, 4, 3)), X3),
    fractional("", X2, 2, output_size=(4, 5)),
    fractional("-indices", (2, 9, 11, 8), (3, 2), output_ratio=(0.6, 0.75), return_indices=True),
    fractional("-one", X2, 3, output_size=1, return_indices=True),
    fractional("-apart", X2, 1, output_size=(3, 2), return_indices=True),
    fractional("-unbatched", (3, 7, 9), 2, output_size=4, return_indices=True),
    fractional("", X3, 2, output_size=(2, 4, 3), return_indices=True),
    fractional("-ratio", X3, (1, 2, 3), output_ratio=0.5),
    op("lp1d", lambda t, x: F(t).lp_pool1d(x, 2, 3, 2), X1),
    op("lp2d", lambda t, x: F(t).lp_pool2d(x, 2, (2, 3), ceil_mode=True), X2),
    op("lp2d-fourth", lambda t, x: F(t).lp_pool2d(x, 4, 2), X2),
    op("lp3d", lambda t, x: F(t).lp_pool3d(x, 2, 2), X3),
    *[
        Op(
            id,
            lambda t, x, index, unpool=unpool, kernel=kernel, size=size: getattr(F(t), unpool)(
                x, index, kernel, output_size=size
            ),
            lambda rng, shape=shape, plane=plane: [
                rng.standard_normal(shape),
                np.stack([rng.permutation(plane)[: np.prod(shape[2:])] for _ in range(shape[0] * shape[1])]).reshape(shape),
            ],
        )
        for id, unpool, shape, kernel, size, plane in (
            ("unpool1d", "max_unpool1d", (2, 3, 4), 3, None, 12),
            ("unpool2d", "max_unpool2d", (2, 3, 3, 4), 2, None, 48),
            ("unpool2d-size", "max_unpool2d", (2, 3, 3, 4), 2, (7, 7), 49),
            ("unpool3d", "max_unpool3d", (1, 2, 2, 3, 2), 2, None, 96),
        )
    ],
]
