"""Bands: which of an image's a network sees, and what eyes see of them."""

from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rasterio.errors import RasterioIOError

from unet.files.errors import DataError
from unet.imagery.opening import open_raster
from unet.imagery.reading import (
    ALL,
    MissingBandError,
    read_image,
    read_values,
    three_of,
)

# What a network learns from as it is. Others are pictures of 8 bits, made by
# ``unet.imagery.reading.to_uint8``.
DEPTHS = {"uint8": "8 bits", "uint16": "16 bits"}


@dataclass(frozen=True)
class Bands:
    """What a network sees of an image.

    The first three bands are taken for red, green and blue wherever there are
    colours: in pictures, and in an encoder that has learned from photos. Of
    fewer bands pictures show the first one as grey.

    Attributes:
        numbers: of the bands in a file, from 1, in the network's order, or
            ``ALL`` of them; None: red, green and blue, all three equal where
            an image is grey.
        descriptions: what the files call each of the numbers; None: nothing.
        dtype: ``"uint8"`` or ``"uint16"``: the values are those of the files,
            and other files are refused. None: pictures of 8 bits, into which
            every file is brought.
        limits: (low, high) of each band: the values that the network, and
            pictures, take for 0 and for 255 (what is beyond is cut). Bands of
            16 bits have them, once they are known.
    """

    numbers: tuple[int, ...] | str | None = None
    descriptions: tuple[str | None, ...] = ()
    dtype: str | None = None
    limits: tuple[tuple[float, float], ...] | None = None

    @property
    def count(self):
        """How many there are; not of ``ALL``."""
        return 3 if self.numbers is None else len(self.numbers)

    @property
    def text(self):
        """The numbers as an option has them, ``4,3,2,1``, or None."""
        return self.numbers and ",".join(map(str, self.numbers))

    def name(self, number):
        """``band 4 (near infrared)``, of a number in a file."""
        numbers = self.numbers if isinstance(self.numbers, tuple) else ()
        pairs = zip(numbers, self.descriptions, strict=False)
        description = dict(pairs).get(number)
        return f"band {number}" + (f" ({description})" if description else "")

    def names(self):
        """What its channels are called: a list of texts."""
        if self.numbers is None:
            return ["red", "green", "blue"]
        return [self.name(number) for number in self.numbers]

    def lines(self):
        """What deserves a word before a training: a list of lines."""
        lines, names = [], self.names()
        if self.numbers is not None:
            seen = names[:3] if len(names) >= 3 else names[:1]
            lines.append(f"bands: {', '.join(names)}")
            lines.append(f"pictures show: {', '.join(seen)}")
        if self.limits:
            pairs = zip(names, self.limits, strict=True)
            texts = [
                f"{name} {low:g} to {high:g}" for name, (low, high) in pairs
            ]
            lines.append(f"values of 16 bits: {', '.join(texts)}")
        return lines

    def read(self, path):
        """Read what a network sees of a file.

        Returns:
            H x W x channels, uint8 or uint16.

        Raises:
            DataError: the file cannot be read, lacks a band, calls one
                otherwise, or has another depth.
        """
        with self.named_bands(path):
            if self.dtype is None:
                return read_image(path, self.numbers)
            values = as_three(read_values(path, self.numbers), self.numbers)
        self.check_depth(values.dtype, path)
        self.check_descriptions(path)
        return values

    @contextmanager
    def named_bands(self, path):
        """Let an error of a lacking band say what the network calls it."""
        try:
            yield
        except MissingBandError as error:
            if self.dtype is None:
                raise
            raise DataError(
                f"{path}: expected {self.name(error.band)}, which the network "
                f"learns from, found {error.count} band"
                f"{'s' * (error.count != 1)}. Give images that have it, or "
                "name bands that are there with --bands (of train_unet.py and "
                "test.py)."
            ) from None

    def check_depth(self, dtype, path):
        """Raise DataError for a file of another type than ``dtype``."""
        if self.dtype and np.dtype(dtype) != self.dtype:
            raise DataError(
                f"{path}: expected {DEPTHS[self.dtype]}, as of the images "
                f"that the network learned from, found {depth_of(dtype)}. Save "
                f"it as {self.dtype}, with values on the same scale."
            )

    def check_descriptions(self, path):
        """Raise DataError for a file that calls a band otherwise."""
        if not any(self.descriptions):
            return
        others = descriptions_of(path, self.numbers)
        for number, own, other in zip(
            self.numbers, self.descriptions, others, strict=True
        ):
            if own and other and own.casefold() != other.casefold():
                raise DataError(
                    f"{path}: expected {own} in band {number}, as in the "
                    f"images that the network learned from, found {other}. "
                    "Name the bands in the network's order with --bands (of "
                    "test.py)."
                )

    def picture(self, values):
        """What eyes see of values of ``read``: uint8, ... x 3."""
        if self.dtype is None:
            return values
        if self.limits is None:
            return three_of(values)
        seen = self.stretched(values[..., :3], self.limits[:3])
        return three_of(np.rint(seen * 255).astype(np.uint8))

    @staticmethod
    def stretched(values, limits):
        """Values between limits as a share of the way: float32, 0 to 1.

        Args:
            values: array, ... x channels.
            limits: (low, high) of each channel.
        """
        low, high = np.float32(limits).T
        return ((values - low) / (high - low)).clip(0, 1).astype(np.float32)


PICTURES = Bands()


def as_bands(bands):
    """``Bands`` of numbers, of ``ALL`` or of None; one of them is itself."""
    if isinstance(bands, Bands):
        return bands
    return Bands(bands if bands in (None, ALL) else tuple(bands))


def as_three(values, numbers):
    """Values as a network takes them: grey is repeated if it is a picture."""
    if numbers is None and values.shape[2] == 1:
        return np.repeat(values, 3, axis=2)
    return values


def depth_of(dtype):
    """A type of pixels in words: ``16 bits``."""
    return DEPTHS.get(str(dtype), str(dtype))


def descriptions_of(path, numbers):
    """What a file calls its bands: tuple of texts, None where it says nothing.

    Args:
        path: the file.
        numbers: of the bands, from 1; the file has them.
    """
    try:
        with open_raster(path) as raster:
            texts = raster.descriptions
    except RasterioIOError:
        return (None,) * len(numbers)
    return tuple(
        in_short(texts[number - 1]) if number <= len(texts) else None
        for number in numbers
    )


def in_short(text):
    """A description as a word that a contract may hold, or None."""
    words = "".join(c if c.isprintable() else " " for c in text or "").split()
    return " ".join(words)[:100] or None
