"""Corners that a search against torch found wrong once: axes without size, no axes, wrap-around, infinities.

The expected values are torch's, written out.
"""

import warnings

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F

INF = float("inf")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("op", [lambda x: nnrt.flip(x, (0,)), lambda x: x.nansum(), lambda x: x.nanmean(), lambda x: x.prod(0)])
def test_the_gradient_of_a_number_is_a_tensor(op, dtype):
    x = nnrt.tensor(np.array(3.0, dtype), requires_grad=True)
    op(x).backward()
    assert isinstance(x.grad, nnrt.Tensor) and x.grad.item() == 1 and x.grad.dtype == dtype
    y = nnrt.tensor(np.array(3.0, dtype), requires_grad=True)
    op(y * 2).backward()
    assert y.grad.item() == 2


def test_numbers_are_counted():
    assert nnrt.count_nonzero(nnrt.tensor(3.0)).item() == 1 and nnrt.count_nonzero(nnrt.tensor(0)).item() == 0


@pytest.mark.parametrize(
    "a, b, shape",
    [
        ((0,), (2, 0, 5), (2, 5)), ((2, 1, 5, 0), (0,), (2, 1, 5)), ((3, 17, 0), (0, 2), (3, 17, 2)),
        ((8, 0), (2, 1, 0, 1), (2, 1, 8, 1)),
    ],
)  # fmt: skip
def test_products_of_nothing(a, b, shape):
    x, y = nnrt.ones(a, requires_grad=True), nnrt.ones(b, requires_grad=True)
    z = x @ y
    assert z.shape == shape and not z.detach().numpy().any()
    z.sum().backward()
    assert x.grad.shape == a and y.grad.shape == b


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 4, 3)])
def test_a_layer_without_outputs(shape):
    x, w, b = nnrt.ones(shape, requires_grad=True), nnrt.ones(0, 3, requires_grad=True), nnrt.ones(0, requires_grad=True)
    y = F.linear(x, w, b)
    assert y.shape == (*shape[:-1], 0)
    y.sum().backward()
    assert x.grad.shape == shape and not x.grad.numpy().any() and w.grad.shape == (0, 3) and b.grad.shape == (0,)


def test_a_number_does_not_wrap_around_before_it_is_divided():
    x = nnrt.tensor([3, 2, 0], dtype=nnrt.uint8)
    assert (x / -1).tolist() == [-3, -2, 0]
    assert (-1 / x).tolist() == pytest.approx([-1 / 3, -0.5, -INF])
    assert (x + -1).tolist() == [2, 1, 255]


def test_a_number_wraps_around_when_it_is_stored():
    x = nnrt.zeros(3, dtype=nnrt.uint8)
    x[0], x[1:] = -1, 258
    assert x.tolist() == [255, 2, 2]


