"""nnrt.save and nnrt.load: structures come back as they were; damage and interruption lose nothing."""

import io
import math
import os
import signal
import stat
import subprocess
import sys
import time
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnrt
from nnrt.io import FormatError, save_file
from nnrt.io.atomic import replacing
from nnrt.tensor import Tensor, wrap


def reloaded(obj):
    buffer = io.BytesIO()
    nnrt.save(obj, buffer)
    buffer.seek(0)
    return nnrt.load(buffer)


def same(a, b):
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for left, right in zip(a, b):
            same(left, right)
    elif isinstance(a, (Tensor, np.ndarray, np.generic)):
        left, right = getattr(a, "array", a), getattr(b, "array", b)
        assert left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
        if isinstance(a, Tensor):
            assert a.requires_grad == b.requires_grad
    elif isinstance(a, float) and math.isnan(a):
        assert math.isnan(b)
    else:
        assert a == b


def test_every_kind():
    grad = wrap(np.ones(3, np.float32))
    grad.requires_grad = True
    obj = {
        "model": OrderedDict({"fc.weight": wrap(np.eye(3, dtype=np.float32)), "n": wrap(np.array(3))}),
        "optim": {
            "state": {0: {"step": 3, "exp_avg": wrap(np.zeros((2, 0)))}},
            "param_groups": [{"betas": (0.9, 0.999)}],
        },
        (1, "key", None): [
            True,
            False,
            None,
            0,
            -(10**30),
            0.1,
            1e-300,
            -0.0,
            "text\ud800\0",
            b"\0\xff",
            b"",
        ],
        "floats": [math.inf, -math.inf, math.nan],
        "numpy": (np.arange(4).reshape(2, 2).T, np.float32(0.1), np.int64(3), np.bool_(True), np.array(2.0)),
        "grad": grad,
        "empty": [{}, [], (), OrderedDict()],
        2.5: {True: 1},
    }
    same(reloaded(obj), obj)
    assert math.copysign(1, reloaded(-0.0)) == -1


def test_parameters_stay_parameters():
    parameter = nnrt.nn.Parameter(wrap(np.ones(2, np.float32)))
    got = reloaded([parameter, nnrt.nn.Parameter(wrap(np.ones(2, np.float32)), requires_grad=False)])
    assert type(got[0]) is nnrt.nn.Parameter and got[0].requires_grad and not got[1].requires_grad


def test_shared_objects_are_shared_again():
    tied = wrap(np.ones(3, np.float32))
    array = np.ones(2)
    got = reloaded({"a": tied, "b": tied, "c": array, "d": [array]})
    assert got["a"] is got["b"] and got["c"] is got["d"][0] and got["a"] is not got["c"]


tree = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(max_size=3) | st.integers() | st.tuples(st.text(max_size=2)), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(tree)
def test_any_structure(obj):
    same(reloaded(obj), obj)


@pytest.mark.parametrize(
    "obj, message",
    [
        ({"a": [1, {2}]}, r"obj\['a'\]\[1\] is set"),
        ([lambda: 0], r"obj\[0\] is function"),
        ({"z": 1j}, "complex"),
        ([np.array([None])], "dtype object"),
    ],
)
def test_what_cannot_be_saved_is_named_and_nothing_is_touched(tmp_path, obj, message):
    path = tmp_path / "c"
    path.write_bytes(b"before")
    with pytest.raises(TypeError, match=message):
        nnrt.save(obj, path)
    assert path.read_bytes() == b"before" and list(tmp_path.iterdir()) == [path]


def test_cycles_and_depth():
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        nnrt.save(loop, io.BytesIO())
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        nnrt.save(deep, io.BytesIO())


def test_plain_safetensors_is_a_dict(tmp_path):
    save_file({"w": np.ones(2, np.float32)}, tmp_path / "w.safetensors")
    assert nnrt.load(tmp_path / "w.safetensors")["w"].tolist() == [1, 1]


def test_bad_arguments(tmp_path):
    with pytest.raises(ValueError, match="map_location"):
        nnrt.load(tmp_path / "x", map_location="cuda")
    with pytest.raises(ValueError, match="weights_only"):
        nnrt.load(tmp_path / "x", weights_only=False)
    with pytest.raises(FileNotFoundError):
        nnrt.load(tmp_path / "x")


TREES = [
    "",
    "[",
    "NaN",
    '{"dict": 3}',
    '{"dict": [[1]]}',
    '{"dict": [[[1], 2]]}',
    '{"dict": [[1, 2], [1, 3]]}',
    '{"tuple": 1}',
    '{"float": "1"}',
    '{"tensor": "9", "grad": false}',
    '{"tensor": "0", "grad": 1}',
    '{"tensor": "1", "grad": true}',
    '{"tensor": {}, "grad": true}',
    '{"scalar": "0"}',
    '{"bytes": "0"}',
    '{"eval": "1+1"}',
    '{"dict": [], "tuple": []}',
    "{}",
    "[" * 100_000,
]


