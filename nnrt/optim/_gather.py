"""From parameters with gradients to the lists of arrays that a fused kernel takes.

Compiled where the extension is, since it runs once per parameter and step. Nothing is kept
between steps: reading the pointers again costs less than finding out whether they changed.
"""

from .. import memory, registry
from ..tensor import Tensor, wrap

K = registry.family("optim")


class Batch:
    """Parameters that one kernel call updates: of one dtype, updated equally often.

    params, grads: lists of arrays; slots: one list of state arrays per name; states: the parameters'
    state dicts; step: the number of this step, from 1, or where steps are not counted 1 if a slot is
    new, else 0; rest: the other number that the parameters share, or None; stores: (parameter, copy)
    where the kernel works on a copy.
    """

    def __init__(self, step, rest, count):
        self.step = step
        self.rest = rest
        self.tensors = []
        self.states = []
        self.params = []
        self.grads = []
        self.slots = [[] for _ in range(count)]
        self.stores = None


def update_all(optimizer):
    """One step: gathers every group, then updates them, so that an error finds nothing changed."""
    work = []
    key = optimizer._key
    for group in optimizer.param_groups:
        batches, sparse = gather(optimizer, group, optimizer._slots(group), key)
        work.append((group, batches, sparse))
    for group, batches, sparse in work:
        for batch in batches:
            optimizer._update(group, batch)
            finish(batch)
        for update in sparse:
            update()


def gather(optimizer, group, names, key):
    """The group's parameters that have dense gradients as a list of Batch; the state made where missing.

    names: the state arrays the kernel takes. key: name of a number in the state that all parameters
    of a batch must share, as they share the step, or None. Row-sparse gradients are left to
    `optimizer._sparse(p, gradient, group)`, called here, whose results, functions to be called when all
    groups were found right, come second. Raises before any step has been made.
    """
    batches = []
    sparse = []
    last = None
    stateless = not names and not optimizer._counted
    everything = optimizer.state
    state = None
    step = 1
    rest = None
    for p in group["params"]:
        g = p.grad
        if g is None:
            continue
        if not isinstance(g, Tensor):
            sparse.append(optimizer._sparse(p, g, group))
            continue
        if not stateless:
            state = everything[p]
            if not state:
                state.update(optimizer._new_state(p, group))
            step = state["step"] + 1 if "step" in state else 0
            for name in names:
                if state.get(name) is None:
                    state[name] = optimizer._new_slot(name, p, group)
                    if step == 0:
                        step = 1
            if key is not None:
                rest = state[key]
        if last is None or last.step != step or (key is not None and last.rest != rest):
            last = _batch(batches, step, rest, names)
        last.tensors.append(p)
        last.states.append(state)
        last.params.append(p.array)
        dense = g
        last.grads.append(dense.array)
        i = 0
        for name in names:
            t = state[name]
            arrays = last.slots[i]
            arrays.append(t.array)
            i += 1
    for b in batches:
        if not K.matching(b.params, b.grads, *b.slots):
            return _aligned(optimizer, batches, names), sparse
    return batches, sparse


def _batch(batches, step, rest, names):
    """The batch for a step and key, a new one if need be."""
    for b in batches:
        if b.step == step and b.rest == rest:
            return b
    made = Batch(step, rest, len(names))
    batches.append(made)
    return made


def finish(batch):
    """Notes a step that was made: the counts, the versions, and parameters whose memory has gaps."""
    if batch.stores is not None:
        for target, source in batch.stores:
            target[...] = source
    step = batch.step
    for state in batch.states:
        if state is not None and "step" in state:
            state["step"] = step
    for t in batch.tensors:
        version = t.version
        if version is not None:
            version.value += 1


def _aligned(optimizer, batches, names):
    """The batches again, cut by dtype, with every array in its parameter's dense memory order."""
    made = []
    for b in batches:
        of_dtype = {}
        for i, (t, state, p, g) in enumerate(zip(b.tensors, b.states, b.params, b.grads)):
            _check(optimizer, "gradient", p, g)
            for name, arrays in zip(names, b.slots):
                _check(optimizer, name, p, arrays[i], False)
            if p.dtype not in of_dtype:
                of_dtype[p.dtype] = Batch(b.step, b.rest, len(names))
                made.append(of_dtype[p.dtype])
            part = of_dtype[p.dtype]
            part.tensors.append(t)
            part.states.append(state)
            work = memory.dense(p)
            if work is not p:
                part.stores = part.stores or []
                part.stores.append((p, work))
            part.params.append(work)
            part.grads.append(_like(g, work))
            for name, arrays, slot in zip(names, b.slots, part.slots):
                held = _like(arrays[i], work)
                if held is not arrays[i]:
                    state[name] = wrap(held)
                slot.append(held)
    return made


def _check(optimizer, what, p, a, dtype=True):
    if a.shape != p.shape or (dtype and a.dtype != p.dtype):
        raise RuntimeError(
            f"{type(optimizer).__name__}: a parameter of shape {p.shape} and dtype {p.dtype} has a "
            f"{what} of shape {a.shape} and dtype {a.dtype}"
        )
    if p.dtype.kind != "f" or p.dtype.itemsize < 4:
        name = type(optimizer).__name__
        raise TypeError(f"{name}: parameters must be float32 or float64, one is {p.dtype}")


def _like(a, p):
    """a in p's dtype and memory order; itself when it has them."""
    if a.strides == p.strides and a.dtype == p.dtype and a.flags.aligned:
        return a
    copy = memory.empty_like(p)
    copy[...] = a
    return copy
