"""Masks are geometry: polygons to pixels, instances to classes, sizes.

A polygon covers a pixel if it covers the pixel's centre, so that areas are
unbiased (``cv2.fillPoly`` also paints the outline). Coordinates are pixels
from the top-left corner of the image, x right, y down: the pixel in column c
and row r has its centre at (c + 0.5, r + 0.5).
"""

import cv2
import numpy as np
import shapely
from rasterio.features import rasterize as burn
from shapely import affinity

from unet.imagery.resizing import resize_image


def rasterise(geometry, shape):
    """Pixels whose centre lies in a polygon.

    Args:
        geometry: ``shapely`` Polygon or MultiPolygon in pixels. Holes stay
            holes, parts outside the image are cut off. The polygons of a
            MultiPolygon may overlap.
        shape: (H, W) of the image.

    Returns:
        bool array, H x W.

    >>> roof = shapely.box(0.6, 0, 3, 2)
    >>> rasterise(roof, (3, 4)).astype(int)
    array([[0, 1, 1, 0],
           [0, 1, 1, 0],
           [0, 0, 0, 0]])
    """
    window, top, left = rasterise_window(geometry, shape)
    mask = np.zeros(shape, bool)
    mask[top : top + window.shape[0], left : left + window.shape[1]] = window
    return mask


def rasterise_window(geometry, shape):
    """``rasterise``, of the part of the image that the polygon can reach.

    Returns:
        (window, top, left): bool array, h x w, and its place.
    """
    if geometry.is_empty:
        return np.zeros((0, 0), bool), 0, 0
    low, high = np.reshape(geometry.bounds, (2, 2))
    limit = shape[1], shape[0]
    left, top = np.clip(np.floor(low), 0, limit).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), 0, limit).astype(int).tolist()
    window = np.zeros((max(0, bottom - top), max(0, right - left)), np.uint8)
    # One by one: burnt together, parts that overlap would cancel out.
    for polygon in shapely.get_parts(geometry):
        if not polygon.is_empty:
            _burn(affinity.translate(polygon, -left, -top), window)
    return window.view(bool), top, left


def _burn(polygon, mask):
    """Set a polygon's pixels to 1."""
    low, high = np.reshape(polygon.bounds, (2, 2))
    left, top = np.clip(np.floor(low), 0, None).astype(int)
    right, bottom = np.clip(np.ceil(high), 0, None).astype(int)
    window = mask[top:bottom, left:right]
    if window.size:
        # Only the part that the polygon can reach: GDAL looks at every row.
        moved = affinity.translate(polygon, -left, -top)
        burn([(moved, 1)], out=window)


def without_overlap(masks, shape):
    """Where classes overlap the later object wins.

    Args:
        masks: iterable of (class, window, top, left), the last object first;
            the windows, bool h x w, are cut in place.
        shape: (H, W) of the image.

    Yields:
        The masks of which something is left.

    >>> later = ("road", np.ones((1, 2), bool), 0, 1)
    >>> earlier = ("roof", np.ones((1, 3), bool), 0, 0)
    >>> for label, window, _, _ in without_overlap([later, earlier], (1, 3)):
    ...     print(label, window.astype(int))
    road [[1 1]]
    roof [[1 0 0]]
    """
    owner, numbers = np.zeros(shape, np.uint16), {}
    for label, window, top, left in masks:
        own = numbers.setdefault(label, len(numbers) + 1)
        below = owner[top : top + len(window), left : left + window.shape[1]]
        window &= (below == 0) | (below == own)
        below[window] = own
        if window.any():
            yield label, window, top, left


def resize_ids(ids, size):
    """Resize a map of class ids without inventing classes.

    Shrinking measures the area that each class covers of every new pixel; the
    class with the largest share wins, and of two equal ones the later class.
    With one class that is: covered by half or more. Enlarging takes the
    nearest pixel. Pixels that nobody labelled are treated as a last class.

    Args:
        ids: uint8, H x W.
        size: (height, width) of the result.

    Returns:
        uint8, height x width.

    >>> ids = np.array([[0, 1, 2, 2], [1, 1, 0, 2]], np.uint8)
    >>> resize_ids(ids, (1, 2))
    array([[1, 2]], dtype=uint8)
    """
    height, width = size
    if ids.shape == (height, width):
        return ids
    if height > ids.shape[0] or width > ids.shape[1]:
        return cv2.resize(
            ids, (width, height), interpolation=cv2.INTER_NEAREST_EXACT
        )
    best = np.zeros((height, width), np.float32)
    result = np.zeros((height, width), np.uint8)
    for number in np.flatnonzero(np.bincount(ids.ravel())):
        share = resize_image((ids == number).astype(np.float32), size)
        # A tolerance, because the shares of a pixel are rounded sums.
        wins = share > best - 1e-6
        result[wins] = number
        best = np.maximum(best, share)
    return result


def instances(mask):
    """Split a mask into its connected components (8 neighbours).

    Args:
        mask: bool, H x W.

    Returns:
        (labels, count): int32 H x W with 0 as background, and the number.
    """
    count, labels = cv2.connectedComponents(
        mask.astype(np.uint8), connectivity=8
    )
    return labels, count - 1


def boundary(mask, distance, unknown=None):
    """The part of a mask within a distance of its own contour.

    Boundary IoU, Cheng et al. 2021 (arXiv:2103.16562): the mask less its
    erosion. The image's border counts as a contour.

    Args:
        mask: bool, H x W.
        distance: pixels.
        unknown: bool, H x W: pixels of which nobody knows whether the mask
            covers them; none is in ``mask``, and a mask that ends there has
            no contour there. None: all are known.

    Returns:
        bool, H x W.
    """
    inner = cv2.erode(
        (mask if unknown is None else mask | unknown).astype(np.uint8),
        np.ones((3, 3), np.uint8),
        iterations=distance,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return mask & (inner == 0)


def to_ids(probability, threshold):
    """Class ids from probabilities.

    Args:
        probability: float, H x W x 1 (of class 1) or x classes.
        threshold: from which on a pixel is class 1; more classes take the
            most probable one.

    Returns:
        uint8, H x W.

    >>> to_ids(np.array([[[0.2], [0.7]]]), threshold=0.5)
    array([[0, 1]], dtype=uint8)
    """
    if probability.shape[-1] == 1:
        return (probability[..., 0] >= threshold).astype(np.uint8)
    return probability.argmax(axis=-1).astype(np.uint8)
