"""Activation functions: y = f(x) element by element, under the names of torch.nn.functional.

NaN stays NaN. `inplace=True` overwrites the input where the tape does not need it and returns it; where
it requires a gradient it is accepted and the result is a new tensor. The formulas are in
nnrt._ref.activation.
"""

from .. import registry
from ..autograd import grad_enabled, record
from ..memory import empty_like
from ..tensor import Tensor, bump
from .elementwise import mul
from .promotion import as_float, as_tensor, sum_to
from .unary import sigmoid, zero_backward

K, E = registry.family("activation"), registry.family("elementwise")

SELU_ALPHA = 1.6732632423543772  # Klambauer et al., Self-Normalizing Neural Networks, 2017, equation 14
SELU_SCALE = 1.0507009873554805


def _target(x, inplace):
    """The output array: x's own when inplace is asked for and the tape does not need x."""
    if inplace and not (x._requires_grad and grad_enabled()):
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
    dx = node.room(dy, saved[0])
    kernel(dx, dy, *saved)
    return (dx,)


def relu(input, inplace=False) -> Tensor:
    """max(input, 0). The derivative at 0 is 0. RuntimeError for bools."""
    input = as_tensor("relu", input)
    if input.array.dtype.kind == "b":
        raise RuntimeError("relu: wants a number, got bool")
    y = _target(input, inplace)
    K.relu(y, input.array)
    return _done(input, y, relu_backward, (y,))


def relu_backward(node, dy):
    return _backward(node, dy, K.relu_backward)


def hardtanh(input, min_val=-1.0, max_val=1.0, inplace=False) -> Tensor:
    """min(max(input, min_val), max_val), of integers with both cut to integers; the derivative at both ends is 0."""
    if min_val > max_val:
        raise ValueError(f"hardtanh: min_val {min_val} is above max_val {max_val}")
    input = as_tensor("hardtanh", input)
    kind = input.array.dtype.kind
    if kind == "b" or kind == "u" and min_val < 0:
        raise RuntimeError(f"hardtanh: {input.array.dtype} has no values from {min_val} to {max_val}")
    if kind != "f":
        min_val, max_val = int(min_val), int(max_val)
    y = _target(input, inplace)
    K.hardtanh(y, input.array, min_val, max_val)
    return _done(input, y, hardtanh_backward, (input, min_val, max_val))


def hardtanh_backward(node, dy):
    return _backward(node, dy, K.hardtanh_backward)


def relu6(input, inplace=False) -> Tensor:
    """min(max(input, 0), 6)."""
    return hardtanh(as_tensor("relu6", input), 0.0, 6.0, inplace)


def leaky_relu(input, negative_slope=0.01, inplace=False) -> Tensor:
    """input where input > 0, else negative_slope input."""
    input = _floating("leaky_relu", input)
    y = _target(input, inplace)
    K.leaky_relu(y, input.array, negative_slope)
    return _done(input, y, leaky_relu_backward, (input, negative_slope))


def leaky_relu_backward(node, dy):
    return _backward(node, dy, K.leaky_relu_backward)


def prelu(input, weight) -> Tensor:
    """input where input > 0, else weight input. weight: one number, or one per channel (axis 1), of input's dtype."""
    input = _floating("prelu", input)
    w = as_tensor("prelu", weight, "weight")
    if w.array.dtype != input.array.dtype:
        raise RuntimeError(f"prelu: input is {input.array.dtype}, weight {w.array.dtype}; they must agree")
    channels = input.array.shape[1] if input.array.ndim > 1 else 1
    if w.array.ndim > 1 or w.array.size not in (1, channels):
        raise RuntimeError(
            f"prelu: weight must have 1 element or one per channel of input ({channels}), got shape {w.array.shape}"
        )
    y = empty_like(input.array)
    K.prelu(y, input.array, _per_channel(w.array, input.array.ndim))
    return record(y, prelu_backward, (input, w), (input, w))


def _per_channel(w, ndim):
    """w as an array that broadcasts along axis 1."""
    if ndim == 0:
        return w.reshape(())
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


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False, generator=None) -> Tensor:
    """input where input > 0, else a input: a is drawn from U[lower, upper) per element in training, else their mean.

    Xu et al., Empirical Evaluation of Rectified Activations, 2015.
    """
    if lower > upper:
        raise ValueError(f"rrelu: lower {lower} is above upper {upper}")
    input = _floating("rrelu", input)
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    from . import random

    noise = empty_like(input.array)
    random.uniform_into(noise, lower, upper, generator)
    y = _target(input, inplace)
    K.prelu(y, input.array, noise)
    return _done(input, y, rrelu_backward, (input, noise))


