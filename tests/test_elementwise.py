"""Element-by-element ops, where the shared cases cannot say it: promotion, ties, errors, threads, memory."""

import threading

import numpy as np
import pytest

import nnrt
from nnrt import memory, registry
from nnrt.ops import activation

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
NUMBERS = [True, 2, 2.5]


def tensor(data, dtype=None):
    return nnrt.from_numpy(np.array(data, dtype))


def dtype_name(t):
    return str(t.dtype).removeprefix("torch.")


# ---- promotion ----


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_two_tensors_promote_as_in_torch(a, b, torch):
    for shape_a, shape_b in [((2,), (2,)), ((2,), ()), ((), (2,)), ((), ())]:
        x, y = np.ones(shape_a, a), np.ones(shape_b, b)
        want = dtype_name(torch.mul(torch.from_numpy(x), torch.from_numpy(y)))
        assert dtype_name(nnrt.mul(nnrt.from_numpy(x), nnrt.from_numpy(y))) == want, (shape_a, shape_b)
        assert str(nnrt.result_type(nnrt.from_numpy(x), nnrt.from_numpy(y))) == want
    assert str(nnrt.promote_types(a, b)) == dtype_name_of(
        torch.promote_types(getattr(torch, a), getattr(torch, b))
    )
    assert nnrt.can_cast(a, b) == torch.can_cast(getattr(torch, a), getattr(torch, b))


def dtype_name_of(dtype):
    return str(dtype).removeprefix("torch.")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_weak_as_in_torch(dtype, number, torch):
    for shape in [(2,), ()]:
        x = np.ones(shape, dtype)
        want = dtype_name(torch.from_numpy(x) * number)
        assert dtype_name(nnrt.from_numpy(x) * number) == want
        assert dtype_name(number * nnrt.from_numpy(x)) == want
        assert dtype_name(nnrt.from_numpy(x) / number) == dtype_name(torch.from_numpy(x) / number)
        assert dtype_name(nnrt.from_numpy(x) < number) == "bool"


def test_numbers_wrap_around_in_small_integers(torch):
    x = np.array([1, 100], np.int8)
    np.testing.assert_array_equal((nnrt.from_numpy(x) + 300).numpy(), (torch.from_numpy(x) + 300).numpy())


def test_numpy_operands():
    x = tensor([1.0, 2.0], np.float32)
    assert dtype_name(x + np.array([1.0, 2.0], np.float32)) == "float32"
    assert dtype_name(x + np.array([1.0, 2.0])) == "float64"
    assert dtype_name(x * np.float64(2)) == "float32"
    assert dtype_name(x * np.float32(2)) == "float32"
    assert dtype_name(tensor([1, 2]) * np.float32(2)) == "float32"
    np.testing.assert_array_equal((np.array([3.0], np.float32) - x).numpy(), [2, 1])


def test_gradients_have_the_dtype_of_their_tensors():
    x, y = (
        tensor([1.0, 2.0], np.float32).requires_grad_(True),
        tensor([3.0, 4.0], np.float64).requires_grad_(True),
    )
    (x * y).backward(tensor([1.0, 1.0], np.float64))
    assert x.grad.dtype == np.float32 and y.grad.dtype == np.float64
    np.testing.assert_array_equal(x.grad.numpy(), [3, 4])


# ---- ties and kinks, where there is no derivative to check ----

