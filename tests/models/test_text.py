"""Models of text: their sizes, one step of training, results beside torch's, generation, bad input."""

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import models, nn, optim
from nnrt.bench.twin import models_of
from tests.models.layers_in_torch import add_layers

VOCAB, PAD = 11, 0
SMALL = {"layers": 2, "heads": 2, "dim": 8}
TRANSLATION = {**SMALL, "target_vocab": VOCAB, "hidden": 12, "dropout": 0.0}

# model, its arguments, shapes of its integer inputs
CASES = [
    ("GPT", {**SMALL, "positions": 6}, [(3, 6)]),
    ("GPT", {**SMALL, "bias": False, "tie": False, "hidden": 12}, [(2, 5)]),
    ("MoEGPT", {**SMALL, "experts": 3, "k": 2}, [(3, 6)]),
    ("Primer", SMALL, [(3, 6)]),
    ("BERT", {**SMALL, "dropout": 0.0}, [(3, 6)]),
    ("Longformer", {**SMALL, "window": 4, "global_tokens": 2}, [(2, 13)]),
    ("BigBird", {**SMALL, "block": 2, "random_blocks": 1}, [(2, 13)]),
    ("SparseTransformer", {**SMALL, "stride": 4}, [(2, 13)]),
    ("SparseTransformer", {**SMALL, "form": "fixed", "stride": 4, "summary": 2}, [(2, 13)]),
    ("Transformer", TRANSLATION, [(3, 6), (3, 5)]),
    ("Transformer", {**TRANSLATION, "pad": None, "norm_first": True}, [(3, 6), (3, 5)]),
    ("GMLP", {"length": 6, "layers": 2, "dim": 8, "hidden": 12}, [(3, 6)]),
    ("TextCNN", {"num_classes": 3, "dim": 8, "channels": 5, "dropout": 0.0, "pad": PAD}, [(3, 6)]),
    ("Seq2Seq", {"target_vocab": VOCAB, "dim": 6, "hidden": 8}, [(3, 6), (3, 5)]),
    ("Tagger", {"tags": 4, "dim": 6, "hidden": 5, "layers": 2}, [(3, 6)]),
]  # fmt: skip
CASES = [pytest.param(*case, id="-".join([case[0], *map(str, case[1].values())])) for case in CASES]

# Published (GPT-2, BERT base), or counted by hand from the layers' sizes.
COUNTS = [
    ("GPT", {"vocab": 50257}, 124_439_808),
    ("GPT", {"vocab": 50257, "layers": 48, "heads": 25, "dim": 1600}, 1_557_611_200),
    ("BERT", {"vocab": 30522}, 109_514_298),
    ("Longformer", {"vocab": 50265}, 50265 * 769 + 4096 * 768 + 12 * 7_087_872 + 2 * 768),
    ("SparseTransformer", {"vocab": 50257}, 124_439_808),
    ("Transformer", {"source_vocab": 100, "target_vocab": 200}, 44_140_544 + 100 * 512 + 200 * 512 + 200 * 513),
    ("TextCNN", {"vocab": 1000, "dim": 300}, 1000 * 300 + 100 * (300 * 12 + 3) + 2 * 301),
]


@pytest.mark.parametrize("name, options, count", COUNTS)
def test_parameter_counts(name, options, count):
    with nn.init.skipped():
        assert sum(p.numel() for p in getattr(models, name)(**options).parameters()) == count


