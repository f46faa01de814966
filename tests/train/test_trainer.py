"""Trainer: equals a loop by hand; resumes to the same bits; stops and fails as it says."""

import copy
import random
import signal
import threading

import numpy as np
import pytest

import nnrt
from nnrt import nn, optim
from nnrt.data import DataLoader, IterableDataset, TensorDataset
from nnrt.io import load_file
from nnrt.nn import functional as F
from nnrt.tensor import wrap
from nnrt.train import Accuracy, Callback, ConfusionMatrix, EarlyStopping, SaveBest, Trainer, WriteCSV

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = (X[:, :3] + 0.3 * RNG.normal(size=(60, 3))).argmax(1)


def batches(size=8, rows=slice(None)):
    x, y = X[rows], Y[rows]
    return [(wrap(x[i : i + size]), wrap(y[i : i + size])) for i in range(0, len(x), size)]


class Shuffled:
    """A loader without a state of its own: its order comes from the global generator when iterated."""

    def __init__(self, size=8, source="nnrt"):
        self.size = size
        self.source = source

    def __len__(self):
        return -(-len(X) // self.size)

    def __iter__(self):
        if self.source == "nnrt":
            order = nnrt.randperm(len(X)).array
        else:
            order = np.random.permutation(len(X)) if self.source == "numpy" else random.sample(range(60), 60)
        for i in range(0, len(X), self.size):
            rows = order[i : i + self.size]
            yield wrap(X[rows]), wrap(Y[rows])


class Counted:
    """A loader with a state: seed of the epoch and position; at an epoch's end, those of the next."""

    def __init__(self, size=8):
        self.size = size
        self.epoch, self.at = 0, 0
        self.resumed = False

    def __len__(self):
        return -(-len(X) // self.size)

    def __iter__(self):
        self.at = self.at if self.resumed else 0
        self.resumed = False
        order = np.random.RandomState(self.epoch).permutation(len(X))
        while self.at < len(self):
            rows = order[self.at * self.size : (self.at + 1) * self.size]
            self.at += 1
            yield wrap(X[rows]), wrap(Y[rows])
        self.epoch, self.at = self.epoch + 1, 0

    def state_dict(self):
        return {"epoch": self.epoch, "at": self.at}

    def load_state_dict(self, state):
        self.epoch, self.at, self.resumed = state["epoch"], state["at"], True


def by_data_loader():
    return DataLoader(TensorDataset(wrap(X), wrap(Y)), batch_size=8, shuffle=True)


def by_own_generator():
    generator = nnrt.Generator().manual_seed(7)
    return DataLoader(TensorDataset(wrap(X), wrap(Y)), 8, shuffle=True, num_workers=2, generator=generator)


def model(dropout=0.0, seed=3):
    nnrt.manual_seed(seed)
    return nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 3))


def weights(net):
    return [p.detach().array.copy() for p in net.parameters()]


