"""The article's annotation text, ``[[x, y], [x, y], ...]``."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import shapely

from unet.annotations.annotation import FARTHEST, Annotation, image_name
from unet.annotations.parsing import quoted
from unet.annotations.repairs import Repair
from unet.annotations.rules import NO_RULES
from unet.annotations.shapes import IMAGE_KEYS, find_key
from unet.annotations.writing import Writer
from unet.files.errors import DataError
from unet.geometry.instances import Instance
from unet.geometry.keyhole import keyhole


def split_rings(points):
    """Split the article's list of points into rings.

    A ring ends where its first point comes again. Points that belong to no
    ring are strays, unless three or more in a row are left over: those are a
    ring that somebody forgot to close. Where several readings are possible
    the one with the fewest left-over points is taken.

    Args:
        points: list of (x, y).

    Returns:
        (rings, repairs): a list of float arrays N x 2, each without its
        closing point, and a ``Counter`` of what was mended.

    >>> square = [(0, 0), (4, 0), (4, 4), (0, 4), (0, 0)]
    >>> triangle = [(6, 1), (9, 1), (9, 3), (6, 1)]
    >>> rings, repairs = split_rings([*square, *triangle, (7, 7)])
    >>> [ring.shape for ring in rings]
    [(4, 2), (3, 2)]
    >>> {str(repair): count for repair, count in repairs.items()}
    {'stray point dropped': 1}
    """
    repairs = Counter()
    points = [tuple(point) for point in points]
    again = _next_occurrence(points)
    # left[i]: the fewest points left over when reading starts at point i.
    left = [0] * (len(points) + 1)
    for i in reversed(range(len(points))):
        left[i] = left[i + 1] + 1
        if again[i] is not None:
            left[i] = min(left[i], left[again[i] + 1])
    rings, loose, i = [], [], 0
    while i < len(points):
        if again[i] is not None and left[i] == left[again[i] + 1]:
            _close_loose(loose, rings, repairs)
            _add_ring(points[i : again[i]], rings, repairs)
            i = again[i] + 1
        else:
            loose.append(points[i])
            i += 1
    _close_loose(loose, rings, repairs)
    return rings, repairs


def _next_occurrence(points):
    """For each point the index at which it comes again, or None.

    A point repeated at once does not end a ring: it is a stray.
    """
    seen, again = {}, [None] * len(points)
    for i in reversed(range(len(points))):
        following = seen.get(points[i])
        if following is not None and following > i + 1:
            again[i] = following
        seen[points[i]] = i
    return again


def _close_loose(loose, rings, repairs):
    """Decide what the points are that no ring took, and forget them."""
    if len(set(loose)) >= 3:
        repairs[Repair.OPEN_RING] += 1
        _add_ring(loose, rings, repairs)
    elif loose:
        repairs[Repair.STRAY_POINT] += len(loose)
    loose.clear()


def _add_ring(points, rings, repairs):
    """Add a ring, less the points that repeat the one before them."""
    kept = [p for p, q in zip(points, [None, *points], strict=False) if p != q]
    repairs[Repair.REPEATED_POINT] += len(points) - len(kept)
    if len(set(kept)) < 3:
        repairs[Repair.SHORT_RING] += 1
    else:
        rings.append(np.array(kept, np.float64))
    repairs += Counter()  # drops the zeros


def parse_article_text(text, source):
    """Read ``[[x, y], [x, y], ...]``, the annotation text of the article.

    Args:
        text: one such list; ``[]`` means looked at, nothing there. A list of
            rings, ``[[[x, y], ...], ...]``, is read as well.
        source: named in errors.

    Returns:
        An ``Annotation``.

    Raises:
        DataError: the text is no list of points, or a coordinate is not a
            finite number.

    >>> text = "[[0, 0], [4, 0], [4, 2], [0, 2], [0, 0]]"
    >>> (roof,) = parse_article_text(text, "roof.txt").instances
    >>> roof.geometry.area
    8.0
    >>> parse_article_text("[]", "nothing.txt").instances
    []
    """
    try:
        # Python's tuples are as common as lists in such files.
        value = json.loads(text.replace("(", "[").replace(")", "]"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{source}: expected a list of points [[x, y], [x, y], ...], "
            f"found {quoted(text)} ({error}). Correct the text, or write "
            "[] where there is nothing."
        ) from None
    return annotation_of_points(value, text, source)


def annotation_of_points(value, text, source):
    """An ``Annotation`` from a list of points, or of lists of points.

    Args:
        value: the list.
        text, source: quoted and named in errors.

    Raises:
        DataError: as ``parse_article_text``.
    """
    nested = _depth(value) == 3
    annotation = Annotation(source)
    for points in value if nested else [value]:
        rings, repairs = split_rings(_checked_points(points, text, source))
        annotation.instances += [
            Instance(shapely.Polygon(ring)) for ring in rings
        ]
        annotation.repairs += repairs
    return annotation


def _depth(value):
    """How deep lists are nested, looking at first elements."""
    depth = 0
    while isinstance(value, list):
        depth += 1
        value = value[0] if value else None
    return depth


def _checked_points(points, text, source):
    try:
        array = np.array(points, np.float64)
    except (TypeError, ValueError, OverflowError):
        array = np.empty(0)
    if array.shape == (0,) and points == []:
        return []
    if array.ndim != 2 or array.shape[1] != 2:
        raise DataError(
            f"{source}: expected points of two numbers, [[x, y], ...], found "
            f"{quoted(text)}. Correct the text."
        )
    if not (np.abs(array) <= FARTHEST).all():  # False for NaN too
        bad = array[~(np.abs(array) <= FARTHEST).all(axis=1)][0]
        raise DataError(
            f"{source}: expected finite pixel coordinates, found "
            f"[{bad[0]:g}, {bad[1]:g}]. Remove or correct that point."
        )
    return array.tolist()


def split_named_line(line):
    """Split ``NAME<tab or comma>[[x, y], ...]``: (name, points), or Nones."""
    start = re.search(r"[\[(]|$", line).start()
    head, points = line[:start].rstrip(" "), line[start:].rstrip()
    head = head.removesuffix('"')
    name = head.rstrip()
    if name.endswith(","):
        name = name[:-1]
    elif "\t" not in head[len(name) :]:
        return None, None
    name = name.strip().removeprefix('"').removesuffix('"').strip()
    if not points or not name or '"' in name or "\t" in name:
        return None, None
    return name, points.removesuffix('"')


def read_article_text(path, rules=NO_RULES):
    """Read a text file of the article's kind.

    Either one image's list of points, and the file is called NAME.txt; or
    lines ``NAME<tab or comma>[[x, y], ...]``, where a name may come in several
    lines and may carry the image's ending.

    Returns:
        dict from image name to ``Annotation``; where the points of a line
        cannot be understood, its ``error`` says why.

    Raises:
        DataError: the file cannot be read, or a line of it names no image.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a UTF-8 text file: {error}."
        ) from None
    if text.lstrip()[:1] in ("[", "("):
        return {Path(path).stem: parse_article_text(text, path)}
    annotations = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        name, points = split_named_line(line)
        if name is None:
            if number == 1 and annotations == {} and "[" not in line:
                continue  # a heading
            raise DataError(
                f"{path}, line {number}: expected NAME<tab or comma>"
                f"[[x, y], ...], found {quoted(line)}. Correct the line."
            )
        name = image_name(name, path, rules.directories)
        known = annotations.setdefault(name, Annotation(path))
        try:
            one = parse_article_text(points, f"{path}, line {number}")
        except DataError as error:
            known.error = str(error)
            continue
        known.instances += one.instances
        known.repairs += one.repairs
    if not annotations:
        found, mend = "an empty file", "Write [] where there is nothing."
        if text.strip():
            found, mend = quoted(text), "Correct the text."
        raise DataError(
            f"{path}: expected a list of points [[x, y], ...], found {found}. "
            f"{mend}"
        )
    return annotations


