"""Activations: drivers of csrc/activation.c. See nnrt._ref.activation for what each computes."""

from nnrt._ext.maps cimport gate, map1, map2, sloped
from nnrt._ext.runtime cimport isa_level, nnrt_kernel

from nnrt._ref import activation as ref


cdef extern from "activation.h" nogil:
    ctypedef struct nnrt_activation_table:
        nnrt_kernel relu[2]
        nnrt_kernel relu_backward[2]
        nnrt_kernel hardtanh[2]
        nnrt_kernel hardtanh_backward[2]
        nnrt_kernel leaky_relu[2]
        nnrt_kernel leaky_relu_backward[2]
        nnrt_kernel elu[2]
        nnrt_kernel elu_backward[2]
        nnrt_kernel gelu[2]
        nnrt_kernel gelu_backward[2]
        nnrt_kernel gelu_sloped[2]
        nnrt_kernel gelu_tanh[2]
        nnrt_kernel gelu_tanh_backward[2]
        nnrt_kernel silu[2]
        nnrt_kernel silu_backward[2]
        nnrt_kernel mish[2]
        nnrt_kernel mish_backward[2]
        nnrt_kernel softplus[2]
        nnrt_kernel softplus_backward[2]
        nnrt_kernel softsign[2]
        nnrt_kernel softsign_backward[2]
        nnrt_kernel hardsigmoid[2]
        nnrt_kernel hardsigmoid_backward[2]
        nnrt_kernel hardswish[2]
        nnrt_kernel hardswish_backward[2]
        nnrt_kernel logsigmoid[2]
        nnrt_kernel logsigmoid_backward[2]
        nnrt_kernel tanhshrink[2]
        nnrt_kernel tanhshrink_backward[2]
        nnrt_kernel softshrink[2]
        nnrt_kernel hardshrink[2]
        nnrt_kernel threshold[2]
        nnrt_kernel threshold_backward[2]
        nnrt_kernel squared_relu[2]
        nnrt_kernel squared_relu_backward[2]
        nnrt_kernel step[2]
        nnrt_kernel shrink_backward[2]
        nnrt_kernel prelu[2]
        nnrt_kernel prelu_backward[2]
        nnrt_kernel glu[2]
        nnrt_kernel glu_backward[2]
        nnrt_kernel reglu[2]
        nnrt_kernel reglu_backward[2]
        nnrt_kernel geglu[2]
        nnrt_kernel geglu_backward[2]
        nnrt_kernel swiglu[2]
        nnrt_kernel swiglu_backward[2]
    const nnrt_activation_table *nnrt_activation(int isa)

cdef const nnrt_activation_table *table = nnrt_activation(isa_level())


def relu(y, x):
    if not map1(table.relu, 1, y, x):
        ref.relu(y, x)


def relu_backward(dx, dy, y):
    if not map2(table.relu_backward, 1, dx, dy, y):
        ref.relu_backward(dx, dy, y)


def hardtanh(y, x, lo, hi):
    if not map1(table.hardtanh, 2, y, x, lo, hi):
        ref.hardtanh(y, x, lo, hi)


def hardtanh_backward(dx, dy, x, lo, hi):
    if not map2(table.hardtanh_backward, 2, dx, dy, x, 0, lo, hi):
        ref.hardtanh_backward(dx, dy, x, lo, hi)


def leaky_relu(y, x, slope):
    if not map1(table.leaky_relu, 2, y, x, slope):
        ref.leaky_relu(y, x, slope)


def leaky_relu_backward(dx, dy, x, slope):
    if not map2(table.leaky_relu_backward, 2, dx, dy, x, 0, slope):
        ref.leaky_relu_backward(dx, dy, x, slope)


def elu(y, x, alpha, scale, inner):
    if not map1(table.elu, 22, y, x, alpha, scale, inner):
        ref.elu(y, x, alpha, scale, inner)


def elu_backward(dx, dy, x, alpha, scale, inner):
    if not map2(table.elu_backward, 22, dx, dy, x, 0, alpha, scale, inner):
        ref.elu_backward(dx, dy, x, alpha, scale, inner)


def gelu(y, x):
    if not map1(table.gelu, 40, y, x):
        ref.gelu(y, x)


def gelu_backward(dx, dy, x):
    if not map2(table.gelu_backward, 42, dx, dy, x):
        ref.gelu_backward(dx, dy, x)


def gelu_sloped(y, slope, x):
    if not sloped(table.gelu_sloped, 46, y, slope, x):
        ref.gelu_sloped(y, slope, x)


def gelu_tanh(y, x):
    if not map1(table.gelu_tanh, 32, y, x):
        ref.gelu_tanh(y, x)


def gelu_tanh_backward(dx, dy, x):
    if not map2(table.gelu_tanh_backward, 36, dx, dy, x):
        ref.gelu_tanh_backward(dx, dy, x)


def silu(y, x, beta):
    if not map1(table.silu, 26, y, x, beta):
        ref.silu(y, x, beta)


