"""weight_norm with the names of torch.nn.utils.parametrizations."""

from __future__ import annotations

from ...autograd import no_grad
from ...tensor import Tensor
from ..container import ModuleDict
from ..module import Module
from ..parameter import Parameter
from .weight_norm import _split, normalised


class Normalised(Module):
    """The parts of one weight: `original0` its lengths g, `original1` its direction v."""

    def __init__(self, g: Parameter, v: Parameter, dim: int | None) -> None:
        super().__init__()
        self.original0 = g
        self.original1 = v
        self.dim = dim

    def forward(self) -> Tensor:
        return normalised(self.original0, self.original1, self.dim)


def _compute(module, args):
    for name, parts in module.parametrizations.items():
        setattr(module, name, parts())


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Replaces a module's parameter by parametrizations.name.original0 and .original1; returns the module.

    Arguments as for nn.utils.weight_norm.
    """
    g, v = _split(module, name, dim)
    del module._parameters[name]
    if not hasattr(module, "parametrizations"):
        module.parametrizations = ModuleDict()
        module.register_forward_pre_hook(_compute)
    module.parametrizations[name] = Normalised(g, v, dim)
    setattr(module, name, module.parametrizations[name]())
    return module


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Puts an ordinary parameter back; returns the module.

    leave_parametrized: of the present value; otherwise the direction v alone, as torch's original.
    """
    known = getattr(module, "parametrizations", {})
    if tensor_name not in known:
        raise ValueError(
            f"remove_parametrizations: {tensor_name!r} of {type(module).__name__} is not parametrized"
        )
    if not leave_parametrized:
        raise ValueError(
            "remove_parametrizations: leave_parametrized=False: a weight of two parts has no one original"
        )
    parts = known.pop(tensor_name)
    with no_grad():
        weight = Parameter(parts(), parts.original0.requires_grad)
    delattr(module, tensor_name)
    module.register_parameter(tensor_name, weight)
    if not len(known):
        del module.parametrizations
        hooks = module._hooks.before
        for key in [key for key, (hook, _) in hooks.items() if hook is _compute]:
            del hooks[key]
    return module
