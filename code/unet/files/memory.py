"""What a process does with memory that was freed, where glibc is used."""

import ctypes
import os
import sys

_ARENAS, _THRESHOLD = "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"
_TRIM = "MALLOC_TRIM_THRESHOLD_"
# Numbers of malloc.h.
_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
_LARGE = 12 * 2**20  # bytes
# Bytes that are kept: with glibc's 128 KiB the system takes the memory of most
# arrays back, and clears it for the next one.
_KEPT = 32 * 2**20
# Freed memory is kept for the next array. The system clears each page that it
# gives, and many processes at once wait for each other there.
KEEPING = {
    _ARENAS: "1",
    _THRESHOLD: f"{2**30}",  # bytes
    _TRIM: f"{2**32}",
}


def return_freed_memory():
    """Let this process keep little of the memory that it has freed.

    Threads share one pool; else each has pools of its own, and does not use
    what others have freed. Large arrays go back to the system at once. Call it
    before there are threads. A user's own choice in the environment stays.
    """
    mallopt = _of_glibc("mallopt")
    if mallopt:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, _LARGE)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)


def trim_memory():
    """Return what lies free now, between arrays that are in use.

    It comes in pieces, and none of them may be large enough for the next array.
    A user's own choice in the environment stays, and so does ``KEEPING``.
    """
    malloc_trim = _of_glibc("malloc_trim")
    if malloc_trim:
        malloc_trim(0)


def _of_glibc(name):
    """A function of it; None where there is none, or others have chosen."""
    chosen = {_ARENAS, _THRESHOLD, _TRIM} & os.environ.keys()
    if sys.platform != "linux" or chosen:
        return None
    return getattr(ctypes.CDLL(None), name, None)
