"""Attention: masks of every kind and shape, causal, dropout, grouped heads, lengths around tiles, strided rows."""

import numpy as np

from tests.cases import Kernel, Op, Output

TOL = {"float32": (2e-4, 2e-5), "float64": (1e-10, 1e-11)}
# name: B, H, G, L, S, D, E, mask's shape or None, bool mask, causal, dropout
SHAPES = {
    "one": (1, 1, 1, 1, 1, 1, 1, None, False, False, 0.0),
    "small": (2, 3, 3, 5, 7, 4, 6, None, False, False, 0.0),
    "tile": (1, 2, 2, 64, 64, 16, 16, None, False, False, 0.0),
    "long": (1, 2, 1, 200, 333, 32, 24, None, False, False, 0.0),
    "runs": (1, 2, 1, 20, 1100, 8, 8, None, False, False, 0.0),
    "runs-causal": (1, 1, 1, 1030, 1030, 8, 8, (1, 1, 1030, 1030), True, True, 0.0),
    "many": (1, 16, 16, 513, 40, 8, 8, None, False, False, 0.0),  # blocks of more than 128 queries
    "causal": (2, 2, 2, 150, 150, 8, 8, None, False, True, 0.0),
    "causal-wide": (1, 2, 2, 70, 150, 8, 8, None, False, True, 0.0),
    "causal-tall": (1, 2, 2, 150, 70, 8, 8, None, False, True, 0.0),
    "grouped": (2, 6, 2, 33, 65, 5, 3, None, False, False, 0.0),
    "bool": (2, 2, 2, 70, 130, 8, 8, (1, 1, 70, 130), True, False, 0.0),
    "bool-heads": (2, 4, 2, 20, 30, 8, 8, (2, 4, 20, 30), True, False, 0.0),
    "padding": (2, 2, 2, 40, 130, 8, 8, (2, 1, 1, 130), True, False, 0.0),
    "rows": (2, 2, 2, 40, 30, 8, 8, (1, 2, 40, 1), True, False, 0.0),
    "additive": (2, 2, 2, 70, 130, 8, 8, (1, 2, 70, 130), False, False, 0.0),
    "additive-keys": (2, 2, 1, 70, 30, 8, 8, (2, 1, 1, 30), False, False, 0.0),
    "additive-one": (2, 2, 2, 9, 30, 8, 8, (1, 1, 1, 1), False, False, 0.0),
    "dropout": (2, 2, 2, 70, 130, 8, 8, None, False, False, 0.3),
    "dropout-causal": (1, 3, 3, 37, 37, 8, 8, None, False, True, 0.1),
    "dropout-all": (1, 1, 1, 9, 9, 8, 8, None, False, False, 1.0),
    "no batch": (0, 2, 2, 3, 4, 5, 6, None, False, False, 0.0),
    "no heads": (1, 0, 1, 3, 4, 5, 6, None, False, False, 0.0),
    "no queries": (1, 2, 2, 0, 4, 5, 6, None, False, False, 0.0),
    "no keys": (1, 2, 2, 3, 0, 5, 6, None, False, False, 0.0),
    "no size": (1, 2, 2, 3, 4, 0, 6, None, False, False, 0.0),
    "no value": (1, 2, 2, 3, 4, 5, 0, None, False, False, 0.0),
}


def normal(rng, dtype, shape, axes=None):
    """Standard normal; axes: the order in memory."""
    if axes is None:
        return rng.standard_normal(shape).astype(dtype)
    return rng.standard_normal([shape[a] for a in axes]).astype(dtype).transpose(np.argsort(axes))


def arguments(rng, dtype, case, axes=None):
    """q, k, v and the rest of the kernels' arguments."""
    b, h, g, length, s, d, e, mask, is_bool, causal, p = case
    q, k, v = (normal(rng, dtype, n, axes) for n in [(b, h, length, d), (b, g, s, d), (b, g, s, e)])
    if mask is not None:
        mask = rng.random(mask) < 0.6 if is_bool else normal(rng, dtype, mask)
        if mask.shape[2:] == (length, s):
            mask[..., 3, :] = False if is_bool else -np.inf  # a row without keys
        mask = np.broadcast_to(mask, (b, h, length, s))
    return q, k, v, mask, None, None, None, 0.3, causal, 0, p, 1234567, 2**33 + 5


def forward(name, axes=None, lse=True):
    case = SHAPES[name]

    def args(rng, dtype):
        b, h, _, length, _, _, e = case[:7]
        return [Output((b, h, length, e), axes=axes), Output((b, h, length)) if lse else None, None, *arguments(rng, dtype, case, axes)]

    return Kernel("attention.attention", f"{name}{'' if axes is None else '-strided'}{'' if lse else '-alone'}", args, TOL)


