"""A mended copy of a data set: what can be mended without a guess."""

import shutil
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from unet.files.folders import DEFAULT_CLASS, IGNORE, class_folder
from unet.geometry.instances import add_window
from unet.geometry.masks import without_overlap
from unet.imagery.georeference import read_georeference, sidecar
from unet.imagery.mask_values import write_ignored
from unet.imagery.png import write_mask
from unet.imagery.saving import kept_bands, save_image
from unet.inspection.items import Finding
from unet.inspection.kinds import KINDS
from unet.inspection.one_image import pieces_of
from unet.inspection.pieces import overlapping, small_parts
from unet.inspection.places import misplaced_items
from unet.inspection.whole_set import spellings

# A sample with one of these is refused by the other scripts, or is wrong in
# a way that only its owner can put right.
_UNUSABLE = {
    "several-images", "mixed-masks", "wrong-name", "empty-file", "unreadable",
    "truncated", "bad-annotation", "annotated-twice", "size-mismatch", "bands",
    "corner", "colour-mask", "class-ids", "class-range",
}  # fmt: skip


@dataclass
class Mended:
    """What became of the samples.

    Attributes:
        done: how many findings of each kind were mended.
        left_out: (name, reason) of samples that are not in the copy.
        unmended: findings that are in the copy as they were.
        written: number of samples in the copy.
    """

    done: Counter = field(default_factory=Counter)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    unmended: list[Finding] = field(default_factory=list)
    written: int = 0


def mend(exams, findings, trees, specks, progress):
    """Write a mended copy of a data set as a tree of folders.

    EXIF orientation is applied, images that are odd in the set become RGB of 8
    bits, masks 0 and 255; equal and empty instance masks and specks are
    dropped, spellings of classes united, polygons drawn. A sample that cannot
    be mended without a guess is left out.

    Args:
        exams, findings: of ``unet.inspection.whole_set``, with those of the
            listing.
        trees: directory to write to, by side.
        specks: parts of fewer pixels are dropped.
        progress: function ``(iterable, total, title)``.

    Returns:
        ``Mended``.
    """
    result, united = Mended(), spellings(exams)
    labels = {
        united.get(label, label) for exam in exams for label in exam.covers
    }
    flat = labels <= {DEFAULT_CLASS}
    by_item = {}
    for finding in findings:
        by_item.setdefault(id(finding.item), []).append(finding)
    gone, elsewhere = set(), misplaced_items(exams, findings)
    for exam in progress(exams, len(exams), "Mending"):
        item = exam.item
        reason = _why_unusable(
            exam, by_item.get(id(item), []), id(item) in elsewhere
        )
        if reason:
            result.left_out.append((item.name, reason))
            gone.add(id(item))
            continue
        result.written += 1
        folder = trees[item.side] / item.name
        _write_image(exam, by_item.get(id(item), []), folder)
        if item.labelled:
            (folder / "masks").mkdir()
            masks = _mended_masks(exam, united, specks)
            _write_masks(exam, masks, folder / "masks", flat)
    for finding in findings:
        if id(finding.item) in gone:
            continue
        if KINDS[finding.kind].fixed:
            result.done[finding.kind] += 1
        elif finding.kind not in ("no-image", "ignored-file"):
            result.unmended.append(finding)
    return result


def _why_unusable(exam, findings, misplaced):
    """Why a sample is left out, or None."""
    for finding in findings:
        if finding.kind in _UNUSABLE or exam.shape is None:
            return f"{KINDS[finding.kind].title} ({finding.detail})"
    if exam.unclear:
        return f"{exam.unclear.name} has too many grey values"
    return "x and y are swapped" if misplaced else None


def _write_image(exam, findings, folder):
    """Copy an image, or write it as RGB of 8 bits."""
    item = exam.item
    (folder / "images").mkdir(parents=True)
    kinds = {finding.kind for finding in findings}
    changed = kinds & {"exif", "cmyk"}
    # More bands, and bits that all images have, are nothing to mend.
    bands = None if item.picture else kept_bands(item.image, item.rules.bands)
    if bands and bands.count in (1, 3) and "deep" in kinds:
        bands = None
    place = None
    if not item.picture and "exif" not in changed:
        place = read_georeference(item.image)
    if bands and item.rules.bands:
        save_image(
            folder / "images", item.name, bands.read(item.image), place, bands
        )
    elif not bands and (
        exam.traits or changed or item.picture or item.rules.bands
    ):
        save_image(folder / "images", item.name, item.read(), place)
    else:
        path = folder / "images" / (item.name + item.image.suffix)
        shutil.copyfile(item.image, path)
        if sidecar(item.image).exists():
            shutil.copyfile(sidecar(item.image), sidecar(path))


def _mended_masks(exam, united, specks):
    """(class, window, top, left) of an item's pieces, less what is wrong."""
    pieces = pieces_of(exam.item, exam.shape, exam.turned)
    for piece in pieces:
        piece.label = united.get(piece.label, piece.label)
    twice = {
        j
        for i, j, common in overlapping(pieces)
        if pieces[i].area == pieces[j].area == common
        and pieces[i].label == pieces[j].label
    }
    pieces = [piece for k, piece in enumerate(pieces) if k not in twice]
    for piece in pieces:
        if piece.label == IGNORE:
            continue
        whole = piece.area
        for area, _, part in small_parts(piece, specks, exam.shape):
            if not piece.is_polygon or area == whole:
                piece.crop = piece.crop & ~part
    masks = [(p.label, p.crop, p.top, p.left) for p in pieces if p.area]
    if exam.item.annotation:
        masks = [*without_overlap(masks[::-1], exam.shape)][::-1]
    return masks


def _write_masks(exam, masks, place, flat):
    ignored = np.zeros(exam.shape, bool)
    for number, (label, *window) in enumerate(masks, start=1):
        if label == IGNORE:
            add_window(ignored, *window)
            continue
        folder = place if flat else place / class_folder(label)
        path = folder / f"{exam.item.name}_mask_{number}.png"
        write_mask(path, *window, exam.shape)
    write_ignored(place.parent, ignored)
