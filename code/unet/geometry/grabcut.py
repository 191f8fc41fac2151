"""Boxes and rough polygons, tightened to the object in the image.

GrabCut (Rother, Kolmogorov and Blake 2004, "GrabCut": interactive foreground
extraction using iterated graph cuts) learns the colours of the object and of
the ground around it, and cuts where the two meet.
"""

import cv2
import numpy as np
import shapely
from shapely import affinity

from unet.geometry.masks import instances, rasterise
from unet.geometry.polygons import outlines
from unet.imagery.resizing import resize_image

# Chosen on training tiles, see tests/benchmarks/grabcut.py.
_CORE = 0.6  # the ellipse in a box that is surely object, in the box's sides
_RIM = 0.08  # how far a polygon may be off, in roots of its area
_AROUND = 0.25  # the ground to learn from, on each side, in the shape's sides
_LEAST_AROUND = 4  # pixels of it
_ROUNDS = 1  # more cost time and gain nothing
# The longer side of a shape, in pixels, while it is cut. Connected regions of
# few pixels are torn apart; time grows faster than the number of pixels.
_SMALLEST, _LARGEST = 128, 256
_MOST_ENLARGED = 8
_DECIMALS = 2  # of a pixel, in every coordinate
# Side of the median filter that takes away ragged edges while the shape is
# that large: a quarter fewer corners to correct, at the same IoU.
_SMOOTHED = 11
# Beyond these shares of what was open the colours did not tell.
_LEAST_TAKEN, _MOST_TAKEN = 0.15, 0.96
# Less than this between the mean colours of object and ground, in standard
# deviations, is noise (Mahalanobis distance; one real roof in 500 has less).
_LEAST_CONTRAST = 0.2
# An object spans its box (Lempitsky et al. 2009, Image segmentation with a
# bounding box prior): a result that spans less of a side is a part of it.
_LEAST_SPAN = 0.7


def tighten(image, geometry):
    """Fit a box or a rough polygon to the object in an image.

    In an upright box the middle is taken for the object and the rest is open;
    the result lies in the box. Of a polygon only a rim on both sides of the
    outline is open. Every part of the result holds a part of what was taken
    for the object; holes are filled unless the polygon has them. Equal calls
    give equal results, in any thread.

    Args:
        image: uint8, H x W x 3, RGB.
        geometry: ``shapely`` Polygon or MultiPolygon in pixels.

    Returns:
        Polygon or MultiPolygon in pixels; or None where the image does not
        tell object from ground, or the shape cannot be used (self-crossing,
        outside the image, thinner than its rim).
    """
    frame = shapely.box(0, 0, image.shape[1], image.shape[0])
    if not shapely.is_valid(shapely.get_parts(geometry)).all():
        return None
    # The buffer unites overlapping parts and drops what has no area.
    geometry = geometry.buffer(0).intersection(frame).buffer(0)
    allowed, core = _limits(geometry)
    if core.is_empty:
        return None
    window = _window(geometry, image.shape)
    mask = _cut(image[window], *_moved((geometry, allowed, core), window))
    if mask is None:
        return None
    parts = [one.geometry for one in outlines(mask)]
    found = parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)
    corner = window[1].start, window[0].start
    # Outlines may leave their pixels by half a one.
    low, high = np.reshape(allowed.intersection(frame).bounds, (2, 2))
    return shapely.transform(
        found, lambda at: np.clip(np.round(at + corner, _DECIMALS), low, high)
    )


def _is_box(geometry):
    """Whether a geometry is an upright rectangle."""
    return geometry.area >= (1 - 1e-6) * geometry.envelope.area


def _limits(geometry):
    """Where the object may be, and where it surely is.

    Returns:
        (allowed, core): geometries; the core of what has no area is empty.
    """
    if geometry.is_empty:
        return geometry, geometry
    if _is_box(geometry):
        left, top, right, bottom = geometry.bounds
        circle = geometry.centroid.buffer(_CORE / 2, quad_segs=16)
        return geometry, affinity.scale(circle, right - left, bottom - top)
    rim = _RIM * np.sqrt(geometry.area)
    return geometry.buffer(rim), geometry.buffer(-rim)


