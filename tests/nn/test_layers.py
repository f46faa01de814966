"""Every layer against torch's of the same name: repr, state, forward, gradients of inputs and parameters."""

import copy
import inspect
import pickle

import numpy as np
import pytest

import nnrt
from nnrt import nn

TOL = {np.float32: (3e-5, 3e-6), np.float64: (1e-10, 1e-11)}


def normal(*shape):
    return lambda rng: [rng.standard_normal(shape)]


X = normal(3, 4, 5)

# name, arguments (lists become tensors), inputs
ACTIVATIONS = [
    ("CELU", dict(), X),
    ("CELU", dict(alpha=0.3), X),
    ("ELU", dict(), X),
    ("ELU", dict(alpha=0.3, inplace=True), X),
    ("GELU", dict(), X),
    ("GELU", dict(approximate="tanh"), X),
    ("GLU", dict(), normal(3, 4)),
    ("GLU", dict(dim=0), normal(4, 3)),
    ("Hardshrink", dict(), X),
    ("Hardshrink", dict(lambd=1.0), X),
    ("Hardsigmoid", dict(), lambda rng: [4 * rng.standard_normal(20)]),
    ("Hardswish", dict(), lambda rng: [4 * rng.standard_normal(20)]),
    ("Hardtanh", dict(), X),
    ("Hardtanh", dict(min_val=-0.5, max_val=2.0, inplace=True), X),
    ("LeakyReLU", dict(), X),
    ("LeakyReLU", dict(negative_slope=0.2, inplace=True), X),
    ("LogSigmoid", dict(), X),
    ("LogSoftmax", dict(dim=1), X),
    ("Mish", dict(), X),
    ("PReLU", dict(), X),
    ("PReLU", dict(num_parameters=4, init=0.1), X),
    ("ReLU", dict(), X),
    ("ReLU", dict(inplace=True), X),
    ("ReLU6", dict(), lambda rng: [4 * rng.standard_normal(20)]),
    ("SELU", dict(), X),
    ("SiLU", dict(), X),
    ("Sigmoid", dict(), X),
    ("Softmax", dict(dim=-1), X),
    ("Softmax2d", dict(), X),
    ("Softmin", dict(dim=0), X),
    ("Softplus", dict(), X),
    ("Softplus", dict(beta=2.0, threshold=1.0), X),
    ("Softshrink", dict(), X),
    ("Softsign", dict(), X),
    ("Tanh", dict(), X),
    ("Tanhshrink", dict(), X),
    ("Threshold", dict(threshold=0.1, value=7.0), X),
]
POOLING = [
    ("MaxPool1d", dict(kernel_size=3, stride=2, padding=1), normal(2, 3, 9)),
    ("MaxPool2d", dict(kernel_size=(3, 2), dilation=2, ceil_mode=True), normal(2, 3, 8, 9)),
    ("MaxPool3d", dict(kernel_size=2), normal(2, 3, 4, 4, 5)),
    ("AvgPool1d", dict(kernel_size=3, stride=2, padding=1), normal(2, 3, 9)),
    ("AvgPool2d", dict(kernel_size=(3, 2), ceil_mode=True, count_include_pad=False), normal(2, 3, 8, 9)),
    ("AvgPool3d", dict(kernel_size=2, divisor_override=3), normal(2, 3, 4, 4, 5)),
    ("AdaptiveAvgPool1d", dict(output_size=4), normal(2, 3, 9)),
    ("AdaptiveAvgPool2d", dict(output_size=(None, 2)), normal(2, 3, 8, 9)),
    ("AdaptiveAvgPool3d", dict(output_size=1), normal(2, 3, 4, 4, 5)),
    ("AdaptiveMaxPool1d", dict(output_size=4), normal(2, 3, 9)),
    ("AdaptiveMaxPool2d", dict(output_size=(None, 2)), normal(2, 3, 8, 9)),
    ("AdaptiveMaxPool3d", dict(output_size=1), normal(2, 3, 4, 4, 5)),
    ("LPPool1d", dict(norm_type=2, kernel_size=3, stride=2), normal(2, 3, 9)),
    ("LPPool2d", dict(norm_type=2, kernel_size=(3, 2), ceil_mode=True), normal(2, 3, 8, 9)),
    ("LPPool3d", dict(norm_type=2, kernel_size=2), normal(2, 3, 4, 4, 5)),
    *[
        (f"MaxUnpool{d}d", dict(kernel_size=2), lambda rng, d=d: [rng.standard_normal((1, 1, *(2,) * d)), unpooled(rng, d)])
        for d in (1, 2, 3)
    ],
]


