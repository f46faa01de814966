"""Changes in place: x is overwritten and returned.

Off the tape arithmetic runs in x's own memory where that can take each result as it is computed; the rest computes its
result first, so that an error leaves x as it was. On the tape, where x or another argument requires a gradient, x becomes
the result of the recorded operation: its place on the tape and its memory, while what an earlier backward needs stays as it
was. Views of x would not see that, so that x must be the only one that refers to its memory.

All raise RuntimeError for leaves that require a gradient (outside no_grad), for memory that is read-only, for results that do
not fit x's shape or dtype, and on the tape for memory that others refer to.
"""

from sys import getrefcount

import numpy as np

from .. import autograd, memory
from ..tensor import Tensor, bump, wrap
from . import (
    activation,
    arrange,
    binary,
    compare,
    cumulative,
    elementwise,
    index,
    masks,
    products,
    promotion,
    random,
    scatter,
    shape,
    statistics,
    ternary,
    trigonometry,
    unary,
)

# ---- on the tape ----


def free(op, t, other):
    """Whether the tape need not know of a change of t by `other`. RuntimeError for leaves whose gradient is wanted."""
    if not autograd.grad_enabled():
        return True
    if t._requires_grad:
        if t.node is None:
            raise RuntimeError(
                f"{op}: a leaf that requires a gradient cannot be changed in place; "
                "use nnrt.no_grad(), or the out-of-place operation"
            )
        return False
    return not (isinstance(other, Tensor) and other._requires_grad)


def _check_free(op, t):
    if not free(op, t, None):
        raise RuntimeError(f"{op}: samples are not recorded on the tape, and this tensor requires a gradient: use nnrt.no_grad()")


def _holders(t):
    """How many refer to t's array, and how many to the array whose memory that shows."""
    a = t.array
    base = a.base
    return getrefcount(a), getrefcount(base) if isinstance(base, np.ndarray) else 0


_ONE_HOLDER = _holders(wrap(np.zeros(2)[:1]))


def _check_alone(op, holders):
    """Raises RuntimeError where views, arrays or what a backward needs share the memory of a tensor with these _holders."""
    if holders[0] > _ONE_HOLDER[0] or holders[1] > _ONE_HOLDER[1]:
        raise RuntimeError(
            f"{op}: on the tape a tensor can be changed in place while no view, array or backward shares its memory, as one "
            "does here: change a clone(), or use the out-of-place operation"
        )


def become(op, t, value):
    """t += ... on the tape: t takes the memory of `value`, its place on the tape and its requires_grad. Returns t."""
    _check_fits(op, t, value.array)
    if value.array.dtype != t.array.dtype:
        value = value.to(t.array.dtype)
    if value.array.shape != t.array.shape:
        value = shape.expand(value, t.array.shape).clone()
    t.array, t.version, t.node, t._requires_grad = value.array, value.version, value.node, value._requires_grad
    return t


def setitem(t, key, value, op="setitem"):
    """t[key] = value, broadcast and converted."""
    recorded = not free(op, t, value)
    if recorded:
        _check_alone(op, _holders(t))
    index.setitem(t, key, value)
    bump(t)
    if recorded:
        given = value if isinstance(value, Tensor) else None
        like = None if given is None else (given.array.shape, given.array.dtype)
        autograd.attach((t,), setitem_backward, (t, given), (index.parsed(key, t.array.ndim), like))
        autograd.watched(t, *(key if type(key) is tuple else (key,)))


def setitem_backward(node, dy):
    """dx = dy but 0 at the key; dvalue = dy at the key, 0 where an index is repeated and a later value stayed."""
    key, like = node.saved
    dx = dvalue = None
    if node.needs(0):
        dx = memory.copy(dy)
        at, rest = index.placed(dx, *key)
        at[rest] = 0
    if node.needs(1):
        at, rest = index.placed(dy, *key)
        dvalue = at[rest]
        if rest is not Ellipsis:
            number = np.arange(dvalue.size).reshape(dvalue.shape)
            last = np.zeros(at.shape, np.int64)
            last[rest] = number
            dvalue = np.where(last[rest] == number, dvalue, 0)
        size, dtype = like
        inner = size[max(len(size) - dvalue.ndim, 0) :]  # a value may have axes of size 1 in front of the key's
        dvalue = elementwise.sum_to(memory.contiguous(dvalue.astype(dtype, copy=False)), inner).reshape(size)
    return dx, dvalue


# ---- how results are stored ----