def is_article(content):
    """Whether a file's content is the article's.

    Args:
        content: parsed JSON, or the path of a text file.
    """
    if isinstance(content, Path):
        return _is_article_text(content)
    # A list of objects is COCO's results, say.
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(content, list) and not isinstance(first, dict)


def _is_article_text(path):
    """Whether a text file is a list, or has lines NAME, list.

    Of a .txt also whether it is nothing else: no table with a heading.
    """
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        head = [file.readline(), file.readline()]
    if path.suffix.lower() == ".txt":
        columns = re.split(r"[,\t;|]", head[0].replace('"', ""))
        named = any(split_named_line(line)[0] for line in head)
        return named or not find_key(columns, IMAGE_KEYS) or not columns[1:]
    return head[0].lstrip()[:1] in ("[", "(") or any(
        split_named_line(line)[0] and '"' not in line and "{" not in line
        and "POLYGON" not in line.upper()
        for line in head
    )  # fmt: skip


def read_article(content, path, rules):
    """The article's list, in a text file or as a JSON file of its own."""
    if content is path:
        return read_article_text(path, rules)
    points = annotation_of_points(content, json.dumps(content), path)
    return {path.stem: points}


class ArticleWriter(Writer):
    """NAME.txt with ``[[x, y], ...]``: rings run together in one list.

    ``[]`` says that nothing was found.

    Raises:
        DataError: there are several classes; the text has no place for them.
    """

    ending = ".txt"

    def __init__(self, out, classes):
        super().__init__(out, classes)
        if len(self.classes) > 1:
            raise DataError(
                "the article's text has room for one class, found "
                f"{', '.join(self.classes)}. Choose another format, such as "
                "labelme."
            )

    def _text(self, annotated):
        points = []
        for ring in _keyholes(annotated):
            points += [*ring, ring[0]]
        return json.dumps(points) + "\n"


def _keyholes(annotated):
    for one in annotated.instances:
        for polygon in shapely.get_parts(one.geometry):
            yield keyhole(polygon)
