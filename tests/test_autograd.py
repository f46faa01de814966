"""The tape: order, sharing, freeing, modes, anomaly detection, threads, and its errors."""

import gc
import threading
import weakref

import numpy as np
import pytest

import nnrt
from nnrt.ops.norm import batch_norm_activated


def leaf(*values, dtype=np.float64):
    return nnrt.tensor(np.array(values, dtype), requires_grad=True)


def test_shared_subexpressions_add_up():
    x = leaf(2.0)
    y = x * x
    z = y * y + y  # x^4 + x^2
    z.backward()
    assert x.grad.item() == 4 * 8 + 4


def test_module_used_twice_accumulates_into_one_parameter():
    w = leaf(3.0)
    x = nnrt.tensor(np.array([2.0]))
    (w * (w * x)).backward()
    assert w.grad.item() == 2 * 3 * 2


def test_gradients_accumulate_over_backwards_until_cleared():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * 3).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [6, 6])


def test_leaf_gradients_do_not_share_memory():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    g = nnrt.tensor(np.array([1.0, 1.0]))
    (a + b).backward(g)
    a.grad.add_(5)
    np.testing.assert_array_equal(b.grad.numpy(), [1, 1])
    np.testing.assert_array_equal(g.numpy(), [1, 1])


def test_same_tensor_twice_as_input_of_one_op():
    x = leaf(1.0, 2.0)
    (x + x).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2])


def test_branches_meet_in_any_order():
    # A diamond whose short arm reaches the shared node long before the long arm does.
    x = leaf(0.5)
    h = x * 2
    long = h
    for _ in range(50):
        long = long * 1.0
    (long + h).backward()
    assert x.grad.item() == 4


def test_deep_chain_neither_recurses_nor_overflows():
    x = leaf(1.0)
    y = x
    for _ in range(100_000):
        y = y + 0.0
    y.backward()
    assert x.grad.item() == 1
    del y
    gc.collect()


def test_backward_twice_says_what_to_do():
    x = leaf(2.0)
    y = (x * x).exp()
    y.backward()
    with pytest.raises(RuntimeError, match="second time.*retain_graph=True"):
        y.backward()


def test_retain_graph_allows_a_second_backward():
    x = leaf(2.0)
    y = x * x
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.item() == 8


def test_saved_tensors_are_freed_during_the_walk():
    x = leaf(1.0, 2.0)
    h = x.exp()
    watched = weakref.ref(h)
    y = (h * h).sum()
    del h
    assert watched() is None  # the tape keeps arrays, not tensors
    node = y.grad_fn.next_functions[0][0]
    y.backward()
    assert node.saved_arrays is None


def test_changed_saved_tensor_is_detected():
    x = leaf(1.0, 2.0)
    w = nnrt.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()
    w.add_(1)
    with pytest.raises(RuntimeError, match="mul.*changed in place"):
        y.backward()


def test_changed_view_of_a_saved_tensor_is_detected():
    x = leaf(1.0, 2.0)
    w = nnrt.tensor(np.array([3.0, 4.0]))
    y = (x * w).sum()
    w[0:1].zero_()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_in_place_under_no_grad():
    x = leaf(1.0, 2.0)
    with nnrt.no_grad():
        x += 1
        x.mul_(2)
    np.testing.assert_array_equal(x.detach().numpy(), [4, 6])
    assert x.requires_grad and x.is_leaf


def test_backward_of_a_non_scalar_wants_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*gradient="):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"gradient has shape \(3,\)"):
        (x * 2).backward(nnrt.ones(3))


def test_backward_off_the_tape_is_an_error():
    with pytest.raises(RuntimeError, match="does not require a gradient"):
        nnrt.ones(1).backward()


def test_create_graph_says_why_not():
    with pytest.raises(NotImplementedError, match="create_graph=True"):
        x = leaf(1.0)
        nnrt.autograd.grad(x.exp(), x, create_graph=True, retain_graph=True, only_inputs=True)
    with pytest.raises(NotImplementedError, match="create_graph=True"):
        leaf(1.0).exp().backward(create_graph=True)


