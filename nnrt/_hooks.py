"""Hooks on gradients: what registers them and what runs them."""

import itertools

from numpy import ndarray

from .tensor import Tensor, wrap


class Handle:
    """What a hook's registration returns; remove() undoes it, as does leaving a with-block."""

    _next = itertools.count()

    def __init__(self, hooks, hook):
        self.hooks = hooks
        self.id = next(Handle._next)
        while self.id in hooks:  # hooks that were unpickled carry another process's numbers
            self.id = next(Handle._next)
        hooks[self.id] = hook

    def remove(self):
        """Takes the hook away; a second time does nothing."""
        self.hooks.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


def run_node_hooks(node, dys):
    """A node's gradients, or what the hooks of its outputs made of them."""
    slots = [dys] if node.outputs == 1 else dys
    for key in sorted(node.hooks, reverse=True):
        index = key if key >= 0 else ~key
        if slots[index] is not None:
            slots[index] = run_hooks(node.hooks[key], slots[index])
    return slots[0] if node.outputs == 1 else slots


class Afterwards:
    """A hook that gets a leaf once its .grad is complete."""

    def __init__(self, hook):
        self.hook = hook


def run_afterwards(leaf):
    """Calls what register_post_accumulate_grad_hook was given."""
    for hook in list(leaf.hooks.values()):
        if isinstance(hook, Afterwards):
            hook.hook(leaf)


def run_hooks(hooks, g):
    """The gradient g, or what the hooks made of it: TypeError or RuntimeError for what cannot stand for it."""
    for hook in list(hooks.values()):
        if isinstance(hook, Afterwards):
            continue
        changed = hook(wrap(g) if isinstance(g, ndarray) else g)
        if changed is None:
            continue
        name = getattr(hook, "__name__", type(hook).__name__)
        if not isinstance(changed, (Tensor, type(g))):
            raise TypeError(f"backward: hook {name} returned a {type(changed).__name__}; wants a Tensor or None")
        if tuple(changed.shape) != tuple(g.shape) or changed.dtype != g.dtype:
            raise RuntimeError(
                f"backward: hook {name} returned {changed.dtype} of shape {tuple(changed.shape)} "
                f"for a gradient that is {g.dtype} of shape {tuple(g.shape)}"
            )
        g = changed.array if isinstance(changed, Tensor) else changed
    return g
