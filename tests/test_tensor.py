"""Tensor: attributes, operators, changes in place, interoperation with numpy, DLPack, torch and pickle;
its stubs."""

import ast
import copy
import inspect
import io
import operator
import pickle
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest

import nnrt

OPERATORS = [
    operator.add, operator.sub, operator.mul, operator.truediv, operator.floordiv, operator.mod, operator.pow,
    operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge,
]  # fmt: skip


# ---- attributes ----


def test_attributes():
    x = nnrt.zeros(2, 3, 4)
    assert x.shape == (2, 3, 4) and x.size() == (2, 3, 4) and x.size(-1) == 4 and x.ndim == x.dim() == 3
    assert x.numel() == 24 and x.element_size() == x.itemsize == 4 and x.nbytes == 96
    assert x.stride() == (12, 4, 1) and x.stride(0) == 12 and x.is_contiguous() and not x.T.is_contiguous()
    assert x.dtype == nnrt.float32 and x.is_floating_point() and x.is_leaf and x.grad is None and x.grad_fn is None
    assert x.data_ptr() == x.numpy().ctypes.data and x[1].data_ptr() == x.data_ptr() + 48
    assert x.T.shape == (4, 3, 2) and x.mT.shape == (2, 4, 3) and len(x) == 2
    assert x.is_cpu and not x.is_sparse and x.get_device() == -1 and x.pin_memory() is x
    with pytest.raises(TypeError, match="0-dimensional"):
        len(nnrt.tensor(1.0))
    with pytest.raises(TypeError, match="0-dimensional"):
        iter(nnrt.tensor(1.0))


def test_constructors_take_sizes_or_values():
    assert nnrt.Tensor(2, 3).shape == (2, 3) and nnrt.Tensor(4).shape == (4,) and nnrt.Tensor().shape == (0,)
    for data in ([1, 2], np.array([1, 2]), nnrt.tensor([1, 2])):
        made = nnrt.Tensor(data)
        assert made.dtype == nnrt.float32 and made.tolist() == [1, 2]
        assert nnrt.LongTensor(data).dtype == nnrt.int64 and nnrt.DoubleTensor(data).tolist() == [1, 2]
    assert nnrt.Tensor([1.0, 2.0], requires_grad=True).requires_grad
    assert nnrt.ByteTensor(2, 0).shape == (2, 0) and nnrt.BoolTensor([0, 1]).tolist() == [False, True]
    assert isinstance(made, nnrt.FloatTensor) and not isinstance(made, nnrt.LongTensor)
    assert made.type(nnrt.IntTensor).dtype == nnrt.int32
    with pytest.raises(TypeError, match=r"\(2, 3\) may be sizes or values"):
        nnrt.FloatTensor(nnrt.ones(2, 3).shape)
    leaf = nnrt.autograd.Variable(nnrt.ones(2) * 2, requires_grad=True)
    assert leaf.is_leaf and leaf.requires_grad and isinstance(leaf, nnrt.autograd.Variable)


def test_like_in_a_memory_format():
    x = nnrt.zeros(2, 3, 4, 5).transpose(1, 2)
    for make in (nnrt.zeros_like, nnrt.ones_like, nnrt.empty_like, lambda x, **named: nnrt.full_like(x, 1.0, **named)):
        assert make(x, memory_format=nnrt.preserve_format).stride() == x.stride()
        assert make(x, memory_format=nnrt.contiguous_format).is_contiguous()
        made = make(x, dtype=nnrt.float64, memory_format=nnrt.channels_last, requires_grad=True)
        assert made.is_contiguous(memory_format=nnrt.channels_last) and made.is_leaf


def test_to_another_dtype_and_memory_format():
    made = nnrt.zeros(2, 3, 4, 5).to(nnrt.float64, memory_format=nnrt.channels_last)
    assert made.dtype == nnrt.float64 and made.is_contiguous(memory_format=nnrt.channels_last)


def test_numbers():
    assert nnrt.tensor([[2.5]]).item() == 2.5 and float(nnrt.tensor(2.5)) == 2.5 and int(nnrt.tensor(2.9)) == 2
    assert bool(nnrt.tensor([1])) and not nnrt.tensor(0.0)
    assert [10, 20, 30][nnrt.tensor(1)] == 20 and range(5)[nnrt.tensor(2)] == 2
    assert f"{nnrt.tensor(2.5):.3f}" == "2.500" and f"{nnrt.tensor([1])}" == "tensor([1])"
    assert nnrt.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert 3 in nnrt.tensor([1, 2, 3]) and 5 not in nnrt.tensor([1, 2, 3])
    for call in (lambda: nnrt.ones(2).item(), lambda: bool(nnrt.ones(2)), lambda: float(nnrt.ones(2))):
        with pytest.raises(RuntimeError):
            call()
    with pytest.raises(TypeError, match="only integer tensors"):
        [1, 2][nnrt.tensor(1.0)]