def _fits(t, other):
    """Whether t's memory can take the result of arithmetic with `other` as it is computed.

    That wants floats, no conversion, t's shape as the result's, and no overlap but that of t with itself.
    """
    a = t.array
    if a.dtype.kind != "f" or not a.flags.writeable:
        return False
    if not isinstance(other, Tensor):
        return type(other) is float or type(other) is int
    b = other.array
    if b is a:
        return True
    if b.dtype != a.dtype or b.ndim > a.ndim or np.may_share_memory(a, b):
        return False
    for i in range(1, b.ndim + 1):
        if b.shape[-i] != 1 and b.shape[-i] != a.shape[-i]:
            return False
    return True


def _assign(op, t, other, compute):
    """t[...] = compute(), checked; the new values are complete before the first is stored. On the tape t becomes them."""
    free(op, t, other)
    _check_writeable(op, t)
    holders = _holders(t)  # before the operation keeps t for its backward
    value = compute()
    if isinstance(value, Tensor) and value._requires_grad:
        _check_alone(op, holders)
        return become(op, t, value)
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    _check_fits(op, t, array)
    if not free(op, t, None):
        _check_alone(op, holders)
        t.detach_()
    t.array[...] = array
    return bump(t)


def _overwrite(op, t, value):
    """t[...] = value, of any dtype."""
    _check_writeable(op, t)
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    _check_shape(op, t, array)
    if free(op, t, value):
        t.array[...] = array  # where ints wrap around
        return bump(t)
    setitem(t, Ellipsis, value, op)
    return t


def _check_writeable(op, t):
    if not t.array.flags.writeable:
        raise RuntimeError(f"{op}: this tensor's memory is read-only: it was expanded, or an array lent it; clone() it first")


def _check_fits(op, t, array):
    if not promotion.can_cast(array.dtype, t.array.dtype):
        raise RuntimeError(f"{op}: the result is {array.dtype}, which does not fit a tensor of {t.dtype}")
    _check_shape(op, t, array)


def _check_shape(op, t, array):
    try:
        fits = np.broadcast_shapes(array.shape, t.array.shape) == t.array.shape
    except ValueError:
        fits = False
    if not fits:
        raise RuntimeError(f"{op}: a result of shape {array.shape} does not fit a tensor of shape {t.array.shape}")


# ---- arithmetic ----


def _arithmetic(op, x, other, alpha=1):
    """x = op(x, other), in x's own memory where it fits."""
    if type(alpha) is int and alpha == 1:
        if _fits(x, other) and free(op + "_", x, other):
            getattr(elementwise.K, op)(x.array, x.array, other.array if isinstance(other, Tensor) else float(other))
            return bump(x)
        return _assign(op + "_", x, other, lambda: getattr(elementwise, op)(x, other))
    return _assign(op + "_", x, other, lambda: getattr(elementwise, op)(x, other, alpha))


def add_(x, other, alpha=1):
    """x += alpha other."""
    return _arithmetic("add", x, other, alpha)


def sub_(x, other, alpha=1):
    """x -= alpha other."""
    return _arithmetic("sub", x, other, alpha)


def mul_(x, other):
    """x *= other."""
    return _arithmetic("mul", x, other)


def div_(x, other, rounding_mode=None):
    """x /= other. rounding_mode as :func:`div`'s."""
    if rounding_mode is not None:
        return _assign("div_", x, other, lambda: elementwise.div(x, other, rounding_mode))
    return _arithmetic("div", x, other)


def pow_(x, exponent):
    """x **= exponent."""
    return _assign("pow_", x, exponent, lambda: binary.pow(x, exponent))


def addcmul_(x, tensor1, tensor2, value=1):
    """x += value tensor1 tensor2."""
    return _assign("addcmul_", x, tensor1, lambda: ternary.addcmul(x, tensor1, tensor2, value))


def addcdiv_(x, tensor1, tensor2, value=1):
    """x += value tensor1 / tensor2."""
    return _assign("addcdiv_", x, tensor1, lambda: ternary.addcdiv(x, tensor1, tensor2, value))


def lerp_(x, end, weight):
    """x += weight (end - x)."""
    return _assign("lerp_", x, end, lambda: ternary.lerp(x, end, weight))


def clamp_(x, min=None, max=None):
    """x = x between min and max."""
    return _assign("clamp_", x, None, lambda: ternary.clamp(x, min, max))


# ---- functions of x alone ----


def _overwriting(family, name, kernels=None):
    """The method `name_`: x = family.name(x) in its own memory, or copied there where x does not hold floats."""
    op, function, kernels = name + "_", getattr(family, name), kernels or family.K

    def overwrite(x):
        if x.array.dtype.kind != "f" or not x.array.flags.writeable or not free(op, x, None):
            return _assign(op, x, None, lambda: function(x))
        getattr(kernels, name)(x.array, x.array)
        return bump(x)

    overwrite.__name__ = overwrite.__qualname__ = op
    overwrite.__doc__ = f"x = {name}(x)."
    return overwrite


