"""detect_anomaly: which op made a NaN."""

import numpy as np
from numpy import ndarray

from . import config

_check_nan = True


class set_detect_anomaly:
    """Switches detection on or off at once, and back at the end of a with-block.

    While it is on, an error in a backward pass says where the forward pass ran, and with check_nan a NaN made by
    either raises RuntimeError naming the op.
    """

    def __init__(self, mode, check_nan=True):
        self.before = config.settings.detect_anomaly, _check_nan
        _switch(mode, check_nan)

    def __enter__(self):
        return None

    def __exit__(self, *exc):
        _switch(*self.before)


class detect_anomaly(set_detect_anomaly):
    """set_detect_anomaly(True, check_nan) for a with-block."""

    def __init__(self, check_nan=True):
        self.check_nan = check_nan

    def __enter__(self):
        super().__init__(True, self.check_nan)


def _switch(mode, check_nan):
    global _check_nan
    _check_nan = bool(check_nan)
    config.set(detect_anomaly=bool(mode))


def recorded(node, outs):
    """Keeps where a node was made; RuntimeError for a NaN among its outputs."""
    import traceback  # seldom needed, and half a millisecond of every import

    node.trace = "".join(traceback.format_stack()[:-1])
    for out in outs if _check_nan else ():
        if out.array.dtype.kind == "f" and np.isnan(out.array).any():
            raise RuntimeError(f"detect_anomaly: the forward pass of {node.name} made a NaN\n{node.trace}")


def checked(node, dxs):
    """RuntimeError for a NaN among a node's gradients."""
    for i, dx in enumerate(dxs) if _check_nan else ():
        if isinstance(dx, ndarray) and np.isnan(dx).any():
            raise RuntimeError(
                f"detect_anomaly: the backward pass of {node.name} made a NaN in the gradient of input {i}; "
                f"the forward pass ran at\n{node.trace or '(recorded outside detect_anomaly)'}"
            )
