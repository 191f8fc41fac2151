"""Images and masks on disk and in memory.

Images are uint8 RGB, H x W x 3, as the eye sees them; masks are bool H x W.
BGR, palettes, alpha, 16 bits and EXIF never leave this module.
"""

import io
import logging
import struct
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import rasterio
from PIL import Image, ImageOps
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

from unet.folders import DataError, replacing

# Plain images have no place on the ground; that is no fault of the user's.
warnings.simplefilter("ignore", NotGeoreferencedWarning)
# Pillow warns of what we refuse, or read all the same.
warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
for _name in ("PIL", "rasterio"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
# Pillow's guard against hostile uploads; these are the user's own files.
Image.MAX_IMAGE_PIXELS = None

PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG, _PNG_END = PNG_START[:4], b"IEND\xaeB`\x82"
_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"
_BITS_PER_SAMPLE, _ORIENTATION, _SAMPLE_FORMAT = 258, 274, 339
# Two images are nearly the same if few of the 64 bits of their perceptual
# hashes differ, and their thumbnails as well: hashes alone take one bare
# field for another.
_BITS = 10
_LEVELS = 8
_THUMBNAIL = (16, 16)
# Without prediction filters a mask is read again nine times as fast.
_AS_MASK = [
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_COMPRESSION, 3),
]
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# GDAL's: TIFF, JPEG 2000 (of which OpenCV misreads some) and ERDAS Imagine.
_RASTER = (*_TIFF, b"\0\0\0\x0cjP  \r\n\x87\n", b"EHFA_HEADER_TAG")
# OpenCV's own bound for one image.
MOST_PIXELS = 2**30
# Formats whose masks are PNG, whatever a sidecar says of their place.
PHOTOS = frozenset(
    ["PNG", "JPEG", "MPO", "BMP", "GIF", "WEBP", "AVIF", "PPM", "PNM"]
)
# Rows of background that a mask's file repeats without compressing them anew.
_EMPTY_ROWS = 64


def read_image(path, bands=None, most=MOST_PIXELS):
    """Read an image as the eye sees it.

    EXIF orientation is applied, grey is repeated over the channels, alpha is
    dropped. Images of more than 8 bits are scaled by ``to_uint8``.

    Args:
        path: the file.
        bands: of a file of several, which are red, green and blue, counted
            from 1; one alone is grey. None: the file has 1 or 3, and perhaps
            alpha.
        most: pixels that an image may have.

    Returns:
        uint8 array, H x W x 3, RGB.

    Raises:
        DataError: the file is missing, truncated, too large or no image, or
            lacks a band.
    """
    return image_from(read_bytes(path), path, bands, most)


def image_from(data, path, bands=None, most=MOST_PIXELS):
    """``read_image`` of a file's content; ``path`` is named in errors."""
    _refuse_huge(data, path, most)
    if data.startswith(_RASTER):
        image = _decode_raster(data, path, most, bands)
    else:
        flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH
        image = _decode(data, path, flags)
        if bands:
            _check_bands(bands, 3, path)
            image = image[..., [band - 1 for band in bands]]
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] == 1:
        image = np.repeat(image, 3, axis=2)
    return to_uint8(np.ascontiguousarray(image[..., :3]), path)


def _refuse_huge(data, path, most):
    """Raise DataError for more pixels than an image may have.

    A file of a few bytes can claim any size: its head is read, not decoded.
    """
    try:
        width, height = Image.open(io.BytesIO(data)).size
    except (OSError, SyntaxError, ValueError):
        return  # the decoder will tell what is wrong, if anything is
    _check_pixels(width, height, path, most)


def _check_pixels(width, height, path, most):
    """Raise DataError for more pixels than an image may have."""
    if width * height > most:
        raise DataError(
            f"{path}: expected at most {most} pixels, found {width} x "
            f"{height} (width x height). Cut it into tiles, or raise the "
            "bound with --max-pixels."
        )


