"""Batches of sequences of several lengths, packed or padded, under torch.nn.utils.rnn's names.

A PackedSequence holds only steps that exist: for each step the sequences that have it, longest sequence first.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...ops.create import as_tensor, from_numpy, full
from ...ops.index import index_select
from ...ops.join import cat, stack
from ...ops.promotion import check_tensors
from ...ops.ragged import existing_rows, pack_rows, pad_rows
from ...tensor import Tensor


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


class PackedSequence(_Fields):
    """data [sum of lengths, ...], batch_sizes [T]: how many sequences have each step.

    sorted_indices: which sequence of the original batch is the longest, the second, ... (None: they came sorted);
    unsorted_indices: its inverse. Made by pack_padded_sequence and pack_sequence.
    """

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """data converted as by Tensor.to; itself where nothing changes."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._replace(data=data)

    def cpu(self) -> PackedSequence:
        """itself: everything is here already."""
        return self

    def float(self) -> PackedSequence:
        """to(float32)."""
        return self.to(np.float32)

    def double(self) -> PackedSequence:
        """to(float64)."""
        return self.to(np.float64)

    @property
    def is_cuda(self) -> bool:
        return False


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes this one."""
    if permutation is None:
        return None
    out = np.empty_like(permutation.array)
    out[permutation.array] = np.arange(len(out))
    return from_numpy(out)


def _pad(packed, value, steps=None):
    """[T, B, ...] of a PackedSequence, its sequences still sorted, and their lengths."""
    sizes = packed.batch_sizes.array
    batch = int(sizes[0])
    steps = len(sizes) if steps is None else steps
    lengths = (sizes[:, None] > np.arange(batch)).sum(0)
    return pad_rows(packed.data, existing_rows(lengths, steps), steps, batch, value), lengths


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Packs [T, B, ...] (or [B, T, ...] with batch_first) without what lies behind the lengths.

    lengths: of each sequence, 1 to T; longest first unless enforce_sorted is False. Raises RuntimeError.
    """
    op = "pack_padded_sequence"
    check_tensors(op, input=input)
    lengths = as_tensor(lengths).array
    if lengths.dtype.kind not in "iu" and lengths.size:
        raise RuntimeError(f"{op}: lengths must be integers, got {lengths.dtype}")
    lengths = lengths.astype(np.int64)
    if input.ndim < 2:
        raise RuntimeError(f"{op}: input must have at least 2 dimensions, got shape {tuple(input.shape)}")
    x = input.transpose(0, 1) if batch_first else input
    steps, batch = x.shape[:2]
    if lengths.shape != (batch,):
        raise RuntimeError(f"{op}: lengths must have shape ({batch},), one for each sequence, got {lengths.shape}")
    if batch == 0 or lengths.min() < 1 or lengths.max() > steps:
        raise RuntimeError(
            f"{op}: lengths must be between 1 and the {steps} steps of the input, got {lengths.tolist()}"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-lengths, kind="stable")
        lengths = lengths[order]
        order = from_numpy(order)
        x = index_select(x, 1, order)
    elif np.any(lengths[1:] > lengths[:-1]):
        raise RuntimeError(
            f"{op}: lengths must be sorted, longest first, with enforce_sorted=True, got {lengths.tolist()}"
        )
    sizes = (lengths > np.arange(lengths[0])[:, None]).sum(1)
    return PackedSequence(pack_rows(x, existing_rows(lengths, steps)), from_numpy(sizes), order)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """([T, B, ...] or [B, T, ...], lengths) of a PackedSequence, in the original order.

    batch_first: [B, T, ...]; padding_value: what lies behind a sequence's end; total_length: T where it is to be more than the
    longest. ValueError where it is less, TypeError for what is no PackedSequence.
    """
    if not isinstance(sequence, PackedSequence):
        raise TypeError(f"pad_packed_sequence: sequence must be a PackedSequence, got {type(sequence).__name__}")
    longest = len(sequence.batch_sizes.array)
    if total_length is not None and total_length < longest:
        raise ValueError(
            f"pad_packed_sequence: total_length must be at least the longest sequence, {longest}, got {total_length}"
        )
    x, lengths = _pad(sequence, padding_value, total_length)
    order = sequence.unsorted_indices
    if order is not None:
        x, lengths = index_select(x, 1, order), lengths[order.array]
    return (x.transpose(0, 1) if batch_first else x), from_numpy(lengths)


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """[T, B, ...], or [B, T, ...] with batch_first, of sequences [length, ...], filled up with padding_value.

    padding_side: "right" or "left". RuntimeError for no sequences, for other sides, and for shapes that differ behind the length.
    """
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}")
    sequences = tuple(sequences)
    if not sequences:
        raise RuntimeError("pad_sequence: expected at least one sequence")
    longest = max(s.shape[0] for s in sequences)
    padded = []
    for s in sequences:
        if s.shape[1:] != sequences[0].shape[1:]:
            raise RuntimeError(
                f"pad_sequence: sequences must agree in all but their first size, got shapes "
                f"{tuple(sequences[0].shape)} and {tuple(s.shape)}"
            )
        gap = longest - s.shape[0]
        if gap:
            rest = full((gap, *s.shape[1:]), padding_value, dtype=s.dtype)
            s = cat((s, rest) if padding_side == "right" else (rest, s), 0)
        padded.append(s)
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Any, batch_first: bool = False) -> list[Tensor]:
    """The sequences [length, ...] of padded_sequences [T, B, ...], or [B, T, ...] with batch_first; lengths: B integers.

    ValueError for another number of lengths.
    """
    lengths = as_tensor(lengths).array.tolist()
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    if len(lengths) != x.shape[0]:
        raise ValueError(f"unpad_sequence: got {len(lengths)} lengths for {x.shape[0]} sequences")
    return [x[i, :n] for i, n in enumerate(lengths)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Packs sequences [length, ...]; longest first unless enforce_sorted is False."""
    lengths = [s.shape[0] for s in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a PackedSequence, in the original order."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
