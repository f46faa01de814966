"""Gates, positions, mixtures of experts and the attention of sequence models: what they compute, gradients, bad input."""

import copy
import math

import numpy as np
import pytest

import nnrt
from nnrt import nn


def double(layer):
    """The layer in float64, its parameters drawn anew: none is zero."""
    for p in layer.double().parameters():
        nn.init.normal_(p, std=0.5)
    return layer


def numbers(rng, *shape):
    return nnrt.tensor(rng.standard_normal(shape), requires_grad=True)


def gradients_hold(layer, *inputs):
    """Gradients of the layer's sum of inputs and parameters, by steps to and fro."""
    layer = copy.deepcopy(layer)
    names = [name for name, _ in layer.named_parameters()]

    def run(*tensors):
        for name, tensor in zip(names, tensors[len(inputs) :]):
            owner, _, last = name.rpartition(".")
            layer.get_submodule(owner).__dict__[last] = tensor  # a tensor moved by a step in the parameter's place
        return layer(*tensors[: len(inputs)])

    assert nnrt.autograd.gradcheck(run, (*inputs, *layer.parameters()))


# ---- gates ----


def test_highway_carries_and_transforms(rng):
    layer = double(nn.Highway(4, 2, nnrt.tanh))
    x = numbers(rng, 3, 4)
    want = x.detach().numpy()
    for h, t in zip(layer.transforms, layer.gates):
        w, b, v, c = (p.detach().numpy() for p in (h.weight, h.bias, t.weight, t.bias))
        gate = 1 / (1 + np.exp(-(want @ v.T + c)))
        want = gate * np.tanh(want @ w.T + b) + (1 - gate) * want
    np.testing.assert_allclose(layer(x).detach().numpy(), want, atol=1e-12)
    gradients_hold(layer, x)
    closed = nn.Highway(4, gate_bias=-100.0).double()
    np.testing.assert_allclose(closed(x).detach().numpy(), x.detach().numpy())


def test_spatial_gating_mixes_positions(rng):
    layer = double(nn.SpatialGatingUnit(6, 5))
    x = numbers(rng, 2, 5, 6)
    u, v = np.split(x.detach().numpy(), 2, -1)
    v = (v - v.mean(-1, keepdims=True)) / np.sqrt(v.var(-1, keepdims=True) + 1e-5)
    w, b, g, c = (p.detach().numpy() for p in (layer.weight, layer.bias, layer.norm.weight, layer.norm.bias))
    want = u * (np.einsum("ts,nsd->ntd", w, v * g + c) + b[:, None])
    np.testing.assert_allclose(layer(x).detach().numpy(), want, atol=1e-12)
    gradients_hold(layer, x)


def test_spatial_gating_passes_at_first(rng):
    x = nnrt.tensor(rng.standard_normal((2, 5, 6), np.float32))
    np.testing.assert_allclose(nn.SpatialGatingUnit(6, 5)(x).detach().numpy(), x[:, :, :3].numpy(), atol=0.02)


# ---- positions ----


def test_sinusoids_are_those_of_the_paper():
    layer = nn.SinusoidalPositions(6, 10)
    got = layer(nnrt.zeros(1, 4, 6), start=3).numpy()[0]
    for t in range(4):
        for i in range(3):
            angle = (t + 3) / 10000 ** (2 * i / 6)
            np.testing.assert_allclose(got[t, 2 * i : 2 * i + 2], [math.sin(angle), math.cos(angle)], atol=1e-6)
    assert not layer.state_dict()


def test_learned_positions(rng):
    layer = nn.LearnedPositions(3, 5).double()
    x = numbers(rng, 2, 2, 3)
    np.testing.assert_allclose(layer(x, 3).detach().numpy(), (x + layer.weight[3:]).detach().numpy())
    gradients_hold(layer, x)


# ---- mixtures of experts ----


def dense(layer, x):
    """What the mixture computes, by running all experts on all rows."""
    logits = layer.gate(x).detach().numpy()
    best = np.argsort(-logits, 1)[:, : layer.k]
    chosen = np.take_along_axis(logits, best, 1)
    gates = np.exp(chosen - chosen.max(1, keepdims=True))
    gates /= gates.sum(1, keepdims=True)
    outputs = np.stack([e(x).detach().numpy() for e in layer.experts], 1)
    return (gates[..., None] * np.take_along_axis(outputs, best[..., None], 1)).sum(1)


