"""Indexing: agreement with numpy, in-place assignment, determinism, sparse gradients, errors."""

import itertools

import numpy as np
import pytest

import nnrt
from nnrt import config, registry
from nnrt.ops.embedding import embedding, embedding_bag
from nnrt.ops.masks import one_hot
from nnrt.sparse import SparseRows


def counted(*shape):
    return nnrt.tensor(np.arange(np.prod(shape), dtype=np.float32).reshape(shape))


PARTS = [
    0,
    -1,
    slice(None),
    slice(1, None),
    slice(None, None, 2),
    None,
    [0, 1, 1],
    np.array([[1], [0]]),
    [True, False],
]


@pytest.mark.parametrize("key", list(itertools.product(PARTS, repeat=2)), ids=repr)
def test_getitem_and_setitem_agree_with_torch(key, torch):
    x = np.arange(24.0).reshape(2, 3, 4)
    theirs = torch.from_numpy(x.copy()).requires_grad_()
    ours = nnrt.tensor(x, requires_grad=True)
    torch_key = tuple(torch.tensor(k) if isinstance(k, (list, np.ndarray)) else k for k in key)
    try:
        want = theirs[torch_key]
    except IndexError:
        with pytest.raises(IndexError, match="getitem"):
            ours[key]
        return
    got = ours[key]
    np.testing.assert_array_equal(got.detach().numpy(), want.detach().numpy())
    (got * got).sum().backward()
    (want * want).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy())
    with torch.no_grad(), nnrt.no_grad():
        theirs[torch_key] = 7.5
        ours[key] = 7.5
    np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())


def test_gradient_of_a_slice_lies_as_its_base():
    x = nnrt.tensor(np.ones((2, 4, 3, 3), np.float32).transpose(0, 3, 1, 2), requires_grad=True)
    seen = []
    y = x * 1
    y.register_hook(seen.append)
    y[:, 1:, ::2].sum().backward()
    assert seen[0].array.strides == y.array.strides
    np.testing.assert_array_equal(seen[0].array[:, 1:, ::2], 1)
    assert seen[0].array.sum() == 2 * 2 * 2 * 3


def test_setitem_broadcasts_converts_and_counts_a_version():
    x = counted(3, 4)
    x[1] = nnrt.tensor([1, 2, 3, 4])
    x[:, 0] = 9
    x[x > 8] = -1.0
    x[[0, 2], 1] = nnrt.tensor([5.0, 6.0])
    assert x.tolist() == [[-1, 5, 2, 3], [-1, 2, 3, 4], [-1, 6, -1, -1]]
    assert x._version == 0 or x._version == 4
    i = nnrt.tensor([1, 2])
    i[0] = 1.9
    assert i.tolist() == [1, 2]
    x[..., -1] += 1
    assert x[0, -1].item() == 4


def test_a_leaf_takes_no_setitem_on_the_tape():
    x = nnrt.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="setitem: a leaf that requires a gradient"):
        x[0] = 1.0
    with nnrt.no_grad():
        x[0] = 4.0
    assert x.tolist() == [4, 1, 1]


