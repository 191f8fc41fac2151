"""Units of work that many processes share, on one machine or on many.

Each unit has a lock file in a directory that all of them see. It names its
holder, who touches it every few seconds. A lock whose holder is dead makes room
for the next one: at once on the same machine, elsewhere when it was not touched
for two minutes.
"""

import json
import os
import re
import socket
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from unet.files.locks import is_unlocked, lock

# Seconds from one touch to the next; without one after which a holder counts
# as dead; and for which nobody asks whether a new one's holder lives.
BEAT, DEAD, NEW = 5, 120, 2
_LOCK = re.compile(r"(.+)\.(\d+)\.lock")


class LostLeaseError(Exception):
    """Another process has taken the unit: this one was silent for too long."""


class Lease:
    """The right to do a unit of work, until it is released.

    Args:
        path: of the lock file, which is there.
        file: the same, open.
        earlier: lock files of dead holders.

    Attributes:
        deaths: how many holders have died over the unit.
    """

    def __init__(self, path, file, earlier):
        self._path, self._file, self._earlier = path, file, earlier
        self._next = _numbered(path, 1)
        self._facts = {
            "host": socket.gethostname(),
            "process": os.getpid(),
        }
        self.deaths = len(earlier)
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._write()
        threading.Thread(target=self._beat, daemon=True).start()

    def tell(self, **facts):
        """Say what others may know, such as how much is done.

        Raises:
            LostLeaseError: the unit is no longer this process's own.
        """
        if self.is_lost:
            raise LostLeaseError(self._path.name)
        # Written with the next touch.
        self._facts |= facts

    @property
    def is_lost(self):
        """Whether another process took the unit for abandoned."""
        return self._next.exists() or not self._path.exists()

    def release(self):
        """Let others have the unit, unless it is theirs already."""
        self._ended.set()
        with self._writing:
            self._file.close()
        if not self.is_lost:
            for path in (*self._earlier, self._path):
                path.unlink(missing_ok=True)

    def _beat(self):
        while not self._ended.wait(BEAT):
            with suppress(OSError):  # a full disk, a file server that restarts
                self._write()

    def _write(self):
        with self._writing:
            if self._file.closed:
                return
            self._file.seek(0)
            self._file.truncate()
            self._file.write(json.dumps(self._facts))
            self._file.flush()
            os.utime(self._path)


class Leases:
    """The lock files of a directory, as they are now.

    Args:
        directory: that all processes see; it exists.
    """

    def __init__(self, directory):
        self._directory = Path(directory)
        self._locks, self._time = {}, None
        for entry in os.scandir(directory):
            match = _LOCK.fullmatch(entry.name)
            if match:
                path = self._directory / entry.name
                self._locks.setdefault(match[1], []).append(path)
        for paths in self._locks.values():
            paths.sort(key=_number)

    def holder(self, name):
        """What the holder of a unit tells, dict; None: there is none."""
        paths = self._locks.get(name)
        return _facts(paths[-1]) if paths else None

    def take(self, name):
        """Take a unit of work.

        Args:
            name: of the unit, and of its lock file.

        Returns:
            ``Lease``; None: another process holds it.
        """
        earlier = self._locks.get(name, [])
        path = self._directory / f"{name}.1.lock"
        if earlier:
            if not self._is_dead(earlier[-1]):
                return None
            path = _numbered(earlier[-1], 1)
        # A new file, and never a dead one's removal: two processes that see
        # the same death cannot both succeed.
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError:
            return None
        lock(file)
        return Lease(path, file, earlier)

    def _is_dead(self, path):
        try:
            silent = self._now() - path.stat().st_mtime
        except FileNotFoundError:
            return False  # released this moment
        if silent > DEAD:
            return True
        host = _facts(path).get("host")
        return (
            silent > NEW and host == socket.gethostname() and is_unlocked(path)
        )

    def _now(self):
        """The time of the file system, whose clock may be another."""
        if self._time is None:
            with tempfile.NamedTemporaryFile(dir=self._directory) as file:
                self._time = Path(file.name).stat().st_mtime
        return self._time


def _number(path):
    return int(_LOCK.fullmatch(path.name)[2])


def _numbered(path, more):
    """The lock file of a later holder."""
    name, number = _LOCK.fullmatch(path.name).groups()
    return path.with_name(f"{name}.{int(number) + more}.lock")


def _facts(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # being written, or gone
