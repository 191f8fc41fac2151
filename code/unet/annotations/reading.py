"""Annotation files of any format to annotations by image name."""

from pathlib import Path

import shapely

from unet.annotations.formats import FORMATS, JSON_ENDINGS
from unet.annotations.parsing import parse_json, parse_xml, shortened
from unet.annotations.rules import NO_RULES
from unet.files.errors import DataError
from unet.files.folders import CLASSES, natural, sides_below, what_is_there

# What tools put beside annotations; no image's annotation.
NAMES_OF_CLASSES = (
    *(CLASSES, "class_names.txt", "labelmap.txt", "labels.txt"),
    *("data.yaml", "data.yml"),
)
# What damaged content makes of a reader that expects it whole.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    shapely.errors.ShapelyError,
)


def read_file(path, format_name=None, rules=NO_RULES):
    """Read an annotation file of any format.

    Args:
        path: the file.
        format_name: a key of ``FORMATS``; None recognises the format by the
            content.
        rules: what the file leaves open.

    Returns:
        dict from image name to ``Annotation``.

    Raises:
        DataError: the file cannot be understood, points out of the given
            directories, or exceeds a limit.
    """
    path = Path(path)
    _check_size(path, rules)
    content = _content(path)
    if format_name is None:
        format_name = next(
            (
                name
                for name, known in FORMATS.items()
                if path.suffix.lower() in known.endings
                and known.recognises(content)
            ),
            None,
        )
    if format_name is None:
        raise DataError(
            f"{path}: expected an annotation file of a known format "
            f"({', '.join(FORMATS)}), found none of them. "
            + rules.advice(
                "Export it again", ", or name the format with --format"
            )
        )
    try:
        annotations = FORMATS[format_name].read(content, path, rules)
    except DataError:
        raise
    except DAMAGE as error:
        reason = shortened(f"{type(error).__name__}: {error}")
        raise DataError(
            f"{path}: expected {format_name} annotations, found something "
            f"that does not read as such ({reason}). Export the file again."
        ) from None
    _check_points(annotations, path, rules)
    return annotations


def _content(path):
    """A file's parsed JSON or XML; of any other kind the path itself."""
    ending = path.suffix.lower()
    if ending in JSON_ENDINGS:
        return parse_json(path)
    return parse_xml(path) if ending == ".xml" else path


def _check_size(path, rules):
    """Refuse a file that is missing or too large to be annotations."""
    most = rules.limits.mebibytes
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}.") from None
    if size > most << 20:
        raise DataError(
            f"{path}: expected at most {most} MiB, found {size >> 20} MiB. "
            + rules.advice(
                "Divide the file", ", or raise the bound with --max-file"
            )
        )


def _check_points(annotations, path, rules):
    """Refuse more points than people draw: they would take for ever."""
    most = rules.limits.points
    count = sum(
        instance.point_count()
        for annotation in annotations.values()
        for instance in annotation.instances
    )
    if count > most:
        raise DataError(
            f"{path}: expected at most {most} points, found {count}. "
            + rules.advice(
                "Simplify the polygons or divide the file",
                ", or raise the bound with --max-points",
            )
        )


def annotation_files(source):
    """The annotation files that a path names, naturally sorted.

    Of a directory without any those in ``train/``, ``val/`` and ``test/``
    below it.

    Raises:
        DataError: there is none.
    """
    source = Path(source)
    files = [source] if _may_annotate(source) else []
    if source.is_dir():
        below = [p for side in sides_below(source) for p in _files_of(side)]
        files = _files_of(source) or below
    if not files:
        raise DataError(
            f"{source}: expected annotations, found none: "
            f"{what_is_there(source)}. Check the path; formats are "
            f"{', '.join(FORMATS)}."
        )
    return files


def _files_of(directory):
    return [
        path
        for path in sorted(directory.iterdir(), key=lambda p: natural(p.name))
        if path.name.lower() not in NAMES_OF_CLASSES and _may_annotate(path)
    ]


def _may_annotate(path):
    """Whether a path is a file that some format may know."""
    endings = {end for known in FORMATS.values() for end in known.endings}
    hidden = path.name.startswith(".")
    return path.suffix.lower() in endings and not hidden and path.is_file()
