"""Which algorithm computes a convolution's products: a pure function of their geometry, and what explain() says of it."""

import math

import numpy as np

from .. import config, registry
from ._columns import FOLDED
from ._geometry import SPATIAL, conv_geometry, ints, transposed_geometry


def choose_conv(task, geometry, dtype, conv="auto", precision="fast", once=False, vector=8):
    """The algorithm for one of a convolution's products: a pure function.

    task: "forward", "input" (the adjoint) or "filter"; geometry: see _geometry.Geometry; conv, precision: the
    settings of these names; once: the filter changes before it is used again, as in training; vector: elements that the
    kernels for narrow groups compute at once. Returns "pointwise", "depthwise", "winograd2" to "winograd4", "rows", "columns",
    "fft" or "direct". The thresholds are where the algorithms crossed on one core with AVX2, in float32; those of groups with
    vectors of 16, where they crossed on Zen 5 with AVX-512.
    """
    g = geometry
    can = possible(task, g, dtype, precision)
    if g.op == "fft_conv" and "fft" in can:
        return "fft"
    if conv in can:
        return conv
    # y's channels per group fill the lanes of the direct forward pass and of the filter's gradient, x's those of the
    # adjoint.
    lanes, depth = g.w[0] // g.groups, g.w[1]
    if task == "input":
        lanes, depth = depth, lanes
    if precision == "fast" and "fft" in can and _long(task, g, lanes, depth):
        return "fft"
    if "depthwise" in can and (lanes < 16 if g.groups > 1 else lanes == depth == 1 and task != "filter"):
        return "depthwise"
    if "pointwise" in can:
        if g.stride == (1, 1, 1):
            return "direct" if task == "forward" and lanes <= 16 else "pointwise"
        return "pointwise" if task == "filter" or (task == "input" and lanes >= 64) else "direct"
    use, wide = "filter" if task == "filter" else "once" if once else "kept", vector >= 16
    if use == "filter" and wide and "rows" in can and _rows_pay(g, lanes):
        return "rows"
    hows = [how for how in _candidates(task, use, g, lanes, depth, wide) if how in can]
    how = min(hows, key=lambda how: _cost(how, task, use, g, lanes, depth, dtype))
    if "depthwise" in can and wide and _slides(how, use, g, lanes):
        return "rows" if "rows" in hows else "depthwise"
    return how


def _candidates(task, use, g, lanes, depth, wide):
    """The algorithms whose costs are compared."""
    tiles, widest = _tiles("winograd4", g), max(lanes, depth)
    if use == "filter" and g.groups > 1 and min(lanes, depth) < 32:
        # Products of 16 x 16 took 1.1 to 2 times as long, those that a task makes of many tiles 0.86.
        near = wide and g.groups >= 8 and widest <= 32 and tiles >= 64 and math.prod(g.y[:4]) * (lanes + depth) <= 1 << 17
        if not near:
            return ("direct",)
    if use == "filter" and wide and g.groups == 1 and depth * max(blocks(g) and g.stride[1], 1) ** 2 <= 4:
        return "direct", "columns"  # of channels as few as these transforming dy alone took 1.0 to 4 times as long
    hows = ("direct", "winograd4", "winograd3", "winograd2")
    # Sums along rows alone take twice as many products as squares do, but transforms and filters that are small.
    if use != "filter" and wide and (g.groups > 1 and widest <= 32 and tiles <= 16 or widest <= 16 or depth <= 4):
        hows += ("rows",)
    if use != "kept" or task == "input" and lanes < 16:
        hows += ("columns",)
    return hows


def _slides(how, use, g, lanes):
    """Whether a product of groups with three taps along a row goes faster through one or two vectors of 16 outputs."""
    if how == "rows" or g.groups == 1 or lanes > 32 or use == "kept" or (g.w[4], g.stride[2], g.dilation[2]) != (3, 1, 1):
        return False
    return how == "direct" or use == "once" and (lanes <= 16 or _tiles(how, g) <= 16)


