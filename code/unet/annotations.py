"""Annotations: what they are, and the article's text.

``unet.formats`` reads the files of other tools into the same.
"""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import shapely
from pycocotools import mask as rle

from unet.folders import IMAGE_ENDINGS, DataError, list_images
from unet.images import MOST_PIXELS
from unet.masks import rasterise_window

# Coordinates beyond this are damage, not annotation; GDAL would loop long.
_FARTHEST = 1e6


@dataclass(frozen=True)
class Limits:
    """What no honest annotation exceeds; more is refused.

    Attributes:
        mebibytes: of a file.
        unpacked: mebibytes of a spreadsheet without compression.
        pixels: of an image or a mask.
        points: of all polygons of a file.
    """

    mebibytes: int = 1024
    unpacked: int = 1024
    pixels: int = MOST_PIXELS
    points: int = 10_000_000


@dataclass(frozen=True)
class Rules:
    """What the user says about images and annotations that they do not.

    Attributes:
        attribute: attribute, property or column that holds the class.
        image_column: column of a table that names the image.
        polygon_column: column of a table that holds the polygon, or two with
            a comma between them: x and y.
        colours: dict from colour (0xRRGGBB) to class, of complete masks; the
            class "" is background.
        threshold: share of the largest grey from which on a grey mask is the
            object.
        bands: of images of several: which are red, green and blue, from 1.
        directories: the places that were given; an annotation that points
            out of them is refused. (): not checked, as nothing is read there.
        limits: see ``Limits``.
    """

    attribute: str | None = None
    image_column: str | None = None
    polygon_column: str | None = None
    colours: dict[int, str] | None = None
    threshold: float | None = None
    bands: tuple[int, ...] | None = None
    directories: tuple[Path, ...] = ()
    limits: Limits = Limits()


NO_RULES = Rules()


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

    def window(self, shape):
        """Pixels whose centre the polygon covers.

        Args:
            shape: (H, W) of the image.

        Returns:
            (bool array h x w, top, left): all that can be seen of it.
        """
        return rasterise_window(self.geometry, shape)

    def mask(self, shape):
        """bool H x W."""
        return in_whole(*self.window(shape), shape)


@dataclass
class DrawnMask:
    """One object, or a whole class, as pixels.

    Attributes:
        packed: COCO's compressed run-length encoding.
        label: its class, or None.
        top, left: where in the image it lies.
    """

    packed: dict
    label: str | None
    top: int = 0
    left: int = 0

    def window(self, shape):
        """(bool array h x w, top, left) of an image of a shape (H, W)."""
        pixels = rle.decode(self.packed).astype(bool)
        bottom, right = shape[0] - self.top, shape[1] - self.left
        seen = pixels[
            max(0, -self.top) : max(0, bottom),
            max(0, -self.left) : max(0, right),
        ]
        return seen, max(0, self.top), max(0, self.left)

    def mask(self, shape):
        """bool H x W."""
        return in_whole(*self.window(shape), shape)

    def parts(self):
        """Its connected components (8 neighbours), each as a ``DrawnMask``."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            rle.decode(self.packed), connectivity=8
        )
        for number in range(1, count):
            x, y, width, height = stats[number, :4].tolist()
            pixels = labels[y : y + height, x : x + width] == number
            yield DrawnMask(
                packed_of(pixels),
                self.label,
                self.top + y,
                self.left + x,
            )


def packed_of(pixels):
    """Run-length encoding of a bool array, as ``DrawnMask`` holds it."""
    return rle.encode(np.asfortranarray(pixels, np.uint8))


def in_whole(window, top, left, shape):
    """A window as a mask of the whole image, bool H x W."""
    mask = np.zeros(shape, bool)
    mask[top : top + window.shape[0], left : left + window.shape[1]] = window
    return mask


@dataclass
class Annotation:
    """What is known of one image.

    Attributes:
        source: the file that it was read from.
        instances: ``Instance`` or ``DrawnMask``, in the file's order; where
            they overlap the later one wins.
        repairs: what was mended or left out, and how often.
        error: why the image's annotation cannot be used, or None.
        crs: of the coordinates, if they are places on the ground.
        size: (H, W) of the image that was annotated; None: not known.
        file: its name with the ending; None: not known.
        picture: function that returns the bytes of the image itself, where
            the file holds it; or None.
    """

    source: Path
    instances: list[Instance | DrawnMask] = field(default_factory=list)
    repairs: Counter = field(default_factory=Counter)
    error: str | None = None
    crs: str | None = None
    size: tuple[int, int] | None = None
    file: str | None = None
    picture: Callable[[], bytes] | None = None

    def check_size(self, shape):
        """Raise DataError for an image of another shape (H, W)."""
        if self.size not in (None, tuple(shape)):
            height, width = self.size
            raise DataError(
                f"{self.source}: was made for an image of {width} x {height} "
                f"(width x height), found one of {shape[1]} x {shape[0]}. Use "
                "the image that was annotated."
            )


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
                f"[[x, y], ...], found {_shortened(line)}. Correct the line."
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
            found, mend = _shortened(text), "Correct the text."
        raise DataError(
            f"{path}: expected a list of points [[x, y], ...], found {found}. "
            f"{mend}"
        )
    return annotations


def image_name(text, source=None, directories=()):
    """An image's name without directories and without an image's ending.

    Args:
        text: what an annotation file says.
        source: that file.
        directories: the places that were given, or ().

    Raises:
        DataError: the text leads out of all of them with "..". (Of any other
            path, ``C:\\photos\\a.jpg`` say, the last part alone is used.)
    """
    path = Path(text.strip().replace("\\", "/"))
    if directories and ".." in path.parts:
        _refuse_outside(path, Path(source), directories)
    known = path.suffix.lower() in IMAGE_ENDINGS
    return path.stem if known else path.name


def _refuse_outside(path, source, directories):
    places = [place.resolve() for place in (source.parent, *directories)]
    target = (source.parent / path).resolve()
    if not any(target.is_relative_to(place) for place in places):
        raise DataError(
            f"{source}: expected the name of an image in the given "
            f"directories, found {_shortened(str(path))}, which leads out of "
            "them. Correct the name."
        )


def find_images(source):
    """Images by name: of a directory, or a single image file.

    Returns:
        dict from name (file name without ending) to a list of paths, more
        than one where only their endings differ; empty where a directory
        holds no image (annotations may bring their images along).

    Raises:
        DataError: the path leads nowhere.
    """
    source = Path(source)
    if not source.exists():
        raise DataError(
            f"{source}: expected a directory of images, found nothing. "
            "Check the path."
        )
    images = {}
    for path in list_images(source) if source.is_dir() else [source]:
        images.setdefault(path.stem, []).append(path)
    return images


def image_of(paths, annotation):
    """The image that is meant: the only one, or the one annotated.

    Args:
        paths: images of one name.
        annotation: what is known of it, or None.

    Raises:
        DataError: there are several, and the annotation names none of them.
    """
    file = annotation.file if annotation else None
    meant = [path for path in paths if path.name == file] or paths
    if len(meant) > 1:
        raise DataError(
            f"{paths[0].parent}: two images have the same name but for their "
            f"ending ({', '.join(path.name for path in paths)}). Rename or "
            "remove one; annotations are paired by name."
        )
    return meant[0]
