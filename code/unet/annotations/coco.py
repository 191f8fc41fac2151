"""COCO JSON."""

from pathlib import Path

import numpy as np
import shapely
from pycocotools import mask as rle

from unet.annotations.annotation import Annotation, image_name, size_of
from unet.annotations.repairs import Repair
from unet.annotations.shapes import add, clean, polygon, together
from unet.annotations.writing import Writer, json_text
from unet.files.atomic import write_text
from unet.files.errors import DataError
from unet.files.folders import IGNORE
from unet.geometry.instances import PixelInstance


def read_coco(data, path, rules):
    """COCO JSON: polygons, run-length encoded masks, or boxes."""
    labels = {one["id"]: one["name"] for one in data.get("categories", [])}
    annotations, images = {}, {}
    for image in data["images"]:
        name = image_name(str(image["file_name"]), path, rules.directories)
        if name in annotations:
            raise DataError(
                f"{path}: lists two images called {name}; annotations are "
                "paired by name. Rename one."
            )
        size = size_of(image, "height", "width")
        annotations[name] = Annotation(path, size=size)
        images[image["id"]] = (name, image.get("height"), image.get("width"))
    # Objects win over the crowds that they stand in.
    for one in sorted(data.get("annotations", []), key=_is_object):
        if one["image_id"] not in images:
            raise DataError(
                f"{path}: annotation {one.get('id')} belongs to image "
                f"{one['image_id']}, which the file does not list. Export it "
                "again."
            )
        name, height, width = images[one["image_id"]]
        annotation = annotations[name]
        label = labels.get(one.get("category_id"))
        if not _is_object(one):
            annotation.repairs[Repair.CROWD] += 1
            label = IGNORE
        segmentation = one.get("segmentation")
        if isinstance(segmentation, dict):
            packed = _packed(segmentation, height, width, path, rules.limits)
            annotation.instances.append(PixelInstance(packed, clean(label)))
        elif segmentation:
            parts = [
                polygon(np.reshape(flat, (-1, 2))) for flat in segmentation
            ]
            add(annotation, together(parts), label)
        else:
            x, y, w, h = one["bbox"]
            annotation.repairs[Repair.ONLY_BOX] += 1
            add(annotation, shapely.box(x, y, x + w, y + h), label)
    return annotations


def _is_object(one):
    """Whether an annotation is one object, and no crowd of uncounted ones."""
    return not one.get("iscrowd")


def _packed(segmentation, height, width, path, limits):
    """A COCO run-length encoded mask, checked and compressed."""
    size = [int(n) for n in segmentation["size"]]
    if size != [height, width] or not 0 < height * width <= limits.pixels:
        raise DataError(
            f"{path}: expected a mask of the size of its image, {height} x "
            f"{width}, found {size[0]} x {size[1]}. Export the file again."
        )
    counts = segmentation["counts"]
    if isinstance(counts, list):
        if min(counts, default=0) < 0 or sum(counts) != height * width:
            raise DataError(
                f"{path}: expected runs that add up to {height * width} "
                f"pixels, found {sum(counts)}. Export the file again."
            )
        return rle.frPyObjects({"size": size, "counts": counts}, *size)
    if _covered(counts.encode("ascii")) != height * width:
        raise DataError(
            f"{path}: expected a run-length code of {height * width} pixels, "
            "found another or a damaged one. Export the file again."
        )
    return {"size": size, "counts": counts}


def _covered(code):
    """How many pixels a compressed run-length code covers; -1 if damaged.

    pycocotools leaves what a short code does not cover to chance.
    """
    counts, value, bits = [], 0, 0
    for sign in code:
        piece = sign - 48
        if not 0 <= piece < 64 or bits > 60:
            return -1
        value |= (piece & 31) << bits
        bits += 5
        if piece & 32:
            continue
        if piece & 16:
            value -= 1 << bits
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = bits = 0
    return -1 if bits or min(counts, default=0) < 0 else sum(counts)


class CocoWriter(Writer):
    """annotations.json of COCO, for all images, with scores.

    Polygons, or run-length encoded masks for instances with holes: COCO's
    polygons have none.
    """

    def __init__(self, out, classes):
        super().__init__(out, classes)
        named = [name for name in self.classes if name != IGNORE]
        self.ids = {name: k for k, name in enumerate(named, start=1)}
        self.images, self.annotations = [], []

    def files(self, names):
        return [self.out / "annotations.json"]

    def add(self, annotated):
        height, width = annotated.shape
        number = len(self.images) + 1
        self.images.append(
            {
                "id": number,
                "file_name": annotated.name + Path(annotated.image).suffix,
                "width": width,
                "height": height,
            }
        )
        for one in annotated.instances:
            entry = {
                "id": len(self.annotations) + 1,
                "image_id": number,
                # A crowd needs some category, whichever it is.
                "category_id": self.ids.get(one.label, 1),
                **_segmentation(one, annotated.shape),
                "iscrowd": int(one.label == IGNORE),
            }
            if one.score is not None:
                entry["score"] = round(one.score, 4)
            self.annotations.append(entry)

    def close(self):
        write_text(
            self.out / "annotations.json",
            json_text(
                {
                    "images": self.images,
                    "annotations": self.annotations,
                    "categories": [
                        {"id": k, "name": name, "supercategory": ""}
                        for name, k in self.ids.items()
                    ],
                }
            ),
        )


def _segmentation(one, shape):
    """COCO's segmentation, area and box of an instance."""
    parts = shapely.get_parts(one.geometry)
    if any(part.interiors for part in parts):
        packed = rle.encode(np.asfortranarray(one.mask(shape), np.uint8))
        return {
            "segmentation": {
                "size": list(shape),
                "counts": packed["counts"].decode("ascii"),
            },
            "area": float(rle.area(packed)),
            "bbox": rle.toBbox(packed).tolist(),
        }
    left, top, right, bottom = one.geometry.bounds
    return {
        "segmentation": [
            np.ravel(part.exterior.coords[:-1]).tolist() for part in parts
        ],
        "area": round(one.geometry.area, 2),
        "bbox": np.round([left, top, right - left, bottom - top], 2).tolist(),
    }