ERRORS = [
    (lambda x: x[5], IndexError, r"getitem: index 5 is out of bounds.*\(3, 4\)"),
    (lambda x: x[0, 0, 0], IndexError, "getitem: .*too many"),
    (lambda x: x[1.5], IndexError, "not float"),
    (lambda x: x[nnrt.tensor([0.5])], IndexError, "must hold ints or bools, this one is float32"),
    (
        lambda x: x[[0, 7]],
        IndexError,
        r"getitem: index 7 at position \(1,\) is out of range for dim 0 of size 3",
    ),
    (lambda x: x[nnrt.tensor([True, False])], IndexError, "getitem"),
    (lambda x: x[..., ..., 0], IndexError, r"getitem: each ellipsis \(...\) stands for 1 axes, which leaves none"),
    (lambda x: x[..., [0], ..., None], IndexError, "getitem: each ellipsis"),
    (lambda x: x[0, 0, ..., 0, ...], IndexError, "3 indices are too many"),
    (
        lambda x: x[nnrt.tensor([1], dtype=nnrt.uint8)],
        IndexError,
        "uint8 index could mean a mask or positions",
    ),
    (
        lambda x: x.gather(0, nnrt.tensor([[3, 0]])),
        IndexError,
        r"gather: index 3 at position \(0, 0\).*size 3",
    ),
    (lambda x: x.gather(0, nnrt.tensor([[-1]])), IndexError, "gather: index -1"),
    (
        lambda x: x.gather(0, nnrt.tensor([[0] * 5])),
        RuntimeError,
        r"gather: index of shape \(1, 5\) is larger",
    ),
    (lambda x: x.gather(0, nnrt.tensor([0, 1])), RuntimeError, "as many axes"),
    (lambda x: x.gather(0, nnrt.tensor([[0.0]])), RuntimeError, "gather: index must be of an integer dtype"),
    (lambda x: x.gather(2, nnrt.tensor([[0]])), IndexError, "gather: dim 2"),
    (lambda x: x.index_select(1, nnrt.tensor([4])), IndexError, "index_select: index 4 .* dim 1 of size 4"),
    (lambda x: x.index_select(0, nnrt.tensor([[0]])), IndexError, "must be 1-d"),
    (lambda x: x.take(nnrt.tensor([12])), IndexError, "take: index 12"),
    (lambda x: x.scatter(0, nnrt.tensor([[3]]), 1.0), IndexError, "scatter: index 3"),
    (lambda x: x.scatter(0, nnrt.tensor([[0, 1]]), nnrt.ones(1, 1)), RuntimeError, "does not lie within src"),
    (
        lambda x: x.scatter(0, nnrt.tensor([[0]]), nnrt.ones(1, 1).double()),
        RuntimeError,
        "float32 but src float64",
    ),
    (lambda x: x.scatter(0, nnrt.tensor([[0]])), RuntimeError, "either src or value"),
    (
        lambda x: x.scatter_reduce(0, nnrt.tensor([[0]]), nnrt.ones(1, 1), "max"),
        RuntimeError,
        "reduce must be one of",
    ),
    (
        lambda x: x.index_add(0, nnrt.tensor([0]), nnrt.ones(2, 4)),
        RuntimeError,
        r"index_add: source of shape \(2, 4\)",
    ),
    (lambda x: x.index_fill(0, nnrt.tensor([3]), 1.0), IndexError, "index_fill: index 3"),
    (lambda x: x.masked_fill(nnrt.ones(4), 1.0), RuntimeError, "masked_fill: mask must be bool, got float32"),
    (lambda x: x.masked_fill(x > 0, nnrt.ones(2)), RuntimeError, "0-d tensor"),
    (lambda x: x.masked_select(nnrt.ones(5) > 0), RuntimeError, "do not broadcast"),
    (lambda x: x.masked_scatter(x >= 0, nnrt.ones(3)), RuntimeError, "12 True but source only 3"),
    (
        lambda x: embedding(nnrt.tensor([[0, 3]]), x),
        IndexError,
        r"embedding: index 3 at position \(0, 1\).*size 3",
    ),
    (lambda x: embedding(nnrt.tensor([0.0]), x), RuntimeError, "integer dtype"),
    (lambda x: embedding(nnrt.tensor([0]), x, padding_idx=3), IndexError, "padding_idx 3"),
    (lambda x: embedding_bag(nnrt.tensor([0]), x), ValueError, "with offsets"),
    (lambda x: embedding_bag(nnrt.tensor([0, 1]), x, nnrt.tensor([1])), ValueError, "rise from 0"),
    (lambda x: embedding_bag(nnrt.tensor([[0]]), x, mode="min"), ValueError, "mode must be"),
    (lambda x: one_hot(nnrt.tensor([3]), 2), RuntimeError, "index 3"),
    (lambda x: one_hot(nnrt.tensor([-1])), RuntimeError, "num_classes"),
    (lambda x: nnrt.searchsorted(x, nnrt.ones(2, 2)), RuntimeError, "differ before the last axis"),
]


