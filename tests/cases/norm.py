"""Normalisation: channels around the vectors and blocks, few rows and many, groups, large means, empty batches."""

import numpy as np

import nnrt
from tests.cases import Kernel, Op, Output, around

TOL = {"float32": (3e-5, 3e-5), "float64": (1e-11, 1e-11)}

# N, rows, channels, groups; two blocks of columns, several runs, several parts, several pieces
CHANNELS = [
    *[(1, 37, c, c) for c in [1, 2, 3, *around(16)[2:], 63, 64, 65, 511, 512, 513]],
    *[(1, rows, 24, 24) for rows in [1, 2, 127, 128, 129, 900]],
    (1, 3000, 40, 40), (1, 70000, 3, 3), (1, 40, 3000, 3000), (1, 4, 20000, 20000),
    (3, 20, 12, 12), (40, 9, 5, 5), (2, 2500, 32, 32),
    (2, 9, 12, 3), (3, 50, 64, 32), (2, 4000, 20, 2), (5, 1, 12, 4), (2, 7, 600, 2), (7, 30, 6, 1), (2, 90, 1030, 10),
]  # fmt: skip
ROWS = [*[(5, c) for c in [*around(32)[1:], 1000]], (1, 7), (130, 64), (700, 300), (3, 9000), (3001, 5)]


def _label(shape):
    return "x".join(map(str, shape))


def _numbers(rng, dtype, *shape):
    return (rng.standard_normal(shape) * 2 + 3).astype(dtype)


def _moments(shape, offset=0.0):
    n, rows, c, groups = shape

    def args(rng, dtype):
        x = _numbers(rng, dtype, n, rows, c) + dtype(offset)
        return [Output((n, groups), np.float64), Output((n, groups), np.float64), x, groups]

    # beside offset, float32 holds x to 6e-8 of it
    return Kernel("norm.moments", f"{_label(shape)}{'-offset' if offset else ''}", args, TOL)


def _move(c, step=1):
    def args(rng, dtype):
        return [Output((c,)), _numbers(rng, dtype, c * step)[::step], rng.standard_normal((1, c)), 0.1, 1.25]

    return Kernel("norm.move", f"{c} {step}", args, TOL)


def _batch_moments(shape, running=True, step=1):
    n, rows, c, _ = shape

    def args(rng, dtype):
        old = [_numbers(rng, dtype, c * step)[::step] if running else None for _ in range(2)]
        new = [Output((c,)) if running else None for _ in range(2)]
        return [Output((1, c), np.float64), Output((1, c), np.float64), *new, _numbers(rng, dtype, n, rows, c), *old, 0.1, 1e-3]

    return Kernel("norm.batch_moments", f"{_label(shape)} {running} {step}", args, TOL)


def _statistics(rng, n, groups):
    return rng.standard_normal((n, groups)), rng.random((n, groups)) + 0.5


def _weights(rng, dtype, c, given):
    made = [_numbers(rng, dtype, c), rng.standard_normal(c).astype(dtype)]
    return [v if g else None for v, g in zip(made, given)]


def _normalize(shape, given=(True, True), activation=None, residual=False):
    n, rows, c, groups = shape

    def args(rng, dtype):
        x = _numbers(rng, dtype, n, rows, c)
        vectors, more = _weights(rng, dtype, c, given), _numbers(rng, dtype, *x.shape) if residual else None
        return [Output(x.shape), x, *_statistics(rng, n, groups), *vectors, more, activation]

    return Kernel("norm.normalize", f"{_label(shape)} {given} {activation}{' residual' * residual}", args, TOL)


def _backward(shape, given=(True, True), activation=None, fixed=False, outs=(True, True), residual=False):
    n, rows, c, groups = shape
    size = (rows * n) ** 0.5  # of the sums

    def args(rng, dtype):
        x, dy = _numbers(rng, dtype, n, rows, c), rng.standard_normal((n, rows, c)).astype(dtype)
        dr, y = (Output(x.shape), np.maximum(_numbers(rng, dtype, *x.shape) - 3, 0)) if residual else (None, None)
        return [
            Output(x.shape), dr, *(Output((c,)) if out else None for out in outs), dy, x, y,
            *_statistics(rng, n, groups), *_weights(rng, dtype, c, given), activation, fixed,
        ]  # fmt: skip

    tol = {"float32": (1e-4, 2e-5 * (1 + size)), "float64": (1e-10, 1e-11 * (1 + size))}
    label = f"{_label(shape)} {given} {activation} {fixed} {outs}{' residual' * residual}"
    return Kernel("norm.normalize_backward", label, args, tol)