def _check_bands(bands, count, path):
    """Raise DataError for a band that a file lacks."""
    if max(bands) > count:
        raise DataError(
            f"{path}: expected the bands {', '.join(map(str, bands))}, found "
            f"{count}. Correct --bands."
        )


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


def read_mask(path, shape=None, most=MOST_PIXELS):
    """Read a mask: zero is background, the one other value is the object.

    0/1, 0/255 and 0/65535, palettes, colours and alpha channels are read; a
    mask with several grey values is refused, because nobody can know which
    of them are the object.

    Args:
        path: a mask file.
        shape: (H, W) that the mask must have, or None.
        most: pixels that a mask may have.

    Returns:
        bool array, H x W.

    Raises:
        DataError: unreadable, of another shape, or grey.
    """
    mask, _ = read_values(path, most)
    if shape is not None and mask.shape != tuple(shape):
        raise DataError(
            f"{path}: expected the size of its image, {shape[1]} x "
            f"{shape[0]} (width x height), found {mask.shape[1]} x "
            f"{mask.shape[0]}. Export the mask at the image's own size."
        )
    high = mask.max()
    foreground = mask == high
    if high and np.count_nonzero(mask) != np.count_nonzero(foreground):
        _refuse_values(np.unique(mask), path)
    return foreground if high else np.zeros(mask.shape, bool)


def read_values(path, most=MOST_PIXELS):
    """Read a mask's values, whatever they mean.

    Args:
        path: a mask file.
        most: pixels that a mask may have.

    Returns:
        (values, kind): an array H x W, and "grey" (values as they are,
        of the file's dtype), or "colour" or "palette" (int64, 0xRRGGBB where
        the file has 8 bits).

    Raises:
        DataError: the file is missing, truncated, too large or no image.
    """
    return values_from(read_bytes(path), path, most)


def values_from(data, path, most=MOST_PIXELS):
    """``read_values`` of a file's content; ``path`` is named in errors."""
    _refuse_huge(data, path, most)
    if data.startswith(_RASTER):
        mask = _decode_raster(data, path, most)
    else:
        mask = _decode(data, path, cv2.IMREAD_UNCHANGED)
        if mask.ndim == 3:
            mask[..., :3] = mask[..., 2::-1]  # BGR leaves no trace
    values = _one_channel(mask)
    if mask.shape[2:] == (3,) and _has_palette(data):
        return _as_colours(mask), "palette"
    return values, "colour" if values.dtype == np.int64 else "grey"


def _has_palette(data):
    return Image.open(io.BytesIO(data)).mode == "P"


def _refuse_values(values, path):
    """Raise DataError for a mask of more than two values."""
    if values.dtype == np.int64:  # colours
        names = [f"#{value:06X}" for value in values.tolist()]
        expected = "black and one other colour"
        advice = "Write one black and white mask per class."
    else:
        names = list(map(str, values))
        expected = "two values, 0 and 255"
        advice = (
            "A grey mask usually comes from JPEG or from resizing: export it "
            "again as PNG, or threshold it."
        )
    more = ", ..." if len(names) > 6 else ""
    raise DataError(
        f"{path}: expected {expected}, found {len(names)} "
        f"({', '.join(names[:6])}{more}). {advice}"
    )


def _one_channel(mask):
    """Reduce a decoded mask to one channel; every colour keeps its own value.

    Alpha tells the object where it is all that varies.
    """
    if mask.ndim == 2:
        return mask
    if mask.shape[2] == 4 and np.ptp(mask[..., 3]):
        colours = mask[..., :3].reshape(-1, 3)
        if (colours == colours[0]).all():
            return mask[..., 3]
    first, second, third = np.moveaxis(mask[..., :3], 2, 0)
    if (first == second).all() and (second == third).all():
        return first
    return _as_colours(mask)


def _as_colours(mask):
    """One int64 per pixel: 0xRRGGBB where a channel has 8 bits."""
    first, second, third = np.moveaxis(mask[..., :3], 2, 0).astype(np.int64)
    bits = 8 * mask.itemsize
    return first << 2 * bits | second << bits | third