def unpooled(rng, d):
    return rng.permutation(4**d)[: 2**d].reshape(1, 1, *(2,) * d)


OTHERS = [
    ("Identity", dict(), X),
    ("Linear", dict(in_features=5, out_features=3), X),
    ("Linear", dict(in_features=5, out_features=3, bias=False), normal(5)),
    ("Linear", dict(in_features=5, out_features=1), normal(0, 5)),
    (
        "Bilinear",
        dict(in1_features=3, in2_features=4, out_features=2),
        lambda rng: [*normal(5, 3)(rng), *normal(5, 4)(rng)],
    ),
    (
        "Bilinear",
        dict(in1_features=3, in2_features=4, out_features=2, bias=False),
        lambda rng: [*normal(2, 5, 3)(rng), *normal(2, 5, 4)(rng)],
    ),
    ("Flatten", dict(), X),
    ("Flatten", dict(start_dim=0, end_dim=1), X),
    ("Unflatten", dict(dim=1, unflattened_size=(2, 2)), X),
    ("Embedding", dict(num_embeddings=7, embedding_dim=3), lambda rng: [rng.integers(0, 7, (2, 4))]),
    (
        "Embedding",
        dict(num_embeddings=7, embedding_dim=3, padding_idx=-2),
        lambda rng: [rng.integers(0, 7, 9)],
    ),
    (
        "Embedding",
        dict(num_embeddings=7, embedding_dim=3, max_norm=0.5, norm_type=1.0, scale_grad_by_freq=True),
        lambda rng: [rng.integers(0, 7, 9)],
    ),
    ("EmbeddingBag", dict(num_embeddings=7, embedding_dim=3), lambda rng: [rng.integers(0, 7, (4, 3))]),
    (
        "EmbeddingBag",
        dict(num_embeddings=7, embedding_dim=3, mode="sum", padding_idx=1),
        lambda rng: [rng.integers(0, 7, 9), np.array([0, 4, 4])],
    ),
    (
        "EmbeddingBag",
        dict(num_embeddings=7, embedding_dim=3, mode="max"),
        lambda rng: [rng.integers(0, 7, (4, 3))],
    ),
    ("CosineSimilarity", dict(), lambda rng: [*normal(4, 5)(rng), *normal(4, 5)(rng)]),
    ("CosineSimilarity", dict(dim=0, eps=1e-3), lambda rng: [*normal(4, 5)(rng), *normal(4, 5)(rng)]),
    ("PairwiseDistance", dict(), lambda rng: [*normal(4, 5)(rng), *normal(4, 5)(rng)]),
    ("PairwiseDistance", dict(p=1.0, keepdim=True), lambda rng: [*normal(4, 5)(rng), *normal(4, 5)(rng)]),
]

PADS = ("ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad")
OTHERS += [
    *[(f"{kind}{d}d", dict(padding=1), normal(2, 3, *(4, 5, 6)[:d])) for d in (1, 2, 3) for kind in PADS],
    *[(f"{kind}2d", dict(padding=(1, 2, 3, 0)), normal(3, 4, 5)) for kind in PADS],
    *[(f"ConstantPad{d}d", dict(padding=1, value=2.5), normal(2, 3, *(4, 5, 6)[:d])) for d in (1, 2, 3)],
    ("ZeroPad2d", dict(padding=(-1, 2, 0, 1)), normal(2, 3, 4, 5)),
    ("Upsample", dict(size=7), normal(2, 3, 4)),
    ("Upsample", dict(scale_factor=2), normal(2, 3, 4, 5)),
    ("Upsample", dict(scale_factor=(1, 2.5), mode="bilinear"), normal(2, 3, 4, 5)),
    ("Upsample", dict(size=(3, 7), mode="bicubic", align_corners=True), normal(2, 3, 4, 5)),
    ("UpsamplingNearest2d", dict(size=(3, 7)), normal(2, 3, 4, 5)),
    ("UpsamplingBilinear2d", dict(scale_factor=2), normal(2, 3, 4, 5)),
    ("PixelShuffle", dict(upscale_factor=2), normal(2, 8, 3, 4)),
    ("PixelUnshuffle", dict(downscale_factor=2), normal(3, 4, 6)),
    ("ChannelShuffle", dict(groups=3), normal(2, 6, 4, 5)),
    ("Unfold", dict(kernel_size=2), normal(2, 3, 4, 5)),
    ("Unfold", dict(kernel_size=(3, 2), dilation=2, padding=(2, 1), stride=(1, 3)), normal(3, 4, 5)),
    ("Fold", dict(output_size=(4, 5), kernel_size=2), normal(2, 12, 12)),
    ("Fold", dict(output_size=(4, 5), kernel_size=(3, 2), dilation=2, padding=(2, 1), stride=(1, 3)), normal(18, 8)),
]

