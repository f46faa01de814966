"""Names that programs written for torch use: methods in place, constants, distances, sampling."""

import inspect
import math

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import nn
from nnrt.ops import inplace

X = np.linspace(-0.9, 0.9, 12).reshape(3, 4)
Y = np.arange(1.0, 13).reshape(3, 4) / 3
ONE = np.array([1])
OTHERS = {
    "addmm": (np.ones((3, 2)), Y[:2]), "addmv": (np.eye(4), np.ones(4)), "addbmm": (np.ones((2, 3, 5)), np.ones((2, 5, 4))),
    "baddbmm": (np.ones((1, 3, 5)), np.ones((1, 5, 4))), "masked_scatter": (X > 0, Y), "index_fill": (0, ONE, 2.0),
    "index_copy": (0, ONE, Y[:1]), "index_put": ((ONE,), Y[:1]), "scatter_reduce": (0, np.zeros((3, 4), int), Y, "sum"),
    "cumsum": (1,), "cumprod": (0,), "clip": (-0.5, 0.5), "clamp_min": (0.1,), "clamp_max": (0.1,), "tril": (-1,), "triu": (1,),
    "addr": (np.ones(3), np.ones(4)), "renorm": (2.0, 0, 0.5),
}  # fmt: skip
SELVES = {"addmv": X[0], "baddbmm": X[None]}
NEED_INTEGERS = ("gcd", "lcm", "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
NEED_INTEGERS += ("bitwise_left_shift", "bitwise_right_shift")
TWO = {"elementwise", "binary", "compare"}


def stored():
    for family, names in inplace._STORING.items():
        for name in names.split():
            two = family.__name__.rpartition(".")[2] in TWO and not name.endswith("_not")
            yield pytest.param(name, OTHERS.get(name, (Y,) if two else ()), id=name)


def tensors(value, library=nnrt):
    if isinstance(value, tuple):
        return tuple(tensors(v, library) for v in value)
    return library.tensor(value) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("name, args", list(stored()))
def test_methods_in_place_store_what_the_function_returns(name, args, torch):
    a = SELVES.get(name, X)
    if name in NEED_INTEGERS:
        a, args = np.arange(12).reshape(3, 4), (np.full((3, 4), 6),) * len(args)
    x, t = nnrt.tensor(a), torch.tensor(a)
    view = x.detach()
    assert getattr(x, name + "_")(*tensors(args)) is x and view.data_ptr() == x.data_ptr() and view._version == 1
    np.testing.assert_allclose(x.numpy(), getattr(t, name + "_")(*tensors(args, torch)).numpy(), rtol=1e-9)
    with pytest.raises(RuntimeError, match=rf"{name}_: a leaf that requires a gradient cannot be changed in place"):
        getattr(nnrt.tensor(X, requires_grad=True), name + "_")(*tensors(args))


def test_shapes_change_in_place():
    x = nnrt.arange(6.0).reshape(2, 3)
    assert x.unsqueeze_(0) is x and x.shape == (1, 2, 3)
    assert x.transpose_(1, 2).shape == (1, 3, 2) and x.squeeze_(0).t_().tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(RuntimeError, match="unsqueeze_: a leaf"):
        nnrt.ones(2, requires_grad=True).unsqueeze_(0)
    assert nnrt.zeros(2, 3).fill_diagonal_(4).tolist() == [[4, 0, 0], [0, 4, 0]]


def test_samples_in_place():
    nnrt.manual_seed(0)
    x = nnrt.empty(20000)
    assert abs(x.exponential_(2.0).mean().item() - 0.5) < 0.02 and x.min().item() > 0
    assert x.random_(3).unique().tolist() == [0, 1, 2] and x.random_(2, 4).unique().tolist() == [2, 3]
    assert nnrt.empty(50, dtype=nnrt.uint8).random_().max().item() > 100
    y = x.double()
    assert abs(y.log_normal_(0.5, 0.3).log().mean().item() - 0.5) < 0.02 and abs(y.log().std().item() - 0.3) < 0.02
    y.cauchy_(2.0, 0.5)
    assert abs(y.median().item() - 2) < 0.05 and abs((y < 1.5).double().mean().item() - 0.25) < 0.02
    assert abs(x.geometric_(0.3).mean().item() - 1 / 0.3) < 0.1 and x.min().item() == 1
    assert nnrt.empty(3, dtype=nnrt.int64).geometric_(1e-300).tolist() == [2**63 - 1] * 3
    for name, arguments in (("geometric_", (1.0,)), ("cauchy_", (0.0, 0.0)), ("log_normal_", (0.0, -1.0))):
        with pytest.raises(RuntimeError, match=f"^{name}: .*, got"):
            getattr(x, name)(*arguments)


def test_questions_and_conversions():
    x = nnrt.ones(2, 3)
    assert (x.nelement(), x.ndimension(), x.is_cuda, x.is_signed(), nnrt.is_complex(x)) == (6, 2, False, True, False)
    assert [x.half().dtype, x.short().dtype, x.char().dtype, x.byte().dtype] == ["float16", "int16", "int8", "uint8"]
    assert nnrt.is_nonzero(nnrt.tensor(2)) and x.where(x > 1, nnrt.zeros(3)).sum().item() == 0
    assert not nnrt.cuda.is_available() and nnrt.cuda.device_count() == 0
    with pytest.raises(RuntimeError, match="device 'cuda' is not available"):
        x.cuda()
    assert nnrt.Size([2, 3]) == x.size() and x[nnrt.newaxis].shape == (1, 2, 3)
    assert (nnrt.pi, nnrt.e, nnrt.inf) == (math.pi, math.e, math.inf) and nnrt.nan != nnrt.nan
    for make in (nnrt.zeros, nnrt.ones, nnrt.empty, nnrt.rand, nnrt.randn):
        assert make(size=(2, 3)).shape == (2, 3)


def test_negative_numbers_among_uint8():
    x, minus = nnrt.tensor([2, 4], dtype=nnrt.uint8), nnrt.tensor(-3)
    assert nnrt.copysign(x, minus).tolist() == [-2, -4] and nnrt.hypot(x[:1] * 2, minus).tolist() == [5]
    assert x.masked_fill(x > 2, -1).tolist() == [2, 255] == x.masked_fill_(x > 2, -1).tolist()
    assert x.fill_(-1).tolist() == [255, 255]


INTEGERS = np.arange(12).reshape(3, 4) % 5
COMPUTED = [
    ("cross", (X[0, :3], Y[1, 1:], 0)),
    ("cross", (Y.T, X.T, 1)), ("cross", (X[:, :1], Y[:, 1:2], 0)), ("vdot", (X[0], Y[0])), ("addr", (X, X[:, 0], Y[0])),
    ("dist", (X, Y[0], 3)), ("renorm", (X, 2.0, -1, 0.7)), ("diagflat", (X.T, -2)), ("float_power", (INTEGERS + 1, -2)),
    ("float_power", (2, X)), ("trapezoid", (X, Y[0])), ("trapezoid", (X, Y, None, 0)), ("trapezoid", (INTEGERS,)),
    ("trapezoid", (np.zeros((2, 0)),)), ("isin", (INTEGERS, np.array([1, 3]))), ("isin", (X, 0.9)), ("isin", (INTEGERS[:0], X)),
    ("unravel_index", (INTEGERS, (2, 3))), ("unravel_index", (np.array(3), 4)), ("split_with_sizes", (X, [1, 3], 1)),
    ("einsum", (X, [0, 30], Y, [..., 30], [..., 0])), ("einsum", (X, [1, 0])), ("kron", (X, Y[:2])), ("diff", (X, 0)),
    ("cumulative_trapezoid", (X, Y[0])), ("cumulative_trapezoid", (INTEGERS,)), ("diagonal_scatter", (X, Y[0, :2], 2)),
    ("select_scatter", (X, Y[:, 1], -1, 0)), ("slice_scatter", (X, Y[:, :2], 1, -3, None, 2)), ("slice_scatter", (X, Y)),
    ("cov", (X,)), ("cov", (X[0],)), ("cov", (X[:1],)), ("corrcoef", (Y + X**2,)), ("corrcoef", (X[0],)), ("det", (X[:3, :3],)),
    ("outer", (INTEGERS[0], Y[0])), ("einsum", ("i,bj->bij", INTEGERS[0], Y)), ("einsum", ("bi,bi->ib", INTEGERS, Y)),
]  # fmt: skip


@pytest.mark.parametrize("name, args", COMPUTED)
def test_functions_give_what_torchs_give(name, args, torch):
    named = {"dim": args[3]} if name == "trapezoid" and len(args) > 3 else {}
    args = args[:2] if named else args
    got, want = (getattr(lib, name)(*tensors(args, lib), **named) for lib in (nnrt, torch))
    for y, t in zip(*((v if isinstance(v, tuple) else (v,)) for v in (got, want))):
        assert y.dtype == t.numpy().dtype
        np.testing.assert_allclose(y.numpy(), t.numpy(), rtol=1e-9, atol=1e-14)
    floating = [isinstance(a, np.ndarray) and a.dtype.kind == "f" for a in args]
    floats = [nnrt.tensor(a, requires_grad=True) for a, f in zip(args, floating) if f]
    if floats and not isinstance(got, tuple) and got.dtype == "float64" and got.numel():

        def function(*xs):
            xs = iter(xs)
            return getattr(nnrt, name)(*(next(xs) if f else a for a, f in zip(args, floating)), **named)

        assert nnrt.autograd.gradcheck(function, floats)


WITH_KEEPDIM = """sum mean prod std var max min argmax argmin amax amin all any logsumexp median nanmedian mode nansum
    nanmean quantile nanquantile aminmax var_mean std_mean""".split()
WITH_DIM = """cumsum cumprod cummax cummin softmax log_softmax sort argsort topk unsqueeze squeeze unbind chunk logcumsumexp
    diff count_nonzero cat stack""".split()


@pytest.mark.parametrize("name", WITH_KEEPDIM + WITH_DIM)
def test_numpys_names_of_dim_and_keepdim(name, torch):
    def call(library, **named):
        x = library.tensor(Y)
        x = [x, x] if name in ("cat", "stack") else x
        second = {"topk": (2,), "chunk": (2,), "quantile": (0.4,), "nanquantile": (0.4,)}.get(name, ())
        y = getattr(library, name)(x, *second, **named)
        return [np.asarray(v) for v in (y if isinstance(y, tuple) else y if isinstance(y, list) else (y,))]

    def same(got, want):
        return len(got) == len(want) and all(g.shape == w.shape and np.allclose(g, w) for g, w in zip(got, want))

    more = [{"keepdims": True}, {"keepdim": True}] if name in WITH_KEEPDIM else [{}, {}]
    got = call(nnrt, axis=-1, **more[0])
    assert same(got, call(nnrt, dim=-1, **more[1])) and same(got, call(torch, axis=-1, **more[0]))


def test_functions_refuse():
    x = nnrt.zeros(2, 3, requires_grad=True)
    assert (x.numpy(force=True) == 0).all()
    assert nnrt.diff(x, 0) is not x and x.diagflat().shape == (6, 6) and x.kron(x).shape == (4, 9)
    for call, text in (
        (lambda: nnrt.cross(x, x, 0), "cross: axis 0 must have size 3"), (lambda: nnrt.vdot(x[0], x[0, :2]), "vdot: .* 3 and 2"),
        (lambda: nnrt.trapezoid(x, x[0, :2]), "x has 2 points, y 3 samples"),
        (lambda: x.select_scatter(x, 0, 1), r"select_scatter: src must have the shape \(3,\) .*, got \(2, 3\)"),
        (lambda: x.renorm(0, 0, 1.0), "renorm: wants p > 0"), (lambda: nnrt.dist(x.long(), x.long()), "dist: wants floating"),
    ):  # fmt: skip
        with pytest.raises(RuntimeError, match=text):
            call()
    with pytest.raises(IndexError, match="unravel_index: index 6"):
        nnrt.unravel_index(nnrt.tensor([6]), (2, 3))
    with pytest.raises(ValueError, match="einsum: axes must be lists"):
        nnrt.einsum(x, [0, 52])
    for export in (nnrt.from_dlpack, np.from_dlpack):
        with pytest.raises(BufferError, match=r"dlpack.*: .* pass tensor.detach\(\)"):
            export(x)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "float16"])
