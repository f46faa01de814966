"""Callbacks: what happens at the start and end of training, of an epoch, and after a step.

A callback may set trainer.stop to a reason: training then ends after the current epoch. Its state_dict
travels in the checkpoint, so that a resumed training takes the same decisions.
"""

import copy
import math
import os

from ..io.safetensors import save_file


class Callback:
    """Base: every hook does nothing. `row` is the epoch's line of the history."""

    def on_train_start(self, trainer):
        """Before the first epoch (also of a resumed training)."""

    def on_epoch_start(self, trainer, epoch):
        """epoch counts from 1."""

    def on_step_end(self, trainer, step, loss):
        """After each step of the optimiser; step counts from 1 over all epochs, loss is a float."""

    def on_epoch_end(self, trainer, row):
        """After validation, before the checkpoint is written. May add columns to row."""

    def on_train_end(self, trainer):
        """After the last epoch, an early stop, or an interruption (trainer.interrupted)."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class _Watch(Callback):
    """Remembers the best value of a column."""

    def __init__(self, monitor, mode, min_delta):
        if mode not in ("min", "max"):
            raise ValueError(f"{type(self).__name__}: mode {mode!r}; wanted 'min' or 'max'")
        self.monitor = monitor
        self.sign = 1 if mode == "min" else -1
        self.min_delta = min_delta
        self.best = math.inf  # sign * value: smaller is better

    def improved(self, row):
        if self.monitor not in row:
            have = ", ".join(row)
            raise ValueError(
                f"{type(self).__name__}: the history has no column {self.monitor!r}; it has {have}"
            )
        value = self.sign * row[self.monitor]
        if value < self.best - self.min_delta:  # false for NaN
            self.best = value
            return True
        return False

    def state_dict(self):
        return {"best": self.best}

    def load_state_dict(self, state):
        self.best = state["best"]


class EarlyStopping(_Watch):
    """Ends training when a column has not improved by more than min_delta for `patience` epochs.

    monitor: a column of the history, "val_loss" by default. mode: "min" or "max". restore_best: at the
    end the model gets the weights of its best epoch back.
    """

    def __init__(self, monitor="val_loss", patience=5, min_delta=0.0, mode="min", restore_best=True):
        super().__init__(monitor, mode, min_delta)
        if patience < 1:
            raise ValueError(f"EarlyStopping: patience must be at least 1, got {patience}")
        self.patience = patience
        self.restore_best = restore_best
        self.waited = 0
        self.weights = None

    def on_epoch_end(self, trainer, row):
        if self.improved(row):
            self.waited = 0
            if self.restore_best:
                self.weights = copy.deepcopy(trainer.model.state_dict())
            return
        self.waited += 1
        if self.waited >= self.patience:
            epochs = "an epoch" if self.waited == 1 else f"{self.waited} epochs"
            trainer.stop = f"{self.monitor} has not improved for {epochs}"

    def on_train_end(self, trainer):
        if self.weights is not None and not trainer.interrupted:
            trainer.model.load_state_dict(self.weights)

    def state_dict(self):
        return {"best": self.best, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state):
        self.best, self.waited, self.weights = state["best"], state["waited"], state["weights"]


class SaveBest(_Watch):
    """Writes the model's state_dict as safetensors whenever a column reaches a new best."""

    def __init__(self, path, monitor="val_loss", mode="min"):
        super().__init__(monitor, mode, 0.0)
        self.path = path

    def on_epoch_end(self, trainer, row):
        if self.improved(row):
            save_file(trainer.model.state_dict(), self.path, {"epoch": str(row["epoch"])})


class WriteCSV(Callback):
    """Writes the history as CSV after each epoch."""

    def __init__(self, path):
        self.path = os.fspath(path)

    def on_epoch_end(self, trainer, row):
        trainer.history.write_csv(self.path)