def test_integer_tensors_cannot_require_gradients():
    with pytest.raises(RuntimeError, match="floating"):
        nnrt.tensor([1, 2]).requires_grad_()


def test_grad_returns_without_accumulating():
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    y = h * h
    gx, gh = nnrt.autograd.grad(y, [x, h])
    assert (gx.item(), gh.item()) == (2 * 6 * 3, 12)
    assert x.grad is None and w.grad is None


def test_grad_of_an_unused_input():
    x, other = leaf(2.0), leaf(1.0)
    with pytest.raises(RuntimeError, match=r"inputs\[0\].*allow_unused"):
        nnrt.autograd.grad(x * x, [other])
    assert nnrt.autograd.grad(x * x, [other], allow_unused=True) == (None,)
    (g,) = nnrt.autograd.grad(x * x, [other], materialize_grads=True)
    assert g.item() == 0


def test_grad_of_a_tensor_with_respect_to_itself():
    x = leaf(2.0)
    assert nnrt.autograd.grad(x, [x])[0].item() == 1


def test_backward_into_chosen_inputs_only():
    x, w = leaf(2.0), leaf(3.0)
    (x * w).backward(inputs=[w])
    assert x.grad is None and w.grad.item() == 2


def test_modes_nest_and_decorate():
    x = leaf(1.0)
    with nnrt.no_grad():
        assert not (x * 2).requires_grad
        with nnrt.enable_grad():
            assert (x * 2).requires_grad
        assert not nnrt.is_grad_enabled()
    assert nnrt.is_grad_enabled()

    @nnrt.no_grad()
    def f():
        return x * 2

    assert not f().requires_grad
    with nnrt.set_grad_enabled(False):
        assert not nnrt.is_grad_enabled()
    with nnrt.inference_mode():
        assert not (x * 2).requires_grad
    assert nnrt.is_grad_enabled()


def test_mode_survives_an_exception():
    with pytest.raises(KeyError), nnrt.no_grad():
        raise KeyError
    assert nnrt.is_grad_enabled()


