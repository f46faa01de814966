"""Safetensors files: names, shapes and plain bytes; reading one runs no code.

    8 bytes           n, the header's length, little-endian unsigned
    n bytes           JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [b, e]}, ...}
                      and, if present, "__metadata__": {"text": "text", ...}; padded with spaces
    the rest          the elements in C order, little-endian; b and e count from here

Tensors fill the rest without gaps or overlaps. The header is checked whole before any element
is touched, so that nothing in a damaged or hostile file leads outside it.
Format: https://github.com/huggingface/safetensors#format
"""

import json
import math
import mmap as _mmap
import os
import struct
import sys

import numpy as np

from ..tensor import Tensor, wrap
from .atomic import replacing
from .errors import FormatError

# Name in the file -> (bytes per element, how the bytes are read; None: known, but not to numpy).
DTYPES = {
    "F64": (8, "<f8"),
    "F32": (4, "<f4"),
    "F16": (2, "<f2"),
    "BF16": (2, "<u2"),
    "I64": (8, "<i8"),
    "I32": (4, "<i4"),
    "I16": (2, "<i2"),
    "I8": (1, "|i1"),
    "U64": (8, "<u8"),
    "U32": (4, "<u4"),
    "U16": (2, "<u2"),
    "U8": (1, "|u1"),
    "BOOL": (1, "|u1"),
    "C64": (8, "<c8"),
    "F8_E4M3": (1, None),
    "F8_E5M2": (1, None),
}
NAMES = {np.dtype(t): n for n, (_, t) in DTYPES.items() if t and n not in ("BF16", "BOOL")}
NAMES[np.dtype(bool)] = "BOOL"

MAX_HEADER = 100_000_000  # bytes; the bound of the format's own implementation
MAX_DIMS = 64  # numpy's
MAX_SIZE = (1 << 63) - 1


class Entry:
    """What the header says of one tensor; start and stop count from the beginning of the file."""

    __slots__ = ("name", "dtype", "shape", "start", "stop")

    def __init__(self, name, dtype, shape, start, stop):
        self.name = name
        self.dtype = dtype
        self.shape = shape
        self.start = start
        self.stop = stop


# ---- writing ----


def save_file(tensors, path, metadata=None):
    """Writes a dict of name -> Tensor or numpy array to path, replacing it all at once.

    metadata: dict of str -> str, kept in the header. Strided inputs are written in C order.
    Raises TypeError for names, values, dtypes and metadata that the format has no place for,
    before the file is touched.
    """
    header, arrays = layout(tensors, metadata)
    with replacing(path) as file:
        write(file, header, arrays)


def save(tensors, metadata=None):
    """What save_file would write, as bytes."""
    header, arrays = layout(tensors, metadata)
    return b"".join([header, *(_bytes(a) for a in arrays)])


def layout(tensors, metadata):
    """(header with its length, arrays in file order), everything checked."""
    rows = []
    for name, value in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"safetensors: names are str, got {name!r}")
        if name == "__metadata__":
            raise TypeError("safetensors: the name '__metadata__' is taken by the format")
        _encodable(name)
        array = value.array if isinstance(value, Tensor) else value
        if not isinstance(array, np.ndarray):
            raise TypeError(f"safetensors: {name!r} is {type(value).__name__}; wanted Tensor or numpy array")
        dtype = NAMES.get(array.dtype.newbyteorder("<"))
        if dtype is None:
            known = ", ".join(map(str, NAMES))
            raise TypeError(f"safetensors: {name!r} has dtype {array.dtype}; written are {known}")
        rows.append((dtype, name, array))
    # Wide elements first: every tensor then lies at a multiple of its element's size.
    rows.sort(key=lambda row: (-DTYPES[row[0]][0], row[0], row[1]))
    header = {}
    if metadata is not None:
        if not all(isinstance(k, str) and isinstance(v, str) for k, v in metadata.items()):
            raise TypeError("safetensors: metadata is a dict of str -> str")
        for text in (*metadata, *metadata.values()):
            _encodable(text)
        header["__metadata__"] = dict(metadata)
    end = 0
    for dtype, name, array in rows:
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"safetensors: a header of {len(text)} bytes; the format allows {MAX_HEADER}")
    return struct.pack("<Q", len(text)) + text, [row[2] for row in rows]


def _encodable(text):
    if not _is_unicode(text):
        raise TypeError(f"safetensors: {text!r} is not valid Unicode")


def _bytes(array):
    little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return memoryview(little.reshape(-1).view(np.uint8))


def write(file, header, arrays):
    file.write(header)
    for array in arrays:
        file.write(_bytes(array))


# ---- the header ----


