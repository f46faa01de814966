"""Optimiser steps in Numba. See nnrt._ref.optim for what each computes.

One compiled loop per rule runs over one tensor; options are constants to it. Constants arrive in
the dtype of the parameters, so that float32 stays float32.
"""

import numpy as np

from nnrt._ref.optim import matching  # noqa: F401  as specified

from .compiled import jit
from .maps import run

CHUNK = 16384


def _each(rule, params, states, grads, *constants):
    """Calls rule(p, s..., g, *constants) for every tensor, flat; a missing state is an empty array."""
    for i, p in enumerate(params):
        number = p.dtype.type
        none = np.empty(0, p.dtype)
        flat = [none if s is None else s[i].ravel(order="K") for s in states]
        scalars = [number(c) if isinstance(c, float) else c for c in constants]
        rule(p.ravel(order="K"), *flat, grads[i].ravel(order="K"), *scalars)


def _sign(maximize):
    return -1.0 if maximize else 1.0


def sgd(params, buffers, grads, first, lr, momentum, dampening, nesterov, weight_decay, maximize):
    constants = float(lr), float(momentum), float(1 - dampening), float(weight_decay), _sign(maximize)
    _each(_sgd, params, (buffers,), grads, bool(first), bool(nesterov), *constants)


@jit
def _sgd(p, buffer, grad, first, nesterov, lr, momentum, rest, decay, sign):
    has_momentum = buffer.size == p.size
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        if has_momentum:
            b = g if first else momentum * buffer[i] + rest * g
            buffer[i] = b
            g = g + momentum * b if nesterov else b
        p[i] -= lr * g


def adam(
    params, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, grads,
    step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize,
):
    constants = (
        lr / (1 - beta1**step), 1.0 - beta1, float(beta2), 1.0 - beta2, (1 - beta2**step) ** -0.5, float(eps),
        *_decay(lr, weight_decay, decoupled), _sign(maximize),
    )
    _each(_adam, params, (exp_avgs, exp_avg_sqs, max_exp_avg_sqs), grads, *constants)


def _decay(lr, weight_decay, decoupled):
    return (0.0, 1.0 - lr * weight_decay) if decoupled else (float(weight_decay), 1.0)


@jit
def _adam(p, ms, vs, tops, grad, lr, a, beta2, c, correction, eps, decay, shrink, sign):
    amsgrad = tops.size == p.size
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        m = ms[i] + a * (g - ms[i])
        v = beta2 * vs[i] + c * (g * g)
        ms[i] = m
        vs[i] = v
        if amsgrad:
            v = v if v > tops[i] or v != v else tops[i]
            tops[i] = v
        p[i] = shrink * p[i] - lr * m / (np.sqrt(v) * correction + eps)


def nadam(
    params, exp_avgs, exp_avg_sqs, grads,
    step, mu, mu_next, mu_product, lr, beta1, beta2, eps, weight_decay, decoupled, maximize,
):
    constants = (
        lr * mu_next / (1 - mu_product * mu_next), lr * (1 - mu) / (1 - mu_product),
        1.0 - beta1, float(beta2), 1.0 - beta2, (1 - beta2**step) ** -0.5, float(eps),
        *_decay(lr, weight_decay, decoupled), _sign(maximize),
    )
    _each(_nadam, params, (exp_avgs, exp_avg_sqs), grads, *constants)


@jit
def _nadam(p, ms, vs, grad, of_m, of_g, a, beta2, c, correction, eps, decay, shrink, sign):
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        m = ms[i] + a * (g - ms[i])
        v = beta2 * vs[i] + c * (g * g)
        ms[i] = m
        vs[i] = v
        p[i] = shrink * p[i] - (of_g * g + of_m * m) / (np.sqrt(v) * correction + eps)


def radam(
    params, exp_avgs, exp_avg_sqs, grads, step, lr, beta1, beta2, eps, weight_decay, decoupled, maximize
):
    end = 2 / (1 - beta2) - 1
    correction = 1 - beta2**step
    rho = end - 2 * step * beta2**step / correction
    rate = lr / (1 - beta1**step)
    if rho > 5:
        rate *= ((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho) * correction) ** 0.5
    constants = (
        rate, 1.0 - beta1, float(beta2), 1.0 - beta2, float(eps),
        *_decay(lr, weight_decay, decoupled), _sign(maximize),
    )
    _each(_radam, params, (exp_avgs, exp_avg_sqs), grads, rho > 5, *constants)


@jit
def _radam(p, ms, vs, grad, adapted, lr, a, beta2, c, eps, decay, shrink, sign):
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        m = ms[i] + a * (g - ms[i])
        v = beta2 * vs[i] + c * (g * g)
        ms[i] = m
        vs[i] = v
        update = lr * m
        if adapted:
            update /= np.sqrt(v) + eps
        p[i] = shrink * p[i] - update


def adamax(params, exp_avgs, exp_infs, grads, step, lr, beta1, beta2, eps, weight_decay, maximize):
    rate = lr / (1 - beta1**step)
    constants = rate, 1.0 - beta1, float(beta2), float(eps), float(weight_decay), _sign(maximize)
    _each(_adamax, params, (exp_avgs, exp_infs), grads, *constants)


@jit
def _adamax(p, ms, us, grad, lr, a, beta2, eps, decay, sign):
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        ms[i] += a * (g - ms[i])
        now = abs(g) + eps
        before = beta2 * us[i]
        us[i] = now if now > before or now != now else before
        p[i] -= lr * ms[i] / us[i]


