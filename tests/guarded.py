"""Arrays between pages that nothing may touch, and the cases of tests/cases run on them.

A compiled kernel that reads or writes one element beside an array usually goes unnoticed: memory is there, what was read
is thrown away, and sanitizers see no inline assembler. Here the last byte of an array lies before a page without access,
or its first byte behind one, and the pages of inputs are read-only. A touch is a fault that ends the process, hence a
process per family, which names each call before it makes it; tests/test_guard_pages.py starts them.

python -m tests.guarded KERNELS|OPS SHARE [family ...] makes one of SHARE calls; 1: all of them.
"""

import ctypes
import faulthandler
import mmap
import os
import resource
import signal
import sys
import traceback
from functools import partial

import numpy as np

import nnrt
from tests.conftest import cases_of, families
from tests.test_kernels import family_of, kernel_of, make
from tests.test_ops import arrays_of, differentiable, outputs_of, strided

PAGE = mmap.PAGESIZE
GUARD = 64 * PAGE  # wide: a row too far is a fault too
NONE, READ = 0, 1  # of sys/mman.h
SIDES = ("end", "begin")

try:
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
except (AttributeError, TypeError, OSError):
    mprotect = None


def protect(address, length, access):
    if mprotect(address, length, access):
        raise OSError(ctypes.get_errno(), "mprotect")


def extent(a):
    """Bytes before the first element's address that the array reaches, and after it; both 0 where it is empty."""
    if not a.size:
        return 0, 0
    steps = [(n - 1) * step for n, step in zip(a.shape, a.strides)]
    return -sum(s for s in steps if s < 0), sum(s for s in steps if s > 0) + a.itemsize


def guarded(a, side="end", writable=False):
    """A copy of a, of the same strides and gaps, that ends where a page without access begins, or begins where one ends."""
    before, after = extent(a)
    pages = -(-(before + after) // PAGE) * PAGE
    whole = mmap.mmap(-1, pages + 2 * GUARD, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    address = np.frombuffer(whole, np.uint8).ctypes.data
    start = GUARD + (pages - before - after if side == "end" else 0)
    ctypes.memmove(address + start, a.ctypes.data - before, before + after)
    protect(address, GUARD, NONE)
    protect(address + GUARD + pages, GUARD, NONE)
    if not writable and pages:
        protect(address + GUARD, pages, READ)
    return np.ndarray(a.shape, a.dtype, whole, start + before, a.strides)


def placed(arg, side, writable=False):
    """arg with every array in it guarded."""
    if isinstance(arg, (list, tuple)):
        return type(arg)(placed(x, side, writable) for x in arg)
    return guarded(arg, side, writable) if isinstance(arg, np.ndarray) else arg


def kernel_runs(family, backend):
    """(label, call) of every case of a kernel at every dtype and side."""
    for case in cases_of("KERNELS", family):
        for dtype in case.dtypes if kernel_of(backend, case.kernel) else ():
            for side in SIDES:
                yield f"{case.kernel}-{case.id} {np.dtype(dtype)} {side}", partial(run_kernel, case, backend, dtype, side)


def run_kernel(case, backend, dtype, side):
    given, outputs = make(case.args(np.random.default_rng(1), dtype), dtype, family_of(backend, case.kernel))
    kernel_of(backend, case.kernel)(*(placed(arg, side, i in outputs) for i, arg in enumerate(given)))


def op_runs(family, backend):
    """(label, call) of every case of an op at every dtype and side, dense and not."""
    for case in cases_of("OPS", family):
        for dtype in (np.float32, np.float64):
            for side in SIDES:
                for layout in (dense, strided):
                    label = f"{family}.{case.id} {np.dtype(dtype)} {side} {layout.__name__}"
                    yield label, partial(run_op, case, dtype, side, layout)


def dense(a):
    return a


def run_op(case, dtype, side, layout):
    rng = np.random.default_rng(1)
    nnrt.manual_seed(1)
    inputs = []
    for i, a in enumerate(arrays_of(case, rng)):
        if isinstance(a, np.ndarray):
            wanted = differentiable(case, i, a)
            a = a.astype(dtype) if a.dtype.kind == "f" else a
            a = nnrt.from_numpy(guarded(layout(a), side)).requires_grad_(wanted)
        inputs.append(a)
    roots = [o for o in outputs_of(case.fn(nnrt, *inputs)) if o.requires_grad]
    if roots:
        weights = [guarded(layout(rng.standard_normal(tuple(o.shape)).astype(o.dtype)), side) for o in roots]
        nnrt.autograd.backward(roots, [nnrt.from_numpy(w) for w in weights])


def touches(what, backend):
    """One deliberate fault: what the test of the test runs."""
    a = guarded(np.arange(7.0), "begin" if what == "before" else "end")
    where = {"before": a.ctypes.data - 1, "behind": a.ctypes.data + a.nbytes, "input": a.ctypes.data}[what]
    yield f"a touch: {what}", partial(*((ctypes.memset, where, 0, 1) if what == "input" else (ctypes.string_at, where, 1)))


KINDS = {"KERNELS": kernel_runs, "OPS": op_runs, "TOUCHES": touches}


def main(kind, families, backend, share):
    """Runs one of `share` calls of every family, always the same ones, in a child per family; says what died, and where."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    count = failed = 0
    for family in families:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            run_family(kind, family, backend, share, os.fdopen(write, "w"))
        os.close(write)
        with os.fdopen(read) as lines:
            labels = lines.read().splitlines()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        count += len(labels)
        if code:
            failed += 1
            print(f"{family}: {signal.strsignal(-code) if code < 0 else 'an error'} in {labels[-1:]}", flush=True)
    print(f"{count} calls, {failed} families failed", flush=True)
    sys.exit(failed > 0)


def run_family(kind, family, backend, share, names):
    code = 1
    try:
        for i, (label, call) in enumerate(KINDS[kind](family, backend)):
            if (i + i // share) % share == 0:  # one of `share` neighbours, each time the next: every dtype, side and layout
                print(label, file=names, flush=True)
                call()
        code = 0
    except Exception:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[3:] or families(), "cython", int(sys.argv[2]))