@pytest.mark.parametrize("call, error, text", ERRORS, ids=[e[2][:30] for e in ERRORS])
def test_errors_name_op_index_position_and_size(call, error, text):
    with pytest.raises(error, match=text):
        call(counted(3, 4))


def test_one_hot():
    assert one_hot(nnrt.tensor([[0, 2]])).tolist() == [[[1, 0, 0], [0, 0, 1]]]
    assert one_hot(nnrt.tensor(1), 3).tolist() == [0, 1, 0]
    assert one_hot(nnrt.tensor([], dtype=nnrt.int64), 3).shape == (0, 3)


@pytest.mark.parametrize("backend", registry.available())
def test_gradients_of_repeated_indices_are_the_same_bits_at_any_number_of_threads(backend):
    rng = np.random.default_rng(3)
    index = nnrt.from_numpy(rng.integers(0, 40, 5000))
    dy = nnrt.from_numpy(rng.standard_normal((5000, 70)).astype(np.float32))

    def gradients():
        w = nnrt.zeros(40, 70, requires_grad=True)
        results = []
        for out in (embedding(index, w), w[index], w.gather(0, index[:, None].expand(5000, 70))):
            w.grad = None
            out.backward(dy)
            results.append(w.grad.numpy().copy())
        return results

    with registry.using(backend, "ref"):
        with config.use(num_threads=1):
            one = gradients()
        with config.use(num_threads=4):
            four = gradients()
    for a, b in zip(one, four):
        np.testing.assert_array_equal(a, b)
    exact = np.zeros((40, 70))
    np.add.at(exact, index.numpy(), dy.numpy().astype(np.float64))
    np.testing.assert_array_equal(one[0], exact.astype(np.float32))  # summed in float64, rounded once
    np.testing.assert_array_equal(one[1], one[0])


def test_other_dtypes_are_indexed_too():
    for dtype in (np.int64, np.int8, np.bool_, np.float16):
        a = np.array([[1, 0, 1], [0, 1, 1]], dtype)
        x = nnrt.from_numpy(a)
        np.testing.assert_array_equal(x[[1, 0, 1]].numpy(), a[[1, 0, 1]])
        np.testing.assert_array_equal(x.index_select(1, nnrt.tensor([2, 0])).numpy(), a[:, [2, 0]])
        np.testing.assert_array_equal(
            x.gather(1, nnrt.tensor([[2], [0]])).numpy(), a[[0, 1], [2, 0]][:, None]
        )
    big = nnrt.tensor([2**60 + 1, 0]).index_add(0, nnrt.tensor([0, 1]), nnrt.tensor([1, 2**60 + 3]))
    assert big.tolist() == [2**60 + 2, 2**60 + 3]


def test_embedding_options_agree_with_torch(torch):
    rng = np.random.default_rng(0)
    table, index = rng.standard_normal((6, 3)), rng.integers(0, 6, (4, 5))
    for options in ({"padding_idx": 2}, {"padding_idx": -1}, {"scale_grad_by_freq": True}, {"max_norm": 1.0}):
        ours, theirs = nnrt.tensor(table, requires_grad=True), torch.tensor(table, requires_grad=True)
        y = embedding(nnrt.tensor(index), ours, **options)
        z = torch.nn.functional.embedding(torch.tensor(index), theirs, **options)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
        (y * y).sum().backward()
        (z * z).sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12)
        np.testing.assert_allclose(ours.detach().numpy(), theirs.detach().numpy(), rtol=1e-12)


