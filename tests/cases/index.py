"""Indexing: kernels around their tiles and with repeated and absent indices; ops in all argument forms."""

import numpy as np

from tests.cases import Kernel, Op, Output, around

X = (4, 3, 5)
INT = np.int64


def values(rng, dtype, *shape):
    return rng.standard_normal(shape).astype(dtype)


def sorted_of(index, rows):
    """(order, starts) of a counting sort."""
    order = np.argsort(index, kind="stable").astype(INT)
    return order, np.concatenate([[0], np.cumsum(np.bincount(index, minlength=rows))]).astype(INT)


def nonzero_args(mask):
    return [Output((np.count_nonzero(mask), mask.ndim), INT), mask]


def take_args(o, r, n, d):
    def args(rng, dtype):
        return [Output((o, n, d)), values(rng, dtype, o, r, d), rng.integers(-1, r, n)]

    return args


def segment_args(o, r, n, d, weighted, based, m=None):
    def args(rng, dtype):
        order, starts = sorted_of(rng.integers(0, r, n), r)
        if m is not None:
            order = rng.integers(0, m, n)
        base = values(rng, dtype, o, r, d) if based else None
        weights = values(rng, dtype, n) if weighted else None
        return [Output((o, r, d)), base, weights, values(rng, dtype, o, m or n, d), order, starts]

    return args


def gather_args(o, r, n, d, strided):
    def args(rng, dtype):
        x = values(rng, dtype, d, 2 * r, o)[:, ::2].transpose() if strided else values(rng, dtype, o, r, d)
        return [Output((o, n, d)), x, rng.integers(0, r, (o, n, d))]

    return args


def scatter_args(o, r, n, d, based, strided):
    def args(rng, dtype):
        x = values(rng, dtype, d, 2 * n, o)[:, ::2].transpose() if strided else values(rng, dtype, o, n, d)
        return [
            Output((o, r, d)),
            values(rng, dtype, o, r, d) if based else None,
            x,
            rng.integers(0, r, (o, n, d)),
        ]

    return args


SIZES = [(1, 1, 1, 1), (2, 5, 0, 3), (1, 7, 9, 0), (3, 4, 17, 1), (1, 300, 2000, 33), (2, 3, 5000, 4)]
TOL = {"float32": (1e-5, 1e-5), "float64": (1e-12, 1e-12)}

