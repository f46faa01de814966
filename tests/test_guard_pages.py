"""No compiled kernel reads or writes beside its arrays, nor writes to an input: they lie between pages without access."""

import subprocess
import sys

import pytest

from tests.conftest import families
from tests.test_kernels import OTHERS

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="mprotect and fork as Linux has them"),
    pytest.mark.skipif("cython" not in OTHERS, reason="checks the compiled kernels"),
]


def run_guarded(kind, which, share):
    code = f"import sys; sys.path[:] = {sys.path}; from tests import guarded; guarded.main({kind!r}, {which}, 'cython', {share})"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("kind", ["KERNELS", "OPS"])
def test_nothing_beside_an_array_is_touched(kind):
    """A quarter of the calls, at least one a case; `python -m tests.guarded KERNELS 1` makes them all."""
    done = run_guarded(kind, families(), 4)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert int(done.stdout.split()[0]) > 2000, done.stdout


def test_touches_are_seen():
    done = run_guarded("TOUCHES", ["before", "behind", "input"], 1)
    assert done.returncode == 1, f"{done.stdout}\n{done.stderr}"
    for what in ("before", "behind", "input"):
        assert f"{what}: Segmentation fault in ['a touch: {what}']" in done.stdout, f"{done.stdout}\n{done.stderr}"
