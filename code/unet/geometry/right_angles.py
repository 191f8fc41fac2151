"""Outlines with right angles."""

import numpy as np
import shapely

from unet.geometry.contours import DECIMALS, contour_of, corners_of, iou_with

SQUARE_MAY_LOSE = 0.02  # of that IoU
# Tolerances of the right-angled outlines that are tried, in tolerances.
_COARSE_TO_FINE = np.array([16, 8, 4, 2])


def squared(polygon, mask, frame, tolerance):
    """The outline with right angles, or itself where that fits worse.

    Args:
        polygon: the outline.
        mask: bool, H x W, the instance.
        frame: (left, top, right, bottom) of the image; what lies beyond is
            cut off.
        tolerance: see ``outlines``.
    """
    contour = contour_of(mask)
    turn = np.exp(-1j * _main_direction(polygon))
    level = [_turned(ring, turn) for ring in contour]
    least = iou_with(polygon, mask) - SQUARE_MAY_LOSE
    for reach in np.maximum(tolerance, 0.5) * _COARSE_TO_FINE:
        rings = [_square_ring(ring, reach) for ring in level]
        if any(len(ring) < 4 for ring in rings):
            continue
        outer, *holes = [_turned(ring, turn.conj()) for ring in rings]
        square = shapely.Polygon(outer, holes)
        if square.is_valid:
            square = square.intersection(shapely.box(*frame))
            # Rounded point by point a sliver would be no ring any more.
            square = shapely.set_precision(square, 10**-DECIMALS)
        if _is_polygon(square) and iou_with(square, mask) > least:
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
