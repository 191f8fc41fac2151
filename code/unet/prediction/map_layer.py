"""A predicted scene to polygons: GeoJSON and GeoPackage, while it streams.

An object is whole, wherever tiles or strips divide it, and it is written as
soon as no row of it can follow: memory holds the objects of the current rows.
"""

import json
import warnings
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from shapely.geometry import mapping

from unet.files.atomic import replacing
from unet.files.errors import DataError
from unet.geometry.components import RowBlocks
from unet.geometry.outlining import DEFAULTS
from unet.geometry.polygons import outline
from unet.geometry.scene_objects import LARGEST, SceneObjects
from unet.imagery.georeference import Ground, named_ground

ENDINGS = (".geojson", ".json", ".gpkg")
_BLOCK = 64  # rows that are searched for objects at once
_BATCH = 1000  # objects that are written at once


class Layer:
    """Writes the objects of a predicted scene as polygons.

    Each connected component (8 neighbours) of a class is one polygon, or
    several where ``heights`` separates it, holes kept, drawn by
    ``unet.geometry.polygons``. It carries an ``id``
    (from 1, in the file's order), its ``class``, ``area_m2`` (on the
    ellipsoid, of the polygon; ``area_px`` where the scene has no CRS, and the
    coordinates are then pixels from the top-left corner, y down, which
    programs take for degrees in GeoJSON, but not in a GeoPackage) and
    ``probability``, the mean of its pixels.

    As a context manager it closes the file at the end, and leaves nothing
    after an error.

    Args:
        path: of the file, which ends in .geojson, .json or .gpkg. It gets its
            name when it is whole.
        shape: (H, W) of the scene.
        classes: foreground class names.
        place: ``unet.imagery.georeference.Georeference`` of the scene; None:
            not known.
        outlining: ``unet.geometry.outlining.Outlining``.
        longitude_latitude: coordinates in longitude and latitude (WGS 84;
            GeoJSON then follows RFC 7946) instead of the CRS of the scene.
            GeoJSON always has them where the CRS has no registered name.
        heights: of each class: how objects that touch come apart, see
            ``unet.geometry.separation.separate``; None: they do not.

    Attributes:
        path: the file.
        count: polygons written so far.
        cut: how many connected components were too large, and were cut.

    Raises:
        DataError: another ending, or longitude and latitude of a scene that
            has no CRS.
    """

    def __init__(
        self,
        path,
        shape,
        classes,
        place=None,
        outlining=DEFAULTS,
        longitude_latitude=False,
        heights=None,
    ):
        self.path, self.shape = Path(path), shape
        ending = self.path.suffix.lower()
        if ending not in ENDINGS:
            raise DataError(
                f"{path}: expected a file that ends in {', '.join(ENDINGS)}. "
                "Give another name."
            )
        if ending == ".gpkg" or longitude_latitude:
            self.ground = Ground(place, longitude_latitude)
        else:
            self.ground = named_ground(place)
        if longitude_latitude and self.ground.crs is None:
            raise DataError(
                f"{path}: longitude and latitude need a scene that has a "
                "coordinate reference system, found none. Georeference the "
                "scene, or write pixels."
            )
        self.count = 0
        self._outlining = outlining
        self._blocks = RowBlocks(_BLOCK, shape[0])
        heights = heights or [None] * len(classes)
        self._classes = {
            name: SceneObjects(shape, height, LARGEST)
            for name, height in zip(classes, heights, strict=True)
        }
        self._stack = ExitStack()
        temporary = self._stack.enter_context(replacing(self.path))
        area = "area_px" if self.ground.crs is None else "area_m2"
        fields = ("id", "class", area, "probability")
        self._geometries, self._table = [], {field: [] for field in fields}
        if ending == ".gpkg":
            self._file = _GeoPackage(temporary, self.path.stem, self.ground.crs)
        else:
            self._file = _GeoJson(temporary, self.ground, longitude_latitude)
            self._stack.callback(self._file.file.close)

    @property
    def cut(self):
        return sum(objects.cut for objects in self._classes.values())

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if kind is None:
            self.close()
        else:
            self._stack.__exit__(kind, error, trace)

    def add(self, strip):
        """Add the next rows: a ``Strip`` of ``unet.prediction.scenes``."""
        several = len(self._classes) > 1
        for top, (ids, probability, known, edge) in self._blocks.add(
            strip.ids, strip.probability, strip.known, strip.edge
        ):
            for number, name in enumerate(self._classes, start=1):
                mask = (ids == number) & known
                own = probability[..., number if several else 0]
                objects = self._classes[name]
                self._write(name, objects.add(mask, own, top, edge=edge))

    def close(self):
        """Write what is still open; the file takes its name.

        Raises:
            ValueError: rows of the scene are missing. Nothing is written.
        """
        with self._stack:
            self._blocks.close()
            for name, objects in self._classes.items():
                self._write(name, objects.close())
            self._flush()
            self._file.close()

    def _write(self, name, objects):
        for item in objects:
            if item.pixels < self._outlining.smallest:
                continue
            polygon, geometry = self._drawn(item)
            self.count += 1
            self._geometries.append(geometry)
            values = (
                self.count,
                name,
                round(self.ground.area(polygon), 2),
                round(item.probability, 4),
            )
            for column, value in zip(self._table.values(), values, strict=True):
                column.append(value)
            if len(self._geometries) == _BATCH:
                self._flush()

    def _flush(self):
        self._file.write(self._geometries, self._table)
        self._geometries = []
        self._table = {field: [] for field in self._table}

    def _drawn(self, item):
        """The outline of an object in pixels, and on the ground."""
        part, top, left = item.mask, item.top, item.left
        drawing = self._outlining.tolerance, self._outlining.square
        polygon = outline(part, top, left, self.shape, *drawing)
        geometry = self.ground.move(polygon)
        if not geometry.is_valid:
            # Sides that nearly touch can cross when they are rounded anew;
            # those of the exact outline are nowhere so near.
            polygon = outline(part, top, left, self.shape, 0)
            geometry = self.ground.move(polygon)
        return polygon, geometry


