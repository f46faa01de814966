"""state_dict and load_state_dict: torch's keys and layouts, all or nothing."""

import copy
import pickle
from collections import OrderedDict

import numpy as np
import pytest

import nnrt
from nnrt import nn


def net():
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 2, bias=False), nn.PReLU()))


def arrays(state):
    return {k: np.array(v.detach().numpy()) for k, v in state.items()}


def unchanged(module, before):
    after = arrays(module.state_dict())
    assert list(after) == list(before)
    for key in after:
        np.testing.assert_array_equal(after[key], before[key], err_msg=key)


def test_state_shares_memory_off_the_tape():
    m = net()
    state = m.state_dict()
    assert list(state) == ["0.weight", "0.bias", "2.0.weight", "2.1.weight"]
    assert not any(t.requires_grad for t in state.values())
    assert state["0.weight"].array is m[0].weight.array
    assert m.state_dict(keep_vars=True)["0.weight"] is m[0].weight
    into = {"x": 1}
    assert m[0].state_dict(destination=into, prefix="p.") is into and list(into) == [
        "x",
        "p.weight",
        "p.bias",
    ]


def test_buffers_follow_parameters_and_transient_ones_stay_out():
    m = nn.Module()
    m.register_buffer("first", nnrt.zeros(1))
    m.register_parameter("later", nn.Parameter(nnrt.zeros(2)))
    m.register_buffer("scratch", nnrt.zeros(1), persistent=False)
    m.register_buffer("nothing", None)
    m.child = nn.Linear(1, 1, bias=False)
    assert list(m.state_dict()) == ["later", "first", "child.weight"]
    with pytest.raises(RuntimeError, match='Unexpected.*"scratch"'):
        m.load_state_dict({**m.state_dict(), "scratch": nnrt.zeros(1)})
    m.register_buffer("scratch", nnrt.zeros(1))
    assert "scratch" in m.state_dict()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_may_be_tensors_arrays_or_anything_with_array(dtype):
    source, target = net(), net()
    values = {k: v.astype(dtype) for k, v in arrays(source.state_dict()).items()}

    class Holder:
        def __init__(self, a):
            self.a = a

        def __array__(self, dtype=None, copy=None):
            return self.a

    for state in (
        source.state_dict(),
        OrderedDict(values),
        {k: Holder(v) for k, v in values.items()},
        {k: np.asfortranarray(v) for k, v in values.items()},
    ):
        target.requires_grad_()
        p = target[0].weight
        with nnrt.no_grad():
            p.fill_(0)
        result = target.load_state_dict(state)
        assert result.missing_keys == [] and result.unexpected_keys == []
        assert repr(result) == "<All keys matched successfully>"
        assert target[0].weight is p and p.dtype == nnrt.float32 and p.requires_grad
        unchanged(target, arrays(source.state_dict()))


def test_every_problem_is_listed_and_nothing_is_loaded():
    m = net()
    before = arrays(m.state_dict())
    state = {k: v + 1 for k, v in before.items()}
    del state["0.bias"]
    state["0.weight"] = np.zeros((9, 9), np.float32)
    state["2.0.weight"] = "text"
    state["2.1.weight"] = np.zeros(1, complex)
    state["2.5.weight"] = np.zeros(1)
    state["0.weight.more"] = np.zeros(1)
    state["0"] = np.zeros(1)
    state[7] = np.zeros(1)
    with pytest.raises(RuntimeError) as error:
        m.load_state_dict(state)
    text = str(error.value)
    for part in (
        "loading state_dict for Sequential",
        "nothing was loaded",
        'Missing key(s) in state_dict: "0.bias".',
        "size mismatch for 0.weight: copying a parameter of shape (9, 9)",
        "(4, 3)",
        "2.0.weight: wants a tensor or array of numbers, got str",
        "2.1.weight: wants a tensor or array of numbers, got an array of complex128",
        '"2.5.weight"',
        '"0.weight.more"',
        '"0"',
        "names must be strings, got 7",
    ):
        assert part in text, part
    unchanged(m, before)


def test_strict_false_returns_what_did_not_match():
    m = net()
    state = arrays(m.state_dict())
    state = {k: v + 1 for k, v in state.items()}
    del state["0.bias"]
    state["extra"] = np.zeros(1)
    before = arrays(m.state_dict())
    missing, unexpected = m.load_state_dict(state, strict=False)
    assert missing == ["0.bias"] and unexpected == ["extra"]
    np.testing.assert_array_equal(m[0].weight.detach().numpy(), before["0.weight"] + 1)
    np.testing.assert_array_equal(m[0].bias.detach().numpy(), before["0.bias"])
    with pytest.raises(RuntimeError, match="size mismatch"):
        m.load_state_dict({"0.weight": np.zeros((1, 1))}, strict=False)
    with pytest.raises(TypeError, match="mapping.*got list"):
        m.load_state_dict([])


