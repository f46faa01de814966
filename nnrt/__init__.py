"""nnrt: a neural-network runtime for CPUs with torch's API and numpy as its only dependency."""

import importlib as _importlib

from ._version import __version__
from .tensor import Tensor  # first: the ops need the class
from . import autograd, config, memory
from .autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .dtypes import (
    device,
    double,
    dtype,
    finfo,
    float16,
    float32,
    float64,
    get_default_dtype,
    half,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    long,
    promote_types,
    set_default_dtype,
    short,
    uint8,
    uint16,
    uint32,
    uint64,
)
from .dtypes import bool_ as bool
from .dtypes import float32 as float
from .dtypes import int32 as int
from .ops.activation import relu
from .ops.create import (
    arange,
    as_tensor,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    is_floating_point,
    is_tensor,
    linspace,
    logspace,
    numel,
    ones,
    ones_like,
    scalar_tensor,
    set_printoptions,
    tensor,
    tril_indices,
    triu_indices,
    zeros,
    zeros_like,
)
from .ops.einsum import einsum, tensordot
from .ops.elementwise import add
from .ops.linear import addbmm, addmm, addmv, baddbmm, bmm, dot, ger, inner, matmul, mm, mv, outer
from .ops.cumulative import cummax, cummin, cumprod, cumsum
from .ops.reduce import (
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    count_nonzero,
    logsumexp,
    max,
    mean,
    min,
    nanmean,
    nansum,
    norm,
    prod,
    std,
    std_mean,
    sum,
    var,
    var_mean,
)
from .ops.softmax import log_softmax, softmax
from .ops.sort import (
    argsort,
    bincount,
    histc,
    kthvalue,
    median,
    mode,
    msort,
    nanmedian,
    nanquantile,
    quantile,
    sort,
    topk,
    unique,
    unique_consecutive,
)
from .registry import explain

# Packages that are imported when first named.
_LAZY = ("nn", "optim", "data", "train", "io", "models", "runtime")
_LAZY_FROM = {"save": ".io", "load": ".io", "profiler": ".runtime"}


def __getattr__(name):
    if name in _LAZY:
        return _importlib.import_module(f".{name}", __name__)
    if name in _LAZY_FROM:
        return getattr(_importlib.import_module(_LAZY_FROM[name], __name__), name)
    raise AttributeError(f"module 'nnrt' has no attribute {name!r}")


def __dir__():
    return sorted({*globals(), *_LAZY, *_LAZY_FROM} - {"_LAZY", "_LAZY_FROM", "_importlib"})
