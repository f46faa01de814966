"""Containers: what lists and dicts do, on modules and parameters."""

import copy
import inspect
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import nnrt
from nnrt import nn


class Add(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.n = n

    def forward(self, x):
        return 2 * x + self.n


def numbers(row):
    return [m.n for m in row]


def test_sequential_applies_in_order():
    s = nn.Sequential(Add(1), Add(2), Add(3))
    assert s(0) == 11 and len(s) == 3 and numbers(s) == [1, 2, 3]
    assert nn.Sequential()(5) == 5
    named = nn.Sequential(OrderedDict(first=Add(1), second=Add(2)))
    assert named(0) == 4 and named.first.n == 1 and list(named._modules) == ["first", "second"]


def test_sequential_with_a_parameter_of_its_own():
    s = nn.Sequential(Add(1))
    s.scale = nn.Parameter(nnrt.ones(1))
    s.append(Add(2))
    assert s(0) == 4 and len(s) == 2 and list(s._modules) == ["0", "1"]


def test_sequential_indexing_and_slicing():
    s = nn.Sequential(*[Add(i) for i in range(5)])
    assert s[0].n == 0 and s[-1].n == 4 and s[np.int64(2)].n == 2
    part = s[1:4]
    assert (
        type(part) is nn.Sequential and numbers(part) == [1, 2, 3] and list(part._modules) == ["1", "2", "3"]
    )
    assert part[0] is s[1] and numbers(s[::-2]) == [4, 2, 0] and numbers(s[7:]) == []
    for index in (5, -6):
        with pytest.raises(IndexError, match=f"index {index} is out of range for 5"):
            s[index]
    with pytest.raises(TypeError, match="integer"):
        s["0"]
    s[1] = Add(10)
    s[-1] = Add(40)
    assert numbers(s) == [0, 10, 2, 3, 40]
    named = nn.Sequential({"a": Add(1), "b": Add(2)})
    named[1] = Add(5)
    assert list(named._modules) == ["a", "b"] and named.b.n == 5
    with pytest.raises(TypeError, match="nn.Module"):
        s[0] = 3


@pytest.mark.parametrize(
    "kind", [nn.Sequential, lambda *m: nn.ModuleList(m)], ids=["Sequential", "ModuleList"]
)
def test_rows_change_as_lists_do(kind):
    row = kind(*[Add(i) for i in range(4)])
    assert row.append(Add(4)) is row and numbers(row) == [0, 1, 2, 3, 4]
    row.insert(0, Add(9))
    row.insert(-1, Add(8))
    row.insert(len(row), Add(7))
    assert numbers(row) == [9, 0, 1, 2, 3, 8, 4, 7] and list(row._modules) == [str(i) for i in range(8)]
    del row[0], row[-1]
    del row[1:3]
    assert numbers(row) == [0, 3, 8, 4] and list(row._modules) == ["0", "1", "2", "3"]
    assert row.pop().n == 4 and row.pop(0).n == 0 and numbers(row) == [3, 8]
    row.extend([Add(1)])
    row += [Add(2)]
    row.extend(row)
    assert numbers(row) == [3, 8, 1, 2, 3, 8, 1, 2]
    with pytest.raises(IndexError, match="insert"):
        row.insert(100, Add(0))
    with pytest.raises(TypeError):
        row.insert(0, 1)
    with pytest.raises(TypeError):
        row.extend(3)
    with pytest.raises(TypeError):
        row.append("x")
    with pytest.raises(IndexError):
        del row[100]
    assert len(row) == 8 and "0" not in dir(row)


def test_sequential_arithmetic():
    a, b = nn.Sequential(Add(1)), nn.Sequential(Add(2))
    assert numbers(a + b) == [1, 2] and numbers(a) == [1]
    twice = (a + b) * 2
    assert numbers(twice) == [1, 2, 1, 2] and twice[0] is twice[2] and len(list(twice.children())) == 2
    assert numbers(2 * a) == [1, 1]
    with pytest.raises(ValueError):
        a * 0
    with pytest.raises(TypeError):
        a * 1.5
    with pytest.raises(TypeError):
        a + [Add(1)]
    a *= 3
    assert numbers(a) == [1, 1, 1]


def test_module_list():
    row = nn.ModuleList(Add(i) for i in range(4))
    assert (
        type(row[1:3]) is nn.ModuleList
        and numbers(row[1:3]) == [1, 2]
        and list(row[1:3]._modules) == ["0", "1"]
    )
    assert numbers(row + [Add(9)]) == [0, 1, 2, 3, 9] and len(row) == 4
    assert row[-1].n == 3 and row[0] in list(row)
    with pytest.raises(NotImplementedError):
        row(1)
    assert len(nn.ModuleList()) == 0


def test_module_list_repr_folds_equal_neighbours():
    row = nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh(), nn.ReLU()])
    assert repr(row) == "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n  (3): ReLU()\n)"
    assert repr(nn.ModuleList()) == "ModuleList()"