def parse_header(path, head, size):
    """(list of Entry in file order, metadata dict) from the first bytes of a file.

    head(n) returns the file's first n bytes or fewer; size is the whole file's. Raises FormatError.
    """
    if size < 8:
        raise FormatError(path, f"truncated: {size} bytes; the header's length alone takes 8")
    length = struct.unpack("<Q", head(8)[:8])[0]
    if length > MAX_HEADER:
        problem = f"not a safetensors file: a header of {length} bytes; the format allows {MAX_HEADER}"
        raise FormatError(path, problem)
    if length > size - 8:
        raise FormatError(path, f"truncated: the header has {length} bytes, the file goes on for {size - 8}")
    text = head(8 + length)[8:]
    if len(text) != length:
        raise FormatError(path, f"truncated: the header has {length} bytes, {len(text)} could be read")
    header = _parse_json(path, text)
    metadata = _check_metadata(path, header.pop("__metadata__", None))
    entries = [_check_entry(path, name, info) for name, info in header.items()]
    entries.sort(key=lambda e: (e.start, e.stop))
    end = 0
    for entry in entries:
        if entry.start != end:
            what = "an overlap" if entry.start < end else "a gap"
            problem = f"{what} before {entry.name!r}: its data_offsets start at {entry.start}, not {end}"
            raise FormatError(path, problem)
        end = entry.stop
    rest = size - 8 - length
    if end != rest:
        what = "truncated" if end > rest else "bytes left over"
        raise FormatError(path, f"{what}: the tensors take {end} bytes, {rest} follow the header")
    for entry in entries:
        entry.start += 8 + length
        entry.stop += 8 + length
    return entries, metadata


def _parse_json(path, text):
    if not text.startswith(b"{"):
        raise FormatError(path, "not a safetensors file: the header is not a JSON object")

    def pairs(items):
        made = dict(items)
        if len(made) != len(items):
            keys = [key for key, _ in items]
            twice = next(key for key in made if keys.count(key) > 1)
            raise FormatError(path, f"the header has {twice!r} twice")
        return made

    def constant(name):
        raise FormatError(path, f"the header has {name}, which is not JSON")

    try:
        return json.loads(text.decode(), object_pairs_hook=pairs, parse_constant=constant)
    except FormatError:
        raise
    except RecursionError:
        raise FormatError(path, "the header is nested too deeply") from None
    except ValueError as error:  # JSON, UTF-8, or an integer of thousands of digits
        raise FormatError(path, f"the header is not JSON: {error}") from None


def _check_metadata(path, metadata):
    if metadata is None:
        return {}
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FormatError(path, "__metadata__ is not an object of strings")
    if not all(_is_unicode(k) and _is_unicode(v) for k, v in metadata.items()):
        raise FormatError(path, "__metadata__ is not valid Unicode")
    return metadata


