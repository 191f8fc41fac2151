"""Contrast of an image, raised before the network sees it."""

import cv2
import numpy as np

CONTRASTS = ("none", "clahe", "stretch")
# OpenCV's own grid; a limit of 2 to 4 is usual, the lower adds less noise.
_LIMIT, _GRID = 2.0, (8, 8)
# Per cent of the values that become black, and that stay below white.
_LOW, _HIGH = 2, 98


def enhance(image, contrast):
    """Raise an image's contrast.

    Args:
        image: uint8, H x W x 3, RGB.
        contrast: ``"none"``; ``"clahe"``: histogram equalisation of the
            lightness (L of Lab) in 8 x 8 parts with limited contrast
            (Zuiderveld 1994); ``"stretch"``: one straight line for the whole
            image, on which its 2nd percentile becomes 0 and its 98th 255.

    Returns:
        uint8, H x W x 3; the same array for ``"none"``.
    """
    if contrast == "clahe":
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
        equaliser = cv2.createCLAHE(_LIMIT, _GRID)
        lab[..., 0] = equaliser.apply(np.ascontiguousarray(lab[..., 0]))
        return cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    if contrast == "stretch":
        low, high = np.percentile(image, [_LOW, _HIGH])
        if low < high:
            line = np.interp(np.arange(256), [low, high], [0, 255])
            return np.rint(line).astype(np.uint8)[image]
    return image
