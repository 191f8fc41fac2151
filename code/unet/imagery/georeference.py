"""Where an image lies on the ground, and how much of it a pixel covers."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pyproj
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as project
from shapely import affinity
from shapely.geometry.polygon import orient

from unet.files.atomic import write_text
from unet.imagery.opening import GDAL_ERRORS, open_raster

# Files that say where they lie in a sidecar alone.
_PLAIN = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
# Pixels over which a step on the ground is measured.
_STEP = 50
_LONGITUDE_LATITUDE = "urn:ogc:def:crs:OGC:1.3:CRS84"
_DECIMALS = 3  # of a pixel, in coordinates on the ground
_SMALLEST = 1e-15  # metres, feet or degrees a pixel
_LONGEST = 256  # pixels of a side that is taken for straight on the globe


@dataclass(frozen=True)
class Georeference:
    """A place on the ground.

    Attributes:
        crs: coordinate reference system.
        transform: from (column, row) to its coordinates.
    """

    crs: CRS
    transform: Affine

    def scaled(self, rows, columns):
        """The place of the same image with so many times the pixels."""
        return Georeference(
            self.crs, self.transform * Affine.scale(1 / columns, 1 / rows)
        )

    def moved(self, top, left):
        """The place of a part of the image that begins at a pixel."""
        return Georeference(
            self.crs, self.transform * Affine.translation(left, top)
        )

    def resolution(self, shape):
        """Metres a pixel in the middle of an image.

        They are measured along the ellipsoid, whatever the unit of the CRS
        is: one of web maps (EPSG:3857) stretches metres by 1 / cos(latitude).

        Args:
            shape: (H, W) of the image.

        Returns:
            (from row to row, from column to column); None where the CRS
            knows no place on Earth.
        """
        row, column = shape[0] / 2, shape[1] / 2
        points = [(column, row), (column, row + _STEP), (column + _STEP, row)]
        x, y = zip(*(self.transform * point for point in points), strict=True)
        try:
            longitude, latitude = project(self.crs, "OGC:CRS84", x, y)
        except (CRSError, *GDAL_ERRORS):
            return None
        globe = pyproj.Geod(ellps="WGS84")
        *_, steps = globe.inv(
            [longitude[0]] * 2, [latitude[0]] * 2, longitude[1:], latitude[1:]
        )
        steps = np.array(steps)
        if not (np.isfinite(steps).all() and steps.all()):
            return None
        return tuple((steps / _STEP).tolist())


def read_georeference(path):
    """Where an image lies, or None where its files do not say.

    GDAL's sidecar ``NAME.png.aux.xml`` counts as part of an image.
    """
    if Path(path).suffix.lower() in _PLAIN and not _has_sidecar(path):
        return None  # without opening it
    try:
        with open_raster(path) as raster:
            return place_of(raster)
    except GDAL_ERRORS:
        return None


def place_of(raster):
    """Where an open raster lies, or None where it does not say."""
    if raster.crs is None or raster.transform.is_identity:
        return None
    if not has_ground(raster.transform):
        return None
    return Georeference(raster.crs, raster.transform)


def has_ground(transform):
    """Whether pixels have a size, and one that numbers can hold both ways."""
    sizes = np.hypot(*np.reshape(transform[:6], (2, 3))[:, :2])
    return bool(
        np.isfinite(transform[:6]).all()
        and not transform.is_degenerate
        and (sizes > _SMALLEST).all()
        and np.abs(transform[:6]).max() < 1 / _SMALLEST
    )


def sidecar(path):
    """The file in which GDAL keeps what an image's format cannot hold."""
    return Path(f"{path}.aux.xml")


def _has_sidecar(path):
    try:
        return sidecar(path).exists()
    except OSError:
        return False  # no file has so long a name


def write_georeference(path, place):
    """Say in a sidecar where a PNG lies; nothing if nobody knows it."""
    if place is None:
        return
    numbers = ", ".join(map(repr, place.transform.to_gdal()))
    write_text(
        sidecar(path),
        f"<PAMDataset>\n  <SRS>{escape(place.crs.to_wkt())}</SRS>\n"
        f"  <GeoTransform>{numbers}</GeoTransform>\n</PAMDataset>\n",
    )