def test_module_dict():
    d = nn.ModuleDict({"b": Add(1), "a": Add(2)})
    assert list(d) == ["b", "a"] == list(d.keys()) and len(d) == 2 and "a" in d and "c" not in d
    assert numbers(d.values()) == [1, 2] and [k for k, _ in d.items()] == ["b", "a"]
    d["c"] = Add(3)
    d.update([("d", Add(4)), ("a", Add(5))])
    d.update(nn.ModuleDict({"e": Add(6)}))
    assert list(d) == ["b", "a", "c", "d", "e"] and d["a"].n == 5
    assert d.pop("b").n == 1
    del d["c"]
    assert list(d) == ["a", "d", "e"]
    with pytest.raises(KeyError):
        d["zzz"]
    with pytest.raises(KeyError):
        d["keys"] = Add(1)  # would hide the method
    with pytest.raises(KeyError):
        d["x.y"] = Add(1)
    with pytest.raises(TypeError):
        d["x"] = 1
    with pytest.raises(TypeError):
        d.update(3)
    with pytest.raises(ValueError, match="pairs"):
        d.update([1])
    d.clear()
    assert len(d) == 0


def test_parameter_list():
    row = nn.ParameterList([nnrt.ones(2), nn.Parameter(nnrt.zeros(3)), "text"])
    assert isinstance(row[0], nn.Parameter) and row[2] == "text" and len(row) == 3
    assert [n for n, _ in row.named_parameters()] == ["0", "1"]
    assert row[-1] == "text" and len(row[1:]) == 2
    row.append(nnrt.ones(1))
    row += [nnrt.ones(4)]
    row[0] = nnrt.ones(7)
    assert [tuple(p.shape) for p in row.parameters()] == [(7,), (3,), (1,), (4,)]
    with pytest.raises(IndexError):
        row[5]
    with pytest.raises(TypeError):
        row.extend(nnrt.ones(2))
    assert "(0): Parameter containing: [float32 of size 7]" in repr(row)
    assert "(2): Object of type: str" in repr(row)
    again = pickle.loads(pickle.dumps(row))
    assert len(again) == 5 and list(again.state_dict()) == ["0", "1", "3", "4"]


def test_parameter_dict():
    d = nn.ParameterDict({"w": nnrt.ones(2), "n": 3})
    assert isinstance(d["w"], nn.Parameter) and d["n"] == 3 and d.w is d["w"]
    assert list(d) == ["w", "n"] and len(d) == 2 and "w" in d and list(reversed(d)) == ["n", "w"]
    assert d.get("zzz", 5) == 5 and d.setdefault("b", nnrt.zeros(1)).shape == (1,)
    assert [n for n, _ in d.named_parameters()] == ["w", "b"]
    assert d.popitem()[0] == "b" and d.pop("n") == 3
    both = d | nn.ParameterDict({"v": nnrt.ones(1)})
    assert list(both) == ["w", "v"] and list(d) == ["w"]
    d |= {"u": nnrt.ones(1)}
    assert list(d.keys()) == ["w", "u"] and len(d.values()) == 2 and d.copy()["w"] is d["w"]
    assert list(d.fromkeys(["p"], 1).items()) == [("p", 1)]
    for bad in ("", "a.b", "keys"):
        with pytest.raises(KeyError):
            d[bad] = 1
    with pytest.raises(TypeError):
        d[1] = 1
    with pytest.raises(KeyError):
        d["zzz"]
    assert "(w): Parameter containing: [float32 of size 2]" in repr(d)
    other = copy.deepcopy(d)
    d.clear()
    assert len(d) == 0 and list(other) == ["w", "u"] and list(d.parameters()) == []


