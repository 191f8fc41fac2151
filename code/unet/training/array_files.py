"""Arrays in a directory of the cache: whole, or not there."""

import mmap
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

ROWS_AT_ONCE = 4096  # of an array that are in memory: 200 MB of 128 x 128


def new_array(path, shape, dtype=np.uint8):
    """A memory-mapped array whose space on the disk is really there.

    A file that grows only when it is touched would end the process with
    SIGBUS on a full disk, instead of an error that can be reported.
    """
    array = np.lib.format.open_memmap(path, "w+", dtype, shape)
    if hasattr(os, "posix_fallocate"):  # not on every system
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def let_go(*arrays):
    """Take the pages of memory-mapped arrays out of this process' memory.

    Files larger than memory are read that way. The system keeps the pages as
    long as it has room, and reading them again costs next to nothing.
    """
    for array in arrays:
        pages = array.base
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def in_turn(array, rows=None):
    """Rows of a memory-mapped array, of which few stay in memory.

    Args:
        array: memory-mapped, or any other.
        rows: their numbers; None: all.
    """
    for count, row in enumerate(range(len(array)) if rows is None else rows):
        if count % ROWS_AT_ONCE == 0:
            let_go(array)
        yield array[row]


def states(folder):
    """Size and time of change of the arrays: damage changes one of them."""
    states = {}
    for path in sorted(folder.glob("*.npy")):
        state = path.stat()
        states[path.name] = [state.st_size, state.st_mtime_ns]
    return states


def install(temporary, folder, opened):
    """Give a finished directory its name; another process may be faster.

    Args:
        temporary: the directory.
        folder: its name to be.
        opened: function of a directory that returns what lies there; None: it
            is not whole.
    """
    try:
        temporary.rename(folder)
    except OSError:
        dataset = opened(folder)
        if dataset is not None:
            return dataset
        damaged = Path(tempfile.mkdtemp(prefix=".", dir=folder.parent))
        folder.rename(damaged / "damaged")
        shutil.rmtree(damaged, ignore_errors=True)
        return install(temporary, folder, opened)
    return opened(folder)
