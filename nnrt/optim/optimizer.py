"""Optimizer: parameter groups, state, checkpoints. The rules are in the files beside this one.

A subclass with a fused kernel names its state arrays (`_slots`), makes what does not begin as
zeros (`_new_slot`) and calls its kernel on a batch (`_update`). A subclass that defines `step`
itself, over `self.param_groups` and `self.state`, works as in torch.
"""

from collections import defaultdict
from itertools import count

import numpy as np

from .. import memory
from ..autograd import Handle, enable_grad
from ..nn.parameter import is_lazy
from ..tensor import Tensor, bump, wrap
from ._gather import update_all


class Optimizer:
    """Base class: `Optimizer(params, defaults)`.

    params: iterable of Tensors, of (name, Tensor) pairs, or of dicts with the key "params" and options
    of their own; defaults: dict of the options of groups that do not set them.

    Attributes: `param_groups` (list of dicts: "params" and the options), `state` (dict of dicts by
    parameter), `defaults`.

    Raises TypeError for what is not a Tensor, ValueError for an empty list, a tensor that is not a
    leaf, or a parameter that comes twice.
    """

    # Numbers in the state, beside "step", that torch keeps as tensors.
    _numbers = ()
    # The number, beside the step, that parameters updated by one kernel call share.
    _key = None
    # Whether the state holds "step", the count of updates: a number here, a tensor in state_dict().
    _counted = False

    def __init__(self, params, defaults):
        if isinstance(params, Tensor):
            raise TypeError(f"{self._name}: params must be an iterable of Tensors or dicts, got one Tensor")
        module = hasattr(params, "parameters")
        if module or not hasattr(params, "__iter__"):
            hint = "; pass its parameters()" if module else ""
            raise TypeError(f"{self._name}: params must be an iterable of Tensors or dicts, got {type(params).__name__}{hint}")
        self.defaults = defaults
        self.state = defaultdict(dict)
        self.param_groups = []
        self._before_step = {}
        self._after_step = {}
        self._stepped = False
        groups = list(params)
        if not groups:
            raise ValueError(f"{self._name}: the list of parameters is empty")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    @property
    def _name(self):
        return type(self).__name__

    def add_param_group(self, param_group):
        """Adds a dict with the key "params" (a Tensor, or an iterable as in the constructor) and options."""
        if not isinstance(param_group, dict):
            kind = type(param_group).__name__
            raise TypeError(f"{self._name}: a parameter group must be a dict, got {kind}")
        group = dict(param_group)
        params = group["params"]
        if isinstance(params, Tensor):
            params = [params]
        elif isinstance(params, set):
            raise TypeError(f"{self._name}: parameters need an order that stays, a set has none: pass a list")
        params = list(params)
        named = [isinstance(p, tuple) for p in params]
        if any(named):
            if not all(named):
                raise ValueError(f"{self._name}: either all parameters of a group have names or none has")
            group["param_names"] = [name for name, _ in params]
            params = [p for _, p in params]
        if self.param_groups and ("param_names" in self.param_groups[0]) != ("param_names" in group):
            raise ValueError(f"{self._name}: either all groups have parameter names or none has")
        for i, p in enumerate(params):
            if not isinstance(p, Tensor):
                raise TypeError(f"{self._name}: params[{i}] must be a Tensor, got {type(p).__name__}")
            if not p.is_leaf:
                raise ValueError(f"{self._name}: params[{i}] is the result of an op, not a leaf")
            if not is_lazy(p) and not p.array.flags.writeable:
                raise ValueError(f"{self._name}: params[{i}] has read-only memory (expanded, or lent by an array): clone() it")
        seen = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            if id(p) in seen:
                raise ValueError(f"{self._name}: params[{i}] of shape {p.shape} was given before")
            seen.add(id(p))
        group["params"] = params
        for name, value in self.defaults.items():
            group.setdefault(name, value)
        if isinstance(group.get("lr"), Tensor):
            group["lr"] = group["lr"].item()
        self.param_groups.append(group)

    def zero_grad(self, set_to_none=True):
        """Drops the gradients of all parameters, or fills them with 0."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or not isinstance(p.grad, Tensor):
                    p.grad = None
                else:
                    p.grad = p.grad.detach() if p.grad.requires_grad else p.grad
                    p.grad.array.fill(0)
                    bump(p.grad)

    # one step

    def step(self, closure=None):
        """Updates every parameter that has a gradient.

        closure: function that computes the loss and the gradients anew; what it returns is returned.
        Raises RuntimeError, with no parameter changed, for a gradient of another shape or dtype than
        its parameter, and for row-sparse gradients where the rule has no sparse form.
        """
        if self._before_step:
            closure = self._run_before(closure)
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        update_all(self)
        self._stepped = True
        if self._after_step:
            for hook in list(self._after_step.values()):
                hook(self, (closure,), {})
        return loss

    def _run_before(self, closure):
        for hook in list(self._before_step.values()):
            changed = hook(self, (closure,), {})
            if changed is not None:
                args, kwargs = changed
                closure = kwargs.get("closure", args[0] if args else None)
        return closure

    def _slots(self, group):
        """Names of the state arrays, in the order of the kernel's lists."""
        raise NotImplementedError(f"{self._name}: a subclass of Optimizer must define step()")

    def _new_state(self, p, group):
        """What the state of a parameter begins with, the slots apart."""
        return {"step": 0} if self._counted else {}

    def _state_of(self, p, group):
        """The state of a parameter, begun if it is new."""
        state = self.state[p]
        if not state:
            state.update(self._new_state(p, group))
        return state

    def _new_slot(self, name, p, group):
        """A state array at its beginning: zeros in the parameter's memory order."""
        array = memory.empty_like(memory.dense(p.array))
        array.fill(0)
        return wrap(array)

    def _sparse(self, p, gradient, group):
        """A function that updates p by a row-sparse gradient."""
        raise RuntimeError(
            f"{self._name}: a parameter of shape {p.shape} has a row-sparse gradient; "
            "SparseAdam, SGD and Adagrad take those"
        )

    def register_step_pre_hook(self, hook):
        """Calls hook(optimizer, args, kwargs) before each step; returns a handle with remove().

        args is (closure,); the hook may return new (args, kwargs).
        """
        return Handle(self._before_step, hook)

    def register_step_post_hook(self, hook):
        """Calls hook(optimizer, args, kwargs) after each step; returns a handle with remove()."""
        return Handle(self._after_step, hook)

    # checkpoints

    def state_dict(self):
        """{"state": {index: {...}}, "param_groups": [{..., "params": [index, ...]}]}, as in torch.

        Indices number the parameters over all groups. Arrays are the optimiser's own, not copies;
        "step" is a tensor of one number, as torch has it.
        """
        index = dict(zip((id(p) for g in self.param_groups for p in g["params"]), count()))
        groups = []
        for group in self.param_groups:
            packed = {k: v for k, v in group.items() if k != "params"}
            packed["params"] = [index[id(p)] for p in group["params"]]
            groups.append(packed)
        state = {}
        for p, values in self.state.items():
            key = index.get(id(p), p) if isinstance(p, Tensor) else p
            if isinstance(values, dict):
                values = {k: self._pack(k, v) for k, v in values.items()}
            state[key] = values
        return {"state": state, "param_groups": groups}

    def _pack(self, key, value):
        if key == "step" and self._counted:
            exact = np.float32 if value <= 1 << 24 else np.float64
            return wrap(np.array(value, exact))
        return wrap(np.array(value, np.float64)) if key in self._numbers else value

    def load_state_dict(self, state_dict):
        """Takes over the options and a copy of the state of a state_dict(), of nnrt or torch.

        Tensors of either library, and numpy arrays, come in the parameter's dtype. Raises ValueError,
        with nothing changed, when the groups or their sizes differ.
        """
        if not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(f"{self._name}.load_state_dict: wants the keys state and param_groups, got {list(state_dict)}")
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise ValueError(
                f"{self._name}.load_state_dict: {len(saved)} parameter groups, this optimiser has "
                f"{len(self.param_groups)}"
            )
        params = {}
        groups = []
        for i, (group, new) in enumerate(zip(self.param_groups, saved)):
            if len(new["params"]) != len(group["params"]):
                raise ValueError(
                    f"{self._name}.load_state_dict: group {i} has {len(new['params'])} parameters, this "
                    f"optimiser's has {len(group['params'])}"
                )
            params.update(zip(new["params"], group["params"]))
            merged = {**self.defaults, **{k: _plain(v) for k, v in new.items()}, "params": group["params"]}
            if "param_names" in group:
                merged.setdefault("param_names", group["param_names"])
            groups.append(merged)
        state = defaultdict(dict)
        for key, values in state_dict["state"].items():
            if key in params:
                p = params[key]
                state[p] = {k: self._unpack(k, v, p) for k, v in values.items()}
            else:
                state[key] = values
        self.param_groups = groups
        self.state = state
        self._stepped = self._stepped or bool(state)

    def _unpack(self, key, value, p):
        """A loaded value as the state holds it."""
        if key == "step" and self._counted:
            return int(value)
        if key in self._numbers:
            return float(value)
        if isinstance(value, (list, tuple)):
            return type(value)(self._unpack(key, v, p) for v in value)
        if not hasattr(value, "__array__"):
            return value
        source = value.array if isinstance(value, Tensor) else np.asarray(value)
        dtype = p.array.dtype if source.dtype.kind == "f" and p.array.dtype.kind == "f" else source.dtype
        if source.shape == p.array.shape and dtype == p.array.dtype:
            array = memory.empty_like(memory.dense(p.array))
        else:
            array = memory.empty(source.shape, dtype)
        array[...] = source
        return wrap(array)

    def __getstate__(self):
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self.__dict__.setdefault("_before_step", {})
        self.__dict__.setdefault("_after_step", {})
        self.__dict__.setdefault("_stepped", False)

    def __repr__(self):
        lines = [f"{self._name} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {k}: {group[k]}" for k in sorted(group) if k not in ("params", "param_names")]
        return "\n".join([*lines, ")"])


