"""Random kernels: the streams are exact, the normals to a few ulp."""

import numpy as np

from . import Kernel, Output, around

CHUNK = 16384  # NNRT_RANDOM_CHUNK
SIZES = [0, 1, 2, 3, 5, *around(256)[2:], *around(CHUNK)[2:]]
OFFSETS = [0, 1, 2, 3, 2**32 - 2, 2**64 - 100]
SEED = 0x1234567890ABCDEF
EXACT = {"float32": (0, 0), "float64": (0, 0)}
# Box-Muller's cosine near its zeros has the libraries' absolute error times r <= 8.6.
NEAR = {"float32": (1e-6, 2e-6), "float64": (2e-15, 4e-15)}


def _shapes():
    yield from (((n,), None, OFFSETS[i % len(OFFSETS)]) for i, n in enumerate(SIZES))
    yield (3, 5, 7, 4), (0, 2, 3, 1), 1
    yield (), None, 3


def _cases():
    for shape, axes, offset in _shapes():
        id = f"{'x'.join(map(str, shape))}+{offset}" + ("" if axes is None else "-permuted")

        def fill(rng, dtype, shape=shape, axes=axes, offset=offset):
            return [Output(shape, axes=axes), SEED, offset]

        def integers(rng, dtype, shape=shape, axes=axes, offset=offset):
            return [Output(shape, np.int64, axes), -7, 2**40, SEED, offset]

        def permutation(rng, dtype, shape=shape):
            return [Output(shape, np.int64), rng.random(shape)]

        def bernoulli(rng, dtype, shape=shape, axes=axes, offset=offset):
            return [Output(shape, axes=axes), 0.3, SEED, offset]

        def dropout(rng, dtype, shape=shape, axes=axes, offset=offset):
            x = _input(rng, shape, axes, dtype)
            return [Output(shape, axes=axes), Output(shape, np.uint8, axes), x, 0.25, SEED, offset]

        def dropout_backward(rng, dtype, shape=shape, axes=axes):
            dy = _input(rng, shape, axes, dtype)
            mask = np.asarray(_input(rng, shape, axes, dtype) > 0)
            return [Output(shape, axes=axes), mask.astype(np.uint8, order="K"), dy, 0.25]

        yield Kernel("random.uniform", id, fill, EXACT)
        yield Kernel("random.normal", id, fill, NEAR)
        yield Kernel("random.integers", id, integers, EXACT, (np.float32,))
        if len(shape) == 1:
            yield Kernel("random.permutation", id, permutation, EXACT, (np.float32,))
        yield Kernel("random.bernoulli", id, bernoulli, EXACT)
        yield Kernel("random.dropout_forward", id, dropout, EXACT)
        yield Kernel("random.dropout_backward", id, dropout_backward, EXACT)


def _input(rng, shape, axes, dtype):
    if axes is None:
        return np.asarray(rng.standard_normal(shape), dtype)
    dense = rng.standard_normal([shape[a] for a in axes]).astype(dtype)
    return dense.transpose(np.argsort(axes))


KERNELS = list(_cases())