def rrelu_backward(node, dy):
    x, noise = node.saved
    dx = empty_like(x)
    K.prelu_backward(dx, empty_like(x), dy, x, noise)
    return (dx,)


def elu(input, alpha=1.0, inplace=False) -> Tensor:
    """input where input > 0, else alpha (e^input - 1). Clevert et al., 2015."""
    return _elu("elu", input, alpha, 1.0, 1.0, inplace)


def selu(input, inplace=False) -> Tensor:
    """elu scaled so that activations keep mean 0 and variance 1. Klambauer et al., 2017."""
    return _elu("selu", input, SELU_ALPHA, SELU_SCALE, 1.0, inplace)


def celu(input, alpha=1.0, inplace=False) -> Tensor:
    """input where input > 0, else alpha (e^(input / alpha) - 1). Barron, 2017."""
    if alpha == 0:
        raise RuntimeError("celu: alpha must not be 0")
    return _elu("celu", input, alpha, 1.0, 1.0 / alpha, inplace)


def _elu(op, x, alpha, scale, inner, inplace):
    x = _floating(op, x)
    y = _target(x, inplace)
    K.elu(y, x.array, alpha, scale, inner)
    return _done(x, y, elu_backward, (x, alpha, scale, inner))


def elu_backward(node, dy):
    return _backward(node, dy, K.elu_backward)


def gelu(input, approximate="none") -> Tensor:
    """input Phi(input), Phi the normal distribution function. Hendrycks and Gimpel, 2016.

    approximate="tanh": input (1 + tanh(sqrt(2/pi) (input + 0.044715 input^3))) / 2.
    """
    input = _floating("gelu", input)
    if approximate == "none":
        return _of_input(input, K.gelu, gelu_backward)
    if approximate == "tanh":
        return _of_input(input, K.gelu_tanh, gelu_tanh_backward)
    raise RuntimeError(f"gelu: approximate must be 'none' or 'tanh', got {approximate!r}")


def _of_input(x, kernel, backward):
    y = empty_like(x.array)
    kernel(y, x.array)
    return record(y, backward, (x,), (x,))


def gelu_backward(node, dy):
    return _backward(node, dy, K.gelu_backward)


def gelu_tanh_backward(node, dy):
    return _backward(node, dy, K.gelu_tanh_backward)


def silu(input, inplace=False) -> Tensor:
    """input sigmoid(input)."""
    input = _floating("silu", input)
    y = _target(input, inplace)
    K.silu(y, input.array, 1.0)
    return _done(input, y, silu_backward, (input, 1.0))


def silu_backward(node, dy):
    return _backward(node, dy, K.silu_backward)


def swish(x, beta=1.0) -> Tensor:
    """x sigmoid(beta x); beta is a number, or a Tensor to be learnt. Ramachandran et al., 2017."""
    if isinstance(beta, Tensor):
        return mul(x, sigmoid(mul(x, beta)))
    x = _floating("swish", x)
    y = empty_like(x.array)
    K.silu(y, x.array, beta)
    return record(y, silu_backward, (x,), (x, beta))


def mish(input, inplace=False) -> Tensor:
    """input tanh(log(1 + e^input)). Misra, 2019."""
    input = _floating("mish", input)
    y = _target(input, inplace)
    K.mish(y, input.array)
    return _done(input, y, mish_backward, (input,))


def mish_backward(node, dy):
    return _backward(node, dy, K.mish_backward)


def softplus(input, beta=1.0, threshold=20.0) -> Tensor:
    """log(1 + e^(beta input)) / beta, and input where beta input > threshold."""
    input = _floating("softplus", input)
    y = empty_like(input.array)
    K.softplus(y, input.array, beta, threshold)
    return record(y, softplus_backward, (input,), (input, beta, threshold))


def softplus_backward(node, dy):
    return _backward(node, dy, K.softplus_backward)


def softsign(input) -> Tensor:
    """input / (1 + |input|)."""
    return _of_input(as_float("softsign", input), K.softsign, softsign_backward)


def softsign_backward(node, dy):
    return _backward(node, dy, K.softsign_backward)


def hardsigmoid(input, inplace=False) -> Tensor:
    """min(max(input + 3, 0), 6) / 6."""
    input = _floating("hardsigmoid", input)
    y = _target(input, inplace)
    K.hardsigmoid(y, input.array)
    return _done(input, y, hardsigmoid_backward, (input,))


def hardsigmoid_backward(node, dy):
    return _backward(node, dy, K.hardsigmoid_backward)


