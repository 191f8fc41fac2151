"""The regions of Label Studio: shapes in percent, and strokes of a brush."""

import numpy as np
from shapely import affinity

from unet.annotations.annotation import size_of
from unet.annotations.brush import decode_brush
from unet.annotations.parsing import shortened
from unet.annotations.shapes import (
    add,
    box,
    clean,
    ellipse,
    leave_out,
    polygon,
)
from unet.files.errors import DataError
from unet.geometry.instances import PixelInstance, packed_of

_DECIMALS = 6  # of a pixel: what percents of float64 hold


def add_regions(annotation, results, place, rules):
    """Add the shapes of a task's results to its annotation.

    Results of one id are one region: its shape, and what was said of it.
    Coordinates are percents of the image's sides.

    Args:
        annotation: ``Annotation``; gets the size of the image.
        results: list of dicts, each with a "value".
        place: the file and the task, named in errors.
        rules: see ``Rules``.

    Raises:
        DataError: nobody knows where the shapes lie in the image.
    """
    regions, images = {}, {}
    for number, result in enumerate(results):
        regions.setdefault(result.get("id", number), []).append(result)
    for region in regions.values():
        value = {k: v for one in region[::-1] for k, v in one["value"].items()}
        shape = _shape_of(value)
        if shape is None:  # a note on the image as a whole
            continue
        annotation.size = _size_of(region, place)
        images[region[0].get("to_name"), annotation.size] = None
        if len(images) > 1:
            listed = " and ".join(
                f"{name} of {_as_sides(size)} pixels" for name, size in images
            )
            raise DataError(
                f"{place}: expected shapes on one image, found them on "
                f"{listed}. Export tasks of single images."
            )
        label = _label(region, rules.attribute)
        if shape == "brush":
            _add_brush(annotation, value, label, place, rules.limits)
        elif shape in _GEOMETRIES:
            geometry = _GEOMETRIES[shape](value, annotation.size)
            add(annotation, geometry, label)
        else:
            leave_out(annotation, shape)


def _shape_of(value):
    """The kind of shape that a value describes; None: it describes none."""
    keys = set(value)
    if "rle" in keys:
        return "brush"
    if "points" in keys:
        return "polygon"
    if {"x", "y", "radiusX", "radiusY"} <= keys:
        return "ellipse"
    if {"x", "y", "width", "height"} <= keys:
        return "rectangle"
    if "vertices" in keys:
        return "polyline"
    if {"x", "y"} <= keys:
        return "point"
    return "bitmask" if "imageDataURL" in keys else None


def _size_of(region, place):
    """(H, W) of the image that a shape was drawn on."""
    for result in region:
        if result.get("image_rotation"):
            raise DataError(
                f"{place}: expected shapes on the image as it is, found it "
                f"turned by {result['image_rotation']} degrees. Turn it back "
                "in Label Studio and export again."
            )
    sizes = [
        size_of(one, "original_height", "original_width") for one in region
    ]
    size = next(filter(None, sizes), None)
    if size is None:
        raise DataError(
            f"{place}: expected original_width and original_height beside a "
            "shape, which is in percent of them, found neither. Open and save "
            "the task in Label Studio, and export again."
        )
    return size


def _as_sides(size):
    return f"{size[1]} x {size[0]}"


def _label(region, attribute):
    """The class of a region: its label, or what was said of it by a name."""
    for result in region:
        if attribute not in (None, result.get("from_name")):
            continue
        for key, names in result["value"].items():
            said = attribute is not None and key in ("choices", "text")
            if (said or key.endswith("labels")) and names:
                return names[0] if isinstance(names, list) else names
    return None


def _pixels(percents, side):
    return np.round(np.asarray(percents, float) * side / 100, _DECIMALS)


def _polygon(value, size):
    points = np.asarray(value["points"], float).reshape(-1, 2)
    return polygon(_pixels(points, size[::-1]))


def _rectangle(value, size):
    """A rectangle, turned clockwise about its left upper corner."""
    height, width = size
    x, w = _pixels([value["x"], value["width"]], width)
    y, h = _pixels([value["y"], value["height"]], height)
    degrees = float(value.get("rotation") or 0)
    return affinity.rotate(box(x, y, x + w, y + h), degrees, origin=(x, y))


def _ellipse(value, size):
    """An ellipse, turned clockwise about its centre."""
    height, width = size
    x, rx = _pixels([value["x"], value["radiusX"]], width)
    y, ry = _pixels([value["y"], value["radiusY"]], height)
    return ellipse(x, y, rx, ry, float(value.get("rotation") or 0))


_GEOMETRIES = {
    "polygon": _polygon,
    "rectangle": _rectangle,
    "ellipse": _ellipse,
}


def _add_brush(annotation, value, label, place, limits):
    height, width = annotation.size
    if not 0 < height * width <= limits.pixels:
        raise DataError(
            f"{place}: expected an image of at most {limits.pixels} pixels, "
            f"found {_as_sides(annotation.size)}. Annotate a smaller one."
        )
    try:
        pixels = decode_brush(value["rle"], annotation.size)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{place}: expected a brush's mask of "
            f"{_as_sides(annotation.size)} pixels, found {shortened(error)}. "
            "Export the file again."
        ) from None
    annotation.instances.append(PixelInstance(packed_of(pixels), clean(label)))
