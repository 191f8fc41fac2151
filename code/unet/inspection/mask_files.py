"""What mask files show, and what is wrong with them."""

from functools import partial

import numpy as np

from unet.annotations.colours import above
from unet.annotations.formats import FORMATS
from unet.files.errors import DataError
from unet.files.folders import DEFAULT_CLASS
from unet.imagery.mask_values import read_values
from unet.imagery.stored import stored_as
from unet.imagery.turns import upright
from unet.inspection.items import listed, reason_of
from unet.inspection.pieces import cut_out

# Thresholds, silent on the sample data and mostly right on real tiles.
FULL = 0.999  # share of the pixels
_CLEAR = 40  # grey levels from 0 or from the largest: smeared, but clear
_UNCLEAR = 0.05  # share of the pixels that are not clear


def read_or_note(look, path, reader, stored):
    """Read a file, or note why that is impossible and return None."""
    try:
        return reader()
    except DataError as error:
        if path.stat().st_size == 0:
            look.add("empty-file", path, "0 bytes")
        elif stored is None:
            look.add("unreadable", path, "no image, whatever its name says")
        elif stored.channels not in (1, 3, 4):
            look.add("bands", path, f"{stored.channels} bands")
        elif stored.is_float:
            look.add("float", path, "NaN or infinity")
        else:
            look.add("truncated", path, reason_of(error, path))
        return None


def from_file(look, path, label):
    """The pieces that a mask file shows: one, or one for every colour."""
    stored = stored_as(path)
    rules = look.item.rules
    reader = partial(read_values, path, rules.limits.pixels)
    seen = read_or_note(look, path, reader, stored)
    if seen is None:
        return []
    values, kind = seen
    item = look.item
    if item.complete and (kind != "grey" or rules.colours):
        return _from_colours(look, path)
    if item.complete and rules.threshold is not None:
        mask = above(values, rules.threshold)
    else:
        mask = _look_at_values(look, path, values, stored)
    if mask is None or look.shape is None:
        return []
    mask = _fitted(look, path, mask)
    if mask is None:
        return []
    piece = cut_out(path, label, path.name, mask)
    if piece is None:
        if not item.complete:
            look.add("empty-mask", path, "all black")
        return []
    share = piece.area / mask.size
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    look.masks.append((path, label, share, float(rim.mean())))
    if share >= FULL:
        look.add("full-mask", path, f"{share:.1%} of the image")
    return [piece]


def _from_colours(look, path):
    """The pieces of a complete mask in colours: one for every class."""
    try:
        (found,) = FORMATS["masks"].read(path, path, look.item.rules).values()
    except DataError as error:
        look.add("colour-mask", path, reason_of(error, path))
        return []
    pieces = []
    for one in found.instances if look.shape else []:
        mask = _fitted(look, path, one.mask(found.size))
        if mask is None:
            return []
        label = one.label or DEFAULT_CLASS
        pieces.append(cut_out(path, label, path.name, mask))
    return pieces


def _fitted(look, path, mask):
    """A mask of the image's size; None if it fits neither way round."""
    if mask.shape == look.shape and not look.turned:
        return mask
    stored = look.item.stored()
    if look.turned and mask.shape == stored.shape:
        return upright(mask, stored.orientation)
    size = "{1} x {0}".format
    if stored.orientation > 4 and mask.shape == stored.shape:
        what = f"{size(*mask.shape)} as the photo before it is turned"
        look.add("exif-mask", path, what)
        return upright(mask, stored.orientation)
    what = f"{size(*mask.shape)}, its image is {size(*look.shape)}"
    look.add("size-mismatch", path, what)
    return None


def _look_at_values(look, path, values, stored):
    """The object's pixels (bool H x W), or None if they cannot be told."""
    found, counts = _count(values)
    high = found[-1]
    if stored.format == "JPEG":
        clear = np.minimum(found, high - found) <= _CLEAR
        unclear = counts[~clear].sum() / counts.sum()
        look.add("jpeg-mask", path, f"{unclear:.1%} of the pixels unclear")
        return _thresholded(look, path, values, unclear)
    if len(found) == 1:
        return values > 0
    if values.dtype == np.int64:
        if len(found) == 2 and found[0] == 0:
            return values > 0
        order = np.argsort(-counts)
        named = [
            f"#{found[k]:06X} {counts[k] / counts.sum():.0%}" for k in order
        ]
        look.add("colour-mask", path, listed(named))
        for value, count in zip(found.tolist(), counts.tolist(), strict=True):
            look.colours[f"#{value:06X}"] += count
        return None
    if len(found) == 2 and found[0] == 0:
        if high not in (255, 65535):
            look.add("zero-one", path, f"values 0 and {high}")
        return values > 0
    if _are_ids(found):
        look.add("class-ids", path, "values " + listed(found.tolist()))
        look.ids[path] = found.tolist()
        return None
    clear = np.minimum(found, high - found) <= _CLEAR
    unclear = counts[~clear].sum() / counts.sum()
    what = f"{len(found)} values, {unclear:.1%} of the pixels unclear"
    look.add("grey-mask", path, what)
    return _thresholded(look, path, values, unclear)


def _count(values):
    """Distinct values, sorted, and how often each occurs."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        found = np.flatnonzero(counts)
        return found, counts[found]
    return np.unique(values, return_counts=True)


def _thresholded(look, path, values, unclear):
    """A smeared mask, cut at one half; None if too much of it is unclear."""
    high = values.max()
    if unclear > _UNCLEAR or high <= 2 * _CLEAR:
        look.unclear = path
        return None
    return values > high / 2


def _are_ids(found):
    """Whether the values of a mask are numbers of classes."""
    ids = found[found != 255]
    return ids[-1] < 32 and len(found) > 2
