"""Sliding blocks of images as columns, and columns added up to images: each is the other's gradient.

    unfold  y[n, (c, kh, kw), (oh, ow)] = x[n, c, oh sh - ph + kh dh, ow sw - pw + kw dw], zero outside x
    fold    x[n, c, h, w] = sum of the y[n, (c, kh, kw), (oh, ow)] that look there

Legend: N batch, C channels, H W image, KH KW block, OH OW blocks. Geometry: block size k, dilation d, padding p, stride s.
"""

from functools import lru_cache
from itertools import product

from .. import memory, registry
from ..autograd import record
from ..tensor import Tensor
from ._geometry import check_addressable
from .promotion import check_tensors

copies, sums = registry.family("shape"), registry.family("elementwise")

GROUP = 1 << 15  # elements of images that take their sums together: 256 kB of doubles stay in L2


def unfold(input, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The blocks of input [N, C, H, W] as columns [N, C KH KW, OH OW]; [C, H, W] gives [C KH KW, OH OW].

    kernel_size (KH, KW), dilation, padding (with zeros), stride: an int, or two for height and width. RuntimeError where
    no block fits in.
    """
    check_tensors("unfold", input=input)
    x = input.array
    if x.ndim not in (3, 4) or 0 in x.shape[-3:]:
        raise RuntimeError(f"unfold: input must be [N, C, H, W] or [C, H, W] with elements, got shape {x.shape}")
    geometry = _geometry("unfold", kernel_size, dilation, padding, stride)
    blocks = _blocks("unfold", x.shape[-2:], geometry)
    if max(blocks) >= 1 << 16:
        check_addressable("unfold", (*x.shape[:-2], *geometry[0], *blocks))
    return record(_unfolded(x, blocks, geometry), unfold_backward, (input,), (x.shape, blocks, geometry))


def unfold_backward(node, dy):
    """y[.., i, o] = x[.., o s - p + i d]  =>  dx = fold(dy)"""
    return (_folded(dy, *node.saved),)


def fold(input, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """The columns of input [N, C KH KW, OH OW] added up to images [N, C, *output_size]; without N too.

    kernel_size (KH, KW), dilation, padding (cut off), stride: an int, or two for height and width. RuntimeError where the
    columns do not fit the size.
    """
    check_tensors("fold", input=input)
    y = input.array
    if y.ndim not in (2, 3) or 0 in y.shape[-2:]:
        raise RuntimeError(f"fold: input must be [N, C KH KW, L] or [C KH KW, L] with elements, got shape {y.shape}")
    size = _two("fold", "output_size", output_size, 1)
    geometry = _geometry("fold", kernel_size, dilation, padding, stride)
    blocks = _blocks("fold", size, geometry)
    c, rest = divmod(y.shape[-2], geometry[0][0] * geometry[0][1])
    if rest:
        raise RuntimeError(f"fold: kernel_size {geometry[0]} does not divide the {y.shape[-2]} rows of shape {y.shape}")
    if blocks[0] * blocks[1] != y.shape[-1]:
        raise RuntimeError(f"fold: output_size {size} has {blocks[0]} x {blocks[1]} blocks, got {y.shape[-1]} columns")
    shape = (*y.shape[:-2], c, *size)
    check_addressable("fold", shape)
    return record(_folded(y, shape, blocks, geometry), fold_backward, (input,), (blocks, geometry))


def fold_backward(node, dx):
    """x = Σ y[.., i, o] at o s - p + i d  =>  dy = unfold(dx)"""
    return (_unfolded(dx, *node.saved),)


def _unfolded(x, blocks, geometry):
    *batch, c, height, width = x.shape
    k, _, padding, _ = geometry
    x = x if batch else x[None]
    y = (memory.zeros if any(padding) else memory.empty)((len(x), c, *k, *blocks), x.dtype)
    for seen, looked in taps((height, width), blocks, geometry):
        copies.copy(y[looked], x[seen])
    return y.reshape(*batch, c * k[0] * k[1], blocks[0] * blocks[1])


def _folded(y, shape, blocks, geometry):
    c, height, width = shape[-3:]
    y = memory.contiguous(y).reshape(-1, c, *geometry[0], *blocks)
    x = memory.zeros((len(y), c, height, width), y.dtype)
    places = taps((height, width), blocks, geometry)
    step = max(1, GROUP // (c * height * width))
    for n in range(0, len(y), step):
        for seen, looked in places:
            part = x[n : n + step][seen]
            sums.add(part, part, y[n : n + step][looked])
    return x.reshape(shape)


@lru_cache(256)
def taps(size, blocks, geometry):
    """Pairs (index into x, index into y) for each place in the block: x's elements that blocks see there, and those blocks."""
    found = []
    for i in product(*[range(k) for k in geometry[0]]):
        seen, looked = [], []
        for at, n, count, dilation, padding, stride in zip(i, size, blocks, *geometry[1:]):
            offset = at * dilation - padding
            first = max(0, -(offset // stride))
            stop = max(first, min(count, (n - 1 - offset) // stride + 1))
            looked.append(slice(first, stop))
            seen.append(slice(first * stride + offset, max((stop - 1) * stride + offset + 1, 0), stride))
        found.append(((..., *seen), (..., *i, *looked)))
    return found


def _blocks(op, size, geometry):
    blocks = tuple([(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(size, *geometry)])
    if min(blocks) < 1:
        k, dilation, padding, stride = geometry
        raise RuntimeError(
            f"{op}: kernel_size {k} with dilation {dilation}, padding {padding}, stride {stride} "
            f"leaves no block in an image of size {tuple(size)}"
        )
    return blocks


def _geometry(op, kernel_size, dilation, padding, stride):
    return (
        _two(op, "kernel_size", kernel_size, 1),
        _two(op, "dilation", dilation, 1),
        _two(op, "padding", padding, 0),
        _two(op, "stride", stride, 1),
    )


def _two(op, name, value, least):
    """value as two ints, each at least `least`."""
    if type(value) is int and value >= least:
        return value, value
    pair = (value, value) if hasattr(value, "__index__") else tuple(value) if isinstance(value, (tuple, list)) else ()
    if not pair or not all([hasattr(v, "__index__") for v in pair]):
        raise TypeError(f"{op}: {name} must be an int or two ints, got {value!r}")
    if len(pair) != 2 or min(pair) < least:
        raise RuntimeError(f"{op}: {name} must be an int or two ints of at least {least}, got {value!r}")
    return tuple([v.__index__() for v in pair])
