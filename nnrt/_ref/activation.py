"""Activations (specification).

y = f(x) and dx = dy f'(x), element by element. All arrays of one call broadcast to the output's
shape and may have any strides; the output may be an input itself. Gates take the two halves
a and b of their input.
"""

import math

import numpy as np

from . import Out, quiet
from .unary import _erfc

SQRT_HALF = math.sqrt(0.5)
SQRT_2_PI = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715  # Hendrycks and Gimpel, Gaussian Error Linear Units, 2016


def relu(y: Out, x):
    """y = max(x, 0); NaN stays NaN."""
    np.maximum(x, 0, out=y)


def relu_backward(dx: Out, dy, y):
    """dx = 0 where y <= 0, else dy: relu'(0) = 0."""
    dx[...] = np.where(y <= 0, 0, dy)


def hardtanh(y: Out, x, lo, hi):
    """y = min(max(x, lo), hi); NaN stays NaN."""
    np.clip(x, lo, hi, out=y)


def hardtanh_backward(dx: Out, dy, x, lo, hi):
    """dx = dy where lo < x < hi, else 0."""
    dx[...] = np.where((x > lo) & (x < hi), dy, 0)


def leaky_relu(y: Out, x, slope):
    """y = x where x > 0, else slope x."""
    y[...] = np.where(x > 0, x, x * slope)


def leaky_relu_backward(dx: Out, dy, x, slope):
    """dx = dy where x > 0, else slope dy."""
    dx[...] = np.where(x > 0, dy, dy * slope)


def prelu(y: Out, x, w):
    """y = x where x > 0, else w x; w broadcasts to x's shape."""
    y[...] = np.where(x > 0, x, w * x)


def prelu_backward(dx: Out, dw: Out, dy, x, w):
    """dx = dy where x > 0, else w dy;  dw = 0 where x > 0, else x dy, of x's shape (not summed)."""
    positive = x > 0
    d = np.where(positive, dy, w * dy)
    dw[...] = np.where(positive, 0, x * dy)
    dx[...] = d


@quiet
def elu(y: Out, x, alpha, scale, inner):
    """y = scale x where x > 0, else scale alpha (e^(inner x) - 1)."""
    y[...] = np.where(x > 0, scale * x, (scale * alpha) * np.expm1(inner * x))


@quiet
def elu_backward(dx: Out, dy, x, alpha, scale, inner):
    """dx = scale dy where x > 0, else scale alpha inner e^(inner x) dy."""
    dx[...] = np.where(x > 0, scale * dy, dy * ((scale * alpha * inner) * np.exp(inner * x)))


@quiet
def gelu(y: Out, x):
    """y = x Phi(x), Phi the normal distribution function."""
    y[...] = x * (0.5 * _erfc(-x * SQRT_HALF))


@quiet
def gelu_backward(dx: Out, dy, x):
    """dx = dy (Phi(x) + x phi(x)), phi = Phi'."""
    density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    dx[...] = dy * (0.5 * _erfc(-x * SQRT_HALF) + x * density)


def gelu_sloped(y: Out, slope: Out, x):
    """y = gelu(x) and slope = dy/dx; slope may be x itself."""
    gelu(y, x)
    gelu_backward(slope, 1, x)


def _gelu_inner(x):
    return SQRT_2_PI * (x + GELU_CUBIC * x * x * x)


@quiet
def gelu_tanh(y: Out, x):
    """y = x (1 + tanh(u)) / 2,  u = sqrt(2/pi) (x + 0.044715 x^3)."""
    y[...] = x * (0.5 * (1 + np.tanh(_gelu_inner(x))))


@quiet
def gelu_tanh_backward(dx: Out, dy, x):
    """dx = dy ((1 + t) / 2 + x (1 - t^2) u' / 2),  t = tanh(u),  u' = sqrt(2/pi) (1 + 3 * 0.044715 x^2)."""
    t = np.tanh(_gelu_inner(x))
    du = SQRT_2_PI * (1 + 3 * GELU_CUBIC * x * x)
    dx[...] = dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


@quiet
def silu(y: Out, x, beta):
    """y = x sigmoid(beta x)."""
    y[...] = x * _sigmoid(beta * x)


@quiet
def silu_backward(dx: Out, dy, x, beta):
    """dx = dy (s + beta x s (1 - s)),  s = sigmoid(beta x)."""
    s = _sigmoid(beta * x)
    dx[...] = dy * (s * (1 + beta * x * (1 - s)))


def _softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@quiet
def mish(y: Out, x):
    """y = x tanh(log(1 + e^x))."""
    y[...] = x * np.tanh(_softplus(x))


@quiet
def mish_backward(dx: Out, dy, x):
    """dx = dy (t + x (1 - t^2) sigmoid(x)),  t = tanh(log(1 + e^x))."""
    t = np.tanh(_softplus(x))
    dx[...] = dy * (t + x * (1 - t * t) * _sigmoid(x))


@quiet
def softplus(y: Out, x, beta, threshold):
    """y = log(1 + e^(beta x)) / beta, and x where beta x > threshold."""
    y[...] = np.where(x * beta > threshold, x, _softplus(x * beta) / beta)


@quiet
def softplus_backward(dx: Out, dy, x, beta, threshold):
    """dx = dy sigmoid(beta x), and dy where beta x > threshold."""
    dx[...] = np.where(x * beta > threshold, dy, dy * _sigmoid(x * beta))


