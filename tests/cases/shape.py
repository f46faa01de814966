"""Views, joins and rearrangements: every argument form, negative dims, sizes 0 and 1, 0-d, NHWC memory."""

import numpy as np

from tests.cases import Kernel, Op, Output, around

X = (2, 3, 4)


def op(id, fn, *shapes, **more):
    """A case on standard normal inputs of the given shapes."""
    return Op(id, fn, lambda rng: [rng.standard_normal(s) for s in shapes], **more)


def nhwc(t, x):
    """x [N, C, H, W] with its memory in NHWC order."""
    return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


def copied(shape, x_axes, out_axes=None, step=1):
    """shape.copy of x whose memory order is x_axes (with gaps where step is 2) to an output in order
    out_axes."""

    def args(rng, dtype):
        x = np.asarray(rng.standard_normal([shape[a] * step for a in x_axes]), dtype)
        x = x[(..., *[slice(None, None, step) for _ in shape])].transpose(np.argsort(x_axes))
        return [Output(shape, axes=out_axes), x]

    return args


KERNELS = [
    *[Kernel("shape.copy", f"transpose-{n}", copied((n, 40), (1, 0))) for n in around(16)],
    *[Kernel("shape.copy", f"transpose-to-{n}", copied((40, n), (1, 0))) for n in around(16)],
    Kernel("shape.copy", "transpose-large", copied((1033, 517), (1, 0))),
    Kernel("shape.copy", "0d", copied((), ())),
    Kernel("shape.copy", "to-nhwc", copied((2, 19, 33, 35), (0, 1, 2, 3), (0, 2, 3, 1))),
    Kernel("shape.copy", "from-nhwc", copied((2, 19, 33, 35), (0, 2, 3, 1))),
    Kernel("shape.copy", "to-rgb", copied((3, 3, 17, 18), (0, 1, 2, 3), (0, 2, 3, 1))),
    Kernel("shape.copy", "from-rgb", copied((3, 3, 17, 18), (0, 2, 3, 1))),
    Kernel("shape.copy", "reversed-axes", copied((3, 4, 5, 6, 7), (4, 3, 2, 1, 0))),
    Kernel("shape.copy", "gaps", copied((5, 17, 18), (0, 1, 2), step=2)),
    Kernel("shape.copy", "gaps-transposed", copied((5, 17, 18), (2, 0, 1), (1, 2, 0), step=2)),
    Kernel(
        "shape.copy",
        "mirrored",
        lambda rng, dtype: [Output((9, 20)), rng.standard_normal((9, 20)).astype(dtype)[::-1, ::-1]],
    ),
    Kernel(
        "shape.copy",
        "repeated",
        lambda rng, dtype: [
            Output((9, 20)),
            np.broadcast_to(rng.standard_normal((9, 1)).astype(dtype), (9, 20)),
        ],
    ),
    *[
        Kernel(
            "shape.copy",
            f"one-value-{n}",
            lambda rng, dtype, n=n: [Output((n,)), np.broadcast_to(rng.standard_normal(1).astype(dtype), n)],
        )
        for n in (7, 32768, 70001)
    ],
    *[
        Kernel(
            "shape.triangle",
            f"{size}-{diagonal}-{upper}",
            lambda rng, dtype, size=size, diagonal=diagonal, upper=upper: [
                Output(size), rng.standard_normal(size).astype(dtype), diagonal, upper
            ],
        )
        for size in ((0, 3), (5, 9), (2, 7, 4))
        for diagonal in (0, 2, -3, 40, -40)
        for upper in (False, True)
    ],
    *[
        Kernel(
            "shape.convert",
            f"{n}-{to}",
            lambda rng, dtype, n=n, to=to: [
                Output((n,), to), (rng.standard_normal(n) * 10.0 ** rng.integers(-9, 4 if to == np.float32 else 6, n)).astype(dtype).astype(
                    np.float16 if to == np.float32 else dtype)
            ],
        )
        for n in [*around(8), 40000]
        for to in (np.float16, np.float32)
    ],
    Kernel("shape.copy", "every-second", copied((70001,), (0,), step=2)),
    *[
        Kernel(
            "shape.blocks",
            f"{x}-{s}-{top}-{left}".replace(" ", ""),
            lambda rng, dtype, out=(x[0], *size, s, s * x[3]), x=x, top=top, left=left: [
                Output(out), rng.standard_normal(x).astype(dtype), top, left
            ],
        )
        for x, size, s, top, left in (
            ((2, 9, 11, 3), (8, 9), 2, 3, 3), ((1, 16, 15, 3), (5, 5), 4, 2, 1), ((1, 7, 7, 16), (4, 5), 2, 0, 1),
            ((3, 2, 2, 3), (3, 3), 2, 7, 9), ((1, 8, 8, 1), (2, 3), 3, 1, 0), ((40, 40, 40, 3), (21, 21), 2, 1, 1),
            ((0, 8, 8, 3), (4, 4), 2, 0, 0),
        )
    ],
]