def test_embedding_bag_padding_agrees_with_torch(torch):
    rng = np.random.default_rng(0)
    table, index = rng.standard_normal((6, 3)), rng.integers(0, 3, (4, 5))
    for mode in ("sum", "mean", "max"):
        ours, theirs = nnrt.tensor(table, requires_grad=True), torch.tensor(table, requires_grad=True)
        y = embedding_bag(nnrt.tensor(index), ours, mode=mode, padding_idx=1)
        z = torch.nn.functional.embedding_bag(torch.tensor(index), theirs, mode=mode, padding_idx=1)
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-12)
        (y * y).sum().backward()
        (z * z).sum().backward()
        np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), rtol=1e-12)


def test_sparse_gradient_equals_the_dense_one_and_accumulates():
    rng = np.random.default_rng(1)
    index = nnrt.from_numpy(rng.integers(0, 50, 30))
    dy = nnrt.from_numpy(rng.standard_normal((30, 4)))
    grads = {}
    for sparse in (False, True):
        w = nnrt.tensor(rng.standard_normal((50, 4)), requires_grad=True)
        for _ in range(2):
            embedding(index, w, padding_idx=3, sparse=sparse).backward(dy)
        grads[sparse] = w.grad
    assert isinstance(grads[True], SparseRows) and grads[True].rows.size < 30
    assert (np.diff(grads[True].rows) > 0).all()
    np.testing.assert_allclose(grads[True].to_dense().numpy(), grads[False].numpy(), rtol=1e-12)


def test_sparse_and_dense_gradients_add_up():
    w = nnrt.ones(5, 2, requires_grad=True)
    (embedding(nnrt.tensor([1, 1]), w, sparse=True).sum() + w.sum()).backward()
    assert w.grad[:, 0].tolist() == [1, 3, 1, 1, 1]
    embedding(nnrt.tensor([4]), w, sparse=True).sum().backward()
    assert w.grad[:, 0].tolist() == [1, 3, 1, 1, 2]


def test_sparse_rows():
    s = SparseRows(np.array([2, 0, 2]), np.array([[1.0], [2.0], [3.0]]), (4, 1))
    c = s.coalesce()
    assert c.rows.tolist() == [0, 2] and c.values.tolist() == [[2], [4]] and c.coalesce() is c
    assert s.to_dense().tolist() == [[2], [0], [4], [0]]
    assert s.added(np.ones((4, 1))).tolist() == [[3], [1], [5], [1]]
    assert s.added(s).to_dense().tolist() == [[4], [0], [8], [0]]
    assert (s * 2).to_dense().tolist() == [[4], [0], [8], [0]]
    assert "3 of 4 rows" in repr(s)
    with pytest.raises(ValueError, match="do not fit"):
        SparseRows(np.array([0]), np.ones((1, 2)), (4, 1))
    with pytest.raises(ValueError, match="cannot add shapes"):
        s.added(np.ones((3, 1)))


def test_sparse_gradients_pass_hooks_and_autograd_grad_as_they_are():
    w = nnrt.ones(4, 2, requires_grad=True)
    index = nnrt.tensor([1, 3, 1])
    total = embedding(index, w, sparse=True).sum()
    (g,) = nnrt.autograd.grad(total, w, retain_graph=True)
    assert isinstance(g, SparseRows) and g.to_dense().tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]
    total.backward(inputs=w, retain_graph=True)
    assert isinstance(w.grad, SparseRows)
    w.grad = None
    w.register_hook(lambda g: g * 3 if isinstance(g, SparseRows) else None)
    total.backward()
    assert w.grad.to_dense().tolist() == [[0, 0], [6, 6], [0, 0], [3, 3]]
    h = w * 1
    h.register_hook(lambda g: g.to_dense())
    w.grad = None
    embedding(index, h, sparse=True).sum().backward()
    assert w.grad.tolist() == [[0, 0], [2, 2], [0, 0], [1, 1]]
