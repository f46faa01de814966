"""The task `digits`: a small network learns the bundled 8 x 8 digits.

    train split 1,437 -> 1,294 to train on, 143 to validate with (a tenth of each class, drawn with the seed)
    test split    360 -> used once, after training, for the number that is reported

Models: `mlp`, 64 - hidden - 10 with ReLU and dropout; `cnn`, three 3 x 3 convolutions with batch norm;
`linear`, multinomial logistic regression.
Training: AdamW with the learning rate falling to 0 along half a cosine, Gaussian noise on the inputs.
"""

import os
import time
from shlex import quote

import numpy as np

from .. import autograd, config
from .._version import __version__
from ..data import digits, png
from ..io.errors import FormatError
from ..io.safetensors import load_file, save_file
from ..tensor import wrap
from . import plots
from .callbacks import WriteCSV
from .metrics import Accuracy, ConfusionMatrix
from .progress import KINDS
from .task import RunError, integer, number, progress, read_options, settle, sizes, write_config, written
from .trainer import Trainer

NAME = "digits"
HELP = "handwritten digits of 8 x 8 pixels, bundled (1,797 images)"
MODELS = ("mlp", "cnn", "linear")
VALIDATION = 0.1  # of the training split

# Chosen by validation images; the test images had no part in it.
DEFAULTS = {
    "model": "mlp",
    "hidden": [256, 128],
    "dropout": 0.3,
    "noise": 0.1,
    "epochs": 30,
    "batch_size": 32,
    "lr": 0.002,
    "weight_decay": 0.01,
    "seed": 0,
}
CNN = {"epochs": 12}  # its own defaults
OPTIONS = {"hidden": ("mlp",), "dropout": ("mlp", "cnn")}  # options that not every model has


def add_arguments(parser):
    """The options of `nnrt train digits`. What is not given stays None: --resume tells the two apart."""
    d = DEFAULTS
    add = parser.add_argument
    add("--model", choices=MODELS, help=f"network (default {d['model']})")
    add("--hidden", type=sizes, metavar="N,N", help="hidden sizes of the mlp (default 256,128)")
    add(
        "--dropout",
        type=number(0, 1, below=True),
        metavar="P",
        help=f"after each hidden layer, in the cnn before the last (default {d['dropout']})",
    )
    add(
        "--noise",
        type=number(0, 1),
        metavar="S",
        help=f"standard deviation of the input noise (default {d['noise']})",
    )
    add(
        "--epochs",
        type=integer(1),
        metavar="N",
        help=f"passes over the training images (default {d['epochs']}, cnn {CNN['epochs']})",
    )
    add("--batch-size", type=integer(1), metavar="N", help=f"images per step (default {d['batch_size']})")
    add("--lr", type=number(0, 10, above=True), metavar="X", help=f"first learning rate (default {d['lr']})")
    add("--weight-decay", type=number(0, 10), metavar="X", help=f"AdamW's (default {d['weight_decay']})")
    add(
        "--seed",
        type=integer(0),
        metavar="N",
        help=f"of weights, order, dropout and noise (default {d['seed']})",
    )
    add(
        "--out",
        default=os.path.join("runs", NAME),
        metavar="DIR",
        help="folder of the run (default runs/digits)",
    )
    add("--resume", action="store_true", help="continue the run in --out from its last checkpoint")
    add("--overwrite", action="store_true", help="start anew even if --out holds an unfinished run, or another task's")
    add("--progress", type=progress, choices=KINDS, default="auto", help="default auto")


# ---- training ----


def train(args):
    """`nnrt train digits`: trains, writes the run's folder, says where. Returns the exit status."""
    begun = time.perf_counter()
    options = settle(args, NAME, {**DEFAULTS, **(CNN if args.model == "cnn" else {})})
    for name, models in OPTIONS.items():
        if getattr(args, name) is not None and options["model"] not in models:
            raise RunError(f"--{name} is an option of {' and '.join(models)}; the model is {options['model']}")
    folder = args.out
    if not args.resume:
        write_config(folder, NAME, digits.CLASSES, options)
    trainer, loaders = _trainer(options, folder, args.progress)
    count = sum(p.numel() for p in trainer.model.parameters())
    print(
        f"{options['model']} with {count:,} parameters; {len(loaders[0].dataset)} images to train on, "
        f"{len(loaders[1].dataset)} to validate with; threads {config.settings.num_threads}",
        flush=True,
    )
    checkpoint = os.path.join(folder, "checkpoint")
    trainer.fit(*loaders, epochs=options["epochs"], checkpoint=checkpoint, resume=args.resume)
    if trainer.interrupted:
        print(f"continue with: python -m nnrt train {NAME} --resume --out {quote(folder)}")
        return 130
    counts = ConfusionMatrix(len(digits.CLASSES))
    test = digits.load_digits("test")
    tested = trainer.evaluate(_loader(*test, batch_size=256), [Accuracy(), counts])
    metadata = {"task": NAME, "nnrt": __version__}
    save_file(trainer.model.state_dict(), os.path.join(folder, "model.safetensors"), metadata)
    trainer.history.write_csv(os.path.join(folder, "history.csv"))
    left_out = _pictures(trainer.history, counts.value(), folder)

    print(f"test accuracy {tested['accuracy']:.4f} ({len(test[1])} images), loss {tested['loss']:.4f}")
    print(f"{time.perf_counter() - begun:.1f} s; written to {folder}: {', '.join(written(folder))}")
    if left_out:
        print(f"left out: curve.png, confusion.png ({left_out})")
    print(f"classify with: python -m nnrt predict {quote(folder)} IMAGE.png")
    return 0


