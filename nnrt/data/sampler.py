"""Samplers: in which order an epoch visits the samples.

The samplers here draw the order of a whole epoch at once, `order(generator)`, an int64 array: that is what
:class:`nnrt.data.DataLoader` takes batches from, and what it can draw again to resume in mid-epoch.
"""

import numpy as np

from ..ops import random
from ..tensor import Tensor


class Sampler:
    """Base class: a subclass defines `__iter__()` over indices and, for most uses, `__len__()`."""

    def __init__(self, data_source=None):
        pass

    def __iter__(self):
        raise NotImplementedError(f"{type(self).__name__}: a subclass of Sampler must define __iter__()")


class OrderedSampler(Sampler):
    """A sampler that knows the order of its epoch from the start: a subclass defines `order(generator)`.

    generator: nnrt.Generator that the orders come from; None: each epoch takes a seed from the global one.
    """

    generator = None

    def __iter__(self):
        return iter(self.order(epoch_generator(self.generator)).tolist())

    def order(self, generator):
        """The indices of one epoch, int64 [len(self)]."""
        name = type(self).__name__
        raise NotImplementedError(f"{name}: a subclass of OrderedSampler must define order(generator)")


def epoch_generator(generator):
    """The generator itself, or one for this epoch, seeded from the global one."""
    if generator is not None:
        return generator
    return random.Generator().manual_seed(random.randint(0, 2**63 - 1, (1,)).item())


class SequentialSampler(OrderedSampler):
    """0, 1, ..., len(data_source) - 1."""

    def __init__(self, data_source):
        self.data_source = data_source

    def order(self, generator):
        return np.arange(len(self.data_source))

    def __len__(self):
        return len(self.data_source)


class RandomSampler(OrderedSampler):
    """A new permutation every epoch, or draws with replacement.

    num_samples: how many an epoch has (default: all; more than all: permutation after permutation).
    Raises ValueError unless num_samples is an integer of at least 1, TypeError unless replacement is a bool.
    """

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        if not isinstance(replacement, bool):
            raise TypeError(f"RandomSampler: replacement must be a bool, got {replacement!r}")
        if num_samples is not None:
            _check_count("RandomSampler", num_samples)
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self):
        """Indices per epoch."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def order(self, generator):
        n, count = len(self.data_source), self.num_samples
        if count and not n:
            raise ValueError(f"RandomSampler: cannot draw {count} samples from a data set of none")
        if self.replacement:
            return random.randint(0, max(n, 1), (count,), generator=generator).array
        parts = [random.randperm(n, generator=generator).array for _ in range(-(-count // n) if n else 0)]
        return np.concatenate(parts)[:count] if parts else np.arange(0)

    def __len__(self):
        return self.num_samples


class SubsetRandomSampler(OrderedSampler):
    """The given indices in a new order every epoch."""

    def __init__(self, indices, generator=None):
        self.indices = indices
        self.generator = generator

    def order(self, generator):
        indices = np.asarray(self.indices, np.int64)
        return indices[random.randperm(indices.size, generator=generator).array]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(OrderedSampler):
    """num_samples indices an epoch, index i with a probability in proportion to weights[i].

    weights: sequence of numbers of at least 0, not all 0; replacement: draw an index more than once.
    Raises ValueError for weights of another kind, and for more draws without replacement than weights
    above 0.
    """

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        _check_count("WeightedRandomSampler", num_samples)
        if not isinstance(replacement, bool):
            raise ValueError(f"WeightedRandomSampler: replacement must be a bool, got {replacement!r}")
        weights = np.asarray(weights.array if isinstance(weights, Tensor) else weights, np.float64)
        if weights.ndim != 1 or not (weights >= 0).all() or not 0 < weights.sum() < np.inf:
            raise ValueError(
                "WeightedRandomSampler: weights must be one row of finite numbers of at least 0, not all 0; "
                f"got shape {weights.shape}"
            )
        if not replacement and num_samples > np.count_nonzero(weights):
            raise ValueError(
                f"WeightedRandomSampler: {num_samples} draws without replacement want as many weights "
                f"above 0, there are {np.count_nonzero(weights)}"
            )
        self.weights = weights
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def order(self, generator):
        if not self.replacement:
            # The smallest E_i / w_i, E_i exponential: Efraimidis and Spirakis (2006), algorithm A-ES.
            u = random.rand(self.weights.size, generator=generator, dtype=np.float64).array
            with np.errstate(divide="ignore"):
                keys = np.where(self.weights > 0, -np.log1p(-u) / self.weights, np.inf)
            return np.argsort(keys, kind="stable")[: self.num_samples]
        ends = np.cumsum(self.weights)
        u = random.rand(self.num_samples, generator=generator, dtype=np.float64).array
        # Rounding may carry u ends[-1] past the last weight above 0.
        last = np.flatnonzero(self.weights)[-1]
        return np.minimum(np.searchsorted(ends, u * ends[-1], side="right"), last)

    def __len__(self):
        return self.num_samples


class BatchSampler(Sampler):
    """Lists of batch_size indices of a sampler in a row; the last one may be shorter unless drop_last."""

    def __init__(self, sampler, batch_size, drop_last):
        _check_count("BatchSampler", batch_size, "batch_size")
        if not isinstance(drop_last, bool):
            raise ValueError(f"BatchSampler: drop_last must be a bool, got {drop_last!r}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self):
        batch = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self):
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)


def _check_count(name, count, argument="num_samples"):
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool) or count <= 0:
        raise ValueError(f"{name}: {argument} must be an integer of at least 1, got {count!r}")
