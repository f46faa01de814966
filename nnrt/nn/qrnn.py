"""Recurrent layers whose products are over all steps at once: QRNN and SRU."""

from __future__ import annotations

import math
from typing import Any

from ..ops.create import empty, zeros
from ..ops.join import cat, stack
from ..ops.random import dropout as _dropout
from ..ops.scan import qrnn_pool, sru_scan
from ..tensor import Tensor
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter
from .rnn import check_stack


class _Layers(Module):
    """What QRNN and SRU share: sizes, layers and directions, and what goes in and out."""

    def __init__(self, input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, **probabilities):
        super().__init__()
        name = type(self).__name__
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}
        check_stack(name, sizes, {"dropout": dropout, **probabilities})
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.batch_first = bool(batch_first)
        self.dropout = float(dropout)
        self.bidirectional = bool(bidirectional)

    def _directions(self):
        """(layer, direction, suffix of the parameters' names, inputs of the layer)."""
        for layer in range(self.num_layers):
            inputs = self.hidden_size * (1 + self.bidirectional) if layer else self.input_size
            for d in range(1 + self.bidirectional):
                yield layer, d, f"_l{layer}" + "_reverse" * d, inputs

    def _entering(self, input):
        """(input as [T, B, I], whether it had a batch)."""
        name = type(self).__name__
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}: input must be a Tensor, got {type(input).__name__}")
        if input.ndim not in (2, 3) or input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{name}: input must be [T, B, {self.input_size}], [B, T, {self.input_size}] with batch_first or "
                f"[T, {self.input_size}] without a batch, got shape {tuple(input.shape)}"
            )
        if input.ndim == 2:
            return input.unsqueeze(1), False
        return (input.transpose(0, 1) if self.batch_first else input), True

    def _leaving(self, y, batched):
        if not batched:
            return y.squeeze(1)
        return y.transpose(0, 1) if self.batch_first else y

    def _state(self, what, state, shape, batched):
        """A state with its batch axis, the second one; RuntimeError for another shape."""
        want = shape if batched else (shape[0], *shape[2:])
        if not isinstance(state, Tensor) or tuple(state.shape) != want:
            got = f"shape {tuple(state.shape)}" if isinstance(state, Tensor) else type(state).__name__
            raise RuntimeError(f"{type(self).__name__}: {what} must be a Tensor of shape {want}, got {got}")
        return state if batched else state.unsqueeze(1)

    def _between(self, x, layer):
        """Dropout between layers, which zeroes what leaves a layer but the last."""
        dropped = self.dropout and self.training and layer + 1 < self.num_layers
        return _dropout(x, self.dropout, True) if dropped else x

    def macs(self, input_shapes, output_shape):
        steps = math.prod(input_shapes[0][:-1])
        return steps * sum(p.numel() for n, p in self.named_parameters() if n.startswith("weight"))

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in self._DEFAULTS.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return text


class QRNN(_Layers):
    """Quasi-recurrent layers (Bradbury et al., 2016): a causal convolution along time makes the gates, pooling the rest.

    Input [T, B, input_size], [B, T, input_size] with batch_first, or [T, input_size]. `weight_lk`: [gates * hidden_size,
    kernel_size * inputs of the layer], gates in the order z, f, o; its columns belong to the steps t - kernel_size + 1
    to t. `bias_lk`: [gates * hidden_size]. Both are drawn from U(-1/√n, 1/√n) with n the columns; those of the second
    direction have the suffix _reverse. pooling: "fo", or "f", which has no output gate. dropout: probability with which
    outputs of all layers but the last are zeroed in training; zoneout: that with which a channel keeps its state.
    ValueError for sizes of 0, for what is no probability and for another pooling.

    Returns (y [T, B, directions * hidden_size], state), the state a pair: c [layers * directions, B, hidden_size], and a
    tuple with the last kernel_size - 1 inputs [kernel_size - 1, B, inputs] of each layer (in its first direction). Given
    as hx with the following steps, it makes outputs those of the whole sequence; without hx all is zeros.
    """

    _DEFAULTS = {
        "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False, "kernel_size": 2,
        "pooling": "fo", "zoneout": 0.0,
    }  # fmt: skip

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, kernel_size: int = 2, pooling: str = "fo", zoneout: float = 0.0,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional, zoneout=zoneout)
        check_stack("QRNN", {"kernel_size": kernel_size}, {})
        if pooling not in ("f", "fo"):
            raise ValueError(f"QRNN: pooling must be 'f' or 'fo', got {pooling!r}")
        self.bias = bool(bias)
        self.kernel_size = kernel_size
        self.pooling = pooling
        self.zoneout = float(zoneout)
        rows = (1 + len(pooling)) * hidden_size
        for _, _, name, inputs in self._directions():
            weight = empty(rows, kernel_size * inputs, dtype=dtype, device=device)
            setattr(self, f"weight{name}", Parameter(weight))
            made = Parameter(empty(rows, dtype=dtype, device=device)) if bias else None
            self.register_parameter(f"bias{name}", made)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        for _, _, name, inputs in self._directions():
            bound = 1 / math.sqrt(self.kernel_size * inputs)
            init.uniform_(getattr(self, f"weight{name}"), -bound, bound)
            if self.bias:
                init.uniform_(getattr(self, f"bias{name}"), -bound, bound)

    def forward(self, input: Tensor, hx: Any = None) -> Any:
        x, batched = self._entering(input)
        c0, tails = self._unpacked(hx, x.shape[1], batched)
        last, kept, outs = [], [], []
        for layer, d, name, _ in self._directions():
            if d == 0 and layer:
                x, outs = self._between(outs[0] if len(outs) == 1 else cat(outs, 2), layer - 1), []
            windows, tail = self._windows(x, None if d or tails is None else tails[layer], d)
            gates = F.linear(windows, getattr(self, f"weight{name}"), getattr(self, f"bias{name}"))
            first = None if c0 is None else c0[len(last)]
            y, c = qrnn_pool(gates, first, self.pooling == "fo", self.zoneout, self.training, False, d == 1)
            outs.append(y)
            last.append(c)
            if d == 0:
                kept.append(tail if batched else tail.squeeze(1))
        y = outs[0] if len(outs) == 1 else cat(outs, 2)
        c = stack(last)
        return self._leaving(y, batched), (c if batched else c.squeeze(1), tuple(kept))

    def _windows(self, x, tail, backwards):
        """[T, B, kernel_size * I]: what the filter sees at each step; and the last kernel_size - 1 inputs."""
        steps, batch, size = x.shape
        k = self.kernel_size - 1
        if tail is None:
            tail = zeros(k, batch, size, dtype=x.dtype)
        if k == 0:
            return x, tail
        if backwards:
            padded = cat([x, tail])
            return cat([padded[j : j + steps] for j in range(k, -1, -1)], 2), None
        padded = cat([tail, x])
        return cat([padded[j : j + steps] for j in range(k + 1)], 2), padded[steps:]

    def _unpacked(self, hx, batch, batched):
        """(c [L D, B, C] or None, the layers' last inputs or None)"""
        if hx is None:
            return None, None
        pair = isinstance(hx, (tuple, list)) and len(hx) == 2
        if not pair or not isinstance(hx[1], (tuple, list)) or len(hx[1]) != self.num_layers:
            raise RuntimeError(f"QRNN: hx must be a pair: c, and the last inputs of each of {self.num_layers} layers")
        c = self._state("c of hx", hx[0], (self.num_layers * (1 + self.bidirectional), batch, self.hidden_size), batched)
        sizes = [inputs for _, d, _, inputs in self._directions() if d == 0]
        tails = [
            self._state(f"the last inputs of layer {i} in hx", t, (self.kernel_size - 1, batch, size), batched)
            for i, (t, size) in enumerate(zip(hx[1], sizes))
        ]
        return c, tails