def _decode(data, path, flags):
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
    except (OSError, SyntaxError, ValueError) as error:
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


def _decode_raster(data, path, most, bands=None):
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
            if max(picture.tag_v2.get(_BITS_PER_SAMPLE, (1,))) <= 8:
                picture = ImageOps.exif_transpose(picture)
                kinds = {"1": "L", "L": "L", "LA": "RGBA", "RGBA": "RGBA"}
                kind = kinds.get(picture.mode, "RGB")
                return np.asarray(picture.convert(kind))
        except (OSError, SyntaxError, ValueError):
            pass  # GDAL will tell what is wrong, if anything is
    picture = _read_bands(data, path, most, bands)
    return picture[..., 0] if picture.shape[2] == 1 else picture


def _read_bands(data, path, most, bands=None):
    """Bands of a raster: those asked for, or all if they are a picture.

    Returns:
        H x W x bands, of the file's depth.
    """
    try:
        with rasterio.MemoryFile(data) as file, file.open() as raster:
            _check_pixels(raster.width, raster.height, path, most)
            wanted = picture_bands(raster, path, bands)
            return np.moveaxis(raster.read(wanted), 0, 2)
    except (RasterioIOError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path}: the file is truncated or damaged "
            f"({' '.join(str(error).split())}). Copy or export it again."
        ) from None


def picture_bands(raster, path, bands=None):
    """The bands of an open raster that are a picture: a list of 1 or 3.

    Raises:
        DataError: it lacks one of ``bands``, or nobody can know which are
            the picture.
    """
    count = raster.count
    if bands is None:
        count -= ColorInterp.alpha in raster.colorinterp
        if count not in (1, 3):
            raise DataError(
                f"{path}: expected 1 or 3 bands and perhaps alpha, found "
                f"{count}. Choose three that look like a photo with --bands "
                "3,2,1 (of polygon_to_mask.py and test.py), or export them."
            )
    wanted = list(bands or range(1, count + 1))
    _check_bands(wanted, count, path)
    return wanted


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
    """

    format: str
    shape: tuple[int, int]
    channels: int
    bits: int
    is_float: bool
    alpha: bool
    orientation: int

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
            )
    except (OSError, SyntaxError, ValueError):
        pass  # Pillow does not know every TIFF
    try:
        with rasterio.open(source) as raster:
            alpha = ColorInterp.alpha in raster.colorinterp
            kind = np.dtype(raster.dtypes[0])
            count = raster.count - alpha
            bits, is_float = kind.itemsize * 8, kind.kind == "f"
            name = "TIFF" if raster.driver == "GTiff" else raster.driver
            return Stored(name, raster.shape, count, bits, is_float, alpha, 1)
    except (RasterioIOError, TypeError, ValueError):
        return None


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
        bits = file.tag_v2.get(_BITS_PER_SAMPLE, (1,))
        return max(bits), max(sample) == 3
    if file.format == "PNG":
        file.fp.seek(24)
        return file.fp.read(1)[0], False  # Pillow does not tell
    return 8, False


def upright(array, orientation):
    """Apply an EXIF orientation, 1 to 8, to an array of H x W (x channels)."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


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


def write_png(path, array):
    """Write a mask (bool or uint8 H x W) or an RGB image (uint8) as PNG.

    bool is written as 0 and 255.
    """
    array = np.asarray(array)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".png", array, _AS_MASK if array.ndim == 2 else [])[1]
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


def write_mask(path, pixels, top, left, shape):
    """Write a mask of which a window alone is not background.

    The file is an ordinary 8-bit PNG of 0 and 255. Compressing the background
    of a scene takes longer than all else, so its rows are compressed once and
    repeated: a PNG is one deflate stream, and after a full flush it can go on
    with any other piece (RFC 1951, RFC 2083).

    Args:
        path: the file.
        pixels: bool, h x w, the window.
        top, left: its place in the mask.
        shape: (H, W) of the mask.
    """
    height, width = shape
    rows = np.zeros((len(pixels), 1 + width), np.uint8)  # 0: no filter
    rows[:, 1 + left : 1 + left + pixels.shape[1]] = pixels * np.uint8(255)
    above = _no_pixels(top, width)
    below = _no_pixels(height - top - len(pixels), width)
    check = _adler_of_zeros(1, top * (1 + width))
    check = zlib.adler32(rows, check)
    after = (height - top - len(pixels)) * (1 + width)
    check = _adler_of_zeros(check, after)
    stream = b"".join(
        (b"\x78\x01", above, _deflated(rows), below, b"\x03\0")
    ) + check.to_bytes(4, "big")
    with replacing(path) as temporary:
        temporary.write_bytes(
            PNG_START
            + png_head(shape)
            + png_chunk(b"IDAT", stream)
            + png_chunk(b"IEND", b"")
        )


def png_head(shape):
    """The first chunk of a grey PNG of 8 bits and (H, W)."""
    head = struct.pack(">IIBBBBB", shape[1], shape[0], 8, 0, 0, 0, 0)
    return png_chunk(b"IHDR", head)


def png_chunk(name, data):
    """A PNG chunk: length, name, data, checksum."""
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def _deflated(rows):
    """A piece of a deflate stream that does not end it."""
    # Level 6 would be a third of the size, and be read half as fast.
    packer = zlib.compressobj(3, wbits=-zlib.MAX_WBITS)
    return packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)


@lru_cache
def _empty_rows(count, width):
    return _deflated(bytes(count * (1 + width)))


def _no_pixels(count, width):
    """So many rows of background, deflated."""
    whole, rest = divmod(count, _EMPTY_ROWS)
    return _empty_rows(_EMPTY_ROWS, width) * whole + _empty_rows(rest, width)


def _adler_of_zeros(check, count):
    """``zlib.adler32(bytes(count), check)``, without the bytes."""
    low, high = check & 0xFFFF, check >> 16
    return (high + count * low) % 65521 << 16 | low


def resize_image(image, size):
    """Resize an image: by area averaging where it shrinks.

    Args:
        image: uint8 or float array, H x W or H x W x channels.
        size: (height, width) of the result.

    Returns:
        Array of the same dtype.
    """
    if image.shape[:2] == tuple(size):
        return image
    shrinks = size[0] <= image.shape[0] and size[1] <= image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size[1], size[0]), interpolation=how)


def perceptual_hash(image):
    """64-bit perceptual hash of an image (DCT, ``imagehash.phash``).

    Args:
        image: uint8, H x W x 3.

    Returns:
        bool array of 64 bits; near-copies differ in few of them.
    """
    import imagehash  # SciPy behind it is slow to import

    return imagehash.phash(Image.fromarray(image)).hash.ravel()


def fingerprint(image):
    """What a near-copy of an image shares with it.

    Args:
        image: uint8, H x W x 3.

    Returns:
        (64 hash bits, thumbnail): for ``near_copies``.
    """
    thumbnail = resize_image(image, _THUMBNAIL).astype(np.int16)
    return perceptual_hash(image), thumbnail


def near_copies(prints, levels=_LEVELS):
    """Pairs of images that look the same.

    Args:
        prints: list of ``fingerprint``.
        levels: by which thumbnails may differ in the mean, of 255.

    Returns:
        List of (i, j), i < j.
    """
    if not prints:
        return []
    bits = np.array([bits for bits, _ in prints])
    hashes = np.packbits(bits, axis=1).view(np.uint64).ravel()
    thumbnails = np.array([thumbnail for _, thumbnail in prints])
    pairs = []
    for i in range(len(prints) - 1):
        differing = np.bitwise_count(hashes[i + 1 :] ^ hashes[i])
        near = i + 1 + np.flatnonzero(differing <= _BITS)
        difference = np.abs(thumbnails[near] - thumbnails[i])
        alike = near[difference.mean(axis=(1, 2, 3)) <= levels]
        pairs += [(i, int(j)) for j in alike]
    return pairs
