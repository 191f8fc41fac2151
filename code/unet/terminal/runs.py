"""The directory of a training, and the place of the finished model."""

import atexit
import datetime
import json
import shlex
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from unet.files.atomic import replacing, write_text
from unet.files.errors import DataError
from unet.files.leftovers import remove_leftovers
from unet.files.locks import sole_writer
from unet.terminal import device_options
from unet.terminal.cli import SHIPPED, short_path
from unet.terminal.run_settings import read_settings

# Of the article's network, of 16 filters and 4 levels, in a file.
_BYTES = 8e6
# What an interrupted run may have begun to write.
_FILES = (
    *("unet.keras", "log.csv", "state.weights.h5", "summary.json"),
    *("samples.png", "augmented.png", "curves.png", "predictions.png"),
    *("reliability.png", "features.png"),
)


def resumed(args):
    """The options that an interrupted run had.

    Raises:
        DataError: there is nothing to go on with, or it is damaged.
    """
    settings = args.resume / "settings.json"
    if not settings.exists():
        raise DataError(
            f"{settings}: expected the settings of an interrupted run, found "
            "nothing. Give a directory below runs/."
        )
    if (args.resume / "summary.json").exists():
        raise DataError(
            f"{args.resume}: this run came to its end, with the model "
            f"{short_path(args.resume / 'unet.keras')}. Start a new one "
            "without --resume."
        )
    read_settings(settings, args)
    return args


def start_run(args):
    """The directory of a run: a new one, or the one to go on with.

    Args:
        args: with ``out`` and ``resume``; all options are written down.

    Raises:
        DataError: the directory exists and is not empty, another process
            has it, or the model could not be written in the end.
    """
    if not args.dry_run:
        check_place(args.model, args.filters, args.depth)
        remove_leftovers([args.model])
    if args.resume:
        _hold(args.resume)
        remove_leftovers(args.resume / name for name in _FILES)
        return args.resume
    now = datetime.datetime.now().astimezone()
    run = args.out or Path("runs") / f"{now:%Y-%m-%d_%H-%M-%S}"
    if run.exists() and any(path.name[0] != "." for path in run.iterdir()):
        begun = (run / "settings.json").exists()
        ended = (run / "summary.json").exists()
        other = f", or go on with --resume {short_path(run)}"
        raise DataError(
            f"{run}: expected a new or empty directory, found one that exists "
            f"and is in use. Give another --out{other * (begun and not ended)}."
        )
    _hold(run)
    settings = {
        name: str(value.resolve()) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in ("out", "resume", "quiet", *device_options.NAMES)
    }
    write_text(run / "settings.json", json.dumps(settings, indent=2) + "\n")
    return run


def refuse_shipped(model):
    """Raise DataError if a training would replace the model that ships."""
    if model.resolve() == SHIPPED.resolve():
        raise DataError(
            f"{model}: this is the model that comes with the project, which "
            "no training replaces. Give another --model."
        )


def _hold(run):
    """Have the directory of a run until this process ends."""
    held = ExitStack()
    held.enter_context(sole_writer(run))
    atexit.register(held.close)


def check_place(model, filters, depth):
    """Look, before hours are spent, whether a model can be written there.

    Args:
        model: the file.
        filters, depth: of the network, which decide about its size.

    Raises:
        DataError: it has another ending, or the place is not writable or
            full.
    """
    if model.suffix != ".keras":
        raise DataError(
            f"{model}: expected a name that ends in .keras for the model, "
            f"without which nothing can load it. Give --model {model}.keras."
        )
    if model.is_dir():
        raise DataError(
            f"{model}: expected a file for the model, found a directory. Give "
            "another --model."
        )
    try:
        model.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=model.parent):
            free = shutil.disk_usage(model.parent).free
    except OSError as error:
        raise DataError(
            f"{model}: the model could not be written there "
            f"({error.strerror}). Give another --model."
        ) from None
    needed = _BYTES * (filters / 16) ** 2 * 4 ** (depth - 4)
    if free < needed:
        raise DataError(
            f"{model}: expected room for a model of about "
            f"{needed / 1e6:.0f} MB, found {free / 1e6:.0f} MB. Free some, or "
            "give another --model."
        )


def publish(source, target, overwrite, name):
    """Copy a finished model to where test.py looks for it.

    Args:
        source: the run's model.
        target: the place; what lies there is kept beside it, unless
            ``overwrite``.
        name: of the run, for the old model's new name.

    Raises:
        DataError: the place cannot be written to.
    """
    try:
        _copy(source, target, overwrite, name)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{target}: the model could not be copied there ({reason}). "
            f"{short_path(source)} is whole. Copy it: cp "
            f"{shlex.quote(short_path(source))} {shlex.quote(str(target))}"
        ) from None
    print(f"  model:   {short_path(target)}")


def _copy(source, target, overwrite, name):
    if target.exists() and not overwrite:
        old = target.with_name(f"{target.stem}.before-{name}{target.suffix}")
        shutil.copy2(target, old)
        print(f"  old model kept: {short_path(old)}")
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
