"""Sparse attention: which key j each query i meets, compiled to blocks whose number grows with the pattern.

A pattern is a tuple of parts (nnrt._ref.attention describes them). In a part queries and keys stand in an order of its
own, in which what meets lies together: the tokens of a dilated window, or one stride apart, are neighbours once tokens are
sorted by their remainder. So a window of w costs T w, and a stride of s in T tokens T (s + T / s).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

BLOCK = 64  # rows of a kernel's block at most


class Pattern:
    """What patterns share; `pieces(length)` yields (sets of queries, sets of keys, near, meets).

    Set n of the queries meets set n of the keys: where meets(i, j), of two arrays that broadcast. near(rows, low, high) says
    which blocks, of positions low to high, may meet the rows. ValueError for sizes of a pattern below 1.
    """

    def parts(self, queries, keys, causal=False):
        """The parts for self-attention over so many tokens, kept from call to call. causal: without keys after the query."""
        if queries != keys:
            raise RuntimeError(f"{type(self).__name__}: wants as many keys as queries, got {keys} and {queries}")
        return _compiled(self, queries, causal)

    def mask(self, length):
        """The same as a boolean [T, T]: what a dense attention would be given."""
        met = np.zeros((length, length), bool)
        for q_sets, k_sets, _, meets in self.pieces(length):
            for rows, cols in zip(q_sets, k_sets):
                met[np.ix_(rows, cols)] |= meets(rows[:, None], cols)
        return met


@lru_cache(maxsize=64)
def _compiled(pattern, length, causal):
    return tuple([_part(length, causal, *piece) for piece in pattern.pieces(length)])


def _part(length, causal, q_sets, k_sets, near, meets):
    q_index, q_at, q_set = _cut(q_sets)
    k_index, k_at, k_set = _cut(k_sets)
    low, high = k_index[k_at[:-1]], k_index[k_at[1:] - 1]
    first, blocks, masks, known, words = [0], [], [], {}, []
    for t in range(len(q_set)):
        rows = q_index[q_at[t] : q_at[t + 1]]
        for n in np.flatnonzero((k_set == q_set[t]) & near(rows, low, high)):
            cols = k_index[k_at[n] : k_at[n + 1]]
            met = np.broadcast_to(meets(rows[:, None], cols), (len(rows), len(cols)))
            if causal:
                met = met & (cols <= rows[:, None])
            if not met.any():
                continue
            blocks.append(n)
            if met.all():
                masks.append(-1)
                continue
            bits = np.zeros(BLOCK, np.uint64)
            bits[: met.shape[1]] = np.bitwise_or.reduce(met.T.astype(np.uint64) << np.arange(len(rows), dtype=np.uint64), 1)
            masks.append(known.setdefault(bits.tobytes(), len(known)))
            if masks[-1] == len(words):
                words.append(bits)
        first.append(len(blocks))
    whole = np.arange(length)
    lists = [np.array(x, np.int64) for x in (first, blocks, masks)]
    words = np.concatenate(words) if words else np.zeros(0, np.uint64)
    q_index, k_index = (None if np.array_equal(index, whole) else index for index in (q_index, k_index))
    return q_index, k_index, q_at, k_at, *lists, words


def _cut(sets):
    """The sets one behind the other, where blocks of them begin (and the end), and the set of each block."""
    at, of = [0], []
    for n, rows in enumerate(sets):
        start = at[-1]
        at += [start + min(i + BLOCK, len(rows)) for i in range(0, len(rows), BLOCK)]
        of += [n] * (len(at) - 1 - len(of))
    return np.concatenate([*sets, np.zeros(0, int)]).astype(np.int64), np.array(at, np.int64), np.array(of, np.int64)


def _within(before, after):
    return lambda rows, low, high: (high >= rows[0] - before) & (low <= rows[-1] + after)


def _everywhere(rows, low, high):
    return np.ones(len(low), bool)


def _remainders(length, step):
    return [np.arange(r, length, step) for r in range(min(step, max(length, 1)))]


def _at_least(name, least=1, **values):
    for argument, value in values.items():
        if not hasattr(value, "__index__") or value < least:
            raise ValueError(f"{name}: {argument} must be an integer of at least {least}, got {value!r}")


def _in_window(i, j, window, dilation, causal):
    apart = i - j
    near = (apart >= 0) & (apart < window * dilation) if causal else abs(apart) <= window // 2 * dilation
    return near & (apart % dilation == 0)


@dataclass(frozen=True)
class SlidingWindow(Pattern):
    """Each token meets itself and window // 2 tokens on either side, or causal: the last `window` up to itself.

    dilation: the distance between the tokens that are met.
    """

    window: int
    dilation: int = 1
    causal: bool = False

    def __post_init__(self):
        _at_least("SlidingWindow", window=self.window, dilation=self.dilation)

    def pieces(self, length):
        sets, reach = _remainders(length, self.dilation), self.window * self.dilation
        near = _within(reach, 0 if self.causal else reach)
        yield sets, sets, near, lambda i, j: _in_window(i, j, self.window, self.dilation, self.causal)


@dataclass(frozen=True)
class Longformer(Pattern):
    """A sliding window (see SlidingWindow), and global tokens, which meet all and are met by all.

    global_tokens: their positions, or how many from the first on. Beltagy, Peters and Cohan, Longformer, 2020.
    """

    window: int
    global_tokens: int | tuple = 1
    dilation: int = 1
    causal: bool = False

    def __post_init__(self):
        _at_least("Longformer", window=self.window, dilation=self.dilation)
        if not isinstance(self.global_tokens, int):
            object.__setattr__(self, "global_tokens", tuple(self.global_tokens))

    def pieces(self, length):
        tokens = range(self.global_tokens) if isinstance(self.global_tokens, int) else self.global_tokens
        chosen = np.array(sorted({t for t in tokens if 0 <= t < length}), np.int64)
        others, whole = np.ones(length, bool), np.arange(length)
        others[chosen] = False
        reach = self.window * self.dilation
        sets = _remainders(length, self.dilation)
        order = (lambda i, j: j <= i) if self.causal else (lambda i, j: True)
        yield sets, sets, _within(reach, reach), lambda i, j: (
            _in_window(i, j, self.window, self.dilation, self.causal) & others[i] & others[j]
        )
        yield [whole], [chosen], _everywhere, lambda i, j: others[i] & order(i, j)
        yield [chosen], [whole], _everywhere, order


@dataclass(frozen=True)
class Strided(Pattern):
    """Causal: each token meets the last `stride` up to itself, and every stride-th before it.

    Child, Gray, Radford and Sutskever, Generating long sequences with sparse transformers, 2019.
    """

    stride: int

    def __post_init__(self):
        _at_least("Strided", stride=self.stride)

    def pieces(self, length):
        whole, sets, stride = [np.arange(length)], _remainders(length, self.stride), self.stride
        yield whole, whole, _within(stride, 0), lambda i, j: (i >= j) & (i - j < stride)
        yield sets, sets, lambda rows, low, high: low <= rows[-1] - stride, lambda i, j: i - j >= stride


@dataclass(frozen=True)
class Fixed(Pattern):
    """Causal: each token meets those of its stretch of `stride`, and the last `summary` of all stretches before it.

    Child et al., 2019.
    """

    stride: int
    summary: int = 1

    def __post_init__(self):
        _at_least("Fixed", stride=self.stride, summary=self.summary)
        if self.summary > self.stride:
            raise ValueError(f"Fixed: summary {self.summary} must not be above stride {self.stride}")

    def pieces(self, length):
        whole, stride = np.arange(length), self.stride
        last = whole[whole % stride >= stride - self.summary]
        yield [whole], [whole], _within(stride, 0), lambda i, j: (i >= j) & (i // stride == j // stride)
        yield [whole], [last], lambda rows, low, high: low < rows[-1], lambda i, j: j // stride < i // stride


@dataclass(frozen=True)
class BigBird(Pattern):
    """Blocks of `block` tokens: each meets `window` blocks around itself, the first `global_blocks`, which meet all, and
    `random_blocks` others, drawn from seed.

    Zaheer et al., Big Bird: transformers for longer sequences, 2020.
    """

    block: int = 64
    window: int = 3
    global_blocks: int = 1
    random_blocks: int = 3
    seed: int = 0

    def __post_init__(self):
        _at_least("BigBird", block=self.block, window=self.window)
        _at_least("BigBird", 0, global_blocks=self.global_blocks, random_blocks=self.random_blocks)

    def pieces(self, length):
        size, count = self.block, -(-length // self.block)
        rng, first = np.random.default_rng(self.seed), min(self.global_blocks, count)
        at = np.arange(count)
        met = abs(at[:, None] - at) <= self.window // 2
        met[:, :first] = met[:first] = True
        for row in met[first:]:
            free = np.flatnonzero(~row)
            row[rng.choice(free, min(self.random_blocks, len(free)), replace=False)] = True

        def near(rows, low, high):
            found = np.flatnonzero(met[rows[0] // size : rows[-1] // size + 1].any(0))
            following = np.searchsorted(found, low // size)  # the first block found that does not end before `low`
            return found[np.minimum(following, len(found) - 1)] * size <= np.where(following < len(found), high, -1)

        whole = [np.arange(length)]
        yield whole, whole, near, lambda i, j: met[i // size, j // size]
