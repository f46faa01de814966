"""CIFAR-10 binary files: planes, labels, five files in order, damage named."""

import numpy as np
import pytest

from nnrt.data import load_cifar10, read_cifar10
from nnrt.io import FormatError


def batch(labels, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3, 32, 32), dtype=np.uint8)
    records = np.concatenate([np.array(labels, np.uint8)[:, None], pixels.reshape(len(labels), -1)], 1)
    return pixels, records.tobytes()


@pytest.mark.parametrize("inner", ["", "cifar-10-batches-bin"])
def test_a_folder(tmp_path, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    pixels = []
    for i in range(5):
        plane, data = batch([i, 9], i)
        pixels.append(plane)
        (tmp_path / inner / f"data_batch_{i + 1}.bin").write_bytes(data)
    (tmp_path / inner / "test_batch.bin").write_bytes(batch([7])[1])
    x, y = load_cifar10(tmp_path)
    assert x.shape == (10, 3, 32, 32) and x.dtype == np.float32 and y.dtype == np.int64
    assert y.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    np.testing.assert_allclose(x.array, np.concatenate(pixels) / 255, rtol=1e-6)
    assert load_cifar10(tmp_path, "test")[1].tolist() == [7]


def test_damage_is_named(tmp_path):
    path = tmp_path / "test_batch.bin"
    for data, message in [
        (b"", "0 bytes"),
        (batch([1])[1][:-1], "3072 bytes are no whole number"),
        (batch([1, 2])[1] + b"\0", "no whole number"),
        (batch([3, 10])[1], "record 1 has label 10"),
    ]:
        path.write_bytes(data)
        with pytest.raises(FormatError, match=message) as caught:
            read_cifar10(path)
        assert str(path) in str(caught.value)


def test_missing_files_and_splits(tmp_path):
    with pytest.raises(FileNotFoundError, match="no data_batch_1.bin, .*, data_batch_5.bin"):
        load_cifar10(tmp_path)
    with pytest.raises(ValueError, match="split"):
        load_cifar10(tmp_path, "val")
