"""Where objects meet and where they end: what a network can learn of both.

The winners of SpaceNet 4 and 7 and TernausNetV2 (Iglovikov et al. 2018) let
the network draw a seam between objects that touch, besides the mask.
"""

import cv2
import numpy as np

from unet.files.folders import UNKNOWN

_REACH = 2  # pixels: objects this close to a pixel meet there
# Width of a border, of the image's shorter side; one pixel at least. At 256
# pixels, borders of two are learned better than borders of one.
_BORDER_SHARE = 1 / 128
_NOBODY = np.iinfo(np.uint16).max


def seams(instances, ignored=None):
    """Seams and borders of objects.

    Args:
        instances: uint16, H x W: which object each pixel belongs to, below
            65,535; 0 is background.
        ignored: bool, H x W: pixels that nobody labelled; None: none.

    Returns:
        uint8, H x W x 2, of 0 and 1: pixels with two objects within 2 pixels
        (gaps that narrow included), and pixels of objects with something
        else within 1 pixel, or a 128th of the shorter side where that is
        more; ``UNKNOWN`` where ``ignored`` is as near as either.

    >>> row = np.array([[0, 1, 1, 1, 1, 2, 2, 2, 2]], np.uint16)
    >>> seam, border = np.moveaxis(seams(row), 2, 0)
    >>> seam
    array([[0, 0, 0, 1, 1, 1, 1, 0, 0]], dtype=uint8)
    >>> border
    array([[0, 1, 0, 0, 1, 1, 0, 0, 0]], dtype=uint8)
    """
    near = np.ones((2 * _REACH + 1,) * 2, np.uint8)
    least = np.where(instances, instances, _NOBODY)
    # Of the pixels around that belong to an object: all to the same one?
    most, least = cv2.dilate(instances, near), cv2.erode(least, near)
    seam = (most != least) & (most > 0)
    width = max(1, int(min(instances.shape) * _BORDER_SHARE))
    beside = np.ones((2 * width + 1,) * 2, np.uint8)
    uniform = cv2.dilate(instances, beside) == cv2.erode(instances, beside)
    border = (instances > 0) & ~uniform
    drawn = np.stack([seam, border], axis=-1).astype(np.uint8)
    if ignored is not None:
        around = np.ones((2 * max(_REACH, width) + 1,) * 2, np.uint8)
        drawn[cv2.dilate(ignored.astype(np.uint8), around) > 0] = UNKNOWN
    return drawn