def parts(rng, dtype, *shapes):
    return [np.array(rng.standard_normal(s), dtype) for s in shapes]


KERNELS += [
    *[
        Kernel(f"shape.{kind}", id, lambda rng, dtype, out=out, axis=axis, shapes=shapes: [
            Output(out), parts(rng, dtype, *shapes), axis
        ])
        for kind, id, out, axis, shapes in (
            ("cat", "rows", (7, 3), 0, [(2, 3), (4, 3), (1, 3)]),
            ("cat", "columns", (3, 7), 1, [(3, 2), (3, 0), (3, 5)]),
            ("cat", "middle", (2, 5, 3), 1, [(2, 1, 3), (2, 4, 3)]),
            ("cat", "large", (300, 701), 1, [(300, 200), (300, 501)]),
            ("cat", "nothing", (0, 5), 1, [(0, 2), (0, 3)]),
            ("cat", "many", (100, 2), 0, [(1, 2)] * 100),
            ("stack", "first", (2, 3, 4), 0, [(3, 4)] * 2),
            ("stack", "last", (3, 4, 2), 2, [(3, 4)] * 2),
            ("stack", "0d", (3,), 0, [(3,)[:0]] * 3),
        )
    ],
    Kernel("shape.cat", "transposed", lambda rng, dtype: [
        Output((4, 5)), [rng.standard_normal((5, 1)).astype(dtype).T, rng.standard_normal((3, 5)).astype(dtype)], 0
    ]),
    Kernel("shape.cat", "to-nhwc", lambda rng, dtype: [
        Output((2, 3, 4, 5), axes=(0, 2, 3, 1)), parts(rng, dtype, (2, 1, 4, 5), (2, 2, 4, 5)), 1
    ]),
]  # fmt: skip

