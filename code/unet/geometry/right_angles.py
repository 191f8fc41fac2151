"""Outlines with right angles."""

import cv2
import numpy as np
import shapely

from unet.geometry.contours import DECIMALS, contour_of, corners_of, iou_with

# A right-angled outline is taken if it fits its mask this well, less this much
# for each corner beyond four; or nearly as well as the outline with any angles.
# Masks of roofs are blobs: a rectangle has 0.9 of IoU with most of them, and no
# less with the roof. Chosen on the training tiles, see tests/benchmarks.
LEAST_IOU = 0.86
_CORNER = 0.01
SQUARE_MAY_LOSE = 0.02
# Tolerances of the right-angled outlines that are tried, in tolerances.
_COARSE_TO_FINE = np.array([16, 12, 8, 6, 4, 2])
_ANGLES = np.deg2rad(np.arange(0, 90, 3))


def squared(polygon, mask, frame, tolerance):
    """The outline with right angles, or itself where none fits well.

    Args:
        polygon: the outline.
        mask: bool, H x W, the instance.
        frame: (left, top, right, bottom) of the image; what lies beyond is
            cut off.
        tolerance: see ``outlines``.
    """
    rectangle, direction = _rectangle(polygon, mask)
    tried, contour = [rectangle], contour_of(mask)
    for angle in (direction, _main_direction(polygon)):
        for reach in np.maximum(tolerance, 0.5) * _COARSE_TO_FINE:
            tried += _stepped(contour, angle, reach)
    least = iou_with(polygon, mask) - SQUARE_MAY_LOSE
    best, most = polygon, -np.inf
    for square in tried:
        square = _within(square, frame)
        if square is None:
            continue
        fit = iou_with(square, mask)
        score = fit - _CORNER * _corners_beyond_four(square)
        if score > most and (score >= LEAST_IOU or fit > least):
            best, most = square, score
    return best


def _rectangle(polygon, mask):
    """The rectangle with the mask's centre, spread and area that fits best.

    Args:
        polygon: the outline of the mask.
        mask: bool, H x W.

    Returns:
        (rectangle, direction): ``shapely.Polygon``, and that of its sides in
        radians.
    """
    m = cv2.moments(mask.view(np.uint8), binaryImage=True)
    centre = np.array([m["m10"], m["m01"]]) / m["m00"] + 0.5
    along = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
    across = along[:, ::-1] * [-1, 1]
    spread = np.array([[m["mu20"], m["mu11"]], [m["mu11"], m["mu02"]]])
    # The variance of a side of n pixels is n squared / 12.
    sides = np.stack(
        [
            np.sqrt(
                12 * np.einsum("ki,ij,kj->k", axis, spread, axis) + m["m00"]
            )
            for axis in (along, across)
        ],
        axis=1,
    )
    sides *= np.sqrt(m["m00"] / sides.prod(axis=1, keepdims=True))
    half = sides[..., None] / 2 * np.stack([along, across], axis=1)
    signs = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    rectangles = shapely.polygons(
        centre + np.einsum("cs,ksi->kci", signs, half)
    )
    shared = shapely.area(shapely.intersection(rectangles, polygon))
    best = shared.argmax()  # all have the same area
    return rectangles[best], _ANGLES[best]


def _stepped(contour, angle, reach):
    """Outlines of sides in two directions: a list of one, or of none.

    Args:
        contour: of ``contour_of``.
        angle: of the sides, radians.
        reach: see ``_square_ring``.
    """
    turn = np.exp(-1j * angle)
    rings = [_square_ring(_turned(ring, turn), reach) for ring in contour]
    if any(len(ring) < 4 for ring in rings):
        return []
    outer, *holes = [_turned(ring, turn.conj()) for ring in rings]
    square = shapely.Polygon(outer, holes)
    return [square] if square.is_valid else []


def _within(square, frame):
    """What of an outline lies in the image, or None."""
    square = square.intersection(shapely.box(*frame))
    # Rounded point by point a sliver would be no ring any more.
    square = shapely.set_precision(square, 10**-DECIMALS)
    return square if _is_polygon(square) else None


def _corners_beyond_four(polygon):
    rings = [polygon.exterior, *polygon.interiors]
    return sum(max(0, len(ring.coords) - 5) for ring in rings)


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
    knots = corners_of(ring, reach)
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