class Counted(Optimizer):
    """Base class of the rules whose state counts the updates of each parameter."""

    _counted = True


def _plain(value):
    """A tensor of one number among the options as that number."""
    return value.item() if hasattr(value, "item") else value


# Checks of arguments that several rules share.


def check(name, **options):
    """Raises ValueError unless every given option is in its range, which its name decides."""
    for option, value in options.items():
        if isinstance(value, Tensor) and value.array.size != 1:
            raise ValueError(f"{name}: {option} must be one number, got a tensor of shape {value.shape}")
        try:
            if option == "betas":
                first, second = value
                for i, beta in enumerate((first, second)):
                    if not 0.0 <= beta < 1.0:
                        raise ValueError(f"{name}: betas[{i}] must be in [0, 1), got {beta}")
            elif option == "rho":
                if not 0.0 <= value <= 1.0:
                    raise ValueError(f"{name}: rho must be in [0, 1], got {value}")
            elif not value >= 0.0:
                raise ValueError(f"{name}: {option} must be at least 0, got {value}")
        except TypeError:
            wanted = "two numbers" if option == "betas" else "a number"
            raise TypeError(f"{name}: {option} must be {wanted}, got {value!r}") from None


def implementation(name, foreach=None, fused=None, capturable=False, differentiable=False):
    """torch's choices of implementation as group options.

    nnrt has one implementation, fused over all parameters, so foreach and fused change nothing.
    Raises RuntimeError where one wants what it cannot do.
    """
    if differentiable:
        raise RuntimeError(f"{name}: differentiable=True: steps are not recorded on the tape")
    if capturable:
        raise RuntimeError(f"{name}: capturable=True concerns CUDA graphs, which a CPU does not have")
    if foreach and fused:
        raise RuntimeError(f"{name}: foreach and fused cannot both be True")
