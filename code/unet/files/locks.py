"""Locks, which the system takes back however their process ends."""

import os
import shutil
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from unet.files.errors import DataError

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None

_NEW = 60  # seconds: a directory so young may not be held yet


@contextmanager
def locked(path, place):
    """Hold a lock file, so that one process at a time writes to a place.

    Args:
        path: the lock file; made if absent. Remove it within the block if it
            is to go.
        place: what is written to, for the error.

    Yields:
        The file, open for reading and writing text at its beginning.

    Raises:
        DataError: another process holds it.
    """
    file = _open_locked(Path(path), place)
    try:
        yield file
    finally:
        file.close()


@contextmanager
def sole_writer(directory):
    """Be the only process that writes to a directory; it is made if absent.

    Raises:
        DataError: another process writes there.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / ".lock"
    with locked(path, directory):
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open_locked(path, place):
    while True:
        file = path.open("a+", encoding="utf-8", newline="")
        file.seek(0)
        if fcntl is None:
            return file
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            raise DataError(
                f"{place}: another process is writing there. Wait until it "
                "has ended, or write to another place."
            ) from None
        except OSError:
            return file  # a file system without locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # removed by its last owner meanwhile


def lock(file):
    """Lock an open file until it is closed, where the system can."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)


def is_unlocked(path):
    """Whether a file that was locked on this machine is so no more.

    False where the system cannot tell.
    """
    if fcntl is None:
        return False
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except OSError:
        return False  # held, or gone, or nobody can know


@contextmanager
def held_directory(path):
    """Keep other processes from removing a directory: a hint, not a lock.

    Processes in other containers may share it, and their numbers say
    nothing.
    """
    if fcntl is None:
        yield
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def remove_unless_held(path):
    """Remove a directory that a killed process has left."""
    if fcntl is None or time.time() - path.stat().st_mtime < _NEW:
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(path, ignore_errors=True)
    except OSError:
        pass  # held, or nobody can know
    finally:
        os.close(handle)