def hardswish(input, inplace=False) -> Tensor:
    """input min(max(input + 3, 0), 6) / 6. Howard et al., Searching for MobileNetV3, 2019."""
    input = _floating("hardswish", input)
    y = _target(input, inplace)
    K.hardswish(y, input.array)
    return _done(input, y, hardswish_backward, (input,))


def hardswish_backward(node, dy):
    return _backward(node, dy, K.hardswish_backward)


def logsigmoid(input) -> Tensor:
    """log(1 / (1 + e^-input))."""
    return _of_input(_floating("logsigmoid", input), K.logsigmoid, logsigmoid_backward)


def logsigmoid_backward(node, dy):
    return _backward(node, dy, K.logsigmoid_backward)


def tanhshrink(input) -> Tensor:
    """input - tanh(input)."""
    return _of_input(as_float("tanhshrink", input), K.tanhshrink, tanhshrink_backward)


def tanhshrink_backward(node, dy):
    return _backward(node, dy, K.tanhshrink_backward)


def softshrink(input, lambd=0.5) -> Tensor:
    """input - lambd where input > lambd, input + lambd where input < -lambd, else 0."""
    if lambd < 0:
        raise RuntimeError(f"softshrink: lambd must not be negative, got {lambd}")
    return _shrink("softshrink", input, K.softshrink, lambd)


def hardshrink(input, lambd=0.5) -> Tensor:
    """input where |input| > lambd, else 0."""
    return _shrink("hardshrink", input, K.hardshrink, lambd)


def _shrink(op, x, kernel, lambd):
    x = _floating(op, x)
    y = empty_like(x.array)
    kernel(y, x.array, lambd)
    return record(y, shrink_backward, (x,), (x, lambd))


def shrink_backward(node, dy):
    return _backward(node, dy, K.shrink_backward)


def threshold(input, threshold, value, inplace=False) -> Tensor:
    """input where input > threshold, else value."""
    input = as_tensor("threshold", input)
    y = _target(input, inplace)
    K.threshold(y, input.array, threshold, value)
    return _done(input, y, threshold_backward, (input, threshold))


def threshold_backward(node, dy):
    return _backward(node, dy, K.threshold_backward)


def squared_relu(x) -> Tensor:
    """max(x, 0)^2. So et al., Primer, 2021."""
    return _of_input(_floating("squared_relu", x), K.squared_relu, squared_relu_backward)


def squared_relu_backward(node, dy):
    return _backward(node, dy, K.squared_relu_backward)


def step(x) -> Tensor:
    """1 where x > 0, else 0; the gradient is 0."""
    x = _floating("step", x)
    y = empty_like(x.array)
    K.step(y, x.array)
    return record(y, zero_backward, (x,))


# Gates: x is cut in halves a and b along dim, and y = a f(b) has half its size there.
# Dauphin et al., 2017 (glu); Shazeer, GLU Variants Improve Transformer, 2020 (the others).


def glu(input, dim=-1) -> Tensor:
    """a sigmoid(b) of the halves a and b of input along dim. Dauphin et al., 2017. RuntimeError for an odd size."""
    return _gate("glu", input, dim, K.glu, glu_backward)


def glu_backward(node, dy):
    return _gate_backward(node, dy, K.glu_backward)


def reglu(x, dim=-1) -> Tensor:
    """a relu(b) of the halves a and b of x along dim. Shazeer, 2020. RuntimeError for an odd size."""
    return _gate("reglu", x, dim, K.reglu, reglu_backward)


def reglu_backward(node, dy):
    return _gate_backward(node, dy, K.reglu_backward)


def geglu(x, dim=-1) -> Tensor:
    """a gelu(b) of the halves a and b of x along dim. Shazeer, 2020. RuntimeError for an odd size."""
    return _gate("geglu", x, dim, K.geglu, geglu_backward)


def geglu_backward(node, dy):
    return _gate_backward(node, dy, K.geglu_backward)


def swiglu(x, dim=-1) -> Tensor:
    """a silu(b) of the halves a and b of x along dim. Shazeer, 2020. RuntimeError for an odd size."""
    return _gate("swiglu", x, dim, K.swiglu, swiglu_backward)


def swiglu_backward(node, dy):
    return _gate_backward(node, dy, K.swiglu_backward)


def bilinear_gate(x, dim=-1) -> Tensor:
    """a b of the halves a and b of x along dim. Shazeer, 2020. RuntimeError for an odd size."""
    return _gate("bilinear_gate", x, dim, E.mul, bilinear_gate_backward)


def bilinear_gate_backward(node, dy):
    return _gate_backward(node, dy, E.mul_backward)


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
