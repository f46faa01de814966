"""Activation functions: y = f(x) element by element, under the names of torch.nn.functional.

NaN stays NaN. `inplace=True` overwrites x where the tape does not need it and returns x; where
x requires a gradient it is accepted and the result is a new tensor. The formulas are in
nnrt._ref.activation.
"""

from .. import registry
from ..autograd import grad_enabled, record
from ..memory import empty_like
from ..tensor import Tensor, bump
from .elementwise import mul
from .promotion import as_float, as_tensor, sum_to
from .unary import sigmoid, zero_backward

K = registry.family("activation")

SELU_ALPHA = 1.6732632423543772  # Klambauer et al., Self-Normalizing Neural Networks, 2017, equation 14
SELU_SCALE = 1.0507009873554805


def _target(x, inplace):
    """The output array: x's own when inplace is asked for and the tape does not need x."""
    if inplace and not (x.requires_grad and grad_enabled()):
        return x.array
    return empty_like(x.array)


def _done(x, y, backward, saved):
    if y is x.array:
        return bump(x)
    return record(y, backward, (x,), saved)


def _floating(op, x):
    """x as a Tensor; RuntimeError where torch has no such function of integers."""
    x = as_tensor(op, x)
    if x.array.dtype.kind != "f":
        raise RuntimeError(f"{op}: wants a floating tensor, got {x.array.dtype}")
    return x


def _backward(node, dy, kernel):
    """dx = kernel(dy, x, constants) of what was saved: x and the constants."""
    saved = node.saved
    dx = empty_like(saved[0])
    kernel(dx, dy, *saved)
    return (dx,)


def relu(x, inplace=False):
    """max(x, 0). The derivative at 0 is 0. RuntimeError for bools."""
    x = as_tensor("relu", x)
    if x.array.dtype.kind == "b":
        raise RuntimeError("relu: wants a number, got bool")
    y = _target(x, inplace)
    K.relu(y, x.array)
    return _done(x, y, relu_backward, (y,))


def relu_backward(node, dy):
    return _backward(node, dy, K.relu_backward)


def hardtanh(x, min_val=-1.0, max_val=1.0, inplace=False):
    """min(max(x, min_val), max_val); the derivative at both ends is 0."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    x = _floating("hardtanh", x)
    y = _target(x, inplace)
    K.hardtanh(y, x.array, min_val, max_val)
    return _done(x, y, hardtanh_backward, (x, min_val, max_val))


def hardtanh_backward(node, dy):
    return _backward(node, dy, K.hardtanh_backward)


def relu6(x, inplace=False):
    """min(max(x, 0), 6)."""
    return hardtanh(_floating("relu6", x), 0.0, 6.0, inplace)


def leaky_relu(x, negative_slope=0.01, inplace=False):
    """x where x > 0, else negative_slope x."""
    x = _floating("leaky_relu", x)
    y = _target(x, inplace)
    K.leaky_relu(y, x.array, negative_slope)
    return _done(x, y, leaky_relu_backward, (x, negative_slope))


def leaky_relu_backward(node, dy):
    return _backward(node, dy, K.leaky_relu_backward)


def prelu(x, weight):
    """x where x > 0, else weight x. weight: one number, or one per channel (axis 1), of x's dtype."""
    x = _floating("prelu", x)
    w = as_tensor("prelu", weight)
    if w.array.dtype != x.array.dtype:
        raise RuntimeError(f"prelu: x is {x.array.dtype}, weight {w.array.dtype}; they must agree")
    channels = x.array.shape[1] if x.array.ndim > 1 else 1
    if w.array.ndim > 1 or w.array.size not in (1, channels):
        raise RuntimeError(
            f"prelu: weight must have 1 element or one per channel of x ({channels}), got shape {w.array.shape}"
        )
    y = empty_like(x.array)
    K.prelu(y, x.array, _per_channel(w.array, x.array.ndim))
    return record(y, prelu_backward, (x, w), (x, w))


def _per_channel(w, ndim):
    """w as an array that broadcasts along axis 1."""
    return w.reshape(w.shape + (1,) * (ndim - 2)) if w.ndim == 1 and ndim > 2 else w


def prelu_backward(node, dy):
    x, w = node.saved
    wide = _per_channel(w, x.ndim)
    dx = empty_like(x)
    dw = empty_like(x)
    K.prelu_backward(dx, dw, dy, x, wide)
    if not node.needs(1):
        return dx, None
    return dx, sum_to(dw, wide.shape).reshape(w.shape)


