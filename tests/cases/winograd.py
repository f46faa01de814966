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
]


def output_size(n, h, w, c, o, padding, far):
    return n, 1, h + 2 * padding[0] - 2, w + 2 * padding[1] - 2 + far, o


def filter_backward(shape, tile):
    n, h, w, c, o, padding, _ = shape

    def args(rng, dtype):
        x, dy = (rng.standard_normal(s).astype(dtype) for s in ((n, 1, h, w, c), output_size(*shape)))
        return [Output((o, c, 1, 3, 3)), x, dy, (0, *padding), tile]

    many = 1 + np.sqrt(np.prod(output_size(*shape)[:4]))
    tol = {"float32": (2e-5, 1e-5 * many), "float64": (1e-12, 1e-13 * many)}
    return Kernel("winograd.filter_backward", f"F{tile}-{shape}", args, tol)


KERNELS = [filter_backward(shape, tile) for shape in SHAPES for tile in (2, 4)]