def test_linear_of_rare_dtypes(dtype, torch):
    x, w, b = (INTEGERS[None].astype(dtype), INTEGERS[:2].astype(dtype), np.ones(2, dtype))
    want = torch.nn.functional.linear(*tensors((x, w, b), torch))
    assert F.linear(*tensors((x, w, b))).tolist() == want.tolist() and F.linear(*tensors((x, w))).dtype == dtype


@pytest.mark.parametrize("p", [0.0, 1.0, 2.0, 3.0, math.inf])
def test_distances(p, torch):
    a, b = Y.reshape(2, 2, 3), X.reshape(2, 2, 3)
    args = nnrt.tensor(a, requires_grad=True), nnrt.tensor(b, requires_grad=True)
    np.testing.assert_allclose(nnrt.cdist(*args, p).detach().numpy(), torch.cdist(torch.tensor(a), torch.tensor(b), p))
    np.testing.assert_allclose(F.pdist(nnrt.tensor(X), p).numpy(), torch.pdist(torch.tensor(X), p))
    if p:
        assert nnrt.autograd.gradcheck(lambda x, y: nnrt.cdist(x, y, p), args)


def test_distances_of_many_rows_are_those_of_their_differences():
    rng = np.random.default_rng(0)
    a, b = 50 + rng.standard_normal((2, 1, 27, 4)), 50 + rng.standard_normal((3, 26, 4))
    b[0, :3], b[1, 4], b[2, 5] = a[0, 0, :3], a[1, 0, 4] + 1e-3, np.inf
    a32, b32 = a.astype(np.float32), b.astype(np.float32)
    want = np.sqrt(((a32[..., :, None, :] - b32[..., None, :, :]).astype(np.float64) ** 2).sum(-1))
    np.testing.assert_allclose(nnrt.cdist(nnrt.tensor(a32), nnrt.tensor(b32)).numpy(), want, rtol=1e-5)
    b[2, 5], b[0, :3] = 0, b[0, :3] + 0.1
    assert nnrt.autograd.gradcheck(nnrt.cdist, [nnrt.tensor(x, requires_grad=True) for x in (a, b)])
    with pytest.raises(ValueError, match="cdist: compute_mode must be one of use_mm.*got 'fast'"):
        nnrt.cdist(nnrt.tensor(a), nnrt.tensor(b), 2.0, "fast")


