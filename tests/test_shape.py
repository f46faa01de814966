"""Views share memory and versions, memory orders behave, and bad shapes are refused by name."""

import threading

import numpy as np
import pytest

import nnrt
from nnrt import memory, registry


def counted(*shape):
    return nnrt.tensor(np.arange(np.prod(shape), dtype=np.float64).reshape(shape))


VIEWS = {
    "reshape": lambda x: x.reshape(4, 6),
    "view": lambda x: x.view(-1),
    "flatten": lambda x: x.flatten(1),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, 2),
    "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "select": lambda x: x.select(1, 2),
    "narrow": lambda x: x.narrow(2, 1, 2),
    "diagonal": lambda x: x.diagonal(0, 0, 1),
    "unfold": lambda x: x.unfold(2, 2, 2),
    "split": lambda x: x.split(1, 1)[2],
    "unbind": lambda x: x.unbind(2)[3],
    "getitem": lambda x: x[1, ::2],
    "getitem-0d": lambda x: x[1, 2, 3],
    "as_strided": lambda x: x.as_strided((3, 2), (2, 1), 4),
    "detach": lambda x: x.detach(),
    "movedim": lambda x: x.movedim(0, -1),
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_shares_memory_and_version(view):
    x = counted(2, 3, 4)
    y = view(x)
    assert np.shares_memory(x.numpy(), y.numpy())
    before = x._version
    y.fill_(-1)
    assert (x.numpy() == -1).sum() == np.unique(y.numpy().__array_interface__["data"][0]).size * y.numel()
    assert x._version == y._version == before + 1


COPIES = {
    "clone": lambda x: x.clone(),
    "flip": lambda x: x.flip(0),
    "roll": lambda x: x.roll(0, 0),
    "repeat": lambda x: x.repeat(1, 1, 1),
    "tile": lambda x: x.tile(1),
    "reshape of transposed": lambda x: x.transpose(0, 2).reshape(-1),
    "contiguous of transposed": lambda x: x.transpose(0, 2).contiguous(),
    "tril": lambda x: x.tril(9),
    "advanced": lambda x: x[[0, 1]],
    "mask": lambda x: x[x >= 0],
    "cat": lambda x: nnrt.cat([x]),
    "stack": lambda x: nnrt.stack([x]),
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copy_shares_nothing(copy):
    x = counted(2, 3, 4)
    y = copy(x)
    assert not np.shares_memory(x.numpy(), y.numpy())
    y.fill_(-1)
    assert x._version == 0 and x.numpy().min() == 0


def test_a_saved_tensor_changed_through_a_view_is_noticed():
    x = nnrt.ones(3, requires_grad=True)
    w = nnrt.ones(3)
    y = (x * w).sum()
    w[:2].fill_(5)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_an_expanded_tensor_refuses_changes_in_place():
    x = nnrt.zeros(3).expand(2, 3)
    with pytest.raises((RuntimeError, ValueError), match="read-only|in place"):
        x[0] = 1.0
    with pytest.raises(RuntimeError, match="in place"):
        x.normal_()
    assert x.clone().fill_(1).numpy().all()


def test_nhwc_memory_survives_views_and_is_undone_by_contiguous():
    x = counted(2, 3, 4, 5).contiguous(memory_format=nnrt.channels_last)
    assert x.stride() == (60, 1, 15, 3) and x.shape == (2, 3, 4, 5)
    assert x.is_contiguous(memory_format=nnrt.channels_last) and not x.is_contiguous()
    assert x.clone().stride() == x.stride() == nnrt.zeros_like(x).stride()
    assert nnrt.cat([x, x], 1).stride() == (120, 1, 30, 6)
    plain = x.contiguous()
    assert plain.is_contiguous() and nnrt.equal(plain, counted(2, 3, 4, 5))
    assert plain.contiguous() is plain
    merged = x.view(2, 3, 20)
    assert np.shares_memory(merged.numpy(), x.numpy())  # H and W merge in NHWC
    flat = x.flatten(1)  # C, H and W do not
    assert not np.shares_memory(flat.numpy(), x.numpy()) and nnrt.equal(flat, plain.flatten(1))
    assert x.to(memory_format=nnrt.contiguous_format).is_contiguous()
    with pytest.raises(RuntimeError, match=r"channels_last.*4 dimensions.*\(2, 3\)"):
        nnrt.zeros(2, 3).contiguous(memory_format=nnrt.channels_last)


def test_large_copies_between_memory_orders_on_every_backend():
    x = nnrt.from_numpy(np.random.default_rng(0).standard_normal((3, 33, 50, 41)).astype(np.float32))
    for backend in registry.available():
        with registry.using(backend, "ref"):
            nhwc = x.contiguous(memory_format=nnrt.channels_last)
            np.testing.assert_array_equal(nhwc.numpy(), x.numpy())
            np.testing.assert_array_equal(nhwc.contiguous().numpy(), x.numpy())
            np.testing.assert_array_equal(memory.as_like(x.numpy(), nhwc.numpy()), x.numpy())
            half = x[:, :, ::2].transpose(1, 3)
            np.testing.assert_array_equal(half.contiguous().numpy(), half.numpy())


@pytest.mark.parametrize("dtype", [np.int8, np.bool_, np.int16, np.int32, np.int64, np.float16, np.uint8])
def test_all_dtypes_go_through(dtype):
    a = (np.arange(80 * 90).reshape(80, 90) % 3).astype(dtype)
    x = nnrt.from_numpy(a)
    np.testing.assert_array_equal(x.t().contiguous().numpy(), a.T)
    np.testing.assert_array_equal(nnrt.cat([x, x], 1).numpy(), np.concatenate([a, a], 1))
    np.testing.assert_array_equal(x.flip(0).roll(3, 1).numpy(), np.roll(a[::-1], 3, 1))
    np.testing.assert_array_equal(x.tril().repeat(2, 1).numpy(), np.tile(np.tril(a), (2, 1)))
    assert x.t().contiguous().dtype == dtype


def test_view_as_another_dtype():
    x = nnrt.tensor([1.0, -2.0])
    bits = x.view(nnrt.int32)
    assert bits.tolist() == [0x3F800000, -0x40000000] and np.shares_memory(bits.numpy(), x.numpy())
    assert x.view(nnrt.uint8).shape == (8,)
    with pytest.raises(RuntimeError, match="float32 of shape .* cannot be read as float64"):
        nnrt.zeros(3).view(nnrt.float64)


def test_cat_promotes_dtypes_and_gives_gradients_in_their_own():
    x = nnrt.ones(2, requires_grad=True)
    y = nnrt.ones(2, dtype=nnrt.float64, requires_grad=True)
    out = nnrt.cat([x, y])
    assert out.dtype == nnrt.float64
    out.sum().backward()
    assert x.grad.dtype == nnrt.float32 and y.grad.dtype == nnrt.float64
    assert nnrt.stack([nnrt.tensor([1]), nnrt.tensor([True])]).dtype == nnrt.int64


def test_unused_pieces_get_zeros():
    x = nnrt.ones(5, 2, requires_grad=True)
    first, _, last = x.split([2, 1, 2])
    (first.sum() + 2 * last.sum()).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.repeat([[1.0, 1], [1, 1], [0, 0], [2, 2], [2, 2]], 1, 0))


