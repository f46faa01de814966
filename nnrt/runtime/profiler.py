"""Profiler: which kernels ran, how often, for how long, and how close to the machine's limits.

    with nnrt.profiler.profile() as p:
        step()
    print(p.table())
    p.chrome_trace("trace.json")       # chrome://tracing, https://ui.perfetto.dev

Compiled kernels are recorded by the launch seam, with the floating-point operations and bytes that each
launch states. Kernels of the other back-ends are timed around their call: their bytes are those of
the arrays they were given, and their operations are not known.
"""

import json
import os
import threading
import time
from typing import NamedTuple

import numpy as np

from .. import registry
from ..io.atomic import write_text

try:
    from .._ext.runtime import profile_lost, profile_start, profile_stop, profile_take
except ImportError:
    profile_start = None


class Event(NamedTuple):
    """One run of a kernel. Times are nanoseconds of time.monotonic_ns(); flops is 0 where it is not known."""

    name: str
    start_ns: int
    stop_ns: int
    tasks: int
    flops: float
    bytes: float
    thread: int


class Row(NamedTuple):
    """A line of the table: one kernel. gflops and gbytes are per second; share is of the kernels' time."""

    name: str
    calls: int
    seconds: float
    share: float
    gflops: float
    gbytes: float


class profile:
    """Context manager that records every kernel run in its block, by all threads.

    Afterwards: `events` (list of Event, by start), `seconds` (of the block), `lost` (launches beyond
    the recorder's room, which are missing from events), `detail` (a sentence on what was not
    recorded, or ""). One at a time: entering a second raises RuntimeError.
    """

    _active = threading.Lock()

    def __init__(self):
        self.events = []
        self.seconds = 0.0
        self.lost = 0
        self.detail = ""

    def __enter__(self):
        if not profile._active.acquire(blocking=False):
            raise RuntimeError("profile: another profile() is active")
        self.events, self.lost = [], 0
        registry.observe(self._timed)
        if profile_start is not None:
            profile_take()  # forgets what an earlier recording left
            profile_start()
        self._begun = time.monotonic_ns()
        return self

    def __exit__(self, *exc):
        self.seconds = (time.monotonic_ns() - self._begun) / 1e9
        if profile_start is not None:
            profile_stop()
            self.events.extend(Event(*launch) for launch in profile_take())
            self.lost = profile_lost()
        registry.observe(None)
        self.events.sort(key=lambda event: event.start_ns)
        if profile_start is None:
            self.detail = "no compiled extension: times are those of whole calls, operations are not known"
        profile._active.release()

    def _timed(self, backend, name, kernel):
        """The observer of the registry: times a kernel whose launches the extension does not record."""
        if backend == "cython":
            return kernel
        events, label = self.events, f"{name} [{backend}]"

        def timed(*args, **kwargs):
            begun = time.monotonic_ns()
            result = kernel(*args, **kwargs)
            stopped = time.monotonic_ns()
            touched = sum(a.nbytes for a in args if isinstance(a, np.ndarray))
            events.append(Event(label, begun, stopped, 1, 0.0, float(touched), threading.get_ident()))
            return result

        return timed

    def rows(self):
        """One Row per kernel, the one with most time first."""
        sums = {}
        for e in self.events:
            s = sums.setdefault(e.name, [0, 0, 0.0, 0.0])
            s[0] += 1
            s[1] += e.stop_ns - e.start_ns
            s[2] += e.flops
            s[3] += e.bytes
        total = sum(s[1] for s in sums.values()) or 1
        # operations per nanosecond are 10^9 operations per second
        made = [
            Row(name, calls, ns / 1e9, ns / total, flops / max(ns, 1), size / max(ns, 1))
            for name, (calls, ns, flops, size) in sums.items()
        ]
        return sorted(made, key=lambda row: -row.seconds)

    def table(self, limit=None):
        """The rows as text; limit: at most so many."""
        rows = self.rows()
        width = max([len("kernel"), *(len(row.name) for row in rows)])
        head = f"{'calls':>8} {'ms':>10} {'share':>7} {'us/call':>9} {'GFLOP/s':>8} {'GB/s':>7}"
        lines = [f"{'kernel':<{width}} {head}"]
        for row in rows[:limit]:
            rate = f"{row.gflops:8.1f}" if row.gflops else f"{'-':>8}"
            lines.append(
                f"{row.name:<{width}} {row.calls:>8} {row.seconds * 1e3:>10.3f} {row.share:>6.1%} "
                f"{row.seconds / row.calls * 1e6:>9.2f} {rate} {row.gbytes:>7.1f}"
            )
        spent = sum(row.seconds for row in rows)
        share = spent / self.seconds if self.seconds else 0
        lines.append(f"{spent * 1e3:.3f} ms in kernels, {share:.0%} of {self.seconds * 1e3:.3f} ms")
        if self.lost:
            lines.append(f"{self.lost} launches were lost: profile a shorter piece")
        if self.detail:
            lines.append(self.detail)
        return "\n".join(lines)

    def chrome_trace(self, path):
        """Writes the events in Chrome's trace format (JSON), one row per thread."""
        threads = {t: i for i, t in enumerate(dict.fromkeys(e.thread for e in self.events))}
        origin = self.events[0].start_ns if self.events else 0
        events = [
            {
                "name": e.name,
                "cat": e.name.partition(".")[0],
                "ph": "X",
                "ts": (e.start_ns - origin) / 1e3,
                "dur": (e.stop_ns - e.start_ns) / 1e3,
                "pid": os.getpid(),
                "tid": threads[e.thread],
                "args": {"tasks": e.tasks, "flops": e.flops, "bytes": e.bytes},
            }
            for e in self.events
        ]
        write_text(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}))
