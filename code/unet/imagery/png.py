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
# Rows of background that a mask's file repeats without compressing them anew.
_EMPTY_ROWS = 64


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


@contextmanager
def new_png(path, shape):
    """Write a grey PNG from the top to the bottom: all of it, or nothing.

    Args:
        path: the file.
        shape: (H, W).

    Yields:
        A function that takes the next rows: uint8, h x W.
    """
    packer = zlib.compressobj(3)
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(PNG_START + png_head(shape))

        def add(rows):
            # A byte before each row: it is not filtered.
            filtered = np.pad(rows, ((0, 0), (1, 0)))
            data = packer.compress(filtered)
            if data:
                file.write(png_chunk(b"IDAT", data))

        yield add
        file.write(png_chunk(b"IDAT", packer.flush()))
        file.write(png_chunk(b"IEND", b""))
