"""Convolutions: sizes around the filter's reach, channels around the register tiles, every stride, padding and dilation."""

import numpy as np

from tests.cases import Kernel, Op, Output, Packed

TOL = {"float32": (2e-5, 1e-4), "float64": (1e-12, 1e-12)}


def three(value, fill, dims):
    value = (value,) * dims if isinstance(value, int) else value
    return (fill,) * (3 - dims) + tuple(value)


def geometry(n, size, c, o, k, stride=1, padding=0, dilation=1, groups=1, far=(), terms="", act=None):
    """One convolution in its three directions. size, k, ...: one to three axes, or an int for all of them.

    far: added to y's last sizes, as more padding behind does. terms: b for a bias, r for a residual.
    """
    dims = len(size)
    size, k, stride = three(size, 1, dims), three(k, 1, dims), three(stride, 1, dims)
    padding, dilation, far = three(padding, 0, dims), three(dilation, 1, dims), three(far, 0, len(far))
    out = [
        (m + 2 * p - d * (t - 1) - 1) // s + 1 + f for m, p, d, t, s, f in zip(size, padding, dilation, k, stride, far)
    ]
    x, y, w = (n, *size, c), (n, *out, o), (o, c // groups, *k)

    def normal(rng, dtype, shape):
        return rng.standard_normal(shape).astype(dtype)

    def product(backward):
        def args(rng, dtype):
            filters = normal(rng, dtype, w)

            def pack(family):
                p = np.full(family.filter_size(w, groups, filters.dtype, backward), np.nan, dtype)
                family.pack_filter(p, filters, stride, dilation, groups, backward)
                return p

            given, wanted = (y, x) if backward else (x, y)
            return [
                Output(wanted), normal(rng, dtype, given), Packed(pack), w,
                normal(rng, dtype, wanted[-1]) if "b" in terms else None,
                normal(rng, dtype, wanted) if "r" in terms else None,
                stride, padding, dilation, groups, act,
            ]  # fmt: skip

        return args

    def fold(rng, dtype):
        b = normal(rng, dtype, (c,)) if "b" in terms else None
        return [Output(x), normal(rng, dtype, (n, *out, *k, c)), b, stride, padding, dilation]

    def filter_backward(rng, dtype):
        db = None if "r" in terms else Output(w[:1])
        return [Output(w), db, normal(rng, dtype, x), normal(rng, dtype, y), stride, padding, dilation, groups]

    label = f"{x} {y} {w} s{stride} p{padding} d{dilation} g{groups} {terms} {act or ''}"
    many = np.sqrt(n * np.prod(out))
    long = {"float32": (2e-5, 1e-5 * (10 + many)), "float64": (1e-12, 1e-13 * (10 + many))}
    return [
        Kernel("conv.conv", label, product(False), TOL),
        Kernel("conv.conv_transposed", label, product(True), TOL),
        Kernel("conv.filter_backward", label, filter_backward, long),
        *([Kernel("conv.fold", label, fold, TOL)] if groups == 1 and "r" not in terms and not act else []),
    ]


CHANNELS = (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 32, 33, 67)
GROUPS = [(1, 1, 6), (2, 3, 4), (3, 1, 5), (8, 8, 2), (16, 16, 3), (17, 5, 2), (1, 16, 3), (33, 40, 2)]

KERNELS = [
    case
    for cases in [
        *(geometry(2, (5, 6), c, o, 3, 1, 1) for c in CHANNELS for o in (1, 3, 16, 17)),
        *(geometry(1, (4, 7), c, o, 3, 1, 1) for c in (1, 3, 5, 16) for o in CHANNELS),
        *(geometry(1, (3, w), 5, 18, 3, 1, 1) for w in (1, 2, 5, 6, 7, 13, 14, 15, 29, 31)),
        *(geometry(1, (9, 11), 4, 20, k, s, k // 2) for k in (1, 2, 3, 4, 5, 7) for s in (1, 2, 3)),
        *(geometry(1, (12, 13), 6, 9, (3, 2), s, 1, d) for s in (1, 2, 3, 4) for d in (1, 2, 3)),
        *(geometry(2, (6, 7), g * c, g * o, 3, s, 1, groups=g) for c, o, g in GROUPS for s in (1, 2)),
        geometry(2, (40,), 7, 18, 5, 1, 2),
        geometry(1, (200,), 3, 8, 31, 4, 15),
        geometry(2, (50,), 12, 24, 4, 2, 3, 2, groups=3),
        geometry(2, (4, 5, 6), 10, 7, 3, 1, 1),
        geometry(1, (5, 6, 9), 9, 16, (2, 3, 1), (2, 1, 3), (1, 0, 2), (1, 2, 1)),
        geometry(1, (3, 4, 5), 8, 12, 3, 2, 1, groups=4),
        geometry(1, (7, 9), 12, 5, (3, 2), (1, 2), (2, 0), (2, 3)),
        geometry(1, (4, 4), 12, 10, 4),  # the filter is as large as the input
        geometry(3, (4, 6), 5, 33, (4, 6)),
        geometry(1, (1, 1), 12, 10, 3, 1, 1),
        geometry(1, (2, 2), 12, 10, 5, 3, 4),
        geometry(2, (1, 1), 24, 81, 2, (2, 1), (1, 3), groups=3),  # a stride that the only input does not take
        geometry(1, (3, 3), 6, 10, 3, 1, 6),  # outputs that see the padding alone
        geometry(1, (6, 6), 6, 10, 2, 4),  # inputs that nothing reads
        geometry(1, (9, 9), 6, 10, 3, 1, -1),
        geometry(1, (9, 9), 6, 10, 3, 2, (-2, 1)),
        geometry(1, (9, 9), 6, 10, 3, 1, 1, far=(2,)),
        geometry(1, (9, 9), 6, 10, 4, 1, 1, far=(1, 1)),
        geometry(1, (9, 9), 6, 10, 3, 1, 1, far=(-2, -3)),
        geometry(1, (40, 1), 3, 20, (3, 1), 1, (1, 0)),
        geometry(1, (1, 300), 3, 5, (1, 9), (1, 2), (0, 4)),
        geometry(0, (5, 5), 8, 6, 3, 1, 1),
        geometry(0, (5, 5), 8, 6, 3, 1, 1, groups=2),
        geometry(1, (5, 5), 0, 6, 3, 1, 1),
        geometry(5, (12, 14), 40, 33, 3, 1, 1),  # several tasks
        geometry(1, (6, 7), 300, 70, 3, 1, 1),
        geometry(1, (4, 4), 520, 130, 1),
        geometry(2, (33, 40), 3, 64, 7, 2, 3),
        geometry(1, (60, 40), 16, 36, 5, 2, 2),
        geometry(1, (30, 40), 24, 6, 3, 1, 2, 2),
        geometry(3, (20, 18), 64, 64, 3, 1, 1, groups=2),
        geometry(2, (7, 7), 180, 324, 3, 1, 1, groups=9),  # groups make tasks, an uneven number of them
        *(
            geometry(1, (6, 9), g * 5, g * 17, 3, 1, 1, 1, g, terms=terms, act=act)
            for g in (1, 2)
            for act, terms in (
                (None, "b"), (None, "r"), ("relu", "br"), ("silu", "b"), ("gelu", "r"), ("gelu_tanh", ""), ("tanh", "b"),
                ("sigmoid", "br"), ("relu", ""),
            )
        ),
    ]
    for case in cases
]  # fmt: skip


def arrays(*shapes):
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


# x, w, has a bias, the rest
CONVS = [
    ((2, 3, 9), (4, 3, 3), True, {}),
    ((3, 9), (4, 3, 3), True, {"stride": 2, "padding": 1}),
    ((2, 4, 12), (6, 2, 3), False, {"groups": 2, "dilation": 2}),
    ((1, 2, 7), (3, 2, 7), True, {}),
    ((2, 3, 8), (5, 3, 4), True, {"padding": "same"}),
    ((1, 1, 30), (1, 1, 9), False, {"padding": 8}),
    ((2, 3, 7, 8), (4, 3, 3, 3), True, {}),
    ((2, 3, 7, 8), (4, 3, 3, 3), False, {"padding": 1, "stride": 2}),
    ((3, 7, 8), (4, 3, 3, 2), True, {"padding": (1, 0), "stride": (1, 2)}),
    ((1, 3, 7, 8), (4, 3, 3, 3), True, {"padding": "same", "dilation": (2, 1)}),
    ((1, 3, 7, 8), (4, 3, 4, 2), True, {"padding": "same"}),
    ((1, 3, 7, 8), (4, 3, 2, 2), True, {"padding": "valid", "stride": [2, 3]}),
    ((2, 6, 6, 5), (4, 3, 3, 3), True, {"groups": 2, "padding": (2,)}),
    ((2, 6, 6, 5), (6, 1, 3, 3), True, {"groups": 6, "padding": 1}),
    ((2, 3, 6, 5), (9, 1, 3, 3), False, {"groups": 3, "dilation": 2}),
    ((2, 5, 4, 3), (7, 5, 1, 1), True, {}),
    ((5, 4, 3), (7, 5, 1, 1), False, {}),
    ((2, 5, 4, 3), (7, 5, 1, 1), True, {"stride": 2}),
    ((2, 5, 2, 2), (20, 5, 1, 1), True, {"stride": 2}),
    ((2, 5, 4, 3), (7, 5, 1, 1), True, {"padding": 1}),
    ((2, 6, 4, 3), (4, 3, 1, 1), True, {"groups": 2}),
    ((1, 2, 5, 5), (3, 2, 5, 5), True, {}),
    ((0, 3, 5, 5), (4, 3, 3, 3), True, {}),
    ((0, 3, 5, 5), (4, 3, 1, 1), True, {}),
    ((1, 16, 9, 10), (17, 16, 3, 3), True, {"padding": 1}),
    ((1, 8, 13, 12), (32, 8, 3, 3), False, {"padding": 2}),
    ((2, 2, 5, 6, 4), (3, 2, 3, 2, 1), True, {"padding": 1, "stride": (2, 1, 1)}),
    ((4, 5, 4, 3), (4, 1, 2, 2, 2), True, {"groups": 4}),
    ((1, 2, 3, 4, 5), (3, 2, 1, 1, 1), True, {}),
    ((1, 2, 4, 5, 4), (2, 2, 3, 3, 3), True, {"padding": "same", "dilation": 2}),
]  # fmt: skip

TRANSPOSED = [
    ((2, 3, 7), (3, 4, 3), True, {}),
    ((3, 7), (3, 4, 4), True, {"stride": 2, "padding": 1}),
    ((2, 4, 6), (4, 3, 3), True, {"groups": 2, "stride": 3, "output_padding": 2, "dilation": 2}),
    ((2, 3, 4, 5), (3, 4, 3, 3), True, {}),
    ((2, 3, 4, 5), (3, 4, 4, 4), False, {"stride": 2, "padding": 1}),
    ((1, 3, 4, 5), (3, 4, 3, 2), True, {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2)}),
    ((1, 3, 4, 5), (3, 4, 2, 2), True, {"dilation": 3, "output_padding": 2}),
    ((3, 4, 5), (3, 2, 2, 2), True, {"groups": 3, "stride": 3}),
    ((2, 4, 4, 5), (4, 1, 3, 3), True, {"groups": 4, "padding": 1}),
    ((2, 4, 4, 5), (4, 6, 1, 1), True, {}),
    ((2, 4, 4, 5), (4, 6, 1, 1), True, {"stride": 2}),
    ((2, 4, 1, 1), (4, 20, 1, 1), True, {"stride": 2, "output_padding": 1}),
    ((0, 4, 4, 5), (4, 6, 3, 3), True, {}),
    ((1, 3, 4, 5), (3, 4, 3, 3), True, {"padding": 2}),
    ((1, 3, 1, 2), (3, 4, 3, 3), False, {"padding": 1, "stride": 2}),
    ((1, 16, 7, 6), (16, 20, 3, 3), True, {"padding": 1}),
    ((2, 2, 3, 4, 2), (2, 3, 3, 2, 1), True, {"stride": (2, 1, 1), "padding": (1, 0, 0)}),
    ((2, 3, 2, 4), (2, 3, 2, 2, 2), True, {"stride": 2}),
]  # fmt: skip


def op(kind, x, w, bias, options):
    dims = len(w) - 2

    def call(t, *tensors):
        return getattr(t.nn.functional, f"{kind}{dims}d")(*tensors, **options)

    out = w[1] * options.get("groups", 1) if "transpose" in kind else w[0]
    shapes = (x, w, (out,)) if bias else (x, w)
    # Winograd's larger tile: relative errors of 1e-5
    tol = {"float32": (5e-5, 2e-4), "float64": (1e-10, 1e-11)}
    return Op(f"{kind}-{x}-{w}-{' '.join(f'{k}={v}' for k, v in options.items())}", call, arrays(*shapes), tol=tol)


def channels_last(t, x):
    """x of 4 dimensions, its memory channels last."""
    return x.to(memory_format=t.channels_last)


OPS = [
    *(op("conv", *case) for case in CONVS),
    *(op("conv_transpose", *case) for case in TRANSPOSED),
    Op(
        "conv-of-channels-last",
        lambda t, x, w: t.nn.functional.conv2d(channels_last(t, x), w, padding=1),
        arrays((2, 3, 5, 6), (4, 3, 3, 3)),
    ),
    Op(
        "conv-of-conv",
        lambda t, x, w, v: t.conv2d(t.relu(t.conv2d(x, w, padding=1)), v, stride=2),
        arrays((2, 3, 6, 6), (4, 3, 3, 3), (2, 4, 3, 3)),
    ),
    Op(
        "conv-of-itself",
        lambda t, x: t.conv2d(x, x.transpose(0, 1), padding=1),
        arrays((2, 2, 3, 3)),
    ),
    Op(
        "conv-causal",
        lambda t, x, w: t.conv1d(t.nn.functional.pad(x, (4, 0)), w, dilation=2),
        arrays((2, 3, 9), (4, 3, 3)),
    ),
]
