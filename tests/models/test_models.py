"""Every model: its size, its names, one step of training, and its results beside torch's."""

import re
import subprocess
import sys
import zlib

import numpy as np
import pytest

import nnrt
import nnrt.nn.functional as F
from nnrt import models, nn, optim
from nnrt.bench.twin import models_of

IMAGE = (2, 3, 64, 64)  # enough pixels for the last batch norm
TEN = {"num_classes": 10}
THIN = {"num_classes": 10, "width_per_group": 4}

# model, its options, shape of an input
CASES = [
    ("LeNet", {}, (4, 1, 28, 28)),
    ("LeNet", {"padding": 0, "in_channels": 3}, (4, 3, 32, 32)),
    ("AlexNet", {"num_classes": 10, "hidden": 64}, (2, 3, 63, 63)),
    ("AlexNet", {"num_classes": 10, "form": "2012", "hidden": 64}, (2, 3, 67, 67)),
    ("AlexNet", {"num_classes": 10, "form": "pooled", "hidden": 64}, (2, 3, 64, 64)),
    ("NiN", {}, (4, 3, 16, 16)),
    ("NiN", {"num_classes": 10, "form": "imagenet"}, (2, 3, 67, 67)),
    ("GoogLeNet", TEN, IMAGE),
    ("GoogLeNet", {"num_classes": 10, "aux_logits": False, "kernel": 5}, IMAGE),
    ("resnet18", TEN, IMAGE),
    ("resnet34", TEN, IMAGE),
    ("resnet50", {**THIN, "zero_init_residual": True}, IMAGE),
    ("resnet101", {**THIN, "replace_stride_with_dilation": (False, True, True)}, IMAGE),
    ("resnet152", THIN, IMAGE),
    ("resnext50_32x4d", {"num_classes": 10, "groups": 8}, IMAGE),
    ("resnext101_32x8d", {"num_classes": 10, "groups": 4, "width_per_group": 4}, IMAGE),
    ("wide_resnet50_2", {"num_classes": 10, "width_per_group": 8}, IMAGE),
    ("resnet20", {}, (4, 3, 16, 16)),
    ("densenet121", {"num_classes": 10, "drop_rate": 0.1}, IMAGE),
    ("Xception", TEN, IMAGE),
    ("mobilenet_v1", TEN, IMAGE),
    ("mobilenet_v2", TEN, IMAGE),
    ("efficientnet_b0", TEN, IMAGE),
    ("UNet", {"in_channels": 3, "width": 8}, (2, 3, 32, 32)),
    ("UNet", {"width": 8, "depth": 2, "norm": False, "padding": 0}, (2, 1, 44, 48)),
    ("SEGANGenerator", {}, (2, 1, 1024)),
    ("Generator", {"ngf": 16}, (2, 100, 1, 1)),
    ("Discriminator", {"ndf": 16}, (2, 3, 64, 64)),
    ("Discriminator", {"ndf": 16, "nc": 1, "size": 8, "logits": True}, (4, 1, 8, 8)),
    ("ConvAutoencoder", {"size": 8}, (4, 1, 8, 8)),
    ("ConvVAE", {"size": 8, "width": 8}, (4, 1, 8, 8)),
    ("VAE", {"num_inputs": 64}, (4, 1, 8, 8)),
]
CASES = [pytest.param(*case, id="-".join([case[0], *map(str, case[1].values())])) for case in CASES]

# Published, or counted in the model's usual implementation.
COUNTS = [
    ("LeNet", {}, 61_706),
    ("AlexNet", {}, 61_100_840),
    ("AlexNet", {"form": "2012"}, 60_965_224),
    ("NiN", {}, 966_986),
    ("NiN", {"num_classes": 1000, "form": "imagenet"}, 7_595_176),
    ("googlenet", {}, 13_004_888),
    ("googlenet", {"aux_logits": False}, 6_624_904),
    ("resnet18", {}, 11_689_512),
    ("resnet34", {}, 21_797_672),
    ("resnet50", {}, 25_557_032),
    ("resnet101", {}, 44_549_160),
    ("resnet152", {}, 60_192_808),
    ("resnext50_32x4d", {}, 25_028_904),
    ("resnext101_32x8d", {}, 88_791_336),
    ("resnext101_64x4d", {}, 83_455_272),
    ("wide_resnet50_2", {}, 68_883_240),
    ("wide_resnet101_2", {}, 126_886_696),
    ("resnet20", {}, 269_722),
    ("ResNetCIFAR", {"depth": 110}, 1_727_962),
    ("densenet121", {}, 7_978_856),
    ("densenet161", {}, 28_681_000),
    ("densenet169", {}, 14_149_480),
    ("densenet201", {}, 20_013_928),
    ("Xception", {}, 22_855_952),
    ("mobilenet_v1", {}, 4_231_976),
    ("mobilenet_v2", {}, 3_504_872),
    ("efficientnet_b0", {}, 5_288_548),
    ("UNet", {"norm": False, "padding": 0}, 31_030_658),
    ("SEGANGenerator", {}, 10_671_361),
    ("Generator", {}, 3_576_704),
    ("Discriminator", {}, 2_765_568),
    ("VAE", {}, 652_824),
]

