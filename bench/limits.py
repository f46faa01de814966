"""What nnrt promises beside speed: import, first step, data loading, memory. python bench/limits.py

Each check runs in a process of its own and prints what was measured beside what was promised.
"""

import os
import statistics
import subprocess
import sys

IMPORT = """
import time, numpy
start = time.perf_counter()
import nnrt
print(1e3 * (time.perf_counter() - start))
"""

FIRST_STEP = """
import time, numpy as np, nnrt
from nnrt.bench.workloads import _mlp_arrays, _mlp_step
run = _mlp_step(nnrt, _mlp_arrays(64, 784, 256, 128, 10)(np.random.default_rng(0)))
start = time.perf_counter()
run()
first = time.perf_counter() - start
for _ in range(50):
    run()
start = time.perf_counter()
for _ in range(50):
    run()
print(1e3 * (first - (time.perf_counter() - start) / 50))
"""

LOADER = """
import time, numpy as np, nnrt
from nnrt.bench.workloads import _mlp_arrays, _mlp_step
from nnrt.data import DataLoader, TensorDataset
rng = np.random.default_rng(0)
run = _mlp_step(nnrt, _mlp_arrays(64, 784, 256, 128, 10)(rng))
data = TensorDataset(nnrt.tensor(rng.standard_normal((6400, 784), dtype=np.float32)), nnrt.tensor(rng.integers(0, 10, 6400)))
loader = DataLoader(data, batch_size=64, shuffle=True)
def steps():
    for _ in range(100):
        run()
def batches():
    for _ in loader:
        pass
def best(f):
    times = []
    for _ in range(9):
        start = time.perf_counter()
        f()
        times.append(time.perf_counter() - start)
    return min(times)
print(100 * best(batches) / best(steps))
"""

# {setup} makes net and batch(); what 9,000 more steps add to the resident size.
GROWTH = """
import numpy as np, nnrt
from nnrt import nn, optim
rng = np.random.default_rng(0)
{setup}
optimizer = optim.Adam(net.parameters())
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 1e6
for step in range(10_000):
    x, y = batch()
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    if step == 999:
        before = resident()
print(resident() - before)
"""

MEMORY = GROWTH.format(
    setup="""
net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
def batch():
    n = int(rng.integers(1, 2000))
    return nnrt.rand(n, 64), nnrt.randint(0, 10, (n,))
"""
)

SEQUENCE_MEMORY = GROWTH.format(
    setup="""
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 32)
        self.lstm = nn.LSTM(32, 32, bidirectional=True, batch_first=True)
        self.attention = nn.TransformerEncoderLayer(64, 4, 64, dropout=0.1, batch_first=True)
        self.out = nn.Linear(64, 20)
    def forward(self, tokens):
        x, _ = self.lstm(self.embedding(tokens))
        return self.out(self.attention(x)).flatten(0, 1)
net = Net()
def batch():
    size = tuple(int(n) for n in rng.integers(1, 24, 2))
    return nnrt.randint(0, 20, size), nnrt.randint(0, 20, (size[0] * size[1],))
"""
)

NET_MEMORY = """
import resource
import numpy as np, nnrt
from nnrt.bench import nets
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak()
run = nets._step("resnet18", "", nnrt, nets._images(8, 3, 64)(np.random.default_rng(0)))
for _ in range(5):
    run()
print(peak() - before)
"""

# How much more a token costs at one length than at another. Lengths take turns of the same number of tokens, and each
# is held against its turn's mean, for the machine's speed drifts.
WINDOW = """
import statistics, time
import numpy as np, nnrt
from nnrt.bench.sequences import WINDOWED, _attention_training, _windowed
rng = np.random.default_rng(0)
def made(length):
    arrays = [rng.standard_normal((1, 4, length, 64), dtype=np.float32) for _ in range(4)]
    return _windowed(_attention_training, length, nnrt, arrays)
def spread(costs):
    return 100 * (max(costs) / min(costs) - 1)
runs = {{length: made(length) for length in WINDOWED}}
{measure}
"""

WINDOW_TIME = WINDOW.format(
    measure="""
turns = []
for turn in range(14):
    costs = []
    for length, run in runs.items():
        start = time.perf_counter()
        for _ in range(max(runs) // length):
            run()
        costs.append(time.perf_counter() - start)
    turns.append([cost / statistics.mean(costs) for cost in costs])
print(spread([statistics.median(costs) for costs in zip(*turns[2:])]))
"""
)

WINDOW_MEMORY = WINDOW.format(
    measure="""
costs = []
for length, run in runs.items():
    run()
    nnrt.memory.reset_peak()
    before = nnrt.memory.stats()["allocated"]
    run()
    costs.append((nnrt.memory.stats()["peak_allocated"] - before) / length)
print(spread(costs))
"""
)

CHECKS = [
    ("import over numpy's own, ms", IMPORT, 9, 40.0),
    ("first training step over a steady one, ms", FIRST_STEP, 5, 50.0),
    ("shuffled batches of 64x784 from 6,400 rows, % of the MLP step", LOADER, 3, 5.0),
    ("resident size after 10,000 random batches over that after 1,000, MB", MEMORY, 1, 5.0),
    ("the same of an LSTM and attention over sequences of random lengths, MB", SEQUENCE_MEMORY, 1, 5.0),
    # 315: what PyTorch 2.13 needs for the same net and steps
    ("peak of five ResNet-18 steps (8 images of 64 px, Adam) over the start, MB", NET_MEMORY, 1, 315.0),
    ("time of a token of 4, 8 and 16 thousand under a window of 256, training: spread, %", WINDOW_TIME, 1, 15.0),
    ("its memory: spread, %", WINDOW_MEMORY, 1, 15.0),
]


def main():
    missed = 0
    # Modules that were compiled to bytecode once, as installed ones are.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for name, program, rounds, limit in CHECKS:
        values = [float(subprocess.check_output([sys.executable, "-c", program], env=environment)) for _ in range(rounds)]
        value = statistics.median(values)
        missed += value > limit
        print(f"{name}: {value:.2f} (at most {limit:g}){'' if value <= limit else '  MISSED'}")
    return missed


if __name__ == "__main__":
    sys.exit(bool(main()))