def test_mode_is_of_the_thread():
    seen = []
    with nnrt.no_grad():
        thread = threading.Thread(target=lambda: seen.append(nnrt.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


@pytest.mark.parametrize("dense", ["first", "last", "between", "none", "view"])
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_views_put_their_gradients_where_they_looked(dense, inner, turned):
    """Of a leaf and of a node, alone and beside what takes all of it, overlapping, more than the array holds, once more."""
    rng = np.random.default_rng(3)
    data = rng.standard_normal((4, 5, 6))
    keys = [np.s_[1], np.s_[:, 2:], np.s_[..., ::2], np.s_[1, 2, 3], np.s_[:, None, 1:3], np.s_[:0], np.s_[0, ..., 4], np.s_[...]]
    keys = keys[: -1 if dense == "none" else None]
    x = leaf(*data) if not turned else leaf(*data.transpose(2, 0, 1)).permute(1, 2, 0).detach().requires_grad_()
    wanted = np.zeros_like(data)
    for _ in range(2):
        h = x * 1.0 if inner else x
        terms, whole = [], rng.standard_normal(data.shape)
        for i, key in enumerate(keys):
            g = rng.standard_normal(np.shape(data[key]))
            terms.append((h[key] * nnrt.tensor(np.array(g))).sum())
            wanted[key] += g
            if (dense, i) in (("first", 0), ("between", 4), ("last", len(keys) - 1)):
                terms.append((h * nnrt.tensor(whole)).sum())
                wanted += whole
        if dense == "view":
            terms.append((h.reshape(20, 6) * nnrt.tensor(whole.reshape(20, 6))).sum())
            wanted += whole
        kept = []
        if inner:
            h.register_hook(lambda g, kept=kept: kept.append((g, np.array(g.array))))
        sum(terms[1:], terms[0]).backward(retain_graph=True)
        np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-12, atol=1e-12)
        for g, then in kept:
            np.testing.assert_array_equal(g.array, then)
    (alone,) = nnrt.autograd.grad(sum(terms[1:], terms[0]), [x])
    assert alone.shape == x.shape and np.isfinite(alone.numpy()).all()


COMPILED = nnrt.memory.lone.__module__ != "nnrt.memory"  # what is interpreted does not know who refers to an array
IN_PLACE = {
    "relu": nnrt.nn.functional.relu,
    "leaky_relu": nnrt.nn.functional.leaky_relu,
    "batch_norm": lambda x: nnrt.nn.functional.batch_norm(x, None, None, None, None, True),
    "batch_norm_relu": lambda x: batch_norm_activated(x, None, None, training=True, activation="relu"),
    "batch_norm_residual": lambda x: batch_norm_activated(x, None, None, training=True, residual=x * 1.0),
    "batch_norm_relu_residual": lambda x: batch_norm_activated(x, None, None, training=True, activation="relu", residual=x * 1.0),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_gradients_are_written_over_where_nobody_else_refers_to_them(name):
    """Given ones, those that hooks and autograd.grad see, and those that two ops share are left as they are."""
    op, rng = IN_PLACE[name], np.random.default_rng(5)

    def last(data):  # channels last in memory
        return nnrt.tensor(data.transpose(0, 2, 3, 1).copy()).permute(0, 3, 1, 2).detach()

    data, dy = rng.standard_normal((2, 3, 3, 4, 4))
    x, weight = last(data).requires_grad_(), last(dy)
    op(x).backward(weight)
    wanted = x.grad.numpy().copy()
    np.testing.assert_array_equal(weight.numpy(), dy)

    def loss_of(h):  # whose gradient comes as a new array, channels last
        return (nnrt.nn.functional.leaky_relu(h, 1.0) * weight).sum()

    def run(through):
        x.grad = None
        h = op(x * 1.0)
        through(h)
        np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-12, atol=1e-14)
        return h

    over = []

    def own(h):
        backward = h.node.backward
        h.node.backward = lambda node, dy: (dxs := backward(node, dy), over.append(dxs[0] is dy))[0]
        loss_of(h).backward()

    run(own)
    assert over == [COMPILED and name != "batch_norm_residual"]
    seen = []

    def held(h):
        h.register_hook(seen.append)
        loss_of(h).backward()

    run(held)
    np.testing.assert_array_equal(seen[0].numpy(), dy)

    def kept(h):
        h.retain_grad()
        loss_of(h).backward()

    np.testing.assert_array_equal(run(kept).grad.numpy(), dy)
    h = op(x * 1.0)
    (asked,) = nnrt.autograd.grad(loss_of(h), [h])
    np.testing.assert_array_equal(asked.numpy(), dy)
    x.grad = None
    loss_of(op(x * 1.0) + op(x * 1.0)).backward()  # both get the same array
    np.testing.assert_allclose(x.grad.numpy(), 2 * wanted, rtol=1e-12, atol=1e-14)
    for again in (True, False):
        x.grad = None
        if again:
            loss = loss_of(op(x * 1.0))
        loss.backward(retain_graph=again)
        np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-12, atol=1e-14)


def test_a_gradient_that_was_given_is_not_written_to():
    x, given = leaf(1.0, 2.0, 3.0), nnrt.tensor(np.ones(3))
    h = x * 2.0
    nnrt.autograd.backward([h, h[1:]], [given, given[1:]])
    assert given.tolist() == [1, 1, 1] and x.grad.tolist() == [2, 4, 4]
    h = x * 2.0
    first, second = h[:2].clone().unbind(0)  # one input, gradients of several outputs
    (first + second + h.sum() + h[0]).backward()
    assert given.tolist() == [1, 1, 1] and x.grad.tolist() == [8, 8, 6]


