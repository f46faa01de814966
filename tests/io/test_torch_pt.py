"""torch's .pt files: read as torch reads them; hostile programs call nothing."""

import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
from nnrt.io import FormatError, torch_pt
from nnrt.nn import Parameter


def archive(program, records=(), **options):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as made:
        made.writestr("a/data.pkl", program)
        for name, data in dict(records).items():
            made.writestr(f"a/{name}", data)
    return buffer.getvalue()


def hand(*parts):
    return b"\x80\x02" + b"".join(parts) + b"."


def text(value):
    data = value.encode()
    return b"X" + len(data).to_bytes(4, "little") + data


def number(value):
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def one_tensor(
    size=(2, 3), stride=(3, 1), offset=0, count=6, kind="FloatStorage", rebuild="_rebuild_tensor_v2"
):
    storage = (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text("0")
        + text("cpu")
        + number(count)
        + b"tQ"
    )
    shape = b"(" + b"".join(map(number, size)) + b"t(" + b"".join(map(number, stride)) + b"t"
    rest = number(offset) + shape + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return hand(f"ctorch._utils\n{rebuild}\n".encode(), b"(", storage, rest, b"tR")


FLOATS = np.arange(6, dtype=np.float32)
DATA = {"data/0": FLOATS.tobytes()}


def load(data):
    return nnrt.load(io.BytesIO(data))


def test_a_tensor_by_hand():
    got = load(archive(one_tensor(), DATA))
    np.testing.assert_array_equal(got.array, FLOATS.reshape(2, 3))
    np.testing.assert_array_equal(
        load(archive(one_tensor((3, 2), (1, 3)), DATA)).array, FLOATS.reshape(2, 3).T
    )
    np.testing.assert_array_equal(load(archive(one_tensor((2,), (2,), 3), DATA)).array, [3, 5])
    assert load(archive(one_tensor((), ()), DATA)).item() == 0
    assert load(archive(one_tensor((0, 5), (5, 1), 0, 0), {"data/0": b""})).shape == (0, 5)
    big = {"data/0": FLOATS.astype(">f4").tobytes(), "byteorder": b"big"}
    np.testing.assert_array_equal(load(archive(one_tensor(), big)).array, FLOATS.reshape(2, 3))


def test_bfloat16_becomes_float32():
    upper = (FLOATS.view(np.uint32) >> 16).astype("<u2").tobytes()
    got = load(archive(one_tensor(kind="BFloat16Storage"), {"data/0": upper}))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got.array, FLOATS.reshape(2, 3))


