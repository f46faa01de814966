"""The task `chars`: a language model learns to continue a text, character by character.

    text -> 95% to train on, its end (5%, at least one sequence) to validate with
    the training part in B streams side by side, of which a batch [B, T] is the next T characters

Recurrent models carry their state from batch to batch; GPT starts anew with each, and its batches come in random order.
Models: models.CharRNN and models.GPT. Training: Adam with the learning rate falling to 0 along half a cosine, gradients
clipped to norm 1.
"""

import hashlib
import math
import os
import sys
import sysconfig
import time
from shlex import quote

import numpy as np

from .. import config
from .._version import __version__
from ..io.errors import FormatError
from ..io.safetensors import load_file, save_file
from ..tensor import wrap
from . import plots
from .callbacks import Callback, WriteCSV
from .progress import KINDS
from .task import RunError, integer, number, progress, read_config, read_options, settle, write_config, written
from .trainer import Trainer

NAME = "chars"
HELP = "the characters of a text: your own, or the source of Python's standard library"
MODELS = ("lstm", "gru", "rnn", "qrnn", "gpt")
VALIDATION = 0.05
STDLIB = 1_000_000  # characters of the standard library's source

DEFAULTS = {
    "text": "",
    "digest": "",  # of the text, which must be the same when a run is resumed
    "model": "lstm",
    "hidden": 256,
    "layers": 2,
    "dropout": 0.0,
    "length": 64,
    "batch_size": 32,
    "epochs": 3,
    "lr": 0.004,
    "seed": 0,
}
OWN = {  # defaults of their own
    "gpt": {"hidden": 128, "layers": 4, "length": 128, "batch_size": 16, "lr": 0.002},
    "qrnn": {"hidden": 384},
}


def add_arguments(parser):
    """The options of `nnrt train chars`. What is not given stays None: --resume tells the two apart."""
    d = DEFAULTS
    add = parser.add_argument
    parser.set_defaults(digest=None)
    add("--text", metavar="FILE", help="UTF-8 text (default: the source of Python's standard library on this machine)")
    add("--model", choices=MODELS, help=f"network (default {d['model']})")
    for name, kind, letter, what in (
        ("hidden", integer(1), "N", "units of a layer"),
        ("layers", integer(1), "N", "layers"),
        ("dropout", number(0, 1, below=True), "P", "dropout"),
        ("length", integer(1), "N", "characters of a sequence"),
        ("batch_size", integer(1), "N", "sequences per step"),
        ("epochs", integer(1), "N", "passes over the text"),
        ("lr", number(0, 10, above=True), "X", "first learning rate"),
        ("seed", integer(0), "N", "of weights, order, dropout and samples"),
    ):
        more = "".join(f", {model} {own[name]}" for model, own in OWN.items() if name in own)
        add("--" + name.replace("_", "-"), type=kind, metavar=letter, help=f"{what} (default {d[name]}{more})")
    add("--sample-every", type=integer(1), default=250, metavar="N", help="steps between samples (default 250)")
    add("--out", default=os.path.join("runs", NAME), metavar="DIR", help="folder of the run (default runs/chars)")
    add("--resume", action="store_true", help="continue the run in --out from its last checkpoint")
    add("--overwrite", action="store_true", help="start anew even if --out holds an unfinished run, or another task's")
    add("--progress", type=progress, choices=KINDS, default="auto", help="default auto")


# ---- the text ----


def read_text(path):
    """The text of a file, or with "" that of the standard library; RunError for one that is empty or not UTF-8."""
    if not path:
        return _standard_library()
    try:
        with open(path, "rb") as file:
            data = file.read()
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        what = f"byte 0x{data[error.start]:02x} at {error.start}"
        raise RunError(f"{path} is not UTF-8 text: {what}; convert it first, as with iconv") from None
    except OSError as error:
        raise RunError(f"cannot read the text {path}: {error.strerror}; give a UTF-8 file with --text") from None
    if not text:
        raise RunError(f"{path} is empty; give a text with --text FILE, or leave out --text")
    return text


def _standard_library():
    folder, parts, size = sysconfig.get_paths()["stdlib"], [], 0
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for name in names:
        if not name.endswith(".py") or name.startswith("_") or size >= STDLIB:  # some of those hold tables
            continue
        try:
            with open(os.path.join(folder, name), encoding="utf-8") as file:
                parts.append(file.read())
        except (OSError, UnicodeDecodeError):
            continue
        size += len(parts[-1])
    if not parts:
        raise RunError(f"{folder} holds no source of the standard library; give a text with --text FILE")
    return "".join(parts)[:STDLIB]