def test_integers_take_no_fractions_and_the_tape_notices_loading():
    m = nn.Module()
    m.register_buffer("count", nnrt.tensor(3))
    with pytest.raises(RuntimeError, match="float32.*int64"):
        m.load_state_dict({"count": np.float32(2.5)})
    m.load_state_dict({"count": np.int32(5)})
    assert m.count.item() == 5 and m.count.dtype == nnrt.int64
    layer = nn.Linear(2, 2)
    x = nnrt.ones(1, 2, requires_grad=True)
    y = layer(x).sum()
    layer.load_state_dict(layer.state_dict())  # its own values: nothing changes
    y.backward(retain_graph=True)
    layer.load_state_dict(arrays(layer.state_dict()))
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


def test_values_that_are_part_of_the_module_are_exchanged_right():
    m = nn.Module()
    m.a = nn.Parameter(nnrt.tensor([1.0]))
    m.b = nn.Parameter(nnrt.tensor([2.0]))
    m.load_state_dict({"a": m.b, "b": m.a})
    assert m.a.item() == 2 and m.b.item() == 1
    m.load_state_dict({"a": m.state_dict()["b"], "b": m.state_dict()["a"]})
    assert m.a.item() == 1 and m.b.item() == 2
    m.load_state_dict({"a": m.b.detach().numpy()[:], "b": m.a.detach()[:1]})
    assert m.a.item() == 2 and m.b.item() == 1


def test_assign_takes_the_tensors_themselves_and_keeps_ties():
    m = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    m[1].weight = m[0].weight
    m[0].weight.requires_grad_(False)
    w = np.ones((2, 2))
    b = nnrt.tensor([1.0, 2.0])
    m.load_state_dict({"0.weight": w, "1.weight": w, "0.bias": b, "1.bias": b.numpy() * 2}, assign=True)
    assert m[0].weight is m[1].weight and m[0].weight.array is w
    assert not m[0].weight.requires_grad and m[0].bias.requires_grad
    assert isinstance(m[0].bias, nn.Parameter) and m[0].bias.array is b.array and not b.requires_grad
    assert m[0].weight.dtype == nnrt.float64
    before = m[1].bias
    with pytest.raises(RuntimeError, match="0.bias: the value is int64, the parameter requires a gradient"):
        m.load_state_dict({"1.bias": b, "0.bias": np.array([1, 2])}, strict=False, assign=True)
    assert m[1].bias is before


def test_read_only_memory_wants_assign():
    m = nn.Linear(2, 2)
    state = arrays(m.state_dict())
    for a in state.values():
        a.flags.writeable = False
    m.load_state_dict(state, assign=True)
    with pytest.raises(RuntimeError, match="read-only.*assign=True"):
        m.load_state_dict(arrays(m.state_dict()))


class Renamed(nn.Linear):
    """Reads an older layout."""

    def _load_from_state_dict(self, state_dict, prefix, *args):
        if prefix + "old_weight" in state_dict:
            state_dict[prefix + "weight"] = state_dict.pop(prefix + "old_weight")
        super()._load_from_state_dict(state_dict, prefix, *args)


def test_older_layouts_can_be_renamed():
    m = nn.Sequential(nn.Identity(), Renamed(2, 2, bias=False))
    given = {"1.old_weight": np.ones((2, 2))}
    m.load_state_dict(given)
    assert m[1].weight.tolist() == [[1.0, 1.0], [1.0, 1.0]] and list(given) == ["1.old_weight"]


def test_extra_state():
    class Counted(nn.Linear):
        count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    m = nn.Sequential(Counted(1, 1))
    m[0].count = 7
    state = m.state_dict()
    assert state["0._extra_state"] == {"count": 7}
    other = nn.Sequential(Counted(1, 1))
    other.load_state_dict(state)
    assert other[0].count == 7
    with pytest.raises(RuntimeError, match='Missing.*"0._extra_state"'):
        other.load_state_dict({k: v for k, v in state.items() if "extra" not in k})
    with pytest.raises(RuntimeError, match='Unexpected.*"0._extra_state"'):
        nn.Sequential(nn.Linear(1, 1)).load_state_dict(state)


def test_buffers_by_assignment():
    m = nn.Module()
    m.a, m.b = nn.Buffer(nnrt.ones(2)), nn.Buffer(np.zeros(1), persistent=False)
    assert list(m.state_dict()) == ["a"] and [n for n, _ in m.named_buffers()] == ["a", "b"] and not list(m.parameters())
    assert list(copy.deepcopy(m).state_dict()) == ["a"] and not copy.deepcopy(m).b.persistent
    m.a, m.b = nnrt.zeros(2), nn.Buffer(nnrt.ones(1))
    assert list(m.state_dict()) == ["a", "b"] and m.a.tolist() == [0, 0]
    with pytest.raises(TypeError, match="Buffer: data must be a Tensor or a numpy array, not list"):
        nn.Buffer([1])


