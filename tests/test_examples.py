"""Every example runs, shortened, and leaves a picture with something on it; with and without matplotlib."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnrt
from nnrt.data import read_png

FOLDER = Path(__file__).parent.parent / "examples"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "common")
SHORTENED = {name: ["--epochs", "1"] for name in EXAMPLES if name != "filters"}  # which does not train
RUNS = [(name, False) for name in EXAMPLES] + [("adversarial", True), ("transfer", True)]  # matplotlib's rows and curves


def test_the_list_of_examples_is_complete():
    readme = (FOLDER / "README.md").read_text()
    assert len(EXAMPLES) >= 7 and all(f"`{name}.py`" in readme for name in EXAMPLES)


def run(*command, cwd):
    """Python in the folder cwd, whose modules come first, then nnrt's and the examples'."""
    folders = (cwd, Path(nnrt.__file__).parent.parent, FOLDER)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    return subprocess.run([sys.executable, *command], cwd=cwd, env=environment, capture_output=True, text=True)


def test_filters_has_no_options_of_training(tmp_path):
    offered = run(FOLDER / "filters.py", "--help", cwd=tmp_path).stdout
    assert "--out" in offered and "--epochs" not in offered and "--seed" not in offered


@pytest.mark.parametrize("out", ["absent/a.png", "."])
def test_a_picture_that_cannot_be_written_is_refused_before_the_training(out, tmp_path):
    done = run(FOLDER / "vae.py", "--epochs", "100000", "--out", out, cwd=tmp_path)
    assert done.returncode == 2 and f"--out: {out} cannot be written" in done.stderr


def test_lines_without_matplotlib_are_drawn_over_x(tmp_path):
    (tmp_path / "matplotlib.py").write_text("raise ImportError('hidden')")
    curves = {"a line": [0, 10, 100], "a step": [0, 100, 100]}
    code = f"from common import save_curves; save_curves('a.png', (0, 1, 10), {curves}, 'x', 'y')"
    assert run("-c", code, cwd=tmp_path).returncode == 0
    page = read_png(tmp_path / "a.png").reshape(248, 368)[4:244, 4:364]
    step = page == 85  # the second of two lines; the first is black
    np.testing.assert_allclose(step[:, 37:].argmax(0), 0, atol=1)
    assert step.any(1)[3:].sum() > 230  # no gaps where it is steep
    line = (page == 0)[:, 36:340]  # later the two meet
    np.testing.assert_allclose(line.argmax(0), 236 * (1 - np.arange(36, 340) / 359), rtol=0, atol=1.5)


@pytest.mark.parametrize("name, with_matplotlib", RUNS)
def test_an_example(name, with_matplotlib, tmp_path):
    if with_matplotlib:
        pytest.importorskip("matplotlib", reason="the labels are matplotlib's; it is not installed")
    else:
        (tmp_path / "matplotlib.py").write_text("raise ImportError('hidden')")
    done = run(FOLDER / f"{name}.py", *SHORTENED.get(name, []), "--out", "a.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "picture: a.png" in done.stdout and ("it has labels" in done.stdout) is not with_matplotlib
    image = read_png(tmp_path / "a.png")
    assert min(image.shape[:2]) > 100 and image.std() > 5
