"""Spectral normalisation: a weight divided by its largest singular value.

    v = Wᵀu / |Wᵀu|     u = W v / |W v|     sigma = u · W v     weight = W / sigma

Miyato et al., "Spectral normalization for generative adversarial networks", 2018. W is weight_orig with axis `dim` first and the
others in one; u and v stay from forward to forward, in training mode each one moves them on. torch's names in the state.
"""

from __future__ import annotations

from ...autograd import no_grad
from ...ops.random import randn
from ...tensor import Tensor
from .. import functional as F
from ..conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from .weight_norm import hook_of, without


class SpectralNorm:
    """The hook that computes a module's weight from weight_orig, weight_u and weight_v."""

    def __init__(self, name: str, n_power_iterations: int, eps: float, dim: int) -> None:
        self.name = name
        self.n_power_iterations = n_power_iterations
        self.eps = eps
        self.dim = dim

    def matrix(self, weight: Tensor) -> Tensor:
        """W."""
        return weight.movedim(self.dim, 0).flatten(1) if weight.ndim > 1 else weight.unsqueeze(1)

    def compute(self, module: Module, move: bool = False) -> Tensor:
        """The weight; move: with new u and v."""
        weight, u, v = (getattr(module, self.name + end) for end in ("_orig", "_u", "_v"))
        w = self.matrix(weight)
        if move:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v = F.normalize(w.t() @ u, dim=0, eps=self.eps)
                    u = F.normalize(w @ v, dim=0, eps=self.eps)
            setattr(module, self.name + "_u", u)
            setattr(module, self.name + "_v", v)
        return weight / u.dot(w @ v)

    def __call__(self, module: Module, args: tuple) -> None:
        setattr(module, self.name, self.compute(module, module.training))


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Replaces a module's parameter by name_orig and the buffers name_u and name_v; returns the module.

    n_power_iterations: how often a forward in training mode moves u and v; eps: the least norm that they are divided by; dim: the
    axis of the outputs, by default 1 of a transposed convolution, else 0. Raises ValueError and RuntimeError.
    """
    if n_power_iterations < 1:
        raise ValueError(f"spectral_norm: n_power_iterations must be at least 1, got {n_power_iterations}")
    if hook_of(SpectralNorm, module, name) is not None:
        raise RuntimeError(f"spectral_norm: {name!r} of {type(module).__name__} is normalised already")
    weight = module._parameters.get(name)
    if weight is None:
        raise ValueError(f"spectral_norm: {type(module).__name__} has no parameter {name!r}")
    if dim is None:
        dim = int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))
    hook = SpectralNorm(name, n_power_iterations, eps, dim)
    sizes = hook.matrix(weight.detach()).shape
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    setattr(module, name, weight.detach())
    for end, size in zip(("_u", "_v"), sizes):
        module.register_buffer(name + end, F.normalize(randn(size, dtype=weight.dtype), dim=0, eps=eps))
    module.register_forward_pre_hook(hook)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Puts an ordinary parameter of the present value back; returns the module."""
    return without("remove_spectral_norm", SpectralNorm, ("_orig", "_u", "_v"), module, name)
