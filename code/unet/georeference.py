"""Where on the ground an image lies, and how much of it a pixel covers."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import pyproj
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioIOError
from rasterio.warp import transform as project

from unet.folders import write_text

# Files that say where they lie in a sidecar alone.
_PLAIN = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif")
# Pixels over which a step on the ground is measured.
_STEP = 50


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
        except CRSError:
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
    if Path(path).suffix.lower() in _PLAIN and not sidecar(path).exists():
        return None  # without opening it
    try:
        with rasterio.open(path) as raster:
            if raster.crs is None or raster.transform.is_identity:
                return None
            return Georeference(raster.crs, raster.transform)
    except RasterioIOError:
        return None


def sidecar(path):
    """The file in which GDAL keeps what an image's format cannot hold."""
    return Path(f"{path}.aux.xml")


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
