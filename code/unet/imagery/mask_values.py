"""Masks on disk: reading them, and what their values mean.

Masks in memory are bool H x W, or uint8 class ids, where ``UNKNOWN`` (255)
stands for pixels that nobody labelled. They count in no loss and no score.
"""

import io
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from unet.files.errors import DataError
from unet.files.folders import IGNORE, UNKNOWN
from unet.imagery.bounds import MOST_PIXELS
from unet.imagery.opening import PILLOW_ERRORS
from unet.imagery.png import write_mask
from unet.imagery.reading import (
    RASTER_STARTS,
    decode,
    decode_raster,
    read_bytes,
    refuse_huge,
)


@dataclass(frozen=True)
class Truth:
    """What somebody says is in an image.

    Attributes:
        ids: uint8, H x W, class ids; ``UNKNOWN``: nobody labelled it.
        instances: int32, H x W: which object each pixel belongs to, from 1
            on; where two overlap the later one. 0 is background or unknown.
    """

    ids: np.ndarray
    instances: np.ndarray


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
    refuse_huge(data, path, most)
    if data.startswith(RASTER_STARTS):
        mask = decode_raster(data, path, most)
    else:
        mask = decode(data, path, cv2.IMREAD_UNCHANGED)
        if mask.ndim == 3:
            mask[..., :3] = mask[..., 2::-1]  # BGR leaves no trace
    values = _one_channel(mask)
    if mask.shape[2:] == (3,) and _has_palette(data):
        return _as_colours(mask), "palette"
    return values, "colour" if values.dtype == np.int64 else "grey"


def _has_palette(data):
    try:
        return Image.open(io.BytesIO(data)).mode == "P"
    except PILLOW_ERRORS:
        return False  # OpenCV has read what Pillow does not know


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


def read_class_ids(sample, classes, shape):
    """Merge a sample's instance masks at native resolution.

    Args:
        sample: a labelled ``unet.files.folders.Sample``.
        classes: foreground class names; class k gets the id k + 1, and where
            classes overlap the later one wins.
        shape: (H, W) of the sample's image.

    Returns:
        uint8 array, H x W: 0 is background, ``UNKNOWN`` what is ignored,
        whatever else lies there.

    Raises:
        DataError: a mask is unreadable, grey or of another size.
    """
    return read_truth(sample, classes, shape).ids


def read_truth(sample, classes, shape):
    """``read_class_ids``, and the objects besides.

    Each mask file of a class is an object. A class that has a single one in
    this image was perhaps drawn as a whole: the connected components (8
    neighbours) of that mask are its objects.

    Returns:
        ``Truth``.
    """
    ids, instances = np.zeros(shape, np.uint8), np.zeros(shape, np.int32)
    count = 0
    for number, name in enumerate(classes, start=1):
        paths = sample.masks.get(name, [])
        for path in paths:
            mask = read_mask(path, shape)
            ids[mask] = number
            pieces = 2
            if len(paths) == 1:
                pieces, labels = cv2.connectedComponents(
                    mask.view(np.uint8), connectivity=8
                )
                instances[mask] = labels[mask] + count
            else:
                instances[mask] = count + 1
            count += pieces - 1
    for path in sample.ignored:
        ids[read_mask(path, shape)] = UNKNOWN
    instances[ids == UNKNOWN] = 0
    return Truth(ids, instances)


def write_ignored(folder, ignored):
    """Write which pixels of a sample nobody labelled, in ``masks/ignore/``.

    Args:
        folder: the sample's. Where no pixel is ignored no file is written.
        ignored: bool, H x W.
    """
    if ignored.any():
        path = folder / "masks" / IGNORE / f"{folder.name}_ignore.png"
        write_mask(path, ignored, 0, 0, ignored.shape)
