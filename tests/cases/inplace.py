"""Changes in place on the tape. Each begins with a copy, x * 1, since leaves cannot be changed."""

import numpy as np

from tests.cases import Op

KERNELS = []
OPS = []


def _inputs(rng):
    return [rng.standard_normal((4, 5)), rng.random((4, 5)) + 0.1]


def _case(fn):
    OPS.append(Op(fn.__name__, fn, _inputs))


def _changed(name, change):
    """A case of change(t, h, x, w), which changes h, a copy of x."""

    def fn(t, x, w):
        h = x * 1
        change(t, h, x, w)
        return h * h + w

    OPS.append(Op(name, fn, _inputs))


_changed("arithmetic", lambda t, h, x, w: h.add_(w, alpha=2).mul_(3).sub_(1).div_(w + 1))
_changed("mul", lambda t, h, x, w: h.mul_(w))
_changed("functions", lambda t, h, x, w: h.neg_().add_(0.3).relu_())
_changed("exp", lambda t, h, x, w: h.exp_())
_changed("clamp", lambda t, h, x, w: h.clamp_(-0.5, 0.5))
_changed("masked_fill", lambda t, h, x, w: h.masked_fill_(x > 0, 3.0))
_changed("masked_scatter", lambda t, h, x, w: h.masked_scatter_(x > 0, w))
_changed("addcmul-lerp", lambda t, h, x, w: h.addcmul_(w, w, value=0.5).lerp_(w, 0.3))
_changed("addmm", lambda t, h, x, w: h.addmm_(w, w.T @ x))
_changed("scatter", lambda t, h, x, w: h.scatter_(1, t.tensor([[0], [1], [2], [3]]), w[:, :1]))
_changed("scatter_add", lambda t, h, x, w: h.scatter_add_(1, t.tensor([[0], [1], [2], [3]]), w[:, :1]))
_changed("index_add", lambda t, h, x, w: h.index_add_(0, t.tensor([0, 0]), w[:2]))
_changed("index_copy", lambda t, h, x, w: h.index_copy_(0, t.tensor([1]), w[:1]))
_changed("index_fill", lambda t, h, x, w: h.index_fill_(0, t.tensor([1, 3]), 2.0))
_changed("index_put", lambda t, h, x, w: h.index_put_((t.tensor([0, 1]),), w[:2]))
_changed("cumsum-tril", lambda t, h, x, w: h.cumsum_(0).tril_())
_changed("fill_diagonal", lambda t, h, x, w: h.fill_diagonal_(3.0))
_changed("copy", lambda t, h, x, w: h.copy_(w[0]))
_changed("fill", lambda t, h, x, w: h.fill_(w.sum()))
_changed("zero", lambda t, h, x, w: h.zero_())

_changed("set-mask", lambda t, h, x, w: h.__setitem__(x > 0, 0))
_changed("set-mask-values", lambda t, h, x, w: h.__setitem__(x > 0, w[x > 0]))
_changed("set-row", lambda t, h, x, w: h.__setitem__(1, 7.0))
_changed("set-element", lambda t, h, x, w: h.__setitem__((0, 0), w.sum()))
_changed("set-column", lambda t, h, x, w: h.__setitem__((slice(None), 1), w[:, 0]))
_changed("set-steps", lambda t, h, x, w: h.__setitem__((..., slice(None, None, 2)), w[:, :3]))
_changed("set-broadcast", lambda t, h, x, w: h.__setitem__((None, slice(1, 3)), w[None, 1:2]))
_changed("set-rows", lambda t, h, x, w: h.__setitem__(t.tensor([2, 0]), w[:2]))
_changed("set-points", lambda t, h, x, w: h.__setitem__(([0, 1], [2, 3]), w[0, :2]))
_changed("set-mixed", lambda t, h, x, w: h.__setitem__((0, t.tensor([0, 2])), w[1, :2]))
_changed("set-array", lambda t, h, x, w: h.__setitem__(slice(2), t.ones(5, dtype=x.dtype)))


@_case
def augmented(t, x, w):
    h = x * 1
    y = h
    h += w
    h *= x
    h -= 2
    h /= w
    h **= 2
    return y + h  # one tensor, as in torch


@_case
def augmented_parts(t, x, w):
    h = x * 1
    h[1:] += w[1:]
    h[:, 0] *= 2
    h[x > 0] -= 1
    h[1, 2] = h[1, 3] * 2
    return h * w


@_case
def steps(t, x, w):
    """Results of steps gathered in a tensor that needs no gradient before the first."""
    out, h = t.zeros(6, 5, dtype=x.dtype), x[0] * 1
    for i in range(6):
        h = t.tanh(h * w[0])
        out[i] = h
    return out


@_case
def scores(t, x, w):
    s = x @ w.T
    s.masked_fill_(t.ones(4, 4, dtype=t.bool).triu(1), -np.inf)
    return t.softmax(s, -1) @ w


@_case
def shapes(t, x, w):
    h = x * 1
    h.t_()
    h.unsqueeze_(0)
    h.transpose_(1, 2)
    h.squeeze_(0)
    return h * w


@_case
def view_of_what_is_gone(t, x, w):
    g = (x * 1).view(-1)
    g[3] = 5.0
    return g * g


@_case
def kept_before(t, x, w):
    """What an operation before the change has saved stays as it was."""
    h = x * 1
    y = h.exp() + h * 3
    h.add_(w)
    return y * h
