"""Making tensors: dtypes, copies and sharing, values against torch, devices, printing, errors."""

import numpy as np
import pytest

import nnrt

CALLS = {
    "arange": lambda t: t.arange(7),
    "arange-start": lambda t: t.arange(2, 9, 3),
    "arange-down": lambda t: t.arange(5, -2, -2),
    "arange-empty": lambda t: t.arange(3, 3),
    "arange-float": lambda t: t.arange(0, 1, 0.1),
    "arange-float-end": lambda t: t.arange(2.5),
    "arange-dtype": lambda t: t.arange(0, 5, dtype=t.float64),
    "linspace": lambda t: t.linspace(-1, 2, 7),
    "linspace-1": lambda t: t.linspace(3, 5, 1),
    "linspace-0": lambda t: t.linspace(3, 5, 0),
    "logspace": lambda t: t.logspace(-1, 2, 4),
    "logspace-base": lambda t: t.logspace(0, 3, 4, base=2, dtype=t.float64),
    "eye": lambda t: t.eye(3),
    "eye-wide": lambda t: t.eye(2, 4, dtype=t.int32),
    "eye-0": lambda t: t.eye(0),
    "full": lambda t: t.full((2, 2), 3.5),
    "full-int": lambda t: t.full((2,), 7),
    "full-bool": lambda t: t.full((2,), True),
    "zeros": lambda t: t.zeros(2, 3),
    "zeros-tuple": lambda t: t.zeros((2, 0)),
    "ones": lambda t: t.ones([2], dtype=t.uint8),
    "zeros-0d": lambda t: t.zeros(()),
    "zeros-like": lambda t: t.zeros_like(t.ones(2, 3, dtype=t.float64)),
    "ones-like": lambda t: t.ones_like(t.zeros(2), dtype=t.int64),
    "full-like": lambda t: t.full_like(t.zeros(2), 4),
    "scalar": lambda t: t.scalar_tensor(3),
    "tril-indices": lambda t: t.tril_indices(3, 4, 1),
    "triu-indices": lambda t: t.triu_indices(4, 3, -1),
    "list": lambda t: t.tensor([[1, 2], [3, 4]]),
    "floats": lambda t: t.tensor([1.0, 2]),
    "bools": lambda t: t.tensor([True, False]),
    "bools-and-ints": lambda t: t.tensor([True, 2]),
    "nothing": lambda t: t.tensor([]),
    "number": lambda t: t.tensor(2.5),
    "numpy-float64": lambda t: t.tensor(np.float64(2.5)),
    "numpy-in-list": lambda t: t.tensor([np.float64(2.5), 1.0]),
    "numpy-float32-in-list": lambda t: t.tensor([np.float32(2.5)]),
    "array": lambda t: t.tensor(np.arange(3.0)),
    "array-int32": lambda t: t.tensor(np.arange(3, dtype=np.int32)),
    "tensors": lambda t: t.tensor([t.tensor(1.0), 2]),
    "dtype": lambda t: t.tensor([1.7, -2.5], dtype=t.int64),
    "dtype-bool": lambda t: t.tensor([0, 2], dtype=t.bool),
    "dtype-python": lambda t: t.zeros(2, dtype=float),
    "as-tensor": lambda t: t.as_tensor([1, 2]),
    "asarray": lambda t: t.asarray(np.arange(2.0)),
    "to": lambda t: t.tensor([1.9, -1.9]).to(t.int32),
    "to-other": lambda t: t.tensor([1, 2]).to(t.zeros(1, dtype=t.float64)),
    "to-cpu": lambda t: t.tensor([1, 2]).to("cpu", t.float32),
    "long": lambda t: t.tensor([1.5]).long(),
    "type-as": lambda t: t.tensor([1]).type_as(t.zeros(1)),
    "new-zeros": lambda t: t.zeros(1, dtype=t.float64).new_zeros(2, 3),
    "new-full": lambda t: t.zeros(1, dtype=t.int64).new_full((2,), 3),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_agrees_with_torch(call, torch):
    want, got = call(torch).numpy(), call(nnrt).numpy()
    assert got.shape == want.shape and got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-7)


def test_arange_is_exact_where_torch_and_numpy_drift():
    x = nnrt.arange(0, 1000, 0.1, dtype=nnrt.float64).numpy()
    np.testing.assert_array_equal(x, np.arange(10000) * 0.1)
    assert nnrt.arange(2**62, 2**62 + 2).tolist() == [2**62, 2**62 + 1]