def test_names_of_gpt_are_gpt2s():
    with nn.init.skipped():
        keys = list(models.GPT(VOCAB, **SMALL).state_dict())
    parts = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    layer = [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    wanted = ["wte.weight", "wpe.weight", *(f"h.{i}.{key}" for i in range(2) for key in layer), "ln_f.weight", "ln_f.bias"]
    assert keys == [f"transformer.{key}" for key in wanted] + ["lm_head.weight"]


def ids(rng, shapes):
    return [rng.integers(1, VOCAB, shape) for shape in shapes]


def made(library, name, options):
    return getattr(library, name)(VOCAB, **options)


def outputs_of(model, inputs):
    y = model(*inputs)
    return model.predict(y) if hasattr(model, "predict") else y


@pytest.mark.parametrize("name, options, shapes", CASES)
def test_a_step_of_training_lowers_the_loss_as_the_gradient_says(name, options, shapes, rng):
    nnrt.manual_seed(1)
    model = made(models, name, options)
    inputs = [nnrt.tensor(a) for a in ids(rng, shapes)]
    seed = int(rng.integers(1 << 30))

    def loss():
        nnrt.manual_seed(seed)  # of the noise that chooses experts
        y = outputs_of(model, inputs)
        targets = np.random.default_rng(seed).integers(0, y.shape[-1], tuple(y.shape[:-1]))
        return F.cross_entropy(y.reshape(-1, y.shape[-1]), nnrt.tensor(targets.reshape(-1)))

    before = loss()
    before.backward()
    steepness = sum(float((p.grad.array.astype(np.float64) ** 2).sum()) for p in model.parameters() if p.grad is not None)
    hoped = 0.003 * before.item()
    optim.SGD(model.parameters(), lr=hoped / steepness).step()
    assert 0.5 * hoped < before.item() - loss().item() < 1.5 * hoped


@pytest.mark.parametrize("name, options, shapes", CASES)
def test_against_torch(name, options, shapes, rng, torch):
    torch.manual_seed(1)
    twin = models_of(torch)
    add_layers(torch, twin.gpt.nn)
    theirs = made(twin, name, options).double()
    for p in theirs.parameters():
        torch.nn.init.normal_(p, std=0.3)
    ours = made(models, name, options).double()
    ours.load_state_dict({key: nnrt.from_numpy(value.numpy()) for key, value in theirs.state_dict().items()})
    ours.eval()  # nothing is drawn
    theirs.eval()
    arrays = ids(rng, shapes)
    if options.get("pad", 1) == PAD:
        arrays[0][0, -2:] = PAD

    def run(library, model):
        y = outputs_of(model, [library.tensor(a) for a in arrays])
        (y * library.tensor(np.random.default_rng(1).normal(size=tuple(y.shape)))).sum().backward()
        return y.detach().numpy()

    got, wanted = run(nnrt, ours), run(torch, theirs)
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())
    theirs = dict(theirs.named_parameters())
    for key, p in ours.named_parameters():
        wanted = theirs[key].grad
        wanted = np.zeros(p.shape) if wanted is None else wanted.numpy()
        if p.grad is None:  # an expert that nothing went to
            assert not wanted.any(), key
        else:
            atol = 1e-6 * np.abs(wanted).max() + 1e-9
            np.testing.assert_allclose(p.grad.numpy(), wanted, rtol=1e-6, atol=atol, err_msg=key)


# ---- generation ----


def decoder(name="GPT", **options):
    nnrt.manual_seed(3)
    model = made(models, name, {**SMALL, "positions": 12, **options})
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    return model.eval()


@pytest.mark.parametrize("name", ["GPT", "MoEGPT", "Primer", "SparseTransformer"])
def test_generation_takes_the_likeliest_token_again_and_again(name, rng):
    model = decoder(name)
    x = nnrt.tensor(rng.integers(0, VOCAB, (3, 4)))
    got = model.generate(x, 8, temperature=0)
    for _ in range(8):
        x = nnrt.cat([x, model(x)[:, -1:].argmax(-1)], 1)
    assert got.tolist() == x.tolist()


def test_caches_take_several_tokens_at_once(rng):
    model = decoder()
    x = nnrt.tensor(rng.integers(0, VOCAB, (2, 9)))
    with nnrt.no_grad():
        caches = model.caches(2, 9)
        parts = [model(part, caches) for part in (x[:, :4], x[:, 4:5], x[:, 5:])]
    np.testing.assert_allclose(nnrt.cat(parts, 1).numpy(), model(x).detach().numpy(), atol=1e-4)


