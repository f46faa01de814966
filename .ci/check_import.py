"""Fails when `import nnrt` loads an optional library or costs more than its budget over numpy."""

import statistics
import subprocess
import sys

OPTIONAL = ["numba", "torch", "matplotlib", "tqdm", "sklearn", "jax", "onnxruntime", "safetensors", "scipy", "PIL"]
BUDGET_MS = 40.0
# The check is of our code, not of the machine's mood: a median, with room for a noisy neighbour.
ROUNDS, ROOM = 9, 2.0

loaded = subprocess.run(
    [sys.executable, "-c", f"import nnrt, sys; print([m for m in {OPTIONAL!r} if m in sys.modules])"],
    capture_output=True, text=True, check=True,
).stdout.strip()
assert loaded == "[]", f"import nnrt loaded {loaded}"

PROGRAM = "import time, numpy; t = time.perf_counter(); import nnrt; print(1e3 * (time.perf_counter() - t))"
times = [float(subprocess.check_output([sys.executable, "-c", PROGRAM])) for _ in range(ROUNDS)]
median = statistics.median(times)
print(f"import nnrt: {median:.1f} ms over numpy's own (median of {ROUNDS})")
assert median < BUDGET_MS * ROOM, f"import nnrt takes {median:.1f} ms, wanted {BUDGET_MS}"
