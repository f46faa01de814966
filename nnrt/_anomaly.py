"""detect_anomaly: which op made a NaN."""

import traceback

import numpy as np
from numpy import ndarray

from . import config


def detect_anomaly(mode=True):
    """Context manager: a NaN made by a forward or backward pass raises RuntimeError naming the op."""
    return config.use(detect_anomaly=mode)


def recorded(node, outs):
    """Keeps where a node was made; RuntimeError for a NaN among its outputs."""
    node.trace = "".join(traceback.format_stack()[:-1])
    for out in outs:
        if out.array.dtype.kind == "f" and np.isnan(out.array).any():
            raise RuntimeError(f"detect_anomaly: the forward pass of {node.name} made a NaN\n{node.trace}")


def checked(node, dxs):
    """RuntimeError for a NaN among a node's gradients."""
    for i, dx in enumerate(dxs):
        if isinstance(dx, ndarray) and np.isnan(dx).any():
            raise RuntimeError(
                f"detect_anomaly: the backward pass of {node.name} made a NaN in the gradient of input {i}; "
                f"the forward pass ran at\n{node.trace or '(recorded outside detect_anomaly)'}"
            )
