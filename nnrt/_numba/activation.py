"""Activations in Numba. See nnrt._ref.activation for what each computes.

One scalar function per kernel, compiled for a dtype at its first use. Arithmetic with Python's
constants is done in float64 and rounded once.
"""

from math import exp, expm1, tanh

from nnrt._ref import activation as ref

from . import scalars
from .compiled import jit, ufunc
from .maps import floating, floats, run


@jit
def _inner(x):
    return 0.7978845608028654 * (x + 0.044715 * x * x * x)


@jit
def _gelu_tanh_slope(x):
    s = scalars.sigmoid(2 * _inner(x))
    return s + x * 2 * s * (1 - s) * 0.7978845608028654 * (1 + 0.134145 * x * x)


@jit
def _silu_slope(x, beta):
    s = scalars.sigmoid(beta * x)
    return s * (1 + beta * x * (1 - s))


@jit
def _mish_slope(x):
    t = tanh(scalars.softplus(x))
    return t + x * (1 - t * t) * scalars.sigmoid(x)


@jit
def _cut6(x):
    return 0.0 if x < 0 else 6.0 if x > 6 else x


@ufunc
def _relu(x):
    return 0.0 if x < 0 else x


def relu(y, x):
    floating(_relu, ref.relu, y, x)


@ufunc
def _relu_backward(dy, y):
    return 0.0 if y <= 0 else dy


def relu_backward(dx, dy, y):
    floating(_relu_backward, ref.relu_backward, dx, dy, y)


@ufunc
def _hardtanh(x, lo, hi):
    return lo if x < lo else hi if x > hi else x


def hardtanh(y, x, lo, hi):
    floating(_hardtanh, ref.hardtanh, y, x, lo, hi)


@ufunc
def _hardtanh_backward(dy, x, lo, hi):
    return dy if lo < x < hi else 0.0


def hardtanh_backward(dx, dy, x, lo, hi):
    floating(_hardtanh_backward, ref.hardtanh_backward, dx, dy, x, lo, hi)


@ufunc
def _leaky_relu(x, slope):
    return x if x > 0 else x * slope


def leaky_relu(y, x, slope):
    floating(_leaky_relu, ref.leaky_relu, y, x, slope)


@ufunc
def _leaky_relu_backward(dy, x, slope):
    return dy if x > 0 else dy * slope


def leaky_relu_backward(dx, dy, x, slope):
    floating(_leaky_relu_backward, ref.leaky_relu_backward, dx, dy, x, slope)


@ufunc
def _prelu(x, w):
    return x if x > 0 else w * x


def prelu(y, x, w):
    floating(_prelu, ref.prelu, y, x, w)


@ufunc
def _elu(x, alpha, scale, inner):
    return scale * x if x > 0 else scale * alpha * expm1(inner * x)


def elu(y, x, alpha, scale, inner):
    floating(_elu, ref.elu, y, x, alpha, scale, inner)


@ufunc
def _elu_backward(dy, x, alpha, scale, inner):
    return scale * dy if x > 0 else dy * (scale * alpha * inner * exp(inner * x))


def elu_backward(dx, dy, x, alpha, scale, inner):
    floating(_elu_backward, ref.elu_backward, dx, dy, x, alpha, scale, inner)


@ufunc
def _gelu(x):
    return x * scalars.normal(x)


def gelu(y, x):
    floating(_gelu, ref.gelu, y, x)


@ufunc
def _gelu_backward(dy, x):
    return dy * (scalars.normal(x) + x * scalars.density(x))


def gelu_backward(dx, dy, x):
    floating(_gelu_backward, ref.gelu_backward, dx, dy, x)


def gelu_sloped(y, slope, x):
    gelu(y, x)
    gelu_backward(slope, 1, x)


@ufunc
def _gelu_tanh(x):
    return x * scalars.sigmoid(2 * _inner(x))


def gelu_tanh(y, x):
    floating(_gelu_tanh, ref.gelu_tanh, y, x)


@ufunc
def _gelu_tanh_backward(dy, x):
    return dy * _gelu_tanh_slope(x)


