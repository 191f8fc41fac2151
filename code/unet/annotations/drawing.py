"""Annotations to a tree of folders with one mask per instance."""

import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations

import numpy as np
import shapely

from unet.annotations.repairs import Repair
from unet.files.atomic import write_text
from unet.files.cores import usable_cores
from unet.files.errors import DataError, printable
from unet.files.folders import (
    CLASSES,
    DEFAULT_CLASS,
    IGNORE,
    class_folder,
    is_ignored,
)
from unet.geometry.instances import add_window
from unet.geometry.masks import without_overlap
from unet.imagery.georeference import read_georeference
from unet.imagery.mask_values import write_ignored
from unet.imagery.png import write_mask
from unet.imagery.rasters import no_data
from unet.imagery.reading import image_from, read_bytes, values_from
from unet.imagery.saving import kept_bands, save_image


@dataclass(frozen=True)
class ClassChoice:
    """Which classes the user wants, and what they are called.

    Attributes:
        wanted: the classes to keep, in their order; () keeps all.
        renamed: dict from a name in the annotations to the one to use.
        order: classes that come first where none are wanted, in this order.
        named: objects without a class are odd even where none has one: the
            user named the attribute that holds it.
    """

    wanted: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    named: bool = False


@dataclass(frozen=True)
class ChosenClasses:
    """The classes that annotations have; ``IGNORE`` is none.

    Attributes:
        classes: names, in their order.
        counts: number of instances by class.
        left_out: the same of classes that were not wanted.
        ignored: number of instances that count nowhere.
    """

    classes: list[str]
    counts: Counter
    left_out: Counter
    ignored: int = 0


@dataclass(frozen=True)
class DrawnImage:
    """What became of one image.

    Attributes:
        name: of the image.
        count: number of its masks; None without annotation or with an error.
        repairs: what was mended or left out, and how often.
        error: why nothing was written, or None.
        pixels: of an annotated image.
        ignored: how many of them count nowhere.
    """

    name: str
    count: int | None = None
    repairs: Counter = field(default_factory=Counter)
    error: str | None = None
    pixels: int = 0
    ignored: int = 0


def choose_classes(annotations, choice):
    """Rename and select classes; the annotations are changed in place.

    Args:
        annotations: list of ``Annotation``.
        choice: a ``ClassChoice``.

    Returns:
        ``ChosenClasses``.

    Raises:
        DataError: none of the wanted classes is there, or the folders of two
            are called alike.
    """
    wanted = choice.wanted
    counts, left_out, ignored = Counter(), Counter(), 0
    named = choice.named or any(
        instance.label
        for annotation in annotations
        for instance in annotation.instances
    )
    for annotation in annotations:
        chosen = []
        for instance in annotation.instances:
            label = instance.label or DEFAULT_CLASS
            if named and not instance.label:
                annotation.repairs[Repair.NAMELESS] += 1
            label = choice.renamed.get(label, label)
            instance.label = IGNORE if is_ignored(label) else label
            if instance.label == IGNORE:
                chosen.append(instance)
                ignored += 1
            elif wanted and instance.label not in wanted:
                left_out[instance.label] += 1
            else:
                chosen.append(instance)
                counts[instance.label] += 1
        annotation.instances = chosen
    if wanted and left_out and not counts:
        raise DataError(
            f"--classes {','.join(wanted)}: expected some of the classes "
            f"{listed_counts(left_out)}, found none of them. Correct the "
            "names."
        )
    order = wanted or choice.order
    rank = {name: place for place, name in enumerate(order)}
    classes = sorted(counts, key=lambda name: (rank.get(name, len(rank)), name))
    _refuse_equal_folders(classes)
    return ChosenClasses(classes, counts, left_out, ignored)


def _refuse_equal_folders(classes):
    for name, other in combinations(classes, 2):
        if class_folder(name) == class_folder(other):
            raise DataError(
                f"expected classes whose folders differ, found {name!r} and "
                f"{other!r}: both are written to {class_folder(name)}/. Give "
                "one another name with --rename."
            )


def listed_counts(counts):
    """``land (3), road (12)``, by name."""
    return printable(
        ", ".join(f"{name} ({n})" for name, n in sorted(counts.items()))
    )


