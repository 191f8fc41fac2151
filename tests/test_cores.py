"""How many cores the process may use."""

import os
import subprocess
import sys

import pytest

from unet.files.cores import usable_cores

needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="no affinity on this system"
)


@needs_affinity
def test_cores_follow_the_affinity():
    core = min(os.sched_getaffinity(0))
    code = (
        "import os\n"
        f"os.sched_setaffinity(0, [{core}])\n"
        "from unet.files.cores import usable_cores\n"
        "print(usable_cores())"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True
    )
    assert result.stdout.split() == [b"1"]


@pytest.fixture
def eight_cores(monkeypatch):
    """A machine of eight cores, all of which the process may use."""
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda _: set(range(8)), raising=False
    )


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        ("150000 100000", 2),
        ("50000 100000", 1),
        ("400000 100000", 4),
        ("1600000 100000", 8),
        ("max 100000", 8),
        ("", 8),
    ],
)
def test_cores_follow_the_quota_of_a_container(tmp_path, quota, cores):
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(("quota", "cores"), [("300000", 3), ("-1", 8)])
def test_cores_follow_the_quota_of_older_containers(tmp_path, quota, cores):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.usefixtures("eight_cores")
def test_without_a_quota_all_cores_count(tmp_path):
    assert usable_cores(tmp_path / "none") == 8


def test_this_machine_has_at_least_one_core():
    assert 1 <= usable_cores() <= os.cpu_count()
