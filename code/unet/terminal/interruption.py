"""Ctrl-C and SIGTERM: one line, and an exit code that says which."""

import _thread
import signal
import sys
import threading


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


def heed():
    """Let SIGTERM end the program as Ctrl-C does, and lose neither."""
    _heed_termination()
    _repeat_what_is_lost()


def _repeat_what_is_lost():
    """Repeat an interruption that a garbage collection or ``__del__`` swallows.

    Python prints a traceback and goes on when an error comes out of them.
    """
    former = sys.unraisablehook

    def hook(ignored):
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            return former(ignored)
        number = signal.SIGINT
        if issubclass(ignored.exc_type, Terminated):
            number = signal.SIGTERM
            _heed_termination()
        again = threading.Timer(0.05, _thread.interrupt_main, [number])
        again.start()

    sys.unraisablehook = hook


def _heed_termination():
    """Let SIGTERM raise ``Terminated`` in the main thread."""

    def terminate(number, frame):
        # Another one while things are cleaned up must not stop that.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
