"""One library in a process of its own: reads commands as JSON lines, answers on standard output.

Commands: {"do": "run", "row": name, "out": file}   one run, or two steps of a training; results go to an .npz file
          {"do": "time", "seconds": s} -> {"times": [seconds per run, ...]} of the row that ran last
          {"do": "peak", "of": "fma" or "copy"} -> {"peak": the machine's measured limit at this moment} (nnrt only)
"""

import functools
import json
import os
import sys
import time

import numpy as np

from .workloads import NEEDS, all_workloads


def library(peer, threads):
    """The module that runs this peer's workloads, set to a number of threads; None for plain arrays."""
    if peer in ("nnrt", "numba"):
        import nnrt

        nnrt.set_num_threads(threads)
        return nnrt
    if NEEDS[peer] == "torch":
        import torch

        torch.set_num_threads(threads)
        return torch
    if peer == "jax":
        import jax  # noqa: F401  its threads follow the affinity that the parent sets
    return None


def prepared(peer, t, row):
    arrays = row.arrays(np.random.default_rng(0))
    return row.peers[peer](arrays) if peer in row.peers else row.setup(t, arrays)


def results(value):
    """Results as a flat list of arrays."""
    if isinstance(value, (tuple, list)):
        return [a for v in value for a in results(v)]
    if hasattr(value, "detach"):
        value = value.detach().numpy()
    return [np.asarray(value)]


def timed(run, seconds):
    """Seconds per run, as a list of samples; short runs are timed in bunches of about a millisecond. The first run finds caches
    that others filled, and counts only where it takes half a second."""
    start = time.perf_counter()
    run()
    once = time.perf_counter() - start
    bunch = max(1, int(1e-3 / max(once, 1e-7)))
    if once > 0.5:
        return [once]
    samples = []
    stop = start + seconds
    while not samples or time.perf_counter() < stop:
        start = time.perf_counter()
        for _ in range(bunch):
            run()
        samples.append((time.perf_counter() - start) / bunch)
    return samples


@functools.cache
def _copied():
    """Two arrays beyond any cache."""
    x = np.ones(25_000_000, np.float32)
    return np.zeros_like(x), x


def peak(of, threads):
    """A limit, measured now: FLOP/s of fused multiply-adds in registers ("fma") or bytes/s of a copy ("copy")."""
    from nnrt._ext import peak as kernels

    if of == "fma":
        return max(kernels.fma_rate("float32", threads) for _ in range(3))
    return max(kernels.copy_rate(*_copied()) for _ in range(3))


def main():
    peer, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not reach the answers
    t = library(peer, threads)
    rows = {row.name: row for row in all_workloads()}
    current = None
    print(json.dumps({"ready": True}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            if command["do"] == "peak":
                answer = {"peak": peak(command["of"], threads)}
            elif command["do"] == "run":
                row, current = rows[command["row"]], None
                current = prepared(peer, t, row)
                found = results(current())
                if found[0].ndim == 0:  # of a training step the loss before an update and behind it
                    found += results(current())
                np.savez(command["out"], *found)
                answer = {}
            else:
                answer = {"times": [once / row.repeats for once in timed(current, command["seconds"])]}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
