"""Progress lines and pictures."""

import builtins
import io

import numpy as np
import pytest

from nnrt.data import read_png
from nnrt.train import History, plots, progress
from nnrt.train.progress import format_row, make_progress

ROW = {"epoch": 3, "loss": 0.12345, "accuracy": 0.9, "lr": 0.00123, "seconds": 1.234}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def play(kind, file):
    shown = make_progress(kind, 10, file)
    for epoch in (1, 2):
        shown.epoch(epoch, 2)
        for done in (1, 2):
            shown.step(done, 0.5)
        shown.end_epoch({**ROW, "epoch": epoch})
    shown.close()
    return file.getvalue()


@pytest.fixture
def without(monkeypatch):
    """Hides a library."""

    def hide(name):
        real = builtins.__import__

        def fake(module, *args, **kwargs):
            if module.partition(".")[0] == name:
                raise ImportError(f"No module named {name!r}")
            return real(module, *args, **kwargs)

        monkeypatch.setattr(builtins, "__import__", fake)

    return hide


def test_a_row():
    assert format_row(ROW, 10) == "epoch  3/10  loss 0.1235  accuracy 0.9000  lr 0.00123  1.23 s"


def test_a_pipe_gets_one_line_per_epoch():
    for kind in ("auto", "epoch"):
        lines = play(kind, io.StringIO()).splitlines()
        assert lines == [format_row({**ROW, "epoch": i}, 10) for i in (1, 2)]


def test_a_terminal_without_tqdm_gets_one_updating_line(without):
    without("tqdm")
    text = play("auto", Terminal())
    assert (
        text.count("\n") == 1 and text.count("\r") >= 3 and "batch 1/2" in text and "accuracy 0.9000" in text
    )
    with pytest.raises(ImportError, match=r"pip install 'nnrt\[ui\]'"):
        make_progress("bar", 1)


@pytest.mark.parametrize("columns, last", [(65, "1.23 s"), (60, "lr 0.00123"), (30, "loss 0.1235"), (9, "epoch")])
def test_the_updating_line_never_wraps(monkeypatch, columns, last):
    monkeypatch.setattr(progress, "_columns", lambda file: columns)
    drawn = play("line", Terminal()).rstrip("\n").split("\r")
    assert drawn[-1].rstrip().endswith(last) and max(map(len, drawn)) < columns


def test_a_terminal_with_tqdm_gets_a_bar():
    pytest.importorskip("tqdm", reason="the bar is tqdm's; it is not installed")
    text = play("auto", Terminal())
    assert "epoch 2/10" in text and "loss=0.1235" in text and "it/s" not in text.splitlines()[-1][:1]


def test_the_bar_has_room_for_the_numbers_of_an_epoch(monkeypatch):
    pytest.importorskip("tqdm", reason="the bar is tqdm's; it is not installed")
    file = Terminal()
    shown = make_progress("bar", 60, file)
    shown.epoch(60, 41)
    shown.end_epoch({"epoch": 60, "loss": 0.0287, "val_loss": 0.0549, "val_accuracy": 0.986})
    shown.close()
    assert "loss=0.0287, val_accuracy=0.9860" in file.getvalue()


def test_silence_and_unknown_kinds():
    assert play("none", io.StringIO()) == ""
    with pytest.raises(ValueError, match="'dots'; wanted auto"):
        make_progress("dots", 1)


HISTORY = History(
    [
        {"epoch": i, "loss": 1 / i, "val_loss": 1.1 / i, "accuracy": 1 - 0.5 / i, "lr": 0.1, "seconds": 1}
        for i in (1, 2)
    ]
)


def test_pictures_are_drawn(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are matplotlib's; it is not installed")
    plots.learning_curve(HISTORY, tmp_path / "curve.png")
    plots.confusion_matrix(
        np.diag([3, 2, 0]) + 1, tmp_path / "confusion.png", ["cat", "dog", "mouse"], "title"
    )
    plots.confusion_matrix(np.eye(50, dtype=int), tmp_path / "large.png")
    for name in ("curve", "confusion", "large"):
        image = read_png(tmp_path / f"{name}.png")
        assert min(image.shape[:2]) > 200 and image.std() > 5
    with pytest.raises(ValueError, match="empty"):
        plots.learning_curve(History(), tmp_path / "x.png")


def test_many_quantities_make_several_rows_of_panels(tmp_path):
    pytest.importorskip("matplotlib", reason="pictures are matplotlib's; it is not installed")
    rows = [{"epoch": i, **{name: 1 / i for name in "abcdef"}} for i in (1, 2, 3)]
    rows[1].pop("f")  # a column that a callback adds now and then
    plots.learning_curve(History(rows), tmp_path / "curve.png")
    height, width = read_png(tmp_path / "curve.png").shape[:2]
    assert width < 2.5 * height


def test_without_matplotlib_it_says_what_to_install(tmp_path, without):
    without("matplotlib")
    with pytest.raises(ImportError, match=r"pip install 'nnrt\[plot\]'"):
        plots.learning_curve(HISTORY, tmp_path / "curve.png")
    assert not list(tmp_path.iterdir())