def build(options):
    """The network of a run, from its options."""
    from .. import nn

    layers, size = [], 64
    if options["model"] == "cnn":
        before = 1
        for channels, pools in ((32, False), (32, True), (64, True)):  # 8 x 8 -> 4 x 4 -> 2 x 2
            layers += [nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if pools else []
            before = channels
        layers += [nn.Flatten(), nn.Dropout(options["dropout"])]
        size = 64 * 2 * 2
    else:
        layers.append(nn.Flatten())
        for hidden in options["hidden"] if options["model"] == "mlp" else ():
            layers += [nn.Linear(size, hidden), nn.ReLU(), nn.Dropout(options["dropout"])]
            size = hidden
    return nn.Sequential(*layers, nn.Linear(size, len(digits.CLASSES)))


def _trainer(options, folder, progress):
    """(Trainer, (training loader, validation loader)) of a run; everything random follows the seed."""
    from .. import manual_seed, optim, randn_like
    from ..nn.functional import cross_entropy

    manual_seed(options["seed"])
    model = build(options)
    images, labels = (t.array for t in digits.load_digits("train"))
    held_out = _held_out(labels, options["seed"])
    train_loader = _loader(
        images[~held_out], labels[~held_out], batch_size=options["batch_size"], shuffle=True
    )
    val_loader = _loader(images[held_out], labels[held_out], batch_size=256)
    optimizer = optim.AdamW(model.parameters(), lr=options["lr"], weight_decay=options["weight_decay"])
    steps = options["epochs"] * len(train_loader)
    noise = options["noise"]
    trainer = Trainer(
        model,
        optimizer,
        cross_entropy,
        [Accuracy()],
        optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        [WriteCSV(os.path.join(folder, "history.csv"))],
        scheduler_every="step",
        augment=(lambda x: x + noise * randn_like(x)) if noise else None,
        progress=progress,
    )
    return trainer, (train_loader, val_loader)


def _loader(images, labels, **options):
    from .. import as_tensor
    from ..data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(as_tensor(images), as_tensor(labels)), **options)


def _held_out(labels, seed):
    """Mask of the validation images: the same share of each class."""
    rng = np.random.RandomState(seed % (1 << 32))  # whose numbers are the same in every numpy
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        mask[rng.permutation(rows)[: round(VALIDATION * len(rows))]] = True
    return mask


def _pictures(history, matrix, folder):
    """Draws curve.png and confusion.png; returns why not, or ""."""
    try:
        plots.learning_curve(history, os.path.join(folder, "curve.png"))
        title = f"test images, {np.trace(matrix)} of {matrix.sum()} right"
        plots.confusion_matrix(matrix, os.path.join(folder, "confusion.png"), digits.CLASSES, title)
    except ImportError as error:
        return str(error)
    return ""


# ---- prediction ----


def predict(folder, source):
    """`nnrt predict FOLDER SOURCE`: prints each image's class and probabilities. Returns the exit status."""
    options = read_options(folder, NAME, DEFAULTS)
    weights = os.path.join(folder, "model.safetensors")
    if not os.path.exists(weights):
        how = f"python -m nnrt train {NAME} --resume --out {quote(folder)}"
        raise RunError(
            f"{folder} has no model.safetensors: its training has not ended; continue it with: {how}"
        )
    model = build(options)
    try:
        model.load_state_dict(load_file(weights))
    except FormatError as error:
        raise RunError(str(error)) from None
    except (KeyError, RuntimeError) as error:
        raise RunError(f"{weights} does not fit config.json: {error}") from None
    images = read_images(source)
    model.eval()
    with autograd.no_grad():
        scores = model(wrap(images[:, None])).array.astype(np.float64)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    for i, row in enumerate(shares):
        name = f"image {i}: " if len(shares) > 1 else ""
        best = int(row.argmax())
        print(f"{name}{digits.CLASSES[best]}  ({row[best]:.1%})")
        print("  " + "  ".join(f"{c} {p:.3f}" for c, p in zip(digits.CLASSES, row)))
    return 0


def read_images(source):
    """float32 (N, 8, 8) in [0, 1] with the ink at 1, from a .png or .npy file; RunError for anything else."""
    ending = os.path.splitext(source)[1].lower()
    try:
        if ending == ".png":
            return png.drawn_digit(png.read_png(source))[None]
        if ending == ".npy":
            return _scaled(np.load(source, allow_pickle=False))
    except FormatError as error:
        raise RunError(str(error)) from None
    except FileNotFoundError:
        raise RunError(f"{source} does not exist") from None
    except (ValueError, EOFError, OSError) as error:
        raise RunError(f"{source}: {error}") from None
    raise RunError(f"{source}: wanted a .png or a .npy file")


def _scaled(array):
    """Images in an array as float32 (N, 8, 8) in [0, 1]; ValueError says what was wanted."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"dtype {array.dtype}; wanted numbers")
    fits = array.shape[-2:] == (8, 8) and array.ndim <= 4 or array.shape[-1:] == (64,) and array.ndim <= 2
    if not fits or not array.size:
        raise ValueError(f"shape {array.shape}; wanted (8, 8), (64,), (N, 8, 8), (N, 64) or (N, 1, 8, 8)")
    values = array.reshape(-1, 8, 8).astype(np.float32)
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 255:
        raise ValueError("wanted values from 0 to 1, from 0 to 16 or from 0 to 255, the ink high")
    top = next(limit for limit in (1, 16, 255) if values.max() <= limit)
    return values / np.float32(top)
