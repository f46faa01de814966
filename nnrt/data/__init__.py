"""Data sets and their readers."""

from .cifar import load_cifar10, read_cifar10
from .digits import load_digits
from .idx import load_idx, read_idx
from .png import read_png

__all__ = ["load_cifar10", "load_digits", "load_idx", "read_cifar10", "read_idx", "read_png"]
