"""Padding: every mode and number of axes, one side alone, amounts up to the limit, negative amounts, NHWC, dtypes."""

import numpy as np

from tests.cases import Op

MODES = ("reflect", "replicate", "circular")


def pad(id, shape, amounts, mode="constant", value=None, **more):
    def fn(t, x):
        return t.nn.functional.pad(x, amounts, mode, value)

    return Op(f"{id}-{mode}", fn, lambda rng: [rng.standard_normal(shape)], **more)


def nhwc(mode, amounts):
    def fn(t, x):
        x = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
        y = t.nn.functional.pad(x, amounts, mode)
        assert y.permute(0, 2, 3, 1).is_contiguous() or t.__name__ == "torch"
        return y

    return Op(f"nhwc-{mode}", fn, lambda rng: [rng.standard_normal((2, 3, 5, 6))])


OPS = [
    pad("all-axes", (2, 3, 4), (1, 2, 0, 1, 3, 0), value=1.5),
    pad("last", (2, 3), (1, 2)),
    pad("nothing", (2, 3), (0, 0)),
    pad("no-axes", (2, 3), ()),
    pad("0d", (), ()),
    pad("empty", (0, 3), (1, 1, 1, 0), value=2),
    pad("cut", (4, 5), (-1, -2, -1, 0)),
    pad("cut-and-grown", (4, 5), (-1, 2, 3, -2), value=-1.0),
    pad("cut-to-nothing", (4, 5), (-2, -3)),
    Op("int-value", lambda t, x: t.nn.functional.pad(x, (1, 1), value=3), lambda rng: [np.arange(6).reshape(2, 3)]),
    *[
        pad(id, shape, amounts, mode)
        for mode in MODES
        for id, shape, amounts in (
            ("1d", (2, 3, 5), (2, 3)),
            ("1d-unbatched", (3, 5), (0, 4)),
            ("1d-left", (2, 3, 5), (4, 0)),
            ("2d", (2, 3, 4, 5), (1, 2, 3, 0)),
            ("2d-unbatched", (3, 4, 5), (4, 3, 2, 1)),
            ("3d", (2, 2, 3, 4, 5), (1, 2, 3, 0, 2, 1)),
            ("3d-unbatched", (2, 3, 4, 5), (1, 1, 1, 1, 1, 1)),
            ("nothing", (2, 3, 5), (0, 0)),
            ("cut", (2, 3, 6, 7), (-1, -2, -3, 0)),
            ("cut-and-grown", (2, 3, 6, 7), (-2, 3, 2, -3)),
            ("cut-most", (3, 5), (-4, 0)),
            ("no-batch", (0, 3, 5), (1, 2)),
        )
    ],
    *[pad("whole", (2, 3, 5), (5, 5), mode) for mode in ("replicate", "circular")],
    pad("several-times", (2, 3, 2), (7, 9), "replicate"),
    pad("one", (2, 1, 1), (2, 3), "replicate"),
    *[nhwc(mode, (2, 1, 0, 3)) for mode in ("constant", *MODES)],
    Op("bool-circular", lambda t, x: t.nn.functional.pad(x, (1, 2), "circular"), lambda rng: [rng.random((3, 4)) < 0.5]),
]
