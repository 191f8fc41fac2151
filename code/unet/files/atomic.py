"""Files and directories that are written completely or not at all."""

import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from unet.files.errors import DataError
from unet.files.folders import CLASSES
from unet.files.leftovers import left_by_dead, temporary_name
from unet.files.locks import locked


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
        DataError: ``out`` exists, another process makes it, or replacing it
            would lose something.
    """
    out = Path(out).resolve()
    stage = out.with_name(temporary_name(out.name))
    with _new(_Change(out.parent, out.name, {out: stage}), inputs, overwrite):
        yield stage


@contextmanager
def new_entries(directory, names, inputs, overwrite, known=()):
    """Write several entries of a directory, all of them or none.

    No moment, not even of a kill, shows new ones beside old ones: the first
    goes before the others go and comes when the others are there, and without
    it nothing is read. A process that is killed while the entries change
    places leaves that to the next one, which completes it or takes it back.

    Args:
        directory: where they lie; its other entries stay.
        names: what may be written; the first is always.
        inputs, overwrite: as of ``new_tree``, of each.
        known: names in a directory of ours, beside those of folders.

    Yields:
        A temporary directory to write them to. What is not written there and
        exists from before is removed.

    Raises:
        DataError: as of ``new_tree``.
    """
    directory = Path(directory).resolve()
    stage = directory / temporary_name(names[0])
    entries = {directory / name: stage / name for name in names}
    change = _Change(directory, names[0], entries)
    with _new(change, inputs, overwrite, known):
        yield stage


@dataclass(frozen=True)
class _Change:
    """Entries of a directory that get new contents.

    Attributes:
        directory: where they lie.
        name: of the first of them.
        entries: dict from each one's path to that of its new contents.
    """

    directory: Path
    name: str
    entries: dict[Path, Path]

    def hidden(self, ending, process=None):
        """Where a process keeps something: see ``settle``."""
        return self.directory / temporary_name(self.name, ending, process)

    def make(self):
        """Let the new contents take the place of the old ones."""
        old = self.hidden("old")
        old.mkdir()
        for path in self.entries:
            if path.exists():
                path.rename(old / path.name)
        # From here on there is no way back.
        old.rename(self.hidden("gone"))
        self.settle(os.getpid())

    def settle(self, process):
        """Complete what a process has begun, or take it back.

        Args:
            process: this one, or one that was killed; its new contents lie in
                ``.NAME.PROCESS.tmp``, the old ones in ``.NAME.PROCESS.old``
                while they go, and in ``.NAME.PROCESS.gone`` while the new
                ones come.
        """
        stage, old, gone = (
            self.hidden(ending, process) for ending in ("tmp", "old", "gone")
        )
        for path in reversed(self.entries):
            new = self.entries[path]
            new = stage / new.relative_to(self.hidden("tmp"))
            if gone.exists() and new.exists():
                new.rename(path)
            elif (old / path.name).exists():
                (old / path.name).rename(path)
        shutil.rmtree(stage, ignore_errors=True)
        shutil.rmtree(gone, ignore_errors=True)
        if old.exists():
            old.rmdir()

    def settle_all(self):
        """Do so for all processes that are gone."""
        for ending in ("tmp", "old", "gone"):
            for process in left_by_dead(self.directory, self.name, ending):
                self.settle(process)


@contextmanager
def _new(change, inputs, overwrite, known=()):
    for path in change.entries:
        _refuse_inputs(path, inputs)
    made = missing_directories(change.directory)
    change.directory.mkdir(parents=True, exist_ok=True)
    lock = change.directory / f".{change.name}.lock"
    first = change.directory / change.name
    try:
        with locked(lock, first):
            try:
                change.settle_all()
                for path in filter(_holds_something, change.entries):
                    refuse_existing([path], overwrite)
                    files = len(change.entries) > 1
                    _refuse_foreign(path, files, known)
                change.hidden("tmp").mkdir()
                yield
                change.make()
            finally:
                change.settle(os.getpid())
                lock.unlink()
    finally:
        for directory in made:
            with suppress(OSError):  # not empty
                directory.rmdir()


def missing_directories(path):
    """The directories that making one makes, the innermost first."""
    return [place for place in (path, *path.parents) if not place.exists()]


def _refuse_inputs(out, inputs):
    """Raise DataError if a result lies in its input, or the other way."""
    for source in map(Path, inputs):
        source = source.resolve()
        if out == source or out in source.parents or source in out.parents:
            raise DataError(
                f"{out}: the result may not lie in its input {source}, nor "
                "the other way round. Give another directory."
            )


def _holds_something(path):
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def _refuse_foreign(out, files, known):
    """Raise DataError if a directory holds what none of our scripts makes.

    Args:
        out: the directory.
        files: whether it may be a file as well.
        known: names that are ours too.
    """
    ours = {"images", "masks", "annotations", *known}
    if files and out.is_file():
        return
    for path in out.iterdir() if out.is_dir() else [out]:
        is_ours = path.name in ours or path.name == CLASSES
        if (path / "images").is_dir():
            is_ours = {child.name for child in path.iterdir()} <= ours
        if not is_ours:
            raise DataError(
                f"{path}: was not made by this script and would be lost with "
                "--overwrite. Move it away, or write to another directory."
            )


def write_text(path, text):
    """Write a UTF-8 text file, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