@pytest.mark.parametrize("k, experts", [(1, 4), (2, 5), (3, 3)])
def test_mixture_of_experts(k, experts, rng):
    nnrt.manual_seed(1)
    layer = nn.MoE(4, experts, k, hidden=6, noisy=False).double()
    x = numbers(rng, 7, 4)
    np.testing.assert_allclose(layer(x).detach().numpy(), dense(layer, x), atol=1e-12)
    assert sum(layer.counts) == 7 * k
    gradients_hold(layer, x)
    assert layer(x.reshape(1, 7, 4)).shape == (1, 7, 4) and layer(x[:0]).shape == (0, 4)


def test_experts_run_on_the_rows_that_chose_them_alone(rng):
    seen = []

    class Expert(nn.Module):
        def forward(self, x):
            seen.append(len(x))
            return x

    layer = nn.MoE(4, 8, 2, noisy=False, expert=Expert)
    layer(numbers(rng, 50, 4).float())
    assert sum(seen) == 100 and seen == [c for c in layer.counts if c]


def test_noise_spreads_rows_over_experts_and_the_loss_says_how_evenly(rng):
    nnrt.manual_seed(0)
    layer = nn.MoE(4, 4, 1, balance=1.0)
    x = nnrt.tensor(rng.standard_normal((4000, 4), np.float32))
    layer(x)
    assert min(layer.counts) > 850 and layer.loss.item() < 0.01
    nn.init.constant_(layer.gate.weight, 0)
    with nnrt.no_grad():
        layer.gate.weight[0] = 5.0
    layer(x.abs())
    assert layer.counts[0] == 4000 and layer.loss.item() > 5
    layer.loss.backward()
    assert layer.gate.weight.grad[0].sum().item() > 0  # a step against it makes the favourite less likely
    layer.eval()
    first, second = layer(x).detach(), layer(x).detach()
    np.testing.assert_array_equal(first.numpy(), second.numpy())


def test_gradients_of_the_noisy_gates_hold(rng):
    def run(logits, noise):
        nnrt.manual_seed(3)
        gates, chosen, load = nnrt.ops.mixture.top_k_gates(logits, 2, noise)
        return gates, load, nnrt.ops.mixture.imbalance(gates, chosen, load)

    assert nnrt.autograd.gradcheck(run, (numbers(rng, 6, 5), numbers(rng, 6, 5)))


# ---- attention of sequence models ----

READERS = {
    "additive": (lambda: nn.AdditiveAttention(4, 5, 6), 5),
    "bilinear": (lambda: nn.BilinearAttention(4, 5), 5),
    "dot": (lambda: nn.DotAttention(), 4),
}


def scores_of(name, layer, q, k):
    if name == "additive":
        w, u, b, v = (p.detach().numpy() for p in (layer.query.weight, layer.key.weight, layer.key.bias, layer.weight))
        return np.tanh((q @ w.T)[:, :, None] + (k @ u.T + b)[:, None]) @ v
    return (q @ layer.weight.detach().numpy() if name == "bilinear" else q / 2) @ k.swapaxes(1, 2)


@pytest.mark.parametrize("name", READERS)
def test_attention_of_sequence_models(name, rng):
    make, key_dim = READERS[name]
    layer = double(make())
    query, keys, values = numbers(rng, 2, 3, 4), numbers(rng, 2, 6, key_dim), numbers(rng, 2, 6, 3)
    mask = nnrt.tensor([[False] * 6, [False] * 4 + [True] * 2])
    scores = scores_of(name, layer, query.detach().numpy(), keys.detach().numpy())
    scores[1, :, 4:] = -np.inf
    want = np.exp(scores - scores.max(-1, keepdims=True))
    want /= want.sum(-1, keepdims=True)
    context, weights = layer(query, keys, values, mask)
    np.testing.assert_allclose(weights.detach().numpy(), want, atol=1e-12)
    np.testing.assert_allclose(context.detach().numpy(), want @ values.detach().numpy(), atol=1e-12)
    gradients_hold(with_mask(layer, mask), query, keys, values)
    one, weight = layer(query[:, 1], keys, values, mask)
    np.testing.assert_allclose(one.detach().numpy(), context[:, 1].detach().numpy(), atol=1e-12)
    assert weight.shape == (2, 6)
    np.testing.assert_allclose(layer(query, keys)[0].detach().numpy(), layer(query, keys, keys)[0].detach().numpy())


