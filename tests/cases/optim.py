"""Optimiser steps: every option, tensors around a vector and a task, many small ones, permuted memory."""

import numpy as np

from nnrt._ref.optim import CHUNK
from tests.cases import Kernel, Output, around

# Shapes of one call, and the memory order of those that are permuted.
SETS = {
    "none": [],
    "vector": [(n,) for n in around(16)],
    "task": [(n,) for n in around(CHUNK)],
    "many": [(1 + i % 7, 3) for i in range(70)],
    "mixed": [(), (5, 0, 2), (CHUNK - 3,), (33, 7), (2 * CHUNK,), (1,)],
}
TOL = {"float32": (3e-5, 1e-6), "float64": (1e-11, 1e-13)}


def _lists(rng, dtype, shapes, kinds):
    """A list of Outputs per kind and the gradients.

    "p": any sign, "s": at least 0.1, "c": a mean whose square is below 0.1, so that s - c^2 stays
    positive, None: absent.
    """
    lists = []
    for kind in kinds:
        if kind is None:
            lists.append(None)
            continue
        made = [rng.standard_normal(s) for s in shapes]
        made = [np.abs(a) + 0.1 if kind == "s" else 0.3 * np.sin(a) if kind == "c" else a for a in made]
        lists.append([Output(s, keep=np.asarray(a, dtype)) for s, a in zip(shapes, made)])
    return [*lists, [np.asarray(rng.standard_normal(s), dtype) for s in shapes]]


def _cases(name, kinds, *options):
    """One case per set of shapes and option tuple; the last options run on permuted memory as well."""
    made = []
    for label, shapes in SETS.items():
        for number, scalars in enumerate(options):
            if number and label not in ("vector", "mixed"):
                continue

            def args(rng, dtype, shapes=shapes, scalars=scalars):
                return [*_lists(rng, dtype, shapes, kinds), *scalars]

            made.append(Kernel(f"optim.{name}", f"{label}-{'-'.join(map(str, kinds))}-{scalars}", args, TOL))

    def permuted(rng, dtype):
        lists = _lists(rng, dtype, [(4, 3, 5)], kinds)
        for outputs in lists[:-1]:
            if outputs is not None:
                outputs[0] = Output((4, 3, 5), axes=(2, 0, 1), keep=outputs[0].keep)
        order = np.empty((5, 4, 3), dtype).transpose(1, 2, 0)
        order[...] = lists[-1][0]
        return [*lists[:-1], [order], *options[-1]]

    return [*made, Kernel(f"optim.{name}", f"permuted-{'-'.join(map(str, kinds))}", permuted, TOL)]