def test_nothing_is_divided_by_zero():
    for dtype in (nnrt.int64, nnrt.uint8):
        x, zero = nnrt.zeros(0, 2, dtype=dtype), nnrt.zeros(2, dtype=dtype)
        assert (x % zero).shape == (x // zero).shape == (0, 2)
        with pytest.raises(RuntimeError, match="division by zero"):
            zero % zero


@pytest.mark.parametrize("dtype", [nnrt.int32, nnrt.uint8, nnrt.int64, nnrt.float64])
def test_a_sum_has_the_dtype_asked_for(dtype):
    for x in (nnrt.tensor([100, 100, 100]), nnrt.ones(3, dtype=nnrt.bool) * 100):
        total = x.sum(dtype=dtype)
        assert total.dtype == dtype and total.item() == (44 if dtype == nnrt.uint8 else 300)
        assert x.sum(0, keepdim=True, dtype=dtype).dtype == dtype


def test_bools_are_close_when_equal():
    a, b = nnrt.tensor([True, False]), nnrt.tensor([True, True])
    assert nnrt.isclose(a, b).tolist() == [True, False] and not nnrt.allclose(a, b) and nnrt.allclose(a, a)


def test_bools_have_a_least_and_a_largest():
    x, source = nnrt.tensor([True, True, False]), nnrt.tensor([False, True, True])
    index = nnrt.tensor([0, 0, 2])
    for reduce, want in (("amin", [False, True, True]), ("amax", [True, True, True])):
        assert x.scatter_reduce(0, index, source, reduce, include_self=False).tolist() == want


def test_equal_sections_are_equal():
    x = nnrt.arange(12).reshape(2, 6)
    assert [tuple(p.shape) for p in nnrt.hsplit(x, 3)] == [(2, 2)] * 3
    assert [tuple(p.shape) for p in nnrt.hsplit(x, [1, 4])] == [(2, 1), (2, 3), (2, 2)]
    for split, shape in ((nnrt.hsplit, (2, 5)), (nnrt.vsplit, (5, 2)), (nnrt.dsplit, (1, 1, 5))):
        with pytest.raises(RuntimeError, match=f"{split.__name__}: dim . of shape .* cannot be cut into 2 equal sections"):
            split(nnrt.zeros(shape), 2)


def test_the_mean_of_weighted_huber_losses_is_one_over_elements():
    x, weight = nnrt.tensor([0.5, 3.0]), nnrt.tensor([2.0, 4.0])
    zero = nnrt.zeros(2)
    assert F.huber_loss(x, zero, weight=weight).item() == pytest.approx((2 * 0.125 + 4 * 2.5) / 2)
    assert F.mse_loss(x, zero, weight=weight).item() == pytest.approx((2 * 0.25 + 4 * 9) / 6)


def test_hinges_leave_the_other_side_out():
    x, target = nnrt.tensor([INF, -INF, 2.0]), nnrt.tensor([-1.0, 1.0, -1.0])
    assert F.hinge_embedding_loss(x, target, reduction="none").tolist() == [0, -INF, 0]


def test_every_nan_is_distinct():
    x = nnrt.tensor([1.0, float("nan"), 1.0, float("nan")])
    values, inverse, counts = x.unique(return_inverse=True, return_counts=True)
    assert str(values.tolist()) == str(x.unique().tolist()) == "[1.0, nan, nan]"
    assert sorted(inverse.tolist()) == [0, 0, 1, 2] and counts.tolist() == [2, 1, 1]


def test_activations_of_infinity_warn_nobody():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for op in (F.gelu, F.silu, F.mish, F.elu, F.softplus, F.hardswish, F.softsign, F.tanhshrink, F.logsigmoid, nnrt.erf):
            x = nnrt.tensor([INF, -INF, float("nan")], requires_grad=True)
            op(x).sum().backward()


@pytest.mark.parametrize("shape", [(), (1,)])
def test_the_slope_of_a_number(shape):
    x, w = nnrt.tensor(-2.0, requires_grad=True), nnrt.full(shape, 0.25, requires_grad=True)
    y = F.prelu(x, w)
    y.backward()
    assert y.item() == -0.5 and x.grad.item() == 0.25 and w.grad.shape == shape and w.grad.item() == -2


def test_the_first_of_no_element():
    with pytest.raises(RuntimeError, match="topk: k must be"):
        nnrt.topk(nnrt.tensor(1.0), 0)


def test_operators_in_place_change_what_others_see():
    import operator as op

    for change, x, other, want in [
        (op.ifloordiv, [7, -7], 2, [3, -4]), (op.imod, [7, -7], 4, [3, 1]), (op.ipow, [2, 3], 2, [4, 9]),
        (op.iand, [6, 5], 3, [2, 1]), (op.ior, [6, 5], 1, [7, 5]), (op.ixor, [6, 5], 7, [1, 2]),
        (op.ilshift, [1, 3], 2, [4, 12]), (op.irshift, [4, 13], 2, [1, 3]),
    ]:  # fmt: skip
        t = nnrt.tensor(x)
        view = t.view(2)
        assert change(t, other) is t and view.tolist() == want
    assert (1 << nnrt.tensor([1, 3])).tolist() == [2, 8] and (16 >> nnrt.tensor([1, 3])).tolist() == [8, 2]
    x = nnrt.ones(2, requires_grad=True)
    y = x * 3
    y **= 2
    y.sum().backward()
    assert x.grad.tolist() == [18, 18]


def test_cosine_similarity_repeats_what_has_size_1_along_dim():
    x, y = nnrt.ones(1, 2, 3), nnrt.ones(2, 1, 3)
    assert nnrt.allclose(F.cosine_similarity(x, y, dim=-2), nnrt.ones(2, 3))
    assert nnrt.allclose(F.cosine_similarity(nnrt.ones(2, 3), nnrt.ones(3), dim=1), nnrt.ones(2))
    assert F.cosine_similarity(nnrt.tensor([[0.2, 1.4]]), nnrt.tensor([0.2, -0.1]), dim=-2).tolist() == pytest.approx([1, -1])


def test_unsigned_numbers_wrap_around():
    x = nnrt.tensor([5, 7], dtype=nnrt.uint8)
    assert nnrt.sub(x, x, alpha=2).tolist() == [251, 249] and nnrt.add(x, x, alpha=-1).tolist() == [0, 0]
    assert nnrt.full_like(x, -9).tolist() == [247, 247]
    assert x.index_add(0, nnrt.tensor([0]), x[:1], alpha=-1).tolist() == [0, 7]


def test_integer_ranges_drop_fractions_first():
    assert nnrt.arange(3.1, dtype=nnrt.int64).tolist() == [0, 1, 2]
    assert nnrt.arange(3.1, dtype=nnrt.int32).tolist() == [0, 1, 2, 3]
    assert nnrt.arange(0.1, -7.9, -4.0, dtype=nnrt.int64).tolist() == [0, -4]
    assert nnrt.linspace(4.3, 0, 3, dtype=nnrt.int64).tolist() == [4, 2, 0]


def test_keywords_that_torch_has():
    x = nnrt.arange(4.0).reshape(2, 2)
    assert x.flip(dims=(0, 1)).tolist() == [[3, 2], [1, 0]]
    assert x.new_zeros(1, device=x.device).tolist() == [0] and x.new_full((1,), 3, device="cpu").tolist() == [3]
    assert nnrt.cdist(x, x, 2.0, "use_mm_for_euclid_dist").diagonal().tolist() == [0, 0]
    assert [t.shape for t in nnrt.atleast_2d(nnrt.tensor(1.0), x)] == [(1, 1), (2, 2)]


def test_numbers_through_losses_and_dropout():
    assert F.alpha_dropout(nnrt.tensor(1.0), 0.5).shape == ()
    x = nnrt.ones(3)
    assert F.cosine_embedding_loss(x, x, nnrt.tensor(-1.0), reduction="none").item() == pytest.approx(1)
    loss = nnrt.nn.GaussianNLLLoss()(nnrt.zeros(4, 3), nnrt.zeros(4, 3), nnrt.ones(1, 3))
    assert loss.item() == 0


def test_indices_of_numbers():
    assert nnrt.gather(nnrt.tensor(3.0), 0, nnrt.tensor([0])).shape == (1,)
    assert nnrt.take_along_dim(nnrt.arange(6.0).reshape(2, 3), nnrt.tensor([[-1], [0]]), 1).tolist() == [[2], [3]]
    x = nnrt.zeros(2, 2)
    x[True, 1, 0] = 5
    x[0, False, 0] = 7
    assert x.tolist() == [[0, 0], [5, 0]]


@pytest.mark.parametrize("op", [nnrt.logaddexp, nnrt.logaddexp2])
def test_equal_logarithms_share_the_gradient_however_large(op):
    x = nnrt.tensor([1.0, 2.0**25, -1e30, INF, -INF, 3e4], requires_grad=True)
    y = x.detach().requires_grad_()
    op(x, y).sum().backward()
    assert x.grad.tolist() == y.grad.tolist() == [0.5] * 6


def test_a_remainders_gradient_counts_what_was_taken_away():
    # 7 / 0.1 in float32 rounds to 70, but 69 times 0.1 have gone into it
    a, b = nnrt.tensor([7.0, -0.3, 1.0]), nnrt.tensor([0.1, 0.1, 0.1], requires_grad=True)
    y = nnrt.remainder(a, b)
    y.sum().backward()
    assert b.grad.tolist() == [-69, 4, -9] and nnrt.allclose(a + b * b.grad, y, atol=1e-6)


def test_bounds_at_infinity():
    x, lo = nnrt.tensor([1.0, INF, -INF], requires_grad=True), nnrt.full((3,), INF, requires_grad=True)
    nnrt.clamp_min(x, lo).sum().backward()
    assert x.grad.tolist() == [0, 1, 0] and lo.grad.tolist() == [1, 0, 1]


def test_integers_are_cut_and_averaged():
    x = nnrt.tensor([-7, 2, 9, -3])
    assert F.relu6(x).tolist() == [0, 2, 6, 0] and F.hardtanh(x, -1.5, 3.7).tolist() == [-1, 2, 3, -1]
    assert F.avg_pool1d(x[None], 2).tolist() == [[-2, 3]]
    with pytest.raises(RuntimeError, match="hardtanh: uint8 has no values from -1.0 to 1.0"):
        F.hardtanh(x.to(nnrt.uint8))


def test_powers_of_two_and_of_integers_do_not_overflow_on_their_way():
    x = nnrt.tensor([1e-30, 1.0, 0.0], requires_grad=True)
    y = nnrt.ldexp(x, nnrt.tensor([110, -3, 200]))
    y.sum().backward()
    assert y.tolist() == pytest.approx([1e-30 * 2.0**110, 0.125, 0]) and x.grad[:2].tolist() == [2.0**110, 0.125]
    assert nnrt.pow(nnrt.tensor([2, 1, -1, 0, -1, 3]), nnrt.tensor([-1, -2, -3, -1, -4, 2])).tolist() == [0, 1, -1, 0, 1, 9]
    with pytest.raises(RuntimeError, match="pow: uint8 has no negative integer powers, got the exponent -1"):
        nnrt.tensor([2], dtype=nnrt.uint8) ** -1
    assert nnrt.trapezoid(nnrt.tensor([200, 100, 250], dtype=nnrt.uint8)).item() == 325
    small = nnrt.tensor([3], dtype=nnrt.uint8)
    assert nnrt.addcmul(small, small, small, value=-1).tolist() == [250]


def test_quantiles_between_infinities():
    x = nnrt.tensor([INF, -INF, 2.0, 3.0])
    assert nnrt.quantile(x, nnrt.tensor([0.25, 0.5, 0.75, 1.0])).tolist() == [-INF, 2.5, INF, INF]


def test_numpy_warns_nobody():
    nan, none = nnrt.tensor([float("nan"), INF], requires_grad=True), nnrt.ones(0, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nnrt.tensor([1, 2]).masked_fill(nnrt.tensor([True, False]), float("nan"))
        nan.prod(dtype=nnrt.int64), nan.nansum(dtype=nnrt.int32), nan.sum(dtype=nnrt.uint8)
        for y in (nnrt.logaddexp2(nan, nan), nan.logcumsumexp(0), nan.lgamma(), none.nanmean(), none.std(), *nnrt.var_mean(none)):
            y.sum().backward(retain_graph=True)


@pytest.mark.parametrize("op", [F.adaptive_avg_pool2d, F.adaptive_max_pool2d])
def test_adaptive_pools_of_no_output(op):
    x = nnrt.ones(1, 2, 3, 4, requires_grad=True)
    y = op(x, (0, 2))
    y.sum().backward()
    assert y.shape == (1, 2, 0, 2) and not x.grad.numpy().any()


def test_losses_of_numbers():
    x, t = nnrt.tensor(1.5, requires_grad=True), nnrt.tensor(2.5)
    y = F.poisson_nll_loss(x, t, full=True) + F.gaussian_nll_loss(x, t, t, full=True)
    y.backward()
    assert y.item() == pytest.approx(3.4765835) and x.grad.item() == pytest.approx(1.5816891)


@pytest.mark.parametrize("size", [1e-30, 1e-20, 1e20, 1e30])
def test_deviations_whose_squares_float32_does_not_hold(size):
    a = np.random.default_rng(0).standard_normal((4, 3, 5)) * [[[size], [1], [0]]]
    for dim in (0, 2, (0, 2)):
        x, wide = nnrt.tensor(a, dtype=nnrt.float32, requires_grad=True), nnrt.tensor(a, requires_grad=True)
        y, want = x.std(dim), wide.std(dim)
        y.sum().backward(), want.sum().backward()
        np.testing.assert_allclose(y.detach().numpy(), want.detach().numpy(), 1e-5)
        np.testing.assert_allclose(x.grad.numpy(), wide.grad.numpy(), 1e-4, 1e-5)
    assert nnrt.tensor([size, -size]).std().item() == pytest.approx(size * 2**0.5)


def test_power_pooling_of_infinite_order():
    x = nnrt.tensor([[[1.0, -3.0, 2.0, -0.5]]], requires_grad=True)
    assert F.lp_pool1d(x, INF, 2).tolist() == [[[3, 2]]] and F.lp_pool1d(x, -INF, 2).tolist() == [[[1, 0.5]]]
    F.lp_pool1d(x, INF, 2).sum().backward()
    assert x.grad.tolist() == [[[0, -1, 1, 0]]]
    with pytest.raises(RuntimeError, match="lp_pool2d: stride must be at least 1, got 0"):
        F.lp_pool2d(nnrt.ones(1, 1, 4, 4), 2, 2, 0)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding_idx", [None, 2])
def test_indices_after_the_last_offset_are_in_no_bag(mode, padding_idx):
    index, offsets = nnrt.tensor([1, 2, 4, 4, 3]), nnrt.tensor([0, 1, 3])
    results = []
    for used in (5, 3):
        table = nnrt.arange(15.0).reshape(5, 3).requires_grad_()
        factors = (nnrt.arange(5.0)[:used] - 1).requires_grad_() if mode == "sum" else None
        y = F.embedding_bag(
            index[:used], table, offsets, mode=mode, include_last_offset=True, padding_idx=padding_idx, per_sample_weights=factors
        )
        assert y.shape == (2, 3)
        (y * nnrt.arange(6.0).reshape(2, 3)).sum().backward()
        results.append((y, table.grad, None if factors is None else factors.grad))
    (y, dw, df), (y3, dw3, df3) = results
    assert nnrt.equal(y, y3) and nnrt.equal(dw, dw3) and (df is None or df.tolist() == [*df3.tolist(), 0, 0])


def test_slices_are_filled_from_the_end():
    x = nnrt.zeros(3, 2, requires_grad=True)
    y = x.index_fill(0, nnrt.tensor([0, -1]), 7)
    assert y.tolist() == [[7, 7], [0, 0], [7, 7]]
    y.sum().backward()
    assert x.grad.tolist() == [[0, 0], [1, 1], [0, 0]]
    with pytest.raises(IndexError, match="index_fill: index -4 at position .0,. is out of range for dim 0 of size 3"):
        x.index_fill(0, nnrt.tensor([-4]), 7)


def test_the_slope_of_a_quantile():
    x, q = nnrt.tensor([[4.0, 1.0, 2.0], [0.0, 6.0, 3.0]]), nnrt.tensor([0.25, 0.5], requires_grad=True)
    x.quantile(q, 1).sum().backward()  # from 1 to 2 and from 0 to 3 within half of the way; at 1 / 2 they are elements
    assert q.grad.tolist() == [2 + 6, 0]
    q = nnrt.tensor(0.75, requires_grad=True)
    nnrt.tensor([1.0, float("nan"), 3.0]).nanquantile(q).backward()
    assert q.grad.item() == 2
    q = nnrt.tensor(0.75, requires_grad=True)
    nnrt.tensor([1.0, float("nan"), 3.0]).quantile(q).backward()
    assert q.grad.item() == 0


def test_nan_stays_in_the_gradient_of_logcumsumexp():
    x = nnrt.tensor([1.0, float("nan"), 2.0], requires_grad=True)
    x.logcumsumexp(0).sum().backward()
    assert str(x.grad.tolist()) == "[nan, nan, nan]"


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.kl_div, F.binary_cross_entropy_with_logits])
def test_losses_of_two_dtypes_have_the_wider_one(loss):
    x, t = nnrt.tensor([0.5, 0.25], requires_grad=True), nnrt.tensor([0.125, 0.75], dtype=nnrt.float64, requires_grad=True)
    y = loss(x, t)
    y.backward()
    assert y.dtype == np.float64 and x.grad.dtype == np.float32 and t.grad.dtype == np.float64
    assert y.item() == loss(x.double(), t).item()