def gelu_tanh_backward(dx, dy, x):
    floating(_gelu_tanh_backward, ref.gelu_tanh_backward, dx, dy, x)


@ufunc
def _silu(x, beta):
    return x * scalars.sigmoid(beta * x)


def silu(y, x, beta):
    floating(_silu, ref.silu, y, x, beta)


@ufunc
def _silu_backward(dy, x, beta):
    return dy * _silu_slope(x, beta)


def silu_backward(dx, dy, x, beta):
    floating(_silu_backward, ref.silu_backward, dx, dy, x, beta)


@ufunc
def _mish(x):
    return x * tanh(scalars.softplus(x))


def mish(y, x):
    floating(_mish, ref.mish, y, x)


@ufunc
def _mish_backward(dy, x):
    return dy * _mish_slope(x)


def mish_backward(dx, dy, x):
    floating(_mish_backward, ref.mish_backward, dx, dy, x)


@ufunc
def _softplus(x, beta, threshold):
    return x if x * beta > threshold else scalars.softplus(x * beta) / beta


def softplus(y, x, beta, threshold):
    floating(_softplus, ref.softplus, y, x, beta, threshold)


@ufunc
def _softplus_backward(dy, x, beta, threshold):
    return dy if x * beta > threshold else dy * scalars.sigmoid(x * beta)


def softplus_backward(dx, dy, x, beta, threshold):
    floating(_softplus_backward, ref.softplus_backward, dx, dy, x, beta, threshold)


@ufunc
def _softsign(x):
    return x / (1 + abs(x))


def softsign(y, x):
    floating(_softsign, ref.softsign, y, x)


@ufunc
def _softsign_backward(dy, x):
    return dy / ((1 + abs(x)) * (1 + abs(x)))


def softsign_backward(dx, dy, x):
    floating(_softsign_backward, ref.softsign_backward, dx, dy, x)


@ufunc
def _hardsigmoid(x):
    return _cut6(x + 3) / 6


def hardsigmoid(y, x):
    floating(_hardsigmoid, ref.hardsigmoid, y, x)


@ufunc
def _hardsigmoid_backward(dy, x):
    return dy / 6 if -3 < x < 3 else 0.0


def hardsigmoid_backward(dx, dy, x):
    floating(_hardsigmoid_backward, ref.hardsigmoid_backward, dx, dy, x)


@ufunc
def _hardswish(x):
    return x * _cut6(x + 3) / 6


def hardswish(y, x):
    floating(_hardswish, ref.hardswish, y, x)


@ufunc
def _hardswish_backward(dy, x):
    return 0.0 if x <= -3 else dy * (x / 3 + 0.5) if x < 3 else dy


def hardswish_backward(dx, dy, x):
    floating(_hardswish_backward, ref.hardswish_backward, dx, dy, x)


@ufunc
def _logsigmoid(x):
    return -scalars.softplus(-x)


def logsigmoid(y, x):
    floating(_logsigmoid, ref.logsigmoid, y, x)


@ufunc
def _logsigmoid_backward(dy, x):
    return dy * scalars.sigmoid(-x)


def logsigmoid_backward(dx, dy, x):
    floating(_logsigmoid_backward, ref.logsigmoid_backward, dx, dy, x)


@ufunc
def _tanhshrink(x):
    return x - tanh(x)


def tanhshrink(y, x):
    floating(_tanhshrink, ref.tanhshrink, y, x)


@ufunc
def _tanhshrink_backward(dy, x):
    return dy * tanh(x) ** 2


def tanhshrink_backward(dx, dy, x):
    floating(_tanhshrink_backward, ref.tanhshrink_backward, dx, dy, x)


@ufunc
def _softshrink(x, lambd):
    return x - lambd if x > lambd else x + lambd if x < -lambd else x * 0


def softshrink(y, x, lambd):
    floating(_softshrink, ref.softshrink, y, x, lambd)


@ufunc
def _hardshrink(x, lambd):
    return 0.0 if -lambd <= x <= lambd else x