def test_hash_is_identity_and_weak_references_work():
    x, y = nnrt.ones(2), nnrt.ones(2)
    assert len({x, y}) == 2 and {x: 1}[x] == 1
    r = weakref.ref(x)
    assert r() is x
    del x
    assert r() is None


# ---- operators ----


@pytest.mark.parametrize("op", OPERATORS, ids=lambda o: o.__name__)
@pytest.mark.parametrize("other", [2, 2.5, np.float32(2), np.array([1.0, 2.0, 4.0], np.float32), np.int64(3)], ids=repr)
def test_operators_on_mixed_operands_agree_with_numpy(op, other):
    a = np.array([1.5, 2.0, 4.0], np.float32)
    x = nnrt.from_numpy(a)
    for got, want in ((op(x, other), op(a, other)), (op(other, x), op(other, a))):
        assert isinstance(got, nnrt.Tensor)
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)


def test_integer_operators():
    x = nnrt.tensor([5, 6])
    assert (x & 3).tolist() == [1, 2] and (x | 8).tolist() == [13, 14] and (x ^ 1).tolist() == [4, 7]
    assert (~x).tolist() == [-6, -7] and (x << 1).tolist() == [10, 12] and (x >> 1).tolist() == [2, 3]
    assert (-x).tolist() == [-5, -6] and abs(-x).tolist() == [5, 6] and (+x) is x
    assert (7 // x).tolist() == [1, 1] and (2**x).tolist() == [32, 64] and (7 % x).tolist() == [2, 1]
    assert (nnrt.tensor([True, False]) & True).tolist() == [True, False]


def test_gradients_flow_through_operators_with_arrays_on_the_left():
    x = nnrt.tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0], np.float32) * x + np.float32(1)
    assert isinstance(y, nnrt.Tensor)
    y.sum().backward()
    assert x.grad.tolist() == [3, 4]
    a = np.eye(2, dtype=np.float32)
    assert isinstance(a @ x, nnrt.Tensor) and (a @ x).tolist() == [1, 2]


# ---- in place ----


def test_in_place_operations_change_the_memory_and_count_a_version():
    a = np.array([1.0, 4.0, 9.0])
    x = nnrt.from_numpy(a)
    view = x[:2]
    steps = [
        lambda: x.add_(1), lambda: x.sub_(1), lambda: x.mul_(2), lambda: x.div_(2), lambda: x.sqrt_(),
        lambda: x.pow_(2),
        lambda: x.neg_(), lambda: x.abs_(), lambda: x.clamp_(max=5.0), lambda: x.relu_(), lambda: x.copy_(x),
    ]  # fmt: skip
    for count, step in enumerate(steps, 1):
        assert step() is x and x.data_ptr() == a.ctypes.data and x._version == view._version == count
    assert a.tolist() == [1, 4, 5]
    x += 1
    x -= nnrt.ones(3, dtype=nnrt.float64)
    x *= 2
    x /= 2
    assert a.tolist() == [1, 4, 5]
    assert x.fill_(3).tolist() == [3] * 3 and x.zero_().tolist() == [0] * 3
    assert x.masked_fill_(nnrt.tensor([True, False, False]), 2.0).tolist() == [2, 0, 0]
    assert x.scatter_(0, nnrt.tensor([1]), nnrt.tensor([5.0], dtype=nnrt.float64)).tolist() == [2, 5, 0]
    assert x.index_add_(0, nnrt.tensor([2, 2]), nnrt.ones(2, dtype=nnrt.float64)).tolist() == [2, 5, 2]
    assert x.lerp_(nnrt.zeros(3, dtype=nnrt.float64), 0.5).tolist() == [1, 2.5, 1]
    assert x.addcmul_(x, x, value=1).tolist() == [2, 8.75, 2]


