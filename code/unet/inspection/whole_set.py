"""What is wrong with a data set, found before anything is trained.

``unet.inspection.listing`` lists what there is, ``check`` looks at every file
and compares them all.
"""

from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np

from unet.files.cores import usable_cores
from unet.files.folders import IGNORE
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
        (exams, findings): the findings in the order in which they were found.
    """
    with ThreadPoolExecutor(usable_cores()) as pool:
        results = pool.map(partial(look_at, specks=specks), items)
        exams = list(progress(results, len(items), "Looking"))
    findings = [finding for exam in exams for finding in exam.findings]
    for compare in (
        _compare_labelling,
        _compare_traits,
        _compare_bands,
        _compare_sizes,
        _compare_inversion,
        _compare_ids,
        _compare_labels,
        _compare_classes,
        compare_places,
    ):
        findings += compare(root, exams)
    # Edges tell nothing of what is known to lie elsewhere.
    misplaced = misplaced_items(exams, findings)
    findings += compare_edges(root, exams, misplaced)
    findings += _compare_pictures(root, exams)
    return exams, findings


def _compare_labelling(root, exams):
    """Images that nobody has annotated, where others are."""
    for side, members in by_side(exams).items():
        labelled = [exam for exam in members if exam.item.labelled]
        objects = any(exam.item.classes for exam in labelled)
        # Test images without truth are there to be predicted.
        if not objects and side != "test":
            detail = f"{len(members)} images, {len(labelled)} of them labelled"
            yield Finding("nothing-labelled", place_of_side(root, side), detail)
        elif labelled:
            for exam in members:
                if not exam.item.labelled:
                    detail = "not annotated"
                    yield Finding(
                        "no-masks", exam.item.image, detail, exam.item
                    )


def _compare_traits(root, exams):
    """Alpha, grey and depth: by file, or once where all images are alike."""
    seen = [exam for exam in exams if exam.shape]
    for kind in ("alpha", "grey", "deep", "float"):
        having = [exam for exam in seen if kind in exam.traits]
        if len(having) < max(len(seen), 2):
            for exam in having:
                yield Finding(
                    kind, exam.item.image, exam.traits[kind], exam.item
                )
            continue
        details = {exam.traits[kind] for exam in having}
        # All grey is a choice, and so are 16 bits: a training finds the range
        # that all images share.
        chosen = len(details) == 1 and min(details).startswith("16 bits")
        if kind != "grey" and not chosen:
            detail = f"all {len(having)} images: {having[0].traits[kind]}"
            yield Finding(kind, root, detail, others=items_of(having))


def _compare_bands(root, exams):
    """Images of other bands than most have."""
    seen = [exam for exam in exams if exam.shape]
    bands = [exam.traits.get("bands", "1 or 3 bands") for exam in seen]
    for exam, own in zip(seen, bands, strict=True):
        if own != Counter(bands).most_common(1)[0][0]:
            yield Finding("bands", exam.item.image, own, exam.item)


def _compare_sizes(root, exams):
    """Images much larger or smaller than the middle half of all."""
    seen = [exam for exam in exams if exam.shape]
    if len(seen) < 4:
        return
    sides = np.sort([exam.shape for exam in seen], axis=1)
    low, high = np.quantile(sides, [0.25, 0.75], axis=0)
    odd = ((sides * _ODD < low) | (sides > high * _ODD)).any(axis=1)
    usual = np.median([exam.shape for exam in seen], axis=0)
    for exam, is_odd in zip(seen, odd, strict=True):
        if is_odd:
            detail = (
                f"{exam.shape[1]} x {exam.shape[0]}, usual are {usual[1]:.0f} "
                f"x {usual[0]:.0f}"
            )
            yield Finding("odd-size", exam.item.image, detail, exam.item)


def _compare_inversion(root, exams):
    """Masks that show the ground where the others show objects."""
    shares = defaultdict(list)
    for exam in exams:
        for _, label, share, _ in exam.masks:
            shares[label].append(share)
    for exam in exams:
        for path, label, share, rim in exam.masks:
            usual = float(np.median(shares[label]))
            if 0.5 < share < FULL and rim > 0.7 and usual < 0.3:
                detail = f"{share:.0%} of the image, the others {usual:.0%}"
                yield Finding("inverted", path, detail, exam.item)


def _compare_ids(root, exams):
    """Class ids beyond those of the other masks; objects without a class."""
    files = Counter(
        value for exam in exams for ids in exam.ids.values() for value in ids
    )
    known = [value for value, count in files.items() if count > 1]
    largest = max((value for value in known if value != 255), default=255)
    named = {
        exam.item.annotation.source
        for exam in exams
        if exam.item.annotation
        and any(instance.label for instance in exam.item.annotation.instances)
    }
    for exam in exams:
        for path, ids in exam.ids.items():
            beyond = [value for value in ids if value > largest]
            if beyond:
                detail = f"id {listed(beyond)}, other masks go to {largest}"
                yield Finding("class-range", path, detail, exam.item)
        annotation = exam.item.annotation
        if annotation and annotation.source in named:
            count = sum(
                instance.label is None for instance in annotation.instances
            )
            if count:
                detail = f"{exam.item.name}: {count} objects without a class"
                yield Finding(
                    "class-range", annotation.source, detail, exam.item
                )


def _labels(item):
    """(file or class folder, class) of an item, each once."""
    pairs = {(path.parent, label) for path, label in item.masks or []}
    if item.annotation:
        pairs |= {
            (item.annotation.source, instance.label)
            for instance in item.annotation.instances
            if instance.label
        }
    return sorted(pair for pair in pairs if pair[1] != IGNORE)


def spellings(exams):
    """The usual spelling of every class that is written in several ways.

    Returns:
        dict from each unusual spelling to the most frequent one.
    """
    counts = Counter(label for exam in exams for _, label in _labels(exam.item))
    groups = defaultdict(list)
    for label, _ in counts.most_common():
        groups[label.casefold().translate(_SPELLINGS)].append(label)
    return {other: usual for usual, *rest in groups.values() for other in rest}


def _compare_labels(root, exams):
    unusual = spellings(exams)
    seen = set()
    for exam in exams:
        for path, label in _labels(exam.item):
            if label in unusual and (path, label) not in seen:
                seen.add((path, label))
                detail = f"{label!r}, elsewhere {unusual[label]!r}"
                yield Finding("spelling", path, detail, exam.item)


def class_pixels(exams):
    """Pixels by class of every image; by colour where most masks have those.

    Classes that are spelt in several ways count as one.
    """
    coloured = sum(bool(exam.colours) for exam in exams)
    if 2 * coloured > len(exams):
        return [exam.colours for exam in exams]
    unusual = spellings(exams)
    result = []
    for exam in exams:
        united = Counter()
        for label, pixels in exam.covers.items():
            united[unusual.get(label, label)] += pixels
        result.append(united)
    return result


def _compare_classes(root, exams):
    """Classes that are rare, or that only one side has."""
    labelled = [exam for exam in exams if exam.shape and exam.item.labelled]
    total, having = Counter(), defaultdict(list)
    sides = defaultdict(set)
    for exam, covers in zip(labelled, class_pixels(labelled), strict=True):
        total += covers
        for label in covers:
            having[label].append(exam)
            sides[exam.item.side].add(label)
    most = max(total.values(), default=0)
    for label, pixels in sorted(total.items()):
        if pixels < _RARE * most:
            detail = (
                f"{label}: {pixels / most:.2%} of the pixels of the most "
                f"frequent class, in {len(having[label])} of "
                f"{len(labelled)} images"
            )
            yield Finding(
                "rare-class", root, detail, others=items_of(having[label])
            )
    if len(sides) == 2:
        for side, other in (("train", "test"), ("test", "train")):
            for label in sorted(sides[side] - sides[other]):
                detail = f"{label}: in {side}, not in {other}"
                yield Finding("one-sided", root / other, detail)


def _compare_pictures(root, exams):
    """Nearly the same picture twice."""
    seen = [exam for exam in exams if exam.fingerprint is not None]
    copies = set()
    for i, j in near_copies([exam.fingerprint for exam in seen], _LEVELS):
        item, other = seen[i].item, seen[j].item
        if other.side == "train" and item.side == "test":
            item, other = other, item
        if other.image in copies or not _alike(item, other):
            continue
        copies.add(other.image)
        kind = "near-copy" if item.side == other.side else "leak"
        detail = f"nearly the same as {item.image}"
        yield Finding(kind, other.image, detail, other, others=[item])


def _alike(item, other):
    """Whether two images still correlate when bare ground would not."""
    pictures = [
        cv2.cvtColor(resize_image(shown.read(), (64, 64)), cv2.COLOR_RGB2GRAY)
        for shown in (item, other)
    ]
    pair = np.stack([picture.ravel() for picture in pictures]).astype(float)
    return float(np.corrcoef(pair)[0, 1]) >= _CORRELATED
