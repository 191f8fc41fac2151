"""Masks to polygons: the way back from ``unet.geometry.masks.rasterise``.

The contour runs half-way between the centres of the pixels on its two sides
(marching squares, Lorensen and Cline 1987) and gives back its mask exactly,
with every step of the pixel grid in it. Its corners are found by Douglas and
Peucker's algorithm (1973) and then moved to where the sides between them fit
the contour best (least squares): the steps average out, and a roof keeps its
handful of corners.
"""

import numpy as np
import shapely
from shapely import affinity

from unet.geometry.contours import (
    EXACT,
    contour_of,
    corners_of,
    read_back,
    rounded,
)
from unet.geometry.instances import Instance
from unet.geometry.right_angles import squared
from unet.geometry.separation import separate

# Reading an outline gives at least this IoU with its mask; so it does, then,
# for all of them together.
LEAST_IOU = 0.995
# Weight of a corner's own place, against one for each point of a side.
_HOLD = 0.05


def outlines(
    mask,
    tolerance=0.5,
    smallest=0,
    square=False,
    label=None,
    probability=None,
    height=None,
    edge=None,
):
    """The instances of a mask as polygons.

    Args:
        mask: bool, H x W. Its connected components (8 neighbours) are the
            instances, or what ``height`` makes of them.
        tolerance: pixels of the mask. No pixel whose centre is farther from
            an outline lies on the wrong side of it; 0 gives every mask back
            exactly. An instance whose IoU after reading would be below 0.995
            is drawn more closely.
        smallest: area in pixels below which an instance is left out.
        square: straighten outlines to right angles, where that fits, see
            ``unet.geometry.right_angles.squared``.
        label: class of the instances.
        probability: float, H x W, of the class; gives the scores.
        height: how instances that touch come apart, see
            ``unet.geometry.separation.separate``; a component that is
            nowhere as high is left out. Needs ``probability``.
        edge: float, H x W, the probability that an object ends there, or None.

    Returns:
        List of ``Instance``, top to bottom. Holes are kept. Coordinates are
        pixels from the top-left corner with two decimals: the pixel in column
        c and row r has its centre at (c + 0.5, r + 0.5).

    >>> mask = np.zeros((8, 9), bool)
    >>> mask[2:6, 1:7] = True
    >>> (roof,) = outlines(mask, label="roof")
    >>> len(roof.geometry.exterior.coords) - 1
    4
    >>> bool((roof.mask(mask.shape) == mask).all())
    True
    """
    from scipy import ndimage  # slow to import, like all of SciPy

    labels = separate(mask, probability, height, weak=False, edge=edge)
    found = []
    for k, window in enumerate(ndimage.find_objects(labels), start=1):
        part = labels[window] == k
        if part.sum() < smallest:
            continue
        place = window[0].start, window[1].start
        polygon = outline(part, *place, mask.shape, tolerance, square)
        score = None
        if probability is not None:
            score = float(probability[window][part].mean())
        found.append(Instance(polygon, label, score))
    return found


def as_polygons(instance, shape):
    """An instance as polygons: itself, or the outlines of its pixels.

    Args:
        instance: ``Instance`` or ``PixelInstance``.
        shape: (H, W) of the image.

    Returns:
        List of ``Instance`` of the same class.
    """
    if instance.is_polygon:
        return [instance]
    return outlines(instance.mask(shape), label=instance.label)


def rings_of(geometry):
    """Yield the rings of polygons and of their holes, float arrays N x 2."""
    for part in shapely.get_parts(geometry):
        for ring in (part.exterior, *part.interiors):
            yield shapely.get_coordinates(ring)


def outline(part, top, left, shape, tolerance=0.5, square=False):
    """The outline of one instance.

    Args:
        part: bool, h x w, one connected component (8 neighbours).
        top, left: where in the image it lies.
        shape: (H, W) of the image.
        tolerance, square: see ``outlines``.

    Returns:
        ``shapely.Polygon`` in pixels of the image.
    """
    frame = (-left, -top, shape[1] - left, shape[0] - top)
    polygon = _outline(part, frame, tolerance)
    if square:
        polygon = squared(polygon, part, frame, tolerance)
    return rounded(affinity.translate(polygon, left, top))


