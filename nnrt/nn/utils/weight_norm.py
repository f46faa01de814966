"""Weight normalisation: a weight given by its length g and its direction v.

    w = g v / |v|, the norm taken over all axes but `dim`

Salimans and Kingma, "Weight normalization", 2016. In the module's state the weight is replaced by
`weight_g` and `weight_v`, torch's names, or with the function of nn.utils.parametrizations by
`parametrizations.weight.original0` and `.original1`. The weight itself is computed before each forward.
"""

from __future__ import annotations

from ...autograd import no_grad
from ...tensor import Tensor
from ..module import Module
from ..parameter import Parameter


def normalised(g: Tensor, v: Tensor, dim: int | None) -> Tensor:
    """g v / |v|."""
    return v * (g / _norm(v, dim))


def _norm(v, dim):
    if dim is None or dim == -1:
        return v.norm()
    axes = [i for i in range(v.ndim) if i != dim % v.ndim]
    return v.norm(2, axes, keepdim=True) if axes else v.abs()


def _split(module, name, dim):
    """(g, v) of the module's parameter, checked."""
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"weight_norm: {type(module).__name__} has no parameter {name!r}")
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise IndexError(f"weight_norm: dim {dim} is out of range for shape {tuple(weight.shape)}")
    with no_grad():
        g = Parameter(_norm(weight.detach(), dim).clone(), weight.requires_grad)
        return g, Parameter(weight.detach().clone(), weight.requires_grad)


class WeightNorm:
    """The hook that computes a module's weight from weight_g and weight_v."""

    def __init__(self, name: str, dim: int | None) -> None:
        self.name = name
        self.dim = dim

    def compute(self, module: Module) -> Tensor:
        """The weight."""
        return normalised(getattr(module, self.name + "_g"), getattr(module, self.name + "_v"), self.dim)

    def __call__(self, module: Module, args: tuple) -> None:
        setattr(module, self.name, self.compute(module))


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replaces a module's parameter by name_g and name_v; returns the module.

    dim: the axis whose slices each have a length of their own; None (or -1): one length for all.
    """
    hook = WeightNorm(name, dim)
    if hook_of(WeightNorm, module, name) is not None:
        raise RuntimeError(f"weight_norm: {name!r} of {type(module).__name__} is normalised already")
    g, v = _split(module, name, dim)
    del module._parameters[name]
    module.register_parameter(name + "_g", g)
    module.register_parameter(name + "_v", v)
    setattr(module, name, hook.compute(module))
    module.register_forward_pre_hook(hook)
    return module


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Puts an ordinary parameter of the present value back; returns the module."""
    return without("remove_weight_norm", WeightNorm, ("_g", "_v"), module, name)


def hook_of(kind, module, name):
    """(key, hook) of the hook of this type that makes a module's parameter, or None."""
    hooks = module._hooks.before.items() if module._hooks is not None else ()
    for key, (hook, _) in hooks:
        if isinstance(hook, kind) and hook.name == name:
            return key, hook
    return None


def without(op, kind, ends, module, name):
    """The module with an ordinary parameter of the present value in place of name + ends and of the hook of this type."""
    found = hook_of(kind, module, name)
    if found is None:
        raise ValueError(f"{op}: {name!r} of {type(module).__name__} is not normalised")
    key, hook = found
    with no_grad():
        weight = hook.compute(module)
    trained = getattr(module, name + ends[0]).requires_grad
    for part in (name, *[name + end for end in ends]):
        delattr(module, part)
    module.register_parameter(name, Parameter(weight, trained))
    del module._hooks.before[key]
    return module
