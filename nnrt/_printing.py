"""How a Tensor prints: values as numpy lays them out, then what torch would add."""

import numpy as np

_options = {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}

_PROFILES = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}

_SHOWN_BY_DEFAULT = ("int64", "bool")


def set_printoptions(
    precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None
) -> None:
    """Sets how tensors print: digits after the point, number of elements from which they are shortened,
    elements shown at each edge, line width, a profile ("default", "short", "full"), and whether floats are
    written with an exponent (None: when they differ by more than 1000 times or are large or small)."""
    if profile is not None:
        if profile not in _PROFILES:
            raise ValueError(
                f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, got {profile!r}"
            )
        _options.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def describe(t):
    """repr of a Tensor: `tensor([1., 2.], requires_grad=True)`."""
    from .dtypes import get_default_dtype

    array = t.array
    name = "tensor" if type(t).__name__ == "Tensor" else type(t).__name__
    values = "[]" if array.size == 0 else _values(array, " " * (len(name) + 1))
    suffix = []
    if array.size == 0 and array.shape != (0,):
        suffix.append(f"size={tuple(array.shape)}")
    if array.dtype != get_default_dtype() and (array.dtype.name not in _SHOWN_BY_DEFAULT or array.size == 0):
        suffix.append(f"dtype=nnrt.{array.dtype.name}")
    if t.node is not None:
        suffix.append(f"grad_fn=<{_node_name(t.grad_fn)}>")
    elif t.requires_grad:
        suffix.append("requires_grad=True")
    return f"{name}({', '.join([values, *suffix])})"


def _node_name(node):
    name = getattr(node, "name", type(node).__name__)
    return "".join(part.capitalize() for part in name.split("_")) + "Backward"


def _values(array, indent):
    precision = _options["precision"]
    if array.dtype.kind == "f":
        style = _float_style(array, precision)
    else:
        style = {}
    threshold = min(_options["threshold"], array.size + 1)
    text = np.array2string(
        array,
        max_line_width=_options["linewidth"] - len(indent),
        separator=", ",
        threshold=threshold,
        edgeitems=_options["edgeitems"],
        **style,
    )
    return "\n".join([line and indent + line for line in text.split("\n")])[len(indent) :]


def _float_style(array, precision):
    shown = array if array.size <= _options["threshold"] else _edges(array, _options["edgeitems"])
    finite = np.abs(shown[np.isfinite(shown) & (shown != 0)]).astype(np.float64)
    whole = finite.size == 0 or bool((finite == np.ceil(finite)).all())
    scientific = _options["sci_mode"]
    if scientific is None:
        low, high = (finite.min(), finite.max()) if finite.size else (1, 1)
        scientific = bool(high / low > 1000 or high > 1e8 or (low < 1e-4 and not whole))
    if scientific:
        return {"formatter": {"float_kind": _padded(shown, lambda v: f"{v:.{precision}e}")}}
    if whole:
        return {
            "formatter": {
                "float_kind": _padded(shown, lambda v: f"{v:.0f}." if np.isfinite(v) else f"{v:.0f}")
            }
        }
    return {"formatter": {"float_kind": _padded(shown, lambda v: f"{v:.{precision}f}")}}


def _padded(shown, plain):
    """A formatter that pads to the widest finite element shown, as torch does."""
    wide = shown[np.isfinite(shown) & (shown != 0)]
    width = max(map(len, map(plain, wide)), default=0)
    return lambda v: plain(v).rjust(width)


def _edges(array, edgeitems):
    """The elements that a shortened print shows."""
    for axis, size in enumerate(array.shape):
        if size > 2 * edgeitems:
            keep = np.r_[0:edgeitems, size - edgeitems : size]
            array = array.take(keep, axis=axis)
    return array
