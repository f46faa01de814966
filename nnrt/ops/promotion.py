"""Common dtypes and shapes of operands: torch's type promotion, and broadcasting.

A dtype's category is bool < integer < floating. Of the operands, tensors with axes decide;
0-d tensors and Python numbers only raise the category, and then bring the smallest dtype they
stand for (a Python float: the default float32, an int: int64).
"""

import numpy as np
from numpy import generic, ndarray

from .. import memory, registry
from ..autograd import record
from ..dtypes import get_default_dtype
from ..memory import empty_like
from ..tensor import Tensor, wrap

K = registry.family("elementwise")

FLOAT32 = np.dtype(np.float32)
INT64 = np.dtype(np.int64)
BOOL = np.dtype(np.bool_)
_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def default_float():
    """The dtype of Python floats: that of get_default_dtype()."""
    return get_default_dtype()


def _category(dtype):
    try:
        return _CATEGORY[dtype.kind]
    except KeyError:
        raise TypeError(
            f"promotion: dtypes are bool, integer and floating; {dtype} is none of them"
        ) from None


def promote_types(type1, type2) -> np.dtype:
    """The smallest dtype that holds both: of two categories the higher one's dtype as it is.

    Raises RuntimeError for uint64 with a signed integer, which no dtype holds.
    """
    a, b = np.dtype(type1), np.dtype(type2)
    if a == b:
        return a
    low, high = _category(a), _category(b)
    if low != high:
        return a if low > high else b
    both = np.promote_types(a, b)
    if both.kind != a.kind and both.kind == "f":
        raise RuntimeError(f"promote_types: no integer dtype holds both {a} and {b}")
    return both


def can_cast(from_, to) -> bool:
    """Whether a result of dtype from_ may be stored in place in dtype to: the category must not fall."""
    return _category(np.dtype(from_)) <= _category(np.dtype(to))


def result_type(tensor1, tensor2) -> np.dtype:
    """The dtype of arithmetic on two operands, each a Tensor or a Python number."""
    return common_type("result_type", tensor1, tensor2)


def common_type(op, *operands):
    """result_type of any number of operands."""
    found = [None, None, None]  # dtype of tensors with axes, of 0-d tensors, of numbers
    for value in operands:
        if isinstance(value, Tensor):
            rank, dtype = (0 if value.array.ndim else 1), value.array.dtype
        else:
            rank, dtype = 2, _number_type(op, value)
        found[rank] = dtype if found[rank] is None else promote_types(found[rank], dtype)
    result = None
    for dtype in found:
        if dtype is not None and (result is None or _category(dtype) > _category(result)):
            result = dtype
    return result


def _number_type(op, value):
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT64
    if isinstance(value, float):
        return default_float()
    raise TypeError(
        f"{op}: an operand must be a Tensor, an array or a real number, got {type(value).__name__}"
    )


def operands(op, x, other):
    """(a, b): Tensors of the common dtype, or Python numbers of its kind; at least one is a Tensor."""
    if isinstance(x, Tensor) and isinstance(other, Tensor):
        if x.array.dtype is other.array.dtype or x.array.dtype == other.array.dtype:
            return x, other
    else:
        if isinstance(x, Tensor) and type(other) is float and x.array.dtype.kind == "f":
            return x, other
        x, other = as_operand(x), as_operand(other)
        if not (isinstance(x, Tensor) or isinstance(other, Tensor)):
            raise TypeError(
                f"{op}: wants at least one Tensor, got {type(x).__name__} and {type(other).__name__}"
            )
    dtype = common_type(op, x, other)
    return converted(x, dtype), converted(other, dtype)


def float_operands(op, x, other):
    """operands() of an op that has no meaning on integers: those become the default float dtype."""
    a, b = operands(op, x, other)
    dtype = a.array.dtype if isinstance(a, Tensor) else b.array.dtype
    if dtype.kind != "f":
        dtype = default_float()
        return converted(as_operand(x), dtype), converted(as_operand(other), dtype)  # as they came: -1 is 255 among uint8
    return a, b


def all_operands(op, *values):
    """operands() of any number of operands, as a list."""
    dtype, numbers = None, False
    for v in values:  # Tensors of one dtype, and with floating ones Python floats, are what they should be
        if isinstance(v, Tensor):
            if dtype is None:
                dtype = v.array.dtype
            elif v.array.dtype != dtype:
                break
        elif type(v) is float:
            numbers = True
        else:
            break
    else:
        if dtype is not None and (not numbers or dtype.kind == "f"):
            return list(values)
    values = [as_operand(v) for v in values]
    dtype = common_type(op, *values)
    return [converted(v, dtype) for v in values]


def as_operand(value):
    """numpy arrays and scalars as Tensors, anything else as it is."""
    if isinstance(value, (ndarray, generic)) and not isinstance(value, float):
        return wrap(memory.lent(np.asarray(value)))
    return value


