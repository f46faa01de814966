"""Gradient descent with momentum, and with averaging."""

from .. import memory, registry
from ..tensor import bump, wrap
from ._rows import Rows
from .optimizer import Counted, Optimizer, check, implementation

K = registry.family("optim")


class SGD(Optimizer):
    """Gradient descent, with momentum as in Sutskever et al., On the importance of initialization and
    momentum in deep learning (2013), the learning rate kept outside of the buffer.

    params: Tensors or groups, see Optimizer; lr: learning rate; momentum: decay of the buffer;
    dampening: the gradient enters the buffer times 1 - dampening (not at the first step); weight_decay:
    added to the gradient times the parameter; nesterov: looks one step ahead; maximize: climbs.
    foreach and fused change nothing: the step is always fused. Without momentum, row-sparse gradients
    change their rows alone; with it they are made dense.

    Raises ValueError for an option out of its range, and for nesterov without momentum or with dampening.
    """

    def __init__(
        self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *, maximize=False,
        foreach=None, differentiable=False, fused=None,
    ):
        check(self._name, lr=lr, momentum=momentum, weight_decay=weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"SGD: nesterov=True wants momentum > 0 and dampening=0, got momentum={momentum} and "
                f"dampening={dampening}"
            )
        implementation(self._name, foreach, fused, False, differentiable)
        defaults = dict(
            lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay, nesterov=nesterov,
            maximize=maximize, foreach=foreach, differentiable=differentiable, fused=fused,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def _update(self, group, batch):
        K.sgd(
            batch.params, batch.slots[0] if batch.slots else None, batch.grads, batch.step == 1, group["lr"],
            group["momentum"], group["dampening"], group["nesterov"], group["weight_decay"],
            group["maximize"],
        )

    def _sparse(self, p, gradient, group):
        if group["weight_decay"] != 0:
            raise RuntimeError(
                "SGD: weight_decay reaches every row, a row-sparse gradient some: use weight_decay=0"
            )
        rows = Rows(self._name, p, gradient)

        def update():
            if group["momentum"] == 0:
                sign = 1 if group["maximize"] else -1
                p.array[rows.index] += sign * group["lr"] * rows.values
            else:
                state = self.state[p]
                first = state.get("momentum_buffer") is None
                if first:
                    state["momentum_buffer"] = self._new_slot("momentum_buffer", p, group)
                work = memory.dense(p.array)
                buffer = memory.as_like(state["momentum_buffer"].array, work)
                state["momentum_buffer"] = wrap(buffer)
                K.sgd(
                    [work], [buffer], [memory.as_like(rows.dense(), work)], first, group["lr"],
                    group["momentum"], group["dampening"], group["nesterov"], 0, group["maximize"],
                )
                if work is not p.array:
                    p.array[...] = work
            bump(p)

        return update


class ASGD(Counted):
    """Averaged gradient descent: Polyak and Juditsky, Acceleration of Stochastic Approximation (1992).

    The rate is eta_t = lr / (1 + lambd lr t)^alpha, lambd a decay of the parameters; from step t0 on the
    state "ax" is the mean of the parameters since. Other arguments as for :class:`SGD`.
    """

    _numbers = ("eta", "mu")
    _key = "eta"

    def __init__(
        self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, foreach=None, maximize=False,
        differentiable=False, capturable=False,
    ):
        check(self._name, lr=lr, weight_decay=weight_decay)
        implementation(self._name, foreach, None, capturable, differentiable)
        defaults = dict(
            lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, foreach=foreach,
            maximize=maximize, differentiable=differentiable, capturable=capturable,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("ax",)

    def _new_state(self, p, group):
        return {"step": 0, "eta": float(group["lr"]), "mu": 1.0}

    def _update(self, group, batch):
        lr, lambd = group["lr"], group["lambd"]
        mu = batch.states[0]["mu"]
        K.asgd(
            batch.params, *batch.slots, batch.grads, batch.rest, mu, lambd, group["weight_decay"],
            group["maximize"],
        )
        eta = lr / (1 + lambd * lr * batch.step) ** group["alpha"]
        mu = 1 / max(1, batch.step - group["t0"])
        for state in batch.states:
            state["eta"] = eta
            state["mu"] = mu
