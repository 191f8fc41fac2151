"""What can be seen of one image and its annotation."""

import cv2
import numpy as np

from unet.files.folders import IGNORE
from unet.imagery.copies import fingerprint
from unet.imagery.rasters import no_data
from unet.inspection.edges import SWAPPED, edge_map, near
from unet.inspection.items import Examination
from unet.inspection.mask_files import from_file, read_or_note
from unet.inspection.outlines import (
    from_instance,
    look_at_frame,
    look_at_repairs,
)
from unet.inspection.pieces import (
    cut_out,
    merge,
    overlapping,
    small_parts,
)

_FLAT = 1.0  # grey levels of standard deviation


def look_at(item, specks):
    """Look at one image and its annotation.

    Args:
        item: the ``Item``.
        specks: objects of fewer pixels are findings.

    Returns:
        A ``Examination``.
    """
    exam = Examination(item)
    image = _look_at_image(exam)
    pieces = _look_at_masks(exam)
    if image is None:
        return exam
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    pieces = _compare_orientations(exam, grey, pieces)
    ignored = _look_at_ignored(exam, pieces)
    pieces = _objects(pieces)
    for piece in pieces:
        exam.areas.append((piece.label, piece.area))
    _look_for_overlap(exam, pieces)
    _look_for_specks(exam, pieces, specks)
    merged = merge(pieces, exam.shape)
    for label, mask in merged.items():
        exam.covers[label] = int(np.count_nonzero(mask & ~ignored))
    masks = list(merged.values())
    exam.edges = edge_map(grey, masks)
    if item.annotation and exam.shape[0] == exam.shape[1]:
        exam.swapped = edge_map(grey, [mask.T for mask in masks])
    return exam


def _compare_orientations(exam, grey, pieces):
    """Find annotations of the unturned photo that fit its size both ways.

    Returns:
        The pieces as they fit the photo's edges.
    """
    item = exam.item
    if exam.turned or exam.misplaced or not pieces:
        return pieces
    if item.stored().orientation == 1:
        return pieces
    turned = pieces_of(item, exam.shape, turned=True)
    as_is, better = (
        edge_map(grey, list(merge(_objects(shown), exam.shape).values()))
        for shown in (pieces, turned)
    )
    if as_is is None or better is None or near(better) < SWAPPED * near(as_is):
        return pieces
    exam.turned = True
    exam.findings = [
        finding
        for finding in exam.findings
        if finding.kind != "polygon-outside"
    ]
    detail = "fits the edges of the photo before it is turned"
    for path in dict.fromkeys(piece.source for piece in pieces):
        exam.add("exif-mask", path, detail)
    return turned


def _objects(pieces):
    """The pieces that are of a class."""
    return [piece for piece in pieces if piece.label != IGNORE]


def _look_at_ignored(exam, pieces):
    """Note what is ignored; returns it: bool H x W."""
    ignored = merge(pieces, exam.shape).get(IGNORE)
    if ignored is None:
        return np.zeros(exam.shape, bool)
    exam.ignored = int(np.count_nonzero(ignored))
    if ignored.all():
        detail = f"all {ignored.size} pixels"
        exam.add("ignored", exam.item.image, detail)
    return ignored


def _look_at_image(exam):
    """Read the image, note how it is stored; None if it is unreadable."""
    path = exam.item.image
    stored = exam.item.stored()
    image = read_or_note(exam, path, exam.item.read, stored)
    if image is None:
        return None
    exam.shape = image.shape[:2]
    if stored.orientation > 1:
        exam.add("exif", path, f"EXIF orientation {stored.orientation}")
    if stored.is_cmyk:
        exam.add("cmyk", path, "four inks")
    elif stored.channels not in (1, 3) and not exam.item.rules.bands:
        # What a copy keeps as it is, whatever else there is to say of it.
        depth = f"{stored.channels} bands of {stored.bits} bits"
        exam.traits["bands"] = depth
        return _look_at_light(exam, image)
    if stored.alpha:
        exam.traits["alpha"] = "an alpha channel"
    if stored.channels == 1:
        exam.traits["grey"] = "one channel"
    if stored.is_float:
        exam.traits["float"] = f"{stored.bits}-bit floats"
    elif stored.bits > 8:
        exam.traits["deep"] = f"{stored.bits} bits a channel"
    return _look_at_light(exam, image)


def _look_at_light(exam, image):
    """Note brightness, contrast and what near copies share; the image."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    exam.light, exam.contrast = float(grey.mean()), float(grey.std())
    if exam.contrast < _FLAT:
        path = exam.item.image
        exam.add("blank", path, f"grey value {exam.light:.0f} everywhere")
    else:
        exam.fingerprint = fingerprint(image)
    return image


def _look_at_masks(exam):
    """The pieces of an item; what is wrong with their files is noted."""
    item = exam.item
    pieces = []
    for path, label in item.masks or []:
        pieces += from_file(exam, path, label)
    if item.annotation:
        look_at_repairs(exam)
    if exam.shape is None:
        return pieces
    if item.annotation:
        instances = item.annotation.instances
        exam.turned = exam.turned or look_at_frame(exam, instances)
        for number, instance in enumerate(instances, start=1):
            pieces += from_instance(exam, instance, f"object {number}")
    if item.labelled and item.is_raw and not item.picture:
        # Of folders the converter has written it into masks/ignore/.
        nothing = no_data(item.image, exam.shape)
        piece = cut_out(item.image, IGNORE, "no data", nothing)
        pieces += [piece] if piece else []
    return pieces


def pieces_of(item, shape, turned):
    """The objects of an item, silently; for pictures and mended copies.

    Args:
        item: the ``Item``.
        shape: (H, W) of its image.
        turned: whether its annotation is of the photo before its EXIF tag
            turns it, which its size need not show.

    Returns:
        List of ``Piece``.
    """
    exam = Examination(item, shape=shape, turned=turned)
    return _look_at_masks(exam)


def _name_of(exam):
    """What names the image where the file alone, an annotation, does not."""
    return f"{exam.item.name}, " if exam.item.annotation else ""


def _look_for_overlap(exam, pieces):
    """Objects that are drawn twice."""
    name = _name_of(exam)
    for i, j, common in overlapping(pieces):
        piece, other = pieces[i], pieces[j]
        equal = piece.area == other.area == common
        if equal and piece.label == other.label:
            kind = "polygon-twice" if other.is_polygon else "equal-masks"
            detail = f"{name}{other.title} is equal to {piece.title}"
        elif equal or piece.label == other.label:
            kind = "overlap"
            share = common / min(piece.area, other.area)
            detail = (
                f"{name}{other.title} and {piece.title} share {share:.0%} of "
                "the smaller one"
            )
        else:
            continue
        exam.add(kind, other.source, detail, other.box)


def _look_for_specks(exam, pieces, specks):
    """Connected parts of fewer pixels, not cut by the image's border."""
    by_file = {}
    for piece in pieces:
        parts = small_parts(piece, specks, exam.shape)
        if not piece.is_polygon:
            by_file.setdefault(piece.source, []).extend(parts)
        # Parts of one polygon may touch nearly.
        elif parts and parts[0][0] == piece.area:
            detail = f"{_name_of(exam)}{piece.title}: {piece.area} px"
            exam.add("polygon-tiny", piece.source, detail, parts[0][1])
    for path, parts in by_file.items():
        if parts:
            area, box, _ = min(parts, key=lambda part: part[0])
            more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
            detail = f"{_name_of(exam)}a part of {area} px{more}"
            exam.add("specks", path, detail, box)
