"""`nnrt bench` on the command line."""

import pytest

from nnrt.bench import compare
from nnrt.cli import main


def test_list_names_every_row(capsys):
    assert main(["bench", "--list"]) == 0
    out = capsys.readouterr().out
    assert "gemm 256x256x256" in out and "\nsequences         gpt" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "one"], "--threads: wants numbers"),
        (["--threads", "0"], "at least 1"),
        (["--peers", "theano"], "no peer theano; there are torch"),
        (["--select", "no such row", "--threads", "1"], "no row's name contains 'no such row'"),
        (["--select", "gemm 16x,relu 64 kB", "--threads", "1"], "--select: no row's name contains 'relu 64 kB'"),
    ],
)
def test_bad_options_say_what_is_wanted(words, message, capsys):
    assert main(["bench", *words]) == 2
    told = capsys.readouterr()
    assert message in told.err and told.out == ""


def test_missing_libraries_are_named_with_their_peers(monkeypatch):
    monkeypatch.setattr(compare.importlib.util, "find_spec", lambda name: None)
    lines = []
    made = compare.run("mnist cnn", threads=(), show=lines.append)
    assert made["missing"] == ["torch", "channels_last", "compile", "onnxruntime", "jax"]
    assert lines[0] == "torch is not installed (pip install 'nnrt[bench]'); left out: torch, channels_last, compile"
