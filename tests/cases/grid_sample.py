"""Grids: every mode, padding and alignment on images and volumes, places far outside, one pixel, no places, NHWC."""

from tests.cases import Op

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