VALUES = np.array([1.0, 2.0, 2.0, -1.0, 0.0, 3.0, np.nan, 1.0, -0.0, -3.0, 6.0, 0.5, -0.5])
OTHERS = np.array([1.0, -2.0, 2.0, -1.0, 1.0, 4.0, 1.0, np.nan, 0.0, -3.0, 6.0, 0.0, 2.0])
AT_TIES = {
    "maximum": lambda t, f, x, y: t.maximum(x, y),
    "minimum": lambda t, f, x, y: t.minimum(x, y),
    "fmax": lambda t, f, x, y: t.fmax(x, y),
    "fmin": lambda t, f, x, y: t.fmin(x, y),
    "pow": lambda t, f, x, y: t.pow(x, y),
    "pow-0": lambda t, f, x, y: x**0 + 0 * y,
    "pow-0-base": lambda t, f, x, y: (0.0 * x) ** y.detach() + y,
    "xlogy": lambda t, f, x, y: t.xlogy(x, y),
    "atan2": lambda t, f, x, y: t.atan2(x, y),
    "hypot": lambda t, f, x, y: t.hypot(x, y),
    "logaddexp": lambda t, f, x, y: t.logaddexp(x, y),
    "abs": lambda t, f, x, y: t.abs(x) + y,
    "sign": lambda t, f, x, y: t.sign(x) + t.round(y),
    "sqrt": lambda t, f, x, y: t.sqrt(x) + t.rsqrt(y),
    "clamp": lambda t, f, x, y: t.clamp(x, -1.0, 2.0) + t.clamp(y, min=1.0),
    "clamp-tensors": lambda t, f, x, y: t.clamp(x, y, y + 1),
    "clamp-crossed": lambda t, f, x, y: t.clamp(x, 2.0, -1.0) + y,
    "relu": lambda t, f, x, y: t.relu(x) + f.relu6(y),
    "hardtanh": lambda t, f, x, y: f.hardtanh(x) + f.hardtanh(y, -3.0, 6.0),
    "leaky": lambda t, f, x, y: f.leaky_relu(x, 0.1) + f.elu(y),
    "hardsigmoid": lambda t, f, x, y: f.hardsigmoid(x) + f.hardsigmoid(y),
    "hardswish": lambda t, f, x, y: f.hardswish(x) + f.hardswish(y),
    "softshrink": lambda t, f, x, y: f.softshrink(x, 0.5) + f.hardshrink(y, 2.0),
    "threshold": lambda t, f, x, y: f.threshold(x, 1.0, 7.0) + f.threshold(y, 0.0, -1.0),
    "nan_to_num": lambda t, f, x, y: t.nan_to_num(x) + t.nan_to_num(y, 2.0),
    "sinc": lambda t, f, x, y: t.sinc(x) + y,
    "logit": lambda t, f, x, y: t.logit(x, eps=0.5) + t.logit(y),
}
# torch's gradients of the other functions at NaN depend on the dtype and on where in a vector it lies.
WITH_NAN = [
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "pow",
    "atan2",
    "hypot",
    "logaddexp",
    "abs",
    "sign",
    "clamp",
    "nan_to_num",
]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name", AT_TIES)
def test_ties_and_kinks_as_in_torch(name, dtype, torch):
    results = []
    keep = slice(None) if name in WITH_NAN else ~(np.isnan(VALUES) | np.isnan(OTHERS))
    values, others = VALUES[keep], OTHERS[keep]
    for t, f in ((nnrt, activation), (torch, torch.nn.functional)):
        x, y = (t.from_numpy(v.astype(dtype)).requires_grad_(True) for v in (values, others))
        out = AT_TIES[name](t, f, x, y)
        out.backward(t.from_numpy(np.linspace(1, 2, values.size).astype(dtype)))
        results.append([out.detach().numpy(), *[None if v.grad is None else v.grad.numpy() for v in (x, y)]])
    for what, got, want in zip(("value", "x.grad", "y.grad"), *results):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, err_msg=what)


# ---- errors ----


