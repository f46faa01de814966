"""Narrow groups: channels around a vector, taps that never meet the input, every stride, padding and dilation."""

import numpy as np

from tests.cases import Kernel, Output

TOL = {"float32": (2e-5, 2e-5), "float64": (1e-12, 1e-12)}


def geometry(n, size, c, o, groups, filter, stride=1, padding=0, dilation=1, far=0, act=None, terms="", turned=False):
    """One convolution in its three directions. size and the rest: an int, or a tuple of one to three axes.

    far: added to y's last size, as padding on the far side alone does. turned: the filter's memory has the taps first.
    """
    axes = len(size)

    def triple(v, unit):
        v = (v,) * axes if isinstance(v, int) else tuple(v)
        return (unit,) * (3 - axes) + v

    k, s, p, d = triple(filter, 1), triple(stride, 1), triple(padding, 0), triple(dilation, 1)
    size = triple(size, 1)
    out = [(i + 2 * q - e * (t - 1) - 1) // u + 1 for i, t, u, q, e in zip(size, k, s, p, d)]
    out[2] += far
    y, x, w = (n, *out, o), (n, *size, c), (o, c // groups, *k)

    def normal(rng, dtype, shape, wanted=True):
        return rng.standard_normal(shape).astype(dtype) if wanted else None

    def filter_of(rng, dtype):
        v = normal(rng, dtype, w)
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(v, (0, 1), (4, 3))), (4, 3), (0, 1)) if turned else v

    def forward(rng, dtype):
        inputs = normal(rng, dtype, x), filter_of(rng, dtype), normal(rng, dtype, o, "b" in terms)
        return [Output(y), *inputs, normal(rng, dtype, y, "r" in terms), s, p, d, groups, act]

    def transposed(rng, dtype):
        inputs = normal(rng, dtype, y), filter_of(rng, dtype), normal(rng, dtype, c, "b" in terms)
        return [Output(x), *inputs, normal(rng, dtype, x, "r" in terms), s, p, d, groups, act]

    def filter_backward(rng, dtype):
        db = None if "r" in terms else Output(w[:1])
        return [Output(w), db, normal(rng, dtype, x), normal(rng, dtype, y), s, p, d, groups]

    label = f"{x}-{y}-{w} s{s} p{p} d{d} g{groups} {act or ''} {terms}{' turned' if turned else ''}"
    many = np.sqrt(n * np.prod(out))
    wide = {"float32": (2e-5, 1e-5 * (1 + many)), "float64": (1e-12, 1e-13 * (1 + many))}
    return [
        Kernel("depthwise.conv", label, forward, TOL),
        Kernel("depthwise.conv_transposed", label, transposed, TOL),
        Kernel("depthwise.filter_backward", label, filter_backward, wide),
    ]


def depthwise(n, size, c, *rest, **more):
    return geometry(n, size, c, c, c, *rest, **more)


# channels per group of x, of y: of every remainder against vectors of 2 to 16 lanes
GROUPS = [
    (1, 2, 12), (1, 3, 5), (2, 1, 9), (2, 2, 16), (3, 3, 7), (4, 4, 8), (4, 2, 6), (3, 5, 4), (7, 7, 3), (8, 8, 4),
    (1, 9, 3), (9, 1, 3), (12, 20, 2), (16, 16, 2), (32, 32, 1), (17, 33, 2), (1, 16, 3), (16, 1, 2), (1, 40, 2),
]  # fmt: skip

