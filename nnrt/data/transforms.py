"""Augmentation: transforms of batches of images (N, C, H, W), or of one image (C, H, W).

numpy arrays in and out (a Tensor gives a Tensor), of the same memory order; the input is never changed. Every
image of a batch gets draws of its own, from `generator` or, without one, from nnrt's default one, so that
nnrt.manual_seed repeats them:

    augment = Compose([ToFloat(), RandomCrop(32, padding=4), RandomHorizontalFlip(), Normalize(mean, std)])
    for images, labels in loader:
        loss = criterion(model(augment(images)), labels)
"""

import numpy as np

from ..ops.random import rand, randint
from ..tensor import Tensor, wrap

MODES = ("constant", "edge", "reflect", "symmetric")


class Transform:
    """A subclass defines apply(a) for a of four dimensions, which returns a new array or a itself."""

    def __call__(self, x):
        if isinstance(x, Tensor):
            return wrap(self(x.array))
        if not isinstance(x, np.ndarray) or x.ndim not in (3, 4):
            found = f"an array of shape {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
            raise ValueError(f"{type(self).__name__}: wants images (N, C, H, W) or one (C, H, W), got {found}")
        return self.apply(x) if x.ndim == 4 else self.apply(x[None])[0]

    def __repr__(self):
        settings = [f"{k}={v!r}" for k, v in vars(self).items() if k != "generator"]
        return f"{type(self).__name__}({', '.join(settings)})"


class Compose(Transform):
    """Transforms one after the other."""

    def __init__(self, transforms):
        self.transforms = list(transforms)

    def __call__(self, x):
        for transform in self.transforms:
            x = transform(x)
        return x


class ToFloat(Transform):
    """uint8 0..255 as float32 0..1; floating images stay as they are."""

    def apply(self, a):
        if a.dtype.kind == "f":
            return a
        if a.dtype != np.uint8:
            raise TypeError(f"ToFloat: wants uint8 or floating images, got {a.dtype}")
        return np.multiply(a, np.float32(1 / 255), dtype=np.float32)


class Normalize(Transform):
    """(x - mean) / std, numbers or one for each channel. ValueError for a std of 0."""

    def __init__(self, mean, std):
        self.mean = mean
        self.std = std
        if not np.all(std):
            raise ValueError(f"Normalize: std must not be 0, got {std!r}")

    def apply(self, a):
        _check_floating(self, a)
        mean, std = (_per_channel(self, v, a) for v in (self.mean, self.std))
        return (a - mean) / std


class Pad(Transform):
    """padding pixels on every side, or (left and right, top and bottom), or (left, top, right, bottom).

    mode: constant (fill), edge, reflect (without the edge) or symmetric (with it).
    """

    def __init__(self, padding, fill=0, mode="constant"):
        sides = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
        sides = sides * 2 if len(sides) == 2 else sides
        if len(sides) != 4 or min(sides) < 0:
            raise ValueError(f"Pad: padding must be 1, 2 or 4 numbers of pixels, got {padding!r}")
        if mode not in MODES:
            raise ValueError(f"Pad: mode must be one of {', '.join(MODES)}, got {mode!r}")
        self.padding = sides
        self.fill = fill
        self.mode = mode

    def apply(self, a):
        left, top, right, bottom = self.padding
        width = ((0, 0), (0, 0), (top, bottom), (left, right))
        more = {"constant_values": self.fill} if self.mode == "constant" else {}
        return np.pad(a, width, self.mode, **more)


