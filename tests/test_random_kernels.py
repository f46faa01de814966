"""Philox's known answers, and what the definition of the streams promises, on every back-end."""

import importlib

import numpy as np
import pytest

from nnrt import registry
from nnrt._ref import random as ref

SEED = 0xC0FFEE_1234_5678
BACKENDS = [b for b in registry.available() if b in registry.order()]

# Known answers of the Random123 distribution for philox4x32 with ten rounds: counter, key, result.
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.fixture(params=BACKENDS)
def kernels(request):
    return importlib.import_module(f"{registry.PACKAGES[request.param]}.random")


@pytest.mark.parametrize("counter, key, result", KNOWN)
def test_known_answers(counter, key, result):
    assert tuple(ref.philox(counter, key)) == result


def test_known_answer_reaches_the_kernels(kernels):
    out = np.empty(4, np.float32)
    kernels.uniform(out, 0, 0)
    assert out.tolist() == [(w >> 8) / 2**24 for w in KNOWN[0][2]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["uniform", "normal"])
def test_an_element_depends_on_its_index_alone(kernels, name, dtype):
    draw = getattr(kernels, name)
    whole = np.empty(1000, dtype)
    draw(whole, SEED, 5)
    for start, stop in [(0, 1), (1, 2), (2, 7), (333, 1000), (999, 1000)]:
        part = np.empty(stop - start, dtype)
        draw(part, SEED, 5 + start)
        np.testing.assert_array_max_ulp(part, whole[start:stop], 2)


def test_integers_cover_their_range_and_nothing_else(kernels):
    out = np.empty(20000, np.int64)
    kernels.integers(out, -3, 4, SEED, 0)
    values, counts = np.unique(out, return_counts=True)
    assert values.tolist() == list(range(-3, 4))
    assert abs(counts - 20000 / 7).max() < 5 * np.sqrt(20000 / 7)


def test_integers_of_the_widest_range(kernels):
    out, expected = np.empty(100, np.int64), np.empty(100, np.int64)
    kernels.integers(out, -(2**63), 2**63 - 1, SEED, 0)
    ref.integers(expected, -(2**63), 2**63 - 1, SEED, 0)
    np.testing.assert_array_equal(out, expected)
    assert out.min() < -(2**61) and out.max() > 2**61


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments(kernels, dtype):
    n = 200_000
    u, z = np.empty(n, dtype), np.empty(n, dtype)
    kernels.uniform(u, SEED, 0)
    kernels.normal(z, SEED, n)
    assert u.min() >= 0 and u.max() < 1
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / n)
    assert abs(z.mean()) < 5 / np.sqrt(n) and abs(z.var() - 1) < 5 * np.sqrt(2 / n)
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / n)
    assert abs(np.corrcoef(z[:-1], z[1:])[0, 1]) < 5 / np.sqrt(n)


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_dropout_keeps_and_scales(kernels, p):
    x = np.linspace(-3, 3, 50_000, dtype=np.float32)
    y, mask = np.empty_like(x), np.empty(x.shape, np.uint8)
    kernels.dropout_forward(y, mask, x, p, SEED, 0)
    assert set(np.unique(mask)) <= {0, 1}
    assert abs(mask.mean() - (1 - p)) <= 5 * np.sqrt(p * (1 - p) / x.size)
    scale = np.float32(1 / (1 - p) if p < 1 else 0)
    np.testing.assert_array_equal(y, np.where(mask, x * scale, 0))
    dx = np.empty_like(x)
    kernels.dropout_backward(dx, mask, x, p)
    np.testing.assert_array_equal(dx, y)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_bernoulli_at_the_ends(kernels, p):
    out = np.empty(1000, np.float32)
    kernels.bernoulli(out, p, SEED, 0)
    assert (out == p).all()


def test_seeds_differ_in_both_words(kernels):
    draws = []
    for seed in (0, 1, 1 << 32, (1 << 64) - 1):
        out = np.empty(64, np.float32)
        kernels.uniform(out, seed, 0)
        draws.append(out)
    for i in range(4):
        for j in range(i):
            assert not np.isclose(draws[i], draws[j]).any()
