"""Making tensors.

Python floats become the default dtype (float32 at first), Python ints int64, bools bool; numpy
arrays keep their dtype, float64 included. `device` may be "cpu" everywhere and nothing else.
"""

import builtins
import math

import numpy as np

from .. import memory, registry
from .._printing import describe, set_printoptions  # noqa: F401
from ..dtypes import SUPPORTED, as_dtype, check_device, cpu, get_default_dtype  # noqa: F401
from ..tensor import Tensor, view_of, wrap

K = registry.family("shape")


# ---- from data ----


def tensor(data, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A new tensor with a copy of the data.

    data: numbers, (nested) sequences of them, a numpy array, or a Tensor (its values only). Raises
    ValueError for ragged sequences, TypeError for what holds no numbers (complex ones included).
    """
    check_device("tensor", device)
    return _finished("tensor", _array_of("tensor", data, dtype, True), requires_grad)


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """data as a Tensor without a copy where possible: a Tensor stays what it is (and on the tape), a numpy
    array shares its memory; anything else is copied as by :func:`tensor`."""
    check_device("as_tensor", device)
    if isinstance(data, Tensor):
        return data if dtype is None else convert.to(data, (), dtype, None, False)
    return wrap(_array_of("as_tensor", data, dtype, False))


def asarray(obj, dtype=None, device=None, copy=None, requires_grad=False) -> Tensor:
    """:func:`as_tensor` with a say on copying: True always copies, False raises ValueError for a must."""
    check_device("asarray", device)
    if copy is False:
        source = obj.array if isinstance(obj, Tensor) else obj
        shares = hasattr(source, "__array_interface__") or hasattr(source, "__dlpack__")
        if not shares or (dtype is not None and np.asarray(source).dtype != as_dtype("asarray", dtype)):
            raise ValueError(f"asarray: copy=False, but {type(obj).__name__} cannot be used without a copy")
    if isinstance(obj, Tensor) and copy is not True:
        made = obj if dtype is None else convert.to(obj, (), dtype, None, False)
        return made.requires_grad_(True) if requires_grad and not made.requires_grad else made
    return _finished("asarray", _array_of("asarray", obj, dtype, copy is True), requires_grad)


def from_numpy(array) -> Tensor:
    """A tensor that shares the array's memory. TypeError for what is not a numpy array of a supported dtype.

    A read-only array gives a tensor whose in-place operations raise.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"from_numpy: wants a numpy array, got {type(array).__name__}; tensor() takes other data"
        )
    if array.dtype not in SUPPORTED or not array.dtype.isnative:
        raise TypeError(f"from_numpy: dtype {array.dtype} is not supported")
    return wrap(memory.lent(array))


def from_dlpack(ext_tensor) -> Tensor:
    """A tensor that shares the memory of an object with __dlpack__ (torch or JAX tensor, numpy array)."""
    if isinstance(ext_tensor, Tensor):
        if ext_tensor.requires_grad:
            raise BufferError("from_dlpack: a tensor that requires a gradient is not exported; pass tensor.detach()")
        return view_of(ext_tensor, ext_tensor.numpy())
    if not hasattr(ext_tensor, "__dlpack__"):
        raise TypeError(f"from_dlpack: wants an object with __dlpack__, got {type(ext_tensor).__name__}")
    try:
        array = np.from_dlpack(ext_tensor)
    except RuntimeError as error:  # numpy names neither the object nor its dtype
        dtype = getattr(ext_tensor, "dtype", "unknown")
        raise TypeError(f"from_dlpack: {type(ext_tensor).__name__} of dtype {dtype}: {error}") from None
    if array.dtype not in SUPPORTED:
        raise TypeError(f"from_dlpack: dtype {array.dtype} is not supported")
    return from_numpy(array)


