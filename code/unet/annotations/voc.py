"""Pascal VOC's XML: boxes."""

from unet.annotations.annotation import Annotation, image_name, size_of
from unet.annotations.repairs import Repair
from unet.annotations.shapes import add, box
from unet.files.errors import DataError


def read_voc(root, path, rules):
    """Pascal VOC's XML: the boxes of one image.

    VOC counts pixels from 1, and a box holds its last one ("The top-left
    pixel in the image has coordinates (1, 1)", VOC2012 Development Kit): from
    1 to W is the whole width. A 0, from programs that count from 0, is the
    border as well.
    """
    file = (root.findtext("filename") or path.stem).strip()
    size = {key: root.findtext(f"size/{key}") for key in ("height", "width")}
    annotation = Annotation(
        path,
        size=size_of(size, *size),
        file=file.replace("\\", "/").rpartition("/")[2],
    )
    for number, item in enumerate(root.findall("object"), start=1):
        sides = item.find("bndbox")
        if sides is None:
            raise DataError(
                f"{path}: expected a box (bndbox) in every object, found "
                f"object {number} without. Export the file as Pascal VOC."
            )
        annotation.repairs[Repair.ONLY_BOX] += 1
        label = item.findtext(rules.attribute or "name")
        add(annotation, _geometry(sides), label)
    return {image_name(file, path, rules.directories): annotation}


def _geometry(sides):
    x = sorted(float(sides.findtext(key)) for key in ("xmin", "xmax"))
    y = sorted(float(sides.findtext(key)) for key in ("ymin", "ymax"))
    (left, right), (top, bottom) = x, y
    return box(max(left - 1, 0), max(top - 1, 0), right, bottom)