def hardshrink(y, x, lambd):
    floating(_hardshrink, ref.hardshrink, y, x, lambd)


@ufunc
def _threshold(x, threshold, value):
    return value if x <= threshold else x


def threshold(y, x, threshold, value):
    floating(_threshold, ref.threshold, y, x, threshold, value)


@ufunc
def _threshold_backward(dy, x, threshold):
    return 0.0 if x <= threshold else dy


def threshold_backward(dx, dy, x, threshold):
    floating(_threshold_backward, ref.threshold_backward, dx, dy, x, threshold)


@ufunc
def _squared_relu(x):
    return 0.0 if x < 0 else x * x


def squared_relu(y, x):
    floating(_squared_relu, ref.squared_relu, y, x)


@ufunc
def _squared_relu_backward(dy, x):
    return dy * (2 * (0.0 if x < 0 else x))


def squared_relu_backward(dx, dy, x):
    floating(_squared_relu_backward, ref.squared_relu_backward, dx, dy, x)


@ufunc
def _step(x):
    return 1.0 if x > 0 else 0.0 if x == x else x


def step(y, x):
    floating(_step, ref.step, y, x)


@ufunc
def _shrink_backward(dy, x, lambd):
    return 0.0 if -lambd <= x <= lambd else dy


def shrink_backward(dx, dy, x, lambd):
    floating(_shrink_backward, ref.shrink_backward, dx, dy, x, lambd)


@ufunc
def _prelu_weight(dy, x):
    return 0.0 if x > 0 else x * dy


@ufunc
def _prelu_input(dy, x, w):
    return dy if x > 0 else w * dy


def prelu_backward(dx, dw, dy, x, w):
    if not floats(dx):
        return ref.prelu_backward(dx, dw, dy, x, w)
    run(_prelu_weight, dw, dy, x)
    run(_prelu_input, dx, dy, x, w)


# ---- gates: y = a f(b), so that da = dy f(b) is the forward pass, with dy for a ----


def _gate_backward(gate, slope, specified, da, db, dy, a, b):
    if not floats(da):
        return specified(da, db, dy, a, b)
    run(gate, da, dy, b)
    run(slope, db, dy, a, b)


@ufunc
def _glu(a, b):
    return a * scalars.sigmoid(b)


@ufunc
def _glu_slope(dy, a, b):
    return dy * (a * scalars.sigmoid(b) * scalars.sigmoid(-b))


def glu(y, a, b):
    floating(_glu, ref.glu, y, a, b)


def glu_backward(da, db, dy, a, b):
    _gate_backward(_glu, _glu_slope, ref.glu_backward, da, db, dy, a, b)


@ufunc
def _reglu(a, b):
    return a * (0.0 if b < 0 else b)


@ufunc
def _reglu_slope(dy, a, b):
    return dy * a if b > 0 else 0.0


def reglu(y, a, b):
    floating(_reglu, ref.reglu, y, a, b)


def reglu_backward(da, db, dy, a, b):
    _gate_backward(_reglu, _reglu_slope, ref.reglu_backward, da, db, dy, a, b)


@ufunc
def _geglu(a, b):
    return a * (b * scalars.normal(b))


@ufunc
def _geglu_slope(dy, a, b):
    return dy * (a * (scalars.normal(b) + b * scalars.density(b)))


def geglu(y, a, b):
    floating(_geglu, ref.geglu, y, a, b)


def geglu_backward(da, db, dy, a, b):
    _gate_backward(_geglu, _geglu_slope, ref.geglu_backward, da, db, dy, a, b)


@ufunc
def _swiglu(a, b):
    return a * (b * scalars.sigmoid(b))


@ufunc
def _swiglu_slope(dy, a, b):
    return dy * (a * _silu_slope(b, 1))


def swiglu(y, a, b):
    floating(_swiglu, ref.swiglu, y, a, b)


def swiglu_backward(da, db, dy, a, b):
    _gate_backward(_swiglu, _swiglu_slope, ref.swiglu_backward, da, db, dy, a, b)
