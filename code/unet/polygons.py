"""Masks to polygons: the way back from ``unet.masks.rasterise``.

The contour runs half-way between the centres of the pixels on its two sides
(marching squares, Lorensen and Cline 1987) and gives back its mask exactly,
with every step of the pixel grid in it. Its corners are found by Douglas and
Peucker's algorithm (1973) and then moved to where the sides between them fit
the contour best (least squares): the steps average out, and a roof keeps its
handful of corners.
"""

from dataclasses import dataclass

import numpy as np
import shapely
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve
from shapely import affinity
from skimage.measure import find_contours

from unet.annotations import Instance
from unet.masks import instances, rasterise

# Reading an outline gives at least this IoU with its mask; so it does, then,
# for all of them together.
LEAST_IOU = 0.995
SQUARE_MAY_LOSE = 0.02  # of that IoU
# A contour is sqrt(1/8) or more from every pixel's centre: simplified by less
# it still gives back its mask exactly.
_EXACT = 0.35
# Weight of a corner's own place, against one for each point of a side.
_HOLD = 0.05
# Tolerances of the right-angled outlines that are tried, in tolerances.
_COARSE_TO_FINE = np.array([16, 8, 4, 2])
_DECIMALS = 2  # of a pixel, in every coordinate


@dataclass
class Found(Instance):
    """An instance that was found in a mask.

    Attributes:
        score: mean probability of its pixels, 0 to 1, or None.
    """

    score: float | None = None


def outlines(
    mask,
    tolerance=0.5,
    smallest=0,
    square=False,
    label=None,
    probability=None,
):
    """The instances of a mask as polygons.

    Args:
        mask: bool, H x W. Its connected components (8 neighbours) are the
            instances.
        tolerance: pixels of the mask. No pixel whose centre is farther from
            an outline lies on the wrong side of it; 0 gives every mask back
            exactly. An instance whose IoU after reading would be below 0.995
            is drawn more closely.
        smallest: area in pixels below which an instance is left out.
        square: straighten outlines to right angles, where that costs less
            than 0.02 of IoU with the mask.
        label: class of the instances.
        probability: float, H x W, of the class; gives the scores.

    Returns:
        List of ``Found``, top to bottom. Holes are kept. Coordinates are
        pixels from the top-left corner with two decimals: the pixel in column
        c and row r has its centre at (c + 0.5, r + 0.5).
    """
    labels, _ = instances(mask)
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
        found.append(Found(polygon, label, score))
    return found


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
        polygon = _squared(polygon, part, frame, tolerance)
    return _rounded(affinity.translate(polygon, left, top))


def class_outlines(ids, classes, probability=None, **options):
    """The instances of every class of a map of class ids.

    Args:
        ids: uint8, H x W; class k of ``classes`` has the id k + 1.
        classes: foreground class names.
        probability: float, H x W x 1 (of class 1) or x classes (the first
            is the background), as in ``unet.prediction``.
        options: ``tolerance``, ``smallest`` and ``square`` of ``outlines``.

    Returns:
        List of ``Found``, class by class.
    """
    found = []
    for number, name in enumerate(classes, start=1):
        own = None
        if probability is not None:
            own = probability[..., number if len(classes) > 1 else 0]
        found += outlines(ids == number, label=name, probability=own, **options)
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
    contour = _contour(mask)
    # A side through two points of the contour may be twice as far from the
    # others as one through the middle of them all.
    reach = 2 * tolerance
    while reach > _EXACT:
        polygon = _fitted(contour, frame, reach)
        if polygon.is_valid and _good(polygon, mask, tolerance):
            return polygon
        reach *= 0.75
    exact = [ring[_corners(ring, _EXACT)] for ring in contour]
    return shapely.Polygon(exact[0], exact[1:])


def _contour(mask):
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


def _corners(ring, reach):
    """Which points of a ring remain if it is simplified; at least three."""
    closed = shapely.LineString(np.concatenate([ring, ring[:1]]))
    line = shapely.simplify(closed, reach, preserve_topology=False)
    kept = shapely.get_coordinates(line) @ [1, 1j]
    knots = np.flatnonzero(np.isin(ring @ [1, 1j], kept))
    return knots if len(knots) > 2 else _corners(ring, _EXACT)


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
    knots = [_corners(ring, reach) for ring in contour]
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
    return _rounded(shapely.Polygon(outer, holes))


