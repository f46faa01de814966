"""Activations in Numba. See nnrt._ref.activation for what each computes.

One scalar function per kernel, compiled for a dtype at its first use. Arithmetic with Python's
constants is done in float64 and rounded once.
"""

from math import erfc, exp, expm1, log1p, tanh

from nnrt._ref import activation as ref

from .compiled import jit, ufunc
from .maps import floats, run


@jit
def _sigmoid(x):
    z = exp(-abs(x))
    return (z if x < 0 else 1.0) / (1 + z)


@jit
def _log1p_exp(x):
    return (0.0 if x < 0 else x) + log1p(exp(-abs(x)))


@jit
def _normal(x):
    return 0.5 * erfc(-x * 0.7071067811865476)


@jit
def _density(x):
    return 0.3989422804014327 * exp(-0.5 * x * x)


@jit
def _inner(x):
    return 0.7978845608028654 * (x + 0.044715 * x * x * x)


@jit
def _gelu_tanh_slope(x):
    s = _sigmoid(2 * _inner(x))
    return s + x * 2 * s * (1 - s) * 0.7978845608028654 * (1 + 0.134145 * x * x)


@jit
def _silu_slope(x, beta):
    s = _sigmoid(beta * x)
    return s * (1 + beta * x * (1 - s))


@jit
def _mish_slope(x):
    t = tanh(_log1p_exp(x))
    return t + x * (1 - t * t) * _sigmoid(x)


@jit
def _cut6(x):
    return 0.0 if x < 0 else 6.0 if x > 6 else x


@ufunc
def _relu(x):
    return 0.0 if x < 0 else x


def relu(y, x):
    if not floats(y):
        return ref.relu(y, x)
    run(_relu, y, x)


@ufunc
def _relu_backward(dy, y):
    return 0.0 if y <= 0 else dy


def relu_backward(dx, dy, y):
    if not floats(dx):
        return ref.relu_backward(dx, dy, y)
    run(_relu_backward, dx, dy, y)


@ufunc
def _hardtanh(x, lo, hi):
    return lo if x < lo else hi if x > hi else x


def hardtanh(y, x, lo, hi):
    if not floats(y):
        return ref.hardtanh(y, x, lo, hi)
    run(_hardtanh, y, x, lo, hi)


@ufunc
def _hardtanh_backward(dy, x, lo, hi):
    return dy if lo < x < hi else 0.0


def hardtanh_backward(dx, dy, x, lo, hi):
    if not floats(dx):
        return ref.hardtanh_backward(dx, dy, x, lo, hi)
    run(_hardtanh_backward, dx, dy, x, lo, hi)


@ufunc
def _leaky_relu(x, slope):
    return x if x > 0 else x * slope


def leaky_relu(y, x, slope):
    if not floats(y):
        return ref.leaky_relu(y, x, slope)
    run(_leaky_relu, y, x, slope)


@ufunc
def _leaky_relu_backward(dy, x, slope):
    return dy if x > 0 else dy * slope


def leaky_relu_backward(dx, dy, x, slope):
    if not floats(dx):
        return ref.leaky_relu_backward(dx, dy, x, slope)
    run(_leaky_relu_backward, dx, dy, x, slope)


@ufunc
def _prelu(x, w):
    return x if x > 0 else w * x


def prelu(y, x, w):
    if not floats(y):
        return ref.prelu(y, x, w)
    run(_prelu, y, x, w)


@ufunc
def _elu(x, alpha, scale, inner):
    return scale * x if x > 0 else scale * alpha * expm1(inner * x)


def elu(y, x, alpha, scale, inner):
    if not floats(y):
        return ref.elu(y, x, alpha, scale, inner)
    run(_elu, y, x, alpha, scale, inner)


@ufunc
def _elu_backward(dy, x, alpha, scale, inner):
    return scale * dy if x > 0 else dy * (scale * alpha * inner * exp(inner * x))


def elu_backward(dx, dy, x, alpha, scale, inner):
    if not floats(dx):
        return ref.elu_backward(dx, dy, x, alpha, scale, inner)
    run(_elu_backward, dx, dy, x, alpha, scale, inner)


@ufunc
def _gelu(x):
    return x * _normal(x)


def gelu(y, x):
    if not floats(y):
        return ref.gelu(y, x)
    run(_gelu, y, x)


@ufunc
def _gelu_backward(dy, x):
    return dy * (_normal(x) + x * _density(x))


def gelu_backward(dx, dy, x):
    if not floats(dx):
        return ref.gelu_backward(dx, dy, x)
    run(_gelu_backward, dx, dy, x)


def gelu_sloped(y, slope, x):
    gelu(y, x)
    gelu_backward(slope, 1, x)


