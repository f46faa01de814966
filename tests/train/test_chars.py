"""`nnrt train chars` and `nnrt generate`: what they write, exact resume, Ctrl-C, texts and prompts that do not fit."""

import json
import math
import signal

import numpy as np
import pytest

from nnrt import cli
from nnrt.train import chars
from nnrt.train.task import RunError
from tests.test_cli import numbers, run, start, weights

TEXT = "the quick brown fox jumps over the lazy dog.\n" * 60
SMALL = ("--hidden", 32, "--length", 16, "--batch-size", 4, "--layers", 1, "--progress", "epoch")
MODELS = ("lstm", "gru", "rnn", "qrnn", "gpt")


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "fox.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


def call(*words):
    return cli.main([str(w) for w in words])


@pytest.fixture(scope="module")
def whole(text, tmp_path_factory):
    """A run in a process of its own: (working directory, stdout, stderr)."""
    folder = tmp_path_factory.mktemp("chars")
    return folder, *run(folder, "train", "chars", "--text", text, *SMALL, "--epochs", 6, "--lr", 0.02, "--sample-every", 100)


def test_train_learns_the_text_and_writes_its_folder(whole):
    folder, out, err = whole
    rows = numbers(folder / "runs/chars")
    assert len(rows) == 6 and err.count("val_bits") == 6
    bits = float(out.split("validation: ")[1].split()[0])
    assert bits < 0.5 and math.isclose(bits, float(rows[-1]["val_loss"]) / math.log(2), abs_tol=1e-3)
    assert "perplexity" in out.split("---- step 100, ")[1].splitlines()[0]
    assert "quick brown" in out.split("---- at the end ----")[1]
    written = {p.name for p in (folder / "runs/chars").iterdir()}
    assert written - {"curve.png"} == {"config.json", "history.csv", "model.safetensors", "checkpoint"}
    described = json.loads((folder / "runs/chars/config.json").read_text(encoding="utf-8"))
    assert described["task"] == "chars" and described["classes"] == sorted(set(TEXT))


def test_generate(whole):
    folder = whole[0]
    out, _ = run(folder, "generate", "runs/chars", "--prompt", "the quick ", "--length", 34, "--temperature", 0)
    assert out == "the quick brown fox jumps over the lazy dog.\n"
    words = ("generate", "runs/chars", "--length", 80, "--temperature", 2, "--top-k", 20, "--top-p", 0.95, "--seed")
    a, b, c = (run(folder, *words, seed)[0] for seed in (1, 1, 2))
    assert a == b and a != c and len(a) == 81


def test_generate_says_what_is_wrong(whole, tmp_path, capsys):
    folder = str(whole[0] / "runs/chars")
    for words, message in (
        ([folder, "--prompt", "Fuß"], "has no 'F', 'ß'"),
        ([str(tmp_path)], "python -m nnrt train chars --out"),
        ([folder + "/config.json"], "is not the folder of a run"),
    ):
        assert call("generate", *words) == 2
        assert message in capsys.readouterr().err
    assert call("predict", folder, "x.png") == 2
    assert "python -m nnrt generate" in capsys.readouterr().err
    for words in (["--temperature", "-1"], ["--top-k", "0"], ["--top-p", "0"], ["--length", "x"]):
        with pytest.raises(SystemExit):
            call("generate", folder, *words)
    capsys.readouterr()
    (tmp_path / "config.json").write_text(json.dumps({"task": "digits", "options": {}}))
    assert call("generate", tmp_path) == 2
    assert "run of 'digits', which writes no text" in capsys.readouterr().err


def test_a_damaged_run_says_so(whole, tmp_path, capsys):
    described = json.loads((whole[0] / "runs/chars/config.json").read_text(encoding="utf-8"))
    described["classes"] = ["ab"]
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert call("generate", tmp_path) == 2 and "has no vocabulary" in capsys.readouterr().err
    described["classes"] = ["a", "b"]
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert call("generate", tmp_path) == 2 and "training has not ended" in capsys.readouterr().err
    (tmp_path / "model.safetensors").write_bytes((whole[0] / "runs/chars/model.safetensors").read_bytes())
    assert call("generate", tmp_path) == 2 and "does not fit config.json" in capsys.readouterr().err


@pytest.mark.parametrize("model", MODELS)
def test_stopped_and_resumed_runs_end_with_the_same_bits(model, tmp_path, monkeypatch, capsys):
    """Ctrl-C in the middle of the second epoch, noticed between two steps; with dropout, and for gpt a random order."""
    words = ["train", "chars", "--text", tmp_path / "text", *SMALL, "--epochs", 2, "--model", model, "--dropout", 0.1]
    (tmp_path / "text").write_text(TEXT[:1300])
    assert call(*words, "--out", tmp_path / "a") == 0
    seen = chars._Report.on_step_end

    def interrupting(self, trainer, step, loss):
        seen(self, trainer, step, loss)
        if step == 25:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(chars._Report, "on_step_end", interrupting)
    assert call(*words, "--out", tmp_path / "b") == 130
    assert "train chars --resume --out" in capsys.readouterr().out
    monkeypatch.undo()
    assert call(*words, "--out", tmp_path / "b") == 2
    assert "unfinished run" in capsys.readouterr().err
    assert call("train", "chars", "--resume", "--out", tmp_path / "b") == 0
    assert weights(tmp_path / "a") == weights(tmp_path / "b") and numbers(tmp_path / "a") == numbers(tmp_path / "b")
    capsys.readouterr()
    assert call("generate", tmp_path / "b", "--length", 30, "--prompt", "the ") == 0
    out = capsys.readouterr().out
    assert out.startswith("the ") and len(out) == 35