neg_ = _overwriting(unary, "neg", elementwise.K)
abs_ = _overwriting(unary, "abs")
exp_ = _overwriting(unary, "exp")
log_ = _overwriting(unary, "log")
sqrt_ = _overwriting(unary, "sqrt")
rsqrt_ = _overwriting(unary, "rsqrt")
square_ = _overwriting(unary, "square")
reciprocal_ = _overwriting(unary, "reciprocal")
sin_ = _overwriting(trigonometry, "sin")
cos_ = _overwriting(trigonometry, "cos")
floor_ = _overwriting(unary, "floor")
ceil_ = _overwriting(unary, "ceil")
sigmoid_ = _overwriting(unary, "sigmoid")
tanh_ = _overwriting(unary, "tanh")
relu_ = _overwriting(activation, "relu")
negative_, absolute_ = neg_, abs_  # torch's other names


# ---- the others ----


def _storing(family, name):
    """The method `name_`: x = family.name(x, ...), computed first."""
    op, function = name + "_", getattr(family, name)

    def store(x, *args, **kwargs):
        return _assign(op, x, None, lambda: function(x, *args, **kwargs))

    store.__name__ = store.__qualname__ = op
    store.__doc__ = f"x = {name}(x, ...)."
    return store


_STORING = {
    unary: "trunc fix round frac exp2 expm1 log1p log2 log10 erf erfc erfinv logit nan_to_num sign sgn sinc lgamma digamma",
    trigonometry: "tan asin acos atan sinh cosh asinh acosh atanh deg2rad rad2deg arcsin arccos arctan arcsinh arccosh arctanh",
    elementwise: "subtract multiply divide true_divide",
    binary: "floor_divide remainder fmod atan2 arctan2 copysign hypot gcd lcm ldexp xlogy heaviside nextafter",
    compare: "eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not "
    "bitwise_left_shift bitwise_right_shift not_equal less less_equal greater greater_equal",
    ternary: "clip clamp_min clamp_max",
    products: "addmm addmv addr addbmm baddbmm",
    cumulative: "cumsum cumprod",
    arrange: "tril triu",
    masks: "masked_scatter",
    statistics: "renorm",
    scatter: "index_fill index_copy index_put scatter_reduce",
}
for _family, _names in _STORING.items():
    globals().update({name + "_": _storing(_family, name) for name in _names.split()})


def _reshaping(name):
    """The method `name_`: x becomes the view name(x, ...) of its memory."""
    op, function = name + "_", getattr(shape, name)

    def reshape(x, *args, **kwargs):
        free(op, x, None)
        made = function(x, *args, **kwargs)
        x.array, x.node = made.array, made.node
        return bump(x)

    reshape.__name__ = reshape.__qualname__ = op
    reshape.__doc__ = f"x becomes {name}(x, ...)."
    return reshape


squeeze_, unsqueeze_, transpose_, t_ = map(_reshaping, ("squeeze", "unsqueeze", "transpose", "t"))
swapaxes_, swapdims_ = map(_reshaping, ("swapaxes", "swapdims"))


# ---- elements ----


def fill_diagonal_(x, fill_value, wrap=False):
    """x = fill_value where all indices are the same; with wrap a tall matrix has more than one diagonal."""
    if x.array.ndim < 2 or (x.array.ndim > 2 and len({*x.array.shape}) > 1):
        raise RuntimeError(f"fill_diagonal_: wants a matrix or axes of one size, got shape {x.array.shape}")

    diagonal = np.zeros(x.array.shape, np.bool_)
    np.fill_diagonal(diagonal, True, wrap)
    return _assign("fill_diagonal_", x, None, lambda: masks.masked_fill(x, diagonal, fill_value))


def masked_fill_(x, mask, value):
    """x = value where mask is true."""
    return _assign("masked_fill_", x, None, lambda: masks.masked_fill(x, mask, value))


def scatter_(x, dim, index, src=None, value=None, reduce=None):
    """x[index] = src (a Tensor or a number, also as value=) along dim; reduce as :func:`scatter`'s."""
    return _assign("scatter_", x, src, lambda: scatter.scatter(x, dim, index, src, value, reduce))


def scatter_add_(x, dim, index, src):
    """x[index] += src along dim, repeated indices summed."""
    return _assign("scatter_add_", x, src, lambda: scatter.scatter_add(x, dim, index, src))


def index_add_(x, dim, index, source, alpha=1):
    """x[index] += alpha source, whole slices along dim."""
    return _assign("index_add_", x, source, lambda: scatter.index_add(x, dim, index, source, alpha))


