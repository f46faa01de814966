"""Pooling (specification).

Legend: x [N, D, H, W, C] and y [N, OD, OH, OW, C] are C-ordered; kernel, stride, padding and dilation are triples
(d, h, w). Along an axis of I inputs and O outputs, window o holds the taps k = 0..kernel-1 at i = o stride - padding
+ k dilation, less those outside 0..I-1. Adaptive pooling is kernel None: the window is floor(o I / O) <= i <
ceil((o + 1) I / O), and k counts from its start.

`at` [N, OD, OH, OW, C] names a maximum by its tap (kd KH + kh) KW + kw: a byte, or int32 where the taps are more
than 256. KD, KH, KW: the kernel, or the most taps that an adaptive window can have, ceil(I / O) + 1.
"""

from itertools import product

import numpy as np

from . import Out, quiet


def taps(x_shape, y_shape, kernel):
    """(KD, KH, KW): see above."""
    return tuple(kernel or [-(-i // max(o, 1)) + 1 for i, o in zip(x_shape[1:4], y_shape[1:4])])


def max_pool(y: Out, at: Out, x, kernel, stride, padding, dilation):
    """y = the largest of each window, at = which, the first of equals; a NaN wins, the last of them.

    at None: not wanted. A window without taps gives the least value there is.
    """
    least = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    for place, part, names in _windows(x.shape, y.shape, kernel, stride, padding, dilation):
        window = x[part].reshape(len(x), names.size, x.shape[-1])
        if not names.size:
            y[place] = least
            if at is not None:
                at[place] = 0
            continue
        k = window.argmax(1)
        nan = np.isnan(window)
        k = np.where(nan.any(1), names.size - 1 - nan[:, ::-1].argmax(1), k)
        y[place] = np.take_along_axis(window, k[:, None], 1)[:, 0]
        if at is not None:
            at[place] = names.ravel()[k]


def max_pool_backward(dx: Out, dy, at, kernel, stride, padding, dilation):
    """dx[i] = the sum of dy[o] over the windows whose maximum, at[o], i is."""
    dx[...] = 0
    for place, part, names in _windows(dx.shape, dy.shape, kernel, stride, padding, dilation):
        hit = at[place][:, None, None, None] == names[..., None]
        dx[part] += hit * dy[place][:, None, None, None]


def max_index(index: Out, at, x_shape, kernel, stride, padding, dilation):
    """index = the maximum's place in the plane, (d H + h) W + w; int64, of at's shape."""
    _, depth, height, width, _ = x_shape
    index[...] = 0
    for place, part, names in _windows(x_shape, at.shape, kernel, stride, padding, dilation):
        if names.size:
            planes = np.arange(depth * height * width).reshape(depth, height, width)[part[1:4]].ravel()
            index[place] = planes[np.searchsorted(names.ravel(), at[place])]


def max_unpool(y: Out, x, index):
    """y = 0, then y[n, index[n, p, c], c] = x[n, p, c] in the order of p; y [N, Q, C], x and index [N, P, C].

    index: int64, within 0..Q-1.
    """
    y[...] = 0
    n, c = np.indices((len(x), x.shape[2]), sparse=True)
    for p in range(x.shape[1]):
        y[n, index[:, p], c] = x[:, p]


@quiet
def avg_pool(y: Out, x, kernel, stride, padding, include_pad, divisor):
    """y = the sum of each window / its count: divisor where that is not None, else the number of its taps,
    with include_pad those within the padding too."""
    for place, part, names in _windows(x.shape, y.shape, kernel, stride, padding, (1, 1, 1)):
        count = divisor or _count(place, x.shape, kernel, stride, padding, include_pad, names)
        y[place] = x[part].sum((1, 2, 3)) / count


@quiet
def avg_pool_backward(dx: Out, dy, kernel, stride, padding, include_pad, divisor):
    """dx[i] = the sum of dy[o] / count[o] over the windows that i is in."""
    dx[...] = 0
    for place, part, names in _windows(dx.shape, dy.shape, kernel, stride, padding, (1, 1, 1)):
        count = divisor or _count(place, dx.shape, kernel, stride, padding, include_pad, names)
        dx[part] += (dy[place] / count)[:, None, None, None]


def _windows(x_shape, y_shape, kernel, stride, padding, dilation):
    """(index of the output, index of its window in x, names of the taps [d, h, w]) for each output of a plane."""
    sizes = taps(x_shape, y_shape, kernel)
    outputs = [range(o) for o in y_shape[1:4]]
    for place in product(*outputs):
        part, names = [slice(None)], np.zeros(1, np.int64)
        for a, o in enumerate(place):
            size = x_shape[a + 1]
            if kernel is None:
                start, step, stop = o * size // y_shape[a + 1], 1, -(-(o + 1) * size // y_shape[a + 1])
                first = 0
            else:
                start, step = o * stride[a] - padding[a], dilation[a]
                stop = min(size, start + kernel[a] * step)
                first = max(0, -(start // step))
            part.append(slice(start + first * step, max(start + first * step, stop), step))
            k = first + np.arange(len(range(part[-1].start, part[-1].stop, step)))
            names = names[..., None] * sizes[a] + k
        yield (slice(None), *place), tuple(part), names[0]


def _count(place, x_shape, kernel, stride, padding, include_pad, names):
    if kernel is None or not include_pad:
        return names.size
    count = 1
    for o, size, k, s, p in zip(place[1:], x_shape[1:4], kernel, stride, padding):
        count *= min(o * s - p + k, size + p) - (o * s - p)
    return count
