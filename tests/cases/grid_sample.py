"""Grids: every mode, padding and alignment on images and volumes, places far outside, one pixel, no places, NHWC."""

import numpy as np

from tests.cases import Kernel, Op, Output

TOL = {"float32": (1e-4, 5e-5), "float64": (1e-10, 1e-11)}


def sampled(id, x, places, spread=1.3, **options):
    def inputs(rng):
        grid = spread * rng.uniform(-1, 1, (x[0], *places, len(x) - 2))
        return [rng.standard_normal(x), grid]

    return Op(id, lambda t, x, g: t.nn.functional.grid_sample(x, g, **options), inputs, tol=TOL)


def affine(id, theta, size, **options):
    def fn(t, theta):
        return t.nn.functional.affine_grid(theta, size, **options)

    return Op(f"affine-{id}", fn, lambda rng: [rng.standard_normal(theta)])


def kernels(c, size, places, mode, padding, aligned):
    """The three kernels: places inside, on the border, far outside and nowhere."""
    axes = len(size) if size[0] > 1 else 2
    image, looked = (2, *size, c), (2, *(1,) * (3 - axes), *places, c)

    def grid(rng, dtype):
        g = rng.uniform(-2.5, 2.5, (2, np.prod(places), axes)).astype(dtype)
        g[0, :3, 0] = 1, np.nan, 1e20
        return g

    def normal(rng, dtype, shape):
        return rng.standard_normal(shape).astype(dtype)

    options = mode, padding, aligned
    args = {
        "grid_sample": lambda rng, dtype: [Output(looked), normal(rng, dtype, image), grid(rng, dtype), *options],
        "grid_sample_dx": lambda rng, dtype: [Output(image), normal(rng, dtype, looked), grid(rng, dtype), *options],
        "grid_sample_dgrid": lambda rng, dtype: [
            Output((2, np.prod(places), axes)), normal(rng, dtype, looked), normal(rng, dtype, image), grid(rng, dtype), *options,
        ],
    }  # fmt: skip
    label = f"{image} {places} {mode} {padding} {aligned}"
    return [Kernel(f"resample.{name}", label, make, tol=TOL) for name, make in args.items()]


KERNELS = [
    kernel
    for c, size, places, mode in [
        (1, (1, 5, 6), (4, 3), "bilinear"), (3, (1, 5, 6), (40, 40), "bilinear"), (35, (1, 4, 3), (5, 5), "bicubic"),
        (1, (1, 5, 6), (7, 5), "nearest"), (2, (1, 1, 6), (3, 9), "bilinear"), (2, (1, 5, 4), (3, 7), "bicubic"),
        (16, (1, 5, 6), (5, 5), "nearest"), (9, (3, 4, 5), (2, 3, 3), "bilinear"), (2, (3, 4, 5), (2, 3, 3), "nearest"), (3, (2, 4, 5), (2, 3, 3), "bilinear"),
    ]
    for padding, aligned in [("zeros", False), ("border", True), ("reflection", False)]
    for kernel in kernels(c, size, places, mode, padding, aligned)
]  # fmt: skip

IMAGE, VOLUME = (2, 3, 5, 6), (2, 3, 3, 4, 5)
OPS = [
    *[
        sampled(f"{mode}-{padding}-{corners}", IMAGE, (4, 3), 2.7, mode=mode, padding_mode=padding, align_corners=corners)
        for mode in ("bilinear", "nearest", "bicubic")
        for padding in ("zeros", "border", "reflection")
        for corners in (False, True)
    ],
    *[
        sampled(f"3d-{mode}-{padding}", VOLUME, (2, 3, 4), mode=mode, padding_mode=padding, align_corners=False)
        for mode in ("bilinear", "nearest")
        for padding in ("zeros", "border", "reflection")
    ],
    sampled("3d-corners", VOLUME, (2, 3, 4), align_corners=True),
    *[
        sampled(f"one-pixel-{padding}", (2, 3, 1, 1), (3, 3), padding_mode=padding, align_corners=True)
        for padding in ("zeros", "border", "reflection")
    ],
    sampled("channels", (1, 37, 4, 4), (5, 5), align_corners=False),
    affine("2d", (2, 2, 3), (2, 3, 4, 5), align_corners=False),
    affine("2d-corners", (2, 2, 3), (2, 3, 4, 5), align_corners=True),
    affine("3d", (1, 3, 4), (1, 2, 3, 4, 5), align_corners=False),
    affine("one-pixel", (1, 2, 3), (1, 1, 1, 4), align_corners=True),
]