VIEWS = [
    op("reshape", lambda t, x: t.reshape(x, (4, 6)), X),
    op("reshape-infer", lambda t, x: x.reshape(-1, 2), X),
    op("reshape-list", lambda t, x: x.reshape([3, -1]), X),
    op("reshape-same", lambda t, x: x.reshape(2, 3, 4), X),
    op("reshape-of-permuted", lambda t, x: x.permute(2, 0, 1).reshape(8, 3), X),
    op("reshape-of-nhwc", lambda t, x: nhwc(t, x).reshape(2, 3, 20), (2, 3, 4, 5)),
    op("reshape-to-0d", lambda t, x: x.reshape(()), (1, 1)),
    op("reshape-from-0d", lambda t, x: x.reshape(1, 1), ()),
    op("reshape-empty", lambda t, x: x.reshape(-1, 3), (0, 3, 2)),
    op("view", lambda t, x: x.view(6, 4), X),
    op("view-as", lambda t, x, y: x.view_as(y), X, (6, 4), grad=(0,)),
    op("reshape-as", lambda t, x, y: x.reshape_as(y), X, (6, 4), grad=(0,)),
    op("flatten", lambda t, x: t.flatten(x), X),
    op("flatten-from-1", lambda t, x: t.flatten(x, 1), X),
    op("flatten-range", lambda t, x: x.flatten(0, -2), X),
    op("flatten-0d", lambda t, x: x.flatten(), ()),
    op("flatten-nhwc", lambda t, x: nhwc(t, x).flatten(1), (2, 3, 2, 2)),
    op("ravel", lambda t, x: t.ravel(x.transpose(0, 2)), X),
    op("unflatten", lambda t, x: x.unflatten(1, (2, -1)), (3, 6)),
    op("unflatten-last", lambda t, x: t.unflatten(x, -1, (2, 2)), X),
    op("squeeze", lambda t, x: t.squeeze(x), (1, 3, 1, 2)),
    op("squeeze-dim", lambda t, x: x.squeeze(0), (1, 3, 1)),
    op("squeeze-not-one", lambda t, x: x.squeeze(1), (1, 3, 1)),
    op("squeeze-dims", lambda t, x: x.squeeze((0, -1)), (1, 3, 1)),
    op("squeeze-0d", lambda t, x: x.squeeze(0), ()),
    op("unsqueeze-0", lambda t, x: t.unsqueeze(x, 0), (3,)),
    op("unsqueeze-last", lambda t, x: x.unsqueeze(-1), X),
    op("unsqueeze-middle", lambda t, x: x.unsqueeze(2), X),
    op("unsqueeze-0d", lambda t, x: x.unsqueeze(0), ()),
    op("permute", lambda t, x: x.permute(2, 0, 1), X),
    op("permute-tuple", lambda t, x: t.permute(x, (1, -1, 0)), X),
    op("transpose", lambda t, x: t.transpose(x, 0, 2), X),
    op("transpose-negative", lambda t, x: x.transpose(-1, -2), X),
    op("transpose-0d", lambda t, x: x.transpose(0, -1), ()),
    op("swapaxes", lambda t, x: t.swapaxes(x, 0, 1), X),
    op("swapdims", lambda t, x: x.swapdims(0, 1), X),
    op("t", lambda t, x: x.t(), (3, 4)),
    op("t-1d", lambda t, x: t.t(x), (3,)),
    op("T", lambda t, x: x.T, (3, 4)),
    op("mT", lambda t, x: x.mT, X),
    op("movedim", lambda t, x: t.movedim(x, 0, -1), X),
    op("movedim-several", lambda t, x: x.movedim((0, 2), (1, 0)), X),
    op("moveaxis", lambda t, x: t.moveaxis(x, (0, 1), (-1, -2)), X),
    op("expand", lambda t, x: x.expand(5, -1, 4), (3, 1)),
    op("expand-tuple", lambda t, x: x.expand((2, 3)), (1, 3)),
    op("expand-0d", lambda t, x: x.expand(2, 2), ()),
    op("expand-empty", lambda t, x: x.expand(0, 3), (1, 3)),
    op("expand-as", lambda t, x, y: x.expand_as(y), (1, 3), (4, 3), grad=(0,)),
    op("broadcast-to", lambda t, x: t.broadcast_to(x, (4, 3)), (3,)),
    op("broadcast-tensors", lambda t, x, y: t.broadcast_tensors(x, y), (3, 1), (4,)),
    op("atleast-1d", lambda t, x: t.atleast_1d(x), ()),
    op("atleast-2d", lambda t, x: t.atleast_2d(x), (3,)),
    op("atleast-3d", lambda t, x: t.atleast_3d(x), (3, 2)),
    op("atleast-3d-of-1d", lambda t, x: t.atleast_3d(x), (3,)),
    op("select", lambda t, x: t.select(x, 1, -1), X),
    op("select-first", lambda t, x: x.select(0, 0), (3,)),
    op("narrow", lambda t, x: t.narrow(x, 1, 1, 2), X),
    op("narrow-negative", lambda t, x: x.narrow(-1, -3, 2), X),
    op("narrow-nothing", lambda t, x: x.narrow(0, 2, 0), X),
    op("diagonal", lambda t, x: t.diagonal(x), (3, 4)),
    op("diagonal-offset", lambda t, x: x.diagonal(-1, 0, 2), X),
    op("diagonal-outside", lambda t, x: x.diagonal(7), (3, 4)),
    op("unfold", lambda t, x: x.unfold(1, 3, 2), (2, 8)),
    op("unfold-overlap", lambda t, x: x.unfold(0, 3, 1), (7, 2)),
    op("unfold-gaps", lambda t, x: x.unfold(-1, 2, 3), (2, 9)),
    op("unfold-empty-windows", lambda t, x: x.unfold(0, 0, 1), (3, 2)),
    op("as-strided", lambda t, x: t.as_strided(x.contiguous(), (2, 2), (3, 1), 1), (3, 4)),
    op("as-strided-overlap", lambda t, x: t.as_strided(x.contiguous(), (3, 2), (1, 1)), (6,)),
    op("as-strided-of-transposed", lambda t, x: t.as_strided(x.contiguous().t(), (4, 3), (1, 4)), (3, 4)),
    op("split", lambda t, x: t.split(x, 2, 1), (2, 5)),
    op("split-sizes", lambda t, x: x.split([1, 0, 3], -1), X),
    op("split-one", lambda t, x: x.split(9), (5, 2)),
    op("split-some-used", lambda t, x: x.split(2)[1] * 2, (5, 2)),
    op("chunk", lambda t, x: t.chunk(x, 3, 1), (2, 7)),
    op("chunk-few", lambda t, x: x.chunk(4), (6,)),
    op("tensor-split", lambda t, x: t.tensor_split(x, 3), (7, 2)),
    op("tensor-split-at", lambda t, x: x.tensor_split((1, 4), 1), (2, 6)),
    op("tensor-split-overlap", lambda t, x: x.tensor_split((4, 2), 0), (6,)),
    op("hsplit", lambda t, x: t.hsplit(x, 2), (2, 4)),
    op("vsplit", lambda t, x: t.vsplit(x, (1,)), (3, 4)),
    op("dsplit", lambda t, x: t.dsplit(x, 2), X),
    op("unbind", lambda t, x: t.unbind(x), (3, 2)),
    op("unbind-1", lambda t, x: x.unbind(1), X),
    op("unbind-to-0d", lambda t, x: x.unbind(), (3,)),
    op("iterate", lambda t, x: [row * i for i, row in enumerate(x)], (3, 2)),
    op("clone", lambda t, x: t.clone(x), X),
    op("contiguous", lambda t, x: x.transpose(0, 1).contiguous(), X),
    op("channels-last", lambda t, x: x.contiguous(memory_format=t.channels_last), (2, 3, 2, 2)),
    op("views-of-views", lambda t, x: x.transpose(0, 1)[1:, :, None].reshape(-1, 2, 2).select(0, 1).t(), X),
]

