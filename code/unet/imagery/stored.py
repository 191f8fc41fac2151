"""How a file holds its pixels, as its first bytes say."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.enums import ColorInterp

from unet.imagery.opening import (
    GDAL_ERRORS,
    PILLOW_ERRORS,
    open_raster,
    raster_of,
)

BITS_PER_SAMPLE, _ORIENTATION, _SAMPLE_FORMAT = 258, 274, 339
# Formats whose masks are PNG, whatever a sidecar says of their place.
PHOTOS = frozenset(
    ["PNG", "JPEG", "MPO", "BMP", "GIF", "WEBP", "AVIF", "PPM", "PNM"]
)


@dataclass(frozen=True)
class Stored:
    """How a file holds its pixels, as its first bytes say.

    Attributes:
        format: "PNG", "JPEG", "TIFF" ...
        shape: (H, W) before the orientation is applied.
        channels: their number, alpha not counted.
        bits: of one channel.
        is_float: whether pixels are floats.
        alpha: whether there is an alpha channel.
        orientation: EXIF's, 1 to 8; 1 is upright.
        is_cmyk: whether its channels are printing inks.
    """

    format: str
    shape: tuple[int, int]
    channels: int
    bits: int
    is_float: bool
    alpha: bool
    orientation: int
    is_cmyk: bool = False

    @property
    def upright_shape(self):
        """(H, W) as the eye sees it."""
        return self.shape[::-1] if self.orientation >= 5 else self.shape

    @property
    def is_photo(self):
        """Whether the format is one of photos, and not of rasters."""
        return self.format in PHOTOS


def stored_as(source):
    """How an image is stored; None if its beginning is no image's.

    Args:
        source: path, or open binary file.
    """
    try:
        with Image.open(source) as file:
            bits, is_float = _depth(file)
            count = {"CMYK": 4}.get(file.mode, 3)
            return Stored(
                file.format,
                file.size[::-1],
                1 if file.mode in ("1", "L", "LA", "I", "F", "I;16") else count,
                bits,
                is_float,
                "a" in file.mode.lower() or "transparency" in file.info,
                _orientation(file),
                file.mode == "CMYK",
            )
    except PILLOW_ERRORS:
        pass  # Pillow does not know every TIFF
    try:
        with _raster(source) as raster:
            alpha = ColorInterp.alpha in raster.colorinterp
            dtype = np.dtype(raster.dtypes[0])
            count = raster.count - alpha
            bits, is_float = dtype.itemsize * 8, dtype.kind == "f"
            name = "TIFF" if raster.driver == "GTiff" else raster.driver
            return Stored(name, raster.shape, count, bits, is_float, alpha, 1)
    except (*GDAL_ERRORS, TypeError, ValueError):
        return None


def _raster(source):
    """A path or an open binary file as an open raster."""
    if isinstance(source, str | Path):
        return open_raster(source)
    source.seek(0)
    return raster_of(source.read())


def _orientation(file):
    """EXIF's orientation of a file Pillow opened; 1 if it is none of 1..8."""
    if file.format == "PNG" and "exif" not in file.info:
        return 1  # Pillow would decode it all to look behind the pixels
    value = file.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def _depth(file):
    """(bits of a channel, whether it is a float) of a file Pillow opened."""
    if file.format == "TIFF":
        sample = file.tag_v2.get(_SAMPLE_FORMAT, (1,))
        bits = file.tag_v2.get(BITS_PER_SAMPLE, (1,))
        return max(bits), max(sample) == 3
    if file.format == "PNG":
        file.fp.seek(24)
        return file.fp.read(1)[0], False  # Pillow does not tell
    return 8, False
