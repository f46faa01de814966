"""Hooks of tensors: what they see of a gradient, what they may change, and when they run."""

import numpy as np
import pytest

import nnrt
from tests.test_autograd import leaf


def test_hooks_on_leaves_and_intermediates():
    x = leaf(1.0, 2.0)
    h = x * 3
    seen = []
    leaf_hook = x.register_hook(lambda g: seen.append(("x", g.numpy().copy())))
    h.register_hook(lambda g: g * 10)
    h.retain_grad()
    h.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [30, 30])
    np.testing.assert_array_equal(h.grad.numpy(), [10, 10])
    assert seen[0][0] == "x"
    leaf_hook.remove()
    (x * 1).sum().backward()
    assert len(seen) == 1


def test_a_hook_on_a_leaf_sees_the_whole_gradient_once():
    x = leaf(1.0, 2.0)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()) or g.clamp(max=4))
    y = (x * 2 + x * 3).sum()
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [4, 4]
    assert nnrt.autograd.grad(y, x, retain_graph=True)[0].tolist() == [4, 4]
    y.backward(inputs=[x])
    assert x.grad.tolist() == [8, 8] and seen == [[5, 5]] * 3


def test_what_a_hook_keeps_does_not_change():
    x = leaf(1.0)
    seen = []
    x.register_hook(lambda g: seen.append(g))
    for _ in range(2):
        (x * 2).sum().backward()
    assert [g.tolist() for g in seen] == [[2], [2]]


def test_retain_grad_keeps_what_the_hooks_made():
    x = leaf(1.0, 2.0)
    h = x * 1
    h.retain_grad()
    h.retain_grad()
    h.register_hook(lambda g: g * 10)
    (h * 2).sum().backward()
    assert h.grad.tolist() == x.grad.tolist() == [20, 20]


@pytest.mark.parametrize("on_leaf", [True, False])
def test_a_hook_that_returns_no_gradient_is_named(on_leaf):
    answers = []

    def careless(g):
        return answers[-1]

    for answer, error, message in (
        (3.0, TypeError, "hook careless returned a float; wants a Tensor"),
        (nnrt.ones(3), RuntimeError, r"careless returned float32 of shape \(3,\) .* float64 of shape \(2,\)"),
        (nnrt.ones(2), RuntimeError, "careless returned float32"),
    ):
        answers.append(answer)
        x = leaf(1.0, 2.0)
        y = x * 1
        (x if on_leaf else y).register_hook(careless)
        with pytest.raises(error, match=message):
            y.sum().backward()
        assert x.grad is None


def test_hooks_after_accumulation():
    x, seen = leaf(1.0, 2.0), []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append((t is x, t.grad.tolist())))
    (x * 2 + x).sum().backward()
    (x * 2).sum().backward(inputs=[x])
    assert seen == [(True, [3, 3]), (True, [5, 5])]
    nnrt.autograd.grad((x * 2).sum(), x)
    handle.remove()
    x.sum().backward()
    assert len(seen) == 2
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 2).register_post_accumulate_grad_hook(print)
