"""Random numbers and dropout.

Numbers come from Philox-4x32-10, a counter-based generator (Salmon, Moraes, Dror and Shaw, Parallel random
numbers: as easy as 1, 2, 3, SC 2011): element i of a call is a function of (seed, offset, i) alone, so
results are the same on every back-end and at any number of threads. A Generator hands each call its own
stretch of counters. Elements are numbered in C order of the shape, those of dropout in memory order.
"""

import math
import os
from _thread import allocate_lock  # a threading.Lock; threading itself takes most of a millisecond to import

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..dtypes import as_dtype, check_device, check_whole, cpu, get_default_dtype
from ..tensor import Tensor, wrap
from . import elementwise
from .create import in_order_of, sizes_of
from .promotion import as_tensor, not_tensors
from .sort import smallest

K = registry.family("random")


class Generator:
    """A stream of random numbers: a seed and how many counters of it were used.

    Generator() starts from a fixed seed; :meth:`manual_seed` restarts it. Threads may share one.
    """

    def __init__(self, device="cpu"):
        check_device("Generator", device)
        self._lock = allocate_lock()
        self.manual_seed(67280421310721)

    device = cpu

    def manual_seed(self, seed):
        """Restarts the stream from an integer seed (taken modulo 2**64); returns self."""
        with self._lock:
            self._seed = int(seed) % 2**64
            self._offset = 0
        return self

    def seed(self):
        """Restarts the stream from a seed of the system's; returns it."""
        seed = int.from_bytes(os.urandom(8), "little") >> 1
        self.manual_seed(seed)
        return seed

    def initial_seed(self):
        """The seed that the stream started from."""
        return self._seed

    def get_state(self):
        """Seed and position as a uint8 tensor of 16 bytes."""
        with self._lock:
            return wrap(
                np.frombuffer(np.array([self._seed, self._offset], np.uint64).tobytes(), np.uint8).copy()
            )

    def set_state(self, state):
        """Goes back to what :meth:`get_state` gave; returns self."""
        array = state.array if isinstance(state, Tensor) else np.asarray(state)
        if array.dtype != np.uint8 or array.size != 16:
            raise RuntimeError(
                f"Generator.set_state: wants the 16 bytes that get_state gave, got {array.dtype} "
                f"of shape {array.shape}"
            )
        seed, offset = np.frombuffer(array.tobytes(), np.uint64).tolist()
        with self._lock:
            self._seed, self._offset = seed, offset
        return self

    def take(self, count):
        """(seed, offset) for a call that makes `count` numbers, which no other call gets."""
        with self._lock:
            offset = self._offset
            self._offset = (offset + count) % 2**64
            return self._seed, offset

    def __getstate__(self):
        return self._seed, self._offset

    def __setstate__(self, state):
        self._lock = allocate_lock()
        self._seed, self._offset = state


default_generator = Generator()


def manual_seed(seed) -> Generator:
    """Restarts the default generator from an integer seed; returns it."""
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Restarts the default generator from a seed of the system's; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """State of the default generator, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state) -> None:
    """Puts the default generator back into a state that get_rng_state() gave."""
    default_generator.set_state(new_state)


def _taken(generator, count):
    return (default_generator if generator is None else generator).take(count)


# ---- filling arrays ----


def _filled(op, array, generator, fill):
    """fill(flat, seed, offset) on array's elements in C order, through a copy where memory has another."""
    if array.dtype.kind != "f":
        raise RuntimeError(f"{op}: wants a floating tensor, got {array.dtype}")
    if not array.flags.writeable:
        raise RuntimeError(f"{op}: an expanded or read-only tensor cannot be changed in place")
    if array.flags.c_contiguous and array.dtype != np.float16:
        fill(array.reshape(-1), *_taken(generator, array.size))
        return
    dtype = np.float32 if array.dtype == np.float16 else array.dtype
    dense = memory.empty(array.shape, dtype)
    fill(dense.reshape(-1), *_taken(generator, array.size))
    array[...] = dense


def uniform_into(array, low=0.0, high=1.0, generator=None):
    """Fills an array with samples of U[low, high)."""
    if not low <= high:
        raise RuntimeError(f"uniform: low {low} must not be above high {high}")
    _filled("uniform", array, generator, K.uniform)
    if (low, high) != (0, 1):
        array *= array.dtype.type(high - low)
        array += array.dtype.type(low)
        # Rounding may reach high, which the interval leaves out.
        below = np.nextafter(array.dtype.type(high), array.dtype.type(low))
        np.minimum(array, below, out=array)