def test_tensor_copies_and_from_numpy_shares():
    a = np.arange(3.0)
    copy, shared, also = nnrt.tensor(a), nnrt.from_numpy(a), nnrt.as_tensor(a)
    a[0] = 9
    assert copy[0].item() == 0 and shared[0].item() == also[0].item() == 9
    shared[1] = 8.0
    assert a[1] == 8 and shared.data_ptr() == a.ctypes.data
    x = nnrt.ones(2, requires_grad=True)
    assert nnrt.as_tensor(x) is x and not nnrt.tensor(x).requires_grad
    assert np.shares_memory(nnrt.asarray(a, copy=False).numpy(), a)
    assert not np.shares_memory(nnrt.asarray(a, copy=True).numpy(), a)
    with pytest.raises(ValueError, match="asarray: copy=False"):
        nnrt.asarray([1, 2], copy=False)
    with pytest.raises(ValueError, match="asarray: copy=False"):
        nnrt.asarray(a, dtype=nnrt.float32, copy=False)


def test_from_numpy_takes_any_layout_and_refuses_what_it_cannot_share():
    a = np.arange(24.0).reshape(2, 3, 4)
    for view in (a[::-1], a.transpose(2, 0, 1), a[:, 1:, ::2], np.asfortranarray(a), np.broadcast_to(a[0], a.shape)):
        x = nnrt.from_numpy(view)
        assert x.tolist() == view.tolist()
        np.testing.assert_array_equal((x + 1).numpy(), view + 1)
    with pytest.raises(TypeError, match="from_numpy: wants a numpy array, got list"):
        nnrt.from_numpy([1])
    for bad in (np.zeros(2, complex), np.array(["a"]), np.zeros(2, ">f4"), np.zeros(2, np.longdouble)):
        with pytest.raises(TypeError, match="from_numpy: dtype"):
            nnrt.from_numpy(bad)
    assert nnrt.tensor(np.arange(2, dtype=">f4")).dtype == nnrt.float32
    read_only = np.arange(3.0)
    read_only.flags.writeable = False
    x = nnrt.from_numpy(read_only)
    for change in (lambda: x.add_(1), lambda: x.uniform_(), lambda: x.fill_(0)):
        with pytest.raises((RuntimeError, ValueError), match="read-only"):
            change()
    assert read_only.tolist() == [0, 1, 2]


def test_default_dtype():
    assert nnrt.get_default_dtype() == nnrt.float32
    try:
        nnrt.set_default_dtype(nnrt.float64)
        assert nnrt.tensor([1.0]).dtype == nnrt.zeros(1).dtype == nnrt.rand(1).dtype == nnrt.float64
        assert nnrt.arange(0, 1, 0.5).dtype == (nnrt.tensor([1]) / 2).dtype == nnrt.float64
        assert "dtype" not in repr(nnrt.tensor([1.5])) and "nnrt.float32" in repr(nnrt.ones(1, dtype=nnrt.float32))
    finally:
        nnrt.set_default_dtype(nnrt.float32)
    with pytest.raises(TypeError, match="wants a floating dtype, got int64"):
        nnrt.set_default_dtype(nnrt.int64)


def test_conversions_carry_gradients():
    x = nnrt.ones(3, requires_grad=True)
    y = x.double()
    assert y.dtype == nnrt.float64 and y.requires_grad
    (y * 2).sum().backward()
    assert x.grad.dtype == nnrt.float32 and x.grad.tolist() == [2, 2, 2]
    assert x.to(nnrt.float32) is x and x.to(nnrt.float32, copy=True) is not x
    assert x.to("cpu") is x and x.cpu() is x
    assert not x.long().requires_grad


def test_devices():
    cpu = nnrt.device("cpu")
    assert nnrt.zeros(1).device == cpu and cpu.type == "cpu" and cpu.index is None
    assert str(nnrt.device("cuda:1")) == "cuda:1" and nnrt.device("cuda", 1) == nnrt.device("cuda:1")
    assert hash(nnrt.device(cpu)) == hash(cpu) and repr(cpu) == "device(type='cpu')"
    for call in (
        lambda: nnrt.zeros(1, device="cuda"),
        lambda: nnrt.tensor([1.0], device="cuda:0"),
        lambda: nnrt.zeros(1).to("cuda"),
        lambda: nnrt.zeros(1).to(nnrt.device("cuda")),
        lambda: nnrt.rand(2, device="cuda"),
    ):
        with pytest.raises(RuntimeError, match=r"device 'cuda.*computes on the CPU only"):
            call()
    with pytest.raises(RuntimeError, match="wants 'cpu'"):
        nnrt.device("gpu")


