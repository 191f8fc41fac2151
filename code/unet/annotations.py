"""Annotations: what they are, the article's text, and complete masks.

``unet.formats`` reads the files of other tools into the same.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import shapely
from pycocotools import mask as rle

from unet.folders import IMAGE_ENDINGS, DataError, list_images
from unet.images import read_mask
from unet.masks import rasterise

# Coordinates beyond this are damage, not annotation; GDAL would loop long.
_FARTHEST = 1e6


@dataclass
class Instance:
    """One object, as geometry.

    Attributes:
        geometry: ``shapely`` Polygon or MultiPolygon; (x, y) in pixels from
            the top-left corner, or in the annotation's ``crs``. Parts of a
            MultiPolygon may overlap; each is drawn by itself.
        label: its class, or None where the file names none.
    """

    geometry: shapely.Geometry
    label: str | None = None

    def mask(self, shape):
        """bool H x W: pixels whose centre the polygon covers."""
        return rasterise(self.geometry, shape)


@dataclass
class DrawnMask:
    """One object, as pixels.

    Attributes:
        packed: COCO's compressed run-length encoding, of its image's size.
        label: its class, or None.
        source: the file, named in errors.
    """

    packed: dict
    label: str | None
    source: Path

    def mask(self, shape):
        """bool H x W.

        Raises:
            DataError: the image has another size.
        """
        if list(shape) != self.packed["size"]:
            height, width = self.packed["size"]
            raise DataError(
                f"{self.source}: holds a mask of {width} x {height} (width x "
                f"height) for an image of {shape[1]} x {shape[0]}. Use the "
                "image that was annotated."
            )
        return rle.decode(self.packed).astype(bool)


@dataclass
class CompleteMask:
    """A mask file that already shows every object of an image.

    Attributes:
        path: the mask file; must have the size of its image.
    """

    path: Path
    label: str | None = None

    def mask(self, shape):
        """bool H x W."""
        return read_mask(self.path, shape)


@dataclass
class Annotation:
    """What is known of one image.

    Attributes:
        source: the file that it was read from.
        instances: ``Instance``, ``DrawnMask`` or ``CompleteMask``, in the
            file's order; where they overlap the later one wins.
        repairs: what was mended or left out, and how often.
        error: why the image's annotation cannot be used, or None.
        crs: of the coordinates, if they are places on the ground.
    """

    source: Path
    instances: list[Instance | DrawnMask | CompleteMask] = field(
        default_factory=list
    )
    repairs: Counter = field(default_factory=Counter)
    error: str | None = None
    crs: str | None = None


def check_reach(geometry, source):
    """Raise DataError for coordinates that no image can have."""
    points = shapely.get_coordinates(geometry)
    near = (np.abs(points) <= _FARTHEST).all(axis=1)  # False for NaN too
    if not near.all():
        x, y = points[~near][0]
        raise DataError(
            f"{source}: expected finite pixel coordinates, found a polygon "
            f"through ({x:g}, {y:g}). Remove or correct it."
        )


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
        repairs["open ring closed"] += 1
        _add_ring(loose, rings, repairs)
    elif loose:
        repairs["stray point dropped"] += len(loose)
    loose.clear()


def _add_ring(points, rings, repairs):
    """Add a ring, less the points that repeat the one before them."""
    kept = [p for p, q in zip(points, [None, *points], strict=False) if p != q]
    repairs["repeated point dropped"] += len(points) - len(kept)
    if len(set(kept)) < 3:
        repairs["ring of fewer than three points left out"] += 1
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
    """
    try:
        # Python's tuples are as common as lists in such files.
        value = json.loads(text.replace("(", "[").replace(")", "]"))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{source}: expected a list of points [[x, y], [x, y], ...], "
            f"found {_shortened(text)} ({error}). Correct the text, or write "
            "[] where there is nothing."
        ) from None
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
            f"{_shortened(text)}. Correct the text."
        )
    if not (np.abs(array) <= _FARTHEST).all():  # False for NaN too
        bad = array[~(np.abs(array) <= _FARTHEST).all(axis=1)][0]
        raise DataError(
            f"{source}: expected finite pixel coordinates, found "
            f"[{bad[0]:g}, {bad[1]:g}]. Remove or correct that point."
        )
    return array.tolist()


def _shortened(text):
    text = " ".join(text.split())
    return repr(text if len(text) <= 40 else text[:37] + "...")


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


def read_article_text(path):
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
                f"[[x, y], ...], found {_shortened(line)}. Correct the line."
            )
        name = image_name(name)
        known = annotations.setdefault(name, Annotation(path))
        try:
            one = parse_article_text(points, f"{path}, line {number}")
        except DataError as error:
            known.error = str(error)
            continue
        known.instances += one.instances
        known.repairs += one.repairs
    if not annotations:
        found = _shortened(text) if text.strip() else "an empty file"
        raise DataError(
            f"{path}: expected a list of points [[x, y], ...], found {found}. "
            "Write [] where there is nothing."
        )
    return annotations


def image_name(text):
    """An image's name without directories and without an image's ending."""
    path = Path(text.strip())
    known = path.suffix.lower() in IMAGE_ENDINGS
    return path.stem if known else path.name


def read_complete_mask(path):
    """Take a mask image, called like its image, as the whole annotation."""
    return {Path(path).stem: Annotation(Path(path), [CompleteMask(Path(path))])}


def find_images(source):
    """Images by name: of a directory, or a single image file.

    Returns:
        dict from name (file name without ending) to path.

    Raises:
        DataError: there is no image, or two have the same name.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(
            f"{source}: expected a directory of images, found nothing. "
            "Check the path."
        )
    paths = list_images(source) if source.is_dir() else [source]
    images = {path.stem: path for path in paths}
    if not images:
        raise DataError(
            f"{source}: expected images ({' '.join(IMAGE_ENDINGS)}), found "
            "none. Check the path."
        )
    if len(images) < len(paths):
        twins = [p.name for p in paths if images[p.stem] != p]
        raise DataError(
            f"{source}: two images have the same name but for their ending "
            f"({twins[0]}). Rename one; annotations are paired by name."
        )
    return images
