"""Convolution with filters that are chosen, not learned: blur, sharpen, emboss, edges.

Digits are pasted into one page, and each 3 x 3 filter runs over it as a convolution with a single channel; the blur
24 times. Grey is 0 where a filter answers to changes only.
"""

from common import arguments, save_rows

import nnrt
import nnrt.nn.functional as F
from nnrt.data import load_digits

FILTERS = {
    "blur": [[1 / 16, 2 / 16, 1 / 16], [2 / 16, 4 / 16, 2 / 16], [1 / 16, 2 / 16, 1 / 16]],
    "sharpen": [[-2, -2, -2], [-2, 17, -2], [-2, -2, -2]],
    "emboss": [[-2, -1, 0], [-1, 0, 1], [0, 1, 2]],
    "Laplace": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    "Sobel, left to right": [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]],
    "Sobel, top to bottom": [[-1, -2, -1], [0, 0, 0], [1, 2, 1]],
}
SOBEL = ("Sobel, left to right", "Sobel, top to bottom")


def page(images, columns):
    """[N, 1, h, w] -> [1, 1, H, W], the images in rows of `columns`, enlarged eight times."""
    rows = [nnrt.cat(list(images[i : i + columns]), dim=2) for i in range(0, len(images), columns)]
    return F.interpolate(nnrt.cat(rows, dim=1)[None], scale_factor=8, mode="bicubic", align_corners=False).clamp(0, 1)


args = arguments(__doc__, "filters")
images, labels = load_digits("test")
first = [int((labels == digit).nonzero()[0]) for digit in range(10)]
x = page(F.pad(images[first], (1, 1, 1, 1)), 5)

shown = {"the page": x}
for name, taps in FILTERS.items():
    weight = nnrt.tensor(taps, dtype=x.dtype).reshape(1, 1, 3, 3)
    y = x
    for _ in range(24 if name == "blur" else 1):
        y = F.conv2d(y, weight, padding=1)
    print(f"{name:22} values from {y.min().item():6.2f} to {y.max().item():5.2f}")
    # A filter whose taps sum to 0 gives 0 where nothing changes: show that as grey.
    shown[name] = y if sum(map(sum, taps)) > 0.5 else y / (2 * y.abs().max()) + 0.5
across, down = (F.conv2d(x, nnrt.tensor(FILTERS[name], dtype=x.dtype)[None, None], padding=1) for name in SOBEL)
slope = (across**2 + down**2).sqrt()
shown["length of the slope"] = slope / slope.max()

names = list(shown)
rows = {f"row {i}": nnrt.cat([shown[name] for name in names[i : i + 2]]) for i in range(0, len(names), 2)}
captions = {f"row {i}": names[i : i + 2] for i in range(0, len(names), 2)}
save_rows(args.out, rows, "convolutions with 3 x 3 filters", captions, height=1.7, labels=False)
