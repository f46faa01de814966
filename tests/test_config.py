"""Settings: parsing, errors, context managers; affinity and control groups on fake files."""

import os
import re
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from nnrt import config, limits, registry
from nnrt.runtime.info import report

ROOT = Path(__file__).parent.parent


def settings(**environ):
    return config.Settings(environ)


# ---- the environment ----


def test_environment_for_a_child(monkeypatch):
    monkeypatch.delenv("NNRT_ISA", raising=False)
    monkeypatch.setenv("NNRT_LOG", "plan")
    made = config.environment(NNRT_ISA="avx2")
    assert made["NNRT_LOG"] == "plan" and made["NNRT_ISA"] == "avx2" and "NNRT_ISA" not in os.environ


def test_defaults():
    s = settings()
    assert s.backend == ("cython", "numba", "ref") and s.isa is None and s.log == ()
    assert not s.strict and not s.check_nan and s.conv == "auto"
    assert s.num_threads == limits.cpus().threads >= 1
    assert 0 < s.cache_limit <= 4 << 30


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("num_threads", "3", 3),
        ("isa", "avx2", "avx2"),
        ("backend", "numba, ref", ("numba", "ref")),
        ("backend", "ref,ref", ("ref",)),
        ("strict", "1", True),
        ("strict", "off", False),
        ("log", "dispatch", ("dispatch",)),
        ("check_nan", "True", True),
        ("cache_limit", "0", 0),
        ("cache_limit", "64M", 64 << 20),
        ("cache_limit", "2GiB", 2 << 30),
        ("spin_us", "0", 0),
        ("conv", "winograd4", "winograd4"),
    ],
)
def test_values(name, text, value):
    assert getattr(settings(**{f"NNRT_{name.upper()}": text}), name) == value


def test_an_empty_variable_counts_as_unset():
    assert settings(NNRT_NUM_THREADS="", NNRT_BACKEND="").backend == settings().backend


@pytest.mark.parametrize(
    "name, text, wanted",
    [
        ("NUM_THREADS", "0", "an integer from 1 to 256"),
        ("NUM_THREADS", "many", "an integer from 1 to 256"),
        ("NUM_THREADS", "257", "an integer from 1 to 256"),
        ("ISA", "sse9", "one of baseline, avx2, avx512, neon"),
        ("BACKEND", "cython,fortran", "a comma-separated list of cython, numba, ref"),
        ("BACKEND", ",", "a comma-separated list of cython, numba, ref"),
        ("STRICT", "maybe", "0 or 1"),
        ("LOG", "all", "a comma-separated list of dispatch"),
        ("CACHE_LIMIT", "-5", "a number of bytes such as"),
        ("CACHE_LIMIT", "1T", "a number of bytes such as"),
        ("CACHE_LIMIT", "99999999999G", "a number of bytes such as"),
        ("SPIN_US", "-1", "an integer from 0 to 2,147,483,647"),
        ("CONV", "gemm", "one of auto, direct, pointwise, winograd2"),
    ],
)
def test_bad_values_name_the_variable_what_came_and_what_is_wanted(name, text, wanted):
    with pytest.raises(ValueError) as error:
        settings(**{f"NNRT_{name}": text})
    assert f"NNRT_{name}={text!r}: wanted {wanted}" in str(error.value)


def test_variables_that_nothing_reads_are_shown(monkeypatch):
    monkeypatch.setenv("NNRT_NUMTHREADS", "3")
    assert "NNRT_NUMTHREADS" in config.unknown_variables() and "NNRT_ISA" not in config.unknown_variables()
    assert report().endswith("set, but no setting of that name is known: NNRT_NUMTHREADS")


def test_a_folder_named_numba_is_no_back_end(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: ModuleSpec(name, None))
    assert "numba" not in registry.available()


def test_a_bad_variable_stops_the_import():
    env = {**os.environ, "PYTHONPATH": str(ROOT), "NNRT_NUM_THREADS": "two"}
    done = subprocess.run([sys.executable, "-c", "import nnrt"], env=env, capture_output=True, text=True)
    assert done.returncode != 0 and "NNRT_NUM_THREADS='two': wanted an integer" in done.stderr


def test_only_config_reads_the_environment():
    readers = [
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "nnrt").rglob("*.py*")
        if path.suffix in (".py", ".pyx")
        if re.search(r"\bos\.environ\b|\bgetenvb?\b|\benviron\[", path.read_text())
    ]
    assert readers == ["nnrt/config.py"]


# ---- assignment and context managers ----


def test_use_restores_also_after_an_error():
    before = config.settings.num_threads
    why = config.why_num_threads()
    with pytest.raises(KeyError):
        with config.use(num_threads=before + 1, check_nan=True) as s:
            assert s.num_threads == before + 1 and s.check_nan
            assert config.why_num_threads() == f"{before + 1}: set by the program"
            raise KeyError
    assert config.settings.num_threads == before and not config.settings.check_nan
    assert config.why_num_threads() == why


