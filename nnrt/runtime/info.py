"""`nnrt info`: what nnrt runs on here, and why so."""

import importlib.metadata
import platform
import sys

import numpy as np

from .. import config, registry
from .._version import __version__

OPTIONAL = ("numba", "matplotlib", "tqdm", "safetensors", "torch")


def report():
    """Versions, CPU, instruction set, tiles, threads, caches, back-ends and settings as text."""
    lines = [
        f"nnrt {__version__}, Python {platform.python_version()}, numpy {np.__version__}",
        f"{platform.system()} {platform.machine()}, {_optional()}",
        "",
        *_machine(),
        f"threads      {config.why_num_threads()}",
        f"back-ends    {', '.join(registry.available())}; the order is {', '.join(registry.order())}",
        "",
        "settings (environment variable, value, meaning):",
    ]
    rows = [(row.variable, _text(row.value), row.meaning) for row in config.describe()]
    wide = [max(len(row[i]) for row in rows) for i in (0, 1)]
    lines += [f"  {name:<{wide[0]}}  {value:<{wide[1]}}  {meaning}" for name, value, meaning in rows]
    if unknown := config.unknown_variables():
        lines.append(f"set, but no setting of that name is known: {', '.join(unknown)}")
    return "\n".join(lines)


def _optional():
    """Versions of the optional libraries, looked up without importing them."""
    found = []
    for name in OPTIONAL:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"no {name}")
    return ", ".join(found)


def _machine():
    try:
        from .._ext.runtime import cpu_info
    except ImportError as error:
        lines = [
            f"extension    not built ({error}): kernels run in Numba or numpy, several times slower",
            f"CPU          {_brand()}",
        ]
    else:
        cpu = cpu_info()
        caches = ", ".join(f"{name} {_size(cpu[name.lower()])}" for name in ("L1d", "L2", "L3"))
        lines = [
            f"extension    {sys.modules['nnrt._ext.runtime'].__file__}",
            f"CPU          {cpu['brand'] or 'unknown'}; {caches}",
            f"ISA          {cpu['isa']}; this CPU can run {', '.join(cpu['isas'])}",
        ]
    try:
        backend, gemm_tile = registry.resolve("linear", "gemm_tile")
    except LookupError as error:  # NNRT_STRICT
        return [*lines, f"GEMM tiles   {error}"]
    tiles = ", ".join(f"{kind} {'x'.join(map(str, gemm_tile(kind)))}" for kind in ("float32", "float64"))
    return [*lines, f"GEMM tiles   {tiles} (rows x columns in registers)" if backend != "ref" else "GEMM tiles   numpy's"]


def _brand():
    """The CPU's name as Linux tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


def _size(size):
    if not size:
        return "unknown"
    return f"{size >> 20} MiB" if size >= 1 << 20 else f"{size >> 10} KiB"


def _text(value):
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1 << 20:
        return _size(value)
    return str(value)