@pytest.mark.parametrize("text", TREES, ids=lambda t: t[:24])
def test_hostile_trees(tmp_path, text):
    path = tmp_path / "c"
    arrays = {"0": np.ones(2, np.float32), "1": np.ones(2, np.int64)}
    save_file(arrays, path, {"format": "nnrt", "nnrt.version": "1", "nnrt.tree": text})
    with pytest.raises(FormatError, match="nnrt.tree"):
        nnrt.load(path)


def test_other_versions_are_refused(tmp_path):
    save_file({}, tmp_path / "c", {"nnrt.version": "99", "nnrt.tree": "null"})
    with pytest.raises(FormatError, match="'99'"):
        nnrt.load(tmp_path / "c")


SAVED = io.BytesIO()
nnrt.save({"a": [np.arange(5), (1, None)], "b": wrap(np.ones(3, np.float32)), "c": math.nan}, SAVED)


@settings(max_examples=300)
@given(st.lists(st.integers(0, 8 * len(SAVED.getvalue()) - 1), min_size=1, max_size=3), st.integers(0, 3))
def test_damaged_files_raise_format_error(bits, cut):
    data = bytearray(SAVED.getvalue())
    for bit in bits:
        data[bit // 8] ^= 1 << bit % 8
    try:
        nnrt.load(io.BytesIO(bytes(data[: len(data) - cut])))
    except FormatError:
        pass


# ---- replacing a file ----


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError, match="stop"), replacing(path) as file:
        file.write(b"new")
        raise RuntimeError("stop")
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_links_modes_and_odd_targets(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target)
    with replacing(link) as file:
        file.write(b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    with pytest.raises(OSError, match="not an ordinary file"), replacing(tmp_path):
        pass
    with pytest.raises(FileNotFoundError, match="none/f'"), replacing(tmp_path / "none" / "f"):
        pass
    with replacing(tmp_path / ("n" * 255)) as file:
        file.write(b"x")


SAVER = """
import sys, numpy as np, nnrt
path, arrays = sys.argv[1], [np.full(1 << 20, i, np.float32) for i in range(8)]
print("ready", flush=True)
i = 0
while True:
    i += 1
    nnrt.save({"i": i, "arrays": [a + i for a in arrays]}, path)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_sigkill_in_the_middle_of_a_save(tmp_path):
    """Killed at many moments, most of them inside a write: the file always loads, whole and of one save."""
    path = tmp_path / "c"
    nnrt.save({"i": 0, "arrays": [np.full(1 << 20, i, np.float32) for i in range(8)]}, path)
    caught = attempt = 0
    while attempt < 6 or (not caught and attempt < 40):
        attempt += 1
        run = subprocess.Popen(
            [sys.executable, "-c", SAVER, str(path)], stdout=subprocess.PIPE, env={**os.environ}
        )
        run.stdout.readline()
        time.sleep(0.013 * (attempt % 12))
        run.send_signal(signal.SIGKILL)
        run.wait()
        run.stdout.close()
        got = nnrt.load(path)
        for i, array in enumerate(got["arrays"]):
            assert (array == i + got["i"]).all()
        left = [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]
        caught += bool(left)
        if left:
            nnrt.save(got, path)
            assert list(tmp_path.iterdir()) == [path], "the next save removes what a killed one left"
    assert caught, "no kill fell into a save: the test has lost its grip"


def test_a_save_leaves_other_temporary_files_alone(tmp_path):
    """Those of a living writer, of other names, and what only looks like one."""
    path = tmp_path / "c"
    others = [tmp_path / f".d.{'0' * 16}.tmp", tmp_path / ".c.tmp", tmp_path / f".c.{'x' * 16}.tmp"]
    for other in others:
        other.write_bytes(b"")
    os.mkfifo(tmp_path / f".c.{'1' * 16}.tmp")
    (tmp_path / f".c.{'2' * 16}.tmp").symlink_to(others[0])
    kept = set(tmp_path.iterdir())
    with replacing(path) as file:
        (own,) = set(tmp_path.iterdir()) - kept
        nnrt.save([1], path)
        assert set(tmp_path.iterdir()) == {*kept, own, path}
        file.write(b"later")
    assert path.read_bytes() == b"later" and set(tmp_path.iterdir()) == {*kept, path}


def test_an_error_of_the_disk_names_the_file(tmp_path):
    with pytest.raises(OSError, match=r"No space left.*run\.ckpt"), replacing(tmp_path / "run.ckpt") as file:
        file.write(b"part")
        raise OSError(28, "No space left on device")
    assert not list(tmp_path.iterdir())
