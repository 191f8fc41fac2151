"""Leases: one holder at a time, and a dead one's unit is free again."""

import os
import time
from pathlib import Path

import pytest

from unet.files import leases
from unet.files.leases import Leases, LostLeaseError


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Ask for new holders too."""
    monkeypatch.setattr(leases, "NEW", -1)


def in_child(function):
    """Call a function in a process that dies afterwards, as by SIGKILL."""
    child = os.fork()
    if child == 0:
        function()
        os._exit(0)
    os.waitpid(child, 0)


def names(directory):
    return sorted(path.name for path in Path(directory).iterdir())


def test_a_unit_has_one_holder_who_may_tell_and_release(tmp_path):
    lease = Leases(tmp_path).take("a")
    assert lease.deaths == 0
    assert Leases(tmp_path).take("a") is None
    assert Leases(tmp_path).holder("a")["process"] == os.getpid()
    other = Leases(tmp_path).take("a.1")
    assert other is not None
    lease.release()
    assert names(tmp_path) == ["a.1.1.lock"]
    assert Leases(tmp_path).holder("a") is None
    Leases(tmp_path).take("a").release()
    other.release()
    assert names(tmp_path) == []


def test_what_is_told_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(leases, "BEAT", 0.02)
    lease = Leases(tmp_path).take("a")
    lease.tell(pixels=7)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        if (Leases(tmp_path).holder("a") or {}).get("pixels") == 7:
            break
        time.sleep(0.01)
    else:
        pytest.fail("nothing was told")
    lease.release()


def test_a_dead_holders_unit_is_free_on_its_machine(tmp_path):
    for deaths in range(3):
        assert names(tmp_path) == [f"a.{k + 1}.lock" for k in range(deaths)]
        in_child(lambda: Leases(tmp_path).take("a"))
    lease = Leases(tmp_path).take("a")
    assert lease.deaths == 3
    lease.release()
    assert names(tmp_path) == []


def test_elsewhere_a_silent_holder_counts_as_dead(tmp_path, monkeypatch):
    monkeypatch.setattr(leases.socket, "gethostname", lambda: "elsewhere")
    in_child(lambda: Leases(tmp_path).take("a"))
    monkeypatch.undo()
    monkeypatch.setattr(leases, "NEW", -1)
    assert Leases(tmp_path).take("a") is None
    path = tmp_path / "a.1.lock"
    before = time.time() - leases.DEAD - 1
    os.utime(path, (before, before))
    lease = Leases(tmp_path).take("a")
    assert lease.deaths == 1
    lease.release()


def test_of_two_that_see_a_death_one_succeeds(tmp_path):
    in_child(lambda: Leases(tmp_path).take("a"))
    first, second = Leases(tmp_path), Leases(tmp_path)
    lease = first.take("a")
    assert lease and second.take("a") is None
    lease.release()


def test_a_holder_who_was_taken_for_dead_is_told(tmp_path, monkeypatch):
    lease = Leases(tmp_path).take("a")
    monkeypatch.setattr(leases, "DEAD", -1)
    other = Leases(tmp_path).take("a")
    with pytest.raises(LostLeaseError):
        lease.tell(pixels=1)
    lease.release()
    assert "a.2.lock" in names(tmp_path)
    other.tell(pixels=1)
    other.release()
    assert names(tmp_path) == []
