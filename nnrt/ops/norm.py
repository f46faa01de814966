"""Normalisation: batch, group, instance, layer, RMS and local response norm.

    y = x̂ w + b     x̂ = (x - mean) rstd     rstd = 1 / √(var + eps)

dx, dw and db stand in nnrt._ref.norm: they are sums over the same memory as the statistics, and the
kernels take them in the same passes. Statistics are kept in float64.

Legend: N batch, C channels, L pixels (all spatial axes), G groups of channels. Batch, group and
instance norm read channels-last memory, [N, L, C]: batch norm is one batch of N L rows with
statistics for every channel, instance norm the same for every N. Ioffe and Szegedy, 2015; Ba et al., 2016; Ulyanov et
al., 2016; Wu and He, 2018; Zhang and Sennrich, 2019; Krizhevsky et al., 2012.
"""

import math

import numpy as np

from .. import memory, registry
from ..autograd import record, record_many
from ..tensor import Tensor, bump
from .binary import pow
from .elementwise import div
from .promotion import not_tensors
from .unary import sqrt, square

K = registry.family("norm")
U = registry.family("unary")
E = registry.family("elementwise")


# ---- batch norm ----


def batch_norm(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
) -> Tensor:
    """Normalises every channel of input [N, C, ...] over the batch and all pixels.

    running_mean, running_var: [C] or None. training: use the batch's statistics and move the running ones
    by `momentum` towards them (the variance with count - 1); otherwise use the running ones. weight,
    bias: [C] or None.

    RuntimeError for sizes and dtypes that do not fit, and without running statistics where they are needed;
    ValueError in training for one value per channel, eps <= 0, or one of the running statistics alone.
    Nothing has changed then.
    """
    return batch_norm_activated(input, running_mean, running_var, weight, bias, training, momentum, eps)


def batch_norm_activated(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5, activation=None,
    residual=None,
):  # fmt: skip
    """activation(batch_norm + residual) in the same pass over memory: "relu" or None; residual: like input, or None."""
    op = "batch_norm"
    if activation not in (None, "relu"):
        raise ValueError(f"{op}: activation must be None or 'relu', got {activation!r}")
    if type(eps) is not float or type(momentum) is not float:
        _check_numbers(op, eps=eps, momentum=momentum)
    fit = _vectors_fit(input, running_mean, running_var, weight, bias)
    if not fit or training and (running_mean.requires_grad or running_var.requires_grad):
        _checked(op, input, weight, bias)
        _check_running(op, running_mean, running_var, input.array.dtype, input.array.shape[1], not training)
    a = input.array
    if residual is not None and not (isinstance(residual, Tensor) and memory.alike(residual.array, a)):
        raise RuntimeError(f"{op}: residual must be a tensor like the input, {a.dtype} {a.shape}, got {residual!r}")
    c = a.shape[1]
    count = a.size // c if c else 0
    if training:
        if count == 1:
            raise ValueError(f"{op}: wants more than 1 value per channel when training, got input of shape {a.shape}")
        if eps <= 0:
            raise ValueError(f"{op}: eps must be positive when training, got {eps}")
    if a.size == 0:
        return _empty(input, weight, bias, residual)
    x = _as(a, (1, count, c))
    if training:
        mean, rstd = np.empty((2, 1, c))
        if running_mean is None:
            K.batch_moments(mean, rstd, None, None, x, None, None, momentum, eps)
        else:
            moving = running_mean.array, running_var.array
            K.batch_moments(mean, rstd, *moving, x, *moving, momentum, eps)
            bump(running_mean)
            bump(running_var)
    else:
        mean, rstd = _wide(running_mean), _rstd(_wide(running_var), eps)
    return _normalized(input, x, mean, rstd, weight, bias, activation, not training, residual)


def _normalized(input, x, mean, rstd, weight, bias, activation, fixed, residual=None):
    """The op's result from channels-last x and its statistics; fixed: these do not depend on x."""
    y = _empty_images(x, input.array)
    shape = x.shape
    r = None if residual is None else _as(residual.array, shape)
    K.normalize(_as(y, shape), x, mean, rstd, _array(weight), _array(bias), r, activation)
    passed = None if r is None or activation is None else y
    saved = (input, x, mean, rstd, weight, bias, activation, fixed, passed)
    return record(y, batch_norm_backward, (input, weight, bias, residual), saved)


