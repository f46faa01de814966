"""DataLoader: batches of a data set, prefetched by threads, resumable in mid-epoch."""

from collections import deque
from itertools import islice, repeat

import numpy as np

from ..ops.random import Generator
from .collate import default_collate, default_convert
from .dataset import IterableDataset, Subset, TensorDataset
from .sampler import BatchSampler, OrderedSampler, RandomSampler, SequentialSampler, epoch_generator


class DataLoader:
    """Iterates over batches of a data set; every `iter()` is an epoch.

    dataset: by index (`__getitem__`, `__len__`) or an IterableDataset; batch_size: samples per batch,
    None for samples as they are; shuffle: a new order every epoch; sampler: the order of the samples;
    batch_sampler: lists of indices, in place of batch_size, shuffle, sampler and drop_last; num_workers:
    THREADS that prepare batches ahead (numpy and nnrt's kernels run without the interpreter's lock); 0:
    batches are made when asked for; collate_fn: from a list of samples to a batch, default
    :func:`default_collate`; drop_last: leave out a last, shorter batch; timeout: seconds to wait for a
    batch of a thread, 0 for ever; generator: nnrt.Generator of the orders; None: every epoch takes a seed
    from the global one; prefetch_factor: batches ahead per thread (default 2). pin_memory,
    worker_init_fn, multiprocessing_context, persistent_workers, pin_memory_device and in_order are
    accepted as in torch and change nothing: there are no processes, and batches always come in order.

    A :class:`TensorDataset` (or a Subset of one) is never asked for single samples: a batch is one gather
    per tensor, and in order without shuffling a read-only view of its memory. The same goes for a Dataset
    with a method `take_batch(indices)`, when no collate_fn is given. A stream is read by one thread at most.

    `state_dict()` and `load_state_dict()` continue in mid-epoch with exactly the batches that were left.

    Raises ValueError for arguments that exclude each other.
    """

    def __init__(
        self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None, num_workers=0,
        collate_fn=None, pin_memory=False, drop_last=False, timeout=0, worker_init_fn=None,
        multiprocessing_context=None, generator=None, *, prefetch_factor=None, persistent_workers=False,
        pin_memory_device="", in_order=True,
    ):
        if not (hasattr(dataset, "__getitem__") or hasattr(dataset, "__iter__")):
            raise TypeError(f"DataLoader: dataset must have __getitem__ and __len__, or __iter__, got {type(dataset).__name__}")
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if prefetch_factor is None and num_workers else prefetch_factor
        self.timeout = timeout
        self.generator = generator
        self.drop_last = drop_last
        self._check(batch_size, shuffle, sampler, batch_sampler)
        self._stream = isinstance(dataset, IterableDataset)
        if batch_sampler is not None:
            batch_size = None
        elif not self._stream:
            if sampler is None:
                sampler = SequentialSampler(dataset)
                if shuffle:
                    sampler = RandomSampler(dataset, generator=generator)
            if batch_size is not None:
                batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self._batched = batch_size is not None or batch_sampler is not None
        self._whole_batches = collate_fn is None and self._batched
        self.collate_fn = collate_fn or (default_collate if self._batched else default_convert)
        self._position = _Position()
        self._resume = None  # the position to begin the next epoch with

    def _check(self, batch_size, shuffle, sampler, batch_sampler):
        if isinstance(self.dataset, IterableDataset):
            given = {"shuffle": shuffle, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in given.items():
                if value:
                    kind = type(self.dataset).__name__
                    raise ValueError(f"DataLoader: {name} wants samples by index, {kind} is a stream")
        if sampler is not None and shuffle:
            raise ValueError("DataLoader: sampler and shuffle exclude each other")
        others = batch_size != 1 or shuffle or sampler is not None or self.drop_last
        if batch_sampler is not None and others:
            raise ValueError("DataLoader: batch_sampler excludes batch_size, shuffle, sampler and drop_last")
        if batch_size is None and self.drop_last:
            raise ValueError("DataLoader: drop_last wants batches, batch_size is None")
        if batch_size is not None and (not isinstance(batch_size, (int, np.integer)) or batch_size <= 0):
            raise ValueError(f"DataLoader: batch_size must be an integer of at least 1, got {batch_size!r}")
        if not isinstance(self.num_workers, int) or self.num_workers < 0:
            raise ValueError(
                f"DataLoader: num_workers must be an integer of at least 0, got {self.num_workers!r}"
            )
        if self.timeout < 0:
            raise ValueError(f"DataLoader: timeout must be at least 0, got {self.timeout}")
        if self.prefetch_factor is not None and (not self.num_workers or self.prefetch_factor < 1):
            raise ValueError(
                f"DataLoader: prefetch_factor={self.prefetch_factor} wants num_workers > 0 and at least 1"
            )

    def __len__(self):
        """Batches per epoch. TypeError where the data set or the sampler has no length."""
        if self.batch_sampler is not None:
            return len(self.batch_sampler)
        n = len(self.dataset if self._stream else self.sampler)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self):
        """Begins an epoch, or continues the one of a loaded state."""
        self._position, self._resume = self._resume or _Position(), None
        return _Epoch(self, self._position)

    def state_dict(self):
        """Where the running epoch stands, as numbers and arrays: {"batches", "order", "generator"}.

        batches: how many batches were handed out; order: state of the generator that the epoch's order was
        drawn from; generator: state of the loader's own generator now, None without one. Batches that
        threads prepared but nobody took are not counted. A sampler without `order` and a stream must
        repeat themselves: resuming goes through them from their beginning and leaves out what was handed
        out.
        """
        generator = self._own_generator()
        position = self._resume or self._position
        return {
            "batches": position.batches,
            "order": position.order,
            "generator": None if generator is None else generator.get_state().array,
        }

    def load_state_dict(self, state_dict):
        """The next `iter()` goes on where state_dict() was taken; data set and arguments must be the same."""
        if state_dict["generator"] is not None and self._own_generator() is not None:
            self._own_generator().set_state(state_dict["generator"])
        self._resume = _Position(state_dict["batches"], state_dict["order"])

    def _ordered(self):
        """The sampler, where it can draw the order of an epoch at once, else None."""
        sampler = self.sampler
        if self.batch_sampler is not None:
            if type(self.batch_sampler) is not BatchSampler:
                return None
            sampler = self.batch_sampler.sampler
        own = getattr(type(sampler), "__iter__", None)
        return sampler if own is OrderedSampler.__iter__ else None

    def _own_generator(self):
        sampler = self._ordered()
        return self.generator if sampler is None else sampler.generator


