"""Rows of sequence models. Peers: torch compiled ("compile") and JAX where a row is a training step."""

from functools import partial

import numpy as np

from .nets import drawn
from .twin import models_of
from .workloads import Workload, adam, as_after_a_step, f32, in_jax, in_torch

# ---- training steps of models ----


def _tokens(n, length, vocab, more=()):
    return lambda rng: [rng.integers(1, vocab, (n, size)) for size in (length, *more)]


def _step(model_of, how, t, arrays):
    """Steps of Adam on the cross entropy of the model's logits (of its first result, if it has several)."""
    model = model_of(t)
    *inputs, targets = (t.from_numpy(a) for a in arrays)
    optimizer = adam(t, how, model)

    def loss_of(*inputs):
        logits = model(*inputs)
        logits = logits[0] if isinstance(logits, tuple) else logits
        return t.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    loss_of = t.compile(loss_of) if how == "compile" else loss_of

    def run():
        optimizer.zero_grad()
        loss = loss_of(*inputs)
        loss.backward()
        optimizer.step()
        return loss

    return run


def _training_row(name, model_of, jaxed, arrays, flops, target):
    """jaxed: the name of the function of in_jax that computes the logits."""
    step = partial(_step, model_of)

    def step_jax(module, t, arrays):
        return module.classifying(model_of(t), getattr(module, jaxed), *arrays)

    peers = {"compile": partial(in_torch, partial(step, "compile")), "jax": partial(in_jax, step_jax)}
    name = f"{name} adam step"
    return Workload(name, "sequences", partial(step, ""), arrays, flops=flops, peers=peers, tol=2e-3, target=target)


# ---- transformers ----


def _gpt(t):
    return drawn(t, models_of(t).GPT(256, layers=4, heads=4, dim=128, positions=256))


def _translation(t):
    model = models_of(t).Transformer(256, 256, dim=128, heads=4, layers=2, hidden=512, dropout=0.0, positions=256)
    return drawn(t, model)


def _generation(t, arrays):
    model, ids = _gpt(t), t.from_numpy(arrays[0])
    return lambda: model.generate(ids, 64, temperature=0)


