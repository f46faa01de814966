"""Fails when the installed package is too large, or `import nnrt` loads an optional library or takes too long."""

import io
import platform
import statistics
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import nnrt
from nnrt._ext import COMPILED

# A stop to growth: 6.2, 9.9 on disk (as `du -sb` counts: with bytecode and folders, under Python 3.11) and 2.57 where this
# was written. Relocations that old loaders want unpacked are 0.18.
PACKED = platform.libc_ver()[0] == "glibc" and tuple(map(int, platform.libc_ver()[1].split("."))) >= (2, 36)
INSTALLED_MB, ON_DISK_MB, WHEEL_MB = 6.6, 10.0 if PACKED else 10.2, 2.75

OPTIONAL = ["numba", "torch", "matplotlib", "tqdm", "sklearn", "jax", "onnxruntime", "safetensors", "scipy", "PIL"]
BUDGET_MS = 40.0
# The check is of our code, not of the machine's mood: a median, with room for a noisy neighbour.
ROUNDS, ROOM = 9, 2.0

package = Path(nnrt.__file__).parent
assert package.parts[-2] == "site-packages", f"wanted an installed nnrt, got {package}"
# What pip adds to the wheel's files: bytecode, and where they came from.
ADDED = ("INSTALLER", "REQUESTED", "direct_url.json")
files, disk = {}, {}
for file in metadata.files("nnrt"):
    content = file.locate().read_bytes()
    if ".." not in file.parts:  # the command lies elsewhere
        for path in (file, *file.parents[:-1]):
            disk[path] = Path(metadata.distribution("nnrt").locate_file(path)).stat().st_size
    if "__pycache__" in file.parts:
        continue
    if file.name == "RECORD":
        files[file] = b"".join(line for line in content.splitlines(True) if b"__pycache__" not in line)
    elif file.name not in ADDED:
        files[file] = content
installed = sum(map(len, files.values())) / 1e6
packed = io.BytesIO()
with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
    for name, content in files.items():
        wheel.writestr(str(name), content)
wheel_mb = len(packed.getvalue()) / 1e6
disk_mb = sum(disk.values()) / 1e6
print(f"{package}: {installed:.2f} MB installed, {disk_mb:.2f} MB on disk; {wheel_mb:.3f} MB as a wheel")
assert installed < INSTALLED_MB and wheel_mb < WHEEL_MB, (installed, wheel_mb)
assert disk_mb < ON_DISK_MB, disk_mb
sources = [name for name in COMPILED if (package.parent / (name.replace(".", "/") + ".py")).exists()]
assert not sources, f"never imported, but pip writes bytecode for {sources}"

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
