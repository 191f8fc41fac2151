"""Masks and images as PNG files, whole or row by row."""

import struct
import zlib
from contextlib import contextmanager
from functools import lru_cache

import cv2
import numpy as np

from unet.files.atomic import replacing

PNG_START = b"\x89PNG\r\n\x1a\n"
# Without prediction filters a mask is read again nine times as fast.
_AS_MASK = [
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_NONE),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_COMPRESSION, 3),
]
# Most rows of background that are compressed at once.
_EMPTY_ROWS = 1024
# Pixels beyond which a mask has 1 bit a pixel. Deflate makes no more than 1032
# bytes of one: the background of 2,000 masks would take 280 MB.
_MOST_BYTES = 2**24


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

    The file is an ordinary grey PNG of black and white, of 8 bits (0 and 255)
    or, of a large scene, of 1 bit, which every reader takes for the same.
    Compressing the background of a scene takes longer than all else, so its
    rows are compressed once and repeated: a PNG is one deflate stream, and
    after a full flush it can go on with any other piece (RFC 1951, RFC 2083).

    Args:
        path: the file.
        pixels: bool, h x w, the window.
        top, left: its place in the mask.
        shape: (H, W) of the mask.
    """
    height, width = shape
    bits = 8 if height * width <= _MOST_BYTES else 1
    rows = np.zeros((len(pixels), width), np.uint8)
    rows[:, left : left + pixels.shape[1]] = pixels * np.uint8(255)
    if bits == 1:
        rows = np.packbits(rows, axis=1)
    rows = np.pad(rows, ((0, 0), (1, 0)))  # 0: no filter
    size, after = rows.shape[1], height - top - len(pixels)
    above, below = _no_pixels(top, size), _no_pixels(after, size)
    check = _adler_of_zeros(1, top * size)
    check = zlib.adler32(rows, check)
    check = _adler_of_zeros(check, after * size)
    stream = b"".join(
        (b"\x78\x01", above, _deflated(rows), below, b"\x03\0")
    ) + check.to_bytes(4, "big")
    with replacing(path) as temporary:
        temporary.write_bytes(
            PNG_START
            + png_head(shape, bits)
            + png_chunk(b"IDAT", stream)
            + png_chunk(b"IEND", b"")
        )


def png_head(shape, bits=8, colour_type=0):
    """The first chunk of a PNG of so many bits and (H, W).

    Its colour type is 0 for grey, 3 for a palette.
    """
    height, width = shape
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return png_chunk(b"IHDR", head)


def png_chunk(name, data):
    """A PNG chunk: length, name, data, checksum."""
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def _deflated(rows, level=3):
    """A piece of a deflate stream that does not end it."""
    # Level 6 would be a third of the size, and be read half as fast.
    packer = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    return packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)


@lru_cache
def _empty_rows(count, size):
    return _deflated(bytes(count * size), level=9)


def _no_pixels(count, size):
    """So many rows of background of so many bytes, deflated.

    The rest is made of powers of two: eleven pieces are enough for all masks.
    """
    whole, rest = divmod(count, _EMPTY_ROWS)
    pieces = [_empty_rows(_EMPTY_ROWS, size) * whole] if whole else []
    powers = (1 << bit for bit in reversed(range(rest.bit_length())))
    pieces += [_empty_rows(power, size) for power in powers if rest & power]
    return b"".join(pieces)


def _adler_of_zeros(check, count):
    """``zlib.adler32(bytes(count), check)``, without the bytes."""
    low, high = check & 0xFFFF, check >> 16
    return (high + count * low) % 65521 << 16 | low


@contextmanager
def new_png(path, shape, palette=None):
    """Write a PNG of one channel from the top to the bottom, or nothing.

    Args:
        path: the file.
        shape: (H, W).
        palette: uint8, up to 256 x 3, the RGB colours of the values; None:
            the values are grey.

    Yields:
        A function that takes the next rows: uint8, h x W.
    """
    packer = zlib.compressobj(3)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(PNG_START)
        if palette is None:
            file.write(png_head(shape))
        else:
            file.write(png_head(shape, colour_type=3))
            file.write(png_chunk(b"PLTE", palette.tobytes()))

        def add(rows):
            # A byte before each row: it is not filtered.
            filtered = np.pad(rows, ((0, 0), (1, 0)))
            data = packer.compress(filtered)
            if data:
                file.write(png_chunk(b"IDAT", data))

        yield add
        file.write(png_chunk(b"IDAT", packer.flush()))
        file.write(png_chunk(b"IEND", b""))
