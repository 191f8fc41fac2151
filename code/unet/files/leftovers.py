"""What processes leave behind that were killed while they wrote."""

import os
import re
from pathlib import Path

import psutil


def temporary_name(name, ending="tmp", process=None):
    """What a process, this one, calls something until it is whole."""
    return f".{name}.{process or os.getpid()}.{ending}"


def _is_gone(process):
    """Whether what has that number is left from a process that is dead."""
    if process == os.getpid():
        return True  # in a container all have the same few numbers
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.AccessDenied:
        return False


def left_by_dead(directory, name, ending="tmp"):
    """Which dead processes have left a ``temporary_name``.

    Call it before this process makes one: whatever has its number is old.

    Returns:
        The processes' numbers.
    """
    pattern = re.compile(rf"\.{re.escape(name)}\.(\d+)\.{ending}")
    matches = (pattern.fullmatch(path.name) for path in directory.iterdir())
    return [int(m[1]) for m in matches if m and _is_gone(int(m[1]))]


def remove_leftovers(paths):
    """Remove what dead processes wrote that was to become one of the files.

    Args:
        paths: the files; see ``unet.files.atomic.replacing``.
    """
    names = {}
    for path in map(Path, paths):
        # SQLite, and so a GeoPackage, has a file beside its file.
        names.setdefault(path.parent, set()).update(
            (path.name, f"{path.name}-journal")
        )
    for directory, wanted in names.items():
        for path in directory.glob(".*"):
            match = re.fullmatch(r"\.(\d+)\.(.+)", path.name)
            if match and match[2] in wanted and _is_gone(int(match[1])):
                path.unlink(missing_ok=True)
