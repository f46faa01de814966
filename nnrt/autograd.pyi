from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from .tensor import Tensor, Version

F = TypeVar("F", bound=Callable[..., Any])

class Node:
    backward: Callable[..., tuple[Any, ...]]
    targets: tuple[Tensor | Node | Output | None, ...]
    saved_arrays: tuple[Any, ...] | None
    versions: tuple[tuple[int, Version, int], ...] | None
    order: int
    outputs: int
    hooks: dict[int, dict[int, Callable[[Tensor], Tensor | None]]] | None
    trace: str | None
    last: bool
    @property
    def saved(self) -> tuple[Any, ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def next_functions(self) -> tuple[tuple[Node | Tensor | None, int], ...]: ...
    def needs(self, i: int) -> bool: ...
    def consumed(self) -> bool: ...
    def add_hook(self, index: int, hook: Callable[[Tensor], Tensor | None]) -> Handle: ...

class Output:
    node: Node
    index: int

class Handle:
    id: int
    def __init__(self, hooks: dict[int, Any], hook: Any) -> None: ...
    def remove(self) -> None: ...
    def __enter__(self) -> Handle: ...
    def __exit__(self, *exc: object) -> None: ...

def record(
    out: np.ndarray, backward: Callable[..., Any], inputs: tuple[Tensor | None, ...], saved: tuple[Any, ...] = ()
) -> Tensor: ...
def on_tape(inputs: tuple[Tensor | None, ...]) -> bool: ...
def tracked(a: Tensor, b: Tensor) -> bool: ...
def record_many(
    outs: Sequence[np.ndarray], backward: Callable[..., Any], inputs: tuple[Tensor | None, ...], saved: tuple[Any, ...] = ()
) -> tuple[Tensor, ...]: ...
def attach(
    outs: tuple[Tensor, ...], backward: Callable[..., Any], inputs: tuple[Tensor | None, ...], saved: tuple[Any, ...]
) -> None: ...
def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool = False,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None: ...
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
    materialize_grads: bool = False,
    only_inputs: bool = True,
) -> tuple[Tensor | None, ...]: ...
def grad_enabled() -> bool: ...
def is_grad_enabled() -> bool: ...
def accumulate(leaf: Tensor, g: Any, owned: bool) -> None: ...
def added(a: Any, b: Any, owned: bool = False) -> Any: ...

class _Mode:
    def __enter__(self) -> _Mode: ...
    def __exit__(self, *exc: object) -> None: ...
    def __call__(self, function: F) -> F: ...

class no_grad(_Mode):
    def __init__(self, function: Callable[..., Any] | None = None) -> None: ...

class enable_grad(_Mode):
    def __init__(self) -> None: ...

class inference_mode(_Mode):
    def __init__(self, mode: bool = True) -> None: ...

class set_grad_enabled(_Mode):
    def __init__(self, mode: bool) -> None: ...

class set_detect_anomaly:
    def __init__(self, mode: bool, check_nan: bool = True) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *exc: object) -> None: ...

class detect_anomaly(set_detect_anomaly):
    def __init__(self, check_nan: bool = True) -> None: ...

class Variable:
    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Tensor: ...  # type: ignore[misc]

class Function:
    @classmethod
    def apply(cls, *args: Any) -> Any: ...
    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any: ...
    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any: ...

def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    directions: int = 2,
    seed: int = 0,
    *,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    fast_mode: bool = False,
) -> bool: ...
