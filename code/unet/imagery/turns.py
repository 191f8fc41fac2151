"""EXIF orientations, flips and quarter turns."""

import numpy as np


def upright(array, orientation):
    """Apply an EXIF orientation, 1 to 8, to an array of H x W (x channels).

    >>> upright(np.array([[1, 2, 3]]), 6)  # turn right
    array([[1],
           [2],
           [3]])
    """
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def symmetry(array, number):
    """One of the eight flips and quarter turns, as a view.

    Args:
        array: H x W or H x W x channels.
        number: 0 to 7. The quarter turns, 0 turning nothing, and then each
            of them flipped. Even ones keep the shape.
    """
    turned = np.rot90(array, number % 4)
    return turned[:, ::-1] if number >= 4 else turned


def inverse(number):
    """The symmetry that undoes another one: itself, but for quarter turns."""
    return {1: 3, 3: 1}.get(number, number)
