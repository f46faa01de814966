"""nnrt: a neural-network runtime for CPUs with torch's API and numpy as its only dependency."""

import importlib as _importlib
from math import e, inf, nan, pi

from ._version import __version__
from . import _ext as _ext  # first: it finds the compiled modules
from .tensor import Tensor  # then: the ops need the class
from . import autograd, config, memory
from .config import get_num_threads, set_num_threads
from .autograd import enable_grad, inference_mode, is_grad_enabled, no_grad, set_grad_enabled
from .dtypes import (
    channels_last,
    channels_last_3d,
    contiguous_format,
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
    preserve_format,
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
from .ops.activation import celu, prelu, relu, rrelu, selu, threshold
from .ops.compare import (
    allclose,
    bitwise_and,
    bitwise_left_shift,
    bitwise_not,
    bitwise_or,
    bitwise_right_shift,
    bitwise_xor,
    eq,
    equal,
    ge,
    greater,
    greater_equal,
    gt,
    isclose,
    isfinite,
    isinf,
    isnan,
    isneginf,
    isposinf,
    le,
    less,
    less_equal,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    lt,
    ne,
    not_equal,
    signbit,
)
from .ops.arrange import (
    diag,
    diag_embed,
    diagflat,
    flip,
    fliplr,
    flipud,
    repeat_interleave,
    roll,
    rot90,
    tile,
    trace,
    tril,
    triu,
)
from .ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d
from .ops.convert import is_complex, is_nonzero, is_signed
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
from .ops.cumulative import cummax, cummin, cumprod, cumsum, cumulative_trapezoid, diff, logcumsumexp, trapezoid, trapz
from .ops.einsum import chain_matmul, einsum, kron, tensordot
from .ops.binary import (
    arctan2,
    atan2,
    copysign,
    float_power,
    floor_divide,
    fmax,
    fmin,
    fmod,
    gcd,
    heaviside,
    hypot,
    lcm,
    ldexp,
    logaddexp,
    logaddexp2,
    maximum,
    minimum,
    nextafter,
    pow,
    remainder,
    xlogy,
)
from .ops.elementwise import (
    add,
    div,
    divide,
    mul,
    multiply,
    rsub,
    sub,
    subtract,
    true_divide,
)
from .ops.ternary import (
    addcdiv,
    addcmul,
    clamp,
    clamp_max,
    clamp_min,
    clip,
    lerp,
    where,
)
from .ops.index import gather, index_select, take, take_along_dim
from .ops.join import (
    block_diag,
    cartesian_prod,
    cat,
    column_stack,
    concat,
    concatenate,
    dsplit,
    dstack,
    hsplit,
    hstack,
    meshgrid,
    row_stack,
    stack,
    vsplit,
    vstack,
)
from .ops.linear import matmul
from .ops.masks import argwhere, bucketize, isin, masked_fill, masked_scatter, masked_select, nonzero, searchsorted, unravel_index
from .ops.products import addbmm, addmm, addmv, addr, baddbmm, bmm, cross, dot, ger, inner, mm, mv, outer, vdot
from .ops.promotion import can_cast, promote_types, result_type
from .ops.random import (
    Generator,
    bernoulli,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    multinomial,
    normal,
    poisson,
    rand,
    rand_like,
    randint,
    randint_like,
    randn,
    randn_like,
    randperm,
    seed,
    set_rng_state,
)
from .ops.reduce import (
    all,
    amax,
    amin,
    aminmax,
    any,
    argmax,
    argmin,
    max,
    mean,
    min,
    prod,
    sum,
)
from .ops.statistics import (
    corrcoef,
    count_nonzero,
    cov,
    dist,
    logsumexp,
    nanmean,
    nansum,
    norm,
    renorm,
    std,
    std_mean,
    var,
    var_mean,
)
from .ops.scatter import (
    diagonal_scatter,
    index_add,
    index_copy,
    index_fill,
    index_put,
    scatter,
    scatter_add,
    scatter_reduce,
    select_scatter,
    slice_scatter,
)
from .ops.parts import (
    as_strided,
    chunk,
    diagonal,
    narrow,
    select,
    split,
    split_with_sizes,
    tensor_split,
    unbind,
)
from .ops.shape import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_shapes,
    broadcast_tensors,
    broadcast_to,
    clone,
    flatten,
    moveaxis,
    movedim,
    permute,
    ravel,
    reshape,
    squeeze,
    swapaxes,
    swapdims,
    t,
    transpose,
    unflatten,
    unsqueeze,
)
from .ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
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
from .ops.trigonometry import (
    acos,
    acosh,
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctanh,
    asin,
    asinh,
    atan,
    atanh,
    cos,
    cosh,
    deg2rad,
    rad2deg,
    sin,
    sinh,
    tan,
)
from .ops.unary import (
    abs,
    absolute,
    ceil,
    digamma,
    erf,
    erfc,
    erfinv,
    exp,
    exp2,
    expm1,
    fix,
    floor,
    frac,
    lgamma,
    log,
    log10,
    log1p,
    log2,
    logit,
    nan_to_num,
    neg,
    negative,
    positive,
    reciprocal,
    round,
    rsqrt,
    sgn,
    sigmoid,
    sign,
    sinc,
    sqrt,
    square,
    tanh,
    trunc,
)
from .registry import explain
from .sparse import SparseRows