def test_in_place_under_torchs_other_names():
    x = nnrt.tensor([[0.5, -1.0]])
    assert x.negative_() is x and x.absolute_().tolist() == [[0.5, 1]] and x.swapaxes_(0, 1).shape == (2, 1)
    assert x.arcsin_().tolist() == nnrt.tensor([[0.5], [1.0]]).asin().tolist() and x.greater_(1).tolist() == [[0], [1]]


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: nnrt.ones(2, 3).size(2), IndexError, r"size: dim 2 is out of range for a tensor of shape \(2, 3\)"),
        (lambda: nnrt.ones(2, 3).diff((0, 1)), TypeError, r"diff: n must be an int, got \(0, 1\)"),
        (lambda: nnrt.flip(nnrt.ones(2), None), TypeError, r"flip: dims must be ints, got \(None,\)"),
        (lambda: nnrt.mm(nnrt.ones(2, 3), nnrt.ones(2, 3)), RuntimeError, r"mm: shapes \(2, 3\) and \(2, 3\) do not fit"),
        (
            lambda: nnrt.take_along_dim(nnrt.ones(2, 3), nnrt.zeros(3, 1, dtype=nnrt.int64), 1),
            RuntimeError,
            r"take_along_dim: indices of shape \(3, 1\) and x \(2, 3\) do not broadcast beside dim 1",
        ),
        (lambda: nnrt.ones(3)[[-9]], IndexError, "index -9 at"),
        (lambda: nnrt.nn.init.xavier_normal_(nnrt.ones(3)), ValueError, r"xavier_normal_: fan in .* got shape \(3,\)"),
        (lambda: nnrt.nn.init.kaiming_normal_(nnrt.ones(3, 2), mode="x"), ValueError, "kaiming_normal_: mode must be .*'x'"),
        (lambda: F.dropout2d(nnrt.ones(2, 3, 4, 4), 2.0), ValueError, "dropout2d: p must be within 0 and 1, got 2.0"),
    ],
)  # fmt: skip
def test_errors_name_what_was_called(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_samples_like_a_tensor():
    x = nnrt.zeros(2, 3, 4, 5, dtype=nnrt.float64)
    for sample in (nnrt.rand_like, nnrt.randn_like, lambda *a, **k: nnrt.randint_like(*a, 9, **k)):
        one, two = (sample(x, generator=nnrt.Generator().manual_seed(3)) for _ in range(2))
        last = sample(x, generator=nnrt.Generator().manual_seed(3), memory_format=nnrt.channels_last, requires_grad=True)
        assert nnrt.equal(one, two) and nnrt.equal(one, last) and one.dtype == np.float64 and one.any()
        assert last.is_leaf and last.requires_grad and last.stride()[1] == 1


def test_a_size_that_no_address_reaches():
    for make in (nnrt.zeros, nnrt.ones, nnrt.empty):
        with pytest.raises(ValueError, match=rf"{make.__name__}: size \(1099511627776, 1099511627776\) of float32 has more"):
            make(2**40, 2**40)


def test_one_window_alone_overlaps_nothing():
    x = nnrt.zeros(4)
    x.unfold(0, 3, 2).fill_(1)
    assert x.tolist() == [1, 1, 1, 0]
    with pytest.raises(RuntimeError, match="fill_: this tensor's memory is read-only"):
        x.unfold(0, 3, 1).fill_(2)


ONE, INDEX = nnrt.ones(2, 3), nnrt.zeros(2, 3, dtype=nnrt.int64)


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda bad: F.embedding(INDEX, bad), "embedding: weight must be a Tensor"),
        (lambda bad: F.embedding_bag(INDEX, bad), "embedding_bag: weight must be a Tensor"),
        (lambda bad: F.embedding_bag(INDEX, ONE, per_sample_weights=bad, mode="sum"), "embedding_bag: per_sample_weights must"),
        (lambda bad: F.cross_entropy(ONE, INDEX[:, 0], bad), "cross_entropy: weight must be a Tensor"),
        (lambda bad: F.nll_loss(ONE, INDEX[:, 0], bad), "nll_loss: weight must be a Tensor"),
        (lambda bad: F.multi_margin_loss(ONE, INDEX[:, 0], weight=bad), "multi_margin_loss: weight must be a Tensor"),
        (lambda bad: F.multi_margin_loss(ONE, bad), "multi_margin_loss: target must be a Tensor"),
        (lambda bad: F.multilabel_margin_loss(ONE, bad), "multilabel_margin_loss: target must be a Tensor"),
        (lambda bad: F.binary_cross_entropy_with_logits(ONE, ONE, pos_weight=bad), "logits: pos_weight must be a Tensor"),
        (lambda bad: F.margin_ranking_loss(ONE, bad, ONE), "margin_ranking_loss: input2 must be a Tensor"),
        (lambda bad: F.cosine_embedding_loss(ONE, ONE, bad), "cosine_embedding_loss: target must be a Tensor"),
        (lambda bad: F.triplet_margin_loss(ONE, bad, ONE), "triplet_margin_loss: positive must be a Tensor"),
        (lambda bad: F.poisson_nll_loss(ONE, bad), "poisson_nll_loss: target must be a Tensor"),
        (lambda bad: F.bilinear(ONE, ONE, bad), "bilinear: weight must be a Tensor"),
        (lambda bad: ONE.scatter(1, INDEX, bad), "scatter: src must be a Tensor or a number"),
        (lambda bad: ONE.scatter_add(1, INDEX, bad), "scatter_add: src must be a Tensor"),
        (lambda bad: ONE.scatter_reduce(1, INDEX, bad, "sum"), "scatter_reduce: src must be a Tensor"),
        (lambda bad: ONE.index_add(0, INDEX[0], bad), "index_add: source must be a Tensor"),
        (lambda bad: ONE.index_copy(0, INDEX[0], bad), "index_copy: source must be a Tensor"),
        (lambda bad: ONE.masked_scatter(ONE > 0, bad), "masked_scatter: source must be a Tensor"),
        (lambda bad: nnrt.masked_select(bad, ONE > 0), "masked_select: input must be a Tensor"),
        (lambda bad: ONE.masked_fill(ONE > 0, bad), "masked_fill: value must be a number or a 0-d tensor"),
        (lambda bad: INDEX[0].bincount(bad), "bincount: weights must be a Tensor"),
        (lambda bad: ONE.view_as(bad), "view_as: other must be a Tensor"),
        (lambda bad: ONE.reshape_as(bad), "reshape_as: other must be a Tensor"),
        (lambda bad: ONE.expand_as(bad), "expand_as: other must be a Tensor"),
        (lambda bad: nnrt.chunk(bad, 2), "chunk: input must be a Tensor"),
        (lambda bad: nnrt.inner(ONE, bad), "inner: other must be a Tensor"),
        (lambda bad: nnrt.tensordot(ONE, bad), "tensordot: b must be a Tensor"),
    ],
)  # fmt: skip
def test_what_is_no_tensor_is_named(call, text):
    with pytest.raises(TypeError, match=text):
        call("text")


def test_a_weight_of_another_shape_is_named():
    with pytest.raises(RuntimeError, match=r"logits: pos_weight of shape \(4,\) does not broadcast to \(2, 3\)"):
        F.binary_cross_entropy_with_logits(ONE, ONE, pos_weight=nnrt.ones(4))
