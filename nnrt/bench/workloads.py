"""What is compared: each workload once, for every library that can run it.

`setup(t, arrays)` prepares one run with the library t (nnrt or torch, whose names agree) and
returns a function without arguments that does the work and returns its results. Other peers
have a setup of their own in `peers`. Setups for verification start from the same arrays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

MB = 1 << 20
# Modules a peer needs; a peer that is not installed is named in the report and left out.
NEEDS = {
    "torch": "torch", "channels_last": "torch", "compile": "torch", "onnxruntime": "onnxruntime", "numpy": "numpy", "jax": "jax",
    "numba": "numba",
}  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """One row of the comparison.

    arrays(rng): the inputs. flops, bytes: of one run, for the fraction of the measured peak
    (bytes read plus written, counted once each). target: the ratio to the better torch layout that the row
    is to reach; None: not stated. torch: whether torch takes part, as itself. repeats: how often a run does it, where the
    call of a function around it would count.
    """

    name: str
    group: str
    setup: Callable
    arrays: Callable
    flops: float = 0.0
    bytes: float = 0.0
    peers: dict = field(default_factory=dict)
    tol: float = 1e-4
    target: float | None = None
    torch: bool = True
    repeats: int = 1


def f32(*shapes):
    """Arrays of these shapes, standard normal."""
    return lambda rng: [rng.standard_normal(s, dtype=np.float32) for s in shapes]


def as_after_a_step(t, parameters, x):
    """Parameters in a version of their own, as an optimiser leaves them, and no gradients."""
    with t.no_grad():
        for p in parameters:
            p.mul_(1.0)
    for p in (*parameters, x):
        p.grad = None


def in_torch(setup, arrays):
    """For a peer that is torch in another way of its own: setup(torch, arrays)."""
    import torch

    return setup(torch, arrays)


def in_jax(setup, arrays):
    """For the peer jax: setup(the module in_jax, nnrt, arrays)."""
    import nnrt

    from . import in_jax

    return setup(in_jax, nnrt, arrays)


def adam(t, how, model, **options):
    """The model's Adam. Who compiles in torch also takes its fused one."""
    return t.optim.Adam(model.parameters(), **{"lr": 1e-3, **options}, **({"fused": True} if how == "compile" else {}))


# matrix products

GEMM_SIZES = [
    (16, 16, 16), (32, 32, 32), (64, 64, 64), (128, 128, 128), (256, 256, 256), (512, 512, 512), (1024, 1024, 1024),
    (1, 1024, 1024), (32, 1024, 1024), (64, 784, 400), (128, 10, 400), (1024, 64, 64), (12544, 64, 147), (3136, 64, 576),
    (64, 576, 3136),
]


def _matmul(t, arrays):
    a, b = (t.from_numpy(x) for x in arrays)
    return lambda: t.matmul(a, b)


def _matmul_numpy(arrays):
    a, b = arrays
    return lambda: np.matmul(a, b)


def _gemm(m, n, k):
    return Workload(
        f"gemm {m}x{n}x{k}", "gemm", _matmul, f32((m, k), (k, n)), flops=2.0 * m * n * k, bytes=4.0 * (m * k + k * n + m * n),
        peers={"numpy": _matmul_numpy},
    )


def _numba_matmul(arrays):
    import nnrt

    nnrt.registry.use("numba")
    return _matmul(nnrt, arrays)


def _numba_gemm(n):
    return Workload(
        f"numba gemm {n}", "numba", _matmul, f32((n, n), (n, n)), flops=2.0 * n**3, peers={"numba": _numba_matmul}, torch=False
    )


# small tensors

REPEATS = 64


def _add_small(t, arrays):
    a, b = (t.from_numpy(x) for x in arrays)

    def run():
        for _ in range(REPEATS):
            c = a + b
        return c

    return run


def _add_small_backward(t, arrays):
    a, b = (t.from_numpy(x).requires_grad_() for x in arrays[:2])
    g = t.from_numpy(arrays[2])

    def run():
        for _ in range(REPEATS):
            a.grad = b.grad = None
            (a + b).backward(g)
        return a.grad, b.grad

    return run


# elementwise and reductions over large memory


def _forward(op):
    def setup(t, arrays):
        xs = [t.from_numpy(x) for x in arrays]
        return lambda: op(t, *xs)

    return setup


def _training(op):
    """Forward and backward with a given gradient of the output."""

    def setup(t, arrays):
        *xs, g = (t.from_numpy(x) for x in arrays)
        for x in xs:
            if x.is_floating_point():
                x.requires_grad_()

        def run():
            for x in xs:
                x.grad = None
            y = op(t, *xs)
            y.backward(g if y.ndim else None)
            return [x.grad for x in xs if x.requires_grad]

        return run

    return setup


# op, inputs, and the arrays that a perfect backward pass reads and writes
ELEMENTWISE = {
    "relu": (lambda t, x: t.relu(x), 1, 3),
    "add": (lambda t, x, y: x + y, 2, 3),
    "mul": (lambda t, x, y: x * y, 2, 5),
    "gelu": (lambda t, x: t.nn.functional.gelu(x), 1, 3),
    "tanh": (lambda t, x: t.tanh(x), 1, 3),
    "sigmoid": (lambda t, x: t.sigmoid(x), 1, 3),
    "softmax": (lambda t, x: t.softmax(x, -1), 1, 3),
    "log_softmax": (lambda t, x: t.log_softmax(x, -1), 1, 3),
}
REDUCE = {
    "sum": lambda t, x: x.sum(),
    "mean": lambda t, x: x.mean(),
    "max": lambda t, x: x.max(),
    "sum-rows": lambda t, x: x.sum(-1),
    "max-rows": lambda t, x: x.amax(-1),
}
# [rows, columns] of float32: the label is the size in memory
SIZES = {"64kB": (16, 1024), "1MB": (256, 1024), "25MB": (6400, 1024), "100MB": (25600, 1024)}