def batch_norm_backward(node, dy):
    a, x, mean, rstd, w, b, activation, fixed, y = node.saved
    dr = yl = drl = None
    shape = x.shape
    if y is not None:
        dr, yl = _empty_images(x, a), _as(y, shape)
        drl = _as(dr, shape)
    elif node.needs(3):
        dr = dy
    if not (node.needs(0) or node.needs(1) or node.needs(2) or drl is not None):
        return None, None, None, dr
    alone = dr is not dy and memory.channels_last(dy) is not None
    dx = node.room(dy, dy) if alone else _empty_images(x, a)
    dw = memory.empty(x.shape[2:], x.dtype) if node.needs(1) else None
    db = memory.empty(x.shape[2:], x.dtype) if node.needs(2) else None
    w, b = (None if v is None else memory.contiguous(v) for v in (w, b))
    K.normalize_backward(_as(dx, shape), drl, dw, db, _as(dy, shape), x, yl, mean, rstd, w, b, activation, fixed)
    return (dx if node.needs(0) else None), dw, db, (dr if node.needs(3) else None)


# ---- group and instance norm ----


def group_norm(input, num_groups, weight=None, bias=None, eps=1e-5) -> Tensor:
    """Normalises input [N, C, ...] over C / num_groups channels at a time and all pixels, each sample for itself.

    weight, bias: [C] or None; eps is added to the variance. RuntimeError for fewer than 2 dimensions, sizes and dtypes
    that do not fit; ValueError for one sample whose groups have one value each.
    """
    op = "group_norm"
    a, c = _checked(op, input, weight, bias)
    if not hasattr(num_groups, "__index__"):
        raise TypeError(f"{op}: num_groups must be an int, got {num_groups!r}")
    if num_groups <= 0:
        raise RuntimeError(f"{op}: num_groups must be greater than 0, got {num_groups}")
    if c % num_groups:
        raise RuntimeError(f"{op}: {c} channels (input of shape {a.shape}) do not make {num_groups} groups of equal size")
    if a.size and a.size == num_groups:
        raise ValueError(f"{op}: wants more than 1 value per group, got input of shape {a.shape} and {num_groups} groups")
    _check_numbers(op, eps=eps)
    return _grouped(input, a, num_groups, weight, bias, eps)


def instance_norm(
    input, running_mean=None, running_var=None, weight=None, bias=None, use_input_stats=True, momentum=0.1, eps=1e-5
) -> Tensor:
    """Normalises every channel of every sample of input [N, C, ...] over its pixels.

    running_mean, running_var: [C] or None; use_input_stats moves them by `momentum` towards the mean
    over the batch of the samples' statistics; without it they are what input is normalised with.
    weight, bias: [C] or None; eps is added to the variance. Errors as batch_norm's.
    """
    op = "instance_norm"
    a, c = _checked(op, input, weight, bias)
    _check_running(op, running_mean, running_var, a.dtype, c, not use_input_stats)
    _check_numbers(op, eps=eps, momentum=momentum)
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    count = math.prod(a.shape[2:])
    if count == 1:
        raise ValueError(f"{op}: wants more than 1 spatial element when training, got input of shape {a.shape}")

    def move(mean, var):
        if running_mean is not None:
            _move(running_mean, mean.mean(axis=0), momentum, 1.0)
            _move(running_var, var.mean(axis=0), momentum, count / (count - 1))

    return _grouped(input, a, c, weight, bias, eps, move)


def _grouped(input, a, groups, weight, bias, eps, see=None):
    """y for statistics of every sample; `see` is shown them."""
    if a.size == 0:
        return _empty(input, weight, bias)
    x = _pixels(a)
    mean, var = _moments(x, groups)
    if see is not None:
        see(mean, var)
    return _normalized(input, x, mean, _rstd(var, eps), weight, bias, None, False)


# ---- what these share ----


