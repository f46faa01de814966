"""Shuffles: factors 1 to 3, more and fewer batch axes than one, no batch, NHWC memory, which stays."""

import numpy as np

from tests.cases import Op


def op(id, fn, *shape):
    return Op(id, fn, lambda rng: [rng.standard_normal(shape)])


def nhwc(name, factor):
    def fn(t, x):
        y = getattr(t.nn.functional, name)(x.permute(0, 3, 1, 2), factor)
        assert y.permute(0, 2, 3, 1).is_contiguous() or not x.is_contiguous()
        return y

    return op(f"{name}-nhwc", fn, 2, 4, 6, 12)


OPS = [
    *[op(f"pixel-shuffle-{r}", lambda t, x, r=r: t.pixel_shuffle(x, r), 2, 2 * r * r, 3, 4) for r in (1, 2, 3)],
    *[op(f"pixel-unshuffle-{r}", lambda t, x, r=r: t.pixel_unshuffle(x, r), 2, 2, 3 * r, 4 * r) for r in (1, 2, 3)],
    op("pixel-shuffle-unbatched", lambda t, x: t.pixel_shuffle(x, 2), 4, 3, 5),
    op("pixel-shuffle-two-batches", lambda t, x: t.pixel_shuffle(x, 2), 2, 3, 4, 1, 2),
    Op(
        "pixel-shuffle-no-batch",  # torch cannot tell its gradient's shape
        lambda t, x: t.pixel_shuffle(x, 2),
        lambda rng: [np.zeros((0, 4, 3, 5))],
        torch=False,
        expected=lambda x: np.zeros((0, 1, 6, 10), x.dtype),
    ),
    op("pixel-unshuffle-unbatched", lambda t, x: t.pixel_unshuffle(x, 2), 1, 2, 4),
    *[op(f"channel-shuffle-{g}", lambda t, x, g=g: t.channel_shuffle(x, g), 2, 6, 3, 4) for g in (1, 2, 3, 6)],
    op("channel-shuffle-1d", lambda t, x: t.channel_shuffle(x, 2), 3, 4, 5),
    op("channel-shuffle-no-batch", lambda t, x: t.channel_shuffle(x, 2), 0, 4, 5, 6),
    nhwc("pixel_shuffle", 2),
    nhwc("pixel_unshuffle", 2),
]
