"""Recurrent networks: layers against torch's, lengths, states, bad input, threads; random shapes."""

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
from nnrt import nn
from nnrt.nn import fused
from nnrt.nn.utils import rnn as rnn_utils
from nnrt.ops import recurrence

KINDS = ("RNN", "RELU", "GRU", "LSTM")


def layer_of(library, kind, *sizes, **options):
    if kind == "RELU":
        options["nonlinearity"] = "relu"
    return getattr(library.nn, "RNN" if kind == "RELU" else kind)(*sizes, **options)


def states_of(result):
    return list(result) if isinstance(result, tuple) else [result]


def as_states(kind, states):
    return None if states is None else tuple(states) if kind == "LSTM" else states[0]


def twins(torch, kind, dtype, *sizes, **options):
    """The same layer in both libraries, with torch's weights."""
    theirs = layer_of(torch, kind, *sizes, **options).to(getattr(torch, dtype))
    ours = layer_of(nnrt, kind, *sizes, **options).to(getattr(nnrt, dtype))
    ours.load_state_dict({k: nnrt.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    return ours, theirs


def backward(library, outs, weights):
    library.autograd.backward(outs, [library.from_numpy(w) for w in weights])


def agree(got, want, tol):
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=tol, atol=tol)


LAYERS = list(itertools.product(KINDS, (1, 2), (False, True), (False, True), (False, True)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind, layers, bidirectional, batch_first, ragged", LAYERS)
def test_agrees_with_torch(kind, layers, bidirectional, batch_first, ragged, dtype, torch, rng):
    for projection in (0, 3) if kind == "LSTM" else (0,):
        bias, stated = bool(rng.integers(2)), bool(rng.integers(2))
        options = dict(num_layers=layers, bidirectional=bidirectional, batch_first=batch_first, bias=bias)
        if projection:
            options["proj_size"] = projection
        ours, theirs = twins(torch, kind, dtype, 4, 7, **options)
        steps, batch, count = 5, 4, layers * (1 + bidirectional)
        arrays = [rng.standard_normal((batch, steps, 4) if batch_first else (steps, batch, 4)).astype(dtype)]
        if stated:
            arrays.append(rng.standard_normal((count, batch, projection or 7)).astype(dtype))
            if kind == "LSTM":
                arrays.append(rng.standard_normal((count, batch, 7)).astype(dtype))
        results = []
        for library, layer in ((nnrt, ours), (torch, theirs)):
            x, *states = [library.from_numpy(a.copy()).requires_grad_() for a in arrays]
            hx = as_states(kind, states or None)
            lengths = [3, 1, 5, 5]
            if ragged and library is torch:
                packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first, enforce_sorted=False)
                y, last = layer(packed, hx)
                y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, batch_first)
            else:
                y, last = layer(x, hx, lengths) if ragged else layer(x, hx)
            outs = [y, *states_of(last)]
            weights = np.random.default_rng(1)
            backward(library, outs, [weights.standard_normal(tuple(o.shape)).astype(dtype) for o in outs])
            results.append([*outs, x.grad, *(s.grad for s in states), *(p.grad for p in layer.parameters())])
        for got, want in zip(*results, strict=True):
            agree(got, want, 1e-4 if dtype == "float32" else 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_a_packed_sequence_is_what_lengths_are(kind, rng):
    layer = layer_of(nnrt, kind, 3, 5, num_layers=2, bidirectional=True)
    x = nnrt.tensor(rng.standard_normal((6, 4, 3)).astype(np.float32))
    lengths = [2, 6, 1, 4]
    hx = as_states(kind, [nnrt.randn(4, 4, 5), nnrt.randn(4, 4, 5)])
    grads = []
    for packed in (False, True):
        layer.zero_grad()
        leaf = x.clone().requires_grad_()
        if packed:
            y, last = layer(rnn_utils.pack_padded_sequence(leaf, lengths, enforce_sorted=False), hx)
            assert isinstance(y, rnn_utils.PackedSequence) and y.data.shape == (13, 10)
            y, back = rnn_utils.pad_packed_sequence(y)
            assert back.tolist() == lengths
        else:
            y, last = layer(leaf, hx, lengths=nnrt.tensor(lengths))
        sum((s.sum() for s in states_of(last)), (y * y).sum()).backward()
        grads.append([y, *states_of(last), leaf.grad, *(p.grad for p in layer.parameters())])
    for got, want in zip(*grads, strict=True):
        agree(got, want, 1e-5)
    assert not np.any(grads[0][0].detach().numpy()[2:, 0]) and np.any(grads[0][0].detach().numpy()[:2, 0])


@pytest.mark.parametrize("kind", KINDS)
def test_steps_one_by_one_carry_the_state(kind, rng):
    layer = layer_of(nnrt, kind, 3, 5, num_layers=2)
    x = nnrt.tensor(rng.standard_normal((7, 2, 3)).astype(np.float32))
    whole, end = layer(x)
    state = None
    for t in range(7):
        y, state = layer(x[t : t + 1], state)
        agree(y[0], whole[t], 1e-6)
    for got, want in zip(states_of(state), states_of(end)):
        agree(got, want, 1e-6)
    alone, end = layer(x[:, 1])
    agree(alone, whole[:, 1], 1e-6)
    assert alone.shape == (7, 5) and states_of(end)[0].shape == (2, 5)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_cells_are_steps_of_layers(kind, rng):
    layer, cell = getattr(nn, kind)(3, 5), getattr(nn, f"{kind}Cell")(3, 5)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in layer.state_dict().items()})
    x = nnrt.tensor(rng.standard_normal((4, 2, 3)).astype(np.float32))
    whole, _ = layer(x)
    state = None
    for t in range(4):
        state = cell(x[t], state)
        agree(states_of(state)[0], whole[t], 1e-6)
    one = cell(x[0, 0])
    agree(states_of(one)[0], whole[0, 0], 1e-6)


