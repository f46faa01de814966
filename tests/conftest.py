"""Fixtures shared by the suite. torch, when installed, is the outside oracle; without it those tests skip."""

import gc
import importlib
import pkgutil
import random
import signal
import sys
import zlib

import hypothesis
import numpy as np
import pytest

import nnrt
import tests.cases

# Examples repeat and may take their time on a busy machine; --hypothesis-profile=search looks for new ones.
hypothesis.settings.register_profile("repeat", derandomize=True, deadline=None)
hypothesis.settings.register_profile("search", deadline=None)
hypothesis.settings.load_profile("repeat")

# A suite started in the background inherits an ignored SIGINT; the tests of Ctrl-C need the usual one.
signal.signal(signal.SIGINT, signal.default_int_handler)


def families():
    return [m.name for m in pkgutil.iter_modules(tests.cases.__path__)]


def cases_of(kind, family):
    return getattr(importlib.import_module(f"tests.cases.{family}"), kind, [])


def collect(kind):
    """All cases of a kind ("KERNELS" or "OPS") over the families, as pytest parameters."""
    found = []
    for name in families():
        for case in cases_of(kind, name):
            label = f"{case.kernel}-{case.id}" if kind == "KERNELS" else f"{name}.{case.id}"
            found.append(pytest.param(case, id=label))
    return found


def pytest_collection_modifyitems(items):
    for item in items:
        if "torch" in getattr(item, "fixturenames", ()):
            item.add_marker("oracle")


def pytest_collection_finish():
    gc.freeze()  # a collection of garbage need not walk thousands of tests


@pytest.fixture(autouse=True)
def seeded(request):
    """Seeds every default generator by the test's name: the same numbers on every run, alone or in the suite."""
    seed = zlib.crc32(request.node.name.encode())
    random.seed(seed)
    np.random.seed(seed)
    nnrt.manual_seed(seed)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


@pytest.fixture
def rng(request):
    """A generator of the test's own, seeded by its name."""
    return np.random.default_rng(list(request.node.name.encode()))


@pytest.fixture(scope="session")
def torch():
    module = pytest.importorskip("torch", reason="torch is the outside oracle; it is not installed")
    module.set_num_threads(1)
    return module