class _Position:
    """How many batches of an epoch were handed out, and the generator state that its order came from."""

    def __init__(self, batches=0, order=None):
        self.batches = batches
        self.order = order


class _Epoch:
    """One pass over the batches from a position on: an iterator."""

    def __init__(self, loader, position):
        self._length = loader.__len__
        self._position = position
        done = position.batches
        jobs, fetch = _stream(loader) if loader._stream else self._jobs(loader, position)
        if loader.num_workers:
            threads = 1 if loader._stream else loader.num_workers
            ahead = threads * loader.prefetch_factor
            self._batches = _prefetched(jobs, fetch, threads, ahead, loader.timeout)
        else:
            self._batches = _mapped(jobs, fetch)
        if done and loader._stream:
            next(islice(self._batches, done - 1, None), None)

    def __iter__(self):
        return self

    def __next__(self):
        position = self._position
        try:
            batch = next(self._batches)
        except StopIteration:
            position.batches, position.order = 0, None
            raise
        position.batches += 1
        return batch

    def __len__(self):
        return self._length()

    def _jobs(self, loader, position):
        """What the batches are made of, from the first one that is left, and the function that makes one."""
        take = _taker(loader.dataset) if loader._whole_batches else None
        fetch = _fetcher(loader, take)
        sampler = loader._ordered()
        if sampler is None:
            jobs = iter(loader.sampler if loader.batch_sampler is None else loader.batch_sampler)
            return islice(jobs, position.batches, None), fetch
        order = _draw(sampler, position)
        n = len(loader.dataset)
        if order.size and not (-n <= order.min() and order.max() < n):
            raise IndexError(
                f"DataLoader: the sampler gave indices {order.min()} to {order.max()} for {n} samples"
            )
        if loader.batch_sampler is None:
            return iter(order[position.batches :].tolist()), fetch
        size = loader.batch_sampler.batch_size
        end = order.size // size * size if loader.batch_sampler.drop_last else order.size
        slices = [slice(at, min(at + size, end)) for at in range(position.batches * size, end, size)]
        if take is None:
            return (order[part].tolist() for part in slices), fetch
        if type(sampler) is SequentialSampler:
            return iter(slices), take
        order = np.where(order < 0, order + n, order)
        return (order[part] for part in slices), take