def silu_backward(dx, dy, x, beta):
    if not map2(table.silu_backward, 28, dx, dy, x, 0, beta):
        ref.silu_backward(dx, dy, x, beta)


def mish(y, x):
    if not map1(table.mish, 30, y, x):
        ref.mish(y, x)


def mish_backward(dx, dy, x):
    if not map2(table.mish_backward, 34, dx, dy, x):
        ref.mish_backward(dx, dy, x)


def softplus(y, x, beta, threshold):
    if not map1(table.softplus, 45, y, x, beta, threshold):
        ref.softplus(y, x, beta, threshold)


def softplus_backward(dx, dy, x, beta, threshold):
    if not map2(table.softplus_backward, 27, dx, dy, x, 0, beta, threshold):
        ref.softplus_backward(dx, dy, x, beta, threshold)


def softsign(y, x):
    if not map1(table.softsign, 5, y, x):
        ref.softsign(y, x)


def softsign_backward(dx, dy, x):
    if not map2(table.softsign_backward, 6, dx, dy, x):
        ref.softsign_backward(dx, dy, x)


def hardsigmoid(y, x):
    if not map1(table.hardsigmoid, 4, y, x):
        ref.hardsigmoid(y, x)


def hardsigmoid_backward(dx, dy, x):
    if not map2(table.hardsigmoid_backward, 2, dx, dy, x):
        ref.hardsigmoid_backward(dx, dy, x)


def hardswish(y, x):
    if not map1(table.hardswish, 4, y, x):
        ref.hardswish(y, x)


def hardswish_backward(dx, dy, x):
    if not map2(table.hardswish_backward, 4, dx, dy, x):
        ref.hardswish_backward(dx, dy, x)


def logsigmoid(y, x):
    if not map1(table.logsigmoid, 45, y, x):
        ref.logsigmoid(y, x)


def logsigmoid_backward(dx, dy, x):
    if not map2(table.logsigmoid_backward, 26, dx, dy, x):
        ref.logsigmoid_backward(dx, dy, x)


def tanhshrink(y, x):
    if not map1(table.tanhshrink, 26, y, x):
        ref.tanhshrink(y, x)


def tanhshrink_backward(dx, dy, x):
    if not map2(table.tanhshrink_backward, 27, dx, dy, x):
        ref.tanhshrink_backward(dx, dy, x)


def softshrink(y, x, lambd):
    if not map1(table.softshrink, 4, y, x, lambd):
        ref.softshrink(y, x, lambd)


def hardshrink(y, x, lambd):
    if not map1(table.hardshrink, 2, y, x, lambd):
        ref.hardshrink(y, x, lambd)


def threshold(y, x, threshold, value):
    if not map1(table.threshold, 1, y, x, threshold, value):
        ref.threshold(y, x, threshold, value)


def threshold_backward(dx, dy, x, threshold):
    if not map2(table.threshold_backward, 1, dx, dy, x, 0, threshold):
        ref.threshold_backward(dx, dy, x, threshold)


def squared_relu(y, x):
    if not map1(table.squared_relu, 2, y, x):
        ref.squared_relu(y, x)


def squared_relu_backward(dx, dy, x):
    if not map2(table.squared_relu_backward, 2, dx, dy, x):
        ref.squared_relu_backward(dx, dy, x)


def step(y, x):
    if not map1(table.step, 2, y, x):
        ref.step(y, x)


def shrink_backward(dx, dy, x, lambd):
    if not map2(table.shrink_backward, 2, dx, dy, x, 0, lambd):
        ref.shrink_backward(dx, dy, x, lambd)


def prelu(y, x, w):
    if not map2(table.prelu, 2, y, x, w):
        ref.prelu(y, x, w)


def prelu_backward(dx, dw, dy, x, w):
    if not gate(table.prelu_backward, 4, dx, dw, dy, x, w):
        ref.prelu_backward(dx, dw, dy, x, w)


def glu(y, a, b):
    if not map2(table.glu, 26, y, a, b):
        ref.glu(y, a, b)


def glu_backward(da, db, dy, a, b):
    if not gate(table.glu_backward, 28, da, db, dy, a, b):
        ref.glu_backward(da, db, dy, a, b)


def reglu(y, a, b):
    if not map2(table.reglu, 2, y, a, b):
        ref.reglu(y, a, b)


def reglu_backward(da, db, dy, a, b):
    if not gate(table.reglu_backward, 4, da, db, dy, a, b):
        ref.reglu_backward(da, db, dy, a, b)


def geglu(y, a, b):
    if not map2(table.geglu, 42, y, a, b):
        ref.geglu(y, a, b)


def geglu_backward(da, db, dy, a, b):
    if not gate(table.geglu_backward, 45, da, db, dy, a, b):
        ref.geglu_backward(da, db, dy, a, b)


def swiglu(y, a, b):
    if not map2(table.swiglu, 26, y, a, b):
        ref.swiglu(y, a, b)


def swiglu_backward(da, db, dy, a, b):
    if not gate(table.swiglu_backward, 30, da, db, dy, a, b):
        ref.swiglu_backward(da, db, dy, a, b)
