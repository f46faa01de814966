"""Matrix products: sizes around the register tiles, every memory order, every term of the epilogue."""

import itertools

import numpy as np

from tests.cases import Kernel, Output, around

# A float32 sum of k terms of size one is off by some sqrt(k) roundings.
TOL = {"float32": (2e-5, 2e-4), "float64": (1e-12, 1e-12)}

ORDERS = ("rows", "columns", "gaps", "reversed")
# (m, n, k): around the tiles 6 x 16, 14 x 32 and half of them (float64), and one of each path:
# row times matrix, few rows, one task, strips, long sums in parts.
EDGES = [(m, n, 20) for m in around(6) + around(14) for n in around(16) + around(32)]
SHAPES = [
    *((9, 17, k) for k in (0, 1, 2, 7, 8, 9, 255, 256, 257, 600)),
    (1, 33, 700), (33, 1, 700), (1, 1, 5000), (1, 40, 9000), (3, 50, 300), (40, 70, 900), (70, 40, 900),
    (150, 130, 70), (130, 300, 260), (300, 40, 260), (20, 20, 5000), (160, 64, 64), (64, 160, 64),
    (160, 200, 2048), (290, 30, 2400), (67, 1070, 83), (40, 300, 2300),
    (160, 210, 520), (40, 600, 1100),
]  # fmt: skip


def matrix(rng, m, n, dtype, order="rows"):
    """Random m x n, row- or column-major, with gaps in both axes, or with negative strides."""
    x = rng.standard_normal((m, n)).astype(dtype)
    if order == "columns":
        return np.asfortranarray(x)
    if order == "gaps":
        wide = np.full((2 * m + 1, 3 * n + 2), 99, dtype)
        wide[1::2, 2::3] = x
        return wide[1::2, 2::3]
    if order == "reversed":
        return np.ascontiguousarray(x[::-1, ::-1])[::-1, ::-1]
    return x


def product(shape, orders=("rows", "rows", "rows"), bias=False, residual=None, alpha=1.0, beta=0.0, act=None):
    m, n, k = shape

    def args(rng, dtype):
        a, b = matrix(rng, m, k, dtype, orders[1]), matrix(rng, k, n, dtype, orders[2])
        before = rng.standard_normal((m, n)).astype(dtype) if beta else None
        c = Output((m, n), axes=(1, 0) if orders[0] == "columns" else None, keep=before)
        return [
            c, a, b,
            rng.standard_normal(n).astype(dtype) if bias else None,
            matrix(rng, m, n, dtype, residual) if residual else None,
            alpha, beta, act,
        ]  # fmt: skip

    terms = f"{'bias ' if bias else ''}{residual or ''} {alpha} {beta} {act}"
    return Kernel("linear.gemm", f"{shape} {orders} {terms}", args, TOL)


def batched(b, m, n, k, shared=None, beta=0.0):
    def args(rng, dtype):
        x, y = (rng.standard_normal(s).astype(dtype) for s in ((b, m, k), (b, k, n)))
        if shared == "a":
            x = np.broadcast_to(x[:1], x.shape)
        if shared == "b":
            y = np.broadcast_to(y[:1], y.shape)
        keep = rng.standard_normal((b, m, n)).astype(dtype) if beta else None
        return [Output((b, m, n), keep=keep), x, y.swapaxes(1, 2).copy().swapaxes(1, 2), 0.5, beta]

    return Kernel("linear.gemm_batched", f"{(b, m, n, k)} shared {shared} beta {beta}", args, TOL)


def bias_grad(m, n, order):
    return Kernel(
        "linear.bias_grad",
        f"{(m, n)} {order}",
        lambda rng, dtype: [Output((n,)), matrix(rng, m, n, dtype, order)],
        TOL,
    )


KERNELS = [
    *(product(shape) for shape in EDGES),
    *(product(shape, ("rows", "rows", order)) for shape in SHAPES for order in ("rows", "columns")),
    *(
        product((19, 37, 65), orders)
        for orders in itertools.product(("rows", "columns"), ORDERS, ORDERS)
    ),
    *(product(shape, ("rows", "columns", order)) for shape in SHAPES for order in ("rows", "columns")),
    *(
        product((13, 35, 30), bias=bias, residual=residual, alpha=alpha, beta=beta, act=act)
        for bias, residual, alpha, beta, act in itertools.product(
            (False, True), (None, "rows", "columns"), (1.0, -0.5, 0.0), (0.0, 1.0, 2.5), (None, "relu")
        )
    ),
    product((40, 300, 2300), ("rows", "rows", "rows"), True, "columns", -0.5, 1.0, "gelu"),
    *(product((24, 131, 100), ("rows", "rows", "columns"), bool(act), alpha=-0.5, act=act) for act in (None, "relu", "gelu")),
    *(
        product(shape, (order, "rows", "rows"), True, "rows", act=act)
        for shape in ((5, 7, 3), (1, 40, 300), (200, 90, 300))
        for order in ("rows", "columns")
        for act in ("relu", "gelu", "gelu_tanh", "tanh", "sigmoid", "silu", 1, 6)
    ),
    *(
        batched(*shape, shared, beta)
        for shape in ((0, 3, 3, 3), (3, 5, 6, 7), (2, 40, 50, 60), (3, 160, 40, 64))
        for shared in (None, "a", "b")
        for beta in (0.0, 1.0)
    ),
    *(
        bias_grad(m, n, order)
        for m, n in ((0, 3), (1, 1), (5, 0), (7, 33), (3000, 40), (4, 3000))
        for order in ("rows", "columns", "gaps")
    ),
]
