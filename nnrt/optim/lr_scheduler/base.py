"""LRScheduler: what every schedule has in common.

Two forms of a schedule exist. The chainable one, `get_lr`, changes the rates that stand in the groups,
so that several schedules can act on one optimiser. The closed one, `_get_closed_form_lr`, computes
them from the base rates and the epoch alone.
"""

import warnings

from ..optimizer import Optimizer


class LRScheduler:
    """Base class: sets the "lr" of an optimiser's groups at every step().

    optimizer: an Optimizer; last_epoch: index of the last epoch, -1 to begin. The constructor makes the
    first step, which sets the rates of epoch 0. A subclass defines `get_lr()`, a list of one rate per group.

    Attributes: `last_epoch`, `base_lrs` (the groups' "initial_lr").

    Raises TypeError when optimizer is none, KeyError when last_epoch >= 0 and a group lacks "initial_lr".
    """

    # Whether get_lr is called by the constructor.
    _is_initial = False

    def __init__(self, optimizer, last_epoch=-1):
        self.optimizer = check_optimizer(self, optimizer)
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: last_epoch={last_epoch} resumes, but param_groups[{i}] "
                    "has no 'initial_lr': load the optimiser's state first, or leave last_epoch at -1"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._initial_step()

    def _initial_step(self):
        self._step_count = 0
        self._is_initial = True
        try:
            self.step()
        finally:
            self._is_initial = False

    def step(self, epoch=None):
        """Goes to the next epoch, or to the given one (deprecated, as in torch), and sets the rates."""
        counts = type(self.optimizer).step is Optimizer.step
        if self._step_count == 1 and counts and not self.optimizer._stepped:
            warnings.warn(
                "lr_scheduler.step() before optimizer.step(): the first rate of the schedule is never used",
                stacklevel=2,
            )
        self._step_count += 1
        if epoch is not None:
            warnings.warn("lr_scheduler.step(epoch): the epoch is deprecated, call step()", stacklevel=2)
        self._update_lr(epoch)

    def _update_lr(self, epoch=None):
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr()
        else:
            self.last_epoch = epoch
            closed = getattr(self, "_get_closed_form_lr", self.get_lr)
            values = closed()
        self._set(values)

    def _set(self, values):
        groups = self.optimizer.param_groups
        if len(values) != len(groups):
            raise ValueError(
                f"{type(self).__name__}: made for {len(values)} parameter groups, the optimiser has "
                f"{len(groups)} now"
            )
        for group, lr in zip(groups, values):
            group["lr"] = lr
        self._last_lr = list(values)

    def get_lr(self):
        """The rates of the current epoch, computed from those in the groups; step() calls it, once per epoch.

        To read the rates in use, call get_last_lr().
        """
        raise NotImplementedError(f"{type(self).__name__}: a subclass of LRScheduler must define get_lr()")

    def get_last_lr(self):
        """The rates in use, one per group."""
        return self._last_lr

    def state_dict(self):
        """Everything but the optimiser, as a dict under torch's names."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict):
        """Takes over a state_dict(), of nnrt or torch; the optimiser's rates come with its own state."""
        self.__dict__.update(state_dict)

    def _rates(self):
        return [group["lr"] for group in self.optimizer.param_groups]


class FactorLR(LRScheduler):
    """A schedule whose chainable form multiplies every rate by `_factor()`."""

    def get_lr(self):
        factor = self._factor()
        return [lr * factor for lr in self._rates()]


def check_optimizer(scheduler, optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(scheduler).__name__}: wants an Optimizer, got {type(optimizer).__name__}")
    return optimizer


def per_group(scheduler, name, optimizer, value):
    """One value per group from one for all or a sequence of them; ValueError for another length."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            f"{type(scheduler).__name__}: {name} has {len(value)} values for {groups} parameter groups"
        )
    return list(value)


def pack_function(function):
    """What of a function goes into a state_dict: the attributes of a callable object, None for a function."""
    plain = function is None or hasattr(function, "__code__") or not hasattr(function, "__dict__")
    return None if plain else dict(vars(function))