SIZES = {1: (9,), 2: (7, 8), 3: (5, 4, 6)}
OTHERS += [
    (f"Conv{d}d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **options}, normal(2, 4, *SIZES[d]))
    for d in (1, 2, 3)
    for options in (
        dict(),
        dict(bias=False, padding="valid"),
        dict(stride=2, padding=1, groups=2),
        dict(padding="same", dilation=2),
        dict(padding=1, padding_mode="circular"),
        dict(padding="same", padding_mode="replicate", kernel_size=2),
    )
]
OTHERS += [
    ("Conv1d", dict(in_channels=2, out_channels=3, kernel_size=(4,), padding=(2,), padding_mode="reflect"), normal(2, 9)),
    (
        "Conv2d",
        dict(in_channels=3, out_channels=3, kernel_size=(3, 2), stride=(2, 1), padding=(2, 0), padding_mode="reflect"),
        normal(1, 3, 6, 5),
    ),
    ("Conv2d", dict(in_channels=3, out_channels=6, kernel_size=(3, 1), groups=3, padding=(1, 0)), normal(3, 6, 5)),
    ("Conv2d", dict(in_channels=5, out_channels=6, kernel_size=1), normal(2, 5, 6, 5)),
    ("Conv2d", dict(in_channels=16, out_channels=24, kernel_size=3, padding=1), normal(2, 16, 9, 10)),
]
OTHERS += [
    (f"ConvTranspose{d}d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, **options}, normal(2, 4, *SIZES[d]))
    for d in (1, 2, 3)
    for options in (
        dict(),
        dict(bias=False, stride=2, padding=1, output_padding=1),
        dict(groups=2, dilation=2, stride=3),
    )
]
NORMS = [
    ("BatchNorm1d", dict(num_features=4), normal(6, 4)),
    ("BatchNorm1d", dict(num_features=4, momentum=None), X),
    ("BatchNorm2d", dict(num_features=3, eps=0.1, momentum=0.3), normal(4, 3, 2, 5)),
    ("BatchNorm2d", dict(num_features=3, affine=False), normal(4, 3, 2, 5)),
    ("BatchNorm2d", dict(num_features=3, track_running_stats=False, bias=False), normal(4, 3, 2, 5)),
    ("BatchNorm3d", dict(num_features=2), normal(3, 2, 2, 3, 2)),
    ("InstanceNorm1d", dict(num_features=4), X),
    ("InstanceNorm1d", dict(num_features=4, affine=True), normal(4, 5)),
    ("InstanceNorm2d", dict(num_features=3, affine=True, track_running_stats=True), normal(4, 3, 2, 5)),
    ("InstanceNorm2d", dict(num_features=3, track_running_stats=True, momentum=None), normal(3, 2, 5)),
    ("InstanceNorm3d", dict(num_features=2, eps=0.1), normal(3, 2, 2, 3, 2)),
    ("GroupNorm", dict(num_groups=2, num_channels=4), X),
    ("GroupNorm", dict(num_groups=1, num_channels=4, affine=False, eps=0.1), normal(2, 4)),
    ("GroupNorm", dict(num_groups=2, num_channels=4, bias=False), normal(2, 4, 2, 3)),
    ("LayerNorm", dict(normalized_shape=5), X),
    ("LayerNorm", dict(normalized_shape=(4, 5), bias=False, eps=0.1), X),
    ("LayerNorm", dict(normalized_shape=(5,), elementwise_affine=False), X),
    ("RMSNorm", dict(normalized_shape=5), X),
    ("RMSNorm", dict(normalized_shape=(4, 5), eps=0.1, elementwise_affine=False), X),
    ("LocalResponseNorm", dict(size=3, alpha=0.1, k=2.0), X),
]
OTHERS += NORMS
for further, more in [
    ((), dict(reduction="sum", label_smoothing=0.1)),
    ((2,), dict(bias=True, weight=[0.5, 1.0, 2.0, 0.1], ignore_index=1)),
]:
    sizes = dict(in_features=3, num_classes=4, out_features=further)
    xy = lambda rng, further=further: [rng.standard_normal((6, 3)), rng.integers(0, 4, (6, *further))]  # noqa: E731
    OTHERS.append(("LinearCrossEntropyLoss", {**sizes, **more}, xy))


def pair(rng, *shape):
    return list(rng.standard_normal((2, *shape)))


def signs(rng, *shape):
    return rng.choice([-1.0, 1.0], shape)


LOSSES = [
    ("L1Loss", dict(), lambda rng: pair(rng, 4, 3)),
    ("MSELoss", dict(), lambda rng: pair(rng, 4, 3)),
    ("SmoothL1Loss", dict(beta=0.7), lambda rng: pair(rng, 4, 3)),
    ("HuberLoss", dict(delta=0.7), lambda rng: pair(rng, 4, 3)),
    (
        "CrossEntropyLoss",
        dict(label_smoothing=0.1),
        lambda rng: [rng.standard_normal((6, 4)), rng.integers(0, 4, 6)],
    ),
    (
        "CrossEntropyLoss",
        dict(weight=[0.5, 1.0, 2.0, 0.1], ignore_index=1),
        lambda rng: [rng.standard_normal((6, 4, 2)), rng.integers(0, 4, (6, 2))],
    ),
    (
        "NLLLoss",
        dict(weight=[0.5, 1.0, 2.0, 0.1]),
        lambda rng: [rng.standard_normal((6, 4)), rng.integers(0, 4, 6)],
    ),
    ("BCELoss", dict(), lambda rng: [rng.random((4, 3)), rng.random((4, 3))]),
    (
        "BCEWithLogitsLoss",
        dict(pos_weight=[0.5, 1.0, 2.0]),
        lambda rng: [rng.standard_normal((4, 3)), rng.random((4, 3))],
    ),
    ("KLDivLoss", dict(), lambda rng: [rng.standard_normal((4, 3)), rng.random((4, 3))]),
    ("KLDivLoss", dict(log_target=True), lambda rng: pair(rng, 4, 3)),
    (
        "PoissonNLLLoss",
        dict(full=True),
        lambda rng: [rng.standard_normal((4, 3)), rng.poisson(3.0, (4, 3)) * 1.0],
    ),
    (
        "PoissonNLLLoss",
        dict(log_input=False),
        lambda rng: [rng.random((4, 3)), rng.poisson(3.0, (4, 3)) * 1.0],
    ),
    ("GaussianNLLLoss", dict(full=True), lambda rng: [*pair(rng, 4, 3), rng.random((4, 3))]),
    ("MarginRankingLoss", dict(margin=0.3), lambda rng: [*pair(rng, 7), signs(rng, 7)]),
    ("HingeEmbeddingLoss", dict(margin=0.5), lambda rng: [rng.standard_normal(9), signs(rng, 9)]),
    ("CosineEmbeddingLoss", dict(margin=0.1), lambda rng: [*pair(rng, 5, 3), signs(rng, 5)]),
    ("SoftMarginLoss", dict(), lambda rng: [rng.standard_normal((4, 3)), signs(rng, 4, 3)]),
    (
        "MultiMarginLoss",
        dict(p=2, margin=0.5),
        lambda rng: [rng.standard_normal((5, 4)), rng.integers(0, 4, 5)],
    ),
    (
        "MultiLabelMarginLoss",
        dict(),
        lambda rng: [rng.standard_normal((2, 4)), np.array([[3, 0, -1, 1], [2, -1, 0, 0]])],
    ),
    (
        "MultiLabelSoftMarginLoss",
        dict(weight=[0.5, 1.0, 2.0]),
        lambda rng: [rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3)) * 1.0],
    ),
    (
        "TripletMarginLoss",
        dict(margin=0.5, swap=True),
        lambda rng: [*pair(rng, 4, 3), rng.standard_normal((4, 3))],
    ),
    ("TripletMarginWithDistanceLoss", dict(), lambda rng: [*pair(rng, 4, 3), rng.standard_normal((4, 3))]),
]


