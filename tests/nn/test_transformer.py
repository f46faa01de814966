"""Attention and transformer layers: outputs, gradients and names beside torch's; masks; bad input."""

import numpy as np
import pytest

import nnrt
from nnrt import nn


def pair(torch, make, seed=1):
    """(ours, theirs) in double precision with the same state; nothing is dropped."""
    torch.manual_seed(seed)
    ours, theirs = make(nn).double(), make(torch.nn).double()
    for p in theirs.parameters():  # biases, too
        torch.nn.init.normal_(p, std=0.5)
    state = theirs.state_dict()
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in state.items()]
    ours.load_state_dict({key: nnrt.from_numpy(value.numpy()) for key, value in state.items()})
    return ours, theirs


def agree(torch, make, call, arrays):
    """call(library, module, *tensors) gives tensors: these, and the gradients of everything, are the same."""
    results = []
    for library, module in zip((nnrt, torch), pair(torch, make)):
        inputs = [a if a is None else library.tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
        outputs = [y for y in call(library, module, *inputs) if y is not None]
        weights = np.random.default_rng(5)
        sum((y * library.tensor(weights.standard_normal(tuple(y.shape)))).sum() for y in outputs).backward()
        grads = [x.grad for x in inputs if x is not None and x.requires_grad] + [p.grad for p in module.parameters()]
        results.append([y.detach() for y in outputs] + grads)
    for got, wanted in zip(*results, strict=True):
        assert (got is None) == (wanted is None)
        if got is not None:
            np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-8, atol=1e-9)


def numbers(*shapes):
    rng = np.random.default_rng(3)
    return [rng.standard_normal(shape) for shape in shapes]


def padded(n, length):
    """True for the last keys of all samples but the first."""
    return np.arange(length) >= length - np.arange(n)[:, None] % 3


CAUSAL = np.triu(np.ones((5, 5), bool), 1)
FLOATING = np.random.default_rng(7).standard_normal((3 * 2, 4, 5))

FAST = {"need_weights": False}
ATTENTION = {
    "self": ({}, {}, None),
    "batch first": ({"batch_first": True}, {}, None),
    "without bias": ({"bias": False}, FAST, None),
    "no weights": ({}, FAST, None),
    "each head's weights": ({}, {"average_attn_weights": False}, None),
    "more keys": ({"add_bias_kv": True, "add_zero_attn": True}, {}, None),
    "more keys, no weights": ({"add_bias_kv": True, "add_zero_attn": True}, {**FAST, "key_padding_mask": "pad"}, None),
    "other sizes": ({"kdim": 5, "vdim": 7}, FAST, (5, 7)),
    "other sizes, batch first": ({"kdim": 5, "vdim": 7, "batch_first": True, "bias": False}, {}, (5, 7)),
    "memory": ({}, FAST, "memory"),
    "three inputs": ({}, FAST, (8, 8)),
    "padding": ({}, {"key_padding_mask": "pad"}, (8, 8)),
    "padding, no weights": ({}, {"key_padding_mask": "pad", **FAST}, (8, 8)),
    "floating padding": ({}, {"key_padding_mask": "pad added"}, "memory"),
    "a mask for each head": ({}, {"attn_mask": FLOATING}, "memory"),
    "a mask for each head and padding": ({}, {"attn_mask": FLOATING, "key_padding_mask": "pad added", **FAST}, "memory"),
    "causal": ({}, {"attn_mask": CAUSAL, "is_causal": True}, None),
    "causal, no weights": ({}, {"attn_mask": CAUSAL, "is_causal": True, **FAST}, None),
    "causal and padding": ({}, {"attn_mask": CAUSAL, "is_causal": True, "key_padding_mask": "pad", **FAST}, None),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTENTION)
def test_multihead_attention_is_torchs(name, torch):
    options, masks, kind = ATTENTION[name]
    n, s = 3, 5
    length = 5 if kind is None else 4
    first = options.get("batch_first", False)
    shapes = [(length, n, 8)]
    if isinstance(kind, tuple):
        shapes += [(s, n, kind[0]), (s, n, kind[1])]
    elif kind == "memory":
        shapes += [(s, n, 8)]
    arrays = [a.transpose(1, 0, 2).copy() if first else a for a in numbers(*shapes)]

    def call(library, module, *inputs):
        q, k, v = (inputs * 3)[:3] if kind is None else (inputs[0], inputs[1], inputs[-1])
        given = {}
        for key, mask in masks.items():
            if isinstance(mask, str):
                mask = np.where(padded(n, s), -2.0, 0.5) if mask == "pad added" else padded(n, s)
            given[key] = library.tensor(mask) if isinstance(mask, np.ndarray) else mask
        return module(q, k, v, **given)

    agree(torch, lambda nn: nn.MultiheadAttention(8, 2, **options), call, arrays)


