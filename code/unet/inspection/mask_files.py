"""What mask files show, and what is wrong with them."""

from functools import partial

import numpy as np

from unet.annotations.colours import above
from unet.annotations.formats import FORMATS
from unet.files.errors import DataError
from unet.files.folders import DEFAULT_CLASS, IGNORE
from unet.imagery.mask_values import read_values
from unet.imagery.rasters import no_data
from unet.imagery.stored import stored_as
from unet.imagery.turns import upright
from unet.inspection.items import listed, reason_of
from unet.inspection.pieces import cut_out

# Thresholds, silent on the sample data and mostly right on real tiles.
FULL = 0.999  # share of the pixels
_CLEAR = 40  # grey levels from 0 or from the largest: smeared, but clear
_UNCLEAR = 0.05  # share of the pixels that are not clear


def read_or_note(exam, path, reader, stored):
    """Read a file, or note why that is impossible and return None."""
    try:
        return reader()
    except DataError as error:
        if path.stat().st_size == 0:
            exam.add("empty-file", path, "0 bytes")
        elif stored is None:
            exam.add("unreadable", path, "no image, whatever its name says")
        elif stored.channels not in (1, 3, 4):
            exam.add("bands", path, f"{stored.channels} bands")
        elif stored.is_float:
            exam.add("float", path, "NaN or infinity")
        else:
            exam.add("truncated", path, reason_of(error, path))
        return None


def from_file(exam, path, label):
    """The pieces that a mask file shows: one, or one for every colour."""
    stored = stored_as(path)
    rules = exam.item.rules
    reader = partial(read_values, path, rules.limits.pixels)
    seen = read_or_note(exam, path, reader, stored)
    if seen is None:
        return []
    values, kind = seen
    item = exam.item
    if item.has_complete_mask and (
        kind != "grey"
        or rules.colours
        or no_data(path, values.shape, is_mask=True).any()
    ):
        return _from_colours(exam, path)
    if item.has_complete_mask and rules.threshold is not None:
        mask = above(values, rules.threshold)
    else:
        mask = _look_at_values(exam, path, values, stored)
    if mask is None or exam.shape is None:
        return []
    mask = _fitted(exam, path, mask)
    if mask is None:
        return []
    piece = cut_out(path, label, path.name, mask)
    if label == IGNORE:
        return [piece] if piece else []
    if piece is None:
        if not item.has_complete_mask:
            exam.add("empty-mask", path, "all black")
        return []
    share = piece.area / mask.size
    rim = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    exam.masks.append((path, label, share, float(rim.mean())))
    if share >= FULL:
        exam.add("full-mask", path, f"{share:.1%} of the image")
    return [piece]


def _from_colours(exam, path):
    """The pieces of a complete mask in colours: one for every class."""
    try:
        (annotation,) = (
            FORMATS["masks"].read(path, path, exam.item.rules).values()
        )
    except DataError as error:
        exam.add("colour-mask", path, reason_of(error, path))
        return []
    pieces = []
    for instance in annotation.instances if exam.shape else []:
        mask = _fitted(exam, path, instance.mask(annotation.size))
        if mask is None:
            return []
        label = instance.label or DEFAULT_CLASS
        pieces.append(cut_out(path, label, path.name, mask))
    return pieces


def _fitted(exam, path, mask):
    """A mask of the image's size; None if it fits neither way round."""
    if mask.shape == exam.shape and not exam.turned:
        return mask
    stored = exam.item.stored()
    if exam.turned and mask.shape == stored.shape:
        return upright(mask, stored.orientation)
    size = "{1} x {0}".format
    if stored.orientation > 4 and mask.shape == stored.shape:
        detail = f"{size(*mask.shape)} as the photo before it is turned"
        exam.add("exif-mask", path, detail)
        return upright(mask, stored.orientation)
    detail = f"{size(*mask.shape)}, its image is {size(*exam.shape)}"
    exam.add("size-mismatch", path, detail)
    return None


def _look_at_values(exam, path, values, stored):
    """The object's pixels (bool H x W), or None if they cannot be told."""
    distinct, counts = _count(values)
    high = distinct[-1]
    if stored.format == "JPEG":
        clear = np.minimum(distinct, high - distinct) <= _CLEAR
        unclear = counts[~clear].sum() / counts.sum()
        exam.add("jpeg-mask", path, f"{unclear:.1%} of the pixels unclear")
        return _thresholded(exam, path, values, unclear)
    if len(distinct) == 1:
        return values > 0
    if values.dtype == np.int64:
        if len(distinct) == 2 and distinct[0] == 0:
            return values > 0
        order = np.argsort(-counts)
        named = [
            f"#{distinct[k]:06X} {counts[k] / counts.sum():.0%}" for k in order
        ]
        exam.add("colour-mask", path, listed(named))
        for value, count in zip(
            distinct.tolist(), counts.tolist(), strict=True
        ):
            exam.colours[f"#{value:06X}"] += count
        return None
    if len(distinct) == 2 and distinct[0] == 0:
        if high not in (255, 65535):
            exam.add("zero-one", path, f"values 0 and {high}")
        return values > 0
    if _are_ids(distinct):
        exam.add("class-ids", path, "values " + listed(distinct.tolist()))
        exam.ids[path] = distinct.tolist()
        return None
    clear = np.minimum(distinct, high - distinct) <= _CLEAR
    unclear = counts[~clear].sum() / counts.sum()
    detail = f"{len(distinct)} values, {unclear:.1%} of the pixels unclear"
    exam.add("grey-mask", path, detail)
    return _thresholded(exam, path, values, unclear)


def _count(values):
    """Distinct values, sorted, and how often each occurs."""
    if values.dtype == np.uint8:
        counts = np.bincount(values.ravel(), minlength=256)
        distinct = np.flatnonzero(counts)
        return distinct, counts[distinct]
    return np.unique(values, return_counts=True)


def _thresholded(exam, path, values, unclear):
    """A smeared mask, cut at one half; None if too much of it is unclear."""
    high = values.max()
    if unclear > _UNCLEAR or high <= 2 * _CLEAR:
        exam.unclear = path
        return None
    return values > high / 2


def _are_ids(distinct):
    """Whether the values of a mask are numbers of classes."""
    ids = distinct[distinct != 255]
    return ids[-1] < 32 and len(distinct) > 2
