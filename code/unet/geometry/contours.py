"""Contours of masks: the exact outline, its corners, and reading it back."""

import numpy as np
import shapely
from shapely import affinity
from skimage.measure import find_contours

from unet.geometry.masks import rasterise

# A contour is sqrt(1/8) or more from every pixel's centre: simplified by less
# it still gives back its mask exactly.
EXACT = 0.35
DECIMALS = 2  # of a pixel, in every coordinate


def contour_of(mask):
    """The exact outline of one connected component.

    Returns:
        List of rings, float N x 2, not closed: the outer one, then the holes.
        Each begins at its point that is farthest from its middle, a corner.
    """
    padded = np.pad(mask, 1).astype(np.uint8)
    rings = []
    for ring in find_contours(padded, 0.5, fully_connected="high"):
        points = ring[:-1, ::-1] - 0.5  # from the centre of a padding pixel
        away = np.hypot(*(points - points.mean(axis=0)).T)
        rings.append(np.roll(points, -away.argmax(), axis=0))
    # The outer ring is the widest.
    return sorted(rings, key=lambda ring: -np.ptp(ring[:, 0]))


def corners_of(ring, reach):
    """Which points of a ring remain if it is simplified; at least three."""
    closed = shapely.LineString(np.concatenate([ring, ring[:1]]))
    line = shapely.simplify(closed, reach, preserve_topology=False)
    kept = shapely.get_coordinates(line) @ [1, 1j]
    knots = np.flatnonzero(np.isin(ring @ [1, 1j], kept))
    return knots if len(knots) > 2 else corners_of(ring, EXACT)


def rounded(polygon):
    rounded = shapely.transform(polygon, lambda at: np.round(at, DECIMALS))
    return shapely.remove_repeated_points(rounded)


def read_back(polygon, mask):
    """Read an outline, in a window that holds it and its mask.

    Returns:
        (bool read, bool mask, (x, y) of the window's corner).
    """
    height, width = mask.shape
    low = np.floor(np.minimum(polygon.bounds[:2], 0)).astype(int)
    high = np.ceil(np.maximum(polygon.bounds[2:], (width, height))).astype(int)
    (left, top), (right, bottom) = -low, high - (width, height)
    mask = np.pad(mask, ((top, bottom), (left, right)))
    read = rasterise(affinity.translate(polygon, left, top), mask.shape)
    return read, mask, low


def iou_with(polygon, mask):
    read, mask, _ = read_back(polygon, mask)
    return (read & mask).sum() / (read | mask).sum()
