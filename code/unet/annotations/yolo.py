"""YOLO's label files: coordinates are shares of the image, 0 to 1.

A line is an object: the number of its class, and behind it the points of a
polygon, ``x1 y1 x2 y2 ...``, or a box, ``cx cy w h``. A turned box has its
four corners, and so is a polygon. Names of classes are in ``data.yaml``
(Ultralytics) or ``classes.txt`` (Label Studio, LabelImg).
"""

from functools import lru_cache

import numpy as np
import shapely

from unet.annotations.annotation import Annotation
from unet.annotations.parsing import quoted, shortened
from unet.annotations.repairs import Repair
from unet.annotations.shapes import add, cut, polygon
from unet.annotations.writing import Writer
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.files.folders import CLASSES, IGNORE
from unet.geometry.keyhole import keyhole

_YAMLS = ("data.yaml", "data.yml")
# Beyond 0 and 1: what Ultralytics takes for rounding.
_TOLERANCE = 0.01
# Of a share: in an image of 100,000 pixels 1e-7 pixels.
_DECIMALS = 12


def is_yolo(path):
    """Whether a text file is YOLO's: its first line says so.

    An empty one is if the names of classes lie where YOLO's do: it says that
    nothing is on its image.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        words = next((line.split() for line in file if line.strip()), None)
    if words is None:
        return _names_file(path) is not None
    return len(words) > 2 and all(map(_is_number, words))


def _is_number(word):
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_yolo(path, _, rules):
    """The label file of one image, in shares of its width and height.

    Raises:
        DataError: a line is none of YOLO's, a coordinate lies beyond the
            image, or a class has no name.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected a UTF-8 text file: {error}."
        ) from None
    annotation = Annotation(path, in_shares=True)
    file = _names_file(path)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            _add_line(annotation, line, f"{path}, line {number}", file)
    return {path.stem: annotation}


def _add_line(annotation, line, place, file):
    """Add the object of a line; ``file`` names the classes."""
    try:
        number, *values = map(float, line.split())
    except ValueError:
        raise DataError(
            f"{place}: expected numbers, CLASS X1 Y1 X2 Y2 ..., found "
            f"{quoted(line)}. Correct the line."
        ) from None
    _check_values(values, place)
    label = _class_name(number, file, place)
    if len(values) > 4:
        add(annotation, polygon(np.reshape(values, (-1, 2))), label)
        return
    x, y, width, height = values
    annotation.repairs[Repair.ONLY_BOX] += 1
    left, top = x - width / 2, y - height / 2
    add(annotation, shapely.box(left, top, left + width, top + height), label)


def _check_values(values, place):
    """Refuse what is neither a box nor a polygon on the image."""
    if len(values) < 4 or len(values) % 2:
        raise DataError(
            f"{place}: expected behind the class a box, CX CY W H, or three "
            f"or more points, X1 Y1 X2 Y2 X3 Y3, found {len(values)} numbers. "
            "Correct the line, and leave any probability out."
        )
    for value in values:
        if not -_TOLERANCE <= value <= 1 + _TOLERANCE:  # True for NaN too
            raise DataError(
                f"{place}: expected shares of the image from 0 to 1, found "
                f"{value:g}. Divide x by the image's width and y by its "
                "height, or export the file again."
            )


def _class_name(number, file, place):
    """The name of a class; DataError if it has none."""
    if file is None:
        raise DataError(
            f"{place}: expected the names of the classes in {_YAMLS[0]} or "
            f"{CLASSES}, beside the labels or above them, found neither. "
            f"Write {CLASSES}, one name a line, beginning with class 0."
        )
    name = _names(file, file.stat().st_mtime_ns).get(number)
    if name is None:
        raise DataError(
            f"{place}: expected a class that {file} names, found "
            f"{number:g}. Add its name there, or correct the line."
        )
    return name


def _names_file(path):
    """The file that names the classes of a label file, or None.

    It lies beside the labels or above them; of ``labels/train/NAME.txt`` and
    ``train/labels/NAME.txt`` as far above as ``labels`` or ``train`` do.
    """
    places = list(path.absolute().parents)
    depth = 3 if "labels" in [place.name for place in places[:2]] else 2
    for place in places[:depth]:
        for name in (*_YAMLS, CLASSES):
            file = place / name
            if file.is_file() and _names(file, file.stat().st_mtime_ns):
                return file
    return None


@lru_cache(maxsize=32)
def _names(file, _):
    """Dict from a number to the name of its class; {} where a file has none.

    Args:
        file: a path.
        _: when it was changed, for the cache.

    Raises:
        DataError: it cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.name == CLASSES:
            names = [line.strip() or None for line in text.splitlines()]
        else:
            names = _of_yaml(text)
        if isinstance(names, list):
            names = dict(enumerate(names))
        return {int(number): name for number, name in names.items()}
    except (ValueError, TypeError, RecursionError) as error:
        raise DataError(
            f"{file}: expected the names of classes, as list or by their "
            f"numbers, in UTF-8: {shortened(error)}. Correct the file."
        ) from None


def _of_yaml(text):
    """The value of ``names`` in a YAML text; [] without it.

    Raises:
        ValueError: the text is no YAML, or a name is no plain text.
    """
    import yaml  # for few

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(error) from None
    names = data.get("names") if isinstance(data, dict) else None
    names = names or []
    listed = names.values() if isinstance(names, dict) else names
    if isinstance(listed, str) or not all(
        isinstance(name, str | int | float) for name in listed
    ):
        raise ValueError("a name is no text")
    return names


class YoloWriter(Writer):
    """NAME.txt with ``class x1 y1 x2 y2 ...``, and classes.txt for all.

    A line is an object, without its probability: there is no place for it.
    An empty file says that nothing was found. What is ignored is the last
    class, for YOLO has no such thing.
    """

    ending = ".txt"

    def __init__(self, out, classes):
        super().__init__(out, sorted(classes, key=lambda n: n == IGNORE))

    def files(self, names):
        """As of ``Writer``.

        Raises:
            DataError: an image is called like the list of classes.
        """
        files = super().files(names)
        own = self.out / CLASSES
        if own in files:
            raise DataError(
                f"{own}: expected no image called {own.stem}, found one: the "
                "names of the classes are written there. Rename the image."
            )
        return [*files, own]

    def _text(self, annotated):
        height, width = annotated.shape
        frame = shapely.box(0, 0, width, height)
        lines = []
        for instance in annotated.instances:
            number = self.classes.index(instance.label)
            for ring in _rings(cut(instance.geometry, frame)):
                shares = np.divide(ring, (width, height))
                points = map(_decimal, np.clip(shares, 0, 1).ravel())
                lines.append(" ".join([str(number), *points]))
        return "".join(line + "\n" for line in lines)

    def close(self):
        write_text(self.out / CLASSES, "\n".join(self.classes) + "\n")


def _rings(geometry):
    """The rings of an object, a single one unless its parts overlap."""
    rings = [keyhole(part) for part in shapely.get_parts(geometry)]
    if len(rings) < 2 or not geometry.is_valid:
        return rings
    # A way of no width to each part and back, as Ultralytics writes them.
    first, *others = rings
    ring = first
    for other in others:
        ring = [*ring, first[0], *other, other[0]]
    return [ring]


def _decimal(share):
    return f"{share:.{_DECIMALS}f}".rstrip("0").rstrip(".")