def test_a_run_of_another_task_is_not_replaced_unasked(tmp_path, capsys):
    digits = ("train", "digits", "--epochs", 1, "--hidden", 8, "--progress", "none")
    words = ["train", "chars", "--text", tmp_path / "text", *SMALL, "--epochs", 1]
    (tmp_path / "text").write_text(TEXT[:1300])
    assert call(*digits, "--out", tmp_path / "a") == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    capsys.readouterr()
    assert call(*words, "--out", tmp_path / "a") == 2
    err = capsys.readouterr().err
    assert "holds a run of digits, not of chars" in err and "--out DIR" in err and "--overwrite" in err
    assert before == {p.name: p.read_bytes() for p in (tmp_path / "a").iterdir()}
    assert call(*words, "--out", tmp_path / "a", "--overwrite") == 0
    assert "replaces" not in capsys.readouterr().out
    assert call(*words, "--out", tmp_path / "a") == 0
    assert "this replaces the finished run in " in capsys.readouterr().out
    assert call(*digits, "--out", tmp_path / "a") == 2
    assert "holds a run of chars, not of digits" in capsys.readouterr().err
    for text in ('{"hidden_size": 8}', "{"):
        (tmp_path / "a/config.json").write_text(text)
        assert call(*words, "--out", tmp_path / "a") == 2
        err = capsys.readouterr().err
        assert "config.json, " in err and "of something else" in err
    (tmp_path / "b").mkdir()
    (tmp_path / "b/notes.txt").write_text("mine")
    assert call(*words, "--out", tmp_path / "b") == 0


def test_a_killed_run_resumes_from_its_last_checkpoint(whole, text, tmp_path):
    words = ("--text", text, *SMALL, "--epochs", 6, "--lr", 0.02, "--sample-every", 100)
    process = start(tmp_path, "train", "chars", *words)
    for line in process.stdout:
        if "step 200" in line:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=100)
    run(tmp_path, "train", "chars", "--resume")
    assert weights(tmp_path / "runs/chars") == weights(whole[0] / "runs/chars")


def test_resume_wants_the_same_text(text, tmp_path, capsys):
    own = tmp_path / "own.txt"
    own.write_text(TEXT)
    words = ["train", "chars", *SMALL, "--epochs", 1, "--text", own, "--out", tmp_path / "run"]
    assert call(*words) == 0
    own.write_text(TEXT + "more")
    assert call("train", "chars", "--resume", "--out", tmp_path / "run") == 2
    assert "is not the text that the run" in capsys.readouterr().err
    assert call("train", "chars", "--resume", "--out", tmp_path / "run", "--text", text) == 2
    assert "--text was" in capsys.readouterr().err


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"abc\xff", "is not UTF-8 text: byte 0xff at 3"),
        (b"a short text", "the text has 12 characters; --batch-size 4 and --length 16 want at least 82"),
    ],
)
def test_texts_that_do_not_fit(data, message, tmp_path, capsys):
    (tmp_path / "t").write_bytes(data)
    assert call("train", "chars", *SMALL, "--text", tmp_path / "t", "--out", tmp_path / "run") == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_other_bad_calls(text, tmp_path, capsys):
    for words, message in (
        (["--text", tmp_path / "none"], "No such file"),
        (["--text", text, "--model", "gpt", "--hidden", 33], "multiple of 32"),
        (["--text", text, "--model", "gpt", "--length", 1], "at least 2"),
        (["--resume"], "nothing to resume"),
    ):
        assert call("train", "chars", *SMALL, "--out", tmp_path / "run", *words) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize("model", ["lstm", "gpt"])
def test_the_least_text_is_enough(model, tmp_path, capsys):
    words = [*SMALL, "--model", model, "--epochs", 1, "--text", tmp_path / "t"]
    (tmp_path / "t").write_text("a")
    assert call("train", "chars", *words, "--out", tmp_path / "run") == 2
    least = int(capsys.readouterr().err.split("at least ")[1].split(":")[0])
    (tmp_path / "t").write_text(("abc" * least)[: least - 1])
    assert call("train", "chars", *words, "--out", tmp_path / "run") == 2
    (tmp_path / "t").write_text(("abc" * least)[:least])
    assert call("train", "chars", *words, "--out", tmp_path / "run") == 0


def test_streams_hand_out_every_character_in_its_place():
    ids = np.arange(103)
    batches = list(chars.Streams(ids, 2, 5))
    assert len(batches) == len(chars.Streams(ids, 2, 5)) == 10
    x, y = (np.concatenate([b[i].numpy() for b in batches], 1) for i in range(2))
    np.testing.assert_array_equal(x, [np.arange(50), np.arange(50, 100)])
    np.testing.assert_array_equal(y, x + 1)
    shuffled = np.concatenate([b[0].numpy().ravel() for b in chars.Streams(ids, 2, 5, shuffle=True)])
    assert len(set(shuffled.tolist())) == len(shuffled) == 90


def test_default_text_and_encoding():
    text = chars.read_text("")
    assert len(text) == chars.STDLIB and "def " in text and text == chars.read_text("")
    characters = sorted(set("aé€😀\n"))
    ids = chars.encoded("😀aé\nx€", characters)
    assert [None if i < 0 else characters[i] for i in ids] == ["😀", "a", "é", "\n", None, "€"]


def test_windows_newlines_and_byte_order_mark(tmp_path):
    (tmp_path / "t").write_bytes("\ufeffa\r\nb".encode())
    assert chars.read_text(tmp_path / "t") == "a\nb"
    with pytest.raises(RunError, match="directory"):
        chars.read_text(tmp_path)