def test_a_name_that_is_elsewhere_says_where():
    with pytest.raises(AttributeError, match=r"no attribute 'utils' \(.*nnrt\.data\)"):
        nnrt.utils  # noqa: B018
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        nnrt.nothing  # noqa: B018
    for find, where in ((lambda: nnrt.bfloat16, "float32"), (lambda: nnrt.nn.DataParallel, "call the module"),
                        (lambda: nnrt.cuda.current_device, "CPU only")):  # fmt: skip
        with pytest.raises(AttributeError, match=where):
            find()


def test_switches_of_scripts():
    nnrt.backends.cudnn.deterministic, nnrt.backends.cuda.matmul.allow_tf32 = True, True
    nnrt.use_deterministic_algorithms(True, warn_only=True)
    nnrt.set_float32_matmul_precision("high")
    nnrt.set_default_device("cpu")
    nnrt.cuda.empty_cache()
    assert not nnrt.backends.mps.is_available() and not nnrt.accelerator.is_available() and nnrt.cuda.memory_allocated() == 0
    assert nnrt.get_default_device() == nnrt.device("cpu") and nnrt.are_deterministic_algorithms_enabled()
    assert nnrt.get_float32_matmul_precision() == "highest"
    with pytest.raises(RuntimeError, match="set_default_device: device 'cuda' is not available"):
        nnrt.set_default_device("cuda")
    with pytest.raises(ValueError, match="set_float32_matmul_precision: wants 'highest'"):
        nnrt.set_float32_matmul_precision("low")
    modules = nn.modules
    assert isinstance(nn.Conv2d(1, 1, 1), modules.conv._ConvNd) and modules.Linear is nn.Linear
    assert isinstance(nn.BatchNorm1d(2), modules.batchnorm._BatchNorm) and issubclass(nn.MSELoss, modules.loss._Loss)


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
def test_windows_are_torchs(name, torch):
    for n in (0, 1, 2, 7, 8):
        for periodic in (True, False):
            got, want = (getattr(lib, f"{name}_window")(n, periodic, dtype=lib.float64).numpy() for lib in (nnrt, torch))
            np.testing.assert_allclose(got, want, atol=1e-7)
    assert nnrt.hamming_window(3, False, 0.5, 0.5).dtype == nnrt.float32
    with pytest.raises(RuntimeError, match="hann_window: window_length must be"):
        nnrt.hann_window(-1)


