"""Micro-benchmarks of nnrt alone: pytest bench/test_micro.py (needs pytest-benchmark).

The rows are those of the comparison; `-k gemm` and the like choose some. To see what a change did:
--benchmark-save=before, then --benchmark-compare.
"""

import numpy as np
import pytest

import nnrt
from nnrt.bench.workloads import all_workloads

pytest.importorskip("pytest_benchmark")


@pytest.mark.parametrize("row", all_workloads(), ids=lambda row: row.name)
def test_row(row, benchmark):
    arrays = row.arrays(np.random.default_rng(0))
    run = row.peers["numba"](arrays) if row.group == "numba" else row.setup(nnrt, arrays)
    try:
        benchmark(run)
    finally:
        nnrt.registry.use()
    if row.repeats > 1:
        benchmark.extra_info["repeats in a run"] = row.repeats
    if row.flops:
        benchmark.extra_info["GFLOP/s"] = row.flops / benchmark.stats["median"] / 1e9
    if row.bytes:
        benchmark.extra_info["GB/s"] = row.bytes / benchmark.stats["median"] / 1e9