def _window(geometry, shape):
    """Rows and columns of a shape and the ground around it, as slices."""
    low, high = np.reshape(geometry.bounds, (2, 2))
    around = np.maximum(_AROUND * (high - low), _LEAST_AROUND)
    left, top = np.maximum(np.floor(low - around), 0).astype(int)
    right, bottom = np.ceil(high + around).astype(int)
    return slice(top, min(bottom, shape[0])), slice(left, min(right, shape[1]))


def _moved(geometries, window):
    top, left = (part.start for part in window)
    return [affinity.translate(one, -left, -top) for one in geometries]


def _cut(image, geometry, allowed, core):
    """The object's pixels in a window of the image, or None.

    Args:
        image: uint8, H x W x 3, the window.
        geometry, allowed, core: in pixels of the window.
    """
    from scipy.ndimage import binary_fill_holes  # slow to import

    shape = image.shape[:2]
    size = _working_size(shape, geometry)
    factors = size[1] / shape[1], size[0] / shape[0]
    labels = np.full(size, cv2.GC_BGD, np.uint8)
    for one, label in (
        (allowed, cv2.GC_PR_BGD),
        (geometry, cv2.GC_PR_FGD),
        (core, cv2.GC_FGD),
    ):
        scaled = affinity.scale(one, *factors, origin=(0, 0))
        labels[rasterise(scaled, size)] = label
    sure = labels == cv2.GC_FGD
    ground = labels == cv2.GC_BGD
    unsure = ~sure & ~ground
    if not (sure.any() and ground.any() and unsure.any()):
        return None
    image = resize_image(image, size)
    _grab(image, labels)
    mask = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    numbers, _ = instances(mask)
    mask &= np.isin(numbers, np.unique(numbers[sure]))
    mask = binary_fill_holes(mask) & ~ground
    taken = mask[unsure].mean()
    if not _LEAST_TAKEN <= taken <= _MOST_TAKEN:
        return None
    if _is_box(geometry) and not _spans(mask, ~ground):
        return None
    if _contrast(image[mask], image[~mask]) < _LEAST_CONTRAST:
        return None
    smooth = cv2.medianBlur(mask.astype(np.uint8), _SMOOTHED)
    covered = resize_image(smooth.astype(np.float32), shape)
    mask = (covered >= 0.5) & rasterise(allowed, shape)
    return mask if mask.any() else None


def _working_size(shape, geometry):
    """The size of a window while it is cut: (height, width)."""
    left, top, right, bottom = geometry.bounds
    side = max(right - left, bottom - top)
    factor = np.clip(1, _SMALLEST / side, _LARGEST / side)
    return tuple(round(n * min(factor, _MOST_ENLARGED)) for n in shape)


def _grab(image, labels):
    """OpenCV's GrabCut; ``labels`` are changed in place."""
    # It starts from random clusters of colours; each thread has its own dice.
    cv2.setRNGSeed(0)
    models = np.zeros((2, 1, 65))
    cv2.grabCut(image, labels, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)


def _spans(mask, box):
    """Whether a mask reaches across most of a box, both ways."""
    return all(
        np.ptp(np.flatnonzero(mask.any(axis=axis)))
        >= _LEAST_SPAN * np.ptp(np.flatnonzero(box.any(axis=axis)))
        for axis in (0, 1)
    )


def _contrast(ours, others):
    """Mahalanobis distance between the mean colours of two sets of pixels.

    Args:
        ours, others: uint8, N x 3.
    """
    difference = ours.mean(axis=0) - others.mean(axis=0)
    spread = (np.cov(ours.T) + np.cov(others.T)) / 2 + np.identity(3)
    return np.sqrt(difference @ np.linalg.solve(spread, difference))