ERRORS = [
    (lambda: nnrt.tensor([[1, 2], [3]]), ValueError, "tensor: sequences of different lengths"),
    (lambda: nnrt.tensor("abc"), TypeError, "tensor: .* cannot become a tensor"),
    (lambda: nnrt.tensor(1j), TypeError, "tensor: complex128 .*complex numbers are out of scope"),
    (lambda: nnrt.tensor(np.zeros(1, complex)), TypeError, "complex numbers are out of scope"),
    (lambda: nnrt.zeros(1, dtype=complex), TypeError, "zeros: dtype .*complex"),
    (lambda: nnrt.zeros(1, dtype="nonsense"), TypeError, "zeros: dtype 'nonsense'"),
    (lambda: nnrt.tensor([2**70]), ValueError, "tensor"),
    (lambda: nnrt.tensor([None]), TypeError, "tensor: object data"),
    (lambda: nnrt.zeros(-1), RuntimeError, "zeros: size must not be negative"),
    (lambda: nnrt.zeros(1.5), TypeError, "zeros: size must be integers"),
    (lambda: nnrt.ones(2, dtype=nnrt.int64, requires_grad=True), RuntimeError, "only floating tensors"),
    (lambda: nnrt.arange(0, 3, 0), RuntimeError, "arange: step must not be 0"),
    (lambda: nnrt.arange(3, 0), RuntimeError, "arange: step=1 does not lead"),
    (lambda: nnrt.arange(float("nan")), RuntimeError, "arange: wants finite"),
    (lambda: nnrt.linspace(0, 1, -1), RuntimeError, "linspace: steps"),
    (lambda: nnrt.eye(-1), RuntimeError, "eye: size"),
    (lambda: nnrt.full((2,), 300, dtype=nnrt.uint8), RuntimeError, "full: fill_value 300 does not fit uint8"),
    (lambda: nnrt.from_dlpack(3), TypeError, "from_dlpack"),
    (lambda: nnrt.zeros(1).to("float33"), (TypeError, RuntimeError), "to"),
]


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[e[2][:30] for e in ERRORS])
def test_errors(call, error, text):
    with pytest.raises(error, match=text):
        call()


PRINTED = [
    [1.0, 2.0], [1.5, -2.25], [[1.0, 2.0], [3.0, 4.0]], [1e-5, 1.0], [1e9, 1.0], [1.0, 5000.0],
    [float("nan"), 1.0],
    [float("inf"), -1.5], [], [0.0], 3.14159, [1, 2, 300], True, [[True], [False]], [[[1.0]]], [1e-7, 0.0],
]  # fmt: skip


@pytest.mark.parametrize("data", PRINTED, ids=repr)
def test_prints_as_torch_does(data, torch):
    assert repr(nnrt.tensor(data)) == repr(torch.tensor(data))


def test_prints_the_rest():
    x = nnrt.ones(2, requires_grad=True)
    assert repr(x) == "tensor([1., 1.], requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 2.], grad_fn=<MulBackward>)"
    assert repr(nnrt.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(nnrt.ones(1, dtype=nnrt.int32)) == "tensor([1], dtype=nnrt.int32)"
    long = repr(nnrt.arange(100000))
    assert "..." in long and len(long) < 100
    assert len(repr(nnrt.rand(1000, 1000))) < 1000
    try:
        nnrt.set_printoptions(precision=2, sci_mode=False)
        assert repr(nnrt.tensor([1.234, 1e-3])) == "tensor([1.23, 0.00])"
    finally:
        nnrt.set_printoptions(profile="default")
    with pytest.raises(ValueError, match="profile must be one of"):
        nnrt.set_printoptions(profile="long")


def test_memory_order_is_kept():
    x = nnrt.rand(2, 3, 4, 5).contiguous(memory_format=nnrt.channels_last)
    for made in (nnrt.empty_like(x), nnrt.zeros_like(x, dtype=nnrt.float64), x.double(), x.clone()):
        assert made.stride() == x.stride()


def test_predicates():
    assert nnrt.is_tensor(nnrt.ones(1)) and not nnrt.is_tensor(np.ones(1))
    assert nnrt.is_floating_point(nnrt.ones(1)) and not nnrt.is_floating_point(nnrt.tensor(1))
    assert nnrt.numel(nnrt.ones(2, 3)) == 6 and nnrt.float is nnrt.float32 and nnrt.long == nnrt.int64
    assert nnrt.finfo(nnrt.float32).eps == np.finfo(np.float32).eps and nnrt.iinfo(nnrt.int8).max == 127


def test_blocks_are_printed_without_trailing_blanks():
    assert repr(nnrt.arange(4).reshape(2, 1, 2)) == "tensor([[[0, 1]],\n\n        [[2, 3]]])"
    assert repr(nnrt.tensor([1e10, float("nan")])) == "tensor([1.0000e+10,        nan])"