def digest(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def encoded(text, characters):
    """Positions of the text's characters among the sorted `characters`, as int64; -1 for those not there."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    known = np.array([ord(c) for c in characters], np.uint32)
    at = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[at] == codes, at, -1)


class Streams:
    """Batches (ids [B, T], the ids that follow each [B, T]) of a text as B streams side by side.

    shuffle: in random order, each pass cut at another place.
    """

    def __init__(self, ids, batch_size, length, shuffle=False):
        self.length, self.shuffle = length, shuffle
        spare = length - 1 if shuffle else 0
        self.steps = max(0, (len(ids) - 1 - spare) // (batch_size * length))
        size = self.steps * length + spare
        starts = np.arange(batch_size)[:, None] * (self.steps * length)
        self.ids = ids[starts + np.arange(size + 1)] if self.steps else None

    def __len__(self):
        return self.steps

    def __iter__(self):
        from .. import randint, randperm

        order, shift = range(self.steps), 0
        if self.shuffle:
            order, shift = randperm(self.steps).tolist(), int(randint(self.length, (1,)).item())
        for i in order:
            at = shift + i * self.length
            yield tuple(wrap(self.ids[:, j : j + self.length].copy()) for j in (at, at + 1))


def split(ids, options):
    """(training, validation) Streams; RunError for a text that is too short."""
    batch, length = options["batch_size"], options["length"]
    held_out = _held_out(len(ids), length)
    train = Streams(ids[:-held_out], batch, length, options["model"] == "gpt")
    if not len(train):
        wanted = batch * length + 1 + (length - 1) * train.shuffle
        least = wanted
        while least - _held_out(least, length) < wanted:
            least += 1
        raise RunError(
            f"the text has {len(ids)} characters; --batch-size {batch} and --length {length} want at least {least}: "
            "take a longer text, or smaller numbers"
        )
    return train, Streams(ids[-held_out:], min(batch, (held_out - 1) // length), length)


def _held_out(count, length):
    return max(round(VALIDATION * count), length + 1)


# ---- the model ----


def build(options, vocabulary):
    """The network of a run, from its options and the number of characters."""
    from .. import models

    hidden, layers, dropout = options["hidden"], options["layers"], options["dropout"]
    if options["model"] != "gpt":
        return models.CharRNN(vocabulary, hidden, layers, options["model"], dropout=dropout)
    if hidden % 32:
        raise RunError(f"--hidden {hidden}: gpt wants a multiple of 32, the size of its heads")
    if options["length"] < 2:
        raise RunError("--length 1: gpt wants at least 2, one to see and one to write")
    return models.GPT(vocabulary, layers, hidden // 32, hidden, options["length"], dropout=dropout)


def _carried(model):
    """The model with the state that it carries from batch to batch, in training and, from its start, in validation."""
    from .. import nn
    from ..models.char_rnn import detached

    class Carried(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model
            self.states = {True: None, False: None}  # training -> state

        def train(self, mode=True):
            self.states[False] = None
            return super().train(mode)

        def forward(self, ids):
            logits, state = self.model(ids, self.states[self.training])
            self.states[self.training] = detached(state)
            return logits

    return Carried()


class _State(Callback):
    """Starts each pass over the text without a state, and has the checkpoint keep it."""

    def __init__(self, carried):
        self.carried = carried

    def on_epoch_start(self, trainer, epoch):
        if trainer.batch == 0:
            self.carried.states[True] = None

    def state_dict(self):
        return {"state": self.carried.states[True]}

    def load_state_dict(self, state):
        self.carried.states[True] = state["state"]


class _Report(Callback):
    """Adds bits per character to the history, and prints what the model writes."""

    def __init__(self, model, characters, every, seed):
        self.model, self.characters, self.every, self.seed = model, characters, every, seed

    def on_step_end(self, trainer, step, loss):
        if step % self.every == 0:
            self.show(f"step {step}, {loss / math.log(2):.2f} bits per character, perplexity {math.exp(loss):.2f}", step)

    def on_epoch_end(self, trainer, row):
        for name in ("loss", "val_loss"):
            row[name.replace("loss", "bits")] = row[name] / math.log(2)

    def show(self, title, step):
        training = self.model.training
        self.model.eval()
        text = "".join(continuation(self.model, self.characters, "\n", 200, 0.7, seed=self.seed + step))
        self.model.train(training)
        print(f"---- {title} ----\n{text.strip()}", flush=True)


def continuation(model, characters, prompt, length, temperature, top_k=None, top_p=None, seed=0):
    """Yields the characters that the model, in eval mode, writes behind the prompt, each of which it knows."""
    from .. import Generator

    how = temperature, top_k, top_p, Generator().manual_seed(seed)
    ids = wrap(np.maximum(encoded(prompt, characters), 0)[None])
    if hasattr(model, "step"):
        state = None
        for _ in range(length):
            ids, state = model.step(ids, state, *how)
            yield characters[ids.item()]
        return
    piece = model.positions // 2  # at a time; what was written before it is seen as far as there is room
    for done in range(0, length, piece):
        seen = ids[:, piece - model.positions :]
        ids = model.generate(seen, min(piece, length - done), *how)
        yield "".join(characters[i] for i in ids.array[0, seen.shape[1] :])


# ---- training ----


def train(args):
    """`nnrt train chars`: trains, writes the run's folder, says where. Returns the exit status."""
    begun = time.perf_counter()
    _any_character()
    folder = args.out
    if args.text is not None:
        args.text = os.path.abspath(args.text)
    options = settle(args, NAME, {**DEFAULTS, **OWN.get(args.model, {})})
    text = read_text(options["text"])
    if args.resume and digest(text) != options["digest"]:
        what = options["text"] or "the standard library's source"
        raise RunError(
            f"--resume: {what} is not the text that the run in {folder} began with; bring that back, "
            "or start anew with --overwrite in place of --resume"
        )
    options["digest"] = digest(text)
    characters = sorted(set(text))
    streams = split(encoded(text, characters), options)
    trainer, model = _trainer(options, characters, folder, args, len(streams[0]))
    if not args.resume:
        write_config(folder, NAME, characters, options)
    count = sum(p.numel() for p in model.parameters())
    print(
        f"{options['model']} with {count:,} parameters; {len(text):,} characters, {len(characters)} different ones, from "
        f"{options['text'] or 'the standard library'}; threads {config.settings.num_threads}",
        flush=True,
    )
    checkpoint = os.path.join(folder, "checkpoint")
    trainer.fit(
        *streams, epochs=options["epochs"], clip_norm=1.0, checkpoint=checkpoint, checkpoint_steps=args.sample_every,
        resume=args.resume,
    )  # fmt: skip
    if trainer.interrupted:
        print(f"continue with: python -m nnrt train {NAME} --resume --out {quote(folder)}")
        return 130
    save_file(model.state_dict(), os.path.join(folder, "model.safetensors"), {"task": NAME, "nnrt": __version__})
    trainer.history.write_csv(os.path.join(folder, "history.csv"))
    left_out = ""
    try:
        plots.learning_curve(trainer.history, os.path.join(folder, "curve.png"))
    except ImportError as error:
        left_out = f"left out: curve.png ({error})"
    last = trainer.history.rows[-1]
    _Report(model, characters, 1, options["seed"]).show("at the end", 0)
    print("----")
    print(f"validation: {last['val_bits']:.3f} bits per character, perplexity {math.exp(last['val_loss']):.2f}")
    print(f"{time.perf_counter() - begun:.1f} s; written to {folder}: {', '.join(written(folder))}")
    if left_out:
        print(left_out)
    prompt = "" if options["text"] else " --prompt 'def '"
    print(f"let it write with: python -m nnrt generate {quote(folder)}{prompt}")
    return 0


def _trainer(options, characters, folder, args, steps):
    """(Trainer, the network); everything random follows the seed."""
    from .. import manual_seed, optim
    from ..nn.functional import cross_entropy

    manual_seed(options["seed"])
    model = build(options, len(characters))
    trained, callbacks = model, []
    if options["model"] != "gpt":
        trained = _carried(model)
        callbacks = [_State(trained)]
    callbacks += [
        _Report(model, characters, args.sample_every, options["seed"]), WriteCSV(os.path.join(folder, "history.csv"))
    ]  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=options["lr"])

    def loss(logits, target):
        return cross_entropy(logits.reshape(-1, len(characters)), target.reshape(-1))

    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, options["epochs"] * steps)
    trainer = Trainer(
        trained, optimizer, loss, (), schedule, callbacks, scheduler_every="step", progress=args.progress
    )  # fmt: skip
    return trainer, model


