"""Images with their classes tinted, outlined, or compared with the truth."""

import numpy as np

from unet.files.folders import UNKNOWN
from unet.geometry.masks import boundary

# Okabe and Ito's colours, told apart by colour-blind eyes as well; the first
# three stay clear of the greens and browns of the ground.
COLOURS = np.array(
    [
        (230, 60, 150),
        (0, 158, 255),
        (240, 228, 66),
        (213, 94, 0),
        (0, 200, 160),
        (150, 90, 255),
    ],
    np.uint8,
)
# Of what a prediction found, invented and missed, see ``outcomes``.
OUTCOMES = (255, 255, 255), (255, 140, 0), (0, 140, 255)
# Of the stripes over what nobody labelled, and how many cross a picture.
STRIPE = (150, 150, 150)
_STRIPES = 40
# Rows that are mixed at once: fractions take eight times the picture's memory.
_AT_ONCE = 64


def colour_of(number):
    """The colour of class id ``number`` (1, 2, ...)."""
    return COLOURS[(number - 1) % len(COLOURS)]


def overlay(image, ids, strength=0.35):
    """The image with its classes tinted and outlined.

    Args:
        image: uint8, H x W x 3.
        ids: uint8, H x W, class ids; ``UNKNOWN`` is hatched.
        strength: of the tint, from 0 to 1; 0 draws outlines alone.

    Returns:
        uint8, H x W x 3.
    """
    most = int(np.where(ids == UNKNOWN, 0, ids).max())
    shares = [ids == number for number in range(1, most + 1)]
    result = overlay_shares(image, np.float32(shares), strength)
    return hatched(result, ids == UNKNOWN)


def hatched(picture, ignored):
    """A picture with stripes over the pixels that nobody labelled.

    Args:
        picture: uint8, H x W x 3.
        ignored: bool, H x W.

    Returns:
        uint8, H x W x 3: the picture itself where nothing is ignored.
    """
    if not ignored.any():
        return picture
    height, width = ignored.shape
    period = max(4, max(height, width) // _STRIPES)
    diagonal = np.add.outer(np.arange(height), np.arange(width)) % period
    result = picture.copy()
    result[ignored & (diagonal < period // 2)] = STRIPE
    return result


def overlay_shares(image, shares, strength=0.35, edges=None):
    """``overlay`` of an image that was made smaller.

    Args:
        image: uint8, H x W x 3.
        shares: float32, classes x H x W, 0 to 1: how much of each pixel each
            class covers.
        strength: see ``overlay``.
        edges: bool, H x W: outlines of objects that touch others; None: the
            masks alone are outlined.

    Returns:
        uint8, H x W x 3.
    """
    width = max(1, round(max(image.shape) / 1000))
    weights = []
    for share in shares:
        mask = share >= 0.5
        inner = mask & ~boundary(mask, width)
        if edges is not None:
            inner &= ~edges
        weights.append(np.where(inner, strength, 1) * share)
    colours = [colour_of(k) for k in range(1, len(weights) + 1)]
    return mixed(image, weights, colours)


def mixed(image, weights, colours):
    """Colours over an image, each with its weight from 0 to 1 at each pixel.

    The weights of a pixel are at most 1 together.

    Args:
        image: uint8, H x W x 3.
        weights: sequence of float arrays, H x W.
        colours: as many colours.

    Returns:
        uint8, H x W x 3.
    """
    result = np.empty_like(image)
    for top in range(0, len(image), _AT_ONCE):
        rows = slice(top, top + _AT_ONCE)
        below = image[rows]
        mix = below.astype(np.float32)
        for weight, colour in zip(weights, colours, strict=True):
            mix += weight[rows, :, None] * (np.float32(colour) - below)
        result[rows] = np.rint(mix).clip(0, 255)
    return result


def in_colour(ids):
    """Class ids as a picture: black background, one class is white.

    ``UNKNOWN`` is hatched.
    """
    palette = np.vstack([np.zeros((1, 3), np.uint8), COLOURS])
    ignored = ids == UNKNOWN
    ids = np.where(ignored, 0, ids)
    if ids.max() <= 1:
        palette[1] = 255
    return hatched(palette[ids % len(palette)], ignored)


def outcomes(truth, predicted):
    """Whether a prediction found what is there, invented or missed it.

    With several classes a confused pixel counts as missed.

    Args:
        truth, predicted: uint8, H x W, class ids.

    Returns:
        uint8, H x W: 0 right about the background, 1 found, 2 invented,
        3 missed, 4 where nobody labelled.
    """
    result = np.zeros(truth.shape, np.uint8)
    result[(truth > 0) & (predicted == truth)] = 1
    result[(truth == 0) & (predicted > 0)] = 2
    result[(truth > 0) & (predicted != truth)] = 3
    result[truth == UNKNOWN] = 4
    return result


def errors(image, truth, predicted):
    """Where a prediction is right and wrong, over the darkened image.

    Found pixels are white, invented ones orange and missed ones blue; what
    nobody labelled is hatched.
    """
    result = image // 3
    outcome = outcomes(truth, predicted)
    for number, colour in enumerate(OUTCOMES, start=1):
        result[outcome == number] = colour
    return hatched(result, outcome == 4)