# crc32 of [(name, shape), ...] of torchvision 0.28's state_dict.
TORCHVISION = {
    "alexnet": 0x3B0ABD09,
    "googlenet": 0xD40296DE,
    "resnet18": 0x14F37586,
    "resnet34": 0xDB228571,
    "resnet50": 0xB2132181,
    "resnet101": 0x36068F3B,
    "resnet152": 0x02CBE0FD,
    "resnext50_32x4d": 0x0850D5E0,
    "resnext101_32x8d": 0x2962293F,
    "resnext101_64x4d": 0x9FBCEA63,
    "wide_resnet50_2": 0x55D9BA4C,
    "wide_resnet101_2": 0xFEEC539C,
    "densenet121": 0x5F351291,
    "densenet161": 0xA95A2673,
    "densenet169": 0x6FFAFD5D,
    "densenet201": 0x0E2EF228,
    "mobilenet_v2": 0xFE31E3D0,
    "efficientnet_b0": 0xB0E9339A,
}


def counted(name, options):
    """A model whose parameters were never drawn, for its shapes."""
    with nn.init.skipped():
        return getattr(models, name)(**options)


@pytest.mark.parametrize("name, options, count", COUNTS)
def test_parameter_counts(name, options, count):
    assert sum(p.numel() for p in counted(name, options).parameters()) == count


@pytest.mark.parametrize("name", TORCHVISION)
def test_names_and_shapes_are_torchvisions(name):
    state = [(key, tuple(value.shape)) for key, value in counted(name, {}).state_dict().items()]
    assert zlib.crc32(repr(state).encode()) == TORCHVISION[name]


def test_published_files_of_densenet_load():
    # Their keys have norm.1 for norm1 and lack num_batches_tracked.
    model = counted("DenseNet", {"growth_rate": 2, "block_config": (1, 2), "num_init_features": 4, "num_classes": 3})
    published = {
        re.sub(r"(denselayer.\.\w+)([12])", r"\1.\2", key): nnrt.full_like(value, i)
        for i, (key, value) in enumerate(model.state_dict().items())
        if "num_batches" not in key
    }
    assert "features.denseblock2.denselayer2.conv.1.weight" in published
    model.load_state_dict(published)
    for mine, theirs in zip((v for k, v in model.state_dict().items() if "num_batches" not in k), published.values()):
        np.testing.assert_array_equal(mine.array, theirs.array)


