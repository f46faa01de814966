"""Positions as sines and cosines of falling frequencies. Vaswani et al., 2017, section 3.5.

    table[t, 2i] = sin(t / 10000^(2i/D))    table[t, 2i+1] = cos(t / 10000^(2i/D))
"""

import numpy as np

from .create import from_numpy


def sinusoids(length, dim, dtype=None):
    """The table [length, dim] as a tensor."""
    rates = 10000.0 ** (-(np.arange(dim) // 2 * 2) / max(dim, 1))
    angles = np.arange(length)[:, None] * rates
    return from_numpy(np.where(np.arange(dim) % 2 == 0, np.sin(angles), np.cos(angles)).astype(dtype or np.float32))


def add_positions(op, x, table, start):
    """x [..., T, D] + table[start : start + T]; ValueError where the table has no such rows."""
    if x.ndim < 2 or x.shape[-1] != table.shape[1]:
        raise RuntimeError(f"{op}: wants [..., T, {table.shape[1]}], got shape {tuple(x.shape)}")
    if start < 0:
        raise ValueError(f"{op}: start must not be negative, got {start}")
    check_length(op, start + x.shape[-2], table.shape[0])
    return x + table[start : start + x.shape[-2]]


def check_length(op, wanted, positions):
    """ValueError for a sequence that needs more positions than there are."""
    if wanted > positions:
        raise ValueError(f"{op}: a sequence of length {wanted} came, there are {positions} positions")
