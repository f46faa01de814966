"""Safetensors: held against the safetensors package, every kind of damage by hand, then fuzzed."""

import json
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nnrt.io import FormatError, load_file, safe_open, safetensors, save_file
from nnrt.tensor import wrap

KINDS = ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"]


def sample():
    rng = np.random.default_rng(0)
    tensors = {f"t.{k}": (rng.normal(size=(3, 5)) * 50).astype(k) for k in KINDS}
    tensors["empty"] = np.zeros((0, 4), np.float32)
    tensors["scalar"] = np.array(2.5, np.float32)
    tensors["größe"] = np.arange(6, dtype=np.float32).reshape(2, 3).T
    return tensors


def equal(got, want):
    assert sorted(got) == sorted(want)
    for name, array in want.items():
        other = getattr(got[name], "array", got[name])
        assert other.dtype == array.dtype and other.shape == array.shape
        assert other.tobytes() == array.tobytes()


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.mark.parametrize("mmap", [True, False])
def test_round_trip(tmp_path, mmap):
    path = tmp_path / "a.safetensors"
    save_file(sample(), path, {"made by": "test"})
    got = load_file(path, mmap=mmap)
    equal(got, sample())
    assert all(t.array.ctypes.data % t.array.itemsize == 0 for t in got.values())
    before = path.read_bytes()
    got["t.f4"].array[...] = 7  # private memory: the file stays
    assert path.read_bytes() == before
    assert safetensors.save(sample(), {"made by": "test"}) == before
    equal(safetensors.load(before), sample())


def test_the_package_reads_ours(tmp_path):
    package = pytest.importorskip("safetensors.numpy", reason="the safetensors package is the oracle")
    path = tmp_path / "a.safetensors"
    save_file({k: wrap(v) for k, v in sample().items()}, path, {"a": "b"})
    equal(package.load_file(path), sample())
    with pytest.importorskip("safetensors").safe_open(path, "np") as file:
        assert file.metadata() == {"a": "b"}


def test_we_read_the_package(tmp_path):
    package = pytest.importorskip("safetensors.numpy", reason="the safetensors package is the oracle")
    path = tmp_path / "a.safetensors"
    package.save_file({k: np.array(v, order="C") for k, v in sample().items()}, path, {"a": "b"})
    equal(load_file(path), sample())
    with safe_open(path) as file:
        assert file.metadata() == {"a": "b"}


def test_bfloat16_becomes_float32():
    values = np.array([1.5, -2.0, np.inf, 3.140625], np.float32)
    upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    data = raw({"x": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}, upper)
    got = safetensors.load(data)["x"].array
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, values.reshape(2, 2))


def test_other_byte_orders_are_written_little_endian(tmp_path):
    values = np.arange(5, dtype=">f4")
    assert safetensors.load(safetensors.save({"x": values}))["x"].tolist() == values.tolist()


def test_unaligned_tensors_are_copied_to_an_address_that_fits(tmp_path):
    header = {
        "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "b": {"dtype": "F64", "shape": [2], "data_offsets": [1, 17]},
    }
    path = tmp_path / "a"
    path.write_bytes(raw(header, b"\1" + np.array([1.0, 2.0]).tobytes()))
    for mmap in (True, False):
        b = load_file(path, mmap)["b"].array
        assert b.ctypes.data % 8 == 0 and b.tolist() == [1, 2]