def class_outlines(ids, classes, probability=None, heights=None, **options):
    """The instances of every class of a map of class ids.

    Args:
        ids: uint8, H x W; class k of ``classes`` has the id k + 1.
        classes: foreground class names.
        probability: float, H x W x 1 (of class 1) or x classes (the first
            is the background), as in ``unet.prediction.photos``.
        heights: ``height`` of ``outlines`` for each class; None: none.
        options: ``edge``, ``tolerance``, ``smallest`` and ``square`` of
            ``outlines``.

    Returns:
        List of ``Instance``, class by class.
    """
    found = []
    heights = heights or [None] * len(classes)
    for number, name in enumerate(classes, start=1):
        own = None
        if probability is not None:
            own = probability[..., number if len(classes) > 1 else 0]
        found += outlines(
            ids == number,
            label=name,
            probability=own,
            height=heights[number - 1],
            **options,
        )
    return found


def _outline(mask, frame, tolerance):
    """The outline of one instance, with few points.

    Args:
        mask: bool, H x W, one connected component.
        frame: (left, top, right, bottom) of the image around it.
        tolerance: see ``outlines``.

    Returns:
        ``shapely.Polygon``.
    """
    contour = contour_of(mask)
    # A side through two points of the contour may be twice as far from the
    # others as one through the middle of them all.
    reach = 2 * tolerance
    while reach > EXACT:
        polygon = _fitted(contour, frame, reach)
        if polygon.is_valid and _good(polygon, mask, tolerance):
            return polygon
        reach *= 0.75
    exact = [ring[corners_of(ring, EXACT)] for ring in contour]
    return shapely.Polygon(exact[0], exact[1:])


def _fitted(contour, frame, reach):
    """Corners of a contour, moved so that the sides fit its points.

    Linear least squares over the distances of the points from their side,
    taken at right angles to it; along the side a corner stays where it is.

    Args:
        contour: list of rings.
        frame: (left, top, right, bottom) that no corner may leave.
        reach: tolerance of the simplification that finds corners, in pixels.

    Returns:
        ``shapely.Polygon``, perhaps an invalid one.
    """
    from scipy import sparse
    from scipy.sparse.linalg import spsolve

    knots = [corners_of(ring, reach) for ring in contour]
    points = np.concatenate(contour)
    begins = np.cumsum([0, *map(len, contour)])[:-1]
    knots_at = [k + begin for k, begin in zip(knots, begins, strict=True)]
    ends = np.cumsum([len(k) for k in knots])
    corners = points[np.concatenate(knots_at)]
    n, m = len(points), len(corners)
    following = np.arange(1, m + 1)
    following[ends - 1] = np.concatenate([[0], ends[:-1]])
    sides = corners[following] - corners
    length = np.hypot(*sides.T)
    normals = sides @ [[0, 1], [-1, 0]] / length[:, None]
    # A ring begins at a corner, so that each point follows its side's first.
    own = np.searchsorted(np.concatenate(knots_at), range(n), "right") - 1
    normals, other = normals[own], following[own]
    way = ((points - corners[own]) * sides[own]).sum(axis=1) / length[own] ** 2
    values = np.concatenate([normals.T * (1 - way), normals.T * way])
    unknowns = [2 * own, 2 * own + 1, 2 * other, 2 * other + 1]
    design = sparse.csr_matrix(
        (values.ravel(), (np.tile(range(n), 4), np.concatenate(unknowns))),
        shape=(n, 2 * m),
    )
    matrix = design.T @ design + _HOLD * sparse.identity(2 * m)
    target = design.T @ (normals * points).sum(axis=1) + _HOLD * corners.ravel()
    moved = spsolve(matrix.tocsc(), target).reshape(m, 2)
    moved = np.clip(moved, frame[:2], frame[2:])
    outer, *holes = np.split(moved, ends[:-1])
    return rounded(shapely.Polygon(outer, holes))


def _good(polygon, mask, tolerance):
    """Whether an outline is near enough to its mask."""
    read, mask, corner = read_back(polygon, mask)
    if (read & mask).sum() < LEAST_IOU * (read | mask).sum():
        return False
    wrong = np.argwhere(read ^ mask)[:, ::-1] + corner
    boundary = polygon.boundary
    shapely.prepare(boundary)
    centres = shapely.points(wrong + 0.5)
    return shapely.dwithin(boundary, centres, tolerance).all()