def test_weighted_covariances_are_torchs(torch):
    counts, weights = np.array([1, 2, 3, 1]), np.array([0.5, 1.0, 0.25, 2.0])
    for named in ({"fweights": counts}, {"aweights": weights, "correction": 0}, {"fweights": counts, "aweights": weights}):
        got, want = (
            lib.cov(lib.tensor(X), **{k: v if k == "correction" else lib.tensor(v) for k, v in named.items()})
            for lib in (nnrt, torch)
        )
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-9)
    for named, text in (({"fweights": nnrt.ones(3)}, "fweights must be 4 integer"), ({"aweights": nnrt.zeros(4)}, "sum is 0")):
        with pytest.raises(RuntimeError, match=text):
            nnrt.cov(nnrt.tensor(X), **named)


def test_gumbel_softmax():
    nnrt.manual_seed(0)
    p = nnrt.tensor([0.1, 0.2, 0.7])
    y = F.gumbel_softmax(p.log().expand(20000, 3), hard=True)
    assert set(y.flatten().tolist()) == {0.0, 1.0} and np.abs((y.mean(0) - p).numpy()).max() < 0.02
    x = nnrt.zeros(5, 3, requires_grad=True)
    F.gumbel_softmax(x, tau=0.5, hard=True)[:, 0].sum().backward()
    assert (x.grad[:, 0] > 0).all() and np.abs(x.grad.sum(1).numpy()).max() < 1e-6


