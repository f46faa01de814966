"""Recurrences that need no product per step: h_t = f_t h_{t-1} + x_t, and the pooling of QRNN and SRU.

    scan        dh_t += f_{t+1} dh_{t+1};  dx_t = dh_t;  df_t = dh_t h_{t-1}
    the others: see nnrt._ref.scan, which has both directions step by step

Legend: T time, B batch, C channels. Kernels see sequences as [T, B, C] with any strides but the last: batch first and
backwards in time are views. Gates are computed inside the kernels, once forward and once backward, instead of being kept.
"""

import math

import numpy as np

from .. import memory, registry
from ..autograd import on_tape, record, record_many, watched
from ..tensor import Tensor
from ._axes import axis_of
from .promotion import not_tensors
from .random import bernoulli_into

K = registry.family("scan")
L = registry.family("linear")


# ---- the plain scan ----


def scan(f, x, initial=None, dim=0, reverse=False) -> Tensor:
    """h_t = f_t h_{t-1} + x_t along dim; the first h_{t-1} is `initial`, or zeros.

    f, x: of one shape and dtype, float32 or float64; initial: that shape without dim; reverse: from the last step to
    the first. Few columns that go on for long are cut into chunks of time, which are scanned side by side. RuntimeError
    for shapes and dtypes that do not fit.
    """
    if not isinstance(f, Tensor) or not isinstance(x, Tensor) or not isinstance(initial, (Tensor, type(None))):
        raise not_tensors("scan", f=f, x=x, initial=initial)
    shape = x.array.shape
    if not shape or f.array.shape != shape:
        raise RuntimeError(f"scan: f and x must have one shape of at least 1 dimension, got {f.array.shape} and {shape}")
    axis = axis_of("scan", dim, len(shape))
    rest = shape[:axis] + shape[axis + 1 :]
    if initial is not None and initial.array.shape != rest:
        raise RuntimeError(f"scan: initial must have shape {rest}, that of x without dim {axis}, got {initial.array.shape}")
    dtype = _one_dtype("scan", f=f, x=x, initial=initial)
    cut = _Cut(shape, axis, bool(reverse))
    h, result = cut.new(dtype)
    first = cut.state(initial)
    K.scan(h, cut(f.array), cut(x.array), first)
    out = record(result, scan_backward, (f, x, initial), (f, h, first, cut))
    return watched(out, out, initial)


def scan_backward(node, dy):
    """h_t = f_t h_{t-1} + x_t, from the last step to the first"""
    f, h, first, cut = node.saved
    dx, dx_result = cut.new(h.dtype)
    df, df_result = cut.new(h.dtype)
    d0 = memory.empty(h.shape[1:], h.dtype)
    K.scan_backward(dx, df, d0, cut(dy), cut(f), h, first)
    return df_result, dx_result, d0.reshape(cut.rest) if node.needs(2) else None


class _Cut:
    """How arrays of a shape are seen as [T, rows, columns]."""

    def __init__(self, shape, axis, reverse):
        self.shape, self.axis, self.reverse = shape, axis, reverse
        self.rest = shape[:axis] + shape[axis + 1 :]
        outer, inner = math.prod(shape[:axis]), math.prod(shape[axis + 1 :])
        self.moved = axis and inner < 16  # columns that fill no vector: time goes to the front, in a copy
        self.cube = (shape[axis], 1, outer * inner) if self.moved or not axis else (outer, shape[axis], inner)

    def __call__(self, a):
        return self._seen(memory.contiguous(np.moveaxis(a, self.axis, 0) if self.moved else a))

    def new(self, dtype):
        """A sequence to be written, and the array of self.shape that has its memory."""
        a = memory.empty((self.shape[self.axis], *self.rest) if self.moved else self.shape, dtype)
        return self._seen(a), np.moveaxis(a, 0, self.axis) if self.moved else a

    def state(self, t):
        if t is None:
            return None
        return memory.contiguous(t.array).reshape(self.cube[1:] if self.moved or not self.axis else self.cube[::2])

    def _seen(self, a):
        a = a.reshape(self.cube)
        a = a if self.moved or not self.axis else a.swapaxes(0, 1)
        return a[::-1] if self.reverse else a


# ---- QRNN ----


