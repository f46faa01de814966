"""Element-by-element arithmetic (specification)."""

import numpy as np

from . import Out


def add(out: Out, a, b):
    """out = a + b; a and b broadcast to out's shape, any strides; out may be a or b."""
    np.add(a, b, out=out)