def test_leaves_are_not_changed_in_place_on_the_tape():
    x = nnrt.ones(3, requires_grad=True)
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.exp_(), lambda: x.__iadd__(1), lambda: x.unsqueeze_(0)):
        with pytest.raises(RuntimeError, match="_: a leaf that requires a gradient cannot be changed in place"):
            change()
    with pytest.raises(RuntimeError, match="normal_: samples are not recorded"):
        (x * 2).normal_()
    assert x.tolist() == [1, 1, 1] and x.shape == (3,)
    with nnrt.no_grad():
        x.add_(1)
        x += 1
    assert x.detach().tolist() == [3, 3, 3]


def test_in_place_results_must_fit_and_nothing_changes_when_they_do_not():
    x = nnrt.tensor([1, 2, 3])
    with pytest.raises(RuntimeError, match="does not fit a tensor of int64"):
        x.add_(0.5)
    with pytest.raises(RuntimeError, match=r"\(2, 3\) does not fit"):
        x.add_(nnrt.ones(2, 3, dtype=nnrt.int64))
    assert x.tolist() == [1, 2, 3] and x.add_(nnrt.tensor(4)).tolist() == [5, 6, 7]


def test_detach_and_data_share_memory():
    x = nnrt.ones(2, requires_grad=True)
    d = x.detach()
    assert not d.requires_grad and np.shares_memory(d.numpy(), x.data.numpy())
    y = (x * x).sum()
    x.data.fill_(3)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()
    x.data = nnrt.zeros(2)
    assert x.tolist() == [0, 0] and x.requires_grad
    z = x * 2
    assert not z.detach_().requires_grad and z.is_leaf


def test_requires_grad_rules():
    with pytest.raises(RuntimeError, match="only floating tensors"):
        nnrt.tensor([1]).requires_grad_()
    y = nnrt.ones(1, requires_grad=True) * 1
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad_(False)
    assert nnrt.ones(1).requires_grad_().requires_grad_(False).requires_grad is False


# ---- numpy ----


def test_numpy_is_the_memory_itself():
    x = nnrt.zeros(3)
    a = x.numpy()
    a[0] = 5
    assert x[0].item() == 5 and np.asarray(x).ctypes.data == x.numpy().ctypes.data == a.ctypes.data
    assert np.asarray(x, np.float64).dtype == np.float64
    assert not np.shares_memory(np.array(x), a)
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(x, np.float64, copy=False)
    y = nnrt.ones(1, requires_grad=True)
    for call in (y.numpy, lambda: np.asarray(y)):
        with pytest.raises(RuntimeError, match=r"detach\(\).numpy\(\)"):
            call()


UFUNCS = [
    np.exp, np.log, np.sqrt, np.tanh, np.sin, np.negative, np.abs, np.square, np.reciprocal, np.floor,
    np.arctan, np.sign,
]  # fmt: skip


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda u: u.__name__)
def test_ufuncs_become_ops_with_gradients(ufunc):
    a = np.array([0.5, 1.5, 2.5])
    x = nnrt.tensor(a, requires_grad=True)
    y = ufunc(x)
    assert isinstance(y, nnrt.Tensor)
    np.testing.assert_allclose(y.detach().numpy(), ufunc(a), rtol=1e-12)
    if y.requires_grad:
        assert nnrt.autograd.gradcheck(ufunc, (x,))


def test_binary_ufuncs_and_out():
    x = nnrt.tensor([1.0, 2.0])
    a = np.array([3.0, 5.0], np.float32)
    for ufunc in (np.add, np.subtract, np.multiply, np.divide, np.power, np.maximum, np.less, np.arctan2):
        for got, want in ((ufunc(x, a), ufunc(x.numpy(), a)), (ufunc(a, x), ufunc(a, x.numpy()))):
            assert isinstance(got, nnrt.Tensor)
            np.testing.assert_allclose(got.numpy(), want, rtol=1e-6)
    a += x
    assert type(a) is np.ndarray and a.tolist() == [4, 7]
    np.multiply(a, 2, out=x.numpy())
    assert x.tolist() == [8, 14]
    assert np.add(x, 1, out=x) is x and x.tolist() == [9, 15]
    with pytest.raises(TypeError, match="lose the gradient"):
        a += nnrt.ones(2, requires_grad=True)
    assert a.tolist() == [4, 7]


