"""Packed and padded sequences: nn.utils.rnn against torch's, gradients, conversion, bad input."""

import numpy as np
import pytest

import nnrt
from nnrt.nn.utils import rnn as rnn_utils

X = nnrt.zeros(4, 2, 3)


def ragged(*lengths):
    return [nnrt.arange(10.0 * i, 10.0 * i + n).reshape(n, 1).repeat(1, 2) for i, n in enumerate(lengths)]


@pytest.mark.parametrize("name", ["pad", "pad left", "pack", "pack unsorted", "padded", "value"])
def test_utilities_agree_with_torch(name, torch):
    lengths = (4, 2, 1) if name == "pack" else (2, 4, 1)
    ours, theirs = ragged(*lengths), [torch.from_numpy(s.numpy().copy()) for s in ragged(*lengths)]
    results = []
    for library, sequences in ((nnrt, ours), (torch, theirs)):
        u = library.nn.utils.rnn
        if name == "pad":
            out = [u.pad_sequence(sequences), u.pad_sequence(sequences, True, -1.0)]
        elif name == "pad left":
            out = [u.pad_sequence(sequences, padding_side="left")]
        elif name in ("pack", "pack unsorted"):
            packed = u.pack_sequence(sequences, enforce_sorted=name == "pack")
            out = [packed.data, packed.batch_sizes, *(t for t in packed[2:] if t is not None), *u.unpack_sequence(packed)]
        elif name == "padded":
            packed = u.pack_padded_sequence(u.pad_sequence(sequences, True), list(lengths), True, False)
            out = [packed.data, *u.pad_packed_sequence(packed, True, -2.0, 6)]
        else:
            out = u.unpad_sequence(u.pad_sequence(sequences, True), library.tensor(lengths), True)
        results.append(out)
    for got, want in zip(*results, strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())
        assert got.numpy().dtype == want.numpy().dtype


def test_packing_is_differentiable():
    x = nnrt.randn(5, 3, 2, dtype=nnrt.float64).requires_grad_()

    def fn(x):
        packed = rnn_utils.pack_padded_sequence(x, [2, 5, 3], enforce_sorted=False)
        return packed.data, rnn_utils.pad_packed_sequence(packed)[0]

    assert nnrt.autograd.gradcheck(fn, [x])


def test_a_packed_sequence_converts():
    packed = rnn_utils.pack_sequence(ragged(3, 1))
    assert packed.double().data.dtype == nnrt.float64 and packed.float() is packed and packed.cpu() is packed
    assert isinstance(packed.double(), rnn_utils.PackedSequence) and not packed.is_cuda
    assert rnn_utils.PackedSequence((packed.data, packed.batch_sizes)).batch_sizes is packed.batch_sizes


@pytest.mark.parametrize(
    "error, call, message",
    [
        (RuntimeError, lambda: rnn_utils.pack_padded_sequence(X, [1, 4]), r"longest first, .*=True, got \[1, 4\]"),
        (RuntimeError, lambda: rnn_utils.pack_padded_sequence(X, [4, 0]), "between 1 and the 4 steps"),
        (RuntimeError, lambda: rnn_utils.pack_padded_sequence(X, [4]), r"lengths must have shape \(2,\)"),
        (RuntimeError, lambda: rnn_utils.pack_padded_sequence(X, [4.0, 2.5]), "lengths must be integers, got float32"),
        (RuntimeError, lambda: rnn_utils.pack_padded_sequence(nnrt.zeros(2), [1]), "at least 2 dimensions"),
        (RuntimeError, lambda: rnn_utils.pad_sequence([nnrt.zeros(2, 3), nnrt.zeros(2, 4)]), r"got shapes \(2, 3\) and \(2, 4\)"),
        (RuntimeError, lambda: rnn_utils.pad_sequence([]), "at least one sequence"),
        (RuntimeError, lambda: rnn_utils.pad_sequence([X], padding_side="top"), "'left' or 'right', got 'top'"),
        (ValueError, lambda: rnn_utils.pad_packed_sequence(rnn_utils.pack_sequence([X]), total_length=3), "sequence, 4, got 3"),
        (TypeError, lambda: rnn_utils.pack_padded_sequence([X], [4]), "input must be a Tensor, got list"),
        (TypeError, lambda: rnn_utils.pad_packed_sequence(X), "sequence must be a PackedSequence, got Tensor"),
        (ValueError, lambda: rnn_utils.unpad_sequence(X, [1]), "got 1 lengths for 2 sequences"),
    ],
)  # fmt: skip
def test_bad_input_is_named(error, call, message):
    with pytest.raises(error, match=message):
        call()