def _transformers():
    products = 4 * 12 * 128**2 + 128 * 256  # multiply-adds of a token
    gpt = 6.0 * 8 * 128 * (products + 4 * 128 * 128)
    # of a token: the encoder's layer, the decoder's with attention to the source
    pair = 6.0 * 8 * 64 * (2 * (12 + 16) * 128**2 + 128 * 256)
    return [
        _training_row("gpt 4x128 t128 b8", _gpt, "gpt", _tokens(8, 128, 256, [128]), gpt, 1.6),
        _training_row("transformer 2+2x128 t64 b8", _translation, "translation", _tokens(8, 64, 256, [64, 64]), pair, 1.6),
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


# ---- recurrent layers ----

# name: steps, batch, inputs, units, and what the layer or the call has besides
RECURRENT = {
    "t100 b1 64>128": (100, 1, 64, 128, {}),
    "t100 b1 128>512": (100, 1, 128, 512, {}),
    "t100 b32 128>512": (100, 32, 128, 512, {}),
    "t50 b32 64>128": (50, 32, 64, 128, {}),
    "one step b1 64>128": (1, 1, 64, 128, {}),
    "bidirectional t50 b32 64>128": (50, 32, 64, 128, {"bidirectional": True}),
    "lengths 12-50 b32 64>128": (50, 32, 64, 128, {"ragged": True}),
}


def _recurrent(kind, sizes, t, arrays):
    """The layer, its input and a function that runs it: torch packs what nnrt takes with its lengths."""
    _, _, inputs, units, how = sizes
    layer = drawn(t, getattr(t.nn, kind)(inputs, units, bidirectional="bidirectional" in how))
    x, lengths = t.from_numpy(arrays[0]), arrays[-1].tolist()
    if "ragged" not in how:
        return layer, x, lambda: layer(x)[0]
    if t.__name__ == "nnrt":
        return layer, x, lambda: layer(x, lengths=lengths)[0]
    packing = t.nn.utils.rnn

    def packed():
        y, _ = layer(packing.pack_padded_sequence(x, lengths, enforce_sorted=False))
        return packing.pad_packed_sequence(y, total_length=len(x))[0]

    return layer, x, packed


def _recurrent_forward(kind, sizes, t, arrays):
    _, _, run_layer = _recurrent(kind, sizes, t, arrays)

    def run():
        with t.no_grad():
            return run_layer()

    return run


def _recurrent_training(kind, sizes, t, arrays):
    layer, x, run_layer = _recurrent(kind, sizes, t, arrays)
    x.requires_grad_()
    dy, parameters = t.from_numpy(arrays[1]), list(layer.parameters())

    def run():
        as_after_a_step(t, parameters, x)
        y = run_layer()
        y.backward(dy)
        return [y, x.grad, *[p.grad for p in parameters]]

    return run


def _recurrent_rows():
    # ratios to torch: forward and training
    targets = {"RNN": (2, 3), "GRU": (2, 3), "LSTM": (1, 1.3)}
    made = []
    for kind, gates in (("RNN", 1), ("GRU", 3), ("LSTM", 4)):
        for name, sizes in RECURRENT.items():
            steps, batch, inputs, units, how = sizes
            directions = 1 + ("bidirectional" in how)

            def arrays(rng, steps=steps, batch=batch, inputs=inputs, units=units * directions):
                lengths = rng.integers(steps // 4, steps + 1, batch)
                lengths[batch // 2] = steps
                x, dy = (rng.standard_normal((steps, batch, n), dtype=np.float32) for n in (inputs, units))
                return [x, dy, lengths]

            used = 0.62 if "ragged" in how else 1
            flops = 2.0 * used * directions * steps * batch * gates * units * (inputs + units)
            group, row = f"recurrent {kind.lower()}", f"{kind.lower()} {name}"
            setups = (partial(_recurrent_forward, kind, sizes), partial(_recurrent_training, kind, sizes))
            made.append(Workload(row, group, setups[0], arrays, flops=flops, tol=1e-3, target=targets[kind][0]))
            made.append(
                Workload(f"{row} training", group, setups[1], arrays, flops=3 * flops, tol=2e-3, target=targets[kind][1])
            )
    return made


# ---- attention ----

# name: batch, heads, tokens, size of a head, causal; targets without and with backward
ATTENTION = {
    "b1 h8 t128": (1, 8, 128, 64, False, 1, 1),
    "b1 h8 t512 causal": (1, 8, 512, 64, True, 1.8, 1.8),
    "b4 h8 t512": (4, 8, 512, 64, False, 1, 1),
    "b1 h8 t2048 causal": (1, 8, 2048, 64, True, 1, 1),
    "b1 h12 t4096 causal": (1, 12, 4096, 64, True, 1, 1),
    "b32 h4 t64 d32": (32, 4, 64, 32, False, 1, 1),
}
# Tokens that a window of 256 passes over: nnrt's times are to grow with them, torch's with their square. Whether torch
# takes part: a training step of 16384 tokens takes it minutes.
WINDOWED = {4096: True, 8192: True, 16384: False}


def _attention_forward(options, t, arrays):
    q, k, v, _ = (t.from_numpy(a) for a in arrays)

    def run():
        with t.no_grad():
            return t.nn.functional.scaled_dot_product_attention(q, k, v, **options)

    return run


def _attention_training(options, t, arrays):
    *inputs, dy = (t.from_numpy(a) for a in arrays)
    for x in inputs:
        x.requires_grad_()

    def run():
        for x in inputs:
            x.grad = None
        y = t.nn.functional.scaled_dot_product_attention(*inputs, **options)
        y.backward(dy)
        return [y, *[x.grad for x in inputs]]

    return run


def _windowed(setup, length, t, arrays):
    """nnrt by its pattern; torch by the mask that this is."""
    if t.__name__ == "nnrt":
        from nnrt.nn.attention_patterns import SlidingWindow

        return setup({"pattern": SlidingWindow(256)}, t, arrays)
    at = np.arange(length)
    return setup({"attn_mask": t.from_numpy(abs(at[:, None] - at) <= 128)}, t, arrays)


def _attention_rows():
    made = []
    for name, (b, h, length, size, causal, *targets) in ATTENTION.items():
        arrays = f32(*[(b, h, length, size)] * 4)
        flops = 4.0 * b * h * length * (length + 1 if causal else 2 * length) / 2 * size
        for what, setup, factor, target in zip(
            ("", " training"), (_attention_forward, _attention_training), (1, 3.5), targets, strict=True
        ):
            made.append(
                Workload(
                    f"attention {name}{what}", "attention dense", partial(setup, {"is_causal": causal}), arrays,
                    flops=factor * flops, tol=1e-3, target=target,
                )
            )  # fmt: skip
    for length, torch in WINDOWED.items():
        arrays, flops = f32(*[(1, 4, length, 64)] * 4), 4.0 * 4 * 64 * (257 * length - 128 * 129)
        for what, setup, factor in (("", _attention_forward, 1), (" training", _attention_training, 3.5)):
            made.append(
                Workload(
                    f"attention window 256 t{length}{what}", "attention window", partial(_windowed, setup, length), arrays,
                    flops=factor * flops, tol=1e-3, target=1, torch=torch,
                )
            )  # fmt: skip
    return made


# ---- scans: torch has none, so that it goes step by step ----


def _scan(t, f, x):
    if t.__name__ == "nnrt":
        return t.nn.functional.scan(f, x)
    h, outs = t.zeros_like(x[0]), []
    for i in range(len(x)):
        h = f[i] * h + x[i]
        outs.append(h)
    return t.stack(outs)


def _qrnn(t, a):
    if t.__name__ == "nnrt":
        return t.nn.functional.qrnn_pool(a)[0]
    z, f, o = a.chunk(3, 2)
    z, f, o = z.tanh(), f.sigmoid(), o.sigmoid()
    return o * _scan(t, f, (1 - f) * z)


def _sru(t, u, v, b, x):
    if t.__name__ == "nnrt":
        return t.nn.functional.sru_scan(u, v, b, x)[0]
    value, uf, ur = u.chunk(3, 2)
    (vf, vr), (bf, br) = v.chunk(2), b.chunk(2)
    c, outs = t.zeros_like(x[0]), []
    for i in range(len(u)):
        f, r = (uf[i] + vf * c + bf).sigmoid(), (ur[i] + vr * c + br).sigmoid()
        c = f * c + (1 - f) * value[i]
        outs.append(r * c + (1 - r) * x[i])
    return t.stack(outs)


def _scans():
    steps, batch, channels = 512, 16, 512
    one = (steps, batch, channels)
    gates, vector = (steps, batch, 3 * channels), (2 * channels,)
    made = []
    # op, inputs, and the sequences of one gate's size that are read and written forward, and backward besides
    for name, op, shapes, forward, backward in (
        ("scan", _scan, [one, one], 3, 5),
        ("qrnn pooling", _qrnn, [gates], 5, 8),
        ("sru", _sru, [gates, vector, vector, one], 6, 10),
    ):
        label, size = f"{name} t{steps} b{batch} c{channels}", 4.0 * steps * batch * channels

        def arrays(rng, shapes=shapes):
            return [rng.uniform(-0.9, 0.9, s).astype(np.float32) for s in shapes]

        def more(rng, shapes=shapes):
            return [rng.uniform(-0.9, 0.9, s).astype(np.float32) for s in [*shapes, one]]

        made.append(Workload(label, "sequences", partial(_quiet, op), arrays, bytes=forward * size, tol=1e-3, target=20))
        made.append(
            Workload(
                f"{label} fwd+bwd", "sequences", partial(_with_gradients, op), more, bytes=(forward + backward) * size,
                tol=1e-3, target=20,
            )
        )  # fmt: skip
    return made


def _quiet(op, t, arrays):
    xs = [t.from_numpy(a) for a in arrays]

    def run():
        with t.no_grad():
            return op(t, *xs)

    return run


def _with_gradients(op, t, arrays):
    *xs, dy = (t.from_numpy(a) for a in arrays)
    for x in xs:
        x.requires_grad_()

    def run():
        for x in xs:
            x.grad = None
        op(t, *xs).backward(dy)
        return [x.grad for x in xs]

    return run


# ---- models of characters ----

VOCABULARY, HIDDEN, LENGTH, STREAMS = 100, 256, 64, 32


class _QRNNModel:
    """CharRNN of two QRNN layers with a filter of 2, for any library: parameters() and a call."""

    def __init__(self, t):
        self.t, nn = t, t.nn
        layers = [nn.Embedding(VOCABULARY, 64), nn.Linear(128, 3 * HIDDEN), nn.Linear(2 * HIDDEN, 3 * HIDDEN)]
        self.layers = nn.ModuleList([*layers, nn.Linear(HIDDEN, VOCABULARY)])
        drawn(t, self.layers)

    def parameters(self):
        return self.layers.parameters()

    def named_parameters(self):
        return self.layers.named_parameters()

    def __call__(self, ids):
        embedding, *gates, out = self.layers
        x = embedding(ids.transpose(0, 1))
        for layer in gates:
            before = self.t.cat([self.t.zeros_like(x[:1]), x[:-1]])
            x = _qrnn(self.t, layer(self.t.cat([before, x], 2)))
        return out(x).transpose(0, 1)


def _character_model(cell, t):
    return _QRNNModel(t) if cell == "qrnn" else drawn(t, models_of(t).CharRNN(VOCABULARY, HIDDEN, 2, cell))


def _one_by_one(t, arrays):
    model, start = _character_model("lstm", t).eval(), t.from_numpy(arrays[0])

    def run():
        ids, state, made = start, None, []
        with t.no_grad():
            for _ in range(64):
                logits, state = model(ids, state)
                ids = logits[:, -1].argmax(-1, True)
                made.append(ids)
        return t.cat(made, 1)

    return run


def _characters():
    made = []
    tokens = _tokens(STREAMS, LENGTH, VOCABULARY, [LENGTH])
    # of a character: matrices of both layers, and of the output
    for cell, matrices, target in (
        ("lstm", 4 * (64 + 3 * HIDDEN), 1.3), ("gru", 3 * (64 + 3 * HIDDEN), 2), ("qrnn", 3 * 2 * (64 + HIDDEN), None)
    ):  # fmt: skip
        flops = 6.0 * STREAMS * LENGTH * HIDDEN * (matrices + VOCABULARY)
        name, jaxed = f"char {cell} 2x{HIDDEN} t{LENGTH} b{STREAMS}", "quasi_recurrent" if cell == "qrnn" else "characters"
        made.append(_training_row(name, partial(_character_model, cell), jaxed, tokens, flops, target))
    flops = 2.0 * 64 * HIDDEN * (4 * (64 + 3 * HIDDEN) + VOCABULARY)
    name = "char lstm 2x256 64 characters one by one"
    return [*made, Workload(name, "sequences", _one_by_one, _tokens(1, 1, VOCABULARY), flops=flops, target=4)]


def rows():
    """Every row, in the order of the report."""
    return _transformers() + _rows() + _recurrent_rows() + _attention_rows() + _scans() + _characters()