def test_lazy_reader(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(sample(), path)
    with safe_open(path) as file:
        assert sorted(file.keys()) == sorted(sample()) and file.metadata() == {}
        part = file.get_slice("t.f4")
        assert part.get_shape() == [3, 5] and part.get_dtype() == "F32"
        np.testing.assert_array_equal(part[1:, ::2].array, sample()["t.f4"][1:, ::2])
        kept = file.get_tensor("t.f8")
        with pytest.raises(KeyError, match="no tensor 'nope'"):
            file.get_tensor("nope")
    np.testing.assert_array_equal(kept.array, sample()["t.f8"])
    with pytest.raises(ValueError, match="closed"):
        file.get_tensor("t.f8")


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
EIGHT = b"\0" * 8
BAD = {
    "empty file": (b"", "truncated"),
    "no length": (b"\0" * 7, "truncated"),
    "length beyond the file": (raw({}, length=500), "truncated"),
    "length of 2^63": (raw({}, length=1 << 63), "not a safetensors file"),
    "zip": (b"PK\3\4" + b"\0" * 60, "not a safetensors file|not JSON|not a JSON object|truncated"),
    "no JSON": (raw(b"{nope}"), "not JSON"),
    "list": (raw(b"[]"), "not a JSON object"),
    "space first": (raw(b" {}"), "not a JSON object"),
    "no UTF-8": (raw(b'{"\xff": 1}'), "not JSON"),
    "text after the object": (raw(b"{} x"), "not JSON"),
    "NaN": (raw(b'{"a": NaN}'), "NaN"),
    "deep": (raw(b'{"a":' * 100_000), "nested|not JSON"),
    "long integer": (raw(b'{"a": ' + b"9" * 5000 + b"}"), "not JSON"),
    "the name twice": (raw(b'{"a": {}, "a": {}}'), "'a' twice"),
    "a key twice": (raw(b'{"a": {"dtype": "F32", "dtype": "F32"}}'), "'dtype' twice"),
    "lone surrogate": (raw(b'{"\\ud800": {}}'), "Unicode"),
    "metadata of numbers": (raw({"__metadata__": {"a": 1}}), "__metadata__"),
    "metadata list": (raw({"__metadata__": []}), "__metadata__"),
    "entry is a number": (raw({"a": 3}), "wanted an object"),
    "no dtype": (raw({"a": {"shape": [], "data_offsets": [0, 0]}}), "dtype is missing"),
    "unknown dtype": (raw({"a": {**GOOD, "dtype": "F33"}}, EIGHT), "F33"),
    "dtype is a list": (raw({"a": {**GOOD, "dtype": []}}, EIGHT), "dtype"),
    "negative size": (raw({"a": {**GOOD, "shape": [-2]}}, EIGHT), "shape"),
    "fractional size": (raw({"a": {**GOOD, "shape": [2.0]}}, EIGHT), "shape"),
    "true as size": (raw({"a": {**GOOD, "shape": [True, 2]}}, EIGHT), "shape"),
    "65 axes": (raw({"a": {**GOOD, "shape": [1] * 64 + [2]}}, EIGHT), "shape"),
    "overflowing shape": (raw({"a": {**GOOD, "shape": [1 << 62, 1 << 62]}}, EIGHT), "addressed"),
    "overflow beside a zero": (
        raw({"a": {**GOOD, "shape": [0, 1 << 62], "data_offsets": [0, 0]}}),
        "addressed",
    ),
    "shape against bytes": (raw({"a": {**GOOD, "shape": [3]}}, EIGHT), "takes 12 bytes"),
    "offsets backwards": (raw({"a": {**GOOD, "data_offsets": [8, 0]}}, EIGHT), "backwards"),
    "offsets negative": (raw({"a": {**GOOD, "data_offsets": [-8, 0]}}, EIGHT), "data_offsets"),
    "three offsets": (raw({"a": {**GOOD, "data_offsets": [0, 8, 8]}}, EIGHT), "data_offsets"),
    "beyond the end": (raw({"a": GOOD}, b"\0" * 7), "truncated"),
    "bytes left over": (raw({"a": GOOD}, b"\0" * 9), "left over"),
    "gap": (raw({"a": {**GOOD, "data_offsets": [8, 16]}}, b"\0" * 16), "gap"),
    "overlap": (raw({"a": GOOD, "b": {**GOOD, "data_offsets": [4, 12]}}, b"\0" * 12), "overlap"),
    "bool of 2": (raw({"a": {"dtype": "BOOL", "shape": [1], "data_offsets": [0, 1]}}, b"\2"), "BOOL"),
}


@pytest.mark.parametrize("name", BAD)
def test_damage_is_named(tmp_path, name):
    data, message = BAD[name]
    path = tmp_path / "bad.safetensors"
    path.write_bytes(data)
    for mmap in (True, False):
        with pytest.raises(FormatError, match=message) as caught:
            load_file(path, mmap)
        assert str(path) in str(caught.value)
    with pytest.raises(FormatError, match=message):
        safetensors.load(data)


def test_dtype_without_numpy_counterpart_leaves_the_others_readable(tmp_path):
    path = tmp_path / "a"
    header = {
        "a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]},
        "b": {**GOOD, "data_offsets": [8, 16]},
    }
    path.write_bytes(raw(header, EIGHT + EIGHT))
    with safe_open(path) as file:
        assert file.get_tensor("b").tolist() == [0, 0]
        with pytest.raises(FormatError, match="F8_E4M3"):
            file.get_tensor("a")


@pytest.mark.parametrize(
    "tensors, metadata, message",
    [
        ({1: np.zeros(2)}, None, "names are str"),
        ({"a": [1, 2]}, None, "'a' is list"),
        ({"a": np.zeros(2, "c16")}, None, "complex128"),
        ({"a": np.zeros(2, "U3")}, None, "<U3"),
        ({"a": np.array([None])}, None, "object"),
        ({"__metadata__": np.zeros(2)}, None, "taken"),
        ({"\ud800": np.zeros(2)}, None, "Unicode"),
        ({"a": np.zeros(2)}, {"a": 1}, "str -> str"),
    ],
)
def test_bad_input_is_refused_before_the_file_is_touched(tmp_path, tensors, metadata, message):
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with pytest.raises(TypeError, match=message):
        save_file(tensors, path, metadata)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_file(tmp_path / "none")
    with pytest.raises(OSError):
        load_file(tmp_path)


# ---- fuzzing ----

SAMPLE = safetensors.save(
    {k: v for k, v in sample().items() if k in ("t.f4", "t.?", "t.i8", "empty")}, {"k": "v"}
)


def survives(data):
    """Loads or raises FormatError; True when it loads."""
    try:
        tensors = safetensors.load(data)
    except FormatError:
        return False
    assert sum(t.array.nbytes for t in tensors.values()) <= 2 * len(data)
    return True


@given(st.integers(0, len(SAMPLE) - 1))
def test_every_truncation_is_noticed(length):
    assert not survives(SAMPLE[:length])


@settings(max_examples=300)
@given(st.lists(st.integers(0, 8 * len(SAMPLE) - 1), min_size=1, max_size=4))
def test_flipped_bits_never_crash(bits):
    data = bytearray(SAMPLE)
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    survives(bytes(data))


numbers = st.integers(-2, 20) | st.integers() | st.sampled_from([1 << 31, 1 << 32, 1 << 62, 1 << 63, 1 << 64])
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
entry = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from([*safetensors.DTYPES, "X"]) | junk,
        "shape": st.lists(numbers, max_size=3) | junk,
        "data_offsets": st.lists(numbers, min_size=2, max_size=2) | junk,
    }
)
hostile = st.dictionaries(st.sampled_from(["a", "b", "c", "__metadata__", ""]), entry | junk, max_size=4)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(hostile, st.binary(max_size=64), st.none() | st.integers(0, (1 << 64) - 1))
def test_hostile_headers_never_crash(header, data, length):
    survives(raw(header, data, length))


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_any_bytes_never_crash(data):
    survives(data)


sizes = st.integers(0, 3)
plausible = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.tuples(
        st.sampled_from(["F32", "U8", "I16"]),
        st.lists(sizes, max_size=2),
        st.integers(0, 12),
        st.integers(0, 24),
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=300)
@given(plausible, st.integers(0, 24))
def test_accepts_what_the_package_accepts(entries, size):
    package = pytest.importorskip("safetensors.numpy", reason="the safetensors package is the oracle")
    header = {n: {"dtype": d, "shape": s, "data_offsets": [b, e]} for n, (d, s, b, e) in entries.items()}
    data = raw(header, bytes(range(size)))
    try:
        want = package.load(data)
    except Exception:
        assert not survives(data)
    else:
        equal(safetensors.load(data), want)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8).filter(lambda n: n != "__metadata__"),
        st.sampled_from(KINDS).flatmap(
            lambda k: hnp.arrays(k, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0))
        ),
        max_size=4,
    ),
    st.none() | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), st.just("v"), max_size=2),
)
def test_round_trip_of_anything(tensors, metadata):
    equal(safetensors.load(safetensors.save(tensors, metadata)), tensors)
