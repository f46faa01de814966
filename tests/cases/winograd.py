"""Winograd: images around a tile and its patch, every padding, channels around the vectors and register tiles."""

import numpy as np

from tests.cases import Kernel, Output

# (n, h, w, c, o, (pad_h, pad_w), far): far is added to y's last size, as padding on the far side alone does
SHAPES = [
    (1, 3, 3, 1, 1, (0, 0), 0),
    (1, 1, 1, 2, 3, (1, 1), 0),
    (2, 4, 5, 3, 2, (1, 1), 0),
    (1, 6, 7, 7, 9, (0, 0), 0),
    (1, 5, 8, 8, 8, (2, 2), 0),
    (1, 9, 6, 15, 17, (1, 0), 0),
    (2, 7, 10, 16, 16, (0, 2), 1),
    (1, 8, 8, 17, 33, (1, 1), -1),
    (3, 13, 11, 20, 37, (1, 1), 2),
    (1, 14, 15, 33, 31, (2, 1), 0),
    (1, 5, 5, 4, 8, (-1, 3), 0),
    (1, 30, 31, 64, 48, (1, 1), 0),
    (3, 6, 6, 130, 70, (1, 1), 0),
    (0, 6, 6, 8, 8, (1, 1), 0),
    (9, 14, 13, 32, 32, (1, 1), 0),
    (2, 21, 75, 3, 40, (1, 1), 0),
]
# of each of two groups
GROUPED = [(2, 4, 5, 7, 9, (1, 1), 0), (1, 7, 10, 16, 16, (0, 2), 1), (2, 25, 37, 16, 16, (1, 1), 0)]


# (tile, taps)
FORMS = [(2, 3), (4, 3), (2, 5), (3, 4)]


def output_size(taps, n, h, w, c, o, padding, far):
    """Images too small for 5 taps get a wider border."""
    more = taps - 3 if taps > min(h + 2 * padding[0], w + 2 * padding[1] + far) else 0
    padding = padding[0] + more, padding[1] + more
    return (n, 1, h + 2 * padding[0] - taps + 1, w + 2 * padding[1] - taps + 1 + far, o), (0, *padding)


def filter_backward(shape, tile, taps, groups=1):
    n, h, w, c, o, _, _ = shape
    size, padding = output_size(taps, *shape)

    def args(rng, dtype):
        x, dy = (rng.standard_normal((*s, channels * groups)).astype(dtype) for s, channels in (((n, 1, h, w), c), (size[:4], o)))
        return [Output((groups * o, c, 1, taps, taps)), Output((groups * o,)), x, dy, padding, tile, groups]

    many = 1 + np.sqrt(np.prod(size[:4]))
    tol = {"float32": (2e-5, 2e-5 * many if taps == 5 else 1e-5 * many), "float64": (1e-12, 1e-13 * many)}
    return Kernel("winograd.filter_backward", f"F{tile}x{taps}-{shape}" + "-groups" * (groups > 1), args, tol)


# (n, h, w, c, o, groups, (pad_h, pad_w), far) along rows alone: c and o of a group
ROWS = [
    *[(1 + size % 2, 21 - size, size, 16, 16, 3, (1, 1), 0) for size in range(1, 21)],
    *[(1, 7, 7, 32, 32, groups, (1, 1), 0) for groups in (1, 3, 32)],
    (2, 14, 14, 16, 16, 32, (1, 1), 0),
    (3, 9, 30, 3, 32, 1, (1, 1), 0),
    (2, 40, 9, 1, 20, 1, (2, 2), 1),
    (1, 66, 17, 4, 65, 1, (0, 0), 0),
    (2, 12, 13, 2, 1, 2, (2, 0), 0),
    (1, 10, 11, 17, 31, 2, (0, 2), 3),
    (1, 6, 10, 35, 5, 1, (-1, 3), 0),
    (9, 13, 22, 16, 33, 9, (1, 1), -1),
    (0, 6, 6, 16, 16, 2, (1, 1), 0),
]


def rows_problem(rng, dtype, shape):
    """x, w, y's size, padding, groups."""
    n, h, w, c, o, groups, padding, far = shape
    size, padding = output_size(3, n, h, w, groups * c, groups * o, padding, far)
    x, f = (rng.standard_normal(s).astype(dtype) for s in ((n, 1, h, w, groups * c), (groups * o, c, 1, 3, 3)))
    return x, f, size, padding, groups


def rows(shape):
    def args(rng, dtype):
        x, f, size, padding, groups = rows_problem(rng, dtype, shape)
        b, r = (rng.standard_normal(s).astype(dtype) for s in (size[4], size))
        return [Output(size), x, f, b, r, padding, "relu", groups]

    tol = {"float32": (0, 200 * 1.2e-7 * (1 + 3 * np.sqrt(shape[3]))), "float64": (1e-12, 1e-12)}
    return Kernel("winograd.rows_conv", str(shape), args, tol)


def rows_filter_backward(shape, taps):
    n, h, w, c, o, groups, padding, far = shape
    size, padding = output_size(taps, n, h, w, groups * c, groups * o, padding, far)

    def args(rng, dtype):
        x, dy = (rng.standard_normal(s).astype(dtype) for s in ((n, 1, h, w, groups * c), size))
        return [Output((groups * o, c, 1, taps, taps)), Output((groups * o,)), x, dy, padding, groups]

    many = 1 + np.sqrt(np.prod(size[:4]))
    tol = {"float32": (2e-5, 1e-5 * many), "float64": (1e-12, 1e-13 * many)}
    return Kernel("winograd.rows_filter_backward", f"{taps}-{shape}", args, tol)


KERNELS = [filter_backward(shape, *form) for shape in SHAPES for form in FORMS]
KERNELS += [filter_backward(shape, *form, 2) for shape in GROUPED for form in FORMS]
KERNELS += [rows(shape) for shape in ROWS]
KERNELS += [rows_filter_backward(shape, taps) for shape in ROWS for taps in (3, 5)]
