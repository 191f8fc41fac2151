"""CVAT for images, XML 1.1."""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import shapely
from shapely import affinity

from unet.annotations.annotation import Annotation, image_name
from unet.annotations.shapes import add, clean, ellipse, leave_out, polygon
from unet.annotations.writing import Writer
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.geometry.instances import PixelInstance, packed_of
from unet.geometry.keyhole import keyhole

# What holds no shape: notes on the image as a whole.
_NO_SHAPES = ("tag",)


def read_cvat(root, path, rules):
    """CVAT for images, XML 1.1: polygons, boxes, ellipses and masks.

    Shapes lie in the order of their layers (``z_order``), as CVAT shows them.
    """
    annotations = {}
    for image in root.iter("image"):
        name = image_name(image.attrib["name"], path, rules.directories)
        if name in annotations:
            raise DataError(
                f"{path}: lists two images called {name}; annotations are "
                "paired by name. Rename one."
            )
        size = int(image.attrib["height"]), int(image.attrib["width"])
        annotation = annotations[name] = Annotation(path, size=size)
        shapes = [one for one in image if one.tag not in _NO_SHAPES]
        for shape in sorted(shapes, key=_layer):
            _add_shape(annotation, shape, rules)
    if not annotations and root.find("track") is not None:
        raise DataError(
            f"{path}: expected CVAT for images 1.1, found CVAT for video. "
            "Export the task as CVAT for images 1.1."
        )
    return annotations


def _layer(shape):
    return int(shape.attrib.get("z_order", 0))


def _add_shape(annotation, shape, rules):
    label = _label(shape, rules.attribute)
    if shape.tag == "mask":
        _add_mask(annotation, shape.attrib, label, rules.limits)
        return
    geometry = _geometry(shape.tag, shape.attrib)
    if geometry is False:
        leave_out(annotation, shape.tag)
    else:
        add(annotation, geometry, label)


def _label(shape, attribute):
    """A shape's class: its label, or the attribute that was asked for."""
    if attribute is None:
        return shape.attrib.get("label")
    attributes = {
        one.attrib.get("name"): one.text for one in shape.iter("attribute")
    }
    return attributes.get(attribute)


def _geometry(shape_type, attributes):
    """A shape's geometry; None if it has too few points, False if no area."""
    if shape_type == "polygon":
        return polygon(
            [pair.split(",") for pair in attributes["points"].split(";")]
        )
    degrees = float(attributes.get("rotation", 0))
    if shape_type == "box":
        x0, y0, x1, y1 = (
            float(attributes[k]) for k in ("xtl", "ytl", "xbr", "ybr")
        )
        return affinity.rotate(shapely.box(x0, y0, x1, y1), degrees)
    if shape_type == "ellipse":
        x, y, rx, ry = (float(attributes[k]) for k in ("cx", "cy", "rx", "ry"))
        return ellipse(x, y, rx, ry, degrees)
    return False


def _add_mask(annotation, attributes, label, limits):
    """Add a mask: runs of background and object in turn, row by row."""
    top, left = int(attributes["top"]), int(attributes["left"])
    shape = int(attributes["height"]), int(attributes["width"])
    runs = [int(run) for run in attributes["rle"].split(",")]
    right = min(shape) > 0 and math.prod(shape) <= limits.pixels
    if not right or min(runs) < 0 or sum(runs) != math.prod(shape):
        raise DataError(
            f"{annotation.source}: expected runs that fill a mask of "
            f"{shape[1]} x {shape[0]} (width x height, at most "
            f"{limits.pixels} pixels), found {sum(runs)} pixels. Export the "
            "file again."
        )
    values = np.arange(len(runs)) % 2 == 1
    pixels = np.repeat(values, runs).reshape(shape)
    annotation.instances.append(
        PixelInstance(packed_of(pixels), clean(label), top, left)
    )


class CvatWriter(Writer):
    """annotations.xml of CVAT for images 1.1, for all images.

    CVAT finds images by their names: upload it to a task of these images,
    whose labels are the classes. The parts of an instance are a group.
    """

    def __init__(self, out, classes):
        super().__init__(out, classes)
        self.root = ElementTree.Element("annotations")
        _child(self.root, "version", "1.1")
        task = _child(_child(self.root, "meta"), "task")
        _child(task, "name", "predictions")
        self.size = _child(task, "size")
        _child(task, "mode", "annotation")
        labels = _child(task, "labels")
        for name in self.classes:
            label = _child(labels, "label")
            _child(label, "name", name)
            _child(label, "attributes")
        self.count = 0

    def files(self, names):
        return [self.out / "annotations.xml"]

    def add(self, annotated):
        height, width = annotated.shape
        image = ElementTree.SubElement(
            self.root,
            "image",
            id=str(self.count),
            name=annotated.name + Path(annotated.image).suffix,
            width=str(width),
            height=str(height),
        )
        self.count += 1
        for number, instance in enumerate(annotated.instances, start=1):
            parts = shapely.get_parts(instance.geometry)
            group = {"group_id": str(number)} if len(parts) > 1 else {}
            for part in parts:
                ring = (f"{float(x)},{float(y)}" for x, y in keyhole(part))
                ElementTree.SubElement(
                    image,
                    "polygon",
                    label=instance.label,
                    source="auto",
                    occluded="0",
                    points=";".join(ring),
                    z_order="0",
                    **group,
                )

    def close(self):
        self.size.text = str(self.count)
        ElementTree.indent(self.root)
        text = ElementTree.tostring(self.root, "unicode")
        head = '<?xml version="1.0" encoding="utf-8"?>\n'
        write_text(self.out / "annotations.xml", f"{head}{text}\n")


def _child(parent, tag, text=None):
    child = ElementTree.SubElement(parent, tag)
    child.text = text
    return child
