"""Activation functions: y = f(x) element by element."""

from .. import memory, registry
from ..autograd import record

K = registry.family("activation")


def relu(x):
    """max(x, 0), element by element. NaN stays NaN; the derivative at 0 is 0."""
    a = memory.dense(x.array)
    y = memory.empty_like(a)
    K.relu(y, a)
    return record(y, relu_backward, (x,), (y,))


def relu_backward(node, dy):
    (y,) = node.saved
    dx = memory.empty_like(y)
    K.relu_backward(dx, memory.as_like(dy, y), y)
    return (dx,)
