"""Every kernel of every back-end against _ref, and the signatures of the packages against each other."""

import functools
import importlib
import inspect
import typing

import numpy as np
import pytest

from nnrt import config, registry
from nnrt._ref import Out
from tests.cases import Output, Packed
from tests.conftest import cases_of, collect, families

# NNRT_BACKEND narrows what is held against _ref.
OTHERS = [b for b in registry.available() if b != "ref" and b in registry.order()]


def family_of(backend, name):
    """The back-end's module with the kernel's family, or None."""
    try:
        return importlib.import_module(f"{registry.PACKAGES[backend]}.{name.partition('.')[0]}")
    except ImportError:
        return None


def kernel_of(backend, name):
    return getattr(family_of(backend, name), name.partition(".")[2], None)


def make(args, dtype, family):
    """Arguments with outputs allocated and filled with NaN (or the case's contents), and which they are.

    family: a back-end's module, which makes what is packed.

    An argument may be a list, of Outputs or of arrays.
    """
    made, outputs = [], []
    for position, arg in enumerate(args):
        if is_output(arg):
            outputs.append(position)
        arg = arg.make(family) if isinstance(arg, Packed) else arg
        made.append([filled(a, dtype) for a in arg] if isinstance(arg, list) else filled(arg, dtype))
    return made, outputs


def is_output(arg):
    return any(isinstance(a, Output) for a in arg) if isinstance(arg, list) else isinstance(arg, Output)


def filled(arg, dtype):
    """The array an Output stands for; anything else is itself."""
    if not isinstance(arg, Output):
        return arg
    shape = arg.shape if arg.axes is None else tuple(arg.shape[a] for a in arg.axes)
    array = np.empty(shape, arg.dtype or dtype)
    array.fill(np.nan if array.dtype.kind == "f" else 77 if array.dtype.kind in "iu" else True)
    if arg.axes is not None:
        array = array.transpose(np.argsort(arg.axes))
    if arg.keep is not None:
        array[...] = arg.keep
    return array


