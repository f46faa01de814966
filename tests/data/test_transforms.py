"""Augmentation: what each transform does, its draws, memory order, and bad input."""

import numpy as np
import pytest

import nnrt
from nnrt.data import transforms as T


@pytest.fixture
def images(rng):
    return rng.standard_normal((40, 3, 8, 9)).astype(np.float32)


def generator():
    return nnrt.Generator().manual_seed(3)


RANDOM = [
    lambda g: T.RandomCrop(6, padding=2, generator=g),
    lambda g: T.RandomHorizontalFlip(generator=g),
    lambda g: T.RandomVerticalFlip(0.3, generator=g),
    lambda g: T.RandomBrightness(0.5, generator=g),
    lambda g: T.RandomContrast(0.5, generator=g),
    lambda g: T.RandomErasing(0.7, generator=g),
]
FIXED = [T.ToFloat(), T.Normalize([0.1, 0.2, 0.3], 2), T.Pad(2, mode="reflect"), T.CenterCrop((4, 5))]


@pytest.mark.parametrize("make", RANDOM)
def test_a_seed_repeats_the_draws(make, images):
    first, again, other = make(generator())(images), make(generator())(images), make(nnrt.Generator().manual_seed(4))(images)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    results = []
    for _ in range(2):
        nnrt.manual_seed(11)
        results.append(make(None)(images))
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("transform", FIXED + [make(None) for make in RANDOM], ids=lambda t: type(t).__name__)
def test_any_form_of_the_input(transform, images):
    before = images.copy()
    nhwc = np.ascontiguousarray(images.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    results = []
    for x in (images, nhwc, images[:, ::-1][:, ::-1], nnrt.from_numpy(images)):
        nnrt.manual_seed(0)
        results.append(transform(x))
    assert isinstance(results.pop(), nnrt.Tensor)
    for result in results:
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, results[0], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(images, before)
    assert transform(images[0]).shape == results[0].shape[1:]
    assert transform(images[:0]).shape == (0, *results[0].shape[1:])


def test_flips(images):
    for transform, axis in ((T.RandomHorizontalFlip, 3), (T.RandomVerticalFlip, 2)):
        np.testing.assert_array_equal(transform(1.0)(images), np.flip(images, axis))
        np.testing.assert_array_equal(transform(0.0)(images), images)
        some = transform(0.5, generator())(images)
        flipped = np.array([np.array_equal(s, np.flip(i, axis - 1)) for s, i in zip(some, images)])
        kept = np.array([np.array_equal(s, i) for s, i in zip(some, images)])
        assert (flipped ^ kept).all() and 8 < flipped.sum() < 32


def test_crops_come_from_everywhere(images):
    places = np.arange(72).reshape(1, 1, 8, 9).repeat(300, 0)
    corners = T.RandomCrop((6, 6), generator=generator())(places)[:, 0, 0, 0]
    assert set(corners) == {9 * top + left for top in range(3) for left in range(4)}
    for crop in T.RandomCrop(6, generator=generator())(places)[:, 0]:
        np.testing.assert_array_equal(crop - crop[0, 0], places[0, 0, :6, :6])
    np.testing.assert_array_equal(T.RandomCrop((8, 9))(images), images)
    padded = T.RandomCrop(12, padding=(2, 2), fill=7)(places[:, :, :, :8])
    assert (padded[:, :, :2] == 7).all() and (padded[:, :, 2:-2, 2:-2] == places[:, :, :, :8]).all()


def test_pad(images):
    assert T.Pad((1, 2, 3, 4))(images).shape == (40, 3, 8 + 2 + 4, 9 + 1 + 3)
    np.testing.assert_array_equal(T.Pad((1, 2, 3, 4), fill=5)(images)[:, :, 2:-4, 1:-3], images)
    assert (T.Pad(1, fill=5)(images)[:, :, 0] == 5).all()
    np.testing.assert_array_equal(T.Pad(1, mode="edge")(images)[:, :, 0, 1:-1], images[:, :, 0])


def test_values(images):
    u = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    np.testing.assert_allclose(T.ToFloat()(u), u / 255, rtol=1e-6)
    mean, std = images.mean((0, 2, 3)), images.std((0, 2, 3))
    y = T.Normalize(mean, std)(images)
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, rtol=1e-5)
    factors = T.RandomBrightness(0.5, generator=generator())(images) / images
    np.testing.assert_allclose(factors, factors[:, :1, :1, :1].repeat(3, 1).repeat(8, 2).repeat(9, 3), rtol=1e-5)
    assert factors.min() > 0.5 and factors.max() < 1.5 and np.ptp(factors) > 0.5
    contrast = T.RandomContrast(0.5, generator=generator())(images)
    np.testing.assert_allclose(contrast.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=1e-5)
    assert T.RandomBrightness(1.0, clip=(0, 1))(images).min() == 0
    assert T.RandomCrop(4)(u).dtype == T.RandomHorizontalFlip()(u).dtype == np.uint8


def test_erasing(images):
    out = T.RandomErasing(1.0, scale=(0.25, 0.25), ratio=(1, 1), value=9, generator=generator())(images + 20)
    erased = (out == 9).sum((1, 2, 3)) / 3
    assert (erased == 16).all()  # a quarter of 72 as a square
    assert len({tuple(np.argwhere(o[0] == 9)[0]) for o in out}) > 10
    np.testing.assert_array_equal(T.RandomErasing(0.0)(images), images)


def test_compose(images):
    both = T.Compose([T.Pad(1), T.CenterCrop((8, 9))])
    np.testing.assert_array_equal(both(images), images)
    assert repr(both) == "Compose(transforms=[Pad(padding=(1, 1, 1, 1), fill=0, mode='constant'), CenterCrop(size=(8, 9))])"


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda x: T.CenterCrop(9)(x), ValueError, r"CenterCrop: a part of \(9, 9\) does not fit .*\(40, 3, 8, 9\)"),
        (lambda x: T.RandomCrop(0), ValueError, "RandomCrop: size must be one or two positive numbers"),
        (lambda x: T.RandomHorizontalFlip(1.5), ValueError, "RandomHorizontalFlip: p must be within 0 to 1, got 1.5"),
        (lambda x: T.RandomBrightness(-1), ValueError, "RandomBrightness: amount must be within"),
        (lambda x: T.Normalize(0, 0), ValueError, "Normalize: std must not be 0"),
        (lambda x: T.Normalize([1, 2], 1)(x), ValueError, "Normalize: 2 values for images of 3 channels"),
        (lambda x: T.Normalize(0, 1)(x.astype(np.uint8)), TypeError, r"Normalize: wants floating images, got uint8; ToFloat"),
        (lambda x: T.ToFloat()(x.astype(np.int64)), TypeError, "ToFloat: wants uint8 or floating images, got int64"),
        (lambda x: T.Pad(-1), ValueError, "Pad: padding must be"),
        (lambda x: T.Pad(1, mode="wrap"), ValueError, "Pad: mode must be one of constant, edge"),
        (lambda x: T.RandomErasing(scale=(0.5, 0.1)), ValueError, "RandomErasing: scale"),
        (lambda x: T.ToFloat()(x[0, 0]), ValueError, r"ToFloat: wants images \(N, C, H, W\).*shape \(8, 9\)"),
        (lambda x: T.ToFloat()([1]), ValueError, "ToFloat: wants images .* got list"),
    ],
)
def test_bad_input(call, error, text, images):
    with pytest.raises(error, match=text):
        call(images)
