"""QRNN and SRU: against loops of the papers' equations, in pieces, both directions, dropout, zoneout, bad input."""

import numpy as np
import pytest

import nnrt
from nnrt import config, nn


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def qrnn_layer(x, w, b, k, c, tail, fo):
    """One direction of a layer, step by step: (h, c)."""
    padded, outs = np.concatenate([tail, x]), []
    for t in range(len(x)):
        gates = np.concatenate(list(padded[t : t + k]), -1) @ w.T + b
        z, f, *o = np.split(gates, 3 if fo else 2, -1)
        c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
        outs.append(sigmoid(o[0]) * c if fo else c)
    return np.stack(outs), c


def arrays(model):
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("pooling", ["f", "fo"])
@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("both", [False, True])
def test_qrnn_is_the_papers(k, both, pooling):
    model = nn.QRNN(3, 5, 2, kernel_size=k, pooling=pooling, bidirectional=both, dtype=nnrt.float64)
    x = nnrt.randn(6, 2, 3, dtype=nnrt.float64)
    y, (c, tails) = model(x)
    p, layer = arrays(model), x.numpy()
    for i in range(2):
        outs = []
        for d, name in enumerate(["", "_reverse"][: 1 + both]):
            seen = layer[::-1] if d else layer
            tail = np.zeros((k - 1, *layer.shape[1:]))
            h, last = qrnn_layer(seen, p[f"weight_l{i}{name}"], p[f"bias_l{i}{name}"], k, np.zeros((2, 5)), tail, pooling == "fo")
            outs.append(h[::-1] if d else h)
            np.testing.assert_allclose(c[i * (1 + both) + d].detach().numpy(), last, rtol=1e-10)
        assert tails[i].shape == (k - 1, 2, layer.shape[2])
        layer = np.concatenate(outs, -1)
    np.testing.assert_allclose(y.detach().numpy(), layer, rtol=1e-10, atol=1e-12)


def sru_layer(x, w, v, b, c, scale):
    n, outs = c.shape[-1], []
    for row in x:
        u = row @ w.T
        f, r = sigmoid(u[:, n : 2 * n] + v[:n] * c + b[:n]), sigmoid(u[:, 2 * n : 3 * n] + v[n:] * c + b[n:])
        c = f * c + (1 - f) * u[:, :n]
        outs.append(r * c + (1 - r) * scale * (u[:, 3 * n :] if len(w) > 3 * n else row))
    return np.stack(outs), c


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("sizes", [(3, 5), (5, 5)])
def test_sru_is_the_papers(sizes, both):
    model = nn.SRU(*sizes, 2, bidirectional=both, highway_bias=-1.0, dtype=nnrt.float64)
    x = nnrt.randn(6, 2, sizes[0], dtype=nnrt.float64)
    y, c = model(x)
    p, layer = arrays(model), x.numpy()
    for i in range(2):
        outs = []
        for d, name in enumerate(["", "_reverse"][: 1 + both]):
            terms = [p[f"{kind}_l{i}{name}"] for kind in ("weight", "weight_c", "bias")]
            seen = layer[::-1] if d else layer
            h, last = sru_layer(seen, *terms, np.zeros((2, 5)), np.sqrt(1 + 2 * np.exp(-1)))
            outs.append(h[::-1] if d else h)
            np.testing.assert_allclose(c[i * (1 + both) + d].detach().numpy(), last, rtol=1e-10)
        layer = np.concatenate(outs, -1)
    np.testing.assert_allclose(y.detach().numpy(), layer, rtol=1e-10, atol=1e-12)
    assert p["bias_l0"].tolist() == [0.0] * 5 + [-1.0] * 5


