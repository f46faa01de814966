"""The pool, the launch seam and the arrays of nnrt._ext.runtime."""

import ast
import importlib
import inspect
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from nnrt import config

runtime = pytest.importorskip("nnrt._ext.runtime", reason="the extension is not built")
from nnrt._ext import COMPILED  # noqa: E402
from nnrt._ext import random as kernels  # noqa: E402

ROOT = Path(__file__).parent.parent
CSRC = ROOT / "nnrt" / "_ext" / "csrc"
N = 40 * 16384 + 5  # 41 tasks


def draw(n=N, seed=7):
    out = np.empty(n, np.float32)
    kernels.uniform(out, seed, 0)
    return out


def python(code, **env):
    """Runs code in a fresh interpreter; returns the finished process."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


@pytest.fixture(autouse=True)
def four_threads():
    with config.use(num_threads=4):
        yield


# ---- the pool ----


def compile_c(name, folder, *flags):
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    target = folder / name
    parts = [CSRC / f"{part}.c" for part in ("threads", "observe", "memory")]
    sources = map(str, [ROOT / "tests" / "native" / f"{name}.c", *parts])
    flags = ["-std=gnu11", "-O1", f"-I{CSRC}", *flags]
    command = [compiler, *flags, *sources, "-o", str(target), "-lpthread", "-lm"]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode and "-fsanitize=thread" in flags:
        pytest.skip("no thread sanitizer")
    assert built.returncode == 0, built.stderr
    return target


def test_promises_to_a_caller_in_c(tmp_path):
    done = subprocess.run([compile_c("pool_modes", tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.stdout == "passed\n" and done.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system alone places threads")
def test_a_worker_leaves_the_launchers_core_where_another_is_idle(tmp_path):
    names = {"sched_getcpu": "getcpu", "sched_getaffinity": "getaffinity", "sched_setaffinity": "setaffinity", "open": "open"}
    program = compile_c("pool_cores", tmp_path, *(f"-D{system}=test_{ours}" for system, ours in names.items()))
    done = subprocess.run([program], capture_output=True, text=True, timeout=120)
    assert done.stdout == "passed\n" and done.returncode == 0


def test_no_data_races(tmp_path):
    program = compile_c("pool_threads", tmp_path, "-fsanitize=thread", "-g")
    env = {**os.environ, "TSAN_OPTIONS": "exitcode=66"}
    wrapper = ["setarch", "-R"] if shutil.which("setarch") else []  # it wants the address space it knows
    done = subprocess.run([*wrapper, program], env=env, capture_output=True, text=True, timeout=120)
    if "unexpected memory mapping" in done.stderr or "personality" in done.stderr:
        pytest.skip("the sanitizer does not run on this kernel")
    assert done.returncode == 0, done.stdout + done.stderr


def test_results_do_not_depend_on_the_thread_count():
    with config.use(num_threads=1):
        expected = draw()
    for threads in (2, 3, 4, 16):
        with config.use(num_threads=threads):
            np.testing.assert_array_equal(draw(), expected)


def test_ten_python_threads_at_once():
    expected = [draw(seed=seed) for seed in range(10)]
    wrong = []

    def run(seed):
        for _ in range(20):
            if not np.array_equal(draw(seed=seed), expected[seed]):
                wrong.append(seed)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(10)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_a_hundred_forks_while_another_thread_launches():
    code = """
import os, signal, threading, warnings
import numpy as np
from nnrt import config, memory
from nnrt._ext import random as kernels
warnings.simplefilter("ignore")
config.settings.num_threads = 3
def draw():
    out = memory.empty((40 * 16384,), np.float32)
    kernels.uniform(out, 7, 0)
    return out
expected, stop = draw().copy(), threading.Event()
def busy():
    while not stop.is_set():
        draw()
thread = threading.Thread(target=busy)
thread.start()
for i in range(100):
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        os._exit(0 if np.array_equal(draw(), expected) else 3)
    _, status = os.waitpid(child, 0)
    assert status == 0, (i, status)
