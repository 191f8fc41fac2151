"""The directory of a training, and the place of the finished model."""

import datetime
import json
import shutil
from pathlib import Path

from unet.files.atomic import replacing, write_text
from unet.files.errors import DataError
from unet.terminal.cli import SHIPPED, short_path
from unet.terminal.run_settings import read_settings


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
            f"{args.resume}: this run came to its end. Start a new one "
            "without --resume."
        )
    read_settings(settings, args)
    return args


def start_run(args):
    """The directory of a run: a new one, or the one to go on with.

    Args:
        args: with ``out`` and ``resume``; all options are written down.

    Raises:
        DataError: the directory exists and is not empty.
    """
    if args.resume:
        return args.resume
    now = datetime.datetime.now().astimezone()
    run = args.out or Path("runs") / f"{now:%Y-%m-%d_%H-%M-%S}"
    if run.exists() and any(run.iterdir()):
        begun = (run / "settings.json").exists()
        ended = (run / "summary.json").exists()
        other = f", or go on with --resume {short_path(run)}"
        raise DataError(
            f"{run}: expected a new or empty directory, found one that exists "
            f"and is in use. Give another --out{other * (begun and not ended)}."
        )
    run.mkdir(parents=True, exist_ok=True)
    settings = {
        name: str(value.resolve()) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in ("out", "resume", "quiet")
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


def publish(source, target, overwrite, name):
    """Copy a finished model to where test.py looks for it.

    Args:
        source: the run's model.
        target: the place; what lies there is kept beside it, unless
            ``overwrite``.
        name: of the run, for the old model's new name.
    """
    if target.exists() and not overwrite:
        old = target.with_name(f"{target.stem}.before-{name}{target.suffix}")
        shutil.copy2(target, old)
        print(f"  old model kept: {short_path(old)}")
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
    print(f"  model:   {short_path(target)}")
