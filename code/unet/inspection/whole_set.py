"""What is wrong with a data set, found before anything is trained.

``unet.inspection.listing`` lists what there is, ``check`` looks at every file
and compares them all.
"""

import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np

from unet.annotations.annotation import Annotation
from unet.imagery.copies import near_copies
from unet.imagery.resizing import resize_image
from unet.inspection.items import (
    Finding,
    by_side,
    items_of,
    listed,
    place_of_side,
)
from unet.inspection.mask_files import FULL
from unet.inspection.one_image import look_at
from unet.inspection.places import (
    compare_edges,
    compare_places,
    misplaced_items,
)

_SPELLINGS = str.maketrans("", "", " _-\t")
# Thresholds, silent on the sample data and mostly right on real tiles.
_ODD = 2.0  # times smaller or larger than the middle half of the images
_RARE = 0.02  # of the pixels of the most frequent class
_LEVELS = 12  # of brightness; correlation tells copies from bare ground
_CORRELATED = 0.7  # of grey values at 64 x 64 pixels


def check(root, items, specks, progress):
    """Look at every item, and compare them with each other.

    Args:
        root: the directory that is blamed for what is wrong with the set.
        items: of ``tree_items`` or ``raw_items``.
        specks: objects of fewer pixels are findings.
        progress: function ``(iterable, total, title)``.

    Returns:
        (looks, findings): the findings in the order in which they were found.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(partial(look_at, specks=specks), items)
        looks = list(progress(results, len(items), "Looking"))
    findings = [finding for look in looks for finding in look.findings]
    for compare in (
        _compare_labelling,
        _compare_traits,
        _compare_sizes,
        _compare_inversion,
        _compare_ids,
        _compare_labels,
        _compare_classes,
        compare_places,
    ):
        findings += compare(root, looks)
    # Edges tell nothing of what is known to lie elsewhere.
    misplaced = misplaced_items(looks, findings)
    findings += compare_edges(root, looks, misplaced)
    findings += _compare_pictures(root, looks)
    return looks, findings


def _compare_labelling(root, looks):
    """Images that nobody has annotated, where others are."""
    for side, members in by_side(looks).items():
        labelled = [look for look in members if look.item.labelled]
        objects = any(
            look.item.masks
            or (look.item.annotation or Annotation(root)).instances
            for look in labelled
        )
        # Test images without truth are there to be predicted.
        if not objects and side != "test":
            what = f"{len(members)} images, {len(labelled)} of them labelled"
            yield Finding("nothing-labelled", place_of_side(root, side), what)
        elif labelled:
            for look in members:
                if not look.item.labelled:
                    what = "not annotated"
                    yield Finding("no-masks", look.item.image, what, look.item)


def _compare_traits(root, looks):
    """Alpha, grey and depth: by file, or once where all images are alike."""
    seen = [look for look in looks if look.shape]
    for kind in ("alpha", "grey", "deep", "float"):
        having = [look for look in seen if kind in look.traits]
        if len(having) < max(len(seen), 2):
            for look in having:
                yield Finding(
                    kind, look.item.image, look.traits[kind], look.item
                )
        elif kind != "grey":  # all grey is a choice
            what = f"all {len(having)} images: {having[0].traits[kind]}"
            yield Finding(kind, root, what, others=items_of(having))


def _compare_sizes(root, looks):
    """Images much larger or smaller than the middle half of all."""
    seen = [look for look in looks if look.shape]
    if len(seen) < 4:
        return
    sides = np.sort([look.shape for look in seen], axis=1)
    low, high = np.quantile(sides, [0.25, 0.75], axis=0)
    odd = ((sides * _ODD < low) | (sides > high * _ODD)).any(axis=1)
    usual = np.median([look.shape for look in seen], axis=0)
    for look, is_odd in zip(seen, odd, strict=True):
        if is_odd:
            what = (
                f"{look.shape[1]} x {look.shape[0]}, usual are {usual[1]:.0f} "
                f"x {usual[0]:.0f}"
            )
            yield Finding("odd-size", look.item.image, what, look.item)


def _compare_inversion(root, looks):
    """Masks that show the ground where the others show objects."""
    shares = defaultdict(list)
    for look in looks:
        for _, label, share, _ in look.masks:
            shares[label].append(share)
    for look in looks:
        for path, label, share, rim in look.masks:
            usual = float(np.median(shares[label]))
            if 0.5 < share < FULL and rim > 0.7 and usual < 0.3:
                what = f"{share:.0%} of the image, the others {usual:.0%}"
                yield Finding("inverted", path, what, look.item)


def _compare_ids(root, looks):
    """Class ids beyond those of the other masks; objects without a class."""
    files = Counter(
        value for look in looks for ids in look.ids.values() for value in ids
    )
    known = [value for value, count in files.items() if count > 1]
    largest = max((value for value in known if value != 255), default=255)
    named = {
        look.item.annotation.source
        for look in looks
        if look.item.annotation
        and any(one.label for one in look.item.annotation.instances)
    }
    for look in looks:
        for path, ids in look.ids.items():
            beyond = [value for value in ids if value > largest]
            if beyond:
                what = f"id {listed(beyond)}, other masks go to {largest}"
                yield Finding("class-range", path, what, look.item)
        annotation = look.item.annotation
        if annotation and annotation.source in named:
            count = sum(one.label is None for one in annotation.instances)
            if count:
                what = f"{look.item.name}: {count} objects without a class"
                yield Finding("class-range", annotation.source, what, look.item)


def _labels(item):
    """(file or class folder, class) of an item, each once."""
    pairs = {(path.parent, label) for path, label in item.masks or []}
    if item.annotation:
        pairs |= {
            (item.annotation.source, one.label)
            for one in item.annotation.instances
            if one.label
        }
    return sorted(pairs)


def spellings(looks):
    """The usual spelling of every class that is written in several ways.

    Returns:
        dict from each unusual spelling to the most frequent one.
    """
    counts = Counter(label for look in looks for _, label in _labels(look.item))
    groups = defaultdict(list)
    for label, _ in counts.most_common():
        groups[label.casefold().translate(_SPELLINGS)].append(label)
    return {other: usual for usual, *rest in groups.values() for other in rest}


def _compare_labels(root, looks):
    unusual = spellings(looks)
    seen = set()
    for look in looks:
        for path, label in _labels(look.item):
            if label in unusual and (path, label) not in seen:
                seen.add((path, label))
                what = f"{label!r}, elsewhere {unusual[label]!r}"
                yield Finding("spelling", path, what, look.item)


def class_pixels(looks):
    """Pixels by class of every look; by colour where most masks have those.

    Classes that are spelt in several ways count as one.
    """
    coloured = sum(bool(look.colours) for look in looks)
    if 2 * coloured > len(looks):
        return [look.colours for look in looks]
    unusual = spellings(looks)
    result = []
    for look in looks:
        united = Counter()
        for label, pixels in look.covers.items():
            united[unusual.get(label, label)] += pixels
        result.append(united)
    return result


def _compare_classes(root, looks):
    """Classes that are rare, or that only one side has."""
    labelled = [look for look in looks if look.shape and look.item.labelled]
    total, having = Counter(), defaultdict(list)
    sides = defaultdict(set)
    for look, covers in zip(labelled, class_pixels(labelled), strict=True):
        total += covers
        for label in covers:
            having[label].append(look)
            sides[look.item.side].add(label)
    most = max(total.values(), default=0)
    for label, pixels in sorted(total.items()):
        if pixels < _RARE * most:
            what = (
                f"{label}: {pixels / most:.2%} of the pixels of the most "
                f"frequent class, in {len(having[label])} of "
                f"{len(labelled)} images"
            )
            yield Finding(
                "rare-class", root, what, others=items_of(having[label])
            )
    if len(sides) == 2:
        for side, other in (("train", "test"), ("test", "train")):
            for label in sorted(sides[side] - sides[other]):
                what = f"{label}: in {side}, not in {other}"
                yield Finding("one-sided", root / other, what)


def _compare_pictures(root, looks):
    """Nearly the same picture twice."""
    seen = [look for look in looks if look.print is not None]
    copies = set()
    for i, j in near_copies([look.print for look in seen], _LEVELS):
        one, other = seen[i].item, seen[j].item
        if other.side == "train" and one.side == "test":
            one, other = other, one
        if other.image in copies or not _alike(one, other):
            continue
        copies.add(other.image)
        kind = "near-copy" if one.side == other.side else "leak"
        what = f"nearly the same as {one.image}"
        yield Finding(kind, other.image, what, other, others=[one])


def _alike(one, other):
    """Whether two images still correlate when bare ground would not."""
    pictures = [
        cv2.cvtColor(resize_image(item.read(), (64, 64)), cv2.COLOR_RGB2GRAY)
        for item in (one, other)
    ]
    pair = np.stack([picture.ravel() for picture in pictures]).astype(float)
    return float(np.corrcoef(pair)[0, 1]) >= _CORRELATED
