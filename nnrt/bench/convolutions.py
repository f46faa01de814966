"""Rows of the convolution family: layers alone, forward with weights that stay and training with weights that change.

Channels lie last in memory, as nnrt's layers leave them. torch runs in both of its memory formats: as
itself with (N, C, H, W) memory, and as the peer "channels_last".
"""

from dataclasses import replace
from functools import partial

import numpy as np

from .workloads import Workload, as_after_a_step, f32, in_torch

# name: layer, batch, channels in and out, size of the image (one number: square), kernel, and the layer's arguments
SQUARE = {
    f"conv 3x3 {c}@{size} b{batch}": ("Conv2d", batch, c, c, size, 3, {"padding": 1})
    for c, size in [(32, 112), (32, 56), (64, 56), (64, 28), (128, 28), (128, 14), (256, 14)]
    for batch in (1, 8)
}
OTHER = {
    "conv 3x3 512@7 b1": ("Conv2d", 1, 512, 512, 7, 3, {"padding": 1}),
    "conv 3x3 512@7 b8": ("Conv2d", 8, 512, 512, 7, 3, {"padding": 1}),
    "conv 3x3 16@32 b64": ("Conv2d", 64, 16, 16, 32, 3, {"padding": 1}),
    "conv 3x3 s2 64>128@56 b8": ("Conv2d", 8, 64, 128, 56, 3, {"padding": 1, "stride": 2}),
    "conv 3x3 s2 128>256@28 b1": ("Conv2d", 1, 128, 256, 28, 3, {"padding": 1, "stride": 2}),
    "conv 1x1 64>256@56 b8": ("Conv2d", 8, 64, 256, 56, 1, {}),
    "conv 1x1 512>128@28 b8": ("Conv2d", 8, 512, 128, 28, 1, {}),
    "conv 1x1 256@14 b1": ("Conv2d", 1, 256, 256, 14, 1, {}),
    "conv 1x1 s2 64>128@56 b8": ("Conv2d", 8, 64, 128, 56, 1, {"stride": 2}),
    "conv 5x5 64@28 b8": ("Conv2d", 8, 64, 64, 28, 5, {"padding": 2}),
    "conv 5x5 16>32@28 b1": ("Conv2d", 1, 16, 32, 28, 5, {"padding": 2}),
    "conv 3x3 dilated 64@28 b8": ("Conv2d", 8, 64, 64, 28, 3, {"padding": 2, "dilation": 2}),
}
FIRST = {
    "first 5x5 1>32@28 b64": ("Conv2d", 64, 1, 32, 28, 5, {"padding": 2}),
    "first 3x3 3>32@32 b64": ("Conv2d", 64, 3, 32, 32, 3, {"padding": 1}),
    "first 7x7 s2 3>64@224 b8": ("Conv2d", 8, 3, 64, 224, 7, {"padding": 3, "stride": 2}),
    "first 11x11 s4 3>64@224 b8": ("Conv2d", 8, 3, 64, 224, 11, {"padding": 2, "stride": 4}),
}
NARROW = {
    **{
        f"depthwise 3x3 {'s2 ' if stride == 2 else ''}{c}@{size} b{batch}": (
            "Conv2d", batch, c, c, size, 3, {"padding": 1, "stride": stride, "groups": c}
        )
        for c, size, stride in [(32, 112, 1), (64, 112, 2), (128, 56, 1), (256, 28, 1), (512, 14, 1), (1024, 7, 1)]
        for batch in (1, 8)
    },
    **{
        f"grouped 3x3 32 x {c // 32}@{size} b{batch}": ("Conv2d", batch, c, c, size, 3, {"padding": 1, "groups": 32})
        for c, size in [(128, 56), (256, 28), (512, 14), (1024, 7)]
        for batch in (1, 8)
    },
}
TRANSPOSED = {
    "transposed 4x4 s2 128>64@16 b16": ("ConvTranspose2d", 16, 128, 64, 16, 4, {"padding": 1, "stride": 2}),
    "transposed 4x4 s2 512>256@4 b16": ("ConvTranspose2d", 16, 512, 256, 4, 4, {"padding": 1, "stride": 2}),
    "conv1d k31 s4 16>32@4096 b8": ("Conv1d", 8, 16, 32, (4096,), 31, {"padding": 15, "stride": 4}),
    "transposed1d k31 s4 64>16@1024 b8": (
        "ConvTranspose1d", 8, 64, 16, (1024,), 31, {"padding": 15, "stride": 4, "output_padding": 3}
    ),
}
# Layers that pass over memory: class, arguments.
PASSES = {
    "max pool 3x3 s2": ("MaxPool2d", (3, 2, 1), {}),
    "max pool 2x2": ("MaxPool2d", (2,), {}),
    "average pool 2x2": ("AvgPool2d", (2,), {}),
    "average pool 3x3 s1": ("AvgPool2d", (3, 1, 1), {}),
    "adaptive average pool 1x1": ("AdaptiveAvgPool2d", (1,), {}),
    "adaptive average pool 7x7": ("AdaptiveAvgPool2d", (7,), {}),
    "batch norm": ("BatchNorm2d", (64,), {}),
}