def test_what_torch_saves(torch, tmp_path):
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2, bias=False)
    )
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    tied = torch.randn(4, 3)
    saved = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "tied": [tied, tied.t(), tied[1:, ::2]],
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "grad": torch.ones(2, requires_grad=True),
        "kinds": {
            str(k): torch.tensor([0, 1, 3]).to(k)
            for k in (torch.float64, torch.int8, torch.bool, torch.bfloat16)
        },
        "rest": (1, -(2**40), 2.5, None, True, "text", b"bytes", torch.Size([2, 3]), {1, 2}),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
    }
    for protocol, zipped in ((2, True), (4, True), (5, True), (2, False)):
        path = tmp_path / f"{protocol}.pt"
        torch.save(saved, path, pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
        got = nnrt.load(path)
        assert list(got) == list(saved) and list(got["model"]) == list(saved["model"])
        for key, tensor in saved["model"].items():
            np.testing.assert_array_equal(got["model"][key].array, tensor.numpy())
        state = got["optimizer"]["state"][0]
        np.testing.assert_array_equal(
            state["exp_avg"].array, saved["optimizer"]["state"][0]["exp_avg"].numpy()
        )
        assert got["optimizer"]["param_groups"][0]["betas"] == (0.9, 0.999)
        for mine, theirs in zip(got["tied"], saved["tied"]):
            np.testing.assert_array_equal(mine.array, theirs.numpy())
            assert mine.stride() == theirs.stride()
        assert np.shares_memory(got["tied"][0].array, got["tied"][1].array)
        assert type(got["parameter"]) is Parameter and got["parameter"].requires_grad
        assert got["grad"].requires_grad and not got["tied"][0].requires_grad
        for key, tensor in saved["kinds"].items():
            np.testing.assert_array_equal(got["kinds"][key].array, tensor.float().numpy())
        assert got["rest"] == (1, -(2**40), 2.5, None, True, "text", b"bytes", (2, 3), {1, 2})
        assert got["dtype"] == np.float32 and got["device"] == "cpu"


def test_a_state_dict_of_torch_loads_into_a_module(torch, tmp_path):
    theirs = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    mine = nnrt.nn.Sequential(nnrt.nn.Linear(3, 4), nnrt.nn.ReLU(), nnrt.nn.Linear(4, 2))
    mine.load_state_dict(nnrt.load(tmp_path / "w.pt"))
    x = np.ones((2, 3), np.float32)
    want = theirs(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(mine(nnrt.from_numpy(x)).detach().array, want, rtol=1e-5, atol=1e-6)


HOSTILE = {
    "os.system": (hand(b"cos\nsystem\n", text("echo"), b"\x85R"), "needs os.system"),
    "builtins.eval": (hand(b"c__builtin__\neval\n", text("1"), b"\x85R"), "needs __builtin__.eval"),
    "a stack global": (hand(text("os"), text("system"), b"\x93"), "needs os.system"),
    "a whole module": (
        hand(b"ctorch.nn.modules.linear\nLinear\n)\x81"),
        "needs torch.nn.modules.linear.Linear",
    ),
    "a name alone": (hand(b"ctorch.Size\nx\n"), "needs"),
    "a call of a dict": (hand(b"})R"), "cannot be called"),
    "a call of a storage": (hand(b"ctorch\nFloatStorage\n)R"), "cannot be called"),
    "attributes of a tensor": (one_tensor()[:-1] + b"}b.", "attributes for an object of Tensor"),
    "an unknown instruction": (hand(b"i__main__\nX\n"), "instruction"),
    "protocol 9": (b"\x80\x09.", "protocol 9"),
    "no mark": (hand(b"t"), "damaged|mark"),
    "an empty stack": (b"\x80\x02.", "damaged"),
    "no end": (b"\x80\x02N", "truncated"),
    "a missing memo": (hand(b"h\x05"), "damaged"),
    "an unhashable key": (hand(b"}]Ns"), "damaged"),
    "append to a dict": (hand(b"}Na"), "no list"),
    "a text beyond the end": (hand(b"X\xff\xff\xff\x7f"), "truncated"),
    "a memo of 2^32": (hand(b"Nr\xff\xff\xff\xff"), None),
    "an unknown storage": (one_tensor(kind="QInt8Storage"), "needs torch.QInt8Storage"),
    "beyond the storage": (one_tensor((2, 4), (3, 1)), "of a storage of 6"),
    "an offset beyond": (one_tensor(offset=1), "of a storage of 6"),
    "an empty one beyond": (one_tensor((0,), (1,), 7), "of a storage of 6"),
    "a negative stride": (one_tensor((2,), (-1,)), "stride"),
    "a negative size": (one_tensor((-2,), (1,)), "size"),
    "a huge size": (one_tensor((1 << 62, 1 << 62), (0, 0)), "size"),
    "sizes without strides": (one_tensor((2, 3), (3,)), "no sense"),
    "a storage too short": (one_tensor(count=7), "takes 28 bytes, its record has 24"),
    "a storage too long": (one_tensor((1,), (1,), 0, 5), "24 bytes, wanted at most 20"),
    "a negative storage": (one_tensor(count=-1), "of -1 elements"),
    "bool of 5": (one_tensor((1,), (1,), 0, 24, "BoolStorage"), "bool has the value"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_programs(name):
    code, message = HOSTILE[name]
    data = archive(code, DATA)
    if message is None:
        assert load(data) is None
        return
    with pytest.raises(FormatError, match=message):
        load(data)


def test_archives_that_are_not_torchs(tmp_path):
    with pytest.raises(FormatError, match="no data.pkl"):
        load(_zip({"x/readme": b"hello"}))
    with pytest.raises(FormatError, match="compressed"):
        load(archive(one_tensor(), DATA, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(FormatError, match="no record 'data/0'"):
        load(archive(one_tensor()))
    whole = archive(one_tensor(), DATA)
    for cut in (10, 60, len(whole) - 30, len(whole) - 1):
        with pytest.raises(FormatError):
            load(whole[:cut])
    (tmp_path / "x.pt").write_bytes(whole[:-1])
    with pytest.raises(FormatError, match=r"x\.pt"):
        nnrt.load(tmp_path / "x.pt")


def _zip(records):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, data in records.items():
            made.writestr(name, data)
    return buffer.getvalue()


def old(program, storages, keys=(b"0",)):
    """A file from before torch 1.6."""
    listed = hand(b"](", *(text(key.decode()) for key in keys), b"e")
    return torch_pt.OLD + hand(b"M\xe9\x03") + hand(b"}") + program + listed + storages


SIX = (6).to_bytes(8, "little") + FLOATS.tobytes()
WHOLE = archive(one_tensor(), DATA)
OLD = old(one_tensor(), SIX)


def test_files_from_before_archives():
    np.testing.assert_array_equal(load(OLD).array, FLOATS.reshape(2, 3))
    for data, message in (
        (OLD[:-1], "truncated"),
        (OLD[:24], "truncated"),
        (old(one_tensor(), SIX, ()), "no storage '0'"),
        (old(one_tensor(), SIX + SIX, (b"0", b"0")), "damaged"),
        (old(one_tensor((1,), (1,), 0, 5), SIX), "takes 5 elements, its record has 6"),
        (old(one_tensor(count=1 << 40), SIX), "truncated: its storages take"),
        (old(hand(b"cos\nsystem\n", text("echo"), b"\x85R"), SIX), "needs os.system"),
        (torch_pt.OLD + hand(b"N"), "before torch 1.6"),
    ):
        with pytest.raises(FormatError, match=message):
            load(data)


@settings(max_examples=400)
@given(st.lists(st.tuples(st.integers(4, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_files_never_crash(changes):
    for whole in (WHOLE, OLD):
        data = bytearray(whole)
        for at, value in changes:
            data[at % len(whole)] = value
        survives(bytes(data))


opcodes = st.sampled_from([*torch_pt._STEPS, b".", b"i", b"\x81"])
pieces = st.sampled_from(
    [
        b"ctorch\nFloatStorage\n",
        b"ctorch._utils\n_rebuild_tensor_v2\n",
        b"ccollections\nOrderedDict\n",
        text("storage"),
        number(6),
        number(-1),
        b"cbuiltins\nset\n",
        b"ctorch\nSize\n",
        b"ctorch._utils\n_rebuild_parameter\n",
    ]
)


@settings(max_examples=400)
@given(st.lists(opcodes | pieces | st.binary(max_size=3), max_size=25))
def test_any_program_never_crashes(parts):
    survives(archive(hand(*parts), DATA))


def survives(data):
    try:
        load(data)
    except FormatError:
        pass