class SRU(_Layers):
    """Simple recurrent units (Lei et al., 2018): gates see c_{t-1} through vectors, so that all products are over all steps.

        f = σ(W_f x + v_f c' + b_f),  c = f c' + (1 - f) W x,  r = σ(W_r x + v_r c' + b_r),  h = r c + (1 - r) α x

    Input [T, B, input_size], [B, T, input_size] with batch_first, or [T, input_size]. α = √(1 + 2 exp(highway_bias)) keeps
    the variance of deep stacks. Where a layer has other sizes in and out, x in h is a projection W_h x. `weight_lk`:
    [3 or 4 * hidden_size, inputs of the layer], W, W_f, W_r, W_h; `weight_c_lk`: [2 * hidden_size], v_f and v_r;
    `bias_lk`: [2 * hidden_size], b_f and b_r. Matrices are drawn from U(-√(3/n), √(3/n)), n their columns, weight_c with
    n = hidden_size; b_f is 0 and b_r highway_bias. Suffix _reverse: the second direction. dropout: probability with which
    outputs of all layers but the last are zeroed in training. ValueError for sizes of 0 and for what is no probability.

    Returns (y [T, B, directions * hidden_size], c [layers * directions, B, hidden_size]); c is hx of the steps that follow.
    """

    _DEFAULTS = {
        "num_layers": 1, "batch_first": False, "dropout": 0.0, "bidirectional": False, "highway_bias": 0.0,
    }  # fmt: skip

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, batch_first: bool = False, dropout: float = 0.0,
        bidirectional: bool = False, highway_bias: float = 0.0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, num_layers, batch_first, dropout, bidirectional)
        self.highway_bias = float(highway_bias)
        for _, _, name, inputs in self._directions():
            rows = (3 if inputs == hidden_size else 4) * hidden_size
            setattr(self, f"weight{name}", Parameter(empty(rows, inputs, dtype=dtype, device=device)))
            for kind in ("weight_c", "bias"):
                setattr(self, f"{kind}{name}", Parameter(empty(2 * hidden_size, dtype=dtype, device=device)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        for _, _, name, inputs in self._directions():
            for kind, n in (("weight", inputs), ("weight_c", self.hidden_size)):
                init.uniform_(getattr(self, kind + name), -math.sqrt(3 / n), math.sqrt(3 / n))
            bias = getattr(self, f"bias{name}")
            init.zeros_(bias)
            bias.data[self.hidden_size :] = self.highway_bias

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, batched = self._entering(input)
        if hx is not None:
            shape = (self.num_layers * (1 + self.bidirectional), x.shape[1], self.hidden_size)
            hx = self._state("hx", hx, shape, batched)
        scale = math.sqrt(1 + 2 * math.exp(self.highway_bias))
        last, outs = [], []
        for layer, d, name, inputs in self._directions():
            if d == 0 and layer:
                x, outs = self._between(outs[0] if len(outs) == 1 else cat(outs, 2), layer - 1), []
            u = F.linear(x, getattr(self, f"weight{name}"))
            y, c = sru_scan(
                u, getattr(self, f"weight_c{name}"), getattr(self, f"bias{name}"),
                x if inputs == self.hidden_size else None, None if hx is None else hx[len(last)], scale, False, d == 1,
            )  # fmt: skip
            outs.append(y)
            last.append(c)
        y, c = outs[0] if len(outs) == 1 else cat(outs, 2), stack(last)
        return self._leaving(y, batched), c if batched else c.squeeze(1)
