"""Which functions of nnrt/ops are methods of Tensor, too."""

from .ops import (
    activation,
    arrange,
    binary,
    compare,
    convert,
    cumulative,
    einsum,
    elementwise,
    index,
    inplace,
    join,
    linear,
    masks,
    parts,
    products,
    random,
    reduce,
    scatter,
    shape,
    softmax,
    sort,
    statistics,
    ternary,
    trigonometry,
    unary,
)

try:
    from ._ext.runtime import add_method
except ImportError:
    add_method = setattr

_WITH_METHODS = (
    elementwise, unary, trigonometry, binary, ternary, compare, activation, linear, products, reduce, statistics, cumulative,
    softmax, sort, index, masks, scatter, shape, parts, arrange, join, random, inplace, convert, einsum,
)  # fmt: skip
# What torch has as functions alone.
_NO_METHODS = ("bucketize", "linear", "linear_activated", "one_hot", "poisson", "rand_like", "randint_like", "randn_like")


def add_to(cls):
    """Makes each public function of these modules whose first parameter is a tensor, by its name, a method of Tensor, cls."""
    for module in _WITH_METHODS:
        for name, function in vars(module).items():
            code = getattr(function, "__code__", None)
            if (
                code is not None
                and not name.startswith("_")
                and not name.endswith("_backward")
                and function.__module__ == module.__name__
                and code.co_argcount
                and code.co_varnames[0] in ("x", "input", "tensor")
                and name not in _NO_METHODS
                and not hasattr(cls, name)
            ):
                add_method(cls, name, function)
