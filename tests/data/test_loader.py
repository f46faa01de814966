"""Data sets, samplers and the loader: what an epoch contains, resuming, threads, errors."""

import gc
import pickle
import threading
import time

import numpy as np
import pytest

import nnrt
from nnrt import data
from nnrt.data import DataLoader, TensorDataset

N = 23


def arrays(n=N):
    x = np.arange(n * 6, dtype=np.float32).reshape(n, 2, 3)
    return x, np.arange(n)


class Squares(data.Dataset):
    """A data set by index alone."""

    def __init__(self, n=N):
        self.n = n

    def __getitem__(self, i):
        if not -self.n <= i < self.n:
            raise IndexError(i)
        return {"x": np.full(2, i, np.float32), "square": int(i) ** 2, "name": str(i)}

    def __len__(self):
        return self.n


class Count(data.IterableDataset):
    def __init__(self, n=N):
        self.n = n

    def __iter__(self):
        return iter(range(self.n))


def labels(batches):
    return [b[1].tolist() for b in batches]


def seeded(seed=7):
    return nnrt.Generator().manual_seed(seed)


# what an epoch contains


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("size", [1, 5, N, N + 4])
def test_batches_of_tensors(size, shuffle, drop_last, workers):
    x, y = arrays()
    loader = DataLoader(TensorDataset(x, y), size, shuffle, drop_last=drop_last, num_workers=workers)
    batches = list(loader)
    assert len(batches) == len(loader) == (N // size if drop_last else -(-N // size))
    assert all(isinstance(b, list) and isinstance(b[0], nnrt.Tensor) for b in batches)
    sizes = [len(b[1]) for b in batches]
    assert sizes == [size] * (N // size) + ([] if drop_last or N % size == 0 else [N % size])
    got = [i for b in labels(batches) for i in b]
    if shuffle:
        assert len(set(got)) == len(got) and set(got) <= set(range(N))
    else:
        assert got == list(range(len(got)))
    for b in batches:
        np.testing.assert_array_equal(b[0].numpy(), x[b[1].numpy()])
        assert b[0].dtype == np.float32 and b[1].dtype == np.int64


def test_agrees_with_torch_in_order(torch):
    x, y = arrays()
    mine = DataLoader(TensorDataset(x, y), 4)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    for a, b in zip(mine, torch.utils.data.DataLoader(dataset, 4), strict=True):
        assert len(a) == len(b)
        for s, t in zip(a, b):
            np.testing.assert_array_equal(s.numpy(), t.numpy())
            assert s.dtype == t.numpy().dtype


def test_agrees_with_torch_on_collation(torch):
    from collections import namedtuple

    Pair = namedtuple("Pair", "a b")
    samples = [
        {"f": 0.5, "i": 3, "b": True, "s": "x", "t": (1, [2.0, 3.0]), "n": np.float32(2), "p": Pair(1, "q")},
        {"f": 1.5, "i": 4, "b": False, "s": "y", "t": (5, [6.0, 7.0]), "n": np.float32(3), "p": Pair(2, "r")},
    ]

    def same(a, b):
        if isinstance(b, torch.Tensor):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            assert a.numpy().dtype == b.numpy().dtype
        elif isinstance(b, dict):
            assert a.keys() == b.keys()
            for key in b:
                same(a[key], b[key])
        elif isinstance(b, (list, tuple)):
            assert type(a) is type(b) and len(a) == len(b)
            for s, t in zip(a, b):
                same(s, t)
        else:
            assert a == b

    same(data.default_collate(samples), torch.utils.data.default_collate(samples))


@pytest.mark.parametrize("workers", [0, 2])
def test_other_data_sets(workers):
    batches = list(DataLoader(Squares(), 10, num_workers=workers))
    assert [b["square"].tolist() for b in batches][0] == [i * i for i in range(10)]
    assert batches[-1]["name"] == ["20", "21", "22"]
    assert batches[-1]["x"].shape == (3, 2)
    stream = list(DataLoader(Count(), 10, num_workers=workers))
    assert [b.tolist() for b in stream] == [list(range(10)), list(range(10, 20)), [20, 21, 22]]
    assert len(list(DataLoader(Count(), 10, drop_last=True, num_workers=workers))) == 2
    assert list(DataLoader(Count(3), None, num_workers=workers)) == [0, 1, 2]
    single = list(DataLoader(Squares(3), None, num_workers=workers))
    assert [s["square"] for s in single] == [0, 1, 4] and single[0]["x"].shape == (2,)
    halves = DataLoader(Squares(), 10, collate_fn=lambda samples: len(samples), num_workers=workers)
    assert list(halves) == [10, 10, 3]
    lists = DataLoader(Squares(), batch_sampler=[[3, 1], [-1]], num_workers=workers)
    assert [b["square"].tolist() for b in lists] == [[9, 1], [1]]


def test_parts_and_joins():
    x, y = arrays()
    whole = TensorDataset(x, y)
    part = data.Subset(data.Subset(whole, [5, -1, 3, 8]), [1, 2, 0])
    assert labels(DataLoader(part, 2)) == [[22, 3], [5]]
    assert labels(DataLoader(whole, batch_sampler=[[-1, 0], [4]])) == [[22, 0], [4]]
    joined = whole + TensorDataset(x[:2], y[:2])
    assert len(joined) == 25 and joined[24][1].item() == 1 and joined[-25][1].item() == 0
    with pytest.raises(IndexError, match="25"):
        joined[25]
    stacked = data.StackDataset(a=whole, b=Squares())
    assert stacked[4]["b"]["square"] == 16 and stacked[4]["a"][1].item() == 4
    assert data.StackDataset(whole, Squares())[2][1]["square"] == 4
    chained = Count(2) + Count(3)
    assert list(chained) == [0, 1, 0, 1, 2] and len(list(DataLoader(chained, 2))) == 3
    parts = data.random_split(whole, [0.5, 0.25, 0.25], seeded())
    assert [len(p) for p in parts] == [12, 6, 5]
    assert sorted(i for p in parts for i in p.indices) == list(range(N))
    assert [len(p) for p in data.random_split(whole, [20, 3, 0])] == [20, 3, 0]


def test_an_empty_data_set():
    empty = TensorDataset(np.zeros((0, 3)), np.zeros(0))
    for shuffle in (False, True):
        assert list(DataLoader(empty, 4, shuffle=shuffle)) == []


def test_a_subclass_with_its_own_samples_is_asked_for_them():
    class Doubled(TensorDataset):
        def __getitem__(self, i):
            return tuple(2 * t[i] for t in self.tensors)

    assert labels(DataLoader(Doubled(*arrays()), 3))[0] == [0, 2, 4]


def test_batches_in_order_are_views_that_cannot_be_written():
    x, y = arrays()
    batch, _ = next(iter(DataLoader(TensorDataset(x, y), 4)))
    assert np.shares_memory(batch.numpy(), x)
    with pytest.raises(ValueError, match="read-only"):
        batch.numpy()[0] = 1
    shuffled, _ = next(iter(DataLoader(TensorDataset(x, y), 4, shuffle=True)))
    shuffled.numpy()[0] = 1  # a copy


# orders


@pytest.mark.parametrize("dtype", ["f4", "u1", "f2", object])
def test_batches_of_large_arrays(dtype):
    """Where a kernel takes the rows that come in order of memory; objects and others are numpy's."""
    of = np.arange(2051 * 2048).reshape(2051, 2, 1024) % 251
    for x in (of.astype(dtype), of.astype(dtype)[::-1], of.astype(dtype).reshape(2051, 2048)):
        loader = DataLoader(TensorDataset(x, np.arange(2051)), batch_size=64, shuffle=True)
        seen = []
        for batch, index in loader:
            assert batch.array.dtype == x.dtype and batch.array.flags.c_contiguous
            np.testing.assert_array_equal(batch.array, x[index.array])
            seen += index.tolist()
        assert sorted(seen) == list(range(2051))


def test_orders_follow_the_generator():
    whole = TensorDataset(*arrays())
    one, two = (DataLoader(whole, 4, shuffle=True, generator=seeded()) for _ in range(2))
    first = labels(one)
    assert first == labels(two)
    second = labels(one)
    assert second == labels(two) and second != first
    nnrt.manual_seed(3)
    a = labels(DataLoader(whole, 4, shuffle=True))
    nnrt.manual_seed(3)
    assert a == labels(DataLoader(whole, 4, shuffle=True))


def test_samplers():
    x = range(N)
    assert list(data.SequentialSampler(x)) == list(x)
    assert sorted(data.RandomSampler(x)) == list(x)
    many = list(data.RandomSampler(x, num_samples=60))
    assert len(many) == 60 and sorted(many[:N]) == sorted(many[N : 2 * N]) == list(x)
    drawn = list(data.RandomSampler(x, replacement=True, num_samples=500))
    assert len(drawn) == 500 and set(drawn) == set(x)
    assert sorted(data.SubsetRandomSampler([4, 9, 2])) == [2, 4, 9]
    weighted = data.WeightedRandomSampler([0.0, 1.0, 3.0, 0.0], 40_000, generator=seeded())
    counts = np.bincount(list(weighted), minlength=4)
    assert counts[0] == counts[3] == 0 and abs(counts[2] / 40_000 - 0.75) < 0.02
    assert sorted(data.WeightedRandomSampler([1, 0, 2, 5], 3, replacement=False)) == [0, 2, 3]
    assert [len(b) for b in data.BatchSampler(x, 5, False)] == [5, 5, 5, 5, 3]
    assert len(data.BatchSampler(x, 5, True)) == len(list(data.BatchSampler(x, 5, True))) == 4


def test_draws_without_replacement_follow_the_weights():
    g = seeded()
    first = [data.WeightedRandomSampler([1.0, 3.0], 1, False, g).order(g)[0] for _ in range(4000)]
    assert abs(np.mean(first) - 0.75) < 0.03


# resuming

CASES = {
    "in order": lambda: DataLoader(TensorDataset(*arrays()), 4),
    "shuffled": lambda: DataLoader(TensorDataset(*arrays()), 4, shuffle=True),
    "generator": lambda: DataLoader(TensorDataset(*arrays()), 4, shuffle=True, generator=seeded()),
    "threads": lambda: DataLoader(TensorDataset(*arrays()), 4, True, generator=seeded(), num_workers=2),
    "subset": lambda: DataLoader(
        data.Subset(TensorDataset(*arrays()), range(3, 20)), 4, True, generator=seeded()
    ),
    "weighted": lambda: DataLoader(
        TensorDataset(*arrays()), 4, sampler=data.WeightedRandomSampler(np.ones(N), 30, generator=seeded())
    ),
    "own sampler": lambda: DataLoader(TensorDataset(*arrays()), 4, sampler=list(range(N))[::-1]),
    "singles": lambda: DataLoader(TensorDataset(*arrays()), None, shuffle=True, generator=seeded()),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("taken", [0, 1, 3, 5])
def test_resumes_with_exactly_the_batches_that_were_left(case, taken):
    original, resumed = CASES[case](), CASES[case]()
    labels(original)
    batches = iter(original)
    for _ in range(taken):
        next(batches)
    state = pickle.loads(pickle.dumps(original.state_dict()))
    left = labels(batches)
    nnrt.rand(5)  # the global generator goes on in between, as in a model with dropout
    resumed.load_state_dict(state)
    assert resumed.state_dict()["batches"] == taken
    assert labels(resumed) == left
    if case in ("generator", "threads", "subset", "weighted", "singles", "in order"):
        assert labels(resumed) == labels(original), "the epoch after"
    assert len(labels(resumed)) == len(original)


def test_resumes_a_stream():
    original, resumed = (DataLoader(Count(), 4) for _ in range(2))
    batches = iter(original)
    next(batches), next(batches)
    resumed.load_state_dict(original.state_dict())
    assert [b.tolist() for b in resumed] == [b.tolist() for b in batches]


def test_state_after_an_epoch_begins_a_new_one():
    loader = CASES["generator"]()
    labels(loader)
    state = loader.state_dict()
    assert state["batches"] == 0 and state["order"] is None
    other = CASES["generator"]()
    other.load_state_dict(state)
    assert labels(other) == labels(loader)


# threads


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("nnrt-data")]


class Failing(data.Dataset):
    def __init__(self, error):
        self.error = error

    def __getitem__(self, i):
        if i == 9:
            raise self.error
        return i

    def __len__(self):
        return N


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("error", [ValueError("sample 9"), KeyboardInterrupt(), TimeoutError()], ids=repr)
def test_errors_arrive_in_their_turn_and_threads_end(error, workers):
    seen = []
    with pytest.raises(type(error)):
        for batch in DataLoader(Failing(error), 4, num_workers=workers):
            seen.append(batch.tolist())
    assert seen == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert not threads()


def test_a_sampler_that_fails_does_so_after_its_batches():
    def indices():
        yield [0, 1]
        yield [2]
        raise KeyError("sampler")

    for workers in (0, 2):
        seen = []
        with pytest.raises(KeyError, match="sampler"):
            for batch in DataLoader(Squares(), batch_sampler=indices(), num_workers=workers):
                seen.append(len(batch["name"]))
        assert seen == [2, 1]


def test_threads_end_when_the_loop_is_left():
    for batch in DataLoader(Squares(), 2, num_workers=2):
        assert len(batch["name"]) == 2
        break
    del batch
    gc.collect()
    assert not threads()


def test_threads_run_ahead_but_no_further():
    started = []

    class Slow(Squares):
        def __getitem__(self, i):
            started.append(i)
            return i

    batches = iter(DataLoader(Slow(), 1, num_workers=2, prefetch_factor=2))
    next(batches)
    time.sleep(0.05)
    assert 2 <= len(started) <= 4


def test_timeout():
    class Stuck(Squares):
        def __getitem__(self, i):
            time.sleep(0.3)
            return i

    with pytest.raises(RuntimeError, match="timeout=0.02"):
        next(iter(DataLoader(Stuck(), 1, num_workers=1, timeout=0.02)))


# errors


def test_bad_arguments():
    whole = TensorDataset(*arrays())
    for options, text in [
        (dict(batch_size=0), "batch_size"),
        (dict(batch_size=1.5), "batch_size"),
        (dict(shuffle=True, sampler=[1]), "sampler and shuffle"),
        (dict(batch_sampler=[[1]], batch_size=2), "batch_sampler"),
        (dict(batch_sampler=[[1]], drop_last=True), "batch_sampler"),
        (dict(batch_size=None, drop_last=True), "drop_last"),
        (dict(num_workers=-1), "num_workers"),
        (dict(timeout=-1), "timeout"),
        (dict(prefetch_factor=2), "prefetch_factor"),
    ]:
        with pytest.raises(ValueError, match=text):
            DataLoader(whole, **options)
    for options in (dict(shuffle=True), dict(sampler=[1]), dict(batch_sampler=[[1]])):
        with pytest.raises(ValueError, match="stream"):
            DataLoader(Count(), **options)
    with pytest.raises(ValueError, match="lengths"):
        TensorDataset(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="dimension"):
        TensorDataset(np.zeros(()))
    with pytest.raises(TypeError, match="list"):
        TensorDataset([1, 2])
    for lengths in ([1, 2], [0.5, 0.6], [24, -1]):
        with pytest.raises(ValueError, match="random_split"):
            data.random_split(whole, lengths)
    for make in (
        lambda: data.RandomSampler(whole, num_samples=0),
        lambda: data.WeightedRandomSampler([1.0], 0),
        lambda: data.WeightedRandomSampler([1.0, -1.0], 1),
        lambda: data.WeightedRandomSampler([0.0, 0.0], 1),
        lambda: data.WeightedRandomSampler([1.0, 0.0], 2, replacement=False),
        lambda: data.BatchSampler([1], 0, False),
        lambda: data.BatchSampler([1], 1, None),
        lambda: data.StackDataset(),
        lambda: data.StackDataset(whole, Squares(3)),
        lambda: data.ConcatDataset([]),
    ):
        with pytest.raises(ValueError):
            make()
    with pytest.raises(TypeError, match="replacement"):
        data.RandomSampler(whole, replacement=1)
    with pytest.raises(TypeError, match="stream"):
        data.ConcatDataset([Count()])


def test_indices_out_of_range():
    whole = TensorDataset(*arrays())
    for loader in (
        DataLoader(whole, sampler=data.SubsetRandomSampler([1, N])),
        DataLoader(whole, sampler=[-N - 1]),
        DataLoader(whole, batch_sampler=[[0, N]]),
        DataLoader(whole, batch_sampler=[np.array([0, N])]),
        DataLoader(data.Subset(whole, [N])),
    ):
        with pytest.raises(IndexError, match=str(N)):
            list(loader)


def test_indices_of_other_kinds():
    whole = TensorDataset(*arrays())
    assert labels(DataLoader(whole, batch_sampler=[np.array([-1, 2], np.int32)])) == [[22, 2]]
    with pytest.raises(TypeError, match="integers"):
        list(DataLoader(whole, batch_sampler=[[0.5, 1]]))
    with pytest.raises(TypeError, match="bool"):
        list(DataLoader(whole, batch_sampler=[np.ones(N, bool)]))


def test_arrays_as_data_sets():
    x, _ = arrays()
    for shuffle in (False, True):
        batches = list(DataLoader(x, 5, shuffle=shuffle, generator=seeded()))
        assert [b.shape for b in batches] == [(5, 2, 3)] * 4 + [(3, 2, 3)]
    np.testing.assert_array_equal(list(DataLoader(x, 5))[1].numpy(), x[5:10])


def test_a_data_set_that_takes_batches():
    class Whole(Squares):
        def take_batch(self, indices):
            return np.arange(self.n)[indices] ** 2

    assert [b.tolist() for b in DataLoader(Whole(5), 2)] == [[0, 1], [4, 9], [16]]
    plain = DataLoader(Whole(5), 2, collate_fn=lambda samples: [s["square"] for s in samples])
    assert list(plain) == [[0, 1], [4, 9], [16]]


def test_what_cannot_be_collated():
    with pytest.raises(RuntimeError, match=r"\(2,\) and \(3,\)"):
        data.default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(RuntimeError, match="lengths"):
        data.default_collate([(1,), (1, 2)])
    with pytest.raises(TypeError, match="object"):
        data.default_collate([object()])


def test_a_stream_and_abstract_classes_say_what_is_missing():
    with pytest.raises(TypeError, match="no sample 3"):
        Count()[3]
    for make in (
        lambda: data.Dataset()[0],
        lambda: iter(data.Sampler()),
        lambda: iter(data.OrderedSampler()),
        lambda: iter(data.IterableDataset()),
    ):
        with pytest.raises(NotImplementedError, match="must define"):
            make()
