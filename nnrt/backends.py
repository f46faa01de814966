"""torch.backends and torch.accelerator: what scripts set before they train and ask to choose a device.

Nothing here changes what is computed: kernels are chosen by shape, results do not vary from run to run.
"""

from types import SimpleNamespace as _Namespace

from .dtypes import check_device as _check_device
from .dtypes import cpu as _cpu


class _Backend(_Namespace):
    """Takes any switch; is not available."""

    def is_available(self):
        return False

    is_built = is_available

    def version(self):
        return None


class _Accelerator(_Backend):
    def device_count(self):
        return 0

    def current_accelerator(self, check_available=False):
        return None


cudnn = _Backend(enabled=False, benchmark=False, deterministic=True, allow_tf32=False)
cuda = _Backend(matmul=_Backend(allow_tf32=False))
mps, mkl, mkldnn, openmp = _Backend(), _Backend(), _Backend(), _Backend()
accelerator = _Accelerator()


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Nothing: results are the same bits in every run, with any number of threads."""


def are_deterministic_algorithms_enabled():
    return True


def set_float32_matmul_precision(precision):
    """Nothing: products of float32 are summed in float32. ValueError for what is not one of torch's names."""
    if precision not in ("highest", "high", "medium"):
        raise ValueError(f"set_float32_matmul_precision: wants 'highest', 'high' or 'medium', got {precision!r}")


def get_float32_matmul_precision():
    return "highest"


def get_default_device():
    return _cpu


def set_default_device(device):
    """Nothing for the CPU; RuntimeError for another device."""
    _check_device("set_default_device", device)
