"""Settings of nnrt, and the only place that reads the environment (first version)."""

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Settings:
    isa: str | None = os.environ.get("NNRT_ISA") or None
    num_threads: int = int(os.environ.get("NNRT_NUM_THREADS") or len(os.sched_getaffinity(0)))
    backend: tuple = tuple(filter(None, os.environ.get("NNRT_BACKEND", "").split(","))) or ("cython", "numba", "ref")
    strict: bool = os.environ.get("NNRT_STRICT") == "1"
    log: str = os.environ.get("NNRT_LOG", "")
    check_nan: bool = os.environ.get("NNRT_CHECK_NAN") == "1"
    detect_anomaly: bool = False


settings = Settings()


_defaults = Settings()


def default(name):
    """The value a setting had at import."""
    return getattr(_defaults, name)


def set(**values):
    """Changes settings for good: config.set(detect_anomaly=True)."""
    for name, value in values.items():
        setattr(settings, name, value)
        if name in ("backend", "strict"):
            from . import registry

            registry.forget()


@contextmanager
def use(**values):
    """Changes settings within a with-block."""
    before = {name: getattr(settings, name) for name in values}
    set(**values)
    try:
        yield
    finally:
        set(**before)


def log(topic, message):
    """Prints to stderr when NNRT_LOG names the topic."""
    if topic in settings.log.split(","):
        print(f"nnrt {topic}: {message}", file=sys.stderr)
