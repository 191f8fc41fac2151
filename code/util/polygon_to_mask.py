"""Images and annotations to a tree of folders with one mask per instance."""

import os
import shutil
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from pathlib import Path

import shapely

from unet.annotations.formats import FORMATS
from unet.annotations.pairing import ProblemKind, pair
from unet.files.atomic import new_tree, write_text
from unet.files.errors import DataError
from unet.files.folders import (
    CLASSES,
    DEFAULT_CLASS,
    class_folder,
    natural,
)
from unet.geometry.masks import without_overlap
from unet.imagery.georeference import read_georeference, write_georeference
from unet.imagery.png import write_mask, write_png
from unet.imagery.reading import image_from, read_bytes
from unet.terminal import cli, reading_options

NAMELESS = f"object without a class taken for {DEFAULT_CLASS}"
VANISHED = "image of which no object is left taken for empty"
CROSSING = "polygon that crosses or touches itself filled as drawn"


def read_arguments():
    parser = cli.new_parser(
        "The result is one folder per image, NAME/images/NAME.png and "
        "NAME/masks/NAME_mask_1.png, NAME_mask_2.png ... with one mask per "
        "instance: what split.py and train_unet.py read.",
        [
            "python code/util/polygon_to_mask.py",
            "python code/util/polygon_to_mask.py data/raw/images "
            "data/raw/annotations --out prepared/folders --overwrite",
        ],
    )
    reading_options.add_sources(parser, FORMATS)
    add = parser.add_argument
    add(
        "--classes",
        metavar="A,B,...",
        help="keep these classes only, in this order (default: all)",
    )
    add(
        "--rename",
        metavar="OLD=NEW,...",
        help="rename classes, for instance bina=building",
    )
    add(
        "--components",
        action="store_true",
        help="divide complete masks into objects: their connected parts",
    )
    add(
        "--out",
        type=Path,
        default=Path("prepared") / "folders",
        help="directory to make",
    )
    add("--overwrite", action="store_true", help="replace --out")
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args()


def renames(text, option):
    """``a=b,c=d`` as a dict."""
    parts = [part.split("=") for part in (text or "").split(",") if part]
    if any(len(part) != 2 or not all(part) for part in parts):
        raise DataError(f"{option} {text}: expected OLD=NEW,OLD=NEW.")
    return {old.strip(): new.strip() for old, new in parts}


def choose_classes(annotations, args, rules):
    """Rename and select classes.

    Returns:
        (classes, found, left_out): the classes in their order, and how many
        instances each has, and each that was left out.

    Raises:
        DataError: none of the wanted classes is there, or the folders of two
            are called alike.
    """
    renamed = renames(args.rename, "--rename")
    wanted = [c.strip() for c in (args.classes or "").split(",") if c.strip()]
    found, left_out = Counter(), Counter()
    named = args.attribute or any(
        instance.label
        for annotation in annotations
        for instance in annotation.instances
    )
    for annotation in annotations:
        kept = []
        for instance in annotation.instances:
            label = instance.label or DEFAULT_CLASS
            if named and not instance.label:
                annotation.repairs[NAMELESS] += 1
            instance.label = renamed.get(label, label)
            if wanted and instance.label not in wanted:
                left_out[instance.label] += 1
            else:
                kept.append(instance)
                found[instance.label] += 1
        annotation.instances = kept
    if wanted and left_out and not found:
        raise DataError(
            f"--classes {args.classes}: expected some of the classes "
            f"{listed(left_out)}, found none of them. Correct the names."
        )
    order = wanted or (rules.colours or {}).values()
    rank = {name: place for place, name in enumerate(order)}
    classes = sorted(found, key=lambda name: (rank.get(name, len(rank)), name))
    for one, other in combinations(classes, 2):
        if class_folder(one) == class_folder(other):
            raise DataError(
                f"expected classes whose folders differ, found {one!r} and "
                f"{other!r}: both are written to {class_folder(one)}/. Give "
                "one another name with --rename."
            )
    return classes, found, left_out


def convert(tree, known, classes, args):
    """Write one image and its masks.

    Returns:
        (number of instances, or None without annotation; Counter of repairs).
    """
    name, annotation = known.name, known.annotation
    image = read_picture(known, args)
    path = tree / name / "images" / f"{name}.png"
    write_png(path, image)
    # A PNG loses where it lies: without it nobody knows its ground scale.
    if known.image:
        write_georeference(path, read_georeference(known.image))
    if annotation is None:
        return None, Counter()
    annotation.check_size(image.shape[:2])
    place = tree / name / "masks"
    place.mkdir()
    number, repairs = 0, annotation.repairs.copy()
    shape = image.shape[:2]
    instances = annotation.instances
    if args.components:
        instances = [
            part for instance in instances for part in instance.parts()
        ]
    if len(classes) > 1:
        masks = draw(instances[::-1], shape, repairs)
        masks = without_overlap(masks, shape)
    else:
        masks = draw(instances, shape, repairs)
    for number, (label, *window) in enumerate(masks, start=1):
        folder = place / class_folder(label) if len(classes) > 1 else place
        write_mask(folder / f"{name}_mask_{number}.png", *window, shape)
    repairs[VANISHED] += bool(instances) and not number
    return number, +repairs


