"""What every script does alike: help, errors, progress, places.

The one module of the library that speaks to the terminal.
"""

import argparse
import errno
import os
import sys
from pathlib import Path

from tqdm import tqdm

from unet.folders import DataError

# The repository: the package is installed in editable mode (requirements.txt).
ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
MODEL = ROOT / "code" / "test" / "unet.keras"


class _Help(
    argparse.ArgumentDefaultsHelpFormatter,
    argparse.RawDescriptionHelpFormatter,
):
    """Show defaults where there is something to show; keep line breaks."""

    def _get_help_string(self, action):
        if action.default in (None, False, ()):
            return action.help
        return super()._get_help_string(action)


def new_parser(description, examples):
    """A parser whose help teaches.

    Args:
        description: "The result is ...".
        examples: commands that work on the repository's own data.
    """
    return argparse.ArgumentParser(
        description=description,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
        formatter_class=_Help,
    )


def number(kind, low, high=float("inf")):
    """An argparse type: an int or float from low to high, both included."""

    def parse(text):
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"expected a number from {low} to {high}, found {text}"
            )
        return value

    parse.__name__ = kind.__name__  # named in argparse's own error
    return parse


def progress_bar(quiet):
    """A function ``(iterable, total, title)`` that shows a progress bar."""

    def progress(iterable, total, title):
        return tqdm(iterable, total=total, desc=title, disable=quiet)

    return progress


def short_path(path):
    """A path as one would type it: relative to here if it lies below."""
    path = Path(path).resolve()
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def explain(error):
    """One line for an error that is the input's or the machine's fault.

    Returns:
        str, or None for an error of ours, which deserves its traceback.
    """
    if isinstance(error, DataError):
        return str(error)
    # HDF5 raises OSError without a number, its text holds "errno = 28".
    if isinstance(error, OSError):
        full = error.errno == errno.ENOSPC or "errno = 28" in str(error)
        reason = "no space left on the disk" if full else error.strerror
        reason = reason or str(error).splitlines()[0]
        advice = " Free some space and run again." if full else ""
        return f"{error.filename or 'file'}: {reason}.{advice}"
    return None


def one_line_errors():
    """From here on bad input ends in one line and exit code 2."""

    def hook(kind, error, trace):
        if isinstance(error, BrokenPipeError):
            # The reader (head, less) went away; Python would complain again
            # when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(0)
        if isinstance(error, KeyboardInterrupt):
            print("\nInterrupted.", file=sys.stderr)
            raise SystemExit(130)
        line = explain(error)
        if line is None:
            sys.__excepthook__(kind, error, trace)
            raise SystemExit(1)
        print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
        raise SystemExit(2)

    sys.excepthook = hook


def run(main):
    """Run a script's main function as a command."""
    one_line_errors()
    main()
