"""Running statistics of batch norms, made anew."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..autograd import no_grad
from ..nn.module import Module
from ..nn.norm import _BatchNorm


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Replaces the running statistics of the model's batch norms by means over one pass through loader.

    For weights that no batch was trained with, such as averages of several models. loader gives
    tensors, or lists and tuples whose first entry is the input. The model runs in training mode, without
    gradients; modes are as before afterwards, and after an error the statistics too.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    if not norms:
        return
    before = [(m, m.momentum, [b.clone() for b in m.buffers()]) for m in norms]
    modes = [(m, m.training) for m in model.modules()]
    try:
        model.train()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(x if device is None else x.to(device))
    except BaseException:
        for norm, _, values in before:
            for buffer, value in zip(norm.buffers(), values):
                buffer.copy_(value)
        raise
    finally:
        for norm, momentum, _ in before:
            norm.momentum = momentum
        for module, training in modes:
            module.training = training