class Ground:
    """From pixels to a coordinate reference system (CRS), or to themselves.

    Args:
        place: ``Georeference`` of the scene, with a CRS of any form that
            ``pyproj`` understands; None where nobody knows it. A CRS that has
            no place on the globe (a local grid) counts as None.
        longitude_latitude: give longitude and latitude, WGS 84, instead of
            coordinates in the CRS.

    Attributes:
        crs: ``pyproj.CRS`` of the coordinates, None: they are pixels.
        member: GeoJSON's member "crs"; None where they are pixels, or the CRS
            has no registered name.
    """

    def __init__(self, place, longitude_latitude=False):
        own = place and pyproj.CRS.from_user_input(place.crs)
        if own is not None and own.geodetic_crs is None:
            own = None
        self.crs, self.member, self._project = own, None, None
        if own is None:
            return
        self._matrix = place.transform.to_shapely()
        self._globe = own.get_geod()
        self._degrees = _transformer(own, own.geodetic_crs)
        if longitude_latitude:
            self.crs = pyproj.CRS("EPSG:4326")
            self._project = _transformer(own, self.crs)
        authority = self.crs.to_authority()
        # "EPSG:4326" has latitude first in some programs, this has it in none.
        if authority:
            name = "urn:ogc:def:crs:{}::{}".format(*authority)
            if authority == ("EPSG", "4326"):
                name = _LONGITUDE_LATITUDE
            self.member = {"type": "name", "properties": {"name": name}}
        pixel = self._moved(shapely.LineString([(0, 0), (1, 0)])).length
        self._decimals = _DECIMALS - int(np.floor(np.log10(pixel)))

    def _moved(self, geometry):
        geometry = affinity.affine_transform(geometry, self._matrix)
        if self._project is None:
            return geometry
        return shapely.transform(geometry, self._project)

    def move(self, geometry):
        """A Polygon or MultiPolygon from pixels to the CRS.

        Rounded to a thousandth of a pixel; outer rings anticlockwise and
        holes clockwise (RFC 7946).
        """
        if self.crs is not None:
            geometry = shapely.transform(
                self._moved(geometry), lambda at: at.round(self._decimals)
            )
        parts = [orient(part) for part in shapely.get_parts(geometry)]
        return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)

    def area(self, polygon):
        """Square metres of a polygon in pixels, on the ellipsoid of the CRS.

        A projection's own areas are not the ground's: those of EPSG:3857 are
        too large by 1 / cos(latitude)^2. Without a CRS the result is square
        pixels. (C. F. F. Karney, Algorithms for geodesics, 2013, in PROJ.)
        """
        if self.crs is None:
            return polygon.area
        # The sides of the CRS are no geodesics, except where they are short.
        short = shapely.segmentize(polygon, _LONGEST)
        on_crs = affinity.affine_transform(orient(short), self._matrix)
        degrees = shapely.transform(on_crs, self._degrees)
        return abs(self._globe.geometry_area_perimeter(degrees)[0])

    def place(self, x, y):
        """(longitude, latitude) of a pixel coordinate; None without a CRS."""
        if self.crs is None:
            return None
        point = affinity.affine_transform(shapely.Point(x, y), self._matrix)
        at = shapely.transform(point, self._degrees)
        return at.x, at.y


def named_ground(place):
    """The ``Ground`` for GeoJSON, whose CRS needs a registered name.

    Others become longitude and latitude.
    """
    ground = Ground(place)
    unnamed = ground.crs is not None and ground.member is None
    return Ground(place, True) if unnamed else ground


def _transformer(source, target):
    """A function that moves N x 2 coordinates, x or longitude first."""
    move = pyproj.Transformer.from_crs(source, target, always_xy=True)
    return lambda points: np.column_stack(move.transform(*points.T))
