"""One process at a time writes to a place, and knows what was left undone."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path

from unet.files.atomic import missing_directories, refuse_existing
from unet.files.leftovers import remove_leftovers
from unet.files.locks import locked

# In a directory of results, while they are written: their names.
UNFINISHED = ".unfinished"


@contextmanager
def claim(out, files, overwrite):
    """Have a directory of results until all of them are written.

    Results that a killed or interrupted process has begun do not count as
    existing: the same command may write them again.

    Args:
        out: the directory; made if absent, and removed again if nothing is
            written.
        files: all that will be written, in it or below it.
        overwrite: replace what is there.

    Raises:
        DataError: another process writes there, or a file exists that may not
            be replaced.
    """
    out, files = Path(out), [Path(file) for file in files]
    made = missing_directories(out)
    out.mkdir(parents=True, exist_ok=True)
    journal = out / UNFINISHED
    names = {file: os.path.relpath(file, out) for file in files}
    try:
        with locked(journal, out) as lock:
            begun = filter(None, lock.read().split("\0"))
            ours = {name for name in begun if (out / name).exists()}
            others = ours - set(names.values())
            known = [file for file in files if names[file] in ours]
            new = [file for file in files if names[file] not in ours]
            try:
                refuse_existing(new, overwrite)
                remove_leftovers(files)
                # What is replaced on purpose stays protected.
                known += [file for file in new if not file.exists()]
                _write(lock, [names[file] for file in known], others)
                yield
                known = []
            finally:
                undone = [names[file] for file in known if file.exists()]
                _write(lock, undone, others)
                if not (undone or others):
                    journal.unlink()
    finally:
        for directory in made:
            with suppress(OSError):  # not empty
                directory.rmdir()


def _write(lock, *names):
    """Replace what the journal holds."""
    lock.seek(0)
    lock.truncate()
    lock.write("\0".join(sorted(set().union(*names))))
    lock.flush()
