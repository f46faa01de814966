"""Embedding tables: rows read by index, alone or summed up in bags.

    embedding: y[..., :] = W[index[...], :]
    bag:       y[b, :] = sum_{k in bag b} w_k W[index[k], :]   (mean: w_k = 1/|b|; max: by component)

Legend: V rows of the table, D components, N indices, B bags. The gradient of row v is the sum over the
indices that named it, in their order, found by counting sort: the same at any number of threads.
"""

import numpy as np

from .. import memory, registry
from ..autograd import grad_enabled, record, watched
from ..sparse import SparseRows
from ..tensor import Tensor, bump
from .index import check_range, indices_of
from .promotion import check_tensors, not_tensors

K = registry.family("index")


def embedding(
    input, weight, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False
) -> Tensor:
    """The rows of weight [V, D] at the indices in input, of shape (*input.shape, D).

    padding_idx: a row that gets no gradient. max_norm: rows that are used and longer (in norm norm_type)
    are first scaled down to it, in place. scale_grad_by_freq: a row's gradient is divided by how often it
    was used. sparse: the gradient is a SparseRows. IndexError for an index that is out of range.
    """
    if not isinstance(weight, Tensor):
        raise not_tensors("embedding", weight=weight)
    w = weight.array
    if w.ndim != 2:
        raise RuntimeError(f"embedding: weight must be [rows, components], got shape {w.shape}")
    index = memory.contiguous(indices_of("embedding", input))
    check_range("embedding", index, w.shape[0], 0)
    padding_idx = _padding("embedding", padding_idx, w.shape[0])
    rows = index.reshape(-1)
    if max_norm is not None:
        _renormalise(weight, rows, max_norm, norm_type)
    out = memory.empty(index.shape + (w.shape[1],), w.dtype)
    K.take(out.reshape(1, rows.size, w.shape[1]), memory.contiguous(w).reshape(1, *w.shape), rows)
    saved = (rows, w.shape, padding_idx, scale_grad_by_freq, sparse)
    return watched(record(out, embedding_backward, (weight,), saved), input)


def embedding_backward(node, dy):
    """y[n] = W[index[n]]  =>  dW[v] = sum of dy[n] over index[n] = v"""
    rows, size, padding_idx, by_frequency, sparse = node.saved
    dy = memory.contiguous(dy).reshape(rows.size, size[1])
    if sparse:
        return (_sparse_rows(rows, dy, size, padding_idx, by_frequency),)
    order, starts = sorted_rows(rows, size[0])
    dw = memory.empty(size, dy.dtype)
    weights = _by_frequency(starts, dy.dtype) if by_frequency else None
    K.segment_sum(dw.reshape(1, *size), None, weights, dy.reshape(1, *dy.shape), order, starts)
    if padding_idx is not None:
        dw[padding_idx] = 0
    return (dw,)


def sorted_rows(rows, size):
    """(order, starts): the places of each of `size` values in rows, in their order, as segment_sum takes them."""
    order = memory.empty((rows.size,), np.int64)
    starts = memory.empty((size + 1,), np.int64)
    K.counting_sort(order, starts, rows)
    return order, starts


def _by_frequency(starts, dtype):
    """1/n for each of the n uses of a row, in sorted order."""
    counts = np.diff(starts)
    return np.repeat(1.0 / np.maximum(counts, 1), counts).astype(dtype)


def _sparse_rows(rows, dy, size, padding_idx, by_frequency):
    if padding_idx is not None:
        keep = rows != padding_idx
        rows, dy = rows[keep], dy[keep]
    made = SparseRows(rows, dy, size).coalesce()
    if by_frequency:
        made.values /= np.unique(rows, return_counts=True)[1][:, None]
    return made


def _padding(op, padding_idx, size):
    if padding_idx is None:
        return None
    if not -size <= padding_idx < size:
        raise IndexError(f"{op}: padding_idx {padding_idx} is out of range for a table of {size} rows")
    return padding_idx + size if padding_idx < 0 else padding_idx


