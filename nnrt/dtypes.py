"""The dtypes under torch's names (numpy's own objects), the default one, memory formats and devices."""

import sys

import numpy as np

dtype = np.dtype

float16 = half = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = double = np.dtype(np.float64)
int8 = np.dtype(np.int8)
int16 = short = np.dtype(np.int16)
int32 = np.dtype(np.int32)
int64 = long = np.dtype(np.int64)
uint8 = np.dtype(np.uint8)
uint16 = np.dtype(np.uint16)
uint32 = np.dtype(np.uint32)
uint64 = np.dtype(np.uint64)
bool_ = np.dtype(np.bool_)

SUPPORTED = frozenset(
    (float16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool_)
)

# Memory formats: names that clone, contiguous and to() understand.
contiguous_format = "contiguous_format"
preserve_format = "preserve_format"
channels_last = "channels_last"
channels_last_3d = "channels_last_3d"

_default = float32


def calling_op():
    """"softmax: " where softmax of nnrt.ops called a kernel, for the message that a dtype does not suit; "" elsewhere."""
    frame, name = sys._getframe(1), ""
    while frame is not None and frame.f_globals.get("__name__", "").startswith("nnrt.ops."):
        frame, name = frame.f_back, f"{frame.f_code.co_name}: "
    return name


def get_default_dtype() -> np.dtype:
    """The dtype that Python floats become and that zeros(), rand() and their kin use; float32 at first."""
    return _default


def set_default_dtype(d) -> None:
    """Makes float32 or float64 (or float16) the default; TypeError for a dtype that is not floating."""
    global _default
    d = as_dtype("set_default_dtype", d)
    if d.kind != "f":
        raise TypeError(f"set_default_dtype: wants a floating dtype, got {d}")
    _default = d


def as_dtype(op, d):
    """The numpy dtype that d (a dtype, a numpy or Python type, or a name) stands for; TypeError otherwise."""
    if type(d) in _DTYPE_CLASSES and d in SUPPORTED:
        return d
    try:
        found = np.dtype(d)
    except TypeError:
        found = None
    if found is not None and found in SUPPORTED and d is not None:
        return found
    why = (
        "complex numbers are not supported"
        if found is not None and found.kind == "c"
        else "not a dtype of nnrt's"
    )
    raise TypeError(
        f"{op}: dtype {d!r}: {why}; there are float16/32/64, int8/16/32/64, uint8/16/32/64 and bool"
    )


_DTYPE_CLASSES = frozenset(type(d) for d in SUPPORTED)


def finfo(type=None) -> np.finfo:
    """Limits of a floating dtype (numpy's finfo); the default dtype's without argument."""
    return np.finfo(_default if type is None else type)


iinfo = np.iinfo


class device:
    """Where a tensor lives: `device("cpu")`. Others can be named, but hold no tensors.

    Attributes: type ("cpu", "cuda", ...) and index (int or None).
    """

    __slots__ = ("type", "index")

    def __init__(self, type, index=None):
        if isinstance(type, device):
            type, index = type.type, type.index
        if not isinstance(type, str):
            raise TypeError(f"device: wants a name such as 'cpu', got {type!r}")
        name, colon, number = type.partition(":")
        if name not in ("cpu", "cuda", "mps", "xpu", "meta") or (colon and not number.isdecimal()):
            raise RuntimeError(f"device: wants 'cpu', 'cuda' or 'cuda:<index>', got {type!r}")
        self.type = name
        self.index = int(number) if colon else index

    def __eq__(self, other):
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __repr__(self):
        return (
            f"device(type={self.type!r})"
            if self.index is None
            else f"device(type={self.type!r}, index={self.index})"
        )

    def __str__(self):
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __reduce__(self):
        return device, (self.type, self.index)


cpu = device("cpu")


def check_device(op, where):
    """Raises RuntimeError unless `where` (device, name or None) is the CPU."""
    if where is None or where is cpu or where == "cpu":
        return
    where = device(where)
    if where.type != "cpu":
        raise RuntimeError(
            f"{op}: device '{where}' is not available: nnrt computes on the CPU only; pass device='cpu' or leave it out"
        )


def check_whole(op, dtype):
    """TypeError for float16, which few kernels compute with: the same on every back-end."""
    if dtype.char not in "fd":
        raise TypeError(f"{op}: wants float32 or float64, got {dtype}")