def labelled(cases):
    return [pytest.param(*case, id=f"{case[0]}-{','.join(map(str, case[1]))}") for case in cases]


def build(lib, name, kwargs, dtype):
    """The layer; lists among its arguments become tensors."""
    kwargs = {k: lib.tensor(v) if isinstance(v, list) else v for k, v in kwargs.items()}
    layer = getattr(lib.nn, name)(**kwargs)
    return layer.double() if dtype == np.float64 else layer


def run(lib, layer, arrays, weights):
    """The output, and gradients of <output, weights> with respect to floating inputs and parameters."""
    inputs = [lib.tensor(a.copy()) for a in arrays]
    for x in inputs:
        if x.is_floating_point():
            x.requires_grad_()
    # an in-place layer needs an input that is no leaf
    given = [x * 1 if getattr(layer, "inplace", False) else x for x in inputs]
    y = layer(*given)
    if y.requires_grad:
        y.backward(lib.tensor(weights(tuple(y.shape))))
    grads = [x.grad for x in inputs if x.is_floating_point()] + [p.grad for p in layer.parameters()]
    return y.detach().numpy(), [None if g is None else g.detach().numpy() for g in grads]


def compare(torch, name, kwargs, arrays, dtype):
    arrays = [a.astype(dtype) if a.dtype.kind == "f" else a for a in arrays]
    ours, theirs = build(nnrt, name, kwargs, dtype), build(torch, name, kwargs, dtype)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())

    def weights(shape):
        return np.random.default_rng(3).standard_normal(shape).astype(dtype)

    got, got_grads = run(nnrt, ours, arrays, weights)
    want, want_grads = run(torch, theirs, arrays, weights)
    assert got.shape == want.shape and got.dtype == want.dtype
    rtol, atol = TOL[dtype]
    if name in ("CELU", "Hardsigmoid"):  # torch keeps 1/alpha and 1/6 in float32
        rtol, atol = max(rtol, 1e-7), max(atol, 1e-8)
    if name.startswith("Conv"):  # sums of thousands of terms
        atol *= 100
    np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
    assert len(got_grads) == len(want_grads)
    for g, w in zip(got_grads, want_grads):
        assert (g is None) == (w is None)
        if g is not None:
            np.testing.assert_allclose(g, w, rtol=rtol, atol=atol, err_msg="gradient")
    for key, value in theirs.state_dict().items():  # max_norm changes the table
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-5, err_msg=key)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("name, kwargs, inputs", labelled(ACTIVATIONS + POOLING + OTHERS))
def test_layer_agrees_with_torch(torch, name, kwargs, inputs, dtype, rng):
    compare(torch, name, kwargs, inputs(rng), dtype)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, kwargs, inputs", labelled(LOSSES))