def test_a_bad_value_changes_nothing():
    before = repr(config.settings)
    with pytest.raises(ValueError, match="num_threads=0: wanted an integer from 1 to 256"):
        with config.use(check_nan=True, num_threads=0):
            pass
    with pytest.raises(ValueError, match="num_threads=True"):
        config.settings.num_threads = True
    with pytest.raises(AttributeError, match="no setting 'threads'; it has num_threads"):
        with config.use(threads=1):
            pass
    with pytest.raises(AttributeError, match="no setting 'threads'"):
        config.settings.threads = 1
    with pytest.raises(ValueError, match="isa is fixed when nnrt is imported"):
        config.settings.isa = "avx2"
    assert repr(config.settings) == before


def test_hooks_hear_of_every_change():
    heard = []
    config.on_change("spin_us", heard.append)
    try:
        start = config.settings.spin_us
        with config.use(spin_us=7):
            pass
        assert heard == [start, 7, start]
    finally:
        config.settings._hooks["spin_us"].remove(heard.append)


def test_log_prints_the_topics_asked_for(capsys):
    with config.use(log="dispatch"):
        config.log("dispatch", "one")
        config.log("plan", "two")
    assert capsys.readouterr().err == "nnrt dispatch: one\n"


def test_describe_has_a_row_for_every_setting():
    rows = config.describe()
    assert sorted(row.name for row in rows) == dir(config.settings)
    assert all(row.variable == f"NNRT_{row.name.upper()}" and row.meaning for row in rows)
    assert rows[0]._fields == ("name", "variable", "default", "value", "meaning")


# ---- affinity and control groups ----


def tree(root, files):
    for path, text in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return root


def test_no_control_groups(tmp_path):
    assert limits.cpu_quota(tmp_path) is None
    assert limits.memory(tmp_path) == limits.memory() or limits.memory() < limits.memory(tmp_path)


@pytest.mark.parametrize("text, quota", [("max 100000", None), ("150000 100000", 1.5), ("50000 100000", 0.5)])
def test_cgroup_v2(tmp_path, text, quota):
    root = tree(tmp_path, {"proc/self/cgroup": "0::/app\n", "sys/fs/cgroup/app/cpu.max": text + "\n"})
    assert limits.cpu_quota(root) == quota


def test_cgroup_v2_parents_bind_too(tmp_path):
    files = {
        "proc/self/cgroup": "0::/a/b/c\n",
        "sys/fs/cgroup/a/cpu.max": "200000 100000",
        "sys/fs/cgroup/a/b/cpu.max": "max 100000",
        "sys/fs/cgroup/a/b/c/cpu.max": "800000 100000",
        "sys/fs/cgroup/a/memory.max": "1048576",
        "sys/fs/cgroup/a/b/memory.max": "max",
    }
    assert limits.cpu_quota(tree(tmp_path, files)) == 2
    assert limits.memory(tmp_path) == 1 << 20


def test_cgroup_v2_inside_a_container(tmp_path):
    # The path is the host's; the container sees its own group as the mount.
    files = {"proc/self/cgroup": "0::/../../pod7\n", "sys/fs/cgroup/cpu.max": "300000 100000"}
    assert limits.cpu_quota(tree(tmp_path, files)) == 3


@pytest.mark.parametrize("quota, expected", [("-1", None), ("250000", 2.5)])
def test_cgroup_v1(tmp_path, quota, expected):
    files = {
        "proc/self/cgroup": "5:memory:/box\n4:cpu,cpuacct:/box\n1:name=systemd:/x\n",
        "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_quota_us": quota + "\n",
        "sys/fs/cgroup/cpu,cpuacct/box/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/box/memory.limit_in_bytes": "2097152\n",
    }
    assert limits.cpu_quota(tree(tmp_path, files)) == expected
    assert limits.memory(tmp_path) == 2 << 20


def test_broken_files_are_no_limit(tmp_path):
    files = {"proc/self/cgroup": "nonsense\n0::/\n", "sys/fs/cgroup/cpu.max": "lots of it"}
    assert limits.cpu_quota(tree(tmp_path, files)) is None


@pytest.mark.parametrize(
    "cpus, threads",
    [((2, None, 8), 2), ((8, 1.5, 8), 2), ((8, 0.2, 8), 1), ((8, 16.0, 4), 4), ((1, None, 1), 1)],
)
def test_threads_are_the_least_of_the_three(cpus, threads):
    assert limits.CPUs(*cpus).threads == threads


def test_the_reason_can_be_read():
    assert str(limits.CPUs(2, None, 2)) == "affinity 2, cgroup quota none, cores 2"
    assert str(limits.CPUs(8, 1.5, 8)) == "affinity 8, cgroup quota 1.5, cores 8"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
def test_affinity_counts():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    code += "from nnrt import config; print(config.why_num_threads())"
    env = {k: v for k, v in os.environ.items() if k != "NNRT_NUM_THREADS"}
    env["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.startswith("1: affinity 1,"), done.stderr