KERNELS = [
    *[
        Kernel(
            "index.check",
            f"{n}-{bad}",
            lambda rng, dtype, n=n, bad=bad: [
                Output((1,), INT),
                np.where(np.arange(n) == bad, -1 if n % 2 else 7, rng.integers(0, 7, n)),
                7,
            ],
        )
        for n in [*around(8), 150_000]
        for bad in (-1, 0, n // 2, n - 1)
    ],
    *[
        Kernel(
            "index.counting_sort",
            f"{n}-{r}",
            lambda rng, dtype, n=n, r=r: [
                Output((n,), INT),
                Output((r + 1,), INT),
                rng.integers(0, r, n),
            ],
        )
        for n in [*around(8), 3000]
        for r in (1, 5, 1000)
    ],
    *[
        Kernel("index.nonzero", f"{s}-{p}", lambda rng, dtype, s=s, p=p: nonzero_args(rng.random(s) < p))
        for s in ((0,), (7,), (5, 0), (13, 9), (3, 4, 5), (2, 1, 3, 17))
        for p in (0.4, 0, 1)[: 3 if len(s) < 3 else 1]
    ],
    *[
        Kernel("index.take", "-".join(map(str, s)), take_args(*s))
        for s in [*SIZES, (1, 50, 700, 257), (4, 9, 100, 16), (1, 1100, 33, 1023)]
    ],
    *[
        Kernel("index.segment_sum", f"{s}-{w}-{b}", segment_args(*s, w, b), tol=TOL)
        for s in [*SIZES, *[(1, 6, 40, d) for d in around(16)], *[(1, 2, 200, d) for d in around(32)], *[(1, 2, n, 8) for n in around(64)]]
        for w, b in ((False, False), (True, True))
    ],
    Kernel("index.segment_sum", "from-a-table", segment_args(1, 8, 30, 20, True, False, m=5), tol=TOL),
    *[Kernel("index.gather", f"{s}-{v}", gather_args(*s, v)) for s in SIZES for v in (False, True)],
    *[
        Kernel("index.scatter", f"{s}-{b}-{v}", scatter_args(*s, b, v))
        for s in [*SIZES, (2, 40, 30, 70)]
        for b, v in ((False, False), (True, True))
    ],
    *[
        Kernel(
            "index.scatter_add",
            f"{s}-{b}-{v}",
            scatter_args(*s, b, v),
            tol={"float32": (1e-4, 1e-4), "float64": (1e-11, 1e-11)},
        )
        for s in SIZES
        for b, v in ((False, False), (True, True))
    ],
]


def op(id, fn, *shapes, index=None, **more):
    """A case on standard normal inputs, with index(rng) arrays after them."""

    def inputs(rng):
        made = [rng.standard_normal(s) for s in shapes]
        return made + (list(index(rng)) if index else [])

    return Op(id, fn, inputs, **more)


def ints(high, *shape):
    return lambda rng: [rng.integers(0, high, shape)]


def distinct(n, dim, shape):
    """Indices along dim that repeat nowhere: the only kind whose overwriting torch differentiates."""

    def make(rng):
        order = np.argsort(rng.random(tuple(n if i == dim else s for i, s in enumerate(shape))), axis=dim)
        return [np.take(order, range(shape[dim]), axis=dim)]

    return make


def mask(*shape):
    return lambda rng: [rng.random(shape) < 0.5]


def scattered(x, s, i):
    """scatter along axis 1, one source after the other."""
    out = x.copy()
    for row, n in np.ndindex(i.shape):
        out[row, i[row, n]] = s[row, n]
    return out


def added(x, s, i):
    out = x.copy()
    for row, n in np.ndindex(i.shape):
        out[row, i[row, n]] += s[row, n]
    return out


GETITEM = [
    op("int", lambda t, x: x[1], X),
    op("negative-int", lambda t, x: x[-1, 2], X),
    op("all-ints", lambda t, x: x[1, 2, 3], X),
    op("slice", lambda t, x: x[1:3], X),
    op("slices", lambda t, x: x[:, ::2, -3:], X),
    op("slice-out-of-range", lambda t, x: x[2:99], X),
    op("empty-slice", lambda t, x: x[3:1], X),
    op("none", lambda t, x: x[:, None, 1:], X),
    op("ellipsis", lambda t, x: x[..., 1], X),
    op("ellipsis-none", lambda t, x: x[..., None], X),
    op("two-ellipses", lambda t, x: (x[..., ...], x[..., 0, ...], x[..., None, ...], x[0, ..., 1, ..., 2]), X),
    op("two-ellipses-tensor", lambda t, x, i: (x[..., i, ...], x[1, ..., 0, ..., i]), X, index=ints(4, 2)),
    op("0d-ellipsis", lambda t, x: x[...], ()),
    op("0d-none", lambda t, x: x[None], ()),
    op("true", lambda t, x: x[True], (2, 3)),
    op("false", lambda t, x: x[False], (2, 3)),
    op("list", lambda t, x: x[[0, 2, 2]], X),
    op("list-negative", lambda t, x: x[[-1, 0]], X),
    op("tensor", lambda t, x, i: x[i], X, index=ints(4, 6)),
    op("tensor-2d", lambda t, x, i: x[i], X, index=ints(4, 2, 3)),
    op("tensor-0d", lambda t, x, i: x[i], X, index=ints(4)),
    op("tensor-empty", lambda t, x, i: x[i], X, index=ints(4, 0)),
    op("tensor-axis-1", lambda t, x, i: x[:, i], X, index=ints(3, 4)),
    op("tensor-last", lambda t, x, i: x[..., i], X, index=ints(5, 2, 2)),
    op(
        "two-tensors",
        lambda t, x, i, j: x[i, j],
        X,
        index=lambda r: [r.integers(0, 4, 5), r.integers(0, 3, 5)],
    ),
    op(
        "two-broadcast",
        lambda t, x, i, j: x[i, j],
        X,
        index=lambda r: [r.integers(0, 4, (5, 1)), r.integers(0, 3, 2)],
    ),
    op(
        "two-later",
        lambda t, x, i, j: x[:, i, j],
        X,
        index=lambda r: [r.integers(0, 3, 4), r.integers(0, 5, 4)],
    ),
    op(
        "two-apart",
        lambda t, x, i, j: x[i, :, j],
        X,
        index=lambda r: [r.integers(0, 4, 3), r.integers(0, 5, 3)],
    ),
    op("int-and-tensor", lambda t, x, i: x[0, :, i], X, index=ints(5, 3)),
    op("tensor-and-int", lambda t, x, i: x[i, :, 1], X, index=ints(4, 3)),
    op("slice-and-tensor", lambda t, x, i: x[1:, i, ::2], X, index=ints(3, 2)),
    op("none-and-tensor", lambda t, x, i: x[None, :, i], X, index=ints(3, 2)),
    op(
        "tensor-none-tensor",
        lambda t, x, i, j: x[i, None, j],
        X,
        index=lambda r: [r.integers(0, 4, 3), r.integers(0, 3, 3)],
    ),
    op(
        "negative-tensors",
        lambda t, x, i, j: x[i, j],
        X,
        index=lambda r: [r.integers(-4, 0, 3), r.integers(-3, 3, 3)],
    ),
    op("mask", lambda t, x, m: x[m], X, index=mask(*X)),
    op("mask-rows", lambda t, x, m: x[m], X, index=mask(4)),
    op("mask-axis-1", lambda t, x, m: x[:, m], X, index=mask(3)),
    op("mask-2d-slice", lambda t, x, m: x[m, 1:], X, index=mask(4, 3)),
    op("mask-none-true", lambda t, x, m: x[m], X, index=lambda rng: [np.zeros(4, bool)]),
    op(
        "mask-and-tensor",
        lambda t, x, m, i: x[m, i],
        X,
        index=lambda r: [np.array([True, False, True, True]), r.integers(0, 3, 3)],
    ),
    op("comparison", lambda t, x: x[x > 0], X),
    op("of-permuted", lambda t, x, i: x.permute(2, 0, 1)[i], X, index=ints(5, 7)),
]

READS = [
    op("gather-0", lambda t, x, i: t.gather(x, 0, i), X, index=ints(4, 6, 3, 5)),
    op("gather-1", lambda t, x, i: x.gather(1, i), X, index=ints(3, 4, 2, 5)),
    op("gather-last", lambda t, x, i: x.gather(-1, i), X, index=ints(5, 2, 3, 7)),
    op("gather-small", lambda t, x, i: t.gather(x, 1, i), X, index=ints(3, 2, 9, 1)),
    op("gather-1d", lambda t, x, i: x.gather(0, i), (6,), index=ints(6, 9)),
    op("gather-0d", lambda t, x, i: x.gather(0, i), (), index=ints(1)),
    op("gather-empty", lambda t, x, i: x.gather(0, i), (3, 2), index=ints(3, 0, 2)),
    op("index-select", lambda t, x, i: t.index_select(x, 0, i), X, index=ints(4, 7)),
    op("index-select-1", lambda t, x, i: x.index_select(-2, i), X, index=ints(3, 5)),
    op("index-select-0d", lambda t, x, i: x.index_select(0, i), (), index=ints(1, 1)),
    op("take", lambda t, x, i: t.take(x, i), X, index=lambda r: [r.integers(-60, 60, (2, 4))]),
    op("take-along-dim", lambda t, x, i: t.take_along_dim(x, i, 1), X, index=ints(3, 4, 2, 5)),
    op("take-along-dim-broadcast", lambda t, x, i: t.take_along_dim(x, i, dim=1), X, index=ints(3, 4, 2, 1)),
    op("take-along-dim-flat", lambda t, x, i: t.take_along_dim(x, i), X, index=ints(60, 8)),
    op("masked-select", lambda t, x, m: t.masked_select(x, m), X, index=mask(*X)),
    op("masked-select-broadcast", lambda t, x, m: x.masked_select(m), (4, 1), index=mask(3)),
    op("masked-fill", lambda t, x, m: t.masked_fill(x, m, -1.5), X, index=mask(*X)),
    op("masked-fill-broadcast", lambda t, x, m: x.masked_fill(m, float("-inf")).exp(), X, index=mask(3, 1)),
    op("masked-fill-tensor", lambda t, x, v, m: x.masked_fill(m, v), X, (), index=mask(*X)),
    op("masked-scatter", lambda t, x, s, m: t.masked_scatter(x, m, s), (4, 5), (30,), index=mask(4, 5)),
    op("nonzero", lambda t, x, m: t.nonzero(m), (), index=mask(4, 3), grad=()),
    op("nonzero-tuple", lambda t, x, m: m.nonzero(as_tuple=True), (), index=mask(4, 3), grad=()),
    op("nonzero-0d", lambda t, x: x.nonzero(), (), grad=()),
    op("argwhere", lambda t, x, m: t.argwhere(m), (), index=mask(4, 3), grad=()),
    op("searchsorted", lambda t, x, y: t.searchsorted(x.sort().values, y), (9,), (2, 3), grad=()),
    op(
        "searchsorted-right",
        lambda t, x, y: t.searchsorted(x.sort().values, y, right=True),
        (3, 9),
        (3, 4),
        grad=(),
    ),
    op("bucketize", lambda t, x, y: t.bucketize(y, x.sort().values, out_int32=True), (9,), (2, 3), grad=()),
]

WRITES = [
    op("scatter", lambda t, x, s, i: t.scatter(x, 0, i, s), X, (2, 3, 5), index=distinct(4, 0, (2, 3, 5))),
    op("scatter-part", lambda t, x, s, i: x.scatter(1, i, s), X, X, index=distinct(3, 1, (2, 2, 4)), grad=()),
    op(
        "scatter-repeats",
        lambda t, x, s, i: x.scatter(1, i, s),
        (2, 3),
        (4, 6),
        index=ints(3, 2, 5),
        torch=False,
        expected=scattered,
    ),
    op("scatter-number", lambda t, x, i: x.scatter(2, i, 7.5), X, index=ints(5, 4, 3, 2)),
    op("scatter-value", lambda t, x, i: x.scatter(0, i, value=2.0), X, index=ints(4, 1, 3, 5)),
    op(
        "scatter-reduce-add",
        lambda t, x, s, i: x.scatter(0, i, s, reduce="add"),
        X,
        (2, 3, 5),
        index=ints(4, 2, 3, 5),
        grad=(),
    ),
    op("scatter-0d", lambda t, x, s, i: x.scatter(0, i, s), (), (), index=ints(1)),
    op("scatter-empty", lambda t, x, s, i: x.scatter(0, i, s), (3,), (2,), index=ints(3, 0), grad=()),
    op("scatter-add", lambda t, x, s, i: t.scatter_add(x, 0, i, s), X, (6, 3, 5), index=ints(4, 6, 3, 5)),
    op("scatter-add-1d", lambda t, x, s, i: x.scatter_add(0, i, s), (5,), (50,), index=ints(5, 50)),
    op(
        "scatter-add-part",
        lambda t, x, s, i: x.scatter_add(-1, i, s),
        X,
        (4, 3, 9),
        index=ints(5, 2, 2, 8),
        grad=(),
    ),
    op(
        "scatter-add-part-gradient",
        lambda t, x, s, i: x.scatter_add(1, i, s),
        (2, 3),
        (4, 6),
        index=ints(3, 1, 5),
        torch=False,
        expected=added,
    ),
    *[
        op(
            f"scatter-reduce-{r}-{own}",
            lambda t, x, s, i, r=r, own=own: t.scatter_reduce(x, 1, i, s, reduce=r, include_self=own),
            (3, 4),
            (3, 7),
            index=ints(4, 3, 7),
        )
        for r in ("sum", "mean", "prod", "amax", "amin")
        for own in (True, False)
    ],
    op("index-add", lambda t, x, s, i: t.index_add(x, 0, i, s), X, (6, 3, 5), index=ints(4, 6)),
    op(
        "index-add-alpha", lambda t, x, s, i: x.index_add(1, i, s, alpha=-0.5), X, (4, 5, 5), index=ints(3, 5)
    ),
    op(
        "index-copy",
        lambda t, x, s, i: t.index_copy(x, 1, i, s),
        X,
        (4, 2, 5),
        index=lambda r: [r.permutation(3)[:2]],
    ),
    op("index-fill", lambda t, x, i: t.index_fill(x, 2, i, 3.0), X, index=ints(5, 2)),
    op(
        "index-fill-tensor",
        lambda t, x, v, i: x.index_fill(0, i, v),
        X,
        (),
        index=lambda r: [np.array([2, 0])],
    ),
    op(
        "index-put",
        lambda t, x, v, i, j: t.index_put(x, (i, j), v),
        X,
        (2, 5),
        index=lambda r: [np.array([0, 2]), np.array([1, 1])],
    ),
    op("index-put-add", lambda t, x, v, i: x.index_put((i,), v, accumulate=True), X, (5,), index=ints(4, 6)),
]


def functional(name):
    """F.<name> of torch and of nnrt."""

    def find(t):
        if t.__name__ == "torch":
            return getattr(t.nn.functional, name)
        import nnrt.ops.embedding

        return getattr(nnrt.ops.embedding, name)

    return find


EMBEDDING = functional("embedding")
BAG = functional("embedding_bag")

TABLES = [
    op("embedding", lambda t, w, i: EMBEDDING(t)(i, w), (7, 4), index=ints(7, 3, 5)),
    op("embedding-0d", lambda t, w, i: EMBEDDING(t)(i, w), (7, 4), index=ints(7)),
    op("embedding-empty", lambda t, w, i: EMBEDDING(t)(i, w), (7, 4), index=ints(7, 0)),
    op("embedding-many", lambda t, w, i: EMBEDDING(t)(i, w), (5, 33), index=ints(5, 400)),
    op(
        "embedding-freq",
        lambda t, w, i: EMBEDDING(t)(i, w, scale_grad_by_freq=True),
        (5, 2),
        index=ints(5, 9),
        grad=(),
    ),
    op("bag-mean", lambda t, w, i: BAG(t)(i, w), (7, 4), index=ints(7, 3, 5)),
    op("bag-sum", lambda t, w, i: BAG(t)(i, w, mode="sum"), (7, 4), index=ints(7, 3, 5)),
    op("bag-max", lambda t, w, i: BAG(t)(i, w, mode="max"), (7, 4), index=ints(7, 3, 5)),
    *[
        op(
            f"bag-offsets-{mode}",
            lambda t, w, i, o, mode=mode: BAG(t)(i, w, o, mode=mode),
            (7, 4),
            index=lambda r: [r.integers(0, 7, 9), np.array([0, 3, 3, 8])],
        )
        for mode in ("sum", "mean", "max")
    ],
    op(
        "bag-weights",
        lambda t, w, v, i, o: BAG(t)(i, w, o, mode="sum", per_sample_weights=v),
        (7, 4),
        (9,),
        index=lambda r: [r.integers(0, 7, 9), np.array([0, 4, 9])],
    ),
    op(
        "bag-last-offset",
        lambda t, w, i, o: BAG(t)(i, w, o, mode="mean", include_last_offset=True),
        (7, 4),
        index=lambda r: [r.integers(0, 7, 9), np.array([0, 4, 9])],
    ),
]

OPS = GETITEM + READS + WRITES + TABLES