def test_hooks_see_what_caches_let_through(rng):
    model, seen = decoder(), []
    x = nnrt.tensor(rng.integers(0, VOCAB, (2, 3)))
    free = model.generate(x, 4, temperature=0)
    model.transformer.h[0].mlp.c_fc.register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape[:2])))
    assert model.generate(x, 4, temperature=0).tolist() == free.tolist()
    assert seen == [(2, 3), (2, 1), (2, 1), (2, 1)]


def test_a_cache_has_room_for_so_many(rng):
    model = decoder()
    with nnrt.no_grad(), pytest.raises(ValueError, match="KeyValueCache: .*length 4 came, there are 3 positions"):
        model(nnrt.zeros(2, 4, dtype=nnrt.int64), model.caches(2, 3))


def test_generation_is_sampled_and_seeded(rng):
    model = decoder()
    x = nnrt.tensor(rng.integers(0, VOCAB, (2, 3)))

    def drawn(seed):
        return model.generate(x, 9, 1.5, top_k=5, top_p=0.95, generator=nnrt.Generator().manual_seed(seed))

    first, second, other = drawn(1), drawn(1), drawn(2)
    assert first.tolist() == second.tolist() != other.tolist() and first.shape == (2, 12)


def test_generation_stops(rng):
    model = decoder()
    x = nnrt.tensor(rng.integers(0, VOCAB, (2, 3)))
    free = model.generate(x, 6, temperature=0).numpy()
    stop = int(free[0, 4])
    got = model.generate(x, 6, temperature=0, stop=stop).numpy()
    first = np.flatnonzero(free[0, 3:] == stop)[0] + 3
    assert (got[0, : first + 1] == free[0, : first + 1]).all() and (got[0, first:] == stop).all()


@pytest.mark.parametrize("name", ["Transformer", "Seq2Seq"])
def test_translation_is_generated_token_by_token(name, rng):
    nnrt.manual_seed(5)
    options = {"target_vocab": VOCAB, "dim": 8, "hidden": 12}
    options |= {"layers": 2, "heads": 2} if name == "Transformer" else {}
    model = made(models, name, options).eval()
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    source = nnrt.tensor(rng.integers(1, VOCAB, (4, 5)))
    target = nnrt.full((4, 1), 1)
    for _ in range(7):
        target = nnrt.cat([target, model(source, target)[:, -1:].argmax(-1)], 1)
    want = target[:, 1:].numpy()
    eos = int(want[0, 3])
    got = model.generate(source, 1, eos, 7).numpy()
    for ours, theirs in zip(got, want):
        end = np.flatnonzero(theirs == eos)
        end = end[0] + 1 if len(end) else len(theirs)
        assert (ours[:end] == theirs[:end]).all() and (ours[end:] == eos).all()
    nothing = model.generate(source, 1, eos, 0)
    assert nothing.shape == (4, 0) and nothing.dtype == nnrt.int64


@pytest.mark.parametrize("name", ["GPT", "Transformer", "Seq2Seq"])
def test_generation_is_free_of_dropout_and_leaves_modes_as_they_were(name, rng):
    nnrt.manual_seed(5)
    options = {"GPT": {"layers": 2, "heads": 2, "dim": 8}, "Transformer": {"layers": 2, "heads": 2, "dim": 8, "hidden": 12}}
    more = {} if name == "GPT" else {"target_vocab": VOCAB}
    model = getattr(models, name)(VOCAB, **more, **options.get(name, {}), dropout=0.5)
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    still = next(part for part in model.modules() if isinstance(part, nn.Dropout)).eval()
    ids = nnrt.tensor(rng.integers(1, VOCAB, (3, 5)))
    first, second = (
        model.generate(ids, 6, temperature=0) if name == "GPT" else model.generate(ids, 1, VOCAB, 6) for _ in range(2)
    )
    assert first.tolist() == second.tolist()
    assert [part for part in model.modules() if not part.training] == [still]