def _renormalise(weight, rows, max_norm, norm_type):
    used = np.unique(rows)
    w = weight.array
    norms = np.linalg.norm(w[used], norm_type, axis=1)
    long = norms > max_norm
    if long.any():
        w[used[long]] *= (max_norm / (norms[long] + 1e-7))[:, None].astype(w.dtype)
        bump(weight)


def embedding_bag(
    input,
    weight,
    offsets=None,
    max_norm=None,
    norm_type=2.0,
    scale_grad_by_freq=False,
    mode="mean",
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
) -> Tensor:
    """Rows of weight [V, D] reduced bag by bag, [B, D]; mode "sum", "mean" or "max". Empty bags give zeros.

    input: [B, L], a bag per row, or [N] with offsets [B], where each bag starts (include_last_offset: and
    where the last ends; indices after it are in no bag). per_sample_weights (mode "sum"): a factor per index.
    Indices equal to padding_idx count for nothing. max_norm, norm_type, scale_grad_by_freq and sparse are those of
    :func:`embedding`; mode "max" takes neither of the last two. ValueError for offsets that do not rise from 0.
    """
    check_tensors("embedding_bag", weight=weight)
    if per_sample_weights is not None and not isinstance(per_sample_weights, Tensor):
        raise not_tensors("embedding_bag", per_sample_weights=per_sample_weights)
    w = weight.array
    if w.ndim != 2:
        raise RuntimeError(f"embedding_bag: weight must be [rows, components], got shape {w.shape}")
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode must be 'sum', 'mean' or 'max', got {mode!r}")
    index = memory.contiguous(indices_of("embedding_bag", input))
    starts = _bag_starts(index, offsets, include_last_offset)
    check_range("embedding_bag", index, w.shape[0], 0)
    used = starts[-1]  # less than all with include_last_offset
    psw = per_sample_weights
    if psw is not None:
        if mode != "sum":
            raise NotImplementedError(f"embedding_bag: per_sample_weights need mode='sum', got {mode!r}")
        if psw.array.shape != index.shape or psw.array.dtype != w.dtype:
            raise ValueError(
                f"embedding_bag: per_sample_weights {psw.array.dtype} {psw.array.shape} must match weight's "
                f"{w.dtype} and input's shape {index.shape}"
            )
    if mode == "max" and (scale_grad_by_freq or sparse):
        raise ValueError("embedding_bag: mode 'max' takes neither scale_grad_by_freq nor sparse")
    padding_idx = _padding("embedding_bag", padding_idx, w.shape[0])
    rows = index.reshape(-1)[:used]
    factors = None if psw is None else memory.contiguous(psw.array).reshape(-1)[:used]
    if max_norm is not None:
        _renormalise(weight, rows, max_norm, norm_type)
    kept = None
    if padding_idx is not None:
        kept = np.flatnonzero(rows != padding_idx)
        starts = np.searchsorted(kept, starts)
        rows = rows[kept]
        factors = None if factors is None else factors[kept]
    if mode == "max":
        return _max_bags(weight, rows, starts)
    counts = np.diff(starts)
    if mode == "mean":
        factors = np.repeat(1.0 / np.maximum(counts, 1), counts).astype(w.dtype)
    out = memory.empty((starts.size - 1, w.shape[1]), w.dtype)
    table = memory.contiguous(w).reshape(1, *w.shape)
    K.segment_sum(out.reshape(1, *out.shape), None, factors, table, rows, starts)
    differentiated = psw is not None and psw.requires_grad and grad_enabled()
    saved = (
        rows,
        starts,
        factors,
        w.shape,
        scale_grad_by_freq,
        sparse,
        weight if differentiated else None,
        kept,
        index.shape,
    )
    return watched(record(out, embedding_bag_backward, (weight, psw), saved), input, psw)


