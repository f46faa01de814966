"""Channels into space, space into channels, channels among groups: a view and one copy, memory order kept.

    pixel_shuffle    y[c, h r + i, w r + j] = x[c r² + i r + j, h, w]   (pixel_unshuffle: the inverse)
    channel_shuffle  y[k g + i] = x[i C/g + k]

Legend: C channels, H W image, r factor, g groups. Source: Shi et al. 2016 (arXiv:1609.05158), Zhang et al. 2018 (1707.01083).
"""

from .. import registry
from ..autograd import record
from ..tensor import Tensor
from .create import in_order_of
from .promotion import check_tensors

K = registry.family("shape")


def pixel_shuffle(input, upscale_factor) -> Tensor:
    """input (*, C r², H, W) as (*, C, H r, W r) for r = upscale_factor. RuntimeError where r² does not divide the channels."""
    r = _factor("pixel_shuffle", input, "upscale_factor", upscale_factor)
    if input.array.shape[-3] % (r * r):
        raise RuntimeError(f"pixel_shuffle: channels must be a multiple of {r}², got shape {input.array.shape}")
    return record(_spread(input.array, r), pixel_shuffle_backward, (input,), (r,))


def pixel_shuffle_backward(node, dy):
    return (_gathered(dy, *node.saved),)


def pixel_unshuffle(input, downscale_factor) -> Tensor:
    """input (*, C, H r, W r) as (*, C r², H, W) for r = downscale_factor. RuntimeError where r does not divide the sizes."""
    r = _factor("pixel_unshuffle", input, "downscale_factor", downscale_factor)
    if input.array.shape[-2] % r or input.array.shape[-1] % r:
        raise RuntimeError(f"pixel_unshuffle: height and width must be multiples of {r}, got shape {input.array.shape}")
    return record(_gathered(input.array, r), pixel_unshuffle_backward, (input,), (r,))


def pixel_unshuffle_backward(node, dy):
    return (_spread(dy, *node.saved),)


def _spread(a, r):
    *batch, c, h, w = a.shape
    c //= r * r
    y = in_order_of(a, (*batch, c, h * r, w * r), a.dtype)
    K.copy(y.reshape(*batch, c, h, r, w, r), _moved(a.reshape(*batch, c, r, r, h, w), (0, 3, 1, 4, 2)))
    return y


def _gathered(a, r):
    *batch, c, h, w = a.shape
    h, w = h // r, w // r
    y = in_order_of(a, (*batch, c * r * r, h, w), a.dtype)
    K.copy(y.reshape(*batch, c, r, r, h, w), _moved(a.reshape(*batch, c, h, r, w, r), (0, 2, 4, 1, 3)))
    return y


def _moved(a, order):
    """a with its last five axes in that order."""
    batch = a.ndim - 5
    return a.transpose(*range(batch), *[batch + i for i in order])


def channel_shuffle(input, groups) -> Tensor:
    """input (N, C, *) with the channels of `groups` groups interleaved. RuntimeError where groups does not divide C."""
    groups = _factor("channel_shuffle", input, "groups", groups)
    if input.array.shape[1] % groups:
        raise RuntimeError(f"channel_shuffle: groups {groups} must divide the channels of shape {input.array.shape}")
    return record(_interleaved(input.array, groups), channel_shuffle_backward, (input,), (groups,))


def channel_shuffle_backward(node, dy):
    (groups,) = node.saved
    return (_interleaved(dy, dy.shape[1] // groups),)


def _interleaved(a, groups):
    n, c, *rest = a.shape
    y = in_order_of(a, a.shape, a.dtype)
    if a.size:
        each = c // groups
        K.copy(y.reshape(n, each, groups, *rest), a.reshape(n, groups, each, *rest).swapaxes(1, 2))
    return y


def _factor(op, input, name, value):
    check_tensors(op, input=input)
    if not hasattr(value, "__index__"):
        raise TypeError(f"{op}: {name} must be an int, got {value!r}")
    if value < 1:
        raise RuntimeError(f"{op}: {name} must be at least 1, got {value}")
    if input.array.ndim < 3:
        raise RuntimeError(f"{op}: input must have at least 3 dimensions, got shape {input.array.shape}")
    return value.__index__()