KERNELS = [
    case
    for cases in [
        *(depthwise(2, (5, 6), c, 3, 1, 1) for c in (1, 3, 4, 7, 8, 9, 16, 17, 33, 67, 130)),
        *(depthwise(1, (9, w), 20, 3, s, 1) for w in (1, 2, 4, 8, 13, 30) for s in (1, 2, 3)),
        *(geometry(2, (6, 7), g * c, g * o, g, 3, s, 1) for c, o, g in GROUPS for s in (1, 2)),
        *(geometry(1, (8, 21), g * c, g * o, g, 3, 1, 1, 2) for c, o, g in ((1, 1, 6), (4, 4, 6), (8, 8, 2))),
        # inputs that no tap reads, as beside the only output of a stride
        *(geometry(2, (6, 5), g * c, g * o, g, 3, 1, p, far=far) for c, o, g in GROUPS for p in (0, 1) for far in (-1, 1)),
        *(depthwise(1, (12, 11), 19, k, s, k // 2) for k in (1, 2, 5, 7) for s in (1, 2)),
        *(depthwise(2, (6, 7), c, 3, s, 1, terms="b", turned=True) for c in (4, 16, 17, 64, 96) for s in (1, 2)),
        *(depthwise(2, size, 37, 3, 1, q, terms="b") for size in ((3, 4), (5, 3), (7, 7), (13, 6)) for q in (1, 0, 2)),
        *(depthwise(2, size, 37, 3, 1, 1) for size in ((1, 1), (2, 9), (1, 5))),
        *(depthwise(2, size, 37, 3, 2, q, terms="b") for size in ((3, 4), (5, 3), (7, 9), (14, 13), (19, 6)) for q in (1, 0)),
        *(depthwise(1, (18, w), 20, 3, s, 1) for w in (131, 144) for s in (1, 2)),  # more columns than a sweep takes
        depthwise(2, (37, 30), 272, 3, 2, 1, act="relu", terms="br"),
        depthwise(1, (200, 165), 64, 3, 2, 1),  # fetched ahead, and written past the caches
        depthwise(1, (200, 165), 64, 3, 1, 1),  # fetched ahead, and written past the caches
        *(depthwise(1, (9, 9), 48, 3, 1, 1, far=far) for far in (2, 1, -1, -3)),
        *(depthwise(1, (3, 8, 11), 80, (1, 3, 3), 1, (0, 1, 1), act=act, terms="br") for act in (None, "relu", "gelu")),
        depthwise(1, (30, 30), 272, 3, 1, 1, act="relu", terms="b"),
        depthwise(1, (4, 5, 6), 32, (1, 2, 3), 1, 1, turned=True),
        geometry(2, (6, 7), 16, 32, 16, 3, turned=True),
        depthwise(2, (40,), 18, 5, 1, 2),
        depthwise(2, (40,), 3, 9, 3, 4),
        geometry(2, (50,), 12, 24, 3, 4, 2, 3, 2),
        depthwise(2, (4, 5, 6), 10, 3, 1, 1),
        depthwise(1, (5, 5, 9), 9, (2, 3, 1), (2, 1, 3), (1, 0, 2), (1, 2, 1)),
        geometry(1, (3, 4, 5), 8, 8, 2, 3, 2, 1),
        depthwise(1, (7, 9), 12, (3, 2), (1, 2), (2, 0), (2, 3)),
        depthwise(1, (4, 4), 12, 4),
        depthwise(1, (3, 3), 12, 3, 1, 6),  # outputs that see the padding alone
        depthwise(1, (6, 6), 12, 2, 4, 0),  # inputs that nothing reads
        depthwise(1, (9, 9), 12, 3, 1, -1),
        depthwise(1, (9, 9), 12, 3, 2, (-2, 1)),
        depthwise(1, (9, 9), 12, 3, 1, 1, far=2),
        depthwise(1, (9, 9), 12, 3, 1, 1, far=-3),
        depthwise(1, (1, 1), 40, 3, 1, 1),
        depthwise(1, (1, 1), 40, 5, 3, 2),
        depthwise(0, (5, 5), 8, 3, 1, 1),
        geometry(0, (5, 5), 8, 8, 2, 3, 1, 1),
        depthwise(3, (20, 30), 70, 3, 1, 1),  # several tasks
        depthwise(1, (30, 70), 64, 3, 1, 1),  # several blocks of pixels, and strips of them fetched ahead
        *(depthwise(1, (11, 9), 128, k, s, 1) for k, s in ((3, 1), (3, 2), (4, 1))),  # pixels that compete for lines of L1
        *(depthwise(2, (7, 5), 512, k, s, 2, d) for k, s, d in ((3, 1, 1), (3, 2, 2), (5, 1, 1))),  # copied side by side
        depthwise(1, (60, 40), 36, 5, 2, 2),
        geometry(2, (20, 18), 128, 128, 32, 3, 1, 1),
        geometry(1, (20, 18), 128, 128, 16, 3, 2, 1),
        geometry(1, (20, 18), 128, 128, 4, 3, 1, 1),
        geometry(1, (19, 12), 128, 144, 16, 3, 1, 1, terms="b"),  # a line of two groups copied side by side
        geometry(1, (19, 12), 384, 384, 128, 3, 1, 1, terms="b"),  # of five groups, and of three at the end
        *(
            geometry(1, (6, 9), g * c, g * o, g, 3, 1, 1, act=act, terms=terms)
            for c, o, g in ((1, 1, 21), (1, 1, 3), (4, 4, 5), (16, 16, 2))
            for act, terms in ((None, "b"), (None, "r"), ("relu", "br"), ("silu", "b"), ("gelu", "r"))
        ),
    ]
    for case in cases
]