def _last(t, x):
    """x with channels last in memory, for 2-d layers in torch; nnrt's layout for any."""
    return x.contiguous(memory_format=t.channels_last) if x.ndim == 4 else x


def _prepared(layer, arguments, t, arrays, last):
    """The layer with the first arrays as parameters, and the other arrays as tensors."""
    made = getattr(t.nn, layer)(*arguments[0], **arguments[1])
    parameters = list(made.parameters())
    with t.no_grad():
        for p, a in zip(parameters, arrays):
            p.copy_(t.from_numpy(a))
    rest = [t.from_numpy(a) for a in arrays[len(parameters):]]
    if last:
        made = made.to(memory_format=t.channels_last) if t.__name__ == "torch" else made
        rest = [_last(t, x) for x in rest]
    return made, parameters, rest


def _forward(layer, arguments, last, t, arrays):
    made, _, (x, _) = _prepared(layer, arguments, t, arrays, last or t.__name__ == "nnrt")
    made.eval()

    def run():
        with t.no_grad():
            return made(x)

    return run


def _training(layer, arguments, last, wants_dx, t, arrays):
    made, parameters, (x, dy) = _prepared(layer, arguments, t, arrays, last or t.__name__ == "nnrt")
    x.requires_grad_(wants_dx)

    def run():
        as_after_a_step(t, parameters, x)
        y = made(x)
        y.backward(dy)
        return [y, *[p.grad for p in parameters], *([x.grad] if wants_dx else [])]

    return run


def _pair(name, group, layer, arguments, shapes, flops, reads, targets, wants_dx=True, tol=1e-3):
    """Two rows: forward, and forward with backward."""
    arrays = f32(*shapes)
    forward, training = partial(_forward, layer, arguments), partial(_training, layer, arguments)
    x, y = (4.0 * np.prod(s) for s in shapes[-2:])
    rows = []
    if targets[0] is not None:
        rows.append(
            Workload(
                name, group, partial(forward, False), arrays, flops=flops, bytes=reads[0] * x + y, tol=tol, target=targets[0],
                peers={"channels_last": partial(in_torch, partial(forward, True))},
            )
        )
    rows.append(
        Workload(
            f"{name} training", group, partial(training, False, wants_dx), arrays, flops=(3 if wants_dx else 2) * flops,
            bytes=reads[1] * x + reads[2] * y, tol=tol, target=targets[1],
            peers={"channels_last": partial(in_torch, partial(training, True, wants_dx))},
        )
    )
    return rows


def _conv(group, name, layer, n, c, o, size, k, arguments, targets, wants_dx=True):
    spatial = (size, size) if isinstance(size, int) else size
    stride, padding = arguments.get("stride", 1), arguments.get("padding", 0)
    reach, groups = arguments.get("dilation", 1) * (k - 1), arguments.get("groups", 1)
    if "Transpose" in layer:
        out = tuple((s - 1) * stride - 2 * padding + reach + arguments.get("output_padding", 0) + 1 for s in spatial)
        weight, positions = (c, o // groups) + (k,) * len(spatial), spatial
    else:
        out = tuple((s + 2 * padding - reach - 1) // stride + 1 for s in spatial)
        weight, positions = (o, c // groups) + (k,) * len(spatial), out
    shapes = [weight, (o,), (n, c, *spatial), (n, o, *out)]
    flops = 2.0 * n * np.prod(positions) * np.prod(weight)
    return _pair(name, group, layer, ((c, o, k), arguments), shapes, float(flops), (1, 3, 2), targets, wants_dx)


def _numba(setup, arrays):
    import nnrt

    nnrt.registry.use("numba")
    return setup(nnrt, arrays)


def _in_numba(row):
    """The row for the Numba kernels, beside the compiled ones."""
    return replace(row, name=f"numba {row.name}", group="numba", peers={"numba": partial(_numba, row.setup)}, target=None)


def rows():
    """Every row, in the order of the report."""
    made = []
    for group, table, targets, wants_dx in [
        ("conv 3x3", SQUARE, (2.3, 1.7), True), ("conv", OTHER, (1, 1), True), ("first layers", FIRST, (1, 2), False),
        ("narrow groups", NARROW, (1.2, 1.5), True), ("transposed and 1-d", TRANSPOSED, (1, 1.3), True),
    ]:  # fmt: skip
        for name, row in table.items():
            made += _conv(group, name, *row, targets, wants_dx)
    made += [_in_numba(row) for row in made if row.name.startswith(("conv 3x3 64@28 b8", "conv 3x3 256@14 b1"))]
    n, c, size = 32, 64, 56
    for name, (layer, *arguments) in PASSES.items():
        out = {"max pool 3x3 s2": 28, "max pool 2x2": 28, "average pool 2x2": 28, "adaptive average pool 1x1": 1,
               "adaptive average pool 7x7": 7}.get(name, 56)  # fmt: skip
        shapes = [(c,), (c,)] * ("norm" in name) + [(n, c, size, size), (n, c, out, out)]
        # A norm reads x for its statistics and again to normalise, and the same with dy; a pool once, and writes dx.
        reads = (1, 5, 3) if "norm" in name else (1, 2, 2)
        made += _pair(name, "pool and norm", layer, arguments, shapes, 0.0, reads, (None if "norm" in name else 2, 2))
    return made
