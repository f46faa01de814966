"""Settings of nnrt, and the only place in the package that reads the environment.

`settings` holds the values, read once when this module is imported; `use` changes some for a
block of code; `describe` lists them all. Settings belong to the process, not to a thread.

    from nnrt import config
    config.settings.num_threads = 4
    with config.use(num_threads=1, check_nan=True):
        ...
"""

import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any, NamedTuple

from . import limits

ISAS = ("baseline", "avx2", "avx512", "neon")
BACKENDS = ("cython", "numba", "ref")
LOGS = ("dispatch", "plan", "memory")
CONVS = ("auto", "direct", "pointwise", "winograd2", "winograd3", "winograd4", "rows", "depthwise", "columns", "fft")
PRECISIONS = ("fast", "strict")
MOST_THREADS = 256  # slots of the pool, csrc/threads.c


# ---- parsers: text or value in, value out; ValueError says what is wanted ----


def _flag(value):
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off"):
        return False
    raise ValueError("0 or 1")


def _count(least, most):
    def parse(value):
        try:
            count = int(value)
        except (TypeError, ValueError):
            count = least - 1
        if not least <= count <= most or isinstance(value, (bool, float)):
            raise ValueError(f"an integer from {least} to {most:,}")
        return count

    return parse


def _size(value):
    """Bytes: 1048576, 512K, 64M, 2G."""
    text = str(value).upper().removesuffix("B").removesuffix("I")
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
    digits = text if unit == 1 else text[:-1]
    if not digits.isdecimal() or int(digits) * unit >= 1 << 63:
        raise ValueError("a number of bytes such as 1048576, 512K, 64M or 2G")
    return int(digits) * unit


def _choice(names, none=False):
    def parse(value):
        if none and value is None:
            return None
        if value not in names:
            raise ValueError("one of " + ", ".join(names))
        return value

    return parse


def _names(names, least=0):
    """A comma-separated string or a sequence of known names, as a tuple without repeats."""

    def parse(value):
        parts = value.split(",") if isinstance(value, str) else list(value)
        parts = [part.strip() if isinstance(part, str) else part for part in parts]
        if not all(part in names for part in parts) or len(parts) < least:
            raise ValueError("a comma-separated list of " + ", ".join(names))
        return tuple(dict.fromkeys(parts))

    return parse


# ---- the table ----


def _default_threads():
    return min(limits.cpus().threads, MOST_THREADS)


def _default_cache_limit():
    # A step's activations are what is worth keeping (fresh pages cost about 0.25 s per GB); 4 GiB
    # holds those of most CPU training, and an eighth of the memory leaves room for the neighbours.
    return min(4 << 30, (limits.memory() or 8 << 30) // 8)


class Setting(NamedTuple):
    """One row of the table: NNRT_<NAME> is its environment variable."""

    name: str
    default: Any  # a value, or a function that works it out
    parse: Callable
    meaning: str

    @property
    def variable(self):
        return "NNRT_" + self.name.upper()


TABLE = (
    Setting(
        "num_threads",
        _default_threads,
        _count(1, MOST_THREADS),
        "threads per launch, the caller's included; default: the least of affinity, cgroup quota and cores",
    ),
    Setting(
        "isa",
        None,
        _choice(ISAS, none=True),
        "instruction set of the compiled kernels, fixed at import; default: the best the CPU has",
    ),
    Setting(
        "backend",
        ("cython", "numba", "ref"),
        _names(BACKENDS, least=1),
        "back-ends in the order in which they are tried for each kernel",
    ),
    Setting("strict", False, _flag, "a kernel missing in the first back-end is an error, not a fallback"),
    Setting("log", (), _names(LOGS), "what is logged: dispatch (which kernel runs), plan, memory"),
    Setting("check_nan", False, _flag, "look for NaN in what each compiled kernel wrote"),
    Setting("detect_anomaly", False, _flag, "errors in the backward name the forward call they belong to"),
    Setting(
        "cache_limit",
        _default_cache_limit,
        _size,
        "most bytes of freed memory kept for reuse; default: an eighth of the memory, at most 4 GiB",
    ),
    Setting("spin_us", 500, _count(0, (1 << 31) - 1), "microseconds an idle worker spins before it sleeps"),
    Setting("conv", "auto", _choice(CONVS), "convolution algorithm wherever a shape allows it; auto chooses by shape"),
    Setting(
        "precision",
        "fast",
        _choice(PRECISIONS),
        "fast: convolutions may use Winograd's algorithm (float32: relative errors to 1e-5); strict: they do not",
    ),
)
_ROWS = {row.name: row for row in TABLE}


class Settings:
    """The values as attributes. Assignment checks the value and takes effect at once.

    Reading another name raises AttributeError; assigning a bad value raises ValueError, which
    names the setting, what came and what is wanted, and leaves the old value in place.
    """

    __slots__ = ("_values", "_sources", "_hooks", "_at_import")

    def __init__(self, environ):
        set_slot = object.__setattr__
        set_slot(self, "_values", {})
        set_slot(self, "_sources", {})
        set_slot(self, "_hooks", {})
        set_slot(self, "_at_import", {})
        for row in TABLE:
            text = environ.get(row.variable, "")
            if text:
                self._values[row.name] = _parsed(row, row.variable, text)
                self._sources[row.name] = row.variable
            else:
                self._values[row.name] = _default(row)
                self._sources[row.name] = "default"
        self._at_import.update(self._values)

    def __getattr__(self, name):
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"nnrt.config has no setting {name!r}; it has {', '.join(_ROWS)}") from None

    def __setattr__(self, name, value):
        if name not in _ROWS:
            raise AttributeError(f"nnrt.config has no setting {name!r}; it has {', '.join(_ROWS)}")
        if name == "isa":
            raise ValueError("isa is fixed when nnrt is imported: set NNRT_ISA before")
        self._set(name, _parsed(_ROWS[name], name, value), "set by the program")

    def __dir__(self):
        return list(_ROWS)

    def __repr__(self):
        return "Settings(" + ", ".join(f"{k}={v!r}" for k, v in self._values.items()) + ")"

    def _set(self, name, value, source):
        self._values[name] = value
        self._sources[name] = source
        for hook in self._hooks.get(name, ()):
            hook(value)