def _rows_pay(g, lanes):
    """Whether a filter's gradient that can go along rows alone is fastest so."""
    n, d, h, w, _ = g.y
    pixels, phases = n * d * h * w, math.prod(g.dilation)
    if g.groups > 1:  # wider maps that come from memory pay for squares
        near = pixels * 32 * g.groups <= 5 << 19
        return g.groups >= 4 and pixels >= 48 * phases and (w <= 32 * g.dilation[2] or near)
    whole = w % 4 == 0 or w >= (32 if g.w[4] == 3 else 16)  # of tiles
    return phases == 1 and 3 * -(-lanes // 32) * 32 <= 4 * lanes and whole and pixels * lanes >= 3 << 15


def possible(task, g, dtype, precision):
    """The algorithms that can compute a product of a convolution of this geometry and dtype."""
    found, whole = ["direct"], min(g.x) and min(g.y)
    if whole:
        found.append("fft")
    if g.w[2:] == (1, 1, 1) and g.padding == (0, 0, 0) and g.groups == 1:
        found.append("pointwise")
    elif whole and g.groups == 1:
        found.append("columns")
    if g.groups > 1 or g.w[1] == 1:
        found.append("depthwise")
    fits = g.groups == 1 or min(g.w[0] // g.groups, g.w[1]) >= 16
    if precision == "fast" and whole and g.padding[0] == 0 and fits and math.prod(g.dilation) <= 64:
        square, single = g.w[2:] if g.stride == (1, 1, 1) else None, dtype.itemsize == 4
        over = 0 if task == "input" else blocks(g)
        if square == (1, 3, 3) or strided(g) and single or over == 3:
            found += ["winograd4"]
        if single and (square == (1, 4, 4) or over == 4):
            found += ["winograd3"]
        if single and _in_rows(task, g, square):
            found += ["rows"]
        if single and (square == (1, 3, 3) or square == (1, 5, 5) and min(g.w[0] // g.groups, g.w[1]) >= 16 or strided(g)):
            found += ["winograd2"]
    return found


def _in_rows(task, g, square):
    """Whether these taps can go along rows alone: in a filter's gradient of few channels of x, or of groups of 16."""
    if task != "filter":
        return square == (1, 3, 3) and g.dilation == (1, 1, 1)
    if g.groups > 1:
        return square == (1, 3, 3) and g.w[1] == g.w[0] // g.groups == 16
    return square in ((1, 3, 3), (1, 5, 5)) and g.w[1] <= 4


def strided(g):
    """Whether it is one of those with 4 x 4 taps, or 3 x 3 and zeros, and stride 2 whose phases Winograd takes."""
    fits = g.w[2:] in ((1, 4, 4), (1, 3, 3)) and g.stride == (1, 2, 2) and g.dilation == (1, 1, 1)
    return fits and g.padding[0] == 0 and g.groups == 1 and min(g.w[:2]) >= 16 and min(g.x) > 0 and min(g.y) > 0


def blocks(g):
    """The taps, 3 or 4 down and across, of a strided filter over blocks of as many pixels as its stride is; 0: not such a one."""
    (s, s_w), (down, across) = g.stride[1:], (-(-k // s) for k, s in zip(g.w[3:], g.stride[1:]))
    fits = s == s_w > 1 and g.w[2] == g.stride[0] == 1 and g.dilation == (1, 1, 1) and g.padding[0] == 0 and g.groups == 1
    return down if fits and down == across and down in (3, 4) and min(g.x) > 0 and min(g.y) > 0 else 0


def _long(task, g, lanes, depth):
    """Whether a filter along one axis takes longer to sum than to transform, its spectrum below 64 MB of float32."""
    least = (128 if min(lanes, depth) >= 16 else 1024) << (task == "filter")
    length = g.x[3] + g.w[4]
    return g.w[4] >= least and g.w[2:4] == g.stride[:2] == (1, 1) and g.stride[2] == 1 and length * lanes * depth <= 1 << 24


# Multiply-adds that an element of the filter is worth, by the megabytes of them: up to 1, 8, 16, more. A filter that is
# kept is read; one that is used once is packed or transformed first; its gradient is gathered or summed over Winograd's
# squares.
_EACH = {
    "direct": {"kept": (0, 0, 0, 0), "once": (15, 25, 50, 50), "filter": (15, 30, 60, 60)},
    "columns": {"kept": (5, 10, 20, 20), "once": (5, 10, 20, 20), "filter": (5, 10, 20, 20)},
    "winograd": {"kept": (2, 2, 4, 11), "once": (2, 3, 16, 40), "filter": (11, 11, 14, 40)},
    "rows": {"kept": (2, 2, 2, 2), "once": (7, 7, 7, 7)},
    "strided": {"kept": (2, 2, 4, 15), "once": (3, 10, 16, 40), "filter": (11, 16, 30, 60)},
}


def _tiles(how, g):
    """Of how many tiles y is made."""
    n, d, h, w, _ = g.y
    tile, phases = int(how[-1]) if "winograd" in how else 1, math.prod(g.dilation)
    return n * d * phases * -(-h // g.dilation[1] // tile) * -(-w // g.dilation[2] // tile)


def _cost(how, task, use, g, lanes, depth, dtype):
    """A model of the time of a product, in multiply-adds at the peak rate."""
    n, d, h, w, _ = g.y
    vector = 64 // dtype.itemsize
    wide = -(-lanes // vector) * vector
    taps, family, over = math.prod(g.w[2:]), how.rstrip("234"), blocks(g)
    squares = (int(how[-1]) + (over or g.w[4]) - 1) ** 2 if family == "winograd" else taps
    if family == "winograd" and strided(g):
        squares, family = 4 * (int(how[-1]) + 1) ** 2, "strided"
    elif family == "winograd" and over:
        depth *= g.stride[1] ** 2
    if how == "rows":
        # Sums of at least two tiles of four in each of four rows; 50: transforming what a tile reads and writes.
        tiles = n * d * max(h, 4) * max(-(-w // 4), 2)
        return 18 * (tiles * depth * wide + _EACH[how][use][0] * depth * wide) + 50 * tiles * (depth + lanes)
    phases, tiles = math.prod(g.dilation), _tiles(how, g)
    # Of groups of few tiles a filter that is used once is transformed near the core, one group's after the other.
    near = "winograd" in how and use == "once" and g.groups > 1 and tiles * squares <= 576
    size = 4 * squares * depth * lanes * (1 if near else g.groups) >> 20
    each = _EACH[family][use][(size >= 1) + (size >= (8 if g.groups == 1 else 2)) + (size >= 16)] * squares * depth * lanes
    if "winograd" in how:
        # Dilated, an element of x and of y is copied, and a phase is two calls.
        split = 0 if phases == 1 else 10 * n * d * h * w * (depth + lanes) + phases * 200_000
        # Over blocks, an element of x is copied in short runs, and a tap or two of the filter.
        split += 60 * n * d * h * w * depth + 2_000_000 if over else 0
        # Of groups, the gradients are products of their own.
        split += 100_000 * (use == "filter" and g.groups > 1)
        # Products of fewer than 4 tiles at a time leave sums idle; 16: transforming an element.
        return squares * (max(tiles, 4) * depth * wide + tiles * 16 * (depth + lanes)) + each + split
    pixels = n * d * h * w
    sums = (1.25 if use == "filter" else 1.15) * pixels * taps * depth * wide
    if how != "columns":
        return sums + each
    # An element of the columns costs 1 ns to place, a tap a call; added up of a turned weight, whose taps fill the lanes with its
    # channels, as much in L2, an image's at a time, and three times as much beyond.
    if task == "input" and pixels >= g.w[0]:
        element = 40 if pixels // n * taps * lanes <= FOLDED else 120
        return 1.15 * pixels * depth * -(-taps * lanes // vector) * vector + each + element * pixels * taps * lanes + 100_000
    return sums + each + taps * (pixels * g.w[1] * 40 + 100_000)


_made = {}  # (task, geometry, dtype, once): algorithm, of the convolutions so far


def chosen(task, g, dtype, once):
    how = _made.get((task, g, dtype, once))
    if how is None:
        if len(_made) >= 1 << 14:
            _made.clear()
        settings = config.settings
        how = _made[task, g, dtype, once] = choose_conv(task, g, dtype, settings.conv, settings.precision, once, _vector(dtype))
    return how


def _vector(dtype):
    return registry.resolve("depthwise", "lanes")[1](dtype)


_KERNELS = {  # where an algorithm's forward product, adjoint and filter's gradient are
    "pointwise": ("linear.gemm",) * 3,
    "depthwise": ("depthwise.conv", "depthwise.conv_transposed", "depthwise.filter_backward"),
    "winograd": ("winograd.conv", "winograd.conv", "winograd.filter_backward"),
    "rows": ("winograd.rows_conv", "winograd.rows_conv", "winograd.rows_filter_backward"),
    "strided": ("winograd.strided_conv", "winograd.strided_conv_transposed", "winograd.strided_filter_backward"),
    "columns": ("linear.gemm",) * 3,
    "direct": ("conv.conv", "conv.conv_transposed", "conv.filter_backward"),
}


def explain(op, input=None, weight=None, dtype="float32", **options):
    """Which algorithms the convolutions of this name have taken, or one of these shapes would take; a text.

    `nnrt.explain("conv2d")`; `nnrt.explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)`. What ran is forgotten when one
    of the settings conv, precision and backend changes.
    """
    if input is None:
        ran = {}
        for (task, g, kind, once), how in list(_made.items()):
            if g.op == op:
                ran.setdefault((g, kind), {})[task, once] = how
        lines = [_line(g, kind, hows) for (g, kind), hows in ran.items()]
        return "\n".join(lines) or f"no {op} has run yet with these settings"
    kind, dims = np.dtype(dtype), int(op[-2]) if op[-1] == "d" and op[-2] in "123" else len(weight) - 2
    if dims not in SPATIAL:
        raise RuntimeError(f"{op}: weight must have 3, 4 or 5 dimensions, got shape {tuple(weight)}")
    full = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, **options}
    names = ["stride", "padding", "dilation", "groups"]
    build = conv_geometry
    if "transpose" in op:
        full, build = {"output_padding": 0, **full}, transposed_geometry
        names.insert(2, "output_padding")
    if set(full) != set(names):
        raise TypeError(f"explain: {op} has no option {', '.join(set(full) - set(names))}")
    values = [v if name == "groups" or isinstance(v, str) else ints(op, name, v) for name in names for v in [full[name]]]
    g = build(op, dims, tuple(input), tuple(weight), None, *values)
    g = g.part[1] if g.part else g
    first, second = ("input", "forward") if "transpose" in op else ("forward", "input")
    tasks = [(first, False), (second, True), ("filter", True)]
    settings = config.settings
    conv, precision, vector = settings.conv, settings.precision, _vector(kind)
    hows = {(task, once): choose_conv(task, g, kind, conv, precision, once, vector) for task, once in tasks}
    return _line(g, kind, hows)


def _line(g, dtype, hows):
    first = "input" if "transpose" in g.op else "forward"
    parts = []
    for (task, once), how in hows.items():
        name = {"filter": "filter's gradient", first: "forward in training" if once else "forward"}.get(task, "input's gradient")
        where = "numpy.fft"
        if how != "fft":
            family = "strided" if "winograd" in how and strided(g) else how.rstrip("234")
            kernel = _KERNELS[family][("forward", "input", "filter").index(task)]
            where = f"{kernel}, {registry.resolve(*kernel.split('.'))[0]}"
        parts.append(f"{name} {how} ({where})")
    return f"{g.text}, {dtype}: {'; '.join(parts)}"


def _choose_again(_):
    _made.clear()


config.on_change("conv", _choose_again)
config.on_change("precision", _choose_again)
config.on_change("backend", _choose_again)  # whose vectors may be shorter
