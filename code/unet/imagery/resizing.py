"""Images of another size."""

import cv2


def resize_image(image, size):
    """Resize an image: by area averaging where it shrinks.

    Args:
        image: uint8 or float array, H x W or H x W x channels.
        size: (height, width) of the result.

    Returns:
        Array of the same dtype.
    """
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=how)
