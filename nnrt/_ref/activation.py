"""Activations (specification).

All arrays of one call have one shape and one dense memory order; the output may be an
input itself.
"""

import numpy as np

from . import Out


def relu(y: Out, x):
    """y = max(x, 0); NaN stays NaN."""
    np.maximum(x, 0, out=y)


def relu_backward(dx: Out, dy, y):
    """dx = dy where y > 0, else 0: relu'(0) = 0."""
    dx[...] = np.where(y > 0, dy, 0)