def normal_into(array, mean=0.0, std=1.0, generator=None):
    """Fills an array with samples of N(mean, std^2)."""
    if not std >= 0:
        raise RuntimeError(f"normal: std must not be negative, got {std}")
    _filled("normal", array, generator, K.normal)
    if std != 1:
        array *= array.dtype.type(std)
    if mean != 0:
        array += array.dtype.type(mean)


def bernoulli_into(array, p=0.5, generator=None):
    """Fills an array of any dtype with 1 with probability p (a number, or a broadcast array), else 0."""
    p = p.array if isinstance(p, Tensor) else p
    _check_probabilities("bernoulli", p)
    if np.ndim(p) == 0 and array.dtype in (np.float32, np.float64) and array.flags.c_contiguous:
        K.bernoulli(array.reshape(-1), float(p), *_taken(generator, array.size))
        return
    u = memory.empty(array.shape, np.float32)
    if np.ndim(p) == 0:
        K.bernoulli(u.reshape(-1), float(p), *_taken(generator, u.size))
        np.copyto(array, u, casting="unsafe")
    else:
        K.uniform(u.reshape(-1), *_taken(generator, u.size))
        np.copyto(array, u < p, casting="unsafe")


def _check_probabilities(op, p):
    bad = not 0 <= p <= 1 if np.ndim(p) == 0 else not ((p >= 0) & (p <= 1)).all()
    if bad:
        raise RuntimeError(
            f"{op}: probabilities must be within 0 and 1, got {p if np.ndim(p) == 0 else 'others'}"
        )


# ---- new tensors ----


def _sampled(op, into, size, dtype, device, requires_grad, generator):
    check_device(op, device)
    dtype = get_default_dtype() if dtype is None else as_dtype(op, dtype)
    if dtype.kind != "f":
        raise RuntimeError(f"{op}: wants a floating dtype, got {dtype}")
    array = memory.empty(sizes_of(op, size), dtype)
    into(array, generator=generator)
    t = wrap(array)
    t.requires_grad = bool(requires_grad)
    return t