def _layer(shape, given=(True, True), rms=False, residual=False):
    def args(rng, dtype):
        x = _numbers(rng, dtype, *shape)
        mean = None if rms else Output(shape[:1], np.float64)
        more = _numbers(rng, dtype, *shape) if residual else None
        outs = [Output(shape), Output(shape) if residual else None, mean, Output(shape[:1], np.float64)]
        return [*outs, x, more, *_weights(rng, dtype, shape[1], given), 1e-5]

    return Kernel("norm.layer_norm", f"{_label(shape)} {given} {rms}{' residual' * residual}", args, TOL)


def _layer_backward(shape, weight=True, rms=False, outs=(True, True), residual=False):
    rows, c = shape

    def args(rng, dtype):
        x, dy = _numbers(rng, dtype, *shape), rng.standard_normal(shape).astype(dtype)
        mean, rstd = None if rms else rng.standard_normal(rows), rng.random(rows) + 0.5
        return [
            Output(shape), *(Output((c,)) if out else None for out in outs), dy, x, mean, rstd,
            _weights(rng, dtype, c, (weight, False))[0], _numbers(rng, dtype, *shape) if residual else None,
        ]  # fmt: skip

    tol = {"float32": (1e-4, 2e-5 * (1 + rows**0.5)), "float64": (1e-10, 1e-11 * (1 + rows**0.5))}
    label = f"{_label(shape)} {weight} {rms} {outs}{' residual' * residual}"
    return Kernel("norm.layer_norm_backward", label, args, tol)


def _stopped(rng, dtype):
    """relu stops an infinite gradient where x is below the mean; the others are sums with infinity."""
    x, dy = np.ones((1, 40, 3), dtype), np.ones((1, 40, 3), dtype)
    x[0, 7], dy[0, 7] = -1, np.inf
    outs = [Output(x.shape), None, Output((3,)), Output((3,))]
    return [*outs, dy, x, None, np.zeros((1, 3)), np.ones((1, 3)), None, None, "relu", False]


SOME = [(1, 129, 24, 24), (1, 500, 64, 64), (3, 50, 64, 32), (2, 7, 600, 2)]
GIVEN = [(True, False), (False, True), (False, False)]

KERNELS = [
    *(_moments(shape) for shape in CHANNELS),
    *(_moments(shape, 1000.0) for shape in CHANNELS[::3]),
    *(_move(c, step) for c in (0, 1, 17) for step in (1, 2)),
    *(_batch_moments(shape) for shape in CHANNELS if shape[0] == 1 < shape[1]),
    *(_batch_moments((1, 40, 24, 24), *how) for how in ((False,), (True, 2))),
    *(_normalize(shape) for shape in CHANNELS),
    *(_normalize(shape, activation=act, residual=True) for shape in CHANNELS[::2] for act in (None, "relu")),
    _normalize((2, 2048 * 33, 32, 32), activation="relu", residual=True),
    *(_normalize(shape, given, act) for shape in SOME for given in GIVEN for act in (None, "relu")),
    _normalize((1, 300000, 15, 15)),
    _normalize((2, 2048 * 33, 32, 32), activation="relu"),  # past the caches
    *(_backward(shape) for shape in CHANNELS),
    *(_backward(shape, activation="relu") for shape in CHANNELS),
    *(_backward(shape, activation="relu", residual=True) for shape in CHANNELS),
    *(_backward(SOME[0], activation="relu", fixed=fixed, outs=outs, residual=True) for outs in GIVEN for fixed in (False, True)),
    *(_backward(shape, given, act, fixed) for shape in SOME for given in GIVEN for act in (None, "relu") for fixed in (False, True)),
    *(_backward(SOME[0], outs=outs) for outs in GIVEN),
    _backward((2, 2048 * 33, 32, 32), activation="relu"),
    Kernel("norm.normalize_backward", "stopped", _stopped, TOL),
    *(_layer(shape, rms=rms) for shape in [*ROWS, (0, 4)] for rms in (False, True)),
    *(_layer((9, 33), given, rms) for given in GIVEN for rms in (False, True)),
    *(_layer_backward(shape, rms=rms) for shape in ROWS for rms in (False, True)),
    *(_layer_backward((9, 33), False, rms, outs) for rms in (False, True) for outs in GIVEN),
    *(case(shape, rms=rms, residual=True) for case in (_layer, _layer_backward) for shape in [(1, 7), (9, 33), (700, 300)] for rms in (False, True)),
    *(case((4097, 1024), residual=residual) for case in (_layer, _layer_backward) for residual in (False, True)),  # past the caches
    *(case((12500, 336), rms=True) for case in (_layer, _layer_backward)),
]  # fmt: skip