def adagrad(params, sums, grads, step, lr, lr_decay, eps, weight_decay, maximize):
    constants = lr / (1 + (step - 1) * lr_decay), float(eps), float(weight_decay), _sign(maximize)
    _each(_adagrad, params, (sums,), grads, *constants)


@jit
def _adagrad(p, sums, grad, lr, eps, decay, sign):
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        sums[i] += g * g
        p[i] -= lr * g / (np.sqrt(sums[i]) + eps)


def adadelta(params, square_avgs, acc_deltas, grads, lr, rho, eps, weight_decay, maximize):
    constants = float(lr), float(rho), 1.0 - rho, float(eps), float(weight_decay), _sign(maximize)
    _each(_adadelta, params, (square_avgs, acc_deltas), grads, *constants)


@jit
def _adadelta(p, vs, deltas, grad, lr, rho, rest, eps, decay, sign):
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        vs[i] = rho * vs[i] + rest * (g * g)
        delta = np.sqrt((deltas[i] + eps) / (vs[i] + eps)) * g
        deltas[i] = rho * deltas[i] + rest * (delta * delta)
        p[i] -= lr * delta


def rmsprop(
    params, square_avgs, grad_avgs, buffers, grads, lr, alpha, eps, weight_decay, momentum, maximize
):
    constants = (
        float(lr), float(alpha), 1.0 - alpha, float(eps), float(weight_decay), float(momentum),
        _sign(maximize),
    )
    _each(_rmsprop, params, (square_avgs, grad_avgs, buffers), grads, *constants)


@jit
def _rmsprop(p, vs, means, buffers, grad, lr, alpha, rest, eps, decay, momentum, sign):
    centered = means.size == p.size
    has_momentum = buffers.size == p.size
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        v = alpha * vs[i] + rest * (g * g)
        vs[i] = v
        if centered:
            mean = means[i] + rest * (g - means[i])
            means[i] = mean
            v -= mean * mean
            if v < 0:
                v = v - v
        g = g / (np.sqrt(v) + eps)
        if has_momentum:
            g = momentum * buffers[i] + g
            buffers[i] = g
        p[i] -= lr * g


def rprop(params, prevs, step_sizes, grads, etaminus, etaplus, low, high, maximize):
    constants = float(etaminus), float(etaplus), float(low), float(high), _sign(maximize)
    _each(_rprop, params, (prevs, step_sizes), grads, *constants)


@jit
def _rprop(p, prevs, step_sizes, grad, etaminus, etaplus, low, high, sign):
    for i in range(p.size):
        g = sign * grad[i]
        last = prevs[i]
        step = step_sizes[i]
        if (g > 0 and last > 0) or (g < 0 and last < 0):
            step *= etaplus
        elif (g > 0 and last < 0) or (g < 0 and last > 0):
            step *= etaminus
            g = g - g
        step = low if step < low else high if step > high else step
        step_sizes[i] = step
        prevs[i] = g
        if g > 0:
            p[i] -= step
        elif g < 0:
            p[i] += step
        elif g != g:
            p[i] = g


def asgd(params, averages, grads, eta, mu, lambd, weight_decay, maximize):
    constants = float(eta), float(mu), 1.0 - lambd * eta, float(weight_decay), _sign(maximize)
    _each(_asgd, params, (averages,), grads, *constants)


@jit
def _asgd(p, averages, grad, eta, mu, shrink, decay, sign):
    for i in range(p.size):
        g = sign * grad[i]
        if decay != 0:
            g += decay * p[i]
        x = shrink * p[i] - eta * g
        p[i] = x
        averages[i] = x if mu == 1 else averages[i] + mu * (x - averages[i])


def sparse_adam(param, exp_avg, exp_avg_sq, rows, values, step, lr, beta1, beta2, eps, maximize):
    number = param.dtype.type
    rate = lr * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
    constants = [number(c) for c in (rate, 1 - beta1, 1 - beta2, eps, _sign(maximize))]
    _sparse_adam(param, exp_avg, exp_avg_sq, rows, values, *constants)


@jit
def _sparse_adam(p, ms, vs, rows, values, rate, a, c, eps, sign):
    for k in range(rows.size):
        r = rows[k]
        for j in range(values.shape[1]):
            g = sign * values[k, j]
            ms[r, j] += a * (g - ms[r, j])
            vs[r, j] += c * (g * g - vs[r, j])
            p[r, j] -= rate * ms[r, j] / (np.sqrt(vs[r, j]) + eps)


def scale(grads, factor):
    for g in grads:
        run(np.multiply, g, g, float(factor))


def clamp(grads, low, high):
    for g in grads:
        run(np.maximum, g, g, float(low))
        run(np.minimum, g, g, float(high))


def grad_norm(partials, grads, order):
    at = 0
    for g in grads:
        pieces = -(-g.size // CHUNK)
        _grad_norm(partials[at : at + pieces], g.ravel(order="K"), float(order))
        at += pieces


@jit
def _grad_norm(partials, grad, order):
    for piece in range(partials.size):
        total = 0.0
        for i in range(piece * CHUNK, min((piece + 1) * CHUNK, grad.size)):
            x = abs(np.float64(grad[i]))
            if order == np.inf:
                total = x if x > total or x != x else total
            elif order == 2:
                total += x * x
            else:
                total += x**order
        partials[piece] = total
