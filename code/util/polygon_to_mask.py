"""Images and annotations to a tree of folders with one mask per instance."""

import os
import re
import shutil
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import shapely

from unet import cli
from unet.annotations import Annotation, Instance, find_images
from unet.folders import DEFAULT_CLASS, DataError, natural, new_tree
from unet.formats import FORMATS, annotation_files, in_pixels, read_file
from unet.images import read_image, write_png


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
    add = parser.add_argument
    add(
        "images",
        nargs="?",
        type=Path,
        default=cli.DATA / "raw" / "images",
        help="directory of images, or one image",
    )
    add(
        "annotations",
        nargs="*",
        type=Path,
        default=[cli.DATA / "raw" / "annotations"],
        help="files, or directories of files: the article's text (NAME.txt "
        "with [[x, y], ...], or lines NAME<tab or comma>[[x, y], ...]), "
        "labelme, COCO, VIA and GeoJSON files, tables with WKT, or complete "
        "masks called like their images",
    )
    add(
        "--format",
        choices=FORMATS,
        help="of the annotations, where their content does not tell",
    )
    add(
        "--attribute",
        metavar="NAME",
        help="attribute, property or column that holds the class",
    )
    add(
        "--classes",
        metavar="A,B,...",
        help="keep these classes only (default: all)",
    )
    add(
        "--rename",
        metavar="OLD=NEW,...",
        help="rename classes, for instance bina=building",
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


def read_annotations(args, images):
    """All annotations by image name.

    A file that cannot be understood counts as the annotation of the image
    that it is called like, with an error: its image is not unlabelled.
    """
    annotations = {}
    for source in args.annotations:
        for path in annotation_files(source):
            if path in images.values():
                continue  # annotations may lie beside the images
            try:
                found = read_file(path, args.format, args.attribute)
                found = dict(placed(found, images))
            except DataError as error:
                if path.stem not in images:
                    raise
                found = {path.stem: Annotation(path, error=str(error))}
            for name, annotation in found.items():
                if name in annotations:
                    raise DataError(
                        f"{path}: annotates {name}, which "
                        f"{annotations[name].source} does as well. Give one "
                        "of the two."
                    )
                annotations[name] = annotation
    return annotations


def placed(found, images):
    """Annotations by image name, moved from the ground to pixels.

    A file of places on the ground that is not called like an image is for
    every georeferenced image that it touches.

    Raises:
        DataError: it touches none.
    """
    for name, annotation in found.items():
        if annotation.crs is None:
            yield name, annotation
        elif name in images or len(images) == 1:
            (only,) = [name] if name in images else images
            yield only, in_pixels(annotation, images[only])
        else:
            touched = {
                other: one
                for other, path in images.items()
                if (one := in_pixels(annotation, path, ground=True)).instances
            }
            if not touched:
                raise DataError(
                    f"{annotation.source}: expected the name of an image, or "
                    f"places on georeferenced images, found neither. Call it "
                    f"like its image."
                )
            yield from touched.items()


def pairs(text, option):
    """``a=b,c=d`` as a dict."""
    parts = [part.split("=") for part in (text or "").split(",") if part]
    if any(len(part) != 2 or not all(part) for part in parts):
        raise DataError(f"{option} {text}: expected OLD=NEW,OLD=NEW.")
    return {old.strip(): new.strip() for old, new in parts}


def choose_classes(annotations, args):
    """Rename and select; returns how often each class was left out."""
    renamed = pairs(args.rename, "--rename")
    wanted = [c.strip() for c in (args.classes or "").split(",") if c.strip()]
    left_out = Counter()
    for annotation in annotations.values():
        kept = []
        for instance in annotation.instances:
            label = instance.label or DEFAULT_CLASS
            instance.label = renamed.get(label, label)
            if wanted and instance.label not in wanted:
                left_out[instance.label] += 1
            else:
                kept.append(instance)
        annotation.instances = kept
    return left_out


def convert(tree, images, annotations, classes, name):
    """Write one image and its masks.

    Returns:
        (number of instances, or None without annotation; Counter of repairs).
    """
    annotation = annotations.get(name)
    if annotation and annotation.error:
        raise DataError(annotation.error)
    image = read_image(images[name])
    write_png(tree / name / "images" / f"{name}.png", image)
    if annotation is None:
        return None, Counter()
    place = tree / name / "masks"
    place.mkdir()
    number, repairs = 0, annotation.repairs.copy()
    shape = image.shape[:2]
    if len(classes) > 1:
        masks = draw(annotation.instances[::-1], shape, repairs)
        masks = without_overlap(masks, classes, shape)
    else:
        masks = draw(annotation.instances, shape, repairs)
    for number, (mask, label) in enumerate(masks, start=1):
        folder = place / folder_of(label) if len(classes) > 1 else place
        write_png(folder / f"{name}_mask_{number}.png", mask)
    return number, repairs


def folder_of(label):
    """A class's name as a directory's name."""
    return re.sub(r"[^\w .+-]", "_", label)[:60].strip(". ") or "_"


def without_overlap(masks, classes, shape):
    """Yield masks, last instance first, less what another class has taken."""
    owner = np.zeros(shape, np.uint16)
    for mask, label in masks:
        own = classes.index(label) + 1
        mask &= (owner == 0) | (owner == own)
        owner[mask] = own
        if mask.any():
            yield mask, label


def draw(instances, shape, repairs):
    """Yield (mask, label) of every instance that can be seen, count others."""
    frame = shapely.box(0, 0, shape[1], shape[0])
    for instance in instances:
        mask = instance.mask(shape)
        if not isinstance(instance, Instance):
            if mask.any():
                yield mask.copy(), instance.label
            continue
        geometry = instance.geometry
        valid = shapely.is_valid(shapely.get_parts(geometry)).all()
        # Crossings are left alone: resolving them can take for ever.
        outline = geometry if geometry.is_valid else geometry.envelope
        if not outline.intersects(frame):
            repairs["polygon outside its image left out"] += 1
        elif not mask.any():
            repairs["polygon that covers no pixel's centre left out"] += 1
        else:
            if not frame.covers(outline):
                repairs["polygon cut at the border of its image"] += 1
            if not valid:
                repairs["self-crossing polygon filled as drawn"] += 1
            yield mask, instance.label


def main():
    args = read_arguments()
    images = find_images(args.images)
    annotations = read_annotations(args, images)
    left_out = choose_classes(annotations, args)
    found = Counter(
        instance.label
        for annotation in annotations.values()
        for instance in annotation.instances
    )
    classes = sorted(found)
    refused = [
        f"{annotation.source}: annotates {name}, but there is no such image "
        f"in {args.images}. Add the image, or correct the name."
        for name, annotation in annotations.items()
        if name not in images
    ]
    names = sorted(images, key=natural)
    progress = cli.progress_bar(args.quiet)
    counts, repairs = {}, Counter()
    with new_tree(
        args.out, [args.images, *args.annotations], args.overwrite
    ) as tree:
        job = partial(attempt, tree, images, annotations, classes)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            results = pool.map(job, names)
            for name, (count, mended, error) in zip(
                names,
                progress(results, len(names), "Drawing masks"),
                strict=True,
            ):
                if error:
                    refused.append(error)
                else:
                    counts[name] = count
                    repairs += mended
        if not counts:
            raise DataError(refused[0])
    report(counts, repairs, refused, args.out)
    if len(classes) > 1 or left_out or args.classes:
        print("  classes: " + listed(found))
    if left_out:
        print("  classes left out: " + listed(left_out))
    if refused:
        sys.exit(2)


def attempt(tree, images, annotations, classes, name):
    """``convert``, with the reason where an image is refused.

    Nothing stays of a refused image: its folder would pass for unlabelled.
    """
    try:
        return *convert(tree, images, annotations, classes, name), None
    except DataError as error:
        shutil.rmtree(tree / name, ignore_errors=True)
        return None, Counter(), str(error)


def report(counts, repairs, refused, out):
    """Print what was made, what was mended, and what was refused."""
    known = [count for count in counts.values() if count is not None]
    print(
        f"{len(counts)} images, {sum(known)} instances -> {cli.short_path(out)}"
    )
    print(f"  {known.count(0)} images with nothing on them (masks/ is empty)")
    if len(known) < len(counts):
        print(f"  {len(counts) - len(known)} images without annotation")
    for what, count in sorted(repairs.items()):
        print(f"  repaired: {what}: {count}")
    for reason in refused:
        print(f"  refused: {reason}", file=sys.stderr)


def listed(counts):
    return ", ".join(f"{name} ({n})" for name, n in sorted(counts.items()))


if __name__ == "__main__":
    cli.run(main)
