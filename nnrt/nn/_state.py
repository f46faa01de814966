"""Saving and loading a module's state: names with dots -> tensors, in torch's order and layouts.

Loading has two halves. First every module looks for its own names and notes what to copy, what
is missing, unexpected or of the wrong shape; only when nothing is wrong is anything copied.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..tensor import Tensor, bump, wrap
from .parameter import Parameter, is_lazy

EXTRA_STATE = "_extra_state"


class IncompatibleKeys(NamedTuple):
    """What load_state_dict(strict=False) left: names of the module without a value, and the reverse."""

    missing_keys: list
    unexpected_keys: list

    def __repr__(self):
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


class Loading(dict):
    """The values under one module's prefix, with what is shared by one load_state_dict.

    pending: [(function, arguments)], run once nothing is wrong. own: ids of the arrays that own the
    model's memory; a value that lies in one of them is copied first. assigned: (old parameter, value)
    -> the new parameter, so that shared parameters stay shared.
    """

    def __init__(self, values, whole=None):
        super().__init__(values)
        self.assign = whole.assign if whole is not None else False
        self.pending = whole.pending if whole is not None else []
        self.own = whole.own if whole is not None else set()
        self.assigned = whole.assigned if whole is not None else {}


def load_state_dict(module, state_dict, strict, assign):
    """The body of Module.load_state_dict."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(
            f"load_state_dict: wants a mapping of names to tensors, got {type(state_dict).__name__}"
        )
    state = Loading(state_dict)
    state.assign = assign
    state.own.update(id(_memory_of(t.array)) for t in (*module.parameters(), *module.buffers()) if not is_lazy(t))
    missing, unexpected, errors, visited = [], [], [], []
    odd = [key for key in state if not isinstance(key, str)]
    for key in odd:
        errors.append(f"names must be strings, got {key!r}")
        del state[key]
    _visit(module, state, "", strict, missing, unexpected, errors, visited)
    kept = IncompatibleKeys(missing, unexpected)
    problems = list(errors)
    if strict and unexpected:
        problems.insert(
            0, "Unexpected key(s) in state_dict: " + ", ".join(f'"{k}"' for k in unexpected) + "."
        )
    if strict and missing:
        problems.insert(0, "Missing key(s) in state_dict: " + ", ".join(f'"{k}"' for k in missing) + ".")
    if problems:
        raise RuntimeError(
            f"Error(s) in loading state_dict for {type(module).__name__} (nothing was loaded):\n\t"
            + "\n\t".join(problems)
        )
    for function, arguments in state.pending:
        function(*arguments)
    for m in visited:
        for hook in list(m._load_hooks_after.values()):
            hook(m, kept)
    return kept


def _visit(module, state, prefix, strict, missing, unexpected, errors, visited):
    for hook in list(module._load_hooks_before.values()):
        hook(module, state, prefix, {}, strict, missing, unexpected, errors)
    module._load_from_state_dict(state, prefix, {}, strict, missing, unexpected, errors)
    for name, child in module._children_with_names():
        start = prefix + name + "."
        inside = Loading({k: v for k, v in state.items() if k.startswith(start)}, state)
        _visit(child, inside, start, strict, missing, unexpected, errors, visited)
    visited.append(module)


def load_own(module, own, state, prefix, missing, unexpected, errors):
    """The body of Module._load_from_state_dict. own: [(name, tensor or None)] that are persistent."""
    for name, target in own:
        key = prefix + name
        if target is None:
            continue
        if key not in state:
            missing.append(key)
            continue
        value = state[key]
        if is_lazy(value):
            if not is_lazy(target):
                errors.append(f"{key}: the value has no shape yet, the module's parameter has {target.shape}")
            continue
        array = array_of(value)
        if array is None or array.dtype.kind not in "fiub":
            what = type(value).__name__ if array is None else f"an array of {array.dtype}"
            errors.append(f"{key}: wants a tensor or array of numbers, got {what}")
        elif not is_lazy(target) and array.shape != target.shape:
            errors.append(
                f"size mismatch for {key}: copying a parameter of shape {tuple(array.shape)} from the state, "
                f"the module's has shape {tuple(target.shape)}."
            )
        elif not state.assign and not np.can_cast(array.dtype, target.dtype, "same_kind"):
            errors.append(f"{key}: the value is {array.dtype}, which does not fit a tensor of {target.dtype}")
        elif (
            state.assign
            and isinstance(target, Parameter)
            and target.requires_grad
            and array.dtype.kind != "f"
        ):
            errors.append(f"{key}: the value is {array.dtype}, the parameter requires a gradient")
        elif state.assign:
            state.pending.append((_assign, (state, module, name, target, value, array)))
        elif not is_lazy(target) and not target.array.flags.writeable:
            errors.append(f"{key}: the module's memory is read-only; load with assign=True")
        elif array is not target.array:
            if id(_memory_of(array)) in state.own:  # part of this model: perhaps overwritten before its turn
                array = array.copy()
            state.pending.append((_copy, (target, array)))
    names = {name for name, target in own if target is not None}
    children = {name for name, _ in module._children_with_names()}
    for key in state:
        if key.startswith(prefix):
            first, dot, _ = key[len(prefix) :].partition(".")
            if (first not in children) if dot else (first not in names and first != EXTRA_STATE):
                unexpected.append(key)


def array_of(value):
    """The numpy array behind a Tensor, a torch tensor or anything with __array__; None for anything else."""
    if isinstance(value, Tensor):
        return value.array
    if isinstance(value, np.ndarray):
        return value
    if not hasattr(value, "__array__"):
        return None
    if hasattr(value, "detach"):
        value = value.detach()
    try:
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def _memory_of(array):
    """The array whose memory this one is, itself or the one that it is a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _copy(target, array):
    if is_lazy(target):
        target.materialize(array.shape)
    np.copyto(target.array, array, casting="same_kind")
    bump(target)


def _assign(state, module, name, target, value, array):
    key = (id(target), id(value))
    made = state.assigned.get(key)
    if made is None:
        tensor = value if isinstance(value, Tensor) else wrap(array)
        if isinstance(target, Parameter):
            made = tensor if isinstance(tensor, Parameter) else Parameter(tensor, target.requires_grad)
            made.requires_grad_(target.requires_grad)
        else:
            made = tensor.detach()
        state.assigned[key] = made
    setattr(module, name, made)
