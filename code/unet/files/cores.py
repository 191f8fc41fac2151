"""How many processor cores this process may use."""

import math
import os
from pathlib import Path

from unet.files.memory import KEEPING

# The most that the process takes of them, by its own choice.
_limit = math.inf
# Where Linux says what a container may use.
CGROUP = Path("/sys/fs/cgroup")
# What libraries take for the number of their threads.
_THREADS = (
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
)


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
    return min(cores, _quota(cgroup) or cores, _limit)


def one_thread():
    """The environment of a process of one thread, beside others like it."""
    return dict.fromkeys(_THREADS, "1") | KEEPING


def use_one_core():
    """Let this process compute with one thread: others do the like beside it.

    Call it before Keras is imported.
    """
    global _limit
    _limit = 1
    os.environ.update(one_thread())


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
