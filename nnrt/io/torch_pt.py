"""Reading the .pt and .pth files that torch.save writes, without torch and without pickle.

The file is a zip archive of uncompressed records: <name>/data.pkl holds the structure, a program
for pickle's stack machine; <name>/data/<key> hold the bytes of the storages. This module has its own
interpreter for the instructions and the few names that a structure of tensors needs (state_dicts,
checkpoints of optimisers): it calls nothing that the file names, and refuses what it does not know.

Files from before torch 1.6, among them published weights, are pickles one after the other: a magic
number, 1001, what the system was, the structure, the keys of the storages; then the storages, each as
its number of elements, int64, and their bytes, little-endian.

Storages that tensors share are shared here too. Strides are kept.
"""

import math
import os
import struct
import sys
import zipfile
from collections import OrderedDict

import numpy as np

from ..tensor import wrap
from .errors import FormatError

STORAGES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
    "ComplexFloatStorage": "<c8",
    "ComplexDoubleStorage": "<c16",
}
DTYPES = {
    "float64": np.float64,
    "float32": np.float32,
    "float16": np.float16,
    "bfloat16": np.float32,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint8": np.uint8,
    "bool": np.bool_,
}
ZIP = b"PK\x03\x04"
MAGIC = 0x1950A86A20F9469CFC6C
OLD = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
MAX_PICKLE = 1 << 28  # bytes of data.pkl: structure only, the numbers lie in other records


def recognised(head):
    """Whether a file that starts with these 16 bytes may be one of torch.save."""
    return head.startswith((ZIP, OLD))


def load_file(path):
    """The object in a .pt file: dicts, lists, tuples, numbers, strings, Tensors and Parameters.

    Raises FormatError (a ValueError) when the file is damaged or holds anything else, naming it.
    """
    with open(path, "rb") as file:
        return _load(os.fspath(path), file)


def load_bytes(data, path="<bytes>"):
    """What a file of these bytes holds; path: its name in errors."""
    from io import BytesIO

    return _load(path, BytesIO(data))


def _load(path, file):
    try:
        if file.read(len(OLD)) == OLD:
            return _OldFile(path, OLD + file.read()).load()
        with zipfile.ZipFile(file) as archive:
            records = _Records(path, archive)
            return _Machine(path, records.read("data.pkl", MAX_PICKLE), records).run()
    except FormatError:
        raise
    # What zipfile, numpy and the machine raise when offsets, opcodes or operands are nonsense.
    except (
        zipfile.BadZipFile,
        struct.error,
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        EOFError,
    ) as error:
        raise FormatError(path, f"damaged .pt file: {type(error).__name__}: {error}") from None
    except (OverflowError, RecursionError, NotImplementedError, OSError, RuntimeError) as error:
        raise FormatError(path, f"damaged .pt file: {type(error).__name__}: {error}") from None


class _Records:
    """The records of the archive by name, without the archive's own name in front."""

    def __init__(self, path, archive):
        self.path = path
        self.archive = archive
        self.found = {info.filename.partition("/")[2]: info for info in archive.infolist()}
        if "data.pkl" not in self.found:
            raise FormatError(path, "a zip archive, but not one of torch.save: it has no data.pkl")
        self.big = "byteorder" in self.found and self.read("byteorder", 16) == b"big"

    def read(self, name, most):
        info = self.found.get(name)
        if info is None:
            raise FormatError(self.path, f"truncated: it has no record {name!r}")
        if info.compress_type != zipfile.ZIP_STORED:
            raise FormatError(self.path, f"record {name!r} is compressed, which torch.save never does")
        if info.file_size > most:
            raise FormatError(self.path, f"record {name!r} has {info.file_size} bytes, wanted at most {most}")
        return self.archive.read(info)


class _Name:
    """A global that the pickle names: kept as its name, called by nobody."""

    __slots__ = ("text",)

    def __init__(self, text):
        self.text = text


_MARK = object()