def qrnn_pool(gates, initial=None, output_gate=True, zoneout=0.0, training=True, batch_first=False, reverse=False):
    """(h [T, B, C], last c [B, C]) of a QRNN's pooling (Bradbury et al., 2016, fo-pooling):

        c_t = f c_{t-1} + (1 - f) z,  h_t = o c_t,  z = tanh(a^z), f = σ(a^f), o = σ(a^o)

    gates: [T, B, 3 C], a^z a^f a^o behind one another, as a product gives them; without output_gate [T, B, 2 C], and
    h = c (f-pooling). initial: c before the first step, [B, C], or zeros. zoneout: the probability with which a channel keeps its
    state for a step in training; otherwise 1 - f is scaled by 1 - zoneout. batch_first: sequences are [B, T, ...]; reverse: from
    the last step to the first. One dtype, float32 or float64; RuntimeError for what does not fit, ValueError for a zoneout
    that is no probability.
    """
    _check_sequence("qrnn_pool", gates, initial)
    parts = 3 if output_gate else 2
    a = _time_first(gates.array, batch_first, reverse)
    steps, batch, wide = a.shape
    if wide % parts:
        raise RuntimeError(f"qrnn_pool: gates must end in {parts} times the channels, got shape {gates.array.shape}")
    if not 0 <= zoneout <= 1:
        raise ValueError(f"qrnn_pool: zoneout must be a probability between 0 and 1, got {zoneout}")
    dtype = _one_dtype("qrnn_pool", gates=gates, initial=initial)
    c0 = _state("qrnn_pool", initial, (batch, wide // parts))
    shape = gates.array.shape[:2] + (wide // parts,)
    h, mask, keep = memory.empty(shape, dtype) if output_gate else None, None, 1.0 - zoneout
    c, c_seen = _states(shape, dtype, h is None or on_tape((gates, initial)), batch_first, reverse)
    if zoneout and training:
        mask, keep = memory.empty((steps, batch, wide // parts), dtype), 1.0
        bernoulli_into(mask, 1 - zoneout)
    K.qrnn(None if h is None else _time_first(h, batch_first, reverse), c_seen, a, c0, mask, keep)
    saved = (gates, c_seen, c0, mask, keep, batch_first, reverse)
    outs = record_many((c if h is None else h, _last(c_seen, c0)), qrnn_pool_backward, (gates, initial), saved)
    watched(outs[0], *outs, initial)
    return outs


def qrnn_pool_backward(node, dh, dc):
    gates, c, c0, mask, keep, batch_first, reverse = node.saved
    da = memory.empty(gates.shape, gates.dtype)
    d0 = memory.empty(c.shape[1:], c.dtype)
    dh = _given(dh, c, batch_first, reverse)
    K.qrnn_backward(
        _time_first(da, batch_first, reverse), d0, dh, None if dc is None else memory.contiguous(dc),
        _time_first(gates, batch_first, reverse), c, c0, mask, keep,
    )  # fmt: skip
    return da, d0 if node.needs(1) else None


# ---- SRU ----


def sru_scan(u, v, bias, x=None, initial=None, scale=1.0, batch_first=False, reverse=False):
    """(h [T, B, C], last c [B, C]) of simple recurrent units (Lei et al., 2018):

        f_t = σ(u^f + v^f c_{t-1} + b^f),  c_t = f_t c_{t-1} + (1 - f_t) x̃_t
        r_t = σ(u^r + v^r c_{t-1} + b^r),  h_t = r_t c_t + (1 - r_t) scale x_t

    u: [T, B, 3 C], x̃ u^f u^r behind one another, as a product gives them, and x [T, B, C]; or [T, B, 4 C] with x at its
    end. v, bias: [2 C], those of f, then of r. initial: c before the first step, [B, C], or zeros. batch_first: sequences are
    [B, T, ...]; reverse: from the last step to the first. One dtype, float32 or float64; RuntimeError for what does not fit.
    """
    _check_sequence("sru_scan", u, initial, v=v, bias=bias, x=x)
    a = _time_first(u.array, batch_first, reverse)
    parts = 4 if x is None else 3
    channels = a.shape[2] // parts
    if a.shape[2] % parts:
        raise RuntimeError(f"sru_scan: u must end in {parts} times the channels, got shape {u.array.shape}")
    shape = u.array.shape[:2] + (channels,)
    for name, t, want in (("v", v, (2 * channels,)), ("bias", bias, (2 * channels,)), ("x", x, shape)):
        if t is not None and t.array.shape != want:
            raise RuntimeError(f"sru_scan: {name} must have shape {want} for u {u.array.shape}, got {t.array.shape}")
    dtype = _one_dtype("sru_scan", u=u, v=v, bias=bias, x=x, initial=initial)
    c0 = _state("sru_scan", initial, (a.shape[1], channels))
    seen = a[..., 3 * channels :] if x is None else _time_first(x.array, batch_first, reverse)
    terms = memory.contiguous(v.array), memory.contiguous(bias.array)
    h = memory.empty(shape, dtype)
    _, c_seen = _states(shape, dtype, on_tape((u, v, bias, x, initial)), batch_first, reverse)
    K.sru(_time_first(h, batch_first, reverse), c_seen, a[..., : 3 * channels], seen, *terms, c0, float(scale))
    saved = (u, x, v, bias, c_seen, c0, float(scale), batch_first, reverse)
    outs = record_many((h, _last(c_seen, c0)), sru_scan_backward, (u, v, bias, x, initial), saved)
    watched(outs[0], outs[1], initial)
    return outs


def sru_scan_backward(node, dh, dc):
    u, x, v, bias, c, c0, scale, batch_first, reverse = node.saved
    channels = c.shape[2]
    du = memory.empty(u.shape, u.dtype)
    du_seen, u_seen = _time_first(du, batch_first, reverse), _time_first(u, batch_first, reverse)
    if x is None:
        dx, dx_seen, x_seen = None, du_seen[..., 3 * channels :], u_seen[..., 3 * channels :]
    else:
        dx = memory.empty(x.shape, x.dtype)
        dx_seen, x_seen = _time_first(dx, batch_first, reverse), _time_first(x, batch_first, reverse)
    dv, d0 = memory.empty((2 * channels,), u.dtype), memory.empty(c.shape[1:], c.dtype)
    dh = _given(dh, c, batch_first, reverse)
    K.sru_backward(
        du_seen[..., : 3 * channels], dx_seen, dv, d0, dh, None if dc is None else memory.contiguous(dc),
        u_seen[..., : 3 * channels], x_seen, memory.contiguous(v), memory.contiguous(bias), c, c0, scale,
    )  # fmt: skip
    db = memory.empty((2 * channels,), u.dtype)
    L.bias_grad(db, du.reshape(du.shape[0] * du.shape[1], du.shape[2])[:, channels : 3 * channels])
    return du, dv, db, dx, d0 if node.needs(4) else None


# ---- shared ----


def _time_first(a, batch_first, reverse):
    """a, its last axis dense, as [T, B, C] in the order of the steps."""
    a = memory.contiguous(a)
    a = a.swapaxes(0, 1) if batch_first else a
    return a[::-1] if reverse else a


def _states(shape, dtype, kept, batch_first, reverse):
    """Memory for all states of a sequence, and as [T, B, C] in the order of the steps; unless kept for the last, [1, B, C]."""
    steps, batch = shape[1::-1] if batch_first else shape[:2]
    if kept or steps == 0:
        c = memory.empty(shape, dtype)
        return c, _time_first(c, batch_first, reverse)
    c = memory.empty((1, batch, shape[2]), dtype)
    return c, c


def _given(dh, c, batch_first, reverse):
    return np.zeros(c.shape, c.dtype) if dh is None else _time_first(dh, batch_first, reverse)


def _last(c, c0):
    """The state after all steps."""
    if len(c):
        return memory.copy(c[-1])
    return memory.zeros(c.shape[1:], c.dtype) if c0 is None else memory.copy(c0)


def _state(op, initial, shape):
    if initial is None:
        return None
    if initial.array.shape != shape:
        raise RuntimeError(f"{op}: initial must be [batch, channels] = {shape}, got shape {initial.array.shape}")
    return memory.contiguous(initial.array)


def _check_sequence(op, gates, initial, **more):
    if any(not isinstance(t, (Tensor, type(None))) for t in (initial, *more.values())) or not isinstance(gates, Tensor):
        raise not_tensors(op, gates=gates, initial=initial, **more)
    if gates.array.ndim != 3:
        raise RuntimeError(f"{op}: sequences must have 3 dimensions, time, batch and channels, got shape {gates.array.shape}")


def _one_dtype(op, **tensors):
    kinds = {name: t.array.dtype for name, t in tensors.items() if t is not None}
    first = next(iter(kinds.values()))
    if first.char not in "fd" or any(kind != first for kind in kinds.values()):
        got = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
        raise RuntimeError(f"{op}: arguments must be float32 or float64, and of one dtype, got {got}")
    return first
