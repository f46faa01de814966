"""A transformer's parts as one op each, held against the single ops; lengths around an attention's blocks, masks, no biases."""

import numpy as np

from tests.cases import Op

KERNELS = []
TOL = {"float32": (2e-4, 2e-5), "float64": (1e-10, 1e-11)}


def single_attention(t, x, key, heads, w, b, o, c, mask=None, is_causal=False):
    """What projected_attention does, of torch's functions."""
    e, key = x.shape[2], x if key is None else key

    def heads_of(a, i):
        y = t.nn.functional.linear(a, w[i * e : (i + 1) * e], None if b is None else b[i * e : (i + 1) * e])
        return y.reshape(*y.shape[:2], heads, e // heads).transpose(1, 2)

    q, k, v = heads_of(x, 0), heads_of(key, 1), heads_of(key, 2)
    y = t.nn.functional.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal)
    return t.nn.functional.linear(y.transpose(1, 2).reshape(*x.shape), o, c)


def attention(name, n, length, e, heads, keys=None, bias=True, mask=None, **how):
    def fn(t, x, *rest):
        key, (w, o, *biases) = (rest[0], rest[1:]) if keys else (None, rest)
        b, c = biases if bias else (None, None)
        seen = None if mask is None else t.tensor(np.random.default_rng(3).random((n, 1, length, keys or length)) < 0.7)
        f = t.nn.functional.projected_attention if t.__name__ == "nnrt" else None
        args = (x, key, heads, w, b, o, c, seen)
        return f(*args, **how) if f else single_attention(t, *args, **how)

    def inputs(rng):
        shapes = [(n, length, e), *([(n, keys, e)] if keys else []), (3 * e, e), (e, e), *([(3 * e,), (e,)] if bias else [])]
        return [rng.standard_normal(s) for s in shapes]

    return Op(f"projected_attention {name}", fn, inputs, tol=TOL)


def forward(name, shape, hidden, out, bias=True, activation="gelu"):
    def fn(t, x, u, w, *biases):
        b, c = biases if bias else (None, None)
        F = t.nn.functional
        if t.__name__ == "nnrt":
            return F.feed_forward(x, u, b, w, c, activation)
        h = F.linear(x, u, b)
        h = F.relu(h) if activation == "relu" else F.gelu(h, approximate="tanh" if activation == "gelu_tanh" else "none")
        return F.linear(h, w, c)

    def inputs(rng):
        shapes = [shape, (hidden, shape[-1]), (out, hidden), *([(hidden,), (out,)] if bias else [])]
        return [rng.standard_normal(s) for s in shapes]

    return Op(f"feed_forward {name}", fn, inputs, tol=TOL)


OPS = [
    attention("itself", 2, 5, 6, 2),
    attention("causal", 2, 17, 8, 2, is_causal=True),
    attention("no bias", 1, 7, 4, 4, bias=False),
    attention("another", 2, 5, 6, 3, keys=9),
    attention("another, no bias", 2, 3, 4, 1, keys=4, bias=False),
    attention("mask", 2, 6, 8, 2, mask=True),
    attention("another, mask", 2, 6, 8, 2, keys=7, mask=True),
    forward("gelu", (3, 4, 5), 17, 6),
    forward("gelu_tanh", (7, 5), 9, 3, activation="gelu_tanh"),
    forward("relu", (2, 3, 4), 5, 6, activation="relu"),
    forward("no bias", (5, 4), 8, 4, bias=False),
    forward("vector", (4,), 8, 4),
]
