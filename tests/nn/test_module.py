"""Module: registration, traversal, conversion, repr, copying. What torch prints or raises is the measure."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest

import nnrt
from nnrt import nn


def tensor(*shape, value=1.0):
    return nnrt.from_numpy(np.full(shape, value, np.float32))


def parameter(*shape, value=1.0):
    return nn.Parameter(tensor(*shape, value=value))


class Scale(nn.Module):
    """y = weight * x + offset."""

    def __init__(self, size=3):
        super().__init__()
        self.weight = parameter(size, value=2.0)
        self.register_buffer("offset", tensor(size, value=1.0))

    def forward(self, x, twice=False):
        y = self.weight * x + self.offset
        return y + y if twice else y


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Scale()
        self.rest = nn.Sequential(Scale(), nn.ModuleDict({"inner": Scale()})["inner"])
        self.register_parameter("bias", None)
        self.register_buffer("scratch", tensor(2), persistent=False)
        self.name = "net"

    def forward(self, x):
        return self.rest(self.first(x))


def test_members_are_found_under_dotted_names():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["first.weight", "rest.0.weight", "rest.1.weight"]
    assert [n for n, _ in net.named_buffers()] == [
        "scratch",
        "first.offset",
        "rest.0.offset",
        "rest.1.offset",
    ]
    assert [n for n, _ in net.named_modules()] == ["", "first", "rest", "rest.0", "rest.1"]
    assert [n for n, _ in net.named_children()] == ["first", "rest"]
    assert [n for n, _ in net.named_parameters(prefix="m", recurse=False)] == []
    assert [n for n, _ in net.first.named_parameters(prefix="m")] == ["m.weight"]
    assert list(net.modules())[1] is net.first and list(net.children()) == [net.first, net.rest]
    assert len(list(net.parameters())) == 3 and len(list(net.buffers(recurse=False))) == 1


def test_a_shared_member_is_listed_once_unless_asked():
    shared = Scale()
    net = nn.Sequential(shared, shared)
    assert [n for n, _ in net.named_parameters()] == ["0.weight"]
    assert [n for n, _ in net.named_parameters(remove_duplicate=False)] == ["0.weight", "1.weight"]
    assert [n for n, _ in net.named_modules()] == ["", "0"]
    assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1"]
    assert [n for n, _ in net.named_children()] == ["0"]
    assert [n for n, _ in net.named_buffers(remove_duplicate=False)] == ["0.offset", "1.offset"]
    tied = nn.Module()
    tied.a = tied.b = parameter(2)
    assert [n for n, _ in tied.named_parameters()] == ["a"]
    assert list(tied.state_dict()) == ["a", "b"]


def test_paths():
    net = Net()
    assert net.get_submodule("") is net
    assert net.get_submodule("rest.1") is net.rest[1]
    assert net.get_parameter("rest.1.weight") is net.rest[1].weight
    assert net.get_buffer("first.offset") is net.first.offset
    replacement = Scale()
    net.set_submodule("rest.0", replacement)
    assert net.rest[0] is replacement
    with pytest.raises(AttributeError, match=r"rest\.9.*Sequential has no module '9'"):
        net.get_submodule("rest.9")
    with pytest.raises(AttributeError, match="no parameter 'offset'"):
        net.get_parameter("first.offset")
    with pytest.raises(AttributeError, match="no buffer 'weight'"):
        net.get_buffer("first.weight")
    with pytest.raises(ValueError, match="empty"):
        net.set_submodule("", replacement)
    with pytest.raises(TypeError, match="nn.Module"):
        net.set_submodule("rest.0", 3)


def test_members_need_init_first():
    class Hasty(nn.Module):
        def __init__(self, member):
            self.member = member

    for member, noun in ((parameter(1), "parameters"), (Scale(), "modules")):
        with pytest.raises(AttributeError, match=rf"cannot assign {noun} before Module.__init__\(\) call"):
            Hasty(member)
    assert Hasty(3).member == 3
    bare = Hasty(3)
    with pytest.raises(AttributeError, match="before Module.__init__"):
        bare.register_buffer("b", tensor(1))
    assert list(bare.parameters()) == [] and bare.training and bare.state_dict() == {}


@pytest.mark.parametrize(
    "register, value",
    [("register_parameter", parameter(1)), ("register_buffer", tensor(1)), ("add_module", Scale())],
)
def test_names_are_checked(register, value):
    m = nn.Module()
    m.plain = 1
    with pytest.raises(KeyError, match="contain"):
        getattr(m, register)("a.b", value)
    with pytest.raises(KeyError, match="empty"):
        getattr(m, register)("", value)
    with pytest.raises(TypeError, match="must be a string, got int"):
        getattr(m, register)(1, value)
    for taken in ("plain", "forward", "training", "_kinds"):
        with pytest.raises(KeyError, match="already exists"):
            getattr(m, register)(taken, value)
    with pytest.raises(TypeError, match="got str"):
        getattr(m, register)("x", "text")
    assert m._kinds == {} and m.plain == 1
    getattr(m, register)("x", None)
    getattr(m, register)("x", value)
    assert m.x is value


def test_assignment_keeps_kinds_apart():
    m = Scale()
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'weight'"):
        m.weight = tensor(3)
    with pytest.raises(TypeError, match="cannot assign 'int' as buffer 'offset'"):
        m.offset = 3
    net = Net()
    with pytest.raises(TypeError, match="as module 'first'"):
        net.first = tensor(1)
    m.weight = None
    assert list(m.parameters()) == [] and m.state_dict().keys() == {"offset"}
    m.weight = parameter(3)
    assert list(m.state_dict()) == ["weight", "offset"]
    m.offset = tensor(4)
    assert m.offset.shape == (4,) and [n for n, _ in m.named_buffers()] == ["offset"]
    m.offset = parameter(5)  # from buffer to parameter
    assert [n for n, _ in m.named_parameters()] == ["weight", "offset"] and not list(m.buffers())
    m.offset = Scale()
    assert [n for n, _ in m.named_children()] == ["offset"]
    m.plain = tensor(1)
    assert "plain" not in m.state_dict()
    m.plain = parameter(1)
    assert "plain" in m.state_dict()


def test_deletion():
    m = Scale()
    del m.weight, m.offset
    assert not hasattr(m, "weight") and m.state_dict() == {}
    with pytest.raises(AttributeError, match="weight"):
        print(m.weight)
    with pytest.raises(AttributeError):
        del m.weight
    m.weight = 3  # a plain attribute again
    assert m.weight == 3 and not list(m.parameters())


def test_views_of_the_members_are_live():
    m = Scale()
    p = parameter(1)
    m._parameters["extra"] = p
    assert m.extra is p and list(m._parameters) == ["weight", "extra"] and len(m._buffers) == 1
    del m._parameters["weight"]
    assert not hasattr(m, "weight")
    with pytest.raises(KeyError):
        m._parameters["offset"]
    with pytest.raises(KeyError):
        del m._modules["offset"]
    assert m._parameters.pop("extra") is p and not list(m.parameters())
    assert "offset" in repr(m._buffers)


def test_dir_lists_members_but_no_numbers():
    net = Net()
    assert {"first", "rest", "bias", "scratch", "forward"} <= set(dir(net))
    assert "0" not in dir(net.rest)


def test_forward_is_required():
    with pytest.raises(NotImplementedError, match='missing the required "forward"'):
        nn.Module()(1)


def test_forward_of_the_instance_is_used():
    m = Scale()
    m.forward = lambda x: "replaced"
    assert m(1) == "replaced"


def test_keyword_arguments_reach_forward():
    x = tensor(3)
    assert Scale()(x, twice=True).tolist() == [6.0] * 3
    assert Scale()(x=x).tolist() == [3.0] * 3
    with pytest.raises(TypeError, match="unexpected keyword"):
        Scale()(x, thrice=True)


def test_train_and_eval():
    net = Net()
    assert net.training
    assert net.eval() is net
    assert not any(m.training for m in net.modules())
    net.train()
    assert all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="bool"):
        net.train(1)


def test_apply_visits_children_first():
    seen = []
    net = Net()
    assert net.apply(lambda m: seen.append(m)) is net
    assert seen == [net.first, net.rest[0], net.rest[1], net.rest, net]


def test_gradients_are_reset():
    net = Net()
    net(tensor(3)).sum().backward()
    p = net.first.weight
    assert p.grad is not None
    grad = p.grad
    net.zero_grad(set_to_none=False)
    assert p.grad is grad and grad.tolist() == [0.0] * 3
    net.zero_grad()
    assert p.grad is None
    net.requires_grad_(False)
    assert not net(tensor(3)).requires_grad
    assert net.requires_grad_() is net and p.requires_grad


def test_conversion_keeps_identity_sharing_and_integers():
    shared = Scale()
    net = nn.Sequential(shared, shared)
    net.register_buffer("count", nnrt.tensor(3))
    alias = nn.Module()
    alias.register_buffer("same", shared.offset)
    net.append(alias)
    shared.weight.grad = tensor(3)
    p = shared.weight
    assert net.to(nnrt.float64) is net
    assert p is shared.weight and p.dtype == nnrt.float64 and p.grad.dtype == nnrt.float64
    assert shared.offset.dtype == nnrt.float64 and alias.same is shared.offset
    assert net.count.dtype == nnrt.int64
    net.float()
    assert p.dtype == nnrt.float32
    net.to(dtype=nnrt.float64)
    assert p.dtype == nnrt.float64
    net.to(tensor(1))
    assert p.dtype == nnrt.float32
    assert net.double().half().float().cpu().to("cpu") is net
    assert p.dtype == nnrt.float32 and p.requires_grad and p.is_leaf
    with pytest.raises(TypeError, match="floating"):
        net.to(nnrt.int64)
    for move in (net.cuda, lambda: net.to("cuda")):
        with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
            move()
    twice = nn.ModuleList([nn.ReLU()] * 2)
    assert [len(list(twice.modules(remove_duplicate=once))) for once in (True, False)] == [2, 3]


def test_a_conversion_between_forward_and_backward_is_noticed():
    m = Scale()
    x = tensor(3)
    x.requires_grad_()
    y = m(x).sum()
    m.float().to("cpu")  # which changes nothing
    y.backward(retain_graph=True)
    m.double()
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_repr():
    assert repr(nn.Identity()) == "Identity()"
    assert repr(nn.Sequential()) == "Sequential()"
    assert repr(Net()) == (
        "Net(\n  (first): Scale()\n  (rest): Sequential(\n    (0): Scale()\n    (1): Scale()\n  )\n)"
    )

    class Two(Scale):
        def extra_repr(self):
            return "one\ntwo"

    assert repr(Two()) == "Two(\n  one\n  two\n)"


def test_deepcopy_and_pickle_keep_what_is_shared():
    shared = Scale()
    net = nn.Sequential(shared, nn.ReLU(), shared)
    net.tied = shared.weight
    net.eval()
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert other[0] is other[2] and other.tied is other[0].weight
        assert other[0].weight is not shared.weight and isinstance(other.tied, nn.Parameter)
        assert not other.training and other[0].weight.requires_grad
        assert list(other.state_dict()) == list(net.state_dict())
        x = tensor(3, value=2.0)
        np.testing.assert_array_equal(other(x).detach().numpy(), net(x).detach().numpy())
        with nnrt.no_grad():
            other[0].weight.fill_(0)
        assert shared.weight.tolist() == [2.0] * 3
        other.extra = Scale()
        assert "extra" in dict(other.named_children()) and not hasattr(net, "extra")


def test_parameter_of_a_copy_has_no_gradient():
    m = Scale()
    m.weight.grad = tensor(3)
    m.weight.note = "kept"
    other = copy.deepcopy(m)
    assert other.weight.grad is None and other.weight.note == "kept"


def test_parameter():
    t = tensor(2, value=3.0)
    p = nn.Parameter(t)
    assert isinstance(p, nnrt.Tensor) and p.requires_grad and p.is_leaf
    with nnrt.no_grad():
        p.fill_(5)
    assert t.tolist() == [5.0, 5.0]
    assert repr(p).startswith("Parameter containing:\ntensor([5., 5.]") and "requires_grad=True" in repr(p)
    assert not nn.Parameter(t, requires_grad=False).requires_grad
    a = np.ones(3)
    assert nn.Parameter(a).array is a
    assert nn.Parameter().shape == (0,)
    assert type(p * 2) is nnrt.Tensor
    q = pickle.loads(pickle.dumps(p))
    assert isinstance(q, nn.Parameter) and q.requires_grad and q.tolist() == p.tolist()
    with pytest.raises(RuntimeError, match="floating"):
        nn.Parameter(nnrt.tensor([1, 2]))
    assert nn.Parameter(nnrt.tensor([1, 2]), requires_grad=False).dtype == nnrt.int64
    with pytest.raises(TypeError, match="got list|not list"):
        nn.Parameter([1.0])


def test_a_change_through_the_parameter_is_seen_by_the_tape_of_its_source():
    t = tensor(2)
    p = nn.Parameter(t)
    x = tensor(2)
    x.requires_grad_()
    y = (x * t).sum()
    with nnrt.no_grad():
        p.fill_(7)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_modules_are_freed_without_the_collector():
    gc.disable()
    try:
        net = Net()
        seen = weakref.ref(net)
        list(net.named_parameters()), net.state_dict(), repr(net), net._parameters
        del net
        assert seen() is None
    finally:
        gc.enable()


def test_a_module_may_contain_itself():
    m = Scale()
    m.me = m
    assert [n for n, _ in m.named_modules()] == [""]
    assert len(list(m.parameters())) == 1


def test_init_twice_keeps_the_members():
    m = Scale()
    nn.Module.__init__(m)
    assert len(list(m.parameters())) == 1


def test_a_property_of_the_class_is_not_hidden_by_registration():
    class Fixed(nn.Module):
        @property
        def weight(self):
            return "property"

    m = Fixed()
    with pytest.raises(KeyError, match="already exists"):
        m.register_parameter("weight", parameter(1))
    assert m.weight == "property"


def test_ten_threads_use_one_module():
    net = Net()
    x = tensor(3)
    results = []

    def work():
        for _ in range(50):
            results.append(net(x).tolist())

    threads = [threading.Thread(target=work) for _ in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 500 and all(r == results[0] for r in results)


def test_a_memory_format_is_for_parameters_of_its_dimensions():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(nnrt.float64, memory_format=nnrt.channels_last)
    assert net[0].weight.is_contiguous(memory_format=nnrt.channels_last) and net[1].weight.dtype == nnrt.float64
    net = nn.Conv3d(3, 4, 3).to(memory_format=nnrt.channels_last_3d)
    assert net.weight.is_contiguous(memory_format=nnrt.channels_last_3d)


def test_to_empty_makes_new_memory_of_the_same_shapes():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    net.own = nn.Parameter(nnrt.ones(2))
    weight, own = net[0].weight, net.own.array
    kept = weight.array
    assert net.to_empty(device="cpu", recurse=False) is net and weight.array is kept and net.own.array is not own
    net.to_empty(device="cpu")
    assert weight is net[0].weight and weight.array is not kept and weight.shape == (2, 3) and weight.requires_grad
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        net.to_empty(device="cuda")