def test_a_mask_has_a_gradient_beside_keys_that_are_added(torch):
    def call(library, module, x, mask):
        return module(x, x, x, attn_mask=mask)

    agree(torch, lambda nn: nn.MultiheadAttention(6, 3, add_bias_kv=True, add_zero_attn=True), call, numbers((4, 2, 6), (4, 4)))


@pytest.mark.parametrize("sizes", [(6, 6), (5, 7)])
def test_multihead_attention_as_a_function(sizes, torch):
    def call(library, m, q, k, v):
        return library.nn.functional.multi_head_attention_forward(
            q, k, v, 6, 3, m.in_proj_weight, m.in_proj_bias, m.bias_k, m.bias_v, False, 0.5, m.out_proj.weight, m.out_proj.bias,
            training=False, key_padding_mask=library.tensor(padded(2, 3)), use_separate_proj_weight=sizes != (6, 6),
            q_proj_weight=m.q_proj_weight, k_proj_weight=m.k_proj_weight, v_proj_weight=m.v_proj_weight,
        )  # fmt: skip

    arrays = numbers((4, 2, 6), (3, 2, sizes[0]), (3, 2, sizes[1]))
    agree(torch, lambda nn: nn.MultiheadAttention(6, 3, add_bias_kv=True, kdim=sizes[0], vdim=sizes[1]), call, arrays)


def test_multihead_attention_of_a_single_sequence(torch):
    def call(library, module, q, k):
        return module(q, k, k, key_padding_mask=library.tensor([False, True, False]))

    agree(torch, lambda nn: nn.MultiheadAttention(6, 3), call, numbers((4, 6), (3, 6)))


@pytest.mark.parametrize("more", [False, True])
def test_causal_without_a_mask_is_causal(more, rng):
    layer = nn.MultiheadAttention(8, 2, batch_first=True, add_bias_kv=more, add_zero_attn=more).double()
    x = nnrt.tensor(rng.standard_normal((2, 6, 8)))
    y = layer(x, x, x, need_weights=False, is_causal=True)[0]
    again, weights = layer(x, x, x, is_causal=True)
    np.testing.assert_allclose(y.detach().numpy(), again.detach().numpy(), atol=1e-12)
    assert not np.triu(weights.detach().numpy()[..., :6], 1).any()
    part = x[:, :3]
    np.testing.assert_allclose(layer(part, part, part, is_causal=True)[0].detach().numpy(), y[:, :3].detach().numpy(), atol=1e-12)


def test_attention_drops_weights_in_training_alone(rng):
    nnrt.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, dropout=0.5)
    x = nnrt.tensor(rng.standard_normal((4, 2, 8), np.float32))
    for need in (True, False):
        first, second = (layer.train()(x, x, x, need_weights=need)[0].detach().numpy() for _ in range(2))
        assert not np.allclose(first, second)
        first, second = (layer.eval()(x, x, x, need_weights=need)[0].detach().numpy() for _ in range(2))
        np.testing.assert_array_equal(first, second)


