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


KERNELS = [filter_backward(shape, *form) for shape in SHAPES for form in FORMS]
KERNELS += [filter_backward(shape, *form, 2) for shape in GROUPED for form in FORMS]
