"""Averages of a model's weights over its training, under torch's names.

Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization (2018): the mean of the weights along a
trajectory at a high rate; or their exponential average, Polyak's. n counts the averaged weights so far:

    mean         a += (w - a) / (n + 1)
    exponential  a += (1 - decay) (w - a)
"""

import copy
import math

from ..autograd import no_grad
from ..nn.module import Module
from ..ops.create import tensor
from ..train.batch_norm import update_bn
from .lr_scheduler.base import LRScheduler, check_optimizer, per_group

__all__ = [
    "AveragedModel",
    "SWALR",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]


def get_swa_avg_fn():
    """avg_fn of the mean: (averaged, current, n) -> the new average."""
    return lambda averaged, current, num_averaged: averaged + (current - averaged) / (num_averaged + 1)


def get_ema_avg_fn(decay=0.999):
    """avg_fn of the exponential average. ValueError unless 0 <= decay <= 1."""
    _check_decay("get_ema_avg_fn", decay)
    return lambda averaged, current, num_averaged: decay * averaged + (1 - decay) * current


def get_swa_multi_avg_fn():
    """multi_avg_fn of the mean: (list of averages, list of current tensors, n), changes the averages in place."""
    return lambda averaged, current, num_averaged: _approach(averaged, current, 1 / (int(num_averaged) + 1))


def get_ema_multi_avg_fn(decay=0.999):
    """multi_avg_fn of the exponential average. ValueError unless 0 <= decay <= 1."""
    _check_decay("get_ema_multi_avg_fn", decay)
    return lambda averaged, current, num_averaged: _approach(averaged, current, 1 - decay)


def _check_decay(op, decay):
    if not 0 <= decay <= 1:
        raise ValueError(f"{op}: decay must be within 0 and 1, got {decay}")


def _approach(averaged, current, weight):
    with no_grad():
        for a, w in zip(averaged, current):
            if a.is_floating_point():
                a.lerp_(w, weight)
            else:
                a.copy_(a.double() + (w.double() - a.double()) * weight)


class AveragedModel(Module):
    """A copy of a model whose parameters are an average of those that update_parameters(model) is called with.

    avg_fn(averaged, current, n): the new average of one tensor; or multi_avg_fn(averages, currents, n): changes a list of
    averages in place. Default: the mean. use_buffers: buffers are averaged too, otherwise they are copied; where they are
    statistics of batch norms, :func:`update_bn` makes them anew. device: the only one, the CPU.

    Attributes: `module` (the copy), `n_averaged` (an int64 buffer). Raises ValueError when both functions are given.
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: avg_fn and multi_avg_fn say the same thing; pass one of them")
        if not isinstance(model, Module):
            raise TypeError(f"AveragedModel: model must be a Module, got {type(model).__name__}")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args, **kwargs):
        """The copy's forward."""
        return self.module(*args, **kwargs)

    def update_parameters(self, model):
        """Takes the parameters of model (the first time: themselves) into the average.

        Raises RuntimeError, before anything is changed, for a model of other shapes.
        """
        ours, theirs = ([*m.parameters(), *m.buffers()] for m in (self.module, model))
        shapes, others = ([tuple(t.shape) for t in tensors] for tensors in (ours, theirs))
        if shapes != others:
            raise RuntimeError(f"update_parameters: wants a model of shapes {shapes}, as the averaged one, got {others}")
        n = self.n_averaged
        kept = 0 if self.use_buffers else len(list(self.module.buffers()))
        pairs = [(a.detach(), w.detach().to(a.dtype)) for a, w in zip(ours, theirs)]
        averaged = pairs[: len(pairs) - kept] if n else []
        with no_grad():
            for a, w in pairs[len(averaged) :]:
                a.copy_(w)
            if self.avg_fn is not None:
                for a, w in averaged:
                    a.copy_(self.avg_fn(a, w, n))
            else:
                for dtype in dict.fromkeys(a.dtype for a, _ in averaged):
                    lists = zip(*(pair for pair in averaged if pair[0].dtype == dtype))
                    (self.multi_avg_fn or get_swa_multi_avg_fn())(*map(list, lists), n)
            self.n_averaged += 1


class SWALR(LRScheduler):
    """Takes every rate from where it stands to swa_lr within anneal_epochs, and holds it there.

    swa_lr: a number, or a list of one per group; anneal_strategy: "cos" (half a cosine) or "linear". Raises ValueError
    for another strategy, for anneal_epochs that are no integer of at least 0 and for a list of another length.
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy must be 'cos' or 'linear', got {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs must be an integer of at least 0, got {anneal_epochs!r}")
        for group, lr in zip(check_optimizer(self, optimizer).param_groups, per_group(self, "swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = lr
        self.anneal_epochs = anneal_epochs
        self._anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = (self._part(t) for t in (step - 1, step))
        rates = []
        for group in self.optimizer.param_groups:
            start = group["swa_lr"] if before == 1 else (group["lr"] - before * group["swa_lr"]) / (1 - before)
            rates.append(group["swa_lr"] * now + start * (1 - now))
        return rates

    def _part(self, step):
        """How much of the way lies behind at a step: 0 to 1."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2