MODELS = {
    "qrnn": lambda **o: nn.QRNN(3, 4, 2, kernel_size=3, **o),
    "qrnn-1": lambda **o: nn.QRNN(3, 4, kernel_size=1, pooling="f", bias=False, **o),
    "sru": lambda **o: nn.SRU(3, 4, 2, **o),
}


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("pieces", [(9,), (4, 5), (1,) * 9, (0, 2, 0, 7)])
def test_pieces_with_their_state_are_the_whole(make, pieces):
    model, x = make(), nnrt.randn(9, 2, 3)
    whole, last = model(x)
    outs, state, at = [], None, 0
    for n in pieces:
        y, state = model(x[at : at + n], state)
        outs.append(y)
        at += n
    # Products of other heights may add in another order.
    np.testing.assert_allclose(nnrt.cat(outs).detach().numpy(), whole.detach().numpy(), rtol=1e-5, atol=1e-6)
    c, want = (s[0] if isinstance(s, tuple) else s for s in (state, last))
    np.testing.assert_allclose(c.detach().numpy(), want.detach().numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_layouts(make):
    model, first = make(bidirectional=True), make(bidirectional=True, batch_first=True)
    first.load_state_dict(model.state_dict())
    x = nnrt.randn(5, 2, 3)
    y, state = model(x)
    z, other = first(x.transpose(0, 1))
    assert nnrt.equal(y, z.transpose(0, 1))
    alone, last = model(x[:, 0])
    assert alone.shape == y[:, 0].shape and nnrt.allclose(alone, y[:, 0], atol=1e-6)
    c, c_alone = (s[0] if isinstance(s, tuple) else s for s in (state, last))
    assert nnrt.allclose(c_alone, c[:, 0], atol=1e-6)
    model(x[:, 0], last)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_gradients(make):
    model, x = make(bidirectional=True, dtype=nnrt.float64), nnrt.randn(4, 2, 3, dtype=nnrt.float64, requires_grad=True)

    names = [name for name, _ in model.named_parameters()]

    def outputs(x, *parameters):
        vars(model).update(zip(names, parameters))
        y, state = model(x)
        return y, state[0] if isinstance(state, tuple) else state

    assert nnrt.autograd.gradcheck(outputs, (x, *model.parameters()))


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_bits_do_not_depend_on_threads(make):
    model, x = make(bidirectional=True), nnrt.randn(70, 5, 3)
    results = []
    for threads in (1, 2, 3):
        with config.use(num_threads=threads):
            model.zero_grad()
            y, _ = model(x)
            y.square().sum().backward()
            results.append([y.detach().numpy().tobytes(), *[p.grad.numpy().tobytes() for p in model.parameters()]])
    assert results[0] == results[1] == results[2]


def test_zoneout_keeps_states():
    model = nn.QRNN(2, 300, pooling="f", zoneout=0.4)
    x = nnrt.randn(20, 3, 2)
    y = model(x)[0].detach().numpy()
    kept = (y[1:] == y[:-1]).mean()
    assert 0.35 < kept < 0.45
    # Without training every update is scaled by 0.6.
    model.eval()
    y, state = model(x)
    plain = nn.QRNN(2, 300, pooling="f")
    plain.load_state_dict(model.state_dict())
    assert nnrt.allclose(y[0], 0.6 * plain(x)[0][0], atol=1e-6) and nnrt.equal(y, model(x)[0])
    full = nn.QRNN(2, 4, zoneout=1.0)(x)[0]
    assert (full == 0).all()


def test_dropout_acts_between_layers_in_training():
    for make in (nn.QRNN, nn.SRU):
        model, x = make(3, 50, 2, dropout=1.0), nnrt.randn(4, 2, 3)
        cut = model(x)[0]
        assert nnrt.equal(cut[0, 0], cut[0, 1])  # nothing of the input is left
        model.eval()
        assert not nnrt.equal(model(x)[0][0, 0], cut[0, 0])


@pytest.mark.parametrize(
    "act, error, words",
    [
        (lambda: nn.QRNN(0, 3), ValueError, "input_size must be greater"),
        (lambda: nn.QRNN(3, 3, kernel_size=0), ValueError, "kernel_size"),
        (lambda: nn.QRNN(3, 3, pooling="ifo"), ValueError, "pooling must be 'f' or 'fo'"),
        (lambda: nn.QRNN(3, 3, zoneout=1.5), ValueError, "zoneout must be a probability"),
        (lambda: nn.SRU(3, 3, dropout=-1), ValueError, "dropout must be a probability"),
        (lambda: nn.SRU(3, 3)(nnrt.zeros(4, 2, 5)), RuntimeError, r"\[T, B, 3\].*got shape \(4, 2, 5\)"),
        (lambda: nn.QRNN(3, 3)(nnrt.zeros(3)), RuntimeError, "QRNN: input must be"),
        (lambda: nn.QRNN(3, 3)([1.0]), TypeError, "input must be a Tensor"),
        (lambda: nn.QRNN(3, 3)(nnrt.zeros(4, 2, 3), nnrt.zeros(1, 2, 3)), RuntimeError, "hx must be a pair"),
        (
            lambda: nn.QRNN(3, 3)(nnrt.zeros(4, 2, 3), (nnrt.zeros(1, 1, 3), (nnrt.zeros(1, 2, 3),))),
            RuntimeError, r"c of hx must be a Tensor of shape \(1, 2, 3\), got shape \(1, 1, 3\)",
        ),
        (
            lambda: nn.QRNN(3, 3)(nnrt.zeros(4, 2, 3), (nnrt.zeros(1, 2, 3), (nnrt.zeros(2, 2, 3),))),
            RuntimeError, r"last inputs of layer 0 in hx must be a Tensor of shape \(1, 2, 3\)",
        ),
        (lambda: nn.SRU(3, 3)(nnrt.zeros(4, 2, 3), nnrt.zeros(2, 2, 3)), RuntimeError, r"hx must be a Tensor of shape"),
    ],
)  # fmt: skip
def test_bad_input(act, error, words):
    with pytest.raises(error, match=words):
        act()


def test_repr_and_summary():
    assert repr(nn.QRNN(3, 4, 2, pooling="f")) == "QRNN(3, 4, num_layers=2, pooling='f')"
    assert nn.SRU(3, 4).macs([(7, 2, 3)], None) == 7 * 2 * (16 * 3 + 8)