def backward(name, axes=None, wanted=(True, True, True)):
    case = SHAPES[name]

    def args(rng, dtype):
        from nnrt._ref import attention as ref

        b, h, g, length, s, d, e = case[:7]
        rest = arguments(rng, dtype, case, axes)
        out, lse = np.empty((b, h, length, e), dtype), np.empty((b, h, length), dtype)
        ref.attention(out, lse, None, *rest)
        shapes = [(b, h, length, d), (b, g, s, d), (b, g, s, e)]
        grads = [Output(n, axes=axes) if w else None for n, w in zip(shapes, wanted)]
        return [*grads, None, normal(rng, dtype, out.shape, axes), None, out, lse, None, *rest]

    label = "".join(c for c, w in zip("qkv", wanted) if w)
    return Kernel("attention.attention_backward", f"{name}-{label}{'' if axes is None else '-strided'}", args, TOL)


def of_mask(name):
    case = SHAPES[name]

    def args(rng, dtype):
        return [Output(case[7]), *backward(name).args(rng, dtype)[4:]]

    return Kernel("attention.mask_backward", name, args, TOL)


# Lists whose blocks are 5 queries by 7 keys, of every kind: none, all, some; tokens in an order of their own in the
# second part.
def lists(queries, keys, seed=0):
    rng = np.random.default_rng(seed)
    parts = []
    for n in range(2):
        q_at, k_at = (np.array([*range(0, m, w), m]) for m, w in ((queries, 5), (keys, 7)))
        first, block, mask = [0], [], []
        for _ in q_at[:-1]:
            chosen = np.flatnonzero(rng.integers(0, 2, len(k_at) - 1))
            block += [k for k in chosen if k % 2 == n]  # no pair is met in both parts
            mask += [rng.integers(-1, 3) for k in chosen if k % 2 == n]
            first.append(len(block))
        index = (rng.permutation(queries), None) if n else (None, None)
        words = rng.integers(0, 2**63, 64 * 3).astype(np.uint64)
        parts.append((*index, *[np.array(a, np.int64) for a in (q_at, k_at, first, block, mask)], words))
    return tuple(parts)


# name: shape, what is added to the scores; query 0 stands at `first`
EXTRA = {
    "slopes": ((2, 3, 3, 40, 70, 8, 8), {"slopes": True}),
    "slopes-causal": ((1, 2, 2, 40, 70, 8, 8), {"slopes": True, "causal": True, "first": 30}),
    "first": ((1, 2, 1, 20, 150, 8, 8), {"causal": True, "first": 130}),
    "relative": ((2, 2, 2, 40, 70, 8, 8), {"reach": 5}),
    "relative-long": ((1, 2, 1, 300, 280, 8, 8), {"reach": 9, "causal": True}),
    "relative-first": ((1, 2, 2, 20, 70, 8, 8), {"reach": 3, "first": 50, "dropout": 0.2}),
    "lists": ((2, 2, 1, 33, 40, 8, 8), {"parts": True}),
    "lists-all": ((1, 2, 2, 33, 40, 8, 8), {"parts": True, "slopes": True, "reach": 4, "mask": True, "dropout": 0.3}),
}


def extra(rng, dtype, name, axes=None):
    """q, k, v and the rest of the kernels' arguments, and the number of distances."""
    (b, h, g, length, s, d, e), given = EXTRA[name]
    q, k, v = (normal(rng, dtype, n, axes) for n in [(b, h, length, d), (b, g, s, d), (b, g, s, e)])
    slopes = rng.random(h).astype(dtype) if "slopes" in given else None
    width = 2 * given["reach"] + 1 if "reach" in given else 0
    relative = normal(rng, dtype, (b, h, length, width), axes) if width else None
    mask = normal(rng, dtype, (b, h, length, s)) if "mask" in given else None
    parts = lists(length, s) if "parts" in given else None
    settings = (0.3, given.get("causal", False), given.get("first", 0), given.get("dropout", 0.0), 99, 5)
    return (q, k, v, mask, slopes, relative, parts, *settings), width


def extra_forward(name):
    def args(rng, dtype):
        rest, width = extra(rng, dtype, name)
        (b, h, _, length, _, _, e), _ = EXTRA[name]
        return [Output((b, h, length, e)), Output((b, h, length)), Output((b, h, length, width)) if width else None, *rest]

    return Kernel("attention.attention", name, args, TOL)


def extra_backward(name, of_mask=False):
    def args(rng, dtype):
        from nnrt._ref import attention as ref

        rest, width = extra(rng, dtype, name)
        (b, h, g, length, s, d, e), _ = EXTRA[name]
        out, lse = np.empty((b, h, length, e), dtype), np.empty((b, h, length), dtype)
        mass = np.empty((b, h, length, width), dtype) if width else None
        ref.attention(out, lse, mass, *rest)
        grads = [Output(n) for n in [(b, h, length, d), (b, g, s, d), (b, g, s, e)]]
        grads.append(Output((b, h, length, width)) if width else None)
        saved = [normal(rng, dtype, out.shape), normal(rng, dtype, mass.shape) if width else None, out, lse, mass, *rest]
        return [Output((b, h, length, s)), *saved] if of_mask else [*grads, *saved]

    return Kernel(f"attention.{'mask' if of_mask else 'attention'}_backward", name, args, TOL)


