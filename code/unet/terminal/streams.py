"""Standard streams that last: a script works on, whoever listens."""

import errno
import io
import os
import sys
import warnings
from pathlib import Path

from unet.files.errors import Notice

# A pipe without a reader, a terminal that is gone.
_NOBODY_READS = (errno.EPIPE, errno.EIO)


class _Lasting(io.FileIO):
    """A file that takes what nobody reads any more (``| head -1``)."""

    def write(self, data):
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise
            return len(data)


def keep_streams():
    """Make the standard streams take all that is written, to the end.

    One that was closed leads nowhere: its number would be given to the next
    file that is opened, and libraries would write their lines into it. What
    no encoding of the terminal can show is shown as an escape.
    """
    for number, name, mode in (
        (0, "stdin", os.O_RDONLY),
        (1, "stdout", os.O_WRONLY),
        (2, "stderr", os.O_WRONLY),
    ):
        stream = getattr(sys, name)
        if stream is None:
            _open_nowhere(number, mode)
        if number and stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _lasting(number, stream))


def _open_nowhere(number, mode):
    """Give the number of a closed stream to the file of nothing."""
    nowhere = os.open(os.devnull, mode)
    if nowhere != number:
        os.dup2(nowhere, number)
        os.close(nowhere)


def _lasting(number, stream):
    file = _Lasting(number, "w", closefd=False)
    at_once = stream is not None and stream.write_through  # python -u
    return io.TextIOWrapper(
        file if at_once else io.BufferedWriter(file),
        stream.encoding if stream else "utf-8",
        "backslashreplace",
        line_buffering=number == 2 or bool(stream and stream.line_buffering),
        write_through=at_once,
    )


def show_notices_in_one_line():
    """Print a ``Notice`` like an error: who says it, and what."""
    usual = warnings.formatwarning

    def line(message, category, *where, **more):
        if issubclass(category, Notice):
            return f"{Path(sys.argv[0]).name}: {message}.\n"
        return usual(message, category, *where, **more)

    warnings.formatwarning = line
