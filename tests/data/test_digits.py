"""The bundled digits: what they are, the fixed split, and what scikit-learn carries."""

import hashlib

import numpy as np
import pytest

from nnrt.data import load_digits


def test_shapes_and_values():
    images, labels = load_digits("train")
    assert images.shape == (1437, 1, 8, 8) and images.dtype == np.float32
    assert labels.shape == (1437,) and labels.dtype == np.int64
    assert images.array.min() == 0 and images.array.max() == 1
    assert load_digits("test")[0].shape == (360, 1, 8, 8)


def test_the_split_is_stratified_complete_and_disjoint():
    images, labels = load_digits("all", raw=True)
    assert images.shape == (1797, 8, 8) and images.dtype == labels.dtype == np.uint8 and images.max() == 16
    train, test = load_digits("train", raw=True), load_digits("test", raw=True)
    assert np.bincount(test[1]).tolist() == [36] * 10
    parts = sorted(image.tobytes() for image in np.concatenate([train[0], test[0]]))
    assert parts == sorted(image.tobytes() for image in images)


def test_the_split_never_changes():
    digest = hashlib.sha256(b"".join(a.tobytes() for a in load_digits("test", raw=True))).hexdigest()
    assert digest == "51cda0d6b651a3f7a1adfe1133b18908b326aeb2dfe6eb596e5aba06dc33da12"


def test_equals_what_scikit_learn_carries():
    datasets = pytest.importorskip(
        "sklearn.datasets", reason="scikit-learn is the oracle; it is not installed"
    )
    images, labels = load_digits("all", raw=True)
    want = datasets.load_digits()
    np.testing.assert_array_equal(images, want.images)
    np.testing.assert_array_equal(labels, want.target)


def test_unknown_split():
    with pytest.raises(ValueError, match="'val'; wanted 'train', 'test' or 'all'"):
        load_digits("val")
