"""The tape: ops record nodes on it, backward() walks them.

Each differentiable op makes one Node, which holds the op's backward function, what that
function needs of the forward pass, and one target for every input: a leaf Tensor to
accumulate into, the Node that made the input, an Output (one output of a Node with
several), or None when no gradient is wanted there.

Nodes carry the order of their making. A node's consumers are always younger than it, so
walking from the youngest to the oldest meets every node after all its gradients have
arrived; no second pass over the graph is needed (reverse mode: Griewank and Walther,
Evaluating Derivatives, 2008, chapter 3).

Backward functions have the form `backward(node, dy, ...) -> (dx, ...)` over numpy arrays:
one dy per output (None when that output was not used), one dx per input, None where
`node.needs(i)` is false. A returned array is fresh, or dy itself, or a view; the tape
copies what it cannot own. `node.room` lets dx be written over a dy to which nobody else refers.
"""

# ruff: noqa: F401  what users find here, the files around it define

from heapq import heappop, heappush

import numpy as np
from numpy import generic, ndarray

from . import _anomaly, config, registry
from ._anomaly import detect_anomaly, set_detect_anomaly
from ._grad_mode import enable_grad, grad_enabled, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from ._hooks import Afterwards, Handle, run_afterwards, run_hooks, run_node_hooks
from ._slice_grad import SliceGrad
from .memory import alike, copy, empty, empty_like, lone
from .tensor import Tensor, Version, wrap

K = registry.family("elementwise")

_made = 0
_watched = False  # detect_anomaly is on


def _watch(on):
    global _watched
    _watched = on


config.on_change("detect_anomaly", _watch)


class Node:
    """One op on the tape."""

    def needs(self, i):
        """Whether input i wants a gradient."""
        return self.targets[i] is not None

    @property
    def saved(self):
        """What the forward pass kept, once its arrays were found unchanged.

        Raises RuntimeError when the node's memory was freed by an earlier backward, or when
        a saved tensor was changed in place since.
        """
        if self.saved_arrays is None:
            raise _freed(self)
        if self.versions is not None:
            for position, version, then in self.versions:
                if version.value != then:
                    what = "an index, weight or result" if position < 0 else f"saved argument {position}"
                    raise RuntimeError(
                        f"{self.name}: {what}, needed for the gradient, was changed in place "
                        f"after the forward pass (version {version.value}, expected {then})"
                    )
        return self.saved_arrays

    def consumed(self):
        """Whether no other backward comes, so that what was saved may be overwritten: it counts as freed from here on."""
        if self.last:
            self.saved_arrays = None
        return self.last

    def room(self, dy, like):
        """Where to write dx, like `like`: over dy, if nobody else refers to that and it lies so, or in new memory."""
        self.over = self.spare and dy.strides == like.strides and alike(dy, like)
        return dy if self.over else empty_like(like)

    @property
    def name(self):
        """The op's name: its backward function's, without the ending."""
        return getattr(self.backward, "__name__", type(self.backward).__name__).removesuffix("_backward")

    @property
    def next_functions(self):
        """((node or leaf, output index), ...) of the inputs, as in torch."""
        return tuple(
            (t.node, t.index) if isinstance(t, Output) else (t, 0) for t in self.targets
        )

    def add_hook(self, index, hook):
        """Calls hook(gradient of output index) -> Tensor or None when the walk reaches this node.

        The hooks of index ~i see output i's gradient after those of index i. Returns a handle whose remove() takes the hook off.
        """
        if self.hooks is None:
            self.hooks = {}
        return Handle(self.hooks.setdefault(index, {}), hook)

    def __repr__(self):
        return f"<{self.name} node>"


def _freed(node):
    return RuntimeError(
        f"{node.name}: backward a second time: what the forward pass saved was freed by the first backward; "
        "pass retain_graph=True to the first call if a second is wanted"
    )


class Output:
    """Output `index` of a node that has several."""


def record(out, backward, inputs, saved=()):
    """Makes the Tensor of an op's one output and, where a gradient is wanted, its node.

    out: array; backward: function (see the module's text); inputs: tuple of Tensor or None;
    saved: tuple of Tensors (checked for changes in place), arrays and scalars for backward.
    """
    t = wrap(out)
    if on_tape(inputs):
        attach((t,), backward, inputs, saved)
    return t


