"""Names that come from files: which are allowed, and how they are shown."""

import os
import unicodedata
from pathlib import Path

from unet.files.errors import JOINERS, DataError

MOST_CHARACTERS = 100  # of a class's name
# What a file system takes, less what names need while they are written.
MOST_BYTES = 255 - 25


def same(name):
    """The form of a name by which it is compared.

    An accent may be a character of its own (NFD, as macOS writes it) or part
    of its letter (NFC).
    """
    return unicodedata.normalize("NFC", name)


def is_class_name(name):
    """Whether a class may be called so: a part of many files' names."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= MOST_CHARACTERS
        and name == name.strip()
        and not name.startswith(".")
        and not set(name) & set("/\\")
        and name.translate(JOINERS).isprintable()
    )


CLASS_NAME = (
    f"1 to {MOST_CHARACTERS} printed characters, without / and \\ and no dot "
    "in front"
)


def check_class_names(names, place):
    """Raise DataError for a class that cannot be called so.

    Args:
        names: of classes.
        place: the file or directory that they come from.
    """
    for name in names:
        if not is_class_name(name):
            raise DataError(
                f"{place}: expected names of classes of {CLASS_NAME}, found "
                f"{name[:MOST_CHARACTERS]!r}. Rename the class."
            )


def check_results(directory, paths):
    """Raise DataError for a result that cannot have its name.

    It would not lie in its directory, or no file system takes the name.
    """
    # A link in its place is replaced, not followed.
    directory = os.path.normpath(Path(directory).absolute())
    for path in paths:
        place = os.path.normpath(Path(path).absolute())
        if Path(directory) not in Path(place).parents:
            raise DataError(
                f"{path}: expected results in {directory}, found one beyond. "
                "Rename the image or the class that it is called after."
            )
        length = len(os.fsencode(Path(place).name))
        if length > MOST_BYTES:
            raise DataError(
                f"{path}: expected a result's name of at most {MOST_BYTES} "
                f"bytes, found {length}. Give the image a shorter name."
            )
