"""Settings of nnrt, and the only place that reads the environment (first version)."""

import os
from dataclasses import dataclass


@dataclass
class Settings:
    isa: str | None = os.environ.get("NNRT_ISA") or None
    num_threads: int = int(os.environ.get("NNRT_NUM_THREADS") or len(os.sched_getaffinity(0)))
    backend: tuple = tuple(filter(None, os.environ.get("NNRT_BACKEND", "").split(",")))
    strict: bool = os.environ.get("NNRT_STRICT") == "1"
    log: str = os.environ.get("NNRT_LOG", "")
    check_nan: bool = os.environ.get("NNRT_CHECK_NAN") == "1"


settings = Settings()
