"""Module: a function with parameters, buffers and other modules inside.

A module's members are ordinary attributes: `self.weight` finds a parameter where Python finds
everything else, in the instance's __dict__, so reading one costs what any attribute costs. What
a member is (parameter, buffer, module) stands in one dict, `_kinds`, in the order of registration;
`_parameters`, `_buffers` and `_modules` are live views of the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ..autograd import Handle
from ..ops.create import empty_like
from ..tensor import Tensor
from . import _hooks, _state
from ._members import BUFFER, MODULE, NOUN, PARAMETER, TRANSIENT, Members
from ._naming import described, refuse_input, take_name
from .parameter import Buffer, Parameter, convert, is_lazy

_NOTHING = MappingProxyType({})
structure = 0  # grows with every change that what a container knows of the modules inside it must not outlive
changes = 0  # grows with every attribute of a module that is set: what was found out of modules stays right while it is the same


def _restructured():
    global structure
    structure += 1


def _changed():
    global changes
    changes += 1


class Module:
    """Base class of all layers and models: subclass it, assign members in __init__, define forward.

        class Perceptron(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(4, 8)
                self.out = nn.Linear(8, 1)

            def forward(self, x):
                return self.out(F.relu(self.hidden(x)))

    Attributes: `training` (set by train() and eval()), and whatever was assigned. A Parameter or a
    Module that is assigned is registered: parameters(), state_dict(), to() and train() then know it.
    """

    training: bool = True
    _kinds: Mapping[str, int] = _NOTHING
    _hooks: _hooks.Hooks | None = None
    _load_hooks_before: Mapping[int, Callable] = _NOTHING
    _load_hooks_after: Mapping[int, Callable] = _NOTHING
    _save_hooks: Mapping[int, Callable] = _NOTHING
    _save_hooks_before: Mapping[int, Callable] = _NOTHING

    def __init__(self) -> None:
        if "_kinds" not in self.__dict__:
            self.__dict__["_kinds"] = {}
            self.__dict__["training"] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__name__[0] != "_" and cls.__module__.startswith("nnrt."):
            take_name(cls)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it. Call the module, not this."""
        raise NotImplementedError(
            f'Module [{type(self).__name__}] is missing the required "forward" function'
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """forward, with the hooks around it."""
        try:
            if self._hooks is None:
                return self.forward(*args, **kwargs) if kwargs else self.forward(*args)
            return _hooks.call(self, args, kwargs)
        except AttributeError as error:
            refuse_input(self, args, error)
            raise

    # registration

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._register(name, value, PARAMETER)
            return
        if isinstance(value, Module):
            self._register(name, value, MODULE)
            return
        if isinstance(value, Buffer):
            self._register(name, value, BUFFER if value.persistent else TRANSIENT)
            return
        kind = self._kinds.get(name)
        if kind is None:
            object.__setattr__(self, name, value)
            if name == "forward" or name == "__class__":
                _restructured()
            _changed()
            return
        if kind == MODULE:
            _restructured()
        if value is not None and (kind in (PARAMETER, MODULE) or not isinstance(value, Tensor)):
            wanted = {PARAMETER: "nn.Parameter", MODULE: "nn.Module"}.get(kind, "Tensor")
            raise TypeError(
                f"cannot assign {type(value).__name__!r} as {NOUN[kind]} {name!r} (wants {wanted} or None)"
            )
        self.__dict__[name] = value
        _changed()

    def _register(self, name, value, kind):
        kinds = self._kinds
        if kinds is _NOTHING:
            raise AttributeError(f"cannot assign {NOUN[kind]}s before Module.__init__() call")
        if kinds.get(name, kind) != kind:
            del kinds[name]
        kinds[name] = kind
        self.__dict__[name] = value
        _changed()
        if kind == MODULE:
            _restructured()

    def _check_name(self, op, name, kind):
        if self._kinds is _NOTHING:
            raise AttributeError(f"cannot assign {NOUN[kind]} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{op}: name must be a string, got {type(name).__name__}")
        if "." in name or not name:
            raise KeyError(f'{op}: name must be neither empty nor contain ".", got {name!r}')
        if hasattr(self, name) and NOUN.get(self._kinds.get(name)) != NOUN[kind]:
            raise KeyError(f"{op}: attribute {name!r} already exists")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Registers a parameter under a name, or None: a parameter that this module does without."""
        self._check_name("register_parameter", name, PARAMETER)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"register_parameter: {name!r} must be an nn.Parameter or None, got {type(param).__name__}"
            )
        self._register(name, param, PARAMETER)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Registers a tensor that is not trained, such as a running mean.

        persistent: whether state_dict holds it.
        """
        kind = BUFFER if persistent else TRANSIENT
        self._check_name("register_buffer", name, kind)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"register_buffer: {name!r} must be a Tensor or None, got {type(tensor).__name__}"
            )
        self._kinds[name] = kind
        self.__dict__[name] = tensor
        _changed()

    def add_module(self, name: str, module: Module | None) -> None:
        """Registers a module under a name (which may be one that no attribute could have, such as "0")."""
        self._check_name("add_module", name, MODULE)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module: {name!r} must be an nn.Module or None, got {type(module).__name__}")
        self._register(name, module, MODULE)

    def register_module(self, name: str, module: Module | None) -> None:
        """add_module under its other name."""
        self.add_module(name, module)

    def __delattr__(self, name: str) -> None:
        if name in self._kinds:
            del self._kinds[name]
            del self.__dict__[name]
        else:
            object.__delattr__(self, name)
        _restructured()
        _changed()

    def __dir__(self) -> list[str]:
        return [name for name in object.__dir__(self) if not name[:1].isdigit()]

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles get: registrations of their own, and no tensor's place on the tape."""
        state = self.__dict__.copy()
        if "_kinds" in state:
            state["_kinds"] = state["_kinds"].copy()
        for name, value in state.items():
            if isinstance(value, Tensor) and not value.is_leaf:
                state[name] = value.detach()
        return state

    @property
    def _parameters(self) -> MutableMapping[str, Parameter | None]:
        return Members(self, (PARAMETER,))

    @property
    def _buffers(self) -> MutableMapping[str, Tensor | None]:
        return Members(self, (BUFFER, TRANSIENT))

    @property
    def _modules(self) -> MutableMapping[str, Module | None]:
        return Members(self, (MODULE,))

    # traversal

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module and all inside it, parents first, each module once."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, child in self._children_with_names():
            yield from child.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all inside it, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def _children_with_names(self) -> list[tuple[str, Module]]:
        """(name, module) of the modules directly inside, one that is used twice twice."""
        members = self.__dict__
        return [(n, members[n]) for n, k in self._kinds.items() if k == MODULE and members[n] is not None]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly inside, each once."""
        seen = set()
        for name, child in self._children_with_names():
            if child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once."""
        for _, child in self.named_children():
            yield child

    def _named_tensors(self, kinds, prefix, recurse, remove_duplicate):
        seen = set()
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        else:
            modules = [(prefix, self)]
        for path, module in modules:
            for name, kind in module._kinds.items():
                if kind not in kinds:
                    continue
                value = module.__dict__[name]
                if value is None or (remove_duplicate and id(value) in seen):
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of this module and, with recurse, of all inside it; a shared one once."""
        yield from self._named_tensors((PARAMETER,), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module and, with recurse, of all inside it, each once."""
        for _, parameter in self._named_tensors((PARAMETER,), "", recurse, True):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer), as named_parameters."""
        yield from self._named_tensors((BUFFER, TRANSIENT), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers of this module and, with recurse, of all inside it, each once."""
        for _, buffer in self._named_tensors((BUFFER, TRANSIENT), "", recurse, True):
            yield buffer

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; "" is this one. AttributeError says where the path ends."""
        module = self
        for name in target.split(".") if target else ():
            if module._kinds.get(name) != MODULE or module.__dict__[name] is None:
                raise AttributeError(
                    f"get_submodule({target!r}): {type(module).__name__} has no module {name!r}"
                )
            module = module.__dict__[name]
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replaces the module at a dotted path, or, unless strict, adds one to the module before the last dot."""
        path, _, name = target.rpartition(".")
        if not name:
            raise ValueError("set_submodule: the path must not be empty")
        if not isinstance(module, Module):
            raise TypeError(f"set_submodule: wants an nn.Module, got {type(module).__name__}")
        if strict:
            self.get_submodule(target)  # raises where there is none
        self.get_submodule(path).add_module(name, module)

    def _get_tensor(self, op, target, kinds):
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if module._kinds.get(name) not in kinds:
            raise AttributeError(
                f"{op}({target!r}): {type(module).__name__} has no {NOUN[kinds[0]]} {name!r}"
            )
        return module.__dict__[name]

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted path; AttributeError where there is none."""
        return self._get_tensor("get_parameter", target, (PARAMETER,))

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a dotted path; AttributeError where there is none."""
        return self._get_tensor("get_buffer", target, (BUFFER, TRANSIENT))

    def apply(self, fn: Callable[[Module], Any]) -> Module:
        """Calls fn on every module, children before parents, and returns self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # changing everything inside

    def train(self, mode: bool = True) -> Module:
        """Sets `training` here and in all modules inside; returns self."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: mode must be a bool, got {type(mode).__name__}")
        self.training = mode
        for child in self.children():
            child.train(mode)
        return self

    def eval(self) -> Module:
        """train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freezes the parameters, or trains them again; returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forgets the parameters' gradients, or overwrites them with zeros."""
        for parameter in self.parameters():
            grad = parameter.grad
            if grad is None:
                continue
            if set_to_none or not isinstance(grad, Tensor):
                parameter.grad = None
            else:
                grad.detach_()
                grad.zero_()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Module:
        """Replaces the memory of each parameter, gradient and buffer by fn of it; shared ones stay shared."""
        for parameter in self.parameters(recurse):
            for t in (parameter, parameter.grad):
                if is_lazy(t):
                    convert(t, fn)
                elif isinstance(t, Tensor):
                    made = fn(t.detach())
                    if made.array is not t.array:  # the tape need not hear of what is as it was
                        t.data = made
        made = {}
        for module in self.modules() if recurse else (self,):
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    if id(buffer) not in made:
                        made[id(buffer)] = convert(buffer, fn) if is_lazy(buffer) else fn(buffer)
                    module.__dict__[name] = made[id(buffer)]
        _changed()
        return self

    def to(self, *args: Any, **kwargs: Any) -> Module:
        """Converts floating parameters and buffers: to(dtype), to(device) or to(tensor); returns self.

        Takes what Tensor.to takes; TypeError for a dtype that is not floating. memory_format=channels_last
        (or channels_last_3d) is for those of 4 (or 5) dimensions.
        """
        axes = {"channels_last": 4, "channels_last_3d": 5}.get(kwargs.get("memory_format"))
        plain = {**kwargs, "memory_format": None} if axes else kwargs
        like = [a.dtype for a in args if isinstance(a, Tensor)]
        for wanted in (*args, *like, kwargs.get("dtype")):
            if isinstance(wanted, (np.dtype, type)) and np.dtype(wanted).kind != "f":
                raise TypeError(
                    f"to: a module's parameters can only be of a floating dtype, got {np.dtype(wanted)}"
                )
        return self._apply(lambda t: t.to(*args, **(kwargs if t.ndim == axes else plain)) if t.is_floating_point() else t)

    def float(self) -> Module:
        """to(float32)."""
        return self.to(np.float32)

    def double(self) -> Module:
        """to(float64)."""
        return self.to(np.float64)

    def half(self) -> Module:
        """to(float16), to store: few ops compute in it."""
        return self.to(np.float16)

    def to_empty(self, *, device: Any = "cpu", recurse: bool = True) -> Module:
        """New memory, of any values, for every parameter and buffer, without recurse for the module's own alone; returns self."""
        return self._apply(lambda t: empty_like(t, device=device), recurse)

    def cpu(self) -> Module:
        """self: everything is here already."""
        return self

    def cuda(self, device: Any = None) -> Module:
        """to("cuda"), which raises RuntimeError: there is the CPU only."""
        return self.to("cuda")

    def type(self, dst_type: Any) -> Module:
        """to(dst_type)."""
        return self.to(dst_type)

    # state

    def state_dict(
        self, *, destination: dict | None = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Dotted name -> tensor, of all parameters and persistent buffers, under torch's names.

        The tensors share the module's memory and are off the tape; keep_vars gives the parameters
        themselves. A shared tensor is listed under each of its names.
        """
        destination = {} if destination is None else destination
        for hook in list(self._save_hooks_before.values()):
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._children_with_names():
            child.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook in list(self._save_hooks.values()):
            hook(self, destination, prefix, {})
        return destination

    def _own_state(self) -> list[tuple[str, Tensor | None]]:
        """(name, tensor) of what this module itself saves: parameters first, then buffers."""
        of = [
            [(n, self.__dict__[n]) for n, k in self._kinds.items() if k == kind]
            for kind in (PARAMETER, BUFFER)
        ]
        return of[0] + of[1]

    def _save_to_state_dict(self, destination: dict, prefix: str, keep_vars: bool) -> None:
        """Puts this module's own tensors into destination; to be extended by modules with more state."""
        for name, value in self._own_state():
            if value is not None:
                destination[prefix + name] = value if keep_vars or is_lazy(value) else value.detach()
        extra = getattr(self, "get_extra_state", None)
        if extra is not None:
            destination[prefix + _state.EXTRA_STATE] = extra()

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _state.IncompatibleKeys:
        """Copies the values of state_dict into the parameters and buffers of the same names.

        Values are Tensors, numpy arrays, torch tensors, or anything with __array__. assign: take the
        given tensors themselves instead of copying. Returns (missing_keys, unexpected_keys), which
        only strict=False allows. Every missing and unexpected name and every wrong shape or dtype is
        listed in one RuntimeError, and then nothing was changed.
        """
        return _state.load_state_dict(self, state_dict, strict, assign)

    def _load_from_state_dict(
        self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs
    ) -> None:
        """Looks up this module's own names (prefix + name) in state_dict, which it may change.

        Override it to read older layouts: rename in state_dict, then call super's. What is found is
        copied later, when no module has reported anything wrong.
        """
        own = self._own_state()
        _state.load_own(self, own, state_dict, prefix, missing_keys, unexpected_keys, error_msgs)
        put = getattr(self, "set_extra_state", None)
        key = prefix + _state.EXTRA_STATE
        if put is not None and key in state_dict:
            state_dict.pending.append((put, (state_dict[key],)))
        elif put is not None:
            missing_keys.append(key)
        elif key in state_dict:
            unexpected_keys.append(key)

    # hooks

    def _hooks_for_change(self):
        if self._hooks is None:
            self.__dict__["_hooks"] = _hooks.Hooks()
            _restructured()
        _changed()
        return self._hooks

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> Handle:
        """Calls hook(module, args) before forward; what it returns replaces args.

        with_kwargs: hook(module, args, kwargs) -> None or (args, kwargs). Returns a handle with remove().
        """
        return _hooks.register(self._hooks_for_change().before, hook, with_kwargs, prepend)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Handle:
        """Calls hook(module, args, output) after forward; what it returns replaces the output.

        with_kwargs: hook(module, args, kwargs, output). always_call: also when forward raises.
        """
        return _hooks.register(self._hooks_for_change().after, hook, (with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Calls hook(module, grad_output) before the module's backward; its result replaces grad_output."""
        return _hooks.register(self._hooks_for_change().backward_before, hook, None, prepend)

    def register_full_backward_hook(self, hook: Callable, prepend: bool = False) -> Handle:
        """Calls hook(module, grad_input, grad_output) after the module's backward.

        The gradients are tuples, one entry for each positional argument and output, None where there
        is none; a tuple that the hook returns replaces grad_input.
        """
        return _hooks.register(self._hooks_for_change().backward_after, hook, None, prepend)

    def _register_state_hook(self, name, hook):
        return Handle(self.__dict__.setdefault(name, {}), hook)

    def register_state_dict_pre_hook(self, hook: Callable) -> Handle:
        """Calls hook(module, prefix, keep_vars) before state_dict() looks at this module."""
        return self._register_state_hook("_save_hooks_before", hook)

    def register_state_dict_post_hook(self, hook: Callable) -> Handle:
        """Calls hook(module, state_dict, prefix, local_metadata) at the end of state_dict()."""
        return self._register_state_hook("_save_hooks", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable) -> Handle:
        """Calls hook(module, state_dict, prefix, {}, strict, missing, unexpected, errors) at the start."""
        return self._register_state_hook("_load_hooks_before", hook)

    def register_load_state_dict_post_hook(self, hook: Callable) -> Handle:
        """Calls hook(module, incompatible_keys) after everything was loaded."""
        return self._register_state_hook("_load_hooks_after", hook)

    # text, counting

    def macs(self, input_shapes: tuple, output_shape: Any) -> int:
        """Multiply-accumulate operations of one call, modules inside apart; nnrt.summary adds them up.

        input_shapes: one shape per tensor argument; output_shape: a shape or a tuple of shapes.
        """
        return 0

    def window(self) -> tuple | None:
        """(kernel_size, stride, dilation) of what this layer slides over its input, each a number or a tuple; else None.

        nnrt.summary works out receptive fields from it.
        """
        return None

    def _get_name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        """What stands between the parentheses of the module's line; subclasses define it."""
        return ""

    def __repr__(self) -> str:
        return described(self, [(n, repr(m)) for n, m in self._modules.items()])