Size = tuple
newaxis = None

# Packages that are imported when first named.
_LAZY = ("nn", "optim", "data", "train", "io", "models", "runtime", "cuda", "linalg", "distributions", "backends")
_LAZY_FROM = {"save": ".io", "load": ".io", "profiler": ".runtime", "feature_extractor": ".nn", "summary": ".train.summary"}
_LAZY_FROM |= {"cdist": ".ops.distance"} | dict.fromkeys(
    ("det", "inverse", "matrix_power", "pinverse", "slogdet"), ".ops.linalg"
) | dict.fromkeys(
    (
        "adaptive_avg_pool1d", "alpha_dropout", "avg_pool1d", "bilinear", "cosine_similarity", "dropout", "group_norm",
        "hardshrink", "layer_norm", "max_pool1d", "max_pool2d", "max_pool3d", "pairwise_distance", "pdist", "rms_norm",
    ),
    ".nn.functional",
) | dict.fromkeys(
    ("gru", "gru_cell", "lstm", "lstm_cell", "rnn_relu", "rnn_relu_cell", "rnn_tanh", "rnn_tanh_cell"), ".ops.rnn"
) | dict.fromkeys(
    ("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window"), ".ops.windows"
) | dict.fromkeys(
    (
        "BoolTensor", "ByteTensor", "CharTensor", "DoubleTensor", "FloatTensor", "HalfTensor", "IntTensor", "LongTensor",
        "ShortTensor",
    ),
    ".ops.constructors",
) | dict.fromkeys(
    (
        "accelerator", "are_deterministic_algorithms_enabled", "get_default_device", "get_float32_matmul_precision",
        "set_default_device", "set_float32_matmul_precision", "use_deterministic_algorithms",
    ),
    ".backends",
)  # fmt: skip

# Where a program written for torch finds what has another place here.
_ELSEWHERE = {
    "utils": "data sets and loaders of torch.utils.data are in nnrt.data",
    "compile": "modules run as they are: call the module itself",
    "jit": "modules run as they are: call the module itself",
    "autocast": "computation is in float32 or float64: leave autocast out",
    "amp": "computation is in float32 or float64: leave autocast and the scaling of the loss out",
    "fft": "transforms are numpy.fft's; long convolutions are nnrt.nn.functional.fft_conv",
    "hub": "models are in nnrt.models, and nnrt.load reads torch's .pt files",
    "func": "derivatives are nnrt.autograd.grad's, of first order",
    "vmap": "functions take batches as they are",
    "special": "its functions are nnrt's own: erf, digamma, logit, sinc, xlogy; expit is sigmoid",
    "sparse": "gradients of embeddings alone are sparse: nnrt.SparseRows",
    "distributed": "there is one process, whose threads share the work",
    "multiprocessing": "there is one process, whose threads share the work",
    "random": "nnrt.manual_seed, nnrt.get_rng_state and nnrt.set_rng_state",
    "range": "nnrt.arange, whose end is left out",
    "stft": "transforms are numpy.fft's; windows are nnrt.hann_window and its kin",
    "istft": "transforms are numpy.fft's; windows are nnrt.hann_window and its kin",
    "histogram": "nnrt.histc, or numpy.histogram",
    "vander": "numpy.vander",
    "combinations": "itertools.combinations",
    "frombuffer": "nnrt.from_numpy(numpy.frombuffer(...))",
    "set_default_tensor_type": "nnrt.set_default_dtype",
    "embedding_bag": "nnrt.nn.functional.embedding_bag",
    "embedding": "nnrt.nn.functional.embedding(indices, weight)",
} | dict.fromkeys(("svd", "qr", "cholesky", "eig", "lu", "lstsq"), "nnrt.linalg, or numpy.linalg without gradients")
_ELSEWHERE |= dict.fromkeys(("bfloat16", "complex64", "complex128", "cfloat"), "computation is in float32 or float64")


def __getattr__(name):
    if name in _LAZY:
        return _importlib.import_module(f".{name}", __name__)
    if name in _LAZY_FROM:
        return getattr(_importlib.import_module(_LAZY_FROM[name], __name__), name)
    hint = f" ({_ELSEWHERE[name]})" if name in _ELSEWHERE else ""
    raise AttributeError(f"module 'nnrt' has no attribute {name!r}{hint}")


def __dir__():
    return sorted({*globals(), *_LAZY, *_LAZY_FROM} - {"_LAZY", "_LAZY_FROM", "_ELSEWHERE", "_importlib"})
