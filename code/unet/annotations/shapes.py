"""From the shapes of annotation tools to instances."""

import numpy as np
import shapely
from shapely import affinity

from unet.annotations.annotation import check_reach
from unet.annotations.repairs import Repair
from unet.files.folders import IGNORE, is_ignored
from unet.geometry.instances import Instance

_HAIR = 0.01  # pixels: what moving to and from the ground may cost
_LINES = ("line", "linestrip", "points", "point", "polyline")
# Where a file may name a class in several ways, in this order.
CLASS_KEYS = ("class", "label", "category", "class_name")
# And a table's column of images.
IMAGE_KEYS = ("image", "imageid", "image_id", "filename", "file_name", "file")


def polygon(points):
    """A polygon from points; None for fewer than three different ones.

    >>> polygon([[0, 0], [3, 0], [3, 2]]).area
    3.0
    >>> polygon([[0, 0], [3, 0], [3, 0]]) is None
    True
    """
    points = [tuple(point[:2]) for point in np.asarray(points, float).tolist()]
    if len(set(points)) < 3:
        return None
    with np.errstate(invalid="ignore"):  # ``add`` refuses NaN, with a reason
        return shapely.Polygon(points)


def box(left, top, right, bottom):
    """A rectangle; of NaN ``shapely.box`` would make an empty one.

    >>> box(1, 2, 4, 3).area
    3.0
    """
    return shapely.Polygon(
        [(left, top), (right, top), (right, bottom), (left, bottom)]
    )


def ellipse(x, y, rx, ry, degrees=0.0):
    """An ellipse with 128 corners, turned clockwise as one sees it.

    >>> [round(side, 6) for side in ellipse(10, 5, 4, 2, degrees=90).bounds]
    [8.0, 1.0, 12.0, 9.0]
    """
    circle = shapely.Point(0, 0).buffer(1, quad_segs=32)
    turned = affinity.rotate(
        affinity.scale(circle, rx, ry, origin=(0, 0)), degrees, origin=(0, 0)
    )
    return affinity.translate(turned, x, y)


def together(parts):
    """One geometry of several polygons, which may overlap; None of none.

    They are not united: that takes for ever where somebody scribbled.
    """
    known = [part for part in parts if part is not None]
    if len(known) < 2:
        return known[0] if known else None
    return shapely.MultiPolygon(known)


def areas(geometry):
    """The Polygon and MultiPolygon parts of a geometry that are not empty."""
    if geometry.geom_type == "GeometryCollection":
        return [part for one in geometry.geoms for part in areas(one)]
    covers = geometry.geom_type in ("Polygon", "MultiPolygon")
    return [geometry] if covers and not geometry.is_empty else []


def cut(geometry, frame):
    """What lies in a frame: the same object if all does, None if nothing."""
    if frame.buffer(_HAIR).covers(shapely.envelope(geometry)):
        return geometry
    if not shapely.envelope(geometry).intersects(frame):
        return None
    if not geometry.is_valid:
        return geometry  # drawing cuts it
    parts = shapely.get_parts(areas(geometry.intersection(frame)))
    return together(list(parts))


def add(annotation, geometry, label):
    """Add an instance, or count why it is none.

    Raises:
        DataError: a coordinate is beyond any image.
        TypeError: a damaged file had lists where numbers belong.
    """
    if geometry is None:
        annotation.repairs[Repair.SHORT_RING] += 1
        return
    if not isinstance(geometry, shapely.Geometry):
        raise TypeError("a list where a number belongs")
    if annotation.crs is None:
        check_reach(geometry, annotation.source)
    annotation.instances.append(Instance(geometry, clean(label)))


def leave_out(annotation, shape_type):
    """Count a shape without an area."""
    repair = Repair.NO_AREA if shape_type in _LINES else Repair.UNKNOWN_SHAPE
    annotation.repairs[repair] += 1


def clean(label):
    """A label without stray whitespace; None if nothing is left.

    However it is spelt, that of pixels which nobody labelled is ``IGNORE``.
    """
    if label is None:
        return None
    text = str(label).encode("utf-8", "replace").decode()
    text = " ".join(text.split())
    return IGNORE if is_ignored(text) else text or None


def find_key(keys, wanted):
    """The key that is called like one of the wanted names, or None."""
    lower = {str(key).strip().lower(): key for key in keys}
    return next((lower[name] for name in wanted if name in lower), None)
