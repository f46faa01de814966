"""Directional gradient check: <grad f(x), u> against central differences of f along u.

f(x) = sum_k <w_k, func(x)_k> with random weights w, so one number checks every entry of every
gradient at once: an error in any of them shows with probability one along a random direction.
Each input is moved alone, so a failure names it. Where the slopes on both sides of x differ
(a kink), the direction is drawn anew.
"""

import numpy as np

from . import autograd
from .tensor import Tensor, wrap

# How often a direction is drawn anew before x itself is called a kink.
REDRAWS = 8


def gradcheck(
    func, inputs, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, directions=2, seed=0, *,
    nondet_tol=0.0, check_undefined_grad=True, check_grad_dtypes=False, fast_mode=False,
):
    """Whether gradients g of func at inputs agree with differences d along random directions.

    func(*inputs) -> Tensor or sequence of Tensors; inputs: Tensors or other arguments; those with
    requires_grad must be float64 and are checked. Returns True, or raises RuntimeError naming the
    input and both numbers (returns False with raise_exception=False). ValueError when nothing can be checked.
    They agree where |g - d| <= atol + rtol max(|g|, |d|). eps: the step to either side; directions: how many for each input,
    drawn from seed.
    The last four are torch's and change nothing: the check is always the one that torch calls fast.
    """
    inputs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    checked = [i for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: no input requires a gradient")
    for i in checked:
        if inputs[i].dtype != np.float64:
            raise ValueError(f"gradcheck: inputs[{i}] is {inputs[i].dtype}; differences need float64")
    rng = np.random.default_rng(seed)
    outputs = _outputs(func, inputs)
    weights = [rng.standard_normal(o.shape) for o in outputs]
    tracked = [(o, wrap(np.asarray(w))) for o, w in zip(outputs, weights) if o.requires_grad]
    if not tracked:
        raise ValueError("gradcheck: no output of func depends on an input that requires a gradient")
    grads = autograd.grad(
        [o for o, _ in tracked], [inputs[i] for i in checked], [w for _, w in tracked], allow_unused=True
    )
    for i, g in zip(checked, grads):
        analytic = np.zeros(inputs[i].shape) if g is None else g.numpy()
        if analytic.shape != tuple(inputs[i].shape):
            return _fail(raise_exception, f"the gradient of inputs[{i}] has shape {analytic.shape}, the input {inputs[i].shape}")
        for _ in range(directions if inputs[i].array.size else 0):
            numeric, u = _slope(func, inputs, i, weights, eps, rng)
            want = float((analytic * u).sum())
            if not abs(numeric - want) <= atol + rtol * max(abs(numeric), abs(want)):
                return _fail(
                    raise_exception,
                    f"inputs[{i}] (shape {tuple(inputs[i].shape)}): along a random direction the gradient gives {want:.10g}, "
                    f"differences give {numeric:.10g}",
                )
    return True


def _slope(func, inputs, i, weights, eps, rng):
    """Central difference of f along a random unit-scale direction of input i, and that direction."""
    x = inputs[i].array
    for _ in range(REDRAWS):
        u = rng.standard_normal(x.shape)
        below, here, above = (_value(func, inputs, i, np.asarray(x + t * u), weights) for t in (-eps, 0.0, eps))
        left, right = (here - below) / eps, (above - here) / eps
        # A smooth f has |right - left| = O(eps |f''|); the second term is rounding.
        if abs(right - left) <= 1e-3 * (abs(left) + abs(right)) + 1e-15 * abs(here) / eps + 1e-6:
            break
    return (above - below) / (2 * eps), u


def _value(func, inputs, i, moved, weights):
    """f with input i replaced."""
    arguments = [x.detach() if isinstance(x, Tensor) else x for x in inputs]
    arguments[i] = wrap(np.asarray(moved))  # 0-d arithmetic makes scalars, which would lose their dtype
    with autograd.no_grad():
        outputs = _outputs(func, arguments)
    return sum(float((w * o.array).sum()) for w, o in zip(weights, outputs) if o.array.dtype.kind == "f")


def _outputs(func, inputs):
    result = func(*inputs)
    return [result] if isinstance(result, Tensor) else [o for o in result if isinstance(o, Tensor)]


def _fail(raise_exception, message):
    if raise_exception:
        raise RuntimeError(f"gradcheck: {message}")
    return False