def embedding_bag_backward(node, dy):
    """y[b] = sum_k w_k W[index[k]]  =>  dW[v] = sum of w_k dy[bag of k] over index[k] = v;
    dw_k = W[index[k]] . dy[bag of k]"""
    rows, starts, factors, size, by_frequency, sparse, w, kept, index_size = node.saved
    dy = memory.contiguous(dy)
    bag = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    dw = dfactors = None
    if node.needs(0):
        if sparse:
            values = dy[bag] if factors is None else dy[bag] * factors[:, None]
            dw = _sparse_rows(rows, values, size, None, by_frequency)
        else:
            order, places = sorted_rows(rows, size[0])
            scale = None if factors is None else factors[order]
            if by_frequency:
                often = _by_frequency(places, dy.dtype)
                scale = often if scale is None else scale * often
            dw = memory.empty(size, dy.dtype)
            K.segment_sum(dw.reshape(1, *size), None, scale, dy.reshape(1, *dy.shape), bag[order], places)
    if node.needs(1):
        products = np.einsum("nd,nd->n", w[rows], dy[bag])
        count = int(np.prod(index_size))
        if products.size < count:
            products, found = memory.zeros((count,), dy.dtype), products
            products[slice(found.size) if kept is None else kept] = found
        dfactors = products.reshape(index_size)
    return dw, dfactors


def _bag_starts(index, offsets, include_last_offset):
    """Where each bag starts among the flattened indices, and at the end their number."""
    if index.ndim == 2:
        if offsets is not None:
            raise ValueError(f"embedding_bag: offsets are for a 1-d input; this one has shape {index.shape}")
        return np.arange(index.shape[0] + 1) * index.shape[1]
    if index.ndim != 1 or offsets is None:
        raise ValueError(f"embedding_bag: wants input [B, L], or [N] with offsets; got shape {index.shape}")
    starts = indices_of("embedding_bag", offsets)
    if starts.ndim != 1:
        raise ValueError(f"embedding_bag: offsets must be 1-d, got shape {starts.shape}")
    if include_last_offset and not starts.size:
        raise ValueError("embedding_bag: include_last_offset needs at least one offset")
    if starts.size and (starts[0] != 0 or (np.diff(starts) < 0).any() or starts[-1] > index.size):
        raise ValueError(f"embedding_bag: offsets must rise from 0 to at most {index.size}, got {starts}")
    ends = starts[-1:] if include_last_offset else [index.size]
    return np.concatenate([starts[:-1] if include_last_offset else starts, ends]).astype(np.int64)


def _max_bags(weight, rows, starts):
    w = weight.array
    out = memory.zeros((starts.size - 1, w.shape[1]), w.dtype)
    source = memory.empty(out.shape, np.int64)  # which row each maximum came from; -1 in empty bags
    source.fill(-1)
    full = np.flatnonzero(np.diff(starts))
    if full.size:
        read = w[rows]
        out[full] = np.maximum.reduceat(read, starts[full], axis=0)
        bag = np.repeat(np.arange(starts.size - 1), np.diff(starts))
        places = np.where(read == out[bag], np.arange(rows.size)[:, None], rows.size)
        first = np.minimum.reduceat(places, starts[full], axis=0)
        source[full] = rows[np.minimum(first, rows.size - 1)]
    return record(out, embedding_bag_max_backward, (weight,), (source, w.shape))


def embedding_bag_max_backward(node, dy):
    """y[b, d] = max_k W[index[k], d]  =>  dW[v, d] = sum of dy[b, d] over bags whose first maximum is v"""
    source, size = node.saved
    valid = source >= 0
    columns = np.broadcast_to(np.arange(size[1]), source.shape)
    flat = np.zeros(size[0] * size[1], dy.dtype)
    np.add.at(flat, (source * size[1] + columns)[valid], dy[valid])
    return (flat.reshape(size),)
