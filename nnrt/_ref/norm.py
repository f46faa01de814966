"""Normalisation (specification).

    y = f(x̂ w + b)     x̂ = (x - mean) rstd     rstd = 1 / √(var + eps)

Legend: N batch, R rows (pixels), C channels, G groups of consecutive channels. Channels-last memory
x[N, R, C]: batch norm is N = 1 and G = C, instance norm G = C, group norm the rest. Layer norm: x[R, C],
normalised along C; without mean it is RMS norm (mean None, which then counts as 0). Statistics are
float64, weight[C] and bias[C] of x's dtype or None. There is at least one element to every statistic.

activation f: None or "relu".
"""

import numpy as np

from . import Out


def _grouped(x, groups):
    """x[N, R, C] in float64 as [N, R, G, C / G]."""
    n, rows, c = x.shape
    return x.astype(np.float64).reshape(n, rows, groups, c // groups)


def moments(mean: Out, var: Out, x, groups):
    """mean[N, G] and var[N, G] = Σ (x - mean)² / count of each group's channels over the rows."""
    v = _grouped(x, groups)
    with np.errstate(all="ignore"):
        mean[...] = v.mean(axis=(1, 3))
        var[...] = v.var(axis=(1, 3))


def batch_moments(mean: Out, rstd: Out, mean1: Out, var1: Out, x, mean0, var0, momentum, eps):
    """mean[1, C] and rstd[1, C] of x[1, R, C], and the running statistics that move from mean0, var0 to mean1, var1 ([C];
    the variance of R - 1 counts), these four None or the new ones the same arrays as the old."""
    var = np.empty_like(rstd)
    moments(mean, var, x, x.shape[2])
    with np.errstate(all="ignore"):
        rstd[...] = 1 / np.sqrt(var + eps)
        if mean1 is not None:
            move(mean1, mean0, mean, momentum, 1.0)
            move(var1, var0, var, momentum, np.float64(x.shape[1]) / (x.shape[1] - 1))


def move(y: Out, x, value, momentum, scale):
    """y[C] = (1 - momentum) x + momentum scale value[..., C], running statistics and new ones (float64); y may be x."""
    with np.errstate(all="ignore"):
        y[...] = (1 - momentum) * x.astype(np.float64) + momentum * scale * value.reshape(x.shape)


def normalize(y: Out, x, mean, rstd, weight, bias, residual=None, activation=None):
    """y = f((x - mean) rstd weight + bias + residual), with mean[N, G] and rstd[N, G]; residual: like x or None."""
    with np.errstate(all="ignore"):
        z = _affine(_affine(_normal(x, mean, rstd), weight, bias), None, residual)
        y[...] = np.where(z < 0, 0, z) if activation == "relu" else z


def _normal(x, mean, rstd):
    v = _grouped(x, mean.shape[1])
    return ((v - mean[:, None, :, None]) * rstd[:, None, :, None]).reshape(x.shape)


def _affine(z, weight, bias):
    z = z if weight is None else z * weight
    return z if bias is None else z + bias


def normalize_backward(dx: Out, dr: Out, dw: Out, db: Out, dy, x, y, mean, rstd, weight, bias, activation, fixed):
    """With dŷ = dy where f let x̂ w + b (+ residual) through, and means taken over what mean was taken over:

        dw = Σ dŷ x̂,  db = Σ dŷ,  dx = rstd (w dŷ - mean(w dŷ) - x̂ mean(w dŷ x̂))

    fixed: mean and rstd are constants, dx = rstd w dŷ. dw and db may be None. After a relu with a residual y, the result,
    says what passed, and dr = dŷ is the residual's gradient; otherwise both are None. dx may be dy.
    """
    with np.errstate(all="ignore"):
        z = _normal(x, mean, rstd)
        g = dy.astype(np.float64)
        if activation == "relu":
            g = np.where((_affine(z, weight, bias) if y is None else y) <= 0, 0, g)
        if dr is not None:
            dr[...] = g
        if dw is not None:
            dw[...] = (g * z).sum(axis=(0, 1))
        if db is not None:
            db[...] = g.sum(axis=(0, 1))
        g, z = (_grouped(a, mean.shape[1]) for a in (_affine(g, weight, None), z))
        if not fixed:
            g = g - g.mean(axis=(1, 3), keepdims=True) - z * (g * z).mean(axis=(1, 3), keepdims=True)
        dx[...] = (g * rstd[:, None, :, None]).reshape(x.shape)


def layer_norm(y: Out, total: Out, mean: Out, rstd: Out, x, residual, weight, bias, eps):
    """y = (x - mean) rstd weight + bias, with mean[R] and rstd[R] of the rows; mean None: RMS norm.

    residual: total = x + residual takes x's place; both may be None.
    """
    v = x.astype(np.float64)
    with np.errstate(all="ignore"):
        if residual is not None:
            total[...] = x + residual
            v = total.astype(np.float64)
        if mean is not None:
            mean[...] = v.mean(axis=1)
            v = v - mean[:, None]
        rstd[...] = 1 / np.sqrt((v * v).mean(axis=1) + eps)
        y[...] = _affine(v * rstd[:, None], weight, bias)


def layer_norm_backward(dx: Out, dw: Out, db: Out, dy, x, mean, rstd, weight, more):
    """dx = rstd (w dy - mean(w dy) - x̂ mean(w dy x̂)) + more, the second term only with a mean; dw = Σ dy x̂, db = Σ dy.

    more: the gradient that reaches x on another way, or None.
    """
    with np.errstate(all="ignore"):
        z = (x.astype(np.float64) - (0 if mean is None else mean[:, None])) * rstd[:, None]
        if dw is not None:
            dw[...] = (dy * z).sum(axis=0)
        if db is not None:
            db[...] = dy.sum(axis=0, dtype=np.float64)
        g = _affine(dy.astype(np.float64), weight, None)
        centred = g if mean is None else g - g.mean(axis=1, keepdims=True)
        g = rstd[:, None] * (centred - z * (g * z).mean(axis=1, keepdims=True))
        dx[...] = g if more is None else g + more
