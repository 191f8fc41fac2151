"""Scenes at another resolution, row by row."""

import cv2
import numpy as np

from unet.imagery.resizing import resize

# Rows of a scene that are resized at once, as float32.
_AT_ONCE = 64


def resampling(source, target):
    """The matrix that resizes one side of an image.

    By area where it shrinks, linearly where it grows, as OpenCV does
    (``unet.imagery.resizing``). Rows of a result need some rows of the source
    alone, and are the same whichever others are at hand.

    Args:
        source, target: numbers of pixels.

    Returns:
        Sparse float32 matrix, target x source, whose rows sum to 1.
    """
    from scipy.sparse import csr_matrix  # slow to import

    ratio = source / target
    if target > source:
        place = (np.arange(target) + 0.5) * ratio - 0.5
        place = place.clip(0, source - 1)
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, source - 1)
        weight = np.concatenate([1 - (place - below), place - below])
        row = np.tile(np.arange(target), 2)
        column = np.concatenate([below, above])
    else:
        edges = np.union1d(np.arange(source + 1), np.arange(target) * ratio)
        middle = (edges[1:] + edges[:-1]) / 2
        row = np.minimum(middle // ratio, target - 1).astype(int)
        column = np.minimum(middle, source - 1).astype(int)
        weight = np.diff(edges) / ratio
    shape = (target, source)
    matrix = csr_matrix((weight.astype(np.float32), (row, column)), shape)
    matrix.eliminate_zeros()
    return matrix


class Rows:
    """Resizes the rows of an array that comes by blocks."""

    def __init__(self, source, target):
        self.matrix = resampling(source, target)

    def needed(self, top, bottom):
        """The rows of the source that some rows of the result need."""
        part = self.matrix.indptr[[top, bottom]]
        columns = self.matrix.indices[slice(*part)]
        return int(columns.min()), int(columns.max()) + 1

    def resized(self, array, first, top, bottom):
        """Rows of the result.

        Args:
            array: float32, rows of the source from row ``first`` on.
            top, bottom: the rows wanted.
        """
        low, high = self.needed(top, bottom)
        matrix = self.matrix[top:bottom, low:high]
        flat = array[low - first : high - first].reshape(high - low, -1)
        return (matrix @ flat).reshape(bottom - top, *array.shape[1:])


def wider(array, width):
    """Resize the columns of a float32 array, h x W x channels."""
    how = cv2.INTER_AREA if width <= array.shape[1] else cv2.INTER_LINEAR
    # OpenCV drops a channel axis of length one.
    return resize(array, (len(array), width), how).reshape(
        len(array), width, -1
    )


class Reduced:
    """A scene as the network sees it, read from the top to the bottom."""

    def __init__(self, scene, shape):
        self.scene, self.shape = scene, shape
        self.rows = Rows(scene.shape[0], shape[0])
        self.step = max(1, _AT_ONCE * shape[0] // scene.shape[0])
        self.first = self.end = None

    def read(self, top, bottom, later):
        """Rows, of which none lies above those of the last call.

        Args:
            top, bottom: the rows wanted.
            later: the first row that the next call can want.

        Returns:
            (image, known): of the scene's type, h x W' x channels, the mean
            of the known pixels, and bool, h x W': is any of them known?
        """
        if self.first is None:
            self.first, self.end = top, min(top + self.step, self.shape[0])
            self.image, self.known = self._reduced(top, self.end)
        steps = range(self.end, bottom, self.step)
        last = min(self.end + len(steps) * self.step, self.shape[0])
        # Joined one by one: these are the largest arrays of a wide scene.
        image, known = (
            np.empty((last - top, *array.shape[1:]), array.dtype)
            for array in (self.image, self.known)
        )
        here = np.s_[: self.end - top]
        image[here] = self.image[top - self.first :]
        known[here] = self.known[top - self.first :]
        for low in steps:
            high = min(low + self.step, last)
            here = np.s_[low - top : high - top]
            image[here], known[here] = self._reduced(low, high)
        self.first, self.end = min(later, last), last
        # A part of an array would keep all of it.
        self.image = image[self.first - top :].copy()
        self.known = known[self.first - top :].copy()
        return image[: bottom - top], known[: bottom - top]

    def _reduced(self, top, bottom):
        if tuple(self.scene.shape) == tuple(self.shape):
            image, known = self.scene.read(top, bottom)
            if self.scene.masked:
                image = image * known[..., None]
            return image, known
        low, high = self.rows.needed(top, bottom)
        image, known = self.scene.read(low, high)
        dtype, most = image.dtype, np.iinfo(image.dtype).max
        image = image.astype(np.float32)
        if self.scene.masked:
            image *= known[..., None]
        image = self._resized(image, low, top, bottom)
        share = np.ones(image.shape[:2], np.float32)
        if self.scene.masked:
            share = known[..., None].astype(np.float32)
            share = self._resized(share, low, top, bottom)
            image /= np.maximum(share, 1e-6)
            share = share[..., 0]
        return np.rint(image).clip(0, most).astype(dtype), share > 1e-6

    def _resized(self, array, first, top, bottom):
        narrow = wider(array, self.shape[1])
        return self.rows.resized(narrow, first, top, bottom)
