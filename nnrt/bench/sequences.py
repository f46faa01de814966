"""Rows of sequence models. Peers: torch compiled ("compile") where a row is a training step."""

from functools import partial

import numpy as np

from .nets import _drawn
from .twin import models_of
from .workloads import Workload, in_torch

# ---- transformers ----


def _tokens(n, length, vocab, more=()):
    return lambda rng: [rng.integers(1, vocab, (n, size)) for size in (length, *more)]


def _gpt(t):
    return _drawn(t, models_of(t).GPT(256, layers=4, heads=4, dim=128, positions=256))


def _gpt_step(how, t, arrays):
    ids, targets = (t.from_numpy(a) for a in arrays)
    model = _gpt(t)
    return _training(t, how, model, lambda run_model: run_model(ids), targets)


def _translation_step(how, t, arrays):
    source, target, following = (t.from_numpy(a) for a in arrays)
    model = models_of(t).Transformer(256, 256, dim=128, heads=4, layers=2, hidden=512, dropout=0.0, positions=256)
    return _training(t, how, _drawn(t, model), lambda run_model: run_model(source, target), following)


def _training(t, how, model, logits_of, targets):
    """Steps of Adam on the cross entropy of the logits."""
    run_model = t.compile(model) if how == "compile" else model
    optimizer = t.optim.Adam(model.parameters(), lr=1e-3)

    def run():
        optimizer.zero_grad()
        loss = t.nn.functional.cross_entropy(logits_of(run_model).flatten(0, 1), targets.flatten())
        loss.backward()
        optimizer.step()
        return loss

    return run


def _generation(t, arrays):
    model, ids = _gpt(t), t.from_numpy(arrays[0])
    return lambda: model.generate(ids, 64, temperature=0)


def _transformers():
    def step(name, setup, arrays, flops):
        peers = {"compile": partial(in_torch, partial(setup, "compile"))}
        return Workload(name, "sequences", partial(setup, ""), arrays, flops=flops, peers=peers, tol=2e-3, target=1.6)

    products = 4 * 12 * 128**2 + 128 * 256  # multiply-adds of a token
    gpt = 6.0 * 8 * 128 * (products + 4 * 128 * 128)
    # of a token: the encoder's layer, the decoder's with attention to the source
    pair = 6.0 * 8 * 64 * (2 * (12 + 16) * 128**2 + 128 * 256)
    return [
        step("gpt 4x128 t128 b8 adam step", _gpt_step, _tokens(8, 128, 256, [128]), gpt),
        step("transformer 2+2x128 t64 b8 adam step", _translation_step, _tokens(8, 64, 256, [64, 64]), pair),
        Workload(
            "gpt 4x128 64 tokens one by one", "sequences", _generation, _tokens(1, 64, 256), flops=2.0 * 64 * products, target=4
        ),
    ]


# ---- rows of 100 MB ----


def _norm(name, t, arrays):
    x, dy = (t.from_numpy(a) for a in arrays)
    x.requires_grad_()
    size = x.shape[1:]
    weight = t.ones(size, requires_grad=True)
    more = (t.zeros(size, requires_grad=True), 1e-5) if name == "layer_norm" else (1e-5,)

    def run():
        x.grad = weight.grad = None
        getattr(t.nn.functional, name)(x, tuple(size), weight, *more).backward(dy)
        return x.grad, weight.grad

    return run


def _embedding(t, arrays):
    ids, table, dy = (t.from_numpy(a) for a in arrays)
    table.requires_grad_()

    def run():
        table.grad = None
        t.nn.functional.embedding(ids, table).backward(dy)
        return table.grad

    return run


def _embedding_arrays(rng):
    rows, dim = 100_000, 256
    return [
        rng.integers(0, 20_000, rows), rng.standard_normal((20_000, dim), dtype=np.float32),
        rng.standard_normal((rows, dim), dtype=np.float32),
    ]  # fmt: skip


def _rows():
    def two(rng):
        return [rng.standard_normal((25_600, 1024), dtype=np.float32) for _ in range(2)]

    size = 4.0 * 25_600 * 1024
    made = [
        Workload(f"{name} 100MB fwd+bwd", "sequences", partial(_norm, name), two, bytes=5 * size, tol=1e-3, target=4)
        for name in ("layer_norm", "rms_norm")
    ]
    # forward: rows read and written; backward: rows read, the table written
    moved = 4.0 * 256 * (3 * 100_000 + 20_000)
    return [*made, Workload("embedding 100MB fwd+bwd", "sequences", _embedding, _embedding_arrays, bytes=moved, target=4)]


def rows():
    """Every row, in the order of the report."""
    return _transformers() + _rows()
