"""Scans: one to many steps, rows and columns around a vector, a block and a chunk of time, memory time first, batch first and
backwards, with and without initial states."""

import numpy as np

from tests.cases import Kernel, Op, Output

TOL = {"float32": (1e-4, 1e-5), "float64": (1e-11, 1e-12)}


def sequence(rng, dtype, shape, order="time"):
    """Random [T, B, C], whose memory is time first, batch first, or time first and backwards."""
    t, b, c = shape
    if order == "batch":
        return rng.standard_normal((b, t, c)).astype(dtype).swapaxes(0, 1)
    made = rng.standard_normal(shape).astype(dtype)
    return made[::-1] if order == "backwards" else made


def out(shape, order="time"):
    return Output(shape, axes=(1, 0, 2)) if order == "batch" else Output(shape)


def gate(rng, dtype, shape, order):
    """Factors below 1, so that long sequences stay bounded."""
    return (0.9 / (1 + np.exp(-sequence(rng, dtype, shape, order)))).astype(dtype)


def scans(id, *shape, order="time", first=True):
    def args(rng, dtype):
        f, x = gate(rng, dtype, shape, order), sequence(rng, dtype, shape, order)
        return [out(shape, order), f, x, rng.standard_normal(shape[1:]).astype(dtype) if first else None]

    def backward(rng, dtype):
        f, h, dh = gate(rng, dtype, shape, order), sequence(rng, dtype, shape, order), sequence(rng, dtype, shape, order)
        h0 = rng.standard_normal(shape[1:]).astype(dtype) if first else None
        return [out(shape, order), out(shape, order), Output(shape[1:]), dh, f, h, h0]

    return [Kernel("scan.scan", id, args, tol=TOL), Kernel("scan.scan_backward", id, backward, tol=TOL)]


def pooling(id, *shape, order="time", gates=3, first=True, keep=1.0, mask=False, last=True, kept=True):
    t, b, c = shape
    wide = (t, b, gates * c)

    def drawn(rng, dtype):
        a = sequence(rng, dtype, wide, order)
        c0 = rng.standard_normal((b, c)).astype(dtype) if first else None
        return a, c0, (rng.random(shape) < 0.7).astype(dtype) if mask else None

    def args(rng, dtype):
        state = out(shape, order) if kept else Output((1, b, c))
        return [out(shape, order) if gates == 3 else None, state, *drawn(rng, dtype), keep]

    def backward(rng, dtype):
        a, c0, m = drawn(rng, dtype)
        dh, c_all = sequence(rng, dtype, shape, order), sequence(rng, dtype, shape, order)
        dc = rng.standard_normal((b, c)).astype(dtype) if last else None
        return [out(wide, order), Output((b, c)), dh, dc, a, c_all, c0, m, keep]

    return [Kernel("scan.qrnn", id, args, tol=TOL), Kernel("scan.qrnn_backward", id, backward, tol=TOL)]


def simple(id, *shape, order="time", first=True, last=True, wide=False, kept=True):
    """SRU; wide: x is the fourth part of u's memory."""
    t, b, c = shape

    def drawn(rng, dtype):
        u = sequence(rng, dtype, (t, b, (3 + wide) * c), order)
        x = u[..., 3 * c :] if wide else sequence(rng, dtype, shape, order)
        v, bias = rng.standard_normal((2, 2 * c)).astype(dtype)
        return u[..., : 3 * c], x, v, bias

    def args(rng, dtype):
        c0 = rng.standard_normal((b, c)).astype(dtype) if first else None
        return [out(shape, order), out(shape, order) if kept else Output((1, b, c)), *drawn(rng, dtype), c0, 1.3]

    def backward(rng, dtype):
        c0, dc = (rng.standard_normal((b, c)).astype(dtype) if given else None for given in (first, last))
        u, x, v, bias = drawn(rng, dtype)
        dh, c_all = sequence(rng, dtype, shape, order), sequence(rng, dtype, shape, order)
        du = out((t, b, 3 * c), order)
        return [du, out(shape, order), Output((2 * c,)), Output((b, c)), dh, dc, u, x, v, bias, c_all, c0, 1.3]

    return [Kernel("scan.sru", id, args, tol=TOL), Kernel("scan.sru_backward", id, backward, tol=TOL)]


KERNELS = [
    *scans("one", 1, 1, 1),
    *scans("vectors", 3, 1, 35),
    *scans("blocks", 4, 1, 2100, first=False),
    *scans("batch-first", 7, 3, 9, order="batch"),
    *scans("wide-batch-first", 3, 2, 1025, order="batch"),
    *scans("backwards", 5, 2, 17, order="backwards"),
    *scans("chunks", 1100, 1, 5),
    *scans("chunks-batch-first", 1600, 3, 3, order="batch", first=False),
    *scans("chunks-backwards", 2047, 2, 1, order="backwards"),
    *scans("one-chunk", 1023, 1, 2),
    *scans("no-steps", 0, 2, 3),
    *scans("no-rows", 3, 0, 3),
    *scans("no-columns", 1500, 2, 0),
]
for make in (pooling, simple):
    KERNELS += [
        *make("one", 1, 1, 1),
        *make("vectors", 5, 2, 35, first=False),
        *make("blocks", 3, 2, 1100),
        *make("batch-first", 6, 4, 9, order="batch", last=False),
        *make("backwards", 5, 3, 17, order="backwards"),
        *make("many-rows", 3, 700, 3),
        *make("no-steps", 0, 2, 3),
        *make("no-rows", 3, 0, 3),
        *make("no-columns", 3, 2, 0),
    ]