def _rounded(polygon):
    rounded = shapely.transform(polygon, lambda at: np.round(at, _DECIMALS))
    return shapely.remove_repeated_points(rounded)


def _read_back(polygon, mask):
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


def _iou(polygon, mask):
    read, mask, _ = _read_back(polygon, mask)
    return (read & mask).sum() / (read | mask).sum()


def _good(polygon, mask, tolerance):
    """Whether an outline is near enough to its mask."""
    read, mask, corner = _read_back(polygon, mask)
    if (read & mask).sum() < LEAST_IOU * (read | mask).sum():
        return False
    wrong = np.argwhere(read ^ mask)[:, ::-1] + corner
    boundary = polygon.boundary
    shapely.prepare(boundary)
    centres = shapely.points(wrong + 0.5)
    return shapely.dwithin(boundary, centres, tolerance).all()


def _squared(polygon, mask, frame, tolerance):
    """The outline with right angles, or itself where that fits worse.

    Args:
        polygon: the outline.
        mask: bool, H x W, the instance.
        frame: (left, top, right, bottom) of the image; what lies beyond is
            cut off.
        tolerance: see ``outlines``.
    """
    contour = _contour(mask)
    turn = np.exp(-1j * _main_direction(polygon))
    level = [_turned(ring, turn) for ring in contour]
    least = _iou(polygon, mask) - SQUARE_MAY_LOSE
    for reach in np.maximum(tolerance, 0.5) * _COARSE_TO_FINE:
        rings = [_square_ring(ring, reach) for ring in level]
        if any(len(ring) < 4 for ring in rings):
            continue
        outer, *holes = [_turned(ring, turn.conj()) for ring in rings]
        square = shapely.Polygon(outer, holes)
        if square.is_valid:
            square = square.intersection(shapely.box(*frame))
            # Rounded point by point a sliver would be no ring any more.
            square = shapely.set_precision(square, 10**-_DECIMALS)
        if _is_polygon(square) and _iou(square, mask) > least:
            return square
    return polygon


def _is_polygon(geometry):
    whole = geometry.geom_type == "Polygon" and not geometry.is_empty
    return whole and geometry.is_valid


def _main_direction(polygon):
    """The direction of the sides, in radians, -pi/4 to pi/4.

    Directions at right angles count as one; long sides count more.
    """
    ends = shapely.get_coordinates(polygon.exterior)
    sides = np.diff(ends, axis=0) @ [1, 1j]
    # The fourth power turns right angles into whole turns.
    return np.angle((sides**4 / np.abs(sides) ** 2).sum()) / 4


def _turned(points, turn):
    """Points turned by a complex number of size one."""
    turned = (points @ [1, 1j]) * turn
    return np.column_stack([turned.real, turned.imag])


def _square_ring(ring, reach):
    """A ring made of level and upright sides that take turns.

    Neighbouring sides of one direction become one, at the median of the
    contour's points along them.

    Args:
        ring: a contour, turned so that its main direction is level.
        reach: tolerance of the simplification that finds the sides.

    Returns:
        float, M x 2; empty if fewer than four sides remain.
    """
    knots = _corners(ring, reach)
    dx, dy = np.abs(np.roll(ring[knots], -1, axis=0) - ring[knots]).T
    level = dx > dy
    first = np.flatnonzero(level != np.roll(level, 1))  # of each new side
    if len(first) < 4:
        return ring[:0]
    points = np.roll(ring, -knots[first[0]], axis=0)
    starts = knots[first] - knots[first[0]]
    sides = np.split(points, starts[1:])
    # A level side has one y, an upright one one x; they take turns.
    at = [
        np.median(side[:, int(level[k])])
        for side, k in zip(sides, first, strict=True)
    ]
    following = np.roll(at, -1)
    corners = np.column_stack([at, following])
    return np.where(level[first, None], corners[:, ::-1], corners)