def test_shallow_copies_register_apart():
    a = nn.Sequential(Add(1))
    b = copy.copy(a)
    b.append(Add(2))
    assert numbers(a) == [1] and numbers(b) == [1, 2] and a[0] is b[0]
    assert [n for n, _ in a.named_modules()] == ["", "0"]


class Doubled(nn.BatchNorm1d):
    def forward(self, input):
        return 2 * super().forward(input)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("make", [nn.BatchNorm1d, Doubled])
def test_sequential_takes_norm_and_relu_together(make, training, rng):
    x, results = rng.standard_normal((9, 4)), []
    for way in ("apart", "together", "hooks", "relu's hook"):
        norm, relu, seen = make(4, dtype=np.float64).train(training), nn.ReLU(), []
        nn.init.normal_(norm.bias, generator=nnrt.Generator().manual_seed(1))
        if way == "hooks":
            norm.register_forward_hook(lambda module, args, y, seen=seen: seen.append(y))
        if "hook" in way:
            relu.register_forward_hook(lambda module, args, y, seen=seen: seen.append(y))
        t = nnrt.tensor(x, requires_grad=True)
        y = relu(norm(t)) if way == "apart" else nn.Sequential(norm, relu, nn.Identity())(t)
        (y * y).sum().backward()
        assert len(seen) == {"hooks": 2, "relu's hook": 1}.get(way, 0) and (not seen or seen[-1] is y)
        if way == "hooks":
            assert (seen[0].detach().numpy() < 0).any()
        results.append([a.numpy() for a in (y.detach(), t.grad, norm.weight.grad, norm.running_mean, norm.num_batches_tracked)])
    for other in results[1:]:
        for a, expected in zip(other, results[0]):
            np.testing.assert_allclose(a, expected, rtol=1e-13, atol=1e-13)
    assert (results[0][0] == 0).any()
    norm = nn.BatchNorm1d(4)
    assert nn.Sequential(nn.ReLU(), norm)(nnrt.tensor(x, dtype=np.float32)).detach().numpy().min() < 0


@pytest.mark.parametrize("name", ["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"])
def test_methods_take_torchs_arguments(name, torch):
    """By their names: a default more does no harm, and nobody names the one of Sequential.extend."""
    ours, theirs = getattr(nn, name), getattr(torch.nn, name)
    own = [m for m in vars(theirs) if m[0] != "_" and callable(getattr(theirs, m)) and m not in ("forward", "extend")]
    assert own
    for method in [*own, "set_submodule", "get_submodule", "load_state_dict", "register_buffer", "to_empty"]:
        want = list(inspect.signature(getattr(theirs, method)).parameters)
        assert list(inspect.signature(getattr(ours, method)).parameters) == want, method


def test_set_submodule_strict_only_replaces():
    net = nn.Sequential(nn.Identity())
    net.set_submodule("0", nn.ReLU(), strict=True)
    assert repr(net[0]) == "ReLU()"
    with pytest.raises(AttributeError, match="has no module '1'"):
        net.set_submodule("1", nn.ReLU(), strict=True)
    net.set_submodule("1", nn.ReLU())
    assert len(net) == 2


def test_a_dict_or_a_parameter_dict():
    x, y = nn.Parameter(nnrt.ones(1)), nn.Parameter(nnrt.zeros(1))
    made = {"x": x} | nn.ParameterDict({"y": y})
    assert type(made) is nn.ParameterDict and list(made.keys()) == ["x", "y"] and made["x"] is x