@pytest.mark.parametrize("family", families())
@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_ref_warns_of_nothing(family, rng):
    """Infinities, NaN and numbers whose sums and products overflow, in three cases of each kernel."""
    calls = {}
    for case in cases_of("KERNELS", family):
        if np.float32 in case.dtypes and case.kernel != "random.permutation":  # its numbers are places
            calls.setdefault(case.kernel, []).append(case)
    with registry.using("ref"):
        for kernel, cases in calls.items():
            for case, value in zip(cases[:: len(cases) // 3 or 1], (np.inf, 3e38, np.nan)):
                args = case.args(rng, np.float32)
                made, outputs = make(args, np.float32, family_of("ref", kernel))
                for arg in [made[i] for i in range(len(made)) if i not in outputs]:
                    for a in arrays_of(arg):
                        if a.dtype.kind == "f" and a.dtype.itemsize > 2 and a.flags.writeable:
                            a[...] = np.where(rng.random(a.shape) < 0.5, value, a)
                getattr(registry.family(kernel.partition(".")[0]), kernel.partition(".")[2])(*made)


def arrays_of(arg):
    return [a for a in (arg if isinstance(arg, list) else [arg]) if isinstance(a, np.ndarray)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("case", collect("KERNELS"))
def test_kernel_agrees_with_ref(case, dtype, rng):
    if dtype not in case.dtypes:
        pytest.skip(f"the case is not for {np.dtype(dtype)}")
    args = case.args(rng, dtype)
    assert_outputs_are_marked(case.kernel, args)
    others = [b for b in OTHERS if kernel_of(b, case.kernel)]
    if not others:
        pytest.skip(f"_ref alone has {case.kernel}: the registry falls back")
    expected = run("ref", case, args, dtype)
    rtol, atol = case.tol[np.dtype(dtype).name]
    for backend in others:
        for i, (got, want) in enumerate(zip(run(backend, case, args, dtype), expected, strict=True)):
            if got.shape != want.shape or not np.allclose(got, want, rtol, atol, equal_nan=True):  # a quarter of the time
                np.testing.assert_allclose(got, want, rtol=rtol, atol=atol, err_msg=f"{backend}: output {i}")


def assert_outputs_are_marked(kernel, args):
    """Outputs of a case, absent ones apart, are those that _ref annotates so."""
    given = [i for i, a in enumerate(args) if is_output(a)]
    absent = [i for i in outputs_of(kernel) if i < len(args) and (args[i] is None or isinstance(args[i], list) and not args[i])]
    assert sorted(given + absent) == [i for i in outputs_of(kernel) if i < len(args)], kernel


@functools.cache
def outputs_of(kernel):
    ref = kernel_of("ref", kernel)
    hints = typing.get_type_hints(ref, include_extras=True)
    return [i for i, p in enumerate(inspect.signature(ref).parameters) if hints.get(p) is Out]


def run(backend, case, args, dtype):
    """What a back-end's kernel writes, while it leaves its inputs as they are."""
    given, outputs = make(args, dtype, family_of(backend, case.kernel))
    inputs = [(i, a, a.tobytes()) for i, arg in enumerate(given) if i not in outputs for a in arrays_of(arg)]
    kernel_of(backend, case.kernel)(*given)
    for i, array, before in inputs:
        assert array.tobytes() == before, f"{backend}: input {i} was modified"
    return [a for i in outputs for a in arrays_of(given[i])]


def parameters(kernel):
    return list(inspect.signature(kernel_of("ref", kernel)).parameters)


# What a backward pass may hand its own dy as the place of dx.
OVER_DY = [
    case for case in collect("KERNELS")
    if (kernel := case.values[0].kernel) == "norm.normalize_backward"
    or kernel.startswith("activation.") and parameters(kernel)[:2] == ["dx", "dy"]
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["f32", "f64"])
@pytest.mark.parametrize("case", OVER_DY)
def test_gradients_may_be_written_over_dy(case, dtype, rng):
    if dtype not in case.dtypes:
        pytest.skip(f"the case is not for {np.dtype(dtype)}")
    args, at = case.args(rng, dtype), parameters(case.kernel).index("dy")
    for backend in ["ref", *(b for b in OTHERS if kernel_of(b, case.kernel))]:
        given, outputs = make(args, dtype, family_of(backend, case.kernel))
        given[0] = given[at] = given[at].astype(given[0].dtype)
        if given[0].shape != filled(args[0], dtype).shape:
            pytest.skip("dy broadcasts")
        kernel_of(backend, case.kernel)(*given)
        for i, want in zip(outputs, run(backend, case, args, dtype)):
            np.testing.assert_array_equal(given[i], want, err_msg=f"{backend}: output {i}")


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("family", families())
def test_signatures_agree_with_ref(family, backend):
    try:
        other = importlib.import_module(f"{registry.PACKAGES[backend]}.{family}")
    except ModuleNotFoundError:
        pytest.skip(f"{backend} has no {family}")
    ref = importlib.import_module(f"nnrt._ref.{family}")
    for name, function in vars(other).items():
        own = getattr(function, "__module__", None) == other.__name__
        if name.startswith("_") or not callable(function) or not own:
            continue
        assert hasattr(ref, name), f"{other.__name__}.{name} has no specification in nnrt._ref"
        want = list(inspect.signature(getattr(ref, name)).parameters)
        assert list(inspect.signature(function).parameters) == want, name


def poisoned(arg):
    """arg, or NaN in its place where it is an array of floats."""
    if isinstance(arg, list):
        return [poisoned(a) for a in arg]
    return np.full_like(arg, np.nan) if isinstance(arg, np.ndarray) and arg.dtype.kind == "f" else arg


ONE_OF_EACH = {
    case.values[0].kernel: case
    for case in collect("KERNELS")
    if not case.values[0].kernel.startswith("shape.")  # what only moves a NaN did not make it
}


@pytest.mark.skipif("cython" not in OTHERS, reason="the check hangs on compiled launches")
@pytest.mark.parametrize("case", ONE_OF_EACH.values())
def test_nan_check_names_the_kernel(case, rng):
    """Kernels fed with NaN: where one comes out, the check has seen it, whatever output it is in."""
    kernel = kernel_of("cython", case.kernel)
    if kernel is None:
        pytest.skip("not compiled")
    args = [poisoned(a) for a in case.args(rng, case.dtypes[0])]
    args, outputs = make(args, case.dtypes[0], family_of("cython", case.kernel))
    for i in outputs:
        for a in arrays_of(args[i]):
            a.fill(1)
    runtime = importlib.import_module("nnrt._ext.runtime")
    runtime.nan_kernel()
    runtime.profile_take()
    runtime.profile_start()
    with config.use(check_nan=True):
        kernel(*args)
        named = runtime.nan_kernel()
    runtime.profile_stop()
    if not runtime.profile_take():
        pytest.skip("left to numpy")
    came_out = any(np.isnan(a).any() for i in outputs for a in arrays_of(args[i]) if a.dtype.kind == "f")
    assert bool(named) == came_out
