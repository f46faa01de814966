"""Every example runs, shortened, and leaves a picture with something on it; with and without matplotlib."""

import os
import subprocess
import sys
from pathlib import Path

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


def run(name, *options, cwd):
    """The example in the folder cwd, whose modules come first."""
    root = Path(nnrt.__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": f"{cwd}{os.pathsep}{root}"}
    return subprocess.run(
        [sys.executable, FOLDER / f"{name}.py", *options], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_filters_has_no_options_of_training(tmp_path):
    offered = run("filters", "--help", cwd=tmp_path).stdout
    assert "--out" in offered and "--epochs" not in offered and "--seed" not in offered


@pytest.mark.parametrize("name, with_matplotlib", RUNS)
def test_an_example(name, with_matplotlib, tmp_path):
    if with_matplotlib:
        pytest.importorskip("matplotlib", reason="the labels are matplotlib's; it is not installed")
    else:
        (tmp_path / "matplotlib.py").write_text("raise ImportError('hidden')")
    done = run(name, *SHORTENED.get(name, []), "--out", "a.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "picture: a.png" in done.stdout and ("it has labels" in done.stdout) is not with_matplotlib
    image = read_png(tmp_path / "a.png")
    assert min(image.shape[:2]) > 100 and image.std() > 5
