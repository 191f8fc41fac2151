"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

# Where Linux says what a container may use.
CGROUP = Path("/sys/fs/cgroup")


def usable_cores(cgroup=CGROUP):
    """Cores that the process may use: of its affinity, within its quota.

    ``os.cpu_count`` names all cores of the machine, whatever a batch system
    or a container leaves of them.

    Args:
        cgroup: directory of the control group: ``cpu.max`` of its second
            version, ``cpu/cpu.cfs_quota_us`` of its first.

    Returns:
        int, 1 or more.
    """
    if hasattr(os, "sched_getaffinity"):  # not on every system
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, _quota(cgroup) or cores)


def _quota(cgroup):
    """Whole cores' worth of time, rounded up, or None without a limit."""
    first = cgroup / "cpu"
    for paths in (
        [cgroup / "cpu.max"],
        [first / "cpu.cfs_quota_us", first / "cpu.cfs_period_us"],
    ):
        try:
            words = " ".join(path.read_text() for path in paths).split()
            share = int(words[0]) / int(words[1])
        except (OSError, ValueError, IndexError):
            continue  # none there, or "max"
        if share > 0:  # -1: no limit
            return math.ceil(share)
    return None