@pytest.mark.parametrize(
    "call, error, text",
    [
        (lambda: tensor([1.0, 2.0]) + tensor([1.0, 2.0, 3.0]), RuntimeError, "add: shapes (2,) and (3,) do not broadcast"),
        (lambda: nnrt.mul(2, 3), TypeError, "mul: wants at least one Tensor"),
        (lambda: tensor([1.0]) + "a", TypeError, "add: an operand must be"),
        (lambda: tensor([1.0]) * 2j, TypeError, "complex"),
        (lambda: tensor([True]) - tensor([True]), RuntimeError, "sub: bools"),
        (lambda: -tensor([True]), RuntimeError, "neg: bools"),
        (lambda: nnrt.add(tensor([1]), tensor([1]), alpha=0.5), RuntimeError, "alpha must be an integer"),
        (lambda: nnrt.add(tensor([1.0]), tensor([1.0]), alpha="2"), TypeError, "alpha must be a number"),
        (lambda: tensor([1]) // tensor([0]), RuntimeError, "integer division by zero"),
        (lambda: tensor([1]) % 0, RuntimeError, "integer division by zero"),
        (lambda: tensor([2]) ** -1, RuntimeError, "negative integer powers"),
        (lambda: nnrt.div(tensor([1.0]), 2, rounding_mode="up"), RuntimeError, "rounding_mode must be"),
        (lambda: nnrt.clamp(tensor([1.0])), RuntimeError, "clamp: at least one"),
        (lambda: nnrt.lerp(tensor([1.0]), tensor([1.0], np.float32), 0.5), RuntimeError, "lerp: end is float32"),
        (lambda: nnrt.where(tensor([1]), 1, 2), RuntimeError, "condition must be a bool"),
        (lambda: tensor([1.0]) & tensor([1.0]), RuntimeError, "bitwise_and: wants integer"),
        (lambda: ~tensor([1.0]), RuntimeError, "bitwise_not: wants an integer"),
        (lambda: nnrt.isclose(tensor([1.0]), tensor([1])), RuntimeError, "isclose: x is float64"),
        (lambda: nnrt.exp([1.0]), TypeError, "exp: input must be a Tensor, got list"),
        (lambda: nnrt.frac(tensor([1])), RuntimeError, "frac: wants a floating"),
        (lambda: nnrt.addcdiv(tensor([1]), tensor([1]), tensor([1])), RuntimeError, "addcdiv: wants floating"),
        (lambda: nnrt.promote_types("uint64", "int64"), RuntimeError, "no integer dtype holds both"),
        (lambda: activation.glu(tensor([1.0, 2.0, 3.0])), RuntimeError, "glu: dim -1 must have an even size"),
        (lambda: activation.glu(tensor([1.0, 2.0]), 1), IndexError, "glu: dim 1 is out of range"),
        (lambda: activation.gelu(tensor([1.0]), "erf"), RuntimeError, "approximate must be"),
        (lambda: activation.gelu(tensor([1])), RuntimeError, "gelu: wants a floating tensor, got int64"),
        (lambda: activation.hardtanh(tensor([1.0]), 2, 1), ValueError, "min_val 2 is above max_val 1"),
        (lambda: activation.celu(tensor([1.0]), 0), RuntimeError, "alpha must not be 0"),
        (lambda: activation.softshrink(tensor([1.0]), -1), RuntimeError, "lambd must not be negative"),
        (lambda: activation.rrelu(tensor([1.0]), 2, 1), ValueError, "lower 2 is above upper 1"),
        (lambda: activation.prelu(tensor([[1.0, 2.0]]), tensor([1.0] * 3)), RuntimeError, "one per channel of input (2)"),
        (lambda: activation.prelu(tensor([1.0]), tensor([1.0], np.float32)), RuntimeError, "weight float32"),
    ],
)  # fmt: skip
def test_errors_say_what_was_wanted(call, error, text):
    with pytest.raises(error) as raised:
        call()
    assert text in str(raised.value)


def test_comparison_with_none_is_identity():
    x = tensor([1.0])
    assert (x == None) is False  # noqa: E711
    assert (x != None) is True  # noqa: E711
    assert x in [x] and None not in [x]


# ---- values ----


def test_bool_results_of_equal_and_allclose():
    x = tensor([1.0, np.nan])
    assert nnrt.equal(tensor([1.0, 2.0]), tensor([1.0, 2.0])) is True
    assert nnrt.equal(tensor([1.0]), tensor([1.0, 1.0])) is False
    assert nnrt.allclose(x, x) is False and nnrt.allclose(x, x, equal_nan=True) is True
    assert nnrt.allclose(tensor([1.0]), tensor([1.0 + 1e-7])) is True


def test_where_with_a_condition_alone_gives_indices():
    rows, columns = nnrt.where(tensor([[0, 1], [2, 0]]))
    assert rows.tolist() == [0, 1] and columns.tolist() == [1, 0]


def test_memory_order_is_kept():
    nhwc = nnrt.from_numpy(np.zeros((2, 5, 6, 3), np.float32).transpose(0, 3, 1, 2))
    bias = nnrt.from_numpy(np.ones((3, 1, 1), np.float32))
    for y in (nnrt.exp(nhwc), nhwc + nhwc, nhwc * bias, nhwc * 2, nnrt.relu(nhwc), nhwc > 0, bias - nhwc):
        order = np.argsort([-s for s in y.array.strides], kind="stable")
        assert list(order) == [0, 2, 3, 1]


def test_inplace_overwrites_only_what_the_tape_does_not_need():
    x = tensor([-1.0, 2.0])
    assert activation.relu(x, inplace=True) is x and x.tolist() == [0, 2]
    y = tensor([-1.0, 2.0]).requires_grad_(True)
    out = activation.silu(y, inplace=True)
    assert out is not y and y.tolist() == [-1, 2]
    with nnrt.no_grad():
        assert activation.leaky_relu(y, 0.5, inplace=True) is y
    assert y.tolist() == [-0.5, 2]


def test_inplace_activation_is_noticed_by_the_tape():
    w = tensor([1.0, 2.0]).requires_grad_(True)
    x = tensor([-1.0, 2.0])
    y = w * x
    activation.relu(x, inplace=True)
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward(tensor([1.0, 1.0]))


def test_rrelu_draws_slopes_and_uses_them_backward():
    nnrt.manual_seed(3)
    x = nnrt.from_numpy(-np.ones(1000)).requires_grad_(True)
    y = activation.rrelu(x, 0.2, 0.4, training=True)
    slopes = -y.detach().numpy()
    assert 0.2 <= slopes.min() < 0.21 and 0.39 < slopes.max() <= 0.4
    y.backward(nnrt.from_numpy(np.ones(1000)))
    np.testing.assert_array_equal(x.grad.numpy(), slopes)
    positive = tensor([2.0]).requires_grad_(True)
    activation.rrelu(positive, training=True).backward(tensor([3.0]))
    assert positive.grad.tolist() == [3]


def test_sums_back_to_broadcast_shapes_are_accurate():
    rng = np.random.default_rng(0)
    for shape, to in [
        ((3_000_001,), ()),
        ((300_001, 3), (3,)),
        ((7, 200_001), (7, 1)),
        ((40, 3, 5000), (3, 1)),
    ]:
        dy = rng.random(shape).astype(np.float32) + 100
        want = dy.astype(np.float64)
        x = nnrt.from_numpy(np.zeros(to, np.float32)).requires_grad_(True)
        (x + nnrt.from_numpy(np.zeros(shape, np.float32))).backward(nnrt.from_numpy(dy))
        extra = want.ndim - len(to)
        axes = tuple(range(extra)) + tuple(extra + i for i, s in enumerate(to) if s == 1)
        np.testing.assert_allclose(x.grad.numpy(), want.sum(axes).reshape(to), rtol=2e-7)


# ---- threads ----


@pytest.fixture
def threads():
    before = nnrt.get_num_threads()
    yield nnrt.set_num_threads
    nnrt.set_num_threads(before)


@pytest.mark.parametrize("backend", [b for b in registry.available() if b != "ref"])
def test_results_are_bit_equal_at_any_number_of_threads(backend, threads):
    rng = np.random.default_rng(1)
    a = rng.standard_normal((700, 1003)).astype(np.float32)
    row = rng.standard_normal(1003).astype(np.float32)
    results = []
    with registry.using(backend, "ref"):
        for count in (1, 2, 3):
            threads(count)
            x = nnrt.from_numpy(a.copy()).requires_grad_(True)
            b = nnrt.from_numpy(row.copy()).requires_grad_(True)
            y = nnrt.tanh(x * b + b) / (activation.gelu(x.T) + 3).T
            y.backward(nnrt.from_numpy(a[::-1].copy()))
            results.append([y.detach().numpy(), x.grad.numpy(), b.grad.numpy()])
    for other in results[1:]:
        for got, want in zip(other, results[0]):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_outputs_larger_than_the_cache(dtype):
    n = (16 << 20) // np.dtype(dtype).itemsize + 37  # written past the caches, with an odd end
    a = np.linspace(-3, 3, n).astype(dtype)
    x = nnrt.from_numpy(a)
    np.testing.assert_array_equal(nnrt.relu(x).numpy(), np.maximum(a, 0))
    np.testing.assert_array_equal((x + x).numpy(), a + a)
    np.testing.assert_array_equal((x * 2).numpy(), a * 2)
    np.testing.assert_array_equal((x - x[:1]).numpy(), a - a[:1])
    np.testing.assert_array_equal((x > 0).numpy(), a > 0)
    even = x[: n // 2 * 2].reshape(-1, 2)
    np.testing.assert_array_equal(
        (even + even[0]).numpy().ravel(), a[: n // 2 * 2] + np.resize(a[:2], n // 2 * 2)
    )


def test_functions_larger_than_the_cache(rng):
    """Some write past the caches as they go: as the same in pieces that do not."""
    n = (16 << 20) // 4 + 37
    x, dy = rng.standard_normal((2, n), dtype=np.float32)
    pairs = [("unary", "tanh"), ("unary", "sigmoid")]
    pairs += [("activation", name) for name in ("relu", "gelu", "relu_backward", "gelu_backward")]
    for family, name in pairs:
        inputs = (dy, x) if name.endswith("backward") else (x,)
        kernel = getattr(registry.family(family), name)
        y, parts = np.empty_like(x), np.empty_like(x)
        with nnrt.config.use(num_threads=2):
            kernel(y, *inputs)
        for i in range(0, n, 5000):
            kernel(parts[i : i + 5000], *(v[i : i + 5000] for v in inputs))
        np.testing.assert_allclose(y, parts, rtol=1e-6, err_msg=name)


def test_two_gradients_larger_than_the_cache(rng):
    n = (16 << 20) // 4 + 37
    dy, a, b = rng.standard_normal((3, n), dtype=np.float32)
    for at in (0, 1):  # 64-byte aligned, and not: then in the caches
        outs = [memory.empty((n + 1,), np.float32)[at : n + at] for _ in range(2)]
        with nnrt.config.use(num_threads=2):
            registry.family("elementwise").mul_backward(*outs, dy, a, b)
        for got, want in zip(outs, (dy * b, dy * a)):
            np.testing.assert_array_equal(got, want)


def test_ten_threads_at_once():
    rng = np.random.default_rng(2)
    arrays = [rng.standard_normal(50_000 + 7 * i).astype(np.float32) for i in range(10)]
    failures = []

    def gradient(a):
        x = nnrt.from_numpy(a).requires_grad_(True)
        (x * x + nnrt.relu(x)).backward(nnrt.from_numpy(np.ones_like(a)))
        return x.grad.numpy()

    def work(a, want):
        try:
            for _ in range(10):
                np.testing.assert_array_equal(gradient(a), want)
        except Exception as error:  # a thread must hand its failure over
            failures.append(error)

    alone = [gradient(a) for a in arrays]
    for a, want in zip(arrays, alone):
        np.testing.assert_allclose(want, 2 * a + (a > 0), rtol=1e-6, atol=1e-6)
    workers = [threading.Thread(target=work, args=pair) for pair in zip(arrays, alone)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures, failures[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
def test_nextafter_is_exact_where_numbers_are_denormal_too(dtype):
    info = np.finfo(dtype)
    values = [0, -0.0, info.smallest_subnormal, -info.smallest_subnormal, info.tiny, -info.tiny, 1, -1, 2, info.max, -info.max]
    values = np.array([*values, np.inf, -np.inf, np.nan], dtype)
    a, b = (v.ravel().copy() for v in np.meshgrid(values, values))
    got = nnrt.nextafter(nnrt.from_numpy(a), nnrt.from_numpy(b)).numpy()
    with np.errstate(over="ignore"):
        want = np.nextafter(a, b)
    np.testing.assert_array_equal(got, want)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(want[known]))
