"""What the machine lets this process have: CPUs and memory, by affinity and control groups.

`root` stands for "/" everywhere, so that tests can point at a directory of fake files. Paths are
plain strings: pathlib would take a sixth of the time of `import nnrt`.
"""

import math
import os
from typing import NamedTuple


class CPUs(NamedTuple):
    """affinity, cores: counts; quota: CPUs a control group grants, fractional, None when unlimited."""

    affinity: int
    quota: float | None
    cores: int

    @property
    def threads(self):
        """Threads worth starting: a quota of 1.5 CPUs rounds up to 2."""
        quota = self.cores if self.quota is None else math.ceil(self.quota)
        return max(1, min(self.affinity, quota, self.cores))

    def __str__(self):
        quota = "none" if self.quota is None else f"{self.quota:g}"
        return f"affinity {self.affinity}, cgroup quota {quota}, cores {self.cores}"


def cpus(root="/"):
    """The CPUs of this process as CPUs(affinity, quota, cores)."""
    cores = os.cpu_count() or 1
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return CPUs(affinity, cpu_quota(root), cores)


def cpu_quota(root="/"):
    """CPUs granted by cgroup v1 or v2, the smallest over the group and its parents; None when unlimited."""
    grants = []
    for version, group in _groups(root, "cpu"):
        if version == 2:
            quota, _, period = (_read(os.path.join(group, "cpu.max")) or "max").partition(" ")
        else:
            quota, period = _read(os.path.join(group, "cpu.cfs_quota_us")), _read(os.path.join(group, "cpu.cfs_period_us"))
        quota, period = _number(quota), _number(period) or 100_000
        if quota and quota > 0:
            grants.append(quota / period)
    return min(grants, default=None)


def memory(root="/"):
    """Bytes of memory: the machine's, or the cgroup's limit where that is less; None when unknown."""
    sizes = []
    try:
        sizes.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        pass
    for version, group in _groups(root, "memory"):
        sizes.append(_number(_read(os.path.join(group, "memory.max" if version == 2 else "memory.limit_in_bytes"))))
    return min((size for size in sizes if size and size > 0), default=None)


def _groups(root, controller):
    """(version, directory) of this process's control groups for a controller, from leaf to root."""
    base = os.path.join(root, "sys/fs/cgroup")
    for line in (_read(os.path.join(root, "proc/self/cgroup")) or "").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            version, mounts = 2, [base, os.path.join(base, "unified")]
        elif controller in names.split(","):
            version, mounts = 1, [os.path.join(base, names), os.path.join(base, controller)]
        else:
            continue
        # Inside a container the path may be the host's: the mount itself is then the group.
        steps = [part for part in path.split("/") if part and part != ".."]
        for mount in mounts:
            for depth in range(len(steps), -1, -1):
                group = os.path.join(mount, *steps[:depth])
                if os.path.isdir(group):
                    yield version, group


def _read(path):
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def _number(text):
    try:
        return int(text)
    except (TypeError, ValueError):  # missing file, or "max"
        return None
