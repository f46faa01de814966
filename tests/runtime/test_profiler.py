"""The profiler: what ran is what it lists, with any back-end and without the extension."""

import json
import os
import threading

import numpy as np
import pytest

import nnrt
from nnrt import registry
from nnrt.runtime import profiler
from nnrt.runtime.profiler import Event, profile


def run(times=3, size=1000):
    x = nnrt.from_numpy(np.linspace(-1, 1, size, dtype=np.float32))
    for _ in range(times):
        nnrt.relu(x)


def test_the_reference_back_end_is_timed_around_its_calls():
    with registry.using("ref"), profile() as p:
        run()
    (row,) = [row for row in p.rows() if row.name.startswith("activation.relu")]
    assert row.name == "activation.relu [ref]" and row.calls == 3 and row.seconds > 0
    assert all(e.bytes == 2 * 4000 and e.stop_ns >= e.start_ns for e in p.events)
    assert "activation.relu [ref]" in p.table() and " - " in p.table()


@pytest.mark.skipif(profiler.profile_start is None, reason="needs the compiled extension")
def test_launches_are_recorded_with_operations_and_bytes():
    with registry.using("cython"), profile() as p:
        run(5, 100_000)
    rows = {row.name: row for row in p.rows()}
    (row,) = [row for name, row in rows.items() if "relu" in name]
    assert row.calls == 5 and row.gbytes > 0 and 0 < row.share <= 1
    assert p.seconds > 0 and not p.lost and not p.detail
    with profile() as empty:
        pass
    assert empty.events == [] and "0.000 ms in kernels" in empty.table()


def test_without_the_extension_it_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(profiler, "profile_start", None)
    with registry.using("ref"), profile() as p:
        run()
    assert len(p.events) == 3 and "operations are not known" in p.table()


def test_nothing_is_recorded_outside():
    with registry.using("ref"):
        with profile() as p:
            pass
        run()
        assert p.events == []
        with pytest.raises(ZeroDivisionError), profile() as p:
            run(1)
            raise ZeroDivisionError
        assert len(p.events) == 1
        run()
        assert len(p.events) == 1


def test_one_at_a_time():
    with profile():
        with pytest.raises(RuntimeError, match="another profile"):
            profile().__enter__()
    with profile():
        pass


def test_rows_are_sums():
    p = profile()
    p.seconds = 1e-3
    p.events = [
        Event("a.x", 0, 100_000, 1, 1e6, 2e6, 7),
        Event("a.x", 100_000, 300_000, 1, 2e6, 4e6, 7),
        Event("b.y", 400_000, 500_000, 2, 0.0, 1e6, 8),
    ]
    x, y = p.rows()
    assert x.name == "a.x" and x.calls == 2 and x.share == 0.75
    np.testing.assert_allclose([x.seconds, x.gflops, x.gbytes], [3e-4, 10, 20])
    assert y.gflops == 0 and y.gbytes == 10
    assert "0.400 ms in kernels, 40% of 1.000 ms" in p.table()
    assert "b.y" not in p.table(limit=1)
    p.lost = 3
    assert "3 launches were lost" in p.table()


def test_chrome_trace(tmp_path):
    with registry.using("ref"), profile() as p:
        threads = [threading.Thread(target=run) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    p.chrome_trace(tmp_path / "t.json")
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert len(events) == 9 and {e["name"] for e in events} == {"activation.relu [ref]"}
    assert min(e["ts"] for e in events) == 0 and all(
        e["dur"] >= 0 and e["pid"] == os.getpid() for e in events
    )
    assert all(e["ph"] == "X" and e["args"]["bytes"] == 8000 for e in events)


def test_reachable_as_nnrt_profiler():
    assert nnrt.profiler is profiler
