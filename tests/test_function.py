"""autograd.Function: users' own ops; and gradcheck, which checks them."""

import gc
import weakref

import numpy as np
import pytest

import nnrt
from tests.test_autograd import leaf


class Cube(nnrt.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return x * x * x * scale

    @staticmethod
    def backward(ctx, dy):
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * x * x * dy, None


def test_function_is_checked_like_any_op():
    x = nnrt.tensor(np.random.default_rng(0).standard_normal((2, 3)), requires_grad=True)
    assert nnrt.autograd.gradcheck(lambda t: Cube.apply(t, 2.0), [x])
    y = Cube.apply(x, 2.0)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), 12 * x.detach().numpy() ** 2)


def test_function_without_graph_and_with_mistakes():
    x = leaf(1.0)
    with nnrt.no_grad():
        assert not Cube.apply(x, 1.0).requires_grad

    class Wrong(nnrt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, dy):
            return nnrt.zeros(7)

    with pytest.raises(RuntimeError, match=r"Wrong.backward: gradient 0 has shape \(7,\), the argument \(1,\)"):
        Wrong.apply(x).backward()

    class Count(Wrong):
        @staticmethod
        def backward(ctx, dy):
            return dy, dy

    with pytest.raises(RuntimeError, match="returned 2 gradients for the 1 arguments"):
        Count.apply(x).backward()

    class NoTensor(Wrong):
        @staticmethod
        def forward(ctx, x):
            return 3

    with pytest.raises(TypeError, match="NoTensor.forward: wants to return a Tensor, .*, got int"):
        NoTensor.apply(x)


def test_function_with_several_outputs_and_constants():
    class Split(nnrt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            sign = x.sign()
            ctx.mark_non_differentiable(sign)
            return x * 2, x * 3, sign

        @staticmethod
        def backward(ctx, da, db, dsign):
            assert db is not None and not db.numpy().any() and not dsign.numpy().any()
            return da * 2 + db * 3

    x = leaf(1.0, -2.0)
    a, b, sign = Split.apply(x)
    assert not sign.requires_grad
    a.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [2, 2])


def test_function_that_returns_its_input():
    class Same(nnrt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, dy):
            return dy * 5

    x = leaf(1.0)
    y = Same.apply(x)
    y.backward()
    assert x.is_leaf and not y.is_leaf and x.grad.item() == 5


def test_function_frees_what_it_saved():
    x = leaf(1.0, 2.0)
    h = x * 2
    y = Cube.apply(h, 1.0)
    array = weakref.ref(y.grad_fn.saved_arrays[0])
    y.sum().backward()
    gc.collect()
    assert array() is None


def test_gradcheck_finds_a_wrong_gradient():
    class Bad(nnrt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx, dy):
            (x,) = ctx.saved_tensors
            return dy * x.cos() * 1.01

    x = nnrt.tensor(np.random.default_rng(1).standard_normal(5), requires_grad=True)
    with pytest.raises(RuntimeError, match=r"inputs\[0\].*differences give"):
        nnrt.autograd.gradcheck(Bad.apply, [x])
    assert not nnrt.autograd.gradcheck(Bad.apply, [x], raise_exception=False)


def test_gradcheck_refuses_float32_and_nothing_to_check():
    with pytest.raises(ValueError, match="float64"):
        nnrt.autograd.gradcheck(lambda x: x * 2, [nnrt.ones(2, requires_grad=True)])
    with pytest.raises(ValueError, match="no input"):
        nnrt.autograd.gradcheck(lambda x: x * 2, [nnrt.ones(2, dtype=nnrt.float64)])


def test_functions_as_torch_writes_them_now():
    class Scale(nnrt.autograd.Function):
        @staticmethod
        def forward(x, k=2, flag=None):
            return x * k

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.k = inputs[1]

        @staticmethod
        @nnrt.autograd.function.once_differentiable
        def backward(ctx, dy):
            return dy * ctx.k, None, None

    x = leaf(1.0, 2.0)
    Scale.apply(x, 3).sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert nnrt.autograd.gradcheck(Scale.apply, (nnrt.ones(2, dtype=nnrt.float64, requires_grad=True), 3), fast_mode=True)


def test_function_returns_other_values_beside_a_tensor():
    seen = []

    class Several(nnrt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2, None, "kept"

        @staticmethod
        def backward(ctx, *grads):
            seen.extend(grads[1:])
            return grads[0] * 2

    x = leaf(3.0)
    y, nothing, word = Several.apply(x)
    y.backward()
    assert nothing is None and word == "kept" and seen == [None, None] and x.grad.item() == 2
