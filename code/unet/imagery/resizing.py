"""Images of another size."""

import cv2
import numpy as np

# Channels that OpenCV averages over areas at once.
_AT_ONCE = 4


def resize_image(image, size):
    """Resize an image: by area averaging where it shrinks.

    Args:
        image: uint8, uint16 or float array, H x W or H x W x channels.
        size: (height, width) of the result.

    Returns:
        Array of the same dtype.
    """
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return resize(image, size, how)


def resize(image, size, how):
    """``cv2.resize`` to (height, width) of images of any channels."""
    size = size[1], size[0]
    few = image.ndim == 2 or image.shape[2] <= _AT_ONCE
    if few or how != cv2.INTER_AREA:
        return cv2.resize(image, size, interpolation=how)
    parts = np.split(image, range(_AT_ONCE, image.shape[2], _AT_ONCE), axis=2)
    resized = [cv2.resize(part, size, interpolation=how) for part in parts]
    return np.dstack(resized)