def test_as_strided_of_an_expanded_tensor_shares_the_gradient():
    x = nnrt.ones(3, dtype=nnrt.float64, requires_grad=True)
    x.expand(4, 3).as_strided((3,), (1,), 0).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [1, 1, 1])


ERRORS = [
    (lambda x: x.reshape(5), RuntimeError, r"reshape: .*\(2, 3\) has 6 elements.*\(5,\)"),
    (lambda x: x.view(-1, -1), RuntimeError, "only one size can be -1"),
    (lambda x: x.reshape(-2, 3), RuntimeError, "reshape: sizes must not be negative"),
    (lambda x: x[:0].reshape(-1, 0), RuntimeError, "could stand for any size"),
    (lambda x: x.reshape("a"), TypeError, "reshape: size must be integers"),
    (lambda x: x.permute(0), RuntimeError, "permute: wants 2 dims"),
    (lambda x: x.permute(0, 0), RuntimeError, "name an axis twice"),
    (lambda x: x.permute(0, 2), IndexError, "permute: dim 2 is out of range"),
    (lambda x: x.transpose(0, 2), IndexError, "transpose: dim 2 is out of range"),
    (lambda x: x.movedim((0, 1), (0,)), RuntimeError, "movedim: 2 source dims but 1"),
    (lambda x: x.flatten(1, 0), RuntimeError, "flatten: start_dim 1 comes after"),
    (lambda x: x.unflatten(1, (2, 2)), RuntimeError, r"unflatten: sizes \(2, 2\) do not multiply up to 3"),
    (lambda x: x.squeeze(2), IndexError, "squeeze: dim 2"),
    (lambda x: x.unsqueeze(3), IndexError, "unsqueeze: dim 3"),
    (lambda x: x.expand(3, 3), RuntimeError, r"expand: .*\(2, 3\) cannot be expanded to \(3, 3\)"),
    (lambda x: x.expand(-1, 2, 3), RuntimeError, "expand"),
    (lambda x: x.expand(3), RuntimeError, "expand"),
    (lambda x: x.expand(2**63, 2, 3), RuntimeError, "expand: .* more elements or axes"),
    (lambda x: x.select(0, 2), IndexError, "select: index 2 is out of range for dim 0"),
    (lambda x: x.narrow(1, 1, 3), RuntimeError, "narrow: 3 elements from 1"),
    (lambda x: x.narrow(1, 9, 1), IndexError, "narrow"),
    (lambda x: x.diagonal(0, 1, 1), RuntimeError, "diagonal.*twice"),
    (lambda x: x.unfold(1, 4, 1), RuntimeError, r"unfold: size 4 is not within 0..3"),
    (lambda x: x.unfold(1, 2, 0), RuntimeError, "unfold: step must be positive"),
    (lambda x: x.as_strided((4, 2), (2, 1)), RuntimeError, "as_strided: .* reach element 7 of 6"),
    (lambda x: x.as_strided((2,), (-1,)), RuntimeError, "as_strided"),
    (lambda x: x.split(0), RuntimeError, "split: split_size_or_sections must be positive"),
    (lambda x: x.split([1, 2]), RuntimeError, r"split: sizes \[1, 2\] do not sum up to 2"),
    (lambda x: x.chunk(0), RuntimeError, "chunk: chunks must be positive"),
    (lambda x: x.tensor_split(0), RuntimeError, "tensor_split: sections must be positive"),
    (lambda x: x.sum().unbind(), IndexError, "unbind"),
    (lambda x: x.reshape(1, 2, 3).t(), RuntimeError, "t: wants at most 2 dimensions"),
    (lambda x: nnrt.cat([]), ValueError, "cat: wants at least one"),
    (lambda x: nnrt.cat([x, x.t()]), RuntimeError, r"cat: along dim 0, a tensor of shape \(3, 2\)"),
    (lambda x: nnrt.cat([x, 3]), TypeError, r"cat: tensors\[1\] must be a Tensor, got int"),
    (lambda x: nnrt.cat([x.sum()]), RuntimeError, "0-d tensors"),
    (lambda x: nnrt.stack([x, x[0]]), RuntimeError, r"stack: tensors\[1\] has shape \(3,\)"),
    (lambda x: nnrt.meshgrid(x), RuntimeError, r"meshgrid: tensors\[0\] must be 1-d"),
    (lambda x: nnrt.meshgrid(x[0], indexing="ji"), RuntimeError, "indexing must be"),
    (lambda x: x.repeat(2), RuntimeError, "repeat: 1 repeats for a tensor of shape"),
    (lambda x: x.flip(0, 0), RuntimeError, "flip.*twice"),
    (lambda x: x.roll((1, 2), 0), RuntimeError, "roll: 2 shifts but 1 dims"),
    (lambda x: x.repeat_interleave(nnrt.tensor([1, 2, 3]), 0), RuntimeError, "repeat_interleave"),
    (lambda x: x.repeat_interleave(-1, 0), RuntimeError, "must not be negative"),
    (lambda x: x[0].tril(), RuntimeError, "tril: wants at least 2"),
    (lambda x: x.reshape(1, 2, 3).diag(), RuntimeError, "diag: wants 1 or 2"),
    (lambda x: x[0].trace(), RuntimeError, "trace: wants 2"),
    (lambda x: nnrt.broadcast_tensors(x, x.t()), RuntimeError, r"\(2, 3\), \(3, 2\) do not broadcast"),
    (lambda x: nnrt.hsplit(x.sum(), 1), RuntimeError, "hsplit"),
]


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[e[2][:30] for e in ERRORS])
def test_errors_name_op_and_argument(call, error, text):
    x = counted(2, 3)
    with pytest.raises(error, match=text):
        call(x)
    assert nnrt.equal(x, counted(2, 3))


def test_ten_threads_at_once():
    x = nnrt.from_numpy(np.random.default_rng(1).standard_normal((40, 50, 30)).astype(np.float32))
    want = np.ascontiguousarray(x.numpy().transpose(2, 1, 0))
    wrong = []

    def work():
        for _ in range(10):
            if not (x.permute(2, 1, 0).contiguous().numpy() == want).all():
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong
