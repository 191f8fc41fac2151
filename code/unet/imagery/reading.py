"""Images on disk to images in memory.

Pictures are uint8 RGB, H x W x 3, as the eye sees them. BGR, alpha and EXIF
never leave this room. What a network learns from besides pictures are bands, of
the depth that files have.
"""

import io
import logging
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps
from rasterio.enums import ColorInterp

from unet.files.errors import DataError
from unet.imagery.bounds import MOST_PIXELS
from unet.imagery.opening import GDAL_ERRORS, PILLOW_ERRORS, raster_of
from unet.imagery.png import PNG_START
from unet.imagery.stored import BITS_PER_SAMPLE, stored_as
from unet.imagery.turns import upright

# Pillow warns of what we refuse, or read all the same.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
for _name in ("PIL", "rasterio"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
# Pillow's guard against hostile uploads; these are the user's own files.
Image.MAX_IMAGE_PIXELS = None
# In the place of numbers of bands.
ALL = "all"
_PNG, _PNG_END = PNG_START[:4], b"IEND\xaeB`\x82"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# GDAL's: TIFF, JPEG 2000 (of which OpenCV misreads some) and ERDAS Imagine.
RASTER_STARTS = (*_TIFF, b"\0\0\0\x0cjP  \r\n\x87\n", b"EHFA_HEADER_TAG")


class MissingBandError(DataError):
    """A file lacks a band.

    Attributes:
        band: the first that it lacks, from 1.
        count: of the bands that it has.
    """

    def __init__(self, path, bands, count):
        self.band = next(band for band in bands if band > count)
        self.count = count
        super().__init__(
            f"{path}: expected the bands {', '.join(map(str, bands))}, found "
            f"{count}. Correct --bands (of polygon_to_mask.py, train_unet.py "
            "and test.py)."
        )


def read_image(path, bands=None, most=MOST_PIXELS, first=False):
    """Read an image as the eye sees it.

    EXIF orientation is applied, grey is repeated over the channels, alpha is
    dropped. Images of more than 8 bits are scaled by ``to_uint8``.

    Args:
        path: the file.
        bands: of a file of several, which are red, green and blue, counted
            from 1, or ``ALL``; of more the first three, of fewer the first
            one as grey. None: the file has 1 or 3, and perhaps alpha.
        most: pixels that an image may have.
        first: a file of other bands is no error: see its first three, or its
            first one as grey.

    Returns:
        uint8 array, H x W x 3, RGB.

    Raises:
        DataError: the file is missing, truncated, too large or no image, or
            lacks a band.
    """
    return image_from(read_bytes(path), path, bands, most, first)


def image_from(data, path, bands=None, most=MOST_PIXELS, first=False):
    """``read_image`` of a file's content; ``path`` is named in errors."""
    values = values_from(data, path, bands, most, first)
    return to_uint8(three_of(values), path)


def three_of(values):
    """The first three channels of an image; of fewer the first one thrice."""
    channels = 3 if values.shape[2] >= 3 else 1
    seen = values[..., :channels]
    if channels == 1:
        return np.repeat(seen, 3, axis=2)
    return np.ascontiguousarray(seen)


def read_values(path, bands=None, most=MOST_PIXELS):
    """Read bands of an image as the file holds them.

    EXIF orientation is applied.

    Args:
        path: the file.
        bands: their numbers, from 1, in the order wanted, or ``ALL``. None:
            see ``read_image``; alpha is dropped.
        most: pixels that an image may have.

    Returns:
        Array, H x W x bands, of the file's own type.

    Raises:
        DataError: see ``read_image``.
    """
    return values_from(read_bytes(path), path, bands, most)


def values_from(data, path, bands=None, most=MOST_PIXELS, first=False):
    """``read_values`` of a file's content; ``first``: see ``read_image``."""
    refuse_huge(data, path, most)
    if data.startswith(RASTER_STARTS):
        image = decode_raster(data, path, most, bands, first)
    else:
        image = _decode_photo(data, path, bands)
    if image.ndim == 2:
        image = image[..., None]
    if bands is None:
        # Alpha comes last, behind grey as well.
        image = image[..., : 3 if image.shape[2] >= 3 else 1]
    return np.ascontiguousarray(image)


def _decode_photo(data, path, bands):
    """Decode a photo: H x W x RGB, or the bands that are wanted."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH
    if bands is None:
        return decode(data, path, flags)
    # Whether it has alpha, or is grey; OpenCV leaves it as it lies there.
    image = np.atleast_3d(decode(data, path, cv2.IMREAD_UNCHANGED))
    count = image.shape[2]
    if count == 4:
        image = upright(image[..., [2, 1, 0, 3]], _orientation_of(data))
    else:
        image = decode(data, path, flags)
    if bands == ALL:
        return image[..., :count]
    # Grey has three equal ones to the eye.
    check_bands(bands, max(count, 3), path)
    return image[..., [band - 1 for band in bands]]


def _orientation_of(data):
    stored = stored_as(io.BytesIO(data))
    return stored.orientation if stored else 1


def refuse_huge(data, path, most):
    """Raise DataError for more pixels than an image may have.

    A file of a few bytes can claim any size: its head is read, not decoded.
    """
    try:
        width, height = Image.open(io.BytesIO(data)).size
    except PILLOW_ERRORS:
        return  # the decoder will tell what is wrong, if anything is
    _check_pixels(width, height, path, most)


def _check_pixels(width, height, path, most):
    """Raise DataError for more pixels than an image may have."""
    if width * height > most:
        raise DataError(
            f"{path}: expected at most {most} pixels, found {width} x "
            f"{height} (width x height). Cut it into tiles, or raise the "
            "bound with --max-pixels (of polygon_to_mask.py)."
        )


def check_bands(bands, count, path):
    """Raise MissingBandError for a band that a file lacks."""
    if max(bands) > count:
        raise MissingBandError(path, bands, count)


def to_uint8(image, path="image", limits=None):
    """Scale an image of any depth to 0..255, clipping nothing.

    8 bits stay as they are. Floats from 0 to 1 are multiplied by 255.
    Everything else is stretched: the smallest value of the image becomes 0
    and the largest 255, with the three channels together, so that colours
    keep their balance.

    Args:
        image: array of any real dtype.
        path: named in the error.
        limits: where the image is a part of another one, the smallest and
            the largest value of the whole.

    Returns:
        uint8 array of the same shape.

    Raises:
        DataError: the image holds NaN or infinity.
    """
    if image.dtype == np.uint8:
        return image
    low, high = limits or (float(image.min()), float(image.max()))
    if not np.isfinite([low, high]).all():
        raise DataError(
            f"{path}: expected finite pixel values, found NaN or infinity. "
            "Replace them before use."
        )
    if image.dtype.kind == "f" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint((image.astype(np.float32) - low) * scale).astype(np.uint8)


def decode(data, path, flags):
    """Decode with OpenCV; raise DataError with the reason."""
    _refuse_truncated(data, path)
    array = None
    if data:
        try:
            array = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error as error:
            reason = " ".join(str(error.err or error).split())
            raise DataError(
                f"{path}: the image cannot be decoded ({reason}). It may be "
                "damaged, or too large."
            ) from None
    if array is None:
        raise DataError(
            f"{path}: expected an image, found a file that cannot be decoded "
            f"({len(data)} bytes). It may be damaged or of another format: "
            "open it in a viewer and export it as PNG."
        )
    return array


def _refuse_truncated(data, path):
    """Raise DataError for a cut file.

    libpng and libjpeg would print a line of their own about it.
    """
    try:
        if data.startswith(_PNG):
            if _PNG_END not in data:
                raise OSError("its end is missing")
            Image.open(io.BytesIO(data)).verify()
        elif data.startswith(_JPEG) and _JPEG_END not in data[-64:]:
            Image.open(io.BytesIO(data)).load()
    except PILLOW_ERRORS as error:
        raise DataError(
            f"{path}: the file is truncated or damaged ({error}). "
            "Copy or export it again."
        ) from None


def refuse_truncated_jpeg(path):
    """Raise DataError for a JPEG that ends too early, without decoding it."""
    with Path(path).open("rb") as file:
        file.seek(max(0, Path(path).stat().st_size - 64))
        if _JPEG_END not in file.read():
            raise DataError(
                f"{path}: the file is truncated or damaged (its end is "
                "missing). Copy or export it again."
            )


def decode_raster(data, path, most, bands=None, first=False):
    """Decode TIFF and the like: Pillow knows 8-bit TIFF, GDAL all others.

    OpenCV 5.0 multiplies colours by alpha and reads 16-bit RGB wrongly.

    Returns:
        H x W, or H x W x 3 (RGB) or 4 (RGBA), or x the number of ``bands``,
        of the file's depth.
    """
    if data.startswith(_TIFF) and not bands:
        try:
            picture = Image.open(io.BytesIO(data))
            # Pillow reads 16-bit colours, but cuts them to 8.
            if max(picture.tag_v2.get(BITS_PER_SAMPLE, (1,))) <= 8:
                _check_parts(picture, path)
                picture = ImageOps.exif_transpose(picture)
                modes = {"1": "L", "L": "L", "LA": "RGBA", "RGBA": "RGBA"}
                mode = modes.get(picture.mode, "RGB")
                return np.asarray(picture.convert(mode))
        except PILLOW_ERRORS as error:
            if isinstance(error, DataError):
                raise
            # GDAL will tell what is wrong, if anything is.
    picture = _read_bands(data, path, most, bands, first)
    return picture[..., 0] if picture.shape[2] == 1 else picture


def _check_parts(picture, path):
    """Raise DataError for a TIFF whose strips hold a part of it alone.

    Pillow would fill the rest, however large, with black.
    """
    areas = [(x1 - x0) * (y1 - y0) for _, (x0, y0, x1, y1), *_ in picture.tile]
    if sum(areas) < picture.width * picture.height:
        raise DataError(
            f"{path}: the file is truncated or damaged (it holds {sum(areas)} "
            f"of {picture.width} x {picture.height} pixels). Copy or export "
            "it again."
        )


def _read_bands(data, path, most, bands=None, first=False):
    """Bands of a raster: those asked for, or all if they are a picture.

    Returns:
        H x W x bands, of the file's depth.
    """
    try:
        with raster_of(data) as raster:
            _check_pixels(raster.width, raster.height, path, most)
            wanted = picture_bands(raster, path, bands, first)
            return np.moveaxis(raster.read(wanted), 0, 2)
    except (*GDAL_ERRORS, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: the file is truncated or damaged "
            f"({' '.join(str(error).split())}). Copy or export it again."
        ) from None


def picture_bands(raster, path, bands=None, first=False):
    """The bands of an open raster that are read: a list of numbers from 1.

    Args:
        raster: the open raster.
        path: of its file.
        bands: those wanted, or ``ALL``; None: the picture, 1 or 3.
        first: see ``read_image``.

    Raises:
        DataError: it lacks one of ``bands``, or nobody can know which are
            the picture.
    """
    count = raster.count
    if bands == ALL:
        return list(range(1, count + 1))
    if bands is None:
        count -= ColorInterp.alpha in raster.colorinterp
        if count not in (1, 3) and first:
            return [1, 2, 3] if count > 3 else [1]
        if count not in (1, 3):
            raise DataError(
                f"{path}: expected 1 or 3 bands and perhaps alpha, found "
                f"{count}. Choose some with --bands 3,2,1 (of "
                "polygon_to_mask.py, train_unet.py and test.py), or export "
                "three."
            )
    wanted = list(bands or range(1, count + 1))
    check_bands(wanted, count, path)
    return wanted


def picture_numbers(raster, with_alpha=False):
    """Numbers of an open raster's bands, without alpha or with it."""
    return tuple(
        number
        for number, colour in enumerate(raster.colorinterp, start=1)
        if with_alpha or colour != ColorInterp.alpha
    )


def read_bytes(path):
    """Read a file.

    Raises:
        DataError: it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}. Check the path and "
            "the permissions."
        ) from None