def equal(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def make(callbacks=(), dropout=0.3, **options):
    net = model(dropout)
    options = {
        "metrics": [Accuracy()],
        "progress": "none",
        "augment": lambda x: x + 0.1 * nnrt.randn_like(x),
        **options,
    }
    return Trainer(
        net, optim.Adam(net.parameters(), lr=0.02), F.cross_entropy, callbacks=callbacks, **options
    )


def test_equals_a_loop_by_hand():
    net = model()
    trainer = Trainer(
        net, optim.SGD(net.parameters(), lr=0.1, momentum=0.9), F.cross_entropy, progress="none"
    )
    history = trainer.fit(batches(), batches(), epochs=3)
    by_hand = model()
    optimizer = optim.SGD(by_hand.parameters(), lr=0.1, momentum=0.9)
    for epoch in range(3):
        total = 0.0
        for x, y in batches():
            loss = F.cross_entropy(by_hand(x), y)
            total += loss.item() * len(y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert history.rows[epoch]["loss"] == pytest.approx(total / 60, rel=1e-12)
    equal(weights(net), weights(by_hand))
    whole = F.cross_entropy(by_hand(wrap(X)), wrap(Y)).item()
    assert history.rows[-1]["val_loss"] == pytest.approx(whole, rel=1e-5)
    assert history["epoch"] == [1, 2, 3] and trainer.step == 24 and not trainer.interrupted
    assert history["loss"][-1] < history["loss"][0]


def test_accumulation_is_the_mean_over_the_group():
    """Groups of 2, 2, 2, 1 batches of 9 (but the last of 6): the same as those means by hand."""
    net, by_hand = model(), model()
    trainer = Trainer(net, optim.SGD(net.parameters(), lr=0.1), F.cross_entropy, progress="none")
    trainer.fit(batches(9), epochs=1, accumulate=2)
    assert trainer.step == 4
    optimizer = optim.SGD(by_hand.parameters(), lr=0.1)
    parts = batches(9)
    for group in (parts[0:2], parts[2:4], parts[4:6], parts[6:7]):
        optimizer.zero_grad()
        for x, y in group:
            (F.cross_entropy(by_hand(x), y) / len(group)).backward()
        optimizer.step()
    for left, right in zip(weights(net), weights(by_hand)):
        np.testing.assert_allclose(left, right, rtol=1e-6)


def test_a_loader_without_length_steps_its_last_group():
    class Endless:
        def __iter__(self):
            return iter(batches(9))

    net = model()
    trainer = Trainer(net, optim.SGD(net.parameters(), lr=0.1), F.cross_entropy, progress="none")
    trainer.fit(Endless(), epochs=2, accumulate=3)
    assert trainer.step == 6 and all(p.grad is None for p in net.parameters())


def test_clipping():
    norms = []

    class Look(optim.SGD):
        def step(self, closure=None):
            grads = [p.grad.array for g in self.param_groups for p in g["params"]]
            norms.append(float(np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in grads))))
            return super().step(closure)

    net = model()
    trainer = Trainer(net, Look(net.parameters(), lr=1.0), F.cross_entropy, progress="none")
    trainer.fit(batches(), epochs=1)
    assert max(norms) > 0.05
    norms.clear()
    trainer.fit(batches(), epochs=1, clip_norm=0.05)
    assert max(norms) <= 0.05 * (1 + 1e-5)


def test_clipping_counts_what_the_optimiser_holds():
    """The gradients of other parameters sum up: they must not change a step, nor what a resumed training does."""
    found = []
    for frozen in (False, True):
        net = model()
        net[0].requires_grad_(not frozen)
        last = list(net.children())[-1]
        trainer = Trainer(net, optim.SGD(last.parameters(), lr=1.0), F.cross_entropy, progress="none")
        trainer.fit(batches(), epochs=2, clip_norm=0.05)
        found.append(weights(net))
    equal(*found)


def test_a_stream_without_a_length():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(list(zip(X, Y)))

    one, two = make(), make()
    one.fit(DataLoader(Stream(), batch_size=8), epochs=2, accumulate=3)
    two.fit(DataLoader(TensorDataset(wrap(X), wrap(Y)), batch_size=8), epochs=2, accumulate=3)
    assert one.step == two.step and one.history.rows[-1]["loss"] == pytest.approx(two.history.rows[-1]["loss"], rel=0.05)


def test_validation_changes_nothing():
    plain = make()
    plain.fit(batches(), epochs=2)
    checked = make()
    checked.fit(batches(), batches(), epochs=2)
    equal(weights(plain.model), weights(checked.model))
    checked.model.train()
    values = checked.evaluate(batches(), [Accuracy(), ConfusionMatrix(3)])
    assert set(values) == {"loss", "accuracy"} and checked.model.training
    assert all(p.grad is None for p in checked.model.parameters())


def test_callbacks_come_in_order():
    calls = []

    class Note(Callback):
        def on_train_start(self, trainer):
            calls.append("start")

        def on_epoch_start(self, trainer, epoch):
            calls.append(("epoch", epoch))

        def on_step_end(self, trainer, step, loss):
            calls.append(("step", step))
            assert np.isfinite(loss)

        def on_epoch_end(self, trainer, row):
            calls.append(("end", row["epoch"], sorted(row)))
            row["extra"] = 1.0

        def on_train_end(self, trainer):
            calls.append("stop")

    trainer = make([Note()])
    history = trainer.fit(batches(30), batches(), epochs=2)
    columns = ["accuracy", "epoch", "loss", "lr", "seconds", "val_accuracy", "val_loss"]
    end = [("end", i, columns) for i in (1, 2)]
    steps = [("step", i) for i in (1, 2, 3, 4)]
    assert calls == ["start", ("epoch", 1), *steps[:2], end[0], ("epoch", 2), *steps[2:], end[1], "stop"]
    assert history["extra"] == [1.0, 1.0]