KERNELS += [
    *pooling("forget", 6, 3, 35, gates=2),
    *pooling("zoneout", 6, 3, 19, mask=True),
    *pooling("forget-zoneout", 6, 3, 19, gates=2, mask=True, first=False, last=False),
    *pooling("kept", 6, 3, 19, keep=0.8),
    *simple("wide", 6, 3, 19, wide=True),
    *pooling("last-state", 6, 3, 35, kept=False)[:1],
    *pooling("last-state-backwards", 5, 3, 17, order="backwards", mask=True, first=False, kept=False)[:1],
    *simple("last-state", 6, 3, 35, order="batch", kept=False)[:1],
]


# ---- ops, with loops of the library's own where it is torch ----


def looped(t, steps, state, step, reverse):
    """Outputs of step(state, t) -> (output, state) in the order of time, and the last state."""
    outs = [None] * steps
    for i in range(steps)[:: -1 if reverse else 1]:
        outs[i], state = step(state, i)
    return outs, state


def scan_in(t, f, x, initial=None, dim=0, reverse=False):
    if t.__name__ == "nnrt":
        return t.nn.functional.scan(f, x, initial, dim, reverse)
    f, x = f.movedim(dim, 0), x.movedim(dim, 0)
    first = t.zeros_like(x[0]) if initial is None else initial

    def step(h, i):
        h = f[i] * h + x[i]
        return h, h

    return t.stack(looped(t, len(x), first, step, reverse)[0]).movedim(0, dim)


def pool_in(t, a, initial=None, output_gate=True, zoneout=0.0, batch_first=False, reverse=False):
    if t.__name__ == "nnrt":
        return t.nn.functional.qrnn_pool(a, initial, output_gate, zoneout, False, batch_first, reverse)
    a = a.transpose(0, 1) if batch_first else a
    z, f, *o = a.chunk(2 + output_gate, 2)
    f = 1 - (1 - zoneout) * (1 - f.sigmoid())

    def step(c, i):
        c = f[i] * c + (1 - f[i]) * z[i].tanh()
        return (o[0][i].sigmoid() * c if output_gate else c), c

    outs, last = looped(t, len(a), t.zeros_like(z[0]) if initial is None else initial, step, reverse)
    h = t.stack(outs)
    return (h.transpose(0, 1) if batch_first else h), last


def sru_in(t, u, v, b, x=None, initial=None, scale=1.0, batch_first=False, reverse=False):
    if t.__name__ == "nnrt":
        return t.nn.functional.sru_scan(u, v, b, x, initial, scale, batch_first, reverse)
    u = u.transpose(0, 1) if batch_first else u
    value, uf, ur, *rest = u.chunk(3 if x is not None else 4, 2)
    x = rest[0] if x is None else x.transpose(0, 1) if batch_first else x
    n = value.shape[2]

    def step(c, i):
        f, r = (uf[i] + v[:n] * c + b[:n]).sigmoid(), (ur[i] + v[n:] * c + b[n:]).sigmoid()
        c = f * c + (1 - f) * value[i]
        return r * c + (1 - r) * scale * x[i], c

    outs, last = looped(t, len(u), t.zeros_like(value[0]) if initial is None else initial, step, reverse)
    h = t.stack(outs)
    return (h.transpose(0, 1) if batch_first else h), last


def op(id, fn, *shapes, **options):
    return Op(id, lambda t, *xs: fn(t, *xs, **options), lambda rng: [0.8 * rng.standard_normal(s) for s in shapes])


OPS = [
    op("scan", scan_in, (7, 2, 3), (7, 2, 3)),
    op("scan-one-step", scan_in, (1, 3), (1, 3), (3,)),
    op("scan-vector", scan_in, (9,), (9,), ()),
    op("scan-reverse", scan_in, (5, 3), (5, 3), (3,), reverse=True),
    op("scan-middle", scan_in, (2, 5, 17), (2, 5, 17), (2, 17), dim=1),
    op("scan-middle-narrow-reverse", scan_in, (2, 5, 3), (2, 5, 3), (2, 3), dim=-2, reverse=True),
    op("scan-last", scan_in, (2, 3, 6), (2, 3, 6), (2, 3), dim=2),
    op("pool", pool_in, (5, 2, 9), (2, 3)),
    op("pool-zeros", pool_in, (4, 2, 9)),
    op("pool-forget", pool_in, (5, 2, 6), (2, 3), output_gate=False),
    op("pool-kept", pool_in, (5, 2, 6), (2, 3), output_gate=False, zoneout=0.3),
    op("pool-batch-first-reverse", pool_in, (2, 4, 9), (2, 3), batch_first=True, reverse=True),
    op("sru", sru_in, (5, 2, 9), (6,), (6,), (5, 2, 3), (2, 3), scale=1.5),
    op("sru-wide-reverse", sru_in, (4, 2, 12), (6,), (6,), reverse=True),
    op("sru-batch-first", sru_in, (2, 4, 9), (6,), (6,), (2, 4, 3), batch_first=True),
]