@ufunc
def _gelu_tanh(x):
    return x * _sigmoid(2 * _inner(x))


def gelu_tanh(y, x):
    if not floats(y):
        return ref.gelu_tanh(y, x)
    run(_gelu_tanh, y, x)


@ufunc
def _gelu_tanh_backward(dy, x):
    return dy * _gelu_tanh_slope(x)


def gelu_tanh_backward(dx, dy, x):
    if not floats(dx):
        return ref.gelu_tanh_backward(dx, dy, x)
    run(_gelu_tanh_backward, dx, dy, x)


@ufunc
def _silu(x, beta):
    return x * _sigmoid(beta * x)


def silu(y, x, beta):
    if not floats(y):
        return ref.silu(y, x, beta)
    run(_silu, y, x, beta)


@ufunc
def _silu_backward(dy, x, beta):
    return dy * _silu_slope(x, beta)


def silu_backward(dx, dy, x, beta):
    if not floats(dx):
        return ref.silu_backward(dx, dy, x, beta)
    run(_silu_backward, dx, dy, x, beta)


@ufunc
def _mish(x):
    return x * tanh(_log1p_exp(x))


def mish(y, x):
    if not floats(y):
        return ref.mish(y, x)
    run(_mish, y, x)


@ufunc
def _mish_backward(dy, x):
    return dy * _mish_slope(x)


def mish_backward(dx, dy, x):
    if not floats(dx):
        return ref.mish_backward(dx, dy, x)
    run(_mish_backward, dx, dy, x)


@ufunc
def _softplus(x, beta, threshold):
    return x if x * beta > threshold else _log1p_exp(x * beta) / beta


def softplus(y, x, beta, threshold):
    if not floats(y):
        return ref.softplus(y, x, beta, threshold)
    run(_softplus, y, x, beta, threshold)


@ufunc
def _softplus_backward(dy, x, beta, threshold):
    return dy if x * beta > threshold else dy * _sigmoid(x * beta)


def softplus_backward(dx, dy, x, beta, threshold):
    if not floats(dx):
        return ref.softplus_backward(dx, dy, x, beta, threshold)
    run(_softplus_backward, dx, dy, x, beta, threshold)


@ufunc
def _softsign(x):
    return x / (1 + abs(x))


def softsign(y, x):
    if not floats(y):
        return ref.softsign(y, x)
    run(_softsign, y, x)


@ufunc
def _softsign_backward(dy, x):
    return dy / ((1 + abs(x)) * (1 + abs(x)))


def softsign_backward(dx, dy, x):
    if not floats(dx):
        return ref.softsign_backward(dx, dy, x)
    run(_softsign_backward, dx, dy, x)


@ufunc
def _hardsigmoid(x):
    return _cut6(x + 3) / 6


def hardsigmoid(y, x):
    if not floats(y):
        return ref.hardsigmoid(y, x)
    run(_hardsigmoid, y, x)


@ufunc
def _hardsigmoid_backward(dy, x):
    return dy / 6 if -3 < x < 3 else 0.0


def hardsigmoid_backward(dx, dy, x):
    if not floats(dx):
        return ref.hardsigmoid_backward(dx, dy, x)
    run(_hardsigmoid_backward, dx, dy, x)


@ufunc
def _hardswish(x):
    return x * _cut6(x + 3) / 6


def hardswish(y, x):
    if not floats(y):
        return ref.hardswish(y, x)
    run(_hardswish, y, x)


@ufunc
def _hardswish_backward(dy, x):
    return 0.0 if x <= -3 else dy * (x / 3 + 0.5) if x < 3 else dy


def hardswish_backward(dx, dy, x):
    if not floats(dx):
        return ref.hardswish_backward(dx, dy, x)
    run(_hardswish_backward, dx, dy, x)


@ufunc
def _logsigmoid(x):
    return -_log1p_exp(-x)


def logsigmoid(y, x):
    if not floats(y):
        return ref.logsigmoid(y, x)
    run(_logsigmoid, y, x)


@ufunc
def _logsigmoid_backward(dy, x):
    return dy * _sigmoid(-x)


def logsigmoid_backward(dx, dy, x):
    if not floats(dx):
        return ref.logsigmoid_backward(dx, dy, x)
    run(_logsigmoid_backward, dx, dy, x)


@ufunc
def _tanhshrink(x):
    return x - tanh(x)


def tanhshrink(y, x):
    if not floats(y):
        return ref.tanhshrink(y, x)
    run(_tanhshrink, y, x)


@ufunc
def _tanhshrink_backward(dy, x):
    return dy * tanh(x) ** 2


