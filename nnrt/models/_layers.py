"""What several models are made of."""

from contextlib import contextmanager

from .. import nn, no_grad
from ..nn import functional as F
from ..nn.fused import activation_of, embedded, fused


def conv_norm(in_channels, out_channels, kernel_size=3, stride=1, groups=1, activation=nn.ReLU):
    """Convolution without bias that keeps the size (at stride 1), batch norm, activation unless None.

    The keys are those of torchvision's Conv2dNormActivation: 0 the convolution, 1 the norm.
    """
    padding = (kernel_size - 1) // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, groups=groups, bias=False)
    layers = [conv, nn.BatchNorm2d(out_channels)]
    return nn.Sequential(*layers, activation(inplace=True)) if activation else nn.Sequential(*layers)


def rectified(conv, norm, x, relu=None, residual=None):
    """relu(norm(conv(x)) + residual), as one op where no gradient is wanted; relu: a module of it, if there is one."""
    plainly = relu is None or activation_of(relu) == "relu"
    if plainly:
        y = fused(x, conv, norm, "relu", residual)
        if y is not None:
            return y
    y = conv(x)
    if plainly and hasattr(type(norm), "rectified"):
        return norm.rectified(y, residual)
    y = norm(y)
    if residual is not None:
        y = residual + y
    return F.relu(y, inplace=True) if relu is None else relu(y)


def read(ids, embedding, layer, *more):
    """layer(embedding(ids), *more); what it computes of its input once for each symbol where these are few."""
    y = embedded(ids, embedding, layer, *more)
    return layer(embedding(ids), *more) if y is None else y


def plain(kind, *modules):
    """Are these modules of that very kind, without hooks, so that one op may do what several of them say?"""
    return all([type(m) is kind and getattr(m, "_hooks", m) is None for m in modules])


def kaiming(model, mode="fan_out"):
    """Draws the filters of all convolutions from He's normal distribution, for ReLU; biases become 0."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def divisible(channels, by=8):
    """The multiple of `by` that is nearest, at least `by`, and not more than a tenth below."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded if rounded >= 0.9 * channels else rounded + by


def check_count(model, count):
    """ValueError for a number of tokens to generate that is negative."""
    if count < 0:
        raise ValueError(f"{model}.generate: count must be at least 0, got {count}")


def check_ids(model, ids, positions, start=0):
    """ValueError unless ids are [N, T] and T tokens, from `start` on, have positions."""
    if ids.ndim != 2 or ids.shape[1] == 0:
        raise ValueError(f"{model}: ids must be [N, T], T > 0, got shape {tuple(ids.shape)}")
    if start + ids.shape[1] > positions:
        raise ValueError(f"{model}: {start + ids.shape[1]} tokens came, there are {positions} positions")


@contextmanager
def evaluating(model):
    """Without a tape and in evaluation mode; each part that was in training mode is so again afterwards."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        with no_grad():
            yield
    finally:
        for part in training:
            part.training = True
