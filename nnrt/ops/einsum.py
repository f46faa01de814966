"""Tensor contractions, reduced to batched matrix products.

A pair of operands is brought to [batch, left, sum] and [batch, sum, right]: axes in both and
in the result are batch, axes in both and not in the result are summed, the others are left or
right. The gradient is that of the permutations, reshapes and the product.
"""

import math
from functools import lru_cache

import numpy as np

from ..tensor import Tensor
from .elementwise import mul
from .linear import matmul
from .parts import diagonal
from .promotion import as_tensor, cast, check_tensors
from .promotion import operands as in_common
from .reduce import sum as total
from .shape import expand, permute, reshape


def einsum(equation, *operands) -> Tensor:
    """Sums of products over named axes: einsum("bik,bkj->bij", a, b).

    As torch's and numpy's: an ellipsis stands for broadcast axes, a name twice in one operand is
    its diagonal, without "->" the result has the names that occur once, in alphabetical order.
    Several operands are contracted pair by pair along numpy's greedy path. Instead of letters, lists of numbers (0 to 25
    for A to Z, then a to z) and ... may follow every operand, with the result's at the end:
    einsum(a, [0, 1, 2], b, [0, 2, 3], [0, 1, 3]). Raises ValueError for a malformed equation, RuntimeError for sizes that
    do not fit.
    """
    if isinstance(equation, (Tensor, np.ndarray)):
        equation, operands = _from_numbers(equation, *operands)
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not isinstance(equation, str):
        raise TypeError(f"einsum: equation must be a string such as 'bik,bkj->bij', got {type(equation).__name__}")
    operands = [as_tensor("einsum", x, "operands") for x in operands]
    return _run(_plan(equation, tuple([x.array.shape for x in operands])), *operands)


def _run(plan, *operands):
    """The last value of a plan: steps (function, which values it takes and uses up, further arguments)."""
    values = dict(enumerate(operands))
    for at, (function, taken, arguments) in enumerate(plan, len(operands)):
        values[at] = function(*[values.pop(i) for i in taken], *arguments)
    return values.popitem()[1]


class _Plan(list):
    """Steps under way, for operands of known shapes."""

    def __init__(self, shapes):
        self.shapes = list(shapes)

    def step(self, function, taken, arguments, shape):
        """Adds a step whose result has the shape; returns that value's number."""
        self.append((function, taken, arguments))
        self.shapes.append(tuple(shape))
        return len(self.shapes) - 1

    def permuted(self, x, axes):
        shape = self.shapes[x]
        return x if axes == sorted(axes) else self.step(permute, (x,), axes, [shape[i] for i in axes])

    def reshaped(self, x, shape):
        return x if self.shapes[x] == tuple(shape) else self.step(reshape, (x,), (tuple(shape),), shape)


@lru_cache(1024)
def _plan(equation, shapes):
    """The steps of an equation over operands of these shapes."""
    plan = _Plan(shapes)
    terms, result = _parse(equation, shapes)
    sizes = {}
    prepared = []
    for x, names in enumerate(terms):
        position = x
        names, x = _diagonals(plan, names, x)
        for name, size in zip(names, plan.shapes[x]):
            if sizes.get(name, 1) == 1:
                sizes[name] = size
            elif size not in (1, sizes[name]):
                raise RuntimeError(f"einsum: axis {name!r} of operand {position} has size {size}, elsewhere {sizes[name]}")
        prepared.append((names, x))
    # Axes of size 1 that are larger elsewhere broadcast: they take no part in the product.
    prepared = [_without_broadcast(plan, names, x, sizes) for names, x in prepared]
    for chosen in _path(plan, prepared, result, sizes):
        pair = [prepared.pop(i) for i in sorted(chosen, reverse=True)][::-1]
        kept = set(result).union(*(names for names, _ in prepared))
        prepared.append(pair[0] if len(pair) == 1 else _contract(plan, *pair[0], *pair[1], kept))
    names, x = _sum_out(plan, *prepared[0], set(result))
    x = plan.permuted(x, [names.index(n) for n in result if n in names])
    if len(names) < len(result):
        x = plan.reshaped(x, [sizes[n] if n in names else 1 for n in result])
        shape = [sizes[n] for n in result]
        x = plan.step(expand, (x,), (shape,), shape)
    if not plan:
        plan.step(permute, (x,), range(len(names)), shapes[0])  # a view, not the operand itself
    return tuple(plan)