class _Machine:
    """Pickle's stack machine, protocols 2 to 5, as far as structures of tensors go."""

    def __init__(self, path, code, records=None):
        self.path = path
        self.records = records
        self.storages = {}
        self.code = code
        self.at = 0

    def run(self):
        self.stack, self.memo = [], {}
        while True:
            op = self.take(1)
            if op == b".":
                (result,) = self.stack
                if isinstance(result, _Name):
                    raise self.bad(f"it holds {result.text}, not tensors")
                return result
            step = _STEPS.get(op)
            if step is None:
                raise self.bad(f"the instruction {op!r} is not one that structures of tensors need")
            step(self)

    def bad(self, problem):
        return FormatError(self.path, f"{problem}; only tensors in containers are loaded (save a state_dict)")

    def take(self, n):
        piece = self.code[self.at : self.at + n]
        if len(piece) != n:
            raise FormatError(self.path, "truncated: its pickle ends too early")
        self.at += n
        return piece

    def number(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self):
        end = self.code.index(b"\n", self.at)
        return self.take(end + 1 - self.at)[:-1].decode()

    def push(self, value):
        self.stack.append(value)

    def pop(self):
        value = self.stack.pop()
        if value is _MARK:
            raise self.bad("a mark where a value should be")
        return value

    def pop_to_mark(self):
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:  # IndexError when there is none
            at -= 1
            if at < 0:
                raise self.bad("a mark is missing")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def pop_tuple(self, n):
        return tuple([self.pop() for _ in range(n)][::-1])

    # instructions

    def proto(self):
        version = self.take(1)[0]
        if not 2 <= version <= 5:
            raise self.bad(f"pickle protocol {version}")

    def long1(self):
        self.push(int.from_bytes(self.take(self.take(1)[0]), "little", signed=True))

    def get(self, key):
        self.push(self.memo[key])

    def put(self, key):
        self.memo[key] = self.stack[-1]

    def append(self, values):
        if type(self.stack[-1]) is not list:
            raise self.bad("an append to what is no list")
        self.stack[-1].extend(values)

    def add(self, values):
        if type(self.stack[-1]) is not set:
            raise self.bad("elements for what is no set")
        self.stack[-1].update(values)

    def set_items(self, values):
        if type(self.stack[-1]) not in (dict, OrderedDict) or len(values) % 2:
            raise self.bad("items for what is no dict")
        self.stack[-1].update(zip(values[::2], values[1::2]))

    def one_item(self):
        key, value = self.pop_tuple(2)
        self.set_items([key, value])

    def global_(self, module, name):
        text = f"{module}.{name}"
        if module == "torch" and name in DTYPES:
            self.push(np.dtype(DTYPES[name]))
        elif text in _CALLS or (module == "torch" and name in STORAGES):
            self.push(_Name(text))
        else:
            raise self.bad(f"it needs {text}")

    def stack_global(self):
        self.global_(*self.pop_tuple(2))

    def reduce(self):
        function, args = self.pop_tuple(2)
        call = _CALLS.get(function.text) if isinstance(function, _Name) else None
        if call is None or type(args) is not tuple:
            raise self.bad("a call of what cannot be called")
        self.push(call(self, *args))

    def build(self):
        # The attributes of an OrderedDict (a state_dict's _metadata) have no counterpart here.
        state, target = self.pop(), self.stack[-1]
        if type(target) is not OrderedDict or type(state) not in (dict, OrderedDict):
            raise self.bad(f"attributes for an object of {type(target).__name__}")

    def persistent(self):
        """("storage", type, key, location, elements) -> the elements as an array of one axis."""
        kind, storage, key, _, count, *part = self.pop()
        if kind != "storage" or not isinstance(storage, _Name) or not storage.text.startswith("torch."):
            raise self.bad("a reference to what is no storage")
        if any(p is not None for p in part):
            raise self.bad("a reference to a part of a storage")
        key = str(key)
        if key not in self.storages:
            self.storages[key] = storage.text, self.read_storage(key, STORAGES[storage.text[6:]], count)
        known, array = self.storages[key]
        if known != storage.text:
            raise self.bad(f"storage {key} is both {known} and {storage.text}")
        self.push(array)

    def read_storage(self, key, kind, count):
        dtype = self.stored(key, kind, count)
        if self.records.big:
            dtype = dtype.newbyteorder(">")
        wanted = count * dtype.itemsize
        data = bytearray(self.records.read(f"data/{key}", wanted))
        if len(data) != wanted:
            problem = f"storage {key} takes {wanted} bytes, its record has {len(data)}"
            raise FormatError(self.path, problem)
        return self.elements(key, kind, np.frombuffer(data, dtype))

    def stored(self, key, kind, count):
        """The dtype of a storage's bytes."""
        dtype = np.dtype("<u2" if kind == "bf16" else kind)
        if type(count) is not int or not 0 <= count <= sys.maxsize // dtype.itemsize:
            raise self.bad(f"storage {key} of {count!r} elements")
        return dtype

    def elements(self, key, kind, array):
        """What lay in the file as an array to use, a copy only where it must be."""
        if kind == "bf16":
            return (array.astype(np.uint32) << 16).view(np.float32)
        if array.dtype.kind == "b" and array.size and array.view(np.uint8).max() > 1:
            raise FormatError(self.path, f"storage {key}: bool has the value {array.view(np.uint8).max()}")
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    # what the names mean

    def rebuild_tensor(self, storage, offset, size, stride, requires_grad=False, hooks=None, metadata=None):
        sizes = [offset, *size, *stride]
        if not isinstance(storage, np.ndarray) or len(size) != len(stride) or len(size) > 64:
            raise self.bad("a tensor that makes no sense")
        if not all(type(n) is int and 0 <= n <= sys.maxsize for n in sizes):
            raise self.bad(f"a tensor of size {tuple(size)}, stride {tuple(stride)} at {offset}")
        count = math.prod(size)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if count else offset
        if last >= storage.size + (not count) or math.prod(n for n in size if n) > sys.maxsize // 16:
            shape = f"size {tuple(size)}, stride {tuple(stride)}"
            raise self.bad(f"a tensor of {shape} at {offset} of a storage of {storage.size}")
        if count:
            strides = [s * storage.itemsize for s in stride]
            array = np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), strides)
        else:
            array = np.empty(tuple(size), storage.dtype)
        made = wrap(array)
        if requires_grad is True and array.dtype.kind == "f":
            made.requires_grad = True
        return made

    def rebuild_parameter(self, data, requires_grad=True, hooks=None):
        from ..nn import Parameter

        return Parameter(data.detach(), requires_grad=bool(requires_grad) and data.array.dtype.kind == "f")

    def ordered_dict(self, items=()):
        return OrderedDict([(key, value) for key, value in items])

    def size(self, values=()):
        return tuple(values)

    def device(self, kind="cpu", index=None):
        return str(kind) if index is None else f"{kind}:{index}"

    def set_(self, values=()):
        return set(values)

    def encoded(self, text, encoding):
        if encoding != "latin1":
            raise self.bad(f"bytes in {encoding!r}")
        return text.encode("latin1")