def test_loss_agrees_with_torch(torch, name, kwargs, inputs, reduction, rng):
    for dtype in (np.float32, np.float64):
        arrays = inputs(rng)
        # torch gives targets no gradient in some losses: only the first inputs are differentiated here
        compare_loss(torch, name, {**kwargs, "reduction": reduction}, arrays, dtype)


def compare_loss(torch, name, kwargs, arrays, dtype):
    results = []
    for lib in (nnrt, torch):
        layer = build(lib, name, kwargs, dtype)
        inputs = [lib.tensor(a.astype(dtype) if a.dtype.kind == "f" else a) for a in arrays]
        inputs[0].requires_grad_()
        y = layer(*inputs)
        weights = np.random.default_rng(3).standard_normal(tuple(y.shape)).astype(dtype)
        y.backward(lib.tensor(weights))
        results.append((y.detach().numpy(), inputs[0].grad.numpy()))
    rtol, atol = TOL[dtype]
    for got, want in zip(*results):
        assert got.shape == want.shape and got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name, kwargs, inputs", labelled(ACTIVATIONS + POOLING + OTHERS))
def test_repr_is_torchs(torch, name, kwargs, inputs):
    ours, theirs = repr(build(nnrt, name, kwargs, np.float32)), repr(build(torch, name, kwargs, np.float32))
    assert ours == theirs


