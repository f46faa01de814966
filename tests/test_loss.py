"""Losses: what is saved, extreme values, targets out of range, several threads at once, and errors."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import nnrt
from nnrt.ops import loss as L
from nnrt.ops import margin as M
from nnrt.ops import pointwise as P


def tensor(a, requires_grad=False):
    t = nnrt.from_numpy(np.asarray(a))
    return t.requires_grad_(True) if requires_grad else t


def test_cross_entropy_keeps_the_log_sum_exp_alone():
    x = tensor(np.random.default_rng(0).standard_normal((50, 30)).astype(np.float32), True)
    t = tensor(np.arange(50) % 30)
    saved = L.cross_entropy(x, t).grad_fn.saved_arrays
    own = [a for a in saved if isinstance(a, np.ndarray) and a is not x.array and a is not t.array]
    assert sum(a.size for a in own) == 50


@pytest.mark.parametrize("offset", [-1e4, 0, 1e4])
def test_cross_entropy_of_large_logits(offset):
    x = tensor(np.array([[offset, offset + 2.0], [offset, offset - 500]]), True)
    y = L.cross_entropy(x, tensor(np.array([0, 1])), reduction="none")
    np.testing.assert_allclose(y.detach().numpy(), [2 + np.log1p(np.exp(-2)), 500], rtol=1e-9)
    y.sum().backward()
    p = 1 / (1 + np.exp(2))
    np.testing.assert_allclose(x.grad.numpy(), [[p - 1, 1 - p], [1, -1]], atol=1e-9)


@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [0, 2])
def test_cross_entropy_without_classes(reduction, smoothing, rows):
    for target in (np.full(rows, -100), np.zeros((rows, 0))):
        x = tensor(np.zeros((rows, 0)), True)
        y = L.cross_entropy(x, tensor(target), reduction=reduction, label_smoothing=smoothing)
        y.sum().backward()
        mean_of_none = reduction == "mean" and (not rows or target.ndim == 1)
        assert x.grad.shape == (rows, 0) and (np.isnan(y.item()) if mean_of_none else not y.detach().numpy().any())


INF, NAN = np.inf, np.nan
ODD_ROWS = [
    *[[0.5, INF, -1, 2], [INF, INF, 0, 1], [-INF, INF, 0, 1], [INF] * 4, [-INF] * 4],
    *[[0.5, NAN, -1, 2], [NAN, INF, 0, 1], [-INF, NAN, 0, 1], [NAN] * 4],
]
SPARSE_ROWS = [[0.5, -INF, -1, 2], [-INF, 3, -INF, -INF], [1, 2, 3, 4]]


def of_rows(library, rows, dtype, columns, kind, loss):
    """Losses of the rows, once with each class as the target, and the gradients; rows along axis 1 if columns."""
    x = np.repeat(np.array(rows, dtype), 4, axis=0)
    x = np.tile(x, (1, 5))  # longer than a vector
    t = np.arange(len(x)) % 4
    if kind == "probabilities":
        t = (0.8 * np.eye(x.shape[1])[t] + 0.2 / x.shape[1]).astype(dtype)
    if columns:
        x, t = np.ascontiguousarray(x.T)[None], np.ascontiguousarray(t.T)[None]
    x, t = library.from_numpy(x).requires_grad_(True), library.from_numpy(t)
    y = loss(library, x, t)
    y.backward(library.from_numpy(np.linspace(0.5, 1.5, y.numel(), dtype=dtype).reshape(y.shape)))
    return np.array(y.detach().numpy()).reshape(-1), x.grad.numpy().reshape(x.shape)


def cross_entropy_of(smoothing):
    return lambda t, x, y: t.nn.functional.cross_entropy(x, y, reduction="none", label_smoothing=smoothing)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_cross_entropy_of_rows_without_a_softmax_is_nan(dtype, columns, kind, smoothing):
    y, dx = of_rows(nnrt, ODD_ROWS, dtype, columns, kind, cross_entropy_of(smoothing))
    assert np.isnan(y).all() and np.isnan(dx).all()
    x = tensor(np.array(ODD_ROWS, dtype), True)
    y = L.cross_entropy(x, tensor(np.full(len(ODD_ROWS), 3)), ignore_index=3, reduction="sum", label_smoothing=smoothing)
    y.backward()
    assert y.item() == 0 and not x.grad.numpy().any()  # ignored rows count for nothing, whatever they hold


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("kind", ["classes", "probabilities"])
@pytest.mark.parametrize("smoothing", [0.0, 0.2, 1.0])
def test_cross_entropy_of_odd_rows_agrees_with_torch(torch, dtype, columns, kind, smoothing):
    rows = ODD_ROWS + SPARSE_ROWS
    got = of_rows(nnrt, rows, dtype, columns, kind, cross_entropy_of(smoothing))
    want = of_rows(torch, rows, dtype, columns, kind, cross_entropy_of(smoothing))
    for g, w in zip(got, want):
        np.testing.assert_allclose(g, w, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp"])
def test_softmax_of_odd_rows_agrees_with_torch(torch, dtype, columns, name):
    def loss(t, x, y):
        return getattr(t, name)(x, 1)

    rows = ODD_ROWS + SPARSE_ROWS
    got = of_rows(nnrt, rows, dtype, columns, "classes", loss)
    want = of_rows(torch, rows, dtype, columns, "classes", loss)
    for g, w in zip(got, want):
        np.testing.assert_allclose(g, w, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("soft", [False, True])
def test_cross_entropy_of_large_float_logits_keeps_its_digits(soft):
    """1e6 + 3 has but four binary digits after the point in float32: log sum exp must not be rounded to them."""
    x = np.float32(1e6) + np.arange(8, dtype=np.float32).reshape(2, 4)
    q = np.eye(4, dtype=np.float32)[[3, 0]]
    t = tensor(x, True)
    y = L.cross_entropy(t, tensor(q if soft else np.array([3, 0])), reduction="none")
    p = np.exp(x - x.max(1, keepdims=True), dtype=np.float64)
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(y.detach().numpy(), -np.log((p * q).sum(1)), rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(t.grad.numpy(), p - q, atol=1e-6)


def test_cross_entropy_with_every_target_ignored_has_no_gradient():
    x = tensor(np.ones((2, 3)), True)
    y = L.cross_entropy(x, tensor(np.array([7, 7])), ignore_index=7)
    y.backward()
    assert np.isnan(y.item()) and not x.grad.numpy().any()


def test_ignored_rows_take_no_part_even_when_they_hold_nan():
    x = np.ones((2, 3))
    x[1] = np.nan
    t = tensor(x, True)
    y = L.cross_entropy(t, tensor(np.array([0, -100])))
    y.backward()
    assert y.item() == pytest.approx(np.log(3)) and not t.grad.numpy()[1].any()


def test_binary_cross_entropy_with_logits_does_not_overflow():
    x = tensor(np.array([1e4, -1e4]), True)
    y = P.binary_cross_entropy_with_logits(x, tensor(np.array([0.0, 1.0])), reduction="none")
    y.sum().backward()
    assert y.detach().numpy().tolist() == [1e4, 1e4] and x.grad.numpy().tolist() == [1, -1]


def test_nan_propagates():
    x = tensor(np.array([1.0, np.nan]))
    for f in (P.mse_loss, P.l1_loss, P.smooth_l1_loss, P.huber_loss):
        assert np.isnan(f(x, tensor(np.zeros(2))).item()), f.__name__


def test_integer_targets_are_taken_as_numbers():
    assert P.mse_loss(tensor(np.array([1.0, 3.0])), tensor(np.array([1, 1]))).item() == 2


def test_int32_class_indices():
    x = tensor(np.zeros((2, 4)))
    assert L.cross_entropy(x, tensor(np.array([1, 2], np.int32))).item() == pytest.approx(np.log(4))


def test_ten_threads_at_once():
    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((300, 50)).astype(np.float32), rng.integers(0, 50, 300)

    def step(_):
        leaf = tensor(x, True)
        y = L.cross_entropy(leaf, tensor(t)) + nnrt.softmax(leaf, 1).max() + leaf.sum(0).mean()
        y.backward()
        return y.item(), leaf.grad.numpy().tobytes()

    with ThreadPoolExecutor(10) as pool:
        assert len(set(pool.map(step, range(40)))) == 1


ROWS, T = np.zeros((2, 3)), np.array([0, 1])


@pytest.mark.parametrize(
    "call,error,text",
    [
        (lambda x, t: L.cross_entropy(x, t + 2), IndexError, r"at position \(1,\) is no class: there are 3"),
        (lambda x, t: L.nll_loss(x, t - 1), IndexError, r"nll_loss: target -1 at position \(0,\)"),
        (lambda x, t: L.cross_entropy(x, t[:1]), ValueError, r"class indices of shape \(2,\), got \(1,\)"),
        (lambda x, t: L.cross_entropy(x, t.double()), RuntimeError, "integer class indices"),
        (lambda x, t: L.cross_entropy(x, t, x[0, :2]), RuntimeError, r"must be float64 of shape \(3,\)"),
        (lambda x, t: L.cross_entropy(x, t, reduction="avg"), ValueError, "reduction must be 'mean'"),
        (lambda x, t: L.cross_entropy(x, t, label_smoothing=2), RuntimeError, "label_smoothing must be in"),
        (lambda x, t: L.cross_entropy(x, x.float()), RuntimeError, "of its dtype"),
        (lambda x, t: L.cross_entropy(x[0, 0], t), ValueError, "must have a class axis"),
        (lambda x, t: P.huber_loss(x, x.float()), RuntimeError, "one dtype, got float64 and float32"),
        (lambda x, t: P.mse_loss(x, x[:, :2]), RuntimeError, "do not broadcast"),
        (lambda x, t: P.mse_loss(x.long(), x), RuntimeError, "input must be floating"),
        (lambda x, t: P.mse_loss(x, x, reduction="avg"), ValueError, "mse_loss: reduction"),
        (lambda x, t: P.smooth_l1_loss(x, x, beta=-1), ValueError, "beta must be >= 0"),
        (lambda x, t: P.huber_loss(x, x, delta=0), ValueError, "delta must be > 0"),
        (lambda x, t: P.binary_cross_entropy(x + 2, x), RuntimeError, r"input must be in \[0, 1\]"),
        (lambda x, t: P.binary_cross_entropy(x, x[:1]), ValueError, "must have the shape of input"),
        (lambda x, t: P.binary_cross_entropy_with_logits(x, x[:1]), ValueError, "the shape of input"),
        (lambda x, t: M.gaussian_nll_loss(x, x, x - 1), ValueError, "negative"),
        (lambda x, t: M.gaussian_nll_loss(x, x, t.double()[:1]), ValueError, "does not go with input"),
        (lambda x, t: M.cosine_embedding_loss(x, x, x), RuntimeError, "wants inputs"),
        (lambda x, t: M.triplet_margin_loss(x, x, x, margin=0), ValueError, "margin must be > 0"),
        (lambda x, t: M.triplet_margin_loss(x, x, x[0]), RuntimeError, "as many dimensions"),
        (lambda x, t: M.margin_ranking_loss(x, x, x[0]), RuntimeError, "as many dimensions"),
        (lambda x, t: M.multi_margin_loss(x, t, p=3), ValueError, "p must be 1 or 2"),
        (lambda x, t: M.multi_margin_loss(x, t + 2), IndexError, "target 3 at position 1 is no class"),
        (lambda x, t: M.multi_margin_loss(x, t, weight=x[0, :2]), RuntimeError, "weight must have shape"),
        (lambda x, t: M.multilabel_margin_loss(x, t), RuntimeError, "integer target of shape"),
        (lambda x, t: M.multilabel_margin_loss(x, x.long() + 5), IndexError, "target 5 is no class"),
    ],
)
def test_refusals(call, error, text):
    with pytest.raises(error, match=text):
        call(tensor(ROWS), tensor(T))


CTC = (nnrt.zeros(5, 2, 4), nnrt.ones(2, 3, dtype=nnrt.int64), (5, 5), (3, 2))


@pytest.mark.parametrize(
    "changed, kind, message",
    [
        ({0: nnrt.zeros(5, 2, 4, 1)}, RuntimeError, r"log_probs must be .*got float32 \(5, 2, 4, 1\)"),
        ({1: nnrt.ones(3, 3, dtype=nnrt.int64)}, RuntimeError, r"targets must be integers \[2, S\].*\(3, 3\)"),
        ({1: nnrt.ones(2, 3)}, RuntimeError, "targets must be integers .*float32"),
        ({1: nnrt.ones(4, dtype=nnrt.int64)}, RuntimeError, "target_lengths add up to 5, targets in one row are 4"),
        ({1: nnrt.full((2, 3), 4)}, IndexError, "target 4 is no class: there are 4 classes"),
        ({2: (6, 5)}, RuntimeError, "input_lengths must be within 0 and 5, got 5 to 6"),
        ({2: (5,)}, RuntimeError, r"input_lengths must have a length for each of 2 samples, got shape \(1,\)"),
        ({3: (4, 1)}, RuntimeError, "target_lengths must be within 0 and 3, got 1 to 4"),
        ({4: 4}, RuntimeError, "blank must be one of the 4 classes, got 4"),
        ({4: 0, 5: "all"}, ValueError, "reduction must be"),
    ],
)
def test_ctc_loss_names_what_does_not_fit(changed, kind, message):
    args = dict(enumerate(CTC)) | changed
    with pytest.raises(kind, match=message):
        nnrt.nn.functional.ctc_loss(*(args[i] for i in sorted(args)))


def test_labels_behind_a_target_may_be_anything():
    x, targets = nnrt.zeros(5, 2, 4), nnrt.tensor([[1, 2, 3], [1, 2, -1]])
    want = nnrt.nn.functional.ctc_loss(x, nnrt.tensor([1, 2, 3, 1, 2]), (5, 5), (3, 2))
    assert nnrt.nn.CTCLoss()(x, targets, (5, 5), (3, 2)).item() == want.item()