class _GeoJson:
    """A feature collection, written feature by feature."""

    def __init__(self, path, ground, plain):
        """``plain``: RFC 7946, which knows no member "crs"."""
        head = {"type": "FeatureCollection"}
        if not plain:
            head["crs"] = ground.member
        self.file = path.open("w", encoding="utf-8")
        self.file.write(json.dumps(head)[:-1] + ', "features": [')
        self._separator = "\n"

    def write(self, geometries, table):
        """Add features: shapely geometries, and lists by field."""
        for geometry, *values in zip(geometries, *table.values(), strict=True):
            feature = {
                "type": "Feature",
                "properties": dict(zip(table, values, strict=True)),
                "geometry": mapping(geometry),
            }
            text = json.dumps(feature, ensure_ascii=False)
            self.file.write(self._separator + text)
            self._separator = ",\n"

    def close(self):
        self.file.write("\n]}\n")
        self.file.close()


@contextmanager
def quiet_without_crs():
    """Let pyogrio write scenes without a CRS, which is no fault, silently."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "'crs' was not provided")
        yield


class _GeoPackage:
    """A layer of a GeoPackage, written in batches."""

    def __init__(self, path, layer, crs):
        self._path, self._layer = path, layer
        self._crs = crs.to_wkt() if crs else None
        self._begun = False

    def write(self, geometries, table):
        """Add features: shapely geometries, and lists by field."""
        with quiet_without_crs():
            pyogrio.raw.write(
                self._path,
                shapely.to_wkb(np.array(geometries, object)),
                [np.array(values) for values in table.values()],
                list(table),
                layer=self._layer,
                driver="GPKG",
                geometry_type="Polygon",
                crs=self._crs,
                append=self._begun,
            )
        self._begun = True

    def close(self):
        """Nothing is open between two batches."""
