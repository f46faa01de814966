"""What the cases of a family look like; tests and benchmarks share them.

A family's file defines two lists:

KERNELS of Kernel: one call of a kernel, held against nnrt._ref on every back-end by
    tests/test_kernels.py, with outputs pre-filled with NaN and inputs compared before and after.
OPS of Op: one use of the public API, gradient-checked in float64 and held against torch in
    float32 and float64 by tests/test_ops.py, also on non-contiguous inputs. The same function
    runs with t=nnrt and t=torch: that is the oracle and the proof that the names agree.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np


# Around a tile of T elements: where loops have their edges.
def around(tile):
    """Sizes 0, 1, T-1, T, T+1, 2T+3."""
    return [0, 1, tile - 1, tile, tile + 1, 2 * tile + 3]


@dataclass(frozen=True)
class Output:
    """Stands for an output argument: shape, dtype (None: that of the case), memory order as an axis permutation.

    keep: initial contents (an array) for kernels that update in place, such as optimiser steps.
    """

    shape: tuple
    dtype: object = None
    axes: tuple | None = None
    keep: object = None


@dataclass(frozen=True)
class Packed:
    """Stands for an input whose layout is the back-end's own: make(family) -> array, with family's kernels as attributes."""

    make: Callable


@dataclass(frozen=True)
class Kernel:
    """kernel: "family.name"; args(rng, dtype): list with an Output for each output, a Packed, arrays or scalars.

    tol: {dtype name: (rtol, atol)}, the largest allowed distance from _ref.
    """

    kernel: str
    id: str
    args: Callable
    tol: dict = field(default_factory=lambda: {"float32": (1e-5, 1e-6), "float64": (1e-12, 1e-13)})
    dtypes: tuple = (np.float32, np.float64)


@dataclass(frozen=True)
class Op:
    """fn(t, *inputs) -> Tensor or tuple, with t = nnrt or torch; inputs(rng): list of float64 arrays or ints.

    grad: which inputs are differentiated (default: all floating ones). torch: False where torch
    has no such function (then `expected(*arrays)` gives the result in numpy).
    """

    id: str
    fn: Callable
    inputs: Callable
    grad: tuple | None = None
    torch: bool = True
    expected: Callable | None = None
    tol: dict = field(default_factory=lambda: {"float32": (2e-5, 2e-6), "float64": (1e-11, 1e-12)})
