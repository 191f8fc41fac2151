"""Polygons with holes as one ring, for formats that know no holes."""

import numpy as np
import shapely
from shapely.geometry.polygon import orient


def keyhole(polygon):
    """A polygon as one ring, with a way to each hole and back.

    Args:
        polygon: ``shapely.Polygon``.

    Returns:
        List of [x, y], not closed, that begins at a point which comes only
        once.

    >>> yard = [(2, 1), (3, 1), (3, 2), (2, 2)]
    >>> block = shapely.Polygon([(0, 0), (4, 0), (4, 3), (0, 3)], [yard])
    >>> ring = keyhole(block)
    >>> len(ring), shapely.Polygon(ring).area == block.area
    (10, True)
    """
    # Opposite turns, so that by any rule of filling a hole stays a hole.
    polygon = orient(polygon)
    ring, *holes = [
        shapely.get_coordinates(one)[:-1]
        for one in (polygon.exterior, *polygon.interiors)
    ]
    walls = polygon.boundary
    shapely.prepare(walls)
    # With the leftmost first, each leftmost point sees a point of the ring.
    for hole in sorted(holes, key=lambda hole: hole[:, 0].min()):
        ring = _joined(ring, hole, walls)
    _, first, count = np.unique(
        ring, axis=0, return_index=True, return_counts=True
    )
    return np.roll(ring, -first[count == 1].min(), axis=0).tolist()


def _joined(ring, hole, walls):
    """A ring with a hole in it: there, around the hole, and back.

    Args:
        ring: float, N x 2.
        hole: float, M x 2; nothing of the ring is missing to its left.
        walls: the polygon's boundary, which the way may not cross.
    """
    hole = np.roll(hole, -hole[:, 0].argmin(), axis=0)
    ways = ring - hole[0]
    distances = np.hypot(*ways.T)
    distances[ways[:, 0] > 0] = np.inf
    nearest = at = distances.argmin()
    while distances[at] and walls.intersects(_inner(hole[0], ways[at])):
        distances[at] = np.inf
        at = distances.argmin()
        if np.isinf(distances[at]):
            at = nearest  # a way of no width that crosses fills the same
            break
    return np.concatenate([ring[: at + 1], hole, hole[:1], ring[at:]])


def _inner(start, way):
    """A way without its ends."""
    return shapely.LineString([start + 0.001 * way, start + 0.999 * way])
