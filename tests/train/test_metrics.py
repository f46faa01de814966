"""Metrics: against counting by hand, over batches, with ties, NaN, ignored and missing classes."""

import numpy as np
import pytest

from nnrt.tensor import wrap
from nnrt.train import F1, Accuracy, ConfusionMatrix, Mean, Precision, Recall, TopK


def test_mean_is_weighted():
    mean = Mean()
    assert np.isnan(mean.value())
    mean.update(1.0, 3)
    mean.update(5.0)
    assert mean.value() == 2.0
    mean.reset()
    assert np.isnan(mean.value())


@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_top_k_counts(rng, k):
    scores, target = rng.normal(size=(50, 5)), rng.integers(0, 5, 50)
    metric = TopK(k)
    for part in (slice(0, 7), slice(7, 50)):
        metric.update(wrap(scores[part]), wrap(target[part]))
    want = np.mean([t in np.argsort(-s)[:k] for s, t in zip(scores, target)])
    assert metric.value() == pytest.approx(want)


def test_ties_go_to_the_lower_class_and_nan_is_wrong():
    scores = np.array([[1.0, 1.0], [1.0, 1.0], [np.nan, 1.0], [0.0, np.nan]])
    metric = Accuracy()
    metric.update(scores, np.array([0, 1, 1, 0]))
    assert metric.value() == 0.25


def test_more_axes_and_ignored_targets(rng):
    scores, target = rng.normal(size=(4, 3, 5, 2)), rng.integers(0, 3, (4, 5, 2))
    target[0] = -100
    metric = Accuracy()
    metric.update(scores, target)
    kept = target != -100
    assert metric.count == kept.sum()
    assert metric.value() == pytest.approx((scores.argmax(1) == target)[kept].mean())


def test_confusion_and_ratios():
    right = np.array([0, 0, 0, 1, 1, 3])
    given = np.array([0, 0, 1, 1, 0, 3])
    metric = ConfusionMatrix(4)
    metric.update(np.eye(4)[given], right)
    np.testing.assert_array_equal(metric.value(), [[2, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    np.testing.assert_allclose(metric.precision(), [2 / 3, 1 / 2, np.nan, 1])
    np.testing.assert_allclose(metric.recall(), [2 / 3, 1 / 2, np.nan, 1])
    np.testing.assert_allclose(metric.f1(), [2 / 3, 1 / 2, np.nan, 1])
    assert metric.accuracy() == pytest.approx(4 / 6)
    for kind in (Precision, Recall, F1):
        macro = kind(4)
        macro.update(np.eye(4)[given], right)
        assert macro.value() == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert np.isnan(F1(3).value()) and np.isnan(ConfusionMatrix(2).accuracy())


def test_against_scikit_learn(rng):
    oracle = pytest.importorskip("sklearn.metrics", reason="scikit-learn is the oracle; it is not installed")
    scores, target = rng.normal(size=(200, 6)), rng.integers(0, 6, 200)
    metric = ConfusionMatrix(6)
    metric.update(scores, target)
    given = scores.argmax(1)
    np.testing.assert_array_equal(metric.value(), oracle.confusion_matrix(target, given))
    want = oracle.precision_recall_fscore_support(target, given)
    for got, expected in zip((metric.precision(), metric.recall(), metric.f1()), want):
        np.testing.assert_allclose(got, expected)


@pytest.mark.parametrize(
    "metric", [Accuracy(), TopK(2), ConfusionMatrix(3), F1(3), Mean()], ids=lambda m: m.name
)
def test_state_goes_through(rng, metric):
    scores, target = rng.normal(size=(20, 3)), rng.integers(0, 3, 20)
    args = (0.7, 3) if isinstance(metric, Mean) else (scores, target)
    metric.update(*args)
    state, value = metric.state_dict(), np.copy(metric.value())
    metric.reset()
    metric.load_state_dict(state)
    np.testing.assert_array_equal(metric.value(), value)


@pytest.mark.parametrize(
    "output, target, message",
    [
        (np.zeros((3, 2)), np.zeros(4, int), "wanted output"),
        (np.zeros(3), np.zeros(3, int), "wanted output"),
        (np.zeros((3, 2)), np.zeros(3), "integer target"),
        (np.zeros((3, 2)), np.array([0, 2, 0]), "target 2 is out of range for 2 classes"),
        (np.zeros((3, 2)), np.array([0, -1, 0]), "target -1 is out of range"),
    ],
)
def test_bad_batches_are_named(output, target, message):
    with pytest.raises(ValueError, match=message):
        Accuracy().update(output, target)


def test_bad_arguments():
    with pytest.raises(ValueError, match="k must be"):
        TopK(0)
    with pytest.raises(ValueError, match="classes must be"):
        ConfusionMatrix(0)
    with pytest.raises(ValueError, match="2 classes, wanted 3"):
        ConfusionMatrix(3).update(np.zeros((1, 2)), np.zeros(1, int))


def test_an_empty_batch_counts_nothing():
    metric = Accuracy()
    metric.update(np.zeros((0, 3)), np.zeros(0, int))
    assert metric.count == 0 and np.isnan(metric.value())