def draw_folders(tree, pairs, classes, rules, components=False):
    """Write the folder of every image: the image, and a mask per instance.

    Args:
        tree: directory to write to.
        pairs: list of ``unet.annotations.pairing.Pair``.
        classes: names, in their order; masks of several are written to a
            folder of each.
        rules: how images are read, see ``Rules``.
        components: divide complete masks into their connected parts.

    Yields:
        ``DrawnImage``, in the order of the pairs. Nothing stays of a refused
        image: its folder would pass for unlabelled.
    """
    job = partial(_draw_or_refuse, tree, classes, rules, components)
    with ThreadPoolExecutor(usable_cores()) as pool:
        yield from pool.map(job, pairs)


def write_class_list(tree, classes):
    """Write the order of several classes, which their folders do not tell."""
    if len(classes) > 1:
        folders = "\n".join(class_folder(name) for name in classes)
        write_text(tree / CLASSES, folders + "\n")


def _draw_or_refuse(tree, classes, rules, components, known):
    try:
        return _draw_folder(tree, classes, rules, components, known)
    except DataError as error:
        shutil.rmtree(tree / known.name, ignore_errors=True)
        return DrawnImage(known.name, error=str(error))


def _draw_folder(tree, classes, rules, components, known):
    """Write one image and its masks."""
    name, annotation = known.name, known.annotation
    shape = _copy_picture(tree / name / "images", known, rules)
    if annotation is None:
        return DrawnImage(name)
    annotation.check_size(shape)
    place = tree / name / "masks"
    place.mkdir()
    number, repairs = 0, annotation.repairs.copy()
    instances = annotation.instances
    if components:
        instances = [
            part
            for instance in instances
            for part in (
                [instance] if instance.label == IGNORE else instance.parts()
            )
        ]
    ignored = no_data(known.image, shape)
    if len(classes) > 1 or any(one.label == IGNORE for one in instances):
        masks = _draw(instances[::-1], shape, repairs)
        masks = without_overlap(masks, shape)
    else:
        masks = _draw(instances, shape, repairs)
    for label, window, top, left in masks:
        if label == IGNORE:
            add_window(ignored, window, top, left)
            continue
        number += 1
        folder = place / class_folder(label) if len(classes) > 1 else place
        path = folder / f"{name}_mask_{number}.png"
        write_mask(path, window, top, left, shape)
    write_ignored(tree / name, ignored)
    pixels = int(np.count_nonzero(ignored))
    repairs[Repair.VANISHED] += bool(instances) and not number + pixels
    return DrawnImage(name, number, +repairs, None, ignored.size, pixels)


def _copy_picture(folder, known, rules):
    """Write the image of a pair, of its own file or of the annotation's.

    Returns:
        (H, W).
    """
    if known.image:
        source, data = known.image, read_bytes(known.image)
    else:
        source, data = known.source, known.annotation.picture()
    most, bands = rules.limits.pixels, kept_bands(data, rules.bands)
    if bands:
        image = values_from(data, source, bands.numbers, most)
    else:
        image = image_from(data, source, rules.bands, most)
    # Without its place nobody knows its ground scale.
    place = known.image and read_georeference(known.image)
    save_image(folder, known.name, image, place, bands)
    return image.shape[:2]


def _draw(instances, shape, repairs):
    """Masks of all instances that can be seen; the others are counted.

    Yields:
        (label, window, top, left), as ``Instance.window`` has them.
    """
    frame = shapely.box(0, 0, shape[1], shape[0])
    for instance in instances:
        window, top, left = instance.window(shape)
        if instance.is_polygon:
            seen = bool(window.any())
            _count_repairs(instance.geometry, frame, seen, repairs)
        if window.any():
            yield instance.label, window.copy(), top, left


def _count_repairs(geometry, frame, seen, repairs):
    """Count what drawing a polygon loses."""
    valid = shapely.is_valid(shapely.get_parts(geometry)).all()
    # Crossings are left alone: resolving them can take for ever.
    outline = geometry if geometry.is_valid else geometry.envelope
    if not outline.intersects(frame):
        repairs[Repair.OUTSIDE] += 1
    elif not seen:
        repairs[Repair.NO_PIXEL] += 1
    else:
        if not frame.covers(outline):
            repairs[Repair.CUT] += 1
        if not valid:
            repairs[Repair.CROSSING] += 1