@pytest.mark.parametrize("name, kwargs, inputs", labelled(NORMS))
def test_norms_agree_with_torch_over_steps(torch, name, kwargs, inputs, rng):
    """Training, frozen in between, and evaluation: outputs and running statistics."""
    ours, theirs = build(nnrt, name, kwargs, np.float64), build(torch, name, kwargs, np.float64)
    for training in (True, True, False, True, False):
        ours.train(training)
        theirs.train(training)
        (x,) = inputs(rng)
        got, want = ours(nnrt.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-9, atol=1e-10)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[key].numpy(), value.numpy(), rtol=1e-9, atol=1e-12, err_msg=key)


def distinct(cases):
    return labelled({case[0]: case for case in cases}.values())


def test_cross_map_lrn_is_local_response_norm(rng):
    x = nnrt.tensor(rng.standard_normal((2, 5, 3, 4)), requires_grad=True)
    layer = nn.CrossMapLRN2d(3, alpha=0.5, k=2)
    assert repr(layer) == "CrossMapLRN2d(3, alpha=0.5, beta=0.75, k=2)"
    assert nnrt.equal(layer(x), nn.LocalResponseNorm(3, alpha=0.5, k=2)(x)) and nnrt.autograd.gradcheck(layer, [x])
    with pytest.raises(ValueError, match=r"CrossMapLRN2d: input must have 4 dimensions .*, got shape \(5, 3, 4\)"):
        layer(x[0])


@pytest.mark.parametrize("name, kwargs, inputs", distinct(ACTIVATIONS + POOLING + OTHERS + LOSSES))
def test_copies_compute_the_same(name, kwargs, inputs, rng):
    layer = build(nnrt, name, kwargs, np.float64).eval()
    arrays = [nnrt.tensor(a) for a in inputs(rng)]
    with nnrt.no_grad():
        want = layer(*[a.clone() for a in arrays]).numpy()
        for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            np.testing.assert_array_equal(other(*[a.clone() for a in arrays]).numpy(), want)
            assert repr(other) == repr(layer)


def test_layers_that_torch_does_not_have():
    x = nnrt.tensor([-2.0, -0.5, 0.0, 3.0])
    assert nn.SquaredReLU()(x).tolist() == [0.0, 0.0, 0.0, 9.0]
    assert nn.Step()(x).tolist() == [0.0, 0.0, 0.0, 1.0]
    assert nn.ReGLU()(x).tolist() == [0.0, -1.5]
    assert nn.BilinearGate()(x).tolist() == [0.0, -1.5]
    y = nnrt.tensor([3.0, -0.5])
    np.testing.assert_allclose(nn.SwiGLU()(x).numpy(), (x[:2] * nn.SiLU()(nnrt.tensor([0.0, 3.0]))).numpy())
    np.testing.assert_allclose(nn.GEGLU()(x).numpy(), (x[:2] * nn.GELU()(nnrt.tensor([0.0, 3.0]))).numpy())
    assert nn.BilinearGate(dim=0)(nnrt.stack((y, y))).tolist() == [[9.0, 0.25]]
    assert repr(nn.SwiGLU(1)) == "SwiGLU(dim=1)"


LinearCE = nn.LinearCrossEntropyLoss


