"""Rows of whole convolutional nets: training steps with Adam, and inference on one image.

The nets are those of nnrt.models, for torch made of torch's layers (`twin`). Peers: torch in both memory formats
("channels_last"), compiled ("compile"), JAX for training steps, and onnxruntime for inference, on the net exported by torch.
Inference is timed twice: the model as it is, and nnrt's after nn.utils.fuse; onnxruntime fuses for itself.
"""

import io
import os
from functools import partial

import numpy as np

from .twin import models_of
from .workloads import Workload, adam, in_jax, in_torch


def _mnist(t):
    """Two convolutions and two linear layers."""
    nn = t.nn
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(64 * 12 * 12, 128), nn.ReLU(), nn.Linear(128, 10),
    )  # fmt: skip


# name: the net, the batch of its training step, channels and size of an image, forward flops of one image
NETS = {
    "mnist cnn": (_mnist, 64, 1, 28, 24.0e6),
    "resnet20": (lambda t: models_of(t).resnet20(), 64, 3, 32, 81.1e6),
    "mobilenet": (lambda t: models_of(t).mobilenet_v1(num_classes=10, dropout=0.0), 16, 3, 64, 92.8e6),
    "resnet18": (lambda t: models_of(t).resnet18(num_classes=10), 8, 3, 64, 297.0e6),
}


# What losses may differ by, of the larger of the two: Adam's first update is lr times the sign of each gradient, also
# of those that rounding decides, and from these initial values the mnist cnn's loss rises from 3.3 to 18.
STEP = 5e-3


def drawn(t, model):
    """The model with filters and matrices drawn from He's distribution, the same for every library; other weights are
    1, biases 0."""
    rng = np.random.default_rng(1)
    with t.no_grad():
        for name, p in model.named_parameters():
            if p.ndim > 1:
                scale = np.float32((2 / np.prod(p.shape[1:])) ** 0.5)
                p.copy_(t.from_numpy(rng.standard_normal(tuple(p.shape), dtype=np.float32) * scale))
            else:
                p.fill_(0.0 if name.endswith("bias") else 1.0)
    return model


def _net(name, t, how=""):
    model = drawn(t, NETS[name][0](t))
    return model.to(memory_format=t.channels_last) if how == "channels_last" else model


def _images(n, c, size):
    return lambda rng: [rng.standard_normal((n, c, size, size), dtype=np.float32), rng.integers(0, 10, n)]


def _step(name, how, t, arrays):
    model = _net(name, t, how)
    x, y = (t.from_numpy(a) for a in arrays)
    x = x.contiguous(memory_format=t.channels_last) if how == "channels_last" else x
    optimizer = adam(t, how, model)

    def loss_of(x):
        return t.nn.functional.cross_entropy(model(x), y)

    loss_of = t.compile(loss_of) if how == "compile" else loss_of

    def run():
        optimizer.zero_grad()
        loss = loss_of(x)
        loss.backward()
        optimizer.step()
        return loss

    return run


def _step_jax(name, jaxed, t, arrays):
    return jaxed.net(_net(name, t), *arrays)


def _inference(name, how, t, arrays):
    model = _net(name, t, how).eval()
    if how == "fused" and t.__name__ == "nnrt":
        model = t.nn.utils.fuse(model, t.from_numpy(arrays[0]))
    run_model = t.compile(model) if how == "compile" else model
    x = t.from_numpy(arrays[0])
    x = x.contiguous(memory_format=t.channels_last) if how == "channels_last" else x

    def run():
        with t.no_grad():
            return run_model(x)

    return run


def _onnxruntime(name, arrays):
    import onnxruntime
    import torch

    file = io.BytesIO()
    torch.onnx.export(_net(name, torch).eval(), (torch.from_numpy(arrays[0]),), file, dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = len(os.sched_getaffinity(0))
    session = onnxruntime.InferenceSession(file.getvalue(), options)
    feed = {session.get_inputs()[0].name: arrays[0]}
    return lambda: session.run(None, feed)


def _dcgan_step(how, t, arrays):
    """The discriminator on real and generated images, then the generator through it; an Adam for each."""
    made = models_of(t)
    generator, discriminator = drawn(t, made.Generator()), drawn(t, made.Discriminator(logits=True))
    x, z, real, fake = (t.from_numpy(a) for a in arrays)
    if how == "channels_last":
        generator, discriminator = (m.to(memory_format=t.channels_last) for m in (generator, discriminator))
        x = x.contiguous(memory_format=t.channels_last)
    of_d, of_g = (adam(t, how, m, lr=2e-4, betas=(0.5, 0.999)) for m in (discriminator, generator))
    loss_of = t.nn.BCEWithLogitsLoss()
    if how == "compile":
        generator, discriminator = t.compile(generator), t.compile(discriminator)

    def run():
        of_d.zero_grad()
        images = generator(z)
        loss = loss_of(discriminator(x).flatten(), real) + loss_of(discriminator(images.detach()).flatten(), fake)
        loss.backward()
        of_d.step()
        of_g.zero_grad()
        loss_g = loss_of(discriminator(images).flatten(), real)
        loss_g.backward()
        of_g.step()
        return loss

    return run


def _dcgan_step_jax(jaxed, t, arrays):
    made = models_of(t)
    return jaxed.dcgan(drawn(t, made.Generator()), drawn(t, made.Discriminator(logits=True)), *arrays)


def _dcgan_arrays(n):
    return lambda rng: [
        np.tanh(rng.standard_normal((n, 3, 64, 64), dtype=np.float32)), rng.standard_normal((n, 100, 1, 1), dtype=np.float32),
        np.ones(n, np.float32), np.zeros(n, np.float32),
    ]  # fmt: skip


def rows():
    """Every row, in the order of the report."""
    made = []
    formats = ("channels_last", "compile")

    def peers(setup, jaxed):
        return {**{how: partial(in_torch, partial(setup, how)) for how in formats}, "jax": partial(in_jax, jaxed)}

    for name, (_, n, c, size, flops) in NETS.items():
        step = partial(_step, name)
        made.append(
            Workload(
                f"{name} {size}px b{n} adam step", "nets", partial(step, ""), _images(n, c, size), flops=3 * n * flops,
                peers=peers(step, partial(_step_jax, name)), tol=STEP, target=2,
            )
        )
    made.append(
        Workload(
            "dcgan 64px b16 adam step", "nets", partial(_dcgan_step, ""), _dcgan_arrays(16), flops=16 * 4.2e9,
            peers=peers(_dcgan_step, _dcgan_step_jax), tol=STEP, target=2,
        )
    )
    for name, (_, _, c, size, flops) in NETS.items():
        forward = partial(_inference, name)
        others = {how: partial(in_torch, partial(forward, how)) for how in formats}
        others["onnxruntime"] = partial(_onnxruntime, name)
        for how, title in (("", "one image"), ("fused", "one image, fused")):
            made.append(
                Workload(
                    f"{name} {size}px {title}", "nets", partial(forward, how), _images(1, c, size), flops=flops, peers=others,
                    tol=2e-3, target=2,
                )
            )
    return made
