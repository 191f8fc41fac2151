"""The options of an interrupted run, as its directory keeps them."""

import argparse
import json
from pathlib import Path

from unet.files.errors import DataError
from unet.terminal import training_options


class _Parser(argparse.ArgumentParser):
    """Raises what it refuses."""

    def error(self, message):
        raise DataError(message)


def read_settings(path, args):
    """Give options the values that a run's ``settings.json`` has.

    Those that decide about the weights must be words that a command line may
    have; all others are of the kind of their default.

    Args:
        path: the file.
        args: options with their defaults; changed.

    Raises:
        DataError: the file holds anything else.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise DataError(f"expected options, found {str(values)[:80]}")
        vars(args).update(_checked(values, args))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{path}: expected the settings of an interrupted run, found a "
            f"damaged file ({error}). Start a new run without --resume."
        ) from None


def _checked(values, args):
    """The values of options, each of its type."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    training_options.add(parser)
    known = vars(parser.parse_args([]))
    trained = {name: values[name] for name in values if name in known}
    words = training_options.words_of(argparse.Namespace(**trained), parser)
    found = vars(parser.parse_args(words))
    checked = {name: found[name] for name in trained}
    for name, value in values.items():
        if name not in known:
            checked[name] = _like(getattr(args, name, None), name, value)
    return checked


def _like(default, name, value):
    """A value of the type of a default: a path, or yes or no."""
    if isinstance(default, Path) and isinstance(value, str):
        return Path(value)
    if isinstance(default, bool) and isinstance(value, bool):
        return value
    raise DataError(f"{name} is {str(value)[:80]!r}")
