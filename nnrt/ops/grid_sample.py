"""Images and volumes looked at where a grid says, and grids of affine maps.

    y[n, c, p] = Σ_taps w(p) x[n, c, tap(p)]

Places, taps and weights are those of nnrt._ref.resample. Source: Jaderberg et al. 2015, arXiv:1506.02025.
"""

import math

import numpy as np

from .. import memory, registry
from ..autograd import record
from ..dtypes import check_whole
from ..tensor import Tensor, wrap
from ._geometry import check_addressable
from ._layout import as_nchw, channels_last, empty_channels_last
from .create import sizes_of
from .linear import matmul
from .promotion import check_tensors
from .shape import reshape, transpose

K = registry.family("resample")

MODES = ("bilinear", "nearest", "bicubic")
PADDING_MODES = ("zeros", "border", "reflection")


def grid_sample(input, grid, mode="bilinear", padding_mode="zeros", align_corners=None) -> Tensor:
    """input (N, C, H, W) at the places grid (N, OH, OW, 2), as (N, C, OH, OW); (N, C, D, H, W) takes (N, OD, OH, OW, 3).

    mode: "bilinear" (also in volumes), "nearest", "bicubic" (images). padding_mode: "zeros", "border", "reflection".
    align_corners: default False. A place that is NaN is outside: 0 with "zeros", else some pixel of the image.
    RuntimeError for shapes or dtypes that do not fit, ValueError for other modes.
    """
    check_tensors("grid_sample", input=input, grid=grid)
    if mode not in MODES:
        raise ValueError(f"grid_sample: mode must be one of {', '.join(MODES)}, got {mode!r}")
    if padding_mode not in PADDING_MODES:
        raise ValueError(f"grid_sample: padding_mode must be one of {', '.join(PADDING_MODES)}, got {padding_mode!r}")
    x, g = input.array, grid.array
    _check(x, g, mode)
    options = mode, padding_mode, bool(align_corners)
    y = empty_channels_last(x.shape[0], g.shape[1:-1], x.shape[1], x.dtype)
    K.grid_sample(y, channels_last(x), _places(g), *options)
    return record(as_nchw(y, x.ndim), grid_sample_backward, (input, grid), (input, grid, options))


def grid_sample_backward(node, dy):
    x, g, options = node.saved
    dy, places = channels_last(dy), _places(g)
    dx = dg = None
    if node.needs(0):
        dx = empty_channels_last(x.shape[0], x.shape[2:], x.shape[1], dy.dtype)
        K.grid_sample_dx(dx, dy, places, *options)
        dx = as_nchw(dx, x.ndim)
    if node.needs(1):
        dg = memory.empty(g.shape, g.dtype)
        K.grid_sample_dgrid(dg.reshape(places.shape), dy, channels_last(x), places, *options)
    return dx, dg


def _places(g):
    """A grid (N, *places, A) as [N, P, A]."""
    return memory.contiguous(g).reshape(g.shape[0], math.prod(g.shape[1:-1]), g.shape[-1])


def _check(x, g, mode):
    if x.ndim not in (4, 5) or g.ndim != x.ndim or g.shape[0] != x.shape[0] or g.shape[-1] != x.ndim - 2:
        raise RuntimeError(
            "grid_sample: wants input (N, C, H, W) with grid (N, OH, OW, 2), or (N, C, D, H, W) with grid (N, OD, OH, OW, 3), "
            f"got shapes {x.shape} and {g.shape}"
        )
    if x.dtype != g.dtype or x.dtype.kind != "f":
        raise RuntimeError(f"grid_sample: input and grid must be of one floating dtype, got {x.dtype} and {g.dtype}")
    check_whole("grid_sample", x.dtype)
    if 0 in x.shape[2:]:
        raise RuntimeError(f"grid_sample: input must have pixels, got shape {x.shape}")
    if math.prod(x.shape[2:]) >= 1 << 31:
        raise RuntimeError(f"grid_sample: images must have less than 2**31 pixels, got shape {x.shape}")
    if mode == "bicubic" and x.ndim == 5:
        raise RuntimeError(f"grid_sample: mode 'bicubic' wants images, got input of shape {x.shape}")


def affine_grid(theta, size, align_corners=None) -> Tensor:
    """The grid (N, H, W, 2) that shows, for each output place g of `size` (N, C, H, W), the input place theta (g, 1).

    theta: (N, 2, 3); for size (N, C, D, H, W) (N, 3, 4), the grid (N, D, H, W, 3). align_corners: default False.
    """
    check_tensors("affine_grid", theta=theta)
    size = sizes_of("affine_grid", (size,))
    axes = len(size) - 2
    if axes not in (2, 3) or theta.array.shape != (size[0], axes, axes + 1) or min(size) < 1:
        raise ValueError(
            "affine_grid: wants theta (N, 2, 3) for size (N, C, H, W), or (N, 3, 4) for (N, C, D, H, W), of at least 1; "
            f"got theta of shape {theta.array.shape} for size {size}"
        )
    if theta.array.dtype.kind != "f":
        raise ValueError(f"affine_grid: theta must be of a floating dtype, got {theta.array.dtype}")
    check_addressable("affine_grid", (size[0], *size[2:], axes))
    lines = [np.linspace(-1, 1, n) * (1 if align_corners else (n - 1) / n) if n > 1 else np.zeros(1) for n in size[2:]]
    base = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(size[2:])], -1).astype(theta.array.dtype)
    grid = matmul(wrap(base.reshape(-1, axes + 1)), transpose(theta, 1, 2))
    return reshape(grid, (size[0], *size[2:], axes))
