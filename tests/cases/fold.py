"""Blocks and columns: overlap, gaps, dilation, padding that no or every tap reaches, one block, NHWC, unbatched."""

from tests.cases import Op

GEOMETRIES = {
    "2x2": dict(kernel_size=2),
    "1x1": dict(kernel_size=1),
    "3x2": dict(kernel_size=(3, 2)),
    "apart": dict(kernel_size=2, stride=(2, 3)),
    "gaps": dict(kernel_size=1, stride=2),
    "dilated": dict(kernel_size=(2, 3), dilation=(3, 2)),
    "padded": dict(kernel_size=3, padding=1),
    "padded-far": dict(kernel_size=2, padding=(4, 3), stride=2),
    "all": dict(kernel_size=(3, 2), dilation=2, padding=(2, 1), stride=(1, 3)),
    "one-block": dict(kernel_size=(5, 6)),
}


def op(id, fn, shape):
    return Op(id, fn, lambda rng: [rng.standard_normal(shape)])


def blocks(kernel_size, dilation=1, padding=0, stride=1):
    """(KH KW, OH OW) for an image of 5 x 6."""
    k, d, p, s = [(v, v) if isinstance(v, int) else v for v in (kernel_size, dilation, padding, stride)]
    h, w = [(n + 2 * p[i] - d[i] * (k[i] - 1) - 1) // s[i] + 1 for i, n in enumerate((5, 6))]
    return k[0] * k[1], h * w


OPS = [
    *[op(f"unfold-{k}", lambda t, x, g=g: t.nn.functional.unfold(x, **g), (2, 3, 5, 6)) for k, g in GEOMETRIES.items()],
    *[
        op(f"fold-{k}", lambda t, x, g=g: t.nn.functional.fold(x, (5, 6), **g), (2, 3 * blocks(**g)[0], blocks(**g)[1]))
        for k, g in GEOMETRIES.items()
    ],
    op("unfold-unbatched", lambda t, x: t.nn.functional.unfold(x, 2, padding=1), (3, 4, 5)),
    op("fold-unbatched", lambda t, x: t.nn.functional.fold(x, (4, 5), 2), (12, 12)),
    op("unfold-no-batch", lambda t, x: t.nn.functional.unfold(x, 2), (0, 3, 4, 5)),
    op("fold-no-batch", lambda t, x: t.nn.functional.fold(x, (4, 5), 2), (0, 12, 12)),
    op("unfold-nhwc", lambda t, x: t.nn.functional.unfold(x.permute(0, 3, 1, 2), 3, padding=1), (2, 4, 5, 3)),
    op("fold-many", lambda t, x: t.nn.functional.fold(x, (40, 50), 2, stride=2), (20, 8, 500)),
]