class Worse(Callback):
    """Plays back a validation loss."""

    def __init__(self, values):
        self.values = values

    def on_epoch_end(self, trainer, row):
        row["val_loss"] = self.values[row["epoch"] - 1]
        self.seen = getattr(self, "seen", []) + [weights(trainer.model)]


def test_early_stopping_restores_the_best_epoch(tmp_path):
    worse = Worse([3.0, 2.0, 2.5, float("nan"), 1.0])
    best = SaveBest(tmp_path / "best.safetensors")
    trainer = make([worse, EarlyStopping(patience=2), best])
    history = trainer.fit(batches(), epochs=9)
    assert len(history) == 4 and trainer.stop == "val_loss has not improved for 2 epochs"
    equal(weights(trainer.model), worse.seen[1])
    saved = load_file(tmp_path / "best.safetensors")
    equal([t.array for t in saved.values()], [saved[k].array for k in saved])
    for name, tensor in trainer.model.state_dict().items():
        np.testing.assert_array_equal(saved[name].array, tensor.array)


def test_early_stopping_by_a_maximum():
    worse = Worse([0.5, 0.6, 0.6, 0.61])
    trainer = make([worse, EarlyStopping(patience=1, mode="max", min_delta=0.05, restore_best=False)])
    assert len(trainer.fit(batches(), epochs=4)) == 3
    equal(weights(trainer.model), worse.seen[-1])
    with pytest.raises(ValueError, match="no column 'val_loss'; it has epoch, loss"):
        make([EarlyStopping()]).fit(batches(), epochs=1)
    with pytest.raises(ValueError, match="patience"):
        EarlyStopping(patience=0)
    with pytest.raises(ValueError, match="mode"):
        SaveBest("x", mode="most")


def test_a_loss_that_is_not_finite_is_an_error(tmp_path):
    broken = batches()
    broken[3][0].array[0, 0] = np.nan
    path = tmp_path / "c"
    trainer = make(dropout=0.0)
    try:
        with pytest.raises(FloatingPointError, match="loss is nan at epoch 1, batch 4"):
            trainer.fit(broken, epochs=2, checkpoint=path)
        assert nnrt.load(path)["step"] == 0
    finally:
        broken[3][0].array[0, 0] = 0.0


# ---- resuming: the same bits ----


class StopAt(Callback):
    """What SIGINT does, at a chosen step."""

    def __init__(self, step):
        self.at = step

    def on_step_end(self, trainer, step, loss):
        if step == self.at:
            signal.raise_signal(signal.SIGINT)


def schedulers(optimizer, kind):
    if kind == "none":
        return {}
    if kind == "epoch":
        return {"scheduler": optim.lr_scheduler.StepLR(optimizer, 2, 0.5)}
    if kind == "plateau":
        return {"scheduler": optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5)}
    return {"scheduler": optim.lr_scheduler.CosineAnnealingLR(optimizer, 40), "scheduler_every": "step"}


def make_with(kind, callbacks=()):
    net = model(0.3)
    optimizer = optim.Adam(net.parameters(), lr=0.02)
    return Trainer(
        net,
        optimizer,
        F.cross_entropy,
        [Accuracy(), ConfusionMatrix(3)],
        callbacks=[EarlyStopping("loss", patience=3), *callbacks],
        augment=lambda x: x + 0.1 * nnrt.randn_like(x),
        progress="none",
        **schedulers(optimizer, kind),
    )


def same_history(a, b):
    assert [{k: v for k, v in row.items() if k != "seconds"} for row in a.rows] == [
        {k: v for k, v in row.items() if k != "seconds"} for row in b.rows
    ]