stop.set()
thread.join()
"""
    done = python(code)
    assert done.returncode == 0, done.stderr


def test_the_interpreter_ends_while_workers_sleep_or_spin():
    for spin in ("0", "1000000"):
        code = "import numpy as np; from nnrt._ext import random as r; r.uniform(np.empty(1000000), 1, 0)"
        start = time.monotonic()
        done = python(code, NNRT_NUM_THREADS="4", NNRT_SPIN_US=spin)
        assert done.returncode == 0 and not done.stderr
        assert time.monotonic() - start < 60


def test_the_callers_denormals_survive_a_launch():
    draw()
    assert np.float32(1e-40) * np.float32(1) != 0
    x, y = np.full(8, 1e-40, np.float32), np.empty(8, np.float32)
    kernels.dropout_backward(y, np.ones(8, np.uint8), x, 0.0)
    assert (y == 0).all()  # and inside they are flushed


# ---- profiler and NaN check ----


def test_profiler_records_launches_in_order():
    runtime.profile_take()
    runtime.profile_start()
    try:
        before = time.monotonic_ns()
        draw()
        draw(5)
        after = time.monotonic_ns()
    finally:
        runtime.profile_stop()
    draw()
    first, second = runtime.profile_take()
    assert first[0] == f"random/uniform/f32/{runtime.isa_name()}"
    assert before <= first[1] <= first[2] <= second[1] <= second[2] <= after
    assert (first[3], second[3]) == (41, 1)
    assert first[5] == 4 * N and first[6] == threading.get_ident()
    assert runtime.profile_take() == [] and runtime.profile_lost() == 0


def test_profiler_says_how_many_it_lost():
    runtime.profile_take()
    runtime.profile_start()
    try:
        out = np.empty(1, np.float32)
        for _ in range(65536 + 10):
            kernels.uniform(out, 0, 0)
    finally:
        runtime.profile_stop()
    assert len(runtime.profile_take()) == 65536 and runtime.profile_lost() == 10


@pytest.mark.parametrize("dtype, short", [(np.float32, "f32"), (np.float64, "f64")])
def test_nan_check_names_the_first_kernel(dtype, short, capfd):
    x, y = np.ones(100_000, dtype), np.empty(100_000, dtype)
    mask = np.ones(x.shape, np.uint8)
    x[-1] = np.nan
    kernels.dropout_backward(y, mask, x, 0.0)
    assert runtime.nan_kernel() is None
    with config.use(check_nan=True):
        kernels.uniform(y, 0, 0)
        assert runtime.nan_kernel() is None
        kernels.dropout_backward(y, mask, x, 0.0)
        kernels.dropout_forward(y, mask, x, 0.0, 0, 0)
        name = f"random/dropout_backward/{short}/{runtime.isa_name()}"
        assert runtime.nan_kernel() == name
        assert runtime.nan_kernel() is None
    assert capfd.readouterr().err == f"nnrt: NaN: the first kernel to write one is {name}\n"


# ---- instruction sets, threads, grad mode ----


def test_isa_is_one_of_the_available():
    assert runtime.isa_name() in runtime.available_isas()
    info = runtime.cpu_info()
    assert info["isa"] == runtime.isa_name() and info["l1d"] >= 0


def test_caches_are_those_of_a_core_and_what_it_shares_not_of_the_package():
    told = Path("/sys/devices/system/cpu/cpu0/cache")
    if not (told / "index0/size").exists():
        pytest.skip("the system tells nothing of its caches")
    units, info = {"K": 10, "M": 20}, runtime.cpu_info()
    for index in told.glob("index*"):
        level, kind, size = ((index / name).read_text().strip() for name in ("level", "type", "size"))
        if kind != "Instruction" and level in "123":
            assert info["l1d" if level == "1" else f"l{level}"] == int(size[:-1]) << units[size[-1]]


@pytest.mark.parametrize("isa", runtime.available_isas())
def test_every_available_isa_can_be_forced(isa):
    done = python("from nnrt._ext import runtime; print(runtime.isa_name())", NNRT_ISA=isa)
    assert done.stdout.strip() == isa, done.stderr


def test_an_isa_that_the_cpu_lacks_is_an_error():
    lacking = [isa for isa in config.ISAS if isa not in runtime.available_isas()]
    done = python("import nnrt._ext.runtime", NNRT_ISA=lacking[0])
    assert done.returncode != 0
    assert f"NNRT_ISA={lacking[0]}" in done.stderr and runtime.available_isas()[-1] in done.stderr


def test_thread_count_is_one_setting():
    runtime.set_num_threads(3)
    assert config.settings.num_threads == 3 == runtime.get_num_threads()
    with config.use(num_threads=2):
        assert runtime.get_num_threads() == 2
    assert runtime.get_num_threads() == 3
    with pytest.raises(ValueError, match="num_threads=0: wanted an integer from 1 to 256"):
        runtime.set_num_threads(0)


def test_grad_mode_belongs_to_the_thread():
    assert runtime.set_grad_enabled(False) is True
    try:
        seen = []
        thread = threading.Thread(target=lambda: seen.append(runtime.grad_enabled()))
        thread.start()
        thread.join()
        assert seen == [True] and runtime.grad_enabled() is False
    finally:
        assert runtime.set_grad_enabled(True) is False


@pytest.mark.parametrize("name", COMPILED)
def test_what_is_compiled_is_found_in_the_library(name):
    module = importlib.import_module(name)
    assert module.__name__ == module.__spec__.name == name and module.__package__ == name.rpartition(".")[0]
    assert module.__file__ == module.__spec__.origin == runtime.__file__
    compiled = [f for f in vars(module).values() if type(f).__name__ == "cython_function_or_method"]
    assert name in {f.__module__ for f in compiled}


def functions_of(module):
    return {n: f for n, f in vars(module).items() if not n.startswith("_") and getattr(f, "__module__", None) == module.__name__}


@pytest.mark.parametrize("name", [f.stem for f in sorted((ROOT / "nnrt" / "_ext").glob("*.pyx")) if f.stem != "maps"])
def test_stubs_list_the_functions_of_each_module(name):
    # maps has functions for other compiled modules alone. A stub imports the functions of _ref or defines its own.
    module = importlib.import_module(f"nnrt._ext.{name}")
    listed = {}
    for node in ast.parse((ROOT / "nnrt" / "_ext" / f"{name}.pyi").read_text()).body:
        if isinstance(node, ast.FunctionDef):
            listed[node.name] = [a.arg for a in node.args.args]
        elif isinstance(node, ast.ImportFrom) and node.module == f"_ref.{name}":
            given = functions_of(importlib.import_module(f"nnrt._ref.{name}"))
            names = given if node.names[0].name == "*" else [a.name for a in node.names]
            listed |= {n: list(inspect.signature(given[n]).parameters) for n in names}
    assert listed == {n: list(inspect.signature(f).parameters) for n, f in functions_of(module).items() if inspect.isroutine(f)}
