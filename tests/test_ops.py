"""Every op: gradient check in float64, agreement with torch, non-contiguous inputs, inputs unmodified."""

import numpy as np
import pytest

import nnrt
from tests.conftest import collect


def tensors_of(case, arrays, dtype, library):
    """The case's inputs as the library's tensors; floating ones take the dtype."""
    made = []
    for i, a in enumerate(arrays):
        if not isinstance(a, np.ndarray):
            made.append(a)
            continue
        if a.dtype.kind == "f":
            a = a.astype(dtype)
        t = library.from_numpy(a.copy()) if library is nnrt else library.from_numpy(a.copy())
        if differentiable(case, i, a):
            t.requires_grad_(True)
        made.append(t)
    return made


def differentiable(case, i, a):
    if not isinstance(a, np.ndarray) or a.dtype.kind != "f":
        return False
    return case.grad is None or i in case.grad


def arrays_of(case, rng):
    """The case's inputs, numpy scalars as 0-d arrays."""
    return [np.asarray(a) if isinstance(a, np.generic) else a for a in case.inputs(rng)]


def outputs_of(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def run(case, arrays, dtype, library, weights):
    """Outputs, and gradients of sum_i <weights_i, output_i> with respect to the inputs."""
    inputs = tensors_of(case, arrays, dtype, library)
    outs = outputs_of(case.fn(library, *inputs))
    roots = [(o, w) for o, w in zip(outs, weights(outs)) if o.requires_grad]
    if roots:
        library.autograd.backward([o for o, _ in roots], [library.from_numpy(w) for _, w in roots])
    values = [np.array(o.detach().numpy()) for o in outs]
    grads = [x.grad for x in inputs if getattr(x, "requires_grad", False)]
    return values, [None if g is None else np.array(g.detach().numpy()) for g in grads]


def weights_for(dtype):
    def weights(outs):
        rng = np.random.default_rng(5)
        return [rng.standard_normal(tuple(o.shape)).astype(dtype) for o in outs]

    return weights


@pytest.mark.parametrize("case", collect("OPS"))
def test_gradient(case, rng):
    arrays = arrays_of(case, rng)
    inputs = tensors_of(case, arrays, np.float64, nnrt)
    if not any(getattr(x, "requires_grad", False) for x in inputs):
        pytest.skip("nothing to differentiate")
    if not any(o.requires_grad for o in outputs_of(case.fn(nnrt, *inputs))):
        pytest.skip("not differentiable (the oracle's test compares which gradients exist)")
    assert nnrt.autograd.gradcheck(lambda *xs: case.fn(nnrt, *xs), inputs)


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("case", collect("OPS"))
def test_agrees_with_oracle(case, dtype, rng, request):
    arrays = arrays_of(case, rng)
    rtol, atol = case.tol[np.dtype(dtype).name]
    if case.torch:
        torch = request.getfixturevalue("torch")
        want, want_grads = run(case, arrays, dtype, torch, weights_for(dtype))
    else:
        cast = [a.astype(dtype) if isinstance(a, np.ndarray) and a.dtype.kind == "f" else a for a in arrays]
        want, want_grads = outputs_of(case.expected(*cast)), None
    got, got_grads = run(case, arrays, dtype, nnrt, weights_for(dtype))
    assert len(got) == len(want)
    for g, w in zip(got, want):
        assert g.shape == np.shape(w)
        if case.torch:
            assert g.dtype == w.dtype
        np.testing.assert_allclose(g, w, rtol=rtol, atol=atol)
    if want_grads is not None:
        for g, w in zip(got_grads, want_grads):
            assert (g is None) == (w is None)
            if g is not None:
                np.testing.assert_allclose(g, w, rtol=rtol, atol=atol, err_msg="gradient")


def strided(a):
    """The same values in memory with gaps and a permuted axis order."""
    if a.ndim == 0:
        return a
    wide = np.full(tuple(2 * s for s in a.shape[::-1]), 99, a.dtype)
    view = wide[tuple(slice(None, None, 2) for _ in a.shape)].transpose()
    view[...] = a
    return view


@pytest.mark.parametrize("case", collect("OPS"))
def test_non_contiguous_inputs_give_the_same_and_stay_unmodified(case, rng):
    arrays = arrays_of(case, rng)
    dense = [nnrt.from_numpy(a) if isinstance(a, np.ndarray) else a for a in arrays]
    gapped = [nnrt.from_numpy(strided(a)) if isinstance(a, np.ndarray) else a for a in arrays]
    before = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
    rtol, atol = case.tol["float64"]
    with nnrt.no_grad():
        for x, y in zip(outputs_of(case.fn(nnrt, *dense)), outputs_of(case.fn(nnrt, *gapped))):
            np.testing.assert_allclose(x.numpy(), y.numpy(), rtol=rtol, atol=atol)
    for a, b, g in zip(arrays, before, gapped):
        if isinstance(a, np.ndarray):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(g.numpy(), b)


@pytest.mark.parametrize("case", collect("OPS"))
def test_what_backward_reads_is_not_changed_unnoticed(case, rng):
    """After a change in place of any input or output, backward raises or gives the gradients of before."""
    arrays = arrays_of(case, rng)

    def forward():
        inputs = tensors_of(case, arrays, np.float64, nnrt)
        outs = outputs_of(case.fn(nnrt, *inputs))
        return inputs, outs, [x for x in inputs + outs if isinstance(x, nnrt.Tensor)]

    def gradients(inputs, outs):
        roots = [(o, w) for o, w in zip(outs, weights_for(np.float64)(outs)) if o.requires_grad]
        nnrt.autograd.backward([o for o, _ in roots], [nnrt.from_numpy(w) for _, w in roots])
        return [np.array(x.grad.detach().numpy()) for x in inputs if getattr(x, "grad", None) is not None]

    inputs, outs, tensors = forward()
    if not any(o.requires_grad for o in outs):
        pytest.skip("nothing to differentiate")
    want = gradients(inputs, outs)
    for i in range(len(tensors)):
        inputs, outs, tensors = forward()
        if not tensors[i].array.flags.writeable:
            continue
        with nnrt.no_grad():
            tensors[i].add_(1.5) if tensors[i].is_floating_point() else tensors[i].zero_()
        try:
            got = gradients(inputs, outs)
        except RuntimeError as error:
            assert "was changed in place" in str(error)
        else:
            for g, w in zip(got, want, strict=True):
                np.testing.assert_array_equal(g, w, err_msg=f"tensor {i} of {len(inputs)} inputs and {len(outs)} outputs")