@pytest.mark.parametrize("kind", ["none", "epoch", "plateau", "step"])
@pytest.mark.parametrize("loader", [Shuffled, Counted, batches, by_data_loader, by_own_generator])
@pytest.mark.parametrize("step", [1, 8, 11, 32])  # inside, at the end of an epoch, inside, at the very end
def test_resume_after_interruption_gives_the_same_bits(tmp_path, kind, loader, step):
    whole = make_with(kind)
    whole.fit(loader(), batches(), epochs=4)

    path = tmp_path / "c"
    cut = make_with(kind, [StopAt(step)])
    cut.fit(loader(), batches(), epochs=4, checkpoint=path)
    assert cut.interrupted and cut.step == step

    nnrt.manual_seed(999)  # a new process knows nothing of the old one's state
    np.random.seed(999)
    again = make_with(kind, [Callback()])
    nnrt.manual_seed(12345)
    history = again.fit(loader(), batches(), epochs=4, checkpoint=path, resume=True)
    equal(weights(again.model), weights(whole.model))
    same_history(history, whole.history)
    assert again.step == whole.step == 32


@pytest.mark.parametrize("source", ["numpy", "python"])
def test_resume_restores_the_other_generators(tmp_path, source):
    np.random.seed(5)
    random.seed(5)
    whole = make()
    whole.fit(Shuffled(source=source), epochs=2)
    np.random.seed(5)
    random.seed(5)
    cut = make([StopAt(11)])
    cut.fit(Shuffled(source=source), epochs=2, checkpoint=tmp_path / "c")
    np.random.seed(6)
    random.seed(6)
    again = make([Callback()])
    again.fit(Shuffled(source=source), epochs=2, checkpoint=tmp_path / "c", resume=True)
    equal(weights(again.model), weights(whole.model))


def test_resume_with_accumulation_and_step_checkpoints(tmp_path):
    """The process dies (an exception here) between checkpoints: the last one is taken up."""

    class Die(Callback):
        def on_step_end(self, trainer, step, loss):
            if step == 7:
                raise RuntimeError("power cut")

    options = {"accumulate": 3, "clip_norm": 0.5}
    whole = make()
    whole.fit(Shuffled(), epochs=4, **options)
    path = tmp_path / "c"
    cut = make([Die()])
    with pytest.raises(RuntimeError, match="power cut"):
        cut.fit(Shuffled(), epochs=4, checkpoint=path, checkpoint_steps=2, **options)
    assert nnrt.load(path)["step"] == 6
    again = make([Callback()])
    again.fit(Shuffled(), epochs=4, checkpoint=path, resume=True, **options)
    equal(weights(again.model), weights(whole.model))
    assert again.step == whole.step


def test_a_finished_training_resumes_to_itself_and_can_go_on(tmp_path):
    path = tmp_path / "c"
    whole = make()
    whole.fit(Shuffled(), epochs=4)
    first = make()
    first.fit(Shuffled(), epochs=2, checkpoint=path)
    again = make()
    again.fit(Shuffled(), epochs=2, checkpoint=path, resume=True)
    equal(weights(again.model), weights(first.model))
    assert again.step == first.step and len(again.history) == 2
    on = make()
    on.fit(Shuffled(), epochs=4, resume=path)
    equal(weights(on.model), weights(whole.model))


def test_checkpoint_every(tmp_path):
    saved = []

    class Look(Callback):
        def on_epoch_start(self, trainer, epoch):
            saved.append(nnrt.load(tmp_path / "c")["epoch"])

    make([Look()]).fit(batches(), epochs=5, checkpoint=tmp_path / "c", checkpoint_every=2)
    assert saved == [1, 1, 3, 3, 5] and nnrt.load(tmp_path / "c")["epoch"] == 6