@pytest.mark.parametrize("name", ["Seq2Seq", "Tagger"])
def test_what_follows_the_end_of_a_sequence_changes_nothing(name, rng):
    model = made(models, name, {"target_vocab": VOCAB} if name == "Seq2Seq" else {"tags": 3})
    a = rng.integers(1, VOCAB, (2, 6))
    b = a.copy()
    b[1, 4:] = 0
    more = [nnrt.tensor(rng.integers(1, VOCAB, (2, 3)))] if name == "Seq2Seq" else []
    y, z = (model(nnrt.tensor(x), *more, lengths=[6, 4]).detach().numpy() for x in (a, b))
    np.testing.assert_allclose(y[1, :4], z[1, :4], atol=1e-6)


@pytest.mark.parametrize("name", ["BERT", "Longformer", "BigBird"])
def test_encoders_do_not_look_at_padding(name, rng):
    model = made(models, name, SMALL).eval()
    a = rng.integers(1, VOCAB, (2, 9))
    b = np.concatenate([a, rng.integers(1, VOCAB, (2, 3))], 1)
    padding = nnrt.tensor(np.broadcast_to(np.arange(12) >= 9, (2, 12)).copy())
    got = model(nnrt.tensor(b), padding_mask=padding).detach().numpy()[:, :9]
    np.testing.assert_allclose(got, model(nnrt.tensor(a)).detach().numpy(), atol=1e-5)


def test_translation_does_not_look_at_padding(rng):
    model = made(models, "Transformer", {**SMALL, "target_vocab": VOCAB, "hidden": 12}).eval()
    source, target = nnrt.tensor(rng.integers(1, VOCAB, (2, 4))), nnrt.tensor(rng.integers(1, VOCAB, (2, 3)))
    longer = nnrt.cat([source, nnrt.zeros(2, 2, dtype=nnrt.int64)], 1)
    np.testing.assert_allclose(model(longer, target).detach().numpy(), model(source, target).detach().numpy(), atol=1e-5)


# ---- training of masked models ----


def test_tokens_are_masked_as_bert_masks_them():
    a = nnrt.arange(40000).reshape(100, 400) % 50
    inputs, targets = models.mask_tokens(a, 77, 50, 0.15, special=(3,), generator=nnrt.Generator().manual_seed(0))
    inputs, targets, a = inputs.numpy(), targets.numpy(), a.numpy()
    hidden = targets >= 0
    assert abs(hidden[a != 3].mean() - 0.15) < 0.01 and not hidden[a == 3].any()
    assert (targets[hidden] == a[hidden]).all() and (inputs[~hidden] == a[~hidden]).all()
    assert abs((inputs[hidden] == 77).mean() - 0.8) < 0.03
    assert abs((inputs[hidden] == a[hidden]).mean() - 0.1) < 0.03
    _, targets = models.mask_tokens(nnrt.tensor([[3, 5]]), 77, 50, 1e-9, special=(3,))
    assert targets.tolist() == [[-100, 5]]


def test_bert_learns_to_fill_in_what_is_hidden(rng):
    """Sequences that count: a hidden number follows from its neighbours."""
    nnrt.manual_seed(0)
    model = models.BERT(12, layers=1, heads=2, dim=32, positions=8, dropout=0.0)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(150):
        x = nnrt.tensor((rng.integers(0, 10, (32, 1)) + np.arange(8)) % 10)
        optimizer.zero_grad()
        loss = model.masked_loss(x, 11)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[:5]) > 2 and np.mean(losses[-10:]) < 1.2


