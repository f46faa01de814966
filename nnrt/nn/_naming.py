"""A module's name where people read it: in its text, and in errors about its arguments."""

from types import FunctionType

from ..tensor import Tensor


def take_name(cls):
    """Gives a layer what it inherits from a private class under its own name, which Python's errors about arguments show."""
    for name in ("__init__", "forward"):
        f = getattr(cls, name)
        if f.__qualname__[0] == "_":
            made = FunctionType(f.__code__, f.__globals__, name, f.__defaults__, f.__closure__)
            made.__kwdefaults__, made.__annotations__, made.__doc__ = f.__kwdefaults__, f.__annotations__, f.__doc__
            made.__module__, made.__qualname__ = f.__module__, f"{cls.__name__}.{name}"
            setattr(cls, name, made)


def refuse_input(module, args, error):
    """TypeError where nnrt sought a tensor's attribute in an argument that is none, a list or an array for instance."""
    place = error.__traceback__
    while place.tb_next is not None:
        place = place.tb_next
    here = place.tb_frame.f_globals.get("__name__", "").startswith("nnrt.")
    if not here or error.name is None or isinstance(error.obj, Tensor):
        return
    for i, x in enumerate(args):
        if x is error.obj:
            name = "input" if i == 0 else f"argument {i + 1}"
            raise TypeError(f"{type(module).__name__}: {name} must be a Tensor, got {type(x).__name__}") from error


def described(module, children):
    """torch's layout: Name(extra, (child): repr ...), one line where there are no children: (name, text) pairs."""
    extra = module.extra_repr().split("\n") if module.extra_repr() else []
    lines = [f"({name}): " + text.replace("\n", "\n  ") for name, text in children]
    if not lines and len(extra) <= 1:
        return f"{module._get_name()}({''.join(extra)})"
    return f"{module._get_name()}(\n  " + "\n  ".join(extra + lines) + "\n)"
