"""autograd.Function: a user's own op, and how it is put on the tape."""

import numpy as np

from . import autograd, memory
from .tensor import Tensor, wrap


class _Variables(type):
    def __instancecheck__(cls, x):
        return isinstance(x, Tensor)


class Variable(metaclass=_Variables):
    """torch's old way to a tensor on the tape: Variable(data, requires_grad=False) is a new leaf over data's memory."""

    def __new__(cls, data, requires_grad=False):
        return data.detach().requires_grad_(requires_grad)


class Function:
    """A user's own op: subclass with static forward(ctx, ...) and backward(ctx, *dy), call `.apply(...)`.

    As in torch: forward gets Tensors and other arguments and returns a Tensor or a tuple of
    them; backward gets one gradient per output and returns one per argument of forward (None
    where there is none). `ctx.save_for_backward(*tensors)` keeps tensors for `ctx.saved_tensors`;
    `ctx.needs_input_grad` is a tuple of bool; `ctx.mark_non_differentiable(*outputs)` excludes outputs.
    With a static setup_context(ctx, inputs, output), which then does all that concerns ctx, forward has no ctx.
    """

    setup_context = None

    @classmethod
    def apply(cls, *args):
        """forward of the arguments, as one node of the graph. TypeError where it returns what is no Tensor."""
        return apply(cls, args)

    @staticmethod
    def forward(ctx, *args):
        """The op's value; to be defined."""
        raise NotImplementedError("autograd.Function: a subclass must define forward(ctx, ...)")

    @staticmethod
    def backward(ctx, *grads):
        """The gradients of forward's arguments; to be defined."""
        raise NotImplementedError("autograd.Function: a subclass must define backward(ctx, *grads)")


class Context:
    """`ctx` in a Function's forward and backward: what the user keeps between them."""

    def __init__(self, inputs):
        self.needs_input_grad = tuple(x is not None and x.requires_grad for x in inputs)
        self._shapes = tuple(None if x is None else x.array.shape for x in inputs)
        self.materialize_grads = True
        self._saved = ()
        self._versions = ()
        self._constant = ()

    def save_for_backward(self, *tensors):
        """Keeps Tensors (or None) for `saved_tensors`; changes in place until then are an error."""
        for t in tensors:
            if t is not None and not isinstance(t, Tensor):
                raise TypeError(
                    f"save_for_backward: wants Tensors, got {type(t).__name__}; set other values as attributes of ctx"
                )
        # Off the tape: an output that is saved must not keep its own node alive.
        self._saved = tuple(None if t is None else t.detach() for t in tensors)
        self._versions = tuple(t._version if t is not None else 0 for t in tensors)

    @property
    def saved_tensors(self):
        """What save_for_backward was given."""
        for position, (t, then) in enumerate(zip(self._saved, self._versions)):
            if t is not None and t._version != then:
                raise RuntimeError(f"saved_tensors: tensor {position} was changed in place after it was saved")
        return self._saved

    def mark_non_differentiable(self, *outputs):
        """These outputs get no gradient."""
        self._constant = tuple(outputs)

    def mark_dirty(self, *inputs):
        """Refused: forward returns new tensors."""
        raise NotImplementedError("mark_dirty: forward may not change its inputs in place; return a new tensor")

    def set_materialize_grads(self, value):
        """Whether backward gets zeros (default) or None for an output that was not used."""
        self.materialize_grads = bool(value)


def once_differentiable(function):
    """function itself: no backward pass is differentiated here. For code written for torch."""
    return function


def apply(function, args):
    """function.forward(ctx, *args) with one node for all its differentiable outputs."""
    inputs = tuple(a if isinstance(a, Tensor) else None for a in args)
    ctx = Context(inputs)
    with autograd.no_grad():
        if function.setup_context is None:
            result = function.forward(ctx, *args)
        else:
            result = function.forward(*args)
            function.setup_context(ctx, args, result)
    several = isinstance(result, tuple)
    outs = result if several else (result,)
    if not any(isinstance(out, Tensor) for out in outs):
        raise TypeError(
            f"{function.__name__}.forward: wants to return a Tensor, or a tuple with one and any other values, "
            f"got {type(result).__name__}{': ' + ', '.join(type(out).__name__ for out in outs) if several else ''}"
        )
    if autograd.is_grad_enabled() and any(ctx.needs_input_grad):
        # An input handed through becomes a tensor of its own: attaching must not take the input off its place.
        outs = tuple(out.detach() if out is not None and any(out is x for x in inputs) else out for out in outs)
        places = [
            i
            for i, out in enumerate(outs)
            if isinstance(out, Tensor) and out.array.dtype.kind == "f" and not any(out is c for c in ctx._constant)
        ]
        if places:
            autograd.attach(tuple([outs[i] for i in places]), _Backward(function, outs, places), inputs, (ctx,))
    return outs if several else outs[0]


class _Backward:
    """The backward function of one application. The tape keeps ctx, and lets go of it as of any saved memory."""

    def __init__(self, function, outs, places):
        self.function = function
        self.places = places  # of the differentiable outputs among all
        self.like = [(out.array.shape, out.array.dtype) if isinstance(out, Tensor) else None for out in outs]
        self.__name__ = function.__name__

    def __call__(self, node, *dys):
        (ctx,) = node.saved
        grads = []
        given = dict(zip(self.places, dys))
        for i, like in enumerate(self.like):
            dy = given.get(i)
            if dy is None and ctx.materialize_grads and like is not None:
                dy = memory.zeros(*like)
            grads.append(None if dy is None else wrap(dy))
        with autograd.no_grad():
            result = self.function.backward(ctx, *grads)
        result = result if isinstance(result, tuple) else (result,)
        if len(result) > len(node.targets) and all(g is None for g in result[len(node.targets) :]):
            result = result[: len(node.targets)]  # arguments that were left out have no gradients
        if len(result) != len(node.targets):
            raise RuntimeError(
                f"{self.__name__}.backward: returned {len(result)} gradients for the {len(node.targets)} arguments of forward"
            )
        return tuple(self.checked(i, g, node, ctx._shapes[i]) for i, g in enumerate(result))

    def checked(self, i, g, node, want):
        if g is None or not node.needs(i):
            return None
        array = g.array if isinstance(g, Tensor) else np.asarray(g)
        if array.shape != want:
            raise RuntimeError(f"{self.__name__}.backward: gradient {i} has shape {array.shape}, the argument {want}")
        # The user may keep what was returned; the tape must not write into it.
        return array.view()
