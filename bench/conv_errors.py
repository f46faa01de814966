"""Errors of convolutions in float32 by algorithm, against the direct one in float64. python bench/conv_errors.py

x and dy are Gaussian, w Gaussian over the root of its fan-in. Each figure is the rms error, and the largest one, over the rms
of the exact result, in units of 1e-7. `python bench/conv_errors.py relu`: x behind a ReLU.
"""

import sys

import numpy as np

import nnrt
import nnrt.nn.functional as F
from nnrt import config

NAMES = {"direct": "direct", "winograd2": "F(2)", "winograd3": "F(3)", "winograd4": "F(4)", "fft": "fft"}
SQUARE = "direct", "winograd2", "winograd4"
TABLES = [  # title, algorithms, (shape of x, outputs, taps, options)
    ("3 x 3", SQUARE, [((8, c, n, n), c, 3, {"padding": 1}) for c, n in ((64, 56), (128, 28), (256, 14))]),
    ("5 x 5", SQUARE[:2], [((8, c, n, n), c, 5, {"padding": 2}) for c, n in ((16, 56), (64, 28), (128, 14))]),
    (
        "4 x 4, stride 2",
        SQUARE,
        [((8, c, n, n), 2 * c, 4, {"padding": 1, "stride": 2}) for c, n in ((32, 64), (128, 16), (256, 8))],
    ),
    (
        "3 x 3, stride 2",
        SQUARE,
        [((8, c, n, n), 2 * c, 3, {"padding": 1, "stride": 2}) for c, n in ((64, 56), (128, 28), (256, 14))],
    ),
    ("4 x 4", ("direct", "winograd3"), [((8, c, n, n), c, 4, {"padding": 1}) for c, n in ((64, 56), (256, 14))]),
    ("7 x 7, stride 2", ("direct", "winograd3"), [((8, 3, 224, 224), 64, 7, {"padding": 3, "stride": 2})]),
    ("11 x 11, stride 4", ("direct", "winograd4"), [((8, 3, 224, 224), 64, 11, {"padding": 2, "stride": 4})]),
    (
        "one axis, its taps behind the shape",
        ("direct", "fft"),
        [((4, c, 4096), c, k, {"padding": k // 2}) for c, k in ((16, 127), (64, 127), (1, 1023), (16, 1023))],
    ),
]


def products(x, w, dy, how, options):
    """y, dx, dw of one algorithm, in float64; dx None where it takes another."""
    op = "conv1d" if x.ndim == 3 else "conv2d"
    with config.use(conv=how):
        ran = nnrt.explain(op, x.shape, w.shape, x.dtype, **options)
        other = f"input's gradient {how} (" not in ran
        if ran.count(f" {how} (") + other != 3:
            raise SystemExit(f"{how} is not possible: {ran}")
        x, w = (nnrt.tensor(a, requires_grad=True) for a in (x, w))
        y = getattr(F, op)(x, w, **options)
        y.backward(nnrt.tensor(dy[tuple(slice(n) for n in y.shape)]))
    return [None if other and t is x.grad else t.detach().numpy().astype(np.float64) for t in (y, x.grad, w.grad)]


def main():
    rng = np.random.default_rng(0)
    for title, hows, rows in TABLES:
        print(f"\n{title}\n\n| shape | algorithm | y | dx | dw |\n|--|--|--|--|--|")
        for size, outputs, taps, options in rows:
            x = rng.standard_normal(size)
            x = np.maximum(x, 0) if "relu" in sys.argv else x
            w = rng.standard_normal((outputs, size[1], *[taps] * (len(size) - 2)))
            w /= np.sqrt(w[0].size)
            arrays = [a.astype(np.float32) for a in (x, w, rng.standard_normal((size[0], outputs, *size[2:])))]
            exact = products(*[a.astype(np.float64) for a in arrays], "direct", options)
            shape = " x ".join(map(str, size)) + (f", {taps}" if len(size) == 3 else "")
            for how in hows:
                cells = []
                for got, want in zip(products(*arrays, how, options), exact):
                    if got is None:
                        cells.append("")
                        continue
                    error, rms = np.abs(got - want), np.sqrt(np.mean(want**2))
                    cells.append(f"{1e7 * np.sqrt(np.mean(error**2)) / rms:.1f}, {1e7 * error.max() / rms:.0f}")
                print(f"| {shape} | {NAMES[how]} | {' | '.join(cells)} |", flush=True)
                shape = ""


if __name__ == "__main__":
    main()