def test_several_outputs_some_unused():
    x = leaf(1.0, 2.0, 3.0)
    a, b, c = x.unbind(0)
    (a * 2 + c).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 0, 1])


def test_anomaly_names_the_op():
    x = leaf(-1.0)
    with pytest.raises(RuntimeError, match="forward pass of log made a NaN"), nnrt.autograd.detect_anomaly():
        x.log()
    z = leaf(0.0)
    with pytest.raises(RuntimeError, match="backward pass of sqrt made a NaN"), nnrt.autograd.detect_anomaly():
        (z.sqrt() * 0).backward()


def test_anomaly_shows_the_line_that_called_the_op():
    x = leaf(np.inf)
    for op in (lambda: x * 0, lambda: (x - x).cos()):  # the first is compiled and no frame of its own
        with pytest.raises(RuntimeError, match="in test_anomaly_shows_the_line"), nnrt.autograd.detect_anomaly():
            op()


def test_ten_threads_at_once():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((64, 64)).astype(np.float32)
    x = rng.standard_normal((64, 64)).astype(np.float32)

    def gradient():
        a = nnrt.tensor(w, requires_grad=True)
        for _ in range(3):
            ((nnrt.tensor(x) @ a).tanh() ** 2).sum().backward()
        return a.grad.numpy()

    want = gradient()
    results = [None] * 10

    def work(i):
        for _ in range(20):
            results[i] = gradient()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results:
        np.testing.assert_array_equal(r, want)


def test_two_threads_walk_one_retained_graph():
    x = leaf(*np.linspace(0, 1, 100))
    y = (x.exp() * x).sum()
    results = []

    def work():
        for _ in range(50):
            results.append(nnrt.autograd.grad(y, [x], retain_graph=True)[0].numpy())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for r in results:
        np.testing.assert_array_equal(r, results[0])


def test_what_cannot_be_a_gradient():
    x = leaf(1.0, 2.0)
    for bad, error, text in [
        (nnrt.ones(3), RuntimeError, r"shape \(3,\).*does not fit a tensor of shape \(2,\)"),
        (nnrt.ones(2, dtype=nnrt.float64 if x.dtype == np.float32 else nnrt.float32), RuntimeError, "dtype"),
        (3.0, TypeError, "got float"),
    ]:
        with pytest.raises(error, match=text):
            x.grad = bad
    assert x.grad is None
    (x * 1).sum().backward()
    x.data = nnrt.ones(3, dtype=x.dtype)
    with pytest.raises(RuntimeError, match=r"\.grad has shape \(2,\)"):
        (x * 1).sum().backward()
    with pytest.raises(RuntimeError, match="int64"):
        nnrt.tensor([1, 2]).requires_grad = True
    with pytest.raises(RuntimeError, match="detach"):
        (x * 1).requires_grad = False


def test_grad_modes_of_generators():
    @nnrt.no_grad()
    def steps():
        given = yield nnrt.is_grad_enabled()
        try:
            yield given, nnrt.is_grad_enabled()
        except KeyError:
            yield nnrt.is_grad_enabled()
        return "end"

    it = steps()
    assert next(it) is False and nnrt.is_grad_enabled()
    assert it.send(7) == (7, False) and nnrt.is_grad_enabled()
    assert it.throw(KeyError()) is False and nnrt.is_grad_enabled()
    with pytest.raises(StopIteration, match="end"):
        next(it)


def test_anomaly_detection_is_switched():
    nnrt.autograd.set_detect_anomaly(True)
    try:
        with pytest.raises(RuntimeError, match="forward pass of log made a NaN"):
            leaf(-1.0).log()
        with nnrt.autograd.detect_anomaly(check_nan=False):
            leaf(-1.0).log().sum().backward()
        with nnrt.autograd.set_detect_anomaly(False):
            leaf(-1.0).log()
        with pytest.raises(RuntimeError, match="NaN"):
            leaf(-1.0).log()
    finally:
        nnrt.autograd.set_detect_anomaly(False)
    leaf(-1.0).log()