@pytest.mark.parametrize(
    "make, error, text",
    [
        (lambda: nn.Linear(2.5, 3), TypeError, "in_features must be an integer, got float"),
        (lambda: nn.Linear(2, -3), ValueError, "out_features must not be negative, got -3"),
        (lambda: nn.Bilinear(0, 1, 1), ValueError, "in1_features"),
        (lambda: nn.Dropout(1.5), ValueError, "p must be between 0 and 1, got 1.5"),
        (lambda: nn.Dropout2d(-0.1), ValueError, "Dropout2d"),
        (lambda: nn.Hardtanh(1.0, -1.0), ValueError, "max_val must be above"),
        (lambda: nn.MSELoss(reduction="avg"), ValueError, "MSELoss: reduction must be one of"),
        (lambda: nn.MSELoss(reduction="batchmean"), ValueError, "reduction"),
        (lambda: nn.CrossEntropyLoss(3), TypeError, "Tensor or None"),
        (lambda: nn.TripletMarginLoss(0), ValueError, "margin"),
        (lambda: LinearCE(2, 3)(nnrt.ones(4, 5), nnrt.zeros(4).long()), RuntimeError, r"\(4, 5\) and \(3, 2\)"),
        (lambda: LinearCE(2, 3, out_features=(2,))(nnrt.ones(2), nnrt.zeros(2).long()), RuntimeError, "wants input"),
        (lambda: LinearCE(2, 3, options=1)(nnrt.ones(4, 2), nnrt.zeros(4).long()), NotImplementedError, "options"),
        (lambda: LinearCE(2, 3, ignore_index=1)(nnrt.ones(4, 2), nnrt.ones(4, 3)), RuntimeError, "names a class"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), ValueError, "not a row"),
        (lambda: nn.Embedding(3, 2, _weight=nnrt.ones(2, 2)), ValueError, r"\(2, 2\), wanted \(3, 2\)"),
        (lambda: nn.Embedding.from_pretrained(nnrt.ones(3)), ValueError, "matrix"),
        (lambda: nn.EmbeddingBag(3, 2, mode="avg"), ValueError, "mode"),
        (lambda: nn.Unflatten("a", (1,)), TypeError, "dim"),
        (lambda: nn.Unflatten(1, (1.5,)), TypeError, "tuple of integers"),
        (lambda: nn.Softmax2d()(nnrt.ones(2, 2)), ValueError, "3 or 4 dimensions"),
        (lambda: nn.Linear(2, 3)(nnrt.ones(4, 5)), RuntimeError, "in_features = 2"),
        (lambda: nn.Residual(nn.Linear(2, 3))(nnrt.ones(1, 2)), RuntimeError, "must stay"),
    ],
)
def test_bad_arguments_are_named(make, error, text):
    with pytest.raises(error, match=text):
        make()


def test_linear_starts_as_torchs_does():
    layer = nn.Linear(400, 300)
    for p in (layer.weight, layer.bias):
        values = p.detach().numpy()
        assert abs(values).max() <= 1 / 20 and abs(values).max() > 0.95 / 20
        assert abs(values.std() - 1 / 20 / np.sqrt(3)) < 0.003
    assert nn.Linear(2, 3, dtype=nnrt.float64).weight.dtype == nnrt.float64
    assert nn.Linear(0, 3)(nnrt.ones(2, 0)).tolist() == [[0.0] * 3] * 2
    assert nn.Linear(3, 0)(nnrt.ones(2, 3)).shape == (2, 0)


def test_lazy_linear():
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(2, bias=False))
    assert model[0].has_uninitialized_params()
    again = pickle.loads(pickle.dumps(model))
    for m in (model, again, copy.deepcopy(again)):
        p = m[0].weight
        assert m(nnrt.ones(5, 3)).shape == (5, 2)
        assert type(m[0]) is nn.Linear and type(p) is nn.Parameter and m[0].weight is p
        assert repr(m[2]) == "Linear(in_features=4, out_features=2, bias=False)"
        m(nnrt.ones(1, 3)).sum().backward()
        assert p.grad.shape == (4, 3)
        with pytest.raises(RuntimeError):
            m(nnrt.ones(1, 4))
    with pytest.raises(RuntimeError, match="at least 1"):
        nn.LazyLinear(2)(nnrt.tensor(1.0))


def test_embedding_padding_row_starts_at_zero_and_stays():
    table = nn.Embedding(4, 3, padding_idx=-1)
    assert table.padding_idx == 3 and table.weight[3].tolist() == [0.0] * 3
    table(nnrt.tensor([3, 1, 3])).sum().backward()
    assert table.weight.grad[3].tolist() == [0.0] * 3 and table.weight.grad[1].tolist() == [1.0] * 3
    given = nnrt.ones(2, 3)
    pretrained = nn.Embedding.from_pretrained(given)
    assert not pretrained.weight.requires_grad and pretrained.weight.array is given.array
    assert nn.EmbeddingBag.from_pretrained(given, freeze=False).weight.requires_grad


def test_sparse_embedding_gradients_hold_the_used_rows():
    table = nn.Embedding(100, 2, sparse=True)
    table(nnrt.tensor([5, 7, 5])).sum().backward()
    grad = table.weight.grad
    assert grad.coalesce().rows.tolist() == [5, 7]
    total = nn.utils.clip_grad_norm_(table.parameters(), 1.0)
    assert abs(total.item() - 10**0.5) < 1e-5
    np.testing.assert_allclose(np.linalg.norm(table.weight.grad.values), 1, rtol=1e-5)
    table.zero_grad()
    assert table.weight.grad is None


