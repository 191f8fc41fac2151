"""Pictures of a predicted scene, made while it streams."""

import heapq
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unet.geometry.components import UNKNOWN, Bands
from unet.imagery.georeference import Ground
from unet.imagery.png import write_png
from unet.imagery.resizing import resize_image
from unet.pictures import figures
from unet.pictures.overlay import FOUND, INVENTED, MISSED, mixed, overlay_shares

_LARGEST = 2000  # pixels of a side of a picture
_PLACES = 12
_ROWS = 256  # that are reduced at once, or as many as one row of a picture


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
        probability: float32, h x w, of any foreground class.
    """

    uncertainty: float
    row: int
    column: int
    image: np.ndarray
    ids: np.ndarray
    probability: np.ndarray


class Overview:
    """Draws a predicted scene.

    ``NAME_overlay.png``: the scene with its classes tinted and outlined, at
    most 2,000 pixels a side. ``NAME_uncertain.png``: the places of which the
    prediction is least sure, those an annotator should look at first, enlarged
    and with their positions. ``NAME_errors.png``, with a truth: found white,
    invented orange, missed blue. Memory is that of the pictures and of some
    rows.

    Args:
        out: directory to write to.
        name: of the scene, for the files.
        shape: (H, W) of the scene.
        classes: foreground class names.
        crs, transform: of the scene, see ``unet.imagery.georeference``.
        window: side in pixels of the scene of the places that are compared;
            128 pixels of what the network sees are a good choice.

    Attributes:
        places: after ``close``, list of ``Place``, the least certain first.
            They lie a window or more apart.
    """

    def __init__(
        self, out, name, shape, classes, crs=None, transform=None, window=128
    ):
        self.out, self.name, self.shape = Path(out), name, tuple(shape)
        self.ground = Ground(crs, transform)
        self.places = []
        self._picture = _Picture(self.shape, len(classes))
        self._errors = None
        self._search = _Search(self.shape, window)

    def files(self, truth=False):
        """Every file that is written, with or without a truth."""
        kinds = ["overlay", "uncertain", *(["errors"] if truth else [])]
        return [self.out / f"{self.name}_{kind}.png" for kind in kinds]

    def add(self, strip, truth=None):
        """Add the next rows.

        Args:
            strip: a ``Strip`` of ``unet.prediction.scenes``.
            truth: uint8, h x W, class ids, ``UNKNOWN`` where not known; for
                every strip or for none.
        """
        ids = np.where(strip.known, strip.ids, 0).astype(np.uint8)
        self._picture.add(strip.image, ids)
        self._search.add(strip.image, ids, strip.probability, strip.known)
        if truth is not None:
            if self._errors is None:
                self._errors = _Picture(self.shape, 3)
            kinds = _kinds(truth, ids, strip.known)
            self._errors.add(strip.image, kinds)

    def close(self):
        """Write the pictures.

        Raises:
            ValueError: rows of the scene are missing.
        """
        self.places = self._search.close()
        overlay, uncertain, errors = self.files(truth=True)
        write_png(overlay, self._picture.overlay())
        if self._errors:
            write_png(errors, self._errors.errors())
        figure = figures.place_grid(self.places, self.titles())
        figures.save_figure(figure, uncertain)

    def titles(self):
        """Where each place is: its middle, on the globe and in pixels."""
        titles = []
        for place in self.places:
            height, width = place.ids.shape
            text = f"row {place.row}, column {place.column}"
            middle = place.column + width / 2, place.row + height / 2
            at = self.ground.place(*middle)
            if at:
                text += f"\n{at[1]:.6f}, {at[0]:.6f}"
            titles.append(text)
        return titles


def _kinds(truth, ids, known):
    """1 where a prediction found what is there, 2 invented, 3 missed it."""
    kinds = np.zeros(ids.shape, np.uint8)
    judged = known & (truth != UNKNOWN)
    kinds[judged & (truth > 0) & (ids == truth)] = 1
    kinds[judged & (truth == 0) & (ids > 0)] = 2
    kinds[judged & (truth > 0) & (ids != truth)] = 3
    return kinds


class _Picture:
    """A scene and the shares of its classes, reduced row by row.

    Args:
        shape: (H, W) of the scene.
        total: number of classes, ids 1, 2, ...
    """

    def __init__(self, shape, total):
        self._shape, self._total = shape, total
        # By a whole number first; ``_reduced`` does the rest.
        self._factor = max(1, max(shape) // _LARGEST)
        rows = self._factor * -(-_ROWS // self._factor)
        self._bands = Bands(rows, shape[0])
        self._image, self._shares = [], []

    def add(self, image, ids):
        """Add rows: uint8 h x W x 3, and uint8 h x W."""
        for _, (part, own) in self._bands.add(image, ids):
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
        self._bands.close()
        image = np.concatenate(self._image)
        shares = np.concatenate(self._shares, axis=1)
        scale = min(1, _LARGEST / max(image.shape))
        size = [max(1, round(side * scale)) for side in image.shape[:2]]
        shares = [resize_image(share, size) for share in shares]
        return resize_image(image, size), np.float32(shares) / 255

    def overlay(self):
        """As ``unet.pictures.overlay``, but thin: objects are small here."""
        image, shares = self._reduced()
        width = max(1, round(max(image.shape) / 1000))
        return overlay_shares(image, shares, width)

    def errors(self):
        """As ``unet.pictures.overlay.errors``, of kinds 1, 2 and 3."""
        image, shares = self._reduced()
        colours = FOUND, INVENTED, MISSED
        return mixed(image // 3, shares, colours)


class _Search:
    """Keeps the least certain windows of a scene."""

    def __init__(self, shape, window):
        self._window = window
        self._bands = Bands(window, shape[0])
        self._above = None  # values of the row of windows before
        self._pending = {}  # by column: largest so far among its neighbours
        self._best = []  # a heap of (value, -row, -column, Place)

    def add(self, *arrays):
        """Add rows: image, ids, probability, known."""
        for top, band in self._bands.add(*arrays):
            values = self._values(*band[2:])
            self._decide(values)
            if self._above is None:
                self._above = np.zeros_like(values)
            # Of equal neighbours the first one stays.
            larger = np.maximum(_left(values), _around(self._above))
            chosen = (values > larger) & (values >= _right(values))
            least = self._best[0][0] if len(self._best) == _PLACES else 0
            for k in np.flatnonzero(chosen & (values > least)):
                self._pending[k] = self._place(values[k], top, k, band)
            self._above = values

    def _values(self, probability, known):
        """The uncertainty of each window in a row of them."""
        if probability.shape[-1] == 1:
            p = probability[..., 0]
            unsure = 2 * p * (1 - p)
        else:
            unsure = 1 - (probability**2).sum(axis=-1)
        columns = (unsure * known).sum(axis=0, dtype=float)
        starts = np.arange(0, len(columns), self._window)
        # What is beyond the border counts as certain.
        return np.add.reduceat(columns, starts) / self._window**2

    def _place(self, value, top, k, band):
        left = k * self._window
        image, ids, probability, _ = [
            array[:, left : left + self._window].copy() for array in band
        ]
        several = probability.shape[-1] > 1
        p = 1 - probability[..., 0] if several else probability[..., 0]
        return Place(float(value), top, int(left), image, ids, p)

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
        """List of ``Place``, the least certain first."""
        self._bands.close()
        self._decide(np.zeros_like(self._above))
        return [place for *_, place in sorted(self._best, reverse=True)]


def _left(values):
    """Each value's neighbour on the left, 0 at the border."""
    return np.concatenate([[0], values[:-1]])


def _right(values):
    return np.concatenate([values[1:], [0]])


def _around(values):
    """The largest of each value and its neighbours."""
    return np.maximum(values, np.maximum(_left(values), _right(values)))