def test_ufuncs_without_counterpart_raise():
    x = nnrt.ones(2)
    for call, text in (
        (lambda: np.cbrt(x), r"numpy.cbrt has no counterpart for tensors; use x.detach\(\).numpy\(\)"),
        (lambda: np.add.reduce(x), "numpy.add.reduce has no counterpart"),
        (lambda: np.add(x, x, where=np.array([True, False])), "with where"),
    ):
        with pytest.raises(TypeError, match=text):
            call()


def test_other_functions_of_numpy_get_the_arrays():
    x = nnrt.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert np.mean(x) == 2.75 and np.max(x, axis=1, keepdims=True).tolist() == [[2], [5]]
    assert type(np.concatenate([x, x])) is np.ndarray and np.stack((x, x), axis=-1).shape == (2, 2, 2)
    np.testing.assert_array_equal(np.where(x > 2, x, 0), [[0, 0], [3, 5]])
    with pytest.raises(RuntimeError, match=r"detach\(\).numpy\(\)"):
        np.mean(nnrt.ones(2, requires_grad=True))


# ---- DLPack ----


def test_dlpack_refuses_negative_strides():
    x = nnrt.from_numpy(np.arange(4.0)[::-1])
    with pytest.raises(BufferError, match=r"negative.*contiguous\(\)"):
        x.__dlpack__()
    assert np.from_dlpack(x.contiguous()).tolist() == [3, 2, 1, 0]


def test_dlpack_with_numpy_both_ways():
    x = nnrt.zeros(2, 3)
    a = np.from_dlpack(x)
    assert np.shares_memory(a, x.numpy()) and x.__dlpack_device__() == (1, 0)
    y = nnrt.from_dlpack(np.arange(4.0)[::2])
    assert y.tolist() == [0, 2]
    b = np.zeros(3)
    nnrt.from_dlpack(b).fill_(4)
    assert b.tolist() == [4, 4, 4]
    assert nnrt.from_dlpack(x)._version == 0 and np.shares_memory(nnrt.from_dlpack(x).numpy(), x.numpy())
    with pytest.raises(BufferError, match="requires a gradient"):
        np.from_dlpack(nnrt.ones(1, requires_grad=True))


def test_dlpack_names_a_dtype_that_it_does_not_take(torch):
    with pytest.raises(TypeError, match="^from_dlpack: Tensor of dtype torch.bfloat16"):
        nnrt.from_dlpack(torch.ones(2, dtype=torch.bfloat16))
    with pytest.raises(TypeError, match="^from_dlpack: dtype complex64"):
        nnrt.from_dlpack(np.ones(2, np.complex64))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64", "int32", "int8", "uint8", "bool", "float16"])
def test_dlpack_with_torch_both_ways(torch, dtype):
    x = nnrt.tensor([[0, 1, 2], [3, 4, 5]], dtype=dtype)
    t = torch.from_dlpack(x)
    assert t.dtype == getattr(torch, dtype) and t.data_ptr() == x.data_ptr()
    assert torch.from_dlpack(x.t()).stride() == (1, 3)
    t[0, 0] = 1
    assert x[0, 0].item() == 1
    back = nnrt.from_dlpack(t.t())
    assert back.data_ptr() == t.data_ptr() and back.tolist() == t.t().tolist() and back.dtype == x.dtype


def test_torch_memory_outlives_its_tensor(torch):
    x = nnrt.from_dlpack(torch.arange(1000, dtype=torch.float32))
    torch.zeros(1000)
    assert x.tolist() == list(range(1000))


# ---- copies ----


class Named(nnrt.Tensor):
    """A subclass with an attribute."""


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    x = nnrt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    y = pickle.loads(pickle.dumps(x, protocol))
    assert y.requires_grad and nnrt.equal(x, y) and y.is_leaf and not np.shares_memory(x.detach().numpy(), y.detach().numpy())
    z = pickle.loads(pickle.dumps(nnrt.tensor([True]), protocol))
    assert z.dtype == nnrt.bool and not z.requires_grad
    buffer = io.BytesIO()
    pickle.dump({"a": x, "b": [x.detach().t()]}, buffer, protocol)
    loaded = pickle.loads(buffer.getvalue())
    assert loaded["b"][0].tolist() == [[1, 3], [2, 4]]


def test_pickle_and_deepcopy_keep_class_and_attributes():
    x = Named([1.0, 2.0])
    x.name = "x"
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert type(y) is Named and y.name == "x" and y.tolist() == [1, 2]
    assert "Named(" in repr(x)