def on_tape(inputs):
    """Whether an op on this tuple of Tensors or None is to be recorded."""
    for x in inputs:
        if x is not None and x._requires_grad:
            return grad_enabled()
    return False


def tracked(a, b):
    """on_tape((a, b)): hot ops ask before they make the tuples for record()."""
    return (a._requires_grad or b._requires_grad) and grad_enabled()


def record_many(outs, backward, inputs, saved=()):
    """record() for an op with several differentiable outputs; returns a tuple of Tensors."""
    tensors = tuple([wrap(out) for out in outs])
    if on_tape(inputs):
        attach(tensors, backward, inputs, saved)
    return tensors


def attach(outs, backward, inputs, saved):
    """Makes one node whose outputs are the tensors `outs`."""
    global _made
    _made += 1
    node = Node.__new__(Node)
    node.backward = backward
    node.order = _made
    node.outputs = len(outs)
    node.hooks = None
    node.trace = None
    node.last = node.spare = node.over = False
    if len(inputs) == 2:
        node.targets = (target_of(inputs[0]), target_of(inputs[1]))
    else:
        node.targets = tuple([target_of(x) for x in inputs])
    if len(outs) == 1:
        out = outs[0]
        out.node = node
        out._requires_grad = True
    else:
        for index, out in enumerate(outs):
            made = Output.__new__(Output)
            made.node = node
            made.index = index
            out.node = made
            out._requires_grad = True
    if not saved:
        node.saved_arrays = ()
        node.versions = None
    else:
        _save(node, outs, saved)
    if _watched:
        _anomaly.recorded(node, outs)


def _save(node, outs, saved):
    """Keeps what backward needs: arrays of Tensors and of the op's own outputs with the version they have now."""
    arrays = []
    versions = []
    for position, x in enumerate(saved):
        if isinstance(x, Tensor):
            version = version_of(x)
            versions.append((position, version, version.value))
            x = x.array
        else:
            for out in outs:
                if x is out.array:
                    version = version_of(out)
                    versions.append((position, version, version.value))
        arrays.append(x)
    node.saved_arrays = tuple(arrays)
    node.versions = tuple(versions) if versions else None


def watched(out, *given):
    """`out`, which record() made. Its backward reads memory of the Tensors among `given`: their changes are noticed, too."""
    node = out.node.node if isinstance(out.node, Output) else out.node
    if node is not None:
        versions = [(-1, version_of(t), version_of(t).value) for t in given if isinstance(t, Tensor)]
        node.versions = (*node.versions, *versions) if node.versions else tuple(versions)
    return out


def version_of(t):
    """The tensor's version cell, shared with its views; made at first need."""
    if t.version is None:
        t.version = Version()
    return t.version


def target_of(t):
    if t is None or not t._requires_grad:
        return None
    return t if t.node is None else t.node


def backward(tensors, grad_tensors=None, retain_graph=False, create_graph=False, inputs=None):
    """Accumulates into .grad of every leaf the gradient of sum_i <tensors[i], grad_tensors[i]>.

    grad_tensors: Tensors of the same shapes, or None for scalars (then 1). inputs: the only
    leaves to accumulate into (default: all). Raises RuntimeError for tensors that are not on the
    tape, for a non-scalar without gradient, and for wrong shapes.
    """
    if inputs is None:
        walk_from("backward", tensors, grad_tensors, retain_graph, create_graph, None)
        return
    inputs = sequence(inputs)
    found = grad(tensors, inputs, grad_tensors, retain_graph, allow_unused=True)
    for leaf, g in zip(inputs, found):
        if g is not None:
            accumulate(leaf, g.array if isinstance(g, Tensor) else g, True)
            if leaf.hooks:
                run_afterwards(leaf)


def sequence(x):
    return (x,) if isinstance(x, Tensor) else tuple(x)


def key_of(target):
    return (id(target.node), target.index) if isinstance(target, Output) else (id(target), 0)


