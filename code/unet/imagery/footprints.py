"""Where tiles lie on the ground, whatever their scenes and systems."""

from dataclasses import dataclass

import numpy as np
import shapely
from rasterio.errors import CRSError
from rasterio.warp import transform as project

from unet.files.blocks import Footprint, named_footprints
from unet.imagery.georeference import read_georeference
from unet.imagery.opening import GDAL_ERRORS
from unet.imagery.stored import stored_as

_DEGREE = 111_320  # metres, along a meridian
_GROUND = "ground"


@dataclass(frozen=True)
class Ground:
    """The ground of some tiles.

    Attributes:
        footprints: list of ``Footprint``, one a tile.
        pixel: metres a pixel of the tiles, the median; None where a tile has
            no place on Earth: all footprints are in pixels of their scenes.
    """

    footprints: list[Footprint]
    pixel: float | None


def ground_of(samples):
    """Where tiles lie: on Earth if all have a place there, else in scenes.

    Metres are those along the median parallel and the meridians. Tiles of
    scenes that show the same ground share it, whatever the scenes' coordinate
    reference systems are.

    Args:
        samples: list of ``unet.files.folders.Sample`` whose names are those
            of tiles.

    Returns:
        ``Ground``.
    """
    by_name = Ground(named_footprints([s.name for s in samples]), None)
    corners, sides = [], []
    for sample in samples:
        at, size = _corners(sample)
        if at is None:
            return by_name
        corners.append(at)
        sides.append(size)
    corners = np.array(corners)  # tiles x corners x (longitude, latitude)
    parallel = np.cos(np.radians(np.median(corners[..., 1])))
    metres = corners * [_DEGREE * parallel, -_DEGREE]
    outlines = shapely.polygons(metres)
    pixels = np.sqrt(shapely.area(outlines)) / sides
    footprints = [Footprint(_GROUND, outline) for outline in outlines]
    return Ground(footprints, float(np.median(pixels)))


def _corners(sample):
    """(float 4 x 2, longitude and latitude; side in pixels), or (None, 0)."""
    place, stored = read_georeference(sample.image), stored_as(sample.image)
    if place is None or stored is None:
        return None, 0
    height, width = stored.shape
    pixels = [(0, 0), (width, 0), (width, height), (0, height)]
    x, y = zip(*(place.transform * corner for corner in pixels), strict=True)
    try:
        degrees = np.array(project(place.crs, "OGC:CRS84", x, y)[:2]).T
    except (CRSError, *GDAL_ERRORS):
        return None, 0
    if not np.isfinite(degrees).all():
        return None, 0
    return degrees, np.sqrt(height * width)
