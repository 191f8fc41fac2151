"""Pictures that are nearly the same."""

import numpy as np
from PIL import Image

from unet.imagery.resizing import resize_image

# Two images are nearly the same if few of the 64 bits of their perceptual
# hashes differ, and their thumbnails as well: hashes alone take one bare
# field for another.
_BITS = 10
_LEVELS = 8
_THUMBNAIL = (16, 16)


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

    >>> ground = np.random.default_rng(0).integers(0, 200, (64, 64, 3))
    >>> prints = [
    ...     fingerprint(image.astype(np.uint8))
    ...     for image in (ground, ground[::-1], ground + 5)
    ... ]
    >>> near_copies(prints)
    [(0, 2)]
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
