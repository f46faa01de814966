"""nnrt.save and nnrt.load: nested Python structures with tensors in them, without pickle.

The file is a safetensors file. Its tensors are the structure's arrays, named 0, 1, 2 ... in the
order in which they were met; the metadata entry "nnrt.tree" holds the rest as JSON:

    null, true, 3, 0.1, "text", [..]      themselves (a list is a list)
    {"dict": [[key, value], ..]}          dict, keys of any saved kind that can be hashed
    {"odict": ..}, {"tuple": ..}          OrderedDict, tuple
    {"float": "nan"}                      nan, inf, -inf
    {"tensor": "0", "grad": true}         Tensor; grad: requires_grad
    {"parameter": "0", "grad": true}      nn.Parameter
    {"array": "1"}, {"scalar": "2"}       numpy array, numpy scalar
    {"bytes": "3"}                        bytes

An object met twice (tied weights) is written once and is one object again after loading.
"""

import json
import math
from collections import OrderedDict

import numpy as np

from ..tensor import Tensor, wrap
from . import safetensors
from .atomic import replacing
from .errors import FormatError

TREE = "nnrt.tree"
VERSION = "1"


def save(obj, f):
    """Writes obj to f: a path, which is replaced all at once, or a binary file open for writing.

    obj: nested dict, OrderedDict, list, tuple, str, bytes, number, bool, None, Tensor, Parameter, numpy
    array or numpy scalar; for example {"model": net.state_dict(), "optim": opt.state_dict(), "epoch": 3}.
    Tensors are saved without their tape. Raises TypeError naming the place in obj for anything
    else, ValueError for a structure that contains itself, both before the file is touched.
    """
    encoder = _Encoder()
    tree = encoder.encode(obj)
    metadata = {"format": "nnrt", "nnrt.version": VERSION, TREE: tree}
    header, arrays = safetensors.layout(encoder.arrays, metadata)
    if hasattr(f, "write"):
        safetensors.write(f, header, arrays)
    else:
        with replacing(f) as file:
            safetensors.write(file, header, arrays)


def load(f, map_location=None, *, weights_only=True, mmap=False):
    """What :func:`save` wrote. f: a path, or a binary file open for reading.

    Also reads plain safetensors files (a dict of Tensors) and the .pt files of torch.save, also those from
    before torch 1.6, as far as they hold tensors in containers (see :mod:`nnrt.io.torch_pt`). Loading runs no code from the file.
    map_location: None or "cpu". weights_only is accepted for torch's sake: nothing else is ever
    loaded. mmap: see :class:`nnrt.io.safe_open`. Raises FormatError (a ValueError) for a file that
    is damaged or of another kind.
    """
    if map_location is not None and str(map_location) != "cpu":
        raise ValueError(f"load: map_location {map_location!r}; wanted None or 'cpu'")
    if not weights_only:
        raise ValueError("load: weights_only=False would run code from the file, which nnrt never does")
    if hasattr(f, "read"):
        path, data = getattr(f, "name", "<file>"), f.read()
        if _is_torchs(data[:16]):
            return _torch_pt().load_bytes(data, path)
        arrays, metadata = safetensors.load_arrays(data, path)
        return _structure(path, arrays, metadata)
    with open(f, "rb") as file:
        head = file.read(16)
    if _is_torchs(head):
        return _torch_pt().load_file(f)
    with safetensors.safe_open(f, mmap) as file:
        arrays = {name: file.get_array(name) for name in file.keys()}
        return _structure(file.path, arrays, file.metadata())


def _torch_pt():
    from . import torch_pt

    return torch_pt


def _is_torchs(head):
    return head[:1] in (b"P", b"\x80") and _torch_pt().recognised(head)


def _structure(path, arrays, metadata):
    if TREE not in metadata:
        return {name: wrap(array) for name, array in arrays.items()}
    version = metadata.get("nnrt.version")
    if version != VERSION:
        raise FormatError(path, f"nnrt.version is {version!r}; this nnrt reads {VERSION!r}")
    return _Decoder(path, arrays).decode_text(metadata[TREE])


def _parameter_class():
    from ..nn import Parameter

    return Parameter


# ---- encoding ----


