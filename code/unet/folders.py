"""The ``Folder_n`` tree, and files that are never half written.

A sample is a directory ``NAME`` with ``images/NAME.<ext>`` (one image) and
``masks/`` (any number of files, each an instance). No ``masks/`` means
unlabelled; an empty ``masks/`` means "looked at, nothing there".
"""

import os
import re
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

IMAGE_ENDINGS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"),
    *(".jp2", ".avif", ".gif", ".hdr", ".img", ".pbm", ".pgm", ".ppm", ".pnm"),
)

# The class of masks that lie directly in masks/, as in the article. Masks in
# masks/<class>/ carry their class in the folder's name.
DEFAULT_CLASS = "building"
BACKGROUND = "background"
# Beside the folders, or beside train/ and test/: the classes in their order.
CLASSES = "classes.txt"


class DataError(ValueError):
    """Bad input. The message is the one line that the user reads."""

    def __init__(self, message):
        # It quotes names from files, which may hold any sign.
        super().__init__(" ".join(message.split()))


@dataclass(frozen=True)
class Sample:
    """One image with its instance masks.

    Attributes:
        name: the directory's name.
        image: the image file.
        masks: mask files per class, or None when nobody has labelled the
            image. A labelled image without an object has ``{}``.
    """

    name: str
    image: Path
    masks: dict[str, list[Path]] | None


def natural(text):
    """Sort key that puts ``Folder_2`` before ``Folder_10``."""
    return [
        int(part) if part.isdecimal() else part.lower()
        for part in re.split(r"(\d+)", str(text))
    ]


def list_images(directory):
    """Image files of a directory, naturally sorted; hidden files left out."""
    return sorted(
        (
            path
            for path in Path(directory).iterdir()
            if path.suffix.lower() in IMAGE_ENDINGS
            and not path.name.startswith(".")
            and path.is_file()
        ),
        key=lambda path: natural(path.name),
    )


def read_sample(directory):
    """Read one sample's file names.

    Args:
        directory: a directory with ``images/`` and perhaps ``masks/``.

    Returns:
        A ``Sample``.

    Raises:
        DataError: not exactly one image, or masks both in ``masks/`` and in
            class folders below it.
    """
    directory = Path(directory)
    place = directory / "images"
    images = list_images(place) if place.is_dir() else []
    if len(images) != 1:
        found = ", ".join(path.name for path in images) or "none"
        raise DataError(
            f"{place}: expected exactly one image "
            f"({' '.join(IMAGE_ENDINGS)}), found {found}. "
            "Keep one image in each folder."
        )
    return Sample(directory.name, images[0], _read_masks(directory / "masks"))


def _read_masks(directory):
    if not directory.is_dir():
        return None
    direct = list_images(directory)
    classes = sorted(
        path
        for path in directory.iterdir()
        if path.is_dir() and not path.name.startswith(".")
    )
    if direct and classes:
        raise DataError(
            f"{directory}: expected masks either directly in it or in one "
            f"folder per class, found both ({direct[0].name} and "
            f"{classes[0].name}/). Move the loose masks into a class folder."
        )
    if direct:
        return {DEFAULT_CLASS: direct}
    return {path.name: list_images(path) for path in classes}


def find_samples(root):
    """All samples below a directory, naturally sorted by name.

    Args:
        root: a directory of samples, or one sample's own directory.

    Returns:
        A list of ``Sample``, at least one.

    Raises:
        DataError: the directory is missing or holds no sample.
    """
    root = Path(root)
    if not root.is_dir():
        raise DataError(
            f"{root}: expected a directory of Folder_n folders, found "
            f"{'a file' if root.exists() else 'nothing'}. "
            "Check the path, or prepare data with code/util."
        )
    if (root / "images").is_dir():
        return [read_sample(root.resolve())]
    directories = sorted(
        (
            path
            for path in root.iterdir()
            if (path / "images").is_dir() or (path / "masks").is_dir()
        ),
        key=lambda path: natural(path.name),
    )
    if not directories:
        raise DataError(
            f"{root}: expected folders like {root.name}/Folder_1/images/"
            "Folder_1.png, found none. Make them with "
            "code/util/polygon_to_mask.py and code/util/split.py."
        )
    return [read_sample(path) for path in directories]


def class_names(samples):
    """Foreground class names of labelled samples.

    They come in the order of ``classes.txt``, beside the samples or one
    directory above; without it, and behind it, sorted. Where no sample has
    any mask the article's single class is meant.
    """
    names = {name for s in samples for name in s.masks or {}}
    order = class_order(samples[0].image.parents[2]) if samples else []
    known = [name for name in order if name in names]
    return known + sorted(names - set(known)) or [DEFAULT_CLASS]


def class_folder(name):
    """A class's name as a directory's name."""
    return re.sub(r"[^\w .+#-]", "_", name)[:60].strip(". ") or "_"


def class_order(root):
    """The lines of ``classes.txt`` in a directory or the one above, or []."""
    for place in (Path(root), Path(root).resolve().parent):
        if (place / CLASSES).is_file():
            text = (place / CLASSES).read_text(encoding="utf-8-sig")
            return [line.strip() for line in text.splitlines() if line.strip()]
    return []


