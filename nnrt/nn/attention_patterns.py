"""Patterns of sparse attention, for the argument `pattern` of functional.scaled_dot_product_attention."""

# ruff: noqa: F401
from ..ops.patterns import BigBird, Fixed, Longformer, Pattern, SlidingWindow, Strided
