"""labelme JSON."""

import base64
import os
from functools import partial
from pathlib import Path

import numpy as np
import shapely

from unet.annotations.annotation import Annotation, image_name, size_of
from unet.annotations.parsing import parse_json, shortened
from unet.annotations.shapes import (
    add,
    clean,
    ellipse,
    leave_out,
    polygon,
    together,
)
from unet.annotations.writing import Writer, json_text, score_text
from unet.files.errors import DataError
from unet.files.folders import IGNORE
from unet.geometry.instances import PixelInstance, packed_of
from unet.geometry.keyhole import keyhole
from unet.imagery.mask_values import values_from

_LABELME = "5.5.0"
# What labelme's own converters call what counts nowhere.
_IGNORE = "__ignore__"


def read_labelme(data, path, rules):
    """labelme JSON 3.x to 5.x; shapes of one group and label are one object.

    labelme shows images upright, so its points fit images as we read them.
    """
    annotation = Annotation(
        path, size=size_of(data, "imageHeight", "imageWidth")
    )
    groups = {}
    for number, shape in enumerate(data["shapes"]):
        if shape["label"] == _IGNORE:
            shape = {**shape, "label": IGNORE}
        shape_type = shape.get("shape_type") or "polygon"
        if shape_type == "mask":
            _add_labelme_mask(annotation, shape, rules.limits)
            continue
        geometry = _labelme_geometry(shape_type, shape["points"])
        if geometry is False:
            leave_out(annotation, shape_type)
            continue
        group = shape.get("group_id")
        key = (
            shape["label"],
            f"group {group}" if group is not None else number,
        )
        groups.setdefault(key, []).append(geometry)
    for (label, _), parts in groups.items():
        add(annotation, together(parts), label)
    if data.get("imageData"):
        annotation.picture = partial(_labelme_picture, path)
    own = str(data.get("imagePath") or path.stem)
    annotation.file = own.replace("\\", "/").rpartition("/")[2]
    return {image_name(own, path, rules.directories): annotation}


def _labelme_picture(path):
    """The bytes of the image that a labelme file holds."""
    try:
        return base64.b64decode(parse_json(path)["imageData"])
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected an image in imageData ({shortened(error)}). "
            "Put the image beside the others."
        ) from None


def _add_labelme_mask(annotation, shape, limits):
    """Add a mask shape: a PNG and the corner where it lies."""
    picture = base64.b64decode(shape["mask"])
    pixels = values_from(picture, annotation.source, limits.pixels)[0] > 0
    left, top = (round(float(number)) for number in shape["points"][0])
    annotation.instances.append(
        PixelInstance(packed_of(pixels), clean(shape["label"]), top, left)
    )


def _labelme_geometry(shape_type, points):
    """A shape's geometry; None if it has too few points, False if none."""
    if shape_type == "polygon":
        return polygon(points)
    if shape_type == "rectangle":
        (x0, y0), (x1, y1) = points
        return shapely.box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    if shape_type == "circle":
        (x0, y0), (x1, y1) = points
        return ellipse(x0, y0, *[np.hypot(x1 - x0, y1 - y0)] * 2)
    return False


class LabelmeWriter(Writer):
    """NAME.json of labelme 5.

    It opens with the image, whose place is written relative to the file:
    keep both where they are, or move them together.
    """

    ending = ".json"

    def _text(self, annotated):
        shapes = []
        for number, instance in enumerate(annotated.instances, start=1):
            for part in shapely.get_parts(instance.geometry):
                shapes.append(
                    {
                        "label": _IGNORE
                        if instance.label == IGNORE
                        else instance.label,
                        "points": keyhole(part),
                        "group_id": number,
                        "description": score_text(instance),
                        "shape_type": "polygon",
                        "flags": {},
                        "mask": None,
                    }
                )
        image = Path(annotated.image).resolve()
        place = os.path.relpath(image, self.out.resolve())
        height, width = annotated.shape
        return json_text(
            {
                "version": _LABELME,
                "flags": {},
                "shapes": shapes,
                "imagePath": place.replace(os.sep, "/"),
                "imageData": None,
                "imageHeight": height,
                "imageWidth": width,
            }
        )
