"""Activations in Numba. See nnrt._ref.activation for what each computes."""

from numba import njit


def relu(y, x):
    _relu(y.ravel(order="K"), x.ravel(order="K"))


@njit(cache=True)
def _relu(y, x):
    for i in range(x.size):
        y[i] = 0 if x[i] < 0 else x[i]


def relu_backward(dx, dy, y):
    _relu_backward(dx.ravel(order="K"), dy.ravel(order="K"), y.ravel(order="K"))


@njit(cache=True)
def _relu_backward(dx, dy, y):
    for i in range(y.size):
        dx[i] = dy[i] if y[i] > 0 else 0