def _inputs(*shape, affine=True, of=None):
    """x, and weight and bias of its channels or of the shape `of`."""
    def make(rng):
        sizes = shape[1:2] if of is None else of
        extra = [rng.standard_normal(sizes) + 2, rng.standard_normal(sizes)] if affine else []
        return [3 * rng.standard_normal(shape) + 5, *extra]

    return make


def _joined(norm):
    """A norm of a sum, and the sum, in the words of both libraries; some of the gradients reach one output alone."""

    def fn(t, x, w, b, r, both):
        f, of = t.nn.functional, tuple(w.shape)
        last = (w, b) if norm == "layer_norm" else (w,)
        if t is nnrt:
            y, total = getattr(f, f"add_{norm}")(x, r, of, *last, eps=1e-5)
        else:
            total = x + r
            y = getattr(f, norm)(total, of, *last, eps=1e-5)
        return {0: y, 1: total, 2: (y, total)}[both]

    return fn


def _running(t, x):
    """Running statistics that differ from channel to channel."""
    c = x.shape[1]
    steps = t.arange(c, dtype=x.dtype)
    return steps / 3 - 1, steps / 2 + 0.5


def _trained(t, x, w, b):
    return t.nn.functional.batch_norm(x, *_running(t, x), w, b, True, 0.3, 1e-3)


def _per_sample(t, x, w, b):
    return t.nn.functional.instance_norm(x, *_running(t, x), w, b, True, 0.3)


def _moved(norm):
    """What a norm in training makes of the running statistics."""

    def fn(t, x):
        mean, var = _running(t, x)
        getattr(t.nn.functional, norm)(x, mean, var, None, None, True, 0.3)
        return mean, var

    return fn


# gradients beside means of 5 and steps of 1e-6 to and fro
WIDE = {"float32": (1e-4, 2e-5), "float64": (1e-9, 1e-10)}

