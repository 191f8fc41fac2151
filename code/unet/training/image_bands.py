"""The bands of a training: which there are, and what their values mean."""

from dataclasses import replace

import numpy as np

from unet.files.errors import DataError
from unet.files.folders import UNKNOWN
from unet.imagery.bands import (
    DEPTHS,
    Bands,
    as_three,
    depth_of,
    descriptions_of,
)
from unet.imagery.reading import ALL, read_values, to_uint8
from unet.network.contract import read_contract
from unet.network.contract_rules import MOST_BANDS
from unet.training.array_files import in_turn

# Of the values of a band: what becomes black, and what white.
PERCENTILES = (2, 98)


def bands_of(path, numbers):
    """The bands of a training, as its first image has them.

    Args:
        path: of the image.
        numbers: see ``unet.imagery.bands.Bands``.

    Returns:
        ``Bands`` without limits, and without ``ALL``.

    Raises:
        DataError: the image lacks one, has too many, or another depth than 8
            or 16 bits.
    """
    wanted = Bands(numbers, dtype="uint8")
    with wanted.named_bands(path):
        values = read_values(path, numbers)
    dtype, count = str(values.dtype), values.shape[2]
    if numbers is None:
        return Bands(dtype="uint16" if dtype == "uint16" else None)
    if dtype not in DEPTHS:
        raise DataError(
            f"{path}: expected bands of 8 or 16 bits (uint8, uint16), found "
            f"{dtype}. Save them as one of these, all images on one scale."
        )
    if count > MOST_BANDS:
        raise DataError(
            f"{path}: expected up to {MOST_BANDS} bands, found {count}. Name "
            "those to learn from."
        )
    if numbers == ALL:
        numbers = tuple(range(1, count + 1))
    return Bands(numbers, descriptions_of(path, numbers), dtype)


class BandReader:
    """Reads the images of a training, which must be alike.

    Args:
        bands: ``Bands`` of the training.
        asked: what was asked for: ``numbers`` of ``Bands``.
        first: which image has them: its path, or in words.
    """

    def __init__(self, bands, asked, first):
        self._bands, self._asked, self._first = bands, asked, first
        self._called = list(bands.descriptions)

    def read(self, path):
        """What the network sees of an image: H x W x bands.

        Raises:
            DataError: it cannot be read, or has other bands or another depth
                than the first one.
        """
        bands = self._bands
        with bands.named_bands(path):
            values = read_values(path, self._asked)
        if bands.numbers is not None and values.shape[2] != bands.count:
            self._refuse(path, _bands(bands.count), _bands(values.shape[2]))
        expected = bands.dtype or "uint8"
        deep = {str(values.dtype), expected} & {"uint16"}
        if str(values.dtype) != expected and (bands.dtype or deep):
            self._refuse(path, DEPTHS[expected], depth_of(values.dtype))
        self._compare_descriptions(path)
        values = as_three(values, bands.numbers)
        return values if bands.dtype else to_uint8(values, path)

    def bands(self):
        """``Bands`` of all images read, with what any of them calls them."""
        return replace(self._bands, descriptions=tuple(self._called))

    def _compare_descriptions(self, path):
        if self._bands.numbers is None:
            return
        found = descriptions_of(path, self._bands.numbers)
        for k, description in enumerate(found):
            known = self._called[k] = self._called[k] or description
            if description and description.casefold() != known.casefold():
                number = self._bands.numbers[k]
                expected = f"{known} in band {number}"
                self._refuse(path, expected, description)

    def _refuse(self, path, expected, found):
        raise DataError(
            f"{path}: expected {expected}, as in {self._first}, found {found}. "
            "The images of a training must have the same bands, of one depth."
        )


def _bands(count):
    return f"{count} band{'s' * (count != 1)}"


def seen_bands(train, start_from=None):
    """What a network sees of the training images, and of all later ones.

    Values of 16 bits get limits: of each band the 2nd and the 98th percentile
    of all labelled pixels. Percentiles, because a cloud would move the largest
    value; of the training set, because a surface should look alike in all
    images.

    Args:
        train: the training ``Dataset``.
        start_from: path of a model that brings limits, or None.

    Returns:
        ``Bands``.

    Raises:
        DataError: a band has one value everywhere, or both percentiles are
            the same; the model has learned from other images.
    """
    bands = train.bands
    if start_from:
        return _of_model(bands, start_from)
    if bands.numbers is None and bands.dtype is None:
        return bands
    limits = []
    names = bands.names()
    for channel, name in enumerate(names):
        counts = _histogram(train, channel)
        low, high = _percentiles(counts)
        if np.count_nonzero(counts) < 2:
            raise DataError(
                f"{name}: expected different values, found {low} in all "
                f"{len(train.names)} training images: there is nothing to "
                "learn from it. Leave it out (--bands of train_unet.py)."
            )
        if low == high and bands.dtype == "uint16":
            raise DataError(
                f"{name}: expected a range of values, found {low} at the 2nd "
                "and at the 98th percentile of the training images, between "
                "which 16 bits are stretched. Leave it out (--bands of "
                "train_unet.py), or save it with 8 bits."
            )
        limits.append((float(low), float(high)))
    if bands.dtype != "uint16":
        return bands
    return replace(bands, limits=tuple(limits))


def _of_model(bands, path):
    """The bands of a training that begins with a model."""
    before = read_contract(path).preprocessing
    depth = "uint8" if before.limits is None else "uint16"
    if (bands.dtype or "uint8") != depth:
        raise DataError(
            f"{path}: this model was made for images of {DEPTHS[depth]}, the "
            f"training data have {DEPTHS[bands.dtype or 'uint8']}. Save them "
            "with as many, or start from another model."
        )
    called = bands.descriptions
    if before.bands:
        known = [band["description"] for band in before.bands]
        for own, other in zip(known, called, strict=True):
            if own and other and own.casefold() != other.casefold():
                raise DataError(
                    f"{path}: this model has learned from {own}, in whose "
                    f"place the training data have {other}. Put the bands in "
                    "the model's order, or start from another model."
                )
        pairs = zip(known, called, strict=True)
        called = tuple(own or other for own, other in pairs)
    limits = before.limits and tuple(map(tuple, before.limits))
    return replace(bands, descriptions=called, limits=limits)


def _histogram(train, channel):
    """How often each value is there among the labelled pixels of a band."""
    bins = np.iinfo(train.X.dtype).max + 1
    counts = np.zeros(bins, np.int64)
    pairs = zip(in_turn(train.X), in_turn(train.Y), strict=True)
    for x, ids in pairs:
        values = x[..., channel][ids != UNKNOWN]
        counts += np.bincount(values, minlength=bins)
    return counts


def _percentiles(counts):
    """The smallest values that so many per cent do not exceed."""
    reached = np.cumsum(counts) / counts.sum()
    return [int(np.argmax(reached >= part / 100)) for part in PERCENTILES]
