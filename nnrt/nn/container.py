"""Containers: modules and parameters in a row, in a list, in a dict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from ..tensor import Tensor
from . import module as modules
from ._members import MODULE
from ._naming import described
from .fused import altered, grouped, run
from .linear import Identity
from .module import Module
from .parameter import Parameter


class _Row(Module):
    """Modules under the names "0", "1", ...: what Sequential and ModuleList share."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        members = self.__dict__
        return iter([members[name] for name, kind in self._kinds.items() if kind == MODULE])

    def __dir__(self) -> list[str]:
        return [name for name in super().__dir__() if not name.isdigit()]

    def _name_at(self, index, op):
        """The name of the module at an index, counted from the end when negative."""
        length = len(self)
        try:
            place = index.__index__()
        except AttributeError:
            raise TypeError(f"{op}: wants an integer or a slice, got {type(index).__name__}") from None
        if not -length <= place < length:
            raise IndexError(f"{op}: index {place} is out of range for {length} modules")
        return next(islice(self._modules, place % length, None))

    def _rename(self, modules):
        """Replaces all members by these, named in their order."""
        for name in list(self._modules):
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(self._name_at(index, type(self).__name__), module)

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        if not isinstance(index, slice):
            self._name_at(index, type(self).__name__)
        del modules[index]
        self._rename(modules)

    def append(self, module: Module):
        """Adds a module at the end; returns self."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module):
        """Inserts a module before index, those after it move up; returns self."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}.insert: wants an nn.Module, got {type(module).__name__}")
        length = len(self)
        if not -length <= index <= length:
            raise IndexError(
                f"{type(self).__name__}.insert: index {index} is out of range for {length} modules"
            )
        modules = list(self)
        modules.insert(index, module)
        self._rename(modules)
        return self

    def extend(self, modules: Iterable[Module]):
        """Adds modules at the end; returns self."""
        if isinstance(modules, (str, Tensor)) or not isinstance(modules, Iterable):
            raise TypeError(f"{type(self).__name__}.extend: wants modules, got {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, key: int = -1) -> Module:
        """Takes out the module at index key and returns it."""
        module = self[key]
        del self[key]
        return module

    def __iadd__(self, other: Iterable[Module]):
        return self.extend(other)


class Sequential(_Row):
    """Modules applied one after the other: Sequential(a, b)(x) is b(a(x)).

    Takes modules, or one dict name -> module. Indexing gives a module, slicing a Sequential of the
    same modules under the same names.

    Where no gradient is wanted, a convolution with the batch norm (in evaluation mode) and the ReLU, GELU, Tanh, Sigmoid
    or SiLU after it is one op, and so is a Linear with its activation: results are the same up to rounding. Modules with
    hooks are called one by one.
    """

    def __init__(self, *args: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], Mapping):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def forward(self, input: Any) -> Any:
        known = self.__dict__.get("_groups")
        if known is None or known[0] != modules.structure:
            known = self.__dict__["_groups"] = modules.structure, grouped(self._unfolded([]))
        return run(known[1], input)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_groups", None)
        return state

    def _unfolded(self, found):
        """Adds the modules in the order of their calls, those of Sequentials inside too, without identities; returns found."""
        members = self.__dict__
        for name, what in self._kinds.items():
            if what == MODULE:
                module = members[name]
                kind = type(module)
                if kind is Sequential and not altered(module):
                    module._unfolded(found)
                elif kind is not Identity or altered(module):
                    found.append(module)
        return found

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.__class__(dict(list(self._modules.items())[index]))
        return self.__dict__[self._name_at(index, "Sequential")]

    def __add__(self, other: Sequential) -> Sequential:
        if not isinstance(other, Sequential):
            return NotImplemented
        return Sequential(*self, *other)

    def __mul__(self, times: int) -> Sequential:
        """The same modules several times over: parameters are shared between the rounds."""
        if not isinstance(times, int):
            return NotImplemented
        if times <= 0:
            raise ValueError(f"Sequential * n: wants a positive integer, got {times}")
        return Sequential(*(list(self) * times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        self._rename(list(self * times))
        return self


class ModuleList(_Row):
    """Modules in a list that parameters() and state_dict() see; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.__class__(list(self)[index])
        return self.__dict__[self._name_at(index, "ModuleList")]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    def __repr__(self) -> str:
        """Equal neighbours are shown once: (0-3): 4 x Linear(...)."""
        rows = []
        for i, text in enumerate(map(repr, self)):
            if rows and rows[-1][2] == text:
                rows[-1][1] = i
            else:
                rows.append([i, i, text])
        return described(
            self, [(f"{a}-{b}", f"{b - a + 1} x {text}") if b > a else (str(a), text) for a, b, text in rows]
        )


class ModuleDict(Module):
    """Modules under names of one's own choice, in the order of insertion."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: object) -> bool:
        return key in self._modules

    def keys(self):
        """The names."""
        return self._modules.keys()

    def values(self):
        """The modules."""
        return self._modules.values()

    def items(self):
        """(name, module) pairs."""
        return self._modules.items()

    def clear(self) -> None:
        """Takes all modules out."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Takes out the module of this name and returns it."""
        return self._modules.pop(key)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Adds or replaces modules, from a dict or pairs."""
        if not isinstance(modules, (Mapping, ModuleDict, Iterable)):
            raise TypeError(f"ModuleDict.update: wants a dict or pairs, got {type(modules).__name__}")
        pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        for pair in list(pairs):
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"ModuleDict.update: wants pairs (name, module), got {pair!r}")
            self[pair[0]] = pair[1]


class ParameterList(Module):
    """A list whose tensors are parameters: a Tensor put in becomes one, other values stay as they are."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _name_at(self, index):
        place = index.__index__()
        if not -self._size <= place < self._size:
            raise IndexError(f"ParameterList: index {place} is out of range for {self._size} values")
        return str(place % self._size)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self.__class__([self[i] for i in range(*index.indices(self._size))])
        return self.__dict__[self._name_at(index)]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name_at(index), _parameter_of(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return iter([self[i] for i in range(self._size)])

    def append(self, value: Any) -> ParameterList:
        """Adds a value at the end; returns self."""
        setattr(self, str(self._size), _parameter_of(value))
        self._size += 1
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Adds values at the end; returns self."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList.extend: wants an iterable, got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    __iadd__ = extend

    def extra_repr(self) -> str:
        return "\n".join(f"({i}): {_line(v)}" for i, v in enumerate(self) if not isinstance(v, Module))


class ParameterDict(Module):
    """A dict whose tensors are parameters, in the order of insertion."""

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return self.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"ParameterDict: names must be strings, got {type(key).__name__}")
        if "." in key or not key or (key not in self._keys and hasattr(self, key)):
            raise KeyError(f'ParameterDict: {key!r} is empty, has a "." or is the name of an attribute')
        self._keys[key] = None
        setattr(self, key, _parameter_of(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._keys)

    def __contains__(self, key: object) -> bool:
        return key in self._keys

    def keys(self):
        """The names."""
        return self._keys.keys()

    def values(self) -> list[Any]:
        """The values."""
        return [self[key] for key in self._keys]

    def items(self) -> list[tuple[str, Any]]:
        """(name, value) pairs."""
        return [(key, self[key]) for key in self._keys]

    def get(self, key: str, default: Any = None) -> Any:
        """The value of this name, or default."""
        return self[key] if key in self._keys else default

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The value of this name, which is default where there was none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def pop(self, key: str) -> Any:
        """Takes out the value of this name and returns it."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> tuple[str, Any]:
        """Takes out the last (name, value)."""
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        """Takes all values out."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> ParameterDict:
        """A new ParameterDict of the same parameters."""
        return ParameterDict(self.items())

    def fromkeys(self, keys: Iterable[str], default: Any = None) -> ParameterDict:
        """A new ParameterDict with these names, all with one value."""
        return ParameterDict([(key, default) for key in keys])

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Adds or replaces values, from a dict or pairs."""
        pairs = parameters.items() if isinstance(parameters, (Mapping, ParameterDict)) else parameters
        for key, value in list(pairs):
            self[key] = value

    def __or__(self, other: ParameterDict) -> ParameterDict:
        made = self.copy()
        made.update(other)
        return made

    def __ror__(self, other: Mapping[str, Any]) -> ParameterDict:
        return ParameterDict(other) | self

    def __ior__(self, other: ParameterDict) -> ParameterDict:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"({k}): {_line(v)}" for k, v in self.items() if not isinstance(v, Module))


def _parameter_of(value):
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value


def _line(value):
    if isinstance(value, Tensor):
        return f"{type(value).__name__} containing: [{value.dtype} of size {'x'.join(map(str, value.shape))}]"
    return f"Object of type: {type(value).__name__}"
