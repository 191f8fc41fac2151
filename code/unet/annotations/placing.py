"""From places on the ground, or shares of an image, to its pixels."""

import re
from collections import Counter
from dataclasses import replace

import numpy as np
import shapely
from rasterio.crs import CRS
from rasterio.errors import RasterioIOError
from rasterio.warp import transform
from shapely import affinity

from unet.annotations.annotation import Annotation, check_reach
from unet.annotations.extents import both_extents, refuse_degrees
from unet.annotations.images import image_of
from unet.annotations.parsing import shortened
from unet.annotations.reading import DAMAGE
from unet.annotations.repairs import Repair
from unet.annotations.shapes import cut
from unet.annotations.uploads import without_prefixes
from unet.files.errors import DataError
from unet.geometry.instances import Instance
from unet.imagery.georeference import has_ground
from unet.imagery.opening import open_raster

_DECIMALS = 6  # of a pixel: what shares of an image leave exact
_FARTHEST_PLACE = 1e9  # metres, feet or degrees
# Names alone: GDAL would also open a file or an address that is called so.
_CRS_NAME = re.compile(
    r"(https?://www\.opengis\.net/def/crs/[\w./-]+|[A-Za-z][\w.-]*:[\w.:-]+)"
)


def in_pixels(annotation, image, seen=None):
    """Move an annotation from the ground to the pixels of an image.

    Args:
        annotation: with a ``crs``.
        image: path of the image. If it has no place on the ground the
            coordinates are taken for pixels.
        seen: where the image is one of several, a set: the numbers of the
            instances that lie on it are added; those elsewhere are no repair.

    Returns:
        An ``Annotation`` without ``crs``; geometry beyond the image is cut.
        With ``seen`` None for an image beyond all instances, or without a
        place: nobody looked at it.

    Raises:
        DataError: the CRS is unknown, the image cannot be read, or is the
            only one and all instances lie far away, or on the globe where the
            image has no place.
    """
    several = seen is not None
    try:
        with open_raster(image) as raster:
            crs, to_ground, shape = raster.crs, raster.transform, raster.shape
    except RasterioIOError as error:
        raise DataError(f"{image}: {shortened(error)}.") from None
    placed = Annotation(annotation.source)
    if not several:
        placed.repairs += annotation.repairs
    if crs is None:
        if several:
            return None
        refuse_degrees(annotation, image)
        for one in annotation.instances:
            check_reach(one.geometry, annotation.source)
            placed.instances.append(one)
        return placed
    if not has_ground(to_ground):
        raise DataError(
            f"{image}: expected pixels of some size on the ground, found the "
            f"transform {tuple(to_ground)[:6]}. Export the image again."
        )
    moved = _to_crs(annotation, crs, image)
    inverse = (~to_ground).to_shapely()
    frame = shapely.box(0, 0, shape[1], shape[0])
    extent = _extent(moved, inverse)
    if several and not extent.intersects(frame):
        return None
    if len(moved) and not extent.dwithin(frame, max(shape)):
        raise DataError(
            f"{annotation.source}: expected polygons on {image}, found all "
            f"{len(moved)} far from it in {annotation.crs} (what a file is in "
            f"that names no CRS): {both_extents(annotation, [image])}. Correct "
            "the CRS, or take the right image."
        )
    placed.extent = extent if len(moved) else None
    for number, one in enumerate(annotation.instances):
        geometry = moved[number]
        kept = None
        if _on_earth(geometry):
            geometry = affinity.affine_transform(geometry, inverse)
            kept = cut(geometry, frame)
        if kept is None:
            placed.repairs[Repair.OUTSIDE] += not several
            continue
        if several:
            seen.add(number)
        if kept is not geometry:
            placed.repairs[Repair.CUT] += 1
        check_reach(kept, annotation.source)
        placed.instances.append(Instance(kept, one.label))
    placed.repairs += Counter()  # drops the zeros
    if several and not placed.instances:
        placed.repairs[Repair.NO_FEATURE] += 1
    return placed


def from_shares(annotation, shape):
    """Scale an annotation in shares of its image to pixels.

    Args:
        annotation: returned as it is, unless it is ``in_shares``.
        shape: (H, W) of the image as the eye sees it; None where it cannot
            be read, and nobody will draw there.
    """
    if not annotation.in_shares or shape is None:
        return annotation
    size = np.array(shape[::-1])

    def scaled(points):
        return np.round(points * size, _DECIMALS)

    instances = [
        replace(one, geometry=shapely.transform(one.geometry, scaled))
        for one in annotation.instances
    ]
    return replace(annotation, instances=instances, in_shares=False)


def by_image(annotations, images):
    """Annotations by image name, moved from the ground to pixels.

    A file of places on the ground that is not called like an image is for
    every georeferenced image among them.

    Args:
        annotations: of ``read_file``.
        images: of ``find_images``.

    Yields:
        (image name, ``Annotation``).

    Raises:
        DataError: it touches none.
    """
    for name, annotation in without_prefixes(annotations, images):
        if annotation.crs is None:
            yield name, annotation
        elif name in images or len(images) == 1:
            (only,) = [name] if name in images else images
            image = image_of(images[only], annotation)
            yield only, in_pixels(annotation, image)
        else:
            yield from _on_tiles(annotation, images)


def _on_tiles(annotation, images):
    """The parts of an annotation on the ground, by image name."""
    here, seen = {}, set()
    repairs = annotation.repairs
    for name, paths in images.items():
        one = in_pixels(annotation, image_of(paths, None), seen)
        if one:
            one.repairs += repairs
            here[name], repairs = one, Counter()  # counted once
    if not seen:
        every = [path for paths in images.values() for path in paths]
        raise DataError(
            f"{annotation.source}: expected the name of an image, or places "
            "on georeferenced images, found neither: "
            f"{both_extents(annotation, every)}. Call it like its image, or "
            "correct its CRS."
        )
    missed = len(annotation.instances) - len(seen)
    if missed:
        first = next(one for one in here.values() if one.instances)
        first.repairs[Repair.OUTSIDE_ALL] += missed
    return here.items()


def _extent(geometries, inverse):
    """The box around all geometries that have a place, in pixels.

    An empty geometry where none has.
    """
    known = [one for one in geometries if _on_earth(one)]
    if not known:
        return shapely.Polygon()
    box = shapely.box(*shapely.total_bounds(known))
    return affinity.affine_transform(box, inverse)


def _to_crs(annotation, crs, image):
    """The geometries of an annotation in an image's CRS."""
    try:
        if not _CRS_NAME.fullmatch(annotation.crs):
            raise ValueError("no name such as EPSG:4326")
        known = CRS.from_user_input(annotation.crs)
    except DAMAGE as error:
        raise DataError(
            f"{annotation.source}: expected places in a coordinate reference "
            f"system that leads to that of {image}, found "
            f"{shortened(annotation.crs)} ({shortened(error)}). Correct "
            "the CRS."
        ) from None

    def move(points):
        try:
            return np.column_stack(transform(known, crs, *points.T))
        except Exception:  # GDAL's errors have no public name
            return np.full_like(points, np.inf)

    geometries = [one.geometry for one in annotation.instances]
    if not geometries:
        return []
    moved = shapely.transform(geometries, move)
    if not _on_earth(moved):
        # One point beyond the projection spoils all that go with it.
        moved = [shapely.transform(one, move) for one in geometries]
    return moved


def _on_earth(geometry):
    """Whether a projection could show every point (it gives inf if not)."""
    points = shapely.get_coordinates(geometry)
    return bool((np.abs(points) < _FARTHEST_PLACE).all())
