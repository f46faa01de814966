"""Fails when the installed package is too large, or `import nnrt` loads an optional library or takes too long."""

import io
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import nnrt

INSTALLED_MB, WHEEL_MB = 10.0, 3.0

OPTIONAL = ["numba", "torch", "matplotlib", "tqdm", "sklearn", "jax", "onnxruntime", "safetensors", "scipy", "PIL"]
BUDGET_MS = 40.0
# The check is of our code, not of the machine's mood: a median, with room for a noisy neighbour.
ROUNDS, ROOM = 9, 2.0

package = Path(nnrt.__file__).parent
files = [p for p in package.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
installed = sum(p.stat().st_size for p in files) / 1e6
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
    for p in files:
        wheel.write(p, p.relative_to(package.parent))
wheel_mb = len(packed.getvalue()) / 1e6
print(f"{package}: {installed:.1f} MB installed, {wheel_mb:.2f} MB as a wheel")
assert installed < INSTALLED_MB and wheel_mb < WHEEL_MB, (installed, wheel_mb)

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
