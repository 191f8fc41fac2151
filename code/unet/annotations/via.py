"""VGG Image Annotator: JSON 1.x to 3.x, and the cells of its tables."""

from pathlib import Path

import numpy as np
import shapely

from unet.annotations.annotation import Annotation, image_name
from unet.annotations.shapes import (
    CLASS_KEYS,
    add,
    ellipse,
    find_key,
    leave_out,
    polygon,
)
from unet.annotations.writing import Writer, json_text, score_text
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.geometry.keyhole import keyhole

_VIA = "2.0.10"
_KEYS = (*CLASS_KEYS, "name", "type")
# What VIA 3 calls an image among its files.
_IMAGE = 2
# The shapes of VIA 3 by their numbers, as VIA 2 calls them and their measures.
_SHAPES = {
    1: ("point",),
    2: ("rect", "x", "y", "width", "height"),
    3: ("circle", "cx", "cy", "r"),
    4: ("ellipse", "cx", "cy", "rx", "ry"),
    5: ("line",),
    6: ("polyline",),
}


def read_via(data, path, rules):
    """VIA JSON 1.x and 2.x, a project or its annotations; projects of 3.x."""
    if _is_project_3(data):
        return _read_project_3(data, path, rules)
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
    if not isinstance(data, dict) or "_via_img_metadata" in data:
        return isinstance(data, dict)
    return _is_project_3(data) or (
        bool(data)
        and all(
            isinstance(entry, dict) and "filename" in entry
            for entry in data.values()
        )
    )


def _is_project_3(data):
    return {"project", "file", "view", "metadata"} <= set(data)


def _read_project_3(data, path, rules):
    """A project of VIA 3: views of files, and shapes as lists of numbers."""
    annotations, of_view = {}, {}
    for view, content in data["view"].items():
        files = [data["file"][str(number)] for number in content["fid_list"]]
        if [int(file["type"]) for file in files] != [_IMAGE]:
            names = ", ".join(str(file["fname"]) for file in files)
            raise DataError(
                f"{path}: expected views of one image each, found view {view} "
                f"of {names[:80] or 'no file'}. Remove it from the project."
            )
        name = image_name(str(files[0]["fname"]), path, rules.directories)
        of_view[view] = annotations.setdefault(name, Annotation(path))
    kinds = data.get("attribute") or {}
    for entry in data["metadata"].values():
        if not entry["xy"]:  # a note on the image as a whole
            continue
        attributes = {
            kinds[key]["aname"]: _chosen(kinds[key], value)
            for key, value in entry["av"].items()
            if key in kinds
        }
        label = label_of(attributes, rules.attribute)
        add_shape(of_view[entry["vid"]], _shape(*entry["xy"]), label)
    return annotations


def _chosen(attribute, value):
    """An attribute's value; of options the first that was chosen."""
    options = attribute.get("options") or {}
    return options.get(str(value).split(",")[0], value)


def _shape(number, *numbers):
    """A shape of VIA 3 as VIA 2 has it."""
    x, y = numbers[::2], numbers[1::2]
    if number == 7:
        return {"name": "polygon", "all_points_x": x, "all_points_y": y}
    if number == 8:  # by the outermost points of a box
        sides = {"width": max(x) - min(x), "height": max(y) - min(y)}
        return {"name": "rect", "x": min(x), "y": min(y), **sides}
    if number == 9:  # by three points of a circle
        return {"name": "circle", **_circle_through(x, y)}
    name, *measures = _SHAPES.get(number, (f"shape {number}",))
    return {"name": name, **dict(zip(measures, numbers, strict=False))}


def _circle_through(x, y):
    points = np.column_stack([x, y]).astype(float)
    squares = (points**2).sum(axis=1)
    centre = np.linalg.solve(
        2 * (points[1:3] - points[0]), squares[1:3] - squares[0]
    )
    radius = np.linalg.norm(points[0] - centre)
    return {"cx": centre[0], "cy": centre[1], "r": radius}


def add_shape(annotation, shape, label):
    """Add a VIA shape to an annotation, or count why it is none."""
    geometry = _geometry(shape)
    if geometry is False:
        leave_out(annotation, shape.get("name"))
    else:
        add(annotation, geometry, label)


def _geometry(shape):
    """A shape's geometry; None if it has too few points, False if no area."""
    shape_type = shape.get("name")
    if shape_type == "polygon":
        x, y = shape["all_points_x"], shape["all_points_y"]
        return polygon(list(zip(x, y, strict=True)))
    if shape_type == "rect":
        x, y = shape["x"], shape["y"]
        return shapely.box(x, y, x + shape["width"], y + shape["height"])
    if shape_type == "circle":
        return ellipse(shape["cx"], shape["cy"], shape["r"], shape["r"])
    if shape_type == "ellipse":
        angle = np.degrees(shape.get("theta", 0))
        return ellipse(
            shape["cx"], shape["cy"], shape["rx"], shape["ry"], angle
        )
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


class ViaWriter(Writer):
    """via_project.json of the VGG Image Annotator 2, for all images.

    VIA finds images by their file names: load the project, then add the
    image files.
    """

    def __init__(self, out, classes):
        super().__init__(out, classes)
        self.images = {}

    def files(self, names):
        return [self.out / "via_project.json"]

    def add(self, annotated):
        regions = []
        for instance in annotated.instances:
            attributes = {
                "class": instance.label,
                "score": score_text(instance),
            }
            for part in shapely.get_parts(instance.geometry):
                x, y = zip(*keyhole(part), strict=True)
                regions.append(
                    {
                        "shape_attributes": {
                            "name": "polygon",
                            "all_points_x": x,
                            "all_points_y": y,
                        },
                        "region_attributes": attributes,
                    }
                )
        name = annotated.name + Path(annotated.image).suffix
        size = Path(annotated.image).stat().st_size
        self.images[f"{name}{size}"] = {
            "filename": name,
            "size": size,
            "regions": regions,
            "file_attributes": {},
        }

    def close(self):
        text = {"type": "text", "description": "", "default_value": ""}
        names = dict.fromkeys(self.classes, "")
        attributes = {
            "class": {
                "type": "dropdown",
                "description": "",
                "options": names,
                "default_options": {},
            },
            "score": text,
        }
        write_text(
            self.out / "via_project.json",
            json_text(
                {
                    "_via_settings": {"project": {"name": "predictions"}},
                    "_via_img_metadata": self.images,
                    "_via_attributes": {"region": attributes, "file": {}},
                    "_via_data_format_version": _VIA,
                    "_via_image_id_list": list(self.images),
                }
            ),
        )
