"""What a module's members are: their kinds, and views of those of one kind as dicts."""

from collections.abc import MutableMapping

PARAMETER, BUFFER, TRANSIENT, MODULE = 1, 2, 3, 4  # TRANSIENT: a buffer that is not saved
NOUN = {PARAMETER: "parameter", BUFFER: "buffer", TRANSIENT: "buffer", MODULE: "module"}


class Members(MutableMapping):
    """A module's members of some kinds as a dict: name -> value, in the order of registration."""

    def __init__(self, module, kinds):
        self._module = module
        self._of = kinds

    def __getitem__(self, name):
        if self._module._kinds.get(name) not in self._of:
            raise KeyError(name)
        return self._module.__dict__[name]

    def __setitem__(self, name, value):
        kind = self._module._kinds.get(name)
        self._module._register(name, value, kind if kind in self._of else self._of[0])

    def __delitem__(self, name):
        self[name]  # raises KeyError for a member of another kind
        self._module.__delattr__(name)

    def __iter__(self):
        return iter([n for n, k in self._module._kinds.items() if k in self._of])

    def __len__(self):
        return sum(k in self._of for k in self._module._kinds.values())

    def __repr__(self):
        return repr(dict(self))