def read_picture(known, args):
    """The image of a pair, from its own file or from the annotation's."""
    if known.image:
        source, data = known.image, read_bytes(known.image)
    else:
        source, data = known.source, known.annotation.picture()
    return image_from(data, source, args.bands, args.pixels)


def draw(instances, shape, repairs):
    """Masks of all instances that can be seen; the others are counted.

    Yields:
        (label, window, top, left), as ``Instance.window`` has them.
    """
    frame = shapely.box(0, 0, shape[1], shape[0])
    for instance in instances:
        window, *corner = instance.window(shape)
        if not instance.is_polygon:
            if window.any():
                yield instance.label, window.copy(), *corner
            continue
        geometry = instance.geometry
        valid = shapely.is_valid(shapely.get_parts(geometry)).all()
        # Crossings are left alone: resolving them can take for ever.
        outline = geometry if geometry.is_valid else geometry.envelope
        if not outline.intersects(frame):
            repairs["polygon outside its image left out"] += 1
        elif not window.any():
            repairs["polygon that covers no pixel's centre left out"] += 1
        else:
            if not frame.covers(outline):
                repairs["polygon cut at the border of its image"] += 1
            if not valid:
                repairs[CROSSING] += 1
            yield instance.label, window, *corner


def main():
    args = read_arguments()
    rules = reading_options.rules_of(args, [args.images, *args.annotations])
    progress = cli.progress_bar(args.quiet)
    pairs, problems = pair(
        args.images, args.annotations, args.format, rules, progress
    )
    lost = stop_or_leave_out(pairs, problems)
    annotations = [known.annotation for known in pairs if known.annotation]
    classes, found, left_out = choose_classes(annotations, args, rules)
    pairs.sort(key=lambda known: natural(known.name))
    refused = []
    unusable = {p.names[0]: p.sentence for p in problems if p not in lost}
    counts, repairs = {}, Counter()
    with new_tree(
        args.out, [args.images, *args.annotations], args.overwrite
    ) as tree:
        job = partial(attempt, tree, classes, args, unusable)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(job, pairs)
            for known, (count, mended, error) in zip(
                pairs,
                progress(results, len(pairs), "Drawing masks"),
                strict=True,
            ):
                if error:
                    refused.append(error)
                else:
                    counts[known.name] = count
                    repairs += mended
        if not counts:
            raise DataError(refused[0])
        if len(classes) > 1:
            folders = "\n".join(class_folder(name) for name in classes)
            write_text(tree / CLASSES, folders + "\n")
    report(counts, repairs, lost, refused, args.out)
    report_classes(classes, found, left_out, args)
    if refused:
        sys.exit(2)


def stop_or_leave_out(pairs, problems):
    """The problems of images that are not there: their annotations wait.

    Raises:
        DataError: none is there, an image is annotated twice, or a file
            that cannot be read belongs to no image.
    """
    lost = [p for p in problems if p.kind == ProblemKind.NO_IMAGE]
    for problem in problems:
        twice = problem.kind == ProblemKind.ANNOTATED_TWICE
        if twice or not problem.names:
            raise DataError(problem.sentence)
    if lost and not any(known.source for known in pairs):
        raise DataError(lost[0].sentence)
    return lost


def attempt(tree, classes, args, unusable, known):
    """``convert``, with the reason where an image is refused.

    Nothing stays of a refused image: its folder would pass for unlabelled.
    """
    if known.name in unusable:
        return None, Counter(), unusable[known.name]
    try:
        return *convert(tree, known, classes, args), None
    except DataError as error:
        shutil.rmtree(tree / known.name, ignore_errors=True)
        return None, Counter(), str(error)


def report(counts, repairs, lost, refused, out):
    """Print what was made, what was mended, and what was refused."""
    known = [count for count in counts.values() if count is not None]
    print(
        f"{len(counts)} images, {sum(known)} instances -> {cli.short_path(out)}"
    )
    print(f"  {known.count(0)} images with nothing on them (masks/ is empty)")
    if len(known) < len(counts):
        print(f"  {len(counts) - len(known)} images without annotation")
    for problem in lost:
        print(f"  left out: {problem.sentence}")
    for repair, count in sorted(repairs.items()):
        print(f"  repaired: {repair}: {count}")
    for reason in refused:
        print(f"  refused: {reason}", file=sys.stderr)


def report_classes(classes, found, left_out, args):
    """Print which classes there are, where that is not obvious."""
    if len(classes) > 1 or left_out or args.classes:
        counted = ", ".join(f"{name} ({found[name]})" for name in classes)
        print(f"  classes: {counted}")
    if left_out:
        print("  classes left out: " + listed(left_out))
    wanted = [c.strip() for c in (args.classes or "").split(",") if c.strip()]
    absent = [name for name in wanted if name not in found]
    if absent:
        print(f"  classes that no annotation has: {', '.join(absent)}")
    colours = [name.removeprefix("#") for name in classes if name[0] == "#"]
    if len(colours) > 1:
        named = ",".join(f"{colour}=NAME" for colour in colours)
        print(f"  to name the colours: --colours {named}")


def listed(counts):
    return ", ".join(f"{name} ({n})" for name, n in sorted(counts.items()))


if __name__ == "__main__":
    cli.run(main)
