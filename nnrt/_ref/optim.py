"""Optimiser steps over many tensors at once (specification).

One call updates every parameter of a group. Arguments in capitals of meaning:

    params, grads   lists of arrays of one dtype; grads[i] has the shape and memory order of params[i]
    other lists     state, array i like params[i]; None where the option that needs it is off
    step            how often these tensors were updated, this time included: the t of the papers

Optimiser steps are the exception to "outputs are overwritten, never read": parameters and state
are updated in place. Gradients are never modified by a step; the clipping kernels modify them,
since they are its outputs. All arrays of one position share one dense memory order, which
`matching` verifies. Two steps apply to every rule, before it, as `_gradient` has them: maximize
turns the sign of the gradient, weight_decay adds weight_decay * p to it.
"""

from math import sqrt

import numpy as np

from .. import memory
from . import Out, quiet

# Elements per partial sum of grad_norm.
CHUNK = 16384


def matching(params, *others):
    """Whether the steps can take these lists: all arrays float32, or all float64, and others[...][i]
    of the shape and memory order of params[i], which must be dense. A list may be None.
    """
    for i, p in enumerate(params):
        if p.dtype not in (np.float32, np.float64) or p.dtype != params[0].dtype or memory.dense(p) is not p:
            return False
        for arrays in others:
            if arrays is not None and not _like(arrays[i], p):
                return False
    return True


def _like(a, p):
    return a.dtype == p.dtype and a.shape == p.shape and a.strides == p.strides and a.flags.aligned


def _gradient(p, g, weight_decay, maximize):
    g = -g if maximize else g
    return g + weight_decay * p if weight_decay else g


def sgd(params: Out, buffers: Out, grads, first, lr, momentum, dampening, nesterov, weight_decay, maximize):
    """Gradient descent; with momentum b = momentum b + (1 - dampening) g, or b = g at the first step.

    p -= lr b, or p -= lr (g + momentum b) with nesterov. Sutskever et al. (2013), with lr outside of b.
    """
    for i, p in enumerate(params):
        g = _gradient(p, grads[i], weight_decay, maximize)
        if buffers is not None:
            b = buffers[i]
            b[...] = g if first else momentum * b + (1 - dampening) * g
            g = g + momentum * b if nesterov else b
        p -= lr * g


def adam(
    params: Out, exp_avgs: Out, exp_avg_sqs: Out, max_exp_avg_sqs: Out, grads,
    step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize,
):
    """Kingma and Ba (2015), algorithm 1; AMSGrad (Reddi et al. 2018) with max_exp_avg_sqs.

        m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2
        p -= lr m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + eps)

    decoupled: p *= 1 - lr weight_decay in place of the decay in g (Loshchilov and Hutter 2019).
    """
    for i, p in enumerate(params):
        m, v = exp_avgs[i], exp_avg_sqs[i]
        g = _gradient(p, grads[i], 0 if decoupled else weight_decay, maximize)
        if decoupled:
            p *= 1 - lr * weight_decay
        m += (1 - beta1) * (g - m)
        v[...] = beta2 * v + (1 - beta2) * g * g
        if max_exp_avg_sqs is not None:
            v = np.maximum(max_exp_avg_sqs[i], v, out=max_exp_avg_sqs[i])
        p -= lr / (1 - beta1**step) * m / (np.sqrt(v) / sqrt(1 - beta2**step) + eps)


def nadam(
    params: Out, exp_avgs: Out, exp_avg_sqs: Out, grads,
    step, mu, mu_next, mu_product, lr, beta1, beta2, eps, weight_decay, decoupled, maximize,
):
    """Dozat (2016): Adam with Nesterov's look-ahead; mu_product is the product of mu over all steps so far.

        p -= lr ((1 - mu) / (1 - mu_product) g + mu_next / (1 - mu_product mu_next) m) / (sqrt(v_hat) + eps)
    """
    for i, p in enumerate(params):
        m, v = exp_avgs[i], exp_avg_sqs[i]
        g = _gradient(p, grads[i], 0 if decoupled else weight_decay, maximize)
        if decoupled:
            p *= 1 - lr * weight_decay
        m += (1 - beta1) * (g - m)
        v[...] = beta2 * v + (1 - beta2) * g * g
        ahead = lr * (1 - mu) / (1 - mu_product) * g + lr * mu_next / (1 - mu_product * mu_next) * m
        p -= ahead / (np.sqrt(v / (1 - beta2**step)) + eps)


