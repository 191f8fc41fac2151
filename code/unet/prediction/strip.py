"""How images are predicted, and the strips that a prediction is made of."""

from dataclasses import dataclass

import numpy as np

from unet.geometry.masks import to_ids


@dataclass(frozen=True)
class Settings:
    """How images are predicted.

    Attributes:
        threshold: probability from which on a pixel is of the class; several
            classes need none, the most probable one wins.
        contrast: enhancement of the model's images, see
            ``unet.imagery.contrast``.
        flips: the mean over all flips and quarter turns.
        bands: red, green and blue of images with more bands, from 1.
        scale: pixels of the network's input for each pixel of an image; None:
            as in training.
        overlap: share of a window of the network's own size that the next one
            covers too, 0 to below 1; None: see ``Tiling``.
        seams: whether the last two channels of what the network gives are
            seams and borders; ``unet.prediction.stream`` knows.
    """

    threshold: float = 0.5
    contrast: str = "none"
    flips: bool = False
    bands: tuple[int, ...] | None = None
    scale: float | None = None
    overlap: float | None = None
    seams: bool = False


DEFAULTS = Settings()


@dataclass(frozen=True)
class Strip:
    """Rows of a predicted image, over its whole width and at its own size.

    A photo is one strip.

    Attributes:
        top: int, the first row.
        image: uint8, h x W x 3.
        ids: uint8, h x W, class ids; 0 where there is no data.
        probability: float32, h x W x 1 (of class 1) or x classes.
        known: bool, h x W, False where the image has no data.
        edge: float32, h x W, the probability that an object ends there; None:
            the network has not learned it.
    """

    top: int
    image: np.ndarray
    ids: np.ndarray
    probability: np.ndarray
    known: np.ndarray
    edge: np.ndarray | None = None

    @property
    def rows(self):
        """Where in the image it lies, as a slice."""
        return slice(self.top, self.top + len(self.ids))


def new_strip(top, image, known, answer, settings):
    """A ``Strip`` whose class ids follow from its probabilities.

    Args:
        top, image, known: see ``Strip``.
        answer: float32, h x W x channels of the network.
        settings: ``Settings``.
    """
    probability, edge = answer, None
    if settings.seams:
        # Borders include where objects touch. On validation tiles they parted
        # objects better than the seams, which fewer pixels teach.
        probability, edge = answer[..., :-2], answer[..., -1]
    ids = to_ids(probability, settings.threshold)
    ids[~known] = 0
    return Strip(top, image, ids, probability, known, edge)
