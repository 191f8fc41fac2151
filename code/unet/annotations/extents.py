"""Where polygons lie, and where images do, in words of an error."""

import numpy as np
import shapely
from rasterio.errors import CRSError, RasterioIOError
from rasterio.warp import transform_bounds

from unet.files.errors import DataError
from unet.imagery.opening import GDAL_ERRORS, open_raster

# Smaller objects in pixels, all of them, are drawn in no pixels at all.
_LEAST_AREA = 1
_MOST_DEGREES = 180, 90


def both_extents(annotation, images):
    """``the polygons span ..., the images ..., in EPSG:4326``.

    Args:
        annotation: ``Annotation`` with a ``crs``.
        images: paths of images.
    """
    polygons = f"the polygons span {listed_span(_bounds(annotation))}"
    boxes = [box for image in images for box in _box(image, annotation.crs)]
    if not boxes:
        return (
            f"{polygons} in {annotation.crs}, and no image has a coordinate "
            "reference system"
        )
    low, high = np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]
    some = "the image" if len(boxes) == 1 else f"the {len(boxes)} images"
    return (
        f"{polygons}, {some} {listed_span([*low, *high])}, in {annotation.crs}"
    )


def refuse_degrees(annotation, image):
    """Raise DataError for places on the globe beside an image without one.

    Args:
        annotation: with a ``crs``; on an image without a place its
            coordinates are taken for pixels.
        image: path of the image.
    """
    geometries = [one.geometry for one in annotation.instances]
    if not geometries:
        return
    points = np.abs(shapely.get_coordinates(geometries))
    if (points > _MOST_DEGREES).any():
        return
    if shapely.area(geometries).max() < _LEAST_AREA:
        raise DataError(
            f"{image}: expected a coordinate reference system beside polygons "
            f"in degrees ({annotation.source} spans "
            f"{listed_span(_bounds(annotation))}), found none. Export the "
            "image as GeoTIFF with its place, or the polygons in pixels."
        )


def _bounds(annotation):
    return shapely.total_bounds([one.geometry for one in annotation.instances])


def _box(image, crs):
    """[(left, bottom, right, top)] of an image in a CRS; [] without one."""
    try:
        with open_raster(image) as raster:
            if raster.crs is None:
                return []
            return [transform_bounds(raster.crs, crs, *raster.bounds)]
    except (CRSError, RasterioIOError, *GDAL_ERRORS):
        return []


def listed_span(bounds):
    """(left, low, right, high) as ``85.51, 27.62 to 85.53, 27.64``."""
    left, low, right, high = (f"{value:.7g}" for value in bounds)
    return f"{left}, {low} to {right}, {high}"