@pytest.mark.parametrize(
    "kind, shape, whole",
    [
        ("Dropout", (40, 50), 2),
        ("AlphaDropout", (40, 50), 2),
        ("Dropout1d", (40, 50, 3), 2),
        ("Dropout2d", (40, 50, 2, 2), 2),
        ("Dropout3d", (40, 50, 2, 1, 2), 2),
        ("FeatureAlphaDropout", (40, 50, 2, 2), 2),
        ("Dropout1d", (2000, 3), 1),
        ("Dropout3d", (2000, 2, 1, 2), 1),
    ],
)
def test_dropout(kind, shape, whole):
    """A fraction p is dropped, by channels where asked for, and its gradient; nothing in eval mode."""
    nnrt.manual_seed(0)
    layer = getattr(nn, kind)(0.3)
    x = nnrt.ones(shape, requires_grad=True)
    y = layer(x)
    y.sum().backward()
    values = y.detach().numpy()
    flat = values.reshape(*shape[:whole], -1)
    assert (flat == flat[..., :1]).all()
    kept = np.unique(values)
    assert len(kept) == 2
    dropped = float((values == kept[0]).mean())
    assert abs(dropped - 0.3) < 0.05
    grad = x.grad.numpy()
    assert (grad[values == kept[0]] == 0).all() and len(np.unique(grad)) == 2
    if "Alpha" not in kind:
        np.testing.assert_allclose(kept, [0, 1 / 0.7], rtol=1e-6)
    layer.eval()
    assert layer(x) is x or (layer(x).detach().numpy() == 1).all()
    assert repr(layer) == f"{kind}(p=0.3, inplace=False)"


def test_residual_and_dense():
    x = nnrt.randn(2, 3, requires_grad=True)
    inner = nn.Linear(3, 3)
    np.testing.assert_allclose(
        nn.Residual(inner)(x).detach().numpy(), (x + inner(x)).detach().numpy(), rtol=1e-6
    )
    dense = nn.Sequential(nn.DenseConcat(nn.Linear(3, 2)), nn.DenseConcat(nn.Linear(5, 4)))
    y = dense(x)
    assert y.shape == (2, 9) and y[:, :3].tolist() == x.tolist()
    assert [n for n, _ in dense.named_parameters()][0] == "0.module.weight"
    assert nnrt.autograd.gradcheck(nn.Residual(inner.double()), [x.detach().double().requires_grad_()])
    assert nn.DenseConcat(nn.Identity(), dim=0)(x).shape == (4, 3)
    assert "dim=0" in repr(nn.DenseConcat(nn.Identity(), dim=0))


def test_residual_passes_other_arguments_on():
    class Plus(nn.Module):
        def forward(self, x, other, scale=1):
            return other * scale

    x = nnrt.ones(2)
    assert nn.Residual(Plus())(x, nnrt.ones(2), scale=3).tolist() == [4.0, 4.0]


LOSSES = [getattr(nn, name) for name in dir(nn) if name.endswith("Loss")]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda c: c.__name__)
def test_losses_take_torchs_arguments_in_torchs_order(loss, torch):
    ours, theirs = [
        [(p.name, p.default) for p in inspect.signature(c).parameters.values()]
        for c in (loss, getattr(torch.nn, loss.__name__))
    ]
    assert ours == theirs


def test_every_loss_of_torch_is_here(torch):
    theirs = {name for name, c in vars(torch.nn).items() if getattr(c, "__module__", "") == torch.nn.modules.loss.__name__}
    assert len(theirs) > 20 and [name for name in sorted(theirs) if not hasattr(nn, name)] == []


@pytest.mark.parametrize("loss", LOSSES, ids=lambda c: c.__name__)
def test_losses_refuse_the_old_names_of_reduction(loss):
    if "reduce" not in inspect.signature(loss).parameters:
        pytest.skip("torch never had them here")
    with pytest.raises(ValueError, match=f"^{loss.__name__}: size_average and reduce are .* reduction='sum'"):
        loss(size_average=False)
