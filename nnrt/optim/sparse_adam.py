"""SparseAdam: Adam that touches the rows with gradients alone."""

from .. import memory, registry
from ..tensor import Tensor, bump, wrap
from ._rows import Rows
from .optimizer import Counted, check

K = registry.family("optim")


class SparseAdam(Counted):
    """Adam (Kingma and Ba, 2015) for row-sparse gradients, such as nn.Embedding(sparse=True) makes.

    Moments and parameters of rows without a gradient stay as they are; the step count belongs to the
    whole parameter. Arguments as for :class:`nnrt.optim.Adam`.

    Raises RuntimeError at a dense gradient.
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        check("SparseAdam", lr=lr, eps=eps, betas=betas)
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))

    def _slots(self, group):
        for p in group["params"]:
            if isinstance(p.grad, Tensor):
                raise RuntimeError(
                    f"SparseAdam: a parameter of shape {p.shape} has a dense gradient; Adam takes those"
                )
        return ()

    def _pack(self, key, value):
        return value

    def _sparse(self, p, gradient, group):
        rows = Rows("SparseAdam", p, gradient)

        def update():
            state = self._state_of(p, group)
            for name in ("exp_avg", "exp_avg_sq"):
                if state.get(name) is None:
                    state[name] = self._new_slot(name, p, group)
                state[name] = wrap(memory.contiguous(state[name].array))
            state["step"] += 1
            work = memory.contiguous(p.array)
            beta1, beta2 = group["betas"]
            K.sparse_adam(
                work, state["exp_avg"].array, state["exp_avg_sq"].array, rows.index, rows.values,
                state["step"], group["lr"], beta1, beta2, group["eps"], group["maximize"],
            )
            if work is not p.array:
                p.array[...] = work
            bump(p)

        return update
