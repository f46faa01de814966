"""The runtime's tools: the profiler."""

from . import profiler

__all__ = ["profiler"]