# ---- generation ----


def generate(args):
    """`nnrt generate FOLDER`: prints the prompt and what the model writes behind it. Returns the exit status."""
    _any_character()
    folder = args.folder
    options = read_options(folder, NAME, DEFAULTS)
    characters = read_config(folder, NAME).get("classes")
    if not isinstance(characters, list) or not characters or any(not isinstance(c, str) or len(c) != 1 for c in characters):
        raise RunError(f"{os.path.join(folder, 'config.json')} has no vocabulary: classes must be a list of characters")
    weights = os.path.join(folder, "model.safetensors")
    if not os.path.exists(weights):
        how = f"python -m nnrt train {NAME} --resume --out {quote(folder)}"
        raise RunError(f"{folder} has no model.safetensors: its training has not ended; continue it with: {how}")
    model = build(options, len(characters))
    try:
        model.load_state_dict(load_file(weights))
    except FormatError as error:
        raise RunError(str(error)) from None
    except (KeyError, RuntimeError) as error:
        raise RunError(f"{weights} does not fit config.json: {error}") from None
    model.eval()
    unknown = sorted(set(args.prompt) - set(characters))
    if unknown:
        raise RunError(f"--prompt: the text that {folder} was trained on has no {', '.join(map(repr, unknown))}")
    prompt = args.prompt or ("\n" if "\n" in characters else characters[0])
    print(args.prompt, end="", flush=True)
    seed = int.from_bytes(os.urandom(4), "little") if args.seed is None else args.seed
    for piece in continuation(model, characters, prompt, args.length, args.temperature, args.top_k, args.top_p, seed):
        print(piece, end="", flush=True)
    print()
    return 0


def _any_character():
    """Has stdout replace what its encoding lacks."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
