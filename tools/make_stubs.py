"""Writes nnrt/tensor.pyi: the attributes, operators and methods of Tensor for type checkers and editors.

    python tools/make_stubs.py

Methods come from the class itself, those that ops/ attach included; their types from the names of
parameters, which mean the same everywhere, and from RETURNS.
"""

import inspect
from pathlib import Path

from nnrt.tensor import Tensor

HEADER = '''"""Types of Tensor. Written by tools/make_stubs.py from the class; do not edit."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .autograd import Handle, Node
from .dtypes import device as Device

# Tensor has methods of these names, which would hide the types in its body.
_bool = builtins.bool
_int = builtins.int
_float = builtins.float

Number = _bool | _int | _float
Size = _int | Sequence[_int]
DType = np.dtype[Any] | type | str

class Version:
    value: _int
    lent: _bool
    packed: dict[Any, Any] | None

class Tensor:
    array: np.ndarray[Any, Any]
    grad: Any
    node: Any
    requires_grad: _bool
    version: Version | None
    hooks: dict[_int, Callable[..., Any]] | None
    data: Tensor
    def __init__(self, *data: Any, requires_grad: _bool = False) -> None: ...
    @property
    def shape(self) -> tuple[_int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> _int: ...
    @property
    def device(self) -> Device: ...
    @property
    def is_leaf(self) -> _bool: ...
    @property
    def grad_fn(self) -> Node | None: ...
    @property
    def T(self) -> Tensor: ...
    @property
    def mT(self) -> Tensor: ...
    @property
    def is_cuda(self) -> _bool: ...
    @property
    def is_cpu(self) -> _bool: ...
    @property
    def is_sparse(self) -> _bool: ...
    @property
    def itemsize(self) -> _int: ...
    @property
    def nbytes(self) -> _int: ...
    @property
    def _version(self) -> _int: ...
    def __getitem__(self, key: Any) -> Tensor: ...
    def __setitem__(self, key: Any, value: Any) -> None: ...
    def __len__(self) -> _int: ...
    def __iter__(self) -> Iterator[Tensor]: ...
    def __contains__(self, value: Any) -> _bool: ...
    def __bool__(self) -> _bool: ...
    def __int__(self) -> _int: ...
    def __float__(self) -> _float: ...
    def __index__(self) -> _int: ...
    def __hash__(self) -> _int: ...
    def __array__(self, dtype: Any = None, copy: _bool | None = None) -> np.ndarray[Any, Any]: ...
    def __dlpack__(self, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[_int, _int]: ...
    def __deepcopy__(self, memo: dict[_int, Any]) -> Tensor: ...
    def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
'''

BINARY = (
    "add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow matmul rmatmul and "
    "rand or ror "
    "xor rxor lshift rshift lt le gt ge iadd isub imul itruediv"
).split()
UNARY = "neg pos abs invert".split()

FOOTER = """
def wrap(array: np.ndarray[Any, Any]) -> Tensor: ...
def view_of(base: Tensor, array: np.ndarray[Any, Any]) -> Tensor: ...
def bump(t: Tensor) -> Tensor: ...
def unchanged(tensors: tuple[Tensor | None, ...], arrays: tuple[Any, ...], versions: tuple[Any, ...]) -> _bool: ...
"""

PARAMETERS = {
    "Tensor": "index mask src source mat mat1 mat2 vec vec2 batch1 batch2 indices tensor1 tensor2 index_ "
    "target",
    "Tensor | Number": "other value values end exponent weights repeats weight a b",
    "_int": "dim0 dim1 dim2 axis0 axis1 start_dim end_dim offset diagonal k step dimension num_samples start "
    "length chunks "
    "bins minlength decimals",
    "_int | None": "output_size storage_offset",
    "Size | None": "dim dims",
    "Size": "sizes size shifts destination stride",
    "_bool": "keepdim descending stable largest sorted return_inverse return_counts inplace training "
    "requires_grad "
    "retain_graph create_graph as_tuple accumulate replacement include_self equal_nan sparse_grad copy "
    "non_blocking "
    " requires_grad_ force",
    "_float": "rtol atol lambd negative_slope min_val max_val lower upper threshold std mean",
    "Number": "alpha beta",
    "Number | Tensor | None": "min max",
    "Number | None": "nan posinf neginf correction eps",
    "_bool | None": "unbiased",
    "DType | None": "dtype",
    "str | None": "rounding_mode reduce memory_format",
    "str": "approximate interpolation",
    "Sequence[Tensor] | None": "inputs",
    "Tensor | None": "gradient",
    "Callable[[Tensor], Tensor | None]": "hook",
}
WHOLE = {("select", "index"), ("select_scatter", "index")}  # one index, no tensor of them
TYPES = {name: kind for kind, names in PARAMETERS.items() for name in names.split()}

RETURNS = {
    "None": "backward retain_grad",
    "_bool": "is_contiguous is_floating_point is_complex is_signed is_nonzero equal allclose",
    "_int": "dim ndimension numel nelement element_size data_ptr get_device",
    "Any": "size stride item tolist type slogdet",
    "np.ndarray[Any, Any]": "numpy",
    "Handle": "register_hook",
    "tuple[Tensor, ...]": "split split_with_sizes chunk tensor_split unbind hsplit vsplit dsplit aminmax var_mean std_mean "
    "sort topk "
    "kthvalue mode cummax cummin",
    "Any ": "max min median nanmedian nonzero unique unique_consecutive norm",
}
RESULT = {name: kind.strip() for kind, names in RETURNS.items() for name in names.split()}


def methods():
    """Names of Tensor's public methods, in order."""
    return sorted(n for n, f in vars(Tensor).items() if not n.startswith("_") and callable(f))


def definition(name):
    """`    def sum(self, dim: Size | None = None) -> Tensor: ...`"""
    parts = ["self"]
    star = False
    for p in list(inspect.signature(vars(Tensor)[name]).parameters.values())[1:]:
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        if p.kind is p.VAR_KEYWORD:
            parts.append("**kwargs: Any")
            continue
        if p.kind is p.VAR_POSITIONAL:
            parts.append(f"*{p.name}: Any")
            star = True
        elif p.default is p.empty:
            parts.append(f"{p.name}: {'_int' if (name, p.name) in WHOLE else TYPES.get(p.name, 'Any')}")
        else:
            kind = TYPES.get(p.name, "Any")
            if p.default is None and kind != "Any" and not kind.endswith("None"):
                kind += " | None"
            parts.append(f"{p.name}: {kind} = {p.default!r}")
    line = f"    def {name}({', '.join(parts)}) -> {RESULT.get(name, 'Tensor')}: ..."
    if len(line) <= 110:
        return line
    tail = line.rpartition(") -> ")[2]
    return "\n".join([f"    def {name}(", *[f"        {part}," for part in parts], f"    ) -> {tail}"])


def stub():
    """The text of the stub file."""
    lines = [HEADER.rstrip("\n")]
    lines += [f"    def __{name}__(self, other: Any) -> Tensor: ..." for name in BINARY]
    lines += [f"    def __{name}__(self) -> Tensor: ..." for name in UNARY]
    lines += [definition(name) for name in methods()]
    return "\n".join(lines) + "\n" + FOOTER


if __name__ == "__main__":
    target = Path(__file__).parent.parent / "nnrt" / "tensor.pyi"
    target.write_text(stub())
    print(f"{target}: {len(methods())} methods")