def rrelu(x, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False, generator=None):
    """x where x > 0, else a x: a is drawn from U[lower, upper) per element in training, else their mean.

    Xu et al., Empirical Evaluation of Rectified Activations, 2015.
    """
    if lower > upper:
        raise ValueError(f"rrelu: lower {lower} is above upper {upper}")
    x = _floating("rrelu", x)
    if not training:
        return leaky_relu(x, (lower + upper) / 2, inplace)
    from . import random

    noise = empty_like(x.array)
    random.uniform_into(noise, lower, upper, generator)
    y = _target(x, inplace)
    K.prelu(y, x.array, noise)
    return _done(x, y, rrelu_backward, (x, noise))


def rrelu_backward(node, dy):
    x, noise = node.saved
    dx = empty_like(x)
    K.prelu_backward(dx, empty_like(x), dy, x, noise)
    return (dx,)


def elu(x, alpha=1.0, inplace=False):
    """x where x > 0, else alpha (e^x - 1). Clevert et al., 2015."""
    return _elu("elu", x, alpha, 1.0, 1.0, inplace)


def selu(x, inplace=False):
    """elu scaled so that activations keep mean 0 and variance 1. Klambauer et al., 2017."""
    return _elu("selu", x, SELU_ALPHA, SELU_SCALE, 1.0, inplace)


def celu(x, alpha=1.0, inplace=False):
    """x where x > 0, else alpha (e^(x / alpha) - 1). Barron, 2017."""
    if alpha == 0:
        raise RuntimeError("celu: alpha must not be 0")
    return _elu("celu", x, alpha, 1.0, 1.0 / alpha, inplace)


def _elu(op, x, alpha, scale, inner, inplace):
    x = _floating(op, x)
    y = _target(x, inplace)
    K.elu(y, x.array, alpha, scale, inner)
    return _done(x, y, elu_backward, (x, alpha, scale, inner))


def elu_backward(node, dy):
    return _backward(node, dy, K.elu_backward)


def gelu(x, approximate="none"):
    """x Phi(x), Phi the normal distribution function. Hendrycks and Gimpel, 2016.

    approximate="tanh": x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2.
    """
    x = _floating("gelu", x)
    if approximate == "none":
        return _of_input(x, K.gelu, gelu_backward)
    if approximate == "tanh":
        return _of_input(x, K.gelu_tanh, gelu_tanh_backward)
    raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")


def _of_input(x, kernel, backward):
    y = empty_like(x.array)
    kernel(y, x.array)
    return record(y, backward, (x,), (x,))


def gelu_backward(node, dy):
    return _backward(node, dy, K.gelu_backward)


def gelu_tanh_backward(node, dy):
    return _backward(node, dy, K.gelu_tanh_backward)


def silu(x, inplace=False):
    """x sigmoid(x)."""
    x = _floating("silu", x)
    y = _target(x, inplace)
    K.silu(y, x.array, 1.0)
    return _done(x, y, silu_backward, (x, 1.0))


def silu_backward(node, dy):
    return _backward(node, dy, K.silu_backward)


def swish(x, beta=1.0):
    """x sigmoid(beta x); beta is a number, or a Tensor to be learnt. Ramachandran et al., 2017."""
    if isinstance(beta, Tensor):
        return mul(x, sigmoid(mul(x, beta)))
    x = _floating("swish", x)
    y = empty_like(x.array)
    K.silu(y, x.array, beta)
    return record(y, silu_backward, (x,), (x, beta))


def mish(x, inplace=False):
    """x tanh(log(1 + e^x)). Misra, 2019."""
    x = _floating("mish", x)
    y = _target(x, inplace)
    K.mish(y, x.array)
    return _done(x, y, mish_backward, (x,))


def mish_backward(node, dy):
    return _backward(node, dy, K.mish_backward)


def softplus(x, beta=1.0, threshold=20.0):
    """log(1 + e^(beta x)) / beta, and x where beta x > threshold."""
    x = _floating("softplus", x)
    y = empty_like(x.array)
    K.softplus(y, x.array, beta, threshold)
    return record(y, softplus_backward, (x,), (x, beta, threshold))


def softplus_backward(node, dy):
    return _backward(node, dy, K.softplus_backward)


def softsign(x):
    """x / (1 + |x|)."""
    return _of_input(as_float("softsign", x), K.softsign, softsign_backward)


def softsign_backward(node, dy):
    return _backward(node, dy, K.softsign_backward)


def hardsigmoid(x, inplace=False):
    """min(max(x + 3, 0), 6) / 6."""
    x = _floating("hardsigmoid", x)
    y = _target(x, inplace)
    K.hardsigmoid(y, x.array)
    return _done(x, y, hardsigmoid_backward, (x,))


def hardsigmoid_backward(node, dy):
    return _backward(node, dy, K.hardsigmoid_backward)


