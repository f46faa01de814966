"""Modules made without initial values."""

from __future__ import annotations

from typing import Any

from ..init import skipped
from ..module import Module


def skip_init(module_cls: type[Module], *args: Any, **kwargs: Any) -> Module:
    """module_cls(*args, **kwargs) without drawing initial values: for models whose values are loaded next."""
    if not (isinstance(module_cls, type) and issubclass(module_cls, Module)):
        raise RuntimeError(f"skip_init: wants a Module class, got {module_cls!r}")
    with skipped():
        return module_cls(*args, **kwargs)
