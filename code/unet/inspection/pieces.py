"""Objects as pixels, whether they were mask files or polygons."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import shapely

_TWICE = 0.5  # of the smaller object's pixels lie in the other


@dataclass
class Piece:
    """One object as pixels, cut out of its image.

    Attributes:
        source: the file that holds it.
        label: its class.
        title: what to call it within the file.
        top, left: where ``crop`` lies.
        crop: bool array, the pixels within the object's bounding box.
        is_polygon: whether it was one; a mask if not.
    """

    source: Path
    label: str
    title: str
    top: int
    left: int
    crop: np.ndarray
    is_polygon: bool = False

    @property
    def area(self):
        return int(np.count_nonzero(self.crop))

    @property
    def box(self):
        height, width = self.crop.shape
        return self.left, self.top, self.left + width, self.top + height


def cut_out(source, label, title, mask, is_polygon=False):
    """A mask as a piece; None if it is empty."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    if not width:
        return None
    crop = mask[top : top + height, left : left + width].copy()
    return Piece(source, label, title, top, left, crop, is_polygon)


def merge(pieces, shape):
    """bool H x W by class: the pixels that its pieces cover together."""
    merged = {}
    for piece in pieces:
        mask = merged.setdefault(piece.label, np.zeros(shape, bool))
        left, top, right, bottom = piece.box
        mask[top:bottom, left:right] |= piece.crop
    return merged


def overlapping(pieces):
    """Pairs of pieces of which the smaller lies mostly in the other.

    Yields:
        (i, j, number of common pixels), i < j.
    """
    boxes = np.array([piece.box for piece in pieces]).reshape(-1, 4)
    areas = np.array([piece.area for piece in pieces])
    frames = shapely.box(*boxes.T)
    tree = shapely.STRtree(frames)
    for i, frame in enumerate(frames):
        rest = np.sort(tree.query(frame))
        rest = rest[rest > i]
        low = np.maximum(boxes[rest, :2], boxes[i, :2])
        high = np.minimum(boxes[rest, 2:], boxes[i, 2:])
        room = np.clip(high - low, 0, None).prod(axis=1)
        smaller = np.minimum(areas[rest], areas[i])
        for k in np.flatnonzero(room >= _TWICE * smaller):
            j = int(rest[k])
            common = _common(pieces[i], pieces[j], low[k], high[k])
            if common >= _TWICE * smaller[k]:
                yield i, j, common


def _common(piece, other, low, high):
    """Number of common pixels in the window from low to high (x, y)."""
    crops = (
        shown.crop[
            low[1] - shown.top : high[1] - shown.top,
            low[0] - shown.left : high[0] - shown.left,
        ]
        for shown in (piece, other)
    )
    return int(np.count_nonzero(np.logical_and(*crops)))


def small_parts(piece, specks, shape):
    """The connected parts of a piece that are small and lie inside.

    Args:
        piece: a ``Piece``.
        specks: parts of fewer pixels are small.
        shape: (H, W) of the image; what its border cuts is not small.

    Returns:
        List of (area, box, bool array of the shape of ``piece.crop``).
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        piece.crop.astype(np.uint8), connectivity=8
    )
    height, width = shape
    parts = []
    for number in range(1, count):
        left, top, wide, high, area = stats[number].tolist()
        left, top = left + piece.left, top + piece.top
        box = (left, top, left + wide, top + high)
        cut = left == 0 or top == 0 or box[2] == width or box[3] == height
        if area < specks and not cut:
            parts.append((area, box, labels == number))
    return parts
