"""Scaled dot-product attention: dropout, what is refused, agreement with torch over random configurations."""

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F

attend = F.scaled_dot_product_attention


def normals(*shapes, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    return [nnrt.from_numpy(rng.standard_normal(s).astype(dtype)) for s in shapes]


def test_dropout_in_forward_and_backward_is_the_same():
    q, k, v = (t.requires_grad_() for t in normals((2, 3, 9, 4), (2, 3, 21, 4), (2, 3, 21, 5)))

    def fn(*xs):
        nnrt.manual_seed(3)
        return attend(*xs, dropout_p=0.4)

    assert nnrt.autograd.gradcheck(fn, (q, k, v))
    nnrt.manual_seed(3)
    calls = attend(q, k, v, dropout_p=0.4), attend(q, k, v, dropout_p=0.4), fn(q, k, v)
    first, second, third = (y.detach().numpy() for y in calls)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, third)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p):
    q, k = nnrt.zeros(4, 8, 64, 4), nnrt.zeros(4, 8, 128, 4)
    y = attend(q, k, nnrt.ones(4, 8, 128, 1), dropout_p=p).numpy()  # the share that was kept / (1 - p)
    n = y.size * 128
    assert abs(y.mean() - 1) < 5 * np.sqrt(p / (1 - p) / n)
    assert abs(y.var() * 128 / (p / (1 - p)) - 1) < 0.15
    assert not attend(q, k, nnrt.ones(4, 8, 128, 1), dropout_p=1.0).numpy().any()


BAD = {
    "p": (lambda q, k, v: attend(q, k, v, dropout_p=1.5), r"dropout_p must be within 0 and 1, got 1.5"),
    "p < 0": (lambda q, k, v: attend(q, k, v, dropout_p=-0.1), r"dropout_p must be within 0 and 1, got -0.1"),
    "both": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], nnrt.ones(5, 7), is_causal=True), "attn_mask must be None when"),
    "dtype": (lambda q, k, v: attend(q, k.double(), v), "one floating dtype, got query float32, key float64"),
    "integers": (lambda q, k, v: attend(q.long(), k.long(), v.long()), "one floating dtype, got query int64"),
    "dims": (lambda q, k, v: attend(q[0, 0, 0], k, v), r"at least 2 dimensions, got query \(4,\)"),
    "size": (lambda q, k, v: attend(q, k[..., :3], v), r"query \(2, 6, 5, 4\) and key \(2, 2, 7, 3\) must have one size"),
    "length": (lambda q, k, v: attend(q, k, v[:, :, :3]), r"key \(2, 2, 7, 4\) and value \(2, 2, 3, 6\) must have one length"),
    "heads": (lambda q, k, v: attend(q, k, v), r"leading axes .* do not broadcast; enable_gqa=True"),
    "groups": (lambda q, k, v: attend(q[:, :5], k, v, enable_gqa=True), "5 heads of query are no multiple of 2 heads of key"),
    "grouped dims": (lambda q, k, v: attend(q[0, 0], k, v, enable_gqa=True), "at least 3 dimensions with enable_gqa"),
    "mask": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], nnrt.ones(5, 6)), r"attn_mask .*\(5, 6\) .* to \(2, 6, 5, 7\)"),
    "mask dims": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], nnrt.ones(1, 1, 1, 5, 7)), r"attn_mask .* does not broadcast"),
    "mask dtype": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], nnrt.ones(5, 7).double()), "attn_mask must be bool, float32"),
    "mask ints": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], nnrt.ones(5, 7).long()), "attn_mask must be .* got int64"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, message = BAD[name]
    with pytest.raises(RuntimeError, match=f"scaled_dot_product_attention: .*{message}"):
        call(nnrt.ones(2, 6, 5, 4), nnrt.ones(2, 2, 7, 4), nnrt.ones(2, 2, 7, 6))


def test_arrays_are_no_tensors():
    with pytest.raises(TypeError, match="scaled_dot_product_attention: .*key"):
        attend(nnrt.ones(2, 3), np.ones((2, 3)), nnrt.ones(2, 3))


@pytest.mark.parametrize("seed", range(30))
def test_agrees_with_torch(seed, torch):
    """Random shapes, masks and memory orders."""
    rng = np.random.default_rng(seed)
    b, g, rep = rng.integers(1, 4, 3)
    length, s = rng.choice([1, 2, 17, 63, 64, 65, 130, 200], 2)
    d, e = rng.choice([1, 3, 16, 32, 40, 64], 2)
    kind = rng.choice(["none", "causal", "bool", "float", "padding"])
    order = [(0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 3, 2)][seed % 3]
    shapes = [(b, g * rep, length, d), (b, g, s, d), (b, g, s, e)]
    arrays = [rng.standard_normal([n[a] for a in order]).astype(np.float32).transpose(np.argsort(order)) for n in shapes]
    mask = {
        "bool": lambda: rng.random((length, s)) < 0.3,
        "float": lambda: rng.standard_normal((b, 1, length, s)).astype(np.float32),
        "padding": lambda: rng.random((b, 1, 1, s)) < 0.5,
    }.get(kind, lambda: None)()
    weights = rng.standard_normal((b, g * rep, length, e)).astype(np.float32)

    def run(t):
        xs = [t.from_numpy(a).requires_grad_() for a in arrays]
        m = None if mask is None else t.from_numpy(mask)
        if kind == "float":
            m.requires_grad_()
        y = t.nn.functional.scaled_dot_product_attention(*xs, m, is_causal=bool(kind == "causal"), enable_gqa=bool(rep > 1))
        y.backward(t.from_numpy(weights))
        return [y, *[x.grad for x in xs], *([m.grad] if kind == "float" else [])]

    for got, want in zip(run(nnrt), run(torch)):
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=2e-4, atol=2e-5)