def _parsed(row, what, value):
    try:
        return row.parse(value)
    except (TypeError, ValueError) as error:
        wanted = error if isinstance(error, ValueError) else "another type"
        raise ValueError(f"{what}={value!r}: wanted {wanted}") from None


def _default(row):
    return row.default() if callable(row.default) else row.default


settings = Settings(os.environ)


def unknown_variables():
    """Variables of the environment whose name says NNRT_ and that no setting reads: spelling mistakes, mostly."""
    known = {row.variable for row in TABLE}
    return sorted(name for name in os.environ if name.startswith("NNRT_") and name not in known)


def environment(**changes):
    """The environment for a child process: this one's, with changes."""
    return {**os.environ, **changes}


def default(name):
    """The value a setting had at import: its variable's, or its own default."""
    return settings._at_import[name]


def set(**changes):
    """Changes settings for good; all values are checked before any is set."""
    for name, value in changes.items():
        if name not in _ROWS or name == "isa":
            setattr(settings, name, value)  # raises, saying why
        _parsed(_ROWS[name], name, value)
    for name, value in changes.items():
        setattr(settings, name, value)


@contextmanager
def use(**changes):
    """Changes settings for a block: `with config.use(num_threads=1, backend="numba"): ...`.

    The old values come back however the block ends.
    """
    before = {name: (settings._values[name], settings._sources[name]) for name in changes if name in _ROWS}
    set(**changes)
    try:
        yield settings
    finally:
        for name, (value, source) in before.items():
            settings._set(name, value, source)


def log(topic, message):
    """Prints to stderr when NNRT_LOG names the topic."""
    if topic in settings.log:
        print(f"nnrt {topic}: {message}", file=sys.stderr)


def on_change(name, hook):
    """Calls hook(value) now and whenever the setting changes."""
    settings._hooks.setdefault(name, []).append(hook)
    hook(settings._values[name])


def set_num_threads(threads) -> None:
    """Threads a launch may use from now on, the caller's own included; ValueError below 1 or above 256."""
    set(num_threads=threads)


def get_num_threads() -> int:
    """Threads a launch may use, the caller's own included."""
    return settings.num_threads


def why_num_threads():
    """Where the thread count comes from: "2: affinity 2, cgroup quota none, cores 2"."""
    source = settings._sources["num_threads"]
    return f"{settings.num_threads}: {limits.cpus() if source == 'default' else source}"


class Row(NamedTuple):
    """A row of describe()."""

    name: str
    variable: str
    default: Any
    value: Any
    meaning: str


def describe():
    """All settings as rows (name, variable, default, value, meaning)."""
    return [Row(r.name, r.variable, _default(r), settings._values[r.name], r.meaning) for r in TABLE]
