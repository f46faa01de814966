"""Trainer: the training loop, with validation, checkpoints and exact resume.

One epoch, with accumulation over G batches and gradient clipping to norm c:

    for each group of G batches b:   g = sum_b dloss_b / G        (the last group may be smaller)
                                     g = g * min(1, c / |g|)
                                     step of the optimiser with g

A checkpoint is written between two steps, never inside one: it holds everything the next step depends
on (weights and buffers, optimiser, scheduler, random states, position in the data, running sums, history,
callbacks), so that a resumed training ends with the same bits as one that was never interrupted.
"""

import copy
import math
import os
import random
import signal
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np

from .. import autograd
from ..io.checkpoint import load, save
from ..ops.random import get_rng_state, set_rng_state
from ..tensor import Tensor
from .history import History
from .metrics import Mean
from .progress import make_progress

FORMAT = 1  # of the checkpoint


class Trainer:
    """Trains a model.

        trainer = Trainer(model, optim.Adam(model.parameters()), F.cross_entropy, [Accuracy()])
        history = trainer.fit(train_loader, val_loader, epochs=10, checkpoint="run.ckpt")

    model: a Module. optimizer: over its parameters. loss: called as loss(output, target), the mean
    over the batch. metrics: see :mod:`nnrt.train.metrics`; each is kept for training and for
    validation. scheduler: stepped after each epoch, or after each step of the optimiser with
    scheduler_every="step"; ReduceLROnPlateau gets the validation loss (the training loss without
    validation). callbacks: see :mod:`nnrt.train.callbacks`. augment: a function of each input of a
    batch, applied in training only. progress: "auto", "bar" (tqdm), "line", "epoch" or "none"; it
    goes to stderr.

    Batches are (input, ..., target): the model is called with all but the last. While fit runs, the
    attributes epoch (from 1), batch and step say where it is; history, stop (a reason to end, or
    None) and interrupted say how it went.
    """

    def __init__(
        self,
        model,
        optimizer,
        loss,
        metrics=(),
        scheduler=None,
        callbacks=(),
        *,
        scheduler_every="epoch",
        augment=None,
        progress="auto",
    ):
        if scheduler_every not in ("epoch", "step"):
            raise ValueError(f"Trainer: scheduler_every {scheduler_every!r}; wanted 'epoch' or 'step'")
        if not callable(loss):
            raise TypeError(f"Trainer: loss must be a function of output and target, got {loss!r}")
        if hasattr(metrics, "update"):
            raise TypeError(f"Trainer: metrics must be a list of metrics, got one {type(metrics).__name__}")
        if not hasattr(optimizer, "param_groups"):
            raise TypeError(f"Trainer: optimizer must be one of nnrt.optim's, made with the parameters, got {optimizer!r}")
        self.model = model
        self.optimizer = optimizer
        self.loss = loss
        self.metrics = list(metrics)
        for metric in self.metrics:
            if isinstance(metric, type) or not hasattr(metric, "update"):
                raise TypeError(f"Trainer: metrics must be a list of metrics, as [Accuracy()], got {metric!r} in it")
        self.val_metrics = copy.deepcopy(self.metrics)
        self.scheduler = scheduler
        self.scheduler_every = scheduler_every
        self.callbacks = list(callbacks)
        self._callbacks_at_first = [copy.deepcopy(c.state_dict()) for c in self.callbacks]
        self.augment = augment
        self.progress = progress
        self._start_over()

    def _start_over(self):
        self.epoch, self.batch, self.step = 1, 0, 0
        self._trained = False  # this epoch's batches are all done, its validation is not
        self.history = History()
        self.stop = None
        self.interrupted = False
        self._asked_to_stop = False
        self._mean_loss = Mean("loss")
        self._seconds = 0.0  # spent on this epoch before the checkpoint that was resumed
        self._lr = self.optimizer.param_groups[0]["lr"]  # at the epoch's start
        self._loader_state = None
        self._resumed_rng = None
        for metric in self.metrics:
            metric.reset()
        for callback, state in zip(self.callbacks, self._callbacks_at_first):
            callback.load_state_dict(copy.deepcopy(state))

    def fit(
        self,
        train_loader,
        val_loader=None,
        epochs=1,
        *,
        accumulate=1,
        clip_norm=None,
        checkpoint=None,
        checkpoint_every=1,
        checkpoint_steps=None,
        resume=False,
    ):
        """Trains up to epoch `epochs` and returns the History.

        accumulate: batches per step of the optimiser. clip_norm: largest 2-norm of all its gradients together.
        checkpoint: path of a file that is replaced, all at once, at the start, after every
        checkpoint_every-th epoch, every checkpoint_steps steps, at the end, and on Ctrl-C. resume:
        True continues from `checkpoint`, a path from that file; the loaders and arguments should be
        those of the first call. Loaders with state_dict() (as DataLoader: where the running epoch
        stands, or after its end where the next begins) resume by it; others are iterated again from
        the random state of the epoch's start, up to where they were.

        The first Ctrl-C ends training at the next step with a checkpoint, and sets interrupted; the
        second raises KeyboardInterrupt at once. Raises ValueError for bad arguments and for loaders
        without a batch, FileNotFoundError when there is nothing to resume, FloatingPointError when the loss is not
        finite (the last checkpoint is then from before).
        """
        _check_fit(epochs, accumulate, clip_norm, checkpoint_every, checkpoint_steps, checkpoint, resume)
        self._start_over()
        self.optimizer.zero_grad()  # what a training left that ended inside a group of batches
        if resume:
            self._restore(checkpoint if resume is True else resume, train_loader)
        elif checkpoint is not None:
            self._epoch_rng = _random_state()
            self._save(checkpoint, train_loader)
        for callback in self.callbacks:
            callback.on_train_start(self)
        shown = make_progress(self.progress, epochs)
        saves = _Saves(self, train_loader, checkpoint, checkpoint_every, checkpoint_steps)
        try:
            with self._watching_for_interrupt():
                while self.epoch <= epochs and not self.stop and not self.interrupted:
                    self._run_epoch(train_loader, val_loader, accumulate, clip_norm, shown, saves)
                    if not self.interrupted:
                        self.epoch += 1
                        self.batch = 0
                        self._trained = False
                        self._seconds = 0.0
                        self._mean_loss.reset()
                        for metric in self.metrics:
                            metric.reset()
                        saves.after_epoch(last=self.epoch > epochs or bool(self.stop))
                saves.after_interrupt()
        finally:
            shown.close(self.stop)
        for callback in self.callbacks:
            callback.on_train_end(self)
        return self.history

    def evaluate(self, loader, metrics=None):
        """{"loss": mean loss, metric name: value, ...} over a loader, in eval mode and off the tape.

        metrics: the trainer's validation metrics by default; they are reset first and keep their
        counts after.
        """
        metrics = self.val_metrics if metrics is None else metrics
        mean_loss, batch = Mean(), None
        for metric in metrics:
            metric.reset()
        modes = [(module, module.training) for module in self.model.modules()]  # some may be frozen
        self.model.eval()
        try:
            with autograd.no_grad():
                for batch in loader:
                    *inputs, target = _parts("evaluate", batch)
                    output = self.model(*inputs)
                    mean_loss.update(self.loss(output, target).item(), _batch_size(target))
                    for metric in metrics:
                        metric.update(output, target)
                    if self._asked_to_stop:
                        break
        finally:
            for module, training in modes:
                module.training = training
        if batch is None:
            raise ValueError(f"evaluate: the loader gave no batch: {_why_empty(loader)}")
        return {"loss": mean_loss.value(), **_values(metrics)}

    # one epoch

    def _run_epoch(self, loader, val_loader, accumulate, clip_norm, shown, saves):
        begun = time.perf_counter() - self._seconds
        batches = _length(loader)
        self.model.train()
        for callback in self.callbacks:  # which may put parts of the model into eval mode
            callback.on_epoch_start(self, self.epoch)
        shown.epoch(self.epoch, batches, self.batch)
        if not self.batch:
            self._lr = self.optimizer.param_groups[0]["lr"]
        group = accumulate if batches is None else min(accumulate, batches - self.batch)
        pending = 0
        for batch in () if self._trained else self._position(loader):
            loss = self._forward_backward(batch, group)
            self.batch += 1
            pending += 1
            shown.step(self.batch, loss)
            if pending < group:
                continue
            self._step(clip_norm, loss)
            pending = 0
            if batches is not None:
                group = min(accumulate, batches - self.batch)
            self._seconds = time.perf_counter() - begun
            if self._asked_to_stop:
                self.interrupted = True
                return
            saves.after_step()
        if not self.batch:
            raise ValueError(f"fit: the train loader gave no batch in epoch {self.epoch}: {_why_empty(loader)}")
        if pending:  # the loader has no length and ended inside a group
            self._step(clip_norm, loss)
        self._trained = True
        row = {"epoch": self.epoch, "loss": self._mean_loss.value(), **_values(self.metrics)}
        before_validation = _random_state()
        if val_loader is not None:
            values = self.evaluate(val_loader)
            row.update({f"val_{name}": value for name, value in values.items()})
        self._seconds = time.perf_counter() - begun
        if self._asked_to_stop:  # perhaps within validation: it is done again after resuming
            self.interrupted = True
            _set_random_state(before_validation)
            return
        row["lr"] = self._lr
        row["seconds"] = round(self._seconds, 3)
        if self.scheduler is not None and self.scheduler_every == "epoch":
            _step_scheduler(self.scheduler, row.get("val_loss", row["loss"]))
        self.history.append(row)
        row = self.history.rows[-1]
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)
        shown.end_epoch(row)

    def _position(self, loader):
        """Iterates over the loader from batch self.batch on, with the random state that belongs there."""
        if not self.batch:
            self._loader_state = None
            self._epoch_rng = _random_state()
            return iter(loader)
        if self._loader_state is not None:
            batches = iter(loader)  # its state was loaded by _restore
        else:
            _set_random_state(self._epoch_rng)
            batches = iter(loader)
            for _ in range(self.batch):
                next(batches)
        _set_random_state(self._resumed_rng)
        self._loader_state = self._resumed_rng = None
        return batches

    def _forward_backward(self, batch, group):
        *inputs, target = _parts("fit", batch)
        if self.augment is not None:
            inputs = [self.augment(x) for x in inputs]
        output = self.model(*inputs)
        loss = self.loss(output, target)
        value = loss.item()
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss is {value} at epoch {self.epoch}, batch {self.batch + 1}: lower the learning rate "
                "or set clip_norm; NNRT_CHECK_NAN=1 finds the kernel that made the first NaN"
            )
        (loss / group if group > 1 else loss).backward()
        self._mean_loss.update(value, _batch_size(target))
        for metric in self.metrics:
            metric.update(output, target)
        return value

    def _step(self, clip_norm, loss):
        if clip_norm is not None:
            from ..nn.utils import clip_grad_norm_

            # Others are never set to zero; what they have summed up must not count.
            clip_grad_norm_([p for group in self.optimizer.param_groups for p in group["params"]], clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.scheduler is not None and self.scheduler_every == "step":
            self.scheduler.step()
        for callback in self.callbacks:
            callback.on_step_end(self, self.step, loss)

    @contextmanager
    def _watching_for_interrupt(self):
        """Turns the first SIGINT into a flag, in the main thread and where SIGINT is not ignored."""
        before = signal.getsignal(signal.SIGINT)
        main = threading.current_thread() is threading.main_thread()
        if not main or before is None or before == signal.SIG_IGN:
            yield
            return

        def note(signum, frame):
            if self._asked_to_stop:
                raise KeyboardInterrupt
            self._asked_to_stop = True

        signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)
            self._asked_to_stop = False

    # the checkpoint

    def state_dict(self, loader=None):
        """Everything the next step depends on, as :func:`nnrt.save` takes it. Valid between steps."""
        return {
            "trainer": FORMAT,
            "epoch": self.epoch,
            "batch": self.batch,
            "trained": self._trained,
            "step": self.step,
            "stop": self.stop,
            "lr": self._lr,
            "seconds": self._seconds,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "loader": loader.state_dict() if hasattr(loader, "state_dict") else None,
            "random": _random_state(),
            "epoch_random": self._epoch_rng,
            "loss": self._mean_loss.state_dict(),
            "metrics": [m.state_dict() for m in self.metrics],
            "callbacks": [c.state_dict() for c in self.callbacks],
            "history": self.history.rows,
        }

    def load_state_dict(self, state, loader=None):
        """Takes over what state_dict() gave. Raises ValueError for a state of another kind of training."""
        if not isinstance(state, dict) or state.get("trainer") != FORMAT:
            raise ValueError("this is not a checkpoint of nnrt's Trainer (or of another version of it)")
        for what, mine in (("metrics", self.metrics), ("callbacks", self.callbacks)):
            if len(state[what]) != len(mine):
                raise ValueError(f"the checkpoint has {len(state[what])} {what}, this trainer {len(mine)}")
        if (state["scheduler"] is None) != (self.scheduler is None):
            has = "no" if state["scheduler"] is None else "a"
            raise ValueError(f"the checkpoint has {has} scheduler, this trainer differs")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.epoch, self.batch, self.step = state["epoch"], state["batch"], state["step"]
        self._lr = state["lr"]
        self.stop, self._seconds, self._trained = state["stop"], state["seconds"], state["trained"]
        self._mean_loss.load_state_dict(state["loss"])
        for metric, saved in zip(self.metrics, state["metrics"]):
            metric.load_state_dict(saved)
        for callback, saved in zip(self.callbacks, state["callbacks"]):
            callback.load_state_dict(saved)
        self.history = History(state["history"])
        self._loader_state = state["loader"]
        if self._loader_state is not None and loader is not None:
            loader.load_state_dict(self._loader_state)
        self._epoch_rng, self._resumed_rng = state["epoch_random"], state["random"]
        _set_random_state(self._resumed_rng)

    def _save(self, path, loader):
        save(self.state_dict(loader), path)

    def _restore(self, path, loader):
        try:
            state = load(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(error.errno, "fit: nothing to resume, no such file", os.fspath(path)) from None
        try:
            self.load_state_dict(state, loader)
        except (ValueError, KeyError, RuntimeError) as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from error


def _parts(op, batch):
    """A batch's inputs and target."""
    if isinstance(batch, (tuple, list)) and len(batch) > 1:
        return batch
    got = f"one {type(batch).__name__}" if not isinstance(batch, (tuple, list)) else f"{len(batch)} of them"
    raise TypeError(
        f"{op}: the loader must give batches (input, target), as DataLoader(TensorDataset(inputs, targets), 32) does, got {got}"
    )


class _Saves:
    """When a checkpoint is due."""

    def __init__(self, trainer, loader, path, every, steps):
        self.trainer = trainer
        self.loader = loader
        self.path = path
        self.every = every
        self.steps = steps

    def now(self):
        if self.path is not None:
            self.trainer._save(self.path, self.loader)

    def after_step(self):
        if self.steps and self.trainer.step % self.steps == 0:
            self.now()

    def after_epoch(self, last):
        if last or (self.trainer.epoch - 1) % self.every == 0:
            self.now()

    def after_interrupt(self):
        if not self.trainer.interrupted:
            return
        self.now()
        where = f"epoch {self.trainer.epoch}, step {self.trainer.step}"
        how = "nothing was saved: fit(checkpoint=...) was not given"
        if self.path is not None:
            how = f"checkpoint in {os.fspath(self.path)}; fit(..., resume=True) continues"
        print(f"\ninterrupted at {where}; {how}", file=sys.stderr)


def _check_fit(epochs, accumulate, clip_norm, every, steps, checkpoint, resume):
    for name, value, least in (
        ("epochs", epochs, 0),
        ("accumulate", accumulate, 1),
        ("checkpoint_every", every, 1),
    ):
        if not isinstance(value, int) or value < least:
            raise ValueError(f"fit: {name} must be an integer of at least {least}, got {value!r}")
    if steps is not None and (not isinstance(steps, int) or steps < 1):
        raise ValueError(f"fit: checkpoint_steps must be None or an integer of at least 1, got {steps!r}")
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"fit: clip_norm must be None or above 0, got {clip_norm!r}")
    if resume is True and checkpoint is None:
        raise ValueError("fit: resume=True needs checkpoint=, the file to resume from")


def _length(loader):
    """Batches of an epoch; None where they are not known, as of a DataLoader over a stream."""
    try:
        return len(loader)
    except TypeError:
        return None


def _why_empty(loader):
    if iter(loader) is loader:
        return "an iterator is used up after one pass; pass what it iterates over"
    if getattr(loader, "drop_last", False):
        return "with drop_last=True there must be at least batch_size samples"
    return "it is empty"


def _batch_size(target):
    return target.shape[0] if isinstance(target, (Tensor, np.ndarray)) and target.ndim else 1


def _values(metrics):
    """name -> value of the metrics that are one number."""
    values = {m.name: m.value() for m in metrics}
    return {name: float(v) for name, v in values.items() if np.ndim(v) == 0}


def _step_scheduler(scheduler, loss):
    if type(scheduler).__name__ == "ReduceLROnPlateau":
        scheduler.step(loss)
    else:
        scheduler.step()


def _random_state():
    """nnrt's, numpy's and Python's global generators: data sets and augmentations may use any."""
    return {"nnrt": get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}


def _set_random_state(state):
    set_rng_state(state["nnrt"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])
