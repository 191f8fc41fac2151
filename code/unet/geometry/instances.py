"""Objects: each one a polygon, or the pixels that it covers."""

from dataclasses import dataclass

import cv2
import numpy as np
import shapely
from pycocotools import mask as rle

from unet.geometry.masks import rasterise_window


@dataclass
class Instance:
    """One object, as geometry.

    Attributes:
        geometry: ``shapely`` Polygon or MultiPolygon; (x, y) in pixels from
            the top-left corner, or in the annotation's ``crs``. Parts of a
            MultiPolygon may overlap; each is drawn by itself.
        label: its class, or None where the file names none.
    """

    geometry: shapely.Geometry
    label: str | None = None

    def window(self, shape):
        """Pixels whose centre the polygon covers.

        Args:
            shape: (H, W) of the image.

        Returns:
            (bool array h x w, top, left): all that can be seen of it.
        """
        return rasterise_window(self.geometry, shape)

    def mask(self, shape):
        """bool H x W."""
        return in_whole(*self.window(shape), shape)


@dataclass
class DrawnMask:
    """One object, or a whole class, as pixels.

    Attributes:
        packed: COCO's compressed run-length encoding.
        label: its class, or None.
        top, left: where in the image it lies.
    """

    packed: dict
    label: str | None
    top: int = 0
    left: int = 0

    def window(self, shape):
        """(bool array h x w, top, left) of an image of a shape (H, W)."""
        pixels = rle.decode(self.packed).astype(bool)
        bottom, right = shape[0] - self.top, shape[1] - self.left
        seen = pixels[
            max(0, -self.top) : max(0, bottom),
            max(0, -self.left) : max(0, right),
        ]
        return seen, max(0, self.top), max(0, self.left)

    def mask(self, shape):
        """bool H x W."""
        return in_whole(*self.window(shape), shape)

    def parts(self):
        """Its connected components (8 neighbours), each as a ``DrawnMask``."""
        count, labels, stats, _ = cv2.connectedComponentsWithStats(
            rle.decode(self.packed), connectivity=8
        )
        for number in range(1, count):
            x, y, width, height = stats[number, :4].tolist()
            pixels = labels[y : y + height, x : x + width] == number
            yield DrawnMask(
                packed_of(pixels),
                self.label,
                self.top + y,
                self.left + x,
            )


def packed_of(pixels):
    """Run-length encoding of a bool array, as ``DrawnMask`` holds it."""
    return rle.encode(np.asfortranarray(pixels, np.uint8))


def in_whole(window, top, left, shape):
    """A window as a mask of the whole image, bool H x W."""
    mask = np.zeros(shape, bool)
    mask[top : top + window.shape[0], left : left + window.shape[1]] = window
    return mask


@dataclass
class Found(Instance):
    """An instance that was found in a mask.

    Attributes:
        score: mean probability of its pixels, 0 to 1, or None.
    """

    score: float | None = None