KERNELS = [
    *[extra_forward(name) for name in EXTRA],
    *[extra_backward(name) for name in EXTRA],
    extra_backward("lists-all", of_mask=True),
    *[forward(name) for name in SHAPES if name != "many"],
    *[forward(name, (0, 2, 1, 3)) for name in ("small", "long", "grouped", "additive")],
    forward("causal", lse=False),
    forward("many", (0, 2, 1, 3)),
    *[backward(name) for name in SHAPES if name != "many"],
    *[backward(name, (0, 2, 1, 3)) for name in ("small", "long", "grouped", "additive")],
    *[backward("causal", wanted=w) for w in [(True, False, False), (False, True, False), (False, False, True)]],
    *[of_mask(name) for name in ("additive", "additive-keys", "additive-one")],
]


def attend(**keywords):
    return lambda t, *xs: t.nn.functional.scaled_dot_product_attention(*xs, **keywords)


def normals(*shapes):
    return lambda rng: [rng.standard_normal(s) for s in shapes]


def masked(*shapes, mask, some=0.7):
    return lambda rng: [*[rng.standard_normal(s) for s in shapes], rng.random(mask) < some]


def rotated(x, base, start):
    """Each pair as a complex number, times e^(i angle)."""
    half = x.shape[-1] // 2
    turns = np.exp(1j * np.arange(start, start + x.shape[-2])[:, None] * base ** (-np.arange(half) / half))
    z = (x[..., :half] + 1j * x[..., half:]) * turns
    return np.concatenate([z.real, z.imag], -1).astype(x.dtype)


QKV = (2, 3, 5, 4), (2, 3, 7, 4), (2, 3, 7, 6)
SELF = (2, 2, 9, 4), (2, 2, 9, 4), (2, 2, 9, 4)
OPS = [
    Op("sdpa", attend(), normals(*QKV)),
    Op("sdpa-scale", attend(scale=0.7), normals(*QKV)),
    Op("sdpa-causal", attend(is_causal=True), normals(*SELF)),
    Op("sdpa-causal-wide", attend(is_causal=True), normals(*QKV)),
    Op("sdpa-matrix", attend(), normals((5, 4), (7, 4), (7, 6))),
    Op("sdpa-3d", attend(), normals((3, 5, 4), (3, 7, 4), (3, 7, 6))),
    Op("sdpa-5d", attend(), normals((2, 1, 3, 5, 4), (2, 2, 3, 7, 4), (2, 3, 7, 6))),
    Op("sdpa-broadcast", attend(), normals((4, 3, 5, 4), (1, 3, 7, 4), (3, 7, 6))),
    Op("sdpa-one-key-head", attend(), normals((2, 3, 5, 4), (2, 1, 7, 4), (2, 1, 7, 6))),
    Op("sdpa-grouped", attend(enable_gqa=True), normals((2, 6, 5, 4), (2, 2, 7, 4), (2, 2, 7, 6))),
    Op("sdpa-grouped-3d", attend(enable_gqa=True), normals((6, 5, 4), (2, 7, 4), (2, 7, 6))),
    Op("sdpa-grouped-apart", attend(enable_gqa=True), normals((2, 6, 5, 4), (2, 2, 7, 4), (2, 3, 7, 6))),
    Op("sdpa-bool", attend(), masked(*QKV, mask=(5, 7))),
    Op("sdpa-bool-empty-rows", attend(), masked(*QKV, mask=(2, 3, 5, 7), some=0.2)),
    Op("sdpa-bool-padding", attend(), masked(*QKV, mask=(2, 1, 1, 7))),
    *[
        Op(f"sdpa-additive-{'x'.join(map(str, m))}", attend(), normals(*QKV, m))
        for m in [(5, 7), (5, 1), (3, 1, 7), (2, 1, 5, 7), (2, 3, 5, 7), (1, 1)]
    ],
    Op("sdpa-additive-matrix", attend(), normals((5, 4), (7, 4), (7, 6), (5, 7))),
    Op("sdpa-additive-3d", attend(), normals((3, 5, 4), (3, 7, 4), (3, 7, 6), (3, 1, 7))),
    Op("sdpa-additive-5d", attend(), normals((2, 1, 3, 5, 4), (2, 2, 3, 7, 4), (2, 3, 7, 6), (2, 1, 5, 1))),
    Op(
        "rotary", lambda t, x: t.nn.functional.rotary_embedding(x, 100.0, 3), normals((2, 3, 5, 6)), torch=False,
        expected=lambda x: rotated(x, 100.0, 3),
    ),
    Op("sdpa-long", attend(is_causal=True), normals((1, 1, 140, 3), (1, 1, 140, 3), (1, 1, 140, 2))),
    Op("sdpa-empty", attend(), normals((0, 3, 5, 4), (0, 3, 7, 4), (0, 3, 7, 6))),
    Op("sdpa-no-keys", attend(), normals((2, 3, 5, 4), (2, 3, 0, 4), (2, 3, 0, 6))),
    Op("sdpa-no-queries", attend(), normals((2, 3, 0, 4), (2, 3, 7, 4), (2, 3, 7, 6))),
]
