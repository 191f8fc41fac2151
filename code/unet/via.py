"""VGG Image Annotator: JSON 1.x and 2.x, and the cells of its tables."""

import numpy as np
import shapely

from unet.annotations import Annotation, image_name
from unet.shapes import CLASS_KEYS, add, ellipse, find_key, leave_out, polygon

_KEYS = (*CLASS_KEYS, "name", "type")


def read_via(data, path, rules):
    """VIA JSON 1.x and 2.x, a project or its annotations."""
    annotations = {}
    for entry in data.get("_via_img_metadata", data).values():
        name = image_name(str(entry["filename"]), path, rules.directories)
        annotation = annotations.setdefault(name, Annotation(path))
        regions = entry.get("regions") or []
        for region in (
            regions.values() if hasattr(regions, "values") else regions
        ):
            attributes = region.get("region_attributes") or {}
            label = label_of(attributes, rules.attribute)
            add_shape(annotation, region["shape_attributes"], label)
    return annotations


def is_via(data):
    """Whether parsed JSON is VIA's."""
    return "_via_img_metadata" in data or (
        bool(data)
        and all(
            isinstance(one, dict) and "filename" in one for one in data.values()
        )
    )


def add_shape(annotation, shape, label):
    """Add a VIA shape to an annotation, or count why it is none."""
    geometry = _geometry(shape)
    if geometry is False:
        leave_out(annotation, shape.get("name"))
    else:
        add(annotation, geometry, label)


def _geometry(one):
    """A shape's geometry; None if it has too few points, False if no area."""
    kind = one.get("name")
    if kind == "polygon":
        x, y = one["all_points_x"], one["all_points_y"]
        return polygon(list(zip(x, y, strict=True)))
    if kind == "rect":
        x, y = one["x"], one["y"]
        return shapely.box(x, y, x + one["width"], y + one["height"])
    if kind == "circle":
        return ellipse(one["cx"], one["cy"], one["r"], one["r"])
    if kind == "ellipse":
        angle = np.degrees(one.get("theta", 0))
        return ellipse(one["cx"], one["cy"], one["rx"], one["ry"], angle)
    return False


def label_of(attributes, attribute):
    """The class in a region's attributes."""
    key = attribute or find_key(attributes, _KEYS)
    if key is None:
        key = next(iter(attributes), None)
    value = attributes.get(key)
    if isinstance(value, dict):  # a check box: the first that is ticked
        value = next((name for name, ticked in value.items() if ticked), None)
    return value