def _is_unicode(text):
    """Whether text has no lone surrogates, which JSON can spell and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_size(value):
    return type(value) is int and 0 <= value <= MAX_SIZE


def _check_entry(path, name, info):
    def bad(problem):
        return FormatError(path, f"{name!r}: {problem}")

    if not _is_unicode(name):
        raise bad("the name is not valid Unicode")
    if not isinstance(info, dict):
        raise bad(f"wanted an object with dtype, shape and data_offsets, got {short(info)}")
    for key in ("dtype", "shape", "data_offsets"):
        if key not in info:
            raise bad(f"{key} is missing")
    dtype, shape, offsets = info["dtype"], info["shape"], info["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise bad(f"dtype {short(dtype)} is unknown; known are {', '.join(DTYPES)}")
    if not isinstance(shape, list) or len(shape) > MAX_DIMS or not all(map(_is_size, shape)):
        raise bad(f"shape {short(shape)} is not a list of at most {MAX_DIMS} sizes")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_size, offsets)):
        raise bad(f"data_offsets {short(offsets)} are not two positions")
    begin, end = offsets
    if begin > end:
        raise bad(f"data_offsets {offsets} run backwards")
    itemsize = DTYPES[dtype][0]
    # numpy multiplies the sizes that are not 0 even when another one is.
    if math.prod(n for n in shape if n) * itemsize > MAX_SIZE:
        raise bad(f"shape {short(shape)} has more elements than can be addressed")
    wanted = math.prod(shape) * itemsize
    if wanted != end - begin:
        held = end - begin
        raise bad(f"shape {short(shape)} of {dtype} takes {wanted} bytes, data_offsets {offsets} hold {held}")
    return Entry(name, dtype, tuple(shape), begin, end)


def short(value):
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


# ---- reading ----


class safe_open:
    """Reads tensors one at a time: `with safe_open(path) as f: w = f.get_tensor("fc.weight")`.

    path: a file's path. mmap: tensors lie in the mapped file (private: writing to them changes
    neither the file nor other readers) and take memory when touched; the file must then not be
    shortened in place while they live. Without mmap they are read into memory of their own.
    The header is checked when the file is opened; raises FormatError, or OSError.
    """

    def __init__(self, path, mmap=True):
        self.path = os.fspath(path)
        self._map = None
        self._file = open(path, "rb")
        try:
            size = os.fstat(self._file.fileno()).st_size
            entries, self._metadata = parse_header(self.path, self._head, size)
            self._entries = {e.name: e for e in entries}
            if mmap and size:
                try:
                    self._map = _mmap.mmap(self._file.fileno(), size, access=_mmap.ACCESS_COPY)
                except ValueError:
                    raise FormatError(self.path, "truncated while it was opened") from None
        except BaseException:
            self._file.close()
            raise

    def _head(self, n):
        self._file.seek(0)
        return self._file.read(n)

    def keys(self):
        """Names, in the order of the file."""
        return list(self._entries)

    def metadata(self):
        """The header's dict of str -> str; empty if there is none."""
        return dict(self._metadata)

    def get_tensor(self, name):
        """The tensor as a Tensor. BF16 becomes float32. Raises KeyError for an unknown name."""
        return wrap(self.get_array(name))

    def get_array(self, name):
        """The tensor as a numpy array; as get_tensor."""
        entry = self._entry(name)
        if self._map is not None:
            raw = np.frombuffer(self._map, np.uint8, entry.stop - entry.start, entry.start)
        else:
            raw = np.empty(entry.stop - entry.start, np.uint8)
            self._file.seek(entry.start)
            got = self._file.readinto(memoryview(raw))
            if got != raw.size:
                raise FormatError(self.path, f"truncated: {name!r} has {raw.size} bytes, {got} could be read")
        return _decode(self.path, entry, raw)

    def get_slice(self, name):
        """A view to index before reading: `f.get_slice("emb.weight")[10:20]`."""
        return Slice(self, self._entry(name))

    def _entry(self, name):
        if self._file.closed:
            raise ValueError(f"{self.path}: the file is closed")
        try:
            return self._entries[name]
        except KeyError:
            raise KeyError(f"{self.path} has no tensor {name!r}; it has {short(self.keys())}") from None

    def close(self):
        """Closes the file; tensors that were read stay valid."""
        self._file.close()
        self._map = None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


class Slice:
    """What safe_open.get_slice returns."""

    def __init__(self, file, entry):
        self._file = file
        self._entry = entry

    def get_shape(self):
        return list(self._entry.shape)

    def get_dtype(self):
        return self._entry.dtype

    def __getitem__(self, key):
        """The part as a Tensor of its own memory."""
        return wrap(np.array(self._file.get_array(self._entry.name)[key]))


def load_file(path, mmap=True):
    """All tensors of a file as a dict of name -> Tensor; see :class:`safe_open` for mmap and errors."""
    with safe_open(path, mmap) as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def load(data, path="<bytes>"):
    """All tensors of a file's bytes as a dict of name -> Tensor of its own memory."""
    return {name: wrap(array) for name, array in load_arrays(data, path)[0].items()}


def load_arrays(data, path="<bytes>"):
    """(dict of name -> numpy array, metadata) of a file's bytes."""
    view = memoryview(data).cast("B")
    entries, metadata = parse_header(path, lambda n: bytes(view[:n]), len(view))
    arrays = {}
    for entry in entries:
        raw = np.frombuffer(view, np.uint8, entry.stop - entry.start, entry.start).copy()
        arrays[entry.name] = _decode(path, entry, raw)
    return arrays, metadata


def _decode(path, entry, raw):
    """The elements of one tensor in the machine's byte order, at an address its dtype allows."""
    dtype = DTYPES[entry.dtype][1]
    if dtype is None:
        raise FormatError(path, f"{entry.name!r}: dtype {entry.dtype} cannot be read; numpy has none like it")
    if raw.size == 0:
        array = np.empty(entry.shape, dtype)
    else:
        array = raw.view(dtype) if raw.ctypes.data % int(dtype[2]) == 0 else raw.copy().view(dtype)
        array = array.reshape(entry.shape)
    if entry.dtype == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32).reshape(entry.shape)
    if entry.dtype == "BOOL":
        if array.size and array.max() > 1:
            raise FormatError(path, f"{entry.name!r}: BOOL has the value {array.max()}; wanted 0 or 1")
        return array.view(np.bool_)
    return array if sys.byteorder == "little" else array.astype(array.dtype.newbyteorder("="))