def group_names(names, rule=None):
    """The group of every sample: what must stay on one side of a split.

    Args:
        names: sample names.
        rule: None (every sample is its own group), a CSV file with the
            columns ``name`` and ``group`` (or ``area``), or a regular
            expression searched in each name: its first bracket is the group,
            without brackets the whole match.

    Returns:
        One string per name.

    Raises:
        DataError: the rule is neither, or gives a name no group.
    """
    if rule is None:
        return list(names)
    if str(rule).lower().endswith(".csv"):
        table = read_table(rule, ["name"])
        column = "group" if "group" in table else "area"
        if column not in table:
            raise DataError(
                f"{rule}: expected a column 'group' (or 'area'), found "
                f"{', '.join(table.columns)}."
            )
        groups = dict(zip(table["name"], table[column], strict=True))
        missing = [name for name in names if name not in groups]
    else:
        try:
            pattern = re.compile(rule)
        except re.error as error:
            raise DataError(
                f"{rule!r}: expected a regular expression or a CSV file "
                f"for the groups: {error}."
            ) from None
        found = {name: pattern.search(name) for name in names}
        groups = {
            name: match and match.group(1 if pattern.groups else 0)
            for name, match in found.items()
        }
        missing = [name for name, group in groups.items() if group is None]
    if missing:
        raise DataError(
            f"{rule}: gives no group to {len(missing)} of {len(names)} "
            f"samples, the first is {missing[0]}."
        )
    return [groups[name] for name in names]


def read_table(path, columns):
    """Read a CSV file as text columns.

    Returns:
        A ``pandas.DataFrame`` of str.

    Raises:
        DataError: it cannot be read or lacks one of ``columns``.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(f"{path}: expected a CSV file: {reason}.") from None
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(
            f"{path}: expected the columns {', '.join(columns)}, found "
            f"{', '.join(table.columns)}."
        )
    return table


@contextmanager
def replacing(path):
    """Write a file completely or not at all.

    Yields a temporary path in the same directory (so that renaming it is one
    step of the file system) with the same ending; it takes the real name when
    the block ends well and is removed when it does not.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_existing(paths, overwrite):
    """Raise DataError if any of the files exists and may not be replaced."""
    existing = [path for path in map(Path, paths) if path.exists()]
    if existing and not overwrite:
        raise DataError(
            f"{existing[0]}: exists already ({len(existing)} of the results "
            "do). Give --overwrite to replace, or another place to write to."
        )


@contextmanager
def new_tree(out, inputs, overwrite):
    """Write a directory tree completely or not at all.

    Args:
        out: the directory to make.
        inputs: what is read; ``out`` may not be, contain or lie in it.
        overwrite: replace an existing ``out``, if it holds only what our
            scripts write.

    Yields:
        A temporary directory beside ``out`` that takes its name at the end.

    Raises:
        DataError: ``out`` exists, or replacing it would lose something.
    """
    out = Path(out).resolve()
    for source in map(Path, inputs):
        source = source.resolve()
        if out == source or out in source.parents or source in out.parents:
            raise DataError(
                f"{out}: the result may not lie in its input {source}, nor "
                "the other way round. Give another directory."
            )
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        refuse_existing([out], overwrite)
        _refuse_foreign(out)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    old = out.with_name(f".{out.name}.{os.getpid()}.old")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if out.exists():
            out.rename(old)
        temporary.rename(out)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not out.exists():
            old.rename(out)


def _refuse_foreign(out):
    """Raise DataError if a directory holds what none of our scripts makes."""
    ours = {"images", "masks", "annotations"}
    for path in out.iterdir() if out.is_dir() else [out]:
        known = path.name in ours or path.name == CLASSES
        if (path / "images").is_dir():
            known = {child.name for child in path.iterdir()} <= ours
        if not known:
            raise DataError(
                f"{path}: was not made by this script and would be lost with "
                "--overwrite. Move it away, or write to another directory."
            )


def spread(items, most):
    """At most so many items, evenly spread over the list."""
    if len(items) <= most:
        return list(items)
    return [items[i] for i in np.linspace(0, len(items) - 1, most).astype(int)]


def write_text(path, text):
    """Write a UTF-8 text file, all of it or nothing."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def shuffled_groups(groups, seed):
    """Distinct group names in a seeded random order."""
    distinct = sorted(set(groups), key=lambda name: (natural(name), name))
    np.random.default_rng(seed).shuffle(distinct)
    return distinct


def take_groups(groups, share, seed):
    """Choose whole groups until they hold about a share of the samples.

    A group that would overshoot the share by more than it fills is left out,
    so that one large area does not swallow the training data; if all are too
    large the smallest is taken.

    Args:
        groups: one group per sample.
        share: wanted share of the samples, 0 to 1.
        seed: of the order in which groups are tried.

    Returns:
        bool array, one per sample: taken or not.
    """
    sizes = Counter(groups)
    wanted = share * len(groups)
    taken, count = set(), 0
    for group in shuffled_groups(groups, seed):
        if sizes[group] < 2 * (wanted - count):
            taken.add(group)
            count += sizes[group]
    if wanted > 0 and not taken:
        taken = {min(sorted(sizes), key=sizes.get)}
    return np.array([group in taken for group in groups])
