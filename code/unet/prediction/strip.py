"""How images are predicted, and the strips that a prediction is made of."""

from dataclasses import dataclass, replace

import numpy as np

from unet.files.errors import DataError
from unet.geometry.masks import to_ids
from unet.imagery.bands import PICTURES, Bands


@dataclass(frozen=True)
class Settings:
    """How images are predicted.

    Attributes:
        threshold: probability from which on a pixel is of the class; several
            classes need none, the most probable one wins.
        contrast: enhancement of the model's images, see
            ``unet.imagery.contrast``.
        flips: the mean over all flips and quarter turns.
        bands: ``unet.imagery.bands.Bands``: what the network sees.
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
    bands: Bands = PICTURES
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
        image: uint8, h x W x 3: a picture of what the network sees.
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
        top, known: see ``Strip``.
        image: what the network sees, h x W x bands.
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
    picture = settings.bands.picture(image)
    return Strip(top, picture, ids, probability, known, edge)


def bands_of(preprocessing, numbers=None):
    """What a model sees of images.

    Args:
        preprocessing: of its ``unet.network.contract.Contract``.
        numbers: of the bands of the images in the model's order, from 1; None:
            those that it has learned from.

    Returns:
        ``unet.imagery.bands.Bands``.

    Raises:
        DataError: there are more or fewer numbers than bands of the model.
    """
    own, limits = preprocessing.bands, preprocessing.limits
    if own is None and limits is None and len(numbers or (1,)) in (1, 3):
        return Bands(numbers)
    known = own or []
    descriptions = tuple(band["description"] for band in known)
    bands = Bands(
        tuple(band["number"] for band in known) if known else None,
        descriptions,
        "uint8" if limits is None else "uint16",
        limits and tuple(map(tuple, limits)),
    )
    if numbers is None:
        return bands
    if len(numbers) != bands.count:
        raise DataError(
            f"bands {','.join(map(str, numbers))}: expected {bands.count}, for "
            f"{', '.join(bands.names())} of the model, found {len(numbers)}. "
            "Name as many, in this order."
        )
    # Whoever names them knows better than the file what they are.
    return replace(bands, numbers=tuple(numbers), descriptions=())
