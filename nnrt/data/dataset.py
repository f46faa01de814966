"""Data sets: by index, in memory, as a stream, and parts and joins of them."""

from bisect import bisect_right
from itertools import accumulate

import numpy as np

from .. import memory, registry
from ..ops.random import randperm
from ..tensor import Tensor, wrap

K = registry.family("index")
# Bytes of data and batch from which on the kernel, which asks for rows ahead, is sooner done than numpy.
_FAR, _BATCH = 4 << 20, 32 << 10


class Dataset:
    """Samples by index: a subclass defines `__getitem__(index)` and, for most uses, `__len__()`.

    It may define `take_batch(indices)` as well, which returns a whole batch, already collated, for an int64
    array or a slice; :class:`nnrt.data.DataLoader` then uses it in place of one call per sample.
    """

    def __getitem__(self, index):
        name = type(self).__name__
        raise NotImplementedError(f"{name}: a subclass of Dataset must define __getitem__(index)")

    def __add__(self, other):
        return ConcatDataset([self, other])


class IterableDataset(Dataset):
    """Samples as a stream: a subclass defines `__iter__()`."""

    def __iter__(self):
        name = type(self).__name__
        raise NotImplementedError(f"{name}: a subclass of IterableDataset must define __iter__()")

    def __getitem__(self, index):
        raise TypeError(f"{type(self).__name__}: a stream of samples has no sample {index}")

    def __add__(self, other):
        return ChainDataset([self, other])


class TensorDataset(Dataset):
    """Sample i is (tensors[0][i], tensors[1][i], ...).

    tensors: Tensors or numpy arrays, at least one, of the same length; their memory is shared.
    Raises ValueError for different lengths, TypeError for other objects.
    """

    def __init__(self, *tensors):
        made = []
        for i, t in enumerate(tensors):
            if not isinstance(t, (Tensor, np.ndarray)):
                kind = type(t).__name__
                raise TypeError(f"TensorDataset: tensors[{i}] must be a Tensor or an array, got {kind}")
            if t.ndim == 0:
                raise ValueError(f"TensorDataset: tensors[{i}] has no dimension to take samples along")
            made.append(t if isinstance(t, Tensor) else wrap(t))
        lengths = [t.shape[0] for t in made]
        if len(set(lengths)) != 1:
            raise ValueError(f"TensorDataset: wants tensors of one length, got lengths {lengths}")
        self.tensors = tuple(made)

    def __getitem__(self, index):
        return tuple([t[index] for t in self.tensors])

    def __len__(self):
        return self.tensors[0].shape[0]

    def take_batch(self, indices):
        """[tensors[0][indices], ...]: copies for an int64 array, read-only views for a slice.

        Indices must lie in 0 .. len - 1.
        """
        return [_take(t.array, indices) for t in self.tensors]


def _take(array, indices):
    if isinstance(indices, slice):
        part = array[indices]
        part.flags.writeable = False
        return wrap(part)
    out = memory.empty((indices.size, *array.shape[1:]), array.dtype)
    if array.nbytes >= _FAR and out.nbytes >= _BATCH and memory.c_order(array) and not array.dtype.hasobject:
        K.take(out.reshape(1, indices.size, -1), array.reshape(1, array.shape[0], -1), indices)
    else:
        array.take(indices, axis=0, out=out, mode="clip")  # all are in range; mode "raise" copies twice
    return wrap(out)


class StackDataset(Dataset):
    """Sample i is the tuple, or with keyword arguments the dict, of sample i of every data set.

    Raises ValueError for none, for both kinds of arguments, or for different lengths.
    """

    def __init__(self, *args, **kwargs):
        if bool(args) == bool(kwargs):
            raise ValueError("StackDataset: wants data sets, either all by position or all by keyword")
        self.datasets = args or kwargs
        lengths = [len(d) for d in args or kwargs.values()]
        if len(set(lengths)) != 1:
            raise ValueError(f"StackDataset: wants data sets of one length, got lengths {lengths}")
        self._length = lengths[0]

    def __getitem__(self, index):
        if isinstance(self.datasets, dict):
            return {name: d[index] for name, d in self.datasets.items()}
        return tuple([d[index] for d in self.datasets])

    def __len__(self):
        return self._length


class Subset(Dataset):
    """Sample i is dataset[indices[i]]."""

    def __init__(self, dataset, indices):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index):
        return self.dataset[self.indices[index]]

    def __len__(self):
        return len(self.indices)


class ConcatDataset(Dataset):
    """The samples of several data sets one after the other. ValueError for none, TypeError for streams."""

    def __init__(self, datasets):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: wants at least one data set, got none")
        for i, d in enumerate(self.datasets):
            if isinstance(d, IterableDataset):
                raise TypeError(f"ConcatDataset: datasets[{i}] is a stream; ChainDataset joins those")
        self.cumulative_sizes = list(accumulate(len(d) for d in self.datasets))

    def __getitem__(self, index):
        size = len(self)
        if not -size <= index < size:
            raise IndexError(f"ConcatDataset: index {index} is out of range for {size} samples")
        index %= size
        which = bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]

    def __len__(self):
        return self.cumulative_sizes[-1]


class ChainDataset(IterableDataset):
    """The samples of several streams one after the other."""

    def __init__(self, datasets):
        self.datasets = list(datasets)

    def __iter__(self):
        for d in self.datasets:
            yield from d

    def __len__(self):
        return sum(len(d) for d in self.datasets)


def random_split(dataset, lengths, generator=None):
    """Cuts a data set at random into parts, a list of Subsets.

    lengths: sizes that add up to the data set's, or fractions that add up to 1 (each part gets the floor
    of its share, what is left goes to the first parts, one each). generator: nnrt.Generator (default: the
    global one). Raises ValueError otherwise.
    """
    total = len(dataset)
    sizes = list(lengths)
    if abs(sum(sizes) - 1) <= 1e-9 and all(0 <= f <= 1 for f in sizes):
        sizes = [int(total * f) for f in sizes]
        for i in range(total - sum(sizes)):
            sizes[i % len(sizes)] += 1
    if sum(sizes) != total or any(s < 0 for s in sizes):
        raise ValueError(
            f"random_split: lengths {list(lengths)} add up neither to the {total} samples nor to 1"
        )
    order = randperm(total, generator=generator).tolist()
    ends = list(accumulate(sizes))
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends)]