def hardswish(x, inplace=False):
    """x min(max(x + 3, 0), 6) / 6. Howard et al., Searching for MobileNetV3, 2019."""
    x = _floating("hardswish", x)
    y = _target(x, inplace)
    K.hardswish(y, x.array)
    return _done(x, y, hardswish_backward, (x,))


def hardswish_backward(node, dy):
    return _backward(node, dy, K.hardswish_backward)


def logsigmoid(x):
    """log(1 / (1 + e^-x))."""
    return _of_input(_floating("logsigmoid", x), K.logsigmoid, logsigmoid_backward)


def logsigmoid_backward(node, dy):
    return _backward(node, dy, K.logsigmoid_backward)


def tanhshrink(x):
    """x - tanh(x)."""
    return _of_input(as_float("tanhshrink", x), K.tanhshrink, tanhshrink_backward)


def tanhshrink_backward(node, dy):
    return _backward(node, dy, K.tanhshrink_backward)


def softshrink(x, lambd=0.5):
    """x - lambd where x > lambd, x + lambd where x < -lambd, else 0."""
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd must not be negative, got {lambd}")
    return _shrink("softshrink", x, K.softshrink, lambd)


def hardshrink(x, lambd=0.5):
    """x where |x| > lambd, else 0."""
    return _shrink("hardshrink", x, K.hardshrink, lambd)


def _shrink(op, x, kernel, lambd):
    x = _floating(op, x)
    y = empty_like(x.array)
    kernel(y, x.array, lambd)
    return record(y, shrink_backward, (x,), (x, lambd))


def shrink_backward(node, dy):
    return _backward(node, dy, K.shrink_backward)


def threshold(x, threshold, value, inplace=False):
    """x where x > threshold, else value."""
    x = as_tensor("threshold", x)
    y = _target(x, inplace)
    K.threshold(y, x.array, threshold, value)
    return _done(x, y, threshold_backward, (x, threshold))


def threshold_backward(node, dy):
    return _backward(node, dy, K.threshold_backward)


def squared_relu(x):
    """max(x, 0)^2. So et al., Primer, 2021."""
    return _of_input(_floating("squared_relu", x), K.squared_relu, squared_relu_backward)


def squared_relu_backward(node, dy):
    return _backward(node, dy, K.squared_relu_backward)


def step(x):
    """1 where x > 0, else 0; the gradient is 0."""
    x = _floating("step", x)
    y = empty_like(x.array)
    K.step(y, x.array)
    return record(y, zero_backward, (x,))


# Gates: x is cut in halves a and b along dim, and y = a f(b) has half its size there.
# Dauphin et al., 2017 (glu); Shazeer, GLU Variants Improve Transformer, 2020 (the others).


def glu(x, dim=-1):
    """a sigmoid(b)."""
    return _gate("glu", x, dim, K.glu, glu_backward)


def glu_backward(node, dy):
    return _gate_backward(node, dy, K.glu_backward)


def reglu(x, dim=-1):
    """a relu(b)."""
    return _gate("reglu", x, dim, K.reglu, reglu_backward)


def reglu_backward(node, dy):
    return _gate_backward(node, dy, K.reglu_backward)


def geglu(x, dim=-1):
    """a gelu(b)."""
    return _gate("geglu", x, dim, K.geglu, geglu_backward)


def geglu_backward(node, dy):
    return _gate_backward(node, dy, K.geglu_backward)


def swiglu(x, dim=-1):
    """a silu(b)."""
    return _gate("swiglu", x, dim, K.swiglu, swiglu_backward)


def swiglu_backward(node, dy):
    return _gate_backward(node, dy, K.swiglu_backward)


def bilinear_gate(x, dim=-1):
    """a b."""
    return _gate("bilinear_gate", x, dim, K.bilinear_gate, bilinear_gate_backward)


def bilinear_gate_backward(node, dy):
    return _gate_backward(node, dy, K.bilinear_gate_backward)


def _gate(op, x, dim, kernel, backward):
    x = _floating(op, x)
    u = x.array
    if not -u.ndim <= dim < u.ndim:
        raise IndexError(f"{op}: dim {dim} is out of range for a tensor of shape {u.shape}")
    if u.shape[dim] % 2:
        raise RuntimeError(f"{op}: dim {dim} must have an even size to be halved, got shape {u.shape}")
    dim %= u.ndim
    a, b = _halves(u, dim)
    y = empty_like(a)
    kernel(y, a, b)
    return record(y, backward, (x,), (x, dim))


def _gate_backward(node, dy, kernel):
    x, dim = node.saved
    dx = empty_like(x)
    kernel(*_halves(dx, dim), dy, *_halves(x, dim))
    return (dx,)


def _halves(u, dim):
    half = u.shape[dim] // 2
    before = (slice(None),) * dim
    return u[(*before, slice(0, half))], u[(*before, slice(half, None))]
