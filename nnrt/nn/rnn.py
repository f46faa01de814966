"""Recurrent layers over sequences, and their cells for single steps."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ..autograd import grad_enabled
from ..ops import rnn as ops
from ..ops._recurrent_bound import Bound
from ..ops.create import empty
from ..ops.recurrence import GATES
from ..tensor import Tensor
from . import init
from .linear import _check_sizes
from .module import Module
from .parameter import Parameter
from .utils.rnn import PackedSequence


class RNNBase(Module):
    """What RNN, LSTM and GRU share. mode: "RNN_TANH", "RNN_RELU", "LSTM" or "GRU".

    Input [T, B, input_size], [B, T, input_size] with batch_first, [T, input_size] without a batch, or a
    PackedSequence; initial states [layers * directions, B, size] or none: zeros. Parameters of layer k (with
    the suffix _reverse for the second direction), drawn from U(-1/√hidden_size, 1/√hidden_size):
    `weight_ih_lk`: [gates * hidden_size, inputs of the layer], `weight_hh_lk`: [gates * hidden_size, size of h],
    `bias_ih_lk` and `bias_hh_lk`: [gates * hidden_size] (none with bias=False). num_layers: one above the other;
    bidirectional: each of them forwards and backwards, outputs side by side; proj_size: an LSTM's h is projected to so
    many (0: not at all). dropout: probability with which outputs of all layers but the last are zeroed in training.
    ValueError for sizes of 0 and for what is no probability.

    forward's lengths: of the sequences, in any order, instead of packing them: outputs behind a sequence's end
    are zero, the last state is that of its last step, and the second direction starts there.
    """

    def __init__(
        self, mode: str, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0,
        device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__()
        name = type(self).__name__
        cell = mode.lower().removeprefix("rnn_")
        if cell not in GATES:
            raise ValueError(f"{name}: mode must be RNN_TANH, RNN_RELU, LSTM or GRU, got {mode!r}")
        check_stack(name, {"input_size": input_size, "hidden_size": hidden_size, "num_layers": num_layers}, {"dropout": dropout})
        _check_sizes(name, proj_size=proj_size)
        if proj_size and cell != "lstm":
            raise ValueError(f"{name}: proj_size is for LSTM alone")
        if proj_size >= hidden_size:
            raise ValueError(f"{name}: proj_size must be smaller than hidden_size, got {proj_size} and {hidden_size}")
        for what, flag in (("bias", bias), ("batch_first", batch_first)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name}: {what} must be a bool, got {type(flag).__name__}")
        if dropout and num_layers == 1:
            warnings.warn(
                f"{name}: dropout={dropout} acts between layers, and there is one layer only", stacklevel=3
            )
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bool(bidirectional)
        self.proj_size = proj_size
        rows, out = GATES[cell] * hidden_size, proj_size or hidden_size
        self._cell = cell
        self._names = []  # for each layer, for each direction, the names of W, U, b_ih, b_hh, V
        for layer in range(num_layers):
            inputs = input_size if layer == 0 else out * (1 + self.bidirectional)
            self._names.append([])
            for suffix in ("", "_reverse")[: 1 + self.bidirectional]:
                shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, out)}
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                for name, shape in shapes.items():
                    parameter = Parameter(empty(*shape, dtype=dtype, device=device))
                    setattr(self, f"{name}_l{layer}{suffix}", parameter)
                kinds = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
                self._names[-1].append([f"{kind}_l{layer}{suffix}" if kind in shapes else None for kind in kinds])
        self._weights = [n for layer in self._names for names in layer for n in names if n is not None]
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """For each layer and direction the list of its parameters."""
        return [
            [getattr(self, n) for n in names if n is not None] for layer in self._names for names in layer
        ]

    def flatten_parameters(self) -> None:
        """Nothing: kernels keep packed copies of the weights by themselves."""

    def forward(self, input: Tensor | PackedSequence, hx: Any = None, lengths: Any = None) -> Any:
        if not isinstance(input, PackedSequence):
            return self.over(input, hx, lengths)
        name = type(self).__name__
        if lengths is not None:
            raise ValueError(f"{name}: a PackedSequence has its lengths; lengths must be None")
        order = None if input.sorted_indices is None else input.sorted_indices.array
        y, last = ops.packed_recurrent(
            name, self._cell, input.data, input.batch_sizes.array, hx, self._layers(), self.dropout, self.training, order
        )
        return input._replace(data=y), last

    def over(self, input: Tensor, hx: Any, lengths: Any, ids: Tensor | None = None) -> Any:
        """forward of a Tensor; with ids of the rows that they name in a table: see ops.rnn.recurrent."""
        cell, first, own = self._cell, self.batch_first, self.__dict__
        repeats = ids is None and not grad_enabled() and not (self.training and self.dropout)
        if repeats:
            bound = own.get("_bound") or own.setdefault("_bound", Bound())
            given = tuple([own[n] for n in self._weights])
            made = bound.run(self, cell, input, hx, given, first, lengths)
            if made is not None:
                return made
        else:
            own.pop("_bound", None)  # a step of training changes the weights
        layers = self._layers()
        y, end = ops.recurrent(
            type(self).__name__, cell, input, hx, layers, self.dropout, self.training, first, lengths, ids
        )
        if repeats:
            bound.learn(cell, input, end, given, layers, first)
        return y, end

    def _layers(self):
        """Of each layer, of each direction: W, U, b_ih, b_hh, V."""
        own = self.__dict__
        return [[tuple([None if n is None else own[n] for n in names]) for names in layer] for layer in self._names]

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        state.pop("_bound", None)
        return state

    def macs(self, input_shapes, output_shape):
        steps = math.prod(input_shapes[0][:-1])
        return steps * sum(p.numel() for n, p in self.named_parameters() if n.startswith("weight"))

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0),
            ("bidirectional", False),
        ):  # fmt: skip
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


def check_stack(name, sizes, probabilities):
    """ValueError or TypeError unless the sizes are integers above 0 and the probabilities between 0 and 1."""
    _check_sizes(name, **sizes)
    for what, size in sizes.items():
        if size == 0:
            raise ValueError(f"{name}: {what} must be greater than zero, got 0")
    for what, p in probabilities.items():
        if isinstance(p, bool) or not isinstance(p, (int, float)) or not 0 <= p <= 1:
            raise ValueError(f"{name}: {what} must be a probability between 0 and 1, got {p!r}")


class RNN(RNNBase):
    """h = f(W x + b_ih + U h' + b_hh) over sequences, f tanh or relu (nonlinearity). See RNNBase.

    Returns (y [T, B, directions * hidden_size], hn [layers * directions, B, hidden_size]).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, nonlinearity: str = "tanh", bias: bool = True,
        batch_first: bool = False, dropout: float = 0.0, bidirectional: bool = False, device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNN: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(
            f"RNN_{nonlinearity.upper()}", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, 0, device, dtype,
        )  # fmt: skip
        self.nonlinearity = nonlinearity


class GRU(RNNBase):
    """Gated recurrent units, torch's form: n = tanh(W_n x + b_in + r (U_n h' + b_hn)). See RNNBase.

    Gates in the order r, z, n. Returns (y [T, B, directions * hidden_size], hn [layers * directions, B, hidden_size]).
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )


class LSTM(RNNBase):
    """Long short-term memory, gates in the order i, f, g, o. See RNNBase.

    With proj_size, h is W_hr o tanh(c) (`weight_hr_lk`: [proj_size, hidden_size]). The state is a pair (h, c).
    Returns (y [T, B, directions * (proj_size or hidden_size)], (hn, cn)), cn [layers * directions, B, hidden_size].
    """

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True, batch_first: bool = False,
        dropout: float = 0.0, bidirectional: bool = False, proj_size: int = 0, device: Any = None, dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device, dtype,
        )  # fmt: skip


class RNNCellBase(Module):
    """One step of a recurrence. Input [B, input_size] or [input_size], states of the same leading axis.

    `weight_ih`: [gates * hidden_size, input_size], `weight_hh`: [gates * hidden_size, hidden_size], `bias_ih` and
    `bias_hh`: [gates * hidden_size] (None with bias=False), drawn from U(-1/√hidden_size, 1/√hidden_size).
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool, num_chunks: int, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        _check_sizes(type(self).__name__, input_size=input_size, hidden_size=hidden_size)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        rows = num_chunks * hidden_size
        self.weight_ih = Parameter(empty(rows, input_size, dtype=dtype, device=device))
        self.weight_hh = Parameter(empty(rows, hidden_size, dtype=dtype, device=device))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(empty(rows, dtype=dtype, device=device)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws new initial values."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def macs(self, input_shapes, output_shape):
        return math.prod(input_shapes[0][:-1]) * (self.weight_ih.numel() + self.weight_hh.numel())

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias is True else f", bias={self.bias}")


class RNNCell(RNNCellBase):
    """h = f(W x + b_ih + U h' + b_hh), f tanh or relu (nonlinearity). See RNNCellBase.

    Returns h, [B, hidden_size] or [hidden_size]; hx is h', or None: zeros.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, nonlinearity: str = "tanh", device: Any = None,
        dtype: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell: nonlinearity must be 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        step = ops.rnn_tanh_cell if self.nonlinearity == "tanh" else ops.rnn_relu_cell
        return step(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)

    def extra_repr(self) -> str:
        text = super().extra_repr()
        return text if self.nonlinearity == "tanh" else f"{text}, nonlinearity={self.nonlinearity}"


class GRUCell(RNNCellBase):
    """One step of a GRU, gates in the order r, z, n. See RNNCellBase.

    Returns h, [B, hidden_size] or [hidden_size]; hx is h before the step, or None: zeros.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        return ops.gru_cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)


class LSTMCell(RNNCellBase):
    """One step of an LSTM, gates in the order i, f, g, o. See RNNCellBase.

    Returns (h, c), [B, hidden_size] or [hidden_size] each; hx is the pair before the step, or None: zeros.
    """

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        return ops.lstm_cell(input, hx, self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh)
