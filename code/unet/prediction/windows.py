"""How windows lie over a scene, and how they are blended."""

import numpy as np

_WINDOWS = 32


class Tiling:
    """The windows through which the network sees a scene.

    Attributes:
        shape: (H', W') of the scene as the network sees it.
        size: (height, width) of a window.
        fits: whether the whole scene is no larger than one window: it is
            resized to it then, as ever, and there are no windows.
        tiles: their number.
    """

    def __init__(self, shape, factors, size, overlap=0.5):
        """Lay windows.

        Args:
            shape: (H, W) of the scene.
            factors: of ``scales``; None: the scene is seen as a whole.
            size: (height, width) of the network's input.
            overlap: share of a window that the next one covers too, 0 to
                below 1.
        """
        self.size = tuple(size)
        pairs = zip(shape, factors or (0, 0), strict=True)
        self.shape = tuple(max(1, round(n * factor)) for n, factor in pairs)
        self.fits = all(n <= m for n, m in zip(self.shape, size, strict=True))
        axes = [
            _Axis(n, side, overlap)
            for n, side in zip(self.shape, size, strict=True)
        ]
        self.rows, self.columns = axes
        # Rows of windows that are predicted together.
        self.together = max(1, _WINDOWS // len(self.columns.starts))
        self.tiles = len(self.rows.starts) * len(self.columns.starts)
        if self.fits:
            self.tiles = 1


class _Axis:
    """Windows along one side of the reduced scene.

    Attributes:
        starts: where they start in the scene that was continued by
            reflection, ``margin`` pixels before its own first one.
        index: which pixel of the scene lies at each place there.
        weight: of the pixels of a window, before they are added.
        total: sum of the weights at each place.
    """

    def __init__(self, length, side, overlap):
        self.step = max(1, round(side * (1 - overlap)))
        # The first pixel lies in as many windows as any other.
        self.margin = side - self.step
        last = self.margin + length - 1
        self.starts = np.arange(0, last + 1, self.step)
        end = self.starts[-1] + side
        after = end - self.margin - length
        self.index = np.pad(
            np.arange(length), (self.margin, after), mode="reflect"
        )
        # Half overlapping windows of this form add up to one everywhere.
        self.weight = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
        self.weight = self.weight.astype(np.float32)
        self.total = np.zeros(end, np.float32)
        for start in self.starts:
            self.total[start : start + side] += self.weight
