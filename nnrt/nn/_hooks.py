"""A module's call when it has hooks: before and after forward, before and after backward.

Gradients of inputs and outputs are caught by two identity nodes on the tape, one around the
inputs and one around the outputs of forward; each sees all its gradients at once.
"""

from ..autograd import Handle, attach, grad_enabled
from ..tensor import Tensor, view_of, wrap


class Hooks:
    """The hooks of one module, each a dict id -> (hook, flags) in the order of calling."""

    def __init__(self):
        self.before = {}
        self.after = {}
        self.backward_before = {}
        self.backward_after = {}

    def __bool__(self):
        return bool(self.before or self.after or self.backward_before or self.backward_after)


def register(hooks, hook, flags, prepend):
    """Adds a hook at the end, or at the beginning with prepend; returns its handle."""
    earlier = list(hooks.items()) if prepend else []
    handle = Handle(hooks, (hook, flags))
    for key, entry in earlier:
        del hooks[key]
        hooks[key] = entry
    return handle


def call(module, args, kwargs):
    """module.forward(*args, **kwargs) with the module's hooks around it."""
    hooks = module._hooks
    output = None
    called = set()
    try:
        for hook, with_kwargs in list(hooks.before.values()):
            if with_kwargs:
                changed = hook(module, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            "forward pre-hook with kwargs: wants None or a tuple (args, kwargs) returned, "
                            f"got {type(changed).__name__}"
                        )
                    args, kwargs = changed
            else:
                changed = hook(module, args)
                if changed is not None:
                    args = changed if isinstance(changed, tuple) else (changed,)
        watch = None
        if (hooks.backward_before or hooks.backward_after) and grad_enabled():
            watch = _Watch(module)
            args = watch.inputs(args)
        output = module.forward(*args, **kwargs)
        for key, (hook, (with_kwargs, _)) in list(hooks.after.items()):
            called.add(key)
            changed = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
            if changed is not None:
                output = changed
        return output if watch is None else watch.outputs(output)
    except Exception:
        for key, (hook, (with_kwargs, always)) in list(hooks.after.items()):
            if always and key not in called:
                hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
        raise


class _Watch:
    """One call of a module with backward hooks."""

    def __init__(self, module):
        self.module = module
        self.entry = None
        self.exit = None
        self.arity = 0
        self.width = 0
        self.grad_output = None

    def inputs(self, args):
        """args with each tensor that requires a gradient behind one identity node."""
        self.arity = len(args)
        self.entry, args = _behind_identity(args, self.inputs_backward)
        return args

    def outputs(self, output):
        single = isinstance(output, Tensor)
        outs = (output,) if single else output
        if not isinstance(outs, tuple) or not all(isinstance(y, Tensor) for y in outs):
            raise TypeError(
                f"full backward hook: {type(self.module).__name__}.forward must return a Tensor or a tuple "
                f"of Tensors, got {type(output).__name__}"
            )
        self.width = len(outs)
        self.exit, outs = _behind_identity(outs, self.outputs_backward)
        return outs[0] if single else outs

    def outputs_backward(self, node, *dys):
        hooks = self.module._hooks
        grads = _wrapped(self.width, self.exit, dys)
        for hook, _ in list(hooks.backward_before.values()):
            grads = _replaced("full backward pre-hook", "grad_output", hook(self.module, grads), grads)
        self.grad_output = grads
        if not self.entry:  # no input wants a gradient: the hooks run here, with what there is
            for hook, _ in list(hooks.backward_after.values()):
                hook(self.module, (None,) * self.arity, grads)
        return _arrays(grads, self.exit, dys)

    def inputs_backward(self, node, *dxs):
        grads = _wrapped(self.arity, self.entry, dxs)
        for hook, _ in list(self.module._hooks.backward_after.values()):
            changed = hook(self.module, grads, self.grad_output)
            grads = _replaced("full backward hook", "grad_input", changed, grads)
        return _arrays(grads, self.entry, dxs)


def _behind_identity(values, backward):
    """(places, values): those that require a gradient, at these places, replaced by one node's outputs."""
    places = [i for i, x in enumerate(values) if isinstance(x, Tensor) and x.requires_grad]
    if not places:
        return places, values
    seen = tuple([values[i] for i in places])
    made = tuple([view_of(x, x.array) for x in seen])
    attach(made, backward, seen, ())
    values = list(values)
    for i, x in zip(places, made):
        values[i] = x
    return places, tuple(values)


def _wrapped(count, places, arrays):
    grads = [None] * count
    for i, g in zip(places, arrays):
        grads[i] = None if g is None else wrap(g)
    return tuple(grads)


def _replaced(op, what, changed, grads):
    if changed is None:
        return grads
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != len(grads):
        raise RuntimeError(f"{op}: returned {len(changed)} gradients where {what} has {len(grads)}")
    for new, old in zip(changed, grads):
        if new is not None and old is not None and new.shape != old.shape:
            raise RuntimeError(f"{op}: returned a gradient of shape {new.shape} where {what} has {old.shape}")
    return changed


def _arrays(grads, places, before):
    """The gradients' arrays; those that a hook made are its own, so the tape gets views of them."""
    grads = [grads[i] for i in places]
    return tuple(
        [None if g is None else g.array if g.array is b else g.array.view() for g, b in zip(grads, before)]
    )
