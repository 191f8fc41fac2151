"""What can be seen of one image and its annotation."""

import cv2
import numpy as np

from unet.imagery.copies import fingerprint
from unet.inspection.edges import SWAPPED, edge_map, near
from unet.inspection.items import Look
from unet.inspection.mask_files import from_file, read_or_note
from unet.inspection.outlines import (
    from_instance,
    look_at_frame,
    look_at_repairs,
)
from unet.inspection.pieces import merge, overlapping, small_parts

_FLAT = 1.0  # grey levels of standard deviation


def look_at(item, specks):
    """Look at one image and its annotation.

    Args:
        item: the ``Item``.
        specks: objects of fewer pixels are findings.

    Returns:
        A ``Look``.
    """
    look = Look(item)
    image = _look_at_image(look)
    pieces = _look_at_masks(look)
    if image is None:
        return look
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    pieces = _compare_orientations(look, grey, pieces)
    for piece in pieces:
        look.areas.append((piece.label, piece.area))
    _look_for_overlap(look, pieces)
    _look_for_specks(look, pieces, specks)
    merged = merge(pieces, look.shape)
    for label, mask in merged.items():
        look.covers[label] = int(np.count_nonzero(mask))
    masks = list(merged.values())
    look.edges = edge_map(grey, masks)
    if item.annotation and look.shape[0] == look.shape[1]:
        look.swapped = edge_map(grey, [mask.T for mask in masks])
    return look


def _compare_orientations(look, grey, pieces):
    """Find annotations of the unturned photo that fit its size both ways.

    Returns:
        The pieces as they fit the photo's edges.
    """
    item = look.item
    if look.turned or look.misplaced or not pieces:
        return pieces
    if item.stored().orientation == 1:
        return pieces
    turned = pieces_of(item, look.shape, turned=True)
    as_is, better = (
        edge_map(grey, list(merge(found, look.shape).values()))
        for found in (pieces, turned)
    )
    if as_is is None or better is None or near(better) < SWAPPED * near(as_is):
        return pieces
    look.turned = True
    look.findings = [
        one for one in look.findings if one.kind != "polygon-outside"
    ]
    what = "fits the edges of the photo before it is turned"
    for path in dict.fromkeys(piece.source for piece in pieces):
        look.add("exif-mask", path, what)
    return turned


def _look_at_image(look):
    """Read the image, note how it is stored; None if it is unreadable."""
    path = look.item.image
    stored = look.item.stored()
    image = read_or_note(look, path, look.item.read, stored)
    if image is None:
        return None
    look.shape = image.shape[:2]
    if stored.orientation > 1:
        look.add("exif", path, f"EXIF orientation {stored.orientation}")
    if stored.channels == 4:
        look.add("cmyk", path, "four inks")
    if stored.alpha:
        look.traits["alpha"] = "an alpha channel"
    if stored.channels == 1:
        look.traits["grey"] = "one channel"
    if stored.is_float:
        look.traits["float"] = f"{stored.bits}-bit floats"
    elif stored.bits > 8:
        look.traits["deep"] = f"{stored.bits} bits a channel"
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    look.light, look.contrast = float(grey.mean()), float(grey.std())
    if look.contrast < _FLAT:
        look.add("blank", path, f"grey value {look.light:.0f} everywhere")
    else:
        look.print = fingerprint(image)
    return image


def _look_at_masks(look):
    """The pieces of an item; what is wrong with their files is noted."""
    item = look.item
    pieces = []
    for path, label in item.masks or []:
        pieces += from_file(look, path, label)
    if item.annotation is None:
        return pieces
    look_at_repairs(look)
    if look.shape is None:
        return pieces
    instances = item.annotation.instances
    look.turned = look.turned or look_at_frame(look, instances)
    for number, one in enumerate(instances, start=1):
        pieces += from_instance(look, one, f"object {number}")
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
    look = Look(item, shape=shape, turned=turned)
    return _look_at_masks(look)


def _name_of(look):
    """What names the image where the file alone, an annotation, does not."""
    return f"{look.item.name}, " if look.item.annotation else ""


def _look_for_overlap(look, pieces):
    """Objects that are drawn twice."""
    name = _name_of(look)
    for i, j, common in overlapping(pieces):
        one, other = pieces[i], pieces[j]
        equal = one.area == other.area == common
        if equal and one.label == other.label:
            kind = "polygon-twice" if other.is_polygon else "equal-masks"
            what = f"{name}{other.title} is equal to {one.title}"
        elif equal or one.label == other.label:
            kind = "overlap"
            share = common / min(one.area, other.area)
            what = (
                f"{name}{other.title} and {one.title} share {share:.0%} of "
                "the smaller one"
            )
        else:
            continue
        look.add(kind, other.source, what, other.box)


def _look_for_specks(look, pieces, specks):
    """Connected parts of fewer pixels, not cut by the image's border."""
    by_file = {}
    for piece in pieces:
        parts = small_parts(piece, specks, look.shape)
        if not piece.is_polygon:
            by_file.setdefault(piece.source, []).extend(parts)
        # Parts of one polygon may touch nearly.
        elif parts and parts[0][0] == piece.area:
            what = f"{_name_of(look)}{piece.title}: {piece.area} px"
            look.add("polygon-tiny", piece.source, what, parts[0][1])
    for path, parts in by_file.items():
        if parts:
            area, box, _ = min(parts, key=lambda part: part[0])
            more = f", and {len(parts) - 1} more" if len(parts) > 1 else ""
            what = f"{_name_of(look)}a part of {area} px{more}"
            look.add("specks", path, what, box)
