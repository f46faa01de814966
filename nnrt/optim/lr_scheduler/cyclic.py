"""Schedules along waves: cosine annealing, with and without restarts, triangles, one cycle.

t is the epoch (or step), lr_0 the base rate.
"""

from math import cos, floor, log, pi

from .base import LRScheduler, check_optimizer, pack_function, per_group


def _cosine(start, end, part):
    """From start (part 0) to end (part 1) along half a cosine."""
    return end + (start - end) / 2.0 * (cos(pi * part) + 1)


def _line(start, end, part):
    return start + (end - start) * part


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (lr_0 - eta_min) (1 + cos(pi t / T_max)) / 2.

    Loshchilov and Hutter, SGDR (2017), without restarts.
    """

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        if not T_max > 0:
            raise ValueError(f"CosineAnnealingLR: T_max must be above 0, got {T_max}")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self._is_initial:
            return self._rates()
        if self._step_count == 1 and self.last_epoch > 0:
            return self._get_closed_form_lr()
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # from eta_min no factor leads up
            rise = (1 - cos(pi / self.T_max)) / 2
            return [lr + (base - self.eta_min) * rise for base, lr in zip(self.base_lrs, self._rates())]
        before, now = (1 + cos(pi * t / self.T_max) for t in (self.last_epoch - 1, self.last_epoch))
        factor = now / before
        return [self.eta_min + (lr - self.eta_min) * factor for lr in self._rates()]

    def _get_closed_form_lr(self):
        part = self.last_epoch / self.T_max
        return [_cosine(lr, self.eta_min, part) for lr in self.base_lrs]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Loshchilov and Hutter, SGDR (2017), equation 5: cosines of T_0 epochs, T_0 T_mult, T_0 T_mult^2, ...

    step(epoch) takes a fraction as well: step(epoch + batch / batches). Raises ValueError unless
    T_0 >= 1 and T_mult >= 1 are integers.
    """

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: {name} must be an integer of at least 1, got {value!r}"
                )
        if not isinstance(eta_min, (int, float)):
            raise ValueError(f"CosineAnnealingWarmRestarts: eta_min must be a number, got {eta_min!r}")
        self.T_0 = T_0
        self.T_i = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [_cosine(lr, self.eta_min, self.T_cur / self.T_i) for lr in self.base_lrs]

    def step(self, epoch=None):
        """The next epoch, or the given one, which may be a fraction; ValueError for a negative one."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur %= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if epoch < 0:
                raise ValueError(f"CosineAnnealingWarmRestarts: epoch must be at least 0, got {epoch}")
            restarts = self._restarts(epoch)
            self.T_i = self.T_0 * self.T_mult**restarts
            self.T_cur = epoch - self._start(restarts)
        self.last_epoch = floor(epoch)
        self._set(self.get_lr())

    def _start(self, restarts):
        """Epoch at which period `restarts` begins."""
        if self.T_mult == 1:
            return self.T_0 * restarts
        return self.T_0 * (self.T_mult**restarts - 1) // (self.T_mult - 1)

    def _restarts(self, epoch):
        """How many periods are over at an epoch."""
        if self.T_mult == 1:
            return int(epoch // self.T_0)
        n = int(log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
        while self._start(n + 1) <= epoch:  # the logarithm is not exact at the restarts
            n += 1
        while self._start(n) > epoch:
            n -= 1
        return n


class _Momentum(LRScheduler):
    """What the schedules that move momentum against the rate share."""

    def _find_momentum(self, optimizer, base_momentum, max_momentum, last_epoch):
        """(base, max) per group; at the beginning the momentum is the largest."""
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"{type(self).__name__}: cycle_momentum=True wants an optimiser with momentum or betas, "
                f"{type(optimizer).__name__} has neither"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        bases = per_group(self, "base_momentum", optimizer, base_momentum)
        tops = per_group(self, "max_momentum", optimizer, max_momentum)
        if last_epoch == -1:
            for group, base, top in zip(optimizer.param_groups, bases, tops):
                self._set_momentum(group, top)
                group["max_momentum"] = top
                group["base_momentum"] = base
        return bases, tops

    def _set_momentum(self, group, value):
        if self.use_beta1:
            group["betas"] = (value, *group["betas"][1:])
        else:
            group["momentum"] = value


class CyclicLR(_Momentum):
    """Smith, Cyclical Learning Rates for Training Neural Networks (2017): triangles from base_lr to max_lr.

    step_size_up, step_size_down: steps of the rise and the fall (default: as the rise); mode:
    "triangular", "triangular2" (every triangle half as high) or "exp_range" (height gamma^t);
    scale_fn(x): a height in [0, 1] in place of the mode's, x the cycle from 1 or the step, as scale_mode
    says ("cycle", "iterations"); cycle_momentum: momentum (or beta1) goes from max_momentum to
    base_momentum as the rate rises.

    Raises ValueError for an unknown mode, or cycle_momentum with an optimiser that has neither momentum nor betas.
    """

    def __init__(
        self, optimizer, base_lr, max_lr, step_size_up=2000, step_size_down=None, mode="triangular",
        gamma=1.0, scale_fn=None, scale_mode="cycle", cycle_momentum=True, base_momentum=0.8,
        max_momentum=0.9, last_epoch=-1,
    ):
        check_optimizer(self, optimizer)
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"CyclicLR: mode must be triangular, triangular2 or exp_range, got {mode!r}")
        base_lrs = per_group(self, "base_lr", optimizer, base_lr)
        self.max_lrs = per_group(self, "max_lr", optimizer, max_lr)
        up = float(step_size_up)
        down = up if step_size_down is None else float(step_size_down)
        self.total_size = up + down
        self.step_ratio = up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self._scale_fn_custom = scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._find_momentum(
                optimizer, base_momentum, max_momentum, last_epoch
            )
        if last_epoch == -1:
            for group, lr in zip(optimizer.param_groups, base_lrs):
                group["lr"] = lr
        super().__init__(optimizer, last_epoch)
        self.base_lrs = base_lrs

    def scale_fn(self, x):
        """Height of the triangles in cycle, or at step, x."""
        if self._scale_fn_custom is not None:
            return self._scale_fn_custom(x)
        if self.mode == "triangular":
            return 1.0
        return 1 / 2.0 ** (x - 1) if self.mode == "triangular2" else self.gamma**x

    def get_lr(self):
        cycle = floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        height = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height *= self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, base, top in zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums):
                self._set_momentum(group, top - (top - base) * height)
        return [base + (top - base) * height for base, top in zip(self.base_lrs, self.max_lrs)]

    def state_dict(self):
        """As LRScheduler's; of a scale_fn the attributes of a callable object, None for a function."""
        return {**super().state_dict(), "_scale_fn_custom": pack_function(self._scale_fn_custom)}

    def load_state_dict(self, state_dict):
        """As LRScheduler's; a scale_fn stays, a callable object gets its attributes back."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_scale_fn_custom"})
        if state_dict.get("_scale_fn_custom") is not None:
            vars(self._scale_fn_custom).update(state_dict["_scale_fn_custom"])


class OneCycleLR(_Momentum):
    """Smith and Topin, Super-Convergence (2018): one rise to max_lr and a fall far below; step per batch.

    total_steps, or epochs and steps_per_epoch: the length; pct_start: part of it that rises;
    anneal_strategy: "cos" or "linear"; div_factor: max_lr over the first rate; final_div_factor: first
    over last rate; three_phase: the fall to the first rate is as long as the rise, then comes the rest;
    cycle_momentum: momentum (or beta1) goes from max_momentum to base_momentum as the rate rises.

    Raises ValueError for options out of their range, and at a step beyond the length.
    """

    def __init__(
        self, optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3,
        anneal_strategy="cos", cycle_momentum=True, base_momentum=0.85, max_momentum=0.95, div_factor=25.0,
        final_div_factor=1e4, three_phase=False, last_epoch=-1,
    ):
        check_optimizer(self, optimizer)
        self.total_steps = _length(total_steps, epochs, steps_per_epoch)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start must be a float in [0, 1], got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self._anneal_func_type = anneal_strategy
        self._schedule_phases = _phases(self.total_steps, pct_start, three_phase)
        tops = per_group(self, "max_lr", optimizer, max_lr)
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self._find_momentum(optimizer, base_momentum, max_momentum, last_epoch)
        if last_epoch == -1:
            for group, top in zip(optimizer.param_groups, tops):
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: step {self.last_epoch} of a schedule of {self.total_steps} steps")
        begin = 0.0
        for phase in self._schedule_phases:
            end = phase["end_step"]
            if self.last_epoch <= end or phase is self._schedule_phases[-1]:
                break
            begin = end
        part = (self.last_epoch - begin) / (end - begin)
        between = _cosine if self._anneal_func_type == "cos" else _line
        groups = self.optimizer.param_groups
        if self.cycle_momentum:
            for group in groups:
                momentum = between(group[phase["start_momentum"]], group[phase["end_momentum"]], part)
                self._set_momentum(group, momentum)
        return [between(group[phase["start_lr"]], group[phase["end_lr"]], part) for group in groups]


def _length(total_steps, epochs, steps_per_epoch):
    if total_steps is None and (epochs is None or steps_per_epoch is None):
        raise ValueError("OneCycleLR: wants total_steps, or epochs and steps_per_epoch")
    given = {"total_steps": total_steps}
    if total_steps is None:
        given = {"epochs": epochs, "steps_per_epoch": steps_per_epoch}
    for name, value in given.items():
        if not isinstance(value, int) or value <= 0:
            raise ValueError(f"OneCycleLR: {name} must be an integer of at least 1, got {value!r}")
    return total_steps if total_steps is not None else epochs * steps_per_epoch


def _phases(total, pct_start, three_phase):
    """Per phase its last step and the names of the group's entries that it goes between; torch's format."""

    def phase(end, start_lr, end_lr, start_momentum, end_momentum):
        return {
            "end_step": end, "start_lr": start_lr, "end_lr": end_lr, "start_momentum": start_momentum,
            "end_momentum": end_momentum,
        }

    rise = phase(float(pct_start * total) - 1, "initial_lr", "max_lr", "max_momentum", "base_momentum")
    if not three_phase:
        return [rise, phase(total - 1, "max_lr", "min_lr", "base_momentum", "max_momentum")]
    fall = phase(float(2 * pct_start * total) - 2, "max_lr", "initial_lr", "base_momentum", "max_momentum")
    return [rise, fall, phase(total - 1, "initial_lr", "min_lr", "max_momentum", "max_momentum")]