LAYER = {"d_model": 8, "nhead": 2, "dim_feedforward": 12, "dropout": 0.0}
KINDS = {
    "plain": {},
    "norm first": {"norm_first": True},
    "batch first, gelu": {"batch_first": True, "activation": "gelu"},
    "no bias, eps": {"bias": False, "layer_norm_eps": 1e-2, "norm_first": True},
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("masked", [False, True])
def test_encoder_layer_is_torchs(name, masked, torch):
    def call(library, module, x):
        if not masked:
            return [module(x)]
        n, length = x.shape[:2] if module.self_attn.batch_first else x.shape[1::-1]
        mask = library.tensor(CAUSAL[:length, :length])
        return [module(x, src_mask=mask, src_key_padding_mask=library.tensor(padded(n, length)))]

    agree(torch, lambda nn: nn.TransformerEncoderLayer(**LAYER, **KINDS[name]), call, numbers((4, 5, 8)))


@pytest.mark.parametrize("name", KINDS)
def test_decoder_layer_is_torchs(name, torch):
    def call(library, module, x, memory):
        mask = library.nn.Transformer.generate_square_subsequent_mask(5, dtype=library.float64)
        pad = library.tensor(padded(2, 4))
        return [module(x, memory, tgt_mask=mask, tgt_is_causal=True, memory_key_padding_mask=pad)]

    shapes = ((2, 5, 8), (2, 4, 8)) if KINDS[name].get("batch_first") else ((5, 2, 8), (4, 2, 8))
    agree(torch, lambda nn: nn.TransformerDecoderLayer(**LAYER, **KINDS[name]), call, numbers(*shapes))


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.parametrize("name", KINDS)
def test_transformer_is_torchs(name, torch):
    options = {**LAYER, "num_encoder_layers": 2, "num_decoder_layers": 2, **KINDS[name]}

    def call(library, module, src, tgt):
        mask = module.generate_square_subsequent_mask(5, dtype=library.float64)
        pad = library.tensor(padded(3, 4))
        return [module(src, tgt, tgt_mask=mask, src_key_padding_mask=pad, memory_key_padding_mask=pad)]

    shapes = [(3, 4, 8), (3, 5, 8)] if options.get("batch_first") else [(4, 3, 8), (5, 3, 8)]
    agree(torch, lambda nn: nn.Transformer(**options), call, numbers(*shapes))


def test_parts_may_be_given(torch):
    class Half(nn.Module):
        def forward(self, src, *masks):
            return src * 0.5

    model = nn.Transformer(8, 2, 1, 1, 12, custom_encoder=Half())
    assert isinstance(model.encoder, Half)
    assert model(nnrt.ones(4, 2, 8), nnrt.ones(3, 2, 8)).shape == (3, 2, 8)


def test_the_causal_mask_is_found_out():
    of = nn.Transformer.generate_square_subsequent_mask
    assert of(3).tolist() == [[0, -np.inf, -np.inf], [0, 0, -np.inf], [0, 0, 0]]
    found = nn.transformer._is_causal
    assert found(of(4)) and found(nnrt.tensor(CAUSAL)) and not found(None)
    assert not found(nnrt.zeros(4, 4)) and not found(nnrt.tensor(~CAUSAL)) and not found(nnrt.zeros(3, 4))


X = nnrt.ones(4, 2, 8)


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: nn.MultiheadAttention(8, 3), ValueError, "embed_dim must be a positive multiple of num_heads, got 8 and 3"),
        (lambda: nn.MultiheadAttention(6, 2)(X, X, X), RuntimeError, r"query must be .* E = 6, got"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X[0], X), RuntimeError, r"key must be .*got shape \(2, 8\)"),
        (lambda: nn.MultiheadAttention(8, 2)(X, X, X[:3]), RuntimeError, r"value \(2, 3, 8\) must have one length"),
        (
            lambda: nn.MultiheadAttention(8, 2)(X, X, X, attn_mask=nnrt.zeros(4, 5)),
            RuntimeError,
            r"attn_mask has shape \(4, 5\), wanted \(4, 4\) or \(4, 4, 4\)",
        ),
        (
            lambda: nn.MultiheadAttention(8, 2)(X, X, X, key_padding_mask=nnrt.zeros(4, 2)),
            RuntimeError,
            r"key_padding_mask has shape \(4, 2\), wanted \(2, 4\)",
        ),
        (
            lambda: nn.MultiheadAttention(8, 2)(X, X, X, key_padding_mask=nnrt.zeros(2, 4, dtype=nnrt.int64)),
            RuntimeError,
            "key_padding_mask must be bool or float32 as query is, got int64",
        ),
        (
            lambda: nn.MultiheadAttention(8, 2)(X, X, X, attn_mask=nnrt.zeros(4, 4).double()),
            RuntimeError,
            "attn_mask must be bool or float32 as query is, got float64",
        ),
        (lambda: nn.MultiheadAttention(8, 2)(X.numpy(), X, X), TypeError, "query must be a Tensor, got ndarray"),
        (lambda: nn.TransformerEncoderLayer(8, 2, activation="tanh"), RuntimeError, "activation must be 'relu'"),
        (lambda: nn.Transformer(8, 2, 1, 1)(X, X[:, :1]), RuntimeError, "must have one batch size, in dim 1"),
        (lambda: nn.Transformer(6, 2, 1, 1)(X, X), RuntimeError, "must end in d_model = 6"),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