@pytest.mark.parametrize(
    "call, kind, message",
    [
        (lambda: decoder()(nnrt.zeros(1, 13, dtype=nnrt.int64)), ValueError, "GPT: 13 tokens came, there are 12 positions"),
        (lambda: decoder().generate(nnrt.zeros(1, 4, dtype=nnrt.int64), 9), ValueError, "13 tokens came, there are 12 positions"),
        (lambda: decoder().generate(nnrt.zeros(1, 4, dtype=nnrt.int64), -1), ValueError, "GPT.generate: count must .* got -1"),
        (lambda: models.Transformer(5, 5, dim=8).generate(None, 1, 2, -1), ValueError, "Transformer.generate: count .* got -1"),
        (lambda: models.Seq2Seq(5, 5, dim=8).generate(None, 1, 2, -3), ValueError, "Seq2Seq.generate: count must .* got -3"),
        (lambda: decoder()(nnrt.full((1, 2), VOCAB)), IndexError, r"index 11 at position \(0, 0\) is out of range"),
        (lambda: decoder()(nnrt.zeros(4, dtype=nnrt.int64)), ValueError, r"ids must be \[N, T\], T > 0, got shape \(4,\)"),
        (lambda: decoder()(nnrt.zeros(1, 4)), RuntimeError, "index must be of an integer dtype, got float32"),
        (lambda: models.GPT(5, dim=10, heads=3), ValueError, "dim must be a multiple of heads, got 10 and 3"),
        (lambda: models.BERT(5, **SMALL, positions=4)(nnrt.zeros(1, 5, dtype=nnrt.int64)), ValueError, "BERT: 5 tokens came"),
        (lambda: models.SparseTransformer(5, form="dense"), ValueError, "form 'dense'; wanted 'strided' or 'fixed'"),
        (lambda: models.BigBird(5, **SMALL, positions=4)(nnrt.zeros(1, 5, dtype=nnrt.int64)), ValueError, "BigBird: 5 tokens"),
        (
            lambda: models.Longformer(5, **SMALL)(nnrt.zeros(1, 5, dtype=nnrt.int64), nnrt.zeros(1, 4, dtype=nnrt.bool)),
            ValueError,
            r"padding_mask has shape \(1, 4\), wanted \(1, 5\) as ids",
        ),
        (lambda: models.GMLP(5, 4, 1, 8)(nnrt.zeros(1, 5, dtype=nnrt.int64)), ValueError, r"must be \[N, 4\], got .*\(1, 5\)"),
        (lambda: models.TextCNN(5)(nnrt.zeros(1, 4, dtype=nnrt.int64)), ValueError, r"T at least 5, got shape \(1, 4\)"),
        (lambda: models.CharRNN(5)(nnrt.zeros(3, dtype=nnrt.int64)), ValueError, r"CharRNN: ids must be .* got shape \(3,\)"),
        (
            lambda: models.Seq2Seq(5, 5)(nnrt.zeros(2, 3, dtype=nnrt.int64), nnrt.zeros(2, 0, dtype=nnrt.int64)),
            ValueError,
            r"target must be \[N, T\], T > 0, got shape \(2, 0\)",
        ),
        (lambda: models.Seq2Seq(5, 5, hidden=5), ValueError, "hidden must be even, got 5"),
        (
            lambda: models.Seq2Seq(5, 5)(nnrt.zeros(2, 3, dtype=nnrt.int64), nnrt.zeros(3, 3, dtype=nnrt.int64)),
            ValueError,
            "2 sources came with 3 targets",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_named(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_tagger_learns_what_depends_on_both_sides(rng):
    """A token's tag is whether it occurs again later, and whether it has occurred before, in sequences of many lengths."""
    nnrt.manual_seed(0)
    model = models.Tagger(6, 4, dim=16, hidden=32)
    optimizer = optim.Adam(model.parameters(), lr=1e-2)

    def batch(n):
        lengths = rng.integers(4, 9, n)
        a = rng.integers(1, 6, (n, 8))
        tags = np.full((n, 8), -100)
        for row, tag, length in zip(a, tags, lengths):
            row[length:] = 0
            word = row[:length].tolist()
            tag[:length] = [2 * (c in word[:i]) + (c in word[i + 1 :]) for i, c in enumerate(word)]
        return nnrt.tensor(a), lengths.tolist(), tags

    for _ in range(300):
        x, lengths, tags = batch(32)
        optimizer.zero_grad()
        F.cross_entropy(model(x, lengths).flatten(0, 1), nnrt.tensor(tags.reshape(-1))).backward()
        optimizer.step()
    x, lengths, tags = batch(200)
    found = model(x, lengths).argmax(-1).numpy()
    assert (found == tags)[tags >= 0].mean() > 0.95
