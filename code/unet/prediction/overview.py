"""Pictures of a predicted scene, made while it streams."""

import heapq
from dataclasses import dataclass

import numpy as np

from unet.geometry.components import RowBlocks
from unet.geometry.masks import boundary
from unet.geometry.separation import LEVELS, to_levels
from unet.imagery.georeference import Ground
from unet.imagery.resizing import resize_image
from unet.pictures.overlay import OUTCOMES, hatched, mixed, overlay_shares

_LARGEST = 2000  # pixels of a side of a picture
_PLACES = 12
_ROWS = 64  # that are reduced at once, or as many as one row of a picture
_AT_ONCE = 64  # rows whose uncertainty is computed at once


@dataclass
class Place:
    """A window of a scene.

    Attributes:
        uncertainty: mean over its pixels of 1 - the sum of the squared
            probabilities of all classes: of probabilities that can be
            trusted it is the squared error to expect (Brier's score).
        row, column: of its first pixel.
        image: uint8, h x w x 3.
        ids: uint8, h x w, predicted.
        probability: float32, h x w, of any foreground class, in steps of
            1 / 255.
    """

    uncertainty: float
    row: int
    column: int
    image: np.ndarray
    ids: np.ndarray
    probability: np.ndarray


class Picture:
    """An image and the shares of its classes, reduced row by row.

    The result has at most 2,000 pixels a side, whatever the size of the
    image; memory is that of the picture and of some rows.

    Args:
        shape: (H, W) of the image.
        total: number of classes, ids 1, 2, ...
    """

    def __init__(self, shape, total):
        self._shape, self._total = shape, total
        # By a whole number first; ``_reduced`` does the rest.
        self._factor = max(1, max(shape) // _LARGEST)
        rows = self._factor * -(-_ROWS // self._factor)
        self._blocks = RowBlocks(rows, shape[0])
        self._image, self._shares = [], []
        self._edges = None

    def add(self, image, ids):
        """Add rows: uint8 h x W x 3, and uint8 h x W."""
        for _, (part, own) in self._blocks.add(image, ids):
            self._image.append(self._smaller(part))
            shares = [
                self._smaller((own == number).astype(np.uint8) * 255)
                for number in range(1, self._total + 1)
            ]
            self._shares.append(np.stack(shares))

    def _smaller(self, array):
        """Means of squares; what lacks at the border repeats its last pixel."""
        height, width = array.shape[:2]
        size = [-(-side // self._factor) for side in (height, width)]
        more = [
            (0, new * self._factor - side)
            for new, side in zip(size, (height, width), strict=True)
        ]
        more += [(0, 0)] * (array.ndim - 2)
        return resize_image(np.pad(array, more, "edge"), size)

    def _reduced(self):
        """(image, shares): uint8 h x w x 3, float32 classes x h x w."""
        self._blocks.close()
        image = np.concatenate(self._image)
        shares = np.concatenate(self._shares, axis=1)
        scale = min(1, _LARGEST / max(image.shape))
        size = [max(1, round(side * scale)) for side in image.shape[:2]]
        shares = [resize_image(share, size) for share in shares]
        return resize_image(image, size), np.float32(shares) / 255

    def outline(self, part):
        """Outline an object: ``unet.geometry.scene_objects.Part``."""
        if self._edges is None:
            sides = [-(-side // self._factor) for side in self._shape]
            self._edges = np.zeros(sides, np.uint8)
        rows, columns = np.nonzero(boundary(part.mask, 1))
        rows, columns = rows + part.top, columns + part.left
        self._edges[rows // self._factor, columns // self._factor] = 255

    def overlay(self):
        """The image with its classes tinted and outlined, see ``overlay``."""
        image, shares = self._reduced()
        edges = self._edges
        if edges is not None:
            edges = resize_image(edges, image.shape[:2]) > 0
        return overlay_shares(image, shares, edges=edges)

    def errors(self):
        """As ``unet.pictures.overlay.errors``, of the outcomes 1 to 4."""
        image, (*shares, unknown) = self._reduced()
        return hatched(mixed(image // 3, shares, OUTCOMES), unknown >= 0.5)


class UncertainPlaces:
    """The windows of a scene of which the prediction is least sure.

    Those an annotator should look at first. They lie a window or more apart.

    Args:
        shape: (H, W) of the scene.
        window: side of the windows in pixels; what the network sees at once
            is a good choice.
        place: ``unet.imagery.georeference.Georeference``, or None.

    Attributes:
        places: after ``close``, list of ``Place``, the least certain first.
    """

    def __init__(self, shape, window, place=None):
        self.places = []
        self._ground = Ground(place)
        self._window = window
        self._blocks = RowBlocks(window, shape[0])
        self._above = None  # values of the row of windows before
        self._pending = {}  # by column: largest so far among its neighbours
        self._best = []  # a heap of (value, -row, -column, Place)

    def add(self, strip):
        """Add the next ``Strip``."""
        several = strip.probability.shape[-1] > 1
        p = strip.probability[..., 0]
        for top, (*pictures, sums) in self._blocks.add(
            strip.image,
            strip.ids,
            to_levels(1 - p if several else p),
            self._sums(strip.probability, strip.known),
        ):
            # What is beyond the border counts as certain.
            values = sums.sum(axis=0) / self._window**2
            self._decide(values)
            if self._above is None:
                self._above = np.zeros_like(values)
            # Of equal neighbours the first one stays.
            larger = np.maximum(_left(values), _around(self._above))
            chosen = (values > larger) & (values >= _right(values))
            least = self._best[0][0] if len(self._best) == _PLACES else 0
            for k in np.flatnonzero(chosen & (values > least)):
                self._pending[k] = self._place(values[k], top, k, pictures)
            self._above = values

    def _sums(self, probability, known):
        """The uncertainty in each row of each window: rows x windows."""
        starts = np.arange(0, known.shape[1], self._window)
        sums = np.empty((len(known), len(starts)))
        for top in range(0, len(known), _AT_ONCE):
            rows = slice(top, top + _AT_ONCE)
            p = probability[rows]
            if p.shape[-1] == 1:
                unsure = 2 * p[..., 0] * (1 - p[..., 0])
            else:
                unsure = 1 - (p**2).sum(axis=-1)
            unsure *= known[rows]
            np.add.reduceat(unsure, starts, axis=1, dtype=float, out=sums[rows])
        return sums

    def _place(self, value, top, k, pictures):
        left = int(k * self._window)
        image, ids, levels = [
            array[:, left : left + self._window].copy() for array in pictures
        ]
        probability = levels / np.float32(LEVELS)
        return Place(float(value), top, left, image, ids, probability)

    def _decide(self, below):
        """Keep the pending places that no window below them exceeds."""
        around = _around(below)
        for k, place in self._pending.items():
            if place.uncertainty >= around[k]:
                key = place.uncertainty, -place.row, -place.column
                heapq.heappush(self._best, (*key, place))
                if len(self._best) > _PLACES:
                    heapq.heappop(self._best)
        self._pending = {}

    def close(self):
        """Find ``places``.

        Raises:
            ValueError: rows of the scene are missing.
        """
        self._blocks.close()
        self._decide(np.zeros_like(self._above))
        best = sorted(self._best, reverse=True)
        self.places = [place for *_, place in best]

    def titles(self):
        """Where each place is: its middle, on the globe and in pixels."""
        titles = []
        for place in self.places:
            height, width = place.ids.shape
            text = f"row {place.row}, column {place.column}"
            middle = place.column + width / 2, place.row + height / 2
            at = self._ground.place(*middle)
            if at:
                text += f"\n{at[1]:.6f}, {at[0]:.6f}"
            titles.append(text)
        return titles


def _left(values):
    """Each value's neighbour on the left, 0 at the border."""
    return np.concatenate([[0], values[:-1]])


def _right(values):
    return np.concatenate([values[1:], [0]])


def _around(values):
    """The largest of each value and its neighbours."""
    return np.maximum(values, np.maximum(_left(values), _right(values)))