def test_googlenet_takes_images_in_either_normalisation(rng):
    model = models.googlenet(num_classes=3, aux_logits=False).eval()
    x = rng.random((1, 3, 16, 16), np.float32)
    mean, std = (np.float32(a)[:, None, None] for a in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    want = model(nnrt.tensor(2 * x - 1)).detach().array
    model.transform_input = True
    np.testing.assert_allclose(model(nnrt.tensor((x - mean) / std)).detach().array, want, rtol=0, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("form, side", [("cifar", 32), ("imagenet", 67)])
def test_nin_begins_with_classes_that_can_learn(form, side, rng):
    for seed in range(3):
        nnrt.manual_seed(seed)
        x = nnrt.tensor(rng.standard_normal((16, 3, side, side), np.float32))
        scores = models.NiN(form=form).eval()(x).detach().array
        assert (scores.std(0) > 0.01).all()  # with torch's first weights the images differ by 1e-5
        assert (scores < 0).any() and (scores > 0).any()


def test_segan_with_any_kernel_and_pooling():
    for kwidth, pooling in ((31, 5), (8, 4), (8, 3), (5, 5)):
        x = nnrt.zeros(1, 1, 4 * pooling**2)
        assert models.SEGANGenerator((2, 3), kwidth, pooling)(x).shape == x.shape


def loss_of(output, x, rng):
    """Cross entropy of scores, the ELBO of a variational autoencoder, squared distance from noise for the rest."""
    if isinstance(output, models.GoogLeNetOutputs):
        return sum(w * loss_of(y, x, rng) for w, y in zip((1, 0.3, 0.3), output))
    if isinstance(output, tuple):
        return models.vae_loss(output[0], x, *output[1:])
    if output.ndim == 2:
        return F.cross_entropy(output, nnrt.tensor(rng.integers(0, output.shape[1], len(output))))
    return F.mse_loss(output, nnrt.tensor(rng.random(output.shape, np.float32)))


@pytest.mark.parametrize("name, options, shape", CASES)
def test_a_step_of_training_lowers_the_loss_as_the_gradient_says(name, options, shape, rng):
    nnrt.manual_seed(1)
    model = getattr(models, name)(**options)
    x = nnrt.tensor(rng.random(shape, np.float32))
    seed = int(rng.integers(1 << 30))

    def loss():
        nnrt.manual_seed(seed)  # of dropout and noise
        return loss_of(model(x), x, np.random.default_rng(seed))

    before = loss()
    before.backward()
    steepness = sum(float((p.grad.array.astype(np.float64) ** 2).sum()) for p in model.parameters())
    hoped = 0.01 * before.item()
    optim.SGD(model.parameters(), lr=hoped / steepness).step()
    assert 0.5 * hoped < before.item() - loss().item() < 1.5 * hoped


@pytest.mark.parametrize("name, options, shape", CASES)
def test_against_torch(name, options, shape, rng, torch):
    torch.manual_seed(1)
    theirs = getattr(models_of(torch), name)(**options).double()
    with nn.init.skipped():
        ours = getattr(models, name)(**options).double()
    ours.load_state_dict({key: nnrt.from_numpy(value.numpy()) for key, value in theirs.state_dict().items()})
    for model in (ours, theirs):  # what is random is left out
        for module in model.modules():
            if hasattr(module, "p"):
                module.p = 0.0
            if hasattr(module, "drop_rate"):
                module.drop_rate = 0.0
            if hasattr(module, "reparameterize"):
                module.reparameterize = lambda mu, logvar: mu
    x = rng.random(shape)

    def run(library, model):
        outputs = model(library.tensor(x))
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        weights = np.random.default_rng(1)
        sum((y * library.tensor(weights.normal(size=y.shape))).sum() for y in outputs).backward()
        return [y.detach().numpy() for y in outputs]

    def same(got, wanted, what, least=0.0):
        scale = max(np.abs(wanted).max(), least)
        np.testing.assert_allclose(got / scale, wanted / scale, rtol=0, atol=1e-6, err_msg=what)

    for training in (True, False):  # the first call also moves the running statistics
        ours.train(training)
        theirs.train(training)
        for got, wanted in zip(run(nnrt, ours), run(torch, theirs)):
            same(got, wanted, "output")
    wanted = {key: parameter.grad.numpy() for key, parameter in theirs.named_parameters()}
    noise = 1e-8 * max(np.abs(g).max() for g in wanted.values())  # a bias before a norm has a gradient of rounding errors
    for key, parameter in ours.named_parameters():
        same(parameter.grad.numpy(), wanted[key], key, noise)


def test_shapes_of_the_papers():
    assert tuple(counted("UNet", {"width": 2, "norm": False, "padding": 0})(nnrt.zeros(1, 1, 572, 572)).shape) == (1, 2, 388, 388)
    assert tuple(counted("Xception", {}).entry(nnrt.zeros(1, 3, 299, 299)).shape) == (1, 64, 147, 147)
    for form, image, side in (("torchvision", 224, 6), ("2012", 227, 6), ("pooled", 224, 2)):
        features = counted("AlexNet", {"form": form}).features(nnrt.zeros(1, 3, image, image))
        assert features.shape[2:] == (side, side)


def test_stochastic_depth_drops_samples_and_keeps_the_mean():
    nnrt.manual_seed(0)
    layer = models.efficientnet.StochasticDepth(0.25)
    y = layer(nnrt.ones(4000, 2, 1, 3)).array
    kept = y[:, 0, 0, 0] > 0
    assert abs(kept.mean() - 0.75) < 0.03
    np.testing.assert_allclose(y, np.broadcast_to(kept[:, None, None, None] / 0.75, y.shape), rtol=1e-6)
    x = nnrt.ones(3, 1, 1, 1)
    assert layer.eval()(x) is x


@pytest.mark.parametrize(
    "name, options, message",
    [
        ("AlexNet", {"form": "2013"}, "AlexNet: form '2013'; wanted 'torchvision', '2012', 'pooled'"),
        ("NiN", {"form": "svhn"}, "NiN: form 'svhn'; wanted 'cifar', 'imagenet'"),
        ("resnet18", {"groups": 2}, "BasicBlock: has no groups"),
        ("resnet50", {"replace_stride_with_dilation": (True,)}, "wants 3 truth values"),
        ("ResNetCIFAR", {"depth": 21}, "depth 21; wanted 6n \\+ 2"),
        ("Generator", {"size": 28}, "size 28; wanted a power of 2"),
    ],
)
def test_bad_options_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        getattr(models, name)(**options)


def test_models_are_imported_when_first_named():
    code = "import sys, nnrt; assert 'nnrt.models' not in sys.modules; nnrt.models.LeNet; assert 'nnrt.nn' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
