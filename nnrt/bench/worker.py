"""One library in a process of its own: reads commands as JSON lines, answers on standard output.

Commands: {"do": "run", "row": name, "out": file}   one run, or two steps of a training; results go to an .npz file
          {"do": "time", "seconds": s} -> {"times": [seconds per run, ...]} of the row that ran last
          {"do": "peak"}                            -> the machine's measured limits (nnrt only)
"""

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
    """Seconds per run, as a list of samples; short runs are timed in bunches of about a millisecond, those of a second once."""
    start = time.perf_counter()
    run()
    once = time.perf_counter() - start
    bunch = max(1, int(1e-3 / max(once, 1e-7)))
    if once > 1:
        return [once]
    samples = []
    stop = time.perf_counter() + seconds
    while len(samples) < 3 or time.perf_counter() < stop:
        start = time.perf_counter()
        for _ in range(bunch):
            run()
        samples.append((time.perf_counter() - start) / bunch)
    return samples


def peak(threads):
    """Measured limits: FMA FLOP/s and copy bytes/s."""
    from nnrt._ext import peak as kernels

    x = np.ones(25_000_000, np.float32)
    y = np.zeros_like(x)
    return {
        "fma": max(kernels.fma_rate("float32", threads) for _ in range(7)),
        "copy": max(kernels.copy_rate(y, x) for _ in range(9)),
    }


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
                answer = peak(threads)
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