def rand(*sizes, size=None, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Samples of U[0, 1); size as for :func:`zeros`."""
    return _sampled("rand", uniform_into, sizes if size is None else (size,), dtype, device, requires_grad, generator)


def randn(*sizes, size=None, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Samples of N(0, 1); size as for :func:`zeros`."""
    return _sampled("randn", normal_into, sizes if size is None else (size,), dtype, device, requires_grad, generator)


def randint(low, high=None, size=None, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Uniform integers from low up to but without high: randint(high, size) or randint(low, high, size).

    int64 unless dtype says otherwise.
    """
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    check_device("randint", device)
    low, high = int(low), int(high)
    if low >= high:
        raise RuntimeError(f"randint: low {low} must be below high {high}")
    if low < -(2**63) or high > 2**63 - 1:
        raise RuntimeError(f"randint: low {low} and high {high} must fit int64")
    dtype = np.dtype(np.int64) if dtype is None else as_dtype("randint", dtype)
    array = memory.empty(sizes_of("randint", (size,)), np.int64)
    K.integers(array.reshape(-1), low, high, *_taken(generator, array.size))
    t = wrap(array if dtype == np.int64 else array.astype(dtype))
    return t.requires_grad_(True) if requires_grad else t


def randperm(n, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The integers 0..n-1 in random order, int64 unless dtype says otherwise."""
    check_device("randperm", device)
    if n < 0:
        raise RuntimeError(f"randperm: n must not be negative, got {n}")
    out = memory.empty((n,), np.int64)
    K.permutation(out, _uniforms((n,), generator))
    return wrap(out if dtype is None else out.astype(as_dtype("randperm", dtype)))


def _like(op, input, dtype, device, requires_grad, into, memory_format, generator):
    dtype = input.array.dtype if dtype is None else dtype
    made = _sampled(op, into, (input.array.shape,), dtype, device, False, generator)
    return _formatted(made, requires_grad, memory_format)


def _formatted(made, requires_grad, memory_format):
    if memory_format not in (None, "preserve_format"):
        made = made.contiguous(memory_format=memory_format)
    return made.requires_grad_(True) if requires_grad else made


def rand_like(input, dtype=None, device=None, requires_grad=False, memory_format=None, generator=None) -> Tensor:
    """rand() of input's shape and, unless given, dtype; in C order, unless memory_format says otherwise."""
    input = as_tensor("rand_like", input)
    return _like("rand_like", input, dtype, device, requires_grad, uniform_into, memory_format, generator)


def randn_like(input, dtype=None, device=None, requires_grad=False, memory_format=None, generator=None) -> Tensor:
    """randn() as :func:`rand_like`."""
    input = as_tensor("randn_like", input)
    return _like("randn_like", input, dtype, device, requires_grad, normal_into, memory_format, generator)


def randint_like(
    input, low, high=None, dtype=None, device=None, requires_grad=False, memory_format=None, generator=None
) -> Tensor:
    """randint() as :func:`rand_like`: randint_like(input, high) or randint_like(input, low, high)."""
    input = as_tensor("randint_like", input)
    if high is None:
        low, high = 0, low
    dtype = input.array.dtype if dtype is None else dtype
    made = randint(low, high, input.array.shape, generator=generator, dtype=dtype, device=device)
    return _formatted(made, requires_grad, memory_format)


def normal(mean=0.0, std=1.0, size=None, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Samples of N(mean, std^2), without gradient; of tensors mean and std, in their common shape."""
    tensors = [v.array for v in (mean, std) if isinstance(v, Tensor)]
    if (size is None) != bool(tensors):
        raise TypeError("normal: wants size when mean and std are numbers, and only then")
    if tensors:
        size = np.broadcast_shapes(*[a.shape for a in tensors])
        dtype = np.result_type(*tensors) if dtype is None else dtype
    mean, std = [v.array if isinstance(v, Tensor) else v for v in (mean, std)]
    if not np.all(np.greater_equal(std, 0)):
        raise RuntimeError("normal: std must not be negative")
    t = randn(size, generator=generator, dtype=dtype, device=device)
    t.array *= std
    t.array += mean
    t.requires_grad = bool(requires_grad)
    return t


def bernoulli(input, p=None, generator=None) -> Tensor:
    """1 with the probability that input gives for the element (or p for all), else 0; of input's shape and dtype."""
    input = as_tensor("bernoulli", input)
    if p is None and input.array.dtype.kind != "f":
        raise RuntimeError(f"bernoulli: wants a floating tensor of probabilities, got {input.array.dtype}")
    out = memory.empty(input.array.shape, input.array.dtype)
    bernoulli_into(out, input.array if p is None else p, generator)
    return wrap(out)


def multinomial(input, num_samples, replacement=False, generator=None) -> Tensor:
    """Indices drawn by the (unnormalised) probabilities input [n] or [m, n]: int64, [..., num_samples].

    Without replacement by exponential races: the smallest E_i / p_i win (Efraimidis and Spirakis, 2006).
    """
    input = as_tensor("multinomial", input)
    p = input.array
    if p.ndim not in (1, 2) or p.dtype.kind != "f":
        raise RuntimeError(
            f"multinomial: wants 1 or 2 dimensions of a floating dtype, got {p.dtype} of shape {p.shape}"
        )
    if not (np.isfinite(p) & (p >= 0)).all():
        raise RuntimeError("multinomial: probabilities must be finite and not negative")
    totals = p.sum(-1, dtype=np.float64)
    if (totals <= 0).any():
        raise RuntimeError("multinomial: the probabilities of each row must have a positive sum")
    if num_samples <= 0:
        raise RuntimeError(f"multinomial: num_samples must be positive, got {num_samples}")
    rows = p.reshape(-1, p.shape[-1])
    if not rows.size:
        return wrap(memory.zeros((*p.shape[:-1], num_samples), np.int64))
    if not replacement:
        possible = int((rows > 0).sum(-1).min())
        if num_samples > possible:
            raise RuntimeError(
                f"multinomial: {num_samples} samples without replacement from {possible} possible ones"
            )
        u = _uniforms(rows.shape, generator)
        races = np.negative(u, out=u)
        np.log1p(races, out=races)
        with np.errstate(divide="ignore", invalid="ignore"):
            races /= rows  # -E_i / p_i
        races[rows == 0] = -np.inf
        found = smallest(np.negative(races, out=races), num_samples)
    else:
        u = _uniforms((len(rows), num_samples), generator)
        sums = np.cumsum(rows, -1, dtype=np.float64)
        found = np.empty(u.shape, np.int64)
        for i in range(len(rows)):
            last = np.flatnonzero(rows[i])[-1]
            found[i] = np.minimum(np.searchsorted(sums[i], u[i] * sums[i, -1], "right"), last)
    return wrap(memory.contiguous(found.reshape(p.shape[:-1] + (num_samples,))))


def _uniforms(shape, generator):
    u = memory.empty(tuple(shape), np.float64)
    K.uniform(u.reshape(-1), *_taken(generator, u.size))
    return u


def poisson(input, generator=None) -> Tensor:
    """Poisson samples with the rates in input, of its shape and dtype."""
    input = as_tensor("poisson", input)
    rates = input.array
    if rates.dtype.kind != "f" or not (rates >= 0).all():
        raise RuntimeError("poisson: wants a floating tensor of rates that are not negative")
    key = np.array(_taken(generator, max(rates.size, 1)), np.uint64)
    return wrap(np.random.Generator(np.random.Philox(key=key)).poisson(rates).astype(rates.dtype))


# ---- dropout ----


def check_probability(op, p):
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p must be within 0 and 1, got {p}")


def dropout(x, p=0.5, training=True, generator=None) -> Tensor:
    """x with elements zeroed with probability p, the others divided by 1 - p; x itself when not training.

    Srivastava et al., Dropout, JMLR 15 (2014).
    """
    check_probability("dropout", p)
    if not isinstance(x, Tensor):
        raise not_tensors("dropout", input=x)
    if not training or p == 0 or not x.array.size:
        return x
    check_whole("dropout", x.array.dtype)
    a = memory.dense(x.array)
    y = memory.empty_like(a)
    mask = in_order_of(a, a.shape, np.uint8)
    K.dropout_forward(y, mask, a, p, *_taken(generator, a.size))
    return record(y, dropout_backward, (x,), (mask, p))


def dropout_backward(node, dy):
    """y = mask x / (1 - p)  =>  dx = mask dy / (1 - p)"""
    mask, p = node.saved
    dx = in_order_of(mask, dy.shape, dy.dtype)
    K.dropout_backward(dx, mask, memory.as_like(dy, dx), p)
    return (dx,)


def _keep(shape, dtype, p, generator):
    """1 with probability 1 - p, else 0."""
    keep = memory.empty(shape, dtype)
    bernoulli_into(keep, 1 - p, generator)
    return keep


def _feature_shape(op, a):
    if a.ndim < 2:
        raise RuntimeError(f"{op}: wants at least 2 dimensions, got shape {a.shape}")
    return a.shape[:2] + (1,) * (a.ndim - 2)


def feature_dropout(x, p=0.5, training=True, generator=None) -> Tensor:
    """dropout() of whole channels: one decision per [n, c] of x [N, C, ...] (dropout1d, 2d, 3d).

    Tompson et al., Efficient object localization using convolutional networks, CVPR 2015.
    """
    x = as_tensor("feature_dropout", x)
    check_probability("feature_dropout", p)
    if not training or p == 0 or not x.array.size:
        return x
    check_whole("feature_dropout", x.array.dtype)
    keep = _keep(_feature_shape("feature_dropout", x.array), x.array.dtype, p, generator)
    if p < 1:
        keep /= 1 - p
    return elementwise.mul(x, wrap(keep))


# -lambda alpha of SELU: what an activation goes to when dropped.
_ALPHA = -1.7580993408473766


def alpha_dropout(x, p=0.5, training=True, generator=None) -> Tensor:
    """dropout() that keeps mean and variance of SELU activations: dropped elements become -1.7581, then all
    are scaled and shifted (Klambauer et al., Self-normalizing neural networks, NeurIPS 2017)."""
    check_probability("alpha_dropout", p)
    if not training or p == 0 or not x.array.size:
        return x
    return _alpha_dropped(x, x.array.shape, p, generator)


def feature_alpha_dropout(x, p=0.5, training=True, generator=None) -> Tensor:
    """alpha_dropout() of whole channels of x [N, C, ...]."""
    check_probability("feature_alpha_dropout", p)
    if not training or p == 0 or not x.array.size:
        return x
    return _alpha_dropped(x, _feature_shape("feature_alpha_dropout", x.array), p, generator)


def _alpha_dropped(x, shape, p, generator):
    """y = a (keep x + (1 - keep) alpha) + b, with a and b such that mean 0 and variance 1 stay."""
    if p == 1:
        return elementwise.mul(x, 0)
    keep = _keep(shape, x.array.dtype, p, generator)
    a = 1 / math.sqrt((1 - p) * (1 + p * _ALPHA**2))
    b = -a * _ALPHA * p
    scale, shift = np.asarray(keep * a), np.asarray((1 - keep) * (a * _ALPHA) + b)
    return elementwise.add(elementwise.mul(x, wrap(scale)), wrap(shift))
