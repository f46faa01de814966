"""The command line as people run it: a process of its own, an empty directory, a home that is read-only."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnrt
from nnrt import cli, registry
from nnrt.data import load_digits, read_png
from nnrt.io import load_file
from nnrt.runtime import info

FILES = {"config.json", "history.csv", "curve.png", "confusion.png", "model.safetensors", "checkpoint"}


def environment():
    """No home, no settings of the caller's, and this nnrt."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("NNRT_", "MPL")) or k == "NNRT_BACKEND"}
    root = str(Path(nnrt.__file__).parent.parent)
    # Nobody, not even root, can write below a device.
    return {**env, "HOME": "/dev/null/home", "PYTHONPATH": root, "MPLBACKEND": "Agg", "PYTHONUNBUFFERED": "1"}


def start(folder, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "nnrt", *map(str, words)],
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A background shell hands its children an ignored SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def run(folder, *words, status=0):
    process = start(folder, *words)
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, err
    return out, err


def without_pictures(folder):
    """Hides matplotlib from runs in a folder: drawing takes longer than a short training."""
    (folder / "matplotlib.py").write_text("raise ImportError('hidden')")


def weights(folder):
    return {name: t.array.tobytes() for name, t in load_file(folder / "model.safetensors").items()}


def numbers(folder):
    """The history without the times."""
    with open(folder / "history.csv", newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The command of the README, once: (working directory, what it printed)."""
    folder = tmp_path_factory.mktemp("readme")
    return folder, run(folder, "train", "digits")


def test_train_digits_reaches_97_percent_and_writes_its_folder(whole):
    folder, (out, err) = whole
    accuracy = float(out.split("test accuracy ")[1].split()[0])
    assert accuracy >= 0.97
    # In a pipe one line per epoch; matplotlib may add that the home cannot be written.
    assert [line.split()[1] for line in err.splitlines() if "epoch" in line] == [
        f"{i}/30" for i in range(1, 31)
    ]
    assert [p.name for p in folder.iterdir()] == ["runs"]
    left_out = set() if "left out" not in out else {"curve.png", "confusion.png"}
    assert {p.name for p in (folder / "runs/digits").iterdir()} == FILES - left_out
    assert "written to runs/digits" in out and "nnrt predict runs/digits IMAGE.png" in out
    assert len(numbers(folder / "runs/digits")) == 30
    assert json.loads((folder / "runs/digits/config.json").read_text())["options"]["epochs"] == 30


def test_the_cnn_reaches_98_5_percent_resumes_and_predicts(tmp_path):
    words = ("train", "digits", "--model", "cnn")
    process = start(tmp_path, *words)
    for line in process.stderr:
        if "epoch  3/12" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=100)
    out, err = run(tmp_path, "train", "digits", "--resume")
    assert "epoch 12/12" in err and "epoch  1/12" not in err
    assert out.startswith("cnn with 30,762 parameters")
    assert float(out.split("test accuracy ")[1].split()[0]) >= 0.985
    images, labels = load_digits("test", raw=True)
    np.save(tmp_path / "a.npy", images)
    out, _ = run(tmp_path, "predict", "runs/digits", "a.npy")
    assert (np.array(classes(out)) == labels).mean() >= 0.985


def test_pictures(whole):
    pytest.importorskip("matplotlib", reason="pictures are matplotlib's; it is not installed")
    for name in ("curve", "confusion"):
        assert read_png(whole[0] / f"runs/digits/{name}.png").std() > 5


def test_without_matplotlib_the_run_says_what_it_left_out(tmp_path):
    without_pictures(tmp_path)
    code = "import sys; sys.path.insert(0, '.'); from nnrt.cli import main; sys.exit(main())"
    words = ["train", "digits", "--epochs", "1", "--progress", "none"]
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=tmp_path, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0 and "left out: curve.png, confusion.png" in done.stdout
    assert "pip install 'nnrt[plot]'" in done.stdout
    assert not (tmp_path / "runs/digits/curve.png").exists()


def test_the_same_seed_gives_the_same_bits(tmp_path):
    without_pictures(tmp_path)
    short = ("train", "digits", "--epochs", 2, "--hidden", 16, "--progress", "none", "--out")
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(tmp_path, *short, name, "--seed", seed)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert a == b and a != c


def interrupted(tmp_path, epoch, number):
    """Starts the default run and sends it a signal after an epoch; (status, out, err)."""
    process = start(tmp_path, "train", "digits")
    seen = ""
    for line in process.stderr:
        seen += line
        if f"epoch {epoch:2}/30" in line:
            break
    process.send_signal(number)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, seen + err


def test_resume_after_sigkill_gives_the_same_bits(whole, tmp_path):
    without_pictures(tmp_path)
    status, out, _ = interrupted(tmp_path, 7, signal.SIGKILL)
    assert status == -signal.SIGKILL and "test accuracy" not in out
    _, err = run(tmp_path, "train", "digits", status=2)
    assert "unfinished run" in err and "--resume" in err and "--overwrite" in err
    out, _ = run(tmp_path, "train", "digits", "--resume")
    assert "test accuracy" in out
    assert weights(tmp_path / "runs/digits") == weights(whole[0] / "runs/digits")
    assert numbers(tmp_path / "runs/digits") == numbers(whole[0] / "runs/digits")


def test_ctrl_c_ends_with_a_checkpoint_and_resumes_to_the_same_bits(whole, tmp_path):
    status, out, err = interrupted(tmp_path, 4, signal.SIGINT)
    assert status == 130 and "Traceback" not in err and "interrupted at epoch" in err
    assert "python -m nnrt train digits --resume --out runs/digits" in out
    _, err = run(tmp_path, "predict", "runs/digits", "x.png", status=2)
    assert "training has not ended" in err and "--resume" in err
    _, err = run(tmp_path, "train", "digits", "--resume", "--lr", "0.5", status=2)
    assert "--lr was 0.002, got 0.5" in err
    run(tmp_path, "train", "digits", "--resume")
    assert weights(tmp_path / "runs/digits") == weights(whole[0] / "runs/digits")
    run(tmp_path, "train", "digits", "--resume")  # a finished run: only its results are made again
    assert weights(tmp_path / "runs/digits") == weights(whole[0] / "runs/digits")


# ---- predict ----


@pytest.fixture(scope="module")
def digits():
    return load_digits("test", raw=True)


def classes(out):
    return [int(line.split(":")[-1].split()[0]) for line in out.splitlines()[::2]]


def test_predict_arrays(whole, digits, tmp_path, capsys):
    images, labels = digits
    folder = str(whole[0] / "runs/digits")
    for i, array in enumerate(
        [images, images / 16, images.reshape(-1, 64), images[:, None], (images * 15).astype(np.uint8)]
    ):
        np.save(tmp_path / f"{i}.npy", array)
        assert cli.main(["predict", folder, str(tmp_path / f"{i}.npy")]) == 0
        assert (np.array(classes(capsys.readouterr().out)) == labels).mean() >= 0.97
    np.save(tmp_path / "one.npy", images[3])
    out, _ = run(tmp_path, "predict", folder, "one.npy")
    first, second = out.splitlines()
    assert "(" in first and sum(float(p) for p in second.split()[1::2]) == pytest.approx(1, abs=0.01)


def write_png(path, gray):
    import struct
    import zlib

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    lines = b"".join(b"\0" + row.tobytes() for row in gray.astype(np.uint8))
    head = struct.pack(">IIBBBBB", gray.shape[1], gray.shape[0], 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


@pytest.mark.parametrize("style", ["8x8", "inverted", "large"])
def test_predict_pictures(whole, digits, tmp_path, capsys, style):
    images, labels = (a[:60] for a in digits)
    right = 0
    for image, label in zip(images, labels):
        gray = image.astype(int) * 15
        if style != "8x8":
            gray = 255 - gray
        if style == "large":
            gray = np.pad(np.kron(gray, np.ones((9, 9))), ((40, 20), (30, 50)), constant_values=255)
        write_png(tmp_path / "a.png", gray)
        assert cli.main(["predict", str(whole[0] / "runs/digits"), str(tmp_path / "a.png")]) == 0
        right += classes(capsys.readouterr().out) == [label]
    # A large drawing is cut to its ink and so moved by up to a pixel, which the network was not trained for.
    assert right / len(labels) >= (0.8 if style == "large" else 0.95)


def test_what_cannot_be_predicted_is_named(whole, tmp_path, capsys):
    folder = str(whole[0] / "runs/digits")

    def refused(path, message, run=folder):
        assert cli.main(["predict", str(run), str(path)]) == 2
        assert message in capsys.readouterr().err

    refused("x.png", "does not exist; make a run with: python -m nnrt train digits", tmp_path / "none")
    refused("x.png", "it has no config.json", tmp_path)
    refused(tmp_path / "x.png", "x.png does not exist")
    refused(tmp_path / "x.jpg", "wanted a .png or a .npy file")
    for array, message in [
        (np.zeros((28, 28)), "shape (28, 28); wanted (8, 8)"),
        (np.zeros((0, 8, 8)), "shape (0, 8, 8)"),
        (np.zeros((8, 8), "U1"), "wanted numbers"),
        (np.full((8, 8), np.nan), "wanted values"),
        (np.full((8, 8), -1), "wanted values"),
        (np.full((8, 8), 300), "wanted values"),
    ]:
        np.save(tmp_path / "a.npy", array)
        refused(tmp_path / "a.npy", message)
    np.save(tmp_path / "o.npy", np.array([None]), allow_pickle=True)
    refused(tmp_path / "o.npy", "o.npy")
    (tmp_path / "bad.npy").write_bytes(b"junk")
    refused(tmp_path / "bad.npy", "bad.npy")
    (tmp_path / "bad.png").write_bytes(b"junk")
    refused(tmp_path / "bad.png", "not a PNG image")
    write_png(tmp_path / "small.png", np.zeros((4, 4)))
    refused(tmp_path / "small.png", "4 x 4 pixels; wanted at least 8 x 8")


def test_damaged_runs_are_named(whole, tmp_path, capsys):
    good = (whole[0] / "runs/digits/config.json").read_text()
    np.save(tmp_path / "a.npy", np.zeros((8, 8)))
    options = json.loads(good)
    options["options"]["hidden"] = "256"
    other = json.loads(good)
    other["options"]["hidden"] = [8]
    for config, model, message in [
        ("{", b"", "config.json is damaged"),
        ("[]", b"", "not the description of a run"),
        (json.dumps(options), b"", "the option hidden is '256'"),
        (good.replace('"digits"', '"chess"'), b"", "a run of 'chess'"),
        (good, b"junk", "model.safetensors: truncated"),
        (
            json.dumps(other),
            (whole[0] / "runs/digits/model.safetensors").read_bytes(),
            "does not fit config.json",
        ),
    ]:
        (tmp_path / "config.json").write_text(config)
        (tmp_path / "model.safetensors").write_bytes(model)
        assert cli.main(["predict", str(tmp_path), str(tmp_path / "a.npy")]) == 2
        assert message in capsys.readouterr().err


# ---- calls that are wrong ----


@pytest.mark.parametrize(
    "words, message",
    [
        (["train", "mnist"], "invalid choice: 'mnist' (choose from"),
        (["train"], "required: dataset"),
        ([], "required: command"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "digits", "--epochs", "0"], "wanted an integer of at least 1, got '0'"),
        (["train", "digits", "--epochs", "many"], "wanted an integer of at least 1, got 'many'"),
        (["train", "digits", "--lr", "-1"], "wanted a number above 0 to 10, got '-1'"),
        (["train", "digits", "--lr", "nan"], "got 'nan'"),
        (["train", "digits", "--dropout", "1"], "wanted a number from 0 and below 1"),
        (["train", "digits", "--hidden", "3,x"], "got 'x'"),
        (["train", "digits", "--model", "cnn9"], "invalid choice: 'cnn9'"),
        (["train", "digits", "--seed", "-3"], "at least 0"),
        (["train", "digits", "--seed", "9" * 20], "at least 0 and below 2**63, got"),
        (["bench", "--seconds", "nan"], "wanted a number above 0 to 600, got 'nan'"),
        (["bench", "--rounds", "0"], "wanted an integer of at least 1, got '0'"),
        (["predict", "runs/digits"], "required: image"),
    ],
)
def test_wrong_calls_say_what_was_wanted(words, message, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_an_unknown_option_is_named_with_its_command(capsys):
    assert cli.main(["train", "digits", "--epoks", "3"]) == 2
    said = capsys.readouterr().err
    assert said == "nnrt train digits: error: unknown arguments: --epoks 3; python -m nnrt train digits --help lists all\n"


def test_nothing_to_resume(tmp_path, capsys):
    assert cli.main(["train", "digits", "--resume", "--out", str(tmp_path / "x")]) == 2
    assert "nothing to resume" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("model, option, value", [("cnn", "hidden", 8), ("linear", "hidden", 8), ("linear", "dropout", 0.1)])
def test_an_option_that_the_model_lacks(model, option, value, tmp_path, capsys):
    words = ["train", "digits", "--model", model, f"--{option}", str(value), "--out", str(tmp_path / "x")]
    assert cli.main(words) == 2
    assert f"--{option} is an option of mlp" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for words in (["train", "digits"], ["bench", "--select", "gemm 16x16x16"]):
        assert cli.main([*words, "--out", str(tmp_path / "file" / "x")]) == 2
        assert "file/x: the folder cannot be made (Not a directory)" in capsys.readouterr().err
        assert cli.main([*words, "--out", str(tmp_path / "file")]) == 2
        assert "file: that is a file; give a folder" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_named(tmp_path, capsys):
    short = [
        "train",
        "digits",
        "--epochs",
        "1",
        "--hidden",
        "8",
        "--progress",
        "none",
        "--out",
        str(tmp_path / "x"),
    ]
    assert cli.main(short) == 0
    (tmp_path / "x/checkpoint").write_bytes(b"junk")
    assert cli.main(["train", "digits", "--resume", "--out", str(tmp_path / "x")]) == 1
    assert "checkpoint: truncated" in capsys.readouterr().err


def test_overwrite_starts_anew(tmp_path):
    without_pictures(tmp_path)
    short = ("train", "digits", "--hidden", 8, "--progress", "none", "--out", "x")
    run(tmp_path, *short, "--epochs", 1)
    state = nnrt.load(tmp_path / "x/checkpoint")
    state["epoch"] = 1
    nnrt.save(state, tmp_path / "x/checkpoint")
    run(tmp_path, *short, status=2)
    run(tmp_path, *short, "--epochs", 2, "--overwrite")
    assert len(numbers(tmp_path / "x")) == 2


# ---- help and information ----


def test_help_shows_the_options(tmp_path):
    out, _ = run(tmp_path, "train", "--help")
    for option in ("--model", "--epochs", "--batch-size", "--lr", "--seed", "--out", "--resume", "digits"):
        assert option in out
    assert "nnrt" in run(tmp_path, "--version")[0]
    assert "predict" in run(tmp_path, "--help")[0]


def test_info(tmp_path):
    out, _ = run(tmp_path, "info")
    for word in (
        nnrt.__version__,
        np.__version__,
        "threads",
        "back-ends",
        "NNRT_NUM_THREADS",
        "NNRT_CACHE_LIMIT",
    ):
        assert word in out
    assert "no setting of that name" not in out
    assert "CPU  " in out and "GEMM tiles" in out
    assert ("ISA" in out and "L2" in out) or "extension    not built" in out


def test_a_missing_numba_is_named_with_its_extra(monkeypatch):
    def without_numba(name):
        raise ModuleNotFoundError("No module named 'numba'", name="numba")

    monkeypatch.setattr(registry.importlib, "import_module", without_numba)
    with registry.using("numba"), pytest.raises(LookupError, match=r"No module named 'numba' \(pip install 'nnrt\[numba\]'\)"):
        registry.resolve("unary", "exp")


def test_info_without_the_extension(monkeypatch):
    monkeypatch.setitem(sys.modules, "nnrt._ext.runtime", None)
    with registry.using("ref"):
        lines = info.report().splitlines()
    assert any(line.startswith("extension    not built") for line in lines) and "GEMM tiles   numpy's" in lines
    assert next(line for line in lines if line.startswith("CPU  ")).split()[1:]
    with nnrt.config.use(backend="cython,ref", strict=True):
        monkeypatch.setitem(sys.modules, "nnrt._ext.linear", None)
        assert "NNRT_STRICT forbids falling back" in info.report()


def test_a_reader_that_leaves_is_no_error(tmp_path):
    process = start(tmp_path, "info")
    process.stdout.close()
    err = process.stderr.read()
    process.wait()
    assert "Traceback" not in err and "Exception" not in err


@pytest.mark.parametrize("task", ["digits", "chars"])
def test_a_bar_without_tqdm_is_an_error_of_one_line(task, monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(SystemExit):
        cli.main(["train", task, "--progress", "bar", "--out", str(tmp_path / "run")])
    assert "argument --progress: progress='bar' needs tqdm: pip install 'nnrt[ui]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