class CenterCrop(Transform):
    """The middle part of size pixels, a number or (H, W). ValueError where the image is smaller."""

    def __init__(self, size):
        self.size = _size(self, size)

    def apply(self, a):
        top, left = (room // 2 for room in _room(self, a, self.size))
        return a[:, :, top : top + self.size[0], left : left + self.size[1]].copy(order="K")


class RandomCrop(Transform):
    """A part of size pixels, a number or (H, W), at a random place; padding, fill, mode: applied before, see Pad."""

    def __init__(self, size, padding=None, fill=0, mode="constant", generator=None):
        self.size = _size(self, size)
        self.pad = None if padding is None else Pad(padding, fill, mode)
        self.generator = generator

    def apply(self, a):
        if self.pad is not None:
            a = self.pad.apply(a)
        height, width = self.size
        n = len(a)
        tops, lefts = (
            randint(0, room + 1, (n,), generator=self.generator).tolist() for room in _room(self, a, self.size)
        )
        out = np.empty_like(a, shape=(*a.shape[:2], height, width))
        for i, (top, left) in enumerate(zip(tops, lefts)):
            out[i] = a[i, :, top : top + height, left : left + width]
        return out


class RandomHorizontalFlip(Transform):
    """Left and right exchanged with probability p."""

    axis = 3

    def __init__(self, p=0.5, generator=None):
        self.p = _probability(self, p)
        self.generator = generator

    def apply(self, a):
        chosen = _uniform(self, len(a)) < self.p
        out = a.copy(order="K")
        out[chosen] = np.flip(a[chosen], self.axis)
        return out


class RandomVerticalFlip(RandomHorizontalFlip):
    """Top and bottom exchanged with probability p."""

    axis = 2


class RandomBrightness(Transform):
    """x times a factor of 1 - amount to 1 + amount. Values are not clipped: clip=(0, 1) does."""

    def __init__(self, amount, clip=None, generator=None):
        self.amount = _amount(self, amount)
        self.clip = clip
        self.generator = generator

    def apply(self, a):
        _check_floating(self, a)
        return _clipped(a * _factor(self, a), self.clip)


class RandomContrast(Transform):
    """The distance from the image's mean times a factor of 1 - amount to 1 + amount; clip as in RandomBrightness."""

    def __init__(self, amount, clip=None, generator=None):
        self.amount = _amount(self, amount)
        self.clip = clip
        self.generator = generator

    def apply(self, a):
        _check_floating(self, a)
        mean = a.mean((1, 2, 3), keepdims=True)
        return _clipped((a - mean) * _factor(self, a) + mean, self.clip)


class RandomErasing(Transform):
    """With probability p a rectangle is set to value: Zhong et al., "Random Erasing Data Augmentation" (2017).

    scale: least and greatest part of the image's area; ratio: of height to width, drawn evenly in its logarithm.
    A rectangle that would reach beyond the image is cut at its height and width.
    """

    def __init__(self, p=0.5, scale=(0.02, 0.33), ratio=(0.3, 3.3), value=0, generator=None):
        self.p = _probability(self, p)
        if not 0 <= scale[0] <= scale[1] <= 1 or not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"RandomErasing: scale {scale} and ratio {ratio} must rise, scale within 0 to 1")
        self.scale = tuple(scale)
        self.ratio = tuple(ratio)
        self.value = value
        self.generator = generator

    def apply(self, a):
        out = a.copy(order="K")
        n, _, height, width = a.shape
        chosen, area, ratio, top, left = (_uniform(self, n) for _ in range(5))
        area = (self.scale[0] + area * (self.scale[1] - self.scale[0])) * height * width
        low, high = np.log(self.ratio)
        ratio = np.exp(low + ratio * (high - low))
        h = np.minimum(np.rint(np.sqrt(area * ratio)), height).astype(int)
        w = np.minimum(np.rint(np.sqrt(area / ratio)), width).astype(int)
        top, left = (top * (height - h + 1)).astype(int), (left * (width - w + 1)).astype(int)
        for i in np.flatnonzero(chosen < self.p):
            out[i, :, top[i] : top[i] + h[i], left[i] : left[i] + w[i]] = self.value
        return out


# ---- arguments and draws ----


def _uniform(transform, n):
    return rand(n, generator=transform.generator).numpy().astype(np.float64)


def _factor(transform, a):
    factor = 1 + transform.amount * (2 * _uniform(transform, len(a)) - 1)
    return factor.astype(a.dtype)[:, None, None, None]


def _clipped(a, clip):
    return a if clip is None else np.clip(a, *clip, out=a)


def _check_floating(transform, a):
    if a.dtype.kind != "f":
        raise TypeError(f"{type(transform).__name__}: wants floating images, got {a.dtype}; ToFloat() converts")


def _per_channel(transform, values, a):
    values = np.asarray(values, a.dtype)
    if values.ndim > 1 or values.ndim and values.size not in (1, a.shape[1]):
        raise ValueError(
            f"{type(transform).__name__}: {values.size} values for images of {a.shape[1]} channels (shape {a.shape})"
        )
    return values.reshape(-1, 1, 1)


def _size(transform, size):
    size = (size, size) if isinstance(size, int) else tuple(size)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"{type(transform).__name__}: size must be one or two positive numbers, got {size}")
    return size


def _room(transform, a, size):
    room = a.shape[2] - size[0], a.shape[3] - size[1]
    if min(room) < 0:
        raise ValueError(
            f"{type(transform).__name__}: a part of {size} does not fit into images of shape {a.shape}"
        )
    return room


def _probability(transform, p):
    if not 0 <= p <= 1:
        raise ValueError(f"{type(transform).__name__}: p must be within 0 to 1, got {p}")
    return p


def _amount(transform, amount):
    if not 0 <= amount <= 1:
        raise ValueError(f"{type(transform).__name__}: amount must be within 0 to 1, got {amount}")
    return amount