def radam(
    params: Out, exp_avgs: Out, exp_avg_sqs: Out, grads,
    step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize,
):
    """Liu et al. (2020), algorithm 2: Adam whose adaptive rate waits until its variance is known.

        rho_inf = 2 / (1 - beta2) - 1,  rho = rho_inf - 2 t beta2^t / (1 - beta2^t)
        rho > 5:  p -= lr r m_hat sqrt(1 - beta2^t) / (sqrt(v) + eps),
                  r^2 = (rho - 4)(rho - 2) rho_inf / ((rho_inf - 4)(rho_inf - 2) rho)
        else      p -= lr m_hat
    """
    rho_inf = 2 / (1 - beta2) - 1
    correction = 1 - beta2**step
    rho = rho_inf - 2 * step * beta2**step / correction
    for i, p in enumerate(params):
        m, v = exp_avgs[i], exp_avg_sqs[i]
        g = _gradient(p, grads[i], 0 if decoupled else weight_decay, maximize)
        if decoupled:
            p *= 1 - lr * weight_decay
        m += (1 - beta1) * (g - m)
        v[...] = beta2 * v + (1 - beta2) * g * g
        update = lr / (1 - beta1**step) * m
        if rho > 5:
            r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            update *= r * sqrt(correction) / (np.sqrt(v) + eps)
        p -= update


def adamax(
    params: Out, exp_avgs: Out, exp_infs: Out, grads, step, lr, beta1, beta2, eps, weight_decay, maximize
):
    """Kingma and Ba (2015), algorithm 2: u = max(beta2 u, |g| + eps), p -= lr / (1 - beta1^t) m / u."""
    for i, p in enumerate(params):
        m, u = exp_avgs[i], exp_infs[i]
        g = _gradient(p, grads[i], weight_decay, maximize)
        m += (1 - beta1) * (g - m)
        u[...] = np.maximum(beta2 * u, np.abs(g) + eps)
        p -= lr / (1 - beta1**step) * m / u


def adagrad(params: Out, sums: Out, grads, step, lr, lr_decay, eps, weight_decay, maximize):
    """Duchi et al. (2011): s += g^2, p -= lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps)."""
    for i, p in enumerate(params):
        g = _gradient(p, grads[i], weight_decay, maximize)
        sums[i] += g * g
        p -= lr / (1 + (step - 1) * lr_decay) * g / (np.sqrt(sums[i]) + eps)


def adadelta(params: Out, square_avgs: Out, acc_deltas: Out, grads, lr, rho, eps, weight_decay, maximize):
    """Zeiler (2012), algorithm 1, times lr.

        v = rho v + (1 - rho) g^2,  d = sqrt(a + eps) / sqrt(v + eps) g,  a = rho a + (1 - rho) d^2
        p -= lr d
    """
    for i, p in enumerate(params):
        v, a = square_avgs[i], acc_deltas[i]
        g = _gradient(p, grads[i], weight_decay, maximize)
        v[...] = rho * v + (1 - rho) * g * g
        d = np.sqrt(a + eps) / np.sqrt(v + eps) * g
        a[...] = rho * a + (1 - rho) * d * d
        p -= lr * d