def _from_numbers(*given):
    """(equation, operands) of operands that are each followed by a list of axis numbers, perhaps with the result's at the end."""

    def term(axes):
        letters = ""
        for axis in axes if isinstance(axes, (list, tuple)) else [axes]:
            if axis is Ellipsis:
                letters += "..."
            elif hasattr(axis, "__index__") and 0 <= axis.__index__() < 52:
                letters += chr(ord("A") + axis if axis < 26 else ord("a") + axis - 26)  # order kept
            else:
                raise ValueError(f"einsum: axes must be lists of numbers from 0 to 51 and ..., got {axes!r}")
        return letters

    if len(given) == 1:
        raise ValueError("einsum: wants a list of axes after every operand, got none")
    equation = ",".join([term(axes) for axes in given[1::2]])
    return equation if len(given) % 2 == 0 else equation + "->" + term(given[-1]), given[: len(given) // 2 * 2 : 2]


def _parse(equation, shapes):
    """Lists of axis names per operand and of the result; ellipsis axes get names of their own."""
    equation = equation.replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != len(shapes):
        raise ValueError(f"einsum: {equation!r} names {len(terms)} operands, {len(shapes)} were given")
    wide = 0
    parsed = []
    for position, (term, shape) in enumerate(zip(terms, shapes)):
        names = list(term.replace("...", "\0"))
        bad = [n for n in names if n != "\0" and not (n.isascii() and n.isalpha())]
        if bad or names.count("\0") > 1:
            raise ValueError(f"einsum: {term!r} in {equation!r} is not a list of axis letters")
        extra = len(shape) - len(names) + ("\0" in names)
        if extra < 0 or (extra and "\0" not in names):
            raise ValueError(f"einsum: {term!r} does not fit operand {position} of shape {shape}")
        wide = max(wide, extra if "\0" in names else 0)
        parsed.append((names, extra))
    terms = []
    for names, extra in parsed:
        at = names.index("\0") if "\0" in names else None
        terms.append(names if at is None else names[:at] + list(range(wide - extra, wide)) + names[at + 1 :])
    if arrow:
        result = list(right.replace("...", "\0"))
        if "\0" in result:
            at = result.index("\0")
            result = result[:at] + list(range(wide)) + result[at + 1 :]
    else:
        flat = [n for names in terms for n in names]
        result = list(range(wide)) + sorted(n for n in set(flat) if isinstance(n, str) and flat.count(n) == 1)
    known = {n for names in terms for n in names}
    for n in result:
        if n not in known:
            raise ValueError(f"einsum: {n!r} of the result is in no operand of {equation!r}")
        if result.count(n) > 1:
            raise ValueError(f"einsum: {n!r} stands twice in the result of {equation!r}")
    return terms, result


def _diagonals(plan, names, x):
    """Repeated names within one operand become one axis, the diagonal."""
    names = list(names)
    for name in [n for n in dict.fromkeys(names) if names.count(n) > 1]:
        while names.count(name) > 1:
            first = names.index(name)
            second = names.index(name, first + 1)
            shape = plan.shapes[x]
            if shape[first] != shape[second]:
                raise RuntimeError(f"einsum: repeated axis {name!r} has sizes {shape[first]} and {shape[second]}")
            others = [i for i in range(len(names)) if i not in (first, second)]
            names = [names[i] for i in others] + [name]
            x = plan.step(diagonal, (x,), (0, first, second), [*[shape[i] for i in others], shape[first]])
    return names, x


def _without_broadcast(plan, names, x, sizes):
    shape = plan.shapes[x]
    kept = [i for i, n in enumerate(names) if shape[i] != 1 or sizes[n] == 1]
    return [names[i] for i in kept], plan.reshaped(x, [shape[i] for i in kept])


def _path(plan, prepared, result, sizes):
    """Which operands to contract, step by step."""
    if len(prepared) == 1:
        return []
    if len(prepared) == 2:
        return [(0, 1)]
    code = {n: i for i, n in enumerate(sizes)}
    arguments = []
    for names, x in prepared:
        arguments += [np.broadcast_to(np.float32(0), plan.shapes[x]), [code[n] for n in names]]
    alive = {n for names, _ in prepared for n in names}
    path, _ = np.einsum_path(*arguments, [code[n] for n in result if n in alive], optimize="greedy")
    pairs = all(len(step) == 2 for step in path[1:])
    return path[1:] if pairs else [(0, 1)] * (len(prepared) - 1)


def _sum_out(plan, names, x, kept):
    """Sums over the axes that nothing needs any more."""
    drop = [i for i, n in enumerate(names) if n not in kept]
    if drop:
        x = plan.step(total, (x,), (drop,), [size for i, size in enumerate(plan.shapes[x]) if i not in drop])
    return [n for n in names if n in kept], x


def _contract(plan, names_a, a, names_b, b, kept):
    """The product of two operands with the axes outside `kept` summed."""
    names_a, a = _sum_out(plan, names_a, a, kept | set(names_b))
    names_b, b = _sum_out(plan, names_b, b, kept | set(names_a))
    batch = [n for n in names_a if n in names_b and n in kept]
    summed = [n for n in names_a if n in names_b and n not in kept]
    left = [n for n in names_a if n not in names_b]
    right = [n for n in names_b if n not in names_a]
    if batch and not left and not right:  # many short products of vectors: there is nothing to reuse
        b = plan.permuted(b, [names_b.index(n) for n in names_a])
        axes, shape = [names_a.index(n) for n in summed], [plan.shapes[a][names_a.index(n)] for n in batch]
        return batch, plan.step(_dots, (a, b), (axes,), shape)
    sizes = dict(zip((*names_a, *names_b), plan.shapes[a] + plan.shapes[b]))

    def grouped(x, names, *groups):
        x = plan.permuted(x, [names.index(n) for group in groups for n in group])
        return plan.reshaped(x, [math.prod([sizes[n] for n in group]) for group in groups])

    if batch:
        a, b = grouped(a, names_a, batch, left, summed), grouped(b, names_b, batch, summed, right)
    else:
        a, b = grouped(a, names_a, left, summed), grouped(b, names_b, summed, right)
    names = batch + left + right
    product = plan.step(matmul if summed else _outer, (a, b), (), plan.shapes[a][:-1] + plan.shapes[b][-1:])
    return names, plan.reshaped(product, [sizes[n] for n in names])


def _outer(a, b):
    """a @ b over a sum of one term: an elementwise product, which dtypes may differ for."""
    return matmul(*in_common("einsum", a, b))


def _dots(a, b, axes):
    """Σ a b over the axes, in their dtype."""
    if axes and a.array.dtype != b.array.dtype:
        raise RuntimeError(f"einsum: arguments must have one dtype, got {a.array.dtype} and {b.array.dtype}")
    product = mul(a, b)
    return cast(total(product, axes), product.array.dtype) if axes else product


def tensordot(a, b, dims=2) -> Tensor:
    """Sum over pairs of axes; dims: how many (last of a, first of b), or (axes of a, axes of b)."""
    a, b = as_tensor("tensordot", a, "a"), as_tensor("tensordot", b, "b")
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot: dims must not be negative, got {dims}")
        if dims > min(a.ndim, b.ndim):
            raise RuntimeError(f"tensordot: dims = {dims} for shapes {tuple(a.shape)} and {tuple(b.shape)}")
        dims = (list(range(a.ndim - dims, a.ndim)), list(range(dims)))
    axes_a, axes_b = ([d] if isinstance(d, int) else list(d) for d in dims)
    if len(axes_a) != len(axes_b):
        raise RuntimeError(f"tensordot: {len(axes_a)} axes of a are paired with {len(axes_b)} of b")
    for i, j in zip(axes_a, axes_b):
        if not (-a.ndim <= i < a.ndim and -b.ndim <= j < b.ndim):
            raise IndexError(f"tensordot: axes {i} and {j} for shapes {tuple(a.shape)} and {tuple(b.shape)}")
        if a.shape[i] != b.shape[j]:
            raise RuntimeError(f"tensordot: axis {i} of a has size {a.shape[i]}, axis {j} of b {b.shape[j]}")
    axes_a = tuple([i % a.ndim for i in axes_a])
    axes_b = tuple([j % b.ndim for j in axes_b])
    return _run(_tensordot_plan(a.array.shape, b.array.shape, axes_a, axes_b), a, b)


@lru_cache(1024)
def _tensordot_plan(shape_a, shape_b, axes_a, axes_b):
    names_a = [("a", i) for i in range(len(shape_a))]
    names_b = [("b", j) for j in range(len(shape_b))]
    for i, j in zip(axes_a, axes_b):
        names_b[j] = names_a[i]
    kept = {n for i, n in enumerate(names_a) if i not in axes_a} | {n for j, n in enumerate(names_b) if j not in axes_b}
    plan = _Plan((shape_a, shape_b))
    _contract(plan, names_a, 0, names_b, 1, kept)
    return tuple(plan)


def kron(input, other) -> Tensor:
    """The Kronecker product: every element of input times all of other, as blocks.

    input: [I, J, ...]; other: [K, L, ...], the one with fewer axes gets leading ones of size 1; result: [I K, J L, ...].
    """
    input, other = as_tensor("kron", input), as_tensor("kron", other, "other")
    n = max(input.array.ndim, other.array.ndim)
    a, b = ((1,) * (n - t.array.ndim) + t.array.shape for t in (input, other))
    blocks = mul(
        reshape(input, [size for i in a for size in (i, 1)]), reshape(other, [size for i in b for size in (1, i)])
    )
    return reshape(blocks, [i * j for i, j in zip(a, b)])


def chain_matmul(*matrices) -> Tensor:
    """The product of matrices in the order that multiplies least (Cormen et al., Introduction to Algorithms, 15.2).

    matrices: at least one, [A, B], [B, C], [C, D] ...; RuntimeError for other tensors.
    """
    if not matrices:
        raise RuntimeError("chain_matmul: wants at least one matrix, got none")
    for i, m in enumerate(matrices):
        if not isinstance(m, Tensor) or m.array.ndim != 2:
            raise RuntimeError(f"chain_matmul: wants matrices, got {type(m).__name__}{getattr(m, 'shape', '')} at {i}")
    sizes = [matrices[0].array.shape[0], *(m.array.shape[1] for m in matrices)]
    best = {(i, i): (0, matrices[i]) for i in range(len(matrices))}  # (first, last) -> multiplications, where to cut
    for length in range(1, len(matrices)):
        for i in range(len(matrices) - length):
            j = i + length
            best[i, j] = min(
                (best[i, k][0] + best[k + 1, j][0] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)
            )

    def product(i, j):
        return matrices[i] if i == j else matmul(product(i, best[i, j][1]), product(best[i, j][1] + 1, j))

    return product(0, len(matrices) - 1)


def bilinear(input1, input2, weight, bias=None) -> Tensor:
    """y_o = x1ᵀ W_o x2 + b_o.

    input1: [..., I]; input2: [..., J]; weight: [O, I, J]; bias: [O] or None; result: [..., O].
    """
    check_tensors("bilinear", input1=input1, input2=input2, weight=weight)
    if weight.ndim != 3:
        raise RuntimeError(f"bilinear: weight must be [out, in1, in2], got shape {tuple(weight.shape)}")
    o, i, j = weight.shape
    if input1.shape[:-1] != input2.shape[:-1] or input1.shape[-1:] != (i,) or input2.shape[-1:] != (j,):
        raise RuntimeError(
            f"bilinear: inputs of shapes {tuple(input1.shape)} and {tuple(input2.shape)} do not fit "
            f"weight {tuple(weight.shape)}: "
            f"wanted [..., {i}] and [..., {j}] with equal leading axes"
        )
    if bias is not None and tuple(bias.shape) != (o,):
        raise RuntimeError(f"bilinear: bias must have shape ({o},), got {tuple(bias.shape)}")
    rows = int(np.prod(input1.shape[:-1], dtype=np.int64))
    left = matmul(input1.reshape(rows, i), weight.permute(1, 0, 2).reshape(i, o * j))
    y = matmul(left.reshape(rows, o, j), input2.reshape(rows, j, 1)).reshape(*input1.shape[:-1], o)
    return y if bias is None else y + bias