def copy_(x, src, non_blocking=False):
    """Overwrites the values with src's (broadcast, converted). non_blocking: for torch's signature; copies are done on return."""
    return _overwrite("copy_", x, src)


def fill_(x, value):
    """x = value everywhere."""
    return _overwrite("fill_", x, value)


def zero_(x):
    """x = 0 everywhere."""
    return _overwrite("zero_", x, 0)


# ---- samples ----


def uniform_(x, a=0.0, b=1.0, generator=None) -> Tensor:
    """Overwrites with samples of U[a, b)."""
    _check_free("uniform_", x)
    random.uniform_into(x.array, a, b, generator)
    return bump(x)


def normal_(x, mean=0.0, std=1.0, generator=None) -> Tensor:
    """Overwrites with samples of N(mean, std^2)."""
    _check_free("normal_", x)
    random.normal_into(x.array, mean, std, generator)
    return bump(x)


def exponential_(x, lambd=1.0, generator=None):
    """Overwrites with samples of the density lambd exp(-lambd x), x > 0."""
    _check_free("exponential_", x)
    random.uniform_into(x.array, 0.0, 1.0, generator)
    least = np.finfo(x.array.dtype).eps / 2
    return _assign("exponential_", x, None, lambda: np.maximum(-np.log1p(-x.array), least) / lambd)


def log_normal_(x, mean=1.0, std=2.0, generator=None):
    """Overwrites with samples of exp(N(mean, std^2)). RuntimeError for std < 0."""
    if not std >= 0:
        raise RuntimeError(f"log_normal_: std must not be negative, got {std}")

    @np.errstate(over="ignore")
    def sampled():
        made = memory.empty(x.array.shape, x.array.dtype)
        random.normal_into(made, mean, std, generator)
        return np.exp(made, out=made)

    return _assign("log_normal_", _floating("log_normal_", x), None, sampled)


def cauchy_(x, median=0.0, sigma=1.0, generator=None):
    """Overwrites with samples of the density sigma / (π (sigma² + (x - median)²)). RuntimeError for sigma <= 0."""
    if not sigma > 0:
        raise RuntimeError(f"cauchy_: sigma must be positive, got {sigma}")

    @np.errstate(over="ignore")
    def sampled():
        return (median + sigma * np.tan(np.pi * (_uniform64(x, generator) - 0.5))).astype(x.array.dtype)

    return _assign("cauchy_", _floating("cauchy_", x), None, sampled)


def geometric_(x, p, generator=None):
    """Overwrites with samples of how many trials of probability p the first success takes: k with p (1 - p)^(k - 1).

    Any dtype but bool; what an integer cannot hold becomes its largest. RuntimeError otherwise and unless 0 < p < 1.
    """
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_: p must be within 0 and 1, both left out, got {p}")
    dtype = x.array.dtype
    if dtype.kind == "b":
        raise RuntimeError("geometric_: wants a tensor of numbers, got bool")

    def sampled():
        trials = np.maximum(np.ceil(np.log1p(-_uniform64(x, generator)) / np.log1p(-p)), 1)
        if dtype.kind in "iu":
            top = np.iinfo(dtype).max
            trials[trials >= top] = 0  # the largest int64 is no float
            return np.where(trials > 0, trials.astype(dtype), top)
        return trials.astype(dtype)

    return _assign("geometric_", x, None, sampled)


def _uniform64(x, generator):
    """Samples of U[0, 1) of x's shape, float64 whatever x is: tails need the small steps."""
    made = memory.empty(x.array.shape, np.float64)
    random.uniform_into(made, 0.0, 1.0, generator)
    return made


def _floating(op, x):
    if x.array.dtype.kind != "f":
        raise RuntimeError(f"{op}: wants a floating tensor, got {x.array.dtype}")
    return x


def random_(x, start=0, end=None, *, generator=None):
    """Overwrites with integers from start (0 with one argument, which is then the end) up to but without end.

    Without end: up to what the dtype holds exactly.
    """
    dtype = x.array.dtype
    if end is None:
        most = 2 ** (np.finfo(dtype).nmant + 1) + 1 if dtype.kind == "f" else 2 if dtype.kind == "b" else np.iinfo(dtype).max
        start, end = 0, start or most
    return _assign("random_", x, None, lambda: random.randint(start, end, x.array.shape, generator, dtype))


def bernoulli_(x, p=0.5, generator=None) -> Tensor:
    """Overwrites with 1 at probability p, else 0."""
    _check_free("bernoulli_", x)
    random.bernoulli_into(x.array, p, generator)
    return bump(x)
