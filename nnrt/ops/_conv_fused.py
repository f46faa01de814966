"""Convolutions together with what follows them, without a gradient, for calls that repeat.

Compiled where the extension is: of one image, a convolution takes as long as plain Python around it.
"""

from ..autograd import grad_enabled, on_tape, version_of
from ..memory import alike, as_nchw, channels_last, empty
from ..tensor import Tensor, unchanged, wrap
from . import _conv_products, _layout
from ._folded import Folded
from ._geometry import conv_geometry, ints
from ._packed import cell_of
from .conv import arrays_of, refuse_gradient, residual_of

_NOTHING = None, (), (), None, None, None, None, None, 0, ()


class Fused:
    """act(norm(conv(x)) + residual) without a gradient: what has passed the checks once passes again."""

    def __init__(self, stride, padding, dilation, groups):
        self.options = *[v if isinstance(v, str) else ints("fused", "an option", v) for v in (stride, padding, dilation)], groups
        # A tuple, which threads replace at once: x's shape, arrays and versions of `given`, activation, eps, settings and
        # back-ends, the product bound to its filter, the shape of its result, its axes, `given`.
        self.known = _NOTHING
        self.folded = None

    def run(self, x, given, activation, residual=None, eps=0.0):
        """given: weight and bias (or None); with a batch norm also its weight, bias, running mean and variance.

        None is returned where norm and convolution do not fit.
        """
        a = x.array
        shape, arrays, marks, act, epsilon, settings, product, y_shape, ndim, _ = self.known
        if (
            product is None or settings is not _conv_products.bound or shape != a.shape or act != activation
            or epsilon != eps or len(arrays) != len(given) or not unchanged(given, arrays, marks)
            or a.dtype is not arrays[0].dtype
        ):  # fmt: skip
            return self._first(x, given, activation, residual, eps)
        if grad_enabled() and on_tape((x, residual, *given)):
            raise refuse_gradient()
        return _applied(product, a, residual, y_shape, ndim)

    def _first(self, x, given, activation, residual, eps):
        """run where something is not as it was. The product is kept with its filter: folded, or met a second time."""
        a, settings = x.array, _conv_products.bound
        weight, bias = given[:2]
        if len(given) == 2:
            marks = tuple([None if t is None else version_of(t).value for t in given])
            w, b = arrays = tuple([None if t is None else t.array for t in given])
            known = self.known
            cell, kept = cell_of(weight), len(known[1]) == 2 and unchanged(given, known[1], known[2])
        else:
            cell = self.folded
            if cell is None or not cell.holds(given, eps):
                cell = self.folded = Folded(given, eps)
            arrays, marks, w, b, kept = cell.arrays, cell.marks, cell.arrays[0], cell.bias, True
            if b is None:
                return None
        if on_tape((x, residual, *given)):
            raise refuse_gradient()
        dims = w.ndim - 2
        op = f"conv{dims}d"
        b = arrays_of(op, x, weight, None if b is None else wrap(b))[2]
        batched = a.ndim != dims + 1
        g = conv_geometry(op, dims, a.shape, w.shape, None if b is None else b.shape, *self.options)
        product = _conv_products.bind(g, w.dtype, False)(w, cell, b, activation)
        if batched and cell is not None:
            self.known = a.shape, arrays, marks, activation, eps, settings, product if kept else None, g.y, w.ndim, given
        if batched:
            return _applied(product, a, residual, g.y, w.ndim)
        residual = None if residual is None else wrap(residual.array[None])
        return wrap(_applied(product, a[None], residual, g.y, w.ndim).array[0])

    def __reduce__(self):  # copies know nothing yet
        return Fused, self.options


def again(known, x, mark):
    """What convolutions in a row make of x, by what `nn.fused.Row` keeps of them; None where anything is not as it was then.

    mark: the same as then if no module has changed since.
    """
    if known is None or grad_enabled() or not isinstance(x, Tensor):
        return None
    then, settings, shape, given, arrays, marks, products, shapes, ndim = known
    a, dtype = x.array, arrays[0].dtype
    if (
        then != mark or settings is not _conv_products.bound or a.shape != shape or a.dtype is not dtype
        or not unchanged(given, arrays, marks)
    ):  # fmt: skip
        return None
    view = channels_last(a)
    a = _layout.channels_last(a) if view is None else view
    for i in range(len(products)):
        y = empty(shapes[i], dtype)
        products[i](y, a, None)
        a = y
    return wrap(as_nchw(a, ndim))


def _applied(product, a, residual, y_shape, ndim):
    y = empty(y_shape, a.dtype)
    out = as_nchw(y, ndim)
    r = None
    if residual is not None:
        r = channels_last(residual.array) if alike(residual.array, out) else None
        if r is None:
            r = residual_of("fused", residual, out, True)
    x = channels_last(a)
    product(y, _layout.channels_last(a) if x is None else x, r)
    return wrap(out)
