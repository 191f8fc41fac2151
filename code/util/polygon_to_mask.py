"""Images and annotations to a tree of folders with one mask per instance."""

import os
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import shapely

from unet import cli
from unet.annotations import (
    READERS,
    Annotation,
    CompleteMask,
    annotation_files,
    find_images,
)
from unet.folders import DataError, natural, new_tree
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
        "with [[x, y], ...], or lines NAME<tab or comma>[[x, y], ...]) or "
        "complete masks called like their images",
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


def read_annotations(sources, images):
    """All annotations by image name.

    A file that cannot be understood counts as the annotation of the image
    that it is called like, with an error: its image is not unlabelled.
    """
    annotations = {}
    for source in sources:
        for path, kind in annotation_files(source):
            if path in images.values():
                continue  # texts may lie beside the images
            try:
                found = READERS[kind].read(path)
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


def convert(tree, images, annotations, name):
    """Write one image and its masks.

    Returns:
        (number of instances, or None without annotation; Counter of repairs).
    """
    annotation = annotations.get(name)
    if annotation and annotation.error:
        raise DataError(annotation.error)
    image = read_image(images[name])
    masks, repairs = [], Counter()
    if annotation:
        repairs += annotation.repairs
        masks = list(draw(annotation, image.shape[:2], repairs))
        (tree / name / "masks").mkdir(parents=True)
    write_png(tree / name / "images" / f"{name}.png", image)
    for number, mask in enumerate(masks, start=1):
        write_png(tree / name / "masks" / f"{name}_mask_{number}.png", mask)
    return (len(masks) if annotation else None), repairs


def draw(annotation, shape, repairs):
    """Yield the mask of every instance that can be seen; count the others."""
    frame = shapely.box(0, 0, shape[1], shape[0])
    for instance in annotation.instances:
        mask = instance.mask(shape)
        if isinstance(instance, CompleteMask):
            if mask.any():
                yield mask
            continue
        outline = shapely.make_valid(instance.geometry)
        if not outline.intersects(frame):
            repairs["polygon outside its image left out"] += 1
        elif not mask.any():
            repairs["polygon that covers no pixel's centre left out"] += 1
        else:
            if not frame.covers(outline):
                repairs["polygon cut at the border of its image"] += 1
            if not instance.geometry.is_valid:
                repairs["self-crossing polygon filled as drawn"] += 1
            yield mask


def main():
    args = read_arguments()
    images = find_images(args.images)
    annotations = read_annotations(args.annotations, images)
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
        job = partial(attempt, tree, images, annotations)
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


def attempt(tree, images, annotations, name):
    """``convert``, with the reason where an image is refused."""
    try:
        return *convert(tree, images, annotations, name), None
    except DataError as error:
        return None, Counter(), str(error)


def report(counts, repairs, refused, out):
    """Print what was made; exit with 2 if something was refused."""
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
    if refused:
        sys.exit(2)


if __name__ == "__main__":
    cli.run(main)