def _pixels(a):
    """a [N, C, ...] as C-ordered [N, L, C]: a view where its memory is channels-last."""
    x = memory.channels_last(a)
    if x is not None:
        n, _, _, _, c = x.shape
        return x.reshape(n, x.size // (n * c), c)
    if a.ndim > 2:
        a = a.transpose(0, *range(2, a.ndim), 1)
    return memory.contiguous(a).reshape(len(a), math.prod(a.shape[1:-1]), a.shape[-1])


def _as(a, shape):
    """The pixels of a [N, C, ...] in this shape, whose last axis is C."""
    x = memory.channels_last(a)
    return (_pixels(a) if x is None else x).reshape(shape)


def _empty_images(x, a):
    """An uninitialised array like a [N, C, ...] in channels-last memory, as x's pixels lie; not a view: the tape keeps it."""
    if memory.channels_last(a) is not None:
        return memory.empty_like(a)
    shape = a.shape
    x = x.reshape(shape[0], *shape[2:], shape[1])
    return memory.empty_like(x if len(shape) == 2 else x.transpose(0, len(shape) - 1, *range(1, len(shape) - 1)))


def _vectors_fit(input, mean, var, weight, bias):
    """The usual case of batch_norm in as few comparisons as it takes. False: look again, and say what is wrong."""
    try:
        a = input.array
        shape, dtype = a.shape[1:2], a.dtype
        for v in (mean.array, var.array):
            if v.shape != shape or v.dtype is not dtype:
                return False
        for t in (weight, bias):
            if t is not None and (t.array.shape != shape or t.array.dtype is not dtype):
                return False
        return a.ndim > 1 and dtype.char in "fd"
    except AttributeError:
        return False


def _checked(op, input, weight, bias):
    """(array, channels) of a floating input [N, C, ...] whose weight and bias are [C]."""
    if not isinstance(input, Tensor):
        raise not_tensors(op, input=input)
    a = input.array
    if a.ndim < 2:
        raise RuntimeError(f"{op}: wants at least 2 dimensions [N, C, ...], got input of shape {a.shape}")
    _check_dtypes(op, a, weight, bias)
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.array.shape != a.shape[1:2]:
            raise RuntimeError(
                f"{op}: {name} must have shape ({a.shape[1]},) for input of shape {a.shape}, got {t.array.shape}"
            )
    return a, a.shape[1]


def _check_dtypes(op, a, weight, bias):
    if a.dtype.char not in "fd":
        raise RuntimeError(f"{op}: wants a float32 or float64 tensor, got {a.dtype}")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and not isinstance(t, Tensor):
            raise not_tensors(op, **{name: t})
        if t is not None and t.array.dtype != a.dtype:
            raise RuntimeError(f"{op}: arguments must have one dtype, got input {a.dtype}, {name} {t.array.dtype}")


def _check_numbers(op, **given):
    for name, value in given.items():
        if not hasattr(value, "__float__"):
            raise TypeError(f"{op}: {name} must be a number, got {value!r}")


def _check_running(op, mean, var, dtype, channels, needed):
    if needed and (mean is None or var is None):
        name = "running_mean" if mean is None else "running_var"
        raise RuntimeError(f"{op}: {name} must be given where the batch's own statistics are not used")
    if (mean is None) != (var is None):
        raise ValueError(f"{op}: running_mean and running_var must both be given or both be None")
    for name, t in (("running_mean", mean), ("running_var", var)):
        if t is None:
            continue
        if not isinstance(t, Tensor):
            raise not_tensors(op, **{name: t})
        if t.array.shape != (channels,):
            raise RuntimeError(f"{op}: {name} must have shape ({channels},), got {t.array.shape}")
        if t.array.dtype != dtype:
            raise RuntimeError(f"{op}: arguments must have one dtype, got input {dtype}, {name} {t.array.dtype}")
        if not needed and t.requires_grad:
            raise RuntimeError(f"{op}: {name} is changed in place and must not require a gradient")


def _array(t):
    return None if t is None else memory.contiguous(t.array)


def _wide(t):
    return t.array.astype(np.float64).reshape(1, -1)


def _moments(x, groups):
    mean, var = np.empty((2, len(x), groups))
    K.moments(mean, var, x, groups)
    return mean, var


def _rstd(var, eps):
    rstd = var + eps
    U.rsqrt(rstd, rstd)
    return rstd


def _move(running, value, momentum, scale):
    """running += momentum (scale value - running), in place."""
    a = running.array
    K.move(a, a, value, momentum, scale)
    bump(running)


def _empty(*inputs):
    """The result where there is nothing to normalise: gradients are zeros."""
    return record(memory.empty_like(inputs[0].array), empty_norm_backward, inputs, inputs)


def empty_norm_backward(node, dy):
    return tuple(memory.zeros(a.shape, a.dtype) if node.needs(i) else None for i, a in enumerate(node.saved))


# ---- layer norm and RMS norm ----


def layer_norm(input, normalized_shape, weight=None, bias=None, eps=1e-5) -> Tensor:
    """Normalises over the last axes, those of normalized_shape (a tuple of sizes), each for itself.

    weight, bias: of normalized_shape or None; eps is added to the variance. RuntimeError for sizes or dtypes that do not
    fit.
    """
    return _normalized_rows("layer_norm", input, None, normalized_shape, weight, bias, eps, True)


def rms_norm(input, normalized_shape, weight=None, eps=None) -> Tensor:
    """x / √(mean of x² + eps) over the last axes, those of normalized_shape, times weight.

    eps None: the distance from 1 to the next number of the dtype. Errors as for layer_norm.
    """
    return _normalized_rows("rms_norm", input, None, normalized_shape, weight, None, eps, False)


def add_layer_norm(input, residual, normalized_shape, weight=None, bias=None, eps=1e-5) -> tuple[Tensor, Tensor]:
    """(layer_norm(input + residual), input + residual), in one pass over memory forward and one backward.

    input, residual: of one shape and dtype; the rest as layer_norm's. Both results can be differentiated.
    """
    return _normalized_rows("add_layer_norm", input, residual, normalized_shape, weight, bias, eps, True)


def add_rms_norm(input, residual, normalized_shape, weight=None, eps=None) -> tuple[Tensor, Tensor]:
    """(rms_norm(input + residual), input + residual), in one pass over memory forward and one backward.

    input, residual: of one shape and dtype; the rest as rms_norm's. Both results can be differentiated.
    """
    return _normalized_rows("add_rms_norm", input, residual, normalized_shape, weight, None, eps, False)


def _normalized_rows(op, input, residual, shape, weight, bias, eps, centred):
    """Layer norm (centred) or RMS norm of input, or of input + residual and then that sum too."""
    if not _fits(input, residual, shape, weight, bias, op):
        shape = _checked_rows(op, input, shape, weight, bias, residual)
    a = input.array
    if a.size == 0:
        total = input if residual is None else input + residual
        y = _empty(total, weight, bias)
        return y if residual is None else (y, total)
    x = _rows(a, shape)
    if eps is None:
        eps = np.finfo(x.dtype).eps
    elif type(eps) is not float:
        _check_numbers(op, eps=eps)
    y = memory.empty(a.shape, x.dtype)
    mean = memory.empty((len(x),), np.float64) if centred else None
    rstd = memory.empty((len(x),), np.float64)
    if residual is None:
        K.layer_norm(y.reshape(x.shape), None, mean, rstd, x, None, _row(weight), _row(bias), eps)
        return record(y, layer_norm_backward, (input, weight, bias), (input, x, mean, rstd, weight, shape))
    more, total = _rows(residual.array, shape), memory.empty(a.shape, x.dtype)
    K.layer_norm(y.reshape(x.shape), total.reshape(x.shape), mean, rstd, x, more, _row(weight), _row(bias), eps)
    saved = (total, mean, rstd, weight, shape)
    return record_many((y, total), add_layer_norm_backward, (input, residual, weight, bias), saved)


def _fits(input, residual, shape, weight, bias, op):
    """The usual case in as few comparisons as it takes: one axis, all in order. False: look again, and say what is wrong."""
    try:
        a = input.array
        return (
            type(shape) is tuple and len(shape) == 1 and a.shape[-1:] == shape and a.dtype.char in "fd"
            and (weight is None or weight.array.shape == shape and weight.array.dtype == a.dtype)
            and (bias is None or bias.array.shape == shape and bias.array.dtype == a.dtype)
            and (op[:3] != "add" if residual is None else residual.array.shape == a.shape and residual.array.dtype == a.dtype)
        )  # fmt: skip
    except AttributeError:
        return False


def layer_norm_backward(node, dy):
    a, x, mean, rstd, w, shape = node.saved
    dx, dw, db = _rows_backward(dy, None, x, mean, rstd, w, shape, a.shape, node.needs(1), node.needs(2))
    return (dx if node.needs(0) else None), dw, db


def add_layer_norm_backward(node, dy, dtotal):
    """The sum's own gradient is added to the norm's, and both terms of the sum have it."""
    total, mean, rstd, w, shape = node.saved
    if dy is None:
        return dtotal, dtotal, None, None
    x = _rows(total, shape)
    dx, dw, db = _rows_backward(dy, dtotal, x, mean, rstd, w, shape, dy.shape, node.needs(2), node.needs(3))
    return (dx if node.needs(0) else None), (dx if node.needs(1) else None), dw, db


def _rows_backward(dy, more, x, mean, rstd, w, shape, size, to_weight, to_bias):
    dx = memory.empty(size, x.dtype)
    dw = memory.empty(shape, x.dtype) if to_weight else None
    db = memory.empty(shape, x.dtype) if to_bias else None
    w, dw1, db1 = None if w is None else memory.contiguous(w), dw, db
    if len(shape) > 1:
        w, dw1, db1 = (None if v is None else v.reshape(-1) for v in (w, dw, db))
    more = None if more is None else _rows(more, shape)
    K.layer_norm_backward(dx.reshape(x.shape), dw1, db1, _rows(dy, shape), x, mean, rstd, w, more)
    return dx, dw, db


def _rows(a, shape):
    """a as C-ordered [R, D], D being all axes of `shape`."""
    return memory.contiguous(a).reshape(-1, shape[0] if len(shape) == 1 else math.prod(shape))


def _row(t):
    if t is None:
        return None
    a = memory.contiguous(t.array)
    return a if a.ndim == 1 else a.ravel()


def _checked_rows(op, input, normalized_shape, weight, bias, residual=None):
    """normalized_shape as a tuple, once everything fits."""
    if not isinstance(normalized_shape, (tuple, list)):
        raise TypeError(f"{op}: normalized_shape must be a tuple of sizes, got {type(normalized_shape).__name__}")
    shape = tuple(normalized_shape)
    if not shape:
        raise RuntimeError(f"{op}: normalized_shape must have at least one size, got {shape}")
    if not isinstance(input, Tensor):
        raise not_tensors(op, input=input)
    a = input.array
    if a.shape[max(a.ndim - len(shape), 0) :] != shape:
        raise RuntimeError(f"{op}: input of shape {a.shape} must end in normalized_shape = {shape}")
    _check_dtypes(op, a, weight, bias)
    if op.startswith("add"):
        if not isinstance(residual, Tensor):
            raise not_tensors(op, residual=residual)
        if residual.array.shape != a.shape or residual.array.dtype != a.dtype:
            r = residual.array
            raise RuntimeError(f"{op}: residual must be {a.dtype} {a.shape} as input, got {r.dtype} {r.shape}")
    for name, t in (("weight", weight), ("bias", bias)):
        if t is not None and t.array.shape != shape:
            raise RuntimeError(f"{op}: {name} must be of normalized_shape = {shape}, got shape {t.array.shape}")
    return shape


# ---- local response norm ----


def local_response_norm(input, size, alpha=1e-4, beta=0.75, k=1.0) -> Tensor:
    """x / (k + alpha / size Σ x²)^beta, summed over `size` neighbouring channels; those outside count as 0.

    input: [N, C, ...] with at least 3 dimensions, or ValueError.
    """
    op = "local_response_norm"
    if not isinstance(input, Tensor):
        raise not_tensors(op, input=input)
    if input.ndim < 3:
        raise ValueError(f"{op}: wants at least 3 dimensions [N, C, ...], got input of shape {tuple(input.shape)}")
    if not hasattr(size, "__index__"):
        raise TypeError(f"{op}: size must be an int, got {size!r}")
    if size < 1:
        raise RuntimeError(f"{op}: size must be positive, got {size}")
    _check_numbers(op, alpha=alpha, beta=beta, k=k)
    if input.array.size == 0:
        return input
    total = _neighbours(square(input), size // 2, (size - 1) // 2) * (alpha / size) + k
    if beta == 0.75:  # roots cost a tenth of a power
        root = sqrt(total)
        return div(input, root * sqrt(root))
    return div(input, pow(total, beta))


def _neighbours(x, before, after):
    """The sum over every channel, `before` channels before it and `after` behind it."""
    return record(_neighbour_sum(x.array, before, after), neighbours_backward, (x,), (before, after))


def neighbours_backward(node, dy):
    before, after = node.saved
    return (_neighbour_sum(dy, after, before),)


def _neighbour_sum(a, before, after):
    a = memory.dense(a)
    total = memory.empty_like(a)
    total[...] = a
    for step in range(1, min(max(before, after), a.shape[1] - 1) + 1):
        for wanted, to, of in ((before, total[:, step:], a[:, :-step]), (after, total[:, :-step], a[:, step:])):
            if step <= wanted:
                E.add(to, to, of)
    return total
