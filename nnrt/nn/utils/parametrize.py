"""The part of torch.nn.utils.parametrize that weight_norm needs."""

from __future__ import annotations

from ..module import Module
from .parametrizations import remove_parametrizations


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether the module computes this tensor, or any, from parts."""
    known = getattr(module, "parametrizations", {})
    return len(known) > 0 if tensor_name is None else tensor_name in known


__all__ = ["is_parametrized", "remove_parametrizations"]
