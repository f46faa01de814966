"""The training steps of nets and sequence models in plain JAX, the peer "jax".

Sizes and first values come from nnrt's model; its layers are read from its children, and what a model does between them stands
here. A step is one jitted function whose state (parameters, moments, count) is donated. Images lie [N, H, W, C] and filters
[H, W, C, O], as XLA's convolutions want them. Running statistics of batch norms are left out: a step does not read them.
"""

import jax
import jax.numpy as jnp
from jax import lax

# ---- steps ----


def parameters(model):
    """A copy of the model's parameters, as nested dicts along their names; a shared one under its first name."""
    made = {}
    for name, p in model.named_parameters():
        *path, last = name.split(".")
        place = made
        for key in path:
            place = place.setdefault(key, {})
        a = p.detach().numpy()
        place[last] = jnp.array(a.transpose(2, 3, 1, 0) if a.ndim == 4 else a)
    return made


def adam(params):
    """Adam's state."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return params, zeros, jax.tree.map(jnp.zeros_like, params), jnp.float32(0)


def updated(state, grads, lr=1e-3, b1=0.9, b2=0.999):
    """The state after a step of Adam."""
    params, m, v, count = state
    count = count + 1
    m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, grads)
    v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, v, grads)
    scale, correction = lr / (1 - b1**count), jnp.sqrt(1 - b2**count)
    params = jax.tree.map(lambda p, m, v: p - scale * m / (jnp.sqrt(v) / correction + 1e-8), params, m, v)
    return params, m, v, count


def repeated(step, state, *batch):
    """run() -> the loss of the next step(state, *batch) -> (state, loss)."""
    step = jax.jit(step, donate_argnums=0)
    batch = [jnp.array(a) for a in batch]

    def run():
        nonlocal state
        state, loss = step(state, *batch)
        return loss.block_until_ready()

    return run


def classifying(model, call, *batch):
    """Steps of Adam on the cross entropy of call(model, parameters, *inputs) with the targets, the last of batch."""

    def loss_of(params, *inputs):
        *inputs, targets = inputs
        logs = jax.nn.log_softmax(call(model, params, *inputs))
        return -jnp.mean(jnp.take_along_axis(logs, targets[..., None], -1))

    def step(state, *batch):
        loss, grads = jax.value_and_grad(loss_of)(state[0], *batch)
        return updated(state, grads), loss

    return repeated(step, adam(parameters(model)), *batch)


# ---- layers: module, its parameters, x ----


def apply(m, p, x):
    return LAYERS[type(m).__name__](m, p, x)


def _along(m, p, x):
    """The children, one after the other."""
    for name, child in m.named_children():
        x = apply(child, p.get(name, {}), x)
    return x


def _linear(m, p, x):
    return x @ p["weight"].T + p.get("bias", 0)


IMAGES = ("NHWC", "HWIO", "NHWC")


def _conv(m, p, x):
    pads = [(q, q) for q in m.padding]
    y = lax.conv_general_dilated(x, p["weight"], m.stride, pads, dimension_numbers=IMAGES, feature_group_count=m.groups)
    return y + p.get("bias", 0)


def _transposed(m, p, x):
    pads = [(k - 1 - q, k - 1 - q) for k, q in zip(m.kernel_size, m.padding)]
    return lax.conv_transpose(x, p["weight"], m.stride, pads, dimension_numbers=IMAGES, transpose_kernel=True)


def _batch_norm(m, p, x):
    mean = x.mean((0, 1, 2))
    return (x - mean) * (p["weight"] * lax.rsqrt(x.var((0, 1, 2)) + m.eps)) + p["bias"]


def _layer_norm(m, p, x):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(x.var(-1, keepdims=True) + m.eps) * p["weight"] + p["bias"]


def _max_pool(m, p, x):
    k, s, q = (v if isinstance(v, tuple) else (v, v) for v in (m.kernel_size, m.stride, m.padding))
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, *k, 1), (1, *s, 1), [(0, 0), *zip(q, q), (0, 0)])


def _block(m, p, x):
    y = jax.nn.relu(_batch_norm(m.bn1, p["bn1"], _conv(m.conv1, p["conv1"], x)))
    y = _batch_norm(m.bn2, p["bn2"], _conv(m.conv2, p["conv2"], y))
    if getattr(m, "downsample", None) is not None:
        x = _along(m.downsample, p["downsample"], x)
    elif getattr(m, "new", 0):
        x = jnp.pad(x[:, :: m.stride, :: m.stride], ((0, 0), (0, 0), (0, 0), (m.new // 2, m.new - m.new // 2)))
    return jax.nn.relu(x + y)


def _resnet_cifar(m, p, x):
    x = jax.nn.relu(_batch_norm(m.bn1, p["bn1"], _conv(m.conv1, p["conv1"], x)))
    for name in ("layer1", "layer2", "layer3"):
        x = _along(getattr(m, name), p[name], x)
    return _linear(m.fc, p["fc"], x.mean((1, 2)))


LAYERS = {
    **dict.fromkeys(("Sequential", "ResNet", "Generator", "Discriminator"), _along),
    **dict.fromkeys(("BasicBlock", "CIFARBlock"), _block),
    "ResNetCIFAR": _resnet_cifar,
    "MobileNetV1": lambda m, p, x: _along(m.classifier, p["classifier"], _along(m.features, p["features"], x).mean((1, 2))),
    "Linear": _linear,
    "Conv2d": _conv,
    "ConvTranspose2d": _transposed,
    "BatchNorm2d": _batch_norm,
    "LayerNorm": _layer_norm,
    "MaxPool2d": _max_pool,
    "AdaptiveAvgPool2d": lambda m, p, x: x.mean((1, 2)),
    "Flatten": lambda m, p, x: x.transpose(0, 3, 1, 2).reshape(len(x), -1),
    "ReLU": lambda m, p, x: jax.nn.relu(x),
    "LeakyReLU": lambda m, p, x: jnp.where(x > 0, x, m.negative_slope * x),
    "Tanh": lambda m, p, x: jnp.tanh(x),
    "Dropout": lambda m, p, x: x,
}


# ---- nets ----


def net(model, images, labels):
    """Steps of a net on images [N, C, H, W]."""
    return classifying(model, apply, images.transpose(0, 2, 3, 1), labels)


def dcgan(generator, discriminator, images, noise, real, fake):
    """Steps of the discriminator and then of the generator, each with its Adam; see nets."""

    def loss_of(logits, targets):
        logits = logits.reshape(-1)
        return jnp.mean(jnp.logaddexp(0, logits) - logits * targets)

    def step(state, x, z, real, fake):
        g, d = state
        made, back = jax.vjp(lambda p: apply(generator, p, z), g[0])

        def both(p):
            return loss_of(apply(discriminator, p, x), real) + loss_of(apply(discriminator, p, made), fake)

        loss, grads = jax.value_and_grad(both)(d[0])
        d = updated(d, grads, 2e-4, 0.5)
        dmade = jax.grad(lambda images: loss_of(apply(discriminator, d[0], images), real))(made)
        return (updated(g, back(dmade)[0], 2e-4, 0.5), d), loss

    x, z = (a.transpose(0, 2, 3, 1) for a in (images, noise))
    return repeated(step, tuple(adam(parameters(m)) for m in (generator, discriminator)), x, z, real, fake)


# ---- transformers ----


def _attention(q, k, v, heads, mask):
    """softmax(q kᵀ / √d) v for q, k, v [N, T, heads d]; mask [.., T, S]: True where a query may look."""
    q, k, v = (a.reshape(*a.shape[:2], heads, -1) for a in (q, k, v))
    scores = jnp.einsum("nthd,nshd->nhts", q, k) * q.shape[-1] ** -0.5
    y = jnp.einsum("nhts,nshd->nthd", jax.nn.softmax(jnp.where(mask, scores, -jnp.inf)), v)
    return y.reshape(*y.shape[:2], -1)


def _causal(length):
    return jnp.tri(length, dtype=bool)


def gpt(model, p, ids):
    """Logits of models.GPT."""
    p = p["transformer"]
    x = p["wte"]["weight"][ids] + p["wpe"]["weight"][: ids.shape[1]]
    for name, block in model.transformer.h.named_children():
        q = p["h"][name]
        qkv = _linear(None, q["attn"]["c_attn"], _layer_norm(block.ln_1, q["ln_1"], x))
        y = _attention(*jnp.split(qkv, 3, -1), block.attn.heads, _causal(ids.shape[1]))
        x = x + _linear(None, q["attn"]["c_proj"], y)
        y = _linear(None, q["mlp"]["c_fc"], _layer_norm(block.ln_2, q["ln_2"], x))
        x = x + _linear(None, q["mlp"]["c_proj"], jax.nn.gelu(y, approximate=False))
    return _layer_norm(model.transformer.ln_f, p["ln_f"], x) @ p["wte"]["weight"].T


def translation(model, p, source, target):
    """Logits of models.Transformer, norms last."""

    def embedded(name, ids):
        places = model.place(model.source.weight.new_zeros(1, ids.shape[1], model.transformer.d_model)).numpy()
        return p[name]["weight"][ids] * model.scale + places

    def attended(m, q, x, memory, mask):
        w, b = jnp.split(q["in_proj_weight"], 3), jnp.split(q["in_proj_bias"], 3)
        q_, k, v = (a @ w.T + b for a, w, b in zip((x, memory, memory), w, b))
        return _linear(None, q["out_proj"], _attention(q_, k, v, m.num_heads, mask))

    def layer(m, q, x, mask, memory=None, seen=None):
        x = _layer_norm(m.norm1, q["norm1"], x + attended(m.self_attn, q["self_attn"], x, x, mask))
        if memory is not None:
            y = attended(m.multihead_attn, q["multihead_attn"], x, memory, seen)
            x = _layer_norm(m.norm2, q["norm2"], x + y)
        y = _linear(None, q["linear2"], jax.nn.relu(_linear(None, q["linear1"], x)))
        last = "norm2" if memory is None else "norm3"
        return _layer_norm(getattr(m, last), q[last], x + y)

    encoder, decoder = model.transformer.encoder, model.transformer.decoder
    stacks = p["transformer"]
    seen, memory = (source != model.pad)[:, None, None], embedded("source", source)
    for name, m in encoder.layers.named_children():
        memory = layer(m, stacks["encoder"]["layers"][name], memory, seen)
    memory = _layer_norm(encoder.norm, stacks["encoder"]["norm"], memory)
    x = embedded("target", target)
    for name, m in decoder.layers.named_children():
        x = layer(m, stacks["decoder"]["layers"][name], x, _causal(target.shape[1]), memory, seen)
    return _linear(None, p["out"], _layer_norm(decoder.norm, stacks["decoder"]["norm"], x))


# ---- models of characters: time is the first axis inside ----


def _lstm(x, w_ih, w_hh, b_ih, b_hh):
    def cell(state, gates):
        h, c = state
        i, f, g, o = jnp.split(gates + h @ w_hh.T, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zeros = jnp.zeros((x.shape[1], w_hh.shape[1]))
    return lax.scan(cell, (zeros, zeros), x @ w_ih.T + (b_ih + b_hh))[1]


def _gru(x, w_ih, w_hh, b_ih, b_hh):
    def cell(h, gates):
        (r, z, n), (hr, hz, hn) = jnp.split(gates, 3, -1), jnp.split(h @ w_hh.T + b_hh, 3, -1)
        r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
        n = jnp.tanh(n + r * hn)
        h = n + z * (h - n)
        return h, h

    return lax.scan(cell, jnp.zeros((x.shape[1], w_hh.shape[1])), x @ w_ih.T + b_ih)[1]


def characters(model, p, ids):
    """Logits of models.CharRNN with LSTM or GRU."""
    x = p["embedding"]["weight"][ids.T]
    layer = {"LSTM": _lstm, "GRU": _gru}[type(model.rnn).__name__]
    for i in range(model.rnn.num_layers):
        x = layer(x, *(p["rnn"][f"{name}_l{i}"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")))
    return _linear(None, p["out"], x).swapaxes(0, 1)


def quasi_recurrent(model, p, ids):
    """Logits of sequences._QRNNModel."""

    def pooled(h, fz):
        f, z = fz
        h = f * h + (1 - f) * z
        return h, h

    embedding, *gates, out = (p[str(i)] for i in range(len(p)))
    x = embedding["weight"][ids.T]
    for q in gates:
        before = jnp.pad(x[:-1], ((1, 0), (0, 0), (0, 0)))
        z, f, o = jnp.split(_linear(None, q, jnp.concatenate([before, x], 2)), 3, 2)
        z, f, o = jnp.tanh(z), jax.nn.sigmoid(f), jax.nn.sigmoid(o)
        x = o * lax.scan(pooled, jnp.zeros_like(z[0]), (f, z))[1]
    return _linear(None, out, x).swapaxes(0, 1)