def test_deepcopy():
    x = nnrt.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    shared = [x, x]
    a, b = copy.deepcopy(shared)
    assert a is b and a.requires_grad and a.grad.tolist() == [2, 2, 2]
    a.grad.fill_(0)
    assert x.grad.tolist() == [2, 2, 2] and not np.shares_memory(a.detach().numpy(), x.detach().numpy())
    with pytest.raises(RuntimeError, match="only leaves"):
        copy.deepcopy(x * 2)
    nhwc = nnrt.rand(2, 3, 4, 4).contiguous(memory_format=nnrt.channels_last)
    assert copy.deepcopy(nhwc).stride() == nhwc.stride()


def test_ten_threads_record_and_walk_tapes_of_their_own():
    w = nnrt.tensor(np.arange(1.0, 5.0))
    wrong = []

    def work(k):
        for _ in range(50):
            x = nnrt.tensor(np.full(4, float(k)), requires_grad=True)
            (x.reshape(2, 2).t().flatten()[1:] * w[1:]).sum().backward()
            if x.grad.tolist() != [0, 3, 2, 4]:
                wrong.append(x.grad.tolist())

    threads = [threading.Thread(target=work, args=(k,)) for k in range(10)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


# ---- stubs ----


def stub_class():
    path = Path(nnrt.__file__).parent / "tensor.pyi"
    tree = ast.parse(path.read_text())
    return next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Tensor")


def test_stubs_list_the_methods_of_the_class():
    listed = {n.name: n for n in stub_class().body if isinstance(n, ast.FunctionDef)}
    attributes = {n.target.id for n in stub_class().body if isinstance(n, ast.AnnAssign)}
    public = {n for n in vars(nnrt.Tensor) if not n.startswith("_")}
    names = {n for n in listed if not n.startswith("_")} | attributes
    assert names == public | attributes, "run tools/make_stubs.py"  # uncompiled, attributes are not in the class
    for name in public - attributes:
        function = vars(nnrt.Tensor)[name]
        if callable(function):
            args = listed[name].args
            stubbed = [*args.args, args.vararg, *args.kwonlyargs, args.kwarg][1:]
            stubbed = [a.arg for a in stubbed if a is not None]
            assert stubbed == list(inspect.signature(function).parameters)[1:], f"{name}: run tools/make_stubs.py"


def test_the_package_is_typed():
    assert (Path(nnrt.__file__).parent / "py.typed").exists()


IN_PLACE = ("add_", "sub_", "mul_", "div_")
ALONE = """
    neg_ abs_ exp_ log_ sqrt_ rsqrt_ square_ reciprocal_ sin_ cos_ floor_ ceil_ sigmoid_ tanh_ relu_
""".split()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
@pytest.mark.parametrize("name", IN_PLACE)
def test_arithmetic_in_place_is_that_out_of_place(name, dtype, rng):
    out_of_place = getattr(nnrt, name[:-1])
    a = (rng.random((6, 4, 5)) + 1).astype(dtype)
    for view in (lambda x: x, lambda x: x[::2], lambda x: x.transpose(0, 2), lambda x: x[:, 1:3]):
        x = view(nnrt.tensor(a))
        for other in (
            3, -0.5, True, nnrt.tensor(2.0), nnrt.tensor(a[0, 0, 0]), view(nnrt.tensor(a)), view(nnrt.tensor(a))[:1],
            view(nnrt.tensor(a))[..., :1], view(nnrt.tensor(a)).double(), nnrt.ones(1, dtype=nnrt.int32),
        ):  # fmt: skip
            if other is True and name == "sub_":
                continue
            changed = view(nnrt.tensor(a))
            memory = changed.array
            assert getattr(changed, name)(other) is changed and changed.array is memory
            want = out_of_place(x, other).to(x.dtype)
            np.testing.assert_array_equal(changed.numpy(), want.numpy())


@pytest.mark.parametrize("name", ALONE)
def test_functions_in_place_are_those_out_of_place(name, rng):
    for dtype in (np.float32, np.float64):
        a = rng.random((5, 40)).astype(dtype)
        x = nnrt.tensor(a)[:, ::3]
        want = getattr(x, name[:-1])()
        assert getattr(x, name)() is x
        np.testing.assert_array_equal(x.numpy(), want.numpy())


def test_overlapping_operands_in_place_use_the_old_values():
    x = nnrt.arange(5.0)
    x[1:].add_(x[:-1])
    assert x.tolist() == [0, 1, 3, 5, 7]
    x.mul_(x[2])
    assert x.tolist() == [0, 3, 9, 15, 21]
    x.sub_(x)
    assert x.tolist() == [0] * 5


def test_in_place_makes_no_temporary():
    pytest.importorskip("nnrt._ext.runtime", reason="numpy's memory is not counted")
    x, y = nnrt.ones(1 << 20), nnrt.ones(1 << 20)
    nnrt.memory.reset_peak()
    before = nnrt.memory.stats()["peak_allocated"]
    for name in IN_PLACE:
        getattr(x, name)(y)
    for name in ALONE:
        getattr(x, name)()
    assert nnrt.memory.stats()["peak_allocated"] == before


@pytest.mark.parametrize("shared", ["view", "detached", "numpy", "backward", "base"])
def test_on_the_tape_nobody_else_may_hold_the_memory(shared):
    w = nnrt.ones(3, requires_grad=True)
    ones, mask = nnrt.ones(3), nnrt.tensor([True, False, True])
    changes = {
        "add_": lambda x: x.add_(w),
        "addcmul_": lambda x: x.addcmul_(ones, w),
        "lerp_": lambda x: x.lerp_(ones, w),
        "clamp_": lambda x: x.clamp_(ones, w),
        "masked_fill_": lambda x: x.masked_fill_(mask, w.sum()),
        "copy_": lambda x: x.copy_(w),
        "setitem": lambda x: x.__setitem__(0, w[0]),
    }
    for op, change in changes.items():
        for tracked in (False, True):
            x = w * 0 if tracked else nnrt.zeros(3)
            held = {
                "view": lambda x=x: x[:2],
                "detached": lambda x=x: x.detach(),
                "numpy": lambda x=x: x.detach().numpy(),
                "backward": lambda x=x: x * w,
                "base": lambda x=x: x,
            }[shared]()
            x = x[:] if shared == "base" else x
            with pytest.raises(RuntimeError, match=f"{op}: on the tape a tensor can be changed in place while no view"):
                change(x)
            assert x.tolist() == [0, 0, 0] and x.requires_grad is tracked
            del held
            if shared != "base":
                change(x)
                assert x.requires_grad


def test_augmented_assignment_on_the_tape_leaves_views_and_the_other_shape_alone():
    x = nnrt.ones(3, requires_grad=True)
    y = x * 2
    view, same = y[:2], y
    y += 1
    assert y is same and y.tolist() == [3, 3, 3] and view.tolist() == [2, 2]
    (y.sum() + view.sum()).backward()
    assert x.grad.tolist() == [4, 4, 2]
    with pytest.raises(RuntimeError, match=r"add_: a result of shape \(2, 3\) does not fit"):
        y += nnrt.ones(2, 3)
    with pytest.raises(RuntimeError, match="mul_: the result is float32, which does not fit a tensor of int64"):
        nnrt.tensor([1, 2, 3]).__imul__(x)


def test_in_place_refuses_what_does_not_fit():
    for x, change, message in (
        (nnrt.tensor([1, 2]), lambda x: x.add_(1.5), "add_: the result is float32, which does not fit a tensor of int64"),
        (nnrt.tensor([True]), lambda x: x.add_(1), "add_: the result is int64, which does not fit a tensor of bool"),
        (nnrt.tensor([1, 2]), lambda x: x.sqrt_(), "sqrt_: the result is float32"),
        (nnrt.zeros(3), lambda x: x.add_(nnrt.ones(2, 3)), r"add_: a result of shape \(2, 3\) does not fit .* shape \(3,\)"),
        (nnrt.zeros(1).expand(3), lambda x: x.add_(1), "add_: this tensor's memory is read-only"),
        (nnrt.zeros(1).expand(3), lambda x: x.exp_(), "exp_: this tensor's memory is read-only"),
        (nnrt.zeros(1).expand(3), lambda x: x.zero_(), "zero_: this tensor's memory is read-only"),
    ):
        before = x.tolist()
        with pytest.raises(RuntimeError, match=message):
            change(x)
        assert x.tolist() == before


def test_copy_and_fill_convert():
    assert nnrt.tensor([1, 2]).copy_(nnrt.tensor([1.5, -2.5])).tolist() == [1, -2]
    assert nnrt.tensor([True, True]).copy_(nnrt.tensor([0.0, 2.0])).tolist() == [False, True]
    assert nnrt.tensor([1, 2]).fill_(nnrt.tensor(2.7)).tolist() == [2, 2]
