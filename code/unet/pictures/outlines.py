"""Images with the outlines of objects."""

import cv2
import numpy as np

from unet.geometry.polygons import rings_of
from unet.imagery.resizing import resize_image

_LEAST_SIDE = 768  # pixels: the longer side of a picture, at least


def with_outlines(image, layers):
    """An image with outlines in colours; a small one is enlarged.

    Args:
        image: uint8, H x W x 3, RGB.
        layers: list of (geometries, colour): ``shapely`` polygons in pixels
            of the image, and (red, green, blue) from 0 to 255. The last one
            lies on top.

    Returns:
        uint8, h x w x 3; the longer side has 768 pixels or more.
    """
    factor = max(1, _LEAST_SIDE / max(image.shape))
    size = [round(side * factor) for side in image.shape[:2]]
    picture = resize_image(image, size).copy()
    for geometries, colour in layers:
        for geometry in geometries:
            for ring in rings_of(geometry):
                points = np.rint(ring * factor).astype(np.int32)
                cv2.polylines(picture, [points], True, colour, 1, cv2.LINE_AA)
    return picture
