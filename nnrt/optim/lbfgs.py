"""L-BFGS with an optional line search for the strong Wolfe conditions.

    d = -H g,  H the inverse Hessian that the last pairs (s, y) = (change of x, change of g) give
    strong Wolfe: f(x + t d) <= f(x) + c1 t g'd  and  |g(x + t d)'d| <= c2 |g'd|

Nocedal and Wright, Numerical Optimization (2006): two-loop recursion, algorithm 7.4; line search,
algorithms 3.5 and 3.6, with the safeguards of minFunc (Schmidt 2005) that torch has as well.
"""

from collections import namedtuple
from math import sqrt

import numpy as np

from .. import memory
from ..autograd import enable_grad
from ..tensor import Tensor, bump, wrap
from ._rows import Rows
from .optimizer import Optimizer, check

ARMIJO, CURVATURE = 1e-4, 0.9  # c1, c2: Nocedal and Wright, section 3.1, for quasi-Newton directions
LEAST_CURVATURE = 1e-10  # y's below which a pair says nothing about the Hessian

# A point on the line: step, loss, gradient (flat), slope g'd.
Point = namedtuple("Point", "t f g slope")


class LBFGS(Optimizer):
    """Liu and Nocedal, On the limited memory BFGS method (1989), for losses without noise.

    params: Tensors, one group only; lr: step length, or the line search's first; max_iter: iterations
    per step; max_eval: evaluations of the closure per step (default: 1.25 max_iter); tolerance_grad:
    stops at a largest gradient element of this; tolerance_change: stops at a change of loss or
    parameters of this; history_size: pairs kept; line_search_fn: "strong_wolfe" or None.

    Raises ValueError for more than one group and for options out of their range.
    """

    def __init__(
        self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9,
        history_size=100, line_search_fn=None,
    ):
        check("LBFGS", lr=lr)
        if max_eval is None:
            max_eval = max_iter * 5 // 4
        defaults = dict(
            lr=lr, max_iter=max_iter, max_eval=max_eval, tolerance_grad=tolerance_grad,
            tolerance_change=tolerance_change, history_size=history_size, line_search_fn=line_search_fn,
        )
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS: wants one parameter group, got {len(self.param_groups)}")

    def step(self, closure):
        """Up to max_iter iterations; closure() computes loss and gradients anew and returns the loss.

        Returns the loss at the beginning. Raises RuntimeError for an unknown line_search_fn. What the closure
        raises, MemoryError for instance, leaves parameters and state as they were before the step.
        """
        group = self.param_groups[0]
        search = group["line_search_fn"]
        if search not in (None, "strong_wolfe"):
            raise RuntimeError(f"LBFGS: line_search_fn must be 'strong_wolfe' or None, got {search!r}")
        if self._before_step:
            closure = self._run_before(closure)
        with enable_grad():
            loss = closure()
        params = group["params"]
        state = self.state[params[0]]
        before, start = dict(state), [np.array(p.array) for p in params]
        try:
            self._minimise(closure, group, state, float(loss))
        except BaseException:
            state.clear()
            state.update(before)
            _put(params, start)
            raise
        for hook in list(self._after_step.values()):
            hook(self, (closure,), {})
        return loss

    def _minimise(self, closure, group, state, f):
        params = group["params"]
        tolerance = group["tolerance_change"]
        evaluations = 1
        state["func_evals"] = state.get("func_evals", 0) + 1
        state.setdefault("n_iter", 0)
        g = self._gradient(params)
        if _largest(g) <= group["tolerance_grad"]:
            return
        history = _History(state)
        d, t = history.d, state.get("t")
        iterations = 0
        while iterations < group["max_iter"]:
            iterations += 1
            state["n_iter"] += 1
            if state["n_iter"] == 1:
                d = -g
            else:
                history.add(g - history.g, d * t, group["history_size"])
                d = history.direction(g)
            history.g, f_before = g, f
            t = group["lr"]
            if state["n_iter"] == 1:
                t = min(1.0, 1.0 / float(np.abs(g).sum())) * t
            slope = float(g @ d)
            if slope > -tolerance:
                break
            calls = 0
            if group["line_search_fn"] is not None:
                start = [np.array(p.array) for p in params]

                def at(t, start=start, d=d):
                    self._move(params, t, d)
                    f, g = self._evaluate(closure, params)
                    _put(params, start)
                    return Point(t, f, g, float(g @ d))

                found, calls = strong_wolfe(
                    at, t, Point(0.0, f, g, slope), _largest(d), group["max_eval"] - evaluations, tolerance
                )
                t, f, g = found.t, found.f, found.g
                self._move(params, t, d)
            else:
                self._move(params, t, d)
                if iterations != group["max_iter"]:  # at noisy losses the last evaluation would be of no use
                    f, g = self._evaluate(closure, params)
                    calls = 1
            evaluations += calls
            state["func_evals"] += calls
            if (
                evaluations >= group["max_eval"]
                or _largest(g) <= group["tolerance_grad"]
                or _largest(d * t) <= tolerance
                or abs(f - f_before) < tolerance
            ):
                break
        history.store(state, d, t, f_before)

    def _evaluate(self, closure, params):
        with enable_grad():
            loss = float(closure())
        return loss, self._gradient(params)

    def _gradient(self, params):
        parts = []
        for p in params:
            g = p.grad
            if g is None:
                parts.append(np.zeros(p.array.size, p.array.dtype))
            elif isinstance(g, Tensor):
                parts.append(g.array.ravel())
            else:
                parts.append(Rows("LBFGS", p, g).dense().ravel())
        return np.concatenate(parts)

    def _move(self, params, t, d):
        """x += t d."""
        at = 0
        for p in params:
            n = p.array.size
            p.array += t * d[at : at + n].reshape(p.array.shape)
            at += n
            bump(p)

    def _unpack(self, key, value, p):
        if key == "al":
            return None  # torch's scratch
        if isinstance(value, (list, tuple)):
            return [self._unpack(key, v, p) for v in value]
        if key in ("d", "prev_flat_grad", "old_dirs", "old_stps"):
            return super()._unpack(key, value, p)
        return float(value) if hasattr(value, "__array__") else value