def converted(value, dtype):
    """A Tensor cast to dtype (on the tape), or a number made one of its kind; ints wrap around."""
    if isinstance(value, Tensor):
        return value if value.array.dtype == dtype else cast(value, dtype)
    kind = dtype.kind
    if kind == "f":
        return float(value)
    if type(value) is int and (0 if kind == "u" else -128) <= value < 128 and kind != "b":
        return value
    return bool(value) if kind == "b" else int(np.array(value).astype(dtype))


def as_float(op, x):
    """x itself when floating; integers and bools become the default float dtype. Arrays become Tensors."""
    if not isinstance(x, Tensor):
        x = as_operand(x)
        if not isinstance(x, Tensor):
            raise TypeError(f"{op}: input must be a Tensor, got {type(x).__name__}")
    return x if x.array.dtype.kind == "f" else cast(x, default_float())


def as_tensor(op, x, name="input"):
    """x, the argument `name`, as a Tensor; TypeError for what is neither that nor an array."""
    x = as_operand(x)
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: {name} must be a Tensor, got {type(x).__name__}")
    return x


def not_tensors(op, **given):
    """TypeError naming the first of the arguments that is something else than a Tensor or None, or else the first None."""
    missing = None
    for name, value in given.items():
        if value is None:
            missing = missing or name
        elif not isinstance(value, Tensor):
            kind = type(value).__name__
            return TypeError(f"{op}: {name} must be a Tensor, got {kind}; nnrt.as_tensor makes one of arrays and lists")
    return TypeError(f"{op}: {missing} must be a Tensor, got None")


def check_tensors(op, **given):
    """TypeError naming the first of the arguments that is no Tensor."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise not_tensors(op, **{name: value})


def cast(x, dtype):
    """x converted to dtype, in its memory order; x itself when it has it. Differentiable between floats."""
    if x.array.dtype == dtype:
        return x
    out = empty_as(x.array, dtype)
    K.cast(out, x.array)
    if out.dtype.kind != "f":
        return wrap(out)
    return record(out, cast_backward, (x,), (x.array.dtype,))


def cast_backward(node, dy):
    (dtype,) = node.saved
    dx = empty_as(dy, dtype)
    K.cast(dx, dy)
    return (dx,)


def array_of(value):
    """What a kernel takes for an operand: the Tensor's array, or the number."""
    return value.array if isinstance(value, Tensor) else value


def tensor_of(value):
    """What the tape takes for an operand: the Tensor, or None for a number."""
    return value if isinstance(value, Tensor) else None


def shape_of(value):
    """The shape of an array or a number."""
    return value.shape if isinstance(value, ndarray) else ()


def empty_as(array, dtype):
    """Uninitialised array of the shape and memory order of `array`."""
    if array.dtype == dtype:
        return empty_like(array)
    if array.flags.c_contiguous:
        return memory.empty(array.shape, dtype)
    order = memory.axis_order(array)
    return memory.empty(tuple([array.shape[i] for i in order]), dtype).transpose(memory.inverse_order(order))


def result(op, u, v, dtype=None):
    """Uninitialised array for an op on two arrays, or one and a number, in the memory order of one of its shape.

    dtype: that of the arrays unless given.
    """
    if not isinstance(v, ndarray):
        return empty_like(u) if dtype is None else empty_as(u, dtype)
    if not isinstance(u, ndarray):
        return empty_like(v) if dtype is None else empty_as(v, dtype)
    if u.shape != v.shape:
        return result_of(op, (u, v), u.dtype if dtype is None else dtype)
    return empty_like(u) if dtype is None else empty_as(u, dtype)


def result_of(op, arrays, dtype):
    """result() of any number of arrays or numbers."""
    shapes = [shape_of(a) for a in arrays]
    shape = shapes[0]
    for other in shapes:
        if other != shape and other != ():
            shape = broadcast(op, shapes)
            break
    for a in arrays:
        if isinstance(a, ndarray) and a.shape == shape:
            return empty_as(a, dtype)
    return memory.empty(shape, dtype)


def broadcast(op, shapes):
    """The shape that all broadcast to; RuntimeError naming two that do not agree."""
    result = []
    for shape in shapes:
        missing = len(shape) - len(result)
        if missing > 0:
            result[:0] = shape[:missing]
        offset = len(result) - len(shape)
        for i in range(max(missing, 0), len(shape)):
            if result[offset + i] == 1:
                result[offset + i] = shape[i]
            elif shape[i] != 1 and shape[i] != result[offset + i]:
                listed = " and ".join([str(tuple(s)) for s in shapes])
                raise RuntimeError(
                    f"{op}: shapes {listed} do not broadcast: sizes {result[offset + i]} and {shape[i]} "
                    f"at dimension {offset + i}"
                )
    return tuple(result)


def sum_to(dy, shape):
    """dy summed over the axes along which `shape` was broadcast; dy itself where there are none."""
    if dy.shape == shape:
        return dy
    out = memory.empty(shape, dy.dtype)
    K.sum_to(out, dy)
    return out
