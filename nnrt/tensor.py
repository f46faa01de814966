"""Tensor: a numpy array with a gradient and a place on the tape.

The memory, shape and strides are those of `Tensor.array`, an ordinary numpy array over the
caching allocator's memory; views share it and share one version counter, by which the tape
notices changes in place. This class holds what belongs to the object itself: attributes,
operators, in-place operations, conversion. The public functions of nnrt/ops whose first
parameter is a tensor are methods too: see _methods.
"""

import numpy as np


class Version:
    """How often a piece of memory was changed in place; shared by a tensor and its views.

    lent: numpy has the memory too, changes may go unnoticed. packed: copies that kernels want, see ops/_packed.py.
    """

    def __init__(self):
        self.value = 0
        self.lent = False
        self.packed = None


class Tensor:
    """A dense n-dimensional array that can be differentiated.

    `Tensor(2, 3)` has these sizes and whatever values its memory held, `Tensor(data)` copies array-like
    data to the default dtype, as in torch. Use :func:`nnrt.tensor`, :func:`nnrt.from_numpy` and the
    creation functions in everyday code.

    Attributes: `array` (the numpy array), `grad` (Tensor of the same shape or None),
    `requires_grad`, `shape`, `dtype`, `ndim`, `is_leaf`, `grad_fn`.
    """

    def __init__(self, *data, requires_grad=False):
        self.array = create.constructed(data, create.get_default_dtype()).array
        self._requires_grad = False
        self._grad = None
        self.node = None
        self.version = None
        self.hooks = None
        if requires_grad:
            self.requires_grad_(True)

    def __dealloc__(self):
        keep_array(self)  # noqa: F821  of tensor.pxd: compiled, a tensor leaves a small array to the next one

    # attributes

    @property
    def shape(self):
        """Tuple of sizes."""
        return self.array.shape

    @property
    def dtype(self):
        """The numpy dtype, which nnrt.float32 and its siblings are."""
        return self.array.dtype

    @property
    def ndim(self):
        """Number of axes."""
        return self.array.ndim

    @property
    def device(self):
        """Always "cpu" for this class."""
        return create.cpu

    @property
    def is_leaf(self):
        """Whether no recorded op made this tensor: gradients are accumulated in leaves."""
        return self.node is None

    @property
    def grad_fn(self):
        """The tape node that made this tensor, or None."""
        return self.node.node if isinstance(self.node, autograd.Output) else self.node

    @property
    def data(self):
        """The same memory without a place on the tape."""
        return self.detach()

    @data.setter
    def data(self, value):
        bump(self)
        if isinstance(value, Tensor):
            self.array = value.array
            self.version = autograd.version_of(value)
        else:
            self.array = np.asarray(value)
            self.version = Version()
            self.version.lent = True

    @property
    def _version(self):
        return 0 if self.version is None else self.version.value

    @property
    def T(self):
        """All axes reversed."""
        return shape.permute(self, tuple(range(self.array.ndim - 1, -1, -1)))

    @property
    def mT(self):
        """The last two axes exchanged."""
        return shape.transpose(self, -2, -1)

    @property
    def is_cuda(self):
        """False: there is the CPU only."""
        return False

    @property
    def is_cpu(self):
        return True

    @property
    def is_sparse(self):
        """False; the gradients of rows alone that embeddings make (SparseRows) say True."""
        return False

    @property
    def itemsize(self):
        """Bytes of an element."""
        return self.array.itemsize

    @property
    def nbytes(self):
        """Bytes of all elements."""
        return self.array.nbytes

    def size(self, dim=None):
        """The shape, or the size of one axis. IndexError for an axis that is not there."""
        shape = self.array.shape
        if dim is None:
            return shape
        try:
            return shape[dim]
        except IndexError:
            raise IndexError(f"size: dim {dim} is out of range for a tensor of shape {shape}") from None

    def dim(self):
        """Number of axes."""
        return self.array.ndim

    def numel(self):
        """Number of elements."""
        return self.array.size

    def element_size(self):
        """Bytes of an element."""
        return self.array.itemsize

    def stride(self, dim=None):
        """Strides in elements."""
        strides = tuple([s // self.array.itemsize for s in self.array.strides])
        return strides if dim is None else strides[dim]

    def is_contiguous(self, memory_format=None):
        """Whether the memory order is that of the shape (C order), or NHWC for memory_format=nnrt.channels_last."""
        if memory_format in ("channels_last", "channels_last_3d"):
            return shape.is_channels_last(self.array)
        return self.array.flags.c_contiguous

    def is_floating_point(self):
        """Whether the dtype is float16, float32 or float64."""
        return self.array.dtype.kind == "f"

    def data_ptr(self):
        """Address of the first element."""
        return self.array.ctypes.data

    # the tape

    @property
    def requires_grad(self):
        """Whether gradients with respect to this tensor are wanted. Set by :meth:`requires_grad_`'s rules."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value):
        self.requires_grad_(value)

    @property
    def grad(self):
        """The gradient that backward passes have accumulated: a Tensor of this shape and dtype, SparseRows, or None."""
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            _check_grad(self, value)
        self._grad = value

    def backward(self, gradient=None, retain_graph=False, create_graph=False, inputs=None):
        """Accumulates d<self, gradient>/d leaf into .grad of every leaf that requires it.

        gradient: Tensor of this shape; may be left out for one element (then 1). The graph's
        saved memory is freed as the walk goes, unless retain_graph. create_graph=True raises
        NotImplementedError: there are no gradients of gradients.
        """
        _backward(self, gradient, retain_graph, create_graph, inputs)

    def requires_grad_(self, requires_grad=True):
        """Sets requires_grad on a leaf of floating dtype; returns self."""
        if requires_grad and self.array.dtype.kind != "f":
            raise RuntimeError(f"requires_grad_: only floating tensors can require gradients, this one is {self.dtype}")
        if not requires_grad and self.node is not None:
            raise RuntimeError("requires_grad_: a result of a recorded op cannot stop requiring gradients; use detach()")
        self._requires_grad = requires_grad
        return self

    def detach(self):
        """The same memory, off the tape."""
        return view_of(self, self.array)

    def detach_(self):
        """Takes this tensor off the tape."""
        self.node = None
        self._requires_grad = False
        return self

    def retain_grad(self):
        """Keeps the gradient of a non-leaf in .grad."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: the tensor does not require a gradient")
        if self.node is not None:
            key = ~(self.node.index if isinstance(self.node, autograd.Output) else 0)
            if not (self.grad_fn.hooks and self.grad_fn.hooks.get(key)):
                self.grad_fn.add_hook(key, self._keep)

    def _keep(self, g):
        self.grad = g if self.grad is None else elementwise.add(self.grad, g)

    def register_hook(self, hook):
        """Calls hook(grad) during backward; a Tensor it returns replaces the gradient.

        Returns a handle with remove().
        """
        if not self._requires_grad:
            raise RuntimeError("register_hook: the tensor does not require a gradient")
        if self.node is None:
            if self.hooks is None:
                self.hooks = {}
            return autograd.Handle(self.hooks, hook)
        if isinstance(self.node, autograd.Output):
            return self.node.node.add_hook(self.node.index, hook)
        return self.node.add_hook(0, hook)

    def register_post_accumulate_grad_hook(self, hook):
        """Calls hook(tensor) when a backward pass has added all it has to this leaf's .grad. Returns a handle with remove()."""
        if not self._requires_grad or self.node is not None:
            raise RuntimeError("register_post_accumulate_grad_hook: wants a leaf that requires a gradient")
        if self.hooks is None:
            self.hooks = {}
        return autograd.Handle(self.hooks, autograd.Afterwards(hook))

    # operators

    def __add__(self, other):
        return _add(self, other)

    def __radd__(self, other):
        return _add(self, other)

    def __sub__(self, other):
        return _sub(self, other)

    def __rsub__(self, other):
        return _sub(other, self)

    def __mul__(self, other):
        return _mul(self, other)

    def __rmul__(self, other):
        return _mul(self, other)

    def __truediv__(self, other):
        return _div(self, other)

    def __rtruediv__(self, other):
        return _div(other, self)

    def __floordiv__(self, other):
        return binary.floor_divide(self, other)

    def __rfloordiv__(self, other):
        return binary.floor_divide(other, self)

    def __mod__(self, other):
        return binary.remainder(self, other)

    def __rmod__(self, other):
        return binary.remainder(other, self)

    def __pow__(self, other, modulo=None):
        return binary.pow(self, other)

    def __rpow__(self, other, modulo=None):
        return binary.pow(other, self)

    def __matmul__(self, other):
        return _matmul(self, other)

    def __rmatmul__(self, other):
        return _matmul(other, self)

    def __neg__(self):
        return unary.neg(self)

    def __pos__(self):
        return self

    def __abs__(self):
        return unary.abs(self)

    def __invert__(self):
        return compare.bitwise_not(self)

    def __and__(self, other):
        return compare.bitwise_and(self, other)

    def __rand__(self, other):
        return compare.bitwise_and(self, other)

    def __or__(self, other):
        return compare.bitwise_or(self, other)

    def __ror__(self, other):
        return compare.bitwise_or(self, other)

    def __xor__(self, other):
        return compare.bitwise_xor(self, other)

    def __rxor__(self, other):
        return compare.bitwise_xor(self, other)

    def __lshift__(self, other):
        return compare.bitwise_left_shift(self, other)

    def __rshift__(self, other):
        return compare.bitwise_right_shift(self, other)

    def __rlshift__(self, other):
        return compare.bitwise_left_shift(other, self)

    def __rrshift__(self, other):
        return compare.bitwise_right_shift(other, self)

    def __eq__(self, other):
        return compare.eq(self, other)

    def __ne__(self, other):
        return compare.ne(self, other)

    def __lt__(self, other):
        return compare.lt(self, other)

    def __le__(self, other):
        return compare.le(self, other)

    def __gt__(self, other):
        return compare.gt(self, other)

    def __ge__(self, other):
        return compare.ge(self, other)

    def __hash__(self):
        return id(self) >> 4

    # in place

    def __iadd__(self, other):
        return _augmented("add_", self, other, _add)

    def __isub__(self, other):
        return _augmented("sub_", self, other, _sub)

    def __imul__(self, other):
        return _augmented("mul_", self, other, _mul)

    def __itruediv__(self, other):
        return _augmented("div_", self, other, _div)

    def __ifloordiv__(self, other):
        return _augmented("floor_divide_", self, other, binary.floor_divide)

    def __imod__(self, other):
        return _augmented("remainder_", self, other, binary.remainder)

    def __ipow__(self, other, modulo=None):
        return _augmented("pow_", self, other, binary.pow)

    def __iand__(self, other):
        return inplace.bitwise_and_(self, other)

    def __ior__(self, other):
        return inplace.bitwise_or_(self, other)

    def __ixor__(self, other):
        return inplace.bitwise_xor_(self, other)

    def __ilshift__(self, other):
        return inplace.bitwise_left_shift_(self, other)

    def __irshift__(self, other):
        return inplace.bitwise_right_shift_(self, other)

    # indexing

    def __getitem__(self, key):
        return index.getitem(self, key)

    def __setitem__(self, key, value):
        inplace.setitem(self, key, value)

    def __len__(self):
        if self.array.ndim == 0:
            raise TypeError("len() of a 0-dimensional tensor")
        return self.array.shape[0]

    def __iter__(self):
        if self.array.ndim == 0:
            raise TypeError("iteration over a 0-dimensional tensor")
        return iter(parts.unbind(self, 0))

    def __contains__(self, value):
        return bool((self.array == (value.array if isinstance(value, Tensor) else value)).any())

    # conversion

    def numpy(self, *, force=False):
        """The memory as an array, no copy; refused on the tape, as in torch, unless force."""
        if self._requires_grad and not force:
            raise RuntimeError("numpy: the tensor requires a gradient; use .detach().numpy()")
        autograd.version_of(self).lent = True
        return self.array.view()

    def item(self):
        """The one element as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"item: wants a tensor with one element, got shape {tuple(self.shape)}")
        return self.array.item()

    def tolist(self):
        """The elements as Python numbers in nested lists; of a 0-d tensor the number."""
        return self.array.tolist()

    def clone(self, memory_format=None):
        """A copy, on the tape."""
        return shape.clone(self, memory_format)

    def contiguous(self, memory_format=None):
        """self, or a copy in C order (or NHWC: memory_format=nnrt.channels_last)."""
        return shape.contiguous(self, memory_format)

    def to(self, *args, dtype=None, device=None, copy=False, non_blocking=False, memory_format=None):
        """Converted to a dtype, device ("cpu") and/or memory format, or to those of another tensor."""
        return convert.to(self, args, dtype, device, copy, memory_format)

    def type(self, dtype=None):
        """The dtype's name; with a dtype, the tensor converted to it."""
        return str(self.dtype) if dtype is None else convert.to(self, (), dtype, None, False)

    def type_as(self, other):
        """Converted to another tensor's dtype."""
        return convert.to(self, (), other.dtype, None, False)

    def float(self):
        """Converted to float32."""
        return convert.to(self, (), np.float32, None, False)

    def double(self):
        """Converted to float64."""
        return convert.to(self, (), np.float64, None, False)

    def long(self):
        """Converted to int64."""
        return convert.to(self, (), np.int64, None, False)

    def int(self):
        """Converted to int32."""
        return convert.to(self, (), np.int32, None, False)

    def bool(self):
        """Converted to bool: what is not 0."""
        return convert.to(self, (), np.bool_, None, False)

    def cpu(self):
        """self: everything is here already."""
        return self

    def new_zeros(self, *size, dtype=None, device=None, requires_grad=False):
        """nnrt.zeros of this dtype."""
        return create.zeros(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_ones(self, *size, dtype=None, device=None, requires_grad=False):
        """nnrt.ones of this dtype."""
        return create.ones(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_full(self, size, fill_value, dtype=None, device=None, requires_grad=False):
        """nnrt.full of this dtype."""
        return create.full(size, fill_value, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_empty(self, *size, dtype=None, device=None, requires_grad=False):
        """nnrt.empty of this dtype."""
        return create.empty(*size, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def new_tensor(self, data, dtype=None, device=None, requires_grad=False):
        """nnrt.tensor of this dtype: a copy of data."""
        return create.tensor(data, dtype=dtype or self.dtype, device=device, requires_grad=requires_grad)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"__array__: {array.dtype} cannot become {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return convert.array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return convert.array_function(function, args, kwargs)

    def __dlpack__(self, **kwargs):
        if self.requires_grad:
            raise BufferError("__dlpack__: a tensor that requires a gradient is not exported; pass tensor.detach()")
        array = self.numpy()
        if min(array.strides, default=0) < 0:  # torch ends the process over them
            raise BufferError("__dlpack__: the tensor's strides are negative, pass a copy: .contiguous()")
        return array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()

    def __bool__(self):
        if self.array.size != 1:
            raise RuntimeError(f"bool: the truth value of a tensor of shape {tuple(self.shape)} is ambiguous; use any() or all()")
        return bool(self.array.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self.array.dtype.kind not in "iub":
            raise TypeError(f"only integer tensors of one element can be an index, this one is {self.dtype}")
        return int(self.item())

    def __format__(self, spec):
        return format(self.item(), spec) if self.array.ndim == 0 and spec else repr(self)

    def __reduce__(self):
        return create.rebuild, (type(self), self.array, self.requires_grad, attributes_of(self))

    def __deepcopy__(self, memo):
        if self.node is not None:
            raise RuntimeError("deepcopy: only leaves can be copied; use clone() or detach() first")
        made = create.rebuild(type(self), self.array.copy(order="K"), self.requires_grad, attributes_of(self))
        if isinstance(self.grad, Tensor):
            made.grad = self.grad.__deepcopy__(memo)
        memo[id(self)] = made
        return made

    def __repr__(self):
        return create.describe(self)


_FIELDS = frozenset(("array", "_grad", "node", "_requires_grad", "version", "hooks"))


def _check_grad(t, value):
    """TypeError or RuntimeError for what cannot be t's gradient."""
    if not isinstance(value, Tensor) and not getattr(value, "is_sparse", False):
        raise TypeError(f"grad: wants a Tensor or None, got {type(value).__name__}")
    if tuple(value.shape) != t.array.shape or value.dtype != t.array.dtype:
        raise RuntimeError(
            f"grad: a gradient of shape {tuple(value.shape)} and dtype {value.dtype} does not fit a tensor of shape "
            f"{t.array.shape} and dtype {t.array.dtype}"
        )


def attributes_of(t):
    """What was assigned to a tensor beside its fields (which plain Python keeps in __dict__ too), or None."""
    return {k: v for k, v in getattr(t, "__dict__", {}).items() if k not in _FIELDS} or None


def wrap(array):
    """A leaf Tensor over an array, which it does not copy."""
    t = Tensor.__new__(Tensor)
    t.array = array
    t._grad = None
    t.node = None
    t._requires_grad = False
    t.version = None
    t.hooks = None
    return t


def view_of(base, array):
    """A leaf Tensor over a view of base's memory: the two share one version counter."""
    t = wrap(array)
    if base.version is None:
        base.version = Version()
    t.version = base.version
    return t


def _augmented(name, x, other, op):
    """x op= other: in x's memory, or on the tape with the result's memory and place, which views of x do not follow."""
    if inplace.free(name, x, other):
        return getattr(inplace, name)(x, other)
    return inplace.become(name, x, op(x, other))


def bump(t):
    """Notes a change in place; returns t."""
    if t.version is not None:
        t.version.value += 1
    return t


def unchanged(tensors, arrays, versions):
    """Whether tensors (or None) still are these arrays in these versions, and numpy has not been lent any."""
    for i in range(len(tensors)):
        t = tensors[i]
        if t is None:
            if arrays[i] is not None:
                return False
            continue
        if t.array is not arrays[i]:
            return False
        version = t.version
        if version is None or version.lent or version.value != versions[i]:
            return False
    return True


# The operators above need the ops, which need Tensor: hence the imports after the class.
from . import _methods, autograd  # noqa: E402
from .ops import binary, compare, convert, create, elementwise, index, inplace, linear, parts, shape, unary  # noqa: E402

# Bound here, where the compiler finds them at once.
_backward = autograd.backward
_add, _sub, _mul, _div, _matmul = elementwise.add, elementwise.sub, elementwise.mul, elementwise.div, linear.matmul

_methods.add_to(Tensor)
