"""Files and directories that are written completely or not at all."""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from unet.files.errors import DataError
from unet.files.folders import CLASSES


@contextmanager
def replacing(path):
    """Write a file completely or not at all.

    Yields a temporary path in the same directory (so that renaming it is one
    step of the file system) with the same ending; it takes the real name when
    the block ends well and is removed when it does not.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(paths, overwrite):
    """Raise DataError if any of the files exists and may not be replaced."""
    existing = [path for path in map(Path, paths) if path.exists()]
    if existing and not overwrite:
        raise DataError(
            f"{existing[0]}: exists already ({len(existing)} of the results "
            "do). Give --overwrite to replace, or another place to write to."
        )


@contextmanager
def new_tree(out, inputs, overwrite):
    """Write a directory tree completely or not at all.

    Args:
        out: the directory to make.
        inputs: what is read; ``out`` may not be, contain or lie in it.
        overwrite: replace an existing ``out``, if it holds only what our
            scripts write.

    Yields:
        A temporary directory beside ``out`` that takes its name at the end.

    Raises:
        DataError: ``out`` exists, or replacing it would lose something.
    """
    out = Path(out).resolve()
    for source in map(Path, inputs):
        source = source.resolve()
        if out == source or out in source.parents or source in out.parents:
            raise DataError(
                f"{out}: the result may not lie in its input {source}, nor "
                "the other way round. Give another directory."
            )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        refuse_existing([out], overwrite)
        _refuse_foreign(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if out.exists():
            out.rename(old)
        temporary.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not out.exists():
            old.rename(out)


def _refuse_foreign(out):
    """Raise DataError if a directory holds what none of our scripts makes."""
    ours = {"images", "masks", "annotations"}
    for path in out.iterdir() if out.is_dir() else [out]:
        known = path.name in ours or path.name == CLASSES
        if (path / "images").is_dir():
            known = {child.name for child in path.iterdir()} <= ours
        if not known:
            raise DataError(
                f"{path}: was not made by this script and would be lost with "
                "--overwrite. Move it away, or write to another directory."
            )


def write_text(path, text):
    """Write a UTF-8 text file, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
