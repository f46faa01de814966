"""Rules that see a parameter as a matrix: Adafactor keeps means over its rows and columns, Muon steps along an orthogonal one."""

import math

import numpy as np

from .. import memory, registry
from ..tensor import wrap
from .optimizer import Counted, Optimizer, check, implementation

LINEAR = registry.family("linear")


class Adafactor(Counted):
    """Shazeer and Stern, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost (2018), as torch has it.

        R = mean of g² over columns, C = over rows, averaged in time     V = R C / mean(R)     (g² itself for vectors)
        u = g / max(√V, eps1)     p -= max(eps2, rms(p)) min(lr, 1/√t) u / max(1, rms(u) / d)

    params: Tensors or groups, see Optimizer; lr: the largest relative step, and the rate of the weight decay; beta2_decay:
    the averages' weight of what is new at step t is t^beta2_decay; eps: (eps1, eps2), eps1 None for the dtype's own; d: where
    updates are clipped; weight_decay: decoupled; maximize: climbs. Of more than two axes the last two are the matrix.
    foreach changes nothing.

    Raises ValueError for an option out of its range.
    """

    def __init__(
        self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None, maximize=False
    ):
        check("Adafactor", lr=lr, weight_decay=weight_decay, **{f"eps[{i}]": e for i, e in enumerate(eps) if e is not None})
        if not beta2_decay <= 0:
            raise ValueError(f"Adafactor: beta2_decay must be at most 0, got {beta2_decay}")
        if not d >= 1:
            raise ValueError(f"Adafactor: d must be at least 1, got {d}")
        implementation("Adafactor", foreach)
        super().__init__(params, dict(
            lr=lr, beta2_decay=beta2_decay, eps=eps, d=d, weight_decay=weight_decay, foreach=foreach, maximize=maximize,
        ))  # fmt: skip

    def _slots(self, group):
        return ()

    def _new_state(self, p, group):
        shape, dtype = p.array.shape, p.array.dtype
        if len(shape) < 2:
            return {"step": 0, "variance": wrap(memory.zeros(shape, dtype))}
        row, column = (*shape[:-1], 1), (*shape[:-2], 1, shape[-1])
        return {"step": 0, "row_var": wrap(memory.zeros(row, dtype)), "col_var": wrap(memory.zeros(column, dtype))}

    def _update(self, group, batch):
        lr, (eps1, eps2) = group["lr"], group["eps"]
        new = float(batch.step) ** group["beta2_decay"]
        rate = min(lr, 1 / math.sqrt(batch.step))
        for p, g, state in zip(batch.params, batch.grads, batch.states):
            if not p.size:
                continue
            least = np.finfo(p.dtype).eps if eps1 is None else eps1
            alpha = rate * max(eps2, _rms(p))
            if group["weight_decay"]:
                p *= 1 - lr * group["weight_decay"]
            square = g * g
            if p.ndim < 2:
                variance = state["variance"].array
                variance += new * (square - variance)
            else:
                rows, columns = state["row_var"].array, state["col_var"].array
                rows += new * (square.mean(-1, keepdims=True) - rows)
                columns += new * (square.mean(-2, keepdims=True) - columns)
                variance = rows * columns / np.maximum(rows.mean(-2, keepdims=True), least)
            u = g / np.sqrt(np.maximum(variance, least * least))
            alpha /= max(1.0, _rms(u) / group["d"])
            p += (alpha if group["maximize"] else -alpha) * u


class Muon(Optimizer):
    """Jordan et al., Muon: An optimizer for hidden layers in neural networks (2024). Parameters are matrices.

        B += (1 - momentum) (g - B)     u = g + momentum (B - g) with nesterov, else B
        p -= lr weight_decay p + lr s X     X: U Vᵀ of u = U S Vᵀ, roughly, by ns_steps times X = a X + (b X Xᵀ + c (X Xᵀ)²) X

    params: Tensors or groups, see Optimizer; biases, norms and embeddings want another rule; ns_coefficients: (a, b, c); eps:
    the least norm that u is divided by first. adjust_lr_fn: "original" (or None), s = √max(1, rows / columns), or
    "match_rms_adamw", s = 0.2 √max(rows, columns). X is made in the parameter's dtype, where torch rounds to bfloat16.

    Raises ValueError for an option out of its range and for a parameter that is no matrix.
    """

    def __init__(
        self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True, ns_coefficients=(3.4445, -4.775, 2.0315),
        eps=1e-7, ns_steps=5, adjust_lr_fn=None,
    ):  # fmt: skip
        check("Muon", lr=lr, weight_decay=weight_decay, momentum=momentum)
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Muon: adjust_lr_fn must be 'original', 'match_rms_adamw' or None, got {adjust_lr_fn!r}")
        if len(ns_coefficients) != 3 or ns_steps >= 100:
            raise ValueError(f"Muon: wants 3 ns_coefficients and less than 100 ns_steps, got {ns_coefficients} and {ns_steps}")
        super().__init__(params, dict(
            lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov, ns_coefficients=ns_coefficients, eps=eps,
            ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn,
        ))  # fmt: skip

    def add_param_group(self, param_group):
        """As Optimizer's, of matrices only."""
        super().add_param_group(param_group)
        for i, p in enumerate(self.param_groups[-1]["params"]):
            if p.ndim != 2:
                del self.param_groups[-1]
                raise ValueError(f"Muon: params[{i}] must be a matrix, got shape {tuple(p.shape)}")

    def _slots(self, group):
        return ("momentum_buffer",)

    def _update(self, group, batch):
        lr, momentum = group["lr"], group["momentum"]
        for p, g, buffer in zip(batch.params, batch.grads, batch.slots[0]):
            buffer += (1 - momentum) * (g - buffer)
            u = g + momentum * (buffer - g) if group["nesterov"] else buffer
            rows, columns = p.shape
            if group["adjust_lr_fn"] == "match_rms_adamw":
                scale = 0.2 * math.sqrt(max(rows, columns))
            else:
                scale = math.sqrt(max(1, rows / columns)) if columns else 1
            x = _orthogonal(u, group["ns_coefficients"], group["ns_steps"], group["eps"])
            p *= 1 - lr * group["weight_decay"]
            p -= lr * scale * x


def _orthogonal(u, coefficients, steps, eps):
    """u with its singular values brought near 1 by the Newton-Schulz iteration."""
    a, b, c = coefficients
    wide = u.shape[0] <= u.shape[1]
    x = memory.contiguous(u if wide else u.T)
    x = x / max(math.sqrt(float(np.square(x).sum())), eps)
    n = x.shape[0]
    gram = memory.empty((n, n), x.dtype)
    for _ in range(steps):
        LINEAR.gemm(gram, x, x.T, None, None, 1.0, 0.0, None)
        polynomial, y = gram.copy(), x.copy()
        LINEAR.gemm(polynomial, gram, gram, None, None, c, b, None)
        LINEAR.gemm(y, polynomial, x, None, None, 1.0, a, None)
        x = y
    return x if wide else x.T


def _rms(x):
    return math.sqrt(float(np.square(x).mean()))
