"""A model's layers in a table: output shapes, parameters, multiply-accumulate operations, bytes.

The model runs once, in eval mode and off the tape, with hooks that note shapes. Each parameter is
counted once, where it first appears; the operations of a module that is used several times are
counted as often as it is used. How many a layer takes is what its `macs` method says.

The receptive field of an output element is the extent of the input that it depends on. A layer with a `window` of
size k, dilation d and stride s leads from a field of r, whose neighbours lie j apart, to

    r + d (k - 1) j,    j s            (Araujo et al., Computing Receptive Fields of Convolutional Neural Networks, 2019)

and a layer that keeps the spatial sizes keeps both. What functions did between two modules is taken for elementwise:
the largest field so far of tensors of that size. Where sizes change otherwise the field ends.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, field
from typing import Any

from ..autograd import no_grad
from ..nn.module import Module
from ..nn.parameter import is_lazy
from ..ops.create import zeros
from ..tensor import Tensor


@dataclass
class Row:
    """One module. parameters, trainable and bytes are its own, without those of the modules inside.

    receptive_field: a size for each spatial axis, of an element of the output; None where it is not known.
    """

    name: str
    kind: str
    depth: int
    parameters: int
    trainable: int
    bytes: int
    calls: int = 0
    macs: int = 0
    input_shapes: tuple = ()
    output_shape: Any = None
    output_bytes: int = 0
    receptive_field: tuple | None = None


@dataclass
class Summary:
    """What :func:`summary` found; str() of it is the table.

    rows: one for each module, parents first. parameters, trainable, macs, parameter_bytes: totals.
    buffer_bytes: tensors that are not trained. output_bytes: what all calls of modules without modules
    inside returned, an upper bound on the memory of the activations.
    """

    rows: list[Row]
    buffer_bytes: int
    input_shapes: tuple = field(default=())

    @property
    def parameters(self) -> int:
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        return sum(row.trainable for row in self.rows)

    @property
    def macs(self) -> int:
        return sum(row.macs for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        return sum(row.bytes for row in self.rows)

    @property
    def output_bytes(self) -> int:
        return sum(row.output_bytes for row in self.rows)

    def __str__(self) -> str:
        ran = any(row.calls for row in self.rows)
        fields = any(row.receptive_field for row in self.rows)
        table = [("Layer", "Output shape", "Parameters", "MACs", "Bytes", *["Field"] * fields)]
        for row in self.rows:
            label = f"{row.name.rpartition('.')[2]}: {row.kind}" if row.name else row.kind
            shape = _shape_text(row.output_shape) if row.calls else ""
            if row.calls > 1:
                shape += f" x {row.calls}"
            counts = [f"{n:,}" if n else "" for n in (row.parameters, row.macs, row.bytes)]
            if fields:
                counts.append(" x ".join(map(str, row.receptive_field or ())))
            table.append(("  " * row.depth + label, shape, *counts))
        widths = [max(map(len, column)) for column in zip(*table)]
        lines = []
        for line in table:
            cells = [line[0].ljust(widths[0]), line[1].ljust(widths[1])]
            cells += [cell.rjust(width) for cell, width in zip(line[2:], widths[2:])]
            lines.append("  ".join(cells).rstrip())
        rule = "-" * max(map(len, lines))
        fixed = self.parameters - self.trainable
        total = f"Parameters: {self.parameters:,}" + (f" ({fixed:,} of them frozen)" if fixed else "")
        end = [f"{total}, {_bytes_text(self.parameter_bytes)}"]
        if self.buffer_bytes:
            end.append(f"Buffers: {_bytes_text(self.buffer_bytes)}")
        if ran:
            end.append(f"MACs: {self.macs:,}")
            end.append(
                f"Input: {', '.join(map(str, self.input_shapes))}; outputs: {_bytes_text(self.output_bytes)}"
            )
        return "\n".join([lines[0], rule, *lines[1:], rule, *end])

    __repr__ = __str__


def summary(model: Module, input: Any = None, *, dtype: Any = None, **kwargs: Any) -> Summary:
    """Describes a model layer by layer; print it.

    input: a Tensor or a tuple or list of Tensors, the arguments of model; or a shape, or a list of
    shapes, for which zeros of `dtype` (default: float32) stand in; or None: nothing is run, and there
    are neither shapes nor operations. kwargs are passed on to model. Modules keep their modes, hooks and
    gradients; lazy ones get their shapes.
    """
    if not isinstance(model, Module):
        raise TypeError(f"summary: model must be an nn.Module, got {type(model).__name__}")
    args = _arguments(input, dtype)
    rows = {}
    if args is not None:
        calls = _run(model, args, kwargs)
    seen = set()
    for name, module in model.named_modules():
        own = [p for p in module.parameters(recurse=False) if id(p) not in seen and not is_lazy(p)]
        seen.update(map(id, own))
        rows[module] = Row(
            name,
            module._get_name(),
            name.count(".") + 1 if name else 0,
            sum(p.numel() for p in own),
            sum(p.numel() for p in own if p.requires_grad),
            sum(p.nbytes for p in own),
        )
        if args is not None:
            for shapes, output, seen_of_input in calls.get(module, ()):
                _note(rows[module], module, shapes, output)
                rows[module].receptive_field = seen_of_input
    shapes = () if args is None else tuple(tuple(a.shape) for a in args if isinstance(a, Tensor))
    return Summary(list(rows.values()), sum(b.nbytes for b in model.buffers() if not is_lazy(b)), shapes)


def _run(model, args, kwargs):
    """module -> [(input shapes, output's shapes and bytes, receptive field)], one for each call."""
    calls, fields = {}, _Fields(args)

    def note(module, args, kwargs, output):
        tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
        inputs = tuple(tuple(a.shape) for a in tensors)
        field = fields.after(module, tensors[0], output) if tensors and isinstance(output, Tensor) else None
        calls.setdefault(module, []).append((inputs, (_shapes(output), _nbytes(output)), field))

    modes = [(module, module.training) for module in model.modules()]
    handles = [module.register_forward_hook(note, with_kwargs=True) for module, _ in modes]
    try:
        model.eval()
        with no_grad():
            model(*args, **kwargs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
    return calls


class _Fields:
    """(r, j) along the spatial axes of the tensors that modules returned; () stands for an input of the model."""

    def __init__(self, args):
        self.known = {}
        self.largest = {}  # by spatial sizes
        for a in args:
            if isinstance(a, Tensor):
                self.known[id(a)] = weakref.ref(a), ()

    def of(self, t):
        ref, field = self.known.get(id(t), (None, None))
        if ref is None or ref() is not t:
            field = max((self.largest[k] for k in self.largest if k == tuple(t.shape[-len(k) :])), default=None)
        return field

    def after(self, module, x, y):
        """The receptive field of y = module(x)."""
        window = module.window()
        if any(True for _ in module.children()):
            field = self.of(y)
        elif (field := self.of(x)) is not None:
            if window is not None:
                axes = len(field) or max([len(v) for v in window if isinstance(v, tuple)], default=x.ndim - 2)
                window = [v if isinstance(v, tuple) else (v,) * axes for v in window]
                before = field or ((1, 1),) * axes
                field = tuple((r + d * (k - 1) * j, j * s) for (r, j), k, s, d in zip(before, *window))
            elif x.shape[-(len(field) or x.ndim - 2) :] != y.shape[-(len(field) or x.ndim - 2) :]:
                field = None
        self.known[id(y)] = weakref.ref(y), field
        if not field:
            return None
        sizes = tuple(y.shape[-len(field) :])
        self.largest[sizes] = max(self.largest.get(sizes, field), field)
        return tuple(r for r, _ in field)


def _note(row, module, shapes, output):
    row.calls += 1
    row.input_shapes = shapes
    row.output_shape, nbytes = output
    row.macs += module.macs(shapes, row.output_shape)
    if not any(True for _ in module.children()):
        row.output_bytes += nbytes


def _arguments(input, dtype):
    """The model's positional arguments, or None."""
    if input is None:
        return None
    if isinstance(input, Tensor):
        return (input,)
    if not isinstance(input, (tuple, list)):
        raise TypeError(f"summary: input must be Tensors or shapes, got {type(input).__name__}")
    if any(isinstance(item, Tensor) for item in input):
        return tuple(input)
    if all(hasattr(size, "__index__") for size in input):
        return (zeros(*map(int, input), dtype=dtype) if input else zeros((), dtype=dtype),)
    if all(isinstance(shape, (tuple, list)) for shape in input):
        return tuple(zeros(tuple(shape), dtype=dtype) for shape in input)
    raise TypeError(f"summary: input must be Tensors, a shape or a list of shapes, got {input!r}")


def _shapes(value):
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, dict):
        return {key: _shapes(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return tuple(_shapes(item) for item in value)
    return None


def _nbytes(value):
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, dict):
        value = value.values()
    return sum(map(_nbytes, value)) if isinstance(value, (tuple, list, type({}.values()))) else 0


def _shape_text(shape):
    if isinstance(shape, tuple) and all(isinstance(size, int) for size in shape):
        return str(shape)
    if isinstance(shape, dict):
        return ", ".join(f"{key}: {_shape_text(item)}" for key, item in shape.items())
    return "-" if shape is None else ", ".join(map(_shape_text, shape))


def _bytes_text(n):
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"
