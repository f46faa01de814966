"""IDX files: what is written is read; every kind of damage is named."""

import gzip
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnrt.data import load_idx, read_idx
from nnrt.io import FormatError

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array):
    code = CODES[array.dtype.str[1:]]
    head = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(0,), (7,), (3, 0, 2), (2, 3, 4)])
def test_round_trip(tmp_path, kind, shape):
    array = (np.arange(np.prod(shape)) - (0 if kind == "u1" else 3)).astype(kind).reshape(shape)
    (tmp_path / "a").write_bytes(idx(array))
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx(array)))
    for name in ("a", "a.gz"):
        got = read_idx(tmp_path / name)
        assert got.dtype == array.dtype and got.dtype.isnative and got.shape == shape and got.flags.writeable
        np.testing.assert_array_equal(got, array)


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))
BAD = {
    "empty": (b"", "truncated: 0 bytes"),
    "magic": (b"\1" + GOOD[1:], "not an IDX file"),
    "dtype": (b"\0\0\x0a" + GOOD[3:], "not an IDX file"),
    "no axes": (b"\0\0\x08\0" + GOOD[4:], "not an IDX file"),
    "255 axes": (b"\0\0\x08\xff" + b"\0\0\0\1" * 255, "255 axes"),
    "sizes": (GOOD[:9], "truncated: 2 sizes"),
    "data": (GOOD[:-1], "truncated: shape"),
    "more": (GOOD + b"\0", "left over"),
    "claims 2^64 bytes": (b"\0\0\x08\2" + b"\xff" * 8 + b"abc", "truncated: shape"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_damage_is_named(tmp_path, name, ending):
    data, message = BAD[name]
    path = tmp_path / f"bad{ending}"
    path.write_bytes(gzip.compress(data) if ending else data)
    with pytest.raises(FormatError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"no gzip", gzip.compress(GOOD, mtime=0)[:-12], gzip.compress(GOOD, mtime=0)[:20] + b"\xff" * 20],
    ids=["empty", "other", "cut", "damaged"],
)
def test_damaged_gzip(tmp_path, data):
    path = tmp_path / "bad.gz"
    path.write_bytes(data)
    with pytest.raises(FormatError):
        read_idx(path)


@given(st.binary(max_size=40))
def test_any_bytes_never_crash(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("idx") / "a"
    path.write_bytes(b"\0\0" + data)
    try:
        read_idx(path)
    except FormatError:
        pass


def write(folder, images, labels, prefix="train", mark="-", ending=""):
    pack = gzip.compress if ending else bytes
    (folder / f"{prefix}-images{mark}idx3-ubyte{ending}").write_bytes(pack(idx(images)))
    (folder / f"{prefix}-labels{mark}idx1-ubyte{ending}").write_bytes(pack(idx(labels)))


@pytest.mark.parametrize("prefix, split", [("train", "train"), ("t10k", "test"), ("test", "test")])
@pytest.mark.parametrize("mark, ending", [("-", ""), (".", ""), ("-", ".gz")])
def test_a_folder(tmp_path, prefix, split, mark, ending):
    images = np.arange(2 * 4 * 5, dtype=np.uint8).reshape(2, 4, 5) * 6
    write(tmp_path, images, np.array([3, 9], np.uint8), prefix, mark, ending)
    x, y = load_idx(tmp_path, split)
    assert x.shape == (2, 1, 4, 5) and x.dtype == np.float32 and y.tolist() == [3, 9] and y.dtype == np.int64
    np.testing.assert_allclose(x.array[:, 0], images / 255, rtol=1e-6)


def test_a_folder_that_does_not_fit(tmp_path):
    with pytest.raises(FileNotFoundError, match="looked for train-images-idx3-ubyte"):
        load_idx(tmp_path)
    with pytest.raises(ValueError, match="split"):
        load_idx(tmp_path, "all")
    write(tmp_path, np.zeros((2, 4, 4), np.uint8), np.zeros(3, np.uint8))
    with pytest.raises(FormatError, match="3 labels for the 2 images"):
        load_idx(tmp_path)
    write(tmp_path, np.zeros((2, 4), np.uint8), np.zeros(2, np.uint8))
    with pytest.raises(FormatError, match=r"wanted uint8 \(N, H, W\)"):
        load_idx(tmp_path)
    write(tmp_path, np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int32))
    with pytest.raises(FormatError, match=r"wanted uint8 \(N,\)"):
        load_idx(tmp_path)