def _draw(sampler, position):
    """The epoch's order: a new one, or that of the position. Notes where it came from."""
    if position.order is not None:
        return sampler.order(Generator().set_state(position.order))
    generator = epoch_generator(sampler.generator)
    position.order = generator.get_state().array
    return sampler.order(generator)


_END = object()


def _mapped(jobs, fetch):
    for job in jobs:
        batch = fetch(job)
        if batch is _END:
            return
        yield batch


def _stream(loader):
    """For an IterableDataset: jobs that say nothing, and what makes the next batch or returns _END."""
    samples = iter(loader.dataset)
    size = loader.batch_size

    def fetch(job):
        if size is None:
            sample = next(samples, _END)
            return sample if sample is _END else loader.collate_fn(sample)
        batch = list(islice(samples, size))
        if not batch or (loader.drop_last and len(batch) < size):
            return _END
        return loader.collate_fn(batch)

    return repeat(None), fetch


def _fetcher(loader, take):
    """From a job (a list of indices, or one index) to what the loader yields."""
    dataset, collate = loader.dataset, loader.collate_fn
    if not loader._batched:
        return lambda index: collate(dataset[index])
    if take is None:
        return lambda indices: collate([dataset[i] for i in indices])
    return lambda indices: take(_in_range(indices, len(dataset)))


def _in_range(indices, n):
    """Indices as an int64 array of 0 .. n - 1, negative ones counted from the end; IndexError for others."""
    indices = np.asarray(indices)
    if indices.size and indices.dtype.kind not in "iu":
        raise TypeError(f"DataLoader: indices must be integers, got {indices.dtype}")
    indices = indices.astype(np.int64)
    if indices.size and not (-n <= indices.min() and indices.max() < n):
        raise IndexError(f"DataLoader: indices {indices.min()} to {indices.max()} for {n} samples")
    return np.where(indices < 0, indices + n, indices)


def _taker(dataset):
    """The data set's take_batch(indices), or one made for a Subset of such a data set, or None."""
    if isinstance(dataset, Subset) and type(dataset).__getitem__ is Subset.__getitem__:
        inner = _taker(dataset.dataset)
        if inner is None:
            return None
        chosen = _in_range(dataset.indices, len(dataset.dataset))
        return lambda indices: inner(chosen[indices])
    own = type(dataset)
    if isinstance(dataset, TensorDataset) and own.__getitem__ is not TensorDataset.__getitem__:
        return None  # a subclass with samples of its own
    return getattr(dataset, "take_batch", None)


def _prefetched(jobs, fetch, threads, ahead, timeout):
    """map(fetch, jobs) by threads, `ahead` jobs before they are asked for; errors come in their turn.

    Closing the generator, which the end of the loop over it or of the iterator does, ends the threads.
    """
    from concurrent.futures import ThreadPoolExecutor, wait

    pool = ThreadPoolExecutor(threads, thread_name_prefix="nnrt-data")
    waiting = deque()
    error = None
    try:
        while True:
            while jobs is not None and len(waiting) < ahead:
                try:
                    waiting.append(pool.submit(fetch, next(jobs)))
                except StopIteration:
                    jobs = None
                except Exception as raised:
                    jobs, error = None, raised
            if not waiting:
                break
            if timeout and not wait(islice(waiting, 1), timeout).done:
                raise RuntimeError(f"DataLoader: no batch after {timeout} s (timeout={timeout})")
            batch = waiting.popleft().result()
            if batch is _END:
                break
            yield batch
        if error is not None:
            raise error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
