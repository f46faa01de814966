"""Gradients handed back instead of accumulated."""

from numpy import ndarray

from . import memory
from ._hooks import run_hooks
from .autograd import key_of, sequence, target_of, walk_from
from .memory import copy
from .tensor import wrap


def grad(
    outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False, allow_unused=False,
    materialize_grads=False, only_inputs=True,
):
    """The gradients of sum_i <outputs[i], grad_outputs[i]> with respect to inputs, as a tuple of Tensors.

    Nothing is accumulated into .grad. inputs may be leaves or intermediate tensors. An input
    that outputs do not depend on raises RuntimeError, or gives None with allow_unused=True, or
    zeros with materialize_grads=True. grad_outputs: one gradient of each output's shape, None for an output of one element
    (1). retain_graph: the graph keeps what it saved, for another walk. create_graph=True raises NotImplementedError.
    only_inputs says what is so anyway.
    """
    inputs = sequence(inputs)
    wanted, hooked = {}, {}
    for i, x in enumerate(inputs):
        if not x.requires_grad:
            raise RuntimeError(f"autograd.grad: inputs[{i}] does not require a gradient")
        key = key_of(target_of(x))
        wanted[key] = None
        if x.node is None and x.hooks:
            hooked[key] = x.hooks
    walk_from("autograd.grad", outputs, grad_outputs, bool(retain_graph), create_graph, wanted)
    for key, hooks in hooked.items():
        if wanted[key] is not None:
            wanted[key] = run_hooks(hooks, wanted[key])
    result = []
    for i, x in enumerate(inputs):
        g = wanted[key_of(target_of(x))]
        if g is None and materialize_grads:
            g = memory.zeros(x.array.shape, x.array.dtype)
        if g is None and not allow_unused:
            raise RuntimeError(
                f"autograd.grad: outputs do not depend on inputs[{i}] (shape {tuple(x.shape)}); "
                "pass allow_unused=True to get None for it"
            )
        result.append(wrap(copy(g)) if isinstance(g, ndarray) else g)
    return tuple(result)
