"""Errors of 3 x 3 convolutions in float32 by algorithm, against float64. python bench/conv_errors.py

x and dy are Gaussian, x also behind a ReLU, w Gaussian over the root of its fan-in. Each figure is the rms error, and the
largest one, over the rms of the exact result, in units of 1e-7.
"""

import numpy as np

from nnrt import registry

D, W = registry.family("conv"), registry.family("winograd")
ONE, PAD = (1, 1, 1), (0, 1, 1)
SHAPES = [(8, 56, 64), (8, 28, 128), (8, 14, 256)]  # N, H = W, C = O


def products(x, w, dy, how):
    """y, dx, dw of one algorithm: "direct", 2 or 4."""
    y, dx, dw = np.empty_like(dy), np.empty_like(x), np.empty_like(w)
    for out, a, backward in ((y, x, False), (dx, dy, True)):
        if how == "direct":
            p = np.empty(D.filter_size(w.shape, 1, w.dtype, backward), w.dtype)
            D.pack_filter(p, w, ONE, ONE, 1, backward)
            kernel = D.conv_transposed if backward else D.conv
            kernel(out, a, p, w.shape, None, None, ONE, PAD, ONE, 1, None)
        else:
            u = np.empty(W.filter_size(w.shape, w.dtype, how), w.dtype)
            W.transform_filter(u, w, how, backward)
            W.conv(out, a, u, None, None, PAD, 3, how, None)
    if how == "direct":
        D.filter_backward(dw, None, x, dy, ONE, PAD, ONE, 1)
    else:
        W.filter_backward(dw, x, dy, PAD, how)
    return y, dx, dw


def main():
    rng = np.random.default_rng(0)
    print("| shape | x | algorithm | y | dx | dw |\n|--|--|--|--|--|--|")
    for n, size, c in SHAPES:
        for kind in ("Gaussian", "ReLU"):
            x, dy = (rng.standard_normal((n, 1, size, size, c)) for _ in range(2))
            x = np.maximum(x, 0) if kind == "ReLU" else x
            w = rng.standard_normal((c, c, 1, 3, 3)) / np.sqrt(9 * c)
            single = [a.astype(np.float32) for a in (x, w, dy)]
            exact = products(*(a.astype(np.float64) for a in single), "direct")
            for how in ("direct", 2, 4):
                cells = []
                for got, want in zip(products(*single, how), exact):
                    error, rms = np.abs(got - want), np.sqrt(np.mean(want**2))
                    cells.append(f"{1e7 * np.sqrt(np.mean(error**2)) / rms:.1f}, {1e7 * error.max() / rms:.0f}")
                name = how if how == "direct" else f"F({how})"
                print(f"| {n} x {c} x {size} x {size} | {kind} | {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
