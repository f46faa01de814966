"""Adam and the rules grown from it: AdamW, NAdam, RAdam, Adamax. Their formulas are in nnrt._ref.optim."""

from .. import registry
from .optimizer import Counted, check, implementation

K = registry.family("optim")


class Adam(Counted):
    """Kingma and Ba, Adam: A Method for Stochastic Optimization (2015), algorithm 1.

    params: Tensors or groups, see Optimizer; lr: learning rate; betas: decay of the averages of
    gradient and squared gradient; eps: added to the root; weight_decay: added to the gradient times the
    parameter, or with decoupled_weight_decay taken from the parameter (AdamW); amsgrad: divides by the
    largest average so far (Reddi, Kale and Kumar, 2018); maximize: climbs. foreach and fused change
    nothing: the step is always fused. differentiable and capturable, here and in the other optimisers,
    raise RuntimeError: steps are not recorded, and CPUs have no CUDA graphs.

    Raises ValueError for an option out of its range.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *, foreach=None,
        maximize=False, capturable=False, differentiable=False, fused=None, decoupled_weight_decay=False,
    ):
        check(self._name, lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        implementation(self._name, foreach, fused, capturable, differentiable)
        defaults = dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, maximize=maximize,
            foreach=foreach, capturable=capturable, differentiable=differentiable, fused=fused,
            decoupled_weight_decay=decoupled_weight_decay,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        if group["amsgrad"]:
            return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
        return ("exp_avg", "exp_avg_sq")

    def _update(self, group, batch):
        slots = batch.slots
        beta1, beta2 = group["betas"]
        K.adam(
            batch.params, slots[0], slots[1], slots[2] if len(slots) == 3 else None, batch.grads, batch.step,
            group["lr"], beta1, beta2, group["eps"], group["weight_decay"], group["decoupled_weight_decay"],
            group["maximize"],
        )


class AdamW(Adam):
    """Loshchilov and Hutter, Decoupled Weight Decay Regularization (2019).

    p *= 1 - lr weight_decay, then Adam. Arguments as for :class:`Adam`; weight_decay is 0.01 by default.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *,
        maximize=False, foreach=None, capturable=False, differentiable=False, fused=None,
    ):
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach, maximize=maximize,
            capturable=capturable, differentiable=differentiable, fused=fused, decoupled_weight_decay=True,
        )


class NAdam(Counted):
    """Dozat, Incorporating Nesterov Momentum into Adam (2016).

    The momentum follows a schedule, mu_t = beta1 (1 - 0.96^(t momentum_decay) / 2). Other arguments as
    for :class:`Adam`.
    """

    _numbers = ("mu_product",)
    _key = "mu_product"

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
        decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False, differentiable=False,
    ):
        check(
            self._name, lr=lr, eps=eps, betas=betas, weight_decay=weight_decay, momentum_decay=momentum_decay
        )
        implementation(self._name, foreach, None, capturable, differentiable)
        defaults = dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay, maximize=maximize, foreach=foreach,
            capturable=capturable, differentiable=differentiable,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _new_state(self, p, group):
        return {"step": 0, "mu_product": 1.0}

    def _update(self, group, batch):
        beta1, beta2 = group["betas"]
        mu = beta1 * (1 - 0.5 * 0.96 ** (batch.step * group["momentum_decay"]))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((batch.step + 1) * group["momentum_decay"]))
        mu_product = batch.rest * mu
        K.nadam(
            batch.params, *batch.slots, batch.grads, batch.step, mu, mu_next, mu_product, group["lr"],
            beta1, beta2, group["eps"], group["weight_decay"], group["decoupled_weight_decay"],
            group["maximize"],
        )
        for state in batch.states:
            state["mu_product"] = mu_product


class RAdam(Counted):
    """Liu et al., On the Variance of the Adaptive Learning Rate and Beyond (2020), algorithm 2.

    Plain momentum until the variance of the adaptive rate is finite, then Adam rectified by it.
    Arguments as for :class:`Adam`.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, *,
        foreach=None, maximize=False, capturable=False, differentiable=False,
    ):
        check(self._name, lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        implementation(self._name, foreach, None, capturable, differentiable)
        defaults = dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize, foreach=foreach,
            capturable=capturable, decoupled_weight_decay=decoupled_weight_decay,
            differentiable=differentiable,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("exp_avg", "exp_avg_sq")

    def _update(self, group, batch):
        K.radam(
            batch.params, *batch.slots, batch.grads, batch.step, group["lr"], *group["betas"], group["eps"],
            group["weight_decay"], group["decoupled_weight_decay"], group["maximize"],
        )


class Adamax(Counted):
    """Kingma and Ba, Adam (2015), algorithm 2: Adam with the infinity norm.

    Arguments as for :class:`Adam`.
    """

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *, maximize=False,
        differentiable=False, capturable=False,
    ):
        check(self._name, lr=lr, eps=eps, betas=betas, weight_decay=weight_decay)
        implementation(self._name, foreach, None, capturable, differentiable)
        defaults = dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
            differentiable=differentiable, capturable=capturable,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("exp_avg", "exp_inf")

    def _update(self, group, batch):
        K.adamax(
            batch.params, *batch.slots, batch.grads, batch.step, group["lr"], *group["betas"], group["eps"],
            group["weight_decay"], group["maximize"],
        )