STEPS = [
    *_cases(
        "sgd",
        ("p", None),
        (False, 0.1, 0.0, 0.0, False, 0.0, False),
        (False, 0.1, 0.0, 0.0, False, 0.01, True),
    ),
    *_cases(
        "sgd",
        ("p", "p"),
        (False, 0.1, 0.9, 0.0, False, 0.0, False),
        (True, 0.1, 0.9, 0.3, False, 0.01, False),
        (False, 0.1, 0.9, 0.3, False, 0.01, True),
        (True, 0.1, 0.9, 0.0, True, 0.0, False),
        (False, 0.1, 0.9, 0.0, True, 0.02, False),
    ),
    *_cases(
        "adam",
        ("p", "p", "s", None),
        (1, 0.1, 0.9, 0.999, 1e-8, 0.0, False, False),
        (7, 0.1, 0.8, 0.99, 1e-8, 0.1, False, True),
        (1000, 0.1, 0.9, 0.999, 1e-3, 0.1, True, False),
    ),
    *_cases(
        "adam",
        ("p", "p", "s", "s"),
        (3, 0.1, 0.9, 0.999, 1e-8, 0.0, False, False),
        (3, 0.1, 0.9, 0.999, 1e-8, 0.1, True, True),
    ),
    *_cases(
        "nadam",
        ("p", "p", "s"),
        (2, 0.45, 0.46, 0.2, 0.1, 0.9, 0.999, 1e-8, 0.0, False, False),
        (2, 0.45, 0.46, 0.2, 0.1, 0.9, 0.999, 1e-8, 0.1, False, True),
        (9, 0.45, 0.46, 0.001, 0.1, 0.9, 0.999, 1e-8, 0.1, True, False),
    ),
    *_cases(
        "radam",
        ("p", "p", "s"),
        (1, 0.1, 0.9, 0.999, 1e-8, 0.0, False, False),
        (5, 0.1, 0.9, 0.999, 1e-8, 0.1, False, True),
        (6, 0.1, 0.9, 0.999, 1e-8, 0.1, True, False),
        (60, 0.1, 0.9, 0.99, 1e-8, 0.0, False, False),
    ),
    *_cases(
        "adamax",
        ("p", "p", "s"),
        (1, 0.1, 0.9, 0.999, 1e-8, 0.0, False),
        (4, 0.1, 0.9, 0.999, 1e-2, 0.1, True),
    ),
    *_cases("adagrad", ("p", "s"), (1, 0.1, 0.0, 1e-10, 0.0, False), (4, 0.1, 0.5, 1e-2, 0.1, True)),
    *_cases("adadelta", ("p", "s", "s"), (1.0, 0.9, 1e-6, 0.0, False), (0.5, 0.8, 1e-2, 0.1, True)),
    *_cases(
        "rmsprop",
        ("p", "s", None, None),
        (0.1, 0.99, 1e-8, 0.0, 0.0, False),
        (0.1, 0.9, 1e-2, 0.1, 0.0, True),
    ),
    *_cases("rmsprop", ("p", "s", None, "p"), (0.1, 0.99, 1e-8, 0.1, 0.9, False)),
    *_cases("rmsprop", ("p", "s", "c", None), (0.1, 0.5, 1e-2, 0.1, 0.0, False)),
    *_cases("rmsprop", ("p", "s", "c", "p"), (0.1, 0.5, 1e-2, 0.0, 0.9, False)),
    *_cases("rprop", ("p", "p", "s"), (0.5, 1.2, 1e-6, 50.0, False), (0.5, 1.2, 0.4, 0.9, True)),
    *_cases("asgd", ("p", "p"), (0.1, 1.0, 1e-4, 0.0, False), (0.1, 0.2, 1e-2, 0.1, True)),
]


def _sparse(n, d, count):
    def args(rng, dtype):
        m, p = rng.standard_normal((2, n, d)).astype(dtype)
        v = np.abs(rng.standard_normal((n, d))).astype(dtype)
        rows = np.sort(rng.permutation(n)[:count]).astype(np.int64)
        values = rng.standard_normal((count, d)).astype(dtype)
        outs = [Output((n, d), keep=a) for a in (p, m, v)]
        return [*outs, rows, values, 3, 0.1, 0.9, 0.999, 1e-8, bool(n % 2)]

    return Kernel("optim.sparse_adam", f"{count}of{n}x{d}", args, TOL)


SIZES = [(1, 1, 1), (10, 17, 3), (7, 4, 0), (500, 64, 300), (6, 0, 2), (3, CHUNK + 1, 2)]
SPARSE = [_sparse(*size) for size in SIZES]


def _norm(label, order):
    def args(rng, dtype):
        grads = [np.asarray(rng.standard_normal(s), dtype) for s in SETS[label]]
        if order == 0.5:  # keeps a NaN in a place of its own
            grads = [*grads, np.array([1, np.nan], dtype)]
        pieces = sum(-(-g.size // CHUNK) for g in grads)
        return [Output((pieces,), np.float64), grads, order]

    return Kernel("optim.grad_norm", f"{label}-{order}", args, {"float32": (1e-6, 0), "float64": (1e-12, 0)})



def _in_place(name, label, *constants):
    def args(rng, dtype):
        return [_lists(rng, dtype, SETS[label], "p")[0], *constants]

    return Kernel(f"optim.{name}", label, args, TOL)


CLIP = [
    *[_norm(label, order) for label in SETS for order in (2.0, 1.0, np.inf, 3.0, 0.5)],
    *[_in_place("scale", label, 0.3) for label in SETS],
    *[_in_place("clamp", label, -0.2, 0.5) for label in SETS],
]

KERNELS = [*STEPS, *SPARSE, *CLIP]
