"""How well the outlines of masks lie on the edges of an image."""

import cv2
import numpy as np

from unet.imagery.resizing import resize_image

SWAPPED = 1.6  # times better than as they are: turned or swapped
REACH = 12  # pixels that labels are moved to find the image's edges
SIDE = 256  # longest side on which edges are compared


def edge_map(grey, masks):
    """How well the outlines of masks lie on the image's edges, moved a little.

    Args:
        grey: uint8 H x W.
        masks: list of bool H x W.

    Returns:
        float32 array, (2 R + 1) squared: mean strength of the edges under
        the outline moved by (dy, dx), across the outline; 1 is chance. None
        if the outline is too short to tell.
    """
    if not masks:
        return None
    scale = min(1.0, SIDE / max(grey.shape))
    size = [max(1, round(side * scale)) for side in grey.shape]
    grey = cv2.GaussianBlur(resize_image(grey, size), (0, 0), 1)
    masks = [resize_image(mask.astype(np.float32), size) for mask in masks]
    padded = cv2.copyMakeBorder(grey, *[REACH] * 4, cv2.BORDER_REFLECT_101)
    total, length = 0.0, 0.0
    for dx, dy in ((1, 0), (0, 1)):
        outline = sum(
            np.abs(cv2.Scharr(mask, cv2.CV_32F, dx, dy)) / 32 for mask in masks
        )
        outline[[0, -1]] = 0
        outline[:, [0, -1]] = 0
        edges = np.abs(cv2.Scharr(padded, cv2.CV_32F, dx, dy))
        edges = np.minimum(edges, np.percentile(edges[::2, ::2], 98))
        edges /= max(float(edges.mean()), 1e-6)
        total = total + cv2.matchTemplate(edges, outline, cv2.TM_CCORR)
        length += float(outline.sum())
    return total / length if length >= 40 else None


def near(edges):
    """How well outlines lie on edges when moved by one pixel at most."""
    middle = slice(REACH - 1, REACH + 2)
    return float(edges[middle, middle].max())
