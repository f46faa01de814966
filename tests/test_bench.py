"""The comparison's own machinery: it finds wrong results, names what is missing, and reports losses."""

import importlib.util
import json
import os
import signal

import numpy as np
import pytest

from nnrt.bench import compare, report
from nnrt.bench.workloads import Workload, all_workloads


def test_rows_have_distinct_names_and_a_measure():
    rows = all_workloads()
    assert len({r.name for r in rows}) == len(rows)
    assert all(r.flops or r.bytes or r.group == "small" for r in rows)


class Fixed:
    """A worker that answers from memory."""

    def __init__(self, result, seconds):
        self.result, self.seconds, self.asked = result, seconds, []

    def ask(self, do, row=None, out=None, seconds=None, of=None):
        self.asked.append(do)
        if do == "peak":
            return {"peak": {"fma": 1e11, "copy": 3e10}[of]}
        if do == "run":
            if isinstance(self.result, str):
                return {"error": self.result}
            np.savez(out, *self.result)
            return {}
        return {"times": [self.seconds] * 3}


ROW = Workload("row", "gemm", None, None, flops=1e9, bytes=1e6, peers={"numpy": None})


def test_a_wrong_result_is_not_timed(tmp_path):
    one = np.ones((2, 2), np.float32)
    workers = {"nnrt": Fixed([one], 1.0), "torch": Fixed([one * 2], 0.1), "numpy": Fixed([one], 2.0)}
    times, wrong, limits = compare.compared(ROW, workers, tmp_path, 2, 0.0)
    assert times == {"nnrt": [1.0, 1.0], "numpy": [2.0, 2.0]} and limits == {"fma": [1e11, 1e11]}
    assert "differs from nnrt's by 1" in wrong["torch"]


def test_a_failing_peer_is_named(tmp_path):
    workers = {"nnrt": Fixed([np.ones(1)], 1.0), "torch": Fixed("ValueError: no", 1.0)}
    times, wrong, _ = compare.compared(ROW, workers, tmp_path, 1, 0.0)
    assert list(times) == ["nnrt"] and wrong == {"torch": "ValueError: no"}


def test_a_result_of_another_shape_is_wrong(tmp_path):
    workers = {"nnrt": Fixed([np.ones((2, 3))], 1.0), "torch": Fixed([np.ones((3, 2))], 1.0)}
    assert "torch" in compare.compared(ROW, workers, tmp_path, 1, 0.0)[1]


def test_a_peer_that_takes_too_long_or_dies_is_named_and_runs_on(tmp_path):
    worker, file = compare.Worker("numpy", 1), str(tmp_path / "numpy.npz")
    try:
        answer = worker.ask(do="run", row="gemm 1024x1024x1024", out=file, patience=1e-4)
        assert answer == {"error": "no answer within 0.0001 s"}
        assert worker.ask(do="run", row="gemm 32x32x32", out=file) == {}
        os.kill(worker.process.pid, signal.SIGKILL)
        assert worker.ask(do="time", seconds=0.01) == {"error": "the process ended"}
        assert worker.ask(do="run", row="gemm 32x32x32", out=file) == {}
        assert worker.ask(do="time", seconds=0.01)["times"]
    finally:
        worker.close()
    assert worker.process.returncode == -signal.SIGKILL


def test_slow_peers_take_part_in_fewer_rounds(tmp_path, monkeypatch):
    worker = Fixed([np.ones(1)], 1.0)
    for enough, rounds in ((1e-9, 1), (60.0, 4)):
        worker.asked = []
        monkeypatch.setattr(compare, "ENOUGH", enough)
        found = compare.compared(ROW, {"nnrt": worker}, tmp_path, 4, 0.0)
        assert found == ({"nnrt": [1.0] * rounds}, {}, {"fma": [1e11] * rounds})
        assert worker.asked == ["run"] + ["time", "peak"] * rounds


def test_ratios_and_fractions_are_those_of_a_round():
    slowing = [0.01, 0.01, 0.02, 0.02]  # the machine halves its speed; the peer sits out the last round
    made = compare.entry(ROW, 1, {"nnrt": slowing, "torch": [0.03, 0.03, 0.06]}, {}, {"fma": [2e11, 2e11, 1e11, 1e11]})
    assert made["ratio"] == {"torch": pytest.approx(3.0)} and made["of_fma"] == pytest.approx(0.5)
    assert made["seconds"] == {"nnrt": 0.015, "torch": 0.03} and made["limits"] == {"fma": 1.5e11}


def test_a_spoilt_pass_does_not_count():
    usual, slow = {"nnrt": [0.01], "torch": [0.03]}, {"nnrt": [0.03], "torch": [0.03]}
    passes = usual, slow, {"nnrt": [0.01], "torch": [0.04], "jax": [0.02]}
    errors = ({}, {"jax": "no answer"}, {})
    made = compare.merged([compare.entry(ROW, 2, times, wrong, {"fma": [1e11]}) for times, wrong in zip(passes, errors)])
    assert made["ratio"] == {"torch": pytest.approx(3.0), "jax": pytest.approx(2.0)} and made["best"] == "jax"
    assert made["seconds"] == {"nnrt": 0.01, "torch": 0.03, "jax": 0.02} and made["wrong"] == {"jax": "no answer"}
    assert made["of_fma"] == pytest.approx(1.0) and made["limits"] == {"fma": 1e11} and made["threads"] == 2
    one = compare.entry(ROW, 1, {"nnrt": [0.02]}, {}, {"fma": []})
    assert compare.merged([one]) == one


def test_report_leads_with_losses(tmp_path):
    rows = [
        compare.entry(ROW, 1, {"nnrt": [0.02], "torch": [0.04], "numpy": [0.01], "jax": []}, {"jax": "no"}, {"fma": [1e11]}),
        compare.entry(
            Workload("fine", "step", None, None, bytes=3e8), 2, {"nnrt": [0.01], "torch": [0.03]}, {}, {"copy": [3e10]}
        ),
    ]
    made = {
        "machine": {"cpu": "c", "cores": 2, "isa": "avx2", "versions": {"nnrt": "0"}}, "missing": ["jax"],
        "rows": rows,
    }
    assert rows[0]["ratio"] == {"torch": 2.0, "numpy": 0.5} and rows[0]["best"] == "numpy"
    assert rows[0]["of_fma"] == pytest.approx(0.5) and rows[1]["of_copy"] == pytest.approx(1.0)
    paths = report.write(made, tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "row, 1 thread(s): 0.50 of numpy's speed" in text and "left out: jax" in text
    assert "in that round: 1 thread(s): 100 to 100 GFLOP/s FMA; 2 thread(s): 30 to 30 GB/s copy." in text
    assert json.loads((tmp_path / "report.json").read_text())["rows"][0]["name"] == "row"
    assert (len(paths) == 3) == bool(importlib.util.find_spec("matplotlib"))


@pytest.mark.parametrize(("row", "peer"), [("gemm 32x32x32", "numpy"), ("mlp 32-64-10", "jax")])
def test_a_real_row(row, peer):
    pytest.importorskip("nnrt._ext.peak")
    if not importlib.util.find_spec(peer):
        pytest.skip(f"{peer} is not installed")
    made = compare.run(row, threads=(1,), rounds=1, seconds=0.01, peers=[peer], show=lambda line: None)
    (row,) = made["rows"]
    assert row["wrong"] == {} and row["seconds"]["nnrt"] > 0 and row["ratio"][peer] > 0
