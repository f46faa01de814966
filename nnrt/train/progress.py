"""Progress for people: a bar on a terminal, one line per epoch in a file or a pipe."""

import os
import sys
import time

KINDS = ("auto", "bar", "line", "epoch", "none")
MIN_INTERVAL = 0.1  # seconds between two redraws: faster than the eye reads costs only time


def make_progress(kind, epochs, file=None):
    """kind: "auto", "bar", "line", "epoch" or "none".

    auto: on a terminal a tqdm bar where tqdm is installed, else one line that is rewritten;
    otherwise one line per epoch. file: stderr by default. Raises ValueError for another kind and
    ImportError, naming the extra to install, for "bar" without tqdm.
    """
    file = file or sys.stderr
    if kind == "auto":
        kind = "epoch"
        if file.isatty():
            kind = "line" if _tqdm() is None else "bar"
    if kind == "bar":
        tqdm = _tqdm()
        if tqdm is None:
            raise ImportError("progress='bar' needs tqdm: pip install 'nnrt[ui]'")
        return _Bar(epochs, file, tqdm)
    if kind == "line":
        return _Line(epochs, file)
    if kind == "epoch":
        return _Epoch(epochs, file)
    if kind == "none":
        return _Silent()
    raise ValueError(f"progress {kind!r}; wanted auto, bar, line, epoch or none")


def _tqdm():
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm


def _columns(file):
    try:
        return os.get_terminal_size(file.fileno()).columns
    except (OSError, ValueError):
        return 0


def format_row(row, epochs):
    """One epoch's numbers: `epoch  3/30  loss 0.1234  accuracy 0.9612  val_loss 0.0912  0.12 s`."""
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    for name, value in row.items():
        if name in ("epoch", "seconds"):
            continue
        parts.append(f"{name} {value:.3g}" if name == "lr" else f"{name} {value:.4f}")
    if "seconds" in row:
        parts.append(f"{row['seconds']:.2f} s")
    return "  ".join(parts)


class _Silent:
    def epoch(self, number, batches, done=0):
        pass

    def step(self, done, loss):
        pass

    def end_epoch(self, row):
        pass

    def close(self, why=None):
        """why: what ended the training before its last epoch, if anything did."""


class _Epoch(_Silent):
    def __init__(self, epochs, file):
        self.epochs = epochs
        self.file = file

    def end_epoch(self, row):
        print(format_row(row, self.epochs), file=self.file, flush=True)

    def close(self, why=None):
        if why:
            print(f"stopped: {why}", file=self.file, flush=True)


class _Line(_Epoch):
    """One line, rewritten in place; each finished epoch overwrites it too."""

    def __init__(self, epochs, file):
        super().__init__(epochs, file)
        self.drawn = 0.0
        self.width = 0

    def epoch(self, number, batches, done=0):
        self.number, self.batches = number, batches

    def step(self, done, loss):
        now = time.monotonic()
        if now - self.drawn < MIN_INTERVAL:
            return
        self.drawn = now
        of = "" if self.batches is None else f"/{self.batches}"
        self._draw(f"epoch {self.number}/{self.epochs}  batch {done}{of}  loss {loss:.4f}")

    def end_epoch(self, row):
        self._draw(format_row(row, self.epochs))

    def close(self, why=None):
        if self.width:
            print(file=self.file, flush=True)
            self.width = 0
        super().close(why)

    def _draw(self, text):
        room = _columns(self.file) - 1  # a line that wraps could not be rewritten: what does not fit is left out
        while 0 < room < len(text):
            text = text.rpartition("  ")[0] or text[:room]
        print("\r" + text.ljust(self.width), end="", file=self.file, flush=True)
        self.width = len(text)


class _Bar(_Epoch):
    """A tqdm bar over all epochs."""

    def __init__(self, epochs, file, tqdm):
        super().__init__(epochs, file)
        self.tqdm = tqdm
        self.bar = None

    def epoch(self, number, batches, done=0):
        if self.bar is None:
            total = None if batches is None else batches * self.epochs
            begun = 0 if batches is None else batches * (number - 1) + done
            width = None if _columns(self.file) else 80  # a terminal of width 0 would show nothing
            # Without counts and rate the numbers of the last epoch fit beside the bar in 80 columns.
            layout = None if batches is None else "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"
            self.bar = self.tqdm(
                total=total, initial=begun, file=self.file, unit="batch", ncols=width, bar_format=layout
            )
        self.bar.set_description(f"epoch {number}/{self.epochs}", refresh=False)

    def step(self, done, loss):
        self.bar.update(1)

    def end_epoch(self, row):
        shown = {"loss": row["loss"]}
        shown.update((k, v) for k, v in row.items() if k.startswith("val_") and k != "val_loss")
        self.bar.set_postfix({k: f"{v:.4f}" for k, v in shown.items()}, refresh=False)

    def close(self, why=None):
        if self.bar is not None:
            self.bar.close()
        super().close(why)
