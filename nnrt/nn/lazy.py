"""Lazy modules: layers whose parameters get their shapes from the first input."""

from __future__ import annotations

from .parameter import is_lazy


class LazyModuleMixin:
    """Put before the layer's class: `class LazyLinear(LazyModuleMixin, Linear)`.

    The subclass makes UninitializedParameters and defines `initialize_parameters(*inputs)`; before the
    first forward that method runs once, and the object becomes a `cls_to_become`.
    """

    cls_to_become: type | None = None

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._first_call = self.register_forward_pre_hook(self._initialize, with_kwargs=True)

    @staticmethod
    def _initialize(module, args, kwargs):
        module.initialize_parameters(*args, **kwargs)
        module._become()

    def _become(self):
        self._first_call.remove()
        del self._first_call
        if self.cls_to_become is not None:
            self.__class__ = self.cls_to_become

    def initialize_parameters(self, *args, **kwargs) -> None:
        """Gives every uninitialized parameter its shape and values."""
        raise NotImplementedError(f"{type(self).__name__}: a lazy module must define initialize_parameters")

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter still waits for its shape."""
        return any(is_lazy(p) for p in self.parameters(recurse=False))
