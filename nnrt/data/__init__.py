"""Data sets and their readers, samplers, and the loader that makes batches of them."""

from . import transforms
from .cifar import load_cifar10, read_cifar10
from .collate import default_collate, default_convert
from .dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from .digits import load_digits
from .idx import load_idx, read_idx
from .loader import DataLoader
from .png import read_png, write_png
from .sampler import (
    BatchSampler,
    OrderedSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "OrderedSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "load_cifar10",
    "load_digits",
    "load_idx",
    "random_split",
    "read_cifar10",
    "read_idx",
    "read_png",
    "transforms",
    "write_png",
]
