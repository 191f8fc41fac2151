"""What every script does alike: help, errors, progress."""

import argparse
import errno
import io
import math
import os
import shutil
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

from unet.files.errors import DataError, printable
from unet.terminal import interruption
from unet.terminal.streams import keep_streams, show_notices_in_one_line

# The repository: the package is installed in editable mode (requirements.txt).
ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT / "data"
# What a training writes, and what comes with the project.
MODEL = ROOT / "code" / "test" / "unet.keras"
SHIPPED = ROOT / "code" / "test" / "buildings.keras"


# A scene of more windows has a progress bar of its own.
_MANY_WINDOWS = 16


class _Help(
    argparse.ArgumentDefaultsHelpFormatter,
    argparse.RawDescriptionHelpFormatter,
):
    """Show defaults where there is something to show; keep line breaks."""

    def _get_help_string(self, action):
        if action.default is None or action.default is False:
            return action.help
        paths = action.default
        paths = paths if isinstance(paths, list) else [paths]
        if all(isinstance(path, Path) for path in paths):
            names = " ".join(map(short_path, paths)).replace("%", "%%")
            return f"{action.help} (default: {names})"
        return super()._get_help_string(action)


class _Parser(argparse.ArgumentParser):
    """Tell what is wrong in one line; the options are one --help away."""

    def format_help(self):
        """Named groups come before --help and --quiet."""
        self._action_groups.sort(key=lambda group: group is self._optionals)
        return super().format_help()

    def error(self, message):
        self.exit(2, f"{self.prog}: {printable(message)}. See --help.\n")


def new_parser(description, examples):
    """A parser whose help teaches.

    Args:
        description: "The result is ...".
        examples: commands that work on the repository's own data.
    """
    width = shutil.get_terminal_size().columns - 2
    return _Parser(
        description=textwrap.fill(description, width),
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
        formatter_class=_Help,
    )


def number(type_, low, high=math.inf):
    """An argparse type: an int or float from low to high, both included."""

    def parse(text):
        value = type_(text)
        if not low <= value <= high:
            limits = f"{low} to {high}" if high < math.inf else f"{low} or more"
            raise argparse.ArgumentTypeError(f"expected {limits}, found {text}")
        return value

    parse.__name__ = type_.__name__  # named in argparse's own error
    return parse


def default_model():
    """The model of the last training here, else the one that ships."""
    return MODEL if MODEL.exists() else SHIPPED


def progress_bar(quiet):
    """A function ``(iterable, total, title)`` that shows a progress bar."""
    from tqdm import tqdm  # no --help needs it

    def progress(iterable, total, title):
        # None: no bar where nobody watches, in a file or a pipe.
        hidden = True if quiet else None
        return tqdm(iterable, total=total, desc=title, disable=hidden)

    return progress


class PredictionBars:
    """One bar for each large scene, in windows, and one for all other images.

    It is the ``watch`` of ``unet.prediction.run.run``; a context manager.

    Args:
        quiet: show nothing.
        sources: list of ``unet.prediction.stream.Source``.
    """

    def __init__(self, quiet, sources):
        self._hidden = True if quiet else None
        self._images = sum(not self._is_large(source) for source in sources)
        self._title = self._bar = None
        self._windows = 0  # finished, of the present image

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    @staticmethod
    def _is_large(source):
        return source.streams or source.windows > _MANY_WINDOWS

    def begin(self, source):
        """Show the bar of a source, unless it is there."""
        large = self._is_large(source)
        title = source.name if large else "Predicting"
        if title != self._title:
            self.__exit__()
            self._title = title
            shown = printable(title)
            self._bar = self._new_bar(shown, source.windows if large else None)

    def restart(self):
        """Do not count as slow what the bar has waited until now."""
        if self._bar is not None:
            self._bar.unpause()

    def __call__(self, source, windows, seconds):
        """Count windows of a source that are finished."""
        self.begin(source)
        if self._is_large(source):
            # Finished in an earlier call: it says nothing of the speed.
            if not (seconds or self._bar.disable):
                self._bar.initial += windows
            self._bar.update(windows)
            return
        self._windows += windows
        if self._windows >= source.windows:
            self._windows = 0
            self._bar.update(1)

    def _new_bar(self, title, windows):
        """A bar in windows of a scene; None: in images."""
        from tqdm import tqdm  # slow to import

        if windows is None:
            return tqdm(total=self._images, desc=title, disable=self._hidden)
        return tqdm(
            total=windows,
            desc=title,
            unit=" windows",
            smoothing=0,
            disable=self._hidden,
        )


def end_with(refused, code=2):
    """Tell what was left out, if anything was.

    Args:
        refused: sentences that name a file and what is wrong with it.
        code: with which the script ends then.
    """
    for sentence in refused:
        print(f"  refused: {sentence}", file=sys.stderr)
    if refused:
        raise SystemExit(code)


def short_path(path):
    """A path as one would type it here: the shorter of its two forms.

    Control characters are escaped.
    """
    path = Path(path).resolve()
    return printable(min(str(path), os.path.relpath(path), key=len))


def explain(error):
    """One line for an error that is the input's or the machine's fault.

    Returns:
        str, or None for an error of ours, which deserves its traceback.
    """
    if isinstance(error, DataError):
        return str(error)
    if isinstance(error, OSError):
        # HDF5 and shutil raise OSError without a number, but with a text.
        texts = ("errno = 28", f"[Errno {errno.ENOSPC}]")
        if any(text in str(error) for text in texts):
            return "no space left on the disk. Free some and run again."
        reason = error.strerror or str(error).splitlines()[0]
        return printable(f"{error.filename or 'file'}: {reason}.")
    return None


def one_line_errors():
    """From here on bad input ends in one line and exit code 2.

    SIGTERM ends like Ctrl-C, with exit code 143.

    Scripts call it first of all. Then they read their options, and import what
    takes time only behind: ``--help`` and a wrong option are answered at once.
    A reader who goes away (head, less) stops nothing, nor does a stream that
    is closed.
    """
    keep_streams()
    show_notices_in_one_line()

    def hook(kind, error, trace):
        if isinstance(error, KeyboardInterrupt):
            interruption.end(error)
        line = explain(error)
        if line is None:
            sys.__excepthook__(kind, error, trace)
            raise SystemExit(1)
        print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
        raise SystemExit(2)

    sys.excepthook = hook
    interruption.heed()


@contextmanager
def when_interrupted(advice):
    """What to tell a user who presses Ctrl-C in here."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise type(error)(advice) from None


def in_notebook():
    """Whether a script is being stepped through as a notebook."""
    return "ipykernel" in sys.modules


def as_jpeg(path):
    """A picture as JPEG bytes: a notebook of PNGs would be large."""
    import PIL.Image

    buffer = io.BytesIO()
    with PIL.Image.open(path) as picture:
        picture.convert("RGB").save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def show(path):
    """Show a picture in a notebook, name its file in a shell."""
    if in_notebook():
        from IPython.display import Image, display

        display(Image(data=as_jpeg(path)))
    else:
        print(f"  picture: {short_path(path)}")


def verbosity(quiet):
    """Keras' ``verbose``: a live bar only where somebody watches."""
    if quiet:
        return 0
    return 1 if sys.stdout.isatty() else 2
