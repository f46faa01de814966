"""Sizes of convolutions: arguments read and checked once for each combination of them.

Legend: N batch, C channels in, O channels out, G groups, K size of the filter, s stride, p padding, d dilation.

    convolution               out = floor((in + 2 p - d (K - 1) - 1) / s) + 1
    transposed convolution    out = (in - 1) s - 2 p + d (K - 1) + output_padding + 1

A transposed convolution is the adjoint of the convolution from its output to its input; a Geometry
always describes that convolution, x being the side that has C channels.
"""

from functools import lru_cache
from operator import index

SPATIAL = {1: ("L",), 2: ("H", "W"), 3: ("D", "H", "W")}
FAR = 64  # The dilation up to which Winograd's algorithm is one of those that can be chosen, and every tap is kept.


class Geometry:
    """x, y, w: shapes as kernels see them, [N, D, H, W, C], [N, OD, OH, OW, O] and [O, C/G, KD, KH, KW].

    op: the function's name; text: what it was called with, for people. Compared by identity, and never changed: the caches below
    give equal arguments the same object. part: None, or where w has taps that can meet x, and their own Geometry: of taps so far
    apart that others look beside x, where a kernel would make room for all that lies between them.
    """

    def __init__(self, op, text, x, y, w, stride, padding, dilation, groups):
        self.op, self.text, self.groups = op, text, groups
        self.x, self.y, self.w = x, y, w
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.part = _part(self) if max(dilation) > FAR else None


def ints(op, name, value):
    """An int, or a tuple of ints: what came, hashable; TypeError for other types."""
    if type(value) is int:
        return value
    if type(value) is tuple:
        for v in value:
            if type(v) is not int:
                break
        else:
            return value
    try:
        if isinstance(value, (tuple, list)):
            return tuple(map(index, value))
        if not isinstance(value, bool):
            return index(value)
    except TypeError:
        pass
    raise TypeError(f"{op}: {name} must be an int or a tuple of ints, got {value!r}")


def _per_axis(op, name, value, dims, least):
    """One number of at least `least` for each spatial axis."""
    values = (value,) * dims if isinstance(value, int) else value * dims if len(value) == 1 else value
    if len(values) != dims:
        raise RuntimeError(f"{op}: {name} must be one int or {dims}, one for each of {', '.join(SPATIAL[dims])}, got {value}")
    if min(values) < least:
        sign = "positive" if least else "at least 0"
        raise RuntimeError(f"{op}: {name} must be {sign}, got {value}")
    if name == "padding" and max(values) >= 1 << 31:
        raise RuntimeError(f"{op}: padding must be below 2**31, got {value}")
    return values


def _checked(op, dims, x, w, b, groups, transposed):
    """The checks that both directions share: ranks, groups, channels, bias."""
    axes = ", ".join(SPATIAL[dims])
    if len(w) != dims + 2:
        sides = "C, O/groups" if transposed else "O, C/groups"
        kernel = ", ".join("k" + axis for axis in SPATIAL[dims])
        raise RuntimeError(f"{op}: weight must have {dims + 2} dimensions [{sides}, {kernel}], got shape {w}")
    if len(x) not in (dims + 1, dims + 2):
        raise RuntimeError(f"{op}: input must be [N, C, {axes}] or [C, {axes}], got shape {x}")
    if type(groups) is not int or groups < 1:
        if not hasattr(groups, "__index__") or isinstance(groups, bool):
            raise TypeError(f"{op}: groups must be an int, got {groups!r}")
        raise RuntimeError(f"{op}: groups must be positive, got {groups}")
    if w[0] < 1 or w[0] % groups:
        raise RuntimeError(
            f"{op}: weight of shape {w} must have a first size that is positive and divisible by groups = {groups}"
        )
    if min(w[1:]) < (1 if transposed else 0) or min(w[2:]) < 1:
        raise RuntimeError(f"{op}: weight of shape {w} has an axis without elements")
    channels, wanted = x[-dims - 1], w[0] if transposed else w[1] * groups
    if channels != wanted:
        raise RuntimeError(
            f"{op}: input of shape {x} has {channels} channels; weight of shape {w} with groups = {groups} wants {wanted}"
        )
    out = w[1] * groups if transposed else w[0]
    if b is not None and b != (out,):
        raise RuntimeError(f"{op}: bias must have shape ({out},) for weight of shape {w} with groups = {groups}, got {b}")
    if 0 in x[-dims:]:
        raise RuntimeError(f"{op}: input of shape {x} has a spatial axis without elements; only N and C may be 0")


def _wide(values, fill):
    return (fill,) * (3 - len(values)) + values


def check_addressable(op, shape, itemsize=8):
    """RuntimeError for a result that no memory can hold; one without elements must have an end along its other axes too."""
    count = itemsize
    for size in shape:
        count *= size or 1
    if count >= 1 << 63:
        raise RuntimeError(f"{op}: the result's shape {shape} is beyond what memory can address")