class _OldFile(_Machine):
    """A file from before torch 1.6. Its storages come after the structure that refers to them."""

    wanted = 0  # bytes of storages

    def load(self):
        if self.run() != MAGIC or self.run() != 1001:
            raise FormatError(self.path, "not of the format that torch.save wrote before torch 1.6")
        self.run()
        result, kinds = self.run(), self.storages
        for key in self.run():
            text, array = kinds[key]
            kind, count = STORAGES[text[6:]], self.number("<q")
            dtype = self.stored(key, kind, count)
            data = self.take(count * dtype.itemsize)
            if count != array.size:
                raise FormatError(self.path, f"storage {key} takes {array.size} elements, its record has {count}")
            array[...] = self.elements(key, kind, np.frombuffer(data, dtype))
            del kinds[key]
        if kinds:
            raise FormatError(self.path, f"truncated: it has no storage {next(iter(kinds))!r}")
        return result

    def read_storage(self, key, kind, count):
        dtype = self.stored(key, kind, count)
        self.wanted += count * dtype.itemsize
        if self.wanted > len(self.code):
            raise FormatError(self.path, f"truncated: its storages take {self.wanted} bytes")
        return np.zeros(count, np.float32 if kind == "bf16" else dtype.newbyteorder("="))


_CALLS = {
    "torch._utils._rebuild_tensor_v2": _Machine.rebuild_tensor,
    "torch._utils._rebuild_parameter": _Machine.rebuild_parameter,
    "collections.OrderedDict": _Machine.ordered_dict,
    "torch.Size": _Machine.size,
    "torch.device": _Machine.device,
    "__builtin__.set": _Machine.set_,
    "builtins.set": _Machine.set_,
    "_codecs.encode": _Machine.encoded,  # how protocol 2 spells bytes
}

# Opcode -> what it does; names and meanings are those of Python's pickletools.
_STEPS = {
    b"\x80": _Machine.proto,
    b"\x95": lambda m: m.take(8),  # FRAME: a length, for readers from streams
    b"(": lambda m: m.push(_MARK),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": _Machine.long1,
    b"G": lambda m: m.push(m.number(">d")),
    b"X": lambda m: m.push(m.take(m.number("<I")).decode("utf-8", "surrogatepass")),
    b"\x8c": lambda m: m.push(m.take(m.number("<B")).decode("utf-8", "surrogatepass")),
    b"\x8d": lambda m: m.push(m.take(m.number("<Q")).decode("utf-8", "surrogatepass")),
    b"B": lambda m: m.push(m.take(m.number("<I"))),
    b"\x8e": lambda m: m.push(m.take(m.number("<Q"))),
    b"C": lambda m: m.push(m.take(m.number("<B"))),
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"\x8f": lambda m: m.push(set()),
    b"\x90": lambda m: m.add(m.pop_to_mark()),
    b"t": lambda m: m.push(tuple(m.pop_to_mark())),
    b"\x85": lambda m: m.push(m.pop_tuple(1)),
    b"\x86": lambda m: m.push(m.pop_tuple(2)),
    b"\x87": lambda m: m.push(m.pop_tuple(3)),
    b"a": lambda m: m.append([m.pop()]),
    b"e": lambda m: m.append(m.pop_to_mark()),
    b"s": _Machine.one_item,
    b"u": lambda m: m.set_items(m.pop_to_mark()),
    b"q": lambda m: m.put(m.number("<B")),
    b"r": lambda m: m.put(m.number("<I")),
    b"\x94": lambda m: m.put(len(m.memo)),
    b"h": lambda m: m.get(m.number("<B")),
    b"j": lambda m: m.get(m.number("<I")),
    b"c": lambda m: m.global_(m.line(), m.line()),
    b"\x93": _Machine.stack_global,
    b"Q": _Machine.persistent,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}
