"""Features from a trained net that is cut in the middle."""

from __future__ import annotations

from threading import get_ident

from ..tensor import Tensor
from .module import Module


class FeatureExtractor(Module):
    """What inner layers of a module return. Made by :func:`feature_extractor`."""

    def __init__(self, module: Module, layers: tuple, single: bool) -> None:
        super().__init__()
        self.module = module
        self.layers = layers
        self.single = single

    def forward(self, *args, **kwargs) -> Tensor | dict:
        inner = dict(self.module.named_modules())
        found, handles, thread = {}, [], get_ident()

        def keep(name):
            def hook(module, inputs, output):
                if get_ident() == thread and name not in found:
                    found[name] = output
                    if len(found) == len(self.layers):
                        raise _Done

            return hook

        try:
            for name in self.layers:
                handles.append(inner[name].register_forward_hook(keep(name)))
            self.module(*args, **kwargs)
            missing = [name for name in self.layers if name not in found]
            raise RuntimeError(f"feature_extractor: the module's forward does not call {', '.join(missing)}")
        except _Done:
            return found[self.layers[0]] if self.single else {name: found[name] for name in self.layers}
        finally:
            for handle in handles:
                handle.remove()

    def extra_repr(self) -> str:
        return f"layers={self.layers}"


class _Done(BaseException):  # no Exception: a forward that catches those shall not stop it
    pass


def feature_extractor(module: Module, layer: str | Module | list) -> FeatureExtractor:
    """A module that runs `module` as far as `layer` and returns what that layer returns.

    layer: a name from module.named_modules(), an inner module itself, or a list of such, which gives a dict
    name -> output. Of a layer that is called several times it is the first call's. What comes after the last layer is
    not computed. Parameters are shared with the module, and gradients flow into them; module.requires_grad_(False)
    freezes them. Raises ValueError for a layer that the module does not have.
    """
    names = {id(inner): name for name, inner in module.named_modules()}
    known = set(names.values()) - {""}
    single = not isinstance(layer, (list, tuple))
    layers = []
    for wanted in [layer] if single else layer:
        name = names.get(id(wanted)) if isinstance(wanted, Module) else wanted
        if name not in known:
            kind = type(wanted).__name__ if isinstance(wanted, Module) else repr(wanted)
            raise ValueError(f"feature_extractor: no layer {kind} in the module, which has {', '.join(sorted(known))}")
        layers.append(name)
    if not layers or len(set(layers)) < len(layers):
        raise ValueError(f"feature_extractor: layers must be named once each, got {layers}")
    return FeatureExtractor(module, tuple(layers), single)
