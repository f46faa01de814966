"""Which back-end runs a kernel: (family, kernel name) -> callable.

`family("activation")` is a namespace whose attributes are the kernels of
`<back-end>/activation`. An attribute is resolved once, at its first use, along the
back-end order (by default cython, numba, ref), and is an ordinary attribute from then
on; changing the order forgets what was resolved.

A kernel is found by its name alone: family f, kernel k is the function k of the module
nnrt._ext.f, nnrt._numba.f or nnrt._ref.f. There are no registration lists.
"""

import importlib
from contextlib import contextmanager
from types import ModuleType

from . import config

PACKAGES = {"cython": "nnrt._ext", "numba": "nnrt._numba", "ref": "nnrt._ref"}

_families = {}
_holders = []
_observer = None


class Family(ModuleType):
    """Kernels of one family as attributes. Made by :func:`family`.

    A module: an attribute of one is found in half the time that a class with a __getattr__ takes.
    """

    def __init__(self, name):
        super().__init__(name)
        self.__getattr__ = self._find

    def _find(self, kernel):
        if kernel.startswith("_"):
            raise AttributeError(kernel)
        backend, function = resolve(self.__name__, kernel)
        if _observer is not None:
            function = _observer(backend, f"{self.__name__}.{kernel}", function)
        setattr(self, kernel, function)
        return function

    def found(self):
        """Names of the kernels that were used since the order of the back-ends last changed."""
        return [name for name in list(vars(self)) if not name.startswith("_")]

    def __repr__(self):
        return f"<kernels {self.__name__}: {' -> '.join(order())}>"


def family(name):
    """The namespace of the kernels in `<back-end>/<name>`; always the same object."""
    found = _families.get(name)
    if found is None:
        found = _families.setdefault(name, Family(name))
    return found


def order():
    """Back-ends in the order in which a kernel is looked up; the first is the chosen one."""
    return config.settings.backend


def available():
    """Back-ends that can run here: cython with a compiled extension, numba when installed, ref always."""
    import importlib.util  # seldom needed, and a millisecond of every import

    found = []
    if importlib.util.find_spec("nnrt._ext.runtime"):
        found.append("cython")
    if getattr(importlib.util.find_spec("numba"), "origin", None):  # a folder of that name has a spec, too
        found.append("numba")
    return (*found, "ref")


def use(*backends):
    """Sets the back-end order for good, `use("numba", "ref")` for instance; `use()` restores the default.

    Raises ValueError for a name that is not one of cython, numba, ref.
    """
    config.set(backend=backends or config.default("backend"))


@contextmanager
def using(*backends):
    """use() for a with-block."""
    before = order()
    use(*backends)
    try:
        yield
    finally:
        use(*before)


def on_forget(drop):
    """Calls drop() whenever resolved kernels are forgotten: for modules that hold one themselves."""
    _holders.append(drop)


def forget():
    """Drops what was resolved; done whenever the order changes."""
    for drop in _holders:
        drop()
    for namespace in _families.values():
        for kernel in namespace.found():
            vars(namespace).pop(kernel, None)


def observe(observer):
    """Lets observer(back-end, "family.kernel", callable) stand in for every kernel from now on; None ends it."""
    global _observer
    _observer = observer
    forget()


def resolve(family_name, kernel):
    """(back-end, callable) of the first back-end in the order that has the kernel.

    Raises LookupError naming the kernel and what was searched; under NNRT_STRICT=1 the
    chosen back-end must have it.
    """
    reasons = []
    backends = order()
    for backend in backends[:1] if config.settings.strict else backends:
        function, reason = _find(backend, family_name, kernel)
        if function is not None:
            if reasons:
                config.log("dispatch", f"{family_name}.{kernel}: {backend} ({'; '.join(reasons)})")
            return backend, function
        reasons.append(reason)
    strict = " (NNRT_STRICT forbids falling back)" if config.settings.strict else ""
    raise LookupError(f"no back-end has the kernel {family_name}.{kernel}{strict}: {'; '.join(reasons)}")


def _find(backend, family_name, kernel):
    module = f"{PACKAGES[backend]}.{family_name}"
    try:
        function = getattr(importlib.import_module(module), kernel, None)
    except (ImportError, OSError) as error:  # OSError: a library of Numba's that does not load
        hint = " (pip install 'nnrt[numba]')" if getattr(error, "name", None) == "numba" else ""
        return None, f"{backend}: {error}{hint}"
    if backend == "ref" and callable(function):
        from ._ref import quiet

        function = quiet(function)  # overflow, NaN and infinity are results, as compiled kernels' are
    return function, f"{backend}: {module} has no {kernel}"


_explained = {}


def explains(name, function):
    """Lets function(name, ...) answer explain(name, ...): an op that chooses among algorithms."""
    _explained[name] = function


def explain(name=None, *args, **kwargs) -> str:
    """Says which back-end runs a kernel and why, or which algorithm an op takes.

    `explain("activation.relu")` is one line on that kernel; `explain()` lists every kernel
    used so far. `explain("conv2d")` lists the convolutions so far with their algorithms, and
    `explain("conv2d", (8, 64, 56, 56), (64, 64, 3, 3), padding=1)` says what these shapes of input and
    weight would take. Returns a string.
    """
    if name in _explained:
        return _explained[name](name, *args, **kwargs)
    if name is None:
        used = [f"{name}.{kernel}" for name, namespace in _families.items() for kernel in namespace.found()]
        return "\n".join(explain(n) for n in sorted(used)) or "no kernel has run yet"
    family_name, _, kernel = name.partition(".")
    if not kernel:
        raise ValueError(f"explain: name must be 'family.kernel' or one of {', '.join(_explained)}, got {name!r}")
    backend, function = resolve(family_name, kernel)
    passed = []
    for earlier in order()[: order().index(backend)]:
        passed.append(_find(earlier, family_name, kernel)[1])
    why = "; ".join(passed) if passed else "first in the order " + ", ".join(order())
    return f"{name}: {backend} ({why})"


config.on_change("backend", lambda _: forget())
config.on_change("strict", lambda _: forget())
