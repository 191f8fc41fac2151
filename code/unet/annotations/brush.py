"""Label Studio's own run-length code, that of brush strokes."""

import numpy as np

_CHANNELS = 4  # red, green, blue, alpha of each pixel


def decode_brush(code, shape):
    """The pixels that a brush touched: those whose alpha is not 0.

    The code is a row of bits, the highest of a byte first. It begins with the
    number of values (32 bits), the bits of a value less 1 (5 bits) and four
    sizes less 1 (4 bits each). Each run then is 1 bit that says whether one
    value repeats, 2 bits that choose among the sizes, the run's length less 1
    in so many bits, and its value or values.

    Source: rle-pack of thi.ng/umbrella, which Label Studio uses, and
    ``decode_rle`` of its package label-studio-sdk.

    Args:
        code: list of bytes, 0 to 255.
        shape: (H, W) of the image.

    Returns:
        bool H x W.

    Raises:
        ValueError: the code is damaged, or of an image of another shape.

    >>> ones = "00000000 00000000 00000000 00000100 00111 0010 0011 0111 1111"
    >>> bits = (ones + "1 00 011 11111111").replace(" ", "").ljust(72, "0")
    >>> code = [int(bits[k : k + 8], 2) for k in range(0, 72, 8)]
    >>> decode_brush(code, (1, 1)).tolist()
    [[True]]
    """
    bits = _Bits(code)
    count = shape[0] * shape[1] * _CHANNELS
    found = bits.number(32)
    if found != count:
        raise ValueError(f"a code of {found} values instead of {count}")
    word = bits.number(5) + 1
    sizes = [bits.number(4) + 1 for _ in range(4)]
    touched = np.zeros(count, bool)
    start = 0
    while start < count:
        repeats = bits.number(1)
        length = bits.number(sizes[bits.number(2)]) + 1
        if start + length > count:
            raise ValueError("a run beyond the last value")
        values = bits.array(1 if repeats else length, word)
        touched[start : start + length] = values.any(axis=1)
        start += length
    return touched.reshape(*shape, _CHANNELS)[..., 3]


class _Bits:
    """Reads a list of bytes bit by bit."""

    def __init__(self, code):
        self.bits = np.unpackbits(np.frombuffer(bytes(list(code)), np.uint8))
        self.text = (self.bits + ord("0")).tobytes().decode("ascii")
        self.at = 0

    def number(self, size):
        start = self._pass(size)
        return int(self.text[start : self.at], 2)

    def array(self, count, size):
        """The bits of some values, as an array count x size."""
        start = self._pass(count * size)
        return self.bits[start : self.at].reshape(count, size)

    def _pass(self, size):
        start = self.at
        self.at += size
        if self.at > len(self.bits):
            raise ValueError("a code that ends in a run")
        return start
