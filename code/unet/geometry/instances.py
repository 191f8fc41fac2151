"""Objects: each one a polygon, or the pixels that it covers."""

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from pycocotools import mask as rle
from shapely import affinity

from unet.files.names import same
from unet.geometry.masks import rasterise_window


@dataclass
class Instance:
    """One object, as geometry.

    Attributes:
        geometry: ``shapely`` Polygon or MultiPolygon; (x, y) in pixels from
            the top-left corner, or in the annotation's ``crs``. Parts of a
            MultiPolygon may overlap; each is drawn by itself.
        label: its class, or None where the file names none.
        score: mean probability of its pixels, 0 to 1; None where it was
            drawn, or nobody knows.
    """

    geometry: shapely.Geometry
    label: str | None = None
    score: float | None = None

    is_polygon = True

    def __post_init__(self):
        self.label = self.label and same(self.label)

    def window(self, shape):
        """Pixels whose centre the polygon covers.

        Args:
            shape: (H, W) of the image.

        Returns:
            (bool array h x w, top, left): all that can be seen of it.
        """
        return rasterise_window(self.geometry, shape)

    def window_of_rows(self, shape, top, height):
        """What some rows of an image show of it.

        Args:
            shape: (H, W) of the image.
            top, height: the first row, and how many there are.

        Returns:
            (bool array h x w, row, column): ``row`` counts from ``top``.
        """
        moved = affinity.translate(self.geometry, 0, -top)
        return rasterise_window(moved, (height, shape[1]))

    def mask(self, shape):
        """bool H x W."""
        return in_whole(*self.window(shape), shape)

    def row_range(self):
        """The first row that it reaches, and the end of its last."""
        return self.geometry.bounds[1::2]

    def parts(self):
        """Itself: a polygon is one object, whatever its pixels look like."""
        yield self

    def point_count(self):
        """How many points its outline has."""
        return int(shapely.get_num_coordinates(self.geometry))


@dataclass
class PixelInstance:
    """One object, or a whole class, as pixels.

    It has the methods of ``Instance``.

    Attributes:
        packed: COCO's compressed run-length encoding.
        label: its class, or None.
        top, left: where in the image it lies.
    """

    packed: dict
    label: str | None
    top: int = 0
    left: int = 0

    is_polygon = False

    def window(self, shape):
        """(bool array h x w, top, left) of an image of a shape (H, W)."""
        pixels = rle.decode(self.packed).astype(bool)
        bottom, right = shape[0] - self.top, shape[1] - self.left
        seen = pixels[
            max(0, -self.top) : max(0, bottom),
            max(0, -self.left) : max(0, right),
        ]
        return seen, max(0, self.top), max(0, self.left)

    def window_of_rows(self, shape, top, height):
        """What some rows show of it: see ``Instance.window_of_rows``."""
        window, row, column = self.window(shape)
        seen = window[max(0, top - row) : max(0, top + height - row)]
        return seen, max(0, row - top), column

    def mask(self, shape):
        """bool H x W."""
        return in_whole(*self.window(shape), shape)

    def row_range(self):
        """The first row that it reaches, and the one behind its last."""
        return self.top, self.top + self.packed["size"][0]

    def parts(self):
        """Its connected components (8 neighbours), a ``PixelInstance`` each."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            rle.decode(self.packed), connectivity=8
        )
        for number in range(1, count):
            x, y, width, height = stats[number, :4].tolist()
            pixels = labels[y : y + height, x : x + width] == number
            yield PixelInstance(
                packed_of(pixels),
                self.label,
                self.top + y,
                self.left + x,
            )

    def point_count(self):
        """0: it has no outline."""
        return 0


def packed_of(pixels):
    """Run-length encoding of a bool array, as ``PixelInstance`` holds it."""
    return rle.encode(np.asfortranarray(pixels, np.uint8))


def in_whole(window, top, left, shape):
    """A window as a mask of the whole image, bool H x W."""
    mask = np.zeros(shape, bool)
    add_window(mask, window, top, left)
    return mask


def add_window(mask, window, top, left):
    """Set the pixels of a window in a mask, bool H x W, in place."""
    height, width = window.shape
    mask[top : top + height, left : left + width] |= window
