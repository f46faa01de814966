"""Pictures of a training as PNG files, drawn by matplotlib (the extra nnrt[plot])."""

import io

import numpy as np

from ..io.atomic import replacing


def _figure(**options):
    try:
        from matplotlib.figure import Figure  # without pyplot: no window system, no global state
    except ImportError:
        raise ImportError("pictures need matplotlib: pip install 'nnrt[plot]'") from None
    return Figure(layout="constrained", **options)


def _write(figure, path):
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    with replacing(path) as file:
        file.write(picture.getvalue())


def learning_curve(history, path):
    """Writes a PNG with one panel per quantity of the history, up to four in a row: training and validation over the epochs.

    Raises ImportError, naming the extra to install, without matplotlib, and ValueError for an empty history.
    """
    names = [c for c in history.columns() if c not in ("epoch", "seconds", "lr") and not c.startswith("val_")]
    if not names:
        raise ValueError("learning_curve: the history is empty")
    rows = -(-len(names) // 4)
    columns = -(-len(names) // rows)
    figure = _figure(figsize=(4.5 * columns, 3.5 * rows))
    epochs = history["epoch"]
    for i, name in enumerate(names):
        axes = figure.add_subplot(rows, columns, i + 1)
        # A single epoch is a point, which a line without markers would not show.
        style = {"marker": "o", "markersize": 3} if len(epochs) < 15 else {}
        axes.plot(epochs, history[name], label="training", **style)
        if f"val_{name}" in history.columns():
            axes.plot(epochs, history[f"val_{name}"], label="validation", **style)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylabel(name)
        axes.legend()
        axes.grid(alpha=0.3)
    _write(figure, path)


def confusion_matrix(matrix, path, classes=None, title=None):
    """Writes a PNG of a confusion matrix (C, C): rows the right class, columns the predicted one.

    classes: C names, by default 0 to C-1. Colours are shares of a row, numbers are counts (left out above
    40 classes). Raises ImportError, naming the extra to install, without matplotlib.
    """
    matrix = np.asarray(matrix)
    count = len(matrix)
    names = [str(c) for c in (classes or range(count))]
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    side = max(4.0, 0.42 * count + 1.2) if count <= 40 else 10
    figure = _figure(figsize=(side, side))
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("right")
    if title:
        axes.set_title(title)
    if count <= 40:
        turn = 90 if max(map(len, names)) > 2 else 0
        axes.set_xticks(range(count), names, rotation=turn)
        axes.set_yticks(range(count), names)
        for i, j in zip(*np.nonzero(matrix)):
            axes.text(
                j, i, matrix[i, j], ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black"
            )
    _write(figure, path)