@pytest.mark.parametrize("n", [0, 1, 9])
def test_adaptive_log_softmax_is_torchs(n, torch):
    args = (16, 30, [5, 12], 2.0, True)
    theirs, ours = torch.nn.AdaptiveLogSoftmaxWithLoss(*args).double(), nn.AdaptiveLogSoftmaxWithLoss(*args).double()
    ours.load_state_dict({k: nnrt.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(n)
    x, t = rng.standard_normal((n, 16)), rng.integers(0, 30, n)
    ends = []
    for library, layer in ((nnrt, ours), (torch, theirs)):
        z = library.tensor(x, requires_grad=True)
        y = layer(z, library.tensor(t))
        y.output.sum().backward()
        found = [y.output.detach(), y.loss.detach(), z.grad, layer.head.weight.grad]
        ends.append([*found, layer.log_prob(z).detach(), layer.predict(z)])
    for got, wanted in zip(*ends):
        np.testing.assert_allclose(got.numpy(), wanted.numpy(), rtol=1e-9, atol=1e-12)
    with pytest.raises(RuntimeError, match="within 0 and 29, got 30 to 30"):
        ours(nnrt.zeros(1, 16, dtype=nnrt.float64), nnrt.tensor([30]))
    with pytest.raises(ValueError, match="cutoffs must rise between 0 and n_classes = 30"):
        nn.AdaptiveLogSoftmaxWithLoss(16, 30, [12, 5])


# Parameters of torch's functions that nnrt has not (README, Limits), and functions that torch's list itself names
# otherwise.
WITHOUT = {
    "out", "layout", "pin_memory", "memory_format", "requires_grad", "device", "dtype", "generator", "copy", "out_dtype", "names",
    "compute_mode", "cudnn_enabled", "pickle_module", "pickle_load_args", "pickle_protocol", "kwargs",
}  # fmt: skip
OTHERWISE = {
    "alpha_dropout", "dropout", "atleast_1d", "atleast_2d", "atleast_3d", "broadcast_to", "diag_embed", "isfinite", "isin",
    "isinf", "lstm", "msort", "permute", "split_with_sizes", "swapaxes", "swapdims", "topk", "where", "xlogy",
}  # fmt: skip


def test_parameters_have_torchs_names(torch):
    known = torch.overrides.get_testing_overrides()
    compared, wrong = 0, []
    for ours, theirs in ((nnrt, torch), (F, torch.nn.functional)):
        for name, function in vars(ours).items():
            declared = known.get(getattr(theirs, name, None)) if callable(function) else None
            if declared is None or name in OTHERWISE:
                continue
            want = {n for n in inspect.signature(declared).parameters if n not in WITHOUT and not n.startswith("_")}
            wrong += [f"{name}: {missing}" for missing in want - set(inspect.signature(function).parameters)]
            compared += 1
    assert compared > 300 and not wrong, wrong
    x = nnrt.arange(6.0)
    assert nnrt.reshape(input=x, shape=(2, 3)).permute(dims=(1, 0)).tile(dims=(1, 2)).shape == (3, 4)
    assert x.view(2, 3).scatter_(1, nnrt.tensor([[0], [2]]), value=-1.0).tolist() == [[-1, 1, 2], [3, 4, -1]]
    assert nnrt.tensor([7.0, -7.0]).div_(2, rounding_mode="floor").tolist() == [3, -4]


# What they give depends on an argument, or, of the first line, they are compiled in a way that forgets it.
SILENT = """
    add matmul mul
    adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d atleast_1d atleast_2d atleast_3d fractional_max_pool2d
    fractional_max_pool3d max max_pool1d max_pool2d max_pool3d median min multi_head_attention_forward nanmedian nonzero
    qrnn_pool sru_scan unique unique_consecutive where
""".split()


def test_functions_say_what_they_give():
    silent = set()
    for library in (nnrt, F, nnrt.linalg):
        for name, f in vars(library).items():
            ours = (getattr(f, "__module__", None) or "").startswith("nnrt")
            if ours and callable(f) and not isinstance(f, type) and name[0] != "_" and "return" not in f.__annotations__:
                silent.add(f.__name__)
    assert silent <= set(SILENT)
