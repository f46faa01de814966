"""Resampling: every mode up and down, channels around a vector and a block of four, sizes 1, rows that nothing looks at."""

import numpy as np

from nnrt.ops.resample import band, transposed_band
from tests.cases import Kernel, Op, Output

ONE = ("nearest", 1, 1, None, False)
TOL = {"float32": (1e-5, 2e-6), "float64": (1e-12, 1e-13)}


def resampled(id, n, c, *axes, make=band):
    """resample.resample of n samples with c channels along axes (kind, size in, size out, scale, align_corners)."""
    axes = [ONE] * (3 - len(axes)) + list(axes)

    def args(rng, dtype):
        sizes = [[axis[1] for axis in axes], [axis[2] for axis in axes]]
        before, after = sizes if make is band else sizes[::-1]
        bands = [make(*axis, np.dtype(dtype)) for axis in axes]
        return [Output((n, *after, c)), rng.standard_normal((n, *before, c)).astype(dtype), *bands]

    return Kernel("resample.resample", id if make is band else f"{id}-transposed", args, tol=TOL)


def linear(n, out):
    return "linear", n, out, None, False


KERNELS = [
    resampled(f"{id}{channels}", 2, channels, *axes, make=make)
    for make in (band, transposed_band)
    for channels in (1, 2, 3, 4, 5, 8, 33, 35)
    for id, axes in (("up", [linear(5, 9), linear(4, 11)]), ("down", [linear(9, 4), linear(11, 3)]))
] + [
    resampled(f"{id}{channels}", 2, channels, *axes, make=make)
    for make in (band, transposed_band)
    for channels in (3, 5)
    for id, axes in (
        ("nearest", [("nearest", 4, 8, None, False), ("nearest", 5, 10, None, False)]),
        ("nearest-down", [("nearest", 9, 2, None, False), ("nearest", 10, 3, None, False)]),
        ("cubic", [("cubic", 6, 13, None, True), ("cubic", 7, 3, 0.5, False)]),
        ("area", [("area", 6, 4, None, False), ("area", 3, 7, None, False)]),
        ("antialiased", [("antialiased linear", 30, 7, None, False), ("antialiased cubic", 20, 6, None, True)]),
        ("volume", [linear(3, 5), linear(4, 2), linear(5, 6)]),
        ("line", [linear(500, 1700)]),
        ("wide", [linear(3, 5), linear(1500, 1300)]),
        ("point", [linear(1, 1), linear(1, 4)]),
    )
]
KERNELS += [
    resampled("wide", 1, 64, linear(3, 5), linear(90, 130)),
    resampled("no-batch", 0, 3, linear(3, 5), linear(4, 6)),
    resampled("no-channels", 2, 0, linear(3, 5), linear(4, 6)),
]


def op(id, fn, *shapes, **more):
    return Op(id, fn, lambda rng: [rng.standard_normal(s) for s in shapes], **more)


def interpolated(shape, grad=None, **options):
    id = "-".join(f"{v}" for v in options.values())
    return op(f"interpolate-{len(shape) - 2}d-{id}", lambda t, x: t.nn.functional.interpolate(x, **options), shape, grad=grad)


IMAGE = (2, 3, 5, 6)
OPS = [
    *[interpolated(IMAGE, mode=m, size=(9, 4)) for m in ("nearest", "nearest-exact", "area", "bilinear", "bicubic")],
    *[interpolated(IMAGE, mode=m, scale_factor=(1.7, 0.6)) for m in ("nearest", "nearest-exact", "area")],
    *[
        interpolated(IMAGE, mode=m, scale_factor=(1.7, 0.6), align_corners=a, recompute_scale_factor=r)
        for m in ("bilinear", "bicubic")
        for a, r in ((False, None), (False, True), (True, False))
    ],
    *[
        interpolated(IMAGE, mode=m, size=(3, 8), align_corners=a, antialias=True)
        for m in ("bilinear", "bicubic")
        for a in (False, True)
    ],
    *[interpolated((2, 3, 7), mode=m, size=12) for m in ("nearest", "nearest-exact", "area", "linear")],
    *[interpolated((1, 2, 3, 4, 5), mode=m, size=(5, 3, 7)) for m in ("nearest", "area", "trilinear")],
    interpolated((2, 3, 1, 1), mode="bilinear", size=(4, 3)),
    interpolated((2, 3, 4, 5), mode="bilinear", size=1, align_corners=True),
    interpolated((0, 3, 4, 5), mode="bicubic", size=7),
    interpolated((2, 3, 2, 3), mode="nearest", scale_factor=1.3),
    # Not torch's gradients: they belong to another forward pass, which has the sizes for the factor.
    interpolated((2, 3, 6), grad=(), mode="nearest", scale_factor=1.1),
    *[interpolated(IMAGE, grad=(), mode=m, scale_factor=(1.1, 1.7), antialias=True) for m in ("bilinear", "bicubic")],
    interpolated((1, 2, 6, 2, 6), grad=(), mode="nearest", scale_factor=(1.7, 2.5, 1.1)),
    interpolated((2, 3, 2, 3), mode="bilinear", scale_factor=(1.3, 2)),
    op("interpolate-nhwc", lambda t, x: t.nn.functional.interpolate(x.permute(0, 3, 1, 2), scale_factor=2), (2, 4, 5, 3)),
    op("upsample", lambda t, x: t.nn.functional.interpolate(x, None, 2, "bilinear", True), IMAGE),
    Op(
        "interpolate-uint8",
        lambda t, x: t.nn.functional.interpolate(x, scale_factor=2),
        lambda rng: [rng.integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)],
    ),
]
