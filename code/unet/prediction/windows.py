"""How windows lie over a scene, and how they are blended."""

from functools import cached_property

import numpy as np

# The network is fully convolutional: in larger windows fewer pixels are
# computed twice. Beyond this side they gain little and cost memory.
_LARGEST = 512
# Pixels of the network's input that neighbouring windows share.
_SHARED = 64
# Pixels in the windows of rows that are predicted together, at least.
_TOGETHER = 32 * 128 * 128


class Tiling:
    """The windows through which the network sees a scene.

    Attributes:
        shape: (H', W') of the scene as the network sees it.
        input: (height, width) of the network's own input.
        size: (height, width) of a window.
        fits: whether the whole scene is no larger than the network's input:
            it is resized to it then, and there are no windows.
        tiles: number of windows.
    """

    def __init__(self, shape, factors, size, overlap=None, step=16):
        """Lay windows.

        Args:
            shape: (H, W) of the scene.
            factors: of ``scales``; None: the scene is seen as a whole.
            size: (height, width) of the network's input.
            overlap: share of a window of that size that the next one covers
                too, 0 to below 1. None: windows are as large as the scene
                needs, at most 512 pixels a side, and share 64 pixels.
            step: multiple of which the sides of windows must be.
        """
        self.input = tuple(size)
        pairs = zip(shape, factors or (0, 0), strict=True)
        self.shape = tuple(max(1, round(n * factor)) for n, factor in pairs)
        pairs = list(zip(self.shape, size, strict=True))
        self.fits = all(n <= m for n, m in pairs)
        if overlap is None:
            axes = [_fitted(n, max(m, _LARGEST), step) for n, m in pairs]
        else:
            axes = [_overlapping(n, m, overlap) for n, m in pairs]
        self.rows, self.columns = axes
        self.size = self.rows.side, self.columns.side
        pixels = self.rows.side * self.columns.side
        a_row = pixels * self.columns.count
        # Rows of windows that are predicted together.
        self.together = max(1, _TOGETHER // a_row)
        self.tiles = self.rows.count * self.columns.count
        if self.fits:
            self.tiles = 1


def _fitted(length, most, step):
    """The fewest windows along a side, no larger than they need to be.

    >>> _fitted(150, most=512, step=16).side
    160
    >>> axis = _fitted(1000, most=512, step=16)
    >>> axis.side, axis.starts.tolist()
    (384, [0, 308, 616])
    """
    count, side = 1, -(-length // step) * step
    while side > most:
        count += 1
        shared = (count - 1) * _SHARED
        side = -(-(length + shared) // (count * step)) * step
    between = 1 if count == 1 else -(-(length - side) // (count - 1))
    beyond = side + (count - 1) * between - length
    return _Axis(length, side, between, count, beyond // 2)


def _overlapping(length, side, overlap):
    """Windows of one size that share a part of it.

    The first pixel lies in as many windows as any other.
    """
    between = max(1, round(side * (1 - overlap)))
    margin = side - between
    count = (margin + length - 1) // between + 1
    return _Axis(length, side, between, count, margin)


class _Axis:
    """Windows along one side of the reduced scene.

    Of thousands of scenes none but the present one's has its arrays.

    Args:
        length: of the side of the scene, pixels.

    Attributes:
        side: of a window, pixels.
        step: from window to window.
        count: number of windows.
        margin: pixels before the scene's own first one.
    """

    def __init__(self, length, side, step, count, margin):
        self.side, self.step, self.margin = side, step, margin
        self.count = count
        self._length, self._end = length, (count - 1) * step + side

    @cached_property
    def starts(self):
        """Where windows start in the scene that was continued by reflection,
        ``margin`` pixels before its own first one."""
        return np.arange(self.count) * self.step

    @cached_property
    def index(self):
        """Which pixel of the scene lies at each place there."""
        after = self._end - self.margin - self._length
        around = self.margin, after
        return np.pad(np.arange(self._length), around, mode="reflect")

    @cached_property
    def weight(self):
        """Of the pixels of a window, before they are added."""
        # Half overlapping windows of this form add up to one everywhere.
        angle = np.pi * (np.arange(self.side) + 0.5) / self.side
        return (np.sin(angle) ** 2).astype(np.float32)

    @cached_property
    def total(self):
        """Sum of the weights at each place."""
        total = np.zeros(self._end, np.float32)
        for start in self.starts:
            total[start : start + self.side] += self.weight
        return total
