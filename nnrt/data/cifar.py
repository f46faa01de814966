"""CIFAR-10 binary files: records of one label byte and 3 x 32 x 32 bytes, red plane first.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the files are
those of the "binary version" (data_batch_1.bin ... data_batch_5.bin, test_batch.bin).
"""

import os

import numpy as np

from ..io.errors import FormatError
from ..tensor import wrap

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORD = 1 + 3 * 32 * 32
SUBFOLDER = "cifar-10-batches-bin"
FILES = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}


def read_cifar10(path):
    """(images, labels) of one file: uint8 (N, 3, 32, 32) and uint8 (N,).

    Raises FormatError (a ValueError) for a file that is no whole number of records or has a label
    above 9, OSError when it cannot be read.
    """
    path = os.fspath(path)
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % RECORD:
        raise FormatError(path, f"{data.size} bytes are no whole number of CIFAR-10 records ({RECORD} bytes)")
    records = data.reshape(-1, RECORD)
    labels = records[:, 0].copy()
    if labels.max() >= len(CLASSES):
        where = int(np.argmax(labels >= len(CLASSES)))
        raise FormatError(path, f"record {where} has label {labels[where]}; CIFAR-10 has 0 to 9")
    return records[:, 1:].reshape(-1, 3, 32, 32), labels


def load_cifar10(folder, split="train"):
    """(images, labels): float32 (N, 3, 32, 32) in [0, 1] and int64 (N,).

    folder: holds the .bin files, or the subfolder cifar-10-batches-bin with them. split: "train"
    (50,000 images in five files) or "test" (10,000). Raises ValueError for another split,
    FileNotFoundError naming what is missing, FormatError for a damaged file.
    """
    if split not in FILES:
        raise ValueError(f"load_cifar10: split {split!r}; wanted 'train' or 'test'")
    inner = os.path.join(folder, SUBFOLDER)
    folder = inner if os.path.isdir(inner) else folder
    missing = [name for name in FILES[split] if not os.path.isfile(os.path.join(folder, name))]
    if missing:
        raise FileNotFoundError(f"{folder}: no {', '.join(missing)}; wanted CIFAR-10's binary version")
    parts = [read_cifar10(os.path.join(folder, name)) for name in FILES[split]]
    images = np.empty((sum(len(p) for p, _ in parts), 3, 32, 32), np.float32)
    np.divide(np.concatenate([p for p, _ in parts]), np.float32(255), out=images)
    return wrap(images), wrap(np.concatenate([q for _, q in parts]).astype(np.int64))