@lru_cache(4096, typed=True)
def conv_geometry(op, dims, x, w, b, stride, padding, dilation, groups):
    """Geometry of a convolution; x, w, b are shapes (b may be None), the rest as ints() left it or a string."""
    _checked(op, dims, x, w, b, groups, False)
    stride = _per_axis(op, "stride", stride, dims, 1)
    dilation = _per_axis(op, "dilation", dilation, dims, 1)
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, w[2:])]
    sizes = x[-dims:]
    if padding == "same":
        if max(stride) > 1:
            raise RuntimeError(f"{op}: padding='same' wants stride 1, got {stride}")
        front, out = tuple([(r - 1) // 2 for r in reach]), sizes
    elif isinstance(padding, str) and padding != "valid":
        raise RuntimeError(f"{op}: padding must be 'same', 'valid', an int or a tuple of ints, got {padding!r}")
    else:
        front = (0,) * dims if padding == "valid" else _per_axis(op, "padding", padding, dims, 0)
        padded = tuple([n + 2 * p for n, p in zip(sizes, front)])
        if any([n < r for n, r in zip(padded, reach)]):
            raise RuntimeError(
                f"{op}: the filter reaches over {tuple(reach)} elements (size {w[2:]}, dilation {dilation}), which is more than "
                f"the input's {padded} (size {sizes}, padding {front})"
            )
        out = tuple([(n - r) // s + 1 for n, r, s in zip(padded, reach, stride)])
    batch = x[0] if len(x) == dims + 2 else 1
    check_addressable(op, (batch, w[0], *out))
    text = _text(op, x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return _geometry(op, text, (batch, w[1] * groups), sizes, (batch, w[0]), out, w, stride, front, dilation, groups)


@lru_cache(4096, typed=True)
def transposed_geometry(op, dims, x, w, b, stride, padding, output_padding, dilation, groups):
    """Geometry of the convolution whose adjoint is asked for: x is the shape of its result."""
    _checked(op, dims, x, w, b, groups, True)
    stride = _per_axis(op, "stride", stride, dims, 1)
    padding = _per_axis(op, "padding", padding, dims, 0)
    extra = _per_axis(op, "output_padding", output_padding, dims, 0)
    dilation = _per_axis(op, "dilation", dilation, dims, 1)
    if any([e >= s and e >= d for e, s, d in zip(extra, stride, dilation)]):
        raise RuntimeError(
            f"{op}: output_padding must be smaller than stride or dilation, got {extra} with stride {stride}, dilation {dilation}"
        )
    sizes = x[-dims:]
    out = tuple(
        [(n - 1) * s - 2 * p + d * (k - 1) + e + 1
         for n, s, p, d, k, e in zip(sizes, stride, padding, dilation, w[2:], extra)]
    )  # fmt: skip
    batch = x[0] if len(x) == dims + 2 else 1
    if min(out) < 1:
        raise RuntimeError(f"{op}: padding {padding} leaves nothing of the output: its size would be {out}")
    check_addressable(op, (batch, w[1] * groups, *out))
    text = _text(op, x, w, stride=stride, padding=padding, output_padding=extra, groups=groups, dilation=dilation)
    return _geometry(op, text, (batch, w[1] * groups), out, (batch, w[0]), sizes, w, stride, padding, dilation, groups)


def _text(op, x, w, **options):
    """The call; of the options only those that are not the default, single numbers where all axes agree."""
    text = f"{op} {x} * {w}"
    for name, value in options.items():
        if isinstance(value, tuple) and len(set(value)) == 1:
            value = value[0]
        if value != (0 if "padding" in name else 1):
            text += f", {name}={value}"
    return text


def _geometry(op, text, x, x_sizes, y, y_sizes, w, stride, padding, dilation, groups):
    """Everything with three spatial axes and channels last; strides, dilations and groups that no element takes become 1."""
    stride = tuple([s if n > 1 else 1 for s, n in zip(stride, y_sizes)])
    dilation = _taken(dilation, w[2:])
    return Geometry(
        op,
        text,
        (x[0], *_wide(x_sizes, 1), x[1]),
        (y[0], *_wide(y_sizes, 1), y[1]),
        (*w[:2], *_wide(w[2:], 1)),
        _wide(stride, 1),
        _wide(padding, 0),
        _wide(dilation, 1),
        groups if w[1] else 1,
    )


def _taken(dilation, taps):
    return tuple([d if k > 1 else 1 for d, k in zip(dilation, taps)])


def _part(g):
    """Geometry.part: along each axis the taps k with 0 <= o s - p + k d < n for an output o, or one behind x if none has."""
    kept, padding = [], []
    for n, o, k, s, p, d in zip(g.x[1:], g.y[1:], g.w[2:], g.stride, g.padding, g.dilation):
        first, end = max(0, -(((o - 1) * s - p) // d)), min(k, (n - 1 + p) // d + 1)
        first, end, p = (0, k, p) if d <= FAR else (first, end, p - first * d) if first < end else (0, 1, -n)
        kept.append(slice(first, end))
        padding.append(p)
    taps = tuple([at.stop - at.start for at in kept])
    if taps == g.w[2:]:
        return None
    part = Geometry(g.op, g.text, g.x, g.y, g.w[:2] + taps, g.stride, tuple(padding), _taken(g.dilation, taps), g.groups)
    return (..., *kept), part