@pytest.mark.parametrize(
    "options",
    [{}, {"nonlinearity": "relu", "bias": False}, {"num_layers": 2, "bidirectional": True, "dropout": 0.5}],
)
def test_repr_and_state_are_torchs(options, torch):
    for kind in ("RNN", "GRU", "LSTM"):
        own = {k: v for k, v in options.items() if kind == "RNN" or k != "nonlinearity"}
        ours, theirs = getattr(nn, kind)(3, 5, **own), getattr(torch.nn, kind)(3, 5, **own)
        assert repr(ours) == repr(theirs)
        assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
            k: tuple(v.shape) for k, v in theirs.state_dict().items()
        }
        theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
        for own, other in zip(ours.all_weights, theirs.all_weights, strict=True):
            assert [tuple(p.shape) for p in own] == [tuple(p.shape) for p in other]
    assert repr(nn.RNNCell(3, 5, nonlinearity="relu")) == repr(torch.nn.RNNCell(3, 5, nonlinearity="relu"))
    assert repr(nn.LSTM(3, 5, proj_size=2)) == repr(torch.nn.LSTM(3, 5, proj_size=2))


def test_copies_and_pickles_stand_on_their_own():
    layer = nn.GRU(3, 5, 2)
    x = nnrt.randn(4, 2, 3)
    want = layer(x)[0]
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        agree(twin(x)[0], want, 0)
        with nnrt.no_grad():
            twin.weight_hh_l0.zero_()
        assert not np.array_equal(twin(x)[0].detach().numpy(), want.detach().numpy())
    agree(layer(x)[0], want, 0)


def test_a_changed_weight_is_packed_anew():
    layer, x = nn.LSTM(3, 5), nnrt.randn(4, 2, 3)
    with nnrt.no_grad():
        before = layer(x)[0].clone()
        again = layer(x)[0].clone()
        layer.weight_hh_l0.mul_(2.0)
        after = layer(x)[0].clone()
    agree(again, before, 0)
    assert not np.allclose(after.numpy()[1:], before.numpy()[1:]) and np.array_equal(after.numpy()[0], before.numpy()[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "batch_first": True, "bias": False}, {"proj_size": 4}])
