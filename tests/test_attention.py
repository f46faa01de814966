"""Scaled dot-product attention: dropout, what is refused, agreement with torch over random configurations."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as data

import nnrt
import nnrt.nn.functional as F
from nnrt.nn import attention_patterns as patterns

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
    "alibi": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], alibi=[1.0]), r"alibi .* each of 6 heads, got shape \(1,\)"),
    "relative": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], relative=(nnrt.ones(4, 4), None)), r"relative keys .*\(4, 4\)"),
    "relative size": (
        lambda q, k, v: attend(q, k[:, :1], v[:, :1], relative=(nnrt.ones(3, 4), nnrt.ones(5, 6))), r"relative values .*\(5, 6\)"
    ),
    "mask ints": (lambda q, k, v: attend(q, k[:, :1], v[:, :1], nnrt.ones(5, 7).long()), "attn_mask must be .* got int64"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    call, message = BAD[name]
    with pytest.raises(RuntimeError, match=f"scaled_dot_product_attention: .*{message}"):
        call(nnrt.ones(2, 6, 5, 4), nnrt.ones(2, 2, 7, 4), nnrt.ones(2, 2, 7, 6))


def test_other_types_are_named():
    x = nnrt.ones(2, 3)
    with pytest.raises(TypeError, match="scaled_dot_product_attention: .*key"):
        attend(x, np.ones((2, 3)), x)
    with pytest.raises(TypeError, match="attention: pattern must be one of nn.attention_patterns, got str"):
        attend(x, x, x, pattern="window")
    with pytest.raises(TypeError, match="attention: relative must be a pair of Tensors .* got Tensor"):
        attend(x, x, x, relative=x)
    with pytest.raises(ValueError, match="BigBird: random_blocks must be an integer of at least 0, got -1"):
        patterns.BigBird(random_blocks=-1)
    with pytest.raises(ValueError, match="SlidingWindow: window must be an integer of at least 1, got 2.5"):
        patterns.SlidingWindow(2.5)


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
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=2e-4, atol=1e-4)


def gradients(q, k, v, g, threads, mask=None, **keywords):
    xs = [nnrt.from_numpy(a.copy()).requires_grad_() for a in (q, k, v)]
    if mask is not None:
        mask = nnrt.from_numpy(mask.copy()).requires_grad_(mask.dtype.kind == "f")
    with nnrt.config.use(num_threads=threads):
        nnrt.manual_seed(0)
        y = attend(*xs, mask, **keywords)
        y.backward(nnrt.from_numpy(g))
    more = [mask.grad.numpy()] if mask is not None and mask.requires_grad else []
    return [y.detach().numpy(), *[x.grad.numpy() for x in xs], *more]


@pytest.mark.parametrize("keywords", [{}, {"is_causal": True}, {"dropout_p": 0.2}, {"mask": True}, {"enable_gqa": True}], ids=str)
def test_threads_change_no_bit(keywords, rng):
    heads = 1 if "enable_gqa" in keywords else 2
    shapes = (1, 2, 700, 64), (1, heads, 700, 64), (1, heads, 700, 64), (1, 2, 700, 64)
    arrays = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    if "mask" in keywords:
        keywords = {"mask": rng.standard_normal((1, 1, 700, 700)).astype(np.float32)}
    first, *others = [gradients(*arrays, threads, **keywords) for threads in (1, 2, 3)]
    for other in others:
        for a, b in zip(first, other):
            np.testing.assert_array_equal(a, b)


@pytest.mark.skipif(not nnrt.memory.stats(), reason="the counters are the compiled allocator's")
@pytest.mark.parametrize("keywords", [{}, {"is_causal": True}], ids=str)
def test_memory_grows_with_the_length(keywords, rng):
    """Not with its square: the peak for each token at four times the length."""

    def per_token(length):
        q, k, v, g = [rng.standard_normal((1, 16, length, 32)).astype(np.float32) for _ in range(4)]
        gc.collect()  # what earlier tests left would go meanwhile
        nnrt.memory.empty_cache()  # kept blocks that are larger would count in full
        before = nnrt.memory.stats()["allocated"]
        nnrt.memory.reset_peak()
        gradients(q, k, v, g, 1, **keywords)
        return (nnrt.memory.stats()["peak_allocated"] - before) / length

    first = per_token(512)
    assert per_token(2048) < 1.1 * first


@settings(max_examples=30)
@given(
    data.integers(1, 2), data.integers(1, 3), data.integers(1, 2), data.integers(0, 140), data.integers(0, 140),
    data.integers(1, 40), data.integers(1, 40), data.booleans(), data.integers(0, 2**32 - 1),
)  # fmt: skip
def test_any_size_agrees_with_the_formula(b, g, shared, length, keys, d, e, causal, seed):
    rng = np.random.default_rng(seed)
    q, k, v = (rng.standard_normal(s) for s in [(b, g * shared, length, d), (b, g, keys, d), (b, g, keys, e)])
    y = attend(*map(nnrt.from_numpy, (q, k, v)), is_causal=causal, enable_gqa=True).numpy()
    s = q @ np.repeat(k, shared, 1).swapaxes(-1, -2) / np.sqrt(d)
    if causal:
        s = np.where(np.tri(length, keys, dtype=bool), s, -np.inf)
    p = np.exp(s - s.max(-1, keepdims=True, initial=-1e9))
    want = (p / np.maximum(p.sum(-1, keepdims=True), 1e-300)) @ np.repeat(v, shared, 1)
    np.testing.assert_allclose(y, want, rtol=1e-9, atol=1e-10)


PATTERNS = [
    patterns.SlidingWindow(1),
    patterns.SlidingWindow(10),
    patterns.SlidingWindow(40, causal=True),
    patterns.SlidingWindow(6, dilation=3),
    patterns.SlidingWindow(6, dilation=3, causal=True),
    patterns.Longformer(16, global_tokens=2),
    patterns.Longformer(16, global_tokens=(0, 70, 71), dilation=2),
    patterns.Longformer(16, global_tokens=(5,), causal=True),
    patterns.Longformer(16, global_tokens=0),
    patterns.Strided(11),
    patterns.Fixed(12, summary=3),
    patterns.BigBird(block=16, random_blocks=2),
    patterns.BigBird(),
]


@pytest.mark.parametrize("length", [1, 70, 200])
@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_pattern_is_a_mask(pattern, length):
    """Values and gradients are those of dense attention under the pattern's mask."""
    arrays = [t.numpy() for t in normals(*[(1, 2, length, 4)] * 4)]

    def run(**keywords):
        return gradients(*arrays, 1, **keywords)

    mask = pattern.mask(length)
    assert mask.any(1).all() and (mask.diagonal().all() or pattern == PATTERNS[7])
    xs = [nnrt.from_numpy(a).requires_grad_() for a in arrays[:3]]
    y = attend(*xs, nnrt.from_numpy(mask))
    y.backward(nnrt.from_numpy(arrays[3]))
    for a, b in zip(run(pattern=pattern), [y.detach().numpy(), *[x.grad.numpy() for x in xs]]):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
    with nnrt.no_grad():
        np.testing.assert_allclose(attend(*xs, pattern=pattern).numpy(), y.detach().numpy(), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("pattern", [patterns.SlidingWindow(128), patterns.SlidingWindow(90, 3), patterns.BigBird()], ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_stretches_of_a_long_sequence_add_up(pattern, groups):
    """Lengths at which the gradients of keys and values are the sums of several tasks."""
    shapes = (1, 2, 1000, 64), (1, groups, 1000, 64), (1, groups, 1000, 64), (1, 2, 1000, 64)
    arrays = [t.numpy() for t in normals(*shapes, dtype=np.float32)]
    got, again = (gradients(*arrays, threads, pattern=pattern, enable_gqa=True) for threads in (1, 2))
    for a, b, c in zip(got, again, gradients(*arrays, 1, pattern.mask(1000), enable_gqa=True)):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("pattern", PATTERNS, ids=str)
def test_a_causal_pattern_leaves_out_what_comes_later(pattern):
    arrays = [t.numpy() for t in normals(*[(1, 2, 70, 4)] * 4)]
    mask = np.where(pattern.mask(70) & np.tri(70, dtype=bool), 0, -np.inf)
    for a, b in zip(gradients(*arrays, 1, pattern=pattern, is_causal=True), gradients(*arrays, 1, mask)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("backend", [("cython", "ref"), ("ref",)])
@pytest.mark.parametrize("lead, length", [((0,), 3), ((0, 2), 3), ((2, 0), 3), ((1, 2), 0)])
def test_nothing_to_attend_with(lead, length, backend):
    q, k, v = (t.requires_grad_() for t in normals((*lead, length, 4), (*lead, 2, 4), (*lead, 2, 5)))
    keys, values = normals((7, 4), (7, 5))
    with nnrt.config.use(backend=backend):
        for relative in (None, (keys, values)):
            y = attend(q, k, v, relative=relative)
            y.sum().backward()
            assert y.shape == (*lead, length, 5) and not k.grad.numpy().any()


@pytest.mark.parametrize("backend", [("cython", "ref"), ("numba", "ref"), ("ref",)])
@pytest.mark.parametrize("length", [1, 5])
def test_nan_stays_behind_a_boolean_mask(length, backend):
    """As in torch, which adds -inf."""
    q, k, v = normals((1, 2, length, 4), (1, 2, 20, 4), (1, 2, 20, 4), dtype=np.float32)
    met = np.ones((length, 20), bool)
    met[0, 7] = False
    k.numpy()[:, 1, 7] = np.nan
    with nnrt.config.use(backend=backend):
        y = attend(q, k, v, nnrt.from_numpy(met)).numpy()
    assert np.isnan(y[:, 1]).all() and not np.isnan(y[:, 0]).any()


def test_gradients_of_pieces_side_by_side(rng):
    """Queries, keys and values cut from one array: the gradient is the one that copies of them have, however they are used."""
    x = rng.standard_normal((2, 7, 3, 2, 4))

    def run(order, copies, more):
        base = nnrt.from_numpy(x.copy()).requires_grad_()
        parts = base.permute(2, 0, 3, 1, 4).unbind(0)
        q, k, v = (parts[i].clone() if copies else parts[i] for i in order)
        y = attend(q, k, v, is_causal=True)
        (y * y + (q * v if more else 0)).sum().backward()
        return base.grad.numpy()

    for order in ((0, 1, 2), (2, 0, 1), (0, 0, 1)):
        for more in (False, True):
            np.testing.assert_allclose(run(order, False, more), run(order, True, more), rtol=1e-12)


def test_a_shared_value_of_an_empty_batch_has_a_gradient():
    q, k, v = (t.requires_grad_() for t in normals((0, 4, 3, 2), (0, 2, 3, 2), (2, 3, 5)))
    attend(q, k, v, enable_gqa=True).sum().backward()
    assert v.grad.shape == v.shape and not v.grad.numpy().any()


def by_hand(length, pattern):
    """What the papers say, pair by pair."""
    met = np.zeros((length, length), bool)
    for i in range(length):
        for j in range(length):
            met[i, j] = pattern(i, j)
    return met


@pytest.mark.parametrize(
    "pattern, meets",
    [
        (patterns.SlidingWindow(4), lambda i, j: abs(i - j) <= 2),
        (patterns.SlidingWindow(4, causal=True), lambda i, j: 0 <= i - j < 4),
        (patterns.SlidingWindow(4, dilation=2), lambda i, j: abs(i - j) in (0, 2, 4)),
        (patterns.Longformer(4, (3,)), lambda i, j: abs(i - j) <= 2 or i == 3 or j == 3),
        (patterns.Longformer(4, 1, causal=True), lambda i, j: 0 <= i - j < 4 or j <= i and 0 in (i, j)),
        (patterns.Strided(5), lambda i, j: 0 <= i - j < 5 or i >= j and (i - j) % 5 == 0),
        (patterns.Fixed(5, 2), lambda i, j: j <= i and (i // 5 == j // 5 or j % 5 in (3, 4))),
        (patterns.BigBird(4, 3, 1, 0), lambda i, j: abs(i // 4 - j // 4) <= 1 or i < 4 or j < 4),
    ],
    ids=lambda value: repr(value) if isinstance(value, patterns.Pattern) else "",
)
def test_patterns_are_those_of_the_papers(pattern, meets):
    np.testing.assert_array_equal(pattern.mask(23), by_hand(23, meets))


def blocks_per_token(pattern, length):
    return sum(len(part[5]) for part in pattern.parts(length, length)) / length


@pytest.mark.parametrize("pattern", [patterns.SlidingWindow(256), patterns.Longformer(256), patterns.BigBird()], ids=str)
def test_the_cost_of_a_token_does_not_grow_with_the_length(pattern):
    assert blocks_per_token(pattern, 8192) < 1.1 * blocks_per_token(pattern, 4096)


@pytest.mark.parametrize("pattern", [patterns.Strided, patterns.Fixed], ids=["Strided", "Fixed"])
def test_the_cost_of_a_token_grows_with_the_stride(pattern):
    assert blocks_per_token(pattern(128), 8192) < 2.2 * blocks_per_token(pattern(64), 2048)


def test_random_blocks_are_the_seeds():
    assert (patterns.BigBird(4, seed=1).mask(100) != patterns.BigBird(4, seed=2).mask(100)).any()
    assert (patterns.BigBird(4, random_blocks=2).mask(400).sum(1)[4:] == 4 * (3 + 1 + 2)).mean() > 0.9


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("values", [False, True])
def test_relative_positions(causal, values):
    """Shaw's formula with a vector for every pair."""
    q, k, v, rk, rv = (t.requires_grad_() for t in normals((2, 3, 9, 4), (2, 3, 9, 4), (2, 3, 9, 5), (7, 4), (7, 5)))

    def fast(q, k, v, rk, rv):
        return attend(q, k, v, is_causal=causal, relative=(rk, rv if values else None))

    def slow(q, k, v, rk, rv):
        at = np.clip(np.arange(9) - np.arange(9)[:, None], -3, 3) + 3
        s = nnrt.einsum("bhid,bhjd->bhij", q, k) + nnrt.einsum("bhid,ijd->bhij", q, rk[nnrt.from_numpy(at)])
        p = nnrt.softmax(s / 2 + nnrt.from_numpy(np.where(np.tri(9) > 0, 0, -np.inf) if causal else np.zeros((9, 9))), -1)
        return p @ v + (nnrt.einsum("bhij,ijd->bhid", p, rv[nnrt.from_numpy(at)]) if values else 0)

    results = []
    for fn in (fast, slow):
        for x in (q, k, v, rk, rv):
            x.grad = None
        y = fn(q, k, v, rk, rv)
        (y * y).sum().backward()
        results.append([y.detach().numpy(), *[x.grad.numpy() for x in (q, k, v, rk, rv) if x.grad is not None]])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
    assert nnrt.autograd.gradcheck(fast, (q, k, v, rk, rv))


@pytest.mark.parametrize("heads, slopes", [(2, [2**-4, 2**-8]), (3, [2**-4, 2**-8, 2**-2]), (1, [2**-8])])
def test_alibi(heads, slopes):
    q, k, v = (t.requires_grad_() for t in normals((2, heads, 9, 4), (2, heads, 9, 4), (2, heads, 9, 5)))
    apart = abs(np.arange(9) - np.arange(9)[:, None])
    want = attend(q, k, v, nnrt.from_numpy(-np.array(slopes)[:, None, None] * apart))
    np.testing.assert_allclose(attend(q, k, v, alibi=True).detach().numpy(), want.detach().numpy(), rtol=1e-12)
    np.testing.assert_allclose(attend(q, k, v, alibi=slopes).detach().numpy(), want.detach().numpy(), rtol=1e-12)
    assert nnrt.autograd.gradcheck(lambda *xs: attend(*xs, alibi=True, is_causal=True), (q, k, v))


def test_rotary_products_depend_on_distance():
    q, k = normals((1, 8), (1, 8))
    turn = nnrt.nn.RotaryEmbedding(8)
    near, far = [(turn(q, a) * turn(k, b)).sum().item() for a, b in ((3, 1), (1003, 1001))]
    assert abs(near - far) < 1e-10
    with pytest.raises(RuntimeError, match=r"rotary_embedding: .*even D, got float64 of shape \(1, 7\)"):
        F.rotary_embedding(q[:, :7])
    with pytest.raises(ValueError, match="RotaryEmbedding: dim must be even, got 7"):
        nnrt.nn.RotaryEmbedding(7)


@pytest.mark.parametrize("heads", [1, 4])
def test_a_cache_takes_tokens_in_any_portions(heads, rng):
    qkv = nnrt.from_numpy(rng.standard_normal((2, 9, 3 * 16)).astype(np.float32))
    whole = nnrt.nn.KeyValueCache(2, heads, 9, 16).attend(qkv).numpy()
    cache = nnrt.nn.KeyValueCache(2, heads, 9, 16)
    portions = [cache.attend(qkv[:, a:b]).numpy() for a, b in ((0, 3), (3, 4), (4, 9))]
    np.testing.assert_allclose(np.concatenate(portions, 1), whole, rtol=1e-5, atol=1e-6)
    assert nnrt.nn.KeyValueCache(0, heads, 9, 16).attend(qkv[:0]).shape == (0, 9, 16)


def test_a_cache_refuses_other_batches_and_widths(rng):
    for shape in ((1, 3, 48), (2, 3, 12), (2, 48)):
        with pytest.raises(ValueError, match=r"KeyValueCache: qkv must be \[2, T, 48\], got shape \("):
            nnrt.nn.KeyValueCache(2, 4, 9, 16).attend(nnrt.zeros(shape))
    with pytest.raises(RuntimeError, match="KeyValueCache: made for float32, got float64"):
        nnrt.nn.KeyValueCache(2, 4, 9, 16).attend(nnrt.zeros(2, 3, 48).double())
    with pytest.raises(ValueError, match="dim must be a multiple of num_heads, got 16 and 3"):
        nnrt.nn.KeyValueCache(2, 3, 9, 16)
