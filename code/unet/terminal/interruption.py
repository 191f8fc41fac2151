"""Ctrl-C and SIGTERM: one line, and an exit code that says which."""

import signal
import sys


class Terminated(KeyboardInterrupt):
    """SIGTERM: what a batch system or a container sends to end a process.

    It ends as Ctrl-C does, so that everything is cleaned up.
    """


def say_in_one_line():
    """From here on Ctrl-C leaves no traceback."""
    former = sys.excepthook

    def hook(kind, error, trace):
        if issubclass(kind, KeyboardInterrupt):
            end(error)
        former(kind, error, trace)

    sys.excepthook = hook


def end(error):
    """Say that it was interrupted, and leave: a ``SystemExit`` is raised."""
    terminated = isinstance(error, Terminated)
    word = "Terminated" if terminated else "Interrupted"
    print(f"\n{word}. {error}".rstrip(), file=sys.stderr)
    raise SystemExit(143 if terminated else 130)


def heed_termination():
    """Let SIGTERM raise ``Terminated`` in the main thread."""

    def terminate(number, frame):
        # Another one while things are cleaned up must not stop that.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
