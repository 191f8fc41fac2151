"""Instances written as the annotation files of other tools.

``unet.formats`` reads every one of them back. To add a format write a class
and add it to ``WRITERS``; nothing else needs to know.

The article's text, labelme and VIA know no holes. There a polygon with holes
is one ring that runs to each hole, around it and back on the same way (a
keyhole): it stays one object to edit, covers the same pixels, and the ring
begins at a point through which it runs only once, because in the article's
text a ring ends where its first point comes again.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import shapely
from pycocotools import mask as rle
from shapely.geometry import mapping
from shapely.geometry.polygon import orient

from unet.folders import DataError, write_text
from unet.ground import named_ground

_LABELME = "5.5.0"
_VIA = "2.0.10"


@dataclass
class Annotated:
    """One image with the instances to write.

    Attributes:
        name: what its annotation is called.
        image: the image file.
        shape: (H, W) of the image as ``unet.images`` reads it.
        instances: list of ``unet.polygons.Found``.
    """

    name: str
    image: Path
    shape: tuple[int, int]
    instances: list


class Writer:
    """Writes annotations below a directory, image by image.

    Args:
        out: the directory; made when the first file is written.
        classes: class names, in the order of their ids.
    """

    def __init__(self, out, classes):
        self.out = Path(out)
        self.classes = list(classes)

    def files(self, names):
        """Every file that is written for images of these names."""
        return [self._path(name) for name in names]

    def _path(self, name):
        return self.out / f"{name}{self.ending}"

    def add(self, annotated):
        """Write an ``Annotated``, or keep it for ``close``."""
        text = self._text(annotated)
        write_text(self._path(annotated.name), text)

    def close(self):
        """Write what is one file for all images."""


class ArticleWriter(Writer):
    """NAME.txt with ``[[x, y], ...]``: rings run together in one list.

    ``[]`` says that nothing was found.

    Raises:
        DataError: there are several classes; the text has no place for them.
    """

    ending = ".txt"

    def __init__(self, out, classes):
        super().__init__(out, classes)
        if len(self.classes) > 1:
            raise DataError(
                "the article's text has room for one class, found "
                f"{', '.join(self.classes)}. Choose labelme, coco, geojson or "
                "via."
            )

    def _text(self, annotated):
        points = []
        for ring in _keyholes(annotated):
            points += [*ring, ring[0]]
        return json.dumps(points) + "\n"


class LabelmeWriter(Writer):
    """NAME.json of labelme 5.

    It opens with the image, whose place is written relative to the file:
    keep both where they are, or move them together.
    """

    ending = ".json"

    def _text(self, annotated):
        shapes = []
        for number, one in enumerate(annotated.instances, start=1):
            for polygon in shapely.get_parts(one.geometry):
                shapes.append(
                    {
                        "label": one.label,
                        "points": keyhole(polygon),
                        "group_id": number,
                        "description": _score_text(one),
                        "shape_type": "polygon",
                        "flags": {},
                        "mask": None,
                    }
                )
        image = Path(annotated.image).resolve()
        place = os.path.relpath(image, self.out.resolve())
        height, width = annotated.shape
        return _json(
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


class CocoWriter(Writer):
    """annotations.json of COCO, for all images, with scores.

    Polygons, or run-length encoded masks for instances with holes: COCO's
    polygons have none.
    """

    def __init__(self, out, classes):
        super().__init__(out, classes)
        self.ids = {name: k for k, name in enumerate(self.classes, start=1)}
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
                "category_id": self.ids[one.label],
                **_segmentation(one, annotated.shape),
                "iscrowd": 0,
            }
            if one.score is not None:
                entry["score"] = round(one.score, 4)
            self.annotations.append(entry)

    def close(self):
        write_text(
            self.out / "annotations.json",
            _json(
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


class GeojsonWriter(Writer):
    """NAME.geojson, one feature an instance.

    On an image that has a place on the ground the coordinates are in the
    image's own coordinate reference system, which the file names; systems
    without a registered name give longitude and latitude. On other images
    the coordinates are pixels and "crs" is null.
    """

    ending = ".geojson"

    def _text(self, annotated):
        with rasterio.open(annotated.image) as raster:
            ground = named_ground(raster.crs, raster.transform)
        features = []
        for one in annotated.instances:
            properties = {"class": one.label}
            if one.score is not None:
                properties["score"] = round(one.score, 4)
            geometry = ground.move(one.geometry)
            features.append(
                {
                    "type": "Feature",
                    "properties": properties,
                    "geometry": mapping(geometry),
                }
            )
        return _json(
            {
                "type": "FeatureCollection",
                "crs": ground.member,
                "features": features,
            }
        )


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
        for one in annotated.instances:
            attributes = {"class": one.label, "score": _score_text(one)}
            for polygon in shapely.get_parts(one.geometry):
                x, y = zip(*keyhole(polygon), strict=True)
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
            _json(
                {
                    "_via_settings": {"project": {"name": "predictions"}},
                    "_via_img_metadata": self.images,
                    "_via_attributes": {"region": attributes, "file": {}},
                    "_via_data_format_version": _VIA,
                    "_via_image_id_list": list(self.images),
                }
            ),
        )


def _json(value):
    return json.dumps(value, ensure_ascii=False) + "\n"


def _score_text(one):
    return "" if one.score is None else f"{one.score:.4f}"


def _keyholes(annotated):
    for one in annotated.instances:
        for polygon in shapely.get_parts(one.geometry):
            yield keyhole(polygon)


def keyhole(polygon):
    """A polygon as one ring, with a way to each hole and back.

    Args:
        polygon: ``shapely.Polygon``.

    Returns:
        List of [x, y], not closed, that begins at a point which comes only
        once.
    """
    # Opposite turns, so that by any rule of filling a hole stays a hole.
    polygon = orient(polygon)
    ring, *holes = [
        shapely.get_coordinates(one)[:-1]
        for one in (polygon.exterior, *polygon.interiors)
    ]
    walls = polygon.boundary
    shapely.prepare(walls)
    # With the leftmost first, each leftmost point sees a point of the ring.
    for hole in sorted(holes, key=lambda hole: hole[:, 0].min()):
        ring = _joined(ring, hole, walls)
    _, first, count = np.unique(
        ring, axis=0, return_index=True, return_counts=True
    )
    return np.roll(ring, -first[count == 1].min(), axis=0).tolist()


def _joined(ring, hole, walls):
    """A ring with a hole in it: there, around the hole, and back.

    Args:
        ring: float, N x 2.
        hole: float, M x 2; nothing of the ring is missing to its left.
        walls: the polygon's boundary, which the way may not cross.
    """
    hole = np.roll(hole, -hole[:, 0].argmin(), axis=0)
    ways = ring - hole[0]
    distances = np.hypot(*ways.T)
    distances[ways[:, 0] > 0] = np.inf
    nearest = at = distances.argmin()
    while distances[at] and walls.intersects(_inner(hole[0], ways[at])):
        distances[at] = np.inf
        at = distances.argmin()
        if np.isinf(distances[at]):
            at = nearest  # a way of no width that crosses fills the same
            break
    return np.concatenate([ring[: at + 1], hole, hole[:1], ring[at:]])


def _inner(start, way):
    """A way without its ends."""
    return shapely.LineString([start + 0.001 * way, start + 0.999 * way])


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


WRITERS = {
    "article": ArticleWriter,
    "labelme": LabelmeWriter,
    "coco": CocoWriter,
    "geojson": GeojsonWriter,
    "via": ViaWriter,
}
