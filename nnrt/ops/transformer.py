"""The parts of a transformer's layer, each recorded as one op.

    attention:     heads Q, K, V of x W_inᵀ + b_in;  y = (head_1, ..., head_H) W_oᵀ + b_o     (head_h: see ops.attention)
    feed-forward:  y = act(x W_1ᵀ + b_1) W_2ᵀ + b_2

Legend: N batch, L queries, S keys, E embedding, H heads, M rows: all leading axes of x together.
"""

from .. import memory, registry
from ..autograd import on_tape, record
from ..tensor import Tensor
from . import activation as functions
from . import random
from .attention import _mask
from .linear import affine, affine_backward, linear, rows_of, weight_gradient
from .promotion import not_tensors

K, LINEAR, ACTIVATION, ELEMENTWISE = (
    registry.family(name) for name in ("attention", "linear", "activation", "elementwise")
)

ACTIVATIONS = ("relu", "gelu", "gelu_tanh")


def projected_attention(
    query, key, heads, in_weight, in_bias, out_weight, out_bias, mask=None, dropout_p=0.0, is_causal=False
) -> Tensor:
    """Attention of query [N, L, E] to key [N, S, E] (None: to itself) between its projections, [N, L, E].

    in_weight: [3 E, E], of queries, keys and values; out_weight: [E, E]; biases or None. mask broadcasts to [N, H, L, S]:
    True where a query looks, or added; it gets no gradient. The rest as scaled_dot_product_attention's. RuntimeError for what
    does not fit.
    """
    given = (query, key, in_weight, in_bias, out_weight, out_bias)
    if not all([t is None or isinstance(t, Tensor) for t in given]):
        weights = dict(in_weight=in_weight, in_bias=in_bias, out_weight=out_weight, out_bias=out_bias)
        raise not_tensors("projected_attention", query=query, key=key, **weights)
    if not fits(query, query if key is None else key, heads, *given[2:]):
        got = ", ".join("None" if t is None else f"{t.array.dtype} {t.array.shape}" for t in given)
        wanted = f"[N, L, E], [N, S, E], [3 E, E], [3 E], [E, E], [E], E a multiple of {heads} heads"
        raise RuntimeError(f"projected_attention: wants {wanted}, of one dtype, got {got}")
    x, w, o = query.array, in_weight.array, out_weight.array
    n, length, e = x.shape
    count = length if key is None else key.array.shape[1]
    b, c = (None if t is None else memory.contiguous(t.array) for t in (in_bias, out_bias))
    seed = offset = 0
    if dropout_p:
        seed, offset = random._taken(None, n * heads * -(-count // 8) * length)
    seen = None if mask is None else _mask(mask, (n, heads), (n, heads, length, count), x.dtype)[2]
    settings = (seen, None, None, None, (e // heads) ** -0.5, bool(is_causal), 0, float(dropout_p), seed, offset)
    rows = [x.reshape(n * length, e)]
    if key is None:
        q, k, v = _heads(affine(rows[0], w, b), n, length, 3, heads)
    else:
        rows.append(key.array.reshape(n * count, e))
        (q,) = _heads(affine(rows[0], w[:e], None if b is None else b[:e]), n, length, 1, heads)
        k, v = _heads(affine(rows[1], w[e:], None if b is None else b[e:]), n, count, 2, heads)
    lse = None
    if on_tape(given):
        lse = memory.empty((n, heads, length), x.dtype)
    read = memory.empty((n * length, e), x.dtype)
    (out,) = _heads(read, n, length, 1, heads)
    K.attention(out, lse, None, q, k, v, *settings)
    y = affine(read, o, c).reshape(n, length, len(o))
    saved = (query, key, in_weight, out_weight, mask, rows, read, lse, q, k, v, settings)
    return record(y, projected_attention_backward, given, saved)


def fits(query, key, heads, in_weight, in_bias, out_weight, out_bias):
    """Are these what projected_attention takes?"""
    if not isinstance(in_weight, Tensor) or query.array.ndim != 3 or query.array.dtype.char not in "fd":
        return False
    n, _, e = query.array.shape
    shapes = (None, (3 * e, e), (3 * e,), (e, e), (e,))
    terms = [None if t is None else t.array for t in (key, in_weight, in_bias, out_weight, out_bias)]
    return (
        heads > 0 and e > 0 and e % heads == 0 and terms[0].ndim == 3 and terms[0].shape[::2] == (n, e)
        and all([a is None or a.dtype == query.array.dtype and shape in (None, a.shape) for a, shape in zip(terms, shapes)])
    )  # fmt: skip


def projected_attention_backward(node, dy):
    x, key, w, o, _, rows, read, lse, q, k, v, settings = node.saved
    n, heads, length, _ = q.shape
    e = x.shape[2]
    dread, do, dc = affine_backward(dy.reshape(n * length, len(o)), read, o, True, node.needs(4), node.needs(5))
    (dout,), (out,) = _heads(dread, n, length, 1, heads), _heads(read, n, length, 1, heads)
    widths = (3,) if key is None else (1, 2)
    made = [memory.empty((len(r), width * e), w.dtype) for r, width in zip(rows, widths)]
    parts = [d for a, width, some in zip(made, widths, (length, k.shape[2])) for d in _heads(a, n, some, width, heads)]
    K.attention_backward(*parts, None, dout, None, out, lse, None, q, k, v, *settings)
    dw = memory.empty(w.shape, w.dtype) if node.needs(2) else None
    db = memory.empty(w.shape[:1], w.dtype) if node.needs(3) else None
    grads, at = [], 0
    for i, (a, r, of) in enumerate(zip(made, rows, (x, key))):
        some = slice(at, at + a.shape[1])
        at = some.stop
        if dw is not None:
            weight_gradient(dw[some], a, r)
        if db is not None:
            LINEAR.bias_grad(db[some], a)
        dx = None
        if node.needs(i):
            dx = memory.empty(of.shape, of.dtype)
            LINEAR.gemm(dx.reshape(r.shape), a, w[some], None, None, 1.0, 0.0, None)
        grads.append(dx)
    return grads[0], grads[1] if len(grads) > 1 else None, dw, db, do, dc


def feed_forward(input, weight1, bias1, weight2, bias2, activation="gelu") -> Tensor:
    """act(input weight1ᵀ + bias1) weight2ᵀ + bias2 for input [..., E]: two linear layers with an activation between.

    weight1: [F, E], weight2: [G, F], biases of one axis or None. activation: "relu", "gelu" or "gelu_tanh", ValueError for
    another; RuntimeError for sizes and dtypes that do not fit.
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"feed_forward: activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    inputs = (input, weight1, bias1, weight2, bias2)
    if not _fits(*inputs):  # the single ops say what is wrong
        h = linear(input, weight1, bias1)
        h = functions.relu(h) if activation == "relu" else functions.gelu(h, "none" if activation == "gelu" else "tanh")
        return linear(h, weight2, bias2)
    a, u, w = input.array, weight1.array, weight2.array
    rows = rows_of(a)
    b, c = (None if t is None else memory.contiguous(t.array) for t in (bias1, bias2))
    if activation == "relu" or not on_tape(inputs):
        z = h = affine(rows, u, b, activation)
    else:
        z = affine(rows, u, b)
        h = memory.empty(z.shape, z.dtype)
        if activation == "gelu":
            ACTIVATION.gelu_sloped(h, z, z)  # all that the backward pass needs of z is the slope
        else:
            ACTIVATION.gelu_tanh(h, z)
    y = affine(h, w, c).reshape(*a.shape[:-1], len(w))
    return record(y, feed_forward_backward, inputs, (input, weight1, weight2, rows, z, h, activation))


def feed_forward_backward(node, dy):
    x, u, w, rows, z, h, activation = node.saved
    needs = [node.needs(i) for i in range(5)]
    dz, dw, dc = affine_backward(dy.reshape(len(rows), len(w)), h, w, any(needs[:3]), needs[3], needs[4])
    if dz is None:
        return None, None, None, dw, dc
    if activation == "gelu":
        ELEMENTWISE.mul(dz, dz, z)
    else:
        getattr(ACTIVATION, activation + "_backward")(dz, dz, z)
    dx, du, db = affine_backward(dz, rows, u, needs[0], needs[1], needs[2])
    return None if dx is None else dx.reshape(x.shape), du, db, dw, dc


def _fits(x, u, b, w, c):
    if not all([isinstance(t, Tensor) for t in (x, u, w)]):
        return False
    x, u, w = x.array, u.array, w.array
    return (
        x.ndim > 0 and u.ndim == w.ndim == 2 and x.shape[-1] == u.shape[1] and w.shape[1] == u.shape[0]
        and x.dtype.char in "fd" and x.dtype == u.dtype == w.dtype
        and all([
            t is None or isinstance(t, Tensor) and t.array.shape == of.shape[:1] and t.array.dtype == of.dtype
            for t, of in ((b, u), (c, w))
        ])
    )  # fmt: skip


def _heads(a, n, length, parts, heads):
    """[N L, parts H D] as `parts` views [N, H, L, D]."""
    return a.reshape(n, length, parts, heads, a.shape[1] // (parts * heads)).transpose(2, 0, 3, 1, 4)