def _elementwise(name, label, shape):
    op, inputs, backward = ELEMENTWISE[name]
    size = 4.0 * shape[0] * shape[1]
    yield Workload(f"{name} {label}", "memory", _forward(op), f32(*[shape] * inputs), bytes=size * (inputs + 1))
    yield Workload(
        f"{name} {label} fwd+bwd", "memory", _training(op), f32(*[shape] * (inputs + 1)), bytes=size * (inputs + 1 + backward)
    )


def _reduce(name, label, shape):
    op = REDUCE[name]
    size = 4.0 * shape[0] * shape[1]
    yield Workload(f"{name} {label}", "memory", _forward(op), f32(shape), bytes=size, tol=1e-3)
    out = (shape[0],) if "rows" in name else ()
    yield Workload(f"{name} {label} fwd+bwd", "memory", _training(op), f32(shape, out), bytes=2 * size)


def _xent_arrays(shape):
    return lambda rng: [rng.standard_normal(shape, dtype=np.float32), rng.integers(0, shape[1], shape[0])]


def _xent(t, arrays):
    x, y = (t.from_numpy(a) for a in arrays)
    return lambda: t.nn.functional.cross_entropy(x, y)


def _xent_training(t, arrays):
    x, y = (t.from_numpy(a) for a in arrays)
    x.requires_grad_()

    def run():
        x.grad = None
        t.nn.functional.cross_entropy(x, y).backward()
        return x.grad

    return run


# whole training steps


def _mlp_arrays(batch, *sizes):
    def arrays(rng):
        made = [rng.standard_normal((batch, sizes[0]), dtype=np.float32), rng.integers(0, sizes[-1], batch)]
        for n_in, n_out in zip(sizes, sizes[1:]):
            bound = n_in**-0.5
            made += [rng.uniform(-bound, bound, s).astype(np.float32) for s in [(n_out, n_in), (n_out,)]]
        return made

    return arrays


def mlp(t, arrays):
    """The model and loss of an MLP with relu between layers, and its parameters set to `arrays`."""
    nn = t.nn
    layers = []
    for w in arrays[::2]:
        layers += [nn.Linear(w.shape[1], w.shape[0]), nn.ReLU()]
    model = nn.Sequential(*layers[:-1])
    with t.no_grad():
        for p, a in zip(model.parameters(), arrays):
            p.copy_(t.from_numpy(a))
    return model


def _mlp_step(t, arrays):
    x, y = t.from_numpy(arrays[0]), t.from_numpy(arrays[1])
    model = mlp(t, arrays[2:])
    loss_of = t.nn.CrossEntropyLoss()
    optimizer = t.optim.Adam(model.parameters(), lr=1e-3)

    def run():
        optimizer.zero_grad()
        loss = loss_of(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return run


def _mlp_step_jax(jaxed, t, arrays):
    return jaxed.classifying(mlp(t, arrays[2:]), jaxed.apply, *arrays[:2])


def _mlp_flops(batch, *sizes):
    # Forward, and twice that backward, less the input's gradient.
    products = [a * b for a, b in zip(sizes, sizes[1:])]
    return 2.0 * batch * (3 * sum(products) - products[0])


def _adam(t, arrays):
    params = [t.nn.Parameter(t.from_numpy(arrays[0].copy()))]
    params[0].grad = t.from_numpy(arrays[1])
    optimizer = t.optim.Adam(params, lr=1e-3)

    def run():
        optimizer.step()
        return params[0][:100]

    return run


def all_workloads():
    """Every row, in the order of the report."""
    rows = [_gemm(*size) for size in GEMM_SIZES]
    rows += [_numba_gemm(n) for n in (512, 1024)]
    rows += [
        Workload("add 16 floats", "small", _add_small, f32((16,), (16,)), repeats=REPEATS),
        Workload("add 16 floats fwd+bwd", "small", _add_small_backward, f32((16,), (16,), (16,)), repeats=REPEATS),
    ]
    for label, shape in SIZES.items():
        for name in ELEMENTWISE:
            rows += _elementwise(name, label, shape)
        size = 4.0 * shape[0] * shape[1]
        rows.append(Workload(f"cross_entropy {label}", "memory", _xent, _xent_arrays(shape), bytes=size))
        rows.append(Workload(f"cross_entropy {label} fwd+bwd", "memory", _xent_training, _xent_arrays(shape), bytes=3 * size))
        if label != "100MB":
            for name in REDUCE:
                rows += _reduce(name, label, shape)
    for batch, *sizes in [(8, 32, 64, 10), (64, 784, 256, 128, 10)]:
        rows.append(
            Workload(
                f"mlp {'-'.join(map(str, sizes))} b{batch} adam step", "step", _mlp_step, _mlp_arrays(batch, *sizes),
                flops=_mlp_flops(batch, *sizes), peers={"jax": partial(in_jax, _mlp_step_jax)}, tol=1e-3,
            )
        )
    n = 10_000_000
    rows.append(Workload("adam 10M parameters", "step", _adam, f32((n,), (n,)), bytes=7 * 4.0 * n))
    from . import convolutions, nets, sequences

    return rows + convolutions.rows() + nets.rows() + sequences.rows()
