"""IDX files, the format of MNIST and its relatives, plain or gzip-compressed.

    2 zero bytes, 1 byte dtype, 1 byte number of axes, then per axis its size as a big-endian
    unsigned 32-bit integer, then the elements in C order, big-endian.

Format: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits".
"""

import gzip
import math
import os
import zlib

import numpy as np

from ..io.errors import FormatError
from ..tensor import wrap

DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
PREFIXES = {"train": ("train",), "test": ("t10k", "test")}
CHUNK = 1 << 20


def read_idx(path):
    """The array in an IDX file, in the machine's byte order. A name ending in .gz is decompressed.

    Raises FormatError (a ValueError) naming the file and what is wrong with it, OSError when it
    cannot be opened.
    """
    path = os.fspath(path)
    try:
        with gzip.open(path, "rb") if path.endswith(".gz") else open(path, "rb") as file:
            return _read(path, file)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FormatError(path, f"truncated or damaged gzip data: {error}") from None


def _read(path, file):
    head = file.read(4)
    if len(head) < 4:
        raise FormatError(path, f"truncated: {len(head)} bytes, the magic number takes 4")
    if head[:2] != b"\0\0" or head[2] not in DTYPES or not head[3]:
        raise FormatError(path, f"not an IDX file: it starts with {head.hex(' ')}, not 00 00 <dtype> <axes>")
    dtype, axes = np.dtype(DTYPES[head[2]]), head[3]
    if axes > 64:
        raise FormatError(path, f"{axes} axes; numpy has at most 64")
    sizes = file.read(4 * axes)
    if len(sizes) < 4 * axes:
        raise FormatError(path, f"truncated: {axes} sizes take {4 * axes} bytes, {len(sizes)} follow")
    shape = tuple(int.from_bytes(sizes[i : i + 4], "big") for i in range(0, 4 * axes, 4))
    wanted = math.prod(shape) * dtype.itemsize
    data = bytearray()
    # In pieces: memory is taken for what the file holds, not for what its header says.
    while len(data) <= wanted:
        piece = file.read(min(CHUNK, wanted + 1 - len(data)))
        if not piece:
            break
        data += piece
    if len(data) != wanted:
        held = f"{len(data)} follow" if len(data) < wanted else "more follow"
        what = "truncated" if len(data) < wanted else "bytes left over"
        raise FormatError(path, f"{what}: shape {shape} of {dtype.name} takes {wanted} bytes, {held}")
    return np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False).reshape(shape)


def load_idx(folder, split="train"):
    """(images, labels) of an MNIST-like folder: float32 (N, 1, H, W) in [0, 1] and int64 (N,).

    folder: holds the four files under MNIST's names (train-images-idx3-ubyte,
    t10k-labels-idx1-ubyte, ..., also with a dot before idx, with `test` for t10k, and with .gz).
    split: "train" or "test". Raises ValueError for another split, FileNotFoundError naming what
    was looked for, FormatError for a damaged file or when images and labels do not match.
    """
    if split not in PREFIXES:
        raise ValueError(f"load_idx: split {split!r}; wanted 'train' or 'test'")
    image_path, label_path = _find(folder, split, "images", 3), _find(folder, split, "labels", 1)
    images, labels = read_idx(image_path), read_idx(label_path)
    if images.ndim != 3 or images.dtype != np.uint8:
        raise FormatError(image_path, f"{images.dtype} of shape {images.shape}; wanted uint8 (N, H, W)")
    if labels.ndim != 1 or labels.dtype != np.uint8:
        raise FormatError(label_path, f"{labels.dtype} of shape {labels.shape}; wanted uint8 (N,)")
    if len(images) != len(labels):
        raise FormatError(label_path, f"{len(labels)} labels for the {len(images)} images of {image_path}")
    return wrap(images[:, None].astype(np.float32) / np.float32(255)), wrap(labels.astype(np.int64))


def _find(folder, split, what, axes):
    names = [
        f"{prefix}-{what}{mark}idx{axes}-ubyte{ending}"
        for prefix in PREFIXES[split]
        for mark in "-."
        for ending in ("", ".gz")
    ]
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    raise FileNotFoundError(f"{folder}: no {split} {what}; looked for {', '.join(names)}")