@quiet
def softsign(y: Out, x):
    """y = x / (1 + |x|)."""
    y[...] = x / (1 + np.abs(x))


@quiet
def softsign_backward(dx: Out, dy, x):
    """dx = dy / (1 + |x|)^2."""
    d = 1 + np.abs(x)
    dx[...] = dy / (d * d)


def hardsigmoid(y: Out, x):
    """y = min(max(x + 3, 0), 6) / 6."""
    y[...] = np.clip(x + 3, 0, 6) / 6


def hardsigmoid_backward(dx: Out, dy, x):
    """dx = dy / 6 where -3 < x < 3, else 0."""
    dx[...] = np.where((x > -3) & (x < 3), dy / 6, 0)


@quiet
def hardswish(y: Out, x):
    """y = x min(max(x + 3, 0), 6) / 6."""
    y[...] = x * np.clip(x + 3, 0, 6) / 6


@quiet
def hardswish_backward(dx: Out, dy, x):
    """dx = 0 where x <= -3, dy where x >= 3, dy (x / 3 + 1/2) between."""
    dx[...] = np.where(x <= -3, 0, np.where(x < 3, dy * (x / 3 + 0.5), dy))


@quiet
def logsigmoid(y: Out, x):
    """y = log sigmoid(x) = -log(1 + e^-x)."""
    y[...] = np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


@quiet
def logsigmoid_backward(dx: Out, dy, x):
    """dx = dy sigmoid(-x)."""
    dx[...] = dy * _sigmoid(-x)


def tanhshrink(y: Out, x):
    """y = x - tanh x."""
    y[...] = x - np.tanh(x)


def tanhshrink_backward(dx: Out, dy, x):
    """dx = dy tanh(x)^2."""
    t = np.tanh(x)
    dx[...] = dy * (t * t)


@quiet
def softshrink(y: Out, x, lambd):
    """y = x - lambd where x > lambd, x + lambd where x < -lambd, else 0; NaN stays NaN."""
    y[...] = np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0))


def hardshrink(y: Out, x, lambd):
    """y = 0 where -lambd <= x <= lambd, else x; NaN stays NaN."""
    y[...] = np.where((x >= -lambd) & (x <= lambd), 0, x)


def shrink_backward(dx: Out, dy, x, lambd):
    """For softshrink and hardshrink: dx = 0 where -lambd <= x <= lambd, else dy."""
    dx[...] = np.where((x >= -lambd) & (x <= lambd), 0, dy)


def threshold(y: Out, x, threshold, value):
    """y = x where x > threshold (or x is NaN), else value."""
    y[...] = np.where(x <= threshold, value, x)


def threshold_backward(dx: Out, dy, x, threshold):
    """dx = dy where x > threshold (or x is NaN), else 0."""
    dx[...] = np.where(x <= threshold, 0, dy)


def squared_relu(y: Out, x):
    """y = max(x, 0)^2."""
    r = np.maximum(x, 0)
    y[...] = r * r


def squared_relu_backward(dx: Out, dy, x):
    """dx = 2 dy max(x, 0)."""
    dx[...] = dy * (2 * np.maximum(x, 0))


def step(y: Out, x):
    """y = 1 where x > 0, else 0; NaN stays NaN."""
    y[...] = np.where(x != x, x, x > 0)


# Gates: y = a f(b);  da = dy f(b),  db = dy a f'(b). Shazeer, GLU Variants Improve Transformer, 2020.


@quiet
def glu(y: Out, a, b):
    """y = a sigmoid(b)."""
    y[...] = a * _sigmoid(b)


@quiet
def glu_backward(da: Out, db: Out, dy, a, b):
    """da = dy s,  db = dy a s (1 - s),  s = sigmoid(b)."""
    s = _sigmoid(b)
    da[...] = dy * s
    db[...] = dy * a * (s * _sigmoid(-b))


def reglu(y: Out, a, b):
    """y = a max(b, 0)."""
    y[...] = a * np.maximum(b, 0)


def reglu_backward(da: Out, db: Out, dy, a, b):
    """da = dy max(b, 0),  db = dy a where b > 0, else 0."""
    da[...] = dy * np.maximum(b, 0)
    db[...] = np.where(b > 0, dy * a, 0)


def geglu(y: Out, a, b):
    """y = a b Phi(b)."""
    y[...] = a * (b * (0.5 * _erfc(-b * SQRT_HALF)))


@quiet
def geglu_backward(da: Out, db: Out, dy, a, b):
    """da = dy b Phi(b),  db = dy a (Phi(b) + b phi(b))."""
    p = 0.5 * _erfc(-b * SQRT_HALF)
    da[...] = dy * (b * p)
    db[...] = dy * a * (p + b * (np.exp(-0.5 * b * b) / math.sqrt(2 * math.pi)))


@quiet
def swiglu(y: Out, a, b):
    """y = a b sigmoid(b)."""
    y[...] = a * (b * _sigmoid(b))


@quiet
def swiglu_backward(da: Out, db: Out, dy, a, b):
    """da = dy b s,  db = dy a s (1 + b (1 - s)),  s = sigmoid(b)."""
    s = _sigmoid(b)
    da[...] = dy * (b * s)
    db[...] = dy * a * (s * (1 + b * (1 - s)))