def with_mask(layer, mask):
    """The layer's context as a module, with the mask given."""

    class Reading(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, *inputs):
            return self.layer(*inputs, mask)[0]

    return Reading()


def test_additive_attention_projects_keys_once(rng):
    layer = double(nn.AdditiveAttention(4, 5, 6))
    query, keys = numbers(rng, 2, 4), numbers(rng, 2, 6, 5)
    again = layer(query, keys, projected=layer.project(keys))
    np.testing.assert_array_equal(layer(query, keys)[0].detach().numpy(), again[0].detach().numpy())


def test_primer_attention_is_causal_and_convolves_before_it_attends(rng):
    layer = double(nn.PrimerAttention(4, 2))
    x = numbers(rng, 2, 6, 4)
    y = layer(x)
    np.testing.assert_allclose(layer(x[:, :4]).detach().numpy(), y[:, :4].detach().numpy(), atol=1e-12)
    qkv = x.detach().numpy() @ layer.qkv.weight.detach().numpy().T
    before = np.concatenate([np.zeros((2, 2, 12)), qkv], 1)
    w, b = layer.conv.weight.detach().numpy()[:, 0], layer.conv.bias.detach().numpy()
    made = sum(before[:, i : i + 6] * w[:, i] for i in range(3)) + b
    q, k, v = (a.reshape(2, 6, 2, 2).swapaxes(1, 2) for a in np.split(made, 3, -1))
    scores = np.where(np.tri(6, dtype=bool), q @ k.swapaxes(-1, -2) / np.sqrt(2), -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    want = (weights / weights.sum(-1, keepdims=True) @ v).swapaxes(1, 2).reshape(2, 6, 4) @ layer.proj.weight.detach().numpy().T
    np.testing.assert_allclose(y.detach().numpy(), want, atol=1e-12)
    gradients_hold(layer, x)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: nn.SpatialGatingUnit(5, 4), ValueError, "dim must be even, got 5"),
        (lambda: nn.SpatialGatingUnit(4, 5)(nnrt.ones(2, 4, 4)), RuntimeError, r"wants \[N, 5, D\], got shape \(2, 4, 4\)"),
        (lambda: nn.SinusoidalPositions(4, 8)(nnrt.ones(1, 5, 4), 4), ValueError, "length 9 came, there are 8 positions"),
        (lambda: nn.LearnedPositions(4, 8)(nnrt.ones(1, 9, 4)), ValueError, "LearnedPositions: .*length 9 came"),
        (lambda: nn.LearnedPositions(4, 8)(nnrt.ones(1, 5, 3)), RuntimeError, r"wants \[..., T, 4\], got shape \(1, 5, 3\)"),
        (lambda: nn.MoE(4, 3, 4), ValueError, "k must be within 1 and num_experts = 3, got 4"),
        (lambda: nn.SinusoidalPositions(4, 8)(nnrt.ones(1, 5, 4), -1), ValueError, "start must not be negative, got -1"),
        (lambda: nn.PrimerAttention(4, 2)(nnrt.ones(3, 4)), RuntimeError, r"wants \[N, T, 4\], got shape \(3, 4\)"),
        (
            lambda: nn.BilinearAttention(4, 3)(nnrt.ones(2, 3), nnrt.ones(2, 5, 3)),
            RuntimeError,
            r"BilinearAttention: wants query \[N, L, 4\] or \[N, 4\] and keys \[N, S, 3\], got shapes \(2, 3\)",
        ),
        (
            lambda: nn.DotAttention()(nnrt.ones(2, 4), nnrt.ones(2, 3, 4), key_padding_mask=nnrt.zeros(2, 3)),
            RuntimeError,
            "key_padding_mask must be bool, got float32",
        ),
        (lambda: nn.PrimerAttention(5, 2), ValueError, "dim must be a multiple of num_heads, got 5 and 2"),
        (
            lambda: nn.DotAttention()(nnrt.ones(2, 4), nnrt.ones(2, 3, 4), key_padding_mask=nnrt.zeros(2, 4)),
            RuntimeError,
            r"key_padding_mask has shape \(2, 4\), wanted \(2, 3\)",
        ),
        (
            lambda: nn.DotAttention()(nnrt.ones(2, 4), nnrt.ones(2, 3, 4), nnrt.ones(2, 4, 4)),
            RuntimeError,
            r"values \(2, 4, 4\) must be \[2, 3, V\]",
        ),
    ],
)
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
