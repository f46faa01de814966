"""Activations: sizes around a vector and around a task, and values at the kinks."""

from tests.cases import Kernel, Op, Output, around

SIZES = [*around(16), 16384 + 5]


def _unary(name):
    return [
        Kernel(f"activation.{name}", str(n), lambda rng, dtype, n=n: [Output((n,)), rng.standard_normal(n).astype(dtype)])
        for n in SIZES
    ]


def _backward(name):
    return [
        Kernel(
            f"activation.{name}_backward",
            str(n),
            lambda rng, dtype, n=n: [Output((n,)), *rng.standard_normal((2, n)).astype(dtype)],
        )
        for n in SIZES
    ]


KERNELS = [*_unary("relu"), *_backward("relu")]

OPS = [
    Op("relu", lambda t, x: t.relu(x), lambda rng: [rng.standard_normal((3, 5))]),
]