def test_what_does_not_fit_is_named(tmp_path):
    path = tmp_path / "c"
    make().fit(batches(), epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match="1 metrics, this trainer 0"):
        make(metrics=[]).fit(batches(), epochs=2, checkpoint=path, resume=True)
    with pytest.raises(ValueError, match="0 callbacks, this trainer 1"):
        make([Callback()]).fit(batches(), epochs=2, checkpoint=path, resume=True)
    net = model()
    optimizer = optim.Adam(net.parameters())
    scheduled = make(scheduler=optim.lr_scheduler.StepLR(optimizer, 2))
    with pytest.raises(ValueError, match="has no scheduler, this trainer differs"):
        scheduled.fit(batches(), epochs=2, checkpoint=path, resume=True)
    with pytest.raises(FileNotFoundError, match="fit: nothing to resume, no such file: .*none"):
        make().fit(batches(), epochs=2, checkpoint=tmp_path / "none", resume=True)
    nnrt.save({"a": 1}, path)
    with pytest.raises(ValueError, match="not a checkpoint of nnrt's Trainer"):
        make().fit(batches(), epochs=2, checkpoint=path, resume=True)
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match="truncated"):
        make().fit(batches(), epochs=2, checkpoint=path, resume=True)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"epochs": -1}, "epochs"),
        ({"epochs": 1.5}, "epochs"),
        ({"accumulate": 0}, "accumulate"),
        ({"clip_norm": 0}, "clip_norm"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"checkpoint_steps": 0}, "checkpoint_steps"),
        ({"resume": True}, "needs checkpoint="),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        make().fit(batches(), **options)
    with pytest.raises(ValueError, match="scheduler_every"):
        make(scheduler_every="batch")
    with pytest.raises(TypeError, match="metrics must be a list of metrics, got one Accuracy"):
        make(metrics=Accuracy())
    for wrong in ("accuracy", Accuracy):
        with pytest.raises(TypeError, match=r"metrics must be a list of metrics, as \[Accuracy\(\)\], got .* in it"):
            make(metrics=[wrong])
    with pytest.raises(TypeError, match="optimizer must be one of nnrt.optim's, .* got 'adam'"):
        Trainer(model(), "adam", F.cross_entropy)
    with pytest.raises(ValueError, match="progress"):
        make(progress="dots").fit(batches())


@pytest.mark.parametrize("loader, got", [((wrap(X), wrap(Y)), "one Tensor"), ([(wrap(X),)], "1 of them")])
def test_a_loader_without_batches_of_input_and_target(loader, got):
    with pytest.raises(TypeError, match=f"fit: the loader must give batches .input, target.*, got {got}"):
        make().fit(loader)
    with pytest.raises(TypeError, match="evaluate: the loader must give batches"):
        make().evaluate(loader)


# ---- Ctrl-C ----


def test_the_first_ctrl_c_stops_with_a_message_the_second_raises(tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT)
    trainer = make([StopAt(3)])
    trainer.fit(batches(), epochs=2, checkpoint=tmp_path / "c")
    assert trainer.interrupted and signal.getsignal(signal.SIGINT) is before
    counts = ConfusionMatrix(3)
    trainer.evaluate(batches(), [counts])  # not cut short by the key that ended fit
    assert counts.value().sum() == len(X)
    text = capsys.readouterr().err
    assert "interrupted at epoch 1, step 3" in text and str(tmp_path / "c") in text and "resume=True" in text
    make([StopAt(3)]).fit(batches(), epochs=2)
    assert "nothing was saved" in capsys.readouterr().err

    class Twice(Callback):
        def on_step_end(self, trainer, step, loss):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        make([Twice()]).fit(batches())
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_during_validation_repeats_the_validation(tmp_path):
    class Press:
        def __iter__(self):
            for i, batch in enumerate(batches(20)):
                if i == 1:
                    signal.raise_signal(signal.SIGINT)
                yield batch

    whole = make()
    whole.fit(Shuffled(), batches(20), epochs=2)
    cut = make()
    cut.fit(Shuffled(), Press(), epochs=2, checkpoint=tmp_path / "c")
    assert cut.interrupted and len(cut.history) == 0
    again = make()
    again.fit(Shuffled(), batches(20), epochs=2, checkpoint=tmp_path / "c", resume=True)
    equal(weights(again.model), weights(whole.model))
    same_history(again.history, whole.history)


