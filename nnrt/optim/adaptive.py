"""Rules with a rate per parameter: Adagrad, Adadelta, RMSprop, Rprop. Formulas in nnrt._ref.optim."""

from .. import registry
from ..tensor import bump
from ._rows import Rows
from .optimizer import Counted, check, implementation

K = registry.family("optim")


class Adagrad(Counted):
    """Duchi, Hazan and Singer, Adaptive Subgradient Methods (2011).

    params: Tensors or groups, see Optimizer; lr: learning rate, over 1 + (t - 1) lr_decay at step t;
    initial_accumulator_value: where the sum of squares begins; eps: added to its root; weight_decay:
    added to the gradient times the parameter; maximize: climbs. foreach and fused change nothing.
    Row-sparse gradients change their rows alone.

    Raises ValueError for an option out of its range.
    """

    def __init__(
        self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10,
        foreach=None, *, maximize=False, differentiable=False, fused=None,
    ):
        check(
            "Adagrad", lr=lr, lr_decay=lr_decay, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, eps=eps,
        )
        implementation("Adagrad", foreach, fused, False, differentiable)
        defaults = dict(
            lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, foreach=foreach, maximize=maximize,
            differentiable=differentiable, fused=fused,
        )
        super().__init__(params, defaults)

    def add_param_group(self, param_group):
        """Adds a group; the sums of its parameters begin at once, as in torch."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        for p in group["params"]:
            self.state[p] = {"step": 0, "sum": self._new_slot("sum", p, group)}

    def _slots(self, group):
        return ("sum",)

    def _new_slot(self, name, p, group):
        slot = super()._new_slot(name, p, group)
        slot.array.fill(group["initial_accumulator_value"])
        return slot

    def _update(self, group, batch):
        K.adagrad(
            batch.params, *batch.slots, batch.grads, batch.step, group["lr"], group["lr_decay"], group["eps"],
            group["weight_decay"], group["maximize"],
        )

    def _sparse(self, p, gradient, group):
        if group["weight_decay"] != 0:
            raise RuntimeError(
                "Adagrad: weight_decay reaches every row, a row-sparse gradient some: use weight_decay=0"
            )
        rows = Rows("Adagrad", p, gradient)

        def update():
            state = self._state_of(p, group)
            if state.get("sum") is None:
                state["sum"] = self._new_slot("sum", p, group)
            state["step"] += 1
            part, sums = p.array[rows.index], state["sum"].array[rows.index]
            K.adagrad(
                [part], [sums], [rows.values], state["step"], group["lr"], group["lr_decay"], group["eps"], 0,
                group["maximize"],
            )
            p.array[rows.index] = part
            state["sum"].array[rows.index] = sums
            bump(p)

        return update


class Adadelta(Counted):
    """Zeiler, ADADELTA: An Adaptive Learning Rate Method (2012), times lr.

    rho: decay of both averages; eps: added under both roots. Other arguments as for :class:`Adagrad`.
    """

    def __init__(
        self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *, capturable=False,
        maximize=False, differentiable=False,
    ):
        check("Adadelta", lr=lr, rho=rho, eps=eps, weight_decay=weight_decay)
        implementation("Adadelta", foreach, None, capturable, differentiable)
        defaults = dict(
            lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize, capturable=capturable,
            foreach=foreach, differentiable=differentiable,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("square_avg", "acc_delta")

    def _update(self, group, batch):
        K.adadelta(
            batch.params, *batch.slots, batch.grads, group["lr"], group["rho"], group["eps"],
            group["weight_decay"], group["maximize"],
        )


class RMSprop(Counted):
    """Hinton, Neural Networks for Machine Learning, lecture 6e (2012); centred: Graves (2013), eq. 38 to 41.

    alpha: decay of the averages; centered: divides by the standard deviation of the gradient, not its
    root mean square (a variance that rounding made negative counts as 0); momentum: of the normalised
    gradients. Other arguments as for :class:`Adagrad`.
    """

    def __init__(
        self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False,
        capturable=False, foreach=None, maximize=False, differentiable=False,
    ):
        check("RMSprop", lr=lr, eps=eps, momentum=momentum, weight_decay=weight_decay, alpha=alpha)
        implementation("RMSprop", foreach, None, capturable, differentiable)
        defaults = dict(
            lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered, weight_decay=weight_decay,
            capturable=capturable, foreach=foreach, maximize=maximize, differentiable=differentiable,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        names = ["square_avg"]
        if group["momentum"] > 0:
            names.append("momentum_buffer")
        if group["centered"]:
            names.append("grad_avg")
        return tuple(names)

    def _update(self, group, batch):
        slots = list(batch.slots)
        means = slots.pop() if group["centered"] else None
        buffers = slots.pop() if group["momentum"] > 0 else None
        K.rmsprop(
            batch.params, slots[0], means, buffers, batch.grads, group["lr"], group["alpha"], group["eps"],
            group["weight_decay"], group["momentum"], group["maximize"],
        )


class Rprop(Counted):
    """Riedmiller and Braun, A Direct Adaptive Method for Faster Backpropagation Learning: RPROP (1993).

    For full batches: only the signs of the gradient count. lr: first step size; etas: its factors where
    the sign changes and where it stays; step_sizes: its bounds. Without weight backtracking (iRprop-).
    """

    def __init__(
        self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, capturable=False, foreach=None,
        maximize=False, differentiable=False,
    ):
        check("Rprop", lr=lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Rprop: etas must have 0 < etas[0] < 1 < etas[1], got {etas}")
        implementation("Rprop", foreach, None, capturable, differentiable)
        defaults = dict(
            lr=lr, etas=etas, step_sizes=step_sizes, foreach=foreach, maximize=maximize,
            differentiable=differentiable, capturable=capturable,
        )
        super().__init__(params, defaults)

    def _slots(self, group):
        return ("prev", "step_size")

    def _new_slot(self, name, p, group):
        slot = super()._new_slot(name, p, group)
        if name == "step_size":
            slot.array.fill(group["lr"])
        return slot

    def _update(self, group, batch):
        K.rprop(
            batch.params, *batch.slots, batch.grads, *group["etas"], *group["step_sizes"], group["maximize"]
        )