def test_calls_that_repeat_without_a_gradient_are_those_with_one(kind, options, rng):
    if kind != "LSTM" and "proj_size" in options:
        return
    layer = layer_of(nnrt, kind, 3, 5, num_layers=2, **options)
    x = nnrt.tensor(rng.standard_normal((2, 1, 3)).astype(np.float32))

    def same(x, state=None, lengths=None):
        want = layer(x, state, lengths)
        for _ in range(3):
            with nnrt.no_grad():
                got = layer(x, state, lengths)
            for a, b in zip((got[0], *states_of(got[1])), (want[0], *states_of(want[1])), strict=True):
                agree(a, b, 0)
                assert not a.requires_grad
        return as_states(kind, [s.detach() for s in states_of(want[1])])

    state = same(x)
    same(x, state)
    same(x[:1])
    same(nnrt.cat([x, x]))
    same(x[0])
    several = nnrt.tensor(rng.standard_normal((3, 3, 3)).astype(np.float32))
    state = same(several, None, [2, 3, 1])
    for lengths in ([1, 1, 2], None, [3, 1, 3]):
        same(several, state, lengths)
    with nnrt.no_grad(), pytest.raises(RuntimeError, match="between 1 and the 3 steps"):
        layer(several, state, [4, 1, 1])
    state = same(x)
    with nnrt.no_grad():
        for p in layer.parameters():
            p.mul_(1.5)
    same(x, state)
    layer.weight_hh_l1 = nn.Parameter(nnrt.zeros_like(layer.weight_hh_l1))
    same(x, state)
    lent = layer.weight_ih_l0.detach().numpy()
    for _ in range(2):
        lent += 1
        same(x, state)
    layer.double()
    with nnrt.no_grad(), pytest.raises(RuntimeError, match="one dtype"):
        layer(x)
    same(x.double())


def test_dropout_acts_between_layers_in_training():
    with pytest.warns(UserWarning, match="dropout=0.5 acts between layers"):
        nn.GRU(3, 5, dropout=0.5)
    layer, x = nn.GRU(3, 64, 2, dropout=0.5), nnrt.randn(4, 8, 3)
    assert not np.array_equal(layer(x)[0].detach().numpy(), layer(x)[0].detach().numpy())
    layer.eval()
    agree(layer(x)[0], layer(x)[0], 0)
    nothing = nn.GRU(3, 64, 2, dropout=1.0)
    changed = nn.GRU(3, 64, 2)
    changed.load_state_dict(nothing.state_dict())
    with nnrt.no_grad():
        changed.weight_ih_l1.zero_()
    agree(nothing(x)[0], changed(x)[0], 1e-6)


@pytest.mark.parametrize("kind, size", [*[(kind, 0) for kind in KINDS], ("LSTM", 2)])
def test_backward_twice_gives_the_same(kind, size):
    """The last backward writes over what the forward pass saved, those before it do not."""
    layer = layer_of(nnrt, kind, 3, 5, bidirectional=True, **({"proj_size": size} if size else {}))
    x = nnrt.randn(4, 2, 3).requires_grad_()
    inputs, loss = [x, *layer.parameters()], (layer(x)[0] ** 2).sum()
    first, second = (nnrt.autograd.grad(loss, inputs, retain_graph=True) for _ in range(2))
    last = nnrt.autograd.grad(loss, inputs)
    for a, b, c in zip(first, second, last):
        assert np.any(a.numpy())
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        np.testing.assert_array_equal(a.numpy(), c.numpy())
    with pytest.raises(RuntimeError, match="second time"):
        nnrt.autograd.grad(loss, inputs)