def walk_from(op, tensors, grads, retain_graph, create_graph, wanted):
    if create_graph:
        raise NotImplementedError(
            f"{op}: create_graph=True: nnrt's backward passes are hand-written kernels, not recorded on the tape, "
            "so gradients of gradients are not available"
        )
    walk = Walk.__new__(Walk)
    walk.retain_graph = retain_graph
    walk.wanted = wanted
    walk.node = walk.dys = walk.queue = walk.pending = walk.hooked = None
    if isinstance(tensors, Tensor):
        if isinstance(grads, (tuple, list)) and len(grads) == 1:
            grads = grads[0]
        target = _root(op, tensors)
        walk.deliver(target, _root_gradient(op, tensors, grads), False)
        walk.run()
        return
    if grads is None:
        grads = (None,) * len(tensors)
    elif isinstance(grads, Tensor):
        grads = (grads,)
    if len(grads) != len(tensors):
        raise RuntimeError(f"{op}: {len(tensors)} tensors but {len(grads)} gradients")
    roots = []
    for t, g in zip(tensors, grads):
        roots.append((_root(op, t), _root_gradient(op, t, g)))
    for target, g in roots:
        walk.deliver(target, g, False)
    walk.run()


def _root(op, t):
    if not t._requires_grad:
        raise RuntimeError(f"{op}: the tensor does not require a gradient: no input of its ops had requires_grad=True")
    return target_of(t)


def _root_gradient(op, t, g):
    """The gradient given for t as an array, or 1 for a scalar."""
    array = t.array
    if g is None:
        if array.size != 1:
            raise RuntimeError(
                f"{op}: a gradient can be made up for scalars only; the tensor has shape {tuple(t.shape)}: "
                "pass gradient="
            )
        g = empty(array.shape, array.dtype)
        g.fill(1)
        return g
    g = g.array if isinstance(g, Tensor) else np.asarray(g)
    if alike(g, array):
        return g
    if g.shape != array.shape:
        raise RuntimeError(f"{op}: gradient has shape {g.shape}, the tensor {array.shape}")
    return g.astype(array.dtype)


class Walk:
    """One backward pass, from the roots to the leaves.

    wanted: None to accumulate into the leaves, else a dict whose keys (see key_of) are the only
    targets of interest; their gradients are put there and nothing is accumulated. While a single
    node waits, as in a chain of layers, it is `node` with its gradients `dys`; from the second on,
    nodes wait in `queue` (a heap, youngest first) and their gradients in `pending`.
    """

    def run(self):
        while True:
            if self.node is not None:
                node, dys = self.node, self.dys
                self.node = self.dys = None
            elif self.queue:
                node = heappop(self.queue)[1]
                dys = self.pending.pop(node)
            else:
                break
            # hooks and who asked for this gradient see it
            node.spare, node.over = lone(dys) and node.hooks is None and self.wanted is None, False
            self.visit(node, dys)
        if self.hooked is not None:
            for leaf, g in self.hooked.items():
                accumulate(leaf, run_hooks(leaf.hooks, g), False)
                run_afterwards(leaf)

    def visit(self, node, dys):
        """Runs one node's backward function and hands on what it returns."""
        if type(dys) is SliceGrad:
            dys = dys.dense()
        elif node.outputs > 1:
            for index in range(node.outputs):
                if type(dys[index]) is SliceGrad:
                    dys[index] = dys[index].dense()
        if node.hooks is not None:
            dys = run_node_hooks(node, dys)
        if self.wanted is not None:
            for index in range(node.outputs):
                if (id(node), index) in self.wanted:
                    self.wanted[(id(node), index)] = dys[index] if node.outputs > 1 else dys
        if node.saved_arrays is None:
            raise _freed(node)
        node.last = not self.retain_graph
        dxs = node.backward(node, *dys) if node.outputs > 1 else node.backward(node, dys)
        if not self.retain_graph:
            node.saved_arrays = None
        targets = node.targets
        count = len(targets)
        if len(dxs) != count:
            raise RuntimeError(f"{node.name}: backward returned {len(dxs)} gradients for {count} inputs")
        if _watched:
            _anomaly.checked(node, dxs)
        for i in range(count):
            dx = dxs[i]
            target = targets[i]
            if target is None or dx is None:
                continue
            if not isinstance(dx, ndarray) and isinstance(dx, generic):
                dx = np.asarray(dx)  # numpy's answer where all operands have no axes
            owned = (dx is not dys or node.over) and getattr(dx, "base", None) is None
            if owned and count > 1:
                for j in range(count):
                    if j != i and dxs[j] is dx:
                        owned = False
            if owned and node.outputs > 1 and any([dx is dy for dy in dys]):
                owned = False
            self.deliver(target, dx, owned)

    def deliver(self, target, g, owned):
        """Hands gradient g to a target. owned: nobody else refers to g, it may be kept and changed."""
        if isinstance(target, Tensor):
            self.deliver_to_leaf(target, g, owned)
            return
        index = 0
        if isinstance(target, Output):
            index = target.index
            target = target.node
        node = target
        if self.node is node:
            self.dys = _met(node, index, self.dys, g, owned)
        elif self.node is None and not self.queue:
            self.node = node
            self.dys = _met(node, index, None, g, owned)
        else:
            if self.node is not None:
                self.wait(self.node, self.dys)
                self.node = self.dys = None
            if node in self.pending:
                self.pending[node] = _met(node, index, self.pending[node], g, owned)
            else:
                self.wait(node, _met(node, index, None, g, owned))

    def wait(self, node, dys):
        if self.queue is None:
            self.queue, self.pending = [], {}
        heappush(self.queue, (-node.order, node))
        self.pending[node] = dys

    def deliver_to_leaf(self, leaf, g, owned):
        if type(g) is SliceGrad and (leaf.hooks or self.wanted is not None):
            g = g.dense()
        if self.wanted is not None:
            key = (id(leaf), 0)
            if key in self.wanted:
                before = self.wanted[key]
                self.wanted[key] = g if before is None else added(before, g)
        elif leaf.hooks:  # they get the whole gradient, which is there when the walk ends
            if self.hooked is None:
                self.hooked = {}
            self.hooked[leaf] = added(self.hooked[leaf], g) if leaf in self.hooked else g
        else:
            accumulate(leaf, g, owned)