def test_state_hooks():
    m = nn.Sequential(nn.Linear(1, 1, bias=False))
    seen = []
    hooks = [
        m.register_state_dict_pre_hook(lambda mod, prefix, keep_vars: seen.append((prefix, keep_vars))),
        m.register_state_dict_post_hook(lambda mod, state, prefix, meta: state.update(note=np.zeros(1))),
        m.register_load_state_dict_pre_hook(lambda mod, state, prefix, *rest: state.pop("note", None)),
        m.register_load_state_dict_post_hook(lambda mod, keys: seen.append(keys.missing_keys)),
    ]
    state = m.state_dict()
    assert "note" in state
    m.load_state_dict(state)
    assert seen == [("", False), []]
    for h in hooks:
        h.remove()
    assert "note" not in m.state_dict()
    with pytest.raises(RuntimeError, match="note"):
        m.load_state_dict(state)


def test_lazy_parameters_load_before_and_after_their_shape_is_known():
    full, lazy = nn.Linear(3, 2), nn.LazyLinear(2)
    empty = lazy.state_dict()
    assert repr(lazy) == "LazyLinear(in_features=0, out_features=2, bias=True)"
    lazy.load_state_dict(empty)
    with pytest.raises(RuntimeError, match="no shape yet"):
        full.load_state_dict(empty)
    lazy.load_state_dict(full.state_dict())
    x = nnrt.randn(4, 3)
    np.testing.assert_array_equal(lazy(x).detach().numpy(), full(x).detach().numpy())
    assert type(lazy) is nn.Linear and lazy.in_features == 3


def test_lazy_parameters_have_nothing_to_read_before_the_first_call():
    lazy = nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())
    optimizer = nnrt.optim.SGD(lazy.parameters(), lr=0.1)
    optimizer.step()
    assert nnrt.summary(lazy).parameters == 0
    with pytest.raises(TypeError, match="'0.weight'. has no shape yet"):
        nnrt.save(lazy.state_dict(), "never.nnrt")
    for t in (lazy[0].weight, lazy[1].running_mean):
        for read in (lambda t: t.shape, nnrt.numel, lambda t: t.tolist(), lambda t: t + 1, lambda t: t[0], nnrt.mean):
            with pytest.raises((RuntimeError, TypeError), match="call the module with an input first"):
                read(t)
    for made in (lazy, copy.deepcopy(lazy), pickle.loads(pickle.dumps(lazy))):
        assert repr(made.double()[0].weight) == "<UninitializedParameter>" and made[0].weight.dtype == nnrt.float64
        made(nnrt.ones(4, 2, dtype=nnrt.float64)).sum().backward()
        assert made[0].weight.shape == (3, 2) and made[1].running_var.dtype == nnrt.float64
    optimizer.step()
    np.testing.assert_allclose(lazy[1].bias.detach().numpy(), -0.4)


def test_states_interchange_with_torch(torch):
    ours = nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Linear(3, 4), nn.Bilinear(4, 4, 2, bias=False)),
            "table": nn.Embedding(5, 3, padding_idx=1),
            "list": nn.ModuleList([nn.PReLU(3), nn.BCEWithLogitsLoss(pos_weight=nnrt.ones(2))]),
            "loss": nn.CrossEntropyLoss(nnrt.ones(4)),
        }
    )
    theirs = torch.nn.ModuleDict(
        {
            "body": torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Bilinear(4, 4, 2, bias=False)),
            "table": torch.nn.Embedding(5, 3, padding_idx=1),
            "list": torch.nn.ModuleList(
                [torch.nn.PReLU(3), torch.nn.BCEWithLogitsLoss(pos_weight=torch.ones(2))]
            ),
            "loss": torch.nn.CrossEntropyLoss(torch.ones(4)),
        }
    )
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key].numpy(), value.numpy())
    ours.load_state_dict(theirs.state_dict(keep_vars=True))
    nn.init.normal_(ours["body"][0].weight)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    np.testing.assert_array_equal(
        theirs["body"][0].weight.detach().numpy(), ours["body"][0].weight.detach().numpy()
    )
    with pytest.raises(RuntimeError, match="wants a tensor or array of numbers, got Tensor"):
        ours["body"][0].load_state_dict(
            {"weight": torch.ones(4, 3, dtype=torch.bfloat16), "bias": torch.ones(4)}
        )