def test_a_backward_that_failed_cannot_be_repeated(monkeypatch):
    """What was saved is lost as soon as gradients may have been written over it."""
    layer, x = nn.LSTM(3, 5), nnrt.randn(4, 2, 3).requires_grad_()
    loss = layer(x)[0].sum()
    with monkeypatch.context() as patch:
        patch.setattr(recurrence.K, "recur_backward", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            loss.backward(retain_graph=True)
        with pytest.raises(ZeroDivisionError):
            loss.backward()
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("kind", KINDS)
def test_unused_outputs_and_inputs(kind):
    layer, x = layer_of(nnrt, kind, 3, 5), nnrt.rand(4, 2, 3)
    with nnrt.no_grad():
        for p in layer.parameters():
            p.abs_()  # so that no relu is off
    (g,) = nnrt.autograd.grad(states_of(layer(x)[1])[-1].sum(), [layer.weight_hh_l0])
    assert g.shape == layer.weight_hh_l0.shape and np.any(g.numpy())
    for p in layer.parameters():
        p.requires_grad_(False)
    h0 = nnrt.rand(1, 2, 5).requires_grad_()
    layer(x, as_states(kind, [h0, nnrt.zeros(1, 2, 5)]))[0].sum().backward()
    assert np.any(h0.grad.numpy()) and layer.weight_hh_l0.grad is None


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "sizes", [(5, 1, 8, 512), (6, 40, 8, 48), (3, 33, 8, 300), (4, 2, 5, 70), (3, 193, 8, 48), (3, 273, 8, 40)]
)
def test_bits_do_not_depend_on_threads(kind, sizes, ragged, rng):
    steps, batch, inputs, units = sizes
    layer = layer_of(nnrt, kind, inputs, units, bidirectional=True)
    x = nnrt.tensor(rng.standard_normal((steps, batch, inputs)).astype(np.float32))
    lengths = rng.integers(1, steps + 1, batch) if ragged else None
    results, before = [], nnrt.get_num_threads()
    try:
        for threads in (1, 2, 5):
            nnrt.set_num_threads(threads)
            layer.zero_grad()
            leaf = x.clone().requires_grad_()
            y, last = layer(leaf, None, lengths)
            (y * y).sum().backward()
            results.append([a.detach().numpy() for a in (y, *states_of(last), leaf.grad, *(p.grad for p in layer.parameters()))])
    finally:
        nnrt.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(results[0], other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_without_sequences(kind):
    layer, x = layer_of(nnrt, kind, 3, 5, num_layers=2, bidirectional=True), nnrt.zeros(4, 0, 3, requires_grad=True)
    states = as_states(kind, [nnrt.zeros(4, 0, 5) for _ in range(2)])
    for hx in (None, states):
        y, last = layer(x, hx)
        (y.sum() + states_of(last)[0].sum()).backward()
        assert y.shape == (4, 0, 10) and states_of(last)[-1].shape == (4, 0, 5) and x.grad.shape == x.shape
        assert not any(p.grad.numpy().any() for p in layer.parameters())
    cell = nn.LSTMCell(3, 5)
    h, c = cell(nnrt.zeros(0, 3), cell(nnrt.zeros(0, 3)))
    (h + c).sum().backward()
    assert h.shape == (0, 5) and not cell.weight_hh.grad.numpy().any()


def test_ten_threads_share_a_layer():
    layer, x = nn.GRU(8, 33, bidirectional=True), nnrt.randn(6, 9, 8)
    want = layer(x)[0].detach().numpy()
    wrong = []

    def work():
        for i in range(20):
            with nnrt.set_grad_enabled(i % 7 == 0):
                y = layer(x)[0]
            if not np.array_equal(y.detach().numpy(), want):
                wrong.append(y)

    threads = [threading.Thread(target=work) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


@settings(max_examples=60)
@given(data=st.data())
def test_random_shapes_against_steps_of_numpy(data):
    kind = data.draw(st.sampled_from(KINDS))
    steps, batch, inputs, units = (data.draw(st.integers(1, n)) for n in (6, 9, 9, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    layer = layer_of(nnrt, kind, inputs, units).to(nnrt.float64)
    w, u, b, c = (p.detach().numpy() for p in layer.parameters())
    x = rng.standard_normal((steps, batch, inputs))
    lengths = rng.integers(1, steps + 1, batch) if data.draw(st.booleans()) else np.full(batch, steps)
    y, last = layer(nnrt.tensor(x), None, lengths)
    for i in range(batch):
        h, cell = np.zeros(units), np.zeros(units)
        for t in range(lengths[i]):
            a, s = w @ x[t, i] + b, u @ h + c
            parts = [(a[k : k + units], s[k : k + units]) for k in range(0, len(a), units)]
            sums = [p + q for p, q in parts]
            if kind == "LSTM":
                i_, f, g, o = (np.tanh(v) if k == 2 else 1 / (1 + np.exp(-v)) for k, v in enumerate(sums))
                cell = f * cell + i_ * g
                h = o * np.tanh(cell)
            elif kind == "GRU":
                r, z = (1 / (1 + np.exp(-v)) for v in sums[:2])
                n = np.tanh(parts[2][0] + r * parts[2][1])
                h = (1 - z) * n + z * h
            else:
                h = np.tanh(sums[0]) if kind == "RNN" else np.maximum(sums[0], 0)
            np.testing.assert_allclose(y[t, i].detach().numpy(), h, atol=1e-12)
        np.testing.assert_allclose(states_of(last)[0][0, i].detach().numpy(), h, atol=1e-12)
        assert not np.any(y[int(lengths[i]) :, i].detach().numpy())


# ---- bad input ----

X, GRU, LSTM = nnrt.zeros(4, 2, 3), nn.GRU(3, 5), nn.LSTM(3, 5)
BAD = {
    "rank": (lambda: GRU(nnrt.zeros(3)), r"GRU: input must have 3 dimensions, .* got shape \(3,\)"),
    "size": (lambda: GRU(nnrt.zeros(4, 2, 4)), r"GRU: input of shape \(4, 2, 4\) must end in input_size = 3"),
    "no steps": (lambda: GRU(nnrt.zeros(0, 2, 3)), "GRU: expected a sequence of at least one step"),
    "no steps unbatched": (lambda: GRU(nnrt.zeros(0, 3)), "at least one step"),
    "no steps first": (lambda: nn.GRU(3, 5, batch_first=True)(nnrt.zeros(2, 0, 3)), "at least one step"),
    "dtype": (lambda: GRU(X.double()), "GRU: arguments must have one dtype, got input float64, w_ih float32"),
    "state dtype": (lambda: GRU(X, nnrt.zeros(1, 2, 5).double()), "got input float32, hx float64"),
    "integers": (lambda: nn.GRU(3, 5)(X.long()), "one dtype, got input int64"),
    "hx": (lambda: GRU(X, nnrt.zeros(1, 3, 5)), r"GRU: hx must have shape \(1, 2, 5\), .* got \(1, 3, 5\)"),
    "hx unbatched": (lambda: GRU(X[:, 0], nnrt.zeros(1, 1, 5)), r"hx must have shape \(1, 5\), .* got \(1, 1, 5\)"),
    "h0": (lambda: LSTM(X, (nnrt.zeros(2, 5), nnrt.zeros(1, 2, 5))), r"LSTM: h0 must have shape \(1, 2, 5\), .* got \(2, 5\)"),
    "c0": (lambda: LSTM(X, (nnrt.zeros(1, 2, 5), nnrt.zeros(1, 2, 4))), r"LSTM: c0 must have shape \(1, 2, 5\)"),
    "lengths shape": (lambda: GRU(X, lengths=[4]), r"GRU: lengths must have shape \(2,\), .* got \(1,\)"),
    "lengths 0": (lambda: GRU(X, lengths=[0, 4]), r"between 1 and the 4 steps .* got \[0, 4\]"),
    "lengths 5": (lambda: GRU(X, lengths=[1, 5]), r"between 1 and the 4 steps"),
    "lengths unbatched": (lambda: GRU(X[:, 0], lengths=[4]), "lengths wants a batch"),
    "w_hh": (lambda: nnrt.gru_cell(X[0], None, nnrt.zeros(15, 3), nnrt.zeros(15, 4)), r"w_hh must have shape \(15, 5\)"),
    "w_ih": (lambda: nnrt.gru_cell(X[0], None, nnrt.zeros(14, 3), nnrt.zeros(12, 4)), r"w_ih must have shape \(12, 3\)"),
    "bias": (lambda: nnrt.lstm_cell(X[0], None, nnrt.zeros(8, 3), nnrt.zeros(8, 2), nnrt.zeros(8)), "both biases or none"),
    "cell rank": (lambda: nn.GRUCell(3, 5)(X), r"gru_cell: input must be \[B, I\] .* got shape \(4, 2, 3\)"),
    "cell size": (lambda: nn.GRUCell(3, 5)(X[0, :, :2]), r"gru_cell: input of shape \(2, 2\) must end in input_size"),
    "cell state": (lambda: nn.LSTMCell(3, 5)(X[0], (nnrt.zeros(2, 5), nnrt.zeros(2, 4))), r"c0 must have .* got \(2, 4\)"),
    "flat": (lambda: nnrt.gru(X, None, list(GRU.parameters())[:3], True, 1, 0.0, False, False, False), "got 3 parameters"),
    "packed hx": (
        lambda: GRU(rnn_utils.pack_padded_sequence(X, [1, 4], enforce_sorted=False), nnrt.zeros(1, 3, 5)),
        r"GRU: hx must have shape \(1, 2, 5\), .* got \(1, 3, 5\)",
    ),
    "packed order": (
        lambda: GRU(rnn_utils.PackedSequence(X[:, 0], nnrt.tensor([2, 2]), nnrt.tensor([1, 1]))), r"each of 2 .* got \[1, 1\]"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_named(name):
    call, message = BAD[name]
    with pytest.raises(RuntimeError, match=message):
        call()


@pytest.mark.parametrize(
    "error, call, message",
    [
        (TypeError, lambda: GRU([1.0]), "GRU: input must be a Tensor, got list"),
        (TypeError, lambda: GRU(X, [1.0]), "GRU: hx must be a Tensor, got list"),
        (TypeError, lambda: LSTM(X, nnrt.zeros(1, 2, 5)), "LSTM: hx must be a pair of Tensors .* got Tensor"),
        (TypeError, lambda: GRU(X, lengths=[1.0, 2.0]), "lengths must be integers, got float64"),
        (TypeError, lambda: nn.LSTMCell(3, 5)(X[0], X), "lstm_cell: hx must be a pair"),
        (TypeError, lambda: nn.GRUCell(3, 5)([1.0]), "gru_cell: input must be a Tensor, got list"),
        (TypeError, lambda: nn.GRUCell(3, 5)(X[0], 1.0), "gru_cell: hx must be a Tensor, got float"),
        (ValueError, lambda: nn.RNN(3, 5, nonlinearity="gelu"), "nonlinearity must be 'tanh' or 'relu', got 'gelu'"),
        (ValueError, lambda: nn.RNNCell(3, 5, nonlinearity="gelu"), "nonlinearity must be"),
        (ValueError, lambda: nn.LSTM(3, 5, proj_size=5), "proj_size must be smaller than hidden_size, got 5 and 5"),
        (ValueError, lambda: nn.GRU(0, 5), "GRU: input_size must be greater than zero"),
        (ValueError, lambda: nn.GRU(3, -5), "GRU: hidden_size must not be negative"),
        (ValueError, lambda: nn.GRU(3, 5, 0), "num_layers must be greater than zero"),
        (ValueError, lambda: nn.GRU(3, 5, dropout=1.5), "dropout must be a probability between 0 and 1, got 1.5"),
        (TypeError, lambda: nn.GRU(3, 5, bias=1), "bias must be a bool, got int"),
        (TypeError, lambda: nn.GRU(3.0, 5), "GRU: input_size must be an integer, got float"),
        (ValueError, lambda: GRU(rnn_utils.pack_sequence([X[:, 0]]), lengths=[4]), "a PackedSequence has its lengths"),
    ],
)  # fmt: skip
def test_other_errors_are_named(error, call, message):
    with pytest.raises(error, match=message):
        call()


# ---- ids of few symbols: the first layer's product is taken of the table ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional, batch_first, ragged", [(False, False, False), (True, True, False), (True, False, True)])
def test_over_a_table(kind, bidirectional, batch_first, ragged, rng):
    options = {"proj_size": 3} if kind == "LSTM" and ragged else {}
    layer = layer_of(nnrt, kind, 4, 5, 2, bidirectional=bidirectional, batch_first=batch_first, dtype=nnrt.float64, **options)
    embedding = nn.Embedding(6, 4, dtype=nnrt.float64)
    ids = nnrt.tensor(rng.integers(0, 6, (5, 9) if batch_first else (9, 5)))
    lengths = [7, 3, 9, 9, 1] if ragged else None
    found = []
    for run in (lambda: fused.embedded(ids, embedding, layer, None, lengths), lambda: layer(embedding(ids), None, lengths)):
        y, last = run()
        outs = [y, *states_of(last)]
        parameters = [embedding.weight, *layer.parameters()]
        backward(nnrt, outs, [np.cos(np.arange(o.numel())).reshape(o.shape) for o in outs])
        found.append([*outs, *[p.grad for p in parameters]])
        for p in parameters:
            p.grad = None
    for got, want in zip(*found, strict=True):
        agree(got, want, 1e-12)
    table = embedding.weight.detach().requires_grad_()
    assert nnrt.autograd.gradcheck(lambda table: layer.over(table, None, lengths, ids)[0], [table])


def test_over_a_table_only_where_nothing_else_is_wanted():
    layer, embedding, ids = nn.GRU(3, 4), nn.Embedding(5, 3), nnrt.randint(0, 5, (6, 2))
    assert fused.embedded(ids, embedding, layer) is not None
    assert fused.embedded(ids[:5], embedding, layer) is None  # ten ids, five symbols
    assert fused.embedded(ids, nn.Embedding(5, 3, padding_idx=0), layer) is None
    assert fused.embedded(ids, nn.Embedding(5, 3, sparse=True), layer) is None
    assert fused.embedded(ids, embedding, nn.QRNN(3, 4)) is None
    with pytest.raises(IndexError, match=r"GRU: index 5 at position \(5, 0\) is out of range for dim 0 of size 5"):
        fused.embedded(nnrt.tensor([[0, 1]] * 5 + [[5, 0]]), embedding, layer)
    handle = embedding.register_forward_hook(lambda *args: None)
    assert fused.embedded(ids, embedding, layer) is None
    handle.remove()
    layer.register_forward_pre_hook(lambda *args: None)
    assert fused.embedded(ids, embedding, layer) is None