JOINS = [
    op("cat", lambda t, x, y: t.cat([x, y]), (2, 3), (1, 3)),
    op("cat-last", lambda t, x, y: t.cat((x, y), -1), (2, 3), (2, 1)),
    op("cat-keyword", lambda t, x, y: t.cat(tensors=(x, y), dim=1), (2, 3), (2, 2)),
    op("cat-same-twice", lambda t, x: t.cat([x, x], 1), (2, 3)),
    op("cat-empty", lambda t, x, y: t.cat([x, y], 0), (0, 3), (2, 3)),
    op("cat-skips-1d-empty", lambda t, x, y: t.cat([x, y], 1), (0,), (2, 3)),
    op("cat-nhwc", lambda t, x, y: t.cat([nhwc(t, x), nhwc(t, y)], 1), (2, 3, 2, 2), (2, 1, 2, 2)),
    op("concat", lambda t, x, y: t.concat([x, y]), (2,), (3,)),
    op("stack", lambda t, x, y: t.stack([x, y]), (2, 3), (2, 3)),
    op("stack-last", lambda t, x, y: t.stack((x, y), dim=-1), (2, 3), (2, 3)),
    op("stack-0d", lambda t, x, y: t.stack([x, y]), (), ()),
    op("hstack", lambda t, x, y: t.hstack([x, y]), (2, 3), (2, 1)),
    op("hstack-1d", lambda t, x, y: t.hstack([x, y]), (2,), (3,)),
    op("vstack", lambda t, x, y: t.vstack([x, y]), (3,), (2, 3)),
    op("dstack", lambda t, x, y: t.dstack([x, y]), (2, 3), (2, 3)),
    op("column-stack", lambda t, x, y: t.column_stack([x, y]), (3,), (3, 2)),
    op("meshgrid", lambda t, x, y: t.meshgrid(x, y, indexing="ij"), (2,), (3,)),
    op("meshgrid-xy", lambda t, x, y: t.meshgrid(x, y, indexing="xy"), (2,), (3,)),
    op("cartesian-prod", lambda t, x, y: t.cartesian_prod(x, y), (2,), (3,)),
    op("block-diag", lambda t, x, y, z: t.block_diag(x, y, z), (2, 1), (3,), ()),
]

