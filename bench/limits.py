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

MEMORY = """
import numpy as np, nnrt
from nnrt import nn, optim
rng = np.random.default_rng(0)
net = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
optimizer = optim.Adam(net.parameters())
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * 4096 / 1e6
for batch in range(10_000):
    n = int(rng.integers(1, 2000))
    x, y = nnrt.rand(n, 64), nnrt.randint(0, 10, (n,))
    optimizer.zero_grad()
    nn.functional.cross_entropy(net(x), y).backward()
    optimizer.step()
    if batch == 999:
        before = resident()
print(resident() - before)
"""

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

CHECKS = [
    ("import over numpy's own, ms", IMPORT, 9, 40.0),
    ("first training step over a steady one, ms", FIRST_STEP, 5, 50.0),
    ("shuffled batches of 64x784 from 6,400 rows, % of the MLP step", LOADER, 3, 5.0),
    ("resident size after 10,000 random batches over that after 1,000, MB", MEMORY, 1, 5.0),
    # 315: what PyTorch 2.13 needs for the same net and steps
    ("peak of five ResNet-18 steps (8 images of 64 px, Adam) over the start, MB", NET_MEMORY, 1, 315.0),
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
