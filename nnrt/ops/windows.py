"""Windows for spectra and filters. A periodic one is the symmetric one of a value more without its last value."""

import math

import numpy as np

from ..dtypes import get_default_dtype
from .create import tensor


def hann_window(window_length, periodic=True, *, dtype=None, device=None, requires_grad=False):
    """(1 - cos 2 pi k / (n - 1)) / 2."""
    return _made("hann_window", window_length, periodic, lambda k: _cosines(k, 0.5, 0.5), dtype, device, requires_grad)


def hamming_window(window_length, periodic=True, alpha=0.54, beta=0.46, *, dtype=None, device=None, requires_grad=False):
    """alpha - beta cos 2 pi k / (n - 1)."""
    return _made("hamming_window", window_length, periodic, lambda k: _cosines(k, alpha, beta), dtype, device, requires_grad)


def blackman_window(window_length, periodic=True, *, dtype=None, device=None, requires_grad=False):
    """0.42 - 0.5 cos 2 pi k / (n - 1) + 0.08 cos 4 pi k / (n - 1)."""
    return _made("blackman_window", window_length, periodic, lambda k: _cosines(k, 0.42, 0.5, 0.08), dtype, device, requires_grad)


def bartlett_window(window_length, periodic=True, *, dtype=None, device=None, requires_grad=False):
    """1 - |2 k / (n - 1) - 1|."""
    return _made("bartlett_window", window_length, periodic, lambda k: 1 - np.abs(2 * k - 1), dtype, device, requires_grad)


def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None, device=None, requires_grad=False):
    """I0(beta sqrt(1 - (2 k / (n - 1) - 1)^2)) / I0(beta)."""

    def values(k):
        return np.i0(beta * np.sqrt(np.maximum(1 - (2 * k - 1) ** 2, 0))) / np.i0(beta)

    return _made("kaiser_window", window_length, periodic, values, dtype, device, requires_grad)


def _cosines(k, a, b, c=0.0):
    return a - b * np.cos(2 * math.pi * k) + c * np.cos(4 * math.pi * k)


def _made(op, length, periodic, values, dtype, device, requires_grad):
    """values: of k / (n - 1), an array within 0 and 1."""
    if not hasattr(length, "__index__") or length.__index__() < 0:
        raise RuntimeError(f"{op}: window_length must be an integer of at least 0, got {length!r}")
    places = np.arange(length) / max(length - (not periodic), 1)
    made = values(places) if length > 1 else np.ones(length)
    return tensor(made, dtype or get_default_dtype(), device, requires_grad)
