"""Locks, which the system takes back however their process ends."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path

from unet.files.errors import DataError

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None


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
