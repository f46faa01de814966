"""What the examples share: their options, and their pictures."""

import argparse
import os

import numpy as np

import nnrt
from nnrt.data import write_png

try:
    from matplotlib.figure import Figure
except ImportError:  # the pictures are then plain grids and lines, without words
    Figure = None


def arguments(doc, name, epochs=None, **choices):
    """--out of an example, --epochs and --seed if it trains, and its own choices, the first being the default."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    if epochs:
        parser.add_argument("--epochs", type=int, default=epochs, help=f"passes over the data (default {epochs})")
        parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--out", default=f"{name}.png", help=f"the picture (default {name}.png)")
    for option, values in choices.items():
        parser.add_argument(f"--{option}", choices=values, default=values[0], help=f"default {values[0]}")
    args = parser.parse_args()
    if os.path.isdir(args.out) or not os.access(os.path.dirname(os.path.abspath(args.out)), os.W_OK):
        parser.error(f"--out: {args.out} cannot be written: wanted a file in a folder that exists and is yours")
    if epochs:
        nnrt.manual_seed(args.seed)
    return args


def batches(count, size):
    """Index tensors of a shuffled epoch; what does not fill a batch is left out."""
    order = nnrt.randperm(count)
    return [order[i : i + size] for i in range(0, count - size + 1, size)]


def save_rows(path, rows, title="", captions=None, height=0.8, labels=True):
    """A row of grey images per entry of rows, {label: (n, h, w) or (n, 1, h, w), 0 black to 1 white}.

    captions: {label: n texts} to go under the images. height: of an image, in inches.
    """
    rows = {label: np.clip(_array(images), 0, 1) for label, images in rows.items()}
    rows = {label: images.reshape(len(images), *images.shape[-2:]) for label, images in rows.items()}
    if Figure is None:
        _write(path, [list(images) for images in rows.values()])
        return
    columns = max(map(len, rows.values()))
    h, w = next(iter(rows.values())).shape[1:]
    size = (columns * height * w / h + 1.4 * labels, len(rows) * (height + 0.15) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, (label, images) in zip(axes, rows.items()):
        for i, cell in enumerate(line):
            cell.set_axis_off()
            if i < len(images):
                cell.imshow(images[i], cmap="gray", vmin=0, vmax=1, interpolation="bicubic")
                if captions and label in captions:
                    cell.text(0.5, -0.06, captions[label][i], transform=cell.transAxes, ha="center", va="top", fontsize=8)
        if labels:
            line[0].text(-0.15, 0.5, label, transform=line[0].transAxes, ha="right", va="center", fontsize=9)
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def save_curves(path, x, curves, xlabel, ylabel, title=""):
    """A line per entry of curves, {label: values at x}."""
    curves = {label: np.asarray(values, float) for label, values in curves.items()}
    if Figure is None:
        _write(path, [[_lines(x, list(curves.values()))]])
        return
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for label, values in curves.items():
        axes.plot(x, values, marker="o", label=label)
    axes.set(xlabel=xlabel, ylabel=ylabel, title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    print(f"picture: {path}")


def _array(images):
    return images.detach().numpy() if isinstance(images, nnrt.Tensor) else np.asarray(images)


def _write(path, rows, gap=4):
    """The images side by side, row under row; small ones enlarged to 64 pixels of height."""
    scale = max(1, 64 // rows[0][0].shape[0])
    height, width = (n * scale + gap for n in rows[0][0].shape)
    page = np.full((len(rows) * height + gap, max(map(len, rows)) * width + gap), 255, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            pixels = np.kron(np.round(image * 255).astype(np.uint8), np.ones((scale, scale), np.uint8))
            page[gap + i * height :, gap + j * width :][: pixels.shape[0], : pixels.shape[1]] = pixels
    write_png(path, page)
    print(f"picture: {path} (with matplotlib it has labels)")


def _lines(x, curves, height=240, width=360):
    """The curves over x on white, the lowest value at the bottom; the first is black, later ones are lighter."""
    page = np.ones((height, width))
    low, high = min(c.min() for c in curves), max(c.max() for c in curves)
    for i, curve in enumerate(curves):
        values = np.interp(np.linspace(x[0], x[-1], width), x, curve)
        rows = ((high - values) / max(high - low, 1e-9) * (height - 4)).astype(int)
        for column, (before, row) in enumerate(zip([rows[0], *rows], rows)):  # from the last one's height to its own
            page[min(before, row) : max(before, row) + 3, column] = i / (len(curves) + 1)
    return page