def tanhshrink_backward(dx, dy, x):
    if not floats(dx):
        return ref.tanhshrink_backward(dx, dy, x)
    run(_tanhshrink_backward, dx, dy, x)


@ufunc
def _softshrink(x, lambd):
    return x - lambd if x > lambd else x + lambd if x < -lambd else x * 0


def softshrink(y, x, lambd):
    if not floats(y):
        return ref.softshrink(y, x, lambd)
    run(_softshrink, y, x, lambd)


@ufunc
def _hardshrink(x, lambd):
    return 0.0 if -lambd <= x <= lambd else x


def hardshrink(y, x, lambd):
    if not floats(y):
        return ref.hardshrink(y, x, lambd)
    run(_hardshrink, y, x, lambd)


@ufunc
def _threshold(x, threshold, value):
    return value if x <= threshold else x


def threshold(y, x, threshold, value):
    if not floats(y):
        return ref.threshold(y, x, threshold, value)
    run(_threshold, y, x, threshold, value)


@ufunc
def _threshold_backward(dy, x, threshold):
    return 0.0 if x <= threshold else dy


def threshold_backward(dx, dy, x, threshold):
    if not floats(dx):
        return ref.threshold_backward(dx, dy, x, threshold)
    run(_threshold_backward, dx, dy, x, threshold)


@ufunc
def _squared_relu(x):
    return 0.0 if x < 0 else x * x


def squared_relu(y, x):
    if not floats(y):
        return ref.squared_relu(y, x)
    run(_squared_relu, y, x)


@ufunc
def _squared_relu_backward(dy, x):
    return dy * (2 * (0.0 if x < 0 else x))


def squared_relu_backward(dx, dy, x):
    if not floats(dx):
        return ref.squared_relu_backward(dx, dy, x)
    run(_squared_relu_backward, dx, dy, x)


@ufunc
def _step(x):
    return 1.0 if x > 0 else 0.0 if x == x else x


def step(y, x):
    if not floats(y):
        return ref.step(y, x)
    run(_step, y, x)


@ufunc
def _shrink_backward(dy, x, lambd):
    return 0.0 if -lambd <= x <= lambd else dy


def shrink_backward(dx, dy, x, lambd):
    if not floats(dx):
        return ref.shrink_backward(dx, dy, x, lambd)
    run(_shrink_backward, dx, dy, x, lambd)


@ufunc
def _prelu_weight(dy, x):
    return 0.0 if x > 0 else x * dy


def prelu_backward(dx, dw, dy, x, w):
    run(_prelu_weight, dw, dy, x)
    run(_prelu_input, dx, dy, x, w)


@ufunc
def _prelu_input(dy, x, w):
    return dy if x > 0 else w * dy


@ufunc
def _glu(a, b):
    return a * (_sigmoid(b))


@ufunc
def _glu_slope(dy, a, b):
    return dy * (a * _sigmoid(b) * _sigmoid(-b))


def glu(y, a, b):
    run(_glu, y, a, b)


def glu_backward(da, db, dy, a, b):
    run(_glu, da, dy, b)
    run(_glu_slope, db, dy, a, b)


@ufunc
def _reglu(a, b):
    return a * (0.0 if b < 0 else b)


@ufunc
def _reglu_slope(dy, a, b):
    return dy * a if b > 0 else 0.0


def reglu(y, a, b):
    run(_reglu, y, a, b)


def reglu_backward(da, db, dy, a, b):
    run(_reglu, da, dy, b)
    run(_reglu_slope, db, dy, a, b)


@ufunc
def _geglu(a, b):
    return a * (b * _normal(b))


@ufunc
def _geglu_slope(dy, a, b):
    return dy * (a * (_normal(b) + b * _density(b)))


def geglu(y, a, b):
    run(_geglu, y, a, b)


def geglu_backward(da, db, dy, a, b):
    run(_geglu, da, dy, b)
    run(_geglu_slope, db, dy, a, b)


@ufunc
def _swiglu(a, b):
    return a * (b * _sigmoid(b))


@ufunc
def _swiglu_slope(dy, a, b):
    return dy * (a * _silu_slope(b, 1))


def swiglu(y, a, b):
    run(_swiglu, y, a, b)


def swiglu_backward(da, db, dy, a, b):
    run(_swiglu, da, dy, b)
    run(_swiglu_slope, db, dy, a, b)


@ufunc
def _bilinear_gate(a, b):
    return a * b


@ufunc
def _bilinear_gate_slope(dy, a, b):
    return dy * a


def bilinear_gate(y, a, b):
    run(_bilinear_gate, y, a, b)


def bilinear_gate_backward(da, db, dy, a, b):
    run(_bilinear_gate, da, dy, b)
    run(_bilinear_gate_slope, db, dy, a, b)