def test_another_thread_trains_without_touching_signals():
    before = signal.getsignal(signal.SIGINT)
    trainer = make()
    seen = []
    trainer.callbacks.append(
        type("See", (Callback,), {"on_step_end": lambda *a: seen.append(signal.getsignal(2))})()
    )
    thread = threading.Thread(target=lambda: trainer.fit(batches(), epochs=1))
    thread.start()
    thread.join()
    assert len(trainer.history) == 1 and set(seen) == {before}


def test_history_goes_to_csv(tmp_path):
    trainer = make([WriteCSV(tmp_path / "h.csv")])
    history = trainer.fit(batches(), batches(), epochs=3)
    lines = (tmp_path / "h.csv").read_text().splitlines()
    assert lines[0] == "epoch,loss,accuracy,val_loss,val_accuracy,lr,seconds" and len(lines) == 4
    assert float(lines[2].split(",")[1]) == history["loss"][1]
    with pytest.raises(KeyError, match="no column 'f1'; it has epoch"):
        history["f1"]


def test_models_of_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x, y):
            return self.a(x) + self.b(y)

    net = Two()
    data = [(x, x, y) for x, y in batches()]
    trainer = Trainer(net, optim.SGD(net.parameters(), lr=0.5), F.cross_entropy, progress="none")
    history = trainer.fit(data, epochs=5)
    assert history["loss"][-1] < history["loss"][0]


def test_state_dict_is_a_snapshot_of_everything(tmp_path):
    trainer = make()
    trainer.fit(batches(), epochs=1)
    state = copy.deepcopy(trainer.state_dict())
    after = weights(trainer.model)
    trainer.fit(batches(), epochs=1)
    trainer.load_state_dict(state)
    equal(weights(trainer.model), after)


def test_a_loader_without_a_batch_is_an_error():
    trainer = make()
    for loader, why in (([], "it is empty"), (iter([]), "an iterator is used up after one pass")):
        with pytest.raises(ValueError, match=f"fit: the train loader gave no batch in epoch 1: {why}"):
            trainer.fit(loader)
    small = DataLoader(TensorDataset(nnrt.zeros(3, 6)), batch_size=4, drop_last=True)
    with pytest.raises(ValueError, match="evaluate: the loader gave no batch: with drop_last=True"):
        trainer.evaluate(small)


@pytest.mark.parametrize("progress", ["epoch", "line", "bar", "none"])
def test_an_early_end_says_why(progress, capsys):
    if progress == "bar":
        pytest.importorskip("tqdm")
    model = nn.Linear(5, 3)
    stopping = EarlyStopping(patience=1, min_delta=1e9)
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), F.cross_entropy, callbacks=[stopping], progress=progress)
    assert len(trainer.fit(batches(), batches(20), epochs=5)["loss"]) == 2
    last = capsys.readouterr().err.rpartition("stopped: ")[2]
    assert last == ("" if progress == "none" else "val_loss has not improved for an epoch\n")


def test_a_second_fit_begins_anew():
    """Neither a group of batches that an error cut short nor what callbacks saw in the first one counts in it."""
    model = nn.Linear(5, 3)
    first = copy.deepcopy(model.state_dict())
    stopping = EarlyStopping(patience=1)
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), F.cross_entropy, callbacks=[stopping], progress="none")
    infinite = (wrap(np.full((2, 5), np.inf, np.float32)), wrap(Y[:2]))
    with pytest.raises(FloatingPointError):
        trainer.fit([batches()[0], infinite], accumulate=2)
    assert model.weight.grad is not None
    history = trainer.fit(batches(), batches(20), epochs=3)
    best, weights = stopping.best, model.weight.detach().numpy().copy()
    model.load_state_dict(first)
    assert trainer.fit(batches(), batches(20), epochs=3)["loss"] == history["loss"]
    assert stopping.best == best and (model.weight.detach().numpy() == weights).all()


def test_a_callback_freezes_a_layer():
    class Freeze(Callback):
        def on_epoch_start(self, trainer, epoch):
            trainer.model[0].eval()

    model = nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 3))
    trainer = Trainer(model, optim.SGD(model.parameters(), 0.1), F.cross_entropy, callbacks=[Freeze()], progress="none")
    trainer.fit(batches(), batches(), epochs=2)
    assert not model[0].running_mean.any() and not model[0].training and model[1].training