COPIES = [
    op("flip", lambda t, x: t.flip(x, (0, 2)), X),
    op("flip-negative", lambda t, x: x.flip(-1), X),
    op("fliplr", lambda t, x: t.fliplr(x), (2, 3)),
    op("flipud", lambda t, x: t.flipud(x), (2, 3)),
    op("roll", lambda t, x: t.roll(x, 1), X),
    op("roll-dims", lambda t, x: x.roll((1, -2), (0, 1)), X),
    op("roll-far", lambda t, x: x.roll(11, 2), X),
    op("roll-axis-twice", lambda t, x: x.roll((1, 1), (0, 0)), (5,)),
    *[op(f"rot90-{k}", lambda t, x, k=k: t.rot90(x, k, (0, 1)), (2, 3)) for k in range(-1, 4)],
    op("rot90-dims", lambda t, x: t.rot90(x, 1, (2, 1)), X),
    op("repeat", lambda t, x: x.repeat(2, 3), (2, 3)),
    op("repeat-more-axes", lambda t, x: x.repeat(2, 1, 2), (3, 2)),
    op("repeat-zero", lambda t, x: x.repeat(0, 2), (3, 2)),
    op("repeat-0d", lambda t, x: x.repeat(3), ()),
    op("tile", lambda t, x: t.tile(x, (2,)), (2, 3)),
    op("tile-more", lambda t, x: x.tile(2, 1, 3), (2,)),
    op("repeat-interleave", lambda t, x: t.repeat_interleave(x, 2), (2, 3)),
    op("repeat-interleave-dim", lambda t, x: x.repeat_interleave(3, 1), (2, 3)),
    Op(
        "repeat-interleave-each",
        lambda t, x, n: t.repeat_interleave(x, n, 0),
        lambda rng: [rng.standard_normal((3, 2)), np.array([2, 0, 3])],
    ),
    op("tril", lambda t, x: t.tril(x), (4, 4)),
    op("tril-offset", lambda t, x: x.tril(-1), (2, 3, 4)),
    op("triu", lambda t, x: t.triu(x), (3, 4)),
    op("triu-offset", lambda t, x: x.triu(2), (2, 4, 3)),
    op("diag-of-vector", lambda t, x: t.diag(x, 1), (3,)),
    op("diag-of-matrix", lambda t, x: x.diag(-1), (3, 4)),
    op("diag-embed", lambda t, x: t.diag_embed(x), (2, 3)),
    op("diag-embed-dims", lambda t, x: t.diag_embed(x, -1, 0, 2), (2, 3)),
    op("trace", lambda t, x: t.trace(x), (3, 4)),
    op("to-float64", lambda t, x: x.to(t.float64) * 2, X),
    op(
        "to-and-back",
        lambda t, x: x.double().float(),
        X,
        tol={"float32": (1e-6, 1e-7), "float64": (1e-6, 1e-6)},
        grad=(),
    ),
]

OPS = VIEWS + JOINS + COPIES