def scalar_tensor(s, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d tensor of a number; the default dtype unless given, for integers too."""
    return tensor(s, get_default_dtype() if dtype is None else dtype, device, requires_grad)


def _array_of(op, data, dtype, copy):
    """The numpy array of array-like data, in our own memory where it is a copy of an array."""
    if dtype is not None:
        dtype = as_dtype(op, dtype)
    if isinstance(data, Tensor):
        data = data.array
    if isinstance(data, np.ndarray):
        wanted = data.dtype.newbyteorder("=") if dtype is None else dtype
        if wanted not in SUPPORTED:
            raise TypeError(
                f"{op}: arrays of dtype {data.dtype} are not supported{_complex_hint(data.dtype)}"
            )
        if not copy and data.dtype == wanted and data.dtype.isnative:
            return memory.lent(data)
        made = memory.empty(data.shape, wanted)
        store(made, data)
        return made
    if (
        not copy
        and not isinstance(data, (list, tuple))
        and (hasattr(data, "__array_interface__") or hasattr(data, "__array__"))
    ):
        return _array_of(op, np.asarray(data), dtype, False)
    if isinstance(data, (list, tuple)) and _has_tensor(data):
        data = _without_tensors(data)
    try:
        made = np.array(data)
    except ValueError as error:
        raise ValueError(f"{op}: sequences of different lengths do not make a tensor ({error})") from None
    except OverflowError as error:
        raise ValueError(f"{op}: {error}") from None
    if dtype is None:
        dtype = _inferred(data, made)
    if made.dtype not in SUPPORTED:
        what = "numbers beyond 64 bits" if _is_big(made) else f"{made.dtype} data"
        error = ValueError if _is_big(made) else TypeError
        raise error(f"{op}: {what} cannot become a tensor{_complex_hint(made.dtype)}")
    if made.dtype == dtype:
        return made
    out = memory.empty(made.shape, dtype)
    store(out, made)
    return out


def store(out, array):
    """out[...] = array as C converts; what does not fit wraps or saturates silently, as in torch."""
    kind, into = array.dtype, out.dtype
    if into.char == "e" or kind.char == "e":
        K.convert(out, array)
        return
    # Where numpy has nothing to warn of: errstate takes 2 us.
    if kind.kind != "f" or into.kind == "b" or (into.kind == "f" and into.itemsize >= kind.itemsize):
        np.copyto(out, array, casting="unsafe")
        return
    with np.errstate(invalid="ignore", over="ignore"):
        np.copyto(out, array, casting="unsafe")


def _is_big(array):
    return array.dtype == object and array.size and all(isinstance(v, int) for v in array.ravel())


def constructed(data, dtype):
    """What Tensor and the constructors named after a dtype make: of integers these sizes, of anything else its values.

    TypeError for a tuple of integers, which torch takes as sizes if it comes from a shape, else as values.
    """
    if len(data) == 1 and isinstance(data[0], tuple) and data[0] and all(isinstance(n, builtins.int) for n in data[0]):
        raise TypeError(f"Tensor: {data[0]} may be sizes or values: *{data[0]} are sizes, {list(data[0])} are values")
    if len(data) == 1 and not isinstance(data[0], (builtins.int, np.integer)):
        return tensor(data[0], dtype)
    return empty(*data, dtype=dtype) if data else empty(0, dtype=dtype)


def _complex_hint(dtype):
    return (
        ": complex numbers are out of scope; keep real and imaginary parts apart" if dtype.kind == "c" else ""
    )


def _has_tensor(data):
    return any(isinstance(d, Tensor) or (isinstance(d, (list, tuple)) and _has_tensor(d)) for d in data)


def _without_tensors(data):
    return [
        d.array if isinstance(d, Tensor) else _without_tensors(d) if isinstance(d, (list, tuple)) else d
        for d in data
    ]


def _inferred(data, made):
    """The dtype of nested sequences: Python floats count as the default dtype, numpy values as their own."""
    if made.dtype.kind != "f" and made.size:
        return made.dtype
    found = set()
    _leaf_dtypes(data, found)
    floats = [d for d in found if d.kind == "f"]
    return max(floats, key=lambda d: d.itemsize) if floats else get_default_dtype()


def _leaf_dtypes(data, found):
    for d in data if isinstance(data, (list, tuple)) else (data,):
        if type(d) is builtins.float:
            found.add(get_default_dtype())
        elif isinstance(d, (list, tuple)):
            _leaf_dtypes(d, found)
        else:
            found.add(getattr(d, "dtype", np.dtype(np.int64)))


def _finished(op, array, requires_grad):
    made = wrap(array)
    if requires_grad:
        if array.dtype.kind != "f":
            raise RuntimeError(
                f"{op}: only floating tensors can require gradients, this one is {array.dtype}"
            )
        made.requires_grad = True
    return made


# ---- filled ----


def sizes_of(op, size):
    """The tuple of sizes meant by `size` = (2, 3) or ((2, 3),), checked to be integers of at least 0."""
    if len(size) == 1 and not isinstance(size[0], builtins.int) and hasattr(size[0], "__len__"):
        size = size[0]
    try:
        sizes = tuple([s.__index__() for s in size])
    except (AttributeError, TypeError):
        raise TypeError(f"{op}: size must be integers or one sequence of them, got {size!r}") from None
    for s in sizes:
        if s < 0:
            raise RuntimeError(f"{op}: size must not be negative, got {sizes}")
    return sizes


def _made(op, size, dtype, device, requires_grad, value):
    check_device(op, device)
    dtype = get_default_dtype() if dtype is None else as_dtype(op, dtype)
    size = sizes_of(op, size)
    try:
        array = memory.zeros(size, dtype) if value == 0 else memory.empty(size, dtype)
    except ValueError:
        raise ValueError(f"{op}: size {size} of {dtype} has more bytes than can be addressed") from None
    if value:
        array.fill(value)
    return _finished(op, array, requires_grad)


def zeros(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor of zeros; zeros(2, 3), zeros((2, 3)) or zeros(size=(2, 3))."""
    return _made("zeros", sizes if size is None else (size,), dtype, device, requires_grad, 0)


def ones(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor of ones; size as for :func:`zeros`."""
    return _made("ones", sizes if size is None else (size,), dtype, device, requires_grad, 1)


def empty(*sizes, size=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor whose values are whatever its memory held; size as for :func:`zeros`."""
    return _made("empty", sizes if size is None else (size,), dtype, device, requires_grad, None)


def full(size, fill_value, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A tensor of fill_value; size: a tuple. Without dtype that of the value: bool, int64 or the default one."""
    if isinstance(fill_value, Tensor):
        fill_value = fill_value.item()
    if dtype is None:
        kinds = {builtins.bool: np.bool_, builtins.int: np.int64}
        dtype = kinds.get(type(fill_value), getattr(fill_value, "dtype", None))
    check_device("full", device)
    dtype = get_default_dtype() if dtype is None else as_dtype("full", dtype)
    array = memory.empty(sizes_of("full", (size,)), dtype)
    try:
        array.fill(fill_value)
    except OverflowError:
        raise RuntimeError(f"full: fill_value {fill_value} does not fit {dtype}") from None
    except (TypeError, ValueError):
        raise TypeError(f"full: fill_value must be a number, got {fill_value!r}") from None
    return _finished("full", array, requires_grad)


def in_order_of(a, size, dtype):
    """An uninitialised array whose axes lie in memory in the order of a's."""
    if a.flags.c_contiguous:
        return memory.empty(size, dtype)
    if dtype == a.dtype:
        return memory.empty_like(memory.strided(a, 0, size, a.strides, False))  # which nobody reads
    order = memory.axis_order(a)
    return memory.empty(tuple([size[i] for i in order]), dtype).transpose(memory.inverse_order(order))


def _tensor(op, x):
    if not isinstance(x, Tensor):
        raise TypeError(f"{op}: input must be a Tensor, got {type(x).__name__}")
    return x


def like(op, x, dtype, device, requires_grad, memory_format=None):
    check_device(op, device)
    array = _tensor(op, x).array
    if dtype is None or as_dtype(op, dtype) == array.dtype:
        made = memory.empty_like(array)
    else:
        made = in_order_of(array, array.shape, as_dtype(op, dtype))
    if memory_format is not None and memory_format != "preserve_format":
        made = convert.shape.in_format(made, memory_format, False)
    return _finished(op, made, requires_grad)


def empty_like(input, dtype=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """A tensor of input's shape, dtype and memory order, uninitialised."""
    return like("empty_like", input, dtype, device, requires_grad, memory_format)


def zeros_like(input, dtype=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """Zeros of input's shape and, unless given, dtype and memory order (memory_format)."""
    made = like("zeros_like", input, dtype, device, requires_grad, memory_format)
    made.array.fill(0)
    return made


def ones_like(input, dtype=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """Ones of input's shape, dtype and memory order."""
    made = like("ones_like", input, dtype, device, requires_grad, memory_format)
    made.array.fill(1)
    return made


def full_like(input, fill_value, dtype=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """fill_value in input's shape, dtype and memory order."""
    made = like("full_like", input, dtype, device, requires_grad, memory_format)
    value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if made.array.dtype.kind == "u" and type(value) is builtins.int:
        value = np.int64(value).astype(made.array.dtype)  # wraps around
    made.array.fill(value)
    return made


def eye(n, m=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """The identity matrix, n by m (default n)."""
    made = _made("eye", (n, n if m is None else m), dtype, device, requires_grad, 0)
    rows, columns = made.array.shape
    made.array.reshape(-1)[: rows * columns if rows < columns else columns * columns : columns + 1] = 1
    return made


def arange(start=0, end=None, step=1, dtype=None, device=None, requires_grad=False) -> Tensor:
    """start, start + step, ... below end (above, for a negative step); arange(end) starts at 0.

    int64 when all three are integers, else the default dtype; each value is start + i * step, worked out in
    float64. For an integer dtype start and step lose their fractions first (for int64 end too, as in torch).
    Raises RuntimeError for step 0 or a step away from end.
    """
    check_device("arange", device)
    if end is None:
        start, end = 0, start
    start, end, step = [v.item() if isinstance(v, (Tensor, np.generic)) else v for v in (start, end, step)]
    integral = isinstance(start, builtins.int) and isinstance(end, builtins.int) and isinstance(step, builtins.int)
    dtype = (
        (np.dtype(np.int64) if integral else get_default_dtype())
        if dtype is None
        else as_dtype("arange", dtype)
    )
    if not (integral or all(map(math.isfinite, (start, end, step)))):
        raise RuntimeError(f"arange: wants finite bounds, got start={start}, end={end}, step={step}")
    if dtype == np.int64 and not integral:
        start, end, step, integral = builtins.int(start), builtins.int(end), builtins.int(step), True
    if step == 0:
        raise RuntimeError("arange: step must not be 0")
    if (end - start) * (1 if step > 0 else -1) < 0:
        raise RuntimeError(f"arange: step={step} does not lead from start={start} to end={end}")
    count = -((start - end) // step) if integral else math.ceil((end - start) / step)
    if dtype.kind in "iu":
        start, step, integral = builtins.int(start), builtins.int(step), True
    exact = np.arange(count, dtype=np.int64 if integral else np.float64)
    if step != 1:
        exact *= step
    if start:
        exact += start
    array = memory.empty((count,), dtype)
    store(array, exact)
    return _finished("arange", array, requires_grad)


def linspace(start, end, steps, dtype=None, device=None, requires_grad=False) -> Tensor:
    """steps values from start to end, both included, evenly spaced (worked out in float64)."""
    check_device("linspace", device)
    dtype = get_default_dtype() if dtype is None else as_dtype("linspace", dtype)
    array = memory.empty((_steps("linspace", steps),), dtype)
    ends = _number(start), _number(end)
    if dtype.kind in "iu":
        ends = map(builtins.int, ends)
    store(array, _spaced(*ends, steps))
    return _finished("linspace", array, requires_grad)


def _spaced(start, end, steps):
    """np.linspace(start, end, steps), which takes 6 us."""
    step = (end - start) / (steps - 1) if steps > 1 else 0
    if not step or not math.isfinite(step):
        return np.linspace(start, end, steps)
    spaced = np.arange(0.0, steps)
    spaced *= step
    spaced += start
    spaced[-1] = end
    return spaced


def logspace(start, end, steps, base=10.0, dtype=None, device=None, requires_grad=False) -> Tensor:
    """base to the powers linspace(start, end, steps)."""
    check_device("logspace", device)
    dtype = get_default_dtype() if dtype is None else as_dtype("logspace", dtype)
    array = memory.empty((_steps("logspace", steps),), dtype)
    store(array, np.power(float(base), np.linspace(_number(start), _number(end), steps)))
    return _finished("logspace", array, requires_grad)


def _steps(op, steps):
    if steps < 0:
        raise RuntimeError(f"{op}: steps must not be negative, got {steps}")
    return steps


def _number(v):
    return v.item() if isinstance(v, Tensor) else v


def tril_indices(row, col=None, offset=0, dtype=None, device=None) -> Tensor:
    """Rows and columns, shape (2, n), of what is on and below diagonal `offset` of a row x col matrix."""
    check_device("tril_indices", device)
    return _pairs("tril_indices", np.tril_indices(row, offset, row if col is None else col), dtype)


def triu_indices(row, col=None, offset=0, dtype=None, device=None) -> Tensor:
    """Rows and columns, shape (2, n), of what is on and above diagonal `offset` of a row x col matrix."""
    check_device("triu_indices", device)
    return _pairs("triu_indices", np.triu_indices(row, offset, row if col is None else col), dtype)


def _pairs(op, pairs, dtype):
    return wrap(np.stack(pairs).astype(np.int64 if dtype is None else as_dtype(op, dtype)))


def rebuild(kind, array, requires_grad, attributes):
    """What unpickling and deepcopy call: a Tensor of class `kind` around the array."""
    made = kind.__new__(kind)
    made.array = array
    made.node = None
    made.grad = None
    made.version = None
    made.hooks = None
    made.requires_grad = requires_grad
    if attributes:
        made.__dict__.update(attributes)
    return made


# ---- questions ----


def is_tensor(obj) -> bool:
    """Whether obj is a Tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input) -> bool:
    """Whether input has a floating dtype."""
    return _tensor("is_floating_point", input).array.dtype.kind == "f"


def numel(input) -> int:
    """Number of elements."""
    return _tensor("numel", input).array.size


from . import convert  # noqa: E402
