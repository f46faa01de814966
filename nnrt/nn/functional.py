"""The ops under the names of torch.nn.functional, whose parameters have torch's names too."""

# ruff: noqa: F401
from ..ops.activation import (
    bilinear_gate,
    celu,
    elu,
    geglu,
    gelu,
    glu,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    logsigmoid,
    mish,
    prelu,
    reglu,
    relu,
    relu6,
    rrelu,
    selu,
    silu,
    softplus,
    softshrink,
    softsign,
    squared_relu,
    step,
    swiglu,
    swish,
    tanhshrink,
    threshold,
)
from ..ops.attention import scaled_dot_product_attention
from ..ops.conv import conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, fft_conv
from ..ops.create import empty_like as _empty_like
from ..ops.create import zeros_like as _zeros_like
from ..ops.ctc import ctc_loss
from ..ops.distance import cosine_similarity, pairwise_distance, pdist
from ..ops.einsum import bilinear
from ..ops.elementwise import div
from ..ops.embedding import embedding, embedding_bag
from ..ops.fold import fold, unfold
from ..ops.fractional import fractional_max_pool2d, fractional_max_pool3d
from ..ops.grid_sample import affine_grid, grid_sample
from ..ops.linear import linear
from ..ops.loss import cross_entropy, linear_cross_entropy, nll_loss
from ..ops.margin import (
    cosine_embedding_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    poisson_nll_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from ..ops.masks import one_hot
from ..ops.multihead import multi_head_attention_forward
from ..ops.norm import (
    add_layer_norm,
    add_rms_norm,
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from ..ops.pad import pad
from ..ops.pointwise import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    smooth_l1_loss,
)
from ..ops.pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    lp_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
    max_unpool3d,
)
from ..ops.promotion import check_tensors as _check_tensors
from ..ops.random import alpha_dropout as _alpha_dropout
from ..ops.random import check_probability as _check_probability
from ..ops.random import dropout as _dropout
from ..ops.random import feature_alpha_dropout as _feature_alpha_dropout
from ..ops.random import feature_dropout
from ..ops.resample import interpolate, upsample, upsample_bilinear, upsample_nearest
from ..ops.rotary import rotary_embedding
from ..ops.scan import qrnn_pool, scan, sru_scan
from ..ops.shuffle import channel_shuffle, pixel_shuffle, pixel_unshuffle
from ..ops.softmax import log_softmax, softmax, softmin
from ..ops.statistics import vector_norm
from ..ops.ternary import clamp_min
from ..ops.transformer import feed_forward, projected_attention
from ..ops.unary import sigmoid, tanh
from ..tensor import Tensor

_threshold = threshold  # threshold_ has a parameter of this name


def normalize(input, p=2.0, dim=1, eps=1e-12) -> Tensor:
    """input / max(|input|_p, eps), the p-norm taken along dim (an axis or a tuple of them)."""
    return div(input, clamp_min(vector_norm(input, p, dim, True), eps))


def gumbel_softmax(logits, tau=1, hard=False, eps=1e-10, dim=-1) -> Tensor:
    """softmax((logits + g) / tau) along dim with g from Gumbel(0, 1); hard: one-hot, with the gradient of the soft one.

    Jang et al., 2017. eps is torch's and unused.
    """
    _check_tensors("gumbel_softmax", logits=logits)
    y = softmax((logits - _empty_like(logits.detach()).exponential_().log()) / tau, dim)
    if not hard:
        return y
    soft = y.detach()
    return y - soft + _zeros_like(soft).scatter_(dim, soft.argmax(dim, keepdim=True), 1.0)


# In place where the tape does not need x; out of place, with a new tensor as the result, elsewhere.


def relu_(input) -> Tensor:
    """relu(input, inplace=True)."""
    return relu(input, True)


def leaky_relu_(input, negative_slope=0.01) -> Tensor:
    """leaky_relu(input, negative_slope, inplace=True)."""
    return leaky_relu(input, negative_slope, True)


def elu_(input, alpha=1.0) -> Tensor:
    """elu(input, alpha, inplace=True)."""
    return elu(input, alpha, True)


def celu_(input, alpha=1.0) -> Tensor:
    """celu(input, alpha, inplace=True)."""
    return celu(input, alpha, True)


def selu_(input) -> Tensor:
    """selu(input, inplace=True)."""
    return selu(input, True)


def hardtanh_(input, min_val=-1.0, max_val=1.0) -> Tensor:
    """hardtanh(input, min_val, max_val, inplace=True)."""
    return hardtanh(input, min_val, max_val, True)


def rrelu_(input, lower=1.0 / 8, upper=1.0 / 3, training=False) -> Tensor:
    """rrelu(input, lower, upper, training, inplace=True)."""
    return rrelu(input, lower, upper, training, True)


def threshold_(input, threshold, value) -> Tensor:
    """threshold(input, threshold, value, inplace=True)."""
    return _threshold(input, threshold, value, True)


# The dropouts take torch's `inplace`; x is left as it is in any case.


def dropout(input, p=0.5, training=True, inplace=False) -> Tensor:
    """input with each element zeroed with probability p and the others divided by 1 - p; input itself unless training.

    inplace, here and below, is torch's, and unused. ValueError for p outside of [0, 1].
    """
    return _dropout(input, p, training)


def alpha_dropout(input, p=0.5, training=False, inplace=False) -> Tensor:
    """Dropout, with probability p in training, that keeps mean and variance of SELU activations."""
    return _alpha_dropout(input, p, training)


def feature_alpha_dropout(input, p=0.5, training=False, inplace=False) -> Tensor:
    """alpha_dropout of whole channels of [N, C, ...]; p and training as there."""
    return _feature_alpha_dropout(input, p, training)


def dropout1d(input, p=0.5, training=True, inplace=False) -> Tensor:
    """dropout of whole channels of [N, C, L] or [C, L], each with probability p in training."""
    return _channels_dropped("dropout1d", input, p, training, (2, 3), unbatched=2)


def dropout2d(input, p=0.5, training=True, inplace=False) -> Tensor:
    """dropout1d of [N, C, H, W]; three dimensions are [N, C, L], as in torch. p and training as there."""
    return _channels_dropped("dropout2d", input, p, training, (3, 4), unbatched=None)


def dropout3d(input, p=0.5, training=True, inplace=False) -> Tensor:
    """dropout1d of [N, C, D, H, W] or [C, D, H, W]; p and training as there."""
    return _channels_dropped("dropout3d", input, p, training, (4, 5), unbatched=4)


def _channels_dropped(op, x, p, training, ndims, unbatched):
    _check_probability(op, p)
    _check_tensors(op, input=x)
    if x.ndim not in ndims:
        raise RuntimeError(f"{op}: wants {ndims[0]} or {ndims[1]} dimensions, got shape {tuple(x.shape)}")
    if x.ndim == unbatched:
        return feature_dropout(x.unsqueeze(0), p, training).squeeze(0)
    return feature_dropout(x, p, training)
