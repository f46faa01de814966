"""What is measured besides the loss: numbers that accumulate over batches.

Every metric has reset(), update(output, target), value(), state_dict() and load_state_dict(), and a
name under which its value appears in the history. Scores of N samples over C classes:

    output   float (N, C): higher is likelier; more axes (N, C, d1, ...) count d1*... samples each
    target   integer (N,) or (N, d1, ...): the right class, or ignore_index
"""

import numpy as np

from ..tensor import Tensor


class Metric:
    """Base: subclasses keep their sums in attributes named by STATE (numbers or numpy arrays)."""

    name = "metric"
    STATE = ()

    def reset(self):
        """Forgets everything."""
        raise NotImplementedError(f"{type(self).__name__} must define reset()")

    def update(self, output, target):
        """Takes in one batch."""
        raise NotImplementedError(f"{type(self).__name__} must define update(output, target)")

    def value(self):
        """The number over all batches since reset()."""
        raise NotImplementedError(f"{type(self).__name__} must define value()")

    def state_dict(self):
        """The sums so far, for a checkpoint in the middle of an epoch."""
        return {name: getattr(self, name) for name in self.STATE}

    def load_state_dict(self, state):
        """Goes on from sums that state_dict() gave."""
        for name in self.STATE:
            setattr(self, name, state[name])


class Mean(Metric):
    """Mean of numbers, each weighted: update(value, weight). The trainer keeps the loss in one."""

    STATE = ("total", "weight")

    def __init__(self, name="mean"):
        self.name = name
        self.reset()

    def reset(self):
        self.total, self.weight = 0.0, 0.0

    def update(self, value, weight=1):
        self.total += float(value) * weight
        self.weight += weight

    def value(self):
        return self.total / self.weight if self.weight else float("nan")


class TopK(Metric):
    """Share of samples whose right class is among the k highest scores; ties go to the lower class."""

    STATE = ("right", "count")

    def __init__(self, k=5, ignore_index=-100, name=None):
        if k < 1:
            raise ValueError(f"TopK: k must be at least 1, got {k}")
        self.k = k
        self.ignore_index = ignore_index
        self.name = name or f"top{k}"
        self.reset()

    def reset(self):
        self.right, self.count = 0, 0

    def update(self, output, target):
        scores, classes = _samples(self.name, output, target, self.ignore_index)
        rows = np.arange(len(classes))
        own = scores[rows, classes][:, None]
        ahead = (scores > own).sum(1) + (
            (scores == own) & (np.arange(scores.shape[1]) < classes[:, None])
        ).sum(1)
        # NaN compares false with everything: a sample with a NaN among its scores counts as wrong.
        self.right += int(((ahead < self.k) & ~np.isnan(scores).any(1)).sum())
        self.count += len(classes)

    def value(self):
        return self.right / self.count if self.count else float("nan")


class Accuracy(TopK):
    """Share of samples whose right class has the highest score."""

    def __init__(self, ignore_index=-100, name="accuracy"):
        super().__init__(1, ignore_index, name)


class ConfusionMatrix(Metric):
    """Counts (C, C): row the right class, column the class with the highest score.

    value() is the matrix; precision(), recall() and f1() are arrays (C,), NaN for a class where the
    number is undefined (0 / 0); macro() averages over the classes that have one.
    """

    STATE = ("matrix",)

    def __init__(self, classes, ignore_index=-100, name="confusion"):
        if classes < 1:
            raise ValueError(f"ConfusionMatrix: classes must be at least 1, got {classes}")
        self.classes = classes
        self.ignore_index = ignore_index
        self.name = name
        self.reset()

    def reset(self):
        self.matrix = np.zeros((self.classes, self.classes), np.int64)

    def update(self, output, target):
        scores, classes = _samples(self.name, output, target, self.ignore_index)
        if scores.shape[1] != self.classes:
            raise ValueError(f"{self.name}: output has {scores.shape[1]} classes, wanted {self.classes}")
        np.add.at(self.matrix, (classes, scores.argmax(1)), 1)

    def value(self):
        return self.matrix

    def precision(self):
        """Of the samples given to a class, the share that belongs there."""
        return _ratio(np.diag(self.matrix), self.matrix.sum(0))

    def recall(self):
        """Of the samples of a class, the share that was given to it."""
        return _ratio(np.diag(self.matrix), self.matrix.sum(1))

    def f1(self):
        """2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall."""
        return _ratio(2 * np.diag(self.matrix), self.matrix.sum(0) + self.matrix.sum(1))

    def accuracy(self):
        """The share of all samples that were given to their class."""
        return float(_ratio(np.trace(self.matrix), self.matrix.sum()))

    @staticmethod
    def macro(values):
        """Unweighted mean over the classes where the number is defined; NaN if there is none."""
        defined = values[~np.isnan(values)]
        return float(defined.mean()) if len(defined) else float("nan")


class _Macro(Metric):
    """One number from a confusion matrix."""

    STATE = ("matrix",)

    def __init__(self, classes, ignore_index=-100, name=None):
        self.counts = ConfusionMatrix(classes, ignore_index, name or type(self).name)
        self.name = name or type(self).name

    @property
    def matrix(self):
        return self.counts.matrix

    @matrix.setter
    def matrix(self, value):
        self.counts.matrix = value

    def reset(self):
        self.counts.reset()

    def update(self, output, target):
        self.counts.update(output, target)


class Precision(_Macro):
    """Precision averaged over classes (macro)."""

    name = "precision"

    def value(self):
        return self.counts.macro(self.counts.precision())


class Recall(_Macro):
    """Recall averaged over classes (macro)."""

    name = "recall"

    def value(self):
        return self.counts.macro(self.counts.recall())


class F1(_Macro):
    """F1 averaged over classes (macro)."""

    name = "f1"

    def value(self):
        return self.counts.macro(self.counts.f1())


def _ratio(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.divide(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=b != 0)


def _samples(name, output, target, ignore_index):
    """(scores (S, C), classes (S,)) as arrays without the ignored samples, checked."""
    scores, classes = _array(output), _array(target)
    if (
        scores.ndim < 2
        or scores.shape[:1] + scores.shape[2:] != classes.shape
        or classes.dtype.kind not in "iu"
    ):
        raise ValueError(
            f"{name}: wanted output (N, C, ...) and integer target (N, ...), "
            f"got {scores.shape} and {classes.dtype} {classes.shape}"
        )
    count = scores.shape[1]
    scores, classes = np.moveaxis(scores, 1, -1).reshape(-1, count), classes.reshape(-1)
    kept = classes != ignore_index
    if not kept.all():
        scores, classes = scores[kept], classes[kept]
    if classes.size and (classes.min() < 0 or classes.max() >= count):
        wrong = classes[(classes < 0) | (classes >= count)][0]
        raise ValueError(f"{name}: target {wrong} is out of range for {count} classes")
    return scores, classes


def _array(x):
    return x.array if isinstance(x, Tensor) else np.asarray(x)