class _History:
    """The last pairs y = old_dirs[i], s = old_stps[i], their ro = 1 / y's, and the last gradient."""

    def __init__(self, state):
        self.g = _flat(state.get("prev_flat_grad"))
        self.d = _flat(state.get("d"))
        self.ys = [_flat(y) for y in state.get("old_dirs") or ()]
        self.ss = [_flat(s) for s in state.get("old_stps") or ()]
        self.ro = list(state.get("ro") or ())
        self.scale = state.get("H_diag", 1)

    def add(self, y, s, size):
        product = float(y @ s)
        if product <= LEAST_CURVATURE:
            return
        for kept, new in ((self.ys, y), (self.ss, s), (self.ro, 1.0 / product)):
            if len(kept) == size:
                kept.pop(0)
            kept.append(new)
        self.scale = product / float(y @ y)

    def direction(self, g):
        """-H g."""
        q = -g
        alphas = []
        for y, s, ro in zip(reversed(self.ys), reversed(self.ss), reversed(self.ro)):
            alpha = float(s @ q) * ro
            q -= alpha * y
            alphas.append(alpha)
        q *= self.scale
        for y, s, ro, alpha in zip(self.ys, self.ss, self.ro, reversed(alphas)):
            q += (alpha - float(y @ q) * ro) * s
        return q

    def store(self, state, d, t, f):
        state["d"] = wrap(d)
        state["t"] = t
        state["old_dirs"] = [wrap(y) for y in self.ys]
        state["old_stps"] = [wrap(s) for s in self.ss]
        state["ro"] = self.ro
        state["H_diag"] = self.scale
        state["prev_flat_grad"] = wrap(self.g)
        state["prev_loss"] = f


def _put(params, values):
    for p, value in zip(params, values):
        p.array[...] = value
        bump(p)


def _flat(x):
    return None if x is None else memory.contiguous(x.array)


def _largest(x):
    return float(np.abs(x).max()) if x.size else 0.0


def strong_wolfe(at, t, start, d_max, max_ls, tolerance):
    """A step that satisfies the strong Wolfe conditions, or the best one after max_ls iterations.

    at(t) evaluates the point x + t d; start is the point t = 0; d_max = max |d|. Returns the Point and
    how often `at` was called.
    """

    def too_high(point):
        return point.f > start.f + ARMIJO * point.t * start.slope

    def flat(point):
        return abs(point.slope) <= -CURVATURE * start.slope

    before, new, calls = start, at(t), 1
    for iteration in range(max_ls):  # until a minimum lies between `before` and `new`
        if too_high(new) or (iteration > 1 and new.f >= before.f):
            break
        if flat(new):
            return new, calls
        if new.slope >= 0:
            break
        t = _cubic(before, new, new.t + 0.01 * (new.t - before.t), 10 * new.t)
        before, new = new, at(t)
        calls += 1
    else:
        return (start if start.f <= new.f else new), calls

    low, high = (before, new) if before.f <= new.f else (new, before)
    stuck = False
    for _ in range(iteration, max_ls):  # zoom
        left, right = min(low.t, high.t), max(low.t, high.t)
        if (right - left) * d_max < tolerance:
            break
        t = _cubic(low, high, left, right)
        margin = 0.1 * (right - left)
        near = min(right - t, t - left) < margin
        if near and (stuck or t >= right or t <= left):
            t = right - margin if right - t < t - left else left + margin
            stuck = False
        else:
            stuck = near
        new = at(t)
        calls += 1
        if too_high(new) or new.f >= low.f:
            high = new
            if high.f < low.f:
                low, high = high, low
            continue
        if flat(new):
            return new, calls
        if new.slope * (high.t - low.t) >= 0:
            high = low
        low = new
    return low, calls


def _cubic(a, b, lowest, highest):
    """Minimiser within bounds of the cubic through two points with slopes: Nocedal and Wright, eq. 3.59."""
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (lowest + highest) / 2
    d2 = sqrt(square)
    t = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(t, lowest), highest)
