"""Losses: pointwise around a vector and a task, at kinks and ends; classes in rows and in columns."""

import numpy as np

from nnrt._ref import loss as ref_loss
from tests.cases import Kernel, Op, Output, around

SIZES = [*around(64), 16384 + 5, 3 * 16384]
CUBES = [
    *[(3, n, 1) for n in [1, 2, 31, 32, 33, 1000]],
    *[(2, n, 3) for n in [1, 7, 300]],
    (3, 10, 257),
    (2, 3000, 20),
    (300, 4, 1),
    (0, 3, 1),
]
TOL = {"float32": (5e-5, 5e-6), "float64": (1e-11, 1e-12)}
IGNORED = -100


def _pair(rng, dtype, kind, n):
    """x and t in the kind's domain, with ties, zeros and ones among them."""
    x, t = rng.standard_normal((2, n)) * 2
    if kind in ("bce", "kl"):
        t = np.clip(rng.random(n) * 1.4 - 0.2, 0, 1)
    if kind == "bce":
        x = np.clip(rng.random(n) * 1.1 - 0.05, 0, 1)
    if kind in ("l1", "mse", "smooth_l1", "huber"):
        x[: n // 4] = t[: n // 4]
    return x.astype(dtype), t.astype(dtype)


KINDS = [
    ("mse", 0.0, False),
    ("l1", 0.0, False),
    ("smooth_l1", 0.7, False),
    ("huber", 1.3, False),
    ("bce", 0.0, False),
    ("bce_logits", 0.0, False),
    ("bce_logits", 0.0, True),
    ("kl", 0.0, False),
    ("kl_log", 0.0, False),
]


def _pointwise(kind, a, weighted, n):
    def weight(rng, dtype):
        return rng.random(n).astype(dtype) + 1 if weighted else None

    def each(rng, dtype):
        return [Output((n,)), *_pair(rng, dtype, kind, n), weight(rng, dtype), kind, a]

    def total(rng, dtype):
        return [Output(()), *_pair(rng, dtype, kind, n), weight(rng, dtype), kind, a, 3.0]

    def backward(rng, dtype, dx=True, dt=True, one=True):
        dy = rng.standard_normal(() if one else n)
        outs = [Output((n,)) if dx else None, Output((n,)) if dt else None]
        return [*outs, np.asarray(dy, dtype), *_pair(rng, dtype, kind, n), weight(rng, dtype), kind, a, 0.5]

    label = f"{kind}{'-weighted' * weighted}-{n}"
    return [
        Kernel("loss.pointwise", label, each, tol=TOL),
        Kernel(
            "loss.pointwise_total", label, total, tol={"float32": (1e-4, 1e-3), "float64": (1e-10, 1e-10)}
        ),
        Kernel("loss.pointwise_backward", label, backward, tol=TOL),
        Kernel(
            "loss.pointwise_backward",
            label + "-dx",
            lambda r, d: backward(r, d, dt=False, one=False),
            tol=TOL,
        ),
        Kernel(
            "loss.pointwise_backward",
            label + "-dt",
            lambda r, d: backward(r, d, dx=False, one=False),
            tol=TOL,
        ),
    ]


def _at_infinity(kind, part):
    """All pairs of x and t from the ends of their domains, without a weight: targets need not be probabilities."""
    ends = [-np.inf, -1.5, 0.0, 0.25, 1.0, 2.0, np.inf, np.nan] if kind != "bce" else [0.0, 0.25, 1.0]

    def make(rng, dtype):
        x, t = np.array([(x, t) for x in ends for t in (-np.inf, -1.5, 0.0, 0.25, 1.0, np.inf)], dtype).T.copy()
        if part == "pointwise":
            return [Output(x.shape), x, t, None, kind, 0.0]
        return [Output(x.shape), Output(x.shape), np.asarray(0.5, dtype), x, t, None, kind, 0.0, 1.0]

    return Kernel(f"loss.{part}", f"{kind}-infinite", make, tol=TOL)


def _targets(rng, c):
    t = rng.integers(0, c[1], (c[0], c[2]))
    t[rng.random(t.shape) < 0.2] = IGNORED
    return t


def _ends(c):
    return c[0], c[2]


def _lse(x):
    with np.errstate(all="ignore"):
        lse = np.log(np.exp(x).sum(axis=1, dtype=np.float64))
        return np.where(lse == np.inf, np.nan, lse)


def _special(x):
    """Rows with +inf, -inf, -inf alone and NaN, in place."""
    for i, value in enumerate((np.inf, -np.inf, np.nan)):
        x[i % len(x)].flat[i :: 5] = value
    x[-1, :, -1] = -np.inf
    return x


def _classes(c, weighted, smoothing, one, special=False):
    def shared(rng, dtype):
        x = (rng.standard_normal(c) * 3).astype(dtype)
        if special:
            x = _special(x)
        return x, rng.random(c[1]).astype(dtype) + dtype(0.1) if weighted else None

    def dy(rng, dtype):
        return np.asarray(rng.standard_normal(() if one else _ends(c)), dtype)

    def forward(rng, dtype):
        x, w = shared(rng, dtype)
        return [Output(_ends(c)), Output(_ends(c), np.float64), x, _targets(rng, c), w, *c, IGNORED, smoothing]

    def backward(rng, dtype):
        x, w = shared(rng, dtype)
        return [Output(c), dy(rng, dtype), x, _lse(x), _targets(rng, c), w, *c, IGNORED, smoothing, 0.25]

    def soft(rng, dtype):
        x, w = shared(rng, dtype)
        return [Output(_ends(c)), Output(_ends(c), np.float64), x, rng.random(c).astype(dtype), w, *c, smoothing]

    def soft_backward(rng, dtype, dx=True, dq=True):
        x, w = shared(rng, dtype)
        outs = [Output(c) if dx else None, Output(c) if dq else None]
        return [*outs, dy(rng, dtype), x, _lse(x), rng.random(c).astype(dtype), w, *c, smoothing, 0.25]

    def nll(rng, dtype):
        x, w = shared(rng, dtype)
        return [Output(_ends(c)), x, _targets(rng, c), w, *c, IGNORED]

    def nll_backward(rng, dtype):
        _, w = shared(rng, dtype)
        return [Output(c), dy(rng, dtype), _targets(rng, c), w, *c, IGNORED, 0.25]

    label = f"{'x'.join(map(str, c))}{'-weighted' * weighted}-{smoothing}{'-one' * one}{'-special' * special}"
    tol = {"float32": (1e-4, 1e-4), "float64": (1e-11, 1e-11)}
    cases = [
        Kernel("loss.cross_entropy", label, forward, tol=tol),
        Kernel("loss.cross_entropy_backward", label, backward, tol=tol),
        Kernel("loss.cross_entropy_soft", label, soft, tol={**tol, "float32": (1e-4, 1e-3)}),
        Kernel(
            "loss.cross_entropy_soft_backward", label, soft_backward, tol={**tol, "float32": (2e-4, 2e-4)}
        ),
        Kernel("loss.nll", label, nll, tol=tol),
        Kernel("loss.nll_backward", label, nll_backward, tol=tol),
    ]
    if one:
        cases.append(
            Kernel(
                "loss.cross_entropy_soft_backward",
                label + "-dq",
                lambda r, d: soft_backward(r, d, dx=False),
                tol=tol,
            )
        )
    return cases


def _check(label, target, classes):
    return Kernel(
        "loss.check_classes",
        label,
        lambda rng, dtype: [Output((2,), np.int64), np.array(target, np.int64), classes, IGNORED],
    )


def _ctc(n, frames, classes, size, blank=0):
    """Targets of all lengths up to `size`, the last one with repeated labels, and frames that may be too few."""

    def shared(rng, dtype):
        x = rng.standard_normal((frames, n, classes)).astype(dtype)
        sizes = np.linspace(size, 0, n).astype(int)
        targets = rng.integers(0, classes, (n, size))
        targets[:1, : size // 2] = classes - 1
        starts = np.arange(n) * size
        used = np.maximum(frames - np.arange(n), 0)
        return x, targets.reshape(-1), starts, used, sizes

    def forward(rng, dtype):
        x, *rest = shared(rng, dtype)
        return [Output((n,)), Output((n, frames, 2 * size + 1)), x, *rest, blank]

    def backward(rng, dtype):
        x, *rest = shared(rng, dtype)
        loss, alpha = np.empty(n, dtype), np.empty((n, frames, 2 * size + 1), dtype)
        ref_loss.ctc(loss, alpha, x, *rest, blank)
        loss[np.isinf(loss)] = 0
        return [Output(x.shape), rng.standard_normal(n).astype(dtype), x, alpha, loss, *rest, blank]

    tol = {"float32": (1e-4, 1e-5), "float64": (1e-11, 1e-12)}
    label = f"{n}x{frames}x{classes}x{size}-{blank}"
    return [Kernel("loss.ctc", label, forward, tol=tol), Kernel("loss.ctc_backward", label, backward, tol=tol)]


KERNELS = [
    *[
        case
        for shape in [(1, 1, 2, 0), (1, 1, 2, 1), (2, 2, 3, 1), (3, 12, 4, 5), (5, 40, 7, 16, 2), (2, 9, 3, 8), (4, 3, 3, 2), (0, 3, 2, 1)]
        for case in _ctc(*shape)
    ],
    *[case for kind in KINDS for n in SIZES for case in _pointwise(*kind, n)],
    *[_at_infinity(kind, part) for kind in ("bce_logits", "bce", "mse") for part in ("pointwise", "pointwise_backward")],
    *[
        case
        for c in [(3, 0, 1), (2, 0, 3)]
        for smoothing in (0.0, 0.3)
        for case in _classes(c, False, smoothing, True)
        if "soft" in case.kernel
    ],
    *[
        case
        for c in CUBES
        for weighted, smoothing, one in [
            (False, 0.0, True),
            (True, 0.0, False),
            (False, 0.3, False),
            (True, 0.3, True),
        ]
        for case in _classes(c, weighted, smoothing, one)
    ],
    *[
        case
        for c in [(4, 7, 1), (5, 33, 1), (5, 7, 3), (4, 3, 257)]
        for weighted, smoothing, one in [(False, 0.0, False), (True, 0.3, True)]
        for case in _classes(c, weighted, smoothing, one, special=True)
    ],
    _check("good", [0, 1, IGNORED, 2], 3),
    _check("negative", [0, -1, 5], 3),
    _check("large", [0, IGNORED, 3], 3),
    _check("empty", [], 3),
]


def normals(*shapes):
    return lambda rng: [rng.standard_normal(s) for s in shapes]


def classified(shape, target_shape, weighted=False, ignore=False):
    def inputs(rng):
        classes = shape[0] if len(shape) == 1 else shape[1]
        t = np.asarray(rng.integers(0, classes, target_shape))
        if ignore:
            t.flat[0] = IGNORED
        x = rng.standard_normal(shape)
        return [x, t, rng.random(classes) + 0.1] if weighted else [x, t]

    return inputs


def distributions(*shape):
    def inputs(rng):
        q = rng.random(shape)
        return [rng.standard_normal(shape), q / q.sum(axis=1 if len(shape) > 1 else 0, keepdims=True)]

    return inputs


def probabilities(*shape):
    return lambda rng: [rng.random(shape) * 0.9 + 0.05, rng.random(shape) * 0.9 + 0.05]


def F(t):
    return t.nn.functional


def ctc_inputs(n, frames, classes, sizes, joined=False):
    def inputs(rng):
        size = max(sizes)
        t = rng.integers(1, classes, (n, size))
        t[0, 1:] = t[0, 0]
        joint = np.concatenate([row[:k] for row, k in zip(t, sizes)])
        return [rng.standard_normal((frames, n, classes)), joint if joined else t]

    return inputs


def _ctc_mean(x, y, frames, sizes, blank):
    """The mean loss by going through all paths."""
    losses = []
    for n, (count, size) in enumerate(zip(frames, sizes)):
        paths = {((), None): 0.0}  # what has been spelt and the last class: the log-probability
        for t in range(count):
            ahead = {}
            for (spelt, last), value in paths.items():
                for c in range(x.shape[2]):
                    word = spelt if c in (last, blank) else (*spelt, c)
                    ahead[word, c] = np.logaddexp(ahead.get((word, c), -np.inf), value + x[t, n, c])
            paths = {key: v for key, v in ahead.items() if key[0] == tuple(y[n, : len(key[0])])}
        ends = [v for (word, _), v in paths.items() if word == tuple(y[n, :size])]
        losses.append(-np.logaddexp.reduce(ends) / max(size, 1))
    return np.mean(losses)


REDUCTIONS = ["mean", "sum", "none"]
SHAPES = [((4,), ()), ((3, 4), (3,)), ((2, 4, 3), (2, 3)), ((2, 3, 4, 5), (2, 4, 5))]


def each_reduction(name, inputs, grad=None, label="", **kwargs):
    """One case for each reduction of nn.functional.<name>."""
    return [
        Op(
            f"{name}{label}-{r}",
            lambda t, *args, r=r: getattr(F(t), name)(*args, reduction=r, **kwargs),
            inputs,
            grad=grad,
        )
        for r in REDUCTIONS
    ]


OPS = [
    *[
        Op(
            f"cross_entropy-{'x'.join(map(str, s))}-{r}-{e}{'-weighted' * wt}",
            lambda t, x, y, *w, r=r, e=e: F(t).cross_entropy(x, y, *w, reduction=r, label_smoothing=e),
            classified(s, ts, wt, ignore=len(s) > 1),
            grad=(0,),
        )
        for s, ts in SHAPES
        for r in REDUCTIONS
        for e in (0.0, 0.2)
        for wt in (False, True)
    ],
    *[
        Op(
            f"cross_entropy-soft-{'x'.join(map(str, s))}-{r}-{e}",
            lambda t, x, q, r=r, e=e: F(t).cross_entropy(x, q, reduction=r, label_smoothing=e),
            distributions(*s),
        )
        for s in [(4,), (3, 4), (2, 4, 3)]
        for r in REDUCTIONS
        for e in (0.0, 0.2)
    ],
    Op(
        "cross_entropy-soft-weighted",
        lambda t, x, q, w: F(t).cross_entropy(x, q, w),
        lambda rng: [*distributions(3, 4)(rng), rng.random(4)],
        grad=(0, 1),
    ),
    Op(
        "cross_entropy-nhwc",
        lambda t, x, y: F(t).cross_entropy(x.permute(0, 3, 1, 2), y),
        lambda rng: [rng.standard_normal((2, 3, 4, 5)), rng.integers(0, 5, (2, 3, 4))],
    ),
    Op(
        "cross_entropy-empty",
        lambda t, x, y: F(t).cross_entropy(x, y, reduction="sum"),
        classified((0, 3), (0,)),
    ),
    Op(
        "cross_entropy-empty-mean",
        lambda t, x, y: F(t).cross_entropy(x, y),
        classified((0, 3), (0,)),
        grad=(),
    ),
    Op(
        "cross_entropy-all-ignored",
        lambda t, x, y: F(t).cross_entropy(x, y, ignore_index=1),
        lambda rng: [rng.standard_normal((2, 3)), np.array([1, 1])],
        grad=(),
    ),
    *[
        Op(
            f"linear_cross_entropy-{'x'.join(map(str, (*n, 4, *d)))}-{r}{'-more' * more}",
            lambda t, x, w, y, b, q, r=r, more=more: F(t).linear_cross_entropy(
                x, w, y, linear_bias=b, reduction=r, **(dict(weight=q, ignore_index=1, label_smoothing=0.2) if more else {})
            ),
            lambda rng, n=n, d=d: [
                *(rng.standard_normal(s) for s in ((*n, 5), (4, *d, 5))),
                np.asarray(rng.integers(0, 4, (*n, *d))),
                rng.standard_normal((4, *d)),
                rng.random(4) + 0.1,
            ],
            grad=(0, 1, 3),
        )
        for n, d in [((), ()), ((3,), ()), ((3,), (2,)), ((0,), ()), ((2,), (2, 3))]
        for r in (REDUCTIONS if n != (0,) else ["sum"])
        for more in (False, True)
        if n or not more
    ],
    Op(
        "linear_cross_entropy-soft",
        lambda t, x, w, q: F(t).linear_cross_entropy(x, w, q),
        lambda rng: [rng.standard_normal((3, 5)), rng.standard_normal((4, 5)), distributions(3, 4)(rng)[1]],
    ),
    *[
        Op(
            f"nll_loss-{'x'.join(map(str, s))}-{r}{'-weighted' * wt}",
            lambda t, x, y, *w, r=r: F(t).nll_loss(x, y, *w, reduction=r),
            classified(s, ts, wt, ignore=len(s) > 1),
            grad=(0,),
        )
        for s, ts in SHAPES
        for r in REDUCTIONS
        for wt in (False, True)
    ],
    *each_reduction("mse_loss", normals((3, 4), (3, 4))),
    *each_reduction("mse_loss", normals((3, 4), (3, 1)), label="-broadcast"),
    *each_reduction("mse_loss", normals((0, 4), (0, 4)), label="-empty", grad=()),
    *each_reduction("l1_loss", normals((3, 4), (3, 4))),
    *each_reduction("smooth_l1_loss", normals((3, 4), (3, 4))),
    *each_reduction("smooth_l1_loss", normals((3, 4), (3, 4)), label="-beta", beta=0.3),
    *each_reduction("smooth_l1_loss", normals((3, 4), (3, 4)), label="-zero", beta=0.0),
    *each_reduction("huber_loss", normals((3, 4), (3, 4)), delta=0.6),
    *each_reduction("binary_cross_entropy", probabilities(3, 4)),
    *each_reduction(
        "binary_cross_entropy_with_logits", lambda rng: [rng.standard_normal((3, 4)), rng.random((3, 4))]
    ),
    *each_reduction("kl_div", distributions(3, 4)),
    *each_reduction("kl_div", normals((3, 4), (3, 4)), label="-log", log_target=True),
    Op("kl_div-batchmean", lambda t, x, q: F(t).kl_div(x, q, reduction="batchmean"), distributions(3, 4)),
    Op(
        "binary_cross_entropy-weight",
        lambda t, x, y, w: F(t).binary_cross_entropy(x, y, w),
        lambda rng: [*probabilities(3, 4)(rng), rng.random((3, 4))],
        grad=(0,),
    ),
    Op(
        "binary_cross_entropy-ends",
        lambda t, x, y: F(t).binary_cross_entropy(x, y, reduction="none"),
        lambda rng: [np.array([0.0, 1.0, 0.0, 1.0]), np.array([0.0, 1.0, 1.0, 0.0])],
        grad=(),
    ),
    Op(
        "binary_cross_entropy_with_logits-weights",
        lambda t, x, y, w, p: F(t).binary_cross_entropy_with_logits(x, y, w, pos_weight=p),
        lambda rng: [rng.standard_normal((3, 4)), rng.random((3, 4)), rng.random((3, 1)), rng.random(4) + 1],
        grad=(0, 1),
    ),
    *each_reduction(
        "poisson_nll_loss", lambda rng: [rng.standard_normal((3, 4)), rng.random((3, 4)) * 4 + 0.1], grad=(0,)
    ),
    *each_reduction(
        "poisson_nll_loss",
        lambda rng: [rng.standard_normal((3, 4)), rng.random((3, 4)) * 4 + 0.1],
        label="-counts",
        full=True,
    ),
    *each_reduction(
        "poisson_nll_loss",
        lambda rng: [rng.random((3, 4)) + 0.5, rng.integers(0, 5, (3, 4)).astype(float)],
        grad=(0,),
        label="-full",
        log_input=False,
        full=True,
    ),
    *each_reduction(
        "gaussian_nll_loss",
        lambda rng: [*rng.standard_normal((2, 3, 4)), rng.random((3, 4)) + 0.2],
        full=True,
    ),
    *each_reduction(
        "gaussian_nll_loss",
        lambda rng: [*rng.standard_normal((2, 3, 4)), rng.random((3, 1)) + 0.2],
        label="-row",
    ),
    *each_reduction(
        "hinge_embedding_loss",
        lambda rng: [rng.standard_normal((3, 4)), rng.choice([-1.0, 1.0], (3, 4))],
        grad=(0,),
        margin=0.7,
    ),
    *each_reduction(
        "margin_ranking_loss",
        lambda rng: [*rng.standard_normal((2, 6)), rng.choice([-1.0, 1.0], 6)],
        grad=(0, 1),
        margin=0.2,
    ),
    *each_reduction(
        "soft_margin_loss",
        lambda rng: [rng.standard_normal((3, 4)), rng.choice([-1.0, 1.0], (3, 4))],
        grad=(0,),
    ),
    *each_reduction(
        "cosine_embedding_loss",
        lambda rng: [*rng.standard_normal((2, 5, 4)), rng.choice([-1, 1], 5)],
        margin=0.1,
    ),
    *each_reduction("triplet_margin_loss", normals((5, 4), (5, 4), (5, 4)), swap=True),
    *each_reduction("triplet_margin_loss", normals((5, 4), (5, 4), (5, 4)), label="-p", p=3, margin=0.5),
    *each_reduction("triplet_margin_with_distance_loss", normals((5, 4), (5, 4), (5, 4))),
    *each_reduction("multi_margin_loss", classified((5, 4), (5,)), margin=0.8),
    *each_reduction("multi_margin_loss", classified((5, 4), (5,)), label="-p2", p=2),
    Op(
        "multi_margin_loss-weight",
        lambda t, x, y, w: F(t).multi_margin_loss(x, y, weight=w),
        classified((5, 4), (5,), True),
        grad=(0,),
    ),
    *each_reduction(
        "multilabel_margin_loss",
        lambda rng: [rng.standard_normal((3, 4)), np.array([[3, 0, -1, 1], [-1, 0, 0, 0], [0, 1, 2, 3]])],
    ),
    *each_reduction(
        "multilabel_soft_margin_loss",
        lambda rng: [rng.standard_normal((3, 4)), rng.integers(0, 2, (3, 4)).astype(float)],
        grad=(0,),
    ),
    *[
        Op(
            f"ctc_loss-{label}-{r}",
            lambda t, x, y, r=r, lengths=lengths, sizes=sizes, zero=zero: F(t).ctc_loss(
                F(t).log_softmax(x, -1), y, lengths, sizes, reduction=r, zero_infinity=zero
            ),
            ctc_inputs(3, 9, 5, sizes, joined),
            tol={"float32": (5e-5, 1e-5), "float64": (1e-9, 1e-10)},
        )
        for label, lengths, sizes, zero, joined in [
            ("padded", (9, 8, 7), (4, 3, 0), False, False),
            ("joined", (9, 8, 7), (4, 3, 2), False, True),
            ("infinite", (9, 2, 7), (4, 3, 2), True, False),
            ("no-frames", (9, 0, 0), (4, 3, 0), True, False),
        ]
        for r in REDUCTIONS
    ],
    Op(
        "ctc_loss-raw",  # the derivative holds for scores that are no logarithms of probabilities, too
        lambda t, x, y: F(t).ctc_loss(x, y - 1, (9, 8, 7), (4, 3, 2), blank=4),
        ctc_inputs(3, 9, 5, (4, 3, 2)),
        torch=False,
        expected=lambda x, y: _ctc_mean(x, y - 1, (9, 8, 7), (4, 3, 2), 4),
    ),
    Op(
        "ctc_loss-unbatched",
        lambda t, x, y: F(t).ctc_loss(F(t).log_softmax(x, -1), y, (6,), (3,)),
        lambda rng: [rng.standard_normal((6, 4)), rng.integers(1, 4, 3)],
        tol={"float32": (5e-5, 1e-5), "float64": (1e-9, 1e-10)},
    ),
    Op("cosine_similarity", lambda t, x, y: F(t).cosine_similarity(x, y), normals((3, 4, 2), (3, 4, 2))),
    Op(
        "cosine_similarity-dim",
        lambda t, x, y: F(t).cosine_similarity(x, y, dim=-1, eps=1e-6),
        normals((3, 4), (1, 4)),
    ),
    Op("pairwise_distance", lambda t, x, y: F(t).pairwise_distance(x, y), normals((3, 4), (3, 4))),
    Op(
        "pairwise_distance-p1",
        lambda t, x, y: F(t).pairwise_distance(x, y, p=1, keepdim=True),
        normals((3, 4), (4,)),
    ),
]