OPS = [
    *[Op(f"batch_norm-{_label(s)}", _trained, _inputs(*s), tol=WIDE)
      for s in [(2, 3), (7, 20), (4, 3, 5), (3, 4, 2, 3), (2, 17, 3, 1), (2, 3, 2, 2, 2), (1, 2, 3, 1)]],
    *[Op(f"{norm}-moves-{_label(s)}", _moved(norm), _inputs(*s, affine=False), grad=(), tol=WIDE)
      for norm, s in [("batch_norm", (2, 3)), ("batch_norm", (7, 20, 2)), ("batch_norm", (0, 3, 4)), ("batch_norm", (3, 4, 2, 3)),
                      ("instance_norm", (3, 4, 5)), ("instance_norm", (1, 3, 2, 2))]],
    Op("batch_norm-plain", lambda t, x: t.nn.functional.batch_norm(x, None, None, training=True), _inputs(4, 3, 5, affine=False), tol=WIDE),
    Op("batch_norm-weight", lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, training=True) + b.sum(), _inputs(4, 3, 5), tol=WIDE),
    Op("batch_norm-bias", lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, None, b, True) + w.sum(), _inputs(4, 3, 5), tol=WIDE),
    Op("batch_norm-eval", lambda t, x, w, b: t.nn.functional.batch_norm(x, *_running(t, x), w, b), _inputs(4, 3, 5), tol=WIDE),
    Op("batch_norm-eval-one", lambda t, x, w, b: t.nn.functional.batch_norm(x, *_running(t, x), w, b), _inputs(1, 3), tol=WIDE),
    Op("batch_norm-nhwc", lambda t, x, w, b: _trained(t, x.permute(0, 3, 1, 2), w, b), _inputs(4, 3, 2, 5, of=(5,)), tol=WIDE),
    Op("batch_norm-empty", lambda t, x, w, b: t.nn.functional.batch_norm(x, None, None, w, b, True), _inputs(0, 3, 5)),
    Op("batch_norm-empty-eval", lambda t, x, w, b: t.nn.functional.batch_norm(x, *_running(t, x), w, b), _inputs(2, 3, 0)),
    *[Op(f"group_norm-{_label(s)}-{g}", lambda t, x, w, b, g=g: t.nn.functional.group_norm(x, g, w, b), _inputs(*s), tol=WIDE)
      for s, g in [((2, 6), 2), ((3, 6, 4), 3), ((3, 6, 4), 6), ((2, 12, 3, 5), 1), ((2, 4, 2, 2, 3), 2), ((1, 40, 2, 2), 8)]],
    Op("group_norm-plain", lambda t, x: t.nn.functional.group_norm(x, 2, eps=0.1), _inputs(2, 4, 3, affine=False), tol=WIDE),
    Op("group_norm-empty", lambda t, x, w, b: t.nn.functional.group_norm(x, 2, w, b), _inputs(0, 4, 3)),
    *[Op(f"instance_norm-{_label(s)}", _per_sample, _inputs(*s), tol=WIDE)
      for s in [(3, 4, 5), (1, 3, 2, 2), (2, 20, 3, 4), (2, 2, 2, 2, 2)]],
    Op("instance_norm-plain", lambda t, x: t.nn.functional.instance_norm(x), _inputs(2, 4, 3, affine=False), tol=WIDE),
    Op("instance_norm-fixed", lambda t, x, w, b: t.nn.functional.instance_norm(x, *_running(t, x), w, b, False), _inputs(2, 4, 3), tol=WIDE),
    *[Op(f"layer_norm-{_label(s)}-{len(of)}", lambda t, x, w, b, of=of: t.nn.functional.layer_norm(x, of, w, b), _inputs(*s, of=of), tol=WIDE)
      for s, of in [((3, 7), (7,)), ((5,), (5,)), ((2, 3, 40), (40,)), ((4, 3, 5), (3, 5)), ((2, 3, 4), (2, 3, 4)), ((0, 4), (4,)), ((9, 2), (2,))]],
    Op("layer_norm-plain", lambda t, x: t.nn.functional.layer_norm(x, x.shape[-1:], eps=0.1), _inputs(4, 6, affine=False), tol=WIDE),
    Op("layer_norm-weight", lambda t, x, w, b: t.nn.functional.layer_norm(x, (6,), w) + b.sum(), _inputs(4, 6, of=(6,)), tol=WIDE),
    Op("layer_norm-bias", lambda t, x, w, b: t.nn.functional.layer_norm(x, (6,), None, b) + w.sum(), _inputs(4, 6, of=(6,)), tol=WIDE),
    *[Op(f"rms_norm-{_label(s)}-{len(of)}", lambda t, x, w, b, of=of: t.nn.functional.rms_norm(x, of, w) + b.sum(), _inputs(*s, of=of), tol=WIDE)
      for s, of in [((3, 7), (7,)), ((2, 3, 40), (40,)), ((4, 3, 5), (3, 5)), ((3, 1), (1,)), ((0, 4), (4,))]],
    Op("rms_norm-plain", lambda t, x: t.nn.functional.rms_norm(x, x.shape[-1:], eps=0.1), _inputs(4, 6, affine=False), tol=WIDE),
    *[Op(f"add_{norm}-{_label(s)}-{both}", _joined(norm), lambda rng, s=s, of=of, both=both: [*_inputs(*s, of=of)(rng), rng.standard_normal(s), both], tol=WIDE)
      for norm in ("layer_norm", "rms_norm") for s, of in [((3, 7), (7,)), ((4, 3, 5), (3, 5)), ((0, 4), (4,))] for both in (0, 1, 2)],
    *[Op(f"local_response_norm-{size}", lambda t, x, size=size: t.nn.functional.local_response_norm(x, size, 0.3, 0.6, 1.5), _inputs(2, 5, 3, affine=False))
      for size in (1, 2, 3, 4, 5, 12)],
    Op("local_response_norm-5d", lambda t, x: t.nn.functional.local_response_norm(x, 3), _inputs(2, 4, 2, 2, 2, affine=False)),
]  # fmt: skip
