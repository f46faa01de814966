"""From a list of samples to a batch."""

from collections.abc import Mapping, Sequence

import numpy as np

from .. import memory
from ..tensor import Tensor, wrap


def default_collate(batch):
    """Stacks samples: tensors, arrays and numbers become a Tensor with a leading batch axis.

    Dicts, tuples and lists are collated entry by entry (tuples and lists become lists, named tuples stay),
    strings and bytes stay a list. Python floats become float64 and ints int64, as in torch.
    Raises RuntimeError for samples of different shapes or lengths, TypeError for other objects.
    """
    first = batch[0]
    if isinstance(first, (Tensor, np.ndarray)):
        return _stacked([x.array if isinstance(x, Tensor) else x for x in batch])
    if isinstance(first, (bool, int, float, np.generic)):
        return wrap(np.array(batch))
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, Sequence):
        if any(len(sample) != len(first) for sample in batch):
            lengths = sorted({len(sample) for sample in batch})
            raise RuntimeError(f"default_collate: samples of different lengths {lengths}")
        columns = [default_collate(column) for column in zip(*batch)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        "default_collate: samples must hold tensors, arrays, numbers, strings, dicts, tuples or lists; "
        f"one holds {type(first).__name__}: pass a collate_fn"
    )


def _stacked(arrays):
    first = arrays[0]
    for a in arrays:
        if a.shape != first.shape:
            raise RuntimeError(
                f"default_collate: samples of shapes {first.shape} and {a.shape} cannot be stacked: "
                "pass a collate_fn"
            )
    out = memory.empty((len(arrays), *first.shape), np.result_type(*{a.dtype for a in arrays}))
    return wrap(np.stack(arrays, out=out))


def default_convert(sample):
    """A sample with its arrays as Tensors: what a loader without batches yields."""
    if isinstance(sample, np.ndarray):
        return wrap(sample)
    if isinstance(sample, np.generic):
        return wrap(np.asarray(sample))
    if isinstance(sample, Mapping):
        return {key: default_convert(value) for key, value in sample.items()}
    if isinstance(sample, tuple):
        parts = [default_convert(value) for value in sample]
        return type(sample)(*parts) if hasattr(sample, "_fields") else parts
    if isinstance(sample, list):
        return [default_convert(value) for value in sample]
    return sample