def _met(node, index, dys, g, owned):
    """The gradients of a node's outputs when g arrives for output `index`."""
    if node.outputs == 1:
        return g if dys is None else added(dys, g, owned)
    if dys is None:
        dys = [None] * node.outputs
    dys[index] = g if dys[index] is None else added(dys[index], g, owned)
    return dys


def added(a, b, owned=False):
    """a + b, each an array, a SliceGrad or sparse rows: in b where that is owned and lies as a, or in a SliceGrad."""
    if type(a) is SliceGrad:
        if type(b) is SliceGrad or isinstance(b, ndarray):
            a.add(b, owned)
            return a
        a = a.dense()
    elif type(b) is SliceGrad:
        if isinstance(a, ndarray):
            b.add(a, False)
            return b
        b = b.dense()
    if not isinstance(a, ndarray):
        return a.added(b)
    if not isinstance(b, ndarray):
        return b.added(a)
    out = b if owned and alike(a, b) and a.strides == b.strides else empty_like(a)
    K.add(out, a, b)
    return out


def accumulate(leaf, g, owned):
    """leaf.grad += g, the only place where gradients are accumulated."""
    before = leaf._grad
    if type(g) is SliceGrad:
        if isinstance(before, Tensor) and before.array.shape == g.shape and before.array.dtype == g.dtype:
            held = before
            g.onto(held.array)
            if held.version is not None:
                held.version.value += 1
            return
        g = g.dense()
    if before is None:
        if not isinstance(g, ndarray):
            leaf._grad = g
            return
        if not owned:
            g = copy(g)
        leaf._grad = wrap(g)
    elif isinstance(before, Tensor) and isinstance(g, ndarray):
        held = before
        if not alike(held.array, g):
            raise RuntimeError(
                f"backward: .grad has shape {held.array.shape} and dtype {held.array.dtype}, "
                f"what is to be added {g.shape} and {g.dtype}"
            )
        K.add(held.array, held.array, g)
        if held.version is not None:
            held.version.value += 1
    else:
        total = added(before.array if isinstance(before, Tensor) else before, g)
        leaf._grad = wrap(total) if isinstance(total, ndarray) else total


# These need the tape above.
from . import _function as function  # noqa: E402
from ._function import Function, Variable  # noqa: E402
from ._grad import grad  # noqa: E402
from ._gradcheck import gradcheck  # noqa: E402