def rmsprop(
    params: Out, square_avgs: Out, grad_avgs: Out, buffers: Out, grads,
    lr, alpha, eps, weight_decay, momentum, maximize,
):
    """Hinton (2012), lecture 6e; centred by grad_avgs (Graves 2013, equations 38 to 41), momentum in buffers.

        v = alpha v + (1 - alpha) g^2,  c = alpha c + (1 - alpha) g
        u = g / (sqrt(v) + eps), or g / (sqrt(max(v - c^2, 0)) + eps) when centred
        p -= lr u, or b = momentum b + u, p -= lr b
    """
    for i, p in enumerate(params):
        v = square_avgs[i]
        g = _gradient(p, grads[i], weight_decay, maximize)
        v[...] = alpha * v + (1 - alpha) * g * g
        if grad_avgs is not None:
            c = grad_avgs[i]
            c += (1 - alpha) * (g - c)
            v = np.maximum(v - c * c, 0)
        g = g / (np.sqrt(v) + eps)
        if buffers is not None:
            g = buffers[i][...] = momentum * buffers[i] + g
        p -= lr * g


def rprop(params: Out, prevs: Out, step_sizes: Out, grads, etaminus, etaplus, low, high, maximize):
    """Riedmiller and Braun (1993), without weight backtracking (Igel and Huesken 2000, iRprop-).

    The step size grows by etaplus where g keeps its sign, shrinks by etaminus where it changes,
    stays in [low, high]; p -= sign(g) step size. After a change of sign g counts as 0.
    """
    for i, p in enumerate(params):
        g = _gradient(p, grads[i], 0, maximize)
        agree = np.sign(g) * np.sign(prevs[i])
        factor = np.where(agree > 0, etaplus, np.where(agree < 0, etaminus, 1)).astype(p.dtype)
        step_sizes[i][...] = np.clip(step_sizes[i] * factor, low, high)
        g = np.where(agree < 0, p.dtype.type(0), g)
        p -= np.sign(g) * step_sizes[i]
        prevs[i][...] = g


def asgd(params: Out, averages: Out, grads, eta, mu, lambd, weight_decay, maximize):
    """Polyak and Juditsky (1992), as in Bottou's SGD: p = (1 - lambd eta) p - eta g, x += mu (p - x)."""
    for i, p in enumerate(params):
        g = _gradient(p, grads[i], weight_decay, maximize)
        p *= 1 - lambd * eta
        p -= eta * g
        if mu == 1:
            averages[i][...] = p
        else:
            averages[i] += mu * (p - averages[i])


def sparse_adam(
    param: Out, exp_avg: Out, exp_avg_sq: Out, rows, values, step, lr, beta1, beta2, eps, maximize
):
    """Adam on the given rows alone: the moments of the other rows do not decay.

    param, exp_avg, exp_avg_sq: (N, D); values: (R, D), gradients of the rows in `rows` (R, int64, distinct).
    """
    g = -values if maximize else values
    m = exp_avg[rows] + (1 - beta1) * (g - exp_avg[rows])
    v = exp_avg_sq[rows] + (1 - beta2) * (g * g - exp_avg_sq[rows])
    exp_avg[rows] = m
    exp_avg_sq[rows] = v
    param[rows] -= lr * sqrt(1 - beta2**step) / (1 - beta1**step) * m / (np.sqrt(v) + eps)


def grad_norm(partials: Out, grads, order):
    """Partial sums of |g|^order over pieces of CHUNK elements, or partial maxima of |g| for order = inf.

    partials: float64, one per piece; a tensor of n elements has ceil(n / CHUNK) pieces, in memory
    order. Sums are taken in float64 and their order depends on the shapes alone.
    """
    at = 0
    for g in grads:
        flat = np.abs(g.ravel(order="K").astype(np.float64))
        for begin in range(0, flat.size, CHUNK):
            piece = flat[begin : begin + CHUNK]
            partials[at] = piece.max() if order == np.inf else (piece**order).sum()
            at += 1


@quiet
def scale(grads: Out, factor):
    """g *= factor."""
    for g in grads:
        g *= g.dtype.type(factor)


def clamp(grads: Out, low, high):
    """g = min(max(g, low), high); NaN stays NaN."""
    for g in grads:
        np.clip(g, low, high, out=g)