class _Encoder:
    """Turns a structure into its JSON form and collects the arrays."""

    def __init__(self):
        self.arrays = {}
        self.known = {}  # id -> (object, kept alive; its JSON form)
        self.open = set()  # ids of the containers around the current place
        self.place = []

    def encode(self, obj):
        """obj's tree as JSON text."""
        try:
            return json.dumps(self._encode(obj), separators=(",", ":"), allow_nan=False)
        except RecursionError:
            raise ValueError("save: the structure is nested too deeply") from None

    def _encode(self, obj):
        kind = type(obj)
        if obj is None or kind is bool or kind is int or kind is str:
            return obj
        if kind is float:
            return obj if math.isfinite(obj) else {"float": repr(obj)}
        if kind in (dict, OrderedDict, list, tuple):
            return self._container(obj, kind)
        if isinstance(obj, Tensor):
            return self._once(obj, obj.array, "parameter" if self._is_parameter(obj) else "tensor")
        if isinstance(obj, np.ndarray):
            return self._once(obj, obj, "array")
        if isinstance(obj, np.generic):
            return {"scalar": self._add(np.asarray(obj))}
        if kind is bytes or kind is bytearray:
            return {"bytes": self._add(np.frombuffer(bytes(obj), np.uint8))}
        if isinstance(obj, dict):  # a state_dict may be a subclass that carries attributes
            return self._container(obj, OrderedDict if isinstance(obj, OrderedDict) else dict)
        raise TypeError(
            f"save: obj{''.join(self.place)} is {kind.__name__}; wanted nested dict, list, tuple, str, "
            "bytes, number, bool, None, Tensor or numpy array (for a module save its state_dict())"
        )

    def _container(self, obj, kind):
        if id(obj) in self.open:
            raise ValueError(f"save: obj{''.join(self.place)} contains itself")
        self.open.add(id(obj))
        if kind is list or kind is tuple:
            items = [self._at(f"[{i}]", value) for i, value in enumerate(obj)]
        else:
            items = [[self._at(" (a key)", k), self._at(f"[{k!r}]", v)] for k, v in obj.items()]
        self.open.discard(id(obj))
        return items if kind is list else {{dict: "dict", OrderedDict: "odict", tuple: "tuple"}[kind]: items}

    def _at(self, place, value):
        self.place.append(place)
        form = self._encode(value)
        self.place.pop()
        return form

    def _once(self, obj, array, kind):
        if id(obj) not in self.known:
            form = {kind: self._add(array)}
            if kind != "array":
                form["grad"] = bool(obj.requires_grad)
            self.known[id(obj)] = obj, form
        return self.known[id(obj)][1]

    def _add(self, array):
        if not isinstance(array, np.ndarray):  # of a lazy module
            raise TypeError(f"save: obj{''.join(self.place)} has no shape yet: call its module with an input first")
        if safetensors.NAMES.get(array.dtype.newbyteorder("<")) is None:
            known = ", ".join(map(str, safetensors.NAMES))
            raise TypeError(f"save: obj{''.join(self.place)} has dtype {array.dtype}; saved are {known}")
        name = str(len(self.arrays))
        self.arrays[name] = array
        return name

    def _is_parameter(self, obj):
        return type(obj) is not Tensor and isinstance(obj, _parameter_class())


# ---- decoding ----


class _Decoder:
    """Turns the JSON form back into the structure; every surprise is a FormatError."""

    def __init__(self, path, arrays):
        self.path = path
        self.arrays = arrays
        self.made = {}

    def decode_text(self, text):
        try:
            return self._decode(json.loads(text, parse_constant=self._constant))
        except FormatError:
            raise
        except RecursionError:
            raise self._bad("the structure is nested too deeply") from None
        except ValueError as error:
            raise self._bad(f"it is not JSON: {error}") from None

    def _bad(self, problem):
        return FormatError(self.path, f"{TREE}: {problem}")

    def _constant(self, name):
        raise self._bad(f"{name} is not JSON")

    def _decode(self, form):
        if isinstance(form, list):
            return [self._decode(item) for item in form]
        if not isinstance(form, dict):
            return form
        kinds = [key for key in form if key != "grad"]
        if len(kinds) != 1:
            raise self._bad(f"wanted an object with one kind, got {safetensors.short(form)}")
        kind = kinds[0]
        value = form[kind]
        if kind == "dict" or kind == "odict":
            return self._dict(value, dict if kind == "dict" else OrderedDict)
        if kind == "tuple":
            return tuple(self._decode(self._list(value)))
        if kind == "float":
            if value not in ("nan", "inf", "-inf"):
                raise self._bad(f"float is {safetensors.short(value)}; wanted nan, inf or -inf")
            return float(value)
        if kind == "scalar":
            array = self._array(value)
            if array.ndim:
                raise self._bad(f"scalar {value!r} has shape {array.shape}")
            return array[()]
        if kind == "bytes":
            array = self._array(value)
            if array.dtype != np.uint8 or array.ndim != 1:
                raise self._bad(f"bytes {value!r} is {array.dtype} of shape {array.shape}; wanted uint8")
            return array.tobytes()
        if kind in ("array", "tensor", "parameter"):
            return self._shared(kind, value, form.get("grad", False))
        raise self._bad(f"unknown kind {safetensors.short(kind)}")

    def _list(self, value):
        if not isinstance(value, list):
            raise self._bad(f"wanted a list, got {safetensors.short(value)}")
        return value

    def _dict(self, value, kind):
        made = kind()
        for pair in self._list(value):
            if not isinstance(pair, list) or len(pair) != 2:
                raise self._bad(f"wanted [key, value], got {safetensors.short(pair)}")
            key = self._decode(pair[0])
            try:
                known = key in made
            except TypeError:
                raise self._bad(f"a key is {type(key).__name__}, which cannot be one") from None
            if known:
                raise self._bad(f"the key {key!r} comes twice")
            made[key] = self._decode(pair[1])
        return made

    def _array(self, name):
        if not isinstance(name, str) or name not in self.arrays:
            raise self._bad(f"it names the array {safetensors.short(name)}, which the file lacks")
        return self.arrays[name]

    def _shared(self, kind, name, grad):
        array = self._array(name)
        if (kind, name) not in self.made:
            if kind == "array":
                made = array
            elif not isinstance(grad, bool) or (grad and array.dtype.kind != "f"):
                raise self._bad(f"{kind} {name!r}: grad is {grad!r} for {array.dtype}")
            elif kind == "parameter":
                made = _parameter_class()(wrap(array), requires_grad=grad)
            else:
                made = wrap(array)
                made.requires_grad = grad
            self.made[kind, name] = made
        return self.made[kind, name]
