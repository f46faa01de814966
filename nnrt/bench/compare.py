"""Runs the comparison: peers in processes of their own, taking turns, checked before they are timed."""

import importlib.util
import json
import operator
import os
import platform
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..config import environment
from .workloads import NEEDS, all_workloads

# Many short turns: what the machine does for a second or two then meets every peer alike.
ROUNDS = 15
SECONDS = 0.05
# A peer that needs longer than this for a row, compilation included, is left out of it.
PATIENCE = 180.0
# Who has been timed for this long, in seconds of a row, sits out its other rounds.
ENOUGH = 6.0


class Worker:
    """A peer's process. It is stopped while others run: idle pools spin and would steal a core."""

    def __init__(self, peer, threads):
        self.peer, self.threads = peer, threads
        self.start()

    def start(self):
        pools = ("OMP", "OPENBLAS", "MKL", "NUMBA", "NNRT")
        cpus = sorted(os.sched_getaffinity(0))[-self.threads :]

        def apart():
            os.setpgid(0, 0)
            os.sched_setaffinity(0, cpus)

        self.process = subprocess.Popen(
            [sys.executable, "-m", "nnrt.bench.worker", self.peer, str(self.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment(**{f"{pool}_NUM_THREADS": str(self.threads) for pool in pools}),
            preexec_fn=apart,
        )  # fmt: skip
        if not self.process.stdout.readline():
            raise RuntimeError(f"{self.peer}: the process ended")
        self.process.send_signal(signal.SIGSTOP)

    def ask(self, patience=PATIENCE, **command):
        """The worker's answer. One that gives none is started anew, and the answer is an error."""
        self.process.send_signal(signal.SIGCONT)
        with suppress(BrokenPipeError):
            print(json.dumps(command), file=self.process.stdin, flush=True)
        in_time = select.select([self.process.stdout], [], [], patience)[0]
        line = self.process.stdout.readline() if in_time else ""
        if not line:
            self.close()
            self.start()
            return {"error": "the process ended" if in_time else f"no answer within {patience:g} s"}
        self.process.send_signal(signal.SIGSTOP)
        return json.loads(line)

    def close(self):
        """Ends the process and what it started, a compiler for instance."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate()


def peers_of(row):
    """Who runs a row beside nnrt."""
    return ["torch", *row.peers] if row.torch else list(row.peers)


def verified(row, workers, folder):
    """The peers whose result agrees with nnrt's, and what is wrong with the others."""
    good, wrong = [], {}
    want = None
    for peer in ["nnrt", *peers_of(row)]:
        if peer not in workers:
            continue
        file = str(folder / f"{peer}.npz")
        answer = workers[peer].ask(do="run", row=row.name, out=file)
        if "error" in answer:
            wrong[peer] = answer["error"]
            continue
        with np.load(file) as data:
            found = [data[k] for k in data.files]
        if want is None:
            want = found
            good.append(peer)
            continue
        scale = max((float(np.abs(a).max()) for a in want if a.size), default=1.0) or 1.0
        distance = max(
            (float(np.abs(a - b).max()) if a.shape == b.shape else np.inf for a, b in zip(want, found) if a.size), default=0.0
        )
        if len(want) == len(found) and distance <= row.tol * scale:
            good.append(peer)
        else:
            wrong[peer] = f"result differs from nnrt's by {distance:.2g} (largest entry {scale:.2g})"
    return good, wrong


def limits_of(row):
    """What may limit a row: arithmetic ("fma"), and memory ("copy") unless each byte is used many times."""
    return [of for of, counts in (("fma", row.flops), ("copy", row.bytes and row.flops <= 8 * row.bytes)) if counts]


def compared(row, workers, folder, rounds, seconds):
    """One row over rounds in which the peers take turns: what each round measured of a peer (median seconds) and of the row's
    limits, as lists, and what went wrong."""
    good, wrong = verified(row, workers, folder)
    times = {peer: [] for peer in good}
    spent = dict.fromkeys(good, 0.0)
    limits = {of: [] for of in limits_of(row)}
    for _ in range(rounds):
        turn = [p for p in good if p not in wrong and spent[p] < ENOUGH]
        for peer in turn:
            start = time.perf_counter()
            answer = workers[peer].ask(do="time", seconds=seconds)
            spent[peer] += time.perf_counter() - start
            if "error" in answer:
                wrong[peer] = answer["error"]
            else:
                times[peer].append(statistics.median(answer["times"]))
        for of, rates in limits.items() if turn else ():
            answer = workers["nnrt"].ask(do="peak", of=of)
            rates += [answer["peak"]] if "peak" in answer else []
    return times, wrong, limits


def medians(lists):
    return {key: statistics.median(values) for key, values in lists.items() if values}


def median_of(compare, *lists):
    """The median of what compare makes of each round. A machine changes its speed within seconds: values of one round share it,
    the medians of two lists may not."""
    return statistics.median(map(compare, *lists))


def chosen(select):
    """The rows whose name or group contains one of the comma-separated words; ValueError for a word in none."""
    words = [w for w in select.split(",") if w]
    rows = [(r, f"{r.group} {r.name}") for r in all_workloads()]
    strange = [w for w in words if not any(w in name for _, name in rows)]
    if strange:
        raise ValueError(f"no row's name contains {' or '.join(map(repr, strange))} (--list shows them)")
    return [r for r, name in rows if not words or any(w in name for w in words)]


def run(select="", threads=(1, 2), rounds=ROUNDS, seconds=SECONDS, peers=None, passes=1, show=print):
    """Compares; returns the report as a dict. select: only the rows that chosen() gives for it.
    passes: how often all rows are gone through, with that many rounds each; what takes the machine for a minute spoils one."""
    rows = chosen(select)
    used = [p for p in peers or NEEDS if any(p in peers_of(r) for r in rows)]
    missing = [p for p in used if not importlib.util.find_spec(NEEDS[p])]
    report = {"machine": machine(), "missing": missing, "rows": []}
    for module in dict.fromkeys(NEEDS[p] for p in missing):
        left_out = ", ".join(p for p in missing if NEEDS[p] == module)
        show(f"{module} is not installed (pip install 'nnrt[bench]'); left out: {left_out}")
    for count in threads if rows else ():
        workers = {peer: Worker(peer, count) for peer in ["nnrt", *used] if peer not in missing}
        try:
            entries = [[] for _ in rows]
            with tempfile.TemporaryDirectory() as folder:
                for i in range(passes):
                    show(f"\n{count} thread(s)" + (f", pass {i + 1} of {passes}" if passes > 1 else ""))
                    for row, made in zip(rows, entries):
                        made.append(entry(row, count, *compared(row, workers, Path(folder), rounds, seconds)))
                        show(line(made[-1]))
            done = list(map(merged, entries))
            if passes > 1:
                show(f"\n{count} thread(s), medians of {passes} passes")
                for made in done:
                    show(line(made))
            report["rows"] += done
        finally:
            for worker in workers.values():
                worker.close()
    return report


def entry(row, threads, times, wrong, limits):
    """One row of the report as plain data, from what `compared` returns."""
    times, limits = ({key: values for key, values in lists.items() if values} for lists in (times, limits))
    made = {"name": row.name, "group": row.group, "threads": threads, "wrong": wrong}
    made |= {"seconds": medians(times), "limits": medians(limits)}
    ours = times.get("numba" if row.group == "numba" else "nnrt")
    others = {p: t for p, t in times.items() if p not in ("nnrt", "numba")}
    if ours:
        if others:
            made["ratio"] = {p: median_of(operator.truediv, t, ours) for p, t in others.items()}
            made["best"] = min(made["ratio"], key=made["ratio"].get)
        for of, work in (("fma", row.flops), ("copy", row.bytes)):
            if of in limits:
                made[f"of_{of}"] = median_of(lambda t, rate, work=work: work / t / rate, ours, limits[of])
    return made


def merged(entries):
    """One row of the report from its entries, one of each pass: the medians of what they hold."""
    made = {"wrong": {}}
    for e in entries:
        made |= e | {"wrong": made["wrong"] | e["wrong"]}
    for key in {"seconds", "limits", "ratio"} & set(made):
        held = [e[key] for e in entries if key in e]
        made[key] = {name: statistics.median(h[name] for h in held if name in h) for h in held for name in h}
    for key in {"of_fma", "of_copy"} & set(made):
        made[key] = statistics.median(e[key] for e in entries if key in e)
    if "ratio" in made:
        made["best"] = min(made["ratio"], key=made["ratio"].get)
    return made


def line(e):
    """One row for the terminal."""
    ours = e["seconds"].get("numba" if e["group"] == "numba" else "nnrt")
    cells = [f"{e['name']:<38}", f"{e['threads']}t", seconds_text(ours)]
    for peer, ratio in e.get("ratio", {}).items():
        cells.append(f"{ratio:6.2f}x {peer}")
    for key, label in (("of_fma", "of FMA peak"), ("of_copy", "of copy")):
        if key in e:
            cells.append(f"{100 * e[key]:4.0f}% {label}")
    for peer, why in e["wrong"].items():
        cells.append(f"[{peer}: {why}]")
    return "  ".join(cells)


def seconds_text(s):
    if s is None:
        return "     --   "
    for unit, scale in (("s ", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9)):
        if s >= scale or unit == "ns":
            return f"{s / scale:7.2f} {unit}"


def machine():
    """What the figures were measured on, with versions."""
    import nnrt

    try:
        from nnrt._ext.runtime import cpu_info
    except ImportError:
        cpu = {"brand": platform.machine(), "isa": "no compiled kernels"}
    else:
        cpu = cpu_info()
    versions = {"nnrt": nnrt.__version__, "numpy": np.__version__, "python": sys.version.split()[0]}
    for peer in ("torch", "jax", "onnxruntime", "numba"):
        try:
            from importlib.metadata import version

            versions[peer] = version(peer)
        except ImportError:
            pass
    return {"cpu": cpu["brand"], "isa": cpu["isa"], "cores": os.cpu_count(), "versions": versions}
