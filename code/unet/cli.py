"""What every script does alike: help, errors, progress, places.

The one module of the library that speaks to the terminal.
"""

import argparse
import datetime
import errno
import io
import json
import math
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path

import PIL.Image
from tqdm import tqdm

from unet.folders import (
    DataError,
    refuse_existing,
    replacing,
    write_text,
)

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

    def error(self, message):
        self.exit(2, f"{self.prog}: {message}. See --help.\n")


def new_parser(description, examples):
    """A parser whose help teaches.

    Args:
        description: "The result is ...".
        examples: commands that work on the repository's own data.
    """
    return _Parser(
        description=description,
        epilog="examples:\n" + "\n".join(f"  {line}" for line in examples),
        formatter_class=_Help,
    )


def add_sources(parser, formats):
    """Add images, annotations, and how they are read; see ``add_rules``."""
    parser.add_argument(
        "images",
        nargs="?",
        type=Path,
        default=DATA / "raw" / "images",
        help="directory of images, or one image",
    )
    parser.add_argument(
        "annotations",
        nargs="*",
        type=Path,
        default=[DATA / "raw" / "annotations"],
        help="files, or directories of files: the article's text (NAME.txt "
        "with [[x, y], ...], or lines NAME<tab or comma>[[x, y], ...]), "
        "labelme, COCO, VIA, CVAT and GeoJSON files, tables of polygons, or "
        "complete masks called like their images",
    )
    add_rules(parser, formats)


def add_rules(parser, formats):
    """Add what a user can say of images and annotations: see ``rules_of``.

    Args:
        parser: of ``new_parser``.
        formats: names of the formats that ``--format`` may give.
    """
    # With the geometry behind it slow to import.
    from unet.annotations import Limits

    group = parser.add_argument_group("how images and annotations are read")
    add = group.add_argument
    add(
        "--format",
        choices=formats,
        help="of the annotations, where their content does not tell",
    )
    add(
        "--attribute",
        metavar="NAME",
        help="attribute, property or column that holds the class",
    )
    add("--image-column", metavar="NAME", help="of a table: names the image")
    add(
        "--polygon-column",
        metavar="NAME",
        help="of a table: holds the polygon; two for x and y: X,Y",
    )
    add(
        "--colours",
        metavar="TABLE",
        help="classes of complete masks: 3C1098=building,6EC1E4=road, or a "
        "table with the columns class and colour, or CVAT's labelmap.txt",
    )
    add(
        "--threshold",
        type=number(float, 0, 1),
        help="of grey complete masks: share of white from which on a pixel is "
        "the object",
    )
    add_bands(group)
    limits = parser.add_argument_group("bounds beyond which input is refused")
    for option, name, what in (
        ("--max-file", "mebibytes", "MiB of an annotation file"),
        ("--max-unpacked", "unpacked", "MiB of a spreadsheet, uncompressed"),
        ("--max-pixels", "pixels", "pixels of an image or a mask"),
        ("--max-points", "points", "points of all polygons of a file"),
    ):
        limits.add_argument(
            option,
            dest=name,
            type=number(int, 1),
            metavar="N",
            default=getattr(Limits, name),
            help=what,
        )


def add_bands(parser):
    """Add ``--bands``: see ``unet.images.read_image``."""
    parser.add_argument(
        "--bands",
        type=_bands,
        metavar="R,G,B",
        help="of images with more than three bands: which to take, from 1",
    )


def _bands(text):
    """``3,2,1`` as a tuple of one or three numbers."""
    try:
        bands = tuple(int(part) for part in text.split(","))
    except ValueError:
        bands = ()
    if len(bands) not in (1, 3) or min(bands) < 1:
        raise argparse.ArgumentTypeError(
            f"expected three numbers from 1 on, such as 3,2,1, or one, found "
            f"{text}"
        )
    return bands


def rules_of(args, places=()):
    """What the options of ``add_rules`` say, as ``unet.annotations.Rules``.

    Args:
        args: the options.
        places: files and directories that were given.
    """
    from unet.annotations import Limits, Rules
    from unet.complete import parse_colours

    return Rules(
        attribute=args.attribute,
        image_column=args.image_column,
        polygon_column=args.polygon_column,
        colours=parse_colours(args.colours) if args.colours else None,
        threshold=args.threshold,
        bands=args.bands,
        directories=tuple(p if p.is_dir() else p.parent for p in places),
        limits=Limits(args.mebibytes, args.unpacked, args.pixels, args.points),
    )


def number(kind, low, high=math.inf):
    """An argparse type: an int or float from low to high, both included."""

    def parse(text):
        value = kind(text)
        if not low <= value <= high:
            limits = f"{low} to {high}" if high < math.inf else f"{low} or more"
            raise argparse.ArgumentTypeError(f"expected {limits}, found {text}")
        return value

    parse.__name__ = kind.__name__  # named in argparse's own error
    return parse


def progress_bar(quiet):
    """A function ``(iterable, total, title)`` that shows a progress bar."""

    def progress(iterable, total, title):
        # None: no bar where nobody watches, in a file or a pipe.
        hidden = True if quiet else None
        return tqdm(iterable, total=total, desc=title, disable=hidden)

    return progress


def tile_bar(quiet, total, title):
    """A bar with tiles a second and the time left: of ``tqdm``."""
    hidden = True if quiet else None
    return tqdm(
        total=total, desc=title, unit=" tiles", smoothing=0, disable=hidden
    )


def short_path(path):
    """A path as one would type it here: the shorter of its two forms."""
    path = Path(path).resolve()
    return min(str(path), os.path.relpath(path), key=len)


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
        return f"{error.filename or 'file'}: {reason}."
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
            print(f"\nInterrupted. {error}".rstrip(), file=sys.stderr)
            raise SystemExit(130)
        line = explain(error)
        if line is None:
            sys.__excepthook__(kind, error, trace)
            raise SystemExit(1)
        print(f"{Path(sys.argv[0]).name}: {line}", file=sys.stderr)
        raise SystemExit(2)

    sys.excepthook = hook


@contextmanager
def when_interrupted(advice):
    """What to tell a user who presses Ctrl-C in here."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(advice) from None


def run(main):
    """Run a script's main function as a command."""
    one_line_errors()
    main()


def in_notebook():
    """Whether a script is being stepped through as a notebook."""
    return "ipykernel" in sys.modules


def as_jpeg(path):
    """A picture as JPEG bytes: a notebook of PNGs would be large."""
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


def resumed(args):
    """The options that an interrupted run had.

    Raises:
        DataError: there is nothing to go on with.
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
    for name, value in json.loads(settings.read_text()).items():
        is_path = isinstance(getattr(args, name), Path)
        setattr(args, name, Path(value) if is_path else value)
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
        refuse_existing([run], overwrite=False)
    run.mkdir(parents=True, exist_ok=True)
    settings = {
        name: str(value.resolve()) if isinstance(value, Path) else value
        for name, value in vars(args).items()
        if name not in ("out", "resume", "quiet")
    }
    write_text(run / "settings.json", json.dumps(settings, indent=2) + "\n")
    return run


def find_sides(root):
    """The training and the test directory of a data directory.

    Returns:
        (train, test); test is None where there is none. A directory without
        train/ is training data itself.
    """
    train, test = root / "train", root / "test"
    if not train.is_dir():
        return root, None
    return train, test if test.is_dir() else None


def recorded_groups(root):
    """The table of groups that split.py wrote beside train/, or None."""
    path = root / "split.csv"
    return path if path.exists() else None


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
