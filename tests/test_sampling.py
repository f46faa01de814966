"""Sampling from logits: frequencies, what top_k and top_p leave, reproducible draws, bad settings."""

import numpy as np
import pytest

import nnrt
from nnrt.ops.sampling import sample

P = np.array([0.5, 0.2, 0.15, 0.1, 0.05])


def frequencies(p=P, n=20000, **options):
    logits = nnrt.from_numpy(np.tile(np.log(p) + 3, (n, 1)).astype(np.float32))
    drawn = sample(logits, generator=nnrt.Generator().manual_seed(1), **options)
    assert drawn.shape == (n,) and drawn.dtype == nnrt.int64
    return np.bincount(drawn.numpy(), minlength=len(p)) / n


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 1, 4, 0, 2]])
@pytest.mark.parametrize(
    "options, kept",
    [
        ({}, 5), ({"top_k": 2}, 2), ({"top_k": 9}, 5), ({"top_p": 0.69}, 2), ({"top_p": 0.71}, 3), ({"top_p": 1e-9}, 1),
        ({"top_k": 4, "top_p": 0.8}, 3), ({"top_k": 1}, 1),
    ],
)  # fmt: skip
def test_frequencies(options, kept, order):
    want = np.where(np.arange(5) < kept, P, 0)[order]
    got = frequencies(P[order], **options)
    np.testing.assert_allclose(got, want / want.sum(), atol=0.012)
    assert (got[want == 0] == 0).all()


def test_temperature():
    want = P**2 / (P**2).sum()
    np.testing.assert_allclose(frequencies(temperature=0.5), want, atol=0.012)
    assert frequencies(temperature=0)[0] == 1
    assert frequencies(temperature=1e-3)[0] == frequencies(temperature=1e-310)[0] == 1


def test_impossible_tokens_are_never_drawn():
    p = np.array([0, 0.3, 0, 0.7, 0])
    with np.errstate(divide="ignore"):
        assert (frequencies(p)[[0, 2, 4]] == 0).all()


def test_a_seed_gives_the_same_draws_and_shapes_follow_the_logits():
    logits = nnrt.randn(3, 4, 7)
    a, b = (sample(logits, generator=nnrt.Generator().manual_seed(5)) for _ in range(2))
    assert a.shape == (3, 4) and nnrt.equal(a, b)
    assert sample(logits[0, 0]).shape == ()
    nnrt.manual_seed(3)
    a = sample(logits)
    nnrt.manual_seed(3)
    assert nnrt.equal(a, sample(logits))


@pytest.mark.parametrize(
    "options, word",
    [
        ({"temperature": -1}, "temperature"), ({"temperature": np.nan}, "temperature"), ({"top_k": 0}, "top_k"),
        ({"top_k": 1.5}, "top_k"), ({"top_p": 0}, "top_p"), ({"top_p": 1.1}, "top_p"),
    ],
)  # fmt: skip
def test_bad_settings(options, word):
    with pytest.raises(ValueError, match=f"sample: {word}"):
        sample(nnrt.zeros(3), **options)


@pytest.mark.parametrize("row", [[0, np.nan], [0, np.inf], [-np.inf, -np.inf]])
def test_bad_logits(row):
    with pytest.raises(ValueError, match="a row of logits"):
        sample(nnrt.tensor([[0.0, 1.0], row]))
    with pytest.raises(ValueError, match="floating"):
        sample(nnrt.tensor([1, 2]))
    with pytest.raises(TypeError, match="sample"):
        sample([0.0, 1.0])
